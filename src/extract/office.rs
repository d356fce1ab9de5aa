//! Office documents: docx, odt and pptx.
//!
//! All three are zip archives of XML in which text lies in paragraphs and tables. Read are what a
//! reader of the document sees: not deleted text, field codes, headers, footers, or the second copy
//! of a text box. Slides are pages.

use std::collections::HashMap;

use super::archive::{Archive, resolve};
use super::pen::{Pen, one_line};
use super::xml::{Attributes, Node, walk};
use super::{Extracted, Skip, push_new};
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
    let styles = archive.text(&resolve(&main, "styles.xml"))?;
    let levels = styles.map_or(Ok(HashMap::new()), |xml| heading_styles(&xml))?;
    let Some(document) = archive.text(&main)? else {
        return Err(Skip("broken: it holds no document".into()));
    };
    let mut pen = Pen::new(limit);
    let mut body = Paragraphs::default();
    walk(&document, |node| {
        docx_node(node, &mut body, &levels, &mut pen);
    })?;
    body.end(&mut pen);
    for notes in ["footnotes.xml", "endnotes.xml", "comments.xml"] {
        if let Some(xml) = archive.text(&resolve(&main, notes))? {
            let mut body = Paragraphs::default();
            walk(&xml, |node| {
                docx_node(node, &mut body, &levels, &mut pen);
            })?;
            body.end(&mut pen);
        }
    }
    let meta = core_properties(&mut archive)?;
    pen.finish(meta)
}

/// The main part of an Office Open XML file is where its relations say; `usual` where they don't.
fn main_part(archive: &mut Archive<'_>, usual: &str) -> Result<String, Skip> {
    let relations = relations(archive, "")?;
    let main = relations
        .into_iter()
        .find(|r| r.kind.ends_with("/officeDocument"));
    Ok(main.map_or_else(|| usual.to_owned(), |r| r.target))
}

struct Relation {
    id: String,
    kind: String,
    target: String,
}

/// The relations of a part, with resolved targets.
fn relations(archive: &mut Archive<'_>, part: &str) -> Result<Vec<Relation>, Skip> {
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

/// Heading levels of paragraph styles; style ids are translated, style names are not.
fn heading_styles(xml: &str) -> Result<HashMap<String, u8>, Skip> {
    let mut levels = HashMap::new();
    let mut style = String::new();
    walk(xml, |node| {
        let Node::Open(name, attributes) = node else {
            return;
        };
        match name {
            "style" => style = attributes.get("styleId").unwrap_or_default(),
            "name" => {
                let name = attributes.get("val").unwrap_or_default().to_lowercase();
                let level = name
                    .strip_prefix("heading ")
                    .and_then(|n| n.parse::<u8>().ok());
                if let Some(level) = level.or((name == "title").then_some(1)) {
                    levels.insert(style.clone(), level);
                }
            }
            "outlineLvl" => {
                let level = attributes.get("val").and_then(|v| v.parse::<u8>().ok());
                if let Some(level) = level.filter(|level| *level < 9) {
                    levels.entry(style.clone()).or_insert(level + 1);
                }
            }
            _ => {}
        }
    })?;
    Ok(levels)
}

fn core_properties(archive: &mut Archive<'_>) -> Result<Meta, Skip> {
    let xml = archive.text("docProps/core.xml")?.unwrap_or_default();
    Ok(properties(&xml))
}

/// Title and keywords in Dublin Core.
fn properties(xml: &str) -> Meta {
    let mut meta = Meta::default();
    let mut inside = String::new();
    let mut value = String::new();
    // Properties that cannot be read are no reason to refuse the document.
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
    rows: Vec<Vec<String>>,
    /// Elements around whose text is not read.
    silent: usize,
    in_text: bool,
    list: usize,
}

#[derive(Default)]
struct Paragraph {
    text: String,
    level: Option<u8>,
    item: bool,
}

impl Paragraphs {
    fn begin_paragraph(&mut self) {
        self.open.push(Paragraph {
            item: self.list > 0,
            ..Paragraph::default()
        });
    }

    fn end_paragraph(&mut self, pen: &mut Pen) {
        let Some(paragraph) = self.open.pop() else {
            return;
        };
        if let Some(cell) = self.rows.last_mut().and_then(|row| row.last_mut()) {
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
        if self.silent > 0 {
            return;
        }
        if let Some(paragraph) = self.open.last_mut() {
            paragraph.text.push_str(text);
        }
    }

    fn end_row(&mut self, pen: &mut Pen) {
        let Some(row) = self.rows.pop() else {
            return;
        };
        if row.iter().all(|cell| cell.trim().is_empty()) {
            return;
        }
        let line = row.join(" | ");
        match self.rows.last_mut().and_then(|outer| outer.last_mut()) {
            Some(cell) => {
                cell.push(' ');
                cell.push_str(&line);
            }
            None => pen.row(&line),
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

fn docx_node(node: Node<'_>, body: &mut Paragraphs, levels: &HashMap<String, u8>, pen: &mut Pen) {
    match node {
        Node::Open("del" | "moveFrom" | "Fallback", _) => body.silent += 1,
        Node::Close("del" | "moveFrom" | "Fallback") => {
            body.silent = body.silent.saturating_sub(1);
        }
        _ if body.silent > 0 => {}
        Node::Open("p", _) => body.begin_paragraph(),
        Node::Close("p") => body.end_paragraph(pen),
        Node::Open("pStyle", attributes) => {
            let style = attributes.get("val").unwrap_or_default();
            if let (Some(level), Some(paragraph)) = (levels.get(&style), body.open.last_mut()) {
                paragraph.level = Some(*level);
            }
        }
        Node::Open("numPr", _) => {
            if let Some(paragraph) = body.open.last_mut() {
                paragraph.item = true;
            }
        }
        Node::Open("tr", _) => body.rows.push(Vec::new()),
        Node::Close("tr") => body.end_row(pen),
        Node::Open("tc", _) => {
            if let Some(row) = body.rows.last_mut() {
                row.push(String::new());
            }
        }
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
        return odt_content(&xml, properties(&xml), limit);
    }
    let mut archive = Archive::open(bytes, unpack_limit(limit))?;
    let manifest = archive.text("META-INF/manifest.xml")?.unwrap_or_default();
    if manifest.contains("encryption-data") {
        return Err(Skip(
            "encrypted: it cannot be read without its password".into(),
        ));
    }
    let meta = archive.text("meta.xml")?.unwrap_or_default();
    let Some(content) = archive.text("content.xml")? else {
        return Err(Skip("broken: it holds no document".into()));
    };
    odt_content(&content, properties(&meta), limit)
}

fn odt_content(xml: &str, meta: Meta, limit: usize) -> Result<Extracted, Skip> {
    let mut pen = Pen::new(limit);
    let mut body = Paragraphs::default();
    let mut inside = false;
    walk(xml, |node| match node {
        Node::Open("body", _) => inside = true,
        Node::Close("body") => inside = false,
        _ if inside => odt_node(node, &mut body, &mut pen),
        _ => {}
    })?;
    body.end(&mut pen);
    pen.finish(meta)
}

fn odt_node(node: Node<'_>, body: &mut Paragraphs, pen: &mut Pen) {
    match node {
        Node::Open("tracked-changes" | "note-citation" | "creator" | "date", _) => {
            body.silent += 1;
        }
        Node::Close("tracked-changes" | "note-citation" | "creator" | "date") => {
            body.silent = body.silent.saturating_sub(1);
        }
        _ if body.silent > 0 => {}
        Node::Open("p", _) => body.begin_paragraph(),
        Node::Open("h", attributes) => {
            body.begin_paragraph();
            if let Some(paragraph) = body.open.last_mut() {
                paragraph.level = Some(number(&attributes, "outline-level", 1));
            }
        }
        Node::Close("p" | "h") => body.end_paragraph(pen),
        Node::Open("list-item", _) => body.list += 1,
        Node::Close("list-item") => body.list = body.list.saturating_sub(1),
        Node::Open("table-row", _) => body.rows.push(Vec::new()),
        Node::Close("table-row") => body.end_row(pen),
        Node::Open("table-cell", _) => {
            if let Some(row) = body.rows.last_mut() {
                row.push(String::new());
            }
        }
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
        if let Some(xml) = archive.text(slide)? {
            shapes(&xml, &mut pen, true)?;
        }
        let notes = relations(&mut archive, slide)?;
        let notes = notes.iter().find(|r| r.kind.ends_with("/notesSlide"));
        if let Some(notes) = notes
            && let Some(xml) = archive.text(&notes.target)?
        {
            shapes(&xml, &mut pen, false)?;
        }
    }
    let meta = core_properties(&mut archive)?;
    pen.finish(meta)
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

fn shapes(xml: &str, pen: &mut Pen, titles: bool) -> Result<(), Skip> {
    let mut body = Paragraphs::default();
    let mut kind = String::new();
    walk(xml, |node| match node {
        Node::Open("sp" | "graphicFrame", _) => kind.clear(),
        Node::Open("ph", attributes) => kind = attributes.get("type").unwrap_or_default(),
        Node::Open("p", _) => {
            body.begin_paragraph();
            let title = titles && matches!(kind.as_str(), "title" | "ctrTitle");
            if let Some(paragraph) = body.open.last_mut() {
                paragraph.level = title.then_some(1);
            }
        }
        Node::Close("p") => {
            if matches!(kind.as_str(), "sldNum" | "dt" | "ftr" | "hdr") {
                body.open.pop();
            } else {
                body.end_paragraph(pen);
            }
        }
        Node::Open("tr", _) => body.rows.push(Vec::new()),
        Node::Close("tr") => body.end_row(pen),
        Node::Open("tc", _) => {
            if let Some(row) = body.rows.last_mut() {
                row.push(String::new());
            }
        }
        Node::Open("t", _) => body.in_text = true,
        Node::Close("t") => body.in_text = false,
        Node::Open("br", _) => body.push("\n"),
        Node::Text(text) if body.in_text => body.push(text),
        _ => {}
    })?;
    body.end(pen);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_told_once() {
        let meta = properties("<p><keywords>boat, sea; boat,</keywords><keyword>sea</keyword></p>");
        assert_eq!(meta.tags, ["boat", "sea"]);
    }
}
