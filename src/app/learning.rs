//! Writeback as the edges use it, and the thread that runs it in idle time.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{App, NotFound, now_ms};
use crate::domain::query;
use crate::domain::source::shown_name;
use crate::domain::unit::{Quotes, State, Unit};
use crate::energy::Meter;
use crate::error::{BadRequest, Failure, Fault, Kind};
use crate::flow::answer::Answerer;
use crate::flow::evaluate::held_out::HeldOut;
use crate::flow::evaluate::set::questions_about_notes;
use crate::flow::writeback::ranking::{self, Ranking};
use crate::flow::writeback::{self, Decision, Finding, Report, Step, Task, WritebackOptions};
use crate::settings::Writeback;
use crate::store::erase::{Erase, Erased};
use crate::store::feedback;
use crate::store::ledger::Snapshot;
use crate::store::units::batches::{self, Batch, Spent, Undo};
use crate::store::units::considered::Newest;
use crate::store::units::life::UnitEvent;
use crate::store::{Store, StoreError};

/// Files with the same passage that are looked through for the one from which it was taken.
const MOST_COPIES: usize = 100;

/// Units that are listed unless more are asked for.
pub const LISTED: usize = 500;

/// `coho units list`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Units {
    /// The units, the newest first.
    pub units: Vec<Unit>,
}

/// `coho units show`: the whole story of a unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Story {
    /// The unit.
    pub unit: Unit,
    /// What happened to it.
    pub events: Vec<UnitEvent>,
    /// The answers that it was made of.
    pub answers: Vec<String>,
    /// Where its sentences stand now.
    pub evidence: Vec<Stand>,
}

/// Where sentences of a unit stand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stand {
    /// The file, below its source.
    pub path: String,
    /// Absolute path of the file in which it stands now, to be opened: of several that hold it, the one
    /// that it was taken from. None when it is gone.
    pub file: Option<PathBuf>,
    /// Id of the chunk.
    pub chunk_id: String,
    /// First and last line of the sentences, where the format has lines; none when they are gone.
    pub lines: Option<(u32, u32)>,
    /// Page, where the format has pages.
    pub page: Option<u32>,
    /// The whole chunk; none when it is gone.
    pub text: Option<String>,
    /// The sentences.
    pub sentences: Vec<String>,
}

/// `coho writeback list`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Batches {
    /// Runs, the newest first.
    pub batches: Vec<Batch>,
    /// What was spent today.
    pub today: Spent,
    /// Weights of the ranking that were learned.
    pub ranking: Option<Ranking>,
}

/// `coho units undo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Undone {
    /// Units that changed: taken out of use, or what they were before.
    pub retired: usize,
}

/// A run is under way.
#[derive(Debug, thiserror::Error)]
#[error("writeback is running already")]
pub struct Running;

impl Fault for Running {
    fn kind(&self) -> Kind {
        Kind::Conflict
    }
    fn code(&self) -> &'static str {
        "writeback_running"
    }
    fn hint(&self) -> Option<String> {
        Some("try again when it has ended".into())
    }
}

/// What the edges ask of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RunBody {
    /// Judge only; write nothing.
    pub dry_run: bool,
    /// Only answers since this day (`2026-11`, `7d`), or moment (RFC 3339).
    pub since: Option<String>,
}

/// When the owner was last here, and whether a run is under way.
#[derive(Debug, Default)]
pub struct Presence {
    asked_ms: AtomicI64,
    /// Set by a question, so that a run in the background makes room.
    wanted: AtomicBool,
    running: Mutex<()>,
    /// The newest answer when none was left to judge.
    judged: Mutex<Newest>,
}

impl Presence {
    /// Notes that the owner asks something.
    pub fn here(&self) {
        self.asked_ms.store(now_ms(), Ordering::Relaxed);
        self.wanted.store(true, Ordering::Release);
    }

    /// Does `work` if it is time for it, with a flag that tells it to make room. A question that comes
    /// while that is looked at is heard, too: either it is seen there, or the flag is set.
    fn unless_wanted(&self, is_time: impl FnOnce() -> bool, work: impl FnOnce(&AtomicBool)) {
        self.wanted.swap(false, Ordering::Acquire);
        if is_time() {
            work(&self.wanted);
        }
    }

    /// Are there answers that were not judged? Those that were are looked at once.
    fn is_to_judge(&self, snapshot: &Snapshot<'_>) -> Result<bool, StoreError> {
        let mut known = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(newest) = snapshot.all_considered(&known)? else {
            return Ok(true);
        };
        *known = newest;
        Ok(false)
    }
}

/// A day or a moment, in milliseconds since 1970.
///
/// # Errors
/// [`BadRequest`] for what is neither.
pub fn moment(text: &str) -> Result<i64, BadRequest> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment.as_millisecond());
    }
    let now = Timestamp::from_millisecond(now_ms()).unwrap_or_default();
    let day = query::day(text, &now.to_zoned(TimeZone::system()));
    let begin = day.and_then(|day| day.to_zoned(TimeZone::system()).ok());
    let begin = begin.map(|zoned| zoned.timestamp().as_millisecond());
    begin.ok_or_else(|| {
        BadRequest::new(
            "bad_date",
            format!("`{text}` is no day"),
            "say it as 2026-11-21, 2026-11, yesterday, 7d or 2026-11-21T10:00:00Z",
        )
    })
}

impl App {
    fn writeback_options(&self, dry: bool) -> Result<WritebackOptions, Failure> {
        let set = &self.settings.writeback;
        let replayed = if set.replay.as_os_str().is_empty() {
            Vec::new()
        } else {
            questions_about_notes(&set.replay)?
        };
        let home = &self.places.home;
        if !dry {
            HeldOut::add(home, replayed.iter().map(|asked| asked.question.as_str()))?;
        }
        let held_out = HeldOut::read(home)?;
        #[expect(clippy::cast_precision_loss, reason = "seconds of a day")]
        Ok(WritebackOptions {
            review: set.review,
            model_gates: set.model_gates,
            gated: true,
            day_s: set.day_s as f64,
            day_joules: set.day_joules,
            day_units: set.day_units,
            per_document: set.per_document,
            held_out: Arc::new(held_out),
            replayed: replayed.into(),
        })
    }

    /// Runs writeback once; blocks. See [`writeback::run`]. Where answers were judged, the owner's
    /// past questions are asked again afterwards, unless the settings say not to.
    ///
    /// # Errors
    /// [`Running`], a bad date, or what the store and the models say.
    pub fn write_back(
        &self,
        body: &RunBody,
        told: &dyn Fn(Step),
        stop: &AtomicBool,
    ) -> Result<Report, Failure> {
        let since = body.since.as_deref().map(moment).transpose()?;
        let _alone = match self.presence.running.try_lock() {
            Ok(alone) => alone,
            Err(TryLockError::Poisoned(alone)) => alone.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(Running.into()),
        };
        let task = Task {
            since_ms: since.unwrap_or(0),
            dry: body.dry_run,
            batch: uuid::Uuid::now_v7().to_string(),
            now_ms: now_ms(),
        };
        let options = self.writeback_options(body.dry_run)?;
        // A model on another machine reads nothing that never leaves.
        let alone = self.model_is_elsewhere() && !self.staying()?.is_empty();
        let report = self.answering(|parts| {
            let parts = Answerer {
                generator: parts.generator.filter(|_| !alone),
                searcher: parts.searcher,
                options: parts.options,
            };
            writeback::run(&parts, &options, &task, told, stop)
        })?;
        let wanted = self.settings.writeback.measure && !report.dry;
        if wanted && !report.considered.is_empty() && self.is_to_measure(&report)? {
            self.measure_today(&options, report.batch.clone(), stop)?;
        }
        Ok(report)
    }

    /// Did a run change what is in use, or was nothing measured today? What is as it was is not measured
    /// after every question.
    fn is_to_measure(&self, report: &Report) -> Result<bool, StoreError> {
        let moved = [&report.promoted, &report.contested, &report.retired];
        if report.ranking.is_some() || moved.iter().any(|units| !units.is_empty()) {
            return Ok(true);
        }
        let now = now_ms();
        let ledger = self.store.ledger();
        let last = ledger.read(|snapshot| snapshot.last_measured_ms())?;
        Ok(last.is_none_or(|last| last < now - now.rem_euclid(batches::DAY_MS)))
    }

    /// Asks the owner's past questions again as far as the day's budget goes: it is work of the day, too.
    fn measure_today(
        &self,
        options: &WritebackOptions,
        batch: String,
        stop: &AtomicBool,
    ) -> Result<(), Failure> {
        let ledger = self.store.ledger();
        let before = ledger.read(|snapshot| snapshot.spent(now_ms()))?;
        let (started, meter) = (Instant::now(), Meter::start());
        let cost = || Spent {
            seconds: started.elapsed().as_secs_f64(),
            joules: meter.stop(Duration::ZERO).joules,
            units: 0,
        };
        let ends = AtomicBool::new(false);
        let look = || {
            let now = cost();
            let over = before.seconds + now.seconds > options.day_s
                || before.joules + now.joules > options.day_joules;
            ends.store(over || stop.load(Ordering::Relaxed), Ordering::Relaxed);
        };
        look();
        let measured = self.measure_own(Some(batch), &|_, _| look(), &ends);
        ledger.write(|t| batches::spend(t, cost(), now_ms()))?;
        measured.map(drop)
    }

    /// Units in this state, or all.
    ///
    /// # Errors
    /// What the ledger says.
    pub fn units(&self, state: Option<State>, limit: usize) -> Result<Units, Failure> {
        let ledger = self.store.ledger();
        let units = ledger.read(|snapshot| snapshot.units(state, limit))?;
        Ok(Units { units })
    }

    /// The whole story of a unit; the beginning of its id will do.
    ///
    /// # Errors
    /// [`NotFound`], or what the ledger says.
    pub fn unit(&self, id: &str) -> Result<Story, Failure> {
        let missing = || NotFound::new("unit", id);
        let story = self.store.ledger().read(|snapshot| {
            let Some(unit) = snapshot.unit_beginning(id)? else {
                return Ok(None);
            };
            let evidence = unit.sources.iter().map(|quotes| stand(snapshot, quotes));
            let evidence = evidence.collect::<Result<Vec<Stand>, StoreError>>()?;
            let behind = snapshot.answers_behind(&unit.id)?;
            Ok::<_, StoreError>(Some(Story {
                events: snapshot.unit_events(&unit.id)?,
                answers: behind.into_iter().map(|(answer, _)| answer).collect(),
                unit,
                evidence,
            }))
        })?;
        Ok(story.ok_or_else(missing)?)
    }

    /// Does with a unit as the owner decides; returns its state.
    ///
    /// # Errors
    /// [`NotFound`], a decision that the unit's state does not allow, or what the ledger says.
    pub fn decide(&self, id: &str, decision: Decision) -> Result<Unit, Failure> {
        let unit = self.unit(id)?.unit;
        writeback::decide(&self.store, &unit, decision)?;
        self.drop_states()?;
        Ok(self.unit(&unit.id)?.unit)
    }

    /// Takes units out of use.
    ///
    /// # Errors
    /// [`NotFound`] for a unit or batch that is not there, or what the ledger says.
    pub fn undo(&self, what: &Undo) -> Result<Undone, Failure> {
        let what = match what {
            Undo::Unit(id) => Undo::Unit(self.unit(id)?.unit.id),
            Undo::Batch(id) => {
                let batches = self.batches(usize::MAX >> 1)?.batches;
                if !batches.iter().any(|batch| batch.id == *id) {
                    return Err(NotFound::new("batch", id).into());
                }
                what.clone()
            }
            other => other.clone(),
        };
        let retired = writeback::undo(&self.store, &what, "the owner undid it")?;
        self.drop_states()?;
        Ok(Undone { retired })
    }

    /// What the language model has read of units that are not in use any more goes from the disk.
    pub(super) fn drop_states(&self) -> Result<(), Failure> {
        writeback::drop_states(&self.store)?;
        Ok(())
    }

    /// Erases questions and answers, with what was learned of them alone, for good.
    ///
    /// # Errors
    /// [`NotFound`] for an answer that is not there, or what the ledger says.
    pub fn forget(&self, what: &Erase) -> Result<Erased, Failure> {
        if let Erase::Answer(id) = what {
            self.seen_answer(id)?;
        }
        let erased = self.store.erase(what)?;
        self.drop_states()?;
        Ok(erased)
    }

    /// The newest runs, and what was spent today.
    ///
    /// # Errors
    /// What the ledger says.
    pub fn batches(&self, limit: usize) -> Result<Batches, Failure> {
        let (batches, today) = self.store.ledger().read(|snapshot| {
            Ok::<_, StoreError>((snapshot.batches(limit)?, snapshot.spent(now_ms())?))
        })?;
        let ranking = ranking::in_use(&self.store)?;
        Ok(Batches {
            batches,
            today,
            ranking,
        })
    }

    /// Goes back to the weights of the ranking that everybody has.
    ///
    /// # Errors
    /// What the ledger says.
    pub fn reset_ranking(&self) -> Result<(), Failure> {
        Ok(ranking::reset(&self.store)?)
    }

    /// Looks at every unit for what should not be.
    ///
    /// # Errors
    /// What the ledger says.
    pub fn lint(&self) -> Result<Vec<Finding>, Failure> {
        Ok(writeback::lint(&self.store)?)
    }

    /// Keeps what was done about an answer: `opened` or `copied`.
    ///
    /// # Errors
    /// [`BadRequest`] for another word, [`NotFound`] for an unknown answer.
    pub fn signal(&self, answer: &str, kind: &str) -> Result<(), Failure> {
        if !matches!(kind, "opened" | "copied") {
            return Err(BadRequest::new(
                "bad_signal",
                format!("`{kind}` is no signal"),
                "say `opened` or `copied`",
            )
            .into());
        }
        self.seen_answer(answer)?;
        let ledger = self.store.ledger();
        ledger.write(|t| feedback::put_signal(t, answer, kind, now_ms()))?;
        Ok(())
    }
}

/// Where sentences of a unit stand now.
fn stand(snapshot: &Snapshot<'_>, quotes: &Quotes) -> Result<Stand, StoreError> {
    let rows = snapshot.passages_of(quotes.chunk, MOST_COPIES)?;
    let own = rows.iter().position(|r| r.path.ends_with(&quotes.path));
    let row = rows.into_iter().nth(own.unwrap_or(0));
    let lines = row.as_ref().and_then(|row| {
        let spans = quotes.sentences.iter().filter_map(|sentence| {
            let start = row.text.find(sentence.as_str())?;
            Some(start..start + sentence.len())
        });
        lines_of(&row.text, row.lines?, spans)
    });
    let file = row.as_ref().map(|row| row.path.to_string_lossy());
    Ok(Stand {
        path: quotes.path.clone(),
        file: file.map(|file| PathBuf::from(shown_name(&file))),
        chunk_id: quotes.chunk.to_string(),
        lines,
        page: row.as_ref().and_then(|row| row.page),
        text: row.map(|row| row.text),
        sentences: quotes.sentences.clone(),
    })
}

/// First and last line of some spans of a text that begins in the first of `lines`.
fn lines_of(
    text: &str,
    lines: (u32, u32),
    spans: impl Iterator<Item = Range<usize>>,
) -> Option<(u32, u32)> {
    let at = |end: usize| {
        let newlines = text[..end].matches('\n').count();
        lines.0 + u32::try_from(newlines).unwrap_or(u32::MAX)
    };
    let all = spans.map(|span| (at(span.start), at(span.end)));
    all.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}

/// The thread that writes back while nobody asks anything.
pub struct Background {
    app: Arc<App>,
    shared: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

/// Time between looks.
const LOOK: Duration = Duration::from_secs(15);

impl Background {
    /// Starts it.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn spawn(app: Arc<App>) -> std::io::Result<Self> {
        let shared = Arc::new((Mutex::new(false), Condvar::new()));
        let (ours, theirs) = (Arc::clone(&shared), Arc::clone(&app));
        let work = move || {
            while !wait(&ours, LOOK) {
                let work = |stop: &AtomicBool| idle(&theirs, &ours, stop);
                theirs.presence.unless_wanted(|| is_time(&theirs), work);
            }
        };
        let thread = std::thread::Builder::new().name("coho-writeback".into());
        Ok(Self {
            app,
            shared,
            thread: Some(thread.spawn(work)?),
        })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        *self.shared.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.1.notify_all();
        self.app.presence.wanted.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits; says whether it is the end.
fn wait(shared: &(Mutex<bool>, Condvar), time: Duration) -> bool {
    let ended = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = shared.1.wait_timeout_while(ended, time, |ended| !*ended);
    *waited.unwrap_or_else(PoisonError::into_inner).0
}

/// Is there something to do, and does nobody need the machine?
fn is_time(app: &App) -> bool {
    let set = &app.settings.writeback;
    let quiet = now_ms() - app.presence.asked_ms.load(Ordering::Relaxed);
    let idle_ms = i64::try_from(set.idle_s * 1000).unwrap_or(i64::MAX);
    if !set.automatic || quiet < idle_ms || is_on_battery() {
        return false;
    }
    waiting(&app.store, set, &app.presence).unwrap_or_else(|error| {
        tracing::warn!(%error, "writeback cannot read the ledger");
        false
    })
}

/// Are there answers that were not judged, verdicts that were not heeded, notes that units were not
/// compared with, units that are stale or a batch that was cut off, and budget left for them?
fn waiting(store: &Store, set: &Writeback, presence: &Presence) -> Result<bool, StoreError> {
    store.ledger().read(|snapshot| {
        let spent = snapshot.spent(now_ms())?;
        #[expect(clippy::cast_precision_loss, reason = "seconds of a day")]
        let over = spent.seconds >= set.day_s as f64 || spent.joules >= set.day_joules;
        if over {
            return Ok(false);
        }
        let full = spent.units >= set.day_units;
        if snapshot.open_batch()?.is_some() {
            return Ok(true);
        }
        if snapshot.newest_word()? > writeback::heard(snapshot)? {
            return Ok(true);
        }
        if writeback::is_to_compare(snapshot)? {
            return Ok(true);
        }
        if full {
            return Ok(false);
        }
        let stale = snapshot.units(Some(State::Stale), 1)?;
        Ok(!stale.is_empty() || presence.is_to_judge(snapshot)?)
    })
}

/// Runs until it is done, somebody asks something, or the service ends.
fn idle(app: &App, shared: &(Mutex<bool>, Condvar), stop: &AtomicBool) {
    // An end that came before the flag was put down is not forgotten.
    if wait(shared, Duration::ZERO) {
        return;
    }
    let ran = stopped_where(is_on_battery, LOOK, stop, || {
        app.write_back(&RunBody::default(), &|_| {}, stop)
    });
    match ran {
        Ok(report) => tracing::info!(
            answers = report.considered.len(),
            made = report.made,
            promoted = report.promoted.len(),
            rolled_back = report.rolled_back,
            "writeback"
        ),
        Err(error) => {
            tracing::warn!(error = %logged(&error), "writeback failed");
            // Not at once again.
            app.presence.asked_ms.store(now_ms(), Ordering::Relaxed);
        }
    }
}

/// What a log is told of a failure. A model server may say again what it was sent: of what is not our
/// fault, the log learns the code.
fn logged(failure: &Failure) -> String {
    if failure.kind() == Kind::Ours {
        return failure.whole();
    }
    failure.code().to_owned()
}

/// Does `work`, whatever that is at meanwhile: judging, trying, measuring, making ready. A thread looks
/// now and then whether the machine `is_spared` by now, and then sets the flag that ends it.
fn stopped_where<T>(
    is_spared: impl Fn() -> bool + Send,
    every: Duration,
    stop: &AtomicBool,
    work: impl FnOnce() -> T,
) -> T {
    let (ended, end) = channel::<()>();
    std::thread::scope(|scope| {
        // Goes also where the work panics: the thread is waited for.
        let _ended = ended;
        let look = move || {
            while end.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                if is_spared() {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        };
        let thread = std::thread::Builder::new().name("coho-battery".into());
        if let Err(error) = thread.spawn_scoped(scope, look) {
            tracing::warn!(%error, "nobody looks whether the machine runs on its battery");
        }
        work()
    })
}

/// Where Linux tells of mains and batteries.
const SUPPLIES: &str = "/sys/class/power_supply";

/// Does the machine run on its battery? Where the system does not tell, it does not.
pub fn is_on_battery() -> bool {
    on_battery(Path::new(SUPPLIES))
}

fn on_battery(folder: &Path) -> bool {
    let read = |path: &Path, name: &str| -> String {
        let text = std::fs::read_to_string(path.join(name)).unwrap_or_default();
        text.trim().to_owned()
    };
    let supplies = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let supplies: Vec<_> = supplies.map(|entry| entry.path()).collect();
    let mains =
        |path: &&std::path::PathBuf| read(path, "type") == "Mains" && read(path, "online") == "1";
    let draining = |path: &&std::path::PathBuf| {
        // Not that of a mouse.
        let of_machine = read(path, "scope") != "Device";
        of_machine && read(path, "type") == "Battery" && read(path, "status") == "Discharging"
    };
    !supplies.iter().any(|p| mains(&p)) && supplies.iter().any(|p| draining(&p))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::EngineError;

    #[test]
    fn a_battery_is_told_from_mains() {
        let folder = tempfile::tempdir().unwrap();
        let put = |supply: &str, name: &str, text: &str| {
            let path = folder.path().join(supply);
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join(name), text).unwrap();
        };
        assert!(!on_battery(folder.path()));
        put("BAT0", "type", "Battery\n");
        put("BAT0", "status", "Discharging\n");
        assert!(on_battery(folder.path()));
        put("BAT0", "scope", "Device\n");
        assert!(!on_battery(folder.path()));
        put("BAT0", "scope", "System\n");
        assert!(on_battery(folder.path()));
        put("AC", "type", "Mains\n");
        put("AC", "online", "1\n");
        assert!(!on_battery(folder.path()));
    }

    #[test]
    fn what_a_server_says_again_is_not_logged() {
        let refused = EngineError::Refused {
            url: "http://nas/v1".into(),
            said: "cannot answer: Where is the key?".into(),
        };
        assert_eq!(logged(&refused.into()), "model_server_refused");
        let reason = "its process ended".to_owned();
        let ours = Failure::from(EngineError::Run { reason });
        assert_eq!(logged(&ours), ours.to_string());
    }

    #[test]
    fn a_machine_that_is_to_be_spared_stops_work_whatever_that_is_at() {
        let check = |spared: bool| {
            let (looked, stop) = (AtomicBool::new(false), AtomicBool::new(false));
            let is_spared = || {
                looked.store(true, Ordering::Relaxed);
                spared
            };
            let awaited = if spared { &stop } else { &looked };
            let begun = Instant::now();
            let done = stopped_where(is_spared, Duration::from_millis(1), &stop, || {
                while !awaited.load(Ordering::Relaxed) {
                    assert!(begun.elapsed() < Duration::from_mins(2));
                    std::thread::yield_now();
                }
                "done"
            });
            assert_eq!((done, stop.load(Ordering::Relaxed)), ("done", spared));
        };
        check(true);
        check(false);
    }

    #[test]
    fn a_question_that_comes_while_it_is_looked_whether_it_is_time_is_heard() {
        let presence = Presence::default();
        let heard = |asks: bool| {
            let mut heard = None;
            let is_time = || {
                if asks {
                    presence.here();
                }
                true
            };
            presence.unless_wanted(is_time, |stop| heard = Some(stop.load(Ordering::Relaxed)));
            heard
        };
        assert_eq!(heard(true), Some(true));
        // One from before is over.
        assert_eq!(heard(false), Some(false));
        presence.unless_wanted(|| false, |_| panic!("it is not time"));
    }

    #[test]
    fn days_and_moments_are_understood() {
        assert_eq!(moment("1970-01-01T00:00:01Z").unwrap(), 1000);
        assert!(moment("2026-11-01").unwrap() > 1_700_000_000_000);
        assert!(moment("soonish").is_err());
    }
}
