//! Signs that a Word document takes from a font of signs: which they are, by the code in that font.

/// The capitals of the font Symbol, in the places of A to Z.
const CAPITALS: &str = "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ";

/// Its small letters, in the places of a to z.
const SMALL: &str = "αβχδεφγηιϕκλμνοπθρστυϖωξψζ";

/// Other signs of it.
const SIGNS: [(u8, char); 37] = [
    (b'"', '∀'),
    (b'$', '∃'),
    (b'-', '−'),
    (b'@', '≅'),
    (0xa2, '′'),
    (0xa3, '≤'),
    (0xa5, '∞'),
    (0xab, '↔'),
    (0xac, '←'),
    (0xad, '↑'),
    (0xae, '→'),
    (0xaf, '↓'),
    (0xb0, '°'),
    (0xb1, '±'),
    (0xb2, '″'),
    (0xb3, '≥'),
    (0xb4, '×'),
    (0xb5, '∝'),
    (0xb6, '∂'),
    (0xb7, '•'),
    (0xb8, '÷'),
    (0xb9, '≠'),
    (0xba, '≡'),
    (0xbb, '≈'),
    (0xbc, '…'),
    (0xc6, '∅'),
    (0xc7, '∩'),
    (0xc8, '∪'),
    (0xce, '∈'),
    (0xd1, '∇'),
    (0xd5, '∏'),
    (0xd6, '√'),
    (0xd7, '⋅'),
    (0xdb, '⇔'),
    (0xde, '⇒'),
    (0xe5, '∑'),
    (0xf2, '∫'),
];

/// Boxes, marks and arrows of Wingdings.
const WINGDINGS: [(u8, char); 8] = [
    (0x6f, '☐'),
    (0xa8, '☐'),
    (0xe0, '→'),
    (0xe8, '→'),
    (0xfb, '✗'),
    (0xfc, '✓'),
    (0xfd, '☒'),
    (0xfe, '☑'),
];

/// The sign that a font shows at a code of hexadecimal digits, which may be one of those for private use.
/// `None` where it is not known.
pub(super) fn shown(font: &str, code: &str) -> Option<char> {
    let code = u32::from_str_radix(code, 16).ok()?;
    let place = u8::try_from(code.checked_sub(0xf000).unwrap_or(code));
    let of = |signs: &[(u8, char)], place: u8| {
        let known = signs.iter().find(|(at, _)| *at == place);
        known.map(|(_, sign)| *sign)
    };
    match (font, place) {
        ("Symbol", Ok(place @ b'A'..=b'Z')) => CAPITALS.chars().nth(usize::from(place - b'A')),
        ("Symbol", Ok(place @ b'a'..=b'z')) => SMALL.chars().nth(usize::from(place - b'a')),
        ("Symbol", Ok(place)) => {
            let plain = char::from(place);
            of(&SIGNS, place).or_else(|| plain.is_ascii_graphic().then_some(plain))
        }
        (font, Ok(place)) if font.starts_with("Wingdings") => {
            of(&WINGDINGS, place).filter(|_| font == "Wingdings")
        }
        _ => {
            let private = 0xe000..=0xf8ff;
            let sign = char::from_u32(code).filter(|sign| !sign.is_control());
            sign.filter(|_| !private.contains(&code))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_those_that_the_font_shows() {
        let check = |font: &str, code: &str, expected: Option<char>| {
            assert_eq!(shown(font, code), expected, "{font} {code}");
        };
        assert_eq!((CAPITALS.chars().count(), SMALL.chars().count()), (26, 26));
        check("Symbol", "F0B1", Some('±'));
        check("Symbol", "00B3", Some('≥'));
        check("Symbol", "F06D", Some('μ'));
        check("Symbol", "F044", Some('Δ'));
        check("Symbol", "F02B", Some('+'));
        check("Wingdings", "F0FE", Some('☑'));
        check("Wingdings", "F04A", None);
        check("Wingdings 2", "F0FE", None);
        check("Arial", "2265", Some('≥'));
        check("Arial", "E001", None);
        check("Symbol", "", None);
        check("Arial", "D800", None);
    }
}
