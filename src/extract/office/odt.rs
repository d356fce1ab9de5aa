//! `OpenDocument` texts, zipped or flat, and what their styles say of what is in them.
//!
//! Not read is what was deleted or is hidden, and what is said of pictures.

use std::collections::HashMap;
use std::iter::successors;

use super::paragraphs::{Look, Paragraphs, Row, is_above};
use super::{FURTHEST, properties, unpack_limit};
use crate::domain::source::Meta;
use crate::extract::archive::Archive;
use crate::extract::pen::Pen;
use crate::extract::xml::{Attributes, Node, walk};
use crate::extract::{Extracted, Skip, text};

/// The text of an `OpenDocument` text, zipped or flat.
///
/// # Errors
/// [`Skip`].
pub(in crate::extract) fn odt(bytes: &[u8], limit: usize) -> Result<Extracted, Skip> {
    if bytes.trim_ascii_start().starts_with(b"<") {
        let xml = text::decode(bytes)?;
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
