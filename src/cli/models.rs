//! `coho models`: list, install, use, add, bench.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Subcommand;

use super::output::{
    Bench, Chosen, EmbedderBench, GeneratorBench, InstalledModels, ModelList, ModelRow, NotesBench,
};
use super::{Session, show};
use crate::domain::chunk::embedded_text;
use crate::engine::install::Models;
use crate::engine::llama::{self, Llama, LlamaOptions};
use crate::engine::manifest::{self, Role};
use crate::engine::onnx::OnnxEmbedder;
use crate::engine::{Embedder, Generator, Message, Prompt};
use crate::error::{BadRequest, Failure};
use crate::settings::set_in_file;
use crate::store::ledger::Ledger;

#[derive(Subcommand)]
pub(super) enum Action {
    /// List the models that are installed or can be
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
        /// Also embed all chunks of the notes again, and nothing else
        #[arg(long)]
        notes: bool,
    },
}

pub(super) fn run(session: Session, action: Action) -> Result<ExitCode, Failure> {
    let models = Models::at(&session.places.models);
    match action {
        Action::List => list(&session, &models),
        Action::Install { name } => install(&session, &models, name)?,
        Action::Use { name } => choose(&session, &models, &name)?,
        Action::Add { path, name } => add(&session, &models, &path, name.as_deref())?,
        Action::Bench { notes } => bench(&session, &models, notes)?,
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
        let folder = models.folder().to_owned();
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
        let installed = models.install(&name, &|step| bar.update(step));
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
            folder: models.folder().to_owned(),
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
    if path.extension() == Some("gguf".as_ref()) {
        llama::check(path)?;
    }
    let added = models.add(path, name)?;
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

const BENCH_SENTENCE: &str = "The train to the mountains leaves in the morning, and the tickets \
                              are in the drawer of the kitchen table together with the map. ";

fn bench(session: &Session, models: &Models, notes: bool) -> Result<(), Failure> {
    let bench = Bench {
        embedder: bench_embedder(session, models, notes)?,
        generator: match session.settings.models.generator.as_str() {
            "none" => None,
            name => Some(bench_generator(session, models, name)?),
        },
    };
    if session.json {
        show::json(&bench);
        return Ok(());
    }
    let e = &bench.embedder;
    out!(
        "{}: loads in {} ms, a query takes {} ms, {} passages/s of about 120 tokens",
        e.name,
        e.load_ms,
        e.query_ms,
        e.passages_per_s
    );
    if let Some(notes) = &e.notes {
        out!(
            "your notes: {} chunks, {} a second",
            notes.chunks,
            notes.chunks_per_s
        );
    }
    let Some(g) = &bench.generator else {
        out!("no language model is in use");
        return Ok(());
    };
    out!(
        "{}: loads in {} ms, reads {} tokens/s, writes {} tokens/s",
        g.name,
        g.load_ms,
        g.prefill_tokens_per_s,
        g.generate_tokens_per_s
    );
    if let Some(first) = g.first_token_ms {
        out!(
            "the first word comes {first} ms after a prompt of {} tokens",
            g.prompt_tokens
        );
    }
    if g.generate_tokens_per_s < 30.0 {
        out!("below 30 tokens/s people stop waiting: a smaller model would serve better here");
    }
    Ok(())
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn millis(since: Instant) -> f64 {
    round(since.elapsed().as_secs_f64() * 1e3)
}

fn bench_embedder(
    session: &Session,
    models: &Models,
    notes: bool,
) -> Result<EmbedderBench, Failure> {
    let chosen = models.installed(&session.settings.models.embedder)?;
    let started = Instant::now();
    let mut model = OnnxEmbedder::load(
        &models.runtime()?,
        &models.folder_of(&chosen.name),
        chosen.max_length,
        session.settings.models.threads,
    )?;
    let load_ms = millis(started);
    let query = ["when does the train leave".to_owned()];
    model.embed(&query)?;
    let mut times = Vec::new();
    for _ in 0..20 {
        let started = Instant::now();
        model.embed(&query)?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let passages = vec![BENCH_SENTENCE.repeat(5); 4];
    let started = Instant::now();
    for _ in 0..8 {
        model.embed(&passages)?;
    }
    let rate = 32.0 / started.elapsed().as_secs_f64();
    let notes = notes
        .then(|| bench_notes(session, &mut model))
        .transpose()?;
    Ok(EmbedderBench {
        notes,
        name: chosen.name,
        load_ms,
        query_ms: round(times[10]),
        passages_per_s: round(rate),
    })
}

/// What a sync could reach at best: all chunks, by length, in batches, with nothing else to do.
fn bench_notes(session: &Session, model: &mut OnnxEmbedder) -> Result<NotesBench, Failure> {
    let ledger = Ledger::open(&session.places.home.join("ledger.sqlite"))?;
    let mut texts = ledger.read(|snapshot| {
        let ids = snapshot.chunk_ids()?.into_iter();
        let texts = ids.filter_map(|id| snapshot.chunk_text(id).transpose());
        texts.collect::<Result<Vec<_>, _>>()
    })?;
    texts.sort_by_key(|(_, text)| std::cmp::Reverse(text.len()));
    let texts: Vec<String> = texts.iter().map(|(h, t)| embedded_text(h, t)).collect();
    let started = Instant::now();
    for batch in texts.chunks(4) {
        model.embed(batch)?;
    }
    let seconds = started.elapsed().as_secs_f64().max(1e-9);
    #[expect(clippy::cast_precision_loss, reason = "a count of chunks")]
    let chunks_per_s = round(texts.len() as f64 / seconds);
    Ok(NotesBench {
        chunks: texts.len(),
        chunks_per_s,
    })
}

fn bench_generator(
    session: &Session,
    models: &Models,
    name: &str,
) -> Result<GeneratorBench, Failure> {
    let chosen = models.installed(name)?;
    let options = LlamaOptions {
        path: models.file_of(&chosen),
        context_tokens: session.settings.models.context_tokens,
        threads: session.settings.models.threads,
        gpu_layers: session.settings.models.gpu_layers,
    };
    let mut model = Llama::new(options.clone());
    let started = Instant::now();
    model.count_tokens("load")?;
    let load_ms = millis(started);
    let prompt = Prompt {
        messages: vec![Message {
            role: "user",
            content: BENCH_SENTENCE.repeat(20) + "Tell a long story about it.",
        }],
        max_tokens: 128,
        temperature: 0.0,
        seed: 0,
        stop: Vec::new(),
    };
    let started = Instant::now();
    let mut first_token_ms = None;
    let written = model.generate(&prompt, &mut |_| {
        first_token_ms.get_or_insert_with(|| millis(started));
        ControlFlow::Continue(())
    })?;
    #[expect(clippy::cast_precision_loss, reason = "token counts")]
    let rate = |tokens: usize, seconds: f64| round(tokens as f64 / seconds.max(1e-9));
    let read = written.prompt_tokens - written.cached_tokens;
    drop(model);
    let (bare_read, bare_write) = llama::bare_speed(&options, written.prompt_tokens, 128)?;
    Ok(GeneratorBench {
        bare_prefill_tokens_per_s: round(bare_read),
        bare_generate_tokens_per_s: round(bare_write),
        name: chosen.name,
        load_ms,
        first_token_ms,
        prompt_tokens: written.prompt_tokens,
        prefill_tokens_per_s: rate(read, written.prefill.as_secs_f64()),
        generate_tokens_per_s: rate(written.generated_tokens, written.generate.as_secs_f64()),
    })
}
