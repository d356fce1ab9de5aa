//! `coho mcp`: the Model Context Protocol over stdin and stdout, for programs that start their
//! servers themselves.
//!
//! Where a service runs, messages are handed to it: the models are loaded once. Else this process
//! answers from the data folder by itself. So it does for the holder of a named token, whom it
//! serves for as long as the token is what it was.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::model::JsonRpcMessage;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::{ErrorData, RoleServer, ServiceExt};
use serde_json::{Value, json};
use tokio::io::{Stdin, Stdout};

use super::remote::Remote;
use super::{Session, app};
use crate::app::NotFound;
use crate::app::tokens::Caller;
use crate::domain::access::Grant;
use crate::error::{Failure, Fault, Kind};
use crate::mcp::Tools;
use crate::settings::Places;
use crate::store::{Access, StoreError};

pub(super) fn run(session: Session, name: Option<&str>) -> Result<ExitCode, Failure> {
    let there = || Remote::find(&session.places).is_some_and(|remote| remote.is_there());
    if name.is_none() && there() {
        return bridge(&session.places);
    }
    let app = Arc::new(session.open(Access::Read)?);
    let Some(name) = name else {
        return here(Caller::owner(&app), None);
    };
    let grant = granted(&app, name)?.ok_or_else(|| NotFound {
        what: "token",
        id: name.to_owned(),
    })?;
    let seen = app.seen_by(grant.view());
    let grant = Arc::new(grant);
    let caller = Caller::holder(Arc::new(seen), Arc::clone(&grant));
    let ended = Arc::default();
    let held = Held {
        app,
        grant,
        ended: Arc::clone(&ended),
    };
    let served = here(caller, Some(held))?;
    let failure = lock(&ended).take();
    failure.map_or(Ok(served), Err)
}

/// What goes with the token of this name.
fn granted(app: &app::App, name: &str) -> Result<Option<Grant>, Failure> {
    let tokens = app.tokens()?.tokens;
    Ok(tokens.into_iter().find(|grant| grant.name == name))
}

/// Whose token it was has nothing to ask any more.
#[derive(Debug, thiserror::Error)]
#[error("the token `{name}` was taken back or changed")]
struct TakenBack {
    name: String,
}

impl Fault for TakenBack {
    fn kind(&self) -> Kind {
        Kind::Denied
    }
    fn code(&self) -> &'static str {
        "token_taken_back"
    }
    fn hint(&self) -> Option<String> {
        Some("`coho token list` says which there are; begin again with one of them".into())
    }
}

/// A token that is served, as it was when that began.
struct Held {
    app: Arc<app::App>,
    grant: Arc<Grant>,
    /// Why it is served no more.
    ended: Arc<Mutex<Option<Failure>>>,
}

impl Held {
    /// Is it still what it was?
    fn check(&self) -> Result<(), Failure> {
        let now = granted(&self.app, &self.grant.name)?;
        if now.as_ref() == Some(&*self.grant) {
            return Ok(());
        }
        let name = self.grant.name.clone();
        Err(TakenBack { name }.into())
    }
}

/// Messages on stdin and stdout, for as long as the token is good that they come with.
struct Stdio {
    messages: AsyncRwTransport<RoleServer, Stdin, Stdout>,
    held: Option<Held>,
}

impl Transport<RoleServer> for Stdio {
    type Error = std::io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.messages.send(message)
    }

    /// Every message is looked at with the token as it is then; the first that comes too late is
    /// refused and ends the service, as the end of the input would.
    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        let message = self.messages.receive().await?;
        let Some(held) = &self.held else {
            return Some(message);
        };
        let Err(failure) = held.check() else {
            return Some(message);
        };
        let refused = ErrorData::invalid_request(failure.to_string(), None);
        *lock(&held.ended) = Some(failure);
        if let Some((_, id)) = message.into_request() {
            let refusal = JsonRpcMessage::error(refused, Some(id));
            // Who has left needs no answer.
            let _ = self.messages.send(refusal).await;
        }
        None
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.messages.close().await
    }
}

/// Answers here until stdin ends, or the token is taken back.
fn here(caller: Caller, held: Option<Held>) -> Result<ExitCode, Failure> {
    let io = |source| StoreError::io(std::path::Path::new("stdin and stdout"), source);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(io)?;
    let outcome = runtime.block_on(async {
        let messages = AsyncRwTransport::new(tokio::io::stdin(), tokio::io::stdout());
        let stdio = Stdio { messages, held };
        match Tools::Of(caller).serve(stdio).await {
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

/// Requests that were not answered or cancelled yet, by their ids as they are written, with the
/// service that works on them once it does.
type UnderWay = Mutex<HashMap<String, Option<Remote>>>;

/// Hands messages to the running service, several at once. The service is looked for anew for each:
/// it may have begun again at another address, and whoever has its old one is told nothing.
fn bridge(places: &Places) -> Result<ExitCode, Failure> {
    let io = |source| StoreError::io(std::path::Path::new("stdin"), source);
    let stdout = Mutex::new(std::io::stdout());
    let version: Mutex<Option<String>> = Mutex::default();
    let under_way = UnderWay::default();
    std::thread::scope(|scope| {
        for line in std::io::stdin().lock().lines() {
            let line = line.map_err(io)?;
            if line.trim().is_empty() {
                continue;
            }
            let say = |text: &str| {
                let mut stdout = lock(&stdout);
                let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
            };
            let message: Value = serde_json::from_str(&line).unwrap_or_default();
            if message["method"] == "notifications/cancelled" {
                // Its connection is closed: on that the service leaves it.
                let id = message["params"]["requestId"].to_string();
                if let Some(Some(remote)) = lock(&under_way).remove(&id) {
                    remote.leave();
                }
                continue;
            }
            if !message["id"].is_null() {
                lock(&under_way).insert(message["id"].to_string(), None);
            }
            let begins = message["method"] == "initialize" && lock(&version).is_none();
            let (version, under_way) = (&version, &under_way);
            let pass = move || {
                for reply in passed(places, &line, &message, version, under_way) {
                    say(&reply.to_string());
                }
            };
            // What follows needs the version that this agrees on.
            if begins {
                pass();
            } else {
                scope.spawn(pass);
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// What the service says to a message; nothing where that was cancelled.
fn passed(
    places: &Places,
    line: &str,
    message: &Value,
    version: &Mutex<Option<String>>,
    under_way: &UnderWay,
) -> Vec<Value> {
    let id = message["id"].to_string();
    let asks = !message["id"].is_null();
    let Some(remote) = Remote::find(places) else {
        let gone = "the service has ended: start it with `coho serve`, or restart this program";
        let error = json!({ "code": -32603, "message": gone });
        let reply = json!({ "jsonrpc": "2.0", "id": message["id"], "error": error });
        return asks.then_some(reply).into_iter().collect();
    };
    if asks {
        match lock(under_way).get_mut(&id) {
            Some(works) => *works = Some(remote.clone()),
            // It was cancelled at once.
            None => return Vec::new(),
        }
    }
    let agreed = lock(version).clone();
    let replies = remote.mcp(line, message, agreed.as_deref());
    if asks && lock(under_way).remove(&id).is_none() {
        return Vec::new();
    }
    let said = |reply: &Value| {
        reply["result"]["protocolVersion"]
            .as_str()
            .map(str::to_owned)
    };
    if let Some(agreed) = replies.iter().find_map(said) {
        *lock(version) = Some(agreed);
    }
    replies
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
