//! The vector index proper: what finds neighbours when there are too many vectors for memory.
//!
//! `IVF_RQ` by default: partitions, and one bit a dimension and some (`RaBitQ`); what it proposes is
//! compared by the caller's codes, or by LanceDB itself ("refined") where there are none yet. A
//! million rows took half a minute to build (`eval/results/scale.json`); the other kinds are there
//! to be compared with by `coho eval scale --index` (`eval/results/index-kinds.json`). Rows that came after the index are searched exactly by LanceDB, so that they are found
//! at once.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Float32Type;
use futures::TryStreamExt;
use lancedb::DistanceType;
use lancedb::index::Index;
use lancedb::index::scalar::BTreeIndexBuilder;
use lancedb::index::vector::{IvfHnswSqIndexBuilder, IvfPqIndexBuilder, IvfRqIndexBuilder};
use lancedb::query::{ExecutableQuery, QueryBase, Select};
use lancedb::table::Table;

use crate::domain::chunk::ChunkId;
use crate::domain::rank::Candidate;

/// Partitions looked into, of about a million rows' 240. More find more and cost more.
const PROBES: usize = 80;

/// How many times the wanted rows are compared exactly.
const REFINE: u32 = 2;

/// A share of rows that the index does not know beyond which it is built anew.
const STALE_SHARE: usize = 4;

/// Rows that are proposed at least: among so many the best few are, however roughly they are known.
const LEAST_PROPOSED: usize = 100;

const VECTOR_INDEX: &str = "vector_idx";
const ID_INDEX: &str = "id_idx";

/// Ways to index vectors.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    serde::Serialize,
    schemars::JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum VectorIndexKind {
    /// Partitions and `RaBitQ`.
    #[default]
    IvfRq,
    /// Partitions and product quantisation.
    IvfPq,
    /// Partitions of small worlds, scalar quantisation.
    IvfHnswSq,
}

/// Is the index missing, or does it know too few of the rows?
pub(super) async fn is_wanted(table: &Table) -> lancedb::Result<bool> {
    let Some(known) = table.index_stats(VECTOR_INDEX).await? else {
        return Ok(true);
    };
    Ok(known.num_unindexed_rows * STALE_SHARE > known.num_indexed_rows)
}

/// Builds the index, over one that is there; queries and writes go on meanwhile.
pub(super) async fn build(table: &Table, kind: VectorIndexKind) -> lancedb::Result<()> {
    let dot = DistanceType::Dot;
    let index = match kind {
        VectorIndexKind::IvfRq => Index::IvfRq(IvfRqIndexBuilder::default().distance_type(dot)),
        VectorIndexKind::IvfPq => Index::IvfPq(IvfPqIndexBuilder::default().distance_type(dot)),
        VectorIndexKind::IvfHnswSq => {
            Index::IvfHnswSq(IvfHnswSqIndexBuilder::default().distance_type(dot))
        }
    };
    let ids = Index::BTree(BTreeIndexBuilder::default());
    let ids = table.create_index(&["id"], ids).name(ID_INDEX.into());
    ids.replace(true).execute().await?;
    let vectors = table.create_index(&["vector"], index);
    vectors
        .name(VECTOR_INDEX.into())
        .replace(true)
        .execute()
        .await
}

/// What makes up for the index knowing vectors only roughly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparing {
    /// Whole vectors are read from disk and compared.
    Exactly,
    /// The caller compares what is proposed, which may be more than was asked for.
    Later,
}

/// The `limit` rows with the largest cosine to `query`, nearly always.
pub(super) async fn search(
    table: &Table,
    query: &[f32],
    limit: usize,
    comparing: Comparing,
) -> lancedb::Result<Vec<Candidate>> {
    let nearest = table
        .query()
        .nearest_to(query)?
        .distance_type(DistanceType::Dot)
        .nprobes(PROBES)?;
    let nearest = match comparing {
        Comparing::Exactly => nearest.refine_factor(REFINE).limit(limit),
        Comparing::Later => nearest.limit(limit.max(LEAST_PROPOSED)),
    };
    let mut stream = nearest
        .select(Select::columns(&["id", "_distance"]))
        .execute()
        .await?;
    let mut found = Vec::with_capacity(limit);
    while let Some(batch) = stream.try_next().await? {
        let ids = batch.column(0).as_string::<i32>();
        let distances = batch.column(1).as_primitive::<Float32Type>();
        for row in 0..batch.num_rows() {
            if let Ok(chunk) = ids.value(row).parse() {
                found.push(Candidate {
                    chunk,
                    score: 1.0 - distances.value(row),
                });
            }
        }
    }
    Ok(found)
}

/// The cosines of some rows to `query`.
pub(super) async fn cosines(
    table: &Table,
    query: &[f32],
    ids: &[ChunkId],
) -> lancedb::Result<Vec<(ChunkId, f32)>> {
    let list: Vec<String> = ids.iter().map(|id| format!("'{id}'")).collect();
    let mut stream = table
        .query()
        .only_if(format!("id IN ({})", list.join(",")))
        .select(Select::columns(&["id", "vector"]))
        .execute()
        .await?;
    let mut cosines = Vec::with_capacity(ids.len());
    while let Some(batch) = stream.try_next().await? {
        let ids = batch.column(0).as_string::<i32>();
        let vectors = batch.column(1).as_fixed_size_list();
        let width = vectors.value_length().unsigned_abs() as usize;
        let all = vectors.values().as_primitive::<Float32Type>().values();
        for row in 0..batch.num_rows() {
            let start = (vectors.offset() + row) * width;
            if let Ok(id) = ids.value(row).parse::<ChunkId>() {
                let vector = &all[start..start + width];
                cosines.push((id, lance_linalg::distance::dot::dot_f32(query, vector)));
            }
        }
    }
    Ok(cosines)
}
