//! What came of each question, written down as it comes: a run of hours goes on where it was
//! interrupted, on this machine or on another one, and two runs are compared question by question.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::set::unpacked;
use super::write_whole;
use crate::error::{Failure, Fault, Kind};
use crate::store::StoreError;

/// What came of one question asked in one way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The set.
    pub set: String,
    /// The way: `naive`, `cascade+writeback`, `bm25`.
    pub arm: String,
    /// The question's name in its set.
    pub id: String,
    /// Hash of the set's questions, judgements and documents, as they were; with units, of those, too.
    #[serde(default)]
    pub of: String,
    /// Groups that the question is of, such as `test` or `unanswerable`.
    pub groups: Vec<String>,
    /// The program that asked it.
    pub build: String,
    /// The commit of the checkout that it was run in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Measures, by name; shares from 0 to 1, tokens, joules, milliseconds.
    pub values: BTreeMap<String, f64>,
    /// What the steps of the answer saw, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub seen: BTreeMap<String, f32>,
    /// What was said, without the marks of citations.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub said: String,
}

/// What the outcomes of a log have in common: with another one of these they would be others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The run's name.
    pub run: String,
    /// The suite.
    pub suite: String,
    /// Hash of what outcomes depend on: models, settings, and how is asked and learned.
    pub conditions: String,
    /// When it began, RFC 3339.
    pub started: String,
}

/// Another process runs it.
#[derive(Debug, thiserror::Error)]
#[error("{run} is under way")]
pub struct UnderWay {
    run: String,
}

impl Fault for UnderWay {
    fn kind(&self) -> Kind {
        Kind::Conflict
    }
    fn code(&self) -> &'static str {
        "run_under_way"
    }
    fn hint(&self) -> Option<String> {
        Some("wait until it has ended, or begin another one without --resume".into())
    }
}

/// A file keeps the outcomes of something else.
#[derive(Debug, thiserror::Error)]
#[error("{path} does not keep outcomes of {suite} under these settings and models")]
pub struct OfAnotherRun {
    path: String,
    suite: String,
}

impl Fault for OfAnotherRun {
    fn kind(&self) -> Kind {
        Kind::Conflict
    }
    fn code(&self) -> &'static str {
        "of_another_run"
    }
    fn hint(&self) -> Option<String> {
        Some("name another file with --log: this one stays as it is".into())
    }
}

/// Outcomes of a run, in a file of JSON lines under its terms.
pub struct Log {
    file: File,
    /// Held as long as the log is written.
    _lock: File,
    path: PathBuf,
    terms: Terms,
    known: HashMap<(String, String, String), Outcome>,
    /// In the order in which they came.
    order: Vec<(String, String, String)>,
}

impl Terms {
    /// Are outcomes under the others like those under these?
    fn go_with(&self, other: &Self) -> bool {
        self.suite == other.suite && self.conditions == other.conditions
    }
}

/// How hard outcomes that are handed on are packed: seconds, for what hours went into.
const PACKED: i32 = 19;

fn key(outcome: &Outcome) -> (String, String, String) {
    (outcome.set.clone(), outcome.arm.clone(), outcome.id.clone())
}

impl Log {
    /// Begins a log below `folder`; or, with `resume`, goes on with the newest of the same suite
    /// under the same conditions, whether that came to its end or not.
    ///
    /// # Errors
    /// [`UnderWay`] where another process writes it, [`StoreError::Io`].
    pub fn open(folder: &Path, terms: Terms, resume: bool) -> Result<Self, Failure> {
        std::fs::create_dir_all(folder).map_err(|source| StoreError::io(folder, source))?;
        let earlier = resume.then(|| newest(folder, &terms)).flatten();
        let terms = earlier.unwrap_or_else(|| unused(folder, terms));
        let path = folder.join(format!("{}.jsonl", terms.run));
        let io = |source| StoreError::io(&path, source);
        let lock = File::create(path.with_extension("lock")).map_err(io)?;
        lock.try_lock().map_err(|_| UnderWay {
            run: terms.run.clone(),
        })?;
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(io)?,
        };
        // A line that a crash cut off, within a character maybe, is asked again.
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().skip(1).map(serde_json::from_str::<Outcome>);
        let known: Vec<Outcome> = lines.filter_map(Result::ok).collect();
        // Written beside the old one and put in its place: hours of work are in it.
        let anew = path.with_extension("tmp");
        let mut file = File::create(&anew).map_err(io)?;
        let head = serde_json::to_string(&terms).map_err(StoreError::from)? + "\n";
        file.write_all(head.as_bytes()).map_err(io)?;
        let mut log = Self {
            file,
            _lock: lock,
            path: path.clone(),
            terms,
            known: HashMap::new(),
            order: Vec::new(),
        };
        known
            .into_iter()
            .try_for_each(|outcome| log.push(outcome))?;
        std::fs::rename(&anew, &path).map_err(io)?;
        Ok(log)
    }

    /// Under which terms.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// What came of a question before; of a set, or of units, that were others then, nothing.
    pub fn known(&self, (set, of): (&str, &str), arm: &str, id: &str) -> Option<&Outcome> {
        let known = self
            .known
            .get(&(set.to_owned(), arm.to_owned(), id.to_owned()));
        known.filter(|outcome| outcome.of == of)
    }

    /// Writes an outcome down.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn push(&mut self, outcome: Outcome) -> Result<(), StoreError> {
        let line = serde_json::to_string(&outcome)? + "\n";
        let written = self.file.write_all(line.as_bytes());
        written.map_err(|source| StoreError::io(&self.path, source))?;
        let key = key(&outcome);
        if self.known.insert(key.clone(), outcome).is_none() {
            self.order.push(key);
        }
        Ok(())
    }

    /// Takes in what [`Self::keep`] wrote, on another machine maybe: outcomes that are not known
    /// here. A file that is not there keeps none.
    ///
    /// # Errors
    /// [`OfAnotherRun`] where the file is of another suite, settings or models; [`StoreError::Io`].
    pub fn take(&mut self, path: &Path) -> Result<(), Failure> {
        let io = |source| StoreError::io(path, source);
        let read = match unpacked(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(io)?,
        };
        let mut lines = BufReader::new(read).lines();
        let head = lines.next().transpose().map_err(io)?.unwrap_or_default();
        let same = serde_json::from_str(&head).is_ok_and(|terms| self.terms.go_with(&terms));
        if !same {
            let other = OfAnotherRun {
                path: path.display().to_string(),
                suite: self.terms.suite.clone(),
            };
            return Err(other.into());
        }
        for line in lines {
            let outcome: Outcome =
                serde_json::from_str(&line.map_err(io)?).map_err(StoreError::from)?;
            if !self.known.contains_key(&key(&outcome)) {
                self.push(outcome)?;
            }
        }
        Ok(())
    }

    /// Writes all outcomes to a file that may be handed on: what each question scored, without what
    /// was said. Packed with zstd where its name ends with `.zst`.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn keep(&self, path: &Path) -> Result<(), StoreError> {
        let mut text = serde_json::to_string(&self.terms)? + "\n";
        for outcome in self.outcomes() {
            let said = String::new();
            let outcome = Outcome {
                said,
                ..outcome.clone()
            };
            text += &(serde_json::to_string(&outcome)? + "\n");
        }
        let mut bytes = text.into_bytes();
        if path.extension().is_some_and(|end| end == "zst") {
            let packed = zstd::encode_all(bytes.as_slice(), PACKED);
            bytes = packed.map_err(|source| StoreError::io(path, source))?;
        }
        write_whole(path, &bytes)
    }

    /// All of them, in the order in which they came.
    pub fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.order.iter().map(|key| &self.known[key])
    }
}

/// The terms under a name that no log has: two runs may begin in one second.
fn unused(folder: &Path, mut terms: Terms) -> Terms {
    let name = terms.run.clone();
    let mut number = 1;
    while folder.join(format!("{}.jsonl", terms.run)).exists() {
        number += 1;
        terms.run = format!("{name}-{number}");
    }
    terms
}

/// The terms at the head of a log.
fn head(path: &Path) -> Option<Terms> {
    let file = File::open(path).ok()?;
    let mut line = String::new();
    BufReader::new(file).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

fn newest(folder: &Path, terms: &Terms) -> Option<Terms> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let heads = entries
        .filter(|entry| entry.path().extension().is_some_and(|end| end == "jsonl"))
        .filter_map(|entry| head(&entry.path()));
    heads
        .filter(|other| terms.go_with(other))
        .max_by(|a, b| a.started.cmp(&b.started))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(run: &str, conditions: &str) -> Terms {
        Terms {
            run: run.into(),
            suite: "smoke".into(),
            conditions: conditions.into(),
            started: format!("2026-11-24T00:00:0{}Z", run.len()),
        }
    }

    fn outcome(arm: &str, id: &str) -> Outcome {
        Outcome {
            set: "set".into(),
            arm: arm.into(),
            id: id.into(),
            ..Outcome::default()
        }
    }

    #[test]
    fn a_run_goes_on_where_it_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path(), terms("a", "x"), false).unwrap();
        log.push(outcome("naive", "1")).unwrap();
        log.push(outcome("cascade", "1")).unwrap();
        drop(log);
        let path = folder.path().join("a.jsonl");
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"{\"set\":\"set\",\"arm\":\"\xc3").unwrap();
        let mut log = Log::open(folder.path(), terms("bb", "x"), true).unwrap();
        let other = Log::open(folder.path(), terms("bb", "x"), true)
            .err()
            .unwrap();
        assert_eq!(other.code(), "run_under_way");
        assert_eq!(log.terms().run, "a");
        assert_eq!(log.outcomes().count(), 2);
        assert!(log.known(("set", ""), "naive", "1").is_some());
        assert!(log.known(("set", ""), "naive", "2").is_none());
        assert!(log.known(("set", "edited"), "naive", "1").is_none());
        log.push(outcome("naive", "2")).unwrap();
        drop(log);
        let log = Log::open(folder.path(), terms("ccc", "x"), true).unwrap();
        let ids: Vec<&str> = log.outcomes().map(|o| o.id.as_str()).collect();
        assert_eq!(ids, ["1", "1", "2"]);
        drop(log);
        // Under other conditions, or when it is not to go on, it is another run.
        let other = Log::open(folder.path(), terms("dddd", "y"), true).unwrap();
        assert_eq!(
            (other.terms().run.as_str(), other.outcomes().count()),
            ("dddd", 0)
        );
        let anew = Log::open(folder.path(), terms("a", "x"), false).unwrap();
        assert_eq!(
            (anew.terms().run.as_str(), anew.outcomes().count()),
            ("a-2", 0)
        );
    }
    #[test]
    fn a_run_goes_on_on_another_machine() {
        let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let [here, there] = &folders;
        for name in ["kept.jsonl", "kept.jsonl.zst"] {
            let kept = here.path().join(name);
            let mut log = Log::open(here.path(), terms("a", "x"), false).unwrap();
            log.take(&kept).unwrap();
            let said = "from the notes".to_owned();
            log.push(Outcome {
                said,
                ..outcome("naive", "1")
            })
            .unwrap();
            log.keep(&kept).unwrap();
            let mut log = Log::open(there.path(), terms("bb", "x"), false).unwrap();
            let asked_again = Outcome {
                build: "newer".into(),
                ..outcome("naive", "1")
            };
            log.push(asked_again.clone()).unwrap();
            log.push(outcome("naive", "2")).unwrap();
            log.take(&kept).unwrap();
            let all: Vec<&Outcome> = log.outcomes().collect();
            assert_eq!(all, [&asked_again, &outcome("naive", "2")], "{name}");
            let mut empty = Log::open(there.path(), terms("ccc", "x"), false).unwrap();
            empty.take(&kept).unwrap();
            let all: Vec<&Outcome> = empty.outcomes().collect();
            assert_eq!(all, [&outcome("naive", "1")], "{name}");
            // Of other settings: neither taken nor written over.
            let mut other = Log::open(there.path(), terms("dddd", "y"), false).unwrap();
            let refused = other.take(&kept).err().unwrap();
            assert_eq!(refused.code(), "of_another_run");
            assert_eq!(other.outcomes().count(), 0);
        }
    }
}
