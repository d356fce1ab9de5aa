//! The life of units: in which state they are, why, and what happened to them before.
//!
//! Events are written by triggers: no change of state goes past them. What the owner decided, and
//! what may come back by itself, is told by how a reason begins: those beginnings are owned here.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, Transaction, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batches::note_before;
use super::evidence::may_be_used;
use super::is_decided;
use crate::domain::chunk::ChunkId;
use crate::domain::source::SourceId;
use crate::domain::unit::{OWN, State, Unit};
use crate::store::Result;
use crate::store::ledger::Snapshot;

/// What happened to a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnitEvent {
    /// Its state before; none when it was made.
    pub before: Option<State>,
    /// Its state after.
    pub after: State,
    /// Why.
    pub reason: String,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
}

/// How the reasons of the owner's decisions begin, and no others.
pub const BY_OWNER: &str = "the owner";

/// Why a unit is out of use that the owner called wrong.
pub const REJECTED: &str = "the owner rejected it";

/// How the reason begins of a unit whose sentences were found nowhere any more.
pub const GONE: &str = "what it says no longer stands";

/// Why such a unit is looked at again.
pub const BACK: &str = "what it rests on came back";

/// Why a unit is looked at again that was made of the owner's words, as far as was known.
pub const BY_OTHERS: &str = "what it rests on was written by others";

/// Why a unit is contested that a file contradicted whose folder was forgotten.
pub const UNNAMED: &str = "for what a file said that was forgotten";

impl Snapshot<'_> {
    /// What happened to a unit, in order.
    pub(crate) fn unit_events(&self, id: &str) -> Result<Vec<UnitEvent>> {
        let mut statement = self.0.prepare_cached(
            "SELECT before, after, reason, at_ms FROM unit_event WHERE unit_id = ?1 ORDER BY id",
        )?;
        let rows = statement.query_map([id], |row| {
            let state = |name: Option<String>| name.and_then(|name| State::named(&name));
            Ok(UnitEvent {
                before: state(row.get(0)?),
                after: state(row.get(1)?).unwrap_or(State::Retired),
                reason: row.get(2)?,
                at_ms: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Units that were made, or came back, since an event.
    pub(crate) fn came_since(&self, event: i64) -> Result<HashSet<String>> {
        let mut statement = self.0.prepare_cached(
            "SELECT unit_id FROM unit_event WHERE id >= ?1 AND after IN ('shadow', 'active')",
        )?;
        let rows = statement.query_map([event], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The number behind those of all visible documents: what becomes visible later has one at least as
    /// high. Units that came or came back later have an event of a number at least as high.
    pub(crate) fn marks(&self) -> Result<(i64, i64)> {
        let mut statement = self.0.prepare_cached(
            "SELECT coalesce((SELECT max(edition) FROM document), 0) + 1,
                    coalesce((SELECT max(id) FROM unit_event), 0) + 1",
        )?;
        Ok(statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }
}

/// Moves a unit to another state; `false` where it is not there or may not go there.
///
/// # Errors
/// [`StoreError::Ledger`](crate::store::StoreError::Ledger).
pub fn move_unit(
    transaction: &Transaction<'_>,
    unit: &str,
    to: State,
    reason: &str,
) -> Result<bool> {
    let state: Option<String> = transaction
        .prepare_cached("SELECT state FROM unit WHERE id = ?1")?
        .query_row([unit], |row| row.get(0))
        .optional()?;
    let from = state.and_then(|name| State::named(&name));
    if !from.is_some_and(|from| from.may_become(to)) {
        return Ok(false);
    }
    transaction
        .prepare_cached("UPDATE unit SET state = ?2, reason = ?3 WHERE id = ?1")?
        .execute(params![unit, to.as_str(), reason])?;
    Ok(true)
}

/// Says anew why a unit is in the state in which it is, which is an event of its own; `false` where it
/// is not there or in another state.
///
/// # Errors
/// [`StoreError::Ledger`](crate::store::StoreError::Ledger).
pub fn say_anew(
    transaction: &Transaction<'_>,
    unit: &str,
    state: State,
    reason: &str,
) -> Result<bool> {
    let values = params![unit, state.as_str(), reason];
    let said = transaction
        .prepare_cached("UPDATE unit SET reason = ?3 WHERE id = ?1 AND state = ?2")?
        .execute(values)?;
    if said > 0 {
        transaction
            .prepare_cached(
                "INSERT INTO unit_event (unit_id, before, after, reason) VALUES (?1, ?2, ?2, ?3)",
            )?
            .execute(values)?;
    }
    Ok(said > 0)
}

/// Makes a unit stale that rests on what is not visible, or on what nothing may be learned of: that may
/// have changed between reading and writing.
///
/// # Errors
/// [`StoreError::Ledger`](crate::store::StoreError::Ledger).
pub fn stale_if_gone(transaction: &Transaction<'_>, unit: &str) -> Result<()> {
    if !may_be_used(transaction, unit)? {
        move_unit(transaction, unit, State::Stale, "what it rests on changed")?;
    }
    Ok(())
}

/// Makes those units stale that rest on a chunk which is no longer visible.
pub(in crate::store) fn make_stale(transaction: &Transaction<'_>, chunk: ChunkId) -> Result<()> {
    transaction
        .prepare_cached(
            "UPDATE unit SET state = 'stale', reason = 'what it rests on changed'
             WHERE state IN ('shadow', 'active', 'contested')
             AND id IN (SELECT unit_id FROM unit_evidence WHERE chunk_id = ?1)",
        )?
        .execute([chunk])?;
    Ok(())
}

/// Makes those units stale that rest on a source whose rules changed.
pub(in crate::store) fn make_stale_of(
    transaction: &Transaction<'_>,
    source: SourceId,
) -> Result<()> {
    transaction.execute(
        "UPDATE unit SET state = 'stale', reason = 'the rules of its source changed'
         WHERE state IN ('shadow', 'active', 'contested')
         AND id IN (SELECT e.unit_id FROM unit_evidence e
             JOIN passage p ON p.chunk_id = e.chunk_id
             JOIN document d ON d.id = p.document_id WHERE d.source_id = ?1)",
        [source],
    )?;
    Ok(())
}

/// Makes those units stale that were made of the owner's words and rest on a chunk which others wrote, as
/// all documents that show it say now. What the owner decided stays.
pub(in crate::store) fn lose_trust(transaction: &Transaction<'_>, chunk: ChunkId) -> Result<()> {
    let units: Vec<String> = transaction
        .prepare_cached("SELECT unit_id FROM unit_evidence WHERE chunk_id = ?1")?
        .query_map([chunk], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    if units.is_empty() {
        return Ok(());
    }
    let origins = Snapshot(transaction, false).origins(chunk)?;
    if !origins.iter().all(|origin| origin.outside) {
        return Ok(());
    }
    for id in &units {
        let is_meant = |unit: Unit| {
            let is_tried = matches!(unit.state, State::Shadow | State::Active);
            is_tried && unit.trust >= OWN && !is_decided(&unit)
        };
        if super::unit(transaction, id)?.is_some_and(is_meant) {
            move_unit(transaction, id, State::Stale, BY_OTHERS)?;
        }
    }
    Ok(())
}

/// Makes those units stale again that went because what they say no longer stood, once all that they
/// rest on is visible: a file may only have been away for a while. They are looked at like others whose
/// sources changed. What was contested before stays out, and so does what went for another reason.
pub(in crate::store) fn came_back(transaction: &Transaction<'_>, chunk: ChunkId) -> Result<()> {
    // The plus keeps SQLite from leafing through all that is retired.
    transaction
        .prepare_cached(
            "UPDATE unit SET state = 'stale', reason = ?3
             WHERE +state = 'retired' AND substr(reason, 1, length(?2)) = ?2
             AND id IN (SELECT unit_id FROM unit_evidence WHERE chunk_id = ?1)
             AND NOT EXISTS (SELECT 1 FROM unit_evidence e WHERE e.unit_id = unit.id
                             AND e.chunk_id NOT IN (SELECT id FROM chunk))
             AND (SELECT before FROM unit_event WHERE unit_id = unit.id AND after = 'stale'
                  AND before <> 'retired' ORDER BY id DESC LIMIT 1) IN ('shadow', 'active')",
        )?
        .execute(params![chunk, GONE, BACK])?;
    Ok(())
}

/// Retires the units that one takes the place of, now that it is in use.
///
/// # Errors
/// [`StoreError::Ledger`](crate::store::StoreError::Ledger).
pub fn take_place(transaction: &Transaction<'_>, batch: Option<&str>, unit: &Unit) -> Result<()> {
    for old in unit.replaces.iter().filter(|old| **old != unit.id) {
        if let Some(batch) = batch {
            note_before(transaction, batch, old)?;
        }
        move_unit(transaction, old, State::Retired, &part_of(&unit.id))?;
    }
    Ok(())
}

/// Units that another one took the place of are what they were before, where it is out of use.
///
/// # Errors
/// [`StoreError::Ledger`](crate::store::StoreError::Ledger).
pub fn bring_back(transaction: &Transaction<'_>, unit: &str) -> Result<Vec<String>> {
    let active: bool = transaction
        .prepare_cached("SELECT 1 FROM unit WHERE id = ?1 AND state = 'active'")?
        .exists([unit])?;
    if active {
        return Ok(Vec::new());
    }
    let why = part_of(unit);
    let mut statement = transaction.prepare_cached(
        "SELECT u.id, (SELECT e.before FROM unit_event e
                       WHERE e.unit_id = u.id AND e.reason = ?1 ORDER BY e.id DESC LIMIT 1)
         FROM unit u WHERE u.state = 'retired' AND u.reason = ?1",
    )?;
    let rows = statement.query_map([&why], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?))
    })?;
    let old: Vec<(String, Option<String>)> = rows.collect::<rusqlite::Result<_>>()?;
    let reason = format!("unit {unit}, which took its place, is out of use");
    for (id, before) in &old {
        let before = before.as_deref().and_then(State::named);
        transaction
            .prepare_cached("UPDATE unit SET state = ?2, reason = ?3 WHERE id = ?1")?
            .execute(params![
                id,
                before.unwrap_or(State::Shadow).as_str(),
                reason
            ])?;
        stale_if_gone(transaction, id)?;
    }
    Ok(old.into_iter().map(|(id, _)| id).collect())
}

/// Why a unit went whose sources are those of another one now.
pub(super) fn part_of(unit: &str) -> String {
    format!("became part of unit {unit}")
}

#[cfg(test)]
mod tests {
    use super::super::unit;
    use super::*;
    use crate::store::ledger::tests::with_ledger;

    #[test]
    fn what_went_only_for_its_sources_comes_back_with_all_of_them() {
        let visible = ChunkId::of("", "here");
        let away = ChunkId::of("", "away");
        let check = |before: &str, why: &str, also: Option<ChunkId>, after: State| {
            with_ledger("", |ledger| {
                let unit = ledger.write(|t| {
                    t.execute(
                        "INSERT INTO chunk (id, heading, text, tokens) VALUES (?1, '[]', 'here', 1)",
                        [visible],
                    )?;
                    t.execute(
                        "INSERT INTO unit (id, state, title, text, questions, scores, batch, made_ms)
                         VALUES ('u', ?1, 't', 'one', '[\"x\"]', '{}', 'b', 1)",
                        [before],
                    )?;
                    for chunk in [Some(visible), also].into_iter().flatten() {
                        let sql = "INSERT INTO unit_evidence (unit_id, chunk_id) VALUES ('u', ?1)";
                        t.execute(sql, [chunk])?;
                    }
                    // Away twice: the second time it was looked at because it had come back.
                    move_unit(t, "u", State::Stale, "what it rests on changed")?;
                    move_unit(t, "u", State::Retired, GONE)?;
                    t.execute("UPDATE unit SET state = 'stale', reason = ?1", [BACK])?;
                    move_unit(t, "u", State::Retired, why)?;
                    came_back(t, visible)?;
                    unit(t, "u")
                });
                let unit = unit.unwrap().unwrap();
                assert_eq!(unit.state, after, "{before}, {why}");
                if after == State::Stale {
                    assert_eq!(unit.reason, BACK);
                }
            });
        };
        let replaced = format!("{GONE}; unit v took its place");
        check("active", GONE, None, State::Stale);
        check("shadow", &replaced, None, State::Stale);
        check("active", GONE, Some(away), State::Retired);
        check("contested", GONE, None, State::Retired);
        for why in [
            REJECTED,
            "the owner retired it",
            "the owner undid it",
            "replay: it led away from the evidence for “x”",
            "an answer that it led to was called bad",
            "near 30 questions and never of use",
        ] {
            check("active", why, None, State::Retired);
        }
    }
}
