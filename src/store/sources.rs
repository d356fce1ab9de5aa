//! Sources: the folders that the owner added, what is read of them, and what may come of it.
//!
//! Owns their rows in the ledger. Whatever was made of a source goes with it, in one transaction.
//! Refuses to look at the folders: a scan does, and says what it found.

use std::path::{Path, PathBuf};

use rusqlite::{Transaction, params};
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::documents::{remove_document, reserve_editions};
use super::ledger::{PURGE, Snapshot, put_memo};
use super::units::life;
use crate::domain::source::{DocumentId, SourceId};

type Result<T> = std::result::Result<T, StoreError>;

/// A source as the ledger knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Source {
    /// Its number.
    pub id: SourceId,
    /// Absolute path of its root folder.
    pub path: PathBuf,
    /// Glob patterns of what to read; everything readable when empty.
    pub include: Vec<String>,
    /// Glob patterns of what to leave out.
    pub exclude: Vec<String>,
    /// Whether knowledge units may be distilled from it.
    pub writeback: bool,
    /// Whether others wrote what is in it: knowledge from it needs a second source or the owner.
    #[serde(default)]
    pub outside: bool,
    /// Whether notes may be written into it through coho.
    #[serde(default)]
    pub notes: bool,
    /// Whether nothing of it may be sent to another machine, whatever is asked.
    #[serde(default)]
    pub never_leaves: bool,
    /// When it was added, milliseconds since 1970.
    pub added_ms: i64,
    /// When a scan of it last ended, milliseconds since 1970.
    pub synced_ms: Option<i64>,
    /// Why it is not read at present, although its documents are kept.
    #[serde(default)]
    pub away: Option<String>,
    /// Where its root was when it was last scanned.
    #[serde(skip)]
    pub root: RootId,
    /// Folders below the root on which something was mounted.
    #[serde(skip)]
    pub mounts: Vec<String>,
}

/// What is read of a source, and what may come of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Glob patterns of what to read; everything readable when empty.
    pub include: Vec<String>,
    /// Glob patterns of what to leave out.
    pub exclude: Vec<String>,
    /// See [`Source::writeback`].
    pub writeback: bool,
    /// See [`Source::outside`].
    pub outside: bool,
    /// See [`Source::notes`].
    pub notes: bool,
    /// See [`Source::never_leaves`].
    pub never_leaves: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            include: Vec::new(),
            exclude: Vec::new(),
            writeback: true,
            outside: false,
            notes: false,
            never_leaves: false,
        }
    }
}

impl Rules {
    /// Those of a source.
    pub fn of(source: &Source) -> Self {
        Self {
            include: source.include.clone(),
            exclude: source.exclude.clone(),
            writeback: source.writeback,
            outside: source.outside,
            notes: source.notes,
            never_leaves: source.never_leaves,
        }
    }

    /// These with what was said later: what that leaves unsaid stays as it is.
    #[must_use]
    pub fn with(self, said: &Self) -> Self {
        let patterns = |new: &Vec<String>, old| if new.is_empty() { old } else { new.clone() };
        Self {
            include: patterns(&said.include, self.include),
            exclude: patterns(&said.exclude, self.exclude),
            writeback: self.writeback && said.writeback,
            outside: self.outside || said.outside,
            notes: self.notes || said.notes,
            never_leaves: self.never_leaves || said.never_leaves,
        }
    }
}

/// Which folder a path leads to; all zero where that cannot be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RootId {
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

/// The path that somebody names, where `~` is their home folder.
pub fn path_named(name: &str, home: Option<&Path>) -> PathBuf {
    let below = match name {
        "~" => Some(""),
        _ => name.strip_prefix("~/"),
    };
    match (below, home) {
        (Some(below), Some(home)) => home.join(below),
        _ => PathBuf::from(name),
    }
}

/// The owner's home folder, where the system tells.
pub fn home() -> Option<PathBuf> {
    directories::BaseDirs::new().map(|folders| folders.home_dir().to_owned())
}

impl Snapshot<'_> {
    /// All sources, in the order in which they were added.
    pub(crate) fn sources(&self) -> Result<Vec<Source>> {
        let mut statement = self.0.prepare_cached(
            "SELECT id, path, include, exclude, writeback, added_ms, synced_ms, mounts,
                    root_device, root_inode, away, outside, notes, never_leaves
             FROM source ORDER BY id",
        )?;
        let rows = statement.query_map([], |row| {
            Ok((
                Source {
                    id: row.get(0)?,
                    path: PathBuf::from(row.get::<_, String>(1)?),
                    include: Vec::new(),
                    exclude: Vec::new(),
                    writeback: row.get(4)?,
                    added_ms: row.get(5)?,
                    synced_ms: row.get(6)?,
                    away: row.get(10)?,
                    outside: row.get(11)?,
                    notes: row.get(12)?,
                    never_leaves: row.get(13)?,
                    root: RootId {
                        device: row.get::<_, i64>(8)?.cast_unsigned(),
                        inode: row.get::<_, i64>(9)?.cast_unsigned(),
                    },
                    mounts: Vec::new(),
                },
                [row.get::<_, String>(2)?, row.get(3)?, row.get(7)?],
            ))
        })?;
        rows.map(|row| {
            let (mut source, [include, exclude, mounts]) = row?;
            source.include = serde_json::from_str(&include)?;
            source.exclude = serde_json::from_str(&exclude)?;
            source.mounts = serde_json::from_str(&mounts)?;
            Ok(source)
        })
        .collect()
    }

    /// Documents and problems of each source.
    pub(crate) fn counts_of(&self, source: SourceId) -> Result<(u64, u64)> {
        Ok(self.0.query_row(
            "SELECT (SELECT count(*) FROM document WHERE source_id = ?1),
                    (SELECT count(*) FROM problem WHERE source_id = ?1)",
            [source],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?)
    }
}

/// Adds a source.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn add_source(
    transaction: &Transaction<'_>,
    path: &str,
    rules: &Rules,
    now_ms: i64,
) -> Result<SourceId> {
    transaction.execute(
        "INSERT INTO source (path, include, exclude, writeback, outside, notes, added_ms, never_leaves)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            path,
            serde_json::to_string(&rules.include)?,
            serde_json::to_string(&rules.exclude)?,
            rules.writeback,
            rules.outside,
            rules.notes,
            now_ms,
            rules.never_leaves
        ],
    )?;
    Ok(SourceId(transaction.last_insert_rowid()))
}

/// Changes the rules of a source. Where nothing may be learned from it any more, or others turn out
/// to have written it, units that rest on it are `stale` until they were judged again.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn set_rules(transaction: &Transaction<'_>, source: &Source, rules: &Rules) -> Result<()> {
    transaction.execute(
        "UPDATE source SET include = ?2, exclude = ?3, writeback = ?4, outside = ?5, notes = ?6,
             never_leaves = ?7 WHERE id = ?1",
        params![
            source.id,
            serde_json::to_string(&rules.include)?,
            serde_json::to_string(&rules.exclude)?,
            rules.writeback,
            rules.outside,
            rules.notes,
            rules.never_leaves
        ],
    )?;
    if (source.writeback && !rules.writeback) || (!source.outside && rules.outside) {
        life::make_stale_of(transaction, source.id)?;
    }
    Ok(())
}

/// Says whether anything of a source may be sent to another machine; `false` where there is none.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn set_never_leaves(
    transaction: &Transaction<'_>,
    source: SourceId,
    never: bool,
) -> Result<bool> {
    let changed = transaction.execute(
        "UPDATE source SET never_leaves = ?2 WHERE id = ?1",
        params![source, never],
    )?;
    Ok(changed > 0)
}

/// Notes that a scan of a source has ended, and where its root and what is mounted below it are.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn mark_synced(
    transaction: &Transaction<'_>,
    source: SourceId,
    root: RootId,
    mounts: &[String],
    now_ms: i64,
) -> Result<()> {
    transaction.execute(
        "UPDATE source SET synced_ms = ?2, root_device = ?3, root_inode = ?4, mounts = ?5,
                away = NULL
         WHERE id = ?1",
        params![
            source,
            now_ms,
            root.device.cast_signed(),
            root.inode.cast_signed(),
            serde_json::to_string(mounts)?
        ],
    )?;
    Ok(())
}

/// Notes why a source is not read at present.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn mark_away(transaction: &Transaction<'_>, source: SourceId, reason: &str) -> Result<()> {
    transaction.execute(
        "UPDATE source SET away = ?2 WHERE id = ?1 AND away IS NOT ?2",
        params![source, reason],
    )?;
    Ok(())
}

/// Gives a source another root; what is known of its documents stays.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn move_source(transaction: &Transaction<'_>, source: SourceId, path: &str) -> Result<bool> {
    let moved = transaction.execute(
        "UPDATE source SET path = ?2, root_device = 0, root_inode = 0, mounts = '[]', away = NULL
         WHERE id = ?1",
        params![source, path],
    )?;
    Ok(moved > 0)
}

/// Removes a source with all that came from it.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn remove_source(transaction: &Transaction<'_>, source: SourceId) -> Result<bool> {
    let documents: Vec<DocumentId> = transaction
        .prepare_cached("SELECT id FROM document WHERE source_id = ?1")?
        .query_map([source], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for document in documents {
        remove_document(transaction, document)?;
    }
    transaction.execute("DELETE FROM problem WHERE source_id = ?1", [source])?;
    // Nothing is numbered so; who waits for changes learns of one.
    reserve_editions(transaction, 1)?;
    put_memo(transaction, PURGE, "due")?;
    Ok(transaction.execute("DELETE FROM source WHERE id = ?1", [source])? > 0)
}
