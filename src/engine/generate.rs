//! What is asked of a language model and what it answers, wherever the model runs.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::EngineError;
pub use crate::domain::generator::KvType;
use crate::lane::Reply;

/// Prompts that may have a say in one text.
pub const MOST_PROMPTS: usize = 8;

/// Who says something in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The instructions.
    System,
    /// The one who asks.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// Its name in chat templates.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One turn of a conversation. Content is data: special tokens in it are never parsed as such.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// The text, in parts that are turned into tokens one by one: what two prompts begin with in
    /// common is computed once if it ends where a part does.
    pub parts: Vec<String>,
}

impl Message {
    /// A turn of one part.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            parts: vec![content.into()],
        }
    }
}

/// What the text must look like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grammar {
    /// A grammar in llama.cpp's notation, with a rule `root`.
    Gbnf(String),
    /// A JSON Schema.
    JsonSchema(String),
}

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// 0 takes the likeliest token.
    pub temperature: f32,
    /// Only among so many of the likeliest.
    pub top_k: i32,
    /// Only among the likeliest that have this probability together.
    pub top_p: f32,
    /// Only those that have this share of the likeliest one's probability.
    pub min_p: f32,
    /// Seed of the dice.
    pub seed: u32,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            seed: 0,
        }
    }
}

/// A text to be written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prompt {
    /// The conversation; the model's own chat template is applied to it.
    pub messages: Vec<Message>,
    /// Other conversations that have a say in every token, each with its weight; the first
    /// conversation has the weight that is left of 1 (REPLUG, Shi et al. 2023).
    pub beside: Vec<(Vec<Message>, f32)>,
    /// How many parts from the beginning come again and again: the model's state behind them is
    /// kept on disk.
    pub lasting_parts: usize,
    /// What that state belongs to, if it is to be dropped with something: letters and digits.
    #[serde(default)]
    pub lasting_with: Option<String>,
    /// Tokens to generate at most.
    pub max_tokens: usize,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Generation ends before any of these.
    pub stop: Vec<String>,
    /// What the text must look like.
    pub grammar: Option<Grammar>,
    /// Whether it is part of an answer for which the model has worked already: it is let in however
    /// many wait.
    pub goes_on: bool,
}

impl Prompt {
    /// A conversation, continued greedily.
    pub fn new(messages: Vec<Message>, max_tokens: usize) -> Self {
        Self {
            messages,
            beside: Vec::new(),
            lasting_parts: 1,
            lasting_with: None,
            max_tokens,
            sampling: Sampling::default(),
            stop: Vec::new(),
            grammar: None,
            goes_on: false,
        }
    }
}

/// A text to be scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Continuation {
    /// The conversation.
    pub messages: Vec<Message>,
    /// What the model would say.
    pub answer: String,
    /// As in [`Prompt::goes_on`].
    pub goes_on: bool,
}

/// Why generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finish {
    /// The model said that it was done, or a stop text came.
    Stop,
    /// The budget of tokens was used up.
    Length,
    /// The reader left.
    Cancelled,
}

/// The log-probability of a token where nobody tells it: what is not known must not count as sure. A
/// number, and not infinite, because it is kept with the answer as JSON.
pub const UNTOLD: f32 = -100.0;

/// What a language model wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generated {
    /// The text, without the stop text.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
    /// Tokens of the whole prompt; of all of them, where several have a say.
    pub prompt_tokens: usize,
    /// Tokens of the prompt whose state was there already.
    pub cached_tokens: usize,
    /// Natural log-probability of each generated token, as the model saw it before sampling.
    pub log_probs: Vec<f32>,
    /// Tokens that were generated beside these: what a model behind a server thought.
    pub unseen_tokens: usize,
    /// Where each generated token ends in `text`, in bytes; may lie behind a stop text that was cut.
    pub token_ends: Vec<usize>,
    /// Time in the queue.
    pub waited: Duration,
    /// Time to read the prompt.
    pub prefill: Duration,
    /// Time to write the text.
    pub generate: Duration,
    /// Processor time of the model's process while it ran, shared out among those who ran at once.
    pub cpu: Duration,
}

impl Generated {
    /// Tokens generated.
    pub fn tokens(&self) -> usize {
        self.log_probs.len() + self.unseen_tokens
    }

    /// Is it known how likely its tokens were?
    pub fn is_weighed(&self) -> bool {
        self.log_probs.iter().any(|log_prob| *log_prob > UNTOLD)
    }

    /// The same without what stands before `start`, in bytes.
    #[must_use]
    pub fn behind(mut self, start: usize) -> Self {
        let first = self
            .token_ends
            .iter()
            .take_while(|end| **end <= start)
            .count();
        self.token_ends.drain(..first);
        self.token_ends.iter_mut().for_each(|end| *end -= start);
        self.unseen_tokens += first;
        self.log_probs.drain(..first.min(self.log_probs.len()));
        self.text.drain(..start);
        self
    }

    /// Mean natural log-probability of the generated tokens; 0 when there are none.
    pub fn mean_log_prob(&self) -> f32 {
        mean(&self.log_probs)
    }

    /// The least probability of a token that lies in these bytes of the text, at least in part; 1
    /// where none does.
    pub fn least_probability(&self, bytes: Range<usize>) -> f32 {
        let (mut begin, mut lowest, mut least) = (0, 0.0_f32, 1.0_f32);
        for (end, log_prob) in self.token_ends.iter().zip(&self.log_probs) {
            lowest = lowest.min(*log_prob);
            // A character that is made of several tokens comes with the last of them.
            if *end == begin {
                continue;
            }
            if begin < bytes.end && *end > bytes.start {
                least = least.min(lowest.exp());
            }
            (begin, lowest) = (*end, 0.0);
        }
        least
    }

    /// A part of the text, in bytes, without the tokens whose probability is below `least`: what the
    /// model was not sure of.
    pub fn sure_part(&self, part: Range<usize>, least: f32) -> String {
        let mut sure = String::new();
        let (mut begin, mut lowest) = (0, 0.0_f32);
        for (end, log_prob) in self.token_ends.iter().zip(&self.log_probs) {
            lowest = lowest.min(*log_prob);
            let end = (*end).min(self.text.len());
            // A token may end within a character, or be held back with it: that is as sure as the least
            // sure of its tokens.
            if end == begin || self.text.get(begin..end).is_none() {
                continue;
            }
            let within = begin.max(part.start)..end.min(part.end);
            let log_prob = std::mem::take(&mut lowest);
            if log_prob.exp() >= least {
                // The part may end within a token, but never within a character.
                sure.push_str(self.text.get(within).unwrap_or(""));
            }
            begin = end;
        }
        sure
    }
}

/// How likely a model finds a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// Natural log-probability of each token of the text.
    pub log_probs: Vec<f32>,
    /// Tokens of the conversation and the text.
    pub prompt_tokens: usize,
    /// Tokens whose state was there already.
    pub cached_tokens: usize,
    /// Time that it took, without the queue.
    pub took: Duration,
    /// Processor time of the model's process, shared out as for [`Generated`].
    pub cpu: Duration,
}

impl Scored {
    /// Mean natural log-probability of the text's tokens; 0 when there are none.
    pub fn mean_log_prob(&self) -> f32 {
        mean(&self.log_probs)
    }
}

#[expect(clippy::cast_precision_loss, reason = "answers have few tokens")]
fn mean(log_probs: &[f32]) -> f32 {
    log_probs.iter().sum::<f32>() / log_probs.len().max(1) as f32
}

/// What a model file says of itself, and how it is run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Its architecture: `llama`, `qwen2`, …
    pub architecture: String,
    /// Parameters.
    pub parameters: u64,
    /// Tokens that a prompt and its continuation may have.
    pub context_tokens: usize,
    /// Does it bring a chat template that llama.cpp knows?
    pub has_template: bool,
    /// Time that loading took.
    pub load: Duration,
    /// Memory of its process, bytes.
    pub memory_bytes: u64,
}

/// A running generation, as its reader sees it.
pub struct Stream {
    /// Pieces of text as they come; closed when the generation ends. Not bounded: a slow reader
    /// must not hold up others, and `max_tokens` bounds what may pile up.
    pub pieces: tokio::sync::mpsc::UnboundedReceiver<String>,
    /// The whole, when it has ended.
    pub result: Reply<Result<Generated, EngineError>>,
}

/// A language model, wherever it runs.
pub trait Generator: Send + Sync {
    /// Starts a generation; it ends within a token when `cancel` is set.
    ///
    /// # Errors
    /// [`EngineError::Lane`] when too many wait; what the model says comes with the stream.
    fn generate(&self, prompt: Prompt, cancel: Arc<AtomicBool>) -> Result<Stream, EngineError>;

    /// How likely each token of a given continuation is (teacher forcing); blocks. It ends within a
    /// step when `cancel` is set, and is worth nothing then.
    ///
    /// # Errors
    /// What the model says; [`EngineError::Lane`] when too many wait; [`EngineError::Unsupported`].
    fn score(&self, given: Continuation, cancel: Arc<AtomicBool>) -> Result<Scored, EngineError>;

    /// Tokens of each text, without special tokens.
    ///
    /// # Errors
    /// What the model says; [`EngineError::Unsupported`].
    fn count_tokens(&self, texts: Vec<String>) -> Result<Vec<usize>, EngineError>;

    /// Loads the model, if it is not loaded, and says what it is.
    ///
    /// # Errors
    /// [`EngineError::Unloadable`] with the reason; [`EngineError::Unsupported`].
    fn describe(&self) -> Result<Description, EngineError>;

    /// How much of the model is loaded, 0 to 1, while it is being loaded.
    fn loading(&self) -> Option<f32>;

    /// Lets the model go if it was not used for `idle`; the next question loads it again.
    fn unload_if_idle(&self, idle: Duration);
}

/// How a model in a file is run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LlamaOptions {
    /// The GGUF file.
    pub path: PathBuf,
    /// Tokens of a prompt with its continuation at most; the model's own limit counts too.
    pub context_tokens: u32,
    /// Questions that are worked on at once.
    pub parallel: usize,
    /// Threads; 0 means all cores.
    pub threads: usize,
    /// Layers on the GPU, where there is one.
    pub gpu_layers: u32,
    /// How keys and values are kept.
    pub kv: KvType,
    /// An adapter (`LoRA`, GGUF) on top of the model.
    pub lora: Option<PathBuf>,
    /// Where states are kept; none keeps none.
    pub states: Option<PathBuf>,
}

#[cfg(test)]
impl LlamaOptions {
    /// For one question at once, and nothing kept.
    pub(crate) fn plain(path: PathBuf) -> Self {
        Self {
            path,
            context_tokens: 512,
            parallel: 1,
            threads: 0,
            gpu_layers: 0,
            kv: KvType::F16,
            lora: None,
            states: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_model_was_not_sure_of_can_be_left_out() {
        let generated = Generated {
            text: "It is Ünal.".into(),
            finish: Finish::Stop,
            prompt_tokens: 1,
            cached_tokens: 0,
            log_probs: vec![-0.1, -0.1, -3.0, -3.0, -0.1],
            unseen_tokens: 0,
            // "Ü" is two tokens; the last is a stop text that was cut.
            token_ends: vec![2, 6, 7, 11, 14],
            waited: Duration::ZERO,
            prefill: Duration::ZERO,
            generate: Duration::ZERO,
            cpu: Duration::ZERO,
        };
        assert_eq!(generated.sure_part(0..12, 0.5), "It is .");
        assert_eq!(generated.sure_part(0..12, 0.0), "It is Ünal.");
        // A part that begins, or ends, within a token.
        assert_eq!(generated.sure_part(3..12, 0.5), "is .");
        assert_eq!(generated.sure_part(0..8, 0.0), "It is Ü");
        assert_eq!(generated.sure_part(6..11, 0.5), "");
        assert!((generated.least_probability(0..6) - 0.905).abs() < 1e-3);
        assert!((generated.least_probability(5..12) - 0.0498).abs() < 1e-3);
        assert!((generated.least_probability(20..30) - 1.0).abs() < 1e-6);
        // Its first half is held back until the second has come.
        let held_back = Generated {
            log_probs: vec![-0.1, -0.1, -3.0, -0.1, -0.1],
            token_ends: vec![2, 6, 6, 8, 14],
            ..generated.clone()
        };
        assert_eq!(held_back.sure_part(0..12, 0.5), "It is nal.");
        assert!((held_back.least_probability(6..8) - 0.0498).abs() < 1e-3);
        let rest = generated.behind(6);
        assert_eq!((rest.text.as_str(), rest.tokens()), ("Ünal.", 5));
        assert_eq!(rest.token_ends, [1, 5, 8]);
    }
}
