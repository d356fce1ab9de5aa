//! Knowledge units in the ledger: what they say, and how much that is worth.
//!
//! Units lie in the ledger alone, with their vectors. There are few of them, and what a search may
//! use must change in the very transaction that makes them stale; so there is no third index that
//! could lag behind. What they rest on is in [`evidence`], what becomes of them in [`life`], what
//! they are near in [`near`], the answers that they are made of in [`considered`] and the runs that
//! make them in [`batches`].

pub mod batches;
pub mod considered;
pub mod evidence;
pub mod life;
pub mod near;

use std::collections::{BTreeMap, HashMap, HashSet};

use rusqlite::types::Value;
use rusqlite::{Row, Transaction, params};

use self::evidence::put_evidence;
use self::life::stale_if_gone;
use super::Result;
use super::ledger::Snapshot;
use crate::domain::unit::{Quotes, State, Unit, Uses};

/// Which units a search may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UseUnits {
    /// None.
    Off,
    /// Those in use.
    #[default]
    Active,
    /// Those in use, and these.
    With(HashSet<String>),
    /// Those in use, but for these.
    Without(HashSet<String>),
}

impl UseUnits {
    fn allows(&self, unit: &Unit) -> bool {
        match self {
            Self::Off => false,
            Self::Active => unit.state == State::Active,
            Self::With(others) => unit.state == State::Active || others.contains(&unit.id),
            Self::Without(these) => unit.state == State::Active && !these.contains(&unit.id),
        }
    }
}

/// What a unit is counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// See [`Uses::retrieved`].
    Retrieved,
    /// See [`Uses::cited`].
    Cited,
    /// See [`Uses::harmed`].
    Harmed,
}

/// The score that counts how often the owner called answers good that led to a unit.
pub const GOOD: &str = "good";

/// The score that counts other sources that say the same.
pub const SECOND_SOURCES: &str = "second_sources";

/// Is it in use because the owner says so, or was an answer called good that it led to?
pub fn is_decided(unit: &Unit) -> bool {
    let approved = unit.state == State::Active && unit.reason.starts_with(life::BY_OWNER);
    approved || unit.score(GOOD) > 0.0
}

const UNIT: &str =
    "SELECT id, state, title, text, questions, scores, batch, made_ms, trust, recipe,
        gates, reason, retrieved, cited, helped, harmed, replaces FROM unit";

impl Snapshot<'_> {
    /// Units in this state, or all, the newest first.
    pub(crate) fn units(&self, state: Option<State>, limit: usize) -> Result<Vec<Unit>> {
        let (clause, values): (_, Vec<Value>) = match state {
            Some(state) => ("WHERE state = ?1", vec![state.as_str().to_owned().into()]),
            None => ("", Vec::new()),
        };
        let sql = format!("{UNIT} {clause} ORDER BY made_ms DESC, id LIMIT {limit}");
        self.units_by(&sql, rusqlite::params_from_iter(values))
    }

    /// Ids of the units in a state, in the order of [`Snapshot::units`].
    pub(crate) fn unit_ids(&self, state: State) -> Result<Vec<String>> {
        let mut statement = self
            .0
            .prepare_cached("SELECT id FROM unit WHERE state = ?1 ORDER BY made_ms DESC, id")?;
        let rows = statement.query_map([state.as_str()], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The units that say this, in whatever state; those that are not retired before those that are.
    pub(crate) fn units_saying(&self, text: &str) -> Result<Vec<Unit>> {
        let sql = format!("{UNIT} WHERE text = ?1 ORDER BY state = 'retired', made_ms DESC");
        self.units_by(&sql, [text])
    }

    /// The unit of this id, or whose id begins so; `None` where there is none, or more than one.
    pub(crate) fn unit_beginning(&self, id: &str) -> Result<Option<Unit>> {
        // Not LIKE: an id holds no wildcards, what is asked for may.
        let sql = format!(
            "{UNIT} WHERE substr(id, 1, length(?1)) = ?1 AND ?1 <> '' ORDER BY id <> ?1 LIMIT 2"
        );
        let mut found = self.units_by(&sql, [id])?.into_iter();
        let first = found.next();
        Ok(first.filter(|first| first.id == id || found.next().is_none()))
    }

    fn units_by(&self, sql: &str, values: impl rusqlite::Params) -> Result<Vec<Unit>> {
        units_by(self.0, sql, values)
    }

    /// Units per state.
    pub(crate) fn unit_counts(&self) -> Result<HashMap<String, u64>> {
        let mut statement = self
            .0
            .prepare_cached("SELECT state, count(*) FROM unit GROUP BY state")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

fn units_by(
    transaction: &Transaction<'_>,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<Unit>> {
    let mut statement = transaction.prepare_cached(sql)?;
    let rows = statement.query_map(values, |row| Ok(unit_of(row)))?;
    let mut units: Vec<Unit> = Vec::new();
    for unit in rows {
        units.push(unit??);
    }
    let mut evidence = transaction.prepare_cached(
        "SELECT chunk_id, path, quotes FROM unit_evidence WHERE unit_id = ?1 ORDER BY place",
    )?;
    for unit in &mut units {
        let rows = evidence.query_map([&unit.id], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?))
        })?;
        for row in rows {
            let (chunk, path, sentences) = row?;
            unit.sources.push(Quotes {
                chunk,
                path,
                sentences: serde_json::from_str(&sentences)?,
            });
        }
    }
    Ok(units)
}

fn unit_of(row: &Row<'_>) -> Result<Unit> {
    let json = |column: usize| -> Result<String> { Ok(row.get(column)?) };
    Ok(Unit {
        id: row.get(0)?,
        // The schema holds no other name.
        state: State::named(&row.get::<_, String>(1)?).unwrap_or(State::Retired),
        title: row.get(2)?,
        text: row.get(3)?,
        questions: serde_json::from_str(&json(4)?)?,
        scores: serde_json::from_str(&json(5)?)?,
        batch: row.get(6)?,
        made_ms: row.get(7)?,
        trust: row.get(8)?,
        recipe: row.get(9)?,
        gates: serde_json::from_str(&json(10)?)?,
        reason: row.get(11)?,
        uses: Uses {
            retrieved: row.get(12)?,
            cited: row.get(13)?,
            helped: row.get(14)?,
            harmed: row.get(15)?,
        },
        replaces: serde_json::from_str(&json(16)?)?,
        sources: Vec::new(),
    })
}

/// The unit of this id.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn unit(transaction: &Transaction<'_>, id: &str) -> Result<Option<Unit>> {
    Ok(units_by(transaction, &format!("{UNIT} WHERE id = ?1"), [id])?.pop())
}

/// Writes a unit with its evidence; one that is there keeps what it was good for.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn put_unit(transaction: &Transaction<'_>, unit: &Unit) -> Result<()> {
    transaction.execute(
        "INSERT INTO unit (id, state, title, text, questions, scores, batch, made_ms, trust, recipe,
                gates, reason, replaces)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (id) DO UPDATE SET state = excluded.state, title = excluded.title,
           text = excluded.text,
           questions = excluded.questions, scores = excluded.scores, gates = excluded.gates,
           trust = excluded.trust, recipe = excluded.recipe, reason = excluded.reason,
           replaces = excluded.replaces",
        params![
            unit.id,
            unit.state.as_str(),
            unit.title,
            unit.text,
            serde_json::to_string(&unit.questions)?,
            serde_json::to_string(&unit.scores)?,
            unit.batch,
            unit.made_ms,
            unit.trust,
            unit.recipe,
            serde_json::to_string(&unit.gates)?,
            unit.reason,
            serde_json::to_string(&unit.replaces)?
        ],
    )?;
    put_evidence(transaction, &unit.id, &unit.sources)?;
    stale_if_gone(transaction, &unit.id)
}

/// Sets the numbers of a unit's gates.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn set_scores(
    transaction: &Transaction<'_>,
    unit: &str,
    scores: &BTreeMap<String, f32>,
) -> Result<()> {
    transaction.execute(
        "UPDATE unit SET scores = ?2 WHERE id = ?1",
        params![unit, serde_json::to_string(scores)?],
    )?;
    Ok(())
}

/// Sets the questions that a unit answers; their vectors are those of [`near::put_vectors`].
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn set_questions(
    transaction: &Transaction<'_>,
    unit: &str,
    questions: &[String],
) -> Result<()> {
    transaction.execute(
        "UPDATE unit SET questions = ?2 WHERE id = ?1",
        params![unit, serde_json::to_string(questions)?],
    )?;
    Ok(())
}

/// Sets how far a unit is trusted.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn set_trust(transaction: &Transaction<'_>, unit: &str, trust: f32) -> Result<()> {
    transaction.execute(
        "UPDATE unit SET trust = ?2 WHERE id = ?1",
        params![unit, trust],
    )?;
    Ok(())
}

/// Counts a use of a unit.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn count_use(transaction: &Transaction<'_>, unit: &str, what: Use) -> Result<()> {
    let column = match what {
        Use::Retrieved => "retrieved",
        Use::Cited => "cited",
        Use::Harmed => "harmed",
    };
    transaction
        .prepare_cached(&format!(
            "UPDATE unit SET {column} = {column} + 1 WHERE id = ?1"
        ))?
        .execute([unit])?;
    Ok(())
}

/// No harm of a unit counts any more.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn forgive(transaction: &Transaction<'_>, unit: &str) -> Result<()> {
    transaction.execute("UPDATE unit SET harmed = 0 WHERE id = ?1", [unit])?;
    Ok(())
}

/// Says how many other questions a unit led to their evidence.
///
/// # Errors
/// [`StoreError::Ledger`](super::StoreError::Ledger).
pub fn set_helped(transaction: &Transaction<'_>, unit: &str, count: u32) -> Result<()> {
    transaction
        .prepare_cached("UPDATE unit SET helped = max(helped, ?2) WHERE id = ?1")?
        .execute(params![unit, count])?;
    Ok(())
}
