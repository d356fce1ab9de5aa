//! The owner's past questions, asked again: does what was learned lead them to their evidence?
//!
//! Private: nothing but numbers is kept, and those in the ledger. A past question counts when what
//! its answer rested on still stands and the owner did not reject it. Each is searched without units
//! and with them, but for the units that were made of it: a unit that finds only its own question
//! again has taught nothing.
//!
//! What an answer rested on was found by the ranking of its day, so that this speaks of change, for
//! better or worse, and not of how good the ranking is.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::search::{self, Query, Searcher};
use super::super::writeback::MOST_UNITS;
use super::{flag, rounded};
use crate::domain::chunk::ChunkId;
use crate::domain::measure::{bootstrap_interval, mean, reciprocal};
use crate::domain::scoring::normalised;
use crate::domain::unit::{Merge, State};
use crate::error::Failure;
use crate::store::units::UseUnits;
use crate::store::units::considered::once_each;
use crate::store::{Store, StoreError, measurements};

/// Past questions that are asked again at most, the newest first.
const MOST_PAST: usize = 400;

/// Hits that are looked at.
const K: usize = 10;

const ROUNDS: usize = 2000;

/// Points that a line shows at most.
const MOST_POINTS: usize = 100;

/// What the past questions scored at one time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// The batch of writeback after which it was measured; none where it was asked for.
    pub batch: Option<String>,
    /// Questions asked again.
    pub questions: usize,
    /// Units in use.
    pub units: usize,
    /// Questions for which a unit in use took part.
    pub touched: usize,
    /// Mean reciprocal rank of the passage that the answer rested on, first ten hits: without
    /// units, and with them.
    pub mrr: (f64, f64),
    /// Share of questions whose passage was the first hit: without units, and with them.
    pub first: (f64, f64),
    /// 95 % interval of the difference of `mrr`, by paired bootstrap.
    pub interval: (f64, f64),
}

/// Asks the past questions again; blocks. Nothing is kept of it yet: see [`keep`].
///
/// # Errors
/// What the store and the embedding model say.
pub fn measure(
    searcher: &Searcher<'_>,
    merge: Merge,
    (at_ms, batch): (i64, Option<String>),
    told: &dyn Fn(usize, usize),
    stop: &AtomicBool,
) -> Result<Option<Point>, Failure> {
    let (past, own, units) = searcher.store.ledger().read(|snapshot| {
        let mut own: HashMap<String, HashSet<String>> = HashMap::new();
        let active = snapshot.units(Some(State::Active), MOST_UNITS)?;
        for unit in &active {
            for question in &unit.questions {
                let of = own.entry(normalised(question)).or_default();
                of.insert(unit.id.clone());
            }
        }
        let past = once_each(snapshot.past(MOST_PAST)?);
        Ok::<_, StoreError>((past, own, active.len()))
    })?;
    let none = HashSet::new();
    let (mut without, mut with): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    let (mut touched, asked) = (0, past.len());
    for (n, past) in past.iter().enumerate() {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        told(n, asked);
        let Some(target) = past.cited.first() else {
            continue;
        };
        let left_out = own
            .get(&normalised(&past.question))
            .unwrap_or(&none)
            .clone();
        let query = |units| Query {
            units,
            merge,
            ..Query::words(past.question.as_str(), K)
        };
        let plain = search::rank(searcher, &query(UseUnits::Off))?;
        let taught = search::rank(searcher, &query(UseUnits::Without(left_out)))?;
        let led = |ranked: &search::Ranked| ranked.hit.unit_id.is_some();
        touched += usize::from(taught.ranked.iter().any(led));
        without.push(reciprocal_rank(&plain, *target));
        with.push(reciprocal_rank(&taught, *target));
    }
    let differences: Vec<f64> = without.iter().zip(&with).map(|(a, b)| b - a).collect();
    let first = |values: &[f64]| {
        let first: Vec<f64> = values.iter().map(|v| flag(*v > 0.99)).collect();
        rounded(mean(&first))
    };
    let (low, high) = bootstrap_interval(&differences, ROUNDS, 0);
    Ok(Some(Point {
        at_ms,
        batch,
        questions: differences.len(),
        units,
        touched,
        mrr: (rounded(mean(&without)), rounded(mean(&with))),
        first: (first(&without), first(&with)),
        interval: (rounded(low), rounded(high)),
    }))
}

/// One over the place of the hit that shows the chunk; 0 where none does.
fn reciprocal_rank(ranking: &search::Ranking, target: ChunkId) -> f64 {
    let name = target.to_string();
    let shows = |ranked: &search::Ranked| {
        let folded = ranked.hit.folded.iter().any(|f| f.chunk_id == name);
        folded || ranked.parts.iter().any(|(_, chunk)| *chunk == target)
    };
    reciprocal(ranking.ranked.iter().position(shows))
}

/// Keeps a point in the ledger.
///
/// # Errors
/// What the ledger says.
pub fn keep(store: &Store, point: &Point) -> Result<(), StoreError> {
    let body = serde_json::to_string(point)?;
    let ledger = store.ledger();
    ledger.write(|transaction| measurements::put_measurement(transaction, point.at_ms, &body))
}

/// The points that were kept, the oldest first.
///
/// # Errors
/// What the ledger says.
pub fn line(store: &Store) -> Result<Vec<Point>, StoreError> {
    let rows = store.ledger().read(|s| s.measurements(MOST_POINTS))?;
    // Of another version: passed over.
    let points = rows
        .iter()
        .filter_map(|(_, body)| serde_json::from_str(body).ok());
    Ok(points.collect())
}
