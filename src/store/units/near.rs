//! Which units are near a query, by the vectors of what they answer and say.
//!
//! The vectors are kept in memory and read again when the ledger's clock of units has moved.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Transaction, params};

use super::{UNIT, UseUnits};
use crate::domain::rank::dot;
use crate::domain::unit::{State, Unit};
use crate::store::Result;
use crate::store::ledger::Snapshot;

/// A unit near a query.
#[derive(Clone, Debug)]
pub struct NearUnit {
    /// The unit, without its gates.
    pub unit: Arc<Unit>,
    /// The best cosine of what it answers or says to the query.
    pub cosine: f32,
    /// The best cosine of a question that it answers.
    pub question_cosine: f32,
    /// That question.
    pub question: String,
}

/// Which of the units near a vector are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// Cosine below which a unit is not near.
    pub least: f32,
    /// So many of them, the nearest.
    pub limit: usize,
    /// Cosine of a question that a unit answers from which it is wanted whatever their number: what
    /// answers the very question is not crowded out by what is about the same.
    pub always: f32,
}

/// The units in use and in trial, with their vectors, as they were at one tick of the clock.
#[derive(Default)]
pub struct Resident(Mutex<Option<Arc<Loaded>>>);

struct Loaded {
    tick: i64,
    model: String,
    units: Vec<(Arc<Unit>, Vec<Vec<f32>>)>,
}

impl Resident {
    /// The units nearest to a vector, nearest first, as far as `reach` goes.
    ///
    /// # Errors
    /// [`StoreError::Ledger`](crate::store::StoreError::Ledger).
    pub(crate) fn near(
        &self,
        snapshot: &Snapshot<'_>,
        model: &str,
        vector: &[f32],
        allowed: &UseUnits,
        reach: Reach,
    ) -> Result<Vec<NearUnit>> {
        if *allowed == UseUnits::Off {
            return Ok(Vec::new());
        }
        let loaded = self.loaded(snapshot, model)?;
        let mut near: Vec<NearUnit> = Vec::new();
        for (unit, vectors) in &loaded.units {
            if !allowed.allows(unit) {
                continue;
            }
            let cosines: Vec<f32> = vectors.iter().map(|other| dot(vector, other)).collect();
            let cosine = cosines.iter().copied().fold(-1.0, f32::max);
            if cosine < reach.least {
                continue;
            }
            let asked = unit.questions.iter().zip(&cosines);
            let best = asked.max_by(|a, b| a.1.total_cmp(b.1));
            near.push(NearUnit {
                unit: Arc::clone(unit),
                cosine,
                question_cosine: best.map_or(-1.0, |(_, cosine)| *cosine),
                question: best.map_or_else(String::new, |(question, _)| question.clone()),
            });
        }
        near.sort_by(|a, b| {
            let order = b.cosine.total_cmp(&a.cosine);
            order.then_with(|| a.unit.id.cmp(&b.unit.id))
        });
        let mut place = 0;
        near.retain(|near| {
            place += 1;
            place <= reach.limit || near.question_cosine >= reach.always
        });
        Ok(near)
    }

    fn loaded(&self, snapshot: &Snapshot<'_>, model: &str) -> Result<Arc<Loaded>> {
        let tick = snapshot.unit_clock()?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = known.as_ref()
            && loaded.tick == tick
            && loaded.model == model
        {
            return Ok(Arc::clone(loaded));
        }
        let mut vectors = snapshot.unit_vectors(model)?;
        let mut units = Vec::new();
        for state in [State::Active, State::Shadow] {
            for mut unit in snapshot.units(Some(state), usize::MAX >> 1)? {
                unit.gates = Vec::new();
                let of_unit = vectors.remove(&unit.id).unwrap_or_default();
                units.push((Arc::new(unit), of_unit));
            }
        }
        let loaded = Arc::new(Loaded {
            tick,
            model: model.to_owned(),
            units,
        });
        // An older snapshot does not push out what a newer one has read.
        if known.as_ref().is_none_or(|known| known.tick <= tick) {
            *known = Some(Arc::clone(&loaded));
        }
        Ok(loaded)
    }
}

impl Snapshot<'_> {
    /// Units that have no vectors of this model, other than retired ones.
    pub(crate) fn without_vectors(&self, model: &str) -> Result<Vec<Unit>> {
        let sql = format!(
            "{UNIT} WHERE state <> 'retired'
             AND id NOT IN (SELECT unit_id FROM unit_vector WHERE model = ?1)"
        );
        self.units_by(&sql, [model])
    }

    fn unit_clock(&self) -> Result<i64> {
        let mut statement = self.0.prepare_cached("SELECT tick FROM unit_clock")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// Vectors of the units in use and in trial.
    fn unit_vectors(&self, model: &str) -> Result<HashMap<String, Vec<Vec<f32>>>> {
        let mut statement = self.0.prepare_cached(
            "SELECT v.unit_id, v.vector FROM unit_vector v JOIN unit u ON u.id = v.unit_id
             WHERE v.model = ?1 AND u.state IN ('shadow', 'active') ORDER BY v.unit_id, v.part",
        )?;
        let mut rows = statement.query([model])?;
        let mut vectors: HashMap<String, Vec<Vec<f32>>> = HashMap::new();
        while let Some(row) = rows.next()? {
            let bytes: Vec<u8> = row.get(1)?;
            let numbers = bytes.chunks_exact(4);
            let vector = numbers.map(|n| f32::from_le_bytes([n[0], n[1], n[2], n[3]]));
            let of_unit = vectors.entry(row.get(0)?).or_default();
            of_unit.push(vector.collect());
        }
        Ok(vectors)
    }
}

/// Sets the vectors of a unit: of its questions, then of what it says.
///
/// # Errors
/// [`StoreError::Ledger`](crate::store::StoreError::Ledger).
pub fn put_vectors(
    transaction: &Transaction<'_>,
    unit: &str,
    model: &str,
    vectors: &[Vec<f32>],
) -> Result<()> {
    transaction.execute(
        "DELETE FROM unit_vector WHERE unit_id = ?1 AND model = ?2",
        [unit, model],
    )?;
    for (part, vector) in vectors.iter().enumerate() {
        let bytes: Vec<u8> = vector.iter().flat_map(|n| n.to_le_bytes()).collect();
        transaction.execute(
            "INSERT INTO unit_vector (unit_id, model, part, vector) VALUES (?1, ?2, ?3, ?4)",
            params![unit, model, part, bytes],
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::unit::{OWN, Uses, VERBATIM};
    use crate::store::units::put_unit;
    use crate::store::{Access, Store};

    fn rent(flat: usize) -> Unit {
        Unit {
            id: format!("{flat:02}"),
            state: State::Active,
            title: "Rent".into(),
            text: format!("Flat {flat} pays {flat}00 euros."),
            questions: vec![format!("What does flat {flat} pay?")],
            sources: Vec::new(),
            scores: BTreeMap::new(),
            gates: Vec::new(),
            batch: String::new(),
            trust: OWN,
            recipe: VERBATIM.into(),
            reason: String::new(),
            made_ms: 0,
            uses: Uses::default(),
            replaces: Vec::new(),
        }
    }

    #[test]
    fn what_answers_the_very_question_is_not_crowded_out() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path(), Access::Write).unwrap();
        let near = |least: f32, limit: usize, always: f32| {
            let reach = Reach {
                least,
                limit,
                always,
            };
            let all = UseUnits::Active;
            let near = store
                .ledger()
                .read(|snapshot| store.near_units(snapshot, "model", &[1.0, 0.0], &all, reach));
            let ids = near.unwrap().into_iter().map(|near| near.unit.id.clone());
            ids.collect::<Vec<String>>()
        };
        assert!(near(-1.0, 9, -1.0).is_empty());
        // What flats 0 to 3 say is nearer than the question of flat 4.
        let written = store.ledger().write(|transaction| {
            for flat in 0..6 {
                let asked = if flat == 4 { 0.9 } else { 0.5 };
                let said = if flat < 4 { 0.95 } else { 0.4 };
                put_unit(transaction, &rent(flat))?;
                let vectors = [vec![asked, 0.0], vec![said, 0.0]];
                put_vectors(transaction, &rent(flat).id, "model", &vectors)?;
            }
            Ok::<_, crate::store::StoreError>(())
        });
        written.unwrap();
        assert_eq!(near(-1.0, 2, 2.0), ["00", "01"]);
        assert_eq!(near(-1.0, 2, 0.85), ["00", "01", "04"]);
        assert_eq!(near(0.6, 9, 0.85), ["00", "01", "02", "03", "04"]);
    }
}
