//! The command line: exit codes, messages, bad input.

use std::fs;

use crate::kit::Home;

/// Runs and shows exit code, stdout and stderr, with the test's own folder replaced.
fn shown(home: &Home, arguments: &[&str]) -> String {
    let ran = home.run(arguments);
    let folder = home.path("");
    let folder = folder.to_str().unwrap().trim_end_matches('/');
    let real = fs::canonicalize(folder).unwrap();
    format!(
        "code {}\n--- stdout\n{}--- stderr\n{}",
        ran.code, ran.stdout, ran.stderr
    )
    .replace(real.to_str().unwrap(), "[HOME]")
    .replace(folder, "[HOME]")
}

#[test]
fn folders_that_cannot_be_added_say_why() {
    let home = Home::new();
    let file = home.write("note.md", "text\n");
    let missing = home.path("nowhere");
    insta::assert_snapshot!(shown(&home, &["add", missing.to_str().unwrap()]), @r"
    code 1
    --- stdout
    --- stderr
    error: [HOME]/nowhere is not there

    hint: check the spelling of the path
    ");
    insta::assert_snapshot!(shown(&home, &["add", file.to_str().unwrap()]), @r"
    code 1
    --- stdout
    --- stderr
    error: [HOME]/notes/note.md is a file

    hint: give the folder that holds it
    ");
    home.add();
    let inner = home.notes().join("inner");
    fs::create_dir(&inner).unwrap();
    insta::assert_snapshot!(shown(&home, &["add", inner.to_str().unwrap()]), @r"
    code 1
    --- stdout
    --- stderr
    error: [HOME]/notes/inner lies in the source [HOME]/notes

    hint: a file belongs to one source: remove the other one first, or use globs
    ");
    let around = home.path("");
    let ran = home.run(&["add", around.to_str().unwrap(), "--json"]);
    assert_eq!(
        (ran.code, ran.json()["error"]["code"].as_str()),
        (1, Some("nested_source"))
    );
}

#[test]
fn adding_twice_is_adding_once() {
    let home = Home::new();
    home.write("a.md", "One note.\n");
    let (first, second) = (home.add(), home.add());
    assert_eq!(first["source"]["id"], second["source"]["id"]);
    assert_eq!(second["report"]["unchanged"], 1);
}

#[test]
fn questions_of_a_bad_size_say_what_to_do() {
    let home = Home::new();
    home.write("a.md", "One note.\n");
    home.add();
    insta::assert_snapshot!(shown(&home, &["search", "  "]), @r"
    code 1
    --- stdout
    --- stderr
    error: the query is empty

    hint: give at least one word
    ");
    let long = "x".repeat(100_000);
    insta::assert_snapshot!(shown(&home, &["ask", &long]), @r"
    code 1
    --- stdout
    --- stderr
    error: the query has 100000 characters, at most 10000 are taken

    hint: ask with fewer words; a whole text can be added as a note
    ");
}

#[test]
fn a_wrong_setting_names_the_right_one() {
    let home = Home::new();
    fs::write(
        home.path("config.toml"),
        "[serve]\nlistne = \"127.0.0.1:1\"\n",
    )
    .unwrap();
    insta::assert_snapshot!(shown(&home, &["status"]), @r"
    code 1
    --- stdout
    --- stderr
    error: [HOME]/config.toml: there is no setting `serve.listne`

    hint: did you mean `serve.listen`?
    ");
    fs::remove_file(home.path("config.toml")).unwrap();
    let mut command = home.command();
    let output = command
        .arg("status")
        .env("COHO_ANSWER_K", "many")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(1) && said.contains("COHO_ANSWER_K"),
        "{said}"
    );
}

#[test]
fn private_things_are_private() {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let home = Home::new();
        home.run(&["status"]).done();
        let mode = |name: &str| fs::metadata(home.path(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("home"), 0o700);
        assert_eq!(mode("config.toml"), 0o600);
    }
}

#[test]
fn without_a_language_model_the_notes_are_quoted() {
    let home = Home::new();
    home.write("a.md", "# Well\n\nThe well is 14 metres deep.\n");
    home.add();
    home.json(&["models", "use", "none"]);
    let answer = home.json(&["ask", "How deep is the well?"]);
    assert!(answer["model"].is_null());
    let text = answer["answer"].as_str().unwrap();
    assert!(
        text.starts_with("From your notes:") && text.contains("14 metres"),
        "{text}"
    );
}

#[test]
fn what_is_not_in_the_notes_is_not_answered() {
    let home = Home::new();
    home.write("a.md", "# Well\n\nThe well is 14 metres deep.\n");
    home.add();
    let ran = home
        .run(&["ask", "Who won the chess olympiad in Havana?"])
        .ok();
    assert!(
        ran.stdout.starts_with("I don't find this in your notes."),
        "{}",
        ran.stdout
    );
    let empty = Home::new();
    let answer = empty.json(&["ask", "Anything?"]);
    assert_eq!(answer["abstained"], true);
}

#[test]
fn feedback_is_kept_for_answers_that_exist() {
    let home = Home::new();
    home.write("a.md", "# Well\n\nThe well is 14 metres deep.\n");
    home.add();
    let answer = home.json(&["ask", "How deep is the well?", "--strategy", "extractive"]);
    home.run(&["feedback", answer["id"].as_str().unwrap(), "good"])
        .done();
    assert_eq!(home.run(&["feedback", "no-such-answer", "good"]).code, 1);
    assert_eq!(
        home.run(&["feedback", answer["id"].as_str().unwrap(), "so-so"])
            .code,
        1
    );
}

#[test]
fn a_model_file_that_is_none_is_refused() {
    let home = Home::new();
    let path = home.write("model.gguf", "GGUF but not really");
    let ran = home.run(&["models", "add", path.to_str().unwrap()]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let ran = home.run(&["models", "use", "smollm2-135m-instrukt", "--json"]);
    let hint = ran.json()["error"]["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains("smollm2-135m-instruct"), "{hint}");
}

#[test]
fn the_doctor_finds_a_missing_model() {
    let home = Home::new();
    let all = home.json(&["doctor"]);
    assert_eq!(all["ok"], true, "{all:#}");
    let empty = home.path("no-models");
    let output = home
        .command()
        .args(["doctor", "--json"])
        .env("COHO_MODELS", empty)
        .output();
    let output = output.unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &told["ok"]),
        (Some(1), &false.into())
    );
    let hints = told["checks"].to_string();
    assert!(hints.contains("coho models install onnxruntime"), "{hints}");
}
