//! Contradictions: whether another document speaks against what a unit says, or does not any more.
//!
//! Units are compared in rounds with what was ingested since the last one.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use super::super::compare::{Stated, about_within, compare, speaks_of};
use super::super::{Bench, MOST_UNITS, Report};
use super::history::{
    FREED, before_contested, is_comparison, settled, was_approved, without_comparisons,
};
use super::{is_as, is_over};
use crate::domain::gate::Verdict;
use crate::domain::sentence;
use crate::domain::unit::{OWN, Quotes, State, Unit};
use crate::error::Failure;
use crate::store::ledger::{Snapshot, Transaction};
use crate::store::units::evidence::Origin;
use crate::store::units::{self, batches, is_decided, life};
use crate::store::{StoreError, ledger};

/// The memo of how far contradictions were looked for.
const COMPARED: &str = "units_compared";

/// Chunks that were ingested since the last round, above which all units are compared with the notes
/// as a whole: looking at each sentence would cost more.
const FEW: usize = 64;

/// Looks whether what was ingested since the last round contradicts a unit; those that it does not
/// speak of are left out. A round that is cut off is gone on with, whatever was ingested meanwhile;
/// then another one begins.
pub(super) fn contradicted(
    bench: &Bench<'_>,
    report: &mut Report,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    let ledger = bench.store().ledger();
    let read = ledger.read(|snapshot| {
        let memo = snapshot.memo(COMPARED)?.unwrap_or_default();
        let Some(round) = Round::read(&memo, snapshot.newest_edition()?, snapshot.marks()?) else {
            return Ok(None);
        };
        let mut units = snapshot.units(Some(State::Active), MOST_UNITS)?;
        units.extend(snapshot.units(Some(State::Shadow), MOST_UNITS)?);
        units.extend(snapshot.units(Some(State::Contested), MOST_UNITS)?);
        units.retain(is_compared);
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
        if is_over(bench, stop) || bench.outdated()?.is_some() {
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
        let mut now = Cow::Borrowed(unit);
        loop {
            let noted = |t: &Transaction<'_>| {
                round.after.clone_from(&unit.id);
                ledger::put_memo(t, COMPARED, &round.written()?)
            };
            if compared_again(bench, &now, report, noted)? {
                break;
            }
            let anew = ledger.read(|snapshot| snapshot.unit_beginning(&unit.id))?;
            let Some(anew) = anew.filter(is_compared) else {
                break;
            };
            now = Cow::Owned(anew);
        }
    }
    round.after = DONE.into();
    let done = round.written()?;
    ledger.write(|t| ledger::put_memo(t, COMPARED, &done))?;
    Ok(())
}

/// Is it in use, in trial, or contested for what another document says?
fn is_compared(unit: &Unit) -> bool {
    match unit.state {
        State::Active | State::Shadow => true,
        State::Contested => is_comparison(&unit.reason),
        State::Stale | State::Retired => false,
    }
}

/// Contests a unit that another document contradicts now, takes one out of use that has lost the second
/// source it leant on, and gives one in trial the second source that came since; `noted` is written with
/// it. `false`, and nothing is written, where the owner decided about it meanwhile: what was found may not
/// hold for what it is now.
fn compared_again(
    bench: &Bench<'_>,
    unit: &Unit,
    report: &mut Report,
    noted: impl FnOnce(&Transaction<'_>) -> Result<(), StoreError>,
) -> Result<bool, Failure> {
    let (verdict, second) = still_uncontested(bench, unit, &unit.sources)?;
    if unit.state == State::Contested {
        return contested_again(bench, unit, (&verdict, second), report, noted);
    }
    let alone = second < 1.0 && leans_on_another(unit);
    let backed = unit.state == State::Shadow
        && unit.trust < OWN
        && second > unit.score(units::SECOND_SOURCES);
    let is_same = bench.store().ledger().write(|t| {
        if !is_as(t, unit)? {
            return Ok(false);
        }
        if !verdict.passed {
            bench.move_unit(t, &unit.id, State::Contested, &verdict.reason)?;
        } else if alone || backed {
            batches::note_before(t, &bench.batch, &unit.id)?;
            set_second(t, unit, second)?;
            if alone && unit.state == State::Active && !is_decided(unit) {
                let why = "no second source says it any more";
                life::move_unit(t, &unit.id, State::Shadow, why)?;
            }
        }
        noted(t)?;
        Ok(true)
    })?;
    if is_same && !verdict.passed {
        report.contested.push(unit.id.clone());
    }
    Ok(is_same)
}

/// Lets a contested unit be again what it was before, where nothing contradicts it any more, or says
/// what contradicts it now; returns what [`compared_again`] does.
fn contested_again(
    bench: &Bench<'_>,
    unit: &Unit,
    (verdict, second): (&Verdict, f32),
    report: &mut Report,
    noted: impl FnOnce(&Transaction<'_>) -> Result<(), StoreError>,
) -> Result<bool, Failure> {
    let ledger = bench.store().ledger();
    let events = ledger.read(|snapshot| snapshot.unit_events(&unit.id))?;
    let (mut state, mut why) = before_contested(without_comparisons(&events));
    if unit.trust < OWN && second < 1.0 && !why.starts_with(life::BY_OWNER) {
        (state, why) = (State::Shadow, FREED.to_owned());
    }
    let is_same = ledger.write(|t| {
        if !is_as(t, unit)? {
            return Ok(false);
        }
        if verdict.passed {
            batches::note_before(t, &bench.batch, &unit.id)?;
            set_second(t, unit, second)?;
            life::move_unit(t, &unit.id, state, &why)?;
        } else if verdict.reason != unit.reason {
            batches::note_before(t, &bench.batch, &unit.id)?;
            life::say_anew(t, &unit.id, State::Contested, &verdict.reason)?;
        }
        noted(t)?;
        Ok(true)
    })?;
    if is_same && verdict.passed {
        let outcome = if state == State::Active {
            &mut report.promoted
        } else {
            &mut report.verified
        };
        outcome.push(unit.id.clone());
    }
    Ok(is_same)
}

/// Does any other document contradict the one that a unit took its first sentence from? Also how many
/// say the same.
pub(in crate::flow::writeback) fn still_uncontested(
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

/// Notes how many other sources say the same.
pub(super) fn set_second(
    transaction: &Transaction<'_>,
    unit: &Unit,
    second: f32,
) -> Result<(), StoreError> {
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
}
