//! What units rest on: the sentences that they quote, where those stand, and what that allows.
//!
//! Evidence is named by its chunk, so that it says by itself whether it is still visible, and holds
//! its sentences, so that they are known when it is not.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use rusqlite::{Transaction, params};

use super::life::REJECTED;
use crate::domain::chunk::ChunkId;
use crate::domain::source::{Kind, SourceId, is_by_others, is_remembered, shown_name};
use crate::domain::unit::Quotes;
use crate::store::Result;
use crate::store::ledger::Snapshot;

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

impl Snapshot<'_> {
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

    /// Is the file that a reason begins with gone, or is it in an edition as new as this one?
    pub(crate) fn is_news(&self, reason: &str, edition: i64) -> Result<bool> {
        let mut statement = self.0.prepare_cached(
            "SELECT NOT EXISTS (
               SELECT 1 FROM document d JOIN source s ON s.id = d.source_id WHERE d.edition < ?2
               AND substr(?1, 1, length(s.path) + length(d.path) + 3)
                 = s.path || '/' || d.path || ': ')",
        )?;
        Ok(statement.query_row(params![reason, edition], |row| row.get(0))?)
    }

    /// How many units, other than this one and retired ones, rest on a file that shows this chunk: the
    /// most of any.
    pub(crate) fn units_at(&self, chunk: ChunkId, other_than: [&str; 2]) -> Result<usize> {
        let mut statement = self.0.prepare_cached(
            "SELECT coalesce(max(units), 0) FROM (
               SELECT count(DISTINCT u.id) AS units FROM passage here
               JOIN passage there ON there.document_id = here.document_id
               JOIN unit_evidence e ON e.chunk_id = there.chunk_id
               JOIN unit u ON u.id = e.unit_id AND u.id NOT IN (?2, ?3) AND u.state <> 'retired'
               WHERE here.chunk_id = ?1 GROUP BY here.document_id)",
        )?;
        let [one, other] = other_than;
        Ok(statement.query_row(params![chunk, one, other], |row| row.get(0))?)
    }

    /// How many units were made since a moment, other than this one, of what a source shows.
    pub(crate) fn units_of(
        &self,
        source: SourceId,
        since_ms: i64,
        other_than: [&str; 2],
    ) -> Result<usize> {
        let mut statement = self.0.prepare_cached(
            "SELECT count(DISTINCT u.id) FROM unit u JOIN unit_evidence e ON e.unit_id = u.id
             JOIN passage p ON p.chunk_id = e.chunk_id JOIN document d ON d.id = p.document_id
             WHERE d.source_id = ?1 AND u.made_ms >= ?2 AND u.id NOT IN (?3, ?4)",
        )?;
        let [one, other] = other_than;
        Ok(statement.query_row(params![source, since_ms, one, other], |row| row.get(0))?)
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
}

/// Says anew what a unit rests on.
///
/// # Errors
/// [`StoreError::Ledger`](crate::store::StoreError::Ledger).
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

/// Is everything that a unit rests on visible, and does every source that shows it allow that anything
/// is learned of it?
///
/// # Errors
/// [`StoreError::Ledger`](crate::store::StoreError::Ledger).
pub fn may_be_used(transaction: &Transaction<'_>, unit: &str) -> Result<bool> {
    let spoilt: bool = transaction
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM unit_evidence WHERE unit_id = ?1
                            AND chunk_id NOT IN (SELECT id FROM chunk))
             OR EXISTS (SELECT 1 FROM unit_evidence e JOIN passage p ON p.chunk_id = e.chunk_id
               JOIN document d ON d.id = p.document_id JOIN source s ON s.id = d.source_id
               WHERE e.unit_id = ?1 AND NOT s.writeback)",
        )?
        .query_row([unit], |row| row.get(0))?;
    Ok(!spoilt)
}

/// A file as hits show it.
fn file_below(root: &str, path: &str) -> PathBuf {
    PathBuf::from(root).join(shown_name(path))
}
