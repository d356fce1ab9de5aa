//! Feedback: what was said of answers, and what was done about them.
//!
//! Only the owner's word is praise, but anybody's complaint counts. What was done is kept once,
//! however often it is told.

use rusqlite::{Transaction, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::ledger::Snapshot;

type Result<T> = std::result::Result<T, StoreError>;

/// What the owner said and did about an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reception {
    /// Times it was called good.
    pub good: u32,
    /// Times it was called bad.
    pub bad: u32,
    /// Citations opened.
    pub opened: u32,
    /// Times it was copied.
    pub copied: u32,
    /// Times the question was asked again in other words: it did not help.
    pub asked_again: u32,
}

/// What somebody with the owner's word said of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnersWord {
    /// Counts up with every verdict.
    pub number: i64,
    /// Whether the answer was called good.
    pub good: bool,
    /// Units that the answer became, or through which it was found.
    pub units: Vec<String>,
}

impl Snapshot<'_> {
    /// What was said and done about an answer. Only the owner's word is praise.
    pub(crate) fn reception(&self, answer: &str) -> Result<Reception> {
        let mut statement = self.0.prepare_cached(
            "SELECT verdict, count(*) FROM feedback
             WHERE answer_id = ?1 AND (giver IS NULL OR verdict = 'bad') GROUP BY verdict
             UNION ALL SELECT DISTINCT kind, 1 FROM signal WHERE answer_id = ?1",
        )?;
        let mut rows = statement.query([answer])?;
        let mut reception = Reception::default();
        while let Some(row) = rows.next()? {
            let count = row.get(1)?;
            match row.get::<_, String>(0)?.as_str() {
                "good" => reception.good = count,
                "bad" => reception.bad = count,
                "opened" => reception.opened = count,
                "copied" => reception.copied = count,
                "asked_again" => reception.asked_again = count,
                _ => {}
            }
        }
        Ok(reception)
    }

    /// What was said with the owner's word after the verdict of this number, in that order, and the
    /// units that it is about.
    pub(crate) fn owners_words(&self, after: i64) -> Result<Vec<OwnersWord>> {
        let mut statement = self.0.prepare_cached(
            "SELECT f.id, f.verdict = 'good', a.body, c.unit_id FROM feedback f
             JOIN answer a ON a.id = f.answer_id LEFT JOIN considered c ON c.answer_id = a.id
             WHERE f.id > ?1 AND f.giver IS NULL ORDER BY f.id",
        )?;
        let mut rows = statement.query([after])?;
        let mut words = Vec::new();
        while let Some(row) = rows.next()? {
            let body: serde_json::Value = serde_json::from_str(&row.get::<_, String>(2)?)?;
            let citations = body["citations"].as_array().into_iter().flatten();
            let through = citations.filter_map(|c| c["unit_id"].as_str().map(str::to_owned));
            let mut units: Vec<String> = row.get::<_, Option<String>>(3)?.into_iter().collect();
            units.extend(through);
            units.sort();
            units.dedup();
            words.push(OwnersWord {
                number: row.get(0)?,
                good: row.get(1)?,
                units,
            });
        }
        Ok(words)
    }

    /// The number of the newest verdict with the owner's word; 0 where there is none.
    pub(crate) fn newest_word(&self) -> Result<i64> {
        let mut statement = self
            .0
            .prepare_cached("SELECT coalesce(max(id), 0) FROM feedback WHERE giver IS NULL")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// Answers that the owner called good (`true`) or bad, in the order in which that was said.
    pub(crate) fn called(&self) -> Result<Vec<(serde_json::Value, bool)>> {
        let mut statement = self.0.prepare_cached(
            "SELECT a.body, f.verdict = 'good' FROM feedback f JOIN answer a ON a.id = f.answer_id
             WHERE f.giver IS NULL ORDER BY f.id",
        )?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
        rows.map(|row| {
            let (body, good) = row?;
            Ok((serde_json::from_str(&body)?, good))
        })
        .collect()
    }
}

/// Keeps what is said of an answer, by the owner or by another `giver`; `false` when there is no
/// such answer.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn put_feedback(
    transaction: &Transaction<'_>,
    answer: &str,
    verdict: &str,
    (note, giver): (Option<&str>, Option<&str>),
    now_ms: i64,
) -> Result<bool> {
    let exists = transaction
        .prepare_cached("SELECT 1 FROM answer WHERE id = ?1")?
        .exists([answer])?;
    if exists {
        transaction.execute(
            "INSERT INTO feedback (answer_id, verdict, note, giver, given_ms)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![answer, verdict, note, giver, now_ms],
        )?;
    }
    Ok(exists)
}

/// Keeps what was done about an answer, once however often it is told; `false` when there is no such
/// answer.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn put_signal(
    transaction: &Transaction<'_>,
    answer: &str,
    kind: &str,
    now_ms: i64,
) -> Result<bool> {
    let known = transaction
        .prepare_cached("SELECT 1 FROM answer WHERE id = ?1")?
        .exists([answer])?;
    if known {
        transaction.execute(
            "INSERT INTO signal (answer_id, kind, at_ms) SELECT ?1, ?2, ?3 WHERE NOT EXISTS
               (SELECT 1 FROM signal WHERE answer_id = ?1 AND kind = ?2)",
            params![answer, kind, now_ms],
        )?;
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ledger::tests::{ANSWERS, with_ledger};

    #[test]
    fn what_is_told_again_and_again_was_done_once() {
        with_ledger(ANSWERS, |ledger| {
            for at_ms in 0..100 {
                let told = ledger.write(|t| put_signal(t, "a", "opened", at_ms));
                assert!(told.unwrap());
            }
            // An older version kept each.
            let older = "INSERT INTO signal (answer_id, kind, at_ms) VALUES ('a', 'copied', 1),
                ('a', 'copied', 2)";
            let written = ledger.write(|t| t.execute(older, []).map_err(StoreError::from));
            assert_eq!(written.unwrap(), 2);
            let kept = "SELECT count(*) FROM signal WHERE kind = 'opened'";
            let kept = ledger.read(|s| {
                let count = s.0.query_row(kept, [], |row| row.get::<_, u32>(0));
                count.map_err(StoreError::from)
            });
            assert_eq!(kept.unwrap(), 1);
            let reception = ledger.read(|s| s.reception("a")).unwrap();
            assert_eq!((reception.opened, reception.copied), (1, 1));
            let other = ledger.read(|s| s.reception("b")).unwrap();
            assert_eq!(other, Reception::default());
        });
    }
}
