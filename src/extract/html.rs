//! Web pages: the main text, not the menus.
//!
//! Readability decides what the article is; where it finds none, or drops more than half of what is
//! not navigation, the whole page without its navigation is taken: losing a note is worse than
//! keeping a footer. The declared encoding is believed only when the bytes agree.

use std::borrow::Cow;

use dom_query::{Document, NodeRef};
use dom_smoothie::Readability;
use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

use super::pen::{Pen, one_line};
use super::{Extracted, Skip, text};
use crate::domain::source::Meta;

/// Elements whose text nobody reads.
const SILENT: &[&str] = &[
    "script", "style", "noscript", "template", "svg", "iframe", "object", "select", "button",
    "textarea", "head", "datalist", "canvas", "audio", "video",
];

/// Elements that hold navigation, not content.
const AROUND: &[&str] = &["nav", "aside", "footer"];

/// Elements after which a new line begins.
const BLOCKS: &[&str] = &[
    "address",
    "article",
    "blockquote",
    "body",
    "caption",
    "center",
    "dd",
    "details",
    "dialog",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "form",
    "header",
    "hr",
    "html",
    "li",
    "main",
    "ol",
    "p",
    "section",
    "summary",
    "table",
    "tbody",
    "tfoot",
    "thead",
    "tr",
    "ul",
];

/// The main text of a page.
///
/// # Errors
/// [`Skip`] for what is not text, or too much.
pub(super) fn extract(bytes: &[u8], limit: usize) -> Result<Extracted, Skip> {
    let html = decode(bytes)?;
    let mut pen = Pen::new(limit);
    let meta = write(&html, &mut pen);
    pen.finish(meta)
}

/// Writes the main text of a page, and returns what it says of itself.
pub(super) fn write(html: &str, pen: &mut Pen) -> Meta {
    let html = &*with_ends(html);
    let page = Document::from(html);
    let meta = Meta {
        title: title(&page),
        links: links(&page),
        ..Meta::default()
    };
    if let Some(article) = article(html, &page) {
        let article = Document::from(article.as_str());
        Writer::new(pen, AROUND).tree(&article.root());
    } else {
        Writer::new(pen, AROUND).tree(&page.root());
    }
    meta
}

/// Writes all text of a fragment: a chapter of a book with its notes, the body of a message.
pub(super) fn write_all(html: &str, pen: &mut Pen) -> Option<String> {
    let page = Document::from(&*with_ends(html));
    Writer::new(pen, &["nav"]).tree(&page.root());
    title(&page)
}

/// Elements whose end a browser looks for although they say that they have none.
const RAW: [&str; 7] = [
    "title", "script", "style", "noscript", "iframe", "textarea", "template",
];

/// XHTML with `<title/>` as `<title></title>`: read as HTML, the first has no end before that of the
/// text. What is not XHTML stays as it is.
fn with_ends(html: &str) -> Cow<'_, str> {
    let is_xml =
        html.trim_start().starts_with("<?xml") || html.contains("http://www.w3.org/1999/xhtml");
    if !is_xml {
        return Cow::Borrowed(html);
    }
    let mut written = String::with_capacity(html.len() + 32);
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        let tag = &rest[at + 1..];
        let end = tag
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(tag.len());
        let name = &tag[..end];
        let close = end_of_tag(tag).filter(|close| {
            let raw = RAW.iter().any(|raw| name.eq_ignore_ascii_case(raw));
            raw && tag[..*close].ends_with('/')
        });
        let Some(close) = close else {
            written.push_str(&rest[..=at]);
            rest = tag;
            continue;
        };
        written.push_str(&rest[..=at]);
        written.push_str(tag[..close].trim_end_matches('/'));
        written.push_str("></");
        written.push_str(name);
        written.push('>');
        rest = &tag[close + 1..];
    }
    written.push_str(rest);
    Cow::Owned(written)
}

/// Where the tag ends that `text` is in, in bytes; what is quoted ends none.
fn end_of_tag(text: &str) -> Option<usize> {
    let mut quote = None;
    text.find(|c: char| {
        match (quote, c) {
            (None, '>') => return true,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if c == open => quote = None,
            _ => {}
        }
        false
    })
}

fn title(page: &Document) -> Option<String> {
    let title = one_line(&page.select_single("head title").text());
    (!title.is_empty()).then_some(title)
}

fn links(page: &Document) -> Vec<String> {
    let mut links: Vec<String> = Vec::new();
    for node in page.select("a[href]").nodes() {
        let target = node.attr_or("href", "").trim().to_owned();
        let counts = !target.is_empty() && !target.starts_with('#') && !is_doing(&target);
        if counts && links.len() < 200 && !links.contains(&target) {
            links.push(target);
        }
    }
    links
}

/// Does a link do or hold something, rather than lead somewhere?
fn is_doing(target: &str) -> bool {
    let scheme = target.split_once(':').map_or("", |(scheme, _)| scheme);
    let doing = ["javascript", "vbscript", "data"];
    doing.iter().any(|one| scheme.eq_ignore_ascii_case(one))
}

/// Readability's article as HTML, when it is worth having.
fn article(html: &str, page: &Document) -> Option<String> {
    let mut readability = Readability::new(html, None, None).ok()?;
    if !readability.is_probably_readable() {
        return None;
    }
    let article = readability.parse().ok()?;
    let mut all = Pen::new(usize::MAX);
    Writer::new(&mut all, AROUND).tree(&page.root());
    let all = all.finish(Meta::default()).ok()?.outline.text;
    let words = |text: &str| text.split_whitespace().count();
    (words(&article.text_content) * 2 > words(&all)).then(|| article.content.to_string())
}

struct Writer<'p> {
    pen: &'p mut Pen,
    /// Elements that are left out.
    around: &'static [&'static str],
    line: String,
    /// Depth of `pre` elements around.
    verbatim: usize,
    /// Depth of items around.
    items: usize,
    heading: Option<u8>,
    cells: usize,
}

impl<'p> Writer<'p> {
    fn new(pen: &'p mut Pen, around: &'static [&'static str]) -> Self {
        Self {
            pen,
            around,
            line: String::new(),
            verbatim: 0,
            items: 0,
            heading: None,
            cells: 0,
        }
    }

    /// Walks the tree without recursion: pages may be nested a million deep.
    fn tree(mut self, root: &NodeRef<'_>) {
        let mut next = Some(*root);
        while let Some(node) = next {
            let inside = self.enter(&node);
            let child = if inside { node.first_child() } else { None };
            if child.is_some() {
                next = child;
                continue;
            }
            if inside {
                self.leave(&node);
            }
            let mut done = node;
            next = loop {
                if done.id == root.id || self.pen.is_full() {
                    break None;
                }
                if let Some(sibling) = done.next_sibling() {
                    break Some(sibling);
                }
                let Some(parent) = done.parent() else {
                    break None;
                };
                self.leave(&parent);
                done = parent;
            };
        }
        self.flush();
    }

    /// Returns whether to go on below the node.
    fn enter(&mut self, node: &NodeRef<'_>) -> bool {
        if node.is_text() {
            self.text(&node.text());
            return false;
        }
        if !node.is_element() {
            return !node.is_comment() && !node.is_doctype();
        }
        let name = node.node_name().unwrap_or_default();
        let name = &*name;
        if SILENT.contains(&name) || self.around.contains(&name) || is_hidden(node) {
            return false;
        }
        match name {
            "br" => self.line.push('\n'),
            "img" => {
                let alt = node.attr_or("alt", "");
                self.text(&format!(" {alt} "));
            }
            "pre" => {
                self.flush();
                self.verbatim += 1;
            }
            "td" | "th" => {
                if self.cells > 0 {
                    self.line.push_str(" | ");
                }
                self.cells += 1;
            }
            "li" => {
                self.flush();
                self.items += 1;
                self.line.push_str("- ");
            }
            "tr" => {
                self.flush();
                self.cells = 0;
            }
            _ => {
                if let Some(level) = level(name) {
                    self.flush();
                    self.heading = Some(level);
                } else if BLOCKS.contains(&name) {
                    self.apart();
                }
            }
        }
        true
    }

    fn leave(&mut self, node: &NodeRef<'_>) {
        let Some(name) = node.node_name() else {
            return;
        };
        match &*name {
            "pre" => {
                let code = std::mem::take(&mut self.line);
                self.pen.code(code.trim_matches('\n'));
                self.verbatim = self.verbatim.saturating_sub(1);
            }
            "tr" => {
                let row = one_line(&std::mem::take(&mut self.line));
                self.pen.row(&row);
                self.cells = 0;
            }
            "table" => {
                self.cells = 0;
                self.flush();
            }
            "li" => {
                self.apart();
                self.items = self.items.saturating_sub(1);
            }
            name if level(name).is_some() => self.flush(),
            name if BLOCKS.contains(&name) => self.apart(),
            _ => {}
        }
    }

    /// What follows is a block of its own; in a cell, words of its own.
    fn apart(&mut self) {
        if self.cells == 0 {
            self.flush();
        } else {
            self.text(" ");
        }
    }

    fn text(&mut self, text: &str) {
        if self.verbatim > 0 {
            self.line.push_str(text);
            return;
        }
        for char in text.chars() {
            if !char.is_whitespace() {
                self.line.push(char);
            } else if !self.line.ends_with(char::is_whitespace) {
                self.line.push(' ');
            }
        }
    }

    fn flush(&mut self) {
        if self.verbatim > 0 {
            return;
        }
        let line = std::mem::take(&mut self.line);
        let text = line.trim();
        if text == "-" {
            self.line = "- ".into();
            return;
        }
        match self.heading.take() {
            Some(level) => self.pen.heading(level, text),
            None if text.starts_with("- ") => self.pen.item(text),
            None if self.items > 0 => self.pen.of_item(text),
            None => self.pen.paragraph(text),
        }
    }
}

fn level(name: &str) -> Option<u8> {
    match name.as_bytes() {
        [b'h', digit @ b'1'..=b'6'] => Some(digit - b'0'),
        _ => None,
    }
}

fn is_hidden(node: &NodeRef<'_>) -> bool {
    let role = node.attr_or("role", "");
    let style = node.attr_or("style", "").replace(' ', "");
    node.has_attr("hidden")
        || &*node.attr_or("aria-hidden", "") == "true"
        || matches!(
            &*role,
            "navigation" | "search" | "contentinfo" | "complementary" | "menu"
        )
        || style.contains("display:none")
}

/// The text of a page. A byte order mark wins; then UTF-8 that is valid; then what the page
/// declares, unless the bytes clearly are something else.
///
/// # Errors
/// [`Skip`] for what is not text.
pub(super) fn decode(bytes: &[u8]) -> Result<String, Skip> {
    let marked = Encoding::for_bom(bytes).is_some() || bytes.contains(&0);
    if marked || std::str::from_utf8(bytes).is_ok() {
        return text::decode(bytes);
    }
    let guessed = text::guess(bytes);
    let encoding = match declared(bytes) {
        // Pages that declare the Western encoding often mean "I did not think about it".
        Some(declared) if declared != UTF_8 && declared != WINDOWS_1252 => declared,
        _ => guessed,
    };
    let (decoded, malformed) = encoding.decode_without_bom_handling(bytes);
    let decoded = if malformed && encoding != guessed {
        guessed.decode_without_bom_handling(bytes).0
    } else {
        decoded
    };
    text::checked(decoded.into_owned())
}

/// The encoding that a page names in its first 64 KiB.
fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(64 << 10)]).to_ascii_lowercase();
    let key = ["charset=", "encoding="];
    let at = key
        .iter()
        .filter_map(|k| head.find(k).map(|at| at + k.len()))
        .min()?;
    let label = head[at..].trim_start_matches(['"', '\'', ' ']);
    let end = label.find(|c: char| !(c.is_alphanumeric() || "-_:.".contains(c)))?;
    Encoding::for_label(&label.as_bytes()[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outline::BlockKind;

    fn read(html: &str) -> Extracted {
        extract(html.as_bytes(), 1 << 20).unwrap()
    }

    #[test]
    fn elements_of_xhtml_that_end_at_once_swallow_nothing() {
        let page = "<?xml version='1.0'?><html><head><title/><script src='a>b'/></head>\
                    <body><p>They dance.</p></body></html>";
        assert_eq!(read(page).outline.text, "They dance.\n");
        // In HTML such a mark says nothing.
        assert_eq!(with_ends("<title/>x"), "<title/>x");
        let same = "<?xml?><br/><p>a < b</p><titles/>";
        assert_eq!(with_ends(same), same);
    }

    #[test]
    fn blocks_in_a_cell_are_words_of_their_own() {
        let found =
            read("<table><tr><td><div>See you</div><div>Ann</div></td><td>7</td></tr></table>");
        assert_eq!(found.outline.text, "See you Ann | 7\n");
    }

    #[test]
    fn menus_and_scripts_are_left_out() {
        let found = read(
            "<html><head><title> A  page </title><script>var x=1</script></head><body>\
             <nav><a href='/a'>Home</a></nav><h1>Bees</h1><p>They <b>dance</b>.<br>Daily.</p>\
             <div hidden>secret</div><ul><li>one<li><p>two</p></ul><pre>a\n  b</pre>\
             <table><tr><th>Name<th>Age<tr><td>Ann<td>7</table><footer>(c)</footer></body></html>",
        );
        assert_eq!(found.meta.title.as_deref(), Some("A page"));
        assert_eq!(
            found.outline.text,
            "# Bees\n\nThey dance.\nDaily.\n\n- one\n- two\n\na\n  b\n\nName | Age\nAnn | 7\n"
        );
        assert_eq!(found.outline.blocks[0].kind, BlockKind::Heading(1));
        assert_eq!(found.meta.links, ["/a"]);
    }

    #[test]
    fn what_follows_a_list_or_a_table_is_not_of_it() {
        let found = read(
            "<h2>Boats</h2><ul><li>oar<p>of ash</p><li>sail</ul><p>Wash them.</p>\
             <table><tr><td>Boat<td>36 euros</table><h2>Hours</h2><table><tr><td>April</table>",
        );
        assert_eq!(
            found.outline.text,
            "## Boats\n- oar\nof ash\n- sail\n\nWash them.\n\nBoat | 36 euros\n\n## Hours\n\nApril\n"
        );
        for block in &found.outline.blocks {
            let text = &found.outline.text[block.span.clone()];
            assert_eq!(text, text.trim());
        }
    }

    #[test]
    fn links_lead_somewhere() {
        let page = [
            "journal.html",
            "jobs/",
            "javascript:void(0)",
            " JavaScript:x()",
            "data:text/plain,x",
            "#top",
            "mailto:ann@example.org",
        ];
        let page: String = page.map(|to| format!("<a href='{to}'>x</a>")).concat();
        let expected = ["journal.html", "jobs/", "mailto:ann@example.org"];
        assert_eq!(read(&page).meta.links, expected);
    }

    #[test]
    fn a_wrong_declaration_is_not_believed() {
        let (cyrillic, _, _) = encoding_rs::WINDOWS_1251.encode(
            "<meta charset=utf-8><p>Съешь ещё этих мягких французских булок да выпей чаю</p>",
        );
        assert!(decode(&cyrillic).unwrap().contains("французских"));
        let (declared, _, _) = encoding_rs::KOI8_R.encode("<meta charset='koi8-r'><p>Да</p>");
        assert!(decode(&declared).unwrap().contains("Да"));
    }

    #[test]
    fn deep_nesting_ends() {
        let html = "<div>".repeat(20_000) + "deep" + &"</div>".repeat(20_000);
        assert!(read(&html).outline.text.contains("deep"));
    }
}
