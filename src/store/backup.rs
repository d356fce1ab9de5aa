//! Copies of what cannot be recreated: one by itself beside the ledger, and archives by request.
//!
//! An archive is a zip file with the ledger as of one moment, the vectors of its chunks, and a
//! description. Restoring checks everything before it writes, and never writes over a ledger.
//! Recovery puts the automatic copy in the place of a ledger that is damaged or gone and saves, row
//! by row, what the damaged one still gives of what cannot be recreated: what the copy lacks, and what
//! changed since it was made. A copy that is damaged itself is saved from in the same way. Nothing
//! but erasing puts a ledger that holds nothing in the place of a copy that does.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};
use serde::{Deserialize, Serialize};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::index::{Indexes, VectorSpace, each_vector_in};
use super::ledger::{self, Ledger};
use super::unreadable::{fill_from, is_readable};
use super::{Access, Result, Store, StoreError, create_private_folder, ledger_path, reach};
use crate::domain::chunk::ChunkId;

const DESCRIPTION: &str = "coho-backup.json";
const LEDGER: &str = "ledger.sqlite";
const VECTORS: &str = "vectors.bin";

/// Raised when older programs cannot restore an archive.
const FORMAT: u32 = 1;

/// Numbers of a vector at most: more than any model has.
const MOST_DIMENSIONS: usize = 1 << 16;

/// What an archive holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Description {
    /// Version of the archive's format.
    pub format: u32,
    /// Version of the program that wrote it.
    pub version: String,
    /// When it was written, milliseconds since 1970.
    pub made_ms: i64,
    /// Documents in it.
    pub documents: u64,
    /// Chunks in it.
    pub chunks: u64,
    /// The embedding model of its vectors.
    pub embedder: String,
    /// Numbers of a vector.
    pub dimensions: usize,
    /// Vectors in it; those that lack are made again.
    pub vectors: u64,
    /// BLAKE3 of the ledger's file.
    pub ledger_hash: String,
    /// BLAKE3 of the vectors' file.
    pub vectors_hash: String,
}

fn failed(path: &Path, reason: impl std::fmt::Display) -> StoreError {
    StoreError::Backup {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

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

#[cfg(unix)]
fn keep_private(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|source| StoreError::io(path, source))
}

#[cfg(not(unix))]
fn keep_private(_: &Path) -> Result<()> {
    Ok(())
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

/// The version of a ledger's schema; 0 where it has none.
fn version_of(path: &Path) -> Result<i64> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
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

/// Why the ledger is as good as damaged although SQLite would begin a new one: it is gone or empty,
/// and its copy is not.
pub(super) fn lost(home: &Path) -> Option<StoreError> {
    let (path, copy) = (ledger_path(home), automatic_path(home));
    if !copy.exists() {
        return None;
    }
    let reason = match std::fs::metadata(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => "it is gone, and its copy is there",
        Ok(meta) if meta.len() == 0 => "it is empty, and its copy is not",
        Ok(_) if version_of(&path).is_ok_and(|version| version == 0) => {
            "it has no tables of coho, and its copy has"
        }
        _ => return None,
    };
    // A copy that cannot be read may hold something.
    let held = holds(&copy, MISSED).unwrap_or(true);
    held.then(|| StoreError::LedgerDamaged {
        path,
        reason: reason.into(),
    })
}

/// Where the automatic copy of the ledger is.
pub(super) fn automatic_path(home: &Path) -> PathBuf {
    home.join("backup").join("ledger.sqlite")
}

/// How rows of a damaged ledger come into the one that was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Saved {
    /// They were written once: those that lack are added.
    Once,
    /// They change: what is newer than the copy counts.
    Changed,
    /// They change, and those of one unit, which their first column names, come and go together.
    Together,
}

/// Tables whose rows cannot be recreated, parents first.
const SAVED: &[(&str, Saved)] = &[
    ("memo", Saved::Changed),
    ("source", Saved::Changed),
    ("answer", Saved::Once),
    ("citation", Saved::Once),
    ("feedback", Saved::Once),
    ("signal", Saved::Once),
    ("batch", Saved::Changed),
    ("unit", Saved::Changed),
    ("unit_evidence", Saved::Together),
    ("unit_vector", Saved::Together),
    ("unit_event", Saved::Once),
    ("considered", Saved::Changed),
    ("unit_change", Saved::Once),
    ("spent", Saved::Changed),
    ("token", Saved::Once),
    ("outbound", Saved::Changed),
    ("measurement", Saved::Once),
];

/// Puts the automatic copy in the place of a damaged ledger, or a new ledger where there is no good
/// one, and saves what can be read of the damaged ones, which are kept beside it.
pub(super) fn recover(home: &Path, damage: &StoreError) -> Result<()> {
    let path = ledger_path(home);
    let draft = draft_of(&path);
    let recovered = recover_into(&draft, home, damage).and_then(|said| {
        for ending in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(beside(&path, ending));
            let _ = std::fs::remove_file(beside(&draft, ending));
        }
        publish(&draft, &path)?;
        Ok(said)
    });
    if recovered.is_err() {
        discard(&draft);
    }
    let said = recovered?;
    let copy = automatic_path(home);
    if check_copy(&copy).is_err() {
        // The next one is made soon then, and takes nothing away.
        let aside = home.join(format!("ledger.damaged-{}.copy.sqlite", stamp()));
        let _ = std::fs::rename(&copy, &aside);
    }
    tracing::error!("{said}");
    Ok(())
}

/// Makes the draft of the ledger that takes the place of the damaged one; says what became of what.
fn recover_into(draft: &Path, home: &Path, damage: &StoreError) -> Result<String> {
    let aside = put_aside(home, stamp())?;
    let copy = automatic_path(home);
    let made = std::fs::metadata(&copy).and_then(|m| m.modified()).ok();
    let good = made.filter(|_| check_copy(&copy).is_ok());
    discard(draft);
    if good.is_some() {
        std::fs::copy(&copy, draft).map_err(|source| StoreError::io(draft, source))?;
    } else {
        private_file(draft)?;
        // Numbers begin anew, and would mean other things in the indexes.
        super::index::remove(&home.join("index"))?;
    }
    // Opening brings its schema up to date.
    let restored = Ledger::open(draft)?;
    restored.check()?;
    // The older one first: of what changed, the newer one counts.
    let older = good.is_none().then_some(copy.as_path());
    let damaged: Vec<&Path> = older.into_iter().chain(aside.as_deref()).collect();
    let saved = save_rows(&damaged, draft);
    let loss = match (good, made) {
        (Some(made), _) => format!(
            "the copy of {} minutes ago was restored; saved of the damaged one: {saved}; what was \
             written since and could not be read is lost",
            made.elapsed().unwrap_or_default().as_secs() / 60
        ),
        (None, Some(_)) => {
            format!("its copy is damaged too; saved of both: {saved}; the rest is lost")
        }
        (None, None) => {
            format!("there was no copy; saved of the damaged one: {saved}; the rest is lost")
        }
    };
    let kept = aside.map(|aside| format!("; the damaged file is {}", aside.display()));
    let said = format!("{damage}; {loss}{}", kept.unwrap_or_default());
    restored.write(|transaction| ledger::put_memo(transaction, RECOVERY, &said))?;
    restored.checkpoint()?;
    Ok(said)
}

/// Seconds since 1970, for names.
fn stamp() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |d| d.as_secs())
}

/// Is this a whole copy of a ledger?
fn check_copy(copy: &Path) -> Result<()> {
    check_file(copy)?;
    if version_of(copy)? > 0 {
        return Ok(());
    }
    Err(StoreError::LedgerDamaged {
        path: copy.to_owned(),
        reason: "it is empty".into(),
    })
}

/// Keeps a damaged ledger and its log under another name, once however often it is met; `None` where
/// there is nothing to keep.
fn put_aside(home: &Path, stamp: u64) -> Result<Option<PathBuf>> {
    let path = ledger_path(home);
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
    if size(&path) == 0 {
        return Ok(None);
    }
    let log = beside(&path, "-wal");
    // Reading leaves an empty log behind.
    let held = |path: &Path| hash_of(path).filter(|_| size(path) > 0);
    let is_same = |other: &PathBuf| {
        size(other) == size(&path)
            && held(other) == held(&path)
            && held(&beside(other, "-wal")) == held(&log)
    };
    let entries = std::fs::read_dir(home).map_err(|source| StoreError::io(home, source))?;
    let mut others = entries.flatten().map(|entry| entry.path());
    if let Some(kept) = others.find(|other| is_put_aside(other) && is_same(other)) {
        return Ok(Some(kept));
    }
    let aside = home.join(format!("ledger.damaged-{stamp}.sqlite"));
    let kept = std::fs::copy(&path, &aside).and_then(|_| {
        if log.exists() {
            std::fs::copy(&log, beside(&aside, "-wal"))?;
        }
        Ok(())
    });
    if let Err(source) = kept {
        discard(&aside);
        return Err(StoreError::io(&aside, source));
    }
    keep_private(&aside)?;
    Ok(Some(aside))
}

fn is_put_aside(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(b"ledger.damaged-")
}

/// BLAKE3 of a file, where it can be read.
fn hash_of(path: &Path) -> Option<String> {
    copy_hashed(&mut File::open(path).ok()?, &mut std::io::sink()).ok()
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

/// The memo that tells of the last recovery.
pub const RECOVERY: &str = "recovery";

/// Brings what can be read of damaged ledgers, oldest first, into the restored one; returns how many
/// rows of each table that changed.
fn save_rows(damaged: &[&Path], restored: &Path) -> String {
    let open =
        |path: &&Path| Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok();
    let from: Vec<Connection> = damaged.iter().filter_map(open).collect();
    let saved = Connection::open(restored).and_then(|mut into| save_from(&from, &mut into));
    let saved = saved.unwrap_or_default();
    if saved.is_empty() {
        "nothing".into()
    } else {
        saved.join(", ")
    }
}

fn save_from(from: &[Connection], into: &mut Connection) -> rusqlite::Result<Vec<String>> {
    let transaction = into.transaction()?;
    // What happened to units is told by their events, not once more because they are brought here.
    let triggers: Vec<String> = transaction
        .prepare("SELECT sql FROM sqlite_master WHERE name IN ('unit_made', 'unit_moved')")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    transaction.execute_batch("DROP TRIGGER unit_made; DROP TRIGGER unit_moved")?;
    let mut saved = Vec::new();
    for (table, how) in SAVED {
        let save = |from| save_table(from, &transaction, table, *how).unwrap_or(0);
        let count: usize = from.iter().map(save).sum();
        if count > 0 {
            saved.push(format!("{count} of table {table}"));
        }
    }
    // An event that could not be read is made up for.
    transaction.execute_batch(
        "INSERT INTO unit_event (unit_id, before, after, reason)
         SELECT id, known, state, reason FROM (SELECT id, state, reason, (SELECT after
             FROM unit_event WHERE unit_id = unit.id ORDER BY unit_event.id DESC LIMIT 1) AS known
           FROM unit)
         WHERE known IS NOT state",
    )?;
    transaction.execute_batch(&triggers.join(";\n"))?;
    // Nothing gets a number that something else has in the indexes.
    for from in from {
        let next = "SELECT next_edition FROM counter";
        if let Ok(next) = from.query_row(next, [], |row| row.get::<_, i64>(0)) {
            let later = "UPDATE counter SET next_edition = max(next_edition, ?1)";
            transaction.execute(later, [next])?;
        }
    }
    transaction.commit()?;
    Ok(saved)
}

fn save_table(
    from: &Connection,
    into: &Connection,
    table: &str,
    how: Saved,
) -> rusqlite::Result<usize> {
    let (known, keys) = columns_of(into, table)?;
    // An older version may have written the damaged one.
    let columns = columns_of(from, table)?.0.into_iter();
    let columns: Vec<String> = columns.filter(|c| known.contains(c)).collect();
    let at: Vec<usize> = keys
        .iter()
        .filter_map(|key| columns.iter().position(|column| column == key))
        .collect();
    let (names, keys) = (columns.join(", "), keys.join(", "));
    let marks = vec!["?"; columns.len()].join(", ");
    let newer: Vec<String> = columns.iter().map(|c| format!("excluded.{c}")).collect();
    let newer = newer.join(", ");
    let mut put = into.prepare(&match how {
        Saved::Once => format!("INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})"),
        Saved::Changed | Saved::Together => format!(
            "INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT ({keys})
             DO UPDATE SET ({names}) = ({newer}) WHERE ({names}) IS NOT ({newer})"
        ),
    })?;
    into.execute_batch(&format!(
        "DROP TABLE IF EXISTS temp.seen;
         CREATE TEMP TABLE seen AS SELECT {keys} FROM {table} WHERE 0"
    ))?;
    let mut see = into.prepare(&format!(
        "INSERT INTO seen VALUES ({})",
        vec!["?"; at.len()].join(", ")
    ))?;
    let mut saved = 0;
    let whole = each_row(from, table, &columns, |row| {
        see.execute(params_from_iter(at.iter().map(|at| &row[*at])))?;
        let mut values = columns.iter().zip(&row);
        if !values.all(|(column, value)| is_readable(table, column, value)) {
            return Ok(());
        }
        saved += put.execute(params_from_iter(row)).unwrap_or(0);
        Ok(())
    })?;
    drop(see);
    if let (Saved::Together, true, Some((first, _))) = (how, whole, keys.split_once(',')) {
        saved += into.execute(
            &format!(
                "DELETE FROM {table} WHERE {first} IN (SELECT {first} FROM seen)
                 AND ({keys}) NOT IN (SELECT {keys} FROM seen)"
            ),
            [],
        )?;
    }
    Ok(saved)
}

/// The columns of a table, and those of its key in their order.
fn columns_of(
    connection: &Connection,
    table: &str,
) -> rusqlite::Result<(Vec<String>, Vec<String>)> {
    let names = |sql: &str| -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare(sql)?;
        statement.query_map([table], |row| row.get(0))?.collect()
    };
    Ok((
        names("SELECT name FROM pragma_table_info(?1) ORDER BY cid")?,
        names("SELECT name FROM pragma_table_info(?1) WHERE pk > 0 ORDER BY pk")?,
    ))
}

/// Visits the rows of a table that can be read, some twice where not all can; says whether all could.
fn each_row(
    from: &Connection,
    table: &str,
    columns: &[String],
    mut visit: impl FnMut(Vec<Value>) -> rusqlite::Result<()>,
) -> rusqlite::Result<bool> {
    // From both ends: a damaged page in the middle stops either way.
    for order in ["ASC", "DESC"] {
        let names = columns.join(", ");
        let mut statement =
            from.prepare(&format!("SELECT {names} FROM {table} ORDER BY 1 {order}"))?;
        let mut rows = statement.query([])?;
        let mut whole = true;
        loop {
            match rows.next() {
                Ok(Some(row)) => {
                    let values = (0..columns.len()).map(|at| row.get(at));
                    match values.collect::<rusqlite::Result<_>>() {
                        Ok(values) => visit(values)?,
                        Err(_) => whole = false,
                    }
                }
                Ok(None) if whole => return Ok(true),
                Ok(None) | Err(_) => break,
            }
        }
    }
    Ok(false)
}

/// Writes an archive of the whole store, with the vectors of an embedding model, into the new file
/// `target`. The store may be in use. Vectors that cannot be read are left out: they can be made again.
///
/// # Errors
/// [`StoreError::Backup`] when the file exists; what the ledger and the file system say.
pub fn write(
    store: &Store,
    space: &VectorSpace,
    target: &Path,
    now_ms: i64,
) -> Result<Description> {
    if target.exists() {
        return Err(failed(target, "there is a file of this name already"));
    }
    let temporary = draft_of(&folder_of(target).join("coho-backup-ledger"));
    let draft = draft_of(target);
    let written = write_parts(store, space, &temporary, &draft, now_ms);
    let _ = std::fs::remove_file(&temporary);
    match written.and_then(|description| publish(&draft, target).map(|()| description)) {
        Ok(description) => Ok(description),
        Err(error) => {
            let _ = std::fs::remove_file(&draft);
            Err(error)
        }
    }
}

fn write_parts(
    store: &Store,
    space: &VectorSpace,
    temporary: &Path,
    draft: &Path,
    now_ms: i64,
) -> Result<Description> {
    let io = |source| StoreError::io(draft, source);
    let zipped = |error: zip::result::ZipError| failed(draft, error);
    private_file(temporary)?;
    store.ledger.copy_to(temporary)?;
    let copy = Ledger::open(temporary)?;
    let (counts, visible) = copy.read(|s| Ok::<_, StoreError>((s.counts()?, s.chunk_ids()?)))?;
    copy.checkpoint()?;
    drop(copy);
    let mut zip = ZipWriter::new(private_file(draft)?);
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .large_file(true);
    zip.start_file(LEDGER, options).map_err(zipped)?;
    let mut source = File::open(temporary).map_err(io)?;
    let ledger_hash = copy_hashed(&mut source, &mut zip).map_err(io)?;
    zip.start_file(VECTORS, options).map_err(zipped)?;
    let mut hasher = blake3::Hasher::new();
    let mut vectors = 0;
    let mut outcome = Ok(());
    let folder = store.index_folder(&space.model);
    let read = each_vector_in(&folder, space, |id, vector| {
        // Sorted by the ledger's query.
        if outcome.is_ok() && visible.binary_search(&id).is_ok() {
            let mut row = id.0.to_vec();
            row.extend(vector.iter().flat_map(|n| n.to_le_bytes()));
            hasher.update(&row);
            outcome = zip.write_all(&row);
            vectors += 1;
        }
    });
    outcome.map_err(io)?;
    if let Err(error) = read {
        tracing::warn!(%error, "not all vectors can be copied");
    }
    let description = Description {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").into(),
        made_ms: now_ms,
        documents: counts.documents,
        chunks: counts.chunks,
        embedder: space.model.clone(),
        dimensions: space.dimensions,
        vectors,
        ledger_hash,
        vectors_hash: hasher.finalize().to_hex().to_string(),
    };
    zip.start_file(DESCRIPTION, options).map_err(zipped)?;
    zip.write_all(&serde_json::to_vec_pretty(&description)?)
        .map_err(io)?;
    zip.finish().map_err(zipped)?;
    Ok(description)
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

/// Restores an archive into the data folder `home`, which must not hold a ledger; indexes that are there
/// are of another one, and go.
///
/// # Errors
/// [`StoreError::Backup`] for what is no archive, a damaged one, or when a ledger is in the way;
/// nothing is changed then.
pub fn restore(home: &Path, archive: &Path) -> Result<Description> {
    let path = ledger_path(home);
    // One that is damaged may hold something.
    if path.exists() && holds(&path, MISSED).unwrap_or(true) {
        return Err(failed(
            &path,
            "there is a ledger already, and restoring never writes over one; set COHO_HOME to \
             an empty folder, or move this one away",
        ));
    }
    let io = |source| StoreError::io(archive, source);
    let file = File::open(archive).map_err(io)?;
    let mut zip =
        ZipArchive::new(file).map_err(|e| failed(archive, format!("it is no backup ({e})")))?;
    let mut text = String::new();
    entry(&mut zip, DESCRIPTION, archive)?
        .read_to_string(&mut text)
        .map_err(io)?;
    let description: Description = serde_json::from_str(&text)
        .map_err(|error| failed(archive, format!("it is damaged ({error})")))?;
    if description.format > FORMAT {
        return Err(failed(archive, "it was written by a newer coho"));
    }
    // It names a folder that is written to and, where that fails, removed.
    let mut names = Path::new(&description.embedder).components();
    let one = matches!(
        (names.next(), names.next()),
        (Some(Component::Normal(name)), None) if name == description.embedder.as_str()
    );
    if !one || !(1..=MOST_DIMENSIONS).contains(&description.dimensions) {
        return Err(failed(archive, "it names no embedding model"));
    }
    create_private_folder(home)?;
    let _lock = super::lock_home(home)?;
    let draft = draft_of(&path);
    let outcome = restore_ledger(&mut zip, archive, &draft, &description)
        .and_then(|()| restore_vectors(&mut zip, archive, home, &description))
        .and_then(|()| {
            for ending in ["-wal", "-shm"] {
                let _ = std::fs::remove_file(home.join(format!("ledger.sqlite{ending}")));
            }
            publish(&draft, &path)
        });
    if outcome.is_err() {
        let _ = std::fs::remove_file(&draft);
        let _ = super::index::remove(&home.join("index").join(&description.embedder));
    }
    outcome.map(|()| description)
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

fn entry<'a>(
    zip: &'a mut ZipArchive<File>,
    name: &str,
    archive: &Path,
) -> Result<impl Read + use<'a>> {
    let found = zip.by_name(name);
    found.map_err(|error| failed(archive, format!("it is no backup: {name}: {error}")))
}

fn restore_ledger(
    zip: &mut ZipArchive<File>,
    archive: &Path,
    draft: &Path,
    description: &Description,
) -> Result<()> {
    let mut file = private_file(draft)?;
    let mut source = entry(zip, LEDGER, archive)?;
    let hash = copy_hashed(&mut source, &mut file)
        .map_err(|error| failed(archive, format!("it is damaged ({error})")))?;
    if hash != description.ledger_hash {
        return Err(failed(
            archive,
            "it is damaged: its ledger does not match its hash",
        ));
    }
    drop(file);
    let ledger = Ledger::open(draft)?;
    ledger.check()?;
    ledger.checkpoint()
}

fn restore_vectors(
    zip: &mut ZipArchive<File>,
    archive: &Path,
    home: &Path,
    description: &Description,
) -> Result<()> {
    let space = VectorSpace {
        model: description.embedder.clone(),
        dimensions: description.dimensions,
    };
    let damaged = |error: std::io::Error| failed(archive, format!("it is damaged ({error})"));
    // Checked before anything is written.
    let mut unpacked = tempfile(home)?;
    let mut source = entry(zip, VECTORS, archive)?;
    let hash = copy_hashed(&mut source, &mut unpacked).map_err(damaged)?;
    if hash != description.vectors_hash {
        return Err(failed(
            archive,
            "it is damaged: its vectors do not match their hash",
        ));
    }
    // Those of the ledger that was here before know its documents by the same numbers.
    super::index::remove(&home.join("index"))?;
    let indexes = Indexes::open(
        &home.join("index").join(&space.model),
        &space,
        super::EXACT_ROWS,
        (Access::Write, 0),
    )?;
    unpacked.rewind().map_err(damaged)?;
    let mut row = vec![0; 16 + 4 * space.dimensions];
    let mut rows = Vec::new();
    for _ in 0..description.vectors {
        unpacked.read_exact(&mut row).map_err(damaged)?;
        let mut id = [0; 16];
        id.copy_from_slice(&row[..16]);
        let numbers = row[16..].chunks_exact(4);
        let vector = numbers.map(|n| f32::from_le_bytes([n[0], n[1], n[2], n[3]]));
        rows.push((ChunkId(id), vector.collect()));
        if rows.len() == 8192 {
            indexes.vectors()?.add(&rows)?;
            rows.clear();
        }
    }
    indexes.vectors()?.add(&rows)?;
    indexes.rest()
}

/// A nameless file in the data folder, gone with the process.
fn tempfile(home: &Path) -> Result<File> {
    let path = draft_of(&home.join("restore-vectors"));
    let file = private_file(&path)?;
    std::fs::remove_file(&path).map_err(|source| StoreError::io(&path, source))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::SeekFrom;

    const COPIED: &str = "
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

    const NEWER: &str = "
        UPDATE source SET never_leaves = 1;
        INSERT INTO feedback (answer_id, verdict, given_ms) VALUES ('a', 'bad', 2);
        UPDATE unit SET state = 'retired', reason = 'the owner rejected it' WHERE id = 'u';
        DELETE FROM unit_evidence WHERE unit_id = 'u';
        INSERT INTO unit_evidence (unit_id, chunk_id) VALUES ('u', x'02');
        UPDATE batch SET state = 'published';
        INSERT INTO unit (id, state, title, text, questions, scores, batch, made_ms)
        VALUES ('w', 'shadow', 't', 'said later', '[]', '{}', 'b', 3);
        INSERT INTO unit_vector VALUES ('w', 'm', 0, x'00');
        INSERT INTO unit_change (batch, unit_id, before) VALUES ('b', 'w', NULL);
        INSERT INTO considered VALUES ('a', 'b', 'w', '[]');
        UPDATE spent SET units = 2;
        UPDATE memo SET value = '1';
        INSERT INTO outbound (at_ms, day, url, model, body, tokens, cost, state)
        VALUES (1, 0, 'u', 'm', '{}', 7, 0.5, 'answered');
        UPDATE counter SET next_edition = 9;";

    /// A copy, and the ledger that it was made of with what is newer.
    fn copy_and_ledger(folder: &Path) -> (PathBuf, PathBuf) {
        let (copy, newer) = (folder.join("copy.sqlite"), folder.join("ledger.sqlite"));
        let write = |path: &Path, sql: &str| {
            let ledger = Ledger::open(path).unwrap();
            ledger.write(|t| Ok(t.execute_batch(sql)?)).unwrap();
        };
        write(&copy, COPIED);
        std::fs::copy(&copy, &newer).unwrap();
        write(&newer, NEWER);
        (copy, newer)
    }

    fn rows(path: &Path, table: &str) -> Vec<Vec<Value>> {
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
    fn copied_home() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path(), Access::Write).unwrap();
        let filled = store.ledger.write(|t| Ok(t.execute_batch(COPIED)?));
        filled.unwrap();
        copy_ledger(home.path(), &store.ledger).unwrap();
        drop(store);
        home
    }

    /// Overwrites the first page of a table.
    fn wipe(ledger: &Path, table: &str) {
        let root = "SELECT rootpage FROM sqlite_master WHERE name = ?1";
        let connection = Connection::open(ledger).unwrap();
        let root: u64 = connection
            .query_row(root, [table], |row| row.get(0))
            .unwrap();
        drop(connection);
        overwrite(ledger, (root - 1) * 4096, 4096);
    }

    fn overwrite(file: &Path, at: u64, bytes: usize) {
        let mut file = File::options().write(true).open(file).unwrap();
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(&vec![0xff; bytes]).unwrap();
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn recovery(home: &Path) -> String {
        let store = Store::open(home, Access::Read).unwrap();
        let said = store.ledger.read(|snapshot| snapshot.memo(RECOVERY));
        said.unwrap().unwrap_or_default()
    }

    #[test]
    fn a_ledger_that_is_gone_or_empty_is_restored_and_not_begun_anew() {
        let remove = |path: &Path| std::fs::remove_file(path).unwrap();
        let empty = |path: &Path| File::create(path).map(drop).unwrap();
        let bare = |path: &Path| {
            std::fs::remove_file(path).unwrap();
            let other = Connection::open(path).unwrap();
            other.execute_batch("CREATE TABLE other (n)").unwrap();
        };
        for lose in [&remove as &dyn Fn(&Path), &empty, &bare] {
            let home = copied_home();
            let path = ledger_path(home.path());
            discard(&beside(&path, "-wal"));
            lose(&path);
            let refused = Store::open(home.path(), Access::Read).err().unwrap();
            assert!(
                matches!(refused, StoreError::LedgerDamaged { .. }),
                "{refused:?}"
            );
            Store::open(home.path(), Access::Write).map(drop).unwrap();
            assert!(recovery(home.path()).contains("was restored"));
            for path in [path, automatic_path(home.path())] {
                assert_eq!(rows(&path, "answer").len(), 1);
            }
        }
        // Where nothing was copied, nothing is lost.
        let home = tempfile::tempdir().unwrap();
        Store::open(home.path(), Access::Write).map(drop).unwrap();
        assert_eq!(recovery(home.path()), "");
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
    fn a_damaged_copy_is_not_restored_but_saved_from() {
        let home = copied_home();
        let copy = automatic_path(home.path());
        wipe(&copy, "unit_event");
        overwrite(&ledger_path(home.path()), 0, 100);
        Store::open(home.path(), Access::Write).map(drop).unwrap();
        let said = recovery(home.path());
        assert!(
            said.contains("damaged too") && said.contains("1 of table answer"),
            "{said}"
        );
        assert_eq!(rows(&ledger_path(home.path()), "answer").len(), 1);
        assert_eq!(names(&home.path().join("backup")), [""; 0]);
        let drafts = names(home.path());
        assert!(!drafts.iter().any(|n| n.contains(".tmp")), "{drafts:?}");
        // Of two that give nothing, a new one is made; an empty copy is none.
        let home = copied_home();
        File::create(automatic_path(home.path())).unwrap();
        overwrite(&ledger_path(home.path()), 0, 100);
        Store::open(home.path(), Access::Write).map(drop).unwrap();
        assert!(recovery(home.path()).contains("damaged too"));
    }

    #[test]
    fn a_damaged_ledger_is_put_aside_once() {
        let home = copied_home();
        let path = ledger_path(home.path());
        let first = put_aside(home.path(), 1).unwrap();
        save_rows(&[first.as_deref().unwrap()], &automatic_path(home.path()));
        assert_eq!(put_aside(home.path(), 2).unwrap(), first);
        overwrite(&path, 0, 1);
        let other = put_aside(home.path(), 3).unwrap();
        assert_ne!(other, first);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(put_aside(home.path(), 4).unwrap(), None);
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

    #[test]
    fn nothing_is_restored_over_what_would_be_missed() {
        for table in [
            "token (id, name, hash, rights, added_ms) VALUES ('t', 'editor', x'01', '[]', 1)",
            "batch (id, started_ms, state) VALUES ('b', 1, 'running')",
            "spent VALUES (1, 2.0, 3.0, 1)",
        ] {
            let home = tempfile::tempdir().unwrap();
            let path = ledger_path(home.path());
            let ledger = Ledger::open(&path).unwrap();
            let missing = home.path().join("none.zip");
            let refused = || restore(home.path(), &missing).unwrap_err();
            assert!(matches!(refused(), StoreError::Io { .. }), "it is unused");
            let sql = format!("INSERT INTO {table}");
            ledger.write(|t| Ok(t.execute_batch(&sql)?)).unwrap();
            drop(ledger);
            assert!(refused().to_string().contains("never writes over"));
            overwrite(&path, 0, 100);
            assert!(refused().to_string().contains("move this one away"));
        }
    }

    #[test]
    fn what_changed_since_the_copy_is_saved() {
        let folder = tempfile::tempdir().unwrap();
        let (copy, newer) = copy_and_ledger(folder.path());
        let said = save_rows(&[newer.as_path()], &copy);
        for told in [
            "1 of table source",
            "2 of table unit,",
            "2 of table unit_event",
        ] {
            assert!(said.contains(told), "{said}");
        }
        let tables = SAVED.iter().map(|(table, _)| *table);
        for table in tables.chain(["counter"]) {
            assert_eq!(rows(&copy, table), rows(&newer, table), "{table}");
        }
        assert_eq!(
            save_rows(&[newer.as_path()], &copy),
            "nothing",
            "a second time"
        );
        let restored = Connection::open(&copy).unwrap();
        let moved = "UPDATE unit SET state = 'retired' WHERE id = 'v'";
        restored.execute(moved, []).unwrap();
        assert_eq!(
            rows(&copy, "unit_event").len(),
            rows(&newer, "unit_event").len() + 1,
            "events are written by triggers again"
        );
    }

    #[test]
    fn what_is_nonsense_does_not_take_the_place_of_what_was_copied() {
        let folder = tempfile::tempdir().unwrap();
        let (copy, newer) = copy_and_ledger(folder.path());
        let before = rows(&copy, "unit");
        let connection = Connection::open(&newer).unwrap();
        let spoilt = "UPDATE unit SET questions = '[' || char(0)";
        connection.execute(spoilt, []).unwrap();
        save_rows(&[newer.as_path()], &copy);
        assert_eq!(rows(&copy, "unit"), before);
    }

    #[test]
    fn a_unit_whose_events_cannot_be_read_is_saved_with_one() {
        let folder = tempfile::tempdir().unwrap();
        let (copy, newer) = copy_and_ledger(folder.path());
        wipe(&newer, "unit_event");
        save_rows(&[newer.as_path()], &copy);
        let restored = Ledger::open(&copy).unwrap();
        let events = restored.read(|snapshot| snapshot.unit_events("u")).unwrap();
        let last = events.last().unwrap();
        assert_eq!(
            (events.len(), last.reason.as_str()),
            (2, "the owner rejected it")
        );
        let others = restored.read(|snapshot| snapshot.unit_events("v")).unwrap();
        assert_eq!(others.len(), 1);
    }
}
