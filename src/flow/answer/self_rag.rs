//! `self-rag`, prompted: an answer from each passage, and the model's own opinion of each (after
//! Asai et al. 2023, "Self-RAG").
//!
//! The original needs a model that was trained to say special tokens. Ours asks any model the same
//! three questions in words (is the passage relevant, does it support the answer, is the answer
//! useful) and reads the probability of a yes from the logits.

use super::StepKind;
use super::passages::Telling;
use super::prompt::{conversation, says_not_found};
use super::work::Work;
use crate::engine::GeneratorHandle;
use crate::engine::generate::{Finish, Generated};
use crate::error::Failure;

/// Weights of the three opinions, as in the original's inference.
const WEIGHTS: [f32; 3] = [1.0, 1.0, 0.5];

impl Work<'_> {
    /// See the head of this file.
    pub(super) fn self_rag(&mut self, generator: &GeneratorHandle) -> Result<bool, Failure> {
        let mut best: Option<(f32, usize, Generated)> = None;
        let mut wrote = false;
        for passage in self.evidence() {
            let begun = self.begin();
            let hit = passage.0;
            let evidence = vec![passage];
            let written = self.write(generator, &evidence, &Self::prompt, &mut |_, _, _| {})?;
            let draft = written.text;
            if self.reader.gone {
                return Ok(false);
            }
            let titled = self.titled(&evidence);
            let question = self.question().trim().to_owned();
            let said = draft.text.trim();
            wrote |= !said.is_empty();
            // Each begins as the one before it: what they have in common is read once.
            let asked = format!("Question: {question}");
            let answered = format!("{asked}\nAnswer: {said}");
            let opinions = [
                format!("{asked}\nIs the note relevant to the question? Say yes or no."),
                format!("{answered}\nDoes the note support the answer? Say yes or no."),
                format!("{answered}\nIs the answer useful? Say yes or no."),
            ];
            let mut score = draft.mean_log_prob().exp();
            let mut yes = [0.0; 3];
            for (n, opinion) in opinions.iter().enumerate() {
                yes[n] = self.probability_of_yes(generator, &conversation(&titled, opinion))?;
                score += WEIGHTS[n] * yes[n];
            }
            if self.reader.gone {
                return Ok(false);
            }
            let seen = vec![
                ("mean_log_prob", draft.mean_log_prob()),
                ("relevant", yes[0]),
                ("supported", yes[1]),
                ("useful", yes[2]),
                ("score", score),
            ];
            self.end(
                &begun,
                StepKind::Reflect,
                format!("from passage {}", hit + 1),
                seen,
            );
            if best.as_ref().is_none_or(|(least, ..)| score > *least) && !says_not_found(said) {
                best = Some((score, hit, draft));
            }
        }
        let Some((_, hit, draft)) = best else {
            if !wrote && !self.hits().is_empty() {
                return Ok(self.quote_instead());
            }
            return Ok(self.refuse("no passage gave an answer"));
        };
        let mut telling = Telling::of(vec![hit]);
        self.cut_off = draft.finish == Finish::Length;
        telling.take(self, draft.text.trim());
        telling.end(self);
        Ok(false)
    }
}
