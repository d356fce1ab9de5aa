//! Convergence: whatever is done to the files, and however little the syncs in between were told,
//! one more sync shows exactly what a clean one shows.
//!
//! Events are hints, so dropping and repeating them at will means: syncs happen at any moments.

use coho::app::App;
use coho::store::StoreError;
use coho::store::sources::Rules;

use crate::kit::{Dice, Home, disturb, number, open, sync};

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
    for seed in 0..number("COHO_ROUNDS", 12) {
        let mut dice = Dice(seed);
        let (home, other) = (Home::new(), Home::new());
        let app = open(&home, |_| {});
        app.add_source(&home.notes(), &Rules::default()).unwrap();
        for _ in 0..6 + dice.below(30) {
            disturb(&home.notes(), &mut dice);
            if dice.below(3) == 0 {
                sync(&app);
            }
        }
        sync(&app);
        let clean = open(&other, |_| {});
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
