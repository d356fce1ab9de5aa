//! kill -9 at any moment of any work: the next start ends where a clean sync ends.
//!
//! `COHO_KILLS` says how many kills (`make kills` asks for 200), `COHO_SEED` where the dice begin.

use std::fs;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::kit::{Dice, Home, disturb, number};

/// What a clean sync of the same folder, under the same path, shows.
fn clean(home: &Home) -> String {
    let other = Home::new();
    let data = other.path("home");
    let there = [("COHO_HOME", data.to_str().unwrap())];
    home.run_with(&there, &["add", home.notes().to_str().unwrap()])
        .done();
    let verdict = home.run_with(&there, &["verify", "--json"]).json();
    assert_eq!(verdict["ok"], true, "{verdict:#}");
    verdict["fingerprint"].as_str().unwrap().to_owned()
}

fn serve(home: &Home, models: &std::path::Path, embedder: &str) -> Child {
    home.command()
        .args(["serve", "--listen", "127.0.0.1:0", "--json"])
        .env("COHO_MODELS", models)
        .env("COHO_MODELS_EMBEDDER", embedder)
        .env("COHO_WATCH_DEBOUNCE_MS", "5")
        .env("COHO_WATCH_BACKUP_S", "0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Gives feedback as fast as it goes, by the command line, and counts what was acknowledged.
fn feedback(home: &Home, answer: &str, stop: &AtomicBool) -> u64 {
    let mut given = 0;
    while !stop.load(Ordering::Relaxed) {
        let ran = home.run(&["feedback", answer, "good"]);
        given += u64::from(ran.code == 0);
    }
    given
}

#[test]
fn killed_at_any_moment_nothing_is_lost() {
    let kills = number("COHO_KILLS", 10);
    let mut dice = Dice(number("COHO_SEED", 1));
    let home = Home::new();
    let models = home.two_embedders();
    for n in 0..30 {
        let text = format!(
            "# Note {n}\n\nThis is note {n}, it tells of subject {n} at some length.\n\n## Details\n\n\
             Detail {n} has the code Q{n}Z.\n"
        );
        home.write(&format!("folder-{}/note-{n}.md", n % 7), text.repeat(2));
    }
    home.json(&["add", home.notes().to_str().unwrap(), "--no-sync"]);
    let answer = home.json(&["ask", "What is the code of detail 3?"]);
    let answer = answer["id"].as_str().unwrap().to_owned();
    let mut acknowledged = 0;
    let mut embedder = "all-minilm-l6-v2";
    for kill in 0..kills {
        if dice.below(4) == 0 {
            embedder = if embedder == "second" {
                "all-minilm-l6-v2"
            } else {
                "second"
            };
        }
        let mut child = serve(&home, &models, embedder);
        let stop = AtomicBool::new(false);
        let lives = Duration::from_millis(20 + dice.below(1200));
        std::thread::scope(|scope| {
            let giving = scope.spawn(|| feedback(&home, &answer, &stop));
            let until = std::time::Instant::now() + lives;
            while std::time::Instant::now() < until {
                disturb(&home.notes(), &mut dice);
                std::thread::sleep(Duration::from_millis(dice.below(60)));
            }
            child.kill().unwrap();
            child.wait().unwrap();
            stop.store(true, Ordering::Relaxed);
            acknowledged += giving.join().unwrap();
        });
        let models = ("COHO_MODELS", models.to_str().unwrap());
        let chosen = ("COHO_MODELS_EMBEDDER", embedder);
        let synced = home.run_with(&[models, chosen], &["sync"]);
        assert_eq!(synced.code, 0, "kill {kill}: {}", synced.stderr);
        let verdict = home.run_with(&[models], &["verify", "--json"]).json();
        assert_eq!(verdict["ok"], true, "kill {kill}: {verdict:#}");
        assert_eq!(verdict["fingerprint"], clean(&home), "kill {kill}");
    }
    let exported = home.run(&["export"]).ok().stdout;
    let kept = exported
        .lines()
        .filter(|l| l.contains("\"type\":\"feedback\""))
        .count();
    assert_eq!(kept as u64, acknowledged, "acknowledged feedback is kept");
    assert!(fs::read_dir(home.path("home/backup")).unwrap().count() > 0);
    eprintln!("{kills} kills, {acknowledged} acknowledged pieces of feedback kept");
}

/// Every step of the write path.
const STEPS: &[&str] = &[
    "reserved",
    "vectors-replaced",
    "vectors",
    "terms",
    "ledger",
    "committed",
    "garbage",
    "garbage-vectors",
    "garbage-terms",
    "compact",
    "backup",
    "switch",
    "switched",
];

#[test]
fn a_failure_between_any_two_steps_leaves_the_old_or_the_new_state() {
    // The same folder each time, for its path is a part of what is compared.
    let home = Home::new();
    let begin = || {
        home.write("a.md", "# Kiln\n\nThe kiln reaches 1240 degrees.\n");
        home.write("b.md", "# Lathe\n\nThe lathe is in the shed.\n");
    };
    let edit = || {
        home.write("a.md", "# Kiln\n\nThe kiln reaches 1300 degrees now.\n");
        fs::remove_file(home.notes().join("b.md")).unwrap();
    };
    begin();
    let unedited = clean(&home);
    edit();
    let edited = clean(&home);
    for what in ["kill", "full", "error"] {
        for step in STEPS {
            if home.path("home").exists() {
                fs::remove_dir_all(home.path("home")).unwrap();
            }
            begin();
            let first = !matches!(*step, "switch" | "switched");
            if first {
                home.add();
                edit();
            } else {
                home.json(&["add", home.notes().to_str().unwrap(), "--no-sync"]);
                fs::remove_dir_all(home.path("home/index")).unwrap();
                forget_embedder(&home);
            }
            let fail = format!("{step}={what}");
            let variables = [("COHO_FAIL", fail.as_str()), ("COHO_WATCH_BACKUP_S", "0")];
            let failing = home.run_with(&variables, &["sync"]);
            let said = failing.stderr;
            assert_ne!(failing.code, 0, "{step} was not reached: {said}");
            // Until the next sync, what is visible is whole: the old state or the new one.
            let found = home.run(&["search", "kiln", "--json"]);
            if first {
                let text = found.json()["hits"][0]["text"].to_string();
                assert!(
                    text.contains("1240") || text.contains("1300"),
                    "{step}: {text}"
                );
            }
            if what == "full" && failing.code == 1 {
                assert!(said.contains("free some space"), "{step}: {said}");
            }
            home.json(&["sync"]);
            let expected = if first { &edited } else { &unedited };
            assert_eq!(&home.fingerprint(), expected, "{fail}");
        }
    }
}

/// As if the store had never chosen an embedding model.
fn forget_embedder(home: &Home) {
    let ledger = rusqlite::Connection::open(home.path("home/ledger.sqlite")).unwrap();
    ledger
        .execute("DELETE FROM memo WHERE name = 'embedder'", [])
        .unwrap();
}
