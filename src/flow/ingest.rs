//! Ingestion: brings what is visible in line with a source's folder.
//!
//! One scan decides what changed; only that is read. A rename embeds nothing, a touched file is
//! hashed and left alone, an edit embeds the chunks that are new. Work is committed in groups, so
//! that a long run shows results early and an interrupted one keeps them. One bad file never stops
//! a run: it becomes a [`Problem`] with a reason.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::scan::{self, Found, ScanError};
use super::space::{Space, Spaces};
use super::writeback;
use crate::domain::chunk::{self, ChunkId, Sections, TokenStarts};
use crate::domain::language::Language;
use crate::domain::source::{DocumentId, Kind, SourceId, shown_name};
use crate::engine::EngineError;
use crate::error::Fault;
use crate::extract::{Extracted, Extractor, Skip, Unread, WorkerLimits, is_for_want_of_time};
use crate::store::documents::{FileStat, Ingested, Known};
use crate::store::ledger::Snapshot;
use crate::store::problems::{KnownProblem, Problem};
use crate::store::sources::{self, RootId, Source};
use crate::store::{Change, Store, StoreError};

/// A group is committed when it holds this many new chunks…
const GROUP_CHUNKS: usize = 256;
/// …or this many documents.
const GROUP_DOCUMENTS: usize = 128;

/// Larger files are read behind the others: they may take minutes.
const LARGE_BYTES: u64 = 256 << 10;

/// Prose from which a document's language is told.
const LANGUAGE_BYTES: usize = 8 << 10;

/// A file whose time stamp is younger than this may have changed again within the same tick.
const RACY: Duration = Duration::from_secs(2);

/// How ingestion reads and cuts.
#[derive(Clone, Debug)]
pub struct IngestOptions {
    /// Limits of the extraction worker.
    pub worker: WorkerLimits,
    /// Larger files are left out, with a reason.
    pub max_file_bytes: u64,
    /// The ledger is copied by itself when its last copy is older than this.
    pub backup_age: Duration,
}

impl IngestOptions {
    /// The recipe by which documents are read, with the limits that a file may exceed: where one of
    /// them changes, what could not be read is tried again.
    fn reading(&self, recipe: &str) -> String {
        let worker = &self.worker;
        format!(
            "{recipe} {}/{}/{}/{}",
            self.max_file_bytes,
            worker.timeout.as_secs(),
            worker.memory_bytes,
            worker.output_bytes
        )
    }
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
    /// Files left out from this run on, with the reason.
    pub problems: Vec<ReportedProblem>,
    /// How many files are of kinds that coho does not read, by ending.
    #[serde(default)]
    pub not_read: BTreeMap<String, usize>,
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
            Self::Scan(ScanError::Root { .. } | ScanError::Away { .. }) => "source_unreadable",
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
            Self::Scan(ScanError::Away { .. }) => Some(
                "mount it again; if the notes are really gone, `coho sources remove` forgets them"
                    .into(),
            ),
            Self::Scan(ScanError::Pattern { .. }) => None,
            Self::Store(error) => error.hint(),
            Self::Engine(error) => error.hint(),
            Self::Stopped => Some("`coho sync` goes on where it ended".into()),
        }
    }
}

/// How a run goes on where a file is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// With the next one.
    GoOn,
    /// With the next one, once [`Turns::make_room`] has done what else waits for the thread.
    MakeRoom,
    /// Not at all; what was read is kept.
    Stop,
    /// Not at all, and what was read is not wanted any more.
    Drop,
}

/// Who says how a run goes on. A flag alone stops it.
pub trait Turns {
    /// How it goes on now.
    fn turn(&self) -> Turn;

    /// Does what else waits for the thread. Nothing of the run is half written then.
    fn make_room(&self) {}
}

impl Turns for AtomicBool {
    fn turn(&self) -> Turn {
        if self.load(Ordering::Relaxed) {
            Turn::Stop
        } else {
            Turn::GoOn
        }
    }
}

/// The pipeline. All of it that writes runs on one thread: the indexes have one writer.
pub struct Ingest {
    // Before the store, which holds the data folder's lock: who gets that finds no writer of the
    // indexes at work.
    spaces: Arc<Spaces>,
    store: Arc<Store>,
    extractor: Extractor,
    options: IngestOptions,
    now_ms: fn() -> i64,
    /// Chunks that the next embedding model has yet to embed, as far as they were looked for.
    to_build: Mutex<Vec<ChunkId>>,
    /// Did mending begin that has not ended?
    ailing: AtomicBool,
}

/// What [`Ingest::heal`] mended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Healed {
    /// Documents whose terms were missing.
    pub documents: usize,
    /// Chunks whose vectors were missing.
    pub chunks: usize,
    /// Vectors and terms that nobody could see.
    pub orphans: usize,
}

impl Ingest {
    /// A pipeline into `store`; `now_ms` is the clock.
    pub fn new(
        store: Arc<Store>,
        spaces: Arc<Spaces>,
        options: IngestOptions,
        now_ms: fn() -> i64,
    ) -> Self {
        Self {
            store,
            spaces,
            extractor: Extractor::new(options.worker.clone()),
            options,
            now_ms,
            to_build: Mutex::default(),
            ailing: AtomicBool::new(false),
        }
    }

    /// Writes again what the ledger shows and an index lacks, and removes what it does not show.
    ///
    /// # Errors
    /// [`IngestError`].
    pub fn heal(&self, turns: &dyn Turns) -> Result<Healed, IngestError> {
        self.ailing.store(true, Ordering::Relaxed);
        let space = self.spaces.current();
        let (vectors, terms) = self.store.drop_orphans(&space.indexes)?;
        let documents = self.store.heal_terms(&space.indexes)?;
        let mut healed = Healed {
            documents,
            chunks: 0,
            orphans: vectors + terms,
        };
        let missing = self.store.missing_vectors(&space.indexes)?;
        for group in missing.chunks(GROUP_CHUNKS) {
            match turns.turn() {
                Turn::GoOn => {}
                Turn::MakeRoom | Turn::Drop => turns.make_room(),
                Turn::Stop => return Err(IngestError::Stopped),
            }
            self.embed_again(&space, group)?;
            healed.chunks += group.len();
        }
        self.ailing.store(false, Ordering::Relaxed);
        Ok(healed)
    }

    /// Makes the indexes anew that were deleted while they were in use, and goes on with mending that
    /// has not ended.
    ///
    /// # Errors
    /// [`IngestError`].
    pub fn mend(&self, turns: &dyn Turns) -> Result<(), IngestError> {
        let space = self.spaces.current();
        if !space.indexes.are_there() {
            let model = space.indexes.model();
            tracing::error!(model, "the indexes are gone: they are made anew");
            // One without the other is not of the same time.
            self.store.discard_indexes(model)?;
            self.ailing.store(true, Ordering::Relaxed);
            self.spaces
                .renew(self.store.indexes(space.indexes.space())?);
        }
        if self.ailing.load(Ordering::Relaxed) {
            self.heal(turns)?;
        }
        Ok(())
    }

    fn embed_again(&self, space: &Space, chunks: &[ChunkId]) -> Result<(), IngestError> {
        let found = self.store.ledger().read(|snapshot| {
            let mut found = Vec::with_capacity(chunks.len());
            for id in chunks {
                // What is gone since it was listed needs no vector.
                if let Some((heading, text)) = snapshot.chunk_text(*id)? {
                    found.push((*id, chunk::embedded_text(&heading, &text)));
                }
            }
            Ok::<_, StoreError>(found)
        })?;
        let (ids, texts): (Vec<ChunkId>, Vec<String>) = found.into_iter().unzip();
        let vectors = space.embedder.passages(texts, |_| {})?;
        let rows: Vec<_> = ids.into_iter().zip(vectors).collect();
        Ok(self.store.heal_vectors(&space.indexes, &rows)?)
    }

    /// Takes a source out, with all that came from it; its files are not touched.
    ///
    /// # Errors
    /// [`StoreError::NoSource`], [`StoreError::StillRead`], or what the stores say.
    pub fn remove(&self, id: SourceId) -> Result<(), StoreError> {
        let ledger = self.store.ledger();
        if !ledger.write(|transaction| sources::remove_source(transaction, id))? {
            return Err(StoreError::NoSource { id });
        }
        let space = self.spaces.current();
        self.store.collect_garbage(&space.indexes)?;
        self.store.drop_removed_terms(&space.indexes)?;
        if let Some(next) = self.spaces.next() {
            self.store.drop_orphans(&next.indexes)?;
        }
        writeback::drop_states(&self.store)?;
        // It was taken out; its text is not to be found in what is left free.
        self.store.purge()
    }

    /// Takes one step towards the embedding model that was chosen: embeds a group of chunks for
    /// it, and puts it in use once none is missing. Returns how many chunks are left, or `None`
    /// when there is nothing to build.
    ///
    /// Runs on the thread that ingests, so that nothing changes between the last look and the
    /// switch. Interrupted, it goes on where it was.
    ///
    /// # Errors
    /// [`IngestError`].
    pub fn build_next(&self) -> Result<Option<usize>, IngestError> {
        let Some(next) = self.spaces.next() else {
            return Ok(None);
        };
        let mut missing = self.to_build.lock().unwrap_or_else(PoisonError::into_inner);
        if missing.is_empty() {
            // Also what came since the last look.
            *missing = self.store.missing_vectors(&next.indexes)?;
        }
        if !missing.is_empty() {
            let left = missing.len().saturating_sub(GROUP_CHUNKS);
            let group = missing.split_off(left);
            self.embed_again(&next, &group)?;
            return Ok(Some(left + 1));
        }
        self.store.heal_terms(&next.indexes)?;
        self.store.drop_orphans(&next.indexes)?;
        self.store.switch_to(&next.indexes)?;
        self.spaces.switch();
        tracing::info!(
            model = next.indexes.space().model,
            "switched the embedding model"
        );
        Ok(Some(0))
    }

    /// Lets go what is only needed to ingest: the worker, and a copy of the embedding model, if that
    /// was not used for `idle`. Says whether all of it is gone.
    pub fn sleep(&self, idle: Duration) -> bool {
        self.extractor.rest();
        let asleep = self.spaces.current().embedder.rest(idle);
        crate::memory::give_back();
        asleep
    }

    /// Tidies up in a quiet moment.
    ///
    /// # Errors
    /// [`IngestError`].
    pub fn rest(&self) -> Result<(), IngestError> {
        let space = self.spaces.current();
        let tidied = self.store.rest(&space.indexes, self.options.backup_age);
        crate::memory::give_back();
        Ok(tidied?)
    }

    /// Readies the indexes for many searches.
    pub fn warm(&self) {
        self.spaces.current().indexes.warm();
    }

    /// Brings one source in line with its folder. `progress` hears of every step; `turns` says between
    /// two files how it goes on.
    ///
    /// # Errors
    /// [`IngestError`].
    pub fn sync(
        &self,
        source: &Source,
        progress: &dyn Fn(&Progress),
        turns: &dyn Turns,
    ) -> Result<Report, IngestError> {
        let outcome = self.sync_reachable(source, progress, turns);
        if let Err(IngestError::Scan(error)) = &outcome {
            let reason = error.to_string();
            self.store
                .ledger()
                .write(|transaction| sources::mark_away(transaction, source.id, &reason))?;
        }
        outcome
    }

    fn sync_reachable(
        &self,
        source: &Source,
        progress: &dyn Fn(&Progress),
        turns: &dyn Turns,
    ) -> Result<Report, IngestError> {
        let started = Instant::now();
        let space = self.spaces.current();
        let found = scan::scan(source)?;
        let (known, failed) = self
            .store
            .ledger()
            .read(|s| Ok::<_, StoreError>((s.known(source.id)?, s.failed(source.id)?)))?;
        check_root(source, &found, &known)?;
        let reading = self.options.reading(&space.cutter.recipe);
        let plan = Plan::make(&found, &known, &failed, (&space.cutter.recipe, &reading));
        let mut run = Run {
            ingest: self,
            space: &space,
            source,
            reading,
            known: &known,
            failed: &failed,
            gone: plan.gone,
            change: Change {
                solved: plan.solved.into_iter().map(|p| (source.id, p)).collect(),
                ..Change::default()
            },
            fresh: Vec::new(),
            fresh_ids: HashSet::new(),
            group_bytes: 0,
            report: Report {
                source: source.id.0,
                unchanged: plan.unchanged,
                not_read: found.not_read.clone(),
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
        for (path, reason) in plan.problems {
            run.problem(path, reason, None);
        }
        progress(&run.progress);
        for (path, stat) in small_first(plan.read) {
            run.heed(turns)?;
            if stat.size > LARGE_BYTES {
                // Nobody waits for it who could have the others.
                run.flush()?;
            }
            run.file(&path, stat)?;
        }
        run.remove_gone();
        run.flush()?;
        let mut report = run.report;
        self.store.collect_garbage(&space.indexes)?;
        self.mark_synced(source, &found)?;
        if let Err(error) = self.store.purge() {
            tracing::warn!(%error, "what was removed is not gone from the ledger's files yet");
        }
        report.took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(report)
    }

    fn mark_synced(&self, source: &Source, found: &Found) -> Result<(), StoreError> {
        let mut mounts = source.mounts.clone();
        mounts.extend(found.mounts.iter().map(|(path, _)| path.clone()));
        mounts.sort();
        mounts.dedup();
        let now = (self.now_ms)();
        self.store.ledger().write(|transaction| {
            sources::mark_synced(transaction, source.id, found.root, &mounts, now)
        })
    }
}

/// Refuses another folder in the place of the root, when nothing that was known is in it.
fn check_root(
    source: &Source,
    found: &Found,
    known: &HashMap<String, Known>,
) -> Result<(), ScanError> {
    let same = source.root == RootId::default() || source.root == found.root;
    let any = known.is_empty() || known.keys().any(|path| found.files.contains_key(path));
    if same || any {
        return Ok(());
    }
    Err(ScanError::Away {
        root: source.path.clone(),
    })
}

/// What a scan means for the ledger.
struct Plan {
    read: Vec<(String, FileStat)>,
    gone: HashMap<[u8; 32], Vec<(String, DocumentId)>>,
    problems: Vec<(String, String)>,
    solved: Vec<String>,
    unchanged: usize,
}

impl Plan {
    fn make(
        found: &Found,
        known: &HashMap<String, Known>,
        failed: &HashMap<String, KnownProblem>,
        (recipe, reading): (&str, &str),
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
        let mut plan = Self {
            read: Vec::new(),
            gone: HashMap::new(),
            problems: Vec::new(),
            solved: Vec::new(),
            unchanged: 0,
        };
        for (path, stat) in &found.files {
            let read = known.get(path);
            let read = read.map(|k| stat.is_as(&k.stat) && k.recipe == recipe);
            let tried = failed.get(path).map(|problem| {
                let same = problem.stat.is_some_and(|then| stat.is_as(&then));
                same && problem.recipe == reading
            });
            match (read, tried) {
                // A document with a problem was read in part.
                (Some(true), None | Some(true)) => plan.unchanged += 1,
                (None, Some(true)) => {}
                _ => plan.read.push((path.clone(), *stat)),
            }
        }
        plan.read.sort_by(|a, b| a.0.cmp(&b.0));
        // A new file with the bytes of one that is gone is that one under another name. Neither times
        // nor inode tell: archives keep the former, and file systems use the latter again.
        for (path, k) in gone {
            let same = plan.gone.entry(k.hash).or_default();
            same.push((path.clone(), k.id));
        }
        let listed = || found.unreadable.iter().chain(&found.skipped);
        let news = |(path, reason): &&(String, String)| {
            failed.get(path).is_none_or(|known| known.reason != *reason)
        };
        plan.problems = listed().filter(news).cloned().collect();
        let listed: HashSet<&String> = listed().map(|(path, _)| path).collect();
        let over = |path: &&String| {
            !found.files.contains_key(*path) && !listed.contains(path) && !hidden(path)
        };
        plan.solved = failed.keys().filter(over).cloned().collect();
        plan
    }
}

/// Files in the order in which they are read: large ones behind the others, smallest first.
fn small_first(mut files: Vec<(String, FileStat)>) -> Vec<(String, FileStat)> {
    files.sort_by_key(|(_, stat)| {
        if stat.size > LARGE_BYTES {
            stat.size
        } else {
            0
        }
    });
    files
}

/// What decides how a file is read: another ending may mean another format.
fn ending(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or(name, |(_, ending)| ending)
}

/// One run over one source.
struct Run<'a> {
    ingest: &'a Ingest,
    space: &'a Space,
    source: &'a Source,
    /// As [`IngestOptions::reading`].
    reading: String,
    known: &'a HashMap<String, Known>,
    failed: &'a HashMap<String, KnownProblem>,
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
    /// Goes on as it is told; an error ends the run.
    fn heed(&mut self, turns: &dyn Turns) -> Result<(), IngestError> {
        match turns.turn() {
            Turn::GoOn => Ok(()),
            Turn::MakeRoom => {
                // What was read counts on chunks that other work may take away.
                self.flush()?;
                turns.make_room();
                Ok(())
            }
            Turn::Stop => {
                self.flush()?;
                Err(IngestError::Stopped)
            }
            Turn::Drop => Err(IngestError::Stopped),
        }
    }

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
            // A file that cannot be read just now keeps what was known of it, and is tried again.
            Err(error) => self.problem(path.to_owned(), error.to_string(), None),
        }
        if self.fresh.len() >= GROUP_CHUNKS || self.change.documents.len() >= GROUP_DOCUMENTS {
            self.flush()?;
        }
        Ok(())
    }

    fn bytes(&mut self, path: &str, bytes: &[u8], stat: FileStat) -> Result<(), IngestError> {
        let hash = *blake3::hash(bytes).as_bytes();
        let stat = self.aged(stat);
        let cutter = &self.space.cutter;
        if let Some(known) = self.known.get(path)
            && known.hash == hash
            && known.recipe == cutter.recipe
            && self.had_these_limits(path)
        {
            self.change.touched.push((known.id, stat));
            self.report.unchanged += 1;
            self.still_partial(path, stat);
            return Ok(());
        }
        if !self.known.contains_key(path)
            && let Some(id) = self.gone_with(hash, path)
        {
            self.moved(id, path.to_owned(), stat);
            return Ok(());
        }
        if is_private_key(bytes) {
            let reason = "private material: it is a private key";
            self.skip(path, reason.into(), stat);
            return Ok(());
        }
        // A file of another kind is here because the owner asked for it by name.
        let kind = Kind::of_path(path).unwrap_or(Kind::Text);
        let read = self.ingest.extractor.extract(kind, path, bytes);
        if self.is_read_in_part(path, hash) && lacked_time(&read) {
            // It may have had less time than the first one.
            self.keep_part(path, stat);
            return Ok(());
        }
        match read {
            Err(Unread::File(Skip(reason))) => self.skip(path, reason, stat),
            Err(Unread::Reader(reason)) => self.problem(path.to_owned(), reason, None),
            Ok(extracted) => {
                let tokens = cutter.tokens()?;
                let starts = tokens.starts(&extracted.outline.text);
                let passages = chunk::chunk(
                    &extracted.outline,
                    TokenStarts(&starts),
                    cutter.limits,
                    Sections::of(kind),
                    |text| tokens.count(text),
                );
                let prose = extracted.outline.prose(LANGUAGE_BYTES);
                if let Some(missing) = extracted.missing {
                    self.problem(path.to_owned(), missing, Some(stat));
                }
                let document = Ingested {
                    source: self.source.id,
                    path: path.to_owned(),
                    stat,
                    hash,
                    kind,
                    meta: extracted.meta,
                    recipe: cutter.recipe.clone(),
                    language: Language::detect(&prose),
                    passages,
                };
                self.document(document)?;
            }
        }
        Ok(())
    }

    /// Was a document that was read in part read within the same limits? Others may let in more of it.
    fn had_these_limits(&self, path: &str) -> bool {
        let partial = self.failed.get(path).filter(|p| p.stat.is_some());
        partial.is_none_or(|problem| problem.recipe == self.reading)
    }

    /// Was as much of these bytes read before as there was time for, within the same limits?
    fn is_read_in_part(&self, path: &str, hash: [u8; 32]) -> bool {
        let once = self.once();
        let known = self.known.get(path);
        let failed = self.failed.get(path);
        known.is_some_and(|k| k.hash == hash && k.recipe == self.space.cutter.recipe)
            && failed.is_some_and(|problem| problem.recipe == once)
    }

    /// Another try came to no end either: what the first one read stays.
    fn keep_part(&mut self, path: &str, stat: FileStat) {
        if let Some(known) = self.known.get(path) {
            self.change.touched.push((known.id, stat));
            self.report.unchanged += 1;
        }
        self.still_partial(path, stat);
    }

    /// What was missing of a document is missing as long as its bytes are the same.
    fn still_partial(&mut self, path: &str, stat: FileStat) {
        let failed = self.failed.get(path);
        // Without the state of the file, it was the file that could not be had.
        if let Some(partial) = failed.filter(|problem| problem.stat.is_some()) {
            let reason = partial.reason.clone();
            self.problem(path.to_owned(), reason, Some(stat));
        }
    }

    /// The state of a file that was read just now: one that changed a moment ago may change again
    /// without a trace in its times, and is looked at once more by the next run.
    fn aged(&self, stat: FileStat) -> FileStat {
        let now_ns = (self.ingest.now_ms)().saturating_mul(1_000_000);
        let young = now_ns - i64::try_from(RACY.as_nanos()).unwrap_or(i64::MAX);
        if stat.mtime_ns.max(stat.ctime_ns) > young {
            FileStat {
                ctime_ns: FileStat::YOUNG,
                ..stat
            }
        } else {
            stat
        }
    }

    /// A vanished document with these bytes whose name promises the same format.
    fn gone_with(&mut self, hash: [u8; 32], path: &str) -> Option<DocumentId> {
        let same = self.gone.get_mut(&hash)?;
        let recipe = &self.space.cutter.recipe;
        let fits = |old: &str| {
            let known = self.known.get(old);
            // What is missing of a document that was read in part is told again where it is read.
            let whole = !self.failed.contains_key(old);
            whole && ending(old) == ending(path) && known.is_some_and(|k| k.recipe == *recipe)
        };
        let at = same.iter().position(|(old, _)| fits(old))?;
        Some(same.swap_remove(at).1)
    }

    fn moved(&mut self, id: DocumentId, path: String, stat: FileStat) {
        let stat = self.aged(stat);
        self.change.moved.push((id, path, stat));
        self.report.moved += 1;
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
        let told = self.failed.get(&path).is_some_and(|f| f.reason == reason);
        if !told {
            self.report.problems.push(ReportedProblem {
                path: shown_name(&path),
                reason: reason.clone(),
            });
        }
        let recipe = self.tried(&path, &reason);
        self.change.problems.push(Problem {
            source: self.source.id,
            path,
            reason,
            stat,
            recipe,
        });
    }

    /// How a file was tried. What there was no time for is tried once more by the next run: while all
    /// else was read the machine had much to do.
    fn tried(&self, path: &str, reason: &str) -> String {
        let once = self.once();
        // What was tried twice, and is told again of a file that was only touched, was not tried once.
        let again = self.failed.get(path).is_some_and(|failed| {
            failed.recipe == once || failed.recipe == self.reading && failed.reason == reason
        });
        if is_for_want_of_time(reason) && !again {
            once
        } else {
            self.reading.clone()
        }
    }

    /// How a file was tried that is to be tried once more.
    fn once(&self) -> String {
        format!("{} once", self.reading)
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
        let vectors = self.space.embedder.passages(texts, |n| {
            embedded += n as u64;
            self.progress.chunks_embedded += n as u64;
            self.progress.bytes_done = before + self.group_bytes * embedded / all.max(1);
            (self.tell)(&self.progress);
        })?;
        self.report.chunks_embedded += all;
        self.change.vectors = ids.into_iter().zip(vectors).collect();
        let now = (self.ingest.now_ms)();
        let indexes = &self.space.indexes;
        self.ingest.store.commit(indexes, &self.change, now)?;
        self.change = Change::default();
        self.progress.bytes_done = before + self.group_bytes;
        self.group_bytes = 0;
        (self.tell)(&self.progress);
        Ok(())
    }
}

/// Did the time not suffice for all of a file?
fn lacked_time(read: &Result<Extracted, Unread>) -> bool {
    match read {
        Ok(extracted) => extracted
            .missing
            .as_deref()
            .is_some_and(is_for_want_of_time),
        Err(Unread::File(Skip(reason))) => is_for_want_of_time(reason),
        Err(Unread::Reader(_)) => false,
    }
}

/// Bytes in which a private key says that it is one.
const KEY_BYTES: usize = 8 << 10;

/// Is it a private key of whatever program, perhaps behind what describes it?
fn is_private_key(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(KEY_BYTES)];
    head.split(|byte| *byte == b'\n').any(|line| {
        let line = line.trim_ascii_start();
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        let begins = line.starts_with(b"-----BEGIN ");
        begins && line.windows(11).any(|window| window == b"PRIVATE KEY")
            || line.starts_with(b"PuTTY-User-Key-File-")
    })
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
