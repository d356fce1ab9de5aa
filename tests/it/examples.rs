//! `schemas/openapi.json` and `schemas/examples/`: what the service says of itself is what it does.
//!
//! Each example is a request and what a real service answered. Connectors replay them; here every
//! one is asked again, and the answer must fit the document and have the shape of the example.

use std::fs;
use std::io::Read;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::kit::{Home, Service, events, misfits};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schemas")
}

fn writes() -> bool {
    std::env::var("COHO_GOLDEN").is_ok_and(|v| v == "write")
}

/// Compares a file with what it should hold, or writes it.
fn golden(name: &str, value: &Value) -> Value {
    let path = folder().join(name);
    if writes() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, serde_json::to_string_pretty(value).unwrap() + "\n").unwrap();
    }
    let text = fs::read_to_string(&path).unwrap_or_default();
    serde_json::from_str(&text)
        .unwrap_or_else(|e| panic!("{}: {e}: run `make golden`", path.display()))
}

#[test]
fn golden_openapi_is_what_the_handlers_say() {
    let document = coho::http::document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert!(
        golden("openapi.json", &document) == document,
        "schemas/openapi.json is out of date: run `make golden`"
    );
}

/// Name, method, path, body. `{answer}` and so on stand for what earlier examples made.
type Asked = (&'static str, &'static str, &'static str, Value);

fn requests() -> Vec<Asked> {
    let mut all = about_notes();
    all.extend(about_the_service());
    all
}

fn about_notes() -> Vec<Asked> {
    let question = "What float voltage is the charge controller set to?";
    vec![
        (
            "search",
            "POST",
            "/v1/search",
            json!({ "query": "charge controller", "k": 2 }),
        ),
        (
            "search-explain",
            "POST",
            "/v1/search",
            json!({ "query": "\"charge controller\" -boat", "k": 1, "explain": true }),
        ),
        (
            "search-nothing",
            "POST",
            "/v1/search",
            json!({ "query": "path:nowhere/ x" }),
        ),
        ("search-empty", "POST", "/v1/search", json!({ "query": "" })),
        (
            "ask",
            "POST",
            "/v1/ask",
            json!({ "question": question, "strategy": "extractive" }),
        ),
        (
            "ask-stream",
            "POST",
            "/v1/ask",
            json!({ "question": question, "strategy": "extractive", "stream": true }),
        ),
        (
            "ask-unknown",
            "POST",
            "/v1/ask",
            json!({ "question": "Who discovered Uranus?", "strategy": "extractive" }),
        ),
        ("answers", "GET", "/v1/answers?limit=1", Value::Null),
        ("answer", "GET", "/v1/answers/{answer}", Value::Null),
        ("answer-unknown", "GET", "/v1/answers/none", Value::Null),
        (
            "feedback",
            "POST",
            "/v1/answers/{answer}/feedback",
            json!({ "verdict": "good", "note": "exactly" }),
        ),
        (
            "signal",
            "POST",
            "/v1/answers/{answer}/signals",
            json!({ "kind": "opened" }),
        ),
        ("documents", "GET", "/v1/documents?limit=2", Value::Null),
        ("document", "GET", "/v1/documents/{document}", Value::Null),
    ]
}

fn about_the_service() -> Vec<Asked> {
    let question = "What float voltage is the charge controller set to?";
    let chat = json!({ "model": "coho", "messages": [{ "role": "user", "content": question }] });
    vec![
        ("alive", "GET", "/healthz", Value::Null),
        ("ready", "GET", "/readyz", Value::Null),
        ("sources", "GET", "/v1/sources", Value::Null),
        (
            "source-bad",
            "POST",
            "/v1/sources",
            json!({ "path": "/nowhere/at/all" }),
        ),
        ("sync", "POST", "/v1/sources/1/sync", json!({})),
        ("writeback", "POST", "/v1/writeback", json!({})),
        ("batches", "GET", "/v1/writeback", Value::Null),
        ("units", "GET", "/v1/units", Value::Null),
        ("unit", "GET", "/v1/units/{unit}", Value::Null),
        (
            "unit-approve",
            "PATCH",
            "/v1/units/{unit}",
            json!({ "decision": "approve" }),
        ),
        ("status", "GET", "/v1/status", Value::Null),
        ("problems", "GET", "/v1/status/problems", Value::Null),
        (
            "token-add",
            "POST",
            "/v1/tokens",
            json!({ "name": "editor", "rights": ["read", "ask"] }),
        ),
        ("tokens", "GET", "/v1/tokens", Value::Null),
        ("token-revoke", "DELETE", "/v1/tokens/editor", Value::Null),
        ("chat", "POST", "/v1/chat/completions", chat),
        (
            "embeddings",
            "POST",
            "/v1/embeddings",
            json!({ "model": "coho", "input": "rope", "encoding_format": "base64" }),
        ),
        ("models", "GET", "/v1/models", Value::Null),
    ]
}

/// Sends a request; what comes back as it is, or the events of a stream.
fn send(service: &Service, method: &str, path: &str, body: &Value) -> Value {
    let url = format!("{}{path}", service.address);
    let bearer = format!("Bearer {}", service.token);
    let response = match method {
        "GET" => service
            .agent
            .get(url)
            .header("Authorization", bearer)
            .call(),
        "DELETE" => service
            .agent
            .delete(url)
            .header("Authorization", bearer)
            .call(),
        "PATCH" => service
            .agent
            .patch(url)
            .header("Authorization", bearer)
            .send_json(body),
        _ => service
            .agent
            .post(url)
            .header("Authorization", bearer)
            .send_json(body),
    };
    let response = response.unwrap();
    let status = response.status().as_u16();
    let header = |name: &str| {
        let value = response.headers().get(name);
        value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    };
    let kind = header("content-type");
    let mut reader = response.into_body().into_reader();
    if kind == "text/event-stream" {
        let events = events(reader).into_iter();
        let events = events.map(|(name, data)| json!({ "event": name, "data": data }));
        let events: Vec<Value> = events.collect();
        return json!({ "status": status, "content_type": kind, "events": events });
    }
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    json!({ "status": status, "content_type": kind, "body": body })
}

/// The schema of a response, as the document has it, with the document around it for references.
fn schema_of(document: &Value, method: &str, path: &str, said: &Value) -> Option<Value> {
    let path = path.split('?').next().unwrap();
    let fits = |template: &str| {
        let (a, b): (Vec<&str>, Vec<&str>) =
            (template.split('/').collect(), path.split('/').collect());
        a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a == b || a.starts_with('{'))
    };
    let paths = document["paths"].as_object().unwrap();
    // What is written out goes before what stands for anything.
    let mut templates: Vec<&String> = paths.keys().filter(|template| fits(template)).collect();
    templates.sort_by_key(|template| template.matches('{').count());
    let operation = &paths[*templates.first()?][method.to_lowercase()];
    let status = said["status"].to_string();
    let responses = &operation["responses"];
    let response = responses.get(&status).or(responses.get("default"))?;
    let content = response["content"].as_object();
    let Some(content) = content else {
        return (said["body"] == Value::Null).then(|| json!(true));
    };
    let kind = said["content_type"]
        .as_str()
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    let schema = content.get(kind)?["schema"].clone();
    let mut root = document.clone();
    if let (Some(root), Some(schema)) = (root.as_object_mut(), schema.as_object()) {
        root.extend(schema.clone());
    }
    Some(root)
}

/// Where two values are of another shape; of lists only the first entries are compared.
fn other_shape(a: &Value, b: &Value, at: &str) -> Vec<String> {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let mut found = Vec::new();
            for key in a.keys().chain(b.keys()) {
                match (a.get(key), b.get(key)) {
                    (Some(a), Some(b)) => found.extend(other_shape(a, b, &format!("{at}.{key}"))),
                    _ => found.push(format!("{at}.{key} is on one side only")),
                }
            }
            found
        }
        (Value::Array(a), Value::Array(b)) => match (a.first(), b.first()) {
            (Some(a), Some(b)) => other_shape(a, b, &format!("{at}[0]")),
            (None, None) => Vec::new(),
            _ => vec![format!("{at} is empty on one side only")],
        },
        (Value::Null, _) | (_, Value::Null) => Vec::new(),
        _ if std::mem::discriminant(a) == std::mem::discriminant(b) => Vec::new(),
        _ => vec![format!("{at}: {a} against {b}")],
    }
}

/// A response with the first of its events under each name, for of lists only the first entries are
/// compared.
fn by_event(response: &Value) -> Value {
    let mut response = response.clone();
    if let Some(events) = response["events"].as_array() {
        let named = events.iter().rev();
        let named = named.map(|e| (e["event"].as_str().unwrap().to_owned(), e["data"].clone()));
        let named: serde_json::Map<String, Value> = named.collect();
        response["events"] = named.into();
    }
    response
}

/// The same on every machine, as far as that goes, and no token that ever let somebody in.
fn neutral(value: &Value, paths: &[(&str, &str)]) -> Value {
    let text = paths.iter().fold(value.to_string(), |text, (here, there)| {
        text.replace(here, there)
    });
    let mut neutral: Value = serde_json::from_str(&text).unwrap();
    if neutral["body"]["token"].is_string() {
        neutral["body"]["token"] = json!("0".repeat(64));
    }
    neutral
}

#[test]
fn golden_examples_are_what_the_service_answers() {
    let home = Home::new();
    let vault = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("eval/vault");
    copy(&vault, &home.notes());
    home.add();
    let service = home.serve();
    let notes = home
        .notes()
        .canonicalize()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let data = home
        .path("home")
        .canonicalize()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let models = service.get("/v1/status").1["models"]["folder"]
        .as_str()
        .unwrap()
        .to_owned();
    let document = coho::http::document();
    let mut made: Vec<(&str, String)> = Vec::new();
    for (name, method, path, body) in requests() {
        let filled = made
            .iter()
            .fold(path.to_owned(), |path, (name, id)| path.replace(name, id));
        let said = send(&service, method, &filled, &body);
        let id = |value: &Value| value.to_string().trim_matches('"').to_owned();
        match name {
            "ask" => made.push(("{answer}", id(&said["body"]["id"]))),
            "documents" => made.push(("{document}", id(&said["body"]["documents"][0]["id"]))),
            "units" => made.push(("{unit}", id(&said["body"]["units"][0]["id"]))),
            _ => {}
        }
        if said["events"].is_null() {
            let schema = schema_of(&document, method, &filled, &said);
            let schema = schema.unwrap_or_else(|| panic!("{name}: not in the document: {said}"));
            let misfits = misfits(&schema, &said["body"]);
            assert!(misfits.is_empty(), "{name}: {misfits:#?}\n{said:#}");
        }
        let said = neutral(
            &said,
            &[
                (&notes, "/home/you/notes"),
                (&data, "/home/you/.local/share/coho"),
                (&models, "/home/you/.cache/coho/models"),
            ],
        );
        let example = json!({
            "request": { "method": method, "path": path, "body": body },
            "response": said,
        });
        let kept = golden(&format!("examples/{name}.json"), &example);
        assert_eq!(
            kept["request"], example["request"],
            "{name}: run `make golden`"
        );
        assert_eq!(
            kept["response"]["status"], example["response"]["status"],
            "{name}"
        );
        let [kept, said] = [kept, example].map(|example| by_event(&example["response"]));
        let differs = other_shape(&kept, &said, name);
        assert!(differs.is_empty(), "run `make golden`: {differs:#?}");
    }
    let known: Vec<String> = requests().iter().map(|r| format!("{}.json", r.0)).collect();
    for entry in fs::read_dir(folder().join("examples")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(known.contains(&name), "{name} belongs to nothing");
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}
