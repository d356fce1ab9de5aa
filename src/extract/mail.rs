//! Mail: single messages, mailboxes, and Outlook's own format.
//!
//! A message is its headers that people read (subject, from, to, date) and its text; a message that
//! is only HTML gives the text of that. What it quotes is told from what it says, and so is its
//! signature. Attachments are named, not read. Messages of a mailbox are pages.

use std::io::{Cursor, Read};

use mail_parser::{Address, Message, MessageParser, MessagePart, MimeHeaders, PartType};

use super::pen::{Pen, one_line};
use super::{Extracted, Skip, html, text};
use crate::domain::source::Meta;

/// One message.
///
/// # Errors
/// [`Skip`].
pub(super) fn message(bytes: &[u8], limit: usize) -> Result<Extracted, Skip> {
    // Some programs save a message with the line that separates messages in a mailbox.
    let bytes = without_separator(bytes);
    let parsed = MessageParser::default().parse(bytes);
    let Some(message) = parsed.filter(|m| !m.headers().is_empty()) else {
        return Err(Skip("broken: it is no e-mail message".into()));
    };
    let mut pen = Pen::new(limit);
    write(&message, &mut pen);
    let meta = Meta {
        title: message.subject().map(one_line).filter(|s| !s.is_empty()),
        ..Meta::default()
    };
    pen.finish(meta)
}

/// All messages of a mailbox.
///
/// # Errors
/// [`Skip`].
pub(super) fn mailbox(bytes: &[u8], limit: usize) -> Result<Extracted, Skip> {
    if !bytes.starts_with(b"From ") {
        return Err(Skip("broken: it is no mailbox".into()));
    }
    let mut pen = Pen::new(limit);
    for (index, raw) in messages(bytes).into_iter().enumerate() {
        if let Some(message) = MessageParser::default().parse(&raw[..]) {
            pen.page(index + 1);
            write(&message, &mut pen);
        }
        if pen.is_full() {
            break;
        }
    }
    pen.finish(Meta::default())
}

/// The messages of a mailbox: each begins with a line `From ` after an empty line, and such lines
/// within a message are quoted with `>`.
fn messages(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    let mut after_blank = true;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        if after_blank && line.starts_with(b"From ") {
            found.push(Vec::new());
        } else if let Some(message) = found.last_mut() {
            let quoted = line.iter().position(|b| *b != b'>').unwrap_or(0);
            let quoted = quoted > 0 && line[quoted..].starts_with(b"From ");
            message.extend_from_slice(&line[usize::from(quoted)..]);
        }
        after_blank = line.trim_ascii().is_empty();
    }
    found
}

fn without_separator(bytes: &[u8]) -> &[u8] {
    if !bytes.starts_with(b"From ") {
        return bytes;
    }
    let end = bytes.iter().position(|b| *b == b'\n');
    end.map_or(bytes, |end| &bytes[end + 1..])
}

fn write(message: &Message<'_>, pen: &mut Pen) {
    let subject = message.subject().map(one_line).unwrap_or_default();
    pen.heading(
        1,
        if subject.is_empty() {
            "(no subject)"
        } else {
            &subject
        },
    );
    let mut head = Vec::new();
    for (name, address) in [
        ("From", message.from()),
        ("To", message.to()),
        ("Cc", message.cc()),
    ] {
        let people = address.map(people).unwrap_or_default();
        if !people.is_empty() {
            head.push(format!("{name}: {people}"));
        }
    }
    if let Some(date) = message.date() {
        head.push(format!("Date: {}", date.to_rfc3339()));
    }
    let names: Vec<&str> = message
        .attachments()
        .filter_map(|part| part.attachment_name())
        .collect();
    if !names.is_empty() {
        head.push(format!("Attachments: {}", names.join(", ")));
    }
    pen.paragraph(&head.join("\n"));
    bodies(message, pen);
    for part in message.attachments() {
        if let PartType::Message(inner) = &part.body {
            let subject = inner.subject().map(one_line).unwrap_or_default();
            pen.paragraph(&format!("Forwarded: {subject}"));
            bodies(inner, pen);
        }
    }
}

/// The text of a message alone, as people see it.
pub(crate) fn body(message: &Message<'_>) -> String {
    let mut pen = Pen::new(usize::MAX);
    bodies(message, &mut pen);
    let found = pen.finish(Meta::default());
    found.map_or_else(|_| String::new(), |found| found.outline.text)
}

fn bodies(message: &Message<'_>, pen: &mut Pen) {
    let says = |part: &&MessagePart<'_>| match &part.body {
        PartType::Text(text) | PartType::Html(text) => !text.trim().is_empty(),
        _ => false,
    };
    let mut parts: Vec<_> = message.text_bodies().filter(says).collect();
    if parts.is_empty() {
        // Some programs leave the plain one of the alternatives empty.
        parts = message.html_bodies().filter(says).collect();
    }
    for part in parts {
        match &part.body {
            PartType::Text(text) => paragraphs(text, pen),
            PartType::Html(page) => drop(html::write_all(page, pen)),
            _ => {}
        }
    }
}

/// The line above a signature; some programs drop the space behind the dashes.
const SIGNATURE: &str = "--";

/// Writes the paragraphs of a plain text. One that is quoted has its marks before its first line
/// alone, so that a sentence over two lines is one; another level of quoting begins another.
fn paragraphs(text: &str, pen: &mut Pen) {
    let mut open: Vec<&str> = Vec::new();
    let mut level = 0;
    for line in text.lines() {
        let (quoted, said) = unquoted(line);
        let parts = said.trim().is_empty() || said.trim_end() == SIGNATURE;
        if parts || quoted != level {
            end_paragraph(level, &mut open, pen);
        }
        if !parts {
            open.push(said);
        }
        level = quoted;
    }
    end_paragraph(level, &mut open, pen);
}

fn end_paragraph(level: usize, lines: &mut Vec<&str>, pen: &mut Pen) {
    if !lines.is_empty() {
        pen.paragraph(&format!("{} {}", ">".repeat(level), lines.join("\n")));
        lines.clear();
    }
}

/// How often a line is quoted (`>> ` or `> > `), and what it says.
fn unquoted(line: &str) -> (usize, &str) {
    let (mut level, mut said) = (0, line);
    while let Some(inner) = said.strip_prefix('>') {
        level += 1;
        said = inner.strip_prefix(' ').unwrap_or(inner);
    }
    (level, said)
}

fn people(address: &Address<'_>) -> String {
    let person = |one: &mail_parser::Addr<'_>| match (one.name(), one.address()) {
        (Some(name), Some(address)) if name != address => format!("{name} <{address}>"),
        (_, Some(address)) => address.to_owned(),
        (name, None) => name.unwrap_or_default().to_owned(),
    };
    let all: Vec<String> = address.iter().map(person).collect();
    all.join(", ")
}

/// An Outlook message: properties in a compound file, named by their numbers.
///
/// # Errors
/// [`Skip`].
pub(super) fn outlook(bytes: &[u8], limit: usize) -> Result<Extracted, Skip> {
    let mut file = cfb::CompoundFile::open(Cursor::new(bytes))
        .map_err(|error| Skip(format!("broken: it is no Outlook message ({error})")))?;
    let mut property = |number: &str| -> Option<String> {
        let wide = stream(&mut file, &format!("/__substg1.0_{number}001F"), limit);
        if let Some(wide) = wide {
            return Some(encoding_rs::UTF_16LE.decode(&wide).0.into_owned());
        }
        let narrow = stream(&mut file, &format!("/__substg1.0_{number}001E"), limit)?;
        text::decode(&narrow).ok()
    };
    let subject = property("0037")
        .map(|s| one_line(&s))
        .filter(|s| !s.is_empty());
    let mut pen = Pen::new(limit);
    pen.heading(1, subject.as_deref().unwrap_or("(no subject)"));
    let mut head = Vec::new();
    for (name, number) in [("From", "0C1A"), ("To", "0E04"), ("Cc", "0E03")] {
        let people = property(number).map(|s| one_line(&s)).unwrap_or_default();
        if !people.is_empty() {
            head.push(format!("{name}: {people}"));
        }
    }
    pen.paragraph(&head.join("\n"));
    if let Some(body) = property("1000").filter(|b| !b.trim().is_empty()) {
        paragraphs(&body, &mut pen);
    } else if let Some(page) = stream(&mut file, "/__substg1.0_10130102", limit) {
        html::write_all(&html::decode(&page)?, &mut pen);
    } else {
        return Err(Skip(
            "it has no text that can be read: save it as eml".into(),
        ));
    }
    let meta = Meta {
        title: subject,
        ..Meta::default()
    };
    pen.finish(meta)
}

fn stream(
    file: &mut cfb::CompoundFile<Cursor<&[u8]>>,
    name: &str,
    limit: usize,
) -> Option<Vec<u8>> {
    let stream = file.open_stream(name).ok()?;
    let mut bytes = Vec::new();
    stream.take(limit as u64).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::sentence::sentences;

    const MAIL: &str = "From: Ann <ann@example.org>\r\nTo: Ben <ben@example.org>\r\n\
        Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nDate: Tue, 2 Jan 2024 10:00:00 +0100\r\n\
        Content-Type: text/html; charset=iso-8859-1\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\n<p>Sch=F6ne <b>T=FCr</b></p>\r\n";

    #[test]
    fn a_message_gives_its_headers_and_its_text() {
        let found = message(MAIL.as_bytes(), 1 << 20).unwrap();
        assert_eq!(found.meta.title.as_deref(), Some("Grüße"));
        let text = found.outline.text;
        assert!(text.contains("From: Ann <ann@example.org>"), "{text}");
        assert!(text.contains("Date: 2024-01-02T10:00:00+01:00"), "{text}");
        assert!(text.contains("Schöne Tür"), "{text}");
        assert!(message(b"no headers here", 9).is_err());
    }

    #[test]
    fn quotes_and_signatures_are_paragraphs_of_their_own() {
        let mail = "From: a@example.org\r\nSubject: S\r\n\r\nIt is\r\nso.\r\n\
            > The boat lies\r\n> in the shed.\r\n>\r\n> Go.\r\n> > Where is\r\n>> it?\r\nYes.\r\n\
            -- \r\nAnn\r\nTel. 7\r\n";
        let text = message(mail.as_bytes(), 1 << 20).unwrap().outline.text;
        assert_eq!(
            text,
            "# S\n\nFrom: a@example.org\n\nIt is\nso.\n\n> The boat lies\nin the shed.\n\n> Go.\n\n\
             >> Where is\nit?\n\nYes.\n\nAnn\nTel. 7\n"
        );
        let whole: Vec<&str> = sentences(&text)
            .into_iter()
            .map(|span| &text[span])
            .collect();
        assert!(
            whole.contains(&"> The boat lies\nin the shed."),
            "{whole:?}"
        );
    }

    #[test]
    fn an_empty_alternative_hides_nothing() {
        let part =
            |kind: &str, text: &str| format!("--x\r\nContent-Type: text/{kind}\r\n\r\n{text}\r\n");
        let head = "From: a@example.org\r\nSubject: S\r\n\
            Content-Type: multipart/alternative; boundary=x\r\n\r\n";
        let page = part("html", "<p>The owl flew.</p>");
        for (plain, expected) in [(" ", "The owl flew."), ("It flew.", "It flew.")] {
            let mail = format!("{head}{}{page}--x--\r\n", part("plain", plain));
            let text = message(mail.as_bytes(), 1 << 20).unwrap().outline.text;
            assert!(text.contains(expected), "{text}");
            assert_eq!(text.contains("owl"), expected.contains("owl"), "{text}");
        }
    }

    #[test]
    fn a_mailbox_is_cut_at_its_separators() {
        let one = MAIL.replace("<p>", "<p>\r\n\r\n>From here: ");
        let all = format!("From a Mon\r\n{one}\r\nFrom b Tue\r\n{MAIL}");
        let found = mailbox(all.as_bytes(), 1 << 20).unwrap();
        let pages: Vec<_> = found.outline.blocks.iter().map(|b| b.page).collect();
        assert_eq!((pages[0], pages.last().copied()), (Some(1), Some(Some(2))));
        assert!(
            found.outline.text.contains("From here: Sch"),
            "{}",
            found.outline.text
        );
    }
}
