//! `coho mcp`: the Model Context Protocol over stdin and stdout, for programs that start their
//! servers themselves.
//!
//! Where a service runs, messages are handed to it: the models are loaded once. Else this process
//! answers from the data folder by itself.

use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use rmcp::ServiceExt;

use super::remote::Remote;
use super::{Session, app};
use crate::app::NotFound;
use crate::app::tokens::Caller;
use crate::error::Failure;
use crate::mcp::Tools;
use crate::store::{Access, StoreError};

pub(super) fn run(session: Session, name: Option<&str>) -> Result<ExitCode, Failure> {
    if name.is_none()
        && let Some(remote) = Remote::find(&session.places).filter(Remote::is_there)
    {
        return bridge(&remote);
    }
    let app = Arc::new(session.open(Access::Read)?);
    let caller = match name {
        Some(name) => holder(&app, name)?,
        None => Caller::owner(&app),
    };
    here(caller)
}

/// Whoever holds the token of this name.
fn holder(app: &Arc<app::App>, name: &str) -> Result<Caller, Failure> {
    let tokens = app.tokens()?.tokens;
    let grant = tokens.into_iter().find(|grant| grant.name == name);
    let grant = grant.ok_or_else(|| NotFound {
        what: "token",
        id: name.to_owned(),
    })?;
    let seen = app.seen_by(grant.view());
    Ok(Caller::holder(Arc::new(seen), Arc::new(grant)))
}

/// Answers here until stdin ends.
fn here(caller: Caller) -> Result<ExitCode, Failure> {
    let io = |source| StoreError::io(std::path::Path::new("stdin and stdout"), source);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(io)?;
    let outcome = runtime.block_on(async {
        let serving = Tools::of(caller).serve(rmcp::transport::stdio()).await;
        match serving {
            Ok(serving) => serving
                .waiting()
                .await
                .map(drop)
                .map_err(std::io::Error::other),
            Err(error) => Err(std::io::Error::other(error.to_string())),
        }
    });
    // Reading stdin cannot be ended; the process can.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.to_string().contains("closed") => Ok(ExitCode::SUCCESS),
        Err(error) => Err(io(error).into()),
    }
}

/// Hands messages to the running service, several at once: one may cancel another.
fn bridge(remote: &Remote) -> Result<ExitCode, Failure> {
    let io = |source| StoreError::io(std::path::Path::new("stdin"), source);
    let stdout = Mutex::new(std::io::stdout());
    let version: Mutex<Option<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for line in std::io::stdin().lock().lines() {
            let line = line.map_err(io)?;
            if line.trim().is_empty() {
                continue;
            }
            let say = |text: &str| {
                let mut stdout = stdout.lock().unwrap_or_else(PoisonError::into_inner);
                let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
            };
            let message: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            let pass = {
                let version = &version;
                move || {
                    let known = version
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .clone();
                    for reply in remote.mcp(&line, &message["id"], known.as_deref()) {
                        if let Some(agreed) = reply["result"]["protocolVersion"].as_str() {
                            let mut version =
                                version.lock().unwrap_or_else(PoisonError::into_inner);
                            *version = Some(agreed.to_owned());
                        }
                        say(&reply.to_string());
                    }
                }
            };
            // What follows needs the version that this agrees on.
            if message_is_first(&version) {
                pass();
            } else {
                scope.spawn(pass);
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn message_is_first(version: &Mutex<Option<String>>) -> bool {
    version
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .is_none()
}
