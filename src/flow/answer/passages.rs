//! `naive` and `replug`: whole passages, in one prompt or in one each; words as they come. And answers
//! of a given form.

use std::ops::Range;

use serde_json::Value;

use super::prompt::says_not_found;
use super::work::{Shown, Work};
use super::{Amount, StepKind};
use crate::domain::context::Portion;
use crate::domain::sentence;
use crate::engine::GeneratorHandle;
use crate::engine::generate::{Finish, Grammar, MOST_PROMPTS, Prompt};
use crate::error::{BadRequest, Failure};

/// How much a passage that scores a tenth less has to say: 1/e of it.
const REPLUG_TEMPERATURE: f32 = 0.1;

/// How many times the tokens of an answer one of a given form may have: names, quotes and brackets
/// take their share, and half of a form is none.
const TOKENS_OF_FORM: usize = 4;

impl Work<'_> {
    /// All passages in one prompt.
    pub(super) fn naive(&mut self, generator: &GeneratorHandle) -> Result<bool, Failure> {
        let passages = self.evidence();
        self.stream(generator, &passages, &Self::prompt)
    }

    /// So much evidence in one prompt.
    pub(super) fn write_from(&mut self, amount: Amount) -> Result<bool, Failure> {
        let Some(generator) = self.parts.generator else {
            return Ok(self.refuse("there is no language model"));
        };
        let evidence = match amount {
            Amount::Sentences(count) => {
                let all = 0..self.hits().len();
                let portion = Portion {
                    count,
                    words: usize::MAX,
                    share: 0.0,
                };
                self.shown(&self.sentences(all, portion))
            }
            Amount::Passages(count) => {
                let mut passages = self.passages();
                passages.truncate(count);
                passages
            }
        };
        self.stream(generator, &evidence, &Self::prompt)
    }

    /// JSON of a given form, from the best sentences.
    ///
    /// # Errors
    /// [`BadRequest`] where it did not come to an end within its tokens.
    pub(super) fn structured(
        &mut self,
        generator: &GeneratorHandle,
        schema: &str,
    ) -> Result<bool, Failure> {
        if !self.covered() {
            return Ok(self.refuse("the notes do not cover the question"));
        }
        self.weigh_sentences()?;
        if let Some(why) = self.doubted() {
            return Ok(self.refuse(&why));
        }
        let begun = self.begin();
        let words = self.parts.options.evidence_tokens * 2 / 3;
        let portion = Portion {
            count: 6,
            words,
            share: 0.5,
        };
        let sentences = self.sentences(0..self.hits().len(), portion);
        let mut sentences = self.with_partners(&sentences);
        if sentences.is_empty() {
            return Ok(self.refuse("no sentence to write from"));
        }
        self.keep_to_budget(generator, &mut sentences)?;
        let evidence = self.shown(&sentences);
        let allowed = self.parts.options.max_tokens * TOKENS_OF_FORM;
        let wanted = self.ask.limits.max_tokens;
        let most = wanted.map_or(allowed, |wanted| wanted.min(allowed));
        let build = |work: &Self, evidence: &[(usize, String)]| Prompt {
            grammar: Some(Grammar::JsonSchema(schema.to_owned())),
            stop: Vec::new(),
            max_tokens: most,
            ..work.prompt(evidence)
        };
        self.told = true;
        let written = self.write(generator, &evidence, &build, &mut |work, _, piece| {
            work.say(piece);
        })?;
        let (draft, read) = (written.text, written.read);
        if draft.finish == Finish::Length {
            return Err(BadRequest::new(
                "answer_cut_off",
                format!("the answer does not fit its form within {most} tokens"),
                "ask for a smaller form, or raise `answer.max_tokens`",
            )
            .into());
        }
        for (hit, span) in sentences {
            if read.iter().any(|(shown, _)| *shown == hit) {
                self.cite(hit, span);
            }
        }
        if !self.reader.gone {
            self.check_form(&draft.text, &hits_of(read));
        }
        let seen = vec![("mean_log_prob", draft.mean_log_prob())];
        self.end(
            &begun,
            StepKind::Draft,
            "written in the form that was asked for",
            seen,
        );
        Ok(false)
    }

    /// Looks for the support of what some JSON says. It stays as it was told: a mark would be no part of
    /// its form.
    fn check_form(&mut self, form: &str, hits: &[usize]) {
        // Not every server keeps to a form; what is no JSON is looked for as it stands.
        let form = serde_json::from_str(form).unwrap_or_else(|_| Value::from(form));
        let mut said = Vec::new();
        values_of(&form, &mut said);
        said.retain(|value| !says_not_found(value));
        for value in said {
            let claim = self.checked(&value, hits);
            self.claims.push(claim);
        }
    }

    /// A prompt for each passage; all have a say in every word.
    pub(super) fn replug(&mut self, generator: &GeneratorHandle) -> Result<bool, Failure> {
        let mut passages = self.evidence();
        passages.truncate(MOST_PROMPTS);
        self.stream(generator, &passages, &Self::ensemble)
    }

    fn stream(
        &mut self,
        generator: &GeneratorHandle,
        passages: &Shown,
        build: &dyn Fn(&Self, &[(usize, String)]) -> Prompt,
    ) -> Result<bool, Failure> {
        let begun = self.begin();
        let mut telling = Telling::of(hits_of(passages));
        let written = self.write(generator, passages, build, &mut |work, read, piece| {
            telling.reads(read);
            telling.take(work, piece);
        })?;
        telling.end(self);
        let draft = written.text;
        self.cut_off = draft.finish == Finish::Length;
        let seen = vec![("mean_log_prob", draft.mean_log_prob())];
        let nothing = draft.text.trim().is_empty();
        let outcome = if nothing {
            "nothing was written"
        } else {
            "written"
        };
        self.end(&begun, StepKind::Draft, outcome, seen);
        if !self.reader.gone && nothing {
            return Ok(self.quote_instead());
        }
        Ok(!self.reader.gone && says_not_found(&draft.text))
    }

    /// A prompt for each passage, with weights that are the softmax of the passages' scores (Shi et
    /// al. 2023, REPLUG).
    fn ensemble(&self, evidence: &[(usize, String)]) -> Prompt {
        let score = |(hit, _): &(usize, String)| self.hits()[*hit].hit.score;
        let best = evidence.iter().map(score).fold(f32::MIN, f32::max);
        let weights = evidence
            .iter()
            .map(|passage| ((score(passage) - best) / REPLUG_TEMPERATURE).exp());
        let weights: Vec<f32> = weights.collect();
        let sum: f32 = weights.iter().sum();
        let alone = |passage: &(usize, String)| self.prompt(std::slice::from_ref(passage));
        let beside = evidence.iter().zip(&weights).skip(1);
        Prompt {
            beside: beside
                .map(|(passage, weight)| (alone(passage).messages, weight / sum))
                .collect(),
            ..self.prompt(&evidence[..evidence.len().min(1)])
        }
    }
}

/// The hits that evidence is from.
pub(super) fn hits_of(evidence: &[(usize, String)]) -> Vec<usize> {
    evidence.iter().map(|(hit, _)| *hit).collect()
}

/// The numbers of some JSON, and the sentences of its texts; a name is one, too.
fn values_of(form: &Value, found: &mut Vec<String>) {
    match form {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) => {
            let written = number.to_string();
            // 9.0 is 9.
            found.push(written.trim_end_matches(".0").to_owned());
        }
        Value::String(text) => {
            let sentences = sentence::sentences(text).into_iter();
            found.extend(sentences.map(|span| text[span].to_owned()));
        }
        Value::Array(items) => items.iter().for_each(|item| values_of(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| values_of(field, found)),
    }
}

/// Tells a text while it is written; each sentence is checked and marked when it has ended.
pub(super) struct Telling {
    /// Hits that the model was shown.
    hits: Vec<usize>,
    text: String,
    /// Up to where it was told.
    told: usize,
    /// Up to where it was marked.
    marked: usize,
}

impl Telling {
    pub(super) fn of(hits: Vec<usize>) -> Self {
        Self {
            hits,
            text: String::new(),
            told: 0,
            marked: 0,
        }
    }

    /// Only what the model reads can support what it writes.
    fn reads(&mut self, read: &[(usize, String)]) {
        if self.hits.len() != read.len() {
            self.hits = hits_of(read);
        }
    }

    /// Takes a piece of the text.
    pub(super) fn take(&mut self, work: &mut Work<'_>, piece: &str) {
        self.text.push_str(piece);
        // A sentence has ended when another has begun. All of the text is read anew: a fence far above
        // makes code of what is below it.
        while let [sentence, _, ..] = self.unmarked().as_slice() {
            let sentence = sentence.clone();
            self.tell_to(work, sentence.end);
            work.mark(&self.text[sentence.clone()], &self.hits);
            self.marked = sentence.end;
        }
        self.tell_to(work, self.text.len());
    }

    /// Marks what is left.
    pub(super) fn end(&self, work: &mut Work<'_>) {
        for sentence in self.unmarked() {
            work.mark(&self.text[sentence], &self.hits);
        }
    }

    fn unmarked(&self) -> Vec<Range<usize>> {
        let mut sentences = sentence::sentences(&self.text);
        sentences.retain(|sentence| sentence.start >= self.marked);
        sentences
    }

    fn tell_to(&mut self, work: &mut Work<'_>, end: usize) {
        if self.told < end {
            work.told = true;
            work.say(&self.text[self.told..end]);
            self.told = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_form_says_is_found_at_any_depth() {
        let form = json!({
            "who": "Frau Adler",
            "paid": true,
            "litres": 2.0,
            "visits": [{ "year": 2023, "said": "It leaks. It is old." }, { "year": null, "said": " " }],
        });
        let mut found = Vec::new();
        values_of(&form, &mut found);
        let expected = ["Frau Adler", "2", "2023", "It leaks.", "It is old."];
        assert_eq!(found, expected);
    }
}
