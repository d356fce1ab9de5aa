//! Generated files: the schemas in `schemas/` are what the types say, and what is printed fits.

use std::fs;
use std::path::PathBuf;

use coho::cli::output;
use schemars::{JsonSchema, schema_for};
use serde_json::Value;

use crate::kit::{Home, misfits};

fn schemas() -> Vec<(&'static str, Value)> {
    fn of<T: JsonSchema>() -> Value {
        schema_for!(T).to_value()
    }
    vec![
        ("config", of::<coho::settings::Settings>()),
        ("add", of::<output::Added>()),
        ("sources", of::<output::Sources>()),
        ("sources-remove", of::<output::Removed>()),
        ("sync", of::<output::Synced>()),
        ("serve", of::<output::Serving>()),
        ("search", of::<coho::flow::search::Found>()),
        ("ask", of::<coho::flow::answer::Answer>()),
        ("ask-ab", of::<output::BothWays>()),
        ("feedback", of::<output::Noted>()),
        ("status", of::<coho::app::Status>()),
        ("status-problems", of::<coho::app::Problems>()),
        ("status-left", of::<coho::app::outside::Left>()),
        ("units-list", of::<coho::app::learning::Units>()),
        ("units-show", of::<coho::app::learning::Story>()),
        ("units-lint", of::<output::Linted>()),
        ("units-undo", of::<coho::app::learning::Undone>()),
        ("writeback-run", of::<coho::flow::writeback::Report>()),
        ("writeback-list", of::<coho::app::learning::Batches>()),
        ("verify", of::<coho::flow::verify::Verdict>()),
        ("eval-run", of::<coho::flow::evaluate::result::RunResult>()),
        ("eval-run-own", of::<coho::flow::evaluate::own::Point>()),
        ("eval-list", of::<output::EvalList>()),
        ("eval-remove", of::<coho::app::leftovers::Cleared>()),
        ("eval-compare", of::<output::Compared>()),
        ("eval-track", of::<output::Track>()),
        (
            "eval-track-own",
            of::<coho::app::evaluation::LearningLine>(),
        ),
        (
            "eval-import",
            of::<coho::flow::evaluate::import::Imported>(),
        ),
        ("eval-chunks", of::<output::ChunksTable>()),
        ("eval-scale", of::<output::ScaleTable>()),
        ("eval-tune", of::<output::TuningTable>()),
        ("import", of::<coho::import::Imported>()),
        ("forget", of::<coho::store::erase::Erased>()),
        ("service", of::<output::ServiceState>()),
        ("export", of::<output::Exported>()),
        ("completions", of::<output::Completions>()),
        ("backup", of::<coho::store::backup::archive::Description>()),
        ("models-list", of::<output::ModelList>()),
        ("models-install", of::<output::InstalledModels>()),
        ("models-use", of::<output::Chosen>()),
        ("models-add", of::<coho::engine::install::Installed>()),
        ("models-bench", of::<output::Bench>()),
        ("doctor", of::<output::Diagnosis>()),
        ("error", of::<output::Failed>()),
        ("http-problem", of::<coho::http::Problem>()),
        ("http-search", of::<coho::http::SearchBody>()),
        ("http-ask", of::<coho::http::AskBody>()),
        ("http-source", of::<coho::http::SourceBody>()),
        ("http-feedback", of::<coho::http::FeedbackBody>()),
        ("http-signal", of::<coho::http::SignalBody>()),
        ("token-add", of::<coho::app::tokens::NewToken>()),
        ("token-list", of::<coho::app::tokens::Tokens>()),
        ("token-revoke", of::<coho::app::tokens::Revoked>()),
        ("http-token", of::<coho::app::tokens::TokenBody>()),
        ("http-unit", of::<coho::http::UnitBody>()),
        ("http-writeback", of::<coho::app::learning::RunBody>()),
        ("http-notice", of::<coho::flow::watch::Notice>()),
    ]
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schemas")
}

#[test]
fn golden_schemas_are_what_the_types_say() {
    let write = std::env::var("COHO_GOLDEN").is_ok_and(|v| v == "write");
    let mut known = Vec::new();
    for (name, schema) in schemas() {
        let path = folder().join(format!("{name}.schema.json"));
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if write {
            fs::create_dir_all(folder()).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == text,
            "{} is out of date: run `make golden`",
            path.display()
        );
        known.push(path);
    }
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let ours = path.to_string_lossy().ends_with(".schema.json");
        assert!(
            !ours || known.contains(&path),
            "{} belongs to nothing",
            path.display()
        );
    }
}

#[test]
fn what_is_printed_fits_its_schema() {
    let home = Home::new();
    home.write(
        "a.md",
        "# Kiln\n\nThe kiln reaches 1240 degrees after nine hours.\n",
    );
    home.write("b.md", "");
    let check = |name: &str, value: &Value| {
        let path = folder().join(format!("{name}.schema.json"));
        let schema: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let misfits = misfits(&schema, value);
        assert!(misfits.is_empty(), "{name}: {misfits:#?}\n{value:#}");
    };
    check("doctor", &home.json(&["doctor"]));
    check("add", &home.add());
    check("sources", &home.json(&["sources"]));
    check("sync", &home.json(&["sync"]));
    check("search", &home.json(&["search", "kiln"]));
    let answer = home.json(&["ask", "How hot does the kiln get?"]);
    check("ask", &answer);
    check("ask", &home.json(&["ask", "Who discovered Uranus?"]));
    let both = home.json(&["ask", "How hot does the kiln get?", "--ab"]);
    check("ask-ab", &both);
    // The one that is not kept cannot be taken for the other.
    let refused = home.run(&["feedback", both["without"]["id"].as_str().unwrap(), "bad"]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    let id = answer["id"].as_str().unwrap();
    check("feedback", &home.json(&["feedback", id, "good"]));
    check("status", &home.json(&["status"]));
    check("status-problems", &home.json(&["status", "--problems"]));
    check("verify", &home.json(&["verify"]));
    check("writeback-run", &home.json(&["writeback", "run"]));
    check("writeback-list", &home.json(&["writeback", "list"]));
    let units = home.json(&["units", "list"]);
    check("units-list", &units);
    let unit = units["units"][0]["id"].as_str().unwrap();
    check("units-show", &home.json(&["units", "show", unit]));
    check("units-lint", &home.json(&["units", "lint"]));
    check("units-undo", &home.json(&["units", "undo", unit]));
    check("export", &home.json(&["export"]));
    let archive = home.path("all.zip");
    check("backup", &home.json(&["backup", archive.to_str().unwrap()]));
    check("token-add", &home.json(&["token", "add", "x"]));
    check("token-list", &home.json(&["token", "list"]));
    check("token-revoke", &home.json(&["token", "revoke", "x"]));
    check("status-left", &home.json(&["status", "--left"]));
    check("sync", &home.json(&["reindex"]));
    check("eval-list", &home.json(&["eval", "list"]));
    check("completions", &home.json(&["completions", "bash"]));
    check("service", &home.json(&["service", "status"]));
    check("models-list", &home.json(&["models", "list"]));
    check("models-use", &home.json(&["models", "use", "none"]));
    check("sources-remove", &home.json(&["sources", "remove", "1"]));
    check("forget", &home.json(&["forget", "--all"]));
    check("error", &home.run(&["search", "", "--json"]).json());
}

#[test]
fn the_check_itself_finds_misfits() {
    let schema: Value = serde_json::to_value(schema_for!(coho::flow::search::Found)).unwrap();
    let wrong = serde_json::json!({ "query": 7, "hits": [{ "rank": "first" }] });
    let misfits = misfits(&schema, &wrong);
    assert!(misfits.iter().any(|m| m.contains("took_ms")), "{misfits:?}");
    assert!(
        misfits.iter().any(|m| m.starts_with("$.query")),
        "{misfits:?}"
    );
    assert!(
        misfits.iter().any(|m| m.starts_with("$.hits[0].rank")),
        "{misfits:?}"
    );
}
