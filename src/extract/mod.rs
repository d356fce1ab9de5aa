//! Formats: from the bytes of a file to an outline and what the document says about itself.
//!
//! One file a format family. Markdown and other plain text are read in this process by parsers that
//! cannot run away, but for Markdown that is long, as its parser may take a hundred times as much
//! memory; everything else goes to the worker, a child process with limits on time, memory and output,
//! because parsers of hostile files crash. Every failure is a [`Skip`] with a reason that a person
//! understands.

mod archive;
mod calendar;
mod canvas;
mod chart;
mod code;
mod epub;
mod html;
mod lzfu;
mod mail;
mod markdown;
mod markup;
mod notebook;
mod ods;
mod office;
mod pdf;
mod pen;
mod rows;
mod rtf;
mod sheet;
mod text;
pub mod worker;
mod xls;
mod xlsb;
mod xlsx;
mod xml;

pub(crate) use mail::{
    body as body_of_mail, mended_headers as mended_headers_of_mail, messages as messages_of_mailbox,
};

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::outline::Outline;
use crate::domain::source::{Kind, Meta};
use worker::Worker;

/// Raised when readers change so that files read earlier should be read again.
pub const VERSION: u32 = 12;

/// What was found in a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Extracted {
    /// Its text, cut into blocks.
    pub outline: Outline,
    /// What it says about itself.
    pub meta: Meta,
    /// Which part of it could not be read, and why, in words for its owner.
    #[serde(default)]
    pub missing: Option<String>,
}

/// Why a file is left out, in words for its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{0}")]
pub struct Skip(pub String);

impl Skip {
    fn encrypted() -> Self {
        Self("encrypted: it cannot be read without its password".into())
    }

    /// For a file that has more bytes of text than `limit`.
    fn too_much(limit: usize) -> Self {
        let mebibytes = limit >> 20;
        Self(format!("it unpacks to more than {mebibytes} MiB of text"))
    }
}

/// Why a file was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// It is of the file: it stays so until the file changes, or a limit.
    #[error(transparent)]
    File(#[from] Skip),
    /// Nobody was there to read it; of the file nothing is known.
    #[error("{0}")]
    Reader(String),
}

/// What a reason says where there was no time for a file, or for all of it.
const TOO_LONG: &str = "reading it takes too long";

/// Is it for want of time that a file was not read, or not to its end? On a machine that has less to do it
/// may be.
pub fn is_for_want_of_time(reason: &str) -> bool {
    reason.contains(TOO_LONG)
}

/// Limits of the worker, and the program that it runs.
#[derive(Clone, Debug)]
pub struct WorkerLimits {
    /// The coho binary.
    pub program: PathBuf,
    /// Time after which it is killed.
    pub timeout: Duration,
    /// Address space at most.
    pub memory_bytes: u64,
    /// Text at most; files with more are left out.
    pub output_bytes: usize,
}

/// Reads files of all kinds; keeps one worker for those that need it.
pub struct Extractor {
    limits: WorkerLimits,
    worker: Mutex<Option<Worker>>,
}

impl Extractor {
    /// An extractor; its worker starts with the first file that needs it.
    pub fn new(limits: WorkerLimits) -> Self {
        Self {
            limits,
            worker: Mutex::new(None),
        }
    }

    /// Reads the bytes of a file of this kind and name.
    ///
    /// # Errors
    /// [`Unread`] with the reason for the owner.
    pub fn extract(&self, kind: Kind, name: &str, bytes: &[u8]) -> Result<Extracted, Unread> {
        if bytes.is_empty() {
            return Err(Skip("empty: there is nothing in it".into()).into());
        }
        let found = if let Some(found) = read_here(kind, bytes) {
            found?
        } else {
            let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
            worker::run(&mut worker, kind, name, bytes, &self.limits)?
        };
        if found.outline.text.trim().is_empty() {
            let empty = "empty: no text was found in it".to_owned();
            let broken = |missing: String| missing.replacen("read in part", "broken", 1);
            return Err(Skip(found.missing.map_or(empty, broken)).into());
        }
        Ok(found)
    }

    /// Ends the worker, which holds memory while nothing is to be read.
    pub fn rest(&self) {
        *self.worker.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Reads a file of any kind in this process. For tests: a hostile file may end it.
///
/// # Errors
/// [`Skip`].
#[cfg(any(test, fuzzing))]
pub fn read_anywhere(
    kind: Kind,
    name: &str,
    bytes: &[u8],
    limit: usize,
) -> Result<Extracted, Skip> {
    let so_far = pdf::SoFar::default();
    read_here(kind, bytes)
        .unwrap_or_else(|| read_in_worker(kind, name, bytes, limit, &|| false, &so_far))
}

/// Markdown of more bytes is read in the worker.
const LONG_BYTES: usize = 1 << 20;

/// What is read in this process.
fn read_here(kind: Kind, bytes: &[u8]) -> Option<Result<Extracted, Skip>> {
    let read: fn(String) -> Extracted = match kind {
        Kind::Markdown if bytes.len() <= LONG_BYTES => markdown::extract,
        Kind::Org => markup::org,
        Kind::Rst => markup::rst,
        Kind::Asciidoc => markup::asciidoc,
        Kind::Text => |text| Extracted {
            outline: Outline::of_plain_text(text),
            ..Extracted::default()
        },
        _ => return None,
    };
    Some(text::decode(bytes).map(read))
}

/// More tags or links than this are a generated file, and nobody browses them.
const LIST_ITEMS: usize = 1000;

/// Adds a tag or link that is not there yet.
fn push_new(list: &mut Vec<String>, item: &str) {
    if !item.is_empty() && list.len() < LIST_ITEMS && !list.iter().any(|known| known == item) {
        list.push(item.to_owned());
    }
}

/// Adds a property to those that front matter gave, if they have names.
fn add_property(meta: &mut Meta, key: &str, value: &str) {
    if meta.properties.is_null() {
        meta.properties = serde_json::json!({});
    }
    if let Some(properties) = meta.properties.as_object_mut() {
        properties.insert(key.to_owned(), value.into());
    }
}

/// Adds the tags and links of a part of a document.
fn take_in(meta: &mut Meta, part: &Meta) {
    for tag in &part.tags {
        push_new(&mut meta.tags, tag);
    }
    for link in &part.links {
        push_new(&mut meta.links, link);
    }
}

/// What is read in the worker. `limit` is in bytes of text; once `is_late` says so, what may take longer
/// is left. What was read of it by then is in `so_far`, where a reader keeps that.
fn read_in_worker(
    kind: Kind,
    name: &str,
    bytes: &[u8],
    limit: usize,
    is_late: &dyn Fn() -> bool,
    so_far: &pdf::SoFar,
) -> Result<Extracted, Skip> {
    match kind {
        Kind::Markdown => text::decode(bytes).map(markdown::extract),
        Kind::Code => code::extract(bytes, name),
        Kind::Html if mail::is_saved_page(name) => mail::saved_page(bytes, limit),
        Kind::Html => html::extract(bytes, limit),
        Kind::Pdf => pdf::extract(bytes, limit, is_late, so_far),
        Kind::Docx => office::docx(bytes, limit),
        Kind::Odt => office::odt(bytes, limit),
        Kind::Rtf => rtf::extract(bytes, limit),
        Kind::Epub => epub::extract(bytes, limit),
        Kind::Pptx => office::pptx(bytes, limit),
        Kind::Workbook => sheet::workbook(bytes, limit),
        Kind::Csv => sheet::csv(bytes, limit),
        Kind::Notebook => notebook::extract(bytes, limit),
        Kind::Canvas => canvas::extract(bytes, limit),
        Kind::Mail => mail::message(bytes, limit),
        Kind::Mailbox => mail::mailbox(bytes, limit),
        Kind::OutlookMail => mail::outlook(bytes, limit),
        Kind::Org | Kind::Rst | Kind::Asciidoc | Kind::Text => {
            Err(Skip(format!("{} needs no worker", kind.as_str())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_markdown_is_left_to_the_worker() {
        let text = "word ".repeat(LONG_BYTES / 5 + 1);
        assert!(read_here(Kind::Text, text.as_bytes()).is_some());
        assert!(read_here(Kind::Markdown, text.as_bytes()).is_none());
        let found = read_anywhere(Kind::Markdown, "a.md", text.as_bytes(), 1 << 20).unwrap();
        assert_eq!(found.outline.text, text);
    }
}
