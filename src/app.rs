//! The composition root: opens the parts, wires them, and shuts them down in order.
//!
//! Both edges hold an [`App`]; a service holds a [`Service`], which adds the background. Nothing
//! below this file knows that there are edges.

pub mod documents;
pub mod evaluation;
pub mod learning;
pub mod leftovers;
pub mod network;
pub mod notes;
pub mod outside;
pub mod sources;
pub mod speech;
pub mod status;
pub mod tokens;
pub mod turns;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use self::learning::{Background, Presence};
pub use self::sources::SourceStatus;
pub use self::status::{ProblemStatus, Problems, Status};
use crate::domain::chunk::Limits;
use crate::domain::generator::Reading;
use crate::domain::rank::Weights;
use crate::domain::source::SourceId;
use crate::engine::generate::LlamaOptions;
use crate::engine::install::Models;
use crate::engine::llama::process::LlamaProcess;
use crate::engine::onnx::{OnnxEmbedder, Tokens};
use crate::engine::rerank::{RerankerHandle, RerankerOptions};
use crate::engine::server::ModelServer;
use crate::engine::{Embedder, EmbedderHandle, EngineError, GeneratorHandle};
use crate::error::{BadRequest, Failure};
use crate::extract::WorkerLimits;
use crate::flow::answer::{self, Answer, AnswerOptions, Answerer, Ask, Event, Strategy};
use crate::flow::ingest::{Ingest, IngestOptions};
use crate::flow::search::{self, Found, Query, Searcher};
use crate::flow::space::{Cutter, Space, Spaces};
use crate::flow::watch::{Syncer, WatchOptions};
use crate::flow::writeback::{self, ranking};
use crate::settings::{Places, Settings};
use crate::store::feedback;
use crate::store::folder::states_of;
use crate::store::units::UseUnits;
use crate::store::{Access, Indexes, Store, StoreError, VectorSpace};

/// Tokens of the headings that are embedded with a chunk, at most.
const HEADING_TOKENS: usize = 32;

/// The open knowledge base.
pub struct App {
    /// The settings in force.
    pub settings: Settings,
    /// Where things lie.
    pub places: Places,
    /// The installed models.
    pub models: Models,
    // Dropped before the store, which holds the data folder's lock: who gets that finds no writer of
    // the indexes at work.
    /// The embedding model in use with its indexes, and the one that is being built.
    pub spaces: Arc<Spaces>,
    /// The store.
    pub store: Arc<Store>,
    /// The language model, where one is installed and wanted.
    pub generator: Option<GeneratorHandle>,
    /// The model that ranks anew, where one is chosen.
    pub reranker: Option<RerankerHandle>,
    /// Ingestion.
    pub ingest: Arc<Ingest>,
    /// When the owner was last here.
    pub presence: Arc<Presence>,
}

/// The clock that the edges hand down: milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

impl App {
    /// Opens the knowledge base. Models load in the background, on their lanes.
    ///
    /// Where the settings name another embedding model than the one in use, that one stays in use
    /// until the indexes of the new one are complete.
    ///
    /// # Errors
    /// What the store says, or a model that is not installed.
    pub fn open(settings: Settings, places: Places, access: Access) -> Result<Self, Failure> {
        let models = Models::at(&places.models);
        models.installed(&settings.models.embedder)?;
        let mut app = Self::without_models(settings, places, access, Store::indexes)?;
        app.models.runtime()?;
        app.generator = generator(&app.settings, &app.models, &app.places.home)?;
        app.reranker = reranker(&app.settings, &app.models)?;
        Ok(app)
    }

    /// As [`App::open`], for who looks at what is kept, erases it, copies it or gives access to it:
    /// that also goes without the models. Only what asks one says then that it is not installed. Who
    /// only reads needs no indexes either, which may be damaged.
    ///
    /// # Errors
    /// What the store says, or an embedding model that nobody knows.
    pub fn open_records(
        settings: Settings,
        places: Places,
        access: Access,
    ) -> Result<Self, Failure> {
        let opening: Opening = match access {
            Access::Write => Store::indexes,
            Access::Read => |store, space| Ok(store.closed_indexes(space)),
        };
        let mut app = Self::without_models(settings, places, access, opening)?;
        let generator = generator(&app.settings, &app.models, &app.places.home);
        app.generator = generator.unwrap_or_default();
        Ok(app)
    }

    fn without_models(
        settings: Settings,
        places: Places,
        access: Access,
        opening: Opening,
    ) -> Result<Self, Failure> {
        let models = Models::at(&places.models);
        models.shape_of(&settings.models.embedder)?;
        let store = Store::open(&places.home, access)?.exact_up_to(settings.search.exact_rows);
        let store = Arc::new(store);
        // Whoever wrote one may have ended before its unit was looked at again.
        if access == Access::Write
            && let Err(error) = writeback::drop_states(&store)
        {
            tracing::warn!(%error, "what was read of units that are not in use is still there");
        }
        let chosen = settings.models.embedder.clone();
        let is_installed = |name: &str| models.installed(name).is_ok();
        let in_use = store.embedder_in_use()?;
        let other = in_use.clone().filter(|name| {
            let usable = is_installed(name) || !is_installed(&chosen);
            *name != chosen && usable && store.has_indexes(name)
        });
        let space = |name: &str| space(&settings, &models, &store, name, opening);
        let current = space(other.as_ref().unwrap_or(&chosen))?;
        if access == Access::Write && other.is_none() && in_use.as_ref() != Some(&chosen) {
            store.switch_to(&current.indexes)?;
        }
        let next = (access == Access::Write && other.is_some())
            .then(|| space(&chosen))
            .transpose()?;
        let spaces = Arc::new(Spaces::new(current, next));
        let ingest = Ingest::new(
            Arc::clone(&store),
            Arc::clone(&spaces),
            ingest_options(&settings),
            now_ms,
        );
        Ok(Self {
            settings,
            places,
            models,
            store,
            spaces,
            generator: None,
            reranker: None,
            ingest: Arc::new(ingest),
            presence: Arc::default(),
        })
    }

    /// What searches in this space.
    pub fn searcher<'a>(&'a self, space: &'a Space) -> Searcher<'a> {
        Searcher {
            store: &self.store,
            space,
            weights: self.weights(),
            reranker: self.reranker.as_ref(),
        }
    }

    /// The weights of the ranking: the owner's, where one is set; else those that were learned.
    fn weights(&self) -> Weights {
        let usual = Weights::default();
        let set = self.settings.search.dense_weight.clamp(0.0, 1.0);
        #[expect(clippy::float_cmp, reason = "the default is written as it is compared")]
        if set != usual.dense {
            return Weights {
                dense: set,
                ..usual
            };
        }
        let learned = ranking::in_use(&self.store).unwrap_or_else(|error| {
            tracing::warn!(%error, "the learned weights cannot be read");
            None
        });
        learned.map_or(usual, |learned| learned.weights)
    }

    /// A query with the settings' defaults for what is not said.
    pub fn query(&self, text: String, k: Option<usize>, source: Option<SourceId>) -> Query {
        Query {
            text,
            k: k.unwrap_or(self.settings.search.k),
            source,
            literal: false,
            spoken: false,
            rerank: self.settings.search.rerank && self.reranker.is_some(),
            explain: false,
            units: UseUnits::Active,
            merge: self.settings.writeback.merge,
            asked_ms: now_ms(),
        }
    }

    /// Searches; blocks.
    ///
    /// # Errors
    /// A bad query, or what the store and the embedding model say.
    pub fn search(&self, query: &Query) -> Result<Found, Failure> {
        let space = self.spaces.current();
        search::search(&self.searcher(&space), query)
    }

    /// Answers; blocks. See [`answer::answer`].
    ///
    /// # Errors
    /// A bad question, or what the store and the models say.
    pub fn ask(
        &self,
        ask: &Ask,
        cancel: &Arc<AtomicBool>,
        emit: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<Answer, Failure> {
        self.presence.here();
        if ask.remote {
            return self.ask_outside(ask, cancel, emit);
        }
        self.answering_to(ask, |parts| answer::answer(parts, ask, cancel, emit))?
    }

    /// Answers with JSON that fits a schema; blocks.
    ///
    /// # Errors
    /// A bad question or schema, no language model, or what the store and the models say.
    pub fn ask_structured(
        &self,
        ask: &Ask,
        schema: &str,
        cancel: &Arc<AtomicBool>,
        emit: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<Answer, Failure> {
        self.presence.here();
        self.answering_to(ask, |parts| {
            if parts.generator.is_none() && self.generator.is_some() {
                return Err(BadRequest::new(
                    "source_never_leaves",
                    "the best passages never leave this machine, and the language model is on another",
                    "leave `response_format` out: they are quoted then",
                )
                .into());
            }
            answer::structured(parts, ask, schema, cancel, emit)
        })?
    }

    /// How well the language model reads, where that is known: not of a model elsewhere, and not of
    /// one with an adapter.
    fn reading(&self) -> Option<Reading> {
        let chosen = &self.settings.models;
        let plain = chosen.server.url.is_empty() && chosen.lora.as_os_str().is_empty();
        plain.then(|| self.models.reading(&chosen.generator))?
    }

    /// Lends what answering needs.
    pub fn answering<T>(&self, work: impl FnOnce(&Answerer<'_>) -> T) -> T {
        let answering = &self.settings.answer;
        let options = AnswerOptions {
            rerank: self.settings.search.rerank && self.reranker.is_some(),
            max_tokens: answering.max_tokens,
            evidence_tokens: answering.evidence_tokens,
            least_cosine: answering.least_cosine,
            least_coverage: answering.least_coverage,
            drafts: answering.drafts.allow(self.reading()),
            least_log_prob: answering.least_log_prob,
            merge: self.settings.writeback.merge,
        };
        let space = self.spaces.current();
        work(&Answerer {
            searcher: self.searcher(&space),
            generator: self.generator.as_ref(),
            options: &options,
        })
    }

    /// A question with the settings' defaults for what is not said.
    pub fn question(
        &self,
        question: String,
        strategy: Option<Strategy>,
        k: Option<usize>,
        source: Option<SourceId>,
    ) -> Ask {
        Ask {
            id: uuid::Uuid::now_v7().to_string(),
            question,
            strategy: strategy.unwrap_or(self.settings.answer.strategy),
            k: k.unwrap_or(self.settings.answer.k),
            source,
            kept: true,
            units: UseUnits::Active,
            remote: false,
            asker: None,
            asked_ms: now_ms(),
            limits: answer::Limits::default(),
            called_bad: None,
        }
    }

    /// Keeps what is said of an answer; by the owner, unless a `giver` is named. Only the owner's
    /// word puts knowledge in use.
    ///
    /// # Errors
    /// [`BadRequest`] for an unknown verdict, not-found for an unknown answer.
    pub fn feedback(
        &self,
        answer: &str,
        verdict: &str,
        (note, giver): (Option<&str>, Option<&str>),
    ) -> Result<(), Failure> {
        if !matches!(verdict, "good" | "bad") {
            return Err(BadRequest::new(
                "bad_verdict",
                format!("`{verdict}` is no verdict"),
                "say `good` or `bad`",
            )
            .into());
        }
        self.seen_answer(answer)?;
        self.store.ledger().write(|transaction| {
            feedback::put_feedback(transaction, answer, verdict, (note, giver), now_ms())
        })?;
        Ok(())
    }

    /// Is there such an answer, for who asks?
    fn seen_answer(&self, id: &str) -> Result<(), Failure> {
        let found = self.store.ledger().read(|snapshot| snapshot.answer(id))?;
        let missing = || NotFound::new("answer", id);
        Ok(found.map(drop).ok_or_else(missing)?)
    }
}

/// Something that was named but is not there.
#[derive(Debug, thiserror::Error)]
#[error("there is no {what} `{id}`")]
pub struct NotFound {
    /// What kind of thing.
    pub what: &'static str,
    /// Its name.
    pub id: String,
}

impl NotFound {
    /// Of what kind it would be, and its name.
    pub fn new(what: &'static str, id: impl Into<String>) -> Self {
        let id = id.into();
        Self { what, id }
    }
}

impl crate::error::Fault for NotFound {
    fn kind(&self) -> crate::error::Kind {
        crate::error::Kind::NotFound
    }
    fn code(&self) -> &'static str {
        "not_found"
    }
    fn hint(&self) -> Option<String> {
        let hint = match self.what {
            "unit" => "`coho units list` tells the ids; of those that begin alike, give more",
            "batch" => "`coho writeback list` tells the ids, which are wanted whole",
            _ => return None,
        };
        Some(hint.into())
    }
}

/// RFC 3339 in UTC.
fn timestamp(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |t| t.to_string())
}

fn ingest_options(settings: &Settings) -> IngestOptions {
    let extract = &settings.extract;
    IngestOptions {
        worker: WorkerLimits {
            program: this_program(),
            timeout: Duration::from_secs(extract.timeout_s.max(1)),
            memory_bytes: extract.memory_mb << 20,
            output_bytes: extract.max_text_mb << 20,
        },
        max_file_bytes: extract.max_file_mb << 20,
        backup_age: Duration::from_secs(settings.watch.backup_s),
    }
}

/// How the indexes of an embedding model are had.
type Opening = fn(&Store, &VectorSpace) -> Result<Indexes, StoreError>;

/// An embedding model with its indexes and the way in which documents are cut for it.
fn space(
    settings: &Settings,
    models: &Models,
    store: &Store,
    name: &str,
    opening: Opening,
) -> Result<Space, Failure> {
    let shape = models.shape_of(name)?;
    let folder = models.folder_of(name);
    let (length, threads) = (shape.max_length, settings.models.threads);
    let limits = Limits {
        // Two special tokens frame every input.
        max_tokens: settings
            .chunks
            .max_tokens
            .min(length - 2)
            .max(HEADING_TOKENS * 2),
        min_tokens: settings.chunks.min_tokens,
        heading_tokens: HEADING_TOKENS,
    };
    let tokenizer = match models.installed(name) {
        Ok(_) => Tokens::fingerprint(&folder)?,
        // Without it no document is read.
        Err(_) => "absent".into(),
    };
    let recipe = format!(
        "{}/{}/{}/{}/{tokenizer}",
        crate::extract::VERSION,
        limits.max_tokens,
        limits.min_tokens,
        limits.heading_tokens,
    );
    let (installed, wanted) = (models.clone(), name.to_owned());
    let load_from = folder.clone();
    let embedder = EmbedderHandle::spawn(move || {
        installed.installed(&wanted)?;
        let model = OnnxEmbedder::load(&installed.runtime()?, &load_from, length, threads)?;
        Ok(Box::new(model) as Box<dyn Embedder>)
    })
    .map_err(no_thread)?;
    let of = VectorSpace {
        model: name.to_owned(),
        dimensions: shape.dimensions,
    };
    let indexes = opening(store, &of)?;
    let cutter = Cutter::new(limits, recipe, move || Tokens::load(&folder));
    Ok(Space {
        embedder,
        indexes,
        cutter: Arc::new(cutter),
    })
}

/// The system refuses a thread.
fn no_thread(source: std::io::Error) -> StoreError {
    StoreError::io(Path::new("a thread"), source)
}

/// The language model; `None` when none is wanted or installed.
fn generator(
    settings: &Settings,
    models: &Models,
    home: &Path,
) -> Result<Option<GeneratorHandle>, Failure> {
    let chosen = &settings.models;
    if !chosen.server.url.is_empty() {
        network::encrypted_where_far("models.server.url", &chosen.server.url)?;
        let server = ModelServer::new(&chosen.server)?;
        return Ok(Some(GeneratorHandle::new(&chosen.server.model, server)));
    }
    let name = &chosen.generator;
    if name == "none" {
        return Ok(None);
    }
    let installed = match models.installed(name) {
        Ok(installed) => installed,
        Err(EngineError::NotInstalled { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let options = LlamaOptions {
        // Its process is told of it in JSON, which knows text alone.
        states: Some(states_of(home)).filter(|folder| folder.to_str().is_some()),
        ..llama_options(settings, models.file_of(&installed))
    };
    let model = LlamaProcess::new(this_program(), options);
    Ok(Some(GeneratorHandle::new(name, model)))
}

/// How a model in a file is run, by the settings; without states.
pub fn llama_options(settings: &Settings, path: PathBuf) -> LlamaOptions {
    let chosen = &settings.models;
    LlamaOptions {
        path,
        context_tokens: chosen.context_tokens,
        parallel: chosen.parallel,
        threads: chosen.threads,
        gpu_layers: chosen.gpu_layers,
        kv: chosen.kv_type,
        lora: Some(chosen.lora.clone()).filter(|lora| !lora.as_os_str().is_empty()),
        states: None,
    }
}

/// This binary, which runs once more for what must not end the service.
pub fn this_program() -> PathBuf {
    // Where the system does not tell, the path is searched for it.
    std::env::current_exe().unwrap_or_else(|_| "coho".into())
}

/// The reranker's lane; `None` when none is wanted.
fn reranker(settings: &Settings, models: &Models) -> Result<Option<RerankerHandle>, Failure> {
    let name = &settings.models.reranker;
    if name == "none" {
        return Ok(None);
    }
    let installed = models.installed(name)?;
    let file = models.file_of(&installed);
    let handle = RerankerHandle::spawn(RerankerOptions {
        runtime: models.runtime()?,
        folder: file.parent().unwrap_or(Path::new("/")).to_owned(),
        max_length: installed.max_length,
        threads: settings.models.threads,
    });
    Ok(Some(handle.map_err(no_thread)?))
}

/// Lets the language model go whenever it was not used for as long as the settings say.
pub async fn unload_when_idle(app: Arc<App>) {
    let idle = Duration::from_secs(app.settings.models.idle_unload_s);
    let Some(generator) = app.generator.clone() else {
        return;
    };
    loop {
        tokio::time::sleep(Duration::from_secs(15)).await;
        let generator = generator.clone();
        let _ = tokio::task::spawn_blocking(move || generator.unload_if_idle(idle)).await;
    }
}

/// A knowledge base with its background: watching and syncing.
pub struct Service {
    /// The knowledge base.
    pub app: Arc<App>,
    /// The background. Dropped, and so joined, before the parts it uses.
    pub syncer: Syncer,
    /// Writeback in idle time.
    pub learning: Background,
}

impl Service {
    /// Starts the background over all sources.
    ///
    /// # Errors
    /// When the system refuses a thread, or what the ledger says.
    pub fn start(app: App) -> Result<Self, Failure> {
        let app = Arc::new(app);
        let watch = &app.settings.watch;
        let options = WatchOptions {
            debounce: watch.debounce(),
            rescan: Duration::from_secs(watch.rescan_s.max(1)),
            poll: Duration::from_secs(watch.poll_s.max(1)),
        };
        let (ingest, store) = (Arc::clone(&app.ingest), Arc::clone(&app.store));
        let building = app.spaces.next().is_some();
        let syncer = Syncer::spawn(ingest, store, options, building).map_err(no_thread)?;
        for source in app.store.ledger().read(|snapshot| snapshot.sources())? {
            syncer.watch(&source, Duration::ZERO);
        }
        let learning = Background::spawn(Arc::clone(&app)).map_err(no_thread)?;
        Ok(Self {
            app,
            syncer,
            learning,
        })
    }

    /// All sources that `app` sees, with what only the background knows of them.
    ///
    /// # Errors
    /// What the ledger says.
    pub fn sources(&self, app: &App) -> Result<Vec<SourceStatus>, Failure> {
        let mut sources = app.sources()?;
        self.say_polled(&mut sources);
        Ok(sources)
    }

    fn say_polled(&self, sources: &mut [SourceStatus]) {
        for status in sources {
            status.polled = self.syncer.polled(status.source.id);
        }
    }

    /// As [`App::status`], with what only the background knows.
    ///
    /// # Errors
    /// What the ledger says.
    pub fn status(&self, app: &App) -> Result<Status, Failure> {
        let mut status = app.status()?;
        self.say_polled(&mut status.sources);
        Ok(status)
    }

    /// Removes a source with all that came from it; its files are not touched. Blocks until the thread
    /// that ingests has done so.
    ///
    /// # Errors
    /// As [`Ingest::remove`].
    pub fn remove_source(&self, id: SourceId) -> Result<(), Failure> {
        self.syncer.remove(id).wait()?
    }
}

/// A path as JSON can tell it, whatever its bytes.
pub fn told_path(path: &Path) -> PathBuf {
    PathBuf::from(path.to_string_lossy().into_owned())
}
