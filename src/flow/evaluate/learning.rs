//! Learning from the questions of a set, and what else could be put in the place of what was learned.
//!
//! Everything happens in a copy of the set's knowledge base, with the same code that an owner runs:
//! questions are asked, one run of writeback follows. What came of it is kept beside the copy, so
//! that a run that was interrupted does not learn twice.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::answer::{self, Answer, Answerer, Ask, Strategy};
use super::super::writeback::{self, Task, WritebackOptions};
use super::set::{EvaluationSet, SetQuestion};
use super::{answers, count, flag, write_whole};
use crate::domain::chunk::ChunkId;
use crate::domain::measure::mean;
use crate::domain::scoring::score;
use crate::domain::sentence;
use crate::domain::unit::{Quotes, Review, State, Unit};
use crate::error::Failure;
use crate::store::units::{self, UseUnits, batches, near};
use crate::store::{Store, StoreError};

/// Which units are in use.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ValueEnum,
)]
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

/// What came of the answers, and what it cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Yield {
    /// The set.
    pub set: String,
    /// Which units.
    pub variant: Variant,
    /// Hash of the set and of these units.
    #[serde(default)]
    pub of: String,
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

/// What was learned from one set.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Learned {
    /// Answers to the questions that were learned from, by the questions' names.
    answers: Vec<(String, Answer)>,
    /// Units that writeback put in use by itself.
    promoted: HashSet<String>,
    /// Those, and those that the owner might have approved.
    approved: Vec<Unit>,
    refused: BTreeMap<String, usize>,
    contested: usize,
    /// Of the run of writeback: calls of the language model, seconds, joules, bytes of the ledger.
    cost: [f64; 4],
}

/// Time between two questions of an owner: more than what makes one the other in other words.
const APART_MS: i64 = 3_600_000;

/// Asks the questions that are learned from, in a knowledge base of their own, and runs writeback.
/// What `kept` holds is taken for it; answers that are in the ledger are not asked for again.
/// `told` hears what is done and how far it is.
///
/// # Errors
/// What the store and the models say.
pub fn learn(
    parts: &Answerer<'_>,
    train: &[&SetQuestion],
    (k, model_gates): (usize, bool),
    kept: &Path,
    told: &dyn Fn(&str, usize, usize),
) -> Result<Learned, Failure> {
    let known = std::fs::read(kept).ok();
    if let Some(learned) = known.and_then(|known| serde_json::from_slice(&known).ok()) {
        return Ok(learned);
    }
    let store = parts.searcher.store;
    let before = bytes_before(store, &kept.with_extension("before"))?;
    let answers = ask_all(parts, train, k, told)?;
    let options = options(model_gates);
    let task = Task {
        batch: "measured".into(),
        now_ms: i64::try_from(train.len()).unwrap_or(0) * APART_MS,
        ..Task::default()
    };
    let ledger = store.ledger();
    let runs = ledger.read(|snapshot| snapshot.batches(1))?;
    // Where it was interrupted behind the end of the run, that is not begun again.
    if runs.iter().all(|run| run.ended_ms.is_none()) {
        let step = |step: writeback::Step| told("writeback", step.judged, step.answers);
        let stop = AtomicBool::new(false);
        writeback::run(parts, &options, &task, &step, &stop)?;
    }
    // A run that goes on reports what it did since: the ledger knows of all of it.
    let (all, verdicts, spent, model_calls) = ledger.read(|snapshot| {
        let all = snapshot.units(None, writeback::MOST_UNITS)?;
        let verdicts = snapshot.verdicts_in(&task.batch)?;
        let spent = snapshot.spent(task.now_ms)?;
        Ok::<_, StoreError>((all, verdicts, spent, snapshot.model_calls()?))
    })?;
    let grown = store.disk_bytes().0.saturating_sub(before);
    let in_state = |state| all.iter().filter(move |unit| unit.state == state);
    let promoted = in_state(State::Active).map(|unit| unit.id.clone());
    let approved = in_state(State::Active).chain(in_state(State::Shadow));
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    for gates in &verdicts {
        if let Some(verdict) = gates.iter().find(|verdict| !verdict.passed) {
            *refused.entry(verdict.gate.as_str().into()).or_default() += 1;
        }
    }
    let learned = Learned {
        answers,
        promoted: promoted.collect(),
        approved: approved.cloned().collect(),
        refused,
        contested: in_state(State::Contested).count(),
        cost: [
            count(model_calls),
            spent.seconds,
            spent.joules,
            count(usize::try_from(grown).unwrap_or(0)),
        ],
    };
    let bytes = serde_json::to_vec(&learned).map_err(StoreError::from)?;
    write_whole(kept, &bytes)?;
    Ok(learned)
}

/// Bytes of the ledger before anything was learned, which `noted` keeps for when it is gone on with.
fn bytes_before(store: &Store, noted: &Path) -> Result<u64, StoreError> {
    let known = std::fs::read_to_string(noted).ok();
    if let Some(bytes) = known.and_then(|text| text.parse().ok()) {
        return Ok(bytes);
    }
    let bytes = store.disk_bytes().0;
    write_whole(noted, bytes.to_string().as_bytes())?;
    Ok(bytes)
}

fn options(model_gates: bool) -> WritebackOptions {
    WritebackOptions {
        review: Review::Auto,
        model_gates,
        gated: true,
        day_s: f64::MAX,
        day_joules: f64::MAX,
        day_units: u32::MAX,
        per_document: usize::MAX,
        held_out: Arc::default(),
        replayed: Arc::default(),
    }
}

/// Asks the questions that are learned from, and keeps the answers in the ledger.
fn ask_all(
    parts: &Answerer<'_>,
    questions: &[&SetQuestion],
    k: usize,
    told: &dyn Fn(&str, usize, usize),
) -> Result<Vec<(String, Answer)>, Failure> {
    let mut answers = Vec::new();
    for (n, question) in questions.iter().enumerate() {
        told("learning", n, questions.len());
        let (text, _) = answers::asked(question);
        let id = format!("train-{}", question.id);
        let ledger = parts.searcher.store.ledger();
        let known = ledger.read(|snapshot| snapshot.answer(&id))?;
        let known = known.and_then(|known| serde_json::from_value(known).ok());
        let answer = if let Some(answer) = known {
            answer
        } else {
            let ask = Ask {
                id,
                question: text,
                strategy: Strategy::Cascade,
                k,
                source: None,
                kept: true,
                units: UseUnits::Off,
                remote: false,
                asker: None,
                asked_ms: i64::try_from(n).unwrap_or(0) * APART_MS,
                limits: answer::Limits::default(),
                called_bad: None,
            };
            let mut unheard = |_| ControlFlow::Continue(());
            answer::answer(parts, &ask, &Arc::default(), &mut unheard)?
        };
        answers.push((question.id.clone(), answer));
    }
    Ok(answers)
}

/// Units that say the same become one that answers the questions of all, as those of writeback do.
fn one_of_each(made: impl Iterator<Item = WithVectors>) -> Vec<WithVectors> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut all: Vec<WithVectors> = Vec::new();
    for (unit, vectors) in made {
        let Some(place) = places.get(&unit.id) else {
            places.insert(unit.id.clone(), all.len());
            all.push((unit, vectors));
            continue;
        };
        let (known, of_known) = &mut all[*place];
        let question = unit.questions.into_iter().next();
        let vector = vectors.into_iter().next();
        if let (Some(question), Some(vector)) = (question, vector)
            && known.questions.len() < writeback::MOST_QUESTIONS
            && !known.questions.contains(&question)
        {
            known.questions.push(question);
            // The last one is of what it says.
            of_known.insert(of_known.len().saturating_sub(1), vector);
        }
    }
    all
}

/// The id of a unit of a variant: the vectors of writeback's own stay under theirs.
fn id_in(variant: Variant, id: &str) -> String {
    blake3::hash(format!("{variant:?} {id}").as_bytes()).to_hex()[..16].into()
}

/// The hash of a set, with that of the units that are in use.
fn hash_with(of: &str, units: &[WithVectors]) -> String {
    let told = |(unit, _): &WithVectors| (unit.id.clone(), unit.questions.clone());
    let mut told: Vec<_> = units.iter().map(told).collect();
    told.sort();
    blake3::hash(format!("{of} {told:?}").as_bytes()).to_hex()[..16].into()
}

/// Puts units in use, one variant after the other.
pub struct Variants<'a> {
    parts: &'a Answerer<'a>,
    set: &'a EvaluationSet,
    options: WritebackOptions,
    learned: Learned,
}

type WithVectors = (Unit, Vec<Vec<f32>>);

impl<'a> Variants<'a> {
    /// Of what was learned from a set.
    pub fn new(
        parts: &'a Answerer<'a>,
        set: &'a EvaluationSet,
        learned: Learned,
        model_gates: bool,
    ) -> Self {
        Self {
            parts,
            set,
            options: options(model_gates),
            learned,
        }
    }

    /// Puts the units of a variant in use, and no others; says how many, and what they are. `of` is the
    /// hash of the set.
    ///
    /// # Errors
    /// What the store and the models say.
    pub fn use_only(
        &self,
        variant: Variant,
        train: &[&SetQuestion],
        of: &str,
    ) -> Result<Yield, Failure> {
        let units = self.units_of(variant)?;
        let model = self.parts.searcher.space.indexes.model();
        let ledger = self.parts.searcher.store.ledger();
        ledger.write(|transaction| {
            batches::undo(transaction, &batches::Undo::All, "another variant")?;
            for (unit, vectors) in &units {
                units::put_unit(transaction, unit)?;
                if !vectors.is_empty() {
                    near::put_vectors(transaction, &unit.id, model, vectors)?;
                }
            }
            Ok::<_, StoreError>(())
        })?;
        self.judged(variant, &units, train, of)
    }

    fn units_of(&self, variant: Variant) -> Result<Vec<WithVectors>, Failure> {
        let active = |unit: &Unit| Unit {
            state: State::Active,
            ..unit.clone()
        };
        let approved = self.learned.approved.iter().map(active);
        let made: Vec<WithVectors> = match variant {
            Variant::Writeback => approved
                .filter(|unit| self.learned.promoted.contains(&unit.id))
                .map(|unit| (unit, Vec::new()))
                .collect(),
            Variant::Approved => approved.map(|unit| (unit, Vec::new())).collect(),
            Variant::GoldGates => self.of_answers(variant, |right| right)?,
            Variant::NoGates => self.of_answers(variant, |_| true)?,
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
    fn of_answers(
        &self,
        variant: Variant,
        wanted: impl Fn(bool) -> bool,
    ) -> Result<Vec<WithVectors>, Failure> {
        let questions: HashMap<&str, &SetQuestion> = self
            .set
            .questions
            .iter()
            .map(|q| (q.id.as_str(), q))
            .collect();
        let chosen = self.learned.answers.iter().filter(|(id, answer)| {
            let (_, golden) = answers::asked(questions[id.as_str()]);
            let said = answers::said(&answer.answer);
            wanted(!answer.abstained && score(&said, &golden).acc_words > 0.5)
        });
        let answers: Vec<Answer> = chosen.map(|(_, answer)| answer.clone()).collect();
        let made = writeback::without_gates(self.parts, &self.options, &answers)?;
        let active = made.into_iter().map(|(unit, vectors)| {
            let unit = Unit {
                state: State::Active,
                ..unit
            };
            (unit, vectors)
        });
        let mut units = one_of_each(active);
        for (unit, _) in &mut units {
            unit.id = id_in(variant, &unit.id);
        }
        Ok(units)
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
            let spans = sentence::sentences(text);
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
        unit.id = id_in(variant, &unit.id);
        let mut texts = unit.questions.clone();
        texts.push(format!("{}: {}", unit.title, unit.text));
        let vectors = self.parts.searcher.space.embedder.few(texts)?;
        Ok((unit, vectors))
    }

    /// How many units are right by the labels; `of` is the hash of the set.
    fn judged(
        &self,
        variant: Variant,
        units: &[WithVectors],
        train: &[&SetQuestion],
        of: &str,
    ) -> Result<Yield, Failure> {
        let asked: HashMap<String, &SetQuestion> = train
            .iter()
            .map(|q| (answers::asked(q).0.trim().to_owned(), *q))
            .collect();
        let ledger = self.parts.searcher.store.ledger();
        let (mut supported, mut holds) = (Vec::new(), Vec::new());
        for (unit, _) in units {
            // By the first of its questions that was learned from.
            let Some(question) = unit.questions.iter().find_map(|q| asked.get(q.trim())) else {
                continue;
            };
            let gains = self.set.gains_of(question);
            let documents = ledger.read(|snapshot| {
                let mut found = Vec::new();
                for chunk in unit.chunks() {
                    found.extend(self.set.documents_of(snapshot, chunk)?);
                }
                Ok::<_, StoreError>(found)
            })?;
            let relevant = |id: &String| gains.get(id).is_some_and(|gain| *gain > 0.0);
            supported.push(flag(documents.iter().any(relevant)));
            let (_, golden) = answers::asked(question);
            if !golden.is_empty() {
                holds.push(flag(score(&unit.text, &golden).acc_words > 0.5));
            }
        }
        // Only what writeback did by itself was paid for.
        let own = variant == Variant::Writeback;
        let each = |all: f64| {
            if own {
                all / count(units.len().max(1))
            } else {
                0.0
            }
        };
        let [model_calls, seconds, joules, bytes] = self.learned.cost.map(each);
        Ok(Yield {
            set: self.set.name.clone(),
            variant,
            of: hash_with(of, units),
            answers: self.learned.answers.len(),
            units: units.len(),
            supported: mean(&supported),
            holds_answer: mean(&holds),
            refused: if own {
                self.learned.refused.clone()
            } else {
                BTreeMap::new()
            },
            contested: if own { self.learned.contested } else { 0 },
            model_calls,
            seconds,
            joules,
            bytes,
        })
    }
}
