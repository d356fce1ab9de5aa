//! Never worse: units in trial are tried on the owner's own past questions before anything is shown.
//!
//! A past question with a known outcome is searched with and without the units in trial; the unit
//! that was made of it is left out, so that what is measured is what a unit does to *other*
//! questions, those among them that came to the same sentences by themselves. A unit that
//! leads such a question to evidence that its answer rests on has helped. One that pushes such
//! evidence down, or would be quoted for the question although its answer rests on something else,
//! has harmed, and goes. A batch that loses without them is rolled back as a whole.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::answer;
use super::super::search::{self, Query, Ranking};
use super::{Bench, Report};
use crate::domain::chunk::ChunkId;
use crate::domain::scoring::normalised;
use crate::domain::unit::State;
use crate::error::Failure;
use crate::store::StoreError;
use crate::store::ledger::Snapshot;
use crate::store::units::{self, Past, UseUnits};

/// Past questions that are asked again at most, the newest first.
const MOST_PAST: usize = 400;

/// Times that harmful units are taken out before the batch is judged as a whole.
const MOST_ROUNDS: usize = 60;

/// Hits that are looked at.
const K: usize = 10;

/// What units did to the past questions.
#[derive(Default)]
struct Tried {
    helped: HashMap<String, u32>,
    /// Units that harmed, with a question that they did it to.
    harmed: HashMap<String, String>,
    /// Answers whose questions lost.
    lost: HashSet<String>,
    change: f64,
    asked: usize,
}

/// What units in trial were made of.
#[derive(Default)]
struct Own {
    /// Units by the answers that they were made of.
    answers: HashMap<String, HashSet<String>>,
    /// The question that each was made of, normalised.
    questions: HashMap<String, String>,
}

impl Own {
    fn read(snapshot: &Snapshot<'_>) -> Result<Self, StoreError> {
        let mut own = Self::default();
        for unit in snapshot.units(Some(State::Shadow), super::MOST_UNITS)? {
            let Some(first) = unit.questions.first().map(|q| normalised(q)) else {
                continue;
            };
            // Another question that came to the same sentences by itself is no part of the making.
            let mut made_of = Vec::new();
            for (answer, question) in snapshot.answers_behind(&unit.id)? {
                made_of.extend((normalised(&question) == first).then_some(answer));
            }
            for old in &unit.replaces {
                let behind = snapshot.answers_behind(old)?;
                made_of.extend(behind.into_iter().map(|(answer, _)| answer));
            }
            for answer in made_of {
                let of = own.answers.entry(answer).or_default();
                of.insert(unit.id.clone());
            }
            own.questions.insert(unit.id, first);
        }
        Ok(own)
    }

    /// Was the unit made of this answer?
    fn made(&self, past: &Past, unit: &str) -> bool {
        let of = self.answers.get(&past.answer);
        of.is_some_and(|units| units.contains(unit))
    }

    /// Is this the question that the unit was made of, typed again?
    fn asks(&self, past: &Past, unit: &str) -> bool {
        let own = self.questions.get(unit);
        own.is_some_and(|own| *own == normalised(&past.question))
    }
}

/// Tries the units in trial, counts what they did, and takes out what harms. Says whether it came to
/// the end: where `stop` was set before, nothing is decided.
pub(super) fn replay(
    bench: &Bench<'_>,
    report: &mut Report,
    stop: &AtomicBool,
) -> Result<bool, Failure> {
    let ledger = bench.store().ledger();
    let (past, own) = ledger.read(|snapshot| {
        let held_out = &bench.options.held_out;
        let mut past = snapshot.past(MOST_PAST)?;
        past.retain(|past| !held_out.holds(&past.question));
        Ok::<_, StoreError>((past, Own::read(snapshot)?))
    })?;
    let mut trial: HashSet<String> = bench.trial.clone();
    let all: Vec<&Past> = past.iter().collect();
    let mut tried = try_on(bench, &all, &own, &trial, stop)?;
    // Without those that harm others come to the front, which may harm, too: the questions that lost
    // are asked again until none does.
    let mut rounds = 0;
    while !tried.harmed.is_empty() && rounds < MOST_ROUNDS && !stop.load(Ordering::Relaxed) {
        rounds += 1;
        ledger.write(|transaction| {
            for (unit, question) in &tried.harmed {
                let why = format!("replay: it led away from the evidence for “{question}”");
                let moved = bench.move_unit(transaction, unit, State::Retired, &why)?;
                units::count_use(transaction, unit, units::Use::Harmed)?;
                if moved {
                    report.retired.push(unit.clone());
                }
                trial.remove(unit);
            }
            Ok::<_, StoreError>(())
        })?;
        let lost: Vec<&Past> = past
            .iter()
            .filter(|p| tried.lost.contains(&p.answer))
            .collect();
        tried = try_on(bench, &lost, &own, &trial, stop)?;
        if tried.harmed.is_empty() {
            tried = try_on(bench, &all, &own, &trial, stop)?;
        }
    }
    if stop.load(Ordering::Relaxed) {
        return Ok(false);
    }
    report.replayed = tried.asked;
    report.change = tried.change / f64::from(u32::try_from(tried.asked.max(1)).unwrap_or(u32::MAX));
    if tried.change < -1e-9 {
        let why = format!(
            "replay: {} past questions lose {:.4} of their reciprocal rank",
            tried.asked, -report.change
        );
        let undone = units::Undo::Batch(bench.batch.clone());
        super::undo(bench.store(), &undone, &why)?;
        report.rolled_back = true;
        report.reason = why;
        return Ok(true);
    }
    ledger.write(|transaction| {
        for (unit, count) in &tried.helped {
            units::set_helped(transaction, unit, *count)?;
        }
        Ok::<_, StoreError>(())
    })?;
    Ok(true)
}

fn try_on(
    bench: &Bench<'_>,
    past: &[&Past],
    own: &Own,
    trial: &HashSet<String>,
    stop: &AtomicBool,
) -> Result<Tried, Failure> {
    let mut tried = Tried::default();
    if trial.is_empty() {
        return Ok(tried);
    }
    for past in past {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let with = trial.iter().filter(|unit| !own.made(past, unit));
        let with: HashSet<String> = with.cloned().collect();
        let with = rank(bench, &past.question, UseUnits::With(with))?;
        let near: Vec<_> = with
            .units
            .iter()
            .filter(|near| trial.contains(&near.unit.id))
            .collect();
        if near.is_empty() {
            continue;
        }
        let without = rank(bench, &past.question, UseUnits::Active)?;
        tried.asked += 1;
        // What the owner rejected is evidence against what it cites.
        let good = past.reception.bad == 0;
        let sign = if good { 1.0 } else { -1.0 };
        let rests_on: HashSet<ChunkId> = past.cited.iter().take(1).copied().collect();
        let change = sign * (reciprocal(&with, &rests_on) - reciprocal(&without, &rests_on));
        tried.change += change;
        for near in near {
            let leads = near.unit.chunks().any(|chunk| past.cited.contains(&chunk));
            // It would be quoted for this question, and says something else.
            let misleads = good && !leads && answer::is_recalled(&past.question, near);
            let other = !own.asks(past, &near.unit.id);
            if good && leads && other && change >= 0.0 && near.cosine >= LEADS {
                *tried.helped.entry(near.unit.id.clone()).or_default() += 1;
            }
            let moved = with
                .ranked
                .iter()
                .any(|r| r.hit.unit_id.as_deref() == Some(&near.unit.id));
            // Any that took part in a loss is out, whatever else it leads to.
            if misleads || change < 0.0 && moved {
                tried.lost.insert(past.answer.clone());
                let harmed = tried.harmed.entry(near.unit.id.clone());
                harmed.or_insert_with(|| past.question.clone());
            }
        }
    }
    Ok(tried)
}

/// Cosine from which a unit led a question to its evidence.
const LEADS: f32 = 0.5;

/// One over the place of the best hit that shows one of these chunks; 0 where none does.
fn reciprocal(ranking: &Ranking, chunks: &HashSet<ChunkId>) -> f64 {
    let shows = |ranked: &search::Ranked| {
        let folded = ranked.hit.folded.iter().map(|f| f.chunk_id.clone());
        let folded: HashSet<String> = folded.collect();
        ranked.parts.iter().any(|(_, chunk)| chunks.contains(chunk))
            || chunks
                .iter()
                .any(|chunk| folded.contains(&chunk.to_string()))
    };
    let place = ranking.ranked.iter().position(shows);
    place.map_or(0.0, |place| {
        1.0 / f64::from(u32::try_from(place + 1).unwrap_or(u32::MAX))
    })
}

fn rank(bench: &Bench<'_>, question: &str, units: UseUnits) -> Result<Ranking, Failure> {
    let query = Query {
        units,
        ..Query::words(question, K)
    };
    search::rank(&bench.parts.searcher, &query)
}
