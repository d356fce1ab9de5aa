//! Copies of what cannot be recreated: one by itself beside the ledger, and archives by request.
//!
//! Here are the automatic copy, and how the files of any copy are drafted, checked and removed.
//! Nothing but erasing puts a ledger that holds nothing in the place of a copy that does. What is
//! written by request is in [`archive`], what takes the place of a damaged ledger in [`recovery`].

pub mod archive;
pub mod recovery;

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OpenFlags};

use self::recovery::is_put_aside;
use super::folder::{create_private_folder, ledger_path};
use super::ledger::Ledger;
use super::unreadable::fill_from;
use super::{Result, StoreError, reach};

/// A file beside `path` that is written first and then takes its name.
fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

/// Gives a finished draft its name, durably.
fn publish(draft: &Path, path: &Path) -> Result<()> {
    let io = |source| StoreError::io(path, source);
    File::open(draft).and_then(|f| f.sync_all()).map_err(io)?;
    std::fs::rename(draft, path).map_err(io)?;
    #[cfg(unix)]
    File::open(folder_of(path))
        .and_then(|f| f.sync_all())
        .map_err(io)?;
    Ok(())
}

/// The folder that a path leads into; a bare name lies in the one that the process is in.
fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// A new file that only its owner can read, before anything is written into it. What has its name
/// goes first.
fn private_file(path: &Path) -> Result<File> {
    let _ = std::fs::remove_file(path);
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let opened = options.open(path);
    opened.map_err(|source| StoreError::io(path, source))
}

/// Copies the ledger into the `backup` folder when it has changed since the last copy and that is
/// older than `age`.
pub(super) fn automatic(home: &Path, ledger: &Ledger, age: Duration) -> Result<()> {
    let copy = automatic_path(home);
    let time = |path: &Path| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    if let Some(made) = time(&copy) {
        let wal = home.join("ledger.sqlite-wal");
        let changed = [ledger_path(home), wal];
        let changed = changed.iter().filter_map(|p| time(p)).max();
        // A clock that was set back makes the copy look as if it came from the future.
        let old = SystemTime::now()
            .duration_since(made)
            .map_or(true, |since| since >= age);
        if !old || changed.is_some_and(|changed| changed <= made) {
            return Ok(());
        }
    }
    copy_kept(home, ledger)
}

/// Makes the automatic copy anew, where there is one: something was taken back.
pub(super) fn renew(home: &Path, ledger: &Ledger) -> Result<()> {
    if automatic_path(home).exists() {
        copy_kept(home, ledger)?;
    }
    Ok(())
}

/// Makes the automatic copy anew, where there is one, even if nothing is left: something was erased.
pub(super) fn renew_erased(home: &Path, ledger: &Ledger) -> Result<()> {
    if automatic_path(home).exists() {
        copy_ledger(home, ledger)?;
    }
    Ok(())
}

/// Copies the ledger, unless its copy holds what it has lost.
fn copy_kept(home: &Path, ledger: &Ledger) -> Result<()> {
    let kept = ["source", "answer"];
    // Of a copy that cannot be read, nothing is lost.
    let copied = holds(&automatic_path(home), &kept).unwrap_or(false);
    if copied && !holds(&ledger_path(home), &kept)? {
        tracing::error!(
            "the ledger holds neither sources nor answers, but its copy does, and is kept; move \
             ledger.sqlite away to have it restored"
        );
        return Ok(());
    }
    copy_ledger(home, ledger)
}

fn copy_ledger(home: &Path, ledger: &Ledger) -> Result<()> {
    let copy = automatic_path(home);
    let folder = home.join("backup");
    create_private_folder(&folder)?;
    let draft = draft_of(&copy);
    private_file(&draft)?;
    let copied = ledger.copy_to(&draft).and_then(|()| {
        // A copy of a damaged ledger must not take the place of a good one.
        check_file(&draft)?;
        fill_from(&copy, &draft)?;
        reach("backup", &copy)?;
        publish(&draft, &copy)
    });
    if copied.is_err() {
        discard(&draft);
    }
    copied
}

/// Looks for damage in a ledger that nobody uses.
fn check_file(path: &Path) -> Result<()> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let said: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if said == "ok" {
        return Ok(());
    }
    Err(StoreError::LedgerDamaged {
        path: path.to_owned(),
        reason: said,
    })
}

/// Tables whose rows somebody would miss.
const MISSED: &[&str] = &[
    "source", "answer", "token", "unit", "outbound", "spent", "batch",
];

/// Does a ledger hold a row of any of these tables?
fn holds(path: &Path, tables: &[&str]) -> Result<bool> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    for table in tables {
        // An older version knows fewer of them.
        let known =
            "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1)";
        let any = format!("SELECT EXISTS (SELECT 1 FROM {table})");
        if connection.query_row(known, [table], |row| row.get(0))?
            && connection.query_row(&any, [], |row| row.get(0))?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where the automatic copy of the ledger is.
pub(super) fn automatic_path(home: &Path) -> PathBuf {
    home.join("backup").join("ledger.sqlite")
}

/// What SQLite keeps beside a file, by its ending.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Removes a file that came to nothing, with what SQLite keeps beside it.
fn discard(path: &Path) {
    for ending in ["", "-wal", "-shm", "-journal"] {
        let _ = std::fs::remove_file(beside(path, ending));
    }
}

fn copy_hashed(from: &mut impl Read, into: &mut impl Write) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(hasher.finalize().to_hex().to_string());
        }
        hasher.update(&buffer[..read]);
        into.write_all(&buffer[..read])?;
    }
}

/// Removes damaged ledgers that a recovery put aside, and what was left of copies: they hold what was
/// to be forgotten.
pub(super) fn forget_damaged(home: &Path) -> Result<()> {
    remove_files(home, is_put_aside)?;
    remove_drafts(home)
}

/// Removes drafts of ledgers that were left by processes that ended: no run would find them again.
pub(super) fn remove_drafts(home: &Path) -> Result<()> {
    remove_files(home, is_abandoned)?;
    remove_files(&home.join("backup"), is_abandoned)
}

/// Removes those files of a folder that are meant.
fn remove_files(folder: &Path, meant: impl Fn(&Path) -> bool) -> Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|source| StoreError::io(folder, source))?,
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if meant(&path)
            && let Err(source) = std::fs::remove_file(&path)
            && source.kind() != ErrorKind::NotFound
        {
            return Err(StoreError::io(&path, source));
        }
    }
    Ok(())
}

/// A draft that was not written to for so long is nobody's: its process's number went to another one.
const ABANDONED: Duration = Duration::from_mins(10);

/// Is this the draft of a ledger, or what SQLite keeps beside it, that no process is at work on? Not
/// all that make one hold the data folder's lock.
fn is_abandoned(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let rest = name.and_then(|name| name.strip_prefix("ledger.sqlite."));
    let maker = rest.and_then(|rest| rest.split_once(".tmp"));
    let Some(maker) = maker.and_then(|(pid, _)| pid.parse().ok()) else {
        return false;
    };
    if maker == std::process::id() || !is_alive(maker) {
        return true;
    }
    let written = std::fs::metadata(path).and_then(|meta| meta.modified());
    let age = written.ok().and_then(|written| written.elapsed().ok());
    age.is_some_and(|age| age > ABANDONED)
}

#[cfg(unix)]
fn is_alive(pid: u32) -> bool {
    use rustix::process::{Pid, test_kill_process};
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// The system does not tell.
#[cfg(not(unix))]
fn is_alive(_: u32) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::recovery::{columns_of, each_row};
    use super::*;
    use crate::store::{Access, Store};
    use rusqlite::types::Value;
    use std::io::{Seek, SeekFrom};

    pub(super) const COPIED: &str = "
        INSERT INTO source (path, include, exclude, writeback, added_ms)
        VALUES ('/notes', '[]', '[]', 1, 1);
        INSERT INTO answer (id, question, body, asked_ms) VALUES ('a', 'Who?', '{}', 1);
        INSERT INTO batch (id, started_ms, state) VALUES ('b', 1, 'running');
        INSERT INTO unit (id, state, title, text, questions, scores, batch, made_ms)
        VALUES ('u', 'active', 't', 'said', '[]', '{}', 'b', 1),
               ('v', 'active', 't', 'also said', '[]', '{}', 'b', 1);
        INSERT INTO unit_evidence (unit_id, chunk_id) VALUES ('u', x'01'), ('v', x'01');
        INSERT INTO spent VALUES (1, 2.0, 3.0, 1);
        INSERT INTO memo VALUES ('verdicts_heeded', '0');";

    pub(super) fn rows(path: &Path, table: &str) -> Vec<Vec<Value>> {
        let connection = Connection::open(path).unwrap();
        let columns = columns_of(&connection, table).unwrap().0;
        let mut rows = Vec::new();
        let whole = each_row(&connection, table, &columns, |row| {
            rows.push(row);
            Ok(())
        });
        assert!(whole.unwrap(), "{table}");
        rows
    }

    /// A data folder with a ledger and its copy.
    pub(super) fn copied_home() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path(), Access::Write).unwrap();
        let filled = store.ledger.write(|t| Ok(t.execute_batch(COPIED)?));
        filled.unwrap();
        copy_ledger(home.path(), &store.ledger).unwrap();
        drop(store);
        home
    }

    pub(super) fn overwrite(file: &Path, at: u64, bytes: usize) {
        let mut file = File::options().write(true).open(file).unwrap();
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(&vec![0xff; bytes]).unwrap();
    }

    pub(super) fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_ledger_that_holds_nothing_replaces_its_copy_only_by_erasing() {
        let home = copied_home();
        let path = ledger_path(home.path());
        discard(&path);
        let ledger = Ledger::open(&path).unwrap();
        let copied = || rows(&automatic_path(home.path()), "answer").len();
        copy_kept(home.path(), &ledger).unwrap();
        renew(home.path(), &ledger).unwrap();
        assert_eq!(copied(), 1);
        renew_erased(home.path(), &ledger).unwrap();
        assert_eq!(copied(), 0);
    }

    #[test]
    #[cfg(unix)]
    fn drafts_of_processes_that_ended_are_removed() {
        let home = copied_home();
        let backup = home.path().join("backup");
        // No process has such a number; the first one always runs.
        let (dead, alive) = ("ledger.sqlite.2000000000.tmp", "ledger.sqlite.1.tmp");
        let leave = || {
            for folder in [home.path(), &backup] {
                for name in [dead, alive, "ledger.sqlite.2000000000.tmp-journal"] {
                    std::fs::write(folder.join(name), "said").unwrap();
                }
            }
        };
        let left = |folder: &Path| -> Vec<String> {
            let names = names(folder).into_iter();
            names.filter(|name| name.contains(".tmp")).collect()
        };
        leave();
        Store::open(home.path(), Access::Write).map(drop).unwrap();
        assert_eq!(left(home.path()), [alive]);
        assert_eq!(left(&backup), [alive]);
        leave();
        forget_damaged(home.path()).unwrap();
        assert_eq!(left(&backup), [alive]);
        let old = SystemTime::now() - 2 * ABANDONED;
        let draft = File::options().write(true).open(backup.join(alive));
        draft.unwrap().set_modified(old).unwrap();
        forget_damaged(home.path()).unwrap();
        assert_eq!(left(&backup), [""; 0]);
    }
}
