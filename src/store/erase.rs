//! Erasing: questions and answers, and what was learned of them, for good.
//!
//! The one place that removes what the ledger keeps for ever otherwise, events of units included:
//! an owner may want something gone. The caller writes the ledger anew, renews the automatic copy and
//! removes damaged ledgers that a recovery put aside, so that nothing of it is left in the data
//! folder; backups that were made before are the owner's own.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rusqlite::types::Value as Key;
use rusqlite::{OptionalExtension, Transaction, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ledger::{self, Snapshot};
use super::units::life::UNNAMED;
use super::{Result, units};
use crate::domain::scoring::normalised;
use crate::domain::source::{lies_in, shown_name};
use crate::domain::unit::Unit;

/// Which questions and answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Erase {
    /// One answer.
    Answer(String),
    /// All that were asked before, milliseconds since 1970.
    Before(i64),
    /// All that show something of a file below a folder, whether that is still a source or not; and what
    /// such a file says against units that rest on others.
    Below(PathBuf),
    /// All.
    All,
}

/// What was erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Erased {
    /// Answers, with their questions, feedback and citations.
    pub answers: usize,
    /// Knowledge units that rested on those questions alone.
    pub units: usize,
}

/// Erases what `what` names, in one transaction.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn erase(transaction: &Transaction<'_>, what: &Erase) -> Result<Erased> {
    // What is being written while nothing is there yet is known by this, too.
    let count = erasures(transaction)? + 1;
    ledger::put_memo(transaction, ERASURES, &count.to_string())?;
    let was_named = match what {
        Erase::Below(folder) => forget_files(transaction, folder)?,
        _ => false,
    };
    let chosen = chosen(transaction, what)?;
    let sent = forget_sent(transaction, what)?;
    if chosen.is_empty() && sent == 0 && !was_named {
        return Ok(Erased::default());
    }
    let questions: HashSet<String> = chosen.iter().map(|(_, q)| normalised(q)).collect();
    let units = forget_questions(transaction, &questions)?;
    forget_before(transaction, &questions)?;
    let asked: Vec<&str> = chosen.iter().map(|(_, q)| q.trim()).collect();
    unguarded(transaction, || scrub_events(transaction, &units, &asked))?;
    for (answer, _) in &chosen {
        transaction.execute(
            "UPDATE batch SET report = '{}' WHERE id IN
               (SELECT batch FROM considered WHERE answer_id = ?1)",
            [answer],
        )?;
        forget_what_left(transaction, answer)?;
        for table in ["citation", "feedback", "signal", "considered"] {
            transaction
                .prepare_cached(&format!("DELETE FROM {table} WHERE answer_id = ?1"))?
                .execute([answer])?;
        }
        transaction
            .prepare_cached("DELETE FROM answer WHERE id = ?1")?
            .execute([answer])?;
    }
    transaction.execute("UPDATE unit_clock SET tick = tick + 1", [])?;
    ledger::put_memo(transaction, ledger::PURGE, "due")?;
    Ok(Erased {
        answers: chosen.len(),
        units: units.len(),
    })
}

/// The memo that counts how often something was erased.
const ERASURES: &str = "erasures";

/// Counts up whenever something is to be erased: what was read before may hold it still, and what was
/// asked before is not kept.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn erasures(transaction: &Transaction<'_>) -> Result<i64> {
    Snapshot(transaction, false).erasures()
}

impl Snapshot<'_> {
    /// See [`erasures`].
    pub(crate) fn erasures(&self) -> Result<i64> {
        // It is the same for who sees a part of the notes, of whom memos are hidden otherwise.
        let count: Option<String> = self
            .0
            .prepare_cached("SELECT value FROM main.memo WHERE name = ?1")?
            .query_row([ERASURES], |row| row.get(0))
            .optional()?;
        Ok(count.and_then(|count| count.parse().ok()).unwrap_or(0))
    }
}

/// The reason of a unit whose own named a question that was forgotten.
const FORGOTTEN: &str = "for a question that was forgotten";

/// Ids and questions of the answers in question.
fn chosen(transaction: &Transaction<'_>, what: &Erase) -> Result<Vec<(String, String)>> {
    let mut statement = transaction.prepare("SELECT id, question, asked_ms, body FROM answer")?;
    let mut rows = statement.query([])?;
    let mut chosen = Vec::new();
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let wanted = match what {
            Erase::Answer(answer) => id == *answer,
            Erase::Before(ms) => row.get::<_, i64>(2)? < *ms,
            Erase::Below(folder) => shows(&row.get::<_, String>(3)?, folder),
            Erase::All => true,
        };
        if wanted {
            chosen.push((id, row.get(1)?));
        }
    }
    Ok(chosen)
}

/// Forgets what left for answers that were not kept, or are being written; how many requests. Of one
/// for an answer that is not there nobody can say what it shows.
fn forget_sent(transaction: &Transaction<'_>, what: &Erase) -> Result<usize> {
    let before = match what {
        Erase::Answer(_) => return Ok(0),
        Erase::Before(ms) => *ms,
        Erase::Below(_) | Erase::All => i64::MAX,
    };
    Ok(transaction.execute(
        "UPDATE outbound SET body = '', answer_id = NULL
         WHERE body <> '' AND at_ms < ?1
           AND NOT EXISTS (SELECT 1 FROM answer WHERE answer.id = outbound.answer_id)",
        [before],
    )?)
}

/// Forgets what left for an answer that is not kept, because something was forgotten since it was asked:
/// that could not see what left after it.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn forget_unkept(transaction: &Transaction<'_>, answer: &str) -> Result<()> {
    if forget_what_left(transaction, answer)? > 0 {
        ledger::put_memo(transaction, ledger::PURGE, "due")?;
    }
    Ok(())
}

/// Forgets what left for an answer; how many requests. That something left, and what it cost, counts on.
fn forget_what_left(transaction: &Transaction<'_>, answer: &str) -> Result<usize> {
    let update = "UPDATE outbound SET body = '', answer_id = NULL WHERE answer_id = ?1";
    Ok(transaction.prepare_cached(update)?.execute([answer])?)
}

/// Does an answer show anything of a file below this folder? One that cannot be read may.
fn shows(body: &str, folder: &Path) -> bool {
    let Ok(body) = serde_json::from_str::<Value>(body) else {
        return true;
    };
    let lists = [&body["citations"], &body["retrieval"]["hits"]];
    let mut places = lists.into_iter().filter_map(Value::as_array).flatten();
    places.any(|place| {
        let path = place["path"].as_str().map(Path::new);
        path.is_some_and(|path| lies_in(path, folder))
    })
}

/// Takes questions from the units that answer them; a unit that answers no other goes. Says which
/// went.
fn forget_questions(
    transaction: &Transaction<'_>,
    questions: &HashSet<String>,
) -> Result<Vec<String>> {
    let all: Vec<String> = transaction
        .prepare("SELECT id FROM unit")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut gone = Vec::new();
    for id in all {
        let Some(unit) = units::unit(transaction, &id)? else {
            continue;
        };
        let count = unit.questions.len();
        let mut left = unit.questions;
        left.retain(|question| !questions.contains(&normalised(question)));
        if left.len() == count {
            continue;
        }
        // Vectors of questions tell of them; those that stay are made anew by the next run.
        for table in ["unit_vector", "unit_change"] {
            transaction.execute(&format!("DELETE FROM {table} WHERE unit_id = ?1"), [&id])?;
        }
        if !left.is_empty() {
            // The question may be what it is titled by.
            let title = if questions.contains(&normalised(&unit.title)) {
                &left[0]
            } else {
                &unit.title
            };
            transaction.execute(
                "UPDATE unit SET questions = ?2, title = ?3 WHERE id = ?1",
                params![id, serde_json::to_string(&left)?, title],
            )?;
            continue;
        }
        transaction.execute("DELETE FROM unit_evidence WHERE unit_id = ?1", [&id])?;
        transaction.execute("DELETE FROM unit WHERE id = ?1", [&id])?;
        gone.push(id);
    }
    Ok(gone)
}

/// Takes questions from what units were before a batch changed them; what answered no other is nothing
/// to go back to.
fn forget_before(transaction: &Transaction<'_>, questions: &HashSet<String>) -> Result<()> {
    let all: Vec<(i64, String)> = transaction
        .prepare("SELECT id, before FROM unit_change WHERE before IS NOT NULL")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (id, before) in all {
        let mut unit: Unit = serde_json::from_str(&before)?;
        let count = unit.questions.len();
        unit.questions
            .retain(|q| !questions.contains(&normalised(q)));
        if unit.questions.is_empty() && count > 0 {
            transaction.execute("DELETE FROM unit_change WHERE id = ?1", [id])?;
        } else if unit.questions.len() < count {
            if questions.contains(&normalised(&unit.title)) {
                unit.title.clone_from(&unit.questions[0]);
            }
            transaction.execute(
                "UPDATE unit_change SET before = ?2 WHERE id = ?1",
                params![id, serde_json::to_string(&unit)?],
            )?;
        }
    }
    Ok(())
}

/// Questions that are to go. Where a text names one, it stands between these marks: “…”.
struct Named {
    questions: HashSet<String>,
    longest: usize,
}

impl Named {
    fn of(questions: HashSet<String>) -> Self {
        let longest = questions.iter().map(String::len).max().unwrap_or(0);
        Self { questions, longest }
    }

    /// Does a text name one of them? A question may hold such marks itself.
    fn is_in(&self, text: &str) -> bool {
        text.match_indices('“').any(|(at, mark)| {
            let rest = &text[at + mark.len()..];
            let ends = rest.match_indices('”').map(|(end, _)| end);
            let mut ends = ends.take_while(|end| *end <= self.longest);
            ends.any(|end| self.questions.contains(&rest[..end]))
        })
    }

    /// Numbers of the rows whose text, which is their second column, names one of them.
    fn rows(&self, transaction: &Transaction<'_>, sql: &str) -> Result<Vec<i64>> {
        rows_where(transaction, sql, |text| self.is_in(text))
    }
}

/// Numbers of the rows whose text, which is their second column, is such.
fn rows_where(
    transaction: &Transaction<'_>,
    sql: &str,
    is: impl Fn(&str) -> bool,
) -> Result<Vec<i64>> {
    let mut statement = transaction.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let text = row.get_ref(1)?.as_str().unwrap_or_default();
        if is(text) {
            found.push(row.get(0)?);
        }
    }
    Ok(found)
}

/// Does some work that removes events, which are never removed otherwise.
fn unguarded(transaction: &Transaction<'_>, work: impl FnOnce() -> Result<()>) -> Result<()> {
    const GUARD: &str = "unit_event_is_kept";
    let guard: Option<String> = transaction
        .query_row(
            "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = ?1",
            [GUARD],
            |row| row.get(0),
        )
        .optional()?;
    transaction.execute_batch(&format!("DROP TRIGGER IF EXISTS {GUARD}"))?;
    work()?;
    if let Some(guard) = guard {
        transaction.execute_batch(&guard)?;
    }
    Ok(())
}

/// Takes files below a folder out of what is told of units that rest on others: which one contradicts a
/// unit, and with which word, stands in its reason, in its events and in what gates said. Says whether
/// one was named.
fn forget_files(transaction: &Transaction<'_>, folder: &Path) -> Result<bool> {
    let is_named = |reason: &str| lies_in(Path::new(reason), folder);
    let units = rows_where(transaction, "SELECT rowid, reason FROM unit", is_named)?;
    for unit in &units {
        transaction
            .prepare_cached("UPDATE unit SET reason = ?2 WHERE rowid = ?1")?
            .execute(params![unit, UNNAMED])?;
    }
    let events = rows_where(transaction, "SELECT id, reason FROM unit_event", is_named)?;
    unguarded(transaction, || {
        for event in &events {
            transaction
                .prepare_cached("DELETE FROM unit_event WHERE id = ?1")?
                .execute([event])?;
        }
        Ok(())
    })?;
    let mut was_named = !(units.is_empty() && events.is_empty());
    for (table, key, column) in [
        ("unit", "id", "gates"),
        ("considered", "answer_id", "gates"),
        ("unit_change", "id", "before"),
        ("batch", "id", "report"),
    ] {
        let update = format!("UPDATE {table} SET {column} = ?2 WHERE {key} = ?1");
        let sql = format!("SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL");
        for (id, told) in without_files(transaction, &sql, folder)? {
            transaction.execute(&update, params![id, told])?;
            was_named = true;
        }
    }
    Ok(was_named)
}

/// Keys of the rows whose JSON, which is their second column, names files below a folder, with that JSON
/// without them.
fn without_files(
    transaction: &Transaction<'_>,
    sql: &str,
    folder: &Path,
) -> Result<Vec<(Key, String)>> {
    let written = serde_json::to_string(&shown_name(&folder.to_string_lossy()))?;
    let written = &written[..written.len() - 1];
    let mut statement = transaction.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let text = row.get_ref(1)?.as_str().unwrap_or_default();
        if !text.contains(written) {
            continue;
        }
        let mut told: Value = serde_json::from_str(text)?;
        if unname(&mut told, folder) {
            found.push((row.get(0)?, told.to_string()));
        }
    }
    Ok(found)
}

/// Replaces texts that begin with a file below a folder; says whether there were any.
fn unname(told: &mut Value, folder: &Path) -> bool {
    let mut was_named = false;
    match told {
        Value::String(text) if lies_in(Path::new(text.as_str()), folder) => {
            UNNAMED.clone_into(text);
            was_named = true;
        }
        Value::Array(items) => {
            for item in items {
                was_named |= unname(item, folder);
            }
        }
        Value::Object(fields) => {
            for value in fields.values_mut() {
                was_named |= unname(value, folder);
            }
        }
        _ => {}
    }
    was_named
}

/// Events are never removed, but here: those of units that went, and those that name a question.
fn scrub_events(transaction: &Transaction<'_>, units: &[String], questions: &[&str]) -> Result<()> {
    for unit in units {
        transaction.execute("DELETE FROM unit_event WHERE unit_id = ?1", [unit])?;
    }
    let named = Named::of(questions.iter().map(|q| (*q).to_owned()).collect());
    // In JSON, some characters are written otherwise.
    let written = questions.iter().map(|question| -> Result<String> {
        let written = serde_json::to_string(question)?;
        Ok(written[1..written.len() - 1].to_owned())
    });
    let written = Named::of(written.collect::<Result<_>>()?);
    for change in written.rows(transaction, "SELECT id, before FROM unit_change")? {
        transaction
            .prepare_cached("DELETE FROM unit_change WHERE id = ?1")?
            .execute([change])?;
    }
    for unit in named.rows(transaction, "SELECT rowid, reason FROM unit")? {
        transaction
            .prepare_cached("UPDATE unit SET reason = ?2 WHERE rowid = ?1")?
            .execute(params![unit, FORGOTTEN])?;
    }
    for event in named.rows(transaction, "SELECT id, reason FROM unit_event")? {
        transaction
            .prepare_cached("DELETE FROM unit_event WHERE id = ?1")?
            .execute([event])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::gate::{Gate, Verdict};
    use crate::store::ledger::Ledger;
    use crate::store::units::batches;

    const FILLED: &str = r#"
        INSERT INTO answer (id, question, body, asked_ms) VALUES
          ('a', 'Who said "I" and “we”?', '{}', 1), ('b', 'Who else? ', '{}', 1);
        INSERT INTO unit (id, state, title, text, questions, scores, batch, made_ms, reason) VALUES
          ('u', 'active', 't', 'one', '["x"]', '{}', 'b', 1, 'moves “Who said "I" and “we”?” down'),
          ('v', 'active', 't', 'two', '["x"]', '{}', 'b', 1, 'as “they” say of “Who else?”'),
          ('w', 'active', 't', 'three', '["x"]', '{}', 'b', 1, 'of “Who else? No.”');"#;

    #[test]
    fn a_folder_is_known_as_answers_name_it() {
        let check = |path: &str, folder: &str, expected: bool| {
            let body = serde_json::json!({ "citations": [{ "path": path }] });
            assert_eq!(
                shows(&body.to_string(), Path::new(folder)),
                expected,
                "{path}"
            );
        };
        check("/n/a/x.md", "/n/a", true);
        check("/n/ab/x.md", "/n/a", false);
        check("/n/a\\xE2\\x80\\x8Fb/x.md", "/n/a\u{200f}b", true);
        check("/n/ab/x.md", "/n/a\u{200f}b", false);
    }

    #[test]
    fn no_unit_tells_what_a_file_said_that_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
        let said = |file: &str| format!("{file}: one says 4471, the other 9912");
        let gates = |file: &str| {
            let verdict = Verdict::refused(Gate::Uncontested, None, said(file));
            serde_json::to_string(&[verdict]).unwrap()
        };
        let files = [("u", "/n/a/x.md"), ("v", "/n/ab/x.md")];
        let erased = ledger.write(|transaction| {
            for (unit, file) in files {
                transaction.execute(
                    "INSERT INTO answer (id, question, body, asked_ms) VALUES (?1, 'q', '{}', 1)",
                    [unit],
                )?;
                transaction.execute(
                    "INSERT INTO unit (id, state, title, text, questions, scores, batch, made_ms,
                                       reason, gates)
                     VALUES (?1, 'contested', 't', ?1, '[\"x\"]', '{}', 'b', 1, ?2, ?3)",
                    params![unit, said(file), gates(file)],
                )?;
                batches::note_before(transaction, "b", unit)?;
                transaction.execute(
                    "INSERT INTO considered VALUES (?1, 'b', ?1, ?2)",
                    params![unit, gates(file)],
                )?;
                transaction.execute(
                    "INSERT INTO batch (id, started_ms, state, report)
                     VALUES (?1, 1, 'published', ?2)",
                    params![unit, gates(file)],
                )?;
            }
            erase(transaction, &Erase::Below(PathBuf::from("/n/a")))
        });
        assert_eq!(erased.unwrap(), Erased::default());
        let holding = |what: &str| -> i64 {
            let count = ledger.read(|snapshot| {
                let sql = "SELECT (SELECT count(*) FROM unit WHERE reason || gates LIKE ?1)
                         + (SELECT count(*) FROM unit_event WHERE reason LIKE ?1)
                         + (SELECT count(*) FROM unit_change WHERE before LIKE ?1)
                         + (SELECT count(*) FROM considered WHERE gates LIKE ?1)
                         + (SELECT count(*) FROM batch WHERE report LIKE ?1)";
                let like = format!("%{what}%");
                Ok(snapshot.0.query_row(sql, [like], |row| row.get(0))?)
            });
            count.unwrap()
        };
        assert_eq!((holding("/n/a/"), holding("/n/ab/")), (0, 5));
        assert_eq!(holding(UNNAMED), 4, "that it is contested stays");
    }

    #[test]
    fn what_left_for_an_answer_that_was_not_kept_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
        let fill =
            "INSERT INTO outbound (at_ms, day, url, model, answer_id, body, tokens, cost, state)
                    VALUES (5, 0, 'u', 'm', 'unkept', 'the question', 9, 0.5, 'answered')";
        let left = |what: Erase| -> (String, i64) {
            let written = ledger.write(|transaction| {
                transaction.execute("DELETE FROM outbound", [])?;
                transaction.execute(fill, [])?;
                erase(transaction, &what)?;
                let sql = "SELECT body, tokens FROM outbound";
                let one = transaction.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
                Ok(one?)
            });
            written.unwrap()
        };
        assert_eq!(left(Erase::All), (String::new(), 9));
        assert_eq!(left(Erase::Below("/n".into())), (String::new(), 9));
        assert_eq!(left(Erase::Before(6)), (String::new(), 9));
        assert_eq!(left(Erase::Before(5)), ("the question".into(), 9));
        // What left after it, for an answer that was asked before.
        let left_for = |answer: &str| -> (String, i64) {
            let written = ledger.write(|transaction| {
                forget_unkept(transaction, answer)?;
                let sql = "SELECT body, tokens FROM outbound";
                let one = transaction.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
                Ok(one?)
            });
            written.unwrap()
        };
        assert_eq!(left_for("another"), ("the question".into(), 9));
        assert_eq!(left_for("unkept"), (String::new(), 9));
    }

    #[test]
    fn reasons_that_name_what_is_forgotten_go_in_one_look() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
        let written = ledger.write(|transaction| {
            transaction.execute_batch(FILLED)?;
            for unit in ["u", "v", "w"] {
                batches::note_before(transaction, "b", unit)?;
            }
            erase(transaction, &Erase::All)
        });
        assert_eq!(written.unwrap().answers, 2);
        let of = |sql: &str| -> Vec<String> {
            let found = ledger.read(|snapshot| {
                let mut statement = snapshot.0.prepare(sql)?;
                let rows = statement.query_map([], |row| row.get(0))?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            });
            found.unwrap()
        };
        assert_eq!(of("SELECT unit_id FROM unit_change"), ["w"]);
        assert_eq!(of("SELECT unit_id FROM unit_event"), ["w"]);
        let reasons = of("SELECT reason FROM unit ORDER BY id");
        assert_eq!(reasons, [FORGOTTEN, FORGOTTEN, "of “Who else? No.”"]);
    }
}
