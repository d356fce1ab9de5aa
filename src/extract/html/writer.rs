//! The writer: walks the elements of a page and writes their text, block by block.
//!
//! A row of a table is a line, with all that its cells hold, unless that is more than a line: then it
//! is a part of the page's layout.

use std::iter::successors;

use dom_query::NodeRef;

use super::raised::{RAISED, is_note_link, note_marks, raised};
use super::{is_hidden, level, short_text};
use crate::extract::office::{figure, lead_of};
use crate::extract::pen::{Pen, one_line};

/// Elements whose text nobody reads.
const SILENT: &[&str] = &[
    "script", "style", "noscript", "template", "svg", "iframe", "object", "select", "button",
    "textarea", "head", "datalist", "canvas", "audio", "video",
];

/// Lists of items.
const LISTS: &[&str] = &["ol", "ul", "menu"];

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

/// A formula as its author wrote it in TeX, where that stands beside what is shown: of fractions and powers
/// the elements of `MathML` have the figures alone.
fn tex(semantics: &NodeRef<'_>) -> Option<String> {
    let mut parts = std::iter::successors(semantics.first_child(), NodeRef::next_sibling);
    // It is `application/x-tex`, `TeX` or `LaTeX`.
    let source = parts.find(|part| {
        let encoding = part.attr_or("encoding", "").to_lowercase();
        part.has_name("annotation") && encoding.ends_with("tex")
    })?;
    let tex = one_line(&source.text());
    (!tex.is_empty()).then_some(tex)
}

/// Marks of quotes within quotes, at most.
const DEEPEST_QUOTE: usize = 10;

/// Is a quote in a message an earlier message? Some indent a text of their own so.
fn is_earlier(quote: &NodeRef<'_>) -> bool {
    let class = quote.attr_or("class", "").to_lowercase();
    quote.has_attr("cite")
        || quote.attr_or("type", "").eq_ignore_ascii_case("cite")
        || ["quote", "cite"].iter().any(|name| class.contains(name))
}

/// What the line holds last of a list of terms.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    None,
    Term,
    Definition,
}

/// What stands before an item without a number.
const DASH: &str = "- ";

/// A list under way.
struct List {
    /// The number of the next item, where they have any.
    next: Option<i32>,
    step: i32,
    /// How numbers are written, as Word calls it.
    format: &'static str,
}

impl List {
    fn of(node: &NodeRef<'_>) -> Self {
        /// Items that are counted to count backwards.
        const MOST: usize = 1000;
        let is_reversed = node.has_attr("reversed");
        let first = || {
            let inner = successors(node.first_child(), NodeRef::next_sibling).take(MOST);
            let items = inner.filter(|inner| inner.has_name("li")).count();
            if is_reversed {
                i32::try_from(items).unwrap_or(1)
            } else {
                1
            }
        };
        let start = node.attr_or("start", "").trim().parse().ok();
        let format = match &*node.attr_or("type", "") {
            "a" => "lowerLetter",
            "A" => "upperLetter",
            "i" => "lowerRoman",
            "I" => "upperRoman",
            _ => "decimal",
        };
        Self {
            next: node.has_name("ol").then(|| start.unwrap_or_else(first)),
            step: if is_reversed { -1 } else { 1 },
            format,
        }
    }

    /// What stands before its next item.
    fn mark(&mut self, item: &NodeRef<'_>) -> String {
        let Some(next) = self.next else {
            return DASH.to_owned();
        };
        let own = item.attr_or("value", "").trim().parse().ok();
        let number = own.unwrap_or(next);
        self.next = Some(number.saturating_add(self.step));
        let mark = match u32::try_from(number) {
            Ok(count) if count > 0 => format!("{}.", figure(count, self.format)),
            _ => format!("{number}."),
        };
        format!("{}{mark} ", lead_of(&mark))
    }
}

pub(super) struct Writer<'p> {
    pen: &'p mut Pen,
    /// Elements that are left out.
    around: &'static [&'static str],
    line: String,
    /// Depth of `pre` elements around.
    verbatim: usize,
    /// Depth of items around.
    items: usize,
    /// The lists around.
    lists: Vec<List>,
    /// What stands before the item under way, until its first line is written.
    mark: String,
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
    /// Is it the body of a message?
    is_mail: bool,
    /// Depth of earlier messages around, which it quotes.
    quoted: usize,
}

impl<'p> Writer<'p> {
    pub(super) fn new(pen: &'p mut Pen, around: &'static [&'static str]) -> Self {
        Self {
            pen,
            around,
            line: String::new(),
            verbatim: 0,
            items: 0,
            lists: Vec::new(),
            mark: String::new(),
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
            is_mail: false,
            quoted: 0,
        }
    }

    /// What is written is the body of a message: earlier ones that it quotes are marked as in plain text.
    pub(super) fn of_mail(mut self) -> Self {
        self.is_mail = true;
        self
    }

    /// Walks the tree without recursion: pages may be nested a million deep.
    pub(super) fn tree(mut self, root: &NodeRef<'_>) {
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
        if LISTS.contains(&name) {
            self.lists.push(List::of(node));
        }
        match name {
            "br" => self.line.push('\n'),
            "img" => {
                let alt = node.attr_or("alt", "");
                self.text(&format!(" {alt} "));
            }
            "semantics" => {
                if let Some(tex) = tex(node) {
                    self.text(&tex);
                    return false;
                }
            }
            // No browser shows what else is said beside a formula.
            "annotation" | "annotation-xml" => return false,
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
            "blockquote" if self.is_mail && is_earlier(node) => {
                self.part();
                self.quoted += 1;
            }
            "li" if self.in_row => self.join("; "),
            "li" => {
                self.end_line();
                self.items += 1;
                let list = self.lists.last_mut();
                self.mark = list.map_or_else(|| DASH.to_owned(), |list| list.mark(node));
                self.line.push_str(&self.mark);
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
        if LISTS.contains(&&*name) {
            self.lists.pop();
        }
        match &*name {
            "pre" | "li" if self.in_row => self.text(" "),
            "pre" => {
                let code = std::mem::take(&mut self.line);
                self.pen.code(code.trim_matches('\n'));
                self.verbatim = self.verbatim.saturating_sub(1);
            }
            name @ ("table" | "tr" | "td" | "th") => self.leave_table(name),
            "blockquote" if self.is_mail && is_earlier(node) => {
                self.part();
                self.quoted = self.quoted.saturating_sub(1);
            }
            "li" => {
                self.end_line();
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
                let bare = row.trim_matches([' ', '|']);
                let is_broken = std::mem::take(&mut self.broken);
                if self.quoted > 0 {
                    self.quote(bare);
                } else if is_broken {
                    self.pen.paragraph(bare);
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

    /// Writes the line; the mark of an item that says nothing is dropped.
    fn end_line(&mut self) {
        self.flush();
        if self.verbatim == 0 {
            self.line.clear();
            self.mark.clear();
        }
    }

    /// Writes what an earlier message says, each line with its marks: one that stands alone would be the
    /// sender's own.
    fn quote(&mut self, text: &str) {
        let marks = ">".repeat(self.quoted.min(DEEPEST_QUOTE));
        let lines = text.lines().map(|line| format!("{marks} {}", line.trim()));
        let lines: Vec<String> = lines.collect();
        self.pen.paragraph(&lines.join("\n"));
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
        if !self.mark.is_empty() && text == self.mark.trim_end() {
            self.line.clone_from(&self.mark);
            return;
        }
        let mark = std::mem::take(&mut self.mark);
        if self.quoted > 0 && !text.is_empty() {
            self.heading = None;
            self.quote(text);
            return;
        }
        match self.heading.take() {
            Some(level) => self
                .pen
                .heading(level, text.strip_prefix(DASH).unwrap_or(text)),
            None if !mark.is_empty() && text.starts_with(&mark) => self.pen.item(text),
            None if self.items > 0 => self.pen.of_item(text),
            None => self.pen.paragraph(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, read};

    #[test]
    fn formulas_are_read_once_and_as_they_were_written() {
        let formula = "<math><semantics><mrow><mfrac><mn>1</mn><mn>2</mn></mfrac></mrow>\
            <annotation encoding='application/x-tex'>\\frac{1}{2}</annotation></semantics></math>";
        check(
            &format!("<p>So {formula} of it.</p>"),
            "So \\frac{1}{2} of it.\n",
        );
        for (encoding, expected) in [("TeX", "So x^{2}.\n"), ("text/plain", "So x2.\n")] {
            let named = format!(
                "<p>So <math><semantics><msup><mi>x</mi><mn>2</mn></msup>\
                 <annotation encoding='{encoding}'>x^{{2}}</annotation></semantics></math>.</p>"
            );
            check(&named, expected);
        }
        let bare = "<p>So <math><semantics><mi>x</mi></semantics></math>.</p>";
        check(bare, "So x.\n");
    }

    #[test]
    fn blocks_in_a_cell_are_words_of_their_own() {
        let found =
            read("<table><tr><td><div>See you</div><div>Ann</div></td><td>7</td></tr></table>");
        assert_eq!(found.outline.text, "See you Ann | 7\n");
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
    fn items_have_their_numbers() {
        check(
            "<ol><li>Soak<li>Dry<ul><li>in the sun</ul>slowly<li>Oil<ol type=a><li>hull<li>oars</ol></ol>",
            "1. Soak\n2. Dry\n- in the sun\nslowly\n3. Oil\n- a. hull\n- b. oars\n",
        );
        check(
            "<ol start=4 type=I><li>Four<li value=7><p>Seven</p><li>Eight</ol><p>End.</p>",
            "- IV. Four\n- VII. Seven\n- VIII. Eight\n\nEnd.\n",
        );
        check("<ol reversed><li>Two<li>One</ol>", "2. Two\n1. One\n");
        check(
            "<ol start=-1><li>Cold<li>Mild</ol>",
            "- -1. Cold\n0. Mild\n",
        );
        check(
            "<ul><li></li><li>x</li><li></li></ul><p>End.</p>",
            "- x\n\nEnd.\n",
        );
        check(
            "<ul><li><h3>Oars</h3><p>Of ash.</p></ul>",
            "### Oars\n\nOf ash.\n",
        );
        check("<p>-</p><p>End.</p>", "-\n\nEnd.\n");
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
    fn deep_nesting_ends() {
        let html = "<div>".repeat(20_000) + "deep" + &"</div>".repeat(20_000);
        assert!(read(&html).outline.text.contains("deep"));
    }
}
