//! What `coho status` says: how much is known, by which models, and what could not be read.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use super::evaluation::LearningLine;
use super::network::{self, Network, TokenUse};
use super::sources::SourceStatus;
use super::{App, timestamp, told_path};
use crate::domain::source::shown_name;
use crate::engine::GeneratorHandle;
use crate::error::Failure;
use crate::store::StoreError;
use crate::store::backup::recovery::RECOVERY;

/// What `coho status` says.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Status {
    /// Version of coho.
    pub version: String,
    /// The data folder; none for who may see a part of the notes alone.
    pub home: Option<PathBuf>,
    /// Visible documents.
    pub documents: u64,
    /// Distinct visible chunks.
    pub chunks: u64,
    /// Knowledge units by state.
    pub units: UnitCounts,
    /// Sources.
    pub sources: Vec<SourceStatus>,
    /// Models in use.
    pub models: ModelStatus,
    /// Bytes on disk; none for who may see a part of the notes alone.
    pub disk: Option<Disk>,
    /// Files that could not be read.
    pub problems: u64,
    /// What happened when a damaged ledger was replaced by its copy, if it ever was; none for who may
    /// see a part of the notes alone.
    pub recovery: Option<String>,
    /// How far words can travel.
    pub network: Network,
    /// What the language model read and wrote.
    pub tokens: TokenUse,
    /// What the owner's past questions gained by units, over time; none for who may see a part of
    /// the notes alone.
    pub learning: Option<LearningLine>,
}

/// Knowledge units by state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UnitCounts {
    /// Retrieved and scored, not shown.
    pub shadow: u64,
    /// In use.
    pub active: u64,
    /// Contradicted by something.
    pub contested: u64,
    /// Resting on something that changed.
    pub stale: u64,
    /// Out of use.
    pub retired: u64,
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a hundred"
)]
fn percent_loaded(generator: &GeneratorHandle) -> Option<u8> {
    let share = generator.loading()?;
    Some((share.clamp(0.0, 1.0) * 100.0) as u8)
}

/// Models in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ModelStatus {
    /// The embedding model.
    pub embedder: String,
    /// The language model; none when answers are quotes.
    pub generator: Option<String>,
    /// How much of it is loaded, while it is being loaded.
    pub loading_percent: Option<u8>,
    /// The models folder; none for who may see a part of the notes alone.
    pub folder: Option<PathBuf>,
}

/// Bytes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Disk {
    /// The ledger.
    pub ledger_bytes: u64,
    /// The vector index.
    pub vector_bytes: u64,
    /// The lexical index.
    pub term_bytes: u64,
    /// The same for each visible chunk.
    pub bytes_per_chunk: PerChunk,
}

/// Bytes on disk for each visible chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PerChunk {
    /// In the ledger.
    pub ledger: u64,
    /// In the vector index.
    pub vectors: u64,
    /// In the lexical index.
    pub terms: u64,
}

/// Files that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Problems {
    /// One entry a file.
    pub problems: Vec<ProblemStatus>,
}

/// A file that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProblemStatus {
    /// The file.
    pub path: PathBuf,
    /// The reason.
    pub reason: String,
    /// Since when, RFC 3339.
    pub since: String,
}

impl App {
    /// What `coho status` says.
    ///
    /// # Errors
    /// What the ledger says.
    pub fn status(&self) -> Result<Status, Failure> {
        let sources = self.sources()?;
        let (counts, units, recovery, tokens) = self.store.ledger().read(|snapshot| {
            let recovery = snapshot.memo(RECOVERY)?;
            let (counts, units) = (snapshot.counts()?, snapshot.unit_counts()?);
            Ok::<_, StoreError>((counts, units, recovery, snapshot.token_totals()?))
        })?;
        let unit = |state: &str| units.get(state).copied().unwrap_or(0);
        let (ledger_bytes, vector_bytes, term_bytes) = self.store.disk_bytes();
        let disk = Disk {
            ledger_bytes,
            vector_bytes,
            term_bytes,
            bytes_per_chunk: PerChunk {
                ledger: per_chunk(ledger_bytes, counts.chunks),
                vectors: per_chunk(vector_bytes, counts.chunks),
                terms: per_chunk(term_bytes, counts.chunks),
            },
        };
        let sees_all = self
            .store
            .ledger()
            .view()
            .is_none_or(|view| view.sources.is_none());
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").into(),
            home: sees_all.then(|| told_path(&self.places.home)),
            documents: counts.documents,
            chunks: counts.chunks,
            units: UnitCounts {
                shadow: unit("shadow"),
                active: unit("active"),
                contested: unit("contested"),
                stale: unit("stale"),
                retired: unit("retired"),
            },
            sources,
            models: ModelStatus {
                // The one that the settings name may still be built.
                embedder: self.spaces.current().indexes.model().to_owned(),
                generator: self.generator.as_ref().map(|g| g.name().to_owned()),
                loading_percent: self.generator.as_ref().and_then(percent_loaded),
                folder: sees_all.then(|| told_path(&self.places.models)),
            },
            disk: sees_all.then_some(disk),
            problems: counts.problems,
            recovery: recovery.filter(|_| sees_all),
            network: network::of(&self.settings, self.left_sum()?),
            tokens: network::tokens(tokens, self.settings.answer.price_per_million),
            learning: sees_all.then(|| self.learning_line()).transpose()?,
        })
    }

    /// Files that could not be read.
    ///
    /// # Errors
    /// What the ledger says.
    pub fn problems(&self) -> Result<Problems, Failure> {
        let listed = self.store.ledger().read(|snapshot| snapshot.problems())?;
        let problems = listed
            .into_iter()
            .map(|(path, reason, since_ms)| ProblemStatus {
                path: PathBuf::from(shown_name(&path.to_string_lossy())),
                reason,
                since: timestamp(since_ms),
            });
        Ok(Problems {
            problems: problems.collect(),
        })
    }
}

fn per_chunk(bytes: u64, chunks: u64) -> u64 {
    bytes.checked_div(chunks).unwrap_or(0)
}
