//! Office documents: docx, odt and pptx.
//!
//! All three are zip archives of XML in which text lies in paragraphs and tables. Read are what a
//! reader of the document sees: not deleted or hidden text, field codes, headers, footers, or the
//! second copy of a text box. What stands raised is told from what it stands behind. Slides are pages;
//! charts and diagrams of a Word document stand behind its text.

use std::collections::HashMap;
use std::iter::successors;

use super::archive::{Archive, resolve};
use super::pen::{Pen, one_line};
use super::xml::{Attributes, Node, walk};
use super::{Extracted, Skip, chart, push_new};
use crate::domain::source::Meta;

/// How much an archive may unpack to, in multiples of the text that may come out of it: markup is
/// most of it.
pub(super) const MARKUP_FACTOR: u64 = 8;

pub(super) fn unpack_limit(limit: usize) -> u64 {
    limit as u64 * MARKUP_FACTOR
}

/// The text of a Word document.
///
/// # Errors
/// [`Skip`].
pub(super) fn docx(bytes: &[u8], limit: usize) -> Result<Extracted, Skip> {
    let mut archive = Archive::open(bytes, unpack_limit(limit))?;
    let main = main_part(&mut archive, "word/document.xml")?;
    let Some(document) = archive.text(&main)? else {
        return Err(Skip("broken: it holds no document".into()));
    };
    let mut pen = Pen::new(limit);
    let styles = archive.text(&resolve(&main, "styles.xml"));
    let styles = styles.and_then(|xml| docx_styles(&xml.unwrap_or_default()));
    let styles = styles.unwrap_or_else(|Skip(error)| {
        pen.broke_off(Some(error));
        Styles::default()
    });
    let mut body = Paragraphs::default();
    let broken = walk(&document, |node| {
        docx_node(node, &mut body, &styles, &mut pen);
    })?;
    pen.broke_off(broken);
    body.end(&mut pen);
    write_drawn(&mut archive, &main, &mut pen);
    for notes in ["footnotes.xml", "endnotes.xml", "comments.xml"] {
        let mut body = Paragraphs::default();
        let xml = archive.text(&resolve(&main, notes));
        let read = xml.and_then(|xml| {
            walk(&xml.unwrap_or_default(), |node| {
                docx_node(node, &mut body, &styles, &mut pen);
            })
        });
        pen.broke_off(read.unwrap_or_else(|Skip(error)| Some(error)));
        body.end(&mut pen);
    }
    let meta = core_properties(&mut archive);
    pen.finish(meta)
}

/// The main part of an Office Open XML file is where its relations say; `usual` where they don't.
pub(super) fn main_part(archive: &mut Archive<'_>, usual: &str) -> Result<String, Skip> {
    let relations = relations(archive, "")?;
    let main = relations
        .into_iter()
        .find(|r| r.kind.ends_with("/officeDocument"));
    Ok(main.map_or_else(|| usual.to_owned(), |r| r.target))
}

/// Writes what is drawn of the data that a part refers to: diagrams and charts.
fn write_drawn(archive: &mut Archive<'_>, part: &str, pen: &mut Pen) {
    for relation in relations(archive, part).unwrap_or_default() {
        if relation.kind.ends_with("/diagramData") {
            let xml = archive.text(&relation.target);
            let xml = xml.map(Option::unwrap_or_default);
            if let Err(Skip(error)) = xml.and_then(|xml| shapes(&xml, pen, false)) {
                pen.broke_off(Some(error));
            }
        }
    }
    chart::write(archive, part, pen);
}

/// Where a part of an Office Open XML file refers to another.
pub(super) struct Relation {
    pub(super) id: String,
    /// An address that ends with the name of what the other is to the part.
    pub(super) kind: String,
    /// The name of the other part.
    pub(super) target: String,
}

/// The relations of a part, with resolved targets.
pub(super) fn relations(archive: &mut Archive<'_>, part: &str) -> Result<Vec<Relation>, Skip> {
    let (folder, name) = part.rsplit_once('/').unwrap_or(("", part));
    let path = resolve("", &format!("{folder}/_rels/{name}.rels"));
    let mut found = Vec::new();
    if let Some(xml) = archive.text(&path)? {
        walk(&xml, |node| {
            if let Node::Open("Relationship", attributes) = node {
                let get = |name: &str| attributes.get(name).unwrap_or_default();
                found.push(Relation {
                    id: get("Id"),
                    kind: get("Type"),
                    target: resolve(part, &get("Target")),
                });
            }
        })?;
    }
    Ok(found)
}

/// What styles say of the text under them, by their ids.
#[derive(Default)]
struct Styles {
    /// Levels of headings.
    levels: HashMap<String, u8>,
    /// How runs look.
    looks: HashMap<String, Look>,
}

/// How a run of text looks, as far as that changes what it says.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Look {
    /// It stands above the line.
    raised: bool,
    /// Nobody sees it.
    hidden: bool,
}

/// The styles of a Word document; style ids are translated, style names are not.
fn docx_styles(xml: &str) -> Result<Styles, Skip> {
    let mut styles = Styles::default();
    let mut style = String::new();
    let mut parents: HashMap<String, String> = HashMap::new();
    walk(xml, |node| {
        let Node::Open(name, attributes) = node else {
            return;
        };
        match name {
            "style" => style = attributes.get("styleId").unwrap_or_default(),
            "basedOn" => {
                let parent = attributes.get("val").unwrap_or_default();
                parents.insert(style.clone(), parent);
            }
            "name" => {
                let name = attributes.get("val").unwrap_or_default().to_lowercase();
                let level = name
                    .strip_prefix("heading ")
                    .and_then(|n| n.parse::<u8>().ok());
                if let Some(level) = level.or((name == "title").then_some(1)) {
                    styles.levels.insert(style.clone(), level);
                }
            }
            "outlineLvl" => {
                let level = attributes.get("val").and_then(|v| v.parse::<u8>().ok());
                if let Some(level) = level.filter(|level| *level < 9) {
                    let levels = &mut styles.levels;
                    levels.entry(style.clone()).or_insert(level + 1);
                }
            }
            "vertAlign" | "vanish" => {
                let look = styles.looks.entry(style.clone()).or_default();
                change_look(look, name, &attributes);
            }
            _ => {}
        }
    })?;
    // What says nothing of its look has that of the next style above that does.
    let inherited: Vec<(String, Look)> = parents
        .keys()
        .filter(|style| !styles.looks.contains_key(*style))
        .filter_map(|style| {
            let above = successors(parents.get(style), |parent| parents.get(*parent));
            let mut looks = above.take(FURTHEST).filter_map(|s| styles.looks.get(s));
            Some((style.clone(), *looks.next()?))
        })
        .collect();
    styles.looks.extend(inherited);
    Ok(styles)
}

/// Styles above a style that are looked at.
const FURTHEST: usize = 32;

/// Is what an element of a Word document names switched on?
fn is_on(attributes: &Attributes<'_>) -> bool {
    !matches!(
        attributes.get("val").as_deref(),
        Some("0" | "false" | "off")
    )
}

/// Takes in what a property of a run in a Word document says of its look.
fn change_look(look: &mut Look, property: &str, attributes: &Attributes<'_>) {
    match property {
        "vertAlign" => look.raised = attributes.get("val").as_deref() == Some("superscript"),
        "vanish" => look.hidden = is_on(attributes),
        _ => {}
    }
}

/// What an Office Open XML file says of itself; what cannot be read is no reason to refuse it.
fn core_properties(archive: &mut Archive<'_>) -> Meta {
    let xml = archive.text("docProps/core.xml").ok().flatten();
    properties(&xml.unwrap_or_default())
}

/// Title and keywords in Dublin Core.
fn properties(xml: &str) -> Meta {
    let mut meta = Meta::default();
    let mut inside = String::new();
    let mut value = String::new();
    let _ = walk(xml, |node| match node {
        Node::Open(name, _) => {
            name.clone_into(&mut inside);
            value.clear();
        }
        Node::Text(text) => value.push_str(text),
        Node::Close(name) if name == inside => {
            let value = one_line(&value);
            match name {
                "title" if !value.is_empty() => meta.title = Some(value),
                "keywords" | "keyword" => {
                    let words = value.split([',', ';']);
                    words.for_each(|word| push_new(&mut meta.tags, word.trim()));
                }
                _ => {}
            }
            inside.clear();
        }
        Node::Close(_) => {}
    });
    meta
}

/// Paragraphs and tables under way. Paragraphs may lie in paragraphs (text boxes), tables in cells.
#[derive(Default)]
struct Paragraphs {
    open: Vec<Paragraph>,
    rows: Vec<Row>,
    /// Elements around whose text is not read.
    silent: usize,
    /// Comments around.
    comments: usize,
    /// The looks of the runs around.
    looks: Vec<Look>,
    in_text: bool,
    list: usize,
}

/// A row of a table.
#[derive(Default)]
struct Row {
    cells: Vec<String>,
    /// Nobody sees it.
    hidden: bool,
}

#[derive(Default)]
struct Paragraph {
    text: String,
    /// What stands raised behind the text.
    raised: String,
    /// How many looks were there before it began.
    looks: usize,
    level: Option<u8>,
    item: bool,
    /// Nobody sees its runs, but for those that say otherwise.
    hidden: bool,
}

impl Paragraph {
    /// Writes what stood raised.
    fn lower(&mut self) {
        if !self.raised.is_empty() {
            push_raised(&mut self.text, &self.raised);
            self.raised.clear();
        }
    }
}

/// Writes what stands raised behind a text so that it is no part of the number or the word before it:
/// `10^6`, `m²`, `Novak¹`. A mark behind the end of a sentence is put into brackets, letters (`1st`)
/// are written as they are.
pub(super) fn push_raised(text: &mut String, raised: &str) {
    /// Superscripts that Unicode has.
    const SUPERSCRIPTS: [(char, char); 14] = [
        ('0', '⁰'),
        ('1', '¹'),
        ('2', '²'),
        ('3', '³'),
        ('4', '⁴'),
        ('5', '⁵'),
        ('6', '⁶'),
        ('7', '⁷'),
        ('8', '⁸'),
        ('9', '⁹'),
        ('+', '⁺'),
        ('-', '⁻'),
        ('−', '⁻'),
        ('n', 'ⁿ'),
    ];
    let mark = raised.trim();
    if mark.is_empty() {
        text.push_str(raised);
        return;
    }
    let above = |c: char| SUPERSCRIPTS.iter().find(|(plain, _)| *plain == c);
    let marks = mark.chars().map(|c| above(c).map(|(_, above)| *above));
    let marks: Option<String> = marks.collect();
    let (lead, rest) = raised.split_at(raised.len() - raised.trim_start().len());
    let before = text.chars().next_back().filter(|_| lead.is_empty());
    let digits = mark.starts_with(|c: char| c.is_ascii_digit());
    let number = before.is_some_and(|c| c.is_numeric() || matches!(c, ')' | ']'));
    text.push_str(lead);
    match (marks, before) {
        // Search takes the raised digits of Unicode for digits: `10⁶` would be 106 to it.
        (marks, _) if number && (digits || marks.is_some()) => {
            text.push('^');
            text.push_str(&mark.replace('−', "-"));
        }
        (Some(marks), None) => text.push_str(&marks),
        (Some(marks), Some(c)) if c.is_alphanumeric() || c.is_whitespace() => {
            text.push_str(&marks);
        }
        (_, Some(c)) if digits && !c.is_whitespace() => text.push_str(&format!("[{mark}]")),
        _ => text.push_str(mark),
    }
    text.push_str(&rest[mark.len()..]);
}

impl Paragraphs {
    fn begin_paragraph(&mut self) {
        self.open.push(Paragraph {
            item: self.list > 0,
            looks: self.looks.len(),
            ..Paragraph::default()
        });
        // A note or a text box does not look as the run that holds it.
        self.looks.push(Look::default());
    }

    /// Ends a paragraph that is not to be shown.
    fn drop_paragraph(&mut self) {
        if let Some(paragraph) = self.open.pop() {
            self.looks.truncate(paragraph.looks);
        }
    }

    fn end_paragraph(&mut self, pen: &mut Pen) {
        let Some(mut paragraph) = self.open.pop() else {
            return;
        };
        paragraph.lower();
        self.looks.truncate(paragraph.looks);
        if let Some(cell) = self.rows.last_mut().and_then(|row| row.cells.last_mut()) {
            if !cell.is_empty() {
                cell.push(' ');
            }
            cell.push_str(&one_line(&paragraph.text));
            return;
        }
        match paragraph.level {
            Some(level) => pen.heading(level, &paragraph.text),
            None if paragraph.item => pen.item(&format!("- {}", paragraph.text.trim())),
            None => pen.paragraph(&paragraph.text),
        }
    }

    fn push(&mut self, text: &str) {
        let look = self.looks.last().copied().unwrap_or_default();
        if self.silent > 0 || look.hidden {
            return;
        }
        let Some(paragraph) = self.open.last_mut() else {
            return;
        };
        if look.raised {
            paragraph.raised.push_str(text);
        } else {
            paragraph.lower();
            paragraph.text.push_str(text);
        }
    }

    fn begin_run(&mut self) {
        self.looks.push(Look {
            hidden: self.open.last().is_some_and(|paragraph| paragraph.hidden),
            ..Look::default()
        });
    }

    fn end_run(&mut self) {
        let least = self.open.last().map_or(0, |paragraph| paragraph.looks + 1);
        if self.looks.len() > least {
            self.looks.pop();
        }
    }

    fn begin_cell(&mut self) {
        if let Some(row) = self.rows.last_mut() {
            row.cells.push(String::new());
        }
    }

    fn end_row(&mut self, pen: &mut Pen) {
        let Some(row) = self.rows.pop() else {
            return;
        };
        if row.hidden || row.cells.iter().all(|cell| cell.trim().is_empty()) {
            return;
        }
        let line = row.cells.join(" | ");
        match self
            .rows
            .last_mut()
            .and_then(|outer| outer.cells.last_mut())
        {
            Some(cell) => {
                cell.push(' ');
                cell.push_str(&line);
            }
            None => pen.table_row(&line),
        }
    }

    fn end(mut self, pen: &mut Pen) {
        while !self.open.is_empty() {
            self.end_paragraph(pen);
        }
        while !self.rows.is_empty() {
            self.end_row(pen);
        }
    }
}

fn docx_node(node: Node<'_>, body: &mut Paragraphs, styles: &Styles, pen: &mut Pen) {
    match node {
        // How a run or a paragraph was before somebody changed it is of no concern, either.
        Node::Open("del" | "moveFrom" | "Fallback" | "rPrChange" | "pPrChange", _) => {
            body.silent += 1;
        }
        Node::Close("del" | "moveFrom" | "Fallback" | "rPrChange" | "pPrChange") => {
            body.silent = body.silent.saturating_sub(1);
        }
        _ if body.silent > 0 => {}
        Node::Open("p", _) => body.begin_paragraph(),
        Node::Close("p") => body.end_paragraph(pen),
        Node::Open("r", _) => body.begin_run(),
        Node::Close("r") => body.end_run(),
        Node::Open("rStyle", attributes) => {
            let style = attributes.get("val").unwrap_or_default();
            if let (Some(look), Some(run)) = (styles.looks.get(&style), body.looks.last_mut()) {
                run.raised = look.raised;
                run.hidden |= look.hidden;
            }
        }
        Node::Open(name @ ("vertAlign" | "vanish"), attributes) => {
            if let Some(look) = body.looks.last_mut() {
                change_look(look, name, &attributes);
            }
        }
        // A mark that the author typed is text, and may stand behind a number.
        Node::Open("footnoteReference" | "endnoteReference", _) => {
            if let Some(look) = body.looks.last_mut() {
                look.raised = true;
            }
        }
        Node::Open("pStyle", attributes) => {
            let style = attributes.get("val").unwrap_or_default();
            if let Some(paragraph) = body.open.last_mut() {
                let look = styles.looks.get(&style);
                paragraph.hidden = look.is_some_and(|look| look.hidden);
                paragraph.level = styles.levels.get(&style).copied().or(paragraph.level);
            }
        }
        Node::Open("numPr", _) => {
            if let Some(paragraph) = body.open.last_mut() {
                paragraph.item = true;
            }
        }
        Node::Open("tr", _) => body.rows.push(Row::default()),
        // It stands before the cells.
        Node::Open("hidden", attributes) => {
            if let Some(row) = body.rows.last_mut().filter(|row| row.cells.is_empty()) {
                row.hidden = is_on(&attributes);
            }
        }
        Node::Close("tr") => body.end_row(pen),
        Node::Open("tc", _) => body.begin_cell(),
        Node::Open("t", _) => body.in_text = true,
        Node::Close("t") => body.in_text = false,
        Node::Open("tab", _) => body.push("\t"),
        Node::Open("br" | "cr", _) => body.push("\n"),
        Node::Open("noBreakHyphen", _) => body.push("-"),
        Node::Text(text) if body.in_text => body.push(text),
        _ => {}
    }
}

/// The text of an `OpenDocument` text, zipped or flat.
///
/// # Errors
/// [`Skip`].
pub(super) fn odt(bytes: &[u8], limit: usize) -> Result<Extracted, Skip> {
    if bytes.trim_ascii_start().starts_with(b"<") {
        let xml = super::text::decode(bytes)?;
        // Pictures have titles, too.
        let meta = xml.split("</office:meta>").next().unwrap_or_default();
        return odt_content(&xml, OdtStyles::default(), properties(meta), limit);
    }
    let mut archive = Archive::open(bytes, unpack_limit(limit))?;
    let manifest = archive.text("META-INF/manifest.xml")?.unwrap_or_default();
    if manifest.contains("encryption-data") {
        return Err(Skip::encrypted());
    }
    let Some(content) = archive.text("content.xml")? else {
        return Err(Skip("broken: it holds no document".into()));
    };
    // A document without these can be read all the same.
    let mut beside = |part: &str| archive.text(part).ok().flatten().unwrap_or_default();
    let meta = properties(&beside("meta.xml"));
    let styles = odt_styles(&beside("styles.xml"));
    odt_content(&content, styles, meta, limit)
}

/// The styles that authors name; of the others, which that part has for headers and footers, the
/// content has some of the same names.
fn odt_styles(xml: &str) -> OdtStyles {
    let mut styles = OdtStyles::default();
    let mut named = true;
    let _ = walk(xml, |node| match node {
        Node::Open("automatic-styles" | "master-styles", _) => named = false,
        node if named => styles.visit(&node),
        _ => {}
    });
    styles
}

fn odt_content(
    xml: &str,
    mut styles: OdtStyles,
    meta: Meta,
    limit: usize,
) -> Result<Extracted, Skip> {
    let mut pen = Pen::new(limit);
    let mut body = Paragraphs::default();
    let mut inside = false;
    let broken = walk(xml, |node| match node {
        Node::Open("body", _) => inside = true,
        Node::Close("body") => inside = false,
        _ if inside => odt_node(node, &mut body, &styles, &mut pen),
        node => styles.visit(&node),
    })?;
    pen.broke_off(broken);
    body.end(&mut pen);
    pen.finish(meta)
}

/// What the styles of an `OpenDocument` text say of the text under them, by their names.
#[derive(Default)]
struct OdtStyles {
    styles: HashMap<String, OdtStyle>,
    /// The style under way.
    open: String,
}

/// What a style says; of what it does not say, the style above it does.
#[derive(Default)]
struct OdtStyle {
    parent: Option<String>,
    raised: Option<bool>,
    hidden: Option<bool>,
}

impl OdtStyles {
    fn visit(&mut self, node: &Node<'_>) {
        match node {
            Node::Open("style", attributes) => {
                self.open = attributes.get("name").unwrap_or_default();
                let family = attributes.get("family");
                if matches!(family.as_deref(), None | Some("text" | "paragraph")) {
                    let style = OdtStyle {
                        parent: attributes.get("parent-style-name"),
                        ..OdtStyle::default()
                    };
                    self.styles.insert(self.open.clone(), style);
                } else {
                    self.open.clear();
                }
            }
            Node::Close("style") => self.open.clear(),
            Node::Open("text-properties", attributes) => {
                if let Some(style) = self.styles.get_mut(&self.open) {
                    // It is `super 58%` or `33% 58%`.
                    let position = attributes.get("text-position");
                    style.raised = position.map(|position| {
                        let height = position.split_whitespace().next().unwrap_or("");
                        height == "super" || is_above(height)
                    });
                    let display = attributes.get("display");
                    style.hidden = display.map(|display| display == "none");
                }
            }
            _ => {}
        }
    }

    /// How the text of a style looks within text that looks as this.
    fn look(&self, name: &str, around: Look) -> Look {
        let style = self.styles.get(name);
        let above = |style: &&OdtStyle| self.styles.get(style.parent.as_ref()?);
        let styles = || successors(style, above).take(FURTHEST);
        let raised = styles().find_map(|style| style.raised);
        let hidden = styles().find_map(|style| style.hidden);
        Look {
            raised: raised.unwrap_or(around.raised),
            hidden: hidden.unwrap_or(around.hidden),
        }
    }
}

/// Does what is so high, in percent or in their thousandths, stand above the line?
fn is_above(height: &str) -> bool {
    let height = height.trim_end_matches('%').parse::<f32>();
    height.is_ok_and(|height| height > 0.0)
}

/// Elements of an `OpenDocument` text that no reader sees, or sees as text: what was deleted or is
/// hidden, numbers of notes, what is said of a picture or a comment, and pictures themselves.
fn is_silent_in_odt(name: &str, attributes: &Attributes<'_>, in_comment: bool) -> bool {
    match name {
        "tracked-changes" | "note-citation" | "binary-data" => true,
        "section" | "hidden-text" => {
            attributes.get("display").as_deref() == Some("none")
                || attributes.get("is-hidden").as_deref() == Some("true")
        }
        "creator" | "date" | "date-string" | "creator-initials" | "sender-initials" => in_comment,
        // The title of the document, where a text shows it, is `text:title`.
        "title" | "desc" => attributes.prefix().as_deref() == Some("svg"),
        _ => false,
    }
}

fn odt_node(node: Node<'_>, body: &mut Paragraphs, styles: &OdtStyles, pen: &mut Pen) {
    match node {
        Node::Open(..) if body.silent > 0 => body.silent += 1,
        Node::Close(_) if body.silent > 0 => body.silent -= 1,
        _ if body.silent > 0 => {}
        Node::Open(name, attributes) if is_silent_in_odt(name, &attributes, body.comments > 0) => {
            body.silent = 1;
        }
        Node::Open("annotation", _) => body.comments += 1,
        Node::Close("annotation") => body.comments = body.comments.saturating_sub(1),
        Node::Open("span", attributes) => {
            let style = attributes.get("style-name").unwrap_or_default();
            let around = body.looks.last().copied().unwrap_or_default();
            body.looks.push(styles.look(&style, around));
        }
        Node::Close("span") => body.end_run(),
        Node::Open(name @ ("p" | "h"), attributes) => {
            body.begin_paragraph();
            let style = attributes.get("style-name").unwrap_or_default();
            if let Some(look) = body.looks.last_mut() {
                look.hidden = styles.look(&style, Look::default()).hidden;
            }
            if let Some(paragraph) = body.open.last_mut().filter(|_| name == "h") {
                paragraph.level = Some(number(&attributes, "outline-level", 1));
            }
        }
        Node::Close("p" | "h") => body.end_paragraph(pen),
        Node::Open("list-item", _) => body.list += 1,
        Node::Close("list-item") => body.list = body.list.saturating_sub(1),
        Node::Open("table-row", _) => body.rows.push(Row::default()),
        Node::Close("table-row") => body.end_row(pen),
        Node::Open("table-cell", _) => body.begin_cell(),
        Node::Open("s", attributes) => {
            let count = number(&attributes, "c", 1);
            body.push(&" ".repeat(count.into()));
        }
        Node::Open("tab", _) => body.push("\t"),
        Node::Open("line-break", _) => body.push("\n"),
        Node::Text(text) => body.push(text),
        _ => {}
    }
}

fn number(attributes: &Attributes<'_>, name: &str, otherwise: u8) -> u8 {
    let value = attributes.get(name).and_then(|v| v.parse().ok());
    value.unwrap_or(otherwise)
}

/// The text of slides and of the notes to them.
///
/// # Errors
/// [`Skip`].
pub(super) fn pptx(bytes: &[u8], limit: usize) -> Result<Extracted, Skip> {
    let mut archive = Archive::open(bytes, unpack_limit(limit))?;
    let main = main_part(&mut archive, "ppt/presentation.xml")?;
    let slides = slides(&mut archive, &main)?;
    if slides.is_empty() {
        return Err(Skip("broken: it holds no slides".into()));
    }
    let mut pen = Pen::new(limit);
    for (index, slide) in slides.iter().enumerate() {
        pen.page(index + 1);
        // One that cannot be read keeps no other from being read.
        let read = write_slide(&mut archive, slide, &mut pen);
        pen.broke_off(read.err().map(|Skip(error)| error));
    }
    let meta = core_properties(&mut archive);
    pen.finish(meta)
}

/// Writes a slide with what is drawn on it, and the notes to it.
fn write_slide(archive: &mut Archive<'_>, slide: &str, pen: &mut Pen) -> Result<(), Skip> {
    let Some(xml) = archive.text(slide)? else {
        return Ok(());
    };
    if !shapes(&xml, pen, true)? {
        return Ok(());
    }
    write_drawn(archive, slide, pen);
    let notes = relations(archive, slide)?;
    let notes = notes.iter().find(|r| r.kind.ends_with("/notesSlide"));
    if let Some(notes) = notes
        && let Some(xml) = archive.text(&notes.target)?
    {
        shapes(&xml, pen, false)?;
    }
    Ok(())
}

/// The slides in the order in which they are shown.
fn slides(archive: &mut Archive<'_>, main: &str) -> Result<Vec<String>, Skip> {
    let relations = relations(archive, main)?;
    let xml = archive.text(main)?.unwrap_or_default();
    let mut slides = Vec::new();
    walk(&xml, |node| {
        if let Node::Open("sldId", attributes) = node {
            // Two attributes are called `id`; the relation's is not a number.
            let id = attributes.all("id").into_iter();
            let target = id
                .filter_map(|id| relations.iter().find(|r| r.id == id))
                .map(|r| r.target.clone())
                .next();
            slides.extend(target);
        }
    })?;
    Ok(slides)
}

/// Writes the text of a slide or of its notes; tells whether the slide is shown.
fn shapes(xml: &str, pen: &mut Pen, titles: bool) -> Result<bool, Skip> {
    let mut body = Paragraphs::default();
    let mut kind = String::new();
    let mut is_shown = true;
    // Which of the shapes around are hidden: with a group, all that is in it is.
    let mut hidden: Vec<bool> = Vec::new();
    let broken = walk(xml, |node| match node {
        Node::Open("sld", attributes) => {
            is_shown = !matches!(attributes.get("show").as_deref(), Some("0" | "false"));
        }
        _ if !is_shown => {}
        Node::Open("sp" | "grpSp" | "graphicFrame", _) => {
            kind.clear();
            hidden.push(hidden.last() == Some(&true));
        }
        Node::Close("sp" | "grpSp" | "graphicFrame") => {
            hidden.pop();
        }
        Node::Open("cNvPr", attributes) => {
            let is_hidden = matches!(attributes.get("hidden").as_deref(), Some("1" | "true"));
            if let Some(shape) = hidden.last_mut() {
                *shape |= is_hidden;
            }
        }
        Node::Open("ph", attributes) => kind = attributes.get("type").unwrap_or_default(),
        Node::Open("p", _) => {
            body.begin_paragraph();
            let title = titles && matches!(kind.as_str(), "title" | "ctrTitle");
            if let Some(paragraph) = body.open.last_mut() {
                paragraph.level = title.then_some(1);
            }
        }
        Node::Close("p") => {
            let is_around = matches!(kind.as_str(), "sldNum" | "dt" | "ftr" | "hdr");
            if is_around || hidden.last() == Some(&true) {
                body.drop_paragraph();
            } else {
                body.end_paragraph(pen);
            }
        }
        Node::Open("tr", _) => body.rows.push(Row::default()),
        Node::Close("tr") => body.end_row(pen),
        Node::Open("tc", _) => body.begin_cell(),
        Node::Open("r", _) => body.begin_run(),
        Node::Close("r") => body.end_run(),
        Node::Open("rPr", attributes) => {
            let height = attributes.get("baseline").unwrap_or_default();
            if let Some(look) = body.looks.last_mut() {
                look.raised = is_above(&height);
            }
        }
        Node::Open("t", _) => body.in_text = true,
        Node::Close("t") => body.in_text = false,
        Node::Open("br", _) => body.push("\n"),
        Node::Text(text) if body.in_text => body.push(text),
        _ => {}
    })?;
    if is_shown {
        pen.broke_off(broken);
    }
    body.end(pen);
    Ok(is_shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of what stands in the body of a Word document.
    fn read_docx(body: &str, styles: &str) -> String {
        let styles = docx_styles(&format!("<styles>{styles}</styles>")).unwrap();
        let mut pen = Pen::new(1 << 20);
        let mut paragraphs = Paragraphs::default();
        walk(&format!("<body>{body}</body>"), |node| {
            docx_node(node, &mut paragraphs, &styles, &mut pen);
        })
        .unwrap();
        paragraphs.end(&mut pen);
        pen.finish(Meta::default()).unwrap().outline.text
    }

    #[test]
    fn what_stands_raised_is_no_part_of_what_is_before_it() {
        let check = |before: &str, raised: &str, expected: &str| {
            let mut text = before.to_owned();
            push_raised(&mut text, raised);
            assert_eq!(text, expected, "{before}{raised}");
        };
        check("10", "6", "10^6");
        check("10", "−6", "10^-6");
        check("(a+b)", "2", "(a+b)^2");
        check("40 m", "3", "40 m³");
        check("10 s", "-1 ", "10 s⁻¹ ");
        check("", "14", "¹⁴");
        check("1", "st", "1st");
        check("Coho", "TM", "CohoTM");
        // Marks of notes.
        check("in 2031", "1", "in 2031^1");
        check("in 2031", "1,2", "in 2031^1,2");
        check("Novak", "1", "Novak¹");
        check("Novak", "1,2", "Novak[1,2]");
        check("in 2031.", "1", "in 2031.[1]");
        check("a", " ", "a ");
        check("by Novak", " 1", "by Novak ¹");
    }

    #[test]
    fn runs_are_read_as_they_look() {
        let check = |body: &str, expected: &str| {
            let styles = "<style styleId='Note'><rPr><vertAlign val='superscript'/></rPr></style>\
                          <style styleId='Gone'><rPr><vanish/></rPr></style>";
            assert_eq!(read_docx(body, styles), expected, "{body}");
        };
        check(
            "<p><r><t>10</t></r><r><rPr><vertAlign val='superscript'/></rPr><t>-</t></r><r><rPr>\
             <vertAlign val='superscript'/></rPr><t>6</t></r><r><t> l of CO</t></r><r><rPr>\
             <vertAlign val='subscript'/></rPr><t>2</t></r></p>",
            "10^-6 l of CO2\n",
        );
        check(
            "<p><r><t>Open. </t></r><r><rPr><vanish/></rPr><t>7719</t></r><r><rPr>\
             <vanish val='0'/></rPr><t>Seen.</t></r><r><rPr><rStyle val='Gone'/></rPr><t>8</t></r></p>",
            "Open. Seen.\n",
        );
        check(
            "<p><pPr><rPr><vanish/></rPr></pPr><r><rPr><rPrChange><rPr><vanish/></rPr></rPrChange>\
             </rPr><t>in 2031</t></r><r><rPr><rStyle val='Note'/></rPr><t>1</t></r></p>",
            "in 2031^1\n",
        );
        check(
            "<p><r><rPr><vanish/></rPr><t>x</t><txbxContent><p><r><t>boxed</t></r></p>\
             </txbxContent><t>y</t></r></p><p><r><t>end</t></r></p>",
            "boxed\n\nend\n",
        );
    }

    #[test]
    fn rows_and_paragraphs_of_hidden_styles_are_not_read() {
        let check = |body: &str, expected: &str| {
            let styles = "<style styleId='Gone'><rPr><vanish/></rPr></style>\
                <style styleId='Below'><basedOn val='Gone'/></style>\
                <style styleId='Back'><basedOn val='Gone'/><rPr><vanish val='0'/></rPr></style>\
                <style styleId='Round'><basedOn val='Round'/></style>";
            assert_eq!(read_docx(body, styles), expected, "{body}");
        };
        let row = |about: &str, text: &str| {
            format!("<tr><trPr>{about}</trPr><tc><p><r><t>{text}</t></r></p></tc></tr>")
        };
        let rows = [
            row("", "seen"),
            row("<hidden/>", "gone"),
            row("<hidden val='false'/>", "back"),
        ];
        check(&format!("<tbl>{}</tbl>", rows.concat()), "seen\nback\n");
        let nested = row("<hidden/>", "a").replace("<p>", "<tbl><tr><tc><p/></tc></tr></tbl><p>");
        check(&format!("{nested}{}", row("", "seen")), "seen\n");
        for (style, expected) in [
            ("Gone", "end\n"),
            ("Below", "end\n"),
            ("Back", "text\n\nend\n"),
            ("Round", "text\n\nend\n"),
        ] {
            let styled = format!("<p><pPr><pStyle val='{style}'/></pPr><r><t>text</t></r></p>");
            check(&format!("{styled}<p><r><t>end</t></r></p>"), expected);
        }
        check(
            "<p><pPr><pStyle val='Gone'/></pPr><r><rPr><vanish val='0'/></rPr><t>seen</t></r>\
             <r><rPr><rStyle val='Back'/></rPr><t>gone</t></r></p>",
            "seen\n",
        );
    }

    #[test]
    fn a_document_that_breaks_off_says_so() {
        let read =
            |xml: &str| odt_content(xml, OdtStyles::default(), Meta::default(), 1 << 20).unwrap();
        let whole = "<o:d><o:body><t:p>The mill</t:p></o:body></o:d>";
        assert_eq!(read(whole).missing, None);
        let broken = read("<o:d><o:body><t:p>The mill</t:p><t:p>stands <t:s");
        assert_eq!(broken.outline.text, "The mill\n\nstands\n");
        assert!(broken.missing.unwrap().starts_with("read in part: "));
    }

    #[test]
    fn open_documents_show_fields_and_no_words_of_pictures() {
        let check = |styles: &str, body: &str, expected: &str| {
            let xml = format!("<o:d>{styles}<o:body>{body}</o:body></o:d>");
            let found = odt_content(&xml, OdtStyles::default(), Meta::default(), 1 << 20).unwrap();
            assert_eq!(found.outline.text, expected, "{body}");
        };
        check(
            "",
            "<t:p>Graz, <t:date>3 May 2026</t:date>, by <t:creator>Novak</t:creator></t:p>",
            "Graz, 3 May 2026, by Novak\n",
        );
        check(
            "",
            "<t:p>a<o:annotation><dc:creator>Zoe</dc:creator><dc:date>2026</dc:date>\
             <meta:creator-initials>Z</meta:creator-initials><t:p>check</t:p></o:annotation>b</t:p>",
            "check\n\nab\n",
        );
        check(
            "",
            "<t:p><d:frame><d:image><o:binary-data>QUJD</o:binary-data></d:image>\
             <svg:title>T</svg:title><svg:desc>D<x/></svg:desc></d:frame>of <t:title>Mills</t:title></t:p>",
            "of Mills\n",
        );
        check(
            "<s:style s:name='T1'><s:text-properties s:text-position='super 58%'/></s:style>\
             <s:style s:name='T2'><s:text-properties t:display='none'/></s:style>",
            "<t:p>10<t:span t:style-name='T1'>6</t:span> l<t:span t:style-name='T2'>hid</t:span>, \
             <t:span t:style-name='T1'><t:note><t:p>a note 7</t:p></t:note></t:span>end</t:p>",
            "a note 7\n\n10^6 l, end\n",
        );
        check(
            "<s:style s:name='P1'><s:text-properties t:display='none'/></s:style>\
             <s:style s:name='T1'><s:text-properties s:text-position='super 58%'/></s:style>",
            "<t:p>seen</t:p><t:section t:display='none'><t:p>a<t:s/>secret</t:p></t:section>\
             <t:section><t:h t:outline-level='2'>Mills</t:h></t:section>\
             <t:p t:style-name='P1'>hid<t:span t:style-name='T1'>7</t:span></t:p>\
             <t:p>end<t:hidden-text t:is-hidden='true'>no</t:hidden-text></t:p>",
            "seen\n\n## Mills\n\nend\n",
        );
    }

    #[test]
    fn text_of_styles_that_hide_it_is_not_read() {
        let named = "<o:styles><s:style s:name='Gone' s:family='paragraph'>\
            <s:text-properties t:display='none'/></s:style>\
            <s:style s:name='P3' s:family='graphic'><s:text-properties t:display='none'/></s:style>\
            </o:styles><o:automatic-styles><s:style s:name='P2' s:family='paragraph'>\
            <s:text-properties t:display='none'/></s:style></o:automatic-styles>";
        let own = "<s:style s:name='P1' s:family='paragraph' s:parent-style-name='Gone'/>\
            <s:style s:name='T1' s:family='text'><s:text-properties t:display='true'/></s:style>";
        let body = "<t:p t:style-name='Gone'>a</t:p><t:p t:style-name='P1'>b\
            <t:span t:style-name='T1'>seen</t:span><t:span>c</t:span></t:p>\
            <t:p t:style-name='P2'>two</t:p><t:p t:style-name='P3'>three</t:p>";
        let content = format!("<o:d>{own}<o:body>{body}</o:body></o:d>");
        let styles = odt_styles(&format!("<o:d>{named}</o:d>"));
        let found = odt_content(&content, styles, Meta::default(), 1 << 20).unwrap();
        assert_eq!(found.outline.text, "seen\n\ntwo\n\nthree\n");
    }

    #[test]
    fn a_flat_document_is_called_as_it_says_and_not_as_its_pictures() {
        let flat = "<office:document><office:meta><dc:title>Mills</dc:title></office:meta>\
            <office:body><text:p>a<svg:title>Wheel</svg:title></text:p></office:body>\
            </office:document>";
        let found = odt(flat.as_bytes(), 1 << 20).unwrap();
        assert_eq!(found.meta.title.as_deref(), Some("Mills"));
    }

    /// A zip archive of these parts.
    fn archive(parts: &[(&str, &str)]) -> Vec<u8> {
        use std::io::Write;
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, text) in parts {
            let options = zip::write::SimpleFileOptions::default();
            zip.start_file(*name, options).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn a_part_that_cannot_be_read_keeps_no_other_from_being_read() {
        let found = docx(
            &archive(&[
                ("word/document.xml", "<d><p><r><t>Hens</t></r></p></d>"),
                ("word/styles.xml", "a\0b"),
                ("word/footnotes.xml", "<n><p><r><t>A note</t></r></p></n>"),
                ("word/comments.xml", "a\0b"),
                ("docProps/core.xml", "a\0b"),
            ]),
            1 << 20,
        )
        .unwrap();
        assert_eq!(found.outline.text, "Hens\n\nA note\n");
        assert!(found.missing.is_some());
        let slide = "<p:sld><p:sp><a:p><a:r><a:t>The mill</a:t></a:r></a:p></p:sp></p:sld>";
        let relations = "<Relationships><Relationship Id='a' Type='x/slide' Target='a.xml'/>\
            <Relationship Id='b' Type='x/slide' Target='b.xml'/></Relationships>";
        let found = pptx(
            &archive(&[
                (
                    "ppt/presentation.xml",
                    "<p><sldId id='a'/><sldId id='b'/></p>",
                ),
                ("ppt/_rels/presentation.xml.rels", relations),
                ("ppt/a.xml", "a\0b"),
                ("ppt/b.xml", slide),
                ("docProps/core.xml", "a\0b"),
            ]),
            1 << 20,
        )
        .unwrap();
        assert_eq!(found.outline.text, "The mill\n");
        assert_eq!(found.outline.blocks[0].page, Some(2));
        assert!(found.missing.is_some());
    }

    #[test]
    fn diagrams_and_charts_are_read_where_the_document_can_be() {
        let parts = [
            (
                "word/document.xml",
                "<document><p><r><t>Hens</t></r></p></document>",
            ),
            (
                "word/_rels/document.xml.rels",
                "<Relationships><Relationship Type='x/diagramData' Target='d.xml'/>\
                 <Relationship Type='x/chart' Target='c.xml'/>\
                 <Relationship Type='x/chart' Target='bad.xml'/></Relationships>",
            ),
            (
                "word/d.xml",
                "<d:t><a:p><a:r><a:t>Egg to hen</a:t></a:r></a:p></d:t>",
            ),
            (
                "word/c.xml",
                "<c:title><a:p><a:t>Eggs</a:t></a:p></c:title><c:ser><c:val><c:pt idx='0'>\
                 <c:v>7</c:v></c:pt></c:val></c:ser>",
            ),
            ("word/bad.xml", "<c:title><a:p"),
        ];
        let found = docx(&archive(&parts), 1 << 20).unwrap();
        assert_eq!(
            found.outline.text,
            "Hens\n\nEgg to hen\n\nChart: Eggs\n\n7\n"
        );
        assert!(found.missing.is_some());
    }

    #[test]
    fn slides_that_are_hidden_are_left_out() {
        let check = |show: &str, expected: &str| {
            let slide =
                format!("<p:sld {show}><p:sp><a:p><a:r><a:t>The mill</a:t></a:r></a:p></p:sp>");
            let mut pen = Pen::new(1 << 20);
            let is_shown = shapes(&format!("{slide}</p:sld>"), &mut pen, true).unwrap();
            let text = pen.finish(Meta::default()).unwrap().outline.text;
            assert_eq!((is_shown, text.as_str()), (!expected.is_empty(), expected));
        };
        check("", "The mill\n");
        check("show='1'", "The mill\n");
        check("show='0'", "");
        check("show='false'", "");
    }

    #[test]
    fn shapes_that_are_hidden_are_left_out() {
        let shape = |about: &str, text: &str| {
            format!(
                "<p:sp><p:nvSpPr><p:cNvPr {about}/></p:nvSpPr><a:p><a:r><a:t>{text}</a:t></a:r></a:p>\
                 </p:sp>"
            )
        };
        let slide = [
            "<p:sld><p:grpSp><p:nvGrpSpPr><p:cNvPr/></p:nvGrpSpPr>".to_owned(),
            shape("", "one"),
            shape("hidden='1'", "two"),
            shape("hidden='0'", "three"),
            "</p:grpSp><p:grpSp><p:nvGrpSpPr><p:cNvPr hidden='true'/></p:nvGrpSpPr>".to_owned(),
            shape("", "four"),
            "</p:grpSp>".to_owned(),
            shape("", "five"),
            "</p:sld>".to_owned(),
        ];
        let mut pen = Pen::new(1 << 20);
        shapes(&slide.concat(), &mut pen, true).unwrap();
        let text = pen.finish(Meta::default()).unwrap().outline.text;
        assert_eq!(text, "one\n\nthree\n\nfive\n");
    }

    #[test]
    fn keywords_are_told_once() {
        let meta = properties("<p><keywords>boat, sea; boat,</keywords><keyword>sea</keyword></p>");
        assert_eq!(meta.tags, ["boat", "sea"]);
    }
}
