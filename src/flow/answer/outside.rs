//! A language model on another machine, for questions that the owner chooses one by one.
//!
//! Everything that goes there passes here, and only here: what is private is masked, what leaves is
//! entered in the ledger word by word before it is sent, and nothing is sent that the day's limits do
//! not allow. What comes back is put back piece by piece, so that claims are checked against the
//! notes as they are.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::domain::mask::{Mask, Restoring};
use crate::engine::EngineError;
use crate::engine::generate::{
    Continuation, Description, Generated, Generator, Message, Prompt, Role, Scored, Stream,
};
use crate::engine::server::ModelServer;
use crate::lane::promise;
use crate::store::outbound::{self, Request, Spending};
use crate::store::{Store, StoreError};

/// Bytes of a token at least, for the most that a request may come to: tokens of scripts that a model
/// hardly knows are single bytes.
const BYTES_PER_TOKEN: usize = 1;

/// Tokens that a server may put around a conversation.
const AROUND: usize = 64;

const LANE: &str = "the remote model";

/// What may be spent, and on what terms.
#[derive(Clone, Debug)]
pub struct Terms {
    /// To where.
    pub url: String,
    /// The model there.
    pub model: String,
    /// A day's limits.
    pub limits: Spending,
    /// What a million tokens cost: read, written.
    pub prices: (f64, f64),
    /// Words that are masked, besides what is seen to be private.
    pub private: Vec<String>,
}

impl Terms {
    fn cost(&self, read: usize, written: usize) -> Spending {
        #[expect(clippy::cast_precision_loss, reason = "tokens of one request")]
        let of = |tokens: usize, price: f64| tokens as f64 * price / 1e6;
        Spending {
            tokens: (read + written) as u64,
            cost: of(read, self.prices.0) + of(written, self.prices.1),
        }
    }
}

/// The model elsewhere, for one answer.
pub struct Outside {
    server: Arc<ModelServer>,
    store: Arc<Store>,
    terms: Terms,
    answer: String,
    at_ms: i64,
}

impl Outside {
    /// For the answer of this name. Nothing is sent yet.
    pub fn new(
        server: ModelServer,
        store: Arc<Store>,
        terms: Terms,
        (answer, at_ms): (String, i64),
    ) -> Self {
        Self {
            server: Arc::new(server),
            store,
            terms,
            answer,
            at_ms,
        }
    }

    fn unsupported<T>(&self, what: &'static str) -> Result<T, EngineError> {
        Err(EngineError::Unsupported {
            model: self.terms.model.clone(),
            what,
        })
    }

    /// Enters what is to be sent; its number.
    fn enter(&self, prompt: &Prompt) -> Result<i64, EngineError> {
        let body = self.server.body(prompt)?.to_string();
        let read = body.len() / BYTES_PER_TOKEN + AROUND;
        let request = Request {
            at_ms: self.at_ms,
            url: self.terms.url.clone(),
            model: self.terms.model.clone(),
            answer: self.answer.clone(),
            most: self.terms.cost(read, prompt.max_tokens),
            body,
        };
        let (most, limits) = (request.most, self.terms.limits);
        let entered = self
            .store
            .ledger()
            .write(|transaction| outbound::enter(transaction, &request, limits));
        match entered {
            Ok(Ok(id)) => Ok(id),
            Ok(Err(today)) => Err(EngineError::Limit {
                reason: format!(
                    "{} of {} tokens and {:.4} of {:.4} were spent today, and this may take {} and {:.4}",
                    today.tokens, limits.tokens, today.cost, limits.cost, most.tokens, most.cost
                ),
            }),
            // What cannot be written down does not leave.
            Err(error) => Err(failed(&error)),
        }
    }
}

fn failed(error: &StoreError) -> EngineError {
    EngineError::Run {
        reason: format!("what leaves cannot be written down: {error}"),
    }
}

/// A prompt without what is private. What we say ourselves stays: the system's words, and what
/// stands before the question.
fn masked(prompt: Prompt, private: &[String]) -> (Prompt, Mask) {
    let ours = |message: &Message| message.role == Role::System;
    let texts = prompt.messages.iter().filter(|m| !ours(m));
    let mut texts: Vec<&str> = texts.flat_map(|m| &m.parts).map(String::as_str).collect();
    // What is asked is the last part of what the user says.
    let users = prompt.messages.iter().filter(|m| m.role == Role::User);
    let asked = users.filter_map(|m| m.parts.last()).next_back();
    let asked: Vec<&str> = asked.map(String::as_str).into_iter().collect();
    texts.retain(|text| !asked.iter().any(|other| std::ptr::eq(*other, *text)));
    let mut mask = Mask::new(private, &texts, &asked);
    let messages = prompt.messages.into_iter().map(|message| {
        if ours(&message) {
            return message;
        }
        let parts = message.parts.iter().map(|part| mask.hide(part));
        Message {
            parts: parts.collect(),
            role: message.role,
        }
    });
    let messages = messages.collect();
    (Prompt { messages, ..prompt }, mask)
}

impl Generator for Outside {
    fn generate(&self, prompt: Prompt, cancel: Arc<AtomicBool>) -> Result<Stream, EngineError> {
        if prompt.grammar.is_some() || !prompt.beside.is_empty() {
            return self.unsupported("answers of a given form, and several prompts at once");
        }
        let (prompt, mask) = masked(prompt, &self.terms.private);
        let id = self.enter(&prompt)?;
        let mut inner = match self.server.generate(prompt, cancel) {
            Ok(inner) => inner,
            Err(error) => {
                self.store
                    .ledger()
                    .write(|transaction| outbound::withdraw(transaction, id))
                    .map_err(|error| failed(&error))?;
                return Err(error);
            }
        };
        let (send, result) = promise(LANE);
        let (pieces, receive) = tokio::sync::mpsc::unbounded_channel();
        let (store, terms) = (Arc::clone(&self.store), self.terms.clone());
        let spawned = std::thread::Builder::new()
            .name("coho-outside".into())
            .spawn(move || {
                let mut restoring = Restoring::new(mask.clone());
                let tell = |text: String| {
                    if !text.is_empty() {
                        // Whoever has left hears nothing; the request is closed all the same.
                        let _ = pieces.send(text);
                    }
                };
                while let Some(piece) = inner.pieces.blocking_recv() {
                    tell(restoring.take(&piece));
                }
                tell(restoring.end());
                drop(pieces);
                let outcome = inner.result.wait().map_err(EngineError::from);
                let outcome = outcome.and_then(|outcome| outcome);
                let spent = outcome.as_ref().ok().and_then(|generated| {
                    // A server that does not count: the most that it may have been.
                    (generated.prompt_tokens > 0)
                        .then(|| terms.cost(generated.prompt_tokens, generated.tokens()))
                });
                let unsent = matches!(outcome, Err(EngineError::Unreachable { sent: false, .. }));
                let closed = store.ledger().write(|transaction| {
                    if unsent {
                        return outbound::withdraw(transaction, id);
                    }
                    outbound::close(transaction, id, spent)
                });
                if let Err(error) = closed {
                    tracing::warn!(%error, "how a request ended cannot be written down");
                }
                let _ = send.send(outcome.map(|generated| Generated {
                    text: mask.restore(&generated.text),
                    // They were of the masked text.
                    token_ends: Vec::new(),
                    ..generated
                }));
            });
        spawned.map_err(|error| EngineError::Run {
            reason: error.to_string(),
        })?;
        Ok(Stream {
            pieces: receive,
            result,
        })
    }

    fn score(&self, _: Continuation, _: Arc<AtomicBool>) -> Result<Scored, EngineError> {
        self.unsupported("scoring a given text")
    }

    fn count_tokens(&self, _: Vec<String>) -> Result<Vec<usize>, EngineError> {
        self.unsupported("counting tokens")
    }

    fn describe(&self) -> Result<Description, EngineError> {
        self.unsupported("saying what it is")
    }

    fn loading(&self) -> Option<f32> {
        None
    }

    fn unload_if_idle(&self, _: Duration) {}
}
