//! The OpenAI-compatible routes: chat completions, embeddings, models.
//!
//! For programs that know nothing of coho. The last user message is the question; those before it
//! only make it self-contained. Citations are footnotes in the text and annotations beside it. What
//! is in the conversation otherwise (system messages, earlier answers) is not obeyed and not kept:
//! answers come from the notes.
//!
//! Clients send `null` for what they do not mean: it is taken as if it was not there.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Json;
use axum::extract::State;
use axum::response::sse;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Context;
use super::caller::{Ask as Asking, May, Read};
use super::failure::{Refusal, for_openai};
use super::routes::{ById, CancelOnDrop, Listener, blocking, streamed, told};
use super::wire::{At, Body, Problem, Told};
use crate::app::{App, NotFound};
use crate::domain::image::{WithoutImages, without_images};
use crate::domain::sentence::code::Code;
use crate::domain::source::{bytes_of_shown, place};
use crate::domain::{context, question};
use crate::engine::EngineError;
use crate::engine::generate::Grammar;
use crate::error::{BadRequest, Failure};
use crate::flow::answer::{Answer, Ask, Citation, Event, Limits, NOT_FOUND, Strategy, TokenCount};
use crate::flow::space::Space;

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
    /// How many answers to write: one.
    #[schemars(range(min = 1, max = 1))]
    pub n: Option<u32>,
    /// Tokens that a language model may write, within what the settings allow. Quotes are whole.
    pub max_completion_tokens: Option<i64>,
    /// The same by its earlier name. Some clients write -1 for no limit.
    pub max_tokens: Option<i64>,
    /// What a language model writes ends before any of these; four at most.
    pub stop: Option<Stop>,
    /// Whether to stream.
    pub stream: Option<bool>,
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

/// Where a text ends.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Stop {
    /// Before this.
    One(String),
    /// Before any of these.
    Many(#[schemars(length(max = 4))] Vec<String>),
}

/// What else is streamed.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
pub struct StreamOptions {
    /// Whether a last chunk tells the tokens.
    pub include_usage: Option<bool>,
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
    /// A text, or texts. Of a long one the beginning counts, as far as the model reads.
    pub input: Input,
    /// `float` or `base64`.
    pub encoding_format: Option<Encoding>,
    /// Length of the vectors: that of the model's.
    pub dimensions: Option<usize>,
}

/// A text, or texts.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Input {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
    /// Something else, such as the tokens of another model: it is refused with a hint.
    #[schemars(skip)]
    Other(Value),
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
    NotFound::new("model", name).into()
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

/// Words at most that a question takes from the message before it: that may be a whole document.
const MOST_WORDS_BEFORE: usize = 30;

/// Bytes of such a word at most: longer ones are keys, addresses and encoded files.
const MOST_WORD_BYTES: usize = 100;

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
            let says = |word: &String| word.len() <= MOST_WORD_BYTES && !known.contains(word);
            let about = about.into_iter().filter(says);
            let about: Vec<String> = about.take(MOST_WORDS_BEFORE).collect();
            format!("{last} ({})", about.join(" "))
        }
        None => last,
    })
}

/// Texts of `stop` at most.
const MOST_STOPS: usize = 4;

/// How much the model may write.
fn limits_of(body: &ChatBody) -> Result<Limits, BadRequest> {
    let max_tokens = body.max_completion_tokens.or(body.max_tokens);
    let max_tokens = max_tokens.and_then(|tokens| usize::try_from(tokens).ok());
    if max_tokens == Some(0) {
        let hint = "leave `max_tokens` out, or ask for one or more";
        let what = "an answer of no tokens says nothing";
        return Err(BadRequest::new("bad_max_tokens", what, hint));
    }
    let mut stop = match &body.stop {
        None => Vec::new(),
        Some(Stop::One(text)) => vec![text.clone()],
        Some(Stop::Many(texts)) => texts.clone(),
    };
    if stop.len() > MOST_STOPS {
        let hint = format!("name {MOST_STOPS} at most");
        let what = format!("{} texts to stop before", stop.len());
        return Err(BadRequest::new("bad_stop", what, hint));
    }
    stop.retain(|text| !text.is_empty());
    Ok(Limits { max_tokens, stop })
}

/// Why an answer ended.
fn finish_reason(answer: &Answer) -> &'static str {
    if answer.cut_off { "length" } else { "stop" }
}

/// The schema that an answer must fit, if it must fit one.
fn schema_of(app: &App, format: Option<&ResponseFormat>) -> Result<Option<String>, EngineError> {
    let schema = match format {
        None | Some(ResponseFormat::Text) => return Ok(None),
        Some(ResponseFormat::JsonObject) => json!({ "type": "object" }).to_string(),
        Some(ResponseFormat::JsonSchema { json_schema }) => json_schema.schema.to_string(),
    };
    // Said before anything is looked for. A server has limits of its own.
    if app.settings.models.server.url.is_empty() {
        Grammar::JsonSchema(schema.clone()).check()?;
    }
    Ok(Some(schema))
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

/// The URL of a file, at its lines. What could mean something in a URL is written as `%20` and so on.
fn file_url(path: &Path, lines: Option<(u32, u32)>) -> String {
    let mut url = String::from("file://");
    for byte in &bytes_of_shown(&path.to_string_lossy()) {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(byte) {
            url.push(char::from(*byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    if let Some((first, last)) = lines {
        url.push_str(&format!("#L{first}-L{last}"));
    }
    url
}

/// Where each mark `[n]` stands in the text, in characters, and what it leads to.
fn annotations(answer: &Answer) -> Vec<Value> {
    let mut found = Vec::new();
    let code = Code::of(&answer.answer);
    for citation in &answer.citations {
        let mark = format!("[{}]", citation.n);
        for (at, _) in answer.answer.match_indices(&mark) {
            // `argv[1]` in a command is no mark of ours.
            let within = answer.answer[..at].ends_with(char::is_alphanumeric);
            if within || code.holds(at) {
                continue;
            }
            let start = answer.answer[..at].chars().count();
            found.push(json!({
                "type": "url_citation",
                "url_citation": {
                    "start_index": start,
                    "end_index": start + mark.len(),
                    "title": citation.title,
                    "url": file_url(&citation.path, citation.lines),
                },
            }));
        }
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

/// The question of a conversation, to be answered as its body says.
fn asked(app: &App, body: &ChatBody) -> Result<Ask, Failure> {
    if body.n.is_some_and(|n| n != 1) {
        let hint = "leave `n` out, or ask several times";
        let what = "one answer is written at a time";
        return Err(BadRequest::new("bad_n", what, hint).into());
    }
    let strategy = strategy(&body.model)?;
    Ok(Ask {
        limits: limits_of(body)?,
        ..app.question(question_of(&body.messages)?, strategy, None, None)
    })
}

pub(super) async fn chat(
    State(context): State<Context>,
    May(caller, _): May<Asking>,
    Body(body): Body<ChatBody>,
) -> Outcome<Response> {
    let app = Arc::clone(&caller.app);
    let known = Arc::clone(&app);
    // A conversation may hold whole documents.
    let (body, ask, schema) = blocking(move || {
        let ask = asked(&known, &body)?;
        let schema = schema_of(&known, body.response_format.as_ref())?;
        Ok((body, ask, schema))
    })
    .await?;
    let structured = schema.is_some();
    let turn = context.answers.take().await.map_err(Failure::from)?;
    let cancel = CancelOnDrop(Arc::default());
    let flag = Arc::clone(&cancel.0);
    let head = |object: &str| {
        json!({
            "id": format!("chatcmpl-{}", ask.id),
            "object": object,
            "created": seconds(ask.asked_ms),
            "model": body.model,
        })
    };
    if body.stream.unwrap_or(false) {
        let head = head("chat.completion.chunk");
        let options = body.stream_options.unwrap_or_default();
        let usage = options.include_usage.unwrap_or(false);
        let work = move |listener: &Listener| {
            let _turn = turn;
            let mut telling = Telling {
                listener,
                head,
                structured,
                inert: WithoutImages::default(),
            };
            let mut hear = |event| telling.hear(event);
            let answer = run(&app, &ask, schema.as_deref(), &flag, &mut hear)?;
            telling.end(answer, usage);
            Ok(())
        };
        return streamed(cancel, failed, work).await;
    }
    let head = head("chat.completion");
    let answer = told(move || {
        let _turn = turn;
        let mut unheard = |_| ControlFlow::Continue(());
        let answer = run(&app, &ask, schema.as_deref(), &flag, &mut unheard)?;
        Ok(whole(head, answer, structured))
    })
    .await?;
    Ok(answer.into_response())
}

/// An answer that is told at once; `structured` says whether it has a form that was asked for.
fn whole(head: Value, mut answer: Answer, structured: bool) -> Value {
    let finish_reason = finish_reason(&answer);
    if !structured {
        answer.answer = without_images(&answer.answer);
    }
    // JSON has brackets of its own.
    let (annotations, notes) = if structured {
        (Vec::new(), String::new())
    } else {
        (annotations(&answer), footnotes(&answer.citations))
    };
    // What is no JSON of the form that was asked for is not sent as if it was.
    let (content, refusal) = if structured && answer.abstained {
        (None, Some(answer.answer))
    } else {
        (Some(answer.answer + &notes), None)
    };
    let mut whole = head;
    whole["choices"] = json!([{
        "index": 0,
        "message": {
            "role": "assistant",
            "content": content,
            "refusal": refusal,
            "annotations": annotations,
        },
        "logprobs": null,
        "finish_reason": finish_reason,
    }]);
    whole["usage"] = usage_of(answer.tokens);
    whole
}

/// An answer that is told in chunks.
struct Telling<'a> {
    listener: &'a Listener,
    /// What all chunks have in common.
    head: Value,
    /// Whether the answer has a given form.
    structured: bool,
    /// What holds images back.
    inert: WithoutImages,
}

impl Telling<'_> {
    fn hear(&mut self, event: Event) -> ControlFlow<()> {
        match event {
            // That it began is told once there is something to answer from: the status is known then.
            Event::Retrieval(_) => self.delta(&json!({ "role": "assistant", "content": "" })),
            Event::Token(text) if self.structured && text == NOT_FOUND => {
                self.delta(&json!({ "refusal": text }))
            }
            Event::Token(text) if self.structured => self.delta(&json!({ "content": text })),
            Event::Token(text) => {
                let text = self.inert.take(&text);
                self.content(&text)
            }
            Event::Citation(_) | Event::Done(_) => ControlFlow::Continue(()),
        }
    }

    /// Tells what was held back, the notes, where there are to be some, and that this was all.
    fn end(&mut self, mut answer: Answer, usage: bool) {
        let held = self.inert.end();
        let _ = self.content(&held);
        let notes = footnotes(&answer.citations);
        if !self.structured && !notes.is_empty() {
            answer.answer = without_images(&answer.answer);
            let annotations = annotations(&answer);
            let _ = self.delta(&json!({ "content": notes, "annotations": annotations }));
        }
        let _ = self.choices(
            &json!([choice(&json!({}), Some(finish_reason(&answer)))]),
            None,
        );
        if usage {
            let _ = self.choices(&json!([]), Some(usage_of(answer.tokens)));
        }
        let _ = self.listener.tell(done());
    }

    fn content(&self, text: &str) -> ControlFlow<()> {
        if text.is_empty() {
            return ControlFlow::Continue(());
        }
        self.delta(&json!({ "content": text }))
    }

    fn delta(&self, delta: &Value) -> ControlFlow<()> {
        self.choices(&json!([choice(delta, None)]), None)
    }

    fn choices(&self, choices: &Value, usage: Option<Value>) -> ControlFlow<()> {
        let mut chunk = self.head.clone();
        chunk["choices"] = choices.clone();
        if let Some(usage) = usage {
            chunk["usage"] = usage;
        }
        let event = sse::Event::default().data(chunk.to_string());
        self.listener.tell(event)
    }
}

fn choice(delta: &Value, finish: Option<&str>) -> Value {
    json!({ "index": 0, "delta": delta, "finish_reason": finish })
}

fn done() -> sse::Event {
    sse::Event::default().data("[DONE]")
}

/// What is told in the middle of a stream when it cannot go on.
fn failed(problem: &Problem) -> Vec<sse::Event> {
    let error = json!({ "error": for_openai(problem) });
    vec![sse::Event::default().data(error.to_string()), done()]
}

/// Texts of one request at most.
const MOST_TEXTS: usize = 2048;

/// Bytes of a text for each token that the model reads, at most: words are shorter, and what stands
/// behind is not read anyhow.
const BYTES_PER_TOKEN: usize = 32;

/// Tokens that any model reads.
const LEAST_READ: usize = 256;

/// The texts to embed.
fn texts_of(input: Input) -> Result<Vec<String>, BadRequest> {
    let texts = match input {
        Input::One(text) => vec![text],
        Input::Many(texts) => texts,
        Input::Other(_) => {
            let what = "the input is neither a text nor a list of texts";
            let hint = "send texts: tokens mean something to one model alone";
            return Err(BadRequest::new("bad_input", what, hint));
        }
    };
    let empty = texts.is_empty() || texts.iter().any(|text| text.trim().is_empty());
    if empty || texts.len() > MOST_TEXTS {
        let what = format!("{} texts, some of them perhaps empty", texts.len());
        let hint = format!("send between 1 and {MOST_TEXTS} texts, none of them empty");
        return Err(BadRequest::new("bad_input", what, hint));
    }
    Ok(texts)
}

/// Cuts off what a model does not get to that reads so many tokens.
fn cut(text: &mut String, tokens: usize) {
    let most = tokens.max(LEAST_READ) * BYTES_PER_TOKEN;
    text.truncate(text.floor_char_boundary(most));
}

/// Embeds the beginnings of texts, as far as the model reads; also how many words these have. Ends
/// early once `left` is set: nobody waits for the rest.
fn embed(
    app: &App,
    space: &Space,
    mut texts: Vec<String>,
    left: &AtomicBool,
) -> Result<(Vec<Vec<f32>>, usize), Failure> {
    let read = app.models.installed(space.indexes.model())?.max_length;
    texts.iter_mut().for_each(|text| cut(text, read));
    let words = texts.iter().map(|text| text.split_whitespace().count());
    let words = words.sum();
    let mut vectors = Vec::with_capacity(texts.len());
    // In portions: questions come in between.
    for some in texts.chunks(8) {
        if left.load(Ordering::Relaxed) {
            break;
        }
        vectors.extend(space.embedder.few(some.to_vec())?);
    }
    Ok((vectors, words))
}

pub(super) async fn embeddings(
    State(context): State<Context>,
    May(caller, _): May<Read>,
    Body(body): Body<EmbeddingsBody>,
) -> Outcome<Told<Value>> {
    let app = Arc::clone(&caller.app);
    let texts = texts_of(body.input).map_err(Failure::from)?;
    let space = app.spaces.current();
    let name = space.indexes.model().to_owned();
    if body.model != name && body.model != MODEL {
        return Err(no_model(&body.model).into());
    }
    let length = space.indexes.space().dimensions;
    if body.dimensions.is_some_and(|wanted| wanted != length) {
        let what = format!("the vectors of {name} have {length} dimensions");
        let hint = "leave `dimensions` out";
        return Err(Failure::from(BadRequest::new("bad_dimensions", what, hint)).into());
    }
    let encoding = body.encoding_format.unwrap_or_default();
    let turn = context.embeddings.take().await.map_err(Failure::from)?;
    let leaving = CancelOnDrop(Arc::default());
    let left = Arc::clone(&leaving.0);
    let outcome = told(move || {
        let _turn = turn;
        let (vectors, words) = embed(&app, &space, texts, &left)?;
        Ok(embedded(&name, &vectors, words, encoding))
    })
    .await;
    drop(leaving);
    outcome
}

/// Vectors, as OpenAI's API tells them.
fn embedded(model: &str, vectors: &[Vec<f32>], words: usize, encoding: Encoding) -> Value {
    let written = |vector: &Vec<f32>| match encoding {
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
    json!({
        "object": "list",
        "model": model,
        "data": data,
        "usage": { "prompt_tokens": words, "total_tokens": words },
    })
}

/// The names under which something can be asked for.
fn model_names(app: &App) -> Vec<String> {
    let mut names = vec![MODEL.to_owned()];
    for strategy in <Strategy as clap::ValueEnum>::value_variants() {
        if let Some(value) = clap::ValueEnum::to_possible_value(strategy) {
            names.push(format!("coho-{}", value.get_name()));
        }
    }
    names.push(app.spaces.current().indexes.model().to_owned());
    names
}

fn described(id: &str) -> Value {
    json!({ "id": id, "object": "model", "created": 0, "owned_by": "coho" })
}

pub(super) async fn models(May(caller, _): May<Read>) -> Json<Value> {
    let names = model_names(&caller.app);
    let data: Vec<Value> = names.iter().map(|id| described(id)).collect();
    Json(json!({ "object": "list", "data": data }))
}

pub(super) async fn model(
    May(caller, _): May<Read>,
    At(ById { id }): At<ById>,
) -> Outcome<Json<Value>> {
    if model_names(&caller.app).contains(&id) {
        return Ok(Json(described(&id)));
    }
    Err(no_model(&id).into())
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
        let pasted = message("user", json!("lamp ".repeat(4000)));
        let asked = ask(&[pasted, message("user", json!("What does it say?"))]).unwrap();
        assert_eq!(asked.matches("lamp").count(), MOST_WORDS_BEFORE);
        // With it, the question would be too long to be taken.
        let pasted = format!("{} lamp", "0a".repeat(5000));
        let asked = ask(&[
            message("user", json!(pasted)),
            message("user", json!("What is it?")),
        ]);
        assert_eq!(asked.unwrap(), "What is it? (lamp)");
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

    #[test]
    fn null_is_as_good_as_nothing() {
        let body = json!({
            "model": "coho", "messages": [], "n": null, "stream": null, "response_format": null,
            "stream_options": { "include_usage": null }, "max_tokens": null, "stop": null,
        });
        let body: ChatBody = serde_json::from_value(body).unwrap();
        assert!(body.stream.is_none() && body.n.is_none());
        assert_eq!(limits_of(&body).unwrap(), Limits::default());
        let body = json!({
            "model": "coho", "input": "a", "encoding_format": null, "dimensions": null,
        });
        let body: EmbeddingsBody = serde_json::from_value(body).unwrap();
        assert!(body.encoding_format.is_none() && body.dimensions.is_none());
    }

    #[test]
    fn limits_are_taken_by_both_names_and_in_both_shapes() {
        let limits = |more: Value| {
            let mut body = json!({ "model": "coho", "messages": [] });
            let more = more.as_object().unwrap().clone();
            body.as_object_mut().unwrap().extend(more);
            let body: ChatBody = serde_json::from_value(body).unwrap();
            limits_of(&body).map_err(|refused| refused.code)
        };
        let of = |max_tokens, stop: &[&str]| {
            let stop = stop.iter().map(|text| (*text).to_owned()).collect();
            Ok(Limits { max_tokens, stop })
        };
        assert_eq!(limits(json!({ "max_tokens": 7 })), of(Some(7), &[]));
        let both = json!({ "max_tokens": 7, "max_completion_tokens": 5, "stop": "." });
        assert_eq!(limits(both), of(Some(5), &["."]));
        assert_eq!(limits(json!({ "stop": ["a", ""] })), of(None, &["a"]));
        assert_eq!(limits(json!({ "max_tokens": 0 })), Err("bad_max_tokens"));
        assert_eq!(limits(json!({ "max_tokens": -1 })), of(None, &[]));
        let many = json!({ "stop": ["a", "b", "c", "d", "e"] });
        assert_eq!(limits(many), Err("bad_stop"));
    }

    #[test]
    fn only_texts_are_embedded() {
        let texts = |input: Value| {
            let input: Input = serde_json::from_value(input).unwrap();
            texts_of(input).map_err(|refused| refused.hint.unwrap_or_default())
        };
        assert_eq!(texts(json!("a")).unwrap(), ["a"]);
        assert_eq!(texts(json!(["a", "b"])).unwrap(), ["a", "b"]);
        for other in [json!([1, 2]), json!([[1], [2]]), json!(7), json!(null)] {
            let hint = texts(other.clone()).unwrap_err();
            assert!(hint.contains("tokens"), "{other}: {hint}");
        }
        for empty in [json!([]), json!(" "), json!(["a", ""])] {
            let hint = texts(empty.clone()).unwrap_err();
            assert!(hint.contains("none of them empty"), "{empty}: {hint}");
        }
    }

    #[test]
    fn what_no_model_gets_to_is_cut_off() {
        let check = |text: &str, tokens: usize, expected: usize| {
            let mut text = text.to_owned();
            cut(&mut text, tokens);
            assert_eq!(text.len(), expected);
        };
        check("short", 256, 5);
        check(&"a".repeat(1 << 20), 256, 8192);
        check(&"a".repeat(1 << 20), 0, 8192);
        check(&"a".repeat(1 << 20), 512, 16_384);
        // Never through a character.
        check(&format!("a{}", "ä".repeat(8192)), 256, 8191);
    }

    #[test]
    fn files_are_named_as_urls_name_them() {
        let check = |path: &str, lines, expected: &str| {
            assert_eq!(file_url(Path::new(path), lines), expected);
        };
        check(
            "/notes/boat.md",
            Some((3, 4)),
            "file:///notes/boat.md#L3-L4",
        );
        check(
            "/My notes/50 % #1?.md",
            None,
            "file:///My%20notes/50%20%25%20%231%3F.md",
        );
        check("/n/Größe.md", None, "file:///n/Gr%C3%B6%C3%9Fe.md");
        check("/gar\\xE7on.md", None, "file:///gar%E7on.md");
        check("/a\\xyz\\x4", None, "file:///a%5Cxyz%5Cx4");
    }
}
