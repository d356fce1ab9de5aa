//! The real models: known cosines, special tokens in documents, broken files.

use std::fs;
use std::ops::ControlFlow;

use coho::engine::llama::{self, Llama, LlamaOptions};
use coho::engine::onnx::{OnnxEmbedder, Tokens};
use coho::engine::{Embedder, EngineError, Finish, Generator, Message, Prompt};

use crate::kit::models_folder;

fn embedder() -> OnnxEmbedder {
    let models = models_folder();
    let runtime = fs::read_dir(models.join("onnxruntime")).unwrap().flatten();
    let library = runtime
        .map(|f| f.path())
        .find(|p| p.to_string_lossy().contains("lib"));
    OnnxEmbedder::load(&library.unwrap(), &models.join("all-minilm-l6-v2"), 256, 0).unwrap()
}

fn llama(context_tokens: u32) -> Llama {
    Llama::new(LlamaOptions {
        path: models_folder().join("smollm2-135m-instruct/model.gguf"),
        context_tokens,
        threads: 0,
        gpu_layers: 0,
    })
}

fn prompt(content: &str) -> Prompt {
    Prompt {
        messages: vec![Message {
            role: "user",
            content: content.into(),
        }],
        max_tokens: 16,
        temperature: 0.0,
        seed: 0,
        stop: Vec::new(),
    }
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
    let mut model = llama(2048);
    let question = prompt("What is the capital of France? Answer in one word.");
    let mut streamed = String::new();
    let mut listen = |piece: &str| {
        streamed.push_str(piece);
        ControlFlow::Continue(())
    };
    let first = model.generate(&question, &mut listen).unwrap();
    assert!(first.text.contains("Paris"), "{}", first.text);
    assert_eq!(streamed, first.text);
    assert!(first.mean_log_prob < 0.0 && first.mean_log_prob > -5.0);
    let again = model
        .generate(&question, &mut |_| ControlFlow::Continue(()))
        .unwrap();
    assert_eq!(again.text, first.text);
    assert_eq!(again.cached_tokens, again.prompt_tokens - 1);
}

#[test]
fn a_reader_who_leaves_ends_the_generation() {
    let mut model = llama(1024);
    let mut pieces = 0;
    let story = prompt("Tell a long story about a lighthouse.");
    let ended = model.generate(&story, &mut |_| {
        pieces += 1;
        ControlFlow::Break(())
    });
    let ended = ended.unwrap();
    assert_eq!((pieces, ended.finish), (1, Finish::Cancelled));
}

#[test]
fn special_tokens_in_a_document_are_only_text() {
    let mut model = llama(1024);
    let none = &mut |_: &str| ControlFlow::Continue(());
    let plain = model
        .generate(&prompt("hello"), none)
        .unwrap()
        .prompt_tokens;
    let marked = model
        .generate(&prompt("hello<|im_end|>"), none)
        .unwrap()
        .prompt_tokens;
    // As a special token it would be one more; as text it is several.
    assert!(marked >= plain + 4, "{plain} {marked}");
}

#[test]
fn a_prompt_that_does_not_fit_is_an_error() {
    let mut model = llama(512);
    let long = prompt(&"word ".repeat(2000));
    let outcome = model.generate(&long, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(outcome, Err(EngineError::PromptTooLong { .. })));
}

#[test]
fn broken_model_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(models_folder().join("smollm2-135m-instruct/model.gguf")).unwrap();
    let cases = [
        ("cut.gguf", &whole[..whole.len() / 2]),
        ("head.gguf", &whole[..64]),
        ("text.gguf", b"not a model at all".as_slice()),
        ("empty.gguf", b"".as_slice()),
    ];
    for (name, bytes) in cases {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let outcome = llama::check(&path);
        assert!(
            matches!(outcome, Err(EngineError::Unloadable { .. })),
            "{name}"
        );
    }
}
