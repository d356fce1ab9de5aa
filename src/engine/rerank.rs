//! Reranking with a cross-encoder: a model that reads query and passage together.
//!
//! Off by default: it reads every candidate anew for every query, which costs seconds on a laptop.
//! Any ONNX sequence classifier with one output named `logits` will do, added with
//! `coho models add FOLDER`; fastembed runs it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fastembed::{OnnxSource, RerankInitOptionsUserDefined, TextRerank, UserDefinedRerankingModel};

use super::EngineError;
use super::onnx::{environment, tokenizer_files};
use crate::lane::{Lane, Priority};

/// Pairs read at once; more fall out of the cache.
const BATCH: usize = 4;

/// Queries that may wait.
const WAITING: usize = 8;

/// Where a reranker is and how it runs.
#[derive(Clone, Debug)]
pub struct RerankerOptions {
    /// The ONNX Runtime library.
    pub runtime: PathBuf,
    /// Folder with `model.onnx` and the tokenizer's files.
    pub folder: PathBuf,
    /// Tokens of query and passage together at most.
    pub max_length: usize,
    /// Threads; 0 is all cores.
    pub threads: usize,
}

/// The files that a reranker's folder must hold.
pub const FILES: &[&str] = &[
    "model.onnx",
    "tokenizer.json",
    "config.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
];

/// A model that scores passages against a query, loaded when it is needed first.
pub struct Reranker {
    options: RerankerOptions,
    model: Option<TextRerank>,
}

impl Reranker {
    /// A reranker that is not loaded yet.
    pub fn new(options: RerankerOptions) -> Self {
        Self {
            options,
            model: None,
        }
    }

    /// How well each text answers the query, 0..1, in the order of the texts.
    ///
    /// # Errors
    /// [`EngineError::Unloadable`], [`EngineError::Run`].
    pub fn score(&mut self, query: &str, texts: &[String]) -> Result<Vec<f32>, EngineError> {
        let model = match &mut self.model {
            Some(model) => model,
            gap => gap.insert(load(&self.options)?),
        };
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let ranked = model
            .rerank(query, &texts, false, Some(BATCH))
            .map_err(|error| EngineError::Run {
                reason: error.to_string(),
            })?;
        let mut scores = vec![0.0; texts.len()];
        for result in ranked {
            scores[result.index] = 1.0 / (1.0 + (-result.score).exp());
        }
        Ok(scores)
    }
}

fn load(options: &RerankerOptions) -> Result<TextRerank, EngineError> {
    let environment = environment(&options.runtime)?;
    let path = options.folder.join("model.onnx");
    let files = tokenizer_files(&options.folder)?;
    let definition = UserDefinedRerankingModel::new(OnnxSource::File(path.clone()), files);
    let mut settings = RerankInitOptionsUserDefined::new()
        .with_environment(environment)
        .with_max_length(options.max_length);
    if options.threads > 0 {
        settings = settings.with_intra_threads(options.threads);
    }
    TextRerank::try_new_from_user_defined(definition, settings).map_err(|error| {
        EngineError::Unloadable {
            path,
            reason: error.to_string(),
        }
    })
}

/// Does the model in a folder score a pair?
///
/// # Errors
/// What is missing or what the engine says.
pub fn check(options: &RerankerOptions) -> Result<(), EngineError> {
    let texts = ["a passage".to_owned()];
    Reranker::new(options.clone())
        .score("a query", &texts)
        .map(drop)
}

/// The longest input that a model's `config.json` tells, 512 where it tells none.
pub fn max_length(folder: &Path) -> usize {
    let text = std::fs::read(folder.join("config.json")).unwrap_or_default();
    let config: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let told = config["max_position_embeddings"].as_u64().unwrap_or(512);
    usize::try_from(told).unwrap_or(512).clamp(16, 512)
}

/// The reranker's lane.
#[derive(Clone)]
pub struct RerankerHandle(Arc<Lane<Reranker>>);

impl RerankerHandle {
    /// Starts the lane; the model is loaded by the first query.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn spawn(options: RerankerOptions) -> std::io::Result<Self> {
        let lane = Lane::spawn("coho-rerank", WAITING, move || Reranker::new(options))?;
        Ok(Self(Arc::new(lane)))
    }

    /// See [`Reranker::score`]; blocks.
    ///
    /// # Errors
    /// As there; [`EngineError::Lane`] when too many wait.
    pub fn score(&self, query: String, texts: Vec<String>) -> Result<Vec<f32>, EngineError> {
        let job = move |model: &mut Reranker| model.score(&query, &texts);
        self.0.submit(Priority::Urgent, job)?.wait()?
    }
}
