//! Personal ranking: a handful of weights, learned from what the owner's questions led to.
//!
//! The same caution as for units: weights are fitted on one half of the past questions and must be
//! better on the other half, beyond chance; those in use go as soon as they lose on what was asked
//! since, and with the batch that they were learned in. What ranked first so far is what answers rest on, so little is learned, and slowly: that
//! is meant.

use std::sync::atomic::{AtomicBool, Ordering};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::search;
use super::Bench;
use crate::domain::chunk::ChunkId;
use crate::domain::measure::{bootstrap_interval, mean, reciprocal};
use crate::domain::rank::{Judged, Weights, fuse};
use crate::error::Failure;
use crate::store::ledger::Transaction;
use crate::store::units::batches;
use crate::store::units::considered::{Past, once_each};
use crate::store::{Store, StoreError, ledger};

/// Past questions below which nothing is learned.
const LEAST_PAST: usize = 60;

/// Past questions that are looked at, the newest first.
const MOST_PAST: usize = 400;

const ROUNDS: usize = 2000;
const SEED: u64 = 20_261_121;

/// The memo that holds the weights in use.
const RANKING: &str = "ranking";

/// Weights that were learned, and what shows that they are better.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ranking {
    /// The weights.
    pub weights: Weights,
    /// The batch in which they were learned.
    pub batch: String,
    /// When, milliseconds since 1970.
    #[serde(default)]
    pub learned_ms: i64,
    /// Mean gain of the reciprocal rank on the questions that they were not fitted on.
    pub gain: f64,
    /// Its 95 % interval, by paired bootstrap.
    pub interval: (f64, f64),
    /// How many questions those were.
    pub questions: usize,
}

/// The weights that were learned, where there are some.
///
/// # Errors
/// What the ledger says.
pub fn in_use(store: &Store) -> Result<Option<Ranking>, StoreError> {
    let memo = store.ledger().read(|snapshot| snapshot.memo(RANKING))?;
    // Of another version: not used, and learned anew.
    Ok(memo.and_then(|memo| serde_json::from_str(&memo).ok()))
}

/// Goes back to the weights that everybody has.
///
/// # Errors
/// What the ledger says.
pub fn reset(store: &Store) -> Result<(), StoreError> {
    store.ledger().write(forget)
}

/// As [`reset`], with what else is undone.
pub(super) fn forget(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    ledger::put_memo(transaction, RANKING, "")
}

/// A past question, judged: its candidates and what its answer rests on.
struct Outcome {
    judged: Vec<Judged>,
    target: ChunkId,
    /// Whether weights may be fitted on it; the others are for the test.
    fits: bool,
    asked_ms: i64,
}

impl Outcome {
    fn reciprocal(&self, weights: &Weights) -> f64 {
        let fused = fuse(&self.judged, weights);
        reciprocal(fused.iter().position(|f| f.judged.chunk == self.target))
    }
}

/// Drops weights that have come to lose, and looks for better ones. Says what was learned.
pub(super) fn learn(bench: &Bench<'_>, stop: &AtomicBool) -> Result<Option<Ranking>, Failure> {
    let store = bench.store();
    let mut past = store.ledger().read(|snapshot| snapshot.past(MOST_PAST))?;
    let held_out = &bench.options.held_out;
    past.retain(|past| !held_out.holds(&past.question));
    let past = once_each(past);
    let known = in_use(store)?;
    let few = past.len() < LEAST_PAST;
    if few && known.is_none() {
        return Ok(None);
    }
    let mut outcomes = Vec::with_capacity(past.len());
    for past in &past {
        if stop.load(Ordering::Relaxed) || bench.over().is_some() {
            return Ok(None);
        }
        outcomes.push(outcome(bench, past)?);
    }
    let usual = Weights::default();
    if let Some(known) = known {
        // Not on what they were fitted on: there they look better than they are.
        let since = outcomes.iter().filter(|o| o.asked_ms > known.learned_ms);
        if gain(since, &known.weights, &usual).0 >= 0.0 {
            return Ok(None);
        }
        tracing::info!("the learned weights lose; back to the usual ones");
        reset(store)?;
    }
    if few {
        return Ok(None);
    }
    let fitted = fit(&outcomes);
    let (unseen, _): (Vec<Outcome>, Vec<Outcome>) = outcomes.into_iter().partition(|o| !o.fits);
    let (gain, interval) = gain(unseen.iter(), &fitted, &usual);
    if interval.0 <= 0.0 {
        return Ok(None);
    }
    let ranking = Ranking {
        weights: fitted,
        batch: bench.batch.clone(),
        learned_ms: bench.now_ms,
        gain,
        interval,
        questions: unseen.len(),
    };
    let memo = serde_json::to_string(&ranking).map_err(StoreError::from)?;
    let kept = store.ledger().write(|t| {
        // Taken back by now, it would leave them behind.
        let kept = batches::taken_back(t, &bench.batch)?.is_none();
        if kept {
            ledger::put_memo(t, RANKING, &memo)?;
        }
        Ok::<_, StoreError>(kept)
    })?;
    Ok(kept.then_some(ranking))
}

fn outcome(bench: &Bench<'_>, past: &Past) -> Result<Outcome, Failure> {
    let found = search::candidates(&bench.parts.searcher, &past.question)?;
    Ok(Outcome {
        judged: found.judged.into_iter().map(|(judged, _)| judged).collect(),
        target: past.cited[0],
        fits: blake3::hash(past.question.as_bytes()).as_bytes()[0].is_multiple_of(2),
        asked_ms: past.asked_ms,
    })
}

fn gain<'a>(
    outcomes: impl Iterator<Item = &'a Outcome>,
    ours: &Weights,
    usual: &Weights,
) -> (f64, (f64, f64)) {
    let change = outcomes.map(|o| o.reciprocal(ours) - o.reciprocal(usual));
    let changes: Vec<f64> = change.collect();
    (mean(&changes), bootstrap_interval(&changes, ROUNDS, SEED))
}

/// How a weight is set.
type Dial = (fn(&mut Weights) -> &mut f32, &'static [f32]);

const DIALS: [Dial; 4] = [
    (|w| &mut w.dense, &[0.25, 0.35, 0.45, 0.55, 0.65]),
    (|w| &mut w.dense_trust, &[0.6, 1.1, 1.6]),
    (|w| &mut w.lexical_trust, &[0.25, 0.5, 0.75]),
    (|w| &mut w.head, &[0.75, 1.5, 2.25]),
];

/// Coordinate ascent over few values; what is as good as the usual stays as usual.
fn fit(outcomes: &[Outcome]) -> Weights {
    let mean_of = |weights: &Weights| {
        let seen = outcomes.iter().filter(|o| o.fits);
        mean(&seen.map(|o| o.reciprocal(weights)).collect::<Vec<f64>>())
    };
    let mut best = Weights::default();
    let mut value = mean_of(&best);
    for _ in 0..2 {
        for (dial, values) in DIALS {
            for tried in values {
                let mut weights = best;
                *dial(&mut weights) = *tried;
                let found = mean_of(&weights);
                if found > value + 1e-6 {
                    (best, value) = (weights, found);
                }
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rank::Lexical;

    /// Questions whose evidence the vectors like and the words do not.
    fn outcomes(count: u8) -> Vec<Outcome> {
        let chunk = |name: &str| ChunkId::of("", name);
        let judged = |name: &str, cosine: f32, words: f32| Judged {
            chunk: chunk(name),
            cosine: Some(cosine),
            lexical: Lexical {
                words,
                coverage: words,
                ..Lexical::default()
            },
        };
        (0..count)
            .map(|n| Outcome {
                judged: vec![judged("right", 0.5, 0.5), judged("wrong", 0.4, 1.0)],
                target: chunk("right"),
                fits: n % 2 == 0,
                asked_ms: 0,
            })
            .collect()
    }

    #[test]
    fn weights_move_to_the_lane_that_finds() {
        let outcomes = outcomes(20);
        let fitted = fit(&outcomes);
        let (gain, interval) = gain(outcomes.iter(), &fitted, &Weights::default());
        assert!(gain > 0.0 && interval.0 > 0.0, "{fitted:?}");
        assert!(fitted != Weights::default());
    }

    #[test]
    fn nothing_to_gain_leaves_the_usual_weights() {
        let mut outcomes = outcomes(20);
        for outcome in &mut outcomes {
            outcome.judged.truncate(1);
        }
        assert_eq!(fit(&outcomes), Weights::default());
    }
}
