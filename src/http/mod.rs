//! The HTTP edge: who may ask, in which shape, and how errors look.
//!
//! `serve` takes a bound listener and a future that ends the service, so that tests run it on port
//! 0. Every route under `/v1` wants the bearer token; every request must name an allowed host
//! (DNS rebinding) and, if it says where it comes from, an allowed origin.

mod failure;
mod guard;
mod openai;
mod page;
mod routes;
mod wire;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::Router;
use axum::middleware;
use axum::routing::{delete, get, post};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::Service;
use crate::store::StoreError;
pub use openai::{ChatBody, EmbeddingsBody};
pub use wire::{AskBody, FeedbackBody, Problem, SearchBody, SignalBody, SourceBody, UnitBody};

/// How long open connections may take to end once the service is asked to.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What handlers share.
#[derive(Clone)]
pub struct Context {
    service: Arc<Service>,
    token: Arc<str>,
    hosts: Arc<[String]>,
    /// Set once the embedding model has answered.
    ready: Arc<AtomicBool>,
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
    let mut hosts = settings.allowed_hosts.clone();
    hosts.extend(["localhost", "127.0.0.1", "[::1]"].map(String::from));
    hosts.push(listener.local_addr()?.ip().to_string());
    let context = Context {
        token: token.into(),
        hosts: hosts.into(),
        ready: Arc::clone(&ready),
        closing,
        service: Arc::clone(&service),
    };
    let warming = tokio::spawn(warm(Arc::clone(&service), ready));
    let unloading = tokio::spawn(unload_when_idle(Arc::clone(&service)));
    let router = router(context);
    let signal = async move {
        shutdown.await;
        let _ = close.send(true);
    };
    let serving = axum::serve(listener, router).with_graceful_shutdown(signal);
    let overdue = async move {
        let _ = closed.wait_for(|closing| *closing).await;
        tokio::time::sleep(LAST_WORDS).await;
    };
    let outcome = tokio::select! {
        outcome = serving.into_future() => outcome,
        () = overdue => Ok(()),
    };
    warming.abort();
    unloading.abort();
    outcome
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

async fn unload_when_idle(service: Arc<Service>) {
    let idle = Duration::from_secs(service.app.settings.models.idle_unload_s);
    let Some(generator) = service.app.generator.clone() else {
        return;
    };
    loop {
        tokio::time::sleep(Duration::from_secs(15)).await;
        let generator = generator.clone();
        let _ = tokio::task::spawn_blocking(move || generator.unload_if_idle(idle)).await;
    }
}

/// The route table.
fn router(context: Context) -> Router {
    let guarded = Router::new()
        .route("/v1/chat/completions", post(openai::chat))
        .route("/v1/embeddings", post(openai::embeddings))
        .route("/v1/models", get(openai::models))
        .route("/v1/documents", get(routes::documents))
        .route("/v1/documents/{id}", get(routes::document))
        .route("/v1/search", post(routes::search))
        .route("/v1/ask", post(routes::ask))
        .route("/v1/answers", get(routes::answers))
        .route("/v1/answers/{id}", get(routes::answer))
        .route("/v1/answers/{id}/feedback", post(routes::feedback))
        .route("/v1/answers/{id}/signals", post(routes::signal))
        .route("/v1/units", get(routes::units))
        .route(
            "/v1/units/{id}",
            get(routes::unit).patch(routes::decide_unit),
        )
        .route(
            "/v1/writeback",
            get(routes::batches).post(routes::writeback),
        )
        .route("/v1/sources", get(routes::sources).post(routes::add_source))
        .route("/v1/sources/{id}", delete(routes::remove_source))
        .route("/v1/sources/{id}/sync", post(routes::sync))
        .route("/v1/events", get(routes::events))
        .route("/v1/status", get(routes::status))
        .route("/v1/status/problems", get(routes::problems))
        .layer(middleware::from_fn_with_state(
            context.clone(),
            guard::token,
        ));
    Router::new()
        .route("/", get(page::index))
        .route("/app.js", get(page::script))
        .route("/app.css", get(page::style))
        .route("/icon.svg", get(page::icon))
        .route("/metrics", get(routes::metrics))
        .route("/healthz", get(routes::healthz))
        .route("/readyz", get(routes::readyz))
        .merge(guarded)
        .fallback(routes::nothing_here)
        .method_not_allowed_fallback(routes::wrong_method)
        .layer(middleware::from_fn_with_state(context.clone(), guard::host))
        .layer(CatchPanicLayer::custom(failure::panicked))
        .layer(middleware::from_fn(guard::request_id))
        .with_state(context)
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
    let token = format!(
        "{}{}",
        uuid::Uuid::new_v4().simple(),
        uuid::Uuid::new_v4().simple()
    );
    crate::settings::write_private(&path, token.as_bytes()).map_err(io)?;
    Ok(token)
}
