//! Why the store could not do something, and what to do next.
//!
//! Three libraries tell of the same trouble in their own ways; here it gets one name.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::domain::source::SourceId;
use crate::error::{Fault, Kind};

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

    pub(super) fn vectors(folder: &Path, source: lancedb::Error) -> Self {
        Self::Vectors {
            folder: folder.to_owned(),
            source: Box::new(source),
        }
    }

    pub(super) fn lexical(folder: &Path, source: tantivy::TantivyError) -> Self {
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

    pub(super) fn trouble(&self) -> Option<Trouble> {
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
pub(super) enum Trouble {
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
