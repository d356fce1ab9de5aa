//! Copies of what cannot be recreated: one by itself beside the ledger, and archives by request.
//!
//! An archive is a zip file with the ledger as of one moment, the vectors of its chunks, and a
//! description. Restoring checks everything before it writes, and never writes over a ledger.
//! Recovery puts the automatic copy in the place of a damaged ledger and saves, row by row, what
//! the damaged one still gives of answers, feedback and units.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::index::{Indexes, VectorSpace};
use super::ledger::{self, Ledger};
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
    copy_ledger(home, ledger)
}

/// Makes the automatic copy anew, where there is one: something was erased.
pub(super) fn renew(home: &Path, ledger: &Ledger) -> Result<()> {
    if automatic_path(home).exists() {
        copy_ledger(home, ledger)?;
    }
    Ok(())
}

fn copy_ledger(home: &Path, ledger: &Ledger) -> Result<()> {
    let copy = automatic_path(home);
    let folder = home.join("backup");
    create_private_folder(&folder)?;
    let draft = draft_of(&copy);
    private_file(&draft)?;
    ledger.copy_to(&draft)?;
    // A copy of a damaged ledger must not take the place of a good one.
    if let Err(error) = check_file(&draft) {
        let _ = std::fs::remove_file(&draft);
        return Err(error);
    }
    reach("backup", &copy)?;
    publish(&draft, &copy)
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

fn automatic_path(home: &Path) -> PathBuf {
    home.join("backup").join("ledger.sqlite")
}

/// Tables whose rows cannot be recreated, parents first.
const SAVED: &[&str] = &[
    "source",
    "answer",
    "citation",
    "feedback",
    "signal",
    "batch",
    "unit",
    "unit_evidence",
    "unit_vector",
    "considered",
    "unit_change",
    "spent",
    "token",
    "outbound",
    "measurement",
];

/// Puts the automatic copy in the place of a damaged ledger, or a new ledger where there is none,
/// and saves what can be read of the damaged one, which is kept beside it.
pub(super) fn recover(home: &Path, damage: &StoreError) -> Result<()> {
    let path = ledger_path(home);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let stamp = now.map_or(0, |d| d.as_secs());
    let aside = home.join(format!("ledger.damaged-{stamp}.sqlite"));
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::io(&path, source)
    };
    std::fs::copy(&path, &aside).map_err(io(&aside))?;
    keep_private(&aside)?;
    let wal = home.join("ledger.sqlite-wal");
    if wal.exists() {
        let beside = home.join(format!("ledger.damaged-{stamp}.sqlite-wal"));
        std::fs::copy(&wal, &beside).map_err(io(&beside))?;
    }
    let copy = automatic_path(home);
    let draft = draft_of(&path);
    let _ = std::fs::remove_file(&draft);
    let made = std::fs::metadata(&copy).and_then(|m| m.modified()).ok();
    if made.is_some() {
        std::fs::copy(&copy, &draft).map_err(io(&draft))?;
    }
    // Opening brings its schema up to date.
    let restored = Ledger::open(&draft)?;
    restored.check()?;
    let saved = save_rows(&aside, &draft);
    let since = made.and_then(|made| made.elapsed().ok());
    let loss = match since {
        Some(age) => format!(
            "the copy of {} minutes ago was restored; saved of the damaged one: {saved}; what was \
             written since and could not be read is lost",
            age.as_secs() / 60
        ),
        None => format!("there was no copy; saved of the damaged one: {saved}; the rest is lost"),
    };
    let said = format!("{damage}; {loss}; the damaged file is {}", aside.display());
    restored.write(|transaction| ledger::put_memo(transaction, RECOVERY, &said))?;
    restored.checkpoint()?;
    drop(restored);
    for leftover in ["ledger.sqlite-wal", "ledger.sqlite-shm"] {
        let _ = std::fs::remove_file(home.join(leftover));
    }
    for ending in ["-wal", "-shm"] {
        let mut name = draft.clone().into_os_string();
        name.push(ending);
        let _ = std::fs::remove_file(name);
    }
    publish(&draft, &path)?;
    tracing::error!("{said}");
    Ok(())
}

/// The memo that tells of the last recovery.
pub const RECOVERY: &str = "recovery";

/// Copies rows that the restored ledger lacks; returns how many of each table.
fn save_rows(damaged: &Path, restored: &Path) -> String {
    let Ok(from) = Connection::open_with_flags(damaged, OpenFlags::SQLITE_OPEN_READ_ONLY) else {
        return "nothing".into();
    };
    let Ok(into) = Connection::open(restored) else {
        return "nothing".into();
    };
    let mut saved = Vec::new();
    for table in SAVED {
        let count = save_table(&from, &into, table).unwrap_or(0);
        if count > 0 {
            saved.push(format!("{count} of table {table}"));
        }
    }
    if saved.is_empty() {
        "nothing".into()
    } else {
        saved.join(", ")
    }
}

fn save_table(from: &Connection, into: &Connection, table: &str) -> rusqlite::Result<usize> {
    let mut columns = into.prepare(&format!("SELECT name FROM pragma_table_info('{table}')"))?;
    let columns: Vec<String> = columns
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let names = columns.join(", ");
    let marks = vec!["?"; columns.len()].join(", ");
    let mut put = into.prepare(&format!(
        "INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})"
    ))?;
    let mut saved = 0;
    // From both ends: a damaged page in the middle stops either way.
    for order in ["ASC", "DESC"] {
        let query = format!("SELECT {names} FROM {table} ORDER BY 1 {order}");
        let Ok(mut statement) = from.prepare(&query) else {
            continue;
        };
        let Ok(mut rows) = statement.query([]) else {
            continue;
        };
        while let Ok(Some(row)) = rows.next() {
            let values: rusqlite::Result<Vec<rusqlite::types::Value>> =
                (0..columns.len()).map(|column| row.get(column)).collect();
            if let Ok(values) = values {
                saved += put.execute(rusqlite::params_from_iter(values)).unwrap_or(0);
            }
        }
    }
    Ok(saved)
}

/// Writes an archive of the whole store into the new file `target`. The store may be in use.
///
/// # Errors
/// [`StoreError::Backup`] when the file exists; what the stores say.
pub fn write(store: &Store, indexes: &Indexes, target: &Path, now_ms: i64) -> Result<Description> {
    if target.exists() {
        return Err(failed(target, "there is a file of this name already"));
    }
    let temporary = draft_of(&folder_of(target).join("coho-backup-ledger"));
    let draft = draft_of(target);
    let written = write_parts(store, indexes, &temporary, &draft, now_ms);
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
    indexes: &Indexes,
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
    indexes.vectors.each(|id, vector| {
        // Sorted by the ledger's query.
        if outcome.is_ok() && visible.binary_search(&id).is_ok() {
            let mut row = id.0.to_vec();
            row.extend(vector.iter().flat_map(|n| n.to_le_bytes()));
            hasher.update(&row);
            outcome = zip.write_all(&row);
            vectors += 1;
        }
    })?;
    outcome.map_err(io)?;
    let description = Description {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").into(),
        made_ms: now_ms,
        documents: counts.documents,
        chunks: counts.chunks,
        embedder: indexes.space().model.clone(),
        dimensions: indexes.space().dimensions,
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

/// Restores an archive into the data folder `home`, which must not hold a ledger.
///
/// # Errors
/// [`StoreError::Backup`] for what is no archive, a damaged one, or when a ledger is in the way;
/// nothing is changed then.
pub fn restore(home: &Path, archive: &Path) -> Result<Description> {
    let path = ledger_path(home);
    if path.exists() && !is_unused(&path)? {
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
    let description: Description = serde_json::from_str(&text)?;
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

/// Removes damaged ledgers that a recovery put aside: they hold what was to be forgotten.
pub(super) fn forget_damaged(home: &Path) -> Result<()> {
    let entries = std::fs::read_dir(home).map_err(|source| StoreError::io(home, source))?;
    for entry in entries.flatten() {
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(b"ledger.damaged-")
        {
            let path = entry.path();
            std::fs::remove_file(&path).map_err(|source| StoreError::io(&path, source))?;
        }
    }
    Ok(())
}

/// Is there nothing in this ledger that anyone would miss? Looking around with `coho status`
/// creates one.
fn is_unused(path: &Path) -> Result<bool> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let rows = "SELECT (SELECT count(*) FROM source) + (SELECT count(*) FROM answer)";
    Ok(connection.query_row(rows, [], |row| row.get::<_, i64>(0))? == 0)
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
            indexes.vectors.add(&rows)?;
            rows.clear();
        }
    }
    indexes.vectors.add(&rows)?;
    indexes.rest()
}

/// A nameless file in the data folder, gone with the process.
fn tempfile(home: &Path) -> Result<File> {
    let path = draft_of(&home.join("restore-vectors"));
    let file = private_file(&path)?;
    std::fs::remove_file(&path).map_err(|source| StoreError::io(&path, source))?;
    Ok(file)
}
