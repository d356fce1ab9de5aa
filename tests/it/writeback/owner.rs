//! The owner's word: verdicts, decisions, and how decisions and batches are taken back.

use std::sync::atomic::AtomicBool;

use coho::app::App;
use coho::app::learning::RunBody;
use coho::domain::unit::{Review, State, Unit, Uses};
use coho::flow::writeback::{Decision, Step};
use coho::store::StoreError;
use coho::store::units::batches::Undo;
use coho::store::units::{self, life};
use serde_json::{Value, json};

use super::{
    PEAR, PEAR_AGAIN, add, ask, garden, now, opened, promoted, recalls, run, run_telling, unit_of,
    with_harmful,
};
use crate::kit::{Home, open, sync};

#[test]
fn the_owner_has_the_last_word() {
    let home = Home::new();
    garden(&home);
    home.add();
    let id = |answer: &Value| answer["id"].as_str().unwrap().to_owned();
    let good = home.json(&["ask", PEAR]);
    home.run(&["feedback", &id(&good), "good"]).done();
    let bad = home.json(&["ask", "Who serviced the boiler?"]);
    home.run(&["feedback", &id(&bad), "bad"]).done();
    // Asked once more, it makes no second unit, nor would it.
    home.json(&["ask", PEAR]);
    let dry = home.json(&["writeback", "run", "--dry-run"]);
    assert_eq!(dry["made"], 1);
    assert_eq!(home.json(&["units", "list"])["units"], json!([]));
    let report = home.json(&["writeback", "run"]);
    assert_eq!(
        report["promoted"].as_array().unwrap().len(),
        1,
        "{report:#}"
    );
    let gates = &report["considered"][1]["gates"];
    assert_eq!(gates[1]["gate"], "feedback");
    assert_eq!(gates[1]["passed"], false);
    let unit = report["promoted"][0].as_str().unwrap().to_owned();
    let short = &unit[..6];
    let shown = home.run(&["units", "show", short]).ok().stdout;
    for part in [
        "garden.md:3\n",
        "made → shadow",
        "shadow → active",
        PEAR,
        "✓ grounded",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let with = home.json(&["ask", PEAR_AGAIN]);
    assert_eq!(with["citations"][0]["unit_id"], json!(unit));
    let without = home.json(&["ask", PEAR_AGAIN, "--no-units"]);
    assert_eq!(without["citations"][0]["unit_id"], Value::Null);
    // One id that is wrong, and nothing is decided.
    let half = home.run(&["units", "reject", short, "nothing"]);
    assert_eq!(half.code, 1, "{}", half.stdout);
    assert!(half.stderr.contains("nothing"), "{}", half.stderr);
    assert_eq!(
        home.json(&["units", "list", "--state", "retired"])["units"],
        json!([])
    );
    home.run(&["units", "reject", short]).done();
    assert_eq!(
        home.json(&["units", "list", "--state", "retired"])["units"][0]["id"],
        json!(unit)
    );
    // What the owner rejected does not come back by itself.
    let again = home.json(&["ask", "What year was the pear tree planted?"]);
    home.run(&["feedback", &id(&again), "good"]).done();
    let report = home.json(&["writeback", "run"]);
    assert_eq!(report["made"], 0, "{report:#}");
    home.run(&["units", "approve", short]).done();
    assert_eq!(home.json(&["units", "undo", "--all"])["retired"], 1);
    assert_eq!(home.json(&["units", "lint"])["findings"], json!([]));
    let missing = home.run(&["units", "show", "nothing"]);
    assert_eq!(missing.code, 1);
    let hint = "`coho units list` tells the ids";
    assert!(missing.stderr.contains(hint), "{}", missing.stderr);
    assert_eq!(
        home.json(&["writeback", "list"])["batches"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn a_question_that_is_asked_again_and_leads_elsewhere_speaks_against_its_answer() {
    let home = Home::new();
    garden(&home);
    home.add();
    let school = home.path("school");
    std::fs::create_dir_all(&school).unwrap();
    let trees = "# Trees of the school\n\nThe pear tree of the school was planted in 1987.\n";
    std::fs::write(school.join("trees.md"), trees).unwrap();
    home.run(&["add", school.to_str().unwrap()]).done();
    let notes = home.notes();
    for (question, folder) in [(PEAR, &notes), (PEAR_AGAIN, &school)] {
        let folder = folder.to_str().unwrap();
        home.json(&["ask", question, "--source", folder]);
    }
    let report = home.json(&["writeback", "run"]);
    let gate = &report["considered"][0]["gates"][1];
    let why = "it was asked again in other words";
    assert_eq!(
        (&gate["passed"], &gate["reason"]),
        (&json!(false), &json!(why))
    );
}

#[test]
fn an_approval_lasts_and_what_was_rejected_stays_out() {
    let home = Home::new();
    garden(&home);
    let app = opened(&home);
    let unit = unit_of(&app, PEAR);
    app.decide(&unit.id, Decision::Approve).unwrap();
    home.write(
        "garden.md",
        "# Garden\n\nThe pear tree was planted in 2004 by Anna.\n\nThe plum tree gave 30 kilograms.\n",
    );
    sync(&app);
    run(&app);
    let again = now(&app, &unit.id);
    assert_eq!(again.state, State::Active, "{again:#?}");
    app.decide(&unit.id, Decision::Reject).unwrap();
    ask(&app, "Who planted the pear tree in 2004?");
    let report = run(&app);
    assert_eq!(report.made, 0, "{report:#?}");
}

#[test]
fn what_the_owner_approves_in_use_is_written_down_once() {
    let home = Home::new();
    garden(&home);
    let app = opened(&home);
    let unit = promoted(&app);
    let told = || app.unit(&unit).unwrap().events;
    let before = told();
    for _ in 0..2 {
        let approved = app.decide(&unit, Decision::Approve).unwrap();
        assert_eq!(approved.state, State::Active);
        assert!(approved.reason.starts_with(life::BY_OWNER));
    }
    assert_eq!(told().len(), before.len() + 1, "{:#?}", told());
    // It is a decision like any other, and taken back like one.
    let back = app.decide(&unit, Decision::Undo).unwrap();
    assert_eq!(back.state, State::Active);
    assert_eq!(Some(&back.reason), before.last().map(|event| &event.reason));
    assert!(app.decide(&unit, Decision::Undo).is_err());
    app.decide(&unit, Decision::Approve).unwrap();
    home.write(
        "garden.md",
        "# Garden\n\nThe fence is new.\n\nThe pear tree was planted in 2004 by Anna.\n",
    );
    sync(&app);
    run(&app);
    let unit = now(&app, &unit);
    assert_eq!(unit.state, State::Active);
    assert!(unit.reason.starts_with(life::BY_OWNER), "{unit:#?}");
}

#[test]
fn what_was_never_of_use_goes_unless_the_owner_wants_it() {
    let home = Home::new();
    garden(&home);
    let app = opened(&home);
    let unit = unit_of(&app, PEAR);
    let near = app.store.ledger().write(|transaction| {
        for _ in 0..30 {
            units::count_use(transaction, &unit.id, units::Use::Retrieved)?;
        }
        life::move_unit(transaction, &unit.id, State::Active, "for the test")
    });
    assert!(near.unwrap());
    assert_eq!(run(&app).retired, std::slice::from_ref(&unit.id));
    app.decide(&unit.id, Decision::Approve).unwrap();
    assert!(run(&app).retired.is_empty());
    assert_eq!(now(&app, &unit.id).state, State::Active);
}

#[test]
fn a_rejection_that_is_taken_back_brings_nothing_back_that_is_gone() {
    let home = Home::new();
    garden(&home);
    let app = opened(&home);
    let unit = unit_of(&app, PEAR);
    app.decide(&unit.id, Decision::Reject).unwrap();
    home.write(
        "garden.md",
        "# Garden\n\nThe pear tree was planted in 2011 by Oskar.\n",
    );
    sync(&app);
    let back = app.decide(&unit.id, Decision::Undo).unwrap();
    assert_eq!(back.state, State::Stale, "{back:#?}");
    assert!(app.lint().unwrap().is_empty());
}

#[test]
fn what_the_owner_approves_while_it_is_tried_stays_in_use() {
    let home = Home::new();
    let app = with_harmful(&home);
    // All are judged, and nothing was tried yet.
    let approve = |step: Step| {
        if step.judged == step.answers {
            app.decide("harmful", Decision::Approve).unwrap();
        }
    };
    app.write_back(&RunBody::default(), &approve, &AtomicBool::new(false))
        .unwrap();
    let unit = now(&app, "harmful");
    assert_eq!(unit.state, State::Active, "{}", unit.reason);
}

#[test]
fn an_owner_who_wants_to_be_asked_decides_alone() {
    let home = Home::new();
    garden(&home);
    let app = open(&home, |settings| settings.writeback.review = Review::Ask);
    add(&app, &home);
    ask(&app, PEAR);
    assert_eq!(run(&app).made, 1);
    // This would put it in use, were nobody asked.
    ask(&app, PEAR_AGAIN);
    let report = run(&app);
    assert!(report.promoted.is_empty(), "{report:#?}");
    let waiting = app.units(Some(State::Shadow), 10).unwrap().units;
    assert_eq!(waiting.len(), 1);
    let third = "What year was the pear tree planted in?";
    assert!(!recalls(&ask(&app, third)));
    app.decide(&waiting[0].id, Decision::Approve).unwrap();
    assert!(recalls(&ask(&app, third)));
}

#[test]
fn praise_outlives_the_batch_that_is_taken_back() {
    let home = Home::new();
    garden(&home);
    let app = opened(&home);
    let answer = ask(&app, PEAR);
    run(&app);
    ask(&app, PEAR_AGAIN);
    let second = run(&app);
    assert_eq!(second.promoted.len(), 1, "{second:#?}");
    app.feedback(&answer.id, "good", (None, None)).unwrap();
    run(&app);
    app.undo(&Undo::Batch(second.batch)).unwrap();
    let unit = now(&app, &second.promoted[0]);
    assert!(unit.scores[units::GOOD] > 0.0, "{unit:#?}");
}

#[test]
fn events_are_never_changed_and_batches_are_taken_back() {
    let home = Home::new();
    garden(&home);
    let app = opened(&home);
    ask(&app, PEAR);
    let report = run(&app);
    let ledger = app.store.ledger();
    for sql in [
        "UPDATE unit_event SET reason = ''",
        "DELETE FROM unit_event",
    ] {
        let changed = ledger.write(|t| t.execute(sql, []).map_err(StoreError::from));
        assert!(changed.is_err(), "{sql}");
    }
    let undone = app.undo(&Undo::Batch(report.batch.clone())).unwrap();
    assert_eq!(undone.retired, 1);
    assert!(app.undo(&Undo::Batch("none".into())).is_err());
    assert_eq!(app.batches(1).unwrap().batches[0].state, "rolled_back");
    assert_eq!(app.undo(&Undo::Since(0)).unwrap().retired, 0);
}

#[test]
fn a_batch_that_is_taken_back_while_it_is_under_way_ends_with_that() {
    let newest = |app: &App| app.batches(1).unwrap().batches.remove(0);
    let check = |what: &dyn Fn(String) -> Undo| {
        let home = Home::new();
        garden(&home);
        let app = opened(&home);
        ask(&app, PEAR);
        ask(&app, "Who serviced the boiler in May?");
        let undo = |step: Step| {
            if step.judged == 1 {
                let undone = app.undo(&what(newest(&app).id)).unwrap();
                assert_eq!(undone.retired, 1);
            }
        };
        let report = run_telling(&app, &undo);
        assert_eq!(report.considered.len(), 1, "{report:#?}");
        assert!(report.rolled_back && report.reason == "the owner undid it");
        let batch = newest(&app);
        assert_eq!(batch.state, "rolled_back");
        assert!(batch.ended_ms.is_some());
        let units = app.units(None, 10).unwrap().units;
        let left: Vec<State> = units.iter().map(|unit| unit.state).collect();
        assert_eq!(left, [State::Retired]);
        // What was not judged is judged in a batch of its own.
        let next = run(&app);
        assert_ne!(next.batch, report.batch);
        assert_eq!(next.considered.len(), 1, "{next:#?}");
    };
    check(&Undo::Batch);
    check(&|_| Undo::Since(0));
    check(&|_| Undo::All);
}

#[test]
fn a_batch_that_is_taken_back_leaves_units_as_they_were() {
    let home = Home::new();
    garden(&home);
    let app = opened(&home);
    ask(&app, PEAR);
    let first = run(&app);
    let unit = first.considered[0].unit.clone().unwrap();
    let before = now(&app, &unit);
    // The second batch widens the unit and puts it in use.
    ask(&app, PEAR_AGAIN);
    let second = run(&app);
    assert_eq!(second.promoted, std::slice::from_ref(&unit));
    let widened = now(&app, &unit);
    assert_eq!(widened.questions.len(), 2);
    let batches = app.batches(10).unwrap().batches;
    let did: Vec<(u32, u32)> = batches.iter().map(|b| (b.made, b.changed)).collect();
    assert_eq!(did, [(0, 1), (1, 0)]);
    let undone = app.undo(&Undo::Batch(second.batch)).unwrap();
    assert_eq!(undone.retired, 1);
    let after = now(&app, &unit);
    assert_eq!(
        (after.state, after.questions),
        (State::Shadow, before.questions)
    );
    assert!(!recalls(&ask(&app, PEAR)));
    assert_eq!(app.undo(&Undo::Batch(first.batch)).unwrap().retired, 1);
    assert_eq!(now(&app, &unit).state, State::Retired);
}

#[test]
fn a_merged_unit_waits_until_it_may_take_the_place_of_others() {
    let home = Home::new();
    garden(&home);
    let app = opened(&home);
    ask(&app, PEAR);
    run(&app);
    let old = app.units(None, 10).unwrap().units.remove(0);
    app.decide(&old.id, Decision::Approve).unwrap();
    let merged = Unit {
        id: "merged".into(),
        state: State::Shadow,
        replaces: vec![old.id.clone()],
        reason: "found".into(),
        uses: Uses::default(),
        ..old.clone()
    };
    let ledger = app.store.ledger();
    ledger.write(|t| units::put_unit(t, &merged)).unwrap();
    let state = |id: &str| now(&app, id).state;
    assert_eq!(state(&old.id), State::Active);
    app.decide("merged", Decision::Approve).unwrap();
    assert_eq!(
        (state(&old.id), state("merged")),
        (State::Retired, State::Active)
    );
    // Without it the old one is what it was.
    app.undo(&Undo::Unit("merged".into())).unwrap();
    assert_eq!(
        (state(&old.id), state("merged")),
        (State::Active, State::Retired)
    );
    // A decision is taken back by itself, too.
    app.decide("merged", Decision::Approve).unwrap();
    app.decide("merged", Decision::Undo).unwrap();
    assert_eq!(
        (state(&old.id), state("merged")),
        (State::Active, State::Retired)
    );
    assert!(app.decide(&old.id, Decision::Undo).is_err());
    // And one that the owner retires leaves its place again.
    app.decide("merged", Decision::Approve).unwrap();
    app.decide("merged", Decision::Retire).unwrap();
    assert_eq!(
        (state(&old.id), state("merged")),
        (State::Active, State::Retired)
    );
    // What was made in the time that is taken back does not come back with it.
    app.decide("merged", Decision::Approve).unwrap();
    app.undo(&Undo::Since(0)).unwrap();
    assert_eq!(
        (state(&old.id), state("merged")),
        (State::Retired, State::Retired)
    );
}

#[test]
fn verdicts_count_whenever_they_come_and_only_the_owners_is_praise() {
    let home = Home::new();
    garden(&home);
    let app = opened(&home);
    let answer = ask(&app, PEAR);
    run(&app);
    let unit = app.units(None, 10).unwrap().units.remove(0).id;
    let state = || now(&app, &unit).state;
    app.feedback(&answer.id, "good", (None, Some("mcp")))
        .unwrap();
    run(&app);
    assert_eq!(state(), State::Shadow, "an agent is not the owner");
    app.feedback(&answer.id, "good", (None, None)).unwrap();
    assert_eq!(run(&app).promoted, std::slice::from_ref(&unit));
    let recalled = ask(&app, PEAR_AGAIN);
    assert!(recalls(&recalled));
    app.feedback(&recalled.id, "bad", (None, None)).unwrap();
    assert_eq!(run(&app).contested, std::slice::from_ref(&unit));
    assert_eq!(state(), State::Contested);
    assert_eq!(now(&app, &unit).uses.harmed, 1);
    // Heard once.
    app.decide(&unit, Decision::Approve).unwrap();
    run(&app);
    assert_eq!(state(), State::Active);
}

#[test]
fn a_verdict_that_was_a_slip_is_taken_back_though_a_run_has_heard_it() {
    let home = Home::new();
    garden(&home);
    let app = opened(&home);
    let (first, second) = (ask(&app, PEAR), ask(&app, PEAR_AGAIN));
    run(&app);
    let unit = app.units(None, 10).unwrap().units.remove(0).id;
    for answer in [&first, &second] {
        app.feedback(&answer.id, "bad", (None, None)).unwrap();
    }
    assert_eq!(run(&app).contested, std::slice::from_ref(&unit));
    app.feedback(&first.id, "good", (None, None)).unwrap();
    run(&app);
    assert_eq!(now(&app, &unit).state, State::Contested, "the other stands");
    app.feedback(&second.id, "good", (None, None)).unwrap();
    run(&app);
    let again = now(&app, &unit);
    assert_eq!(
        (again.state, again.uses.harmed),
        (State::Active, 0),
        "{again:#?}"
    );
}

#[test]
fn what_was_called_bad_is_no_better_under_another_heading() {
    let home = Home::new();
    garden(&home);
    let app = opened(&home);
    let answer = ask(&app, PEAR);
    run(&app);
    let unit = app.units(None, 10).unwrap().units.remove(0);
    app.feedback(&answer.id, "bad", (None, None)).unwrap();
    assert_eq!(run(&app).contested, std::slice::from_ref(&unit.id));
    let text = std::fs::read_to_string(home.notes().join("garden.md")).unwrap();
    home.write("garden.md", text.replace("# Garden", "# Orchard"));
    sync(&app);
    assert_eq!(now(&app, &unit.id).state, State::Stale);
    assert_eq!(run(&app).verified, std::slice::from_ref(&unit.id));
    let again = now(&app, &unit.id);
    assert_eq!(
        (again.state, again.title.as_str()),
        (State::Contested, "Orchard"),
        "{again:#?}"
    );
}

#[test]
fn what_the_owner_decided_knowing_the_contrary_stands() {
    let home = Home::new();
    garden(&home);
    let lie = "# Trees\n\nThe pear tree was planted in 1987.\n";
    home.write("other.md", lie);
    let app = opened(&home);
    ask(&app, PEAR);
    let report = run(&app);
    assert_eq!(report.contested.len(), 1, "{report:#?}");
    let unit = &report.contested[0];
    app.decide(unit, Decision::Approve).unwrap();
    home.write("more.md", "# More\n\nThe bench is new.\n");
    sync(&app);
    run(&app);
    assert_eq!(now(&app, unit).state, State::Active);
    // Another contradiction is news.
    home.write(
        "third.md",
        "# Third\n\nThe pear tree was planted in 1999.\n",
    );
    sync(&app);
    assert_eq!(run(&app).contested, std::slice::from_ref(unit));
}
