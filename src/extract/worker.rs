//! The worker: this binary again, as a child that reads one file and may die of it.
//!
//! Bytes go in on stdin, one JSON document comes out on stdout behind a mark (parsers print things
//! of their own). The child limits its own address space and processor time; the parent limits the
//! time and what it reads.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Extracted, Skip, WorkerLimits, pdf};
use crate::domain::outline::{Block, BlockKind, Outline};
use crate::domain::source::{Kind, Meta};

/// The hidden subcommand that turns the binary into a worker.
pub const SUBCOMMAND: &str = "extract-worker";

const MARK: &str = "\u{1}coho-extracted\u{1}\n";

#[derive(Serialize, Deserialize)]
enum Said {
    Found {
        text: String,
        /// Start, end, heading level (0 for prose), page (0 for none).
        blocks: Vec<(usize, usize, u8, u32)>,
        meta: Meta,
    },
    Skipped(String),
}

/// Reads a file in a child process.
///
/// # Errors
/// [`Skip`] with what the child said, or with how it died.
pub(super) fn run(kind: Kind, bytes: &[u8], limits: &WorkerLimits) -> Result<Extracted, Skip> {
    let failed = |what: &str, error: std::io::Error| Skip(format!("{what}: {error}"));
    let mut child = Command::new(&limits.program)
        .arg(SUBCOMMAND)
        .arg(kind.as_str())
        .arg(limits.memory_bytes.to_string())
        .arg(limits.timeout.as_secs().max(1).to_string())
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed("the extraction worker does not start", error))?;
    let mut stdin = child.stdin.take().expect("stdin was piped");
    let stdout = child.stdout.take().expect("stdout was piped");
    let (send, receive) = mpsc::channel();
    let cap = limits.output_bytes as u64 + 1;
    let (status, output) = std::thread::scope(|scope| {
        scope.spawn(move || {
            // A child that dies early closes the pipe; how it died is told below.
            let _ = stdin.write_all(bytes);
        });
        scope.spawn(move || {
            let mut output = Vec::new();
            let _ = stdout.take(cap).read_to_end(&mut output);
            let _ = send.send(output);
        });
        let output = receive.recv_timeout(limits.timeout + Duration::from_millis(500));
        let exceeded = output.as_ref().is_ok_and(|o| o.len() as u64 >= cap);
        if output.is_err() || exceeded {
            let _ = child.kill();
        }
        (child.wait(), output)
    });
    let Ok(output) = output else {
        let seconds = limits.timeout.as_secs();
        return Err(Skip(format!(
            "gave up after {seconds} s: reading it takes too long"
        )));
    };
    if output.len() > limits.output_bytes {
        let mebibytes = limits.output_bytes >> 20;
        return Err(Skip(format!(
            "it unpacks to more than {mebibytes} MiB of text"
        )));
    }
    let status = status.map_err(|error| failed("the extraction worker was lost", error))?;
    parse(&output).unwrap_or_else(|| Err(Skip(death(status))))
}

fn parse(output: &[u8]) -> Option<Result<Extracted, Skip>> {
    let mark = MARK.as_bytes();
    let at = output
        .windows(mark.len())
        .rposition(|window| window == mark)?;
    let said: Said = serde_json::from_slice(&output[at + mark.len()..]).ok()?;
    Some(match said {
        Said::Skipped(reason) => Err(Skip(reason)),
        Said::Found { text, blocks, meta } => Ok(Extracted {
            outline: Outline {
                blocks: blocks.into_iter().map(block).collect(),
                text,
            },
            meta,
        }),
    })
}

fn block((start, end, level, page): (usize, usize, u8, u32)) -> Block {
    Block {
        span: start..end,
        kind: match level {
            0 => BlockKind::Prose,
            level => BlockKind::Heading(level),
        },
        heading: None,
        page: (page > 0).then_some(page),
    }
}

fn death(status: std::process::ExitStatus) -> String {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        match status.signal() {
            Some(9 | 24) => return "gave up: reading it takes too long".into(),
            Some(6 | 11) => return "gave up: reading it takes too much memory or crashes".into(),
            _ => {}
        }
    }
    match status.code() {
        Some(101) => "broken: its parser gives up on it".into(),
        _ => format!("its parser ended without a result ({status})"),
    }
}

/// The child's side; `arguments` are what the parent gave after the subcommand. Returns the exit
/// code.
pub fn main(arguments: &[String]) -> u8 {
    let [kind, memory, seconds] = arguments else {
        return 2;
    };
    limit(memory.parse().ok(), seconds.parse().ok());
    let mut bytes = Vec::new();
    if std::io::stdin().read_to_end(&mut bytes).is_err() {
        return 2;
    }
    let found = match kind.as_str() {
        "pdf" => pdf::extract(&bytes),
        other => Err(Skip(format!("there is no reader for {other}"))),
    };
    let said = match found {
        Err(Skip(reason)) => Said::Skipped(reason),
        Ok(Extracted { outline, meta }) => Said::Found {
            blocks: outline.blocks.iter().map(numbers).collect(),
            text: outline.text,
            meta,
        },
    };
    let Ok(json) = serde_json::to_string(&said) else {
        return 2;
    };
    let mut stdout = std::io::stdout().lock();
    let written = stdout
        .write_all(MARK.as_bytes())
        .and_then(|()| stdout.write_all(json.as_bytes()))
        .and_then(|()| stdout.flush());
    u8::from(written.is_err()) * 2
}

fn numbers(block: &Block) -> (usize, usize, u8, u32) {
    let level = match block.kind {
        BlockKind::Heading(level) => level,
        BlockKind::Prose | BlockKind::Code => 0,
    };
    (
        block.span.start,
        block.span.end,
        level,
        block.page.unwrap_or(0),
    )
}

#[cfg(unix)]
fn limit(memory_bytes: Option<u64>, seconds: Option<u64>) {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let to = |value: Option<u64>| Rlimit {
        current: value,
        maximum: value,
    };
    // A limit that cannot be set is not worth failing for: the parent's clock still runs.
    let _ = setrlimit(Resource::As, to(memory_bytes));
    let _ = setrlimit(Resource::Cpu, to(seconds));
    let _ = setrlimit(Resource::Core, to(Some(0)));
    let _ = setrlimit(Resource::Fsize, to(Some(0)));
}

#[cfg(not(unix))]
fn limit(_: Option<u64>, _: Option<u64>) {}
