//! Sets of editions, and the filter of the lexical index that they make.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tantivy::index::SegmentId;
use tantivy::query::{
    BitSetDocSet, ConstScorer, EnableScoring, Explanation, Query, Scorer, Weight,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{BitSet, DocId, DocSet, SegmentReader, TERMINATED, Term};

use crate::domain::source::Edition;

/// Editions up to which a filter follows their postings instead of looking at every entry.
const FEW_EDITIONS: usize = 1000;

/// A set of editions: one bit each, because they are numbered one after the other and a filter
/// asks for every entry of an index.
#[derive(Debug, Default)]
pub(super) struct Editions {
    bits: Vec<u64>,
    len: usize,
}

impl Editions {
    /// Is it one of them?
    pub(super) fn contains(&self, edition: Edition) -> bool {
        let (word, bit) = place(edition);
        self.bits.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn iter(&self) -> impl Iterator<Item = Edition> {
        (0_i64..).zip(&self.bits).flat_map(|(word, bits)| {
            let set = (0..64).filter(move |bit| bits >> bit & 1 == 1);
            set.map(move |bit| Edition(word * 64 + bit))
        })
    }
}

impl FromIterator<Edition> for Editions {
    fn from_iter<I: IntoIterator<Item = Edition>>(editions: I) -> Self {
        let mut set = Self::default();
        for edition in editions {
            let (word, bit) = place(edition);
            if set.bits.len() <= word {
                set.bits.resize(word + 1, 0);
            }
            set.len += usize::from(set.bits[word] & bit == 0);
            set.bits[word] |= bit;
        }
        set
    }
}

/// The ledger numbers editions from 1.
fn place(edition: Edition) -> (usize, u64) {
    let number = usize::try_from(edition.0).unwrap_or(0);
    (number / 64, 1 << (number % 64))
}

/// Entries of some editions; worked out once for each segment, however often it is asked.
#[derive(Clone)]
pub(super) struct EditionFilter {
    editions: Arc<Editions>,
    field: Field,
    entries: Arc<Mutex<HashMap<SegmentId, BitSet>>>,
}

impl EditionFilter {
    /// A filter of entries whose `field` names one of the editions.
    pub(super) fn new(editions: Arc<Editions>, field: Field) -> Self {
        Self {
            editions,
            field,
            entries: Arc::default(),
        }
    }

    /// The entries of a segment that pass.
    pub(super) fn passing(&self, segment: &SegmentReader) -> tantivy::Result<BitSet> {
        let mut known = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entries) = known.get(&segment.segment_id()) {
            return Ok(entries.clone());
        }
        let entries = self.entries(segment)?;
        known.insert(segment.segment_id(), entries.clone());
        Ok(entries)
    }

    fn entries(&self, segment: &SegmentReader) -> tantivy::Result<BitSet> {
        let mut entries = BitSet::with_max_value(segment.max_doc());
        if self.editions.len() <= FEW_EDITIONS {
            let inverted = segment.inverted_index(self.field)?;
            for edition in self.editions.iter() {
                let term = Term::from_field_u64(self.field, edition.0.cast_unsigned());
                let found = inverted.read_postings(&term, IndexRecordOption::Basic)?;
                if let Some(mut postings) = found {
                    while postings.doc() != TERMINATED {
                        entries.insert(postings.doc());
                        postings.advance();
                    }
                }
            }
        } else {
            let column = segment.fast_fields().u64("edition")?;
            for entry in 0..segment.max_doc() {
                let edition = column.first(entry);
                if edition.is_some_and(|e| self.editions.contains(Edition(e.cast_signed()))) {
                    entries.insert(entry);
                }
            }
        }
        Ok(entries)
    }
}

impl std::fmt::Debug for EditionFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} editions", self.editions.len())
    }
}

impl Query for EditionFilter {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl Weight for EditionFilter {
    fn scorer(&self, segment: &SegmentReader, boost: f32) -> tantivy::Result<Box<dyn Scorer>> {
        let entries = BitSetDocSet::from(self.passing(segment)?);
        Ok(Box::new(ConstScorer::new(entries, boost)))
    }

    fn explain(&self, _: &SegmentReader, _: DocId) -> tantivy::Result<Explanation> {
        Ok(Explanation::new("edition", 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_into_it() {
        let set: Editions = [1, 63, 64, 200, 64].into_iter().map(Edition).collect();
        assert_eq!(set.len(), 4);
        let held: Vec<i64> = set.iter().map(|edition| edition.0).collect();
        assert_eq!(held, [1, 63, 64, 200]);
        assert!(set.contains(Edition(200)));
        for other in [0, 2, 65, 199, 201, 100_000] {
            assert!(!set.contains(Edition(other)), "{other}");
        }
    }
}
