//! The encoding of a page: the declared one is believed only when the bytes agree.

use encoding_rs::{Encoding, ISO_2022_JP, UTF_8, WINDOWS_1252};

use crate::extract::{Skip, text};

/// The text of a page. A byte order mark wins; then UTF-8 that is valid; then what the page
/// declares, unless the bytes clearly are something else.
///
/// # Errors
/// [`Skip`] for what is not text.
pub(in crate::extract) fn decode(bytes: &[u8]) -> Result<String, Skip> {
    let marked = Encoding::for_bom(bytes).is_some() || bytes.contains(&0);
    if !marked && is_iso_2022_jp(bytes) {
        let (decoded, _) = ISO_2022_JP.decode_without_bom_handling(bytes);
        return text::checked(decoded.into_owned());
    }
    if marked || std::str::from_utf8(bytes).is_ok() {
        return text::decode(bytes);
    }
    let guessed = text::guess(bytes);
    let encoding = match declared(bytes) {
        // Pages that declare the Western encoding often mean "I did not think about it"; those that
        // declare one whose letters are other bytes could not be read that far.
        Some(declared)
            if ![UTF_8, WINDOWS_1252].contains(&declared) && declared.is_ascii_compatible() =>
        {
            declared
        }
        _ => guessed,
    };
    let (decoded, malformed) = encoding.decode_without_bom_handling(bytes);
    let decoded = if malformed && encoding != guessed {
        guessed.decode_without_bom_handling(bytes).0
    } else {
        decoded
    };
    text::checked(decoded.into_owned())
}

/// Does a page declare the one encoding of Japanese whose bytes are all ASCII, and switch to it? One
/// damaged place in it, and it is nothing that could be guessed.
fn is_iso_2022_jp(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|two| two == b"\x1b$") && declared(bytes) == Some(ISO_2022_JP)
}

/// The encoding that a page names in its first 64 KiB.
pub(in crate::extract) fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(64 << 10)]).to_ascii_lowercase();
    let key = ["charset=", "encoding="];
    let at = key
        .iter()
        .filter_map(|k| head.find(k).map(|at| at + k.len()))
        .min()?;
    let label = head[at..].trim_start_matches(['"', '\'', ' ']);
    let end = label.find(|c: char| !(c.is_alphanumeric() || "-_:.".contains(c)))?;
    Encoding::for_label(&label.as_bytes()[..end])
}

#[cfg(test)]
mod tests {
    use super::super::extract;
    use super::*;

    #[test]
    fn a_wrong_declaration_is_not_believed() {
        let (cyrillic, _, _) = encoding_rs::WINDOWS_1251.encode(
            "<meta charset=utf-8><p>Съешь ещё этих мягких французских булок да выпей чаю</p>",
        );
        assert!(decode(&cyrillic).unwrap().contains("французских"));
        let (declared, _, _) = encoding_rs::KOI8_R.encode("<meta charset='koi8-r'><p>Да</p>");
        assert!(decode(&declared).unwrap().contains("Да"));
        // So it was read in pairs, each a sign of Chinese.
        let wide = b"<meta charset=utf-16><p>Gr\xfcn aus K\xf6ln, sch\xf6ne T\xfcr.</p>";
        assert!(decode(wide).unwrap().contains("Grün aus Köln"));
    }

    #[test]
    fn a_page_whose_bytes_are_all_ascii_may_be_japanese() {
        let page = b"<meta charset=iso-2022-jp><p>\x1b$BF|K\\\x1b(B</p>";
        assert_eq!(extract(page, 1 << 20).unwrap().outline.text, "日本\n");
        let damaged =
            b"<meta charset=iso-2022-jp><p>\x1b$BF|K\\\x1b(B \xa0 \x1b$BF|\xff\x1b(B.</p>";
        let text = decode(damaged).unwrap();
        assert!(text.contains("日本") && !text.contains("$B"), "{text}");
    }
}
