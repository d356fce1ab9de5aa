//! The vector index: one LanceDB table of chunk ids and unit vectors.
//!
//! Derived data: the ledger decides which rows count, and the folder can be thrown away. Owns a
//! small runtime, because LanceDB is async and the store is not. LanceDB neither deduplicates
//! under concurrent writers nor compacts by itself, so there is one writer, rows are deleted
//! before they are added again, and small fragments are merged on a count.
//!
//! LanceDB has no checksums, and a flipped bit in its files is read as another vector. So each row
//! carries a hash of itself; rows that do not match it are dropped, and embedded again by
//! [`super::Store::missing_vectors`].
//!
//! Up to a number of rows that the owner can set, the vectors are kept in memory and scanned
//! ([`super::resident`]), which beats every index at that size; beyond, LanceDB proposes, by an
//! index that is built in the background ([`super::nearest`]), and a long-lived process compares
//! what is proposed by codes in memory, which it reads in the background too.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type};
use arrow_array::{Array, FixedSizeListArray, Float32Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use futures::TryStreamExt;
use lancedb::query::{ExecutableQuery, QueryBase, Select};
use lancedb::table::OptimizeAction;
use lancedb::table::Table;

use super::codes::Code;
use super::nearest::{self, Comparing, VectorIndexKind};
use super::resident::{Resident, best};
use super::{StoreError, reach};
use crate::domain::chunk::ChunkId;
use crate::domain::rank::Candidate;

type Result<T> = std::result::Result<T, StoreError>;

/// Writes after which small fragments are merged; 300 of them slow a query eightfold.
const COMPACT_AFTER_WRITES: u32 = 32;

/// LanceDB's caches default to gigabytes. The index of a million vectors is about 100 MB; with a
/// cache of 64 MB, searching them takes three times as long.
const INDEX_CACHE_BYTES: usize = 256 << 20;
const METADATA_CACHE_BYTES: usize = 32 << 20;

/// Codes that are handed over while searches wait.
const CODES_AT_ONCE: usize = 4096;

const TABLE: &str = "chunks";

/// The vector index of one embedding model.
pub(super) struct Vectors {
    runtime: Option<tokio::runtime::Runtime>,
    folder: PathBuf,
    dimensions: usize,
    exact_rows: usize,
    table: Table,
    rows: Arc<RwLock<Resident>>,
    writes: std::sync::atomic::AtomicU32,
    damaged: usize,
    /// What is made in the background.
    making: Mutex<Making>,
}

/// What is made in the background of a large index.
#[derive(Default)]
struct Making {
    index: Option<tokio::task::JoinHandle<()>>,
    codes: Option<tokio::task::JoinHandle<()>>,
}

impl Vectors {
    /// Opens the index in `folder`, or creates it, for vectors of `dimensions` numbers, of which
    /// `exact_rows` are kept in memory at most.
    ///
    /// # Errors
    /// [`StoreError::Vectors`] when LanceDB cannot read the folder.
    pub(super) fn open(folder: &Path, dimensions: usize, exact_rows: usize) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("coho-lance")
            .enable_all()
            .build()
            .map_err(|source| StoreError::io(folder, source))?;
        let at = |source| StoreError::vectors(folder, source);
        let table = runtime
            .block_on(open_table(folder, dimensions))
            .map_err(at)?;
        let (rows, damaged) = runtime
            .block_on(load(&table, dimensions, exact_rows))
            .map_err(at)?;
        Ok(Self {
            runtime: Some(runtime),
            folder: folder.to_owned(),
            dimensions,
            exact_rows,
            table,
            rows: Arc::new(RwLock::new(rows)),
            writes: std::sync::atomic::AtomicU32::new(0),
            damaged,
            making: Mutex::default(),
        })
    }

    /// Reads what another process has written since.
    ///
    /// # Errors
    /// [`StoreError::Vectors`].
    pub(super) fn reload(&self) -> Result<()> {
        let anew = self.block_on(async {
            self.table.checkout_latest().await?;
            load(&self.table, self.dimensions, self.exact_rows).await
        })?;
        *self.write_rows() = anew.0;
        Ok(())
    }

    /// Rows that did not match their hash when the index was opened.
    pub(super) fn damaged(&self) -> usize {
        self.damaged
    }

    /// The rows that are in memory: all good ones of a small index, none of a large one.
    pub(super) fn resident_rows(&self) -> Vec<(ChunkId, Vec<f32>)> {
        let rows = self.read_rows();
        let pairs = rows.ids().iter().zip(rows.vectors());
        pairs.map(|(id, vector)| (*id, vector.to_vec())).collect()
    }

    /// Reads every row from disk: ids of good ones in order of appearance, and how many are
    /// damaged.
    ///
    /// # Errors
    /// [`StoreError::Vectors`].
    pub(super) fn read_all(&self) -> Result<(Vec<ChunkId>, usize)> {
        let mut ids = Vec::new();
        let mut damaged = 0;
        self.block_on(each_row(&self.table, |id, _, whole| match (id, whole) {
            (Some(id), true) => ids.push(id),
            _ => damaged += 1,
        }))?;
        Ok((ids, damaged))
    }

    /// Rows with their vectors, for a copy of the index.
    ///
    /// # Errors
    /// [`StoreError::Vectors`].
    pub(super) fn each(&self, mut visit: impl FnMut(ChunkId, &[f32])) -> Result<()> {
        self.block_on(each_row(&self.table, |id, vector, whole| {
            if let (Some(id), true) = (id, whole) {
                visit(id, vector);
            }
        }))
    }

    /// Rows in the index, visible or not.
    pub(super) fn ids(&self) -> HashSet<ChunkId> {
        self.read_rows().ids().iter().copied().collect()
    }

    /// Those of these chunks that have no row, in their order.
    pub(super) fn lacking(&self, chunks: &[ChunkId]) -> Vec<ChunkId> {
        let rows = self.read_rows();
        let chunks = chunks.iter().copied();
        chunks.filter(|id| !rows.holds(*id)).collect()
    }

    /// Adds rows; those that are there already are replaced.
    ///
    /// # Errors
    /// [`StoreError::Dimensions`] for a vector of another length, [`StoreError::Vectors`].
    pub(super) fn add(&self, rows: &[(ChunkId, Vec<f32>)]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        if let Some((_, vector)) = rows.iter().find(|(_, v)| v.len() != self.dimensions) {
            return Err(StoreError::Dimensions {
                expected: self.dimensions,
                found: vector.len(),
            });
        }
        let again: Vec<ChunkId> = {
            let present = self.read_rows();
            let again = rows.iter().map(|(id, _)| *id);
            again.filter(|id| present.holds(*id)).collect()
        };
        self.delete(&again)?;
        reach("vectors-replaced", &self.folder)?;
        let batch = record_batch(rows, self.dimensions);
        self.block_on(async { self.table.add(batch).execute().await.map(drop) })?;
        let mut resident = self.write_rows();
        rows.iter()
            .for_each(|(id, vector)| resident.add(*id, vector));
        drop(resident);
        self.count_write()
    }

    /// Deletes rows; unknown ids are ignored.
    ///
    /// # Errors
    /// [`StoreError::Vectors`].
    pub(super) fn delete(&self, ids: &[ChunkId]) -> Result<()> {
        for some in ids.chunks(500) {
            let list: Vec<String> = some.iter().map(|id| format!("'{id}'")).collect();
            let predicate = format!("id IN ({})", list.join(","));
            self.block_on(async { self.table.delete(predicate.as_str()).await.map(drop) })?;
            self.write_rows().remove(some);
            self.count_write()?;
        }
        Ok(())
    }

    /// The `limit` rows with the largest cosine to `query`, best first; only among `only`, where
    /// that is given. Both sides are unit vectors, so that the dot product is the cosine.
    ///
    /// # Errors
    /// [`StoreError::Dimensions`], [`StoreError::Vectors`].
    pub(super) fn nearest(
        &self,
        query: &[f32],
        only: Option<&[ChunkId]>,
        limit: usize,
    ) -> Result<Vec<Candidate>> {
        self.fits(query)?;
        if let Some(only) = only {
            return Ok(best(self.cosines(query, only)?, limit));
        }
        let rows = self.read_rows();
        if let Some(nearest) = rows.nearest(query, limit) {
            return Ok(nearest);
        }
        let coded = rows.is_coded();
        drop(rows);
        if !coded {
            let search = nearest::search(&self.table, query, limit, Comparing::Exactly);
            return self.block_on(search);
        }
        let search = nearest::search(&self.table, query, limit, Comparing::Later);
        let proposed = self.block_on(search)?.into_iter();
        let proposed: Vec<ChunkId> = proposed.map(|candidate| candidate.chunk).collect();
        Ok(best(self.cosines(query, &proposed)?, limit))
    }

    /// The cosines of some rows to `query`; those that are not there are left out. Of a large
    /// index they come from codes, and are off by less than 0.01.
    ///
    /// # Errors
    /// [`StoreError::Dimensions`], [`StoreError::Vectors`].
    pub(super) fn cosines(&self, query: &[f32], ids: &[ChunkId]) -> Result<Vec<(ChunkId, f32)>> {
        self.fits(query)?;
        let (mut cosines, others) = self.read_rows().cosines(query, ids);
        for some in others.chunks(4000) {
            cosines.extend(self.block_on(nearest::cosines(&self.table, query, some))?);
        }
        Ok(cosines)
    }

    fn fits(&self, query: &[f32]) -> Result<()> {
        if query.len() == self.dimensions {
            return Ok(());
        }
        Err(StoreError::Dimensions {
            expected: self.dimensions,
            found: query.len(),
        })
    }

    /// Rows in the index, visible or not.
    pub(super) fn len(&self) -> usize {
        self.read_rows().ids().len()
    }

    /// Merges small fragments if there are some. For quiet moments.
    ///
    /// # Errors
    /// [`StoreError::Vectors`].
    pub(super) fn rest(&self) -> Result<()> {
        let writes = self.writes.swap(0, std::sync::atomic::Ordering::Relaxed);
        if writes > 0 {
            self.compact()?;
        }
        let many = !self.read_rows().is_complete();
        if many && !self.is_building() && self.block_on(nearest::is_wanted(&self.table))? {
            self.build_index(VectorIndexKind::default());
        }
        Ok(())
    }

    /// Begins to read the codes of a large index into memory, unless they are there.
    pub(super) fn read_codes(&self) {
        let mut making = self.lock_making();
        if making.codes.is_some() || !self.write_rows().begin_codes() {
            return;
        }
        let (table, folder) = (self.table.clone(), self.folder.clone());
        let rows = Arc::clone(&self.rows);
        making.codes = Some(self.runtime().spawn(async move {
            let started = std::time::Instant::now();
            match read_codes(&table, &rows).await {
                Ok(()) => tracing::info!(took = ?started.elapsed(), "the codes are in memory"),
                // What has no code is read from disk when it is asked for.
                Err(error) => {
                    tracing::warn!(folder = %folder.display(), %error, "the codes were not read");
                }
            }
        }));
    }

    /// Begins to build the index; searches and writes go on meanwhile.
    pub(super) fn build_index(&self, kind: VectorIndexKind) {
        let (table, folder) = (self.table.clone(), self.folder.clone());
        let work = self.runtime().spawn(async move {
            let started = std::time::Instant::now();
            match nearest::build(&table, kind).await {
                Ok(()) => tracing::info!(?kind, took = ?started.elapsed(), "the vector index is built"),
                // Exact search goes on; the next quiet moment tries again.
                Err(error) => {
                    tracing::warn!(folder = %folder.display(), %error, "the vector index was not built");
                }
            }
        });
        self.lock_making().index = Some(work);
    }

    /// Is an index in the making?
    fn is_building(&self) -> bool {
        let making = self.lock_making();
        making
            .index
            .as_ref()
            .is_some_and(|work| !work.is_finished())
    }

    /// Waits for what is made in the background.
    pub(super) fn settle(&self) {
        let making = std::mem::take(&mut *self.lock_making());
        for work in [making.index, making.codes].into_iter().flatten() {
            let _ = self.runtime().block_on(work);
        }
    }

    fn lock_making(&self) -> std::sync::MutexGuard<'_, Making> {
        self.making
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn runtime(&self) -> &tokio::runtime::Runtime {
        self.runtime.as_ref().expect("the runtime lives until drop")
    }

    /// Merges small fragments and drops old versions. Queries go on meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Vectors`].
    pub(super) fn compact(&self) -> Result<()> {
        reach("compact", &self.folder)?;
        self.block_on(async {
            self.table.optimize(OptimizeAction::All).await?;
            let prune = OptimizeAction::Prune {
                older_than: Some(chrono_zero()),
                delete_unverified: Some(false),
                error_if_tagged_old_versions: None,
            };
            self.table.optimize(prune).await.map(drop)
        })
    }

    fn count_write(&self) -> Result<()> {
        use std::sync::atomic::Ordering;
        if self.writes.fetch_add(1, Ordering::Relaxed) + 1 < COMPACT_AFTER_WRITES {
            return Ok(());
        }
        if self.is_building() {
            // Merging fragments would take them away from the index.
            return Ok(());
        }
        self.writes.store(0, Ordering::Relaxed);
        self.compact()
    }

    fn block_on<T>(&self, work: impl Future<Output = lancedb::Result<T>>) -> Result<T> {
        self.runtime()
            .block_on(work)
            .map_err(|source| StoreError::vectors(&self.folder, source))
    }

    fn read_rows(&self) -> std::sync::RwLockReadGuard<'_, Resident> {
        self.rows
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write_rows(&self) -> std::sync::RwLockWriteGuard<'_, Resident> {
        locked(&self.rows)
    }
}

impl Drop for Vectors {
    fn drop(&mut self) {
        // A runtime may not be dropped on a thread of another runtime; this way it may.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn locked(rows: &RwLock<Resident>) -> std::sync::RwLockWriteGuard<'_, Resident> {
    rows.write()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn chrono_zero() -> lancedb::table::Duration {
    lancedb::table::Duration::zero()
}

fn schema(dimensions: usize) -> Arc<Schema> {
    let length = i32::try_from(dimensions).expect("a vector has fewer than 2^31 dimensions");
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("vector", DataType::FixedSizeList(item, length), false),
        Field::new("hash", DataType::Int64, false),
    ]))
}

/// What a row says of itself: the first 8 bytes of BLAKE3 over id and vector.
fn row_hash(id: ChunkId, vector: &[f32]) -> i64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&id.0);
    // One call for all numbers: hashing four bytes at a time is ten times slower.
    let bytes: Vec<u8> = vector.iter().flat_map(|n| n.to_le_bytes()).collect();
    hasher.update(&bytes);
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    i64::from_le_bytes(first)
}

fn record_batch(rows: &[(ChunkId, Vec<f32>)], dimensions: usize) -> RecordBatch {
    let schema = schema(dimensions);
    let ids = StringArray::from_iter_values(rows.iter().map(|(id, _)| id.to_string()));
    let hashes = Int64Array::from_iter_values(rows.iter().map(|(id, v)| row_hash(*id, v)));
    let numbers: Float32Array = rows.iter().flat_map(|(_, v)| v.iter().copied()).collect();
    let DataType::FixedSizeList(item, length) = schema.field(1).data_type().clone() else {
        unreachable!("the schema above says so");
    };
    let vectors = FixedSizeListArray::new(item, length, Arc::new(numbers), None);
    RecordBatch::try_new(
        schema,
        vec![Arc::new(ids), Arc::new(vectors), Arc::new(hashes)],
    )
    .expect("columns were built from the schema")
}

async fn open_table(folder: &Path, dimensions: usize) -> lancedb::Result<Table> {
    let session = Arc::new(lancedb::Session::new(
        INDEX_CACHE_BYTES,
        METADATA_CACHE_BYTES,
        Arc::new(lancedb::ObjectStoreRegistry::default()),
    ));
    let uri = folder.to_string_lossy();
    let database = lancedb::connect(&uri).session(session).execute().await?;
    let names = database.table_names().execute().await?;
    if names.iter().any(|name| name == TABLE) {
        let table = database.open_table(TABLE).execute().await?;
        if table.schema().await?.fields() == schema(dimensions).fields() {
            return Ok(table);
        }
        // Written by an older coho: derived data is made anew, not translated.
        database.drop_table(TABLE, &[]).await?;
    }
    database
        .create_empty_table(TABLE, schema(dimensions))
        .execute()
        .await
}

/// The rows in memory, and how many were damaged.
async fn load(table: &Table, dimensions: usize, most: usize) -> lancedb::Result<(Resident, usize)> {
    let count = table.count_rows(None).await?;
    let mut rows = Resident::new(dimensions, most, count);
    if !rows.is_complete() {
        each_id(table, |id| rows.note(id)).await?;
        return Ok((rows, 0));
    }
    let mut damaged = 0;
    each_row(table, |id, vector, whole| match (id, whole) {
        (Some(id), true) => rows.add(id, vector),
        _ => damaged += 1,
    })
    .await?;
    Ok((rows, damaged))
}

/// Reads the codes of all rows, a portion at a time, so that searches need not wait.
async fn read_codes(table: &Table, rows: &RwLock<Resident>) -> lancedb::Result<()> {
    let mut some: Vec<(ChunkId, Code)> = Vec::with_capacity(CODES_AT_ONCE);
    each_row(table, |id, vector, whole| {
        if let (Some(id), true) = (id, whole) {
            some.push((id, Code::of(vector)));
        }
        if some.len() == CODES_AT_ONCE {
            locked(rows).learn(&some);
            some.clear();
        }
    })
    .await?;
    locked(rows).learn(&some);
    Ok(())
}

/// Visits all rows: the id unless it does not parse, the vector, whether the hash matches.
async fn each_row(
    table: &Table,
    mut visit: impl FnMut(Option<ChunkId>, &[f32], bool),
) -> lancedb::Result<()> {
    let columns = Select::columns(&["id", "vector", "hash"]);
    let mut stream = table.query().select(columns).execute().await?;
    while let Some(batch) = stream.try_next().await? {
        let ids = batch.column(0).as_string::<i32>();
        let vectors = batch.column(1).as_fixed_size_list();
        let hashes = batch.column(2).as_primitive::<Int64Type>();
        let width = vectors.value_length().unsigned_abs() as usize;
        let all = vectors.values().as_primitive::<Float32Type>().values();
        for row in 0..batch.num_rows() {
            let start = (vectors.offset() + row) * width;
            let vector = &all[start..start + width];
            let id = ids.value(row).parse::<ChunkId>().ok();
            let whole = id.is_some_and(|id| row_hash(id, vector) == hashes.value(row));
            visit(id, vector, whole);
        }
    }
    Ok(())
}

async fn each_id<T>(table: &Table, mut visit: impl FnMut(ChunkId) -> T) -> lancedb::Result<()> {
    let mut stream = table
        .query()
        .select(Select::columns(&["id"]))
        .execute()
        .await?;
    while let Some(batch) = stream.try_next().await? {
        let ids = batch.column(0).as_string::<i32>();
        for row in 0..batch.num_rows() {
            if let Ok(id) = ids.value(row).parse::<ChunkId>() {
                visit(id);
            }
        }
    }
    Ok(())
}
