//! Office documents: docx, odt and pptx, and what they have in common with other zip archives of XML.
//!
//! Text lies in paragraphs and tables. Read are what a reader of the document sees: not deleted or
//! hidden text, field codes, headers, footers, or the second copy of a text box.

mod docx;
mod drawing;
mod math;
mod numbering;
mod odt;
mod paragraphs;
mod pptx;
mod symbol;

use super::archive::{Archive, resolve};
use super::pen::one_line;
use super::xml::{Node, walk};
use super::{Skip, push_new};
use crate::domain::source::Meta;

pub(super) use self::docx::docx;
pub(super) use self::numbering::{figure, lead_of};
pub(super) use self::odt::odt;
pub(super) use self::paragraphs::push_raised;
pub(super) use self::pptx::pptx;

/// How much an archive may unpack to, in multiples of the text that may come out of it: markup is
/// most of it.
const MARKUP_FACTOR: u64 = 8;

pub(super) fn unpack_limit(limit: usize) -> u64 {
    limit as u64 * MARKUP_FACTOR
}

/// Styles above a style that are looked at.
const FURTHEST: usize = 32;

/// The main part of an Office Open XML file is where its relations say; `usual` where they don't.
pub(super) fn main_part(archive: &mut Archive<'_>, usual: &str) -> Result<String, Skip> {
    let relations = relations(archive, "")?;
    let main = relations
        .into_iter()
        .find(|r| r.kind.ends_with("/officeDocument"));
    Ok(main.map_or_else(|| usual.to_owned(), |r| r.target))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A zip archive of these parts.
    pub(super) fn archive(parts: &[(&str, &str)]) -> Vec<u8> {
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
    fn keywords_are_told_once() {
        let meta = properties("<p><keywords>boat, sea; boat,</keywords><keyword>sea</keyword></p>");
        assert_eq!(meta.tags, ["boat", "sea"]);
    }
}
