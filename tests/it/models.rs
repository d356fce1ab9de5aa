//! The real models: known cosines, special tokens in documents, broken files.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use coho::domain::generator::ServerOptions;
use coho::engine::generate::{
    Continuation, Finish, Generated, Generator, Grammar, KvType, LlamaOptions, Message, Prompt,
    Role,
};
use coho::engine::llama::process::LlamaProcess;
use coho::engine::onnx::{OnnxEmbedder, Tokens};
use coho::engine::server::ModelServer;
use coho::engine::{Embedder, EngineError};

use crate::kit::{Home, models_folder, request_of};

fn embedder() -> OnnxEmbedder {
    let models = models_folder();
    let mut runtime = fs::read_dir(models.join("onnxruntime")).unwrap().flatten();
    let library = runtime.find(|f| f.file_name().to_string_lossy().starts_with("lib"));
    let library = library.unwrap().path();
    OnnxEmbedder::load(&library, &models.join("all-minilm-l6-v2"), 256, 0).unwrap()
}

/// The default language model's file.
fn gguf() -> PathBuf {
    let folder = models_folder().join("smollm2-135m-instruct");
    let files = fs::read_dir(folder).unwrap().flatten().map(|f| f.path());
    let mut files = files.filter(|path| path.extension().is_some_and(|e| e == "gguf"));
    files.next().expect("the default model is installed")
}

fn options(context_tokens: u32) -> LlamaOptions {
    LlamaOptions {
        path: gguf(),
        context_tokens,
        parallel: 4,
        threads: 0,
        gpu_layers: 0,
        kv: KvType::F16,
        lora: None,
        states: None,
    }
}

fn running(options: LlamaOptions) -> LlamaProcess {
    LlamaProcess::new(env!("CARGO_BIN_EXE_coho").into(), options)
}

fn llama(context_tokens: u32) -> LlamaProcess {
    running(options(context_tokens))
}

fn prompt(content: &str) -> Prompt {
    Prompt::new(vec![Message::new(Role::User, content)], 16)
}

fn never() -> Arc<AtomicBool> {
    Arc::default()
}

fn written(model: &LlamaProcess, prompt: Prompt) -> Result<Generated, EngineError> {
    model.generate(prompt, never())?.result.wait()?
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[test]
fn the_graph_that_we_write_computes_what_the_model_should() {
    let mut model = embedder();
    let texts = [
        "That is a happy person",
        "That is a happy dog",
        "That is a very happy person",
        "Today is a sunny day",
    ];
    let vectors = model.embed(&texts.map(String::from)).unwrap();
    for (other, expected) in [(1, 0.6946), (2, 0.9429), (3, 0.2569)] {
        let found = cosine(&vectors[0], &vectors[other]);
        assert!((found - expected).abs() < 5e-4, "{}: {found}", texts[other]);
    }
}

#[test]
fn padding_does_not_change_a_vector() {
    let mut model = embedder();
    let short = "A bicycle.".to_owned();
    let long = "A long sentence about many things. ".repeat(20);
    let alone = model.embed(std::slice::from_ref(&short)).unwrap();
    let together = model.embed(&[short, long]).unwrap();
    assert!(cosine(&alone[0], &together[0]) > 0.9999);
}

#[test]
fn token_starts_are_those_of_the_whole_text() {
    let tokens = Tokens::load(&models_folder().join("all-minilm-l6-v2")).unwrap();
    let text = "Grüße, naïve tokenisation!";
    let starts = tokens.starts(text);
    assert!(starts.windows(2).all(|pair| pair[0] <= pair[1]));
    assert!(starts.iter().all(|at| text.is_char_boundary(*at as usize)));
    let long = "word ".repeat(10_000);
    assert_eq!(tokens.count(&long), 10_000);
    // A blob is one unknown word to the model, but it is cut all the same.
    assert!(tokens.count(&"x".repeat(100_000)) > 5_000);
}

#[test]
fn a_model_answers_streams_and_reuses_what_it_has_read() {
    let model = llama(2048);
    let question = prompt("What is the capital of France? Answer in one word.");
    let mut stream = model.generate(question.clone(), never()).unwrap();
    let mut streamed = String::new();
    while let Some(piece) = stream.pieces.blocking_recv() {
        streamed.push_str(&piece);
    }
    let first = stream.result.wait().unwrap().unwrap();
    assert!(first.text.contains("Paris"), "{}", first.text);
    assert_eq!(streamed, first.text);
    assert!(first.mean_log_prob() < 0.0 && first.mean_log_prob() > -5.0);
    let again = written(&model, question).unwrap();
    assert_eq!(again.text, first.text);
    assert_eq!(again.cached_tokens, again.prompt_tokens - 1);
}

#[test]
fn questions_at_once_are_answered_as_if_they_were_alone() {
    let model = llama(4096);
    let questions = [
        "What is the capital of France? Answer in one word.",
        "What is the capital of Italy? Answer in one word.",
        "Which colour has grass? Answer in one word.",
        "How many days has a week? Answer in one word.",
        "Write the word hello twice.",
        "Name a fruit.",
    ];
    let alone: Vec<String> = questions
        .iter()
        .map(|question| written(&llama(4096), prompt(question)).unwrap().text)
        .collect();
    let streams: Vec<_> = questions
        .iter()
        .map(|question| model.generate(prompt(question), never()).unwrap())
        .collect();
    let together: Vec<String> = streams
        .into_iter()
        .map(|stream| stream.result.wait().unwrap().unwrap().text)
        .collect();
    // Other sums round otherwise, so that a later word may differ; the first ones do not.
    for (alone, together) in alone.iter().zip(&together) {
        let begin = |text: &str| text.split_whitespace().next().map(ToOwned::to_owned);
        assert_eq!(begin(alone), begin(together), "{alone:?} {together:?}");
    }
}

#[test]
fn what_two_prompts_begin_with_is_read_once() {
    let model = llama(2048);
    let notes = "The ferry to the island leaves at nine from the northern pier. ".repeat(8);
    let ask = |question: &str| {
        let parts = vec![notes.clone(), question.to_owned()];
        let role = Role::User;
        Prompt::new(vec![Message { role, parts }], 8)
    };
    let first = written(&model, ask("When does the ferry leave?")).unwrap();
    let second = written(&model, ask("Where does it leave from?")).unwrap();
    assert!(first.cached_tokens == 0, "{first:?}");
    assert!(
        second.prompt_tokens - second.cached_tokens < 20,
        "{second:?}"
    );
}

#[test]
fn what_prompts_at_once_begin_with_is_read_once() {
    let model = llama(4096);
    let notes = "The ferry to the island leaves at nine from the northern pier. ".repeat(16);
    let ask = |question: &str| {
        let parts = vec![notes.clone(), question.to_owned()];
        let role = Role::User;
        Prompt::new(vec![Message { role, parts }], 8)
    };
    let questions = [
        "When does the ferry leave?",
        "Where does it leave from?",
        "Where does it go?",
        "What leaves at nine?",
    ];
    let streams = questions.map(|question| model.generate(ask(question), never()).unwrap());
    let [first, others @ ..] = streams.map(|stream| stream.result.wait().unwrap().unwrap());
    assert!(first.cached_tokens == 0, "{first:?}");
    for other in others {
        assert!(other.prompt_tokens - other.cached_tokens < 60, "{other:?}");
    }
}

#[test]
fn what_the_prompts_of_one_text_begin_with_is_read_once() {
    let model = llama(4096);
    let rules = "Answer from the notes alone, in one short sentence. ".repeat(20);
    let about = |city: &str| {
        let question = format!("The meeting is in {city}. Where is the meeting?");
        vec![
            Message::new(Role::System, rules.clone()),
            Message::new(Role::User, question),
        ]
    };
    let several = Prompt {
        beside: vec![(about("Madrid"), 0.3), (about("Rome"), 0.3)],
        ..Prompt::new(about("Oslo"), 8)
    };
    let written = written(&model, several).unwrap();
    assert!(!written.text.is_empty(), "{written:?}");
    assert!(
        written.cached_tokens > written.prompt_tokens / 2,
        "{written:?}"
    );
}

#[test]
fn the_state_behind_a_lasting_beginning_is_kept_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let with_states = || {
        running(LlamaOptions {
            states: Some(folder.path().join("states")),
            ..options(1024)
        })
    };
    let ask = || {
        let rules = "Answer from the notes alone, in one short sentence. ".repeat(4);
        let messages = vec![
            Message::new(Role::System, rules),
            Message::new(Role::User, "Say hello."),
        ];
        Prompt::new(messages, 8)
    };
    let first = written(&with_states(), ask()).unwrap();
    let again = written(&with_states(), ask()).unwrap();
    assert_eq!(first.cached_tokens, 0);
    assert!(again.cached_tokens > 30, "{again:?}");
    assert_eq!(first.text, again.text);
    // A damaged state is not used.
    for file in fs::read_dir(folder.path().join("states"))
        .unwrap()
        .flatten()
    {
        if file.path().extension().is_some_and(|e| e == "kv") {
            let mut bytes = fs::read(file.path()).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x40;
            fs::write(file.path(), bytes).unwrap();
        }
    }
    let damaged = written(&with_states(), ask()).unwrap();
    assert_eq!((damaged.cached_tokens, &damaged.text), (0, &first.text));
    // It was kept anew.
    assert!(written(&with_states(), ask()).unwrap().cached_tokens > 30);
}

#[test]
fn a_state_is_read_where_what_has_ended_fills_the_context() {
    let folder = tempfile::tempdir().unwrap();
    let model = running(LlamaOptions {
        states: Some(folder.path().join("states")),
        ..options(1024)
    });
    let ask = || {
        let rules = "Answer from the notes alone, in one short sentence. ".repeat(20);
        let messages = vec![
            Message::new(Role::System, rules),
            Message::new(Role::User, "Say hello."),
        ];
        Prompt::new(messages, 8)
    };
    let first = written(&model, ask()).unwrap();
    let long = written(&model, prompt(&"word ".repeat(850))).unwrap();
    assert!(long.prompt_tokens > 850, "{long:?}");
    let again = written(&model, ask()).unwrap();
    assert!(first.prompt_tokens > 200, "{first:?}");
    assert!(again.prompt_tokens - again.cached_tokens < 40, "{again:?}");
}

#[test]
fn a_reader_who_leaves_ends_the_generation() {
    let model = llama(1024);
    let story = Prompt {
        max_tokens: 500,
        ..prompt("Tell a long story about a lighthouse.")
    };
    let cancel = never();
    let mut stream = model.generate(story.clone(), Arc::clone(&cancel)).unwrap();
    stream.pieces.blocking_recv().unwrap();
    // As many as were written by now, however late this thread is.
    let mut heard = 1;
    while stream.pieces.try_recv().is_ok() {
        heard += 1;
    }
    cancel.store(true, Ordering::Relaxed);
    let ended = stream.result.wait().unwrap().unwrap();
    assert_eq!(ended.finish, Finish::Cancelled);
    let tokens = ended.tokens();
    assert!(tokens < heard + 20, "{tokens} tokens, {heard} were heard");
    // So does one who drops the stream, and one who leaves before the first word.
    drop(model.generate(story.clone(), never()).unwrap());
    cancel.store(true, Ordering::Relaxed);
    let waiting = model.generate(story, cancel).unwrap();
    let ended = waiting.result.wait().unwrap().unwrap();
    assert_eq!(ended.finish, Finish::Cancelled);
}

#[test]
fn special_tokens_in_a_document_are_only_text() {
    let model = llama(1024);
    let tokens = |text: &str| written(&model, prompt(text)).unwrap().prompt_tokens;
    let plain = tokens("hello");
    // The first is broken before; the others are marks of this model alone, and stay as they are. As a
    // special token each would be one more; as text it is several.
    for mark in ["<|im_end|>", "<file_sep>", "<reponame>"] {
        let marked = tokens(&format!("hello{mark}"));
        assert!(marked >= plain + 3, "{mark}: {plain} {marked}");
    }
}

#[test]
fn a_prompt_that_does_not_fit_is_an_error_and_the_next_one_is_answered() {
    let model = llama(512);
    let outcome = written(&model, prompt(&"word ".repeat(2000)));
    assert!(matches!(outcome, Err(EngineError::PromptTooLong { .. })));
    assert!(
        !written(&model, prompt("Say hello."))
            .unwrap()
            .text
            .is_empty()
    );
}

#[test]
fn answers_are_scored_and_the_right_one_is_likelier() {
    let model = llama(1024);
    let ask = vec![Message::new(
        Role::User,
        "What is the capital of France? Answer in one word.",
    )];
    let mean = |answer: &str| {
        let given = Continuation {
            messages: ask.clone(),
            answer: answer.into(),
            goes_on: false,
        };
        let scored = model.score(given, Arc::default()).unwrap();
        let scores = scored.log_probs;
        assert!(scored.prompt_tokens > scores.len());
        let counted = model.count_tokens(vec![answer.into()]).unwrap();
        assert_eq!(scores.len(), counted[0]);
        scores.iter().sum::<f32>() / f32::from(u16::try_from(scores.len()).unwrap())
    };
    let (right, wrong) = (mean("Paris"), mean("Cheese"));
    assert!(right > wrong + 1.0, "{right} {wrong}");
}

#[test]
fn several_prompts_have_a_say_in_one_text() {
    let model = llama(2048);
    let about = |city: &str| {
        let text = format!("The meeting is in {city}. Where is the meeting? Answer in one word.");
        vec![Message::new(Role::User, text)]
    };
    let says = |weight: f32| {
        let both = Prompt {
            beside: vec![(about("Madrid"), weight)],
            ..Prompt::new(about("Oslo"), 12)
        };
        written(&model, both).unwrap().text
    };
    assert!(says(0.05).contains("Oslo"), "{}", says(0.05));
    assert!(says(0.95).contains("Madrid"), "{}", says(0.95));
}

#[test]
fn grammars_and_schemas_are_met_or_refused() {
    let model = llama(1024);
    let with = |grammar: Grammar| Prompt {
        grammar: Some(grammar),
        max_tokens: 60,
        ..prompt("Is the sky blue? Answer.")
    };
    let gbnf = Grammar::Gbnf("root ::= \"yes\" | \"no\"".into());
    let text = written(&model, with(gbnf)).unwrap().text;
    assert!(["yes", "no"].contains(&text.as_str()), "{text}");
    let schema = r#"{"type":"object","properties":{"colour":{"enum":["blue","red"]}},
                     "required":["colour"],"additionalProperties":false}"#;
    let text = written(&model, with(Grammar::JsonSchema(schema.into()))).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text.text).unwrap();
    assert!(["blue", "red"].contains(&value["colour"].as_str().unwrap()));
    for bad in ["root ::= (", "", "no-root ::= \"x\""] {
        let outcome = written(&model, with(Grammar::Gbnf(bad.into())));
        assert!(
            matches!(
                outcome,
                Err(EngineError::Grammar { .. } | EngineError::Run { .. })
            ),
            "{bad:?}: {outcome:?}"
        );
    }
    let deep = format!("root ::= {}\"x\"{}", "(".repeat(20_000), ")".repeat(20_000));
    let outcome = written(&model, with(Grammar::Gbnf(deep)));
    assert!(
        matches!(outcome, Err(EngineError::CostlyGrammar { .. })),
        "{outcome:?}"
    );
    // The model is there for the next one, whatever that did to its process.
    assert!(
        !written(&model, prompt("Say hello."))
            .unwrap()
            .text
            .is_empty()
    );
}

#[test]
fn a_model_whose_process_dies_says_so_and_starts_again() {
    let model = llama(1024);
    let story = Prompt {
        max_tokens: 800,
        ..prompt("Tell a long story about a lighthouse.")
    };
    let mut stream = model.generate(story, never()).unwrap();
    stream.pieces.blocking_recv().unwrap();
    model.kill();
    let outcome = stream.result.wait().unwrap();
    assert!(
        matches!(outcome, Err(EngineError::Run { .. })),
        "{outcome:?}"
    );
    assert!(
        !written(&model, prompt("Say hello."))
            .unwrap()
            .text
            .is_empty()
    );
}

#[test]
fn a_model_is_let_go_when_it_was_not_used_and_not_as_it_ends_an_answer() {
    let model = llama(1024);
    let story = Prompt {
        max_tokens: 200,
        ..prompt("Tell a long story about a lighthouse.")
    };
    let begun = Instant::now();
    written(&model, story.clone()).unwrap();
    // Shorter than the answer took.
    model.unload_if_idle(begun.elapsed() / 2);
    let again = written(&model, story.clone()).unwrap();
    assert!(again.cached_tokens > 0, "{again:?}");
    model.unload_if_idle(Duration::ZERO);
    let anew = written(&model, story).unwrap();
    assert_eq!(anew.cached_tokens, 0, "{anew:?}");
}

#[test]
fn too_many_questions_are_told_that_it_is_busy() {
    let model = llama(1024);
    let story = || Prompt {
        max_tokens: 200,
        ..prompt("Tell a long story.")
    };
    // Being loaded, it answers none of them yet.
    let streams: Vec<_> = (0..16).map(|_| model.generate(story(), never())).collect();
    assert!(streams.iter().all(Result::is_ok));
    let one_more = model.generate(story(), never()).err().unwrap();
    assert!(one_more.to_string().contains("busy"), "{one_more}");
}

#[test]
fn broken_model_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(gguf()).unwrap();
    let mut odd = whole.clone();
    // The head says that there are more tensors than there are.
    odd[8..12].fill(0xff);
    let cases = [
        ("cut.gguf", &whole[..whole.len() / 2]),
        ("head.gguf", &whole[..64]),
        ("odd.gguf", &odd[..]),
        ("text.gguf", b"not a model at all".as_slice()),
        ("empty.gguf", b"".as_slice()),
    ];
    for (name, bytes) in cases {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let options = LlamaOptions {
            path,
            ..options(512)
        };
        let outcome = running(options).describe();
        assert!(
            matches!(
                outcome,
                Err(EngineError::Unloadable { .. } | EngineError::Run { .. })
            ),
            "{name}: {outcome:?}"
        );
    }
}

#[test]
fn an_adapter_that_cannot_be_loaded_is_told_from_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.gguf");
    // A model is no adapter.
    for lora in [missing, gguf()] {
        let options = LlamaOptions {
            lora: Some(lora.clone()),
            ..options(512)
        };
        match running(options).describe() {
            Err(EngineError::UnloadableAdapter { path, .. }) => assert_eq!(path, lora),
            other => panic!("{}: {other:?}", lora.display()),
        }
    }
}

/// Entries of a GGUF file's head.
enum Entry {
    Text(&'static str),
    Number(u32),
    Real(f32),
}

fn with_length(text: &str) -> Vec<u8> {
    let mut bytes = u64::try_from(text.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// The head of a GGUF file with so many tensors.
fn gguf_head(tensors: u64, entries: &[(&str, Entry)]) -> Vec<u8> {
    let mut file = b"GGUF".to_vec();
    file.extend_from_slice(&3_u32.to_le_bytes());
    file.extend_from_slice(&tensors.to_le_bytes());
    file.extend_from_slice(&u64::try_from(entries.len()).unwrap().to_le_bytes());
    for (key, entry) in entries {
        file.extend(with_length(key));
        let (kind, value) = match entry {
            Entry::Text(text) => (8_u32, with_length(text)),
            Entry::Number(number) => (4, number.to_le_bytes().to_vec()),
            Entry::Real(number) => (6, number.to_le_bytes().to_vec()),
        };
        file.extend_from_slice(&kind.to_le_bytes());
        file.extend(value);
    }
    file
}

/// An adapter of rank 1 that adds `strength` to every weight of one matrix of the default model.
fn adapter(strength: f32) -> Vec<u8> {
    const WIDTH: u64 = 576;
    const MATRIX: &str = "blk.29.attn_output.weight";
    let mut file = gguf_head(
        2,
        &[
            ("general.type", Entry::Text("adapter")),
            ("general.architecture", Entry::Text("llama")),
            ("adapter.type", Entry::Text("lora")),
            ("adapter.lora.alpha", Entry::Real(1.0)),
        ],
    );
    let bytes = WIDTH * 4;
    for (part, shape, offset) in [("a", [WIDTH, 1], 0), ("b", [1, WIDTH], bytes)] {
        file.extend(with_length(&format!("{MATRIX}.lora_{part}")));
        file.extend_from_slice(&2_u32.to_le_bytes());
        for side in shape {
            file.extend_from_slice(&side.to_le_bytes());
        }
        // Of 32 bits each.
        file.extend_from_slice(&0_u32.to_le_bytes());
        file.extend_from_slice(&offset.to_le_bytes());
    }
    file.resize(file.len().next_multiple_of(32), 0);
    for value in [strength, 1.0] {
        for _ in 0..WIDTH {
            file.extend_from_slice(&value.to_le_bytes());
        }
    }
    file
}

/// How likely the model finds a plain answer, token by token.
fn likelihood(options: LlamaOptions) -> Vec<f32> {
    let given = Continuation {
        messages: vec![Message::new(
            Role::User,
            "The pear tree was planted in 2004. When was the pear tree planted?",
        )],
        answer: "The pear tree was planted in 2004.".into(),
        goes_on: false,
    };
    running(options).score(given, never()).unwrap().log_probs
}

fn furthest_apart(some: &[f32], others: &[f32]) -> f32 {
    assert_eq!(some.len(), others.len());
    let apart = some.iter().zip(others).map(|(a, b)| (a - b).abs());
    apart.fold(0.0, f32::max)
}

#[test]
fn an_adapter_changes_what_the_model_finds_likely() {
    let folder = tempfile::tempdir().unwrap();
    let with = |strength: f32| {
        let path = folder.path().join(format!("{strength}.gguf"));
        fs::write(&path, adapter(strength)).unwrap();
        likelihood(LlamaOptions {
            lora: Some(path),
            ..options(512)
        })
    };
    let plain = likelihood(options(512));
    assert!(furthest_apart(&plain, &with(0.0)) < 1e-3);
    assert!(furthest_apart(&plain, &with(0.5)) > 0.1);
}

#[test]
fn keys_and_values_of_fewer_bits_say_nearly_the_same() {
    let plain = likelihood(options(512));
    for (kv, most) in [(KvType::Q8_0, 0.3), (KvType::Q4_0, 1.5)] {
        let other = likelihood(LlamaOptions { kv, ..options(512) });
        let apart = furthest_apart(&plain, &other);
        assert!(apart > 0.0 && apart < most, "{kv:?}: {apart}");
    }
}

#[test]
fn loading_tells_how_far_it_is() {
    let model = llama(512);
    assert_eq!(model.loading(), None);
    let mut told = Vec::new();
    std::thread::scope(|scope| {
        let loads = std::thread::Builder::new().name("loads".into());
        let loads = loads.spawn_scoped(scope, || model.describe()).unwrap();
        while !loads.is_finished() {
            told.extend(model.loading());
            std::thread::sleep(Duration::from_millis(1));
        }
        loads.join().unwrap().unwrap();
    });
    assert_eq!(model.loading(), None);
    assert!(!told.is_empty() && told.is_sorted(), "{told:?}");
    assert!(told.iter().all(|share| (0.0..=1.0).contains(share)));
}

/// A model file that says nothing but what it is, and how it makes one vector of many.
fn only_a_head(architecture: &'static str, pooling: Option<u32>) -> Vec<u8> {
    let key = format!("{architecture}.pooling_type");
    let mut entries = vec![("general.architecture", Entry::Text(architecture))];
    entries.extend(pooling.map(|pooling| (key.as_str(), Entry::Number(pooling))));
    gguf_head(0, &entries)
}

#[test]
fn an_embedding_model_is_told_from_one_that_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let check = |architecture: &'static str, pooling: Option<u32>, embeds: bool| {
        fs::write(&path, only_a_head(architecture, pooling)).unwrap();
        let model = running(LlamaOptions {
            path: path.clone(),
            ..options(512)
        });
        let error = model.describe().unwrap_err().to_string();
        let told = error.contains(&format!("an embedding model ({architecture})"));
        assert_eq!(told, embeds, "{error}");
    };
    check("nomic-bert", None, true);
    // A decoder that was trained to embed, by its last token.
    check("qwen3", Some(3), true);
    check("qwen3", Some(0), false);
    check("qwen3", None, false);
}

#[test]
fn a_model_without_a_chat_template_writes_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = fs::read(gguf()).unwrap();
    let key = b"tokenizer.chat_template";
    let head = &bytes[..bytes.len().min(8 << 20)];
    let at = head.windows(key.len()).position(|window| window == key);
    bytes[at.unwrap()] = b'X';
    let path = folder.path().join("plain.gguf");
    fs::write(&path, bytes).unwrap();
    let model = running(LlamaOptions {
        path,
        ..options(512)
    });
    assert!(!model.describe().unwrap().has_template);
    let text = written(&model, prompt("Say hello.")).unwrap().text;
    assert!(!text.trim().is_empty() && !text.contains("<|im_"), "{text}");
}

/// The model with another chat template, no longer than its own.
fn with_template(folder: &Path, template: &str) -> LlamaProcess {
    let mut bytes = fs::read(gguf()).unwrap();
    let key = b"tokenizer.chat_template";
    let at = bytes.windows(key.len()).position(|window| window == key);
    // Behind the key its type, four bytes, and the length of the text, eight.
    let at = at.unwrap() + key.len() + 12;
    let length = u64::from_le_bytes(bytes[at - 8..at].try_into().unwrap());
    let length = usize::try_from(length).unwrap();
    bytes[at..at + length].fill(b' ');
    bytes[at..at + template.len()].copy_from_slice(template.as_bytes());
    let path = folder.join(format!("template-{}.gguf", template.len()));
    fs::write(&path, bytes).unwrap();
    running(LlamaOptions {
        path,
        ..options(512)
    })
}

/// Tokens of a prompt with these instructions.
fn prompt_tokens(model: &LlamaProcess, told: &str) -> usize {
    let messages = vec![
        Message::new(Role::System, told),
        Message::new(Role::User, "Hello."),
    ];
    written(model, Prompt::new(messages, 8))
        .unwrap()
        .prompt_tokens
}

#[test]
fn a_model_that_may_think_is_told_that_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let plain = with_template(folder.path(), "<|im_start|>");
    let thinking = with_template(folder.path(), "<|im_start|> <think>");
    let [plain, thinking] = [plain, thinking].map(|model| prompt_tokens(&model, "Be kind."));
    assert!(thinking > plain + 3, "{thinking} and {plain}");
}

#[test]
fn instructions_that_a_template_leaves_out_are_read_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    // YandexGPT's, which knows users and assistants alone.
    let model = with_template(folder.path(), " Ассистент:");
    let [short, long] = [
        "Be kind.",
        "Be kind, and brief, and clear, and say no more than that.",
    ]
    .map(|told| prompt_tokens(&model, told));
    assert!(long > short + 8, "{long} and {short}");
}

#[test]
fn one_who_never_reads_holds_up_nobody() {
    let model = llama(1024);
    let unread = model.generate(prompt("Tell a story."), never()).unwrap();
    assert!(written(&model, prompt("Say hello.")).is_ok());
    // Nothing was taken from it, and it ended all the same.
    let written = unread.result.wait().unwrap().unwrap();
    assert!(!written.text.is_empty());
}

/// One answer of a server with an OpenAI-compatible interface; tells what it was asked.
fn model_server(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let asked = std::thread::Builder::new().spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let asked = request_of(&mut stream);
        stream.write_all(answer.as_bytes()).unwrap();
        asked
    });
    (url, asked.unwrap())
}

fn server_at(url: &str) -> ModelServer {
    ModelServer::new(&ServerOptions {
        url: url.to_owned(),
        model: "some-model".into(),
        key_env: String::new(),
    })
    .unwrap()
}

#[test]
fn a_model_server_can_take_the_models_place() {
    let (url, asked) = model_server(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
         data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n\
         data: {\"choices\":[{\"delta\":{\"content\":\"At \"},\"logprobs\":{\"content\":[{\"logprob\":-0.5}]}}]}\n\n\
         : a comment\n\n\
         data: {\"choices\":[{\"delta\":{\"content\":\"nine.\"},\"logprobs\":{\"content\":[{\"logprob\":-1.5}]}}]}\n\n\
         data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
         data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":2}}\n\n\
         data: [DONE]\n\n",
    );
    let mut stream = server_at(&url).generate(prompt("When?"), never()).unwrap();
    let mut streamed = String::new();
    while let Some(piece) = stream.pieces.blocking_recv() {
        streamed.push_str(&piece);
    }
    let written = stream.result.wait().unwrap().unwrap();
    assert_eq!(
        (streamed.as_str(), written.text.as_str()),
        ("At nine.", "At nine.")
    );
    assert_eq!((written.finish, written.prompt_tokens), (Finish::Stop, 12));
    assert_eq!(written.log_probs, [-0.5, -1.5]);
    let asked = asked.join().unwrap();
    assert!(asked.starts_with("POST /v1/chat/completions "), "{asked}");
    let body = asked.split_once("\r\n\r\n").unwrap().1;
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["messages"][0]["content"], "When?");
}

#[test]
fn a_model_server_that_refuses_or_breaks_off_is_an_error() {
    let cases = [
        (
            "HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\nno such model",
            "no such model",
        ),
        (
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\ndata: {\"choices\": \n\n",
            "no chunk",
        ),
    ];
    for (answer, said) in cases {
        let (url, asked) = model_server(answer);
        let stream = server_at(&url).generate(prompt("When?"), never()).unwrap();
        let error = stream.result.wait().unwrap().unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
        asked.join().unwrap();
    }
    // Nobody listens there any more.
    let (url, asked) = model_server("");
    let address = url.trim_start_matches("http://").trim_end_matches("/v1");
    drop(std::net::TcpStream::connect(address).unwrap());
    asked.join().unwrap();
    let stream = server_at(&url).generate(prompt("When?"), never()).unwrap();
    let error = stream.result.wait().unwrap().unwrap_err().to_string();
    assert!(error.contains("does not answer"), "{error}");
}

#[test]
fn what_is_kept_can_be_had_and_erased_without_the_models() {
    let home = Home::new();
    home.write(
        "boiler.md",
        "The boiler is serviced by Frau Adler in May.\n",
    );
    home.add();
    home.json(&["ask", "Who services the boiler?"]);
    let run = |arguments: &[&str], at: &str| {
        let (models, data) = (home.path("nowhere"), home.path(at));
        let variables = [
            ("COHO_MODELS", models.to_str().unwrap()),
            ("COHO_HOME", data.to_str().unwrap()),
        ];
        home.run_with(&variables, arguments)
    };
    let archive = home.path("all.tar.zst");
    let archive = archive.to_str().unwrap();
    for arguments in [
        &["status"][..],
        &["status", "--problems"],
        &["sources"],
        &["token", "add", "helper"],
        &["units", "list"],
        &["writeback", "list"],
        &["export"],
        &["verify"],
        &["backup", archive],
    ] {
        run(arguments, "home").done();
    }
    run(&["restore", archive], "restored").done();
    let erased = run(&["forget", "--all", "--json"], "restored").ok().json();
    assert_eq!(erased["answers"], 1, "{erased:#}");
    run(&["sources", "remove", "1"], "restored").done();
    let status = run(&["status", "--json"], "restored").ok().json();
    assert_eq!(status["documents"], 0, "{status:#}");
    for arguments in [&["search", "boiler"][..], &["sync"], &["ask", "Who?"]] {
        let refused = run(arguments, "home");
        assert_eq!(refused.code, 1, "{}", refused.stderr);
        assert!(
            refused.stderr.contains("coho models install"),
            "{}",
            refused.stderr
        );
    }
    // Nothing was lost meanwhile.
    assert_eq!(home.found("boiler"), ["boiler.md"]);
}

#[test]
#[cfg(unix)]
fn a_download_that_is_not_what_was_pinned_is_not_installed() {
    use std::os::unix::fs::PermissionsExt;
    /// Downloads something else than was asked for.
    const CLIENT: &str = "#!/bin/sh\n\
        case \"$*\" in *--version*) exit 0;; esac\n\
        while [ \"$1\" != --dest ]; do shift; done\n\
        echo other > \"$2/other-1-py3-none-any.whl\"\n";
    let home = Home::new();
    let (client, models) = (home.path("bin/python3"), home.path("models"));
    fs::create_dir_all(client.parent().unwrap()).unwrap();
    fs::write(&client, CLIENT).unwrap();
    fs::set_permissions(&client, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", client.parent().unwrap().display());
    let variables = [
        ("PATH", path.as_str()),
        ("COHO_MODELS", models.to_str().unwrap()),
    ];
    let refused = home.run_with(&variables, &["models", "install", "all-minilm-l6-v2"]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("SHA-256"), "{}", refused.stderr);
    let left = fs::read_dir(&models).unwrap().flatten();
    assert_eq!(left.count(), 0, "nothing of it stays");
}
