//! The flywheel: what held up, as examples for fine-tuning a language model of the owner's own.
//!
//! Chat-format JSON lines with the very prompts that coho asks, so that an adapter trained on them
//! fits. Only answers that became a unit which is in use or in trial are examples; where the owner
//! called one answer to a question good and another one bad, that is a preference pair.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::answer::Answer;
use super::super::answer::prompt::{about, conversation, plain};
use super::super::evaluate::answers::said;
use crate::domain::chunk::ChunkId;
use crate::domain::unit::{OWN, State, Unit};
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

/// Hands every example to `each`; ends with the first error that it returns.
///
/// # Errors
/// What the ledger says, and what `each` returns.
pub fn examples(
    store: &Store,
    each: &mut dyn FnMut(&Example) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    store.ledger().read(|snapshot| {
        for state in [State::Active, State::Shadow] {
            for unit in snapshot.units(Some(state), super::MOST_UNITS)? {
                let chunks: Vec<ChunkId> = unit.chunks().collect();
                if !is_vouched_for(&unit) || !may_be_learned(snapshot, &chunks)? {
                    continue;
                }
                for question in &unit.questions {
                    each(&chat(&unit, question))?;
                }
            }
        }
        let mut judged: HashMap<String, [Option<Answer>; 2]> = HashMap::new();
        for (body, good) in snapshot.called()? {
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
        let mut pairs: Vec<_> = judged.into_values().collect();
        pairs.sort_by(|a, b| id_of(a).cmp(&id_of(b)));
        for pair in pairs {
            if let [Some(bad), Some(good)] = pair
                && may_be_shown(snapshot, &bad)?
                && may_be_shown(snapshot, &good)?
            {
                each(&preference(&bad, &good))?;
            }
        }
        Ok(())
    })
}

/// Is it in use, or of the owner's own words, or does anybody say the same?
fn is_vouched_for(unit: &Unit) -> bool {
    let score = |name: &str| unit.scores.get(name).copied().unwrap_or(0.0);
    unit.state == State::Active
        || unit.trust >= OWN
        || score(SECOND_SOURCES) > 0.0
        || score(GOOD) > 0.0
}

/// Is everything that an answer cites still there, and may it be learned from?
fn may_be_shown(snapshot: &Snapshot<'_>, answer: &Answer) -> Result<bool, StoreError> {
    let chunks = answer
        .citations
        .iter()
        .map(|citation| citation.chunk_id.parse());
    match chunks.collect::<Result<Vec<ChunkId>, _>>() {
        Ok(chunks) => may_be_learned(snapshot, &chunks),
        Err(_) => Ok(false),
    }
}

/// Are these passages visible, in sources that may be learned from?
fn may_be_learned(snapshot: &Snapshot<'_>, chunks: &[ChunkId]) -> Result<bool, StoreError> {
    for chunk in chunks {
        let origins = snapshot.origins(*chunk)?;
        if origins.is_empty() || origins.iter().any(|origin| !origin.writeback) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn id_of(pair: &[Option<Answer>; 2]) -> Option<&str> {
    pair.iter()
        .flatten()
        .next()
        .map(|answer| answer.id.as_str())
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
    let sentences = unit.sources.iter().flat_map(|quotes| &quotes.sentences);
    let sentences: Vec<String> = sentences.map(|sentence| plain(sentence)).collect();
    // As a unit is read: in one piece.
    let evidence = [(unit.title.clone(), sentences.join("\n\n"))];
    let mut messages = turns(&evidence, question);
    messages.push(Turn {
        role: "assistant".into(),
        content: plain(&unit.text),
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
        (about, plain(&citation.text))
    });
    Example::Preference {
        messages: turns(&evidence.collect::<Vec<_>>(), &good.question),
        chosen: said(&good.answer).trim().to_owned(),
        rejected: said(&bad.answer).trim().to_owned(),
    }
}
