//! The ledger: everything that cannot be recreated, and what is visible.
//!
//! One SQLite database (WAL, `synchronous=FULL`). Owns the schema, the connections, and what the
//! store remembers of itself; refuses to know the two indexes. Statements stand with what they are
//! about: [`sources`](super::sources), [`documents`](super::documents) and their
//! [`passages`](super::passages), [`answers`](super::answers), [`units`](super::units) and others
//! each add their own reads to [`Snapshot`]. Reads run on a small pool of connections, each read in
//! one snapshot.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use rusqlite::Transaction;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, ToSql};

use super::StoreError;
use super::tokens::Part;
use crate::domain::access::View;
use crate::domain::chunk::ChunkId;
use crate::domain::link;
use crate::domain::source::{DocumentId, Edition, SourceId};

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

    /// From now on SQLite writes what does not fit into its memory into this folder, in all of this
    /// process: writing the ledger anew puts all of it there for a moment. Its own choice would be
    /// `/var/tmp`, which may be small, or on a disk that is not encrypted.
    ///
    /// # Errors
    /// [`StoreError::Ledger`].
    pub(super) fn spill_into(&self, folder: &Path) -> Result<()> {
        if let Some(folder) = folder.to_str() {
            let connection = self.take()?;
            // Refused where it cannot be written: there, nothing is.
            let _ = connection.pragma_update(None, "temp_store_directory", folder);
            self.give(connection);
        }
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

/// One consistent view of the ledger, and whether it leaves sources out.
pub struct Snapshot<'a>(pub(super) &'a Transaction<'a>, pub(super) bool);

impl Snapshot<'_> {
    /// What the store remembers under a name.
    pub(crate) fn memo(&self, name: &str) -> Result<Option<String>> {
        Ok(self
            .0
            .prepare_cached("SELECT value FROM memo WHERE name = ?1")?
            .query_row([name], |row| row.get(0))
            .optional()?)
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

/// The memo that something was removed whose text may still stand in the ledger's files.
pub(super) const PURGE: &str = "purge";

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::store::answers::TOKEN_TOTALS;
    use crate::store::documents::CAME_BACK;
    use crate::store::units::considered;
    use crate::store::{Access, Store};

    /// Two answers.
    pub(in crate::store) const ANSWERS: &str =
        "INSERT INTO answer (id, question, body, asked_ms) VALUES
        ('a', 'Who?', '{}', 5), ('b', 'Where?', '{}', 1);";

    pub(in crate::store) fn with_ledger(filled: &str, check: impl FnOnce(&Ledger)) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ledger = Ledger::open(&folder.path().join("ledger.sqlite")).expect("a ledger");
        let written = ledger.write(|t| t.execute_batch(filled).map_err(StoreError::from));
        written.expect("what fits the schema");
        check(&ledger);
    }

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
        let new = considered::UNCONSIDERED.replace("?3", "1");
        let new = plan(&ledger, &new.replace("?1", "0").replace("?2", "1"));
        assert!(new.contains("INDEX answer_asked"), "{new}");
        assert!(!new.contains("TEMP B-TREE"), "{new}");
    }

    #[test]
    fn what_does_not_fit_into_memory_stays_in_the_data_folder() {
        let home = tempfile::tempdir().unwrap();
        let is_there = || {
            let store = Store::open(home.path(), Access::Write).unwrap();
            let folder: Result<String> = store.ledger().read(|snapshot| {
                let (connection, name) = (snapshot.0, "temp_store_directory");
                Ok(connection.pragma_query_value(None, name, |row| row.get(0))?)
            });
            folder.is_ok_and(|folder| Path::new(&folder) == home.path())
        };
        // The tests beside this one, in the same process, say it of theirs.
        assert!((0..200).any(|_| is_there()));
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
}
