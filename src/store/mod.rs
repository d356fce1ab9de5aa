//! The store: one ledger that decides what is visible, two indexes that propose candidates.
//!
//! Owns the one write path and the read path, and is the only place that knows SQLite, LanceDB
//! and tantivy.
//!
//! *Write.* vectors → terms, committed → one ledger transaction. A crash anywhere before that
//! transaction leaves the old state visible; what lies in the indexes unseen is garbage that a
//! later run removes or overwrites.
//!
//! *Read.* One ledger snapshot is opened first, then both indexes are asked, then candidates are
//! filtered by that snapshot and their text is read from it. An orphan is never shown.
//!
//! *Heal.* What the ledger shows and an index lacks, or the other way round, is found by
//! [`Store::heal_terms`], [`Store::missing_vectors`] and [`Store::drop_orphans`], and mended.
//! Deleting the `index` folder loses nothing but time. A damaged ledger is replaced by its last
//! automatic backup, with what can still be read of the damaged one ([`backup::recovery`]).
//!
//! *Switch.* The indexes of another embedding model are built beside those in use
//! ([`Store::indexes`] of another space) and put in their place by [`Store::switch_to`].

pub mod answers;
pub mod backup;
pub mod candidates;
mod codes;
pub mod documents;
mod editions;
pub mod erase;
pub mod feedback;
mod index;
pub mod ledger;
mod lexical;
pub mod measurements;
pub mod nearest;
pub mod outbound;
pub mod passages;
pub mod problems;
mod resident;
mod select;
pub mod sources;
mod statistics;
pub mod tokens;
pub mod units;
pub mod unreadable;
mod vectors;
pub mod verify;

use std::collections::HashSet;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::domain::access::View;
use crate::domain::chunk::ChunkId;
use crate::domain::source::{DocumentId, Edition, SourceId, title_or_stem};
use crate::error::{Fault, Kind};
use documents::{FileStat, Ingested};
pub use index::{Indexes, VectorSpace};
use ledger::{Ledger, Snapshot};
use passages::{TermsDocument, TermsRow};
use problems::Problem;

type Result<T> = std::result::Result<T, StoreError>;

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite failed.
    #[error("the ledger failed")]
    Ledger(#[from] rusqlite::Error),
    /// A value in the ledger is not what the schema promises.
    #[error("the ledger holds a value that cannot be read")]
    Value(#[from] serde_json::Error),
    /// A newer version wrote the ledger.
    #[error("{} has schema version {found}, this coho knows {newest}", path.display())]
    NewerLedger {
        /// The ledger.
        path: PathBuf,
        /// Its version.
        found: usize,
        /// The newest version that this program knows.
        newest: usize,
    },
    /// SQLite finds damage in the ledger's file.
    #[error("the ledger {} is damaged: {reason}", path.display())]
    LedgerDamaged {
        /// The ledger.
        path: PathBuf,
        /// What SQLite found.
        reason: String,
    },
    /// A backup cannot be written or restored.
    #[error("{}: {reason}", path.display())]
    Backup {
        /// The archive or what is in its way.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// LanceDB failed.
    #[error("the vector index in {} failed", folder.display())]
    Vectors {
        /// Its folder.
        folder: PathBuf,
        /// What LanceDB said.
        source: Box<lancedb::Error>,
    },
    /// tantivy failed.
    #[error("the lexical index in {} failed", folder.display())]
    Lexical {
        /// Its folder.
        folder: PathBuf,
        /// What tantivy said.
        source: Box<tantivy::TantivyError>,
    },
    /// The ledger knows documents of which the indexes hold nothing.
    #[error("the indexes are gone: nothing can be found")]
    NotIndexed,
    /// Somebody reads the ledger as it was.
    #[error("what was removed may still stand in the ledger's log: somebody reads it just now")]
    StillRead,
    /// The file system failed.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A vector of the wrong length.
    #[error("a vector has {found} dimensions, the index holds {expected}")]
    Dimensions {
        /// What the index holds.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// Another process writes this data folder.
    #[error("{} is in use by process {pid}", home.display())]
    InUse {
        /// The data folder.
        home: PathBuf,
        /// Who uses it.
        pid: String,
    },
    /// A write was asked of a store that was opened for reading.
    #[error("the store was opened for reading only")]
    ReadOnly,
    /// A source that does not exist.
    #[error("there is no source {id}")]
    NoSource {
        /// What was asked for.
        id: SourceId,
    },
    /// Where a folder should be made is something else, or nothing can be made there.
    #[error("cannot make the folder {}", path.display())]
    NoFolder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A filter that names no source.
    #[error("there is no source `{name}`")]
    NoSuchSource {
        /// What was asked for.
        name: String,
    },
}

impl StoreError {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    fn vectors(folder: &Path, source: lancedb::Error) -> Self {
        Self::Vectors {
            folder: folder.to_owned(),
            source: Box::new(source),
        }
    }

    fn lexical(folder: &Path, source: tantivy::TantivyError) -> Self {
        Self::Lexical {
            folder: folder.to_owned(),
            source: Box::new(source),
        }
    }

    /// The same error for another reader.
    #[must_use]
    pub fn again(&self) -> Self {
        let path = match self {
            Self::Vectors { folder, .. } | Self::Lexical { folder, .. } => folder.clone(),
            Self::Io { path, .. } => path.clone(),
            _ => PathBuf::new(),
        };
        let said = self.to_string();
        let cause = std::error::Error::source(self).map(ToString::to_string);
        let said = cause.map_or(said.clone(), |cause| format!("{said}: {cause}"));
        let kind = self.system().unwrap_or(ErrorKind::Other);
        Self::io(&path, std::io::Error::new(kind, said))
    }

    /// What the system refused, where it did. The libraries hand its errors on, or only tell of them.
    fn system(&self) -> Option<ErrorKind> {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = next {
            let own = error.downcast_ref::<std::io::Error>();
            // One of a library's own holds another one.
            let own = own
                .map(std::io::Error::kind)
                .filter(|k| *k != ErrorKind::Other);
            if let Some(kind) = own.or_else(|| told_of(&error.to_string())) {
                return Some(kind);
            }
            next = error.source();
        }
        None
    }

    /// Does the system keep us from what may be whole? What is not there or holds nonsense is damage.
    pub(crate) fn is_refused(&self) -> bool {
        use ErrorKind::{InvalidData, InvalidInput, NotFound, UnexpectedEof};
        let held = match self {
            Self::Lexical { source, .. } => {
                matches!(**source, tantivy::TantivyError::LockFailure(..))
            }
            _ => false,
        };
        let damage = [InvalidData, InvalidInput, NotFound, UnexpectedEof];
        held || self.system().is_some_and(|kind| !damage.contains(&kind))
    }

    /// Does another process write the ledger for longer than is waited?
    pub(crate) fn is_busy(&self) -> bool {
        self.trouble() == Some(Trouble::Busy)
    }

    /// Is an index of another version of coho?
    pub(crate) fn is_other_schema(&self) -> bool {
        let Self::Lexical { source, .. } = self else {
            return false;
        };
        matches!(**source, tantivy::TantivyError::SchemaError(_))
    }

    fn trouble(&self) -> Option<Trouble> {
        use rusqlite::ErrorCode;
        match self {
            // What the schema promises is not what stands there.
            Self::LedgerDamaged { .. }
            | Self::Value(_)
            | Self::Ledger(
                rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::FromSqlConversionFailure(..),
            ) => Some(Trouble::Damage),
            Self::Ledger(error) if is_out_of_room(error) => Some(Trouble::DiskFull),
            Self::Ledger(error) => match error.sqlite_error_code()? {
                ErrorCode::DiskFull => Some(Trouble::DiskFull),
                ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied => {
                    Some(Trouble::ReadOnly)
                }
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Some(Trouble::Busy),
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Some(Trouble::Damage),
                _ => None,
            },
            _ => match self.system()? {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some(Trouble::DiskFull),
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                    Some(Trouble::ReadOnly)
                }
                _ => None,
            },
        }
    }

    /// Kind, code and what to do next.
    fn told(&self) -> (Kind, &'static str, Option<&'static str>) {
        match (self.trouble(), self) {
            (Some(trouble), _) => trouble.told(),
            (_, Self::InUse { .. }) => (
                Kind::Conflict,
                "data_folder_in_use",
                Some("stop that process, or set COHO_HOME to another folder"),
            ),
            (_, Self::StillRead) => (
                Kind::Conflict,
                "ledger_still_read",
                Some(
                    "it is out of reach already; the rest is done with the next `coho sync`, or \
                     when the service starts",
                ),
            ),
            (_, Self::NotIndexed) => (
                Kind::NotReady,
                "not_indexed",
                Some("`coho sync` makes them anew; nothing is lost"),
            ),
            (_, Self::NoSource { .. } | Self::NoSuchSource { .. }) => (
                Kind::NotFound,
                "no_such_source",
                Some("`coho sources` lists them"),
            ),
            (_, Self::NewerLedger { .. }) => (
                Kind::BadInput,
                "newer_ledger",
                Some("use the newer coho with this data folder"),
            ),
            (_, Self::Backup { .. }) => (Kind::BadInput, "bad_backup", None),
            (_, Self::Vectors { .. } | Self::Lexical { .. }) if self.is_refused() => (
                Kind::Ours,
                "store_failed",
                Some(
                    "the system does not let it be read; where that stays so, remove the folder: \
                     `coho sync` makes it anew from the ledger",
                ),
            ),
            (_, Self::Vectors { .. } | Self::Lexical { .. }) => (
                Kind::Ours,
                "store_failed",
                Some("`coho verify --repair` makes it anew from the ledger"),
            ),
            (_, Self::NoFolder { .. }) => (
                Kind::BadInput,
                "no_folder",
                Some(
                    "name one that is a folder or can be made: COHO_HOME says where coho keeps its data",
                ),
            ),
            (_, Self::Io { .. }) => (Kind::Ours, "store_io", None),
            _ => (Kind::Ours, "store_failed", None),
        }
    }
}

/// Is there no room for the file by which processes share the ledger's log? SQLite has no other name for
/// that than a failure of the disk.
fn is_out_of_room(error: &rusqlite::Error) -> bool {
    let error = error.sqlite_error();
    error.is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE)
}

/// The system's error that a text tells of, as the system and those who show its errors in Rust's own
/// way write it.
fn told_of(text: &str) -> Option<ErrorKind> {
    let behind = |mark: &str| text.split_once(mark).map(|(_, rest)| rest);
    let rest = behind("(os error ").or_else(|| behind("Os { code: "))?;
    let digits = rest.find(|c: char| !c.is_ascii_digit())?;
    let code = rest[..digits].parse().ok()?;
    Some(std::io::Error::from_raw_os_error(code).kind())
}

/// What any of the stores may run into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// There is no room left.
    DiskFull,
    /// The data folder may not be written.
    ReadOnly,
    /// Another process writes the ledger.
    Busy,
    /// The ledger's file is damaged.
    Damage,
}

impl Trouble {
    /// As [`StoreError::told`].
    fn told(self) -> (Kind, &'static str, Option<&'static str>) {
        match self {
            Self::DiskFull => (
                Kind::NotReady,
                "disk_full",
                Some("free some space; nothing that was visible is lost"),
            ),
            Self::ReadOnly => (
                Kind::BadInput,
                "data_folder_read_only",
                Some(
                    "the data folder is read-only for you: get permission to write it, or set \
                     COHO_HOME to another folder",
                ),
            ),
            Self::Busy => (
                Kind::NotReady,
                "ledger_busy",
                Some("another process writes the ledger just now: try again in a moment"),
            ),
            Self::Damage => (
                Kind::Ours,
                "ledger_damaged",
                Some(
                    "`coho verify --repair` restores its last automatic backup and saves what can \
                     still be read",
                ),
            ),
        }
    }
}

impl Fault for StoreError {
    fn kind(&self) -> Kind {
        self.told().0
    }

    fn code(&self) -> &'static str {
        self.told().1
    }

    fn hint(&self) -> Option<String> {
        self.told().2.map(str::to_owned)
    }
}

/// A set of changes that becomes visible at once.
#[derive(Debug, Default)]
pub struct Change {
    /// Documents with their new passages.
    pub documents: Vec<Ingested>,
    /// Vectors of the chunks that the ledger does not know yet.
    pub vectors: Vec<(ChunkId, Vec<f32>)>,
    /// Documents that moved: new path and state.
    pub moved: Vec<(DocumentId, String, FileStat)>,
    /// Documents whose file was touched without a change.
    pub touched: Vec<(DocumentId, FileStat)>,
    /// Documents that are gone.
    pub removed: Vec<DocumentId>,
    /// Files that could not be read.
    pub problems: Vec<Problem>,
    /// Files whose problem is over because they are gone.
    pub solved: Vec<(SourceId, String)>,
}

impl Change {
    /// Nothing to do?
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
            && self.moved.is_empty()
            && self.touched.is_empty()
            && self.removed.is_empty()
            && self.problems.is_empty()
            && self.solved.is_empty()
    }
}

/// The ledger, and the way to the indexes.
pub struct Store {
    home: PathBuf,
    ledger: Ledger,
    access: Access,
    exact_rows: usize,
    units: units::near::Resident,
    /// Held while the store is open for writing.
    _lock: Option<File>,
}

/// Chunks whose vectors are kept in memory, unless the owner says otherwise: 190 MB at 384
/// dimensions, with their codes.
const EXACT_ROWS: usize = 100_000;

/// How to open a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read what is visible; any number of processes may.
    Read,
    /// Read and write; one process at a time.
    Write,
}

/// The memo that names the embedding model whose indexes are in use.
const EMBEDDER_IN_USE: &str = "embedder";

impl Store {
    /// Opens the store in the data folder `home`, creating what is missing. With
    /// [`Access::Write`] the ledger is checked, and one that is damaged or gone replaced by its backup.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when `access` is [`Access::Write`] and another process writes,
    /// [`StoreError::NewerLedger`], [`StoreError::LedgerDamaged`], or what the file system and SQLite
    /// say.
    pub fn open(home: &Path, access: Access) -> Result<Self> {
        create_private_folder(home)?;
        let lock = (access == Access::Write)
            .then(|| lock_home(home))
            .transpose()?;
        if lock.is_some()
            && let Err(error) = backup::remove_drafts(home)
        {
            tracing::warn!(%error, "what was left of a copy is still there");
        }
        let path = ledger_path(home);
        let opened = backup::recovery::lost(home).map_or_else(|| Ledger::open(&path), Err);
        let opened = opened.and_then(|ledger| {
            if access == Access::Write {
                ledger.check()?;
            }
            Ok(ledger)
        });
        let ledger = match opened {
            Err(error) if error.trouble() == Some(Trouble::Damage) && access == Access::Write => {
                backup::recovery::recover(home, &error)?;
                Ledger::open(&path)?
            }
            opened => opened?,
        };
        Ok(Self {
            home: home.to_owned(),
            ledger,
            access,
            exact_rows: EXACT_ROWS,
            units: units::near::Resident::default(),
            _lock: lock,
        })
    }

    /// Keeps the vectors of this many chunks in memory at most; more are searched by an index.
    #[must_use]
    pub fn exact_up_to(self, exact_rows: usize) -> Self {
        Self { exact_rows, ..self }
    }

    /// The same store, of which reads see a part; nothing but the ledger can be written by it.
    #[must_use]
    pub fn seen_by(&self, view: View) -> Self {
        Self {
            home: self.home.clone(),
            ledger: self.ledger.seen_by(view),
            access: Access::Read,
            exact_rows: self.exact_rows,
            units: units::near::Resident::default(),
            _lock: None,
        }
    }

    /// Erases questions and answers for good, also from the automatic copy of the ledger.
    ///
    /// # Errors
    /// What the ledger and the file system say; what could not be erased stays as it is.
    pub fn erase(&self, what: &erase::Erase) -> Result<erase::Erased> {
        let erased = self
            .ledger
            .write(|transaction| erase::erase(transaction, what))?;
        self.purge()?;
        Ok(erased)
    }

    /// Sees to it that what was removed stands nowhere in the ledger's files, nor in its automatic
    /// copy: free pages and the log hold what was there before.
    ///
    /// # Errors
    /// [`StoreError::StillRead`] while somebody reads what was there; [`StoreError::Ledger`],
    /// [`StoreError::Io`].
    pub fn purge(&self) -> Result<()> {
        let due = |snapshot: &Snapshot<'_>| snapshot.memo(ledger::PURGE);
        if self.ledger.read(due)?.is_none_or(|memo| memo.is_empty()) {
            return Ok(());
        }
        backup::forget_damaged(&self.home)?;
        let emptied = self.ledger.vacuum();
        // The copy goes in any case: it is whole by itself.
        backup::renew_erased(&self.home, &self.ledger)?;
        emptied?;
        self.ledger
            .write(|t| ledger::put_memo(t, ledger::PURGE, ""))
    }

    /// Where what a language model has read is kept.
    pub fn states(&self) -> PathBuf {
        states_of(&self.home)
    }

    /// Makes the automatic copy anew, where there is one: what was taken back must not come back with
    /// it.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Ledger`].
    pub fn renew_copy(&self) -> Result<()> {
        backup::renew(&self.home, &self.ledger)
    }

    /// The data folder.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The ledger, for reads that need no index.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The units nearest to a vector of the embedding model `model`, nearest first, at most `limit`;
    /// those whose cosine is below `least` are left out.
    ///
    /// # Errors
    /// What the ledger says.
    pub fn near_units(
        &self,
        snapshot: &Snapshot<'_>,
        model: &str,
        vector: &[f32],
        allowed: &units::UseUnits,
        least: f32,
        limit: usize,
    ) -> Result<Vec<units::near::NearUnit>> {
        let units = &self.units;
        units.near(snapshot, model, vector, allowed, least, limit)
    }

    /// The embedding model whose indexes are in use, once there is one.
    ///
    /// # Errors
    /// What the ledger says.
    pub fn embedder_in_use(&self) -> Result<Option<String>> {
        self.ledger.read(|snapshot| snapshot.memo(EMBEDDER_IN_USE))
    }

    /// Opens the indexes of an embedding model, in use or not; creates them where there are none.
    ///
    /// # Errors
    /// What the indexes say.
    pub fn indexes(&self, space: &VectorSpace) -> Result<Indexes> {
        let folder = self.index_folder(&space.model);
        let edition = self.ledger.read(|snapshot| snapshot.newest_edition())?;
        Indexes::open(&folder, space, self.exact_rows, (self.access, edition))
    }

    /// The same, left closed: for who needs nothing that they hold, whether they can be read or not.
    pub fn closed_indexes(&self, space: &VectorSpace) -> Indexes {
        Indexes::closed(&self.index_folder(&space.model), space)
    }

    fn index_folder(&self, model: &str) -> PathBuf {
        self.home.join("index").join(model)
    }

    /// Are there indexes of this embedding model?
    pub fn has_indexes(&self, model: &str) -> bool {
        self.index_folder(model).is_dir()
    }

    /// Puts the indexes of an embedding model in use. Those of others are removed.
    ///
    /// # Errors
    /// What the stores say; before the ledger's transaction ends, nothing has changed.
    pub fn switch_to(&self, indexes: &Indexes) -> Result<()> {
        let model = &indexes.space().model;
        reach("switch", &self.home)?;
        self.ledger
            .write(|transaction| ledger::put_memo(transaction, EMBEDDER_IN_USE, model))?;
        reach("switched", &self.home)?;
        let all = std::fs::read_dir(self.home.join("index"));
        for other in all.into_iter().flatten().flatten() {
            if other.path() != indexes.folder() && other.path().is_dir() {
                index::remove(&other.path())?;
            }
        }
        Ok(())
    }

    /// Throws the indexes of an embedding model away, damaged or not.
    ///
    /// # Errors
    /// What the file system says.
    pub fn discard_indexes(&self, model: &str) -> Result<()> {
        self.for_writing()?;
        index::remove(&self.index_folder(model))
    }

    fn for_writing(&self) -> Result<()> {
        match self.access {
            Access::Write => Ok(()),
            Access::Read => Err(StoreError::ReadOnly),
        }
    }

    /// Makes a change visible, all of it or nothing.
    ///
    /// # Errors
    /// What the stores say; the old state is visible then.
    pub fn commit(&self, indexes: &Indexes, change: &Change, now_ms: i64) -> Result<()> {
        self.for_writing()?;
        if change.is_empty() {
            return Ok(());
        }
        let writes = change.documents.len() + change.moved.len();
        let first = self
            .ledger
            .write(|transaction| documents::reserve_editions(transaction, writes))?;
        reach("reserved", &self.home)?;
        indexes.vectors()?.add(&change.vectors)?;
        reach("vectors", &self.home)?;
        let terms = self.terms_of(change, first)?;
        indexes.lexical()?.update(&terms, &[])?;
        reach("terms", &self.home)?;
        self.ledger.write(|transaction| {
            let mut editions = (first.0..).map(Edition);
            let mut next = || editions.next().expect("editions do not run out");
            for id in &change.removed {
                documents::remove_document(transaction, *id)?;
            }
            for document in &change.documents {
                documents::put_document(transaction, document, next(), now_ms)?;
            }
            for (id, path, stat) in &change.moved {
                documents::move_document(transaction, *id, path, *stat, next())?;
            }
            for (id, stat) in &change.touched {
                documents::touch_document(transaction, *id, *stat)?;
            }
            for problem in &change.problems {
                problems::put_problem(transaction, problem, now_ms)?;
            }
            for (source, path) in &change.solved {
                problems::clear_problem(transaction, *source, path)?;
            }
            // Who waits for changes learns of them once they are visible, not before.
            documents::reserve_editions(transaction, 1)?;
            reach("ledger", &self.home)
        })?;
        reach("committed", &self.home)
    }

    fn terms_of(&self, change: &Change, first: Edition) -> Result<Vec<TermsDocument>> {
        let mut editions = (first.0..).map(Edition);
        let mut next = || editions.next().expect("editions do not run out");
        let mut terms: Vec<TermsDocument> = change
            .documents
            .iter()
            .map(|document| terms_of_ingested(document, next()))
            .collect();
        for (id, path, _) in &change.moved {
            let mut moved = self.ledger.read(|snapshot| {
                let edition = snapshot.edition_of(*id)?;
                snapshot.terms_of(edition, Some(path))
            })?;
            moved.edition = next();
            terms.push(moved);
        }
        Ok(terms)
    }

    /// Removes from the indexes what is no longer visible.
    ///
    /// # Errors
    /// What the stores say; the garbage stays garbage then.
    pub fn collect_garbage(&self, indexes: &Indexes) -> Result<()> {
        self.for_writing()?;
        let (chunks, editions) = self.ledger.read(|snapshot| snapshot.garbage())?;
        if chunks.is_empty() && editions.is_empty() {
            return Ok(());
        }
        reach("garbage", &self.home)?;
        indexes.vectors()?.delete(&chunks)?;
        reach("garbage-vectors", &self.home)?;
        indexes.lexical()?.update(&[], &editions)?;
        reach("garbage-terms", &self.home)?;
        self.ledger
            .write(|transaction| documents::clear_garbage(transaction, &chunks, &editions))
    }

    /// Writes the terms of visible documents that the lexical index lacks or holds only in part;
    /// returns how many.
    ///
    /// # Errors
    /// What the stores say.
    pub fn heal_terms(&self, indexes: &Indexes) -> Result<usize> {
        self.for_writing()?;
        let present = indexes.lexical()?.sizes()?;
        let missing: Vec<Edition> = self.ledger.read(|snapshot| {
            let visible = snapshot.edition_sizes()?.into_iter();
            let missing = visible.filter(|(edition, size)| present.get(edition) != Some(size));
            Ok::<_, StoreError>(missing.map(|(edition, _)| edition).collect())
        })?;
        for some in missing.chunks(512) {
            let terms: Vec<TermsDocument> = self
                .ledger
                .read(|snapshot| some.iter().map(|e| snapshot.terms_of(*e, None)).collect())?;
            indexes.lexical()?.update(&terms, &[])?;
        }
        Ok(missing.len())
    }

    /// Are there documents, and nothing in the index of words?
    ///
    /// # Errors
    /// What the stores say.
    pub fn is_unindexed(&self, indexes: &Indexes, snapshot: &Snapshot<'_>) -> Result<bool> {
        Ok(indexes.lexical()?.is_empty() && snapshot.counts()?.documents > 0)
    }

    /// Visible chunks that have no vector.
    ///
    /// # Errors
    /// What the ledger says.
    pub fn missing_vectors(&self, indexes: &Indexes) -> Result<Vec<ChunkId>> {
        let visible = self.ledger.read(|snapshot| snapshot.chunk_ids())?;
        Ok(indexes.vectors()?.lacking(&visible))
    }

    /// Writes the words of what is visible anew where removed ones stand beside them.
    ///
    /// # Errors
    /// [`StoreError::Lexical`].
    pub fn drop_removed_terms(&self, indexes: &Indexes) -> Result<()> {
        self.for_writing()?;
        indexes.lexical()?.drop_removed()
    }

    /// Writes vectors of chunks that are visible already.
    ///
    /// # Errors
    /// What LanceDB says.
    pub fn heal_vectors(&self, indexes: &Indexes, vectors: &[(ChunkId, Vec<f32>)]) -> Result<()> {
        self.for_writing()?;
        indexes.vectors()?.add(vectors)
    }

    /// Removes what lies in the indexes and nobody will ever see; returns vectors and editions.
    ///
    /// # Errors
    /// What the stores say.
    pub fn drop_orphans(&self, indexes: &Indexes) -> Result<(usize, usize)> {
        self.for_writing()?;
        let (chunks, editions) = self
            .ledger
            .read(|s| Ok::<_, StoreError>((s.chunk_ids()?, s.edition_sizes()?)))?;
        let visible: HashSet<ChunkId> = chunks.into_iter().collect();
        let present = indexes.vectors()?.ids().into_iter();
        let vectors: Vec<ChunkId> = present.filter(|id| !visible.contains(id)).collect();
        let present = indexes.lexical()?.sizes()?.into_keys();
        let terms: Vec<Edition> = present.filter(|e| !editions.contains_key(e)).collect();
        indexes.vectors()?.delete(&vectors)?;
        indexes.lexical()?.update(&[], &terms)?;
        Ok((vectors.len(), terms.len()))
    }

    /// Tidies up in a quiet moment: merges small pieces of the indexes, empties the ledger's log,
    /// copies the ledger when its last copy is older than `backup_age`.
    ///
    /// # Errors
    /// What the stores say.
    pub fn rest(&self, indexes: &Indexes, backup_age: Duration) -> Result<()> {
        self.for_writing()?;
        indexes.rest()?;
        self.ledger.checkpoint()?;
        backup::automatic(&self.home, &self.ledger, backup_age)
    }

    /// Bytes on disk: ledger, vectors, terms.
    pub fn disk_bytes(&self) -> (u64, u64, u64) {
        let index = self.home.join("index");
        let mut vectors = 0;
        let mut terms = 0;
        for model in std::fs::read_dir(&index).into_iter().flatten().flatten() {
            vectors += folder_bytes(&model.path().join("vectors"));
            terms += folder_bytes(&model.path().join("terms"));
        }
        let ledger = ["ledger.sqlite", "ledger.sqlite-wal"]
            .iter()
            .filter_map(|name| std::fs::metadata(self.home.join(name)).ok())
            .map(|m| m.len())
            .sum();
        (ledger, vectors, terms)
    }
}

/// Where what a language model has read is kept in a data folder.
pub fn states_of(home: &Path) -> PathBuf {
    home.join("states")
}

/// The ledger's file in a data folder.
fn ledger_path(home: &Path) -> PathBuf {
    home.join("ledger.sqlite")
}

/// Passes a fail point; its error tells of `path`.
fn reach(name: &str, path: &Path) -> Result<()> {
    crate::failpoint::reach(name).map_err(|source| StoreError::io(path, source))
}

fn terms_of_ingested(document: &Ingested, edition: Edition) -> TermsDocument {
    let mut seen = HashSet::new();
    let rows = document.passages.iter();
    TermsDocument {
        edition,
        path: document.path.clone(),
        title: title_or_stem(&document.meta, &document.path),
        tags: document.meta.tags.clone(),
        aliases: document.meta.aliases.clone(),
        language: document.language,
        rows: rows
            .filter(|passage| seen.insert(passage.id))
            .map(|passage| TermsRow {
                chunk: passage.id,
                text: passage.text.clone(),
                heading: passage.heading.clone(),
            })
            .collect(),
    }
}

/// Creates a folder that only its owner can read. One that is there is closed to others, where it is
/// ours to do so.
///
/// # Errors
/// [`StoreError::NoFolder`], [`StoreError::Io`].
pub fn create_private_folder(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        close_to_others(folder);
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(folder).map_err(|source| {
        let path = folder.to_owned();
        match source.kind() {
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists | ErrorKind::NotFound => {
                StoreError::NoFolder { path, source }
            }
            _ => StoreError::io(folder, source),
        }
    })
}

/// May others than its owner look into this folder?
#[cfg(unix)]
pub fn is_open_to_others(folder: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let meta = std::fs::metadata(folder);
    meta.is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
}

/// May others than its owner look into this folder? The system does not tell.
#[cfg(not(unix))]
pub fn is_open_to_others(_: &Path) -> bool {
    false
}

/// Takes from others the rights in a folder of ours. One that everybody may write, such as `/tmp`, is
/// not ours; `coho doctor` tells of what stays open.
#[cfg(unix)]
fn close_to_others(folder: &Path) {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    const STICKY: u32 = 0o1000;
    let Ok(meta) = std::fs::metadata(folder) else {
        return;
    };
    let ours = meta.uid() == rustix::process::geteuid().as_raw();
    let mode = meta.permissions().mode();
    if ours && mode & 0o077 != 0 && mode & STICKY == 0 {
        let closed = std::fs::Permissions::from_mode(mode & !0o077 & 0o7777);
        let _ = std::fs::set_permissions(folder, closed);
    }
}

#[cfg(not(unix))]
fn close_to_others(_: &Path) {}

/// How often the lock is tried again: who looks for its holder has it for a moment.
const LOOKS: usize = 5;

/// Takes the data folder's lock and leaves this process's id in it. The system frees the lock
/// when the process ends, however it ends.
fn lock_home(home: &Path) -> Result<File> {
    let path = home.join("lock");
    let io = |source| StoreError::io(&path, source);
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(&path).map_err(io)?;
    let mut taken = file.try_lock();
    for _ in 0..LOOKS {
        if !matches!(taken, Err(std::fs::TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
        taken = file.try_lock();
    }
    match taken {
        Ok(()) => {
            file.set_len(0).map_err(io)?;
            file.rewind().map_err(io)?;
            write!(file, "{}", std::process::id()).map_err(io)?;
            Ok(file)
        }
        Err(std::fs::TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            Err(StoreError::InUse {
                home: home.to_owned(),
                pid: if pid.is_empty() { "?".into() } else { pid },
            })
        }
        Err(std::fs::TryLockError::Error(source)) => Err(io(source)),
    }
}

/// The process that holds the data folder's lock; `None` where nobody does.
pub fn holder(home: &Path) -> Option<u32> {
    let mut file = File::open(home.join("lock")).ok()?;
    // Shared: who looks must not be taken for one who holds it by another who looks.
    match file.try_lock_shared() {
        Err(std::fs::TryLockError::WouldBlock) => {}
        Ok(()) | Err(std::fs::TryLockError::Error(_)) => return None,
    }
    let mut pid = String::new();
    file.read_to_string(&mut pid).ok()?;
    pid.trim().parse().ok()
}

fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => folder_bytes(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use lancedb::Error as Lance;
    use rusqlite::ffi;
    use rusqlite::types::Type;
    use std::io::Error;
    use tantivy::TantivyError;
    use tantivy::directory::error::{LockError, OpenReadError};

    fn sqlite(code: i32) -> StoreError {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into()
    }

    fn vectors(message: &str) -> StoreError {
        let message = message.to_owned();
        StoreError::vectors(Path::new("/v"), Lance::Runtime { message })
    }

    fn terms(error: impl Into<TantivyError>) -> StoreError {
        StoreError::lexical(Path::new("/t"), error.into())
    }

    fn unread(code: i32) -> StoreError {
        let error = Error::from_raw_os_error(code);
        terms(OpenReadError::wrap_io_error(error, "meta.json".into()))
    }

    #[test]
    fn one_trouble_has_one_name_in_whichever_store() {
        let io = |error| StoreError::io(Path::new("/No space left"), error);
        let code = |code| io(Error::from_raw_os_error(code));
        for (error, kind, expected) in [
            (sqlite(ffi::SQLITE_BUSY), Kind::NotReady, "ledger_busy"),
            (sqlite(ffi::SQLITE_LOCKED), Kind::NotReady, "ledger_busy"),
            (sqlite(ffi::SQLITE_FULL), Kind::NotReady, "disk_full"),
            (
                sqlite(ffi::SQLITE_IOERR_SHMSIZE),
                Kind::NotReady,
                "disk_full",
            ),
            (sqlite(ffi::SQLITE_IOERR_READ), Kind::Ours, "store_failed"),
            (sqlite(ffi::SQLITE_NOTADB), Kind::Ours, "ledger_damaged"),
            (
                rusqlite::Error::InvalidColumnType(7, "recipe".into(), Type::Blob).into(),
                Kind::Ours,
                "ledger_damaged",
            ),
            (sqlite(ffi::SQLITE_ERROR), Kind::Ours, "store_failed"),
            (vectors("x (os error 28)"), Kind::NotReady, "disk_full"),
            (
                terms(Error::from_raw_os_error(28)),
                Kind::NotReady,
                "disk_full",
            ),
            (
                io(ErrorKind::StorageFull.into()).again(),
                Kind::NotReady,
                "disk_full",
            ),
            (io(Error::other(code(28))), Kind::NotReady, "disk_full"),
            (unread(13), Kind::BadInput, "data_folder_read_only"),
            (unread(24), Kind::Ours, "store_failed"),
            (code(2), Kind::Ours, "store_io"),
        ] {
            let told = (error.kind(), error.code());
            assert_eq!(told, (kind, expected), "{error:?}");
            assert!(kind != Kind::NotReady || error.hint().is_some());
        }
    }

    #[test]
    fn what_the_system_refuses_is_no_damage() {
        let held = terms(TantivyError::LockFailure(LockError::LockBusy, None));
        for error in [
            unread(24),
            unread(5),
            unread(13),
            vectors("(os error 5)"),
            held,
        ] {
            assert!(error.is_refused(), "{error:?}");
        }
        let lost = OpenReadError::FileDoesNotExist("x.term".into());
        let nonsense = Error::new(ErrorKind::InvalidData, "magic");
        for error in [
            terms(lost),
            unread(2),
            terms(nonsense),
            vectors("no such row"),
            StoreError::io(Path::new("/v"), Error::other("a panic")),
        ] {
            assert!(!error.is_refused(), "{error:?}");
        }
    }
}
