//! Links: under which keys documents are linked to.
//!
//! Editors resolve links in their own ways: by the name of a note wherever it lies (Obsidian), by
//! a path from the root, by a path from the linking note. A link is kept under every key that one
//! of them would use, a document under every key that it answers to; where they meet is a link.

use unicode_normalization::UnicodeNormalization;

use super::source::{Meta, title_or_stem};

/// Longer targets are data.
const LONGEST_KEY_BYTES: usize = 400;

/// Keys of one document at most.
const MOST_KEYS: usize = 1000;

/// The keys that a document answers to: its path and its name without extension, its title and its
/// aliases.
pub fn names(path: &str, meta: &Meta) -> Vec<String> {
    let mut names = Vec::new();
    push(&mut names, without_extension(path));
    push(&mut names, without_extension(last(path)));
    push(&mut names, &title_or_stem(meta, path));
    for alias in &meta.aliases {
        push(&mut names, alias);
    }
    names
}

/// The keys that the links of the document at `path` may mean; addresses stay as they are.
pub fn targets(path: &str, links: &[String]) -> Vec<String> {
    let mut keys = Vec::new();
    for link in links {
        let link = link.split('|').next().unwrap_or(link).trim();
        if is_address(link) {
            push(&mut keys, link);
            continue;
        }
        // In a table, Obsidian escapes the bar before what is shown.
        let link = link.trim_start_matches("file:").trim_end_matches('\\');
        let link = link.split('#').next().unwrap_or(link);
        let whole = percent_decoded(link);
        let path_of = percent_decoded(link.split('?').next().unwrap_or(link));
        // `What is love?` and `Node.js` are names, too.
        for link in [&path_of, &whole] {
            for link in [without_extension(link), link] {
                if link.is_empty() {
                    continue;
                }
                push(&mut keys, link.trim_start_matches('/'));
                if link.contains('/') && !link.starts_with('/') {
                    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                    push(&mut keys, &resolved(folder, link));
                }
            }
        }
    }
    keys.truncate(MOST_KEYS);
    keys
}

/// The key of a name as a person writes it: in lower case, and of the same characters however they
/// are composed (file systems and archives differ).
pub fn key(name: &str) -> String {
    folded(name.trim())
}

/// Lower case, and composed (Unicode's form C).
pub fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.nfc().collect::<String>().to_lowercase()
}

fn push(keys: &mut Vec<String>, name: &str) {
    let key = key(name);
    if !key.is_empty() && key.len() <= LONGEST_KEY_BYTES && !keys.contains(&key) {
        keys.push(key);
    }
}

/// Does it lead out of the notes: `https://…`, `mailto:…`?
fn is_address(link: &str) -> bool {
    let scheme = link.split_once(':').map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| {
        scheme != "file"
            && scheme.len() > 1
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '+')
    })
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Only what looks like an extension is cut off: `Dr. No` is a name.
fn without_extension(path: &str) -> &str {
    match path.rsplit_once('.') {
        Some((stem, extension))
            if !last(stem).is_empty()
                && (1..=5).contains(&extension.len())
                && extension.chars().all(|c| c.is_ascii_alphanumeric()) =>
        {
            stem
        }
        _ => path,
    }
}

/// Undoes percent encoding.
pub fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'%').then(|| after.get(..2)).flatten();
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        if let Some(byte) = code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The path from the root that a path from `folder` means.
fn resolved(folder: &str, link: &str) -> String {
    let mut names: Vec<&str> = folder.split('/').filter(|name| !name.is_empty()).collect();
    for name in link.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_meet_names() {
        let note = Meta {
            title: Some("Reading list".into()),
            aliases: vec!["Books".into()],
            ..Meta::default()
        };
        let names = names("lists/reading.md", &note);
        assert_eq!(names, ["lists/reading", "reading", "reading list", "books"]);
        let meets = |from: &str, link: &str| {
            let targets = targets(from, &[link.to_owned()]);
            targets.iter().any(|target| names.contains(target))
        };
        for (from, link) in [
            ("a.md", "Reading list"),
            ("a.md", "reading"),
            ("a.md", "lists/reading.md#new"),
            ("journal/a.md", "../lists/reading.md"),
            ("lists/a.md", "./reading.md"),
            ("a.md", "Books|my books"),
            ("a.md", "/lists/reading.md"),
            ("a.md", "Reading%20list"),
            ("a.md", "Reading list\\"),
        ] {
            assert!(meets(from, link), "{from} {link}");
        }
        assert!(!meets("a.md", "https://example.org/reading"));
        assert!(!meets("journal/a.md", "other/reading.md"));
    }

    #[test]
    fn names_with_dots_and_marks_are_names() {
        let meets = |path: &str, link: &str| {
            let names = names(path, &Meta::default());
            let targets = targets("a.md", &[link.to_owned()]);
            targets.iter().any(|target| names.contains(target))
        };
        assert!(meets("Node.js.md", "Node.js"));
        assert!(meets("2024.01.15.md", "2024.01.15"));
        assert!(!meets("2024.01.16.md", "2024.01.15"));
        assert!(meets("What is love?.md", "What is love?"));
        assert!(meets("Cafe\u{301} Mu\u{308}ller.md", "Café Müller"));
    }

    #[test]
    fn addresses_stay() {
        let links = [
            "https://Example.org/a.html#x".to_owned(),
            "Dr. No".to_owned(),
        ];
        assert_eq!(
            targets("a.md", &links),
            ["https://example.org/a.html#x", "dr. no"]
        );
    }
}
