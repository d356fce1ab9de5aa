//! `coho doctor`: what is missing, and how to mend it.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::process::ExitCode;

use super::output::{Check, Diagnosis};
use super::remote::Remote;
use super::{Session, show};
use crate::app::network::check_addresses;
use crate::domain::generator::shown_address;
use crate::engine::Embedder;
use crate::engine::generate::Generator;
use crate::engine::install::Models;
use crate::engine::onnx::OnnxEmbedder;
use crate::error::{Failure, Fault};
use crate::store::folder::{create_private_folder, is_open_to_others};
use crate::store::{Access, Store, StoreError, VectorSpace};

impl Check {
    fn of<F: Fault>(name: &'static str, outcome: Result<String, F>) -> Self {
        match outcome {
            Ok(detail) => Self {
                name,
                ok: true,
                detail,
                hint: None,
            },
            Err(fault) => Self {
                name,
                ok: false,
                hint: fault.hint(),
                detail: Failure::from(fault).to_string(),
            },
        }
    }

    fn new(name: &'static str, ok: bool, detail: impl Into<String>, hint: &str) -> Self {
        Self {
            name,
            ok,
            detail: detail.into(),
            hint: (!ok).then(|| hint.to_owned()),
        }
    }
}

pub(super) fn run(session: &Session) -> ExitCode {
    let models = Models::at(&session.places.models);
    let mut checks = vec![data_folder(session), ledger(session)];
    checks.extend(recovery(session));
    checks.extend(indexes(session, &models));
    checks.push(Check::of(
        "ONNX Runtime",
        models.runtime().map(|path| path.display().to_string()),
    ));
    checks.push(Check::of("embedding model", embedder(session, &models)));
    checks.push(generator(session, &models));
    checks.extend(addresses(session));
    checks.push(port(session));
    checks.extend(sources(session));
    checks.extend(watches());
    let ok = checks.iter().all(|check| check.ok);
    if session.json {
        show::json(&Diagnosis { ok, checks });
    } else {
        for check in &checks {
            let mark = if check.ok { "ok     " } else { "missing" };
            out!("{mark} {}: {}", check.name, check.detail);
            if let Some(hint) = &check.hint {
                out!("        hint: {hint}");
            }
        }
    }
    if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn data_folder(session: &Session) -> Check {
    let home = &session.places.home;
    let was_open = is_open_to_others(home);
    let outcome = create_private_folder(home);
    if outcome.is_err() {
        return Check::of("data folder", outcome.map(|()| String::new()));
    }
    let probe = home.join(format!(".doctor-{}", std::process::id()));
    let writable = std::fs::write(&probe, b"x").and_then(|()| std::fs::remove_file(&probe));
    let shown = home.display();
    match writable {
        Ok(()) if is_open_to_others(home) => {
            let detail = format!("others can read your notes in {shown}");
            let hint = format!("`chmod 700 '{shown}'`, as its owner");
            Check::new("data folder", false, detail, &hint)
        }
        Ok(()) if was_open => {
            let detail = format!("{shown}; others could read it until now");
            Check::new("data folder", true, detail, "")
        }
        Ok(()) => Check::new("data folder", true, shown.to_string(), ""),
        Err(error) => {
            let detail = format!("{shown} cannot be written: {error}");
            let hint = match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    "free some space; nothing that was visible is lost"
                }
                _ => "give yourself write permission, or set COHO_HOME to another folder",
            };
            Check::new("data folder", false, detail, hint)
        }
    }
}

fn ledger(session: &Session) -> Check {
    let home = &session.places.home;
    let files = ["ledger.sqlite", "backup/ledger.sqlite"];
    if !files.iter().any(|name| home.join(name).exists()) {
        return Check::new(
            "ledger",
            true,
            "not there yet: `coho add PATH` begins it",
            "",
        );
    }
    let opened = Store::open(home, Access::Read);
    let counted = opened.and_then(|store| store.ledger().read(|s| s.counts()));
    Check::of(
        "ledger",
        counted.map(|c| format!("{} documents", c.documents)),
    )
}

/// What was lost when a damaged ledger was replaced by its copy. Nothing is left to mend.
fn recovery(session: &Session) -> Option<Check> {
    let home = &session.places.home;
    let there = home.join("ledger.sqlite").exists();
    let said = there.then(|| super::care::recovery(home))??;
    Some(Check::new("recovery", true, said, ""))
}

const MAKES_ANEW: &str = "`coho verify --repair` makes them anew from the ledger";

/// The indexes, by which notes are found. What is wrong with the ledger or the models is told of those.
fn indexes(session: &Session, models: &Models) -> Option<Check> {
    let home = &session.places.home;
    let there = home.join("ledger.sqlite").exists();
    let store = there.then(|| Store::open(home, Access::Read).ok())??;
    let in_use = store.embedder_in_use().ok()?;
    let model = in_use.unwrap_or_else(|| session.settings.models.embedder.clone());
    let dimensions = models.shape_of(&model).ok()?.dimensions;
    let space = VectorSpace { model, dimensions };
    Some(match damage(&store, &space) {
        Ok(found) if found.is_empty() => Check::new("indexes", true, space.model, ""),
        Ok(found) => Check::new("indexes", false, found.join("; "), MAKES_ANEW),
        Err(error) => {
            let hint = error.hint().unwrap_or_else(|| MAKES_ANEW.into());
            Check::new("indexes", false, Failure::from(error).whole(), &hint)
        }
    })
}

/// What is damaged in the indexes of an embedding model. What is only not there yet is no damage: a
/// service may be about to write it.
fn damage(store: &Store, space: &VectorSpace) -> Result<Vec<String>, StoreError> {
    if store.ledger().read(|s| s.counts())?.documents == 0 {
        return Ok(Vec::new());
    }
    if !store.has_indexes(&space.model) {
        return Err(StoreError::NotIndexed);
    }
    let indexes = store.indexes(space)?;
    if store.ledger().read(|s| store.is_unindexed(&indexes, s))? {
        return Err(StoreError::NotIndexed);
    }
    let found = store.index_differences(&indexes)?.into_iter();
    let damaged = found.filter(|difference| difference.damaged);
    Ok(damaged
        .map(|d| format!("{} {}", d.count, d.meaning))
        .collect())
}

fn embedder(session: &Session, models: &Models) -> Result<String, crate::engine::EngineError> {
    let chosen = models.installed(&session.settings.models.embedder)?;
    let folder = models.folder_of(&chosen.name);
    let mut model = OnnxEmbedder::load(&models.runtime()?, &folder, chosen.max_length, 1)?;
    let vectors = model.embed(&["hello".to_owned()])?;
    Ok(format!("{}, {} dimensions", chosen.name, vectors[0].len()))
}

/// The language model; of a server that takes its place, what the settings say: it is not spoken to.
fn generator(session: &Session, models: &Models) -> Check {
    let server = &session.settings.models.server;
    if !server.url.is_empty() {
        let shown = shown_address(&server.url);
        let detail = format!("`{}` of the model server at {shown}", server.model);
        return Check::new("language model", true, detail, "");
    }
    let name = &session.settings.models.generator;
    if name == "none" {
        return Check::new(
            "language model",
            true,
            "none wanted: answers are quotes",
            "",
        );
    }
    let outcome = models.installed(name).and_then(|installed| {
        let model = super::models::language_model(session, models.file_of(&installed));
        let described = model.describe()?;
        Ok(format!(
            "{}, {}, {} tokens of context{}",
            installed.name,
            described.architecture,
            described.context_tokens,
            if described.has_template {
                ""
            } else {
                ", no chat template that llama.cpp knows"
            }
        ))
    });
    Check::of("language model", outcome)
}

/// An address in the settings that nothing may be sent to.
fn addresses(session: &Session) -> Option<Check> {
    let refused = check_addresses(&session.settings).err()?;
    Some(Check::of("addresses", Err(refused)))
}

fn port(session: &Session) -> Check {
    let listen = session.settings.serve.listen;
    match TcpListener::bind(listen) {
        Ok(_) => Check::new("port", true, format!("{listen} is free"), ""),
        Err(_) if Remote::find(&session.places).is_some() => {
            Check::new("port", true, "a coho service runs on this data folder", "")
        }
        Err(error) => {
            let hint = "set serve.listen, or stop the program that uses it";
            Check::new("port", false, format!("{listen}: {error}"), hint)
        }
    }
}

fn sources(session: &Session) -> Vec<Check> {
    let home = &session.places.home;
    if !home.join("ledger.sqlite").exists() {
        return Vec::new();
    }
    let opened = Store::open(home, Access::Read);
    let sources = opened.and_then(|store| store.ledger().read(|s| s.sources()));
    let sources = sources.unwrap_or_default().into_iter();
    let check = |source: crate::store::sources::Source| {
        let shown = source.path.display().to_string();
        match std::fs::read_dir(&source.path) {
            Ok(_) => Check::new("source", true, shown, ""),
            Err(error) => {
                let hint = "mount it again, or `coho sources remove` it; its notes are kept";
                Check::new("source", false, format!("{shown}: {error}"), hint)
            }
        }
    };
    sources.map(check).collect()
}

/// inotify needs a watch per folder.
fn watches() -> Option<Check> {
    let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").ok()?;
    let limit: u64 = limit.trim().parse().ok()?;
    let hint = "raise it: `sudo sysctl fs.inotify.max_user_watches=524288`";
    Some(Check::new(
        "folder watches",
        limit >= 8192,
        format!("{limit} folders can be watched"),
        hint,
    ))
}
