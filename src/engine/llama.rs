//! Writing with llama.cpp: one model, one context, one thread.
//!
//! The model is loaded when first asked and unloaded when idle. The prompt's tokens are compared
//! with what the context still holds, and only what differs is read again. Template text may hold
//! special tokens, content may not: documents are data, whatever they say.

use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Instant;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::model::{LlamaChatMessage, LlamaChatTemplate, LlamaModel};
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::{LogOptions, send_logs_to_tracing};

use super::{EngineError, Finish, Generated, Generator, Message, Prompt};

/// How a model is run.
#[derive(Clone, Debug)]
pub struct LlamaOptions {
    /// The GGUF file.
    pub path: PathBuf,
    /// Tokens of context at most; the model's own limit counts too.
    pub context_tokens: u32,
    /// Threads; 0 means all cores.
    pub threads: usize,
    /// Layers on the GPU, where there is one.
    pub gpu_layers: u32,
}

/// Prompt tokens read at once.
const BATCH_TOKENS: usize = 512;

struct Session<'model> {
    context: LlamaContext<'model>,
    batch: LlamaBatch<'static>,
    /// The tokens that sequence 0 of the context holds.
    held: Vec<LlamaToken>,
}

self_cell::self_cell!(
    struct Loaded {
        owner: LlamaModel,
        #[not_covariant]
        dependent: Session,
    }
);

/// A llama.cpp model that loads itself when it is needed.
pub struct Llama {
    options: LlamaOptions,
    loaded: Option<Loaded>,
}

impl Llama {
    /// A generator that will load `options.path` when first asked.
    pub fn new(options: LlamaOptions) -> Self {
        Self {
            options,
            loaded: None,
        }
    }

    fn load(&mut self) -> Result<&mut Loaded, EngineError> {
        if self.loaded.is_none() {
            self.loaded = Some(load(&self.options)?);
        }
        Ok(self.loaded.as_mut().expect("it was loaded just now"))
    }
}

impl Generator for Llama {
    fn generate(
        &mut self,
        prompt: &Prompt,
        emit: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated, EngineError> {
        let loaded = self.load()?;
        let outcome = loaded.with_dependent_mut(|model, session| session.run(model, prompt, emit));
        if matches!(outcome, Err(EngineError::Run { .. })) {
            // A context that failed is not to be trusted with the next prompt.
            self.loaded = None;
        }
        outcome
    }

    fn count_tokens(&mut self, text: &str) -> Result<usize, EngineError> {
        let loaded = self.load()?;
        Ok(loaded
            .borrow_owner()
            .vocab()
            .tokenize(text.as_bytes(), false, false)
            .len())
    }

    fn unload(&mut self) {
        self.loaded = None;
    }
}

fn backend() -> Result<&'static LlamaBackend, EngineError> {
    static BACKEND: OnceLock<Result<LlamaBackend, String>> = OnceLock::new();
    let backend = BACKEND.get_or_init(|| {
        send_logs_to_tracing(LogOptions::default());
        LlamaBackend::init().map_err(|error| error.to_string())
    });
    backend.as_ref().map_err(|reason| EngineError::Run {
        reason: reason.clone(),
    })
}

fn load(options: &LlamaOptions) -> Result<Loaded, EngineError> {
    let path = &options.path;
    let unloadable = |reason: &str| EngineError::Unloadable {
        path: path.clone(),
        reason: reason.to_owned(),
    };
    if !path.is_file() {
        return Err(unloadable("there is no such file"));
    }
    let backend = backend()?;
    let params = LlamaModelParams::default().with_n_gpu_layers(options.gpu_layers);
    let model = LlamaModel::load_from_file(backend, path, &params)
        .map_err(|_| unloadable("llama.cpp refuses it: cut short, or not a model"))?;
    let architecture = model
        .meta_val_str("general.architecture")
        .unwrap_or_default();
    if architecture.contains("bert") || architecture == "t5encoder" {
        return Err(unloadable("it is an embedding model and cannot write"));
    }
    let limit = model.n_ctx_train().max(512);
    let tokens = options.context_tokens.clamp(512, limit);
    let threads = match options.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    let threads = i32::try_from(threads).unwrap_or(i32::MAX);
    let params = LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(tokens))
        .with_n_batch(u32::try_from(BATCH_TOKENS).expect("a small constant"))
        .with_n_threads(threads)
        .with_n_threads_batch(threads);
    Loaded::try_new(model, |model| {
        let context = model
            .new_context(backend, params)
            .map_err(|error| unloadable(&error.to_string()))?;
        Ok(Session {
            context,
            batch: LlamaBatch::new(BATCH_TOKENS, 1),
            held: Vec::new(),
        })
    })
}

impl Session<'_> {
    fn run(
        &mut self,
        model: &LlamaModel,
        prompt: &Prompt,
        emit: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated, EngineError> {
        let tokens = tokens_of(model, &prompt.messages)?;
        let context = self.context.n_ctx() as usize;
        if tokens.len() + 8 > context {
            return Err(EngineError::PromptTooLong {
                tokens: tokens.len(),
                context,
            });
        }
        let started = Instant::now();
        let cached_tokens = self.prefill(&tokens)?;
        let prefill = started.elapsed();
        let room = context - tokens.len();
        let written = self.write(model, prompt, prompt.max_tokens.min(room - 1), emit)?;
        #[expect(clippy::cast_precision_loss, reason = "answers have few tokens")]
        let mean = |sum: f32, count: usize| if count == 0 { 0.0 } else { sum / count as f32 };
        Ok(Generated {
            text: written.text,
            finish: written.finish,
            prompt_tokens: tokens.len(),
            cached_tokens,
            generated_tokens: written.tokens,
            mean_log_prob: mean(written.log_prob, written.tokens),
            prefill,
            generate: started.elapsed().saturating_sub(prefill),
        })
    }

    /// Brings the context to hold exactly `tokens`; returns how many it held already.
    fn prefill(&mut self, tokens: &[LlamaToken]) -> Result<usize, EngineError> {
        let same = self.held.iter().zip(tokens).take_while(|(a, b)| a == b);
        // The last token is read again in any case: its logits are wanted.
        let mut keep = same.count().min(tokens.len().saturating_sub(1));
        if !self.forget_from(keep) {
            self.context.clear_kv_cache();
            keep = 0;
        }
        self.held.truncate(keep);
        let rest = &tokens[keep..];
        for (number, part) in rest.chunks(BATCH_TOKENS).enumerate() {
            self.batch.clear();
            let last_part = (number + 1) * BATCH_TOKENS >= rest.len();
            for (i, token) in part.iter().enumerate() {
                let wanted = last_part && i + 1 == part.len();
                self.push(*token, keep + number * BATCH_TOKENS + i, wanted)?;
            }
            self.decode()?;
            self.held.extend_from_slice(part);
        }
        Ok(keep)
    }

    fn forget_from(&mut self, position: usize) -> bool {
        let position = u32::try_from(position).ok();
        self.context
            .clear_kv_cache_seq(Some(0), position, None)
            .unwrap_or(false)
    }

    fn push(&mut self, token: LlamaToken, at: usize, logits: bool) -> Result<(), EngineError> {
        let position = i32::try_from(at).map_err(|_| failed("position out of range"))?;
        self.batch
            .add(token, position, &[0], logits)
            .map_err(|error| failed(&error.to_string()))
    }

    fn decode(&mut self) -> Result<(), EngineError> {
        self.context
            .decode(&mut self.batch)
            .map_err(|error| failed(&error.to_string()))
    }

    fn write(
        &mut self,
        model: &LlamaModel,
        prompt: &Prompt,
        max_tokens: usize,
        emit: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Written, EngineError> {
        let vocab = model.vocab();
        let mut sampler = (prompt.temperature > 0.0).then(|| {
            LlamaSampler::chain_simple([
                LlamaSampler::top_k(40),
                LlamaSampler::top_p(0.95, 1),
                LlamaSampler::temp(prompt.temperature),
                LlamaSampler::dist(prompt.seed),
            ])
        });
        let mut written = Written::default();
        let mut text = TextStream::new(&prompt.stop);
        while written.tokens < max_tokens {
            let index = self.batch.n_tokens() - 1;
            let logits = self.context.get_logits_ith(index);
            let (best, normaliser) = argmax(logits);
            let token = match &mut sampler {
                Some(sampler) => sampler.sample(&self.context, index),
                None => LlamaToken(best),
            };
            if vocab.is_eog(token) {
                written.finish = Finish::Stop;
                break;
            }
            let place = usize::try_from(token.0).map_err(|_| failed("a negative token"))?;
            written.log_prob += logits[place] - normaliser;
            written.tokens += 1;
            match text.push(&vocab.token_to_piece(token, false, None), emit) {
                Flow::Go => {}
                Flow::Stop => {
                    written.finish = Finish::Stop;
                    break;
                }
                Flow::Cancel => {
                    written.finish = Finish::Cancelled;
                    break;
                }
            }
            self.batch.clear();
            let at = self.held.len();
            self.push(token, at, true)?;
            self.decode()?;
            self.held.push(token);
        }
        text.end(emit);
        written.text = text.text;
        Ok(written)
    }
}

struct Written {
    text: String,
    finish: Finish,
    tokens: usize,
    log_prob: f32,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            text: String::new(),
            finish: Finish::Length,
            tokens: 0,
            log_prob: 0.0,
        }
    }
}

fn failed(reason: &str) -> EngineError {
    EngineError::Run {
        reason: reason.to_owned(),
    }
}

/// The likeliest token, and the logarithm of the sum of all exponentials.
fn argmax(logits: &[f32]) -> (i32, f32) {
    let (mut best, mut top) = (0, f32::NEG_INFINITY);
    for (token, logit) in (0..).zip(logits) {
        if *logit > top {
            (best, top) = (token, *logit);
        }
    }
    // Logits far below the top add nothing to the sum, and most are.
    let near = logits.iter().filter(|logit| **logit > top - 20.0);
    let sum: f32 = near.map(|logit| (logit - top).exp()).sum();
    (best, top + sum.ln())
}

enum Flow {
    Go,
    Stop,
    Cancel,
}

/// Turns bytes of tokens into text: holds back what may be half a character or half a stop text.
struct TextStream<'a> {
    stop: &'a [String],
    bytes: Vec<u8>,
    text: String,
    emitted: usize,
}

impl<'a> TextStream<'a> {
    fn new(stop: &'a [String]) -> Self {
        Self {
            stop,
            bytes: Vec::new(),
            text: String::new(),
            emitted: 0,
        }
    }

    fn push(&mut self, piece: &[u8], emit: &mut dyn FnMut(&str) -> ControlFlow<()>) -> Flow {
        self.bytes.extend_from_slice(piece);
        let whole = match std::str::from_utf8(&self.bytes) {
            Ok(_) => self.bytes.len(),
            // Bytes that can never become a character are replaced below.
            Err(error) if error.error_len().is_some() => self.bytes.len(),
            Err(error) => error.valid_up_to(),
        };
        let ready: Vec<u8> = self.bytes.drain(..whole).collect();
        let from = self.text.len();
        self.text.push_str(&String::from_utf8_lossy(&ready));
        let longest = self.stop.iter().map(String::len).max().unwrap_or(0);
        let mut search = from.saturating_sub(longest);
        while !self.text.is_char_boundary(search) {
            search -= 1;
        }
        let found = self.stop.iter().filter(|stop| !stop.is_empty());
        let found = found.filter_map(|stop| self.text[search..].find(stop.as_str()));
        if let Some(at) = found.min() {
            self.text.truncate(search + at);
            return Flow::Stop;
        }
        let mut safe = self.text.len() - self.held_back();
        while !self.text.is_char_boundary(safe) {
            safe -= 1;
        }
        self.emit_to(safe, emit)
    }

    /// Bytes at the end that may be the beginning of a stop text.
    fn held_back(&self) -> usize {
        let starts = |stop: &String| {
            (1..stop.len())
                .rev()
                .find(|n| self.text.as_bytes().ends_with(&stop.as_bytes()[..*n]))
        };
        self.stop.iter().filter_map(starts).max().unwrap_or(0)
    }

    fn emit_to(&mut self, end: usize, emit: &mut dyn FnMut(&str) -> ControlFlow<()>) -> Flow {
        if end <= self.emitted {
            return Flow::Go;
        }
        let piece = &self.text[self.emitted..end];
        self.emitted = end;
        match emit(piece) {
            ControlFlow::Continue(()) => Flow::Go,
            ControlFlow::Break(()) => Flow::Cancel,
        }
    }

    fn end(&mut self, emit: &mut dyn FnMut(&str) -> ControlFlow<()>) {
        let end = self.text.len();
        let _ = self.emit_to(end, emit);
    }
}

/// The tokens of a conversation by the model's own template. Only the template's text is searched
/// for special tokens.
fn tokens_of(model: &LlamaModel, messages: &[Message]) -> Result<Vec<LlamaToken>, EngineError> {
    let vocab = model.vocab();
    let mut tokens = Vec::new();
    for (i, part) in render(model, messages)?.into_iter().enumerate() {
        match part {
            Part::Template(text) => {
                vocab.tokenize_into(text.as_bytes(), &mut tokens, i == 0, true);
            }
            Part::Content(at) => {
                let content = messages[at].content.trim();
                vocab.tokenize_into(content.as_bytes(), &mut tokens, i == 0, false);
            }
        }
    }
    Ok(tokens)
}

enum Part {
    Template(String),
    Content(usize),
}

/// Private-use characters that stand for the contents while the template is applied.
const MARK: char = '\u{f8f0}';

fn render(model: &LlamaModel, messages: &[Message]) -> Result<Vec<Part>, EngineError> {
    let mark = |i: usize| format!("{MARK}{i}{MARK}");
    let chat: Result<Vec<_>, _> = messages
        .iter()
        .enumerate()
        .map(|(i, message)| LlamaChatMessage::new(message.role.to_owned(), mark(i)))
        .collect();
    let chat = chat.map_err(|error| failed(&error.to_string()))?;
    let template = model.chat_template(None);
    let rendered = match template
        .ok()
        .or_else(|| LlamaChatTemplate::new("chatml").ok())
    {
        Some(template) => model.apply_chat_template(&template, &chat, true).ok(),
        None => None,
    };
    // A template that llama.cpp does not know: plain turns are understood by any model.
    let rendered = rendered.unwrap_or_else(|| {
        let turns = messages.iter().enumerate();
        let turns: Vec<String> = turns
            .map(|(i, message)| format!("{}: {}\n\n", message.role, mark(i)))
            .collect();
        turns.concat() + "assistant:"
    });
    let mut parts = Vec::new();
    for (i, piece) in rendered.split(MARK).enumerate() {
        match piece.parse::<usize>() {
            Ok(at) if i % 2 == 1 && at < messages.len() => parts.push(Part::Content(at)),
            _ if piece.is_empty() => {}
            _ => parts.push(Part::Template(piece.to_owned())),
        }
    }
    Ok(parts)
}

/// Speed of llama.cpp itself: the plainest loop there is, without what [`Llama`] adds. The yardstick
/// of `coho models bench`.
///
/// Returns tokens read per second and tokens written per second, of a prompt of `read` tokens and
/// `write` tokens more.
///
/// # Errors
/// [`EngineError::Unloadable`], [`EngineError::Run`].
pub fn bare_speed(
    options: &LlamaOptions,
    read: usize,
    write: usize,
) -> Result<(f64, f64), EngineError> {
    let mut loaded = load(options)?;
    loaded.with_dependent_mut(|model, session| {
        let word = model.vocab().tokenize(b" and", false, false);
        let token = *word.first().ok_or_else(|| failed("an empty vocabulary"))?;
        let context = &mut session.context;
        let batch = &mut session.batch;
        let error = |e: &dyn std::fmt::Display| failed(&e.to_string());
        let started = Instant::now();
        for begin in (0..read).step_by(BATCH_TOKENS) {
            batch.clear();
            for at in begin..read.min(begin + BATCH_TOKENS) {
                let position = i32::try_from(at).map_err(|e| error(&e))?;
                let last = at + 1 == read;
                batch
                    .add(token, position, &[0], last)
                    .map_err(|e| error(&e))?;
            }
            context.decode(batch).map_err(|e| error(&e))?;
        }
        let prefill = started.elapsed();
        let mut sampler = LlamaSampler::greedy();
        for step in 0..write {
            let next = sampler.sample(context, batch.n_tokens() - 1);
            let position = i32::try_from(read + step).map_err(|e| error(&e))?;
            batch.clear();
            batch
                .add(next, position, &[0], true)
                .map_err(|e| error(&e))?;
            context.decode(batch).map_err(|e| error(&e))?;
        }
        let generate = started.elapsed().saturating_sub(prefill);
        #[expect(clippy::cast_precision_loss, reason = "token counts")]
        let rate = |tokens: usize, time: std::time::Duration| tokens as f64 / time.as_secs_f64();
        Ok((rate(read, prefill), rate(write, generate)))
    })
}

/// Does the file open as a model that can write? Loads it once.
///
/// # Errors
/// [`EngineError::Unloadable`] with the reason.
pub fn check(path: &Path) -> Result<(), EngineError> {
    let options = LlamaOptions {
        path: path.to_owned(),
        context_tokens: 512,
        threads: 1,
        gpu_layers: 0,
    };
    load(&options).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(pieces: &[&[u8]], stop: &[&str]) -> (Vec<String>, String) {
        let stop: Vec<String> = stop.iter().map(ToString::to_string).collect();
        let mut text = TextStream::new(&stop);
        let mut seen = Vec::new();
        let mut emit = |piece: &str| {
            seen.push(piece.to_owned());
            ControlFlow::Continue(())
        };
        for piece in pieces {
            if !matches!(text.push(piece, &mut emit), Flow::Go) {
                break;
            }
        }
        text.end(&mut emit);
        (seen, text.text)
    }

    #[test]
    fn characters_are_never_cut_and_stop_texts_never_shown() {
        let (seen, text) = stream(&[b"caf\xc3", b"\xa9 ok"], &[]);
        assert_eq!((seen.concat(), text), ("café ok".into(), "café ok".into()));
        let (seen, text) = stream(&[b"yes\n", b"\nQues", b"tion: no"], &["\n\nQuestion:"]);
        assert_eq!((seen.concat(), text), ("yes".into(), "yes".into()));
        let (seen, _) = stream(&[b"a\n", b"b"], &["\n\n"]);
        assert_eq!(seen, ["a", "\nb"]);
        let (_, text) = stream(&[b"\xff\xfe", b"x"], &[]);
        assert!(text.ends_with('x'));
    }

    #[test]
    fn log_probabilities_are_normalised() {
        let (best, normaliser) = argmax(&[0.0, 2.0, 1.0]);
        assert_eq!(best, 1);
        let sum: f32 = [0.0f32, 2.0, 1.0]
            .iter()
            .map(|l| (l - normaliser).exp())
            .sum();
        assert!((sum - 1.0).abs() < 1e-5);
    }
}
