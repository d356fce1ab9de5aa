//! The pen: composes the text and the outline of a document that has no text of its own.
//!
//! Formats that are trees or archives are written out as plain text, piece by piece; every piece
//! is a block. Blank lines part the pieces, as nothing else tells a reader of plain text where a
//! heading, a list or a table ends. Owns the limit on how much may be written, which is what stops
//! archives that unpack to gigabytes.

use super::{Extracted, Skip, text};
use crate::domain::outline::{Block, BlockKind, Outline};
use crate::domain::source::Meta;

/// What a piece is to those around it.
#[derive(Clone, Copy)]
enum Piece {
    Heading,
    Item,
    OfItem,
    Row,
    Other,
}

impl Piece {
    /// Does it stand right below the piece before? A heading above items leads into them.
    fn adjoins(self, before: Self) -> bool {
        match self {
            Self::Item => matches!(before, Self::Heading | Self::Item | Self::OfItem),
            Self::OfItem => matches!(before, Self::Item),
            Self::Row => matches!(before, Self::Row),
            Self::Heading | Self::Other => false,
        }
    }
}

/// A document being written.
pub(super) struct Pen {
    text: String,
    blocks: Vec<Block>,
    last: Piece,
    page: Option<u32>,
    limit: usize,
    full: bool,
    /// What is known of the head of the table that is written.
    header: Header,
    /// Why it was not read to its end.
    broken: Option<String>,
}

/// Whether the first row of a table names its columns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Header {
    None,
    /// It does, where a second row follows.
    Waits,
    Written,
}

/// Does a row name the columns of its table? Three or more, all with words and without figures: of two,
/// the first row is as often a pair like the others.
fn names_columns(row: &str) -> bool {
    const FEWEST: usize = 3;
    let is_name = |cell: &str| {
        let words = cell.split_whitespace().count();
        let figures = cell.bytes().any(|byte| byte.is_ascii_digit());
        (1..=4).contains(&words) && !figures && cell.chars().any(char::is_alphabetic)
    };
    row.split('|').count() >= FEWEST && row.split('|').all(is_name)
}

impl Pen {
    /// A pen that writes at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            text: String::new(),
            blocks: Vec::new(),
            last: Piece::Other,
            page: None,
            limit,
            full: false,
            header: Header::None,
            broken: None,
        }
    }

    /// A part that is read was given up for this, if it was.
    pub(super) fn broke_off(&mut self, error: Option<String>) {
        self.broken = self.broken.take().or(error);
    }

    /// What follows is on this page.
    pub(super) fn page(&mut self, number: usize) {
        self.page = Some(u32::try_from(number).unwrap_or(u32::MAX));
    }

    /// A heading of level 1 to 6, on one line, with Markdown's marks: who reads a passage that holds
    /// several sections sees where each begins.
    pub(super) fn heading(&mut self, level: u8, text: &str) {
        let text = one_line(text);
        if !text.is_empty() {
            let level = level.clamp(1, 6);
            let marked = format!("{} {text}", "#".repeat(level.into()));
            let kind = BlockKind::Heading(level);
            self.put(&marked, Piece::Heading, kind, Some(text));
        }
    }

    /// A paragraph; white space at its ends is dropped.
    pub(super) fn paragraph(&mut self, text: &str) {
        self.put(text.trim(), Piece::Other, BlockKind::Prose, None);
    }

    /// An item of a list, with its mark.
    pub(super) fn item(&mut self, text: &str) {
        self.put(text.trim_end(), Piece::Item, BlockKind::Prose, None);
    }

    /// A paragraph that belongs to the item before it.
    pub(super) fn of_item(&mut self, text: &str) {
        self.put(text.trim(), Piece::OfItem, BlockKind::Prose, None);
    }

    /// A row, which says itself what its cells are.
    pub(super) fn row(&mut self, text: &str) {
        self.put(text.trim_end(), Piece::Row, BlockKind::Prose, None);
    }

    /// A row of a table, its cells apart by bars. Where the first one names the columns, the table is
    /// written as Markdown has it: who quotes a row tells it with its headers.
    pub(super) fn table_row(&mut self, text: &str) {
        if !matches!(self.last, Piece::Row) {
            self.header = if names_columns(text) {
                Header::Waits
            } else {
                Header::None
            };
        } else if self.header == Header::Waits
            && let Some(first) = self.blocks.pop()
        {
            // It names the columns of something.
            let names = self.text.split_off(first.span.start);
            let names = names.trim_end();
            let rule = "|---".repeat(names.split('|').count());
            self.row(&format!("| {names} |\n{rule}|"));
            self.header = Header::Written;
        }
        match self.header {
            Header::Written => self.row(&format!("| {} |", text.trim())),
            _ => self.row(text),
        }
    }

    /// Code, kept as it is.
    pub(super) fn code(&mut self, text: &str) {
        self.put(text.trim_end(), Piece::Other, BlockKind::Code, None);
    }

    /// Everything that another reader found, as it is. What stands between two blocks, as where links
    /// lead, is of the first.
    pub(super) fn outline(&mut self, other: &Outline) {
        let end = other.text.len();
        let first = other.blocks.first().map_or(end, |block| block.span.start);
        let lead = other.text[..first].trim();
        self.put(lead, Piece::Other, BlockKind::Prose, None);
        for (index, block) in other.blocks.iter().enumerate() {
            let next = other.blocks.get(index + 1).map_or(end, |b| b.span.start);
            let text = other.text[block.span.start..next].trim_end();
            self.put(text, Piece::Other, block.kind, block.heading.clone());
        }
    }

    /// Was more written than the limit allows?
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    fn put(&mut self, text: &str, piece: Piece, kind: BlockKind, heading: Option<String>) {
        let text = shown(text, kind);
        if text.is_empty() || self.full {
            return;
        }
        if self.text.len() + text.len() > self.limit {
            self.full = true;
            return;
        }
        if !self.text.is_empty() && !piece.adjoins(self.last) {
            self.text.push('\n');
        }
        let start = self.text.len();
        self.text.push_str(&text);
        self.blocks.push(Block {
            span: start..self.text.len(),
            kind,
            heading: heading.map(|heading| shown(&heading, kind)),
            page: self.page,
        });
        self.text.push('\n');
        self.last = piece;
    }

    /// The document.
    ///
    /// # Errors
    /// [`Skip`] when more was written than the limit allows.
    pub(super) fn finish(self, meta: Meta) -> Result<Extracted, Skip> {
        if self.full {
            return Err(Skip::too_much(self.limit));
        }
        let outline = Outline {
            text: self.text,
            blocks: self.blocks,
        };
        let missing = self.broken.map(|error| format!("read in part: {error}"));
        Ok(Extracted {
            outline,
            meta,
            missing,
        })
    }
}

/// Where a word may be parted at the end of a line; it is seen there alone.
const SOFT_HYPHEN: char = '\u{ad}';

/// What people see of a text: no control characters, and outside code no soft hyphens.
fn shown(text: &str, kind: BlockKind) -> String {
    let seen = |c: &char| match *c {
        '\n' | '\t' => true,
        SOFT_HYPHEN => kind == BlockKind::Code,
        c => !c.is_control(),
    };
    text::without_escapes(text).chars().filter(seen).collect()
}

/// Runs of white space become one space; soft hyphens are left out.
pub(super) fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.contains(SOFT_HYPHEN) {
        return line.replace(SOFT_HYPHEN, "");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_with_headers_are_those_of_markdown() {
        let check = |rows: &[&str], expected: &str| {
            let mut pen = Pen::new(1 << 20);
            rows.iter().for_each(|row| pen.table_row(row));
            let found = pen.finish(Meta::default()).unwrap().outline;
            assert_eq!(found.text, expected);
        };
        check(
            &["Device | Voltage | Current", "Lathe | 400 V | 16 A"],
            "| Device | Voltage | Current |\n|---|---|---|\n| Lathe | 400 V | 16 A |\n",
        );
        check(
            &["Name | Pension Edelweiss", "Rooms | 14"],
            "Name | Pension Edelweiss\nRooms | 14\n",
        );
        check(&["Bed | kale; leek | May"], "Bed | kale; leek | May\n");
        check(&["East | 1 | 2", "a | b | c"], "East | 1 | 2\na | b | c\n");
        check(&["a | | c", "1 | 2 | 3"], "a | | c\n1 | 2 | 3\n");
    }

    #[test]
    fn what_nobody_sees_is_not_written() {
        let mut pen = Pen::new(1 << 20);
        pen.heading(2, "Donau\u{ad}dampf");
        pen.paragraph("\u{ad}");
        pen.paragraph("Kessel\u{ad}druck\x07 \x1b[1mhoch\x1b[0m");
        pen.code("a\u{ad}b");
        let found = pen.finish(Meta::default()).unwrap().outline;
        assert_eq!(
            found.text,
            "## Donaudampf\n\nKesseldruck hoch\n\na\u{ad}b\n"
        );
        assert_eq!(found.blocks[0].heading.as_deref(), Some("Donaudampf"));
        assert_eq!(found.blocks.len(), 3);
        assert_eq!(one_line(" Kessel\u{ad}druck \n hoch"), "Kesseldruck hoch");
    }
}
