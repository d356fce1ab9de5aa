//! What is raised above a line: powers, and the marks of notes; and links that say they lead to one.
//!
//! It is told from the digits before it: `10^3`, `[1]`.

use dom_query::NodeRef;

use super::short_text;
use crate::domain::words::is_unspaced;

/// Nodes and bytes of what is raised above a line, at most.
pub(super) const RAISED: (usize, usize) = (32, 24);

/// What a raised text is written as behind `line`: a power, `^3`, or the mark of a note, `[1]`. `None`
/// for what reads well as it is, such as the end of "5th".
pub(super) fn raised(node: &NodeRef<'_>, line: &str) -> Option<String> {
    let said = short_text(node, RAISED.0, RAISED.1)?;
    let is_number = said.bytes().all(|byte| byte.is_ascii_digit()) && !said.is_empty();
    let behind = Behind::of(line);
    match links_of(node, &said) {
        Links::ToNote => return note_marks(&said),
        Links::Elsewhere if behind != Behind::Unit => return note_marks(&said),
        _ => {}
    }
    // "3<sup>1</sup>⁄<sub>2</sub>" is three and a half.
    let fraction = node.next_sibling().filter(NodeRef::is_text);
    if fraction.is_some_and(|next| next.text().starts_with('⁄')) {
        return Some(format!(" {said}"));
    }
    match behind {
        Behind::Number | Behind::Unit if is_power(&said) => Some(format!("^{said}")),
        Behind::Word if is_number && said.len() <= 3 => note_marks(&said),
        _ => None,
    }
}

/// What a line ends with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    /// A digit, or a parenthesis.
    Number,
    /// Letters that may be a unit or a sign.
    Unit,
    /// A word, or a mark behind one.
    Word,
    Other,
}

impl Behind {
    fn of(line: &str) -> Self {
        /// Letters of a sign for a unit, at most.
        const SIGN: usize = 3;
        const WRITTEN_OUT: [&str; 13] = [
            "metre", "metres", "meter", "meters", "mile", "miles", "foot", "feet", "inch",
            "inches", "yard", "yards", "zoll",
        ];
        let Some(last) = line.chars().next_back() else {
            return Self::Other;
        };
        if last.is_ascii_digit() || matches!(last, ')' | ']') {
            return Self::Number;
        }
        if last.is_alphabetic() {
            let rest = line.trim_end_matches(char::is_alphabetic);
            let word = &line[rest.len()..];
            let is_unit = word.chars().nth(SIGN).is_none() && !word.contains(is_unspaced);
            let written_out = WRITTEN_OUT.contains(&word.to_lowercase().as_str());
            return if is_unit || written_out {
                Self::Unit
            } else {
                Self::Word
            };
        }
        let stops = ".,;:!?…%\"'”’»。、";
        if stops.contains(last) {
            Self::Word
        } else {
            Self::Other
        }
    }
}

/// Where the links of a raised text lead.
enum Links {
    None,
    /// To a place of a page.
    ToNote,
    Elsewhere,
}

fn links_of(node: &NodeRef<'_>, said: &str) -> Links {
    let of_one = |node: &NodeRef<'_>| {
        let target = node.attr("href").filter(|_| node.has_name("a"))?;
        Some(target.contains('#'))
    };
    // The mark alone may be raised within its link.
    let around = node.parent().filter(|parent| {
        let same = || short_text(parent, RAISED.0, RAISED.1);
        of_one(parent) == Some(true) && same().as_deref() == Some(said)
    });
    if around.is_some() {
        return Links::ToNote;
    }
    let mut links = node.descendants_it().filter_map(|inner| of_one(&inner));
    match links.next() {
        Some(true) => Links::ToNote,
        Some(false) => Links::Elsewhere,
        None => Links::None,
    }
}

/// A whole number or a decimal, perhaps with its sign.
fn is_power(said: &str) -> bool {
    let digits = said.trim_start_matches(['-', '−', '–', '+']);
    let parts = || digits.split(['.', ',', '/']);
    parts().count() <= 2
        && parts().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The marks of notes as sentences are told to end before them: `[1][2]`, `[^a]`. `None` for what is
/// no name of a note, or has its brackets.
pub(super) fn note_marks(said: &str) -> Option<String> {
    let bare = said
        .strip_prefix('(')
        .and_then(|said| said.strip_suffix(')'));
    let mut marks = String::new();
    for name in bare.unwrap_or(said).split([',', ';', ' ']) {
        let name = name.replace('–', "-");
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if name.is_empty() {
            continue;
        }
        if name.len() > 6 || !name.chars().all(is_name) {
            return None;
        }
        let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
        marks.push_str(if is_number { "[" } else { "[^" });
        marks.push_str(&name);
        marks.push(']');
    }
    (!marks.is_empty()).then_some(marks)
}

/// Does a link say that it leads to a note (of books, and of what Pandoc writes)?
pub(super) fn is_note_link(node: &NodeRef<'_>) -> bool {
    let has = |name: &str, value: &str| {
        let said = node.attr_or(name, "");
        said.split_whitespace().any(|one| one == value)
    };
    has("role", "doc-noteref") || has("epub:type", "noteref")
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn what_is_raised_is_no_part_of_the_number_before_it() {
        let check = |html: &str, expected: &str| check(html, &format!("{expected}\n"));
        check(
            "<p>5×10<sup>3</sup> kg, 20 m<sup>2</sup>.</p>",
            "5×10^3 kg, 20 m^2.",
        );
        check(
            "<p>E=(mc)<sup>2</sup> at 10<sup>−3</sup> s</p>",
            "E=(mc)^2 at 10^−3 s",
        );
        check(
            "<p>317 metres deep.<sup>1</sup> So.</p>",
            "317 metres deep.[1] So.",
        );
        check(
            "<p>Many lakes<sup>2</sup> of 9 miles<sup>2</sup></p>",
            "Many lakes[2] of 9 miles^2",
        );
        check(
            "<p>In 1988<sup><a href='#n2'>2</a></sup> and 1989<a href='#a'><sup>a</sup></a>.</p>",
            "In 1988[2] and 1989[^a].",
        );
        check("<p>so<sup><a href='#x'>1, 2</a></sup></p>", "so[1][2]");
        check(
            "<p>9 <a href='/km'>km<sup>2</sup></a> wide</p>",
            "9 km^2 wide",
        );
        check(
            "<p>lamps<sup>[3]</sup>, the 5<sup>th</sup></p>",
            "lamps[3], the 5th",
        );
        check("<p>H<sub>2</sub>O, <sup>14</sup>C</p>", "H2O, 14C");
        check("<p>3<sup>1</sup>⁄<sub>2</sub> m</p>", "3 1⁄2 m");
        check(
            "<p>deep.<a role='doc-noteref' href='#1'>1</a></p>",
            "deep.[1]",
        );
    }
}
