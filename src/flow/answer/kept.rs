//! What is kept of an answer, and how it is shown again.
//!
//! An answer is kept with all that it says and quotes, but without the passages that were found for
//! it: of those, only where they stand. Their text is the notes', and is gone when they are. Where a
//! kept answer is shown, the text is read from the ledger, as far as it is there and may be seen.

use std::path::Path;

use serde_json::{Value, json};

use super::super::search::{heading_of, joined};
use crate::domain::chunk::ChunkId;
use crate::domain::source::shown_name;
use crate::store::StoreError;
use crate::store::ledger::Snapshot;
use crate::store::passages::Row;

/// Copies of a passage that are looked through for the one that was found.
const MOST_COPIES: usize = 1000;

/// The JSON of an answer as it is kept: hits without title, heading and text.
pub(super) fn without_passages(mut body: Value) -> Value {
    for hit in hits_of(&mut body) {
        put(hit, "", None, "");
    }
    body
}

/// The JSON of a kept answer as it is shown: hits with what is still in the notes.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn with_passages(snapshot: &Snapshot<'_>, mut body: Value) -> Result<Value, StoreError> {
    for hit in hits_of(&mut body) {
        let Some((best, rows)) = rows_of(snapshot, hit)? else {
            continue;
        };
        let shown = rows
            .iter()
            .find(|row| row.chunk == best)
            .unwrap_or(&rows[0]);
        put(
            hit,
            &shown.title,
            heading_of(shown).as_deref(),
            &joined(&rows).0,
        );
    }
    Ok(body)
}

fn hits_of(body: &mut Value) -> &mut [Value] {
    let hits = body.pointer_mut("/retrieval/hits");
    hits.and_then(Value::as_array_mut)
        .map_or(&mut [], Vec::as_mut_slice)
}

fn put(hit: &mut Value, title: &str, heading: Option<&str>, text: &str) {
    hit["title"] = json!(title);
    hit["heading"] = json!(heading);
    hit["text"] = json!(text);
}

/// The chunk that a hit is there for, and its passages in their order, from the file that it names or
/// from one that says the same; `None` where one of them is gone.
fn rows_of(
    snapshot: &Snapshot<'_>,
    hit: &Value,
) -> Result<Option<(ChunkId, Vec<Row>)>, StoreError> {
    let chunk = |id: &Value| id.as_str().and_then(|id| id.parse::<ChunkId>().ok());
    let Some(best) = chunk(&hit["chunk_id"]) else {
        return Ok(None);
    };
    let mut chunks = vec![best];
    if let Some(ids) = hit["joined"].as_array() {
        chunks = ids.iter().filter_map(chunk).collect();
    }
    let copies = snapshot.passages_of(best, MOST_COPIES)?;
    let named = hit["path"].as_str().map(Path::new);
    let is_named = |row: &&Row| named == Some(Path::new(&shown_name(&row.path.to_string_lossy())));
    let Some(found) = copies.iter().find(is_named).or(copies.first()) else {
        return Ok(None);
    };
    let mut rows: Vec<Row> = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let after = rows.last().map(|row| row.ordinal);
        let follows = |row: &Row| row.document == found.document && Some(row.ordinal) > after;
        let mut copies = snapshot.passages_of(chunk, MOST_COPIES)?.into_iter();
        match copies.find(follows) {
            Some(row) => rows.push(row),
            None => return Ok(None),
        }
    }
    Ok((!rows.is_empty()).then_some((best, rows)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_kept_without_its_text() {
        let body = json!({
            "answer": "It has 7 watts. [1]",
            "citations": [{ "text": "It has 7 watts." }],
            "retrieval": { "hits": [
                { "path": "/n/a.md", "title": "Diary", "heading": "Diary > May", "text": "Private." },
            ] },
        });
        let kept = without_passages(body.clone());
        assert_eq!(kept["citations"], body["citations"]);
        let bare = json!({ "path": "/n/a.md", "title": "", "heading": null, "text": "" });
        assert_eq!(kept["retrieval"]["hits"], json!([bare]));
        // Of another version, without hits.
        assert_eq!(without_passages(json!({ "id": "x" })), json!({ "id": "x" }));
    }
}
