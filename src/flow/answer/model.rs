//! The language model at work on an answer: it writes, or says how likely a yes is, and what that took
//! is counted.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::prompt::{STOP, conversation};
use super::work::{Shown, Work};
use crate::domain::question;
use crate::engine::generate::{Continuation, Finish, Generated, Message, Prompt, Scored};
use crate::engine::{EngineError, GeneratorHandle};
use crate::error::Failure;

/// What a language model wrote, and the evidence that it read: all, or what it had room for.
pub(super) struct Written<'e> {
    pub text: Generated,
    pub read: &'e [(usize, String)],
}

impl Work<'_> {
    /// Lets the model write; `heard` hears of every piece, and what it is written from. Where the
    /// evidence is too much for the model, the last passage is left out.
    pub(super) fn write<'e>(
        &mut self,
        generator: &GeneratorHandle,
        evidence: &'e Shown,
        build: &dyn Fn(&Self, &[(usize, String)]) -> Prompt,
        heard: &mut dyn FnMut(&mut Self, &[(usize, String)], &str),
    ) -> Result<Written<'e>, Failure> {
        let mut read = evidence.as_slice();
        loop {
            let mut prompt = Prompt {
                goes_on: self.wrote || self.tokens.prompt > 0,
                ..build(self, read)
            };
            if prompt.grammar.is_none() {
                // A server may take only a few: those that were asked for come first.
                prompt
                    .stop
                    .splice(0..0, self.ask.limits.stop.iter().cloned());
            }
            let mut running = generator.generate(prompt, Arc::clone(self.reader.cancel))?;
            while let Some(piece) = running.pieces.blocking_recv() {
                heard(self, read, &piece);
                self.reader.gone |= self.reader.cancel.load(Ordering::Relaxed);
            }
            match running.result.wait().map_err(EngineError::Lane)? {
                // Too much evidence for this model: the last passage is the least.
                Err(EngineError::PromptTooLong { .. }) if read.len() > 1 => {
                    read = &read[..read.len() - 1];
                }
                Err(error) => return Err(error.into()),
                Ok(text) => {
                    self.count(&text);
                    return Ok(Written { text, read });
                }
            }
        }
    }

    /// Counts what was spent on a text.
    fn count(&mut self, text: &Generated) {
        self.wrote = true;
        self.cpu += text.cpu;
        self.reader.gone |= text.finish == Finish::Cancelled;
        self.timing.prefill_ms += text.prefill.as_secs_f64() * 1e3;
        self.timing.generate_ms += text.generate.as_secs_f64() * 1e3;
        self.tokens.prompt += text.prompt_tokens;
        self.tokens.generated += text.tokens();
    }

    /// The probability of a yes, among yes and no, as the model's next word.
    pub(super) fn probability_of_yes(
        &mut self,
        generator: &GeneratorHandle,
        messages: &[Message],
    ) -> Result<f32, EngineError> {
        let mut likelihood = |answer: &str| -> Result<f32, EngineError> {
            let given = Continuation {
                messages: messages.to_vec(),
                answer: answer.into(),
                goes_on: self.wrote || self.tokens.prompt > 0,
            };
            let scored: Scored = generator.score(given, Arc::clone(self.reader.cancel))?;
            self.cpu += scored.cpu;
            self.timing.prefill_ms += scored.took.as_secs_f64() * 1e3;
            self.tokens.prompt += scored.prompt_tokens;
            Ok(scored.log_probs.iter().sum::<f32>())
        };
        let (yes, no) = (likelihood("Yes")?, likelihood("No")?);
        self.reader.gone |= self.reader.cancel.load(Ordering::Relaxed);
        Ok(1.0 / (1.0 + (no - yes).exp()))
    }

    /// Evidence, then the question.
    pub(super) fn prompt(&self, evidence: &[(usize, String)]) -> Prompt {
        Prompt {
            stop: STOP.map(str::to_owned).to_vec(),
            ..Prompt::new(
                conversation(&self.titled(evidence), &self.task()),
                self.most_tokens(),
            )
        }
    }

    /// Tokens that one text may have.
    pub(super) fn most_tokens(&self) -> usize {
        let allowed = self.parts.options.max_tokens;
        let wanted = self.ask.limits.max_tokens;
        wanted.map_or(allowed, |wanted| wanted.min(allowed))
    }

    /// Evidence with what it is about.
    pub(super) fn titled(&self, evidence: &[(usize, String)]) -> Vec<(String, String)> {
        let titled = evidence.iter();
        titled
            .map(|(hit, text)| (self.hits()[*hit].hit.about(), text.clone()))
            .collect()
    }

    /// The question, as the model reads it.
    pub(super) fn task(&self) -> String {
        let yes_or_no = if question::is_polar(self.question()) {
            " Begin with yes or no."
        } else {
            ""
        };
        format!("Question: {}{yes_or_no}", self.question().trim())
    }
}
