//! Settings: flags over environment over file over defaults, resolved once.
//!
//! The structs here are the one source of the settings: their defaults, the commented file that is
//! written on first use, the schema in `schemas/`, and the names of the environment variables
//! (`COHO_SECTION_KEY`). A wrong key or value is an error that names it and the nearest right one.

mod layers;
mod ranges;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::generator::{Drafts, KvType, ServerOptions};
use crate::domain::rank::Weights;
use crate::domain::strategy::Strategy;
use crate::domain::unit::{Merge, Review};
use crate::error::{Fault, Kind};

use self::layers::variable_of_key;
pub use self::layers::{keys, of_text, resolve, set_in_file, write_default, write_private};

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
