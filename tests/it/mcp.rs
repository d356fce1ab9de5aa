//! The Model Context Protocol: over HTTP, over stdio with a service and without one.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::kit::{Home, PATIENCE, Service, answer, request_of, wait_for};

fn home() -> Home {
    let home = Home::new();
    home.write(
        "shed.md",
        "# Shed\n\nThe shed was painted by Oskar in 2021.\n",
    );
    home.write(
        "boat.md",
        "# Boat\n\nThe mast of the boat is 9 metres high.\n",
    );
    home
}

fn message(id: u64, method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

fn hello() -> Value {
    json!({
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": { "name": "test", "version": "1" },
    })
}

/// Sends a message over HTTP.
pub fn post(service: &Service, token: &str, message: &Value) -> (u16, Value) {
    let request = service.agent.post(format!("{}/mcp", service.address));
    let request = request
        .header("Authorization", format!("Bearer {token}"))
        .header("Accept", "application/json, text/event-stream")
        .header("MCP-Protocol-Version", "2025-06-18");
    answer(request.send_json(message))
}

/// `coho mcp` as a program starts it.
pub struct Client {
    pub child: Child,
    stdout: BufReader<ChildStdout>,
    next: u64,
}

impl Client {
    fn start(home: &Home, arguments: &[&str]) -> Self {
        Self::complaining(home, arguments, Stdio::inherit())
    }

    /// With its complaints going somewhere.
    pub fn complaining(home: &Home, arguments: &[&str], stderr: Stdio) -> Self {
        let mut child = home
            .command()
            .arg("mcp")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut client = Self {
            child,
            stdout,
            next: 0,
        };
        let said = client.ask("initialize", &hello());
        assert_eq!(said["result"]["serverInfo"]["name"], "coho", "{said}");
        client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        client
    }

    fn send(&mut self, message: &Value) {
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{message}").unwrap();
    }

    pub fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.next += 1;
        self.send(&message(self.next, method, params));
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!(said["id"], self.next, "{said}");
        said
    }

    fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        let params = json!({ "name": tool, "arguments": arguments });
        self.ask("tools/call", &params)["result"].clone()
    }

    fn tools(&mut self) -> Vec<String> {
        names(&self.ask("tools/list", &json!({}))["result"])
    }

    /// Ends its input, as a program does that is done.
    fn end(mut self) -> Option<i32> {
        drop(self.child.stdin.take());
        self.child.wait().unwrap().code()
    }
}

fn names(listed: &Value) -> Vec<String> {
    let tools = listed["tools"].as_array().unwrap().iter();
    tools
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap()
}

#[test]
fn a_service_that_begins_again_is_found_again_and_nobody_in_its_place() {
    let home = home();
    home.add();
    let service = home.serve();
    let mut client = Client::start(&home, &[]);
    assert!(client.tools().contains(&"search".to_owned()));
    let address = service.address.trim_start_matches("http://").to_owned();
    // It is killed, and somebody else takes its address.
    drop(service);
    let listener = std::net::TcpListener::bind(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    let said = client.ask("tools/list", &json!({}));
    assert_eq!(said["error"]["code"], -32603, "{said}");
    let refused = listener.accept().map(drop).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::WouldBlock);
    let _service = home.serve();
    assert!(client.tools().contains(&"search".to_owned()));
}

#[test]
fn what_is_cancelled_is_not_answered() {
    let home = home();
    home.add();
    // Takes questions, and answers none: what is cancelled is under way.
    let model = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", model.local_addr().unwrap());
    let settings = format!("[models.server]\nurl = \"{url}\"\nmodel = \"silent\"\n");
    fs::write(home.path("config.toml"), settings).unwrap();
    let _service = home.serve();
    let mut client = Client::start(&home, &[]);
    let ask = |id: u64| {
        let arguments = json!({ "question": "Tell all of the boat.", "strategy": "naive" });
        message(
            id,
            "tools/call",
            &json!({ "name": "ask", "arguments": arguments }),
        )
    };
    let cancel = |id: u64| {
        json!({
            "jsonrpc": "2.0",
            "method": "notifications/cancelled",
            "params": { "requestId": id },
        })
    };
    client.send(&ask(90));
    let (mut asked, _) = model.accept().unwrap();
    asked.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(request_of(&mut asked).contains("the boat"));
    client.send(&cancel(90));
    // Nobody waits for the model any more.
    if let Err(error) = asked.read_to_end(&mut Vec::new()) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    }
    // Cancelled as soon as it was asked, whether the service has heard of it or not.
    let stdin = client.child.stdin.as_mut().unwrap();
    let both = format!("{}\n{}\n", ask(91), cancel(91));
    stdin.write_all(both.as_bytes()).unwrap();
    assert!(client.tools().contains(&"search".to_owned()));
    drop(client.child.stdin.take());
    let left: Vec<String> = client.stdout.by_ref().lines().map(Result::unwrap).collect();
    assert_eq!(left, [""; 0], "nothing is said of what was cancelled");
    assert_eq!(client.end(), Some(0));
}

#[test]
fn messages_that_say_their_version_are_served_with_a_service_too() {
    let home = home();
    home.add();
    let _service = home.serve();
    let mut client = Client::start(&home, &[]);
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let said = client.ask("tools/list", &json!({ "_meta": meta }));
    assert!(said["result"]["tools"].is_array(), "{said}");
    let arguments = json!({ "query": "mast of the boat" });
    let params = json!({ "name": "search", "arguments": arguments, "_meta": meta });
    let said = client.ask("tools/call", &params);
    assert!(said.to_string().contains("9 metres"), "{said}");
    let said = client.ask("resources/list", &json!({ "cursor": "abc" }));
    assert_eq!(said["error"]["code"], -32602, "{said}");
}

#[test]
fn tools_and_resources_over_stdio() {
    let home = home();
    home.add();
    let mut client = Client::start(&home, &[]);
    assert_eq!(
        client.tools(),
        [
            "search",
            "ask",
            "get_document",
            "list_sources",
            "status",
            "feedback"
        ]
    );
    let found = client.call("search", &json!({ "query": "mast of the boat" }));
    assert!(text(&found).contains("boat.md:1-3") && text(&found).contains("9 metres"));
    let hit = &found["structuredContent"]["hits"][0];
    let whole = client.call("get_document", &json!({ "path": hit["path"] }));
    assert!(text(&whole).contains("# Boat\n\nThe mast"), "{whole}");
    let answer = client.call("ask", &json!({ "query": "Who painted the shed?" }));
    assert!(
        text(&answer).contains("Oskar") && text(&answer).contains("shed.md"),
        "{answer}"
    );
    let id = answer["structuredContent"]["id"].clone();
    let said = client.call("feedback", &json!({ "answer": id, "verdict": "good" }));
    assert_eq!(text(&said), "noted");
    let sources = client.call("list_sources", &json!({}));
    assert!(text(&sources).contains("(2 documents)"), "{sources}");
    let status = client.call("status", &json!({}));
    assert!(
        text(&status).starts_with("2 documents, 2 passages"),
        "{status}"
    );
    // By its folder as by its number.
    let narrow = json!({ "query": "mast", "source": home.notes() });
    let found = client.call("search", &narrow);
    assert!(text(&found).contains("boat.md"), "{found}");
    let listed = client.ask("resources/list", &json!({}));
    let resources = listed["result"]["resources"].as_array().unwrap();
    assert_eq!(resources.len(), 2);
    let read = client.ask("resources/read", &json!({ "uri": resources[0]["uri"] }));
    assert!(
        read["result"]["contents"][0]["text"]
            .as_str()
            .unwrap()
            .contains('#'),
        "{read}"
    );
    let templates = client.ask("resources/templates/list", &json!({}));
    assert_eq!(
        templates["result"]["resourceTemplates"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(client.end(), Some(0));
}

#[test]
fn null_is_as_good_as_nothing_and_any_path_that_a_hit_names_can_be_read() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let home = home();
    let name = OsStr::from_bytes(b"gar\xe7on.md");
    let note = "# Waiter\n\nThe waiter is called Pierre.\n";
    fs::write(home.notes().join(name), note).unwrap();
    home.add();
    let mut client = Client::start(&home, &[]);
    let query = json!({
        "query": "waiter Pierre", "k": null, "source": null, "literal": null, "rerank": null,
        "explain": null,
    });
    let found = client.call("search", &query);
    let hit = &found["structuredContent"]["hits"][0];
    let path = hit["path"].as_str().unwrap();
    assert!(path.ends_with("/gar\\xE7on.md"), "{path}");
    let which = json!({ "path": path, "id": null, "skip": null });
    let whole = client.call("get_document", &which);
    assert!(text(&whole).contains("Pierre"), "{whole}");
    let missing = json!({ "path": path.replace("xE7", "xE8") });
    let missing = client.call("get_document", &missing);
    assert!(text(&missing).contains("there is no document"), "{missing}");
    let asked = json!({ "query": "Who painted the shed?", "strategy": null, "no_units": null });
    let answer = client.call("ask", &asked);
    assert!(text(&answer).contains("Oskar"), "{answer}");
    assert_eq!(client.end(), Some(0));
}

#[test]
fn no_image_is_told_that_a_client_would_fetch() {
    let home = home();
    let image = "![x](https://evil.example/p.png)";
    let note = format!("---\ntitle: \"{image}\"\n---\n\nThe gate opens at 7. {image}\n");
    home.write("gate.md", note);
    home.add();
    let mut client = Client::start(&home, &[]);
    let asked = json!({ "query": "When does the gate open?" });
    let found = client.call("search", &asked);
    let path = &found["structuredContent"]["hits"][0]["path"];
    let whole = client.call("get_document", &json!({ "path": path }));
    for said in [&found, &client.call("ask", &asked), &whole] {
        let said = said.to_string();
        assert!(said.contains("The gate opens at 7."), "{said}");
        assert!(!said.contains("!["), "{said}");
    }
    let listed = client.ask("resources/list", &json!({})).to_string();
    assert!(listed.contains("gate.md"), "{listed}");
    assert!(!listed.contains("!["), "{listed}");
    assert_eq!(client.end(), Some(0));
}

#[test]
fn what_is_wrong_is_said_so_that_a_model_can_do_better() {
    let home = home();
    home.add();
    let mut client = Client::start(&home, &[]);
    let cases = [
        ("search", json!({ "query": "" }), "give at least one word"),
        (
            "search",
            json!({ "query": "x", "k": 1000 }),
            "from 1 to 100",
        ),
        ("search", json!({ "queries": "x" }), "unknown field"),
        ("search", json!({}), "missing field `query`"),
        (
            "ask",
            json!({ "query": "x", "strategy": "magic" }),
            "unknown variant",
        ),
        ("get_document", json!({}), "path"),
        (
            "get_document",
            json!({ "path": "/etc/passwd" }),
            "there is no document",
        ),
        (
            "get_document",
            json!({ "path": "../../etc/passwd" }),
            "there is no document",
        ),
        (
            "feedback",
            json!({ "answer": "x", "verdict": "good" }),
            "there is no answer",
        ),
    ];
    for (tool, arguments, said) in cases {
        let result = client.call(tool, &arguments);
        assert_eq!(result["isError"], true, "{tool} {arguments}: {result}");
        assert!(text(&result).contains(said), "{tool} {arguments}: {result}");
    }
    // Nothing that was not offered.
    let params = json!({ "name": "remember", "arguments": { "title": "a", "text": "b" } });
    assert_eq!(client.ask("tools/call", &params)["error"]["code"], -32602);
    let unread = client.ask("tools/call", &json!({ "name": "search", "arguments": "x" }));
    assert_eq!(unread["error"]["code"], -32602, "{unread}");
    let nowhere = json!({ "uri": "file:///etc/passwd" });
    assert!(client.ask("resources/read", &nowhere)["error"].is_object());
    assert_eq!(client.end(), Some(0));
}

#[test]
fn notes_are_written_where_a_source_takes_them() {
    let home = home();
    home.json(&["add", home.notes().to_str().unwrap(), "--notes"]);
    let service = home.serve();
    let mut client = Client::start(&home, &[]);
    assert!(client.tools().contains(&"remember".to_owned()));
    let note =
        json!({ "title": "../../Winter: tyres?", "text": "The winter tyres are at Holm's." });
    let kept = client.call("remember", &note);
    let path = kept["structuredContent"]["path"]
        .as_str()
        .unwrap()
        .to_owned();
    let folder = home.notes().canonicalize().unwrap().join("remembered");
    assert!(path.starts_with(folder.to_str().unwrap()), "{path}");
    let before = fs::read_to_string(&path).unwrap();
    assert!(
        before.contains("# ../../Winter: tyres?\n\nThe winter tyres"),
        "{before}"
    );
    let rights = |path: &Path| fs::metadata(path).unwrap().permissions();
    assert_eq!(
        rights(Path::new(&path)),
        rights(&home.notes().join("shed.md")),
        "as if its owner had written it"
    );
    let again = client.call(
        "remember",
        &json!({ "title": "../../Winter: tyres?", "text": "Other." }),
    );
    assert_ne!(again["structuredContent"]["path"], path.as_str());
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    for bad in [
        json!({ "title": "", "text": "x" }),
        json!({ "title": "x", "text": "y".repeat(200_000) }),
        json!({ "title": "x", "text": "y", "source": 7 }),
    ] {
        assert_eq!(client.call("remember", &bad)["isError"], true, "{bad}");
    }
    wait_for("the note is found", || {
        service.best("winter tyres Holm").contains("at Holm's")
    });
    // A link in the place of the folder leads nowhere.
    fs::rename(&folder, home.path("aside")).unwrap();
    std::os::unix::fs::symlink(home.path("aside"), &folder).unwrap();
    let led_out = client.call("remember", &json!({ "title": "x", "text": "y" }));
    assert!(
        text(&led_out).contains("leads out of its source"),
        "{led_out}"
    );
    assert_eq!(client.end(), Some(0));
}

#[test]
fn an_agent_puts_nothing_in_use_by_what_it_writes_and_asks() {
    let home = home();
    home.write(
        "garden.md",
        "# Garden\n\nThe pear tree was planted in 2004 by Anna.\n",
    );
    home.json(&["add", home.notes().to_str().unwrap(), "--notes"]);
    let rights = ["--right", "read", "--right", "ask", "--right", "write"];
    home.json(&[&["token", "add", "pen"][..], &rights].concat());
    let in_use = || {
        let units = home.json(&["units", "list"])["units"].take();
        let units = units.as_array().unwrap().clone();
        assert!(!units.is_empty());
        let mut active = units.into_iter().filter(|unit| unit["state"] == "active");
        (active.next(), active.next())
    };
    let questions = [
        "When was the pear tree planted?",
        "In which year was the pear tree planted?",
        "What is the number of the boiler account?",
        "Which number does the boiler account have?",
    ];
    let note = "The number of the boiler account is 99887766 at the Harbour bank.";
    let note = json!({ "title": "Boiler", "text": note });
    for arguments in [&[][..], &["--as", "pen"]] {
        let mut client = Client::start(&home, arguments);
        let kept = client.call("remember", &note);
        let path = kept["structuredContent"]["path"].as_str().unwrap();
        let by = arguments.last().unwrap_or(&"mcp");
        let head = format!("\nremembered-by: \"{by}\"\n---\n");
        assert!(fs::read_to_string(path).unwrap().contains(&head), "{path}");
        assert_eq!(client.end(), Some(0));
        home.json(&["sync"]);
        let mut client = Client::start(&home, arguments);
        for question in questions {
            client.call("ask", &json!({ "query": question }));
            home.json(&["writeback", "run"]);
        }
        assert_eq!(client.end(), Some(0));
        assert_eq!(in_use(), (None, None), "nobody asked but an agent");
    }
    for question in questions {
        home.json(&["ask", question]);
        home.json(&["writeback", "run"]);
    }
    let (active, other) = in_use();
    let text = active.expect("the owner asked")["text"].to_string();
    assert!(text.contains("2004") && other.is_none(), "{text}");
}

#[test]
fn a_token_limits_what_an_agent_gets() {
    let home = home();
    home.add();
    let diary = home.path("diary");
    fs::create_dir(&diary).unwrap();
    fs::write(
        diary.join("diary.md"),
        "# Diary\n\nThe door code is 7788.\n",
    )
    .unwrap();
    home.json(&["add", diary.to_str().unwrap()]);
    let arguments = ["token", "add", "agent", "--right", "read", "--source", "1"];
    let made = home.json(&arguments);
    let token = made["token"].as_str().unwrap();
    let mut client = Client::start(&home, &["--as", "agent"]);
    assert_eq!(
        client.tools(),
        ["search", "get_document", "list_sources", "status"]
    );
    let found = client.call("search", &json!({ "query": "door code" }));
    assert!(!found.to_string().contains("7788"), "{found}");
    let path = diary.canonicalize().unwrap().join("diary.md");
    let hidden = client.call("get_document", &json!({ "path": path }));
    assert!(text(&hidden).contains("there is no document"), "{hidden}");
    assert_eq!(client.end(), Some(0));

    let service = home.serve();
    let list = message(1, "tools/list", &json!({}));
    let (code, listed) = post(&service, token, &list);
    assert_eq!(
        (code, names(&listed["result"])),
        (
            200,
            vec![
                "search".to_owned(),
                "get_document".to_owned(),
                "list_sources".to_owned(),
                "status".to_owned(),
            ]
        )
    );
    let call = json!({ "name": "search", "arguments": { "query": "door code" } });
    let (_, found) = post(&service, token, &message(2, "tools/call", &call));
    assert!(
        !found.to_string().contains("7788") && found["result"].is_object(),
        "{found}"
    );
    let (_, found) = post(&service, &service.token, &message(2, "tools/call", &call));
    assert!(found.to_string().contains("7788"), "{found}");
    assert_eq!(post(&service, "wrong", &list).0, 401);
    let (code, said) = post(&service, token, &message(3, "initialize", &hello()));
    assert_eq!(
        (code, &said["result"]["serverInfo"]["name"]),
        (200, &json!("coho"))
    );
    let (_, unread) = post(&service, token, &message(5, "initialize", &json!({})));
    assert_eq!(unread["error"]["code"], -32602, "{unread}");
    let resources = message(4, "resources/list", &json!({}));
    let (_, listed) = post(&service, token, &resources);
    assert_eq!(
        listed["result"]["resources"].as_array().unwrap().len(),
        2,
        "{listed}"
    );
    // No session is kept, so that none can be taken over.
    let get = service.agent.get(format!("{}/mcp", service.address));
    let get = get.header("Authorization", format!("Bearer {token}"));
    assert_eq!(get.call().unwrap().status().as_u16(), 405);
}
