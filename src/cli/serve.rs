//! `coho serve`: the service, from its port to its end.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::{Session, output, remote, show};
use crate::app::Service;
use crate::domain::generator::shown_address;
use crate::error::{BadRequest, Failure, Fault, Kind};
use crate::store::{Access, StoreError};

/// `coho serve`.
pub(super) fn run(session: Session) -> Result<ExitCode, Failure> {
    let listen = session.settings.serve.listen;
    if !listen.ip().is_loopback() {
        note!(
            "warning: {listen} can be reached from other machines; the token is all that guards your notes"
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(64)
        .thread_name("coho-http")
        .enable_all()
        .build()
        .map_err(|source| StoreError::io(Path::new("a runtime"), source))?;
    // The port first: a port in use should be said before anything is spent.
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind(listen))
        .map_err(|source| PortError { listen, source })?;
    if session.settings.serve.air_gap {
        let server = &session.settings.models.server.url;
        if !server.is_empty() {
            let shown = shown_address(server);
            let what = format!("behind an air gap the model server at {shown} cannot be reached");
            let hint = "leave out --air-gap, or `models.server.url`";
            return Err(BadRequest::new("air_gap", what, hint).into());
        }
        crate::airgap::close()?;
    }
    let home = session.places.home.clone();
    let json = session.json;
    let service = Arc::new(Service::start(session.open(Access::Write)?)?);
    let token = crate::http::token(&home)?;
    let address = listener.local_addr().unwrap_or(listen);
    remote::announce(&home, address)?;
    if json {
        show::json(&output::Serving::here(address, &home));
    } else {
        // Who reads the first line may have left before the second, and wants the service to stay.
        let token = home.join("token");
        let mut stdout = io::stdout().lock();
        let _ = writeln!(stdout, "coho listens on http://{address}")
            .and_then(|()| writeln!(stdout, "the token is in {}", token.display()));
    }
    let _ = io::stdout().flush();
    let ended = runtime.block_on(crate::http::serve(
        listener,
        Arc::clone(&service),
        &token,
        until_told_to_stop(),
    ));
    remote::withdraw(&home);
    runtime.shutdown_timeout(Duration::from_secs(2));
    drop(service);
    ended.map_err(|source| PortError { listen, source })?;
    tracing::info!("coho has stopped");
    Ok(ExitCode::SUCCESS)
}

async fn until_told_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// The service cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {listen}")]
struct PortError {
    listen: SocketAddr,
    source: io::Error,
}

impl Fault for PortError {
    fn kind(&self) -> Kind {
        Kind::Conflict
    }
    fn code(&self) -> &'static str {
        match self.source.kind() {
            io::ErrorKind::AddrInUse => "port_in_use",
            _ => "cannot_listen",
        }
    }
    fn hint(&self) -> Option<String> {
        Some("is another coho running? choose another port with `--listen 127.0.0.1:7622`".into())
    }
}
