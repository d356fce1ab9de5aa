//! A folder of mail: each message becomes a note. Maildir names its files without an ending, so that
//! they would not be read as a source.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use mail_parser::{Address, Message, MessageParser};

use super::{Item, What, bad, digest};
use crate::error::Failure;
use crate::extract::{body_of_mail, mended_headers_of_mail, messages_of_mailbox};

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
        take_in(&file, &mut items, problems);
    }
    Ok(told_apart(items))
}

/// Messages of which each has an id of its own. Copies are left out; what a list sends of a message,
/// with its own mark in the subject or words below the text, is another, told by what it says.
fn told_apart(items: Vec<Item>) -> Vec<Item> {
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut apart: Vec<Item> = Vec::with_capacity(items.len());
    for mut item in items {
        if let Some(first) = known.get(&item.id).map(|at| &apart[*at]) {
            if (&first.title, &first.text) == (&item.title, &item.text) {
                continue;
            }
            let says = digest(&format!("{}\n{}", item.title, item.text));
            item.id = format!("{} {says}", item.id);
        }
        if let Entry::Vacant(place) = known.entry(item.id.clone()) {
            place.insert(apart.len());
            apart.push(item);
        }
    }
    apart
}

/// The messages of a file, or why it has none. What cannot be read keeps nothing else from being.
fn take_in(file: &Path, items: &mut Vec<Item>, problems: &mut Vec<String>) {
    let before = (items.len(), problems.len());
    let mut problem = |what: &str| problems.push(format!("{}: {what}", file.display()));
    let read = messages(file, |message| {
        if message.len() as u64 > MOST_BYTES {
            problem("a message of more than 64 MiB is left out");
        } else {
            items.extend(message_of(message));
        }
    });
    if let Err(error) = read {
        problem(&error.to_string());
    }
    if (items.len(), problems.len()) == before {
        problems.push(format!("{}: it holds no message", file.display()));
    }
}

/// Gives the messages of a file one after the other.
fn messages(file: &Path, mut each: impl FnMut(&[u8])) -> std::io::Result<()> {
    let mut reader = BufReader::new(File::open(file)?);
    if reader.fill_buf()?.starts_with(b"From ") {
        return messages_of_mailbox(reader, each);
    }
    let mut message = Vec::new();
    reader.take(MOST_BYTES + 1).read_to_end(&mut message)?;
    each(&message);
    Ok(())
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
    let mended = mended_headers_of_mail(&message);
    let headers = mended.as_ref().unwrap_or(&message);
    let date = message.date().map(mail_parser::DateTime::to_rfc3339);
    let date = date.unwrap_or_default();
    let id = message.message_id().map_or_else(
        || {
            let text = message.body_text(0).unwrap_or_default();
            digest(&format!("{from}{date}{text}"))
        },
        str::to_owned,
    );
    let names = message
        .attachments()
        .filter_map(mail_parser::MimeHeaders::attachment_name);
    let names: Vec<&str> = names.collect();
    Some(Item {
        id,
        formerly: None,
        title: headers.subject().unwrap_or("(no subject)").to_owned(),
        from: vec![
            ("from", people(headers.from())),
            ("to", people(headers.to())),
            ("date", date),
            ("attachments", names.join(", ")),
        ],
        tags: Vec::new(),
        // As a source reads it: what hides from people in a page is no part of it.
        text: body_of_mail(&message),
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
    fn what_cannot_be_read_is_told_and_the_rest_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (long, fine) = (folder.path().join("a"), folder.path().join("b"));
        File::create(&long)
            .unwrap()
            .set_len(MOST_BYTES + 1)
            .unwrap();
        fs::write(&fine, "From: ada@example.org\n\nThe owl nests.\n").unwrap();
        let mut problems = Vec::new();
        let mut items = read(folder.path(), &mut problems).unwrap();
        assert_eq!((items.len(), problems.len()), (1, 1), "{problems:?}");
        assert!(problems[0].contains("64 MiB"), "{problems:?}");
        // A folder in the place of a file fails as what one may not read does.
        take_in(folder.path(), &mut items, &mut problems);
        assert_eq!((items.len(), problems.len()), (1, 2), "{problems:?}");
    }

    #[test]
    fn a_sentence_that_begins_with_from_cuts_no_message() {
        let folder = tempfile::tempdir().unwrap();
        let mbox = folder.path().join("old");
        let mail = "From ada@example.org Tue Nov  3 10:00:00 2026\nFrom: ada@example.org\n\n\
            The owl nests.\n\nFrom what I know, it hunts at night.\n";
        fs::write(&mbox, mail).unwrap();
        let mut problems = Vec::new();
        let items = read(&mbox, &mut problems).unwrap();
        assert_eq!((items.len(), problems.len()), (1, 0), "{problems:?}");
        assert!(items[0].text.contains("at night"), "{}", items[0].text);
    }

    #[test]
    fn messages_of_one_id_that_say_different_things_are_all_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (from, into) = (folder.path().join("mail"), folder.path().join("notes"));
        fs::create_dir(&from).unwrap();
        let said = [
            ("a", "Owls", "They nest."),
            ("b", "Owls", "They nest."),
            ("c", "[birds] Owls", "They nest."),
            ("d", "Owls", "They nest.\n\nThe birds list"),
        ];
        for (name, subject, text) in said {
            let id = "Message-ID: <1@example.org>";
            let mail = format!("From: ada@example.org\n{id}\nSubject: {subject}\n\n{text}\n");
            fs::write(from.join(name), mail).unwrap();
        }
        let run = || import(What::Mail, &from, &into).unwrap();
        assert_eq!(run().made, 3);
        assert_eq!(run().unchanged, 3);
    }

    #[test]
    fn what_hides_in_a_page_is_not_brought_to_light() {
        let mail = "From: m@example.org\r\nSubject: S\r\nContent-Type: text/html\r\n\r\n\
            <p style=\"display:none\">The key is under the mat.</p><p>The owl flew.</p>\
            <p hidden>Pay.</p><script>run()</script>";
        let item = message_of(mail.as_bytes()).unwrap();
        assert_eq!(item.text.trim(), "The owl flew.");
    }

    #[test]
    fn headers_that_are_not_encoded_are_read() {
        let mail = b"From: J\xfcrgen <j@example.org>\r\nSubject: Gr\xfc\xdfe aus K\xf6ln\r\n\
            Content-Type: text/plain; charset=iso-8859-1\r\n\r\nSch\xf6n.\r\n";
        let item = message_of(mail).unwrap();
        assert_eq!(item.title, "Gr\u{fc}\u{df}e aus K\u{f6}ln");
        assert_eq!(
            item.from[0],
            ("from", "J\u{fc}rgen <j@example.org>".to_owned())
        );
    }

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
