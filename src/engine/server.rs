//! A language model behind an OpenAI-compatible server: llama-server, Ollama, vLLM.
//!
//! Off unless the owner gives an address. What is asked goes there with the passages that belong
//! to it, and nothing else does.

use std::io::{BufRead, BufReader};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use super::EngineError;
use super::generate::{
    Description, Finish, Generated, Generator, Grammar, Message, Prompt, Scored, Stream,
};
use crate::domain::generator::ServerOptions;
use crate::lane::{LaneError, promise};

/// Questions that may be under way before others are told "busy".
const WAITING_QUESTIONS: usize = 16;

/// A server on this machine answers at once; one that is loading its model does not.
const CONNECT: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_mins(5);

const LANE: &str = "the model server";

/// A model that a server runs.
pub struct ModelServer {
    agent: ureq::Agent,
    url: String,
    model: String,
    key: Option<String>,
    under_way: Arc<AtomicUsize>,
}

impl ModelServer {
    /// The model that the settings name. Nothing is sent yet.
    ///
    /// # Errors
    /// [`EngineError::Unloadable`] when the address is none.
    pub fn new(chosen: &ServerOptions) -> Result<Self, EngineError> {
        let url = chosen.url.trim_end_matches('/');
        let unusable = |reason: &str| EngineError::Unloadable {
            path: url.into(),
            reason: reason.to_owned(),
        };
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            return Err(unusable(
                "the address of a model server begins with http:// or https://",
            ));
        }
        if chosen.model.is_empty() {
            return Err(unusable("`models.server.model` names no model"));
        }
        let key =
            match chosen.key_env.as_str() {
                "" => None,
                name => Some(std::env::var(name).map_err(|_| {
                    unusable(&format!("the environment variable {name} holds no key"))
                })?),
            };
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(SILENCE))
            .http_status_as_error(false)
            // A server does not say where our words go on to.
            .max_redirects(0)
            .proxy(None)
            .build();
        Ok(Self {
            agent: config.into(),
            url: url.to_owned(),
            model: chosen.model.clone(),
            key,
            under_way: Arc::default(),
        })
    }

    fn unsupported<T>(&self, what: &'static str) -> Result<T, EngineError> {
        Err(EngineError::Unsupported {
            model: self.model.clone(),
            what,
        })
    }

    /// What is sent for a prompt, but for the key.
    ///
    /// # Errors
    /// [`EngineError::Grammar`] for a schema that is none, [`EngineError::Unsupported`].
    pub fn body(&self, prompt: &Prompt) -> Result<Value, EngineError> {
        let turn = |message: &Message| {
            let content = message.parts.concat();
            json!({ "role": message.role.as_str(), "content": content })
        };
        let mut body = json!({
            "model": self.model,
            "messages": prompt.messages.iter().map(turn).collect::<Vec<_>>(),
            "max_tokens": prompt.max_tokens,
            "temperature": prompt.sampling.temperature,
            "top_p": prompt.sampling.top_p,
            "seed": prompt.sampling.seed,
            "stream": true,
            "stream_options": { "include_usage": true },
            "logprobs": true,
        });
        // Some servers refuse an empty list, and more than four.
        if !prompt.stop.is_empty() {
            body["stop"] = json!(prompt.stop[..prompt.stop.len().min(4)]);
        }
        match &prompt.grammar {
            None => {}
            Some(Grammar::JsonSchema(schema)) => {
                let schema: Value =
                    serde_json::from_str(schema).map_err(|error| EngineError::Grammar {
                        reason: error.to_string(),
                    })?;
                let named = json!({ "name": "answer", "strict": true, "schema": schema });
                body["response_format"] = json!({ "type": "json_schema", "json_schema": named });
            }
            Some(Grammar::Gbnf(_)) => return self.unsupported("a GBNF grammar"),
        }
        Ok(body)
    }
}

/// A line of the stream, as far as it is of interest.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Chunk {
    choices: Vec<Choice>,
    usage: Option<Usage>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Choice {
    delta: Delta,
    finish_reason: Option<String>,
    logprobs: Option<LogProbs>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Delta {
    content: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LogProbs {
    content: Option<Vec<LogProb>>,
}

#[derive(Deserialize)]
struct LogProb {
    logprob: f32,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Usage {
    prompt_tokens: usize,
    completion_tokens: usize,
}

/// What one generation needs on its thread.
struct Call {
    agent: ureq::Agent,
    url: String,
    key: Option<String>,
    body: Value,
    cancel: Arc<AtomicBool>,
}

impl Call {
    fn run(&self, mut emit: impl FnMut(String) -> bool) -> Result<Generated, EngineError> {
        let failed = |reason: String| EngineError::Run { reason };
        let started = Instant::now();
        let mut request = self.agent.post(format!("{}/chat/completions", self.url));
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let response = request
            .send_json(&self.body)
            .map_err(|error| failed(format!("{} does not answer: {error}", self.url)))?;
        let status = response.status();
        let mut lines = BufReader::new(response.into_body().into_reader()).lines();
        if !status.is_success() {
            let said: Vec<String> = lines.by_ref().take(5).map_while(Result::ok).collect();
            return Err(failed(format!(
                "{} answered {status}: {}",
                self.url,
                said.join(" ")
            )));
        }
        let mut generated = Generated {
            text: String::new(),
            finish: Finish::Length,
            prompt_tokens: 0,
            cached_tokens: 0,
            log_probs: Vec::new(),
            token_ends: Vec::new(),
            waited: Duration::ZERO,
            prefill: Duration::ZERO,
            generate: Duration::ZERO,
            cpu: Duration::ZERO,
        };
        let (mut first, mut pieces) = (None, 0_usize);
        for line in lines {
            let line = line.map_err(|error| failed(format!("{} broke off: {error}", self.url)))?;
            let Some(data) = line.strip_prefix("data:").map(str::trim) else {
                continue;
            };
            if data == "[DONE]" {
                break;
            }
            let chunk: Chunk = serde_json::from_str(data)
                .map_err(|error| failed(format!("{} said what is no chunk: {error}", self.url)))?;
            if let Some(usage) = chunk.usage {
                generated.prompt_tokens = usage.prompt_tokens;
                pieces = pieces.max(usage.completion_tokens);
            }
            for choice in chunk.choices {
                let scored = choice.logprobs.and_then(|l| l.content).unwrap_or_default();
                let scored = scored.into_iter().map(|token| token.logprob);
                generated.log_probs.extend(scored);
                if choice.finish_reason.is_some_and(|reason| reason == "stop") {
                    generated.finish = Finish::Stop;
                }
                let piece = choice.delta.content.unwrap_or_default();
                let end = generated.text.len() + piece.len();
                generated.token_ends.resize(generated.log_probs.len(), end);
                if piece.is_empty() {
                    continue;
                }
                first.get_or_insert_with(Instant::now);
                pieces += 1;
                generated.text.push_str(&piece);
                if self.cancel.load(Ordering::Relaxed) || !emit(piece) {
                    generated.finish = Finish::Cancelled;
                }
            }
            if generated.finish == Finish::Cancelled {
                break;
            }
        }
        // Servers that do not score: the number of tokens is known all the same.
        if generated.log_probs.is_empty() {
            generated.log_probs = vec![0.0; pieces];
        }
        let first = first.unwrap_or_else(Instant::now);
        generated.prefill = first - started;
        generated.generate = first.elapsed();
        Ok(generated)
    }
}

impl Generator for ModelServer {
    fn generate(&self, prompt: Prompt, cancel: Arc<AtomicBool>) -> Result<Stream, EngineError> {
        if !prompt.beside.is_empty() {
            return self.unsupported("several prompts with a say in one text");
        }
        let call = Call {
            agent: self.agent.clone(),
            url: self.url.clone(),
            key: self.key.clone(),
            body: self.body(&prompt)?,
            cancel,
        };
        if self.under_way.fetch_add(1, Ordering::Relaxed) >= WAITING_QUESTIONS {
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            let capacity = WAITING_QUESTIONS;
            return Err(LaneError::Busy {
                lane: LANE,
                capacity,
            }
            .into());
        }
        let under_way = Arc::clone(&self.under_way);
        let (send, result) = promise(LANE);
        let (pieces, receive) = tokio::sync::mpsc::unbounded_channel();
        let spawned = std::thread::Builder::new()
            .name("coho-server".into())
            .spawn(move || {
                let outcome = call.run(|piece| pieces.send(piece).is_ok());
                under_way.fetch_sub(1, Ordering::Relaxed);
                drop(pieces);
                let _ = send.send(outcome);
            });
        spawned.map_err(|error| EngineError::Run {
            reason: error.to_string(),
        })?;
        Ok(Stream {
            pieces: receive,
            result,
        })
    }

    fn score(&self, _: Vec<Message>, _: String) -> Result<Scored, EngineError> {
        self.unsupported("scoring a given text")
    }

    fn count_tokens(&self, _: Vec<String>) -> Result<Vec<usize>, EngineError> {
        self.unsupported("counting tokens")
    }

    fn describe(&self) -> Result<Description, EngineError> {
        self.unsupported("saying what it is")
    }

    fn loading(&self) -> Option<f32> {
        None
    }

    fn unload_if_idle(&self, _: Duration) {}
}
