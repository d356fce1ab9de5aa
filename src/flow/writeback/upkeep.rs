//! Upkeep: units whose sources changed, units that were never of use, units without vectors.
//!
//! A stale unit is verified again (its sentences still stand, perhaps in another chunk), distilled
//! again (its question is asked anew), or retired. Nothing stale is ever shown meanwhile: the ledger
//! saw to that in the transaction of the edit. Where all that a retired one rests on comes back, the
//! ledger makes it stale once more: a file may have been away for a while.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use super::super::answer::prompt::about_sentence;
use super::super::answer::{self, Answerer, Ask, Strategy};
use super::super::search;
use super::judge::{self, Judged, Stated, compare};
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
use crate::store::units::{self, UseUnits, batches, near};
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
        batches::note_before(transaction, &bench.batch, id)?;
        let mut scores = unit.scores;
        *scores.entry(units::GOOD.into()).or_default() += 1.0;
        units::set_scores(transaction, id, &scores)?;
        return Ok(false);
    }
    units::count_use(transaction, id, units::Use::Harmed)?;
    let why = "an answer that it led to was called bad";
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
/// a note says so later, or this version of coho sees what an earlier one did not. What the owner
/// decided stays.
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
        let why = "what it rests on was written by others";
        ledger.write(|transaction| bench.move_unit(transaction, &unit, State::Stale, why))?;
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

/// Verifies a stale unit again, distils it again, or retires it.
fn renew(bench: &Bench<'_>, unit: &Unit, report: &mut Report) -> Result<(), Failure> {
    let ledger = bench.store().ledger();
    if let Some(sources) = found_again(bench, unit)? {
        let origins = origins_of(bench, &sources)?;
        let refused = unfit(bench, &sources, &origins)?;
        let (verdict, second) = still_uncontested(bench, unit, &sources)?;
        let mut scores = unit.scores.clone();
        scores.insert(judge::SECOND_SOURCES.into(), second);
        let approved = ledger.read(|snapshot| {
            let events = snapshot.unit_events(&unit.id)?;
            Ok::<_, StoreError>(was_approved(&events))
        })?;
        ledger.write(|transaction| {
            batches::note_before(transaction, &bench.batch, &unit.id)?;
            if let Some(why) = &refused {
                life::move_unit(transaction, &unit.id, State::Retired, why)?;
                return life::bring_back(transaction, &unit.id).map(drop);
            }
            units::set_scores(transaction, &unit.id, &scores)?;
            evidence::put_evidence(transaction, &unit.id, &sources)?;
            units::set_trust(transaction, &unit.id, judge::trust_of(&origins))?;
            let why = "its sentences still stand where they stood";
            life::move_unit(transaction, &unit.id, State::Shadow, why)?;
            life::stale_if_gone(transaction, &unit.id)?;
            if !verdict.passed {
                life::move_unit(transaction, &unit.id, State::Contested, &verdict.reason)?;
            } else if approved && evidence::rests_on_visible(transaction, &unit.id)? {
                let why = format!(
                    "{} approved it, and its sentences still stand",
                    life::BY_OWNER
                );
                life::move_unit(transaction, &unit.id, State::Active, &why)?;
                if unit.reason == life::BACK {
                    // While it was out, those that it is made of were in its place.
                    life::take_place(transaction, Some(&bench.batch), unit)?;
                }
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
    if bench.full().is_some() {
        // It stays out of use until something may take its place.
        return Ok(());
    }
    let anew = distilled_again(bench, unit)?;
    let why = match &anew.unit {
        Some(new) => format!("{}; unit {} took its place", life::GONE, new.id),
        None => life::GONE.to_owned(),
    };
    let model = bench.parts.searcher.space.indexes.model();
    ledger.write(|transaction| {
        bench.move_unit(transaction, &unit.id, State::Retired, &why)?;
        life::bring_back(transaction, &unit.id)?;
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
pub(super) fn still_uncontested(
    bench: &Bench<'_>,
    unit: &Unit,
    sources: &[Quotes],
) -> Result<(Verdict, f32), Failure> {
    let (origins, own, settled) = bench.store().ledger().read(|snapshot| {
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
        Ok::<_, StoreError>((origins, own, settled(&snapshot.unit_events(&unit.id)?)))
    })?;
    let sentences = own.iter().flat_map(|quotes| &quotes.sentences);
    let stated = Stated {
        sentences: sentences.map(String::as_str).collect(),
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
        above: unit.above(),
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

/// Was the owner's approval the last that was decided of a unit, before what it rests on changed, or was
/// gone for a while?
fn was_approved(events: &[UnitEvent]) -> bool {
    let away = |event: &UnitEvent| match event.after {
        State::Stale => true,
        State::Retired => event.reason.starts_with(life::GONE),
        _ => false,
    };
    let before = events.iter().rev().find(|event| !away(event));
    before.is_some_and(|event| {
        event.after == State::Active && event.reason.starts_with(life::BY_OWNER)
    })
}

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
        let same = Unit::text_of(&sources) == unit.text;
        Ok((same && is_titled(snapshot, unit, &sources)?).then_some(sources))
    })
}

/// Does the first sentence of a unit stand under what the unit is titled by, now? So must the others
/// of its document whose passage has changed: what they stood under before is not known.
fn is_titled(snapshot: &Snapshot<'_>, unit: &Unit, sources: &[Quotes]) -> Result<bool, StoreError> {
    for (n, quotes) in of_first(sources).enumerate() {
        let rows = snapshot.passages_of(quotes.chunk, MOST_SHOWING)?;
        let is_new = unit.chunks().all(|chunk| chunk != quotes.chunk);
        let looked_at = match n {
            _ if is_new => quotes.sentences.len(),
            0 => 1,
            _ => 0,
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
                about.any(|about| about == unit.title || of_others(&about))
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
    let mut before: Option<&str> = None;
    for sentence in &quotes.sentences {
        let mut place = None;
        for (chunk, text) in &candidates {
            if !stands(Readable::of(text, &quotes.path).text(), before, sentence) {
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
        before = Some(sentence);
    }
    Ok(Some(places))
}

/// Does a text hold a sentence as a whole, and, where that one points back to the sentence before it, that one
/// before it?
fn stands(text: Text<'_>, before: Option<&str>, sentence: &str) -> bool {
    let led = |opener: String| before.is_some_and(|before| gate::is_sentence(&opener, before));
    let mut spans = sentence::sentences(text).into_iter();
    let whole = spans.any(|span| gate::is_sentence(&text[span], sentence));
    whole && distil::opener(text, sentence).is_none_or(led)
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
        ledger.write(|t| near::put_vectors(t, &unit.id, model, &vectors))?;
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
    let sentences = texts.iter().flat_map(|text| {
        let spans = sentence::sentences(text).into_iter();
        spans.map(|span| &text[span])
    });
    let sentences: HashSet<&str> = sentences.collect();
    for unit in &units {
        if stop.load(Ordering::Relaxed) || bench.over().is_some() {
            return Ok(());
        }
        // Those that were not there when the last round began, and those that lean on a second source,
        // which may be what has gone, are compared in any case.
        let left_out = few && !came.contains(&unit.id) && !leans_on_another(unit);
        let stated = stated(unit, &unit.sources);
        if left_out && !sentences.iter().any(|said| judge::is_about(&stated, said)) {
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
    let alone = second < 1.0 && leans_on_another(unit);
    bench.store().ledger().write(|t| {
        if !verdict.passed {
            bench.move_unit(t, &unit.id, State::Contested, &verdict.reason)?;
            report.contested.push(unit.id.clone());
        } else if alone {
            batches::note_before(t, &bench.batch, &unit.id)?;
            let mut scores = unit.scores.clone();
            scores.insert(judge::SECOND_SOURCES.into(), second);
            units::set_scores(t, &unit.id, &scores)?;
            if unit.state == State::Active && !is_decided(unit) {
                let why = "no second source says it any more";
                life::move_unit(t, &unit.id, State::Shadow, why)?;
            }
        }
        noted(t)
    })?;
    Ok(())
}

/// Does a second source say what others wrote in it, as far as is known?
fn leans_on_another(unit: &Unit) -> bool {
    unit.trust < OWN && score_of(unit, judge::SECOND_SOURCES) > 0.0
}

/// Is it in use because the owner says so?
pub(super) fn is_decided(unit: &Unit) -> bool {
    unit.reason.starts_with(life::BY_OWNER) || score_of(unit, units::GOOD) > 0.0
}

fn score_of(unit: &Unit, name: &str) -> f32 {
    unit.scores.get(name).copied().unwrap_or(0.0)
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
    Ok(any(State::Active)? || any(State::Shadow)?)
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
