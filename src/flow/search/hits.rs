//! Hits made of candidates: their passages read, folded where they say the same, joined where they are
//! neighbours, and each hit with what stands around its sentences.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;

use super::found::{Explanation, FoldedHit, Hit, HitKind};
use crate::domain::chunk::ChunkId;
use crate::domain::gather::{Gather, Passage, Place};
use crate::domain::query;
use crate::domain::rank::{Candidate, Fused};
use crate::domain::source::{DocumentId, Edition, shown_name};
use crate::domain::surroundings::Surroundings;
use crate::domain::text::{Readable, Text};
use crate::domain::words::{holds_phrase, is_unspaced};
use crate::store::StoreError;
use crate::store::candidates::Candidates;
use crate::store::ledger::Snapshot;
use crate::store::passages::Row;

/// Other documents that hold the same passage, shown at most.
const SHOWN_COPIES: usize = 5;

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

/// Reads, folds and joins candidates until there are `k` hits.
pub(super) fn gather(
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
pub(super) struct Hits(Vec<Making>);

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

    pub(super) fn new_hit(&mut self, fused: Fused, row: Row) {
        self.0.push(Making {
            fused,
            rows: vec![row],
            folded: Vec::new(),
        });
    }

    pub(super) fn finish(self, snapshot: &Snapshot<'_>) -> Result<Vec<Ranked>, StoreError> {
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
pub(in crate::flow) fn heading_of(row: &Row) -> Option<String> {
    (!row.heading.is_empty()).then(|| row.heading.join(" > "))
}

/// Neighbouring passages as one text, with as many lines between them as in the file.
pub(in crate::flow) fn joined(rows: &[Row]) -> (String, Vec<(Range<usize>, ChunkId)>) {
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

pub(super) fn explain(ranked: &mut [Ranked], found: &Candidates) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::source::{Kind, SourceId};

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
