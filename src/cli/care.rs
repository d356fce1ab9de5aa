//! Looking after the store: verify, reindex, backup, restore, export.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::sources::{source_named, sync_all};
use super::{Session, output, show};
use crate::app::learning::moment;
use crate::app::told_path;
use crate::app::{App, now_ms};
use crate::error::{BadRequest, Failure};
use crate::flow::answer::kept::with_passages;
use crate::flow::verify::{Verdict, verify};
use crate::flow::writeback::training;
use crate::store::erase::Erase;
use crate::store::verify::{Difference, without};
use crate::store::{Access, Store, StoreError, VectorSpace, backup, documents};

/// `coho verify`: exit code 1 when something differs.
pub(super) fn run_verify(session: Session, repair: bool) -> Result<ExitCode, Failure> {
    let json = session.json;
    let home = session.places.home.clone();
    let before = recovery(&home);
    let verdict = if repair {
        repaired(session)?
    } else {
        looked_at(&session)?
    };
    if json {
        show::json(&verdict);
    } else {
        show::verdict(&verdict);
        // Of this repair; `coho status` tells of earlier ones.
        if let Some(said) = recovery(&home).filter(|_| repair)
            && before.as_ref() != Some(&said)
        {
            show::recovery(&said);
        }
    }
    Ok(ExitCode::from(u8::from(!verdict.ok)))
}

/// What was lost when a damaged ledger was replaced by its copy, where that ever was and can be read.
pub(super) fn recovery(home: &Path) -> Option<String> {
    let store = Store::open(home, Access::Read).ok()?;
    let said = store
        .ledger()
        .read(|snapshot| snapshot.memo(backup::recovery::RECOVERY));
    said.ok().flatten()
}

/// Looks without changing anything. A service may be at work, so a difference counts only when it
/// stays.
fn looked_at(session: &Session) -> Result<Verdict, Failure> {
    let mut verdict = look(session)?;
    for _ in 0..3 {
        if verdict.ok || !super::remote::is_announced(&session.places.home) {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
        verdict = look(session)?;
    }
    Ok(verdict)
}

fn look(session: &Session) -> Result<Verdict, Failure> {
    let damaged = |error: StoreError| -> Result<Verdict, Failure> {
        let failure = Failure::from(error);
        if failure.code() != "ledger_damaged" {
            return Err(failure);
        }
        Ok(not_read(&failure))
    };
    let opened = Store::open(&session.places.home, Access::Read).and_then(|store| {
        let in_use = store.embedder_in_use()?;
        Ok((store, in_use))
    });
    let (store, in_use) = match opened {
        Ok(opened) => opened,
        Err(error) => return damaged(error),
    };
    let model = in_use.unwrap_or_else(|| session.settings.models.embedder.clone());
    let models = crate::engine::install::Models::at(&session.places.models);
    let space = VectorSpace {
        dimensions: models.shape_of(&model)?.dimensions,
        model,
    };
    let indexes = store.indexes(&space);
    verify(&store, indexes.as_ref().map_err(|error| error.again())).or_else(damaged)
}

/// What is said of a ledger that cannot be looked at.
fn not_read(failure: &Failure) -> Verdict {
    Verdict {
        ok: false,
        documents: 0,
        chunks: 0,
        fingerprint: String::new(),
        differences: Difference::damage(
            "ledger_damaged",
            "the ledger cannot be read: `coho verify --repair` restores its last copy",
            &[failure.whole()],
        )
        .into_iter()
        .collect(),
        repaired: Vec::new(),
    }
}

fn repaired(session: Session) -> Result<Verdict, Failure> {
    // Opening for writing looks closer, and says what cannot be mended.
    let found = looked_at(&session).unwrap_or_else(|failure| not_read(&failure));
    let app = session.open(Access::Write)?;
    let ledger = app.store.ledger();
    if found.differences.iter().any(|d| d.what == "ledger_damaged") {
        ledger.rebuild_own_indexes()?;
    }
    // Before the copy is made anew.
    for lost in app.store.mend_unreadable()? {
        note!("{lost} cannot be read, and the last copy has nothing of it: it is gone");
    }
    let chunks = ledger.read(|snapshot| snapshot.damaged_chunks())?;
    ledger.write(|transaction| documents::read_again(transaction, Some(&chunks)))?;
    sync_all(&app, None)?.complain();
    let app = reopened(app)?;
    let space = app.spaces.current();
    let mut verdict = verify(&app.store, Ok(&space.indexes))?;
    verdict.repaired = without(found.differences, &verdict.differences);
    Ok(verdict)
}

/// The same knowledge base as the next process will find it.
fn reopened(app: App) -> Result<App, Failure> {
    let (settings, places) = (app.settings.clone(), app.places.clone());
    drop(app);
    App::open(settings, places, Access::Write)
}

/// `coho reindex`: everything derived is made anew from the ledger and the files.
pub(super) fn reindex(session: Session) -> Result<ExitCode, Failure> {
    let json = session.json;
    let app = session.open(Access::Write)?;
    let ledger = app.store.ledger();
    ledger.write(|transaction| documents::read_again(transaction, None))?;
    let model = app.spaces.current().indexes.space().model.clone();
    app.store.discard_indexes(&model)?;
    let app = reopened(app)?;
    Ok(sync_all(&app, None)?.tell(json))
}

/// `coho backup`: one archive of everything, also while a service runs.
pub(super) fn run_backup(session: Session, target: &Path) -> Result<ExitCode, Failure> {
    let json = session.json;
    let app = session.open_records(Access::Read)?;
    let space = app.spaces.current();
    let written = backup::archive::write(&app.store, space.indexes.space(), target, now_ms());
    let description = written.map_err(|error| match error {
        // Not the data folder, but the place that was chosen for the archive.
        StoreError::Io { path, source } if !path.starts_with(app.store.home()) => {
            unusable(target, source)
        }
        other => other.into(),
    })?;
    if json {
        show::json(&description);
    } else {
        out!(
            "{} documents and {} chunks are in {}",
            description.documents,
            description.chunks,
            target.display()
        );
    }
    warn_of_lacking(&description);
    Ok(ExitCode::SUCCESS)
}

/// Says which vectors an archive does not hold. It is whole all the same: they can be made again.
fn warn_of_lacking(archive: &backup::archive::Description) {
    let lacking = archive.chunks.saturating_sub(archive.vectors);
    if lacking > 0 {
        note!(
            "the vectors of {lacking} chunks are not in it; once it is restored, `coho sync` makes them \
             anew: until then those are found by their words alone"
        );
    }
}

/// Why a file that was named on the command line cannot be used. Where that is by its name or its
/// place, who named it can mend it.
fn unusable(path: &Path, source: std::io::Error) -> Failure {
    use std::io::ErrorKind::{
        IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem,
    };
    let hint = match source.kind() {
        NotFound | NotADirectory => "check the spelling of the path, and that its folder is there",
        IsADirectory => "give the name of a file",
        PermissionDenied | ReadOnlyFilesystem => "get permission for it, or choose another place",
        _ => return StoreError::io(path, source).into(),
    };
    let what = format!("cannot use {}: {source}", path.display());
    BadRequest::new("bad_path", what, hint).into()
}

/// `coho restore`: an archive into an empty data folder.
pub(super) fn run_restore(session: Session, archive: &Path) -> Result<ExitCode, Failure> {
    let json = session.json;
    std::fs::File::open(archive).map_err(|source| unusable(archive, source))?;
    let description = backup::archive::restore(&session.places.home, archive)?;
    let app = session.open_records(Access::Write)?;
    // The archive holds no index of words: it is made of the ledger.
    app.store.heal_terms(&app.spaces.current().indexes)?;
    let sources = app.sources()?;
    let missing: Vec<&PathBuf> = sources
        .iter()
        .filter(|s| !s.reachable)
        .map(|s| &s.source.path)
        .collect();
    if json {
        show::json(&description);
    } else {
        out!(
            "restored {} documents and {} chunks",
            description.documents,
            description.chunks
        );
    }
    warn_of_lacking(&description);
    let tokens = app.tokens()?.tokens;
    if !tokens.is_empty() {
        let names: Vec<&str> = tokens.iter().map(|grant| grant.name.as_str()).collect();
        note!(
            "with it came tokens that open this knowledge base again: {}; `coho token revoke` takes \
             one back",
            names.join(", ")
        );
    }
    for path in missing {
        note!(
            "the folder {} is not here: its documents are kept; \
             `coho sources move` tells where it is now",
            path.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// `coho forget`: questions and answers, for good. A running service reads the same ledger, so that
/// it need not be told.
pub(super) fn forget(
    session: Session,
    answer: Option<String>,
    before: Option<&str>,
    source: Option<&str>,
) -> Result<ExitCode, Failure> {
    let json = session.json;
    let app = session.open_records(Access::Read)?;
    let what = match (answer, before, source) {
        (Some(answer), ..) => Erase::Answer(answer),
        (_, Some(day), _) => Erase::Before(moment(day)?),
        (_, _, Some(source)) => Erase::Below(folder_named(&app, source)?),
        _ => Erase::All,
    };
    let erased = app.forget(&what)?;
    let copied = app.places.home.join("eval").is_dir();
    if json {
        show::json(&erased);
    } else {
        out!(
            "erased {} answers and {} units; archives of `coho backup` that hold them are yours to delete",
            erased.answers,
            erased.units
        );
        if copied {
            note!("what `coho eval run` copied of notes and questions goes by `coho eval remove`");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The folder of a source, or one that may have been a source.
fn folder_named(app: &App, name: &str) -> Result<PathBuf, Failure> {
    match source_named(app, name) {
        Ok(id) => Ok(app.source(id)?.path),
        Err(failure) if name.parse::<i64>().is_ok() => Err(failure),
        // Of a folder that is none any more, the answers are still there.
        Err(failure) => {
            let leads = Path::new(name).canonicalize();
            leads
                .or_else(|_| std::path::absolute(name))
                .map_err(|_| failure)
        }
    }
}

/// What `coho export` writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Export {
    /// Units, questions, answers and feedback
    #[default]
    Everything,
    /// Verified questions, evidence and answers in chat format, for fine-tuning a model of your own
    Training,
}

/// What `coho export` writes of everything: a type and the query that gives its rows.
const EXPORTS: &[(&str, &str)] = &[
    (
        "question",
        "SELECT id AS answer_id, question, asked_ms FROM answer ORDER BY asked_ms, id",
    ),
    (
        "answer",
        "SELECT id, question, body, asked_ms FROM answer ORDER BY asked_ms, id",
    ),
    (
        "feedback",
        "SELECT answer_id, verdict, note, given_ms FROM feedback ORDER BY id",
    ),
    (
        "unit",
        "SELECT u.*, (SELECT json_group_array(lower(hex(e.chunk_id))) FROM unit_evidence e
                      WHERE e.unit_id = u.id) AS evidence
         FROM unit u ORDER BY u.made_ms, u.id",
    ),
];

/// Columns that hold JSON.
const NESTED: &[&str] = &["body", "questions", "scores", "gates", "evidence"];

/// `coho export`: units, questions, answers and feedback as JSON lines; with `--json` as one document.
pub(super) fn export(
    session: Session,
    what: Export,
    target: Option<&Path>,
) -> Result<ExitCode, Failure> {
    let store = Store::open(&session.places.home, Access::Read)?;
    let path = target.unwrap_or(Path::new("stdout"));
    let mut out: Option<Box<dyn Write>> = match target {
        None if session.json => None,
        None => Some(Box::new(std::io::stdout().lock())),
        Some(path) if path.exists() => {
            return Err(BadRequest::new(
                "file_exists",
                format!("{} is there already", path.display()),
                "choose another name: exporting never writes over a file",
            )
            .into());
        }
        Some(path) => {
            let file = std::fs::File::create(path).map_err(|source| unusable(path, source))?;
            Some(Box::new(std::io::BufWriter::new(file)))
        }
    };
    let mut exported = output::Exported {
        file: target.map(told_path),
        count: 0,
        records: Vec::new(),
    };
    let io = |source| StoreError::io(path, source);
    let mut gone = false;
    let mut write = |record: serde_json::Value| {
        exported.count += 1;
        match &mut out {
            Some(_) if gone => {}
            Some(out) => match writeln!(out, "{record}") {
                // A reader that has gone away (`| head`) has read enough.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => gone = true,
                written => written.map_err(io)?,
            },
            None => exported.records.push(record),
        }
        Ok(())
    };
    match what {
        Export::Everything => {
            let left_out = everything(&store, &mut write)?;
            if left_out > 0 {
                note!(
                    "{left_out} records are left out: they cannot be read; `coho verify --repair` \
                     takes them from the last copy, where that has them"
                );
            }
        }
        Export::Training => {
            let left_out =
                training::examples(&store, &mut |example| write(serde_json::to_value(example)?))?;
            if left_out.unreadable > 0 {
                note!(
                    "{} units and answers are left out: they cannot be read; `coho verify --repair` \
                     takes them from the last copy, where that has them",
                    left_out.unreadable
                );
            }
            if left_out.kept_here > 0 {
                let kept_here = left_out.kept_here;
                note!(
                    "{kept_here} examples are left out: their folders never leave this machine; \
                     `coho sources keep PATH --may-leave` lets them"
                );
            }
        }
    }
    if let Some(out) = out.as_mut().filter(|_| !gone) {
        out.flush().map_err(io)?;
    }
    if session.json {
        show::json(&exported);
    } else if let Some(path) = target {
        out!("{} lines are in {}", exported.count, show::short(path));
    }
    Ok(ExitCode::SUCCESS)
}

/// Hands every record of the ledger to `each`; returns how many cannot be read.
fn everything(
    store: &Store,
    each: &mut dyn FnMut(serde_json::Value) -> Result<(), StoreError>,
) -> Result<usize, StoreError> {
    store.ledger().read(|snapshot| {
        let mut left_out = 0;
        for (name, query) in EXPORTS {
            snapshot.each_row(query, &mut |row| {
                let Ok(mut record) = record(name, row) else {
                    left_out += 1;
                    return Ok(());
                };
                if let Some(body) = record.get_mut("body") {
                    *body = with_passages(snapshot, body.take())?;
                }
                each(record)
            })?;
        }
        Ok(left_out)
    })
}

/// A row as it is exported.
fn record(
    name: &str,
    row: serde_json::Map<String, serde_json::Value>,
) -> serde_json::Result<serde_json::Value> {
    let mut line = serde_json::Map::new();
    line.insert("type".into(), name.into());
    for (key, value) in row {
        let nested = value.as_str().filter(|_| NESTED.contains(&key.as_str()));
        let value = match nested {
            Some(text) => serde_json::from_str(text)?,
            None => value,
        };
        line.insert(key, value);
    }
    Ok(serde_json::Value::Object(line))
}
