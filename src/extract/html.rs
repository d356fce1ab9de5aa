//! Web pages: the main text, not the menus.
//!
//! Readability decides what the article is; where it finds none, or drops more than half of what is
//! not navigation, the whole page without its navigation is taken: losing a note is worse than
//! keeping a footer. The declared encoding is believed only when the bytes agree.
//!
//! A row of a table is a line, with all that its cells hold, unless that is more than a line: then it
//! is a part of the page's layout. What is raised is told from the digits before it: `10^3`, `[1]`.

use std::borrow::Cow;

use dom_query::{Document, NodeRef};
use dom_smoothie::Readability;
use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

use super::pen::{Pen, one_line};
use super::{Extracted, Skip, text};
use crate::domain::source::Meta;
use crate::domain::words::is_unspaced;

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
    keep_what_belongs(&page);
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
    keep_what_belongs(&page);
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
        let raw = RAW.iter().any(|raw| name.eq_ignore_ascii_case(raw));
        let close = if raw { end_of_tag(tag) } else { None };
        let Some(close) = close.filter(|close| tag[..*close].ends_with('/')) else {
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
    let own = Document::from(html);
    keep_what_belongs(&own);
    let mut readability = Readability::with_document(own, None, None).ok()?;
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

/// Elements of a page of which it is told whether they belong to its text, at most.
const MOST_DOUBTFUL: usize = 1000;

/// Nodes of such an element that are looked at, at most.
const MOST_NODES: usize = 2000;

/// How far up the element is looked for that such an element is in.
const FURTHEST: usize = 32;

/// Gives elements that are left out elsewhere names of such as are kept, where they belong to the text:
/// notes beside an article, who is quoted, buttons that a sentence names.
fn keep_what_belongs(page: &Document) {
    for node in page
        .select("aside, footer, button")
        .nodes()
        .iter()
        .take(MOST_DOUBTFUL)
    {
        let is_within = |names: &[&str]| {
            let mut around = node.ancestors_it(Some(FURTHEST));
            around.any(|node| names.iter().any(|name| node.has_name(name)))
        };
        if node.has_name("button") {
            if is_in_sentence(node) {
                node.rename("span");
            }
        } else if node.has_name("footer") {
            if is_within(&["blockquote"]) {
                node.rename("section");
            }
        } else if (is_within(&["article", "main"]) || stands_between(node)) && !leads_away(node) {
            node.rename("section");
        }
    }
}

/// Does text stand right before or behind it?
fn is_in_sentence(node: &NodeRef<'_>) -> bool {
    let says = |node: Option<NodeRef<'_>>| {
        node.is_some_and(|node| node.is_text() && node.text().contains(char::is_alphabetic))
    };
    says(node.prev_sibling()) || says(node.next_sibling())
}

/// Does it stand between paragraphs and the like?
fn stands_between(node: &NodeRef<'_>) -> bool {
    const OF_TEXT: [&str; 9] = [
        "p",
        "blockquote",
        "ul",
        "ol",
        "dl",
        "pre",
        "table",
        "figure",
        "hr",
    ];
    let is_text = |node: Option<NodeRef<'_>>| {
        let name = node.and_then(|node| node.node_name());
        name.is_some_and(|name| OF_TEXT.contains(&&*name) || level(&name).is_some())
    };
    is_text(node.prev_element_sibling()) && is_text(node.next_element_sibling())
}

/// What the asides are called that lead to other pages.
const LEADING: [&str; 14] = [
    "sidebar",
    "related",
    "recommend",
    "widget",
    "share",
    "social",
    "newsletter",
    "subscribe",
    "promo",
    "advert",
    "banner",
    "cookie",
    "menu",
    "toc",
];

/// Is an aside of the site, not of the text: by its name, by what is next to it, or because it is
/// links, most of all?
fn leads_away(node: &NodeRef<'_>) -> bool {
    let names = format!("{} {}", node.attr_or("class", ""), node.attr_or("id", ""));
    let names = names.to_lowercase();
    let sibling = |node: Option<NodeRef<'_>>| node.is_some_and(|node| node.has_name("article"));
    if LEADING.iter().any(|name| names.contains(name))
        || sibling(node.prev_element_sibling())
        || sibling(node.next_element_sibling())
    {
        return true;
    }
    let (mut all, mut linked) = (0, 0);
    for inner in node
        .descendants_it()
        .take(MOST_NODES)
        .filter(NodeRef::is_text)
    {
        let signs = one_line(&inner.text()).len();
        all += signs;
        let mut around = inner.ancestors_it(Some(4));
        if around.any(|node| node.has_name("a")) {
            linked += signs;
        }
    }
    linked * 2 > all
}

/// Text of a few signs within few nodes, on one line; nothing where there is more, or an image, or what
/// is hidden.
fn short_text(node: &NodeRef<'_>, most_nodes: usize, most_bytes: usize) -> Option<String> {
    let mut text = String::new();
    for (number, inner) in node.descendants_it().enumerate() {
        if number >= most_nodes || text.len() > most_bytes {
            return None;
        }
        if inner.is_text() {
            text.push_str(&inner.text());
        } else if inner.has_name("img") || inner.is_element() && is_hidden(&inner) {
            return None;
        }
    }
    let text = one_line(&text);
    (text.len() <= most_bytes).then_some(text)
}

/// Nodes and bytes of what is raised above a line, at most.
const RAISED: (usize, usize) = (32, 24);

/// What a raised text is written as behind `line`: a power, `^3`, or the mark of a note, `[1]`. `None`
/// for what reads well as it is, such as the end of "5th".
fn raised(node: &NodeRef<'_>, line: &str) -> Option<String> {
    let said = short_text(node, RAISED.0, RAISED.1)?;
    let is_number = said.bytes().all(|byte| byte.is_ascii_digit()) && !said.is_empty();
    let behind = Behind::of(line);
    match links_of(node, &said) {
        Links::ToNote => return note_marks(&said),
        Links::Elsewhere if behind != Behind::Unit => return note_marks(&said),
        _ => {}
    }
    // "3<sup>1</sup>⁄<sub>2</sub>" is three and a half.
    let fraction = node.next_sibling().filter(NodeRef::is_text);
    if fraction.is_some_and(|next| next.text().starts_with('⁄')) {
        return Some(format!(" {said}"));
    }
    match behind {
        Behind::Number | Behind::Unit if is_power(&said) => Some(format!("^{said}")),
        Behind::Word if is_number && said.len() <= 3 => note_marks(&said),
        _ => None,
    }
}

/// What a line ends with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    /// A digit, or a parenthesis.
    Number,
    /// Letters that may be a unit or a sign.
    Unit,
    /// A word, or a mark behind one.
    Word,
    Other,
}

impl Behind {
    fn of(line: &str) -> Self {
        /// Letters of a sign for a unit, at most.
        const SIGN: usize = 3;
        const WRITTEN_OUT: [&str; 13] = [
            "metre", "metres", "meter", "meters", "mile", "miles", "foot", "feet", "inch",
            "inches", "yard", "yards", "zoll",
        ];
        let Some(last) = line.chars().next_back() else {
            return Self::Other;
        };
        if last.is_ascii_digit() || matches!(last, ')' | ']') {
            return Self::Number;
        }
        if last.is_alphabetic() {
            let rest = line.trim_end_matches(char::is_alphabetic);
            let word = &line[rest.len()..];
            let is_unit = word.chars().nth(SIGN).is_none() && !word.contains(is_unspaced);
            let written_out = WRITTEN_OUT.contains(&word.to_lowercase().as_str());
            return if is_unit || written_out {
                Self::Unit
            } else {
                Self::Word
            };
        }
        let stops = ".,;:!?…%\"'”’»。、";
        if stops.contains(last) {
            Self::Word
        } else {
            Self::Other
        }
    }
}

/// Where the links of a raised text lead.
enum Links {
    None,
    /// To a place of a page.
    ToNote,
    Elsewhere,
}

fn links_of(node: &NodeRef<'_>, said: &str) -> Links {
    let of_one = |node: &NodeRef<'_>| {
        let target = node.attr("href").filter(|_| node.has_name("a"))?;
        Some(target.contains('#'))
    };
    // The mark alone may be raised within its link.
    let around = node.parent().filter(|parent| {
        let same = || short_text(parent, RAISED.0, RAISED.1);
        of_one(parent) == Some(true) && same().as_deref() == Some(said)
    });
    if around.is_some() {
        return Links::ToNote;
    }
    let mut links = node.descendants_it().filter_map(|inner| of_one(&inner));
    match links.next() {
        Some(true) => Links::ToNote,
        Some(false) => Links::Elsewhere,
        None => Links::None,
    }
}

/// A whole number or a decimal, perhaps with its sign.
fn is_power(said: &str) -> bool {
    let digits = said.trim_start_matches(['-', '−', '–', '+']);
    let parts = || digits.split(['.', ',', '/']);
    parts().count() <= 2
        && parts().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The marks of notes as sentences are told to end before them: `[1][2]`, `[^a]`. `None` for what is
/// no name of a note, or has its brackets.
fn note_marks(said: &str) -> Option<String> {
    let bare = said
        .strip_prefix('(')
        .and_then(|said| said.strip_suffix(')'));
    let mut marks = String::new();
    for name in bare.unwrap_or(said).split([',', ';', ' ']) {
        let name = name.replace('–', "-");
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if name.is_empty() {
            continue;
        }
        if name.len() > 6 || !name.chars().all(is_name) {
            return None;
        }
        let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
        marks.push_str(if is_number { "[" } else { "[^" });
        marks.push_str(&name);
        marks.push(']');
    }
    (!marks.is_empty()).then_some(marks)
}

/// Does a link say that it leads to a note (of books, and of what Pandoc writes)?
fn is_note_link(node: &NodeRef<'_>) -> bool {
    let has = |name: &str, value: &str| {
        let said = node.attr_or(name, "");
        said.split_whitespace().any(|one| one == value)
    };
    has("role", "doc-noteref") || has("epub:type", "noteref")
}

/// Nodes and bytes of a cell that is written into the line of its row, whatever it holds.
const IN_ROW: (usize, usize) = (80, 300);

/// Cells beside a cell that are looked at.
const NEIGHBOURS: usize = 8;

/// Is what a cell holds said on the line of its row, lists, code and tables included? Cells that are
/// large or alone in their row are there for the layout, and code with its numbers is of lines.
fn is_said_in_row(cell: &NodeRef<'_>) -> bool {
    let Some(said) = short_text(cell, IN_ROW.0, IN_ROW.1) else {
        return false;
    };
    let class = cell.attr_or("class", "").to_lowercase();
    let of_code = ["code", "line", "gutter", "blob"];
    let says = |node: &NodeRef<'_>| {
        let said = short_text(node, IN_ROW.0, usize::MAX);
        said.is_none_or(|said| !said.is_empty())
    };
    let is_cell = |node: &NodeRef<'_>| node.has_name("td") || node.has_name("th");
    let before = std::iter::successors(cell.prev_sibling(), NodeRef::prev_sibling);
    let behind = std::iter::successors(cell.next_sibling(), NodeRef::next_sibling);
    !said.is_empty()
        && !of_code.iter().any(|name| class.contains(name))
        && (before
            .take(NEIGHBOURS)
            .any(|node| is_cell(&node) && says(&node))
            || behind
                .take(NEIGHBOURS)
                .any(|node| is_cell(&node) && says(&node)))
}

/// What the line holds last of a list of terms.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    None,
    Term,
    Definition,
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
    /// Cells of the row around that have begun.
    cells: usize,
    /// Those of the rows around the tables around.
    outer: Vec<usize>,
    /// Is the cell around said on the line of its row, whatever it holds?
    in_row: bool,
    /// Tables within that cell, and cells of the row of the last of them.
    inner: usize,
    inner_cells: usize,
    /// Was a part of the row written before its end?
    broken: bool,
    entry: Entry,
    /// Depth of terms and definitions around.
    entries: usize,
    /// Length of the line before what the last of them says.
    begun: usize,
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
            outer: Vec::new(),
            in_row: false,
            inner: 0,
            inner_cells: 0,
            broken: false,
            entry: Entry::None,
            entries: 0,
            begun: 0,
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
            "sup" if self.verbatim == 0 => return !self.raise(raised(node, &self.line)),
            "a" if self.verbatim == 0 && is_note_link(node) => {
                let said = short_text(node, RAISED.0, RAISED.1);
                return !self.raise(said.and_then(|said| note_marks(&said)));
            }
            "pre" if self.in_row => self.text(" "),
            "pre" => {
                self.flush();
                self.verbatim += 1;
            }
            "table" | "tr" | "td" | "th" => self.enter_table(name, node),
            "li" if self.in_row => self.join("; "),
            "li" => {
                self.flush();
                self.items += 1;
                self.line.push_str("- ");
            }
            "dl" => self.part(),
            "dt" | "dd" => self.enter_entry(name == "dt"),
            _ => {
                if let Some(level) = level(name).filter(|_| !self.in_row) {
                    self.flush();
                    self.heading = Some(level);
                } else if self.entries > 0 && BLOCKS.contains(&name) {
                    // The first block of a definition stands behind its term.
                    if self.line.trim_end().len() > self.begun {
                        self.part();
                    }
                } else if BLOCKS.contains(&name) || level(name).is_some() {
                    self.part();
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
            "pre" | "li" if self.in_row => self.text(" "),
            "pre" => {
                let code = std::mem::take(&mut self.line);
                self.pen.code(code.trim_matches('\n'));
                self.verbatim = self.verbatim.saturating_sub(1);
            }
            name @ ("table" | "tr" | "td" | "th") => self.leave_table(name),
            "li" => {
                self.flush();
                self.items = self.items.saturating_sub(1);
            }
            "dl" => self.part(),
            name @ ("dt" | "dd") => self.leave_entry(name == "dt"),
            name if level(name).is_some() && !self.in_row => self.flush(),
            name if BLOCKS.contains(&name) || level(name).is_some() => {
                if self.entries > 0 {
                    self.text(" ");
                } else {
                    self.part();
                }
            }
            _ => {}
        }
    }

    /// Writes what stands in the place of an element; returns whether there is such.
    fn raise(&mut self, written: Option<String>) -> bool {
        if let Some(written) = &written {
            self.text(written);
        }
        written.is_some()
    }

    fn enter_table(&mut self, name: &str, node: &NodeRef<'_>) {
        match name {
            "table" if self.in_row => {
                self.inner += 1;
                self.inner_cells = 0;
                self.text(" ");
            }
            "table" => {
                self.flush();
                self.outer.push(std::mem::take(&mut self.cells));
            }
            "tr" if self.in_row => {
                if self.inner_cells > 0 {
                    self.join("; ");
                }
                self.inner_cells = 0;
            }
            "tr" => {
                self.flush();
                self.cells = 0;
                self.broken = false;
            }
            _ if self.in_row => {
                if self.inner_cells > 0 {
                    self.join(", ");
                }
                self.inner_cells += 1;
            }
            _ => {
                let goes_on = self.broken && self.line.trim().is_empty();
                if self.cells > 0 && !goes_on {
                    self.line.push_str(" | ");
                }
                self.cells += 1;
                self.in_row = is_said_in_row(node);
            }
        }
    }

    fn leave_table(&mut self, name: &str) {
        match name {
            "table" if self.inner > 0 => {
                self.inner -= 1;
                self.text(" ");
            }
            "table" => {
                self.cells = 0;
                self.flush();
                self.cells = self.outer.pop().unwrap_or(0);
                self.broken = self.cells > 0;
            }
            "tr" if self.inner > 0 => {}
            "tr" => {
                let row = one_line(&std::mem::take(&mut self.line));
                if std::mem::take(&mut self.broken) {
                    self.pen.paragraph(row.trim_matches([' ', '|']));
                } else {
                    self.pen.table_row(&row);
                }
                self.cells = 0;
                self.entry = Entry::None;
            }
            _ if self.inner > 0 => {}
            _ => self.in_row = false,
        }
    }

    fn enter_entry(&mut self, is_term: bool) {
        let follows = self.entry != Entry::None;
        match (self.entry, is_term) {
            (Entry::Term, true) => self.join(", "),
            (Entry::Term, false) => self.join(": "),
            (Entry::Definition, false) => self.join("; "),
            (Entry::Definition, true) if self.cells > 0 => self.join("; "),
            _ => self.part(),
        }
        self.entry = if follows && !is_term {
            Entry::Definition
        } else {
            Entry::None
        };
        self.entries += 1;
        self.begun = self.line.trim_end().len();
    }

    /// A term waits for its definition; behind that, another may follow.
    fn leave_entry(&mut self, is_term: bool) {
        self.entries = self.entries.saturating_sub(1);
        if is_term && !self.line.trim().is_empty() {
            self.entry = Entry::Term;
        } else if self.entry == Entry::None {
            self.part();
        }
    }

    /// What follows is a block of its own; in a cell, words of its own.
    fn part(&mut self) {
        if self.cells == 0 {
            self.flush();
        } else {
            self.text(" ");
        }
    }

    /// What follows is said in the same line, behind this mark where something is said before.
    fn join(&mut self, mark: &str) {
        self.line.truncate(self.line.trim_end().len());
        let says = !self.line.is_empty() && !self.line.ends_with(['|', ':', ';', ',', '-']);
        // "How long is it? Ten metres."
        let asks = mark == ": " && self.line.ends_with(['?', '!']);
        self.line.push_str(if says && !asks { mark } else { " " });
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
        self.entry = Entry::None;
        self.begun = 0;
        let mut text = line.trim();
        if self.cells > 0 {
            self.broken = true;
            text = text.trim_end_matches([' ', '|']);
        }
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
    node.has_attr("hidden")
        || &*node.attr_or("aria-hidden", "") == "true"
        || matches!(
            &*role,
            "navigation" | "search" | "contentinfo" | "complementary" | "menu"
        )
        || is_styled_away(&node.attr_or("style", ""))
        || node.has_name("dialog") && !node.has_attr("open")
}

/// Does a style hide what it is of?
fn is_styled_away(style: &str) -> bool {
    let style = style.to_ascii_lowercase();
    let mut rules = style.split(';').filter_map(|rule| rule.split_once(':'));
    rules.any(|(name, value)| match name.trim() {
        "display" => value.trim().starts_with("none"),
        "visibility" => value.trim().starts_with("hidden") || value.trim().starts_with("collapse"),
        _ => false,
    })
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
        // Pages that declare the Western encoding often mean "I did not think about it"; those that
        // declare one whose letters are other bytes could not be read that far.
        Some(declared)
            if ![UTF_8, WINDOWS_1252].contains(&declared) && declared.is_ascii_compatible() =>
        {
            declared
        }
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
pub(super) fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
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
        // Each of these was looked at up to the end.
        let open = format!("<?xml{}", "<b ".repeat(500_000));
        assert_eq!(with_ends(&open), open);
    }

    #[test]
    fn blocks_in_a_cell_are_words_of_their_own() {
        let found =
            read("<table><tr><td><div>See you</div><div>Ann</div></td><td>7</td></tr></table>");
        assert_eq!(found.outline.text, "See you Ann | 7\n");
    }

    fn check(html: &str, expected: &str) {
        assert_eq!(read(html).outline.text, expected, "{html}");
    }

    #[test]
    fn a_row_is_one_line_whatever_its_cells_hold() {
        check(
            "<table><tr><td>Outer cell <table><tr><td>red<td>9 W</tr><tr><td>green</table> tail\
             </td><td>Outer second</td></tr></table>",
            "Outer cell red, 9 W; green tail | Outer second\n",
        );
        check(
            "<table><tr><td>Cmd<td>Before <pre>make\n  all</pre> after<td>7</table>",
            "Cmd | Before make all after | 7\n",
        );
        check(
            "<table><tr><td>Bed<td><ul><li>kale</li> <li>leek</ul><td><h4>May</h4></table>",
            "Bed | kale; leek | May\n",
        );
        // A table that only lays out.
        check(
            "<table><tr><td>Dear Ann,<table><tr><td>Item<td>Price<tr><td>Oar<td>9</table>Bye<td> \
             </table>",
            "Dear Ann,\n\nItem | Price\nOar | 9\n\nBye\n",
        );
        check(
            "<table><tr><td class=linenos><pre>1\n2</pre><td class=code><pre>a\n b</pre></table>",
            "1\n2\n\na\n b\n",
        );
    }

    #[test]
    fn what_is_raised_is_no_part_of_the_number_before_it() {
        let check = |html: &str, expected: &str| check(html, &format!("{expected}\n"));
        check(
            "<p>5×10<sup>3</sup> kg, 20 m<sup>2</sup>.</p>",
            "5×10^3 kg, 20 m^2.",
        );
        check(
            "<p>E=(mc)<sup>2</sup> at 10<sup>−3</sup> s</p>",
            "E=(mc)^2 at 10^−3 s",
        );
        check(
            "<p>317 metres deep.<sup>1</sup> So.</p>",
            "317 metres deep.[1] So.",
        );
        check(
            "<p>Many lakes<sup>2</sup> of 9 miles<sup>2</sup></p>",
            "Many lakes[2] of 9 miles^2",
        );
        check(
            "<p>In 1988<sup><a href='#n2'>2</a></sup> and 1989<a href='#a'><sup>a</sup></a>.</p>",
            "In 1988[2] and 1989[^a].",
        );
        check("<p>so<sup><a href='#x'>1, 2</a></sup></p>", "so[1][2]");
        check(
            "<p>9 <a href='/km'>km<sup>2</sup></a> wide</p>",
            "9 km^2 wide",
        );
        check(
            "<p>lamps<sup>[3]</sup>, the 5<sup>th</sup></p>",
            "lamps[3], the 5th",
        );
        check("<p>H<sub>2</sub>O, <sup>14</sup>C</p>", "H2O, 14C");
        check("<p>3<sup>1</sup>⁄<sub>2</sub> m</p>", "3 1⁄2 m");
        check(
            "<p>deep.<a role='doc-noteref' href='#1'>1</a></p>",
            "deep.[1]",
        );
    }

    #[test]
    fn what_is_hidden_is_not_said() {
        for hidden in [
            "<p style='visibility:hidden'>9</p>",
            "<p style='DISPLAY: None'>9</p>",
            "<p style='color:red; display : none!important'>9</p>",
            "<dialog><p>9</p></dialog>",
            "<p hidden>9</p>",
            "<p aria-hidden=true>9</p>",
        ] {
            check(&format!("<p>Seen.</p>{hidden}"), "Seen.\n");
        }
        check("<p style='backface-visibility:hidden'>Seen.</p>", "Seen.\n");
        check("<dialog open>Seen.</dialog>", "Seen.\n");
    }

    #[test]
    fn terms_stand_with_what_they_mean() {
        check(
            "<dl><dt>Fuse</dt><dd>16 ampere</dd><dd>slow</dd><dt>Key<dt>Lock<dd><p>In the shed.</p>\
             </dl>",
            "Fuse: 16 ampere; slow\n\nKey, Lock: In the shed.\n",
        );
        check(
            "<dl><dt>How long?</dt><dd>Ten.</dd><dt>Colour:</dt><dd><p>Red.</p><p>Dark.</p></dd>\
             </dl><p>End.</p>",
            "How long? Ten.\n\nColour: Red.\n\nDark.\n\nEnd.\n",
        );
        check(
            "<dl><dt>Tools</dt><dd><ul><li>axe</ul></dd><dt>A</dt><dd><dl><dt>B</dt><dd>c</dd></dl>d\
             </dd></dl>",
            "Tools:\n\n- axe\n\nA:\n\nB: c\n\nd\n",
        );
        check("<dl><dd>one</dd><dd>two</dd></dl>", "one\n\ntwo\n");
    }

    #[test]
    fn what_belongs_to_the_text_is_kept() {
        check(
            "<p>Use <button>Save</button> now.</p><button>Share</button>",
            "Use Save now.\n",
        );
        check(
            "<blockquote><p>It stood idle.</p><footer>— Ann</footer></blockquote><footer>(c)</footer>",
            "It stood idle.\n\n— Ann\n",
        );
        check(
            "<article><p>One.</p><aside><p>Mind the weir.</p></aside></article>\
             <aside>Other pages</aside>",
            "One.\n\nMind the weir.\n",
        );
        check(
            "<p>One.</p><aside>Note.</aside><p>Two.</p>",
            "One.\n\nNote.\n\nTwo.\n",
        );
        let leads = "<main><p>One.</p><aside class=related>More</aside>\
            <aside><a href=a>A page</a></aside><p>Two.</p></main>";
        check(leads, "One.\n\nTwo.\n");
        let long = "It was kept in order, the granary, its wells, and its roads. ".repeat(20);
        let article = format!(
            "<html><body><article><p>{long}</p><aside>Mind the weir.</aside><p>{long}</p>\
             <blockquote><p>So.</p><footer>Ann</footer></blockquote>\
             <p>Press <button>Save</button> now. {long}</p></article></body></html>"
        );
        let text = read(&article).outline.text;
        for kept in ["Mind the weir.", "Ann", "Press Save now."] {
            assert!(text.contains(kept), "{kept} in {text}");
        }
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
        // So it was read in pairs, each a sign of Chinese.
        let wide = b"<meta charset=utf-16><p>Gr\xfcn aus K\xf6ln, sch\xf6ne T\xfcr.</p>";
        assert!(decode(wide).unwrap().contains("Grün aus Köln"));
    }

    #[test]
    fn a_page_whose_bytes_are_all_ascii_may_be_japanese() {
        let page = b"<meta charset=iso-2022-jp><p>\x1b$BF|K\\\x1b(B</p>";
        assert_eq!(extract(page, 1 << 20).unwrap().outline.text, "日本\n");
    }

    #[test]
    fn deep_nesting_ends() {
        let html = "<div>".repeat(20_000) + "deep" + &"</div>".repeat(20_000);
        assert!(read(&html).outline.text.contains("deep"));
    }
}
