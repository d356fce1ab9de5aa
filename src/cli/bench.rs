//! `coho models bench`: how fast the models are on this machine.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::models::language_model;
use super::output::{Bench, EmbedderBench, GeneratorBench, NotesBench};
use super::{Session, show};
use crate::app::llama_options;
use crate::domain::chunk::embedded_text;
use crate::domain::generator::shown_address;
use crate::energy::Meter;
use crate::engine::generate::{Generated, Generator, LlamaOptions, Message, Prompt, Role, Stream};
use crate::engine::install::Models;
use crate::engine::llama::bare_speed;
use crate::engine::llama::process::LlamaProcess;
use crate::engine::onnx::OnnxEmbedder;
use crate::engine::{Embedder, EngineError};
use crate::error::Failure;
use crate::flow::answer::reading::reading;
use crate::store::ledger::Ledger;

const BENCH_SENTENCE: &str = "The train to the mountains leaves in the morning, and the tickets \
                              are in the drawer of the kitchen table together with the map. ";

/// Measures the models in use. How fast a server is that takes the language model's place depends on
/// another program, and perhaps on another machine: it is not asked.
pub(super) fn run(session: &Session, models: &Models, notes: bool) -> Result<(), Failure> {
    let chosen = &session.settings.models;
    let is_served = !chosen.server.url.is_empty();
    let bench = Bench {
        embedder: bench_embedder(session, models, notes)?,
        generator: if is_served || chosen.generator == "none" {
            None
        } else {
            Some(bench_generator(session, models, &chosen.generator)?)
        },
    };
    if session.json {
        show::json(&bench);
    } else {
        tell(&bench.embedder);
        match &bench.generator {
            Some(generator) => tell_of_generator(generator),
            None if is_served => {
                let (model, at) = (&chosen.server.model, shown_address(&chosen.server.url));
                out!(
                    "the language model is `{model}` of the model server at {at}: it is not measured"
                );
            }
            None => out!("no language model is in use"),
        }
    }
    Ok(())
}

fn tell(e: &EmbedderBench) {
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
}

fn tell_of_generator(g: &GeneratorBench) {
    out!(
        "{}: loads in {} ms, reads {} tokens/s ({} of llama.cpp's bare speed), writes {} tokens/s ({})",
        g.name,
        g.load_ms,
        g.prefill_tokens_per_s,
        g.prefill_ratio,
        g.generate_tokens_per_s,
        g.generate_ratio
    );
    out!(
        "the first word comes {} ms after a prompt of {} tokens, {} ms when only the question is new",
        g.first_token_ms,
        g.prompt_tokens,
        g.first_token_shared_ms
    );
    out!(
        "four questions at once take {} of the time of one after another ({} in a bare loop)",
        g.four_at_once,
        g.bare_four_at_once
    );
    out!(
        "{} MiB of memory, {} J a token ({})",
        g.memory_bytes >> 20,
        g.joules_per_token,
        g.energy_method
    );
    out!(
        "it gets {} of {} notes right that it reads{}",
        g.reading.right,
        g.reading.asked,
        if g.reading.is_good() {
            ""
        } else {
            ": answers quote the notes, unless `answer.drafts` is `always`"
        }
    );
    if g.fast_enough {
        out!("that is fast enough: people leave below {LEAST_SPEED} tokens/s");
    } else {
        out!("below {LEAST_SPEED} tokens/s people leave: a smaller model would serve better here");
    }
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

/// Tokens written in each run.
const WRITTEN: usize = 128;

/// Tokens written per second below which people leave.
const LEAST_SPEED: f64 = 30.0;

/// Runs, of which the median counts.
const RUNS: usize = 3;

fn bench_generator(
    session: &Session,
    models: &Models,
    name: &str,
) -> Result<GeneratorBench, Failure> {
    let chosen = models.installed(name)?;
    let file: PathBuf = models.file_of(&chosen);
    let model = language_model(session, file.clone());
    let started = Instant::now();
    let described = model.describe()?;
    let load_ms = millis(started);
    let reading = reading(&model)?;
    // With an adapter, it is another model that reads.
    if session.settings.models.lora.as_os_str().is_empty() {
        models.keep_reading(name, reading)?;
    }
    let sentence = model.count_tokens(vec![BENCH_SENTENCE.to_owned()])?;
    let sentence = sentence.first().copied().unwrap_or(0);
    let sentences = sentences_of(described.context_tokens, sentence);
    let prompt = |round: usize, question: &str| prompt(round, sentences, question);
    let (mut ours, mut bare, mut joules) = (Vec::new(), Vec::new(), 0.0);
    let (mut firsts, mut shared) = (Vec::new(), Vec::new());
    let mut energy_method = String::new();
    for round in 0..RUNS {
        let meter = Meter::start();
        let (first, cold) = one(&model, prompt(round, "Tell a long story about it."))?;
        let energy = meter.stop(cold.cpu);
        joules += energy.joules;
        energy_method = energy.method;
        firsts.push(first);
        shared.push(one(&model, prompt(round, "Where are the tickets?"))?.0);
        bare.push(bare_speed(
            &llama_options(&session.settings, file.clone()),
            (cold.prompt_tokens, WRITTEN),
            1,
        )?);
        ours.push(cold);
    }
    let read = |g: &Generated| rate(g.prompt_tokens - g.cached_tokens, g.prefill);
    let wrote = |g: &Generated| rate(g.tokens().saturating_sub(1), g.generate);
    let tokens: usize = ours.iter().map(|g| g.prompt_tokens + g.tokens()).sum();
    let prefill = median(ours.iter().map(read));
    let generate = median(ours.iter().map(wrote));
    let bare_prefill = median(bare.iter().map(|(read, _)| *read));
    let bare_generate = median(bare.iter().map(|(_, wrote)| *wrote));
    #[expect(clippy::cast_precision_loss, reason = "token counts")]
    let joules_per_token = joules / tokens.max(1) as f64;
    Ok(GeneratorBench {
        name: chosen.name,
        load_ms,
        first_token_ms: round(median(firsts.iter().copied())),
        first_token_shared_ms: round(median(shared.iter().copied())),
        prompt_tokens: ours[0].prompt_tokens,
        prefill_tokens_per_s: round(prefill),
        generate_tokens_per_s: round(generate),
        bare_prefill_tokens_per_s: round(bare_prefill),
        bare_generate_tokens_per_s: round(bare_generate),
        prefill_ratio: hundredths(prefill / bare_prefill),
        generate_ratio: hundredths(generate / bare_generate),
        fast_enough: generate >= LEAST_SPEED,
        four_at_once: hundredths(four_at_once(&model)?),
        bare_four_at_once: hundredths(bare_four_at_once(&llama_options(&session.settings, file))?),
        reading,
        memory_bytes: described.memory_bytes,
        joules_per_token: (joules_per_token * 1e4).round() / 1e4,
        energy_method,
    })
}

/// Sentences of a prompt at most.
const MOST_SENTENCES: usize = 20;

/// Tokens of a prompt beside its sentences, at most: its question and what the template says.
const FRAME: usize = 96;

/// How many sentences of so many tokens go into a context, beside what is written.
fn sentences_of(context_tokens: usize, sentence: usize) -> usize {
    let room = context_tokens.saturating_sub(WRITTEN + FRAME);
    (room / sentence.max(1)).clamp(1, MOST_SENTENCES)
}

/// A prompt whose passages no other run has.
fn prompt(run: usize, sentences: usize, question: &str) -> Prompt {
    let notes = format!("Note {run}. {}", BENCH_SENTENCE.repeat(sentences));
    let messages = vec![Message {
        role: Role::User,
        parts: vec![notes, question.to_owned()],
    }];
    Prompt {
        lasting_parts: 0,
        ..Prompt::new(messages, WRITTEN)
    }
}

fn one(model: &LlamaProcess, prompt: Prompt) -> Result<(f64, Generated), EngineError> {
    let started = Instant::now();
    let mut stream = model.generate(prompt, Arc::new(AtomicBool::new(false)))?;
    let mut first = None;
    while stream.pieces.blocking_recv().is_some() {
        first.get_or_insert_with(|| started.elapsed().as_secs_f64() * 1e3);
    }
    let generated = stream.result.wait()??;
    let whole = || started.elapsed().as_secs_f64() * 1e3;
    Ok((first.unwrap_or_else(whole), generated))
}

/// Tokens of a question of [`four_at_once`], and of what is written to it.
const QUESTION: (usize, usize) = (80, 64);

/// As [`four_at_once`], of llama.cpp itself: what writing side by side can gain on this machine.
fn bare_four_at_once(options: &LlamaOptions) -> Result<f64, EngineError> {
    let tokens = u32::try_from(4 * (QUESTION.0 + QUESTION.1)).unwrap_or(u32::MAX);
    // All four have to go into it side by side; ours may wait for each other.
    let options = &LlamaOptions {
        context_tokens: options.context_tokens.max(tokens),
        ..options.clone()
    };
    #[expect(clippy::cast_precision_loss, reason = "token counts")]
    let time = |(read, wrote): (f64, f64)| QUESTION.0 as f64 / read + QUESTION.1 as f64 / wrote;
    let mut shares = Vec::new();
    for _ in 0..RUNS {
        // Rates are of all four: the time of a token is a quarter of what it takes alone, at best.
        let alone = time(bare_speed(options, QUESTION, 1)?);
        let at_once = time(bare_speed(options, QUESTION, 4)?);
        shares.push(at_once / alone.max(1e-9));
    }
    Ok(median(shares.into_iter()))
}

/// Time of four questions at once, as a share of their time one after another.
fn four_at_once(model: &LlamaProcess) -> Result<f64, EngineError> {
    let question = |n: usize| {
        let text = format!(
            "Question {n}. {} What is this about?",
            BENCH_SENTENCE.repeat(3)
        );
        Prompt {
            lasting_parts: 0,
            ..Prompt::new(vec![Message::new(Role::User, text)], QUESTION.1)
        }
    };
    let mut shares = Vec::new();
    for round in 0..RUNS {
        let first = round * 8;
        let started = Instant::now();
        for n in first..first + 4 {
            one(model, question(n))?;
        }
        let alone = started.elapsed();
        let started = Instant::now();
        let cancel = || Arc::new(AtomicBool::new(false));
        let running: Result<Vec<Stream>, EngineError> = (first + 4..first + 8)
            .map(|n| model.generate(question(n), cancel()))
            .collect();
        for stream in running? {
            stream.result.wait()??;
        }
        shares.push(started.elapsed().as_secs_f64() / alone.as_secs_f64().max(1e-9));
    }
    Ok(median(shares.into_iter()))
}

#[expect(clippy::cast_precision_loss, reason = "token counts")]
fn rate(tokens: usize, time: Duration) -> f64 {
    tokens as f64 / time.as_secs_f64().max(1e-9)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_goes_into_the_context_with_what_is_written() {
        assert_eq!(sentences_of(4096, 26), MOST_SENTENCES);
        let few = sentences_of(512, 26);
        assert!((1..MOST_SENTENCES).contains(&few), "{few}");
        assert!(few * 26 + FRAME + WRITTEN <= 512, "{few}");
        assert_eq!(sentences_of(0, 0), 1);
    }
}
