//! Attacks on the service: what must not get in, must not get out and must not bring it down.

use std::fs;
use std::io::{ErrorKind, Read, Write};

use serde_json::{Value, json};

use crate::kit::{Home, Service};
use crate::mcp::post;

fn served(variables: &[(&str, &str)]) -> (Home, Service) {
    let home = Home::new();
    home.write(
        "train.md",
        "# Train\n\nThe night train to Rome leaves at 19:23.\n",
    );
    home.add();
    let service = home.serve_with(variables);
    (home, service)
}

fn head(service: &Service, line: &str) -> String {
    format!(
        "{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: Bearer {}\r\n",
        service.token
    )
}

fn is_well(service: &Service) {
    assert_eq!(
        service.best("night train"),
        "# Train\n\nThe night train to Rome leaves at 19:23."
    );
}

#[test]
fn bombs_in_heads_and_bodies_are_refused() {
    let (_home, service) = served(&[]);
    let start = head(&service, "GET /v1/status");
    let many = format!("{start}{}\r\n", "X-A: b\r\n".repeat(1000));
    assert!(
        service.raw(many.as_bytes()).starts_with("HTTP/1.1 431"),
        "too many headers"
    );
    let long = format!("{start}X-A: {}\r\n\r\n", "b".repeat(10 << 20));
    let answer = service.raw(long.as_bytes());
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    let path = format!(
        "GET /{} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "a".repeat(1 << 20)
    );
    let answer = service.raw(path.as_bytes());
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
    for bomb in [
        format!(
            "{{\"query\": {}{}}}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        ),
        format!("{}{}", "{\"query\":".repeat(100_000), "}".repeat(100_000)),
        "[".repeat(100_000),
    ] {
        let length = format!("Content-Length: {}\r\n\r\n{bomb}", bomb.len());
        let start = head(&service, "POST /v1/search");
        let request = format!("{start}Content-Type: application/json\r\n{length}");
        let answer = service.raw(request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        let start = head(&service, "POST /mcp");
        let accepts = "Accept: application/json, text/event-stream\r\n";
        let request = format!("{start}Content-Type: application/json\r\n{accepts}{length}");
        let answer = service.raw(request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let chunked = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut endless = format!("{}{chunked}", head(&service, "POST /v1/search"));
    for _ in 0..40 {
        endless.push_str(&format!("{:x}\r\n{}\r\n", 1 << 20, " ".repeat(1 << 20)));
    }
    let answer = service.raw(endless.as_bytes());
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 413"),
        "{answer}"
    );
    is_well(&service);
}

#[test]
fn who_dawdles_is_sent_away() {
    let (_home, service) = served(&[("COHO_SERVE_HEAD_TIMEOUT_S", "1")]);
    let mut idle = service.connect();
    let mut slow = service.connect();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: 127.0")
        .unwrap();
    for stream in [&mut idle, &mut slow] {
        let mut answer = Vec::new();
        // If the setting was not heeded, it would be a minute.
        let patience = std::time::Duration::from_secs(40);
        stream.set_read_timeout(Some(patience)).unwrap();
        if let Err(error) = stream.read_to_end(&mut answer) {
            // Where what was sent was not read, the system says so.
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        }
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    is_well(&service);
}

#[test]
fn a_thousand_listeners_disturb_nobody() {
    let (home, service) = served(&[]);
    // Other tests have files in this process, and the service keeps 512 of its own for itself.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let ours = limit.current.map_or(1000, |files| files / 2);
    let theirs = limit
        .maximum
        .map_or(1000, |files| files.saturating_sub(600));
    let count = ours.min(theirs.max(32)).min(1000);
    let request = format!(
        "{}\r\n",
        head(&service, "GET /v1/events").replace("close", "keep-alive")
    );
    let mut listeners = Vec::new();
    for _ in 0..count {
        let mut stream = service.connect();
        stream.write_all(request.as_bytes()).unwrap();
        listeners.push(stream);
    }
    let mut first = [0; 12];
    for stream in &mut listeners {
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
    }
    is_well(&service);
    home.write("owl.md", "# Owl\n\nThe owl sleeps in the tower.\n");
    crate::kit::wait_for("a new note is found", || {
        service.best("owl tower").contains("owl")
    });
    drop(listeners);
    assert_eq!(service.stop(), 0);
}

#[test]
fn a_log_that_nobody_reads_holds_up_nothing() {
    let home = Home::new();
    home.write("owl.md", "# Owl\n\nThe owl sleeps in the tower.\n");
    home.add();
    let service = home.serve_into(&[("COHO_LOG", "debug")], std::process::Stdio::piped());
    // A pipe holds 64 KiB.
    for _ in 0..1500 {
        assert_eq!(service.get("/v1/models").0, 200);
    }
    assert_eq!(service.stop(), 0);
}

#[test]
fn no_path_leads_out() {
    let (home, service) = served(&[]);
    let secret = home.path("secret.md");
    fs::write(&secret, "# Secret\n\nThe launch code is 0000.\n").unwrap();
    std::os::unix::fs::symlink(&secret, home.notes().join("link.md")).unwrap();
    std::os::unix::fs::symlink("/etc", home.notes().join("etc")).unwrap();
    let (code, _) = service.post("/v1/sources/1/sync", &json!({}));
    assert_eq!(code, 200);
    for path in [
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/app.js/../../etc/passwd",
        "//etc/passwd",
        "/v1/documents/..%2f..%2fetc%2fpasswd",
        "/v1/documents/../../token",
        "/v1/answers/..%2f..%2ftoken",
        "/v1/units/..%2ftoken",
        "/v1/documents/1%00",
    ] {
        let request = head(&service, &format!("GET {path}")) + "\r\n";
        let answer = service.raw(request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 4"), "{path}: {answer}");
        assert!(
            !answer.contains("root:") && !answer.contains(&service.token),
            "{path}"
        );
    }
    let found = service
        .post("/v1/search", &json!({ "query": "launch code root" }))
        .1;
    assert!(
        !found.to_string().contains("0000") && !found.to_string().contains("root:"),
        "{found}"
    );
    let documents = service.get("/v1/documents").1;
    assert_eq!(
        documents["documents"].as_array().unwrap().len(),
        1,
        "{documents}"
    );
}

#[test]
fn a_page_of_another_site_gets_nothing() {
    let (_home, service) = served(&[]);
    let body = json!({ "query": "night train" }).to_string();
    let send = |headers: &str| {
        let start = head(&service, "POST /v1/search");
        let request = format!(
            "{start}Content-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        service.raw(request.as_bytes())
    };
    let json = "Content-Type: application/json\r\n";
    assert!(send(json).starts_with("HTTP/1.1 200"));
    // What a form or a script without leave can send.
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ] {
        assert!(
            send(&format!("Content-Type: {kind}\r\n")).starts_with("HTTP/1.1 415"),
            "{kind}"
        );
    }
    assert!(send("").starts_with("HTTP/1.1 415"));
    for origin in [
        "null",
        "https://evil.example",
        "http://127.0.0.1.evil.example",
    ] {
        let answer = send(&format!("{json}Origin: {origin}\r\n"));
        assert!(answer.starts_with("HTTP/1.1 403"), "{origin}");
    }
    let answer = send(&format!("{json}Origin: http://127.0.0.1:7621\r\n"));
    assert!(
        !answer
            .to_lowercase()
            .contains("access-control-allow-origin"),
        "{answer}"
    );
    let preflight = service.raw(
        b"OPTIONS /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
          Origin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n\r\n",
    );
    assert!(preflight.starts_with("HTTP/1.1 403"), "{preflight}");
}

#[test]
fn no_browser_keeps_what_is_told_to_a_token() {
    let home = Home::new();
    home.write("a.md", "# Well\n\nThe well is 14 metres deep.\n");
    home.add();
    let service = home.serve();
    let get = |path: &str| {
        let head = "Host: 127.0.0.1\r\nConnection: close";
        let token = &service.token;
        let request =
            format!("GET {path} HTTP/1.1\r\n{head}\r\nAuthorization: Bearer {token}\r\n\r\n");
        service.raw(request.as_bytes()).to_lowercase()
    };
    for path in ["/v1/answers", "/v1/documents/1", "/v1/documents/7"] {
        let told = get(path);
        assert!(told.contains("\r\ncache-control: no-store\r\n"), "{told}");
    }
    // The page itself tells nothing.
    let page = get("/");
    assert!(page.contains("\r\ncache-control: no-cache\r\n"), "{page}");
}

#[test]
fn what_is_asked_and_noted_is_not_in_the_logs() {
    let home = Home::new();
    home.write(
        "plan.md",
        "# Zeppelin\n\nThe zeppelin lands on Tuesday at the quarry.\n",
    );
    home.write("broken.pdf", "zeppelin");
    home.add();
    let service = home.serve_with(&[("COHO_LOG", "debug")]);
    let question = json!({ "question": "Where does the zeppelin land?", "strategy": "naive" });
    let (_, answer) = service.post("/v1/ask", &question);
    service.post("/v1/search", &json!({ "query": "zeppelin \"quarry" }));
    service.post("/v1/ask", &json!({ "question": "zeppelin", "k": 0 }));
    service.get("/v1/answers/zeppelin");
    let made = service.post("/v1/tokens", &json!({ "name": "editor" })).1;
    // Libraries would tell what they send and read, byte by byte.
    let all = [("COHO_LOG", "trace")];
    for asked in [&["sync"][..], &["ask", "Where does the zeppelin land?"]] {
        let told = home.run_with(&all, asked).ok().stderr;
        for library in ["ureq", "tokenizers", "rmcp"] {
            assert!(!told.contains(library), "{told}");
        }
    }
    let id = answer["id"].as_str().unwrap();
    let feedback = json!({ "verdict": "good", "note": "zeppelin" });
    service.post(&format!("/v1/answers/{id}/feedback"), &feedback);
    service.post("/v1/writeback", &json!({}));
    home.write("plan.md", "# Zeppelin\n\nThe zeppelin was sold.\n");
    crate::kit::wait_for("the edit is found", || {
        service.best("zeppelin").contains("sold")
    });
    let tokens = [
        service.token.clone(),
        made["token"].as_str().unwrap().to_owned(),
    ];
    assert_eq!(service.stop(), 0);
    let log = fs::read_to_string(home.path("service.log")).unwrap();
    assert!(log.contains("request"), "{log}");
    for private in ["quarry", "Tuesday", "land?", "sold", &tokens[0], &tokens[1]] {
        assert!(!log.contains(private), "{private} in {log}");
    }
    // The path of a request is logged, and it may be anything; a note's name is none of ours.
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.to_lowercase().contains("zeppelin"))
        .collect();
    assert!(
        lines
            .iter()
            .all(|line| line.contains("/v1/answers/zeppelin")),
        "{lines:#?}"
    );
}

#[test]
fn no_note_is_put_in_the_place_of_what_is_away() {
    let home = Home::new();
    home.write("train.md", "# Train\n\nThe night train to Rome.\n");
    home.json(&["add", home.notes().to_str().unwrap(), "--notes"]);
    let service = home.serve();
    let note = json!({ "title": "Tyres", "text": "The tyres are at Holm's." });
    let params = json!({ "name": "remember", "arguments": note });
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let remember = || post(&service, &service.token, &call).1.to_string();
    let kept = remember();
    assert!(kept.contains("written to"), "{kept}");
    let (notes, aside) = (home.notes(), home.path("aside"));
    fs::rename(&notes, &aside).unwrap();
    let refused = remember();
    assert!(refused.contains("takes no note at present"), "{refused}");
    assert!(!notes.exists());
    // The place on which it was mounted, and nothing there.
    fs::create_dir(&notes).unwrap();
    assert_ne!(service.post("/v1/sources/1/sync", &json!({})).0, 200);
    let refused = remember();
    assert!(refused.contains("takes no note at present"), "{refused}");
    assert_eq!(fs::read_dir(&notes).unwrap().count(), 0);
    fs::remove_dir(&notes).unwrap();
    fs::rename(&aside, &notes).unwrap();
    assert_eq!(service.post("/v1/sources/1/sync", &json!({})).0, 200);
    let kept = remember();
    assert!(kept.contains("written to"), "{kept}");
}

/// Values of a problem that come from a client do not become part of a page.
#[test]
fn problems_are_never_pages() {
    let (_home, service) = served(&[]);
    let script = "<script>alert(1)</script>";
    let path = "/v1/answers/%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    let request = head(&service, &format!("GET {path}")) + "\r\n";
    let answer = service.raw(request.as_bytes());
    assert!(
        answer.contains("content-type: application/problem+json"),
        "{answer}"
    );
    assert!(
        answer.contains("x-content-type-options: nosniff"),
        "{answer}"
    );
    let (code, problem) = service.post("/v1/search", &json!({ "query": script, "k": 0 }));
    assert_eq!((code, &problem["code"]), (400, &Value::from("bad_k")));
}

/// A service that was killed leaves its address behind; somebody else may listen there now.
#[test]
fn the_owners_token_is_not_told_to_who_took_an_address_over() {
    let home = Home::new();
    home.write(
        "boat.md",
        "# Boat\n\nThe mast of the boat is 9 metres high.\n",
    );
    let service = home.serve();
    assert_eq!(service.get("/healthz").0, 200);
    assert_eq!(service.stop(), 0);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let left = json!({ "address": address, "pid": std::process::id() });
    fs::write(home.path("home").join("service.json"), left.to_string()).unwrap();
    home.run(&["mcp"]).done();
    home.add();
    home.run(&["units", "list"]).done();
    let refused = listener.accept().map(drop).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn nothing_is_written_beside_the_folders_of_coho() {
    let (home, service) = served(&[]);
    service.post("/v1/ask", &json!({ "question": "Who keeps the key?" }));
    drop(service);
    home.run(&["search", "key"]).done();
    let mut names: Vec<String> = fs::read_dir(home.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    // ONNX Runtime, where it is let report to its maker, keeps a device id in `.cache`.
    assert_eq!(names, ["config.toml", "home", "notes", "service.log"]);
}
