//! What goes over the wire and is not the product of a pipeline: request bodies and problems. Also how
//! JSON is read and written without holding up other requests.

use std::future::poll_fn;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use axum::body::HttpBody;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::task::block_in_place;

use super::Context;
use super::failure::{Refusal, lost, refusal};
use crate::domain::source::SourceName;
use crate::flow::answer::Strategy;
use crate::flow::writeback::Decision;

/// Body of `POST /v1/search`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchBody {
    /// The words.
    #[schemars(length(min = 1, max = 10_000), regex(pattern = r"\S"))]
    pub query: String,
    /// Hits at most.
    #[schemars(range(min = 1, max = 100))]
    pub k: Option<usize>,
    /// Only this source.
    pub source: Option<SourceName>,
    /// Whether the query is words alone: no phrases, filters and words to leave out.
    #[serde(default)]
    pub literal: bool,
    /// Whether to rank the best anew with the reranker.
    pub rerank: Option<bool>,
    /// Whether hits say how they came about.
    #[serde(default)]
    pub explain: bool,
}

/// Body of `POST /v1/ask`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskBody {
    /// The question.
    #[serde(alias = "query")]
    #[schemars(length(min = 1, max = 10_000), regex(pattern = r"\S"))]
    pub question: String,
    /// How to answer.
    pub strategy: Option<Strategy>,
    /// Passages to look at.
    #[schemars(range(min = 1, max = 100))]
    pub k: Option<usize>,
    /// Only this source.
    pub source: Option<SourceName>,
    /// Whether knowledge units may be used; they may unless this says `true`.
    #[serde(default)]
    pub no_units: bool,
    /// Whether the remote model that the owner configured writes the answer; needs the right `admin`.
    #[serde(default)]
    pub remote: bool,
    /// Whether to stream server-sent events; where nothing is said, asking for `text/event-stream`
    /// does.
    pub stream: Option<bool>,
}

/// Body of `POST /v1/sources`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceBody {
    /// The folder, with its whole path.
    pub path: PathBuf,
    /// Globs of what to read.
    #[serde(default)]
    pub include: Vec<String>,
    /// Globs of what to leave out.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Whether knowledge units may be distilled from it.
    #[serde(default = "yes")]
    pub writeback: bool,
    /// Whether others wrote what is in it: knowledge from it needs a second source or the owner.
    #[serde(default)]
    pub outside: bool,
    /// Whether notes may be written into it through coho.
    #[serde(default)]
    pub notes: bool,
    /// Whether nothing of it may be sent to another machine, whatever is asked.
    #[serde(default)]
    pub never_leaves: bool,
}

fn yes() -> bool {
    true
}

/// Body of `POST /v1/answers/{id}/feedback`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeedbackBody {
    /// `good` or `bad`.
    #[schemars(regex(pattern = "^(good|bad)$"))]
    pub verdict: String,
    /// Why.
    pub note: Option<String>,
}

/// Body of `POST /v1/answers/{id}/signals`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignalBody {
    /// `opened` (a citation) or `copied` (the answer).
    #[schemars(regex(pattern = "^(opened|copied)$"))]
    pub kind: String,
}

/// Body of `PATCH /v1/units/{id}`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnitBody {
    /// What becomes of it; `state` says the same.
    #[serde(alias = "state")]
    pub decision: Decision,
}

/// An error, `application/problem+json`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// `urn:coho:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong.
    pub detail: String,
    /// A stable name of the situation.
    pub code: String,
    /// What to do.
    pub hint: Option<String>,
    /// The request's id, which the log has too.
    pub request_id: Option<String>,
    /// The same in the words of OpenAI's API, where a program that was made for it may ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<OpenAiError>,
}

/// An error as OpenAI's API tells it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OpenAiError {
    /// What is wrong, and what to do.
    pub message: String,
    /// What kind of error it is: `invalid_request_error`, `rate_limit_error`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// A stable name of the situation, the same as beside it.
    pub code: String,
    /// What of the request is wrong; coho says that in words.
    pub param: Option<String>,
}

/// What the path names; errors are problems.
pub(super) struct At<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Context> for At<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, Refusal> {
        match Path::from_request_parts(parts, context).await {
            Ok(Path(value)) => Ok(Self(value)),
            // No id of ours looks like that: nothing has it.
            Err(rejection) => Err(refusal(404, "not_found", rejection.body_text(), None)),
        }
    }
}

/// What stands behind the question mark; errors are problems.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Context> for Parameters<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, Refusal> {
        match Query::from_request_parts(parts, context).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let hint = "openapi.json says what the route takes";
                let said = rejection.body_text();
                Err(refusal(400, "bad_parameter", said, Some(hint.into())))
            }
        }
    }
}

/// A JSON body whose errors are problems.
pub(super) struct Body<T>(pub(super) T);

/// A client that sends its body more slowly is not worth waiting for.
pub(super) const SLOWEST_BODY: Duration = Duration::from_secs(30);

/// A body that is too large is still read up to so many times the limit, because a client that is
/// cut off while it sends sees a broken connection instead of the answer.
const DRAINED: usize = 16;

/// Bytes of a body that are read as JSON where they arrived; more are read where it may block.
const READ_AT_ONCE: usize = 64 << 10;

impl<T: DeserializeOwned + Send + 'static> FromRequest<Context> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, context: &Context) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        // Where everything may be left out, so may the body.
        if body.is_end_stream()
            && let Ok(value) = serde_json::from_str("{}")
        {
            return Ok(Self(value));
        }
        let said_json = is_json(&parts.headers);
        let not_json = || {
            let hint = "send `Content-Type: application/json`";
            let detail = "the body is not said to be JSON";
            refusal(415, "not_json", detail, Some(hint.into()))
        };
        // Of a body that comes in pieces nobody knows yet whether it is empty.
        let in_pieces = parts.headers.contains_key(header::TRANSFER_ENCODING);
        if !said_json && !in_pieces {
            return Err(not_json());
        }
        let limit = context.service.app.settings.serve.max_body_kb * 1024;
        let bytes = match tokio::time::timeout(SLOWEST_BODY, read(body, limit)).await {
            Ok(bytes) => bytes?,
            Err(_) => {
                return Err(refusal(
                    408,
                    "body_too_slow",
                    "the body did not arrive",
                    None,
                ));
            }
        };
        if bytes.is_empty()
            && let Ok(value) = serde_json::from_str("{}")
        {
            return Ok(Self(value));
        }
        if !said_json {
            return Err(not_json());
        }
        // A list of values in the order of the fields would be taken too.
        if !bytes.trim_ascii_start().starts_with(b"{") {
            let hint = "send a JSON object; openapi.json says what is in it";
            let detail = "the body is no JSON object";
            return Err(refusal(400, "bad_body", detail, Some(hint.into())));
        }
        value_of(bytes).await.map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let said = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let kind = said
        .and_then(|said| said.split(';').next())
        .unwrap_or("")
        .trim();
    kind.eq_ignore_ascii_case("application/json") || kind.ends_with("+json")
}

async fn read(body: axum::body::Body, limit: usize) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    let mut seen = 0;
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let Ok(piece) = piece else {
            return Err(refusal(400, "bad_body", "the body broke off", None));
        };
        seen += piece.len();
        if seen <= limit {
            bytes.extend_from_slice(&piece);
        } else if seen > limit.saturating_mul(DRAINED) {
            break;
        }
    }
    if seen > limit {
        let detail = format!("the body is larger than {} KiB", limit / 1024);
        let hint = "send less, or raise serve.max_body_kb";
        return Err(refusal(413, "body_too_large", detail, Some(hint.into())));
    }
    Ok(bytes)
}

async fn value_of<T: DeserializeOwned + Send + 'static>(bytes: Vec<u8>) -> Result<T, Refusal> {
    let at_once = bytes.len() <= READ_AT_ONCE;
    let parse = move || axum::Json::<T>::from_bytes(&bytes);
    let parsed = if at_once {
        parse()
    } else {
        let parsed = tokio::task::spawn_blocking(parse).await;
        parsed.map_err(|_| lost())?
    };
    let axum::Json(value) = parsed.map_err(|rejection| explain(&rejection))?;
    Ok(value)
}

fn explain(rejection: &JsonRejection) -> Refusal {
    let hint = "the schemas and the README show the shape";
    refusal(400, "bad_body", rejection.body_text(), Some(hint.into()))
}

/// Does work that reads and writes JSON wherever it is polled, as the library does that speaks MCP:
/// other tasks go on elsewhere meanwhile. The runtime must have threads of its own.
pub(super) async fn in_place<F: Future>(work: F) -> F::Output {
    let mut work = pin!(work);
    poll_fn(|context| block_in_place(|| work.as_mut().poll(context))).await
}

/// What is told as JSON, written already: a note or a list may be megabytes long.
pub(super) struct Told<T>(Vec<u8>, PhantomData<T>);

impl<T: Serialize> Told<T> {
    /// Writes it.
    pub(super) fn of(value: &T) -> serde_json::Result<Self> {
        Ok(Self(serde_json::to_vec(value)?, PhantomData))
    }
}

impl<T> IntoResponse for Told<T> {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], self.0).into_response()
    }
}

#[cfg(test)]
mod tests {
    use std::thread::{ThreadId, current};

    use serde::de::IgnoredAny;
    use serde::{Deserializer, Serializer};

    use super::*;
    use crate::http::routes::told;

    /// Knows the thread on which it was read, and tells the one on which it is written.
    struct Where(ThreadId);

    impl Serialize for Where {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_str(&format!("{:?}", current().id()))
        }
    }

    impl<'de> Deserialize<'de> for Where {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            IgnoredAny::deserialize(deserializer)?;
            Ok(Self(current().id()))
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn work_that_blocks_in_place_holds_nobody_up() {
        let (say, hear) = std::sync::mpsc::channel();
        let waits = async move { hear.recv_timeout(Duration::from_mins(2)) };
        let waits = tokio::spawn(in_place(waits));
        tokio::spawn(async move { say.send(()) });
        assert_eq!(waits.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn long_json_is_read_and_written_where_it_may_block() {
        let here = current().id();
        let of = async |json: String| value_of::<Where>(json.into_bytes()).await.ok().unwrap();
        assert_eq!(of("{}".into()).await.0, here);
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(READ_AT_ONCE));
        assert_ne!(of(long).await.0, here);
        let Told(json, _) = told(move || Ok(Where(here))).await.ok().unwrap();
        assert_ne!(String::from_utf8(json).unwrap(), format!("\"{here:?}\""));
    }
}
