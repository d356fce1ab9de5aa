//! Connections: who is let in when, and for how long nothing may be said.
//!
//! A client that sends its request a byte at a time, or none at all, is sent away, and so is one that
//! takes nothing of what it asked for; so many at once as the system gives us files for are served,
//! and others wait.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::middleware::map_request;
use futures::{StreamExt, stream};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep, timeout_at};

use super::wire::SLOWEST_BODY;

/// Headers of a request at most.
const MOST_HEADERS: usize = 100;

/// Bytes that are read ahead, and so of a request's head at most.
const BUFFER: usize = 64 << 10;

/// Files that the service needs for itself: indexes, the ledger, watched folders.
const OWN_FILES: u64 = 512;

/// A client that takes nothing for so long, while something is to be taken, has left.
const UNTAKEN: Duration = Duration::from_mins(1);

/// No body may take longer, whatever reads it. Most routes give up earlier, and say so.
const ANY_BODY: Duration = SLOWEST_BODY.saturating_mul(2);

/// Serves until `closing` turns true, and then until the requests under way have ended. `head` is
/// how long the head of a request may take, from the end of the last one on.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    head: Duration,
    closing: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(most_connections()));
    let router = router.layer(map_request(in_time));
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
    let stream = TokioIo::new(Taken::new(stream, UNTAKEN));
    let mut connection = pin!(builder.serve_connection(stream, service));
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

/// A request whose body ends in time.
async fn in_time(request: Request) -> Request {
    if request.body().is_end_stream() {
        return request;
    }
    request.map(|body| ending_within(body, ANY_BODY))
}

/// A body that breaks off when it takes longer than this.
fn ending_within(body: Body, longest: Duration) -> Body {
    let end = Instant::now() + longest;
    let pieces = stream::unfold(Some(body.into_data_stream()), move |pieces| async move {
        let mut pieces = pieces?;
        match timeout_at(end, pieces.next()).await {
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(pieces))),
            Ok(Some(Err(error))) => Some((Err(error), None)),
            Ok(None) => None,
            Err(_) => {
                let late = io::Error::new(io::ErrorKind::TimedOut, "the body did not arrive");
                Some((Err(axum::Error::new(late)), None))
            }
        }
    });
    Body::from_stream(pieces)
}

/// A stream that breaks off when nothing of what is written is taken for long.
struct Taken<S> {
    stream: S,
    patience: Duration,
    /// When patience ends; none while nothing waits to be taken.
    overdue: Option<Pin<Box<Sleep>>>,
}

impl<S> Taken<S> {
    fn new(stream: S, patience: Duration) -> Self {
        Self {
            stream,
            patience,
            overdue: None,
        }
    }

    /// What came of a write, or that it waited too long.
    fn judge<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.overdue = None;
            return written;
        }
        let patience = self.patience;
        let overdue = self
            .overdue
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        let late = overdue.as_mut().poll(context);
        late.map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "nothing was taken")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Taken<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Taken<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::{Bytes, to_bytes};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const SHORT: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn who_takes_nothing_is_left() {
        let (ours, _theirs) = duplex(8);
        let mut ours = Taken::new(ours, SHORT);
        let error = ours.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_takes_little_by_little_is_served() {
        loop {
            let (ours, mut theirs) = duplex(8);
            let mut ours = Taken::new(ours, 10 * SHORT);
            // Closed where patience ends: nobody waits for more.
            let writing = async move { ours.write_all(&[0; 48]).await };
            let taking = async {
                let mut longest = Duration::ZERO;
                for _ in 0..6 {
                    let begun = Instant::now();
                    sleep(2 * SHORT).await;
                    let _ = theirs.read_exact(&mut [0; 8]).await;
                    longest = longest.max(begun.elapsed());
                }
                longest
            };
            let (written, longest) = tokio::join!(writing, taking);
            // Where the machine had no time for so long, that was not little by little.
            if longest < 5 * SHORT {
                written.unwrap();
                return;
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_does_not_end_breaks_off() {
        let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"a"))]);
        let endless = Body::from_stream(first.clone().chain(stream::pending()));
        assert!(to_bytes(ending_within(endless, SHORT), 16).await.is_err());
        let whole = ending_within(Body::from_stream(first), Duration::from_mins(1));
        assert_eq!(to_bytes(whole, 16).await.unwrap(), "a");
    }
}
