//! Measuring answers: what each strategy gets right, and what it spends on it.
//!
//! The same questions are put to each strategy, one after the other, on the machine as it is.
//! Nothing of it enters a ledger: questions of an evaluation set are not the owner's.

use std::ops::ControlFlow;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::answer::{self, Answer, Answerer, Ask, Strategy};
use super::evaluate::{EvaluationSet, SetQuestion};
use crate::domain::measure::{bootstrap_interval, mean};
use crate::domain::scoring::{Score, score};
use crate::error::Failure;

const ROUNDS: usize = 2000;
const SEED: u64 = 20_261_121;

/// What one strategy does with one set.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct AnswerRow {
    /// The set.
    pub set: String,
    /// The strategy.
    pub strategy: Strategy,
    /// Questions that the set answers.
    pub questions: usize,
    /// Share of the answers that are a golden answer.
    pub em: f64,
    /// Mean F1 of words.
    pub f1: f64,
    /// Share of the answers that hold a golden answer, letter by letter.
    pub acc: f64,
    /// Share of the answers that hold a golden answer, word by word.
    pub acc_words: f64,
    /// The 95 % interval of `acc_words` minus that of the first strategy, by paired bootstrap.
    pub interval: (f64, f64),
    /// Share of these questions that were refused.
    pub refused: f64,
    /// Questions without an answer.
    pub unanswerable: usize,
    /// Share of these that were refused.
    pub refused_rightly: f64,
    /// Mean tokens of the prompts.
    pub prompt_tokens: f64,
    /// Mean tokens written.
    pub generated_tokens: f64,
    /// Mean joules.
    pub joules: f64,
    /// How the joules were found.
    pub energy_method: String,
    /// Median milliseconds.
    pub took_ms: f64,
}

/// Puts questions of a set, at most `limit` with an answer and as many without, to each strategy;
/// `done` hears of every one.
///
/// # Errors
/// What the store and the models say.
pub fn measure(
    parts: &Answerer<'_>,
    set: &EvaluationSet,
    strategies: &[Strategy],
    (k, limit): (usize, usize),
    mut done: impl FnMut(usize),
) -> Result<Vec<AnswerRow>, Failure> {
    let answered: Vec<&SetQuestion> = set
        .questions
        .iter()
        .filter(|question| !question.answers.is_empty())
        .collect();
    let answered = spread(&answered, limit);
    let unanswerable: Vec<&SetQuestion> = set.unanswerable.iter().collect();
    let unanswerable = spread(&unanswerable, limit);
    let mut rows: Vec<AnswerRow> = Vec::new();
    let mut first: Vec<f64> = Vec::new();
    let mut asked = 0;
    for strategy in strategies {
        let mut ask = |question: &SetQuestion| {
            asked += 1;
            done(asked);
            put(parts, question, *strategy, k)
        };
        let answers: Result<Vec<Answer>, Failure> = answered.iter().map(|q| ask(q)).collect();
        let answers = answers?;
        let refusals: Result<Vec<Answer>, Failure> = unanswerable.iter().map(|q| ask(q)).collect();
        let refusals = refusals?;
        let scores: Vec<Score> = answers
            .iter()
            .zip(&answered)
            .map(|(answer, question)| {
                if answer.abstained {
                    return Score::default();
                }
                score(&said(&answer.answer), &question.answers)
            })
            .collect();
        let of = |part: fn(&Score) -> f64| -> Vec<f64> { scores.iter().map(part).collect() };
        let right = of(|s| s.acc_words);
        if rows.is_empty() {
            first.clone_from(&right);
        }
        let differences: Vec<f64> = right.iter().zip(&first).map(|(a, b)| a - b).collect();
        let (low, high) = bootstrap_interval(&differences, ROUNDS, SEED);
        let each = |part: &dyn Fn(&Answer) -> f64| -> f64 {
            let values: Vec<f64> = answers.iter().map(part).collect();
            rounded(mean(&values))
        };
        let refused = |a: &Answer| f64::from(u8::from(a.abstained));
        let rightly: Vec<f64> = refusals.iter().map(refused).collect();
        let mut took: Vec<f64> = answers.iter().map(|a| a.timing.total_ms).collect();
        took.sort_by(f64::total_cmp);
        rows.push(AnswerRow {
            set: set.name.clone(),
            strategy: *strategy,
            questions: answers.len(),
            em: rounded(mean(&of(|s| s.em))),
            f1: rounded(mean(&of(|s| s.f1))),
            acc: rounded(mean(&of(|s| s.acc))),
            acc_words: rounded(mean(&right)),
            interval: (rounded(low), rounded(high)),
            refused: each(&refused),
            unanswerable: refusals.len(),
            refused_rightly: rounded(mean(&rightly)),
            prompt_tokens: each(&|a| count(a.tokens.prompt)),
            generated_tokens: each(&|a| count(a.tokens.generated)),
            joules: each(&|a| a.energy.joules),
            energy_method: answers
                .first()
                .map(|a| a.energy.method.clone())
                .unwrap_or_default(),
            took_ms: rounded(took.get(took.len() / 2).copied().unwrap_or(0.0)),
        });
    }
    Ok(rows)
}

fn put(
    parts: &Answerer<'_>,
    question: &SetQuestion,
    strategy: Strategy,
    k: usize,
) -> Result<Answer, Failure> {
    let ask = Ask {
        id: question.id.clone(),
        question: question.text.clone(),
        strategy,
        k,
        source: None,
        kept: false,
        asked_ms: 0,
    };
    answer::answer(parts, &ask, &Arc::default(), &mut |_| {
        ControlFlow::Continue(())
    })
}

/// So many of them, spread over all: neighbours are about the same documents.
fn spread<'a>(questions: &[&'a SetQuestion], limit: usize) -> Vec<&'a SetQuestion> {
    let step = questions.len().div_ceil(limit.max(1)).max(1);
    questions.iter().step_by(step).copied().collect()
}

/// An answer without the marks of its citations and the words that introduce quotes.
fn said(answer: &str) -> String {
    let mut rest = answer.trim_start_matches("From your notes: ");
    let mut text = String::with_capacity(rest.len());
    while let Some(open) = rest.find('[') {
        let close = rest[open..].find(']').map(|at| open + at);
        let number = close.filter(|close| {
            let inside = &rest[open + 1..*close];
            !inside.is_empty() && inside.bytes().all(|b| b.is_ascii_digit())
        });
        let end = number.map_or(open + 1, |close| close + 1);
        text.push_str(&rest[..if number.is_some() { open } else { end }]);
        rest = &rest[end..];
    }
    text + rest
}

#[expect(clippy::cast_precision_loss, reason = "tokens of an answer")]
fn count(tokens: usize) -> f64 {
    tokens as f64
}

fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_citations_are_not_part_of_what_is_said() {
        let check = |answer: &str, expected: &str| assert_eq!(said(answer), expected);
        check("It is 61 [1]. So it is [12].", "It is 61 . So it is .");
        check("From your notes: “a [b] c” [1]", "“a [b] c” ");
        check("array[0] is first [2", "array is first [2");
        check("none", "none");
    }
}
