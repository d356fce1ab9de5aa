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
mod show;
mod tokens;
mod unit;
mod units;

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Parser, Subcommand};

use crate::app::{self, App, Service};
use crate::domain::source::{SourceId, turns};
use crate::error::{BadRequest, Failure, Fault, Kind};
use crate::flow::answer::{Ask, Event, Strategy};
use crate::flow::ingest::Report;
use crate::settings::{self, Places, Settings};
use crate::store::ledger::Snapshot;
use crate::store::sources::{Rules, Source};
use crate::store::units::UseUnits;
use crate::store::{Access, StoreError};
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
        /// Only register it
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
    /// List the folders that were added, or remove one
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
    /// Say whether an answer was good
    Feedback {
        /// Id of the answer, as `coho ask --json` tells it
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
            eprintln!("error: cannot print: {error}");
        }
        std::process::exit(i32::from(!enough));
    }
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

/// Logs go to stderr; where nobody reads that, they are dropped, and nothing waits for them.
fn log(service: bool) -> tracing_appender::non_blocking::WorkerGuard {
    let default = if service {
        "warn,coho=info,llama_cpp_2=error,llama-cpp-2=error"
    } else {
        "error"
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("COHO_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    // It logs whole messages of MCP, which hold questions and passages.
    let filter = match "rmcp=warn".parse() {
        Ok(quiet) => filter.add_directive(quiet),
        Err(_) => filter,
    };
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
        eprintln!("there was no settings file {path}: it is made, with every default");
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
            add(session, path, &rules, no_sync)
        }
        Command::Sources { action } => sources(session, action),
        Command::Sync { source } => sync(session, source.as_deref()),
        Command::Serve { .. } => serve(session),
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
        } => search(session, query, k, source.as_deref(), rerank, explain),
        Command::Ask(arguments) if arguments.ab => both_ways(session, &arguments),
        Command::Ask(arguments) => ask(session, &arguments),
        Command::Feedback {
            answer,
            verdict,
            note,
        } => feedback(session, &answer, &verdict, note.as_deref()),
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
        eprintln!("the indexes are gone: they are made anew from the ledger");
        heal(&app, &stop_on_interrupt())?;
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
    There(Remote),
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
            Remote::find(places).map_or(Err(failure), |remote| Ok(Writing::There(remote)))
        }
        Err(failure) => Err(failure),
    }
}

fn add(session: Session, path: PathBuf, rules: &Rules, no_sync: bool) -> Result<ExitCode, Failure> {
    let json = session.json;
    let path = std::path::absolute(&path).unwrap_or(path);
    let places = session.places.clone();
    let opened = if no_sync {
        session.open_records(Access::Write)
    } else {
        session.open(Access::Write)
    };
    let (source, report) = match here_or_there(&places, opened)? {
        Writing::Here(app) => {
            let source = app.add_source(&path, rules)?;
            let report = if no_sync {
                None
            } else {
                Some(sync_here(&app, &source)?)
            };
            (source, report)
        }
        Writing::There(remote) => {
            let source = remote.add_source(&path, rules)?;
            let report = if no_sync {
                None
            } else {
                Some(remote.sync(source.id.0)?)
            };
            (source, report)
        }
    };
    if json {
        show::json(&output::Added { source, report });
    } else {
        out!("added {} as source {}", source.path.display(), source.id);
        if let Some(report) = &report {
            show::report(report);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a new source.
fn sync_here(app: &App, source: &Source) -> Result<Report, Failure> {
    let stop = stop_on_interrupt();
    heal(app, &stop)?;
    let report = sync_one(app, source, &stop)?;
    app.ingest.rest()?;
    app.spaces.current().indexes.settle();
    Ok(report)
}

fn sync_one(app: &App, source: &Source, stop: &AtomicBool) -> Result<Report, Failure> {
    let bar = show::SyncBar::new(&source.path);
    let report = app.ingest.sync(source, &|p| bar.update(p), stop);
    bar.finish();
    Ok(report?)
}

fn heal(app: &App, stop: &AtomicBool) -> Result<(), Failure> {
    let healed = app.ingest.heal(stop)?;
    if healed.documents + healed.chunks > 0 {
        eprintln!(
            "mended the indexes: {} documents, {} chunks",
            healed.documents, healed.chunks
        );
    }
    Ok(())
}

/// Brings everything in line with the files, of all sources or of one, and puts a newly chosen
/// embedding model in use. A source that cannot be read keeps no other from being read.
fn sync_all(app: &App, only: Option<SourceId>) -> Result<Synchronised, Failure> {
    let stop = stop_on_interrupt();
    heal(app, &stop)?;
    while let Some(left) = app.ingest.build_next()? {
        if stop.load(Ordering::Relaxed) {
            return Err(crate::flow::ingest::IngestError::Stopped.into());
        }
        eprintln!("building the new embedding model's index: {left} chunks left");
    }
    let mut synced = Synchronised::default();
    for status in app.sources()? {
        if only.is_some_and(|id| id != status.source.id) {
            continue;
        }
        match sync_one(app, &status.source, &stop) {
            Ok(report) => synced.reports.push(report),
            Err(failure) if failure.code() == "stopped" => return Err(failure),
            Err(failure) => synced.failures.push((status.source, failure)),
        }
    }
    app.ingest.rest()?;
    app.spaces.current().indexes.settle();
    Ok(synced)
}

/// What became of reading sources.
#[derive(Default)]
struct Synchronised {
    reports: Vec<Report>,
    failures: Vec<(Source, Failure)>,
}

impl Synchronised {
    fn complain(&self) {
        let failures = self.failures.iter();
        failures.for_each(|(_, failure)| show::failure(failure, false));
    }

    /// Tells all of it; the exit code is that of the last failure.
    fn tell(&self, json: bool) -> ExitCode {
        if json {
            let failure = |(source, failure): &(Source, Failure)| output::SourceFailure {
                source: source.id,
                path: source.path.clone(),
                error: show::told(failure),
            };
            show::json(&output::Synced {
                reports: self.reports.clone(),
                failures: self.failures.iter().map(failure).collect(),
            });
        } else {
            self.reports.iter().for_each(show::report);
        }
        self.complain();
        let last = self.failures.last();
        last.map_or(ExitCode::SUCCESS, |(_, f)| {
            ExitCode::from(f.kind().exit_code())
        })
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
                eprintln!("stopping after this file; press Ctrl-C again to stop at once");
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

fn sources(session: Session, action: Option<SourcesAction>) -> Result<ExitCode, Failure> {
    match action {
        Some(SourcesAction::Remove { source }) => return remove(session, &source),
        Some(SourcesAction::Keep { source, may_leave }) => {
            return keep(session, &source, !may_leave);
        }
        Some(SourcesAction::Move {
            source,
            path,
            force,
        }) => return move_source(session, &source, &path, force),
        None => {}
    }
    let json = session.json;
    let sources = session.open_records(Access::Read)?.sources()?;
    if json {
        show::json(&output::Sources { sources });
    } else if sources.is_empty() {
        out!("no sources yet: `coho add PATH` adds a folder of notes");
    } else {
        show::sources(&sources);
    }
    Ok(ExitCode::SUCCESS)
}

fn remove(session: Session, source: &str) -> Result<ExitCode, Failure> {
    let json = session.json;
    let places = session.places.clone();
    let opened = session.open_records(Access::Write);
    let (id, path) = match here_or_there(&places, opened)? {
        Writing::Here(app) => {
            let id = source_named(&app, source)?;
            let path = app.source(id)?.path;
            app.ingest.remove(id)?;
            (id.0, path)
        }
        Writing::There(remote) => remote.remove_source(source)?,
    };
    if json {
        show::json(&output::Removed { removed: id });
    } else {
        let path = show::typed(&path);
        out!("removed source {id}; its files are as they were");
        out!("answers that quote it stay: `coho forget --source {path}` erases them");
    }
    Ok(ExitCode::SUCCESS)
}

/// What a folder holds stays on this machine, or may leave it again.
fn keep(session: Session, source: &str, never_leaves: bool) -> Result<ExitCode, Failure> {
    let json = session.json;
    let app = session.open_records(Access::Read)?;
    let id = source_named(&app, source)?;
    app.keep_here(id, never_leaves)?;
    if json {
        let sources = app.sources()?;
        show::json(&output::Sources { sources });
    } else if never_leaves {
        out!("nothing of source {id} is sent to another machine");
    } else {
        out!("passages of source {id} may go to the remote model, when you ask it");
    }
    Ok(ExitCode::SUCCESS)
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

fn move_source(
    session: Session,
    source: &str,
    path: &std::path::Path,
    force: bool,
) -> Result<ExitCode, Failure> {
    let json = session.json;
    let app = session.open(Access::Write)?;
    let id = source_named(&app, source)?;
    let moved = app.move_source(id, path, force)?;
    let report = sync_here(&app, &moved)?;
    if json {
        show::json(&output::Added {
            source: moved,
            report: Some(report),
        });
    } else {
        out!("source {id} is {} now", moved.path.display());
        show::report(&report);
    }
    Ok(ExitCode::SUCCESS)
}

/// The source with this number or path, which may be relative to where the command runs.
fn source_named(app: &App, name: &str) -> Result<SourceId, Failure> {
    let whole = std::path::absolute(name).map(|path| path.to_string_lossy().into_owned());
    let named = app.source_named(name);
    match (named, whole) {
        // What is missing is told as it was typed.
        (Err(missing), Ok(path)) => app.source_named(&path).map_err(|_| missing),
        (named, _) => named,
    }
}

fn sync(session: Session, only: Option<&str>) -> Result<ExitCode, Failure> {
    let json = session.json;
    let synced = match open_for_writing(session)? {
        Writing::Here(app) => {
            let only = only.map(|name| source_named(&app, name)).transpose()?;
            sync_all(&app, only)?
        }
        Writing::There(remote) => {
            let mut synced = Synchronised::default();
            for source in remote.sources(only)? {
                match remote.sync(source.id.0) {
                    Ok(report) => synced.reports.push(report),
                    Err(failure) if failure.code() == "service_silent" => return Err(failure),
                    Err(failure) => synced.failures.push((source, failure)),
                }
            }
            synced
        }
    };
    Ok(synced.tell(json))
}

fn serve(session: Session) -> Result<ExitCode, Failure> {
    let listen = session.settings.serve.listen;
    if !listen.ip().is_loopback() {
        eprintln!(
            "warning: {listen} can be reached from other machines; the token is all that guards your notes"
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(64)
        .thread_name("coho-http")
        .enable_all()
        .build()
        .map_err(|source| StoreError::io(std::path::Path::new("a runtime"), source))?;
    // The port first: a port in use should be said before anything is spent.
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind(listen))
        .map_err(|source| PortError { listen, source })?;
    if session.settings.serve.air_gap {
        let server = &session.settings.models.server.url;
        if !server.is_empty() {
            let what = format!("behind an air gap the model server at {server} cannot be reached");
            let hint = "leave out --air-gap, or `models.server.url`";
            return Err(BadRequest::new("air_gap", what, hint).into());
        }
        crate::airgap::close()?;
    }
    let home = session.places.home.clone();
    let json = session.json;
    let service = Arc::new(Service::start(session.open(Access::Write)?)?);
    let token = crate::http::token(&home)?;
    let address = listener.local_addr().unwrap_or(listen);
    remote::announce(&home, address)?;
    if json {
        show::json(&output::Serving::here(address, &home));
    } else {
        out!("coho listens on http://{address}");
        out!("the token is in {}", home.join("token").display());
    }
    let _ = std::io::stdout().flush();
    let ended = runtime.block_on(crate::http::serve(
        listener,
        Arc::clone(&service),
        &token,
        until_told_to_stop(),
    ));
    remote::withdraw(&home);
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    drop(service);
    ended.map_err(|source| PortError { listen, source })?;
    tracing::info!("coho has stopped");
    Ok(ExitCode::SUCCESS)
}

async fn until_told_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// The service cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {listen}")]
struct PortError {
    listen: std::net::SocketAddr,
    source: std::io::Error,
}

impl Fault for PortError {
    fn kind(&self) -> Kind {
        Kind::Conflict
    }
    fn code(&self) -> &'static str {
        match self.source.kind() {
            std::io::ErrorKind::AddrInUse => "port_in_use",
            _ => "cannot_listen",
        }
    }
    fn hint(&self) -> Option<String> {
        Some("is another coho running? choose another port with `--listen 127.0.0.1:7622`".into())
    }
}

fn search(
    session: Session,
    text: String,
    k: Option<usize>,
    source: Option<&str>,
    rerank: bool,
    explain: bool,
) -> Result<ExitCode, Failure> {
    let json = session.json;
    let app = session.open_to_search()?;
    let source = source.map(|name| source_named(&app, name)).transpose()?;
    let mut query = app.query(text, k, source);
    query.rerank |= rerank;
    query.explain = explain;
    let found = app.search(&query)?;
    if json {
        show::json(&found);
    } else {
        show::hits(&found);
    }
    Ok(ExitCode::SUCCESS)
}

impl AskArguments {
    fn asked(&self, app: &App) -> Result<Ask, Failure> {
        let source = self.source.as_deref();
        let source = source.map(|name| source_named(app, name)).transpose()?;
        let mut ask = app.question(self.question.clone(), self.strategy, self.k, source);
        if self.no_units {
            ask.units = UseUnits::Off;
        }
        ask.remote = self.remote;
        Ok(ask)
    }
}

/// Answers without units and with them, to be compared; only the second is kept.
fn both_ways(session: Session, arguments: &AskArguments) -> Result<ExitCode, Failure> {
    let json = session.json;
    let app = session.open_to_search()?;
    let with = arguments.asked(&app)?;
    let without = Ask {
        units: UseUnits::Off,
        kept: false,
        // Under an id of its own: a verdict on it is none on the other.
        ..arguments.asked(&app)?
    };
    let answer = |ask: &Ask| app.ask(ask, &Arc::default(), &mut |_| ControlFlow::Continue(()));
    let both = output::BothWays {
        without: answer(&without)?,
        with: answer(&with)?,
    };
    if json {
        show::json(&both);
    } else {
        let shown = [
            ("without units", &both.without, None),
            ("with units", &both.with, Some(both.with.id.as_str())),
        ];
        for (name, answer, kept_as) in shown {
            out!("{name}\n{}", answer.answer);
            show::citations(answer, kept_as);
            out!("");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn ask(session: Session, arguments: &AskArguments) -> Result<ExitCode, Failure> {
    let json = session.json;
    let app = session.open_to_search()?;
    let ask = arguments.asked(&app)?;
    let cancel = Arc::new(AtomicBool::new(false));
    let speaker = arguments.speak.then(|| app.speaker());
    let mut speaker = speaker.transpose()?;
    let mut stdout = std::io::stdout();
    let mut tell = |event| {
        if let Some(speaker) = &mut speaker {
            speaker.hear(&event);
        }
        if let (Event::Token(piece), false) = (&event, json) {
            // A reader that has gone away (`| head`) ends the answer.
            if stdout
                .write_all(harmless(piece).as_bytes())
                .and_then(|()| stdout.flush())
                .is_err()
            {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    };
    let answered = AtomicBool::new(false);
    let answer = std::thread::scope(|scope| {
        let watcher = app.generator.as_ref().and_then(|generator| {
            let watcher = std::thread::Builder::new().name("coho-loading".into());
            // Without it, the answer comes all the same.
            let watch = || show::loading(generator, &answered);
            watcher.spawn_scoped(scope, watch).ok()
        });
        let answer = app.ask(&ask, &cancel, &mut tell);
        answered.store(true, Ordering::Relaxed);
        if let Some(watcher) = watcher {
            watcher.thread().unpark();
        }
        answer
    })?;
    if json {
        show::json(&answer);
    } else {
        show::citations(&answer, Some(&answer.id));
    }
    let spoken = speaker.map_or(Ok(()), |speaker| speaker.end());
    // The answer is told already: on stdout nothing more is said.
    Ok(spoken.map_or_else(
        |failure| {
            show::failure(&failure, false);
            ExitCode::from(failure.kind().exit_code())
        },
        |()| ExitCode::SUCCESS,
    ))
}

fn feedback(
    session: Session,
    answer: &str,
    verdict: &str,
    note: Option<&str>,
) -> Result<ExitCode, Failure> {
    let json = session.json;
    session
        .open_records(Access::Read)?
        .feedback(answer, verdict, (note, None))?;
    if json {
        let (answer, verdict) = (answer.to_owned(), verdict.to_owned());
        show::json(&output::Noted { answer, verdict });
    } else {
        out!("noted: {answer} was {verdict}");
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
