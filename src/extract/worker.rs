//! The worker: this binary again, as a child that reads files one by one and may die of any.
//!
//! A request is a line of JSON and the bytes of a file; a reply is one JSON document behind a mark
//! that holds a number drawn for the request, because parsers print things of their own and files
//! are hostile. The child limits its own address space; the parent limits the time and what it
//! reads, and replaces a child that died or has read enough.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::pdf::SoFar;
use super::{Extracted, Skip, TOO_LONG, Unread, WorkerLimits, read_in_worker};
use crate::domain::source::Kind;

/// The hidden subcommand that turns the binary into a worker.
pub const SUBCOMMAND: &str = "extract-worker";

const MARK: &str = "\u{1}coho-extracted ";

/// A child is replaced after so many files: parsers leak.
const FILES: u32 = 64;

/// Some parsers recurse as deep as the file is nested.
const STACK_BYTES: usize = 128 << 20;

#[derive(Serialize, Deserialize)]
struct Request {
    kind: String,
    name: String,
    bytes: usize,
    limit: usize,
    /// Time after which a reader that has a part of the file stops with it.
    time: Duration,
    ticket: u64,
}

type Reply = Result<Extracted, Skip>;

/// A running child.
pub(super) struct Worker {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    files: u32,
}

impl Worker {
    /// May it read another file? One that was ended while it waited, as for want of memory, would tell
    /// that file's owner that it cannot be read.
    fn is_fit(&mut self) -> bool {
        self.files < FILES && matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(limits: &WorkerLimits) -> Result<Worker, Unread> {
    let mut child = Command::new(&limits.program)
        .arg(SUBCOMMAND)
        .arg(limits.memory_bytes.to_string())
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| {
            Unread::Reader(format!("the extraction worker does not start: {error}"))
        })?;
    let stdin = child.stdin.take().expect("stdin was piped");
    let stdout = BufReader::new(child.stdout.take().expect("stdout was piped"));
    Ok(Worker {
        child,
        stdin,
        stdout,
        files: 0,
    })
}

/// Reads a file in the child that is there, or in a new one.
///
/// # Errors
/// [`Unread`] with what the child said, or with how it died.
pub(super) fn run(
    idle: &mut Option<Worker>,
    kind: Kind,
    name: &str,
    bytes: &[u8],
    limits: &WorkerLimits,
) -> Result<Extracted, Unread> {
    drop(idle.take_if(|worker| !worker.is_fit()));
    let mut worker = match idle.take() {
        Some(worker) => worker,
        None => start(limits)?,
    };
    let request = Request {
        kind: kind.as_str().to_owned(),
        name: name.to_owned(),
        bytes: bytes.len(),
        limit: limits.output_bytes,
        // The rest is for the page under way and for the reply.
        time: limits.timeout / 5 * 4,
        ticket: ticket(bytes),
    };
    let began = Instant::now();
    match ask(&mut worker, &request, bytes, limits.timeout) {
        Asked::Replied(reply) => {
            worker.files += 1;
            // One that took longer may still be at a page that it has given up.
            if began.elapsed() < request.time {
                *idle = Some(worker);
            }
            Ok((*reply)?)
        }
        Asked::TooSlow => {
            let seconds = limits.timeout.as_secs();
            Err(Skip(format!("gave up after {seconds} s: {TOO_LONG}")).into())
        }
        Asked::TooMuch => Err(Skip::too_much(limits.output_bytes).into()),
        Asked::Died => Err(match worker.child.wait() {
            Ok(status) => Skip(death(status)).into(),
            Err(error) => Unread::Reader(format!("the extraction worker was lost: {error}")),
        }),
    }
}

/// A number that a file cannot know.
fn ticket(bytes: &[u8]) -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_usize(bytes.len());
    hasher.finish()
}

enum Asked {
    Replied(Box<Reply>),
    TooSlow,
    TooMuch,
    Died,
}

fn ask(worker: &mut Worker, request: &Request, bytes: &[u8], timeout: Duration) -> Asked {
    // Escaped JSON of the text, its blocks, and room for what the document says about itself.
    let cap = (request.limit as u64) * 4 + (1 << 20);
    let Worker {
        child,
        stdin,
        stdout,
        ..
    } = worker;
    let (send, receive) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut head = serde_json::to_vec(request).unwrap_or_default();
            head.push(b'\n');
            // A child that dies early closes the pipe; how it died is told below.
            let _ = stdin
                .write_all(&head)
                .and_then(|()| stdin.write_all(bytes))
                .and_then(|()| stdin.flush());
        });
        scope.spawn(move || {
            let _ = send.send(receive_reply(stdout, request.ticket, cap));
        });
        let asked = receive.recv_timeout(timeout).unwrap_or(Asked::TooSlow);
        if !matches!(asked, Asked::Replied(_)) {
            // The threads end when the pipes do; one that died already stays dead of the same.
            let _ = child.kill();
            let _ = child.wait();
        }
        asked
    })
}

fn receive_reply(stdout: &mut impl BufRead, ticket: u64, cap: u64) -> Asked {
    let mark = format!("{MARK}{ticket:016x}\n");
    let mut stdout = stdout.take(cap);
    let mut line = Vec::new();
    loop {
        line.clear();
        match stdout.read_until(b'\n', &mut line) {
            Ok(0) if stdout.limit() == 0 => return Asked::TooMuch,
            Ok(0) | Err(_) => return Asked::Died,
            Ok(_) if line == mark.as_bytes() => break,
            Ok(_) => {}
        }
    }
    line.clear();
    match stdout.read_until(b'\n', &mut line) {
        Ok(_) if line.last() == Some(&b'\n') => {}
        _ if stdout.limit() == 0 => return Asked::TooMuch,
        _ => return Asked::Died,
    }
    match serde_json::from_slice(&line) {
        Ok(reply) => Asked::Replied(Box::new(reply)),
        Err(_) => Asked::Died,
    }
}

fn death(status: ExitStatus) -> String {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        // Who takes too long is ended by the parent; 9 is the system's word for want of memory.
        if let Some(6 | 9 | 11) = status.signal() {
            return "gave up: reading it takes too much memory or crashes its parser".into();
        }
    }
    format!("broken: its parser ended without a result ({status})")
}

/// The child's side; `arguments` are what the parent gave after the subcommand. Returns the exit
/// code.
pub fn main(arguments: &[String]) -> u8 {
    let [memory] = arguments else {
        return 2;
    };
    limit(memory.parse().ok());
    // A broken file is no news.
    std::panic::set_hook(Box::new(|_| {}));
    let mut stdin = BufReader::new(std::io::stdin().lock());
    let mut head = String::new();
    loop {
        head.clear();
        match stdin.read_line(&mut head) {
            Ok(0) => return 0,
            Ok(_) => {}
            Err(_) => return 2,
        }
        let Ok(request) = serde_json::from_str::<Request>(&head) else {
            return 2;
        };
        let mut bytes = vec![0; request.bytes];
        if stdin.read_exact(&mut bytes).is_err() || reply(&request, bytes).is_err() {
            return 2;
        }
    }
}

fn reply(request: &Request, bytes: Vec<u8>) -> std::io::Result<()> {
    let said: Reply = match Kind::named(&request.kind) {
        None => Err(Skip(format!("there is no reader for {}", request.kind))),
        Some(kind) => read(kind, request, bytes)?,
    };
    let json = serde_json::to_vec(&said)?;
    let mut stdout = std::io::stdout().lock();
    write!(stdout, "\n{MARK}{:016x}\n", request.ticket)?;
    stdout.write_all(&json)?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

/// Reads a file on a stack that is deep enough. Where half of the time that the parent leaves for it does
/// not end the page under way, what there is of the others is the reply, and the parent ends the process.
fn read(kind: Kind, request: &Request, bytes: Vec<u8>) -> std::io::Result<Reply> {
    let (name, limit, time) = (request.name.clone(), request.limit, request.time);
    let began = Instant::now();
    let is_late = move || began.elapsed() > time;
    let so_far = Arc::new(SoFar::default());
    let kept = Arc::clone(&so_far);
    let (send, receive) = mpsc::channel();
    let reader = std::thread::Builder::new()
        .name("extract".into())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let said = read_in_worker(kind, &name, &bytes, limit, &is_late, &kept);
            let _ = send.send(said);
        })?;
    let mut said = receive.recv_timeout(time + time / 8);
    if said == Err(RecvTimeoutError::Timeout) {
        if let Some(document) = so_far.document(limit) {
            return Ok(document);
        }
        said = receive.recv().map_err(|_| RecvTimeoutError::Disconnected);
    }
    let _ = reader.join();
    Ok(said.unwrap_or_else(|_| Err(Skip("broken: its parser gives up on it".into()))))
}

#[cfg(unix)]
fn limit(memory_bytes: Option<u64>) {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let to = |value: Option<u64>| Rlimit {
        current: value,
        maximum: value,
    };
    // A limit that cannot be set is not worth failing for: the parent's clock still runs.
    let _ = setrlimit(Resource::As, to(memory_bytes));
    let _ = setrlimit(Resource::Core, to(Some(0)));
    let _ = setrlimit(Resource::Fsize, to(Some(0)));
    // Nobody waits for a worker whose parent is gone.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}

#[cfg(not(unix))]
fn limit(_: Option<u64>) {}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    #[test]
    fn one_that_ended_while_it_waited_reads_nothing_more() {
        use super::*;
        let limits = WorkerLimits {
            // It finds no script that is called as the subcommand, and ends.
            program: "/bin/sh".into(),
            timeout: Duration::from_mins(1),
            memory_bytes: 0,
            output_bytes: 0,
        };
        let mut worker = start(&limits).unwrap();
        worker.child.wait().unwrap();
        assert!(!worker.is_fit());
    }

    #[cfg(unix)]
    #[test]
    fn one_that_the_system_ended_took_too_much_memory() {
        use std::os::unix::process::ExitStatusExt;
        let said = super::death(std::process::ExitStatus::from_raw(9));
        assert!(said.contains("memory"), "{said}");
    }
}
