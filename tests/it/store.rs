//! The store looked after: verify, repair, backup, restore, export, migration, another embedder.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::kit::{Home, files_below, ran, wait_for};

fn filled() -> Home {
    let home = Home::new();
    for n in 0..40 {
        home.write(
            &format!("n{n}.md"),
            format!("# Note {n}\n\nThe number of this note is {n}, its word is w{n}x.\n"),
        );
    }
    home.add();
    home
}

fn flip(path: &Path, offset: u64) {
    let mut file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(&[byte[0] ^ 0x55]).unwrap();
}

fn differences(verdict: &Value) -> Vec<String> {
    let all = verdict["differences"].as_array().unwrap().iter();
    all.map(|d| d["what"].as_str().unwrap().to_owned())
        .collect()
}

/// Damages a store, has it found and mended, and compares with what was there before.
#[track_caller]
fn damaged_and_mended(damage: impl Fn(&Path), expected: &[&str]) {
    let home = filled();
    let before = home.fingerprint();
    damage(&home.path("home"));
    let ran = home.run(&["verify", "--json"]);
    assert_eq!(ran.code, 1, "{} {}", ran.stdout, ran.stderr);
    let found = differences(&ran.json());
    assert!(
        expected.iter().any(|what| found.iter().any(|f| f == what)),
        "{found:?} is none of {expected:?}"
    );
    let mended = home.json(&["verify", "--repair"]);
    assert_eq!(mended["ok"], true, "{mended:#}");
    assert_eq!(home.fingerprint(), before);
    assert_eq!(home.found("w17x")[0], "n17.md");
}

#[test]
fn a_flipped_vector_is_found_and_mended() {
    damaged_and_mended(
        |home| {
            let data = files_below(&home.join("index"));
            let data = data
                .iter()
                .filter(|f| f.extension() == Some("lance".as_ref()));
            let largest = data.max_by_key(|f| fs::metadata(f).unwrap().len()).unwrap();
            flip(largest, fs::metadata(largest).unwrap().len() / 2);
        },
        &["vector_damaged", "index_unreadable"],
    );
}

#[test]
fn an_empty_manifest_is_found_and_mended() {
    damaged_and_mended(
        |home| {
            let all = files_below(&home.join("index"));
            for manifest in all
                .iter()
                .filter(|f| f.extension() == Some("manifest".as_ref()))
            {
                File::create(manifest).unwrap();
            }
        },
        &["index_unreadable"],
    );
}

#[test]
fn damaged_indexes_stop_neither_status_nor_backup_and_the_doctor_tells() {
    let home = filled();
    let before = home.fingerprint();
    let told = home.run(&["doctor"]).ok().stdout;
    assert!(told.contains("ok      indexes:"), "{told}");
    for file in files_below(&home.path("home/index")) {
        if file.extension() == Some("manifest".as_ref()) {
            File::create(&file).unwrap();
        }
    }
    assert_eq!(home.json(&["status"])["documents"], 40);
    let told = home.run(&["doctor"]);
    assert_eq!(told.code, 1, "{}", told.stdout);
    let words = ["missing indexes:", "coho verify --repair"];
    let said = words.iter().all(|word| told.stdout.contains(word));
    assert!(said, "{}", told.stdout);
    let archive = home.path("all.zip");
    let archive = archive.to_str().unwrap();
    let written = home.run(&["backup", archive, "--json"]).ok();
    let lacks = "are not in it";
    assert!(written.stderr.contains(lacks), "{}", written.stderr);
    let written = written.json();
    assert_eq!(
        (&written["documents"], &written["vectors"]),
        (&json!(40), &json!(0))
    );
    // What is not in it is made anew.
    let other = Home::new();
    let restored = other.run(&["restore", archive]).ok();
    assert!(restored.stderr.contains(lacks), "{}", restored.stderr);
    other.json(&["sync"]);
    assert_eq!(other.json(&["verify"])["fingerprint"], before.as_str());
}

#[test]
fn a_flipped_term_is_found_and_mended() {
    damaged_and_mended(
        |home| {
            let all = files_below(&home.join("index"));
            let terms = all.iter().find(|f| f.extension() == Some("term".as_ref()));
            flip(terms.unwrap(), 40);
        },
        &["term_file_damaged", "index_unreadable"],
    );
}

#[test]
fn a_text_changed_in_the_ledger_is_found_and_mended() {
    damaged_and_mended(
        |home| {
            let ledger = rusqlite::Connection::open(home.join("ledger.sqlite")).unwrap();
            let changed =
                "UPDATE chunk SET text = replace(text, 'w9x', 'w8x') WHERE text LIKE '%w9x%'";
            assert_eq!(ledger.execute(changed, []).unwrap(), 1);
        },
        &["chunk_damaged"],
    );
}

#[test]
fn what_is_missing_or_left_over_in_an_index_is_found_and_mended() {
    damaged_and_mended(
        |home| {
            let ledger = rusqlite::Connection::open(home.join("ledger.sqlite")).unwrap();
            // Not through coho: rows vanish from the ledger, their entries stay in the indexes.
            for table in ["passage", "tag", "name", "link", "document"] {
                ledger.execute(&format!("DELETE FROM {table}"), []).unwrap();
            }
            ledger.execute("DELETE FROM chunk", []).unwrap();
        },
        &["vector_orphaned", "terms_orphaned"],
    );
}

#[test]
fn a_damaged_ledger_is_restored_from_its_copy_with_what_is_newer() {
    let home = filled();
    let before = home.fingerprint();
    assert!(home.path("home/backup/ledger.sqlite").exists());
    // Newer than the copy: an answer and what its reader said of it.
    let answer = home.json(&["ask", "What is the word of note 23?"]);
    let id = answer["id"].as_str().unwrap();
    home.run(&["feedback", id, "good", "--note", "kept?"])
        .done();
    let notes = home.notes();
    home.run(&[
        "add",
        notes.to_str().unwrap(),
        "--no-writeback",
        "--no-sync",
    ])
    .done();
    let ledger = home.path("home/ledger.sqlite");
    let root_of_chunks: i64 = {
        let connection = rusqlite::Connection::open(&ledger).unwrap();
        connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .unwrap();
        let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'chunk'";
        connection.query_row(root, [], |row| row.get(0)).unwrap()
    };
    let page = u64::try_from(root_of_chunks - 1).unwrap() * 4096;
    let mut file = File::options().write(true).open(&ledger).unwrap();
    file.seek(SeekFrom::Start(page)).unwrap();
    file.write_all(&[0xff; 4096]).unwrap();
    drop(file);
    let ran = home.run(&["verify", "--json"]);
    assert_eq!(ran.code, 1);
    assert_eq!(
        differences(&ran.json())[0],
        "ledger_damaged",
        "{}",
        ran.stdout
    );
    let mended = home.run(&["verify", "--repair"]).ok();
    assert!(mended.stderr.contains("was restored"), "{}", mended.stderr);
    for said in [
        mended.stdout,
        home.run(&["status"]).ok().stdout,
        home.run(&["doctor"]).ok().stdout,
    ] {
        assert!(said.contains("1 of table answer"), "{said}");
    }
    // It is told of the repair that it belongs to.
    let again = home.run(&["verify", "--repair"]).ok().stdout;
    assert!(!again.contains("1 of table answer"), "{again}");
    assert_eq!(home.fingerprint(), before);
    let said = home.json(&["status"])["recovery"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        said.contains("1 of table answer") && said.contains("1 of table feedback"),
        "{said}"
    );
    let exported = home.run(&["export"]).ok().stdout;
    assert!(exported.contains("kept?"), "{exported}");
    assert_eq!(home.json(&["sources"])["sources"][0]["writeback"], false);
    // A service mends it by itself, and so does any writing command.
    let mut file = File::options().write(true).open(&ledger).unwrap();
    file.write_all(&[0; 512]).unwrap();
    drop(file);
    let service = home.serve();
    wait_for("all is found again", || {
        service
            .found(&home.notes().canonicalize().unwrap(), "w17x")
            .first()
            == Some(&"n17.md".into())
    });
    drop(service);
    assert_eq!(home.fingerprint(), before);
}

#[test]
fn a_ledger_that_is_gone_is_no_new_knowledge_base() {
    let home = filled();
    home.json(&["ask", "What is the word of note 23?"]);
    fs::remove_file(home.path("home/backup/ledger.sqlite")).unwrap();
    home.json(&["sync"]);
    let before = home.fingerprint();
    let ledger = home.path("home/ledger.sqlite");
    for command in [&["sync"][..], &["verify", "--repair"]] {
        fs::remove_file(&ledger).unwrap();
        if command.len() > 1 {
            File::create(&ledger).unwrap();
        }
        let told = home.run(&["status"]);
        assert_eq!(told.code, 2, "{}", told.stdout);
        assert!(told.stderr.contains("verify --repair"), "{}", told.stderr);
        let told = home.run(&["doctor"]).stdout;
        assert!(told.contains("missing ledger:"), "{told}");
        home.run(command).done();
        assert_eq!(home.fingerprint(), before);
        let exported = home.run(&["export"]).ok().stdout;
        assert!(exported.contains("note 23"), "{exported}");
    }
}

#[test]
fn what_sqlite_takes_for_whole_is_mended_from_the_copy() {
    let home = filled();
    let ask = |question: &str| {
        let answer = home.json(&["ask", question]);
        answer["id"].as_str().unwrap().to_owned()
    };
    ask("What is the word of note 23?");
    fs::remove_file(home.path("home/backup/ledger.sqlite")).unwrap();
    home.json(&["sync"]);
    let newer = ask("What is the word of note 5?");
    let ledger = home.path("home/ledger.sqlite");
    let connection = rusqlite::Connection::open(&ledger).unwrap();
    let spoilt = "UPDATE answer SET body = substr(body, 1, 40) || char(0, 0, 0)";
    assert_eq!(connection.execute(spoilt, []).unwrap(), 2);
    drop(connection);
    assert_eq!(differences(&home.verify()), ["value_unreadable"]);
    let exported = home.run(&["export"]).ok();
    assert!(exported.stderr.contains("2 records"), "{}", exported.stderr);
    assert_eq!(exported.stdout.lines().count(), 2);
    let mended = home.run(&["verify", "--repair"]).ok();
    assert!(mended.stderr.contains(&newer), "{}", mended.stderr);
    let exported = home.run(&["export"]).ok().stdout;
    assert!(exported.contains("w23x") && !exported.contains(&newer));
}

#[test]
fn a_document_whose_columns_are_none_is_mended() {
    damaged_and_mended(
        |home| {
            let ledger = rusqlite::Connection::open(home.join("ledger.sqlite")).unwrap();
            // Not what the schema says: a table that takes anything has its pages.
            ledger
                .execute_batch(
                    "PRAGMA writable_schema = ON;
                     UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '') WHERE name = 'document';
                     PRAGMA writable_schema = RESET;
                     UPDATE document SET recipe = CAST(recipe AS BLOB);
                     PRAGMA writable_schema = ON;
                     UPDATE sqlite_schema SET sql = sql || ' STRICT' WHERE name = 'document';
                     PRAGMA writable_schema = RESET;",
                )
                .unwrap();
        },
        &["ledger_damaged"],
    );
}

#[test]
fn postings_that_are_nonsense_end_no_search_in_a_panic() {
    let home = filled();
    let mut postings = files_below(&home.path("home/index"));
    postings.retain(|file| file.extension() == Some("idx".as_ref()));
    assert!(!postings.is_empty());
    for path in &postings {
        let mut bytes = fs::read(path).unwrap();
        // What stands at the end says that it is a file of the index.
        let end = bytes.len().saturating_sub(200);
        bytes[..end].fill(0xff);
        fs::write(path, bytes).unwrap();
    }
    let ran = home.run(&["search", "w17x"]);
    assert_ne!(ran.code, 101, "{}", ran.stderr);
    home.run(&["verify", "--repair"]).done();
    assert_eq!(home.found("w17x")[0], "n17.md");
}

#[test]
fn a_killed_copy_leaves_nothing_that_was_to_be_forgotten() {
    let home = filled();
    home.json(&["ask", "Where is the word w5x, Waldemar?"]);
    let variables = [("COHO_FAIL", "backup=kill"), ("COHO_WATCH_BACKUP_S", "0")];
    let killed = home.run_with(&variables, &["sync"]);
    assert_ne!(killed.code, 0, "{}", killed.stderr);
    assert!(holds(&home.path("home/backup"), "Waldemar"));
    home.json(&["forget", "--all"]);
    assert!(!holds(&home.path("home"), "Waldemar"));
}

#[test]
fn an_archive_cannot_name_a_folder_of_others() {
    let home = Home::new();
    let victim = home.path("victim");
    fs::create_dir(&victim).unwrap();
    fs::write(victim.join("letter.txt"), "kept").unwrap();
    for embedder in [victim.to_str().unwrap(), "../../victim", "..", ""] {
        let archive = home.path("evil.zip");
        let mut zip = zip::ZipWriter::new(File::create(&archive).unwrap());
        let description = serde_json::json!({
            "format": 1, "version": "0", "made_ms": 0, "embedder": embedder,
            "dimensions": 384, "documents": 1, "chunks": 1, "vectors": 1,
            "ledger_hash": "x", "vectors_hash": "x",
        });
        let options = zip::write::SimpleFileOptions::default();
        for (name, text) in [
            ("coho-backup.json", description.to_string()),
            ("ledger.sqlite", "junk".into()),
            ("vectors.bin", "junk".into()),
        ] {
            zip.start_file(name, options).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
        let refused = home.run(&["restore", archive.to_str().unwrap()]);
        assert_eq!(refused.code, 1, "{embedder}: {}", refused.stderr);
        assert!(victim.join("letter.txt").exists(), "{embedder}");
    }
}

#[test]
fn what_was_taken_out_stands_nowhere() {
    let home = Home::new();
    for n in 0..30 {
        home.write(
            &format!("n{n}.md"),
            format!("# Note {n}\n\nThe quixotic word {n}.\n"),
        );
    }
    home.add();
    for n in 0..6 {
        home.json(&["ask", &format!("Where is the quixotic word {n}, Waldemar?")]);
    }
    home.json(&["forget", "--all"]);
    assert!(!holds(&home.path("home"), "Waldemar"));
    home.json(&["sources", "remove", "1"]);
    assert!(!holds(&home.path("home"), "quixotic"));
}

#[test]
fn what_is_taken_out_while_it_is_read_stands_nowhere() {
    let home = filled();
    let (long, short) = (home.path("long"), home.path("short"));
    fs::create_dir(&long).unwrap();
    fs::create_dir(&short).unwrap();
    for n in 0..3000 {
        let text = format!("The quixotic word {n} comes before the word {n}1. ").repeat(5);
        fs::write(long.join(format!("n{n}.md")), text).unwrap();
    }
    fs::write(short.join("a.md"), "The wombat digs.\n").unwrap();
    let service = home.serve();
    let add = |folder: &Path| {
        let (status, source) = service.post("/v1/sources", &json!({ "path": folder }));
        assert_eq!(status, 201, "{source}");
        format!("/v1/sources/{}", source["id"])
    };
    let sync = |source: &str| service.post(&format!("{source}/sync"), &Value::Null);
    let short = add(&short);
    assert_eq!(sync(&short).0, 200);
    let long = add(&long);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| sync(&long));
        wait_for("a part of it is read", || {
            service.get(&long).1["documents"].as_u64() > Some(0)
        });
        // Another one need not wait for the end of the run, which goes on.
        assert_eq!(service.delete(&short).0, 204);
        assert_eq!(service.get(&short).0, 404);
        assert!(service.get(&long).1["synced_ms"].is_null());
        assert!(holds(&home.path("home"), "quixotic"));
        assert_eq!(service.delete(&long).0, 204);
        assert_eq!(service.get(&long).0, 404);
        let (status, said) = reading.join().unwrap();
        assert_eq!((status, &said["code"]), (404, &"no_such_source".into()));
    });
    for word in ["quixotic", "wombat"] {
        wait_for("its words stand nowhere", || {
            !holds(&home.path("home"), word)
        });
    }
    let notes = home.notes().canonicalize().unwrap();
    home.write("new.md", "The ocelot sleeps.\n");
    wait_for("the service goes on", || {
        service.found(&notes, "ocelot").first() == Some(&"new.md".into())
    });
    assert_eq!(service.stop(), 0);
    let verdict = home.verify();
    assert_eq!(
        (&verdict["ok"], &verdict["documents"]),
        (&true.into(), &41.into()),
        "{verdict:#}"
    );
}

#[test]
fn an_answer_keeps_what_it_quotes_and_no_other_passage() {
    let home = Home::new();
    home.write(
        "g1/diary.md",
        "# Diary zzhheadmark\n\nMy therapist says that I sleep badly, zzhdiarymark.\n",
    );
    home.write(
        "g2/lamp.md",
        "# Lamp\n\nThe lamp in the hall has 7 watts.\n",
    );
    for folder in ["g1", "g2"] {
        home.json(&["add", home.notes().join(folder).to_str().unwrap()]);
    }
    let question = "How many watts has the lamp in the hall?";
    let answer = home.json(&["ask", question]);
    let exported = |home: &Home| {
        let lines = home.run(&["export"]).ok().stdout;
        let mut lines = lines
            .lines()
            .map(|l| serde_json::from_str::<Value>(l).unwrap());
        lines.find(|l| l["type"] == "answer").unwrap()["body"].clone()
    };
    let shown = |answer: &Value| -> Vec<Value> {
        let hits = answer["retrieval"]["hits"].as_array().unwrap().iter();
        hits.map(|hit| json!([hit["title"], hit["heading"], hit["text"]]))
            .collect()
    };
    assert_eq!(shown(&exported(&home)), shown(&answer), "as it was told");
    let ledger = rusqlite::Connection::open(home.path("home/ledger.sqlite")).unwrap();
    let kept: String = ledger
        .query_row("SELECT body FROM answer", [], |row| row.get(0))
        .unwrap();
    assert!(kept.contains("7 watts") && !kept.contains("zzh"), "{kept}");
    drop(ledger);
    // The command that it prints leads to the folder that was.
    fs::rename(home.notes().join("g1"), home.path("elsewhere")).unwrap();
    let told = home.run(&["sources", "remove", "1"]).ok().stdout;
    let command = told.split('`').nth(1).unwrap();
    assert!(command.starts_with("coho forget --source /"), "{told}");
    for mark in ["zzhdiarymark", "zzhheadmark"] {
        assert!(!holds(&home.path("home"), mark), "{mark}");
    }
    let body = exported(&home);
    assert_eq!(body["citations"], answer["citations"]);
    let hits = body["retrieval"]["hits"].as_array().unwrap();
    let gone: Vec<&Value> = hits.iter().filter(|hit| hit["text"] == "").collect();
    assert_eq!(gone.len(), 1, "{body:#}");
    assert!(gone[0]["path"].as_str().unwrap().ends_with("g1/diary.md"));
    let arguments: Vec<&str> = command.split(' ').skip(1).collect();
    assert_eq!(home.json(&arguments)["answers"], 1);
}

#[test]
fn a_folder_that_was_a_source_is_named_from_where_one_stands() {
    let home = Home::new();
    home.write("g1/kiln.md", "# Kiln\n\nThe kiln reaches 1240 degrees.\n");
    let run = |arguments: &[&str]| {
        let mut command = home.command();
        ran(command
            .args(arguments)
            .current_dir(home.path(""))
            .output()
            .unwrap())
    };
    run(&["add", "notes/g1"]).done();
    run(&["ask", "What does the kiln reach?"]).done();
    run(&["sources", "remove", "notes/g1"]).done();
    let told = run(&["forget", "--source", "notes/g1", "--json"])
        .ok()
        .json();
    assert_eq!(told["answers"], 1);
    let unknown = run(&["forget", "--source", "7"]);
    assert_eq!(unknown.code, 1, "{}", unknown.stdout);
}

#[test]
fn what_a_note_says_twice_is_whole_wherever_it_is_moved() {
    let home = Home::new();
    let twice = "# Left blank\n\nThis page was left blank.\n\n".repeat(2);
    home.write("alpha.txt", twice.replace("# Left blank\n\n", ""));
    home.write("twice.md", &twice);
    home.add();
    fs::rename(
        home.notes().join("alpha.txt"),
        home.notes().join("beta.txt"),
    )
    .unwrap();
    fs::rename(home.notes().join("twice.md"), home.notes().join("again.md")).unwrap();
    home.json(&["sync"]);
    home.run(&["verify"]).done();
    home.run(&["verify", "--repair"]).done();
}

#[test]
fn what_could_not_be_emptied_is_emptied_later() {
    let home = Home::new();
    home.write("a.md", "# A\n\nThe quixotic word.\n");
    home.write("b.md", "# B\n\nThe pear tree was planted in 2004.\n");
    home.add();
    home.json(&["ask", "Where is the quixotic word, Waldemar?"]);
    // Somebody reads what was there.
    let reader = rusqlite::Connection::open(home.path("home/ledger.sqlite")).unwrap();
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM answer")
        .unwrap();
    let refused = home.run(&["forget", "--all", "--json"]);
    assert_eq!(
        refused.json()["error"]["code"],
        "ledger_still_read",
        "{}",
        refused.stdout
    );
    assert!(!holds(&home.path("home/backup"), "Waldemar"));
    drop(reader);
    home.json(&["sync"]);
    assert!(!holds(&home.path("home"), "Waldemar"));
}

/// Does any file below a folder hold this? What goes while it is looked at does not.
fn holds(folder: &Path, text: &str) -> bool {
    let mut entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return holds(&path, text);
        }
        let bytes = fs::read(&path).unwrap_or_default();
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    })
}

#[test]
fn indexes_that_were_deleted_are_made_anew_by_a_search() {
    let home = Home::new();
    home.write("a.md", "# A\n\nThe pear tree was planted in 2004.\n");
    home.add();
    fs::remove_dir_all(home.path("home/index")).unwrap();
    assert_eq!(home.found("pear"), ["a.md"]);
    assert_eq!(home.verify()["ok"], true);
}

#[test]
fn a_token_that_was_revoked_does_not_come_back_with_the_copy() {
    let home = Home::new();
    home.json(&["token", "add", "editor"]);
    home.write("a.md", "# A\n\nThe pear tree was planted in 2004.\n");
    home.add();
    let copied = || -> u32 {
        let copy = home.path("home/backup/ledger.sqlite");
        let connection = rusqlite::Connection::open(copy).unwrap();
        let count = "SELECT count(*) FROM token WHERE name = 'editor'";
        connection.query_row(count, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(copied(), 1);
    home.json(&["token", "revoke", "editor"]);
    assert_eq!(copied(), 0);
}

#[test]
fn a_backup_of_a_running_service_is_restored_elsewhere() {
    let home = filled();
    let answer = home.json(&["ask", "What is the word of note 5?"]);
    home.run(&["feedback", answer["id"].as_str().unwrap(), "good"])
        .done();
    let before = home.fingerprint();
    let archive = home.path("all.zip");
    let name = archive.to_str().unwrap();
    let service = home.serve();
    let written = home.json(&["backup", name]);
    assert_eq!(
        (&written["documents"], &written["vectors"]),
        (&40.into(), &40.into())
    );
    drop(service);
    let again = home.run(&["backup", name]);
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains("already"), "{}", again.stderr);
    let refused = home.run(&["restore", name]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("never writes over"),
        "{}",
        refused.stderr
    );
    assert_eq!(home.fingerprint(), before);

    // Another machine: another data folder, and the notes lie elsewhere.
    let other = Home::new();
    for n in 0..40 {
        let note = format!("n{n}.md");
        fs::copy(home.notes().join(&note), other.notes().join(&note)).unwrap();
    }
    let old_notes = home.notes();
    fs::rename(&old_notes, home.path("moved-away")).unwrap();
    other.json(&["status"]);
    let restored = other.run(&["restore", name]).ok();
    assert!(
        restored.stderr.contains("sources move"),
        "{}",
        restored.stderr
    );
    assert_eq!(
        other.json(&["search", "w5x"])["hits"]
            .as_array()
            .unwrap()
            .len(),
        10
    );
    // Another folder is not taken for it by a slip.
    let wrong = other.path("wrong");
    fs::create_dir(&wrong).unwrap();
    let slip = other.run(&["sources", "move", "1", wrong.to_str().unwrap(), "--json"]);
    assert_eq!(
        (slip.code, &slip.json()["error"]["code"]),
        (1, &"wrong_folder".into())
    );
    let moved = other.json(&["sources", "move", "1", other.notes().to_str().unwrap()]);
    assert_eq!(moved["report"]["chunks_embedded"], 0, "{moved:#}");
    assert_eq!(moved["report"]["unchanged"], 40, "{moved:#}");
    assert_eq!(other.found("w5x")[0], "n5.md");
    assert_eq!(other.verify()["ok"], true);
    assert!(
        other
            .run(&["export"])
            .ok()
            .stdout
            .contains("\"verdict\":\"good\"")
    );

    let mut bytes = fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    let damaged = home.path("damaged.zip");
    fs::write(&damaged, bytes).unwrap();
    let third = Home::new();
    let refused = third.run(&["restore", damaged.to_str().unwrap()]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("damaged"), "{}", refused.stderr);
    assert!(!third.path("home/ledger.sqlite").exists());
}

#[test]
fn what_is_restored_is_found_where_another_ledger_was_moved_away() {
    let home = Home::new();
    let heron = "# Heron\n\nThe heron zebulon stands in the pond.\n";
    home.write("heron.md", heron);
    home.add();
    let archive = home.path("all.zip");
    let name = archive.to_str().unwrap();
    home.run(&["backup", name]).done();
    // Its one document has the number of the other's.
    let other = Home::new();
    other.write("mill.md", "# Mill\n\nThe mill was built by Anna.\n");
    other.add();
    let (ledger, away) = (other.path("home/ledger.sqlite"), other.path("away.sqlite"));
    fs::rename(ledger, away).unwrap();
    other.run(&["restore", name]).done();
    let found = other.json(&["search", "\"zebulon\""]);
    assert_eq!(found["hits"].as_array().unwrap().len(), 1, "{found:#}");
}

#[test]
#[cfg(unix)]
fn a_bare_name_is_a_backup_here_and_nothing_else_is_left() {
    use std::os::unix::fs::PermissionsExt;
    let home = filled();
    let here = home.path("here");
    fs::create_dir(&here).unwrap();
    let output = home
        .command()
        .current_dir(&here)
        .args(["backup", "all.zip"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(files_below(&here), [here.join("all.zip")]);
    let mode = fs::metadata(here.join("all.zip"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let other = Home::new();
    other
        .run(&["restore", here.join("all.zip").to_str().unwrap()])
        .done();
}

#[test]
fn a_source_is_moved_to_a_folder_without_its_documents_by_force_alone() {
    let home = Home::new();
    home.write("a.md", "# Kiln\n\nThe kiln reaches 1240 degrees.\n");
    home.add();
    let other = home.path("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("b.md"), "# Weir\n\nThe weir is low.\n").unwrap();
    let other = other.to_str().unwrap();
    let refused = home.run(&["sources", "move", "1", other]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    assert_eq!(home.found("kiln"), ["a.md"]);
    let moved = home.json(&["sources", "move", "1", other, "--force"]);
    assert_eq!(moved["report"]["added"], 1, "{moved:#}");
}

#[test]
fn a_source_is_moved_to_no_place_where_none_may_be_added() {
    let home = Home::new();
    home.write("a/a.md", "# Kiln\n\nThe kiln reaches 1240 degrees.\n");
    home.write("a/below/c.md", "# Mole\n\nThe mole digs.\n");
    fs::create_dir(home.path("b")).unwrap();
    fs::write(home.path("b/b.md"), "# Weir\n\nThe weir is low.\n").unwrap();
    let path = |name: &str| home.path(name).to_str().unwrap().to_owned();
    home.json(&["add", &path("notes/a"), "--never-leaves"]);
    home.json(&["add", &path("b")]);
    let refused = |to: &str, code: &str| {
        let ran = home.run(&["sources", "move", "2", to, "--force", "--json"]);
        assert_eq!((ran.code, &ran.json()["error"]["code"]), (1, &code.into()));
    };
    refused(&path("notes"), "nested_source");
    refused(&path("notes/a"), "nested_source");
    refused(&path("notes/a/below"), "nested_source");
    fs::create_dir(home.path("home/own")).unwrap();
    refused(&path("home/own"), "data_folder");
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(b"gr\xfcn");
        fs::create_dir(home.path("b").join(name)).unwrap();
        let mut command = home.command();
        command.args(["sources", "move", "2"]);
        command.arg(home.path("b").join(name)).args(["--force"]);
        let ran = crate::kit::ran(command.output().unwrap());
        assert!(ran.stderr.contains("not valid UTF-8"), "{}", ran.stderr);
    }
    assert_eq!(home.json(&["status"])["documents"], 3);
    // Within itself, and back around it.
    fs::create_dir(home.path("b/inner")).unwrap();
    home.json(&["sources", "move", "2", &path("b/inner"), "--force"]);
    let moved = home.json(&["sources", "move", "2", &path("b"), "--force"]);
    let canonical = home.path("b").canonicalize().unwrap();
    assert_eq!(moved["source"]["path"], canonical.to_str().unwrap());
    assert_eq!(moved["report"]["added"], 1, "{moved:#}");
}

#[test]
fn indexes_that_are_deleted_below_a_service_are_made_anew_by_its_next_sync() {
    let home = filled();
    let service = home.serve();
    let sync = || service.post("/v1/sources/1/sync", &Value::Null);
    assert_eq!(sync().0, 200);
    fs::remove_dir_all(home.path("home/index")).unwrap();
    home.write("new.md", "The ocelot sleeps.\n");
    let (status, report) = sync();
    assert_eq!(status, 200, "{report}");
    let notes = home.notes().canonicalize().unwrap();
    assert_eq!(service.found(&notes, "ocelot")[0], "new.md");
    assert_eq!(service.found(&notes, "w17x")[0], "n17.md");
    drop(service);
    let verdict = home.verify();
    assert_eq!(
        (&verdict["ok"], &verdict["documents"]),
        (&true.into(), &41.into()),
        "{verdict:#}"
    );
}

#[test]
fn export_writes_json_lines() {
    let home = filled();
    let answer = home.json(&["ask", "What is the word of note 5?"]);
    let id = answer["id"].as_str().unwrap();
    home.run(&["feedback", id, "bad", "--note", "too short"])
        .done();
    let lines = home.run(&["export"]).ok().stdout;
    let lines: Vec<Value> = lines
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let of = |name: &str| lines.iter().find(|l| l["type"] == name).unwrap();
    assert_eq!(of("question")["question"], "What is the word of note 5?");
    assert_eq!(of("answer")["body"]["id"], id);
    assert_eq!(of("feedback")["note"], "too short");
    let file = home.path("out.jsonl");
    home.run(&["export", "-o", file.to_str().unwrap()]).done();
    assert_eq!(
        fs::read_to_string(&file).unwrap().lines().count(),
        lines.len()
    );
    assert_eq!(home.run(&["export", "-o", file.to_str().unwrap()]).code, 1);
}

#[test]
fn reindex_makes_everything_anew() {
    let home = filled();
    let before = home.fingerprint();
    let report = home.json(&["reindex"])["reports"][0].clone();
    assert_eq!(report["changed"], 40, "{report:#}");
    assert_eq!(home.fingerprint(), before);
}

#[test]
fn a_ledger_of_every_older_version_is_brought_up_to_date() {
    let home = Home::new();
    home.write("a.md", "# Kiln\n\nThe kiln reaches 1240 degrees.\n");
    fs::create_dir(home.path("home")).unwrap();
    let ledger = rusqlite::Connection::open(home.path("home/ledger.sqlite")).unwrap();
    ledger
        .execute_batch(include_str!("../../src/store/ledger_1.sql"))
        .unwrap();
    ledger.pragma_update(None, "user_version", 1).unwrap();
    let notes = home.notes().canonicalize().unwrap();
    ledger
        .execute(
            "INSERT INTO source (path, include, exclude, writeback, added_ms)
             VALUES (?1, '[]', '[]', 1, 7)",
            [notes.to_str().unwrap()],
        )
        .unwrap();
    ledger
        .execute_batch(
            "INSERT INTO answer VALUES ('x', 'Old?', '{\"id\":\"x\",\"retrieval\":{\"hits\":[{\"path\":\"/p\",
               \"title\":\"Old title\",\"heading\":null,\"text\":\"Old passage\"}]}}', 5);
             INSERT INTO feedback (answer_id, verdict, given_ms) VALUES ('x', 'good', 6);
             INSERT INTO document (source_id, path, kind, title, meta, size, mtime_ns, inode, hash,
                                   edition, ingested_ms)
             VALUES (1, 'gone.md', 'markdown', 'gone', '{\"tags\":[],\"links\":[]}', 1, 1, 1,
                     zeroblob(32), 1, 1);
             UPDATE counter SET next_edition = 2;",
        )
        .unwrap();
    drop(ledger);
    let report = home.json(&["sync"])["reports"][0].clone();
    assert_eq!(
        (&report["added"], &report["removed"]),
        (&1.into(), &1.into())
    );
    assert_eq!(home.found("kiln"), ["a.md"]);
    home.fingerprint();
    assert_eq!(home.run(&["export"]).ok().stdout.lines().count(), 3);
    for gone in ["Old passage", "Old title"] {
        assert!(!holds(&home.path("home"), gone), "{gone} was kept");
    }
    let ledger = rusqlite::Connection::open(home.path("home/ledger.sqlite")).unwrap();
    ledger.pragma_update(None, "user_version", 99).unwrap();
    let newer = home.run(&["status"]);
    assert_eq!(newer.code, 1);
    assert!(newer.stderr.contains("newer coho"), "{}", newer.stderr);
}

#[test]
fn another_embedder_is_built_beside_and_switched_to() {
    let home = filled();
    let before = home.fingerprint();
    let models = home.two_embedders();
    let with = [
        ("COHO_MODELS", models.to_str().unwrap()),
        ("COHO_MODELS_EMBEDDER", "second"),
    ];
    // Interrupted after the first look: what is in use stays in use.
    let failing = [&with[..], &[("COHO_FAIL", "switch=kill")]].concat();
    assert_ne!(home.run_with(&failing, &["sync"]).code, 0);
    assert!(home.path("home/index/all-minilm-l6-v2").exists());
    assert!(home.path("home/index/second").exists());
    assert_eq!(home.found("w17x")[0], "n17.md");
    let status = home.run_with(&with, &["status", "--json"]).json();
    assert_eq!(status["models"]["embedder"], "all-minilm-l6-v2");
    let service = home.serve_with(&with);
    let notes = home.notes().canonicalize().unwrap();
    assert_eq!(service.found(&notes, "w17x")[0], "n17.md");
    wait_for("the second model is in use", || {
        !home.path("home/index/all-minilm-l6-v2").exists()
    });
    assert_eq!(service.found(&notes, "w17x")[0], "n17.md");
    home.write("new.md", "The ocelot sleeps.\n");
    wait_for("new notes are found", || {
        service.found(&notes, "ocelot").first() == Some(&"new.md".into())
    });
    fs::remove_file(home.notes().join("new.md")).unwrap();
    wait_for("and forgotten", || {
        service.found(&notes, "ocelot").first() != Some(&"new.md".into())
    });
    drop(service);
    let verdict = home.run_with(&with, &["verify", "--json"]).json();
    assert_eq!(
        (&verdict["ok"], &verdict["fingerprint"]),
        (&true.into(), &before.into())
    );
}
