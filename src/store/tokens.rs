//! Named tokens, and the part of the ledger that each may see.
//!
//! A token that may see a part reads through SQLite views that stand before the tables under the
//! same names: every statement of the ledger then finds that part and nothing else. There is no
//! list of places that would have to remember to filter.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::StoreError;
use super::ledger::Snapshot;
use crate::domain::access::{Grant, View};
use crate::domain::source::SourceId;

type Result<T> = std::result::Result<T, StoreError>;

/// Connections whose names for tables lead to a part of them.
pub(super) struct Part {
    view: View,
    idle: Mutex<Vec<Connection>>,
}

impl Part {
    pub(super) fn new(view: View) -> Self {
        Self {
            view,
            idle: Mutex::default(),
        }
    }

    pub(super) fn view(&self) -> &View {
        &self.view
    }

    /// A connection that sees this part alone.
    pub(super) fn take(&self, connect: impl FnOnce() -> Result<Connection>) -> Result<Connection> {
        let idle = self.lock().pop();
        if let Some(connection) = idle {
            return Ok(connection);
        }
        let connection = connect()?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.execute_batch(&views(&self.view))?;
        Ok(connection)
    }

    pub(super) fn give(&self, connection: Connection) {
        let mut idle = self.lock();
        if idle.len() < 2 {
            idle.push(connection);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Views that stand before the tables.
fn views(view: &View) -> String {
    let asker = view.asker.as_deref().unwrap_or_default();
    let quoted = asker.replace('\'', "''");
    let mut sql = String::new();
    let mut narrow = |table: &str, clause: &str| {
        sql.push_str(&format!(
            "CREATE TEMP VIEW {table} AS SELECT * FROM main.{table} WHERE {clause};\n"
        ));
    };
    if !view.everyones_answers {
        narrow("answer", &format!("asker = '{quoted}'"));
        let of_answers = "answer_id IN (SELECT id FROM temp.answer)";
        for table in ["citation", "feedback", "signal", "considered"] {
            narrow(table, of_answers);
        }
        for table in ["token", "batch", "spent"] {
            narrow(table, "0");
        }
    }
    if let Some(sources) = &view.sources {
        let ids: Vec<String> = sources.iter().map(ToString::to_string).collect();
        let ids = ids.join(", ");
        narrow("source", &format!("id IN ({ids})"));
        narrow("document", &format!("source_id IN ({ids})"));
        narrow("problem", &format!("source_id IN ({ids})"));
        // What was learned of other sources, and what is remembered of the whole, is not in it.
        narrow("memo", "0");
        let of_documents = "EXISTS (SELECT 1 FROM main.document part
             WHERE part.id = document_id AND part.source_id IN ";
        for table in ["passage", "tag", "name", "link"] {
            narrow(table, &format!("{of_documents} ({ids}))"));
        }
        let shown = |chunk: &str| {
            format!(
                "EXISTS (SELECT 1 FROM main.passage shown
                  JOIN main.document part ON part.id = shown.document_id
                  WHERE shown.chunk_id = {chunk} AND part.source_id IN ({ids}))"
            )
        };
        narrow("chunk", &shown("main.chunk.id"));
        // Questions are the owner's, whatever they were about.
        let whole = format!(
            "NOT EXISTS (SELECT 1 FROM main.unit_evidence rests
              WHERE rests.unit_id = main.unit.id AND NOT {})",
            shown("rests.chunk_id")
        );
        sql.push_str(&format!(
            "CREATE TEMP VIEW unit AS
             SELECT id, state, title, text, '[]' AS questions, scores, batch, made_ms, trust,
                    recipe, gates, reason, retrieved, cited, helped, harmed
             FROM main.unit WHERE {whole};\n"
        ));
        sql.push_str(
            "CREATE TEMP VIEW unit_evidence AS
             SELECT unit_id, chunk_id, quotes, place, coalesce((SELECT path FROM temp.document part
               WHERE part.path = main.unit_evidence.path LIMIT 1), '') AS path
             FROM main.unit_evidence WHERE unit_id IN (SELECT id FROM temp.unit);\n",
        );
        sql.push_str(
            "CREATE TEMP VIEW unit_event AS SELECT * FROM main.unit_event
             WHERE unit_id IN (SELECT id FROM temp.unit);
             CREATE TEMP VIEW unit_vector AS SELECT * FROM main.unit_vector
             WHERE unit_id IN (SELECT id FROM temp.unit) AND part >= (
               SELECT json_array_length(asked.questions) FROM main.unit asked
               WHERE asked.id = unit_id);\n",
        );
    }
    sql
}

impl Snapshot<'_> {
    /// All tokens, by name.
    pub(crate) fn tokens(&self) -> Result<Vec<Grant>> {
        let mut statement = self.0.prepare_cached(&select("1 ORDER BY name"))?;
        let rows = statement.query_map([], columns)?;
        rows.map(|row| grant(row?)).collect()
    }

    /// What goes with the token of this hash.
    pub(crate) fn grant(&self, hash: &[u8; 32]) -> Result<Option<Grant>> {
        let mut statement = self.0.prepare_cached(&select("hash = ?1"))?;
        let row = statement.query_row([hash.as_slice()], columns).optional()?;
        row.map(grant).transpose()
    }
}

fn select(clause: &str) -> String {
    format!("SELECT id, name, rights, sources, added_ms FROM token WHERE {clause}")
}

type Columns = (String, String, String, Option<String>, i64);

fn columns(row: &rusqlite::Row<'_>) -> rusqlite::Result<Columns> {
    Ok((
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
    ))
}

fn grant((id, name, rights, sources, added_ms): Columns) -> Result<Grant> {
    let sources: Option<BTreeSet<SourceId>> = sources
        .map(|list| serde_json::from_str(&list))
        .transpose()?;
    Ok(Grant {
        id,
        name,
        rights: serde_json::from_str(&rights)?,
        sources,
        added_ms,
    })
}

/// Adds a token; `false` when there is one of that name.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn put_token(transaction: &Transaction<'_>, grant: &Grant, hash: &[u8; 32]) -> Result<bool> {
    let sources = grant.sources.as_ref().map(serde_json::to_string);
    let added = transaction.execute(
        "INSERT INTO token (id, name, hash, rights, sources, added_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (name) DO NOTHING",
        params![
            grant.id,
            grant.name,
            hash.as_slice(),
            serde_json::to_string(&grant.rights)?,
            sources.transpose()?,
            grant.added_ms
        ],
    )?;
    Ok(added > 0)
}

/// Takes a token back; `false` when there is none of that name.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn remove_token(transaction: &Transaction<'_>, name: &str) -> Result<bool> {
    Ok(transaction.execute("DELETE FROM token WHERE name = ?1", [name])? > 0)
}
