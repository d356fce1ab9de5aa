//! Problems: files that could not be read, why, and since when.
//!
//! A file has at most one, which goes when the file is read.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rusqlite::{Transaction, params};

use super::StoreError;
use super::documents::{FileStat, stat_of};
use super::ledger::Snapshot;
use crate::domain::source::{DocumentId, SourceId};

type Result<T> = std::result::Result<T, StoreError>;

/// A file that failed, as a scan needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownProblem {
    /// Its file when it was tried.
    pub stat: Option<FileStat>,
    /// The reason.
    pub reason: String,
    /// How it was tried.
    pub recipe: String,
}

/// A file that was not ingested, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The source it belongs to.
    pub source: SourceId,
    /// Path below the source's root.
    pub path: String,
    /// The reason, for a person.
    pub reason: String,
    /// The file when it was tried; it is tried again when this changes.
    pub stat: Option<FileStat>,
    /// How it was tried; it is tried again when this changes.
    pub recipe: String,
}

impl Snapshot<'_> {
    /// Files that failed, by path.
    pub(crate) fn failed(&self, source: SourceId) -> Result<HashMap<String, KnownProblem>> {
        let mut statement = self.0.prepare_cached(
            "SELECT path, reason, recipe, size, mtime_ns, inode, ctime_ns
             FROM problem WHERE source_id = ?1",
        )?;
        let rows = statement.query_map([source], |row| {
            let size: Option<i64> = row.get(3)?;
            let known = KnownProblem {
                stat: size.map(|_| stat_of(row, 3)).transpose()?,
                reason: row.get(1)?,
                recipe: row.get(2)?,
            };
            Ok((row.get(0)?, known))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Files that could not be read: path, reason, since when (milliseconds since 1970).
    pub(crate) fn problems(&self) -> Result<Vec<(PathBuf, String, i64)>> {
        let mut statement = self.0.prepare_cached(
            "SELECT s.path, p.path, p.reason, p.since_ms FROM problem p
             JOIN source s ON s.id = p.source_id ORDER BY s.path, p.path",
        )?;
        let rows = statement.query_map([], |row| {
            let (root, path): (String, String) = (row.get(0)?, row.get(1)?);
            Ok((Path::new(&root).join(path), row.get(2)?, row.get(3)?))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

/// Notes that a file could not be read; keeps the time since when the same reason holds.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn put_problem(transaction: &Transaction<'_>, problem: &Problem, now_ms: i64) -> Result<()> {
    let stat = problem.stat;
    transaction.execute(
        "INSERT INTO problem
           (source_id, path, reason, size, mtime_ns, inode, since_ms, ctime_ns, recipe)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (source_id, path) DO UPDATE SET
           since_ms = CASE WHEN reason = excluded.reason THEN since_ms ELSE excluded.since_ms END,
           reason = excluded.reason, size = excluded.size,
           mtime_ns = excluded.mtime_ns, inode = excluded.inode,
           ctime_ns = excluded.ctime_ns, recipe = excluded.recipe",
        params![
            problem.source,
            problem.path,
            problem.reason,
            stat.map(|s| s.size.cast_signed()),
            stat.map(|s| s.mtime_ns),
            stat.map(|s| s.inode.cast_signed()),
            now_ms,
            stat.map(|s| s.ctime_ns),
            problem.recipe
        ],
    )?;
    Ok(())
}

/// Forgets a file's problem.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn clear_problem(transaction: &Transaction<'_>, source: SourceId, path: &str) -> Result<()> {
    transaction
        .prepare_cached("DELETE FROM problem WHERE source_id = ?1 AND path = ?2")?
        .execute(params![source, path])?;
    Ok(())
}

/// A document that is read has no problem where it stands.
pub(super) fn clear_problem_of(transaction: &Transaction<'_>, id: DocumentId) -> Result<()> {
    transaction
        .prepare_cached(
            "DELETE FROM problem WHERE (source_id, path) =
               (SELECT source_id, path FROM document WHERE id = ?1)",
        )?
        .execute([id])?;
    Ok(())
}
