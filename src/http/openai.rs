//! The OpenAI-compatible routes: chat completions, embeddings, models.
//!
//! For programs that know nothing of coho. The last user message is the question; those before it
//! only make it self-contained. Citations are footnotes in the text and annotations beside it. What
//! is in the conversation otherwise (system messages, earlier answers) is not obeyed and not kept:
//! answers come from the notes.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::Json;
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::caller::{Ask as Asking, May, Read};
use super::failure::{Refusal, problem};
use super::routes::{CancelOnDrop, blocking};
use super::wire::Body;
use crate::app::{App, NotFound};
use crate::domain::source::place;
use crate::domain::{context, question};
use crate::error::{BadRequest, Failure};
use crate::flow::answer::{Answer, Ask, Citation, Event, Strategy, TokenCount};

type Outcome<T> = Result<T, Refusal>;

/// The name of what answers from the notes; `coho-naive` and so on name a strategy.
const MODEL: &str = "coho";

/// Body of `POST /v1/chat/completions`; what is not named here is taken and has no effect.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct ChatBody {
    /// `coho`, or `coho-` and a strategy.
    pub model: String,
    /// The conversation.
    pub messages: Vec<ChatMessage>,
    /// Whether to stream.
    #[serde(default)]
    pub stream: bool,
    /// What else is streamed.
    pub stream_options: Option<StreamOptions>,
    /// What the answer must look like.
    pub response_format: Option<ResponseFormat>,
}

/// One message of a conversation.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct ChatMessage {
    /// `system`, `developer`, `user`, `assistant` or `tool`.
    pub role: String,
    /// What is said: a text, or parts of which those of type `text` count.
    #[serde(default)]
    pub content: Value,
}

/// What else is streamed.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
pub struct StreamOptions {
    /// Whether a last chunk tells the tokens.
    #[serde(default)]
    pub include_usage: bool,
}

/// What an answer must look like.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ResponseFormat {
    /// Text.
    Text,
    /// Some JSON.
    JsonObject,
    /// JSON of this schema.
    JsonSchema {
        /// The schema, with a name.
        json_schema: NamedSchema,
    },
}

/// A JSON Schema with a name.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct NamedSchema {
    /// The schema.
    pub schema: Value,
}

/// Body of `POST /v1/embeddings`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct EmbeddingsBody {
    /// The embedding model in use, by its name, or `coho`.
    pub model: String,
    /// A text, or texts.
    pub input: Input,
    /// `float` or `base64`.
    #[serde(default)]
    pub encoding_format: Encoding,
}

/// A text, or texts.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Input {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// How vectors are written.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// As numbers.
    #[default]
    Float,
    /// As base64 of little-endian single precision numbers.
    Base64,
}

fn usage_of(tokens: TokenCount) -> Value {
    json!({
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.generated,
        "total_tokens": tokens.prompt + tokens.generated,
    })
}

/// The strategy that a model's name asks for.
fn strategy(model: &str) -> Result<Option<Strategy>, Failure> {
    if model == MODEL {
        return Ok(None);
    }
    let name = model.strip_prefix("coho-").unwrap_or_default();
    let named = <Strategy as clap::ValueEnum>::from_str(name, false);
    named.map(Some).map_err(|_| no_model(model))
}

fn no_model(name: &str) -> Failure {
    let id = name.to_owned();
    NotFound { what: "model", id }.into()
}

fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts.iter().filter(|part| part["type"] == "text");
            let texts: Vec<&str> = texts.filter_map(|part| part["text"].as_str()).collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

/// The question of a conversation: its last user message, with what the one before it was about
/// where that message points back.
fn question_of(messages: &[ChatMessage]) -> Result<String, Failure> {
    let mut asked = messages.iter().rev().filter(|m| m.role == "user");
    let mut next = || asked.next().map(|m| text_of(&m.content).trim().to_owned());
    let last = next().filter(|text| !text.is_empty()).ok_or_else(|| {
        BadRequest::new(
            "no_question",
            "the conversation asks nothing",
            "send a message with the role `user` and a text",
        )
    })?;
    let before = next().filter(|_| question::points_back(&last));
    Ok(match before {
        Some(before) => {
            let known = context::content_words(&last);
            let about = context::content_words(&before);
            let about: Vec<String> = about.into_iter().filter(|w| !known.contains(w)).collect();
            format!("{last} ({})", about.join(" "))
        }
        None => last,
    })
}

/// The schema that an answer must fit, if it must fit one.
fn schema_of(format: Option<&ResponseFormat>) -> Option<String> {
    match format? {
        ResponseFormat::Text => None,
        ResponseFormat::JsonObject => Some(json!({ "type": "object" }).to_string()),
        ResponseFormat::JsonSchema { json_schema } => Some(json_schema.schema.to_string()),
    }
}

fn footnotes(citations: &[Citation]) -> String {
    let note = |citation: &Citation| {
        let place = place(citation.lines, citation.page);
        let path = citation.path.display();
        format!("[{}] {path}{place}", citation.n)
    };
    if citations.is_empty() {
        return String::new();
    }
    let notes: Vec<String> = citations.iter().map(note).collect();
    format!("\n\n{}", notes.join("\n"))
}

/// Where each mark `[n]` stands in the text, in characters, and what it leads to.
fn annotations(answer: &Answer) -> Vec<Value> {
    let mut found = Vec::new();
    for citation in &answer.citations {
        let mark = format!("[{}]", citation.n);
        let Some(at) = answer.answer.find(&mark) else {
            continue;
        };
        let start = answer.answer[..at].chars().count();
        let lines = citation
            .lines
            .map_or_else(String::new, |(a, b)| format!("#L{a}-L{b}"));
        found.push(json!({
            "type": "url_citation",
            "url_citation": {
                "start_index": start,
                "end_index": start + mark.len(),
                "title": citation.title,
                "url": format!("file://{}{lines}", citation.path.display()),
            },
        }));
    }
    found
}

fn seconds(ms: i64) -> i64 {
    ms / 1000
}

/// Answers, as the body asks for it.
fn run(
    app: &App,
    ask: &Ask,
    schema: Option<&str>,
    cancel: &Arc<AtomicBool>,
    emit: &mut dyn FnMut(Event) -> ControlFlow<()>,
) -> Result<Answer, Failure> {
    match schema {
        Some(schema) => app.ask_structured(ask, schema, cancel, emit),
        None => app.ask(ask, cancel, emit),
    }
}

pub(super) async fn chat(
    May(caller, _): May<Asking>,
    Body(body): Body<ChatBody>,
) -> Outcome<Response> {
    let app = Arc::clone(&caller.app);
    let strategy = strategy(&body.model)?;
    let ask = app.question(question_of(&body.messages)?, strategy, None, None);
    let schema = schema_of(body.response_format.as_ref());
    let cancel = CancelOnDrop(Arc::default());
    let flag = Arc::clone(&cancel.0);
    let created = seconds(ask.asked_ms);
    let id = format!("chatcmpl-{}", ask.id);
    if body.stream {
        crate::flow::search::check(&ask.query()).map_err(Failure::from)?;
        let head = json!({
            "id": id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": body.model,
        });
        let usage = body.stream_options.unwrap_or_default().include_usage;
        return Ok(stream(app, ask, schema, (flag, cancel), head, usage));
    }
    let answer = blocking(move || {
        let mut unheard = |_| ControlFlow::Continue(());
        run(&app, &ask, schema.as_deref(), &flag, &mut unheard)
    })
    .await?;
    let structured = body
        .response_format
        .as_ref()
        .is_some_and(|f| schema_of(Some(f)).is_some());
    let notes = if structured {
        String::new()
    } else {
        footnotes(&answer.citations)
    };
    let annotations = annotations(&answer);
    let content = answer.answer + &notes;
    Ok(Json(json!({
        "id": id,
        "object": "chat.completion",
        "created": created,
        "model": body.model,
        "choices": [{
            "index": 0,
            "message": {
                "role": "assistant",
                "content": content,
                "refusal": null,
                "annotations": annotations,
            },
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": usage_of(answer.tokens),
    }))
    .into_response())
}

/// Streams an answer as chunks.
fn stream(
    app: Arc<App>,
    ask: Ask,
    schema: Option<String>,
    (flag, cancel): (Arc<AtomicBool>, CancelOnDrop),
    head: Value,
    usage: bool,
) -> Response {
    let (send, events) = mpsc::channel(64);
    let chunk = move |delta: &Value, finish: Option<&str>| {
        let mut chunk = head.clone();
        chunk["choices"] = json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
        chunk
    };
    tokio::task::spawn_blocking(move || {
        let tell = |value: &Value| {
            let event = sse::Event::default().data(value.to_string());
            send.blocking_send(event).is_ok()
        };
        tell(&chunk(&json!({ "role": "assistant", "content": "" }), None));
        let mut emit = |event| {
            let Event::Token(text) = event else {
                return ControlFlow::Continue(());
            };
            if tell(&chunk(&json!({ "content": text }), None)) {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        };
        match run(&app, &ask, schema.as_deref(), &flag, &mut emit) {
            Ok(answer) => {
                let notes = footnotes(&answer.citations);
                if schema.is_none() && !notes.is_empty() {
                    let annotated =
                        json!({ "content": notes, "annotations": annotations(&answer) });
                    tell(&chunk(&annotated, None));
                }
                tell(&chunk(&json!({}), Some("stop")));
                if usage {
                    let mut last = chunk(&json!({}), None);
                    last["choices"] = json!([]);
                    last["usage"] = usage_of(answer.tokens);
                    tell(&last);
                }
            }
            Err(failure) => {
                let problem = problem(&failure);
                tell(&json!({ "error": { "message": problem.detail, "code": problem.code } }));
            }
        }
        let _ = send.blocking_send(sse::Event::default().data("[DONE]"));
    });
    let stream = ReceiverStream::new(events).map(move |event| {
        // The flag lives as long as the stream: a client that leaves sets it.
        let _ = &cancel;
        Ok::<_, Infallible>(event)
    });
    Sse::new(stream)
        .keep_alive(KeepAlive::default())
        .into_response()
}

/// Texts of one request at most.
const MOST_TEXTS: usize = 512;

pub(super) async fn embeddings(
    May(caller, _): May<Read>,
    Body(body): Body<EmbeddingsBody>,
) -> Outcome<Json<Value>> {
    let app = Arc::clone(&caller.app);
    let texts = match body.input {
        Input::One(text) => vec![text],
        Input::Many(texts) => texts,
    };
    let empty = texts.is_empty() || texts.iter().any(|text| text.trim().is_empty());
    if empty || texts.len() > MOST_TEXTS {
        let what = format!("{} texts, some of them perhaps empty", texts.len());
        let hint = format!("send between 1 and {MOST_TEXTS} texts, none of them empty");
        return Err(Failure::from(BadRequest::new("bad_input", what, hint)).into());
    }
    let space = app.spaces.current();
    let name = space.indexes.model().to_owned();
    if body.model != name && body.model != MODEL {
        return Err(no_model(&body.model).into());
    }
    let words: usize = texts
        .iter()
        .map(|text| text.split_whitespace().count())
        .sum();
    let vectors = blocking(move || {
        let mut vectors = Vec::with_capacity(texts.len());
        // In portions: questions come in between.
        for some in texts.chunks(8) {
            vectors.extend(space.embedder.few(some.to_vec())?);
        }
        Ok::<_, Failure>(vectors)
    })
    .await?;
    let written = |vector: &Vec<f32>| match body.encoding_format {
        Encoding::Float => json!(vector),
        Encoding::Base64 => {
            let bytes: Vec<u8> = vector.iter().flat_map(|n| n.to_le_bytes()).collect();
            json!(STANDARD.encode(bytes))
        }
    };
    let data: Vec<Value> = vectors
        .iter()
        .enumerate()
        .map(|(index, v)| json!({ "object": "embedding", "index": index, "embedding": written(v) }))
        .collect();
    Ok(Json(json!({
        "object": "list",
        "model": name,
        "data": data,
        "usage": { "prompt_tokens": words, "total_tokens": words },
    })))
}

pub(super) async fn models(May(caller, _): May<Read>) -> Json<Value> {
    let app = &caller.app;
    let mut names = vec![MODEL.to_owned()];
    for strategy in <Strategy as clap::ValueEnum>::value_variants() {
        if let Some(value) = clap::ValueEnum::to_possible_value(strategy) {
            names.push(format!("coho-{}", value.get_name()));
        }
    }
    names.push(app.spaces.current().indexes.model().to_owned());
    let model =
        |id: String| json!({ "id": id, "object": "model", "created": 0, "owned_by": "coho" });
    let data: Vec<Value> = names.into_iter().map(model).collect();
    Json(json!({ "object": "list", "data": data }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(role: &str, content: Value) -> ChatMessage {
        ChatMessage {
            role: role.into(),
            content,
        }
    }

    #[test]
    fn the_last_user_message_is_the_question() {
        let ask =
            |messages: &[ChatMessage]| question_of(messages).map_err(|failure| failure.code());
        let lamp = message("user", json!("Who repaired the lamp of the shed?"));
        let system = message("system", json!("Answer in Latin."));
        let said = message("assistant", json!("Oskar."));
        assert_eq!(
            ask(&[system.clone(), lamp.clone()]).unwrap(),
            "Who repaired the lamp of the shed?"
        );
        let when = message(
            "user",
            json!([{ "type": "text", "text": "And when did he do it?" }]),
        );
        let asked = ask(&[system.clone(), lamp.clone(), said, when]).unwrap();
        assert_eq!(asked, "And when did he do it? (repaired lamp shed)");
        let other = message("user", json!("What does the household insurance cost?"));
        assert_eq!(
            ask(&[lamp, other]).unwrap(),
            "What does the household insurance cost?"
        );
        assert_eq!(ask(&[system]).unwrap_err(), "no_question");
        assert_eq!(
            ask(&[message("user", Value::Null)]).unwrap_err(),
            "no_question"
        );
    }

    #[test]
    fn names_of_models_name_strategies() {
        assert_eq!(strategy("coho").ok().unwrap(), None);
        assert_eq!(strategy("coho-naive").ok().unwrap(), Some(Strategy::Naive));
        assert!(strategy("gpt-4o").is_err());
    }
}
