//! Word documents: their text with its notes and comments, and what their styles say of it.
//!
//! Not read is what was deleted or is hidden, and the second copy of a text box; charts and diagrams
//! stand behind the text, as do pages that a program left for Word to turn into paragraphs.

use std::collections::HashMap;
use std::iter::successors;

use super::drawing::write_drawn;
use super::numbering::{InList, Numbering};
use super::paragraphs::{Look, Paragraph, Paragraphs, Row};
use super::{FURTHEST, core_properties, main_part, math, relations, symbol, unpack_limit};
use crate::extract::archive::{Archive, resolve};
use crate::extract::pen::Pen;
use crate::extract::xml::{Attributes, Node, walk};
use crate::extract::{Extracted, Skip, html, mail};

/// The text of a Word document.
///
/// # Errors
/// [`Skip`].
pub(in crate::extract) fn docx(bytes: &[u8], limit: usize) -> Result<Extracted, Skip> {
    let mut archive = Archive::open(bytes, unpack_limit(limit))?;
    let main = main_part(&mut archive, "word/document.xml")?;
    let Some(document) = archive.text(&main)? else {
        return Err(Skip("broken: it holds no document".into()));
    };
    let mut pen = Pen::new(limit);
    let styles = archive.text(&resolve(&main, "styles.xml"));
    let styles = styles.and_then(|xml| docx_styles(&xml.unwrap_or_default()));
    let mut styles = styles.unwrap_or_else(|Skip(error)| {
        pen.broke_off(Some(error));
        Styles::default()
    });
    let numbering = archive.text(&resolve(&main, "numbering.xml"));
    match numbering.and_then(|xml| Numbering::read(&xml.unwrap_or_default())) {
        Ok(numbering) => styles.numbering = numbering,
        Err(Skip(error)) => pen.broke_off(Some(error)),
    }
    let mut body = Paragraphs::default();
    let broken = walk(&document, |node| {
        docx_node(node, &mut body, &mut styles, &mut pen);
    })?;
    pen.broke_off(broken);
    body.end(&mut pen);
    write_pages(&mut archive, &main, &mut pen);
    write_drawn(&mut archive, &main, &mut pen);
    for notes in ["footnotes.xml", "endnotes.xml", "comments.xml"] {
        let mut body = Paragraphs::default();
        let xml = archive.text(&resolve(&main, notes));
        let read = xml.and_then(|xml| {
            walk(&xml.unwrap_or_default(), |node| {
                docx_node(node, &mut body, &mut styles, &mut pen);
            })
        });
        pen.broke_off(read.unwrap_or_else(|Skip(error)| Some(error)));
        body.end(&mut pen);
    }
    let meta = core_properties(&mut archive);
    pen.finish(meta)
}

/// Writes the pages that a document holds as they are: some programs export nothing else.
fn write_pages(archive: &mut Archive<'_>, part: &str, pen: &mut Pen) {
    let relations = relations(archive, part).unwrap_or_default();
    for page in relations.iter().filter(|r| r.kind.ends_with("/aFChunk")) {
        let read = write_page(archive, &page.target, pen);
        pen.broke_off(read.err().map(|Skip(error)| error));
    }
}

fn write_page(archive: &mut Archive<'_>, name: &str, pen: &mut Pen) -> Result<(), Skip> {
    let Some(bytes) = archive.read(name)? else {
        return Ok(());
    };
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    match ending.to_ascii_lowercase().as_str() {
        "mht" | "mhtml" => mail::web_archive(&bytes, pen),
        "html" | "htm" | "xhtml" => drop(html::write_all(&html::decode(&bytes)?, pen)),
        _ => return Err(Skip(format!("{name} in it is of another format"))),
    }
    Ok(())
}

/// What styles say of the text under them, by their ids.
#[derive(Default)]
struct Styles {
    /// Levels of headings.
    levels: HashMap<String, u8>,
    /// How runs look.
    looks: HashMap<String, Look>,
    /// Where in a list paragraphs are, as far as the style says it.
    lists: HashMap<String, InList>,
    numbering: Numbering,
}

/// The styles of a Word document; style ids are translated, style names are not.
fn docx_styles(xml: &str) -> Result<Styles, Skip> {
    let mut styles = Styles::default();
    let mut style = String::new();
    let mut title = None;
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
                if let Some(level) = level {
                    styles.levels.insert(style.clone(), level);
                } else if name == "title" {
                    title = Some(style.clone());
                }
            }
            "outlineLvl" => {
                let level = attributes.get("val").and_then(|v| v.parse::<u8>().ok());
                if let Some(level) = level {
                    let levels = &mut styles.levels;
                    // The tenth level is that of what is no heading.
                    let level = if level < 9 { level + 1 } else { 0 };
                    levels.entry(style.clone()).or_insert(level);
                }
            }
            "vertAlign" | "vanish" => {
                let look = styles.looks.entry(style.clone()).or_default();
                change_look(look, name, &attributes);
            }
            "numId" | "ilvl" => {
                let place = styles.lists.entry(style.clone()).or_default();
                place.take_in(name, &attributes);
            }
            _ => {}
        }
    })?;
    let looks = inherited(&parents, &styles.looks);
    styles.looks.extend(looks);
    let levels = inherited(&parents, &styles.levels);
    styles.levels.extend(levels);
    styles.levels.retain(|_, level| *level > 0);
    if let Some(title) = title {
        styles.levels.entry(title).or_insert(1);
    }
    let within: Vec<(String, InList)> = parents
        .keys()
        .filter_map(|style| {
            let all = successors(Some(style), |style| parents.get(*style)).take(FURTHEST);
            let mut all = all.filter_map(|style| styles.lists.get(style));
            let mut found = all.next()?.clone();
            for above in all {
                found.list = found.list.or_else(|| above.list.clone());
                found.depth = found.depth.or(above.depth);
            }
            Some((style.clone(), found))
        })
        .collect();
    styles.lists.extend(within);
    Ok(styles)
}

/// What holds for styles that do not say it: the next one above that does.
fn inherited<T: Clone>(
    parents: &HashMap<String, String>,
    known: &HashMap<String, T>,
) -> Vec<(String, T)> {
    let silent = parents.keys().filter(|style| !known.contains_key(*style));
    let said = silent.filter_map(|style| {
        let above = successors(parents.get(style), |parent| parents.get(*parent));
        let said = above.take(FURTHEST).find_map(|above| known.get(above))?;
        Some((style.clone(), said.clone()))
    });
    said.collect()
}

/// Gives a paragraph the number that it has in its list; under the number 0 it is in none.
fn count_paragraph(paragraph: &mut Paragraph, styles: &mut Styles) {
    let of_style = styles.lists.get(&paragraph.style);
    let list = paragraph.place.list.clone();
    let Some(list) = list.or_else(|| of_style?.list.clone()) else {
        return;
    };
    paragraph.item = list != "0";
    if paragraph.item && !paragraph.hidden {
        let numbering = &mut styles.numbering;
        let depth = paragraph
            .place
            .depth
            .or_else(|| numbering.level_of(&list, &paragraph.style))
            .or_else(|| of_style?.depth);
        paragraph.number = numbering.next_of(&list, depth.unwrap_or(0));
    }
}

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

fn docx_node(node: Node<'_>, body: &mut Paragraphs, styles: &mut Styles, pen: &mut Pen) {
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
        Node::Close("p") => {
            if let Some(paragraph) = body.open.last_mut() {
                count_paragraph(paragraph, styles);
            }
            body.end_paragraph(pen);
        }
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
                paragraph.style = style;
            }
        }
        Node::Open("numPr", _) => {
            if let Some(paragraph) = body.open.last_mut() {
                paragraph.item = true;
            }
        }
        Node::Open(name @ ("numId" | "ilvl"), attributes) => {
            if let Some(paragraph) = body.open.last_mut() {
                paragraph.place.take_in(name, &attributes);
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
        Node::Open("sym", attributes) => {
            let said = |name: &str| attributes.get(name).unwrap_or_default();
            if let Some(sign) = symbol::shown(&said("font"), &said("char")) {
                body.push(sign.encode_utf8(&mut [0; 4]));
            }
        }
        Node::Text(text) if body.in_text => body.push(text),
        node => math::visit(&node, body),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::archive;
    use super::*;
    use crate::domain::source::Meta;

    /// Steps, chapters, and what has marks.
    const LISTS: &str = "<numbering>\
        <abstractNum abstractNumId='1'><lvl ilvl='0'><numFmt val='decimal'/><lvlText val='%1.'/></lvl>\
        <lvl ilvl='1'><numFmt val='lowerLetter'/><lvlText val='%2)'/></lvl></abstractNum>\
        <abstractNum abstractNumId='2'><lvl ilvl='0'><pStyle val='H1'/><numFmt val='decimal'/>\
        <lvlText val='%1'/></lvl><lvl ilvl='1'><pStyle val='H2'/><numFmt val='decimal'/>\
        <lvlText val='%1.%2'/></lvl></abstractNum>\
        <abstractNum abstractNumId='3'><lvl ilvl='0'><numFmt val='bullet'/><lvlText val='o'/></lvl>\
        </abstractNum><num numId='1'><abstractNumId val='1'/></num>\
        <num numId='2'><abstractNumId val='2'/></num><num numId='3'><abstractNumId val='3'/></num>\
        </numbering>";

    #[test]
    fn styles_made_of_headings_are_headings() {
        let styles = "<style styleId='Titel'><name val='Title'/></style>\
            <style styleId='U1'><name val='heading 1'/></style>\
            <style styleId='Kapitel'><name val='Kapitel'/><basedOn val='U1'/></style>\
            <style styleId='Sub'><basedOn val='Kapitel'/><pPr><outlineLvl val='1'/></pPr></style>\
            <style styleId='Inhalt'><basedOn val='U1'/><pPr><outlineLvl val='9'/></pPr></style>\
            <style styleId='Untertitel'><basedOn val='Titel'/></style>";
        let body = ["Titel", "Untertitel", "Kapitel", "Sub", "Inhalt"]
            .map(|style| format!("<p><pPr><pStyle val='{style}'/></pPr><r><t>{style}</t></r></p>"));
        let expected = "# Titel\n\nUntertitel\n\n# Kapitel\n\n## Sub\n\nInhalt\n";
        assert_eq!(read_docx(&body.concat(), styles), expected);
    }

    #[test]
    fn paragraphs_have_the_numbers_of_their_lists() {
        let styles = "<style styleId='H1'><name val='heading 1'/><numPr><numId val='2'/></numPr></style>\
            <style styleId='H2'><name val='heading 2'/><basedOn val='H1'/><numPr><ilvl val='1'/></numPr>\
            </style><style styleId='Step'><numPr><numId val='1'/></numPr></style>\
            <style styleId='Below'><basedOn val='Step'/></style>";
        let styled = |style: &str, more: &str, text: &str| {
            format!("<p><pPr><pStyle val='{style}'/>{more}</pPr><r><t>{text}</t></r></p>")
        };
        let listed = |list: u8, depth: u8, text: &str| {
            let list = format!("<numPr><ilvl val='{depth}'/><numId val='{list}'/></numPr>");
            styled("None", &list, text)
        };
        let row = format!(
            "<tc>{}</tc><tc>{}</tc>",
            listed(1, 0, ""),
            listed(9, 0, "rope")
        );
        let body = [
            styled("H1", "", "Boats"),
            styled("H2", "", "Oars"),
            listed(1, 0, "Soak"),
            listed(1, 1, "in rain"),
            listed(1, 1, "in a tub"),
            styled("Below", "", "Dry"),
            listed(1, 0, ""),
            listed(0, 0, "Plain."),
            listed(3, 0, "wood"),
            styled("Step", "<numPr><numId val='0'/></numPr>", "None."),
            styled("H1", "", "Sails"),
            styled("H2", "", "Jib"),
            format!("<tbl><tr>{row}</tr></tbl>"),
        ];
        assert_eq!(
            read_docx(&body.concat(), styles),
            "# 1 Boats\n\n## 1.1 Oars\n1. Soak\n- a) in rain\n- b) in a tub\n2. Dry\n\nPlain.\n\n\
             - wood\n\nNone.\n\n# 2 Sails\n\n## 2.1 Jib\n\n4. | rope\n"
        );
    }

    /// The text of what stands in the body of a Word document.
    fn read_docx(body: &str, styles: &str) -> String {
        let mut styles = docx_styles(&format!("<styles>{styles}</styles>")).unwrap();
        styles.numbering = Numbering::read(LISTS).unwrap();
        let mut pen = Pen::new(1 << 20);
        let mut paragraphs = Paragraphs::default();
        walk(&format!("<body>{body}</body>"), |node| {
            docx_node(node, &mut paragraphs, &mut styles, &mut pen);
        })
        .unwrap();
        paragraphs.end(&mut pen);
        pen.finish(Meta::default()).unwrap().outline.text
    }

    #[test]
    fn pages_that_a_document_holds_are_read() {
        let relation = |name: &str| format!("<Relationship Type='x/aFChunk' Target='{name}'/>");
        let all = ["a.mht", "b.html", "c.rtf"].map(relation).concat();
        let all = format!("<Relationships>{all}</Relationships>");
        let web = "MIME-Version: 1.0\r\nContent-Type: multipart/related; type=\"text/html\";\r\n\
            \tboundary=\"x\"\r\n\r\n--x\r\nContent-Type: text/html; charset=\"utf-8\"\r\n\
            Content-Transfer-Encoding: quoted-printable\r\n\r\n\
            <p style=3D\"a\">The heron nests.</p>\r\n--x--\r\n";
        let parts = [
            ("word/document.xml", "<document><altChunk/></document>"),
            ("word/_rels/document.xml.rels", all.as_str()),
            ("word/a.mht", web),
            ("word/b.html", "<h1>Owls</h1>"),
            ("word/c.rtf", "{\\rtf1 x}"),
        ];
        let found = docx(&archive(&parts), 1 << 20).unwrap();
        assert_eq!(found.outline.text, "The heron nests.\n\n# Owls\n");
        let missing = "read in part: word/c.rtf in it is of another format";
        assert_eq!(found.missing.as_deref(), Some(missing));
    }

    #[test]
    fn formulas_say_what_is_raised_and_what_is_divided() {
        let run = |text: &str| format!("<r><t>{text}</t></r>");
        let check = |formula: &str, expected: &str| {
            let body = format!("<p>{}<oMath>{formula}</oMath></p>", run("So "));
            assert_eq!(
                read_docx(&body, ""),
                format!("So {expected}\n"),
                "{formula}"
            );
        };
        let divided =
            |above: &str, below: &str| format!("<f><num>{above}</num><den>{below}</den></f>");
        let power = |of: &str, power: &str| format!("<sSup><e>{of}</e><sup>{power}</sup></sSup>");
        let half = divided(&run("1"), &run("2"));
        check(&format!("{half}{}", power(&run("x"), &run("2"))), "1/2x^2");
        check(&divided(&run("a+b"), &half), "(a+b)/(1/2)");
        let sum = format!("<d><e>{}</e></d>", run("a+b"));
        check(&power(&sum, &run("n-1")), "(a+b)^(n-1)");
        check(&format!("{}{half}", run("1")), "1 1/2");
        check(&power(&run("2"), &half), "2^(1/2)");
        let within = |signs: &str, of: &str| format!("<d><dPr>{signs}</dPr><e>{of}</e></d>");
        let open = within("<begChr val='['/><endChr val=')'/>", &run("0,1"));
        check(&open, "[0,1)");
        let cases = within("<begChr val='{'/><endChr val=''/>", &run("x"));
        check(
            &within("<begChr val='|'/><endChr val='|'/>", &cases),
            "|{x|",
        );
        check(&format!("<rad><deg/><e>{}</e></rad>", run("2")), "√2");
        let cubic = format!("<rad><deg>{}</deg><e>{}</e></rad>", run("3"), run("x+1"));
        check(&cubic, "√([3]x+1)");
        // What is no formula, and what does not end.
        assert_eq!(read_docx("<num><p><den>a</num></p>", ""), "");
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
            "<p><r><t>10 </t><sym font='Symbol' char='F0B1'/><t> 5 </t><sym font='Symbol' \
             char='F06D'/><t>m</t></r></p>",
            "10 ± 5 μm\n",
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
}
