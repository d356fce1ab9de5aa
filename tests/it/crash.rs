//! kill -9 in the middle of a sync: the next start ends where a clean sync ends.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use crate::kit::Home;

fn notes(home: &Home) {
    for n in 0..60 {
        let text = format!(
            "# Note {n}\n\nThis is note number {n}. It tells of subject {n} at some length, so \
             that there is something to embed.\n\n## Details\n\nDetail {n} has the code Q{n}Z.\n"
        );
        home.write(&format!("folder-{}/note-{n}.md", n % 7), text.repeat(3));
    }
}

/// Ids of all visible chunks, as a wide search and the status tell them.
fn state(home: &Home) -> (u64, u64, BTreeSet<String>) {
    let status = home.json(&["status"]);
    let mut ids = BTreeSet::new();
    for query in ["note", "detail code", "subject at some length"] {
        let hits = home.json(&["search", query, "-k", "100"])["hits"].clone();
        let hits = hits.as_array().unwrap().iter();
        ids.extend(hits.map(|hit| hit["chunk_id"].as_str().unwrap().to_owned()));
    }
    (
        status["documents"].as_u64().unwrap(),
        status["chunks"].as_u64().unwrap(),
        ids,
    )
}

#[test]
fn killed_at_any_moment_it_ends_like_a_clean_sync() {
    let clean = Home::new();
    notes(&clean);
    clean.add();
    let expected = state(&clean);
    assert_eq!(expected.0, 60);

    let home = Home::new();
    notes(&home);
    home.json(&["add", home.notes().to_str().unwrap(), "--no-sync"]);
    // Moments spread over start, embedding and commit; the machine's speed moves them about.
    for moment in [40, 300, 600, 1000, 1500, 2200] {
        let mut child = home
            .command()
            .args(["serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(moment));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    home.json(&["sync"]);
    assert_eq!(state(&home), expected);
}
