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
    // Some judge what is worse than nothing: that gains nothing.
    let mut found = ranked
        .iter()
        .map(|d| gains.get(d).copied().unwrap_or(0.0).max(0.0));
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
    reciprocal(ranked.iter().position(|d| is_relevant(gains, d)))
}

/// One divided by the rank at a place, counted from 0, or 0 of none.
pub fn reciprocal(place: Option<usize>) -> f64 {
    place.map_or(0.0, |place| 1.0 / count(place + 1))
}

/// 1 where one of the first `k` is relevant, else 0 (success at `k`).
pub fn hit<D: Eq + Hash>(ranked: &[D], gains: &Gains<D>, k: usize) -> f64 {
    let found = ranked.iter().take(k).any(|d| is_relevant(gains, d));
    f64::from(u8::from(found))
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

/// How likely a mean of paired differences as far from 0 is, if the sign of each were a coin: the
/// two-sided randomisation test (Fisher 1935; for retrieval: Smucker, Allan and Carterette 2007) with
/// `rounds` draws from a generator that begins with `seed`. The observed order counts as one draw,
/// so that it is never 0; 1 where nothing differs.
pub fn randomisation(differences: &[f64], rounds: usize, seed: u64) -> f64 {
    let differing: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    if differing.is_empty() || rounds == 0 {
        return 1.0;
    }
    let observed = differing.iter().sum::<f64>().abs();
    let mut random = SplitMix(seed);
    let mut as_far = 0;
    for _ in 0..rounds {
        let (mut signs, mut left) = (0_u64, 0);
        let mut sum = 0.0;
        for difference in &differing {
            if left == 0 {
                (signs, left) = (random.next(), 64);
            }
            sum += if signs & 1 == 0 {
                *difference
            } else {
                -*difference
            };
            (signs, left) = (signs >> 1, left - 1);
        }
        // Sums of the same numbers in another order differ in their last digits.
        as_far += usize::from(sum.abs() >= observed - 1e-9);
    }
    count(as_far + 1) / count(rounds + 1)
}

/// Probabilities of a table, corrected for being several (Holm 1979), in the order given: below a
/// limit, each difference may be believed as if it had been the only one.
pub fn holm(probabilities: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|a, b| probabilities[*a].total_cmp(&probabilities[*b]));
    let mut corrected = vec![1.0; probabilities.len()];
    let mut least: f64 = 0.0;
    for (place, index) in order.into_iter().enumerate() {
        let left = count(probabilities.len() - place);
        least = least.max((probabilities[index] * left).min(1.0));
        corrected[index] = least;
    }
    corrected
}

/// Paired questions needed to see a mean difference as large as that of `differences` in four of
/// five runs, at 5 %, two-sided: `((1.960 + 0.842) · σ / mean)²`. None where there is no difference.
pub fn questions_needed(differences: &[f64]) -> Option<usize> {
    let middle = mean(differences);
    let squares: Vec<f64> = differences.iter().map(|d| (d - middle).powi(2)).collect();
    let deviation = mean(&squares).sqrt();
    if differences.len() < 2 || middle == 0.0 || deviation == 0.0 {
        return None;
    }
    let needed = ((1.959_964 + 0.841_621) * deviation / middle)
        .powi(2)
        .ceil();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "cut off at a number that says enough"
    )]
    #[expect(clippy::cast_sign_loss, reason = "a square is not negative")]
    Some(needed.min(1e9) as usize)
}

/// The value below which `share` of them lie, by nearest rank; 0 of nothing.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, reason = "a place in a list")]
    #[expect(clippy::cast_sign_loss, reason = "a share is not negative")]
    let place = (share * count(sorted.len())).ceil() as usize;
    let place = place.saturating_sub(1).min(sorted.len().saturating_sub(1));
    sorted.get(place).copied().unwrap_or(0.0)
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

fn count(questions: usize) -> f64 {
    questions as f64
}

/// `SplitMix64` (Steele, Lea and Flood 2014): enough for resampling.
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, end: usize) -> usize {
        // The high bits of a product, as Lemire 2019; the bias is below 2^-40 here.
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
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

    /// Expected values are those of `ir_measures` 0.4.3 (`pytrec_eval` 0.5) for the same run.
    #[test]
    fn measures_are_those_of_public_implementations() {
        let table = include_str!("../../tests/fixtures/measures.json");
        let cases: Vec<serde_json::Value> = serde_json::from_str(table).unwrap();
        assert!(cases.len() >= 40);
        for case in &cases {
            let gains: Gains<String> = serde_json::from_value(case["gains"].clone()).unwrap();
            let ranked: Vec<String> = serde_json::from_value(case["ranked"].clone()).unwrap();
            let is = |name: &str, value: f64| {
                let expected = case["expected"][name].as_f64().unwrap();
                assert!((value - expected).abs() < 1e-6, "{name} {value}: {case}");
            };
            is("nDCG@10", ndcg(&ranked, &gains, 10));
            is("nDCG@5", ndcg(&ranked, &gains, 5));
            is("R@1", recall(&ranked, &gains, 1));
            is("R@10", recall(&ranked, &gains, 10));
            is("RR", reciprocal_rank(&ranked, &gains));
            is("Success@5", hit(&ranked, &gains, 5));
        }
    }

    #[test]
    fn signs_are_drawn_as_often_as_they_fall() {
        // All 2^5 ways to sign: two are as far from 0.
        let five = randomisation(&[1.0; 5], 100_000, 3);
        assert!((five - 0.0625).abs() < 0.005, "{five}");
        assert!((randomisation(&[0.0, 0.0], 100, 1) - 1.0).abs() < 1e-12);
        assert!((randomisation(&[1.0, -1.0], 100, 1) - 1.0).abs() < 1e-12);
        assert!(randomisation(&[0.5; 60], 999, 1) <= 0.001 + 1e-12);
    }

    #[test]
    fn corrected_probabilities_are_those_of_holm() {
        // statsmodels.stats.multitest.multipletests(p, method="holm")[1]
        let corrected = holm(&[0.01, 0.04, 0.03, 0.005]);
        let expected = [0.03, 0.06, 0.06, 0.02];
        for (value, expected) in corrected.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-12, "{corrected:?}");
        }
        assert_eq!(holm(&[0.6, 0.9]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }

    #[test]
    fn two_points_on_a_tenth_of_the_answers_take_two_thousand_questions() {
        // 6 % become right, 4 % wrong: WRITEBACK.md's "about 2,000".
        let mut differences = vec![0.0; 900];
        differences.extend([1.0; 60]);
        differences.extend([-1.0; 40]);
        let needed = questions_needed(&differences).unwrap();
        assert!((1900..2000).contains(&needed), "{needed}");
        assert_eq!(questions_needed(&[0.0, 0.0]), None);
        assert_eq!(questions_needed(&[]), None);
    }

    #[test]
    fn quantiles_are_by_nearest_rank() {
        let values = [15.0, 20.0, 35.0, 40.0, 50.0];
        let check =
            |share, expected: f64| assert!((quantile(&values, share) - expected).abs() < 1e-12);
        check(0.05, 15.0);
        check(0.3, 20.0);
        check(0.5, 35.0);
        check(1.0, 50.0);
        assert!(quantile(&[], 0.5).abs() < 1e-12);
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
