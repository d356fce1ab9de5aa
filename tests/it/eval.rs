//! Evaluation: suites that are run, gone on with, compared and shown; and nothing of them that is
//! learned from.

use std::path::Path;

use serde_json::{Value, json};

use crate::kit::Home;

/// A set in BEIR's layout, of things with their heights; every second question is in two forms.
fn things(home: &Home, count: usize) -> String {
    let set = home.path("data/things");
    std::fs::create_dir_all(&set).unwrap();
    let names = [
        "heron", "mill", "kiln", "ferry", "quarry", "lantern", "anvil", "orchard", "canal",
        "tower", "bellows", "weir",
    ];
    let (mut corpus, mut queries, mut qrels) = (String::new(), String::new(), String::new());
    for n in 0..count {
        let name = names[n % names.len()];
        let thing = format!("{name} {n}");
        let line = |value: Value| value.to_string() + "\n";
        corpus += &line(
            json!({"_id": format!("d{n}"), "title": format!("The {thing}"),
            // Of different lengths, so that other questions have other figures.
            "text": format!("The {thing} stands by the{} wide river and is {} metres high.", " very".repeat(n), 10 + n)}),
        );
        for (form, text) in [
            ("a", format!("How high is the {thing}?")),
            ("b", format!("What is the height of the {thing} in metres?")),
        ] {
            let id = format!("q{n}{form}");
            queries += &line(json!({"_id": id, "text": text, "answers": [(10 + n).to_string()]}));
            qrels += &line(json!({"query_id": id, "doc_id": format!("d{n}"), "score": 1}));
        }
    }
    std::fs::write(set.join("corpus.jsonl"), corpus).unwrap();
    std::fs::write(set.join("queries.jsonl"), queries).unwrap();
    std::fs::write(set.join("qrels.jsonl"), qrels).unwrap();
    set.to_str().unwrap().to_owned()
}

fn run(home: &Home, set: &str, more: &[&str]) -> Value {
    let fixed = ["eval", "run", set, "--strategy", "extractive"];
    home.json(&[&fixed[..], more].concat())
}

/// Of each way: questions and what they scored, without what a clock or a meter said.
fn figures(result: &Value) -> Vec<Value> {
    let rows = result["rows"].as_array().unwrap().iter();
    let figures = rows.map(|row| {
        let mut row = row.clone();
        row["ms"].take();
        for of in ["values", "intervals"] {
            row[of].as_object_mut().unwrap().remove("joules");
        }
        row
    });
    figures.collect()
}

#[test]
fn a_set_is_asked_without_touching_what_is_the_owners() {
    let home = Home::new();
    let set = things(&home, 12);
    let result = run(&home, &set, &[]);
    assert_eq!(result["complete"], true);
    let rows = result["rows"].as_array().unwrap();
    let arms: Vec<&str> = rows
        .iter()
        .map(|row| row["arm"].as_str().unwrap())
        .collect();
    assert_eq!(arms, ["bm25", "dense", "rrf", "coho", "extractive"]);
    for row in rows {
        assert_eq!(
            (&row["questions"], &row["set"]),
            (&24.into(), &"things".into())
        );
    }
    assert_eq!(rows[3]["values"]["R@1"], 1.0, "{result:#}");
    assert!(
        rows[4]["values"]["acc_words"].as_f64().unwrap() > 0.9,
        "{result:#}"
    );
    let sha = result["by"]["models"]["embedder"]["sha256"]
        .as_str()
        .unwrap();
    assert_eq!(sha.len(), 64);
    assert_eq!(home.json(&["status"])["documents"], 0);
    let missing = home.run(&["eval", "run", "retrieval", "--set", "scifact"]);
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains("beir"), "{}", missing.stderr);
}

#[test]
fn what_an_evaluation_leaves_behind_can_be_removed() {
    let home = Home::new();
    let set = things(&home, 2);
    let run = run(&home, &set, &[]);
    let copied = home.path("home/eval/things-notes");
    assert!(copied.is_dir() && home.path("home/eval/things").is_dir());
    let told = home.run(&["forget", "--all"]).ok().stderr;
    assert!(told.contains("coho eval remove"), "{told}");
    for (other, code) in [
        ("..", "no_such_set"),
        ("", "no_such_set"),
        ("thin", "no_such_set"),
    ] {
        let refused = home.run(&["eval", "remove", other, "--json"]);
        assert_eq!(
            (refused.code, &refused.json()["error"]["code"]),
            (1, &code.into()),
            "{other}"
        );
    }
    assert!(copied.is_dir());
    let removed = home.json(&["eval", "remove", &set]);
    assert_eq!(removed["runs"], json!([run["run"]]));
    assert_eq!(removed["folders"].as_array().unwrap().len(), 2);
    assert!(!copied.exists() && !home.path("home/eval/things").exists());
    assert_eq!(home.json(&["eval", "list"])["runs"], json!([]));
    let notes = home.notes();
    home.write("mast.md", "The mast is 9 metres high.\n");
    home.write(
        "questions.jsonl",
        r#"{"id":"1","question":"How high is the mast?","golden_answers":["9"],"path":"mast.md"}"#,
    );
    let folder = notes.to_str().unwrap();
    home.json(&["eval", "run", folder, "--strategy", "extractive"]);
    let name = notes.file_name().unwrap().to_str().unwrap();
    let removed = home.json(&["eval", "remove", name]);
    assert_eq!(removed["folders"].as_array().unwrap().len(), 1, "{removed}");
    // That they were asked stays known.
    assert!(home.path("home/eval/held-out").exists());
    assert_eq!(
        home.json(&["eval", "remove", "--all"])["folders"],
        json!([])
    );
}

#[test]
fn a_run_goes_on_and_gives_the_same_twice() {
    let home = Home::new();
    let set = things(&home, 12);
    let few = run(&home, &set, &["--limit", "5"]);
    assert_eq!(few["rows"][4]["questions"], 5);
    let all = run(&home, &set, &["--resume"]);
    assert_eq!(
        (&all["run"], &all["rows"][4]["questions"]),
        (&few["run"], &24.into())
    );
    // Five were known: each was put as a ranking and as an answer.
    assert_eq!(all["harness"]["asked"], 2 * 19);
    let known = run(&home, &set, &["--resume", "--limit", "5"]);
    assert_eq!(
        (&known["harness"]["asked"], &known["rows"][4]["questions"]),
        (&0.into(), &5.into())
    );
    assert_eq!(figures(&known), figures(&few));
    let again = run(&home, &set, &[]);
    assert_ne!(again["run"], all["run"]);
    assert_eq!(figures(&again), figures(&all));
    let other = run(&home, &set, &["--limit", "5", "--seed", "9"]);
    assert_ne!(figures(&other), figures(&few), "other questions");

    let (a, b) = (all["run"].as_str().unwrap(), again["run"].as_str().unwrap());
    let compared = home.json(&["eval", "compare", a, b]);
    let comparisons = compared["comparisons"].as_array().unwrap();
    assert!(comparisons.iter().any(|c| c["metric"] == "acc_words"));
    for c in comparisons.iter().filter(|c| c["is_cost"] == false) {
        assert_eq!(
            (&c["difference"], &c["better_worse"]),
            (&0.0.into(), &json!([0, 0])),
            "{c:#}"
        );
    }
    let track = home.json(&["eval", "track", "things"]);
    assert_eq!(track["runs"].as_array().unwrap().len(), 3);
    let line = &track["lines"][0];
    assert_eq!(line["values"].as_array().unwrap().len(), 3);
    let list = home.json(&["eval", "list"]);
    assert_eq!(list["runs"].as_array().unwrap().len(), 3);

    let html = home.path("report.html");
    home.json(&["eval", "report", a, "--html", html.to_str().unwrap()]);
    let page = std::fs::read_to_string(html).unwrap();
    assert!(
        page.contains("default-src 'none'") && page.contains("<svg"),
        "{page}"
    );
    for foreign in ["<script", "src=", "url(", "@import", "<link", "href="] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}

#[test]
fn a_run_goes_on_on_another_machine() {
    let home = Home::new();
    let set = things(&home, 12);
    let log = home.path("kept.jsonl.zst");
    let log = log.to_str().unwrap();
    let alone = home.run(&["eval", "run", &set, "--log", log]);
    assert_eq!(alone.code, 1, "{}", alone.stderr);
    let few = run(&home, &set, &["--limit", "5", "--resume", "--log", log]);
    let there = Home::new();
    let set = things(&there, 12);
    let all = run(&there, &set, &["--resume", "--log", log]);
    assert_eq!(all["harness"]["asked"], 2 * 19);
    let known = ["--limit", "5", "--resume", "--log", log];
    assert_eq!(figures(&run(&there, &set, &known)), figures(&few));
    let here = run(&home, &set, &["--resume", "--log", log]);
    assert_eq!(here["harness"]["asked"], 0);
    assert_eq!(figures(&here), figures(&all));
    let packed = std::fs::read(log).unwrap();
    let kept = String::from_utf8(zstd::decode_all(&packed[..]).unwrap()).unwrap();
    assert!(!kept.contains("metres"), "what was said stays here");
    let before = home.json(&["eval", "list"])["runs"].clone();
    let other = ["--resume", "--log", log, "--seed", "9", "--json"];
    let other = home.run(&[&["eval", "run", &set][..], &other].concat());
    assert_eq!(other.json()["error"]["code"], "of_another_run");
    assert_eq!(std::fs::read(log).unwrap(), packed);
    assert_eq!(home.json(&["eval", "list"])["runs"], before);
}

#[test]
fn what_was_scored_with_other_units_is_asked_again() {
    let home = Home::new();
    let set = things(&home, 30);
    let result = run(&home, &set, &["--writeback", "on"]);
    let of = result["units"][0]["of"].as_str().unwrap();
    let log = first_file(&home.path("home/eval/runs"));
    let text = std::fs::read_to_string(&log).unwrap();
    let with_them = text.matches(of).count();
    assert_ne!(with_them, 0);
    std::fs::write(&log, text.replace(of, "others")).unwrap();
    let anew = run(&home, &set, &["--writeback", "on", "--resume"]);
    assert_eq!(anew["harness"]["asked"], with_them);
}

#[test]
fn what_was_learned_in_two_parts_is_told_of_both() {
    let learned = |cut: bool| {
        let home = Home::new();
        let set = things(&home, 12);
        let with = ["--writeback", "on"];
        let mut before = (0.0, 0.0);
        if cut {
            let fixed = ["eval", "run", set.as_str(), "--strategy", "extractive"];
            let kill = [("COHO_FAIL", "writeback-replayed=kill")];
            let ended = home.run_with(&kill, &[&fixed[..], &with].concat());
            assert_ne!(ended.code, 0);
            before = spent_in(&home.path("home/eval/things-writeback"));
        }
        let result = run(&home, &set, &[&with[..], &["--resume"]].concat());
        (result["units"][0].clone(), before)
    };
    let ((whole, _), (parts, before)) = (learned(false), learned(true));
    assert_ne!(whole["refused"], json!({}), "{whole:#}");
    for same in [
        "of",
        "answers",
        "units",
        "refused",
        "contested",
        "model_calls",
    ] {
        assert_eq!(parts[same], whole[same], "{same}: {parts:#}");
    }
    // What is told is for each unit.
    let units = parts["units"].as_f64().unwrap().max(1.0);
    for (cost, before) in [("seconds", before.0), ("joules", before.1)] {
        let all = parts[cost].as_f64().unwrap() * units;
        assert!(0.0 < before && before < all, "{cost}: {before}, {parts:#}");
    }
}

/// Seconds and joules that writeback has spent in a knowledge base.
fn spent_in(home: &Path) -> (f64, f64) {
    let ledger = rusqlite::Connection::open(home.join("ledger.sqlite")).unwrap();
    let all = "SELECT sum(seconds), sum(joules) FROM spent";
    let spent = ledger.query_row(all, [], |row| Ok((row.get(0)?, row.get(1)?)));
    spent.unwrap()
}

#[test]
fn what_was_learned_from_is_not_asked_and_what_was_asked_is_not_learned_from() {
    let home = Home::new();
    let set = things(&home, 30);
    let result = run(&home, &set, &["--writeback", "controls"]);
    let arms: Vec<&str> = result["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["arm"].as_str().unwrap())
        .collect();
    for arm in [
        "extractive",
        "extractive+approved",
        "extractive+random",
        "coho+writeback",
    ] {
        assert!(arms.contains(&arm), "{arms:?}");
    }
    let units = result["units"].as_array().unwrap();
    assert_eq!(units.len(), 7);
    assert!(units[1]["units"].as_u64().unwrap() > 0, "{units:#?}");
    // The base of the set has learned nothing; its copy only of the questions that were not asked.
    let asked: Vec<String> = std::fs::read_to_string(first_file(&home.path("home/eval/runs")))
        .unwrap()
        .lines()
        .skip(1)
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["id"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert!(!asked.is_empty());
    assert!(answers(&home.path("home/eval/things")).is_empty());
    let learned = answers(&home.path("home/eval/things-writeback"));
    assert!(!learned.is_empty());
    for id in &learned {
        assert!(
            !asked.contains(&id.replace("train-", "")),
            "{id} was learned from and asked"
        );
    }
    // Unless it is asked for, under a name of its own.
    let more = ["--writeback", "on", "--resume", "--again", "3"];
    let more = run(&home, &set, &more);
    let rows = more["rows"].as_array().unwrap();
    let again = rows.iter().find(|row| row["group"] == "again");
    assert_eq!(again.unwrap()["questions"], 3, "{rows:#?}");
    // It goes on without learning again.
    let again = run(&home, &set, &["--writeback", "controls", "--resume"]);
    assert_eq!(again["harness"]["asked"], 0);
    assert_eq!(again["units"], result["units"]);

    // Asked of the owner's own notes afterwards, a question of the set teaches nothing.
    home.write(
        "heron.md",
        "# The heron 0\n\nThe heron 0 stands by the river and is 10 metres high.\n",
    );
    home.write(
        "bridge.md",
        "# The bridge\n\nThe bridge has seven arches of red stone.\n",
    );
    home.json(&["add", home.notes().to_str().unwrap()]);
    for question in [
        "How high is the heron 0?",
        "How many arches has the bridge?",
    ] {
        let answer = home.json(&["ask", question, "--strategy", "extractive"]);
        assert_eq!(answer["abstained"], false, "{answer:#}");
    }
    let report = home.json(&["writeback", "run", "--explain"]);
    let considered = report["considered"].as_array().unwrap();
    assert_eq!(considered.len(), 2, "{report:#}");
    for one in considered {
        let held_out = one["question"].as_str().unwrap().contains("heron");
        let first = &one["gates"][0];
        assert_eq!(
            (&first["gate"], &first["passed"]),
            (&"eligible".into(), &(!held_out).into()),
            "{one:#}"
        );
    }
}

fn first_file(folder: &Path) -> std::path::PathBuf {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    files.remove(0)
}

/// Ids of the answers in a ledger.
fn answers(home: &Path) -> Vec<String> {
    let ledger = rusqlite::Connection::open(home.join("ledger.sqlite")).unwrap();
    let mut statement = ledger.prepare("SELECT id FROM answer").unwrap();
    let ids = statement.query_map([], |row| row.get(0)).unwrap();
    ids.map(|id| id.unwrap()).collect()
}

#[test]
fn past_questions_are_asked_again_after_each_batch() {
    let home = Home::new();
    home.write(
        "bridge.md",
        "# The bridge\n\nThe bridge has seven arches of red stone.\n",
    );
    home.write(
        "mill.md",
        "# The mill\n\nThe mill grinds rye on Tuesdays.\n",
    );
    home.json(&["add", home.notes().to_str().unwrap()]);
    let empty = home.json(&["eval", "run", "own"]);
    assert_eq!(empty["questions"], 0);
    for question in [
        "How many arches has the bridge?",
        "When does the mill grind rye?",
    ] {
        home.json(&["ask", question, "--strategy", "extractive"]);
    }
    home.json(&["writeback", "run"]);
    let line = home.json(&["eval", "track", "own"]);
    let points = line["points"].as_array().unwrap();
    assert_eq!(points.len(), 1, "{line:#}");
    assert_eq!(
        (&points[0]["questions"], &points[0]["mrr"][0]),
        (&2.into(), &1.0.into()),
        "{line:#}"
    );
    assert!(points[0]["batch"].is_string());
    let point = home.json(&["eval", "run", "own"]);
    assert_eq!(
        (&point["questions"], &point["batch"]),
        (&2.into(), &Value::Null)
    );
    let status = home.json(&["status"]);
    assert_eq!(status["learning"]["points"].as_array().unwrap().len(), 2);
    let kept = status["learning"].to_string();
    assert!(!kept.contains("arches"), "no question is kept: {kept}");
}

#[test]
fn the_smoke_suite_holds() {
    let home = Home::new();
    let result = home.json(&["eval", "run", "smoke"]);
    let value = |group: &str, arm: &str, metric: &str| {
        let rows = result["rows"].as_array().unwrap();
        let row = rows.iter().find(|r| r["group"] == group && r["arm"] == arm);
        row.unwrap()["values"][metric].as_f64().unwrap()
    };
    assert!(value("all", "coho", "R@1") > 0.95, "{result:#}");
    assert!(value("all", "extractive", "acc_words") > 0.95, "{result:#}");
    assert!(value("all", "cascade", "acc_words") > 0.95, "{result:#}");
    assert!(
        value("unanswerable", "cascade", "refused") > 0.4,
        "{result:#}"
    );
}
