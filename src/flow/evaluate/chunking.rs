//! Measuring how documents are cut: how much of what answers a question is in the first chunks.
//!
//! Sets with exact spans: each question names the characters that answer it. Larger chunks hold
//! more of them and cost more tokens; the curve over sizes says what a size buys.

use std::ops::Range;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::search::{self, Searcher};
use super::set::{Lines, SetDocument};
use crate::domain::measure::mean;
use crate::domain::rank::fuse;
use crate::error::{BadRequest, Failure};
use crate::store::StoreError;

/// Chunks looked at for each question.
const LOOKED_AT: usize = 5;

/// Characters of a document that answer a question.
#[derive(Clone, Debug, Deserialize)]
struct Span {
    start_index: usize,
    end_index: usize,
}

#[derive(Clone, Debug, Deserialize)]
struct SpanQuestion {
    text: String,
    corpus_id: String,
    spans: Vec<Span>,
}

/// Documents, and questions with the spans that answer them.
pub struct SpanSet {
    documents: Vec<SetDocument>,
    questions: Vec<SpanQuestion>,
}

/// What a size of chunks gives.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct CutRow {
    /// Tokens of a chunk at most.
    pub max_tokens: usize,
    /// Chunks of all documents.
    pub chunks: u64,
    /// Mean share of the spans' characters that are in the first five chunks.
    pub recall: f64,
    /// Share of the spans that are there whole.
    pub whole: f64,
    /// Mean share of what the five chunks hold that is in a span.
    pub precision: f64,
    /// Mean number of tokens of the five chunks.
    pub tokens: f64,
    /// Questions asked.
    pub questions: usize,
}

impl SpanSet {
    /// Reads a set from its folder.
    ///
    /// # Errors
    /// [`BadRequest`] that names the file and what is wrong with it.
    pub fn read(folder: &Path) -> Result<Self, BadRequest> {
        Ok(Self {
            documents: Lines::find(folder, "corpus")?.parsed()?,
            questions: Lines::find(folder, "queries")?.parsed()?,
        })
    }

    /// How many questions there are.
    pub fn questions(&self) -> usize {
        self.questions.len()
    }

    /// Writes document `n` as note `n`, as it is.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn write_notes(&self, folder: &Path) -> Result<(), StoreError> {
        let io = |source| StoreError::io(folder, source);
        std::fs::create_dir_all(folder).map_err(io)?;
        for (number, document) in self.documents.iter().enumerate() {
            let path = folder.join(format!("{number}.md"));
            if !path.exists() {
                std::fs::write(path, &document.text).map_err(io)?;
            }
        }
        Ok(())
    }
}

/// Asks all questions of a knowledge base of the set's notes, cut to `max_tokens`.
///
/// # Errors
/// What the store and the embedding model say.
pub fn measure(
    searcher: &Searcher<'_>,
    set: &SpanSet,
    max_tokens: usize,
    mut done: impl FnMut(usize),
) -> Result<CutRow, Failure> {
    let mut row = Sums::default();
    for (number, question) in set.questions.iter().enumerate() {
        let chunks = first_chunks(searcher, &question.text)?;
        let document = set
            .documents
            .iter()
            .position(|d| d.id == question.corpus_id);
        let text = document.map_or("", |index| set.documents[index].text.as_str());
        let offsets = Offsets::of(text);
        let spans = question.spans.iter();
        let spans: Vec<Range<usize>> = spans
            .map(|s| offsets.byte(s.start_index)..offsets.byte(s.end_index))
            .collect();
        let mut held: Vec<Range<usize>> = Vec::new();
        let mut bytes = 0;
        let mut tokens = 0;
        for (note, chunk) in &chunks {
            bytes += chunk.len();
            tokens += searcher.space.cutter.tokens()?.count(chunk);
            let at = text
                .find(chunk.as_str())
                .filter(|_| Some(*note) == document);
            held.extend(at.map(|at| at..at + chunk.len()));
        }
        row.add(&spans, &held, bytes, tokens);
        done(number + 1);
    }
    let counts = searcher.store.ledger().read(|snapshot| snapshot.counts())?;
    Ok(row.row(max_tokens, counts.chunks))
}

/// The best chunks, each with the number of the note that holds it.
fn first_chunks(searcher: &Searcher<'_>, question: &str) -> Result<Vec<(usize, String)>, Failure> {
    let found = search::candidates(searcher, question)?;
    let judged: Vec<_> = found.judged.iter().map(|(judged, _)| *judged).collect();
    let fused = fuse(&judged, &searcher.weights);
    let chunks = searcher.store.ledger().read(|snapshot| {
        let mut chunks = Vec::with_capacity(LOOKED_AT);
        for fused in fused.iter().take(LOOKED_AT) {
            for row in snapshot.passages_of(fused.judged.chunk, 1)? {
                let stem = row
                    .path
                    .file_stem()
                    .and_then(|stem| stem.to_str()?.parse().ok());
                chunks.extend(stem.map(|note| (note, row.text)));
            }
        }
        Ok(chunks)
    })?;
    Ok(chunks)
}

/// Byte offsets of characters: the sets count code points.
struct Offsets(Vec<usize>);

impl Offsets {
    fn of(text: &str) -> Self {
        let starts = text.char_indices().map(|(at, _)| at);
        Self(starts.chain([text.len()]).collect())
    }

    fn byte(&self, character: usize) -> usize {
        self.0[character.min(self.0.len() - 1)]
    }
}

#[derive(Default)]
struct Sums {
    recall: Vec<f64>,
    whole: Vec<f64>,
    precision: Vec<f64>,
    tokens: Vec<f64>,
}

impl Sums {
    #[expect(clippy::cast_precision_loss, reason = "lengths of passages are small")]
    fn add(&mut self, spans: &[Range<usize>], held: &[Range<usize>], bytes: usize, tokens: usize) {
        let common = |span: &Range<usize>| -> usize {
            let shared = held
                .iter()
                .map(|h| span.end.min(h.end).saturating_sub(span.start.max(h.start)));
            shared.sum::<usize>().min(span.len())
        };
        let inside: usize = spans.iter().map(common).sum();
        let wanted: usize = spans.iter().map(Range::len).sum();
        self.recall.push(inside as f64 / wanted.max(1) as f64);
        self.precision.push(inside as f64 / bytes.max(1) as f64);
        self.tokens.push(tokens as f64);
        for span in spans {
            self.whole
                .push(if common(span) == span.len() { 1.0 } else { 0.0 });
        }
    }

    fn row(&self, max_tokens: usize, chunks: u64) -> CutRow {
        let rounded = |values: &[f64]| (mean(values) * 1e4).round() / 1e4;
        CutRow {
            max_tokens,
            chunks,
            recall: rounded(&self.recall),
            whole: rounded(&self.whole),
            precision: rounded(&self.precision),
            tokens: mean(&self.tokens).round(),
            questions: self.recall.len(),
        }
    }
}
