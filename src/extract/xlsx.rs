//! What workbooks of Office Open XML say beside their cells: which rows and columns are hidden, what is
//! noted on cells, and how charts are called.
//!
//! Rows and columns that somebody hid are left out as hidden sheets are; those that a filter or a folded
//! group keeps back for now are read. What cannot be read here hides nothing, and no cell depends on it.

use std::collections::{HashMap, HashSet};

use super::archive::Archive;
use super::chart;
use super::office::{Relation, main_part, relations};
use super::pen::{Pen, one_line};
use super::sheet::{Comment, Hidden};
use super::xml::{Attributes, Node, walk};

/// The parts of a workbook that are its sheets, by their names.
pub(super) fn sheets(archive: &mut Archive<'_>) -> HashMap<String, String> {
    let mut sheets = HashMap::new();
    let Ok(main) = main_part(archive, "xl/workbook.xml") else {
        return sheets;
    };
    let relations = relations(archive, &main).unwrap_or_default();
    let xml = part(archive, &main);
    let _ = walk(&xml, |node| {
        if let Node::Open("sheet", attributes) = node
            && let (Some(name), Some(id)) = (attributes.get("name"), attributes.get("id"))
            && let Some(relation) = relations.iter().find(|relation| relation.id == id)
        {
            sheets.insert(name, relation.target.clone());
        }
    });
    sheets
}

/// The rows and columns of a sheet that somebody hid, and what is noted on its cells.
pub(super) fn beside(archive: &mut Archive<'_>, sheet: &str) -> (Hidden, Vec<Comment>) {
    let relations = relations(archive, sheet).unwrap_or_default();
    let mut hidden = hidden(&part(archive, sheet));
    let tables = targets(&relations, "/table");
    if tables
        .map(|table| part(archive, table))
        .any(|table| table.contains("filterColumn"))
    {
        hidden.rows.clear();
    }
    let mut of_kind = |kind: &str| -> Vec<Comment> {
        let parts = targets(&relations, kind);
        parts
            .flat_map(|target| comments(&part(archive, target)))
            .collect()
    };
    let threads = of_kind("/threadedComment");
    let comments = with_threads(of_kind("/comments"), threads);
    (hidden, comments)
}

/// Comments, and those that others may reply to: of these, older programs are told on the same cell
/// that they cannot show them.
fn with_threads(mut comments: Vec<Comment>, threads: Vec<Comment>) -> Vec<Comment> {
    let places: HashSet<(u32, u32)> = threads.iter().map(|comment| comment.place).collect();
    comments.retain(|comment| !places.contains(&comment.place));
    threads.into_iter().chain(comments).collect()
}

/// Writes the titles of the charts on a sheet; their numbers are those of cells.
pub(super) fn write_charts(archive: &mut Archive<'_>, sheet: &str, pen: &mut Pen) {
    let relations = relations(archive, sheet).unwrap_or_default();
    for drawing in targets(&relations, "/drawing") {
        chart::write_titles(archive, drawing, pen);
    }
}

fn targets<'r>(relations: &'r [Relation], kind: &str) -> impl Iterator<Item = &'r str> {
    let of_kind = move |relation: &&Relation| relation.kind.ends_with(kind);
    relations
        .iter()
        .filter(of_kind)
        .map(|relation| relation.target.as_str())
}

/// The text of a part; empty where there is none.
fn part(archive: &mut Archive<'_>, name: &str) -> String {
    let bytes = archive.read(name).ok().flatten().unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

/// Columns that spreadsheets have.
const MOST_COLUMNS: u32 = 1 << 14;

/// What the XML of a sheet says of its rows and columns.
fn hidden(xml: &str) -> Hidden {
    let mut hidden = Hidden::default();
    if !xml.contains("hidden=") {
        return hidden;
    }
    let mut is_filtered = false;
    let mut row = 0;
    let _ = walk(xml, |node| match node {
        Node::Open("sheetPr", attributes) => is_filtered = is_set(&attributes, "filterMode"),
        Node::Open("col", attributes) if is_hidden(&attributes) => {
            let (first, last) = (number(&attributes, "min"), number(&attributes, "max"));
            if let (Some(first), Some(last)) = (first, last) {
                let columns = first..last.saturating_add(1).min(MOST_COLUMNS);
                hidden.columns.extend(columns);
            }
        }
        Node::Open("row", attributes) => {
            let number = number(&attributes, "r").unwrap_or(row);
            row = number.saturating_add(1);
            if is_hidden(&attributes) {
                hidden.rows.insert(number);
            }
        }
        _ => {}
    });
    if is_filtered {
        hidden.rows.clear();
    }
    hidden
}

/// The number of a row or a column, counted from 0.
fn number(attributes: &Attributes<'_>, name: &str) -> Option<u32> {
    attributes.get(name)?.parse::<u32>().ok()?.checked_sub(1)
}

fn is_set(attributes: &Attributes<'_>, name: &str) -> bool {
    matches!(attributes.get(name).as_deref(), Some("1" | "true"))
}

/// Did somebody hide it, and not the group that it is in?
fn is_hidden(attributes: &Attributes<'_>) -> bool {
    let level = attributes.get("outlineLevel");
    is_set(attributes, "hidden") && level.is_none_or(|level| level == "0")
}

/// Comments with their places, in the order of the XML.
fn comments(xml: &str) -> Vec<Comment> {
    let mut found = Vec::new();
    let mut open: Option<Comment> = None;
    let mut in_text = false;
    let _ = walk(xml, |node| match node {
        Node::Open("comment" | "threadedComment", attributes) => {
            let place = attributes.get("ref").as_deref().and_then(place_of);
            open = place.map(|place| Comment {
                place,
                text: String::new(),
            });
        }
        Node::Open("t" | "text", _) => in_text = true,
        Node::Close("t" | "text") => in_text = false,
        Node::Text(text) if in_text => {
            if let Some(comment) = &mut open {
                comment.text.push_str(text);
            }
        }
        Node::Close("comment" | "threadedComment") => {
            if let Some(mut comment) = open.take() {
                comment.text = one_line(&comment.text);
                if !comment.text.is_empty() {
                    found.push(comment);
                }
            }
        }
        _ => {}
    });
    found
}

/// The row and the column of `AB7`, counted from 0.
fn place_of(name: &str) -> Option<(u32, u32)> {
    let letters = name.bytes().take_while(u8::is_ascii_alphabetic).count();
    let mut column = 0_u32;
    for letter in name[..letters].bytes().take(4) {
        let letter = u32::from(letter.to_ascii_uppercase() - b'A');
        column = column * 26 + letter + 1;
    }
    let row = name[letters..].parse::<u32>().ok()?;
    Some((row.checked_sub(1)?, column.checked_sub(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_hid_is_told_from_what_is_kept_back() {
        let check = |xml: &str, rows: &[u32], columns: &[u32]| {
            let hidden = hidden(&format!("<worksheet>{xml}</worksheet>"));
            let sorted = |numbers: std::collections::HashSet<u32>| {
                let mut numbers: Vec<u32> = numbers.into_iter().collect();
                numbers.sort_unstable();
                numbers
            };
            assert_eq!(sorted(hidden.rows), rows, "{xml}");
            assert_eq!(sorted(hidden.columns), columns, "{xml}");
        };
        check(
            "<cols><col min='2' max='3' hidden='1'/><col min='5' max='5' hidden='0'/></cols>\
             <sheetData><row r='4' hidden='true'/><row hidden='1'/><row r='9'/></sheetData>",
            &[3, 4],
            &[1, 2],
        );
        // A filter; folded groups.
        check(
            "<sheetPr filterMode='1'/><cols><col min='1' max='1' hidden='1' outlineLevel='1'/></cols>\
             <row r='4' hidden='1'/>",
            &[],
            &[],
        );
        check("<row r='4' hidden='1' outlineLevel='1'/>", &[], &[]);
    }

    #[test]
    fn comments_are_read_with_their_places() {
        let plain = comments(
            "<comments><comment ref='AB7'><text><r><t>Ann: </t></r><r><t>ask</t></r></text></comment>\
             <comment ref='A1'><text><t>[Kommentarthread] Ihre Version</t></text></comment>\
             <comment ref='?'><text><t>x</t></text></comment></comments>",
        );
        let threads = comments(
            "<ThreadedComments><threadedComment ref='A1'><text>why?</text></threadedComment>\
             <threadedComment ref='A1'><text>yes</text></threadedComment></ThreadedComments>",
        );
        let found = with_threads(plain, threads);
        let found: Vec<_> = found.iter().map(|c| (c.place, c.text.as_str())).collect();
        let expected = [((0, 0), "why?"), ((0, 0), "yes"), ((6, 27), "Ann: ask")];
        assert_eq!(found, expected);
    }
}
