//! The pen: composes the text and the outline of a document that has no text of its own.
//!
//! Formats that are trees or archives are written out as plain text, piece by piece; every piece
//! is a block. Owns the limit on how much may be written, which is what stops archives that unpack
//! to gigabytes.

use super::{Extracted, Skip};
use crate::domain::outline::{Block, BlockKind, Outline};
use crate::domain::source::Meta;

/// A document being written.
pub(super) struct Pen {
    text: String,
    blocks: Vec<Block>,
    page: Option<u32>,
    limit: usize,
    full: bool,
}

impl Pen {
    /// A pen that writes at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            text: String::new(),
            blocks: Vec::new(),
            page: None,
            limit,
            full: false,
        }
    }

    /// What follows is on this page.
    pub(super) fn page(&mut self, number: usize) {
        self.page = Some(u32::try_from(number).unwrap_or(u32::MAX));
    }

    /// A heading of level 1 to 6, on one line.
    pub(super) fn heading(&mut self, level: u8, text: &str) {
        let text = one_line(text);
        if !text.is_empty() {
            let heading = Some(text.clone());
            self.put(&text, "\n", BlockKind::Heading(level.clamp(1, 6)), heading);
        }
    }

    /// A paragraph; white space at its ends is dropped.
    pub(super) fn paragraph(&mut self, text: &str) {
        self.put(text.trim(), "\n\n", BlockKind::Prose, None);
    }

    /// A line that belongs to the one before: a list item, a table row.
    pub(super) fn line(&mut self, text: &str) {
        self.put(text.trim_end(), "\n", BlockKind::Prose, None);
    }

    /// Code, kept as it is.
    pub(super) fn code(&mut self, text: &str) {
        self.put(text.trim_end(), "\n\n", BlockKind::Code, None);
    }

    /// Everything that another reader found, as it is.
    pub(super) fn outline(&mut self, other: &Outline) {
        for block in &other.blocks {
            let text = other.text[block.span.clone()].trim_end();
            let after = match block.kind {
                BlockKind::Heading(_) => "\n",
                BlockKind::Prose | BlockKind::Code => "\n\n",
            };
            self.put(text, after, block.kind, block.heading.clone());
        }
    }

    /// Was more written than the limit allows?
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    fn put(&mut self, text: &str, after: &str, kind: BlockKind, heading: Option<String>) {
        if text.is_empty() || self.full {
            return;
        }
        if self.text.len() + text.len() > self.limit {
            self.full = true;
            return;
        }
        let start = self.text.len();
        let printable = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
        self.text.extend(text.chars().filter(printable));
        self.blocks.push(Block {
            span: start..self.text.len(),
            kind,
            heading,
            page: self.page,
        });
        self.text.push_str(after);
    }

    /// The document.
    ///
    /// # Errors
    /// [`Skip`] when more was written than the limit allows.
    pub(super) fn finish(self, meta: Meta) -> Result<Extracted, Skip> {
        if self.full {
            let mebibytes = self.limit >> 20;
            return Err(Skip(format!(
                "it unpacks to more than {mebibytes} MiB of text"
            )));
        }
        let outline = Outline {
            text: self.text,
            blocks: self.blocks,
        };
        Ok(Extracted { outline, meta })
    }
}

/// Runs of white space become one space.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
