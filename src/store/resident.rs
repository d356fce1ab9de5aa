//! What of the vector index is in memory: ids, and vectors or their codes.
//!
//! A small index is there whole: its codes are scanned, and the best are compared by their vectors.
//! Of a large one only the codes are kept, once somebody asked for them: they give the cosine of any
//! row without a look at the disk.

use std::collections::HashMap;

use lance_linalg::distance::dot::dot_f32;

use super::codes::{Code, Codes, OVERSAMPLING};
use crate::domain::chunk::ChunkId;
use crate::domain::rank::{Candidate, descending};

/// Rows that are worth a thread of their own.
const ROWS_PER_THREAD: usize = 10_000;

/// The rows in memory.
pub(super) struct Resident {
    dimensions: usize,
    ids: Vec<ChunkId>,
    place: HashMap<ChunkId, usize>,
    /// The vectors by place; none once there are more than `most` rows.
    vectors: Option<Vec<f32>>,
    /// The codes by place; none of a large index until they are asked for.
    codes: Option<Codes>,
    /// Rows whose vectors are kept at most.
    most: usize,
}

impl Resident {
    /// No rows yet, of an index that has `count`.
    pub(super) fn new(dimensions: usize, most: usize, count: usize) -> Self {
        let complete = count <= most;
        Self {
            dimensions,
            ids: Vec::with_capacity(count),
            place: HashMap::with_capacity(count),
            vectors: complete.then(|| Vec::with_capacity(count * dimensions)),
            codes: complete.then(|| Codes::new(dimensions)),
            most,
        }
    }

    /// Ids in order of their places.
    pub(super) fn ids(&self) -> &[ChunkId] {
        &self.ids
    }

    /// Is there such a row?
    pub(super) fn holds(&self, id: ChunkId) -> bool {
        self.place.contains_key(&id)
    }

    /// The vectors in order of their places; none of a large index.
    pub(super) fn vectors(&self) -> impl Iterator<Item = &[f32]> {
        let vectors = self.vectors.as_deref().unwrap_or_default();
        vectors.chunks_exact(self.dimensions)
    }

    /// Are all vectors here?
    pub(super) fn is_complete(&self) -> bool {
        self.vectors.is_some()
    }

    /// Does every row have a code?
    pub(super) fn is_coded(&self) -> bool {
        self.codes.as_ref().is_some_and(Codes::is_complete)
    }

    /// Takes note of a row whose vector stays on disk.
    pub(super) fn note(&mut self, id: ChunkId) {
        // A row that is there twice was left behind by a broken write.
        if !self.holds(id) {
            self.place.insert(id, self.ids.len());
            self.ids.push(id);
            if let Some(codes) = &mut self.codes {
                codes.push_unknown();
            }
        }
    }

    /// Adds a row, unless it is there.
    pub(super) fn add(&mut self, id: ChunkId, vector: &[f32]) {
        if self.holds(id) {
            return;
        }
        self.place.insert(id, self.ids.len());
        self.ids.push(id);
        if let Some(codes) = &mut self.codes {
            codes.push(&Code::of(vector));
        }
        match &mut self.vectors {
            Some(vectors) if self.ids.len() <= self.most => vectors.extend_from_slice(vector),
            vectors => *vectors = None,
        }
    }

    /// Removes rows; unknown ids are ignored.
    pub(super) fn remove(&mut self, ids: &[ChunkId]) {
        for id in ids {
            let Some(place) = self.place.remove(id) else {
                continue;
            };
            let last = self.ids.len() - 1;
            self.ids.swap_remove(place);
            if place < last {
                self.place.insert(self.ids[place], place);
            }
            if let Some(vectors) = &mut self.vectors {
                let (to, from) = (place * self.dimensions, last * self.dimensions);
                vectors.copy_within(from..from + self.dimensions, to);
                vectors.truncate(from);
            }
            if let Some(codes) = &mut self.codes {
                codes.swap_remove(place);
            }
        }
    }

    /// Makes room for the codes of a large index; false where there is some.
    pub(super) fn begin_codes(&mut self) -> bool {
        if self.codes.is_some() {
            return false;
        }
        self.codes = Some(Codes::unknown(self.dimensions, self.ids.len()));
        true
    }

    /// Takes the codes of some rows; those that have gone meanwhile are left out.
    pub(super) fn learn(&mut self, some: &[(ChunkId, Code)]) {
        let Some(codes) = &mut self.codes else { return };
        for (id, code) in some {
            if let Some(place) = self.place.get(id) {
                codes.set(*place, code);
            }
        }
    }

    /// The `limit` rows nearest to `query`, best first; none of a large index. All rows are
    /// compared by their codes, on all cores where there are many, and the best of them by their
    /// vectors.
    pub(super) fn nearest(&self, query: &[f32], limit: usize) -> Option<Vec<Candidate>> {
        let (vectors, codes) = (self.vectors.as_ref()?, self.codes.as_ref()?);
        let code = Code::of(query);
        let wide = limit * OVERSAMPLING;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let share = self.ids.len().div_ceil(cores).max(ROWS_PER_THREAD);
        let scan = |first: usize| {
            let end = (first + share).min(self.ids.len());
            let mut scored: Vec<(f32, usize)> = codes.products(&code, first, end).collect();
            if scored.len() > wide && wide > 0 {
                let order = |a: &(f32, usize), b: &(f32, usize)| {
                    descending(a.0, b.0).then(self.ids[a.1].cmp(&self.ids[b.1]))
                };
                scored.select_nth_unstable_by(wide - 1, order);
                scored.truncate(wide);
            }
            scored
        };
        let scan = &scan;
        let scored: Vec<(f32, usize)> = std::thread::scope(|scope| {
            let firsts = (0..self.ids.len()).step_by(share);
            let others = firsts.skip(1).map(|first| scope.spawn(move || scan(first)));
            let others: Vec<_> = others.collect();
            let mut scored = scan(0);
            for other in others {
                scored.extend(other.join().expect("a scan does not panic"));
            }
            scored
        });
        let exact = scored.into_iter().map(|(_, place)| {
            let start = place * self.dimensions;
            let vector = &vectors[start..start + self.dimensions];
            (self.ids[place], dot_f32(query, vector))
        });
        Some(best(exact.collect(), limit))
    }

    /// The cosines of some rows to `query`, and those rows that would have to be read for it. Rows
    /// that a whole index does not have are left out.
    pub(super) fn cosines(
        &self,
        query: &[f32],
        ids: &[ChunkId],
    ) -> (Vec<(ChunkId, f32)>, Vec<ChunkId>) {
        let (mut cosines, mut others) = (Vec::with_capacity(ids.len()), Vec::new());
        let code = Code::of(query);
        for id in ids {
            let Some(place) = self.place.get(id) else {
                continue;
            };
            let exact = self.vectors.as_ref().map(|vectors| {
                let start = place * self.dimensions;
                dot_f32(query, &vectors[start..start + self.dimensions])
            });
            let about = || self.codes.as_ref()?.product(&code, *place);
            match exact.or_else(about) {
                Some(cosine) => cosines.push((*id, cosine)),
                None => others.push(*id),
            }
        }
        (cosines, others)
    }
}

/// The `limit` best of them, best first; ties go to the smaller id.
pub(super) fn best(cosines: Vec<(ChunkId, f32)>, limit: usize) -> Vec<Candidate> {
    let candidates = cosines.into_iter();
    let mut candidates: Vec<Candidate> = candidates
        .map(|(chunk, score)| Candidate { chunk, score })
        .collect();
    let order =
        |a: &Candidate, b: &Candidate| descending(a.score, b.score).then(a.chunk.cmp(&b.chunk));
    if candidates.len() > limit && limit > 0 {
        candidates.select_nth_unstable_by(limit - 1, order);
    }
    candidates.truncate(limit);
    candidates.sort_by(order);
    candidates
}
