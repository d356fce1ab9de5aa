//! `coho eval`: suites of questions, what they gave, and whether that got better.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use clap::{ArgGroup, Subcommand, ValueEnum};

use super::experiments::{self, Chosen};
use super::{Session, output, report, show};
use crate::app::App;
use crate::app::evaluation::{self, Run};
use crate::app::leftovers;
use crate::error::{BadRequest, Failure};
use crate::flow::evaluate::answers::Method;
use crate::flow::evaluate::import::{self, Format};
use crate::flow::evaluate::learning::Variant;
use crate::flow::evaluate::own;
use crate::flow::evaluate::page;
use crate::flow::evaluate::result;
use crate::flow::evaluate::suite::{OWN, SetName, Suite};
use crate::store::nearest::VectorIndexKind;
use crate::store::{Access, StoreError};

#[derive(Subcommand)]
pub(super) enum Action {
    /// Run a suite: ask its questions in all its ways, and say which differences are real
    Run(Box<Wanted>),
    /// Show the suites that there are, and what was run
    List {
        /// Folder of sets; by default `eval` below `COHO_EVAL_DATA`
        #[arg(long, value_name = "FOLDER")]
        data: Option<PathBuf>,
    },
    /// Show what a run gave
    Report {
        /// Name of a run or of a suite (then its newest), or a result's file; by default the newest
        run: Option<String>,
        /// Write the report as one HTML file
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
    /// Compare two runs question by question: which differences are more than chance
    Compare {
        /// The run before
        a: String,
        /// The run after
        b: String,
    },
    /// Show the history of a suite: `own` for your own past questions
    Track {
        /// The suite
        suite: String,
        /// Further folders of results
        #[arg(long, value_name = "FOLDER")]
        results: Vec<PathBuf>,
    },
    /// Remove what evaluations left on this machine: copies of a set's documents, runs and results
    #[command(group = ArgGroup::new("what").required(true))]
    Remove {
        /// The set, by its name or its folder
        #[arg(group = "what")]
        set: Option<String>,
        /// Of all sets
        #[arg(long, group = "what")]
        all: bool,
    },
    /// Make a set of a file as its makers publish it
    Import {
        /// What the file is
        format: Format,
        /// The file
        file: PathBuf,
        /// Folder of the set
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
    },
    /// Look for better weights of the ranking; changes nothing
    Tune(Chosen),
    /// Compare sizes of chunks by how much of the answers the first five hold
    Chunks {
        /// Tokens of a chunk at most
        #[arg(default_values_t = [64, 128, 192, 254])]
        max_tokens: Vec<usize>,
        /// Folder of a set with spans; by default `eval/chunking_eval` below `COHO_EVAL_DATA`
        #[arg(long, value_name = "FOLDER")]
        set: Option<PathBuf>,
    },
    /// Time searches among many chunks, real ones of the sets measured before and synthetic ones
    Scale {
        /// Numbers of chunks
        #[arg(default_values_t = [10_000, 100_000, 1_000_000])]
        chunks: Vec<usize>,
        /// How vectors are indexed where there are too many for memory; several are compared
        #[arg(long, value_enum, default_values_t = [VectorIndexKind::default()], num_args = 1..)]
        index: Vec<VectorIndexKind>,
        /// Build the index anew, and time it
        #[arg(long)]
        rebuild: bool,
        /// Questions asked
        #[arg(long, default_value_t = 200)]
        questions: usize,
    },
}

/// Which units are put in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum WithUnits {
    /// None.
    Off,
    /// Those of writeback.
    On,
    /// Those, and what else could be in their place.
    Controls,
}

impl WithUnits {
    fn variants(self) -> Vec<Variant> {
        match self {
            Self::Off => Vec::new(),
            Self::On => vec![Variant::Writeback],
            Self::Controls => Variant::value_variants().to_vec(),
        }
    }
}

/// A suite, and what is changed of it.
#[derive(clap::Args)]
pub(super) struct Wanted {
    /// Name of a suite (`coho eval list`), its file, or a folder with a set; `own` asks your own past
    /// questions again
    suite: String,
    /// Only these sets
    #[arg(long, num_args = 1.., value_name = "NAME")]
    set: Vec<String>,
    /// Only these ways to answer; the first is what the others are compared with
    #[arg(long, value_enum, num_args = 1..)]
    strategy: Vec<Method>,
    /// With units: none, those of writeback, or those with their controls
    #[arg(long, value_enum)]
    writeback: Option<WithUnits>,
    /// Questions of each group of a set at most
    #[arg(long)]
    limit: Option<usize>,
    /// As `--limit`, for ways to answer that ask the language model
    #[arg(long)]
    limit_model: Option<usize>,
    /// Questions that units are learned from at most
    #[arg(long)]
    learn: Option<usize>,
    /// Questions that units were learned from, asked again, at most
    #[arg(long)]
    again: Option<usize>,
    /// Passages looked at
    #[arg(long)]
    k: Option<usize>,
    /// Where all dice begin
    #[arg(long)]
    seed: Option<u64>,
    /// Go on with the newest run of the suite under the same settings and models
    #[arg(long)]
    resume: bool,
    /// With `--resume`, go on with what this file keeps, too, and keep there what each question
    /// scores, without what was said: for a run that moves from machine to machine (`.jsonl` or
    /// `.jsonl.zst`)
    #[arg(long, value_name = "FILE", requires = "resume")]
    log: Option<PathBuf>,
    /// Folder of sets; by default `eval` below `COHO_EVAL_DATA`
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Write a summary of the result (without every question) to this file, too
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Default for Action {
    fn default() -> Self {
        Self::List { data: None }
    }
}

pub(super) fn run(session: &Session, action: Action) -> Result<ExitCode, Failure> {
    match action {
        Action::Run(wanted) if wanted.suite == OWN => run_own(session),
        Action::Run(wanted) => run_suite(session, *wanted),
        Action::List { data } => Ok(list(session, data)),
        Action::Report { run, html } => show_report(session, run, html.as_deref()),
        Action::Compare { a, b } => compare(session, &a, &b),
        Action::Track { suite, results } => track(session, &suite, &results),
        Action::Remove { set, .. } => remove(session, set.as_deref()),
        Action::Import { format, file, out } => {
            let imported = import::import(format, &file, &out)?;
            if session.json {
                show::json(&imported);
            } else {
                report::imported(imported, &out);
            }
            Ok(ExitCode::SUCCESS)
        }
        Action::Tune(chosen) => experiments::tune(session, &chosen),
        Action::Chunks { max_tokens, set } => experiments::chunks(session, &max_tokens, set),
        Action::Scale {
            chunks,
            index,
            rebuild,
            questions,
        } => experiments::scale(session, &chunks, (&index, rebuild), questions),
    }
}

/// The sets of `COHO_EVAL_DATA`.
pub(super) fn evaluation_data() -> Option<PathBuf> {
    let set = std::env::var_os("COHO_EVAL_DATA");
    set.map(|folder| PathBuf::from(folder).join("eval"))
}

pub(super) fn no_data() -> BadRequest {
    BadRequest::new(
        "no_evaluation_data",
        "there is no folder of evaluation sets",
        "name one on the command line, or set COHO_EVAL_DATA",
    )
}

impl Wanted {
    /// The suite with what the command line changed, and the command without what is of this
    /// machine alone.
    fn suite(&self, home: &Path) -> Result<(Suite, String), Failure> {
        let mut suite = Suite::find(&self.suite, home)?;
        let mut command = format!("coho eval run {}", suite.name);
        let mut said = |flag: &str, value: String| {
            command.push_str(" --");
            command.push_str(flag);
            command.push(' ');
            command.push_str(&value);
        };
        if !self.set.is_empty() {
            let named = |name: &String| {
                let known = suite.sets.iter().find(|set| set.as_str() == name);
                known
                    .cloned()
                    .unwrap_or_else(|| SetName::Named(name.clone()))
            };
            suite.sets = self.set.iter().map(named).collect();
            said("set", self.set.join(" "));
        }
        if !self.strategy.is_empty() {
            suite.strategies.clone_from(&self.strategy);
            let names: Vec<String> = self.strategy.iter().map(|m| m.name()).collect();
            said("strategy", names.join(" "));
        }
        if let Some(units) = self.writeback {
            suite.units = units.variants();
            let name = units.to_possible_value();
            said(
                "writeback",
                name.map_or_else(String::new, |v| v.get_name().to_owned()),
            );
        }
        for (flag, value, place) in [
            ("limit", self.limit, &mut suite.limit),
            ("limit-model", self.limit_model, &mut suite.limit_model),
            ("learn", self.learn, &mut suite.learn),
            ("again", self.again, &mut suite.again),
        ] {
            if let Some(value) = value {
                *place = Some(value);
                said(flag, value.to_string());
            }
        }
        if let Some(k) = self.k {
            suite.k = k;
            said("k", k.to_string());
        }
        if let Some(seed) = self.seed {
            suite.seed = seed;
            said("seed", seed.to_string());
        }
        Ok((suite, command))
    }
}

fn run_suite(session: &Session, wanted: Wanted) -> Result<ExitCode, Failure> {
    let (suite, command) = wanted.suite(&session.places.home)?;
    let bar = show::CountBar::new(&suite.name, 0);
    let told = |what: &str, done: usize, of: usize| bar.step(what, done, of);
    let synced = |progress: &crate::flow::ingest::Progress| {
        let (done, of) = (progress.files_done, progress.files_total);
        bar.step("reading documents", done, of);
    };
    let run = Run {
        suite,
        data: wanted.data.or_else(evaluation_data),
        resume: wanted.resume,
        log: wanted.log,
        command,
        told: &told,
        synced: &synced,
    };
    let result = evaluation::run(&session.settings, &session.places, &run)?;
    bar.finish();
    let summary = result.summary();
    if let Some(out) = &wanted.out {
        summary.write(out)?;
    }
    if session.json {
        show::json(&summary);
    } else {
        report::result(&summary);
    }
    Ok(ExitCode::SUCCESS)
}

fn run_own(session: &Session) -> Result<ExitCode, Failure> {
    let app = open(session, Access::Write)?;
    let bar = show::CountBar::new(OWN, 0);
    let told = |done: usize, of: usize| bar.update_of(done, of);
    let point = app.measure_own(None, &told, &AtomicBool::new(false))?;
    bar.finish();
    let point = point.unwrap_or_default();
    if session.json {
        show::json(&point);
    } else {
        report::point(&point);
    }
    Ok(ExitCode::SUCCESS)
}

fn open(session: &Session, access: Access) -> Result<App, Failure> {
    App::open(session.settings.clone(), session.places.clone(), access)
}

fn list(session: &Session, data: Option<PathBuf>) -> ExitCode {
    let data = data.or_else(evaluation_data);
    let suites = Suite::built_in().into_iter().map(|suite| {
        let sets = suite.sets.iter().map(|set| set.as_str().to_owned());
        let missing = suite.sets.iter().filter(|set| {
            matches!(set, SetName::Named(_)) && suite.place(set, data.as_deref()).is_err()
        });
        output::SuiteRow {
            sets: sets.collect(),
            missing: missing.map(|set| set.as_str().to_owned()).collect(),
            name: suite.name.clone(),
            about: suite.about.clone(),
        }
    });
    let results = result::results_below(&evaluation::results_folder(&session.places));
    let runs = results.into_iter().map(|result| output::RunRow {
        questions: result.questions.iter().map(|block| block.ids.len()).sum(),
        run: result.run,
        suite: result.suite.name,
        complete: result.complete,
        started: result.started,
    });
    let list = output::EvalList {
        suites: suites.collect(),
        runs: runs.collect(),
    };
    if session.json {
        show::json(&list);
    } else {
        report::list(&list);
    }
    ExitCode::SUCCESS
}

fn show_report(
    session: &Session,
    run: Option<String>,
    html: Option<&Path>,
) -> Result<ExitCode, Failure> {
    let result = evaluation::result(&session.places, run.as_deref().unwrap_or_default())?;
    if let Some(path) = html {
        let history = evaluation::history(&session.places, &result.suite.name, &[]);
        // Before the first note there is no knowledge base, and no line.
        let line = if session.places.home.join("ledger.sqlite").exists() {
            own::line(&open(session, Access::Read)?.store)?
        } else {
            Vec::new()
        };
        let text = page::page(&result, &history, &line);
        std::fs::write(path, text).map_err(|source| StoreError::io(path, source))?;
    }
    if session.json {
        show::json(&result.summary());
    } else {
        report::result(&result);
        if let Some(path) = html {
            note!("written to {}", path.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn remove(session: &Session, set: Option<&str>) -> Result<ExitCode, Failure> {
    let cleared = leftovers::remove(&session.places, set)?;
    if session.json {
        show::json(&cleared);
    } else {
        for folder in &cleared.folders {
            out!("removed {}", folder.display());
        }
        out!("removed {} runs with their results", cleared.runs.len());
    }
    Ok(ExitCode::SUCCESS)
}

fn compare(session: &Session, a: &str, b: &str) -> Result<ExitCode, Failure> {
    let a = evaluation::result(&session.places, a)?;
    let b = evaluation::result(&session.places, b)?;
    let compared = output::Compared {
        comparisons: result::compare(&a, &b)?,
        a: a.run,
        b: b.run,
    };
    if session.json {
        show::json(&compared);
    } else {
        report::compared(&compared);
    }
    Ok(ExitCode::SUCCESS)
}

fn track(session: &Session, suite: &str, folders: &[PathBuf]) -> Result<ExitCode, Failure> {
    if suite == OWN {
        let line = open(session, Access::Read)?.learning_line()?;
        if session.json {
            show::json(&line);
        } else {
            report::line(&line.points);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let history = evaluation::history(&session.places, suite, folders);
    if history.is_empty() {
        let message = format!("there is no result of {suite}");
        let hint = format!("`coho eval run {suite}` makes one");
        return Err(BadRequest::new("no_such_run", message, hint).into());
    }
    let track = output::Track::of(suite, &history);
    if session.json {
        show::json(&track);
    } else {
        report::track(&track);
    }
    Ok(ExitCode::SUCCESS)
}
