//! Convergence: whatever is done to the files, and however little the syncs in between were told,
//! one more sync shows exactly what a clean one shows.
//!
//! Events are hints, so dropping and repeating them at will means: syncs happen at any moments.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use coho::app::App;
use coho::settings::{Places, Settings};
use coho::store::sources::Rules;
use coho::store::{Access, StoreError};

use crate::kit::{Dice, Home, disturb, models_folder};

fn open(home: &Path) -> App {
    let places = Places {
        home: home.to_owned(),
        config: home.join("config.toml"),
        models: models_folder(),
    };
    let mut settings = Settings::default();
    settings.models.generator = "none".into();
    App::open(settings, places, Access::Write).unwrap()
}

fn sync(app: &App) {
    for status in app.sources().unwrap() {
        let stop = AtomicBool::new(false);
        app.ingest.sync(&status.source, &|_| {}, &stop).unwrap();
    }
}

/// What is visible, with the ledger and the indexes agreeing.
fn fingerprint(app: &App, what: &str) -> String {
    let space = app.spaces.current();
    let verdict =
        coho::flow::verify::verify(&app.store, Ok::<_, StoreError>(&space.indexes)).unwrap();
    assert!(verdict.ok, "{what}: {:#?}", verdict.differences);
    verdict.fingerprint
}

#[test]
fn any_sequence_of_changes_converges() {
    let rounds: u64 = std::env::var("COHO_ROUNDS").map_or(12, |n| n.parse().unwrap());
    for seed in 0..rounds {
        let mut dice = Dice(seed);
        let home = Home::new();
        let app = open(&home.path("home"));
        app.add_source(&home.notes(), &Rules::default()).unwrap();
        for _ in 0..6 + dice.below(30) {
            disturb(&home.notes(), &mut dice);
            if dice.below(3) == 0 {
                sync(&app);
            }
        }
        sync(&app);
        let clean = open(&home.path("clean"));
        clean.add_source(&home.notes(), &Rules::default()).unwrap();
        sync(&clean);
        let what = format!("seed {seed}");
        assert_eq!(
            fingerprint(&app, &what),
            fingerprint(&clean, &what),
            "{what}"
        );
    }
}
