//! Measures of a ranking, and how sure one may be of a difference.
//!
//! Pure and small: gains by document, a ranked list of documents, a number between 0 and 1. The
//! formulas are those of `trec_eval`; where it leaves a choice, the choice is told.

#![expect(
    clippy::cast_precision_loss,
    reason = "counts of documents and questions are far below 2^52"
)]

use std::collections::HashMap;
use std::hash::Hash;

/// Judged gains of one question's documents; documents that are not in it gain nothing.
pub type Gains<D> = HashMap<D, f64>;

/// Normalised discounted cumulative gain of the first `k`: `Σ gain / log2(rank + 1)`, divided by
/// the same sum over the best order there is (Järvelin and Kekäläinen 2002, with linear gains, as
/// `trec_eval`'s `ndcg_cut` has it). 0 when nothing is relevant.
pub fn ndcg<D: Eq + Hash>(ranked: &[D], gains: &Gains<D>, k: usize) -> f64 {
    let discounted = |gains: &mut dyn Iterator<Item = f64>| -> f64 {
        let ranks = gains.take(k).zip(2_u32..);
        ranks
            .map(|(gain, next)| gain / f64::from(next).log2())
            .sum()
    };
    let mut found = ranked.iter().map(|d| gains.get(d).copied().unwrap_or(0.0));
    let mut ideal: Vec<f64> = gains.values().copied().filter(|g| *g > 0.0).collect();
    ideal.sort_by(|a, b| b.total_cmp(a));
    let best = discounted(&mut ideal.into_iter());
    if best > 0.0 {
        discounted(&mut found) / best
    } else {
        0.0
    }
}

/// Share of the relevant documents that are among the first `k`. 0 when nothing is relevant.
pub fn recall<D: Eq + Hash>(ranked: &[D], gains: &Gains<D>, k: usize) -> f64 {
    let relevant = gains.values().filter(|gain| **gain > 0.0).count();
    if relevant == 0 {
        return 0.0;
    }
    let found = ranked.iter().take(k).filter(|d| is_relevant(gains, d));
    found.count() as f64 / relevant as f64
}

/// One divided by the rank of the first relevant document, or 0 when there is none.
pub fn reciprocal_rank<D: Eq + Hash>(ranked: &[D], gains: &Gains<D>) -> f64 {
    let first = ranked.iter().position(|d| is_relevant(gains, d));
    first.map_or(0.0, |index| 1.0 / (index + 1) as f64)
}

fn is_relevant<D: Eq + Hash>(gains: &Gains<D>, document: &D) -> bool {
    gains.get(document).is_some_and(|gain| *gain > 0.0)
}

/// The mean, or 0 of nothing.
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.iter().sum::<f64>() / values.len() as f64
}

/// The 95 % interval of the mean of paired differences, by the percentile bootstrap (Efron 1979;
/// for retrieval: Sakai 2006): `rounds` samples with replacement, drawn by a generator that begins
/// with `seed`.
pub fn bootstrap_interval(differences: &[f64], rounds: usize, seed: u64) -> (f64, f64) {
    if differences.is_empty() || rounds == 0 {
        return (0.0, 0.0);
    }
    let mut random = SplitMix(seed);
    let count = differences.len();
    let mut means: Vec<f64> = (0..rounds)
        .map(|_| {
            let drawn = (0..count).map(|_| differences[random.below(count)]);
            drawn.sum::<f64>() / count as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let at = |thousandths: usize| means[(rounds * thousandths / 1000).min(rounds - 1)];
    (at(25), at(975))
}

/// The two-sided exact test of `McNemar` (1947): how likely differences at least as lopsided as
/// `better` against `worse` are, if either were as likely; 1 where nothing differs.
pub fn mcnemar(better: usize, worse: usize) -> f64 {
    let differing = better + worse;
    let fewer = better.min(worse);
    // Sum of binomial probabilities, by logarithms: the counts may be thousands.
    let mut log = count(differing) * 0.5_f64.ln();
    let mut sum = 0.0;
    for n in 0..=fewer {
        sum += log.exp();
        log += (count(differing - n) / count(n + 1))
            .max(f64::MIN_POSITIVE)
            .ln();
    }
    (2.0 * sum).min(1.0)
}

#[expect(clippy::cast_precision_loss, reason = "numbers of questions")]
fn count(questions: usize) -> f64 {
    questions as f64
}

/// `SplitMix64` (Steele, Lea and Flood 2014): enough for resampling.
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        // The high bits of a product, as Lemire 2019; the bias is below 2^-40 here.
        ((u128::from(z) * end as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gains(list: &[(&'static str, f64)]) -> Gains<&'static str> {
        list.iter().copied().collect()
    }

    /// Expected values were computed by hand from the formulas.
    #[test]
    fn measures_are_those_of_the_formulas() {
        let judged = gains(&[("a", 1.0), ("b", 2.0), ("z", 0.0)]);
        let ranked = ["x", "a", "b", "z"];
        let ideal = 2.0 + 1.0 / 3_f64.log2();
        let found = 1.0 / 3_f64.log2() + 2.0 / 4_f64.log2();
        assert!((ndcg(&ranked, &judged, 10) - found / ideal).abs() < 1e-12);
        assert!((ndcg(&ranked, &judged, 2) - (1.0 / 3_f64.log2()) / ideal).abs() < 1e-12);
        assert!((recall(&ranked, &judged, 2) - 0.5).abs() < 1e-12);
        assert!((reciprocal_rank(&ranked, &judged) - 0.5).abs() < 1e-12);
        let none = gains(&[("z", 0.0)]);
        assert!(ndcg(&ranked, &none, 10) == 0.0 && recall(&ranked, &none, 10) == 0.0);
        assert!(reciprocal_rank(&["q"], &judged) == 0.0);
    }

    #[test]
    fn the_interval_holds_the_mean_and_is_the_same_for_the_same_seed() {
        let differences: Vec<f64> = (0..200).map(|n| f64::from(n % 7) / 7.0 - 0.3).collect();
        let (low, high) = bootstrap_interval(&differences, 2000, 7);
        let middle = mean(&differences);
        assert!(low < middle && middle < high, "{low} {middle} {high}");
        // About two standard errors to each side.
        let variance = mean(
            &differences
                .iter()
                .map(|d| (d - middle).powi(2))
                .collect::<Vec<_>>(),
        );
        let error = (variance / 200.0).sqrt();
        assert!(
            ((high - low) / error - 3.92).abs() < 0.4,
            "{}",
            (high - low) / error
        );
        assert_eq!(bootstrap_interval(&differences, 2000, 7), (low, high));
        assert_eq!(bootstrap_interval(&[], 10, 1), (0.0, 0.0));
    }

    proptest! {
        #[test]
        fn measures_lie_between_0_and_1(order in prop::collection::vec(0u8..20, 0..20), good in prop::collection::vec((0u8..20, 0u8..3), 0..8), k in 1usize..12) {
            let judged: Gains<u8> = good.into_iter().map(|(d, g)| (d, f64::from(g))).collect();
            let mut ranked = Vec::new();
            for document in order {
                if !ranked.contains(&document) {
                    ranked.push(document);
                }
            }
            for value in [ndcg(&ranked, &judged, k), recall(&ranked, &judged, k), reciprocal_rank(&ranked, &judged)] {
                prop_assert!((0.0..=1.0 + 1e-12).contains(&value));
            }
            let mut best: Vec<u8> = judged.keys().copied().collect();
            best.sort_by(|a, b| judged[b].total_cmp(&judged[a]));
            if judged.values().any(|g| *g > 0.0) {
                prop_assert!((ndcg(&best, &judged, k) - 1.0).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn mcnemar_is_the_binomial_test() {
        let check = |better, worse, expected: f64| {
            let p = mcnemar(better, worse);
            assert!((p - expected).abs() < 1e-6, "{better} {worse}: {p}");
        };
        // scipy.stats.binomtest(k, n, 0.5).pvalue
        check(0, 0, 1.0);
        check(5, 0, 0.0625);
        check(10, 2, 0.038_574_218_75);
        check(59, 62, 0.855_821_6);
        check(30, 30, 1.0);
    }
}
