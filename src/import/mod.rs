//! Bringing in what lies elsewhere: bookmarks, highlights, a reference library, the history of a
//! repository, mail. Each thing becomes a Markdown note with its provenance in the front matter.
//!
//! Repeatable: a note is known by what it was made of, so that bringing it in again changes what
//! changed there and makes nothing twice. A note that its owner has edited since is left alone.
//! What is read is never written.

mod bookmarks;
mod git;
mod highlights;
mod mailbox;
mod zotero;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{BadRequest, Failure, Fault, Kind};

/// What is brought in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A browser's bookmarks: its export (HTML), or Chromium's file `Bookmarks`.
    Bookmarks,
    /// Kindle's `My Clippings.txt`.
    Kindle,
    /// Readwise's export (CSV).
    Readwise,
    /// Zotero's folder, with `zotero.sqlite`.
    Zotero,
    /// The messages of a git repository's history, a note for each month.
    Git,
    /// A folder of mail: Maildir, mbox or eml files.
    Mail,
}

impl What {
    fn as_str(self) -> &'static str {
        match self {
            Self::Bookmarks => "bookmarks",
            Self::Kindle => "kindle",
            Self::Readwise => "readwise",
            Self::Zotero => "zotero",
            Self::Git => "git",
            Self::Mail => "mail",
        }
    }
}

/// A thing that becomes a note.
#[derive(Clone, Debug, Default, PartialEq)]
struct Item {
    /// What it is known by, for good.
    id: String,
    /// What earlier versions of coho knew it by, where they could take it for another.
    formerly: Option<String>,
    title: String,
    /// Provenance, for the front matter.
    from: Vec<(&'static str, String)>,
    tags: Vec<String>,
    /// Markdown.
    text: String,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Imported {
    /// Notes that are new.
    pub made: usize,
    /// Notes that changed there.
    pub changed: usize,
    /// Notes that are as they were.
    pub unchanged: usize,
    /// Notes that were edited here since, and left alone.
    pub edited: Vec<PathBuf>,
    /// What could not be read, with the reason.
    pub problems: Vec<String>,
}

/// The file system failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {}", path.display())]
struct ImportError {
    path: PathBuf,
    source: std::io::Error,
}

impl Fault for ImportError {
    fn kind(&self) -> Kind {
        Kind::BadInput
    }
    fn code(&self) -> &'static str {
        "import_io"
    }
    fn hint(&self) -> Option<String> {
        None
    }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> ImportError {
    let path = path.to_owned();
    move |source| ImportError { path, source }
}

fn bad(path: &Path, what: What, reason: impl std::fmt::Display) -> BadRequest {
    let hint = match what {
        What::Bookmarks => "give the HTML that the browser exports, or Chromium's file Bookmarks",
        What::Kindle => "give `My Clippings.txt` of the device",
        What::Readwise => "give the CSV that Readwise exports",
        What::Zotero => "give the folder that holds zotero.sqlite",
        What::Git => "give the folder of a repository, with git installed",
        What::Mail => "give a Maildir, a folder of eml files, or an mbox file",
    };
    BadRequest::new("bad_import", format!("{}: {reason}", path.display()), hint)
}

/// Brings in what lies at `path` as notes below `folder`.
///
/// # Errors
/// [`BadRequest`] where it is not what it was said to be; what the file system says.
pub fn import(what: What, path: &Path, folder: &Path) -> Result<Imported, Failure> {
    let mut report = Imported::default();
    let items = match what {
        What::Bookmarks => bookmarks::read(path)?,
        What::Kindle => highlights::kindle(path)?,
        What::Readwise => highlights::readwise(path)?,
        What::Zotero => zotero::read(path)?,
        What::Git => git::read(path)?,
        What::Mail => mailbox::read(path, &mut report.problems)?,
    };
    fs::create_dir_all(folder).map_err(io(folder))?;
    let known = known(folder)?;
    for item in items {
        put(what, &item, folder, &known, &mut report)?;
    }
    Ok(report)
}

/// Notes of earlier imports, by the digits at the end of their names.
fn known(folder: &Path) -> Result<HashMap<String, PathBuf>, ImportError> {
    let mut known = HashMap::new();
    for entry in fs::read_dir(folder).map_err(io(folder))?.flatten() {
        let path = entry.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        if let Some((_, digits)) = name.rsplit_once('-') {
            known.insert(digits.to_owned(), path.clone());
        }
    }
    Ok(known)
}

fn put(
    what: What,
    item: &Item,
    folder: &Path,
    known: &HashMap<String, PathBuf>,
    report: &mut Imported,
) -> Result<(), ImportError> {
    let digits = digits(what, &item.id);
    let note = note(what, item);
    let path = known.get(&digits).cloned();
    let path = path.or_else(|| of_earlier(what, item, known));
    let path = path.unwrap_or_else(|| folder.join(format!("{}-{digits}.md", slug(&item.title))));
    let count = match fs::read_to_string(&path) {
        Ok(there) if there == note => {
            report.unchanged += 1;
            return Ok(());
        }
        Ok(there) if !is_ours(&there) => {
            report.edited.push(path);
            return Ok(());
        }
        // What was written is UTF-8.
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            report.edited.push(path);
            return Ok(());
        }
        Ok(_) => &mut report.changed,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => &mut report.made,
        Err(error) => return Err(io(&path)(error)),
    };
    *count += 1;
    // Whole or not at all: a watcher may look at any moment.
    let anew = path.with_extension("md.tmp");
    fs::write(&anew, note).map_err(io(&anew))?;
    fs::rename(&anew, &path).map_err(io(&path))
}

/// What the name of a note ends with, by which it is known.
fn digits(what: What, id: &str) -> String {
    digest(&format!("{} {id}", what.as_str()))[..10].to_owned()
}

/// The note that an earlier version made of the same thing: it keeps its name, so that nothing is
/// there twice. That of another thing of the same former id says another repository, and is left to
/// it.
fn of_earlier(what: What, item: &Item, known: &HashMap<String, PathBuf>) -> Option<PathBuf> {
    let path = known.get(&digits(what, item.formerly.as_ref()?))?;
    let note = fs::read_to_string(path).ok()?;
    let says = |key: &str, value: &str| note.contains(&format!("\n{key}: {}\n", quoted(value)));
    let place = item.from.iter().find(|(key, _)| *key == "repository");
    let same = says("imported-id", &item.id) || place.is_some_and(|(key, place)| says(key, place));
    same.then(|| path.clone())
}

/// The key under which a note's front matter holds the hash of what stands below it.
const HASH: &str = "imported-as: ";

/// Characters of a value in the front matter, and bytes of its tags, at most. Front matter of more than
/// 64 KiB is read as text: whoever writes to a hundred people would come to be the owner.
const MOST_CHARS: usize = 1000;
const TAG_BYTES: usize = 8 << 10;

fn note(what: What, item: &Item) -> String {
    let title = one_line(&item.title);
    let body = format!("# {title}\n\n{}\n", item.text.trim());
    let mut note = String::from("---\n");
    let mut line = |key: &str, value: &str| {
        let cut: String = value.chars().take(MOST_CHARS).collect();
        let _ = writeln!(note, "{key}: {}", quoted(&cut));
    };
    line("title", &title);
    line("imported-from", what.as_str());
    line("imported-id", &item.id);
    for (key, value) in item.from.iter().filter(|(_, value)| !value.is_empty()) {
        line(key, value);
    }
    let mut left = TAG_BYTES;
    let tags = item.tags.iter().map(|tag| quoted(tag));
    let tags: Vec<String> = tags
        .take_while(|tag| {
            left = left.saturating_sub(tag.len());
            left > 0
        })
        .collect();
    if !tags.is_empty() {
        let _ = writeln!(note, "tags: [{}]", tags.join(", "));
    }
    let hash = digest(&format!("{note}{body}"));
    let _ = write!(note, "{HASH}{hash}\n---\n\n{body}");
    note
}

/// Is it as it was written? Else somebody has edited it.
fn is_ours(note: &str) -> bool {
    let Some((head, body)) = note.split_once(&format!("\n{HASH}")) else {
        return false;
    };
    let Some((hash, body)) = body.split_once("\n---\n\n") else {
        return false;
    };
    digest(&format!("{head}\n{body}")) == hash
}

/// As a string of YAML, which JSON's strings are.
fn quoted(text: &str) -> String {
    serde_json::Value::from(one_line(text)).to_string()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn digest(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
}

/// What can be the name of a file on every system.
fn slug(title: &str) -> String {
    let fits = |c: char| if c.is_alphanumeric() { c } else { ' ' };
    let words: String = title.chars().map(fits).collect::<String>().to_lowercase();
    let words = words.split_whitespace().collect::<Vec<_>>().join("-");
    let short: String = words.chars().take(60).collect();
    let short = short.trim_matches('-');
    if short.is_empty() {
        "note".into()
    } else {
        short.into()
    }
}

/// Text of a file in whatever encoding, without a byte order mark.
fn text_of(path: &Path) -> Result<String, ImportError> {
    let bytes = fs::read(path).map_err(io(path))?;
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(other) => {
            let bytes = other.into_bytes();
            let mut guess = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
            guess.feed(&bytes, true);
            let encoding = guess.guess(None, chardetng::Utf8Detection::Allow);
            encoding.decode(&bytes).0.into_owned()
        }
    };
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

/// Text of HTML without its five commonest references.
fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Imports `text` from a file twice; gives both reports and the notes.
    pub(super) fn twice(what: What, name: &str, text: &str) -> (Imported, Imported, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let (from, into) = (folder.path().join(name), folder.path().join("notes"));
        fs::write(&from, text).unwrap();
        let first = import(what, &from, &into).unwrap();
        let second = import(what, &from, &into).unwrap();
        let mut paths: Vec<PathBuf> = fs::read_dir(&into)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        paths.sort();
        let notes = paths.iter().map(|path| fs::read_to_string(path).unwrap());
        (first, second, notes.collect())
    }

    fn item(text: &str) -> Item {
        Item {
            id: "1".into(),
            formerly: None,
            title: "A: \"quoted\"\ntitle/..".into(),
            from: vec![
                ("url", "https://example.org/#a: b".into()),
                ("date", String::new()),
            ],
            tags: vec!["a b".into()],
            text: text.into(),
        }
    }

    #[test]
    fn notes_follow_what_they_were_made_of_until_they_are_edited() {
        let folder = tempfile::tempdir().unwrap();
        let run = |item: &Item| {
            let mut report = Imported::default();
            let known = known(folder.path()).unwrap();
            put(What::Bookmarks, item, folder.path(), &known, &mut report).unwrap();
            report
        };
        assert_eq!(run(&item("one")).made, 1);
        assert_eq!(run(&item("one")).unchanged, 1);
        assert_eq!(run(&item("two")).changed, 1);
        // Another title is the same thing.
        let renamed = Item {
            title: "Other".into(),
            ..item("two")
        };
        assert_eq!(run(&renamed).changed, 1);
        let paths: Vec<PathBuf> = fs::read_dir(folder.path())
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        assert_eq!(paths.len(), 1);
        let note = fs::read_to_string(&paths[0]).unwrap();
        fs::write(&paths[0], note + "\nmy own words\n").unwrap();
        assert_eq!(run(&item("three")).edited, paths);
        assert!(
            fs::read_to_string(&paths[0])
                .unwrap()
                .contains("my own words")
        );
    }

    #[test]
    fn a_note_that_was_saved_in_another_encoding_was_edited() {
        let folder = tempfile::tempdir().unwrap();
        let (from, into) = (folder.path().join("b.html"), folder.path().join("notes"));
        let link = |name: &str| format!("<DT><A HREF=\"https://{name}.example.org\">{name}</A>\n");
        let page = format!("<!DOCTYPE NETSCAPE-Bookmark-file-1>\n{}", link("owl"));
        fs::write(&from, &page).unwrap();
        import(What::Bookmarks, &from, &into).unwrap();
        let note = fs::read_dir(&into).unwrap().next().unwrap().unwrap().path();
        let mut saved = fs::read(&note).unwrap();
        saved.extend(b"gr\xfcn\n");
        fs::write(&note, saved).unwrap();
        fs::write(&from, page + &link("mill")).unwrap();
        let second = import(What::Bookmarks, &from, &into).unwrap();
        assert_eq!((second.edited, second.made), (vec![note], 1));
    }

    #[test]
    fn no_value_is_so_long_that_the_front_matter_is_none() {
        let long = "\u{1}".repeat(100_000);
        let item = Item {
            id: long.clone(),
            title: long.clone(),
            from: ["from", "to", "date", "url", "files"]
                .map(|key| (key, long.clone()))
                .into(),
            tags: vec!["a tag".into(); 10_000],
            ..item("text")
        };
        let note = note(What::Mail, &item);
        let head = note.split("\n---\n").next().unwrap();
        assert!(head.len() < 64 << 10, "{}", head.len());
        assert!(head.contains("\nimported-from: \"mail\"\n"));
    }

    #[test]
    fn provenance_is_yaml() {
        let note = note(What::Bookmarks, &item("text"));
        let head = note.split("---\n").nth(1).unwrap();
        let read: serde_yaml_ng::Value = serde_yaml_ng::from_str(head).unwrap();
        assert_eq!(read["title"], "A: \"quoted\" title/..");
        assert_eq!(read["url"], "https://example.org/#a: b");
        assert_eq!(read["tags"][0], "a b");
        assert!(read.get("date").is_none());
        assert!(is_ours(&note) && !is_ours(&note.replace("text", "test")));
        assert!(!is_ours(&note.replace("a b", "a c")));
    }
}
