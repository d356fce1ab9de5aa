//! What a run says in the end: means, and differences with how sure one may be of them. One file
//! holds all that is needed to run it again, and every question's measures, so that two runs can be
//! compared question by question.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::arm::Arm;
use super::learning::Yield;
use super::outcome::Outcome;
use super::retrieval::COHO;
use super::split::UNANSWERABLE;
use super::{count, rounded, write_whole};
use crate::domain::measure::{
    bootstrap_interval, holm, mcnemar, mean, quantile, questions_needed, randomisation,
};
use crate::error::BadRequest;
use crate::store::StoreError;

/// Draws of the bootstrap and of the randomisation test.
const ROUNDS: usize = 2000;

/// Measures of quality, all of them shares. The others are costs.
const QUALITY: [&str; 14] = [
    "nDCG@10",
    "R@1",
    "R@10",
    "MRR",
    "hit@5",
    "acc_words",
    "acc",
    "em",
    "f1",
    "supported",
    "citation_precision",
    "citation_recall",
    "refused",
    "recalled",
];

/// The measure that stands for a kind of way in summaries.
pub fn main_metric(values: &BTreeMap<String, f64>) -> &'static str {
    if values.contains_key("acc_words") {
        "acc_words"
    } else if values.contains_key("nDCG@10") {
        "nDCG@10"
    } else {
        "refused"
    }
}

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunResult {
    /// Its name, by which it is found again.
    pub run: String,
    /// The suite, as it was run.
    pub suite: super::suite::Suite,
    /// Whether every question was asked.
    pub complete: bool,
    /// When it began and ended, RFC 3339.
    pub started: String,
    /// See `started`.
    pub ended: String,
    /// The command that runs it again.
    pub command: String,
    /// By what it was run.
    pub by: By,
    /// The sets.
    pub sets: Vec<SetSeen>,
    /// What each way scored.
    pub rows: Vec<Row>,
    /// Differences between ways.
    pub comparisons: Vec<Comparison>,
    /// What was learned, where units were put in use.
    pub units: Vec<Yield>,
    /// What refusing by one signal would do, on sets with questions without an answer.
    pub abstention: Vec<Curve>,
    /// Seconds in the calls that were measured, and seconds with the harness around them.
    pub harness: Harness,
    /// Every question's measures; left out of a summary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<Block>,
}

/// Program, models, settings and machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct By {
    /// The version of coho.
    pub version: String,
    /// Programs that asked, by the first digits of their BLAKE3 hash; more than one where a run was
    /// gone on with after a change.
    pub builds: Vec<String>,
    /// The commit of the checkout in which it was run, with `-dirty` where that had changes.
    pub commit: Option<String>,
    /// The models: name and hash, by what they are for.
    pub models: BTreeMap<String, ModelSeen>,
    /// The settings that can change what comes out.
    pub settings: Value,
    /// Hash of models and settings, and of what the suite says of how is asked and learned.
    pub conditions: String,
    /// The machine: system, processor, cores, memory.
    pub machine: BTreeMap<String, String>,
    /// How joules were found.
    pub energy: String,
}

/// A model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelSeen {
    /// Its name.
    pub name: String,
    /// SHA-256 of its main file, where it was installed here.
    pub sha256: Option<String>,
}

/// A set that was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SetSeen {
    /// Its name.
    pub name: String,
    /// Hash of its documents, questions and judgements.
    pub hash: String,
    /// Documents.
    pub documents: u64,
    /// Questions asked, by group.
    pub questions: BTreeMap<String, usize>,
    /// Seconds until its knowledge base was ready.
    pub ready_s: f64,
}

/// Time of the measured calls, and of the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Harness {
    /// Questions asked in this session.
    pub asked: usize,
    /// Seconds in the calls that were measured.
    pub calls_s: f64,
    /// Seconds from the first question to the last, knowledge bases and learning left out.
    pub wall_s: f64,
}

/// What one way scored with one group of questions of a set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// The set.
    pub set: String,
    /// The group.
    pub group: String,
    /// The way.
    pub arm: String,
    /// Questions.
    pub questions: usize,
    /// Means, by measure.
    pub values: BTreeMap<String, f64>,
    /// 95 % interval of each mean, by bootstrap.
    pub intervals: BTreeMap<String, (f64, f64)>,
    /// Milliseconds: half of the answers took at most the first, 95 % the second, 99 % the third.
    pub ms: Option<(f64, f64, f64)>,
}

/// A difference of two ways.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// The set.
    pub set: String,
    /// The group.
    pub group: String,
    /// The way.
    pub arm: String,
    /// What it is compared with.
    pub against: String,
    /// The measure.
    pub metric: String,
    /// Questions that both were asked.
    pub questions: usize,
    /// Mean of the second, then of the first.
    pub values: (f64, f64),
    /// Mean difference.
    pub difference: f64,
    /// Its 95 % interval, by paired bootstrap.
    pub interval: (f64, f64),
    /// Questions on which it was better, and worse.
    pub better_worse: (usize, usize),
    /// Probability of such a difference by chance: the exact sign test of shares (`McNemar`'s) and of
    /// costs, else by randomisation. None in older results, for costs.
    pub p: Option<f64>,
    /// Whether it is of something that is spent.
    #[serde(default)]
    pub is_cost: bool,
    /// The same, corrected for all rows of the table with this measure (Holm).
    pub p_holm: Option<f64>,
    /// Questions needed to see such a difference in four of five runs.
    pub needed: Option<usize>,
}

/// What would come of refusing questions by one signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Curve {
    /// The set.
    pub set: String,
    /// The way.
    pub arm: String,
    /// What was seen.
    pub signal: String,
    /// How often the signal of a question with an answer is above that of one without: 0.5 is a
    /// coin (area under the receiver operating characteristic).
    pub area: f64,
    /// For each share of answerable questions refused, in tenths from 0.1: the share of the
    /// unanswerable ones that is refused with the same limit.
    pub refused_rightly: Vec<f64>,
}

/// Measures of every question of a group, by way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Block {
    /// The set.
    pub set: String,
    /// The group.
    pub group: String,
    /// The way.
    pub arm: String,
    /// Names of the questions.
    pub ids: Vec<String>,
    /// Measures, in the order of `ids`; null where there is nothing to measure.
    pub values: BTreeMap<String, Vec<Option<f64>>>,
}

impl Block {
    /// Pairs of a measure, of the questions that both hold; the other's first.
    fn pairs(&self, other: &Self, metric: &str) -> Vec<(f64, f64)> {
        let (Some(mine), Some(theirs)) = (self.values.get(metric), other.values.get(metric)) else {
            return Vec::new();
        };
        let theirs: HashMap<&str, f64> = other
            .ids
            .iter()
            .zip(theirs)
            .filter_map(|(id, value)| Some((id.as_str(), (*value)?)))
            .collect();
        let mine = self.ids.iter().zip(mine);
        mine.filter_map(|(id, value)| Some((*theirs.get(id.as_str())?, (*value)?)))
            .collect()
    }

    fn all(&self, metric: &str) -> Vec<f64> {
        let values = self.values.get(metric).into_iter().flatten();
        values.filter_map(|value| *value).collect()
    }
}

/// Outcomes, by set, group and way, in the order in which they came; whole passages in one prompt,
/// with which others are compared, first.
pub fn blocks<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut places: HashMap<(String, String, String), usize> = HashMap::new();
    for outcome in outcomes {
        for group in &outcome.groups {
            let key = (outcome.set.clone(), group.clone(), outcome.arm.clone());
            let place = *places.entry(key).or_insert_with(|| {
                blocks.push(Block {
                    set: outcome.set.clone(),
                    group: group.clone(),
                    arm: outcome.arm.clone(),
                    ids: Vec::new(),
                    values: BTreeMap::new(),
                });
                blocks.len() - 1
            });
            let block = &mut blocks[place];
            let before = block.ids.len();
            block.ids.push(outcome.id.clone());
            for (name, value) in &outcome.values {
                let column = block.values.entry(name.clone()).or_default();
                column.resize(before, None);
                column.push(Some(rounded(*value)));
            }
            for column in block.values.values_mut() {
                column.resize(before + 1, None);
            }
        }
    }
    let mut sets: Vec<String> = blocks.iter().map(|block| block.set.clone()).collect();
    sets.dedup();
    blocks.sort_by_cached_key(|block| {
        let place = sets.iter().position(|set| *set == block.set);
        (place, block.arm != "naive")
    });
    blocks
}

/// Means of each block.
pub fn rows(blocks: &[Block], seed: u64) -> Vec<Row> {
    let row = |block: &Block| {
        let names = block.values.keys().filter(|name| *name != "ms");
        let columns: Vec<(&String, Vec<f64>)> = names.map(|name| (name, block.all(name))).collect();
        let values = columns
            .iter()
            .map(|(name, all)| ((*name).clone(), rounded(mean(all))));
        let intervals = columns.iter().map(|(name, all)| {
            let (low, high) = bootstrap_interval(all, ROUNDS, seed);
            ((*name).clone(), (rounded(low), rounded(high)))
        });
        let ms = block.all("ms");
        let at = |share| rounded(quantile(&ms, share));
        Row {
            set: block.set.clone(),
            group: block.group.clone(),
            arm: block.arm.clone(),
            questions: block.ids.len(),
            values: values.collect(),
            intervals: intervals.collect(),
            ms: (!ms.is_empty()).then(|| (at(0.5), at(0.95), at(0.99))),
        }
    };
    blocks.iter().map(row).collect()
}

/// Differences of one measure.
fn compared(arm: &Block, against: &Block, metric: &str, seed: u64) -> Option<Comparison> {
    let pairs = arm.pairs(against, metric);
    if pairs.is_empty() {
        return None;
    }
    let differences: Vec<f64> = pairs.iter().map(|(before, after)| after - before).collect();
    let (before, after): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
    let better = differences.iter().filter(|d| **d > 0.0).count();
    let worse = differences.iter().filter(|d| **d < 0.0).count();
    let is_share = |value: &f64| *value == 0.0 || (*value - 1.0).abs() < f64::EPSILON;
    let is_cost = !QUALITY.contains(&metric);
    let p = if is_cost || before.iter().chain(&after).all(is_share) {
        mcnemar(better, worse)
    } else {
        randomisation(&differences, ROUNDS, seed)
    };
    let (low, high) = bootstrap_interval(&differences, ROUNDS, seed);
    Some(Comparison {
        set: arm.set.clone(),
        group: arm.group.clone(),
        arm: arm.arm.clone(),
        against: against.arm.clone(),
        metric: metric.to_owned(),
        questions: differences.len(),
        values: (rounded(mean(&before)), rounded(mean(&after))),
        difference: rounded(mean(&differences)),
        interval: (rounded(low), rounded(high)),
        better_worse: (better, worse),
        p: Some(p),
        is_cost,
        p_holm: None,
        needed: questions_needed(&differences),
    })
}

/// Corrects each measure's column for the number of its rows.
fn corrected(mut comparisons: Vec<Comparison>) -> Vec<Comparison> {
    let metrics: BTreeSet<String> = comparisons.iter().map(|c| c.metric.clone()).collect();
    for metric in metrics {
        let of: Vec<usize> = (0..comparisons.len())
            .filter(|n| comparisons[*n].metric == metric && comparisons[*n].p.is_some())
            .collect();
        let ps: Vec<f64> = of.iter().filter_map(|n| comparisons[*n].p).collect();
        for (n, p) in of.into_iter().zip(holm(&ps)) {
            comparisons[n].p_holm = Some(p);
        }
    }
    comparisons
}

/// The ways of a run against each other: units against none in the same way, and against the first
/// way; every other way against the first; coho's ranking against each lane.
pub fn comparisons(blocks: &[Block], seed: u64) -> Vec<Comparison> {
    let mut found = Vec::new();
    for block in blocks {
        let peers: Vec<&Block> = blocks
            .iter()
            .filter(|b| b.set == block.set && b.group == block.group && b.arm != block.arm)
            .collect();
        let first = peers.iter().find(|b| !is_ranking(&b.arm));
        let Arm { way, units } = Arm::of(&block.arm);
        let against: Vec<&&Block> = match units {
            Some(_) if is_ranking(way) => by_name(&peers, &[way]),
            Some(_) => {
                let own = by_name(&peers, &[way]);
                let first = first.filter(|b| b.arm != way && Arm::of(&b.arm).units.is_none());
                own.into_iter().chain(first).collect()
            }
            None if block.arm == COHO => by_name(&peers, &super::retrieval::LANES),
            None if is_ranking(&block.arm) => Vec::new(),
            // The first way itself has nobody before it.
            None => {
                let place = |b: &Block| blocks.iter().position(|x| std::ptr::eq(x, b));
                let earlier = first.filter(|b| place(b) < place(block));
                earlier.into_iter().collect()
            }
        };
        for other in against {
            let metrics = block.values.keys();
            found.extend(metrics.filter_map(|metric| compared(block, other, metric, seed)));
        }
    }
    corrected(found)
}

fn is_ranking(arm: &str) -> bool {
    arm == COHO || super::retrieval::LANES.contains(&arm)
}

fn by_name<'a>(peers: &'a [&'a Block], names: &[&str]) -> Vec<&'a &'a Block> {
    let named = peers.iter().filter(|b| names.contains(&b.arm.as_str()));
    named.collect()
}

/// The same ways of two runs, question by question; `b` against `a`.
///
/// # Errors
/// [`BadRequest`] where one of them holds no questions, or they have none in common.
pub fn compare(a: &RunResult, b: &RunResult) -> Result<Vec<Comparison>, BadRequest> {
    for run in [a, b] {
        if run.questions.is_empty() {
            return Err(BadRequest::new(
                "only_a_summary",
                format!("{} holds no questions", run.run),
                "compare runs of this machine: `coho eval list` names them",
            ));
        }
    }
    let mut found = Vec::new();
    for block in &b.questions {
        let same = |other: &&Block| {
            (&other.set, &other.group, &other.arm) == (&block.set, &block.group, &block.arm)
        };
        if let Some(other) = a.questions.iter().find(same) {
            let metrics = block.values.keys();
            found.extend(metrics.filter_map(|m| compared(block, other, m, b.suite.seed)));
        }
    }
    if found.is_empty() {
        return Err(BadRequest::new(
            "nothing_in_common",
            format!("{} and {} asked no question in the same way", a.run, b.run),
            "compare two runs of one suite",
        ));
    }
    Ok(corrected(found))
}

impl Comparison {
    /// How much one of it is in what is told: shares are told of a hundred.
    pub fn scale(&self) -> f64 {
        // Of older results that did not test it, it is a cost.
        let share = !self.is_cost && self.p.is_some();
        if share { 100.0 } else { 1.0 }
    }

    /// Whether the difference is more than chance: after correction, or by its interval where it was
    /// not tested. Of costs the signs are tested: where most questions cost less, and a few so much more
    /// that the mean is higher, neither is sure.
    pub fn is_real(&self) -> bool {
        let apart = self.interval.0 > 0.0 || self.interval.1 < 0.0;
        let (more, less) = self.better_worse;
        let is_of_mean = !self.is_cost || (more > less) == (self.difference > 0.0);
        self.p_holm.map_or(apart, |p| p < 0.05 && is_of_mean)
    }
}

/// A curve for each signal that all outcomes of a way saw; what was refused before a step came to
/// see it lies below all.
pub fn curves<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Vec<Curve> {
    let mut by_arm: BTreeMap<(&str, &str), (Vec<&Outcome>, Vec<&Outcome>)> = BTreeMap::new();
    for outcome in outcomes {
        let (answers, others) = by_arm.entry((&outcome.set, &outcome.arm)).or_default();
        if outcome.groups.iter().any(|group| group == UNANSWERABLE) {
            others.push(outcome);
        } else {
            answers.push(outcome);
        }
    }
    let mut found = Vec::new();
    for ((set, arm), (answers, others)) in by_arm {
        let names: BTreeSet<&String> = answers.iter().flat_map(|o| o.seen.keys()).collect();
        for signal in names {
            if let (Some(with), Some(without)) =
                (signals(&answers, signal), signals(&others, signal))
            {
                let (area, refused_rightly) = curve(with, &without);
                found.push(Curve {
                    set: set.to_owned(),
                    arm: arm.to_owned(),
                    signal: signal.clone(),
                    area: rounded(area),
                    refused_rightly: refused_rightly.into_iter().map(rounded).collect(),
                });
            }
        }
    }
    found
}

fn signals(outcomes: &[&Outcome], name: &str) -> Option<Vec<f32>> {
    let seen = outcomes.iter().map(|o| {
        let refused = o
            .values
            .get("refused")
            .is_some_and(|refused| *refused > 0.5);
        o.seen.get(name).copied().or(refused.then_some(f32::MIN))
    });
    seen.collect::<Option<Vec<f32>>>().filter(|v| !v.is_empty())
}

/// The area under the curve, and what is refused rightly at each tenth refused wrongly.
fn curve(mut with: Vec<f32>, without: &[f32]) -> (f64, Vec<f64>) {
    with.sort_by(f32::total_cmp);
    let above = |value: &f32| -> f64 {
        let below = with.partition_point(|other| other.total_cmp(value).is_lt());
        let equal = with[below..].partition_point(|other| other.total_cmp(value).is_eq());
        let above = with.len() - below - equal;
        (count(above) + count(equal) / 2.0) / count(with.len())
    };
    let area = mean(&without.iter().map(above).collect::<Vec<f64>>());
    let refused = (1..10).map(|tenth| {
        let limit = with[with.len() * tenth / 10];
        let below = without.iter().filter(|value| **value < limit).count();
        count(below) / count(without.len())
    });
    (area, refused.collect())
}

impl RunResult {
    /// Without every question's measures: what is short enough to keep in a repository.
    #[must_use]
    pub fn summary(&self) -> Self {
        Self {
            questions: Vec::new(),
            ..self.clone()
        }
    }

    /// Writes it as a file, beside what was there before until it is whole.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), StoreError> {
        let text = by_lines(&serde_json::to_value(self)?);
        write_whole(path, text.as_bytes())
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`BadRequest`] where it is no result.
    pub fn read(path: &Path) -> Result<Self, BadRequest> {
        let bad = |error: String| {
            BadRequest::new(
                "bad_result",
                format!("{}: {error}", path.display()),
                "give the name of a run (`coho eval list`) or the file of a result",
            )
        };
        let text = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
        serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))
    }

    /// What a way scored with a group.
    pub fn row(&self, set: &str, group: &str, arm: &str) -> Option<&Row> {
        let is = |row: &&Row| row.set == set && row.group == group && row.arm == arm;
        self.rows.iter().find(is)
    }
}

/// Results below a folder, the oldest first; what is no result is passed over.
pub fn results_below(folder: &Path) -> Vec<RunResult> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let paths: Vec<PathBuf> = paths
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
        .collect();
    let mut results: Vec<RunResult> = paths
        .iter()
        .filter_map(|path| RunResult::read(path).ok())
        .collect();
    results.sort_by(|a, b| a.started.cmp(&b.started));
    results
}

/// JSON with a line for each member, and for each element of a list that is one: a table is as long as it
/// has rows, and shows in a difference which of them changed.
fn by_lines(value: &Value) -> String {
    let Value::Object(members) = value else {
        return format!("{value}\n");
    };
    let member = |(name, member): (&String, &Value)| {
        let member = match member.as_array() {
            Some(list) if !list.is_empty() => {
                let rows: Vec<String> = list.iter().map(|row| format!("    {row}")).collect();
                format!("[\n{}\n  ]", rows.join(",\n"))
            }
            _ => member.to_string(),
        };
        format!("  {}: {member}", Value::from(name.as_str()))
    };
    let members: Vec<String> = members.iter().map(member).collect();
    format!("{{\n{}\n}}\n", members.join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_line_for_each_row() {
        let value = serde_json::json!({"run": "a", "rows": [{"n": [1, 2]}, {"n": []}], "none": []});
        let text = by_lines(&value);
        let rows = "  \"rows\": [\n    {\"n\":[1,2]},\n    {\"n\":[]}\n  ],\n";
        assert!(text.contains(rows), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    fn outcome(arm: &str, id: usize, group: &str, values: &[(&str, f64)]) -> Outcome {
        Outcome {
            set: "set".into(),
            arm: arm.into(),
            id: id.to_string(),
            groups: vec![group.into()],
            values: values.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect(),
            ..Outcome::default()
        }
    }

    /// Forty questions: the second way is right on thirty, the first on twenty of those.
    fn two_ways() -> Vec<Outcome> {
        let right = |n: usize, of: usize| if n < of { 1.0 } else { 0.0 };
        let mut outcomes = Vec::new();
        for n in 0..40 {
            outcomes.push(outcome(
                "naive",
                n,
                "all",
                &[("acc_words", right(n, 20)), ("ms", 9.0)],
            ));
        }
        for n in 0..40 {
            let values = [("acc_words", right(n, 30)), ("joules", 2.0), ("ms", 4.0)];
            outcomes.push(outcome("cascade", n, "all", &values));
        }
        outcomes
    }

    #[test]
    fn ways_are_compared_question_by_question() {
        let outcomes = two_ways();
        let blocks = blocks(outcomes.iter());
        let rows = rows(&blocks, 0);
        assert_eq!(rows.len(), 2);
        assert!((rows[1].values["acc_words"] - 0.75).abs() < 1e-9);
        assert_eq!(rows[1].ms, Some((4.0, 4.0, 4.0)));
        let (low, high) = rows[1].intervals["acc_words"];
        assert!(low < 0.75 && 0.75 < high);
        let found = comparisons(&blocks, 0);
        let accuracy: Vec<&Comparison> = found.iter().filter(|c| c.metric == "acc_words").collect();
        assert_eq!(accuracy.len(), 1);
        let one = accuracy[0];
        assert_eq!(
            (one.arm.as_str(), one.against.as_str()),
            ("cascade", "naive")
        );
        assert_eq!((one.better_worse, one.questions), ((10, 0), 40));
        assert!((one.difference - 0.25).abs() < 1e-9 && one.is_real());
        assert!(one.interval.0 > 0.0);
        assert_eq!(one.p, Some(mcnemar(10, 0)));
        // What only one of them has is not compared, and time is a cost.
        assert!(found.iter().all(|c| c.metric != "joules"));
        let time = found.iter().find(|c| c.metric == "ms").unwrap();
        assert!(time.is_cost && time.is_real() && !one.is_cost);
        // One question tells nothing.
        let alone = super::blocks([&outcomes[0], &outcomes[40]].into_iter());
        assert!(comparisons(&alone, 0).iter().all(|c| !c.is_real()));
    }

    #[test]
    fn what_most_questions_save_and_few_spend_is_not_sure() {
        let asked = |arm: &str, ms: &dyn Fn(usize) -> f64| -> Vec<Outcome> {
            let outcome = |n| outcome(arm, n, "all", &[("ms", ms(n))]);
            (0..40).map(outcome).collect()
        };
        let check = |slowest: f64, expected: bool| {
            let mut outcomes = asked("naive", &|_| 9.0);
            outcomes.extend(asked("cascade", &|n| if n == 0 { slowest } else { 4.0 }));
            let found = comparisons(&blocks(outcomes.iter()), 0);
            assert_eq!(found[0].is_real(), expected, "{:?}", found[0]);
        };
        check(10.0, true);
        check(900.0, false);
    }

    #[test]
    fn units_are_compared_with_none_and_with_the_first_way() {
        let mut outcomes = two_ways();
        let values = [("acc_words", 1.0)];
        outcomes.extend((0..40).map(|n| outcome("cascade+writeback", n, "all", &values)));
        outcomes.extend((0..40).map(|n| outcome("coho", n, "all", &[("MRR", 0.5)])));
        outcomes.extend((0..40).map(|n| outcome("bm25", n, "all", &[("MRR", 0.4)])));
        outcomes.extend((0..40).map(|n| outcome("coho+writeback", n, "all", &[("MRR", 0.6)])));
        let found = comparisons(&blocks(outcomes.iter()), 0);
        let pairs: Vec<(&str, &str)> = found
            .iter()
            .filter(|c| c.metric == "acc_words" || c.metric == "MRR")
            .map(|c| (c.arm.as_str(), c.against.as_str()))
            .collect();
        let expected = [
            ("cascade", "naive"),
            ("cascade+writeback", "cascade"),
            ("cascade+writeback", "naive"),
            ("coho", "bm25"),
            ("coho+writeback", "coho"),
        ];
        assert_eq!(pairs, expected);
        // Three rows of a table: each must be three times as sure.
        let corrected = found.iter().find(|c| c.metric == "acc_words").unwrap();
        assert!(corrected.p_holm >= corrected.p);
    }

    #[test]
    fn what_was_not_measured_everywhere_is_paired_where_it_was() {
        let some = |n: usize| {
            let mut values = vec![("acc_words", 1.0)];
            if n.is_multiple_of(2) {
                values.push(("citation_precision", 0.5));
            }
            values
        };
        let mut outcomes: Vec<Outcome> = (0..10)
            .map(|n| outcome("naive", n, "all", &some(n)))
            .collect();
        outcomes.extend((0..10).map(|n| outcome("cascade", n, "all", &some(n + 1))));
        let blocks = blocks(outcomes.iter());
        assert_eq!(blocks[0].values["citation_precision"].len(), 10);
        assert_eq!(blocks[0].all("citation_precision").len(), 5);
        assert!(blocks[1].pairs(&blocks[0], "citation_precision").is_empty());
    }

    #[test]
    fn curves_say_what_a_signal_could_do() {
        let (area, refused) = curve(
            (0..10_u8).map(f32::from).collect(),
            &[-1.0, f32::MIN, 0.5, 20.0],
        );
        // Two below all, one below nine of ten, one above all.
        assert!((area - (1.0 + 1.0 + 0.9 + 0.0) / 4.0).abs() < 1e-9);
        assert_eq!(refused[..2], [0.75, 0.75]);
        let mut refusal = outcome("cascade", 1, UNANSWERABLE, &[("refused", 1.0)]);
        assert_eq!(signals(&[&refusal], "margin"), Some(vec![f32::MIN]));
        refusal.values.insert("refused".into(), 0.0);
        assert_eq!(signals(&[&refusal], "margin"), None);
    }
}
