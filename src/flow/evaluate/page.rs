//! The report as one HTML file: no script, nothing from elsewhere, plots as SVG in the text.
//!
//! A figure comes with its interval or not at all. Colours are never the only sign: ways stand in
//! the same order everywhere and are named beside their marks.

use std::fmt::Write as _;

use super::own::Point;
use super::result::{Comparison, Row, RunResult, main_metric};
use super::{GROUPS, split};

const STYLE: &str = include_str!("page.css");

/// Width of a plot and of the names to its left, in pixels of its own.
const WIDTH: f64 = 720.0;
const NAMES: f64 = 210.0;
const LINE: f64 = 24.0;

/// The report of a run; `history` holds the runs of the same suite, the oldest first, and `own` what
/// the owner's past questions scored.
pub fn page(result: &RunResult, history: &[RunResult], own: &[Point]) -> String {
    let mut body = String::new();
    head(&mut body, result);
    for set in &result.sets {
        let _ = write!(
            body,
            "<section><h2>{}</h2><p class=soft>{} documents, {}; ready in {:.0} s</p>",
            text(&set.name),
            set.documents,
            set.questions
                .iter()
                .map(|(group, count)| format!("{count} {group}"))
                .collect::<Vec<_>>()
                .join(", "),
            set.ready_s
        );
        for group in GROUPS {
            let rows: Vec<&Row> = result
                .rows
                .iter()
                .filter(|row| row.set == set.name && row.group == group)
                .collect();
            if !rows.is_empty() {
                of_group(&mut body, group, &rows);
            }
        }
        differences(&mut body, result, &set.name);
        refusals(&mut body, result, &set.name);
        body.push_str("</section>");
    }
    learned(&mut body, result);
    over_time(&mut body, history, own);
    told(&mut body, result);
    format!(
        "<!doctype html>\n<html lang=en><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>coho: {}</title><style>{STYLE}</style><body><main>{body}</main></body></html>\n",
        text(&result.run)
    )
}

fn head(body: &mut String, result: &RunResult) {
    let state = if result.complete {
        ""
    } else {
        " <strong>(not all sets yet)</strong>"
    };
    let _ = write!(
        body,
        "<h1>{}</h1><p>{}{state}</p><p class=soft>{} to {}, coho {}, {}, commit {}</p>",
        text(&result.suite.name),
        text(&result.suite.about),
        text(&result.started),
        text(&result.ended),
        text(&result.by.version),
        text(&result.by.models.get("generator").map_or_else(
            || "no language model".to_owned(),
            |model| model.name.clone()
        )),
        text(result.by.commit.as_deref().unwrap_or("not told")),
    );
}

fn of_group(body: &mut String, group: &str, rows: &[&Row]) {
    let (ranked, answered): (Vec<&Row>, Vec<&Row>) = rows
        .iter()
        .partition(|row| main_metric(&row.values) == "nDCG@10");
    for rows in [&ranked, &answered] {
        let Some(first) = rows.first() else { continue };
        let metric = main_metric(&first.values);
        let _ = write!(
            body,
            "<h3>{}: {}, {} questions</h3>",
            text(group),
            text(says(metric)),
            first.questions
        );
        body.push_str(&bars(rows, metric));
    }
    if group != split::UNANSWERABLE && answered.len() > 1 {
        let read = |row: &&Row| row.values.get("prompt_tokens").is_some_and(|t| *t > 0.0);
        if answered.iter().any(read) {
            body.push_str("<h3>Right answers against tokens read</h3>");
            body.push_str(&scatter(&answered));
        }
        body.push_str("<h3>Milliseconds: half, and 95 of 100, took at most</h3>");
        body.push_str(&latency(&answered));
    }
}

/// What a measure says, in words.
fn says(metric: &str) -> &str {
    match metric {
        "acc_words" => "answers that hold a golden answer, word by word",
        "nDCG@10" => "nDCG@10",
        "refused" => "questions refused",
        other => other,
    }
}

/// A bar for each way, with its interval.
fn bars(rows: &[&Row], metric: &str) -> String {
    let scale = WIDTH - NAMES - 150.0;
    let mut svg = String::new();
    for (n, row) in rows.iter().enumerate() {
        let value = row.values.get(metric).copied().unwrap_or(0.0);
        let (low, high) = row.intervals.get(metric).copied().unwrap_or((value, value));
        let y = offset(n);
        let x = |value: f64| NAMES + value.clamp(0.0, 1.0) * scale;
        let _ = write!(
            svg,
            "<text x={:.0} y={:.0} class=name>{}</text>\
             <rect x={NAMES} y={:.0} width={:.1} height=12 class=bar />\
             <path d=\"M{:.1} {:.0}H{:.1}\" class=whisker />\
             <text x={:.1} y={:.0}>{:.1} <tspan class=soft>({:.1} to {:.1})</tspan></text>",
            NAMES - 8.0,
            y + 12.0,
            text(&row.arm),
            y + 2.0,
            value.clamp(0.0, 1.0) * scale,
            x(low),
            y + 8.0,
            x(high),
            x(high) + 6.0,
            y + 12.0,
            value * 100.0,
            low * 100.0,
            high * 100.0
        );
    }
    plot(&svg, offset(rows.len()), "bars with intervals")
}

/// Accuracy over prompt tokens, a mark for each way.
fn scatter(rows: &[&Row]) -> String {
    let tokens = |row: &Row| row.values.get("prompt_tokens").copied().unwrap_or(0.0);
    let most = rows.iter().map(|row| tokens(row)).fold(1.0, f64::max);
    let (left, height) = (46.0, 260.0);
    let x = |tokens: f64| left + tokens / most * (WIDTH - left - 150.0);
    let y = |value: f64| height - 34.0 - value.clamp(0.0, 1.0) * (height - 54.0);
    let mut svg = format!(
        "<path d=\"M{left} 12V{:.0}H{WIDTH}\" class=axis />\
         <text x={:.0} y={:.0} class=\"soft end\">tokens read, up to {most:.0}</text>\
         <text x={left} y=10 class=soft>100 % right</text>",
        height - 34.0,
        WIDTH,
        height - 16.0
    );
    let mut taken: Vec<(f64, f64)> = Vec::new();
    for row in rows {
        let value = row.values.get("acc_words").copied().unwrap_or(0.0);
        let (low, high) = row
            .intervals
            .get("acc_words")
            .copied()
            .unwrap_or((value, value));
        let (at_x, at_y) = (x(tokens(row)), y(value));
        // Names do not lie on each other.
        let mut name_y = at_y + 4.0;
        while taken
            .iter()
            .any(|(tx, ty)| (tx - at_x).abs() < 120.0 && (ty - name_y).abs() < 13.0)
        {
            name_y += 13.0;
        }
        taken.push((at_x, name_y));
        let _ = write!(
            svg,
            "<path d=\"M{at_x:.1} {:.1}V{:.1}\" class=whisker /><circle cx={at_x:.1} cy={at_y:.1} r=5 class=bar />\
             <text x={:.1} y={name_y:.1}>{}</text>",
            y(low),
            y(high),
            at_x + 9.0,
            text(&row.arm)
        );
    }
    plot(&svg, height, "accuracy over prompt tokens")
}

fn latency(rows: &[&Row]) -> String {
    let most = rows
        .iter()
        .filter_map(|r| r.ms)
        .map(|ms| ms.1)
        .fold(1.0, f64::max);
    let scale = (WIDTH - NAMES - 150.0) / most;
    let mut svg = String::new();
    for (n, row) in rows.iter().enumerate() {
        let Some((half, most, _)) = row.ms else {
            continue;
        };
        let y = offset(n);
        let _ = write!(
            svg,
            "<text x={:.0} y={:.0} class=name>{}</text>\
             <rect x={NAMES} y={:.0} width={:.1} height=12 class=pale />\
             <rect x={NAMES} y={:.0} width={:.1} height=12 class=bar />\
             <text x={:.1} y={:.0}>{half:.0} <tspan class=soft>/ {most:.0}</tspan></text>",
            NAMES - 8.0,
            y + 12.0,
            text(&row.arm),
            y + 2.0,
            most * scale,
            y + 2.0,
            half * scale,
            NAMES + most * scale + 6.0,
            y + 12.0
        );
    }
    plot(&svg, offset(rows.len()), "milliseconds")
}

/// Where row `n` of a plot begins.
fn offset(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(0)) * LINE + 4.0
}

fn plot(svg: &str, height: f64, label: &str) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=img aria-label=\"{label}\">{svg}</svg>")
}

/// Measures that the table of differences shows.
const SHOWN: [&str; 6] = [
    "nDCG@10",
    "R@1",
    "acc_words",
    "f1",
    "prompt_tokens",
    "joules",
];

fn differences(body: &mut String, result: &RunResult, set: &str) {
    let of = result.comparisons.iter();
    let shown: Vec<&Comparison> = of
        .filter(|c| c.set == set && SHOWN.contains(&c.metric.as_str()))
        .collect();
    if shown.is_empty() {
        return;
    }
    body.push_str(
        "<h3>Differences</h3><div class=wide><table><thead><tr><th>questions<th>way<th>against\
         <th>measure<th>before<th>after<th>difference<th>95 % interval<th>p (Holm)<th>questions needed\
         <th>more than chance</thead><tbody>",
    );
    for c in shown {
        let by = c.scale();
        let _ = write!(
            body,
            "<tr><td>{} ({})<td>{}<td>{}<td>{}<td>{:.1}<td>{:.1}<td>{:+.1}<td>{:+.1} to {:+.1}<td>{}<td>{}<td>{}",
            text(&c.group),
            c.questions,
            text(&c.arm),
            text(&c.against),
            text(&c.metric),
            c.values.0 * by,
            c.values.1 * by,
            c.difference * by,
            c.interval.0 * by,
            c.interval.1 * by,
            c.p_holm
                .map_or_else(|| "–".to_owned(), |p| format!("{p:.4}")),
            c.needed.map_or_else(|| "–".to_owned(), |n| n.to_string()),
            if c.is_real() { "yes" } else { "no" }
        );
    }
    body.push_str("</tbody></table></div>");
}

fn refusals(body: &mut String, result: &RunResult, set: &str) {
    let curves: Vec<_> = result.abstention.iter().filter(|c| c.set == set).collect();
    if curves.is_empty() {
        return;
    }
    body.push_str(
        "<h3>Refusing by one signal: unanswerable questions refused when 10 % and 20 % of the others are</h3>\
         <div class=wide><table><thead><tr><th>way<th>signal<th>area<th>at 10 %<th>at 20 %</thead><tbody>",
    );
    for curve in curves {
        let at = |n: usize| curve.refused_rightly.get(n).copied().unwrap_or(0.0) * 100.0;
        let _ = write!(
            body,
            "<tr><td>{}<td>{}<td>{:.3}<td>{:.1}<td>{:.1}",
            text(&curve.arm),
            text(&curve.signal),
            curve.area,
            at(0),
            at(1)
        );
    }
    body.push_str("</tbody></table></div>");
}

fn learned(body: &mut String, result: &RunResult) {
    if result.units.is_empty() {
        return;
    }
    body.push_str(
        "<section><h2>What was learned</h2><div class=wide><table><thead><tr><th>set<th>units<th>answers\
         <th>in use<th>rest on a relevant document<th>hold the answer<th>seconds each<th>joules each\
         </thead><tbody>",
    );
    for row in &result.units {
        let _ = write!(
            body,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{:.1} %<td>{:.1} %<td>{:.2}<td>{:.2}",
            text(&row.set),
            text(&format!("{:?}", row.variant)),
            row.answers,
            row.units,
            row.supported * 100.0,
            row.holds_answer * 100.0,
            row.seconds,
            row.joules
        );
    }
    body.push_str("</tbody></table></div></section>");
}

/// Points of one line: where from left to right is of no matter but in order.
struct Line {
    name: String,
    points: Vec<(f64, (f64, f64))>,
}

fn over_time(body: &mut String, history: &[RunResult], own: &[Point]) {
    let mut lines: Vec<Line> = Vec::new();
    for result in history {
        for row in result
            .rows
            .iter()
            .filter(|row| row.group != split::UNANSWERABLE)
        {
            let metric = main_metric(&row.values);
            let Some(value) = row.values.get(metric) else {
                continue;
            };
            let interval = row
                .intervals
                .get(metric)
                .copied()
                .unwrap_or((*value, *value));
            let name = format!("{}, {}, {}", row.set, row.group, row.arm);
            let point = (*value, interval);
            match lines.iter_mut().find(|line| line.name == name) {
                Some(line) => line.points.push(point),
                None => lines.push(Line {
                    name,
                    points: vec![point],
                }),
            }
        }
    }
    if history.len() > 1 {
        let _ = write!(
            body,
            "<section><h2>Over time</h2><p class=soft>{} runs of this suite, the oldest left</p>",
            history.len()
        );
        for line in lines.iter().filter(|line| line.points.len() > 1) {
            body.push_str(&course(line));
        }
        body.push_str("</section>");
    }
    if own.len() > 1 {
        body.push_str(
            "<section><h2>Your own past questions</h2>\
             <p class=soft>gain of the mean reciprocal rank by units, in points, after each batch</p>",
        );
        let gain = |p: &Point| (p.mrr.1 - p.mrr.0, p.interval);
        let line = Line {
            name: "units against none".into(),
            points: own.iter().map(gain).collect(),
        };
        body.push_str(&course(&line));
        body.push_str("</section>");
    }
}

fn course(line: &Line) -> String {
    let ends = line
        .points
        .iter()
        .flat_map(|(_, (low, high))| [*low, *high]);
    let low = ends.clone().fold(f64::MAX, f64::min);
    let high = ends.fold(f64::MIN, f64::max);
    let span = (high - low).max(1e-6);
    let height = 90.0;
    let wide = WIDTH - NAMES - 150.0;
    let last = f64::from(u32::try_from(line.points.len() - 1).unwrap_or(1)).max(1.0);
    let y = |value: f64| 8.0 + (high - value) / span * (height - 16.0);
    let (mut path, mut marks) = (String::new(), String::new());
    let mut place = 0.0;
    for (value, (low, high)) in &line.points {
        let x = NAMES + place / last * wide;
        let _ = write!(
            path,
            "{}{x:.1} {:.1}",
            if path.is_empty() { "M" } else { "L" },
            y(*value)
        );
        let _ = write!(
            marks,
            "<path d=\"M{x:.1} {:.1}V{:.1}\" class=whisker /><circle cx={x:.1} cy={:.1} r=3 class=bar />",
            y(*low),
            y(*high),
            y(*value)
        );
        place += 1.0;
    }
    let value = line.points.last().map_or(0.0, |(value, _)| *value);
    let svg = format!(
        "<text x={:.0} y=48 class=name>{}</text><path d=\"{path}\" class=line />{marks}\
         <text x={:.1} y={:.1}>{:.1}</text>",
        NAMES - 8.0,
        text(&line.name),
        NAMES + wide + 10.0,
        y(value) + 4.0,
        value * 100.0
    );
    plot(&svg, height, "course over time")
}

fn told(body: &mut String, result: &RunResult) {
    let by = serde_json::to_string_pretty(&result.by).unwrap_or_default();
    let share = result.harness.calls_s / result.harness.wall_s.max(1e-9) * 100.0;
    let _ = write!(
        body,
        "<section><h2>How it was measured</h2><p>Run it again: <code>{}</code></p>\
         <p class=soft>Intervals by bootstrap, p by McNemar's exact test or by randomisation, corrected \
         after Holm over all rows of a measure. Joules: {}. {} questions were put in this session; \
         {share:.1} % of the time was in the calls themselves.</p><details><summary>program, models, \
         settings, machine</summary><pre>{}</pre></details></section>",
        text(&result.command),
        text(&result.by.energy),
        result.harness.asked,
        text(&by)
    );
}

/// Text between tags and in attributes.
fn text(raw: &str) -> String {
    let mut safe = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            c => safe.push(c),
        }
    }
    safe
}
