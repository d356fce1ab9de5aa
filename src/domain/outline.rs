//! The outline of a document: its text cut into blocks that are worth keeping whole.
//!
//! Extractors produce it, the chunker consumes it. Blocks are in order and do not overlap; text
//! between blocks (blank lines, mostly) belongs to the block before it.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// What a block is, as far as cutting it is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlockKind {
    /// A heading of the given level, 1 to 6; it opens a section.
    Heading(u8),
    /// Prose, lists, tables, quotes: may be cut at lines and sentences.
    Prose,
    /// Code: kept whole whenever it fits, cut only between lines.
    Code,
}

/// One block of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Byte range in the document's text.
    pub span: Range<usize>,
    /// What it is.
    pub kind: BlockKind,
    /// The heading's text, for headings.
    pub heading: Option<String>,
    /// The page it is on, counted from 1, for paged formats. Chunks never cross pages.
    pub page: Option<u32>,
}

/// A document's text with its blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outline {
    /// The text, decoded; chunks tile it.
    pub text: String,
    /// Its blocks, in order.
    pub blocks: Vec<Block>,
}

impl Outline {
    /// An outline of plain text: one prose block per run of non-blank lines.
    pub fn of_plain_text(text: String) -> Self {
        let blocks = paragraphs(&text, 0..text.len(), None);
        Self { text, blocks }
    }

    /// The beginning of what is written in a human language: blocks that are no code, until they
    /// are `bytes` long together.
    pub fn prose(&self, bytes: usize) -> String {
        let mut prose = String::new();
        for block in self.blocks.iter().filter(|b| b.kind != BlockKind::Code) {
            if prose.len() >= bytes {
                break;
            }
            prose.push_str(&self.text[block.span.clone()]);
            prose.push('\n');
        }
        prose
    }

    /// An outline of pages, joined by form feeds that belong to the page before.
    pub fn of_pages(pages: &[String]) -> Self {
        let mut text = String::new();
        let mut blocks = Vec::new();
        for (index, page) in pages.iter().enumerate() {
            let start = text.len();
            text.push_str(page);
            let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
            blocks.extend(paragraphs(&text, start..text.len(), Some(number)));
            text.push('\x0c');
        }
        Self { text, blocks }
    }
}

fn paragraphs(text: &str, range: Range<usize>, page: Option<u32>) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<usize> = None;
    let mut position = range.start;
    let close = |blocks: &mut Vec<Block>, start: usize, end: usize| {
        blocks.push(Block {
            span: start..end,
            kind: BlockKind::Prose,
            heading: None,
            page,
        });
    };
    for line in text[range.clone()].split_inclusive('\n') {
        if line.trim().is_empty() {
            if let Some(start) = open.take() {
                close(&mut blocks, start, position);
            }
        } else if open.is_none() {
            open = Some(position);
        }
        position += line.len();
    }
    if let Some(start) = open {
        close(&mut blocks, start, range.end);
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_cut_at_blank_lines() {
        let outline = Outline::of_plain_text("a\nb\n\n \nc".into());
        let spans: Vec<_> = outline.blocks.iter().map(|b| b.span.clone()).collect();
        assert_eq!(spans, [0..4, 7..8]);
    }

    #[test]
    fn pages_number_their_blocks() {
        let outline = Outline::of_pages(&["one".into(), String::new(), "three".into()]);
        let pages: Vec<_> = outline.blocks.iter().map(|b| b.page).collect();
        assert_eq!(pages, [Some(1), Some(3)]);
        assert_eq!(outline.text, "one\x0c\x0cthree\x0c");
    }
}
