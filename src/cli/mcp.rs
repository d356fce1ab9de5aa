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
use rmcp::{ErrorData, RoleServer, ServiceExt};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::remote::Remote;
use super::{Session, app};
use crate::app::tokens::Caller;
use crate::app::{NotFound, unload_when_idle};
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
    let grant = granted(&app, name)?.ok_or_else(|| NotFound::new("token", name))?;
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
    lines: mpsc::Receiver<Vec<u8>>,
    /// Messages of a line that are yet to be received, last first.
    waiting: Vec<Value>,
    has_begun: bool,
    held: Option<Held>,
}

/// What the protocol calls what is no JSON, and what is no message.
const NO_JSON: i64 = -32700;
const NO_MESSAGE: i64 = -32600;

/// The messages of a line: one, or those of a batch; or what is to be said of what is none.
fn messages_of(line: &[u8]) -> Result<Vec<Value>, Value> {
    let refused = |code: i64, said: String| {
        let error = json!({ "code": code, "message": said });
        Err(json!({ "jsonrpc": "2.0", "id": null, "error": error }))
    };
    let message = match serde_json::from_slice(line) {
        Ok(message) => message,
        Err(error) => return refused(NO_JSON, format!("this is no JSON: {error}")),
    };
    let is_message = |message: &Value| {
        let id = message.get("id");
        let named = id.is_none_or(|id| id.is_string() || id.is_i64() || id.is_u64());
        message.is_object() && named
    };
    let messages = match message {
        Value::Array(messages) => messages,
        message => vec![message],
    };
    if messages.is_empty() || !messages.iter().all(is_message) {
        let said = "this is no message of JSON-RPC: an object with a `method` and, where an answer is wanted, an `id`";
        return refused(NO_MESSAGE, said.into());
    }
    Ok(messages)
}

/// Lines of stdin, read by a thread: nothing else can wait for them and be ended.
fn lines_of_stdin() -> std::io::Result<mpsc::Receiver<Vec<u8>>> {
    let (send, lines) = mpsc::channel(16);
    let read = move || {
        let mut stdin = std::io::stdin().lock();
        while let Some(line) = next_line(&mut stdin) {
            if send.blocking_send(line).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("coho-stdin".into())
        .spawn(read)?;
    Ok(lines)
}

/// The next line that is not blank, whatever its bytes; none at the end of the input.
fn next_line(stdin: &mut impl BufRead) -> Option<Vec<u8>> {
    loop {
        let mut line = Vec::new();
        match stdin.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return None,
            Ok(_) if line.trim_ascii().is_empty() => {}
            Ok(_) => return Some(line),
        }
    }
}

/// Writes one message. Whoever has left needs none.
fn write_line(message: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{message}").and_then(|()| stdout.flush());
}

impl Transport<RoleServer> for Stdio {
    type Error = std::io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        // A note may be long. Who reads slowly is waited for, and nobody else meanwhile.
        let write = move || -> std::io::Result<()> {
            let text = serde_json::to_string(&message)?;
            write_line(&text);
            Ok(())
        };
        async move {
            let written = tokio::task::spawn_blocking(write).await;
            written.map_err(std::io::Error::other)?
        }
    }

    /// Every message is looked at with the token as it is then; the first that comes too late is
    /// refused and ends the service, as the end of the input would.
    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        let message = self.next().await?;
        let Some(held) = &self.held else {
            return Some(message);
        };
        let Err(failure) = in_place(|| held.check()) else {
            return Some(message);
        };
        let refused = ErrorData::invalid_request(failure.to_string(), None);
        *lock(&held.ended) = Some(failure);
        if let Some((_, id)) = message.into_request() {
            let refusal = JsonRpcMessage::error(refused, Some(id));
            let _ = self.send(refusal).await;
        }
        None
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.lines.close();
        Ok(())
    }
}

impl Stdio {
    /// The next message; what is none is answered here.
    async fn next(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            let Some(message) = self.waiting.pop() else {
                match messages_of(&self.lines.recv().await?) {
                    Ok(messages) => self.waiting = messages.into_iter().rev().collect(),
                    Err(refusal) => in_place(|| write_line(&refusal.to_string())),
                }
                continue;
            };
            let id = message.get("id").cloned();
            // A note before the beginning would end the library that speaks the protocol.
            if !self.has_begun && id.is_none() {
                continue;
            }
            self.has_begun |= message["method"] == "initialize";
            match serde_json::from_value(message) {
                Ok(message) => return Some(message),
                Err(error) => {
                    // Notes that nobody knows need no answer.
                    if let Some(id) = id {
                        let said = format!("this is no message of MCP: {error}");
                        let error = json!({ "code": NO_MESSAGE, "message": said });
                        let refusal = json!({ "jsonrpc": "2.0", "id": id, "error": error });
                        in_place(|| write_line(&refusal.to_string()));
                    }
                }
            }
        }
    }
}

/// Does what may block, and waits for nothing: what receives a message may be dropped at any wait, and
/// the message with it.
fn in_place<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

/// Answers here until stdin ends, or the token is taken back.
fn here(caller: Caller, held: Option<Held>) -> Result<ExitCode, Failure> {
    let io = |source| StoreError::io(std::path::Path::new("stdin and stdout"), source);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(io)?;
    let lines = lines_of_stdin().map_err(io)?;
    let outcome = runtime.block_on(async {
        let unloading = tokio::spawn(unload_when_idle(Arc::clone(&caller.app)));
        let stdio = Stdio {
            lines,
            waiting: Vec::new(),
            has_begun: false,
            held,
        };
        let outcome = match Tools::of(caller).serve(stdio).await {
            Ok(serving) => serving
                .waiting()
                .await
                .map(drop)
                .map_err(std::io::Error::other),
            Err(error) => Err(std::io::Error::other(error.to_string())),
        };
        // It holds the model, which ends with this.
        unloading.abort();
        let _ = unloading.await;
        outcome
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
    let version: Mutex<Option<String>> = Mutex::default();
    let under_way = UnderWay::default();
    std::thread::scope(|scope| {
        let mut stdin = std::io::stdin().lock();
        while let Some(line) = next_line(&mut stdin) {
            let messages = match messages_of(&line) {
                Ok(messages) => messages,
                Err(refusal) => {
                    write_line(&refusal.to_string());
                    continue;
                }
            };
            let [message] = messages.as_slice() else {
                let (version, under_way) = (&version, &under_way);
                scope.spawn(move || {
                    let replies = messages.iter().flat_map(|message| {
                        let line = message.to_string();
                        begun(message, under_way);
                        passed(places, &line, message, version, under_way)
                    });
                    let replies: Vec<Value> = replies.collect();
                    if !replies.is_empty() {
                        write_line(&Value::from(replies).to_string());
                    }
                });
                continue;
            };
            let message = message.clone();
            let line = String::from_utf8_lossy(&line).into_owned();
            if message["method"] == "notifications/cancelled" {
                // Its connection is closed: on that the service leaves it.
                let id = message["params"]["requestId"].to_string();
                if let Some(Some(remote)) = lock(&under_way).remove(&id) {
                    remote.leave();
                }
                continue;
            }
            begun(&message, &under_way);
            let begins = message["method"] == "initialize" && lock(&version).is_none();
            let (version, under_way) = (&version, &under_way);
            let pass = move || {
                for reply in passed(places, &line, &message, version, under_way) {
                    write_line(&reply.to_string());
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

/// Notes that an answer to a message is under way.
fn begun(message: &Value, under_way: &UnderWay) {
    if !message["id"].is_null() {
        lock(under_way).insert(message["id"].to_string(), None);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_message_or_several() {
        let check = |line: &[u8], expected: Result<usize, i64>| {
            let found = messages_of(line).map(|messages| messages.len());
            let found = found.map_err(|refusal| refusal["error"]["code"].as_i64().unwrap());
            assert_eq!(found, expected, "{}", String::from_utf8_lossy(line));
        };
        check(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, Ok(1));
        check(br#"[{"id":1,"method":"ping"},{"method":"x"}]"#, Ok(2));
        check(b"{bad", Err(NO_JSON));
        check(b"\xff\xfe{}", Err(NO_JSON));
        check(b"[]", Err(NO_MESSAGE));
        check(b"\"x\"", Err(NO_MESSAGE));
        check(br#"{"id":null,"method":"ping"}"#, Err(NO_MESSAGE));
        check(br#"{"id":1.5,"method":"ping"}"#, Err(NO_MESSAGE));
    }

    #[test]
    fn lines_are_read_whatever_their_bytes() {
        let mut input: &[u8] = b"a\n\n \xff\nb";
        assert_eq!(next_line(&mut input).unwrap(), b"a\n");
        assert_eq!(next_line(&mut input).unwrap(), b" \xff\n");
        assert_eq!(next_line(&mut input).unwrap(), b"b");
        assert_eq!(next_line(&mut input), None);
    }
}
