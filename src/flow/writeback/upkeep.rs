//! Upkeep: units whose sources changed, units that were never of use, units without vectors.
//!
//! A stale unit is verified again (its sentences still stand, perhaps in another chunk), distilled
//! again (its question is asked anew), or retired. Nothing stale is ever shown meanwhile: the ledger
//! saw to that in the transaction of the edit.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::answer::{self, Answerer, Ask, Strategy};
use super::judge::{self, Judged, Stated, compare};
use super::{Bench, MOST_UNITS, Report, distil};
use crate::domain::context;
use crate::domain::gate::{self, Verdict};
use crate::domain::unit::{OWN, Quotes, State, Unit};
use crate::error::Failure;
use crate::store::ledger::Snapshot;
use crate::store::units::{self, Origin, Reception, Transaction, UnitEvent, UseUnits};
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
    let stale = ledger.read(|snapshot| snapshot.units(Some(State::Stale), MOST_UNITS))?;
    for unit in stale {
        if stop.load(Ordering::Relaxed) || bench.over().is_some() {
            return Ok(());
        }
        renew(bench, &unit, report)?;
    }
    embed_again(bench)?;
    contradicted(bench, report, stop)?;
    let active = ledger.read(|snapshot| snapshot.units(Some(State::Active), MOST_UNITS))?;
    for unit in active {
        if unit.uses.retrieved >= USELESS && unit.uses.cited == 0 {
            let why = format!("near {} questions and never of use", unit.uses.retrieved);
            ledger.write(|t| {
                bench.move_unit(t, &unit.id, State::Retired, &why)?;
                units::bring_back(t, &unit.id)
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
    let words = ledger.read(|snapshot| {
        let heard = snapshot.memo(HEARD)?.and_then(|number| number.parse().ok());
        snapshot.owners_words(heard.unwrap_or(0))
    })?;
    for word in words {
        ledger.write(|transaction| {
            for unit in &word.units {
                let contested = heed_one(bench, transaction, unit, word.good)?;
                report.contested.extend(contested.then(|| unit.clone()));
            }
            ledger::put_memo(transaction, HEARD, &word.number.to_string())
        })?;
    }
    Ok(())
}

/// The memo of the last verdict that was heeded.
pub(crate) const HEARD: &str = "verdicts_heeded";

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
        units::note_before(transaction, &bench.batch, id)?;
        let mut scores = unit.scores;
        *scores.entry(units::GOOD.into()).or_default() += 1.0;
        units::set_scores(transaction, id, &scores)?;
        return Ok(false);
    }
    units::count_use(transaction, id, units::Use::Harmed)?;
    let why = "an answer that it led to was called bad";
    bench.move_unit(transaction, id, State::Contested, why)
}

/// Verifies a stale unit again, distils it again, or retires it.
fn renew(bench: &Bench<'_>, unit: &Unit, report: &mut Report) -> Result<(), Failure> {
    let ledger = bench.store().ledger();
    if let Some(sources) = found_again(bench, unit)? {
        let origins = origins_of(bench, &sources)?;
        let refused = unfit(bench, &sources, &origins)?;
        let (verdict, second) = still_uncontested(bench, unit, &sources)?;
        let mut scores = unit.scores.clone();
        scores.insert(judge::SECOND_SOURCES.into(), second);
        ledger.write(|transaction| {
            units::note_before(transaction, &bench.batch, &unit.id)?;
            if let Some(why) = &refused {
                units::move_unit(transaction, &unit.id, State::Retired, why)?;
                return units::bring_back(transaction, &unit.id).map(drop);
            }
            units::set_scores(transaction, &unit.id, &scores)?;
            units::put_evidence(transaction, &unit.id, &sources)?;
            units::set_trust(transaction, &unit.id, judge::trust_of(&origins))?;
            let why = "its sentences still stand where they stood";
            units::move_unit(transaction, &unit.id, State::Shadow, why)?;
            units::stale_if_gone(transaction, &unit.id)?;
            if !verdict.passed {
                units::move_unit(transaction, &unit.id, State::Contested, &verdict.reason)?;
            }
            Ok::<_, StoreError>(())
        })?;
        let outcome = if refused.is_some() {
            &mut report.retired
        } else {
            &mut report.verified
        };
        outcome.push(unit.id.clone());
        return Ok(());
    }
    let anew = distilled_again(bench, unit)?;
    let why = match &anew.unit {
        Some(new) => format!(
            "what it says no longer stands; unit {} took its place",
            new.id
        ),
        None => "what it says no longer stands".to_owned(),
    };
    let model = bench.parts.searcher.space.indexes.model();
    ledger.write(|transaction| {
        bench.move_unit(transaction, &unit.id, State::Retired, &why)?;
        units::bring_back(transaction, &unit.id)?;
        anew.keep(transaction, (&bench.batch, model))?;
        bench.spend(transaction, u32::from(anew.unit.is_some()))
    })?;
    report.made += usize::from(anew.unit.is_some());
    report.retired.push(unit.id.clone());
    Ok(())
}

fn origins_of(bench: &Bench<'_>, sources: &[Quotes]) -> Result<Vec<Origin>, StoreError> {
    bench.store().ledger().read(|snapshot| {
        let mut origins = Vec::new();
        for quotes in sources {
            origins.extend(snapshot.origins(quotes.chunk)?);
        }
        Ok(origins)
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
fn still_uncontested(
    bench: &Bench<'_>,
    unit: &Unit,
    sources: &[Quotes],
) -> Result<(Verdict, f32), Failure> {
    let (origins, settled) = bench.store().ledger().read(|snapshot| {
        let mut origins = Vec::new();
        for quotes in of_first(sources) {
            origins.extend(snapshot.origins(quotes.chunk)?);
        }
        Ok::<_, StoreError>((origins, settled(&snapshot.unit_events(&unit.id)?)))
    })?;
    let stated = Stated {
        origins: origins.iter().collect(),
        settled,
        ..stated(unit, sources)
    };
    compare(bench, &stated)
}

/// What a unit says by the document of its first sentence.
fn stated<'a>(unit: &'a Unit, sources: &'a [Quotes]) -> Stated<'a> {
    let sentences = of_first(sources).flat_map(|quotes| &quotes.sentences);
    Stated {
        question: unit.questions.first().map_or("", String::as_str),
        sentences: sentences.map(String::as_str).collect(),
        origins: Vec::new(),
        settled: HashSet::new(),
    }
}

/// The quotes from the document that the first one is from.
fn of_first(sources: &[Quotes]) -> impl Iterator<Item = &Quotes> {
    let first = sources.first().map_or("", |quotes| quotes.path.as_str());
    sources.iter().filter(move |quotes| quotes.path == first)
}

/// What spoke against a unit before the owner approved it.
fn settled(events: &[UnitEvent]) -> HashSet<String> {
    let approved = |event: &UnitEvent| {
        event.after == State::Active && event.reason.starts_with(units::BY_OWNER)
    };
    let before = events.iter().rposition(approved).unwrap_or(0);
    let contested = events[..before].iter();
    let contested = contested.filter(|event| event.after == State::Contested);
    contested.map(|event| event.reason.clone()).collect()
}

/// Where the sentences of a unit stand now; `None` if one of them stands nowhere in its document.
fn found_again(bench: &Bench<'_>, unit: &Unit) -> Result<Option<Vec<Quotes>>, StoreError> {
    if !unit.is_verbatim() {
        // Its words are not those of its sources: whether they still follow is not for a string test.
        return Ok(None);
    }
    bench.store().ledger().read(|snapshot| {
        let mut sources: Vec<Quotes> = Vec::new();
        for quotes in &unit.sources {
            if let Some((_, text)) = snapshot.chunk_text(quotes.chunk)?
                && quotes
                    .sentences
                    .iter()
                    .all(|s| gate::holds_sentence(&text, s))
            {
                sources.push(quotes.clone());
                continue;
            }
            let chunks = snapshot.chunks_at(&quotes.path)?;
            for sentence in &quotes.sentences {
                let holds = |(_, text): &&(_, String)| gate::holds_sentence(text, sentence);
                let Some((chunk, _)) = chunks.iter().find(holds) else {
                    return Ok(None);
                };
                match sources.iter_mut().find(|q| q.chunk == *chunk) {
                    Some(known) => known.sentences.push(sentence.clone()),
                    None => sources.push(Quotes {
                        chunk: *chunk,
                        path: quotes.path.clone(),
                        sentences: vec![sentence.clone()],
                    }),
                }
            }
        }
        // The order of its sentences is part of what it says.
        Ok((Unit::text_of(&sources) == unit.text).then_some(sources))
    })
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
        asked_ms: bench.now_ms,
        limits: answer::Limits::default(),
        spoken: false,
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
        ledger.write(|t| units::put_vectors(t, &unit.id, model, &vectors))?;
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
    let (newest, round) = ledger.read(|snapshot| {
        let newest = snapshot.newest_edition()?;
        let memo = snapshot.memo(COMPARED)?.unwrap_or_default();
        Ok::<_, StoreError>((newest, Round::read(&memo, newest)))
    })?;
    let Some(mut round) = round else {
        return Ok(());
    };
    let (mut units, texts) = ledger.read(|snapshot| {
        let mut units = snapshot.units(Some(State::Active), MOST_UNITS)?;
        units.extend(snapshot.units(Some(State::Shadow), MOST_UNITS)?);
        Ok::<_, StoreError>((units, snapshot.texts_since(round.since, FEW + 1)?))
    })?;
    units.retain(|unit| unit.id > round.after);
    units.sort_by(|a, b| a.id.cmp(&b.id));
    let few = texts.len() <= FEW;
    let sentences = texts.iter().flat_map(|text| {
        let spans = context::sentences(text).into_iter();
        spans.map(|span| &text[span])
    });
    let sentences: HashSet<&str> = sentences.collect();
    for unit in &units {
        if stop.load(Ordering::Relaxed) || bench.over().is_some() {
            return Ok(());
        }
        // One that leans on a second source is compared in any case: that may be what has gone.
        let stated = stated(unit, &unit.sources);
        let mut new = sentences.iter();
        if few && !leans_on_another(unit) && !new.any(|said| judge::is_about(&stated, said)) {
            continue;
        }
        compared_again(bench, unit, report, |t| {
            round.after.clone_from(&unit.id);
            ledger::put_memo(t, COMPARED, &round.written())
        })?;
    }
    let done = Round {
        since: round.begun_at,
        begun_at: round.begun_at.min(newest),
        after: DONE.into(),
    };
    ledger.write(|t| ledger::put_memo(t, COMPARED, &done.written()))?;
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
    let alone = second < 1.0 && leans_on_another(unit);
    bench.store().ledger().write(|t| {
        if !verdict.passed {
            bench.move_unit(t, &unit.id, State::Contested, &verdict.reason)?;
            report.contested.push(unit.id.clone());
        } else if alone {
            units::note_before(t, &bench.batch, &unit.id)?;
            let mut scores = unit.scores.clone();
            scores.insert(judge::SECOND_SOURCES.into(), second);
            units::set_scores(t, &unit.id, &scores)?;
            let why = "no second source says it any more";
            units::move_unit(t, &unit.id, State::Shadow, why)?;
        }
        noted(t)
    })?;
    Ok(())
}

/// Is it in use because a second source says what others wrote?
fn leans_on_another(unit: &Unit) -> bool {
    let score = |name: &str| unit.scores.get(name).copied().unwrap_or(0.0);
    let decided = unit.reason.starts_with(units::BY_OWNER) || score(units::GOOD) > 0.0;
    unit.state == State::Active
        && unit.trust < OWN
        && !decided
        && score(judge::SECOND_SOURCES) > 0.0
}

/// Are there units that were not compared with what was ingested last?
///
/// # Errors
/// What the ledger says.
pub(crate) fn is_to_compare(snapshot: &Snapshot<'_>) -> Result<bool, StoreError> {
    let memo = snapshot.memo(COMPARED)?.unwrap_or_default();
    if Round::read(&memo, snapshot.newest_edition()?).is_none() {
        return Ok(false);
    }
    let any = |state| Ok::<_, StoreError>(!snapshot.units(Some(state), 1)?.is_empty());
    Ok(any(State::Active)? || any(State::Shadow)?)
}

/// How far contradictions were looked for.
struct Round {
    /// What was ingested since this edition is looked at.
    since: i64,
    /// The newest edition when it began.
    begun_at: i64,
    /// The last unit that was looked at.
    after: String,
}

/// Behind every id of a unit.
const DONE: &str = "~";

impl Round {
    /// The round that is under way, or the next one; `None` where nothing was ingested since the
    /// last one began. The memo is `since begun_at after`; the first number was not always there.
    fn read(memo: &str, newest: i64) -> Option<Self> {
        let parts: Vec<&str> = memo.split(' ').collect();
        let (since, begun_at, after) = match parts[..] {
            [since, begun_at, after] => (since, begun_at, after),
            [begun_at, after] => ("0", begun_at, after),
            _ => ("0", memo, DONE),
        };
        let number = |text: &str| text.parse::<i64>().ok();
        let begun_at = number(begun_at).unwrap_or(-1);
        if after != DONE {
            return Some(Self {
                since: number(since).unwrap_or(0),
                begun_at,
                after: after.to_owned(),
            });
        }
        (begun_at != newest).then(|| Self {
            since: begun_at.max(0),
            begun_at: newest,
            after: String::new(),
        })
    }

    fn written(&self) -> String {
        format!("{} {} {}", self.since, self.begun_at, self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_that_was_cut_off_is_gone_on_with() {
        let read = |memo: &str| Round::read(memo, 7).map(|r| (r.since, r.begun_at, r.after));
        assert_eq!(read(""), Some((0, 7, String::new())));
        assert_eq!(read("7"), None);
        assert_eq!(read("7 ~"), None);
        assert_eq!(read("6 ~"), Some((6, 7, String::new())));
        assert_eq!(read("6 ab12"), Some((0, 6, "ab12".into())));
        assert_eq!(read("2 6 ab12"), Some((2, 6, "ab12".into())));
        assert_eq!(read("6 7 ~"), None);
        assert_eq!(read("2 6 ~"), Some((6, 7, String::new())));
        let round = Round::read("2 6 ab12", 7).unwrap();
        assert_eq!(read(&round.written()), Some((2, 6, "ab12".into())));
    }

    #[test]
    fn what_the_owner_knew_is_settled() {
        let event = |after: State, reason: &str| UnitEvent {
            before: None,
            after,
            reason: reason.into(),
            at_ms: 0,
        };
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
