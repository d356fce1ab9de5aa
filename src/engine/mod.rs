//! Models: what embeds and what writes, behind two plain blocking traits and their lanes.
//!
//! The only place that knows ONNX Runtime, fastembed and llama.cpp. Knows nothing of the store.
//! Async code holds an [`EmbedderHandle`] or a [`GeneratorHandle`]; an embedding model lives on its
//! lane's thread, a language model in a process of its own.

pub mod generate;
mod grammar;
pub mod graph;
pub mod install;
pub mod llama;
pub mod manifest;
mod markup;
pub mod onnx;
pub mod rerank;
pub mod server;
pub mod speech;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use generate::Generator;
use tokio::sync::oneshot;

use crate::error::{Fault, Kind};
use crate::lane::{Lane, LaneError, Priority, Reply, promise};

/// Why a model could not do its part.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A model that is named in the settings or on the command line is not installed.
    #[error("the model `{name}` is not installed")]
    NotInstalled {
        /// Its name.
        name: String,
    },
    /// A name that neither the manifest nor the models folder knows.
    #[error("there is no model named `{name}`")]
    NoSuchModel {
        /// The name.
        name: String,
        /// The nearest known name.
        nearest: Option<String>,
    },
    /// A model file that cannot be loaded.
    #[error("cannot load {}: {reason}", path.display())]
    Unloadable {
        /// The file.
        path: PathBuf,
        /// What the engine said of it.
        reason: String,
    },
    /// An adapter that cannot be laid on the model.
    #[error("cannot load the adapter {}: {reason}", path.display())]
    UnloadableAdapter {
        /// Its file.
        path: PathBuf,
        /// What the engine said of it.
        reason: String,
    },
    /// A download or an unpacking that failed.
    #[error("cannot install `{name}`: {reason}")]
    Install {
        /// The model.
        name: String,
        /// What went wrong.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// The file system failed.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Running a model failed.
    #[error("the model failed: {reason}")]
    Run {
        /// What the engine said.
        reason: String,
    },
    /// A prompt that cannot fit the model's context.
    #[error("the prompt is too long: {what}")]
    PromptTooLong {
        /// How long it is, and what fits; in a server's own words where it is one.
        what: String,
    },
    /// A grammar that cannot be read, or that no text of the model can meet.
    #[error("the grammar cannot be used: {reason}")]
    Grammar {
        /// What is wrong with it.
        reason: String,
    },
    /// A grammar that would hold up everybody who asks the model something.
    #[error("the grammar takes too long to be met: {reason}")]
    CostlyGrammar {
        /// What is too much about it.
        reason: String,
    },
    /// Something that this kind of language model cannot do.
    #[error("{model} cannot do this: {what}")]
    Unsupported {
        /// The model.
        model: String,
        /// What was asked.
        what: &'static str,
    },
    /// What may be spent today does not allow it.
    #[error("the remote model may not be asked any more today: {reason}")]
    Limit {
        /// What was spent, of what, and what this may take.
        reason: String,
    },
    /// A server that runs a model cannot be reached, or does not go on.
    #[error("the model server {url} {what}")]
    Unreachable {
        /// Its address.
        url: String,
        /// What it does, or does not.
        what: String,
        /// Whether anything may have come to it.
        sent: bool,
    },
    /// A server that runs a model does not do what it is asked. What it says may hold what it was
    /// sent: it is for who asks, and not for logs.
    #[error("the model server {url} {said}")]
    Refused {
        /// Its address.
        url: String,
        /// What it said.
        said: String,
    },
    /// The lane did not take or do the job.
    #[error(transparent)]
    Lane(#[from] LaneError),
}

impl EngineError {
    pub(crate) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io {
            path: path.into(),
            source,
        }
    }
}

impl Fault for EngineError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotInstalled { .. } | Self::Unreachable { .. } | Self::Refused { .. } => {
                Kind::NotReady
            }
            Self::NoSuchModel { .. } => Kind::NotFound,
            Self::Unloadable { .. }
            | Self::UnloadableAdapter { .. }
            | Self::PromptTooLong { .. }
            | Self::Install { .. }
            | Self::Grammar { .. }
            | Self::CostlyGrammar { .. }
            | Self::Unsupported { .. } => Kind::BadInput,
            Self::Io { .. } | Self::Run { .. } => Kind::Ours,
            Self::Limit { .. } => Kind::Conflict,
            Self::Lane(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotInstalled { .. } => "model_not_installed",
            Self::NoSuchModel { .. } => "no_such_model",
            Self::Unloadable { .. } => "model_unloadable",
            Self::UnloadableAdapter { .. } => "adapter_unloadable",
            Self::Install { .. } => "install_failed",
            Self::Io { .. } => "engine_io",
            Self::Run { .. } => "model_failed",
            Self::PromptTooLong { .. } => "prompt_too_long",
            Self::Grammar { .. } => "bad_grammar",
            Self::CostlyGrammar { .. } => "costly_grammar",
            Self::Unsupported { .. } => "unsupported",
            Self::Limit { .. } => "remote_limit",
            Self::Unreachable { .. } => "model_server_unreachable",
            Self::Refused { .. } => "model_server_refused",
            Self::Lane(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotInstalled { name } => Some(format!("run `coho models install {name}`")),
            Self::NoSuchModel { nearest, .. } => Some(nearest.as_ref().map_or_else(
                || "`coho models list` shows what there is".to_owned(),
                |name| format!("did you mean `{name}`?"),
            )),
            Self::Unloadable { .. } => {
                Some("is the file complete? install or add the model again".into())
            }
            Self::UnloadableAdapter { .. } => Some(
                "is it an adapter of this model, as a GGUF file? `models.lora` names it; leave it \
                 empty for none"
                    .into(),
            ),
            Self::Install { hint, .. } => Some(hint.clone()),
            Self::PromptTooLong { .. } => Some("ask with fewer passages (`--k`)".into()),
            Self::Refused { .. } => Some(
                "does it have the model that `models.server.model` names, `remote.model` or \
                 `speech.model`, and is the address right?"
                    .into(),
            ),
            Self::Limit { .. } => Some(
                "ask without it, tomorrow, or raise `remote.tokens_per_day` and \
                 `remote.money_per_day`"
                    .into(),
            ),
            Self::Unreachable { .. } => Some(
                "is it running? `models.server.url` says where the language model is looked for, \
                 `remote.url` the remote one, `speech.url` the voice"
                    .into(),
            ),
            Self::Lane(error) => error.hint(),
            Self::Unsupported { .. } => Some("use a model in a file (`coho models list`)".into()),
            Self::Grammar { .. } => {
                Some("a GBNF grammar has a rule `root`; a JSON Schema is an object".into())
            }
            Self::CostlyGrammar { .. } => Some(
                "ask for a simpler form: smaller, less deep, with fewer repetitions in its patterns"
                    .into(),
            ),
            Self::Io { .. } | Self::Run { .. } => None,
        }
    }
}

/// Turns texts into unit vectors.
pub trait Embedder {
    /// One unit vector per text, in order, each of the model's dimensions.
    ///
    /// # Errors
    /// [`EngineError::Run`].
    fn embed(&mut self, texts: &[String]) -> Result<Vec<Vec<f32>>, EngineError>;
}

/// Memory of this process, where the system tells.
pub fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Passages per run of the embedding model; more pad worse and fall out of the cache.
const EMBED_BATCH: usize = 4;

/// So few passages are not background work.
const HANDFUL: usize = 2 * EMBED_BATCH;

/// Queries that are embedded together at most, and bytes of one that goes with others.
const QUERIES_AT_ONCE: usize = 8;
const SHORT_QUERY: usize = 200;

/// Jobs that wait at most, before others are told "busy".
const QUEUE: usize = 64;

type Loaded = Result<Box<dyn Embedder>, EngineError>;
type Load = dyn Fn() -> Loaded + Send + Sync;

/// A model that is loaded when it is needed first, and may be let go again.
struct Lazy {
    load: Arc<Load>,
    loaded: Option<Loaded>,
    used: Instant,
}

impl Lazy {
    fn embed(&mut self, texts: &[String]) -> Result<Vec<Vec<f32>>, EngineError> {
        let load = Arc::clone(&self.load);
        self.used = Instant::now();
        match self.loaded.get_or_insert_with(|| load()) {
            Ok(embedder) => embedder.embed(texts),
            Err(error) => Err(error.again()),
        }
    }
}

/// The embedding model's two lanes: queries, which somebody waits for, and passages, which yield
/// the processor to everything else. Each has its own copy of the model, so that a query never
/// waits for a batch; that of the passages is loaded while there are some.
#[derive(Clone)]
pub struct EmbedderHandle {
    queries: Arc<Lane<Lazy>>,
    passages: Arc<Lane<Lazy>>,
    embedded: Arc<AtomicU64>,
    /// Queries that wait; while there are some, a job for them is on its way.
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// A query that waits for its vector.
type Asked = (String, oneshot::Sender<Result<Vec<f32>, EngineError>>);

impl EmbedderHandle {
    /// Starts the lanes. `load` runs at once for queries, and once more for passages when the
    /// first come.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn spawn(load: impl Fn() -> Loaded + Send + Sync + 'static) -> std::io::Result<Self> {
        let load: Arc<Load> = Arc::new(load);
        let for_queries = Arc::clone(&load);
        let (ready, wait) = std::sync::mpsc::sync_channel::<()>(1);
        let queries = Lane::spawn("coho-query", QUEUE, move || {
            let loaded = Some(for_queries());
            let _ = ready.send(());
            Lazy {
                loaded,
                load: for_queries,
                used: Instant::now(),
            }
        })?;
        let passages = Lane::spawn("coho-embed", QUEUE, move || {
            // What both need once (ONNX Runtime itself) is not loaded by the one that yields: on a
            // busy machine everybody would wait for it.
            let _ = wait.recv();
            // The threads of the model are started from here and inherit this.
            crate::lane::yield_to_others();
            Lazy {
                load,
                loaded: None,
                used: Instant::now(),
            }
        })?;
        Ok(Self {
            queries: Arc::new(queries),
            passages: Arc::new(passages),
            embedded: Arc::new(AtomicU64::new(0)),
            asked: Arc::default(),
        })
    }

    /// Embeds one query, and with it those that came while another was embedded: several cost
    /// little more than one.
    ///
    /// # Errors
    /// [`EngineError::Lane`] when the queue is full.
    pub fn query(&self, text: String) -> Result<Reply<Result<Vec<f32>, EngineError>>, EngineError> {
        let (send, reply) = promise("the embedding model");
        let theirs = Arc::clone(&self.asked);
        let mut waiting = lock(&self.asked);
        if waiting.len() >= QUEUE {
            let (lane, capacity) = ("the embedding model", QUEUE);
            return Err(LaneError::Busy { lane, capacity }.into());
        }
        if waiting.is_empty() {
            self.queries
                .hand(Priority::Urgent, move |model| embed_queries(model, &theirs))?;
        }
        waiting.push((text, send));
        Ok(reply)
    }

    /// Embeds a few short texts with the urgency of a query, those of like length together; blocks.
    ///
    /// # Errors
    /// What the model says; [`EngineError::Lane`] when the queue is full.
    pub fn few(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, EngineError> {
        let job = move |model: &mut Lazy| {
            let mut order: Vec<usize> = (0..texts.len()).collect();
            order.sort_by_key(|i| texts[*i].len());
            let mut vectors = vec![Vec::new(); texts.len()];
            for batch in order.chunks(EMBED_BATCH) {
                let batch_texts: Vec<String> = batch.iter().map(|i| texts[*i].clone()).collect();
                for (i, vector) in batch.iter().zip(model.embed(&batch_texts)?) {
                    vectors[*i] = vector;
                }
            }
            Ok(vectors)
        };
        self.queries.submit(Priority::Urgent, job)?.wait()?
    }

    /// Lets the copy of the model go that embeds passages, if it was not used for `idle`; the next
    /// passages load it again. Says whether it is gone.
    pub fn rest(&self, idle: Duration) -> bool {
        let submitted = self.passages.submit(Priority::Bulk, move |model| {
            if model.used.elapsed() >= idle {
                model.loaded = None;
            }
            model.loaded.is_none()
        });
        // An abandoned job would not run, and neither does one that nobody takes.
        submitted.is_ok_and(|reply| reply.wait().unwrap_or(false))
    }

    /// Embeds passages; blocks. Batches are of like length, because each is padded to its longest.
    /// `done` hears of every finished batch. A handful has the urgency of a query: somebody who
    /// saved a note looks for it next, however busy the machine is.
    ///
    /// # Errors
    /// What the model says.
    pub fn passages(
        &self,
        texts: Vec<String>,
        mut done: impl FnMut(usize),
    ) -> Result<Vec<Vec<f32>>, EngineError> {
        if (1..=HANDFUL).contains(&texts.len()) {
            match self.few(texts.clone()) {
                Err(EngineError::Lane(LaneError::Busy { .. })) => {}
                Err(error) => return Err(error),
                Ok(vectors) => {
                    let count = vectors.len();
                    self.embedded.fetch_add(count as u64, Ordering::Relaxed);
                    done(count);
                    return Ok(vectors);
                }
            }
        }
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|i| std::cmp::Reverse(texts[*i].len()));
        let mut texts: Vec<Option<String>> = texts.into_iter().map(Some).collect();
        let mut vectors: Vec<Vec<f32>> = vec![Vec::new(); texts.len()];
        let mut waiting: VecDeque<(Vec<usize>, Reply<_>)> = VecDeque::new();
        let mut batches = order.chunks(EMBED_BATCH);
        loop {
            // Two in flight: the lane never waits for us, and a query waits for one batch at most.
            while waiting.len() < 2 {
                let Some(batch) = batches.next() else { break };
                let take = |i: &usize| texts[*i].take().expect("each text is taken once");
                let batch_texts: Vec<String> = batch.iter().map(take).collect();
                let reply = self
                    .passages
                    .submit(Priority::Bulk, move |model| model.embed(&batch_texts))?;
                waiting.push_back((batch.to_vec(), reply));
            }
            let Some((batch, reply)) = waiting.pop_front() else {
                return Ok(vectors);
            };
            for (i, vector) in batch.iter().zip(reply.wait()??) {
                vectors[*i] = vector;
            }
            self.embedded
                .fetch_add(batch.len() as u64, Ordering::Relaxed);
            done(batch.len());
        }
    }

    /// Passages embedded since the start.
    pub fn embedded(&self) -> u64 {
        self.embedded.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Embeds the queries that wait, as many short ones together as go together.
fn embed_queries(model: &mut Lazy, asked: &Mutex<Vec<Asked>>) {
    let mut waiting = std::mem::take(&mut *lock(asked));
    // Who has gone away needs no answer.
    waiting.retain(|(_, send)| !send.is_closed());
    let mut waiting = VecDeque::from(waiting);
    while !waiting.is_empty() {
        let short = |(text, _): &&Asked| text.len() <= SHORT_QUERY;
        // All are padded to the longest: a long one goes alone.
        let together = waiting.iter().take(QUERIES_AT_ONCE).take_while(short);
        let together = together.count().max(1);
        let (texts, senders): (Vec<String>, Vec<_>) = waiting.drain(..together).unzip();
        match model.embed(&texts) {
            Ok(vectors) => {
                for (send, vector) in senders.into_iter().zip(vectors) {
                    let _ = send.send(Ok(vector));
                }
            }
            Err(error) => {
                for send in senders {
                    let _ = send.send(Err(error.again()));
                }
            }
        }
    }
}

impl EngineError {
    /// The same error for the next one who asks: a model that did not load stays unloaded.
    fn again(&self) -> Self {
        match self {
            Self::NotInstalled { name } => Self::NotInstalled { name: name.clone() },
            Self::Unloadable { path, reason } => Self::Unloadable {
                path: path.clone(),
                reason: reason.clone(),
            },
            Self::Io { path, source } => Self::Unloadable {
                path: path.clone(),
                reason: source.to_string(),
            },
            other => Self::Run {
                reason: other.to_string(),
            },
        }
    }
}

/// The language model, by its name.
#[derive(Clone)]
pub struct GeneratorHandle {
    name: Arc<str>,
    model: Arc<dyn Generator>,
}

impl GeneratorHandle {
    /// A model under a name.
    pub fn new(name: &str, model: impl Generator + 'static) -> Self {
        Self {
            name: name.into(),
            model: Arc::new(model),
        }
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl std::ops::Deref for GeneratorHandle {
    type Target = dyn Generator;

    fn deref(&self) -> &Self::Target {
        &*self.model
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    struct Fake;

    impl Embedder for Fake {
        fn embed(&mut self, texts: &[String]) -> Result<Vec<Vec<f32>>, EngineError> {
            #[expect(clippy::cast_precision_loss, reason = "lengths of a few letters")]
            let vector = |text: &String| vec![text.len() as f32];
            Ok(texts.iter().map(vector).collect())
        }
    }

    #[test]
    fn a_handful_of_passages_is_no_background_work() {
        static LOADED: AtomicUsize = AtomicUsize::new(0);
        let handle = EmbedderHandle::spawn(|| {
            LOADED.fetch_add(1, Ordering::Relaxed);
            Ok(Box::new(Fake))
        });
        let handle = handle.unwrap();
        let texts = |count: usize| (1..=count).map(|n| "x".repeat(n)).collect::<Vec<_>>();
        let mut told = 0;
        let few = handle.passages(texts(HANDFUL), |n| told += n).unwrap();
        assert_eq!((few[0][0], few[2][0]), (1.0, 3.0));
        assert_eq!((LOADED.load(Ordering::Relaxed), told), (1, HANDFUL));
        let many = handle.passages(texts(HANDFUL + 1), |n| told += n).unwrap();
        assert_eq!((many.len(), many[8][0]), (HANDFUL + 1, 9.0));
        assert_eq!(LOADED.load(Ordering::Relaxed), 2);
        assert_eq!((handle.embedded(), told), (17, 17));
        assert!(handle.passages(Vec::new(), |_| {}).unwrap().is_empty());
    }

    static GATE: Mutex<()> = Mutex::new(());
    static BATCHES: Mutex<Vec<usize>> = Mutex::new(Vec::new());

    struct Gated;

    impl Embedder for Gated {
        fn embed(&mut self, texts: &[String]) -> Result<Vec<Vec<f32>>, EngineError> {
            BATCHES.lock().unwrap().push(texts.len());
            drop(GATE.lock());
            Fake.embed(texts)
        }
    }

    #[test]
    fn queries_that_come_meanwhile_are_embedded_together() {
        let handle = EmbedderHandle::spawn(|| Ok(Box::new(Gated))).unwrap();
        let gate = GATE.lock().unwrap();
        let first = handle.query("a".into()).unwrap();
        while BATCHES.lock().unwrap().is_empty() {
            std::thread::yield_now();
        }
        let long = "x".repeat(SHORT_QUERY + 1);
        let texts = ["bb", "ccc", "dropped", &long, "dddd"];
        let mut replies: Vec<_> = texts.iter().map(|t| handle.query((*t).into())).collect();
        drop(replies.remove(2));
        drop(gate);
        assert_eq!(first.wait().unwrap().unwrap(), [1.0]);
        let lengths: Vec<f32> = replies
            .into_iter()
            .map(|reply| reply.unwrap().wait().unwrap().unwrap()[0])
            .collect();
        assert_eq!(lengths, [2.0, 3.0, 201.0, 4.0]);
        assert_eq!(*BATCHES.lock().unwrap(), [1, 2, 1, 1]);
    }
}
