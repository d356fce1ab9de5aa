//! Knowledge units in the ledger: what they say and rest on, what became of them, what they are near.
//!
//! Units lie in the ledger alone, with their vectors. There are few of them, and what a search may
//! use must change in the very transaction that makes them stale; so there is no third index that
//! could lag behind. The vectors are kept in memory and read again when the ledger's clock of units
//! has moved. Events are written by triggers: no change of state goes past them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

pub use rusqlite::Transaction;
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row, ToSql, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Result;
use super::ledger::Snapshot;
use crate::domain::chunk::ChunkId;
use crate::domain::gate::Verdict;
use crate::domain::rank::dot;
use crate::domain::source::{Kind, SourceId, is_by_others, is_remembered, shown_name};
use crate::domain::unit::{Quotes, State, Unit, Uses};

/// What happened to a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnitEvent {
    /// Its state before; none when it was made.
    pub before: Option<State>,
    /// Its state after.
    pub after: State,
    /// Why.
    pub reason: String,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
}

/// An answer that writeback has not looked at.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its id.
    pub id: String,
    /// The whole of it.
    pub body: serde_json::Value,
    /// When it was asked, milliseconds since 1970.
    pub asked_ms: i64,
    /// Who asked, where that was not the owner.
    pub asker: Option<String>,
}

impl Candidate {
    /// What was asked.
    pub fn question(&self) -> String {
        self.body["question"].as_str().unwrap_or("").to_owned()
    }
}

/// The answer that was written last; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Newest {
    row: i64,
    id: String,
}

/// What the owner said and did about an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reception {
    /// Times it was called good.
    pub good: u32,
    /// Times it was called bad.
    pub bad: u32,
    /// Citations opened.
    pub opened: u32,
    /// Times it was copied.
    pub copied: u32,
    /// Times the question was asked again in other words: it did not help.
    pub asked_again: u32,
}

/// A question with known outcome.
#[derive(Clone, Debug)]
pub struct Past {
    /// The answer.
    pub answer: String,
    /// The question.
    pub question: String,
    /// When it was asked, milliseconds since 1970.
    pub asked_ms: i64,
    /// Chunks that it cites, in citation order.
    pub cited: Vec<ChunkId>,
    /// Sentences that it cites, in that order.
    pub sentences: Vec<String>,
    /// What the owner said and did.
    pub reception: Reception,
}

/// A run of writeback.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Batch {
    /// Its id.
    pub id: String,
    /// When it began, milliseconds since 1970.
    pub started_ms: i64,
    /// When it ended.
    pub ended_ms: Option<i64>,
    /// `running`, `published` or `rolled_back`.
    pub state: String,
    /// Why it is in that state.
    pub reason: String,
}

/// What writeback spent on a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spent {
    /// Seconds.
    pub seconds: f64,
    /// Joules.
    pub joules: f64,
    /// Units made.
    pub units: u32,
}

/// Where a chunk stands and whether knowledge may be made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Path of its document below its source.
    pub path: String,
    /// Whether its source allows writeback.
    pub writeback: bool,
    /// Whether others wrote it: its source says so, what kind of document it is, or its front matter.
    pub outside: bool,
    /// Whether an agent wrote it through coho.
    pub remembered: bool,
    /// Whether its source never leaves the machine.
    pub never_leaves: bool,
    /// Its source.
    pub source: SourceId,
    /// Its file.
    pub file: PathBuf,
}

/// What somebody with the owner's word said of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnersWord {
    /// Counts up with every verdict.
    pub number: i64,
    /// Whether the answer was called good.
    pub good: bool,
    /// Units that the answer became, or through which it was found.
    pub units: Vec<String>,
}

/// Milliseconds of a day.
pub(crate) const DAY_MS: i64 = 86_400_000;

const UNIT: &str =
    "SELECT id, state, title, text, questions, scores, batch, made_ms, trust, recipe,
        gates, reason, retrieved, cited, helped, harmed, replaces FROM unit";

impl Snapshot<'_> {
    /// Units in this state, or all, the newest first.
    pub(crate) fn units(&self, state: Option<State>, limit: usize) -> Result<Vec<Unit>> {
        let (clause, values): (_, Vec<Value>) = match state {
            Some(state) => ("WHERE state = ?1", vec![state.as_str().to_owned().into()]),
            None => ("", Vec::new()),
        };
        let sql = format!("{UNIT} {clause} ORDER BY made_ms DESC, id LIMIT {limit}");
        self.units_by(&sql, rusqlite::params_from_iter(values))
    }

    /// The unit that says this, in whatever state; one that is not retired before one that is.
    pub(crate) fn unit_saying(&self, text: &str) -> Result<Option<Unit>> {
        let sql =
            format!("{UNIT} WHERE text = ?1 ORDER BY state = 'retired', made_ms DESC LIMIT 1");
        Ok(self.units_by(&sql, [text])?.pop())
    }

    /// The unit of this id, or whose id begins so; `None` where there is none, or more than one.
    pub(crate) fn unit_beginning(&self, id: &str) -> Result<Option<Unit>> {
        // Not LIKE: an id holds no wildcards, what is asked for may.
        let sql = format!(
            "{UNIT} WHERE substr(id, 1, length(?1)) = ?1 AND ?1 <> '' ORDER BY id <> ?1 LIMIT 2"
        );
        let mut found = self.units_by(&sql, [id])?.into_iter();
        let first = found.next();
        Ok(first.filter(|first| first.id == id || found.next().is_none()))
    }

    fn units_by(&self, sql: &str, values: impl rusqlite::Params) -> Result<Vec<Unit>> {
        units_by(self.0, sql, values)
    }

    /// What happened to a unit, in order.
    pub(crate) fn unit_events(&self, id: &str) -> Result<Vec<UnitEvent>> {
        let mut statement = self.0.prepare_cached(
            "SELECT before, after, reason, at_ms FROM unit_event WHERE unit_id = ?1 ORDER BY id",
        )?;
        let rows = statement.query_map([id], |row| {
            let state = |name: Option<String>| name.and_then(|name| State::named(&name));
            Ok(UnitEvent {
                before: state(row.get(0)?),
                after: state(row.get(1)?).unwrap_or(State::Retired),
                reason: row.get(2)?,
                at_ms: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The answers that led to a unit, with their questions.
    pub(crate) fn answers_behind(&self, unit: &str) -> Result<Vec<(String, String)>> {
        let mut statement = self.0.prepare_cached(
            "SELECT c.answer_id, a.question FROM considered c JOIN answer a ON a.id = c.answer_id
             WHERE c.unit_id = ?1 ORDER BY 1",
        )?;
        let rows = statement.query_map([unit], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Units per state.
    pub(crate) fn unit_counts(&self) -> Result<HashMap<String, u64>> {
        let mut statement = self
            .0
            .prepare_cached("SELECT state, count(*) FROM unit GROUP BY state")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Answers since then that were not considered yet, oldest first.
    pub(crate) fn unconsidered(&self, since_ms: i64, limit: usize) -> Result<Vec<Candidate>> {
        self.candidates(&unconsidered(), since_ms, limit)
    }

    /// The newest answer, where none is left to be considered; `None` where one is. Nothing up to
    /// `known`, which is what this said before, is looked at again: answers are numbered as they are
    /// written, and what was considered stays so until it is erased.
    pub(crate) fn all_considered(&self, known: &Newest) -> Result<Option<Newest>> {
        // Where it is erased, its number may have been given again.
        let stands = self
            .0
            .prepare_cached("SELECT 1 FROM answer WHERE rowid = ?1 AND id = ?2")?
            .exists(params![known.row, known.id])?;
        let left = if stands {
            self.0
                .prepare_cached(
                    "SELECT 1 FROM answer WHERE rowid > ?1
                     AND id NOT IN (SELECT answer_id FROM considered)",
                )?
                .exists([known.row])?
        } else {
            !self.unconsidered(0, 1)?.is_empty()
        };
        if left {
            return Ok(None);
        }
        let newest = self
            .0
            .prepare_cached("SELECT rowid, id FROM answer ORDER BY rowid DESC LIMIT 1")?
            .query_row([], |row| {
                Ok(Newest {
                    row: row.get(0)?,
                    id: row.get(1)?,
                })
            })
            .optional()?;
        Ok(Some(newest.unwrap_or_default()))
    }

    /// Answers since then, oldest first.
    pub(crate) fn asked_since(&self, since_ms: i64, limit: usize) -> Result<Vec<Candidate>> {
        self.candidates(&asked(""), since_ms, limit)
    }

    fn candidates(&self, sql: &str, since_ms: i64, limit: usize) -> Result<Vec<Candidate>> {
        let mut statement = self.0.prepare_cached(sql)?;
        let mut rows = statement.query(params![since_ms, limit])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(Candidate {
                id: row.get(0)?,
                body: serde_json::from_str(&row.get::<_, String>(1)?)?,
                asked_ms: row.get(2)?,
                asker: row.get(3)?,
            });
        }
        Ok(found)
    }

    /// What was said and done about an answer. Only the owner's word is praise.
    pub(crate) fn reception(&self, answer: &str) -> Result<Reception> {
        let mut statement = self.0.prepare_cached(
            "SELECT verdict, count(*) FROM feedback
             WHERE answer_id = ?1 AND (giver IS NULL OR verdict = 'bad') GROUP BY verdict
             UNION ALL SELECT DISTINCT kind, 1 FROM signal WHERE answer_id = ?1",
        )?;
        let mut rows = statement.query([answer])?;
        let mut reception = Reception::default();
        while let Some(row) = rows.next()? {
            let count = row.get(1)?;
            match row.get::<_, String>(0)?.as_str() {
                "good" => reception.good = count,
                "bad" => reception.bad = count,
                "opened" => reception.opened = count,
                "copied" => reception.copied = count,
                "asked_again" => reception.asked_again = count,
                _ => {}
            }
        }
        Ok(reception)
    }

    /// The owner's questions whose answers were considered and cite what is still visible, the newest
    /// first. What units led to speaks for them alone where the owner called it good.
    pub(crate) fn past(&self, limit: usize) -> Result<Vec<Past>> {
        let mut statement = self.0.prepare_cached(
            "SELECT a.id, a.question, a.asked_ms, a.body FROM answer a JOIN considered c ON c.answer_id = a.id
             WHERE a.asker IS NULL AND EXISTS (SELECT 1 FROM citation WHERE answer_id = a.id)
             AND NOT EXISTS (SELECT 1 FROM citation WHERE answer_id = a.id
                             AND chunk_id NOT IN (SELECT id FROM chunk))
             ORDER BY a.asked_ms DESC, a.id LIMIT ?1",
        )?;
        let mut cited = self
            .0
            .prepare_cached("SELECT chunk_id FROM citation WHERE answer_id = ?1 ORDER BY n")?;
        let mut rows = statement.query([limit])?;
        let mut past = Vec::new();
        while let Some(row) = rows.next()? {
            let (answer, body): (String, String) = (row.get(0)?, row.get(3)?);
            let body: serde_json::Value = serde_json::from_str(&body)?;
            let reception = self.reception(&answer)?;
            let citations = body["citations"].as_array();
            let mut citations = citations.into_iter().flatten();
            let led = citations.clone().any(|c| c["unit_id"].is_string());
            if led && reception.good == 0 {
                continue;
            }
            let chunks = cited.query_map([&answer], |row| row.get(0))?;
            past.push(Past {
                reception,
                cited: chunks.collect::<rusqlite::Result<_>>()?,
                sentences: citations
                    .by_ref()
                    .filter_map(|c| c["text"].as_str().map(str::to_owned))
                    .collect(),
                answer,
                question: row.get(1)?,
                asked_ms: row.get(2)?,
            });
        }
        Ok(past)
    }

    /// Sentences of each unit that the owner rejected.
    pub(crate) fn rejected_sentences(&self) -> Result<Vec<HashSet<String>>> {
        let mut statement = self.0.prepare_cached(
            "SELECT u.id, e.quotes FROM unit_evidence e JOIN unit u ON u.id = e.unit_id
             WHERE u.state = 'retired' AND u.reason = ?1",
        )?;
        let mut rows = statement.query([REJECTED])?;
        let mut units: BTreeMap<String, HashSet<String>> = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let quotes: Vec<String> = serde_json::from_str(&row.get::<_, String>(1)?)?;
            units.entry(row.get(0)?).or_default().extend(quotes);
        }
        Ok(units.into_values().collect())
    }

    /// What was said with the owner's word after the verdict of this number, in that order, and the
    /// units that it is about.
    pub(crate) fn owners_words(&self, after: i64) -> Result<Vec<OwnersWord>> {
        let mut statement = self.0.prepare_cached(
            "SELECT f.id, f.verdict = 'good', a.body, c.unit_id FROM feedback f
             JOIN answer a ON a.id = f.answer_id LEFT JOIN considered c ON c.answer_id = a.id
             WHERE f.id > ?1 AND f.giver IS NULL ORDER BY f.id",
        )?;
        let mut rows = statement.query([after])?;
        let mut words = Vec::new();
        while let Some(row) = rows.next()? {
            let body: serde_json::Value = serde_json::from_str(&row.get::<_, String>(2)?)?;
            let citations = body["citations"].as_array().into_iter().flatten();
            let through = citations.filter_map(|c| c["unit_id"].as_str().map(str::to_owned));
            let mut units: Vec<String> = row.get::<_, Option<String>>(3)?.into_iter().collect();
            units.extend(through);
            units.sort();
            units.dedup();
            words.push(OwnersWord {
                number: row.get(0)?,
                good: row.get(1)?,
                units,
            });
        }
        Ok(words)
    }

    /// The number of the newest verdict with the owner's word; 0 where there is none.
    pub(crate) fn newest_word(&self) -> Result<i64> {
        let mut statement = self
            .0
            .prepare_cached("SELECT coalesce(max(id), 0) FROM feedback WHERE giver IS NULL")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// Answers that the owner called good (`true`) or bad, in the order in which that was said.
    pub(crate) fn called(&self) -> Result<Vec<(serde_json::Value, bool)>> {
        let mut statement = self.0.prepare_cached(
            "SELECT a.body, f.verdict = 'good' FROM feedback f JOIN answer a ON a.id = f.answer_id
             WHERE f.giver IS NULL ORDER BY f.id",
        )?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
        rows.map(|row| {
            let (body, good) = row?;
            Ok((serde_json::from_str(&body)?, good))
        })
        .collect()
    }

    /// Where a chunk stands, once for each document that shows it.
    pub(crate) fn origins(&self, chunk: ChunkId) -> Result<Vec<Origin>> {
        let mut statement = self.0.prepare_cached(
            "SELECT DISTINCT d.path, d.kind, s.writeback, s.outside, s.id, s.path,
                             s.never_leaves, coalesce(d.meta -> '$.properties', 'null')
             FROM passage p
             JOIN document d ON d.id = p.document_id JOIN source s ON s.id = d.source_id
             WHERE p.chunk_id = ?1 ORDER BY d.path",
        )?;
        let rows = statement.query_map([chunk], |row| {
            let kind = Kind::named(&row.get::<_, String>(1)?);
            let path: String = row.get(0)?;
            let properties: serde_json::Value =
                serde_json::from_str(&row.get::<_, String>(7)?).unwrap_or_default();
            let by_others = kind.is_some_and(Kind::is_from_others) || is_by_others(&properties);
            Ok(Origin {
                source: row.get(4)?,
                file: file_below(&row.get::<_, String>(5)?, &path),
                path,
                writeback: row.get(2)?,
                outside: row.get::<_, bool>(3)? || by_others,
                remembered: is_remembered(&properties),
                never_leaves: row.get(6)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The chunks that stand where a file of this path stands, below any source.
    pub(crate) fn chunks_at(&self, path: &str) -> Result<Vec<(ChunkId, String)>> {
        let mut statement = self.0.prepare_cached(
            "SELECT c.id, c.text FROM passage p JOIN document d ON d.id = p.document_id
             JOIN chunk c ON c.id = p.chunk_id WHERE d.path = ?1 ORDER BY d.id, p.ordinal",
        )?;
        let rows = statement.query_map([path], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// How many units, other than this one and retired ones, rest on a file that shows this chunk: the
    /// most of any.
    pub(crate) fn units_at(&self, chunk: ChunkId, other_than: &str) -> Result<usize> {
        let mut statement = self.0.prepare_cached(
            "SELECT coalesce(max(units), 0) FROM (
               SELECT count(DISTINCT u.id) AS units FROM passage here
               JOIN passage there ON there.document_id = here.document_id
               JOIN unit_evidence e ON e.chunk_id = there.chunk_id
               JOIN unit u ON u.id = e.unit_id AND u.id <> ?2 AND u.state <> 'retired'
               WHERE here.chunk_id = ?1 GROUP BY here.document_id)",
        )?;
        Ok(statement.query_row(params![chunk, other_than], |row| row.get(0))?)
    }

    /// How many units were made since a moment, other than this one, of what a source shows.
    pub(crate) fn units_of(
        &self,
        source: SourceId,
        since_ms: i64,
        other_than: &str,
    ) -> Result<usize> {
        let mut statement = self.0.prepare_cached(
            "SELECT count(DISTINCT u.id) FROM unit u JOIN unit_evidence e ON e.unit_id = u.id
             JOIN passage p ON p.chunk_id = e.chunk_id JOIN document d ON d.id = p.document_id
             WHERE d.source_id = ?1 AND u.made_ms >= ?2 AND u.id <> ?3",
        )?;
        Ok(statement.query_row(params![source, since_ms, other_than], |row| row.get(0))?)
    }

    /// Texts of the chunks of documents that changed since an edition, `most` of them at most.
    pub(crate) fn texts_since(&self, edition: i64, most: usize) -> Result<Vec<String>> {
        let mut statement = self.0.prepare_cached(
            "SELECT c.text FROM chunk c WHERE c.id IN (SELECT p.chunk_id FROM document d
               JOIN passage p ON p.document_id = d.id WHERE d.edition >= ?1) LIMIT ?2",
        )?;
        let rows = statement.query_map(params![edition, most], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The number behind those of all visible documents: what becomes visible later has one at least as
    /// high. Units that came or came back later have an event of a number at least as high.
    pub(crate) fn marks(&self) -> Result<(i64, i64)> {
        let mut statement = self.0.prepare_cached(
            "SELECT coalesce((SELECT max(edition) FROM document), 0) + 1,
                    coalesce((SELECT max(id) FROM unit_event), 0) + 1",
        )?;
        Ok(statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }

    /// Units that were made, or came back, since an event.
    pub(crate) fn came_since(&self, event: i64) -> Result<HashSet<String>> {
        let mut statement = self.0.prepare_cached(
            "SELECT unit_id FROM unit_event WHERE id >= ?1 AND after IN ('shadow', 'active')",
        )?;
        let rows = statement.query_map([event], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Counts up whenever a document changes or goes.
    pub(crate) fn newest_edition(&self) -> Result<i64> {
        let mut statement = self.0.prepare_cached("SELECT next_edition FROM counter")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// What writeback spent on the day of this moment.
    pub(crate) fn spent(&self, now_ms: i64) -> Result<Spent> {
        let found = self
            .0
            .prepare_cached("SELECT seconds, joules, units FROM spent WHERE day = ?1")?
            .query_row([now_ms.div_euclid(DAY_MS)], |row| {
                Ok(Spent {
                    seconds: row.get(0)?,
                    joules: row.get(1)?,
                    units: row.get(2)?,
                })
            })
            .optional()?;
        Ok(found.unwrap_or_default())
    }

    /// The newest batches.
    pub(crate) fn batches(&self, limit: usize) -> Result<Vec<Batch>> {
        let mut statement = self.0.prepare_cached(
            "SELECT id, started_ms, ended_ms, state, reason FROM batch
             ORDER BY started_ms DESC, id DESC LIMIT ?1",
        )?;
        let rows = statement.query_map([limit], |row| {
            Ok(Batch {
                id: row.get(0)?,
                started_ms: row.get(1)?,
                ended_ms: row.get(2)?,
                state: row.get(3)?,
                reason: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Units that have no vectors of this model, other than retired ones.
    pub(crate) fn without_vectors(&self, model: &str) -> Result<Vec<Unit>> {
        let sql = format!(
            "{UNIT} WHERE state <> 'retired'
             AND id NOT IN (SELECT unit_id FROM unit_vector WHERE model = ?1)"
        );
        self.units_by(&sql, [model])
    }

    fn unit_clock(&self) -> Result<i64> {
        let mut statement = self.0.prepare_cached("SELECT tick FROM unit_clock")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// Vectors of the units in use and in trial.
    fn unit_vectors(&self, model: &str) -> Result<HashMap<String, Vec<Vec<f32>>>> {
        let mut statement = self.0.prepare_cached(
            "SELECT v.unit_id, v.vector FROM unit_vector v JOIN unit u ON u.id = v.unit_id
             WHERE v.model = ?1 AND u.state IN ('shadow', 'active') ORDER BY v.unit_id, v.part",
        )?;
        let mut rows = statement.query([model])?;
        let mut vectors: HashMap<String, Vec<Vec<f32>>> = HashMap::new();
        while let Some(row) = rows.next()? {
            let bytes: Vec<u8> = row.get(1)?;
            let numbers = bytes.chunks_exact(4);
            let vector = numbers.map(|n| f32::from_le_bytes([n[0], n[1], n[2], n[3]]));
            let of_unit = vectors.entry(row.get(0)?).or_default();
            of_unit.push(vector.collect());
        }
        Ok(vectors)
    }
}

/// The `?2` oldest answers since `?1` that a clause holds for.
fn asked(clause: &str) -> String {
    format!(
        "SELECT id, body, asked_ms, asker FROM answer WHERE asked_ms >= ?1 {clause}
         ORDER BY asked_ms, id LIMIT ?2"
    )
}

/// Those that were not considered yet.
pub(super) fn unconsidered() -> String {
    asked("AND id NOT IN (SELECT answer_id FROM considered)")
}

/// A file as hits show it.
fn file_below(root: &str, path: &str) -> PathBuf {
    PathBuf::from(root).join(shown_name(path))
}

fn units_by(
    transaction: &Transaction<'_>,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<Unit>> {
    let mut statement = transaction.prepare_cached(sql)?;
    let rows = statement.query_map(values, |row| Ok(unit_of(row)))?;
    let mut units: Vec<Unit> = Vec::new();
    for unit in rows {
        units.push(unit??);
    }
    let mut evidence = transaction.prepare_cached(
        "SELECT chunk_id, path, quotes FROM unit_evidence WHERE unit_id = ?1 ORDER BY place",
    )?;
    for unit in &mut units {
        let rows = evidence.query_map([&unit.id], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?))
        })?;
        for row in rows {
            let (chunk, path, sentences) = row?;
            unit.sources.push(Quotes {
                chunk,
                path,
                sentences: serde_json::from_str(&sentences)?,
            });
        }
    }
    Ok(units)
}

fn unit_of(row: &Row<'_>) -> Result<Unit> {
    let json = |column: usize| -> Result<String> { Ok(row.get(column)?) };
    Ok(Unit {
        id: row.get(0)?,
        // The schema holds no other name.
        state: State::named(&row.get::<_, String>(1)?).unwrap_or(State::Retired),
        title: row.get(2)?,
        text: row.get(3)?,
        questions: serde_json::from_str(&json(4)?)?,
        scores: serde_json::from_str(&json(5)?)?,
        batch: row.get(6)?,
        made_ms: row.get(7)?,
        trust: row.get(8)?,
        recipe: row.get(9)?,
        gates: serde_json::from_str(&json(10)?)?,
        reason: row.get(11)?,
        uses: Uses {
            retrieved: row.get(12)?,
            cited: row.get(13)?,
            helped: row.get(14)?,
            harmed: row.get(15)?,
        },
        replaces: serde_json::from_str(&json(16)?)?,
        sources: Vec::new(),
    })
}

/// The unit of this id.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn unit(transaction: &Transaction<'_>, id: &str) -> Result<Option<Unit>> {
    Ok(units_by(transaction, &format!("{UNIT} WHERE id = ?1"), [id])?.pop())
}

/// Writes a unit with its evidence; one that is there keeps what it was good for.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn put_unit(transaction: &Transaction<'_>, unit: &Unit) -> Result<()> {
    transaction.execute(
        "INSERT INTO unit (id, state, title, text, questions, scores, batch, made_ms, trust, recipe,
                gates, reason, replaces)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (id) DO UPDATE SET state = excluded.state, title = excluded.title,
           questions = excluded.questions, scores = excluded.scores, gates = excluded.gates,
           trust = excluded.trust, recipe = excluded.recipe, reason = excluded.reason,
           replaces = excluded.replaces",
        params![
            unit.id,
            unit.state.as_str(),
            unit.title,
            unit.text,
            serde_json::to_string(&unit.questions)?,
            serde_json::to_string(&unit.scores)?,
            unit.batch,
            unit.made_ms,
            unit.trust,
            unit.recipe,
            serde_json::to_string(&unit.gates)?,
            unit.reason,
            serde_json::to_string(&unit.replaces)?
        ],
    )?;
    put_evidence(transaction, &unit.id, &unit.sources)?;
    stale_if_gone(transaction, &unit.id)
}

/// Makes a unit stale that rests on what is not visible: what it was made of may have changed between
/// reading and writing.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn stale_if_gone(transaction: &Transaction<'_>, unit: &str) -> Result<()> {
    if !rests_on_visible(transaction, unit)? || !is_allowed(transaction, unit)? {
        move_unit(transaction, unit, State::Stale, "what it rests on changed")?;
    }
    Ok(())
}

/// Do all sources that show what a unit rests on allow that anything is learned of them?
fn is_allowed(transaction: &Transaction<'_>, unit: &str) -> Result<bool> {
    let forbidden: bool = transaction
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM unit_evidence e JOIN passage p ON p.chunk_id = e.chunk_id
               JOIN document d ON d.id = p.document_id JOIN source s ON s.id = d.source_id
               WHERE e.unit_id = ?1 AND NOT s.writeback)",
        )?
        .query_row([unit], |row| row.get(0))?;
    Ok(!forbidden)
}

/// Says anew what a unit rests on.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn put_evidence(transaction: &Transaction<'_>, unit: &str, sources: &[Quotes]) -> Result<()> {
    transaction.execute("DELETE FROM unit_evidence WHERE unit_id = ?1", [unit])?;
    for (place, quotes) in sources.iter().enumerate() {
        transaction.execute(
            "INSERT INTO unit_evidence (unit_id, chunk_id, quotes, path, place)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                unit,
                quotes.chunk,
                serde_json::to_string(&quotes.sentences)?,
                quotes.path,
                place
            ],
        )?;
    }
    transaction.execute("UPDATE unit_clock SET tick = tick + 1", [])?;
    Ok(())
}

/// Moves a unit to another state; `false` where it is not there or may not go there.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn move_unit(
    transaction: &Transaction<'_>,
    unit: &str,
    to: State,
    reason: &str,
) -> Result<bool> {
    let state: Option<String> = transaction
        .prepare_cached("SELECT state FROM unit WHERE id = ?1")?
        .query_row([unit], |row| row.get(0))
        .optional()?;
    let from = state.and_then(|name| State::named(&name));
    if !from.is_some_and(|from| from.may_become(to)) {
        return Ok(false);
    }
    transaction
        .prepare_cached("UPDATE unit SET state = ?2, reason = ?3 WHERE id = ?1")?
        .execute(params![unit, to.as_str(), reason])?;
    Ok(true)
}

/// Says anew why a unit is in the state in which it is, which is an event of its own; `false` where it
/// is not there or in another state.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn say_anew(
    transaction: &Transaction<'_>,
    unit: &str,
    state: State,
    reason: &str,
) -> Result<bool> {
    let values = params![unit, state.as_str(), reason];
    let said = transaction
        .prepare_cached("UPDATE unit SET reason = ?3 WHERE id = ?1 AND state = ?2")?
        .execute(values)?;
    if said > 0 {
        transaction
            .prepare_cached(
                "INSERT INTO unit_event (unit_id, before, after, reason) VALUES (?1, ?2, ?2, ?3)",
            )?
            .execute(values)?;
    }
    Ok(said > 0)
}

/// Makes those units stale that rest on a chunk which is no longer visible.
pub(super) fn make_stale(transaction: &Transaction<'_>, chunk: ChunkId) -> Result<()> {
    transaction
        .prepare_cached(
            "UPDATE unit SET state = 'stale', reason = 'what it rests on changed'
             WHERE state IN ('shadow', 'active', 'contested')
             AND id IN (SELECT unit_id FROM unit_evidence WHERE chunk_id = ?1)",
        )?
        .execute([chunk])?;
    Ok(())
}

/// How the reason begins of a unit whose sentences were found nowhere any more.
pub const GONE: &str = "what it says no longer stands";

/// Why such a unit is looked at again.
pub const BACK: &str = "what it rests on came back";

/// Makes those units stale again that went because what they say no longer stood, once all that they
/// rest on is visible: a file may only have been away for a while. They are looked at like others whose
/// sources changed. What was contested before stays out, and so does what went for another reason.
pub(super) fn came_back(transaction: &Transaction<'_>, chunk: ChunkId) -> Result<()> {
    // The plus keeps SQLite from leafing through all that is retired.
    transaction
        .prepare_cached(
            "UPDATE unit SET state = 'stale', reason = ?3
             WHERE +state = 'retired' AND substr(reason, 1, length(?2)) = ?2
             AND id IN (SELECT unit_id FROM unit_evidence WHERE chunk_id = ?1)
             AND NOT EXISTS (SELECT 1 FROM unit_evidence e WHERE e.unit_id = unit.id
                             AND e.chunk_id NOT IN (SELECT id FROM chunk))
             AND (SELECT before FROM unit_event WHERE unit_id = unit.id AND after = 'stale'
                  AND before <> 'retired' ORDER BY id DESC LIMIT 1) IN ('shadow', 'active')",
        )?
        .execute(params![chunk, GONE, BACK])?;
    Ok(())
}

/// Makes those units stale that rest on a source whose rules changed.
pub(super) fn make_stale_of(transaction: &Transaction<'_>, source: SourceId) -> Result<()> {
    transaction.execute(
        "UPDATE unit SET state = 'stale', reason = 'the rules of its source changed'
         WHERE state IN ('shadow', 'active', 'contested')
         AND id IN (SELECT e.unit_id FROM unit_evidence e
             JOIN passage p ON p.chunk_id = e.chunk_id
             JOIN document d ON d.id = p.document_id WHERE d.source_id = ?1)",
        [source],
    )?;
    Ok(())
}

/// Sets how far a unit is trusted.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn set_trust(transaction: &Transaction<'_>, unit: &str, trust: f32) -> Result<()> {
    transaction.execute(
        "UPDATE unit SET trust = ?2 WHERE id = ?1",
        params![unit, trust],
    )?;
    Ok(())
}

/// Sets the vectors of a unit: of its questions, then of what it says.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn put_vectors(
    transaction: &Transaction<'_>,
    unit: &str,
    model: &str,
    vectors: &[Vec<f32>],
) -> Result<()> {
    transaction.execute(
        "DELETE FROM unit_vector WHERE unit_id = ?1 AND model = ?2",
        [unit, model],
    )?;
    for (part, vector) in vectors.iter().enumerate() {
        let bytes: Vec<u8> = vector.iter().flat_map(|n| n.to_le_bytes()).collect();
        transaction.execute(
            "INSERT INTO unit_vector (unit_id, model, part, vector) VALUES (?1, ?2, ?3, ?4)",
            params![unit, model, part, bytes],
        )?;
    }
    Ok(())
}

/// Notes what the gates said of an answer.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn put_considered(
    transaction: &Transaction<'_>,
    answer: &str,
    batch: &str,
    unit: Option<&str>,
    gates: &[Verdict],
) -> Result<()> {
    transaction.execute(
        "INSERT OR REPLACE INTO considered (answer_id, batch, unit_id, gates)
         VALUES (?1, ?2, ?3, ?4)",
        params![answer, batch, unit, serde_json::to_string(gates)?],
    )?;
    Ok(())
}

/// What a unit is counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// See [`Uses::retrieved`].
    Retrieved,
    /// See [`Uses::cited`].
    Cited,
    /// See [`Uses::harmed`].
    Harmed,
}

/// Counts a use of a unit.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn count_use(transaction: &Transaction<'_>, unit: &str, what: Use) -> Result<()> {
    let column = match what {
        Use::Retrieved => "retrieved",
        Use::Cited => "cited",
        Use::Harmed => "harmed",
    };
    transaction
        .prepare_cached(&format!(
            "UPDATE unit SET {column} = {column} + 1 WHERE id = ?1"
        ))?
        .execute([unit])?;
    Ok(())
}

/// Says how many other questions a unit led to their evidence.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn set_helped(transaction: &Transaction<'_>, unit: &str, count: u32) -> Result<()> {
    transaction
        .prepare_cached("UPDATE unit SET helped = max(helped, ?2) WHERE id = ?1")?
        .execute(params![unit, count])?;
    Ok(())
}

/// Is everything that a unit rests on visible?
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn rests_on_visible(transaction: &Transaction<'_>, unit: &str) -> Result<bool> {
    let gone: bool = transaction
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM unit_evidence WHERE unit_id = ?1
                            AND chunk_id NOT IN (SELECT id FROM chunk))",
        )?
        .query_row([unit], |row| row.get(0))?;
    Ok(!gone)
}

/// Begins a batch.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn begin_batch(transaction: &Transaction<'_>, batch: &str, now_ms: i64) -> Result<()> {
    transaction.execute(
        "INSERT INTO batch (id, started_ms, state) VALUES (?1, ?2, 'running')",
        params![batch, now_ms],
    )?;
    Ok(())
}

/// Ends a batch: published, or rolled back. One that was taken back meanwhile stays so.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn end_batch(
    transaction: &Transaction<'_>,
    batch: &str,
    published: bool,
    reason: &str,
    report: &impl Serialize,
    now_ms: i64,
) -> Result<()> {
    let state = if published {
        "published"
    } else {
        "rolled_back"
    };
    transaction.execute(
        "UPDATE batch SET state = ?2, reason = ?3, report = ?4, ended_ms = ?5
         WHERE id = ?1 AND (state = 'running' OR state = ?2)",
        params![batch, state, reason, serde_json::to_string(report)?, now_ms],
    )?;
    Ok(())
}

/// Forgets a batch in which nothing was judged and no unit changed; says whether it did.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn drop_empty_batch(transaction: &Transaction<'_>, batch: &str) -> Result<bool> {
    let dropped = transaction.execute(
        "DELETE FROM batch WHERE id = ?1 AND state = 'running'
         AND NOT EXISTS (SELECT 1 FROM considered WHERE batch = ?1)
         AND NOT EXISTS (SELECT 1 FROM unit_change WHERE batch = ?1)",
        [batch],
    )?;
    Ok(dropped > 0)
}

/// Adds to what writeback spent on the day of this moment.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn spend(transaction: &Transaction<'_>, spent: Spent, now_ms: i64) -> Result<()> {
    transaction.execute(
        "INSERT INTO spent (day, seconds, joules, units) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (day) DO UPDATE SET seconds = seconds + excluded.seconds,
           joules = joules + excluded.joules, units = units + excluded.units",
        params![
            now_ms.div_euclid(DAY_MS),
            spent.seconds,
            spent.joules,
            spent.units
        ],
    )?;
    Ok(())
}

/// Keeps what was done about an answer, once however often it is told; `false` when there is no such
/// answer.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn put_signal(
    transaction: &Transaction<'_>,
    answer: &str,
    kind: &str,
    now_ms: i64,
) -> Result<bool> {
    let known = transaction
        .prepare_cached("SELECT 1 FROM answer WHERE id = ?1")?
        .exists([answer])?;
    if known {
        transaction.execute(
            "INSERT INTO signal (answer_id, kind, at_ms) SELECT ?1, ?2, ?3 WHERE NOT EXISTS
               (SELECT 1 FROM signal WHERE answer_id = ?1 AND kind = ?2)",
            params![answer, kind, now_ms],
        )?;
    }
    Ok(known)
}

/// The unit in trial that was made of an answer, unless the owner called that answer good, or what it
/// cites is not there any more: then it is answered from elsewhere in any case.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn in_trial_of(transaction: &Transaction<'_>, answer: &str) -> Result<Option<String>> {
    let found = transaction
        .prepare_cached(
            "SELECT u.id FROM considered c JOIN unit u ON u.id = c.unit_id AND u.state = 'shadow'
             WHERE c.answer_id = ?1 AND NOT EXISTS (SELECT 1 FROM feedback f
               WHERE f.answer_id = ?1 AND f.verdict = 'good' AND f.giver IS NULL)
             AND NOT EXISTS (SELECT 1 FROM citation WHERE answer_id = ?1
               AND chunk_id NOT IN (SELECT id FROM chunk))",
        )?
        .query_row([answer], |row| row.get(0))
        .optional()?;
    Ok(found)
}

/// Takes units out of use: one, those of a batch, those made since a moment, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undo {
    /// One unit.
    Unit(String),
    /// All of a batch.
    Batch(String),
    /// All made since then, milliseconds since 1970.
    Since(i64),
    /// All.
    All,
}

/// Notes what a unit is before a batch changes it, the first time that it does.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn note_before(transaction: &Transaction<'_>, batch: &str, unit: &str) -> Result<()> {
    let before = self::unit(transaction, unit)?;
    let before = before.as_ref().map(serde_json::to_string).transpose()?;
    transaction.execute(
        "INSERT INTO unit_change (batch, unit_id, before) VALUES (?1, ?2, ?3)
         ON CONFLICT (batch, unit_id) DO NOTHING",
        params![batch, unit, before],
    )?;
    Ok(())
}

/// Why a unit went whose sources are those of another one now.
fn part_of(unit: &str) -> String {
    format!("became part of unit {unit}")
}

/// Retires the units that one takes the place of, now that it is in use.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn take_place(transaction: &Transaction<'_>, batch: Option<&str>, unit: &Unit) -> Result<()> {
    for old in unit.replaces.iter().filter(|old| **old != unit.id) {
        if let Some(batch) = batch {
            note_before(transaction, batch, old)?;
        }
        move_unit(transaction, old, State::Retired, &part_of(&unit.id))?;
    }
    Ok(())
}

/// Takes back what `what` names; returns how many units changed. What was made is retired. What was
/// there before says and answers again what it did; where the batch had brought it forward or had
/// put another unit in its place it goes back to its state, but what a gate has taken out of use
/// stays out, and so does what the owner has decided.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn undo(transaction: &Transaction<'_>, what: &Undo, reason: &str) -> Result<usize> {
    let (clause, value): (_, &dyn ToSql) = match what {
        Undo::Unit(id) => ("id = ?2", id),
        Undo::Batch(id) => ("batch = ?2", id),
        // A run that began before it made units after it.
        Undo::Since(ms) => (
            "(made_ms >= ?2 OR id IN (SELECT unit_id FROM unit_change
                                      WHERE before IS NULL AND at_ms >= ?2))",
            ms,
        ),
        Undo::All => ("?2 = 0", &0),
    };
    let made: Vec<String> = transaction
        .prepare_cached(&format!(
            "SELECT id FROM unit WHERE ?1 = ?1 AND {clause}
             AND (state <> 'retired' OR reason LIKE '{}%' OR reason LIKE '{GONE}%')",
            part_of("")
        ))?
        .query_map(params![reason, value], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for unit in &made {
        retire(transaction, unit, reason)?;
    }
    let mut changed: HashSet<String> = made.into_iter().collect();
    let mut touched = changed.clone();
    for before in changes(transaction, what)? {
        touched.insert(before.id.clone());
        if put_back(transaction, &before, reason)? {
            changed.insert(before.id);
        }
    }
    if *what != Undo::All {
        for unit in &touched {
            changed.extend(bring_back(transaction, unit)?);
        }
    }
    if let Undo::Batch(id) = what {
        transaction.execute(
            "UPDATE batch SET state = 'rolled_back', reason = ?2 WHERE id = ?1",
            [id.as_str(), reason],
        )?;
    }
    Ok(changed.len())
}

fn retire(transaction: &Transaction<'_>, unit: &str, reason: &str) -> Result<()> {
    // One that is out already could come back for its former reason.
    if say_anew(transaction, unit, State::Retired, reason)? {
        return Ok(());
    }
    transaction
        .prepare_cached("UPDATE unit SET state = 'retired', reason = ?2 WHERE id = ?1")?
        .execute([unit, reason])?;
    Ok(())
}

/// What units were before the batches in question, each as it was before the first of them.
fn changes(transaction: &Transaction<'_>, what: &Undo) -> Result<Vec<Unit>> {
    let (clause, value): (_, &dyn ToSql) = match what {
        Undo::Unit(_) | Undo::All => return Ok(Vec::new()),
        Undo::Batch(id) => ("batch = ?1", id),
        Undo::Since(ms) => ("at_ms >= ?1", ms),
    };
    let sql = format!("SELECT unit_id, before FROM unit_change WHERE {clause} ORDER BY id");
    let mut statement = transaction.prepare_cached(&sql)?;
    let mut rows = statement.query([value])?;
    let (mut seen, mut found) = (HashSet::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let first = seen.insert(row.get::<_, String>(0)?);
        if let Some(before) = row.get::<_, Option<String>>(1)?.filter(|_| first) {
            found.push(serde_json::from_str(&before)?);
        }
    }
    Ok(found)
}

/// How the reasons of the owner's decisions begin, and no others.
pub const BY_OWNER: &str = "the owner";

/// The score that counts how often the owner called answers good that led to a unit.
pub const GOOD: &str = "good";

/// The score that counts other sources that say the same.
pub const SECOND_SOURCES: &str = "second_sources";

/// Why a unit is out of use that the owner called wrong.
pub const REJECTED: &str = "the owner rejected it";

/// Makes a unit again what it was; says whether that changed anything.
fn put_back(transaction: &Transaction<'_>, before: &Unit, reason: &str) -> Result<bool> {
    let Some(now) = unit(transaction, &before.id)? else {
        return Ok(false);
    };
    // How far a unit has come; what is out of use stays out.
    let rank = |state: State| match state {
        State::Retired | State::Stale => 0,
        State::Contested => 1,
        State::Shadow => 2,
        State::Active => 3,
    };
    let decided = now.reason.starts_with(BY_OWNER);
    let forward = rank(now.state) > rank(before.state) && !decided;
    let (state, reason) = if forward {
        (before.state, reason)
    } else {
        (now.state, now.reason.as_str())
    };
    let mut anew = Unit {
        state,
        reason: reason.to_owned(),
        uses: now.uses,
        ..before.clone()
    };
    // What the owner said meanwhile was said.
    if let Some(good) = now.scores.get(GOOD) {
        anew.scores.insert(GOOD.into(), *good);
    }
    // Whoever said the same may have gone meanwhile.
    anew.trust = anew.trust.min(now.trust);
    if let Some(second) = anew.scores.get_mut(SECOND_SOURCES) {
        *second = second.min(now.scores.get(SECOND_SOURCES).copied().unwrap_or(0.0));
    }
    if anew == now {
        return Ok(false);
    }
    if anew.questions.len() < now.questions.len() {
        // The vectors of the questions that came later; the last one is of what it says.
        transaction.execute(
            "DELETE FROM unit_vector WHERE unit_id = ?1 AND part >= ?2 AND part < ?3",
            params![before.id, anew.questions.len(), now.questions.len()],
        )?;
    }
    put_unit(transaction, &anew)?;
    Ok(true)
}

/// Units that another one took the place of are what they were before, where it is out of use.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn bring_back(transaction: &Transaction<'_>, unit: &str) -> Result<Vec<String>> {
    let active: bool = transaction
        .prepare_cached("SELECT 1 FROM unit WHERE id = ?1 AND state = 'active'")?
        .exists([unit])?;
    if active {
        return Ok(Vec::new());
    }
    let why = part_of(unit);
    let mut statement = transaction.prepare_cached(
        "SELECT u.id, (SELECT e.before FROM unit_event e
                       WHERE e.unit_id = u.id AND e.reason = ?1 ORDER BY e.id DESC LIMIT 1)
         FROM unit u WHERE u.state = 'retired' AND u.reason = ?1",
    )?;
    let rows = statement.query_map([&why], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?))
    })?;
    let old: Vec<(String, Option<String>)> = rows.collect::<rusqlite::Result<_>>()?;
    let reason = format!("unit {unit}, which took its place, is out of use");
    for (id, before) in &old {
        let before = before.as_deref().and_then(State::named);
        transaction
            .prepare_cached("UPDATE unit SET state = ?2, reason = ?3 WHERE id = ?1")?
            .execute(params![
                id,
                before.unwrap_or(State::Shadow).as_str(),
                reason
            ])?;
        stale_if_gone(transaction, id)?;
    }
    Ok(old.into_iter().map(|(id, _)| id).collect())
}

/// Sets the numbers of a unit's gates.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn set_scores(
    transaction: &Transaction<'_>,
    unit: &str,
    scores: &BTreeMap<String, f32>,
) -> Result<()> {
    transaction.execute(
        "UPDATE unit SET scores = ?2 WHERE id = ?1",
        params![unit, serde_json::to_string(scores)?],
    )?;
    Ok(())
}

/// Which units a search may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UseUnits {
    /// None.
    Off,
    /// Those in use.
    #[default]
    Active,
    /// Those in use, and these.
    With(HashSet<String>),
    /// Those in use, but for these.
    Without(HashSet<String>),
}

impl UseUnits {
    fn allows(&self, unit: &Unit) -> bool {
        match self {
            Self::Off => false,
            Self::Active => unit.state == State::Active,
            Self::With(others) => unit.state == State::Active || others.contains(&unit.id),
            Self::Without(these) => unit.state == State::Active && !these.contains(&unit.id),
        }
    }
}

/// A unit near a query.
#[derive(Clone, Debug)]
pub struct NearUnit {
    /// The unit, without its gates.
    pub unit: Arc<Unit>,
    /// The best cosine of what it answers or says to the query.
    pub cosine: f32,
    /// The best cosine of a question that it answers.
    pub question_cosine: f32,
    /// That question.
    pub question: String,
}

/// The units in use and in trial, with their vectors, as they were at one tick of the clock.
#[derive(Default)]
pub struct Resident(Mutex<Option<Arc<Loaded>>>);

struct Loaded {
    tick: i64,
    model: String,
    units: Vec<(Arc<Unit>, Vec<Vec<f32>>)>,
}

impl Resident {
    /// The units nearest to a vector, nearest first, at most `limit`, those below `least` left out.
    ///
    /// # Errors
    /// [`StoreError::Ledger`](super::StoreError::Ledger).
    pub(crate) fn near(
        &self,
        snapshot: &Snapshot<'_>,
        model: &str,
        vector: &[f32],
        allowed: &UseUnits,
        least: f32,
        limit: usize,
    ) -> Result<Vec<NearUnit>> {
        if *allowed == UseUnits::Off {
            return Ok(Vec::new());
        }
        let loaded = self.loaded(snapshot, model)?;
        let mut near: Vec<NearUnit> = Vec::new();
        for (unit, vectors) in &loaded.units {
            if !allowed.allows(unit) {
                continue;
            }
            let cosines: Vec<f32> = vectors.iter().map(|other| dot(vector, other)).collect();
            let cosine = cosines.iter().copied().fold(-1.0, f32::max);
            if cosine < least {
                continue;
            }
            let asked = unit.questions.iter().zip(&cosines);
            let best = asked.max_by(|a, b| a.1.total_cmp(b.1));
            near.push(NearUnit {
                unit: Arc::clone(unit),
                cosine,
                question_cosine: best.map_or(-1.0, |(_, cosine)| *cosine),
                question: best.map_or_else(String::new, |(question, _)| question.clone()),
            });
        }
        near.sort_by(|a, b| {
            let order = b.cosine.total_cmp(&a.cosine);
            order.then_with(|| a.unit.id.cmp(&b.unit.id))
        });
        near.truncate(limit);
        Ok(near)
    }

    fn loaded(&self, snapshot: &Snapshot<'_>, model: &str) -> Result<Arc<Loaded>> {
        let tick = snapshot.unit_clock()?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = known.as_ref()
            && loaded.tick == tick
            && loaded.model == model
        {
            return Ok(Arc::clone(loaded));
        }
        let mut vectors = snapshot.unit_vectors(model)?;
        let mut units = Vec::new();
        for state in [State::Active, State::Shadow] {
            for mut unit in snapshot.units(Some(state), usize::MAX >> 1)? {
                unit.gates = Vec::new();
                let of_unit = vectors.remove(&unit.id).unwrap_or_default();
                units.push((Arc::new(unit), of_unit));
            }
        }
        let loaded = Arc::new(Loaded {
            tick,
            model: model.to_owned(),
            units,
        });
        // An older snapshot does not push out what a newer one has read.
        if known.as_ref().is_none_or(|known| known.tick <= tick) {
            *known = Some(Arc::clone(&loaded));
        }
        Ok(loaded)
    }
}

#[cfg(test)]
mod tests {
    use super::super::StoreError;
    use super::*;
    use crate::store::ledger::Ledger;

    fn with_ledger(filled: &str, check: impl FnOnce(&Ledger)) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ledger = Ledger::open(&folder.path().join("ledger.sqlite")).expect("a ledger");
        let written = ledger.write(|t| t.execute_batch(filled).map_err(StoreError::from));
        written.expect("what fits the schema");
        check(&ledger);
    }

    #[test]
    fn what_went_only_for_its_sources_comes_back_with_all_of_them() {
        let visible = ChunkId::of("", "here");
        let away = ChunkId::of("", "away");
        let check = |before: &str, why: &str, also: Option<ChunkId>, after: State| {
            with_ledger("", |ledger| {
                let unit = ledger.write(|t| {
                    t.execute(
                        "INSERT INTO chunk (id, heading, text, tokens) VALUES (?1, '[]', 'here', 1)",
                        [visible],
                    )?;
                    t.execute(
                        "INSERT INTO unit (id, state, title, text, questions, scores, batch, made_ms)
                         VALUES ('u', ?1, 't', 'one', '[\"x\"]', '{}', 'b', 1)",
                        [before],
                    )?;
                    for chunk in [Some(visible), also].into_iter().flatten() {
                        let sql = "INSERT INTO unit_evidence (unit_id, chunk_id) VALUES ('u', ?1)";
                        t.execute(sql, [chunk])?;
                    }
                    // Away twice: the second time it was looked at because it had come back.
                    move_unit(t, "u", State::Stale, "what it rests on changed")?;
                    move_unit(t, "u", State::Retired, GONE)?;
                    t.execute("UPDATE unit SET state = 'stale', reason = ?1", [BACK])?;
                    move_unit(t, "u", State::Retired, why)?;
                    came_back(t, visible)?;
                    unit(t, "u")
                });
                let unit = unit.unwrap().unwrap();
                assert_eq!(unit.state, after, "{before}, {why}");
                if after == State::Stale {
                    assert_eq!(unit.reason, BACK);
                }
            });
        };
        let replaced = format!("{GONE}; unit v took its place");
        check("active", GONE, None, State::Stale);
        check("shadow", &replaced, None, State::Stale);
        check("active", GONE, Some(away), State::Retired);
        check("contested", GONE, None, State::Retired);
        for why in [
            REJECTED,
            "the owner retired it",
            "the owner undid it",
            "replay: it led away from the evidence for “x”",
            "an answer that it led to was called bad",
            "near 30 questions and never of use",
        ] {
            check("active", why, None, State::Retired);
        }
    }

    const ANSWERS: &str = "INSERT INTO answer (id, question, body, asked_ms) VALUES
        ('a', 'Who?', '{}', 5), ('b', 'Where?', '{}', 1);";

    #[test]
    fn what_is_told_again_and_again_was_done_once() {
        with_ledger(ANSWERS, |ledger| {
            for at_ms in 0..100 {
                let told = ledger.write(|t| put_signal(t, "a", "opened", at_ms));
                assert!(told.unwrap());
            }
            // An older version kept each.
            let older = "INSERT INTO signal (answer_id, kind, at_ms) VALUES ('a', 'copied', 1),
                ('a', 'copied', 2)";
            let written = ledger.write(|t| t.execute(older, []).map_err(StoreError::from));
            assert_eq!(written.unwrap(), 2);
            let kept = "SELECT count(*) FROM signal WHERE kind = 'opened'";
            let kept = ledger.read(|s| {
                let count = s.0.query_row(kept, [], |row| row.get::<_, u32>(0));
                count.map_err(StoreError::from)
            });
            assert_eq!(kept.unwrap(), 1);
            let reception = ledger.read(|s| s.reception("a")).unwrap();
            assert_eq!((reception.opened, reception.copied), (1, 1));
            let other = ledger.read(|s| s.reception("b")).unwrap();
            assert_eq!(other, Reception::default());
        });
    }

    #[test]
    fn what_was_considered_is_not_looked_at_again() {
        with_ledger(ANSWERS, |ledger| {
            let all = |known: &Newest| ledger.read(|s| s.all_considered(known)).unwrap();
            let write = |sql: &str| {
                let written = ledger.write(|t| t.execute(sql, []).map_err(StoreError::from));
                assert!(written.unwrap() > 0);
            };
            let none = Newest::default();
            assert_eq!(all(&none), None);
            write("INSERT INTO considered VALUES ('a', 'x', NULL, '[]'), ('b', 'x', NULL, '[]')");
            let newest = all(&none).unwrap();
            assert_eq!(newest.id, "b");
            assert_eq!(all(&newest), Some(newest.clone()));
            // One that was asked before the others, and answered after them.
            write("INSERT INTO answer (id, question, body, asked_ms) VALUES ('c', '', '{}', 0)");
            assert_eq!(all(&newest), None);
            write("INSERT INTO considered VALUES ('c', 'x', NULL, '[]')");
            let newest = all(&newest).unwrap();
            assert_eq!(newest.id, "c");
            // The number of one that is erased is given again.
            write("DELETE FROM considered WHERE answer_id = 'c'");
            write("DELETE FROM answer WHERE id = 'c'");
            write("INSERT INTO answer (id, question, body, asked_ms) VALUES ('d', '', '{}', 9)");
            assert_eq!(all(&newest), None);
        });
    }
}
