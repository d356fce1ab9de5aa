//! How Outlook packs the rich text of a message (MS-OXRTFCP): what was there before is referred to, and
//! a beginning that all such texts share counts as being there before the first byte.
//!
//! What breaks off is unpacked as far as it goes. The checksum is not looked at: a text with a wrong
//! letter says more than none.

use super::Skip;
use super::office::unpack_limit;

/// What is there before the first byte.
const BEGINNING: &[u8] = b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \
    \\fmodern \\fscript \\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\
    \\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx";

/// So far back may be referred to, in bytes.
const FURTHEST: usize = 4096;

/// The rich text of a message whose text may have at most `limit` bytes.
///
/// # Errors
/// [`Skip`] for what is not packed so, and for too much.
pub(super) fn unpacked(packed: &[u8], limit: usize) -> Result<Vec<u8>, Skip> {
    let head = packed.get(8..12).unwrap_or_default();
    let body = packed.get(16..).unwrap_or_default();
    match head {
        b"LZFu" => unpacked_body(body, limit),
        b"MELA" => Ok(body.to_vec()),
        _ => Err(Skip("broken: its text is packed in no known way".into())),
    }
}

fn unpacked_body(body: &[u8], limit: usize) -> Result<Vec<u8>, Skip> {
    let most = unpack_limit(limit);
    let mut text = BEGINNING.to_vec();
    let mut bytes = body.iter().copied();
    'all: while let Some(marks) = bytes.next() {
        for mark in 0..8 {
            if (marks >> mark) & 1 == 0 {
                let Some(byte) = bytes.next() else {
                    break 'all;
                };
                text.push(byte);
                continue;
            }
            let (Some(high), Some(low)) = (bytes.next(), bytes.next()) else {
                break 'all;
            };
            // Places are counted on from the first byte, and from 0 again behind the last one.
            let place = (usize::from(high) << 4) | usize::from(low >> 4);
            let back = (text.len() + FURTHEST - place) % FURTHEST;
            // The end refers to what is not there yet.
            let Some(from) = text.len().checked_sub(back).filter(|_| back > 0) else {
                break 'all;
            };
            for at in from..from + usize::from(low & 15) + 2 {
                text.push(text[at]);
            }
        }
        if text.len() as u64 > most {
            return Err(Skip::too_much(limit));
        }
    }
    Ok(text.split_off(BEGINNING.len()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The first example of the specification.
    pub(in crate::extract) const HELLO: &[u8] =
        b"\x2d\0\0\0\x2b\0\0\0LZFu\xf1\xc5\xc7\xa7\x03\0\x0a\0rcpg125\x42\x32\x0a\xf3\x20hel\
          \x09\0\x20bw\x05\xb0ld}\x0a\x80\x0f\xa0";

    #[test]
    fn the_examples_of_the_specification_are_read() {
        let check = |packed: &[u8], expected: &str| {
            let found = unpacked(packed, 1 << 20).unwrap();
            assert_eq!(String::from_utf8_lossy(&found), expected);
        };
        check(HELLO, "{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n");
        check(
            b"\x1a\0\0\0\x1c\0\0\0LZFu\xe2\xd4\x4b\x51\x41\0\x04\x20WXYZ\x0dn}\x01\x0e\xb0",
            "{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}",
        );
        check(b"\0\0\0\0\0\0\0\0MELA\0\0\0\0{\\rtf1 a}", "{\\rtf1 a}");
        check(
            &HELLO[..HELLO.len() - 12],
            "{\\rtf1\\ansi\\ansicpg1252\\pard hello",
        );
    }

    #[test]
    fn what_is_broken_or_too_much_is_refused() {
        assert!(unpacked(b"", 1 << 20).is_err());
        assert!(unpacked(&[0; 20], 1 << 20).is_err());
        let many = [vec![0xff], [0, 0x0f].repeat(8)].concat().repeat(100);
        let packed = [b"\0\0\0\0\0\0\0\0LZFu\0\0\0\0".to_vec(), many].concat();
        assert_eq!(unpacked(&packed, 1000).unwrap_err(), Skip::too_much(1000));
    }
}
