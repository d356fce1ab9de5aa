//! Behind the air gap no other machine can be reached: not by the service, not by what it starts.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::Command;

use serde_json::json;

use crate::kit::{Home, skipped};

const INSIDE: &str = "COHO_TEST_AIR_GAP";

/// Runs in a process of its own, started by the test below: there is no way back from the gap.
#[test]
#[ignore = "the test below runs it"]
fn behind_the_gap() {
    let Ok(address) = std::env::var(INSIDE) else {
        skipped("only the test below may run it, for nothing can be reached afterwards");
        return;
    };
    TcpStream::connect(&address).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = address.clone();
    let wait_and_try = move || {
        while !coho::airgap::is_closed() {
            std::thread::yield_now();
        }
        TcpStream::connect(&there).unwrap_err().kind()
    };
    let named = std::thread::Builder::new().name("other".into());
    let other_thread = named.spawn(wait_and_try).unwrap();
    coho::airgap::close().unwrap();
    let denied = std::io::ErrorKind::PermissionDenied;
    assert_eq!(TcpStream::connect(&address).unwrap_err().kind(), denied);
    assert_eq!(UdpSocket::bind("0.0.0.0:0").unwrap_err().kind(), denied);
    assert_eq!(other_thread.join().unwrap(), denied);
    let script = "import socket; socket.socket()";
    let child = Command::new("python3")
        .args(["-c", script])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(said.contains("PermissionError"), "{said}");
    // What was there goes on, and processes of this machine can talk.
    UnixStream::pair().unwrap();
    assert!(listener.local_addr().is_ok());
}

#[test]
fn nothing_gets_out_after_the_gap_was_made() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let inside = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "airgap::behind_the_gap",
            "--ignored",
            "--nocapture",
        ])
        .env(INSIDE, address)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&inside.stdout);
    assert!(
        inside.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

#[test]
fn a_service_behind_the_gap_works() {
    let home = Home::new();
    home.write("mast.md", "# Mast\n\nThe mast is 9 metres high.\n");
    home.add();
    let service = home.serve_with(&[("COHO_SERVE_AIR_GAP", "true")]);
    let status = service.get("/v1/status").1;
    let network = &status["network"];
    assert_eq!(
        (&network["level"], &network["enforced"], &network["beyond"]),
        (&json!("air-gapped"), &json!(true), &json!([]))
    );
    // The language model is a process of its own, behind the same gap.
    let body = json!({ "question": "How high is the mast?", "strategy": "naive" });
    let (code, answer) = service.post("/v1/ask", &body);
    assert_eq!(code, 200, "{answer}");
    let service_pid = service.child.id().to_string();
    assert!(is_told_of(&service_pid, "Seccomp:\t2"));
    let child = format!("PPid:\t{service_pid}");
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let all = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let children: Vec<String> = all.filter(|pid| is_told_of(pid, &child)).collect();
    assert!(!children.is_empty(), "the language model has a process");
    assert!(children.iter().all(|pid| is_told_of(pid, "Seccomp:\t2")));
}

/// Does the system say this of a process? Of one that is gone, and of what is none, it says nothing.
fn is_told_of(pid: &str, told: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line == told)
}

#[test]
fn a_model_elsewhere_and_an_air_gap_do_not_go_together() {
    let home = Home::new();
    std::fs::write(
        home.path("config.toml"),
        "[models.server]\nurl = \"http://127.0.0.1:9\"\nmodel = \"x\"\n",
    )
    .unwrap();
    let ran = home.run(&["serve", "--listen", "127.0.0.1:0", "--air-gap", "--json"]);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.json()["error"]["code"], "air_gap");
}

#[test]
fn commands_keep_the_gap_too() {
    let home = Home::new();
    home.write("mast.md", "# Mast\n\nThe mast is 9 metres high.\n");
    home.add();
    // Nobody may come here.
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let url = format!("http://{}/v1", trap.local_addr().unwrap());
    let remote = format!("[remote]\nurl = \"{url}\"\nmodel = \"far\"\n");
    let speech = format!("[speech]\nurl = \"{url}\"\n");
    let gap = "[serve]\nair_gap = true\n";
    let question = "How high is the mast?";
    let refused = |settings: &str, arguments: &[&str], words: &str| {
        std::fs::write(home.path("config.toml"), settings).unwrap();
        let ran = home.run(&[arguments, &["--json"]].concat());
        let said = ran.json();
        assert_eq!((ran.code, &said["error"]["code"]), (1, &json!("air_gap")));
        let hint = said["error"]["hint"].as_str().unwrap();
        assert!(hint.contains(words), "{hint}");
        assert!(trap.accept().is_err());
    };
    let asked = ["ask", question, "--remote"];
    refused(&format!("{gap}{remote}"), &asked, "serve.air_gap");
    let spoken = ["ask", question, "--speak"];
    refused(&format!("{gap}{speech}"), &spoken, "speech.url");
    let server = "[models.server]\nurl = \"https://models.example.org/v1\"\nmodel = \"far\"\n";
    let elsewhere = format!("{gap}{server}");
    refused(&elsewhere, &["ask", question], "models.server.url");
    refused(&elsewhere, &["writeback", "run"], "models.server.url");
    home.json(&["search", "mast"]);

    std::fs::write(home.path("config.toml"), "").unwrap();
    let service = home.serve_with(&[("COHO_SERVE_AIR_GAP", "true")]);
    refused(&remote, &asked, "without --air-gap");
    drop(service);
    std::fs::write(home.path("config.toml"), gap).unwrap();
    home.json(&["ask", question, "--strategy", "extractive"]);
}
