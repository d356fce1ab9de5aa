//! Writeback: answers that hold up become knowledge units, and units that stop holding up go.
//!
//! One run is one batch. Answers that nobody has looked at yet are judged one by one ([`judge`]),
//! each committed by itself, so that a run that is cut off goes on where it was. Then the units in
//! trial are tried on the owner's own past questions ([`replay`]): what moves evidence down that an
//! answer rests on is taken out, and a batch that still loses is rolled back as a whole. What has
//! led a later question to its evidence, and harmed none, is put in use. Weights of the ranking are
//! learned with the same caution ([`ranking`]). Before all that, units whose
//! sources changed are verified again, distilled again, or retired ([`upkeep`]).
//!
//! Units are only ever made of original passages, and lead only to them.

mod distil;
mod judge;
pub mod ranking;
mod replay;
pub mod training;
mod upkeep;

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::prompt::unit_prompt;
use super::answer::{Answer, Answerer};
use super::evaluate::held_out::HeldOut;
use crate::domain::gate::{self, Gate, Verdict};
use crate::domain::rank::dot;
use crate::domain::unit::{OWN, Review, State, Unit};
use crate::energy::Meter;
use crate::engine::{EngineError, GeneratorHandle};
use crate::error::Failure;
use crate::failpoint;
use crate::store::units::{self, Candidate, Spent};
use crate::store::{Store, StoreError};

/// How writeback works.
#[derive(Clone, Debug)]
pub struct WritebackOptions {
    /// Who puts units in use.
    pub review: Review,
    /// Whether the language model's probabilities are asked for.
    pub model_gates: bool,
    /// Whether answers must pass the gates that say how good they are; only comparisons go without.
    pub gated: bool,
    /// Seconds of work a day at most.
    pub day_s: f64,
    /// Joules a day at most.
    pub day_joules: f64,
    /// Units made a day at most.
    pub day_units: u32,
    /// Units that rest on one document at most.
    pub per_document: usize,
    /// Questions that something was measured with.
    pub held_out: Arc<HeldOut>,
}

/// What is asked of a run.
#[derive(Clone, Debug, Default)]
pub struct Task {
    /// Only answers since then, milliseconds since 1970.
    pub since_ms: i64,
    /// Judge only; write nothing.
    pub dry: bool,
    /// Name of the batch, unless one that was cut off is gone on with.
    pub batch: String,
    /// When it began, milliseconds since 1970.
    pub now_ms: i64,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Answers judged.
    pub judged: usize,
    /// Answers to be judged.
    pub answers: usize,
}

/// What became of one answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Considered {
    /// The answer.
    pub answer: String,
    /// Its question.
    pub question: String,
    /// The unit that came of it.
    pub unit: Option<String>,
    /// What each gate said.
    pub gates: Vec<Verdict>,
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// The batch.
    pub batch: String,
    /// Whether nothing was written.
    pub dry: bool,
    /// Answers judged, with what each gate said.
    pub considered: Vec<Considered>,
    /// Units made or widened.
    pub made: usize,
    /// Units put in use.
    pub promoted: Vec<String>,
    /// Units that another passage contradicts.
    pub contested: Vec<String>,
    /// Units taken out of use.
    pub retired: Vec<String>,
    /// Stale units whose sentences still stand.
    pub verified: Vec<String>,
    /// Past questions that the units in trial were tried on.
    pub replayed: usize,
    /// Mean change of the reciprocal rank of what their answers rest on.
    pub change: f64,
    /// Weights of the ranking that were learned, where that was better beyond chance.
    pub ranking: Option<ranking::Ranking>,
    /// Whether the batch was rolled back.
    pub rolled_back: bool,
    /// Why the batch was rolled back, or the run ended early.
    pub reason: String,
    /// Calls of the language model.
    pub model_calls: usize,
    /// Seconds.
    pub seconds: f64,
    /// Joules.
    pub joules: f64,
}

/// What the gates work with.
pub(super) struct Bench<'a> {
    parts: &'a Answerer<'a>,
    generator: Option<&'a GeneratorHandle>,
    options: &'a WritebackOptions,
    batch: String,
    now_ms: i64,
    /// Units in trial.
    trial: HashSet<String>,
    cpu: RefCell<(Duration, usize)>,
}

impl Bench<'_> {
    fn store(&self) -> &Store {
        self.parts.searcher.store
    }

    /// Notes processor time of the language model.
    fn spent_cpu(&self, cpu: Duration, calls: usize) {
        let mut spent = self.cpu.borrow_mut();
        spent.0 += cpu;
        spent.1 += calls;
    }
}

/// Answers that one run judges at most.
const MOST_ANSWERS: usize = 5000;

/// Runs writeback once; blocks. `told` hears how far it is, `stop` ends it after the answer or past
/// question at hand; the next run goes on with the batch.
///
/// # Errors
/// What the store and the models say. What was committed stays.
pub fn run(
    parts: &Answerer<'_>,
    options: &WritebackOptions,
    task: &Task,
    told: &dyn Fn(Step),
    stop: &AtomicBool,
) -> Result<Report, Failure> {
    let (started, meter) = (Instant::now(), Meter::start());
    let store = parts.searcher.store;
    let (open, spent) = store.ledger().read(|snapshot| {
        let open = snapshot
            .batches(1)?
            .into_iter()
            .find(|b| b.state == "running");
        Ok::<_, StoreError>((open, snapshot.spent(task.now_ms)?))
    })?;
    // A batch that was cut off is gone on with.
    let batch = open.as_ref().map_or(&task.batch, |open| &open.id).clone();
    let mut bench = Bench {
        parts,
        generator: parts.generator,
        options,
        batch,
        now_ms: task.now_ms,
        trial: HashSet::new(),
        cpu: RefCell::default(),
    };
    let mut report = Report {
        batch: bench.batch.clone(),
        dry: task.dry,
        ..Report::default()
    };
    let budget = Budget {
        seconds: options.day_s - spent.seconds,
        joules: options.day_joules - spent.joules,
        units: options.day_units.saturating_sub(spent.units),
    };
    if !task.dry {
        if open.is_none() {
            let ledger = store.ledger();
            ledger.write(|t| units::begin_batch(t, &bench.batch, task.now_ms))?;
        }
        upkeep::upkeep(&bench, &mut report, stop)?;
    }
    bench.trial = in_trial(store)?;
    let early = consider(
        &mut bench,
        task,
        &budget,
        &meter,
        started,
        &mut report,
        told,
        stop,
    )?;
    report.reason = early.unwrap_or_default();
    let ended = !task.dry && publish(&bench, &mut report, stop)?;
    let (cpu, calls) = *bench.cpu.borrow();
    report.model_calls = calls;
    report.seconds = started.elapsed().as_secs_f64();
    report.joules = meter.stop(cpu).joules;
    if !task.dry {
        let made = u32::try_from(report.made).unwrap_or(u32::MAX);
        let spent = Spent {
            seconds: report.seconds,
            joules: report.joules,
            units: made,
        };
        store.ledger().write(|transaction| {
            units::spend(transaction, spent, task.now_ms)?;
            if !ended {
                // Gone on with by the next run.
                return Ok(());
            }
            let (batch, published) = (&bench.batch, !report.rolled_back);
            let now = task.now_ms + i64::try_from(started.elapsed().as_millis()).unwrap_or(0);
            units::end_batch(transaction, batch, published, &report.reason, &report, now)
        })?;
    }
    Ok(report)
}

/// Tries what is in trial and puts in use what helped. Says whether it came to the end.
fn publish(bench: &Bench<'_>, report: &mut Report, stop: &AtomicBool) -> Result<bool, Failure> {
    if !replay::replay(bench, report, stop)? {
        STOPPED.clone_into(&mut report.reason);
        return Ok(false);
    }
    reach("writeback-replayed")?;
    if bench.options.review == Review::Auto && !report.rolled_back {
        promote(bench, report)?;
    }
    report.ranking = ranking::learn(bench)?;
    make_ready(bench, &report.promoted)?;
    reach("writeback-promoted")?;
    Ok(true)
}

/// Why a run ended before it was done, where somebody asked it to.
const STOPPED: &str = "stopped; the rest comes next time";

fn reach(name: &str) -> Result<(), StoreError> {
    failpoint::reach(name).map_err(|source| StoreError::io(std::path::Path::new(name), source))
}

/// What a run may still spend.
struct Budget {
    seconds: f64,
    joules: f64,
    units: u32,
}

fn in_trial(store: &Store) -> Result<HashSet<String>, StoreError> {
    let ledger = store.ledger();
    let units = ledger.read(|snapshot| snapshot.units(Some(State::Shadow), MOST_UNITS))?;
    Ok(units.into_iter().map(|unit| unit.id).collect())
}

/// Units that are listed at most.
pub(crate) const MOST_UNITS: usize = 1_000_000;

/// Judges answers one by one. Returns why it ended before all were.
#[expect(
    clippy::too_many_arguments,
    reason = "one caller; what a run is made of"
)]
fn consider(
    bench: &mut Bench<'_>,
    task: &Task,
    budget: &Budget,
    meter: &Meter,
    started: Instant,
    report: &mut Report,
    told: &dyn Fn(Step),
    stop: &AtomicBool,
) -> Result<Option<String>, Failure> {
    let ledger = bench.store().ledger();
    let answers = ledger.read(|snapshot| snapshot.unconsidered(task.since_ms, MOST_ANSWERS))?;
    if !task.dry {
        asked_again(bench, &answers)?;
    }
    let count = answers.len();
    for (judged, candidate) in answers.into_iter().enumerate() {
        told(Step {
            judged,
            answers: count,
        });
        if stop.load(Ordering::Relaxed) {
            return Ok(Some(STOPPED.into()));
        }
        let joules = meter.stop(bench.cpu.borrow().0).joules;
        let seconds = started.elapsed().as_secs_f64();
        if seconds > budget.seconds || joules > budget.joules {
            return Ok(Some(
                "the day's budget is spent; the rest comes tomorrow".into(),
            ));
        }
        if report.made >= usize::try_from(budget.units).unwrap_or(usize::MAX) {
            return Ok(Some(
                "the day's number of units is reached; the rest comes tomorrow".into(),
            ));
        }
        let considered = consider_one(bench, candidate, task, report)?;
        report.considered.push(considered);
    }
    told(Step {
        judged: count,
        answers: count,
    });
    Ok(None)
}

fn consider_one(
    bench: &mut Bench<'_>,
    candidate: Candidate,
    task: &Task,
    report: &mut Report,
) -> Result<Considered, Failure> {
    let ledger = bench.store().ledger();
    let Ok(answer) = serde_json::from_value::<Answer>(candidate.body.clone()) else {
        // Of another version; it cannot be judged, and is not asked about again.
        if !task.dry {
            ledger.write(|t| units::put_considered(t, &candidate.id, &bench.batch, None, &[]))?;
        }
        return Ok(Considered {
            answer: candidate.id,
            question: String::new(),
            unit: None,
            gates: Vec::new(),
        });
    };
    let reception = ledger.read(|snapshot| snapshot.reception(&candidate.id))?;
    let mut judged = judge::judge(bench, &answer, reception)?;
    if let Some(unit) = &judged.unit
        && let Some(path) = crowded(bench, unit)?
    {
        let why = format!("{path} has {} units already", bench.options.per_document);
        judged
            .gates
            .push(Verdict::refused(Gate::Eligible, None, why));
        judged.unit = None;
    }
    let id = judged.unit.as_ref().map(|unit| unit.id.clone());
    reach("writeback-judged")?;
    if !task.dry {
        let model = bench.parts.searcher.space.indexes.model();
        ledger.write(|transaction| {
            judged.keep(transaction, model)?;
            let id = id.as_deref();
            units::put_considered(transaction, &candidate.id, &bench.batch, id, &judged.gates)
        })?;
    }
    reach("writeback-kept")?;
    if let Some(unit) = &judged.unit {
        report.made += 1;
        if unit.state == State::Contested {
            report.contested.push(unit.id.clone());
        } else {
            bench.trial.insert(unit.id.clone());
        }
    }
    Ok(Considered {
        answer: candidate.id,
        question: answer.question,
        unit: id,
        gates: judged.gates,
    })
}

/// The document of a unit that has as many units as one may have.
fn crowded(bench: &Bench<'_>, unit: &Unit) -> Result<Option<String>, StoreError> {
    bench.store().ledger().read(|snapshot| {
        for quotes in &unit.sources {
            if snapshot.units_at(&quotes.path, &unit.id)? >= bench.options.per_document {
                return Ok(Some(quotes.path.clone()));
            }
        }
        Ok(None)
    })
}

/// Time within which a question may be the one before in other words.
const AGAIN_MS: i64 = 10 * 60 * 1000;

/// Cosine from which a question is the one before in other words.
const AGAIN: f32 = 0.75;

/// Finds questions that were asked again in other words and led elsewhere: the first answer did not
/// help. That is written down like feedback.
fn asked_again(bench: &Bench<'_>, answers: &[Candidate]) -> Result<(), Failure> {
    let cited = |candidate: &Candidate| -> HashSet<String> {
        let citations = candidate.body["citations"].as_array();
        let ids = citations.into_iter().flatten();
        ids.filter_map(|c| c["chunk_id"].as_str().map(str::to_owned))
            .collect()
    };
    for pair in answers.windows(2) {
        let [first, second] = pair else { continue };
        let ask =
            |candidate: &Candidate| candidate.body["question"].as_str().unwrap_or("").to_owned();
        let (before, after) = (ask(first), ask(second));
        let soon = second.asked_ms - first.asked_ms <= AGAIN_MS;
        if !soon || before == after || !cited(first).is_disjoint(&cited(second)) {
            continue;
        }
        let embedder = &bench.parts.searcher.space.embedder;
        let vectors = embedder.few(vec![before, after])?;
        if dot(&vectors[0], &vectors[1]) >= AGAIN {
            let ledger = bench.store().ledger();
            ledger.write(|transaction| {
                units::put_signal(transaction, &first.id, "asked_again", second.asked_ms).map(drop)
            })?;
        }
    }
    Ok(())
}

/// Puts those in use that have shown that they help. What others wrote needs a second source that
/// says the same, or the owner's word.
fn promote(bench: &Bench<'_>, report: &mut Report) -> Result<(), Failure> {
    let ledger = bench.store().ledger();
    let trial = ledger.read(|snapshot| snapshot.units(Some(State::Shadow), MOST_UNITS))?;
    for unit in trial {
        let score = |name: &str| unit.scores.get(name).copied().unwrap_or(0.0);
        let approved = score(judge::GOOD) > 0.0;
        let second = score(judge::SECOND_SOURCES) > 0.0;
        let trusted = unit.trust >= OWN || second || approved;
        let helped = unit.uses.helped > 0;
        if unit.uses.harmed > 0 || !trusted || !(helped || approved) {
            continue;
        }
        let why = match (approved, unit.uses.helped) {
            (true, _) => "the owner called its answer good".to_owned(),
            (false, 1) => "it led another question to its evidence".to_owned(),
            (false, n) => format!("it led {n} other questions to their evidence"),
        };
        let moved = ledger.write(|t| units::move_unit(t, &unit.id, State::Active, &why))?;
        if moved {
            report.promoted.push(unit.id);
        }
    }
    Ok(())
}

/// Lets the language model read what was put in use, so that its state is on disk when it is asked
/// for; and drops the states of what is not in use.
fn make_ready(bench: &Bench<'_>, promoted: &[String]) -> Result<(), Failure> {
    let Some(generator) = bench.generator.filter(|_| bench.parts.options.drafts) else {
        return Ok(());
    };
    let ledger = bench.store().ledger();
    let active = ledger.read(|snapshot| snapshot.units(Some(State::Active), MOST_UNITS))?;
    generator.keep_states_of(&active.iter().map(|unit| unit.id.clone()).collect());
    for unit in active.iter().filter(|unit| promoted.contains(&unit.id)) {
        let task = format!("Question: {}", unit.questions[0]);
        let running = generator.generate(unit_prompt(unit, &task, 1), Arc::default())?;
        // A unit that is too long for the model is answered from without a state.
        if let Ok(read) = running.result.wait().map_err(EngineError::Lane)? {
            bench.spent_cpu(read.cpu, 1);
        }
    }
    Ok(())
}

/// What the owner decides of a unit.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Put it in use.
    Approve,
    /// Take it out: it is wrong.
    Reject,
    /// Take it out: it is of no use.
    Retire,
}

/// Does with a unit as the owner decides. What rests on something that changed cannot be approved
/// before it was verified again.
///
/// # Errors
/// What the ledger says; [`crate::error::BadRequest`] for a unit that may not go there.
pub fn decide(store: &Store, unit: &Unit, decision: Decision) -> Result<State, Failure> {
    let (to, why) = match decision {
        Decision::Approve => (State::Active, "the owner approved it"),
        Decision::Reject => (State::Retired, "the owner rejected it"),
        Decision::Retire => (State::Retired, "the owner retired it"),
    };
    if unit.state == to {
        return Ok(to);
    }
    let moved = store.ledger().write(|transaction| {
        if to == State::Active && unit.state == State::Retired {
            if !units::rests_on_visible(transaction, &unit.id)? {
                return Ok(false);
            }
            units::move_unit(transaction, &unit.id, State::Shadow, why)?;
        }
        units::move_unit(transaction, &unit.id, to, why)
    })?;
    if moved {
        return Ok(to);
    }
    Err(crate::error::BadRequest::new(
        "unit_not_ready",
        format!(
            "unit {} is {}: {}",
            unit.id,
            unit.state.as_str(),
            unit.reason
        ),
        "`coho writeback run` verifies it again, or makes a new one",
    )
    .into())
}

/// The units that would be made of these answers if no gate asked how good they are, with their
/// vectors; for comparisons. Nothing is written.
///
/// # Errors
/// What the store and the models say.
pub fn without_gates(
    parts: &Answerer<'_>,
    options: &WritebackOptions,
    answers: &[Answer],
) -> Result<Vec<(Unit, Vec<Vec<f32>>)>, Failure> {
    let options = WritebackOptions {
        gated: false,
        model_gates: false,
        ..options.clone()
    };
    let bench = Bench {
        parts,
        generator: None,
        options: &options,
        batch: "comparison".into(),
        now_ms: 0,
        trial: HashSet::new(),
        cpu: RefCell::default(),
    };
    let mut made = Vec::new();
    for answer in answers {
        let judged = judge::judge(&bench, answer, units::Reception::default())?;
        made.extend(judged.unit.map(|unit| (unit, judged.vectors)));
    }
    Ok(made)
}

/// Something about a unit that should not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The unit.
    pub unit: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Looks at every unit that is not retired: its sentences stand in its sources, nothing in them speaks
/// to a machine, and one that is in use rests on nothing that is gone.
///
/// # Errors
/// What the ledger says.
pub fn lint(store: &Store) -> Result<Vec<Finding>, StoreError> {
    store.ledger().read(|snapshot| {
        let mut findings = Vec::new();
        for unit in snapshot.units(None, MOST_UNITS)? {
            if matches!(unit.state, State::Retired | State::Stale) {
                continue;
            }
            let mut wrong = |reason: String| {
                findings.push(Finding {
                    unit: unit.id.clone(),
                    reason,
                });
            };
            for quotes in &unit.sources {
                let Some((_, text)) = snapshot.chunk_text(quotes.chunk)? else {
                    wrong(format!("what it rests on in {} is gone", quotes.path));
                    continue;
                };
                if !quotes
                    .sentences
                    .iter()
                    .all(|s| gate::holds_sentence(&text, s))
                {
                    wrong(format!("{} does not hold its sentence", quotes.path));
                }
                if let Some(why) = gate::planted(&text) {
                    wrong(format!("{}: {why}", quotes.path));
                }
            }
            if unit.sources.is_empty() {
                wrong("it rests on nothing".to_owned());
            }
        }
        Ok(findings)
    })
}
