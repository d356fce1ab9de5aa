//! Chunks: passages that tile a document, fit the embedding model and know where they are.
//!
//! Three laws, each a property test: the spans of a document's passages tile its text without
//! loss or overlap; no passage has more tokens than the limit; line ranges are those an editor
//! shows. Code fences that fit a passage are never cut. A chunk's id is a hash of what is
//! embedded, so an unchanged chunk keeps its id, and with it its vector, across edits and renames.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use super::outline::{BlockKind, Outline};
use super::source::Kind;

/// The id of a chunk: the first 16 bytes of BLAKE3 over its heading context and text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkId(pub [u8; 16]);

impl ChunkId {
    /// The id of a chunk with this heading context and this text.
    pub fn of(context: &str, text: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"coho chunk 1\0");
        hasher.update(context.as_bytes());
        hasher.update(b"\0");
        hasher.update(text.as_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(id)
    }
}

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not 32 hexadecimal digits.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a chunk id is 32 hexadecimal digits")]
pub struct NotAChunkId;

impl FromStr for ChunkId {
    type Err = NotAChunkId;

    fn from_str(text: &str) -> Result<Self, NotAChunkId> {
        if text.len() != 32 || !text.is_ascii() {
            return Err(NotAChunkId);
        }
        let mut id = [0; 16];
        for (i, byte) in id.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| NotAChunkId)?;
        }
        Ok(Self(id))
    }
}

/// A chunk in its place in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Id of the chunk.
    pub id: ChunkId,
    /// Headings above the passage, outermost first.
    pub heading: Vec<String>,
    /// Byte range of the tile in the document's text.
    pub span: Range<usize>,
    /// The tile without the blank lines at its ends: what is shown and embedded.
    pub text: String,
    /// First and last line of `text`, counted from 1.
    pub lines: (u32, u32),
    /// The page, counted from 1, for paged formats.
    pub page: Option<u32>,
    /// Tokens of the embedded text, without the model's special tokens.
    pub tokens: usize,
}

impl Passage {
    /// What the embedding model sees: the headings above the passage, then its text.
    pub fn embedded_text(&self) -> String {
        embedded_text(&self.heading, &self.text)
    }
}

/// The text embedded for a chunk with these headings.
pub fn embedded_text(heading: &[String], text: &str) -> String {
    if heading.is_empty() {
        text.to_owned()
    } else {
        format!("{}\n{text}", heading.join(" > "))
    }
}

/// How large passages may be, in tokens of the embedding model.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// No passage has more, headings included.
    pub max_tokens: usize,
    /// A new section opens a new passage once the present one has this many.
    pub min_tokens: usize,
    /// Tokens of the heading context at most; longer ones lose their outermost headings.
    pub heading_tokens: usize,
}

/// How far the headings of a document reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sections {
    /// Over pages: the chapter of a book is as long as it is.
    RunOn,
    /// To the end of their page: what stands on a slide, or in a message of a mailbox, is not under
    /// the title of the one before.
    EndWithPage,
}

impl Sections {
    /// Those of documents of this kind.
    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::Pptx | Kind::Mailbox => Self::EndWithPage,
            _ => Self::RunOn,
        }
    }
}

/// Token starts of a text: sorted byte offsets, one per token of the embedding model.
#[derive(Clone, Copy, Debug)]
pub struct TokenStarts<'a>(pub &'a [u32]);

impl TokenStarts<'_> {
    /// Tokens that start in the byte range.
    pub fn count(&self, range: &Range<usize>) -> usize {
        self.rank(range.end) - self.rank(range.start)
    }

    fn rank(&self, offset: usize) -> usize {
        self.0.partition_point(|start| (*start as usize) < offset)
    }

    /// The byte offset at which token number `index` starts, or `end` past the last.
    fn offset(&self, index: usize, end: usize) -> usize {
        self.0.get(index).map_or(end, |start| *start as usize)
    }
}

/// Cuts a document into passages.
///
/// `count_tokens` counts the tokens of a heading context, which is not part of the text.
pub fn chunk(
    outline: &Outline,
    starts: TokenStarts<'_>,
    limits: Limits,
    sections: Sections,
    count_tokens: impl Fn(&str) -> usize,
) -> Vec<Passage> {
    // Text of which a reader made no blocks (link definitions alone) is text all the same.
    let plain = outline.blocks.is_empty();
    let plain = plain.then(|| Outline::of_plain_text(outline.text.clone()));
    let outline = plain.as_ref().unwrap_or(outline);
    let tiles = tile(outline, starts, limits, sections);
    let lines = LineIndex::of(&outline.text);
    let mut passages = Vec::with_capacity(tiles.len());
    for tile in tiles {
        let raw = &outline.text[tile.span.clone()];
        let Some(trimmed) = trim_blank_lines(raw) else {
            continue;
        };
        let text = &raw[trimmed.clone()];
        let heading = fit_heading(&tile.heading, limits.heading_tokens, &count_tokens);
        let start = tile.span.start + trimmed.start;
        let end = tile.span.start + trimmed.end;
        let mut tokens = starts.count(&(start..end));
        if !heading.is_empty() {
            tokens += count_tokens(&heading.join(" > "));
        }
        passages.push(Passage {
            id: ChunkId::of(&heading.join("\u{1f}"), text),
            heading,
            lines: (lines.line_of(start), lines.line_of(end.max(start + 1) - 1)),
            text: text.to_owned(),
            page: tile.page,
            tokens,
            span: tile.span,
        });
    }
    cover_gaps(&mut passages, outline.text.len());
    passages
}

/// A blank tile makes no passage; its bytes go to a neighbour, so that the tiling stays whole.
fn cover_gaps(passages: &mut [Passage], end: usize) {
    let count = passages.len();
    for i in 0..count {
        passages[i].span.end = if i + 1 < count {
            passages[i + 1].span.start
        } else {
            end
        };
    }
    if let Some(first) = passages.first_mut() {
        first.span.start = 0;
    }
}

struct Tile {
    span: Range<usize>,
    heading: Vec<String>,
    page: Option<u32>,
}

/// Greedy packing of whole blocks; a block that does not fit alone is split, its heading goes with
/// its first piece.
fn tile(
    outline: &Outline,
    starts: TokenStarts<'_>,
    limits: Limits,
    sections: Sections,
) -> Vec<Tile> {
    let end = outline.text.len();
    let room = limits
        .max_tokens
        .saturating_sub(limits.heading_tokens)
        .max(1);
    let mut tiles: Vec<Tile> = Vec::new();
    let mut open: Option<Tile> = None;
    let mut path: Vec<(u8, String)> = Vec::new();
    let mut only_headings = true;
    let mut page = None;
    for (index, block) in outline.blocks.iter().enumerate() {
        if sections == Sections::EndWithPage && block.page != page {
            path.clear();
        }
        page = block.page;
        let begin = if index == 0 { 0 } else { block.span.start };
        let next = outline.blocks.get(index + 1).map_or(end, |b| b.span.start);
        let span = begin..next;
        let heads = matches!(block.kind, BlockKind::Heading(_));
        let mut leads: Option<Tile> = None;
        if let Some(tile) = open.take() {
            let used = starts.count(&tile.span);
            let fits = used + starts.count(&span) <= room && tile.page == block.page;
            let section = heads && !only_headings && used >= limits.min_tokens;
            if fits && !section {
                open = Some(tile);
            } else if only_headings && !heads && tile.page == block.page {
                leads = Some(tile);
            } else {
                tiles.push(tile);
            }
        }
        let above: Vec<String> = path.iter().map(|(_, text)| text.clone()).collect();
        let long = starts.count(&span) > room;
        // Headings alone are a passage only where what follows them is whole.
        if !long {
            tiles.extend(leads.take());
        }
        if let BlockKind::Heading(level) = block.kind {
            path.retain(|(l, _)| *l < level);
        }
        // A paragraph above a line of dashes is a heading to Markdown, however long it is.
        if let BlockKind::Heading(level) = block.kind
            && !long
        {
            let below: Vec<String> = path.iter().map(|(_, text)| text.clone()).collect();
            if let Some(text) = &block.heading {
                path.push((level, text.clone()));
            }
            open_or_extend(&mut open, span, below, block.page, &mut only_headings, true);
        } else if open.is_none() && long {
            let (begin, mut heading) = match leads {
                Some(tile) => (tile.span.start, tile.heading),
                None => (span.start, above.clone()),
            };
            for span in split(&outline.text, begin..span.end, block.kind, starts, room) {
                let heading = std::mem::replace(&mut heading, above.clone());
                let page = block.page;
                tiles.push(Tile {
                    span,
                    heading,
                    page,
                });
            }
        } else {
            open_or_extend(
                &mut open,
                span,
                above,
                block.page,
                &mut only_headings,
                false,
            );
        }
    }
    tiles.extend(open);
    tiles
}

fn open_or_extend(
    open: &mut Option<Tile>,
    span: Range<usize>,
    heading: Vec<String>,
    page: Option<u32>,
    only_headings: &mut bool,
    is_heading: bool,
) {
    if let Some(tile) = open {
        tile.span.end = span.end;
        *only_headings &= is_heading;
    } else {
        *open = Some(Tile {
            span,
            heading,
            page,
        });
        *only_headings = is_heading;
    }
}

/// Cuts a range that is too long at the best boundary that is not too early.
fn split(
    text: &str,
    range: Range<usize>,
    kind: BlockKind,
    starts: TokenStarts<'_>,
    room: usize,
) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut begin = range.start;
    while starts.count(&(begin..range.end)) > room {
        let first = starts.rank(begin);
        let mut limit = floor_char(text, starts.offset(first + room, range.end));
        let earliest = floor_char(text, starts.offset(first + room / 2, range.end));
        if limit <= begin {
            limit = ceil_char(text, begin + 1).min(range.end);
        }
        let cut = best_cut(text, begin..limit, earliest.clamp(begin, limit), kind);
        pieces.push(begin..cut);
        begin = cut;
    }
    if begin < range.end {
        pieces.push(begin..range.end);
    }
    pieces
}

/// The best place to cut within `range`, not before `earliest`: a blank line, a line, a sentence,
/// a space, and only then anywhere.
fn best_cut(text: &str, range: Range<usize>, earliest: usize, kind: BlockKind) -> usize {
    let window = &text[range.clone()];
    let after = |position: Option<usize>, width: usize| {
        position
            .map(|p| range.start + p + width)
            .filter(|cut| *cut > earliest && *cut > range.start)
    };
    let blank = after(window.rfind("\n\n"), 2);
    let line = after(window.rfind('\n'), 1);
    let sentence = || {
        let ends = [". ", "! ", "? ", "。", "！", "？", "; "];
        ends.iter()
            .filter_map(|end| after(window.rfind(end), end.len()))
            .max()
    };
    let space = || {
        let found = window.char_indices().rev().find(|(_, c)| c.is_whitespace());
        found.and_then(|(p, c)| after(Some(p), c.len_utf8()))
    };
    let found = match kind {
        BlockKind::Code => blank.or(line).or_else(space),
        _ => blank.or(line).or_else(sentence).or_else(space),
    };
    found.unwrap_or(range.end)
}

fn floor_char(text: &str, mut offset: usize) -> usize {
    offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

fn ceil_char(text: &str, mut offset: usize) -> usize {
    while offset < text.len() && !text.is_char_boundary(offset) {
        offset += 1;
    }
    offset.min(text.len())
}

fn trim_blank_lines(raw: &str) -> Option<Range<usize>> {
    let end = raw.trim_end().len();
    if end == 0 {
        return None;
    }
    let lead = raw.len() - raw.trim_start().len();
    // Keep the indentation of the first line: it means something in code and outlines.
    let start = raw[..lead].rfind(['\n', '\x0c']).map_or(0, |p| p + 1);
    Some(start..end)
}

fn fit_heading(path: &[String], limit: usize, count: &impl Fn(&str) -> usize) -> Vec<String> {
    let mut heading = path.to_vec();
    while !heading.is_empty() && count(&heading.join(" > ")) > limit {
        heading.remove(0);
    }
    heading
}

/// Line numbers of byte offsets.
pub struct LineIndex(Vec<usize>);

impl LineIndex {
    /// The index of a text whose lines end with `\n`.
    pub fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(p, _)| p).collect())
    }

    /// The line, counted from 1, that holds the byte at `offset`.
    pub fn line_of(&self, offset: usize) -> u32 {
        let line = self.0.partition_point(|newline| *newline < offset) + 1;
        u32::try_from(line).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::super::outline::Block;
    use super::*;
    use proptest::prelude::*;

    /// Tokens for tests: one per word.
    fn word_starts(text: &str) -> Vec<u32> {
        let mut starts = Vec::new();
        let mut inside = false;
        for (i, c) in text.char_indices() {
            if c.is_whitespace() {
                inside = false;
            } else if !inside {
                inside = true;
                starts.push(u32::try_from(i).unwrap());
            }
        }
        starts
    }

    fn words(text: &str) -> usize {
        text.split_whitespace().count()
    }

    const LIMITS: Limits = Limits {
        max_tokens: 12,
        min_tokens: 4,
        heading_tokens: 4,
    };

    fn passages(outline: &Outline) -> Vec<Passage> {
        let starts = word_starts(&outline.text);
        chunk(
            outline,
            TokenStarts(&starts),
            LIMITS,
            Sections::RunOn,
            words,
        )
    }

    fn check_laws(outline: &Outline, limits: Limits) {
        let starts = word_starts(&outline.text);
        let passages = chunk(
            outline,
            TokenStarts(&starts),
            limits,
            Sections::RunOn,
            words,
        );
        let tiled: String = passages
            .iter()
            .map(|p| &outline.text[p.span.clone()])
            .collect();
        if outline.text.trim().is_empty() {
            assert!(passages.is_empty());
        } else {
            assert_eq!(tiled, outline.text, "tiles cover the text");
        }
        let lines: Vec<&str> = outline.text.split('\n').collect();
        for passage in &passages {
            assert!(passage.tokens <= limits.max_tokens, "{passage:?}");
            assert!(outline.text[passage.span.clone()].contains(&passage.text));
            let (a, b) = passage.lines;
            let shown = lines[a as usize - 1..b as usize].join("\n");
            assert!(shown.contains(passage.text.trim_end()), "{passage:?}");
        }
    }

    #[test]
    fn sections_open_passages_and_carry_their_path() {
        let text = "# A\none two three four five\n## B\nsix seven eight nine\n";
        let head = |span: Range<usize>, level, name: &str| Block {
            span,
            kind: BlockKind::Heading(level),
            heading: Some(name.into()),
            page: None,
        };
        let prose = |span: Range<usize>| Block {
            span,
            kind: BlockKind::Prose,
            heading: None,
            page: None,
        };
        let outline = Outline {
            text: text.into(),
            blocks: vec![
                head(0..4, 1, "A"),
                prose(4..28),
                head(28..33, 2, "B"),
                prose(33..54),
            ],
        };
        let found = passages(&outline);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].lines, (1, 2));
        assert_eq!(found[0].heading, Vec::<String>::new());
        assert_eq!(found[1].lines, (3, 4));
        assert_eq!(found[1].heading, ["A"]);
        check_laws(&outline, LIMITS);
    }

    #[test]
    fn a_heading_goes_with_the_first_piece_of_what_is_cut() {
        let long = "one two three four five six seven eight nine ten eleven twelve";
        let text = format!("# A\n## B\n{long}\n");
        let head = |span: Range<usize>, level, name: &str| Block {
            span,
            kind: BlockKind::Heading(level),
            heading: Some(name.into()),
            page: None,
        };
        let prose = Block {
            span: 9..text.len(),
            kind: BlockKind::Prose,
            heading: None,
            page: None,
        };
        let outline = Outline {
            blocks: vec![head(0..4, 1, "A"), head(4..9, 2, "B"), prose],
            text,
        };
        let found = passages(&outline);
        assert_eq!(found[0].text, "# A\n## B\none two three four");
        assert_eq!(found[0].heading, Vec::<String>::new());
        assert!(found[1].text.starts_with("five six"));
        assert_eq!(found[1].heading, ["A", "B"]);
        check_laws(&outline, LIMITS);
    }

    #[test]
    fn sections_of_slides_end_with_them() {
        let text = "# Alps\none two three\nfour five\n";
        let block = |span: Range<usize>, page, heading: Option<&str>| Block {
            span,
            kind: heading.map_or(BlockKind::Prose, |_| BlockKind::Heading(1)),
            heading: heading.map(str::to_owned),
            page: Some(page),
        };
        let outline = Outline {
            text: text.into(),
            blocks: vec![
                block(0..6, 1, Some("Alps")),
                block(7..20, 1, None),
                block(21..30, 2, None),
            ],
        };
        let check = |kind: Kind, expected: &[&str]| {
            let starts = word_starts(text);
            let sections = Sections::of(kind);
            let found = chunk(&outline, TokenStarts(&starts), LIMITS, sections, words);
            let last = found.last().unwrap();
            assert_eq!(last.heading, expected, "{kind:?}");
            assert_eq!((last.text.as_str(), last.page), ("four five", Some(2)));
        };
        check(Kind::Pptx, &[]);
        check(Kind::Mailbox, &[]);
        check(Kind::Epub, &["Alps"]);
        check(Kind::Pdf, &["Alps"]);
    }

    #[test]
    fn text_without_blocks_is_not_lost() {
        let outline = Outline {
            text: "[label]: https://example.org\n".into(),
            blocks: Vec::new(),
        };
        assert_eq!(passages(&outline).len(), 1);
        check_laws(&outline, LIMITS);
    }

    #[test]
    fn an_edit_changes_only_its_own_ids() {
        let text = "one two three four five six\n\n".repeat(3) + "alpha beta gamma delta x y z\n";
        let before = passages(&Outline::of_plain_text(text.clone()));
        let after = passages(&Outline::of_plain_text(text.replace("gamma", "GAMMA")));
        let changed = before.iter().zip(&after).filter(|(a, b)| a.id != b.id);
        assert_eq!(changed.count(), 1);
    }

    #[test]
    fn ids_parse_back() {
        let id = ChunkId::of("a", "b");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("zz".parse::<ChunkId>(), Err(NotAChunkId));
    }

    proptest! {
        #[test]
        fn chunks_tile_any_text(text in "([a-zéß。]{1,9}[ \n\t.]{1,3}){0,60}", max in 6usize..40) {
            let limits = Limits { max_tokens: max, min_tokens: max / 4, heading_tokens: 2 };
            check_laws(&Outline::of_plain_text(text), limits);
        }

        #[test]
        fn chunks_tile_arbitrary_bytes(text in any::<String>()) {
            check_laws(&Outline::of_plain_text(text), LIMITS);
        }
    }
}
