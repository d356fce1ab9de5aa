//! A document's text as it is read: what its kind writes in a way of its own, as Markdown has it.
//!
//! Sentences, lists and headings are told by the lines, and a star, a hash or a colon says another
//! thing in org-mode, in source code and in Markdown. Here a text becomes one of the same length in
//! which places are the same, byte by byte: headings have the marks of Markdown, and what no reader of
//! the document sees (drawers, comments, ids of blocks) is blank. What is quoted is cut by it; what is
//! shown and cited stays the document's own.

use std::borrow::Cow;
use std::ops::{Deref, Range};

use super::sentence::code::Code;
use super::source::Kind;

/// A text as it is read, and whether all of it is source code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    text: &'a str,
    is_code: bool,
}

impl<'a> Text<'a> {
    /// All of it, as long as the text borrowed from lives.
    pub fn as_str(self) -> &'a str {
        self.text
    }

    /// Is all of it source code, without fences?
    pub fn is_code(self) -> bool {
        self.is_code
    }

    /// A part of it.
    #[must_use]
    pub fn part(self, range: Range<usize>) -> Self {
        Self {
            text: &self.text[range],
            ..self
        }
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self {
            text,
            is_code: false,
        }
    }
}

impl<'a> From<&'a String> for Text<'a> {
    fn from(text: &'a String) -> Self {
        text.as_str().into()
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.text
    }
}

/// A text made ready to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readable<'a> {
    text: Cow<'a, str>,
    is_code: bool,
}

impl<'a> Readable<'a> {
    /// A text of a file of this name.
    pub fn of(text: impl Into<Cow<'a, str>>, path: &str) -> Self {
        let text = text.into();
        let hidden = match Kind::of_path(path) {
            Some(Kind::Code) => {
                return Self {
                    text,
                    is_code: true,
                };
            }
            Some(Kind::Org) => org(&text),
            Some(Kind::Rst) => {
                let text = simple_tables(&text).map_or(text, Cow::Owned);
                let hidden = grids(&text);
                return Self {
                    text: rewritten(text, hidden),
                    is_code: false,
                };
            }
            Some(Kind::Asciidoc) => asciidoc(&text),
            Some(Kind::Markdown) => unseen_in_markdown(&text),
            _ => Vec::new(),
        };
        Self {
            text: rewritten(text, hidden),
            is_code: false,
        }
    }

    /// It.
    pub fn text(&self) -> Text<'_> {
        Text {
            text: &self.text,
            is_code: self.is_code,
        }
    }
}

/// Bytes of a text, in order, and what stands there when it is read: blanks behind it.
type Change = (Range<usize>, &'static str);

/// The text with these places changed; as long as it was, and with the same lines.
fn rewritten(text: Cow<'_, str>, changes: Vec<Change>) -> Cow<'_, str> {
    if changes.is_empty() {
        return text;
    }
    let mut bytes = text.as_bytes().to_vec();
    for (range, written) in changes {
        for byte in &mut bytes[range.clone()] {
            if written == ROW_GOES_ON || !matches!(*byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        let end = range.end.min(range.start + written.len());
        bytes[range.start..end].copy_from_slice(&written.as_bytes()[..end - range.start]);
    }
    // Whole characters became blanks and marks.
    String::from_utf8(bytes).map_or(text, Cow::Owned)
}

/// Lines of a text with where they stand, without their ends.
fn lines(text: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    let mut position = 0;
    text.split_inclusive('\n').map(move |line| {
        let start = position;
        position += line.len();
        let line = line.trim_end_matches(['\n', '\r']);
        (start..start + line.len(), line)
    })
}

/// Marks of headings, by their level.
const HASHES: &str = "######";

/// What org-mode writes in its own way: headings, code, and what it keeps for itself.
fn org(text: &str) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut in_drawer = false;
    let mut in_code = false;
    for (range, line) in lines(text) {
        let trimmed = line.trim();
        let lower = trimmed.to_ascii_lowercase();
        if in_code {
            in_code = !lower.starts_with("#+end_");
            if !in_code {
                changes.push((range, "```"));
            }
            continue;
        }
        let stars = line.bytes().take_while(|byte| *byte == b'*').count();
        let is_heading = stars > 0 && line[stars..].starts_with(' ');
        if is_heading {
            in_drawer = false;
            let marks = stars.min(HASHES.len());
            let behind = range.start + stars;
            changes.push((range.start..behind, &HASHES[..marks]));
            changes.extend(about_heading(&line[stars..]).map(|kept| {
                let end = behind + kept;
                (behind..end, "")
            }));
        } else if in_drawer {
            in_drawer = lower != ":end:";
            changes.push((range, ""));
        } else if is_drawer(trimmed, &text[range.end..]) {
            in_drawer = true;
            changes.push((range, ""));
        } else if lower.starts_with("#+begin_src") || lower.starts_with("#+begin_example") {
            in_code = true;
            changes.push((range, "```"));
        } else if lower.starts_with("#+") || trimmed == "#" || trimmed.starts_with("# ") {
            changes.push((range, ""));
        } else if trimmed.starts_with("|-") {
            let crossings = line.match_indices('+');
            changes.extend(crossings.map(|(at, _)| (range.start + at..range.start + at + 1, "|")));
        }
    }
    changes
}

/// The bytes at the head of an org heading that say how important it is or that it is kept back:
/// "[#A] ", "COMMENT ". What is to be done stays told.
fn about_heading(text: &str) -> Option<usize> {
    let written = text.trim_start();
    let blank = text.len() - written.len();
    if let Some(rest) = written.strip_prefix("COMMENT ") {
        return Some(text.len() - rest.len());
    }
    let priority = written.strip_prefix("[#")?.find(']')? + 3;
    (priority <= 5).then_some(blank + priority)
}

/// ":PROPERTIES:", which begins what org-mode keeps of a heading: does it end before the next one? A
/// passage may end within one of the names that org-mode gives itself.
fn is_drawer(line: &str, behind: &str) -> bool {
    let name = line
        .strip_prefix(':')
        .and_then(|rest| rest.strip_suffix(':'));
    let Some(name) = name.map(str::to_ascii_lowercase) else {
        return false;
    };
    let letters = |c: char| c.is_alphanumeric() || "-_".contains(c);
    if name.is_empty() || name == "end" || !name.chars().all(letters) {
        return false;
    }
    let ends = |line: &&str| line.trim().eq_ignore_ascii_case(":end:") || line.starts_with('*');
    match behind.lines().find(ends) {
        Some(line) => !line.starts_with('*'),
        None => ["properties", "logbook"].contains(&name.as_str()),
    }
}

/// Tables of reStructuredText that are drawn with corners: the line below their head is as Markdown has
/// it, the others between rows are blank.
fn grids(text: &str) -> Vec<Change> {
    let mut changes = Vec::new();
    for (range, line) in lines(text) {
        let written = line.trim_end();
        let is_drawn = |mark: char| {
            written.starts_with(&format!("+{mark}"))
                && written.chars().all(|c| c == '+' || c == mark)
        };
        if is_drawn('-') {
            changes.push((range, ""));
        } else if is_drawn('=') {
            let marks = line.match_indices(['+', '=']);
            changes.extend(marks.map(|(at, mark)| {
                let at = range.start + at;
                (at..at + 1, if mark == "+" { "|" } else { "-" })
            }));
        }
    }
    changes
}

/// The text with the tables of reStructuredText whose columns are told by runs of `=`, if it holds any:
/// bars stand before the cells, and the line below their head is as Markdown has it. A first cell at
/// the margin moves by one place; the last one ends where it did.
fn simple_tables(text: &str) -> Option<String> {
    let all: Vec<(Range<usize>, &str)> = lines(text).collect();
    let mut bytes = text.as_bytes().to_vec();
    let mut found = false;
    let mut at = 0;
    while at < all.len() {
        let Some((columns, borders)) = simple_table(&all, at) else {
            at += 1;
            continue;
        };
        found = true;
        let last = borders.last().copied().unwrap_or(at);
        for (n, (range, line)) in all.iter().enumerate().take(last + 1).skip(at) {
            let written = &mut bytes[range.clone()];
            if n != at && n != last && borders.contains(&n) {
                let first = columns.first().copied().unwrap_or(0);
                written[first..].fill(b'-');
                written[first] = b'|';
            } else if borders.contains(&n) || is_under_head(line) {
                written.fill(b' ');
            } else {
                put_bars(written, line, &columns);
            }
        }
        at = last + 1;
    }
    // Blanks and bars stand in the place of blanks, and cells were moved whole.
    found.then(|| String::from_utf8(bytes).ok()).flatten()
}

/// A table that begins at this line: where its columns begin, in characters, and which lines are its
/// borders: one above, one below, and one below its head where it has one.
fn simple_table(all: &[(Range<usize>, &str)], at: usize) -> Option<(Vec<usize>, Vec<usize>)> {
    /// A table of more lines is not read as one.
    const MOST_LINES: usize = 1000;
    let border = all[at].1.trim_end();
    let columns = columns_of(border)?;
    let is_blank = |n: usize| {
        let line = all.get(n);
        line.is_none_or(|(_, line)| line.trim().is_empty())
    };
    if is_blank(at + 1) {
        // It ends a table whose beginning stands in another passage.
        return None;
    }
    let mut borders = vec![at];
    for n in (at + 1..all.len()).take(MOST_LINES) {
        if all[n].1.trim_end() != border {
            continue;
        }
        borders.push(n);
        if borders.len() == 3 || is_blank(n + 1) {
            return Some((columns, borders));
        }
    }
    None
}

/// Where the runs of `=` begin, two or more, that a line is.
fn columns_of(border: &str) -> Option<Vec<usize>> {
    let bytes = border.as_bytes();
    let begins = |at: &usize| bytes[*at] == b'=' && (*at == 0 || bytes[*at - 1] == b' ');
    let columns: Vec<usize> = (0..bytes.len()).filter(begins).collect();
    let is_border = bytes.iter().all(|byte| b"= ".contains(byte));
    (is_border && columns.len() > 1).then_some(columns)
}

/// Does a line stand below cells of a head that span columns?
fn is_under_head(line: &str) -> bool {
    line.contains("--") && line.bytes().all(|byte| b"- ".contains(&byte))
}

/// Writes bars before the cells of a row, where blanks stand; a row without room for the first stays.
fn put_bars(written: &mut [u8], line: &str, columns: &[usize]) {
    let place = |column: usize| line.char_indices().nth(column).map(|(at, _)| at);
    let mut places = columns.iter().map_while(|column| place(*column));
    let Some(first) = places.next() else {
        return;
    };
    let rest: Vec<usize> = places.collect();
    if first > 0 {
        if written[first - 1] != b' ' {
            return;
        }
        written[first - 1] = b'|';
    } else {
        let end = rest.first().copied().unwrap_or(0);
        if end < 2 || !written[..end].ends_with(b"  ") {
            return;
        }
        written[..end - 1].rotate_right(1);
        written[0] = b'|';
    }
    for at in rest {
        if written[at - 1] == b' ' {
            written[at - 1] = b'|';
        }
    }
}

/// What `AsciiDoc` writes in its own way: tables with a cell a line, of which as many as the first line
/// has are one row, and what its readers are not shown: comments, and what is set for the program.
fn asciidoc(text: &str) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut rows = Rows::default();
    // What ends the block under way, whose lines stay as they are or are not seen.
    let mut block: Option<&str> = None;
    let mut above = ["", ""];
    for (range, line) in lines(text) {
        let written = line.trim_end();
        let begins = if block.is_some() || is_underline(above, written) {
            None
        } else {
            end_of_block(written).filter(|ends| has_line(&text[range.end..], ends))
        };
        above = [above[1], written];
        let is_comment = block.or(begins).is_some_and(|ends| ends.starts_with('/'));
        let is_text = block.or(begins).is_none();
        if is_comment || is_text && is_for_asciidoctor(written) {
            changes.push((range, ""));
        } else if is_text && written == "|===" {
            rows = Rows {
                in_table: !rows.in_table,
                ..Rows::default()
            };
            changes.push((range, ""));
        } else if is_text {
            let gap = rows.take(text, range, line);
            changes.extend(gap.map(|gap| (gap, ROW_GOES_ON)));
        }
        block = match block {
            Some(ends) => Some(ends).filter(|ends| *ends != written),
            None => begins,
        };
    }
    changes
}

/// Does a text have this line?
fn has_line(text: &str, wanted: &str) -> bool {
    text.lines().any(|line| line.trim_end() == wanted)
}

/// The line that ends a block of code or a comment which this line begins.
fn end_of_block(line: &str) -> Option<&str> {
    if line.starts_with("```") {
        return Some("```");
    }
    let is_run = |mark: char| line.len() >= 4 && line.chars().all(|c| c == mark);
    ['-', '.', '+', '/'].into_iter().any(is_run).then_some(line)
}

/// Does a line stand below a title that is about as long? The other lines are the two above it.
fn is_underline([outer, title]: [&str; 2], line: &str) -> bool {
    (outer.is_empty() || outer.starts_with('['))
        && title.starts_with(char::is_alphanumeric)
        && title.chars().count().abs_diff(line.len()) <= 1
}

/// Is it a line of a comment, an attribute such as `:toc: left`, or what is said of the block below it,
/// such as `[source,sh]`?
fn is_for_asciidoctor(line: &str) -> bool {
    let comment = line.starts_with("//") && !line.starts_with("///");
    let name = line.strip_prefix(':').and_then(|rest| rest.split_once(':'));
    let attribute = name.is_some_and(|(name, value)| {
        let name = name.trim_matches('!');
        let letters = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        !name.is_empty()
            && name.chars().all(letters)
            && (value.is_empty() || value.starts_with(' '))
    });
    let about = line
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let about = about.is_some_and(|about| !about.trim_matches(['[', ']']).contains(['[', ']']));
    comment || attribute || about
}

/// Rows of a table under way.
#[derive(Default)]
struct Rows {
    in_table: bool,
    columns: Option<usize>,
    /// Cells of the last row.
    held: usize,
    last_end: usize,
}

impl Rows {
    /// Takes in a line; where it goes on with the row before, returns what stands between them.
    fn take(&mut self, text: &str, range: Range<usize>, line: &str) -> Option<Range<usize>> {
        let cells = line.matches('|').count();
        if !self.in_table || cells == 0 || !line.starts_with('|') {
            return None;
        }
        let wanted = *self.columns.get_or_insert(cells);
        let gap = self.last_end..range.start;
        self.last_end = range.end;
        let is_next = text[gap.clone()].trim_matches(['\r', '\n']).is_empty();
        if self.held > 0 && self.held < wanted && is_next {
            self.held += cells;
            return Some(gap);
        }
        self.held = cells;
        None
    }
}

/// Stands in the place of the end of a line that goes on in the next one.
const ROW_GOES_ON: &str = " ";

/// What Markdown's readers do not show: comments of HTML and of Obsidian that are not within a line,
/// the ids of blocks, what Logseq keeps of one.
fn unseen_in_markdown(text: &str) -> Vec<Change> {
    let mut changes = Vec::new();
    let may_hold = ["<!--", "%%", " ^", "\n^", ":: "]
        .iter()
        .any(|mark| text.contains(mark));
    if !may_hold {
        return changes;
    }
    let code = Code::of(text);
    changes.extend(comments(text, &code, "<!--", "-->"));
    changes.extend(comments(text, &code, "%%", "%%"));
    for (range, line) in lines(text) {
        if code.is_fenced(range.start) {
            continue;
        }
        if is_kept_by_logseq(line) {
            changes.push((range, ""));
        } else if let Some(id) = block_id(line) {
            changes.push((range.start + id..range.end, ""));
        }
    }
    changes
}

/// Comments that begin a line or end one. Those with text before and behind them in one line stay: they
/// are left out when it is told.
fn comments(text: &str, code: &Code<'_>, opens: &str, closes: &str) -> Vec<Change> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(begin) = text[at..].find(opens).map(|begin| at + begin) {
        let inner = begin + opens.len();
        at = inner;
        if code.holds(begin) {
            continue;
        }
        let Some(end) = text[inner..]
            .find(closes)
            .map(|end| inner + end + closes.len())
        else {
            break;
        };
        at = end;
        let is_blank = |text: &str| text.trim().is_empty();
        let before = text[..begin].rsplit('\n').next().is_none_or(is_blank);
        let behind = text[end..].split('\n').next().is_none_or(is_blank);
        if before || behind || text[begin..end].contains('\n') {
            found.push((begin..end, ""));
        }
    }
    found
}

/// `id:: 64a1…`, which is of the program and not of its reader.
fn is_kept_by_logseq(line: &str) -> bool {
    const KEYS: [&str; 8] = [
        "id",
        "collapsed",
        "heading",
        "background-color",
        "logseq.order-list-type",
        "query-table",
        "query-properties",
        "file-path",
    ];
    let line = line.trim_start().trim_start_matches("- ");
    let key = line.split_once(":: ").map(|(key, _)| key);
    key.is_some_and(|key| KEYS.contains(&key) || key.starts_with("card-") || key.starts_with("hl-"))
}

/// Where in a line the id of its block begins, by which others link to it: " ^fence1".
fn block_id(line: &str) -> Option<usize> {
    let written = line.trim_end();
    let at = written.rfind('^')?;
    let id = &written[at + 1..];
    let is_id = !id.is_empty()
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let apart = at == 0 || written[..at].ends_with([' ', '\t']);
    let is_number = id.bytes().all(|byte| byte.is_ascii_digit());
    (is_id && !is_number && apart).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: &str) {
        let read = Readable::of(text, path);
        assert_eq!(read.text().as_str(), expected, "{text}");
        assert_eq!(read.text().len(), text.len());
    }

    #[test]
    fn org_is_read_as_markdown_with_the_same_places() {
        let drawer = "* Boiler\n:PROPERTIES:\n:ID: 7\n:END:\nIt is old.\n";
        let read = "# Boiler\n            \n      \n     \nIt is old.\n";
        check("a.org", drawer, read);
        check("a.md", "* Boiler", "* Boiler");
        check("a.org", "** TODO [#A] Oil", "## TODO [#A] Oil");
        check("a.org", "* [#A] Oil", "#      Oil");
        check("a.org", "* COMMENT Old\ntext", "#         Old\ntext");
        check("a.org", "******** deep", "######   deep");
        check("a.org", "*bold* word", "*bold* word");
        check("a.org", "#+TITLE: x\n# no\n#tag", "          \n    \n#tag");
        check(
            "a.org",
            "#+begin_src sh\n* x\n#+end_src\n* y",
            "```           \n* x\n```      \n# y",
        );
        check("a.org", "| a | b |\n|---+---|", "| a | b |\n|---|---|");
        check(
            "a.rst",
            "+---+---+\n| a | b |\n+===+===+\n| 1 | 2 |\n+---+---+",
            "         \n| a | b |\n|---|---|\n| 1 | 2 |\n         ",
        );
        check(
            "a.adoc",
            "|===\n|a |b\n\n|1\n|2\n|3 |4\n|===",
            "    \n|a |b\n\n|1 |2\n|3 |4\n    ",
        );
        check("a.org", ":warm: tea", ":warm: tea");
        check("a.org", ":tea:\nIt is warm.", ":tea:\nIt is warm.");
        check("a.org", ":LOGBOOK:\n- a", "         \n   ");
        check("a.org", ":LOGBOOK:\n* next", ":LOGBOOK:\n# next");
    }

    #[test]
    fn what_asciidoc_is_told_is_blank() {
        check(
            "a.adoc",
            "= Mill\nAnn Novak\n:toc: left\n:!numbered:\n\n// no\nIt stands.\n[source,sh]\n----\n\
             // a\n:b: c\n----\n////\nold\n////\nEnd.",
            "= Mill\nAnn Novak\n          \n           \n\n     \nIt stands.\n           \n----\n\
             // a\n:b: c\n----\n    \n   \n    \nEnd.",
        );
        // No code begins here, nor a comment that has no end.
        check(
            "a.adoc",
            "Part\n----\n:a: b\n\nMore\n----\n////\nend",
            "Part\n----\n     \n\nMore\n----\n////\nend",
        );
        for same in ["[1] a", ": a", "[a] or [b]", "a // b", "::"] {
            check("a.adoc", same, same);
        }
    }

    #[test]
    fn tables_without_corners_have_bars() {
        check(
            "a.rst",
            "=====  =====\nPlace  Größe\n=====  =====\nGröß   3 µm\nAt     (7)  x\n\
             =====  =====\n\nend",
            "            \n|Place|Größe\n|-----------\n|Größ |3 µm\n|At   |(7)  x\n            \n\nend",
        );
        check(
            "a.rst",
            "  == ==\n  a  b\n  -- --\n  12 34\n  == ==",
            "       \n |a |b\n       \n |12|34\n       ",
        );
        check("a.rst", "== ==\n12 34\n== ==", "     \n12 34\n     ");
        check("a.rst", "=== ===\nno table", "=== ===\nno table");
        // The end of another table; a row that begins ahead of its column.
        check(
            "a.rst",
            "1   2\n==  ==\n\nend\n\n==  ==\na   b\n==  ==\n3   4\n==  ==",
            "1   2\n==  ==\n\nend\n\n      \n|a |b\n|-----\n|3 |4\n      ",
        );
        check(
            "a.rst",
            "  == ==\n aé  b\n  == ==",
            "       \n aé  b\n       ",
        );
        check(
            "a.rst",
            "Head\n====\n\nx\n\nMore\n====",
            "Head\n====\n\nx\n\nMore\n====",
        );
    }

    #[test]
    fn what_markdown_does_not_show_is_blank() {
        check(
            "a.md",
            "It is so.\n<!-- no\nmore -->\nEnd.",
            "It is so.\n       \n        \nEnd.",
        );
        check("a.md", "It <!-- no --> is.", "It <!-- no --> is.");
        check("a.md", "It is. <!-- no -->", "It is.            ");
        check("a.md", "A\n%%\nold\n%%\nB", "A\n  \n   \n  \nB");
        check("a.md", "100 %% 5", "100 %% 5");
        check("a.md", "`<!-- x -->`", "`<!-- x -->`");
        check("a.md", "```\n<!-- x -->\n```", "```\n<!-- x -->\n```");
        check("a.md", "90 euros. ^fence1", "90 euros.        ");
        check("a.md", "2 ^ 3 = 8", "2 ^ 3 = 8");
        check("a.md", "It is x ^2", "It is x ^2");
        check(
            "a.md",
            "- ewe\n  collapsed:: true\n  id:: 64a1",
            "- ewe\n                  \n           ",
        );
        check("a.md", "place:: Graz", "place:: Graz");
        check("a.txt", "<!-- x -->", "<!-- x -->");
    }

    #[test]
    fn source_code_is_code() {
        assert!(Readable::of("# note", "/a/b.sh").text().is_code());
        assert!(!Readable::of("# note", "/a/b.md").text().is_code());
    }
}
