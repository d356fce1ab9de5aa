//! Measuring writeback: what it is worth, against what else could have been put into its place.
//!
//! Questions of a set are split by the hash of their ids into those that are learned from and those
//! that are asked afterwards, both about the same documents; a fifth of the documents is kept out of
//! the first part, to see harm. Everything happens in a copy of the set's knowledge base, with the
//! same code that an owner runs: questions are asked, one run of writeback follows, and then every
//! test question is asked without units and with them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{self, Answer, Answerer, Ask, Strategy};
use super::answering::{self, Method, Outcome, scored};
use super::evaluate::{EvaluationSet, SetQuestion, document_at, documents_of};
use super::search::{self, Query};
use super::writeback::{self, Task, WritebackOptions};
use crate::domain::chunk::ChunkId;
use crate::domain::context;
use crate::domain::measure::{Gains, bootstrap_interval, mcnemar, mean, ndcg, recall};
use crate::domain::scoring::score;
use crate::domain::unit::{Merge, Quotes, Review, State, Unit};
use crate::error::Failure;
use crate::store::StoreError;
use crate::store::units::{self, UseUnits};

const ROUNDS: usize = 2000;
const SEED: u64 = 20_261_121;

/// Which units are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// Those that writeback put in use by itself.
    Writeback,
    /// All that passed the gates, as if the owner had approved them.
    Approved,
    /// Of answers that are right by the set's labels: the gates of the paper.
    GoldGates,
    /// Of all answers.
    NoGates,
    /// As approved, with whole chunks for text.
    RawChunks,
    /// As approved, with question and answer for text.
    Pairs,
    /// As approved, resting on other chunks.
    Random,
}

/// Which questions are asked afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// About documents that were learned from.
    Test,
    /// About other documents.
    Untouched,
}

/// What is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Ways to answer.
    pub methods: Vec<Method>,
    /// Which units.
    pub variants: Vec<Variant>,
    /// Passages looked at.
    pub k: usize,
    /// Questions learned from at most.
    pub learn: usize,
    /// Questions asked afterwards of each group at most.
    pub limit: usize,
    /// Questions asked with ways to answer that need the language model, at most.
    pub limit_model: usize,
    /// Whether the gates ask the language model.
    pub model_gates: bool,
    /// How units take part.
    pub merge: Merge,
}

/// What units did to answers.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Gain {
    /// The set.
    pub set: String,
    /// Which units.
    pub variant: Variant,
    /// Which questions.
    pub group: Group,
    /// The way to answer.
    pub method: Method,
    /// Questions.
    pub questions: usize,
    /// Share of answers that hold a golden answer, word by word: without units, with them.
    pub right: (f64, f64),
    /// The 95 % interval of the difference, by paired bootstrap.
    pub interval: (f64, f64),
    /// Questions answered rightly only with units, and only without.
    pub better_worse: (usize, usize),
    /// Probability of such a difference by chance, by `McNemar`'s exact test.
    pub p: f64,
    /// Mean F1, without and with.
    pub f1: (f64, f64),
    /// Its interval.
    pub f1_interval: (f64, f64),
    /// Share of exact answers, without and with.
    pub em: (f64, f64),
    /// Mean tokens of prompts, without and with.
    pub prompt_tokens: (f64, f64),
    /// Mean joules, without and with.
    pub joules: (f64, f64),
    /// Median milliseconds, without and with.
    pub took_ms: (f64, f64),
    /// Questions that were answered from a unit.
    pub recalled: usize,
}

/// What units did to the ranking of originals.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Moved {
    /// The set.
    pub set: String,
    /// Which units.
    pub variant: Variant,
    /// Which questions.
    pub group: Group,
    /// The measure.
    pub metric: &'static str,
    /// Questions.
    pub questions: usize,
    /// Without units, and with.
    pub value: (f64, f64),
    /// The 95 % interval of the difference.
    pub interval: (f64, f64),
}

/// What came of the answers, and what it cost.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Yield {
    /// The set.
    pub set: String,
    /// Which units.
    pub variant: Variant,
    /// Questions learned from.
    pub answers: usize,
    /// Units in use.
    pub units: usize,
    /// Share of them that rest on a document that the set judges relevant.
    pub supported: f64,
    /// Share of them that hold a golden answer.
    pub holds_answer: f64,
    /// Why answers were refused, by gate.
    pub refused: BTreeMap<String, usize>,
    /// Units that another passage was found to contradict.
    pub contested: usize,
    /// For each unit: calls of the language model.
    pub model_calls: f64,
    /// For each unit: seconds of writeback.
    pub seconds: f64,
    /// For each unit: joules of writeback.
    pub joules: f64,
    /// For each unit: bytes that the ledger grew, with answers and events.
    pub bytes: f64,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Measured {
    /// Answers.
    pub gains: Vec<Gain>,
    /// Ranking.
    pub ranking: Vec<Moved>,
    /// Units.
    pub yields: Vec<Yield>,
}

/// The three parts of a set's questions.
struct Split<'a> {
    train: Vec<&'a SetQuestion>,
    test: Vec<&'a SetQuestion>,
    untouched: Vec<&'a SetQuestion>,
}

fn split<'a>(set: &'a EvaluationSet, plan: &Plan) -> Split<'a> {
    let part = |text: &str, of: u8| blake3::hash(text.as_bytes()).as_bytes()[0] % of;
    let mut split = Split {
        train: Vec::new(),
        test: Vec::new(),
        untouched: Vec::new(),
    };
    for question in set.questions.iter().filter(|q| !q.answers.is_empty()) {
        let gains = &set.gains[&question.id];
        let relevant = gains.iter().filter(|(_, gain)| **gain > 0.0);
        // A question about several documents is untouched only where all of them are.
        let kept_out = relevant.clone().all(|(id, _)| part(id, 5) == 0);
        let touched = relevant.clone().all(|(id, _)| part(id, 5) != 0);
        if kept_out {
            split.untouched.push(question);
        } else if part(&question.id, 2) == 1 {
            split.test.push(question);
        } else if touched {
            split.train.push(question);
        }
    }
    split.train = answering::spread(&split.train, plan.learn);
    split.test = answering::spread(&split.test, plan.limit);
    split.untouched = answering::spread(&split.untouched, plan.limit);
    split
}

/// Learns from one part of a set and asks the others. `told` hears what is done and how far it is.
///
/// # Errors
/// What the store and the models say.
pub fn measure(
    parts: &Answerer<'_>,
    set: &EvaluationSet,
    plan: &Plan,
    told: &dyn Fn(&str, usize, usize),
) -> Result<Measured, Failure> {
    let split = split(set, plan);
    let store = parts.searcher.store;
    let bytes = store.disk_bytes().0;
    let answers = learn_from(parts, &split.train, plan, told)?;
    let options = WritebackOptions {
        review: Review::Auto,
        model_gates: plan.model_gates,
        gated: true,
        day_s: f64::MAX,
        day_joules: f64::MAX,
        day_units: u32::MAX,
        per_document: usize::MAX,
    };
    let task = Task {
        batch: "measured".into(),
        now_ms: i64::try_from(split.train.len()).unwrap_or(0) * APART_MS,
        ..Task::default()
    };
    let step = |step: writeback::Step| told("writeback", step.judged, step.answers);
    let stop = AtomicBool::new(false);
    let report = writeback::run(parts, &options, &task, &step, &stop)?;
    let grown = store.disk_bytes().0.saturating_sub(bytes);
    let mut variants = Variants::new(parts, set, &options, answers)?;
    let mut without: HashMap<(Method, String), Outcome> = HashMap::new();
    let mut measured = Measured::default();
    for variant in &plan.variants {
        let (units, mut row) = variants.use_only(*variant, &split.train)?;
        if *variant == Variant::Writeback {
            row = cost(row, &report, grown, units);
        }
        measured.yields.push(row);
        for (group, questions) in [
            (Group::Test, &split.test),
            (Group::Untouched, &split.untouched),
        ] {
            if questions.is_empty() {
                continue;
            }
            let at = Place {
                set,
                variant: *variant,
                group,
            };
            measured.ranking.extend(moved(parts, at, questions, told)?);
            for method in &plan.methods {
                let few = answering::spread(questions, plan.limit_model);
                let asked = if method.needs_model() {
                    &few
                } else {
                    questions
                };
                let gain = gain(parts, at, asked, (*method, plan.k), &mut without, told)?;
                measured.gains.push(gain);
            }
        }
    }
    Ok(measured)
}

/// Time between two questions of an owner: more than what makes one the other in other words.
const APART_MS: i64 = 3_600_000;

/// Asks the questions that are learned from, and keeps the answers.
fn learn_from(
    parts: &Answerer<'_>,
    questions: &[&SetQuestion],
    plan: &Plan,
    told: &dyn Fn(&str, usize, usize),
) -> Result<Vec<(String, Answer)>, Failure> {
    let mut answers = Vec::new();
    for (n, question) in questions.iter().enumerate() {
        told("learning", n, questions.len());
        let (text, _) = answering::asked(question);
        let ask = Ask {
            id: format!("train-{}", question.id),
            question: text,
            strategy: Strategy::Cascade,
            k: plan.k,
            source: None,
            kept: true,
            units: UseUnits::Off,
            asked_ms: i64::try_from(n).unwrap_or(0) * APART_MS,
        };
        let mut unheard = |_| ControlFlow::Continue(());
        let answer = answer::answer(parts, &ask, &Arc::default(), &mut unheard)?;
        answers.push((question.id.clone(), answer));
    }
    Ok(answers)
}

fn cost(row: Yield, report: &writeback::Report, grown: u64, units: usize) -> Yield {
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    for considered in &report.considered {
        let gate = considered.gates.iter().find(|verdict| !verdict.passed);
        if let Some(verdict) = gate {
            *refused.entry(verdict.gate.as_str().into()).or_default() += 1;
        }
    }
    let each = |all: f64| rounded(all / count(units.max(1)));
    Yield {
        refused,
        contested: report.contested.len(),
        model_calls: each(count(report.model_calls)),
        seconds: each(report.seconds),
        joules: each(report.joules),
        bytes: each(count(usize::try_from(grown).unwrap_or(0))),
        ..row
    }
}

/// The units of each variant.
struct Variants<'a> {
    parts: &'a Answerer<'a>,
    set: &'a EvaluationSet,
    options: &'a WritebackOptions,
    answers: Vec<(String, Answer)>,
    promoted: HashSet<String>,
    approved: Vec<Unit>,
}

type WithVectors = (Unit, Vec<Vec<f32>>);

impl<'a> Variants<'a> {
    fn new(
        parts: &'a Answerer<'a>,
        set: &'a EvaluationSet,
        options: &'a WritebackOptions,
        answers: Vec<(String, Answer)>,
    ) -> Result<Self, Failure> {
        let ledger = parts.searcher.store.ledger();
        let all = ledger.read(|snapshot| snapshot.units(None, writeback::MOST_UNITS))?;
        let in_state = |state| all.iter().filter(move |unit| unit.state == state);
        let promoted = in_state(State::Active)
            .map(|unit| unit.id.clone())
            .collect();
        let approved = in_state(State::Active).chain(in_state(State::Shadow));
        Ok(Self {
            parts,
            set,
            options,
            answers,
            promoted,
            approved: approved.cloned().collect(),
        })
    }

    /// Puts the units of a variant in use, and no others; says how many, and what they are.
    fn use_only(
        &mut self,
        variant: Variant,
        train: &[&SetQuestion],
    ) -> Result<(usize, Yield), Failure> {
        let units = self.units_of(variant)?;
        let model = self.parts.searcher.space.indexes.model();
        let ledger = self.parts.searcher.store.ledger();
        ledger.write(|transaction| {
            units::undo(transaction, &units::Undo::All, "another variant")?;
            for (unit, vectors) in &units {
                units::put_unit(transaction, unit)?;
                if !vectors.is_empty() {
                    units::put_vectors(transaction, &unit.id, model, vectors)?;
                }
            }
            Ok::<_, StoreError>(())
        })?;
        let row = self.judged(variant, &units, train)?;
        Ok((units.len(), row))
    }

    fn units_of(&self, variant: Variant) -> Result<Vec<WithVectors>, Failure> {
        let active = |unit: &Unit| Unit {
            state: State::Active,
            ..unit.clone()
        };
        let approved = self.approved.iter().map(active);
        let made: Vec<WithVectors> = match variant {
            Variant::Writeback => approved
                .filter(|unit| self.promoted.contains(&unit.id))
                .map(|unit| (unit, Vec::new()))
                .collect(),
            Variant::Approved => approved.map(|unit| (unit, Vec::new())).collect(),
            Variant::GoldGates => self.of_answers(|right| right)?,
            Variant::NoGates => self.of_answers(|_| true)?,
            Variant::RawChunks | Variant::Pairs | Variant::Random => {
                let chunks = self.parts.searcher.store.ledger().read(|s| s.chunk_ids())?;
                let changed = approved.enumerate();
                changed
                    .map(|(n, unit)| self.changed(variant, unit, chunks[n * 7919 % chunks.len()]))
                    .collect::<Result<_, Failure>>()?
            }
        };
        Ok(made)
    }

    /// Units of the answers that are right by the set's labels, or of others, too.
    fn of_answers(&self, wanted: impl Fn(bool) -> bool) -> Result<Vec<WithVectors>, Failure> {
        let questions: HashMap<&str, &SetQuestion> = self
            .set
            .questions
            .iter()
            .map(|q| (q.id.as_str(), q))
            .collect();
        let chosen = self.answers.iter().filter(|(id, answer)| {
            let (_, golden) = answering::asked(questions[id.as_str()]);
            let said = answering::said(&answer.answer);
            wanted(!answer.abstained && score(&said, &golden).acc_words > 0.5)
        });
        let answers: Vec<Answer> = chosen.map(|(_, answer)| answer.clone()).collect();
        let made = writeback::without_gates(self.parts, self.options, &answers)?;
        let active = made.into_iter().map(|(unit, vectors)| {
            let unit = Unit {
                state: State::Active,
                ..unit
            };
            (unit, vectors)
        });
        Ok(active.collect())
    }

    fn changed(
        &self,
        variant: Variant,
        unit: Unit,
        other: ChunkId,
    ) -> Result<WithVectors, Failure> {
        let text_of = |chunk: ChunkId| {
            let ledger = self.parts.searcher.store.ledger();
            let found = ledger.read(|snapshot| snapshot.chunk_text(chunk));
            found.map(|found| found.map_or_else(String::new, |(_, text)| text))
        };
        let sentences = |text: &str| -> Vec<String> {
            let spans = context::sentences(text);
            spans
                .into_iter()
                .map(|span| text[span].to_owned())
                .collect()
        };
        let mut unit = unit;
        match variant {
            Variant::RawChunks => {
                for quotes in &mut unit.sources {
                    quotes.sentences = sentences(&text_of(quotes.chunk)?);
                }
                unit.text = Unit::text_of(&unit.sources);
            }
            Variant::Random => {
                let mut first = sentences(&text_of(other)?);
                first.truncate(2);
                unit.sources = vec![Quotes {
                    chunk: other,
                    path: String::new(),
                    sentences: first,
                }];
                unit.text = Unit::text_of(&unit.sources);
            }
            _ => unit.text = format!("{} {}", unit.questions.join(" "), unit.text),
        }
        unit.id = blake3::hash(format!("{variant:?} {}", unit.id).as_bytes()).to_hex()[..16].into();
        let mut texts = unit.questions.clone();
        texts.push(format!("{}: {}", unit.title, unit.text));
        let vectors = self.parts.searcher.space.embedder.few(texts)?;
        Ok((unit, vectors))
    }

    /// How many units are right by the labels.
    fn judged(
        &self,
        variant: Variant,
        units: &[WithVectors],
        train: &[&SetQuestion],
    ) -> Result<Yield, Failure> {
        let asked: HashMap<String, &SetQuestion> =
            train.iter().map(|q| (answering::asked(q).0, *q)).collect();
        let ledger = self.parts.searcher.store.ledger();
        let (mut supported, mut holds) = (Vec::new(), Vec::new());
        for (unit, _) in units {
            // By the question that it was made of: the last of its list.
            let Some(question) = unit.questions.iter().find_map(|q| asked.get(q.trim())) else {
                continue;
            };
            let gains = &self.set.gains[&question.id];
            let documents = ledger.read(|snapshot| {
                let mut found = Vec::new();
                for chunk in unit.chunks() {
                    found.extend(documents_of(snapshot, self.set, chunk)?);
                }
                Ok::<_, StoreError>(found)
            })?;
            let relevant = |id: &String| gains.get(id).is_some_and(|gain| *gain > 0.0);
            supported.push(flag(documents.iter().any(relevant)));
            let (_, golden) = answering::asked(question);
            holds.push(flag(score(&unit.text, &golden).acc_words > 0.5));
        }
        Ok(Yield {
            set: self.set.name.clone(),
            variant,
            answers: self.answers.len(),
            units: units.len(),
            supported: rounded(mean(&supported)),
            holds_answer: rounded(mean(&holds)),
            refused: BTreeMap::new(),
            contested: 0,
            model_calls: 0.0,
            seconds: 0.0,
            joules: 0.0,
            bytes: 0.0,
        })
    }
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// Of what is measured.
#[derive(Clone, Copy)]
struct Place<'a> {
    set: &'a EvaluationSet,
    variant: Variant,
    group: Group,
}

/// The ranking of originals without units and with them.
fn moved(
    parts: &Answerer<'_>,
    at: Place<'_>,
    questions: &[&SetQuestion],
    told: &dyn Fn(&str, usize, usize),
) -> Result<Vec<Moved>, Failure> {
    let mut values: [(Vec<f64>, Vec<f64>); 3] = Default::default();
    for (n, question) in questions.iter().enumerate() {
        told("ranking", n, questions.len());
        let gains: &Gains<String> = &at.set.gains[&question.id];
        let (text, _) = answering::asked(question);
        let without = documents(parts, at.set, &text, UseUnits::Off)?;
        let with = documents(parts, at.set, &text, UseUnits::Active)?;
        for (ranked, side) in [(&without, 0), (&with, 1)] {
            let measured = [
                ndcg(ranked, gains, 10),
                recall(ranked, gains, 1),
                recall(ranked, gains, 10),
            ];
            for (value, (off, on)) in measured.into_iter().zip(&mut values) {
                if side == 0 { off } else { on }.push(value);
            }
        }
    }
    let names = ["nDCG@10", "R@1", "R@10"];
    let rows = names
        .into_iter()
        .zip(&values)
        .map(|(metric, (off, on))| Moved {
            set: at.set.name.clone(),
            variant: at.variant,
            group: at.group,
            metric,
            questions: off.len(),
            value: (rounded(mean(off)), rounded(mean(on))),
            interval: interval(off, on),
        });
    Ok(rows.collect())
}

fn documents(
    parts: &Answerer<'_>,
    set: &EvaluationSet,
    question: &str,
    units: UseUnits,
) -> Result<Vec<String>, Failure> {
    let query = Query {
        units,
        merge: parts.options.merge,
        ..Query::words(question, 20)
    };
    let ranking = search::rank(&parts.searcher, &query)?;
    let mut documents: Vec<String> = Vec::new();
    for ranked in &ranking.ranked {
        let folded = ranked.hit.folded.iter().map(|folded| &folded.path);
        for path in std::iter::once(&ranked.hit.path).chain(folded) {
            let id = document_at(set, Path::new(path));
            documents.extend(id.filter(|id| !documents.contains(id)));
        }
    }
    Ok(documents)
}

/// Answers without units and with them.
fn gain(
    parts: &Answerer<'_>,
    at: Place<'_>,
    questions: &[&SetQuestion],
    (method, k): (Method, usize),
    known: &mut HashMap<(Method, String), Outcome>,
    told: &dyn Fn(&str, usize, usize),
) -> Result<Gain, Failure> {
    let mut pairs: Vec<(Outcome, Outcome)> = Vec::with_capacity(questions.len());
    for (n, question) in questions.iter().enumerate() {
        told("asking", n, questions.len());
        let key = (method, question.id.clone());
        let without = if let Some(outcome) = known.get(&key) {
            outcome.clone()
        } else {
            let outcome = answering::put(parts, question, method, k, UseUnits::Off)?;
            known.insert(key, outcome.clone());
            outcome
        };
        let with = answering::put(parts, question, method, k, UseUnits::Active)?;
        pairs.push((without, with));
    }
    let of = |part: &dyn Fn(&Outcome) -> f64| -> (Vec<f64>, Vec<f64>) {
        pairs.iter().map(|(off, on)| (part(off), part(on))).unzip()
    };
    let means = |part: &dyn Fn(&Outcome) -> f64| {
        let (off, on) = of(part);
        (rounded(mean(&off)), rounded(mean(&on)))
    };
    let right = |o: &Outcome| scored(o, |s| s.acc_words);
    let f1 = |o: &Outcome| scored(o, |s| s.f1);
    let (off, on) = of(&right);
    let better = off.iter().zip(&on).filter(|(a, b)| b > a).count();
    let worse = off.iter().zip(&on).filter(|(a, b)| b < a).count();
    let (f1_off, f1_on) = of(&f1);
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        rounded(values.get(values.len() / 2).copied().unwrap_or(0.0))
    };
    let (took_off, took_on) = of(&|o: &Outcome| o.took_ms);
    Ok(Gain {
        set: at.set.name.clone(),
        variant: at.variant,
        group: at.group,
        method,
        questions: pairs.len(),
        right: means(&right),
        interval: interval(&off, &on),
        better_worse: (better, worse),
        p: rounded(mcnemar(better, worse)),
        f1: means(&f1),
        f1_interval: interval(&f1_off, &f1_on),
        em: means(&|o| scored(o, |s| s.em)),
        prompt_tokens: means(&|o| count(o.tokens.prompt)),
        joules: means(&|o| o.energy.joules),
        took_ms: (median(took_off), median(took_on)),
        recalled: pairs.iter().filter(|(_, on)| on.recalled).count(),
    })
}

fn interval(off: &[f64], on: &[f64]) -> (f64, f64) {
    let differences: Vec<f64> = off.iter().zip(on).map(|(off, on)| on - off).collect();
    let (low, high) = bootstrap_interval(&differences, ROUNDS, SEED);
    (rounded(low), rounded(high))
}

#[expect(clippy::cast_precision_loss, reason = "tokens, questions and bytes")]
fn count(number: usize) -> f64 {
    number as f64
}

fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}
