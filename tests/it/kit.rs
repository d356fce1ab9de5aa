//! What the tests share: a private home, the binary in it, a running service, waiting without
//! sleeping blindly, and a check of JSON against a schema.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime};

use coho::app::App;
use coho::settings::{Places, Settings};
use coho::store::Access;
use serde_json::Value;

/// A data folder, a settings file and a folder of notes of one test's own.
pub struct Home {
    folder: tempfile::TempDir,
}

/// What a run of the binary gave.
#[must_use = "a run is there to be looked at"]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    #[track_caller]
    #[must_use = "use `done` when only success matters"]
    pub fn ok(self) -> Self {
        assert_eq!(
            self.code, 0,
            "stdout: {}\nstderr: {}",
            self.stdout, self.stderr
        );
        self
    }

    #[track_caller]
    pub fn done(self) {
        let _ = self.ok();
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("{e}: {}\n{}", self.stdout, self.stderr))
    }
}

/// Where `make models` puts the models.
pub fn models_folder() -> PathBuf {
    let set = std::env::var_os("COHO_MODELS").map(PathBuf::from);
    let cache = || {
        let folders = directories::ProjectDirs::from("", "", "coho").unwrap();
        folders.cache_dir().join("models")
    };
    let folder = set.unwrap_or_else(cache);
    assert!(
        folder.join("all-minilm-l6-v2/model.json").exists(),
        "the default models are not in {}: run `make models`",
        folder.display()
    );
    folder
}

impl Home {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("notes")).unwrap();
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder of notes.
    pub fn notes(&self) -> PathBuf {
        self.path("notes")
    }

    pub fn write(&self, note: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.notes().join(note);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coho"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("COHO_HOME", self.path("home"))
            .env("COHO_CONFIG", self.path("config.toml"))
            .env("COHO_MODELS", models_folder())
            // Somebody may use coho on this machine, and `coho doctor` tries the port.
            .env("COHO_SERVE_LISTEN", "127.0.0.1:0")
            // A file that is read slowly because the machine is busy is no file that takes too long.
            .env("COHO_EXTRACT_TIMEOUT_S", "180")
            // Joules may be those of the whole machine, and seconds pass while other tests run.
            .env("COHO_WRITEBACK_DAY_S", "86400")
            .env("COHO_WRITEBACK_DAY_JOULES", "1000000000.0")
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(&[], arguments)
    }

    /// With these variables of the environment, too.
    pub fn run_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
        let mut command = self.command();
        command.args(arguments).envs(variables.iter().copied());
        ran(command.output().unwrap())
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        let mut all = arguments.to_vec();
        all.push("--json");
        self.run(&all).ok().json()
    }

    /// Adds the folder of notes and reads it.
    pub fn add(&self) -> Value {
        self.json(&["add", self.notes().to_str().unwrap()])
    }

    /// Paths below the folder of notes that a search finds, best first.
    pub fn found(&self, query: &str) -> Vec<String> {
        paths_below(&self.notes(), &self.json(&["search", query])["hits"])
    }

    /// What could not be read: paths below the folder of notes, and why.
    pub fn problems(&self) -> Vec<(String, String)> {
        let listed = self.json(&["status", "--problems"])["problems"].take();
        let paths = paths_below(&self.notes(), &listed);
        let reasons = listed.as_array().unwrap().iter();
        let reasons = reasons.map(|p| p["reason"].as_str().unwrap().to_owned());
        paths.into_iter().zip(reasons).collect()
    }

    /// What `coho verify` finds; exit code 1 when something differs.
    pub fn verify(&self) -> Value {
        self.run(&["verify", "--json"]).json()
    }

    /// The hash of all that is visible, once everything agrees.
    #[track_caller]
    pub fn fingerprint(&self) -> String {
        let verdict = self.verify();
        assert_eq!(verdict["ok"], true, "{verdict:#}");
        verdict["fingerprint"].as_str().unwrap().to_owned()
    }

    /// A folder of models with a second embedding model, which is the first under another name.
    pub fn two_embedders(&self) -> PathBuf {
        let folder = self.path("models");
        let real = models_folder();
        let other = folder.join("second");
        fs::create_dir_all(&other).unwrap();
        for entry in fs::read_dir(&real).unwrap() {
            let entry = entry.unwrap();
            link(&entry.path(), &folder.join(entry.file_name()));
        }
        let first = real.join("all-minilm-l6-v2");
        for entry in fs::read_dir(&first).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name() != "model.json" {
                link(&entry.path(), &other.join(entry.file_name()));
            }
        }
        let record = fs::read_to_string(first.join("model.json")).unwrap();
        let record = record.replace("\"all-minilm-l6-v2\"", "\"second\"");
        fs::write(other.join("model.json"), record).unwrap();
        folder
    }

    pub fn serve(&self) -> Service {
        self.serve_with(&[])
    }

    pub fn serve_with(&self, variables: &[(&str, &str)]) -> Service {
        let log = fs::File::create(self.path("service.log")).unwrap();
        self.serve_into(variables, log.into())
    }

    /// With its log going somewhere else than into `service.log`.
    pub fn serve_into(&self, variables: &[(&str, &str)], stderr: Stdio) -> Service {
        self.service(self.start(variables, stderr))
    }

    /// Starts a service and does not wait for it.
    pub fn start(&self, variables: &[(&str, &str)], stderr: Stdio) -> Child {
        self.command()
            .args(["serve", "--listen", "127.0.0.1:0", "--json"])
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap()
    }

    /// The service in a process that was started, once it is ready.
    pub fn service(&self, mut child: Child) -> Service {
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let hello = hello(&mut stdout, &self.path("service.log"));
        let token = fs::read_to_string(hello["token_file"].as_str().unwrap()).unwrap();
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_mins(10)))
            .build();
        let service = Service {
            address: hello["address"].as_str().unwrap().to_owned(),
            token,
            agent: config.into(),
            child,
            _stdout: stdout,
        };
        wait_for("the service is ready", || service.get("/readyz").0 == 200);
        service
    }
}

/// A knowledge base without a language model, in this process.
pub fn open(home: &Home, change: impl FnOnce(&mut Settings)) -> App {
    let places = Places {
        home: home.path("home"),
        config: home.path("config.toml"),
        models: models_folder(),
    };
    let mut settings = Settings::default();
    settings.models.generator = "none".into();
    // As the binary is told, above.
    settings.writeback.day_s = 86_400;
    settings.writeback.day_joules = 1e9;
    change(&mut settings);
    App::open(settings, places, Access::Write).unwrap()
}

/// Reads all its sources.
pub fn sync(app: &App) {
    for status in app.sources().unwrap() {
        let stop = AtomicBool::new(false);
        app.ingest.sync(&status.source, &|_| {}, &stop).unwrap();
    }
}

/// A number that the environment may set.
pub fn number(variable: &str, otherwise: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.map_or(otherwise, |text| text.parse().unwrap())
}

/// All files below a folder, by their paths.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn link(from: &Path, to: &Path) {
    #[cfg(unix)]
    std::os::unix::fs::symlink(from, to).unwrap();
    #[cfg(not(unix))]
    fs::copy(from, to).map(drop).unwrap();
}

/// Random numbers that are the same for the same seed (`SplitMix64`).
pub struct Dice(pub u64);

impl Dice {
    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

/// Does something at random to the files of a folder; names and words come from small stocks, so
/// that files collide, move onto each other and come back.
pub fn disturb(folder: &Path, dice: &mut Dice) {
    let names = [
        "a.md", "b.md", "c.txt", "d/e.md", "d/f.md", "g/h/i.md", "j.org", "k.csv",
    ];
    let words = ["quartz", "heron", "lathe", "moss", "anvil", "ferry"];
    let path = folder.join(dice.pick(&names));
    let other = folder.join(dice.pick(&names));
    let parent = |path: &Path| fs::create_dir_all(path.parent().unwrap());
    let mut text = format!("# {}\n\n", dice.pick(&words));
    for _ in 0..=dice.below(3) {
        text.push_str(&format!(
            "The {} is near the {}.\n\n",
            dice.pick(&words),
            dice.pick(&words)
        ));
    }
    // Any of these may fail because of what was done before; that is part of it.
    let _ = match dice.below(9) {
        0..=2 => parent(&path).and_then(|()| fs::write(&path, text)),
        // As editors save.
        3 => parent(&path).and_then(|()| {
            let draft = path.with_extension("tmp");
            fs::write(&draft, text).and_then(|()| fs::rename(&draft, &path))
        }),
        4 => fs::remove_file(&path),
        5 => parent(&other).and_then(|()| fs::rename(&path, &other)),
        6 => fs::rename(folder.join("d"), folder.join("g/d")),
        7 => fs::remove_dir_all(folder.join("g")),
        // The same size, and perhaps the same tick of the clock.
        _ => fs::read(&path).and_then(|mut bytes| {
            bytes.reverse();
            fs::write(&path, bytes)
        }),
    };
}

fn hello(stdout: &mut BufReader<ChildStdout>, log: &Path) -> Value {
    let mut text = String::new();
    loop {
        if stdout.read_line(&mut text).unwrap() == 0 {
            let said = fs::read_to_string(log).unwrap_or_default();
            panic!("the service did not start: {said}");
        }
        if let Ok(hello) = serde_json::from_str(&text) {
            return hello;
        }
    }
}

/// What a run gave, as text.
pub fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

pub fn paths_below(folder: &Path, hits: &Value) -> Vec<String> {
    let folder = folder.canonicalize().unwrap();
    let path = |hit: &Value| {
        let path = PathBuf::from(hit["path"].as_str().unwrap());
        path.strip_prefix(&folder)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    hits.as_array().unwrap().iter().map(path).collect()
}

/// Says that a test did nothing, past what keeps the words of tests that pass. It is none that can be
/// expected everywhere: containers and accounts differ in what they may do.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "\nSKIPPED {name}: {why}");
}

/// How long something is waited for that is sure to come: other tests run beside this one, and the
/// machine may have other things to do.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Asks again until it holds; panics when that takes longer than [`PATIENCE`].
#[track_caller]
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits for the next day (UTC) where this one is about to end: what is counted by the day is counted in
/// one.
pub fn within_one_day() {
    const DAY: Duration = Duration::from_hours(24);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let left = DAY.as_secs() - now.unwrap().as_secs() % DAY.as_secs();
    if left < PATIENCE.as_secs() {
        std::thread::sleep(Duration::from_secs(left));
    }
}

/// A running service; killed when dropped.
pub struct Service {
    pub address: String,
    pub token: String,
    pub agent: ureq::Agent,
    pub child: Child,
    _stdout: BufReader<ChildStdout>,
}

impl Service {
    pub fn get(&self, path: &str) -> (u16, Value) {
        let request = self.agent.get(format!("{}{path}", self.address));
        answer(
            request
                .header("Authorization", format!("Bearer {}", self.token))
                .call(),
        )
    }

    pub fn delete(&self, path: &str) -> (u16, Value) {
        let request = self.agent.delete(format!("{}{path}", self.address));
        answer(
            request
                .header("Authorization", format!("Bearer {}", self.token))
                .call(),
        )
    }

    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.agent.post(format!("{}{path}", self.address));
        answer(
            request
                .header("Authorization", format!("Bearer {}", self.token))
                .send_json(body),
        )
    }

    pub fn patch(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.agent.patch(format!("{}{path}", self.address));
        answer(
            request
                .header("Authorization", format!("Bearer {}", self.token))
                .send_json(body),
        )
    }

    /// Paths that a search finds, best first.
    pub fn found(&self, notes: &Path, query: &str) -> Vec<String> {
        let (status, body) = self.post("/v1/search", &serde_json::json!({ "query": query }));
        assert_eq!(status, 200, "{body}");
        paths_below(notes, &body["hits"])
    }

    /// Text of the best hit.
    pub fn best(&self, query: &str) -> String {
        let (_, body) = self.post("/v1/search", &serde_json::json!({ "query": query }));
        body["hits"][0]["text"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// A connection of its own, on which nothing is waited for longer than [`PATIENCE`].
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address.trim_start_matches("http://")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends bytes as they are; what comes back until the other side closes.
    pub fn raw(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        // It may be closed before all is sent.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Asks it to stop and returns its exit code.
    pub fn stop(mut self) -> i32 {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The status of a response, and its JSON, or its text where it is none.
pub fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, Value) {
    let mut response = response.unwrap();
    let text = response.body_mut().read_to_string().unwrap();
    let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    (response.status().as_u16(), value)
}

/// Name and data of each server-sent event.
pub fn events(stream: impl Read) -> Vec<(String, Value)> {
    let (mut name, mut events) = (String::new(), Vec::new());
    for line in BufReader::new(stream).lines().map(Result::unwrap) {
        if let Some(event) = line.strip_prefix("event: ") {
            event.clone_into(&mut name);
        } else if let Some(data) = line.strip_prefix("data: ") {
            events.push((name.clone(), serde_json::from_str(data).unwrap()));
        }
    }
    events
}

/// Checks `value` against what schemars writes: types, required and additional properties,
/// references, alternatives, enumerations, array items. Returns what does not fit.
///
/// The validators of the registry switch on features of crates below LanceDB, so that `make test`
/// would build all of it a second time.
pub fn misfits(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    fit(schema, schema, value, "$", &mut found);
    found
}

fn fit(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#')).unwrap();
        fit(root, target, value, at, found);
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(choices) = schema[key].as_array() {
            let fits = |choice: &&Value| {
                let mut misfits = Vec::new();
                fit(root, choice, value, at, &mut misfits);
                misfits.is_empty()
            };
            if !choices.iter().any(|choice| fits(&choice)) {
                found.push(format!("{at}: fits none of {key}"));
            }
        }
    }
    if let Some(expected) = schema.get("const")
        && expected != value
    {
        found.push(format!("{at}: {value} is not {expected}"));
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        found.push(format!("{at}: {value} is not one of {allowed:?}"));
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !types.is_empty() && !types.iter().any(|name| is_type(name, value)) {
        found.push(format!("{at}: {value} is not of type {types:?}"));
    }
    if let (Some(object), Some(properties)) = (value.as_object(), schema["properties"].as_object())
    {
        for name in schema["required"].as_array().into_iter().flatten() {
            if !object.contains_key(name.as_str().unwrap()) {
                found.push(format!("{at}: {name} is missing"));
            }
        }
        for (name, inner) in object {
            match properties.get(name) {
                Some(schema) => fit(root, schema, inner, &format!("{at}.{name}"), found),
                None if schema["additionalProperties"] == false => {
                    found.push(format!("{at}: {name} is not expected"));
                }
                None => {}
            }
        }
    }
    if let (Some(items), true) = (value.as_array(), schema["items"].is_object()) {
        for (i, item) in items.iter().enumerate() {
            fit(root, &schema["items"], item, &format!("{at}[{i}]"), found);
        }
    }
}

fn is_type(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => false,
    }
}

/// A server on this machine that says to everybody what `answer` makes of their request. Gives its
/// address.
pub fn server(mut answer: impl FnMut(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let serve = move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = request_of(&mut stream);
            let _ = stream.write_all(answer(&request).as_bytes());
        }
    };
    std::thread::Builder::new().spawn(serve).unwrap();
    address
}

/// Reads a request whose body is JSON, up to its end or until the other side has gone.
pub fn request_of(stream: &mut impl Read) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    let whole = |request: &[u8]| {
        let request = String::from_utf8_lossy(request);
        let body = request.split_once("\r\n\r\n").map(|(_, body)| body);
        body.is_some_and(|body| serde_json::from_str::<Value>(body).is_ok())
    };
    while !whole(&request) {
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => request.extend_from_slice(&buffer[..read]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&request).into_owned()
}
