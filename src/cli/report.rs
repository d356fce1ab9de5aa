//! What people see of evaluations: tables whose differences stand beside their intervals.

use std::path::Path;

use super::output::{Compared, EvalList, Track};
use crate::flow::evaluate::GROUPS;
use crate::flow::evaluate::import::Imported;
use crate::flow::evaluate::own::Point;
use crate::flow::evaluate::result::{Comparison, Row, RunResult, main_metric};

/// Measures whose differences are told; all are in the result.
const TOLD: [&str; 4] = ["nDCG@10", "acc_words", "prompt_tokens", "joules"];

pub(super) fn result(result: &RunResult) {
    out!("{}: {}", result.run, result.suite.about);
    for set in &result.sets {
        out!("\n{} ({} documents)", set.name, set.documents);
        for group in GROUPS {
            let of_group = |row: &&Row| row.set == set.name && row.group == group;
            for row in result.rows.iter().filter(of_group) {
                self::row(row);
            }
        }
        let told = |c: &&Comparison| c.set == set.name && TOLD.contains(&c.metric.as_str());
        for comparison in result.comparisons.iter().filter(told) {
            difference(comparison);
        }
    }
    for learned in &result.units {
        out!(
            "\n{}: {:?}, {} units of {} answers, {:.1} % rest on a relevant document, {:.1} % hold the answer",
            learned.set,
            learned.variant,
            learned.units,
            learned.answers,
            learned.supported * 100.0,
            learned.holds_answer * 100.0
        );
    }
    let harness = result.harness;
    if harness.asked > 0 {
        out!(
            "\n{} questions put in {:.0} s, {:.1} % of that in the calls themselves",
            harness.asked,
            harness.wall_s,
            harness.calls_s / harness.wall_s.max(1e-9) * 100.0
        );
    }
    if !result.complete {
        out!("not all sets were asked yet: run it again with --resume");
    }
}

fn row(row: &Row) {
    let metric = main_metric(&row.values);
    let percent = |name: &str| row.values.get(name).map(|value| value * 100.0);
    let (low, high) = row.intervals.get(metric).copied().unwrap_or_default();
    let mut line = format!(
        "  {:<13} {:<28} {metric} {:>5.1} ({:.1} to {:.1})",
        row.group,
        row.arm,
        percent(metric).unwrap_or_default(),
        low * 100.0,
        high * 100.0
    );
    let names: &[&str] = match metric {
        "nDCG@10" => &["R@1", "R@10", "MRR"],
        "acc_words" => &["em", "f1", "refused", "supported", "citation_precision"],
        _ => &[],
    };
    for name in names {
        if let Some(value) = percent(name) {
            line.push_str(&format!("  {name} {value:.1}"));
        }
    }
    for (name, unit) in [("prompt_tokens", "tokens read"), ("joules", "J")] {
        if let Some(value) = row.values.get(name) {
            line.push_str(&format!("  {value:.1} {unit}"));
        }
    }
    if let Some((half, most, _)) = row.ms {
        line.push_str(&format!("  {half:.0}/{most:.0} ms"));
    }
    out!("{line}  ({} questions)", row.questions);
}

fn difference(c: &Comparison) {
    let by = c.scale();
    let mut line = format!(
        "    {:<13} {} against {}: {} {:+.1} ({:+.1} to {:+.1})",
        c.group,
        c.arm,
        c.against,
        c.metric,
        c.difference * by,
        c.interval.0 * by,
        c.interval.1 * by
    );
    if let Some(p) = c.p_holm {
        line.push_str(&format!(", p {p:.4}"));
    }
    line.push_str(&verdict(c));
    out!("{line}");
}

fn verdict(c: &Comparison) -> String {
    match (c.is_real(), c.needed) {
        (true, _) => ": more than chance".into(),
        (false, Some(needed)) if needed > c.questions => {
            format!(": may be chance; {needed} questions would tell")
        }
        (false, _) => ": may be chance".into(),
    }
}

pub(super) fn compared(compared: &Compared) {
    out!("{} after {}", compared.b, compared.a);
    let mut set = "";
    for c in &compared.comparisons {
        if !TOLD.contains(&c.metric.as_str()) && !c.is_real() {
            continue;
        }
        if c.set != set {
            out!("\n{}", c.set);
            set = &c.set;
        }
        let by = c.scale();
        out!(
            "  {:<13} {:<28} {} {:.1} to {:.1}: {:+.1} ({:+.1} to {:+.1}){}",
            c.group,
            c.arm,
            c.metric,
            c.values.0 * by,
            c.values.1 * by,
            c.difference * by,
            c.interval.0 * by,
            c.interval.1 * by,
            verdict(c)
        );
    }
    let real = compared.comparisons.iter().filter(|c| c.is_real()).count();
    out!(
        "\n{real} of {} differences are more than chance",
        compared.comparisons.len()
    );
}

pub(super) fn list(list: &EvalList) {
    for suite in &list.suites {
        out!("{:<10} {}", suite.name, suite.about);
        if !suite.missing.is_empty() {
            let of = suite.sets.len();
            let missing = if suite.missing.len() == of && of > 3 {
                "none of its sets, set COHO_EVAL_DATA".to_owned()
            } else {
                format!("not here: {}", suite.missing.join(", "))
            };
            out!("           {missing}");
        }
    }
    out!(
        "{:<10} your own past questions, without units and with them",
        "own"
    );
    if !list.runs.is_empty() {
        out!("");
    }
    for run in &list.runs {
        let state = if run.complete { "" } else { ", not complete" };
        out!("{:<28} {}{state}", run.run, run.started);
    }
}

pub(super) fn imported(imported: Imported, out: &Path) {
    out!(
        "{} documents, {} questions with an answer and {} without, in {}",
        imported.documents,
        imported.questions,
        imported.unanswerable,
        out.display()
    );
}

pub(super) fn point(point: &Point) {
    if point.questions == 0 {
        out!(
            "no past questions yet: they count when writeback has judged their answers and what they cite still stands"
        );
        return;
    }
    out!(
        "{} past questions, {} units in use, {} questions touched",
        point.questions,
        point.units,
        point.touched
    );
    out!(
        "mean reciprocal rank {:.1} without units, {:.1} with them: {:+.1} ({:+.1} to {:+.1})",
        point.mrr.0 * 100.0,
        point.mrr.1 * 100.0,
        (point.mrr.1 - point.mrr.0) * 100.0,
        point.interval.0 * 100.0,
        point.interval.1 * 100.0
    );
}

pub(super) fn line(points: &[Point]) {
    if points.is_empty() {
        out!(
            "nothing was measured yet: `coho eval run own`, or let the service do it when it has learned"
        );
        return;
    }
    let gains: Vec<f64> = points.iter().map(|p| p.mrr.1 - p.mrr.0).collect();
    out!(
        "gain by units, mean reciprocal rank in points  {}",
        spark(&gains)
    );
    for p in points {
        let at = jiff::Timestamp::from_millisecond(p.at_ms).unwrap_or_default();
        out!(
            "{}  {:>4} questions  {:>4} units  {:.1} to {:.1}: {:+.1} ({:+.1} to {:+.1})",
            at.strftime("%Y-%m-%d %H:%M"),
            p.questions,
            p.units,
            p.mrr.0 * 100.0,
            p.mrr.1 * 100.0,
            (p.mrr.1 - p.mrr.0) * 100.0,
            p.interval.0 * 100.0,
            p.interval.1 * 100.0
        );
    }
}

pub(super) fn track(track: &Track) {
    for run in &track.runs {
        let commit = run.commit.as_deref().unwrap_or("");
        out!("{:<28} {}  {commit}", run.run, run.started);
    }
    for line in &track.lines {
        let values: Vec<f64> = line.values.iter().flatten().copied().collect();
        let last = values.last().copied().unwrap_or_default();
        let first = values.first().copied().unwrap_or_default();
        out!(
            "{:<60} {}  {:.1} to {:.1}",
            format!("{} {} {} {}", line.set, line.group, line.arm, line.metric),
            spark(&values),
            first * 100.0,
            last * 100.0
        );
    }
}

/// A line of blocks, the lowest value lowest.
fn spark(values: &[f64]) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let low = values.iter().copied().fold(f64::MAX, f64::min);
    let high = values.iter().copied().fold(f64::MIN, f64::max);
    let block = |value: &f64| {
        #[expect(clippy::cast_possible_truncation, reason = "one of eight")]
        #[expect(clippy::cast_sign_loss, reason = "not below the lowest")]
        let step = ((value - low) / (high - low).max(1e-9) * 7.0).round() as usize;
        BLOCKS[step.min(7)]
    };
    values.iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_blocks_rises_with_its_values() {
        assert_eq!(spark(&[0.0, 0.5, 1.0]), "▁▅█");
        assert_eq!(spark(&[0.3]), "▁");
        assert_eq!(spark(&[]), "");
    }
}
