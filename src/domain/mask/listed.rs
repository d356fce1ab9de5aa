//! What the owner lists, found in whatever spelling it stands.
//!
//! Letters are compared without case, accents and width, without characters that nobody sees, and
//! across marks of Markdown, so that `**Quin**trell` is Quintrell. What is listed is found as the
//! beginning of a word, which is hidden whole; what has few letters only as a word, with its numbers
//! or its `s`. Words of scripts that set no spaces are found anywhere.

use std::ops::Range;

use unicode_normalization::char::is_combining_mark;

use super::super::gate::is_out_of_sight;
use super::super::words::{fold, is_unspaced};

/// Letters from which what is listed is found as the beginning of a word.
const LEAST_BEGINNING: usize = 4;

/// What may stand within a word to show a part of it in another way.
const MARKUP: [char; 6] = ['*', '_', '~', '`', '=', '\\'];

/// The list.
#[derive(Clone, Debug)]
pub(super) struct Listed(Vec<Phrase>);

#[derive(Clone, Debug)]
struct Phrase {
    letters: Vec<Letter>,
    clings: bool,
}

/// A letter or digit as it is compared.
#[derive(Clone, Debug)]
struct Letter {
    folded: char,
    /// Where it stands, with what else is folded into it.
    span: Range<usize>,
    /// Whether a word begins with it.
    begins: bool,
    /// Whether something stands between it and the letter before.
    apart: bool,
}

impl Listed {
    pub(super) fn new(private: &[String]) -> Self {
        let phrases = private.iter().map(|phrase| Phrase {
            letters: letters_of(phrase),
            clings: phrase.contains(clings),
        });
        Self(phrases.filter(|p| !p.letters.is_empty()).collect())
    }

    /// Where it stands in a text; some may overlap.
    pub(super) fn spans(&self, text: &str) -> Vec<Range<usize>> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let letters = letters_of(text);
        let mut spans = Vec::new();
        for phrase in &self.0 {
            for at in 0..letters.len() {
                if phrase.begins(&letters[at..]) {
                    let end = letters[at + phrase.letters.len() - 1].span.end;
                    spans.push(letters[at].span.start..end + phrase.rest(&text[end..]));
                }
            }
        }
        spans
    }
}

impl Phrase {
    /// Does a text of these letters begin with it?
    fn begins(&self, text: &[Letter]) -> bool {
        let count = self.letters.len();
        if text.len() < count || !(self.clings || text[0].begins) {
            return false;
        }
        let (said, rest) = text.split_at(count);
        let mut pairs = self.letters.iter().zip(said).enumerate();
        let same = pairs.all(|(n, (listed, said))| {
            let parted = n > 0 && said.apart && !listed.apart && !self.clings;
            listed.folded == said.folded && !parted
        });
        same && (self.clings || count >= LEAST_BEGINNING || is_ending(rest))
    }

    /// Bytes of the word that go on behind it. A digit behind a placeholder would be read as one of it.
    fn rest(&self, behind: &str) -> usize {
        let goes_on = |c: char| {
            let letter = if self.clings {
                c.is_ascii_digit()
            } else {
                c.is_alphanumeric() && !clings(c)
            };
            letter || is_combining_mark(c) || is_out_of_sight(c)
        };
        behind.find(|c| !goes_on(c)).unwrap_or(behind.len())
    }
}

/// Does a word end here, but for numbers or an `s`?
fn is_ending(rest: &[Letter]) -> bool {
    let mut rest = rest.iter().take_while(|letter| !letter.begins).peekable();
    rest.next_if(|letter| letter.folded == 's');
    rest.all(|letter| letter.folded.is_numeric())
}

fn letters_of(text: &str) -> Vec<Letter> {
    let mut letters = Vec::new();
    let (mut begins, mut apart) = (true, false);
    let mut before = None;
    for (at, c) in text.char_indices() {
        if is_out_of_sight(c) || !c.is_alphanumeric() && is_combining_mark(c) {
            continue;
        }
        if !c.is_alphanumeric() {
            begins = true;
            apart |= !MARKUP.contains(&c);
            continue;
        }
        begins |= before.is_some_and(|before| before != clings(c));
        before = Some(clings(c));
        let lower: String = c.to_lowercase().collect();
        for folded in fold(&lower).chars().flat_map(char::to_lowercase) {
            letters.push(Letter {
                folded,
                span: at..at + c.len_utf8(),
                begins: std::mem::take(&mut begins),
                apart: std::mem::take(&mut apart),
            });
        }
    }
    letters
}

/// Do words of this script stand next to others without a space, or have endings that cling to them?
fn clings(c: char) -> bool {
    is_unspaced(c) || matches!(c, '\u{1100}'..='\u{11FF}' | '\u{3130}'..='\u{318F}' | '가'..='힣')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_is_found_in_every_spelling() {
        let check = |listed: &str, text: &str, expected: &[&str]| {
            let spans = Listed::new(&[listed.to_owned()]).spans(text);
            let found: Vec<&str> = spans.into_iter().map(|span| &text[span]).collect();
            assert_eq!(found, expected, "{listed} in {text}");
        };
        let name = "lüdenscheidt";
        check(name, "in Lu\u{308}denscheidt.", &["Lu\u{308}denscheidt"]);
        check(name, "LUDENSCHEIDT", &["LUDENSCHEIDT"]);
        check("lu\u{308}denscheidt", "lüdenscheidts", &["lüdenscheidts"]);
        let name = "quintrell";
        for text in [
            "quintrell2",
            "Quintrells",
            "qu\u{ad}intrell",
            "quin\u{200b}trell",
            "quin\u{200d}trell\u{301}",
            "quin**trell",
            "quıntrell",
            "ｑｕｉｎｔｒｅｌｌ",
            "𝐐uintrell",
        ] {
            check(name, &format!("of {text}, or"), &[text]);
        }
        check(
            name,
            "**quin**trell, my_quintrell_2",
            &["quin**trell", "quintrell"],
        );
        check(name, "quin trell", &[]);
        check(name, "aquintrell", &[]);
        check("Straße", "in der STRASSE 7", &["STRASSE"]);
        check(
            "project falcon",
            "Project-Falcons, projectfalcon",
            &["Project-Falcons", "projectfalcon"],
        );
        check(
            "ann",
            "ann, ann2, anns, ann's, anna",
            &["ann", "ann2", "anns", "ann"],
        );
        check("al", "also AL", &["AL"]);
    }
}
