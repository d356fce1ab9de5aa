//! The command line: exit codes, messages, bad input.

use std::fs;

use crate::kit::{Home, server};

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
fn a_folder_may_be_registered_now_and_read_later() {
    let home = Home::new();
    home.write("mast.md", "# Mast\n\nThe mast is 9 metres high.\n");
    let notes = home.notes();
    let added = home.json(&["add", notes.to_str().unwrap(), "--no-sync"]);
    assert!(added["report"].is_null(), "{added}");
    let source = home.json(&["sources"])["sources"][0].take();
    assert_eq!(source["id"], added["source"]["id"]);
    assert_eq!(source["documents"], 0);
    assert!(source["synced_ms"].is_null(), "{source}");
    assert!(home.found("mast").is_empty());
    assert_eq!(home.json(&["sync"])["reports"][0]["added"], 1);
    assert_eq!(home.found("mast"), ["mast.md"]);
}

#[test]
fn what_was_said_of_a_folder_is_shown() {
    let home = Home::new();
    let notes = home.notes();
    home.json(&[
        "add",
        notes.to_str().unwrap(),
        "--never-leaves",
        "--notes",
        "--outside",
        "--no-writeback",
        "--include",
        "*.md",
        "--exclude",
        "drafts/**",
        "--exclude",
        "*.tmp",
    ]);
    let rules = "(0 documents, never leaves, takes notes, outside, no writeback, only *.md, \
                 without drafts/** *.tmp)";
    for command in ["sources", "status"] {
        let said = home.run(&[command]).ok().stdout;
        assert!(said.contains(rules), "{said}");
    }
    let usual = Home::new();
    usual.add();
    let said = usual.run(&["sources"]).ok().stdout;
    assert!(said.ends_with("(0 documents)\n"), "{said}");
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
    let ran = home.run_with(&[("COHO_ANSWER_K", "many")], &["status"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("COHO_ANSWER_K"), "{}", ran.stderr);
}

#[test]
fn settings_that_lose_a_protection_are_refused() {
    let home = Home::new();
    let missing = home.path("confg/coho.toml");
    insta::assert_snapshot!(shown(&home, &["status", "--config", missing.to_str().unwrap()]), @r"
    code 1
    --- stdout
    --- stderr
    error: there is no settings file [HOME]/confg/coho.toml, nor its folder

    hint: check the spelling of the path, or make its folder first: a file is made where there is none
    ");
    assert!(!missing.exists());
    for (text, setting) in [
        ("[search]\ndense_weight = 7.0\n", "search.dense_weight"),
        ("[answer]\nk = 0\n", "answer.k"),
        ("[chunks]\nmin_tokens = 300\n", "chunks.min_tokens"),
        ("[remote]\nmoney_per_day = nan\n", "remote.money_per_day"),
        ("[remote]\nurl = \"http://example.org/v1\"\n", "remote.url"),
        ("[remote]\nurl = \"example.org\"\n", "remote.url"),
        ("[speech]\nurl = \"https://example.org\"\n", "speech.url"),
    ] {
        fs::write(home.path("config.toml"), text).unwrap();
        let ran = home.run(&["ask", "Where is the key?"]);
        assert_eq!(ran.code, 1, "{text}");
        assert!(ran.stderr.contains(setting), "{}", ran.stderr);
    }
    // Who looks for what is wrong is not stopped by an address.
    assert_eq!(home.run(&["status"]).code, 0);
}

#[test]
#[cfg(unix)]
fn private_things_are_private() {
    let home = Home::new();
    home.run(&["status"]).done();
    assert_eq!(mode_of(&home.path("home")), 0o700);
    assert_eq!(mode_of(&home.path("config.toml")), 0o600);
    drop(home.serve());
    assert_eq!(mode_of(&home.path("home/token")), 0o600);
}

#[test]
#[cfg(target_os = "linux")]
fn a_crash_leaves_no_dump_of_what_was_in_memory() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let most = getrlimit(Resource::Core).maximum;
    if most == Some(0) {
        crate::kit::skipped("nothing leaves a dump here");
        return;
    }
    let allowed = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Core, allowed).unwrap();
    let home = Home::new();
    let service = home.serve();
    let limits = fs::read_to_string(format!("/proc/{}/limits", service.child.id())).unwrap();
    let mut lines = limits.lines();
    let core = lines.find(|line| line.starts_with("Max core file size"));
    assert_eq!(core.unwrap().split_whitespace().nth(4), Some("0"));
}

#[cfg(unix)]
fn mode_of(path: &std::path::Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Runs under the umask that most people have, whoever runs the tests.
#[cfg(unix)]
fn under_umask(home: &Home, arguments: &[&str]) {
    let plain = home.command();
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "umask 022; exec \"$0\" \"$@\""])
        .arg(plain.get_program())
        .args(arguments)
        .env_clear();
    for (name, value) in plain.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
}

#[test]
#[cfg(unix)]
fn what_holds_notes_is_the_owners_alone_and_notes_are_as_the_umask_says() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    home.write("a.md", "# Well\n\nThe well is 14 metres deep.\n");
    fs::create_dir(home.path("home")).unwrap();
    fs::set_permissions(home.path("home"), fs::Permissions::from_mode(0o755)).unwrap();
    let told = home.json(&["doctor"]).to_string();
    assert!(told.contains("could read it until now"), "{told}");
    assert_eq!(mode_of(&home.path("home")), 0o700);
    under_umask(&home, &["add", home.notes().to_str().unwrap()]);
    assert_eq!(mode_of(&home.path("home/ledger.sqlite")), 0o600);
    assert_eq!(mode_of(&home.path("home/index")), 0o700);
    let out = home.path("out.jsonl");
    under_umask(&home, &["export", "-o", out.to_str().unwrap()]);
    assert_eq!(mode_of(&out), 0o600);

    let clippings = home.path("My Clippings.txt");
    let text =
        "The Wall (Marlen Haushofer)\n- Your Highlight on page 7\n\nThe lynx drank.\n==========\n";
    fs::write(&clippings, text).unwrap();
    let into = home.notes().join("highlights");
    let (from, to) = (clippings.to_str().unwrap(), into.to_str().unwrap());
    under_umask(&home, &["import", "kindle", from, "--into", to]);
    assert_eq!(mode_of(&into), 0o755);
    for note in fs::read_dir(&into).unwrap() {
        assert_eq!(mode_of(&note.unwrap().path()), 0o644);
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
fn both_ways_are_told_one_below_the_other() {
    let home = Home::new();
    home.write("a.md", "# Well\n\nThe well is 14 metres deep.\n");
    home.add();
    let ran = home.run(&["ask", "How deep is the well?", "--ab"]).ok();
    let ways = ran.stdout.split_once("\n\nwith units\n");
    let (without, with) = ways.expect(&ran.stdout);
    assert_eq!(
        without.strip_prefix("without units\n"),
        Some(with.trim_end())
    );
    assert!(!ran.stdout.contains("\n\n\n"), "{}", ran.stdout);
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
    let models = [("COHO_MODELS", empty.to_str().unwrap())];
    let ran = home.run_with(&models, &["doctor", "--json"]);
    let told = ran.json();
    assert_eq!((ran.code, &told["ok"]), (1, &false.into()));
    let hints = told["checks"].to_string();
    assert!(hints.contains("coho models install onnxruntime"), "{hints}");
}

#[test]
fn the_doctor_misses_no_language_model_where_a_server_takes_its_place() {
    let home = Home::new();
    let check = |url: &str, expected: &[(&str, bool)]| {
        let variables = [
            ("COHO_MODELS_GENERATOR", "absent"),
            ("COHO_MODELS_SERVER_URL", url),
        ];
        let told = home.run_with(&variables, &["doctor", "--json"]).json();
        assert!(!told.to_string().contains("secret"), "{told}");
        let checks = told["checks"].as_array().unwrap().iter();
        let of: Vec<(&str, bool)> = checks
            .map(|check| (check["name"].as_str().unwrap(), check["ok"] == true))
            .filter(|(name, _)| ["language model", "addresses"].contains(name))
            .collect();
        assert_eq!(of, expected, "{url}");
    };
    check("", &[("language model", false)]);
    check("http://127.0.0.1:9/v1", &[("language model", true)]);
    let far = [("language model", true), ("addresses", false)];
    check("http://models.example.com/v1", &far);
    // What opens the server is shown to nobody.
    check("http://me:secret@models.example.com/v1?key=secret", &far);
}

#[test]
fn a_reader_of_errors_that_has_gone_away_is_no_error() {
    let home = Home::new();
    home.write("train.md", "# Train\n\nThe night train to Rome.\n");
    home.add();
    let check = |arguments: &[&str], expected: i32| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let status = home
            .command()
            .args(arguments)
            .stdout(std::process::Stdio::null())
            .stderr(writer)
            .status();
        assert_eq!(status.unwrap().code(), Some(expected), "{arguments:?}");
    };
    check(&["search", "train"], 0);
    check(&["units", "show", "none"], 1);
}

#[test]
fn a_service_stays_when_who_started_it_has_left() {
    let home = Home::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut serving = home
        .command()
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stdout(writer)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let answers = || {
        let said = fs::read(home.path("home/service.json")).ok()?;
        let said: serde_json::Value = serde_json::from_slice(&said).ok()?;
        let asked = ureq::get(format!("http://{}/healthz", said["address"].as_str()?));
        asked.call().ok()
    };
    let begun = std::time::Instant::now();
    let stays = loop {
        if answers().is_some() {
            break true;
        }
        if serving.try_wait().unwrap().is_some() || begun.elapsed().as_secs() > 60 {
            break false;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    let _ = serving.kill();
    let _ = serving.wait();
    assert!(stays, "it ended");
}

#[test]
fn a_model_server_is_not_measured_and_hinders_nothing() {
    let home = Home::new();
    let variables = [
        ("COHO_MODELS_GENERATOR", "absent"),
        ("COHO_MODELS_SERVER_URL", "http://127.0.0.1:9/v1"),
        ("COHO_MODELS_SERVER_MODEL", "far"),
    ];
    let told = home.run_with(&variables, &["models", "bench"]).ok().stdout;
    let says = "the language model is `far` of the model server at http://127.0.0.1:9/v1";
    assert!(told.contains(says), "{told}");
}

#[test]
fn what_other_programs_keep_becomes_notes_that_are_found() {
    let home = Home::new();
    home.add();
    let clippings = home.path("My Clippings.txt");
    let text = "The Wall (Marlen Haushofer)\n- Your Highlight on page 7\n\nThe lynx drank at the brook.\n==========\n";
    std::fs::write(&clippings, text).unwrap();
    let into = home.notes().join("highlights");
    let import = || {
        let into = into.to_str().unwrap();
        home.json(&[
            "import",
            "kindle",
            clippings.to_str().unwrap(),
            "--into",
            into,
        ])
    };
    assert_eq!(import()["made"], 1);
    home.json(&["sync"]);
    let found = home.json(&["search", "lynx at the brook"]);
    assert_eq!(found["hits"][0]["title"], "The Wall", "{found:#}");
    assert_eq!(import()["unchanged"], 1);
    let wrong = home.run(&[
        "import",
        "zotero",
        home.notes().to_str().unwrap(),
        "--into",
        "x",
    ]);
    assert_eq!(wrong.code, 1);
    assert!(wrong.stderr.contains("zotero.sqlite"), "{}", wrong.stderr);
}

#[test]
fn an_answer_is_read_aloud_sentence_by_sentence() {
    let home = Home::new();
    home.write(
        "mill.md",
        "# Mill\n\nThe mill grinds rye on Tuesdays. It was built in 1850 by the river.\n",
    );
    home.add();
    let heard = home.path("heard");
    let script = format!(
        "cat >> '{}'; echo '|' >> '{}'",
        heard.display(),
        heard.display()
    );
    let config = format!("[speech]\ncommand = [\"sh\", \"-c\", {script:?}]\n");
    std::fs::write(home.path("config.toml"), config).unwrap();
    let question = "When does the mill grind rye, and when was it built?";
    home.json(&["ask", question, "--strategy", "extractive", "--speak"]);
    let said = std::fs::read_to_string(&heard).unwrap();
    assert!(
        said.contains("The mill grinds rye on Tuesdays.") && said.contains('|'),
        "{said}"
    );
    assert!(!said.contains("[1]"), "{said}");
    std::fs::write(
        home.path("config.toml"),
        "[speech]\ncommand = [\"no-such-voice\"]\n",
    )
    .unwrap();
    let silent = home.run(&["ask", question, "--speak"]);
    assert_eq!(silent.code, 1);
    assert!(
        silent.stdout.contains("Tuesdays"),
        "it is told all the same: {}",
        silent.stdout
    );
    assert!(silent.stderr.contains("no-such-voice"), "{}", silent.stderr);
    let silent = home.run(&["ask", question, "--speak", "--json"]);
    assert_eq!(silent.code, 1);
    assert!(
        silent.json()["answer"].is_string(),
        "one document, of the answer"
    );
    assert!(silent.stderr.contains("no-such-voice"), "{}", silent.stderr);
}

#[test]
fn no_name_or_title_turns_a_line_around() {
    let home = Home::new();
    home.write(
        "bidi\u{202e}gpj.md",
        "# Bidi \u{202e}evil \u{2066}twin\n\nThe kiln reaches 1240 degrees.\n",
    );
    home.add();
    let answer = [
        "ask",
        "What does the kiln reach?",
        "--strategy",
        "extractive",
    ];
    for command in [&["search", "kiln"][..], &answer[..]] {
        let told = home.run(command).ok().stdout;
        assert!(told.contains("bidi\\xE2\\x80\\xAEgpj.md"), "{told}");
        // Texts keep their marks; what one opens ends with its line.
        for line in told.lines() {
            let count = |mark: char| line.matches(mark).count();
            let named = line.contains("gpj.md") && count('\u{202e}') + count('\u{2066}') > 0;
            assert!(!named, "{line:?}");
            assert_eq!(count('\u{202e}'), count('\u{202c}'), "{line:?}");
            assert_eq!(count('\u{2066}'), count('\u{2069}'), "{line:?}");
        }
    }
}

#[test]
fn names_that_cannot_be_used_are_the_users_to_mend() {
    let home = Home::new();
    home.write("a.md", "# Well\n\nThe well is 14 metres deep.\n");
    home.add();
    let nowhere = home.path("nowhere/all.zip");
    let nowhere = nowhere.to_str().unwrap();
    for command in [
        &["restore", nowhere][..],
        &["backup", nowhere],
        &["export", "-o", nowhere],
    ] {
        let ran = home.run(&[command, &["--json"]].concat());
        let said = ran.json();
        assert_eq!(
            (ran.code, &said["error"]["code"]),
            (1, &"bad_path".into()),
            "{said:#}"
        );
        assert!(said["error"]["hint"].is_string(), "{said:#}");
    }
    let ran = home.run(&["serve", "--listen", "nonsense"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("--listen"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("--serve-listen"), "{}", ran.stderr);
}

#[test]
fn a_voice_that_is_none_is_the_users_to_mend() {
    let home = Home::new();
    home.write("a.md", "# Well\n\nThe well is 14 metres deep.\n");
    home.add();
    let answer = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let url = server(move |_| answer.to_owned());
    let settings = format!("[speech]\nurl = \"{url}/wrong\"\n");
    fs::write(home.path("config.toml"), settings).unwrap();
    let ran = home.run(&[
        "ask",
        "How deep is the well?",
        "--strategy",
        "extractive",
        "--speak",
    ]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("404") && ran.stderr.contains("hint:"),
        "{}",
        ran.stderr
    );
}

#[test]
#[cfg(unix)]
fn a_reader_of_a_script_may_leave() {
    let home = Home::new();
    let plain = home.command();
    let output = std::process::Command::new("sh")
        .args(["-c", "\"$0\" completions bash | head -c 1"])
        .arg(plain.get_program())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.is_empty(), "{said}");
    let script = home.run(&["completions", "bash"]).ok().stdout;
    assert!(script.contains("complete -F _coho"), "{script}");
}

#[test]
fn settings_for_agents_start_what_they_name() {
    let home = Home::new();
    let ran = home.run(&["mcp", "--print-config", "claude-desktop"]);
    let settings: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let server = &settings["mcpServers"]["coho"];
    assert_eq!(server["args"], serde_json::json!(["mcp"]));
    assert_eq!(
        server["env"]["COHO_HOME"],
        home.path("home").to_str().unwrap()
    );
    let program = server["command"].as_str().unwrap();
    let said = std::process::Command::new(program)
        .arg("--version")
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&said.stdout).starts_with("coho "));
    assert!(ran.stderr.contains("claude_desktop_config.json"));
    let config = |name: &str| {
        let arguments = ["mcp", "--print-config", "cursor", "--as", name, "--json"];
        home.run(&arguments)
    };
    let nobody = config("nobody");
    assert_eq!(
        (nobody.code, &nobody.json()["error"]["code"]),
        (1, &"no_such_token".into())
    );
    home.json(&["token", "add", "agent"]);
    assert!(config("agent").ok().stdout.contains("agent"));
}

#[test]
fn tokens_that_come_with_a_backup_are_told() {
    let home = Home::new();
    home.write("a.md", "# Well\n\nThe well is 14 metres deep.\n");
    home.add();
    home.json(&["token", "add", "agent", "--source", "1"]);
    let archive = home.path("all.zip");
    home.json(&["backup", archive.to_str().unwrap()]);
    let other = Home::new();
    let restored = other.run(&["restore", archive.to_str().unwrap()]).ok();
    assert!(
        restored
            .stderr
            .contains("open this knowledge base again: agent"),
        "{}",
        restored.stderr
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_unit_is_written_and_removed() {
    let home = Home::new();
    let config = home.path("xdg");
    let service = |action: &str| {
        let there = [("XDG_CONFIG_HOME", config.to_str().unwrap())];
        // No session to talk to: the file is written all the same, and that is said.
        home.run_with(&there, &["service", action, "--json"]).json()
    };
    let state = service("install");
    assert_eq!(
        (&state["installed"], &state["answers"]),
        (&true.into(), &false.into()),
        "{state:#}"
    );
    let unit = std::fs::read_to_string(config.join("systemd/user/coho.service")).unwrap();
    assert!(
        unit.contains(" serve\n") && unit.contains("COHO_HOME="),
        "{unit}"
    );
    assert_eq!(service("status")["installed"], true);
    assert_eq!(service("remove")["installed"], false);
}
