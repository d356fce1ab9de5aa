//! Writeback: answers that hold up become knowledge units, and units that stop holding up go.
//!
//! One run is one batch. Answers that nobody has looked at yet are judged one by one ([`judge`]), with
//! what other documents say of it ([`compare`]) and what is known already ([`novel`]), each committed
//! by itself, so that a run that is cut off goes on where it was. Then the units in
//! trial are tried on the owner's own past questions ([`replay`]): what moves evidence down that an
//! answer rests on is taken out, and a batch that still loses is rolled back as a whole. What has
//! led another question to its evidence, and harmed none, is put in use. Weights of the ranking are
//! learned with the same caution ([`ranking`]). Before all that, units whose
//! sources changed are verified again, distilled again, or retired ([`upkeep`]).
//!
//! Units are only ever made of original passages, and lead only to them.

mod compare;
mod distil;
mod judge;
mod novel;
pub mod ranking;
mod replay;
pub mod training;
mod upkeep;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use self::novel::MOST_QUESTIONS;
pub(crate) use self::upkeep::contradiction::is_to_compare;
pub(crate) use self::upkeep::heard;
use super::answer::prompt::unit_prompt;
use super::answer::{Answer, Answerer};
use super::evaluate::held_out::HeldOut;
use super::evaluate::set::NotesQuestion;
use crate::domain::gate::{self, Gate, Verdict};
use crate::domain::rank::dot;
use crate::domain::unit::{OWN, Review, State, Unit};
use crate::energy::Meter;
use crate::engine::llama::states;
use crate::engine::{EngineError, GeneratorHandle};
use crate::error::{BadRequest, Failure};
use crate::failpoint;
use crate::store::ledger::Transaction;
use crate::store::units::batches::{self, DAY_MS, Spent, Undo};
use crate::store::units::considered::{self, Candidate, Past};
use crate::store::units::{self, evidence, life};
use crate::store::{Store, StoreError, erase, feedback};

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
    /// Questions that units in trial are tried on besides the owner's past ones.
    pub replayed: Arc<[NotesQuestion]>,
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
    /// The batch; empty where there was nothing to do.
    pub batch: String,
    /// Whether nothing was written.
    pub dry: bool,
    /// Answers judged, with what each gate said.
    pub considered: Vec<Considered>,
    /// Units made.
    pub made: usize,
    /// Units that were there and answer another question, too.
    pub widened: usize,
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

impl Report {
    /// Did this unit come of an answer that was judged already?
    fn holds(&self, unit: &str) -> bool {
        let mut units = self.considered.iter().filter_map(|c| c.unit.as_deref());
        units.any(|known| known == unit)
    }
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
    /// When the newest of the past questions was asked that each of them helped.
    helped_ms: RefCell<HashMap<String, i64>>,
    cpu: RefCell<(Duration, usize)>,
    started: Instant,
    meter: Meter,
    /// What may be spent, and what of it was written down as spent, with the calls of the language model.
    budget: Spent,
    spent: Cell<Spent>,
    counted: Cell<usize>,
    /// How often something had been erased when it began.
    erasures: i64,
}

impl Bench<'_> {
    fn store(&self) -> &Store {
        self.parts.searcher.store
    }

    /// What this run has cost so far, the units made aside.
    fn cost(&self) -> Spent {
        Spent {
            seconds: self.started.elapsed().as_secs_f64(),
            joules: self.meter.stop(self.cpu.borrow().0).joules,
            units: self.spent.get().units,
        }
    }

    /// Why nothing more may be begun today.
    fn over(&self) -> Option<&'static str> {
        self.has_spent(1.0)
            .then_some("the day's budget is spent; the rest comes tomorrow")
    }

    /// Why no more may be judged or looked after for now: what comes of it is tried within the same
    /// budget, and a run that never came to that would put nothing in use.
    fn nearly_over(&self) -> Option<&'static str> {
        let most = self.has_spent(1.0 - FOR_REPLAY);
        let why = "what is left of the day's budget is for trying what was learned";
        self.over().or_else(|| most.then_some(why))
    }

    /// Is nearly as much left as a whole day keeps for trying units on past questions?
    fn has_share(&self) -> bool {
        let cost = self.cost();
        // What was begun before may have taken longer.
        let is_left = |left: f64, day: f64| left >= day * FOR_REPLAY / 2.0;
        is_left(self.budget.seconds - cost.seconds, self.options.day_s)
            && is_left(self.budget.joules - cost.joules, self.options.day_joules)
    }

    fn has_spent(&self, share: f64) -> bool {
        let cost = self.cost();
        cost.seconds > self.budget.seconds * share || cost.joules > self.budget.joules * share
    }

    /// Why no more units may be made today. Those that are there are looked after all the same.
    fn full(&self) -> Option<&'static str> {
        (self.spent.get().units >= self.budget.units)
            .then_some("the day's number of units is reached; the rest comes tomorrow")
    }

    /// Writes down what was spent since the last time, `made` units among it: with the work that it
    /// was spent on, so that a crash gives nothing back.
    fn spend(&self, transaction: &Transaction<'_>, made: u32) -> Result<(), StoreError> {
        let (before, cost) = (self.spent.get(), self.cost());
        let now = Spent {
            units: before.units + made,
            ..cost
        };
        let since = Spent {
            seconds: now.seconds - before.seconds,
            joules: now.joules - before.joules,
            units: made,
        };
        batches::spend(transaction, since, self.now_ms)?;
        self.spent.set(now);
        let calls = self.cpu.borrow().1;
        batches::count_calls(transaction, calls - self.counted.replace(calls))
    }

    /// Was something forgotten since the run began? What was made of what it read may tell of it.
    fn has_forgotten(&self, transaction: &Transaction<'_>) -> Result<bool, StoreError> {
        Ok(erase::erasures(transaction)? != self.erasures)
    }

    /// May nothing that comes of what was read be written any more? Where something was forgotten, or the
    /// batch was taken back meanwhile.
    fn is_outdated(&self, transaction: &Transaction<'_>) -> Result<bool, StoreError> {
        let taken_back = batches::taken_back(transaction, &self.batch)?;
        Ok(taken_back.is_some() || self.has_forgotten(transaction)?)
    }

    /// Why it may not; see [`Self::is_outdated`].
    fn outdated(&self) -> Result<Option<String>, StoreError> {
        self.store().ledger().read(|snapshot| {
            let taken_back = snapshot.taken_back(&self.batch)?;
            let forgotten = snapshot.erasures()? != self.erasures;
            Ok(taken_back.or_else(|| forgotten.then(|| FORGOTTEN.to_owned())))
        })
    }

    /// Moves a unit; what it was before is kept for an undo of the batch.
    fn move_unit(
        &self,
        transaction: &Transaction<'_>,
        unit: &str,
        to: State,
        why: &str,
    ) -> Result<bool, StoreError> {
        batches::note_before(transaction, &self.batch, unit)?;
        life::move_unit(transaction, unit, to, why)
    }

    /// Notes processor time of the language model.
    fn spent_cpu(&self, cpu: Duration, calls: usize) {
        let mut spent = self.cpu.borrow_mut();
        spent.0 += cpu;
        spent.1 += calls;
    }
}

/// Share of what a run may spend that is kept for trying its units on past questions.
const FOR_REPLAY: f64 = 0.25;

/// Answers that one run judges at most.
const MOST_ANSWERS: usize = 5000;

/// Runs writeback once; blocks. `told` hears how far it is, `stop` ends it after the answer or past
/// question at hand; the next run goes on with the batch. One that is taken back meanwhile ends with that.
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
    let ledger = parts.searcher.store.ledger();
    let (open, spent, erasures) = ledger.read(|snapshot| {
        let spent = snapshot.spent(task.now_ms)?;
        Ok::<_, StoreError>((snapshot.open_batch()?, spent, snapshot.erasures()?))
    })?;
    // A batch that was cut off is gone on with.
    let goes_on = open.is_some();
    let batch = open.unwrap_or_else(|| task.batch.clone());
    let mut bench = Bench {
        parts,
        generator: parts.generator,
        options,
        batch,
        now_ms: task.now_ms,
        trial: HashSet::new(),
        helped_ms: RefCell::default(),
        cpu: RefCell::default(),
        started: Instant::now(),
        meter: Meter::start(),
        budget: Spent {
            seconds: options.day_s - spent.seconds,
            joules: options.day_joules - spent.joules,
            units: options.day_units.saturating_sub(spent.units),
        },
        spent: Cell::default(),
        counted: Cell::default(),
        erasures,
    };
    let mut report = Report {
        batch: bench.batch.clone(),
        dry: task.dry,
        ..Report::default()
    };
    if !(task.dry || goes_on) {
        ledger.write(|t| batches::begin_batch(t, &bench.batch, task.now_ms))?;
    }
    let outcome = work(&mut bench, task, &mut report, told, stop);
    if !task.dry {
        // What was spent is spent, also where it went wrong.
        let spent = ledger.write(|transaction| bench.spend(transaction, 0));
        outcome.is_ok().then_some(spent).transpose()?;
    }
    let ended = outcome?;
    let cost = bench.cost();
    report.model_calls = bench.cpu.borrow().1;
    (report.seconds, report.joules) = (cost.seconds, cost.joules);
    // Where it did not come to the end, the next run goes on with the batch.
    if ended {
        let took = i64::try_from(bench.started.elapsed().as_millis()).unwrap_or(0);
        let (published, now) = (!report.rolled_back, task.now_ms + took);
        // Weights that were learned are taken back with the batch that learned them.
        let learned = ranking::in_use(bench.store())?.is_some_and(|r| r.batch == bench.batch);
        let dropped = ledger.write(|t| {
            if !learned && batches::drop_empty_batch(t, &bench.batch)? {
                return Ok(true);
            }
            let mut kept = report.clone();
            if bench.has_forgotten(t)? {
                kept.considered.clear();
            }
            batches::end_batch(t, &bench.batch, published, &report.reason, &kept, now)?;
            Ok::<_, StoreError>(false)
        })?;
        if dropped {
            report.batch.clear();
        }
    }
    Ok(report)
}

/// What a run does; says whether it came to the end, which a dry one does not.
fn work(
    bench: &mut Bench<'_>,
    task: &Task,
    report: &mut Report,
    told: &dyn Fn(Step),
    stop: &AtomicBool,
) -> Result<bool, Failure> {
    let heard = bench.store().ledger().read(upkeep::heard)?;
    if !task.dry {
        upkeep::upkeep(bench, report, stop)?;
    }
    bench.trial = in_trial(bench.store())?;
    let early = consider(bench, task, report, told, stop)?;
    if !task.dry {
        upkeep::heed_for_new(bench, report, heard)?;
    }
    report.reason = early.unwrap_or_default();
    Ok(!task.dry && publish(bench, report, stop)?)
}

/// Tries what is in trial and puts in use what helped. Says whether it came to the end.
fn publish(bench: &Bench<'_>, report: &mut Report, stop: &AtomicBool) -> Result<bool, Failure> {
    if was_taken_back(bench, report)? {
        return Ok(true);
    }
    let had_share = bench.has_share();
    let tried = replay::replay(bench, report, stop)?;
    if was_taken_back(bench, report)? {
        return Ok(true);
    }
    if !tried {
        report.reason = if stop.load(Ordering::Relaxed) {
            STOPPED.to_owned()
        } else if let Some(why) = bench.over() {
            let fewer = had_share.then(|| replay::ask_fewer(bench)).transpose()?;
            let on_fewer = |fewer: usize| format!("{why}, with the newest {fewer} past questions");
            fewer.flatten().map_or_else(|| why.to_owned(), on_fewer)
        } else {
            bench.outdated()?.unwrap_or_else(|| STOPPED.to_owned())
        };
        return Ok(false);
    }
    reach("writeback-replayed")?;
    // With `ask`, the owner decides what comes into use, weights included.
    if bench.options.review == Review::Auto && !report.rolled_back {
        promote(bench, report)?;
        report.ranking = ranking::learn(bench, stop)?;
    }
    make_ready(bench, &report.promoted, stop)?;
    reach("writeback-promoted")?;
    Ok(true)
}

/// Was the batch taken back while it was under way? Then there is nothing to go on with.
fn was_taken_back(bench: &Bench<'_>, report: &mut Report) -> Result<bool, StoreError> {
    if report.rolled_back {
        // By the run itself.
        return Ok(false);
    }
    let ledger = bench.store().ledger();
    let Some(why) = ledger.read(|snapshot| snapshot.taken_back(&bench.batch))? else {
        return Ok(false);
    };
    (report.rolled_back, report.reason) = (true, why);
    Ok(true)
}

/// Why a run ended before it was done, where something was forgotten that it may have read.
const FORGOTTEN: &str = "something was forgotten meanwhile; the rest comes next time";

/// Why a run ended before it was done, where somebody asked it to.
const STOPPED: &str = "stopped; the rest comes next time";

fn reach(name: &str) -> Result<(), StoreError> {
    failpoint::reach(name).map_err(|source| StoreError::io(std::path::Path::new(name), source))
}

fn in_trial(store: &Store) -> Result<HashSet<String>, StoreError> {
    let ledger = store.ledger();
    let units = ledger.read(|snapshot| snapshot.units(Some(State::Shadow), MOST_UNITS))?;
    Ok(units.into_iter().map(|unit| unit.id).collect())
}

/// Units that are listed at most.
pub(crate) const MOST_UNITS: usize = 1_000_000;

/// Judges answers one by one. Returns why it ended before all were.
fn consider(
    bench: &mut Bench<'_>,
    task: &Task,
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
    for (judged, answer) in answers.iter().enumerate() {
        told(Step {
            judged,
            answers: count,
        });
        if stop.load(Ordering::Relaxed) {
            return Ok(Some(STOPPED.into()));
        }
        if let Some(why) = bench.nearly_over().or_else(|| bench.full()) {
            return Ok(Some(why.into()));
        }
        if let Some(why) = bench.outdated()? {
            return Ok(Some(why));
        }
        // One at a time: each holds whole passages.
        let ledger = bench.store().ledger();
        let Some(candidate) = ledger.read(|snapshot| snapshot.candidate(answer))? else {
            continue;
        };
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
            ledger
                .write(|t| considered::put_considered(t, &candidate.id, &bench.batch, None, &[]))?;
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
        && let Some(why) = crowded(bench, unit, &unit.id, candidate.asker.is_none())?
    {
        judged
            .gates
            .push(Verdict::refused(Gate::Eligible, None, why));
        judged.unit = None;
    }
    let new = match &judged.unit {
        // What a dry run would have made by now is not in the ledger.
        Some(unit) if task.dry && report.holds(&unit.id) => false,
        Some(unit) => ledger
            .read(|snapshot| snapshot.unit_beginning(&unit.id))?
            .is_none(),
        None => false,
    };
    if candidate.asker.is_some()
        && let Some(unit) = &judged.unit
        && let Some(refused) = refused_of_others(unit, new)
    {
        judged.gates.push(refused);
        judged.unit = None;
    }
    // What is refused takes no place among those of a day.
    let new = new && judged.unit.is_some();
    reach("writeback-judged")?;
    if !task.dry {
        let model = bench.parts.searcher.space.indexes.model();
        let kept = ledger.write(|transaction| {
            if bench.is_outdated(transaction)? {
                return Ok(false);
            }
            judged.keep(transaction, (&bench.batch, model))?;
            let id = judged.unit.as_ref().map(|unit| unit.id.as_str());
            bench.spend(transaction, u32::from(new))?;
            considered::put_considered(
                transaction,
                &candidate.id,
                &bench.batch,
                id,
                &judged.gates,
            )?;
            Ok(true)
        })?;
        judged.unit = judged.unit.filter(|_| kept);
    }
    let id = judged.unit.as_ref().map(|unit| unit.id.clone());
    reach("writeback-kept")?;
    if let Some(unit) = &judged.unit {
        report.made += usize::from(new);
        report.widened += usize::from(!new);
        if unit.state == State::Contested {
            report.contested.push(unit.id.clone());
        } else if unit.state == State::Shadow {
            // One in use that answers another question, too, is no trial: others may not harm it.
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

/// Why no unit comes of a question that was asked over a token: what is asked becomes a part of it, and
/// may be its title.
fn refused_of_others(unit: &Unit, new: bool) -> Option<Verdict> {
    if !new || !unit.replaces.is_empty() {
        let why = format!("unit {} takes no question over but the owner's", unit.id);
        return Some(Verdict::refused(Gate::Novel, None, why));
    }
    let planted = unit.questions.iter().find_map(|asked| gate::planted(asked));
    planted.map(|why| Verdict::refused(Gate::Clean, None, format!("the question: {why}")))
}

/// Share of a day's units that may come of one source that others wrote.
const OUTSIDE_SHARE: u32 = 4;

/// Share of a document's units that may come of what is asked over tokens: whoever asks much takes no
/// place from what the owner asks.
const TOKENS_SHARE: usize = 4;

/// Why a document, or a source that others wrote, has as many units as it may have, beside this one and
/// the one that it takes the place of.
fn crowded(
    bench: &Bench<'_>,
    unit: &Unit,
    replaced: &str,
    is_owners: bool,
) -> Result<Option<String>, StoreError> {
    let of_document = if is_owners {
        bench.options.per_document
    } else {
        bench.options.per_document.div_ceil(TOKENS_SHARE)
    };
    let today = bench.now_ms - bench.now_ms.rem_euclid(DAY_MS);
    let most = usize::try_from(bench.options.day_units.div_ceil(OUTSIDE_SHARE));
    let most = most.unwrap_or(usize::MAX);
    let others = [unit.id.as_str(), replaced];
    bench.store().ledger().read(|snapshot| {
        for quotes in &unit.sources {
            if snapshot.units_at(quotes.chunk, others)? >= of_document {
                let why = format!("{} has {of_document} units already", quotes.path);
                return Ok(Some(why));
            }
            let origins = snapshot.origins(quotes.chunk)?;
            if judge::trust_of(&origins) >= OWN {
                // Others have a copy of it.
                continue;
            }
            for origin in origins {
                if origin.outside && snapshot.units_of(origin.source, today, others)? >= most {
                    let why = format!("the source of {} gave {most} units today", quotes.path);
                    return Ok(Some(why));
                }
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
/// help. That is written down like feedback. The question before may have been judged already.
fn asked_again(bench: &Bench<'_>, answers: &[String]) -> Result<(), Failure> {
    let ledger = bench.store().ledger();
    for answer in answers {
        let pair = ledger.read(|snapshot| {
            let Some(second) = snapshot.candidate(answer)? else {
                return Ok(None);
            };
            let first = snapshot.asked_before(&second, second.asked_ms - AGAIN_MS)?;
            Ok(first.map(|first| (first, second)))
        })?;
        let Some((first, second)) = pair.filter(|(first, second)| may_be_again(first, second))
        else {
            continue;
        };
        let embedder = &bench.parts.searcher.space.embedder;
        let vectors = embedder.few(vec![first.question(), second.question()])?;
        if dot(&vectors[0], &vectors[1]) >= AGAIN {
            ledger.write(|transaction| {
                feedback::put_signal(transaction, &first.id, "asked_again", second.asked_ms)?;
                // It may have been judged before the second question came.
                if let Some(unit) = considered::in_trial_of(transaction, &first.id)? {
                    let why = "its question was asked again in other words, and answered elsewhere";
                    bench.move_unit(transaction, &unit, State::Contested, why)?;
                }
                Ok::<_, StoreError>(())
            })?;
        }
    }
    Ok(())
}

/// Asked in other words, about the same as far as names and numbers tell, and answered
/// from elsewhere?
fn may_be_again(first: &Candidate, second: &Candidate) -> bool {
    let cited = |candidate: &Candidate| -> HashSet<String> {
        let citations = candidate.body["citations"].as_array();
        let ids = citations.into_iter().flatten();
        ids.filter_map(|c| c["chunk_id"].as_str().map(str::to_owned))
            .collect()
    };
    let (before, after) = (first.question(), second.question());
    before != after
        && !cited(second).is_empty()
        && cited(first).is_disjoint(&cited(second))
        && gate::same_subject(&before, &after)
}

/// Puts those in use that have shown that they help. What others wrote needs a second source that
/// says the same, or the owner's word.
fn promote(bench: &Bench<'_>, report: &mut Report) -> Result<(), Failure> {
    let ledger = bench.store().ledger();
    let (trial, past) = ledger.read(|snapshot| {
        let trial = snapshot.units(Some(State::Shadow), MOST_UNITS)?;
        Ok::<_, StoreError>((trial, snapshot.past(replay::MOST_PAST)?))
    })?;
    for unit in trial {
        let approved = unit.score(units::GOOD) > 0.0;
        let second = unit.score(units::SECOND_SOURCES) > 0.0 && distil::is_titled_soundly(&unit);
        let trusted = unit.trust >= OWN || second || approved;
        let helped = unit.uses.helped > 0;
        if unit.uses.harmed > 0 || !trusted || !(helped || approved) {
            continue;
        }
        if was_undone(bench, &unit)? {
            continue;
        }
        if !approved && let Some(why) = disputed(bench, &unit, &past)? {
            let contested = ledger.write(|t| {
                Ok(upkeep::is_as(t, &unit)?
                    && bench.move_unit(t, &unit.id, State::Contested, &why)?)
            })?;
            report.contested.extend(contested.then_some(unit.id));
            continue;
        }
        let why = match (approved, unit.uses.helped) {
            (true, _) => "its answer was called good".to_owned(),
            (false, 1) => "another question is answered with what it says".to_owned(),
            (false, n) => format!("{n} other questions are answered with what it says"),
        };
        let moved = ledger.write(|t| {
            let moved = batches::taken_back(t, &bench.batch)?.is_none()
                && upkeep::is_as(t, &unit)?
                && bench.move_unit(t, &unit.id, State::Active, &why)?;
            if moved {
                life::take_place(t, Some(&bench.batch), &unit)?;
            }
            Ok::<_, StoreError>(moved)
        })?;
        if moved {
            report.promoted.push(unit.id);
        }
    }
    Ok(())
}

/// Did the owner take a unit out of use that nothing has helped since? What spoke for it then, the owner
/// knew.
fn was_undone(bench: &Bench<'_>, unit: &Unit) -> Result<bool, StoreError> {
    let ledger = bench.store().ledger();
    let events = ledger.read(|snapshot| snapshot.unit_events(&unit.id))?;
    let helped = bench.helped_ms.borrow().get(&unit.id).copied();
    Ok(upkeep::history::undone_ms(&events)
        .is_some_and(|undone| helped.is_none_or(|ms| ms <= undone)))
}

/// Past answers that are looked at which quote a unit and are contradicted.
const MOST_DISPUTED: usize = 8;

/// What speaks against a unit in answer to a question that quotes it, whose answer was contradicted: in
/// use it would hide the contrary from that question, too.
fn disputed(bench: &Bench<'_>, unit: &Unit, past: &[Past]) -> Result<Option<String>, Failure> {
    let quotes = |past: &&Past| {
        let mut said = unit.sources.iter().flat_map(|quotes| &quotes.sentences);
        past.contested && said.any(|sentence| past.sentences.contains(sentence))
    };
    for past in past.iter().filter(quotes).take(MOST_DISPUTED) {
        let asked = Unit {
            questions: vec![past.question.clone()],
            title: unit.above().to_owned(),
            ..unit.clone()
        };
        let (verdict, _) = upkeep::contradiction::still_uncontested(bench, &asked, &asked.sources)?;
        if !verdict.passed {
            return Ok(Some(verdict.reason));
        }
    }
    Ok(None)
}

/// Lets the language model read what was put in use, so that its state is on disk when it is asked
/// for; and drops the states of what is not in use, that too which went out of use while it was read.
fn make_ready(bench: &Bench<'_>, promoted: &[String], stop: &AtomicBool) -> Result<(), Failure> {
    let read = read_ahead(bench, promoted, stop);
    drop_states(bench.store())?;
    read
}

fn read_ahead(bench: &Bench<'_>, promoted: &[String], stop: &AtomicBool) -> Result<(), Failure> {
    let Some(generator) = bench.generator.filter(|_| bench.parts.options.drafts) else {
        return Ok(());
    };
    let ledger = bench.store().ledger();
    for id in promoted {
        if stop.load(Ordering::Relaxed) || bench.over().is_some() {
            break;
        }
        let unit = ledger.read(|snapshot| snapshot.unit_beginning(id))?;
        let Some(unit) = unit.filter(|unit| unit.state == State::Active) else {
            continue;
        };
        let task = format!("Question: {}", unit.questions[0]);
        let cancel = Arc::default();
        let running = generator.generate(unit_prompt(&unit, &task, 1), Arc::clone(&cancel))?;
        let read = running.result.wait_unless(stop, &cancel);
        // A unit that is too long for the model is answered from without a state.
        if let Ok(read) = read.map_err(EngineError::Lane)? {
            bench.spent_cpu(read.cpu, 1);
        }
    }
    Ok(())
}

/// What the language model has read of units that are not in use goes from the disk.
///
/// # Errors
/// What the ledger says.
pub fn drop_states(store: &Store) -> Result<(), StoreError> {
    let ledger = store.ledger();
    let active = ledger.read(|snapshot| snapshot.unit_ids(State::Active))?;
    let active: HashSet<&str> = active.iter().map(String::as_str).collect();
    states::drop_where(&store.states(), |owner| !active.contains(owner));
    Ok(())
}

/// What the owner decides of a unit.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Put it in use.
    #[serde(alias = "active")]
    Approve,
    /// Take it out: it is wrong.
    Reject,
    /// Take it out: it is of no use.
    #[serde(alias = "retired")]
    Retire,
    /// Take the owner's last decision back.
    Undo,
}

/// Does with a unit as the owner decides. What rests on something that changed cannot be approved
/// before it was verified again.
///
/// # Errors
/// What the ledger says; [`crate::error::BadRequest`] for a unit that may not go there.
pub fn decide(store: &Store, unit: &Unit, decision: Decision) -> Result<State, Failure> {
    let (to, why) = match decision {
        Decision::Approve => (State::Active, "the owner approved it"),
        Decision::Reject => (State::Retired, life::REJECTED),
        Decision::Retire => (State::Retired, "the owner retired it"),
        Decision::Undo => return take_back(store, unit),
    };
    let said = match decision {
        Decision::Reject => unit.reason == why,
        _ => unit.reason.starts_with(life::BY_OWNER),
    };
    if unit.state == to && said {
        return Ok(to);
    }
    let moved = store.ledger().write(|transaction| {
        if unit.state == to {
            // It is so already; that the owner wants it so counts from now on.
            return life::say_anew(transaction, &unit.id, to, why);
        }
        let moved = moved_by_owner(transaction, unit, to, why)?;
        if moved && to == State::Active {
            life::take_place(transaction, None, unit)?;
        } else if moved {
            life::bring_back(transaction, &unit.id)?;
        }
        Ok(moved)
    })?;
    if moved {
        return Ok(to);
    }
    Err(not_ready(unit).into())
}

/// Moves a unit to another state, as the owner wants it. One that is out of use comes back by way of the
/// trial, where what it rests on may be used.
fn moved_by_owner(
    transaction: &Transaction<'_>,
    unit: &Unit,
    to: State,
    why: &str,
) -> Result<bool, StoreError> {
    if unit.state == State::Retired && to != State::Shadow {
        if !evidence::may_be_used(transaction, &unit.id)? {
            return Ok(false);
        }
        life::move_unit(transaction, &unit.id, State::Shadow, why)?;
    }
    let moved = life::move_unit(transaction, &unit.id, to, why)?;
    if moved && to == State::Shadow {
        // While it was out of use the ledger did not look after it.
        life::stale_if_gone(transaction, &unit.id)?;
    }
    Ok(moved)
}

fn not_ready(unit: &Unit) -> BadRequest {
    BadRequest::new(
        "unit_not_ready",
        format!(
            "unit {} is {}: {}",
            unit.id,
            unit.state.as_str(),
            unit.reason
        ),
        "`coho writeback run` verifies it again, or makes a new one",
    )
}

/// Makes a unit again what it was before the owner's last decision, if nothing has happened to it
/// since; units that it took the place of come back.
fn take_back(store: &Store, unit: &Unit) -> Result<State, Failure> {
    let events = store
        .ledger()
        .read(|snapshot| snapshot.unit_events(&unit.id))?;
    // A retired unit comes into use by way of the trial: one decision may be two events.
    let other = events.iter().rposition(|event| event.reason != unit.reason);
    let before = events.get(other.map_or(0, |at| at + 1));
    let before = before.and_then(|event| event.before);
    // Behind a mark it says what a run found since.
    let decided = unit.reason.starts_with(life::BY_OWNER) && !unit.reason.contains([';', ',']);
    let (Some(before), Some(other), true) = (before, other, decided) else {
        return Err(BadRequest::new(
            "nothing_to_undo",
            format!("unit {} was not decided about last", unit.id),
            "`coho units show` tells what happened to it",
        )
        .into());
    };
    let why = &events[other].reason;
    let moved = store.ledger().write(|transaction| {
        if unit.state == before {
            return life::say_anew(transaction, &unit.id, before, why);
        }
        let moved = moved_by_owner(transaction, unit, before, why)?;
        life::bring_back(transaction, &unit.id)?;
        Ok(moved)
    })?;
    if moved {
        return Ok(before);
    }
    Err(not_ready(unit).into())
}

/// Takes back what `what` names, and the weights of the ranking that were learned with it; returns
/// how many units changed.
///
/// # Errors
/// What the ledger says.
pub fn undo(store: &Store, what: &Undo, reason: &str) -> Result<usize, StoreError> {
    with_weights(store, what, |transaction| {
        batches::undo(transaction, what, reason)
    })
}

/// As [`undo`] of a batch that lost, without the owner: what they approved of it meanwhile stays in use.
fn roll_back(store: &Store, batch: &str, reason: &str) -> Result<usize, StoreError> {
    with_weights(store, &Undo::Batch(batch.to_owned()), |transaction| {
        batches::roll_back(transaction, batch, reason)
    })
}

/// Forgets the weights of the ranking that were learned with it, in the same transaction.
fn with_weights(
    store: &Store,
    what: &Undo,
    take_back: impl FnOnce(&Transaction<'_>) -> Result<usize, StoreError>,
) -> Result<usize, StoreError> {
    store.ledger().write(|transaction| {
        // Nobody writes meanwhile: a run that learned some before is waited for.
        let learned = ranking::in_use(store)?;
        let with_it = match what {
            Undo::Unit(_) => false,
            Undo::Batch(id) => learned.is_some_and(|learned| learned.batch == *id),
            Undo::Since(ms) => learned.is_some_and(|learned| learned.learned_ms >= *ms),
            Undo::All => learned.is_some(),
        };
        if with_it {
            ranking::forget(transaction)?;
        }
        take_back(transaction)
    })
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
        helped_ms: RefCell::default(),
        cpu: RefCell::default(),
        started: Instant::now(),
        meter: Meter::start(),
        budget: Spent::default(),
        spent: Cell::default(),
        counted: Cell::default(),
        erasures: 0,
    };
    let mut made = Vec::new();
    for answer in answers {
        let judged = judge::judge(&bench, answer, feedback::Reception::default())?;
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
