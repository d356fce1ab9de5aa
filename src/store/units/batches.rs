//! Batches: runs of writeback, what they spent and changed, and how that is taken back.
//!
//! What a unit was is noted before a batch changes it, so that a batch can be taken back although
//! others came after it.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, ToSql, Transaction, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::life::{BY_OWNER, GONE, bring_back, part_of, say_anew};
use super::{GOOD, SECOND_SOURCES, put_unit, unit};
use crate::domain::unit::{State, Unit};
use crate::store::Result;
use crate::store::ledger::{self, Snapshot};

/// A run of writeback.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Batch {
    /// Its id.
    pub id: String,
    /// When it began, milliseconds since 1970.
    pub started_ms: i64,
    /// When it ended.
    pub ended_ms: Option<i64>,
    /// `running`, `published` or `rolled_back`.
    pub state: String,
    /// Why it is in that state.
    pub reason: String,
    /// Units that it made, in whatever state they are by now.
    #[serde(default)]
    pub made: u32,
    /// Units that were there before, and that it changed.
    #[serde(default)]
    pub changed: u32,
}

/// What writeback spent on a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spent {
    /// Seconds.
    pub seconds: f64,
    /// Joules.
    pub joules: f64,
    /// Units made.
    pub units: u32,
}

/// Takes units out of use: one, those of a batch, those made since a moment, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undo {
    /// One unit.
    Unit(String),
    /// All of a batch.
    Batch(String),
    /// All made since then, milliseconds since 1970.
    Since(i64),
    /// All.
    All,
}

/// Milliseconds of a day.
pub(crate) const DAY_MS: i64 = 86_400_000;

impl Snapshot<'_> {
    /// What writeback spent on the day of this moment.
    pub(crate) fn spent(&self, now_ms: i64) -> Result<Spent> {
        let found = self
            .0
            .prepare_cached("SELECT seconds, joules, units FROM spent WHERE day = ?1")?
            .query_row([now_ms.div_euclid(DAY_MS)], |row| {
                Ok(Spent {
                    seconds: row.get(0)?,
                    joules: row.get(1)?,
                    units: row.get(2)?,
                })
            })
            .optional()?;
        Ok(found.unwrap_or_default())
    }

    /// Calls of the language model so far, by all runs.
    pub(crate) fn model_calls(&self) -> Result<usize> {
        let count = self.memo(CALLS)?;
        Ok(count.and_then(|count| count.parse().ok()).unwrap_or(0))
    }

    /// The newest batches.
    pub(crate) fn batches(&self, limit: usize) -> Result<Vec<Batch>> {
        let mut statement = self.0.prepare_cached(
            "SELECT id, started_ms, ended_ms, state, reason,
               (SELECT count(*) FROM unit WHERE unit.batch = b.id),
               (SELECT count(*) FROM unit_change c WHERE c.batch = b.id AND c.before IS NOT NULL)
             FROM batch b ORDER BY started_ms DESC, id DESC LIMIT ?1",
        )?;
        let rows = statement.query_map([limit], |row| {
            Ok(Batch {
                id: row.get(0)?,
                started_ms: row.get(1)?,
                ended_ms: row.get(2)?,
                state: row.get(3)?,
                reason: row.get(4)?,
                made: row.get(5)?,
                changed: row.get(6)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The batch that was begun and did not come to its end, if there is one.
    pub(crate) fn open_batch(&self) -> Result<Option<String>> {
        let mut statement = self.0.prepare_cached(
            "SELECT id FROM batch WHERE state = 'running' ORDER BY started_ms DESC, id DESC LIMIT 1",
        )?;
        Ok(statement.query_row([], |row| row.get(0)).optional()?)
    }

    /// See [`taken_back`].
    pub(crate) fn taken_back(&self, batch: &str) -> Result<Option<String>> {
        let mut statement = self
            .0
            .prepare_cached("SELECT reason FROM batch WHERE id = ?1 AND state = 'rolled_back'")?;
        Ok(statement.query_row([batch], |row| row.get(0)).optional()?)
    }
}

/// Why a batch was taken back; `None` where it was not. Whoever is at work on it, in this process or
/// another, adds nothing more to it.
///
/// # Errors
/// [`StoreError::Ledger`](crate::store::StoreError::Ledger).
pub fn taken_back(transaction: &Transaction<'_>, batch: &str) -> Result<Option<String>> {
    Snapshot(transaction, false).taken_back(batch)
}

/// Begins a batch.
///
/// # Errors
/// [`StoreError::Ledger`](crate::store::StoreError::Ledger).
pub fn begin_batch(transaction: &Transaction<'_>, batch: &str, now_ms: i64) -> Result<()> {
    transaction.execute(
        "INSERT INTO batch (id, started_ms, state) VALUES (?1, ?2, 'running')",
        params![batch, now_ms],
    )?;
    Ok(())
}

/// Ends a batch: published, or rolled back. One that was taken back meanwhile stays so.
///
/// # Errors
/// [`StoreError::Ledger`](crate::store::StoreError::Ledger).
pub fn end_batch(
    transaction: &Transaction<'_>,
    batch: &str,
    published: bool,
    reason: &str,
    report: &impl Serialize,
    now_ms: i64,
) -> Result<()> {
    let state = if published {
        "published"
    } else {
        "rolled_back"
    };
    transaction.execute(
        "UPDATE batch SET state = ?2, reason = ?3, report = ?4, ended_ms = ?5
         WHERE id = ?1 AND (state = 'running' OR state = ?2)",
        params![batch, state, reason, serde_json::to_string(report)?, now_ms],
    )?;
    Ok(())
}

/// Forgets a batch in which nothing was judged and no unit changed; says whether it did.
///
/// # Errors
/// [`StoreError::Ledger`](crate::store::StoreError::Ledger).
pub fn drop_empty_batch(transaction: &Transaction<'_>, batch: &str) -> Result<bool> {
    let dropped = transaction.execute(
        "DELETE FROM batch WHERE id = ?1 AND state = 'running'
         AND NOT EXISTS (SELECT 1 FROM considered WHERE batch = ?1)
         AND NOT EXISTS (SELECT 1 FROM unit_change WHERE batch = ?1)",
        [batch],
    )?;
    Ok(dropped > 0)
}

/// Adds to what writeback spent on the day of this moment.
///
/// # Errors
/// [`StoreError::Ledger`](crate::store::StoreError::Ledger).
pub fn spend(transaction: &Transaction<'_>, spent: Spent, now_ms: i64) -> Result<()> {
    transaction.execute(
        "INSERT INTO spent (day, seconds, joules, units) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (day) DO UPDATE SET seconds = seconds + excluded.seconds,
           joules = joules + excluded.joules, units = units + excluded.units",
        params![
            now_ms.div_euclid(DAY_MS),
            spent.seconds,
            spent.joules,
            spent.units
        ],
    )?;
    Ok(())
}

/// The memo that counts the calls of the language model.
const CALLS: &str = "writeback_calls";

/// Adds to the calls of the language model.
///
/// # Errors
/// [`StoreError::Ledger`](crate::store::StoreError::Ledger).
pub fn count_calls(transaction: &Transaction<'_>, more: usize) -> Result<()> {
    let count = Snapshot(transaction, false).model_calls()? + more;
    ledger::put_memo(transaction, CALLS, &count.to_string())
}

/// Notes what a unit is before a batch changes it, the first time that it does.
///
/// # Errors
/// [`StoreError::Ledger`](crate::store::StoreError::Ledger).
pub fn note_before(transaction: &Transaction<'_>, batch: &str, unit: &str) -> Result<()> {
    let before = self::unit(transaction, unit)?;
    let before = before.as_ref().map(serde_json::to_string).transpose()?;
    transaction.execute(
        "INSERT INTO unit_change (batch, unit_id, before) VALUES (?1, ?2, ?3)
         ON CONFLICT (batch, unit_id) DO NOTHING",
        params![batch, unit, before],
    )?;
    Ok(())
}

/// Takes back what `what` names; returns how many units changed. What was made is retired. What was
/// there before says and answers again what it did; where the batch had brought it forward or had
/// put another unit in its place it goes back to its state, but what a gate has taken out of use
/// stays out, and so does what the owner has decided. A batch that is under way and all of which is
/// taken back ends with that: see [`taken_back`].
///
/// # Errors
/// [`StoreError::Ledger`](crate::store::StoreError::Ledger).
pub fn undo(transaction: &Transaction<'_>, what: &Undo, reason: &str) -> Result<usize> {
    take_back(transaction, what, reason, false)
}

/// As [`undo`] of a batch, by itself: what the owner approved of it meanwhile stays in use.
///
/// # Errors
/// [`StoreError::Ledger`](crate::store::StoreError::Ledger).
pub fn roll_back(transaction: &Transaction<'_>, batch: &str, reason: &str) -> Result<usize> {
    take_back(transaction, &Undo::Batch(batch.to_owned()), reason, true)
}

fn take_back(
    transaction: &Transaction<'_>,
    what: &Undo,
    reason: &str,
    spares_approved: bool,
) -> Result<usize> {
    let (clause, value): (_, &dyn ToSql) = match what {
        Undo::Unit(id) => ("id = ?2", id),
        Undo::Batch(id) => ("batch = ?2", id),
        // A run that began before it made units after it.
        Undo::Since(ms) => (
            "(made_ms >= ?2 OR id IN (SELECT unit_id FROM unit_change
                                      WHERE before IS NULL AND at_ms >= ?2))",
            ms,
        ),
        Undo::All => ("?2 = 0", &0),
    };
    let made: Vec<String> = transaction
        .prepare_cached(&format!(
            "SELECT id FROM unit WHERE ?1 = ?1 AND {clause}
             AND (state <> 'retired' OR reason LIKE '{}%' OR reason LIKE '{GONE}%')
             AND NOT (?3 AND state = 'active' AND reason LIKE '{BY_OWNER}%')",
            part_of("")
        ))?
        .query_map(params![reason, value, spares_approved], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for unit in &made {
        retire(transaction, unit, reason)?;
    }
    let mut changed: HashSet<String> = made.into_iter().collect();
    let mut touched = changed.clone();
    for before in changes(transaction, what)? {
        touched.insert(before.id.clone());
        if put_back(transaction, &before, reason, spares_approved)? {
            changed.insert(before.id);
        }
    }
    if *what != Undo::All {
        for unit in &touched {
            changed.extend(bring_back(transaction, unit)?);
        }
    }
    let (clause, value): (_, &dyn ToSql) = match what {
        Undo::Unit(_) => return Ok(changed.len()),
        Undo::Batch(id) => ("id = ?1", id),
        Undo::Since(ms) => ("state = 'running' AND started_ms >= ?1", ms),
        Undo::All => ("state = 'running' AND ?1 = 0", &0),
    };
    transaction
        .prepare_cached(&format!(
            "UPDATE batch SET state = 'rolled_back', reason = ?2 WHERE {clause}"
        ))?
        .execute(params![value, reason])?;
    Ok(changed.len())
}

fn retire(transaction: &Transaction<'_>, unit: &str, reason: &str) -> Result<()> {
    // One that is out already could come back for its former reason.
    if say_anew(transaction, unit, State::Retired, reason)? {
        return Ok(());
    }
    transaction
        .prepare_cached("UPDATE unit SET state = 'retired', reason = ?2 WHERE id = ?1")?
        .execute([unit, reason])?;
    Ok(())
}

/// What units were before the batches in question, each as it was before the first of them.
fn changes(transaction: &Transaction<'_>, what: &Undo) -> Result<Vec<Unit>> {
    let (clause, value): (_, &dyn ToSql) = match what {
        Undo::Unit(_) | Undo::All => return Ok(Vec::new()),
        Undo::Batch(id) => ("batch = ?1", id),
        Undo::Since(ms) => ("at_ms >= ?1", ms),
    };
    let sql = format!("SELECT unit_id, before FROM unit_change WHERE {clause} ORDER BY id");
    let mut statement = transaction.prepare_cached(&sql)?;
    let mut rows = statement.query([value])?;
    let (mut seen, mut found) = (HashSet::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let first = seen.insert(row.get::<_, String>(0)?);
        if let Some(before) = row.get::<_, Option<String>>(1)?.filter(|_| first) {
            found.push(serde_json::from_str(&before)?);
        }
    }
    Ok(found)
}

/// Makes a unit again what it was; says whether that changed anything. One that was stale, and lost with
/// its batch when it was tried anew, goes: stale again, every run would try it, and lose, until the day's
/// budget is spent.
fn put_back(
    transaction: &Transaction<'_>,
    before: &Unit,
    reason: &str,
    lost: bool,
) -> Result<bool> {
    let Some(now) = unit(transaction, &before.id)? else {
        return Ok(false);
    };
    // How far a unit has come; what is out of use stays out.
    let rank = |state: State| match state {
        State::Retired | State::Stale => 0,
        State::Contested => 1,
        State::Shadow => 2,
        State::Active => 3,
    };
    let decided = now.reason.starts_with(BY_OWNER);
    let forward = rank(now.state) > rank(before.state) && !decided;
    let was_stale = before.state == State::Stale && now.state == State::Shadow;
    let (state, reason) = if forward && was_stale && lost {
        (State::Retired, reason)
    } else if forward {
        (before.state, reason)
    } else {
        (now.state, now.reason.as_str())
    };
    let mut anew = Unit {
        state,
        reason: reason.to_owned(),
        uses: now.uses,
        ..before.clone()
    };
    // What the owner said meanwhile was said.
    if let Some(good) = now.scores.get(GOOD) {
        anew.scores.insert(GOOD.into(), *good);
    }
    // Whoever said the same may have gone meanwhile.
    anew.trust = anew.trust.min(now.trust);
    if let Some(second) = anew.scores.get_mut(SECOND_SOURCES) {
        *second = second.min(now.score(SECOND_SOURCES));
    }
    if anew == now {
        return Ok(false);
    }
    // The vectors of the questions that came later, where those from before stand in front of them: the
    // last one is of what it says. Else all: the next run makes them anew.
    let count = now.questions.len();
    let (first, end) = if now.questions.starts_with(&anew.questions) {
        (anew.questions.len(), count)
    } else {
        (0, count + 1)
    };
    transaction.execute(
        "DELETE FROM unit_vector WHERE unit_id = ?1 AND part >= ?2 AND part < ?3",
        params![before.id, first, end],
    )?;
    put_unit(transaction, &anew)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::super::life::move_unit;
    use super::super::near::put_vectors;
    use super::*;
    use crate::store::ledger::tests::with_ledger;

    #[test]
    fn what_is_taken_back_answers_with_vectors_of_its_own_questions() {
        const MADE: &str =
            "INSERT INTO unit (id, state, title, text, questions, scores, batch, made_ms)
             VALUES ('u', 'retired', 't', 'one', '[\"a\", \"b\"]', '{}', 'old', 1)";
        let check = |questions: &[&str], left: &[u32]| {
            with_ledger(MADE, |ledger| {
                let found = ledger.write(|t| {
                    note_before(t, "new", "u")?;
                    let back = Unit {
                        state: State::Shadow,
                        questions: questions.iter().map(|q| (*q).to_owned()).collect(),
                        ..unit(t, "u")?.expect("it was made")
                    };
                    put_unit(t, &back)?;
                    put_vectors(t, "u", "m", &vec![vec![0.0_f32]; questions.len() + 1])?;
                    undo(t, &Undo::Batch("new".into()), "x")?;
                    let mut parts = t.prepare("SELECT part FROM unit_vector ORDER BY part")?;
                    let parts = parts.query_map([], |row| row.get(0))?;
                    Ok(parts.collect::<rusqlite::Result<Vec<u32>>>()?)
                });
                assert_eq!(found.unwrap(), left, "{questions:?}");
            });
        };
        check(&["a", "b", "c"], &[0, 1, 3]);
        check(&["c"], &[]);
    }

    #[test]
    fn a_batch_under_way_ends_with_what_takes_all_of_it_back() {
        const BEGUN: &str = "INSERT INTO batch (id, started_ms, state, reason) VALUES
             ('now', 5, 'running', ''), ('before', 4, 'published', '')";
        let check = |what: Undo, expected: [bool; 2]| {
            with_ledger(BEGUN, |ledger| {
                let ended = ledger.write(|t| {
                    undo(t, &what, "x")?;
                    Ok(["now", "before"].map(|batch| taken_back(t, batch)))
                });
                let ended = ended.unwrap().map(|why| why.unwrap() == Some("x".into()));
                assert_eq!(ended, expected, "{what:?}");
            });
        };
        check(Undo::Batch("now".into()), [true, false]);
        check(Undo::Batch("before".into()), [false, true]);
        check(Undo::Since(5), [true, false]);
        check(Undo::Since(6), [false, false]);
        check(Undo::All, [true, false]);
        check(Undo::Unit("u".into()), [false, false]);
    }

    #[test]
    fn what_was_stale_and_lost_is_not_tried_again_by_every_run() {
        const MADE: &str =
            "INSERT INTO unit (id, state, title, text, questions, scores, batch, made_ms)
             VALUES ('u', 'stale', 't', 'one', '[\"a\"]', '{}', 'old', 1)";
        let check = |lost: bool, expected: State| {
            with_ledger(MADE, |ledger| {
                let found = ledger.write(|t| {
                    note_before(t, "new", "u")?;
                    move_unit(t, "u", State::Shadow, "it still stands")?;
                    if lost {
                        roll_back(t, "new", "replay: it loses")?;
                    } else {
                        undo(t, &Undo::Batch("new".into()), "the owner undid it")?;
                    }
                    unit(t, "u")
                });
                let found = found.unwrap().unwrap();
                assert_eq!(found.state, expected, "{}", found.reason);
            });
        };
        check(true, State::Retired);
        check(false, State::Stale);
    }

    #[test]
    fn a_batch_that_loses_leaves_what_the_owner_approved() {
        const MADE: &str =
            "INSERT INTO unit (id, state, reason, title, text, questions, scores, batch, made_ms)
             VALUES ('a', 'active', 'the owner approved it', 't', 'one', '[]', '{}', 'b', 1),
                    ('c', 'active', 'it helped', 't', 'two', '[]', '{}', 'b', 1),
                    ('d', 'shadow', 'found', 't', 'three', '[]', '{}', 'b', 1)";
        with_ledger(MADE, |ledger| {
            let active = |t: &Transaction<'_>| -> Result<Vec<String>> {
                let mut ids = t.prepare("SELECT id FROM unit WHERE state <> 'retired'")?;
                let ids = ids.query_map([], |row| row.get(0))?;
                Ok(ids.collect::<rusqlite::Result<_>>()?)
            };
            let left = ledger.write(|t| {
                assert_eq!(roll_back(t, "b", "replay: it loses")?, 2);
                let left = active(t)?;
                assert_eq!(undo(t, &Undo::Batch("b".into()), "the owner undid it")?, 1);
                Ok((left, active(t)?))
            });
            assert_eq!(left.unwrap(), (vec!["a".to_owned()], Vec::new()));
        });
    }
}
