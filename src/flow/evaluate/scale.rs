//! Scale: what a search costs and finds among ten thousand, a hundred thousand, a million chunks.
//!
//! Real passages with their vectors first, as far as the evaluation sets reach; then synthetic
//! ones: the text of two real passages spliced, their vectors mixed with some noise, so that words
//! are as frequent and vectors as clustered as real ones are. They go through the store's own write
//! path. Real questions are asked.

use std::collections::HashSet;
use std::time::Instant;

use schemars::JsonSchema;
use serde::Serialize;

use super::super::search::{self, Query, Searcher, Steps, millis};
use crate::domain::chunk::{ChunkId, Passage};
use crate::domain::measure::quantile;
use crate::domain::rank::{descending, dot};
use crate::domain::source::{Kind, Meta};
use crate::engine::{EngineError, resident_bytes};
use crate::error::{BadRequest, Failure};
use crate::store::documents::{FileStat, Ingested};
use crate::store::nearest::VectorIndexKind;
use crate::store::sources::Source;
use crate::store::{Change, Indexes, Store, StoreError};

/// Passages of a synthetic document.
const PER_DOCUMENT: usize = 8;

/// Chunks that are written at once.
const BATCH: usize = 4096;

/// How near to its parents a synthetic vector is.
const FIRST_SHARE: f32 = 0.75;
const SECOND_SHARE: f32 = 0.25;
const NOISE: f32 = 0.02;

/// A passage with its vector.
pub struct Sample {
    text: String,
    vector: Vec<f32>,
}

/// What was measured at one size.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Size {
    /// Chunks.
    pub chunks: usize,
    /// Of these, real ones.
    pub real: usize,
    /// How vectors are searched: `exact`, or the kind of index.
    pub index: String,
    /// Seconds to build the vector index; none for exact search, or where it was there.
    pub build_s: Option<f64>,
    /// Bytes on disk: ledger, vectors, terms.
    pub disk_bytes: (u64, u64, u64),
    /// Memory of the process, bytes; with the embedding model.
    pub memory_bytes: u64,
    /// Milliseconds of a warm search, embedding included: median and 99th percentile.
    pub search_ms: (f64, f64),
    /// The same with a filter that half of the documents fit.
    pub half_ms: (f64, f64),
    /// The same with a filter that one document of a hundred fits.
    pub percent_ms: (f64, f64),
    /// Median milliseconds of each step, without a filter.
    pub steps: Steps,
    /// Share of the ten nearest chunks, found by comparing all, that the vector lane finds.
    pub recall_at_10: f64,
}

/// Reads the passages of a knowledge base with their vectors.
///
/// # Errors
/// What the store says.
pub fn samples(store: &Store, indexes: &Indexes) -> Result<Vec<Sample>, StoreError> {
    let mut vectors: Vec<(ChunkId, Vec<f32>)> = Vec::new();
    indexes.each_vector(|id, vector| vectors.push((id, vector.to_vec())))?;
    vectors.sort_by_key(|(id, _)| *id);
    store.ledger().read(|snapshot| {
        let mut samples = Vec::with_capacity(vectors.len());
        for (id, vector) in vectors {
            if let Some((_, text)) = snapshot.chunk_text(id)? {
                samples.push(Sample { text, vector });
            }
        }
        Ok(samples)
    })
}

/// Fills a knowledge base with `chunks` chunks, unless it has them.
///
/// # Errors
/// [`BadRequest`] without samples; what the store says.
pub fn fill(
    parts: &Searcher<'_>,
    source: &Source,
    samples: &[Sample],
    chunks: usize,
    mut done: impl FnMut(usize),
) -> Result<(), Failure> {
    if samples.len() < 2 {
        return Err(BadRequest::new(
            "no_samples",
            "there are no real passages to begin with",
            "run `coho eval run retrieval` first: its knowledge bases are where they come from",
        )
        .into());
    }
    let counts = parts.store.ledger().read(|snapshot| snapshot.counts())?;
    let mut written = usize::try_from(counts.chunks).unwrap_or(usize::MAX);
    while written < chunks {
        let end = (written + BATCH).min(chunks);
        let mut change = Change::default();
        for first in (written..end).step_by(PER_DOCUMENT) {
            let numbers = first..(first + PER_DOCUMENT).min(end);
            let made: Vec<Sample> = numbers.map(|number| sample(samples, number)).collect();
            change.documents.push(document(source, first, &made));
            let passages = &change.documents[change.documents.len() - 1].passages;
            let ids: Vec<ChunkId> = passages.iter().map(|passage| passage.id).collect();
            let vectors = made.into_iter().map(|sample| sample.vector);
            change.vectors.extend(ids.into_iter().zip(vectors));
        }
        parts.store.commit(&parts.space.indexes, &change, 0)?;
        written = end;
        done(written);
    }
    Ok(())
}

/// Chunk `number`: a real one while there are some.
fn sample(samples: &[Sample], number: usize) -> Sample {
    if let Some(real) = samples.get(number) {
        return Sample {
            // Passages that two sets share are one chunk; here each counts.
            text: format!("{} r{number}", real.text),
            vector: real.vector.clone(),
        };
    }
    let mut dice = Dice(number as u64 ^ 0x9E37_79B9_7F4A_7C15);
    let mut pick = || &samples[dice.below(samples.len())];
    let (first, second) = (pick(), pick());
    let half = |text: &str, front: bool| {
        let middle = text.len() / 2;
        let middle = (middle..=text.len()).find(|at| text.is_char_boundary(*at));
        let (front_half, back_half) = text.split_at(middle.unwrap_or(text.len()));
        if front {
            front_half.to_owned()
        } else {
            back_half.to_owned()
        }
    };
    let text = format!(
        "{} {} s{number}",
        half(&first.text, true),
        half(&second.text, false)
    );
    let mixed = first.vector.iter().zip(&second.vector);
    let mut vector: Vec<f32> = mixed
        .map(|(a, b)| FIRST_SHARE * a + SECOND_SHARE * b + NOISE * dice.bell())
        .collect();
    let length = vector
        .iter()
        .map(|x| x * x)
        .sum::<f32>()
        .sqrt()
        .max(f32::EPSILON);
    vector.iter_mut().for_each(|x| *x /= length);
    Sample { text, vector }
}

fn document(source: &Source, first: usize, made: &[Sample]) -> Ingested {
    let number = first / PER_DOCUMENT;
    let passage = |(line, sample): (u32, &Sample)| Passage {
        id: ChunkId::of("", &sample.text),
        heading: Vec::new(),
        span: 0..0,
        text: sample.text.clone(),
        lines: (line + 1, line + 1),
        page: None,
        tokens: 0,
    };
    Ingested {
        source: source.id,
        path: format!("d{:02}/n{number}.md", number % 100),
        stat: FileStat {
            size: 0,
            mtime_ns: 0,
            inode: 0,
            ctime_ns: 0,
        },
        hash: *blake3::hash(&number.to_le_bytes()).as_bytes(),
        kind: if number.is_multiple_of(2) {
            Kind::Markdown
        } else {
            Kind::Text
        },
        meta: Meta::default(),
        recipe: String::new(),
        language: None,
        passages: (0..).zip(made).map(passage).collect(),
    }
}

/// Measures searches of a knowledge base that was filled.
///
/// # Errors
/// What the store and the embedding model say.
pub fn measure(
    parts: &Searcher<'_>,
    questions: &[String],
    real: usize,
    exact_rows: usize,
    kind: VectorIndexKind,
    rebuild: bool,
) -> Result<Size, Failure> {
    let counts = parts.store.ledger().read(|snapshot| snapshot.counts())?;
    let chunks = usize::try_from(counts.chunks).unwrap_or(usize::MAX);
    let exact = chunks <= exact_rows;
    let build_s = (!exact && rebuild).then(|| {
        let started = Instant::now();
        parts.space.indexes.build_index(kind);
        rounded(started.elapsed().as_secs_f64())
    });
    parts.space.indexes.warm();
    parts.space.indexes.settle();
    let (vectors, terms) = parts.space.indexes.disk_bytes();
    let (ledger, _, _) = parts.store.disk_bytes();
    let timed = |suffix: &str| time(parts, questions, suffix);
    // Once unmeasured: caches fill.
    timed("")?;
    let (search_ms, steps) = timed("")?;
    Ok(Size {
        chunks,
        real: real.min(chunks),
        index: if exact {
            "exact".into()
        } else {
            format!("{kind:?}")
        },
        build_s,
        disk_bytes: (ledger, vectors, terms),
        search_ms,
        half_ms: timed(" type:markdown")?.0,
        percent_ms: timed(" path:d07/")?.0,
        steps,
        recall_at_10: recall(parts, questions)?,
        memory_bytes: resident_bytes(),
    })
}

fn time(
    parts: &Searcher<'_>,
    questions: &[String],
    filter: &str,
) -> Result<((f64, f64), Steps), Failure> {
    let mut took = Vec::with_capacity(questions.len());
    let mut steps: Vec<Steps> = Vec::with_capacity(questions.len());
    for question in questions {
        let query = Query {
            literal: filter.is_empty(),
            ..Query::words(format!("{question}{filter}"), 10)
        };
        let started = Instant::now();
        let ranking = search::rank(parts, &query)?;
        took.push(millis(started));
        steps.push(ranking.steps);
    }
    let median = |of: fn(&Steps) -> f64| {
        let values: Vec<f64> = steps.iter().map(of).collect();
        rounded(quantile(&values, 0.5))
    };
    let steps = Steps {
        embed_ms: median(|s| s.embed_ms),
        lexical_ms: median(|s| s.lexical_ms),
        dense_ms: median(|s| s.dense_ms),
        judge_ms: median(|s| s.judge_ms),
        rerank_ms: 0.0,
        gather_ms: median(|s| s.gather_ms),
    };
    let at = |share| rounded(quantile(&took, share));
    Ok(((at(0.5), at(0.99)), steps))
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn recall(parts: &Searcher<'_>, questions: &[String]) -> Result<f64, Failure> {
    let mut vectors = Vec::with_capacity(questions.len());
    for question in questions {
        let vector = parts.space.embedder.query(question.clone())?.wait();
        vectors.push(vector.map_err(EngineError::Lane)??);
    }
    // All cosines would not fit: the ten best of each question are kept.
    let mut best: Vec<Vec<(f32, ChunkId)>> = vec![Vec::new(); vectors.len()];
    parts.space.indexes.each_vector(|id, row| {
        for (vector, best) in vectors.iter().zip(&mut best) {
            let cosine = dot(vector, row);
            if best.len() < 10 || cosine > best[9].0 {
                best.push((cosine, id));
                best.sort_by(|a, b| descending(a.0, b.0));
                best.truncate(10);
            }
        }
    })?;
    let (mut found, mut wanted) = (0_u32, 0_u32);
    for (vector, best) in vectors.iter().zip(&best) {
        // As many as a search asks for: the ten best must be among the first ten of them.
        let nearest = parts.space.indexes.nearest(vector, 200)?;
        let nearest: HashSet<ChunkId> = nearest.iter().take(10).map(|c| c.chunk).collect();
        wanted += 10;
        for (_, id) in best {
            found += u32::from(nearest.contains(id));
        }
    }
    Ok(f64::from(found) / f64::from(wanted.max(1)))
}

/// Reproducible numbers: splitmix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap_or(0)
    }

    /// About a normal deviate: twelve uniform ones.
    fn bell(&mut self) -> f32 {
        let uniform = |bits: u64| f32::from(u16::try_from(bits & 0xFFFF).unwrap_or(0)) / 65_536.0;
        (0..12).map(|_| uniform(self.next())).sum::<f32>() - 6.0
    }
}
