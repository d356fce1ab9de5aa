//! Presentations: slides in the order in which they are shown, each a page, and the notes to them.

use super::drawing::{shapes, write_drawn};
use super::{core_properties, main_part, relations, unpack_limit};
use crate::extract::archive::Archive;
use crate::extract::pen::Pen;
use crate::extract::xml::{Node, walk};
use crate::extract::{Extracted, Skip};

/// The text of slides and of the notes to them.
///
/// # Errors
/// [`Skip`].
pub(in crate::extract) fn pptx(bytes: &[u8], limit: usize) -> Result<Extracted, Skip> {
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
