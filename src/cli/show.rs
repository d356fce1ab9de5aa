//! How things look in a terminal: tables, bars, citations, errors.

use std::borrow::Cow;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::harmless;
use super::output::{Failed, FailedError};
use crate::app::outside::Left;
use crate::app::{Problems, SourceStatus, Status};
use crate::domain::excerpt::excerpt;
use crate::domain::query;
use crate::domain::source::{Kind, acts, turns};
use crate::engine::GeneratorHandle;
use crate::engine::install::Step;
use crate::error::Failure;
use crate::flow::answer::{Answer, MODEL_FAILED};
use crate::flow::evaluate::chunking::CutRow;
use crate::flow::evaluate::scale::Size;
use crate::flow::evaluate::tune::Trial;
use crate::flow::ingest::{Progress, Report};
use crate::flow::search::Found;
use crate::flow::verify::Verdict;
use crate::store::sources::Source;

/// Prints one JSON document.
pub(super) fn json(value: &impl Serialize) {
    match serde_json::to_string_pretty(value) {
        // What JSON lets stand and a terminal acts upon.
        Ok(text) => out!("{}", escaped(&text)),
        Err(error) => {
            tracing::error!(%error, "a result could not be printed");
            let message = error.to_string();
            let code = "internal";
            out!(
                "{}",
                serde_json::json!({ "error": { "code": code, "message": message, "causes": [], "hint": null } })
            );
            // What was asked for was done; who asked must not take it for told.
            std::process::exit(2);
        }
    }
}

fn escaped(json: &str) -> Cow<'_, str> {
    let acts = |c: char| matches!(c, '\u{7f}'..='\u{9f}') || turns(c);
    if !json.contains(acts) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if acts(c) {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// A failure as JSON tells it.
pub(super) fn told(failure: &Failure) -> FailedError {
    FailedError {
        code: failure.code().to_owned(),
        message: failure.to_string(),
        causes: failure.causes(),
        hint: failure.hint(),
    }
}

/// Prints an error with its causes and hint.
pub(super) fn failure(failure: &Failure, as_json: bool) {
    let hint = failure.hint();
    if as_json {
        json(&Failed {
            error: told(failure),
        });
    }
    note!("error: {}", harmless(&failure.to_string()));
    for cause in failure.causes() {
        note!("  because: {}", harmless(&cause));
    }
    if let Some(hint) = hint {
        note!("\nhint: {hint}");
    }
}

/// The path as a person would type it from here.
pub(super) fn short(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let below = here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    let shown = below.unwrap_or_else(|| path.to_owned());
    label(&shown.display().to_string())
}

/// A name, a title or a heading, beside which other things stand: it may hold the end of a line, and
/// what turns the direction of writing.
pub(super) fn label(name: &str) -> String {
    name.replace(acts, "\u{fffd}")
}

/// The path as a shell reads it.
pub(super) fn typed(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+:\\".contains(c);
    if path.chars().all(plain) {
        path
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

/// A file, and where in it something stands, as far as the format tells.
pub(super) fn place(path: &Path, lines: Option<(u32, u32)>, page: Option<u32>) -> String {
    let path = short(path);
    match (lines, page) {
        (Some((a, b)), _) if a == b => format!("{path}:{a}"),
        (Some((a, b)), _) => format!("{path}:{a}-{b}"),
        (None, Some(page)) => {
            let word = Kind::of_path(&path).map_or("page", Kind::page_word);
            format!("{path} {word} {page}")
        }
        (None, None) => path,
    }
}

/// Characters of a hit that are shown.
const EXCERPT_CHARS: usize = 160;

/// Hits of a search.
pub(super) fn hits(found: &Found) {
    let asked = query::parse(&found.query, &jiff::Zoned::now());
    let asked = asked.unwrap_or_else(|_| query::literal(&found.query));
    if found.hits.is_empty() {
        out!("nothing found");
    }
    for hit in &found.hits {
        let place = place(&hit.path, hit.lines, hit.page);
        out!(
            "{:>2}. {place}  {}",
            hit.rank,
            label(hit.heading.as_deref().unwrap_or(&hit.title))
        );
        let shown = excerpt(&hit.text, &asked, EXCERPT_CHARS);
        match hit.lines {
            // Where it begins, when that is not where the hit does.
            Some((first, last)) if shown.line > 0 && first + shown.line <= last => {
                out!("    {}: {}", first + shown.line, shown.text);
            }
            _ => out!("    {}", shown.text),
        }
        let also = hit.folded.iter().map(|f| place_of(&f.path, f.lines));
        let also: Vec<String> = also.collect();
        if !also.is_empty() {
            out!("    also in {}", also.join(", "));
        }
        if let Some(explanation) = &hit.explain {
            for line in explanation.told(hit.score) {
                out!("    {line}");
            }
        }
    }
    if let Some(explanation) = &found.explain {
        out!("");
        for line in explanation.told() {
            out!("{line}");
        }
    }
    note!("{} hits in {:.0} ms", found.hits.len(), found.took_ms);
}

fn place_of(path: &Path, lines: Option<(u32, u32)>) -> String {
    place(path, lines, None)
}

/// What stands below an answer, whose line was ended. One that is not kept has no id by which it could be
/// judged.
pub(super) fn citations(answer: &Answer, kept_as: Option<&str>) {
    if !answer.citations.is_empty() || answer.claims.iter().any(|claim| !claim.supported) {
        out!("");
    }
    for citation in &answer.citations {
        // Both ends of the range, always: `[1] path:line-line  heading` is what scripts read.
        let place = match citation.lines {
            Some((a, b)) => format!("{}:{a}-{b}", short(&citation.path)),
            None => place(&citation.path, None, citation.page),
        };
        let heading = label(citation.heading.as_deref().unwrap_or(&citation.title));
        out!("[{}] {place}  {heading}", citation.n);
    }
    let mut unsupported = answer
        .claims
        .iter()
        .filter(|claim| !claim.supported)
        .peekable();
    if unsupported.peek().is_some() {
        let missing: Vec<&str> = unsupported
            .flat_map(|claim| claim.missing.iter().map(String::as_str))
            .collect();
        let what = if missing.is_empty() {
            String::new()
        } else {
            format!(": they do not hold {}", missing.join(", "))
        };
        out!("[?] your notes do not support this{what}");
    }
    if let Some(why) = answer.model_failure() {
        let instead = if answer.abstained {
            ""
        } else {
            "; the notes are quoted"
        };
        note!("\n{MODEL_FAILED}{}{instead}", harmless(why));
    }
    let by = answer.model.as_deref().unwrap_or("no language model");
    let citations = answer.citations.iter();
    let mut units: Vec<&str> = citations.filter_map(|c| c.unit_id.as_deref()).collect();
    units.sort_unstable();
    units.dedup();
    let led = if units.is_empty() {
        String::new()
    } else {
        format!(", led by unit {}", units.join(", "))
    };
    let kept_as = kept_as.filter(|_| !answer.unkept);
    let id = kept_as.map_or_else(String::new, |id| format!(", answer {id}"));
    note!("\n{:.0} ms, {by}{led}{id}", answer.timing.total_ms);
}

/// One choice of weights.
pub(super) fn trial(trial: &Trial) {
    let mut weights: Vec<String> = trial
        .weights
        .iter()
        .map(|(name, value)| format!("{name} {value:.2}"))
        .collect();
    weights.sort();
    out!(
        "{}: {:.2}  ({})",
        trial.name,
        trial.mean * 100.0,
        weights.join(", ")
    );
    let sets = trial.sets.iter();
    let sets: Vec<String> = sets
        .map(|(name, v)| format!("{name} {:.1}", v * 100.0))
        .collect();
    out!("    {}", sets.join("  "));
}

/// What a size of chunks gives.
pub(super) fn cut_row(row: &CutRow) {
    out!(
        "{:>4} tokens  {:>6} chunks  {:>5.1} % of the spans in the first five, {:>5.1} % whole, \
         {:.1} % of what is read, {:.0} tokens",
        row.max_tokens,
        row.chunks,
        row.recall * 100.0,
        row.whole * 100.0,
        row.precision * 100.0,
        row.tokens
    );
}

/// What was measured at one size.
pub(super) fn size(size: &Size) {
    let mib = |bytes: u64| bytes >> 20;
    let steps = size.steps;
    out!(
        "{:>9} chunks ({} real, {})  search {:.1} / {:.1} ms (p50 / p99), half filtered {:.1} / {:.1}, \
         1 % filtered {:.1} / {:.1}  recall@10 {:.3}",
        size.chunks,
        size.real,
        size.index,
        size.search_ms.0,
        size.search_ms.1,
        size.half_ms.0,
        size.half_ms.1,
        size.percent_ms.0,
        size.percent_ms.1,
        size.recall_at_10
    );
    out!(
        "          embed {:.1}, words {:.1}, vectors {:.1}, judge {:.1}, gather {:.1} ms; \
         memory {} MiB, disk {} MiB, index built in {:.0} s",
        steps.embed_ms,
        steps.lexical_ms,
        steps.dense_ms,
        steps.judge_ms,
        steps.gather_ms,
        mib(size.memory_bytes),
        mib(size.disk_bytes.0 + size.disk_bytes.1 + size.disk_bytes.2),
        size.build_s.unwrap_or(0.0)
    );
}

/// What verifying found.
pub(super) fn verdict(verdict: &Verdict) {
    for difference in &verdict.repaired {
        out!("mended: {} ({})", difference.meaning, difference.count);
    }
    for difference in &verdict.differences {
        out!(
            "{}: {} ({})",
            difference.what,
            difference.meaning,
            difference.count
        );
        for example in &difference.examples {
            out!("    {example}");
        }
    }
    if verdict.ok {
        out!(
            "ledger, vectors, terms and files agree: {} documents, {} chunks",
            verdict.documents,
            verdict.chunks
        );
    }
}

/// The table of sources.
pub(super) fn sources(sources: &[SourceStatus]) {
    for status in sources {
        let mut notes = vec![format!("{} documents", status.documents)];
        if status.problems > 0 {
            notes.push(format!("{} not read", status.problems));
        }
        if !status.reachable {
            let reason = status.source.away.as_deref();
            notes.push(reason.unwrap_or("not reachable").into());
        }
        let source = &status.source;
        notes.extend(rules(source));
        out!(
            "{:>3}  {}  ({})",
            source.id,
            source.path.display(),
            notes.join(", ")
        );
    }
}

/// What was said of a source when it was added, where that is not the usual.
fn rules(source: &Source) -> Vec<String> {
    let flags = [
        (source.never_leaves, "never leaves"),
        (source.notes, "takes notes"),
        (source.outside, "outside"),
        (!source.writeback, "no writeback"),
    ];
    let said = flags.iter().filter(|(is_so, _)| *is_so);
    let mut rules: Vec<String> = said.map(|(_, what)| (*what).to_owned()).collect();
    for (word, globs) in [("only", &source.include), ("without", &source.exclude)] {
        if !globs.is_empty() {
            rules.push(format!("{word} {}", globs.join(" ")));
        }
    }
    rules
}

/// What `coho status` shows.
pub(super) fn status(status: &Status) {
    let home = status.home.as_deref().unwrap_or(Path::new(""));
    out!("coho {}  {}", status.version, home.display());
    out!("{} documents, {} chunks", status.documents, status.chunks);
    let units = status.units;
    out!("{} units active, {} in trial", units.active, units.shadow);
    sources(&status.sources);
    let generator = status
        .models
        .generator
        .as_deref()
        .unwrap_or("none: answers are quotes");
    out!("models: {} and {generator}", status.models.embedder);
    let network = &status.network;
    match (network.beyond.is_empty(), network.enforced) {
        (true, true) => out!("network: nothing leaves this machine, and nothing can"),
        (true, false) => out!("network: nothing leaves this machine"),
        (false, _) => out!("network: {}", network.beyond.join("; ")),
    }
    if network.left.requests > 0 {
        out!(
            "{} requests left for the remote model, {} tokens of them today: `coho status --left`",
            network.left.requests,
            network.left.today.tokens
        );
    }
    let tokens = status.tokens;
    let spared = tokens
        .spared
        .map_or_else(String::new, |price| format!(", {price:.2} spared"));
    out!(
        "tokens: {} read, {} written{spared}",
        tokens.prompt,
        tokens.generated
    );
    if let Some(point) = status.learning.as_ref().and_then(|line| line.points.last()) {
        out!(
            "learning: {:+.1} points ({:+.1} to {:+.1}) on {} past questions: `coho eval track own`",
            (point.mrr.1 - point.mrr.0) * 100.0,
            point.interval.0 * 100.0,
            point.interval.1 * 100.0,
            point.questions
        );
    }
    let disk = status.disk.unwrap_or_default();
    let sizes = [disk.ledger_bytes, disk.vector_bytes, disk.term_bytes].map(mebibytes);
    out!(
        "disk: ledger {}, vectors {}, terms {}",
        sizes[0],
        sizes[1],
        sizes[2]
    );
    if status.problems > 0 {
        out!(
            "{} files could not be read: `coho status --problems`",
            status.problems
        );
    }
    if let Some(said) = &status.recovery {
        recovery(said);
    }
}

/// What was lost when a damaged ledger was replaced by its copy.
pub(super) fn recovery(said: &str) {
    out!("recovered: {said}");
}

/// What left for the remote model, word by word.
pub(super) fn left(left: &Left) {
    if left.requests == 0 {
        out!("nothing ever left this machine for a remote model");
        return;
    }
    for sent in left.sent.iter().rev() {
        out!(
            "{}  {} at {}, {} tokens, {:.4}, {}\n{}\n",
            moment(sent.at_ms),
            sent.model,
            sent.url,
            sent.spent.tokens,
            sent.spent.cost,
            sent.state,
            sent.body
        );
    }
    out!(
        "{} requests ever; today {} of {} tokens, {:.4} of {:.4}",
        left.requests,
        left.today.tokens,
        left.limits.tokens,
        left.today.cost,
        left.limits.cost
    );
}

/// A moment for a person: local time.
pub(super) fn moment(ms: i64) -> String {
    let moment = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
    let local = moment.to_zoned(jiff::tz::TimeZone::system());
    local.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A size for a person.
pub(super) fn mebibytes(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// The files that could not be read.
pub(super) fn problems(problems: &Problems) {
    if problems.problems.is_empty() {
        out!("no problems");
    }
    for problem in &problems.problems {
        out!(
            "{}\n    {} (since {})",
            problem.path.display(),
            problem.reason,
            problem.since
        );
    }
}

/// What a sync did.
pub(super) fn report(report: &Report) {
    let counts = [
        (report.added, "added"),
        (report.changed, "changed"),
        (report.moved, "moved"),
        (report.removed, "removed"),
        (report.unchanged, "unchanged"),
    ];
    let parts = counts.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let done = if parts.is_empty() {
        "nothing that coho reads is in it yet".to_owned()
    } else {
        parts.join(", ")
    };
    let (chunks, took) = (
        report.chunks_embedded,
        Duration::from_millis(report.took_ms),
    );
    out!(
        "source {}: {done}; {chunks} chunks embedded in {took:.1?}",
        report.source
    );
    if !report.problems.is_empty() {
        let count = report.problems.len();
        out!("{count} files were left out, or read in part: `coho status --problems` says why");
    }
    if !report.not_read.is_empty() {
        let mut kinds: Vec<(&String, &usize)> = report.not_read.iter().collect();
        kinds.sort_by(|a, b| b.1.cmp(a.1));
        let shown = kinds.iter().take(MOST_KINDS);
        let mut shown: Vec<String> = shown
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        if kinds.len() > MOST_KINDS {
            shown.push("others".to_owned());
        }
        out!("not of a kind that coho reads: {}", shown.join(", "));
    }
}

/// Kinds of files that are named, of those that are not read.
const MOST_KINDS: usize = 8;

fn bar(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr_with_hz(8));
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸ "));
    }
    bar
}

/// The progress of a sync: rate and time left.
pub(super) struct SyncBar(ProgressBar);

impl SyncBar {
    pub(super) fn new(path: &Path) -> Self {
        let template = "{prefix} {bar:24} {percent:>3}%  {msg}  {elapsed} gone, {eta} left";
        let bar = bar(0, template);
        bar.set_prefix(short(path));
        Self(bar)
    }

    pub(super) fn update(&self, progress: &Progress) {
        self.0.set_length(progress.bytes_total.max(1));
        self.0
            .set_position(progress.bytes_done.min(progress.bytes_total));
        let seconds = self.0.elapsed().as_secs_f64().max(0.001);
        #[expect(clippy::cast_precision_loss, reason = "a rate for a person")]
        let rate = progress.chunks_embedded as f64 / seconds;
        let (done, total) = (progress.files_done, progress.files_total);
        let chunks = progress.chunks_embedded;
        self.0.set_message(format!(
            "{done}/{total} files, {chunks} chunks, {rate:.0}/s"
        ));
    }

    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// How many of so many.
pub(super) struct CountBar(ProgressBar);

impl CountBar {
    pub(super) fn new(what: &str, total: usize) -> Self {
        let bar = bar(
            total as u64,
            "{prefix} {bar:24} {pos}/{len}  {elapsed} gone, {eta} left",
        );
        bar.set_prefix(what.to_owned());
        Self(bar)
    }

    pub(super) fn update(&self, done: usize) {
        self.0.set_position(done as u64);
    }

    pub(super) fn step(&self, what: &str, done: usize, total: usize) {
        self.0.set_prefix(what.to_owned());
        self.update_of(done, total);
    }

    pub(super) fn update_of(&self, done: usize, total: usize) {
        self.0.set_length(total as u64);
        self.update(done);
    }

    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// Shows how much of a language model is loaded, until `done`.
pub(super) fn loading(generator: &GeneratorHandle, done: &AtomicBool) {
    let mut shown: Option<ProgressBar> = None;
    while !done.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(50));
        let Some(share) = generator.loading() else {
            if let Some(bar) = shown.take() {
                bar.finish_and_clear();
            }
            continue;
        };
        let template = "loading {prefix} {bar:24} {percent}%";
        let bar = shown.get_or_insert_with(|| {
            let bar = bar(1000, template);
            bar.set_prefix(generator.name().to_owned());
            bar
        });
        #[expect(clippy::cast_possible_truncation, reason = "a share of 1000")]
        #[expect(clippy::cast_sign_loss, reason = "a share is not negative")]
        bar.set_position((share * 1000.0) as u64);
    }
    if let Some(bar) = shown {
        bar.finish_and_clear();
    }
}

/// The progress of an installation.
pub(super) struct InstallBar {
    bar: ProgressBar,
    name: String,
    plain: bool,
    said: std::cell::Cell<&'static str>,
}

impl InstallBar {
    pub(super) fn new(name: &str) -> Self {
        let template =
            "{prefix} {bar:24} {bytes}/{total_bytes}  {bytes_per_sec}, {eta} left  {msg}";
        let bar = bar(0, template);
        bar.set_prefix(name.to_owned());
        Self {
            bar,
            name: name.to_owned(),
            plain: !std::io::stderr().is_terminal(),
            said: std::cell::Cell::new(""),
        }
    }

    pub(super) fn update(&self, step: Step) {
        let what = match step {
            Step::Download(done, total) => {
                self.bar.set_length(total);
                self.bar.set_position(done);
                "downloading"
            }
            Step::Verify => "comparing sums",
            Step::Unpack => "unpacking",
            Step::Convert => "converting",
        };
        self.bar.set_message(what);
        // Without a terminal there is no bar; a line for each step tells that it goes on.
        if self.plain && self.said.replace(what) != what {
            note!("{}: {what}", self.name);
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
