//! Ingestion: brings what is visible in line with a source's folder.
//!
//! One scan decides what changed; only that is read. A rename embeds nothing, a touched file is
//! hashed and left alone, an edit embeds the chunks that are new. Work is committed in groups, so
//! that a long run shows results early and an interrupted one keeps them. One bad file never stops
//! a run: it becomes a [`Problem`] with a reason.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::scan::{self, Found, ScanError};
use crate::domain::chunk::{self, ChunkId, Limits, TokenStarts};
use crate::domain::source::{DocumentId, Kind, SourceId};
use crate::engine::onnx::Tokens;
use crate::engine::{EmbedderHandle, EngineError};
use crate::error::Fault;
use crate::extract::{self, WorkerLimits};
use crate::store::ledger::{self, FileStat, Ingested, Known, Problem, Snapshot, Source};
use crate::store::{Change, Store, StoreError};

/// A group is committed when it holds this many new chunks…
const GROUP_CHUNKS: usize = 256;
/// …or this many documents.
const GROUP_DOCUMENTS: usize = 128;

/// A file whose time stamp is younger than this may have changed again within the same tick.
const RACY: Duration = Duration::from_secs(2);

/// How ingestion reads and cuts.
#[derive(Clone, Debug)]
pub struct IngestOptions {
    /// Sizes of chunks.
    pub limits: Limits,
    /// Limits of the extraction worker.
    pub worker: WorkerLimits,
    /// Larger files are left out, with a reason.
    pub max_file_bytes: u64,
}

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Progress {
    /// The source.
    pub source: i64,
    /// Files done, of those that changed.
    pub files_done: usize,
    /// Files that changed.
    pub files_total: usize,
    /// Bytes of files done.
    pub bytes_done: u64,
    /// Bytes of the files that changed.
    pub bytes_total: u64,
    /// Chunks embedded so far.
    pub chunks_embedded: u64,
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Report {
    /// The source.
    pub source: i64,
    /// Documents that are new.
    pub added: usize,
    /// Documents whose text changed.
    pub changed: usize,
    /// Documents that moved.
    pub moved: usize,
    /// Documents that are gone.
    pub removed: usize,
    /// Documents that were left as they are.
    pub unchanged: usize,
    /// Chunks embedded.
    pub chunks_embedded: u64,
    /// Files left out in this run, with the reason.
    pub problems: Vec<ReportedProblem>,
    /// Milliseconds that it took.
    pub took_ms: u64,
}

/// A file left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ReportedProblem {
    /// Path below the source's root.
    pub path: String,
    /// The reason.
    pub reason: String,
}

/// Why a run ended early. What it had committed stays.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The folder cannot be scanned.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The embedding model failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Someone asked it to stop.
    #[error("the run was stopped; what was done is kept")]
    Stopped,
}

impl Fault for IngestError {
    fn kind(&self) -> crate::error::Kind {
        match self {
            Self::Scan(_) => crate::error::Kind::BadInput,
            Self::Store(error) => error.kind(),
            Self::Engine(error) => error.kind(),
            Self::Stopped => crate::error::Kind::NotReady,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Scan(ScanError::Root { .. }) => "source_unreadable",
            Self::Scan(ScanError::Pattern { .. }) => "bad_pattern",
            Self::Store(error) => error.code(),
            Self::Engine(error) => error.code(),
            Self::Stopped => "stopped",
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::Scan(ScanError::Root { .. }) => Some(
                "is it mounted and readable? what was known of it stays until it is back".into(),
            ),
            Self::Scan(ScanError::Pattern { .. }) => None,
            Self::Store(error) => error.hint(),
            Self::Engine(error) => error.hint(),
            Self::Stopped => Some("`coho sync` goes on where it ended".into()),
        }
    }
}

/// The pipeline.
pub struct Ingest {
    store: Arc<Store>,
    embedder: EmbedderHandle,
    tokens: OnceLock<Tokens>,
    load_tokens: Box<dyn Fn() -> Result<Tokens, EngineError> + Send + Sync>,
    options: IngestOptions,
    now_ms: fn() -> i64,
}

impl Ingest {
    /// A pipeline into `store`; `load_tokens` gives the embedding model's tokenizer when the first
    /// file is cut, `now_ms` is the clock.
    pub fn new(
        store: Arc<Store>,
        embedder: EmbedderHandle,
        load_tokens: impl Fn() -> Result<Tokens, EngineError> + Send + Sync + 'static,
        options: IngestOptions,
        now_ms: fn() -> i64,
    ) -> Self {
        Self {
            store,
            embedder,
            tokens: OnceLock::new(),
            load_tokens: Box::new(load_tokens),
            options,
            now_ms,
        }
    }

    /// Writes again what the ledger shows and an index lacks; returns documents and chunks mended.
    ///
    /// # Errors
    /// [`IngestError`].
    pub fn heal(&self) -> Result<(usize, usize), IngestError> {
        let documents = self.store.heal_terms()?;
        let missing = self.store.missing_vectors()?;
        for group in missing.chunks(GROUP_CHUNKS) {
            let texts = self.store.ledger().read(|snapshot| {
                let text = |id: &ChunkId| -> Result<String, StoreError> {
                    let found = snapshot.chunk_text(*id)?;
                    Ok(found.map_or_else(String::new, |(h, t)| chunk::embedded_text(&h, &t)))
                };
                group.iter().map(text).collect::<Result<Vec<_>, _>>()
            })?;
            let vectors = self.embedder.passages(texts, |_| {})?;
            let rows: Vec<_> = group.iter().copied().zip(vectors).collect();
            self.store.heal_vectors(&rows)?;
        }
        Ok((documents, missing.len()))
    }

    /// Brings one source in line with its folder.
    ///
    /// `hinted` are paths of which an event spoke: they are looked at more closely. `progress`
    /// hears of every step; `stop` ends the run between two files.
    ///
    /// # Errors
    /// [`IngestError`].
    pub fn sync(
        &self,
        source: &Source,
        hinted: &HashSet<String>,
        progress: &dyn Fn(&Progress),
        stop: &AtomicBool,
    ) -> Result<Report, IngestError> {
        let started = Instant::now();
        let found = scan::scan(source)?;
        let (known, failed) = self
            .store
            .ledger()
            .read(|s| Ok((s.known(source.id)?, s.failed(source.id)?)))?;
        let plan = Plan::make(&found, &known, &failed, hinted, (self.now_ms)());
        let mut run = Run {
            ingest: self,
            source,
            known: &known,
            gone: plan.gone,
            change: Change {
                moved: plan.moved,
                solved: plan.solved.into_iter().map(|p| (source.id, p)).collect(),
                ..Change::default()
            },
            fresh: Vec::new(),
            fresh_ids: HashSet::new(),
            group_bytes: 0,
            report: Report {
                source: source.id.0,
                unchanged: plan.unchanged,
                ..Report::default()
            },
            progress: Progress {
                source: source.id.0,
                files_total: plan.read.len(),
                bytes_total: plan.read.iter().map(|(_, stat)| stat.size).sum(),
                ..Progress::default()
            },
            tell: progress,
        };
        run.report.moved = run.change.moved.len();
        for (path, reason) in &found.unreadable {
            run.problem(path.clone(), reason.clone(), None);
        }
        progress(&run.progress);
        for (path, stat) in plan.read {
            if stop.load(Ordering::Relaxed) {
                run.flush()?;
                return Err(IngestError::Stopped);
            }
            run.file(&path, stat)?;
        }
        run.remove_gone();
        run.flush()?;
        let mut report = run.report;
        self.store.collect_garbage()?;
        let now = (self.now_ms)();
        self.store
            .ledger()
            .write(|transaction| ledger::mark_synced(transaction, source.id, now))?;
        report.took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(report)
    }

    fn tokens(&self) -> Result<&Tokens, EngineError> {
        if self.tokens.get().is_none() {
            let loaded = (self.load_tokens)()?;
            let _ = self.tokens.set(loaded);
        }
        Ok(self.tokens.get().expect("it was set just now"))
    }
}

/// What a scan means for the ledger.
struct Plan {
    read: Vec<(String, FileStat)>,
    moved: Vec<(DocumentId, String, FileStat)>,
    gone: HashMap<[u8; 32], Vec<(String, DocumentId)>>,
    solved: Vec<String>,
    unchanged: usize,
}

impl Plan {
    fn make(
        found: &Found,
        known: &HashMap<String, Known>,
        failed: &HashMap<String, Option<FileStat>>,
        hinted: &HashSet<String>,
        now_ms: i64,
    ) -> Self {
        let hidden = |path: &str| {
            let mut below = found.unreadable.iter().map(|(p, _)| p);
            below.any(|p| p.is_empty() || path == p || path.starts_with(&format!("{p}/")))
        };
        let mut gone: Vec<(&String, &Known)> = known
            .iter()
            .filter(|(path, _)| !found.files.contains_key(*path) && !hidden(path))
            .collect();
        gone.sort_by_key(|(path, _)| *path);
        let mut by_stat: HashMap<FileStat, DocumentId> =
            gone.iter().map(|(_, k)| (k.stat, k.id)).collect();
        let mut plan = Self {
            read: Vec::new(),
            moved: Vec::new(),
            gone: HashMap::new(),
            solved: Vec::new(),
            unchanged: 0,
        };
        let young =
            now_ms.saturating_mul(1_000_000) - i64::try_from(RACY.as_nanos()).unwrap_or(i64::MAX);
        for (path, stat) in &found.files {
            match (known.get(path), failed.get(path)) {
                (Some(k), _) if k.stat == *stat => {
                    if hinted.contains(path) && stat.mtime_ns > young {
                        plan.read.push((path.clone(), *stat));
                    } else {
                        plan.unchanged += 1;
                    }
                }
                (None, Some(Some(then))) if then == stat => {}
                (None, _) if stat.inode != 0 && by_stat.contains_key(stat) => {
                    let id = by_stat.remove(stat).expect("it was there just now");
                    plan.moved.push((id, path.clone(), *stat));
                }
                _ => plan.read.push((path.clone(), *stat)),
            }
        }
        plan.read.sort_by(|a, b| a.0.cmp(&b.0));
        let moved: HashSet<DocumentId> = plan.moved.iter().map(|(id, ..)| *id).collect();
        for (path, k) in gone.into_iter().filter(|(_, k)| !moved.contains(&k.id)) {
            let same = plan.gone.entry(k.hash).or_default();
            same.push((path.clone(), k.id));
        }
        let over = |path: &&String| !found.files.contains_key(*path) && !hidden(path);
        plan.solved = failed.keys().filter(over).cloned().collect();
        plan
    }
}

/// One run over one source.
struct Run<'a> {
    ingest: &'a Ingest,
    source: &'a Source,
    known: &'a HashMap<String, Known>,
    gone: HashMap<[u8; 32], Vec<(String, DocumentId)>>,
    change: Change,
    fresh: Vec<(ChunkId, String)>,
    fresh_ids: HashSet<ChunkId>,
    group_bytes: u64,
    report: Report,
    progress: Progress,
    tell: &'a dyn Fn(&Progress),
}

impl Run<'_> {
    fn file(&mut self, path: &str, stat: FileStat) -> Result<(), IngestError> {
        self.group_bytes += stat.size;
        self.progress.files_done += 1;
        let limit = self.ingest.options.max_file_bytes;
        match scan::read(&self.source.path, path, limit) {
            Ok((bytes, stat)) => self.bytes(path, &bytes, stat)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
                let mebibytes = limit >> 20;
                let reason = format!("larger than {mebibytes} MiB (extract.max_file_mb)");
                self.skip(path, reason, stat);
            }
            // A file that cannot be read just now keeps what was known of it.
            Err(error) => self.problem(path.to_owned(), error.to_string(), Some(stat)),
        }
        if self.fresh.len() >= GROUP_CHUNKS || self.change.documents.len() >= GROUP_DOCUMENTS {
            self.flush()?;
        }
        Ok(())
    }

    fn bytes(&mut self, path: &str, bytes: &[u8], stat: FileStat) -> Result<(), IngestError> {
        let hash = *blake3::hash(bytes).as_bytes();
        if let Some(known) = self.known.get(path).filter(|known| known.hash == hash) {
            self.change.touched.push((known.id, stat));
            self.report.unchanged += 1;
            return Ok(());
        }
        if !self.known.contains_key(path)
            && let Some((_, id)) = self.gone.get_mut(&hash).and_then(Vec::pop)
        {
            self.change.moved.push((id, path.to_owned(), stat));
            self.report.moved += 1;
            return Ok(());
        }
        let kind = Kind::of_path(path).expect("a scan only finds files of known kinds");
        match extract::extract(kind, bytes, &self.ingest.options.worker) {
            Err(extract::Skip(reason)) => self.skip(path, reason, stat),
            Ok(extracted) => {
                let tokens = self.ingest.tokens()?;
                let starts = tokens.starts(&extracted.outline.text);
                let passages = chunk::chunk(
                    &extracted.outline,
                    TokenStarts(&starts),
                    self.ingest.options.limits,
                    |text| tokens.count(text),
                );
                let document = Ingested {
                    source: self.source.id,
                    path: path.to_owned(),
                    stat,
                    hash,
                    kind,
                    meta: extracted.meta,
                    passages,
                };
                self.document(document)?;
            }
        }
        Ok(())
    }

    fn document(&mut self, document: Ingested) -> Result<(), IngestError> {
        let ids: Vec<ChunkId> = document.passages.iter().map(|p| p.id).collect();
        let unknown = self.ingest.store.ledger().read(|s| s.unknown(&ids))?;
        for passage in &document.passages {
            if unknown.contains(&passage.id) && self.fresh_ids.insert(passage.id) {
                self.fresh.push((passage.id, passage.embedded_text()));
            }
        }
        if self.known.contains_key(&document.path) {
            self.report.changed += 1;
        } else {
            self.report.added += 1;
        }
        self.change.documents.push(document);
        Ok(())
    }

    /// The file is there but holds nothing that can be shown; what it held before is over.
    fn skip(&mut self, path: &str, reason: String, stat: FileStat) {
        if let Some(known) = self.known.get(path) {
            self.change.removed.push(known.id);
            self.report.removed += 1;
        }
        self.problem(path.to_owned(), reason, Some(stat));
    }

    fn problem(&mut self, path: String, reason: String, stat: Option<FileStat>) {
        self.report.problems.push(ReportedProblem {
            path: path.clone(),
            reason: reason.clone(),
        });
        self.change.problems.push(Problem {
            source: self.source.id,
            path,
            reason,
            stat,
        });
    }

    fn remove_gone(&mut self) {
        let gone: Vec<DocumentId> = self
            .gone
            .drain()
            .flat_map(|(_, v)| v)
            .map(|g| g.1)
            .collect();
        self.report.removed += gone.len();
        self.change.removed.extend(gone);
    }

    fn flush(&mut self) -> Result<(), IngestError> {
        let (ids, texts): (Vec<_>, Vec<_>) = self.fresh.drain(..).unzip();
        self.fresh_ids.clear();
        let (before, all) = (self.progress.bytes_done, texts.len() as u64);
        let mut embedded = 0;
        let vectors = self.ingest.embedder.passages(texts, |n| {
            embedded += n as u64;
            self.progress.chunks_embedded += n as u64;
            self.progress.bytes_done = before + self.group_bytes * embedded / all.max(1);
            (self.tell)(&self.progress);
        })?;
        self.report.chunks_embedded += all;
        self.change.vectors = ids.into_iter().zip(vectors).collect();
        let now = (self.ingest.now_ms)();
        self.ingest.store.commit(&self.change, now)?;
        self.change = Change::default();
        self.progress.bytes_done = before + self.group_bytes;
        self.group_bytes = 0;
        (self.tell)(&self.progress);
        Ok(())
    }
}

/// The source with this id.
///
/// # Errors
/// [`StoreError::NoSource`].
pub fn source(snapshot: &Snapshot<'_>, id: SourceId) -> Result<Source, StoreError> {
    let all = snapshot.sources()?;
    let found = all.into_iter().find(|source| source.id == id);
    found.ok_or(StoreError::NoSource { id })
}
