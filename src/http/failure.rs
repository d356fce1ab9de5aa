//! Errors as `application/problem+json` (RFC 9457), with a stable `code` and the request's id.
//!
//! Programs that were made for OpenAI's API look for an `error` in the body: where they ask, it is
//! there beside the rest.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::wire::{OpenAiError, Problem};
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
        error: None,
    })
}

/// A problem in the words of OpenAI's API.
pub(super) fn for_openai(problem: &Problem) -> OpenAiError {
    let kind = match problem.status {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    let message = match &problem.hint {
        Some(hint) => format!("{}; {hint}", problem.detail),
        None => problem.detail.clone(),
    };
    OpenAiError {
        message,
        kind: kind.into(),
        code: problem.code.clone(),
        param: None,
    }
}

/// Says problems in the words of OpenAI's API, too. A layer around its routes.
pub(super) async fn also_for_openai(mut response: Response) -> Response {
    // The body is written anew by the outermost layer.
    if let Some(problem) = response.extensions_mut().get_mut::<Problem>() {
        problem.error = Some(for_openai(problem));
    }
    response
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(mut problem) = self;
        let status = StatusCode::from_u16(problem.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let busy = problem.status == 429 || problem.status == 503;
        if status == StatusCode::UNAUTHORIZED {
            // Who is not known is turned away before anybody looks where they want to go.
            problem.error = Some(for_openai(&problem));
        }
        let mut response = (status, Json(&problem)).into_response();
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
        response.extensions_mut().insert(problem);
        response
    }
}

/// What the library says that speaks MCP, as problems.
pub(super) async fn of_mcp(response: Response) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let is_told = response.extensions().get::<Problem>().is_some();
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_json = kind.is_some_and(|kind| kind.as_bytes().ends_with(b"json"));
    if is_told || is_json {
        return response;
    }
    let body = axum::body::to_bytes(response.into_body(), 4096).await;
    let said = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
    let unread = said.contains("deserialize");
    let (status, code, hint) = match status.as_u16() {
        415 if unread => (400, "bad_body", "send one JSON-RPC message"),
        405 => (405, "wrong_method", "send messages with POST"),
        406 => (
            406,
            "not_acceptable",
            "send `Accept: application/json, text/event-stream`",
        ),
        413 => (
            413,
            "body_too_large",
            "send less, or raise serve.max_body_kb",
        ),
        415 => (415, "not_json", "send `Content-Type: application/json`"),
        other => (other, "mcp", "the Model Context Protocol says what is sent"),
    };
    let detail = Some(said).filter(|said| !said.trim().is_empty());
    let detail = detail.unwrap_or_else(|| "this is no message of MCP".into());
    let mut response = refusal(status, code, detail, Some(hint.into())).into_response();
    if status == 405 {
        let allowed = HeaderValue::from_static("POST");
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

/// The work panicked.
pub(super) fn lost() -> Refusal {
    refusal(500, "internal", "coho failed on this request", None)
}

/// A handler that panicked.
pub(super) fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    lost().into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_said_in_the_words_of_openai() {
        let check = |status, expected: &str| {
            let hint = Some("wait".into());
            let Refusal(problem) = refusal(status, "some_code", "it is so", hint);
            let said = serde_json::to_value(for_openai(&problem)).unwrap();
            let expected = serde_json::json!({
                "message": "it is so; wait",
                "type": expected,
                "code": "some_code",
                "param": null,
            });
            assert_eq!(said, expected);
        };
        check(400, "invalid_request_error");
        check(401, "authentication_error");
        check(404, "invalid_request_error");
        check(429, "rate_limit_error");
        check(503, "server_error");
        // Elsewhere nothing is added.
        let Refusal(plain) = refusal(404, "x", "y", None);
        let plain = serde_json::to_value(plain).unwrap();
        assert!(plain.get("error").is_none(), "{plain}");
    }
}
