//! The lexical index: tantivy, one entry per passage of each visible document.
//!
//! Derived data. Entries carry the edition under which they were written; the ledger names the
//! visible editions, so old and new entries of a document may lie side by side.
//!
//! tantivy keeps the postings and proposes candidates by its own BM25; what a candidate is worth
//! is decided from its postings by [`crate::domain::rank::judge`]. Texts come to tantivy as words
//! that are stemmed already, because a text's language decides about its stems. Here the index is
//! written and searched; what a query asks of it is worked out in [`asked`].

pub(super) mod asked;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tantivy::collector::{DocSetCollector, TopDocs};
use tantivy::postings::Postings;
use tantivy::query::{BooleanQuery, BoostQuery, Occur, Query, TermQuery};
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{Token, TokenStream, Tokenizer};
use tantivy::{
    DocAddress, DocSet, Index, IndexReader, IndexWriter, ReloadPolicy, Searcher, SegmentReader,
    TERMINATED, TantivyDocument, Term,
};

use self::asked::Asked;
use super::StoreError;
use super::passages::TermsDocument;
use super::statistics::Statistics;
use crate::domain::chunk::ChunkId;
use crate::domain::language::Language;
use crate::domain::rank::Occurrences;
use crate::domain::source::Edition;
use crate::domain::words::{Stems, words};

type Result<T> = std::result::Result<T, StoreError>;

/// Memory of the writer before it flushes a segment.
const WRITER_BYTES: usize = 32 << 20;

const TOKENIZER: &str = "stems";

/// How much a word counts in title and headings, and in tags, aliases and path, when candidates are
/// proposed; in the text it counts 1.
const HEAD_BOOST: f32 = 0.5;
const LABELS_BOOST: f32 = 0.3;

/// Share of the rarest word's worth below which a word proposes no candidates; it is judged all
/// the same. Postings of words that stand everywhere are most of what a search reads.
const PROPOSING_SHARE: f32 = 0.15;

#[derive(Clone, Copy)]
struct Fields {
    text: Field,
    head: Field,
    labels: Field,
    language: Field,
    edition: Field,
    id_high: Field,
    id_low: Field,
}

/// A candidate of the lexical lane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hit {
    /// The chunk.
    pub chunk: ChunkId,
    /// The edition of the document in which it was found.
    pub edition: Edition,
    /// Where it is in the index.
    pub address: DocAddress,
    /// BM25 over all fields, as tantivy counts it.
    pub score: f32,
}

/// Merges that may get in the way of one, one after the other.
const OTHER_MERGES: usize = 8;

/// The lexical index.
pub(super) struct Lexical {
    folder: PathBuf,
    index: Index,
    reader: IndexReader,
    writer: Option<Mutex<IndexWriter>>,
    fields: Fields,
}

impl Lexical {
    /// Opens the index in `folder`, or creates it; `write` also opens the one writer.
    ///
    /// # Errors
    /// [`StoreError::Lexical`] when tantivy cannot read the folder or another process writes it.
    pub(super) fn open(folder: &Path, write: bool) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|source| StoreError::io(folder, source))?;
        guarded(folder, || {
            let (schema, fields) = schema();
            let directory = tantivy::directory::MmapDirectory::open(folder)?;
            let index = Index::open_or_create(directory, schema)?;
            index.tokenizers().register(TOKENIZER, Stemmed::default());
            let reader = index
                .reader_builder()
                .reload_policy(ReloadPolicy::Manual)
                .try_into()?;
            let writer = write
                .then(|| index.writer_with_num_threads(1, WRITER_BYTES))
                .transpose()?
                .map(Mutex::new);
            Ok(Self {
                folder: folder.to_owned(),
                index,
                reader,
                writer,
                fields,
            })
        })
    }

    /// Adds the entries of documents and removes those of `gone` editions, durably.
    ///
    /// # Errors
    /// [`StoreError::Lexical`]; [`StoreError::ReadOnly`] without a writer.
    pub(super) fn update(&self, documents: &[TermsDocument], gone: &[Edition]) -> Result<()> {
        if documents.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let writer = self.writer.as_ref().ok_or(StoreError::ReadOnly)?;
        let mut writer = writer
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut stems: HashMap<Option<Language>, Stems> = HashMap::new();
        let outcome = (|| {
            for edition in gone {
                writer.delete_term(self.edition_term(*edition));
            }
            for document in documents {
                // A broken run may have left entries of this edition.
                writer.delete_term(self.edition_term(document.edition));
                let stems = stems.entry(document.language).or_insert_with(|| {
                    Stems::of(Some(document.language.unwrap_or(Language::ENGLISH)))
                });
                for row in &document.rows {
                    writer.add_document(self.entry(document, row, stems))?;
                }
            }
            writer.commit()?;
            self.reader.reload()
        })();
        outcome.map_err(|source| StoreError::lexical(&self.folder, source))
    }

    /// Writes segments anew that hold removed entries: those are only marked as such, and their words
    /// could be read out of the files. Where a merge that was under way ends first, what came of that is
    /// written anew.
    pub(super) fn drop_removed(&self) -> Result<()> {
        let writer = self.writer.as_ref().ok_or(StoreError::ReadOnly)?;
        let mut writer = writer
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let outcome = (|| {
            let mut merged = Ok(());
            for _ in 0..OTHER_MERGES {
                let segments = writer.index().searchable_segment_metas()?.into_iter();
                let marked = segments.filter(|segment| segment.num_deleted_docs() > 0);
                merged = marked
                    .map(|segment| writer.merge(&[segment.id()]).wait().map(drop))
                    .fold(Ok(()), tantivy::Result::and);
                if merged.is_ok() {
                    break;
                }
            }
            merged?;
            self.reader.reload()?;
            writer.garbage_collect_files().wait().map(drop)
        })();
        outcome.map_err(|source| StoreError::lexical(&self.folder, source))
    }

    /// Is this the one that writes?
    pub(super) fn is_writer(&self) -> bool {
        self.writer.is_some()
    }

    /// Looks at what another process has written since.
    ///
    /// # Errors
    /// [`StoreError::Lexical`].
    pub(super) fn reload(&self) -> Result<()> {
        let outcome = self.reader.reload();
        outcome.map_err(|source| StoreError::lexical(&self.folder, source))
    }

    /// How many entries each edition has, deleted ones left out.
    ///
    /// # Errors
    /// [`StoreError::Lexical`].
    pub(super) fn sizes(&self) -> Result<HashMap<Edition, u64>> {
        guarded(&self.folder, || {
            let mut sizes = HashMap::new();
            for segment in self.reader.searcher().segment_readers() {
                let editions = segment.fast_fields().u64("edition")?;
                for document in segment.doc_ids_alive() {
                    if let Some(edition) = editions.first(document) {
                        *sizes.entry(Edition(edition.cast_signed())).or_default() += 1;
                    }
                }
            }
            Ok(sizes)
        })
    }

    /// Is there nothing in it?
    pub(super) fn is_empty(&self) -> bool {
        self.reader.searcher().num_docs() == 0
    }

    /// Files of the index whose checksum does not match.
    ///
    /// # Errors
    /// [`StoreError::Lexical`].
    pub(super) fn damaged_files(&self) -> Result<Vec<PathBuf>> {
        let found = guarded(&self.folder, || self.index.validate_checksum())?;
        Ok(found.into_iter().collect())
    }

    /// Removes the files of segments that are no longer used, which the next commit would do. For
    /// quiet moments.
    pub(super) fn rest(&self) {
        if let Some(writer) = &self.writer {
            let writer = writer
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Ok(removal) = writer.garbage_collect_files().wait() {
                tracing::debug!(files = removal.deleted_files.len(), "removed old segments");
            }
        }
    }

    /// The `limit` entries that fit the words best, best first.
    ///
    /// # Errors
    /// [`StoreError::Lexical`].
    pub(super) fn search(&self, asked: &Asked, limit: usize) -> Result<Vec<Hit>> {
        if !asked.has_words() || limit == 0 {
            return Ok(Vec::new());
        }
        let query = self.query_of(asked);
        guarded(&self.folder, || {
            let collector = TopDocs::with_limit(limit).order_by_score();
            let statistics = Statistics::of(&asked.searcher, asked.part.as_ref());
            let top =
                asked
                    .searcher
                    .search_with_statistics_provider(&query, &collector, &statistics)?;
            let mut columns = Columns::default();
            let hit = |(score, address)| columns.hit(&asked.searcher, address, score);
            top.into_iter().map(hit).collect()
        })
    }

    /// Every entry that fits what narrows the query.
    ///
    /// # Errors
    /// [`StoreError::Lexical`].
    pub(super) fn narrowed(&self, asked: &Asked) -> Result<Vec<Hit>> {
        let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        clauses.extend(asked.must.iter().map(|(o, q)| (*o, q.box_clone())));
        if clauses.iter().all(|(occur, _)| *occur == Occur::MustNot) {
            clauses.push((Occur::Must, Box::new(tantivy::query::AllQuery)));
        }
        self.all(asked, &BooleanQuery::new(clauses))
    }

    fn all(&self, asked: &Asked, query: &BooleanQuery) -> Result<Vec<Hit>> {
        guarded(&self.folder, || {
            let found = asked.searcher.search(query, &DocSetCollector)?;
            let mut found: Vec<DocAddress> = found.into_iter().collect();
            found.sort_unstable();
            let mut columns = Columns::default();
            let hit = |address| columns.hit(&asked.searcher, address, 0.0);
            found.into_iter().map(hit).collect()
        })
    }

    /// Every entry that holds one of the words left out.
    ///
    /// # Errors
    /// [`StoreError::Lexical`].
    pub(super) fn left_out(&self, asked: &Asked) -> Result<Vec<Hit>> {
        let without = asked.must.iter();
        let without = without.filter(|(occur, _)| *occur == Occur::MustNot);
        let any: Vec<(Occur, Box<dyn Query>)> = without
            .map(|(_, query)| (Occur::Should, query.box_clone()))
            .collect();
        if any.is_empty() {
            return Ok(Vec::new());
        }
        self.all(asked, &BooleanQuery::new(any))
    }

    /// The entries of chunks; several of one that stands in several documents.
    ///
    /// # Errors
    /// [`StoreError::Lexical`].
    pub(super) fn entries_of(&self, asked: &Asked, chunks: &[ChunkId]) -> Result<Vec<Hit>> {
        let mut keys: Vec<(u64, ChunkId)> = chunks.iter().map(|c| (halves(*c).0, *c)).collect();
        keys.sort_unstable();
        guarded(&self.folder, || {
            let mut hits = Vec::with_capacity(chunks.len());
            let mut columns = Columns::default();
            for (ordinal, segment) in (0_u32..).zip(asked.searcher.segment_readers()) {
                let inverted = segment.inverted_index(self.fields.id_high)?;
                let alive = segment.alive_bitset();
                for (high, chunk) in &keys {
                    let term = Term::from_field_u64(self.fields.id_high, *high);
                    let Some(known) = inverted.get_term_info(&term)? else {
                        continue;
                    };
                    let option = IndexRecordOption::Basic;
                    let mut found = inverted.read_postings_from_terminfo(&known, option)?;
                    while found.doc() != TERMINATED {
                        if alive.is_none_or(|alive| alive.is_alive(found.doc())) {
                            let address = DocAddress::new(ordinal, found.doc());
                            let hit = columns.hit(&asked.searcher, address, 0.0)?;
                            // Half of an id may be that of another chunk.
                            hits.extend((hit.chunk == *chunk).then_some(hit));
                        }
                        found.advance();
                    }
                }
            }
            Ok(hits)
        })
    }

    /// Where the words of a query occur in these entries, in the order in which they are given.
    ///
    /// # Errors
    /// [`StoreError::Lexical`].
    pub(super) fn occurrences(
        &self,
        asked: &Asked,
        entries: &[DocAddress],
    ) -> Result<Vec<Occurrences>> {
        let groups = asked.groups.iter().map(|group| group.stems.as_slice());
        self.occurrences_of(asked, &groups.collect::<Vec<_>>(), entries)
    }

    /// The same of the stems that only may stand for what the query wants.
    ///
    /// # Errors
    /// [`StoreError::Lexical`].
    pub(super) fn doubtful_occurrences(
        &self,
        asked: &Asked,
        entries: &[DocAddress],
    ) -> Result<Vec<Occurrences>> {
        let groups = asked.groups.iter().map(|group| group.doubtful.as_slice());
        self.occurrences_of(asked, &groups.collect::<Vec<_>>(), entries)
    }

    fn occurrences_of(
        &self,
        asked: &Asked,
        groups: &[&[String]],
        entries: &[DocAddress],
    ) -> Result<Vec<Occurrences>> {
        let mut order: Vec<usize> = (0..entries.len()).collect();
        order.sort_unstable_by_key(|index| entries[*index]);
        let blank = Occurrences {
            text: vec![Vec::new(); groups.len()],
            head: vec![0; groups.len()],
            labels: vec![0; groups.len()],
            lengths: [0; 3],
        };
        let mut found = vec![blank; entries.len()];
        for some in order.chunk_by(|a, b| entries[*a].segment_ord == entries[*b].segment_ord) {
            let segment = asked.searcher.segment_reader(entries[some[0]].segment_ord);
            guarded(&self.folder, || {
                self.occurrences_in(segment, groups, entries, some, &mut found)
            })?;
        }
        Ok(found)
    }

    fn occurrences_in(
        &self,
        segment: &SegmentReader,
        groups: &[&[String]],
        entries: &[DocAddress],
        some: &[usize],
        found: &mut [Occurrences],
    ) -> tantivy::Result<()> {
        let fields = [self.fields.text, self.fields.head, self.fields.labels];
        for (place, field) in fields.into_iter().enumerate() {
            let lengths = segment.get_fieldnorms_reader(field)?;
            for index in some {
                found[*index].lengths[place] = lengths.fieldnorm(entries[*index].doc_id);
            }
            let inverted = segment.inverted_index(field)?;
            let option = if place == 0 {
                IndexRecordOption::WithFreqsAndPositions
            } else {
                IndexRecordOption::WithFreqs
            };
            for (number, group) in groups.iter().enumerate() {
                for stem in *group {
                    let term = Term::from_field_text(field, stem);
                    let Some(mut postings) = inverted.read_postings(&term, option)? else {
                        continue;
                    };
                    for index in some {
                        let entry = entries[*index].doc_id;
                        if postings.doc() < entry {
                            postings.seek(entry);
                        }
                        if postings.doc() != entry {
                            continue;
                        }
                        let found = &mut found[*index];
                        match place {
                            0 => note_places(&mut postings, &mut found.text[number]),
                            1 => found.head[number] += postings.term_freq(),
                            _ => found.labels[number] += postings.term_freq(),
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn query_of(&self, asked: &Asked) -> BooleanQuery {
        let fields = [
            (self.fields.text, 1.0),
            (self.fields.head, HEAD_BOOST),
            (self.fields.labels, LABELS_BOOST),
        ];
        let mut any: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        let worths = &asked.terms.weights;
        let least = worths.iter().fold(0.0_f32, |most, worth| most.max(*worth)) * PROPOSING_SHARE;
        let groups = asked.groups.iter().zip(worths);
        let groups = groups.filter(|(_, worth)| **worth >= least);
        for stem in groups.flat_map(|(group, _)| group.stems.iter().chain(&group.doubtful)) {
            for (field, boost) in fields {
                let term = Term::from_field_text(field, stem);
                let query = TermQuery::new(term, IndexRecordOption::WithFreqs);
                let query = BoostQuery::new(Box::new(query), boost);
                any.push((Occur::Should, Box::new(query)));
            }
        }
        if asked.must.is_empty() {
            return BooleanQuery::new(any);
        }
        let mut all: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        // What narrows is no evidence: it scores nothing.
        all.extend(asked.must.iter().map(|(occur, query)| {
            let query = tantivy::query::ConstScoreQuery::new(query.box_clone(), 0.0);
            (*occur, Box::new(query) as Box<dyn Query>)
        }));
        all.push((Occur::Must, Box::new(BooleanQuery::new(any))));
        BooleanQuery::new(all)
    }

    fn edition_term(&self, edition: Edition) -> Term {
        Term::from_field_u64(self.fields.edition, edition.0.cast_unsigned())
    }

    fn entry(
        &self,
        document: &TermsDocument,
        row: &super::passages::TermsRow,
        stems: &mut Stems,
    ) -> TantivyDocument {
        let fields = self.fields;
        let heading = row.heading.join(" ");
        let titled = row.heading.first() == Some(&document.title);
        let head = if titled {
            heading.clone()
        } else {
            format!("{} {heading}", document.title)
        };
        let labels = format!(
            "{} {} {}",
            document.tags.join(" "),
            document.aliases.join(" "),
            document.path
        );
        let mut entry = TantivyDocument::default();
        entry.add_text(
            fields.text,
            stemmed(&format!("{heading}\n{}", row.text), stems),
        );
        entry.add_text(fields.head, stemmed(&head, stems));
        entry.add_text(fields.labels, stemmed(&labels, stems));
        entry.add_text(
            fields.language,
            document.language.unwrap_or(Language::ENGLISH).code(),
        );
        entry.add_u64(fields.edition, document.edition.0.cast_unsigned());
        let (high, low) = halves(row.chunk);
        entry.add_u64(fields.id_high, high);
        entry.add_u64(fields.id_low, low);
        entry
    }
}

/// Reads the index in `folder`. tantivy panics on some damaged files.
fn guarded<T>(folder: &Path, read: impl FnOnce() -> tantivy::Result<T>) -> Result<T> {
    // What a panic leaves half done is not looked at again.
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        let said = "reading it ended in a panic".to_owned();
        Err(tantivy::TantivyError::InternalError(said))
    });
    outcome.map_err(|source| StoreError::lexical(folder, source))
}

/// A chunk's id as two numbers.
fn halves(chunk: ChunkId) -> (u64, u64) {
    let (high, low) = chunk.0.split_at(8);
    let number = |half: &[u8]| u64::from_be_bytes(half.try_into().expect("half of 16 bytes"));
    (number(high), number(low))
}

/// Adds the places of a word in an entry to those of its other stems.
fn note_places(postings: &mut impl Postings, places: &mut Vec<u32>) {
    let mut more = Vec::new();
    postings.positions(&mut more);
    if places.is_empty() {
        *places = more;
    } else {
        places.extend(more);
        places.sort_unstable();
        places.dedup();
    }
}

/// The columns of the segments that hits come from, opened once a search.
#[derive(Default)]
struct Columns(HashMap<u32, [tantivy::columnar::Column<u64>; 3]>);

impl Columns {
    fn hit(
        &mut self,
        searcher: &Searcher,
        address: DocAddress,
        score: f32,
    ) -> tantivy::Result<Hit> {
        let columns = match self.0.entry(address.segment_ord) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(gap) => {
                let fast = searcher.segment_reader(address.segment_ord).fast_fields();
                gap.insert([
                    fast.u64("id_high")?,
                    fast.u64("id_low")?,
                    fast.u64("edition")?,
                ])
            }
        };
        let [high, low, edition] = columns
            .each_ref()
            .map(|c| c.first(address.doc_id).unwrap_or(0));
        let mut id = [0; 16];
        id[..8].copy_from_slice(&high.to_be_bytes());
        id[8..].copy_from_slice(&low.to_be_bytes());
        Ok(Hit {
            chunk: ChunkId(id),
            edition: Edition(edition.cast_signed()),
            address,
            score,
        })
    }
}

/// Marks a word that stands at the place of the one before it.
const SAME_PLACE: char = '\u{1}';

/// The stems of a text, one a line, as [`Stemmed`] reads them.
fn stemmed(text: &str, stems: &mut Stems) -> String {
    let mut lines = String::with_capacity(text.len());
    let mut last = None;
    for word in words(text) {
        if !lines.is_empty() {
            lines.push('\n');
        }
        if last == Some(word.position) {
            lines.push(SAME_PLACE);
        }
        last = Some(word.position);
        lines.push_str(stems.stem(&word));
    }
    lines
}

/// A tokenizer of texts that [`stemmed`] wrote.
#[derive(Clone, Default)]
struct Stemmed {
    token: Token,
}

struct Lines<'a> {
    rest: Option<&'a str>,
    token: &'a mut Token,
}

impl Tokenizer for Stemmed {
    type TokenStream<'a> = Lines<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Lines<'a> {
        self.token.reset();
        Lines {
            rest: (!text.is_empty()).then_some(text),
            token: &mut self.token,
        }
    }
}

impl TokenStream for Lines<'_> {
    fn advance(&mut self) -> bool {
        let Some(rest) = self.rest else {
            return false;
        };
        let (line, rest) = match rest.split_once('\n') {
            Some((line, rest)) => (line, Some(rest)),
            None => (rest, None),
        };
        self.rest = rest;
        let word = line.strip_prefix(SAME_PLACE);
        if word.is_none() {
            self.token.position = self.token.position.wrapping_add(1);
        }
        self.token.text.clear();
        self.token.text.push_str(word.unwrap_or(line));
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

/// Nothing is stored: text comes from the ledger.
fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let words = |option| {
        let indexing = TextFieldIndexing::default()
            .set_tokenizer(TOKENIZER)
            .set_index_option(option);
        TextOptions::default().set_indexing_options(indexing)
    };
    let places = IndexRecordOption::WithFreqsAndPositions;
    let fields = Fields {
        text: builder.add_text_field("text", words(places)),
        head: builder.add_text_field("head", words(places)),
        labels: builder.add_text_field("labels", words(IndexRecordOption::WithFreqs)),
        language: builder.add_text_field("language", words(IndexRecordOption::Basic)),
        edition: builder.add_u64_field("edition", INDEXED | FAST),
        id_high: builder.add_u64_field("id_high", INDEXED | FAST),
        id_low: builder.add_u64_field("id_low", FAST),
    };
    (builder.build(), fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Fault;

    #[test]
    fn a_panic_over_a_damaged_file_says_how_it_is_mended() {
        let ended = guarded(Path::new("/t"), || -> tantivy::Result<()> {
            panic!("range end index 9 out of range")
        });
        let hint = ended.unwrap_err().hint().unwrap_or_default();
        assert!(hint.contains("verify --repair"), "{hint}");
    }
}
