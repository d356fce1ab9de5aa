//! Answers and units that SQLite finds whole, but that cannot be read.
//!
//! A page of zeros within a long text is damage that SQLite does not see. What the automatic copy
//! still has of it is taken from there, column by column; a row of which it has nothing is given up,
//! with word.

use std::fmt;
use std::path::Path;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags, Row, Transaction, params};
use serde::de::IgnoredAny;

use super::{Result, Store, backup};

/// A table with columns that hold JSON.
struct Nested {
    table: &'static str,
    /// What tells its rows apart, in SQL; it begins with the id of the unit or answer, but for a change.
    key: &'static str,
    columns: &'static [&'static str],
}

const NESTED: [Nested; 4] = [
    Nested {
        table: "answer",
        key: "id",
        columns: &["body"],
    },
    Nested {
        table: "unit",
        key: "id",
        columns: &["questions", "scores", "gates", "replaces"],
    },
    Nested {
        table: "unit_evidence",
        key: "unit_id || ' ' || hex(chunk_id)",
        columns: &["quotes"],
    },
    Nested {
        table: "unit_change",
        key: "CAST(id AS TEXT)",
        columns: &["before"],
    },
];

/// A value that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    table: &'static str,
    column: &'static str,
    key: &'static str,
    id: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.table, self.id, self.column)
    }
}

impl Unreadable {
    /// What a copy of the ledger holds in its place, where that can be read.
    fn whole_in(&self, copy: &Connection) -> Option<String> {
        let (table, column, key) = (self.table, self.column, self.key);
        let sql = format!("SELECT {column} FROM {table} WHERE {key} = ?1");
        let held = copy.query_row(&sql, [&self.id], |row| Ok(readable(row, 0)));
        held.ok().flatten()
    }

    fn put(&self, ledger: &Connection, text: &str) -> Result<()> {
        let (table, column, key) = (self.table, self.column, self.key);
        let sql = format!("UPDATE {table} SET {column} = ?2 WHERE {key} = ?1");
        ledger.execute(&sql, params![self.id, text])?;
        Ok(())
    }

    /// Removes the row with all that belongs to it, and a unit with a part of its evidence. What happened
    /// to a unit stays told; what it was before a batch is not known any more.
    fn give_up(&self, transaction: &Transaction<'_>) -> Result<()> {
        let id = self.id.split(' ').next().unwrap_or_default();
        let (table, key, parts): (_, _, &[&str]) = match self.table {
            "answer" => (
                "answer",
                "answer_id",
                &["citation", "feedback", "signal", "considered"],
            ),
            "unit_change" => ("unit_change", "", &[]),
            _ => (
                "unit",
                "unit_id",
                &["unit_evidence", "unit_vector", "unit_change"],
            ),
        };
        for part in parts {
            transaction.execute(&format!("DELETE FROM {part} WHERE {key} = ?1"), [id])?;
        }
        // Nobody could have it forgotten by its answer any more.
        if table == "answer" {
            let left = "UPDATE outbound SET body = '', answer_id = NULL WHERE answer_id = ?1";
            transaction.execute(left, [id])?;
        }
        transaction.execute(&format!("DELETE FROM {table} WHERE id = ?1"), [id])?;
        Ok(())
    }
}

/// Is this what may stand in a column of a table, where JSON stands there?
pub(super) fn is_readable(table: &str, column: &str, value: &Value) -> bool {
    let nested = NESTED.iter().find(|nested| nested.table == table);
    let nested = nested.is_some_and(|nested| nested.columns.contains(&column));
    !nested || matches!(value, Value::Null) || matches!(value, Value::Text(text) if is_json(text))
}

fn is_json(text: &str) -> bool {
    let json: serde_json::Result<IgnoredAny> = serde_json::from_str(text);
    json.is_ok()
}

/// The JSON in a column, where that is what stands there.
fn readable(row: &Row<'_>, column: usize) -> Option<String> {
    let text: String = row.get(column).ok()?;
    is_json(&text).then_some(text)
}

/// Does a column hold neither JSON nor nothing?
fn is_damaged(row: &Row<'_>, column: usize) -> bool {
    let is_empty = row
        .get_ref(column)
        .is_ok_and(|value| value == ValueRef::Null);
    !is_empty && readable(row, column).is_none()
}

/// What cannot be read of answers and units.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub(super) fn unreadable_values(ledger: &Connection) -> Result<Vec<Unreadable>> {
    let mut found = Vec::new();
    for Nested {
        table,
        key,
        columns,
    } in &NESTED
    {
        let listed = columns.join(", ");
        let sql = format!("SELECT {key}, {listed} FROM {table} ORDER BY 1");
        let mut statement = ledger.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            for (number, column) in columns.iter().enumerate() {
                if is_damaged(row, number + 1) {
                    found.push(Unreadable {
                        table,
                        column,
                        key,
                        id: row.get(0)?,
                    });
                }
            }
        }
    }
    Ok(found)
}

/// Writes into the draft of a new copy what cannot be read of it and the last copy has: that is still
/// to be had when somebody mends the ledger.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub(super) fn fill_from(copy: &Path, draft: &Path) -> Result<()> {
    let mut draft = Connection::open(draft)?;
    let found = unreadable_values(&draft)?;
    let copy = Connection::open_with_flags(copy, OpenFlags::SQLITE_OPEN_READ_ONLY);
    let Some(copy) = copy.ok().filter(|_| !found.is_empty()) else {
        return Ok(());
    };
    let transaction = draft.transaction()?;
    for value in &found {
        if let Some(text) = value.whole_in(&copy) {
            value.put(&transaction, &text)?;
        }
    }
    Ok(transaction.commit()?)
}

impl Store {
    /// Takes what cannot be read of answers and units from the automatic copy, and removes the rows
    /// of which that has nothing either; returns what was lost.
    ///
    /// # Errors
    /// [`StoreError::Ledger`](super::StoreError::Ledger).
    pub fn mend_unreadable(&self) -> Result<Vec<Unreadable>> {
        self.for_writing()?;
        let found = self.ledger.read(|snapshot| unreadable_values(snapshot.0))?;
        if found.is_empty() {
            return Ok(found);
        }
        let path = backup::automatic_path(&self.home);
        let copy = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok();
        self.ledger.write(|transaction| {
            let mut lost = Vec::new();
            for value in found {
                if let Some(text) = copy.as_ref().and_then(|copy| value.whole_in(copy)) {
                    value.put(transaction, &text)?;
                } else {
                    value.give_up(transaction)?;
                    lost.push(value);
                }
            }
            transaction.execute("UPDATE unit_clock SET tick = tick + 1", [])?;
            Ok(lost)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Access;
    use std::time::Duration;

    const FILLED: &str = r#"
        INSERT INTO answer (id, question, body, asked_ms) VALUES
          ('a', 'Who?', '{"id": "a"}', 1), ('b', 'Where?', '{"id": "b"}', 1);
        INSERT INTO feedback (answer_id, verdict, given_ms) VALUES ('a', 'good', 2);
        INSERT INTO unit (id, state, title, text, questions, scores, batch, made_ms) VALUES
          ('u', 'active', 't', 'one', '["Who?"]', '{}', 'b', 1),
          ('v', 'active', 't', 'two', '["When?"]', '{}', 'b', 1);
        INSERT INTO unit_evidence (unit_id, chunk_id, quotes) VALUES
          ('u', x'01', '["one"]'), ('v', x'02', '["two"]');"#;

    const NEWER: &str = r#"
        INSERT INTO answer (id, question, body, asked_ms) VALUES ('c', 'When?', '{"id": "c"}', 3);
        INSERT INTO feedback (answer_id, verdict, given_ms) VALUES ('c', 'bad', 4);
        UPDATE unit SET state = 'retired';
        INSERT INTO unit_evidence (unit_id, chunk_id, quotes) VALUES ('v', x'03', '["more"]');
        INSERT INTO unit_change (batch, unit_id, before) VALUES ('b', 'u', '{}'), ('b', 'v', NULL);"#;

    const SPOILT: &str = r#"
        UPDATE answer SET body = '{"id": ' || char(0, 0) WHERE id IN ('a', 'c');
        UPDATE unit SET questions = CAST(x'5b22ff225d' AS TEXT) WHERE id = 'u';
        UPDATE unit_evidence SET quotes = '["' WHERE chunk_id IN (x'01', x'03');
        UPDATE unit_change SET before = '{' WHERE unit_id = 'u';"#;

    #[test]
    fn what_cannot_be_read_is_taken_from_the_copy_or_given_up() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path(), Access::Write).unwrap();
        let write = |sql: &str| {
            let written = store.ledger.write(|t| Ok(t.execute_batch(sql)?));
            written.unwrap();
        };
        let copied = || backup::automatic(home.path(), &store.ledger, Duration::ZERO).unwrap();
        write(FILLED);
        copied();
        write(NEWER);
        write(SPOILT);
        let shown = |found: &[Unreadable]| {
            let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
            shown.join(", ")
        };
        let found = || store.ledger.read(|s| unreadable_values(s.0)).unwrap();
        assert_eq!(
            shown(&found()),
            "answer a (body), answer c (body), unit u (questions), unit_evidence u 01 (quotes), \
             unit_evidence v 03 (quotes), unit_change 1 (before)"
        );
        // A newer copy keeps what the last one had.
        copied();
        assert_eq!(
            shown(&store.mend_unreadable().unwrap()),
            "answer c (body), unit_evidence v 03 (quotes), unit_change 1 (before)"
        );
        assert_eq!(found(), []);
        let kept = "SELECT (SELECT group_concat(id || body) FROM answer) || ' ' ||
               (SELECT group_concat(answer_id) FROM feedback) || ' ' ||
               (SELECT group_concat(state || questions) FROM unit) ||
               (SELECT group_concat(unit_id || quotes) FROM unit_evidence) ||
               (SELECT count(*) FROM unit_change)";
        let kept = store
            .ledger
            .read(|s| Ok(s.0.query_row(kept, [], |row| row.get::<_, String>(0))?));
        assert_eq!(
            kept.unwrap(),
            r#"a{"id": "a"},b{"id": "b"} a retired["Who?"]u["one"]0"#
        );
    }
}
