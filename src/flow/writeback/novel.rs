//! What a new unit is beside those that are there: another one, a part of one, or one with a part.
//!
//! A unit that says what another says gives that one its question; two that rest on the same document
//! become one, distilled from the sources of both and never from what they say.

use std::collections::HashSet;
use std::path::PathBuf;

use super::judge::Made;
use super::{Bench, distil};
use crate::domain::gate::{self, Gate, Verdict};
use crate::domain::unit::{self, OWN, State, Unit};
use crate::error::Failure;
use crate::store::StoreError;
use crate::store::ledger::Snapshot;
use crate::store::units::life::BY_OWNER;
use crate::store::units::near::Reach;
use crate::store::units::{self, GOOD, SECOND_SOURCES, is_decided};

/// Cosine from which two units answer the same.
const SAME: f32 = 0.9;

/// Units that may answer the same.
const LIKE: Reach = Reach {
    least: SAME,
    limit: 3,
    always: f32::INFINITY,
};

/// Questions that a unit keeps.
pub(crate) const MOST_QUESTIONS: usize = 8;

/// Is it known already? A unit that says the same takes the question over; units that answer the
/// same from other sources are made into one, of all their sources.
///
/// # Errors
/// What the store and the models say.
pub(super) fn novel(bench: &Bench<'_>, mut unit: Unit) -> Result<(Verdict, Option<Made>), Failure> {
    let gate = Gate::Novel;
    let ledger = bench.store().ledger();
    let question = unit.questions[0].clone();
    let embedder = &bench.parts.searcher.space.embedder;
    let vector = embedder.few(vec![question.clone()])?.remove(0);
    let model = bench.parts.searcher.space.indexes.model();
    let everything = units::UseUnits::With(bench.trial.clone());
    let (known, near, rejected) = ledger.read(|snapshot| {
        let store = bench.store();
        let near = store.near_units(snapshot, model, &vector, &everything, LIKE)?;
        let known = said_already(snapshot, &unit)?;
        Ok::<_, StoreError>((known, near, snapshot.rejected_sentences()?))
    })?;
    // Broken into other lines it is the same sentence.
    let flat = |sentence: &String| sentence.split_whitespace().collect::<Vec<_>>().join(" ");
    let sentences = unit.sources.iter().flat_map(|quotes| &quotes.sentences);
    let said: HashSet<String> = sentences.map(flat).collect();
    let says =
        |one: &HashSet<String>| !one.is_empty() && one.iter().all(|s| said.contains(&flat(s)));
    if rejected.iter().any(says) {
        let why = "it says all that a unit says which the owner rejected";
        return Ok((Verdict::refused(gate, None, why), None));
    }
    if let Some(known) = known {
        return widened(bench, unit, &known);
    }
    let mut verdict = Verdict::passed(
        gate,
        near.first().map(|n| n.question_cosine),
        "nothing like it is known",
    );
    let same = near
        .iter()
        .find(|near| near.question_cosine >= SAME && gate::same_subject(&question, &near.question));
    if let Some(merged) = same.and_then(|near| merged(&unit, &near.unit)) {
        // The union may be what one of them says already.
        if let Some(known) = ledger.read(|snapshot| said_already(snapshot, &merged))? {
            return widened(bench, merged, &known);
        }
        verdict.reason = format!(
            "made of its sources and those of unit {}",
            merged.replaces[0]
        );
        unit = merged;
    }
    let vectors = distil::vectors(bench, &unit)?;
    Ok((verdict, Some((unit, vectors))))
}

/// The unit that says what this one says, of the same document: "Backups run at 3" of one server and of
/// another are two things. Older versions wrote code in one line.
fn said_already(snapshot: &Snapshot<'_>, unit: &Unit) -> Result<Option<Unit>, StoreError> {
    let mut texts = vec![unit.text.clone()];
    if unit.is_verbatim() {
        texts.push(Unit::text_of(&unit.sources));
    }
    for text in texts {
        for known in snapshot.units_saying(&text)? {
            if shares_document(snapshot, &known, unit)? {
                return Ok(Some(known));
            }
        }
    }
    Ok(None)
}

/// Does a known unit rest on a document that a new one rests on, or on a copy of it? Where what it rests
/// on is gone, its path tells, which two sources may both have.
fn shares_document(snapshot: &Snapshot<'_>, known: &Unit, unit: &Unit) -> Result<bool, StoreError> {
    let mut files: HashSet<PathBuf> = HashSet::new();
    for chunk in unit.chunks() {
        files.extend(
            snapshot
                .origins(chunk)?
                .into_iter()
                .map(|origin| origin.file),
        );
    }
    for quotes in &known.sources {
        let origins = snapshot.origins(quotes.chunk)?;
        let is_same = if origins.is_empty() {
            unit.sources.iter().any(|ours| ours.path == quotes.path)
        } else {
            origins.iter().any(|origin| files.contains(&origin.file))
        };
        if is_same || unit.chunks().any(|chunk| chunk == quotes.chunk) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// One unit of the sources of two, which takes the place of the known one once it is in use; `None`
/// where that would be long, where the owner decided about the known one, or where one of them says
/// all that the other says.
fn merged(unit: &Unit, known: &Unit) -> Option<Unit> {
    // Nobody's word for one of them is a word for the other.
    let own = known.trust >= OWN && unit.trust >= OWN;
    let one_holds_all = gate::holds_sentence(&known.text, &unit.text)
        || gate::holds_sentence(&unit.text, &known.text);
    if !(own && known.is_verbatim() && unit.is_verbatim()) || one_holds_all || is_decided(known) {
        return None;
    }
    let sources = distil::union(&unit.sources, known.sources.iter());
    let is_code = |sentence: &str| [unit, known].iter().any(|u| u.fenced(sentence).is_some());
    let text = Unit::text_with_code(&sources, is_code);
    let fits = sources.len() <= distil::MOST_SOURCES
        && text.split_whitespace().count() <= distil::MOST_WORDS;
    let question = &unit.questions[0];
    let more = known.questions.iter().filter(|q| *q != question);
    fits.then(|| Unit {
        id: Unit::id_of(&text, &sources),
        questions: std::iter::once(question)
            .chain(more.take(MOST_QUESTIONS - 1))
            .cloned()
            .collect(),
        trust: unit.trust.min(known.trust),
        title: unit::titled(unit.titles().chain(known.titles())),
        replaces: replaced_by_union(known),
        sources,
        text,
        ..unit.clone()
    })
}

/// What goes when the union with a unit comes into use: that unit, and what it was to take the place of
/// itself, where it is in trial.
fn replaced_by_union(known: &Unit) -> Vec<String> {
    let waiting = known
        .replaces
        .iter()
        .filter(|_| known.state == State::Shadow);
    std::iter::once(&known.id).chain(waiting).cloned().collect()
}

/// A unit that says what another says already: that one takes the question over, unless it is for
/// something else than the one that it was made for. What speaks against it counts in any case.
fn widened(
    bench: &Bench<'_>,
    unit: Unit,
    known: &Unit,
) -> Result<(Verdict, Option<Made>), Failure> {
    let gate = Gate::Novel;
    let question = unit.questions[0].clone();
    if known.state == State::Retired && known.reason.starts_with(BY_OWNER) {
        let why = format!("unit {} was taken out of use: {}", known.id, known.reason);
        return Ok((Verdict::refused(gate, None, why), None));
    }
    let back = matches!(known.state, State::Retired | State::Stale);
    // What the owner put in use knowing what speaks against it stays in use.
    let decided = known.state == State::Active && known.reason.starts_with(BY_OWNER);
    let contradicted = unit.state == State::Contested
        && matches!(known.state, State::Active | State::Shadow)
        && !decided;
    let another = known
        .questions
        .first()
        .is_some_and(|first| gate::asks_for_another(&question, first, &known.under_title()));
    let mut questions = known.questions.clone();
    // What an older version wrote in one line gets its lines.
    let with_lines = Unit {
        text: unit.text.clone(),
        ..known.clone()
    };
    let told_anew = known.text != unit.text && with_lines.is_verbatim();
    if back && another {
        // What it answered before it went out of use is another matter.
        questions.clear();
    }
    let full = questions.contains(&question) || questions.len() >= MOST_QUESTIONS;
    if !(back || contradicted || told_anew) && (another || full) {
        let why = if another && !questions.contains(&question) {
            format!(
                "unit {} says the same, and answers another question",
                known.id
            )
        } else {
            format!("unit {} answers it", known.id)
        };
        return Ok((Verdict::refused(gate, Some(1.0), why), None));
    }
    if !questions.contains(&question) && (back || !another) {
        questions.push(question);
    }
    questions.truncate(MOST_QUESTIONS);
    let (state, reason) = match (back, unit.state) {
        (false, State::Shadow) => (known.state, known.reason.clone()),
        (false, State::Contested) if decided => (known.state, known.reason.clone()),
        (_, State::Contested) => (State::Contested, unit.reason.clone()),
        (_, state) => (state, "found again".to_owned()),
    };
    let merged = Unit {
        state,
        questions,
        reason,
        ..if back {
            brought_back(unit, known)
        } else {
            vouched_anew(if told_anew { &with_lines } else { known }, &unit)
        }
    };
    let vectors = distil::vectors(bench, &merged)?;
    let why = if contradicted && another {
        format!("unit {} says the same, and is contested with it", merged.id)
    } else {
        format!(
            "unit {} says the same and answers this question, too",
            merged.id
        )
    };
    Ok((
        Verdict::passed(gate, Some(1.0), why),
        Some((merged, vectors)),
    ))
}

/// A unit in the place of one that is out of use and says the same.
fn brought_back(unit: Unit, known: &Unit) -> Unit {
    let mut back = Unit {
        id: known.id.clone(),
        batch: known.batch.clone(),
        made_ms: known.made_ms,
        replaces: known.replaces.clone(),
        ..unit
    };
    if let Some(good) = known.scores.get(GOOD) {
        back.scores.insert(GOOD.into(), *good);
    }
    back
}

/// A known unit: what it rests on, and what was found out about that, stays while it stands.
fn vouched_anew(known: &Unit, unit: &Unit) -> Unit {
    let mut scores = known.scores.clone();
    // Who vouched for it once may be gone.
    if let (Some(then), Some(now)) = (
        scores.get_mut(SECOND_SOURCES),
        unit.scores.get(SECOND_SOURCES),
    ) {
        *then = then.min(*now);
    }
    Unit {
        scores,
        ..known.clone()
    }
}
