//! Suites: which sets are asked, in which ways, and how many questions. A suite is a TOML file; those
//! of `eval/suites` are built in.

use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answers::Method;
use super::learning::Variant;
use super::set::{self, Place};
use crate::error::{BadRequest, nearest};
use crate::store::StoreError;

static SUITES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/eval/suites");
static SMOKE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/eval/smoke");
static VAULT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/eval/vault");

/// The owner's past questions; not a file.
pub const OWN: &str = "own";

/// What is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// What it is for.
    pub about: String,
    /// The sets.
    pub sets: Vec<SetName>,
    /// Whether the rankings are measured: words, vectors, both by rank, coho's own.
    #[serde(default)]
    pub ranking: bool,
    /// Ways to answer; `naive`, or else the first, is what the others are compared with.
    #[serde(default)]
    pub strategies: Vec<Method>,
    /// Which units are put in use, each against none.
    #[serde(default)]
    pub units: Vec<Variant>,
    /// Questions of each group of a set at most.
    #[serde(default)]
    pub limit: Option<usize>,
    /// As `limit`, for ways to answer that ask the language model.
    #[serde(default)]
    pub limit_model: Option<usize>,
    /// Questions that units are learned from at most.
    #[serde(default)]
    pub learn: Option<usize>,
    /// Questions that units were learned from and that are asked again, word by word, at most; none
    /// unless it is told.
    #[serde(default)]
    pub again: Option<usize>,
    /// Only questions of this split, in sets that have it.
    #[serde(default)]
    pub split: Option<String>,
    /// Passages looked at.
    #[serde(default = "five")]
    pub k: usize,
    /// Where all dice begin: which questions are asked, and the intervals.
    #[serde(default)]
    pub seed: u64,
    /// Where the file lies; its sets may be told from there.
    #[serde(skip)]
    folder: PathBuf,
}

fn five() -> usize {
    5
}

/// How a suite names a set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SetName {
    /// A folder below the evaluation data or beside the suite.
    Named(String),
    /// Notes, with their questions elsewhere; both are told from where the suite lies.
    Notes {
        /// What it is called.
        name: String,
        /// The folder of the notes.
        notes: PathBuf,
        /// The file of the questions.
        questions: PathBuf,
    },
}

impl SetName {
    /// What the set is called.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Named(name) | Self::Notes { name, .. } => name,
        }
    }
}

/// Who publishes a set.
#[derive(Deserialize)]
struct Publisher {
    page: String,
    import: String,
}

impl Suite {
    /// A suite by the name of one that is built in, by its file, or by a folder that holds one set,
    /// of which the rankings and the default strategy are then measured. What is built in is
    /// written below `home`, so that its notes are files.
    ///
    /// # Errors
    /// [`BadRequest`] that says what there is, [`StoreError::Io`].
    pub fn find(name: &str, home: &Path) -> Result<Self, crate::error::Failure> {
        let path = Path::new(name);
        let built_in = SUITES.get_file(format!("{name}.toml"));
        if built_in.is_none() && path.is_dir() {
            return Ok(Self::of_folder(path)?);
        }
        if path.extension().is_some_and(|end| end == "toml") {
            let text = std::fs::read_to_string(path).map_err(|error| bad_suite(path, error))?;
            let folder = path.parent().unwrap_or(Path::new("")).to_owned();
            return Ok(Self::parse(&text, path, folder)?);
        }
        let Some(text) = built_in.and_then(|file| file.contents_utf8()) else {
            return Err(unknown(name).into());
        };
        let folder = home.join("eval/built-in");
        for (dir, below) in [(&SUITES, "suites"), (&SMOKE, "smoke"), (&VAULT, "vault")] {
            lay_out(dir, &folder.join(below))?;
        }
        Ok(Self::parse(text, path, folder.join("suites"))?)
    }

    fn parse(text: &str, path: &Path, folder: PathBuf) -> Result<Self, BadRequest> {
        let mut suite: Self = toml::from_str(text).map_err(|error| bad_suite(path, error))?;
        suite.name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        suite.folder = folder;
        if !suite.ranking && suite.strategies.is_empty() {
            return Err(bad_suite(
                path,
                "it measures neither ranking nor strategies",
            ));
        }
        Ok(suite)
    }

    fn of_folder(folder: &Path) -> Result<Self, BadRequest> {
        let whole = folder
            .canonicalize()
            .map_err(|error| bad_suite(folder, error))?;
        let name = whole.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self {
            name: name.clone().into_owned(),
            about: format!("the questions of {}", whole.display()),
            sets: vec![SetName::Named(name.into_owned())],
            ranking: true,
            strategies: vec![Method::Extractive, Method::Cascade],
            units: Vec::new(),
            limit: None,
            limit_model: None,
            learn: None,
            again: None,
            split: None,
            k: five(),
            seed: 0,
            folder: whole.parent().unwrap_or(&whole).to_owned(),
        })
    }

    /// The suites that are built in, but for [`OWN`].
    pub fn built_in() -> Vec<Self> {
        let files = SUITES.files().filter_map(|file| {
            let text = file.contents_utf8()?;
            Self::parse(text, file.path(), PathBuf::new()).ok()
        });
        let mut suites: Vec<Self> = files.collect();
        suites.sort_by(|a, b| a.name.cmp(&b.name));
        suites
    }

    /// Where a set lies: told from the suite, or else below `data`.
    ///
    /// # Errors
    /// [`BadRequest`] that says who publishes it and how it is put in place.
    pub fn place(&self, set: &SetName, data: Option<&Path>) -> Result<Place, BadRequest> {
        let name = match set {
            SetName::Notes {
                notes, questions, ..
            } => {
                let there = |below: &Path| self.folder.join(below);
                return Ok(Place::Notes {
                    notes: there(notes),
                    questions: there(questions),
                });
            }
            SetName::Named(name) => name,
        };
        let beside = Some(self.folder.join(name)).filter(|folder| set::is_set(folder));
        let below = || data.map(|data| data.join(name)).filter(|f| set::is_set(f));
        let found = beside.or_else(below);
        found.map(Place::Folder).ok_or_else(|| missing(name, data))
    }
}

fn missing(name: &str, data: Option<&Path>) -> BadRequest {
    let known: std::collections::HashMap<String, Publisher> =
        toml::from_str(include_str!("../../../eval/sets.toml")).expect("the file is checked");
    let place = data.map_or_else(
        || format!("FOLDER/eval/{name} and set COHO_EVAL_DATA=FOLDER"),
        |data| data.join(name).display().to_string(),
    );
    let how = known.get(name).map_or_else(
        || format!("put a set in BEIR's or FlashRAG's layout into {place}"),
        |set| {
            format!(
                "its makers publish it at {}; {}, into {place}",
                set.page, set.import
            )
        },
    );
    BadRequest::new(
        "no_evaluation_set",
        format!("the evaluation set {name} is not on this machine"),
        how,
    )
}

fn unknown(name: &str) -> BadRequest {
    let mut names: Vec<String> = Suite::built_in().into_iter().map(|s| s.name).collect();
    names.push(OWN.to_owned());
    let near = nearest(name, names.iter().map(String::as_str));
    let meant = near.map_or(String::new(), |near| format!("did you mean `{near}`? "));
    BadRequest::new(
        "no_such_suite",
        format!("there is no suite {name}"),
        format!(
            "{meant}there are {}; a file (.toml) or a folder with a set will do as well",
            names.join(", ")
        ),
    )
}

fn bad_suite(path: &Path, reason: impl std::fmt::Display) -> BadRequest {
    BadRequest::new(
        "bad_suite",
        format!("{}: {reason}", path.display()),
        "`coho eval list` shows the suites; eval/suites/smoke.toml is a short one to begin from",
    )
}

/// Writes what is built in as files, where they are not so already.
fn lay_out(dir: &Dir<'_>, folder: &Path) -> Result<(), StoreError> {
    let io = |source| StoreError::io(folder, source);
    std::fs::create_dir_all(folder).map_err(io)?;
    for file in dir.files() {
        let path = folder.join(file.path().file_name().unwrap_or_default());
        if std::fs::read(&path).ok().as_deref() != Some(file.contents()) {
            std::fs::write(&path, file.contents()).map_err(io)?;
        }
    }
    for below in dir.dirs() {
        lay_out(
            below,
            &folder.join(below.path().file_name().unwrap_or_default()),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_in_can_be_read() {
        let suites = Suite::built_in();
        let names: Vec<&str> = suites.iter().map(|suite| suite.name.as_str()).collect();
        assert_eq!(names.len(), SUITES.files().count());
        for name in ["answers", "paper", "retrieval", "smoke", "writeback"] {
            assert!(names.contains(&name), "{names:?}");
        }
        let home = tempfile::tempdir().unwrap();
        let smoke = Suite::find("smoke", home.path()).unwrap();
        let place = smoke.place(&smoke.sets[0], None).unwrap();
        let set = set::EvaluationSet::read(&place, "smoke", None).unwrap();
        assert_eq!(set.questions.len() + set.unanswerable.len(), 60);
    }

    #[test]
    fn what_is_not_there_is_told_with_where_it_is_published() {
        let home = tempfile::tempdir().unwrap();
        let suite = Suite::find("retrieval", home.path()).unwrap();
        let set = SetName::Named("scifact".into());
        let error = suite.place(&set, Some(home.path())).err().unwrap();
        let failure = crate::error::Failure::from(error);
        assert!(failure.hint().unwrap().contains("beir"), "{failure:?}");
        let error = Suite::find("retrievel", home.path()).err().unwrap();
        assert!(error.hint().unwrap().contains("did you mean `retrieval`"));
        let file = home.path().join("mine.toml");
        std::fs::write(&file, "about = \"x\"\nsets = []\nfoo = 1").unwrap();
        let error = Suite::find(file.to_str().unwrap(), home.path())
            .err()
            .unwrap();
        assert!(error.to_string().contains("foo"), "{error}");
    }
}
