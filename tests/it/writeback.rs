//! Writeback: what becomes of answers, what units do, and what they must never do.
//!
//! Here is the whole way of an answer, and what the parts share: notes, questions, and units made
//! of them.

mod edits;
mod forgetting;
mod harm;
mod others;
mod owner;

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use coho::app::App;
use coho::app::learning::{RunBody, is_on_battery};
use coho::domain::generator::Drafts;
use coho::domain::unit::{Merge, State, Unit};
use coho::flow::answer::{Answer, StepKind};
use coho::flow::writeback::{Decision, Report, Step};
use coho::settings::Settings;
use coho::store::sources::Rules;
use coho::store::units::{self, UseUnits, near};
use serde_json::{Value, json};

use crate::kit::{Home, open, server, skipped, sync, within_one_day};

fn add(app: &App, home: &Home) {
    let source = app.add_source(&home.notes(), &Rules::default()).unwrap();
    let stop = AtomicBool::new(false);
    app.ingest.sync(&source, &|_| {}, &stop).unwrap();
}

/// A knowledge base of the notes that were written so far.
fn opened(home: &Home) -> App {
    let app = open(home, |_| {});
    add(&app, home);
    app
}

fn ask(app: &App, question: &str) -> Answer {
    asked(app, question, true)
}

pub fn asked(app: &App, question: &str, kept: bool) -> Answer {
    let mut ask = app.question(question.into(), None, None, None);
    ask.kept = kept;
    app.ask(&ask, &Arc::default(), &mut |_| ControlFlow::Continue(()))
        .unwrap()
}

fn run(app: &App) -> Report {
    run_telling(app, &|_| {})
}

/// A run during which something happens.
fn run_telling(app: &App, told: &dyn Fn(Step)) -> Report {
    let stop = AtomicBool::new(false);
    app.write_back(&RunBody::default(), told, &stop).unwrap()
}

/// A unit as it is by now.
fn now(app: &App, id: &str) -> Unit {
    app.unit(id).unwrap().unit
}

fn in_state(app: &App, state: State) -> Vec<String> {
    let units = app.units(Some(state), 1000).unwrap().units;
    units.into_iter().map(|unit| unit.text).collect()
}

fn recalls(answer: &Answer) -> bool {
    answer
        .steps
        .iter()
        .any(|step| step.kind == StepKind::Recall)
}

fn garden(home: &Home) {
    home.write(
        "garden.md",
        "# Garden\n\nThe pear tree was planted in 2004 by Anna.\n\nThe plum tree gave 31 kilograms \
         in its best year.\n",
    );
    home.write(
        "shed.md",
        "# Shed\n\nThe door lock of the shed is a Burg 444.\n\nThe shed is painted in a swedish red.\n",
    );
    home.write(
        "boiler.md",
        "# Boiler\n\nThe boiler was serviced by Frau Adler in May.\n",
    );
}

const PEAR: &str = "When was the pear tree planted?";

const PEAR_AGAIN: &str = "In which year was the pear tree planted?";

/// The unit that comes of a question, where no other is known.
fn unit_of(app: &App, question: &str) -> Unit {
    ask(app, question);
    run(app);
    app.units(None, 10).unwrap().units.remove(0)
}

/// The unit of the pear tree, in use by itself: another question came to the same evidence.
fn promoted(app: &App) -> String {
    unit_of(app, PEAR);
    ask(app, PEAR_AGAIN);
    let mut report = run(app);
    assert_eq!(report.promoted.len(), 1, "{report:#?}");
    report.promoted.remove(0)
}

#[test]
fn an_answer_becomes_a_unit_helps_goes_stale_and_follows_the_edit() {
    let home = Home::new();
    garden(&home);
    let app = opened(&home);
    assert!(ask(&app, PEAR).answer.contains("2004"));
    let report = run(&app);
    assert_eq!((report.made, report.promoted.len()), (1, 0), "{report:#?}");
    let before = ask(&app, PEAR_AGAIN);
    assert!(!recalls(&before), "a unit in trial is shown to nobody");
    let report = run(&app);
    assert_eq!(report.promoted.len(), 1, "{report:#?}");
    let known = ask(&app, "What year was the pear tree planted in?");
    assert!(recalls(&known), "{known:#?}");
    assert!(known.answer.contains("2004"));
    let cited = &known.citations[0];
    assert!(cited.path.ends_with("garden.md") && cited.lines == Some((3, 3)));
    assert_eq!(cited.unit_id.as_ref(), Some(&report.promoted[0]));
    // The edit: from the first question after it nothing of the unit is left.
    home.write(
        "garden.md",
        "# Garden\n\nThe pear tree was planted in 2011 by Oskar.\n",
    );
    sync(&app);
    let after = ask(&app, PEAR);
    assert!(
        !recalls(&after) && !after.answer.contains("2004"),
        "{after:#?}"
    );
    assert!(after.answer.contains("2011"));
    let story = app.unit(&report.promoted[0]).unwrap();
    assert_eq!(story.unit.state, State::Stale);
    let report = run(&app);
    assert_eq!(report.retired.len(), 1);
    let story = app.unit(&report.retired[0]).unwrap();
    let states: Vec<State> = story.events.iter().map(|event| event.after).collect();
    let expected = [State::Shadow, State::Active, State::Stale, State::Retired];
    assert_eq!(states, expected, "{story:#?}");
    assert!(
        in_state(&app, State::Shadow)[0].contains("2011"),
        "distilled again"
    );
    assert!(app.lint().unwrap().is_empty());
}

/// Things that notes are about, each with something that only it has.
const THINGS: [(&str, &str); 24] = [
    ("kettle", "copper"),
    ("violin", "Cremona"),
    ("telescope", "Jena"),
    ("canoe", "birch"),
    ("tractor", "diesel"),
    ("piano", "Hamburg"),
    ("greenhouse", "glass"),
    ("accordion", "Klingenthal"),
    ("sewing machine", "Pfaff"),
    ("lawn mower", "petrol"),
    ("chessboard", "maple"),
    ("sleigh", "ash"),
    ("microscope", "Wetzlar"),
    ("compass", "brass"),
    ("tent", "canvas"),
    ("typewriter", "Olympia"),
    ("anvil", "steel"),
    ("saddle", "leather"),
    ("loom", "oak"),
    ("barometer", "mercury"),
    ("hammock", "cotton"),
    ("lantern", "paraffin"),
    ("bellows", "goatskin"),
    ("sundial", "slate"),
];

fn things(home: &Home) {
    for (thing, of) in THINGS {
        let title = thing.to_uppercase();
        let text = format!("# {title}\n\nThe {thing} in the attic is made of or from {of}.\n");
        home.write(&format!("{thing}.md"), text);
    }
}

fn made_of(thing: &str) -> String {
    format!("What is the {thing} in the attic made of?")
}

/// Asks about all things and approves what came of it.
fn learned(app: &App) -> Vec<Unit> {
    for (thing, _) in THINGS {
        ask(app, &made_of(thing));
    }
    run(app);
    for unit in app.units(Some(State::Shadow), 100).unwrap().units {
        app.decide(&unit.id, Decision::Approve).unwrap();
    }
    app.units(Some(State::Active), 100).unwrap().units
}

/// Puts a unit of the test's own making into the ledger, with the vectors of its questions.
fn put(app: &App, unit: &Unit) {
    let embedder = &app.spaces.current().embedder;
    let vectors = embedder.few(unit.questions.clone()).unwrap();
    let put = app.store.ledger().write(|transaction| {
        units::put_unit(transaction, unit)?;
        near::put_vectors(transaction, &unit.id, "all-minilm-l6-v2", &vectors)
    });
    put.unwrap();
}

/// Adds the notes, and a second folder, as what others wrote.
fn add_others(app: &App, home: &Home) {
    let rules = Rules {
        outside: true,
        ..Rules::default()
    };
    for folder in [home.notes(), home.path("second")] {
        std::fs::create_dir_all(&folder).unwrap();
        app.add_source(&folder, &rules).unwrap();
    }
    sync(app);
}

/// A unit of the garden that is in use, and what its file says.
fn approved(home: &Home) -> (App, Unit, Vec<u8>) {
    garden(home);
    let app = open(home, |_| {});
    add(&app, home);
    let unit = unit_of(&app, PEAR);
    let unit = app.decide(&unit.id, Decision::Approve).unwrap();
    let text = std::fs::read(home.notes().join("garden.md")).unwrap();
    (app, unit, text)
}

#[test]
fn a_unit_led_nowhere_where_nothing_that_was_written_from_it_is_told() {
    let home = Home::new();
    let (app, unit, _) = approved(&home);
    drop(app);
    let url = server(|_| {
        let choice = json!({ "delta": { "content": "Zebedee sold it in 1999." } });
        let end = json!({ "delta": {}, "finish_reason": "stop" });
        let events =
            [choice, end].map(|choice| format!("data: {}\n\n", json!({ "choices": [choice] })));
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{}\
             data: [DONE]\n\n",
            events.concat()
        )
    });
    let app = open(&home, |settings| {
        settings.models.server.url = format!("{url}/v1");
        settings.models.server.model = "scripted".into();
        settings.answer.drafts = Drafts::Always;
        // In ranking it would lead.
        settings.writeback.merge = Merge::Context;
    });
    let answer = asked(&app, PEAR, false);
    assert!(
        recalls(&answer) && answer.answer.contains("2004"),
        "{answer:#?}"
    );
    let hits = &answer.retrieval.hits;
    assert!(hits.iter().all(|hit| hit.unit_id.is_none()), "{hits:#?}");
    assert_eq!(now(&app, &unit.id).state, State::Active);
}

#[test]
fn a_full_day_makes_no_units_and_looks_after_those_that_are_there() {
    within_one_day();
    let home = Home::new();
    garden(&home);
    let app = open(&home, |settings| settings.writeback.day_units = 1);
    add(&app, &home);
    let unit = unit_of(&app, PEAR);
    app.decide(&unit.id, Decision::Approve).unwrap();
    ask(&app, "Who serviced the boiler in May?");
    assert_eq!(run(&app).made, 0, "the day is full");
    home.write(
        "other.md",
        "# Trees\n\nThe pear tree was planted in 1987.\n",
    );
    sync(&app);
    assert_eq!(run(&app).contested, std::slice::from_ref(&unit.id));
}

#[test]
fn a_spent_day_judges_nothing_until_there_is_more_to_spend() {
    for spend_nothing in [
        (|settings| settings.writeback.day_s = 0) as fn(&mut Settings),
        |settings| settings.writeback.day_joules = 0.0,
    ] {
        let home = Home::new();
        garden(&home);
        let app = open(&home, spend_nothing);
        add(&app, &home);
        ask(&app, PEAR);
        let report = run(&app);
        assert_eq!(
            (report.made, report.considered.len()),
            (0, 0),
            "{report:#?}"
        );
        assert!(report.reason.contains("budget"), "{report:#?}");
        drop(app);
        // The answer waits for the next day.
        let app = open(&home, |_| {});
        assert_eq!(run(&app).made, 1);
    }
}

/// With a unit in trial, `harmful`, that would answer for the canoe with what the violin is made of.
fn with_harmful(home: &Home) -> App {
    things(home);
    let app = open(home, |_| {});
    add(&app, home);
    ask(&app, &made_of("canoe"));
    ask(&app, &made_of("violin"));
    let report = run(&app);
    let mut considered = report.considered.iter();
    let violin = considered.find(|one| one.question == made_of("violin"));
    let violin = violin.unwrap().unit.clone().unwrap();
    let harmful = Unit {
        id: "harmful".into(),
        questions: vec![made_of("canoe")],
        ..now(&app, &violin)
    };
    put(&app, &harmful);
    app
}

#[test]
fn a_spent_day_tries_nothing_until_there_is_more_to_spend() {
    let home = Home::new();
    drop(with_harmful(&home));
    let app = open(&home, |settings| settings.writeback.day_s = 0);
    let report = run(&app);
    assert!(report.reason.contains("budget"), "{report:#?}");
    assert_eq!(now(&app, "harmful").state, State::Shadow);
    drop(app);
    let app = open(&home, |_| {});
    assert_eq!(run(&app).retired, ["harmful"]);
}

#[test]
fn a_run_that_is_to_make_room_makes_no_vectors_anew() {
    let home = Home::new();
    let (app, _, _) = approved(&home);
    let ledger = rusqlite::Connection::open(home.path("home/ledger.sqlite")).unwrap();
    let vectors = || -> u32 {
        let count = "SELECT count(*) FROM unit_vector";
        ledger.query_row(count, [], |row| row.get(0)).unwrap()
    };
    // As after a change of the embedding model.
    ledger.execute("DELETE FROM unit_vector", []).unwrap();
    let stop = AtomicBool::new(true);
    app.write_back(&RunBody::default(), &|_| {}, &stop).unwrap();
    assert_eq!(vectors(), 0);
    run(&app);
    assert_eq!(vectors(), 2, "of its question, and of what it says");
}

#[test]
fn what_was_not_judged_and_changed_nothing_is_no_batch() {
    let home = Home::new();
    garden(&home);
    let app = opened(&home);
    ask(&app, PEAR);
    run(&app);
    assert_eq!(app.batches(10).unwrap().batches.len(), 1);
    // An edit has units compared with it; this one says nothing of them.
    home.write("bench.md", "# Bench\n\nThe bench is new.\n");
    sync(&app);
    let report = run(&app);
    assert_eq!(app.batches(10).unwrap().batches.len(), 1, "{report:#?}");
}

#[test]
fn an_idle_service_learns_by_itself_and_ends_at_once() {
    if is_on_battery() {
        skipped("on its battery the machine is spared");
        return;
    }
    let home = Home::new();
    garden(&home);
    home.add();
    let variables = [
        ("COHO_WRITEBACK_IDLE_S", "1"),
        ("COHO_MODELS_GENERATOR", "none"),
    ];
    let service = home.serve_with(&variables);
    service.post("/v1/ask", &json!({ "question": PEAR }));
    crate::kit::wait_for("a unit", || {
        let (_, units) = service.get("/v1/units");
        !units["units"].as_array().unwrap().is_empty()
    });
    assert_eq!(service.stop(), 0);
}

#[test]
fn a_run_that_is_cut_off_goes_on_where_it_was() {
    let points = [
        "writeback-judged@2",
        "writeback-kept@2",
        "writeback-replayed",
        "writeback-promoted",
    ];
    for point in points {
        for what in ["kill", "error"] {
            let home = Home::new();
            garden(&home);
            home.add();
            for question in [PEAR, PEAR_AGAIN, "Who serviced the boiler?"] {
                home.json(&["ask", question]);
            }
            let fail = format!("{point}={what}");
            let ended = home.run_with(&[("COHO_FAIL", &fail)], &["writeback", "run"]);
            assert_ne!(ended.code, 0, "{fail}");
            let report = home.json(&["writeback", "run"]);
            assert_eq!(report["rolled_back"], false);
            let batches = home.json(&["writeback", "list"])["batches"].clone();
            assert_eq!(
                batches.as_array().unwrap().len(),
                1,
                "{point}={what}: gone on with"
            );
            let units = home.json(&["units", "list"])["units"].clone();
            let texts: Vec<&str> = units
                .as_array()
                .unwrap()
                .iter()
                .map(|u| u["text"].as_str().unwrap())
                .collect();
            assert_eq!(texts.len(), 2, "{point}={what}: {texts:?}");
            let pear = units
                .as_array()
                .unwrap()
                .iter()
                .find(|u| u["title"] == "Garden")
                .unwrap();
            assert_eq!(
                pear["questions"].as_array().unwrap().len(),
                2,
                "{point}={what}"
            );
        }
    }
}

#[test]
fn ten_rounds_on_its_own_output_lose_no_original() {
    let home = Home::new();
    garden(&home);
    for n in 0..30 {
        home.write(
            &format!("room{n}.md"),
            format!(
                "# Room {n}\n\nThe lamp of room {n} has {} watts.\n\nIts walls are grey.\n",
                n + 7
            ),
        );
    }
    let app = open(&home, |settings| settings.writeback.day_units = 1000);
    add(&app, &home);
    let question = |n: usize| format!("How many watts has the lamp of room {n}?");
    let found = |units: UseUnits| {
        (0..30)
            .filter(|n| {
                let mut ask = app.question(question(*n), None, Some(5), None);
                ask.units = units.clone();
                ask.kept = false;
                let answer = app
                    .ask(&ask, &Arc::default(), &mut |_| ControlFlow::Continue(()))
                    .unwrap();
                let path = home.notes().join(format!("room{n}.md"));
                answer.retrieval.hits.iter().any(|hit| hit.path == path)
            })
            .count()
    };
    assert_eq!(found(UseUnits::Off), 30);
    for _ in 0..10 {
        for n in 0..30 {
            ask(&app, &question(n));
        }
        let report = run(&app);
        assert!(!report.rolled_back);
    }
    assert_eq!(found(UseUnits::Active), 30);
    let units = app.units(None, 1000).unwrap().units;
    assert!(!units.is_empty());
    assert!(
        units
            .iter()
            .all(|unit| unit.is_verbatim() && !unit.sources.is_empty())
    );
}

#[test]
fn evidence_is_opened_in_the_file_that_it_was_taken_from() {
    let home = Home::new();
    garden(&home);
    let app = opened(&home);
    let unit = unit_of(&app, PEAR);
    let file = || app.unit(&unit.id).unwrap().evidence.remove(0).file;
    let own = home.notes().join("garden.md");
    // Its path comes first.
    let copy = home.write("archive/other.md", std::fs::read(&own).unwrap());
    sync(&app);
    assert_eq!(file(), Some(own.clone()));
    std::fs::remove_file(own).unwrap();
    sync(&app);
    assert_eq!(file(), Some(copy.clone()));
    std::fs::remove_file(copy).unwrap();
    sync(&app);
    assert_eq!(file(), None);
}

#[test]
fn the_service_tells_of_units_and_takes_decisions() {
    let home = Home::new();
    garden(&home);
    home.add();
    let service = home.serve();
    let (_, answer) = service.post("/v1/ask", &json!({ "question": PEAR }));
    let id = answer["id"].as_str().unwrap();
    let signals = format!("/v1/answers/{id}/signals");
    assert_eq!(service.post(&signals, &json!({ "kind": "opened" })).0, 204);
    assert_eq!(service.post(&signals, &json!({ "kind": "burnt" })).0, 400);
    let (code, report) = service.post("/v1/writeback", &json!({}));
    assert_eq!((code, &report["made"]), (200, &json!(1)), "{report:#}");
    let (_, units) = service.get("/v1/units?state=shadow");
    let unit = units["units"][0]["id"].as_str().unwrap().to_owned();
    let (code, changed) = service.patch(
        &format!("/v1/units/{unit}"),
        &json!({ "decision": "approve" }),
    );
    assert_eq!((code, &changed["state"]), (200, &json!("active")));
    let (_, story) = service.get(&format!("/v1/units/{unit}"));
    assert_eq!(story["events"].as_array().unwrap().len(), 2);
    assert_eq!(story["evidence"][0]["lines"], json!([3, 3]));
    let (_, again) = service.post("/v1/ask", &json!({ "question": PEAR_AGAIN }));
    assert_eq!(again["citations"][0]["unit_id"], json!(unit));
    let body = json!({ "question": PEAR_AGAIN, "no_units": true });
    let (_, without) = service.post("/v1/ask", &body);
    assert_eq!(without["citations"][0]["unit_id"], Value::Null);
    // The command line finds the service that holds the data folder.
    let report = home.json(&["writeback", "run"]);
    assert_eq!(
        report["considered"].as_array().unwrap().len(),
        2,
        "{report:#}"
    );
    assert_eq!(service.get("/v1/units/none").0, 404);
    let (code, _) = service.patch(&format!("/v1/units/{unit}"), &json!({ "decision": "burn" }));
    assert_eq!(code, 400);
}

#[test]
fn evidence_is_ready_on_disk_and_dropped_with_its_unit() {
    let home = Home::new();
    garden(&home);
    home.add();
    let run = |arguments: &[&str]| {
        let drafts = [("COHO_ANSWER_DRAFTS", "always")];
        let ran = home.run_with(&drafts, &[arguments, &["--json"]].concat());
        ran.ok().json()
    };
    let owners = || -> HashSet<String> {
        let states = std::fs::read_dir(home.path("home/states"));
        let names = states.into_iter().flatten().flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names
            .filter_map(|name| Some(name.split_once('-')?.0.to_owned()))
            .collect()
    };
    let answer = home.json(&["ask", PEAR, "--strategy", "extractive"]);
    home.run(&["feedback", answer["id"].as_str().unwrap(), "good"])
        .done();
    let report = run(&["writeback", "run"]);
    let unit = report["promoted"][0].as_str().unwrap().to_owned();
    assert_eq!(owners(), HashSet::from([unit]));
    let ready = run(&["ask", PEAR_AGAIN]);
    let kinds: Vec<&str> = ready["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["kind"].as_str().unwrap())
        .collect();
    assert!(kinds.contains(&"recall"), "{ready:#}");
    home.write("garden.md", "# Garden\n\nThe garden was sold.\n");
    home.run(&["sync"]).done();
    run(&["writeback", "run"]);
    assert_eq!(owners(), HashSet::new());
}

#[test]
fn evidence_that_was_left_behind_goes_with_the_next_start() {
    let home = Home::new();
    let (app, unit, _) = approved(&home);
    drop(app);
    let states = home.path("home/states");
    std::fs::create_dir_all(&states).unwrap();
    let of_unit = format!("{}-1.kv", unit.id);
    // Of a unit that is not in use, of one that is, and of what every answer begins with.
    for name in ["0123456789abcdef-1.kv", of_unit.as_str(), "1.kv"] {
        std::fs::write(states.join(name), "read").unwrap();
    }
    drop(open(&home, |_| {}));
    let left = std::fs::read_dir(&states).unwrap().flatten();
    let left: HashSet<String> = left
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(left, HashSet::from([of_unit, "1.kv".to_owned()]));
}

#[test]
fn what_held_up_is_exported_for_training() {
    let home = Home::new();
    garden(&home);
    home.add();
    let good = home.json(&["ask", PEAR]);
    home.run(&["feedback", good["id"].as_str().unwrap(), "good"])
        .done();
    let bad = home.json(&["ask", PEAR, "--strategy", "naive"]);
    home.run(&["feedback", bad["id"].as_str().unwrap(), "bad"])
        .done();
    home.json(&["writeback", "run"]);
    let lines = home.run(&["export", "training"]).ok().stdout;
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    let roles: Vec<&str> = lines[0]["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["system", "user", "assistant"]);
    assert!(
        lines[0]["messages"][2]["content"]
            .as_str()
            .unwrap()
            .contains("2004")
    );
    assert_eq!(lines[1]["type"], "preference");
    assert!(lines[1]["chosen"].as_str().unwrap().contains("2004"));
    // Not of what never leaves.
    let notes = home.notes();
    home.run(&["sources", "keep", notes.to_str().unwrap()])
        .done();
    let kept = home.run(&["export", "training"]).ok();
    assert_eq!(kept.stdout, "");
    assert!(
        kept.stderr.starts_with("2 examples are left out"),
        "{}",
        kept.stderr
    );
}
