//! Formats: from the bytes of a file to an outline and what the document says about itself.
//!
//! One file a format family. Markdown and text are read in this process by parsers that cannot
//! run away; everything else goes to the worker, a child process with limits on time, memory and
//! output, because parsers of hostile files crash. Every failure is a [`Skip`] with a reason that
//! a person understands.

mod markdown;
mod pdf;
mod text;
pub mod worker;

use std::path::PathBuf;
use std::time::Duration;

use crate::domain::outline::Outline;
use crate::domain::source::{Kind, Meta};

/// What was found in a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extracted {
    /// Its text, cut into blocks.
    pub outline: Outline,
    /// What it says about itself.
    pub meta: Meta,
}

/// Why a file is left out, in words for its owner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Skip(pub String);

/// Limits of the worker, and the program that it runs.
#[derive(Clone, Debug)]
pub struct WorkerLimits {
    /// The coho binary.
    pub program: PathBuf,
    /// Time after which it is killed.
    pub timeout: Duration,
    /// Address space at most.
    pub memory_bytes: u64,
    /// Text at most; more is cut off with a reason.
    pub output_bytes: usize,
}

/// Reads the bytes of a file of this kind.
///
/// # Errors
/// [`Skip`] with the reason for the owner.
pub fn extract(kind: Kind, bytes: &[u8], limits: &WorkerLimits) -> Result<Extracted, Skip> {
    if bytes.is_empty() {
        return Err(Skip("empty: there is nothing in it".into()));
    }
    let found = match kind {
        Kind::Markdown => markdown::extract(text::decode(bytes)?),
        Kind::Text => Extracted {
            outline: Outline::of_plain_text(text::decode(bytes)?),
            meta: Meta::default(),
        },
        Kind::Pdf => worker::run(kind, bytes, limits)?,
    };
    if found.outline.text.trim().is_empty() {
        return Err(Skip("empty: it holds only white space".into()));
    }
    Ok(found)
}
