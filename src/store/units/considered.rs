//! Answers as writeback takes them: those that it has not looked at, and what came of the others.
//!
//! What was considered stays so until it is erased.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, Row, Transaction, params};

use crate::domain::chunk::ChunkId;
use crate::domain::gate::{Gate, Verdict};
use crate::domain::scoring::normalised;
use crate::domain::unit::State;
use crate::store::Result;
use crate::store::feedback::Reception;
use crate::store::ledger::Snapshot;

/// An answer that writeback has not looked at.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its id.
    pub id: String,
    /// The whole of it.
    pub body: serde_json::Value,
    /// When it was asked, milliseconds since 1970.
    pub asked_ms: i64,
    /// Who asked, where that was not the owner.
    pub asker: Option<String>,
}

impl Candidate {
    fn of(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            body: serde_json::from_str(&row.get::<_, String>(1)?)?,
            asked_ms: row.get(2)?,
            asker: row.get(3)?,
        })
    }

    /// What was asked.
    pub fn question(&self) -> String {
        self.body["question"].as_str().unwrap_or("").to_owned()
    }
}

/// The answer that was written last; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Newest {
    row: i64,
    id: String,
}

/// A question with known outcome.
#[derive(Clone, Debug)]
pub struct Past {
    /// The answer.
    pub answer: String,
    /// The question.
    pub question: String,
    /// When it was asked, milliseconds since 1970.
    pub asked_ms: i64,
    /// Chunks that it cites, in citation order.
    pub cited: Vec<ChunkId>,
    /// Sentences that it cites, in that order.
    pub sentences: Vec<String>,
    /// What the owner said and did.
    pub reception: Reception,
    /// Whether another passage was found to say the contrary of it, and the owner has not decided.
    pub contested: bool,
}

impl Snapshot<'_> {
    /// Ids of the answers since then that were not considered yet, oldest first: those that the owner got
    /// before all that others asked over tokens, which could use up a day's units.
    pub(crate) fn unconsidered(&self, since_ms: i64, limit: usize) -> Result<Vec<String>> {
        let mut statement = self.0.prepare_cached(UNCONSIDERED)?;
        let mut found = Vec::new();
        for is_owners in [true, false] {
            let left = limit - found.len();
            let rows = statement.query_map(params![since_ms, left, is_owners], |row| row.get(0))?;
            for row in rows {
                found.push(row?);
            }
        }
        Ok(found)
    }

    /// The answer of this id; `None` where it was erased.
    pub(crate) fn candidate(&self, id: &str) -> Result<Option<Candidate>> {
        let mut statement = self
            .0
            .prepare_cached("SELECT id, body, asked_ms, asker FROM answer WHERE id = ?1")?;
        let mut rows = statement.query([id])?;
        rows.next()?.map(Candidate::of).transpose()
    }

    /// The newest answer, where none is left to be considered; `None` where one is. Nothing up to
    /// `known`, which is what this said before, is looked at again: answers are numbered as they are
    /// written, and what was considered stays so until it is erased.
    pub(crate) fn all_considered(&self, known: &Newest) -> Result<Option<Newest>> {
        // Where it is erased, its number may have been given again.
        let stands = self
            .0
            .prepare_cached("SELECT 1 FROM answer WHERE rowid = ?1 AND id = ?2")?
            .exists(params![known.row, known.id])?;
        let left = if stands {
            self.0
                .prepare_cached(
                    "SELECT 1 FROM answer WHERE rowid > ?1
                     AND id NOT IN (SELECT answer_id FROM considered)",
                )?
                .exists([known.row])?
        } else {
            !self.unconsidered(0, 1)?.is_empty()
        };
        if left {
            return Ok(None);
        }
        let newest = self
            .0
            .prepare_cached("SELECT rowid, id FROM answer ORDER BY rowid DESC LIMIT 1")?
            .query_row([], |row| {
                Ok(Newest {
                    row: row.get(0)?,
                    id: row.get(1)?,
                })
            })
            .optional()?;
        Ok(Some(newest.unwrap_or_default()))
    }

    /// The answer before this one that the same asker got, where that was since then.
    pub(crate) fn asked_before(
        &self,
        next: &Candidate,
        since_ms: i64,
    ) -> Result<Option<Candidate>> {
        let mut statement = self.0.prepare_cached(
            "SELECT id, body, asked_ms, asker FROM answer
             WHERE asked_ms >= ?1 AND (asked_ms, id) < (?2, ?3) AND asker IS ?4
             ORDER BY asked_ms DESC, id DESC LIMIT 1",
        )?;
        let mut rows = statement.query(params![since_ms, next.asked_ms, next.id, next.asker])?;
        rows.next()?.map(Candidate::of).transpose()
    }

    /// The owner's questions whose answers were considered and cite what is still visible, the newest
    /// first. What units led to speaks for them alone where the owner called it good.
    pub(crate) fn past(&self, limit: usize) -> Result<Vec<Past>> {
        let mut statement = self.0.prepare_cached(
            "SELECT a.id, a.question, a.asked_ms, a.body, c.gates, u.state
             FROM answer a JOIN considered c ON c.answer_id = a.id
             LEFT JOIN unit u ON u.id = c.unit_id
             WHERE a.asker IS NULL AND EXISTS (SELECT 1 FROM citation WHERE answer_id = a.id)
             AND NOT EXISTS (SELECT 1 FROM citation WHERE answer_id = a.id
                             AND chunk_id NOT IN (SELECT id FROM chunk))
             ORDER BY a.asked_ms DESC, a.id LIMIT ?1",
        )?;
        let mut cited = self
            .0
            .prepare_cached("SELECT chunk_id FROM citation WHERE answer_id = ?1 ORDER BY n")?;
        let mut rows = statement.query([limit])?;
        let mut past = Vec::new();
        while let Some(row) = rows.next()? {
            let (answer, body): (String, String) = (row.get(0)?, row.get(3)?);
            let body: serde_json::Value = serde_json::from_str(&body)?;
            let reception = self.reception(&answer)?;
            let citations = body["citations"].as_array();
            let mut citations = citations.into_iter().flatten();
            let led = citations.clone().any(|c| c["unit_id"].is_string());
            if led && reception.good == 0 {
                continue;
            }
            let chunks = cited.query_map([&answer], |row| row.get(0))?;
            let (gates, state): (String, Option<String>) = (row.get(4)?, row.get(5)?);
            past.push(Past {
                reception,
                contested: is_contested(&gates, state.as_deref().and_then(State::named)),
                cited: chunks.collect::<rusqlite::Result<_>>()?,
                sentences: citations
                    .by_ref()
                    .filter_map(|c| c["text"].as_str().map(str::to_owned))
                    .collect(),
                answer,
                question: row.get(1)?,
                asked_ms: row.get(2)?,
            });
        }
        Ok(past)
    }

    /// What the gates said of the answers that were considered in a batch.
    pub(crate) fn verdicts_in(&self, batch: &str) -> Result<Vec<Vec<Verdict>>> {
        let mut statement = self
            .0
            .prepare_cached("SELECT gates FROM considered WHERE batch = ?1")?;
        let mut rows = statement.query([batch])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(serde_json::from_str(&row.get::<_, String>(0)?)?);
        }
        Ok(found)
    }

    /// The answers that led to a unit, with their questions.
    pub(crate) fn answers_behind(&self, unit: &str) -> Result<Vec<(String, String)>> {
        let mut statement = self.0.prepare_cached(
            "SELECT c.answer_id, a.question FROM considered c JOIN answer a ON a.id = c.answer_id
             WHERE c.unit_id = ?1 ORDER BY 1",
        )?;
        let rows = statement.query_map([unit], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

/// Of past questions, the newest first, those whose answer the owner did not call bad, each once: one that
/// is asked every day says no more than once, and would make what is left to chance look sure.
pub(crate) fn once_each(mut past: Vec<Past>) -> Vec<Past> {
    let mut known = HashSet::new();
    past.retain(|past| past.reception.bad == 0 && known.insert(normalised(&past.question)));
    past
}

/// Did another passage say the contrary of an answer, by its gates and by the state of its unit?
fn is_contested(gates: &str, unit: Option<State>) -> bool {
    let gates: Vec<Verdict> = serde_json::from_str(gates).unwrap_or_default();
    let mut gates = gates.iter();
    match unit {
        Some(State::Active) => false,
        Some(State::Contested) => true,
        _ => gates.any(|verdict| verdict.gate == Gate::Uncontested && !verdict.passed),
    }
}

/// The `?2` oldest answers since `?1` that were not considered yet: the owner's, or those of others.
pub(in crate::store) const UNCONSIDERED: &str = "SELECT id FROM answer
     WHERE asked_ms >= ?1 AND id NOT IN (SELECT answer_id FROM considered)
     AND (asker IS NULL) = ?3 ORDER BY asked_ms, id LIMIT ?2";

/// Notes what the gates said of an answer.
///
/// # Errors
/// [`StoreError::Ledger`](crate::store::StoreError::Ledger).
pub fn put_considered(
    transaction: &Transaction<'_>,
    answer: &str,
    batch: &str,
    unit: Option<&str>,
    gates: &[Verdict],
) -> Result<()> {
    transaction.execute(
        "INSERT OR REPLACE INTO considered (answer_id, batch, unit_id, gates)
         VALUES (?1, ?2, ?3, ?4)",
        params![answer, batch, unit, serde_json::to_string(gates)?],
    )?;
    Ok(())
}

/// The unit in trial that was made of an answer, unless the owner called that answer good, or what it
/// cites is not there any more: then it is answered from elsewhere in any case.
///
/// # Errors
/// [`StoreError::Ledger`](crate::store::StoreError::Ledger).
pub fn in_trial_of(transaction: &Transaction<'_>, answer: &str) -> Result<Option<String>> {
    let found = transaction
        .prepare_cached(
            "SELECT u.id FROM considered c JOIN unit u ON u.id = c.unit_id AND u.state = 'shadow'
             WHERE c.answer_id = ?1 AND NOT EXISTS (SELECT 1 FROM feedback f
               WHERE f.answer_id = ?1 AND f.verdict = 'good' AND f.giver IS NULL)
             AND NOT EXISTS (SELECT 1 FROM citation WHERE answer_id = ?1
               AND chunk_id NOT IN (SELECT id FROM chunk))",
        )?
        .query_row([answer], |row| row.get(0))
        .optional()?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;
    use crate::store::ledger::tests::{ANSWERS, with_ledger};

    #[test]
    fn an_answer_is_contested_until_the_owner_decides() {
        let check = |gates: &[Verdict], unit: Option<State>, expected: bool| {
            let gates = serde_json::to_string(gates).unwrap();
            assert_eq!(is_contested(&gates, unit), expected, "{gates} {unit:?}");
        };
        let refused = [Verdict::refused(
            Gate::Uncontested,
            None,
            "one says 4, the other 5",
        )];
        let other = [Verdict::refused(Gate::Novel, None, "it is known")];
        check(&refused, None, true);
        check(&refused, Some(State::Shadow), true);
        check(&refused, Some(State::Active), false);
        check(&other, None, false);
        check(&other, Some(State::Contested), true);
        assert!(!is_contested("of another version", None));
    }

    #[test]
    fn what_is_asked_every_day_counts_once_and_what_was_called_bad_does_not() {
        let asked = [
            ("Who has the key?", 1),
            ("who has the key", 0),
            ("Who has the key?", 0),
            ("Where is it?", 0),
        ];
        let past = asked.map(|(question, bad)| Past {
            answer: question.into(),
            question: question.into(),
            asked_ms: 0,
            cited: Vec::new(),
            sentences: Vec::new(),
            reception: Reception {
                bad,
                ..Reception::default()
            },
            contested: false,
        });
        let left = once_each(past.into());
        let left: Vec<&str> = left.iter().map(|past| past.question.as_str()).collect();
        assert_eq!(left, ["who has the key", "Where is it?"]);
    }

    #[test]
    fn what_is_to_be_considered_is_named_the_oldest_first_and_read_one_by_one() {
        with_ledger(ANSWERS, |ledger| {
            let left = |since_ms: i64, limit: usize| {
                let left = ledger.read(|snapshot| snapshot.unconsidered(since_ms, limit));
                left.unwrap()
            };
            assert_eq!(left(0, 9), ["b", "a"]);
            assert_eq!(left(0, 1), ["b"]);
            assert_eq!(left(2, 9), ["a"]);
            let asked = "INSERT INTO answer (id, question, body, asked_ms, asker)
                 VALUES ('c', 'What?', '{}', 0, 'guest')";
            let written = ledger.write(|t| t.execute(asked, []).map_err(StoreError::from));
            assert_eq!(written.unwrap(), 1);
            assert_eq!(left(0, 9), ["b", "a", "c"], "others wait");
            assert_eq!(left(0, 2), ["b", "a"]);
            let read = |id: &str| ledger.read(|snapshot| snapshot.candidate(id)).unwrap();
            assert_eq!(read("a").map(|candidate| candidate.asked_ms), Some(5));
            assert!(read("d").is_none());
        });
    }

    #[test]
    fn what_was_considered_is_not_looked_at_again() {
        with_ledger(ANSWERS, |ledger| {
            let all = |known: &Newest| ledger.read(|s| s.all_considered(known)).unwrap();
            let write = |sql: &str| {
                let written = ledger.write(|t| t.execute(sql, []).map_err(StoreError::from));
                assert!(written.unwrap() > 0);
            };
            let none = Newest::default();
            assert_eq!(all(&none), None);
            write("INSERT INTO considered VALUES ('a', 'x', NULL, '[]'), ('b', 'x', NULL, '[]')");
            let newest = all(&none).unwrap();
            assert_eq!(newest.id, "b");
            assert_eq!(all(&newest), Some(newest.clone()));
            // One that was asked before the others, and answered after them.
            write("INSERT INTO answer (id, question, body, asked_ms) VALUES ('c', '', '{}', 0)");
            assert_eq!(all(&newest), None);
            write("INSERT INTO considered VALUES ('c', 'x', NULL, '[]')");
            let newest = all(&newest).unwrap();
            assert_eq!(newest.id, "c");
            // The number of one that is erased is given again.
            write("DELETE FROM considered WHERE answer_id = 'c'");
            write("DELETE FROM answer WHERE id = 'c'");
            write("INSERT INTO answer (id, question, body, asked_ms) VALUES ('d', '', '{}', 9)");
            assert_eq!(all(&newest), None);
        });
    }
}
