//! Connections: who is let in when, and for how long nothing may be said.
//!
//! A client that sends its request a byte at a time, or none at all, is sent away; so many at once
//! as the system gives us files for are served, and others wait.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Headers of a request at most.
const MOST_HEADERS: usize = 100;

/// Bytes that are read ahead, and so of a request's head at most.
const BUFFER: usize = 64 << 10;

/// Files that the service needs for itself: indexes, the ledger, watched folders.
const OWN_FILES: u64 = 512;

/// Serves until `closing` turns true, and then until the requests under way have ended. `head` is
/// how long the head of a request may take, from the end of the last one on.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    head: Duration,
    closing: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(most_connections()));
    let mut connections = JoinSet::new();
    let mut ending = closing.clone();
    let mut ended = pin!(async move {
        let _ = ending.wait_for(|closing| *closing).await;
    });
    loop {
        let permit = Arc::clone(&room).acquire_owned();
        let next = async { (permit.await, listener.accept().await) };
        let accepted = tokio::select! {
            () = &mut ended => break,
            accepted = next => accepted,
        };
        match accepted {
            (Ok(permit), Ok((stream, _))) => {
                let one = connection(stream, router.clone(), head, closing.clone());
                connections.spawn(async move {
                    one.await;
                    drop(permit);
                });
            }
            (_, Err(error)) => {
                // Too many open files, or a client that has gone: neither is for ever.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            (Err(_), _) => break,
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    router: Router,
    head: Duration,
    mut closing: watch::Receiver<bool>,
) {
    // A small answer should not wait for the next.
    let _ = stream.set_nodelay(true);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_headers(MOST_HEADERS)
        .max_buf_size(BUFFER);
    let service = TowerToHyperService::new(router);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let told = async move {
        let _ = closing.wait_for(|closing| *closing).await;
    };
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = told => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection broke off");
    }
}

/// As many as there are files for, after asking the system for all that it allows.
fn most_connections() -> usize {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        let wanted = Rlimit {
            current: limit.maximum,
            ..limit
        };
        let files = match setrlimit(Resource::Nofile, wanted) {
            Ok(()) => limit.maximum,
            Err(_) => limit.current,
        };
        let room = files.unwrap_or(1 << 16).saturating_sub(OWN_FILES).max(64);
        usize::try_from(room).unwrap_or(usize::MAX).min(1 << 16)
    }
    #[cfg(not(unix))]
    {
        1 << 12
    }
}
