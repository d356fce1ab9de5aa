//! Searching: the query language, filters in both lanes, links, copies, explanations, bad input.

use std::fs::File;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::kit::{Home, paths_below};

/// A vault with one thing to find in several ways.
fn vault() -> Home {
    let home = Home::new();
    home.write(
        "bread/sourdough.md",
        "---\ntags: [baking, food/bread]\naliases: [Levain]\n---\n# Sourdough\n\n\
         The sour dough starter wants rye flour and a warm place.\n",
    );
    home.write(
        "bread/pizza.md",
        "---\ntags: [baking]\n---\n# Pizza\n\nPizza dough needs yeast, see [[Sourdough]] for the slow way.\n",
    );
    home.write(
        "code/parser.md",
        "# Parser\n\nThe function getUserName calls parse_http_header and returns early.\n",
    );
    home.write(
        "garten.md",
        "# Garten\n\nDie Häuser am Rand des Dorfes haben alle einen großen Garten mit \
         alten Apfelbäumen, und im Herbst werden die Äpfel zu Saft gepresst.\n",
    );
    home.write("todo.txt", "buy rye flour and apples\n");
    home.add();
    home
}

fn found(home: &Home, query: &str) -> Vec<String> {
    let mut found = home.found(query);
    found.sort();
    found
}

#[test]
fn filters_narrow_both_lanes() {
    let home = vault();
    for (query, expected) in [
        (
            "dough path:bread/",
            vec!["bread/pizza.md", "bread/sourdough.md"],
        ),
        (
            "dough -path:bread/pizza",
            vec![
                "bread/sourdough.md",
                "code/parser.md",
                "garten.md",
                "todo.txt",
            ],
        ),
        ("flour tag:food", vec!["bread/sourdough.md"]),
        ("flour tag:#BAKING -tag:food/bread", vec!["bread/pizza.md"]),
        ("flour type:text", vec!["todo.txt"]),
        ("flour type:txt,pdf", vec!["todo.txt"]),
        ("dough title:pizza", vec!["bread/pizza.md"]),
        ("apples lang:de", vec!["garten.md"]),
        ("dough link:Sourdough", vec!["bread/pizza.md"]),
        ("dough link:Levain", vec!["bread/pizza.md"]),
        ("dough path:*.txt", vec!["todo.txt"]),
        ("tag:baking", vec!["bread/pizza.md", "bread/sourdough.md"]),
        ("tag:nothing flour", vec![]),
        ("tag:baking type:text", vec![]),
    ] {
        assert_eq!(found(&home, query), expected, "{query}");
    }
    let sources = home.json(&["sources"]);
    let id = sources["sources"][0]["id"].to_string();
    assert_eq!(
        home.found(&format!("sourdough source:{id}"))[0],
        "bread/sourdough.md"
    );
}

#[test]
fn a_source_is_meant_by_its_number_before_a_folder_of_that_name() {
    let home = Home::new();
    home.write("a.md", "# Pear\n\nThe pear tree was planted in 2004.\n");
    home.add();
    let other = home.path("semester/1");
    std::fs::create_dir_all(&other).unwrap();
    std::fs::write(other.join("b.md"), "# Pear\n\nA pear is no apple.\n").unwrap();
    home.json(&["add", other.to_str().unwrap()]);
    for arguments in [
        &["search", "pear", "--source", "1"][..],
        &["search", "pear source:1"],
    ] {
        let found = home.json(arguments);
        let hits = found["hits"].as_array().unwrap();
        assert_eq!(hits.len(), 1, "{arguments:?}: {found:#}");
        assert!(hits[0]["path"].as_str().unwrap().ends_with("notes/a.md"));
    }
    let hits = home.json(&["search", "pear source:semester/1"])["hits"].clone();
    assert!(
        hits[0]["path"].as_str().unwrap().ends_with("b.md"),
        "{hits:#}"
    );
}

#[test]
fn phrases_and_words_left_out() {
    let home = vault();
    for (query, expected) in [
        ("\"sour dough\"", vec!["bread/sourdough.md"]),
        ("\"dough sour\"", vec![]),
        ("\"rye flour\"", vec!["bread/sourdough.md", "todo.txt"]),
        ("\"rye flour\" -starter", vec!["todo.txt"]),
        ("dough -yeast path:bread", vec!["bread/sourdough.md"]),
        ("-dough -flour", vec!["code/parser.md", "garten.md"]),
    ] {
        assert_eq!(found(&home, query), expected, "{query}");
    }
    // A question is no query: its quotes narrow nothing.
    assert_eq!(
        home.found("What is \"dough sour\" made of?")[0],
        "bread/sourdough.md"
    );
    // Nor is what is asked, question mark or not.
    let asked = "where does the \"dough sour\" starter stand, as line:5 says";
    let answer = home.json(&["ask", asked, "--strategy", "extractive"]);
    assert!(answer["citations"].is_array(), "{answer}");
}

#[test]
fn a_document_is_listed_only_when_no_passage_holds_what_is_left_out() {
    let home = vault();
    let long = "The oven has to be hot before anything goes in. ".repeat(80);
    home.write(
        "bread/rolls.md",
        format!("---\ntags: [baking]\n---\n# Rolls\n\n{long}\n\n## Dough\n\nTake fresh yeast.\n"),
    );
    home.json(&["sync"]);
    assert_eq!(found(&home, "tag:baking -yeast"), ["bread/sourdough.md"]);
    assert_eq!(
        found(&home, "tag:baking -buckwheat"),
        ["bread/pizza.md", "bread/rolls.md", "bread/sourdough.md"]
    );
}

#[test]
fn words_are_found_in_their_forms() {
    let home = vault();
    for (query, expected) in [
        ("http header", "code/parser.md"),
        ("username", "code/parser.md"),
        ("parse_http_header", "code/parser.md"),
        ("parse-http", "code/parser.md"),
        ("starters", "bread/sourdough.md"),
        ("levain", "bread/sourdough.md"),
        ("Haus", "garten.md"),
        ("grosse Garten", "garten.md"),
        ("apfelb*", "garten.md"),
    ] {
        assert_eq!(home.found(query)[0], expected, "{query}");
    }
}

#[test]
fn beginnings_of_words_are_found_whatever_the_stem() {
    let home = Home::new();
    home.write(
        "office.md",
        "Two companies asked for the information that nobody was happy to be running after.\n",
    );
    home.write(
        "cat.md",
        "The cat informed us that it runs a company of its own.\n",
    );
    home.write(
        "haus.md",
        "Die Versicherung für das Haus wird am Anfang eines jeden Jahres bezahlt, und die \
         Unterlagen liegen in der Schublade unter dem Fenster.\n",
    );
    home.write(
        "tagged.md",
        "---\ntags: [running]\n---\nThe shoes and the socks are by the door, and there is a bottle \
         of water for the way.\n",
    );
    home.add();
    for (query, expected) in [
        ("informatio*", vec!["office.md"]),
        ("inform*", vec!["cat.md", "office.md"]),
        ("companie*", vec!["office.md"]),
        ("happy*", vec!["office.md"]),
        ("running*", vec!["office.md", "tagged.md"]),
        ("Versicherung*", vec!["haus.md"]),
        ("category*", vec![]),
    ] {
        assert_eq!(found(&home, query), expected, "{query}");
    }
    assert_eq!(home.found("nobody informatio*")[0], "office.md");
}

#[test]
fn signs_of_a_quoted_word_must_stand_there() {
    let home = vault();
    home.write("lemon.md", "Vitamin C is in every lemon.\n");
    home.write("csharp.md", "The importer is written in C# by now.\n");
    home.json(&["sync"]);
    assert_eq!(home.found("\"C#\""), ["csharp.md"]);
    assert!(home.found("\"C++\"").is_empty());
    assert_eq!(found(&home, "\"C\""), ["csharp.md", "lemon.md"]);
}

#[test]
fn emoji_are_found_as_they_are() {
    let home = vault();
    home.write("crab.md", "# Zoo\n\nThe crab 🦀 was the best of all.\n");
    home.write("love.md", "# With love ❤\u{fe0f}\n\nFrom all of us.\n");
    home.json(&["sync"]);
    assert_eq!(home.found("🦀"), ["crab.md"]);
    assert_eq!(home.found("❤"), ["love.md"]);
    assert_eq!(home.found("❤\u{fe0f}"), ["love.md"]);
    assert!(home.found("🦀 tag:baking").is_empty());
    assert!(home.found("🐙").is_empty());
    assert_eq!(home.found("crab 🦀")[0], "crab.md");
}

#[test]
fn numbers_are_found_however_their_thousands_are_set_apart() {
    let home = vault();
    home.write(
        "roof.md",
        "The new roof came to 1,250 EUR with everything.\n",
    );
    home.write(
        "dach.md",
        "Das neue Dach hat mit allem zusammen 3.400 EUR gekostet.\n",
    );
    home.json(&["sync"]);
    for (query, expected) in [
        ("\"1250\"", "roof.md"),
        ("\"1.250 EUR\"", "roof.md"),
        ("\"3400\"", "dach.md"),
        ("\"3,400 eur\"", "dach.md"),
    ] {
        assert_eq!(home.found(query), [expected], "{query}");
    }
    assert_eq!(home.found("1250")[0], "roof.md");
}

#[test]
fn words_are_found_as_they_are_in_languages_without_a_stemmer() {
    let home = vault();
    home.write(
        "serwer.md",
        "# Serwer\n\nUsługa payments działa na serwerze w piwnicy i wszystkie kopie zapasowe są \
         przechowywane przez cztery tygodnie, a potem zostają usunięte.\n",
    );
    home.json(&["sync"]);
    let shown = home.json(&["search", "payments lang:pl", "--explain"]);
    let how = &shown["hits"][0]["explain"]["words"];
    assert_eq!(how["coverage"].as_f64(), Some(1.0), "{shown}");
    assert_eq!(home.found("\"payments\""), ["serwer.md"]);
    assert!(home.found("-payments lang:pl").is_empty());
}

#[test]
fn dates_are_those_of_the_files() {
    let home = Home::new();
    let old = home.write("old.md", "The lighthouse was painted white.\n");
    home.write("new.md", "The lighthouse is painted red.\n");
    let then = SystemTime::now() - Duration::from_hours(24 * 400);
    File::options()
        .write(true)
        .open(&old)
        .unwrap()
        .set_modified(then)
        .unwrap();
    home.add();
    assert_eq!(found(&home, "lighthouse after:1y"), ["new.md"]);
    assert_eq!(found(&home, "lighthouse before:1y"), ["old.md"]);
    assert_eq!(found(&home, "lighthouse before:yesterday"), ["old.md"]);
    // Without words: the newest first.
    assert_eq!(home.found("path:md"), ["new.md", "old.md"]);
}

#[test]
fn links_go_both_ways() {
    let home = vault();
    let of = |query: &str| home.json(&["search", query])["hits"][0].clone();
    assert_eq!(of("tag:food/bread")["backlinks"], json!(["bread/pizza.md"]));
    assert_eq!(of("title:pizza")["links"], json!(["bread/sourdough.md"]));
    // A moved note keeps its links.
    std::fs::rename(
        home.notes().join("bread/pizza.md"),
        home.notes().join("pizza.md"),
    )
    .unwrap();
    home.json(&["sync"]);
    assert_eq!(of("tag:food/bread")["backlinks"], json!(["pizza.md"]));
    std::fs::remove_file(home.notes().join("pizza.md")).unwrap();
    home.json(&["sync"]);
    assert_eq!(of("tag:food/bread").get("backlinks"), None);
}

#[test]
fn copies_are_folded_and_neighbours_joined() {
    let home = Home::new();
    let text = "The heron stands in the shallow water of the pond and waits for a frog to move.";
    home.write("a.md", format!("# One\n\n{text}\n"));
    home.write("b.md", format!("# Two\n\n{text} Indeed.\n"));
    let far =
        "Nothing here is about birds at all, only about the weather of last week. ".repeat(40);
    home.write("c.md", format!("# Long\n\n{far}\n\nThe heron flew.\n"));
    home.add();
    let hits = home.json(&["search", "heron in the shallow water"])["hits"].clone();
    let listed = paths_below(&home.notes(), &hits);
    assert!(
        !(listed.contains(&"a.md".into()) && listed.contains(&"b.md".into())),
        "{listed:?}"
    );
    assert_eq!(hits[0]["folded"].as_array().unwrap().len(), 1, "{hits}");

    let step = "of the kiln guide: ".to_owned() + &"heat it slowly and look.".repeat(30);
    let steps: Vec<String> = (0..8).map(|n| format!("Step {n} {step}")).collect();
    let body = steps.join("\n\n");
    let path = home.write("kiln.md", format!("# Kiln\n\n{body}"));
    home.json(&["sync"]);
    let hits = home.json(&["search", "kiln guide steps heat slowly"])["hits"].clone();
    let joined = hits
        .as_array()
        .unwrap()
        .iter()
        .find(|hit| hit.get("joined").is_some());
    let joined = joined.unwrap_or_else(|| panic!("{hits}"));
    let [first, last]: [usize; 2] = serde_json::from_value(joined["lines"].clone()).unwrap();
    let file = std::fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = file.lines().collect();
    let shown = lines[first - 1..last].join("\n");
    assert_eq!(
        joined["text"].as_str().unwrap().trim_end(),
        shown.trim_end()
    );
}

#[test]
fn a_document_does_not_fill_the_list() {
    let home = Home::new();
    let more = "More words follow here. ".repeat(30);
    let section = |n| format!("## Part {n}\n\nThe lantern number {n} hangs in room {n}. {more}");
    let sections = (0..12).map(section).collect::<Vec<String>>().join("\n\n");
    home.write("lanterns.md", format!("# Lanterns\n\n{sections}"));
    for n in 0..5 {
        home.write(
            &format!("other{n}.md"),
            format!("# Other {n}\n\nA lantern of another kind, made of {n} sheets of tin.\n"),
        );
    }
    home.add();
    let listed = home.found("lantern of tin");
    let distinct: std::collections::HashSet<&String> = listed.iter().collect();
    assert_eq!(distinct.len(), 6, "{listed:?}");
}

#[test]
fn a_list_of_hits_shows_what_was_asked() {
    let home = Home::new();
    let weather = |n| format!("Line {n} tells of the weather and of nothing else at all.");
    let weather = (0..5).map(weather).collect::<Vec<String>>().join("\n");
    home.write(
        "diary.md",
        format!("# Diary\n\n{weather}\nThe heron stood in the pond all day.\n{weather}\n"),
    );
    home.add();
    let shown = home.run(&["search", "heron in the pond"]).ok().stdout;
    let line = shown.lines().find(|line| line.contains("The heron stood"));
    let line = line.unwrap_or_else(|| panic!("{shown}"));
    assert!(line.contains('…'), "{shown}");
}

#[test]
fn explanations_add_up() {
    let home = vault();
    let found = home.json(&["search", "sour dough -yeast", "--explain"]);
    assert_eq!(found["explain"]["words"], "sour dough");
    assert_eq!(found["explain"]["without"], json!(["yeast"]));
    for hit in found["hits"].as_array().unwrap() {
        let how = &hit["explain"];
        let part = |name: &str| how[name].as_f64().unwrap();
        let weight = part("dense_weight");
        let sum = weight * part("dense") + (1.0 - weight) * part("lexical");
        let sum = sum.clamp(0.0, 1.0);
        assert!((sum - hit["score"].as_f64().unwrap()).abs() < 1e-4, "{hit}");
    }
    assert!(
        home.json(&["search", "dough"])["hits"][0]
            .get("explain")
            .is_none()
    );
    let shown = home.run(&["search", "dough", "--explain"]).ok();
    assert!(
        shown.stdout.contains("cosine") && shown.stdout.contains("read as: dough"),
        "{}",
        shown.stdout
    );
}

#[test]
fn bad_input_is_told_alike_by_both_edges() {
    let home = vault();
    let service = home.serve();
    let long = "word ".repeat(20_000);
    for (query, code) in [
        ("", Some("empty_query")),
        (" \t ", Some("empty_query")),
        (long.as_str(), Some("query_too_long")),
        ("tag:", Some("bad_query")),
        ("tag:,", Some("bad_query")),
        ("tga:x", Some("bad_query")),
        ("before:soon dough", Some("bad_query")),
        ("source:nowhere dough", Some("no_such_source")),
        ("the of and", None),
        ("tag:baking", None),
        ("\"unbalanced", None),
        ("(a|b)* [x] \\d+ ^$ ??? {}", None),
        ("🦀🦀", None),
        ("מרחבא שלום العربية", None),
        ("日本語 ไทย русский mixed", None),
        ("\u{1}\u{2}dough", None),
        ("*", None),
        ("-", None),
        ("a:b:c::d", None),
    ] {
        let (status, over_http) = service.post("/v1/search", &json!({ "query": query }));
        let over_cli: Value = home.run(&["search", query, "--json"]).json();
        if let Some(code) = code {
            assert!((400..500).contains(&status), "{query}: {over_http}");
            assert_eq!(over_http["code"], code, "{query}: {over_http}");
            assert_eq!(over_cli["error"]["code"], code, "{query}: {over_cli}");
        } else {
            assert_eq!(status, 200, "{query}: {over_http}");
            let ids = |found: &Value| -> Vec<String> {
                let hits = found["hits"].as_array().unwrap().iter();
                hits.map(|hit| hit["chunk_id"].as_str().unwrap().to_owned())
                    .collect()
            };
            assert_eq!(ids(&over_http), ids(&over_cli), "{query}");
        }
    }
    let (status, nul) = service.post("/v1/search", &json!({ "query": "do\u{0}ugh starter" }));
    assert_eq!(status, 200, "{nul}");
}

/// With so few vectors kept in memory that the others need the index.
#[test]
fn an_index_for_many_vectors_is_built_and_finds_what_came_after() {
    let home = Home::new();
    let colours = [
        "red", "green", "blue", "white", "black", "brown", "grey", "pink",
    ];
    let places = [
        "barn", "harbour", "kitchen", "forest", "station", "garden", "school", "market",
    ];
    for n in 0..600 {
        let (colour, place) = (colours[n % 8], places[n / 8 % 8]);
        home.write(
            &format!("n{n}.md"),
            format!("# Thing {n}\n\nIn the {place} number {n} stands a {colour} chair.\n"),
        );
    }
    let few = [("COHO_SEARCH_EXACT_ROWS", "100")];
    let with = |arguments: &[&str]| home.run_with(&few, arguments).ok();
    with(&["add", home.notes().to_str().unwrap()]).done();
    let indexes = home.path("home/index/all-minilm-l6-v2/vectors/chunks.lance/_indices");
    assert!(
        indexes.read_dir().unwrap().count() >= 2,
        "of vectors and of ids"
    );
    let found = |query: &str| {
        paths_below(
            &home.notes(),
            &with(&["search", query, "--json"]).json()["hits"],
        )
    };
    assert_eq!(found("chair in the harbour number 9")[0], "n9.md");
    home.write(
        "new.md",
        "A violin of maple wood hangs above the fireplace.\n",
    );
    home.write("n9.md", "Nothing is left here.\n");
    with(&["sync"]).done();
    assert_eq!(found("stringed instrument over the hearth")[0], "new.md");
    let hits = with(&["search", "chair in the harbour number 9", "--json"]).json()["hits"].clone();
    let texts = hits.as_array().unwrap().iter().map(|hit| &hit["text"]);
    assert!(
        texts
            .clone()
            .all(|text| !text.as_str().unwrap().contains("harbour number 9 ")),
        "what is left of an old edition: {hits}"
    );
    assert!(texts.count() > 1, "{hits}");
    // Filters reach both lanes here too.
    assert_eq!(found("chair path:n17.md"), ["n17.md"]);
    with(&["verify"]).done();
}

#[test]
fn a_reranker_that_was_added_orders_the_hits() {
    let home = Home::new();
    for (name, more) in [("a", 0), ("b", 12), ("c", 4), ("d", 8)] {
        let text =
            "The weir needs a new gate. ".to_owned() + &format!("It is gate {name}. ").repeat(more);
        home.write(&format!("{name}.md"), text);
    }
    let models = home.two_embedders();
    // A model of our own making whose score is the shorter the better.
    let folder = home.path("shortest-first");
    std::fs::create_dir(&folder).unwrap();
    let fixture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/shortest-first/model.onnx"
    );
    std::fs::copy(fixture, folder.join("model.onnx")).unwrap();
    let with = |arguments: &[&str]| {
        let there = [("COHO_MODELS", models.to_str().unwrap())];
        home.run_with(&there, arguments)
    };
    let path = folder.to_str().unwrap();
    let incomplete = with(&["models", "add", path, "--json"]);
    assert!(
        incomplete.stdout.contains("tokenizer.json"),
        "{}",
        incomplete.stdout
    );
    for file in [
        "tokenizer.json",
        "config.json",
        "special_tokens_map.json",
        "tokenizer_config.json",
    ] {
        std::fs::copy(
            models.join("all-minilm-l6-v2").join(file),
            folder.join(file),
        )
        .unwrap();
    }
    with(&["add", home.notes().to_str().unwrap()]).ok().done();
    let without = with(&["search", "gate of the weir", "--rerank", "--json"]);
    assert_eq!(without.json()["error"]["code"], "no_reranker");
    with(&["models", "add", path]).ok().done();
    with(&["models", "use", "shortest-first"]).ok().done();
    let found = with(&[
        "search",
        "gate of the weir",
        "--rerank",
        "--explain",
        "--json",
    ])
    .ok()
    .json();
    let order = paths_below(&home.notes(), &found["hits"]);
    assert_eq!(order, ["a.md", "c.md", "d.md", "b.md"], "{found}");
    assert!(found["explain"]["steps"]["rerank_ms"].as_f64().unwrap() > 0.0);
    let plain = with(&["search", "gate of the weir", "--explain", "--json"])
        .ok()
        .json();
    assert_eq!(plain["explain"]["steps"]["rerank_ms"].as_f64(), Some(0.0));
}
