//! The service: who may ask, what it answers, how it follows the folder, how it ends.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::kit::{self, Home, PATIENCE, Service, request_of, wait_for};

fn served() -> (Home, Service) {
    let home = Home::new();
    home.write(
        "train.md",
        "# Train\n\nThe night train to Rome leaves at 19:23.\n",
    );
    home.write("soup.md", "# Soup\n\nThe lentil soup needs 40 minutes.\n");
    home.add();
    let service = home.serve();
    (home, service)
}

/// Server-sent events of a streamed answer: name and data.
fn events(service: &Service, question: &str) -> Vec<(String, Value)> {
    let body = json!({ "question": question, "stream": true });
    let response = service
        .agent
        .post(format!("{}/v1/ask", service.address))
        .header("Authorization", format!("Bearer {}", service.token))
        .send_json(&body)
        .unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    kit::events(response.into_body().into_reader())
}

/// Settings with a model server where nobody listens.
pub(crate) const NOBODY_THERE: &str =
    "[models.server]\nurl = \"http://127.0.0.1:9/v1\"\nmodel = \"x\"\n";

/// Asks with what the client accepts; the status, the kind of the answer, and the answer.
fn asked(service: &Service, body: &Value, accepts: &str) -> (u16, String, String) {
    let request = service.agent.post(format!("{}/v1/ask", service.address));
    let request = request
        .header("Authorization", format!("Bearer {}", service.token))
        .header("Accept", accepts);
    let mut response = request.send_json(body).unwrap();
    let kind = response.headers()["content-type"].to_str().unwrap();
    let kind = kind.to_owned();
    let text = response.body_mut().read_to_string().unwrap();
    (response.status().as_u16(), kind, text)
}

#[test]
fn only_the_owner_may_ask() {
    let (_home, service) = served();
    assert_eq!(service.get("/healthz").0, 200);
    let bare = |path: &str, headers: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
        let answer = service.raw(request.as_bytes());
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    let host = "Host: 127.0.0.1\r\n";
    assert_eq!(bare("/v1/status", host), "401");
    assert_eq!(
        bare(
            "/v1/status",
            &format!("{host}Authorization: Bearer wrong\r\n")
        ),
        "401"
    );
    let right = format!("Authorization: Bearer {}\r\n", service.token);
    assert_eq!(bare("/v1/status", &format!("{host}{right}")), "200");
    assert_eq!(
        bare("/v1/status", &format!("Host: evil.example\r\n{right}")),
        "403"
    );
    assert_eq!(bare("/healthz", "Host: evil.example:80\r\n"), "403");
    assert_eq!(
        bare("http://evil.example/healthz", "Host: 127.0.0.1\r\n"),
        "403"
    );
    let two = "Host: 127.0.0.1\r\nHost: evil.example\r\n";
    assert_eq!(bare("/healthz", two), "400");
    let origin = "Origin: http://evil.example\r\n";
    assert_eq!(bare("/v1/status", &format!("{host}{right}{origin}")), "403");
    let origin = "Origin: http://localhost:7621\r\n";
    assert_eq!(bare("/v1/status", &format!("{host}{right}{origin}")), "200");
}

#[test]
fn errors_are_problems_with_a_code() {
    let (_home, service) = served();
    let check = |(status, body): (u16, Value), expected: u16, code: &str| {
        assert_eq!(
            (status, body["code"].as_str()),
            (expected, Some(code)),
            "{body}"
        );
        assert_eq!(body["status"], expected);
        assert!(body["request_id"].is_string() && body["detail"].is_string());
    };
    check(
        service.post("/v1/search", &json!({ "query": "" })),
        400,
        "empty_query",
    );
    check(
        service.post("/v1/search", &json!({ "query": "x", "k": 0 })),
        400,
        "bad_k",
    );
    check(
        service.post("/v1/search", &json!({ "q": "x" })),
        400,
        "bad_body",
    );
    check(
        service.post("/v1/ask", &json!({ "question": "x".repeat(100_000) })),
        400,
        "query_too_long",
    );
    check(
        service.post("/v1/search", &json!({ "query": "x", "source": 99 })),
        404,
        "no_such_source",
    );
    check(service.get("/v1/nothing"), 404, "no_such_route");
    check(service.get("/v1/search"), 405, "wrong_method");
    check(service.get("/v1/answers/none"), 404, "not_found");
    check(service.delete("/v1/sources/99"), 404, "no_such_source");
    check(
        service.post("/v1/sources", &json!({ "path": "/no/such/folder" })),
        400,
        "bad_path",
    );
    let huge = json!({ "query": "x".repeat(2 << 20) });
    check(service.post("/v1/search", &huge), 413, "body_too_large");
}

#[test]
fn an_answer_streams_and_its_citations_hold() {
    let (home, service) = served();
    let events = events(&service, "When does the night train to Rome leave?");
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.first(), Some(&"retrieval"));
    assert_eq!(names.last(), Some(&"done"));
    assert!(
        names.iter().filter(|n| **n == "token").count() > 1,
        "{names:?}"
    );
    let answer = &events.last().unwrap().1;
    let streamed: String = events
        .iter()
        .filter(|(name, _)| name == "token")
        .map(|(_, data)| data["text"].as_str().unwrap())
        .collect();
    assert_eq!(answer["answer"], streamed);
    assert!(streamed.contains("19:23"), "{answer:#}");
    let citation = &answer["citations"][0];
    let path = citation["path"].as_str().unwrap();
    assert!(path.ends_with("train.md"), "{citation}");
    let text = fs::read_to_string(home.notes().join("train.md")).unwrap();
    let line = citation["lines"][0].as_u64().unwrap() as usize;
    assert_eq!(text.lines().nth(line - 1), citation["text"].as_str());
    // Kept, and open to feedback.
    let id = answer["id"].as_str().unwrap();
    assert_eq!(
        service.get(&format!("/v1/answers/{id}")).1["answer"],
        answer["answer"]
    );
    let feedback = json!({ "verdict": "good" });
    assert_eq!(
        service
            .post(&format!("/v1/answers/{id}/feedback"), &feedback)
            .0,
        204
    );
}

#[test]
fn an_answer_that_cannot_be_kept_is_told() {
    let (home, service) = served();
    let other = rusqlite::Connection::open(home.path("home/ledger.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let question = "When does the night train to Rome leave?";
    let (told, events) = std::thread::scope(|scope| {
        let told = scope.spawn(|| home.run(&["ask", question]));
        let events = events(&service, question);
        (told.join().unwrap().ok(), events)
    });
    let (name, answer) = events.last().unwrap();
    assert_eq!((name.as_str(), &answer["unkept"]), ("done", &json!(true)));
    assert!(answer["answer"].as_str().unwrap().contains("19:23"));
    // By the id that it would have had, it could not be judged.
    assert!(!told.stderr.contains(", answer "), "{}", told.stderr);
    other.execute_batch("ROLLBACK").unwrap();
    let id = answer["id"].as_str().unwrap();
    assert_eq!(service.get(&format!("/v1/answers/{id}")).0, 404);
}

#[test]
fn nothing_more_is_written_for_a_client_that_leaves() {
    let (home, service) = served();
    assert_eq!(service.stop(), 0);
    // Takes questions, and answers none: coho would wait for minutes.
    let model = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", model.local_addr().unwrap());
    let settings = format!("[models.server]\nurl = \"{url}\"\nmodel = \"silent\"\n");
    fs::write(home.path("config.toml"), settings).unwrap();
    let service = home.serve();
    let question = "How long does the lentil soup need?";
    for stream in [true, false] {
        let body = json!({ "question": question, "strategy": "naive", "stream": stream });
        let body = body.to_string();
        let request = format!(
            "POST /v1/ask HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            service.token,
            body.len()
        );
        let mut client = service.connect();
        client.write_all(request.as_bytes()).unwrap();
        let (mut asked, _) = model.accept().unwrap();
        asked.set_read_timeout(Some(PATIENCE)).unwrap();
        let heard = request_of(&mut asked);
        assert!(heard.contains("lentil soup"), "it was asked: {heard}");
        drop(client);
        // The model is left, however that is done.
        if let Err(error) = asked.read_to_end(&mut Vec::new()) {
            let kind = error.kind();
            assert!(kind != ErrorKind::WouldBlock && kind != ErrorKind::TimedOut);
        }
    }
    let quoted = json!({ "question": question, "strategy": "extractive" });
    assert_eq!(service.post("/v1/ask", &quoted).0, 200);
}

#[test]
fn the_service_follows_the_folder() {
    let (home, service) = served();
    let notes = home.notes();
    let first = |query: &str| service.found(&notes, query).into_iter().next();
    home.write("new/owl.md", "The owl sleeps in the church tower.\n");
    wait_for("a new note is found", || {
        first("owl church tower").as_deref() == Some("new/owl.md")
    });
    // Editors save to another file and rename it.
    fs::write(notes.join("new/.owl.tmp"), "The owl moved to the barn.\n").unwrap();
    fs::rename(notes.join("new/.owl.tmp"), notes.join("new/owl.md")).unwrap();
    wait_for("an edit is found", || service.best("owl").contains("barn"));
    fs::rename(notes.join("new"), notes.join("birds")).unwrap();
    wait_for("a moved folder is found", || {
        first("owl barn").as_deref() == Some("birds/owl.md")
    });
    fs::remove_file(notes.join("birds/owl.md")).unwrap();
    wait_for("a deleted note is gone", || {
        !service
            .found(&notes, "owl")
            .contains(&"birds/owl.md".to_owned())
    });
    let status = service.get("/v1/status").1;
    assert_eq!(status["documents"], 2, "{status}");
}

#[test]
fn who_says_whether_to_stream_is_heard_before_what_they_accept() {
    let (_home, service) = served();
    let kind = |stream: Value, accepts: &str| {
        let question = "When does the night train to Rome leave?";
        let body = json!({ "question": question, "strategy": "extractive", "stream": stream });
        let (code, kind, text) = asked(&service, &body, accepts);
        assert_eq!(code, 200, "{text}");
        kind
    };
    let (events, whole) = ("text/event-stream", "application/json");
    assert_eq!(kind(json!(false), events), whole);
    assert_eq!(kind(json!(null), events), events);
    assert_eq!(kind(json!(null), whole), whole);
    assert_eq!(kind(json!(true), whole), events);
}

/// What is said to a question that cannot be answered, for `code`, asked again where a busy machine found
/// that out so late that the stream had begun and says it.
pub(crate) fn in_time<T>(code: &str, ask: impl Fn() -> (u16, T, String)) -> (u16, T, String) {
    for _ in 0..20 {
        let said = ask();
        if said.0 != 200 {
            return said;
        }
        assert!(said.2.contains(code), "{}", said.2);
    }
    panic!("{code}: the stream begins each time");
}

#[test]
fn a_stream_that_cannot_begin_is_refused_with_a_status() {
    let (home, service) = served();
    let question = "When does the night train to Rome leave?";
    let refused = |service: &Service, more: Value, expected: u16, code: &str| {
        for stream in [false, true] {
            let mut body = json!({ "question": question, "stream": stream });
            body.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            let (status, kind, text) = in_time(code, || asked(service, &body, "*/*"));
            assert_eq!(
                (status, kind.as_str()),
                (expected, "application/problem+json")
            );
            let problem: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(problem["code"], code, "{problem}");
        }
    };
    refused(&service, json!({ "k": 0 }), 400, "bad_k");
    refused(&service, json!({ "source": 99 }), 404, "no_such_source");
    refused(&service, json!({ "remote": true }), 400, "remote_off");
    assert_eq!(service.stop(), 0);
    // A model server that is not there is not our fault.
    fs::write(home.path("config.toml"), NOBODY_THERE).unwrap();
    let service = home.serve();
    let naive = json!({ "strategy": "naive" });
    refused(&service, naive, 503, "model_server_unreachable");
    assert_eq!(service.stop(), 0);
    let ran = home.run(&["ask", question, "--strategy", "naive", "--json"]);
    assert_eq!(
        (ran.code, ran.json()["error"]["code"].as_str()),
        (1, Some("model_server_unreachable"))
    );
}

#[test]
fn behind_the_air_gap_the_remote_model_is_refused_before_anything_is_counted() {
    let (home, service) = served();
    assert_eq!(service.stop(), 0);
    let remote = "[remote]\nurl = \"https://models.example.org/v1\"\nmodel = \"far\"\n";
    fs::write(home.path("config.toml"), remote).unwrap();
    let service = home.serve_with(&[("COHO_SERVE_AIR_GAP", "true")]);
    let question = "When does the night train to Rome leave?";
    let body = json!({ "question": question, "remote": true });
    let (code, problem) = service.post("/v1/ask", &body);
    assert_eq!((code, &problem["code"]), (400, &json!("air_gap")));
    let (_, left) = service.get("/v1/status/left");
    assert_eq!(
        (&left["requests"], &left["today"]["tokens"]),
        (&json!(0), &json!(0))
    );
}

#[test]
fn who_listens_hears_nothing_more_once_the_token_is_taken_back() {
    let (home, service) = served();
    let (_, made) = service.post("/v1/tokens", &json!({ "name": "listener" }));
    let address = service.address.trim_start_matches("http://").to_owned();
    let mut listener = TcpStream::connect(address).unwrap();
    let token = made["token"].as_str().unwrap();
    let request = format!(
        "GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    );
    listener.write_all(request.as_bytes()).unwrap();
    let mut lines = BufReader::new(listener).lines();
    let mut hears = |wanted: &str| lines.by_ref().any(|line| line.unwrap().contains(wanted));
    assert!(hears("text/event-stream"));
    home.write("owl.md", "# Owl\n\nThe owl sleeps in the tower.\n");
    assert!(hears("event: notice"));
    assert_eq!(service.delete("/v1/tokens/listener").0, 200);
    // Other notices may have been on their way; the stream ends at the next one.
    let (ended, end) = std::sync::mpsc::channel();
    let reading = std::thread::Builder::new().spawn(move || {
        let rest = lines.map_while(Result::ok).count();
        let _ = ended.send(rest);
    });
    home.write("heron.md", "# Heron\n\nThe heron stands in the pond.\n");
    let waited = end.recv_timeout(PATIENCE);
    assert!(waited.is_ok(), "the stream goes on");
    reading.unwrap().join().unwrap();
}

#[test]
fn what_changed_while_it_was_down_is_found() {
    let (home, service) = served();
    assert_eq!(service.stop(), 0);
    home.write("later.md", "The beekeeper comes on Friday.\n");
    fs::remove_file(home.notes().join("soup.md")).unwrap();
    let service = home.serve();
    wait_for("it has caught up", || {
        let found = service.found(&home.notes(), "beekeeper");
        found.first().is_some_and(|path| path == "later.md")
            && service.get("/v1/status").1["documents"] == 2
    });
}

#[test]
fn commands_reach_the_data_through_the_running_service() {
    let (home, service) = served();
    let second = home.path("more");
    fs::create_dir(&second).unwrap();
    fs::write(second.join("a.md"), "The canoe is in the boat house.\n").unwrap();
    let added = home.json(&["add", second.to_str().unwrap()]);
    // The service looks by itself, a second after it was told of a folder.
    let seen = ["added", "unchanged"].map(|part| added["report"][part].as_u64().unwrap());
    assert_eq!(seen.iter().sum::<u64>(), 1, "{added}");
    assert!(service.best("canoe").contains("boat house"));
    let report = home.json(&["sync"]);
    assert_eq!(report["reports"].as_array().unwrap().len(), 2);
    home.json(&["sources", "remove", second.to_str().unwrap()]);
    assert!(!service.best("canoe").contains("boat house"));
}

#[test]
fn a_second_service_and_a_port_in_use_are_refused() {
    let (home, service) = served();
    let ran = home.run(&["serve", "--listen", "127.0.0.1:0", "--json"]);
    assert_eq!(
        (ran.code, ran.json()["error"]["code"].as_str()),
        (1, Some("data_folder_in_use"))
    );
    let other = Home::new();
    let address = service.address.trim_start_matches("http://");
    let ran = other.run(&["serve", "--listen", address, "--json"]);
    assert_eq!(
        (ran.code, ran.json()["error"]["code"].as_str()),
        (1, Some("port_in_use"))
    );
    assert_eq!(service.get("/healthz").0, 200);
}

#[test]
fn it_stops_gracefully_with_readers_connected() {
    let (home, service) = served();
    let mut reader = service.connect();
    let request = format!(
        "GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {}\r\n\r\n",
        service.token
    );
    reader.write_all(request.as_bytes()).unwrap();
    let mut first = [0; 16];
    reader.read_exact(&mut first).unwrap();
    assert_eq!(service.stop(), 0);
    assert!(!home.path("home/service.json").exists());
    // The lock is free again.
    home.json(&["sync"]);
}

#[test]
fn pages_of_a_site_that_the_owner_allows_may_ask_with_a_token() {
    let home = Home::new();
    home.write("a.md", "# A\n\nThe pear tree was planted in 2004.\n");
    home.add();
    let site = "https://notes.example";
    let allowed = format!("[\"{site}\"]");
    let service = home.serve_with(&[("COHO_SERVE_ALLOWED_ORIGINS", &allowed)]);
    let send = |request: &str, origin: &str, more: &str| {
        let host = "Host: 127.0.0.1\r\nConnection: close\r\n";
        let request = format!("{request} HTTP/1.1\r\n{host}Origin: {origin}\r\n{more}\r\n");
        service.raw(request.as_bytes()).to_lowercase()
    };
    let token = format!("Authorization: Bearer {}\r\n", service.token);
    let says = format!("access-control-allow-origin: {site}");
    let told = send("GET /v1/status", site, &token);
    assert!(
        told.starts_with("http/1.1 200") && told.contains(&says),
        "{told}"
    );
    // As the library for OpenAI's API asks that runs in a page.
    let asks = "authorization,content-type,x-stainless-lang";
    let wants = format!(
        "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: {asks}\r\n"
    );
    let before = send("OPTIONS /v1/chat/completions", site, &wants);
    let may_send = format!("access-control-allow-headers: {asks}\r\n");
    assert!(
        before.starts_with("http/1.1 204") && before.contains(&says) && before.contains(&may_send),
        "{before}"
    );
    // A site alone opens nothing, and no other site does.
    assert!(send("GET /v1/status", site, "").starts_with("http/1.1 401"));
    let other = send(
        "GET /v1/status",
        "https://notes.example.evil.example",
        &token,
    );
    assert!(
        other.starts_with("http/1.1 403") && !other.contains("allow-origin"),
        "{other}"
    );
}

/// Bytes that a thread has read from files; sockets do not count. Not every system says it.
#[cfg(target_os = "linux")]
fn bytes_read(process: u32, thread: u32) -> Option<u64> {
    let told = fs::read_to_string(format!("/proc/{process}/task/{thread}/io")).ok()?;
    let read = told.lines().find_map(|line| line.strip_prefix("rchar: "))?;
    read.trim().parse().ok()
}

/// Whatever may block has a thread of its own. MCP is not asked here: what it does may block wherever it
/// is polled, so that a thread that served may be one that blocks from then on, and another serves.
#[cfg(target_os = "linux")]
#[test]
fn the_threads_that_serve_everybody_read_no_file() {
    let (home, service) = served();
    let process = service.child.id();
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let serves = |task: &fs::DirEntry| {
        let name = fs::read_to_string(task.path().join("comm"));
        name.is_ok_and(|name| name == "coho-http\n")
    };
    let serving = tasks.map(Result::unwrap).filter(serves);
    let mut serving: Vec<u32> = serving
        .map(|task| task.file_name().to_str().unwrap().parse().unwrap())
        .collect();
    serving.sort_unstable();
    // Those that may block have the same name, and come later.
    serving.truncate(2);
    let Some(by_the_first) = bytes_read(process, process) else {
        kit::skipped("this system does not say what a thread has read");
        return;
    };
    assert!(by_the_first > 0, "it is counted");
    let more = home.path("more");
    fs::create_dir(&more).unwrap();
    fs::write(more.join("a.md"), "The canoe is in the boat house.\n").unwrap();
    let question = "When does the night train to Rome leave?";
    let chat = json!([{ "role": "user", "content": question }]);
    for (path, body) in [
        ("/v1/search", json!({ "query": "night train" })),
        ("/v1/ask", json!({ "question": question })),
        ("/v1/ask", json!({ "question": question, "stream": true })),
        (
            "/v1/ask",
            json!({ "question": question, "strategy": "naive" }),
        ),
        (
            "/v1/chat/completions",
            json!({ "model": "coho", "messages": chat }),
        ),
        (
            "/v1/embeddings",
            json!({ "model": "coho", "input": ["a", "b"] }),
        ),
        ("/v1/writeback", json!({})),
        ("/v1/tokens", json!({ "name": "guest" })),
        ("/v1/sources", json!({ "path": more })),
        ("/v1/sources/2/sync", json!({})),
    ] {
        let (code, said) = service.post(path, &body);
        assert!(code < 300, "{path}: {said}");
    }
    for path in [
        "/",
        "/openapi.json",
        "/metrics",
        "/v1/status",
        "/v1/sources",
        "/v1/documents",
        "/v1/documents/1",
        "/v1/answers",
        "/v1/units",
        "/v1/models",
        "/v1/tokens",
    ] {
        let (code, said) = service.get(path);
        assert_eq!(code, 200, "{path}: {said}");
    }
    assert_eq!(service.delete("/v1/sources/2").0, 204);
    let read: Vec<Option<u64>> = serving
        .iter()
        .map(|thread| bytes_read(process, *thread))
        .collect();
    assert_eq!(read, [Some(0), Some(0)]);
}

#[test]
fn a_host_that_the_owner_allows_may_be_named() {
    let home = Home::new();
    let hosts = [("COHO_SERVE_ALLOWED_HOSTS", "notes.local, nas")];
    let service = home.serve_with(&hosts);
    let check = |headers: &str, expected: u16| {
        let request = format!("GET /healthz HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
        let answer = service.raw(request.as_bytes());
        let begin = format!("HTTP/1.1 {expected} ");
        assert!(answer.starts_with(&begin), "{headers}: {answer}");
    };
    check("Host: notes.local\r\n", 200);
    check("Host: NOTES.local:7621\r\n", 200);
    check("Host: nas\r\n", 200);
    check("Host: 127.0.0.1\r\n", 200);
    check("Host: other.local\r\n", 403);
    check("Host: notes.local.evil.example\r\n", 403);
    check("Host: evil.notes.local\r\n", 403);
    // The page under that name is ours, and none of another name is.
    let named = "Host: notes.local\r\n";
    check(&format!("{named}Origin: http://notes.local:7621\r\n"), 200);
    check(&format!("{named}Origin: http://other.local\r\n"), 403);
}

#[test]
fn who_opens_the_service_to_other_machines_is_told_what_that_means() {
    let (home, service) = served();
    drop(service);
    let said = fs::read_to_string(home.path("service.log")).unwrap();
    assert!(!said.contains("other machines"), "{said}");
    // An address that no machine has: nothing is opened by this.
    let mut child = home
        .command()
        .args(["serve", "--listen", "192.0.2.1:0"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut said).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let warning = "warning: 192.0.2.1:0 can be reached from other machines";
    assert!(said.starts_with(warning), "{said}");
}

#[test]
fn what_no_route_takes_is_a_problem_everywhere() {
    let (_home, service) = served();
    let send = |request: &str, headers: &str, body: &str| {
        let head =
            format!("{request} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}");
        let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        service.raw(request.as_bytes())
    };
    let token = format!("Authorization: Bearer {}\r\n", service.token);
    let json = format!("{token}Content-Type: application/json\r\n");
    let check = |answer: String, code: u16, name: &str| {
        assert!(answer.starts_with(&format!("HTTP/1.1 {code}")), "{answer}");
        assert!(
            answer.contains("application/problem+json") && answer.contains(name),
            "{answer}"
        );
    };
    // Who is not known learns of no route.
    check(send("GET /v1/nothing", "", ""), 401, "unauthorized");
    check(send("GET /v1/search", "", ""), 401, "unauthorized");
    check(send("GET /v1/nothing", &token, ""), 404, "no_such_route");
    check(send("GET /v1/search", &token, ""), 405, "wrong_method");
    check(send("DELETE /mcp", &token, ""), 405, "wrong_method");
    check(send("POST /mcp", &json, "{}"), 406, "not_acceptable");
    let accepts = format!("{json}Accept: application/json, text/event-stream\r\n");
    check(send("POST /mcp", &accepts, "{"), 400, "bad_body");
    // A body that may be empty may be left out.
    let run = send("POST /v1/writeback", &token, "");
    assert!(run.starts_with("HTTP/1.1 200"), "{run}");
    check(send("POST /v1/search", &token, ""), 415, "not_json");
    let relative = json!({ "path": "notes" });
    let (code, said) = service.post("/v1/sources", &relative);
    assert_eq!(
        (code, said["code"].as_str()),
        (400, Some("path_not_absolute"))
    );
    assert_eq!(service.get("/v1/sources/1").1["id"], 1);
    assert_eq!(service.get("/v1/sources/7").0, 404);
}
