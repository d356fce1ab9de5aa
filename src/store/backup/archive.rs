//! Archives: the whole store in one file, written and restored by request.
//!
//! An archive is a zip file with the ledger as of one moment, the vectors of its chunks, and a
//! description. Restoring checks everything before it writes, and never writes over a ledger.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::{MISSED, copy_hashed, draft_of, folder_of, holds, private_file, publish};
use crate::domain::chunk::ChunkId;
use crate::store::folder::{create_private_folder, ledger_path, lock_home};
use crate::store::index::{self, Indexes, VectorSpace, each_vector_in};
use crate::store::ledger::Ledger;
use crate::store::{Access, EXACT_ROWS, Result, Store, StoreError};

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
    let _lock = lock_home(home)?;
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
        let _ = index::remove(&home.join("index").join(&description.embedder));
    }
    outcome.map(|()| description)
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
    index::remove(&home.join("index"))?;
    let indexes = Indexes::open(
        &home.join("index").join(&space.model),
        &space,
        EXACT_ROWS,
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
    use super::super::tests::overwrite;
    use super::*;

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
}
