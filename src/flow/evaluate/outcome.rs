//! What came of each question, written down as it comes: a run of hours goes on where it was
//! interrupted, and two runs are compared question by question.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

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
    /// Hash of the set's questions, judgements and documents, as they were.
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

    /// What came of a question before; of a set that was another then, nothing.
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
    std::io::BufRead::read_line(&mut std::io::BufReader::new(file), &mut line).ok()?;
    serde_json::from_str(&line).ok()
}

fn newest(folder: &Path, terms: &Terms) -> Option<Terms> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let heads = entries
        .filter(|entry| entry.path().extension().is_some_and(|end| end == "jsonl"))
        .filter_map(|entry| head(&entry.path()));
    heads
        .filter(|other| other.suite == terms.suite && other.conditions == terms.conditions)
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
}
