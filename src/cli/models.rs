//! `coho models`: list, install, use, add, bench.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::output::{Chosen, InstalledModels, ModelList, ModelRow};
use super::{Session, bench, show};
use crate::app::told_path;
use crate::app::{llama_options, this_program};
use crate::engine::generate::{Generator, LlamaOptions};
use crate::engine::install::{Models, whole_path};
use crate::engine::llama::process::LlamaProcess;
use crate::engine::manifest::{self, Role};
use crate::error::{BadRequest, Failure};
use crate::settings::set_in_file;
use crate::umask;

#[derive(Default, Subcommand)]
pub(super) enum Action {
    /// List the models that are installed or can be
    #[default]
    List,
    /// Install a model, or all defaults
    Install {
        /// Its name; all defaults when none is given
        name: Option<String>,
    },
    /// Use an installed model from now on
    Use {
        /// Its name; `none` for answers without a language model
        name: String,
    },
    /// Add a model where it lies: a GGUF file, or a folder with an ONNX cross-encoder
    Add {
        /// The file or folder
        path: PathBuf,
        /// A name for it, instead of the file's
        #[arg(long)]
        name: Option<String>,
    },
    /// Measure the models in use on this machine
    Bench {
        /// Also time how fast all chunks of the notes are embedded with nothing else to do
        #[arg(long)]
        notes: bool,
    },
}

pub(super) fn run(session: Session, action: Action) -> Result<ExitCode, Failure> {
    let models = Models::at(&session.places.models);
    match action {
        Action::List => list(&session, &models),
        // Models are no secrets, and may be shared.
        Action::Install { name } => umask::with_former(|| install(&session, &models, name))?,
        Action::Use { name } => choose(&session, &models, &name)?,
        Action::Add { path, name } => add(&session, &models, &path, name.as_deref())?,
        Action::Bench { notes } => bench::run(&session, &models, notes)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(session: &Session, models: &Models) {
    let installed = models.list();
    let chosen = &session.settings.models;
    let in_use = |name: &str, role: Role| match role {
        Role::Runtime => true,
        Role::Embedder => chosen.embedder == name,
        Role::Generator => chosen.generator == name,
        Role::Reranker => chosen.reranker == name,
    };
    let mut rows: Vec<ModelRow> = installed
        .iter()
        .map(|i| ModelRow {
            name: i.name.clone(),
            role: i.role,
            about: i.about.clone(),
            licence: i.licence.clone(),
            bytes: Some(i.bytes),
            installed: true,
            in_use: in_use(&i.name, i.role),
        })
        .collect();
    for entry in manifest::entries() {
        if !installed.iter().any(|i| i.name == entry.name) {
            rows.push(ModelRow {
                bytes: entry.wheel_here().map(|wheel| wheel.bytes),
                name: entry.name,
                role: entry.role,
                about: entry.about,
                licence: entry.licence,
                installed: false,
                in_use: false,
            });
        }
    }
    if session.json {
        let folder = told_path(models.folder());
        return show::json(&ModelList {
            models: rows,
            folder,
        });
    }
    for row in rows {
        let mark = match (row.in_use, row.installed) {
            (true, _) => "in use",
            (_, true) => "installed",
            _ => "not installed",
        };
        out!("{:<24} {:<14} {}", row.name, mark, row.about);
    }
}

fn install(session: &Session, models: &Models, name: Option<String>) -> Result<(), Failure> {
    let all = || {
        manifest::entries()
            .into_iter()
            .map(|entry| entry.name)
            .collect()
    };
    let names: Vec<String> = name.map_or_else(all, |name| vec![name]);
    let mut done = Vec::new();
    for name in names {
        let bar = show::InstallBar::new(&name);
        let installed = models.install(&name, &this_program(), &|step| bar.update(step));
        bar.finish();
        let installed = installed?;
        if !session.json {
            let size = show::mebibytes(installed.bytes);
            out!("{name} is installed ({size})");
        }
        done.push(installed);
    }
    if session.json {
        show::json(&InstalledModels {
            installed: done,
            folder: told_path(models.folder()),
        });
    }
    Ok(())
}

fn choose(session: &Session, models: &Models, name: &str) -> Result<(), Failure> {
    let key = if name == "none" {
        "models.generator"
    } else {
        match models.installed(name)?.role {
            Role::Embedder => "models.embedder",
            Role::Generator => "models.generator",
            Role::Reranker => "models.reranker",
            Role::Runtime => {
                let what = format!("`{name}` is a library, and always in use");
                return Err(BadRequest::new("not_a_model", what, "choose a model").into());
            }
        }
    };
    set_in_file(&session.places.config, key, name)?;
    if session.json {
        show::json(&Chosen {
            key: key.to_owned(),
            value: name.to_owned(),
        });
    } else {
        out!("{key} is `{name}` now; a running service takes it up when it starts again");
    }
    Ok(())
}

fn add(
    session: &Session,
    models: &Models,
    path: &std::path::Path,
    name: Option<&str>,
) -> Result<(), Failure> {
    let whole = whole_path(path)?;
    if path.extension() == Some("gguf".as_ref()) {
        // An adapter belongs to the model in use.
        let alone = LlamaOptions {
            lora: None,
            ..llama_options(&session.settings, whole.clone())
        };
        LlamaProcess::new(this_program(), alone).describe()?;
    }
    let added = models.add(&whole, name)?;
    if session.json {
        show::json(&added);
    } else {
        out!(
            "added `{}`; `coho models use {}` chooses it",
            added.name,
            added.name
        );
    }
    Ok(())
}

/// A language model in a file, to be tried.
pub(super) fn language_model(session: &Session, file: PathBuf) -> LlamaProcess {
    LlamaProcess::new(this_program(), llama_options(&session.settings, file))
}
