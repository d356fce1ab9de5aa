//! Asking a question in one of the ways that are compared, and scoring what came of it.
//!
//! Nothing of it enters a ledger: questions of an evaluation set are not the owner's.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::answer::{
    self, Amount, Answer, AnswerOptions, Answerer, Ask, Step, StepKind, Strategy,
};
use super::super::search::millis;
use super::set::{EvaluationSet, SetQuestion};
use super::{count, flag};
use crate::domain::doubt::Doubt;
use crate::domain::measure::mean;
use crate::domain::scoring::score;
use crate::energy::Meter;
use crate::engine::generate::{Message, Prompt, Role};
use crate::engine::{EngineError, GeneratorHandle};
use crate::error::Failure;
use crate::store::StoreError;
use crate::store::feedback::CalledBad;
use crate::store::units::UseUnits;

/// What is measured: a strategy, or the language model alone.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The language model without any notes.
    ClosedBook,
    /// The best sentences, quoted.
    Extractive,
    /// Whole passages in one prompt.
    Naive,
    /// A prompt for each passage; all have a say in every word.
    Replug,
    /// Passages, and more of them where the model is not sure of its words.
    Flare,
    /// An answer from each passage; the model's own opinion of them decides.
    SelfRag,
    /// The cheapest thing that holds up.
    Cascade,
    /// As `cascade`, with the model writing however well it reads.
    CascadeDrafts,
    /// As `cascade`; where that is wrong it is called bad, and asked again.
    CascadeCalledBad,
    /// The model writes from the best sentence.
    Sentence,
    /// From the best two.
    TwoSentences,
    /// From the best four.
    FourSentences,
    /// From the best eight.
    EightSentences,
    /// From the best passage.
    Passage,
    /// From the best three.
    ThreePassages,
}

/// How a question is put.
enum Way {
    ClosedBook,
    By(Strategy),
    Drafts,
    CalledBad,
    From(Amount),
}

impl Method {
    /// Does it ask the language model, whichever it is?
    pub fn needs_model(self) -> bool {
        !matches!(
            self,
            Self::Extractive | Self::Cascade | Self::CascadeCalledBad
        )
    }

    /// As it is written on the command line.
    pub fn name(self) -> String {
        use clap::ValueEnum;
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn way(self) -> Way {
        match self {
            Self::ClosedBook => Way::ClosedBook,
            Self::Extractive => Way::By(Strategy::Extractive),
            Self::Naive => Way::By(Strategy::Naive),
            Self::Replug => Way::By(Strategy::Replug),
            Self::Flare => Way::By(Strategy::Flare),
            Self::SelfRag => Way::By(Strategy::SelfRag),
            Self::Cascade => Way::By(Strategy::Cascade),
            Self::CascadeDrafts => Way::Drafts,
            Self::CascadeCalledBad => Way::CalledBad,
            Self::Sentence => Way::From(Amount::Sentences(1)),
            Self::TwoSentences => Way::From(Amount::Sentences(2)),
            Self::FourSentences => Way::From(Amount::Sentences(4)),
            Self::EightSentences => Way::From(Amount::Sentences(8)),
            Self::Passage => Way::From(Amount::Passages(1)),
            Self::ThreePassages => Way::From(Amount::Passages(3)),
        }
    }
}

/// What was said, and what it scores.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    /// Without the marks of citations.
    pub said: String,
    /// Measures, by name.
    pub values: BTreeMap<String, f64>,
    /// What its steps saw, by name.
    pub seen: BTreeMap<String, f32>,
}

impl Asked {
    fn note(&mut self, name: &str, value: f64) {
        self.values.insert(name.to_owned(), value);
    }
}

/// Asks one question and scores what came of it. Without a golden answer only what was spent, and
/// whether it was refused, is told.
///
/// # Errors
/// What the store and the models say.
pub fn put(
    parts: &Answerer<'_>,
    set: &EvaluationSet,
    question: &SetQuestion,
    (method, k): (Method, usize),
    units: UseUnits,
) -> Result<Asked, Failure> {
    let (text, golden) = asked(question);
    let mut outcome = Asked::default();
    let mut ask = Ask {
        id: question.id.clone(),
        question: text,
        strategy: Strategy::Cascade,
        k,
        source: None,
        kept: false,
        units,
        remote: false,
        asker: None,
        asked_ms: 0,
        limits: answer::Limits::default(),
        called_bad: None,
    };
    let cancel = Arc::default();
    let mut unheard = |_| ControlFlow::Continue(());
    let answer = match method.way() {
        Way::ClosedBook => {
            if let Some(generator) = parts.generator {
                closed_book(generator, parts.options.max_tokens, &ask, &mut outcome)?;
            }
            right(&mut outcome, false, &golden);
            return Ok(outcome);
        }
        Way::By(strategy) => {
            ask.strategy = strategy;
            answer::answer(parts, &ask, &cancel, &mut unheard)?
        }
        Way::Drafts => {
            let options = AnswerOptions {
                drafts: true,
                ..parts.options.clone()
            };
            let parts = Answerer {
                options: &options,
                searcher: parts.searcher,
                generator: parts.generator,
            };
            answer::answer(&parts, &ask, &cancel, &mut unheard)?
        }
        Way::CalledBad => {
            let first = answer::answer(parts, &ask, &cancel, &mut unheard)?;
            if first.abstained || is_right(&first, &golden) {
                first
            } else {
                let first = serde_json::to_value(&first).map_err(StoreError::from)?;
                ask.called_bad = Some(vec![CalledBad::of(&first)]);
                answer::answer(parts, &ask, &cancel, &mut unheard)?
            }
        }
        Way::From(amount) => answer::written_from(parts, &ask, amount, &cancel)?,
    };
    // Quotes in place of its words would be measured as what it does.
    if let Some(why) = answer.model_failure() {
        let reason = why.to_owned();
        return Err(EngineError::Run { reason }.into());
    }
    outcome.said = said(&answer.answer);
    outcome.seen = seen(&answer.steps);
    let recalled = |step: &Step| step.kind == StepKind::Recall;
    outcome.note("recalled", flag(answer.steps.iter().any(recalled)));
    spent(&mut outcome, &answer);
    right(&mut outcome, answer.abstained, &golden);
    if !golden.is_empty() {
        cited(&mut outcome, set, question, &answer);
    }
    Ok(outcome)
}

/// What steps saw, by name; what was seen last counts. Curves refuse what is low: a doubt is told as
/// less than none.
fn seen(steps: &[Step]) -> BTreeMap<String, f32> {
    let all = steps.iter().flat_map(|step| &step.seen);
    let turned = all.map(|(name, value)| {
        let against = Doubt::SIGNALS.contains(&name.as_str());
        (name.clone(), if against { 0.0 - value } else { *value })
    });
    turned.collect()
}

fn spent(outcome: &mut Asked, answer: &Answer) {
    outcome.note("prompt_tokens", count(answer.tokens.prompt));
    outcome.note("generated_tokens", count(answer.tokens.generated));
    outcome.note("joules", answer.energy.joules);
    outcome.note("ms", answer.timing.total_ms);
}

/// What it scores; a refusal scores nothing.
fn right(outcome: &mut Asked, refused: bool, golden: &[String]) {
    outcome.note("refused", flag(refused));
    if golden.is_empty() {
        return;
    }
    let scored = if refused {
        score("", &[])
    } else {
        score(&outcome.said, golden)
    };
    outcome.note("em", scored.em);
    outcome.note("f1", scored.f1);
    outcome.note("acc", scored.acc);
    outcome.note("acc_words", scored.acc_words);
}

/// Would an owner who knows the golden answers call it right? Where there are none, nothing is.
fn is_right(answer: &Answer, golden: &[String]) -> bool {
    score(&said(&answer.answer), golden).acc_words > 0.0
}

/// How its claims and citations stand: the share of claims that a passage supports; the share of
/// cited documents that are relevant, and of relevant documents that are cited (as ALCE, Gao et al.
/// 2023, asks of citations, with the set's judgements in place of a model's). Each is told only
/// where there is something to take a share of.
fn cited(outcome: &mut Asked, set: &EvaluationSet, question: &SetQuestion, answer: &Answer) {
    if answer.abstained {
        return;
    }
    let supported: Vec<f64> = answer.claims.iter().map(|c| flag(c.supported)).collect();
    if !supported.is_empty() {
        outcome.note("supported", mean(&supported));
    }
    let gains = set.gains_of(question);
    let relevant = gains.values().filter(|gain| **gain > 0.0).count();
    if relevant == 0 {
        return;
    }
    let documents = answer.citations.iter();
    let documents: HashSet<String> = documents.filter_map(|c| set.document_at(&c.path)).collect();
    let found = documents
        .iter()
        .filter(|id| gains.get(*id).is_some_and(|gain| *gain > 0.0));
    let found = count(found.count());
    if !documents.is_empty() {
        outcome.note("citation_precision", found / count(documents.len()));
    }
    outcome.note("citation_recall", found / count(relevant));
}

/// A claim that is to be judged becomes a question: "Is it true that …?".
pub(super) fn asked(question: &SetQuestion) -> (String, Vec<String>) {
    let verdict = |answer: &String| match answer.as_str() {
        "SUPPORTS" => Some("yes".to_owned()),
        "REFUTES" => Some("no".to_owned()),
        _ => None,
    };
    let verdicts: Vec<String> = question.answers.iter().filter_map(verdict).collect();
    if verdicts.is_empty() {
        return (question.text.clone(), question.answers.clone());
    }
    let claim = question.text.trim_end_matches(['.', ' ']);
    (format!("Is it true that {claim}?"), verdicts)
}

fn closed_book(
    generator: &GeneratorHandle,
    max_tokens: usize,
    ask: &Ask,
    outcome: &mut Asked,
) -> Result<(), Failure> {
    let meter = Meter::start();
    let started = Instant::now();
    let messages = vec![
        Message::new(Role::System, "Answer the question in one short sentence."),
        Message::new(Role::User, format!("Question: {}", ask.question)),
    ];
    let prompt = Prompt {
        stop: vec!["\n\n".into(), "Question:".into()],
        ..Prompt::new(messages, max_tokens)
    };
    let running = generator.generate(prompt, Arc::default())?;
    let written = running.result.wait().map_err(EngineError::Lane)??;
    outcome.note("prompt_tokens", count(written.prompt_tokens));
    outcome.note("generated_tokens", count(written.tokens()));
    outcome.note("joules", meter.stop(written.cpu).joules);
    outcome.note("ms", millis(started));
    outcome.said = written.text;
    Ok(())
}

/// An answer without the marks of its citations, and without those of quotes, which stick to words.
pub fn said(answer: &str) -> String {
    let mut text = String::with_capacity(answer.len());
    let mut rest = answer;
    while let Some(open) = rest.find('[') {
        let close = rest[open..].find(']').map(|at| open + at);
        let mark = close.filter(|close| {
            let inside = &rest[open + 1..*close];
            inside == "?" || !inside.is_empty() && inside.bytes().all(|b| b.is_ascii_digit())
        });
        let end = mark.map_or(open + 1, |close| close + 1);
        text.push_str(&rest[..if mark.is_some() { open } else { end }]);
        rest = &rest[end..];
    }
    text.push_str(rest);
    text.replace("From your notes: ", "")
        .replace(['“', '”'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::answer::TokenCount;

    #[test]
    fn marks_of_citations_are_not_part_of_what_is_said() {
        let check = |answer: &str, expected: &str| assert_eq!(said(answer), expected);
        check("It is 61 [1]. So it is [12].", "It is 61 . So it is .");
        check(
            "It is so. [?] From your notes: “a [b] c” [1]",
            "It is so.   a [b] c  ",
        );
        check("array[0] is first [2", "array is first [2");
        check("none", "none");
    }

    fn question(text: &str, answers: &[&str]) -> SetQuestion {
        SetQuestion {
            id: "q".into(),
            text: text.into(),
            answers: answers.iter().map(ToString::to_string).collect(),
            ..SetQuestion::default()
        }
    }

    #[test]
    fn claims_are_asked_as_questions() {
        let (text, golden) = asked(&question("The Alps are flat.", &["REFUTES"]));
        assert_eq!(text, "Is it true that The Alps are flat?");
        assert_eq!(golden, ["no"]);
        let (text, golden) = asked(&question("Who?", &["Ada"]));
        assert_eq!((text.as_str(), golden), ("Who?", vec!["Ada".to_owned()]));
    }

    #[test]
    fn doubts_count_against_an_answer() {
        let step = |seen: &[(&str, f32)]| Step {
            kind: StepKind::Weigh,
            outcome: String::new(),
            seen: seen
                .iter()
                .map(|(name, value)| ((*name).to_owned(), *value))
                .collect(),
            tokens: TokenCount::default(),
            took_ms: 0.0,
            joules: 0.0,
        };
        let name = Doubt::Denial.signal();
        let steps = [step(&[("margin", 0.5), (name, 0.0)]), step(&[(name, 1.0)])];
        let seen = seen(&steps);
        assert_eq!((seen["margin"], seen[name]), (0.5, -1.0));
    }

    #[test]
    fn refusals_score_nothing() {
        let golden = ["tree".to_owned()];
        let mut outcome = Asked {
            said: "it is a tree".into(),
            ..Asked::default()
        };
        right(&mut outcome, false, &golden);
        let scores = |outcome: &Asked| (outcome.values["acc_words"], outcome.values["refused"]);
        assert_eq!(scores(&outcome), (1.0, 0.0));
        right(&mut outcome, true, &golden);
        assert_eq!(scores(&outcome), (0.0, 1.0));
        let mut unanswerable = Asked::default();
        right(&mut unanswerable, true, &[]);
        assert_eq!(unanswerable.values.keys().collect::<Vec<_>>(), ["refused"]);
    }
}
