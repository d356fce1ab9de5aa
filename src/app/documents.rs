//! Documents as the edges show them.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{App, NotFound};
use crate::domain::source::{DocumentId, SourceId, shown_name};
use crate::error::Failure;
use crate::store::StoreError;
use crate::store::documents::Listed;

/// A visible document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Document {
    /// Its number.
    pub id: i64,
    /// Its source.
    pub source: SourceId,
    /// Absolute path of its file.
    pub path: PathBuf,
    /// Its title.
    pub title: String,
    /// Its kind.
    pub kind: String,
    /// When its file was changed, milliseconds since 1970.
    pub changed_ms: i64,
    /// Its passages.
    pub passages: u64,
}

/// `GET /v1/documents`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Documents {
    /// The documents, in order of their numbers.
    pub documents: Vec<Document>,
    /// What to ask for `after` to see more; none when this was all.
    pub next: Option<i64>,
}

/// `GET /v1/documents/{id}`: a document with its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WholeDocument {
    /// The document.
    #[serde(flatten)]
    pub document: Document,
    /// Its passages, in order.
    pub text: Vec<TextPassage>,
}

/// A passage of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TextPassage {
    /// Id of its chunk.
    pub chunk_id: String,
    /// Headings above it, outermost first.
    pub heading: Vec<String>,
    /// First and last line, where the format has lines.
    pub lines: Option<(u32, u32)>,
    /// Page, where the format has pages.
    pub page: Option<u32>,
    /// Its text.
    pub text: String,
}

impl From<Listed> for Document {
    fn from(listed: Listed) -> Self {
        Self {
            id: listed.id.0,
            source: listed.source,
            path: PathBuf::from(shown_name(&listed.path.to_string_lossy())),
            title: listed.title,
            kind: listed.kind,
            changed_ms: listed.mtime_ns / 1_000_000,
            passages: listed.passages,
        }
    }
}

impl App {
    /// Documents behind the one numbered `after`, at most `limit`.
    ///
    /// # Errors
    /// What the ledger says.
    pub fn documents(
        &self,
        source: Option<SourceId>,
        after: DocumentId,
        limit: usize,
    ) -> Result<Documents, Failure> {
        let ledger = self.store.ledger();
        let listed = ledger.read(|snapshot| {
            let is_there = |id: &SourceId| {
                Ok::<bool, StoreError>(snapshot.sources()?.iter().any(|s| s.id == *id))
            };
            match source {
                Some(id) if !is_there(&id)? => Err(StoreError::NoSource { id }),
                _ => snapshot.listed(source, after, limit + 1),
            }
        })?;
        let mut documents: Vec<Document> = listed.into_iter().map(Document::from).collect();
        let more = documents.len() > limit;
        documents.truncate(limit);
        let next = documents.last().filter(|_| more).map(|last| last.id);
        Ok(Documents { documents, next })
    }

    /// A document with its text.
    ///
    /// # Errors
    /// [`NotFound`], or what the ledger says.
    pub fn document(&self, id: DocumentId) -> Result<WholeDocument, Failure> {
        let found = self.store.ledger().read(|snapshot| {
            let before = DocumentId(id.0.saturating_sub(1));
            let listed = snapshot.listed(None, before, 1)?;
            Ok::<_, crate::store::StoreError>((listed, snapshot.rows_of(id)?))
        });
        let (listed, rows) = found?;
        let document = listed.into_iter().find(|listed| listed.id == id);
        let missing = || NotFound::new("document", id.0.to_string());
        let text = rows.into_iter().map(|row| TextPassage {
            chunk_id: row.chunk.to_string(),
            heading: row.heading,
            lines: row.lines,
            page: row.page,
            text: row.text,
        });
        Ok(WholeDocument {
            document: document.ok_or_else(missing)?.into(),
            text: text.collect(),
        })
    }
}
