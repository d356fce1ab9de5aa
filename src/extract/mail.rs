//! Mail: single messages, mailboxes, and Outlook's own format.
//!
//! A message is its headers that people read (subject, from, to, date) and its text; a message that
//! is only HTML gives the text of that, and so does one whose plain text says no more than that.
//! What it quotes is told from what it says, and so is its signature. Attachments are named, not
//! read, but for messages that are forwarded. Messages of a mailbox are pages.

use std::borrow::Cow;
use std::io::{BufRead, Cursor, Read};

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use mail_parser::{Address, Message, MessageParser, MessagePart, MimeHeaders, PartType};

use super::office::unpack_limit;
use super::pen::{Pen, one_line};
use super::{Extracted, LIST_ITEMS, Skip, calendar, html, lzfu, rtf, text};
use crate::domain::source::Meta;

/// One message.
///
/// # Errors
/// [`Skip`].
pub(super) fn message(bytes: &[u8], limit: usize) -> Result<Extracted, Skip> {
    let bytes = without_mark(bytes);
    // Some programs save a message with the line that separates messages in a mailbox.
    let bytes = without_separator(&bytes);
    let parsed = MessageParser::default().parse(bytes);
    let Some(message) = parsed.filter(|m| !m.headers().is_empty()) else {
        return Err(Skip("broken: it is no e-mail message".into()));
    };
    let mut pen = Pen::new(limit);
    let title = write(&message, &mut pen);
    pen.finish(Meta {
        title,
        ..Meta::default()
    })
}

/// All messages of a mailbox.
///
/// # Errors
/// [`Skip`].
pub(super) fn mailbox(bytes: &[u8], limit: usize) -> Result<Extracted, Skip> {
    let bytes = without_mark(bytes);
    let bytes = bytes.trim_ascii_start();
    if !bytes.starts_with(b"From ") {
        return Err(Skip("broken: it is no mailbox".into()));
    }
    let mut pen = Pen::new(limit);
    let mut number = 0;
    let read = messages(bytes, |raw| {
        number += 1;
        if !pen.is_full()
            && let Some(message) = MessageParser::default().parse(raw)
        {
            pen.page(number);
            write(&message, &mut pen);
        }
    });
    read.map_err(|error| Skip(format!("broken: {error}")))?;
    pen.finish(Meta::default())
}

/// The bytes without a byte order mark, which is of an editor and would be of the first header; with line
/// feeds.
fn without_mark(bytes: &[u8]) -> Cow<'_, [u8]> {
    match Encoding::for_bom(bytes) {
        Some((encoding, mark)) if encoding != UTF_8 => {
            let (text, _) = encoding.decode_without_bom_handling(&bytes[mark..]);
            Cow::Owned(with_line_feeds(text.as_bytes()).into_owned())
        }
        Some((_, mark)) => with_line_feeds(&bytes[mark..]),
        None => with_line_feeds(bytes),
    }
}

/// The bytes with line feeds, where all lines end with carriage returns alone.
fn with_line_feeds(bytes: &[u8]) -> Cow<'_, [u8]> {
    if bytes.contains(&b'\n') || !bytes.contains(&b'\r') {
        return Cow::Borrowed(bytes);
    }
    let feed = |byte: &u8| if *byte == b'\r' { b'\n' } else { *byte };
    Cow::Owned(bytes.iter().map(feed).collect())
}

/// Gives the messages of a mailbox one after the other: it may be longer than the memory. Each begins
/// with a line `From ` after an empty line. Such lines within a message are quoted with `>`; those that
/// programs forgot to quote are told by what they say, as they would cut the message in two.
///
/// # Errors
/// What the reader says.
pub(crate) fn messages(
    mut mailbox: impl BufRead,
    mut each: impl FnMut(&[u8]),
) -> std::io::Result<()> {
    let mut open: Option<Vec<u8>> = None;
    let mut after_blank = true;
    let (mut line, mut next) = (Vec::new(), Vec::new());
    mailbox.read_until(b'\n', &mut line)?;
    while !line.is_empty() {
        next.clear();
        mailbox.read_until(b'\n', &mut next)?;
        let parts = after_blank && (open.is_none() || is_separator(&line, &next));
        if parts && line.starts_with(b"From ") {
            if let Some(message) = open.replace(Vec::new()) {
                each(&message);
            }
        } else if let Some(message) = &mut open {
            let quoted = line.iter().position(|b| *b != b'>').unwrap_or(0);
            let quoted = quoted > 0 && line[quoted..].starts_with(b"From ");
            message.extend_from_slice(&line[usize::from(quoted)..]);
        }
        after_blank = line.trim_ascii().is_empty();
        std::mem::swap(&mut line, &mut next);
    }
    if let Some(message) = open {
        each(&message);
    }
    Ok(())
}

/// Bytes of a line that tell whether it separates messages.
const SEPARATOR_BYTES: usize = 512;

/// Does a line separate messages? It names a sender and the time of arrival, and headers follow it:
/// "From what I remember the pegs number 24." does not.
fn is_separator(line: &[u8], next: &[u8]) -> bool {
    let Some(said) = line.strip_prefix(b"From ") else {
        return false;
    };
    let said = String::from_utf8_lossy(&said[..said.len().min(SEPARATOR_BYTES)]);
    let words: Vec<&str> = said.split_whitespace().collect();
    let sender = words.first().copied().unwrap_or("");
    let dated = words.iter().any(|word| is_time(word)) && words.iter().any(|word| is_year(word));
    let begins_date = |pair: &[&str]| WEEKDAYS.contains(&pair[0]) && MONTHS.contains(&pair[1]);
    let at = words.windows(2).position(begins_date);
    let header = header_name(next);
    let known = header.is_some_and(is_known_header);
    if !dated {
        // Some programs write no date.
        return known && words.len() <= 2 && !sender.ends_with(':');
    }
    match at {
        Some(1) if sender.contains('@') || ["-", "MAILER-DAEMON"].contains(&sender) => true,
        Some(_) => header.is_some(),
        None => known,
    }
}

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// "10:00" and "10:00:00".
fn is_time(word: &str) -> bool {
    let digits = |part: &str| (1..=2).contains(&part.len()) && is_number(part);
    (1..=2).contains(&word.matches(':').count()) && word.split(':').all(digits)
}

fn is_year(word: &str) -> bool {
    word.len() == 4 && is_number(word) && (word.starts_with("19") || word.starts_with("20"))
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

/// The name of the header that a line is.
fn header_name(line: &[u8]) -> Option<&str> {
    let end = line.iter().position(|byte| *byte == b':')?;
    let name = std::str::from_utf8(&line[..end]).ok()?;
    (!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())).then_some(name)
}

/// Is it a header that messages begin with, and a word that nobody begins a line with otherwise?
fn is_known_header(name: &str) -> bool {
    const KNOWN: [&str; 19] = [
        "from",
        "to",
        "cc",
        "subject",
        "date",
        "sender",
        "reply-to",
        "return-path",
        "received",
        "message-id",
        "mime-version",
        "content-type",
        "delivered-to",
        "envelope-to",
        "status",
        "in-reply-to",
        "references",
        "dkim-signature",
        "authentication-results",
    ];
    let lower = name.to_ascii_lowercase();
    let prefixes = ["x-", "arc-", "list-", "resent-"];
    KNOWN.contains(&lower.as_str()) || prefixes.iter().any(|prefix| lower.starts_with(prefix))
}

fn without_separator(bytes: &[u8]) -> &[u8] {
    if !bytes.starts_with(b"From ") {
        return bytes;
    }
    let end = bytes.iter().position(|b| *b == b'\n');
    end.map_or(bytes, |end| &bytes[end + 1..])
}

/// Writes a message, and returns its subject.
fn write(message: &Message<'_>, pen: &mut Pen) -> Option<String> {
    let mended = mended_headers(message);
    let headers = mended.as_ref().unwrap_or(message);
    let subject = subject(headers);
    pen.heading(1, subject.as_deref().unwrap_or("(no subject)"));
    pen.paragraph(&head(headers, message).join("\n"));
    bodies(message, pen);
    forwarded(message, 1, pen);
    subject
}

fn subject(headers: &Message<'_>) -> Option<String> {
    let subject = headers.subject().map(one_line);
    subject.filter(|subject| !subject.is_empty())
}

/// The headers that people read, and the names of what is attached, one a line.
fn head(headers: &Message<'_>, message: &Message<'_>) -> Vec<String> {
    let mut head = Vec::new();
    for (name, address) in [
        ("From", headers.from()),
        ("To", headers.to()),
        ("Cc", headers.cc()),
    ] {
        let people = address.map(people).unwrap_or_default();
        if !people.is_empty() {
            head.push(format!("{name}: {people}"));
        }
    }
    if let Some(date) = headers.date() {
        head.push(format!("Date: {}", date.to_rfc3339()));
    }
    let names: Vec<&str> = message
        .attachments()
        .filter_map(|part| part.attachment_name())
        .collect();
    if !names.is_empty() {
        head.push(format!("Attachments: {}", names.join(", ")));
    }
    head
}

/// The headers of a message again, where they hold bytes that are no UTF-8: programs that know no
/// encoded words write them as they write the text.
pub(crate) fn mended_headers(message: &Message<'_>) -> Option<Message<'static>> {
    let root = message.parts.first()?;
    let raw = root.offset_header as usize..root.offset_body as usize;
    let raw = message.raw_message.get(raw)?;
    if std::str::from_utf8(raw).is_ok() {
        return None;
    }
    let named = html::declared(raw).filter(|named| *named != UTF_8 && named.is_ascii_compatible());
    let encoding = named.unwrap_or(WINDOWS_1252);
    let mut mended = String::with_capacity(raw.len() * 2);
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        match std::str::from_utf8(line) {
            Ok(line) => mended.push_str(line),
            Err(_) => mended.push_str(&encoding.decode_without_bom_handling(line).0),
        }
    }
    let parsed = MessageParser::default().parse_headers(mended.as_bytes())?;
    Some(parsed.into_owned())
}

/// Messages that are forwarded within others are read so deep.
const DEEPEST: usize = 5;

/// Writes the messages that a message forwards as they are, and those that they forward.
fn forwarded(message: &Message<'_>, depth: usize, pen: &mut Pen) {
    for part in message.attachments() {
        let PartType::Message(inner) = &part.body else {
            continue;
        };
        let mended = mended_headers(inner);
        let headers = mended.as_ref().unwrap_or(inner);
        let mut lines = vec![format!(
            "Forwarded: {}",
            subject(headers).unwrap_or_default()
        )];
        lines.extend(head(headers, inner));
        pen.paragraph(&lines.join("\n"));
        bodies(inner, pen);
        if depth < DEEPEST && !pen.is_full() {
            forwarded(inner, depth + 1, pen);
        }
    }
}

/// Writes the page of a web archive, which is a message that nobody sent.
pub(super) fn web_archive(bytes: &[u8], pen: &mut Pen) {
    if let Some(message) = MessageParser::default().parse(bytes) {
        bodies(&message, pen);
    }
}

/// Is a file of this name a page that a browser saved with all that is in it, as a message?
pub(super) fn is_saved_page(name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    ["mht", "mhtml"]
        .iter()
        .any(|known| ending.eq_ignore_ascii_case(known))
}

/// The text of such a page.
///
/// # Errors
/// [`Skip`].
pub(super) fn saved_page(bytes: &[u8], limit: usize) -> Result<Extracted, Skip> {
    let bytes = without_mark(bytes);
    let message = MessageParser::default().parse(&*bytes);
    // What it shows in frames comes behind it.
    let page = message.as_ref().and_then(|message| {
        message.parts.iter().find_map(|part| match &part.body {
            PartType::Html(page) if !page.trim().is_empty() => Some(page),
            _ => None,
        })
    });
    let Some(page) = page else {
        return Err(Skip("broken: it holds no web page".into()));
    };
    let mut pen = Pen::new(limit);
    let meta = html::write(page, &mut pen);
    pen.finish(meta)
}

/// The text of a message alone, as people see it, with the messages that it forwards.
pub(crate) fn body(message: &Message<'_>) -> String {
    let mut pen = Pen::new(usize::MAX);
    bodies(message, &mut pen);
    forwarded(message, 1, &mut pen);
    let found = pen.finish(Meta::default());
    found.map_or_else(|_| String::new(), |found| found.outline.text)
}

fn bodies(message: &Message<'_>, pen: &mut Pen) {
    let says = |part: &&MessagePart<'_>| match &part.body {
        PartType::Text(text) | PartType::Html(text) => !text.trim().is_empty(),
        _ => false,
    };
    let plain: Vec<_> = message.text_bodies().filter(says).collect();
    let pages: Vec<_> = message.html_bodies().filter(says).collect();
    if plain.is_empty() && pages.is_empty() {
        invitations(message, pen);
        return;
    }
    // Some programs leave the plain one of the alternatives empty, or say there that it is.
    let of_pages = plain.is_empty() || is_stub(&plain, &pages);
    for part in if of_pages { pages } else { plain } {
        match &part.body {
            PartType::Text(text) if loses_spaces(part) => paragraphs(&unwrapped(text), pen),
            PartType::Text(text) => paragraphs(text, pen),
            PartType::Html(page) => html::write_mail(page, pen),
            _ => {}
        }
    }
}

/// Writes what the calendars of a message say that says nothing else.
fn invitations(message: &Message<'_>, pen: &mut Pen) {
    for part in &message.parts {
        let kind = part.content_type();
        let is_calendar =
            kind.is_some_and(|kind| kind.ctype() == "text" && kind.subtype() == Some("calendar"));
        if let PartType::Text(text) = &part.body
            && is_calendar
        {
            calendar::write(text, pen);
        }
    }
}

/// A plain text of so many signs at most may only say that it is none.
const LONGEST_EXCUSE: usize = 400;

/// A plain text is no more than a hint at its page where that says so many times as much.
const FULLER: usize = 5;

/// Do the plain parts, of the alternatives that a message offers, only stand for its pages?
fn is_stub(plain: &[&MessagePart<'_>], pages: &[&MessagePart<'_>]) -> bool {
    let text = |part: &MessagePart<'_>| match &part.body {
        PartType::Text(text) | PartType::Html(text) => text.to_string(),
        _ => String::new(),
    };
    // What stands in both is there whichever is taken.
    let only = |these: &[&MessagePart<'_>], those: &[&MessagePart<'_>]| -> String {
        let differs = |part: &&&MessagePart<'_>| !those.iter().any(|o| std::ptr::eq(**part, *o));
        these
            .iter()
            .filter(differs)
            .map(|part| text(part))
            .collect()
    };
    let (said, page) = (only(plain, pages), only(pages, plain));
    let signs = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
    let spoken = signs(&said);
    let excuse = is_excuse(&said);
    if spoken == 0 || page.is_empty() || !excuse && page.len() <= spoken * FULLER {
        return false;
    }
    let mut pen = Pen::new(usize::MAX);
    html::write_all(&page, &mut pen);
    let shown = pen.finish(Meta::default());
    let shown = shown.map_or(0, |found| signs(&found.outline.text));
    shown > if excuse { 0 } else { spoken * FULLER }
}

/// "Your mail program does not show HTML."
fn is_excuse(text: &str) -> bool {
    const SHOWING: [&str; 14] = [
        "view",
        "show",
        "display",
        "support",
        "enable",
        "client",
        "program",
        "reader",
        "browser",
        "anzeig",
        "darstell",
        "unterstütz",
        "affich",
        "visuali",
    ];
    let lower = || text.to_lowercase();
    text.len() <= LONGEST_EXCUSE
        && lower().contains("html")
        && SHOWING.iter().any(|word| lower().contains(word))
}

/// Is a text wrapped with spaces that are none of it (RFC 3676)?
fn loses_spaces(part: &MessagePart<'_>) -> bool {
    let says = |name: &str, value: &str| {
        let said = part.content_type().and_then(|kind| kind.attribute(name));
        said.is_some_and(|said| said.eq_ignore_ascii_case(value))
    };
    says("format", "flowed") && says("delsp", "yes")
}

/// Such a text with its lines as they were before they were wrapped: one that ends with a space goes on
/// in the next of as many quotes.
fn unwrapped(text: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    let mut open = None;
    for line in text.lines() {
        let (level, said) = unquoted(line);
        // A space is put before what would be taken for something else.
        let said = if level == 0 {
            said.strip_prefix(' ').unwrap_or(said)
        } else {
            said
        };
        let is_signature = said.trim_end() == SIGNATURE;
        if open != Some(level) || is_signature {
            whole.push('\n');
            whole.push_str(&">".repeat(level));
            if level > 0 {
                whole.push(' ');
            }
        }
        let wrapped = said.strip_suffix(' ').filter(|_| !is_signature);
        whole.push_str(wrapped.unwrap_or(said));
        open = wrapped.map(|_| level);
    }
    whole
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
    let subject = outlook_subject(&mut file, "", limit)?;
    let head = outlook_head(&mut file, "", limit)?;
    let mut pen = Pen::new(limit);
    pen.heading(1, subject.as_deref().unwrap_or("(no subject)"));
    pen.paragraph(&head.join("\n"));
    let says = outlook_body(&mut file, "", limit, &mut pen)?;
    if !says && subject.is_none() && head.is_empty() {
        return Err(Skip(
            "it has no text that can be read: save it as eml".into(),
        ));
    }
    outlook_forwarded(&mut file, "", 1, limit, &mut pen)?;
    let meta = Meta {
        title: subject,
        ..Meta::default()
    };
    pen.finish(meta)
}

/// The file that an Outlook message is.
type Compound<'a> = cfb::CompoundFile<Cursor<&'a [u8]>>;

fn outlook_subject(
    file: &mut Compound<'_>,
    storage: &str,
    limit: usize,
) -> Result<Option<String>, Skip> {
    let subject = property(file, storage, "0037", limit)?;
    Ok(subject.map(|s| one_line(&s)).filter(|s| !s.is_empty()))
}

/// What people read above a message of Outlook in this storage, one a line.
fn outlook_head(file: &mut Compound<'_>, storage: &str, limit: usize) -> Result<Vec<String>, Skip> {
    let mut head = Vec::new();
    for (name, number) in [("From", "0C1A"), ("To", "0E04"), ("Cc", "0E03")] {
        let people = property(file, storage, number, limit)?;
        let people = people.map(|s| one_line(&s)).unwrap_or_default();
        if !people.is_empty() {
            head.push(format!("{name}: {people}"));
        }
    }
    let fixed = stream(file, &format!("{storage}/__properties_version1.0"), limit)?;
    // One that lies in another says less of itself before them.
    let before = if storage.is_empty() { 32 } else { 24 };
    let fixed = fixed.unwrap_or_default();
    if let Some(date) = sent_at(fixed.get(before..).unwrap_or_default()) {
        head.push(format!("Date: {date}"));
    }
    let names = attached(file, storage, limit)?;
    if !names.is_empty() {
        head.push(format!("Attachments: {}", names.join(", ")));
    }
    Ok(head)
}

/// Writes the text of an Outlook message: the plain one, or else that of its page or its rich text. Tells
/// whether it has any; people send files without a word.
fn outlook_body(
    file: &mut Compound<'_>,
    storage: &str,
    limit: usize,
    pen: &mut Pen,
) -> Result<bool, Skip> {
    let body = property(file, storage, "1000", limit)?;
    let page = format!("{storage}/__substg1.0_10130102");
    let packed = format!("{storage}/__substg1.0_10090102");
    if let Some(body) = body.filter(|b| !b.trim().is_empty()) {
        paragraphs(&body, pen);
    } else if let Some(page) = stream(file, &page, limit)? {
        html::write_mail(&html::decode(&page)?, pen);
    } else if let Some(packed) = stream(file, &packed, limit)? {
        let found = rtf::extract(&lzfu::unpacked(&packed, limit)?, limit)?;
        pen.outline(&found.outline);
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// Writes the messages that an Outlook message forwards as they are, and those that they forward.
fn outlook_forwarded(
    file: &mut Compound<'_>,
    storage: &str,
    depth: usize,
    limit: usize,
    pen: &mut Pen,
) -> Result<(), Skip> {
    for attachment in attachments(file, storage) {
        let inner = format!("{attachment}/__substg1.0_3701000D");
        if pen.is_full() || !file.is_storage(&inner) {
            continue;
        }
        let subject = outlook_subject(file, &inner, limit)?.unwrap_or_default();
        let mut lines = vec![format!("Forwarded: {subject}")];
        lines.extend(outlook_head(file, &inner, limit)?);
        pen.paragraph(&lines.join("\n"));
        let read = outlook_body(file, &inner, limit, pen);
        pen.broke_off(read.err().map(|Skip(error)| error));
        if depth < DEEPEST {
            outlook_forwarded(file, &inner, depth + 1, limit, pen)?;
        }
    }
    Ok(())
}

/// The storages of what is attached to a message.
fn attachments(file: &Compound<'_>, storage: &str) -> Vec<String> {
    let Ok(entries) = file.read_storage(format!("{storage}/")) else {
        return Vec::new();
    };
    let names = entries.map(|entry| entry.name().to_owned());
    let attached = names.filter(|name| name.starts_with("__attach_version1.0_"));
    let attached = attached.map(|name| format!("{storage}/{name}"));
    attached.take(LIST_ITEMS).collect()
}

/// A property that is text, of the message or of what lies in a storage of it.
fn property(
    file: &mut Compound<'_>,
    storage: &str,
    number: &str,
    limit: usize,
) -> Result<Option<String>, Skip> {
    let wide = format!("{storage}/__substg1.0_{number}001F");
    if let Some(wide) = stream(file, &wide, limit)? {
        return Ok(Some(encoding_rs::UTF_16LE.decode(&wide).0.into_owned()));
    }
    let narrow = format!("{storage}/__substg1.0_{number}001E");
    let narrow = stream(file, &narrow, limit)?;
    Ok(narrow.and_then(|narrow| text::decode(&narrow).ok()))
}

/// When a message was sent, or else when it came, by its properties of a fixed length: each is its tag
/// and, eight bytes on, its value (2.4 of MS-OXMSG).
fn sent_at(properties: &[u8]) -> Option<jiff::Timestamp> {
    /// From 1601, whence Windows counts tenths of microseconds.
    const SECONDS_TO_1970: i64 = 11_644_473_600;
    const SENT: u32 = 0x0039_0040;
    const CAME: u32 = 0x0e06_0040;
    let time = |tag: u32| {
        let mut entries = properties.chunks_exact(16);
        let entry = entries.find(|entry| entry[..4] == tag.to_le_bytes())?;
        let ticks = u64::from_le_bytes(entry[8..].try_into().ok()?);
        let seconds = i64::try_from(ticks / 10_000_000).ok()?;
        let is_set = seconds > 0;
        let time = jiff::Timestamp::from_second(seconds - SECONDS_TO_1970).ok();
        time.filter(|_| is_set)
    };
    time(SENT).or_else(|| time(CAME))
}

/// The names of what is attached.
fn attached(file: &mut Compound<'_>, storage: &str, limit: usize) -> Result<Vec<String>, Skip> {
    let mut names = Vec::new();
    for storage in attachments(file, storage) {
        // Its long name, the one for old programs, what it is shown as.
        for number in ["3707", "3704", "3001"] {
            let name = property(file, &storage, number, limit)?;
            let name = name.map(|name| one_line(&name)).unwrap_or_default();
            if !name.is_empty() {
                names.push(name);
                break;
            }
        }
    }
    Ok(names)
}

/// A stream of a compound file, or `None` where there is none of this name.
///
/// # Errors
/// [`Skip`] for one of more than a text of `limit` bytes may take up.
fn stream(file: &mut Compound<'_>, name: &str, limit: usize) -> Result<Option<Vec<u8>>, Skip> {
    let most = unpack_limit(limit);
    let Ok(stream) = file.open_stream(name) else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    if stream.take(most + 1).read_to_end(&mut bytes).is_err() {
        return Ok(None);
    }
    if bytes.len() as u64 > most {
        return Err(Skip::too_much(limit));
    }
    Ok(Some(bytes))
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
    fn an_invitation_without_a_text_is_read() {
        let calendar = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:Launch\n\
            DTSTART:20260202T090000Z\nEND:VEVENT\nEND:VCALENDAR\n";
        let part = format!("Content-Type: text/calendar; method=REQUEST\n\n{calendar}");
        let mixed = |text: &str| {
            format!(
                "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/plain\n\n{text}\n\
                 --x\n{part}\n--x--\n"
            )
        };
        for (body, expected) in [
            (
                part.clone(),
                "Invitation: Launch\nWhen: 2026-02-02 09:00 (UTC)\n",
            ),
            (
                mixed(" "),
                "Invitation: Launch\nWhen: 2026-02-02 09:00 (UTC)\n",
            ),
            (mixed("See you."), "See you.\n"),
        ] {
            let mail = format!("From: a@example.org\nSubject: S\n{body}");
            let text = message(mail.as_bytes(), 1 << 20).unwrap().outline.text;
            assert_eq!(text, format!("# S\n\nFrom: a@example.org\n\n{expected}"));
        }
    }

    #[test]
    fn a_mark_of_the_byte_order_is_of_no_header() {
        let mail = "\u{feff}From: Ann <ann@example.org>\nSubject: S\n\nThe owl.\n";
        let wide: Vec<u8> = mail.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [mail.as_bytes(), wide.as_slice()] {
            let text = message(bytes, 1 << 20).unwrap().outline.text;
            assert_eq!(text, "# S\n\nFrom: Ann <ann@example.org>\n\nThe owl.\n");
        }
        let all = "\u{feff}From a Mon\nSubject: One\n\nRed.\n";
        let text = mailbox(all.as_bytes(), 1 << 20).unwrap().outline.text;
        assert_eq!(text, "# One\n\nRed.\n");
    }

    /// An Outlook message of these streams; what is attached lies in a storage.
    fn outlook_message(streams: &[(&str, &[u8])]) -> Vec<u8> {
        use std::io::Write;
        let mut file = cfb::CompoundFile::create(Cursor::new(Vec::new())).unwrap();
        for (name, bytes) in streams {
            if let Some((storage, _)) = name.rsplit_once('/').filter(|(s, _)| !s.is_empty()) {
                file.create_storage_all(storage).unwrap();
            }
            let mut stream = file.create_stream(name).unwrap();
            stream.write_all(bytes).unwrap();
        }
        file.flush().unwrap();
        file.into_inner().into_inner()
    }

    fn wide(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn a_message_of_outlook_says_when_it_was_sent_and_what_is_attached() {
        let mut fixed = vec![0; 32];
        fixed.extend([0x40, 0, 0x39, 0, 6, 0, 0, 0]);
        // 2024-01-02T09:00:00Z.
        fixed.extend(((1_704_186_000_u64 + 11_644_473_600) * 10_000_000).to_le_bytes());
        let message = outlook_message(&[
            ("/__substg1.0_0037001F", &wide("Oars")),
            ("/__substg1.0_1000001F", &wide("They came.")),
            ("/__properties_version1.0", &fixed),
            (
                "/__attach_version1.0_#00000000/__substg1.0_3707001F",
                &wide("bill.pdf"),
            ),
        ]);
        let found = outlook(&message, 1 << 20).unwrap();
        assert_eq!(
            found.outline.text,
            "# Oars\n\nDate: 2024-01-02T09:00:00Z\nAttachments: bill.pdf\n\nThey came.\n"
        );
        assert_eq!(sent_at(&fixed[32..40]), None);
        assert_eq!(sent_at(&[]), None);
    }

    #[test]
    fn messages_of_outlook_that_are_forwarded_are_read() {
        let first = "/__attach_version1.0_#00000000/__substg1.0_3701000D";
        let second = format!("{first}/__attach_version1.0_#00000000/__substg1.0_3701000D");
        let of = |storage: &str, number: &str| format!("{storage}/__substg1.0_{number}001F");
        let mut fixed = vec![0; 24];
        fixed.extend([0x40, 0, 0x39, 0, 6, 0, 0, 0]);
        // 2024-01-02T09:00:00Z.
        fixed.extend(((1_704_186_000_u64 + 11_644_473_600) * 10_000_000).to_le_bytes());
        let message = outlook_message(&[
            (&of("", "0037"), &wide("Oars")),
            (&of("", "1000"), &wide("See below.")),
            (&of(first, "0037"), &wide("Re: oars")),
            (&of(first, "0C1A"), &wide("Ann")),
            (&of(first, "1000"), &wide("They came.")),
            (&format!("{first}/__properties_version1.0"), &fixed),
            (&of(&second, "0037"), &wide("The order")),
            (&of(&second, "1000"), &wide("Two, please.")),
        ]);
        let found = outlook(&message, 1 << 20).unwrap();
        assert_eq!(
            found.outline.text,
            "# Oars\n\nSee below.\n\nForwarded: Re: oars\nFrom: Ann\nDate: 2024-01-02T09:00:00Z\n\n\
             They came.\n\nForwarded: The order\n\nTwo, please.\n"
        );
        assert_eq!(found.missing, None);
    }

    #[test]
    fn a_message_of_outlook_that_is_rich_text_alone_is_read() {
        let message = outlook_message(&[
            ("/__substg1.0_0037001F", &wide("Greeting")),
            ("/__substg1.0_10090102", lzfu::tests::HELLO),
        ]);
        let found = outlook(&message, 1 << 20).unwrap();
        assert_eq!(found.outline.text, "# Greeting\n\nhello world\n");
        let broken = outlook_message(&[("/__substg1.0_10090102", b"nothing of the kind")]);
        assert!(outlook(&broken, 1 << 20).is_err());
    }

    #[test]
    fn a_message_of_outlook_without_a_word_is_known_by_its_head() {
        let message = outlook_message(&[
            ("/__substg1.0_0037001F", &wide("The bill")),
            ("/__substg1.0_0C1A001F", &wide("Ann")),
        ]);
        let found = outlook(&message, 1 << 20).unwrap();
        assert_eq!(found.outline.text, "# The bill\n\nFrom: Ann\n");
        assert_eq!(found.missing, None);
        assert!(outlook(&outlook_message(&[]), 1 << 20).is_err());
    }

    #[test]
    fn a_body_of_outlook_is_read_whole_or_not_at_all() {
        let body = format!("{}end.", "word ".repeat(300));
        let message = outlook_message(&[("/__substg1.0_1000001F", &wide(&body))]);
        // Two bytes of the file are one of text.
        let found = outlook(&message, 2000).unwrap().outline.text;
        assert!(found.ends_with("end.\n"), "{found}");
        let refused = |limit: usize| outlook(&message, limit).unwrap_err() == Skip::too_much(limit);
        assert!(refused(1000) && refused(100));
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
    fn pages_that_were_saved_as_messages_are_read() {
        let saved = "From: <Saved by Blink>\r\nSubject: Herons\r\nMIME-Version: 1.0\r\n\
            Content-Type: multipart/related;\r\n\ttype=\"text/html\";\r\n\tboundary=\"x\"\r\n\r\n\
            --x\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\
            Content-Location: https://example.org/\r\n\r\n<title>Herons</title><nav>Home</nav>\
            <p id=3D\"a\">The h=C3=A9ron ne=\r\nsts.</p>\r\n--x\r\nContent-Type: image/png\r\n\
            Content-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--x--\r\n";
        assert!(is_saved_page("a/b.MHTML") && !is_saved_page("a.html"));
        let found = saved_page(saved.as_bytes(), 1 << 20).unwrap();
        assert_eq!(found.outline.text, "The héron nests.\n");
        assert_eq!(found.meta.title.as_deref(), Some("Herons"));
        assert!(saved_page(b"Subject: S\r\n\r\nText", 1 << 20).is_err());
    }

    #[test]
    fn pages_mark_what_they_quote_as_texts_do() {
        let mail = "From: a@example.org\nSubject: S\nContent-Type: text/html\n\n<p>Yes.</p>\
            <blockquote style='margin:0 0 0 40px'>Bring oars.</blockquote>\
            <div class=gmail_quote>Ann wrote:<blockquote class=gmail_quote><h1>Boats</h1>\
            <p>They lie<br>in the shed.</p><blockquote type=CITE><ul><li>Where?</ul></blockquote>\
            <table><tr><td>Oars<td>2</table></blockquote></div><p>Ben</p>";
        let text = message(mail.as_bytes(), 1 << 20).unwrap().outline.text;
        assert_eq!(
            text,
            "# S\n\nFrom: a@example.org\n\nYes.\n\nBring oars.\n\nAnn wrote:\n\n> Boats\n\n\
             > They lie\n> in the shed.\n\n>> - Where?\n\n> Oars | 2\n\nBen\n"
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
    fn a_plain_text_that_says_nothing_hides_no_page() {
        let head = "From: a@example.org\nContent-Type: multipart/alternative; boundary=x\n\n";
        let page = "<p>The ferry leaves at 07:40 from the pier.</p>";
        let check = |plain: &str, expected: bool| {
            let mail = format!(
                "{head}--x\nContent-Type: text/plain\n\n{plain}\n\
                 --x\nContent-Type: text/html\n\n{page}\n--x--\n"
            );
            let text = message(mail.as_bytes(), 1 << 20).unwrap().outline.text;
            assert_eq!(text.contains("07:40"), expected, "{text}");
        };
        check(
            "This message is in HTML; your program cannot show it.",
            true,
        );
        check("Hi.", true);
        check("It leaves in the morning.", false);
        check("We learn HTML.", false);
    }

    #[test]
    fn forwarded_messages_are_read_with_those_that_they_forward() {
        let mail = |name: &str, inner: &str| {
            format!(
                "From: {name} <{name}@example.org>\nSubject: Of {name}\n\
                 Date: Mon, 2 Feb 2026 08:00:00 +0100\n\
                 Content-Type: multipart/mixed; boundary={name}\n\n\
                 --{name}\nContent-Type: text/plain\n\nSo says {name}.\n{inner}--{name}--\n"
            )
        };
        let attached =
            |name: &str, mail: &str| format!("--{name}\nContent-Type: message/rfc822\n\n{mail}\n");
        let middle = mail("mid", &attached("mid", &mail("deep", "")));
        let whole = mail("ann", &attached("ann", &middle));
        let text = message(whole.as_bytes(), 1 << 20).unwrap().outline.text;
        for name in ["mid", "deep"] {
            let expected = format!(
                "Forwarded: Of {name}\nFrom: {name} <{name}@example.org>\n\
                 Date: 2026-02-02T08:00:00+01:00\n\nSo says {name}.\n"
            );
            assert!(text.contains(&expected), "{text}");
        }
    }

    #[test]
    fn headers_that_are_not_encoded_are_read() {
        let check = |charset: &str, text: &str| {
            let encoding = encoding_rs::Encoding::for_label(charset.as_bytes()).unwrap();
            let mail = format!(
                "From: {text} <j@example.org>\r\nSubject: {text}\r\n\
                 Content-Type: text/plain; charset={charset}\r\n\r\n{text}.\r\n"
            );
            let found = message(&encoding.encode(&mail).0, 1 << 20).unwrap();
            assert_eq!(found.meta.title.as_deref(), Some(text));
            let expected = format!("# {text}\n\nFrom: {text} <j@example.org>\n\n{text}.\n");
            assert_eq!(found.outline.text, expected);
        };
        check("iso-8859-1", "Grüße aus Köln");
        check("windows-1251", "Привет из Твери");
        check("utf-8", "Grüße aus Köln");
    }

    #[test]
    fn lines_go_on_behind_spaces_that_are_none() {
        let check = |text: &str, expected: &str| assert_eq!(unwrapped(text), expected);
        check(
            "neigh \r\nbour named \r\nAnn\r\nnext",
            "\nneighbour namedAnn\nnext",
        );
        check("> a  \n> b\n>> c \n> d", "\n> a b\n>> c\n> d");
        check("end \n-- \nAnn", "\nend\n-- \nAnn");
        let mail = "From: f@example.org\r\nSubject: F\r\n\
            Content-Type: text/plain; format=flowed; delsp=yes\r\n\r\n\
            Lent to the neigh \r\nbour named Pavel.\r\n";
        let text = message(mail.as_bytes(), 1 << 20).unwrap().outline.text;
        assert!(
            text.ends_with("\n\nLent to the neighbour named Pavel.\n"),
            "{text}"
        );
    }

    #[test]
    fn separators_are_told_from_what_is_said() {
        let check = |line: &str, next: &str, expected: bool| {
            let found = is_separator(line.as_bytes(), next.as_bytes());
            assert_eq!(found, expected, "{line}");
        };
        let date = "Mon Jan  5 10:00:00 2026";
        check(
            &format!("From ann@example.org {date}\r\n"),
            "From: Ann",
            true,
        );
        check(&format!("From ann@example.org {date}\n"), "", true);
        check(&format!("From - {date}"), "X-Mozilla-Status: 0001", true);
        check(
            &format!("From ann at example.org  {date}"),
            "From: Ann",
            true,
        );
        check(
            "From 1@xxx Mon Jan 5 10:00:00 +0000 2026",
            "X-GM-THRID: 1",
            true,
        );
        check("From b", "Subject: Two", true);
        check(
            "From what I remember the pegs number 24.",
            "They lie there.",
            false,
        );
        check(
            "From Monday on: it opens at 05:30.",
            "Note: bring 7 crates.",
            false,
        );
        check("From 10:30 on in 2026", "Note: bring 7 crates.", false);
        check("From Ann:", "Subject: the boat", false);
        check(
            &format!("From the ship's log {date}"),
            "we sailed on",
            false,
        );
        check(">From b", "Subject: Two", false);
    }

    #[test]
    fn what_is_not_quoted_in_a_mailbox_stays_in_its_message() {
        let all = "\n\nFrom a@b.org Mon Jan  5 10:00:00 2026\nSubject: One\n\nRed.\n\n\
            From what I know, it is 24.\nSo.\n\n>From here.\n\n\
            From b@b.org Tue Jan  6 10:00:00 2026\nSubject: Two\n\nBlue.\n";
        let check = |all: &str| {
            let found = mailbox(all.as_bytes(), 1 << 20).unwrap().outline;
            assert_eq!(
                found.text,
                "# One\n\nRed.\n\nFrom what I know, it is 24.\nSo.\n\nFrom here.\n\n# Two\n\nBlue.\n"
            );
            assert_eq!(found.blocks.last().and_then(|block| block.page), Some(2));
        };
        check(all);
        check(&all.replace('\n', "\r\n"));
        check(&all.replace('\n', "\r"));
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
