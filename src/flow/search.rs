//! Search: a query taken apart, both lanes, one ranking, hits worth reading.
//!
//! Blocking. The text of hits comes from the ledger, in a snapshot that decides what is visible: the
//! one in which they were found, or a later one where a model ranked anew in between.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::space::Space;
use crate::domain::chunk::ChunkId;
use crate::domain::gate;
use crate::domain::gather::{Gather, Passage, Place};
use crate::domain::query::{self, BadQuery, Filter, Test};
pub use crate::domain::rank::MOST_HITS;
use crate::domain::rank::{Candidate, Fused, Judged, Lexical, Weights, descending, fuse};
use crate::domain::source::{DocumentId, Edition, SourceId, shown_name};
use crate::domain::surroundings::Surroundings;
use crate::domain::text::{Readable, Text};
use crate::domain::unit::{Merge, Unit, most_places};
use crate::domain::words::{holds_phrase, is_unspaced};
use crate::engine::EngineError;
use crate::engine::rerank::RerankerHandle;
use crate::error::{BadRequest, Failure};
use crate::store::candidates::{Candidates, Seek};
use crate::store::ledger::Snapshot;
use crate::store::passages::Row;
use crate::store::units::UseUnits;
use crate::store::units::near::NearUnit;
use crate::store::{Store, StoreError};

/// Candidates asked of each lane.
const LANE_CANDIDATES: usize = 100;

/// Candidates that are ranked anew.
const RERANKED: usize = 30;

/// Other documents that hold the same passage, shown at most.
const SHOWN_COPIES: usize = 5;

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
    /// Ids of all its chunks in their order, where neighbours were joined.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joined: Vec<String>,
    /// Other passages that say the same, left out of the list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folded: Vec<FoldedHit>,
    /// Paths, below their sources, of documents that this one links to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// Paths, below their sources, of documents that link to this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backlinks: Vec<String>,
    /// How it came about, when that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<Explanation>,
}

impl Hit {
    /// What it is about, as [`about`].
    pub(super) fn about(&self) -> String {
        about(&self.title, self.heading.as_deref())
    }
}

/// What a passage is about: its document's title and the headings above it.
pub(super) fn about(title: &str, heading: Option<&str>) -> String {
    match heading {
        Some(heading) if !heading.starts_with(title) => format!("{title} > {heading}"),
        Some(heading) => heading.to_owned(),
        None => title.to_owned(),
    }
}

/// A passage that says the same as a hit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FoldedHit {
    /// Absolute path of the file.
    pub path: PathBuf,
    /// First and last line, counted from 1, where the format has lines.
    pub lines: Option<(u32, u32)>,
    /// Id of the chunk.
    pub chunk_id: String,
}

/// How a hit came about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// Its place in the vector lane, counted from 1, where that lane proposed it.
    pub dense_rank: Option<usize>,
    /// Its place in the lexical lane, counted from 1, where that lane proposed it.
    pub lexical_rank: Option<usize>,
    /// Cosine to the query.
    pub cosine: Option<f32>,
    /// What its words say, before weighting.
    pub words: Lexical,
    /// The vector lane's part of the score, scaled to the best candidate.
    pub dense: f32,
    /// The lexical lane's part of the score, scaled to the best candidate.
    pub lexical: f32,
    /// The weight of the vector lane for this query; the lexical lane has the rest.
    pub dense_weight: f32,
}

impl Explanation {
    /// How a hit came to this score, a line each.
    pub fn told(&self, score: f32) -> [String; 2] {
        let rank =
            |rank: Option<usize>| rank.map_or("not proposed".into(), |n| format!("rank {n}"));
        let words = self.words;
        let sum = self.dense_weight * self.dense + (1.0 - self.dense_weight) * self.lexical;
        let score = if (score - sum.clamp(0.0, 1.0)).abs() < 1e-3 {
            format!("score {score:.3}")
        } else {
            format!("score {score:.3} of the reranker, before it {sum:.3}")
        };
        [
            format!(
                "{score} = {:.2} x {:.3} (vectors: {}, cosine {:.3}) + {:.2} x {:.3} (words: {})",
                self.dense_weight,
                self.dense,
                rank(self.dense_rank),
                self.cosine.unwrap_or(0.0),
                1.0 - self.dense_weight,
                self.lexical,
                rank(self.lexical_rank),
            ),
            format!(
                "words: text {:.2}, pairs {:.2}, window {:.2}, head {:.2}, coverage {:.2}, labels {:.2}",
                words.words, words.pairs, words.window, words.head, words.coverage, words.labels
            ),
        ]
    }
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
    /// How the query was read and where the time went, when that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<QueryExplanation>,
}

/// How a query was read, and where the time went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QueryExplanation {
    /// What both lanes were asked.
    pub words: String,
    /// What must stand as it is.
    pub phrases: Vec<String>,
    /// Beginnings of words.
    pub prefixes: Vec<String>,
    /// What must not occur.
    pub without: Vec<String>,
    /// Filters.
    pub filters: usize,
    /// Milliseconds of each step.
    pub steps: Steps,
}

impl QueryExplanation {
    /// How a query was read, and what it took, a line each.
    pub fn told(&self) -> Vec<String> {
        let mut lines = vec![format!("read as: {}", self.words)];
        for (name, list) in [
            ("phrases", &self.phrases),
            ("beginning with", &self.prefixes),
            ("without", &self.without),
        ] {
            if !list.is_empty() {
                lines.push(format!("{name}: {}", list.join(", ")));
            }
        }
        if self.filters > 0 {
            lines.push(format!("filters: {}", self.filters));
        }
        let steps = self.steps;
        lines.push(format!(
            "embedding {:.1} ms, words {:.1} ms, vectors {:.1} ms, judging {:.1} ms, ranking anew \
             {:.1} ms, reading {:.1} ms",
            steps.embed_ms,
            steps.lexical_ms,
            steps.dense_ms,
            steps.judge_ms,
            steps.rerank_ms,
            steps.gather_ms
        ));
        lines
    }
}

/// Milliseconds of each step of a search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Steps {
    /// Embedding the query.
    pub embed_ms: f64,
    /// Filters, and the words' candidates.
    pub lexical_ms: f64,
    /// The vectors' candidates.
    pub dense_ms: f64,
    /// Judging all candidates by both.
    pub judge_ms: f64,
    /// Ranking anew, where that was asked for.
    pub rerank_ms: f64,
    /// Reading the hits, folding and joining them.
    pub gather_ms: f64,
}

/// A hit with the lanes' own scores, for those who decide by them.
#[derive(Clone, Debug)]
pub struct Ranked {
    /// What is shown.
    pub hit: Hit,
    /// The lanes' scores.
    pub fused: Fused,
    /// The chunks of its text, in order, with the bytes that are theirs.
    pub parts: Vec<(Range<usize>, ChunkId)>,
    /// The headings above each of them.
    headings: Vec<Option<String>>,
    /// What else the document is called: its file's name, and its aliases.
    names: Vec<String>,
    /// Its text as it is read; places are those of the hit's.
    readable: Readable<'static>,
}

impl Ranked {
    /// The chunk that holds the byte at `offset` of the text.
    pub fn chunk_at(&self, offset: usize) -> ChunkId {
        let part = self.parts.get(self.part_at(offset));
        part.map_or(self.fused.judged.chunk, |(_, chunk)| *chunk)
    }

    /// The headings above the chunk that holds the byte at `offset` of the text, outermost first.
    pub fn above(&self, offset: usize) -> Option<&str> {
        self.headings.get(self.part_at(offset))?.as_deref()
    }

    /// What it is about, for a question that may call its document by another name than its title.
    pub fn about(&self) -> String {
        format!("{} {}", self.hit.about(), self.names.join(" "))
    }

    /// Its text as it is read: sentences are cut by it.
    pub fn text(&self) -> Text<'_> {
        self.readable.text()
    }

    /// The headings above the sentence that holds the byte at `offset` of the text, outermost first.
    pub fn heading_at(&self, offset: usize) -> Option<String> {
        self.surroundings_at(offset).heading(self.above(offset))
    }

    /// What stands around, in its chunk, the sentence that holds the byte at `offset` of the text.
    pub fn surroundings_at(&self, offset: usize) -> Surroundings<'_> {
        let part = self.parts.get(self.part_at(offset));
        let part = part.map_or(0..self.hit.text.len(), |(part, _)| part.clone());
        let start = part.start;
        Surroundings::of(self.text().part(part), offset.saturating_sub(start))
    }

    fn part_at(&self, offset: usize) -> usize {
        let holds = |(range, _): &(Range<usize>, ChunkId)| offset < range.end;
        let last = self.parts.len().saturating_sub(1);
        self.parts.iter().position(holds).unwrap_or(last)
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
    // Of signs alone a model knows nothing.
    let vector = if read.words.is_empty() || !read.signs().is_empty() {
        None
    } else {
        let vector = space.embedder.query(read.words.clone())?.wait();
        Some(vector.map_err(EngineError::Lane)??)
    };
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

/// Cosine from which a unit is near a query.
const NEAR_UNIT: f32 = 0.5;

/// Units that are looked at.
const NEAR_UNITS: usize = 20;

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
    let (units, most) = (&query.units, NEAR_UNITS);
    store.near_units(snapshot, model, vector, units, NEAR_UNIT, most)
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

/// Reads, folds and joins candidates until there are `k` hits.
fn gather(
    snapshot: &Snapshot<'_>,
    read: &query::Query,
    found: &Candidates,
    fused: &[Fused],
    k: usize,
) -> Result<Vec<Ranked>, StoreError> {
    let editions: HashMap<ChunkId, &[Edition]> = found
        .judged
        .iter()
        .map(|(judged, editions)| (judged.chunk, editions.as_slice()))
        .collect();
    let mut gather = Gather::default();
    let mut hits = Hits::default();
    let mut waiting: Vec<(Fused, Row)> = Vec::new();
    for fused in fused {
        if gather.len() == k {
            break;
        }
        let chunk = fused.judged.chunk;
        let (first, others) = editions[&chunk]
            .split_first()
            .expect("a chunk stands somewhere");
        let Some(row) = snapshot.row(chunk, *first)? else {
            continue;
        };
        let stands = |phrase: &String| {
            holds_phrase(&row.text, phrase)
                || holds_phrase(&row.title, phrase)
                || row
                    .heading
                    .iter()
                    .any(|heading| holds_phrase(heading, phrase))
        };
        if !read.phrases.iter().all(stands) {
            continue;
        }
        match gather.place(&passage(&row), false) {
            Place::Waits => waiting.push((*fused, row)),
            place => {
                hits.put(place, *fused, row);
                if let Place::New(hit) = place {
                    for other in others.iter().take(SHOWN_COPIES) {
                        if let Some(row) = snapshot.row(chunk, *other)? {
                            hits.put(Place::Folds(hit), *fused, row);
                        }
                    }
                }
            }
        }
    }
    for (fused, row) in waiting {
        if gather.len() == k {
            break;
        }
        let place = gather.place(&passage(&row), true);
        hits.put(place, fused, row);
    }
    hits.finish(snapshot)
}

fn passage(row: &Row) -> Passage<'_> {
    Passage {
        document: row.document,
        ordinal: row.ordinal,
        page: row.page,
        text: &row.text,
    }
}

/// Hits in the making.
#[derive(Default)]
struct Hits(Vec<Making>);

struct Making {
    fused: Fused,
    /// The passages of the hit; the first is the one that ranks best.
    rows: Vec<Row>,
    folded: Vec<FoldedHit>,
}

impl Hits {
    fn put(&mut self, place: Place, fused: Fused, row: Row) {
        match place {
            Place::New(_) => self.new_hit(fused, row),
            Place::Joins(hit) => self.0[hit].rows.push(row),
            Place::Folds(hit) => self.0[hit].folded.push(FoldedHit {
                path: PathBuf::from(shown_name(&row.path.to_string_lossy())),
                lines: row.lines,
                chunk_id: row.chunk.to_string(),
            }),
            Place::Waits => {}
        }
    }

    fn new_hit(&mut self, fused: Fused, row: Row) {
        self.0.push(Making {
            fused,
            rows: vec![row],
            folded: Vec::new(),
        });
    }

    fn finish(self, snapshot: &Snapshot<'_>) -> Result<Vec<Ranked>, StoreError> {
        let mut links: HashMap<DocumentId, (Vec<String>, Vec<String>)> = HashMap::new();
        let mut ranked = Vec::with_capacity(self.0.len());
        for (index, making) in self.0.into_iter().enumerate() {
            let document = making.rows[0].document;
            let (back, out) = if let Some(known) = links.get(&document) {
                known.clone()
            } else {
                let found = snapshot.links_of(document)?;
                links.insert(document, found.clone());
                found
            };
            let mut finished = making.finish(index + 1);
            finished.hit.backlinks = back;
            finished.hit.links = out;
            ranked.push(finished);
        }
        Ok(ranked)
    }
}

impl Making {
    fn finish(mut self, rank: usize) -> Ranked {
        let best = self.rows[0].chunk;
        self.rows.sort_by_key(|row| row.ordinal);
        let (text, parts) = joined(&self.rows);
        let lines = {
            let first = self.rows.first().and_then(|row| row.lines);
            let last = self.rows.last().and_then(|row| row.lines);
            first.zip(last).map(|(first, last)| (first.0, last.1))
        };
        let several = self.rows.len() > 1;
        let chunks = self.rows.iter().map(|row| row.chunk.to_string());
        let joined = chunks.take(if several { usize::MAX } else { 0 }).collect();
        let headings: Vec<Option<String>> = self.rows.iter().map(heading_of).collect();
        // It is there for its best passage: that says where it stands.
        let best_at = self.rows.iter().position(|row| row.chunk == best);
        let heading = best_at.and_then(|at| headings[at].clone());
        let mut first = self.rows.swap_remove(0);
        let mut names = std::mem::take(&mut first.aliases);
        let stem = first.path.file_stem().unwrap_or_default();
        names.insert(0, stem.to_string_lossy().replace(['_', '.'], " "));
        let hit = Hit {
            rank,
            kind: HitKind::Chunk,
            // A candidate below the floor has less than nothing; what is shown begins at 0.
            score: self.fused.score.clamp(0.0, 1.0),
            path: PathBuf::from(shown_name(&first.path.to_string_lossy())),
            title: first.title,
            heading,
            lines,
            page: first.page,
            text,
            chunk_id: best.to_string(),
            unit_id: None,
            sources: Vec::new(),
            joined,
            folded: self.folded,
            links: Vec::new(),
            backlinks: Vec::new(),
            explain: None,
        };
        Ranked {
            readable: Readable::of(hit.text.clone(), &hit.path.to_string_lossy()),
            hit,
            fused: self.fused,
            parts,
            headings,
            names,
        }
    }
}

/// The headings above a passage, outermost first.
pub(super) fn heading_of(row: &Row) -> Option<String> {
    (!row.heading.is_empty()).then(|| row.heading.join(" > "))
}

/// Neighbouring passages as one text, with as many lines between them as in the file.
pub(super) fn joined(rows: &[Row]) -> (String, Vec<(Range<usize>, ChunkId)>) {
    let mut text = String::new();
    let mut parts = Vec::with_capacity(rows.len());
    let mut last: Option<&Row> = None;
    for row in rows {
        if let Some(last) = last {
            match last.lines.zip(row.lines) {
                Some(((_, end), (begin, _))) if begin > end => {
                    (end..begin).for_each(|_| text.push('\n'));
                }
                // Cut within a line, where there was a space or none was needed.
                Some(_) if text.ends_with(is_unspaced) => {}
                Some(_) => text.push(' '),
                None => text.push('\n'),
            }
        }
        let start = text.len();
        text.push_str(&row.text);
        parts.push((start..text.len(), row.chunk));
        last = Some(row);
    }
    (text, parts)
}

fn explain(ranked: &mut [Ranked], found: &Candidates) {
    let place = |lane: &[Candidate], chunk: ChunkId| {
        let place = lane.iter().position(|candidate| candidate.chunk == chunk);
        place.map(|index| index + 1)
    };
    for ranked in ranked {
        let judged = ranked.fused.judged;
        ranked.hit.explain = Some(Explanation {
            dense_rank: place(&found.dense, judged.chunk),
            lexical_rank: place(&found.lexical, judged.chunk),
            cosine: judged.cosine,
            words: judged.lexical,
            dense: ranked.fused.dense,
            lexical: ranked.fused.lexical,
            dense_weight: ranked.fused.weight,
        });
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::source::Kind;

    #[test]
    fn how_a_hit_and_a_query_came_about_is_told() {
        let how = Explanation {
            dense_rank: Some(2),
            lexical_rank: None,
            cosine: Some(0.5),
            words: Lexical::default(),
            dense: 1.0,
            lexical: 0.25,
            dense_weight: 0.75,
        };
        let expected = "score 0.813 = 0.75 x 1.000 (vectors: rank 2, cosine 0.500) + 0.25 x 0.250 \
                        (words: not proposed)";
        assert_eq!(how.told(0.8126)[0], expected);
        let anew = "score 0.250 of the reranker, before it 0.81";
        assert!(how.told(0.25)[0].starts_with(anew));
        let how = QueryExplanation {
            words: "night train".into(),
            phrases: vec!["night train".into()],
            prefixes: Vec::new(),
            without: vec!["boat".into(), "car".into()],
            filters: 1,
            steps: Steps::default(),
        };
        let told = how.told();
        assert_eq!(
            told[..4],
            [
                "read as: night train",
                "phrases: night train",
                "without: boat, car",
                "filters: 1"
            ]
        );
        assert!(told[4].starts_with("embedding 0.0 ms, words 0.0 ms, "));
    }

    fn row(ordinal: u32, heading: &str, text: &str) -> Row {
        Row {
            chunk: ChunkId::of(heading, text),
            document: DocumentId(1),
            source: SourceId(1),
            path: PathBuf::from("/notes/a.md"),
            kind: Kind::Markdown,
            title: "A".into(),
            aliases: vec!["B".into()],
            heading: vec!["A".into(), heading.into()],
            lines: Some((ordinal * 2 + 1, ordinal * 2 + 1)),
            page: None,
            ordinal,
            text: text.into(),
        }
    }

    #[test]
    fn a_joined_hit_is_labelled_by_its_best_passage_and_cited_by_each() {
        let (above, best) = (row(0, "Oven", "It is hot."), row(1, "Cellar", "It is dry."));
        let making = Making {
            fused: Fused::unjudged(best.chunk),
            rows: vec![best, above],
            folded: Vec::new(),
        };
        let ranked = making.finish(1);
        assert_eq!(ranked.hit.text, "It is hot.\n\nIt is dry.");
        assert_eq!(ranked.hit.heading.as_deref(), Some("A > Cellar"));
        assert_eq!(ranked.about(), "A > Cellar a B");
        assert_eq!(ranked.heading_at(3).as_deref(), Some("A > Oven"));
        assert_eq!(ranked.heading_at(15).as_deref(), Some("A > Cellar"));
    }
}
