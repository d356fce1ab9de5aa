//! Forgetting: of what was forgotten nothing is left in units, reports and files.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use coho::app::learning::RunBody;
use coho::domain::access::View;
use coho::domain::source::SourceId;
use coho::domain::unit::State;
use coho::flow::answer::Event;
use coho::flow::writeback::Step;
use coho::store::erase::Erase;
use coho::store::units::life;
use serde_json::json;

use super::{
    PEAR, add_others, ask, garden, made_of, now, opened, run, run_telling, unit_of, with_harmful,
};
use crate::kit::{Home, open};

#[test]
fn a_run_that_ends_for_what_was_forgotten_says_so() {
    let home = Home::new();
    let app = with_harmful(&home);
    let other = ask(&app, &made_of("anvil")).id;
    // All are judged, and nothing was tried yet.
    let forget = |step: Step| {
        if step.judged == step.answers {
            app.forget(&Erase::Answer(other.clone())).unwrap();
        }
    };
    let report = run_telling(&app, &forget);
    assert!(report.reason.contains("forgotten"), "{report:#?}");
    assert_eq!(now(&app, "harmful").state, State::Shadow);
}

#[test]
fn what_is_forgotten_is_gone() {
    let home = Home::new();
    garden(&home);
    home.add();
    home.json(&["ask", PEAR]);
    home.json(&["ask", "Who serviced the boiler?"]);
    home.json(&["writeback", "run"]);
    let units = home.json(&["units", "list"])["units"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(units, 2);
    assert_eq!(home.run(&["forget"]).code, 1);
    let boiler = home.json(&["ask", "Who serviced the boiler in May?"]);
    let id = boiler["id"].as_str().unwrap().to_owned();
    assert_eq!(
        home.json(&["forget", &id]),
        json!({ "answers": 1, "units": 0 })
    );
    assert_eq!(home.run(&["forget", &id]).code, 1);
    let notes = home.notes().to_str().unwrap().to_owned();
    let erased = home.json(&["forget", "--source", &notes]);
    assert_eq!(erased, json!({ "answers": 2, "units": 2 }));
    assert_eq!(home.json(&["units", "list"])["units"], json!([]));
    // Not in the free pages of the ledger, either.
    for entry in std::fs::read_dir(home.path("home")).unwrap().flatten() {
        if entry.path().is_file() {
            let bytes = std::fs::read(entry.path()).unwrap();
            let holds = bytes
                .windows(PEAR.len())
                .any(|part| part == PEAR.as_bytes());
            assert!(!holds, "{}", entry.path().display());
        }
    }
    assert!(home.json(&["verify"])["ok"].as_bool().unwrap());
}

#[test]
fn what_is_forgotten_while_a_run_is_under_way_does_not_come_back() {
    let home = Home::new();
    garden(&home);
    let app = opened(&home);
    ask(&app, PEAR);
    ask(&app, "Who serviced the boiler in May?");
    let forget = |_: Step| {
        app.forget(&Erase::All).unwrap();
    };
    let report = run_telling(&app, &forget);
    assert!(report.reason.contains("forgotten"), "{report:#?}");
    assert!(app.units(None, 10).unwrap().units.is_empty());
}

#[test]
fn an_answer_that_is_written_while_all_is_forgotten_is_not_kept() {
    let home = Home::new();
    garden(&home);
    let app = opened(&home);
    let question = app.question(PEAR.to_owned(), None, None, None);
    let told = app.ask(&question, &Arc::default(), &mut |event| {
        if matches!(event, Event::Retrieval(_)) {
            app.forget(&Erase::All).unwrap();
        }
        ControlFlow::Continue(())
    });
    let told = told.unwrap();
    assert!(told.unkept && !told.citations.is_empty(), "{told:#?}");
    assert!(app.feedback(&told.id, "good", (None, None)).is_err());
    // What is asked after it is kept again, by who sees a part of the notes, too.
    assert!(!ask(&app, PEAR).unkept);
    let part = app.seen_by(View {
        asker: Some("guest".into()),
        everyones_answers: false,
        sources: Some([SourceId(1)].into()),
    });
    assert!(!ask(&part, PEAR).unkept);
}

#[test]
fn no_report_names_what_was_forgotten_while_it_was_written() {
    let home = Home::new();
    garden(&home);
    let app = opened(&home);
    let first = ask(&app, PEAR).id;
    ask(&app, "Who serviced the boiler in May?");
    ask(&app, "Which door lock does the shed have?");
    let forget = |step: Step| {
        if step.judged == 2 {
            app.forget(&Erase::Answer(first.clone())).unwrap();
        }
    };
    let report = app.write_back(&RunBody::default(), &forget, &AtomicBool::new(false));
    assert_eq!(report.unwrap().considered.len(), 2);
    let ledger = rusqlite::Connection::open(home.path("home/ledger.sqlite")).unwrap();
    let kept: String = ledger
        .query_row("SELECT report FROM batch", [], |row| row.get(0))
        .unwrap();
    assert!(!kept.contains("pear"), "{kept}");
}

#[test]
fn no_title_is_a_question_that_was_forgotten() {
    let home = Home::new();
    garden(&home);
    let app = open(&home, |_| {});
    add_others(&app, &home);
    let asked = ask(&app, "When was the pear tree planted by Anna?");
    run(&app);
    let unit = unit_of(&app, "In which year was the pear tree planted by Anna?");
    assert_eq!((&unit.title, unit.questions.len()), (&asked.question, 2));
    app.forget(&Erase::Answer(asked.id)).unwrap();
    let unit = now(&app, &unit.id);
    assert_eq!(unit.questions, [unit.title]);
}

#[test]
fn no_reason_names_what_was_forgotten() {
    let home = Home::new();
    garden(&home);
    let app = opened(&home);
    let pear = ask(&app, PEAR);
    ask(&app, "Who serviced the boiler in May?");
    run(&app);
    let made = app.units(None, 10).unwrap().units;
    let boiler = made.iter().find(|unit| unit.text.contains("boiler"));
    let boiler = boiler.unwrap().id.clone();
    let why = format!("it moves the evidence of “{PEAR}” down");
    let ledger = app.store.ledger();
    ledger
        .write(|t| life::move_unit(t, &boiler, State::Contested, &why))
        .unwrap();
    app.forget(&Erase::Answer(pear.id)).unwrap();
    let story = app.unit(&boiler).unwrap();
    let mut told = story.events.iter().map(|event| event.reason.as_str());
    assert!(!story.unit.reason.contains(PEAR), "{story:#?}");
    assert!(told.all(|reason| !reason.contains(PEAR)), "{story:#?}");
    assert_eq!(story.unit.state, State::Contested);
}
