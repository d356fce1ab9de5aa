//! What leaves: nothing, unless the owner configured where to; for the remote model only what is asked
//! for, masked, written down and within limits.

use std::fs;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::access::holder;
use crate::kit::{Home, server, within_one_day};

const NOTE: &str = "# Journeys\n\nAnna Huber takes the train to Vienna at 08:14. \
                    Her number is +43 660 1234567.\n";

/// A remote model that remembers what it was sent and says what `answer` makes of it.
fn remote(answer: fn(&str) -> String) -> (String, Arc<Mutex<Vec<String>>>) {
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let hears = Arc::clone(&heard);
    let url = server(move |request| {
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        let text = answer(body);
        hears.lock().unwrap().push(body.to_owned());
        text
    });
    (format!("{url}/v1"), heard)
}

/// As a stream, in pieces that cut placeholders through.
fn streamed(text: &str) -> String {
    let mut answer = String::from(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
    );
    for piece in text.as_bytes().chunks(4) {
        let piece = std::str::from_utf8(piece).unwrap();
        let chunk = json!({"choices": [{"delta": {"content": piece}}]});
        answer += &format!("data: {chunk}\n\n");
    }
    let end = json!({"choices": [{"delta": {}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20}});
    answer + &format!("data: {end}\n\ndata: [DONE]\n\n")
}

/// Says the sentence of the passage about the train back, as it was sent.
fn echo(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap();
    let said = body["messages"][1]["content"].as_str().unwrap();
    let sentence = said.lines().find(|line| line.contains("takes the train"));
    let sentence = sentence
        .unwrap_or("Nothing about that.")
        .split(". ")
        .next()
        .unwrap();
    streamed(&format!("{sentence}."))
}

fn home(url: &str, more: &str) -> Home {
    let home = Home::new();
    home.write("journeys.md", NOTE);
    home.add();
    let text = format!("[remote]\nurl = \"{url}\"\nmodel = \"far\"\n{more}");
    fs::write(home.path("config.toml"), text).unwrap();
    home
}

const QUESTION: &str = "When does Anna Huber take the train to Vienna?";

fn ask(home: &Home) -> Value {
    home.json(&["ask", QUESTION, "--remote"])
}

#[test]
fn what_leaves_is_masked_put_back_and_written_down() {
    within_one_day();
    let (url, heard) = remote(echo);
    let home = home(&url, "price_read = 1.0\nprice_written = 2.0\n");
    let plain = home.json(&["ask", QUESTION]);
    assert!(
        heard.lock().unwrap().is_empty(),
        "only when it is asked for: {plain:#}"
    );
    let answer = ask(&home);
    let heard = heard.lock().unwrap().clone();
    assert_eq!(heard.len(), 1);
    for private in ["Anna", "Huber", "Vienna", "08:14", "660", "1234567"] {
        assert!(!heard[0].contains(private), "{private} left: {}", heard[0]);
    }
    assert!(heard[0].contains("takes the train"));
    let text = answer["answer"].as_str().unwrap();
    assert!(
        text.contains("Anna Huber takes the train to Vienna at 08:14"),
        "{text}"
    );
    assert_eq!(answer["model"], "far");
    assert_eq!(answer["claims"][0]["supported"], true, "{answer:#}");
    assert!(
        answer["citations"][0]["path"]
            .as_str()
            .unwrap()
            .ends_with("journeys.md")
    );

    let left = home.json(&["status", "--left"]);
    let sent = &left["sent"][0];
    let (logged, received): (Value, Value) = (
        serde_json::from_str(sent["body"].as_str().unwrap()).unwrap(),
        serde_json::from_str(&heard[0]).unwrap(),
    );
    assert_eq!(logged, received, "the log holds exactly what left");
    assert_eq!(
        (&sent["state"], &sent["answer"]),
        (&"answered".into(), &answer["id"])
    );
    assert!(left["today"]["cost"].as_f64().unwrap() > 0.0);
    assert_eq!(left["today"], sent["spent"]);
    let status = home.json(&["status"]);
    assert_eq!(status["network"]["left"]["requests"], 1);
}

#[test]
fn a_day_has_its_limits_across_restarts() {
    let (url, heard) = remote(echo);
    // Each command is a process of its own.
    let home = home(&url, "tokens_per_day = 1500\n");
    let mut answered = 0;
    let refused = loop {
        let ran = home.run(&["ask", QUESTION, "--remote", "--json"]);
        if ran.code != 0 {
            break ran;
        }
        answered += 1;
        assert!(answered < 50);
    };
    assert!(answered >= 1, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("remote_limit") || refused.stdout.contains("remote_limit"),
        "{} {}",
        refused.stdout,
        refused.stderr
    );
    assert_eq!(heard.lock().unwrap().len(), answered);
    let left = home.json(&["status", "--left"]);
    assert!(left["today"]["tokens"].as_u64().unwrap() <= 1500);
    // Money is a limit of its own.
    let text = fs::read_to_string(home.path("config.toml")).unwrap();
    let text = text.replace("1500", "100000") + "price_read = 1000.0\nmoney_per_day = 0.01\n";
    fs::write(home.path("config.toml"), text).unwrap();
    assert_eq!(home.run(&["ask", QUESTION, "--remote"]).code, 1);
    assert_eq!(heard.lock().unwrap().len(), answered);
}

#[test]
fn what_never_leaves_is_out_of_sight() {
    let (url, heard) = remote(echo);
    let home = home(&url, "");
    let kept = home.path("diary");
    fs::create_dir_all(&kept).unwrap();
    fs::write(
        kept.join("train.md"),
        "# The train\n\nOskar takes the train to the old quarry each Monday.\n",
    )
    .unwrap();
    home.json(&["add", kept.to_str().unwrap(), "--never-leaves"]);
    let question = "Where does the train to the old quarry take Oskar?";
    let here = home.json(&["ask", question]);
    assert!(
        here["answer"].as_str().unwrap().contains("quarry"),
        "{here:#}"
    );
    let _ = home.run(&["ask", question, "--remote"]);
    for body in heard.lock().unwrap().iter() {
        let passages = body.split("Question").next().unwrap();
        assert!(!passages.contains("quarry"), "{body}");
    }
    let refused = home.run(&[
        "ask",
        question,
        "--remote",
        "--source",
        kept.to_str().unwrap(),
    ]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("never leaves"),
        "{}",
        refused.stderr
    );
    home.json(&["sources", "keep", kept.to_str().unwrap(), "--may-leave"]);
    let before = heard.lock().unwrap().len();
    home.json(&["ask", question, "--remote"]);
    assert!(heard.lock().unwrap()[before].contains("quarry"));
}

#[test]
fn what_never_leaves_is_given_no_form_by_a_model_elsewhere() {
    let home = Home::new();
    home.write("journeys.md", NOTE);
    home.json(&["add", home.notes().to_str().unwrap(), "--never-leaves"]);
    let server = "[models.server]\nurl = \"https://model.example/v1\"\nmodel = \"far\"\n";
    fs::write(home.path("config.toml"), server).unwrap();
    let service = home.serve();
    let form = json!({ "name": "when", "schema": { "type": "object" } });
    let body = json!({
        "model": "coho",
        "messages": [{ "role": "user", "content": QUESTION }],
        "response_format": { "type": "json_schema", "json_schema": form },
    });
    let (code, problem) = service.post("/v1/chat/completions", &body);
    let told = (code, &problem["code"]);
    assert_eq!(told, (400, &json!("source_never_leaves")), "{problem}");
}

static ADDRESS: Mutex<String> = Mutex::new(String::new());

#[test]
fn a_server_does_not_lead_words_elsewhere_and_failures_are_counted() {
    within_one_day();
    let (trap, caught) = remote(echo);
    trap.clone_into(&mut ADDRESS.lock().unwrap());
    let (url, heard) = remote(|_| {
        let to = ADDRESS.lock().unwrap().clone();
        format!(
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: {to}/chat/completions\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
    });
    let home = home(&url, "");
    let ran = home.run(&["ask", QUESTION, "--remote"]);
    assert_ne!(ran.code, 0);
    assert_eq!(
        (heard.lock().unwrap().len(), caught.lock().unwrap().len()),
        (1, 0)
    );
    let left = home.json(&["status", "--left"]);
    assert_eq!(left["sent"][0]["state"], "failed");
    assert!(
        left["today"]["tokens"].as_u64().unwrap() > 0,
        "the most that it may have been"
    );
}

#[test]
fn it_is_off_and_the_owners_alone() {
    let (url, heard) = remote(echo);
    let off = home("", "");
    let ran = off.run(&["ask", QUESTION, "--remote"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("remote.url"), "{}", ran.stderr);
    let plain = home("http://models.example.org/v1", "");
    let ran = plain.run(&["ask", QUESTION, "--remote"]);
    assert!(ran.stderr.contains("not encrypted"), "{}", ran.stderr);
    // A number is an address, and a model server in the language model's place is no exception.
    for url in ["http://models.example.org/v1", "http://134744072/v1"] {
        let text = format!("[models.server]\nurl = \"{url}\"\nmodel = \"far\"\n");
        fs::write(plain.path("config.toml"), text).unwrap();
        let ran = plain.run(&["ask", QUESTION]);
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.contains("not encrypted"), "{}", ran.stderr);
    }

    let home = home(&url, "");
    let service = home.serve();
    let editor = holder(&home, &service, &["editor"]);
    let body = json!({"question": QUESTION, "remote": true});
    let (status, _) = editor.post("/v1/ask", &body);
    assert_eq!(status, 403);
    assert!(heard.lock().unwrap().is_empty());
    let (status, answer) = service.post("/v1/ask", &body);
    assert_eq!(
        (status, heard.lock().unwrap().len()),
        (200, 1),
        "{answer:#}"
    );
    let (status, left) = service.get("/v1/status/left");
    assert_eq!((status, &left["requests"]), (200, &1.into()));
    assert_eq!(editor.get("/v1/status/left").0, 403);
    let nothing = json!({"tokens": 0, "cost": 0.0});
    let nothing = json!({"requests": 0, "today": nothing, "limits": nothing});
    for (status, spent) in [
        (service.get("/v1/status").1, true),
        (editor.get("/v1/status").1, false),
    ] {
        assert_eq!(status["network"]["left"] != nothing, spent, "{status:#}");
    }
}

#[test]
fn what_never_leaves_is_not_read_aloud_by_another_machine() {
    let home = home("", "");
    let kept = home.path("diary");
    fs::create_dir_all(&kept).unwrap();
    let note = "# The quarry\n\nOskar walks to the old quarry each Monday.\n";
    fs::write(kept.join("quarry.md"), note).unwrap();
    home.json(&["add", kept.to_str().unwrap(), "--never-leaves"]);
    // There is no such machine: what is sent there does not arrive.
    let text = "[speech]\nurl = \"http://no-such-voice.invalid.local/v1\"\n";
    fs::write(home.path("config.toml"), text).unwrap();
    let aloud = |question: &str| {
        let asked = ["ask", question, "--strategy", "extractive", "--speak"];
        let ran = home.run(&asked);
        assert_eq!(ran.code, 1, "{}", ran.stdout);
        ran
    };
    let refused = aloud("Where does Oskar walk each Monday?");
    assert!(refused.stdout.contains("quarry"), "it is told all the same");
    assert!(
        refused.stderr.contains("never leaves"),
        "{}",
        refused.stderr
    );
    let sent = aloud(QUESTION);
    assert!(!sent.stderr.contains("never leaves"), "{}", sent.stderr);
    assert!(sent.stderr.contains("does not answer"), "{}", sent.stderr);
}

/// Does something on a thread whose children are killed when they send anything to an address, be it
/// on this machine: whoever listens there may pass it on. Nothing is done where the system has no such
/// filters.
#[cfg(target_os = "linux")]
fn kept_in<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| keep_in().ok().map(|()| work()));
        inside.join().unwrap()
    })
}

/// For this thread, and what it starts; there is no way back.
#[cfg(target_os = "linux")]
fn keep_in() -> Result<(), Box<dyn std::error::Error>> {
    use std::collections::BTreeMap;

    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule, TargetArch,
    };

    // Where a socket was connected, `sendto` names no address.
    let address = SeccompCondition::new(4, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0)?;
    let deadly = BTreeMap::from([
        (libc::SYS_connect, Vec::new()),
        (libc::SYS_sendto, vec![SeccompRule::new(vec![address])?]),
        (libc::SYS_sendmsg, Vec::new()),
        (libc::SYS_sendmmsg, Vec::new()),
    ]);
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let kill = SeccompAction::KillProcess;
    let filter = SeccompFilter::new(deadly, SeccompAction::Allow, kill, arch)?;
    let program = BpfProgram::try_from(filter)?;
    seccompiler::apply_filter(&program)?;
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn nobody_is_connected_to_whom_the_owner_did_not_configure() {
    let (url, heard) = remote(echo);
    let home = Home::new();
    home.write("journeys.md", NOTE);
    // Read by the worker.
    home.write("steps.csv", "tower,steps\nmill,212\n");
    let notes = home.notes();
    let run = |arguments: &[&str]| kept_in(|| home.run(arguments));
    let Some(added) = run(&["add", notes.to_str().unwrap()]) else {
        crate::kit::skipped("this system has no filters of system calls");
        return;
    };
    added.done();
    let written = ["ask", QUESTION, "--strategy", "naive"];
    for arguments in [
        &["search", "mill steps"][..],
        &["ask", QUESTION],
        &written,
        &["writeback", "run"],
        &["status"],
        &["doctor"],
        &["models", "list"],
        &["verify", "--repair"],
        &["reindex"],
        &["sync"],
    ] {
        run(arguments).unwrap().done();
    }

    let log = fs::File::create(home.path("service.log")).unwrap();
    let started = kept_in(|| home.start(&[], log.into())).unwrap();
    let service = home.service(started);
    for (path, body) in [
        ("/v1/search", json!({ "query": "mill steps" })),
        ("/v1/ask", json!({ "question": QUESTION })),
        (
            "/v1/ask",
            json!({ "question": QUESTION, "strategy": "naive" }),
        ),
        (
            "/v1/embeddings",
            json!({ "model": "coho", "input": QUESTION }),
        ),
        ("/v1/writeback", json!({})),
    ] {
        let (code, said) = service.post(path, &body);
        assert_eq!(code, 200, "{path}: {said}");
    }
    home.write("owl.md", "# Owl\n\nThe owl sleeps in the tower.\n");
    crate::kit::wait_for("a new note is found", || {
        service.best("owl").contains("owl")
    });
    assert_eq!(service.stop(), 0);

    // Where somebody is configured and asked for, the trap snaps.
    let text = format!("[remote]\nurl = \"{url}\"\nmodel = \"far\"\n");
    fs::write(home.path("config.toml"), text).unwrap();
    run(&["ask", QUESTION]).unwrap().done();
    let ran = run(&["ask", QUESTION, "--remote"]).unwrap();
    assert_eq!(ran.code, -1, "{} {}", ran.stdout, ran.stderr);
    assert!(heard.lock().unwrap().is_empty());
}
