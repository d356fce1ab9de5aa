//! The folders that are read: which there are, what may be one, and where they are now.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use super::{App, now_ms};
use crate::domain::source::{SourceId, SourceName};
use crate::error::{BadRequest, Failure};
use crate::flow::{ingest, scan};
use crate::store::StoreError;
use crate::store::sources::{self, Rules, Source};

/// A source with what is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct SourceStatus {
    /// The source.
    #[serde(flatten)]
    pub source: Source,
    /// Documents of it that are visible.
    pub documents: u64,
    /// Files of it that could not be read.
    pub problems: u64,
    /// Whether its folder is there.
    pub reachable: bool,
    /// Why the running service polls it instead of watching it, where it does.
    pub polled: Option<String>,
}

impl App {
    /// The source with this number or whole path, where `~` is the home folder. A path may be gone, or
    /// lead there by a link.
    ///
    /// # Errors
    /// [`StoreError::NoSuchSource`], or what the ledger says.
    pub fn source_named(&self, name: &str) -> Result<SourceId, Failure> {
        let known = self.store.ledger().read(|snapshot| snapshot.sources())?;
        let path = sources::path_named(name, sources::home().as_deref());
        let leads = path.canonicalize().ok().filter(|_| path.is_absolute());
        let is_it = |source: &Source| {
            source.id.to_string() == name
                || source.path == path
                || leads.as_ref() == Some(&source.path)
        };
        let found = known.iter().find(|source| is_it(source));
        let missing = || StoreError::NoSuchSource {
            name: name.to_owned(),
        };
        Ok(found.ok_or_else(missing)?.id)
    }

    /// The source with this number.
    ///
    /// # Errors
    /// [`StoreError::NoSource`], or what the ledger says.
    pub fn source(&self, id: SourceId) -> Result<Source, Failure> {
        let ledger = self.store.ledger();
        Ok(ledger.read(|snapshot| ingest::source(snapshot, id))?)
    }

    /// The source that is meant; a number is taken as it is.
    ///
    /// # Errors
    /// As [`App::source_named`].
    pub fn source_meant(&self, name: Option<&SourceName>) -> Result<Option<SourceId>, Failure> {
        match name {
            None => Ok(None),
            Some(SourceName::Number(id)) => Ok(Some(*id)),
            Some(SourceName::Text(name)) => self.source_named(name).map(Some),
        }
    }

    /// Tells where the folder of a source is now; what is known of its documents stays. With `force`
    /// also where none of them is there: the next sync then takes them all for removed.
    ///
    /// # Errors
    /// [`BadRequest`] for what may not be a source, as with [`App::add_source`], or is another folder;
    /// [`StoreError::NoSource`].
    pub fn move_source(&self, id: SourceId, path: &Path, force: bool) -> Result<Source, Failure> {
        let root = readable_folder(path)?;
        let name = self.fit_for_source(&root, Some(id))?;
        let ledger = self.store.ledger();
        let known = ledger.read(|snapshot| snapshot.known(id))?;
        let strange = !known.is_empty()
            && !known
                .keys()
                .any(|below| root.join(scan::real_path(below)).exists());
        if strange && !force {
            let what = format!(
                "{} holds none of the {} documents of source {id}",
                root.display(),
                known.len()
            );
            let hint = "give the folder that they are in now; --force takes this one, and what is \
                        known of them goes";
            return Err(BadRequest::new("wrong_folder", what, hint).into());
        }
        ledger.write(|transaction| sources::move_source(transaction, id, name))?;
        self.source(id)
    }

    /// Registers a folder; to the rules of one that is registered already these are added.
    ///
    /// # Errors
    /// [`BadRequest`] for what is not a readable folder, lies in another source or around one.
    pub fn add_source(&self, path: &Path, rules: &Rules) -> Result<Source, Failure> {
        let root = readable_folder(path)?;
        for pattern in rules.include.iter().chain(&rules.exclude) {
            scan::glob(pattern).map_err(ingest::IngestError::from)?;
        }
        let mut known = self
            .store
            .ledger()
            .read(|snapshot| snapshot.sources())?
            .into_iter();
        if let Some(source) = known.find(|source| source.path == root) {
            return self.add_rules(source, rules);
        }
        let name = self.fit_for_source(&root, None)?;
        let id = self
            .store
            .ledger()
            .write(|transaction| sources::add_source(transaction, name, rules, now_ms()))?;
        self.source(id)
    }

    /// The path of a folder, as the ledger keeps it, where the folder may be a source: a file belongs to
    /// one source. `itself` is the source that moves there, where one does.
    fn fit_for_source<'p>(
        &self,
        root: &'p Path,
        itself: Option<SourceId>,
    ) -> Result<&'p str, Failure> {
        let refuse = |code, what: String, hint| Err(BadRequest::new(code, what, hint).into());
        let shown = root.display();
        let Some(name) = root.to_str() else {
            let what = format!("the path {shown} is not valid UTF-8");
            return refuse("bad_path", what, "rename the folder");
        };
        let known = self.store.ledger().read(|snapshot| snapshot.sources())?;
        for other in known.iter().filter(|source| Some(source.id) != itself) {
            let how = match (root.starts_with(&other.path), other.path.starts_with(root)) {
                (true, true) => "is",
                (true, false) => "lies in",
                (false, true) => "holds",
                (false, false) => continue,
            };
            let what = format!("{shown} {how} the source {}", other.path.display());
            let hint = "a file belongs to one source: remove the other one first, or use globs";
            return refuse("nested_source", what, hint);
        }
        let home = &self.places.home;
        if root.starts_with(home) || home.starts_with(root) {
            let what = format!("{shown} and coho's own data folder overlap");
            let hint = "set COHO_HOME to a folder outside your notes";
            return refuse("data_folder", what, hint);
        }
        Ok(name)
    }

    /// Adds what was said now to the rules of a source that is known.
    fn add_rules(&self, source: Source, said: &Rules) -> Result<Source, Failure> {
        let ledger = self.store.ledger();
        let rules = Rules::of(&source).with(said);
        if rules == Rules::of(&source) {
            return Ok(source);
        }
        ledger.write(|transaction| sources::set_rules(transaction, &source, &rules))?;
        self.source(source.id)
    }

    /// All sources.
    ///
    /// # Errors
    /// What the ledger says.
    pub fn sources(&self) -> Result<Vec<SourceStatus>, Failure> {
        let known = self.store.ledger().read(|snapshot| {
            let with_counts = snapshot.sources()?.into_iter().map(|source| {
                let counts = snapshot.counts_of(source.id)?;
                Ok((source, counts))
            });
            with_counts.collect::<Result<Vec<_>, StoreError>>()
        })?;
        // With no snapshot open: a folder on another machine may hang.
        let status = known
            .into_iter()
            .map(|(source, (documents, problems))| SourceStatus {
                reachable: source.away.is_none() && source.path.is_dir(),
                source,
                documents,
                problems,
                polled: None,
            });
        Ok(status.collect())
    }
}

fn readable_folder(path: &Path) -> Result<PathBuf, BadRequest> {
    let refuse = |reason: &str, hint: &str| {
        BadRequest::new("bad_path", format!("{} {reason}", path.display()), hint)
    };
    let root = path.canonicalize().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => refuse("is not there", "check the spelling of the path"),
        _ => refuse(
            &format!("cannot be opened: {error}"),
            "check its permissions",
        ),
    })?;
    if !root.is_dir() {
        return Err(refuse("is a file", "give the folder that holds it"));
    }
    std::fs::read_dir(&root)
        .map_err(|error| refuse(&format!("cannot be read: {error}"), "check its permissions"))?;
    Ok(root)
}
