//! `flare`: look at the next sentence before it is told; where the model was not sure of its words,
//! search with those of it that it was sure of, and write it again (Jiang et al. 2023, "Active
//! Retrieval Augmented Generation", FLARE-direct with masked queries). What was told is not searched
//! for; where nothing new is found, the model would write the same again, and what it wrote is told.
//!
//! As short answers hardly ever ask for passages by themselves, the question is searched for first.

use super::StepKind;
use super::passages::{Telling, hits_of};
use super::prompt::says_not_found;
use super::work::{SURE, Shown, Work};
use crate::domain::{context, sentence};
use crate::engine::GeneratorHandle;
use crate::engine::generate::{Finish, Generated, Message, Prompt, Role};
use crate::error::Failure;

/// A sentence with a less probable word is not trusted. A guess, above the 0.2 of the original, with
/// which short answers hardly ever lead to a search; not tuned yet.
const LEAST_PROBABILITY: f32 = 0.3;

/// Further searches of one answer at most.
const MOST_SEARCHES: usize = 2;

impl Work<'_> {
    /// See the head of this file.
    pub(super) fn flare(&mut self, generator: &GeneratorHandle) -> Result<bool, Failure> {
        let mut passages = self.evidence();
        let mut said = String::new();
        // What is written again, unless the model does not go on.
        let mut left: (String, Vec<usize>) = Default::default();
        for round in 0..=MOST_SEARCHES {
            let begun = self.begin();
            let (draft, read) = match self.go_on(generator, &passages, &said) {
                // Some servers do not go on from words of their model. What was told stays.
                Err(error) if round > 0 => {
                    self.tell_on(&mut said, &left.0, &left.1);
                    self.end(
                        &begun,
                        StepKind::Draft,
                        format!("not gone on: {error}"),
                        Vec::new(),
                    );
                    break;
                }
                written => written?,
            };
            if self.reader.gone {
                return Ok(false);
            }
            self.cut_off = draft.finish == Finish::Length;
            let sentences = sentence::sentences(&draft.text);
            let sure =
                |n: usize| draft.least_probability(sentences[n].clone()) >= LEAST_PROBABILITY;
            // What was written again is taken as it is.
            let doubtful = (usize::from(round > 0)..sentences.len()).find(|n| !sure(*n));
            let doubtful = doubtful.filter(|_| round < MOST_SEARCHES);
            let kept = doubtful.map_or(draft.text.len(), |n| sentences[n].start);
            let (told, rest) = draft.text.split_at(kept);
            self.tell_on(&mut said, told, &read);
            let outcome = match doubtful {
                Some(n) => format!("not sure of “{}”", &draft.text[sentences[n].clone()]),
                None => "written".to_owned(),
            };
            let seen = vec![("mean_log_prob", draft.mean_log_prob())];
            self.end(&begun, StepKind::Draft, outcome, seen);
            let Some(n) = doubtful else { break };
            let before = self.hits().len();
            let words = draft.sure_part(sentences[n].clone(), SURE);
            let found = if context::content_words(&words).is_empty() {
                0
            } else {
                self.search_again(&words)?
            };
            if found == 0 {
                // From the same passages it would write the same again.
                self.tell_on(&mut said, rest, &read);
                break;
            }
            // As many are read as before; those that were read stay in front, where the model still
            // knows them.
            let kept = passages.len().saturating_sub(found);
            passages.truncate(kept);
            passages.extend(self.passages().split_off(before));
            left = (rest.to_owned(), read);
        }
        if said.is_empty() && !self.reader.gone {
            return Ok(self.quote_instead());
        }
        Ok(says_not_found(&said))
    }

    /// Tells the next part of the answer.
    fn tell_on(&mut self, said: &mut String, part: &str, hits: &[usize]) {
        let part = part.trim();
        if part.is_empty() {
            return;
        }
        if !said.is_empty() {
            said.push(' ');
            self.say(" ");
        }
        said.push_str(part);
        let mut telling = Telling::of(hits.to_vec());
        telling.take(self, part);
        telling.end(self);
    }

    /// Lets the model go on from what was said; what it wrote, and the hits that it read.
    fn go_on(
        &mut self,
        generator: &GeneratorHandle,
        passages: &Shown,
        said: &str,
    ) -> Result<(Generated, Vec<usize>), Failure> {
        let build = |work: &Self, evidence: &[(usize, String)]| -> Prompt {
            let mut prompt = work.prompt(evidence);
            if !said.is_empty() {
                prompt.messages.push(Message::new(Role::Assistant, said));
            }
            prompt
        };
        let written = self.write(generator, passages, &build, &mut |_, _, _| {})?;
        let mut draft = written.text;
        // Some servers begin anew.
        if !said.is_empty() && draft.text.starts_with(said) {
            draft = draft.behind(said.len());
        }
        Ok((draft, hits_of(written.read)))
    }
}
