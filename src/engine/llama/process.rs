//! The keeper of the model's process: starts it when it is needed, hands requests over, tells
//! everybody when it dies, ends it when it says nothing any more, and lets it go when it is idle.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::protocol::{News, Reply as Line, Request, Trouble, Work, number_of};
use super::worker;
use crate::engine::generate::{
    Continuation, Description, Generator, LlamaOptions, Prompt, Scored, Stream,
};
use crate::engine::{EngineError, lock};
use crate::lane::{LaneError, Reply, promise};

/// Questions that may wait for the language model before others are told "busy".
const WAITING_QUESTIONS: usize = 16;

/// How long a process that was told to end is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the process may say nothing while somebody waits for it. It speaks after each step, and
/// of each fiftieth part that it loads; both take longest where the weights are read from a slow disk.
const SILENCE: Duration = Duration::from_mins(2);

/// How often it is looked at in that time.
const GLANCES: u32 = 8;

const LANE: &str = "the language model";

/// A llama.cpp model in a process of its own.
pub struct LlamaProcess {
    options: LlamaOptions,
    program: PathBuf,
    running: Mutex<Option<Running>>,
    /// When it was last asked, or last answered.
    last_use: Arc<Mutex<Instant>>,
    next: AtomicU64,
    /// See [`SILENCE`].
    silence: Duration,
    /// How much is loaded, in thousandths; more than that is none of the time.
    loading: Arc<AtomicU16>,
}

const NOT_LOADING: u16 = 1001;

#[derive(Clone)]
struct Running {
    child: Arc<Mutex<Child>>,
    stdin: Arc<Mutex<ChildStdin>>,
    pending: Arc<Mutex<Pending>>,
    /// When it last said something, or was first asked again.
    spoke: Arc<Mutex<Instant>>,
    /// Was it ended because it said nothing?
    was_silent: Arc<AtomicBool>,
}

/// Who waits for what; `None` once the process has ended.
type Pending = Option<HashMap<u64, Waiting>>;

struct Waiting {
    pieces: Option<UnboundedSender<String>>,
    cancel: Option<Arc<AtomicBool>>,
    cancelled: bool,
    done: Box<dyn FnOnce(Result<News, EngineError>) + Send>,
}

/// How OpenMP's threads wait for each other, if the owner says.
const WAIT_POLICY: &str = "OMP_WAIT_POLICY";
const SPIN_COUNT: &str = "GOMP_SPINCOUNT";

/// How often a thread looks before it sleeps. By default 300,000 times, which takes the time of
/// the thread that it waits for as soon as anything else runs beside it: on two cores with one busy
/// neighbour at nice 19, as our own ingestion is, two texts of 64 tokens did not come within 50 s.
/// With 2,000 they are written at 21 tokens/s there; alone it costs some percent at most.
const SPINS: &str = "2000";

impl LlamaProcess {
    /// A model that will be loaded when it is first asked; `program` is this binary.
    pub fn new(program: PathBuf, options: LlamaOptions) -> Self {
        Self {
            options,
            program,
            running: Mutex::new(None),
            last_use: Arc::new(Mutex::new(Instant::now())),
            next: AtomicU64::new(1),
            silence: SILENCE,
            loading: Arc::new(AtomicU16::new(NOT_LOADING)),
        }
    }

    fn start(&self) -> Result<Running, EngineError> {
        let failed = |source: &dyn std::fmt::Display| EngineError::Run {
            reason: format!("its process does not start: {source}"),
        };
        let spin = [WAIT_POLICY, SPIN_COUNT].map(std::env::var_os);
        let spin = spin.iter().all(Option::is_none);
        let mut child = Command::new(&self.program)
            .arg(worker::SUBCOMMAND)
            .envs(spin.then_some((SPIN_COUNT, SPINS)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| failed(&error))?;
        let mut stdin = child.stdin.take().expect("stdin was piped");
        let stdout = child.stdout.take().expect("stdout was piped");
        let options = serde_json::to_string(&self.options).map_err(|error| failed(&error))?;
        writeln!(stdin, "{options}").map_err(|error| failed(&error))?;
        let running = Running {
            child: Arc::new(Mutex::new(child)),
            stdin: Arc::new(Mutex::new(stdin)),
            pending: Arc::new(Mutex::new(Some(HashMap::new()))),
            spoke: Arc::new(Mutex::new(Instant::now())),
            was_silent: Arc::default(),
        };
        self.loading.store(0, Ordering::Relaxed);
        let listener = Listener {
            running: running.clone(),
            last_use: Arc::clone(&self.last_use),
            loading: Arc::clone(&self.loading),
            path: self.options.path.clone(),
            silence: self.silence,
            trouble: None,
        };
        std::thread::Builder::new()
            .name("coho-llama".into())
            .spawn(move || listener.run(BufReader::new(stdout)))
            .map_err(|error| failed(&error))?;
        Ok(running)
    }

    /// Ends the process at once; those who wait are told.
    pub fn kill(&self) {
        if let Some(running) = lock(&self.running).as_ref() {
            let _ = lock(&running.child).kill();
        }
    }

    /// Hands a request over; starts the process when there is none.
    fn submit(&self, work: Work, waiting: Waiting) -> Result<(), EngineError> {
        *lock(&self.last_use) = Instant::now();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut slot = lock(&self.running);
        let cancel = waiting.cancel.clone();
        let mut waiting = Some(waiting);
        // Once more if the process ended just now.
        for _ in 0..2 {
            let running = match slot.take() {
                Some(running) => running,
                None => self.start()?,
            };
            let mut pending = lock(&running.pending);
            if let Some(pending) = pending.as_mut() {
                if work.may_be_refused() && pending.len() >= WAITING_QUESTIONS {
                    let busy = LaneError::Busy {
                        lane: LANE,
                        capacity: WAITING_QUESTIONS,
                    };
                    *slot = Some(running.clone());
                    return Err(busy.into());
                }
                if pending.is_empty() {
                    *lock(&running.spoke) = Instant::now();
                }
                pending.extend(waiting.take().map(|waiting| (id, waiting)));
            }
            drop(pending);
            if waiting.is_some() {
                continue;
            }
            let stdin = Arc::clone(&running.stdin);
            *slot = Some(running);
            drop(slot);
            // If this fails, the process has died, and its listener tells those who wait.
            write(&stdin, &Request { id, work });
            if cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
                // The listener may have said so before there was anything to leave.
                let work = Work::Cancel;
                write(&stdin, &Request { id, work });
            }
            return Ok(());
        }
        Err(EngineError::Run {
            reason: "its process ends as soon as it is started".into(),
        })
    }

    /// Hands a request over and promises what comes of it; `pieces` gets the text before.
    fn ask<T: Send + 'static>(
        &self,
        work: Work,
        pieces: Option<UnboundedSender<String>>,
        cancel: Option<Arc<AtomicBool>>,
        expected: impl FnOnce(News) -> Option<T> + Send + 'static,
    ) -> Result<Reply<Result<T, EngineError>>, EngineError> {
        let (send, reply) = promise(LANE);
        let done = move |news: Result<News, EngineError>| {
            let value = news.and_then(|news| expected(news).ok_or_else(surprise));
            let _ = send.send(value);
        };
        let waiting = Waiting {
            pieces,
            cancel,
            cancelled: false,
            done: Box::new(done),
        };
        self.submit(work, waiting)?;
        Ok(reply)
    }
}

fn surprise() -> EngineError {
    EngineError::Run {
        reason: "its process answered something else".into(),
    }
}

impl Generator for LlamaProcess {
    fn generate(&self, prompt: Prompt, cancel: Arc<AtomicBool>) -> Result<Stream, EngineError> {
        if let Some(grammar) = &prompt.grammar {
            grammar.check()?;
        }
        let (send, pieces) = tokio::sync::mpsc::unbounded_channel();
        let work = Work::Generate(Box::new(prompt));
        let result = self.ask(work, Some(send), Some(cancel), |news| match news {
            News::Generated(generated) => Some(*generated),
            _ => None,
        })?;
        Ok(Stream { pieces, result })
    }

    fn score(&self, given: Continuation, cancel: Arc<AtomicBool>) -> Result<Scored, EngineError> {
        let scored = self.ask(Work::Score(given), None, Some(cancel), |news| match news {
            News::Scored(scored) => Some(scored),
            _ => None,
        });
        scored?.wait()?
    }

    fn count_tokens(&self, texts: Vec<String>) -> Result<Vec<usize>, EngineError> {
        let counts = self.ask(Work::Count(texts), None, None, |news| match news {
            News::Counts(counts) => Some(counts),
            _ => None,
        });
        counts?.wait()?
    }

    fn describe(&self) -> Result<Description, EngineError> {
        let description = self.ask(Work::Describe, None, None, |news| match news {
            News::Description(description) => Some(*description),
            _ => None,
        });
        description?.wait()?
    }

    fn loading(&self) -> Option<f32> {
        let thousandths = self.loading.load(Ordering::Relaxed);
        (thousandths < NOT_LOADING).then(|| f32::from(thousandths) / 1000.0)
    }

    fn unload_if_idle(&self, idle: Duration) {
        let mut slot = lock(&self.running);
        if lock(&self.last_use).elapsed() < idle {
            return;
        }
        let busy = |running: &Running| {
            lock(&running.pending)
                .as_ref()
                .is_some_and(|p| !p.is_empty())
        };
        if slot.as_ref().is_some_and(busy) {
            return;
        }
        if let Some(running) = slot.take() {
            running.stop();
        }
    }
}

impl Drop for LlamaProcess {
    fn drop(&mut self) {
        if let Some(running) = lock(&self.running).take() {
            running.stop();
        }
    }
}

impl Running {
    /// It holds nothing that could be lost.
    fn stop(self) {
        let _ = lock(&self.child).kill();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if lock(&self.child)
                .try_wait()
                .is_ok_and(|ended| ended.is_some())
            {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the process where somebody waits and it says nothing for `silence`; returns when it has
    /// ended.
    fn watch(&self, silence: Duration, end: &Receiver<()>) {
        while end.recv_timeout(silence / GLANCES) == Err(RecvTimeoutError::Timeout) {
            let waits = lock(&self.pending).as_ref().is_some_and(|p| !p.is_empty());
            if waits && lock(&self.spoke).elapsed() > silence {
                self.was_silent.store(true, Ordering::Relaxed);
                let _ = lock(&self.child).kill();
                return;
            }
        }
    }
}

/// Hears what the process says.
struct Listener {
    running: Running,
    last_use: Arc<Mutex<Instant>>,
    loading: Arc<AtomicU16>,
    path: PathBuf,
    silence: Duration,
    /// What the process said of itself before it ended.
    trouble: Option<Trouble>,
}

impl Listener {
    fn run(mut self, stdout: BufReader<ChildStdout>) {
        let (ended, end) = channel();
        let (watched, silence) = (self.running.clone(), self.silence);
        std::thread::scope(|scope| {
            // Where there is no thread for it, it is not watched.
            let _ = std::thread::Builder::new()
                .name("coho-llama-watch".into())
                .spawn_scoped(scope, move || watched.watch(silence, &end));
            self.listen(stdout);
            drop(ended);
        });
        self.loading.store(NOT_LOADING, Ordering::Relaxed);
        let left = lock(&self.running.pending).take().unwrap_or_default();
        let status = self.wait();
        for waiting in left.into_values() {
            (waiting.done)(Err(self.why_it_ended(&status)));
        }
    }

    fn listen(&mut self, stdout: BufReader<ChildStdout>) {
        for line in stdout.lines() {
            let line = match line {
                Ok(line) => line,
                Err(error) => {
                    // It would wait for us as we for its end.
                    let said = format!("its process printed what cannot be read: {error}");
                    self.trouble.get_or_insert(Trouble::Run(said));
                    let _ = lock(&self.running.child).kill();
                    return;
                }
            };
            *lock(&self.running.spoke) = Instant::now();
            match serde_json::from_str(&line) {
                Ok(Line { id, news }) => self.hear(id, news),
                // Whatever else is printed there is not for us.
                Err(error) => {
                    if let Some(id) = number_of(&line) {
                        self.hear(id, News::Failed(Trouble::run(&error)));
                    }
                }
            }
            self.leave_the_left();
        }
    }

    fn why_it_ended(&self, status: &str) -> EngineError {
        let how = match &self.trouble {
            Some(trouble) => return trouble.clone().into_error(&self.path),
            None if self.running.was_silent.load(Ordering::Relaxed) => {
                let silence = self.silence.as_secs();
                format!("its process said nothing for {silence} s and was ended")
            }
            None => format!("its process ended ({status})"),
        };
        EngineError::Run {
            reason: format!("{how}; the next question starts it again"),
        }
    }

    fn hear(&mut self, id: u64, news: News) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a thousand"
        )]
        if let News::Loading(share) = news {
            let thousandths = (share.clamp(0.0, 1.0) * 1000.0) as u16;
            self.loading.store(thousandths, Ordering::Relaxed);
            return;
        }
        if id == 0 {
            if let News::Failed(trouble) = news {
                self.trouble = Some(trouble);
            }
            return;
        }
        // Whoever answers has been loaded.
        self.loading.store(NOT_LOADING, Ordering::Relaxed);
        let mut pending = lock(&self.running.pending);
        let Some(pending) = pending.as_mut() else {
            return;
        };
        if let News::Piece(piece) = news {
            if let Some(waiting) = pending.get_mut(&id) {
                let sent = waiting.pieces.as_ref().map(|pieces| pieces.send(piece));
                if sent.is_some_and(|sent| sent.is_err())
                    && let Some(cancel) = &waiting.cancel
                {
                    cancel.store(true, Ordering::Relaxed);
                }
            }
            return;
        }
        if let Some(waiting) = pending.remove(&id) {
            *lock(&self.last_use) = Instant::now();
            // The pieces end before the whole comes.
            drop(waiting.pieces);
            (waiting.done)(match news {
                News::Failed(trouble) => Err(trouble.into_error(&self.path)),
                news => Ok(news),
            });
        }
    }

    /// Tells the process of those who left.
    fn leave_the_left(&self) {
        let mut left = Vec::new();
        if let Some(pending) = lock(&self.running.pending).as_mut() {
            for (id, waiting) in pending {
                let cancel = waiting.cancel.as_ref();
                if !waiting.cancelled && cancel.is_some_and(|c| c.load(Ordering::Relaxed)) {
                    waiting.cancelled = true;
                    left.push(*id);
                }
            }
        }
        for id in left {
            let work = Work::Cancel;
            write(&self.running.stdin, &Request { id, work });
        }
    }

    fn wait(&self) -> String {
        let said = |status: ExitStatus| status.to_string();
        let status = lock(&self.running.child).wait();
        status.map_or_else(|error| error.to_string(), said)
    }
}

fn write(stdin: &Mutex<ChildStdin>, request: &Request) {
    let Ok(line) = serde_json::to_string(request) else {
        return;
    };
    let mut stdin = lock(stdin);
    let _ = writeln!(stdin, "{line}");
    let _ = stdin.flush();
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::engine::generate::{Message, Role};

    /// A keeper whose process does what `script` says.
    fn keeper(folder: &std::path::Path, script: &str) -> LlamaProcess {
        let (text, program) = (folder.join("text"), folder.join("worker"));
        std::fs::write(&text, format!("#!/bin/sh\nread options\n{script}\n")).unwrap();
        let executable = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(&text, executable).unwrap();
        // By another process: no program runs while it is open for writing, and what other tests start
        // just then holds what is open in this one.
        let mut copy = Command::new("cp");
        let copied = copy.args([&text, &program]).status().unwrap();
        assert!(copied.success());
        let options = LlamaOptions::plain(folder.join("model.gguf"));
        let mut model = LlamaProcess::new(program, options);
        model.silence = Duration::from_millis(400);
        model
    }

    fn failed(model: &LlamaProcess) -> String {
        let prompt = Prompt::new(vec![Message::new(Role::User, "When?")], 8);
        let stream = model.generate(prompt, Arc::default()).unwrap();
        stream.result.wait().unwrap().unwrap_err().to_string()
    }

    #[test]
    fn a_process_that_says_nothing_any_more_is_ended_and_started_again() {
        let folder = tempfile::tempdir().unwrap();
        let model = keeper(folder.path(), "exec sleep 600");
        for _ in 0..2 {
            let error = failed(&model);
            assert!(error.contains("said nothing"), "{error}");
        }
    }

    #[test]
    fn a_process_that_prints_what_cannot_be_read_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut model = keeper(
            folder.path(),
            "read request; printf '\\377\\n'; exec sleep 600",
        );
        // It is not the silence that ends it.
        model.silence = Duration::from_hours(1);
        let error = failed(&model);
        assert!(error.contains("cannot be read"), "{error}");
    }
}
