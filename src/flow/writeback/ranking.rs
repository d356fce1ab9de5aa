//! Personal ranking: a handful of weights, learned from what the owner's questions led to.
//!
//! The same caution as for units: weights are fitted on past questions and must be better on others,
//! beyond chance, that were first asked since weights were last tested: on the same questions with every
//! run, chance would have its way sooner or later. Those in use go as soon as they lose on what was asked
//! since, and with the batch that they were learned in. What ranked first so far is what answers rest on,
//! so little is learned, and slowly: that is meant.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::search;
use super::Bench;
use crate::domain::chunk::ChunkId;
use crate::domain::measure::{bootstrap_interval, mean, reciprocal};
use crate::domain::rank::{Judged, Weights, fuse};
use crate::domain::scoring::normalised;
use crate::error::Failure;
use crate::store::ledger::Transaction;
use crate::store::units::batches;
use crate::store::units::considered::{Past, once_each};
use crate::store::{Store, StoreError, ledger};

/// Past questions that weights are fitted on at least, and others that they are tested on.
const LEAST_PAST: usize = 60;

/// Past questions that are looked at, the newest first.
const MOST_PAST: usize = 400;

const ROUNDS: usize = 2000;
const SEED: u64 = 20_261_121;

/// The memo that holds the weights in use.
const RANKING: &str = "ranking";

/// The memo of when the newest question was asked that weights were tested on, milliseconds since 1970.
const TESTED: &str = "ranking_tested";

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
    let (mut past, tested_ms) = store.ledger().read(|snapshot| {
        let tested: Option<i64> = snapshot.memo(TESTED)?.and_then(|ms| ms.parse().ok());
        let tested = tested.filter(|tested| *tested <= bench.now_ms);
        Ok::<_, StoreError>((snapshot.past(MOST_PAST)?, tested))
    })?;
    let held_out = &bench.options.held_out;
    // What was written by a clock that went ahead does not stay the newest for long.
    past.retain(|past| past.asked_ms <= bench.now_ms && !held_out.holds(&past.question));
    let Some(newest_ms) = past.first().map(|past| past.asked_ms) else {
        return Ok(None);
    };
    let usual = Weights::default();
    if let Some(known) = in_use(store)? {
        // Not on what they were fitted on: there they look better than they are.
        let is_since = |past: &&Past| past.asked_ms > known.learned_ms;
        let since = once_each(past.iter().filter(is_since).cloned().collect());
        let Some(since) = outcomes(bench, &since, stop)? else {
            return Ok(None);
        };
        if gain(&since, &known.weights, &usual).0 >= 0.0 {
            return Ok(None);
        }
        tracing::info!("the learned weights lose; back to the usual ones");
        reset(store)?;
    }
    let Some((older, newer)) = halves(past, tested_ms) else {
        return Ok(None);
    };
    let Some(older) = outcomes(bench, &older, stop)? else {
        return Ok(None);
    };
    let Some(unseen) = outcomes(bench, &newer, stop)? else {
        return Ok(None);
    };
    let fitted = fit(&older);
    let (gain, interval) = gain(&unseen, &fitted, &usual);
    let tested = newest_ms.to_string();
    if interval.0 <= 0.0 {
        store
            .ledger()
            .write(|t| ledger::put_memo(t, TESTED, &tested))?;
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
        ledger::put_memo(t, TESTED, &tested)?;
        // Taken back by now, it would leave them behind.
        let kept = batches::taken_back(t, &bench.batch)?.is_none();
        if kept {
            ledger::put_memo(t, RANKING, &memo)?;
        }
        Ok::<_, StoreError>(kept)
    })?;
    Ok(kept.then_some(ranking))
}

/// What weights are fitted on, and what they are tested on: of past questions, the newest first, those
/// that were first asked since the last test, and the newer half at most. `None` where that is too few.
fn halves(past: Vec<Past>, tested_ms: Option<i64>) -> Option<(Vec<Past>, Vec<Past>)> {
    let middle_ms = past.get(past.len() / 2)?.asked_ms;
    let until_ms = tested_ms.map_or(middle_ms, |tested| tested.max(middle_ms));
    let until = past.iter().filter(|past| past.asked_ms <= until_ms);
    let known: HashSet<String> = until.map(|past| normalised(&past.question)).collect();
    let (older, newer): (Vec<Past>, Vec<Past>) = once_each(past)
        .into_iter()
        .partition(|past| known.contains(&normalised(&past.question)));
    (older.len().min(newer.len()) >= LEAST_PAST).then_some((older, newer))
}

/// What searches for past questions give; `None` where it is to end before that.
fn outcomes(
    bench: &Bench<'_>,
    past: &[Past],
    stop: &AtomicBool,
) -> Result<Option<Vec<Outcome>>, Failure> {
    let mut outcomes = Vec::with_capacity(past.len());
    for past in past {
        if stop.load(Ordering::Relaxed) || bench.over().is_some() {
            return Ok(None);
        }
        let found = search::candidates(&bench.parts.searcher, &past.question)?;
        outcomes.push(Outcome {
            judged: found.judged.into_iter().map(|(judged, _)| judged).collect(),
            target: past.cited[0],
        });
    }
    Ok(Some(outcomes))
}

fn gain(outcomes: &[Outcome], ours: &Weights, usual: &Weights) -> (f64, (f64, f64)) {
    let change = |o: &Outcome| o.reciprocal(ours) - o.reciprocal(usual);
    let changes: Vec<f64> = outcomes.iter().map(change).collect();
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
        let all = outcomes.iter().map(|o| o.reciprocal(weights));
        mean(&all.collect::<Vec<f64>>())
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
    use crate::store::feedback::Reception;

    /// Questions whose evidence the vectors like and the words do not.
    fn liked(count: usize) -> Vec<Outcome> {
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
        let outcome = || Outcome {
            judged: vec![judged("right", 0.5, 0.5), judged("wrong", 0.4, 1.0)],
            target: chunk("right"),
        };
        std::iter::repeat_with(outcome).take(count).collect()
    }

    #[test]
    fn no_question_is_tested_on_twice() {
        // The newest first, one a millisecond.
        let past = |count: i64| -> Vec<Past> {
            let asked = (0..count).rev().map(|n| Past {
                answer: n.to_string(),
                question: format!("What is {n}?"),
                asked_ms: n,
                cited: Vec::new(),
                sentences: Vec::new(),
                reception: Reception::default(),
                contested: false,
            });
            asked.collect()
        };
        let check = |past: Vec<Past>, tested_ms: Option<i64>, expected: Option<(usize, usize)>| {
            let found = halves(past, tested_ms);
            let found = found.map(|(older, newer)| (older.len(), newer.len()));
            assert_eq!(found, expected, "{tested_ms:?}");
        };
        check(Vec::new(), None, None);
        check(past(119), None, None);
        check(past(120), None, Some((60, 60)));
        check(past(179), Some(119), None);
        check(past(180), Some(119), Some((120, 60)));
        // One that was asked before is not new for being asked again.
        let mut again = past(180);
        again[0].question = "What is 3?".into();
        check(again, Some(119), None);
        // After a long time there is something to fit on as well.
        check(past(200), Some(-5), Some((100, 100)));
    }

    #[test]
    fn weights_move_to_the_lane_that_finds() {
        let outcomes = liked(20);
        let fitted = fit(&outcomes);
        let (gain, interval) = gain(&outcomes, &fitted, &Weights::default());
        assert!(gain > 0.0 && interval.0 > 0.0, "{fitted:?}");
        assert!(fitted != Weights::default());
    }

    #[test]
    fn nothing_to_gain_leaves_the_usual_weights() {
        let mut outcomes = liked(20);
        for outcome in &mut outcomes {
            outcome.judged.truncate(1);
        }
        assert_eq!(fit(&outcomes), Weights::default());
    }
}
