//! Who may ask: the bearer token, the host, the origin. And the id that every request carries.

use std::sync::Arc;

use super::Context;
use super::caller::unauthorized;
use super::failure::{Refusal, refusal};
use super::routes::blocking;
use super::wire::Problem;
use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Lets a request pass that carries a token, with who sent it.
pub(super) async fn token(
    State(context): State<Context>,
    mut request: Request,
    next: Next,
) -> Response {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let Some(given) = given.map(ToOwned::to_owned) else {
        return unauthorized(false).into_response();
    };
    let caller = if context.door.is_owner(&given) {
        context.door.owner()
    } else {
        let door = Arc::clone(&context.door);
        match blocking(move || door.holder(&given)).await {
            Ok(Some(caller)) => caller,
            Ok(None) => return unauthorized(true).into_response(),
            Err(refusal) => return refusal.into_response(),
        }
    };
    request.extensions_mut().insert(caller);
    let mut response = next.run(request).await;
    // Browsers keep what they read on the disk, where no `coho forget` erases it.
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Lets a request pass that is addressed to us by a name of ours and comes from no other site.
pub(super) async fn host(State(context): State<Context>, request: Request, next: Next) -> Response {
    if let Some(refusal) = misaddressed(&context, &request) {
        return refusal.into_response();
    }
    let headers = request.headers();
    if let Some(origin) = allowed_origin(&context, headers) {
        let wanted = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        let wanted = wanted.cloned();
        let mut response = if asks_before(&request) {
            StatusCode::NO_CONTENT.into_response()
        } else {
            next.run(request).await
        };
        share_with(origin, wanted, response.headers_mut());
        return response;
    }
    if !origin_is_ours(&context, headers) {
        let detail = "pages of other sites may not use this service";
        let hint = "the owner may add the origin to serve.allowed_origins";
        return refusal(403, "origin_not_allowed", detail, Some(hint.into())).into_response();
    }
    next.run(request).await
}

/// What somebody hears whose request names another host than ours, or does not say which it means.
fn misaddressed(context: &Context, request: &Request) -> Option<Refusal> {
    let mut named = request.headers().get_all(header::HOST).iter();
    let (first, second) = (named.next(), named.next());
    if second.is_some() {
        let detail = "the request has more than one Host header";
        let hint = "send one: it cannot be said which of them is meant";
        return Some(refusal(400, "two_hosts", detail, Some(hint.into())));
    }
    let first = first.map(|value| value.to_str().unwrap_or(""));
    // What is sent by way of a proxy names the host in its address, too.
    let whole = request.uri().authority().map(|a| a.as_str());
    let mut hosts = first.into_iter().chain(whole).peekable();
    if hosts.peek().is_some() && hosts.all(|host| is_ours(context, host)) {
        return None;
    }
    let hint = "use 127.0.0.1 or localhost, or add the name to serve.allowed_hosts";
    let detail = "the Host header names no host of this service";
    Some(refusal(403, "host_not_allowed", detail, Some(hint.into())))
}

/// The origin of a request, where it is another site's that the owner allows.
fn allowed_origin(context: &Context, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let mut allowed = context.origins.iter();
    let is_allowed = allowed.any(|known| known.trim_end_matches('/').as_bytes() == origin);
    is_allowed.then(|| origin.clone())
}

/// Does a browser ask what a page of another site may send, before it sends that?
fn asks_before(request: &Request) -> bool {
    let wanted = header::ACCESS_CONTROL_REQUEST_METHOD;
    request.method() == Method::OPTIONS && request.headers().contains_key(wanted)
}

/// Lets pages of that origin read the response (CORS); they need a token all the same. They may send
/// what headers they want: libraries for OpenAI's API and for MCP have some of their own.
fn share_with(origin: HeaderValue, wanted: Option<HeaderValue>, headers: &mut HeaderMap) {
    let says = HeaderValue::from_static;
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, says("origin"));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        says("GET, POST, PATCH, DELETE"),
    );
    if let Some(wanted) = wanted {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
    }
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, says("x-request-id"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, says("600"));
}

fn origin_is_ours(context: &Context, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let address = origin.to_str().ok().and_then(|o| o.split_once("://"));
    address.is_some_and(|(_, authority)| is_ours(context, authority))
}

fn is_ours(context: &Context, authority: &str) -> bool {
    let host = host_of(authority);
    context.hosts.iter().any(|ours| {
        ours.eq_ignore_ascii_case(host) || format!("[{ours}]").eq_ignore_ascii_case(host)
    })
}

/// The host of an authority, without its port. The colons of an IPv6 address stand in brackets where a
/// port follows.
pub(super) fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port))
            if !port.ends_with(']') && (host.ends_with(']') || !host.contains(':')) =>
        {
            host
        }
        _ => authority,
    }
}

tokio::task_local! {
    static REQUEST: String;
}

/// The id of the request that this task answers.
pub(super) fn current_request() -> Option<String> {
    REQUEST.try_with(Clone::clone).ok()
}

/// Gives every request an id, which the response and every problem carry.
pub(super) async fn request_id(
    State(context): State<Context>,
    request: Request,
    next: Next,
) -> Response {
    let id = uuid::Uuid::now_v7().to_string();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let started = std::time::Instant::now();
    let mut response = REQUEST.scope(id.clone(), next.run(request)).await;
    let status = response.status();
    let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let status_code = status.as_u16();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    context.meter.count(route, status_code, started.elapsed());
    // Probes come every second and say nothing.
    if matches!(path.as_str(), "/healthz" | "/readyz") {
        tracing::debug!(%method, path, status = status_code, took_ms, request_id = id, "probe");
    } else {
        tracing::info!(%method, path, status = status_code, took_ms, request_id = id, "request");
    }
    if let Some(mut problem) = response.extensions_mut().remove::<Problem>() {
        problem.request_id = Some(id.clone());
        let headers = response.headers().clone();
        response = (status, Json(problem)).into_response();
        for (name, value) in &headers {
            if name != header::CONTENT_LENGTH {
                response.headers_mut().insert(name, value.clone());
            }
        }
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", value);
    }
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_from_its_port() {
        let check = |authority: &str, expected: &str| assert_eq!(host_of(authority), expected);
        check("localhost:7621", "localhost");
        check("nas.local", "nas.local");
        check("[::1]:7621", "[::1]");
        check("[::1]", "[::1]");
        check("fd00::7", "fd00::7");
        check("localhost:", "localhost");
    }
}
