//! Upkeep: units whose sources changed, units that were never of use, units without vectors.
//!
//! Here is what every run begins with, and what the owner said of answers since the last one. What is
//! stale is looked at in [`renewal`], what speaks against a unit in [`contradiction`]; what became of
//! one before, and was decided, is read from its events in [`history`].

pub(super) mod contradiction;
pub(super) mod history;
mod renewal;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use self::contradiction::contradicted;
use self::history::undone_ms;
use self::renewal::renew;
use super::{Bench, MOST_UNITS, Report, distil};
use crate::domain::gate;
use crate::domain::unit::{OWN, State, Unit};
use crate::error::Failure;
use crate::store::ledger::{Snapshot, Transaction};
use crate::store::units::{self, batches, is_decided, life, near};
use crate::store::{StoreError, ledger};

/// Times that a unit may be near a question without its sources ever being cited.
const USELESS: u32 = 30;

pub(super) fn upkeep(
    bench: &Bench<'_>,
    report: &mut Report,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    let ledger = bench.store().ledger();
    heed(bench, report)?;
    lose_trust(bench)?;
    drop_questions(bench, stop)?;
    let stale = ledger.read(|snapshot| snapshot.units(Some(State::Stale), MOST_UNITS))?;
    for unit in stale {
        if is_over(bench, stop) || bench.outdated()?.is_some() {
            return Ok(());
        }
        // Another one that was renewed may have been found to say the same.
        let unit = ledger.read(|snapshot| snapshot.unit_beginning(&unit.id))?;
        if let Some(unit) = unit.filter(|unit| unit.state == State::Stale) {
            renew(bench, &unit, report)?;
        }
    }
    embed_again(bench, stop)?;
    contradicted(bench, report, stop)?;
    let active = ledger.read(|snapshot| snapshot.units(Some(State::Active), MOST_UNITS))?;
    for unit in active {
        // Where the owner put it back, it would go again with every run.
        if unit.uses.retrieved >= USELESS && unit.uses.cited == 0 && !is_decided(&unit) {
            let why = format!("near {} questions and never of use", unit.uses.retrieved);
            let retired = ledger.write(|t| {
                if !is_as(t, &unit)? {
                    return Ok(false);
                }
                bench.move_unit(t, &unit.id, State::Retired, &why)?;
                life::bring_back(t, &unit.id)?;
                Ok(true)
            })?;
            report.retired.extend(retired.then_some(unit.id));
        }
    }
    Ok(())
}

/// Is nothing more to be begun, because somebody needs the machine or the budget is for what comes next?
fn is_over(bench: &Bench<'_>, stop: &AtomicBool) -> bool {
    stop.load(Ordering::Relaxed) || bench.nearly_over().is_some()
}

/// Why a unit is contested that says what an answer said which the owner called bad.
const CALLED_BAD: &str = "an answer with what it says was called bad";

const CALLED_GOOD: &str = "an answer with what it says was called good";

/// What the owner said of answers after these were judged: a unit that led to a bad one is contested,
/// one that led to a good one has the owner's word. Where that was said of the same answer, by who had
/// pressed the wrong key, the unit is no longer contested.
fn heed(bench: &Bench<'_>, report: &mut Report) -> Result<(), Failure> {
    let ledger = bench.store().ledger();
    let words = ledger.read(|snapshot| snapshot.owners_words(heard(snapshot)?))?;
    for word in words {
        let (mut lifted, mut cleared) = (HashSet::new(), HashSet::new());
        for unit in word.units.iter().filter(|_| word.good) {
            if ledger.read(|snapshot| was_cleared(snapshot, unit))? {
                cleared.insert(unit);
            }
            let events = ledger.read(|snapshot| snapshot.unit_events(unit))?;
            if undone_ms(&events).is_some_and(|undone| undone < word.given_ms) {
                lifted.insert(unit);
            }
        }
        ledger.write(|transaction| {
            for unit in &word.units {
                let contested = heed_one(bench, transaction, unit, word.good)?;
                report.contested.extend(contested.then(|| unit.clone()));
                if lifted.contains(unit) {
                    // It may be put in use again.
                    life::say_anew(transaction, unit, State::Shadow, CALLED_GOOD)?;
                }
                if cleared.contains(unit)
                    && bench.move_unit(transaction, unit, State::Shadow, CALLED_GOOD)?
                {
                    units::forgive(transaction, unit)?;
                }
            }
            ledger::put_memo(transaction, HEARD, &word.number.to_string())
        })?;
    }
    Ok(())
}

/// Is a unit contested because of the owner's word alone, of which nothing stands any more?
fn was_cleared(snapshot: &Snapshot<'_>, id: &str) -> Result<bool, StoreError> {
    let unit = snapshot.unit_beginning(id)?;
    if !unit.is_some_and(|unit| unit.state == State::Contested && unit.reason == CALLED_BAD) {
        return Ok(false);
    }
    let words = snapshot.owners_words(0)?;
    let mut bad = words.iter().filter(|word| !word.good);
    Ok(bad.all(|word| word.units.iter().all(|unit| unit != id)))
}

/// The memo of the last verdict that was heeded.
const HEARD: &str = "verdicts_heeded";

/// The number of the last verdict that was heeded.
///
/// # Errors
/// What the ledger says.
pub(crate) fn heard(snapshot: &Snapshot<'_>) -> Result<i64, StoreError> {
    let number = snapshot.memo(HEARD)?.and_then(|number| number.parse().ok());
    Ok(number.unwrap_or(0))
}

/// Contests what was made in this run of one answer where the owner called another one bad that quotes
/// the same for the question. Of verdicts since this number: when they were heeded, it was not there.
pub(super) fn heed_for_new(
    bench: &Bench<'_>,
    report: &mut Report,
    since: i64,
) -> Result<(), Failure> {
    let ledger = bench.store().ledger();
    let words = ledger.read(|snapshot| snapshot.owners_words(since))?;
    for id in words
        .into_iter()
        .filter(|word| !word.good)
        .flat_map(|word| word.units)
    {
        let contested = ledger.write(|transaction| {
            let unit = units::unit(transaction, &id)?;
            let is_meant = unit
                .is_some_and(|unit| unit.batch == bench.batch && unit.score(units::GOOD) <= 0.0);
            Ok::<_, StoreError>(is_meant && heed_one(bench, transaction, &id, false)?)
        })?;
        report.contested.extend(contested.then_some(id));
    }
    Ok(())
}

/// Says whether the unit is contested now.
fn heed_one(
    bench: &Bench<'_>,
    transaction: &Transaction<'_>,
    id: &str,
    good: bool,
) -> Result<bool, StoreError> {
    let Some(unit) = units::unit(transaction, id)? else {
        return Ok(false);
    };
    if good {
        batches::note_before(transaction, &bench.batch, id)?;
        let mut scores = unit.scores;
        *scores.entry(units::GOOD.into()).or_default() += 1.0;
        units::set_scores(transaction, id, &scores)?;
        return Ok(false);
    }
    units::count_use(transaction, id, units::Use::Harmed)?;
    if unit.state == State::Stale {
        // What still stands in its sources would be taken for good again.
        bench.move_unit(transaction, id, State::Retired, CALLED_BAD)?;
        return Ok(false);
    }
    if unit.state == State::Retired && unit.reason.starts_with(life::GONE) {
        // Nor does it come back with them.
        batches::note_before(transaction, &bench.batch, id)?;
        life::say_anew(transaction, id, State::Retired, CALLED_BAD)?;
        return Ok(false);
    }
    bench.move_unit(transaction, id, State::Contested, CALLED_BAD)
}

/// Makes those stale that were made of the owner's words and rest on what others wrote, as is known now:
/// this version of coho sees what an earlier one did not. What the owner decided stays.
fn lose_trust(bench: &Bench<'_>) -> Result<(), Failure> {
    let ledger = bench.store().ledger();
    let lost = ledger.read(|snapshot| {
        let mut lost = Vec::new();
        for state in [State::Active, State::Shadow] {
            for unit in snapshot.units(Some(state), MOST_UNITS)? {
                if unit.trust >= OWN && !is_decided(&unit) && rests_on_others(snapshot, &unit)? {
                    lost.push(unit);
                }
            }
        }
        Ok::<_, StoreError>(lost)
    })?;
    for unit in lost {
        ledger.write(|t| {
            Ok(is_as(t, &unit)? && bench.move_unit(t, &unit.id, State::Stale, life::BY_OTHERS)?)
        })?;
    }
    Ok(())
}

/// Does a sentence of a unit stand in no words of the owner?
fn rests_on_others(snapshot: &Snapshot<'_>, unit: &Unit) -> Result<bool, StoreError> {
    for chunk in unit.chunks() {
        let origins = snapshot.origins(chunk)?;
        if !origins.is_empty() && origins.iter().all(|origin| origin.outside) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes from units the questions that they do not answer, as is known now: an earlier version gave them
/// more. What the owner decided stays.
fn drop_questions(bench: &Bench<'_>, stop: &AtomicBool) -> Result<(), Failure> {
    let ledger = bench.store().ledger();
    let model = bench.parts.searcher.space.indexes.model();
    for state in [State::Active, State::Shadow] {
        let mut units = ledger.read(|snapshot| snapshot.units(Some(state), MOST_UNITS))?;
        units.retain(|unit| !is_decided(unit));
        for unit in units {
            let questions = answered(&unit);
            if questions.len() == unit.questions.len() {
                continue;
            }
            if is_over(bench, stop) {
                return Ok(());
            }
            let unit = Unit { questions, ..unit };
            let vectors = distil::vectors(bench, &unit)?;
            ledger.write(|t| {
                if bench.is_outdated(t)? || !is_as(t, &unit)? {
                    return Ok(());
                }
                batches::note_before(t, &bench.batch, &unit.id)?;
                units::set_questions(t, &unit.id, &unit.questions)?;
                near::put_vectors(t, &unit.id, model, &vectors)
            })?;
        }
    }
    Ok(())
}

/// The question that a unit was made for, and those of the others that would be given to it today. One
/// that was made of two answers the questions of both.
fn answered(unit: &Unit) -> Vec<String> {
    let Some((first, others)) = unit.questions.split_first() else {
        return Vec::new();
    };
    let says = unit.under_title();
    let is_answered = |question: &&String| {
        let is_other = unit.replaces.is_empty() && gate::asks_for_another(question, first, &says);
        let mut above = unit.titles().chain([unit.above()]);
        !is_other && above.any(|above| distil::answers(question, above, &unit.text))
    };
    let others = others.iter().filter(is_answered);
    std::iter::once(first).chain(others).cloned().collect()
}

/// Is a unit still what it was when it was read? The owner may have decided about it meanwhile.
pub(super) fn is_as(transaction: &Transaction<'_>, unit: &Unit) -> Result<bool, StoreError> {
    let now = units::unit(transaction, &unit.id)?;
    Ok(now.is_some_and(|now| (now.state, &now.reason) == (unit.state, &unit.reason)))
}

/// Gives units vectors of the embedding model in use, where they have none. After a change of the model
/// that is all of them: it is gone on with by the next run.
fn embed_again(bench: &Bench<'_>, stop: &AtomicBool) -> Result<(), Failure> {
    let model = bench.parts.searcher.space.indexes.model();
    let ledger = bench.store().ledger();
    for unit in ledger.read(|snapshot| snapshot.without_vectors(model))? {
        if is_over(bench, stop) {
            return Ok(());
        }
        let vectors = distil::vectors(bench, &unit)?;
        ledger.write(|t| {
            if bench.is_outdated(t)? {
                return Ok(());
            }
            near::put_vectors(t, &unit.id, model, &vectors)
        })?;
    }
    Ok(())
}
