//! `cascade`: the cheapest thing that holds up.
//!
//! It spends nothing where the notes do not cover the question, or where the best sentence shows that
//! they speak of something else (see [`doubt`]). A language model that reads well
//! writes from the best sentences instead of whole passages; what it wrote is told when a sentence
//! supports it and the model was sure of it. Otherwise coho looks further: another search with the
//! words that the model was sure of, other sentences, a second draft; then one repair from the
//! single best sentence. What still does not hold is not told: the notes are quoted.
//!
//! A model that does not read well (`coho models bench` measures it) is not asked to write: its
//! drafts lose what the sentences hold that they are written from (see `reading`).
//! Quotes need no language model, and cost next to nothing: the best sentences are weighed by the
//! embedding model, too, and as many are quoted as are nearly as good as the best, after another
//! search where that one leaves words of the question open. So a model that fails, however it does, is
//! told as a step, and takes no answer with it.
//!
//! Where the owner called an answer to the question bad, there are quotes alone, of what that answer did
//! not quote: neither the model nor a yes or a no is asked for again. A verdict from the next best
//! sentences would be right as often as not (36 times of 68, questions of `boolq_dev` and `fm2`).
//!
//! Of what its steps tell to have seen, these decide: `best_cosine` and `coverage` (is there anything
//! near), the doubts but for `doubt_extreme` (is it of something else), `mean_log_prob` (is a draft
//! told), `lanes_agree` (is searched again behind a draft that is not), `yes` and `yes_without_notes`
//! (the verdict). `margin`, `best_sentence`, `sentence_margin`, `least_probability` and `doubt_extreme`
//! are there to be looked at, and for the curves of `coho eval`: none of them tells well enough by
//! itself what the notes do not hold (`eval/README.md`, "Refusing"). `best_sentence_coverage` decides
//! nothing here, but whether writeback takes retrieval to have been sure.

use std::ops::Range;

use super::passages::hits_of;
use super::prompt::{conversation, says_not_found, unit_prompt, without_lead_in};
use super::quotes::correction_of;
use super::work::{Begun, ONE, SURE, Sentence, Shown, Work};
use super::{MODEL_FAILED, StepKind};
use crate::domain::context::Portion;
use crate::domain::doubt::{self, Stance};
use crate::domain::sentence;
use crate::domain::sentence::code::Code;
use crate::domain::unit::{State, Unit};
use crate::domain::{context, gate, question};
use crate::engine::generate::{Finish, Generated, Prompt};
use crate::engine::llama::states;
use crate::engine::{EngineError, GeneratorHandle};
use crate::error::Failure;

/// What the first draft is written from; the words are those of the settings.
const FIRST: Portion = Portion {
    count: 2,
    words: 0,
    share: 0.85,
};

/// The same for the second draft; sentences of the first are not shown again.
const SECOND: Portion = Portion {
    count: 4,
    words: 0,
    share: 0.5,
};

/// Quotes where nothing is drafted, or no draft holds up.
const QUOTES: Portion = Portion {
    count: 4,
    words: 120,
    share: 0.75,
};

/// Quotes beside those of a unit.
const BESIDE: Portion = Portion {
    count: 2,
    words: 60,
    share: 0.75,
};

/// Quotes that stand behind a verdict.
const GROUNDS: Portion = Portion {
    count: 2,
    words: 80,
    share: 0.75,
};

/// Where the best sentence holds less of the question's words, another search is made.
const LEAST_HELD: f32 = 0.5;

/// A supported claim: its text, the hit that supports it, and where in that hit.
type Supported = (String, usize, Range<usize>);

impl Work<'_> {
    /// See the head of this file.
    pub(super) fn cascade(&mut self, generator: Option<&GeneratorHandle>) -> Result<bool, Failure> {
        let judged = self.was_called_bad();
        let writer = generator.filter(|_| self.parts.options.drafts && !judged);
        let polar = question::is_polar(self.question());
        if let Some((unit, sentences)) = self.recalled().filter(|_| !polar)
            && let Some(abstained) = self.recall(writer, &unit, sentences)
        {
            return Ok(abstained);
        }
        self.weigh_sentences()?;
        if let Some(why) = self.doubted() {
            return Ok(self.refuse(&why));
        }
        if polar && !judged {
            return Ok(self.verdict(writer));
        }
        match writer {
            Some(writer) => self.drafts(writer),
            None => self.quotes(),
        }
    }

    /// Quotes, without a language model.
    fn quotes(&mut self) -> Result<bool, Failure> {
        self.look_further()?;
        Ok(self.quote_or_list(QUOTES))
    }

    /// Answers from a unit: in the model's words, or, where these do not hold up, with what it took from
    /// the notes and the best sentence beside it. `None` where the model reads it and says that it does
    /// not tell.
    fn recall(
        &mut self,
        writer: Option<&GeneratorHandle>,
        unit: &Unit,
        sentences: Vec<Sentence>,
    ) -> Option<bool> {
        let begun = self.begin();
        let outcome = format!("unit {}", unit.id);
        self.end(&begun, StepKind::Recall, outcome, Vec::new());
        if let Some(writer) = writer {
            let evidence = self.shown(&sentences);
            let build = |work: &Self, _: &[(usize, String)]| {
                unit_prompt(unit, &work.task(), work.most_tokens())
            };
            let drafted = self.draft(writer, StepKind::Draft, &evidence, &build);
            self.leave_no_state(unit);
            if let Some((draft, claims)) = drafted {
                let holds_up = self.reader.gone || self.holds_up(&draft, &claims);
                if !holds_up && says_not_found(&draft.text) {
                    return None;
                }
                if holds_up {
                    self.lead(unit, &sentences);
                    if !self.reader.gone {
                        self.tell_all(&draft, &claims);
                    }
                    return Some(false);
                }
            }
        }
        self.lead(unit, &sentences);
        let mut quoted = sentences;
        let beside = self.sentences(0..self.hits().len(), BESIDE);
        for sentence in beside {
            if !quoted.contains(&sentence) {
                quoted.push(sentence);
            }
        }
        Some(self.quote_these(quoted))
    }

    /// What the model has read of a unit goes from the disk again where the unit went out of use
    /// meanwhile.
    fn leave_no_state(&self, unit: &Unit) {
        let store = self.parts.searcher.store;
        match store.ledger().read(|s| s.unit_beginning(&unit.id)) {
            Ok(Some(now)) if now.state == State::Active => {}
            Ok(_) => states::drop_where(&store.states(), |owner| owner == unit.id),
            Err(error) => tracing::warn!(%error, "whether a unit is in use cannot be read"),
        }
    }

    /// Notes that a unit led to its sentences: once they are told, not before.
    fn lead(&mut self, unit: &Unit, sentences: &[Sentence]) {
        for (hit, _) in sentences {
            self.led_by(*hit, &unit.id);
        }
    }

    /// Searches again, with the words of the best sentence, where it leaves much of the question
    /// open: what it names may be what the rest is about.
    fn look_further(&mut self) -> Result<(), Failure> {
        let Some((hit, span)) = self.best_sentence() else {
            return Ok(());
        };
        let sentence = self.text_of(hit)[span].to_owned();
        if context::coverage(self.asked(), &[&sentence]) < LEAST_HELD {
            self.search_again(&sentence)?;
            self.weigh_sentences()?;
        }
        Ok(())
    }

    /// Lets the model write, checks it, and looks further where that does not hold.
    fn drafts(&mut self, generator: &GeneratorHandle) -> Result<bool, Failure> {
        // A word is about one token and a half.
        let words = self.parts.options.evidence_tokens * 2 / 3;
        let mut first = self.with_partners(&self.sentences(0..3, Portion { words, ..FIRST }));
        if first.is_empty() {
            return self.quotes();
        }
        // Another search changes the order; this is what the first draft was written from.
        let best = self.sentences(0..3, ONE);
        let Some((draft, claims)) = self.draft_from(generator, &mut first) else {
            return self.quotes();
        };
        if self.reader.gone || self.tell_all(&draft, &claims) {
            return Ok(false);
        }
        let sure_of = draft.sure_part(0..draft.text.len(), SURE);
        let agree = self.seen(StepKind::Judge, "lanes_agree");
        if agree.is_some_and(|agree| agree < 0.5) && !sure_of.trim().is_empty() {
            self.search_again(&sure_of)?;
            self.weigh_sentences()?;
        }
        let other = self.sentences(0..self.hits().len(), Portion { words, ..SECOND });
        let mut other = self.with_partners(&other);
        other.retain(|sentence| !first.contains(sentence));
        if !other.is_empty() {
            let Some((second, claims)) = self.draft_from(generator, &mut other) else {
                return self.quotes();
            };
            if self.reader.gone || self.tell_all(&second, &claims) {
                return Ok(false);
            }
        }
        if claims.is_empty() && !says_not_found(&draft.text) {
            let evidence = self.shown(&best);
            let repaired = self.draft(generator, StepKind::Repair, &evidence, &Self::repair);
            let Some((repaired, claims)) = repaired else {
                return self.quotes();
            };
            if self.reader.gone || self.tell_all(&repaired, &claims) {
                return Ok(false);
            }
        }
        Ok(self.quote_or_list(QUOTES))
    }

    /// A draft from as many of these sentences as fit, as [`Self::draft`]; the others are left out of
    /// them. A model that fails as it counts is not waited for once more to write.
    fn draft_from(
        &mut self,
        generator: &GeneratorHandle,
        sentences: &mut Vec<Sentence>,
    ) -> Option<(Generated, Vec<Supported>)> {
        let begun = self.begin();
        if let Err(error) = self.keep_to_budget(generator, sentences) {
            self.model_failed(&begun, StepKind::Draft, &Failure::from(error));
            return None;
        }
        let evidence = self.shown(sentences);
        self.draft(generator, StepKind::Draft, &evidence, &Self::prompt)
    }

    /// Leaves as many of these sentences as the budget of tokens allows, by the model's own tokenizer,
    /// one at least. A model that cannot count is given all: they were chosen by their words.
    pub(super) fn keep_to_budget(
        &self,
        generator: &GeneratorHandle,
        sentences: &mut Vec<Sentence>,
    ) -> Result<(), EngineError> {
        let texts = sentences
            .iter()
            .map(|(hit, span)| self.text_of(*hit)[span.clone()].to_owned());
        let counts = match generator.count_tokens(texts.collect()) {
            Ok(counts) => counts,
            Err(EngineError::Unsupported { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut spent = 0;
        let fitting = counts.iter().take_while(|count| {
            spent += *count;
            spent <= self.parts.options.evidence_tokens
        });
        let fitting = fitting.count();
        sentences.truncate(fitting.max(1));
        Ok(())
    }

    /// A draft, and what of it the evidence supports; `None` where the model fails, which is told.
    fn draft(
        &mut self,
        generator: &GeneratorHandle,
        kind: StepKind,
        evidence: &Shown,
        build: &dyn Fn(&Self, &[(usize, String)]) -> Prompt,
    ) -> Option<(Generated, Vec<Supported>)> {
        let begun = self.begin();
        let written = match self.write(generator, evidence, build, &mut |_, _, _| {}) {
            Ok(written) => written,
            Err(failure) => {
                self.model_failed(&begun, kind, &failure);
                return None;
            }
        };
        let (draft, read) = (written.text, written.read);
        let claims = self.verified(&draft, read);
        let missing = self.missing(&draft.text, &hits_of(read));
        let outcome = match (claims.len(), missing.first()) {
            (0, Some(missing)) => format!("no passage holds {missing}"),
            (0, None) => "without support".to_owned(),
            _ => "supported".to_owned(),
        };
        let least = draft.least_probability(0..draft.text.len());
        let seen = vec![
            ("mean_log_prob", draft.mean_log_prob()),
            ("least_probability", least),
        ];
        self.end(&begun, kind, outcome, seen);
        Some((draft, claims))
    }

    /// Tells that the model failed in a step.
    fn model_failed(&mut self, begun: &Begun, kind: StepKind, failure: &Failure) {
        // A server may say again what it was sent: not for logs.
        tracing::warn!(code = failure.code(), "the language model failed");
        let outcome = format!("{MODEL_FAILED}{}", failure.whole());
        self.end(begun, kind, outcome, Vec::new());
    }

    fn repair(&self, evidence: &[(usize, String)]) -> Prompt {
        let mut prompt = self.prompt(evidence);
        if let Some(message) = prompt.messages.last_mut() {
            let task = "\nCopy the words of the note that answer it.";
            message.parts.push(task.into());
        }
        prompt
    }

    /// Is something of a draft supported, and was the model sure of it, as far as that is known?
    fn holds_up(&self, draft: &Generated, claims: &[Supported]) -> bool {
        let sure = draft.mean_log_prob() >= self.parts.options.least_log_prob;
        !claims.is_empty() && (sure || !draft.is_weighed())
    }

    /// Tells the claims of a draft that holds up; says whether it did.
    fn tell_all(&mut self, draft: &Generated, claims: &[Supported]) -> bool {
        if !self.holds_up(draft, claims) {
            return false;
        }
        self.told = true;
        for (claim, hit, span) in claims {
            self.tell(claim, *hit, span.clone());
        }
        self.cut_off = draft.finish == Finish::Length;
        true
    }

    /// Yes or no, and what the notes say. Where no sentence states what is asked, or its contrary,
    /// the verdict is marked as without support; where none comes near to that, there is none.
    ///
    /// A model that reads well is asked: how much likelier the evidence makes a yes decides, so that
    /// a model's liking for one of them does not (contextual calibration, Zhao et al. 2021). Without
    /// one, the sentences decide (see [`doubt::stance`]); one that holds nearly all words of the
    /// question makes a yes likely, for people ask more for what is so (62 of 100 questions of
    /// `BoolQ`).
    fn verdict(&mut self, writer: Option<&GeneratorHandle>) -> bool {
        let mut begun = self.begin();
        let mut grounds = self.sentences(0..self.hits().len(), GROUNDS);
        let Some(best) = self.best_sentence() else {
            return self.refuse("no sentence to judge by");
        };
        let believed = match writer.map(|writer| self.belief(writer, &grounds)) {
            None => None,
            Some(Ok(believed)) => believed,
            Some(Err(error)) => {
                self.model_failed(&begun, StepKind::Reflect, &Failure::from(error));
                begun = self.begin();
                None
            }
        };
        if self.reader.gone {
            return false;
        }
        grounds.retain(|sentence| *sentence != best);
        grounds.insert(0, best);
        let stances: Vec<Stance> = grounds.iter().map(|ground| self.stance(ground)).collect();
        let (says_yes, seen) = if let Some((yes, blind)) = believed {
            let seen = vec![("yes", yes), ("yes_without_notes", blind)];
            (Some(yes >= blind), seen)
        } else {
            (verdict_of(&stances), Vec::new())
        };
        self.told |= believed.is_some();
        let outcome = match says_yes {
            Some(true) => "yes",
            Some(false) => "no",
            None => "open",
        };
        self.end(&begun, StepKind::Reflect, outcome, seen);
        if let Some(says_yes) = says_yes {
            let states = |stance: &Stance| *stance == Stance::States(says_yes);
            let stating = stances.iter().position(states);
            self.tell_verdict(says_yes, stating.map(|at| grounds.swap_remove(at)));
        }
        self.quote(GROUNDS)
    }

    /// Tells a verdict with the sentence that states it, or without support.
    fn tell_verdict(&mut self, says_yes: bool, stating: Option<Sentence>) {
        if let Some((hit, span)) = stating {
            self.tell(if says_yes { "Yes." } else { "No." }, hit, span);
            return;
        }
        self.tell_unsupported(if says_yes {
            "Yes, it seems."
        } else {
            "No, it seems."
        });
    }

    /// What a sentence says to the question.
    fn stance(&self, sentence: &Sentence) -> Stance {
        let text = self.text_of(sentence.0);
        // `enabled = false` states nothing that words tell, nor does what is taken back behind it.
        let is_code = Code::of(text).is(&sentence.1);
        if is_code || !correction_of(text, &sentence.1).is_empty() {
            return Stance::Open;
        }
        // Under "Never do the following:" or "If it rains:" it says neither.
        if gate::limiting(text, &sentence.1).is_some() {
            return Stance::Unsettled;
        }
        let text = &text[sentence.1.clone()];
        let above = self.above(sentence);
        let around = self.around(sentence, &above);
        doubt::stance(self.question(), text, &around, &above)
    }

    /// The probability of a yes with the notes and without; `None` from a model that cannot say.
    fn belief(
        &mut self,
        writer: &GeneratorHandle,
        sentences: &[Sentence],
    ) -> Result<Option<(f32, f32)>, EngineError> {
        let evidence = self.titled(&self.shown(&self.with_partners(sentences)));
        let task = self.task();
        let mut yes = |evidence: &[(String, String)]| {
            self.probability_of_yes(writer, &conversation(evidence, &task))
        };
        match yes(&evidence).and_then(|with| Ok((with, yes(&[])?))) {
            Ok(both) => Ok(Some(both)),
            Err(EngineError::Unsupported { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The sentences of a draft that the evidence supports, each with its support; ends at the
    /// first that it does not. A draft that says nothing beyond the question supports nothing.
    fn verified(&self, draft: &Generated, evidence: &[(usize, String)]) -> Vec<Supported> {
        let mut claims = Vec::new();
        if says_not_found(&draft.text) {
            return claims;
        }
        let draft = without_lead_in(&draft.text);
        for span in sentence::sentences(draft) {
            let sentence = &draft[span];
            let Some((part, hit, place)) = self.supported_part(sentence, evidence) else {
                break;
            };
            let whole = part.len() == sentence.len();
            claims.push((part.to_owned() + if whole { "" } else { "." }, hit, place));
            if !whole {
                break;
            }
        }
        claims
    }
}

/// The verdict of sentences, best first: what one of them states goes before what the first suggests
/// that speaks of it. Where that leaves it open, or another one suggests the contrary, nobody decides;
/// nor where one of them disputes it, whatever the others state: words do not tell which came later.
fn verdict_of(stances: &[Stance]) -> Option<bool> {
    if stances.contains(&Stance::Disputes) {
        return None;
    }
    let states = |stance: &&Stance| matches!(stance, Stance::States(_));
    let speaks = |stance: &&Stance| **stance != Stance::Open;
    if let Some(stating) = stances.iter().find(states) {
        return stating.says_yes();
    }
    let first = stances.iter().find(speaks)?.says_yes()?;
    let agree = |stance: &Stance| stance.says_yes().is_none_or(|yes| yes == first);
    stances.iter().all(agree).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_decides_before_what_is_likely() {
        let check = |stances: &[Stance], expected: Option<bool>| {
            assert_eq!(verdict_of(stances), expected, "{stances:?}");
        };
        check(
            &[Stance::Suggests(true), Stance::States(false)],
            Some(false),
        );
        check(&[Stance::Suggests(false), Stance::Open], Some(false));
        check(&[Stance::Open, Stance::Suggests(true)], Some(true));
        check(&[Stance::Unsettled, Stance::Suggests(true)], None);
        check(&[Stance::Suggests(true), Stance::Suggests(false)], None);
        check(&[Stance::Open, Stance::States(true)], Some(true));
        check(&[Stance::Disputes, Stance::States(true)], None);
        check(&[Stance::States(true), Stance::Disputes], None);
        check(&[], None);
    }
}
