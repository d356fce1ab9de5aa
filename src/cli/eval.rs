//! `coho eval`: measuring retrieval on sets of questions with judged documents.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use super::{Session, output, show};
use crate::app::App;
use crate::error::{BadRequest, Failure};
use crate::flow::answering::{self, Log, Method, Plan};
use crate::flow::chunking::{self, SpanSet};
use crate::flow::evaluate::{self, EvaluationSet, Row};
use crate::flow::learning::{self, Variant};
use crate::flow::scale::{self, Sample};
use crate::flow::search::Searcher;
use crate::flow::tune;
use crate::settings::{Places, Settings};
use crate::store::Access;
use crate::store::StoreError;
use crate::store::ledger::Rules;
use crate::store::nearest::VectorIndexKind;

#[derive(Subcommand)]
pub(super) enum Action {
    /// Compare words, vectors, their fusion by rank and coho's own ranking
    Retrieval(Chosen),
    /// Compare strategies by what they get right and what they spend
    Answers {
        #[command(flatten)]
        chosen: Chosen,
        /// Ways to answer; the first is what the others are compared with
        #[arg(long, value_enum, default_values_t = [Method::Naive, Method::ClosedBook, Method::Replug, Method::Flare, Method::SelfRag, Method::Extractive, Method::Cascade, Method::CascadeDrafts], num_args = 1..)]
        strategy: Vec<Method>,
        /// Go on with what was asked before, by the same model with the same number of passages
        #[arg(long)]
        resume: bool,
        /// Passages looked at
        #[arg(long, default_value_t = 5)]
        k: usize,
    },
    /// Learn from half of the questions of a set and ask the others, with units and without
    Writeback {
        #[command(flatten)]
        chosen: Chosen,
        /// Ways to answer
        #[arg(long, value_enum, default_values_t = [Method::Extractive, Method::Cascade], num_args = 1..)]
        strategy: Vec<Method>,
        /// Which units are in use
        #[arg(long, value_enum, default_values_t = [Variant::Writeback, Variant::Approved, Variant::GoldGates, Variant::NoGates, Variant::RawChunks, Variant::Pairs, Variant::Random], num_args = 1..)]
        units: Vec<Variant>,
        /// Questions learned from at most
        #[arg(long, default_value_t = usize::MAX, hide_default_value = true)]
        learn: usize,
        /// Questions asked with strategies that need the language model, at most
        #[arg(long, default_value_t = 100)]
        limit_model: usize,
        /// Passages looked at
        #[arg(long, default_value_t = 5)]
        k: usize,
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

/// Which questions.
#[derive(clap::Args)]
pub(super) struct Chosen {
    /// Sets to measure; all of the data folder when none is named
    sets: Vec<String>,
    /// Folder of sets in the BEIR layout; by default `eval` below `COHO_EVAL_DATA`
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Only questions of this split, in sets that have splits
    #[arg(long)]
    split: Option<String>,
    /// Questions of each set at most
    #[arg(long, default_value_t = usize::MAX, hide_default_value = true)]
    limit: usize,
}

impl Chosen {
    /// Reads the sets one after the other.
    fn each(
        &self,
        mut visit: impl FnMut(&EvaluationSet) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let data = self
            .data
            .clone()
            .or_else(evaluation_data)
            .ok_or_else(no_data)?;
        for (name, folder) in evaluate::sets(&data, &self.sets)? {
            let set = EvaluationSet::read(&folder, &name, self.split.as_deref())
                .or_else(|_| EvaluationSet::read(&folder, &name, None))?;
            visit(&set)?;
        }
        Ok(())
    }
}

pub(super) fn run(session: &Session, action: Action) -> Result<ExitCode, Failure> {
    match action {
        Action::Retrieval(chosen) => retrieval(session, &chosen),
        Action::Answers {
            chosen,
            strategy,
            resume,
            k,
        } => answers(session, &chosen, (&strategy, resume), k),
        Action::Writeback {
            chosen,
            strategy,
            units,
            learn,
            limit_model,
            k,
        } => {
            let plan = learning::Plan {
                methods: strategy,
                variants: units,
                k,
                learn,
                limit: chosen.limit,
                limit_model,
                model_gates: session.settings.writeback.model_gates,
                merge: session.settings.writeback.merge,
            };
            writeback(session, &chosen, &plan)
        }
        Action::Tune(chosen) => tune(session, &chosen),
        Action::Chunks { max_tokens, set } => chunks(session, &max_tokens, set),
        Action::Scale {
            chunks,
            index,
            rebuild,
            questions,
        } => scale(session, &chunks, (&index, rebuild), questions),
    }
}

/// The sets of `COHO_EVAL_DATA`.
fn evaluation_data() -> Option<PathBuf> {
    let set = std::env::var_os("COHO_EVAL_DATA");
    set.map(|folder| PathBuf::from(folder).join("eval"))
}

fn no_data() -> BadRequest {
    BadRequest::new(
        "no_evaluation_data",
        "there is no folder of evaluation sets",
        "name one on the command line, or set COHO_EVAL_DATA",
    )
}

fn chunks(session: &Session, sizes: &[usize], set: Option<PathBuf>) -> Result<ExitCode, Failure> {
    let ours = || evaluation_data().map(|data| data.join("chunking_eval"));
    let set = SpanSet::read(&set.or_else(ours).ok_or_else(no_data)?)?;
    let folder = session.places.home.join("eval");
    let notes = folder.join("chunking-notes");
    set.write_notes(&notes)?;
    let mut rows = Vec::new();
    for max_tokens in sizes {
        let mut settings = session.settings.clone();
        settings.chunks.max_tokens = *max_tokens;
        let places = places_at(session, folder.join(format!("chunking-{max_tokens}")));
        let app = open_set(settings, places, &notes)?;
        let bar = show::CountBar::new(&format!("{max_tokens} tokens"), set.questions());
        let row = with(&app, |searcher| {
            chunking::measure(searcher, &set, *max_tokens, |done| bar.update(done))
        })?;
        bar.finish();
        if !session.json {
            show::cut_row(&row);
        }
        rows.push(row);
    }
    if session.json {
        show::json(&output::ChunksTable { rows });
    }
    Ok(ExitCode::SUCCESS)
}

fn retrieval(session: &Session, chosen: &Chosen) -> Result<ExitCode, Failure> {
    let mut rows: Vec<Row> = Vec::new();
    chosen.each(|set| {
        let app = knowledge_base(session, set)?;
        let bar = show::CountBar::new(&set.name, set.questions.len().min(chosen.limit));
        let measured = with(&app, |parts| {
            evaluate::evaluate(parts, set, chosen.limit, |done| bar.update(done))
        })?;
        bar.finish();
        if !session.json {
            measured.iter().for_each(show::retrieval_row);
        }
        rows.extend(measured);
        Ok(())
    })?;
    if session.json {
        show::json(&output::RetrievalTable { rows });
    }
    Ok(ExitCode::SUCCESS)
}

fn answers(
    session: &Session,
    chosen: &Chosen,
    (methods, resume): (&[Method], bool),
    k: usize,
) -> Result<ExitCode, Failure> {
    let plan = Plan {
        methods,
        k,
        limit: chosen.limit,
    };
    let mut rows = Vec::new();
    let mut model = None;
    chosen.each(|set| {
        let app = knowledge_base(session, set)?;
        model = app.generator.as_ref().map(|g| g.name().to_owned());
        let name = format!("answers-{}.jsonl", set.name.replace('/', "-"));
        let runs = session.places.home.join("eval/runs");
        let mut log = Log::open(&runs.join(name), methods, resume)?;
        let some = |count: usize| count.min(chosen.limit) * methods.len();
        let all = some(set.questions.len()) + some(set.unanswerable.len());
        let bar = show::CountBar::new(&set.name, all);
        let measured = app.answering(|parts| {
            answering::measure(parts, set, plan, &mut log, |done| bar.update(done))
        })?;
        bar.finish();
        if !session.json {
            measured.iter().for_each(show::answer_row);
        }
        rows.extend(measured);
        Ok(())
    })?;
    if session.json {
        show::json(&output::AnswersTable { model, k, rows });
    }
    Ok(ExitCode::SUCCESS)
}

/// Everything happens in a copy of the set's knowledge base: the base stays without units.
fn writeback(
    session: &Session,
    chosen: &Chosen,
    plan: &learning::Plan,
) -> Result<ExitCode, Failure> {
    let mut all = learning::Measured::default();
    chosen.each(|set| {
        let app = copied(session, set)?;
        let bar = show::CountBar::new(&set.name, 0);
        let told = |what: &str, done: usize, of: usize| bar.step(what, done, of);
        let measured = app.answering(|parts| learning::measure(parts, set, plan, &told))?;
        bar.finish();
        if !session.json {
            show::learned(&measured);
        }
        all.gains.extend(measured.gains);
        all.ranking.extend(measured.ranking);
        all.yields.extend(measured.yields);
        Ok(())
    })?;
    if session.json {
        show::json(&all);
    }
    Ok(ExitCode::SUCCESS)
}

/// A fresh copy of the set's knowledge base, in place of the one of the last run.
fn copied(session: &Session, set: &EvaluationSet) -> Result<App, Failure> {
    let folder = session.places.home.join("eval");
    let name = set.name.replace('/', "-");
    let base = folder.join(&name);
    if !base.join("ledger.sqlite").exists() {
        drop(knowledge_base(session, set)?);
    }
    let copy = folder.join(format!("{name}-writeback"));
    let _ = std::fs::remove_dir_all(&copy);
    copy_folder(&base, &copy).map_err(|source| StoreError::io(&copy, source))?;
    let places = places_at(session, copy);
    App::open(session.settings.clone(), places, Access::Write)
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn tune(session: &Session, chosen: &Chosen) -> Result<ExitCode, Failure> {
    let mut sets = Vec::new();
    chosen.each(|set| {
        let app = knowledge_base(session, set)?;
        let bar = show::CountBar::new(&set.name, set.questions.len().min(chosen.limit));
        sets.push(with(&app, |parts| {
            tune::judge(parts, set, chosen.limit, |done| bar.update(done))
        })?);
        bar.finish();
        Ok(())
    })?;
    let trials = tune::tune(&sets);
    if session.json {
        show::json(&output::TuningTable { trials });
    } else {
        trials.iter().for_each(show::trial);
    }
    Ok(ExitCode::SUCCESS)
}

fn scale(
    session: &Session,
    chunks: &[usize],
    (kinds, rebuild): (&[VectorIndexKind], bool),
    questions: usize,
) -> Result<ExitCode, Failure> {
    let folder = session.places.home.join("eval");
    let marker = |chunks: usize| folder.join(format!("scale-{chunks}-notes/.filled"));
    if !chunks.iter().all(|chunks| marker(*chunks).exists()) {
        let samples = samples_below(session, &folder)?;
        for chunks in chunks {
            fill(session, &folder, *chunks, &samples)?;
            let real = samples.len().min(*chunks).to_string();
            let path = marker(*chunks);
            std::fs::write(&path, real).map_err(|source| StoreError::io(&path, source))?;
        }
    }
    let asked: Vec<String> = questions_of(questions)?;
    let mut sizes = Vec::new();
    for chunks in chunks {
        let places = places_at(session, folder.join(format!("scale-{chunks}")));
        let app = App::open(session.settings.clone(), places, Access::Write)?;
        let exact_rows = session.settings.search.exact_rows;
        let told = std::fs::read_to_string(marker(*chunks)).unwrap_or_default();
        let real = told.parse().unwrap_or(0);
        // Where all vectors are compared, there is nothing to choose.
        let kinds = if *chunks <= exact_rows {
            &kinds[..1]
        } else {
            kinds
        };
        for kind in kinds {
            let size = with(&app, |parts| {
                scale::measure(parts, &asked, real, exact_rows, *kind, rebuild)
            })?;
            if !session.json {
                show::size(&size);
            }
            sizes.push(size);
        }
    }
    if session.json {
        show::json(&output::ScaleTable { sizes });
    }
    Ok(ExitCode::SUCCESS)
}

/// The passages of all sets that were measured before.
fn samples_below(session: &Session, folder: &Path) -> Result<Vec<Sample>, Failure> {
    let mut samples = Vec::new();
    for home in homes_below(folder) {
        let places = places_at(session, home);
        let app = App::open(session.settings.clone(), places, Access::Read)?;
        samples.extend(scale::samples(&app.store, &app.spaces.current().indexes)?);
    }
    Ok(samples)
}

fn fill(
    session: &Session,
    folder: &Path,
    chunks: usize,
    samples: &[Sample],
) -> Result<(), Failure> {
    let notes = folder.join(format!("scale-{chunks}-notes"));
    std::fs::create_dir_all(&notes).map_err(|source| StoreError::io(&notes, source))?;
    let places = places_at(session, folder.join(format!("scale-{chunks}")));
    let app = App::open(session.settings.clone(), places, Access::Write)?;
    let source = app.add_source(&notes, &Rules::default())?;
    let bar = show::CountBar::new(&format!("{chunks} chunks"), chunks);
    with(&app, |parts| {
        scale::fill(parts, &source, samples, chunks, |done| bar.update(done))
    })?;
    bar.finish();
    // Small fragments are merged here; the index is built, and timed, when it is measured.
    app.spaces.current().indexes.compact()?;
    Ok(())
}

/// Knowledge bases of sets that were measured before, in order of their names.
fn homes_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut homes: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.join("ledger.sqlite").exists())
        .filter(|path| {
            !path
                .file_name()
                .is_some_and(|n| is_derived(&n.to_string_lossy()))
        })
        .collect();
    homes.sort();
    homes
}

/// Knowledge bases that are made of others, or of documents cut in other ways.
fn is_derived(name: &str) -> bool {
    name.starts_with("scale-") || name.starts_with("chunking-") || name.ends_with("-writeback")
}

/// Questions of all sets in turn.
fn questions_of(count: usize) -> Result<Vec<String>, Failure> {
    let data = evaluation_data().ok_or_else(no_data)?;
    let mut lists: Vec<Vec<String>> = Vec::new();
    for (_, folder) in evaluate::sets(&data, &[])? {
        lists.push(evaluate::questions(&folder, count)?);
    }
    let rows = 0..count;
    let turn = rows.flat_map(|row| lists.iter().filter_map(move |list| list.get(row).cloned()));
    Ok(turn.take(count).collect())
}

/// The session's places with another data folder.
fn places_at(session: &Session, home: PathBuf) -> Places {
    Places {
        home,
        ..session.places.clone()
    }
}

/// A knowledge base of the set's documents, beside the owner's; made once.
fn knowledge_base(session: &Session, set: &EvaluationSet) -> Result<App, Failure> {
    let folder = session.places.home.join("eval");
    let name = set.name.replace('/', "-");
    let notes = folder.join(format!("{name}-notes"));
    evaluate::write_notes(set, &notes)?;
    let places = places_at(session, folder.join(&name));
    open_set(session.settings.clone(), places, &notes)
}

fn open_set(settings: Settings, places: Places, notes: &Path) -> Result<App, Failure> {
    let app = App::open(settings, places, Access::Write)?;
    let source = app.add_source(notes, &Rules::default())?;
    let bar = show::SyncBar::new(&source.path);
    evaluate::ingest_set(&app.ingest, &source, &|progress| bar.update(progress))?;
    bar.finish();
    Ok(app)
}

fn with<T>(app: &App, work: impl FnOnce(&Searcher<'_>) -> T) -> T {
    let space = app.spaces.current();
    work(&app.searcher(&space))
}
