//! What evaluations leave on this machine, and how it goes: copies of the sets' documents, knowledge
//! bases of them, runs and results. Sets of the owner's own notes make it a second copy of those.
//!
//! That a question was asked stays known, as a hash: nothing may be learned of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::evaluation::file_name;
use crate::error::{BadRequest, Failure};
use crate::settings::Places;
use crate::store::StoreError;
use crate::store::folder::holder;

/// Folders that belong to no set.
const SHARED: [&str; 3] = ["runs", "results", "built-in"];

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Cleared {
    /// Folders: knowledge bases, and copies of documents.
    pub folders: Vec<PathBuf>,
    /// Names of runs, with their results.
    pub runs: Vec<String>,
}

/// Removes what evaluations of a set left behind, or of all sets. A set is told by its name, or by
/// the folder that it was read from.
///
/// # Errors
/// [`BadRequest`] where nothing is left of this set, [`StoreError::InUse`] while it is evaluated, or
/// what the file system says.
pub fn remove(places: &Places, set: Option<&str>) -> Result<Cleared, Failure> {
    let eval = places.home.join("eval");
    let Some(set) = set else {
        return clear(&eval, None);
    };
    let last = Path::new(set).file_name();
    let last = last.map(|name| name.to_string_lossy().into_owned());
    for name in [Some(file_name(set)), last].into_iter().flatten() {
        let cleared = clear(&eval, Some(&name))?;
        if cleared != Cleared::default() {
            return Ok(cleared);
        }
    }
    let mut known: Vec<String> = set_folders(&eval).map(|(name, _)| name).collect();
    known.retain(|name| !name.ends_with("-notes") && !name.ends_with("-writeback"));
    known.sort();
    let hint = match known.as_slice() {
        [] => "there is nothing of any set".to_owned(),
        names => format!("there is something of {}", names.join(", ")),
    };
    let what = format!("nothing is left of a set {set}");
    Err(BadRequest::new("no_such_set", what, hint).into())
}

fn clear(eval: &Path, set: Option<&str>) -> Result<Cleared, Failure> {
    let is_of = |folder: &str| {
        set.is_none_or(|set| {
            let rest = folder.strip_prefix(set);
            rest.is_some_and(|rest| matches!(without_root(rest), "" | "-notes" | "-writeback"))
        })
    };
    let folders = set_folders(eval).filter(|(name, _)| is_of(name));
    let folders: Vec<PathBuf> = folders.map(|(_, path)| path).collect();
    // Before anything goes.
    for folder in &folders {
        if let Some(pid) = holder(folder) {
            return Err(StoreError::InUse {
                home: folder.clone(),
                pid: pid.to_string(),
            }
            .into());
        }
    }
    for folder in &folders {
        fs::remove_dir_all(folder).map_err(|source| StoreError::io(folder, source))?;
    }
    let mut runs = BTreeSet::new();
    for below in ["runs", "results"] {
        let paths = files(&eval.join(below));
        let of_set = paths.iter().filter(|path| asked(path, set));
        runs.extend(of_set.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())));
    }
    for run in &runs {
        for name in ["jsonl", "lock", "tmp"].map(|end| format!("runs/{run}.{end}")) {
            discard(&eval.join(name))?;
        }
        discard(&eval.join(format!("results/{run}.json")))?;
    }
    Ok(Cleared {
        folders,
        runs: runs.into_iter().collect(),
    })
}

/// What stands behind a set's name in that of its folder, without the hash of a folder of notes.
fn without_root(rest: &str) -> &str {
    let (hash, behind) = rest.split_at_checked(9).unwrap_or(("", rest));
    let root = hash.strip_prefix('-');
    let is_hash = root.is_some_and(|root| root.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if is_hash { behind } else { rest }
}

fn discard(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::io(path, error))
        }
        _ => Ok(()),
    }
}

/// Folders of sets, with their names.
fn set_folders(eval: &Path) -> impl Iterator<Item = (String, PathBuf)> + use<> {
    let entries = fs::read_dir(eval).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let named = folders.map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, entry.path())
    });
    named.filter(|(name, _)| !SHARED.contains(&name.as_str()))
}

/// Logs and results in a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let is_one = |path: &PathBuf| {
        let end = path.extension();
        end.is_some_and(|end| end == "jsonl" || end == "json")
    };
    paths.filter(is_one).collect()
}

/// Did this run ask the set, and no other? Its log says so of each question, its result of the whole.
fn asked(path: &Path, set: Option<&str>) -> bool {
    let Some(set) = set else {
        return true;
    };
    let text = fs::read_to_string(path).unwrap_or_default();
    let is_it = |name: &Value| name.as_str().is_some_and(|name| file_name(name) == set);
    if path.extension().is_some_and(|end| end == "json") {
        let result: Value = serde_json::from_str(&text).unwrap_or_default();
        let sets = result["sets"].as_array();
        return sets.is_some_and(|sets| sets.iter().all(|set| is_it(&set["name"])));
    }
    let lines = text.lines().flat_map(serde_json::from_str::<Value>);
    let mut asked = lines.filter(|line| line["set"].is_string()).peekable();
    asked.peek().is_some() && asked.all(|line| is_it(&line["set"]))
}
