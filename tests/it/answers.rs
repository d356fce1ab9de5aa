//! How answers are made: strategies and their steps, claims and their marks, with the real models
//! and with a model server that says what the test wants.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use coho::engine::generate::{Continuation, Description, Generator, Prompt, Scored, Stream};
use coho::engine::{EngineError, GeneratorHandle};
use serde_json::{Value, json};

use crate::kit::{Home, open, server};
use crate::service::NOBODY_THERE;
use crate::writeback::asked;

const NOTE: &str = "# Boiler\n\nThe boiler was serviced by Frau Adler in May 2023. \
                    It needs two litres of water each month.\n\n\
                    The cellar door is not locked.\n";

fn home() -> Home {
    let home = Home::new();
    home.write("boiler.md", NOTE);
    home.write("shed.md", "# Shed\n\nThe shed is painted green.\n");
    home.add();
    home
}

fn ask(home: &Home, question: &str, more: &[&str]) -> Value {
    let mut arguments = vec!["ask", question];
    arguments.extend(more);
    home.json(&arguments)
}

fn kinds(answer: &Value) -> Vec<&str> {
    let steps = answer["steps"].as_array().unwrap().iter();
    steps.map(|step| step["kind"].as_str().unwrap()).collect()
}

/// A text with the log-probability of its tokens; each entry is a token.
type Script = Vec<Vec<(&'static str, f32)>>;

/// A model server that says one text of the script after the other, and the last again and again.
/// Gives its settings.
fn scripted(script: Script) -> String {
    scripted_to(script, "stop")
}

/// The same, with what ends each text: "stop" or "length".
fn scripted_to(script: Script, reason: &'static str) -> String {
    let mut turn = 0_usize;
    let url = server(move |_| {
        let mut answer = String::from(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
        );
        for (token, log_prob) in &script[turn.min(script.len() - 1)] {
            let choice = json!({"delta": {"content": token},
                "logprobs": {"content": [{"logprob": log_prob}]}});
            answer += &format!("data: {}\n\n", json!({"choices": [choice]}));
        }
        turn += 1;
        let end = json!({"choices": [{"delta": {}, "finish_reason": reason}]});
        answer + &format!("data: {end}\n\ndata: [DONE]\n\n")
    });
    format!("[models.server]\nurl = \"{url}/v1\"\nmodel = \"scripted\"\n")
}

/// A model server that says the same whatever it is asked. Gives its settings.
fn repeating(said: &'static str) -> String {
    let url = server(move |_| said.to_owned());
    format!("[models.server]\nurl = \"{url}/v1\"\nmodel = \"repeating\"\n")
}

fn home_with(script: Script) -> Home {
    let home = home();
    fs::write(home.path("config.toml"), scripted(script)).unwrap();
    home
}

#[test]
fn each_strategy_answers_and_counts_what_it_spends() {
    let home = home();
    for strategy in [
        "extractive",
        "naive",
        "replug",
        "flare",
        "self-rag",
        "cascade",
    ] {
        let answer = ask(
            &home,
            "Who serviced the boiler?",
            &["--strategy", strategy, "--k", "2"],
        );
        assert_eq!(answer["strategy"], strategy);
        assert_eq!(kinds(&answer)[..2], ["retrieve", "judge"], "{strategy}");
        let steps = answer["steps"].as_array().unwrap();
        for spent in ["prompt", "generated"] {
            let sum: u64 = steps
                .iter()
                .map(|s| s["tokens"][spent].as_u64().unwrap())
                .sum();
            assert_eq!(answer["tokens"][spent], sum, "{strategy} {spent}");
        }
        let joules: f64 = steps.iter().map(|s| s["joules"].as_f64().unwrap()).sum();
        let all = answer["energy"]["joules"].as_f64().unwrap();
        assert!(joules > 0.0 && joules <= all * 1.05 + 0.1, "{strategy}");
        let reads = answer["tokens"]["prompt"].as_u64().unwrap() > 0;
        let quotes = ["extractive", "cascade"].contains(&strategy);
        assert_eq!(reads, !quotes, "{strategy}: SmolLM2-135M is not trusted");
        assert_eq!(answer["model"].is_null(), quotes, "{strategy}");
        // Every mark in the text is a citation or says that there is none.
        let text = answer["answer"].as_str().unwrap();
        let cited = answer["citations"].as_array().unwrap().len();
        assert!(
            text.contains("[1]") == (cited > 0) && (cited > 0 || text.contains("[?]")),
            "{strategy}: {text}"
        );
    }
}

#[test]
fn a_model_that_is_not_trusted_can_be_let_write_all_the_same() {
    let home = home();
    fs::write(
        home.path("config.toml"),
        "[answer]\ndrafts = \"always\"\nleast_log_prob = -9.0\n",
    )
    .unwrap();
    let answer = ask(&home, "How many litres of water does the boiler need?", &[]);
    assert_eq!(kinds(&answer)[3], "draft", "{answer}");
    assert!(answer["tokens"]["generated"].as_u64().unwrap() > 0);
}

#[test]
fn claims_without_support_are_marked_and_say_what_is_missing() {
    let home = home_with(vec![vec![
        ("It was Frau Adler.", -0.1),
        (" She came with Dragan in 1999.", -0.1),
    ]]);
    let answer = ask(&home, "Who serviced the boiler?", &["--strategy", "naive"]);
    assert_eq!(
        answer["answer"],
        "It was Frau Adler. [1] She came with Dragan in 1999. [?]"
    );
    let claims = answer["claims"].as_array().unwrap();
    assert_eq!(claims[0]["citations"], json!([1]));
    assert_eq!(claims[1]["supported"], false);
    assert_eq!(claims[1]["missing"], json!(["1999", "dragan"]));
    let shown = home.run(&["ask", "Who serviced the boiler?", "--strategy", "naive"]);
    let shown = shown.ok().stdout;
    assert!(shown.contains("[?] your notes do not support this: they do not hold 1999, dragan"));
}

#[test]
fn a_draft_that_holds_up_is_told() {
    let home = home_with(vec![vec![("It was Frau Adler.", -0.1)]]);
    let answer = ask(&home, "Who serviced the boiler?", &[]);
    assert_eq!(answer["answer"], "It was Frau Adler. [1]");
    assert_eq!(answer["model"], "scripted");
    assert_eq!(kinds(&answer), ["retrieve", "judge", "weigh", "draft"]);
}

#[test]
fn a_draft_that_does_not_hold_up_is_repaired_or_replaced_by_quotes() {
    let wrong = vec![("It was Dragan.", -0.1)];
    let home = home_with(vec![
        wrong.clone(),
        wrong.clone(),
        vec![("Frau Adler.", -0.1)],
    ]);
    let answer = ask(&home, "Who serviced the boiler?", &[]);
    assert_eq!(answer["answer"], "Frau Adler. [1]", "{answer}");
    assert_eq!(kinds(&answer).last(), Some(&"repair"));

    let home = home_with(vec![wrong]);
    let answer = ask(&home, "Who serviced the boiler?", &[]);
    let text = answer["answer"].as_str().unwrap();
    assert!(
        text.starts_with("From your notes: “The boiler was serviced by Frau Adler"),
        "{text}"
    );
    assert_eq!(kinds(&answer).last(), Some(&"quote"));
    assert!(!text.contains("Dragan"), "{text}");
}

#[test]
fn behind_a_draft_that_does_not_hold_up_is_searched_for_what_was_sure_in_it() {
    let script = vec![vec![
        ("The automobile", -0.1),
        (" of Dragan", -3.0),
        (".", -0.1),
    ]];
    let home = home_with(script);
    // Words like the one best, vectors the other.
    home.write(
        "stage.md",
        "# Puppets\n\nThe puppets sing to a dragon of silk; the queen must pay with buttons, and a car \
         of paper rolls across the stage.\n",
    );
    home.write(
        "automobile.md",
        "# Automobile\n\nThe automobile was bought for 9000 euros.\n",
    );
    home.json(&["sync"]);
    let answer = ask(&home, "How much did I pay for the car?", &[]);
    let agree = &answer["steps"][1]["seen"]["lanes_agree"];
    assert_eq!(*agree, 0.0, "{answer}");
    let begin = [
        "retrieve",
        "judge",
        "weigh",
        "draft",
        "search-again",
        "weigh",
    ];
    assert_eq!(kinds(&answer)[..6], begin, "{answer}");
    let words = answer["steps"][4]["outcome"].as_str().unwrap();
    assert!(words.ends_with("for “automobile”"), "{words}");
    // Where both like the same best, other words would find nothing better.
    let answer = ask(&home, "Who serviced the boiler?", &[]);
    assert_eq!(answer["steps"][1]["seen"]["lanes_agree"], 1.0, "{answer}");
    assert!(!kinds(&answer).contains(&"search-again"), "{answer}");
}

#[test]
fn before_quotes_is_searched_for_what_the_best_sentence_names() {
    let home = home();
    home.write(
        "adler.md",
        "# Adler\n\nFrau Adler has the telephone number 0171 5550.\n",
    );
    home.json(&["sync"]);
    fs::write(home.path("config.toml"), "[models]\ngenerator = \"none\"\n").unwrap();
    // Each sentence holds two of its five words.
    let question = "What is the telephone number of the person who serviced the boiler?";
    let answer = ask(&home, question, &[]);
    let steps = [
        "retrieve",
        "judge",
        "weigh",
        "search-again",
        "weigh",
        "quote",
    ];
    assert_eq!(kinds(&answer), steps, "{answer}");
    let words = answer["steps"][3]["outcome"].as_str().unwrap();
    assert!(words.contains("frau adler"), "{words}");
    let answer = ask(&home, "Who serviced the boiler?", &[]);
    assert_eq!(kinds(&answer), ["retrieve", "judge", "weigh", "quote"]);
}

#[test]
fn a_draft_that_the_model_is_not_sure_of_is_not_told() {
    let home = home_with(vec![vec![("It was Frau Adler.", -2.0)]]);
    let answer = ask(&home, "Who serviced the boiler?", &[]);
    assert_eq!(kinds(&answer).last(), Some(&"quote"), "{answer}");
}

#[test]
fn a_draft_with_an_invented_detail_is_not_told() {
    let wrong = "The boiler was serviced by Frau Adler in June 2023.";
    let home = home_with(vec![vec![(wrong, -0.1)]]);
    let answer = ask(&home, "Who serviced the boiler?", &[]);
    let text = answer["answer"].as_str().unwrap();
    assert!(
        text.starts_with("From your notes: “") && !text.contains("June"),
        "{text}"
    );
}

#[test]
fn a_model_that_fails_takes_no_answer_with_it() {
    let home = home();
    let question = "Who serviced the boiler?";
    let refuses = "HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\nno such model";
    let breaks_off = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\ndata: {\"choices\": \n\n";
    let is_small = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\ncontext size exceeded";
    for (settings, why) in [
        (NOBODY_THERE.to_owned(), "does not answer"),
        (repeating(refuses), "no such model"),
        (repeating(breaks_off), "no chunk"),
        (repeating(is_small), "too long"),
    ] {
        fs::write(home.path("config.toml"), settings).unwrap();
        let answer = ask(&home, question, &[]);
        let steps = ["retrieve", "judge", "weigh", "draft", "quote"];
        assert_eq!(kinds(&answer), steps, "{answer}");
        let told = answer["steps"][3]["outcome"].as_str().unwrap();
        let failed = told.starts_with("the language model failed: ");
        assert!(failed && told.contains(why), "{told}");
        let text = answer["answer"].as_str().unwrap();
        let quoted = "From your notes: “The boiler was serviced by Frau Adler";
        assert!(text.starts_with(quoted), "{text}");
        assert!(answer["model"].is_null(), "{answer}");
        let shown = home.run(&["ask", question]).ok();
        assert!(shown.stderr.contains(why), "{}", shown.stderr);
        // A way to answer that was asked for by its name is not replaced by another.
        let naive = home.run(&["ask", question, "--strategy", "naive"]);
        assert_ne!(naive.code, 0, "{}", naive.stdout);
        assert!(naive.stderr.contains(why), "{}", naive.stderr);
    }
}

/// A language model that fails whatever it is asked; counts how often it was to write.
struct Failing(Arc<AtomicUsize>);

fn failed<T>() -> Result<T, EngineError> {
    let reason = "its process said nothing".to_owned();
    Err(EngineError::Run { reason })
}

impl Generator for Failing {
    fn generate(&self, _: Prompt, _: Arc<AtomicBool>) -> Result<Stream, EngineError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        failed()
    }

    fn score(&self, _: Continuation, _: Arc<AtomicBool>) -> Result<Scored, EngineError> {
        failed()
    }

    fn count_tokens(&self, _: Vec<String>) -> Result<Vec<usize>, EngineError> {
        failed()
    }

    fn describe(&self) -> Result<Description, EngineError> {
        failed()
    }

    fn loading(&self) -> Option<f32> {
        None
    }

    fn unload_if_idle(&self, _: Duration) {}
}

#[test]
fn a_model_that_says_nothing_is_waited_for_once() {
    let home = home();
    let mut app = open(&home, |_| {});
    let written: Arc<AtomicUsize> = Arc::default();
    app.generator = Some(GeneratorHandle::new(
        "silent",
        Failing(Arc::clone(&written)),
    ));
    let question = "Who serviced the boiler?";
    let answer = asked(&app, question, false);
    let why = answer.model_failure();
    assert!(
        why.is_some_and(|why| why.contains("said nothing")),
        "{why:?}"
    );
    let quoted = "From your notes: “The boiler was serviced by Frau Adler";
    assert!(answer.answer.starts_with(quoted), "{}", answer.answer);
    let ask = app.question(question.into(), None, None, None);
    let mut unheard = |_| ControlFlow::Continue(());
    let refused = app.ask_structured(&ask, "{}", &Arc::default(), &mut unheard);
    assert_eq!(refused.unwrap_err().code(), "model_failed");
    assert_eq!(written.load(Ordering::Relaxed), 0);
}

#[test]
fn flare_searches_where_the_model_was_not_sure() {
    let home = home_with(vec![
        vec![
            ("The shed is painted green", -0.1),
            (" by Dragan", -3.0),
            (".", -0.1),
        ],
        vec![("The shed is painted green.", -3.0)],
    ]);
    let flare = ["--strategy", "flare", "--k", "1"];
    let answer = ask(&home, "Who serviced the boiler?", &flare);
    assert_eq!(
        answer["answer"], "The shed is painted green. [1]",
        "{answer}"
    );
    assert_eq!(
        kinds(&answer),
        ["retrieve", "judge", "draft", "search-again", "draft"]
    );
}

#[test]
fn flare_searches_with_the_words_that_a_long_question_has_room_for() {
    let home = home_with(vec![
        vec![
            ("The shed is painted green", -0.1),
            (" by Dragan", -3.0),
            (".", -0.1),
        ],
        vec![("The shed is painted green.", -3.0)],
    ]);
    let question = format!("{:>9990}", "Who serviced the boiler?");
    let flare = ["--strategy", "flare", "--k", "1"];
    let answer = ask(&home, &question, &flare);
    assert!(kinds(&answer).contains(&"search-again"), "{answer}");
}

#[test]
fn flare_tells_what_it_wrote_where_nothing_more_is_found() {
    // All that there is was read already; and where no word is sure, there is nothing to look for.
    let check = |token: &'static str, steps: &[&str], expected: &str| {
        let script = vec![
            vec![(token, -0.1), (" Dragan", -3.0), (".", -0.1)],
            vec![("It was Frau Adler.", -0.1)],
        ];
        let home = home_with(script);
        let answer = ask(&home, "Who serviced the boiler?", &["--strategy", "flare"]);
        assert_eq!(answer["answer"], expected, "{answer}");
        assert_eq!(kinds(&answer), steps);
    };
    let (found, none) = (
        ["retrieve", "judge", "draft", "search-again"],
        ["retrieve", "judge", "draft"],
    );
    check("The green shed", &found, "The green shed Dragan. [?]");
    check("It was", &none, "It was Dragan. [?]");
}

#[test]
fn notes_that_speak_of_something_else_are_no_answer() {
    let home = home();
    let refused = |question: &str| {
        let answer = ask(&home, question, &[]);
        let steps = answer["steps"].as_array().unwrap().clone();
        let weigh = steps.iter().find(|step| step["kind"] == "weigh").unwrap();
        let doubts = weigh["seen"].as_object().unwrap().iter();
        let doubts = doubts.filter(|(name, value)| name.starts_with("doubt_") && **value == 1.0);
        let doubts: Vec<String> = doubts.map(|(name, _)| name.clone()).collect();
        let why = steps.last().unwrap()["outcome"]
            .as_str()
            .unwrap()
            .to_owned();
        (answer["abstained"] == true, doubts, why)
    };
    let (abstained, doubts, why) = refused("Who serviced the boiler in May 2019?");
    assert!(abstained, "{why}");
    assert_eq!(doubts, ["doubt_number"]);
    let expected = "the notes speak of something else: no sentence near holds 2019";
    assert_eq!(why, expected);
    let (abstained, doubts, why) = refused("Who serviced the boiler in May 2023?");
    assert!(!abstained && doubts.is_empty(), "{why}");
}

#[test]
fn who_asks_of_nothing_is_told_nothing() {
    let home = home();
    for question in ["Who are you?", "And how?"] {
        let answer = ask(&home, question, &[]);
        assert_eq!(answer["abstained"], true, "{answer}");
    }
    let answer = ask(&home, "What do we have to do?", &[]);
    assert_eq!(answer["abstained"], false, "{answer}");
}

#[test]
fn somebody_may_be_called_by_a_small_word() {
    let home = Home::new();
    home.write("people.md", "# Contacts\n\nWill Carter is our plumber.\n");
    home.add();
    let answer = ask(&home, "who is will", &[]);
    let told = answer["answer"].as_str().unwrap();
    assert!(told.contains("Carter"), "{answer}");
    let answer = ask(&home, "who are you", &[]);
    assert_eq!(answer["abstained"], true, "{answer}");
}

#[test]
fn what_another_note_says_goes_before_the_opposite() {
    let home = Home::new();
    let tar = "# North\n\nThe north wall of the barn is painted with tar.\n";
    home.write("north.md", tar);
    home.write("barn.md", "# Barn\n\nThe south wall has lime.\n");
    home.add();
    let question = "What is the south wall of the barn painted with?";
    let answer = ask(&home, question, &[]);
    let told = answer["answer"].as_str().unwrap();
    assert!(told.contains("lime"), "{answer}");
}

#[test]
fn who_asks_what_is_not_so_is_told_by_the_sentence_that_denies() {
    let home = Home::new();
    let paid = "The invoice from Kraft was paid on 3 March.";
    let unpaid = "We never paid the invoice from Meyer.";
    home.write("flat.md", format!("# Flat\n\n{paid}\n\n{unpaid}\n"));
    home.add();
    let answer = ask(&home, "Which invoice was not paid?", &[]);
    let told = answer["answer"].as_str().unwrap();
    assert!(told.contains("Meyer"), "{answer}");
}

#[test]
fn a_form_that_is_cut_off_is_an_error() {
    let home = home();
    let settings = scripted_to(vec![vec![("{\"who\": ", -0.1)]], "length");
    fs::write(home.path("config.toml"), settings).unwrap();
    let service = home.serve();
    let form = json!({ "name": "who", "schema": { "type": "object" } });
    let body = json!({
        "model": "coho",
        "messages": [{ "role": "user", "content": "Who serviced the boiler?" }],
        "response_format": { "type": "json_schema", "json_schema": form },
    });
    let (code, problem) = service.post("/v1/chat/completions", &body);
    assert_eq!(
        (code, &problem["code"]),
        (400, &json!("answer_cut_off")),
        "{problem}"
    );
}

#[test]
fn a_form_is_refused_as_sentences_are_and_what_it_says_is_checked() {
    let form =
        "{\"who\": \"Frau Adler\", \"when\": [2023, 1999], \"guest\": \"Dragan\", \"paid\": true}";
    let home = home_with(vec![vec![(form, -0.1)]]);
    let service = home.serve();
    let ask = |question: &str| {
        let named = json!({ "name": "who", "schema": { "type": "object" } });
        let body = json!({
            "model": "coho",
            "messages": [{ "role": "user", "content": question }],
            "response_format": { "type": "json_schema", "json_schema": named },
        });
        let (code, answer) = service.post("/v1/chat/completions", &body);
        assert_eq!(code, 200, "{answer}");
        let id = answer["id"].as_str().unwrap();
        let id = id.strip_prefix("chatcmpl-").unwrap();
        let (code, kept) = service.get(&format!("/v1/answers/{id}"));
        assert_eq!(code, 200, "{kept}");
        let listed = service.get("/v1/answers?limit=1&brief=true").1;
        let brief = &listed["answers"][0];
        assert_eq!(
            (&brief["id"], &brief["retrieval"]["hits"]),
            (&kept["id"], &json!([]))
        );
        assert_ne!(kept["retrieval"]["hits"], json!([]));
        (answer["choices"][0]["message"].clone(), kept)
    };
    let (message, kept) = ask("Who serviced the boiler?");
    assert_eq!(message["content"], form, "{message}");
    let claims = kept["claims"].as_array().unwrap().iter();
    let claims: Vec<(&str, bool)> = claims
        .map(|claim| (claim["text"].as_str().unwrap(), claim["supported"] == true))
        .collect();
    let expected = [
        ("Frau Adler", true),
        ("2023", true),
        ("1999", false),
        ("Dragan", false),
    ];
    assert_eq!(claims, expected, "{kept}");
    assert_eq!(kept["claims"][2]["missing"], json!(["1999"]));

    let (message, kept) = ask("Who serviced the boiler in May 2019?");
    assert_eq!(message["content"], Value::Null, "{message}");
    let refusal = message["refusal"].as_str().unwrap();
    assert!(refusal.contains("don't find"), "{refusal}");
    assert_eq!(kept["abstained"], true, "{kept}");
    assert_eq!(kinds(&kept), ["retrieve", "judge", "weigh", "refuse"]);
}

#[test]
fn yes_and_no_are_marked_unless_a_sentence_says_so() {
    let home = home();
    let check = |question: &str, begins: &str, supported: bool| {
        let answer = ask(&home, question, &[]);
        let text = answer["answer"].as_str().unwrap();
        assert!(text.starts_with(begins), "{question}: {text}");
        assert_eq!(answer["claims"][0]["supported"], supported, "{question}");
        assert!(text.contains("From your notes: “"), "{text}");
    };
    check("Is the shed painted green?", "Yes. [1]", true);
    check("Is the cellar door locked?", "No. [1]", true);
    check("Isn't the shed painted green?", "Yes. [1]", true);
    check(
        "Is it true that the shed is painted green?",
        "Yes. [1]",
        true,
    );
    check(
        "Was the boiler serviced by a plumber?",
        "Yes, it seems. [?]",
        false,
    );
}

#[test]
fn a_model_that_cannot_be_asked_for_probabilities_is_not_needed_for_a_verdict() {
    let home = home_with(vec![vec![("No.", -0.1)]]);
    let answer = ask(&home, "Is the shed painted green?", &[]);
    assert!(answer["answer"].as_str().unwrap().starts_with("Yes. [1]"));
    fs::write(home.path("config.toml"), "[models]\ngenerator = \"none\"\n").unwrap();
    let answer = ask(&home, "Is the cellar door locked?", &[]);
    assert!(answer["answer"].as_str().unwrap().starts_with("No. [1]"));
}

#[test]
fn a_way_to_answer_that_needs_a_model_quotes_where_there_is_none() {
    let home = home();
    fs::write(home.path("config.toml"), "[models]\ngenerator = \"none\"\n").unwrap();
    let naive = ["--strategy", "naive"];
    let answer = ask(&home, "Who serviced the boiler?", &naive);
    assert_eq!(answer["strategy"], "extractive", "{answer}");
    assert!(answer["model"].is_null(), "{answer}");
    assert_eq!(kinds(&answer), ["retrieve", "judge", "quote"]);
    let shown = home.run(&["ask", "Who serviced the boiler?", "--strategy", "naive"]);
    let shown = shown.ok();
    let quoted = "From your notes: “The boiler was serviced by Frau Adler";
    assert!(shown.stdout.contains(quoted), "{}", shown.stdout);
    assert!(
        shown.stderr.contains("no language model"),
        "{}",
        shown.stderr
    );
}

#[test]
fn one_question_too_many_is_told_to_come_again() {
    let home = home();
    // Takes questions, and answers none.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let settings = format!("[models.server]\nurl = \"{url}\"\nmodel = \"silent\"\n");
    fs::write(home.path("config.toml"), settings).unwrap();
    let service = home.serve();
    let body = json!({ "question": "Who serviced the boiler?", "strategy": "naive" });
    std::thread::scope(|scope| {
        let ask = || service.post("/v1/ask", &body);
        let asked: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
        // Who is heard here has a place, until the connection is closed.
        let heard: Vec<TcpStream> = (0..16).map(|_| listener.accept().unwrap().0).collect();
        let (code, problem) = ask();
        // First, so that nobody waits on where this does not hold.
        drop((listener, heard));
        assert_eq!((code, &problem["code"]), (429, &json!("busy")), "{problem}");
        for asked in asked {
            let (code, problem) = asked.join().unwrap();
            assert_eq!(code, 503, "{problem}");
        }
    });
}

#[test]
fn more_evidence_than_the_model_can_read_is_left_out() {
    let home = Home::new();
    for n in 0..5 {
        let text = format!("The boiler number {n} was serviced in the year 20{n}7 by a person. ");
        home.write(
            &format!("{n}.md"),
            format!("# Boiler {n}\n\n{}\n", text.repeat(12)),
        );
    }
    home.add();
    fs::write(home.path("config.toml"), "[models]\ncontext_tokens = 512\n").unwrap();
    let answer = ask(
        &home,
        "When was boiler 3 serviced?",
        &["--strategy", "naive"],
    );
    assert_eq!(answer["retrieval"]["hits"].as_array().unwrap().len(), 5);
    let read = answer["tokens"]["prompt"].as_u64().unwrap();
    assert!(read > 100 && read < 512, "{read}");
}

#[test]
fn filters_hold_when_more_is_searched_for() {
    let home = home_with(vec![
        vec![("It is", -0.1), (" the boiler", -3.0), (" Adler", -0.1)],
        vec![("It is green.", -0.1)],
    ]);
    let answer = ask(
        &home,
        "path:shed.md Which colour has the shed?",
        &["--strategy", "flare"],
    );
    assert!(kinds(&answer).contains(&"search-again"), "{answer}");
    for citation in answer["citations"].as_array().unwrap() {
        assert!(citation["path"].as_str().unwrap().ends_with("shed.md"));
    }
    // Every passage that was used is told.
    let cited = answer["citations"].as_array().unwrap().iter();
    let hits = answer["retrieval"]["hits"].as_array().unwrap();
    for citation in cited {
        assert!(
            hits.iter()
                .any(|hit| hit["chunk_id"] == citation["chunk_id"])
        );
    }
    let more = answer["steps"].as_array().unwrap();
    let more = more.iter().find(|s| s["kind"] == "search-again").unwrap();
    assert!(
        more["outcome"].as_str().unwrap().starts_with("0 more"),
        "{more}"
    );
}

#[test]
fn a_list_is_told_whole_and_what_is_not_done_confirms_nothing() {
    let home = Home::new();
    home.write(
        "router.md",
        "# Router\n\nTo reset the router:\n\n1. Pull the plug.\n2. Wait a minute.\n\
         3. Hold the button.\n4. Plug it in.\n5. Let go of the button.\n6. Ring Oskar.\n",
    );
    home.write("todo.md", "# Passport\n\n- [ ] renew the passport\n");
    home.add();
    let answer = ask(&home, "How do I reset the router?", &[]);
    let text = answer["answer"].as_str().unwrap();
    let steps = "“1. Pull the plug.” [1] “2. Wait a minute.” [2] “3. Hold the button.” [3] \
                 “4. Plug it in.” [4] “5. Let go of the button.” [5] “6. Ring Oskar.” [6]";
    assert!(text.ends_with(steps), "{text}");
    let answer = ask(&home, "Is the passport renewed?", &[]);
    let text = answer["answer"].as_str().unwrap();
    let told = "From your notes: “☐ renew the passport” [1]";
    assert!(text.starts_with(told), "{text}");
    assert_eq!(answer["claims"], json!([]));
}

#[test]
fn the_best_sentence_is_quoted_beside_a_list_that_is_not_about_it() {
    let home = Home::new();
    home.write(
        "steering.md",
        "# Steering committee Kestrel, 11 February 2026\n\n\
         Present: Ingrid Sollberg (chair), Pavel Dvorak, Amara Nwosu, me\nExcused: Henrik\n\n\
         ## Decisions\n\n1. The pilot starts on 4 May with the depots Riga and Tallinn.\n\
         2. Budget for the pilot: EUR 140,000.\n3. We use the vendor Brightpath for the scanners.\n",
    );
    home.write("shed.md", "# Shed\n\nThe shed is painted green.\n");
    home.add();
    let settings = "[models]\ngenerator = \"none\"\n";
    fs::write(home.path("config.toml"), settings).unwrap();
    let answer = ask(&home, "Who chairs the steering committee?", &[]);
    let text = answer["answer"].as_str().unwrap();
    assert!(text.contains("Ingrid Sollberg (chair)"), "{text}");
}

#[test]
fn quotes_that_answer_nothing_by_themselves_are_told_with_their_neighbours() {
    let home = Home::new();
    home.write(
        "pills.md",
        "# Blood pressure\n\nDr. Leitner switches to candesartan because of the dry cough. \
         Ramipril is stopped. Control in six weeks.\n",
    );
    home.write(
        "gorge.md",
        "# Sunday, 12 April 2026\n\nWalked the Ysper gorge with Petra and the kids. Eleven \
         kilometres, four hours with the picnic. Jonas fell into the stream and lost his left \
         boot.\n",
    );
    home.add();
    let settings = "[models]\ngenerator = \"none\"\n";
    fs::write(home.path("config.toml"), settings).unwrap();
    let check = |question: &str, expected: &str| {
        let answer = ask(&home, question, &[]);
        let text = answer["answer"].as_str().unwrap();
        assert!(text.contains(expected), "{question}: {text}");
    };
    check("Why was ramipril stopped?", "the dry cough.” [1] “Ramipril");
    check("How long did it take to walk the gorge?", "four hours");
}

#[test]
fn what_is_taken_back_confirms_nothing() {
    let home = Home::new();
    let locked = "The cellar door is locked at night.";
    let note = format!("# Cellar\n\n{locked} That was wrong. It stays open.\n");
    home.write("cellar.md", note);
    home.write("shed.md", "# Shed\n\nThe shed is painted green.\n");
    home.add();
    let settings = "[models]\ngenerator = \"none\"\n";
    fs::write(home.path("config.toml"), settings).unwrap();
    let answer = ask(&home, "Is the cellar door locked at night?", &[]);
    let text = answer["answer"].as_str().unwrap();
    assert!(!text.starts_with("Yes"), "{text}");
    assert!(
        text.contains(locked) && text.contains("“That was wrong.”"),
        "{text}"
    );
}

#[test]
fn code_is_told_with_the_line_that_leads_into_it() {
    let home = Home::new();
    let note = "# Shell\n\nTo find the largest folders, with the `du` of GNU? Run this:\n\n\
                ```sh\n# slow\ndu -sh ./* | sort -h\n```\nIt takes a minute.\n";
    home.write("shell.md", note);
    home.write("shed.md", "# Shed\n\nThe shed is painted green.\n");
    home.add();
    let answer = ask(&home, "What do I run to find the largest folders?", &[]);
    let told = answer["answer"].as_str().unwrap();
    let code = "\n\n```\n# slow\ndu -sh ./* | sort -h\n```\n[";
    assert!(told.contains(code), "{told}");
    let citations = answer["citations"].as_array().unwrap();
    let cited = citations
        .iter()
        .find(|c| c["text"].as_str().unwrap().starts_with("# slow"));
    assert_eq!(cited.unwrap()["lines"], json!([6, 7]), "{answer:#}");
    // What is learned of it holds the code, too.
    home.json(&["feedback", answer["id"].as_str().unwrap(), "good"]);
    home.json(&["writeback", "run"]);
    let units = home.json(&["units", "list"]);
    let text = units["units"][0]["text"].as_str().unwrap_or("");
    assert!(text.contains("du -sh"), "{units:#}");
}

#[test]
fn what_the_owner_calls_bad_is_not_the_answer_again() {
    let home = Home::new();
    let (changed, lie) = (
        "The winter tyres were changed by the Keller garage in November.",
        "The summer tyres were changed by Anna in the yard.",
    );
    let shed = "The shed is painted green.";
    let note = |first: &str| format!("# Tyres\n\n{first}\n\n{lie}\n\n{shed}\n");
    home.write("tyres.md", note(changed));
    home.add();
    let question = "Who changed the tyres?";
    let quotes = |answer: &Value| {
        let citations = answer["citations"].as_array().unwrap().iter();
        let texts = citations.map(|c| c["text"].as_str().unwrap().to_owned());
        texts.collect::<Vec<_>>()
    };
    let say = |answer: &Value, verdict: &str| {
        let id = answer["id"].as_str().unwrap();
        home.run(&["feedback", id, verdict]).done();
    };
    let narrow = "Who changed the winter tyres?";
    let first = ask(&home, narrow, &[]);
    assert_eq!(quotes(&first)[0], changed, "{first:#}");
    say(&first, "bad");
    // In the same words, for what they are worth.
    let second = ask(
        &home,
        "who changed winter tyres",
        &["--strategy", "extractive"],
    );
    assert!(!quotes(&second).contains(&changed.to_owned()), "{second:#}");
    let told = second["steps"].as_array().unwrap().iter();
    let mut told = told.filter_map(|step| step["outcome"].as_str());
    let id = first["id"].as_str().unwrap();
    assert!(told.any(|step| step.ends_with(id)), "{second:#}");
    // Another question is another.
    let other = ask(&home, question, &[]);
    assert!(quotes(&other).contains(&changed.to_owned()), "{other:#}");
    // Nothing is left that is called good, or not bad.
    say(&other, "bad");
    let none = ask(&home, question, &[]);
    assert!(!quotes(&none).contains(&changed.to_owned()), "{none:#}");
    assert!(!quotes(&none).contains(&lie.to_owned()), "{none:#}");
    // What the note says by now was never called bad.
    let corrected = "The winter tyres were changed by Anna in October.";
    home.write("tyres.md", note(corrected));
    home.run(&["sync"]).done();
    let edited = ask(&home, narrow, &[]);
    assert_eq!(quotes(&edited)[0], corrected, "{edited:#}");
    // The wrong key.
    home.write("tyres.md", note(changed));
    home.run(&["sync"]).done();
    say(&first, "good");
    let again = ask(&home, narrow, &[]);
    assert_eq!(quotes(&again)[0], changed, "{again:#}");
}

#[test]
fn what_the_owner_calls_bad_does_not_come_back_with_the_list_that_it_is_of() {
    let home = Home::new();
    let lake = "# Trip to the lake\n\nAnna paid the bus.\n\n\
                - Anna brings the tent of her aunt.\n- Ben brings bread.\n- Cora brings cake.\n";
    home.write("lake.md", lake);
    home.add();
    let question = "Who brings the tent?";
    let first = ask(&home, question, &[]);
    let told = first["answer"].as_str().unwrap();
    assert!(told.contains("the tent of her aunt"), "{told}");
    let id = first["id"].as_str().unwrap();
    home.run(&["feedback", id, "bad"]).done();
    let second = ask(&home, question, &[]);
    let told = second["answer"].as_str().unwrap();
    assert!(!told.contains("the tent of her aunt"), "{told}");
}

#[test]
fn nothing_is_written_where_all_that_could_be_told_was_called_bad() {
    let home = Home::new();
    home.write("cat.md", "# Cat\n\nThe cat is fed by Anna.\n");
    home.add();
    let settings = scripted(vec![vec![("It was Dragan.", -0.1)]]);
    fs::write(home.path("config.toml"), settings).unwrap();
    let question = "Who feeds the cat?";
    let first = ask(&home, question, &[]);
    assert_eq!(kinds(&first).last(), Some(&"quote"), "{first:#}");
    home.run(&["feedback", first["id"].as_str().unwrap(), "bad"])
        .done();
    let second = ask(&home, question, &[]);
    assert_eq!(second["abstained"], true, "{second:#}");
    assert!(!kinds(&second).contains(&"draft"), "{second:#}");
    // Nor in a form; which verdict it is for, that tells, too.
    let service = home.serve();
    let named = json!({ "name": "who", "schema": { "type": "object" } });
    let body = json!({
        "model": "coho",
        "messages": [{ "role": "user", "content": question }],
        "response_format": { "type": "json_schema", "json_schema": named },
    });
    let (code, form) = service.post("/v1/chat/completions", &body);
    assert_eq!(code, 200, "{form}");
    assert_eq!(form["choices"][0]["message"]["content"], Value::Null);
    let id = form["id"].as_str().unwrap();
    let id = id.strip_prefix("chatcmpl-").unwrap();
    let kept = service.get(&format!("/v1/answers/{id}")).1;
    let steps = ["retrieve", "judge", "judge", "weigh", "refuse"];
    assert_eq!(kinds(&kept), steps, "{kept:#}");
}

#[test]
fn a_yes_that_the_owner_calls_bad_is_not_told_again() {
    let home = Home::new();
    home.write("shed.md", "# Shed\n\nThe shed is painted green.\n");
    home.add();
    let question = "Is the shed painted green?";
    let told = |question: &str| {
        let answer = ask(&home, question, &[]);
        let told = answer["answer"].as_str().unwrap().to_owned();
        (told, answer["id"].as_str().unwrap().to_owned())
    };
    let (first, id) = told(question);
    assert!(first.starts_with("Yes."), "{first}");
    home.run(&["feedback", &id, "bad"]).done();
    let (second, _) = told(question);
    let quote = "From your notes: “The shed is painted green.” [1]";
    assert_eq!(second, quote);
    // What the note says by now was never judged.
    home.write(
        "shed.md",
        "# Shed\n\nThe shed is painted green and white.\n",
    );
    home.run(&["sync"]).done();
    assert!(told(question).0.starts_with("Yes."));
    home.write("shed.md", "# Shed\n\nThe shed is painted green.\n");
    home.run(&["sync"]).done();
    assert_eq!(told(question).0, quote);
    home.run(&["feedback", &id, "good"]).done();
    assert!(told(question).0.starts_with("Yes."));
}

#[test]
fn what_does_not_always_hold_is_quoted_with_the_line_that_says_so() {
    let home = Home::new();
    let pump = "# Pump\n\nNever do the following:\n\n- Open the red valve of the pump.\n\
                - Run it dry.\n";
    home.write("pump.md", pump);
    home.write(
        "sauna.md",
        "# Sauna\n\nThe sauna costs 12 euros. Except on Mondays. It is warm.\n",
    );
    home.add();
    for (question, expected) in [
        (
            "What about the red valve of the pump?",
            "“Never do the following:” [1] “Open the red valve of the pump.” [2]",
        ),
        (
            "How much does the sauna cost?",
            "“The sauna costs 12 euros.” [1] “Except on Mondays.” [2]",
        ),
    ] {
        let answer = ask(&home, question, &[]);
        let told = answer["answer"].as_str().unwrap();
        assert!(told.contains(expected), "{told}");
    }
    let answer = ask(&home, "Should I open the red valve of the pump?", &[]);
    let told = answer["answer"].as_str().unwrap();
    assert!(told.starts_with("From your notes: “Never do"), "{told}");
}

#[test]
fn what_notes_say_beside_their_prose_is_quoted_as_it_stands() {
    let home = Home::new();
    home.write(
        "maria.md",
        "---\nbirthday: 1984-03-17\nemail: maria@example.org\n---\n\n# Maria Lopez\n\nMet at the \
         climbing gym. Works as an engineer.\n",
    );
    home.write(
        "script.md",
        "# Script\n\nThe kilobyte constant is `2**10` in the script.\n\nGrey herons nest in \
         March.[^1] They weigh 2 kg.[^2]\n",
    );
    home.write(
        "cabin.md",
        "---\nThe alarm code of the cabin is 5521.\n\n---\n\nThe cabin stands at a lake.\n",
    );
    home.write(
        "boiler.md",
        "# Boiler\n\n1. First, unplug it.\n2. Then drain it.\n3. Finally, restart the boiler.\n\nOnly \
         managers may open the boiler room.\n",
    );
    home.write(
        "budget.csv",
        "Month,Rent,Food,Transport,Savings\nJanuary,800,290,50,100\nMarch,810,310,40,90\n",
    );
    home.write("vim.md", "# Vim\n\n```lua\nvim.opt.tabstop = 4\n```\n");
    home.add();
    let check = |question: &str, quotes: &[&str]| {
        let answer = ask(&home, question, &[]);
        let citations = answer["citations"].as_array().unwrap().iter();
        let cited: Vec<&str> = citations.map(|c| c["text"].as_str().unwrap()).collect();
        assert_eq!(cited, quotes, "{question}: {}", answer["answer"]);
        answer["answer"].as_str().unwrap().to_owned()
    };
    check("What is Maria's email?", &["email: maria@example.org"]);
    let constant = "The kilobyte constant is `2**10` in the script.";
    assert!(check("What is the kilobyte constant?", &[constant]).contains(constant));
    check(
        "When do grey herons nest?",
        &["Grey herons nest in March.[^1]"],
    );
    check(
        "What is the alarm code of the cabin?",
        &["The alarm code of the cabin is 5521."],
    );
    check(
        "How do I restart the boiler?",
        &[
            "1. First, unplug it.",
            "2. Then drain it.",
            "3. Finally, restart the boiler.",
        ],
    );
    check(
        "What did I spend on food in March?",
        &["row 3 | Month: March | Rent: 810 | Food: 310 | Transport: 40 | Savings: 90"],
    );
    check("What is tabstop set to?", &["vim.opt.tabstop = 4"]);
    let room = ask(&home, "May guests open the boiler room?", &[]);
    assert!(!room["answer"].as_str().unwrap().contains("Yes"), "{room}");
}

#[test]
fn a_note_may_be_asked_for_by_its_other_names() {
    let home = Home::new();
    home.write(
        "Robert Miller.md",
        "---\naliases: [Bobbo, Rob M]\n---\n\n# Neighbour upstairs\n\nThe spare key is under the blue \
         pot.\n\nThe birthday is on 4 May.\n",
    );
    home.write(
        "Anna.md",
        "# Anna\n\nThe spare key is in the shed.\n\nThe birthday is on 9 June.\n",
    );
    home.add();
    for (question, told) in [
        ("Where is Bobbo's spare key?", "under the blue pot"),
        ("When is Robert Miller's birthday?", "4 May"),
        ("Where is Anna's spare key?", "in the shed"),
    ] {
        let answer = ask(&home, question, &[]);
        let text = answer["answer"].as_str().unwrap();
        assert!(text.contains(told), "{question}: {answer}");
        assert_eq!(
            answer["citations"].as_array().unwrap().len(),
            1,
            "{question}"
        );
    }
}

#[test]
fn what_is_asked_in_other_forms_is_found() {
    let home = Home::new();
    home.write(
        "diary.md",
        "# Diary\n\nSent the form to the tax office on 12 June.\n\nLent Paul the drill.\n\nBought a \
         tent for 90 euros.\n\nThe plumber came twice.\n",
    );
    home.write(
        "pressure.md",
        "# Pressure\n\n## 2026-02-03\n\nBlood pressure 142/91.\n\n## 2026-02-20\n\nBlood pressure \
         131/84.\n\n## 2026-03-08\n\nBlood pressure 128/80.\n",
    );
    home.write(
        "mail.md",
        "# Mail\n\nHi, can you pick up Tom from judo at 5:15 on Saturday, gym in Albert Road? The car \
         is in garage 2.\n",
    );
    home.write(
        "flat-12.md",
        "# Lease flat 12\n\nThe rent is 1,150 pounds a month.\n",
    );
    home.write(
        "flat-15.md",
        "# Lease flat 15\n\nThe rent is 1,310 pounds a month.\n",
    );
    home.write(
        "miete.md",
        "# Wohnung\n\nDie Kaltmiete sind 820 Euro.\n\nDie Kaution von 2.340 Euro wurde am 3. Mai überwiesen.\n",
    );
    home.write("暮らし.md", "# 暮らし\n\n家賃は月八万五千円です。\n");
    home.write(
        "生活.md",
        "# 家\n\n空调的遥控器在抽屉里。\n\n奶奶每天早上吃一片药。\n",
    );
    home.write(
        "visa.md",
        "# Visa\n\nCitizens of Austria need a visa for Kenya.\n\nCitizens of Spain may stay 90 days.\n",
    );
    home.write(
        "jobs.md",
        "# Jobs\n\nThe `worker` restarts itself. `cron` does not start by itself.\n",
    );
    home.add();
    let told = |question: &str| {
        let answer = ask(&home, question, &[]);
        answer["answer"].as_str().unwrap().to_owned()
    };
    let check = |question: &str, held: &str, left_out: &str| {
        let text = told(question);
        let right = text.contains(held) && (left_out.is_empty() || !text.contains(left_out));
        assert!(right, "{question}: {text}");
    };
    check(
        "When did I send the form to the tax office?",
        "12 June",
        "drill",
    );
    check("To whom did I lend the drill?", "Paul", "tent");
    check("How much did I buy the tent for?", "90 euros", "");
    check(
        "What was my blood pressure on 20 February?",
        "131/84",
        "142/91",
    );
    check(
        "What was my blood pressure on 2026-03-08?",
        "128/80",
        "131/84",
    );
    check("When must I pick up Tom?", "5:15", "");
    check("What is the rent of flat 12?", "1,150", "1,310");
    check("Wie hoch ist die Kaution?", "2.340 Euro", "");
    check("Wie hoch ist die Miete?", "820 Euro", "");
    check("空调的遥控器在哪里?", "抽屉", "");
    check("家賃はいくらですか?", "八万五千円", "");
    check("Do Austrians need a visa for Kenya?", "Austria", "");
    check("How long may Spaniards stay?", "90 days", "");
    check("Does cron start by itself?", "`cron` does not", "worker");
    for question in ["What is the rent of flat 17?", "爸爸的生日是哪天?"] {
        assert!(told(question).contains("I don't find"), "{question}");
    }
}
