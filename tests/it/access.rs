//! Named tokens: what each may do, and that what it may not see is not there and leaves no trace.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::kit::{Home, Service, answer};
use crate::mcp::Client;

const PEAR: &str = "When was the pear tree planted?";

/// Somebody with a token of their own.
pub(crate) struct Holder<'a> {
    service: &'a Service,
    token: String,
}

impl Holder<'_> {
    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        let request = self
            .service
            .agent
            .get(format!("{}{path}", self.service.address));
        let bearer = format!("Bearer {}", self.token);
        answer(request.header("Authorization", bearer).call())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self
            .service
            .agent
            .post(format!("{}{path}", self.service.address));
        let bearer = format!("Bearer {}", self.token);
        answer(request.header("Authorization", bearer).send_json(body))
    }

    /// What a search finds, without the times that it took.
    fn search(&self, query: &str) -> Value {
        let body = json!({ "query": query, "explain": true });
        let (code, mut found) = self.post("/v1/search", &body);
        assert_eq!(code, 200, "{found}");
        found["took_ms"] = Value::Null;
        found["explain"]["steps"] = Value::Null;
        found
    }
}

pub(crate) fn holder<'a>(home: &Home, service: &'a Service, arguments: &[&str]) -> Holder<'a> {
    let mut all = vec!["token", "add"];
    all.extend(arguments);
    let made = home.json(&all);
    let token = made["token"].as_str().unwrap().to_owned();
    Holder { service, token }
}

/// Notes that all may see, and a folder beside them.
fn two_sources() -> (Home, Service) {
    let home = Home::new();
    home.write(
        "garden.md",
        "# Garden\n\nThe pear tree was planted in 2004 by Anna. See [[Diary]].\n",
    );
    home.write(
        "boat.md",
        "# Boat\n\nThe mast of the boat is 9 metres high.\n",
    );
    home.add();
    let service = home.serve();
    (home, service)
}

fn add_diary(home: &Home) {
    let diary = home.path("diary");
    fs::create_dir(&diary).unwrap();
    let pages = [
        (
            "diary.md",
            "# Diary\n\nThe secret door code is 7788. See [[Garden]].\n",
        ),
        (
            "tree.md",
            "# Tree\n\nThe pear tree, the pear tree, the pear tree: Anna lied about it.\n",
        ),
        (
            "mast.md",
            "# Mast\n\nThe mast of the boat was high, high, and it is broken.\n",
        ),
    ];
    for (name, text) in pages {
        fs::write(diary.join(name), text).unwrap();
    }
    fs::write(diary.join("broken.pdf"), "no PDF").unwrap();
    home.json(&["add", diary.to_str().unwrap()]);
}

#[test]
fn a_token_may_do_what_it_was_made_for() {
    let (home, service) = two_sources();
    let editor = holder(&home, &service, &["editor"]);
    assert_eq!(
        editor.post("/v1/search", &json!({ "query": "mast" })).0,
        200
    );
    let (code, answer) = editor.post("/v1/ask", &json!({ "question": PEAR }));
    assert_eq!(code, 200);
    let feedback = format!("/v1/answers/{}/feedback", answer["id"].as_str().unwrap());
    assert_eq!(editor.post(&feedback, &json!({ "verdict": "good" })).0, 204);
    for (path, right) in [
        ("/v1/sources/1/sync", "write"),
        ("/v1/writeback", "admin"),
        ("/v1/tokens", "admin"),
        ("/v1/sources", "admin"),
    ] {
        let (code, problem) = editor.post(path, &json!({}));
        assert_eq!(code, 403, "{path}");
        assert_eq!(problem["code"], "right_missing");
        assert!(
            problem["hint"].as_str().unwrap().contains(right),
            "{problem}"
        );
    }
    assert_eq!(editor.get("/v1/tokens").0, 403);
    let reader = holder(&home, &service, &["reader", "--right", "read"]);
    assert_eq!(reader.post("/v1/ask", &json!({ "question": PEAR })).0, 403);
    assert_eq!(reader.get("/v1/answers").0, 403);
    let writer = holder(&home, &service, &["writer", "--right", "write"]);
    assert_eq!(writer.post("/v1/sources/1/sync", &json!({})).0, 200);
    assert_eq!(
        writer.post("/v1/search", &json!({ "query": "mast" })).0,
        403
    );
    // What a token is good for can be listed, the token itself cannot.
    let listed = home.run(&["token", "list", "--json"]).ok().stdout;
    assert!(listed.contains("editor") && !listed.contains(&editor.token));
    let ledger = fs::read(home.path("home").join("ledger.sqlite")).unwrap();
    let token = editor.token.as_bytes();
    assert!(!ledger.windows(token.len()).any(|window| window == token));
    home.json(&["token", "revoke", "editor"]);
    assert_eq!(editor.get("/v1/status").0, 401);
    assert_eq!(reader.get("/v1/status").0, 200);
}

#[test]
fn tokens_that_cannot_be_are_refused() {
    let (home, service) = two_sources();
    let refused = |arguments: &[&str]| {
        let mut all = vec!["token"];
        all.extend(arguments);
        all.push("--json");
        let ran = home.run(&all);
        assert_eq!(ran.code, 1, "{arguments:?}");
        ran.json()["error"]["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(refused(&["add", "a/b"]), "bad_token_name");
    assert_eq!(refused(&["add", "x", "--source", "9"]), "no_such_source");
    assert_eq!(
        refused(&["add", "x", "--right", "admin", "--source", "1"]),
        "admin_sees_all"
    );
    home.json(&["token", "add", "x"]);
    assert_eq!(refused(&["add", "x"]), "token_exists");
    assert_eq!(refused(&["revoke", "y"]), "not_found");
    let (code, made) = service.post("/v1/tokens", &json!({ "name": "z", "sources": [1] }));
    assert_eq!((code, &made["rights"]), (201, &json!(["read", "ask"])));
    assert_eq!(service.delete("/v1/tokens/z").0, 200);
    assert_eq!(service.delete("/v1/tokens/z").0, 404);
}

#[test]
fn what_a_token_may_not_see_is_not_there() {
    let (home, service) = two_sources();
    add_diary(&home);
    let (_, asked) = service.post(
        "/v1/ask",
        &json!({ "question": "What is the secret door code?" }),
    );
    assert!(asked["answer"].as_str().unwrap().contains("7788"));
    service.post("/v1/writeback", &json!({}));
    let (_, units) = service.get("/v1/units");
    let unit = units["units"][0]["id"].as_str().unwrap().to_owned();
    let hidden = service.get("/v1/documents?source=2").1["documents"][0]["id"].clone();
    let guest = holder(
        &home,
        &service,
        &[
            "guest", "--source", "1", "--right", "read", "--right", "ask", "--right", "write",
        ],
    );
    let recovery = "INSERT INTO memo (name, value) VALUES ('recovery', '/diary is damaged')";
    let ledger = rusqlite::Connection::open(home.path("home").join("ledger.sqlite")).unwrap();
    ledger.execute(recovery, []).unwrap();
    let everything = [
        guest.get("/v1/sources").1,
        guest.get("/v1/documents").1,
        guest.get("/v1/status").1,
        guest.get("/v1/status/problems").1,
        guest.get("/v1/answers").1,
        guest.get("/v1/units").1,
        guest.search("secret door code"),
        guest.search("pear tree"),
        guest.search("path:tree.md pear"),
        guest.search("tag:none -pear mast"),
        guest
            .post(
                "/v1/ask",
                &json!({ "question": "What is the secret door code?" }),
            )
            .1,
    ];
    for said in &everything {
        let text = said.to_string();
        for trace in ["7788", "/diary", "tree.md\"", "lied", "broken"] {
            assert!(!text.contains(trace), "{trace} in {text}");
        }
    }
    assert_eq!(everything[2]["documents"], 2);
    assert_eq!(everything[2]["chunks"], 2);
    for whole in ["/disk", "/home", "/models/folder", "/recovery"] {
        assert_eq!(everything[2].pointer(whole), Some(&Value::Null), "{whole}");
    }
    assert_eq!(everything[4]["answers"], json!([]));
    assert_eq!(everything[5]["units"], json!([]));
    hidden_by_name(&guest, &asked, &[unit, hidden.to_string()]);
    // Questions of others are nobody else's business, also where everything may be seen.
    let other = holder(&home, &service, &["other"]);
    assert_eq!(other.get("/v1/answers").1["answers"], json!([]));
    other.post("/v1/ask", &json!({ "question": PEAR }));
    assert_eq!(
        other.get("/v1/answers").1["answers"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        service.get("/v1/answers").1["answers"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

/// What is asked for by its id, which somebody may have told.
fn hidden_by_name(guest: &Holder<'_>, asked: &Value, ids: &[String; 2]) {
    let service = guest.service;
    let answer = asked["id"].as_str().unwrap();
    for path in [
        format!("/v1/answers/{answer}"),
        format!("/v1/units/{}", ids[0]),
        format!("/v1/documents/{}", ids[1]),
        "/v1/documents/999999".to_owned(),
    ] {
        assert_eq!(guest.get(&path).0, 404, "{path}");
        assert_eq!(
            service.get(&path).0 == 200,
            !path.ends_with("999999"),
            "{path}"
        );
    }
    let verdict = json!({ "verdict": "bad" });
    assert_eq!(
        guest
            .post(&format!("/v1/answers/{answer}/feedback"), &verdict)
            .0,
        404
    );
    let opened = json!({ "kind": "opened" });
    assert_eq!(
        guest
            .post(&format!("/v1/answers/{answer}/signals"), &opened)
            .0,
        404
    );
    assert_eq!(guest.post("/v1/sources/2/sync", &json!({})).0, 404);
    assert_eq!(guest.post("/v1/sources/1/sync", &json!({})).0, 200);
    for query in ["source:2 pear", "source:diary pear"] {
        let (code, problem) = guest.post("/v1/search", &json!({ "query": query }));
        assert_eq!((code, &problem["code"]), (404, &json!("no_such_source")));
    }
}

#[test]
fn what_a_token_may_not_see_does_not_shape_what_it_finds() {
    let (home, service) = two_sources();
    let guest = holder(&home, &service, &["guest", "--source", "1"]);
    let queries = [
        "pear tree Anna",
        "how high is the mast of the boat",
        "ma* tree",
        "\"pear tree\"",
    ];
    let alone: Vec<Value> = queries.iter().map(|query| guest.search(query)).collect();
    let mut answer = guest.post("/v1/ask", &json!({ "question": PEAR })).1;
    add_diary(&home);
    let more = "What of the pear tree did Anna lie about?";
    service.post("/v1/ask", &json!({ "question": more }));
    service.post(
        "/v1/ask",
        &json!({ "question": "Who lied about the pear tree?" }),
    );
    service.post("/v1/writeback", &json!({}));
    let decide = |unit: &Value, decision: &str| {
        let path = format!("/v1/units/{}", unit["id"].as_str().unwrap());
        let (code, said) = service.patch(&path, &json!({ "decision": decision }));
        assert_eq!(code, 200, "{said}");
    };
    let units = service.get("/v1/units").1["units"].clone();
    for unit in units.as_array().unwrap() {
        decide(unit, "approve");
    }
    why_is_the_owners(&home, &guest);
    // What was learned of the notes that may be seen is seen, but not who asked what.
    let learned = guest.get("/v1/units").1["units"].clone();
    assert!(learned.as_array().unwrap().len() < units.as_array().unwrap().len());
    for unit in learned.as_array().unwrap() {
        decide(unit, "retire");
    }
    for (query, before) in queries.iter().zip(&alone) {
        assert_eq!(&guest.search(query), before, "{query}");
    }
    let mut again = guest.post("/v1/ask", &json!({ "question": PEAR })).1;
    for answer in [&mut answer, &mut again] {
        for measured in [
            "id", "asked_ms", "took_ms", "steps", "cost", "energy", "timings",
        ] {
            answer[measured] = Value::Null;
        }
    }
    assert_eq!(answer["answer"], again["answer"]);
    assert_eq!(answer["citations"], again["citations"]);
}

/// What led to a unit, and what was judged of it, names questions of others and other notes.
fn why_is_the_owners(home: &Home, guest: &Holder<'_>) {
    let service = guest.service;
    let ledger = rusqlite::Connection::open(home.path("home").join("ledger.sqlite")).unwrap();
    ledger
        .execute(
            "UPDATE unit SET reason = 'as /diary/tree.md says', title = 'Diary of May',
             scores = '{\"second_sources\":1.0}', retrieved = 9",
            [],
        )
        .unwrap();
    let event = "INSERT INTO unit_event (unit_id, before, after, reason)
                 SELECT id, state, state, reason FROM unit";
    ledger.execute(event, []).unwrap();
    let units = service.get("/v1/units").1["units"].clone();
    let first = &units[0];
    for (part, nothing) in [
        ("questions", json!([])),
        ("gates", json!([])),
        ("reason", json!("")),
    ] {
        assert_ne!(first[part], nothing, "the owner sees {part}");
    }
    let all = holder(home, service, &["all"]);
    let listed = all.get("/v1/units").1["units"].clone();
    assert_eq!(
        listed.as_array().unwrap().len(),
        units.as_array().unwrap().len()
    );
    let part = guest.get("/v1/units").1["units"].clone();
    for (who, listed, titled) in [(&all, listed, true), (guest, part, false)] {
        for unit in listed.as_array().unwrap() {
            let path = format!("/v1/units/{}", unit["id"].as_str().unwrap());
            let (code, story) = who.get(&path);
            assert_eq!(code, 200, "{story}");
            for unit in [unit, &story["unit"]] {
                assert_eq!(unit["questions"], json!([]));
                assert_eq!(unit["gates"], json!([]));
                assert_eq!(unit["reason"], "");
                // What was found among all notes says what hidden ones hold.
                assert_eq!(unit["scores"], json!({}));
                assert_eq!(unit["uses"]["retrieved"], 0);
                assert_eq!(unit["title"] == "Diary of May", titled, "{unit}");
            }
            for event in story["events"].as_array().unwrap() {
                assert_eq!(event["reason"], "", "{story}");
            }
            assert!(
                service
                    .get(&path)
                    .1
                    .to_string()
                    .contains("as /diary/tree.md says")
            );
        }
    }
}

#[test]
fn how_much_there_is_is_told_to_who_may_see_everything() {
    let (home, service) = two_sources();
    add_diary(&home);
    let requests = "coho_request_seconds_count{route=\"/v1/status\",status=\"200\"} ";
    assert_eq!(service.get("/v1/status").0, 200);
    let open = service.agent.get(format!("{}/metrics", service.address));
    let guest = holder(&home, &service, &["guest", "--source", "1"]);
    let reader = holder(&home, &service, &["reader", "--right", "read"]);
    for (code, told) in [
        answer(open.call()),
        guest.get("/metrics"),
        reader.get("/metrics"),
    ] {
        let told = told.as_str().unwrap();
        assert_eq!(code, 200, "{told}");
        assert!(told.contains(requests), "{told}");
        for gauge in [
            "coho_documents",
            "coho_chunks",
            "coho_units",
            "coho_disk_bytes",
        ] {
            assert!(!told.contains(gauge), "{told}");
        }
    }
    let admin = holder(&home, &service, &["admin", "--right", "admin"]);
    for (code, told) in [service.get("/metrics"), admin.get("/metrics")] {
        let told = told.as_str().unwrap();
        assert_eq!(code, 200, "{told}");
        assert!(
            told.contains("coho_documents 5\n") && told.contains(requests),
            "{told}"
        );
    }
    home.json(&["token", "revoke", "admin"]);
    assert_eq!(admin.get("/metrics").0, 401);
}

#[test]
fn who_was_revoked_is_served_no_more() {
    let home = Home::new();
    home.write(
        "boat.md",
        "# Boat\n\nThe mast of the boat is 9 metres high.\n",
    );
    home.add();
    let give = || home.json(&["token", "add", "agent", "--source", "1"]);
    let take = || home.json(&["token", "revoke", "agent"]);
    give();
    for given_anew in [false, true] {
        let mut agent = Client::complaining(&home, &["--as", "agent"], Stdio::piped());
        let listed = agent.ask("tools/list", &json!({}));
        assert!(listed["result"]["tools"].is_array(), "{listed}");
        take();
        if given_anew {
            give();
        }
        let refused = agent.ask("tools/list", &json!({}));
        let said = refused["error"]["message"].as_str().unwrap();
        assert!(said.contains("taken back"), "{refused}");
        // It ends by itself, though its input is open.
        let stdin = agent.child.stdin.take();
        let ended = agent.child.wait_with_output().unwrap();
        drop(stdin);
        assert_eq!(ended.status.code(), Some(1));
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(said.contains("`agent` was taken back"), "{said}");
        if !given_anew {
            give();
        }
    }
}
