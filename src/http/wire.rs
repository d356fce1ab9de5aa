//! What goes over the wire and is not the product of a pipeline: request bodies and problems.

use std::path::PathBuf;

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::failure::{Refusal, refusal};
use crate::domain::source::SourceId;
use crate::flow::answer::Strategy;

/// Body of `POST /v1/search`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchBody {
    /// The words.
    pub query: String,
    /// Hits at most.
    pub k: Option<usize>,
    /// Only this source.
    pub source: Option<SourceId>,
}

/// Body of `POST /v1/ask`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskBody {
    /// The question.
    #[serde(alias = "query")]
    pub question: String,
    /// How to answer.
    pub strategy: Option<Strategy>,
    /// Passages to look at.
    pub k: Option<usize>,
    /// Only this source.
    pub source: Option<SourceId>,
    /// Whether knowledge units may be used; they may unless this says `true`.
    #[serde(default)]
    pub no_units: bool,
    /// Whether to stream server-sent events; asking for `text/event-stream` does too.
    #[serde(default)]
    pub stream: bool,
}

/// Body of `POST /v1/sources`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceBody {
    /// The folder.
    pub path: PathBuf,
    /// Globs of what to read.
    #[serde(default)]
    pub include: Vec<String>,
    /// Globs of what to leave out.
    #[serde(default)]
    pub exclude: Vec<String>,
}

/// Body of `POST /v1/answers/{id}/feedback`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeedbackBody {
    /// `good` or `bad`.
    pub verdict: String,
    /// Why.
    pub note: Option<String>,
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
}

/// A JSON body whose errors are problems.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(explain(&rejection)),
        }
    }
}

fn explain(rejection: &JsonRejection) -> Refusal {
    let status = rejection.status().as_u16();
    let (code, hint) = match status {
        413 => ("body_too_large", "send less, or raise serve.max_body_kb"),
        415 => ("not_json", "send `Content-Type: application/json`"),
        _ => ("bad_body", "the OpenAPI file and the README show the shape"),
    };
    // 422 and 400 are the same to a client: its JSON is not what is wanted.
    let status = if status == 422 { 400 } else { status };
    refusal(status, code, rejection.body_text(), Some(hint.into()))
}
