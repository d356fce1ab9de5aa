//! Watching: notices that a source may have changed and has it synced.
//!
//! File system events are hints, a scan is the truth: any event asks for a scan of its source once
//! things have been quiet for a moment, lost events ask for a scan of everything, and a scan runs
//! on a schedule and after the machine has slept. Requests coalesce: one runs, one waits. Owns the
//! thread on which all ingestion of a service happens; in quiet moments it builds the indexes of a
//! newly chosen embedding model and tidies up. Sources are taken out on it, too: the indexes have one
//! writer. A run makes room for that between two files, and ends there where it is over that source.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use serde::Serialize;
use tokio::sync::{broadcast, oneshot};

use super::ingest::{Healed, Ingest, IngestError, Progress, Report, Turn, Turns};
use super::scan;
use crate::domain::source::SourceId;
use crate::error::Failure;
use crate::lane::{Reply, promise};
use crate::store::sources::{RootId, Source};
use crate::store::{Store, StoreError};

/// When to look.
#[derive(Clone, Copy, Debug)]
pub struct WatchOptions {
    /// A source is synced when no event came for this long.
    pub debounce: Duration,
    /// A source is scanned this often without any event.
    pub rescan: Duration,
    /// The same where events cannot be had.
    pub poll: Duration,
}

/// What the background tells those who listen.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Notice {
    /// A run goes on.
    Progress(Progress),
    /// A run ended.
    Synced(Report),
    /// The indexes of another embedding model are being built.
    Building {
        /// Chunks that have to be embedded yet.
        chunks_left: usize,
    },
    /// A run failed.
    Failed {
        /// The source.
        source: i64,
        /// Why.
        message: String,
    },
}

/// A notice as those hear it who listen, written once for all of them: a report may name thousands of
/// files.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The source that it is about, where it is about one.
    pub source: Option<SourceId>,
    /// The [`Notice`], as JSON.
    pub json: Arc<str>,
}

impl Notice {
    /// The source that it is about, where it is about one.
    pub fn source(&self) -> Option<SourceId> {
        match self {
            Self::Progress(progress) => Some(SourceId(progress.source)),
            Self::Synced(report) => Some(SourceId(report.source)),
            Self::Failed { source, .. } => Some(SourceId(*source)),
            Self::Building { .. } => None,
        }
    }
}

/// The answer to a sync that someone waits for.
pub type SyncReply = oneshot::Receiver<Result<Report, Failure>>;

#[derive(Default)]
struct Request {
    /// When the first and the last event came; `None` asks for a run at once.
    events: Option<(Instant, Instant)>,
    waiting: Vec<oneshot::Sender<Result<Report, Failure>>>,
}

/// A source that is to go, and who waits for that.
struct Removal {
    source: SourceId,
    waiting: oneshot::Sender<Result<(), Failure>>,
}

#[derive(Default)]
struct State {
    requests: HashMap<SourceId, Request>,
    removals: Vec<Removal>,
    due: HashMap<SourceId, Instant>,
    watches: HashMap<SourceId, Watch>,
    /// When to tidy up, if nothing happens before.
    rest: Option<Instant>,
    /// When to tidy up, whatever happens.
    unrest: Option<Instant>,
    /// When to let go what only ingestion needs.
    sleep: Option<Instant>,
    /// Is another embedding model being built?
    building: bool,
    closed: bool,
}

struct Watch {
    /// Dropping it ends the watching. `None` where events cannot be had.
    _watcher: Option<RecommendedWatcher>,
    polled: Option<String>,
    /// The folder that is watched: another one in its place is not.
    root: RootId,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    options: WatchOptions,
    notices: broadcast::Sender<Heard>,
}

impl Shared {
    /// Tells those who listen, if anybody does.
    fn say(&self, notice: &Notice) {
        if self.notices.receiver_count() == 0 {
            return;
        }
        match serde_json::to_string(notice) {
            Ok(json) => {
                let (source, json) = (notice.source(), json.into());
                // They may have left meanwhile.
                let _ = self.notices.send(Heard { source, json });
            }
            Err(error) => tracing::error!(%error, "a notice cannot be written as JSON"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hint(&self, source: SourceId) {
        let now = Instant::now();
        let mut state = self.lock();
        let fresh = !state.requests.contains_key(&source);
        let request = state.requests.entry(source).or_default();
        match &mut request.events {
            Some((_, last)) => *last = now,
            None if fresh => request.events = Some((now, now)),
            // Someone waits for a run at once; the event rides along.
            None => {}
        }
        drop(state);
        self.wake.notify_all();
    }
}

/// The ingestion thread and its watchers; joined when dropped.
pub struct Syncer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// Starts the thread. It mends the indexes first, then waits for requests; `building` says that
    /// another embedding model was chosen.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn spawn(
        ingest: Arc<Ingest>,
        store: Arc<Store>,
        options: WatchOptions,
        building: bool,
    ) -> std::io::Result<Self> {
        let state = State {
            building,
            ..State::default()
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            wake: Condvar::new(),
            options,
            notices: broadcast::channel(256).0,
        });
        let worker = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("coho-ingest".into())
            .spawn(move || work(&worker, &ingest, &store))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// What happens in the background, from now on.
    pub fn notices(&self) -> broadcast::Receiver<Heard> {
        self.shared.notices.subscribe()
    }

    /// Asks for a run at once; the reply comes when it has ended.
    pub fn sync(&self, source: SourceId) -> SyncReply {
        let (send, receive) = oneshot::channel();
        let mut state = self.shared.lock();
        let request = state.requests.entry(source).or_default();
        request.events = None;
        request.waiting.push(send);
        drop(state);
        self.shared.wake.notify_all();
        receive
    }

    /// Watches a source from now on and syncs it after `delay`, unless asked to earlier.
    pub fn watch(&self, source: &Source, delay: Duration) {
        let watch = start(&self.shared, source);
        let mut state = self.shared.lock();
        let old = state.watches.insert(source.id, watch);
        state.due.insert(source.id, Instant::now() + delay);
        drop(state);
        drop(old);
        self.shared.wake.notify_all();
    }

    /// Takes a source out with all that came from it, and watches it no longer; the reply comes when
    /// that is done. See [`Ingest::remove`].
    pub fn remove(&self, source: SourceId) -> Reply<Result<(), Failure>> {
        let (waiting, reply) = promise("coho-ingest");
        let removal = Removal { source, waiting };
        self.shared.lock().removals.push(removal);
        self.shared.wake.notify_all();
        reply
    }

    /// Why a source is polled instead of watched, where it is.
    pub fn polled(&self, source: SourceId) -> Option<String> {
        let state = self.shared.lock();
        state.watches.get(&source).and_then(|w| w.polled.clone())
    }
}

/// Begins to watch a source's folder; one that gives no events is polled.
fn start(shared: &Arc<Shared>, source: &Source) -> Watch {
    let root = scan::root_id(&source.path);
    let watcher = start_watcher(shared, source);
    let polled = watcher.as_ref().err().cloned();
    if let Some(reason) = &polled {
        tracing::warn!(
            source = source.id.0,
            reason,
            "no events here: polling instead"
        );
    }
    Watch {
        _watcher: watcher.ok(),
        polled,
        root,
    }
}

fn start_watcher(shared: &Arc<Shared>, source: &Source) -> Result<RecommendedWatcher, String> {
    let (id, root) = (source.id, source.path.clone());
    let hearer = Arc::clone(shared);
    let config = notify::Config::default().with_follow_symlinks(false);
    let told = move |event| hear(&hearer, (id, &root), event);
    let explain = |error: notify::Error| explain(&error);
    let mut watcher = RecommendedWatcher::new(told, config).map_err(explain)?;
    watcher
        .watch(&source.path, RecursiveMode::Recursive)
        .map_err(explain)?;
    Ok(watcher)
}

/// A folder that came back, or another in its place, is not the one that is watched.
fn watch_again(shared: &Arc<Shared>, store: &Store, id: SourceId) {
    let Ok(source) = store.ledger().read(|s| super::ingest::source(s, id)) else {
        return;
    };
    let watched = shared.lock().watches.get(&id).map(|watch| watch.root);
    if watched.is_none_or(|root| root == scan::root_id(&source.path)) {
        return;
    }
    let watch = start(shared, &source);
    let mut state = shared.lock();
    // Dropped outside of the lock: its thread may be waiting for it.
    let old = match state.watches.entry(id) {
        Entry::Occupied(mut entry) => entry.insert(watch),
        Entry::Vacant(_) => watch,
    };
    state.due.insert(id, Instant::now());
    drop(state);
    drop(old);
}

fn explain(error: &notify::Error) -> String {
    let full = match &error.kind {
        notify::ErrorKind::MaxFilesWatch => true,
        notify::ErrorKind::Io(error) => error.kind() == std::io::ErrorKind::StorageFull,
        _ => false,
    };
    if full {
        return "the limit of inotify watches is reached; \
                raise it with `sudo sysctl fs.inotify.max_user_watches=524288`"
            .into();
    }
    let instances = match &error.kind {
        notify::ErrorKind::Io(error) => error.raw_os_error() == Some(24),
        _ => false,
    };
    if instances {
        return "the limit of inotify instances is reached; \
                raise it with `sudo sysctl fs.inotify.max_user_instances=1024`"
            .into();
    }
    error.to_string()
}

fn hear(shared: &Shared, (id, root): (SourceId, &Path), event: notify::Result<notify::Event>) {
    if event.is_err() || event.is_ok_and(|event| is_news(&event, root)) {
        shared.hint(id);
    }
}

/// May a scan find something else than before? Our own reading is no change, and what programs keep in
/// hidden folders changes all the time.
fn is_news(event: &notify::Event, root: &Path) -> bool {
    let mut paths = event.paths.iter();
    let seen = event.paths.is_empty() || !paths.all(|path| scan::is_out_of_sight(root, path));
    event.need_rescan() || seen && !matches!(event.kind, EventKind::Access(_))
}

impl Drop for Syncer {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        let watches = std::mem::take(&mut state.watches);
        drop(state);
        drop(watches);
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread looks up this often, to notice that the machine has slept.
const LOOK_UP: Duration = Duration::from_mins(1);

/// Quiet time before tidying up.
const QUIET: Duration = Duration::from_secs(10);

/// Tidying up waits for quiet no longer than this: somebody may write all day.
const MOST_UNREST: Duration = Duration::from_mins(3);

/// Quiet time before memory is given back; whoever writes now and then should not wait for a model
/// to load at each pause.
const LONG_QUIET: Duration = Duration::from_mins(2);

/// What the thread does next.
enum Work {
    Remove,
    Sync(SourceId, Request),
    Build,
    Rest,
    Sleep,
}

fn work(shared: &Arc<Shared>, ingest: &Ingest, store: &Store) {
    let between = Between {
        shared,
        ingest,
        store,
        source: None,
    };
    match ingest.heal(&between) {
        Ok(healed) if healed == Healed::default() => {}
        Ok(healed) => tracing::info!(
            documents = healed.documents,
            chunks = healed.chunks,
            orphans = healed.orphans,
            "mended the indexes from the ledger"
        ),
        Err(error) => tracing::error!(%error, "the indexes could not be mended"),
    }
    while let Some(work) = next(shared) {
        match work {
            Work::Remove => between.make_room(),
            Work::Sync(id, request) => sync(shared, ingest, store, id, request),
            Work::Build => build(shared, ingest),
            Work::Rest => {
                if let Err(error) = ingest.rest() {
                    tracing::warn!(%error, "tidying up failed");
                }
                ingest.warm();
            }
            Work::Sleep => {
                if !ingest.sleep(LONG_QUIET) {
                    shared.lock().sleep = Some(Instant::now() + LONG_QUIET);
                }
            }
        }
    }
}

/// What may come between two files of a run.
struct Between<'a> {
    shared: &'a Shared,
    ingest: &'a Ingest,
    store: &'a Store,
    /// The source that the run is over, where it is over one.
    source: Option<SourceId>,
}

impl Turns for Between<'_> {
    fn turn(&self) -> Turn {
        let state = self.shared.lock();
        let ours = |removal: &Removal| Some(removal.source) == self.source;
        if state.closed {
            Turn::Stop
        } else if state.removals.iter().any(ours) {
            Turn::Drop
        } else if state.removals.is_empty() {
            Turn::GoOn
        } else {
            Turn::MakeRoom
        }
    }

    /// Takes out the sources that are to go, but for the one that the run is over.
    fn make_room(&self) {
        let waiting = || {
            let mut state = self.shared.lock();
            let other = |removal: &Removal| Some(removal.source) != self.source;
            let at = state.removals.iter().position(other)?;
            Some(state.removals.remove(at))
        };
        while let Some(removal) = waiting() {
            let id = removal.source;
            let outcome = self.ingest.remove(id);
            let left = self.store.ledger().read(|s| super::ingest::source(s, id));
            if matches!(left, Err(StoreError::NoSource { .. })) {
                forget(self.shared, id);
            }
            let _ = removal.waiting.send(outcome.map_err(Failure::from));
        }
    }
}

/// Watches a source no longer. Who waits for a run over it learns that it is not there.
fn forget(shared: &Shared, source: SourceId) {
    let mut state = shared.lock();
    let watch = state.watches.remove(&source);
    state.due.remove(&source);
    state.requests.remove(&source);
    drop(state);
    // The watcher's own thread may be waiting for the lock.
    drop(watch);
}

fn sync(shared: &Arc<Shared>, ingest: &Ingest, store: &Store, id: SourceId, request: Request) {
    let began = Instant::now();
    let outcome = run(shared, ingest, store, id);
    if outcome.is_ok() {
        watch_again(shared, store, id);
    }
    let mut state = shared.lock();
    let polled = state.watches.get(&id).is_some_and(|w| w.polled.is_some());
    // What failed may be mended soon: a disk with room again, a mount that is back.
    let every = if polled || outcome.is_err() {
        shared.options.poll
    } else {
        shared.options.rescan
    };
    // A scan that is slow is not repeated all the time.
    let pause = every.max(began.elapsed() * 20);
    if state.watches.contains_key(&id) {
        let next = Instant::now() + pause;
        let due = state.due.entry(id).or_insert(next);
        *due = next.min(*due);
    }
    let now = Instant::now();
    let latest = *state.unrest.get_or_insert(now + MOST_UNREST);
    state.rest = Some((now + QUIET).min(latest));
    state.sleep.get_or_insert(now + LONG_QUIET);
    let leaves = state.removals.iter().any(|removal| removal.source == id);
    drop(state);
    // That a run over what is to go has ended is no news; who waits for it learns that it is not there.
    if outcome.is_ok() || !leaves {
        tell(shared, id, outcome, request.waiting);
    }
}

/// Takes a step towards the newly chosen embedding model.
fn build(shared: &Shared, ingest: &Ingest) {
    let outcome = ingest.build_next();
    let mut state = shared.lock();
    match outcome {
        Ok(Some(left)) if left > 0 => {
            // It may take hours.
            state.rest.get_or_insert(Instant::now() + MOST_UNREST);
            shared.say(&Notice::Building { chunks_left: left });
        }
        Ok(_) => {
            state.building = false;
            // The new model may want documents cut in another way.
            let now = Instant::now();
            let all: Vec<SourceId> = state.watches.keys().copied().collect();
            state.due.extend(all.into_iter().map(|id| (id, now)));
        }
        Err(error) => {
            // Tried again at the next start; what is in use stays in use.
            tracing::error!(%error, "the new embedding model could not be put in use");
            state.building = false;
        }
    }
}

fn tell(
    shared: &Shared,
    id: SourceId,
    outcome: Result<Report, IngestError>,
    waiting: Vec<oneshot::Sender<Result<Report, Failure>>>,
) {
    let notice = match &outcome {
        Ok(report) => Notice::Synced(report.clone()),
        Err(error) => {
            tracing::warn!(source = id.0, %error, "a sync failed");
            Notice::Failed {
                source: id.0,
                message: error.to_string(),
            }
        }
    };
    shared.say(&notice);
    let mut waiting = waiting.into_iter();
    match outcome {
        Ok(report) => waiting.for_each(|w| drop(w.send(Ok(report.clone())))),
        Err(error) => {
            let message = error.to_string();
            if let Some(first) = waiting.next() {
                let _ = first.send(Err(error.into()));
            }
            for other in waiting {
                let again = crate::error::BadRequest {
                    code: "sync_failed",
                    message: message.clone(),
                    hint: None,
                };
                let _ = other.send(Err(again.into()));
            }
        }
    }
}

fn run(
    shared: &Shared,
    ingest: &Ingest,
    store: &Store,
    id: SourceId,
) -> Result<Report, IngestError> {
    let between = |source| Between {
        shared,
        ingest,
        store,
        source,
    };
    // What of that fails is tried again by the next run; this one says by itself what it lacks.
    if let Err(error) = ingest.mend(&between(None)) {
        tracing::error!(%error, "the indexes could not be mended");
    }
    let source = store.ledger().read(|s| super::ingest::source(s, id))?;
    let progress = |progress: &Progress| {
        shared.say(&Notice::Progress(progress.clone()));
    };
    ingest.sync(&source, &progress, &between(Some(id)))
}

/// Waits for the next thing to do.
fn next(shared: &Shared) -> Option<Work> {
    let mut state = shared.lock();
    let mut looked_up = (Instant::now(), SystemTime::now());
    loop {
        if state.closed {
            return None;
        }
        let now = Instant::now();
        if has_slept(looked_up) {
            state.due.values_mut().for_each(|at| *at = now);
        }
        looked_up = (now, SystemTime::now());
        if !state.removals.is_empty() {
            return Some(Work::Remove);
        }
        let overdue = state.due.iter().find(|(_, at)| **at <= now);
        if let Some(id) = overdue.map(|(id, _)| *id) {
            state.due.remove(&id);
            return Some(Work::Sync(
                id,
                state.requests.remove(&id).unwrap_or_default(),
            ));
        }
        // Events that never stop must not put a run off for ever.
        let patience = shared.options.debounce * 10;
        let ripe = |request: &Request| match request.events {
            None => now,
            Some((first, last)) => (last + shared.options.debounce).min(first + patience),
        };
        let soonest = state.requests.iter().map(|(id, r)| (ripe(r), *id)).min();
        if let Some((at, id)) = soonest
            && at <= now
        {
            return Some(Work::Sync(id, state.requests.remove(&id)?));
        }
        if state.rest.is_some_and(|at| at <= now) {
            (state.rest, state.unrest) = (None, None);
            return Some(Work::Rest);
        }
        if state.sleep.is_some_and(|at| at <= now) {
            state.sleep = None;
            return Some(Work::Sleep);
        }
        if state.building {
            return Some(Work::Build);
        }
        let next_due = state.due.values().min().copied();
        let ripe_at = soonest.map(|(at, _)| at);
        let until = [ripe_at, next_due, state.rest, state.sleep];
        let until = until.into_iter().flatten().min();
        let pause = until.map_or(LOOK_UP, |at| (at - now).min(LOOK_UP));
        state = shared
            .wake
            .wait_timeout(state, pause)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
}

/// Did the wall clock go on while ours stood still? Events of that time are lost.
fn has_slept((then, wall): (Instant, SystemTime)) -> bool {
    let slept = Duration::from_secs(30);
    let gone = SystemTime::now().duration_since(wall).unwrap_or_default();
    gone > then.elapsed() + slept
}

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, CreateKind, Flag, ModifyKind, RenameMode};

    use super::*;

    fn shared() -> Shared {
        Shared {
            state: Mutex::default(),
            wake: Condvar::new(),
            options: WatchOptions {
                debounce: Duration::ZERO,
                rescan: Duration::from_mins(10),
                poll: Duration::from_mins(1),
            },
            notices: broadcast::channel(1).0,
        }
    }

    #[test]
    fn what_programs_keep_in_hidden_folders_is_no_news() {
        let check = |event: notify::Event, paths: &[&str], expected: bool| {
            let shared = shared();
            let event = paths.iter().fold(event, |event, path| {
                event.add_path(Path::new("/notes").join(path))
            });
            hear(&shared, (SourceId(1), Path::new("/notes")), Ok(event));
            let asked = !shared.lock().requests.is_empty();
            assert_eq!(asked, expected, "{paths:?}");
        };
        let event = notify::Event::new;
        let made = EventKind::Create(CreateKind::File);
        check(event(made), &["a.md"], true);
        check(event(made), &[".obsidian/workspace.json"], false);
        check(event(made), &[".git/index.lock"], false);
        check(event(made), &[".git/info/exclude"], true);
        check(event(made), &["a/.cohoignore"], true);
        check(event(made), &[], true);
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::Both));
        check(event(renamed), &[".trash/a.md", "a.md"], true);
        check(event(renamed), &[".git/HEAD.lock", ".git/HEAD"], false);
        let opened = EventKind::Access(AccessKind::Any);
        check(event(opened), &["a.md"], false);
        let lost = event(EventKind::Other).set_flag(Flag::Rescan);
        check(lost, &[".git/HEAD"], true);
    }

    #[test]
    fn a_notice_is_written_once_for_all_who_listen() {
        let shared = shared();
        let (mut one, mut other) = (shared.notices.subscribe(), shared.notices.subscribe());
        shared.say(&Notice::Building { chunks_left: 3 });
        let (one, other) = (one.try_recv().unwrap(), other.try_recv().unwrap());
        assert_eq!(&*one.json, r#"{"event":"building","chunks_left":3}"#);
        assert!(Arc::ptr_eq(&one.json, &other.json));
    }

    #[test]
    fn who_builds_for_hours_tidies_up_meanwhile() {
        let shared = shared();
        let mut state = shared.lock();
        state.building = true;
        state.rest = Some(Instant::now());
        drop(state);
        assert!(matches!(next(&shared), Some(Work::Rest)));
        assert!(matches!(next(&shared), Some(Work::Build)));
    }
}
