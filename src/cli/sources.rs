//! `coho add`, `coho sources` and `coho sync`: the folders that are read, and reading them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{
    Session, SourcesAction, Writing, here_or_there, open_for_writing, output, show,
    stop_on_interrupt,
};
use crate::app::App;
use crate::domain::source::SourceId;
use crate::error::Failure;
use crate::flow::ingest::{IngestError, Report};
use crate::store::Access;
use crate::store::sources::{Rules, Source};

/// `coho add`.
pub(super) fn add(
    session: Session,
    path: PathBuf,
    rules: &Rules,
    no_sync: bool,
) -> Result<ExitCode, Failure> {
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

pub(super) fn heal(app: &App, stop: &AtomicBool) -> Result<(), Failure> {
    let healed = app.ingest.heal(stop)?;
    if healed.documents + healed.chunks > 0 {
        note!(
            "mended the indexes: {} documents, {} chunks",
            healed.documents,
            healed.chunks
        );
    }
    Ok(())
}

/// Brings everything in line with the files, of all sources or of one, and puts a newly chosen
/// embedding model in use. A source that cannot be read keeps no other from being read.
pub(super) fn sync_all(app: &App, only: Option<SourceId>) -> Result<Synchronised, Failure> {
    let stop = stop_on_interrupt();
    heal(app, &stop)?;
    while let Some(left) = app.ingest.build_next()? {
        if stop.load(Ordering::Relaxed) {
            return Err(IngestError::Stopped.into());
        }
        note!("building the new embedding model's index: {left} chunks left");
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
pub(super) struct Synchronised {
    reports: Vec<Report>,
    failures: Vec<(Source, Failure)>,
}

impl Synchronised {
    pub(super) fn complain(&self) {
        let failures = self.failures.iter();
        failures.for_each(|(_, failure)| show::failure(failure, false));
    }

    /// Tells all of it; the exit code is that of the last failure.
    pub(super) fn tell(&self, json: bool) -> ExitCode {
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

/// `coho sources`.
pub(super) fn run(session: Session, action: Option<SourcesAction>) -> Result<ExitCode, Failure> {
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

fn move_source(
    session: Session,
    source: &str,
    path: &Path,
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
pub(super) fn source_named(app: &App, name: &str) -> Result<SourceId, Failure> {
    let whole = std::path::absolute(name).map(|path| path.to_string_lossy().into_owned());
    let named = app.source_named(name);
    match (named, whole) {
        // What is missing is told as it was typed.
        (Err(missing), Ok(path)) => app.source_named(&path).map_err(|_| missing),
        (named, _) => named,
    }
}

/// `coho sync`.
pub(super) fn sync(session: Session, only: Option<&str>) -> Result<ExitCode, Failure> {
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
