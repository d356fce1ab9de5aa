//! Upkeep: units whose sources changed, units that were never of use, units without vectors.
//!
//! A stale unit is verified again (its sentences still stand, perhaps in another chunk), distilled
//! again (its question is asked anew), or retired. Nothing stale is ever shown meanwhile: the ledger
//! saw to that in the transaction of the edit. Where all that a retired one rests on comes back, the
//! ledger makes it stale once more: a file may have been away for a while.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use super::super::answer::prompt::about_sentence;
use super::super::answer::{self, Answerer, Ask, Strategy};
use super::super::search;
use super::compare::{Stated, about_within, compare, speaks_of};
use super::judge::{self, Judged};
use super::{Bench, MOST_UNITS, Report, distil};
use crate::domain::chunk::ChunkId;
use crate::domain::gate::{self, Verdict};
use crate::domain::sentence;
use crate::domain::surroundings::Surroundings;
use crate::domain::text::{Readable, Text};
use crate::domain::unit::{OWN, Quotes, State, Unit};
use crate::error::Failure;
use crate::store::feedback::Reception;
use crate::store::ledger::{Snapshot, Transaction};
use crate::store::passages::Row;
use crate::store::units::evidence::{self, Origin};
use crate::store::units::life::{self, UnitEvent};
use crate::store::units::{self, UseUnits, batches, is_decided, near};
use crate::store::{StoreError, ledger};

/// Times that a unit may be near a question without its sources ever being cited.
const USELESS: u32 = 30;

/// The memo of how far contradictions were looked for.
const COMPARED: &str = "units_compared";

pub(super) fn upkeep(
    bench: &Bench<'_>,
    report: &mut Report,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    let ledger = bench.store().ledger();
    heed(bench, report)?;
    lose_trust(bench)?;
    drop_questions(bench)?;
    let stale = ledger.read(|snapshot| snapshot.units(Some(State::Stale), MOST_UNITS))?;
    for unit in stale {
        if stop.load(Ordering::Relaxed) || bench.nearly_over().is_some() {
            return Ok(());
        }
        // Another one that was renewed may have been found to say the same.
        let unit = ledger.read(|snapshot| snapshot.unit_beginning(&unit.id))?;
        if let Some(unit) = unit.filter(|unit| unit.state == State::Stale) {
            renew(bench, &unit, report)?;
        }
    }
    embed_again(bench)?;
    contradicted(bench, report, stop)?;
    let active = ledger.read(|snapshot| snapshot.units(Some(State::Active), MOST_UNITS))?;
    for unit in active {
        // Where the owner put it back, it would go again with every run.
        if unit.uses.retrieved >= USELESS && unit.uses.cited == 0 && !is_decided(&unit) {
            let why = format!("near {} questions and never of use", unit.uses.retrieved);
            ledger.write(|t| {
                bench.move_unit(t, &unit.id, State::Retired, &why)?;
                life::bring_back(t, &unit.id)
            })?;
            report.retired.push(unit.id);
        }
    }
    Ok(())
}

/// What the owner said of answers after these were judged: a unit that led to a bad one is contested,
/// one that led to a good one has the owner's word.
fn heed(bench: &Bench<'_>, report: &mut Report) -> Result<(), Failure> {
    let ledger = bench.store().ledger();
    let words = ledger.read(|snapshot| snapshot.owners_words(heard(snapshot)?))?;
    for word in words {
        let mut lifted = HashSet::new();
        for unit in word.units.iter().filter(|_| word.good) {
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
                    let why = "an answer with what it says was called good";
                    life::say_anew(transaction, unit, State::Shadow, why)?;
                }
            }
            ledger::put_memo(transaction, HEARD, &word.number.to_string())
        })?;
    }
    Ok(())
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
    let why = "an answer with what it says was called bad";
    if unit.state == State::Stale {
        // What still stands in its sources would be taken for good again.
        bench.move_unit(transaction, id, State::Retired, why)?;
        return Ok(false);
    }
    if unit.state == State::Retired && unit.reason.starts_with(life::GONE) {
        // Nor does it come back with them.
        batches::note_before(transaction, &bench.batch, id)?;
        life::say_anew(transaction, id, State::Retired, why)?;
        return Ok(false);
    }
    bench.move_unit(transaction, id, State::Contested, why)
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
                    lost.push(unit.id);
                }
            }
        }
        Ok::<_, StoreError>(lost)
    })?;
    for unit in lost {
        ledger.write(|t| bench.move_unit(t, &unit, State::Stale, life::BY_OTHERS))?;
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
fn drop_questions(bench: &Bench<'_>) -> Result<(), Failure> {
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
            let unit = Unit { questions, ..unit };
            let vectors = distil::vectors(bench, &unit)?;
            ledger.write(|t| {
                if bench.is_outdated(t)? {
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

/// Verifies a stale unit again, distils it again, or retires it.
fn renew(bench: &Bench<'_>, unit: &Unit, report: &mut Report) -> Result<(), Failure> {
    if let Some(sources) = found_again(bench, unit)? {
        return verified(bench, unit, sources, report);
    }
    if bench.full().is_some() {
        // It stays out of use until something may take its place.
        return Ok(());
    }
    let mut anew = distilled_again(bench, unit)?;
    if let Some(new) = anew.unit.as_ref().filter(|new| new.id == unit.id) {
        return said_again(bench, unit, (new, &anew), report);
    }
    if let Some(new) = &anew.unit
        && super::crowded(bench, new, &unit.id)?.is_some()
    {
        anew.unit = None;
    }
    let ledger = bench.store().ledger();
    // One that is there already takes the question over.
    let is_made = match &anew.unit {
        Some(new) => ledger
            .read(|snapshot| snapshot.unit_beginning(&new.id))?
            .is_none(),
        None => false,
    };
    let why = match &anew.unit {
        Some(new) => format!("{}; unit {} took its place", life::GONE, new.id),
        None => life::GONE.to_owned(),
    };
    let model = bench.parts.searcher.space.indexes.model();
    let events = ledger.read(|snapshot| snapshot.unit_events(&unit.id))?;
    let kept = ledger.write(|transaction| {
        if bench.is_outdated(transaction)? || !is_as(transaction, unit)? {
            return Ok(false);
        }
        bench.move_unit(transaction, &unit.id, State::Retired, &why)?;
        life::bring_back(transaction, &unit.id)?;
        anew.keep(transaction, (&bench.batch, model))?;
        if let Some(new) = &anew.unit {
            let approved = new.state == State::Shadow && keeps_approval(new, unit, &events);
            approve_again(bench, transaction, new, approved)?;
        }
        bench.spend(transaction, u32::from(is_made))?;
        Ok(true)
    })?;
    if !kept {
        return Ok(());
    }
    report.made += usize::from(is_made);
    report.widened += usize::from(anew.unit.is_some() && !is_made);
    report.retired.push(unit.id.clone());
    Ok(())
}

/// Puts a stale unit in trial whose sentences stand in these places now, or as it was before where the
/// owner had approved it.
fn verified(
    bench: &Bench<'_>,
    unit: &Unit,
    sources: Vec<Quotes>,
    report: &mut Report,
) -> Result<(), Failure> {
    let ledger = bench.store().ledger();
    let origins = origins_of(bench, &sources)?;
    let refused = unfit(bench, &sources, &origins.concat())?;
    let (verdict, second) = still_uncontested(bench, unit, &sources)?;
    let events = ledger.read(|snapshot| snapshot.unit_events(&unit.id))?;
    let trust = origins.iter().map(judge::trust_of).fold(OWN, f32::min);
    let looked_at = ledger.write(|transaction| {
        if !is_as(transaction, unit)? {
            return Ok(false);
        }
        batches::note_before(transaction, &bench.batch, &unit.id)?;
        if let Some(why) = &refused {
            life::move_unit(transaction, &unit.id, State::Retired, why)?;
            life::bring_back(transaction, &unit.id)?;
            return Ok(true);
        }
        set_second(transaction, unit, second)?;
        evidence::put_evidence(transaction, &unit.id, &sources)?;
        units::set_trust(transaction, &unit.id, trust)?;
        // What the owner undid does not come into use for having been looked at.
        let why = match undone(&events) {
            Some(undone) => format!("{}; {STANDS}", decision(&undone.reason)),
            None => STANDS.to_owned(),
        };
        life::move_unit(transaction, &unit.id, State::Shadow, &why)?;
        life::stale_if_gone(transaction, &unit.id)?;
        if let Some(why) = contested_by_use(&events) {
            life::move_unit(transaction, &unit.id, State::Contested, why)?;
        } else if verdict.passed {
            approve_again(bench, transaction, unit, was_approved(&events))?;
        } else {
            life::move_unit(transaction, &unit.id, State::Contested, &verdict.reason)?;
        }
        Ok(true)
    })?;
    if !looked_at {
        return Ok(());
    }
    let outcome = if refused.is_some() {
        &mut report.retired
    } else {
        &mut report.verified
    };
    outcome.push(unit.id.clone());
    Ok(())
}

/// Is a unit still what it was when it was read? The owner may have decided about it meanwhile.
fn is_as(transaction: &Transaction<'_>, unit: &Unit) -> Result<bool, StoreError> {
    let now = units::unit(transaction, &unit.id)?;
    Ok(now.is_some_and(|now| (now.state, &now.reason) == (unit.state, &unit.reason)))
}

/// Why a unit was contested before it became stale, where that was for what came of it: its sentences
/// standing where they stood does not speak against that.
fn contested_by_use(events: &[UnitEvent]) -> Option<&str> {
    let mut before = events
        .iter()
        .rev()
        .skip_while(|event| event.after == State::Stale);
    let last = before.next()?;
    let by_use = last.after == State::Contested && !is_comparison(&last.reason);
    by_use.then_some(last.reason.as_str())
}

/// Why a unit is in trial again whose sentences were found.
const STANDS: &str = "its sentences still stand where they stood";

/// Puts a unit in use again that is in trial, where the owner approved of what it says.
fn approve_again(
    bench: &Bench<'_>,
    transaction: &Transaction<'_>,
    unit: &Unit,
    approved: bool,
) -> Result<(), StoreError> {
    if !(approved && evidence::may_be_used(transaction, &unit.id)?) {
        return Ok(());
    }
    let why = format!(
        "{} approved it, and its sentences still stand",
        life::BY_OWNER
    );
    life::move_unit(transaction, &unit.id, State::Active, &why)?;
    if unit.reason == life::BACK {
        // While it was out, those that it is made of were in its place.
        life::take_place(transaction, Some(&bench.batch), unit)?;
    }
    Ok(())
}

/// A stale unit whose question was asked anew, and whose answer says the same in the same words: it
/// stays, with what it rests on now; what came of it still speaks against it, and it is approved as it
/// was if that is trusted no less.
fn said_again(
    bench: &Bench<'_>,
    unit: &Unit,
    (new, anew): (&Unit, &Judged),
    report: &mut Report,
) -> Result<(), Failure> {
    let ledger = bench.store().ledger();
    let (verdict, _) = still_uncontested(bench, unit, &new.sources)?;
    let events = ledger.read(|snapshot| snapshot.unit_events(&unit.id))?;
    let approved = verdict.passed && keeps_approval(new, unit, &events);
    let contested = contested_by_use(&events);
    let model = bench.parts.searcher.space.indexes.model();
    let kept = ledger.write(|transaction| {
        if bench.is_outdated(transaction)? || !is_as(transaction, unit)? {
            return Ok(false);
        }
        anew.keep(transaction, (&bench.batch, model))?;
        if approved || contested.is_some() {
            life::move_unit(transaction, &unit.id, State::Shadow, STANDS)?;
            life::stale_if_gone(transaction, &unit.id)?;
        }
        if let Some(why) = contested {
            life::move_unit(transaction, &unit.id, State::Contested, why)?;
        } else if approved {
            approve_again(bench, transaction, unit, true)?;
        } else if let Some(undone) = undone(&events) {
            let why = format!("{}; {STANDS}", decision(&undone.reason));
            life::say_anew(transaction, &unit.id, State::Shadow, &why)?;
        }
        bench.spend(transaction, 0)?;
        Ok(true)
    })?;
    report.verified.extend(kept.then(|| unit.id.clone()));
    Ok(())
}

/// Does the owner's approval of a unit hold for one that was made in its place: which says the same under
/// the same headings, and is trusted no less?
fn keeps_approval(new: &Unit, unit: &Unit, events: &[UnitEvent]) -> bool {
    if new.title != unit.title {
        return false;
    }
    let flat = || new.is_verbatim() && Unit::text_of(&new.sources) == unit.text;
    was_approved(events) && new.trust >= unit.trust && (new.text == unit.text || flat())
}

/// Where each of some chunks stands.
fn origins_of(bench: &Bench<'_>, sources: &[Quotes]) -> Result<Vec<Vec<Origin>>, StoreError> {
    bench.store().ledger().read(|snapshot| {
        let origins = sources.iter().map(|quotes| snapshot.origins(quotes.chunk));
        origins.collect()
    })
}

/// Why nothing may be learned from where the sentences stand now: rules may have changed, and so may
/// what stands around them.
fn unfit(
    bench: &Bench<'_>,
    sources: &[Quotes],
    origins: &[Origin],
) -> Result<Option<String>, StoreError> {
    if let Some(origin) = origins.iter().find(|origin| !origin.writeback) {
        let why = format!("the source of {} does not allow it any more", origin.path);
        return Ok(Some(why));
    }
    bench.store().ledger().read(|snapshot| {
        for quotes in sources {
            let text = snapshot.chunk_text(quotes.chunk)?;
            if let Some(why) = text.and_then(|(_, text)| gate::planted(&text)) {
                return Ok(Some(format!("{}: {why}", quotes.path)));
            }
        }
        Ok(None)
    })
}

/// Does any other document contradict the one that a unit took its first sentence from? Also how many
/// say the same.
pub(super) fn still_uncontested(
    bench: &Bench<'_>,
    unit: &Unit,
    sources: &[Quotes],
) -> Result<(Verdict, f32), Failure> {
    let (origins, own, events) = bench.store().ledger().read(|snapshot| {
        let mut origins: Vec<Origin> = Vec::new();
        let mut own: Vec<&Quotes> = Vec::new();
        for quotes in of_first(sources) {
            let standing = snapshot.origins(quotes.chunk)?;
            // Documents of two sources may have the same path.
            let beside = |origin: &Origin| origins.iter().any(|first| first.file == origin.file);
            if own.is_empty() || standing.is_empty() || standing.iter().any(beside) {
                origins.extend(standing);
                own.push(quotes);
            }
        }
        Ok::<_, StoreError>((origins, own, snapshot.unit_events(&unit.id)?))
    })?;
    // What others wrote does not unseat the owner's word.
    let decided = is_decided(unit) || was_approved(without_comparisons(&events));
    let sentences = own.iter().flat_map(|quotes| &quotes.sentences);
    let stated = Stated {
        sentences: sentences.map(String::as_str).collect(),
        origins: origins.iter().collect(),
        settled: settled(&events),
        least_trust: if decided { unit.trust } else { 0.0 },
        ..stated(unit, sources)
    };
    compare(bench, &stated)
}

/// What a unit says by the document of its first sentence.
fn stated<'a>(unit: &'a Unit, sources: &'a [Quotes]) -> Stated<'a> {
    let sentences = of_first(sources).flat_map(|quotes| &quotes.sentences);
    Stated {
        question: unit.questions.first().map_or("", String::as_str),
        above: unit.titles().next().unwrap_or(""),
        sentences: sentences.map(String::as_str).collect(),
        origins: Vec::new(),
        settled: HashSet::new(),
        least_trust: 0.0,
    }
}

/// The quotes from the document that the first one is from.
fn of_first(sources: &[Quotes]) -> impl Iterator<Item = &Quotes> {
    let first = sources.first().map_or("", |quotes| quotes.path.as_str());
    sources.iter().filter(move |quotes| quotes.path == first)
}

/// Was the owner's approval the last that was decided of a unit, before what it rests on changed, or was
/// gone for a while?
fn was_approved(events: &[UnitEvent]) -> bool {
    decided_last(events).is_some_and(|event| event.after == State::Active)
}

/// The event by which the owner took a unit out of use and back into trial, where nothing else came of
/// it since.
fn undone(events: &[UnitEvent]) -> Option<&UnitEvent> {
    decided_last(events).filter(|event| event.after == State::Shadow)
}

/// When the owner did that.
pub(super) fn undone_ms(events: &[UnitEvent]) -> Option<i64> {
    let last = undone(events)?;
    let is_it = |event: &&UnitEvent| event.reason == decision(&last.reason);
    Some(events.iter().rev().find(is_it).unwrap_or(last).at_ms)
}

/// What the owner decided, where that was the last that came of a unit, but for what happened to its
/// sources.
fn decided_last(events: &[UnitEvent]) -> Option<&UnitEvent> {
    let away = |event: &UnitEvent| match event.after {
        State::Stale => true,
        State::Retired => event.reason.starts_with(life::GONE),
        State::Shadow => event.reason == STANDS,
        _ => false,
    };
    let last = events.iter().rev().find(|event| !away(event));
    last.filter(|event| event.reason.starts_with(life::BY_OWNER))
}

/// What was decided, of a reason that goes on with what happened since.
fn decision(reason: &str) -> &str {
    reason.split("; ").next().unwrap_or(reason)
}

/// The events before the comparisons that contested a unit last.
fn without_comparisons(events: &[UnitEvent]) -> &[UnitEvent] {
    let is_comparison =
        |event: &UnitEvent| event.after == State::Contested && is_comparison(&event.reason);
    let last = events.iter().rposition(|event| !is_comparison(event));
    &events[..last.map_or(0, |last| last + 1)]
}

/// Is it a file that contradicts a unit?
fn is_comparison(reason: &str) -> bool {
    Path::new(reason).is_absolute()
}

/// Why a unit is not contested any more.
const FREED: &str = "nothing contradicts it any more";

/// What spoke against a unit before the owner approved it.
fn settled(events: &[UnitEvent]) -> HashSet<String> {
    let approved = |event: &UnitEvent| {
        event.after == State::Active && event.reason.starts_with(life::BY_OWNER)
    };
    let before = events.iter().rposition(approved).unwrap_or(0);
    let contested = events[..before].iter();
    let contested = contested.filter(|event| event.after == State::Contested);
    contested.map(|event| event.reason.clone()).collect()
}

/// Where the sentences of a unit stand now; `None` if one of them stands nowhere in its document any
/// more, or means something else there.
fn found_again(bench: &Bench<'_>, unit: &Unit) -> Result<Option<Vec<Quotes>>, StoreError> {
    if !unit.is_verbatim() {
        // Its words are not those of its sources: whether they still follow is not for a string test.
        return Ok(None);
    }
    bench.store().ledger().read(|snapshot| {
        let mut sources: Vec<Quotes> = Vec::new();
        for quotes in &unit.sources {
            let Some(places) = places_of(snapshot, unit, quotes)? else {
                return Ok(None);
            };
            for (chunk, path, sentence) in places {
                match sources.iter_mut().find(|known| known.chunk == chunk) {
                    Some(known) => known.sentences.push(sentence),
                    None => sources.push(Quotes {
                        chunk,
                        path,
                        sentences: vec![sentence],
                    }),
                }
            }
        }
        // The order of its sentences is part of what it says, and so is what they stand under.
        let same = unit.is_of(&sources);
        Ok((same && is_titled(snapshot, unit, &sources)?).then_some(sources))
    })
}

/// Does the first sentence that a unit took from each document stand under what the unit is titled by,
/// now? So must those whose passage has changed: what they stood under before is not known.
fn is_titled(snapshot: &Snapshot<'_>, unit: &Unit, sources: &[Quotes]) -> Result<bool, StoreError> {
    for (n, quotes) in sources.iter().enumerate() {
        let rows = snapshot.passages_of(quotes.chunk, MOST_SHOWING)?;
        let is_new = unit.chunks().all(|chunk| chunk != quotes.chunk);
        let is_first = sources[..n].iter().all(|known| known.path != quotes.path);
        let looked_at = if is_new {
            quotes.sentences.len()
        } else {
            usize::from(is_first)
        };
        for sentence in &quotes.sentences[..looked_at] {
            let is_titled = |row: &Row| {
                let above = search::heading_of(row);
                let readable = Readable::of(&row.text, &quotes.path);
                let places = Surroundings::of_sentence(readable.text(), sentence);
                let mut about = places
                    .iter()
                    .map(|around| about_sentence(&row.title, above.as_deref(), around));
                let of_others = |about: &str| {
                    let titled = |question: &String| {
                        distil::title_of(about, (question, &unit.text), unit.trust) == unit.title
                    };
                    unit.questions.iter().any(titled)
                };
                let is_title = |about: &str| unit.titles().any(|title| title == about);
                about.any(|about| about == unit.title || is_title(&about) || of_others(&about))
            };
            if !rows.iter().any(is_titled) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Documents that show one chunk which are looked at.
const MOST_SHOWING: usize = 100;

/// Chunk and path of each of some sentences, now; none where one of them is not there. What others
/// wrote does not take the place of the owner's words.
fn places_of(
    snapshot: &Snapshot<'_>,
    unit: &Unit,
    quotes: &Quotes,
) -> Result<Option<Vec<(ChunkId, String, String)>>, StoreError> {
    let mut candidates = Vec::new();
    if let Some((_, text)) = snapshot.chunk_text(quotes.chunk)? {
        candidates.push((quotes.chunk, text));
    }
    candidates.extend(snapshot.chunks_at(&quotes.path)?);
    let mut places = Vec::new();
    for (n, sentence) in quotes.sentences.iter().enumerate() {
        let mut place = None;
        for (chunk, text) in &candidates {
            if !stands(
                Readable::of(text, &quotes.path).text(),
                &quotes.sentences,
                n,
            ) {
                continue;
            }
            let origins = snapshot.origins(*chunk)?;
            if judge::trust_of(&origins) >= unit.trust {
                let same = origins.iter().any(|origin| origin.path == quotes.path);
                let other = origins.first().map(|origin| origin.path.clone());
                let path = other
                    .filter(|_| !same)
                    .unwrap_or_else(|| quotes.path.clone());
                place = Some((*chunk, path, sentence.clone()));
                break;
            }
        }
        let Some(place) = place else {
            return Ok(None);
        };
        places.push(place);
    }
    Ok(Some(places))
}

/// Does a text hold one of some sentences as a whole, and, where that one points back to the sentence
/// before it, that one before it? The first of as many as are gone back points to what is not known.
fn stands(text: Text<'_>, sentences: &[String], n: usize) -> bool {
    let sentence = &sentences[n];
    let mut spans = sentence::sentences(text).into_iter();
    if !spans.any(|span| gate::is_sentence(&text[span], sentence)) {
        return false;
    }
    let before = n.checked_sub(1).map(|n| &sentences[n]);
    let led = |opener: &String| before.is_some_and(|before| gate::is_sentence(opener, before));
    let is_first = || {
        let last = sentences.get(n + distil::MOST_OPENERS);
        let openers = last
            .map(|last| distil::openers(text, last))
            .unwrap_or_default();
        let first = openers
            .first()
            .filter(|_| openers.len() == distil::MOST_OPENERS);
        first.is_some_and(|first| gate::is_sentence(first, sentence))
    };
    distil::openers(text, sentence).last().is_none_or(led) || is_first()
}

/// Asks the unit's question anew, of the notes as they are now, and judges the answer like any other.
fn distilled_again(bench: &Bench<'_>, unit: &Unit) -> Result<Judged, Failure> {
    let ask = Ask {
        id: unit.id.clone(),
        question: unit.questions[0].clone(),
        strategy: Strategy::Cascade,
        k: 5,
        source: None,
        kept: false,
        units: UseUnits::Off,
        remote: false,
        asker: None,
        asked_ms: bench.now_ms,
        limits: answer::Limits::default(),
    };
    let quoting = Answerer {
        generator: None,
        ..*bench.parts
    };
    let mut unheard = |_| ControlFlow::Continue(());
    let answer = answer::answer(&quoting, &ask, &Arc::default(), &mut unheard)?;
    judge::judge(bench, &answer, Reception::default())
}

/// Gives units vectors of the embedding model in use, where they have none.
fn embed_again(bench: &Bench<'_>) -> Result<(), Failure> {
    let model = bench.parts.searcher.space.indexes.model();
    let ledger = bench.store().ledger();
    for unit in ledger.read(|snapshot| snapshot.without_vectors(model))? {
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

/// Chunks that were ingested since the last round, above which all units are compared with the notes
/// as a whole: looking at each sentence would cost more.
const FEW: usize = 64;

/// Looks whether what was ingested since the last round contradicts a unit; those that it does not
/// speak of are left out. A round that is cut off is gone on with, whatever was ingested meanwhile;
/// then another one begins.
fn contradicted(bench: &Bench<'_>, report: &mut Report, stop: &AtomicBool) -> Result<(), Failure> {
    let ledger = bench.store().ledger();
    let read = ledger.read(|snapshot| {
        let memo = snapshot.memo(COMPARED)?.unwrap_or_default();
        let Some(round) = Round::read(&memo, snapshot.newest_edition()?, snapshot.marks()?) else {
            return Ok(None);
        };
        let mut units = snapshot.units(Some(State::Active), MOST_UNITS)?;
        units.extend(snapshot.units(Some(State::Shadow), MOST_UNITS)?);
        let mut contested = snapshot.units(Some(State::Contested), MOST_UNITS)?;
        contested.retain(|unit| is_comparison(&unit.reason));
        units.append(&mut contested);
        let texts = snapshot.texts_since(round.since.0, FEW + 1)?;
        let came = snapshot.came_since(round.since.1)?;
        Ok::<_, StoreError>(Some((round, units, texts, came)))
    })?;
    let Some((mut round, mut units, texts, came)) = read else {
        return Ok(());
    };
    units.retain(|unit| unit.id > round.after);
    units.sort_by(|a, b| a.id.cmp(&b.id));
    let few = texts.len() <= FEW;
    let sentences = texts.iter().flat_map(|(above, text)| {
        let spans = sentence::sentences(text.as_str()).into_iter();
        spans.map(move |span| {
            let about = about_within(text.as_str().into(), span.start, above);
            (&text[span], about)
        })
    });
    let sentences: HashSet<(&str, Cow<'_, str>)> = sentences.collect();
    for unit in &units {
        if stop.load(Ordering::Relaxed) || bench.nearly_over().is_some() {
            return Ok(());
        }
        // Those that were not there when the last round began, and those that lean on a second source,
        // which may be what has gone, are compared in any case.
        let moved = || match unit.state {
            State::Contested => ledger.read(|s| s.is_news(&unit.reason, round.since.0)),
            _ => Ok(leans_on_another(unit)),
        };
        let left_out = few && !came.contains(&unit.id) && !moved()?;
        let stated = stated(unit, &unit.sources);
        let speaks =
            |(said, about): &(&str, Cow<'_, str>)| speaks_of(&stated, said, about).is_some();
        if left_out && !sentences.iter().any(speaks) {
            continue;
        }
        compared_again(bench, unit, report, |t| {
            round.after.clone_from(&unit.id);
            ledger::put_memo(t, COMPARED, &round.written()?)
        })?;
    }
    round.after = DONE.into();
    let done = round.written()?;
    ledger.write(|t| ledger::put_memo(t, COMPARED, &done))?;
    Ok(())
}

/// Contests a unit that another document contradicts now, and takes one out of use that has lost the
/// second source it leant on; `noted` is written with it.
fn compared_again(
    bench: &Bench<'_>,
    unit: &Unit,
    report: &mut Report,
    noted: impl FnOnce(&Transaction<'_>) -> Result<(), StoreError>,
) -> Result<(), Failure> {
    let (verdict, second) = still_uncontested(bench, unit, &unit.sources)?;
    if unit.state == State::Contested {
        return contested_again(bench, unit, (&verdict, second), report, noted);
    }
    let alone = second < 1.0 && leans_on_another(unit);
    bench.store().ledger().write(|t| {
        if !verdict.passed {
            bench.move_unit(t, &unit.id, State::Contested, &verdict.reason)?;
            report.contested.push(unit.id.clone());
        } else if alone {
            batches::note_before(t, &bench.batch, &unit.id)?;
            set_second(t, unit, second)?;
            if unit.state == State::Active && !is_decided(unit) {
                let why = "no second source says it any more";
                life::move_unit(t, &unit.id, State::Shadow, why)?;
            }
        }
        noted(t)
    })?;
    Ok(())
}

/// Lets a contested unit be again what it was before, where nothing contradicts it any more, or says
/// what contradicts it now.
fn contested_again(
    bench: &Bench<'_>,
    unit: &Unit,
    (verdict, second): (&Verdict, f32),
    report: &mut Report,
    noted: impl FnOnce(&Transaction<'_>) -> Result<(), StoreError>,
) -> Result<(), Failure> {
    let ledger = bench.store().ledger();
    let events = ledger.read(|snapshot| snapshot.unit_events(&unit.id))?;
    let (mut state, mut why) = before_contested(without_comparisons(&events));
    if unit.trust < OWN && second < 1.0 && !why.starts_with(life::BY_OWNER) {
        (state, why) = (State::Shadow, FREED.to_owned());
    }
    let is_freed = ledger.write(|t| {
        let is_same = is_as(t, unit)?;
        if is_same && verdict.passed {
            batches::note_before(t, &bench.batch, &unit.id)?;
            set_second(t, unit, second)?;
            life::move_unit(t, &unit.id, state, &why)?;
        } else if is_same && verdict.reason != unit.reason {
            batches::note_before(t, &bench.batch, &unit.id)?;
            life::say_anew(t, &unit.id, State::Contested, &verdict.reason)?;
        }
        noted(t)?;
        Ok(verdict.passed && is_same)
    })?;
    if is_freed {
        let outcome = if state == State::Active {
            &mut report.promoted
        } else {
            &mut report.verified
        };
        outcome.push(unit.id.clone());
    }
    Ok(())
}

/// The state that a unit goes back to after these events, and why: what the owner decided goes on.
fn before_contested(events: &[UnitEvent]) -> (State, String) {
    let last = events.last().map_or(State::Shadow, |event| event.after);
    let decided = decided_last(events);
    let state = match decided.map_or(last, |event| event.after) {
        State::Active => State::Active,
        _ => State::Shadow,
    };
    let why = match decided {
        Some(event) => format!("{}; {FREED}", decision(&event.reason)),
        None => FREED.to_owned(),
    };
    (state, why)
}

/// Notes how many other sources say the same.
fn set_second(transaction: &Transaction<'_>, unit: &Unit, second: f32) -> Result<(), StoreError> {
    let mut scores = unit.scores.clone();
    scores.insert(units::SECOND_SOURCES.into(), second);
    units::set_scores(transaction, &unit.id, &scores)
}

/// Does a second source say what others wrote in it, as far as is known?
fn leans_on_another(unit: &Unit) -> bool {
    unit.trust < OWN && unit.score(units::SECOND_SOURCES) > 0.0
}

/// Are there units that were not compared with what was ingested last?
///
/// # Errors
/// What the ledger says.
pub(crate) fn is_to_compare(snapshot: &Snapshot<'_>) -> Result<bool, StoreError> {
    let memo = snapshot.memo(COMPARED)?.unwrap_or_default();
    let marks = snapshot.marks()?;
    if Round::read(&memo, snapshot.newest_edition()?, marks).is_none() {
        return Ok(false);
    }
    let any = |state| Ok::<_, StoreError>(!snapshot.units(Some(state), 1)?.is_empty());
    Ok(any(State::Active)? || any(State::Shadow)? || any(State::Contested)?)
}

/// How far contradictions were looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Round {
    /// The editions and events from which on things are new, as the last round left them.
    since: (i64, i64),
    /// Those from which on they will be new for the next one.
    next: (i64, i64),
    /// What the counter of editions was when it began.
    begun_at: i64,
    /// The last unit that was looked at.
    after: String,
}

/// Behind every id of a unit.
const DONE: &str = "~";

impl Round {
    /// The round that is under way, or the next one; `None` where nothing was ingested since the
    /// last one began. A memo that cannot be read, or is of another ledger, begins from nothing.
    fn read(memo: &str, counter: i64, marks: (i64, i64)) -> Option<Self> {
        let known: Self = serde_json::from_str(memo).unwrap_or_default();
        let under_way = !(known.after.is_empty() || known.after == DONE);
        if known.begun_at > counter {
            return Some(Self::begin((0, 0), counter, marks));
        }
        if under_way {
            return Some(known);
        }
        let news = known.begun_at != counter;
        news.then(|| Self::begin(known.next, counter, marks))
    }

    fn begin(since: (i64, i64), begun_at: i64, next: (i64, i64)) -> Self {
        Self {
            since,
            next,
            begun_at,
            after: String::new(),
        }
    }

    fn written(&self) -> Result<String, StoreError> {
        Ok(serde_json::to_string(self)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_that_was_cut_off_is_gone_on_with() {
        let read = |memo: &str| Round::read(memo, 7, (5, 50));
        let first = read("").unwrap();
        assert_eq!(
            (first.since, first.next, first.begun_at),
            ((0, 0), (5, 50), 7)
        );
        let mut round = Round {
            after: "ab12".into(),
            ..first
        };
        assert_eq!(read(&round.written().unwrap()), Some(round.clone()));
        round.after = DONE.into();
        let done = round.written().unwrap();
        assert_eq!(read(&done), None);
        let next = Round::read(&done, 9, (8, 60)).unwrap();
        assert_eq!((next.since, next.next), ((5, 50), (8, 60)));
        // A restored ledger counts from where it was.
        let anew = Round::read(&done, 3, (2, 20)).unwrap();
        assert_eq!(anew.since, (0, 0));
        assert_eq!(read("7 ~").unwrap().since, (0, 0));
    }

    fn event(after: State, reason: &str) -> UnitEvent {
        UnitEvent {
            before: None,
            after,
            reason: reason.into(),
            at_ms: 0,
        }
    }

    #[test]
    fn an_approval_counts_until_something_else_is_decided() {
        let check = |since: &[(State, &str)], expected: bool| {
            let mut events = vec![event(State::Active, "the owner approved it")];
            events.extend(since.iter().map(|(after, why)| event(*after, why)));
            assert_eq!(was_approved(&events), expected, "{since:?}");
        };
        let stale = (State::Stale, "what it rests on changed");
        check(&[], true);
        check(&[stale], true);
        check(&[stale, (State::Retired, life::GONE), stale], true);
        check(&[stale, (State::Retired, life::REJECTED), stale], false);
        check(&[(State::Shadow, "of no second source"), stale], false);
        check(&[(State::Active, "its answer was called good")], false);
    }

    #[test]
    fn what_was_contested_for_what_came_of_it_stays_contested() {
        let check = |events: &[(State, &str)], expected: Option<&str>| {
            let events: Vec<UnitEvent> = events.iter().map(|(s, why)| event(*s, why)).collect();
            assert_eq!(contested_by_use(&events), expected);
        };
        let asked = (State::Contested, "its question was asked again");
        let stale = (State::Stale, "what it rests on changed");
        check(&[asked, stale], Some(asked.1));
        check(&[asked, stale, stale], Some(asked.1));
        check(&[asked, (State::Shadow, STANDS), stale], None);
        check(
            &[
                (State::Contested, "/notes/b.md: one says 4, the other 5"),
                stale,
            ],
            None,
        );
        check(&[stale], None);
    }

    #[test]
    fn what_the_owner_undid_stays_so_until_something_else_comes_of_it() {
        let check = |since: &[(State, &str)], expected: Option<i64>| {
            let mut events = vec![event(State::Shadow, "the owner undid it")];
            events[0].at_ms = 7;
            events.extend(since.iter().map(|(after, why)| event(*after, why)));
            assert_eq!(undone_ms(&events), expected, "{since:?}");
        };
        let stale = (State::Stale, "what it rests on changed");
        let lie = (State::Contested, "/notes/b.md: one says 4, the other 5");
        let stands = "the owner undid it; its sentences still stand where they stood";
        let freed = "the owner undid it; nothing contradicts it any more";
        check(&[], Some(7));
        check(&[stale], Some(7));
        check(&[stale, (State::Shadow, stands)], Some(7));
        check(&[lie, (State::Shadow, freed)], Some(7));
        check(&[(State::Active, "the owner approved it")], None);
        check(&[(State::Shadow, "its answer was called good")], None);
    }

    #[test]
    fn what_nothing_contradicts_any_more_is_what_it_was() {
        let approved = (State::Active, "the owner approved it");
        let used = (
            State::Active,
            "another question is answered with what it says",
        );
        let undone = (State::Shadow, "the owner undid it");
        let lie = (State::Contested, "/notes/b.md: one says 4, the other 5");
        let other = (State::Contested, "/notes/c.md: one says 4, the other 6");
        let stale = (State::Stale, "what it rests on changed");
        let check = |events: &[(State, &str)], state: State, why: &str| {
            let events: Vec<UnitEvent> = events.iter().map(|(s, why)| event(*s, why)).collect();
            let found = before_contested(without_comparisons(&events));
            assert_eq!(found, (state, why.to_owned()), "{events:?}");
        };
        let (active, shadow) = (State::Active, State::Shadow);
        check(&[lie], shadow, FREED);
        check(&[used, lie], active, FREED);
        check(&[used, lie, other], active, FREED);
        let freed = "the owner approved it; nothing contradicts it any more";
        check(&[approved, lie], active, freed);
        check(&[approved, lie, (active, freed), other], active, freed);
        check(&[approved, stale, (shadow, STANDS), lie], active, freed);
        check(&[used, stale, (shadow, STANDS), lie], shadow, FREED);
        let undid = "the owner undid it; nothing contradicts it any more";
        check(&[used, undone, lie], shadow, undid);
    }

    #[test]
    fn the_first_sentence_of_a_long_story_points_to_what_is_not_known() {
        let text = "Bo ran. He sat. He ate. He lay. He slept. He woke. He left.";
        let check = |sentences: &[&str], n: usize, expected: bool| {
            let owned: Vec<String> = sentences.iter().map(|s| (*s).to_owned()).collect();
            assert_eq!(
                stands(Text::from(text), &owned, n),
                expected,
                "{owned:?} {n}"
            );
        };
        let all = ["He sat.", "He ate.", "He lay.", "He slept.", "He woke."];
        for n in 0..all.len() {
            check(&all, n, true);
        }
        check(&["Bo ran.", "He sat."], 1, true);
        check(&["He sat.", "He ate."], 0, false);
        check(&["Bo ran.", "He ate."], 1, false);
        check(&["He came."], 0, false);
    }

    #[test]
    fn what_the_owner_knew_is_settled() {
        let mut events = vec![
            event(State::Contested, "b.md: one says 4, the other 5"),
            event(State::Active, "the owner approved it"),
            event(State::Contested, "c.md: one says 4, the other 6"),
        ];
        let known = HashSet::from(["b.md: one says 4, the other 5".to_owned()]);
        assert_eq!(settled(&events), known);
        events.remove(1);
        assert!(settled(&events).is_empty());
    }
}
