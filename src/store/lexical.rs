//! The lexical index: tantivy, one entry per passage of each visible document.
//!
//! Derived data. Entries carry the edition under which they were written; the ledger names the
//! visible editions, so old and new entries of a document may lie side by side.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tantivy::collector::TopDocs;
use tantivy::query::{BooleanQuery, BoostQuery, Occur, Query, TermQuery};
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{
    AsciiFoldingFilter, LowerCaser, RemoveLongFilter, SimpleTokenizer, TextAnalyzer,
};
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, TantivyDocument, Term};

use super::StoreError;
use super::ledger::TermsDocument;
use crate::domain::chunk::ChunkId;
use crate::domain::source::Edition;

type Result<T> = std::result::Result<T, StoreError>;

/// Memory of the writer before it flushes a segment.
const WRITER_BYTES: usize = 32 << 20;

/// Longer words are data, not language.
const LONGEST_WORD_BYTES: usize = 80;

const ANALYZER: &str = "coho";

/// How much a word counts in each field; the text is 1.
const TITLE_BOOST: f32 = 0.5;
const HEADING_BOOST: f32 = 0.5;
const TAGS_BOOST: f32 = 0.5;
const PATH_BOOST: f32 = 0.25;

#[derive(Clone, Copy)]
struct Fields {
    text: Field,
    title: Field,
    heading: Field,
    tags: Field,
    path: Field,
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
    /// BM25.
    pub score: f32,
}

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
        let at = |source: tantivy::TantivyError| StoreError::lexical(folder, source);
        let (schema, fields) = schema();
        let directory =
            tantivy::directory::MmapDirectory::open(folder).map_err(|source| at(source.into()))?;
        let index = Index::open_or_create(directory, schema).map_err(at)?;
        index.tokenizers().register(ANALYZER, analyzer());
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()
            .map_err(at)?;
        let writer = write
            .then(|| index.writer_with_num_threads(1, WRITER_BYTES))
            .transpose()
            .map_err(at)?
            .map(Mutex::new);
        Ok(Self {
            folder: folder.to_owned(),
            index,
            reader,
            writer,
            fields,
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
        let outcome = (|| {
            for edition in gone {
                writer.delete_term(self.edition_term(*edition));
            }
            for document in documents {
                // A broken run may have left entries of this edition.
                writer.delete_term(self.edition_term(document.edition));
                for row in &document.rows {
                    writer.add_document(self.entry(document, row))?;
                }
            }
            writer.commit()?;
            self.reader.reload()
        })();
        outcome.map_err(|source| StoreError::lexical(&self.folder, source))
    }

    /// How many entries each edition has, deleted ones left out.
    ///
    /// # Errors
    /// [`StoreError::Lexical`].
    pub(super) fn sizes(&self) -> Result<HashMap<Edition, u64>> {
        let outcome = (|| -> tantivy::Result<HashMap<Edition, u64>> {
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
        })();
        outcome.map_err(|source| StoreError::lexical(&self.folder, source))
    }

    /// Files of the index whose checksum does not match.
    ///
    /// # Errors
    /// [`StoreError::Lexical`].
    pub(super) fn damaged_files(&self) -> Result<Vec<PathBuf>> {
        let found = self.index.validate_checksum();
        let found = found.map_err(|source| StoreError::lexical(&self.folder, source))?;
        Ok(found.into_iter().collect())
    }

    /// Waits until merges under way have ended. For quiet moments.
    pub(super) fn rest(&self) {
        // Segments that are no longer used are removed at once instead of at the next commit.
        if let Some(writer) = &self.writer {
            let writer = writer
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Ok(removal) = writer.garbage_collect_files().wait() {
                tracing::debug!(files = removal.deleted_files.len(), "removed old segments");
            }
        }
    }

    /// The `limit` entries that fit the words of `query` best, best first.
    ///
    /// # Errors
    /// [`StoreError::Lexical`].
    pub(super) fn search(&self, query: &str, limit: usize) -> Result<Vec<Hit>> {
        let words = self.words(query);
        if words.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        self.run(&self.query_of(&words), limit)
            .map_err(|source| StoreError::lexical(&self.folder, source))
    }

    fn run(&self, query: &dyn Query, limit: usize) -> tantivy::Result<Vec<Hit>> {
        let searcher = self.reader.searcher();
        let top = searcher.search(query, &TopDocs::with_limit(limit).order_by_score())?;
        let mut hits = Vec::with_capacity(top.len());
        for (score, address) in top {
            let columns = searcher.segment_reader(address.segment_ord).fast_fields();
            let first = |name: &str| -> tantivy::Result<u64> {
                Ok(columns.u64(name)?.first(address.doc_id).unwrap_or(0))
            };
            let mut id = [0; 16];
            id[..8].copy_from_slice(&first("id_high")?.to_be_bytes());
            id[8..].copy_from_slice(&first("id_low")?.to_be_bytes());
            hits.push(Hit {
                chunk: ChunkId(id),
                edition: Edition(first("edition")?.cast_signed()),
                score,
            });
        }
        Ok(hits)
    }

    /// The distinct words of a query as the index knows them; at most 256, because a pasted page
    /// is not a query.
    fn words(&self, query: &str) -> Vec<String> {
        let mut analyzer = self
            .index
            .tokenizers()
            .get(ANALYZER)
            .expect("the analyzer was registered at opening");
        let mut words: Vec<String> = Vec::new();
        let mut seen = HashSet::new();
        let mut stream = analyzer.token_stream(query);
        while stream.advance() && words.len() < 256 {
            let word = stream.token().text.clone();
            if seen.insert(word.clone()) {
                words.push(word);
            }
        }
        words
    }

    fn query_of(&self, words: &[String]) -> BooleanQuery {
        let fields = [
            (self.fields.text, 1.0),
            (self.fields.title, TITLE_BOOST),
            (self.fields.heading, HEADING_BOOST),
            (self.fields.tags, TAGS_BOOST),
            (self.fields.path, PATH_BOOST),
        ];
        let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        for word in words {
            for (field, boost) in fields {
                let term = Term::from_field_text(field, word);
                let query = TermQuery::new(term, IndexRecordOption::WithFreqs);
                clauses.push((
                    Occur::Should,
                    Box::new(BoostQuery::new(Box::new(query), boost)),
                ));
            }
        }
        BooleanQuery::new(clauses)
    }

    fn edition_term(&self, edition: Edition) -> Term {
        Term::from_field_u64(self.fields.edition, edition.0.cast_unsigned())
    }

    fn entry(&self, document: &TermsDocument, row: &super::ledger::TermsRow) -> TantivyDocument {
        let fields = self.fields;
        let mut entry = TantivyDocument::default();
        entry.add_text(fields.text, &row.text);
        entry.add_text(fields.title, &document.title);
        entry.add_text(fields.heading, row.heading.join(" "));
        entry.add_text(fields.tags, document.tags.join(" "));
        entry.add_text(
            fields.path,
            document.path.replace(['/', '_', '-', '.'], " "),
        );
        entry.add_u64(fields.edition, document.edition.0.cast_unsigned());
        let (high, low) = row.chunk.0.split_at(8);
        let number = |half: &[u8]| u64::from_be_bytes(half.try_into().expect("half of 16 bytes"));
        entry.add_u64(fields.id_high, number(high));
        entry.add_u64(fields.id_low, number(low));
        entry
    }
}

fn analyzer() -> TextAnalyzer {
    TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(RemoveLongFilter::limit(LONGEST_WORD_BYTES))
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .build()
}

/// Nothing is stored: text comes from the ledger.
fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let words = || {
        let indexing = TextFieldIndexing::default()
            .set_tokenizer(ANALYZER)
            .set_index_option(IndexRecordOption::WithFreqsAndPositions);
        TextOptions::default().set_indexing_options(indexing)
    };
    let fields = Fields {
        text: builder.add_text_field("text", words()),
        title: builder.add_text_field("title", words()),
        heading: builder.add_text_field("heading", words()),
        tags: builder.add_text_field("tags", words()),
        path: builder.add_text_field("path", words()),
        edition: builder.add_u64_field("edition", INDEXED | FAST),
        id_high: builder.add_u64_field("id_high", FAST),
        id_low: builder.add_u64_field("id_low", FAST),
    };
    (builder.build(), fields)
}
