//! `coho eval`: measuring retrieval on sets of questions with judged documents.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::{Session, output, show};
use crate::app::App;
use crate::error::{BadRequest, Failure};
use crate::flow::evaluate::{self, EvaluationSet, Evaluator, Row};
use crate::settings::Places;
use crate::store::Access;

#[derive(Subcommand)]
pub(super) enum Action {
    /// Compare words, vectors, their fusion by rank and coho's own ranking
    Retrieval {
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
    },
}

pub(super) fn run(session: &Session, action: Action) -> Result<ExitCode, Failure> {
    let Action::Retrieval {
        sets,
        data,
        split,
        limit,
    } = action;
    let from_environment = || {
        let set = std::env::var_os("COHO_EVAL_DATA");
        set.map(|folder| PathBuf::from(folder).join("eval"))
    };
    let missing = || {
        BadRequest::new(
            "no_evaluation_data",
            "there is no folder of evaluation sets",
            "give one with `--data FOLDER`, or set COHO_EVAL_DATA",
        )
    };
    let data = data.or_else(from_environment).ok_or_else(missing)?;
    let mut rows: Vec<Row> = Vec::new();
    for (name, folder) in evaluate::sets(&data, &sets)? {
        let set = EvaluationSet::read(&folder, &name, split.as_deref())
            .or_else(|_| EvaluationSet::read(&folder, &name, None))?;
        let measured = measure(session, &set, limit)?;
        if !session.json {
            measured.iter().for_each(show::retrieval_row);
        }
        rows.extend(measured);
    }
    if session.json {
        show::json(&output::RetrievalTable { rows });
    }
    Ok(ExitCode::SUCCESS)
}

/// Measures one set in a knowledge base of its own, beside the owner's.
fn measure(session: &Session, set: &EvaluationSet, limit: usize) -> Result<Vec<Row>, Failure> {
    let folder = session.places.home.join("eval");
    let name = set.name.replace('/', "-");
    let notes = folder.join(format!("{name}-notes"));
    evaluate::write_notes(set, &notes)?;
    let places = Places {
        home: folder.join(&name),
        ..session.places.clone()
    };
    let app = App::open(session.settings.clone(), places, Access::Write)?;
    let source = app.add_source(&notes, &[], &[])?;
    let bar = show::SyncBar::new(&source.path);
    evaluate::ingest_set(&app.ingest, &source, &|progress| bar.update(progress))?;
    bar.finish();
    let space = app.spaces.current();
    let parts = Evaluator {
        store: &app.store,
        space: &space,
        weights: app.weights(),
    };
    let bar = show::CountBar::new(&set.name, set.questions.len().min(limit));
    let rows = evaluate::evaluate(&parts, set, limit, |done| bar.update(done))?;
    bar.finish();
    Ok(rows)
}
