//! Rich Text Format.
//!
//! A small reader of our own: the crates of the registry drop line breaks and text in code pages
//! other than the Western one. It knows groups, destinations, code pages (of the document and of
//! fonts), `\u` with its fallback, and nothing of layout.

use std::collections::HashMap;

use encoding_rs::{Encoding, WINDOWS_1252};

use super::pen::{Pen, one_line};
use super::{Extracted, Skip};
use crate::domain::source::Meta;

/// Groups that are deeper are an attack, not a document.
const DEEPEST: usize = 10_000;

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
    /// Characters that follow a `\u` for readers that don't know it.
    fallback: usize,
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
    title: String,
    row: Vec<String>,
    pen: Pen,
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
        title: String::new(),
        row: Vec::new(),
        pen: Pen::new(limit),
    };
    reader.read(bytes)?;
    reader.end_paragraph();
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
            next += number.parse::<usize>().unwrap_or(0);
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
            "info" => self.state.silent = true,
            "title" => (self.state.title, self.state.silent) = (true, false),
            "f" => self.state.font = number,
            "fcharset" if self.state.fonts => {
                let page = number.and_then(charset);
                if let (Some(font), Some(page)) = (self.state.font, page) {
                    self.fonts.insert(font, page);
                }
            }
            "fldrslt" | "shptxt" | "footnote" | "annotation" => {}
            _ if starred || SILENT.contains(&word) => self.state.silent = true,
            "par" | "sect" | "page" => self.end_paragraph(),
            "line" => self.text("\n"),
            "tab" => self.text("\t"),
            "cell" => self.end_cell(),
            "row" => self.end_row(),
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
        let high = self.high.take();
        if high.is_none() {
            let kept = self.high;
            self.settle();
            self.high = kept;
        }
        let pair = [high.unwrap_or(unit), unit];
        let units = if high.is_some() {
            &pair[..]
        } else {
            &pair[1..]
        };
        if high.is_none() && (0xd800..0xdc00).contains(&unit) {
            self.high = Some(unit);
            return;
        }
        let text = String::from_utf16_lossy(units);
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
        } else if !self.state.silent {
            self.line.push_str(text);
        }
    }

    fn end_paragraph(&mut self) {
        self.settle();
        if !self.row.is_empty() {
            self.line.push(' ');
            return;
        }
        let line = std::mem::take(&mut self.line);
        self.pen.paragraph(&line);
    }

    fn end_cell(&mut self) {
        let cell = one_line(&std::mem::take(&mut self.line));
        self.row.push(cell);
    }

    fn end_row(&mut self) {
        let row = std::mem::take(&mut self.row);
        self.pen.row(&row.join(" | "));
    }
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
