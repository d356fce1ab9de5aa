//! Errors as `application/problem+json` (RFC 9457), with a stable `code` and the request's id.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::wire::Problem;
use crate::error::{Failure, Kind};

/// What a handler returns when it cannot do its part.
pub(super) struct Refusal(pub(super) Problem);

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        if failure.kind() == Kind::Ours {
            // The client learns that it is our fault, the log learns what it was.
            tracing::error!(error = %failure, causes = ?failure.causes(), "a request failed");
        }
        Self(problem(&failure))
    }
}

/// A failure as a client sees it.
pub(super) fn problem(failure: &Failure) -> Problem {
    let status = match failure.code() {
        "busy" => 429,
        _ => failure.kind().http_status(),
    };
    refusal(status, failure.code(), failure.to_string(), failure.hint()).0
}

/// A refusal that no deeper module has a name for.
pub(super) fn refusal(
    status: u16,
    code: &str,
    detail: impl Into<String>,
    hint: Option<String>,
) -> Refusal {
    let title = StatusCode::from_u16(status).ok();
    Refusal(Problem {
        kind: format!("urn:coho:problem:{code}"),
        title: title
            .and_then(|s| s.canonical_reason())
            .unwrap_or("Error")
            .into(),
        status,
        detail: detail.into(),
        code: code.into(),
        hint,
        request_id: None,
    })
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let busy = self.0.status == 429 || self.0.status == 503;
        let mut response = (status, Json(&self.0)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if busy {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // The request's id is known to the outermost layer only.
        response.extensions_mut().insert(self.0);
        response
    }
}

/// A handler that panicked.
pub(super) fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    refusal(500, "internal", "coho failed on this request", None).into_response()
}
