//! What words are worth, counted over everything or over a part.
//!
//! Whoever may see a part of the notes is ranked by that part alone: the frequency of a word in
//! the rest would tell of the rest.

use std::cell::RefCell;
use std::collections::HashMap;

use tantivy::collector::Count;
use tantivy::query::{
    Bm25StatisticsProvider, BooleanQuery, EnableScoring, Occur, Query, TermQuery,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{BitSet, Searcher, SegmentReader, TERMINATED, Term};

use super::editions::EditionFilter;

/// Counts of an index, or of the entries that a filter lets pass.
pub(super) struct Statistics<'a> {
    searcher: &'a Searcher,
    part: Option<&'a EditionFilter>,
    tokens: RefCell<HashMap<Field, u64>>,
}

impl<'a> Statistics<'a> {
    pub(super) fn of(searcher: &'a Searcher, part: Option<&'a EditionFilter>) -> Self {
        Self {
            searcher,
            part,
            tokens: RefCell::default(),
        }
    }

    /// The entries of a segment that count; `None` where all do.
    pub(super) fn counted(&self, segment: &SegmentReader) -> tantivy::Result<Option<BitSet>> {
        self.part.map(|part| part.passing(segment)).transpose()
    }

    fn count_tokens(&self, part: &EditionFilter, field: Field) -> tantivy::Result<u64> {
        let weight = part.weight(EnableScoring::disabled_from_searcher(self.searcher))?;
        let mut total = 0;
        for segment in self.searcher.segment_readers() {
            let lengths = segment.get_fieldnorms_reader(field)?;
            let mut entries = weight.scorer(segment, 1.0)?;
            while entries.doc() != TERMINATED {
                total += u64::from(lengths.fieldnorm(entries.doc()));
                entries.advance();
            }
        }
        Ok(total)
    }
}

impl Bm25StatisticsProvider for Statistics<'_> {
    fn total_num_tokens(&self, field: Field) -> tantivy::Result<u64> {
        let Some(part) = self.part else {
            return self.searcher.total_num_tokens(field);
        };
        if let Some(known) = self.tokens.borrow().get(&field) {
            return Ok(*known);
        }
        let total = self.count_tokens(part, field)?;
        self.tokens.borrow_mut().insert(field, total);
        Ok(total)
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        match self.part {
            // BM25 divides by it.
            Some(part) => Ok((self.searcher.search(part, &Count)? as u64).max(1)),
            None => self.searcher.total_num_docs(),
        }
    }

    fn doc_freq(&self, term: &Term) -> tantivy::Result<u64> {
        let Some(part) = self.part else {
            return self.searcher.doc_freq(term);
        };
        let holds = TermQuery::new(term.clone(), IndexRecordOption::Basic);
        let both: [(Occur, Box<dyn Query>); 2] = [
            (Occur::Must, Box::new(part.clone())),
            (Occur::Must, Box::new(holds)),
        ];
        let both = BooleanQuery::new(both.into());
        Ok(self.searcher.search(&both, &Count)? as u64)
    }
}
