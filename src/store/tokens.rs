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
    // What units were before a batch changed them is there to take the batch back, which writes.
    let mut sql = narrowed("unit_change", "0");
    if !view.everyones_answers {
        sql.push_str(&own_answers(view.asker.as_deref().unwrap_or_default()));
    }
    let shown = view.sources.as_ref().map(|sources| {
        let ids: Vec<String> = sources.iter().map(ToString::to_string).collect();
        let ids = ids.join(", ");
        sql.push_str(&documents_of(&ids));
        ids
    });
    if !view.everyones_answers || shown.is_some() {
        sql.push_str(&units_resting_on(shown.as_deref()));
    }
    sql
}

/// A view of the rows of a table that a condition holds for.
fn narrowed(table: &str, clause: &str) -> String {
    format!("CREATE TEMP VIEW {table} AS SELECT * FROM main.{table} WHERE {clause};\n")
}

/// What this asker was answered, and nothing of what the owner spends or is measured by.
fn own_answers(asker: &str) -> String {
    let quoted = asker.replace('\'', "''");
    let mut sql = narrowed("answer", &format!("asker = '{quoted}'"));
    for table in ["citation", "feedback", "signal", "considered"] {
        let of_answers = "answer_id IN (SELECT id FROM temp.answer)";
        sql.push_str(&narrowed(table, of_answers));
    }
    for table in ["token", "batch", "spent", "outbound", "measurement"] {
        sql.push_str(&narrowed(table, "0"));
    }
    sql
}

/// The sources of these ids with all that is in them.
fn documents_of(ids: &str) -> String {
    let mut sql = narrowed("source", &format!("id IN ({ids})"));
    for table in ["document", "problem"] {
        sql.push_str(&narrowed(table, &format!("source_id IN ({ids})")));
    }
    // What was learned of other sources, what is remembered of the whole and what is to be swept up is
    // not in it.
    for table in ["memo", "gone_chunk", "gone_edition"] {
        sql.push_str(&narrowed(table, "0"));
    }
    let of_documents = format!(
        "EXISTS (SELECT 1 FROM main.document part
          WHERE part.id = document_id AND part.source_id IN ({ids}))"
    );
    for table in ["passage", "tag", "name", "link"] {
        sql.push_str(&narrowed(table, &of_documents));
    }
    sql.push_str(&narrowed("chunk", &shown_by(ids, "main.chunk.id")));
    sql
}

/// A condition: a document of these sources shows the chunk.
fn shown_by(ids: &str, chunk: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM main.passage shown
          JOIN main.document part ON part.id = shown.document_id
          WHERE shown.chunk_id = {chunk} AND part.source_id IN ({ids}))"
    )
}

/// Units that rest on these sources alone, or all. What they say is in them, but neither the
/// questions that led to them, which are the owner's whatever they were about, nor what was judged
/// of them or how often they were of use: all of that was found among all notes. For a part, a title
/// is that of a document in it, and what other notes contradict is not there.
fn units_resting_on(ids: Option<&str>) -> String {
    let whole = ids.map_or_else(
        || "1".to_owned(),
        |ids| {
            let shown = shown_by(ids, "rests.chunk_id");
            format!(
                "NOT EXISTS (SELECT 1 FROM main.unit_evidence rests
                  WHERE rests.unit_id = main.unit.id AND NOT {shown})"
            )
        },
    );
    let title = ids.map_or_else(
        || "title".to_owned(),
        |ids| {
            format!(
                "coalesce((SELECT part.title FROM main.unit_evidence rests
                   JOIN main.passage shown ON shown.chunk_id = rests.chunk_id
                   JOIN main.document part ON part.id = shown.document_id
                   WHERE rests.unit_id = main.unit.id AND part.source_id IN ({ids})
                   ORDER BY rests.place, part.id LIMIT 1), '')"
            )
        },
    );
    let settled = if ids.is_some() {
        "state <> 'contested'"
    } else {
        "1"
    };
    let mut sql = format!(
        "CREATE TEMP VIEW unit AS
         SELECT id, state, {title} AS title, text, '[]' AS questions, '{{}}' AS scores, batch,
                made_ms, trust, recipe, '[]' AS gates, '' AS reason, 0 AS retrieved, 0 AS cited,
                0 AS helped, 0 AS harmed, '[]' AS replaces
         FROM main.unit WHERE {settled} AND {whole};
         CREATE TEMP VIEW unit_event AS
         SELECT id, unit_id, before, after, '' AS reason, at_ms FROM main.unit_event
         WHERE unit_id IN (SELECT id FROM temp.unit)
           AND after <> 'contested' AND coalesce(before, '') <> 'contested';
         CREATE TEMP VIEW unit_vector AS SELECT * FROM main.unit_vector
         WHERE unit_id IN (SELECT id FROM temp.unit) AND part >= (
           SELECT json_array_length(asked.questions) FROM main.unit asked
           WHERE asked.id = unit_id);\n"
    );
    if ids.is_some() {
        sql.push_str(
            "CREATE TEMP VIEW unit_evidence AS
             SELECT unit_id, chunk_id, quotes, place, coalesce((SELECT path FROM temp.document part
               WHERE part.path = main.unit_evidence.path LIMIT 1), '') AS path
             FROM main.unit_evidence WHERE unit_id IN (SELECT id FROM temp.unit);\n",
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

#[cfg(test)]
mod tests {
    use super::super::ledger::Ledger;
    use super::*;

    const FILLED: &str = "
        INSERT INTO unit (id, state, title, text, questions, scores, batch, made_ms, gates, reason)
        VALUES ('u', 'active', 't', 'said', '[\"who?\"]', '{}', 'b', 1, '[1]', 'of /diary.md');
        INSERT INTO unit_vector VALUES ('u', 'm', 0, x'00'), ('u', 'm', 1, x'00');
        INSERT INTO unit_change (batch, unit_id, before) VALUES ('b', 'u', '{}');
        INSERT INTO measurement (at_ms, body) VALUES (1, '{}');
        INSERT INTO outbound (at_ms, day, url, model, body, tokens, cost, state)
        VALUES (1, 0, 'u', 'm', '{}', 7, 0.5, 'answered');";

    /// Counts the rows of `sql` in a part of a ledger.
    fn count(part: &Ledger, sql: &str) -> u64 {
        let sql = format!("SELECT count(*) FROM {sql}");
        part.read(|snapshot| Ok(snapshot.0.query_row(&sql, [], |row| row.get(0))?))
            .unwrap()
    }

    /// Those who see a part: of the sources and of the answers, of the answers, of the sources.
    fn parts(ledger: &Ledger) -> [(&'static str, Ledger); 3] {
        let part = |everyones_answers, sources: Option<[SourceId; 1]>| {
            ledger.seen_by(View {
                asker: Some("a".into()),
                everyones_answers,
                sources: sources.map(BTreeSet::from),
            })
        };
        [
            ("guest", part(false, Some([SourceId(1)]))),
            ("other", part(false, None)),
            ("leaving", part(true, Some([SourceId(1)]))),
        ]
    }

    /// Whoever adds a table decides who may see it: it is narrowed above, or named here.
    #[test]
    fn of_every_table_it_was_decided_who_sees_it() {
        // They count, and hold nothing.
        const NUMBERS: &[&str] = &["counter", "unit_clock"];
        const NOTES: &[&str] = &[
            "chunk",
            "document",
            "gone_chunk",
            "gone_edition",
            "link",
            "memo",
            "name",
            "passage",
            "problem",
            "source",
            "tag",
            "unit_evidence",
        ];
        const ANSWERS: &[&str] = &[
            "answer",
            "batch",
            "citation",
            "considered",
            "feedback",
            "measurement",
            "outbound",
            "signal",
            "spent",
            "token",
        ];
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
        for (name, part) in parts(&ledger) {
            let whole = match name {
                "guest" => &[],
                "other" => NOTES,
                _ => ANSWERS,
            };
            let mut expected = [NUMBERS, whole].concat();
            expected.sort_unstable();
            let seen = part.read(|snapshot| {
                let mut statement = snapshot.0.prepare(
                    "SELECT name FROM main.sqlite_master
                     WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
                     AND name NOT IN (SELECT name FROM temp.sqlite_master WHERE type = 'view')
                     ORDER BY name",
                )?;
                let rows = statement.query_map([], |row| row.get(0))?;
                Ok(rows.collect::<rusqlite::Result<Vec<String>>>()?)
            });
            assert_eq!(seen.unwrap(), expected, "{name} sees these as they are");
        }
    }

    #[test]
    fn a_part_holds_what_units_say_and_not_why() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
        ledger
            .write(|transaction| Ok(transaction.execute_batch(FILLED)?))
            .unwrap();
        let judged = "unit WHERE questions <> '[]' OR gates <> '[]' OR reason <> ''";
        let (why, before) = ("unit_event WHERE reason <> ''", "unit_change");
        for sql in [judged, why, before, "outbound", "measurement"] {
            assert_eq!(count(&ledger, sql), 1, "the owner sees {sql}");
        }
        let parts = parts(&ledger);
        for (name, part) in &parts {
            assert_eq!(count(part, "unit WHERE text = 'said'"), 1, "{name}");
            for sql in [judged, why, before, "unit_vector WHERE part = 0"] {
                assert_eq!(count(part, sql), 0, "{name} sees {sql}");
            }
            assert_eq!(count(part, "unit_vector WHERE part = 1"), 1, "{name}");
        }
        let [(_, guest), (_, other), (_, leaving)] = &parts;
        for part in [guest, other] {
            assert_eq!(count(part, "measurement"), 0);
            let left = part.read(|snapshot| snapshot.sent_today(1)).unwrap();
            assert_eq!(left, (0, crate::store::outbound::Spending::default()));
        }
        let left = leaving.read(|snapshot| snapshot.sent_today(1)).unwrap();
        assert_eq!((left.0, left.1.tokens), (1, 7), "it is the owner who asks");
    }
}
