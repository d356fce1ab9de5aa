//! Edits: what becomes of units when notes are edited, moved, removed and brought back.

use coho::app::App;
use coho::domain::chunk::ChunkId;
use coho::domain::unit::{Quotes, State, Unit};
use coho::flow::writeback::Decision;
use coho::store::units::batches::Undo;
use coho::store::units::{self, life};

use super::{
    PEAR, THINGS, approved, ask, asked, garden, in_state, learned, made_of, now, opened, promoted,
    put, recalls, run, things, unit_of,
};
use crate::kit::{Home, sync};

#[test]
fn an_edit_elsewhere_in_the_passage_leaves_what_is_known() {
    let home = Home::new();
    garden(&home);
    let app = opened(&home);
    promoted(&app);
    home.write(
        "garden.md",
        "# Garden\n\nThe fence is new.\n\nThe pear tree was planted in 2004 by Anna.\n",
    );
    sync(&app);
    assert_eq!(in_state(&app, State::Stale).len(), 1);
    assert!(!recalls(&ask(&app, PEAR)));
    let report = run(&app);
    let units = app.units(None, 10).unwrap();
    let counts = (report.verified.len(), report.promoted.len());
    assert_eq!(counts, (1, 1), "{units:#?}");
    let known = ask(&app, PEAR);
    assert!(recalls(&known));
    assert_eq!(
        known.citations[0].lines,
        Some((5, 5)),
        "the line where it stands now"
    );
}

#[test]
fn no_unit_outlives_its_source() {
    let home = Home::new();
    things(&home);
    let app = opened(&home);
    let units = learned(&app);
    assert!(units.len() >= 20, "{:#?}", app.units(None, 100));
    assert!(recalls(&ask(&app, &made_of("violin"))));
    for (n, (thing, _)) in THINGS.iter().enumerate() {
        let note = format!("{thing}.md");
        if n % 2 == 0 {
            std::fs::remove_file(home.notes().join(note)).unwrap();
        } else {
            home.write(&note, format!("The {thing} in the attic is made of ice.\n"));
        }
    }
    sync(&app);
    for (thing, of) in THINGS {
        let answer = ask(&app, &made_of(thing));
        assert!(
            !recalls(&answer) && !answer.answer.contains(of),
            "{answer:#?}"
        );
        assert!(
            answer
                .retrieval
                .hits
                .iter()
                .all(|hit| hit.unit_id.is_none())
        );
    }
    assert_eq!(in_state(&app, State::Active).len(), 0);
}

#[test]
fn a_sentence_that_stands_twice_stops_nothing() {
    let home = Home::new();
    let filler = |of: &str| {
        let about = ["stored", "sorted", "dried", "pressed", "sold", "given away"];
        about
            .map(|done| format!("The {of} are {done} in the autumn of every year. "))
            .concat()
    };
    let (apples, plums) = (filler("apples"), filler("plums"));
    let pear = "The pear tree was planted in 2004.";
    let note =
        |first: &str| format!("# Garden\n\n## A\n\n{first} {apples}\n\n## B\n\n{pear} {plums}\n");
    garden(&home);
    home.write("garden.md", note(pear));
    let app = opened(&home);
    let mut unit = unit_of(&app, "Who serviced the boiler in May?");
    // It quotes both places, the first one first.
    let ledger = rusqlite::Connection::open(home.path("home/ledger.sqlite")).unwrap();
    let chunk = |heading: &str| {
        let sql = "SELECT id FROM chunk WHERE text LIKE ?1";
        let id: Vec<u8> = ledger.query_row(sql, [heading], |row| row.get(0)).unwrap();
        ChunkId(id.try_into().unwrap())
    };
    let quotes = |heading: &str| Quotes {
        chunk: chunk(heading),
        path: "garden.md".into(),
        sentences: vec![pear.into()],
    };
    unit.sources = vec![quotes("%## A%in 2004%"), quotes("%## B%in 2004%")];
    unit.title = "Garden".into();
    assert_ne!(unit.sources[0].chunk, unit.sources[1].chunk);
    unit.text = Unit::text_of(&unit.sources);
    put(&app, &unit);
    home.write("garden.md", note("The plum tree is older."));
    sync(&app);
    run(&app);
    assert_eq!(app.batches(1).unwrap().batches[0].state, "published");
}

#[test]
fn what_a_sentence_stands_under_is_verified_with_it() {
    let home = Home::new();
    let note = |place: &str, head: &str| {
        format!(
            "# Hours\n\nThese are new.\n\n## {place}\n\nThe desk opens at 9:15 in the morning.\n\n\
             ## Pool\n\nIt is warm.\n\n| Lane | {head} |\n| --- | --- |\n| Blue lane | 1987 |\n"
        )
    };
    home.write("hours.md", note("Library", "Built"));
    let app = opened(&home);
    let opens = ask(&app, "When does the desk of the library open?");
    assert_eq!(
        opens.citations[0].heading.as_deref(),
        Some("Hours > Library")
    );
    ask(&app, "When was the blue lane of the pool built?");
    run(&app);
    let units = app.units(None, 10).unwrap().units;
    let titled = |title: &str| {
        units
            .iter()
            .find(|unit| unit.title == title)
            .unwrap()
            .clone()
    };
    let desk = titled("Hours > Library");
    let lane = titled("Hours > Pool > Lane | Built");
    for unit in [&desk, &lane] {
        app.decide(&unit.id, Decision::Approve).unwrap();
    }
    let state = |unit: &Unit| now(&app, &unit.id).state;
    // The same sentences, moved by an edit of others: verified as they are.
    let moved = note("Library", "Built").replace("It is warm.", "It is cold in spring.");
    home.write("hours.md", moved);
    sync(&app);
    assert_eq!((state(&desk), state(&lane)), (State::Stale, State::Stale));
    run(&app);
    assert_eq!((state(&desk), state(&lane)), (State::Active, State::Active));
    // The same sentences under something else.
    home.write("hours.md", note("Museum", "Closed"));
    sync(&app);
    run(&app);
    assert!(state(&desk) != State::Active && state(&lane) != State::Active);
}

#[test]
fn what_a_sentence_means_is_verified_with_it() {
    let home = Home::new();
    let note = |between: &str| {
        format!(
            "# Garden\n\nThe pear tree stands by the gate. {between}It was planted by Anna in 2004.\n"
        )
    };
    home.write("garden.md", note(""));
    let app = opened(&home);
    home.write(
        "shed.md",
        "# Shed\n\nThe door lock of the shed is a Burg 444.\n",
    );
    sync(&app);
    let unit = unit_of(&app, "When was the pear tree planted by Anna?");
    assert!(unit.text.contains("It was planted"), "{unit:#?}");
    app.decide(&unit.id, Decision::Approve).unwrap();
    home.write("garden.md", note("The plum tree stands by the shed. "));
    sync(&app);
    run(&app);
    let unit = now(&app, &unit.id);
    assert_eq!(unit.state, State::Retired, "{unit:#?}");
}

#[test]
fn what_a_document_is_called_is_verified_with_it() {
    let home = Home::new();
    garden(&home);
    home.write(
        "winter tyres.md",
        "The tyres lie in the cellar behind the freezer.\n",
    );
    let app = opened(&home);
    let unit = unit_of(&app, "Where do the winter tyres lie in the cellar?");
    assert_eq!(unit.title, "winter tyres");
    app.decide(&unit.id, Decision::Approve).unwrap();
    let notes = home.notes();
    std::fs::rename(notes.join("winter tyres.md"), notes.join("summer tyres.md")).unwrap();
    sync(&app);
    assert_eq!(now(&app, &unit.id).state, State::Stale);
    run(&app);
    let unit = now(&app, &unit.id);
    assert_ne!(unit.state, State::Active, "{unit:#?}");
}

/// The note goes for so long that what was learned of it goes, too; something is done; it comes back,
/// and what was learned is looked at.
fn away_and_back(
    home: &Home,
    (app, unit, text): (&App, &Unit, &[u8]),
    meanwhile: impl FnOnce(),
) -> State {
    let state = || now(app, &unit.id).state;
    std::fs::remove_file(home.notes().join("garden.md")).unwrap();
    sync(app);
    assert_eq!(state(), State::Stale);
    assert_eq!(run(app).retired, std::slice::from_ref(&unit.id));
    meanwhile();
    home.write("garden.md", text);
    sync(app);
    assert!(!recalls(&asked(app, PEAR, false)), "it was not looked at");
    run(app);
    state()
}

#[test]
fn what_was_away_for_a_while_is_known_again() {
    let home = Home::new();
    let (app, unit, text) = approved(&home);
    let of = (&app, &unit, text.as_slice());
    for _ in 0..2 {
        let state = away_and_back(&home, of, || {});
        let story = app.unit(&unit.id).unwrap();
        assert_eq!(state, State::Active, "{story:#?}");
        assert!(recalls(&asked(&app, PEAR, false)));
    }
    let story = app.unit(&unit.id).unwrap();
    let back = story.events.iter().filter(|event| {
        event.before == Some(State::Retired) && event.reason == "what it rests on came back"
    });
    assert_eq!(back.count(), 2, "{story:#?}");
    // It comes into use by itself where it had: by what it was good for.
    let home = Home::new();
    garden(&home);
    let app = opened(&home);
    let answer = ask(&app, PEAR);
    app.feedback(&answer.id, "good", (None, None)).unwrap();
    assert_eq!(run(&app).promoted.len(), 1);
    let unit = app.units(None, 10).unwrap().units.remove(0);
    let state = away_and_back(&home, (&app, &unit, &text), || {});
    assert_eq!(state, State::Active);
}

#[test]
fn what_was_decided_while_it_was_away_stays_so() {
    let check = |meanwhile: &dyn Fn(&App, &Unit)| {
        let home = Home::new();
        let (app, unit, text) = approved(&home);
        let state = away_and_back(&home, (&app, &unit, &text), || meanwhile(&app, &unit));
        let story = app.unit(&unit.id).unwrap();
        assert_eq!(state, State::Retired, "{story:#?}");
    };
    for decision in [Decision::Reject, Decision::Retire] {
        check(&|app, unit| {
            let decided = app.decide(&unit.id, decision).unwrap();
            assert!(decided.reason.starts_with(life::BY_OWNER));
        });
    }
    check(&|app, unit| {
        let undone = app.undo(&Undo::Batch(unit.batch.clone())).unwrap();
        assert_eq!(undone.retired, 1);
    });
    check(&|app, unit| {
        let undone = app.undo(&Undo::Unit(unit.id.clone())).unwrap();
        assert_eq!(undone.retired, 1);
    });
    check(&|app, unit| {
        let answer = app.unit(&unit.id).unwrap().answers.remove(0);
        app.feedback(&answer, "bad", (None, None)).unwrap();
        run(app);
    });
}

#[test]
fn a_source_that_changes_while_it_is_judged_makes_a_stale_unit() {
    let home = Home::new();
    garden(&home);
    let app = opened(&home);
    let mut unit = unit_of(&app, PEAR);
    home.write("garden.md", "# Garden\n\nThe garden was sold.\n");
    sync(&app);
    unit.id = "late".into();
    let ledger = app.store.ledger();
    ledger.write(|t| units::put_unit(t, &unit)).unwrap();
    assert_eq!(now(&app, "late").state, State::Stale);
}
