//! Books: the sections of an EPUB in reading order.

use std::collections::HashMap;

use super::archive::{Archive, resolve};
use super::office::unpack_limit;
use super::pen::{Pen, one_line};
use super::xml::{Node, walk};
use super::{Extracted, Skip, html};
use crate::domain::link::percent_decoded;
use crate::domain::source::Meta;

/// The text of a book. Each file of its spine is a page.
///
/// # Errors
/// [`Skip`].
pub(super) fn extract(bytes: &[u8], limit: usize) -> Result<Extracted, Skip> {
    let mut archive = Archive::open(bytes, unpack_limit(limit))?;
    if let Some(encryption) = archive.text("META-INF/encryption.xml")?
        && encryption.contains("EncryptedData")
        && !encryption.contains("obfuscation")
    {
        return Err(Skip("encrypted: it is protected against copying".into()));
    }
    let package = package(&mut archive)?;
    let Some(xml) = archive.text(&package)? else {
        return Err(Skip("broken: it names no package".into()));
    };
    let (meta, sections) = spine(&xml, &package)?;
    let mut pen = Pen::new(limit);
    for (index, section) in sections.iter().enumerate() {
        pen.page(index + 1);
        // A picture may stand in the place of a section.
        let page = archive.read(section);
        match page.and_then(|bytes| bytes.map(|bytes| html::decode(&bytes)).transpose()) {
            Ok(page) => drop(page.and_then(|page| html::write_all(&page, &mut pen))),
            Err(Skip(error)) => pen.broke_off(Some(error)),
        }
    }
    pen.finish(meta)
}

fn package(archive: &mut Archive<'_>) -> Result<String, Skip> {
    let container = archive.text("META-INF/container.xml")?.unwrap_or_default();
    let mut found = None;
    let _ = walk(&container, |node| {
        if let Node::Open("rootfile", attributes) = node {
            found = found.take().or_else(|| attributes.get("full-path"));
        }
    });
    let is_package = |name: &String| name.rsplit_once('.').is_some_and(|(_, e)| e == "opf");
    found
        .or_else(|| archive.names().into_iter().find(is_package))
        .ok_or_else(|| Skip("broken: it names no package".into()))
}

/// What the package says of the book, and its sections in order.
fn spine(xml: &str, package: &str) -> Result<(Meta, Vec<String>), Skip> {
    let mut files = HashMap::new();
    let mut order = Vec::new();
    let mut meta = Meta::default();
    let mut title: Option<String> = None;
    walk(xml, |node| match node {
        Node::Open("title", _) if meta.title.is_none() => title = Some(String::new()),
        Node::Text(text) => {
            if let Some(title) = &mut title {
                title.push_str(text);
            }
        }
        Node::Close("title") => {
            let found = title.take().map(|t| one_line(&t));
            meta.title = meta.title.take().or(found.filter(|t| !t.is_empty()));
        }
        Node::Open("item", attributes) => {
            if let (Some(id), Some(target)) = (attributes.get("id"), attributes.get("href")) {
                files.insert(id, resolve(package, &percent_decoded(&target)));
            }
        }
        Node::Open("itemref", attributes) => order.extend(attributes.get("idref")),
        _ => {}
    })?;
    let sections = order.iter().filter_map(|id| files.get(id).cloned());
    Ok((meta, sections.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_that_is_no_text_hides_none_of_the_others() {
        use std::io::Write;
        let package = "<package><manifest><item id='a' href='a.png'/><item id='b' href='b.html'/>\
            </manifest><spine><itemref idref='a'/><itemref idref='b'/></spine></package>";
        let parts: [(&str, &[u8]); 3] = [
            ("book.opf", package.as_bytes()),
            ("a.png", b"\x89PNG\0\0\0IHDR"),
            ("b.html", b"<p>The heron nests.</p>"),
        ];
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, bytes) in parts {
            let options = zip::write::SimpleFileOptions::default();
            zip.start_file(name, options).unwrap();
            zip.write_all(bytes).unwrap();
        }
        let found = extract(&zip.finish().unwrap().into_inner(), 1 << 20).unwrap();
        assert_eq!(found.outline.text, "The heron nests.\n");
        assert!(found.missing.is_some());
    }
}
