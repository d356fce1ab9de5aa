//! A folder of mail: each message becomes a note. Maildir names its files without an ending, so that
//! they would not be read as a source.

use std::fs;
use std::path::{Path, PathBuf};

use mail_parser::mailbox::mbox::MessageIterator;
use mail_parser::{Address, Message, MessageParser};

use super::{Item, What, bad, digest, io};
use crate::error::Failure;

/// Longer messages are archives.
const MOST_BYTES: u64 = 64 << 20;

pub(super) fn read(path: &Path, problems: &mut Vec<String>) -> Result<Vec<Item>, Failure> {
    let mut files = Vec::new();
    if path.is_dir() {
        below(path, &mut files, problems);
    } else if path.is_file() {
        files.push(path.to_owned());
    } else {
        return Err(bad(path, What::Mail, "there is nothing").into());
    }
    files.sort();
    let mut items = Vec::new();
    for file in files {
        let size = fs::metadata(&file).map_err(io(&file))?.len();
        if size > MOST_BYTES && file.extension().is_some_and(|end| end == "eml") {
            problems.push(format!("{}: {size} bytes are too many", file.display()));
            continue;
        }
        let bytes = fs::read(&file).map_err(io(&file))?;
        let before = items.len();
        if bytes.starts_with(b"From ") {
            for message in MessageIterator::new(&bytes[..]).flatten() {
                items.extend(message_of(message.contents()));
            }
        } else {
            items.extend(message_of(&bytes));
        }
        if items.len() == before {
            problems.push(format!("{}: it holds no message", file.display()));
        }
    }
    Ok(items)
}

/// Files below a folder, links not followed, without what mail programs keep beside messages.
fn below(folder: &Path, files: &mut Vec<PathBuf>, problems: &mut Vec<String>) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return problems.push(format!("{}: {error}", folder.display())),
    };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        if kind.is_dir() && name != "tmp" {
            below(&entry.path(), files, problems);
        } else if kind.is_file() && !is_of_the_program(&name) {
            files.push(entry.path());
        }
    }
}

fn is_of_the_program(name: &str) -> bool {
    let end = Path::new(name).extension();
    name.starts_with("dovecot") || end.is_some_and(|end| end.eq_ignore_ascii_case("msf"))
}

fn message_of(bytes: &[u8]) -> Option<Item> {
    let message: Message<'_> = MessageParser::default().parse(bytes)?;
    // Anything parses; a message says who wrote it.
    let from = people(message.from());
    if from.is_empty() {
        return None;
    }
    let text = message.body_text(0).unwrap_or_default();
    let date = message.date().map(mail_parser::DateTime::to_rfc3339);
    let date = date.unwrap_or_default();
    let id = message
        .message_id()
        .map_or_else(|| digest(&format!("{from}{date}{text}")), str::to_owned);
    let names = message
        .attachments()
        .filter_map(mail_parser::MimeHeaders::attachment_name);
    let names: Vec<&str> = names.collect();
    Some(Item {
        id,
        formerly: None,
        title: message.subject().unwrap_or("(no subject)").to_owned(),
        from: vec![
            ("from", from),
            ("to", people(message.to())),
            ("date", date),
            ("attachments", names.join(", ")),
        ],
        tags: Vec::new(),
        text: text.replace("\r\n", "\n"),
    })
}

fn people(address: Option<&Address<'_>>) -> String {
    let people = address.into_iter().flat_map(|address| address.iter());
    let people = people.filter_map(|person| match (person.name(), person.address()) {
        (Some(name), Some(address)) => Some(format!("{name} <{address}>")),
        (None, Some(address)) => Some(address.to_owned()),
        (name, None) => name.map(str::to_owned),
    });
    people.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::{Imported, import};
    use super::*;

    #[test]
    fn a_maildir_and_an_mbox_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let mail = folder.path().join("Mail/cur");
        fs::create_dir_all(&mail).unwrap();
        let message = |n: u8| {
            format!(
                "From: Ada <ada@example.org>\r\nTo: bo@example.org\r\nSubject: Owl {n}\r\nDate: Tue, 3 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{n}@example.org>\r\n\r\nIt nests in the barn {n}.\r\n"
            )
        };
        fs::write(mail.join("1700.M1.host:2,S"), message(1)).unwrap();
        fs::write(mail.join("junk"), "no message").unwrap();
        let mbox = folder.path().join("Mail/old");
        fs::write(
            &mbox,
            format!(
                "From ada Tue Nov  3 10:00:00 2026\n{}\nFrom ada Tue Nov  3 10:00:00 2026\n{}\n",
                message(2),
                message(3)
            ),
        )
        .unwrap();
        let into = folder.path().join("notes");
        let run =
            || -> Imported { import(What::Mail, &folder.path().join("Mail"), &into).unwrap() };
        let first = run();
        assert_eq!((first.made, first.problems.len()), (3, 1), "{first:?}");
        assert_eq!(run().unchanged, 3);
        let notes = fs::read_dir(&into)
            .unwrap()
            .map(|e| fs::read_to_string(e.unwrap().path()).unwrap());
        let notes: Vec<String> = notes.collect();
        let one = notes.iter().find(|note| note.contains("# Owl 1")).unwrap();
        for part in [
            "from: \"Ada <ada@example.org>\"",
            "2026-11-03",
            "It nests in the barn 1.",
        ] {
            assert!(one.contains(part), "{one}");
        }
    }
}
