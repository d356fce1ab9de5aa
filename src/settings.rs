//! Settings: flags over environment over file over defaults, resolved once.
//!
//! The structs here are the one source of the settings: their defaults, the commented file that is
//! written on first use, the schema in `schemas/`, and the names of the environment variables
//! (`COHO_SECTION_KEY`). A wrong key or value is an error that names it and the nearest right one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::domain::generator::{Drafts, KvType, ServerOptions};
use crate::domain::rank::{MOST_HITS, Weights};
use crate::domain::strategy::Strategy;
use crate::domain::unit::{Merge, Review};
use crate::error::{Fault, Kind, nearest};

/// Everything that the owner can set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The service.
    pub serve: Serve,
    /// The models.
    pub models: ModelChoice,
    /// Searching.
    pub search: Search,
    /// Answering.
    pub answer: Answering,
    /// Watching folders.
    pub watch: Watching,
    /// Learning from answers.
    pub writeback: Writeback,
    /// Reading files.
    pub extract: Extraction,
    /// Cutting documents.
    pub chunks: Chunks,
    /// A model elsewhere, for questions that you choose one by one.
    pub remote: Remote,
    /// Reading answers aloud.
    pub speech: Speech,
}

/// The service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Serve {
    /// Address and port; loopback unless you know what you do.
    pub listen: SocketAddr,
    /// Host names, besides the loopback ones, under which the service may be addressed.
    pub allowed_hosts: Vec<String>,
    /// Other sites whose pages may use the service with a token, such as `https://notes.example`.
    pub allowed_origins: Vec<String>,
    /// Largest request body, in KiB.
    pub max_body_kb: usize,
    /// Seconds that a client may take to send the head of a request.
    pub head_timeout_s: u64,
    /// Whether to make it impossible for the service to reach another machine (Linux).
    pub air_gap: bool,
}

impl Default for Serve {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7621)),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            max_body_kb: 1024,
            head_timeout_s: 60,
            air_gap: false,
        }
    }
}

/// The models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModelChoice {
    /// The embedding model, by its installed name.
    pub embedder: String,
    /// The language model, by its installed name; `none` for quotes only.
    pub generator: String,
    /// Name of the model that ranks anew when a search asks for it; `none` for none.
    pub reranker: String,
    /// Threads of either model; 0 means all cores.
    pub threads: usize,
    /// Layers of the language model on the GPU.
    pub gpu_layers: u32,
    /// Tokens of context of the language model; questions that are answered at once share them.
    pub context_tokens: u32,
    /// Questions that the language model works on at once.
    pub parallel: usize,
    /// How the language model keeps what it has read: `f16`, or smaller and a little less exact.
    pub kv_type: KvType,
    /// An adapter (`LoRA`, a GGUF file) on top of the language model; empty for none.
    pub lora: PathBuf,
    /// A server that takes the language model's place; off as long as it has no address.
    pub server: ServerOptions,
    /// The language model is unloaded after so many seconds without a question.
    pub idle_unload_s: u64,
}

impl Default for ModelChoice {
    fn default() -> Self {
        Self {
            embedder: "all-minilm-l6-v2".into(),
            generator: "smollm2-135m-instruct".into(),
            reranker: "none".into(),
            threads: 0,
            gpu_layers: 0,
            context_tokens: 4096,
            parallel: 4,
            kv_type: KvType::F16,
            lora: PathBuf::new(),
            server: ServerOptions::default(),
            idle_unload_s: 600,
        }
    }
}

/// Searching.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Search {
    /// Hits shown.
    pub k: usize,
    /// Weight of the vectors, 0 to 1; the words have the rest.
    pub dense_weight: f32,
    /// Whether every search is ranked anew by the reranker, where there is one. Slow.
    pub rerank: bool,
    /// Chunks whose vectors are kept in memory and searched exactly; more are searched by an index.
    pub exact_rows: usize,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            k: 10,
            dense_weight: Weights::default().dense,
            rerank: false,
            exact_rows: 100_000,
        }
    }
}

/// Answering.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Answering {
    /// The strategy, unless a question names one.
    pub strategy: Strategy,
    /// Passages looked at for an answer.
    pub k: usize,
    /// Tokens of an answer at most.
    pub max_tokens: usize,
    /// Tokens of evidence in a prompt of the default strategy.
    pub evidence_tokens: usize,
    /// The notes are taken not to cover a question when the best cosine is below this…
    pub least_cosine: f32,
    /// …and fewer than this share of its words are in the best passages.
    pub least_coverage: f32,
    /// Whether the default strategy lets the language model write, or quotes the notes: `auto`,
    /// `always`, `never`.
    pub drafts: Drafts,
    /// Mean natural log-probability of its tokens below which a draft is not told.
    pub least_log_prob: f32,
    /// What a million tokens would cost elsewhere, for `coho status` to say what was spared; 0 says
    /// nothing.
    pub price_per_million: f64,
}

impl Default for Answering {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            k: 5,
            max_tokens: 96,
            evidence_tokens: 240,
            least_cosine: 0.35,
            least_coverage: 0.6,
            drafts: Drafts::Auto,
            least_log_prob: -0.5,
            price_per_million: 0.0,
        }
    }
}

/// A model elsewhere, for questions that you choose one by one (`coho ask --remote`). Off as long as
/// it has no address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Remote {
    /// Its address up to `/v1`; empty for none.
    pub url: String,
    /// The model's name there.
    pub model: String,
    /// Name of the environment variable that holds its key; empty for none.
    pub key_env: String,
    /// Tokens that may be sent and received a day (UTC) at most.
    pub tokens_per_day: u64,
    /// Money that may be spent a day at most, by the two prices.
    pub money_per_day: f64,
    /// What a million tokens that it reads cost.
    pub price_read: f64,
    /// What a million tokens that it writes cost.
    pub price_written: f64,
    /// Words that are masked wherever they stand, besides names, addresses, numbers and secrets.
    pub private: Vec<String>,
}

impl Default for Remote {
    fn default() -> Self {
        Self {
            url: String::new(),
            model: String::new(),
            key_env: String::new(),
            tokens_per_day: 20_000,
            money_per_day: 1.0,
            price_read: 0.0,
            price_written: 0.0,
            private: Vec::new(),
        }
    }
}

/// Reading answers aloud (`coho ask --speak`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Speech {
    /// The command that says a sentence which it reads from its standard input.
    pub command: Vec<String>,
    /// Address of a speech server up to `/v1`, in place of the command; empty for none. It must be
    /// on this machine or in its network.
    pub url: String,
    /// The model's name there.
    pub model: String,
    /// The voice's name there.
    pub voice: String,
    /// The command that plays sound (WAV) which it reads from its standard input.
    pub player: Vec<String>,
}

impl Default for Speech {
    fn default() -> Self {
        let words = |command: &[&str]| command.iter().map(|word| (*word).to_owned()).collect();
        Self {
            command: words(&["espeak-ng", "--stdin"]),
            url: String::new(),
            model: String::new(),
            voice: String::new(),
            player: words(&["aplay", "-q", "-"]),
        }
    }
}

/// Watching folders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Watching {
    /// Quiet time after a change before it is read, in milliseconds.
    pub debounce_ms: u64,
    /// Time between scans that no event asked for, in seconds.
    pub rescan_s: u64,
    /// The same for folders that cannot be watched.
    pub poll_s: u64,
    /// The ledger is copied by itself in quiet moments, when its last copy is older than so many
    /// seconds.
    pub backup_s: u64,
}

impl Default for Watching {
    fn default() -> Self {
        Self {
            debounce_ms: 150,
            rescan_s: 600,
            poll_s: 15,
            backup_s: 3600,
        }
    }
}

/// Learning from answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Writeback {
    /// Whether a running service distils units by itself, in idle time.
    pub automatic: bool,
    /// Who puts units in use: `auto` (when they have helped and harmed nothing), or `ask` (you).
    pub review: Review,
    /// How units take part in answers: `ranking`, `context` or `both`.
    pub merge: Merge,
    /// Whether the language model's probabilities are asked for (slower; a weak model adds little).
    pub model_gates: bool,
    /// Quiet time before the service begins, in seconds.
    pub idle_s: u64,
    /// Seconds of work a day at most.
    pub day_s: u64,
    /// Joules a day at most.
    pub day_joules: f64,
    /// Units made a day at most.
    pub day_units: u32,
    /// Units that rest on one document at most.
    pub per_document: usize,
    /// Whether your past questions are asked again after each run, to see what it gained.
    pub measure: bool,
    /// A file of questions about your notes (`questions.jsonl`), on which units are tried as on your
    /// past questions; empty for none.
    pub replay: PathBuf,
}

impl Default for Writeback {
    fn default() -> Self {
        Self {
            automatic: true,
            review: Review::Auto,
            merge: Merge::default(),
            model_gates: true,
            idle_s: 60,
            day_s: 1800,
            day_joules: 20_000.0,
            day_units: 200,
            per_document: 20,
            measure: true,
            replay: PathBuf::new(),
        }
    }
}

/// Reading files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Extraction {
    /// Largest file, in MiB.
    pub max_file_mb: u64,
    /// Most text out of one file that needs the worker, in MiB.
    pub max_text_mb: usize,
    /// Longest time for one such file, in seconds.
    pub timeout_s: u64,
    /// Most memory for one such file, in MiB.
    pub memory_mb: u64,
}

impl Default for Extraction {
    fn default() -> Self {
        Self {
            max_file_mb: 32,
            max_text_mb: 32,
            timeout_s: 20,
            memory_mb: 1536,
        }
    }
}

/// Cutting documents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Chunks {
    /// Tokens of a chunk at most, headings included; the embedding model's limit counts too.
    pub max_tokens: usize,
    /// A heading opens a new chunk once the present one has this many tokens.
    pub min_tokens: usize,
}

impl Default for Chunks {
    fn default() -> Self {
        Self {
            max_tokens: 254,
            min_tokens: 48,
        }
    }
}

impl Watching {
    /// See [`Watching::debounce_ms`].
    pub fn debounce(&self) -> Duration {
        Duration::from_millis(self.debounce_ms)
    }
}

/// Where things lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The data folder.
    pub home: PathBuf,
    /// The settings file.
    pub config: PathBuf,
    /// The models folder; shared by all data folders.
    pub models: PathBuf,
}

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A key that does not exist.
    #[error("{origin}: there is no setting `{key}`")]
    UnknownKey {
        /// The file or variable.
        origin: String,
        /// The key, with its section.
        key: String,
        /// The nearest key that exists.
        nearest: Option<String>,
    },
    /// A value of the wrong kind.
    #[error("{origin}: {reason}")]
    Value {
        /// The file or variable.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file does not parse or cannot be read.
    #[error("cannot read the settings in {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file that was named on the command line is not there.
    #[error("there is no settings file {}, nor its folder", path.display())]
    NoFile {
        /// The file.
        path: PathBuf,
    },
    /// A value of the right kind that would not do what is meant by it.
    #[error("the setting `{key}` is {value}; it must be {wanted}")]
    Range {
        /// The key, with its section.
        key: &'static str,
        /// The value.
        value: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// The platform names no folder for data.
    #[error("this account has no home folder")]
    NoHome,
}

impl Fault for SettingsError {
    fn kind(&self) -> Kind {
        Kind::BadInput
    }
    fn code(&self) -> &'static str {
        match self {
            Self::UnknownKey { .. } => "unknown_setting",
            Self::Value { .. } | Self::Range { .. } => "bad_setting",
            Self::File { .. } => "unreadable_settings",
            Self::NoFile { .. } => "no_settings_file",
            Self::NoHome => "no_home",
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownKey { nearest, .. } => nearest.as_ref().map_or_else(
                || Some("the README lists the settings".into()),
                |key| Some(format!("did you mean `{key}`?")),
            ),
            Self::NoHome => Some("set COHO_HOME and COHO_CONFIG".into()),
            Self::NoFile { .. } => Some(
                "check the spelling of the path, or make its folder first: a file is made where \
                 there is none"
                    .into(),
            ),
            Self::Range { key, .. } => Some(format!(
                "change it in the settings file, or in {}",
                variable_of_key(key)
            )),
            Self::Value { .. } | Self::File { .. } => None,
        }
    }
}

/// Variables that are not settings.
const OTHER_VARIABLES: &[&str] = &[
    "COHO_HOME",
    "COHO_CONFIG",
    "COHO_MODELS",
    "COHO_LOG",
    "COHO_EVAL_DATA",
    "COHO_FAIL",
];

/// Where things lie, by flags, environment and platform.
///
/// # Errors
/// [`SettingsError::NoHome`]; [`SettingsError::NoFile`] where not even the folder of `config` is there:
/// with a slip in its name, what it forbids would be allowed.
pub fn places(config: Option<PathBuf>) -> Result<Places, SettingsError> {
    let named = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let [home, usual, models] = usual();
    let or = |found: Option<PathBuf>, other: Result<PathBuf, SettingsError>| {
        found.map_or(other, Ok).map(absolute)
    };
    if let Some(path) = config.clone().map(absolute)
        && !path.parent().is_some_and(Path::is_dir)
        && usual.as_ref().ok() != Some(&path)
    {
        return Err(SettingsError::NoFile { path });
    }
    Ok(Places {
        home: or(named(VARIABLES[0]), home)?,
        config: or(config.or_else(|| named(VARIABLES[1])), usual)?,
        models: or(named(VARIABLES[2]), models)?,
    })
}

/// The variables that name the places, in the order of [`Places`].
const VARIABLES: [&str; 3] = ["COHO_HOME", "COHO_CONFIG", "COHO_MODELS"];

/// Data folder, settings file and models folder of the platform.
fn usual() -> [Result<PathBuf, SettingsError>; 3] {
    let platform = directories::ProjectDirs::from("", "", "coho");
    let folder = |pick: fn(&directories::ProjectDirs) -> &Path| {
        let folder = platform.as_ref().map(|p| pick(p).to_owned());
        folder.ok_or(SettingsError::NoHome)
    };
    [
        folder(|p| p.data_dir()),
        folder(|p| p.config_dir()).map(|f| f.join("config.toml")),
        folder(|p| p.cache_dir()).map(|f| f.join("models")),
    ]
}

impl Places {
    /// The variables that lead a process of the same person to these places, whatever its folder:
    /// those that are not the platform's.
    pub fn told(&self) -> Vec<(&'static str, String)> {
        let places = [&self.home, &self.config, &self.models];
        let told = VARIABLES.into_iter().zip(places).zip(usual());
        told.filter(|((_, place), usual)| usual.as_ref().ok() != Some(*place))
            .map(|((name, place), _)| (name, place.to_string_lossy().into_owned()))
            .collect()
    }
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// The settings by file, environment and flags. `flags` are pairs of `section.key` and a value as
/// it would stand in the file.
///
/// # Errors
/// [`SettingsError`].
pub fn resolve(config: &Path, flags: &[(&str, String)]) -> Result<Settings, SettingsError> {
    let file = match std::fs::read_to_string(config) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            return Err(SettingsError::File {
                path: config.to_owned(),
                reason: error.to_string(),
            });
        }
    };
    let mut settings = of_text(&config.display().to_string(), &file)?;
    let environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, value)| name.starts_with("COHO_") && !value.is_empty())
        .collect();
    for (name, value) in environment {
        if OTHER_VARIABLES.contains(&name.as_str()) {
            continue;
        }
        match key_of_variable(&name) {
            Some(key) => settings = with(settings, &name, &key, &value)?,
            None => unknown_variable(&name)?,
        }
    }
    for (key, value) in flags {
        // Flags are called as their settings are, without the section.
        let name = key.rsplit('.').next().unwrap_or(key).replace('_', "-");
        settings = with(settings, &format!("--{name}"), key, value)?;
    }
    check_ranges(&settings)?;
    Ok(settings)
}

/// Questions at once at most: llama.cpp knows 256 texts, and each shares the context with all.
const MOST_PARALLEL: usize = 64;

/// Tokens of context: fewer are taken for so many all the same, and no model was trained for more.
const LEAST_CONTEXT: u32 = 512;
const MOST_CONTEXT: u32 = 1 << 20;

/// As many as llama.cpp takes.
const MOST_THREADS: usize = 512;

/// About 32 years: clocks cannot tell a time that lies farther ahead than theirs goes.
const MOST_SECONDS: u64 = 1_000_000_000;

/// A chunk has room for its headings and as much again.
const LEAST_CHUNK: u64 = 64;

/// Tokens, KiB or MiB: more are no limit at all, and as bytes soon no number.
const MOST_OF_A_SIZE: u64 = 1 << 20;

/// A key, its value, whether that will do, and what will.
type Case = (&'static str, String, bool, &'static str);

/// Refuses numbers that nobody can mean. A limit that is no number would limit nothing.
fn check_ranges(settings: &Settings) -> Result<(), SettingsError> {
    let mut cases = counts(settings).into_iter();
    let mut others = amounts(settings).into_iter().chain(times(settings));
    let misfit = |(_, _, fits, _): &Case| !fits;
    match cases.find(misfit).or_else(|| others.find(misfit)) {
        Some((key, value, _, wanted)) => Err(SettingsError::Range { key, value, wanted }),
        None => Ok(()),
    }
}

/// What is counted: hits, tokens, threads, KiB and MiB.
fn counts(settings: &Settings) -> Vec<Case> {
    const SIZE: std::ops::RangeInclusive<u64> = 1..=MOST_OF_A_SIZE;
    let Settings {
        serve,
        models,
        search,
        answer,
        extract,
        chunks,
        ..
    } = settings;
    let hits = 1..=MOST_HITS as u64;
    let context = u64::from(LEAST_CONTEXT)..=u64::from(MOST_CONTEXT);
    let parallel = 1..=MOST_PARALLEL as u64;
    let size = "from 1 to 1048576";
    let sized = [
        ("search.k", search.k as u64, hits.clone(), "from 1 to 100"),
        ("answer.k", answer.k as u64, hits, "from 1 to 100"),
        (
            "models.parallel",
            models.parallel as u64,
            parallel,
            "from 1 to 64",
        ),
        (
            "models.context_tokens",
            u64::from(models.context_tokens),
            context,
            "from 512 to 1048576",
        ),
        (
            "models.threads",
            models.threads as u64,
            0..=MOST_THREADS as u64,
            "from 0 to 512",
        ),
        (
            "chunks.max_tokens",
            chunks.max_tokens as u64,
            LEAST_CHUNK..=MOST_OF_A_SIZE,
            "from 64 to 1048576",
        ),
        (
            "chunks.min_tokens",
            chunks.min_tokens as u64,
            0..=chunks.max_tokens as u64,
            "at most `chunks.max_tokens`",
        ),
        ("answer.max_tokens", answer.max_tokens as u64, SIZE, size),
        (
            "answer.evidence_tokens",
            answer.evidence_tokens as u64,
            SIZE,
            size,
        ),
        ("serve.max_body_kb", serve.max_body_kb as u64, SIZE, size),
        ("extract.max_file_mb", extract.max_file_mb, SIZE, size),
        (
            "extract.max_text_mb",
            extract.max_text_mb as u64,
            SIZE,
            size,
        ),
        ("extract.memory_mb", extract.memory_mb, SIZE, size),
    ];
    let cases = sized.into_iter().map(|(key, value, range, wanted)| {
        (key, value.to_string(), range.contains(&value), wanted)
    });
    cases.collect()
}

/// What is weighed or paid.
fn amounts(settings: &Settings) -> Vec<Case> {
    let Settings {
        search,
        answer,
        remote,
        writeback,
        ..
    } = settings;
    let shares = [
        (
            "search.dense_weight",
            search.dense_weight,
            0.0..=1.0,
            "from 0 to 1",
        ),
        (
            "answer.least_coverage",
            answer.least_coverage,
            0.0..=1.0,
            "from 0 to 1",
        ),
        (
            "answer.least_cosine",
            answer.least_cosine,
            -1.0..=1.0,
            "from -1 to 1",
        ),
        (
            "answer.least_log_prob",
            answer.least_log_prob,
            f32::NEG_INFINITY..=0.0,
            "0 or less",
        ),
    ];
    let prices = [
        ("remote.money_per_day", remote.money_per_day),
        ("remote.price_read", remote.price_read),
        ("remote.price_written", remote.price_written),
        ("answer.price_per_million", answer.price_per_million),
        ("writeback.day_joules", writeback.day_joules),
    ];
    let shares = shares.into_iter().map(|(key, value, range, wanted)| {
        (key, value.to_string(), range.contains(&value), wanted)
    });
    let prices = prices
        .into_iter()
        .map(|(key, value)| (key, value.to_string(), value >= 0.0, "0 or more"));
    shares.chain(prices).collect()
}

/// Times: seconds, and milliseconds.
fn times(settings: &Settings) -> Vec<Case> {
    let Settings {
        serve,
        models,
        watch,
        writeback,
        extract,
        ..
    } = settings;
    let times = [
        ("serve.head_timeout_s", serve.head_timeout_s),
        ("models.idle_unload_s", models.idle_unload_s),
        ("watch.debounce_ms", watch.debounce_ms),
        ("watch.rescan_s", watch.rescan_s),
        ("watch.poll_s", watch.poll_s),
        ("watch.backup_s", watch.backup_s),
        ("writeback.idle_s", writeback.idle_s),
        ("writeback.day_s", writeback.day_s),
        ("extract.timeout_s", extract.timeout_s),
    ];
    let cases = times.into_iter().map(|(key, time)| {
        let fits = time <= MOST_SECONDS;
        (key, time.to_string(), fits, "at most 1000000000")
    });
    cases.collect()
}

/// The settings in the text of a file called `origin`.
///
/// # Errors
/// [`SettingsError`].
pub fn of_text(origin: &str, text: &str) -> Result<Settings, SettingsError> {
    let table: Table = text
        .parse()
        .map_err(|error: toml::de::Error| SettingsError::File {
            path: PathBuf::from(origin),
            reason: error.to_string().trim().to_owned(),
        })?;
    check_keys(origin, &table)?;
    parse(origin, &table)
}

fn defaults() -> Table {
    Table::try_from(Settings::default()).expect("the settings are a table")
}

/// All keys, as `section.key` or `section.part.key`.
pub fn keys() -> Vec<String> {
    leaves(&defaults(), "")
}

/// The keys of a table that hold no table, below `above`.
fn leaves(table: &Table, above: &str) -> Vec<String> {
    let mut keys = Vec::new();
    for (name, value) in table {
        match value.as_table() {
            Some(inner) => keys.extend(leaves(inner, &format!("{above}{name}."))),
            None => keys.push(format!("{above}{name}")),
        }
    }
    keys
}

fn variable_of_key(key: &str) -> String {
    format!("COHO_{}", key.replace('.', "_").to_uppercase())
}

fn key_of_variable(name: &str) -> Option<String> {
    keys().into_iter().find(|key| variable_of_key(key) == name)
}

/// A slip of the hand is an error; a stranger's variable is none of ours.
fn unknown_variable(name: &str) -> Result<(), SettingsError> {
    let variables: Vec<String> = keys().iter().map(|key| variable_of_key(key)).collect();
    let known = variables.iter().map(String::as_str);
    match nearest(name, known.chain(OTHER_VARIABLES.iter().copied())) {
        Some(near) if strsim::damerau_levenshtein(name, near) <= 2 => {
            Err(SettingsError::UnknownKey {
                origin: "environment".into(),
                key: name.into(),
                nearest: Some(near.into()),
            })
        }
        _ => {
            tracing::warn!(name, "unknown environment variable");
            Ok(())
        }
    }
}

fn check_keys(origin: &str, table: &Table) -> Result<(), SettingsError> {
    let unknown = |key: String, known: &[String]| SettingsError::UnknownKey {
        origin: origin.to_owned(),
        nearest: nearest(&key, known.iter().map(String::as_str)).map(ToOwned::to_owned),
        key,
    };
    let sections: Vec<String> = defaults().keys().cloned().collect();
    if let Some(section) = table.keys().find(|section| !sections.contains(section)) {
        return Err(unknown(section.clone(), &sections));
    }
    let known = keys();
    let part = |key: &String| known.iter().any(|k| k.starts_with(&format!("{key}.")));
    match leaves(table, "")
        .into_iter()
        // An empty table is no mistake.
        .find(|key| !known.contains(key) && !part(key))
    {
        Some(key) => Err(unknown(key, &known)),
        None => Ok(()),
    }
}

fn parse(origin: &str, table: &Table) -> Result<Settings, SettingsError> {
    let mut table = table.clone();
    name_no_host(&mut table);
    table
        .try_into()
        .map_err(|error: toml::de::Error| SettingsError::Value {
            origin: origin.to_owned(),
            reason: in_words(error.to_string().trim().replace('\n', " ")),
        })
}

/// What a value is said to be, with the names of Rust's types in words.
fn in_words(reason: String) -> String {
    let words = [
        ("expected usize", "expected a whole number from 0"),
        ("expected u64", "expected a whole number from 0"),
        (
            "expected u32",
            "expected a whole number from 0 to 4294967295",
        ),
        (
            "invalid socket address syntax",
            "expected an address and a port from 0 to 65535, such as `127.0.0.1:7621`,",
        ),
    ];
    let told = |said: String, (of_rust, plain): (&str, &str)| said.replace(of_rust, plain);
    words.into_iter().fold(reason, told)
}

/// `localhost:7621`, which people write, as the address that they mean.
fn name_no_host(table: &mut Table) {
    let serve = table.get_mut("serve").and_then(Value::as_table_mut);
    if let Some(Value::String(listen)) = serve.and_then(|serve| serve.get_mut("listen"))
        && let Some(port) = listen.strip_prefix("localhost:")
    {
        *listen = format!("127.0.0.1:{port}");
    }
}

/// The tables that a key lies in, outermost first, and its name in the last.
fn segments(key: &str) -> (std::str::Split<'_, char>, &str) {
    let (sections, name) = key.rsplit_once('.').expect("keys have a section");
    (sections.split('.'), name)
}

fn with(
    settings: Settings,
    origin: &str,
    key: &str,
    value: &str,
) -> Result<Settings, SettingsError> {
    let mut table = Table::try_from(settings).expect("the settings are a table");
    let (mut sections, name) = segments(key);
    let inner = sections.try_fold(&mut table, |table, section| {
        table.get_mut(section).and_then(Value::as_table_mut)
    });
    let slot = inner
        .and_then(|values| values.get_mut(name))
        .expect("only known keys come here");
    *slot = match slot {
        Value::String(_) => Value::String(value.to_owned()),
        Value::Array(_) if !value.trim_start().starts_with('[') => {
            let items = value.split(',').map(|v| Value::String(v.trim().to_owned()));
            Value::Array(items.collect())
        }
        // A word that is no TOML value stays a word, so that the complaint names it.
        _ => format!("v = {value}")
            .parse::<Table>()
            .ok()
            .and_then(|mut parsed| parsed.remove("v"))
            .unwrap_or_else(|| Value::String(value.to_owned())),
    };
    parse(&format!("{origin} (`{key}`)"), &table)
}

/// Writes the settings file with every default commented out, readable by its owner alone; an
/// existing file is left alone.
///
/// # Errors
/// What the system says.
pub fn write_default(config: &Path) -> std::io::Result<()> {
    if config.exists() {
        return Ok(());
    }
    if let Some(folder) = config.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut text = String::from(
        "# coho settings. Every line shows a default; remove the `#` to change it.\n\
         # The environment (COHO_SECTION_KEY) and flags win over this file.\n",
    );
    for line in toml::to_string(&Settings::default())
        .unwrap_or_default()
        .lines()
    {
        if !line.is_empty() && !line.starts_with('[') {
            text.push_str("# ");
        }
        text.push_str(line);
        text.push('\n');
    }
    write_private(config, text.as_bytes())
}

/// Writes a file that only its owner can read, in one step.
///
/// # Errors
/// What the system says.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let draft = path.with_file_name(name);
    let mut options = std::fs::File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&draft, path)
}

/// Changes one key in the settings file and keeps everything else as it stands.
///
/// # Errors
/// [`SettingsError::File`].
pub fn set_in_file(config: &Path, key: &str, value: &str) -> Result<(), SettingsError> {
    let failed = |reason: String| SettingsError::File {
        path: config.to_owned(),
        reason,
    };
    write_default(config).map_err(|error| failed(error.to_string()))?;
    // A file that lies elsewhere, with a link to it here, is changed there.
    let file = config.canonicalize().unwrap_or_else(|_| config.to_owned());
    let text = std::fs::read_to_string(&file).map_err(|error| failed(error.to_string()))?;
    let mut document: toml_edit::DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| failed(error.to_string()))?;
    let (sections, name) = segments(key);
    let inner = sections.fold(document.as_item_mut(), |table, section| &mut table[section]);
    inner[name] = toml_edit::value(value);
    write_private(&file, document.to_string().as_bytes()).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_file(text: &str) -> Result<Settings, String> {
        of_text("file", text)
            .map_err(|error| format!("{error}; {}", error.hint().unwrap_or_default()))
    }

    #[test]
    fn a_wrong_key_names_the_nearest_right_one() {
        let check = |text: &str, words: &[&str]| {
            let error = of_file(text).unwrap_err();
            words
                .iter()
                .for_each(|w| assert!(error.contains(w), "{error}"));
        };
        check("[serve]\nlisten_on = '127.0.0.1:1'", &["serve.listen_on"]);
        check(
            "[watch]\ndebounce = 5",
            &["watch.debounce", "watch.debounce_ms"],
        );
        check("[serv]\n", &["serv", "did you mean `serve`?"]);
        check("[serve]\nlisten = 7", &["listen"]);
        check(
            "[models.server]\nurll = ''",
            &["models.server.urll", "did you mean `models.server.url`?"],
        );
        check("[models]\nserver = 'http://x'", &["server"]);
        assert_eq!(of_file(""), Ok(Settings::default()));
    }

    #[test]
    fn later_layers_win() {
        let set = |key: &str, value: &str| with(Settings::default(), "test", key, value);
        assert_eq!(set("answer.k", "7").unwrap().answer.k, 7);
        let listen = set("serve.listen", "127.0.0.1:9").unwrap().serve.listen;
        assert_eq!(listen.port(), 9);
        let listen = set("serve.listen", "localhost:9").unwrap().serve.listen;
        assert_eq!(listen, SocketAddr::from(([127, 0, 0, 1], 9)));
        let hosts = set("serve.allowed_hosts", "a.local, b.local").unwrap();
        assert_eq!(hosts.serve.allowed_hosts, ["a.local", "b.local"]);
        assert!(set("answer.k", "many").is_err());
        let models = set("models.server.url", "http://127.0.0.1:8080/v1").unwrap();
        assert_eq!(models.models.server.url, "http://127.0.0.1:8080/v1");
        let lora = set("models.lora", "/models/mine.gguf").unwrap().models.lora;
        assert_eq!(lora, Path::new("/models/mine.gguf"));
        assert_eq!(
            key_of_variable("COHO_MODELS_SERVER_URL").as_deref(),
            Some("models.server.url")
        );
        assert_eq!(
            key_of_variable("COHO_ANSWER_MAX_TOKENS").as_deref(),
            Some("answer.max_tokens")
        );
    }

    #[test]
    fn what_nobody_can_mean_is_refused() {
        let check = |text: &str, key: Option<&str>| {
            let outcome = check_ranges(&of_file(text).unwrap());
            let said = outcome.err().map(|error| error.to_string());
            let names = said
                .as_deref()
                .map(|said| key.is_some_and(|k| said.contains(k)));
            assert_eq!(names, key.map(|_| true), "{text}: {said:?}");
        };
        check("", None);
        check("[search]\ndense_weight = 1.0", None);
        check("[search]\ndense_weight = 1.5", Some("search.dense_weight"));
        check("[search]\ndense_weight = nan", Some("search.dense_weight"));
        check("[models]\nparallel = 0", Some("models.parallel"));
        check("[models]\nparallel = 64", None);
        check("[models]\nparallel = 65", Some("to 64"));
        check("[models]\ncontext_tokens = 512", None);
        check(
            "[models]\ncontext_tokens = 511",
            Some("models.context_tokens"),
        );
        check("[models]\ncontext_tokens = 2000000", Some("to 1048576"));
        check("[models]\nthreads = 0", None);
        check("[models]\nthreads = 513", Some("models.threads"));
        check("[search]\nk = 0", Some("search.k"));
        check("[answer]\nk = 0", Some("answer.k"));
        check("[search]\nk = 100", None);
        check("[answer]\nk = 101", Some(&format!("to {MOST_HITS}")));
        check("[search]\nk = 200", Some("search.k"));
        check("[search]\nk = 1000000000", Some("from 1 to 100"));
        check("[answer]\nmax_tokens = 0", Some("answer.max_tokens"));
        check("[answer]\nleast_cosine = nan", Some("answer.least_cosine"));
        check("[answer]\nleast_log_prob = -inf", None);
        check("[chunks]\nmax_tokens = 0", Some("from 64 to 1048576"));
        // As bytes it would be none, or no number at all.
        check(
            "[extract]\nmax_file_mb = 17592186044416",
            Some("extract.max_file_mb"),
        );
        check("[serve]\nmax_body_kb = 0", Some("serve.max_body_kb"));
        check(
            "[chunks]\nmax_tokens = 100\nmin_tokens = 101",
            Some("chunks.max_tokens"),
        );
        check("[remote]\nmoney_per_day = 0.0", None);
        check(
            "[remote]\nmoney_per_day = nan",
            Some("remote.money_per_day"),
        );
        check("[remote]\nprice_read = -1.0", Some("remote.price_read"));
        check("[watch]\nrescan_s = 1000000000", None);
        let never = format!("[watch]\nrescan_s = {}", i64::MAX);
        check(&never, Some("watch.rescan_s"));
    }

    #[test]
    fn what_is_no_such_number_is_told_with_what_would_be_one() {
        let check = |text: &str, words: &[&str]| {
            let error = of_file(text).unwrap_err();
            for word in words {
                assert!(error.contains(word), "{error}");
            }
        };
        check("[search]\nk = -1", &["search.k", "a whole number from 0"]);
        check("[watch]\npoll_s = 1.5", &["watch.poll_s", "from 0"]);
        check(
            "[writeback]\nday_units = 4294967296",
            &["writeback.day_units", "to 4294967295"],
        );
        check(
            "[serve]\nlisten = '127.0.0.1:99999'",
            &["serve.listen", "a port from 0 to 65535"],
        );
    }

    #[test]
    fn the_default_file_means_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/config.toml");
        write_default(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let bare: String = text
            .lines()
            .map(|l| l.trim_start_matches("# ").to_owned() + "\n")
            .skip(2)
            .collect();
        // Clients of others know the port.
        assert!(text.contains("# listen = \"127.0.0.1:7621\"\n"), "{text}");
        assert_eq!(of_file(&text), Ok(Settings::default()));
        assert_eq!(of_file(&bare), Ok(Settings::default()));
        set_in_file(&path, "models.generator", "none").unwrap();
        set_in_file(&path, "models.server.model", "large").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let models = of_file(&text).unwrap().models;
        assert_eq!(models.generator, "none");
        assert_eq!(models.server.model, "large");
        assert!(text.contains("# listen"));
    }

    #[cfg(unix)]
    #[test]
    fn a_settings_file_that_lies_elsewhere_is_changed_there() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("mine.toml"), folder.path().join("link"));
        std::fs::write(&file, "[models]\n").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        set_in_file(&link, "models.generator", "none").unwrap();
        assert!(link.is_symlink());
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(of_file(&text).unwrap().models.generator, "none");
    }
}
