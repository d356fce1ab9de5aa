//! Passages: what visible documents show, chunk by chunk, as hits and the lexical index want it.
//!
//! Reads alone: a passage comes and goes with its document.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension, params};

use super::Result;
use super::ledger::Snapshot;
use crate::domain::chunk::ChunkId;
use crate::domain::language::Language;
use crate::domain::source::{DocumentId, Edition, Kind, Meta, SourceId};

/// A visible passage with all that a hit shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its chunk.
    pub chunk: ChunkId,
    /// Its document.
    pub document: DocumentId,
    /// Its source.
    pub source: SourceId,
    /// Absolute path of its file.
    pub path: PathBuf,
    /// The document's kind.
    pub kind: Kind,
    /// The document's title.
    pub title: String,
    /// Other names that the document gives itself.
    pub aliases: Vec<String>,
    /// Headings above it, outermost first.
    pub heading: Vec<String>,
    /// First and last line, where the format has lines.
    pub lines: Option<(u32, u32)>,
    /// Page, where the format has pages.
    pub page: Option<u32>,
    /// Its place among the passages of the document, counted from 0.
    pub ordinal: u32,
    /// Its text.
    pub text: String,
}

/// A passage as the lexical index wants it.
#[derive(Clone, Debug)]
pub struct TermsRow {
    /// Chunk.
    pub chunk: ChunkId,
    /// Text.
    pub text: String,
    /// Headings, outermost first.
    pub heading: Vec<String>,
}

/// A document as the lexical index wants it.
#[derive(Clone, Debug)]
pub struct TermsDocument {
    /// The edition under which its entries are written.
    pub edition: Edition,
    /// Path below the source's root.
    pub path: String,
    /// Title.
    pub title: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Other names.
    pub aliases: Vec<String>,
    /// The language that it is written in, where that could be told.
    pub language: Option<Language>,
    /// Passages.
    pub rows: Vec<TermsRow>,
}

/// What a [`Row`] is read from.
const ROW: &str = "SELECT d.id, d.source_id, s.path, d.path, d.kind, d.title, c.heading,
        p.line_first, p.line_last, p.page, c.text, c.id, p.ordinal,
        json_extract(d.meta, '$.aliases')
 FROM passage p
 JOIN chunk c ON c.id = p.chunk_id
 JOIN document d ON d.id = p.document_id
 JOIN source s ON s.id = d.source_id";

impl Snapshot<'_> {
    /// The passage that shows a chunk in this edition of a document, the first if several do.
    pub(crate) fn row(&self, chunk: ChunkId, edition: Edition) -> Result<Option<Row>> {
        let sql =
            format!("{ROW} WHERE p.chunk_id = ?1 AND d.edition = ?2 ORDER BY p.ordinal LIMIT 1");
        self.rows(&sql, params![chunk, edition])
            .map(|rows| rows.into_iter().next())
    }

    /// The passages that show a chunk, at most `limit`, in order of their documents' paths.
    pub(crate) fn passages_of(&self, chunk: ChunkId, limit: usize) -> Result<Vec<Row>> {
        let sql = format!("{ROW} WHERE p.chunk_id = ?1 ORDER BY d.path, p.ordinal LIMIT ?2");
        self.rows(&sql, params![chunk, limit])
    }

    /// The passages of a document, in order.
    pub(crate) fn rows_of(&self, id: DocumentId) -> Result<Vec<Row>> {
        let sql = format!("{ROW} WHERE d.id = ?1 ORDER BY p.ordinal");
        self.rows(&sql, params![id])
    }

    /// The first passages of the `limit` newest documents whose edition fits, newest first.
    pub(crate) fn newest(&self, limit: usize, fits: impl Fn(Edition) -> bool) -> Result<Vec<Row>> {
        let mut found = Vec::new();
        {
            let mut statement = self
                .0
                .prepare_cached("SELECT id, edition FROM document ORDER BY mtime_ns DESC, path")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                if found.len() == limit {
                    break;
                }
                if fits(row.get(1)?) {
                    found.push(row.get::<_, DocumentId>(0)?);
                }
            }
        }
        let sql = format!("{ROW} WHERE d.id = ?1 ORDER BY p.ordinal LIMIT 1");
        let mut newest = Vec::with_capacity(found.len());
        for document in found {
            newest.extend(self.rows(&sql, params![document])?);
        }
        Ok(newest)
    }

    /// Passages of documents whose edition fits that hold all of these as they are, in the text or
    /// above it; at most `limit`, those of the newest documents first.
    pub(crate) fn holding(
        &self,
        signs: &[&str],
        limit: usize,
        fits: impl Fn(Edition) -> bool,
    ) -> Result<Vec<Row>> {
        let held = (1..=signs.len()).map(|n| {
            format!("(instr(c.text, ?{n}) OR instr(c.heading, ?{n}) OR instr(d.title, ?{n}))")
        });
        let sql = format!(
            "SELECT p.chunk_id, d.edition FROM passage p
             JOIN chunk c ON c.id = p.chunk_id JOIN document d ON d.id = p.document_id
             WHERE {} ORDER BY d.mtime_ns DESC, d.path, p.ordinal",
            held.collect::<Vec<_>>().join(" AND ")
        );
        let mut found: Vec<(ChunkId, Edition)> = Vec::new();
        {
            let mut statement = self.0.prepare_cached(&sql)?;
            let mut rows = statement.query(rusqlite::params_from_iter(signs))?;
            while let Some(row) = rows.next()? {
                if found.len() == limit {
                    break;
                }
                let edition = row.get(1)?;
                if fits(edition) {
                    found.push((row.get(0)?, edition));
                }
            }
        }
        let mut holding = Vec::with_capacity(found.len());
        for (chunk, edition) in found {
            holding.extend(self.row(chunk, edition)?);
        }
        Ok(holding)
    }

    fn rows(&self, sql: &str, values: impl rusqlite::Params) -> Result<Vec<Row>> {
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement.query_map(values, |row| {
            let root: String = row.get(2)?;
            let path: String = row.get(3)?;
            let kind: String = row.get(4)?;
            let (first, last): (Option<u32>, Option<u32>) = (row.get(7)?, row.get(8)?);
            let shown = Row {
                document: row.get(0)?,
                source: row.get(1)?,
                path: Path::new(&root).join(path),
                kind: Kind::named(&kind).unwrap_or(Kind::Text),
                title: row.get(5)?,
                aliases: Vec::new(),
                heading: Vec::new(),
                lines: first.zip(last),
                page: row.get(9)?,
                text: row.get(10)?,
                chunk: row.get(11)?,
                ordinal: row.get(12)?,
            };
            let aliases: Option<String> = row.get(13)?;
            Ok((shown, row.get::<_, String>(6)?, aliases))
        })?;
        rows.map(|row| {
            let (mut shown, heading, aliases) = row?;
            shown.heading = serde_json::from_str(&heading)?;
            if let Some(aliases) = aliases {
                shown.aliases = serde_json::from_str(&aliases)?;
            }
            Ok(shown)
        })
        .collect()
    }

    /// A visible document as the lexical index wants it, or as it will want it at another path. What
    /// it says twice is there once.
    pub(crate) fn terms_of(&self, edition: Edition, moved: Option<&str>) -> Result<TermsDocument> {
        let (path, title, meta, language): (String, String, String, Option<String>) = self
            .0
            .prepare_cached("SELECT path, title, meta, language FROM document WHERE edition = ?1")?
            .query_row([edition], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?;
        let mut statement = self.0.prepare_cached(
            "SELECT c.id, c.text, c.heading FROM passage p
             JOIN document d ON d.id = p.document_id JOIN chunk c ON c.id = p.chunk_id
             WHERE d.edition = ?1 ORDER BY p.ordinal",
        )?;
        let rows = statement.query_map([edition], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?))
        })?;
        let mut seen = HashSet::new();
        let rows = rows
            .filter(|row| row.as_ref().map_or(true, |(chunk, ..)| seen.insert(*chunk)))
            .map(|row| {
                let (chunk, text, heading) = row?;
                Ok(TermsRow {
                    chunk,
                    text,
                    heading: serde_json::from_str(&heading)?,
                })
            })
            .collect::<Result<_>>()?;
        let meta: Meta = serde_json::from_str(&meta)?;
        let (path, title) = match moved {
            Some(path) => (
                path.to_owned(),
                crate::domain::source::title_or_stem(&meta, path),
            ),
            None => (path, title),
        };
        Ok(TermsDocument {
            edition,
            path,
            title,
            tags: meta.tags,
            aliases: meta.aliases,
            language: language.as_deref().and_then(Language::named),
            rows,
        })
    }

    /// Which of these chunks are not in the ledger, and so have no vector that can be trusted.
    pub(crate) fn unknown(&self, ids: &[ChunkId]) -> Result<HashSet<ChunkId>> {
        let mut statement = self.0.prepare_cached("SELECT 1 FROM chunk WHERE id = ?1")?;
        let mut unknown = HashSet::new();
        for id in ids {
            if !statement.exists([id])? {
                unknown.insert(*id);
            }
        }
        Ok(unknown)
    }

    /// All visible chunks.
    pub(crate) fn chunk_ids(&self) -> Result<Vec<ChunkId>> {
        let mut statement = self.0.prepare_cached("SELECT id FROM chunk ORDER BY id")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Heading and text of a chunk, or `None` if it is not visible.
    pub(crate) fn chunk_text(&self, id: ChunkId) -> Result<Option<(Vec<String>, String)>> {
        let found = self
            .0
            .prepare_cached("SELECT heading, text FROM chunk WHERE id = ?1")?
            .query_row([id], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
            })
            .optional()?;
        found
            .map(|(heading, text)| Ok((serde_json::from_str(&heading)?, text)))
            .transpose()
    }

    /// The chunks that stand where a file of this path stands, below any source.
    pub(crate) fn chunks_at(&self, path: &str) -> Result<Vec<(ChunkId, String)>> {
        let mut statement = self.0.prepare_cached(
            "SELECT c.id, c.text FROM passage p JOIN document d ON d.id = p.document_id
             JOIN chunk c ON c.id = p.chunk_id WHERE d.path = ?1 ORDER BY d.id, p.ordinal",
        )?;
        let rows = statement.query_map([path], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Of documents that changed since an edition, what each chunk stands under, and its text; `most`
    /// of them at most.
    pub(crate) fn texts_since(&self, edition: i64, most: usize) -> Result<Vec<(String, String)>> {
        let mut statement = self.0.prepare_cached(
            "SELECT DISTINCT d.title, c.heading, c.text FROM document d
               JOIN passage p ON p.document_id = d.id JOIN chunk c ON c.id = p.chunk_id
               WHERE d.edition >= ?1 LIMIT ?2",
        )?;
        let rows = statement.query_map(params![edition, most], |row| {
            let title: String = row.get(0)?;
            let headings: String = row.get(1)?;
            Ok((title, headings, row.get(2)?))
        })?;
        rows.map(|row| {
            let (title, headings, text) = row?;
            let headings: Vec<String> = serde_json::from_str(&headings)?;
            let above = std::iter::once(title).chain(headings);
            Ok((above.collect::<Vec<_>>().join(" > "), text))
        })
        .collect()
    }

    /// Chunks whose text is not the one that their id was made of.
    pub(crate) fn damaged_chunks(&self) -> Result<Vec<ChunkId>> {
        let mut statement = self.0.prepare("SELECT id, heading, text FROM chunk")?;
        let mut rows = statement.query([])?;
        let mut damaged = Vec::new();
        while let Some(row) = rows.next()? {
            let id: ChunkId = row.get(0)?;
            let whole = (|| {
                let heading: Vec<String> =
                    serde_json::from_str(&row.get::<_, String>(1).ok()?).ok()?;
                let text: String = row.get(2).ok()?;
                Some(ChunkId::of(&heading.join("\u{1f}"), &text) == id)
            })();
            if whole != Some(true) {
                damaged.push(id);
            }
        }
        Ok(damaged)
    }

    /// A hash of all that is visible: which document shows which chunk where.
    pub(crate) fn fingerprint(&self) -> Result<String> {
        let mut statement = self.0.prepare(
            "SELECT s.path, d.path, p.ordinal, p.chunk_id, p.line_first, p.line_last, p.page
             FROM source s JOIN document d ON d.source_id = s.id
             JOIN passage p ON p.document_id = d.id ORDER BY s.path, d.path, p.ordinal",
        )?;
        let mut rows = statement.query([])?;
        let mut hasher = blake3::Hasher::new();
        while let Some(row) = rows.next()? {
            let (root, path): (String, String) = (row.get(0)?, row.get(1)?);
            let chunk: ChunkId = row.get(3)?;
            let places: [Option<i64>; 4] = [row.get(2)?, row.get(4)?, row.get(5)?, row.get(6)?];
            hasher.update(format!("{root}\0{path}\0{chunk}\0{places:?}\n").as_bytes());
        }
        Ok(hasher.finalize().to_hex()[..32].to_owned())
    }
}
