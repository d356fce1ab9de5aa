//! Bookmarks: the Netscape HTML that every browser exports, and Chromium's own JSON.

use std::collections::HashMap;
use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;

use super::{Item, What, bad, text_of, unescaped};
use crate::error::Failure;

pub(super) fn read(path: &Path) -> Result<Vec<Item>, Failure> {
    let text = text_of(path)?;
    if text.trim_start().starts_with('{') {
        let parsed: Value =
            serde_json::from_str(&text).map_err(|error| bad(path, What::Bookmarks, error))?;
        let mut items = Vec::new();
        let roots = parsed["roots"].as_object();
        let roots = roots.ok_or_else(|| bad(path, What::Bookmarks, "it holds no `roots`"))?;
        roots
            .values()
            .for_each(|root| chromium(root, &mut Vec::new(), &mut items));
        return Ok(merged(items));
    }
    if !text.to_lowercase().contains("netscape-bookmark") {
        return Err(bad(path, What::Bookmarks, "it holds no bookmarks").into());
    }
    Ok(merged(netscape(&text)))
}

/// One item for each address: in another folder it is the same thing, and would be written over the
/// first at every import.
fn merged(items: Vec<Item>) -> Vec<Item> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut merged: Vec<Item> = Vec::new();
    for item in items {
        if let Some(at) = places.get(&item.id) {
            merge(&mut merged[*at], &item);
        } else {
            places.insert(item.id.clone(), merged.len());
            merged.push(item);
        }
    }
    merged
}

/// Title and date stay those of the first; of the other come its folder, its tags, and what it says
/// more: another title, a note.
fn merge(first: &mut Item, other: &Item) {
    for ((key, value), (_, more)) in first.from.iter_mut().zip(&other.from) {
        let is_new = !more.is_empty() && value.split("; ").all(|one| one != more);
        if value.is_empty() {
            value.clone_from(more);
        } else if *key == "folder" && is_new {
            *value = format!("{value}; {more}");
        }
    }
    for tag in &other.tags {
        if !first.tags.contains(tag) {
            first.tags.push(tag.clone());
        }
    }
    let (_, about) = other.text.split_once("\n\n").unwrap_or_default();
    for said in [other.title.trim(), about.trim()] {
        if said != first.title && !first.text.contains(said) {
            first.text = format!("{}\n\n{said}", first.text.trim_end());
        }
    }
}

fn item(url: &str, title: &str, folders: &[String], about: &str, added: Option<Timestamp>) -> Item {
    let title = if title.trim().is_empty() { url } else { title };
    Item {
        id: url.to_owned(),
        formerly: None,
        title: title.to_owned(),
        from: vec![
            ("url", url.to_owned()),
            ("folder", folders.join(" > ")),
            (
                "date",
                added.map_or_else(String::new, |at| at.strftime("%Y-%m-%d").to_string()),
            ),
        ],
        tags: Vec::new(),
        text: format!("<{url}>\n\n{}", about.trim()),
    }
}

fn chromium(node: &Value, folders: &mut Vec<String>, items: &mut Vec<Item>) {
    let name = node["name"].as_str().unwrap_or_default();
    if let Some(url) = node["url"].as_str() {
        // Microseconds since 1601.
        let added = node["date_added"]
            .as_str()
            .and_then(|at| at.parse::<i64>().ok());
        let added =
            added.and_then(|at| Timestamp::from_second(at / 1_000_000 - 11_644_473_600).ok());
        items.push(item(url, name, folders, "", added));
    }
    if let Some(children) = node["children"].as_array() {
        folders.push(name.to_owned());
        children
            .iter()
            .for_each(|child| chromium(child, folders, items));
        folders.pop();
    }
}

/// By its tags alone: nothing is closed in it that HTML would want closed.
fn netscape(text: &str) -> Vec<Item> {
    // As long as the text, byte by byte.
    let lower = text.to_ascii_lowercase();
    let mut items: Vec<Item> = Vec::new();
    let (mut folders, mut next): (Vec<String>, String) = (Vec::new(), String::new());
    // What is said below is of a bookmark, not of a folder or of what is left out.
    let mut of_last = false;
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        rest = &rest[open + 1..];
        let Some(close) = rest.find('>') else { break };
        let (tag, behind) = (&rest[..close], &rest[close + 1..]);
        let name = tag
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_uppercase();
        let until = |end: &str| {
            let at = text.len() - behind.len();
            let end = lower[at..].find(end).unwrap_or(0);
            unescaped(&behind[..end])
        };
        match name.as_str() {
            "DT" => of_last = false,
            "H3" => next = until("</h3>"),
            "DL" => folders.push(std::mem::take(&mut next)),
            "/DL" => {
                folders.pop();
            }
            "A" => {
                let value = |key: &str| attribute(tag, key);
                let url = value("href").unwrap_or_default();
                if url.contains("://") {
                    let added = value("add_date").and_then(|at| at.parse().ok());
                    let added = added.and_then(|at| Timestamp::from_second(at).ok());
                    let named: Vec<String> =
                        folders.iter().filter(|f| !f.is_empty()).cloned().collect();
                    let mut made = item(&url, &until("</a>"), &named, "", added);
                    let tags = value("tags").unwrap_or_default();
                    let tags = tags.split(',').map(str::trim).filter(|tag| !tag.is_empty());
                    made.tags = tags.map(str::to_owned).collect();
                    items.push(made);
                    of_last = true;
                }
            }
            "DD" => {
                if let Some(last) = items.last_mut().filter(|_| of_last) {
                    let about = behind.split('<').next().unwrap_or_default();
                    last.text.push_str(&unescaped(about));
                }
            }
            _ => {}
        }
        rest = behind;
    }
    items
}

fn attribute(tag: &str, key: &str) -> Option<String> {
    let lower = tag.to_ascii_lowercase();
    let start = lower.find(&format!(" {key}=\""))? + key.len() + 3;
    let end = tag[start..].find('"')? + start;
    Some(unescaped(&tag[start..end]))
}

#[cfg(test)]
mod tests {
    use super::super::tests::twice;
    use super::*;

    #[test]
    fn what_browsers_export_becomes_notes() {
        let html = "<!DOCTYPE NETSCAPE-Bookmark-file-1>\n<H1>Bookmarks</H1>\n<DL><p>\n<DT><H3 ADD_DATE=\"1\">Birds &amp; more</H3>\n<DL><p>\n\
            <DT><A HREF=\"https://example.org/?a=1&amp;b=2\" ADD_DATE=\"1700000000\" TAGS=\"owl,night\">The barn owl</A>\n<DD>It eats voles.\n</DL><p>\n\
            <DT><A HREF=\"https://example.org/mill\">The mill</A>\n<DT><A HREF=\"javascript:alert(1)\">no</A>\n<DD>Of no.\n\
            <DT><H3>Night</H3>\n<DD>Of the folder.\n<DL><p>\n</DL><p>\n</DL>\n";
        let (first, second, notes) = twice(What::Bookmarks, "b.html", html);
        assert_eq!((first.made, second.unchanged, notes.len()), (2, 2, 2));
        assert!(!notes.concat().contains("Of "), "{notes:?}");
        let owl = notes.iter().find(|note| note.contains("barn owl")).unwrap();
        for part in [
            "https://example.org/?a=1&b=2",
            "\"Birds & more\"",
            "2023-11-14",
            "tags: [\"owl\", \"night\"]",
            "It eats voles.",
        ] {
            assert!(owl.contains(part), "{part} in {owl}");
        }
    }

    #[test]
    fn an_address_in_two_folders_is_one_note() {
        let link = |title: &str, tag: &str, about: &str| {
            format!(
                "<DT><A HREF=\"https://example.org/owl\" TAGS=\"{tag}\">{title}</A>\n<DD>{about}\n"
            )
        };
        let html = format!(
            "<!DOCTYPE NETSCAPE-Bookmark-file-1>\n<DL>\n<DT><H3>Birds</H3>\n<DL>{}</DL>\n\
             <DT><H3>Night</H3>\n<DL>{}{}</DL>\n</DL>\n",
            link("The owl", "owl", "It eats voles."),
            link("The owl", "night", "It eats voles."),
            link("Barn owls", "owl", "They hiss."),
        );
        let (first, second, notes) = twice(What::Bookmarks, "b.html", &html);
        assert_eq!((first.made, first.changed), (1, 0), "{first:?}");
        assert_eq!((second.unchanged, notes.len()), (1, 1), "{second:?}");
        for part in [
            "# The owl\n",
            "folder: \"Birds; Night\"",
            "tags: [\"owl\", \"night\"]",
            "It eats voles.\n\nBarn owls\n\nThey hiss.\n",
        ] {
            assert!(notes[0].contains(part), "{part} in {}", notes[0]);
        }
        assert_eq!(notes[0].matches("voles").count(), 1, "{}", notes[0]);
    }

    #[test]
    fn chromiums_own_file_is_read() {
        let json = r#"{"roots":{"bar":{"name":"Bar","children":[{"name":"Owls","url":"https://example.org/owls","date_added":"13345000000000000"}]}}}"#;
        let (first, _, notes) = twice(What::Bookmarks, "Bookmarks", json);
        assert_eq!(first.made, 1);
        assert!(
            notes[0].contains("folder: \"Bar\"") && notes[0].contains("date: \"2023-"),
            "{}",
            notes[0]
        );
    }

    #[test]
    fn other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.html");
        std::fs::write(&path, "<p>no</p>").unwrap();
        assert_eq!(read(&path).err().unwrap().code(), "bad_import");
    }
}
