//! Text in any encoding.

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};

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
    if let Ok(text) = std::str::from_utf8(bytes) {
        return checked(text.to_owned());
    }
    if is_nearly_utf_8(bytes) {
        return checked(String::from_utf8_lossy(bytes).into_owned());
    }
    let (text, _) = guess(bytes).decode_without_bom_handling(bytes);
    checked(text.into_owned())
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

/// Refuses what decodes to something that nobody reads.
///
/// # Errors
/// [`Skip`].
pub(super) fn checked(text: String) -> Result<String, Skip> {
    if text.contains('\0') {
        return Err(Skip("binary: it holds NUL bytes, text does not".into()));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let cut = "日本語のメモが途中で切れている".as_bytes();
        check(
            &cut[..cut.len() - 1],
            "日本語のメモが途中で切れてい\u{fffd}",
        );
        check(b"the end\0\0\0\0", "the end");
        assert!(decode(b"\x7fELF\0\0\0\x01").is_err());
        assert!(decode(&[1, 2, 3, 4, 5, 6, 7, 8]).is_err());
    }
}
