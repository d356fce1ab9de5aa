//! The HTTP edge: who may ask, in which shape, and how errors look.
//!
//! `serve` takes a bound listener and a future that ends the service, so that tests run it on port
//! 0. Every route under `/v1` wants the bearer token; every request must name an allowed host
//! (DNS rebinding) and, if it says where it comes from, an allowed origin. `/metrics` wants no token
//! for what it tells of requests, and one that sees everything for what it tells of the notes.

mod caller;
mod connections;
mod failure;
mod guard;
mod meter;
mod openai;
mod openapi;
mod page;
mod routes;
mod wire;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodRouter, any, get};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::tokens::{Caller, random_token};
use crate::app::turns::Turns;
use crate::app::{Service, unload_when_idle};
use crate::domain::access::Right;
use crate::mcp::Tools;
use crate::store::StoreError;
use caller::Door;
use meter::Meter;
pub use openai::{ChatBody, EmbeddingsBody};
pub use openapi::document;
pub use wire::{AskBody, FeedbackBody, Problem, SearchBody, SignalBody, SourceBody, UnitBody};

/// How long open connections may take to end once the service is asked to.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What handlers share.
#[derive(Clone)]
pub struct Context {
    service: Arc<Service>,
    door: Arc<Door>,
    hosts: Arc<[String]>,
    /// Origins of other sites whose pages may ask.
    origins: Arc<[String]>,
    /// Set once the embedding model has answered.
    ready: Arc<AtomicBool>,
    /// What `/metrics` tells of requests.
    meter: Arc<Meter>,
    /// Who may search now.
    searches: Turns,
    /// Who may be answered now.
    answers: Turns,
    /// Whose texts may be embedded now.
    embeddings: Turns,
    /// Turns true when the service ends; streams end with it.
    closing: watch::Receiver<bool>,
}

/// Serves until `shutdown` resolves, then ends streams and lets requests finish.
///
/// # Errors
/// What the listener says.
pub async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    token: &str,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (close, closing) = watch::channel(false);
    let mut closed = closing.clone();
    let ready = Arc::new(AtomicBool::new(false));
    let settings = &service.app.settings.serve;
    // With a port they would be nobody's: those of requests are compared without.
    let allowed = settings.allowed_hosts.iter();
    let mut hosts: Vec<String> = allowed
        .map(|host| guard::host_of(host).to_owned())
        .collect();
    hosts.extend(["localhost", "127.0.0.1", "[::1]"].map(String::from));
    let head = Duration::from_secs(settings.head_timeout_s.max(1));
    hosts.push(listener.local_addr()?.ip().to_string());
    let context = Context {
        door: Arc::new(Door::new(Arc::clone(&service), token)),
        hosts: hosts.into(),
        origins: settings.allowed_origins.clone().into(),
        ready: Arc::clone(&ready),
        meter: Arc::default(),
        searches: Turns::of_searches(),
        answers: Turns::of_answers(),
        embeddings: Turns::of_embeddings(),
        closing,
        service: Arc::clone(&service),
    };
    let warming = tokio::spawn(warm(Arc::clone(&service), ready));
    let unloading = tokio::spawn(unload_when_idle(Arc::clone(&service.app)));
    let router = router(context);
    let signal = async move {
        shutdown.await;
        let _ = close.send(true);
    };
    let stopping = tokio::spawn(signal);
    let serving = connections::serve(listener, router, head, closed.clone());
    let overdue = async move {
        let _ = closed.wait_for(|closing| *closing).await;
        tokio::time::sleep(LAST_WORDS).await;
    };
    tokio::select! {
        () = serving => {}
        () = overdue => {}
    }
    warming.abort();
    unloading.abort();
    stopping.abort();
    Ok(())
}

/// The first query after a start should not pay for loading the model.
async fn warm(service: Arc<Service>, ready: Arc<AtomicBool>) {
    // Held until the reply is there: the model may be replaced by another meanwhile.
    let space = service.app.spaces.current();
    let Ok(reply) = space.embedder.query("ready".into()) else {
        return;
    };
    match reply.recv().await {
        Ok(Ok(_)) => ready.store(true, std::sync::atomic::Ordering::Release),
        Ok(Err(error)) => tracing::error!(%error, "the embedding model does not load"),
        Err(error) => tracing::error!(%error, "the embedding model is lost"),
    }
}

/// The route table.
fn router(context: Context) -> Router {
    let openapi::Documented { guarded, open, api } = openapi::documented();
    let api: Arc<str> = serde_json::to_string(&api).unwrap_or_default().into();
    let described = move || {
        let kind = [(header::CONTENT_TYPE, "application/json")];
        std::future::ready((kind, api.to_string()))
    };
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(context.service.app.settings.serve.max_body_kb * 1024)
        // Who may ask, and from where, is decided by the guards of all routes.
        .disable_allowed_hosts();
    let (searches, answers) = (context.searches.clone(), context.answers.clone());
    let mcp = StreamableHttpService::new(
        move || {
            let turns = (searches.clone(), answers.clone());
            Ok(Tools::of_request(caller::of_mcp, turns))
        },
        Arc::new(LocalSessionManager::default()),
        config,
    );
    let mcp = Router::new()
        .route_service("/mcp", mcp)
        .layer(middleware::from_fn(in_place))
        .layer(middleware::map_response(failure::of_mcp));
    let guarded = guarded
        .merge(mcp)
        .route("/v1/{*rest}", any(routes::no_such_route))
        .method_not_allowed_fallback(routes::wrong_method)
        .layer(middleware::from_fn_with_state(
            context.clone(),
            guard::token,
        ));
    Router::new()
        .route("/", get(page::index))
        .route("/app.js", get(page::script))
        .route("/app.css", get(page::style))
        .route("/icon.svg", get(page::icon))
        .route("/openapi.json", get(described))
        .route("/metrics", metrics(&context))
        .merge(open)
        .merge(guarded)
        .fallback(routes::nothing_here)
        .method_not_allowed_fallback(routes::wrong_method)
        .layer(middleware::from_fn_with_state(context.clone(), guard::host))
        .layer(CatchPanicLayer::custom(failure::panicked))
        .layer(middleware::from_fn_with_state(
            context.clone(),
            guard::request_id,
        ))
        .with_state(context)
}

/// The library that speaks MCP writes a whole note as JSON where it is polled.
async fn in_place(request: Request, next: Next) -> Response {
    wire::in_place(next.run(request)).await
}

/// `/metrics`: what it tells of the notes is worked out, from the ledger and the index folder, only
/// for who may see everything.
fn metrics(context: &Context) -> MethodRouter<Context> {
    // The layer that is added last is passed first.
    get(routes::metrics)
        .layer(middleware::from_fn_with_state(
            context.clone(),
            requests_alone,
        ))
        .layer(middleware::from_fn_with_state(
            context.clone(),
            token_if_sent,
        ))
}

/// Looks at a token where there is one; a wrong one is refused as everywhere.
async fn token_if_sent(State(context): State<Context>, request: Request, next: Next) -> Response {
    if request.headers().contains_key(header::AUTHORIZATION) {
        return guard::token(State(context), request, next).await;
    }
    next.run(request).await
}

/// Tells of requests, and lets pass who may hear the rest too: how many notes and units there are
/// is about all sources.
async fn requests_alone(State(context): State<Context>, request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Caller>();
    if caller.is_some_and(|caller| caller.has(Right::Admin) && caller.sees_all()) {
        return next.run(request).await;
    }
    let mut text = String::new();
    context.meter.write(&mut text);
    meter::prometheus(text)
}

/// The service's token: the one in the data folder, or a new one.
///
/// # Errors
/// What the file system says.
pub fn token(home: &Path) -> Result<String, StoreError> {
    let path = home.join("token");
    let io = |source| StoreError::io(&path, source);
    match std::fs::read_to_string(&path) {
        Ok(token) if token.trim().len() >= 32 => return Ok(token.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(io(error)),
    }
    let token = random_token();
    crate::settings::write_private(&path, token.as_bytes()).map_err(io)?;
    Ok(token)
}
