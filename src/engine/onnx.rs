//! Embedding with fastembed on ONNX Runtime, and the embedding model's tokenizer.

use std::path::Path;
use std::sync::OnceLock;

use fastembed::{
    InitOptionsUserDefined, Pooling, TextEmbedding, TokenizerFiles, UserDefinedEmbeddingModel,
};
use ort::environment::Environment;
use tokenizers::Tokenizer;

use super::{Embedder, EngineError};
use crate::telemetry;

/// A sentence embedding model: mean pooling, unit vectors.
pub struct OnnxEmbedder {
    model: TextEmbedding,
}

impl OnnxEmbedder {
    /// Loads the model in `folder` on the ONNX Runtime library `runtime`.
    ///
    /// `max_length` is in tokens, special ones included; `threads` 0 means all cores.
    ///
    /// # Errors
    /// [`EngineError::Io`], or [`EngineError::Unloadable`] with what ONNX Runtime said.
    pub fn load(
        runtime: &Path,
        folder: &Path,
        max_length: usize,
        threads: usize,
    ) -> Result<Self, EngineError> {
        let environment = environment(runtime)?;
        let files = tokenizer_files(folder)?;
        let mut definition = UserDefinedEmbeddingModel::new(read(folder, "model.onnx")?, files);
        definition.pooling = Some(Pooling::Mean);
        let mut options = InitOptionsUserDefined::new()
            .with_environment(environment)
            .with_max_length(max_length);
        if threads > 0 {
            options = options.with_intra_threads(threads);
        }
        let model = TextEmbedding::try_new_from_user_defined(definition, options);
        Ok(Self {
            model: model.map_err(|error| EngineError::Unloadable {
                path: folder.join("model.onnx"),
                reason: error.to_string(),
            })?,
        })
    }
}

impl Embedder for OnnxEmbedder {
    fn embed(&mut self, texts: &[String]) -> Result<Vec<Vec<f32>>, EngineError> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let mut vectors = self
            .model
            .embed(texts, Some(texts.len()))
            .map_err(|error| EngineError::Run {
                reason: error.to_string(),
            })?;
        vectors.iter_mut().for_each(|vector| normalise(vector));
        Ok(vectors)
    }
}

/// What fastembed wants of the tokenizer of the model in `folder`.
pub(super) fn tokenizer_files(folder: &Path) -> Result<TokenizerFiles, EngineError> {
    Ok(TokenizerFiles {
        tokenizer_file: read(folder, "tokenizer.json")?,
        config_file: read(folder, "config.json")?,
        special_tokens_map_file: read(folder, "special_tokens_map.json")?,
        tokenizer_config_file: read(folder, "tokenizer_config.json")?,
    })
}

fn read(folder: &Path, name: &str) -> Result<Vec<u8>, EngineError> {
    let path = folder.join(name);
    std::fs::read(&path).map_err(|source| EngineError::io(path, source))
}

/// Scales to length 1; a zero vector stays zero.
fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
}

/// ONNX Runtime is loaded once per process, and only where it is forbidden to report; the first path
/// wins.
pub(super) fn environment(path: &Path) -> Result<Environment, EngineError> {
    static LOADED: OnceLock<Result<Environment, String>> = OnceLock::new();
    let unloadable = |reason: String| EngineError::Unloadable {
        path: path.to_owned(),
        reason,
    };
    if !path.is_file() {
        return Err(unloadable("there is no such file".into()));
    }
    if !telemetry::is_forbidden() {
        return Err(unloadable("it would report to its maker".into()));
    }
    let loaded = LOADED.get_or_init(|| {
        let builder = ort::init_from(path).map_err(|e| e.to_string())?;
        let builder = builder.with_name("coho").with_telemetry(false);
        builder.build().map_err(|e| e.to_string())
    });
    loaded.clone().map_err(unloadable)
}

/// The embedding model's tokenizer, for cutting texts to its measure.
pub struct Tokens {
    tokenizer: Tokenizer,
}

/// Texts are tokenised in pieces, so that a file of one long line costs no gigabytes.
const PIECE_BYTES: usize = 16 << 10;

impl Tokens {
    /// Loads the tokenizer of the model in `folder`.
    ///
    /// # Errors
    /// [`EngineError::Unloadable`].
    pub fn load(folder: &Path) -> Result<Self, EngineError> {
        let path = folder.join("tokenizer.json");
        let unloadable = |error: tokenizers::Error| EngineError::Unloadable {
            path: path.clone(),
            reason: error.to_string(),
        };
        let mut tokenizer = Tokenizer::from_file(&path).map_err(unloadable)?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(unloadable)?;
        Ok(Self { tokenizer })
    }

    /// A name for the tokenizer in `folder`, the same for the same file.
    ///
    /// # Errors
    /// [`EngineError::Io`].
    pub fn fingerprint(folder: &Path) -> Result<String, EngineError> {
        let bytes = read(folder, "tokenizer.json")?;
        Ok(blake3::hash(&bytes).to_hex()[..16].to_owned())
    }

    /// Tokens of a text, without special tokens.
    pub fn count(&self, text: &str) -> usize {
        self.starts(text).len()
    }

    /// Byte offsets at which the tokens of a text start, sorted.
    pub fn starts(&self, text: &str) -> Vec<u32> {
        let mut starts = Vec::with_capacity(text.len() / 4);
        let mut begin = 0;
        while begin < text.len() {
            let end = piece_end(text, begin);
            if let Ok(encoding) = self.tokenizer.encode(&text[begin..end], false) {
                for (from, to) in encoding.get_offsets() {
                    push_starts(text, begin + from..begin + to, &mut starts);
                }
            }
            begin = end;
        }
        starts
    }
}

/// The start of a token, and more of them inside a token that is longer than any word: the model
/// sees such a blob as one unknown token, but a passage of a megabyte is of use to nobody.
fn push_starts(text: &str, token: std::ops::Range<usize>, starts: &mut Vec<u32>) {
    let blob = token.len() > 64;
    let step = if blob { 16 } else { token.len().max(1) };
    let inside = token.clone().step_by(step);
    let at_start = std::iter::once(token.start).filter(|_| token.is_empty());
    for at in inside
        .chain(at_start)
        .filter(|at| text.is_char_boundary(*at))
    {
        starts.push(u32::try_from(at).unwrap_or(u32::MAX));
    }
}

/// The end of the piece that begins at `begin`: after a space, if one is near enough.
fn piece_end(text: &str, begin: usize) -> usize {
    if text.len() - begin <= PIECE_BYTES {
        return text.len();
    }
    let mut end = begin + PIECE_BYTES;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[begin..end]
        .char_indices()
        .rev()
        .find(|(_, c)| c.is_whitespace())
        .map_or(end, |(at, c)| begin + at + c.len_utf8())
}
