//! The service that holds the data folder, spoken to over its own HTTP API.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::learning::RunBody;
use crate::error::{BadRequest, Failure, Fault, Kind};
use crate::flow::ingest::Report;
use crate::flow::writeback;
use crate::settings::{Places, write_private};
use crate::store::StoreError;
use crate::store::folder::holder;
use crate::store::sources::{Rules, Source};

const FILE: &str = "service.json";

#[derive(Serialize, Deserialize)]
struct Announcement {
    address: SocketAddr,
    pid: u32,
}

/// Leaves in the data folder where the service can be reached.
pub(super) fn announce(home: &Path, address: SocketAddr) -> Result<(), Failure> {
    let path = home.join(FILE);
    let announcement = Announcement {
        address,
        pid: std::process::id(),
    };
    let text = serde_json::to_vec(&announcement).map_err(StoreError::from)?;
    write_private(&path, &text).map_err(|source| StoreError::io(&path, source))?;
    Ok(())
}

/// Did a service say that it is there?
pub(super) fn is_announced(home: &Path) -> bool {
    home.join(FILE).exists()
}

/// Takes it away again.
pub(super) fn withdraw(home: &Path) {
    let _ = std::fs::remove_file(home.join(FILE));
}

/// A running service.
#[derive(Clone)]
pub(super) struct Remote {
    address: SocketAddr,
    token: String,
    agent: ureq::Agent,
    /// For what is answered soon or not at all.
    soon: ureq::Agent,
    /// For what is only looked up or noted.
    brief: ureq::Agent,
    /// Time between looks whether it is still there, while it does what may take hours.
    look: Duration,
}

/// A service that does not say within so long whether it is there is taken for one that is not.
const SOON: Duration = Duration::from_secs(10);

/// A service that lists or notes a source for longer than this hangs.
const BRIEF: Duration = Duration::from_mins(1);

/// Between two looks whether a service that works for long is still there.
const LOOK: Duration = Duration::from_secs(5);

/// One that says nothing at so many looks in a row hangs: after a minute.
const MOST_SILENT: u32 = 4;

/// What is said of a service that hangs where no hint goes with it.
const HANGS: &str = "nothing: it may hang; stop it, then try again";

/// What speaks to the service and waits for it no longer than this.
fn agent(longest: Option<Duration>) -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(5)))
        .timeout_global(longest)
        .proxy(None)
        .build()
        .into()
}

/// What a running service said instead of doing what was asked.
#[derive(Debug, thiserror::Error)]
enum RemoteError {
    #[error("{detail}")]
    Refused {
        status: u16,
        code: &'static str,
        detail: String,
        hint: Option<String>,
    },
    #[error("the running service at {address} does not answer")]
    Silent {
        address: SocketAddr,
        source: Box<ureq::Error>,
    },
}

impl Fault for RemoteError {
    fn kind(&self) -> Kind {
        match self {
            Self::Silent { .. }
            | Self::Refused {
                status: 429 | 503, ..
            } => Kind::NotReady,
            Self::Refused { status: 500.., .. } => Kind::Ours,
            Self::Refused { .. } => Kind::BadInput,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Refused { code, .. } => code,
            Self::Silent { .. } => "service_silent",
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused { hint, .. } => hint.clone(),
            Self::Silent { .. } => Some("it may hang: stop it, then try again".into()),
        }
    }
}

/// Bytes of a reply at most. One may name every file of a large folder.
const MOST_BYTES: u64 = 256 << 20;

fn text_of(mut response: ureq::http::Response<ureq::Body>) -> Result<String, ureq::Error> {
    let body = response.body_mut().with_config();
    body.limit(MOST_BYTES).lossy_utf8(true).read_to_string()
}

/// As the app says it where there is no service.
fn not_utf8(path: &Path) -> Failure {
    let what = format!("the path {} is not valid UTF-8", path.display());
    BadRequest::new("bad_path", what, "rename the folder").into()
}

/// A service of another version may say something else than expected.
fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Failure> {
    Ok(serde_json::from_value(value).map_err(StoreError::from)?)
}

impl Remote {
    /// The service that was announced in the data folder, if the process that did so still holds it:
    /// whoever listens at the address of one that was killed is not to be told the token.
    pub(super) fn find(places: &Places) -> Option<Self> {
        let text = std::fs::read(places.home.join(FILE)).ok()?;
        let announcement: Announcement = serde_json::from_slice(&text).ok()?;
        if holder(&places.home) != Some(announcement.pid) {
            return None;
        }
        let token = std::fs::read_to_string(places.home.join("token")).ok()?;
        Some(Self {
            address: announcement.address,
            token: token.trim().to_owned(),
            agent: agent(None),
            soon: agent(Some(SOON)),
            brief: agent(Some(BRIEF)),
            look: LOOK,
        })
    }

    /// As [`Remote::call_by`], for as long as it takes: what reads files or asks a model may take hours.
    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let work = || self.call_by(&self.agent, (method, path), body);
        self.attended(work).0
    }

    /// Does what may take hours; the requests of `agent` end when the service hangs meanwhile. Says
    /// whether it did.
    fn attended<T>(&self, work: impl FnOnce() -> T) -> (T, bool) {
        std::thread::scope(|scope| {
            let (working, ended) = channel();
            let attending = std::thread::Builder::new()
                .name("coho-attending".into())
                .spawn_scoped(scope, move || self.hangs_before(&ended));
            let done = work();
            drop(working);
            // Without the thread it is waited for without an end.
            let hangs = attending.is_ok_and(|attending| attending.join().unwrap_or(false));
            (done, hangs)
        })
    }

    /// Looks from time to time whether the service is there, until nobody waits any more. One that is
    /// not ends the requests of `agent`.
    fn hangs_before(&self, ended: &Receiver<()>) -> bool {
        let mut silent = 0;
        while ended.recv_timeout(self.look) == Err(RecvTimeoutError::Timeout) {
            silent = if self.is_there() { 0 } else { silent + 1 };
            if silent == MOST_SILENT {
                self.agent.clone().shutdown();
                return true;
            }
        }
        false
    }

    fn call_by(
        &self,
        agent: &ureq::Agent,
        (method, path): (&str, &str),
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let url = format!("http://{}{path}", self.address);
        let bearer = format!("Bearer {}", self.token);
        let response = match (method, body) {
            ("GET", _) => agent.get(&url).header("Authorization", &bearer).call(),
            ("DELETE", _) => agent.delete(&url).header("Authorization", &bearer).call(),
            (_, Some(body)) => {
                let request = agent.post(&url).header("Authorization", &bearer);
                request.send_json(body)
            }
            (_, None) => {
                let request = agent.post(&url).header("Authorization", &bearer);
                request.send_empty()
            }
        };
        let silent = |source: ureq::Error| RemoteError::Silent {
            address: self.address,
            source: Box::new(source),
        };
        let response = response.map_err(silent)?;
        let status = response.status().as_u16();
        let text = text_of(response).map_err(silent)?;
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if status < 400 {
            return Ok(value);
        }
        // What one run of a command is told is few, and lives as long as that.
        let code = value["code"]
            .as_str()
            .map(|code| &*String::leak(code.into()));
        Err(RemoteError::Refused {
            status,
            code: code.unwrap_or("service_refused"),
            detail: value["detail"]
                .as_str()
                .unwrap_or("the service refused")
                .into(),
            hint: value["hint"].as_str().map(ToOwned::to_owned),
        }
        .into())
    }

    /// Does it answer? Whoever does is not told the token for that.
    pub(super) fn is_there(&self) -> bool {
        let asked = self.soon.get(format!("http://{}/healthz", self.address));
        let said = asked.call();
        said.is_ok_and(|response| response.status().is_success())
    }

    /// Does the system keep it from reaching other machines?
    pub(super) fn is_behind_gap(&self) -> Result<bool, Failure> {
        let status = self.call_by(&self.soon, ("GET", "/v1/status"), None)?;
        Ok(status["network"]["enforced"].as_bool().unwrap_or(false))
    }

    /// Ends what is under way: who waits for it hears an error.
    pub(super) fn leave(&self) {
        for agent in [&self.agent, &self.brief] {
            agent.clone().shutdown();
        }
    }

    /// Hands an MCP message over; returns what comes back, and an error where that is nothing that
    /// the protocol knows. `agreed` is the version of the protocol that the client began with.
    pub(super) fn mcp(&self, text: &str, message: &Value, agreed: Option<&str>) -> Vec<Value> {
        let id = &message["id"];
        // Tools may ask a model. All else is looked up.
        let may_take_long = message["method"] == "tools/call";
        let agent = if may_take_long {
            &self.agent
        } else {
            &self.brief
        };
        let mut request = agent
            .post(format!("http://{}/mcp", self.address))
            .header("Authorization", format!("Bearer {}", self.token))
            .header("Content-Type", "application/json")
            .header("Accept", "application/json, text/event-stream");
        // Since 2026-07-28 each message says its version, and headers what it is.
        let own = message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"].as_str();
        if let Some(version) = own.or(agreed) {
            request = request.header("MCP-Protocol-Version", version);
        }
        let mut named = ["name", "uri"].into_iter();
        let named = named.find_map(|key| message["params"][key].as_str());
        let said = [
            ("Mcp-Method", message["method"].as_str()),
            ("Mcp-Name", named),
        ];
        for (header, value) in said.into_iter().filter(|_| own.is_some()) {
            if let Some(value) = value.filter(|value| value.bytes().all(|b| b.is_ascii_graphic())) {
                request = request.header(header, value);
            }
        }
        let mut is_refused = false;
        let exchange = || {
            let response = request.send(text)?;
            is_refused = response.status().is_client_error();
            text_of(response)
        };
        let (said, hangs) = if may_take_long {
            self.attended(exchange)
        } else {
            (exchange(), false)
        };
        let said = match said {
            Ok(text) if text.trim().is_empty() => return Vec::new(),
            Ok(text) => text,
            Err(error) if hangs || matches!(error, ureq::Error::Timeout(_)) => HANGS.into(),
            Err(error) => error.to_string(),
        };
        if let Ok(reply) = serde_json::from_str::<Value>(&said)
            && reply["jsonrpc"].is_string()
        {
            return vec![reply];
        }
        let events = said.lines().filter_map(|line| line.strip_prefix("data:"));
        let replies: Vec<Value> = events
            .filter_map(|data| serde_json::from_str(data).ok())
            .collect();
        if !replies.is_empty() || id.is_null() {
            return replies;
        }
        let problem: Value = serde_json::from_str(&said).unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap_or(&said);
        let error = if is_refused {
            json!({ "code": -32600, "message": detail })
        } else {
            json!({ "code": -32603, "message": format!("the service says: {detail}") })
        };
        vec![json!({ "jsonrpc": "2.0", "id": id, "error": error })]
    }

    pub(super) fn add_source(&self, path: &Path, rules: &Rules) -> Result<Source, Failure> {
        let path = path.to_str().ok_or_else(|| not_utf8(path))?;
        let body = json!({
            "path": path,
            "include": rules.include,
            "exclude": rules.exclude,
            "writeback": rules.writeback,
            "outside": rules.outside,
            "notes": rules.notes,
            "never_leaves": rules.never_leaves,
        });
        read(self.call_by(&self.brief, ("POST", "/v1/sources"), Some(&body))?)
    }

    pub(super) fn write_back(&self, body: &RunBody) -> Result<writeback::Report, Failure> {
        read(self.call("POST", "/v1/writeback", Some(&json!(body)))?)
    }

    pub(super) fn sync(&self, id: i64) -> Result<Report, Failure> {
        read(self.call("POST", &format!("/v1/sources/{id}/sync"), None)?)
    }

    /// All sources, or the one with this number or path.
    pub(super) fn sources(&self, only: Option<&str>) -> Result<Vec<Source>, Failure> {
        let listed = self.call_by(&self.brief, ("GET", "/v1/sources"), None)?;
        let ids = ids_of(&listed["sources"], only);
        if let (Some(name), true) = (only, ids.is_empty()) {
            let name = name.to_owned();
            return Err(StoreError::NoSuchSource { name }.into());
        }
        let sources = listed["sources"].as_array().into_iter().flatten();
        let is_meant = |source: &&Value| source["id"].as_i64().is_some_and(|id| ids.contains(&id));
        let meant = sources.filter(is_meant);
        meant.map(|source| read(source.clone())).collect()
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Removes the source with this number or path; says its number and where it was.
    pub(super) fn remove_source(&self, name: &str) -> Result<(i64, PathBuf), Failure> {
        let named = self.sources(Some(name))?.into_iter().next();
        let source = named.ok_or_else(|| StoreError::NoSuchSource {
            name: name.to_owned(),
        })?;
        let id = source.id.0;
        self.call("DELETE", &format!("/v1/sources/{id}"), None)?;
        Ok((id, source.path))
    }
}

/// Numbers of the sources that the service lists, or of the one with this number or path. Its folder
/// may be gone, or the path lead there by a link.
fn ids_of(listed: &Value, only: Option<&str>) -> Vec<i64> {
    let whole = only.and_then(|name| std::path::absolute(name).ok());
    let leads = only.and_then(|name| Path::new(name).canonicalize().ok());
    let is_it = |source: &&Value, name: &str| {
        let path = source["path"].as_str().map(Path::new);
        let number = name.parse().ok();
        number.is_some() && source["id"].as_i64() == number
            || path.is_some() && (path == whole.as_deref() || path == leads.as_deref())
    };
    let sources = listed.as_array().into_iter().flatten();
    sources
        .filter(|source| only.is_none_or(|name| is_it(source, name)))
        .filter_map(|source| source["id"].as_i64())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_source_is_known_by_its_path_when_its_folder_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().canonicalize().unwrap();
        let gone = there.join("gone");
        let listed = json!([{ "id": 3, "path": there }, { "id": 4, "path": gone }]);
        let check = |name: &Path, expected: &[i64]| {
            assert_eq!(ids_of(&listed, name.to_str()), expected, "{name:?}");
        };
        check(&there, &[3]);
        check(&gone, &[4]);
        check(&there.join("."), &[3]);
        check(Path::new("4"), &[4]);
        check(&there.join("other"), &[]);
        assert_eq!(ids_of(&listed, None), [3, 4]);
    }

    /// A service that is waited for `short` where nothing takes long.
    fn remote(address: SocketAddr, short: Duration) -> Remote {
        Remote {
            address,
            token: String::new(),
            agent: agent(None),
            soon: agent(Some(short)),
            brief: agent(Some(short)),
            look: Duration::from_millis(10),
        }
    }

    const SHORT: Duration = Duration::from_millis(100);

    #[test]
    fn a_service_that_hangs_is_not_waited_for_and_one_that_is_busy_is_no_fault_of_ours() {
        // It takes connections, and says nothing.
        let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = hanging.local_addr().unwrap();
        let remote = remote(address, SHORT);
        assert!(!remote.is_there());
        let check = |failure: Failure| assert_eq!(failure.code(), "service_silent");
        check(remote.is_behind_gap().unwrap_err());
        check(remote.sources(None).unwrap_err());
        let added = remote.add_source(Path::new("/notes"), &Rules::default());
        check(added.unwrap_err());
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
        let replies = remote.mcp(&message.to_string(), &message, None);
        let said = replies[0]["error"]["message"].as_str().unwrap();
        assert!(said.contains("it may hang"), "{said}");
        let check = |status: u16, expected: Kind| {
            let refused = RemoteError::Refused {
                status,
                code: "x",
                detail: String::new(),
                hint: None,
            };
            assert_eq!(refused.kind(), expected, "{status}");
        };
        check(503, Kind::NotReady);
        check(500, Kind::Ours);
        check(404, Kind::BadInput);
    }

    #[test]
    fn what_may_take_hours_ends_when_the_service_hangs() {
        let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = hanging.local_addr().unwrap();
        let check = |failure: Failure| assert_eq!(failure.code(), "service_silent");
        check(remote(address, SHORT).sync(1).unwrap_err());
        let written = remote(address, SHORT).write_back(&RunBody::default());
        check(written.unwrap_err());
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call" });
        let replies = remote(address, SHORT).mcp(&message.to_string(), &message, None);
        let said = replies[0]["error"]["message"].as_str().unwrap();
        assert!(said.contains("it may hang"), "{said}");
    }

    /// Answers one request: at once whether it is there; whatever else is asked, after more looks than one
    /// that hangs is given, and later than what is brief is waited for.
    fn answer(stream: TcpStream, looks: &AtomicU32) -> std::io::Result<()> {
        let begun = Instant::now();
        let mut stream = BufReader::new(stream);
        let mut first = String::new();
        stream.read_line(&mut first)?;
        let mut line = String::new();
        while stream.read_line(&mut line)? > 2 {
            line.clear();
        }
        if first.contains("/healthz") {
            looks.fetch_add(1, Ordering::Relaxed);
        } else {
            let is_early = || looks.load(Ordering::Relaxed) < MOST_SILENT + 2;
            while is_early() || begun.elapsed() < 2 * SHORT {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let said = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
        stream.get_mut().write_all(said)
    }

    #[test]
    fn a_service_that_works_for_long_is_waited_for() {
        let working = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = working.local_addr().unwrap();
        let looks: Arc<AtomicU32> = Arc::default();
        let serve = move || {
            for stream in working.incoming().flatten() {
                let looks = Arc::clone(&looks);
                let one = std::thread::Builder::new().spawn(move || answer(stream, &looks));
                one.unwrap();
            }
        };
        std::thread::Builder::new().spawn(serve).unwrap();
        let remote = Remote {
            // However busy the machine is on which it says that it is there.
            soon: agent(Some(Duration::from_mins(1))),
            ..remote(address, SHORT)
        };
        let said = remote.call("POST", "/v1/sources/1/sync", None);
        assert_eq!(said.unwrap(), json!({}));
    }

    #[test]
    fn a_long_reply_is_read_to_its_end() {
        let long = "a".repeat(11 << 20);
        let body = ureq::Body::builder().data(long.as_str());
        let text = text_of(ureq::http::Response::new(body)).unwrap();
        assert_eq!(text.len(), long.len());
    }
}
