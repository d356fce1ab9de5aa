//! Search: a query taken apart, both lanes, one ranking, hits worth reading.
//!
//! Blocking. The text of hits comes from the ledger, in a snapshot that decides what is visible: the
//! one in which they were found, or a later one where a model ranked anew in between.

mod found;
mod hits;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::space::Space;
use crate::domain::chunk::ChunkId;
use crate::domain::gate;
use crate::domain::query::{self, BadQuery, Filter, Test};
pub use crate::domain::rank::MOST_HITS;
use crate::domain::rank::{Candidate, Fused, Judged, Lexical, Weights, descending, fuse};
use crate::domain::source::{Edition, SourceId};
use crate::domain::unit::{Merge, Unit, most_places};
use crate::engine::EngineError;
use crate::engine::rerank::RerankerHandle;
use crate::error::{BadRequest, Failure};
use crate::store::candidates::{Candidates, Seek};
use crate::store::ledger::Snapshot;
use crate::store::units::UseUnits;
use crate::store::units::near::{NearUnit, Reach};
use crate::store::{Store, StoreError};

pub(super) use self::found::about;
pub use self::found::{Explanation, FoldedHit, Found, Hit, HitKind, QueryExplanation, Steps};
pub use self::hits::Ranked;
use self::hits::{Hits, explain, gather};
pub(super) use self::hits::{heading_of, joined};

/// Candidates asked of each lane.
const LANE_CANDIDATES: usize = 100;

/// Candidates that are ranked anew.
const RERANKED: usize = 30;

/// A longer query is a document.
pub const QUERY_CHARS: usize = 10_000;

/// What to search for, and how.
#[derive(Clone, Debug)]
pub struct Query {
    /// The query, in the language of [`query`].
    pub text: String,
    /// Hits at most.
    pub k: usize,
    /// Only this source.
    pub source: Option<SourceId>,
    /// Whether the text is words alone, not in the language of [`query`].
    pub literal: bool,
    /// Whether it was said by somebody who knows nothing of filters.
    pub spoken: bool,
    /// Whether to rank the best anew with the reranker.
    pub rerank: bool,
    /// Whether hits say how they came about.
    pub explain: bool,
    /// Which knowledge units may take part.
    pub units: UseUnits,
    /// How they do.
    pub merge: Merge,
    /// When it was asked, milliseconds since 1970: what relative dates count from.
    pub asked_ms: i64,
}

impl Query {
    /// Words alone, of everything, and without units.
    pub fn words(text: impl Into<String>, k: usize) -> Self {
        Self {
            text: text.into(),
            k,
            source: None,
            literal: true,
            spoken: false,
            rerank: false,
            explain: false,
            units: UseUnits::Off,
            merge: Merge::default(),
            asked_ms: 0,
        }
    }
}

/// A ranking and what it cost.
#[derive(Clone, Debug, Default)]
pub struct Ranking {
    /// What was asked, without filters.
    pub words: String,
    /// Hits, best first.
    pub ranked: Vec<Ranked>,
    /// What the lanes proposed, each by its own score; for comparisons.
    pub lanes: Lanes,
    /// Where the time went.
    pub steps: Steps,
    /// The vector of its words, where it has words.
    pub vector: Option<Vec<f32>>,
    /// Units near the query, nearest first.
    pub units: Vec<NearUnit>,
    /// How the query was read.
    query: query::Query,
}

/// What each lane proposed, best first.
#[derive(Clone, Debug, Default)]
pub struct Lanes {
    /// By cosine.
    pub dense: Vec<Candidate>,
    /// By BM25.
    pub lexical: Vec<Candidate>,
}

impl Ranking {
    /// Milliseconds of everything but embedding.
    pub fn retrieve_ms(&self) -> f64 {
        let steps = self.steps;
        steps.lexical_ms + steps.dense_ms + steps.judge_ms + steps.rerank_ms + steps.gather_ms
    }
}

/// Is it of a word, or a sign that may be asked about? Punctuation is neither.
fn says_something(c: char) -> bool {
    const MARKS: &str = "¿¡？！…。、，「」『』“”„‘’«»–—·";
    c.is_alphanumeric()
        || !(c.is_ascii() || c.is_whitespace() || c.is_control() || MARKS.contains(c))
}

/// Checks a query before anything is spent on it.
///
/// # Errors
/// [`BadRequest`] that says what to do instead.
pub fn check(query: &Query) -> Result<(), BadRequest> {
    let asked = query.spoken && !query.text.chars().any(says_something);
    if asked || query.text.trim().is_empty() {
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

impl From<BadQuery> for BadRequest {
    fn from(bad: BadQuery) -> Self {
        Self::new("bad_query", bad.message, bad.hint)
    }
}

/// Takes a query apart and adds what was asked for beside it.
fn read(query: &Query) -> Result<query::Query, BadRequest> {
    check(query)?;
    let now = Timestamp::from_millisecond(query.asked_ms).unwrap_or_default();
    let now = now.to_zoned(TimeZone::system());
    let mut read = match (query.literal, query.spoken) {
        (true, _) => query::literal(&query.text),
        (false, true) => query::spoken(&query.text, &now),
        (false, false) => query::parse(&query.text, &now)?,
    };
    if let Some(source) = query.source {
        read.filters.push(Filter {
            not: false,
            first: Test::SourceId(source),
            others: Vec::new(),
        });
    }
    Ok(read)
}

/// What searching needs.
#[derive(Clone, Copy)]
pub struct Searcher<'a> {
    /// The store.
    pub store: &'a Store,
    /// The embedding model and its indexes.
    pub space: &'a Space,
    /// Weights of the ranking.
    pub weights: Weights,
    /// The model that ranks anew, where there is one.
    pub reranker: Option<&'a RerankerHandle>,
}

/// Ranks what is visible against a query.
///
/// # Errors
/// [`BadRequest`], or what the store and the models say.
pub fn rank(searcher: &Searcher<'_>, query: &Query) -> Result<Ranking, Failure> {
    let Searcher { store, space, .. } = *searcher;
    let read = read(query)?;
    if query.rerank && searcher.reranker.is_none() {
        return Err(BadRequest::new(
            "no_reranker",
            "there is no model to rank anew with",
            "add one with `coho models add FOLDER` and choose it with `coho models use NAME`",
        )
        .into());
    }
    let started = Instant::now();
    let vector = vector_of(space, &read)?;
    let embed_ms = millis(started);
    let ledger = store.ledger();
    let seek = vector.as_deref();
    let finish = |snapshot: &Snapshot<'_>, draft| finish(snapshot, query, &read, draft);
    let mut ranking = if seek.is_none() && read.prefixes.is_empty() {
        ledger.read(|snapshot| list(store, space, snapshot, &read, query.k))?
    } else if let Some(reranker) = searcher.reranker.filter(|_| query.rerank) {
        let (mut draft, texts) = ledger.read(|snapshot| {
            let draft = draft(snapshot, searcher, query, &read, seek)?;
            let texts = texts_to_rerank(snapshot, &draft, query.k)?;
            Ok::<_, StoreError>((draft, texts))
        })?;
        // The model takes seconds. Nobody who writes the ledger waits for that; what goes meanwhile
        // is not shown.
        rerank(reranker, &read.words, texts, &mut draft)?;
        ledger.read(|snapshot| finish(snapshot, draft))?
    } else {
        ledger.read(|snapshot| finish(snapshot, draft(snapshot, searcher, query, &read, seek)?))?
    };
    ranking.vector = vector;
    ranking.steps.embed_ms = embed_ms;
    ranking.words.clone_from(&read.words);
    ranking.query = read;
    Ok(ranking)
}

/// The vector of a query that has words.
fn vector_of(space: &Space, read: &query::Query) -> Result<Option<Vec<f32>>, Failure> {
    // Of signs alone a model knows nothing.
    if read.words.is_empty() || !read.signs().is_empty() {
        return Ok(None);
    }
    let vector = space.embedder.query(read.words.clone())?.wait();
    Ok(Some(vector.map_err(EngineError::Lane)??))
}

/// What was found, ordered, before its text is read.
struct Draft {
    found: Candidates,
    fused: Vec<Fused>,
    units: Vec<NearUnit>,
    /// Which unit led to which chunk.
    led: HashMap<ChunkId, Arc<Unit>>,
    rerank_ms: f64,
    /// Milliseconds that ordering took.
    order_ms: f64,
}

fn draft(
    snapshot: &Snapshot<'_>,
    searcher: &Searcher<'_>,
    query: &Query,
    read: &query::Query,
    vector: Option<&[f32]>,
) -> Result<Draft, StoreError> {
    let Searcher { store, space, .. } = *searcher;
    let mut found = propose(store, space, snapshot, read, vector)?;
    let started = Instant::now();
    let units = near_units(store, space, snapshot, query, vector)?;
    let leading = if query.merge.ranks() { &units[..] } else { &[] };
    let led = lead(snapshot, read, leading, query.k, &mut found)?;
    let judged: Vec<_> = found.judged.iter().map(|(judged, _)| *judged).collect();
    Ok(Draft {
        fused: fuse(&judged, &searcher.weights),
        found,
        units,
        led,
        rerank_ms: 0.0,
        order_ms: millis(started),
    })
}

fn finish(
    snapshot: &Snapshot<'_>,
    query: &Query,
    read: &query::Query,
    draft: Draft,
) -> Result<Ranking, StoreError> {
    let started = Instant::now();
    let found = draft.found;
    let mut ranked = gather(snapshot, read, &found, &draft.fused, query.k)?;
    for ranked in &mut ranked {
        if let Some(unit) = draft.led.get(&ranked.fused.judged.chunk) {
            ranked.hit.unit_id = Some(unit.id.clone());
            ranked.hit.sources = unit.chunks().map(|chunk| chunk.to_string()).collect();
        }
    }
    if query.explain {
        explain(&mut ranked, &found);
    }
    Ok(Ranking {
        ranked,
        steps: Steps {
            embed_ms: 0.0,
            lexical_ms: found.lexical_ms,
            dense_ms: found.dense_ms,
            judge_ms: found.judge_ms,
            rerank_ms: draft.rerank_ms,
            gather_ms: draft.order_ms + millis(started),
        },
        lanes: Lanes {
            dense: found.dense,
            lexical: found.lexical,
        },
        units: draft.units,
        ..Ranking::default()
    })
}

/// What [`rank`] finds with the units that a query allows, and with those in use alone: of one snapshot,
/// for notes that change in between would be taken for the doing of units.
///
/// # Errors
/// As [`rank`].
pub(super) fn with_and_without(
    searcher: &Searcher<'_>,
    query: &Query,
) -> Result<(Ranking, Ranking), Failure> {
    let read = read(query)?;
    let vector = vector_of(searcher.space, &read)?;
    let without = Query {
        units: UseUnits::Active,
        ..query.clone()
    };
    let rankings = searcher.store.ledger().read(|snapshot| {
        let rank = |query: &Query| {
            let draft = draft(snapshot, searcher, query, &read, vector.as_deref())?;
            finish(snapshot, query, &read, draft)
        };
        Ok((rank(query)?, rank(&without)?))
    });
    Ok(rankings?)
}

/// The units that [`rank`] would look at for a query, nearest first, without the search.
///
/// # Errors
/// As [`rank`].
pub(super) fn near(searcher: &Searcher<'_>, query: &Query) -> Result<Vec<NearUnit>, Failure> {
    let Searcher { store, space, .. } = *searcher;
    let vector = vector_of(space, &read(query)?)?;
    let ledger = store.ledger();
    Ok(ledger.read(|snapshot| near_units(store, space, snapshot, query, vector.as_deref()))?)
}

/// Which units are looked at.
const NEAR_UNITS: Reach = Reach {
    least: 0.5,
    limit: 20,
    always: SAME_QUESTION,
};

fn near_units(
    store: &Store,
    space: &Space,
    snapshot: &Snapshot<'_>,
    query: &Query,
    vector: Option<&[f32]>,
) -> Result<Vec<NearUnit>, StoreError> {
    let Some(vector) = vector else {
        return Ok(Vec::new());
    };
    let model = space.indexes.model();
    store.near_units(snapshot, model, vector, &query.units, NEAR_UNITS)
}

/// Units that answer the very question lead to their sources: each takes the better of its own cosine
/// and the unit's. Others do not: a question is always nearer to questions than to passages, and to a
/// sentence than to a passage that says the same and more. When every unit led that was near, questions
/// about documents that nothing was learned of lost 0.3 points of nDCG@10, and 0.8 with more units
/// (`squad2_cs224n`, 1,198 answers learned from, 592 questions); now they lose nothing. At most 40
/// of 100 places are moved so. A source that no lane proposed is added where nothing narrows the
/// query. Returns which unit led to which chunk.
fn lead(
    snapshot: &Snapshot<'_>,
    read: &query::Query,
    units: &[NearUnit],
    k: usize,
    found: &mut Candidates,
) -> Result<HashMap<ChunkId, Arc<Unit>>, StoreError> {
    let mut led: HashMap<ChunkId, Arc<Unit>> = HashMap::new();
    let narrow = !(read.filters.is_empty() && read.phrases.is_empty() && read.without.is_empty());
    for near in units.iter().filter(|near| is_recalled(&read.words, near)) {
        for chunk in near.unit.chunks() {
            if led.len() == most_places(k) {
                return Ok(led);
            }
            if led.contains_key(&chunk) {
                continue;
            }
            let known = found.judged.iter_mut().find(|(j, _)| j.chunk == chunk);
            if let Some((judged, _)) = known {
                if judged.cosine.is_none_or(|own| own < near.cosine) {
                    judged.cosine = Some(near.cosine);
                    led.insert(chunk, Arc::clone(&near.unit));
                }
                continue;
            }
            let editions = snapshot.editions_of(chunk)?;
            if !narrow && !editions.is_empty() {
                let judged = Judged {
                    chunk,
                    cosine: Some(near.cosine),
                    lexical: Lexical::default(),
                };
                found.judged.push((judged, editions));
                led.insert(chunk, Arc::clone(&near.unit));
            }
        }
    }
    Ok(led)
}

/// Cosine of two questions from which they may be the same in other words.
const SAME_QUESTION: f32 = 0.85;

/// Does a unit answer this very question, asked in whatever words?
pub(super) fn is_recalled(question: &str, near: &NearUnit) -> bool {
    near.question_cosine >= SAME_QUESTION
        && gate::same_subject(question, &near.question)
        && !gate::asks_for_another(question, &near.question, &near.unit.under_title())
}

/// What both lanes propose, judged by both.
fn propose(
    store: &Store,
    space: &Space,
    snapshot: &Snapshot<'_>,
    read: &query::Query,
    vector: Option<&[f32]>,
) -> Result<Candidates, StoreError> {
    let seek = Seek {
        query: read,
        vector,
        limit: LANE_CANDIDATES,
    };
    space.indexes.follow(snapshot.newest_edition()?)?;
    let found = store.candidates(&space.indexes, snapshot, &seek)?;
    // To find nothing where nothing can be found would be a lie.
    if found.judged.is_empty() && store.is_unindexed(&space.indexes, snapshot)? {
        return Err(StoreError::NotIndexed);
    }
    Ok(found)
}

/// The candidates of a query of words alone, for those who fuse them by themselves.
///
/// # Errors
/// As [`rank`].
pub fn candidates(searcher: &Searcher<'_>, words: &str) -> Result<Candidates, Failure> {
    let Searcher { store, space, .. } = *searcher;
    let read = query::literal(words);
    let vector = space.embedder.query(read.words.clone())?.wait();
    let vector = vector.map_err(EngineError::Lane)??;
    let ledger = store.ledger();
    Ok(ledger.read(|snapshot| propose(store, space, snapshot, &read, Some(&vector)))?)
}

/// A query of filters alone: the newest documents that fit; of signs, the passages that hold them.
fn list(
    store: &Store,
    space: &Space,
    snapshot: &Snapshot<'_>,
    read: &query::Query,
    k: usize,
) -> Result<Ranking, StoreError> {
    let started = Instant::now();
    let mut hits = Hits::default();
    for row in store.listing(&space.indexes, snapshot, read, k)? {
        hits.new_hit(Fused::unjudged(row.chunk), row);
    }
    Ok(Ranking {
        ranked: hits.finish(snapshot)?,
        steps: Steps {
            lexical_ms: millis(started),
            ..Steps::default()
        },
        ..Ranking::default()
    })
}

/// Texts of the best candidates, in their order, as the reranker reads them.
fn texts_to_rerank(
    snapshot: &Snapshot<'_>,
    draft: &Draft,
    k: usize,
) -> Result<Vec<String>, StoreError> {
    let editions: HashMap<ChunkId, Edition> = draft
        .found
        .judged
        .iter()
        .map(|(judged, editions)| (judged.chunk, editions[0]))
        .collect();
    let best = draft.fused.iter().take(RERANKED.max(k));
    let texts = best.map(|fused| {
        let chunk = fused.judged.chunk;
        let row = snapshot.row(chunk, editions[&chunk])?;
        Ok(row.map_or_else(String::new, |row| {
            format!("{} {}\n{}", row.title, row.heading.join(" > "), row.text)
        }))
    });
    texts.collect()
}

/// Orders the best candidates, of which these are the texts, by what the reranker says of them; the
/// others stay behind them.
fn rerank(
    reranker: &RerankerHandle,
    words: &str,
    texts: Vec<String>,
    draft: &mut Draft,
) -> Result<(), EngineError> {
    let started = Instant::now();
    let (best, rest) = draft.fused.split_at_mut(texts.len());
    let scores = reranker.score(words.to_owned(), texts)?;
    for (fused, score) in best.iter_mut().zip(scores) {
        fused.score = score;
    }
    let order = |a: &Fused, b: &Fused| {
        descending(a.score, b.score).then(a.judged.chunk.cmp(&b.judged.chunk))
    };
    best.sort_by(order);
    rest.iter_mut().for_each(|fused| fused.score = 0.0);
    draft.rerank_ms = millis(started);
    Ok(())
}

/// Searches and says how long it took.
///
/// # Errors
/// As [`rank`].
pub fn search(searcher: &Searcher<'_>, query: &Query) -> Result<Found, Failure> {
    let started = Instant::now();
    let ranking = rank(searcher, query)?;
    let read = ranking.query;
    let explain = query.explain.then_some(QueryExplanation {
        words: read.words,
        phrases: read.phrases,
        prefixes: read.prefixes,
        without: read.without,
        filters: read.filters.len(),
        steps: ranking.steps,
    });
    Ok(Found {
        query: query.text.clone(),
        took_ms: millis(started),
        hits: ranking.ranked.into_iter().map(|r| r.hit).collect(),
        explain,
    })
}

/// Milliseconds since `started`, to a microsecond.
pub fn millis(started: Instant) -> f64 {
    (started.elapsed().as_secs_f64() * 1e6).round() / 1e3
}
