//! Notes that editors and agents write through coho.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{App, NotFound, timestamp};
use crate::app::now_ms;
use crate::domain::source::{DocumentId, REMEMBERED, SourceId};
use crate::error::{BadRequest, Failure, Fault, Kind};
use crate::store::StoreError;
use crate::store::sources::Source;
use crate::umask;

/// The folder of a source in which they are put.
const FOLDER: &str = "remembered";

/// Characters of a note at most.
const MOST_CHARS: usize = 100_000;

/// Characters of a title that go into the name of its file.
const NAME_CHARS: usize = 60;

/// Bytes of it at most.
const NAME_BYTES: usize = 200;

/// A note that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Remembered {
    /// Absolute path of its file.
    pub path: PathBuf,
    /// Its source.
    pub source: SourceId,
}

/// The folder of a source is not there: it was removed, or what it lay on is not mounted. A folder
/// made in its place would hide the note as soon as the real one is back.
#[derive(Debug, thiserror::Error)]
#[error("{} takes no note at present: {reason}", path.display())]
pub struct FolderAway {
    /// The folder.
    pub path: PathBuf,
    /// Why it is not there.
    pub reason: String,
}

impl Fault for FolderAway {
    fn kind(&self) -> Kind {
        Kind::Conflict
    }
    fn code(&self) -> &'static str {
        "source_away"
    }
    fn hint(&self) -> Option<String> {
        Some(
            "bring the folder back and run `coho sync`, tell where it is now with \
             `coho sources move`, or name another source that takes notes"
                .into(),
        )
    }
}

impl App {
    /// Writes a new note into a source that allows it; nothing is ever written over. Its front matter
    /// says who wrote it, so that it is never taken for the owner's words.
    ///
    /// # Errors
    /// [`BadRequest`] for an empty or huge note and for a source that takes none, [`FolderAway`], or
    /// what the file system says.
    pub fn remember(
        &self,
        source: Option<SourceId>,
        by: &str,
        (title, text): (&str, &str),
    ) -> Result<Remembered, Failure> {
        let (title, text) = (title.trim(), text.trim());
        if title.is_empty() || text.is_empty() {
            let hint = "give a title and a text";
            return Err(BadRequest::new("empty_note", "the note is empty", hint).into());
        }
        let chars = title.chars().count() + text.chars().count();
        if chars > MOST_CHARS {
            let what = format!("the note has {chars} characters, at most {MOST_CHARS} are taken");
            return Err(BadRequest::new("note_too_long", what, "write several notes").into());
        }
        let source = self.notes_source(source)?;
        let moment = timestamp(now_ms());
        let day = moment.get(..10).unwrap_or_default();
        let title = title.lines().collect::<Vec<_>>().join(" ");
        let head = format!("created: {moment}\n{REMEMBERED}: \"{by}\"");
        let note = format!("---\n{head}\n---\n\n# {title}\n\n{text}\n");
        let name = format!("{day} {}", file_name(&title));
        if let Some(reason) = source.away {
            let path = source.path;
            return Err(FolderAway { path, reason }.into());
        }
        let path = write_new(&source.path, &name, note.as_bytes())?;
        let source = source.id;
        Ok(Remembered { path, source })
    }

    /// May notes be written anywhere?
    ///
    /// # Errors
    /// What the ledger says.
    pub fn takes_notes(&self) -> Result<bool, Failure> {
        let sources = self.store.ledger().read(|snapshot| snapshot.sources())?;
        Ok(sources.iter().any(|source| source.notes))
    }

    fn notes_source(&self, wanted: Option<SourceId>) -> Result<Source, Failure> {
        let sources = self.store.ledger().read(|snapshot| snapshot.sources())?;
        let hint = "`coho add FOLDER --notes` adds a folder that takes notes";
        let Some(id) = wanted else {
            let taking = sources.into_iter().find(|source| source.notes);
            let none = || BadRequest::new("no_notes_source", "no source takes notes", hint);
            return Ok(taking.ok_or_else(none)?);
        };
        let source = sources.into_iter().find(|source| source.id == id);
        let source = source.ok_or(StoreError::NoSource { id })?;
        if !source.notes {
            let what = format!("source {id} takes no notes");
            return Err(BadRequest::new("no_notes_source", what, hint).into());
        }
        Ok(source)
    }

    /// The document in a file.
    ///
    /// # Errors
    /// [`NotFound`], or what the ledger says.
    pub fn document_at(&self, path: &Path) -> Result<DocumentId, Failure> {
        let found = self.store.ledger().read(|snapshot| {
            for source in snapshot.sources()? {
                let below = path.strip_prefix(&source.path).ok().and_then(Path::to_str);
                if let Some(below) = below
                    && let Some(id) = snapshot.document_at(source.id, below)?
                {
                    return Ok(Some(id));
                }
            }
            Ok(None)
        })?;
        let missing = || NotFound::new("document", path.display().to_string());
        Ok(found.ok_or_else(missing)?)
    }
}

/// What can be the name of a file on every system.
fn file_name(title: &str) -> String {
    let fits = |c: char| if c.is_alphanumeric() { c } else { ' ' };
    let words: String = title.chars().map(fits).collect();
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = words.chars().take(NAME_CHARS).collect();
    // Names of files have bytes at most, and a number may follow.
    let short = short[..short.floor_char_boundary(NAME_BYTES)].trim();
    if short.is_empty() {
        "note".into()
    } else {
        short.into()
    }
}

/// Writes a file below `root` that is not there yet.
fn write_new(root: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, Failure> {
    let folder = root.join(FOLDER);
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::io(&path, source)
    };
    match fs::create_dir(&folder) {
        Ok(()) => umask::give_former(&folder),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let (path, reason) = (root.to_owned(), "it is not there".to_owned());
            return Err(FolderAway { path, reason }.into());
        }
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(io(&folder)(error).into());
        }
        Err(_) => {}
    }
    // A link in its place would lead the note somewhere else.
    let real = folder.canonicalize().map_err(io(&folder))?;
    if !real.starts_with(root) {
        let what = format!("{} leads out of its source", folder.display());
        return Err(BadRequest::new("bad_path", what, "remove that link").into());
    }
    for number in 1..1000 {
        let name = match number {
            1 => format!("{name}.md"),
            _ => format!("{name} {number}.md"),
        };
        let path = real.join(name);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                let written = file.write_all(bytes).and_then(|()| file.sync_all());
                if let Err(error) = written {
                    let _ = fs::remove_file(&path);
                    return Err(io(&path)(error).into());
                }
                umask::give_former(&path);
                return Ok(path);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io(&path)(error).into()),
        }
    }
    let what = format!("there are a thousand notes called `{name}`");
    Err(BadRequest::new("too_many_notes", what, "choose another title").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_become_names_of_files() {
        assert_eq!(file_name("../../etc/passwd"), "etc passwd");
        assert_eq!(file_name("Größe: 3/4\0"), "Größe 3 4");
        assert_eq!(file_name("***"), "note");
        assert!(file_name(&"word ".repeat(50)).len() <= NAME_CHARS);
    }

    #[test]
    fn a_folder_that_has_vanished_is_not_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("notes");
        let refused = write_new(&root, "a", b"text").unwrap_err();
        assert_eq!(
            (refused.kind(), refused.code()),
            (Kind::Conflict, "source_away")
        );
        assert!(!root.exists());
        fs::create_dir(&root).unwrap();
        for _ in 0..2 {
            let path = write_new(&root, "a", b"text").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"text");
        }
        assert_eq!(fs::read_dir(root.join(FOLDER)).unwrap().count(), 2);
    }
}
