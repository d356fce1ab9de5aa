//! Text in any encoding, with one kind of line end and without what only steers a terminal.

use std::borrow::Cow;

use encoding_rs::{Encoding, ISO_2022_JP, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::Skip;

/// The text of a file: by its byte order mark, as UTF-8, or as the encoding that fits its bytes.
///
/// # Errors
/// [`Skip`] for what is not text.
pub(super) fn decode(bytes: &[u8]) -> Result<String, Skip> {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        let (text, _) = encoding.decode_without_bom_handling(&bytes[mark..]);
        return checked(text.into_owned());
    }
    if let Some(encoding) = utf_16_without_mark(bytes) {
        return checked(encoding.decode_without_bom_handling(bytes).0.into_owned());
    }
    // What a crash leaves behind the text of a file that grew.
    let end = bytes.iter().rposition(|byte| *byte != 0);
    let bytes = end.map_or(bytes, |end| &bytes[..=end]);
    if bytes.contains(&0) {
        return Err(Skip("binary: it holds NUL bytes, text does not".into()));
    }
    if is_iso_2022_jp(bytes) {
        let (text, _) = ISO_2022_JP.decode_without_bom_handling(bytes);
        return checked(text.into_owned());
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return checked(text.to_owned());
    }
    if is_nearly_utf_8(bytes) {
        return checked(nearly_utf_8(bytes));
    }
    if let Some(text) = of_two_encodings(bytes) {
        return checked(text);
    }
    let (text, _) = guess(bytes).decode_without_bom_handling(bytes);
    checked(text.into_owned())
}

/// The text of a file that was put together from UTF-8 and Western text, line by line, as logs and
/// mailboxes are; `None` for all others. In Western text hardly any line beyond ASCII passes for UTF-8.
fn of_two_encodings(bytes: &[u8]) -> Option<String> {
    if !lines(bytes).any(|line| !line.is_ascii() && std::str::from_utf8(line).is_ok()) {
        return None;
    }
    let text = with_western(bytes, |line| std::str::from_utf8(line).is_err())?;
    (guess(bytes) == WINDOWS_1252).then_some(text)
}

/// The text of a file that is UTF-8 but for little. A line in which nothing beyond ASCII is UTF-8 came from
/// elsewhere, and is Western text; in all others some place is damaged.
fn nearly_utf_8(bytes: &[u8]) -> String {
    let is_western = |line: &[u8]| {
        std::str::from_utf8(line).is_err()
            && line.utf8_chunks().all(|chunk| chunk.valid().is_ascii())
    };
    with_western(bytes, is_western).unwrap_or_else(|| String::from_utf8_lossy(bytes).into_owned())
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n')
}

/// UTF-8 of which some lines are Western text; `None` where those look like something else.
fn with_western(bytes: &[u8], is_western: impl Fn(&[u8]) -> bool) -> Option<String> {
    let western = lines(bytes).filter(|line| is_western(line));
    let western: Vec<u8> = western.flatten().copied().collect();
    if guess(&western) != WINDOWS_1252 {
        return None;
    }
    let mut text = String::with_capacity(bytes.len());
    for line in lines(bytes) {
        if is_western(line) {
            text.push_str(&WINDOWS_1252.decode_without_bom_handling(line).0);
        } else {
            text.push_str(&String::from_utf8_lossy(line));
        }
    }
    Some(text)
}

/// Is it Japanese as old mail and pages have it? All bytes of that are ASCII, and would pass for UTF-8.
fn is_iso_2022_jp(bytes: &[u8]) -> bool {
    let begins = |three: &[u8]| matches!(three, b"\x1b$B" | b"\x1b$@");
    bytes.is_ascii() && bytes.windows(3).any(begins) && guess(bytes) == ISO_2022_JP
}

/// Is it UTF-8 but for a damaged place or two: one invalid sequence to four whole characters beyond
/// ASCII at most? In any other encoding, hardly any such character comes about.
fn is_nearly_utf_8(bytes: &[u8]) -> bool {
    let (mut whole, mut broken) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        whole += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        broken += usize::from(!chunk.invalid().is_empty());
    }
    broken * 4 <= whole
}

/// The encoding that fits the bytes best.
pub(super) fn guess(bytes: &[u8]) -> &'static Encoding {
    let mut detector = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Allow);
    detector.feed(bytes, true);
    detector.guess(None, chardetng::Utf8Detection::Allow)
}

/// UTF-16 of a Western language shows as NUL in every other byte.
fn utf_16_without_mark(bytes: &[u8]) -> Option<&'static Encoding> {
    let sample = &bytes[..bytes.len().min(4096)];
    let zeros = |from: usize| {
        sample
            .iter()
            .skip(from)
            .step_by(2)
            .filter(|b| **b == 0)
            .count()
    };
    let half = sample.len() / 2;
    if half < 4 || !bytes.len().is_multiple_of(2) {
        return None;
    }
    match (zeros(0), zeros(1)) {
        (high, low) if high * 10 > half * 7 && low * 10 < half => Some(UTF_16BE),
        (high, low) if low * 10 > half * 7 && high * 10 < half => Some(UTF_16LE),
        _ => None,
    }
}

/// Refuses what decodes to something that nobody reads; every line of the rest ends as others do, and
/// terminals are told nothing. Lines stay as many as editors count.
///
/// # Errors
/// [`Skip`].
pub(super) fn checked(text: String) -> Result<String, Skip> {
    if text.contains('\0') {
        return Err(Skip("binary: it holds NUL bytes, text does not".into()));
    }
    let bare = text
        .contains('\x1b')
        .then(|| without_escapes(&text).into_owned());
    let text = with_line_feeds(bare.unwrap_or(text));
    let sample: Vec<char> = text.chars().take(4096).collect();
    let odd = |c: &&char| {
        (c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\x0c' | '\x1b'))
            || **c == char::REPLACEMENT_CHARACTER
    };
    if sample.iter().filter(odd).count() * 10 > sample.len() {
        return Err(Skip(
            "binary: it does not read as text in any encoding".into(),
        ));
    }
    Ok(text)
}

/// Carriage returns that end a line alone, as on old Macs and in what some programs export, become line
/// feeds. Those before a line feed stay, however many: there is one line end.
fn with_line_feeds(text: String) -> String {
    if !text.contains('\r') {
        return text;
    }
    let mut bytes = text.into_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let run = bytes[at..]
            .iter()
            .take_while(|byte| **byte == b'\r')
            .count();
        if run > 0 && bytes.get(at + run) != Some(&b'\n') {
            bytes[at..at + run].fill(b'\n');
        }
        at += run + 1;
    }
    // One byte of ASCII stands in the place of another.
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The text without what tells a terminal to colour it, to move in it, or to name its window (ECMA-48).
/// What ends with its line without being whole stays.
pub(super) fn without_escapes(text: &str) -> Cow<'_, str> {
    if !text.contains('\x1b') {
        return Cow::Borrowed(text);
    }
    let mut bare = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\x1b') {
        let behind = &rest[at + 1..];
        let told = escape_bytes(behind.as_bytes());
        // An escape that tells nothing stays.
        bare.push_str(&rest[..at + usize::from(told == 0)]);
        rest = &behind[told..];
    }
    bare.push_str(rest);
    Cow::Owned(bare)
}

/// Longer strings are no title of a window and no address.
const LONGEST_STRING: usize = 4096;

/// Bytes behind an escape that belong to it: all ASCII at their ends. 0 where nothing known begins.
fn escape_bytes(behind: &[u8]) -> usize {
    let Some(first) = behind.first() else {
        return 0;
    };
    match first {
        b'[' => {
            let of = |from: usize, range: std::ops::RangeInclusive<u8>| {
                let bytes = behind[from..].iter().take(32);
                from + bytes.take_while(|byte| range.contains(byte)).count()
            };
            let end = of(of(1, b'0'..=b'?'), b' '..=b'/');
            let closes = |byte: &u8| byte.is_ascii_alphabetic() || b"@`~".contains(byte);
            if behind.get(end).is_some_and(closes) {
                end + 1
            } else {
                0
            }
        }
        b']' | b'P' | b'_' | b'^' => {
            let within = &behind[..behind.len().min(LONGEST_STRING)];
            let end = within
                .iter()
                .position(|byte| matches!(byte, b'\x07' | b'\x1b' | b'\n'));
            match end.map(|end| (end, behind[end], behind.get(end + 1))) {
                Some((end, b'\x07', _)) => end + 1,
                Some((end, b'\x1b', Some(b'\\'))) => end + 2,
                _ => 0,
            }
        }
        b'(' | b')' if matches!(behind.get(1), Some(b'0' | b'A' | b'B')) => 2,
        b'7' | b'8' | b'=' | b'>' => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_ends_with_a_line_feed() {
        let check = |text: &str, expected: &str| {
            assert_eq!(decode(text.as_bytes()).unwrap(), expected, "{text:?}");
        };
        check("a\rb\r\rc\r", "a\nb\n\nc\n");
        check("a\r\nb\r\n", "a\r\nb\r\n");
        check("a\r\r\nb", "a\r\r\nb");
        check("# M\r\nü\rc\n\nd", "# M\r\nü\nc\n\nd");
        check("\r", "\n");
    }

    #[test]
    fn terminals_are_told_nothing() {
        let check = |text: &str, expected: &str| assert_eq!(without_escapes(text), expected);
        check("\x1b[31mERROR\x1b[0m disk\n", "ERROR disk\n");
        check("\x1b[1;38;5;208mü\x1b[m\x1b[K!", "ü!");
        check(
            "\x1b]8;;https://a.org/ü\x1b\\link\x1b]8;;\x07 \x1b(B",
            "link ",
        );
        check("\x1b[2 qx\x1b7", "x");
        // What is none stays.
        check("\x1b[[Larch]] \x1b", "\x1b[[Larch]] \x1b");
        check("\x1b]0;cut\nnext", "\x1b]0;cut\nnext");
        check("\x1b[ 12 apples \x1bnot", "\x1b[ 12 apples \x1bnot");
        check("[31m", "[31m");
    }

    #[test]
    fn encodings_are_told_apart() {
        let check = |bytes: &[u8], expected: &str| assert_eq!(decode(bytes).unwrap(), expected);
        check("grün".as_bytes(), "grün");
        check(b"\xef\xbb\xbfmark", "mark");
        check(
            b"Gr\xfc\xdfe aus K\xf6ln, sch\xf6ne T\xfcr",
            "Grüße aus Köln, schöne Tür",
        );
        check(b"\xff\xfeh\0i\0", "hi");
        check(b"h\0e\0l\0l\0o\0 \0y\0o\0u\0", "hello you");
        check(
            b"G\xc3\xa4rtnerei M\xfcller, B\xc3\xb6den, gr\xc3\xbcn, sch\xc3\xb6n",
            "Gärtnerei M\u{fffd}ller, Böden, grün, schön",
        );
        check(
            b"Gr\xc3\xb6\xc3\x9fe utf8 pratincole\nGr\xf6\xdfe der T\xfcr, sch\xf6n\n",
            "Größe utf8 pratincole\nGröße der Tür, schön\n",
        );
        let most = "Käse, Brötchen, Äpfel, grün, Müsli, Öl, Tür, Bär, Höhle, Bühne, Möwe, Gänse, Hühner, \
                    Körner, Rübe, Löwe\n";
        let both = [most.as_bytes(), b"Gr\xf6\xdfe der T\xfcr, sch\xf6n\n"].concat();
        check(&both, &format!("{most}Größe der Tür, schön\n"));
        let cut = "日本語のメモが途中で切れている".as_bytes();
        check(
            &cut[..cut.len() - 1],
            "日本語のメモが途中で切れてい\u{fffd}",
        );
        check(b"the end\0\0\0\0", "the end");
        check(b"a \x1b$BF|K\\\x1b(B b", "a 日本 b");
        check(b"\x1b[31m5\x1b[0m \x1b$B", "5 \x1b$B");
        assert!(decode(b"\x7fELF\0\0\0\x01").is_err());
        assert!(decode(&[1, 2, 3, 4, 5, 6, 7, 8]).is_err());
    }
}
