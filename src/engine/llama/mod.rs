//! Writing with llama.cpp, in a process of its own.
//!
//! llama.cpp ends its process when it meets what it did not expect, and a file of weights is
//! foreign input. So this binary runs once more for the model: [`worker`] is that process,
//! [`process`] its keeper in the service, and both speak [`protocol`]. In it, [`batch`] reads and
//! writes for several readers at once.

mod batch;
pub mod process;
mod protocol;
pub mod reencode;
pub mod states;
mod template;
mod text;
pub mod worker;

use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::{KvCacheType, LlamaContextParams};
use llama_cpp_2::gguf::GgufContext;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::model::{LlamaLoraAdapter, LlamaModel};
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::{LogOptions, send_logs_to_tracing};

use super::generate::{KvType, LlamaOptions};
use batch::BATCH_TOKENS;
use protocol::Trouble;

fn backend() -> Result<&'static LlamaBackend, Trouble> {
    static BACKEND: OnceLock<Result<LlamaBackend, String>> = OnceLock::new();
    let backend = BACKEND.get_or_init(|| {
        send_logs_to_tracing(LogOptions::default());
        LlamaBackend::init().map_err(|error| error.to_string())
    });
    backend.as_ref().map_err(|reason| Trouble::run(reason))
}

const REFUSED: &str = "llama.cpp refuses it: cut short, or not a model";

/// Loads a model that can write, with its adapter; `progress` hears how much of it is loaded, 0 to 1.
fn load_model(
    options: &LlamaOptions,
    mut progress: impl FnMut(f32) + 'static,
) -> Result<(LlamaModel, Option<LlamaLoraAdapter>), Trouble> {
    let unloadable = |reason: &str| Trouble::Unloadable(reason.to_owned());
    if !options.path.is_file() {
        return Err(unloadable("there is no such file"));
    }
    // The head is read first: an embedding model may be large.
    let head = GgufContext::from_file(&options.path).ok_or_else(|| unloadable(REFUSED))?;
    if let Some(embeds) = embedding_architecture(&head) {
        let reason = format!("it is an embedding model ({embeds}) and cannot write");
        return Err(unloadable(&reason));
    }
    let params = LlamaModelParams::default()
        .with_n_gpu_layers(options.gpu_layers)
        .with_progress_callback(move |share| {
            progress(share);
            true
        });
    let mut model = LlamaModel::load_from_file(backend()?, &options.path, &params)
        .map_err(|_| unloadable(REFUSED))?;
    let adapter = match &options.lora {
        None => None,
        Some(lora) if !lora.is_file() => {
            return Err(of_adapter(options, &"there is no such file"));
        }
        Some(lora) => {
            let loaded = model.lora_adapter_init(lora);
            Some(loaded.map_err(|error| of_adapter(options, &error))?)
        }
    };
    Ok((model, adapter))
}

/// What goes wrong with the adapter.
fn of_adapter(options: &LlamaOptions, error: &dyn std::fmt::Display) -> Trouble {
    Trouble::Adapter {
        path: options.lora.clone().unwrap_or_default(),
        reason: error.to_string(),
    }
}

/// `LLAMA_POOLING_TYPE_NONE`, as files write it.
const NO_POOLING: u32 = 0;

/// The architecture of a model that embeds or ranks: an encoder, or one that says how the vectors
/// of its tokens become one.
fn embedding_architecture(head: &GgufContext) -> Option<&str> {
    let entry = |name: &str| Some(head.find_key(name)).filter(|key| *key >= 0);
    let architecture = head.val_str(entry("general.architecture")?)?;
    let encodes = architecture.contains("bert") || architecture == "t5encoder";
    let pooling = entry(&format!("{architecture}.pooling_type"));
    let pools = pooling.is_some_and(|key| {
        head.kv_type(key) == llama_cpp_sys_2::GGUF_TYPE_UINT32 && head.val_u32(key) != NO_POOLING
    });
    (encodes || pools).then_some(architecture)
}

fn architecture(model: &LlamaModel) -> String {
    model
        .meta_val_str("general.architecture")
        .unwrap_or_default()
}

/// A context for so many sequences.
fn context<'model>(
    model: &'model LlamaModel,
    adapter: Option<&mut LlamaLoraAdapter>,
    options: &LlamaOptions,
    sequences: usize,
) -> Result<LlamaContext<'model>, Trouble> {
    let tokens = options.context_tokens.max(512);
    // Several sequences share the cells; one alone cannot use more than it was trained for.
    let tokens = if sequences == 1 {
        tokens.min(model.n_ctx_train().max(512))
    } else {
        tokens
    };
    let threads = match options.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    let threads = i32::try_from(threads).unwrap_or(i32::MAX);
    let kv = match options.kv {
        KvType::F16 => KvCacheType::F16,
        KvType::Q8_0 => KvCacheType::Q8_0,
        KvType::Q4_0 => KvCacheType::Q4_0,
    };
    let params = LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(tokens))
        .with_n_batch(u32::try_from(BATCH_TOKENS).expect("a small constant"))
        .with_n_seq_max(u32::try_from(sequences).unwrap_or(1))
        .with_kv_unified(true)
        .with_type_k(kv)
        .with_type_v(kv)
        .with_n_threads(threads)
        .with_n_threads_batch(threads);
    let unloadable = |error: &dyn std::fmt::Display| Trouble::Unloadable(error.to_string());
    let mut context = model
        .new_context(backend()?, params)
        .map_err(|error| unloadable(&error))?;
    if let Some(adapter) = adapter {
        context
            .lora_adapter_set(adapter, 1.0)
            .map_err(|error| of_adapter(options, &error))?;
    }
    Ok(context)
}

/// Speed of llama.cpp itself: the plainest loop there is, without what coho adds. The yardstick of
/// `coho models bench`.
///
/// Returns tokens read per second and tokens written per second, of `at_once` prompts of `read` tokens
/// and `write` tokens more each, which are written side by side.
///
/// # Errors
/// [`super::EngineError::Unloadable`], [`super::EngineError::Run`].
pub fn bare_speed(
    options: &LlamaOptions,
    (read, write): (usize, usize),
    at_once: usize,
) -> Result<(f64, f64), super::EngineError> {
    let measured = (|| {
        let (model, mut adapter) = load_model(options, |_| {})?;
        let mut context = context(&model, adapter.as_mut(), options, at_once)?;
        let mut batch = LlamaBatch::new(BATCH_TOKENS, 1);
        let word = model.vocab().tokenize(b" and", false, false);
        let token = *word
            .first()
            .ok_or_else(|| Trouble::run(&"an empty vocabulary"))?;
        let error = |e: &dyn std::fmt::Display| Trouble::run(&e);
        let number = |n: usize| i32::try_from(n).map_err(|e| error(&e));
        let started = Instant::now();
        // The last tokens of all prompts come together, in the last batch.
        let tokens: Vec<(usize, usize)> = (0..read)
            .flat_map(|at| (0..at_once).map(move |sequence| (at, sequence)))
            .collect();
        for part in tokens.chunks(BATCH_TOKENS / at_once * at_once) {
            batch.clear();
            for (at, sequence) in part {
                let last = at + 1 == read;
                batch
                    .add(token, number(*at)?, &[number(*sequence)?], last)
                    .map_err(|e| error(&e))?;
            }
            context.decode(&mut batch).map_err(|e| error(&e))?;
        }
        let prefill = started.elapsed();
        let mut sampler = LlamaSampler::greedy();
        for step in 0..write {
            let first = batch.n_tokens() - number(at_once)?;
            let next: Vec<LlamaToken> = (0..number(at_once)?)
                .map(|sequence| sampler.sample(&context, first + sequence))
                .collect();
            batch.clear();
            for (sequence, next) in next.into_iter().enumerate() {
                batch
                    .add(next, number(read + step)?, &[number(sequence)?], true)
                    .map_err(|e| error(&e))?;
            }
            context.decode(&mut batch).map_err(|e| error(&e))?;
        }
        let generate = started.elapsed().saturating_sub(prefill);
        #[expect(clippy::cast_precision_loss, reason = "token counts")]
        let rate = |tokens: usize, time: Duration| (tokens * at_once) as f64 / time.as_secs_f64();
        Ok((rate(read, prefill), rate(write, generate)))
    })();
    measured.map_err(|trouble: Trouble| trouble.into_error(&options.path))
}
