//! What is drawn: the text of shapes on a slide or in a diagram, and charts.

use super::numbering::Counts;
use super::paragraphs::{Paragraphs, Row, is_above};
use super::{math, relations};
use crate::extract::archive::Archive;
use crate::extract::pen::Pen;
use crate::extract::xml::{Node, walk};
use crate::extract::{Skip, chart};

/// Writes what is drawn of the data that a part refers to: diagrams and charts.
pub(super) fn write_drawn(archive: &mut Archive<'_>, part: &str, pen: &mut Pen) {
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

/// Writes the text of a slide or of its notes; tells whether the slide is shown.
pub(super) fn shapes(xml: &str, pen: &mut Pen, titles: bool) -> Result<bool, Skip> {
    let mut body = Paragraphs::default();
    let mut kind = String::new();
    let mut is_shown = true;
    // Which of the shapes around are hidden: with a group, all that is in it is.
    let mut hidden: Vec<bool> = Vec::new();
    // How the paragraph under way is numbered, and on which level.
    let (mut way, mut level) = (None, 0);
    let mut counts = Counts::default();
    let broken = walk(xml, |node| match node {
        Node::Open("sld", attributes) => {
            is_shown = !matches!(attributes.get("show").as_deref(), Some("0" | "false"));
        }
        _ if !is_shown => {}
        Node::Open("sp" | "grpSp" | "graphicFrame", _) => {
            kind.clear();
            counts = Counts::default();
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
            (way, level) = (None, 0);
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
                if let Some(paragraph) = body.open.last_mut().filter(|paragraph| paragraph.says()) {
                    paragraph.number = counts.next_of(level, way.take());
                }
                body.end_paragraph(pen);
            }
        }
        Node::Open("pPr", attributes) => {
            let said = attributes.get("lvl").and_then(|level| level.parse().ok());
            level = said.unwrap_or(0);
        }
        Node::Open("buAutoNum", attributes) => {
            let start = attributes.get("startAt").and_then(|at| at.parse().ok());
            way = Some((
                attributes.get("type").unwrap_or_default(),
                start.unwrap_or(1),
            ));
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
        node => math::visit(&node, &mut body),
    })?;
    if is_shown {
        pen.broke_off(broken);
    }
    body.end(pen);
    Ok(is_shown)
}

#[cfg(test)]
mod tests {
    use super::super::docx;
    use super::super::tests::archive;
    use super::*;
    use crate::domain::source::Meta;

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
    fn paragraphs_of_a_slide_have_their_numbers() {
        let numbered = |about: &str, text: &str| {
            format!(
                "<a:p><a:pPr {about}><a:buAutoNum type='arabicPeriod'/></a:pPr><a:r><a:t>{text}</a:t>\
                 </a:r></a:p>"
            )
        };
        let shape = [
            numbered("", "Soak"),
            numbered("", ""),
            numbered("lvl='1'", "in rain"),
            numbered("", "Dry"),
            "<a:p><a:r><a:t>Done</a:t></a:r></a:p>".to_owned(),
        ];
        let slide = format!(
            "<p:sld><p:sp>{0}</p:sp><p:sp>{0}</p:sp></p:sld>",
            shape.concat()
        );
        let mut pen = Pen::new(1 << 20);
        shapes(&slide, &mut pen, true).unwrap();
        let text = pen.finish(Meta::default()).unwrap().outline.text;
        let one = "1. Soak\n1. in rain\n2. Dry\n\nDone\n";
        assert_eq!(text, format!("{one}\n{one}"));
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
}
