//! Ranking: what words and vectors say of a passage, and one score out of both.
//!
//! The lanes propose; then every candidate is judged by both, whichever lane it came from. Scores
//! are fused, not ranks: reciprocal rank fusion throws the scores away and loses points on every
//! set that was measured (DESIGN.md §8, `eval/results/retrieval.json`). Each lane is scaled to its
//! best candidate, and the weighted sum decides. The result does not depend on input order.
//!
//! The lexical score is more than BM25. Small notes answer a question in one place, so that it
//! counts how near the asked words stand: next to each other, and within one window. The weights
//! were chosen together by coordinate ascent over all sets; [`Weights`] has the table.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::chunk::ChunkId;

/// Hits at most.
pub const MOST_HITS: usize = 100;

/// The dot product of two vectors of one length: the cosine, as vectors here have length 1.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A candidate of one lane: a cosine for the dense lane, a BM25 score for the lexical lane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The chunk.
    pub chunk: ChunkId,
    /// The lane's own score; comparable within the lane only.
    pub score: f32,
}

/// How much each part of the evidence counts.
///
/// Chosen by coordinate ascent (nDCG@10, mean of thirteen sets), rounded, and moved a little towards
/// the vectors for the one set that they win. `make tune` looks for better ones and says what each
/// part is worth: `eval/results/weights.json` has the table.
#[derive(
    Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct Weights {
    /// Of the dense lane, 0..1, when both lanes are as sure of themselves as they mostly are; the
    /// lexical lane has the rest. 0 and 1 leave one lane alone, whatever they are sure of.
    pub dense: f32,
    /// How much the dense lane gains by standing out: for each unit of cosine that its best
    /// candidate is further above the next nine than [`USUAL_DENSE_MARGIN`].
    pub dense_trust: f32,
    /// How much the lexical lane gains by standing out: for each share of its best score that the
    /// next nine are further below it than [`USUAL_LEXICAL_MARGIN`].
    pub lexical_trust: f32,
    /// Share of the best cosine that counts as nothing: unrelated texts have cosines above 0.
    pub floor: f32,
    /// Of BM25 over the passage's own words.
    pub words: f32,
    /// Of neighbouring words of the query that are neighbours in the passage.
    pub pairs: f32,
    /// Of the best window of [`WINDOW`] words.
    pub window: f32,
    /// Of BM25 over title and headings.
    pub head: f32,
    /// Of the share of the query that occurs at all.
    pub coverage: f32,
    /// Of BM25 over tags, aliases and path.
    pub labels: f32,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            dense: 0.45,
            dense_trust: 1.1,
            lexical_trust: 0.5,
            floor: 0.3,
            words: 1.0,
            pairs: 1.2,
            window: 1.6,
            head: 1.5,
            coverage: 2.0,
            labels: 0.3,
        }
    }
}

/// By how much the best cosine mostly stands above the mean of the next nine.
const USUAL_DENSE_MARGIN: f32 = 0.2;

/// By which share of the best lexical score the mean of the next nine mostly is below it.
const USUAL_LEXICAL_MARGIN: f32 = 0.4;

/// Words within which the query's words are near each other.
pub const WINDOW: u32 = 24;

/// BM25's saturation and length constants (Robertson and Zaragoza 2009).
const K1: f32 = 1.2;
const B: f32 = 0.75;

/// How much a stop word counts beside another word of the same rarity.
pub const STOP_WORD: f32 = 0.5;

/// The words of a query, with what they are worth.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Rarity of each word (inverse document frequency), less for stop words.
    pub weights: Vec<f32>,
    /// Pairs of different words that follow each other in the query.
    pub pairs: Vec<(usize, usize)>,
}

/// The rarity of a word that `holding` of `all` passages hold (Lucene's form, never negative).
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of passages are below 2^24 or nearly so"
)]
pub fn idf(all: u64, holding: u64) -> f32 {
    let (all, holding) = (all as f32, (holding as f32).min(all as f32));
    (1.0 + (all - holding + 0.5) / (holding + 0.5)).ln()
}

/// Where the words of a query occur in one passage; the vectors have one entry a word.
#[derive(Clone, Debug, Default)]
pub struct Occurrences {
    /// Places in the text, ascending.
    pub text: Vec<Vec<u32>>,
    /// Times in title and headings.
    pub head: Vec<u32>,
    /// Times in tags, aliases and path.
    pub labels: Vec<u32>,
    /// Words of text, head and labels.
    pub lengths: [u32; 3],
}

impl Occurrences {
    /// Does a word occur anywhere?
    pub fn holds(&self, word: usize) -> bool {
        !self.text[word].is_empty() || self.head[word] > 0 || self.labels[word] > 0
    }

    /// Adds where else a word occurs in the same passage.
    pub fn add(&mut self, word: usize, more: &Self) {
        let places = &mut self.text[word];
        places.extend(&more.text[word]);
        places.sort_unstable();
        places.dedup();
        self.head[word] += more.head[word];
        self.labels[word] += more.labels[word];
    }
}

/// Mean numbers of words of text, head and labels over all passages.
#[derive(Clone, Copy, Debug, Default)]
pub struct MeanLengths(pub [f32; 3]);

/// What the words say of a passage; each 0 for nothing, around 1 for all that is possible.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
pub struct Lexical {
    /// BM25 over the passage's words.
    pub words: f32,
    /// Neighbours in the query that are neighbours in the passage.
    pub pairs: f32,
    /// The best window.
    pub window: f32,
    /// BM25 over title and headings.
    pub head: f32,
    /// Share of the query that occurs.
    pub coverage: f32,
    /// BM25 over tags, aliases and path.
    pub labels: f32,
}

impl Lexical {
    /// The weighted sum.
    pub fn score(&self, weights: &Weights) -> f32 {
        weights.words * self.words
            + weights.pairs * self.pairs
            + weights.window * self.window
            + weights.head * self.head
            + weights.coverage * self.coverage
            + weights.labels * self.labels
    }
}

/// Judges a passage by the query's words.
pub fn judge(terms: &Terms, found: &Occurrences, means: MeanLengths) -> Lexical {
    let total: f32 = terms.weights.iter().sum();
    if total <= 0.0 {
        return Lexical::default();
    }
    let counts: Vec<u32> = found.text.iter().map(|places| count(places)).collect();
    let held = counts.iter().zip(&found.head).zip(&found.labels);
    let held = held.zip(&terms.weights);
    let covered = held.filter(|(((text, head), labels), _)| **text + **head + **labels > 0);
    Lexical {
        words: bm25(terms, &counts, found.lengths[0], means.0[0]) / total,
        pairs: neighbours(terms, &found.text),
        window: best_window(terms, &found.text) / total,
        head: bm25(terms, &found.head, found.lengths[1], means.0[1]) / total,
        coverage: covered.map(|(_, weight)| weight).sum::<f32>() / total,
        labels: bm25(terms, &found.labels, found.lengths[2], means.0[2]) / total,
    }
}

fn count(places: &[u32]) -> u32 {
    u32::try_from(places.len()).unwrap_or(u32::MAX)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts within a passage are small"
)]
fn bm25(terms: &Terms, counts: &[u32], length: u32, mean: f32) -> f32 {
    let norm = K1 * (1.0 - B + B * length as f32 / mean.max(1.0));
    let parts = counts.iter().zip(&terms.weights).filter(|(n, _)| **n > 0);
    parts
        .map(|(n, weight)| weight * *n as f32 * (K1 + 1.0) / (*n as f32 + norm))
        .sum()
}

/// Share of the query's pairs that stand side by side in the text, in order. A pair is worth the
/// geometric mean of its words, so that "of the" is worth little.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts within a passage are small"
)]
fn neighbours(terms: &Terms, places: &[Vec<u32>]) -> f32 {
    let mut total = 0.0;
    let mut held = 0.0;
    for (a, b) in &terms.pairs {
        let worth = (terms.weights[*a] * terms.weights[*b]).sqrt();
        total += worth;
        let after = |place: &&u32| places[*b].binary_search(&(**place + 1)).is_ok();
        let times = places[*a].iter().filter(after).count() as f32;
        held += worth * times / (times + 0.5);
    }
    if total > 0.0 { held / total } else { 0.0 }
}

/// What the distinct words in the best window are worth together.
fn best_window(terms: &Terms, places: &[Vec<u32>]) -> f32 {
    let mut all: Vec<(u32, usize)> = Vec::new();
    for (term, places) in places.iter().enumerate() {
        all.extend(places.iter().map(|place| (*place, term)));
    }
    all.sort_unstable();
    let mut inside = vec![0_u32; places.len()];
    let (mut first, mut worth, mut best) = (0, 0.0_f32, 0.0_f32);
    for (place, term) in &all {
        while all[first].0 + WINDOW < *place {
            let left = all[first].1;
            inside[left] -= 1;
            if inside[left] == 0 {
                worth -= terms.weights[left];
            }
            first += 1;
        }
        if inside[*term] == 0 {
            worth += terms.weights[*term];
        }
        inside[*term] += 1;
        best = best.max(worth);
    }
    best
}

/// A candidate with what both lanes say of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// The chunk.
    pub chunk: ChunkId,
    /// Cosine to the query; none without vectors.
    pub cosine: Option<f32>,
    /// What the words say.
    pub lexical: Lexical,
}

/// A fused candidate with the scores it came from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fused {
    /// What both lanes say.
    pub judged: Judged,
    /// The dense part: 0 at the floor, 1 for the best candidate; below 0 under the floor.
    pub dense: f32,
    /// The lexical part: 1 for the best candidate.
    pub lexical: f32,
    /// The weight of the dense part for this query.
    pub weight: f32,
    /// Their weighted sum, 1 at most.
    pub score: f32,
}

impl Fused {
    /// For what was listed, not judged.
    pub fn unjudged(chunk: ChunkId) -> Self {
        Self {
            judged: Judged {
                chunk,
                cosine: None,
                lexical: Lexical::default(),
            },
            dense: 0.0,
            lexical: 0.0,
            weight: 0.0,
            score: 0.0,
        }
    }
}

/// Fuses what both lanes say, best first; ties go to the smaller id.
pub fn fuse(candidates: &[Judged], weights: &Weights) -> Vec<Fused> {
    let cosine = |c: &Judged| c.cosine.filter(|cosine| cosine.is_finite());
    let cosines = Top::of(candidates.iter().filter_map(cosine));
    let scores = Top::of(candidates.iter().map(|c| c.lexical.score(weights)));
    let weight = dense_weight(&cosines, &scores, weights);
    let floor = weights.floor * cosines.best;
    let share = |value: f32, of: f32| if of > 0.0 { value / of } else { 0.0 };
    let mut fused: Vec<Fused> = candidates
        .iter()
        .map(|judged| {
            let dense = cosine(judged).map_or(0.0, |c| share(c - floor, cosines.best - floor));
            let lexical = share(judged.lexical.score(weights), scores.best);
            Fused {
                judged: *judged,
                dense,
                lexical,
                weight,
                score: weight * dense + (1.0 - weight) * lexical,
            }
        })
        .collect();
    fused.sort_by(|a, b| descending(a.score, b.score).then(a.judged.chunk.cmp(&b.judged.chunk)));
    fused
}

/// A lane that is sure of itself counts more: the gap between its best candidate and the next nine
/// says how well it tells them apart for this query.
fn dense_weight(cosines: &Top, scores: &Top, weights: &Weights) -> f32 {
    if weights.dense <= 0.0 || weights.dense >= 1.0 {
        return weights.dense.clamp(0.0, 1.0);
    }
    let dense_margin = cosines.best - cosines.next;
    let lexical_margin = if scores.best > 0.0 {
        1.0 - scores.next / scores.best
    } else {
        0.0
    };
    let surer = weights.dense_trust * (dense_margin - USUAL_DENSE_MARGIN)
        - weights.lexical_trust * (lexical_margin - USUAL_LEXICAL_MARGIN);
    (weights.dense + surer).clamp(0.02, 0.95)
}

/// The best score of a lane and the mean of the next nine, 0 for those that are not there.
struct Top {
    best: f32,
    next: f32,
}

impl Top {
    fn of(scores: impl Iterator<Item = f32>) -> Self {
        let mut scores: Vec<f32> = scores.collect();
        scores.sort_by(|a, b| descending(*a, *b));
        let next = scores.iter().skip(1).take(9).sum::<f32>() / 9.0;
        Self {
            best: scores.first().copied().unwrap_or(0.0).max(0.0),
            next,
        }
    }
}

/// Reciprocal rank fusion: the sum of `1 / (60 + rank)` over the lanes, best first (Cormack, Clarke
/// and Büttcher 2009). Not what coho ranks by; the measure that others ship, to compare with.
pub fn fuse_by_rank(lanes: &[&[Candidate]]) -> Vec<Candidate> {
    let mut scores: HashMap<ChunkId, f32> = HashMap::new();
    for lane in lanes {
        let mut seen = std::collections::HashSet::new();
        let distinct = lane.iter().filter(|candidate| seen.insert(candidate.chunk));
        for (candidate, rank) in distinct.zip(1_u16..) {
            *scores.entry(candidate.chunk).or_default() += 1.0 / (60.0 + f32::from(rank));
        }
    }
    let mut fused: Vec<Candidate> = scores
        .into_iter()
        .map(|(chunk, score)| Candidate { chunk, score })
        .collect();
    fused.sort_by(|a, b| descending(a.score, b.score).then(a.chunk.cmp(&b.chunk)));
    fused
}

/// Order for "largest first"; NaN goes last.
pub fn descending(a: f32, b: f32) -> Ordering {
    b.partial_cmp(&a)
        .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn judged(n: u8, cosine: f32, words: f32) -> Judged {
        Judged {
            chunk: ChunkId([n; 16]),
            cosine: cosine.is_finite().then_some(cosine),
            lexical: Lexical {
                words,
                ..Lexical::default()
            },
        }
    }

    fn order(candidates: &[Judged]) -> Vec<u8> {
        let fused = fuse(candidates, &Weights::default());
        fused.iter().map(|f| f.judged.chunk.0[0]).collect()
    }

    #[test]
    fn agreement_beats_a_single_lane() {
        let candidates = [
            judged(1, 0.9, 0.0),
            judged(2, 0.8, 0.9),
            judged(3, 0.1, 0.1),
            judged(4, 0.3, 1.0),
        ];
        let order = order(&candidates);
        assert_eq!((order[0], order[3]), (2, 3), "{order:?}");
    }

    #[test]
    fn edges_are_sensible() {
        assert_eq!(order(&[]), Vec::<u8>::new());
        assert_eq!(order(&[judged(1, 0.3, 0.0)]), [1]);
        assert_eq!(
            order(&[judged(1, f32::NAN, 0.0), judged(2, 0.1, 0.0)]),
            [2, 1]
        );
        assert_eq!(
            order(&[judged(1, f32::NAN, 0.1), judged(2, f32::NAN, 0.2)]),
            [2, 1]
        );
    }

    /// Judges a text against a query, both in words; every word is worth the same.
    fn judge_text(query: &str, text: &str) -> Lexical {
        let asked: Vec<&str> = query.split(' ').collect();
        let terms = Terms {
            weights: vec![1.0; asked.len()],
            pairs: (1..asked.len()).map(|n| (n - 1, n)).collect(),
        };
        let words: Vec<&str> = text.split(' ').collect();
        let places = |word: &&str| {
            let all = (0_u32..).zip(&words);
            all.filter(|(_, w)| *w == word).map(|(n, _)| n).collect()
        };
        let found = Occurrences {
            text: asked.iter().map(places).collect(),
            head: vec![0; asked.len()],
            labels: vec![0; asked.len()],
            lengths: [count(&vec![0; words.len()]), 0, 0],
        };
        judge(&terms, &found, MeanLengths([10.0, 1.0, 1.0]))
    }

    #[test]
    fn near_words_are_worth_more() {
        let far = "blue ".repeat(30);
        let apart = judge_text("sour dough", &format!("sour {far}dough"));
        let near = judge_text("sour dough", &format!("sour big dough {far}"));
        let beside = judge_text("sour dough", &format!("sour dough {far}x"));
        assert!(
            near.window > apart.window && near.pairs == 0.0,
            "{near:?} {apart:?}"
        );
        assert!(
            beside.pairs > near.pairs && beside.coverage > 0.999,
            "{beside:?}"
        );
        assert_eq!(judge_text("sour", "sweet"), Lexical::default());
    }

    #[test]
    fn occurrences_add_up() {
        let occurs = |places: &[u32], head| Occurrences {
            text: vec![places.to_vec(), Vec::new()],
            head: vec![head, 0],
            labels: vec![0, 0],
            lengths: [9, 1, 1],
        };
        let mut found = occurs(&[2, 7], 1);
        found.add(0, &occurs(&[1, 7], 2));
        assert_eq!((&found.text[0][..], found.head[0]), (&[1, 2, 7][..], 3));
        assert!(found.holds(0) && !found.holds(1));
    }

    #[test]
    fn rare_words_are_worth_more() {
        assert!(idf(1000, 1) > idf(1000, 10) && idf(1000, 1000) > 0.0);
        assert!(
            idf(10, 20) >= 0.0,
            "deleted entries are counted until they are merged away"
        );
    }

    proptest! {
        #[test]
        fn input_order_does_not_matter(
            candidates in prop::collection::btree_map(0u8..40, (-1f32..1.0, 0f32..3.0), 0..30),
            seed in any::<usize>(),
        ) {
            let candidates: Vec<Judged> =
                candidates.iter().map(|(n, (c, w))| judged(*n, *c, *w)).collect();
            let mut turned = candidates.clone();
            if !turned.is_empty() {
                let by = seed % turned.len();
                turned.rotate_left(by);
                turned.reverse();
            }
            let weights = Weights::default();
            prop_assert_eq!(fuse(&candidates, &weights), fuse(&turned, &weights));
        }

        #[test]
        fn parts_of_a_judgement_are_bounded(
            query in "[a-d]( [a-d]){0,5}", text in "[a-f]( [a-f]){0,60}",
        ) {
            let judged = judge_text(&query, &text);
            for part in [judged.pairs, judged.window, judged.coverage] {
                prop_assert!((0.0..=1.0001).contains(&part), "{judged:?}");
            }
            prop_assert!(judged.words >= 0.0 && judged.words <= K1 + 1.0);
        }
    }
}
