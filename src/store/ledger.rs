//! The ledger: everything that cannot be recreated, and what is visible.
//!
//! One SQLite database (WAL, `synchronous=FULL`). Owns the schema and every statement; refuses to
//! know the two indexes. Reads run on a small pool of connections, each read in one snapshot.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::functions::FunctionFlags;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, ToSql, Transaction, params};
use serde::{Deserialize, Serialize};

use super::tokens::Part;
use super::{StoreError, select, units};
use crate::domain::access::View;
use crate::domain::chunk::{ChunkId, Passage};
use crate::domain::language::Language;
use crate::domain::link;
use crate::domain::source::{DocumentId, Edition, Kind, Meta, SourceId};

type Result<T> = std::result::Result<T, StoreError>;

/// The schema, one step per version; a ledger is brought up to date when it is opened.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("ledger_1.sql"),
    include_str!("ledger_2.sql"),
    include_str!("ledger_3.sql"),
    include_str!("ledger_4.sql"),
    include_str!("ledger_5.sql"),
    include_str!("ledger_6.sql"),
    include_str!("ledger_7.sql"),
    include_str!("ledger_8.sql"),
    include_str!("ledger_9.sql"),
    include_str!("ledger_10.sql"),
];

impl ToSql for ChunkId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(&self.0)))
    }
}

impl FromSql for ChunkId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let bytes = value.as_blob()?;
        bytes
            .try_into()
            .map(ChunkId)
            .map_err(|_| FromSqlError::InvalidType)
    }
}

macro_rules! sql_integer {
    ($($name:ident),*) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                self.0.to_sql()
            }
        }
        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                i64::column_result(value).map($name)
            }
        }
    )*};
}
sql_integer!(SourceId, DocumentId, Edition);

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

/// A visible passage with all that a hit shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its chunk.
    pub chunk: ChunkId,
    /// Its document.
    pub document: DocumentId,
    /// Its source.
    pub source: SourceId,
    /// Absolute path of its file.
    pub path: PathBuf,
    /// The document's kind.
    pub kind: Kind,
    /// The document's title.
    pub title: String,
    /// Other names that the document gives itself.
    pub aliases: Vec<String>,
    /// Headings above it, outermost first.
    pub heading: Vec<String>,
    /// First and last line, where the format has lines.
    pub lines: Option<(u32, u32)>,
    /// Page, where the format has pages.
    pub page: Option<u32>,
    /// Its place among the passages of the document, counted from 0.
    pub ordinal: u32,
    /// Its text.
    pub text: String,
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

/// A passage as the lexical index wants it.
#[derive(Clone, Debug)]
pub struct TermsRow {
    /// Chunk.
    pub chunk: ChunkId,
    /// Text.
    pub text: String,
    /// Headings, outermost first.
    pub heading: Vec<String>,
}

/// A document as the lexical index wants it.
#[derive(Clone, Debug)]
pub struct TermsDocument {
    /// The edition under which its entries are written.
    pub edition: Edition,
    /// Path below the source's root.
    pub path: String,
    /// Title.
    pub title: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Other names.
    pub aliases: Vec<String>,
    /// The language that it is written in, where that could be told.
    pub language: Option<Language>,
    /// Passages.
    pub rows: Vec<TermsRow>,
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

/// Tokens of all kept answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenTotals {
    /// Read by the language model.
    pub prompt: u64,
    /// Written by it.
    pub generated: u64,
}

/// An answer to be kept.
#[derive(Clone, Debug)]
pub struct KeptAnswer {
    /// Id of the answer.
    pub id: String,
    /// The question as asked.
    pub question: String,
    /// The answer as it is kept: JSON as it was sent, without the passages that were found.
    pub body: serde_json::Value,
    /// Chunks that it cites, in citation order.
    pub cited: Vec<String>,
    /// When it was asked, milliseconds since 1970.
    pub asked_ms: i64,
    /// The token that asked; none is the owner.
    pub asker: Option<String>,
    /// What the language model read and wrote for it.
    pub tokens: TokenTotals,
}

/// Connections that are kept for the next: one is opened and taught its statements in the time of a
/// search.
const IDLE_CONNECTIONS: usize = 12;

/// The ledger, opened for reading or for both.
pub struct Ledger {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    /// What reads may see, where that is not everything.
    part: Option<Part>,
}

impl Ledger {
    /// Opens the ledger at `path`, creates it if it is not there, and brings its schema up to
    /// date.
    ///
    /// # Errors
    /// [`StoreError::Ledger`] when SQLite fails, [`StoreError::NewerLedger`] when a newer coho
    /// wrote it.
    pub fn open(path: &Path) -> Result<Self> {
        let mut connection = connect(path)?;
        migrate(&mut connection, path)?;
        Ok(Self {
            path: path.to_owned(),
            idle: Arc::new(Mutex::new(vec![connection])),
            part: None,
        })
    }

    /// The same ledger, of which reads see a part; writes are as before.
    pub(super) fn seen_by(&self, view: View) -> Self {
        Self {
            path: self.path.clone(),
            idle: Arc::clone(&self.idle),
            part: Some(Part::new(view)),
        }
    }

    /// What reads see, where that is not everything.
    pub fn view(&self) -> Option<&View> {
        self.part.as_ref().map(Part::view)
    }

    /// Looks for damage, quickly: pages and their order, not what indexes say of tables.
    ///
    /// # Errors
    /// [`StoreError::LedgerDamaged`] with what SQLite found.
    pub fn check(&self) -> Result<()> {
        let connection = self.take()?;
        let found: rusqlite::Result<String> =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
        let reason = match found {
            Ok(said) if said == "ok" => {
                self.give(connection);
                return Ok(());
            }
            Ok(said) => said,
            Err(error) => error.to_string(),
        };
        Err(StoreError::LedgerDamaged {
            path: self.path.clone(),
            reason,
        })
    }

    /// Copies the ledger as it is now into a new file at `target`, while others read and write.
    ///
    /// # Errors
    /// [`StoreError::Ledger`].
    pub fn copy_to(&self, target: &Path) -> Result<()> {
        let source = self.take()?;
        let mut copy = Connection::open(target)?;
        {
            let backup = rusqlite::backup::Backup::new(&source, &mut copy)?;
            // All pages in one step: one snapshot, and WAL lets others go on meanwhile.
            while matches!(
                backup.step(-1)?,
                rusqlite::backup::StepResult::Busy | rusqlite::backup::StepResult::Locked
            ) {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
        copy.pragma_update(None, "journal_mode", "DELETE")?;
        drop(copy);
        self.give(source);
        Ok(())
    }

    /// Makes the ledger's own indexes anew from its tables.
    ///
    /// # Errors
    /// [`StoreError::Ledger`].
    pub fn rebuild_own_indexes(&self) -> Result<()> {
        let connection = self.take()?;
        connection.execute_batch("REINDEX")?;
        self.give(connection);
        Ok(())
    }

    /// Writes the log back into the file and empties it.
    ///
    /// # Errors
    /// [`StoreError::Ledger`].
    pub fn checkpoint(&self) -> Result<()> {
        let connection = self.take()?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        self.give(connection);
        Ok(())
    }

    /// Writes the whole ledger anew, without free pages, and empties the log.
    ///
    /// # Errors
    /// [`StoreError::StillRead`] where a reader keeps the log from being emptied;
    /// [`StoreError::Ledger`].
    pub fn vacuum(&self) -> Result<()> {
        let connection = self.take()?;
        connection.execute_batch("VACUUM")?;
        // SQLite waits for readers, but not for another checkpoint.
        let until = Instant::now() + PATIENCE;
        let held = loop {
            let held: bool =
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
            if !held || Instant::now() > until {
                break held;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        self.give(connection);
        if held {
            return Err(StoreError::StillRead);
        }
        Ok(())
    }

    /// Runs `read` in one snapshot of the ledger.
    ///
    /// # Errors
    /// What `read` returns, or [`StoreError::Ledger`].
    pub fn read<T>(&self, read: impl FnOnce(&Snapshot<'_>) -> Result<T>) -> Result<T> {
        let mut connection = match &self.part {
            Some(part) => part.take(|| connect(&self.path))?,
            None => self.take()?,
        };
        let narrow = self.view().is_some_and(|view| view.sources.is_some());
        let result = (|| read(&Snapshot(&connection.transaction()?, narrow)))();
        match &self.part {
            Some(part) => part.give(connection),
            None => self.give(connection),
        }
        result.map_err(|error| told_of_room(&self.path, error))
    }

    /// Runs `write` in one immediate transaction, which is durable when this returns.
    ///
    /// # Errors
    /// What `write` returns (nothing is changed then), or [`StoreError::Ledger`].
    pub fn write<T>(&self, write: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let mut connection = self.take()?;
        let result = (|| {
            let transaction =
                connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let value = write(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })();
        self.give(connection);
        result.map_err(|error| told_of_room(&self.path, error))
    }

    fn take(&self) -> Result<Connection> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        idle.map_or_else(|| connect(&self.path), Ok)
    }

    fn give(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_CONNECTIONS {
            idle.push(connection);
        }
    }
}

/// How long the log is tried to be emptied.
const PATIENCE: Duration = Duration::from_secs(30);

/// Page cache of one connection, KiB: a dozen of them stay open, and what falls out of a cache is
/// mostly still in the system's.
const CACHE_KIB: i64 = 2048;

fn connect(path: &Path) -> Result<Connection> {
    set_up(path).map_err(|error| told_of_room(path, error))
}

/// What failed for want of room says so: to SQLite, some of that is a failure of the disk.
fn told_of_room(path: &Path, error: StoreError) -> StoreError {
    use rusqlite::ffi::{SQLITE_IOERR_FSYNC, SQLITE_IOERR_WRITE};
    let StoreError::Ledger(rusqlite::Error::SqliteFailure(failure, _)) = &error else {
        return error;
    };
    let writes = [SQLITE_IOERR_FSYNC, SQLITE_IOERR_WRITE];
    if writes.contains(&failure.extended_code) && is_full(path.parent().unwrap_or(path)) {
        return StoreError::io(path, std::io::ErrorKind::StorageFull.into());
    }
    error
}

/// Has the disk that a folder is on no room left for us?
#[cfg(unix)]
fn is_full(folder: &Path) -> bool {
    rustix::fs::statvfs(folder).is_ok_and(|disk| disk.f_bavail == 0)
}

/// The system is not asked.
#[cfg(not(unix))]
fn is_full(_: &Path) -> bool {
    false
}

fn set_up(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(64);
    // SQLite's own `lower` knows ASCII alone.
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("folded", 1, flags, |arguments| {
        Ok(link::folded(
            arguments.get_raw(0).as_str().unwrap_or_default(),
        ))
    })?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    let newest = MIGRATIONS.len();
    let found: usize = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > newest {
        return Err(StoreError::NewerLedger {
            path: path.to_owned(),
            found,
            newest,
        });
    }
    for (version, step) in MIGRATIONS.iter().enumerate().skip(found) {
        let transaction =
            connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        // Another process may have taken this step while we waited for the lock.
        let now: usize = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if now == version {
            transaction.execute_batch(step)?;
            transaction.pragma_update(None, "user_version", version + 1)?;
            transaction.commit()?;
        }
    }
    Ok(())
}

/// What a [`Row`] is read from.
const ROW: &str = "SELECT d.id, d.source_id, s.path, d.path, d.kind, d.title, c.heading,
        p.line_first, p.line_last, p.page, c.text, c.id, p.ordinal,
        json_extract(d.meta, '$.aliases')
 FROM passage p
 JOIN chunk c ON c.id = p.chunk_id
 JOIN document d ON d.id = p.document_id
 JOIN source s ON s.id = d.source_id";

/// Answered by an index alone: the columns stand behind the answers, which are long.
const TOKEN_TOTALS: &str =
    "SELECT coalesce(sum(prompt_tokens), 0), coalesce(sum(generated_tokens), 0) FROM answer";

/// One consistent view of the ledger, and whether it leaves sources out.
pub struct Snapshot<'a>(pub(super) &'a Transaction<'a>, pub(super) bool);

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

    /// Which of these chunks are not in the ledger, and so have no vector that can be trusted.
    pub(crate) fn unknown(&self, ids: &[ChunkId]) -> Result<HashSet<ChunkId>> {
        let mut statement = self.0.prepare_cached("SELECT 1 FROM chunk WHERE id = ?1")?;
        let mut unknown = HashSet::new();
        for id in ids {
            if !statement.exists([id])? {
                unknown.insert(*id);
            }
        }
        Ok(unknown)
    }

    /// All visible chunks.
    pub(crate) fn chunk_ids(&self) -> Result<Vec<ChunkId>> {
        let mut statement = self.0.prepare_cached("SELECT id FROM chunk ORDER BY id")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Heading and text of a chunk, or `None` if it is not visible.
    pub(crate) fn chunk_text(&self, id: ChunkId) -> Result<Option<(Vec<String>, String)>> {
        let found = self
            .0
            .prepare_cached("SELECT heading, text FROM chunk WHERE id = ?1")?
            .query_row([id], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
            })
            .optional()?;
        found
            .map(|(heading, text)| Ok((serde_json::from_str(&heading)?, text)))
            .transpose()
    }

    /// The passage that shows a chunk in this edition of a document, the first if several do.
    pub(crate) fn row(&self, chunk: ChunkId, edition: Edition) -> Result<Option<Row>> {
        let sql =
            format!("{ROW} WHERE p.chunk_id = ?1 AND d.edition = ?2 ORDER BY p.ordinal LIMIT 1");
        self.rows(&sql, params![chunk, edition])
            .map(|rows| rows.into_iter().next())
    }

    /// The passages that show a chunk, at most `limit`, in order of their documents' paths.
    pub(crate) fn passages_of(&self, chunk: ChunkId, limit: usize) -> Result<Vec<Row>> {
        let sql = format!("{ROW} WHERE p.chunk_id = ?1 ORDER BY d.path, p.ordinal LIMIT ?2");
        self.rows(&sql, params![chunk, limit])
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

    /// The passages of a document, in order.
    pub(crate) fn rows_of(&self, id: DocumentId) -> Result<Vec<Row>> {
        let sql = format!("{ROW} WHERE d.id = ?1 ORDER BY p.ordinal");
        self.rows(&sql, params![id])
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

    /// The visible editions that hold a chunk, in order.
    pub(crate) fn editions_of(&self, chunk: ChunkId) -> Result<Vec<Edition>> {
        let mut statement = self.0.prepare_cached(
            "SELECT DISTINCT d.edition FROM passage p JOIN document d ON d.id = p.document_id
             WHERE p.chunk_id = ?1 ORDER BY d.edition",
        )?;
        let rows = statement.query_map([chunk], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The first passages of the `limit` newest documents whose edition fits, newest first.
    pub(crate) fn newest(&self, limit: usize, fits: impl Fn(Edition) -> bool) -> Result<Vec<Row>> {
        let mut found = Vec::new();
        {
            let mut statement = self
                .0
                .prepare_cached("SELECT id, edition FROM document ORDER BY mtime_ns DESC, path")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                if found.len() == limit {
                    break;
                }
                if fits(row.get(1)?) {
                    found.push(row.get::<_, DocumentId>(0)?);
                }
            }
        }
        let sql = format!("{ROW} WHERE d.id = ?1 ORDER BY p.ordinal LIMIT 1");
        let mut newest = Vec::with_capacity(found.len());
        for document in found {
            newest.extend(self.rows(&sql, params![document])?);
        }
        Ok(newest)
    }

    /// Passages of documents whose edition fits that hold all of these as they are, in the text or
    /// above it; at most `limit`, those of the newest documents first.
    pub(crate) fn holding(
        &self,
        signs: &[&str],
        limit: usize,
        fits: impl Fn(Edition) -> bool,
    ) -> Result<Vec<Row>> {
        let held = (1..=signs.len()).map(|n| {
            format!("(instr(c.text, ?{n}) OR instr(c.heading, ?{n}) OR instr(d.title, ?{n}))")
        });
        let sql = format!(
            "SELECT p.chunk_id, d.edition FROM passage p
             JOIN chunk c ON c.id = p.chunk_id JOIN document d ON d.id = p.document_id
             WHERE {} ORDER BY d.mtime_ns DESC, d.path, p.ordinal",
            held.collect::<Vec<_>>().join(" AND ")
        );
        let mut found: Vec<(ChunkId, Edition)> = Vec::new();
        {
            let mut statement = self.0.prepare_cached(&sql)?;
            let mut rows = statement.query(rusqlite::params_from_iter(signs))?;
            while let Some(row) = rows.next()? {
                if found.len() == limit {
                    break;
                }
                let edition = row.get(1)?;
                if fits(edition) {
                    found.push((row.get(0)?, edition));
                }
            }
        }
        let mut holding = Vec::with_capacity(found.len());
        for (chunk, edition) in found {
            holding.extend(self.row(chunk, edition)?);
        }
        Ok(holding)
    }

    fn rows(&self, sql: &str, values: impl rusqlite::Params) -> Result<Vec<Row>> {
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement.query_map(values, |row| {
            let root: String = row.get(2)?;
            let path: String = row.get(3)?;
            let kind: String = row.get(4)?;
            let (first, last): (Option<u32>, Option<u32>) = (row.get(7)?, row.get(8)?);
            let shown = Row {
                document: row.get(0)?,
                source: row.get(1)?,
                path: Path::new(&root).join(path),
                kind: Kind::named(&kind).unwrap_or(Kind::Text),
                title: row.get(5)?,
                aliases: Vec::new(),
                heading: Vec::new(),
                lines: first.zip(last),
                page: row.get(9)?,
                text: row.get(10)?,
                chunk: row.get(11)?,
                ordinal: row.get(12)?,
            };
            let aliases: Option<String> = row.get(13)?;
            Ok((shown, row.get::<_, String>(6)?, aliases))
        })?;
        rows.map(|row| {
            let (mut shown, heading, aliases) = row?;
            shown.heading = serde_json::from_str(&heading)?;
            if let Some(aliases) = aliases {
                shown.aliases = serde_json::from_str(&aliases)?;
            }
            Ok(shown)
        })
        .collect()
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

    /// A visible document as the lexical index wants it, or as it will want it at another path. What
    /// it says twice is there once.
    pub(crate) fn terms_of(&self, edition: Edition, moved: Option<&str>) -> Result<TermsDocument> {
        let (path, title, meta, language): (String, String, String, Option<String>) = self
            .0
            .prepare_cached("SELECT path, title, meta, language FROM document WHERE edition = ?1")?
            .query_row([edition], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?;
        let mut statement = self.0.prepare_cached(
            "SELECT c.id, c.text, c.heading FROM passage p
             JOIN document d ON d.id = p.document_id JOIN chunk c ON c.id = p.chunk_id
             WHERE d.edition = ?1 ORDER BY p.ordinal",
        )?;
        let rows = statement.query_map([edition], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?))
        })?;
        let mut seen = HashSet::new();
        let rows = rows
            .filter(|row| row.as_ref().map_or(true, |(chunk, ..)| seen.insert(*chunk)))
            .map(|row| {
                let (chunk, text, heading) = row?;
                Ok(TermsRow {
                    chunk,
                    text,
                    heading: serde_json::from_str(&heading)?,
                })
            })
            .collect::<Result<_>>()?;
        let meta: Meta = serde_json::from_str(&meta)?;
        let (path, title) = match moved {
            Some(path) => (
                path.to_owned(),
                crate::domain::source::title_or_stem(&meta, path),
            ),
            None => (path, title),
        };
        Ok(TermsDocument {
            edition,
            path,
            title,
            tags: meta.tags,
            aliases: meta.aliases,
            language: language.as_deref().and_then(Language::named),
            rows,
        })
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

    /// What the store remembers under a name.
    pub(crate) fn memo(&self, name: &str) -> Result<Option<String>> {
        Ok(self
            .0
            .prepare_cached("SELECT value FROM memo WHERE name = ?1")?
            .query_row([name], |row| row.get(0))
            .optional()?)
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

    /// Chunks whose text is not the one that their id was made of.
    pub(crate) fn damaged_chunks(&self) -> Result<Vec<ChunkId>> {
        let mut statement = self.0.prepare("SELECT id, heading, text FROM chunk")?;
        let mut rows = statement.query([])?;
        let mut damaged = Vec::new();
        while let Some(row) = rows.next()? {
            let id: ChunkId = row.get(0)?;
            let whole = (|| {
                let heading: Vec<String> =
                    serde_json::from_str(&row.get::<_, String>(1).ok()?).ok()?;
                let text: String = row.get(2).ok()?;
                Some(ChunkId::of(&heading.join("\u{1f}"), &text) == id)
            })();
            if whole != Some(true) {
                damaged.push(id);
            }
        }
        Ok(damaged)
    }

    /// A hash of all that is visible: which document shows which chunk where.
    pub(crate) fn fingerprint(&self) -> Result<String> {
        let mut statement = self.0.prepare(
            "SELECT s.path, d.path, p.ordinal, p.chunk_id, p.line_first, p.line_last, p.page
             FROM source s JOIN document d ON d.source_id = s.id
             JOIN passage p ON p.document_id = d.id ORDER BY s.path, d.path, p.ordinal",
        )?;
        let mut rows = statement.query([])?;
        let mut hasher = blake3::Hasher::new();
        while let Some(row) = rows.next()? {
            let (root, path): (String, String) = (row.get(0)?, row.get(1)?);
            let chunk: ChunkId = row.get(3)?;
            let places: [Option<i64>; 4] = [row.get(2)?, row.get(4)?, row.get(5)?, row.get(6)?];
            hasher.update(format!("{root}\0{path}\0{chunk}\0{places:?}\n").as_bytes());
        }
        Ok(hasher.finalize().to_hex()[..32].to_owned())
    }

    /// What SQLite finds wrong with the file and its indexes; empty when nothing.
    pub(crate) fn integrity(&self) -> Result<Vec<String>> {
        let mut statement = self.0.prepare("PRAGMA integrity_check(20)")?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
        let found: Vec<String> = rows.collect::<rusqlite::Result<_>>()?;
        Ok(found.into_iter().filter(|line| line != "ok").collect())
    }

    /// All rows of a table as JSON objects, for export.
    pub(crate) fn each_row(
        &self,
        query: &str,
        visit: &mut dyn FnMut(serde_json::Map<String, serde_json::Value>) -> Result<()>,
    ) -> Result<()> {
        let mut statement = self.0.prepare(query)?;
        let names: Vec<String> = statement.column_names().map(ToOwned::to_owned).collect();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let mut object = serde_json::Map::new();
            for (column, name) in names.iter().enumerate() {
                let value = match row.get_ref(column)? {
                    ValueRef::Null => serde_json::Value::Null,
                    ValueRef::Integer(number) => number.into(),
                    ValueRef::Real(number) => number.into(),
                    ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
                    ValueRef::Blob(bytes) => {
                        let mut hex = String::with_capacity(2 * bytes.len());
                        bytes.iter().for_each(|b| hex.push_str(&format!("{b:02x}")));
                        hex.into()
                    }
                };
                object.insert(name.clone(), value);
            }
            visit(object)?;
        }
        Ok(())
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

    /// Documents and problems of each source.
    pub(crate) fn counts_of(&self, source: SourceId) -> Result<(u64, u64)> {
        Ok(self.0.query_row(
            "SELECT (SELECT count(*) FROM document WHERE source_id = ?1),
                    (SELECT count(*) FROM problem WHERE source_id = ?1)",
            [source],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?)
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

    /// The document at this path below its source.
    pub(crate) fn document_at(&self, source: SourceId, path: &str) -> Result<Option<DocumentId>> {
        Ok(self
            .0
            .prepare_cached("SELECT id FROM document WHERE source_id = ?1 AND path = ?2")?
            .query_row(params![source, path], |row| row.get(0))
            .optional()?)
    }

    /// Tokens of all kept answers.
    pub(crate) fn token_totals(&self) -> Result<TokenTotals> {
        Ok(self.0.prepare_cached(TOKEN_TOTALS)?.query_row([], |row| {
            Ok(TokenTotals {
                prompt: row.get(0)?,
                generated: row.get(1)?,
            })
        })?)
    }

    /// One kept answer.
    pub(crate) fn answer(&self, id: &str) -> Result<Option<serde_json::Value>> {
        let body: Option<String> = self
            .0
            .prepare_cached("SELECT body FROM answer WHERE id = ?1")?
            .query_row([id], |row| row.get(0))
            .optional()?;
        Ok(body.map(|b| serde_json::from_str(&b)).transpose()?)
    }

    /// The newest kept answers, newest first.
    pub(crate) fn answers(&self, limit: usize) -> Result<Vec<serde_json::Value>> {
        let mut statement = self
            .0
            .prepare_cached("SELECT body FROM answer ORDER BY asked_ms DESC, id LIMIT ?1")?;
        let rows = statement.query_map([limit], |row| row.get::<_, String>(0))?;
        rows.map(|body| Ok(serde_json::from_str(&body?)?)).collect()
    }
}

fn stat_of(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<FileStat> {
    Ok(FileStat {
        size: row.get::<_, i64>(first)?.cast_unsigned(),
        mtime_ns: row.get(first + 1)?,
        inode: row.get::<_, i64>(first + 2)?.cast_unsigned(),
        ctime_ns: row.get::<_, Option<i64>>(first + 3)?.unwrap_or(0),
    })
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
        units::make_stale_of(transaction, source.id)?;
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

/// Remembers something about the store itself.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn put_memo(transaction: &Transaction<'_>, name: &str, value: &str) -> Result<()> {
    transaction.execute(
        "INSERT INTO memo (name, value) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        [name, value],
    )?;
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

/// The memo that something was removed whose text may still stand in the ledger's files.
pub(super) const PURGE: &str = "purge";

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
/// become stale, and so do those that went because what is visible again was gone.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn put_document(
    transaction: &Transaction<'_>,
    document: &Ingested,
    edition: Edition,
    now_ms: i64,
) -> Result<()> {
    let known: Option<(DocumentId, Edition)> = transaction
        .prepare_cached("SELECT id, edition FROM document WHERE source_id = ?1 AND path = ?2")?
        .query_row(params![document.source, document.path], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let old = match known {
        Some((id, old_edition)) => {
            retire_edition(transaction, old_edition)?;
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
                crate::domain::source::title_or_stem(&document.meta, &document.path),
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
    let shown = document.passages.iter().map(|passage| passage.id);
    for chunk in shown.filter(|chunk| !old.contains(chunk)) {
        units::came_back(transaction, chunk)?;
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
    let (old, meta): (Edition, String) = transaction
        .prepare_cached("SELECT edition, meta FROM document WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    retire_edition(transaction, old)?;
    let meta: Meta = serde_json::from_str(&meta)?;
    transaction.execute(
        "UPDATE document SET path = ?2, title = ?3, size = ?4, mtime_ns = ?5, inode = ?6,
                edition = ?7, ctime_ns = ?8
         WHERE id = ?1",
        params![
            id,
            path,
            crate::domain::source::title_or_stem(&meta, path),
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
        units::make_stale(transaction, *chunk)?;
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

/// Looks each of them up: there are far more chunks than garbage.
const CAME_BACK: &str = "DELETE FROM gone_chunk
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
fn clear_problem_of(transaction: &Transaction<'_>, id: DocumentId) -> Result<()> {
    transaction
        .prepare_cached(
            "DELETE FROM problem WHERE (source_id, path) =
               (SELECT source_id, path FROM document WHERE id = ?1)",
        )?
        .execute([id])?;
    Ok(())
}

/// Keeps an answer.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn put_answer(transaction: &Transaction<'_>, answer: &KeptAnswer) -> Result<()> {
    transaction.execute(
        "INSERT INTO answer
           (id, question, body, asked_ms, asker, prompt_tokens, generated_tokens)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            answer.id,
            answer.question,
            serde_json::to_string(&answer.body)?,
            answer.asked_ms,
            answer.asker,
            answer.tokens.prompt.cast_signed(),
            answer.tokens.generated.cast_signed()
        ],
    )?;
    for (n, chunk) in answer.cited.iter().enumerate() {
        if let Ok(chunk) = chunk.parse::<ChunkId>() {
            transaction.execute(
                "INSERT INTO citation (answer_id, n, chunk_id) VALUES (?1, ?2, ?3)",
                params![answer.id, n + 1, chunk],
            )?;
        }
    }
    Ok(())
}

/// Keeps what is said of an answer, by the owner or by another `giver`; `false` when there is no
/// such answer.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn put_feedback(
    transaction: &Transaction<'_>,
    answer: &str,
    verdict: &str,
    (note, giver): (Option<&str>, Option<&str>),
    now_ms: i64,
) -> Result<bool> {
    let exists = transaction
        .prepare_cached("SELECT 1 FROM answer WHERE id = ?1")?
        .exists([answer])?;
    if exists {
        transaction.execute(
            "INSERT INTO feedback (answer_id, verdict, note, giver, given_ms)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![answer, verdict, note, giver, now_ms],
        )?;
    }
    Ok(exists)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How SQLite goes about a statement.
    fn plan(ledger: &Ledger, sql: &str) -> String {
        let sql = format!("EXPLAIN QUERY PLAN {sql}");
        let steps = ledger.read(|snapshot| {
            let mut statement = snapshot.0.prepare(&sql)?;
            let rows = statement.query_map([], |row| row.get::<_, String>(3))?;
            Ok(rows.collect::<rusqlite::Result<Vec<String>>>()?)
        });
        steps.unwrap().join("; ")
    }

    #[test]
    fn what_is_asked_often_is_not_leafed_through() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
        let whole = plan(&ledger, TOKEN_TOTALS);
        assert!(whole.contains("COVERING INDEX answer_tokens"), "{whole}");
        let part = ledger.seen_by(View {
            asker: Some("guest".into()),
            everyones_answers: false,
            sources: None,
        });
        let part = plan(&part, TOKEN_TOTALS);
        assert!(
            part.contains("COVERING INDEX answer_tokens (asker=?)"),
            "{part}"
        );
        let back = plan(&ledger, CAME_BACK);
        assert!(back.starts_with("SCAN gone_chunk"), "{back}");
        assert!(
            back.contains("SEARCH chunk") && !back.contains("IN-OPERATOR"),
            "{back}"
        );
        let new = units::unconsidered();
        let new = plan(&ledger, &new.replace("?1", "0").replace("?2", "1"));
        assert!(new.contains("INDEX answer_asked"), "{new}");
        assert!(!new.contains("TEMP B-TREE"), "{new}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_write_that_fails_on_a_full_disk_fails_for_that() {
        use crate::error::Fault;
        use rusqlite::ffi::{Error, SQLITE_IOERR_READ, SQLITE_IOERR_WRITE};
        let folder = tempfile::tempdir().unwrap();
        let code = |folder: &Path, code| {
            let error = rusqlite::Error::SqliteFailure(Error::new(code), None).into();
            told_of_room(&folder.join("ledger.sqlite"), error).code()
        };
        // There is never room among what the kernel tells.
        let full = Path::new("/proc");
        assert_eq!(code(full, SQLITE_IOERR_WRITE), "disk_full");
        assert_eq!(code(full, SQLITE_IOERR_READ), "store_failed");
        assert_eq!(code(folder.path(), SQLITE_IOERR_WRITE), "store_failed");
    }

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
