//! The command line: arguments, and one short function per subcommand.
//!
//! Data goes to stdout, everything else to stderr; `--json` prints one JSON document. The exit
//! code is 0 when done, 1 when the user can mend it, 2 when it is our fault.

/// Prints a line of data; a reader that has gone away (`| head`) ends the command quietly.
macro_rules! out {
    ($($argument:tt)*) => {
        $crate::cli::print_line(format_args!($($argument)*))
    };
}

/// Prints a line of what is not data; that nobody reads it is no error.
macro_rules! note {
    ($($argument:tt)*) => {
        $crate::cli::print_note(format_args!($($argument)*))
    };
}

mod ask;
mod bench;
mod care;
mod completions;
mod doctor;
mod eval;
mod experiments;
mod gap;
mod import;
mod mcp;
mod mcp_config;
mod models;
pub mod output;
mod remote;
mod report;
mod serve;
mod show;
mod sources;
mod tokens;
mod unit;
mod units;

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Directive;

use crate::app::{self, App};
use crate::domain::source::turns;
use crate::error::{BadRequest, Failure, Kind};
use crate::flow::answer::Strategy;
use crate::settings::{self, Places, Settings};
use crate::store::Access;
use crate::store::ledger::Snapshot;
use crate::store::sources::Rules;
use remote::Remote;

/// A personal knowledge base that answers from your own notes, on your own machine
#[derive(Parser)]
#[command(name = "coho", version, propagate_version = true)]
struct Arguments {
    /// Settings file, instead of the one in the platform's config folder
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON document on stdout
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Add a folder of notes, and read it
    Add {
        /// The folder
        path: PathBuf,
        /// Only read files that fit this glob (may be repeated)
        #[arg(long, value_name = "GLOB")]
        include: Vec<String>,
        /// Leave out files that fit this glob (may be repeated)
        #[arg(long, value_name = "GLOB")]
        exclude: Vec<String>,
        /// Only register it: the next sync reads it, or a service that runs
        #[arg(long)]
        no_sync: bool,
        /// Never distil knowledge units from it
        #[arg(long)]
        no_writeback: bool,
        /// Others wrote what is in it: what is learned from it needs a second source or your word
        #[arg(long)]
        outside: bool,
        /// Editors and agents may write new notes into it (MCP's `remember`)
        #[arg(long)]
        notes: bool,
        /// Nothing of it may be sent to another machine, whatever is asked
        #[arg(long)]
        never_leaves: bool,
    },
    /// List the folders that were added; move, keep or remove one
    Sources {
        #[command(subcommand)]
        action: Option<SourcesAction>,
    },
    /// Read what changed since the last time
    Sync {
        /// Only this source (its number or its path)
        source: Option<String>,
    },
    /// Run the service: watch the folders, answer over HTTP
    Serve {
        /// Address and port to listen on
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<String>,
        /// Make it impossible for coho, and for what it starts, to reach another machine
        #[arg(long)]
        air_gap: bool,
    },
    /// Speak the Model Context Protocol on stdin and stdout, for agents
    Mcp {
        /// With the rights and sources of this token instead of all
        #[arg(long = "as", value_name = "NAME")]
        token: Option<String>,
        /// Print what this program wants in its settings, and end
        #[arg(long, value_enum, value_name = "CLIENT")]
        print_config: Option<mcp_config::Client>,
    },
    /// Erase questions and answers for good, with what was learned of them alone
    #[command(group(clap::ArgGroup::new("what").required(true)))]
    Forget {
        /// This answer (its id)
        #[arg(group = "what")]
        answer: Option<String>,
        /// All that were asked before this day (`2026-11`, `90d`)
        #[arg(long, value_name = "DAY", group = "what")]
        before: Option<String>,
        /// All that show something of this source, or of a folder that was one (its number or its path)
        #[arg(long, value_name = "SOURCE", group = "what")]
        source: Option<String>,
        /// All
        #[arg(long, group = "what")]
        all: bool,
    },
    /// Have coho started with your session (systemd, launchd)
    Service {
        #[command(subcommand)]
        action: unit::Action,
    },
    /// Make notes of what other programs keep; again, and only what changed is written
    Import {
        /// What is brought in
        what: crate::import::What,
        /// Where it lies
        path: PathBuf,
        /// The folder of the notes
        #[arg(long, value_name = "FOLDER")]
        into: PathBuf,
    },
    /// Make, list and take back tokens for editors and agents
    Token {
        #[command(subcommand)]
        action: Option<tokens::Action>,
    },
    /// Search the notes
    Search {
        /// Words, "phrases", -without, and filters such as `tag:work` or `after:2026-10`
        #[arg(allow_hyphen_values = true)]
        query: String,
        /// Hits at most
        #[arg(long, short)]
        k: Option<usize>,
        /// Only this source (its number or its path)
        #[arg(long)]
        source: Option<String>,
        /// Rank the best anew with the reranker
        #[arg(long)]
        rerank: bool,
        /// Say how each hit came about
        #[arg(long)]
        explain: bool,
    },
    /// Ask a question; the answer cites the notes it rests on
    Ask(AskArguments),
    /// Say whether an answer was good; what is called bad is not quoted to that question again
    Feedback {
        /// Id of the answer, as `coho ask` tells it below the answer
        answer: String,
        /// `good` or `bad`
        verdict: String,
        /// Why
        #[arg(long)]
        note: Option<String>,
    },
    /// List, show and decide about the knowledge units that were distilled
    Units {
        #[command(subcommand)]
        action: Option<units::UnitsAction>,
    },
    /// Distil knowledge units from answers that hold up
    Writeback {
        #[command(subcommand)]
        action: Option<units::WritebackAction>,
    },
    /// Show what is known, and what could not be read
    Status {
        /// List the files that could not be read, with the reason
        #[arg(long)]
        problems: bool,
        /// Show exactly what left this machine for the remote model
        #[arg(long, conflicts_with = "problems")]
        left: bool,
    },
    /// Measure what is found and answered, with units and without, and compare
    Eval {
        #[command(subcommand)]
        action: Option<eval::Action>,
    },
    /// Compare ledger, vectors, terms and files; exit code 1 when they differ
    Verify {
        /// Mend what differs
        #[arg(long)]
        repair: bool,
    },
    /// Make both indexes anew from the ledger and the files
    Reindex,
    /// Write one archive of everything that is known, also while the service runs
    Backup {
        /// The archive to write; must not exist
        file: PathBuf,
    },
    /// Read an archive into an empty data folder
    Restore {
        /// The archive
        file: PathBuf,
    },
    /// Write units, questions, answers and feedback as JSON lines
    Export {
        /// What to write
        #[arg(value_enum, default_value_t)]
        what: care::Export,
        /// A new file, instead of stdout
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// List, install, choose and measure models
    Models {
        #[command(subcommand)]
        action: Option<models::Action>,
    },
    /// Find what is missing and say how to mend it
    Doctor,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(clap::Args)]
struct AskArguments {
    /// The question
    question: String,
    /// How to answer
    #[arg(long)]
    strategy: Option<Strategy>,
    /// Passages to look at
    #[arg(long, short)]
    k: Option<usize>,
    /// Only this source (its number or its path)
    #[arg(long)]
    source: Option<String>,
    /// Use original passages only, no knowledge units
    #[arg(long)]
    no_units: bool,
    /// Answer both ways, without knowledge units and with them
    #[arg(long, conflicts_with = "no_units")]
    ab: bool,
    /// Let the remote model of `remote.url` write the answer: what is private is masked, and what
    /// leaves is written down (`coho status --left`)
    #[arg(long, conflicts_with_all = ["strategy", "ab"])]
    remote: bool,
    /// Read the answer aloud, sentence by sentence while it is written
    #[arg(long, conflicts_with = "ab")]
    speak: bool,
}

#[derive(Subcommand)]
enum SourcesAction {
    /// Tell where a folder is now; nothing is read again that did not change
    Move {
        /// Its number or its path
        source: String,
        /// Where it is now
        path: PathBuf,
        /// Although none of its documents is there
        #[arg(long)]
        force: bool,
    },
    /// Keep all of a folder on this machine, whatever is asked
    Keep {
        /// Its number or its path
        source: String,
        /// Take that back
        #[arg(long)]
        may_leave: bool,
    },
    /// Forget a folder; its files are not touched
    Remove {
        /// Its number or its path
        source: String,
    },
}

/// What a command is given: where things lie, what is set, how to print.
struct Session {
    places: Places,
    settings: Settings,
    json: bool,
}

/// Text for a terminal: control characters, which notes and names of files may hold, do nothing there,
/// and what turns the direction of writing does so to the end of its line at most.
fn harmless(text: &str) -> Cow<'_, str> {
    let acts = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(|c| acts(c) || turns(c)) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    // What ends the directions that are open, the outermost first.
    let mut open: Vec<char> = Vec::new();
    for c in text.chars() {
        match c {
            '\u{202a}' | '\u{202b}' | '\u{202d}' | '\u{202e}' => open.push('\u{202c}'),
            '\u{2066}'..='\u{2068}' => open.push('\u{2069}'),
            '\n' => shown.extend(open.drain(..).rev()),
            _ if open.last() == Some(&c) => {
                open.pop();
            }
            _ => {}
        }
        shown.push(if acts(c) { '\u{fffd}' } else { c });
    }
    shown.extend(open.into_iter().rev());
    Cow::Owned(shown)
}

fn print_line(line: std::fmt::Arguments<'_>) {
    let text = line.to_string();
    let mut stdout = std::io::stdout().lock();
    let written = stdout
        .write_all(harmless(&text).as_bytes())
        .and_then(|()| stdout.write_all(b"\n"));
    if let Err(error) = written {
        // Who closed the pipe has read enough; anything else was not printed.
        let enough = error.kind() == std::io::ErrorKind::BrokenPipe;
        if !enough {
            note!("error: cannot print: {error}");
        }
        std::process::exit(i32::from(!enough));
    }
}

fn print_note(line: std::fmt::Arguments<'_>) {
    let text = line.to_string();
    let mut stderr = std::io::stderr().lock();
    // Where this cannot be written, nothing else can be said either.
    let _ = stderr
        .write_all(harmless(&text).as_bytes())
        .and_then(|()| stderr.write_all(b"\n"));
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    crate::umask::keep_private();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(usage) => return misused(&usage),
    };
    let _log = log(matches!(arguments.command, Command::Serve { .. }));
    let json = arguments.json;
    match run(arguments) {
        Ok(code) => code,
        Err(failure) => {
            show::failure(&failure, json);
            ExitCode::from(failure.kind().exit_code())
        }
    }
}

/// Help and versions are what was asked for; whatever else clap says is for the user to mend.
fn misused(usage: &clap::Error) -> ExitCode {
    if !usage.use_stderr() {
        let _ = usage.print();
        return ExitCode::SUCCESS;
    }
    let json = std::env::args_os().any(|argument| argument == "--json");
    if json {
        let said = usage.render().to_string();
        let (message, hint) = said.trim().split_once("\n\n").unwrap_or((said.trim(), ""));
        let message = message.trim_start_matches("error: ");
        show::failure(&BadRequest::new("usage", message, hint.trim()).into(), true);
    } else {
        let _ = usage.print();
    }
    ExitCode::from(Kind::BadInput.exit_code())
}

/// Libraries that log what they are given where they are told to log all: whole messages of MCP, every
/// letter that is cut into tokens, every byte that is sent with the token before it.
const QUIET: [&str; 4] = [
    "rmcp=error",
    "tokenizers=warn",
    "ureq=warn",
    "ureq_proto=warn",
];

/// Logs go to stderr; where nobody reads that, they are dropped, and nothing waits for them.
fn log(service: bool) -> tracing_appender::non_blocking::WorkerGuard {
    let default = if service {
        "warn,coho=info,llama_cpp_2=error,llama-cpp-2=error"
    } else {
        "error"
    };
    let filter = EnvFilter::try_from_env("COHO_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let quiet = QUIET
        .iter()
        .filter_map(|said| said.parse::<Directive>().ok());
    let filter = quiet.fold(filter, EnvFilter::add_directive);
    let (stderr, guard) = tracing_appender::non_blocking(std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    guard
}

/// Where things lie and how they are set, by what the command line says.
fn session(arguments: &Arguments) -> Result<Session, Failure> {
    let places = settings::places(arguments.config.clone())?;
    let mut flags = Vec::new();
    if let Command::Serve { listen, air_gap } = &arguments.command {
        flags.extend(listen.iter().map(|to| ("serve.listen", to.clone())));
        flags.extend(air_gap.then(|| ("serve.air_gap", "true".into())));
    }
    let settings = settings::resolve(&places.config, &flags)?;
    // Whoever looks for what is wrong, or wants their things back, is not stopped by an address.
    let speaks = matches!(
        arguments.command,
        Command::Ask(_)
            | Command::Serve { .. }
            | Command::Mcp { .. }
            | Command::Eval { .. }
            | Command::Writeback { .. }
    );
    if speaks {
        app::network::check_addresses(&settings)?;
    }
    if arguments.config.is_some() && !places.config.exists() {
        let path = places.config.display();
        note!("there was no settings file {path}: it is made, with every default");
    }
    if let Err(error) = settings::write_default(&places.config) {
        tracing::warn!(%error, "the settings file could not be written");
    }
    Ok(Session {
        places,
        settings,
        json: arguments.json,
    })
}

fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    if let Command::Completions { shell } = arguments.command {
        return completions::print(shell, arguments.json);
    }
    let session = session(&arguments)?;
    gap::keep(&session, &arguments.command)?;
    match arguments.command {
        Command::Add {
            path,
            include,
            exclude,
            no_sync,
            no_writeback,
            outside,
            notes,
            never_leaves,
        } => {
            let rules = Rules {
                include,
                exclude,
                writeback: !no_writeback,
                outside,
                notes,
                never_leaves,
            };
            sources::add(session, path, &rules, no_sync)
        }
        Command::Sources { action } => sources::run(session, action),
        Command::Sync { source } => sources::sync(session, source.as_deref()),
        Command::Serve { .. } => serve::run(session),
        Command::Mcp {
            token,
            print_config: Some(client),
        } => mcp_config::print(&session, client, token.as_deref()),
        Command::Mcp { token, .. } => mcp::run(session, token.as_deref()),
        Command::Forget {
            answer,
            before,
            source,
            ..
        } => care::forget(session, answer, before.as_deref(), source.as_deref()),
        Command::Service { action } => unit::run(&session, &action),
        Command::Import { what, path, into } => import::run(session, what, &path, &into),
        Command::Token { action } => tokens::run(session, action.unwrap_or_default()),
        Command::Search {
            query,
            k,
            source,
            rerank,
            explain,
        } => ask::search(session, query, k, source.as_deref(), rerank, explain),
        Command::Ask(arguments) if arguments.ab => ask::both_ways(session, &arguments),
        Command::Ask(arguments) => ask::ask(session, &arguments),
        Command::Feedback {
            answer,
            verdict,
            note,
        } => ask::feedback(session, &answer, &verdict, note.as_deref()),
        Command::Units { action } => units::run(session, action.unwrap_or_default()),
        Command::Writeback { action } => units::writeback(session, action.unwrap_or_default()),
        Command::Status { left: true, .. } => left(session),
        Command::Status { problems, .. } => status(session, problems),
        Command::Eval { action } => eval::run(&session, action.unwrap_or_default()),
        Command::Verify { repair } => care::run_verify(session, repair),
        Command::Reindex => care::reindex(session),
        Command::Backup { file } => care::run_backup(session, &file),
        Command::Restore { file } => care::run_restore(session, &file),
        Command::Export { what, output } => care::export(session, what, output.as_deref()),
        Command::Models { action } => models::run(session, action.unwrap_or_default()),
        Command::Doctor => Ok(doctor::run(&session)),
        Command::Completions { .. } => unreachable!("handled above"),
    }
}

impl Session {
    fn open(self, access: Access) -> Result<App, Failure> {
        App::open(self.settings, self.places, access)
    }

    /// Opens it to search. Indexes that were deleted are made anew first, from the ledger, where no
    /// service holds the data folder.
    fn open_to_search(self) -> Result<App, Failure> {
        let (settings, places) = (self.settings.clone(), self.places.clone());
        let app = self.open(Access::Read)?;
        let space = app.spaces.current();
        let gone = |snapshot: &Snapshot<'_>| app.store.is_unindexed(&space.indexes, snapshot);
        if !app.store.ledger().read(gone)? {
            return Ok(app);
        }
        drop(space);
        drop(app);
        let app = App::open(settings.clone(), places.clone(), Access::Write)?;
        note!("the indexes are gone: they are made anew from the ledger");
        sources::heal(&app, &stop_on_interrupt())?;
        app.ingest.rest()?;
        app.spaces.current().indexes.settle();
        drop(app);
        App::open(settings, places, Access::Read)
    }

    /// As [`Session::open`], where no model is needed; see [`App::open_records`].
    fn open_records(self, access: Access) -> Result<App, Failure> {
        App::open_records(self.settings, self.places, access)
    }
}

/// The knowledge base to write to: ours, or the one of the service that holds it.
enum Writing {
    Here(Box<App>),
    There(Box<Remote>),
}

fn open_for_writing(session: Session) -> Result<Writing, Failure> {
    let places = session.places.clone();
    here_or_there(&places, session.open(Access::Write))
}

/// `opened` to write to, or the service that holds it.
fn here_or_there(places: &Places, opened: Result<App, Failure>) -> Result<Writing, Failure> {
    match opened {
        Ok(app) => Ok(Writing::Here(Box::new(app))),
        Err(failure) if failure.code() == "data_folder_in_use" => {
            Remote::find(places).map_or(Err(failure), |remote| Ok(Writing::There(Box::new(remote))))
        }
        Err(failure) => Err(failure),
    }
}

/// A flag that Ctrl-C sets; a second Ctrl-C ends the process at once.
fn stop_on_interrupt() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let waiting = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        if let Ok(runtime) = runtime {
            runtime.block_on(async {
                let _ = tokio::signal::ctrl_c().await;
                flag.store(true, Ordering::Relaxed);
                note!("stopping after what is at hand; press Ctrl-C again to stop at once");
                let _ = tokio::signal::ctrl_c().await;
                std::process::exit(1);
            });
        }
    };
    // Without the thread Ctrl-C ends the process at once, which the store survives.
    let _ = std::thread::Builder::new()
        .name("coho-interrupt".into())
        .spawn(waiting);
    stop
}

/// What left for the remote model.
fn left(session: Session) -> Result<ExitCode, Failure> {
    let json = session.json;
    let left = session.open_records(Access::Read)?.left()?;
    if json {
        show::json(&left);
    } else {
        show::left(&left);
    }
    Ok(ExitCode::SUCCESS)
}

fn status(mut session: Session, problems: bool) -> Result<ExitCode, Failure> {
    let json = session.json;
    // What leaves is told as the running service was told to listen.
    if let Some(remote) = Remote::find(&session.places) {
        session.settings.serve.listen = remote.address();
        session.settings.serve.air_gap |= remote.is_behind_gap().unwrap_or(false);
    }
    let app = session.open_records(Access::Read)?;
    match (problems, json) {
        (true, true) => show::json(&app.problems()?),
        (true, false) => show::problems(&app.problems()?),
        (false, true) => show::json(&app.status()?),
        (false, false) => show::status(&app.status()?),
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_turns_the_direction_ends_with_its_line() {
        let check = |text: &str, expected: &str| assert_eq!(harmless(text), expected);
        check("שלום\u{200f} b", "שלום\u{200f} b");
        check("a \u{202e}b\nc", "a \u{202e}b\u{202c}\nc");
        check("\u{2067}a\u{2069} b", "\u{2067}a\u{2069} b");
        check("\u{2067}\u{202b}a", "\u{2067}\u{202b}a\u{202c}\u{2069}");
        check("\u{1b}[2J\ta", "\u{fffd}[2J\ta");
    }
}
