//! The flywheel: what held up, as examples for fine-tuning a language model of the owner's own.
//!
//! Chat-format JSON lines with the very prompts that coho asks, so that an adapter trained on them
//! fits. Only answers that became a unit which is in use or in trial are examples; where the owner
//! called one answer to a question good and another one bad, that is a preference pair.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::answer::Answer;
use super::super::answer::prompt::{conversation, parts_of, plain};
use super::super::evaluate::answers::said;
use super::super::search::about;
use crate::domain::chunk::ChunkId;
use crate::domain::unit::{OWN, State, Unit, fenced, joined};
use crate::engine::generate::Message;
use crate::store::ledger::Snapshot;
use crate::store::units::{GOOD, SECOND_SOURCES};
use crate::store::{Store, StoreError};

/// A turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Turn {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What is said.
    pub content: String,
}

/// One line of the export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Example {
    /// A question, its evidence, and an answer that was verified.
    Chat {
        /// The conversation, the answer last.
        messages: Vec<Turn>,
        /// The unit that vouches for it.
        unit: String,
        /// Ids of the chunks that it rests on.
        sources: Vec<String>,
    },
    /// Two answers to one question, of which the owner called one good and one bad.
    Preference {
        /// The conversation up to the answer.
        messages: Vec<Turn>,
        /// The good one.
        chosen: String,
        /// The bad one.
        rejected: String,
    },
}

/// What is left out of an export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Examples of a source that never leaves the machine: such a file is made to be taken to where
    /// models are trained.
    pub kept_here: usize,
    /// Units and answers that cannot be read.
    pub unreadable: usize,
}

/// Hands every example to `each`; ends with the first error that it returns. Returns how many were
/// left out.
///
/// # Errors
/// What the ledger says, and what `each` returns.
pub fn examples(
    store: &Store,
    each: &mut dyn FnMut(&Example) -> Result<(), StoreError>,
) -> Result<LeftOut, StoreError> {
    store.ledger().read(|snapshot| {
        let mut left_out = LeftOut::default();
        for state in [State::Active, State::Shadow] {
            for id in snapshot.unit_ids(state)? {
                match of_unit(snapshot, &id) {
                    Ok((Allowance::Free, chats)) => chats.iter().try_for_each(&mut *each)?,
                    Ok((Allowance::KeptHere, chats)) => left_out.kept_here += chats.len(),
                    Ok((Allowance::Closed, _)) => {}
                    Err(error) => {
                        tracing::warn!("unit {id} cannot be read: {error}");
                        left_out.unreadable += 1;
                    }
                }
            }
        }
        let (pairs, unreadable) = pairs(snapshot)?;
        left_out.unreadable += unreadable;
        for (bad, good) in pairs {
            let allowed = allowance(snapshot, &cited(&bad))
                .and_then(|of_bad| Ok(of_bad.max(allowance(snapshot, &cited(&good))?)));
            match allowed {
                Ok(Allowance::Free) => each(&preference(&bad, &good))?,
                Ok(Allowance::KeptHere) => left_out.kept_here += 1,
                Ok(Allowance::Closed) => {}
                Err(error) => {
                    tracing::warn!("what answer {} cites cannot be read: {error}", bad.id);
                    left_out.unreadable += 1;
                }
            }
        }
        Ok(left_out)
    })
}

/// The examples that a unit is, and what may be made of them; none where nobody vouches for it.
fn of_unit(snapshot: &Snapshot<'_>, id: &str) -> Result<(Allowance, Vec<Example>), StoreError> {
    let unit = snapshot.unit_beginning(id)?;
    let Some(unit) = unit.filter(is_vouched_for) else {
        return Ok((Allowance::Closed, Vec::new()));
    };
    let chunks: Vec<ChunkId> = unit.chunks().collect();
    let chats = unit.questions.iter().map(|question| chat(&unit, question));
    Ok((allowance(snapshot, &chunks)?, chats.collect()))
}

/// Answers to one question of which the owner called one bad and one good, and how many that were
/// judged cannot be read.
fn pairs(snapshot: &Snapshot<'_>) -> Result<(Vec<(Answer, Answer)>, usize), StoreError> {
    let mut judged: HashMap<String, [Option<Answer>; 2]> = HashMap::new();
    let mut unreadable = 0;
    for called in snapshot.called()? {
        let Some((body, good)) = called else {
            unreadable += 1;
            continue;
        };
        // Of another version.
        let Ok(answer) = serde_json::from_value::<Answer>(body) else {
            continue;
        };
        let pair = judged
            .entry(answer.question.trim().to_lowercase())
            .or_default();
        // Of two verdicts on one answer the later counts.
        let other = &mut pair[usize::from(!good)];
        if other.as_ref().is_some_and(|known| known.id == answer.id) {
            *other = None;
        }
        pair[usize::from(good)] = Some(answer);
    }
    let pairs = judged.into_values().filter_map(|[bad, good]| bad.zip(good));
    let mut pairs: Vec<(Answer, Answer)> = pairs.collect();
    pairs.sort_by(|a, b| a.0.id.cmp(&b.0.id));
    Ok((pairs, unreadable))
}

/// Is it in use, or of the owner's own words that nobody called bad, or does anybody say the same?
fn is_vouched_for(unit: &Unit) -> bool {
    unit.state == State::Active
        || unit.trust >= OWN && unit.uses.harmed == 0
        || unit.score(SECOND_SOURCES) > 0.0
        || unit.score(GOOD) > 0.0
}

/// The chunks that an answer cites.
fn cited(answer: &Answer) -> Vec<ChunkId> {
    let citations = answer.citations.iter();
    // What is no id is of no chunk, and no more to be seen than one that is gone.
    let chunk = |id: &str| id.parse().unwrap_or(ChunkId([0; 16]));
    citations
        .map(|citation| chunk(&citation.chunk_id))
        .collect()
}

/// What may be made of some passages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Allowance {
    Free,
    /// A source of theirs never leaves.
    KeptHere,
    /// They are gone, or nothing may be learned of them.
    Closed,
}

fn allowance(snapshot: &Snapshot<'_>, chunks: &[ChunkId]) -> Result<Allowance, StoreError> {
    let mut allowance = Allowance::Free;
    for chunk in chunks {
        let origins = snapshot.origins(*chunk)?;
        if origins.is_empty() || origins.iter().any(|origin| !origin.writeback) {
            return Ok(Allowance::Closed);
        }
        if origins.iter().any(|origin| origin.never_leaves) {
            allowance = Allowance::KeptHere;
        }
    }
    Ok(allowance)
}

fn turns(evidence: &[(String, String)], question: &str) -> Vec<Turn> {
    let messages = conversation(evidence, &format!("Question: {}", question.trim()));
    let turn = |message: Message| Turn {
        role: message.role.as_str().to_owned(),
        content: message.parts.concat(),
    };
    messages.into_iter().map(turn).collect()
}

fn chat(unit: &Unit, question: &str) -> Example {
    let parts = parts_of(unit);
    // As a unit is read: in one piece.
    let evidence = [(unit.title.clone(), parts.join("\n\n"))];
    let mut messages = turns(&evidence, question);
    messages.push(Turn {
        role: "assistant".into(),
        // Code is no code in one line.
        content: if unit.text.contains('\n') {
            joined(parts)
        } else {
            plain(&unit.text)
        },
    });
    Example::Chat {
        messages,
        unit: unit.id.clone(),
        sources: unit.chunks().map(|chunk| chunk.to_string()).collect(),
    }
}

fn preference(bad: &Answer, good: &Answer) -> Example {
    let evidence = good.citations.iter().map(|citation| {
        let about = about(&citation.title, citation.heading.as_deref());
        // The answer tells code of several lines as it is written.
        let code = fenced(&citation.text).filter(|code| good.answer.contains(code.as_str()));
        (about, code.unwrap_or_else(|| plain(&citation.text)))
    });
    Example::Preference {
        messages: turns(&evidence.collect::<Vec<_>>(), &good.question),
        chosen: said(&good.answer).trim().to_owned(),
        rejected: said(&bad.answer).trim().to_owned(),
    }
}
