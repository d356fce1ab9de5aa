//! `coho eval tune`, `chunks` and `scale`: experiments of their own, behind the choices that were made.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::eval::{evaluation_data, no_data};
use super::{Session, output, show};
use crate::app::App;
use crate::app::evaluation::{at, knowledge_base, open_notes, sets_below};
use crate::error::Failure;
use crate::flow::evaluate::chunking::{self, SpanSet};
use crate::flow::evaluate::scale::{self, Sample};
use crate::flow::evaluate::set::{self, EvaluationSet, Place};
use crate::flow::evaluate::tune;
use crate::flow::search::Searcher;
use crate::store::nearest::VectorIndexKind;
use crate::store::sources::Rules;
use crate::store::{Access, StoreError};

/// Which questions weights are looked for with.
#[derive(clap::Args)]
pub(super) struct Chosen {
    /// Sets; all of the data folder when none is named
    sets: Vec<String>,
    /// Folder of sets; by default `eval` below `COHO_EVAL_DATA`
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Only questions of this split, in sets that have splits
    #[arg(long)]
    split: Option<String>,
    /// Questions of each set at most
    #[arg(long, default_value_t = usize::MAX, hide_default_value = true)]
    limit: usize,
}

pub(super) fn chunks(
    session: &Session,
    sizes: &[usize],
    set: Option<PathBuf>,
) -> Result<ExitCode, Failure> {
    let ours = || evaluation_data().map(|data| data.join("chunking_eval"));
    let set = SpanSet::read(&set.or_else(ours).ok_or_else(no_data)?)?;
    let folder = session.places.home.join("eval");
    let notes = folder.join("chunking-notes");
    set.write_notes(&notes)?;
    let mut rows = Vec::new();
    for max_tokens in sizes {
        let mut settings = session.settings.clone();
        settings.chunks.max_tokens = *max_tokens;
        let places = at(
            &session.places,
            folder.join(format!("chunking-{max_tokens}")),
        );
        let bar = show::SyncBar::new(&notes);
        let app = open_notes(&settings, places, &notes, &|progress| bar.update(progress))?;
        bar.finish();
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

pub(super) fn tune(session: &Session, chosen: &Chosen) -> Result<ExitCode, Failure> {
    let data = chosen.data.clone().or_else(evaluation_data);
    let data = data.ok_or_else(no_data)?;
    let named = if chosen.sets.is_empty() {
        sets_below(&data)
    } else {
        chosen.sets.clone()
    };
    let mut sets = Vec::new();
    for name in named {
        let place = Place::Folder(data.join(&name));
        let set = EvaluationSet::read(&place, &name, chosen.split.as_deref())?;
        if set.documents.is_empty() || set.gains.is_empty() {
            note!("{name} has no judged documents, and is left out");
            continue;
        }
        let bar = show::SyncBar::new(Path::new(&name));
        let told = |progress: &_| bar.update(progress);
        let app = knowledge_base(&session.settings, &session.places, &set, &told)?;
        bar.finish();
        let bar = show::CountBar::new(&set.name, set.questions.len().min(chosen.limit));
        sets.push(with(&app, |parts| {
            tune::judge(parts, &set, chosen.limit, |done| bar.update(done))
        })?);
        bar.finish();
    }
    let trials = tune::tune(&sets);
    if session.json {
        show::json(&output::TuningTable { trials });
    } else {
        trials.iter().for_each(show::trial);
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn scale(
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
        let places = at(&session.places, folder.join(format!("scale-{chunks}")));
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
        let places = at(&session.places, home);
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
    let places = at(&session.places, folder.join(format!("scale-{chunks}")));
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
    for name in sets_below(&data) {
        lists.push(set::questions(&data.join(name), count)?);
    }
    let rows = 0..count;
    let turn = rows.flat_map(|row| lists.iter().filter_map(move |list| list.get(row).cloned()));
    Ok(turn.take(count).collect())
}

fn with<T>(app: &App, work: impl FnOnce(&Searcher<'_>) -> T) -> T {
    let space = app.spaces.current();
    work(&app.searcher(&space))
}
