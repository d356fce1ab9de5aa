//! What `--json` prints, where it is not the product of a pipeline. `schemas/` is made of these.

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

pub use super::unit::ServiceState;
use crate::app::SourceStatus;
use crate::app::told_path;
use crate::domain::generator::Reading;
use crate::domain::source::SourceId;
use crate::engine::install::Installed;
use crate::engine::manifest::Role;
use crate::flow::answer::Answer;
use crate::flow::evaluate::result::{Comparison, RunResult, main_metric};
use crate::flow::ingest::Report;
use crate::flow::writeback::Finding;
use crate::store::sources::Source;

/// `coho add`.
#[derive(Serialize, JsonSchema)]
pub struct Added {
    /// The source.
    pub source: Source,
    /// What reading it did; none with `--no-sync`.
    pub report: Option<Report>,
}

/// `coho sources`.
#[derive(Serialize, JsonSchema)]
pub struct Sources {
    /// The sources.
    pub sources: Vec<SourceStatus>,
}

/// `coho sources remove`.
#[derive(Serialize, JsonSchema)]
pub struct Removed {
    /// The number that it had.
    pub removed: i64,
}

/// `coho sync`.
#[derive(Serialize, JsonSchema)]
pub struct Synced {
    /// One report a source.
    pub reports: Vec<Report>,
    /// Sources that could not be read.
    pub failures: Vec<SourceFailure>,
}

/// A source that could not be read.
#[derive(Serialize, JsonSchema)]
pub struct SourceFailure {
    /// Its number.
    pub source: SourceId,
    /// Its folder.
    pub path: PathBuf,
    /// Why.
    pub error: FailedError,
}

/// `coho export`.
#[derive(Serialize, JsonSchema)]
pub struct Exported {
    /// The file that was written; none where the records are here.
    pub file: Option<PathBuf>,
    /// How many records there are.
    pub count: usize,
    /// The records, unless they are in a file.
    pub records: Vec<serde_json::Value>,
}

/// `coho completions`.
#[derive(Serialize, JsonSchema)]
pub struct Completions {
    /// The shell.
    pub shell: String,
    /// The script that it reads.
    pub script: String,
}

/// `coho serve`, printed when it listens.
#[derive(Serialize, JsonSchema)]
pub struct Serving {
    /// Base address of the API.
    pub address: String,
    /// The process.
    pub pid: u32,
    /// The file that holds the bearer token.
    pub token_file: PathBuf,
}

impl Serving {
    /// This process on this address.
    pub(super) fn here(address: SocketAddr, home: &std::path::Path) -> Self {
        Self {
            address: format!("http://{address}"),
            pid: std::process::id(),
            token_file: told_path(&home.join("token")),
        }
    }
}

/// `coho ask --ab`.
#[derive(Serialize, JsonSchema)]
pub struct BothWays {
    /// From original passages only.
    pub without: Answer,
    /// With knowledge units.
    pub with: Answer,
}

/// `coho feedback`.
#[derive(Serialize, JsonSchema)]
pub struct Noted {
    /// The answer.
    pub answer: String,
    /// `good` or `bad`.
    pub verdict: String,
}

/// `coho units lint`.
#[derive(Serialize, JsonSchema)]
pub struct Linted {
    /// What should not be.
    pub findings: Vec<Finding>,
}

/// `coho models list`.
#[derive(Serialize, JsonSchema)]
pub struct ModelList {
    /// The models.
    pub models: Vec<ModelRow>,
    /// The models folder.
    pub folder: PathBuf,
}

/// A model that is installed or can be.
#[derive(Serialize, JsonSchema)]
pub struct ModelRow {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// What a person should know of it.
    pub about: String,
    /// Its licence.
    pub licence: String,
    /// Its size, or that of its download.
    pub bytes: Option<u64>,
    /// Is it here?
    pub installed: bool,
    /// Is it chosen?
    pub in_use: bool,
}

/// `coho models install`.
#[derive(Serialize, JsonSchema)]
pub struct InstalledModels {
    /// The models that are here now.
    pub installed: Vec<Installed>,
    /// The models folder.
    pub folder: PathBuf,
}

/// `coho models use`.
#[derive(Serialize, JsonSchema)]
pub struct Chosen {
    /// The setting that changed.
    pub key: String,
    /// Its new value.
    pub value: String,
}

/// `coho models bench`.
#[derive(Serialize, JsonSchema)]
pub struct Bench {
    /// The embedding model.
    pub embedder: EmbedderBench,
    /// The language model, where one of this machine is in use.
    pub generator: Option<GeneratorBench>,
}

/// Speed of an embedding model.
#[derive(Serialize, JsonSchema)]
pub struct EmbedderBench {
    /// Its name.
    pub name: String,
    /// Time to load it.
    pub load_ms: f64,
    /// Median time of a query.
    pub query_ms: f64,
    /// Passages of about 120 tokens per second.
    pub passages_per_s: f64,
    /// The owner's own chunks, with `--notes`.
    pub notes: Option<NotesBench>,
}

/// Speed of an embedding model on the chunks of this knowledge base.
#[derive(Serialize, JsonSchema)]
pub struct NotesBench {
    /// Chunks embedded.
    pub chunks: usize,
    /// Chunks per second, with nothing else to do.
    pub chunks_per_s: f64,
}

/// Speed of a language model.
#[derive(Serialize, JsonSchema)]
pub struct GeneratorBench {
    /// Its name.
    pub name: String,
    /// Time to load it.
    pub load_ms: f64,
    /// Milliseconds to the first word of an answer to `prompt_tokens` that nobody asked before.
    pub first_token_ms: f64,
    /// The same when all but the question was asked before.
    pub first_token_shared_ms: f64,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens read per second.
    pub prefill_tokens_per_s: f64,
    /// Tokens written per second.
    pub generate_tokens_per_s: f64,
    /// Tokens read per second by llama.cpp in a bare loop.
    pub bare_prefill_tokens_per_s: f64,
    /// Tokens written per second by llama.cpp in a bare loop.
    pub bare_generate_tokens_per_s: f64,
    /// Ours divided by bare.
    pub prefill_ratio: f64,
    /// Ours divided by bare.
    pub generate_ratio: f64,
    /// Does it write the 30 tokens/s below which people leave?
    pub fast_enough: bool,
    /// Time of four questions at once, as a share of their time one after another.
    pub four_at_once: f64,
    /// The same of llama.cpp in a bare loop.
    pub bare_four_at_once: f64,
    /// How well it reads.
    pub reading: Reading,
    /// Memory of the model's process.
    pub memory_bytes: u64,
    /// Joules for each token read or written.
    pub joules_per_token: f64,
    /// How the joules were found.
    pub energy_method: String,
}

/// `coho doctor`.
#[derive(Serialize, JsonSchema)]
pub struct Diagnosis {
    /// Is everything in order?
    pub ok: bool,
    /// What was looked at.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Serialize, JsonSchema)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// Is it in order?
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// How to mend it.
    pub hint: Option<String>,
}

/// Any command that failed.
#[derive(Serialize, JsonSchema)]
pub struct Failed {
    /// The error.
    pub error: FailedError,
}

/// An error.
#[derive(Serialize, JsonSchema)]
pub struct FailedError {
    /// A stable name of the situation.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What to do.
    pub hint: Option<String>,
}

/// `coho eval list`.
#[derive(Serialize, JsonSchema)]
pub struct EvalList {
    /// Suites that are built in.
    pub suites: Vec<SuiteRow>,
    /// Results of this machine, the oldest first.
    pub runs: Vec<RunRow>,
}

/// A suite.
#[derive(Serialize, JsonSchema)]
pub struct SuiteRow {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub about: String,
    /// Its sets.
    pub sets: Vec<String>,
    /// Those that are not on this machine.
    pub missing: Vec<String>,
}

/// A run that has a result.
#[derive(Serialize, JsonSchema)]
pub struct RunRow {
    /// Its name.
    pub run: String,
    /// The suite.
    pub suite: String,
    /// Whether every question was asked.
    pub complete: bool,
    /// When it began, RFC 3339.
    pub started: String,
    /// Questions by ways.
    pub questions: usize,
}

/// `coho eval compare`.
#[derive(Serialize, JsonSchema)]
pub struct Compared {
    /// The run before.
    pub a: String,
    /// The run after.
    pub b: String,
    /// Differences, of the same ways.
    pub comparisons: Vec<Comparison>,
}

/// `coho eval track`.
#[derive(Serialize, JsonSchema)]
pub struct Track {
    /// The suite.
    pub suite: String,
    /// Its runs, the oldest first.
    pub runs: Vec<Tracked>,
    /// What each way scored in each run.
    pub lines: Vec<TrackLine>,
}

/// A run of a history.
#[derive(Serialize, JsonSchema)]
pub struct Tracked {
    /// Its name.
    pub run: String,
    /// When it began, RFC 3339.
    pub started: String,
    /// The commit of the checkout that it was run in.
    pub commit: Option<String>,
}

/// One way over time.
#[derive(Serialize, JsonSchema)]
pub struct TrackLine {
    /// The set.
    pub set: String,
    /// The group of questions.
    pub group: String,
    /// The way.
    pub arm: String,
    /// The measure.
    pub metric: &'static str,
    /// Its mean, in the order of the runs; null where it was not measured.
    pub values: Vec<Option<f64>>,
    /// The 95 % interval of each.
    pub intervals: Vec<Option<(f64, f64)>>,
}

impl Track {
    /// What the runs of a suite scored.
    pub(super) fn of(suite: &str, history: &[RunResult]) -> Self {
        let mut lines: Vec<TrackLine> = Vec::new();
        for (n, result) in history.iter().enumerate() {
            for row in &result.rows {
                let is = |line: &TrackLine| {
                    (&line.set, &line.group, &line.arm) == (&row.set, &row.group, &row.arm)
                };
                let place = lines.iter().position(is).unwrap_or_else(|| {
                    lines.push(TrackLine {
                        set: row.set.clone(),
                        group: row.group.clone(),
                        arm: row.arm.clone(),
                        metric: main_metric(&row.values),
                        values: Vec::new(),
                        intervals: Vec::new(),
                    });
                    lines.len() - 1
                });
                let line = &mut lines[place];
                line.values.resize(n, None);
                line.values.push(row.values.get(line.metric).copied());
                line.intervals.resize(n, None);
                line.intervals.push(row.intervals.get(line.metric).copied());
            }
        }
        for line in &mut lines {
            line.values.resize(history.len(), None);
            line.intervals.resize(history.len(), None);
        }
        let runs = history.iter().map(|result| Tracked {
            run: result.run.clone(),
            started: result.started.clone(),
            commit: result.by.commit.clone(),
        });
        Self {
            suite: suite.to_owned(),
            runs: runs.collect(),
            lines,
        }
    }
}

/// `coho eval scale`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ScaleTable {
    /// One row for each size.
    pub sizes: Vec<crate::flow::evaluate::scale::Size>,
}

/// `coho eval chunks`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ChunksTable {
    /// One row for each size.
    pub rows: Vec<crate::flow::evaluate::chunking::CutRow>,
}

/// `coho eval tune`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TuningTable {
    /// Weights that were tried: those shipped, what each round chose, the choice without each of
    /// its parts, the choice.
    pub trials: Vec<crate::flow::evaluate::tune::Trial>,
}
