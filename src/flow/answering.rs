//! Measuring answers: what each way to answer gets right, and what it spends on it.
//!
//! The same questions are put to each, one after the other, on the machine as it is. Every outcome
//! is written down as it comes, so that a run of hours goes on where it was interrupted. Nothing of
//! it enters a ledger: questions of an evaluation set are not the owner's.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{self, Amount, AnswerOptions, Answerer, Ask, Strategy, TokenCount};
use super::evaluate::{EvaluationSet, SetQuestion};
use super::search::millis;
use crate::domain::measure::{bootstrap_interval, mean};
use crate::domain::scoring::{Score, score};
use crate::energy::{Energy, Meter};
use crate::engine::generate::{Message, Prompt, Role};
use crate::engine::{EngineError, GeneratorHandle};
use crate::error::Failure;
use crate::store::StoreError;
use crate::store::units::UseUnits;

const ROUNDS: usize = 2000;
const SEED: u64 = 20_261_121;

/// What is measured: a strategy, or the language model alone.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The language model without any notes.
    ClosedBook,
    /// As [`Strategy::Extractive`].
    Extractive,
    /// As [`Strategy::Naive`].
    Naive,
    /// As [`Strategy::Replug`].
    Replug,
    /// As [`Strategy::Flare`].
    Flare,
    /// As [`Strategy::SelfRag`].
    SelfRag,
    /// As [`Strategy::Cascade`].
    Cascade,
    /// The same, with the model writing however well it reads.
    CascadeDrafts,
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
    From(Amount),
}

impl Method {
    /// Does it ask the language model, whichever it is?
    pub(super) fn needs_model(self) -> bool {
        !matches!(self, Self::Extractive | Self::Cascade)
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
            Self::Sentence => Way::From(Amount::Sentences(1)),
            Self::TwoSentences => Way::From(Amount::Sentences(2)),
            Self::FourSentences => Way::From(Amount::Sentences(4)),
            Self::EightSentences => Way::From(Amount::Sentences(8)),
            Self::Passage => Way::From(Amount::Passages(1)),
            Self::ThreePassages => Way::From(Amount::Passages(3)),
        }
    }
}

/// What came of one question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// How it was answered.
    pub method: Method,
    /// The language model that was there.
    pub model: Option<String>,
    /// Passages looked at.
    pub k: usize,
    /// The question's name in its set.
    pub id: String,
    /// As it was asked.
    pub question: String,
    /// Answers that count as right; none for a question that the set does not answer.
    pub golden: Vec<String>,
    /// What was said, without the marks of citations.
    pub said: String,
    /// Whether it was refused.
    pub abstained: bool,
    /// Tokens spent.
    pub tokens: TokenCount,
    /// Energy spent.
    pub energy: Energy,
    /// Milliseconds that it took.
    pub took_ms: f64,
    /// What its steps saw, by name.
    #[serde(default)]
    pub seen: BTreeMap<String, f32>,
    /// Whether it was answered from a knowledge unit.
    #[serde(default)]
    pub recalled: bool,
}

/// What one way to answer does with one set.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct AnswerRow {
    /// The set.
    pub set: String,
    /// The way to answer.
    pub method: Method,
    /// Questions that the set answers.
    pub questions: usize,
    /// Share of the answers that are a golden answer.
    pub em: f64,
    /// Mean F1 of words.
    pub f1: f64,
    /// The 95 % interval of `f1` minus that of the first row of the set, by paired bootstrap.
    pub f1_interval: (f64, f64),
    /// Share of the answers that hold a golden answer, letter by letter.
    pub acc: f64,
    /// Share of the answers that hold a golden answer, word by word.
    pub acc_words: f64,
    /// The 95 % interval of `acc_words` minus that of the first row of the set.
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
    /// Mean words said.
    pub words: f64,
    /// Mean joules.
    pub joules: f64,
    /// How the joules were found.
    pub energy_method: String,
    /// Median milliseconds.
    pub took_ms: f64,
    /// What refusing by a signal would do, where the set has questions without an answer.
    pub abstention: Vec<Curve>,
}

/// What would come of refusing questions by one signal.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Curve {
    /// What was seen.
    pub signal: String,
    /// How often the signal of a question with an answer is above that of one without: 0.5 is a
    /// coin (area under the receiver operating characteristic).
    pub area: f64,
    /// For each share of answerable questions refused, in tenths from 0.1: the share of the
    /// unanswerable ones that is refused with the same limit.
    pub refused_rightly: Vec<f64>,
}

/// Outcomes of a set, in a file of JSON lines.
pub struct Log {
    file: File,
    path: PathBuf,
    known: Vec<Outcome>,
}

impl Log {
    /// Opens a log. What it holds of `methods` is forgotten, unless the run is to go on (`resume`).
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn open(path: &Path, methods: &[Method], resume: bool) -> Result<Self, StoreError> {
        let io = |source| StoreError::io(path, source);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        let text = std::fs::read_to_string(path).unwrap_or_default();
        // A line that a crash cut off is asked again.
        let lines = text.lines().map(serde_json::from_str::<Outcome>);
        let known = lines.filter_map(Result::ok);
        let mut known = known.filter(|outcome| resume || !methods.contains(&outcome.method));
        // Written beside the old one and put in its place: hours of work are in it.
        let anew = path.with_extension("tmp");
        let mut log = Self {
            file: File::create(&anew).map_err(io)?,
            path: path.to_owned(),
            known: Vec::new(),
        };
        known.try_for_each(|outcome| log.push(outcome))?;
        std::fs::rename(&anew, path).map_err(io)?;
        Ok(log)
    }

    fn push(&mut self, outcome: Outcome) -> Result<(), StoreError> {
        let line = serde_json::to_string(&outcome)? + "\n";
        let written = self.file.write_all(line.as_bytes());
        written.map_err(|source| StoreError::io(&self.path, source))?;
        self.known.push(outcome);
        Ok(())
    }
}

/// What is asked of a set.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// Ways to answer; the first is what the others are compared with.
    pub methods: &'a [Method],
    /// Passages looked at.
    pub k: usize,
    /// Questions with an answer at most, and as many without.
    pub limit: usize,
}

/// Puts questions of a set to each way to answer, but for those whose outcome `log` knows; `done`
/// hears of every one.
///
/// # Errors
/// What the store and the models say.
pub fn measure(
    parts: &Answerer<'_>,
    set: &EvaluationSet,
    plan: Plan<'_>,
    log: &mut Log,
    mut done: impl FnMut(usize),
) -> Result<Vec<AnswerRow>, Failure> {
    let answered = set.questions.iter().filter(|q| !q.answers.is_empty());
    let answered: Vec<&SetQuestion> = answered.collect();
    let unanswerable: Vec<&SetQuestion> = set.unanswerable.iter().collect();
    let mut questions = spread(&answered, plan.limit);
    questions.extend(spread(&unanswerable, plan.limit));
    let model = parts.generator.map(|g| g.name().to_owned());
    let mut rows: Vec<AnswerRow> = Vec::new();
    let mut first: Vec<Outcome> = Vec::new();
    let mut asked = 0;
    for method in plan.methods {
        let mut outcomes: Vec<Outcome> = Vec::new();
        for question in &questions {
            let same = |o: &&Outcome| {
                (o.method, o.k, &o.id) == (*method, plan.k, &question.id) && o.model == model
            };
            let known = log.known.iter().find(same).cloned();
            let outcome = if let Some(outcome) = known {
                outcome
            } else {
                let outcome = put(parts, question, *method, plan.k, UseUnits::Off)?;
                log.push(outcome.clone())?;
                outcome
            };
            outcomes.push(outcome);
            asked += 1;
            done(asked);
        }
        if first.is_empty() {
            first.clone_from(&outcomes);
        }
        rows.push(row(&set.name, *method, &outcomes, &first));
    }
    Ok(rows)
}

fn row(set: &str, method: Method, outcomes: &[Outcome], first: &[Outcome]) -> AnswerRow {
    let answerable = |o: &&Outcome| !o.golden.is_empty();
    let answers: Vec<&Outcome> = outcomes.iter().filter(answerable).collect();
    let first: Vec<&Outcome> = first.iter().filter(answerable).collect();
    let of = |outcomes: &[&Outcome], part: &dyn Fn(&Outcome) -> f64| -> Vec<f64> {
        outcomes.iter().map(|o| part(o)).collect()
    };
    let each = |part: &dyn Fn(&Outcome) -> f64| rounded(mean(&of(&answers, part)));
    let against_first = |part: &dyn Fn(&Outcome) -> f64| {
        let pairs = of(&answers, part).into_iter().zip(of(&first, part));
        let differences: Vec<f64> = pairs.map(|(a, b)| a - b).collect();
        let (low, high) = bootstrap_interval(&differences, ROUNDS, SEED);
        (rounded(low), rounded(high))
    };
    let f1 = |o: &Outcome| scored(o, |s| s.f1);
    let right = |o: &Outcome| scored(o, |s| s.acc_words);
    let refused = |o: &Outcome| f64::from(u8::from(o.abstained));
    let others: Vec<&Outcome> = outcomes.iter().filter(|o| !answerable(o)).collect();
    let mut took = of(&answers, &|o| o.took_ms);
    took.sort_by(f64::total_cmp);
    AnswerRow {
        set: set.to_owned(),
        method,
        questions: answers.len(),
        em: each(&|o| scored(o, |s| s.em)),
        f1: each(&f1),
        f1_interval: against_first(&f1),
        acc: each(&|o| scored(o, |s| s.acc)),
        acc_words: each(&right),
        interval: against_first(&right),
        refused: each(&refused),
        unanswerable: others.len(),
        refused_rightly: rounded(mean(&of(&others, &refused))),
        prompt_tokens: each(&|o| count(o.tokens.prompt)),
        generated_tokens: each(&|o| count(o.tokens.generated)),
        words: each(&|o| count(o.said.split_whitespace().count())),
        joules: each(&|o| o.energy.joules),
        energy_method: answers
            .first()
            .map(|o| o.energy.method.clone())
            .unwrap_or_default(),
        took_ms: rounded(took.get(took.len() / 2).copied().unwrap_or(0.0)),
        abstention: curves(&answers, &others),
    }
}

/// A curve for each signal that all outcomes saw; what was refused before a step came to see it lies
/// below all.
fn curves(answers: &[&Outcome], others: &[&Outcome]) -> Vec<Curve> {
    let names: BTreeSet<&String> = answers.iter().flat_map(|o| o.seen.keys()).collect();
    let values = |outcomes: &[&Outcome], name: &str| -> Option<Vec<f32>> {
        let seen = outcomes.iter().map(|o| {
            let refused = o.abstained.then_some(f32::MIN);
            o.seen.get(name).copied().or(refused)
        });
        seen.collect::<Option<Vec<f32>>>().filter(|v| !v.is_empty())
    };
    let curve = |name: &String| {
        let (mut with, without) = (values(answers, name)?, values(others, name)?);
        let above = |value: &f32| -> f64 {
            let beats = with.iter().map(|other| match other.total_cmp(value) {
                Ordering::Greater => 1.0,
                Ordering::Equal => 0.5,
                Ordering::Less => 0.0,
            });
            mean(&beats.collect::<Vec<f64>>())
        };
        let area = mean(&without.iter().map(above).collect::<Vec<f64>>());
        with.sort_by(f32::total_cmp);
        let refused = (1..10).map(|tenth| {
            let limit = with[with.len() * tenth / 10];
            let below = without.iter().filter(|value| **value < limit).count();
            rounded(count(below) / count(without.len()))
        });
        Some(Curve {
            signal: name.clone(),
            area: rounded(area),
            refused_rightly: refused.collect(),
        })
    };
    names.into_iter().filter_map(curve).collect()
}

/// What an outcome scores; a refusal scores nothing.
pub(super) fn scored(outcome: &Outcome, part: fn(&Score) -> f64) -> f64 {
    if outcome.abstained {
        return 0.0;
    }
    part(&score(&outcome.said, &outcome.golden))
}

/// Asks one question.
///
/// # Errors
/// What the store and the models say.
pub(super) fn put(
    parts: &Answerer<'_>,
    question: &SetQuestion,
    method: Method,
    k: usize,
    units: UseUnits,
) -> Result<Outcome, Failure> {
    let (text, golden) = asked(question);
    let mut outcome = Outcome {
        method,
        model: parts.generator.map(|g| g.name().to_owned()),
        k,
        id: question.id.clone(),
        question: text.clone(),
        golden,
        said: String::new(),
        abstained: false,
        tokens: TokenCount::default(),
        energy: Energy::default(),
        took_ms: 0.0,
        seen: BTreeMap::new(),
        recalled: false,
    };
    let mut ask = Ask {
        id: question.id.clone(),
        question: text,
        strategy: Strategy::Cascade,
        k,
        source: None,
        kept: false,
        units,
        asked_ms: 0,
    };
    let cancel = Arc::default();
    let mut unheard = |_| ControlFlow::Continue(());
    let answer = match method.way() {
        Way::ClosedBook => {
            if let Some(generator) = parts.generator {
                closed_book(generator, parts.options.max_tokens, &mut outcome)?;
            }
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
        Way::From(amount) => answer::written_from(parts, &ask, amount, &cancel)?,
    };
    let seen = answer.steps.iter().flat_map(|step| step.seen.clone());
    let from_unit = |step: &answer::Step| step.kind == answer::StepKind::Recall;
    Ok(Outcome {
        recalled: answer.steps.iter().any(from_unit),
        seen: seen.collect(),
        said: said(&answer.answer),
        abstained: answer.abstained,
        tokens: answer.tokens,
        energy: answer.energy,
        took_ms: answer.timing.total_ms,
        ..outcome
    })
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
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let meter = Meter::start();
    let started = Instant::now();
    let messages = vec![
        Message::new(Role::System, "Answer the question in one short sentence."),
        Message::new(Role::User, format!("Question: {}", outcome.question)),
    ];
    let prompt = Prompt {
        stop: vec!["\n\n".into(), "Question:".into()],
        ..Prompt::new(messages, max_tokens)
    };
    let running = generator.generate(prompt, Arc::default())?;
    let written = running.result.wait().map_err(EngineError::Lane)??;
    outcome.tokens = TokenCount {
        prompt: written.prompt_tokens,
        generated: written.tokens(),
    };
    outcome.energy = meter.stop(written.cpu);
    outcome.took_ms = millis(started);
    outcome.said = written.text;
    Ok(())
}

/// So many of them, spread over all: neighbours are about the same documents.
pub(super) fn spread<'a>(questions: &[&'a SetQuestion], limit: usize) -> Vec<&'a SetQuestion> {
    let taken = questions.len().min(limit);
    let places = (0..taken).map(|i| i * questions.len() / taken);
    places.map(|place| questions[place]).collect()
}

/// An answer without the marks of its citations, and without those of quotes, which stick to words.
pub(super) fn said(answer: &str) -> String {
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
            split: None,
            answers: answers.iter().map(ToString::to_string).collect(),
            impossible: false,
        }
    }

    #[test]
    fn questions_are_spread_over_all() {
        let all: Vec<SetQuestion> = (0..7).map(|n| question(&n.to_string(), &[])).collect();
        let all: Vec<&SetQuestion> = all.iter().collect();
        let taken = |limit| -> Vec<&str> {
            let taken = spread(&all, limit).into_iter();
            taken.map(|q| q.text.as_str()).collect()
        };
        assert_eq!(taken(3), ["0", "2", "4"]);
        assert_eq!(taken(usize::MAX).len(), 7);
        assert_eq!(taken(0), [""; 0]);
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
    fn a_run_goes_on_where_it_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs/answers.jsonl");
        let outcome = |method, id: &str| Outcome {
            method,
            model: None,
            k: 5,
            id: id.into(),
            question: String::new(),
            golden: vec!["a".into()],
            said: "it is a".into(),
            abstained: false,
            tokens: TokenCount::default(),
            energy: Energy::default(),
            took_ms: 1.0,
            seen: BTreeMap::new(),
            recalled: false,
        };
        let mut log = Log::open(&path, &[], true).unwrap();
        log.push(outcome(Method::Naive, "1")).unwrap();
        log.push(outcome(Method::Cascade, "1")).unwrap();
        drop(log);
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"{\"method\":\"naive\",\"mod").unwrap();
        let log = Log::open(&path, &[Method::Naive], true).unwrap();
        assert_eq!(log.known.len(), 2);
        let log = Log::open(&path, &[Method::Naive], false).unwrap();
        assert_eq!(log.known, [outcome(Method::Cascade, "1")]);
    }

    #[test]
    fn curves_say_what_a_signal_could_do() {
        let outcome = |signal: f32| Outcome {
            method: Method::Cascade,
            model: None,
            k: 5,
            id: String::new(),
            question: String::new(),
            golden: Vec::new(),
            said: String::new(),
            abstained: false,
            tokens: TokenCount::default(),
            energy: Energy::default(),
            took_ms: 1.0,
            seen: BTreeMap::from([("signal".to_owned(), signal)]),
            recalled: false,
        };
        let with: Vec<Outcome> = (0..10_u8).map(|n| outcome(f32::from(n))).collect();
        let mut without: Vec<Outcome> = [-1.0, 7.0, 0.5, 20.0].map(outcome).to_vec();
        // Refused at once: nothing was seen.
        without[1].abstained = true;
        without[1].seen.clear();
        let curve = &curves(
            &with.iter().collect::<Vec<_>>(),
            &without.iter().collect::<Vec<_>>(),
        )[0];
        // Two below all, one below nine of ten, one above all.
        assert!((curve.area - (1.0 + 1.0 + 0.9 + 0.0) / 4.0).abs() < 1e-9);
        assert_eq!(curve.refused_rightly[..2], [0.75, 0.75]);
    }

    #[test]
    fn refusals_score_nothing_and_are_told_apart() {
        let outcome = |golden: &[&str], abstained| Outcome {
            method: Method::Naive,
            model: None,
            k: 5,
            id: String::new(),
            question: String::new(),
            golden: golden.iter().map(ToString::to_string).collect(),
            said: "it is a tree".into(),
            abstained,
            tokens: TokenCount::default(),
            energy: Energy::default(),
            took_ms: 1.0,
            seen: BTreeMap::new(),
            recalled: false,
        };
        let all = [
            outcome(&["tree"], false),
            outcome(&["tree"], true),
            outcome(&[], true),
            outcome(&[], true),
            outcome(&[], false),
        ];
        let row = row("set", Method::Naive, &all, &all);
        assert_eq!((row.questions, row.unanswerable), (2, 3));
        assert_eq!((row.acc_words, row.refused), (0.5, 0.5));
        assert_eq!((row.refused_rightly, row.interval), (0.6667, (0.0, 0.0)));
    }
}
