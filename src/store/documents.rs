//! Documents: which files were read, and how what they show becomes visible or goes.
//!
//! Owns their rows, their passages' and chunks', and the numbers of editions. What goes is noted in
//! the same transaction: the indexes may forget it later, and units that rest on it become stale.
//! Refuses to read files and to write to the indexes: both is done before.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension, Transaction, params};

use super::ledger::Snapshot;
use super::problems::{clear_problem, clear_problem_of};
use super::units::life;
use super::{StoreError, select};
use crate::domain::chunk::{ChunkId, Passage};
use crate::domain::language::Language;
use crate::domain::source::{DocumentId, Edition, Kind, Meta, SourceId, is_by_others};

type Result<T> = std::result::Result<T, StoreError>;

/// What the file system said of a file when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileStat {
    /// Size in bytes.
    pub size: u64,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Inode number, or 0 where there is none.
    pub inode: u64,
    /// Time of the last change of the file or of what the system knows of it, nanoseconds since
    /// 1970; 0 where it is not known.
    pub ctime_ns: i64,
}

impl FileStat {
    /// The [`FileStat::ctime_ns`] of a file that changed so shortly before it was read that a
    /// later change may leave the same times.
    pub const YOUNG: i64 = -1;

    /// Does this mean the file that was read when the file system said `then`?
    pub fn is_as(&self, then: &Self) -> bool {
        let unknown = then.ctime_ns == 0 || self.ctime_ns == 0;
        (unknown || self.ctime_ns == then.ctime_ns) && self.identity() == then.identity()
    }

    /// What a rename leaves as it is: size, modification time, inode.
    pub fn identity(&self) -> (u64, i64, u64) {
        (self.size, self.mtime_ns, self.inode)
    }
}

/// What a scan needs to know of a document to tell whether its file changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The document.
    pub id: DocumentId,
    /// Its file when it was last read.
    pub stat: FileStat,
    /// BLAKE3 of its bytes.
    pub hash: [u8; 32],
    /// How it was read and cut.
    pub recipe: String,
}

/// A document that has been read, cut and is ready to be made visible.
#[derive(Clone, Debug)]
pub struct Ingested {
    /// The source it belongs to.
    pub source: SourceId,
    /// Path below the source's root, with `/` between names.
    pub path: String,
    /// Its file when it was read.
    pub stat: FileStat,
    /// BLAKE3 of its bytes.
    pub hash: [u8; 32],
    /// What kind of file it is.
    pub kind: Kind,
    /// What it says about itself.
    pub meta: Meta,
    /// How it was read and cut.
    pub recipe: String,
    /// The language that it is written in, where that can be told.
    pub language: Option<Language>,
    /// Its passages, in order.
    pub passages: Vec<Passage>,
}

/// A document as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its number.
    pub id: DocumentId,
    /// Its source.
    pub source: SourceId,
    /// Absolute path of its file.
    pub path: PathBuf,
    /// Its title.
    pub title: String,
    /// Its kind.
    pub kind: String,
    /// When its file was changed, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Its passages.
    pub passages: u64,
}

/// Counts for `coho status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Visible documents.
    pub documents: u64,
    /// Distinct visible chunks.
    pub chunks: u64,
    /// Files that could not be read.
    pub problems: u64,
}

impl Snapshot<'_> {
    /// What a scan of a source compares with: documents by path.
    pub(crate) fn known(&self, source: SourceId) -> Result<HashMap<String, Known>> {
        let mut statement = self.0.prepare_cached(
            "SELECT path, id, size, mtime_ns, inode, ctime_ns, hash, recipe
             FROM document WHERE source_id = ?1",
        )?;
        let rows = statement.query_map([source], |row| {
            Ok((
                row.get(0)?,
                Known {
                    id: row.get(1)?,
                    stat: stat_of(row, 2)?,
                    hash: row.get(6)?,
                    recipe: row.get(7)?,
                },
            ))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Visible documents behind the one numbered `after`, in order of their numbers.
    pub(crate) fn listed(
        &self,
        source: Option<SourceId>,
        after: DocumentId,
        limit: usize,
    ) -> Result<Vec<Listed>> {
        let mut statement = self.0.prepare_cached(
            "SELECT d.id, d.source_id, s.path, d.path, d.title, d.kind, d.mtime_ns,
                    (SELECT count(*) FROM passage WHERE document_id = d.id)
             FROM document d JOIN source s ON s.id = d.source_id
             WHERE d.id > ?1 AND (?2 IS NULL OR d.source_id = ?2) ORDER BY d.id LIMIT ?3",
        )?;
        let rows = statement.query_map(params![after, source, limit], |row| {
            let (root, path): (String, String) = (row.get(2)?, row.get(3)?);
            Ok(Listed {
                id: row.get(0)?,
                source: row.get(1)?,
                path: Path::new(&root).join(path),
                title: row.get(4)?,
                kind: row.get(5)?,
                mtime_ns: row.get(6)?,
                passages: row.get(7)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// How many documents are visible.
    pub(crate) fn documents(&self) -> Result<u64> {
        let mut statement = self.0.prepare_cached("SELECT count(*) FROM document")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// A hash of the contents of all visible documents.
    pub(crate) fn contents(&self) -> Result<String> {
        let mut statement = self
            .0
            .prepare_cached("SELECT hash FROM document ORDER BY path, hash")?;
        let mut rows = statement.query([])?;
        let mut hash = blake3::Hasher::new();
        while let Some(row) = rows.next()? {
            hash.update(&row.get::<_, Vec<u8>>(0)?);
        }
        Ok(hash.finalize().to_hex().to_string())
    }

    /// The document at this path below its source.
    pub(crate) fn document_at(&self, source: SourceId, path: &str) -> Result<Option<DocumentId>> {
        Ok(self
            .0
            .prepare_cached("SELECT id FROM document WHERE source_id = ?1 AND path = ?2")?
            .query_row(params![source, path], |row| row.get(0))
            .optional()?)
    }

    /// Does this edition belong to a visible document?
    pub(crate) fn is_visible(&self, edition: Edition) -> Result<bool> {
        Ok(self
            .0
            .prepare_cached("SELECT 1 FROM document WHERE edition = ?1")?
            .exists([edition])?)
    }

    /// The visible edition of a document.
    pub(crate) fn edition_of(&self, id: DocumentId) -> Result<Edition> {
        Ok(self
            .0
            .prepare_cached("SELECT edition FROM document WHERE id = ?1")?
            .query_row([id], |row| row.get(0))?)
    }

    /// The visible editions that hold a chunk, in order.
    pub(crate) fn editions_of(&self, chunk: ChunkId) -> Result<Vec<Edition>> {
        let mut statement = self.0.prepare_cached(
            "SELECT DISTINCT d.edition FROM passage p JOIN document d ON d.id = p.document_id
             WHERE p.chunk_id = ?1 ORDER BY d.edition",
        )?;
        let rows = statement.query_map([chunk], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The visible editions with the number of distinct chunks of each.
    pub(crate) fn edition_sizes(&self) -> Result<HashMap<Edition, u64>> {
        let mut statement = self.0.prepare_cached(
            "SELECT d.edition, count(DISTINCT p.chunk_id) FROM document d
             JOIN passage p ON p.document_id = d.id GROUP BY d.edition",
        )?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Counts up whenever a document changes or goes.
    pub(crate) fn newest_edition(&self) -> Result<i64> {
        let mut statement = self.0.prepare_cached("SELECT next_edition FROM counter")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// What the indexes may forget: chunks and editions that are no longer visible.
    pub(crate) fn garbage(&self) -> Result<(Vec<ChunkId>, Vec<Edition>)> {
        let chunks = self
            .0
            .prepare_cached(
                "SELECT chunk_id FROM gone_chunk
                 WHERE chunk_id NOT IN (SELECT id FROM chunk)",
            )?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let editions = self
            .0
            .prepare_cached("SELECT edition FROM gone_edition")?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        Ok((chunks, editions))
    }

    /// Counts of what is visible.
    pub(crate) fn counts(&self) -> Result<Counts> {
        let count = |table: &str| -> Result<u64> {
            Ok(self
                .0
                .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                    row.get(0)
                })?)
        };
        Ok(Counts {
            documents: count("document")?,
            chunks: count("chunk")?,
            problems: count("problem")?,
        })
    }
}

pub(super) fn stat_of(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<FileStat> {
    Ok(FileStat {
        size: row.get::<_, i64>(first)?.cast_unsigned(),
        mtime_ns: row.get(first + 1)?,
        inode: row.get::<_, i64>(first + 2)?.cast_unsigned(),
        ctime_ns: row.get::<_, Option<i64>>(first + 3)?.unwrap_or(0),
    })
}

/// Reserves `count` editions and returns the first.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn reserve_editions(transaction: &Transaction<'_>, count: usize) -> Result<Edition> {
    let next: i64 =
        transaction.query_row("SELECT next_edition FROM counter", [], |row| row.get(0))?;
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    transaction.execute("UPDATE counter SET next_edition = ?1", [next + count])?;
    Ok(Edition(next))
}

/// Makes a document's new passages visible and its old ones invisible. Units that rest on the latter
/// become stale, and so do those that went because what is visible again was gone, and those that were
/// made of the owner's words, where the document says now that others wrote it.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn put_document(
    transaction: &Transaction<'_>,
    document: &Ingested,
    edition: Edition,
    now_ms: i64,
) -> Result<()> {
    let known: Option<(DocumentId, Edition, String)> = transaction
        .prepare_cached(
            "SELECT id, edition, title FROM document WHERE source_id = ?1 AND path = ?2",
        )?
        .query_row(params![document.source, document.path], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let title = crate::domain::source::title_or_stem(&document.meta, &document.path);
    let old = match known {
        Some((id, old_edition, old_title)) => {
            retire_edition(transaction, old_edition)?;
            retitled(transaction, id, &old_title, &title)?;
            passages_of_document(transaction, id)?
        }
        None => Vec::new(),
    };
    let stat = document.stat;
    let id: DocumentId = transaction
        .prepare_cached(
            "INSERT INTO document
               (source_id, path, kind, title, meta, size, mtime_ns, inode, hash, edition,
                ingested_ms, ctime_ns, recipe, language)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
             ON CONFLICT (source_id, path) DO UPDATE SET
               kind = excluded.kind, title = excluded.title, meta = excluded.meta,
               size = excluded.size, mtime_ns = excluded.mtime_ns, inode = excluded.inode,
               hash = excluded.hash, edition = excluded.edition,
               ingested_ms = excluded.ingested_ms, ctime_ns = excluded.ctime_ns,
               recipe = excluded.recipe, language = excluded.language
             RETURNING id",
        )?
        .query_row(
            params![
                document.source,
                document.path,
                document.kind.as_str(),
                title,
                serde_json::to_string(&document.meta)?,
                stat.size.cast_signed(),
                stat.mtime_ns,
                stat.inode.cast_signed(),
                document.hash,
                edition,
                now_ms,
                stat.ctime_ns,
                document.recipe,
                document.language.map(Language::code)
            ],
            |row| row.get(0),
        )?;
    transaction
        .prepare_cached("DELETE FROM passage WHERE document_id = ?1")?
        .execute([id])?;
    put_passages(transaction, id, document)?;
    select::put_marks(transaction, id, &document.path, &document.meta)?;
    forget_unused(transaction, id, &old)?;
    let old: HashSet<ChunkId> = old.into_iter().collect();
    let by_others = is_by_others(&document.meta.properties);
    for chunk in document.passages.iter().map(|passage| passage.id) {
        let was_shown = old.contains(&chunk);
        if was_shown && by_others {
            life::lose_trust(transaction, chunk)?;
        } else if !was_shown {
            life::came_back(transaction, chunk)?;
        }
    }
    clear_problem(transaction, document.source, &document.path)
}

fn put_passages(transaction: &Transaction<'_>, id: DocumentId, document: &Ingested) -> Result<()> {
    let mut put_chunk = transaction.prepare_cached(
        "INSERT INTO chunk (id, heading, text, tokens) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (id) DO UPDATE SET heading = excluded.heading, text = excluded.text
         WHERE text IS NOT excluded.text OR heading IS NOT excluded.heading",
    )?;
    let mut put_passage = transaction.prepare_cached(
        "INSERT INTO passage (document_id, ordinal, chunk_id, line_first, line_last, page)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (ordinal, passage) in document.passages.iter().enumerate() {
        put_chunk.execute(params![
            passage.id,
            serde_json::to_string(&passage.heading)?,
            passage.text,
            passage.tokens
        ])?;
        // Lines of a written-out text are lines that no editor shows.
        let lines = document.kind.has_lines().then_some(passage.lines);
        put_passage.execute(params![
            id,
            ordinal,
            passage.id,
            lines.map(|l| l.0),
            lines.map(|l| l.1),
            passage.page
        ])?;
    }
    Ok(())
}

/// Moves a document to another path; its chunks stay as they are.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn move_document(
    transaction: &Transaction<'_>,
    id: DocumentId,
    path: &str,
    stat: FileStat,
    edition: Edition,
) -> Result<()> {
    let (old, meta, old_title): (Edition, String, String) = transaction
        .prepare_cached("SELECT edition, meta, title FROM document WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    retire_edition(transaction, old)?;
    let meta: Meta = serde_json::from_str(&meta)?;
    let title = crate::domain::source::title_or_stem(&meta, path);
    retitled(transaction, id, &old_title, &title)?;
    transaction.execute(
        "UPDATE document SET path = ?2, title = ?3, size = ?4, mtime_ns = ?5, inode = ?6,
                edition = ?7, ctime_ns = ?8
         WHERE id = ?1",
        params![
            id,
            path,
            title,
            stat.size.cast_signed(),
            stat.mtime_ns,
            stat.inode.cast_signed(),
            edition,
            stat.ctime_ns
        ],
    )?;
    select::put_marks(transaction, id, path, &meta)?;
    clear_problem_of(transaction, id)
}

/// Units that rest on a document which is called something else now are to be looked at again: a title
/// is a part of what a sentence says.
fn retitled(transaction: &Transaction<'_>, id: DocumentId, old: &str, new: &str) -> Result<()> {
    if old == new {
        return Ok(());
    }
    let mut chunks = passages_of_document(transaction, id)?.into_iter();
    chunks.try_for_each(|chunk| life::make_stale(transaction, chunk))
}

/// Notes that a file was touched but its bytes are the same.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn touch_document(transaction: &Transaction<'_>, id: DocumentId, stat: FileStat) -> Result<()> {
    transaction.execute(
        "UPDATE document SET size = ?2, mtime_ns = ?3, inode = ?4, ctime_ns = ?5 WHERE id = ?1",
        params![
            id,
            stat.size.cast_signed(),
            stat.mtime_ns,
            stat.inode.cast_signed(),
            stat.ctime_ns
        ],
    )?;
    clear_problem_of(transaction, id)
}

/// Removes a document and whatever only it held.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn remove_document(transaction: &Transaction<'_>, id: DocumentId) -> Result<()> {
    let old = passages_of_document(transaction, id)?;
    let edition: Option<Edition> = transaction
        .prepare_cached("SELECT edition FROM document WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    if let Some(edition) = edition {
        retire_edition(transaction, edition)?;
    }
    transaction.execute("DELETE FROM passage WHERE document_id = ?1", [id])?;
    select::clear_marks(transaction, id)?;
    transaction.execute("DELETE FROM document WHERE id = ?1", [id])?;
    forget_unused(transaction, id, &old)
}

fn passages_of_document(transaction: &Transaction<'_>, id: DocumentId) -> Result<Vec<ChunkId>> {
    let mut statement = transaction
        .prepare_cached("SELECT DISTINCT chunk_id FROM passage WHERE document_id = ?1")?;
    let rows = statement.query_map([id], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn retire_edition(transaction: &Transaction<'_>, edition: Edition) -> Result<()> {
    transaction
        .prepare_cached("INSERT OR IGNORE INTO gone_edition (edition) VALUES (?1)")?
        .execute([edition])?;
    Ok(())
}

/// Forgets those chunks that no passage shows any more. Units that rest on what the document showed
/// become stale, though another one may show it still: that may be by somebody else.
fn forget_unused(
    transaction: &Transaction<'_>,
    document: DocumentId,
    chunks: &[ChunkId],
) -> Result<()> {
    let mut shown = transaction
        .prepare_cached("SELECT 1 FROM passage WHERE document_id = ?1 AND chunk_id = ?2")?;
    let mut used = transaction.prepare_cached("SELECT 1 FROM passage WHERE chunk_id = ?1")?;
    for chunk in chunks {
        if shown.exists(params![document, chunk])? {
            continue;
        }
        life::make_stale(transaction, *chunk)?;
        if used.exists([chunk])? {
            continue;
        }
        transaction
            .prepare_cached("DELETE FROM chunk WHERE id = ?1")?
            .execute([chunk])?;
        transaction
            .prepare_cached("INSERT OR IGNORE INTO gone_chunk (chunk_id) VALUES (?1)")?
            .execute([chunk])?;
    }
    Ok(())
}

/// Has all documents read again by the next sync, or only those that show the given chunks.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn read_again(transaction: &Transaction<'_>, only: Option<&[ChunkId]>) -> Result<()> {
    let Some(chunks) = only else {
        transaction.execute("UPDATE document SET recipe = ''", [])?;
        transaction.execute("UPDATE problem SET recipe = ''", [])?;
        return Ok(());
    };
    for chunk in chunks {
        transaction
            .prepare_cached(
                "UPDATE document SET recipe = '' WHERE id IN
                   (SELECT document_id FROM passage WHERE chunk_id = ?1)",
            )?
            .execute([chunk])?;
    }
    Ok(())
}

/// Looks each of them up: there are far more chunks than garbage.
pub(super) const CAME_BACK: &str = "DELETE FROM gone_chunk
     WHERE EXISTS (SELECT 1 FROM chunk WHERE chunk.id = gone_chunk.chunk_id)";

/// Forgets garbage that the indexes no longer hold.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn clear_garbage(
    transaction: &Transaction<'_>,
    chunks: &[ChunkId],
    editions: &[Edition],
) -> Result<()> {
    for chunk in chunks {
        transaction
            .prepare_cached("DELETE FROM gone_chunk WHERE chunk_id = ?1")?
            .execute([chunk])?;
    }
    // A chunk that came back is no garbage.
    transaction.execute(CAME_BACK, [])?;
    for edition in editions {
        transaction
            .prepare_cached("DELETE FROM gone_edition WHERE edition = ?1")?
            .execute([edition])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ledger::Ledger;

    #[test]
    fn a_chunk_that_came_back_is_no_garbage() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
        let left = ledger.write(|transaction| {
            transaction.execute_batch(
                "INSERT INTO chunk VALUES (x'01', '[]', 'here', 1);
                 INSERT INTO gone_chunk VALUES (x'01'), (x'02');",
            )?;
            clear_garbage(transaction, &[], &[])?;
            let left = "SELECT group_concat(hex(chunk_id)) FROM gone_chunk";
            Ok(transaction.query_row(left, [], |row| row.get::<_, String>(0))?)
        });
        assert_eq!(left.unwrap(), "02");
    }
}
