//! Search: both lanes, one ranking, text from the ledger.

use std::path::PathBuf;
use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::space::Space;
use crate::domain::chunk::ChunkId;
use crate::domain::rank::{Fused, Weights, fuse};
use crate::domain::source::{SourceId, shown_name};
use crate::engine::EngineError;
use crate::error::{BadRequest, Failure};
use crate::store::ledger::Row;
use crate::store::{Store, StoreError, row_of};

/// Candidates asked of each lane.
const LANE_CANDIDATES: usize = 100;

/// Hits at most.
pub const MOST_HITS: usize = 100;

/// A longer query is a document.
pub const QUERY_CHARS: usize = 10_000;

/// What to search for, and how.
#[derive(Clone, Debug)]
pub struct Query {
    /// The words.
    pub text: String,
    /// Hits at most.
    pub k: usize,
    /// Only this source.
    pub source: Option<SourceId>,
}

/// What a hit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HitKind {
    /// A passage of a document.
    Chunk,
    /// A knowledge unit.
    Unit,
}

/// One hit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hit {
    /// Its place, counted from 1.
    pub rank: usize,
    /// What it is.
    pub kind: HitKind,
    /// Fused score, 0 to 1; comparable within one search.
    pub score: f32,
    /// Absolute path of the file.
    pub path: PathBuf,
    /// Title of the document.
    pub title: String,
    /// Headings above the passage, outermost first, joined by ` > `.
    pub heading: Option<String>,
    /// First and last line, counted from 1, where the format has lines.
    pub lines: Option<(u32, u32)>,
    /// Page, counted from 1, where the format has pages.
    pub page: Option<u32>,
    /// The passage.
    pub text: String,
    /// Id of the chunk.
    pub chunk_id: String,
    /// Id of the unit, for units.
    pub unit_id: Option<String>,
    /// Ids of the chunks that a unit rests on.
    pub sources: Vec<String>,
}

/// The result of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Found {
    /// The query as it was given.
    pub query: String,
    /// Milliseconds that it took.
    pub took_ms: f64,
    /// Hits, best first.
    pub hits: Vec<Hit>,
}

/// A hit with the lanes' own scores, for those who decide by them.
#[derive(Clone, Debug)]
pub struct Ranked {
    /// What is shown.
    pub hit: Hit,
    /// The lanes' scores.
    pub fused: Fused,
}

/// A ranking and what it cost.
#[derive(Clone, Debug, Default)]
pub struct Ranking {
    /// Hits, best first.
    pub ranked: Vec<Ranked>,
    /// Milliseconds to embed the query.
    pub embed_ms: f64,
    /// Milliseconds for all the rest.
    pub retrieve_ms: f64,
}

/// Checks a query before anything is spent on it.
///
/// # Errors
/// [`BadRequest`] that says what to do instead.
pub fn check(query: &Query) -> Result<(), BadRequest> {
    if query.text.trim().is_empty() {
        return Err(BadRequest::new(
            "empty_query",
            "the query is empty",
            "give at least one word",
        ));
    }
    let chars = query.text.chars().count();
    if chars > QUERY_CHARS {
        return Err(BadRequest::new(
            "query_too_long",
            format!("the query has {chars} characters, at most {QUERY_CHARS} are taken"),
            "ask with fewer words; a whole text can be added as a note",
        ));
    }
    if query.k == 0 || query.k > MOST_HITS {
        return Err(BadRequest::new(
            "bad_k",
            format!("k is {}, it must be between 1 and {MOST_HITS}", query.k),
            format!("choose a k from 1 to {MOST_HITS}"),
        ));
    }
    Ok(())
}

/// Ranks what is visible against a query.
///
/// # Errors
/// [`BadRequest`], or what the store and the embedding model say.
pub fn rank(
    store: &Store,
    space: &Space,
    query: &Query,
    weights: Weights,
) -> Result<Ranking, Failure> {
    check(query)?;
    let started = Instant::now();
    let vector = space.embedder.query(query.text.clone())?.wait();
    let vector = vector.map_err(EngineError::Lane)??;
    let embed_ms = millis(started);
    let started = Instant::now();
    let ranked = store.ledger().read(|snapshot| {
        if let Some(id) = query.source {
            super::ingest::source(snapshot, id)?;
        }
        let candidates = store.candidates(
            &space.indexes,
            snapshot,
            &query.text,
            Some(&vector),
            query.source,
            LANE_CANDIDATES,
        )?;
        let fused = fuse(&candidates.dense, &candidates.lexical, weights);
        let mut ranked = Vec::with_capacity(query.k);
        for fused in fused {
            if ranked.len() == query.k {
                break;
            }
            if let Some(row) = row_of(snapshot, fused.chunk, query.source)? {
                let hit = hit(ranked.len() + 1, &fused, row);
                ranked.push(Ranked { hit, fused });
            }
        }
        Ok::<_, StoreError>(ranked)
    })?;
    Ok(Ranking {
        ranked,
        embed_ms,
        retrieve_ms: millis(started),
    })
}

/// Searches and says how long it took.
///
/// # Errors
/// As [`rank`].
pub fn search(
    store: &Store,
    space: &Space,
    query: &Query,
    weights: Weights,
) -> Result<Found, Failure> {
    let started = Instant::now();
    let ranking = rank(store, space, query, weights)?;
    Ok(Found {
        query: query.text.clone(),
        took_ms: millis(started),
        hits: ranking.ranked.into_iter().map(|r| r.hit).collect(),
    })
}

fn hit(rank: usize, fused: &Fused, row: Row) -> Hit {
    let id: ChunkId = row.chunk;
    Hit {
        rank,
        kind: HitKind::Chunk,
        score: fused.score,
        path: PathBuf::from(shown_name(&row.path.to_string_lossy())),
        title: row.title,
        heading: (!row.heading.is_empty()).then(|| row.heading.join(" > ")),
        lines: row.lines,
        page: row.page,
        text: row.text,
        chunk_id: id.to_string(),
        unit_id: None,
        sources: Vec::new(),
    }
}

/// Milliseconds since `started`, to a microsecond.
pub fn millis(started: Instant) -> f64 {
    (started.elapsed().as_secs_f64() * 1e6).round() / 1e3
}
