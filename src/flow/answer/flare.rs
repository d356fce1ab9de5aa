//! `flare`: look at the next sentence before it is told; where the model was not sure of its words,
//! search with those that it was sure of, and write it again (Jiang et al. 2023, "Active Retrieval
//! Augmented Generation", FLARE-direct with masked queries).
//!
//! As short answers hardly ever ask for passages by themselves, the question is searched for first.

use super::StepKind;
use super::passages::Telling;
use super::prompt::says_not_found;
use super::work::{Shown, Work};
use crate::domain::context;
use crate::engine::GeneratorHandle;
use crate::engine::generate::{Generated, Message, Prompt, Role};
use crate::error::Failure;

/// A sentence with a less probable word is not trusted. A guess, above the 0.2 of the original, with
/// which short answers hardly ever lead to a search; not tuned yet.
const LEAST_PROBABILITY: f32 = 0.3;

/// Words less probable are not searched for.
const MASKED_BELOW: f32 = 0.4;

/// Further searches of one answer at most.
const MOST_SEARCHES: usize = 2;

impl Work<'_> {
    /// See the head of this file.
    pub(super) fn flare(&mut self, generator: &GeneratorHandle) -> Result<bool, Failure> {
        let mut passages = self.evidence();
        let mut said = String::new();
        for round in 0..=MOST_SEARCHES {
            let begun = self.begin();
            let draft = self.go_on(generator, &passages, &said)?;
            if self.reader.gone {
                return Ok(false);
            }
            let sentences = context::sentences(&draft.text);
            let sure =
                |n: usize| draft.least_probability(sentences[n].clone()) >= LEAST_PROBABILITY;
            // What was written again is taken as it is.
            let doubtful = (usize::from(round > 0)..sentences.len()).find(|n| !sure(*n));
            let doubtful = doubtful.filter(|_| round < MOST_SEARCHES);
            let kept = doubtful.map_or(draft.text.len(), |n| sentences[n].start);
            let hits: Vec<usize> = passages.iter().map(|(hit, _)| *hit).collect();
            said.push_str(&draft.text[..kept]);
            let mut telling = Telling::of(hits);
            telling.take(self, &draft.text[..kept]);
            telling.end(self);
            let outcome = match doubtful {
                Some(n) => format!("not sure of “{}”", &draft.text[sentences[n].clone()]),
                None => "written".to_owned(),
            };
            let seen = vec![("mean_log_prob", draft.mean_log_prob())];
            self.end(&begun, StepKind::Draft, outcome, seen);
            if doubtful.is_none() {
                break;
            }
            let before = self.hits().len();
            let found = self.search_again(&draft.sure_part(MASKED_BELOW))?;
            // The passages that the doubt brought come first, as many as were read before.
            let anew = self.passages().split_off(before);
            let kept = passages.len().saturating_sub(found);
            let old = passages.into_iter().take(kept);
            passages = anew.into_iter().chain(old).collect();
        }
        Ok(says_not_found(&said))
    }

    fn go_on(
        &mut self,
        generator: &GeneratorHandle,
        passages: &Shown,
        said: &str,
    ) -> Result<Generated, Failure> {
        let build = |work: &Self, evidence: &[(usize, String)]| -> Prompt {
            let mut prompt = work.prompt(evidence);
            if !said.is_empty() {
                prompt.messages.push(Message::new(Role::Assistant, said));
            }
            prompt
        };
        self.generate(generator, passages, &build, &mut |_, _| {})
    }
}
