//! Rich Text Format.
//!
//! A small reader of our own: the crates of the registry drop line breaks and text in code pages
//! other than the Western one. It knows groups, destinations, code pages (of the document and of
//! fonts), `\u` with its fallback, tables within tables, what is hidden, deleted or raised, notes, which
//! stand behind the paragraph that they are of, and nothing else of layout.

use std::collections::HashMap;

use encoding_rs::{Encoding, WINDOWS_1252};

use super::office::push_raised;
use super::pen::{Pen, one_line};
use super::{Extracted, Skip};
use crate::domain::source::Meta;

/// Groups that are deeper are an attack, not a document.
const DEEPEST: usize = 10_000;

/// Tables that are deeper are written into the one around.
const DEEPEST_TABLE: usize = 32;

/// Destinations whose text is not the document's.
const SILENT: &[&str] = &[
    "colortbl",
    "stylesheet",
    "pict",
    "object",
    "header",
    "headerl",
    "headerr",
    "headerf",
    "footer",
    "footerl",
    "footerr",
    "footerf",
    "fldinst",
    "themedata",
    "datastore",
    "listtable",
    "listoverridetable",
    "revtbl",
    "rsidtbl",
    "generator",
    "xmlnstbl",
    "latentstyles",
    "mmathPr",
    "bkmkstart",
    "bkmkend",
    "nonshppict",
    "filetbl",
    "author",
    "operator",
    "company",
    "creatim",
    "revtim",
    "printim",
    "buptim",
    "doccomm",
    "subject",
    "keywords",
    "category",
    "manager",
    "comment",
    "hlinkbase",
    "userprops",
];

#[derive(Clone)]
struct State {
    silent: bool,
    fonts: bool,
    title: bool,
    font: Option<i32>,
    /// Does the text stand above the line?
    raised: bool,
    /// Does nobody see it?
    hidden: bool,
    deleted: bool,
    /// Is the paragraph in a table?
    in_table: bool,
    /// How many tables is it in, where that is told.
    tables: usize,
    /// Characters that follow a `\u` for readers that don't know it.
    fallback: usize,
}

impl State {
    /// Takes in what a word says of how the text looks; a zero switches off.
    fn change_look(&mut self, word: &str, number: Option<i32>) {
        let on = number != Some(0);
        match word {
            "v" => self.hidden = on,
            "deleted" => self.deleted = on,
            "super" | "up" => self.raised = on,
            "sub" | "dn" | "nosupersub" => self.raised = false,
            _ => (self.raised, self.hidden, self.deleted) = (false, false, false),
        }
    }
}

struct Reader {
    state: State,
    stack: Vec<State>,
    page: &'static Encoding,
    fonts: HashMap<i32, &'static Encoding>,
    /// Bytes of a code page that wait for their neighbours.
    bytes: Vec<u8>,
    high: Option<u16>,
    skip: usize,
    starred: bool,
    line: String,
    /// What stands raised behind the line.
    raised: String,
    title: String,
    /// The rows under way, that of the outermost table first.
    rows: Vec<Row>,
    /// The lines around the notes under way, each with the depth of the group that its note is.
    around: Vec<(usize, String)>,
    /// Notes to the paragraph under way.
    notes: Vec<String>,
    pen: Pen,
}

/// A row of a table.
#[derive(Default)]
struct Row {
    cells: Vec<String>,
    /// What was read of the cell that is not ended yet.
    cell: String,
}

impl Row {
    fn push(&mut self, text: &str) {
        let text = one_line(text);
        if !self.cell.is_empty() && !text.is_empty() {
            self.cell.push(' ');
        }
        self.cell.push_str(&text);
    }

    fn end_cell(&mut self) {
        self.cells.push(std::mem::take(&mut self.cell));
    }

    /// The row as a line; a cell that was begun and not ended is one.
    fn into_line(mut self) -> String {
        if !self.cell.is_empty() {
            self.end_cell();
        }
        self.cells.join(" | ")
    }
}

/// The text of a document.
///
/// # Errors
/// [`Skip`].
pub(super) fn extract(bytes: &[u8], limit: usize) -> Result<Extracted, Skip> {
    if !bytes.trim_ascii_start().starts_with(b"{\\rtf") {
        return Err(Skip("broken: it is no RTF".into()));
    }
    let mut reader = Reader {
        state: State {
            silent: false,
            fonts: false,
            title: false,
            font: None,
            raised: false,
            hidden: false,
            deleted: false,
            in_table: false,
            tables: 0,
            fallback: 1,
        },
        stack: Vec::new(),
        page: WINDOWS_1252,
        fonts: HashMap::new(),
        bytes: Vec::new(),
        high: None,
        skip: 0,
        starred: false,
        line: String::new(),
        raised: String::new(),
        title: String::new(),
        rows: Vec::new(),
        around: Vec::new(),
        notes: Vec::new(),
        pen: Pen::new(limit),
    };
    reader.read(bytes)?;
    reader.end();
    let title = one_line(&reader.title);
    let meta = Meta {
        title: (!title.is_empty()).then_some(title),
        ..Meta::default()
    };
    reader.pen.finish(meta)
}

impl Reader {
    fn read(&mut self, bytes: &[u8]) -> Result<(), Skip> {
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            at += 1;
            match byte {
                b'{' => {
                    self.settle();
                    if self.stack.len() >= DEEPEST {
                        return Err(Skip("broken: its groups are nested too deep".into()));
                    }
                    self.stack.push(self.state.clone());
                    self.skip = 0;
                }
                b'}' => {
                    self.settle();
                    self.skip = 0;
                    if let Some(state) = self.stack.pop() {
                        self.state = state;
                    }
                    let depth = self.stack.len();
                    if self.around.last().is_some_and(|(group, _)| depth < *group) {
                        self.end_note();
                    }
                }
                b'\\' => at = self.control(bytes, at),
                b'\r' | b'\n' => {}
                byte => self.byte(byte),
            }
        }
        self.settle();
        Ok(())
    }

    /// Reads what follows a backslash; returns where to go on.
    fn control(&mut self, bytes: &[u8], at: usize) -> usize {
        let Some(first) = bytes.get(at) else {
            return at;
        };
        if !first.is_ascii_alphabetic() {
            return self.symbol(bytes, at, *first);
        }
        let end = |from: usize, fits: fn(&u8) -> bool| {
            let rest = &bytes[from..];
            from + rest.iter().position(|b| !fits(b)).unwrap_or(rest.len())
        };
        let word_end = end(at, u8::is_ascii_alphabetic);
        let sign = usize::from(bytes.get(word_end) == Some(&b'-'));
        let number_end = end(word_end + sign, u8::is_ascii_digit);
        let word = std::str::from_utf8(&bytes[at..word_end]).unwrap_or_default();
        let number = std::str::from_utf8(&bytes[word_end..number_end]).unwrap_or_default();
        let mut next = number_end + usize::from(bytes.get(number_end) == Some(&b' '));
        if word == "bin" {
            next = next.saturating_add(number.parse::<usize>().unwrap_or(0));
        }
        self.word(word, number.parse().ok());
        next.min(bytes.len())
    }

    fn symbol(&mut self, bytes: &[u8], at: usize, symbol: u8) -> usize {
        match symbol {
            b'\'' => {
                let hex = bytes.get(at + 1..at + 3);
                let hex = hex.and_then(|h| std::str::from_utf8(h).ok());
                if let Some(byte) = hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
                    self.byte(byte);
                }
                return (at + 3).min(bytes.len());
            }
            b'*' => self.starred = true,
            b'~' => self.text("\u{a0}"),
            b'_' => self.text("-"),
            b'\r' | b'\n' => self.word("par", None),
            b'{' | b'}' | b'\\' => self.byte(symbol),
            _ => {}
        }
        at + 1
    }

    fn word(&mut self, word: &str, number: Option<i32>) {
        if word != "u" {
            self.settle();
        }
        let starred = std::mem::take(&mut self.starred);
        match word {
            "v" | "deleted" | "super" | "up" | "sub" | "dn" | "nosupersub" | "plain" => {
                self.state.change_look(word, number);
            }
            "u" => {
                let unit = number.unwrap_or(0).rem_euclid(0x1_0000);
                self.unicode(u16::try_from(unit).unwrap_or(0xfffd));
                self.skip = self.state.fallback;
            }
            "uc" => self.state.fallback = usize::try_from(number.unwrap_or(1)).unwrap_or(1),
            "ansicpg" => {
                if let Some(page) = number.and_then(code_page) {
                    self.page = page;
                }
            }
            "fonttbl" => (self.state.fonts, self.state.silent) = (true, true),
            "info" | "nonesttables" => self.state.silent = true,
            "title" => (self.state.title, self.state.silent) = (true, false),
            "f" => self.state.font = number,
            "fcharset" if self.state.fonts => {
                let page = number.and_then(charset);
                if let (Some(font), Some(page)) = (self.state.font, page) {
                    self.fonts.insert(font, page);
                }
            }
            "footnote" | "annotation" => self.begin_note(),
            "fldrslt" | "shptxt" | "nesttableprops" => {}
            _ if starred || SILENT.contains(&word) => self.state.silent = true,
            "par" | "sect" | "page" => self.end_paragraph(),
            "line" => self.text("\n"),
            "tab" => self.text("\t"),
            "cell" => self.end_cell(1),
            "row" => self.end_rows(0),
            "nestcell" => self.end_cell(self.state.tables.max(2)),
            "nestrow" => self.end_rows(self.state.tables.max(2) - 1),
            "intbl" => self.state.in_table = true,
            "itap" => self.state.tables = depth(number),
            "pard" => (self.state.in_table, self.state.tables) = (false, 0),
            "emdash" => self.text("\u{2014}"),
            "endash" => self.text("\u{2013}"),
            "bullet" => self.text("\u{2022}"),
            "lquote" => self.text("\u{2018}"),
            "rquote" => self.text("\u{2019}"),
            "ldblquote" => self.text("\u{201c}"),
            "rdblquote" => self.text("\u{201d}"),
            _ => {}
        }
    }

    fn byte(&mut self, byte: u8) {
        if self.skip > 0 {
            self.skip -= 1;
        } else {
            self.high = None;
            self.bytes.push(byte);
        }
    }

    fn unicode(&mut self, unit: u16) {
        let text = if let Some(high) = self.high.take() {
            String::from_utf16_lossy(&[high, unit])
        } else {
            self.settle();
            if (0xd800..0xdc00).contains(&unit) {
                self.high = Some(unit);
                return;
            }
            String::from_utf16_lossy(&[unit])
        };
        self.text_now(&text);
    }

    /// Decodes the bytes that wait.
    fn settle(&mut self) {
        if self.bytes.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.bytes);
        let font = self.state.font.and_then(|font| self.fonts.get(&font));
        let page = font.copied().unwrap_or(self.page);
        let text = page.decode_without_bom_handling(&bytes).0.into_owned();
        self.text_now(&text);
    }

    fn text(&mut self, text: &str) {
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        self.settle();
        self.text_now(text);
    }

    fn text_now(&mut self, text: &str) {
        if self.state.title {
            self.title.push_str(text);
            return;
        }
        if self.state.silent || self.state.hidden || self.state.deleted {
            return;
        }
        if self.state.raised {
            self.raised.push_str(text);
        } else {
            self.lower();
            self.line.push_str(text);
        }
    }

    /// Writes what stood raised.
    fn lower(&mut self) {
        if !self.raised.is_empty() {
            push_raised(&mut self.line, &self.raised);
            self.raised.clear();
        }
    }

    fn take_line(&mut self) -> String {
        self.settle();
        self.lower();
        std::mem::take(&mut self.line)
    }

    /// Puts aside the line that a note is to.
    fn begin_note(&mut self) {
        self.lower();
        self.state.raised = false;
        let line = std::mem::take(&mut self.line);
        self.around.push((self.stack.len(), line));
    }

    /// Goes on with the line that the note was to.
    fn end_note(&mut self) {
        let note = self.take_line();
        self.notes.push(note);
        if let Some((_, line)) = self.around.pop() {
            self.line = line;
        }
    }

    fn write_notes(&mut self) {
        for note in std::mem::take(&mut self.notes) {
            self.pen.paragraph(&note);
        }
    }

    fn end_paragraph(&mut self) {
        if !self.around.is_empty() {
            self.lower();
            self.line.push('\n');
            return;
        }
        let line = self.take_line();
        let begun = self.rows.first().is_some_and(|row| !row.cells.is_empty());
        if self.state.in_table || self.state.tables > 0 || begun {
            self.row(self.state.tables.max(1)).push(&line);
            return;
        }
        // Text that was said to be in a table which did not come.
        self.end_rows(0);
        self.pen.paragraph(&line);
        self.write_notes();
    }

    /// The row under way of the table that is so deep, 1 for the outermost.
    fn row(&mut self, depth: usize) -> &mut Row {
        if self.rows.len() < depth {
            self.rows.resize_with(depth, Row::default);
        }
        &mut self.rows[depth - 1]
    }

    fn end_cell(&mut self, depth: usize) {
        let line = self.take_line();
        // Rows of tables in this cell that were not ended are of it all the same.
        self.end_rows(depth);
        let row = self.row(depth);
        row.push(&line);
        row.end_cell();
    }

    /// Ends the rows of all tables that are deeper than this.
    fn end_rows(&mut self, depth: usize) {
        while self.rows.len() > depth {
            let line = self.rows.pop().map_or_else(String::new, Row::into_line);
            match self.rows.last_mut() {
                Some(around) => around.push(&line),
                None => self.pen.table_row(&line),
            }
        }
    }

    fn end(&mut self) {
        self.state.in_table = false;
        self.state.tables = 0;
        while !self.around.is_empty() {
            self.end_note();
        }
        let line = self.take_line();
        self.end_rows(0);
        self.pen.paragraph(&line);
        self.write_notes();
    }
}

/// How many tables are around, as `\itap` says it.
fn depth(number: Option<i32>) -> usize {
    let depth = usize::try_from(number.unwrap_or(1)).unwrap_or(0);
    depth.min(DEEPEST_TABLE)
}

fn code_page(number: i32) -> Option<&'static Encoding> {
    let label = match number {
        65001 => "utf-8".into(),
        932 => "shift_jis".into(),
        936 => "gbk".into(),
        949 => "euc-kr".into(),
        950 => "big5".into(),
        10000 => "macintosh".into(),
        866 => "ibm866".into(),
        number => format!("windows-{number}"),
    };
    Encoding::for_label(label.as_bytes())
}

/// Code pages of font character sets, as the specification lists them.
fn charset(number: i32) -> Option<&'static Encoding> {
    let page = match number {
        0 => 1252,
        77 => 10000,
        128 => 932,
        129 => 949,
        134 => 936,
        136 => 950,
        161 => 1253,
        162 => 1254,
        163 => 1258,
        177 => 1255,
        178 => 1256,
        186 => 1257,
        204 => 1251,
        222 => 874,
        238 => 1250,
        _ => return None,
    };
    code_page(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rtf: &[u8]) -> String {
        extract(rtf, 1 << 20).unwrap().outline.text
    }

    #[test]
    fn what_says_to_be_longer_than_the_file_ends_with_it() {
        let found = extract(br"{\rtf1 seen\bin18446744073709551599 gone}", 1 << 20).unwrap();
        assert_eq!(found.outline.text, "seen\n");
    }

    #[test]
    fn code_pages_fonts_and_unicode_are_read() {
        let text = read(
            b"{\\rtf1\\ansi\\ansicpg1252{\\fonttbl{\\f0\\fcharset0 A;}{\\f1\\fcharset204 B;}}\
              {\\*\\generator X;}{\\info{\\title T}}\\f0 caf\\'e9\\par \\f1\\'cf\\'f0\\'e8\\f0 \
              \\u1055?\\uc2\\u8364xx.\\{ok\\}\\par\\u-10179?\\uc1\\u-8704?\\par}",
        );
        assert_eq!(
            text,
            "caf\u{e9}\n\n\u{41f}\u{440}\u{438}\u{41f}\u{20ac}.{ok}\n\n\u{1f600}\n"
        );
        let double = read(b"{\\rtf1\\ansi\\ansicpg932 \\'93\\'fa\\'96{\\b }\\'7b}");
        assert!(double.starts_with('\u{65e5}'), "{double}");
    }

    #[test]
    fn what_is_hidden_or_raised_is_told_apart() {
        let check = |body: &str, expected: &str| {
            let rtf = format!("{{\\rtf1 {body}\\par}}");
            assert_eq!(read(rtf.as_bytes()), expected, "{body}");
        };
        check(r"10{\super 6} bees, H{\sub 2}O", "10^6 bees, H2O\n");
        check(
            r"40 m\super 3\nosupersub , 1{\super st}",
            "40 m\u{b3}, 1st\n",
        );
        check(r"10{\up6 \u8722?}{\super 6}", "10^-6\n");
        check(r"a{\v HID}b\v x\v0 c{\deleted y}\v z\plain d", "abcd\n");
        check(
            r"see\super\chftn{\footnote\pard\plain\super\chftn\plain  The note}.",
            "see.\n\nThe note\n",
        );
    }

    #[test]
    fn notes_stand_behind_the_paragraph_that_they_are_of() {
        let check = |body: &str, expected: &str| {
            let rtf = format!("{{\\rtf1 {body}}}");
            assert_eq!(read(rtf.as_bytes()), expected, "{body}");
        };
        check(
            r"It stood{\super\chftn{\footnote\pard\plain See Novak.\par p. 4}} idle.\par next\par",
            "It stood idle.\n\nSee Novak.\np. 4\n\nnext\n",
        );
        check(
            r"one{\*\annotation {\v x}Mind{\footnote the weir}} way{\footnote Or two}",
            "one way\n\nthe weir\n\nMind\n\nOr two\n",
        );
        let row = r"\trowd\intbl Oars{\footnote Old}\cell 2\cell\row";
        check(
            &format!(r"{row}{row}\pard end\par"),
            "Oars | 2\nOars | 2\n\nend\n\nOld\n\nOld\n",
        );
        // One without its end.
        check(r"It{\footnote{ stood", "It\n\nstood\n");
    }

    #[test]
    fn tables_are_read_in_tables() {
        let check = |body: &str, expected: &str| {
            let rtf = format!("{{\\rtf1 {body}}}");
            assert_eq!(read(rtf.as_bytes()), expected, "{body}");
        };
        check(
            r"\trowd\intbl one\par two\cell 2024\cell\row\trowd\intbl c\cell d\cell\row\pard end\par",
            "one two | 2024\nc | d\n\nend\n",
        );
        check(
            concat!(
                r"\trowd\intbl before\par\itap2 A\nestcell B\nestcell{\*\nesttableprops\trowd\nestrow}",
                r"{\nonesttables\par}\itap1 outer\cell right\cell\row\pard",
            ),
            "before A | B outer | right\n",
        );
        // Tables without their ends, and text that only says that it is in one.
        check(r"\intbl\itap3 x\nestcell\itap1 y\cell z", "x y\n\nz\n");
        check(r"\intbl lost\par\pard kept\par", "lost\n\nkept\n");
        check(r"\intbl\itap99999999 x\nestcell y", "x\n\ny\n");
    }

    #[test]
    fn rows_and_broken_files() {
        assert_eq!(read(b"{\\rtf1 a\\cell b\\cell\\row}"), "a | b\n");
        for broken in [&b"{\\rtf1 \\'"[..], b"{\\rtf1 \\u", b"{\\rtf1 \\bin99999 x"] {
            read(broken);
        }
        assert!(extract(&[b'{'].repeat(50_000), 9).is_err());
        let deep = [b"{\\rtf1".to_vec(), b"{".repeat(50_000)].concat();
        assert!(extract(&deep, 9).is_err());
    }
}
