//! A lane: one named thread that owns a thing which must not be shared, with a bounded queue.
//!
//! Models and index writers are blocking and want a single owner. A lane gives them one thread,
//! runs urgent jobs before bulk ones, answers "busy" when its queue is full, survives a job that
//! panics, and is joined when dropped. It refuses to know what it runs.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use crate::error::{Fault, Kind};

/// How often is looked whether a result is still wanted.
const GLANCE: Duration = Duration::from_millis(20);

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// Which queue a job waits in; urgent jobs always go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Someone is waiting for the answer.
    Urgent,
    /// Background work.
    Bulk,
}

/// Why a lane did not do a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaneError {
    /// The queue is full.
    #[error("{lane} is busy: its queue of {capacity} is full")]
    Busy {
        /// The lane's name.
        lane: &'static str,
        /// How many jobs may wait.
        capacity: usize,
    },
    /// The lane ended, or the job panicked.
    #[error("{lane} dropped the job")]
    Lost {
        /// The lane's name.
        lane: &'static str,
    },
}

impl Fault for LaneError {
    fn kind(&self) -> Kind {
        match self {
            Self::Busy { .. } => Kind::NotReady,
            Self::Lost { .. } => Kind::Ours,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "busy",
            Self::Lost { .. } => "job_lost",
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::Busy { .. } => Some("try again in a moment".into()),
            Self::Lost { .. } => None,
        }
    }
}

struct Queues<S> {
    urgent: VecDeque<Job<S>>,
    bulk: VecDeque<Job<S>>,
    closed: bool,
}

struct Shared<S> {
    queues: Mutex<Queues<S>>,
    wake: Condvar,
}

impl<S> Shared<S> {
    fn lock(&self) -> MutexGuard<'_, Queues<S>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the calling thread, and those it will start, the lowest priority: background work goes on
/// when nobody else wants the processor.
pub fn yield_to_others() {
    #[cfg(target_os = "linux")]
    {
        // On Linux this is about the thread. Where it may not be said, nothing is lost.
        let _ = rustix::process::setpriority_process(None, 19);
    }
}

/// The owner's side of a lane; jobs are closures over the lane's state `S`.
pub struct Lane<S> {
    name: &'static str,
    capacity: usize,
    shared: Arc<Shared<S>>,
    thread: Option<JoinHandle<()>>,
}

impl<S: 'static> Lane<S> {
    /// Starts the thread `name`, which builds its state with `init` and then runs jobs.
    ///
    /// `capacity` bounds each of the two queues.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn spawn(
        name: &'static str,
        capacity: usize,
        init: impl FnOnce() -> S + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            queues: Mutex::new(Queues {
                urgent: VecDeque::new(),
                bulk: VecDeque::new(),
                closed: false,
            }),
            wake: Condvar::new(),
        });
        let worker = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                let ended = Ended(&worker);
                run(ended.0, init());
            })?;
        Ok(Self {
            name,
            capacity,
            shared,
            thread: Some(thread),
        })
    }

    /// Queues `job` and returns the handle on which its result arrives.
    ///
    /// # Errors
    /// [`LaneError::Busy`] when the queue of that priority is full.
    pub fn submit<T: Send + 'static>(
        &self,
        priority: Priority,
        job: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> Result<Reply<T>, LaneError> {
        let (send, reply) = promise(self.name);
        self.hand(priority, move |state| {
            // A caller that has gone away needs no answer.
            if !send.is_closed() {
                let _ = send.send(job(state));
            }
        })?;
        Ok(reply)
    }

    /// Queues `job`, which tells its result by itself.
    ///
    /// # Errors
    /// [`LaneError::Busy`] when the queue of that priority is full.
    pub fn hand(
        &self,
        priority: Priority,
        job: impl FnOnce(&mut S) + Send + 'static,
    ) -> Result<(), LaneError> {
        let mut queues = self.shared.lock();
        if queues.closed {
            return Err(LaneError::Lost { lane: self.name });
        }
        let queue = match priority {
            Priority::Urgent => &mut queues.urgent,
            Priority::Bulk => &mut queues.bulk,
        };
        if queue.len() >= self.capacity {
            return Err(LaneError::Busy {
                lane: self.name,
                capacity: self.capacity,
            });
        }
        queue.push_back(Box::new(job));
        drop(queues);
        self.shared.wake.notify_one();
        Ok(())
    }
}

/// A lane whose thread is gone takes no jobs: whoever waits is told, also where it never began.
struct Ended<'a, S>(&'a Shared<S>);

impl<S> Drop for Ended<'_, S> {
    fn drop(&mut self) {
        let mut queues = self.0.lock();
        queues.closed = true;
        let left = [
            std::mem::take(&mut queues.urgent),
            std::mem::take(&mut queues.bulk),
        ];
        drop(queues);
        drop(left);
    }
}

fn run<S>(shared: &Shared<S>, mut state: S) {
    loop {
        let job = {
            let mut queues = shared.lock();
            loop {
                if queues.closed {
                    return;
                }
                if let Some(job) = queues.urgent.pop_front() {
                    break job;
                }
                if let Some(job) = queues.bulk.pop_front() {
                    break job;
                }
                queues = shared
                    .wake
                    .wait(queues)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        };
        if catch_unwind(AssertUnwindSafe(|| job(&mut state))).is_err() {
            tracing::error!("a job panicked; its caller was told, the lane goes on");
        }
    }
}

impl<S> Drop for Lane<S> {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A result that is on its way; dropping it abandons the job if it has not begun.
#[must_use = "a dropped reply abandons its job"]
pub struct Reply<T> {
    lane: &'static str,
    receive: oneshot::Receiver<T>,
}

/// A reply of something else than a lane, and how it is given; `name` is what was lost if it is not.
pub fn promise<T>(name: &'static str) -> (oneshot::Sender<T>, Reply<T>) {
    let (send, receive) = oneshot::channel();
    let reply = Reply {
        lane: name,
        receive,
    };
    (send, reply)
}

impl<T> Reply<T> {
    /// Waits on a plain thread. Panics when called on a runtime's worker thread.
    ///
    /// # Errors
    /// [`LaneError::Lost`] when the lane ended or the job panicked.
    pub fn wait(self) -> Result<T, LaneError> {
        let lane = self.lane;
        self.receive
            .blocking_recv()
            .map_err(|_| LaneError::Lost { lane })
    }

    /// As [`Reply::wait`]; once `stop` is set, it sets `cancel`, by which whoever works at it ends
    /// early, and waits for that.
    ///
    /// # Errors
    /// As [`Reply::wait`].
    pub fn wait_unless(mut self, stop: &AtomicBool, cancel: &AtomicBool) -> Result<T, LaneError> {
        while !stop.load(Ordering::Relaxed) {
            match self.receive.try_recv() {
                Ok(value) => return Ok(value),
                Err(TryRecvError::Closed) => return Err(LaneError::Lost { lane: self.lane }),
                Err(TryRecvError::Empty) => std::thread::sleep(GLANCE),
            }
        }
        cancel.store(true, Ordering::Relaxed);
        self.wait()
    }

    /// Waits in async code.
    ///
    /// # Errors
    /// [`LaneError::Lost`] when the lane ended or the job panicked.
    pub async fn recv(self) -> Result<T, LaneError> {
        let lane = self.lane;
        self.receive.await.map_err(|_| LaneError::Lost { lane })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urgent_goes_first_and_full_is_busy_and_panics_are_survived() {
        let (gate, wait_gate) = std::sync::mpsc::channel::<()>();
        let lane: Lane<Vec<u8>> = Lane::spawn("test-lane", 1, Vec::new).unwrap();
        let (started, wait_started) = std::sync::mpsc::channel::<()>();
        let first = lane
            .submit(Priority::Bulk, move |_| {
                started.send(()).unwrap();
                wait_gate.recv().unwrap();
            })
            .unwrap();
        wait_started.recv().unwrap();
        let bulk = lane.submit(Priority::Bulk, |seen| seen.push(2)).unwrap();
        let urgent = lane.submit(Priority::Urgent, |seen| seen.push(1)).unwrap();
        assert!(matches!(
            lane.submit(Priority::Urgent, |_| ()),
            Err(LaneError::Busy { .. })
        ));
        gate.send(()).unwrap();
        first.wait().unwrap();
        urgent.wait().unwrap();
        bulk.wait().unwrap();
        let lost = lane
            .submit(Priority::Bulk, |_| panic!("on purpose"))
            .unwrap();
        assert_eq!(lost.wait(), Err(LaneError::Lost { lane: "test-lane" }));
        let order = lane.submit(Priority::Bulk, |seen| seen.clone()).unwrap();
        assert_eq!(order.wait().unwrap(), [1, 2]);
    }

    #[test]
    fn who_works_at_what_nobody_wants_is_told() {
        let lane: Lane<()> = Lane::spawn("test-lane", 1, || ()).unwrap();
        let waited = |stops: bool| {
            let (stop, cancel) = (AtomicBool::new(stops), Arc::new(AtomicBool::new(false)));
            let theirs = Arc::clone(&cancel);
            let reply = lane.submit(Priority::Bulk, move |()| {
                while stops && !theirs.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
            });
            let outcome = reply.unwrap().wait_unless(&stop, &cancel);
            (outcome, cancel.load(Ordering::Relaxed))
        };
        assert_eq!(waited(false), (Ok(()), false));
        assert_eq!(waited(true), (Ok(()), true));
        let (send, lost) = promise::<()>("this");
        drop(send);
        let outcome = lost.wait_unless(&AtomicBool::new(false), &AtomicBool::new(false));
        assert_eq!(outcome, Err(LaneError::Lost { lane: "this" }));
    }

    #[test]
    fn a_lane_that_never_began_keeps_nobody_waiting() {
        let lane: Lane<()> = Lane::spawn("no-lane", 1, || panic!("on purpose")).unwrap();
        let lost = Err(LaneError::Lost { lane: "no-lane" });
        let waited = |priority| lane.submit(priority, |()| ())?.wait();
        assert_eq!(waited(Priority::Urgent), lost);
        assert_eq!(waited(Priority::Bulk), lost);
    }
}
