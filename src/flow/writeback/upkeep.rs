//! Upkeep: units whose sources changed, units that were never of use, units without vectors.
//!
//! A stale unit is verified again (its sentences still stand, perhaps in another chunk), distilled
//! again (its question is asked anew), or retired. Nothing stale is ever shown meanwhile: the ledger
//! saw to that in the transaction of the edit.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::answer::{self, Answerer, Ask, Strategy};
use super::judge::{self, Judged, compare};
use super::{Bench, MOST_UNITS, Report, distil};
use crate::domain::gate::{self, Verdict};
use crate::domain::unit::{Quotes, State, Unit};
use crate::error::Failure;
use crate::store::units::{self, Reception, UseUnits};
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
    let stale = ledger.read(|snapshot| snapshot.units(Some(State::Stale), MOST_UNITS))?;
    for unit in stale {
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        renew(bench, &unit, report)?;
    }
    embed_again(bench)?;
    contradicted(bench, report, stop)?;
    let active = ledger.read(|snapshot| snapshot.units(Some(State::Active), MOST_UNITS))?;
    for unit in active {
        let uses = unit.uses;
        if uses.retrieved >= USELESS && uses.cited == 0 && uses.helped == 0 {
            let why = format!("near {} questions and never of use", uses.retrieved);
            ledger.write(|t| units::move_unit(t, &unit.id, State::Retired, &why))?;
            report.retired.push(unit.id);
        }
    }
    Ok(())
}

/// Verifies a stale unit again, distils it again, or retires it.
fn renew(bench: &Bench<'_>, unit: &Unit, report: &mut Report) -> Result<(), Failure> {
    let ledger = bench.store().ledger();
    if let Some(sources) = found_again(bench, unit)? {
        let verdict = still_uncontested(bench, unit, &sources)?;
        ledger.write(|transaction| {
            units::put_evidence(transaction, &unit.id, &sources)?;
            let why = "its sentences still stand where they stood";
            units::move_unit(transaction, &unit.id, State::Shadow, why)?;
            units::stale_if_gone(transaction, &unit.id)?;
            if !verdict.passed {
                units::move_unit(transaction, &unit.id, State::Contested, &verdict.reason)?;
            }
            Ok::<_, StoreError>(())
        })?;
        report.verified.push(unit.id.clone());
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
        units::move_unit(transaction, &unit.id, State::Retired, &why)?;
        anew.keep(transaction, model)
    })?;
    report.made += usize::from(anew.unit.is_some());
    report.retired.push(unit.id.clone());
    Ok(())
}

/// Does any other document contradict the one that a unit took its first sentence from?
fn still_uncontested(
    bench: &Bench<'_>,
    unit: &Unit,
    sources: &[Quotes],
) -> Result<Verdict, Failure> {
    let first = sources.first().map_or("", |quotes| quotes.path.as_str());
    let ours = sources.iter().filter(|quotes| quotes.path == first);
    let texts: Vec<&str> = ours
        .flat_map(|quotes| quotes.sentences.iter().map(String::as_str))
        .collect();
    let question = unit.questions.first().map_or("", String::as_str);
    Ok(compare(bench, question, &texts, &[first])?.0)
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

/// Looks whether what was ingested since the last time contradicts a unit.
fn contradicted(bench: &Bench<'_>, report: &mut Report, stop: &AtomicBool) -> Result<(), Failure> {
    let ledger = bench.store().ledger();
    let (newest, known) = ledger.read(|snapshot| {
        let known = snapshot.memo(COMPARED)?;
        Ok::<_, StoreError>((snapshot.newest_edition()?, known))
    })?;
    if known.as_deref() == Some(newest.to_string().as_str()) {
        return Ok(());
    }
    for state in [State::Active, State::Shadow] {
        for unit in ledger.read(|snapshot| snapshot.units(Some(state), MOST_UNITS))? {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let verdict = still_uncontested(bench, &unit, &unit.sources)?;
            if !verdict.passed {
                let why = &verdict.reason;
                ledger.write(|t| units::move_unit(t, &unit.id, State::Contested, why))?;
                report.contested.push(unit.id);
            }
        }
    }
    ledger.write(|t| ledger::put_memo(t, COMPARED, &newest.to_string()))?;
    Ok(())
}
