//! What the service and the model's process say to each other: lines of JSON, both ways.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::engine::EngineError;
use crate::engine::generate::{Continuation, Description, Generated, Prompt, Scored};

/// What the model's process is asked to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// Number of the request.
    pub id: u64,
    /// What.
    pub work: Work,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Work {
    /// Write a text.
    Generate(Box<Prompt>),
    /// Score a text as the continuation of a conversation.
    Score(Continuation),
    /// Count the tokens of texts.
    Count(Vec<String>),
    /// Say what the model is.
    Describe,
    /// Leave the request of this number.
    Cancel,
}

/// The number of what could not be read as a whole.
pub(super) fn number_of(line: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Numbered {
        id: u64,
    }
    serde_json::from_str(line).ok().map(|Numbered { id }| id)
}

impl Work {
    /// May it be told to come back later? What is only a part of something that was begun may not.
    pub(super) fn may_be_refused(&self) -> bool {
        match self {
            Self::Generate(prompt) => !prompt.goes_on,
            Self::Score(given) => !given.goes_on,
            Self::Count(_) | Self::Describe | Self::Cancel => false,
        }
    }
}

/// What the model's process says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Reply {
    /// Number of the request; 0 is about the model.
    pub id: u64,
    /// What.
    pub news: News,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum News {
    /// How much of the model is loaded, 0 to 1.
    Loading(f32),
    /// A step was made; a moment to say that somebody left.
    Step,
    /// A piece of text.
    Piece(String),
    /// A text, finished.
    Generated(Box<Generated>),
    /// A text, scored.
    Scored(Scored),
    /// Counts of tokens.
    Counts(Vec<usize>),
    /// What the model is.
    Description(Box<Description>),
    /// It went wrong.
    Failed(Trouble),
}

/// What can go wrong in the model's process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Trouble {
    /// The file is no model that can write.
    Unloadable(String),
    /// The adapter cannot be laid on the model.
    Adapter {
        /// Its file.
        path: PathBuf,
        /// What llama.cpp said.
        reason: String,
    },
    /// A prompt that cannot fit.
    PromptTooLong {
        /// Tokens of the prompt, and of what is to be written.
        tokens: usize,
        /// Tokens that fit.
        context: usize,
    },
    /// A grammar that cannot be read, or not be met.
    Grammar(String),
    /// A grammar that takes too long.
    Costly(String),
    /// llama.cpp failed.
    Run(String),
}

impl Trouble {
    pub(super) fn run(error: &dyn std::fmt::Display) -> Self {
        Self::Run(error.to_string())
    }

    /// As the rest of coho knows it.
    pub(super) fn into_error(self, path: &Path) -> EngineError {
        match self {
            Self::Unloadable(reason) => EngineError::Unloadable {
                path: path.to_owned(),
                reason,
            },
            Self::Adapter { path, reason } => EngineError::UnloadableAdapter { path, reason },
            Self::PromptTooLong { tokens, context } => {
                let what = format!(
                    "with room for what is written it takes {tokens} tokens, the context holds \
                     {context}"
                );
                EngineError::PromptTooLong { what }
            }
            Self::Grammar(reason) => EngineError::Grammar { reason },
            Self::Costly(reason) => EngineError::CostlyGrammar { reason },
            Self::Run(reason) => EngineError::Run { reason },
        }
    }
}
