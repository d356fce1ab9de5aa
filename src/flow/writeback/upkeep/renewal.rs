//! Stale units: verified again, distilled again, or retired.
//!
//! One is verified where its sentences still stand, perhaps in another chunk; else its question is
//! asked anew. Nothing stale is ever shown meanwhile: the ledger saw to that in the transaction of the
//! edit. Where all that a retired one rests on comes back, the ledger makes it stale once more: a file
//! may have been away for a while.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use super::super::judge::{self, Judged};
use super::super::{Bench, Report, crowded, distil};
use super::contradiction::{set_second, still_uncontested};
use super::history::{STANDS, contested_by_use, decision, undone, was_approved};
use super::is_as;
use crate::domain::chunk::ChunkId;
use crate::domain::gate;
use crate::domain::sentence;
use crate::domain::surroundings::Surroundings;
use crate::domain::text::{Readable, Text};
use crate::domain::unit::{OWN, Quotes, State, Unit};
use crate::error::Failure;
use crate::flow::answer::prompt::about_sentence;
use crate::flow::answer::{self, Answerer, Ask, Strategy};
use crate::flow::search;
use crate::store::StoreError;
use crate::store::feedback::Reception;
use crate::store::ledger::{Snapshot, Transaction};
use crate::store::passages::Row;
use crate::store::units::evidence::{self, Origin};
use crate::store::units::life::{self, UnitEvent};
use crate::store::units::{self, UseUnits, batches};

/// Verifies a stale unit again, distils it again, or retires it.
pub(super) fn renew(bench: &Bench<'_>, unit: &Unit, report: &mut Report) -> Result<(), Failure> {
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
        && crowded(bench, new, &unit.id, true)?.is_some()
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
/// before it, that one before it? The first of as many as are gone back points to what is not known. A
/// line that limits it must be one of them, too: it may have been written above it since.
fn stands(text: Text<'_>, sentences: &[String], n: usize) -> bool {
    let sentence = &sentences[n];
    let is = |span: &Range<usize>| gate::is_sentence(&text[span.clone()], sentence);
    let Some(span) = sentence::sentences(text).into_iter().find(is) else {
        return false;
    };
    let is_left_out = |line: Range<usize>| {
        let mut own = sentences.iter();
        !own.any(|own| gate::is_sentence(&text[line.clone()], own))
    };
    if gate::limiting(text, &span).is_some_and(is_left_out) {
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
        // Verdicts are on the unit as it was; whether it is right is not asked here.
        called_bad: Some(Vec::new()),
    };
    let quoting = Answerer {
        generator: None,
        ..*bench.parts
    };
    let mut unheard = |_| ControlFlow::Continue(());
    let answer = answer::answer(&quoting, &ask, &Arc::default(), &mut unheard)?;
    judge::judge(bench, &answer, Reception::default())
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_a_new_line_limits_stands_no_more() {
        let item = "- Open the red valve before the green one.";
        let check = |lead_in: &str, sentences: &[&str], expected: bool| {
            let text = format!("{lead_in}\n\n{item}\n- Run the pump dry.\n");
            let owned: Vec<String> = sentences.iter().map(|s| (*s).to_owned()).collect();
            let n = owned.len() - 1;
            let found = stands(Text::from(text.as_str()), &owned, n);
            assert_eq!(found, expected, "{lead_in} {owned:?}");
        };
        check("To start it:", &[item], true);
        let never = "Never do the following:";
        check(never, &[item], false);
        check(never, &[never, item], true);
    }
}
