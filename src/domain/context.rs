//! From hits to a prompt, and from an answer back to its evidence.
//!
//! The choice of evidence, and the string tests that need no model: numbers, dates and names of an
//! answer must occur in what it cites. Which sentences fit a question is told by `chosen`, how much of
//! it texts hold by `coverage`, what is a name by `names`, and what supports a claim by `support`.
//! Works on text alone; which model reads the prompt is not known here. What is denied is told by
//! `denial`, what a number is by `figure`.

mod chosen;
mod coverage;
mod names;
mod support;

use std::collections::{HashMap, HashSet};

use unicode_segmentation::UnicodeSegmentation;

pub use super::denial::is_denial;
use super::figure::number_words;
pub use super::figure::numbers;
use super::forms;
use super::language::{STOP_WORDS, is_unspaced_stop_word};
use super::sentence::is_capital;
use super::text::Text;
use super::words::{as_read, fold, is_unspaced, pieces};

pub use self::chosen::{Chosen, Portion, best_sentences, rank_sentences};
pub use self::coverage::{
    coverage, holds_more, is_labelled_for, lacking, lacks_what_is_asked, subject_coverage,
};
pub use self::names::{is_name_in, missing_names, names_another};
pub(super) use self::names::{names, not_named};
pub use self::support::{
    Support, says_more, support, supported_part, tells_frequency, tells_number, unheld,
};

/// A passage that may serve as evidence.
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    /// Its text.
    pub text: Text<'a>,
    /// The words around it that help to understand it: title and headings.
    pub about: &'a str,
    /// The retrieval score, 0..1.
    pub score: f32,
}

/// The words of a text that carry meaning: lower case, without stop words. Where no spaces stand
/// between words, those that a dictionary knows.
pub fn content_words(text: &str) -> Vec<String> {
    let text = &*as_read(text);
    let mut words = Vec::new();
    let mut unspaced = 0..0;
    for (at, word) in text.unicode_word_indices() {
        if at < unspaced.end {
            continue;
        }
        if word.starts_with(is_unspaced) {
            let run = text[at..].find(|c| !is_unspaced(c));
            unspaced = at..run.map_or(text.len(), |run| at + run);
            let run = &text[unspaced.clone()];
            // What stands in hiragana between other signs holds them together, most often.
            let mixed = !run.chars().all(is_hiragana);
            let holds = |word: &&str| mixed && word.chars().all(is_hiragana);
            let pieces = pieces(run).filter(|word| !holds(word) && !is_unspaced_stop_word(word));
            words.extend(pieces.map(str::to_owned));
            continue;
        }
        let lower = word.to_lowercase();
        if !STOP_WORDS.contains(&lower.as_str()) || is_letter(text, at, word) {
            words.push(lower);
        }
    }
    words
}

fn is_hiragana(c: char) -> bool {
    ('\u{3041}'..='\u{309f}').contains(&c)
}

/// Is a word, which begins at `at`, a letter that names something, as in "vitamin A"? One that opens
/// a sentence may be an article, and "I" is a person.
fn is_letter(text: &str, at: usize, word: &str) -> bool {
    let loud = !text.contains(char::is_lowercase);
    let single = word.len() == 1 && is_capital(word) && word != "I" && !loud;
    let before = text[..at].trim_end();
    single && before.ends_with(|c: char| c.is_alphanumeric() || ",'’".contains(c))
}

/// Do two lower-case words say the same, up to an ending, or are they forms of one word? Works
/// without knowing the language.
pub(super) fn same_word(a: &str, b: &str) -> bool {
    let of_one = || match (forms::base(a), forms::base(b)) {
        (None, None) => false,
        (of_a, of_b) => same_ending(of_a.unwrap_or(a), of_b.unwrap_or(b)),
    };
    a == b || same_ending(a, b) || of_one()
}

/// The same, by the letters alone.
fn same_ending(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    let digits = |w: &str| w.chars().any(|c| c.is_ascii_digit());
    if digits(a) || digits(b) {
        return false;
    }
    let common = a.chars().zip(b.chars()).take_while(|(x, y)| x == y).count();
    let (la, lb) = (a.chars().count(), b.chars().count());
    let (short, long) = (la.min(lb), la.max(lb));
    let ending = common == short && short >= 3 && long - short <= 2;
    // "Interest" is not "internet".
    let beginning = common >= 5 && long - common <= 3 && short - common <= 2;
    let more = if la < lb { b } else { a };
    let is_form = |ending: &str| {
        let stem: Vec<char> = more.strip_suffix(ending).unwrap_or("").chars().collect();
        // "Run", "running".
        let doubled = stem.len() == short + 1 && stem[short] == stem[short - 1];
        stem.len() == short || doubled
    };
    let form = common == short && short >= 3 && FORMS.iter().any(|ending| is_form(ending));
    ending || beginning || form
}

/// Endings of three letters and more that make another form of a word: "pack", "packing".
const FORMS: [&str; 5] = ["ing", "ings", "ers", "ern", "enden"];

/// The words of a text without their accents, indexed so that [`same_word`] is asked of few of them.
#[derive(Debug, Default)]
struct Words(HashMap<String, Vec<String>>);

impl Words {
    fn of(text: &str) -> Self {
        let mut words: HashMap<String, Vec<String>> = HashMap::new();
        for word in content_words(text) {
            let word = fold(&word);
            // "vim.opt.tabstop" is found by "tabstop".
            let parts = word.split('.').filter(|part| {
                part.len() > 2
                    && part.len() < word.len()
                    && !part.contains(|c: char| c.is_numeric())
            });
            let base = forms::base(&word);
            for word in std::iter::once(word.as_str()).chain(parts).chain(base) {
                let bucket = words.entry(stem_key(word)).or_default();
                if !bucket.iter().any(|known| known == word) {
                    bucket.push(word.to_owned());
                }
            }
        }
        for pair in unspaced_pairs(text) {
            words.entry(pair.clone()).or_default().push(pair);
        }
        Self(words)
    }

    fn has_pairs(&self, word: &str) -> bool {
        let mut pairs = unspaced_pairs(word).peekable();
        pairs.peek().is_some() && pairs.all(|pair| self.0.contains_key(&pair))
    }

    /// Is the word there? Dictionaries cut the same word now so, now so: one without spaces is where
    /// all pairs of its characters are.
    fn has(&self, word: &str) -> bool {
        if word.starts_with(is_unspaced) && self.has_pairs(word) {
            return true;
        }
        let word = fold(word);
        let among = |word: &str| {
            let bucket = self.0.get(&stem_key(word));
            bucket.is_some_and(|bucket| bucket.iter().any(|other| same_word(word, other)))
        };
        among(&word) || forms::base(&word).is_some_and(among)
    }

    /// Is a word there that is made of this one, or that it is made of, as German makes words: the
    /// Kaltmiete is a Miete?
    fn has_compound(&self, word: &str) -> bool {
        const LEAST: usize = 5;
        let word = fold(word);
        let length = |word: &str| word.chars().count();
        let made_of = |whole: &str, part: &str| {
            let ends = whole.ends_with(part);
            let begins = whole.starts_with(part) && length(part) > LEAST;
            length(part) >= LEAST && length(whole) >= length(part) + 3 && (ends || begins)
        };
        let mut others = self.0.values().flatten();
        others.any(|other| made_of(other, &word) || made_of(&word, other))
    }
}

/// Neighbours among the characters of scripts without spaces.
fn unspaced_pairs(text: &str) -> impl Iterator<Item = String> {
    let next = text.chars().skip(1);
    let pairs = text.chars().zip(next);
    let unspaced = pairs.filter(|(a, b)| is_unspaced(*a) && is_unspaced(*b));
    unspaced.map(|(a, b)| String::from_iter([a, b]))
}

fn stem_key(word: &str) -> String {
    word.chars().take(3).collect()
}

/// Do two sentences say the same in nearly the same words, figures aside? "The rent is 1,150 euros."
pub fn is_variant(one: &str, other: &str) -> bool {
    let worded = |text: &str| -> Vec<String> {
        let counts: Vec<String> = number_words(text)
            .into_iter()
            .map(|(word, _)| word)
            .collect();
        let mut words = content_words(text);
        words.retain(|word| numbers(word).is_empty() && !counts.contains(word));
        words
    };
    let (one, other) = (worded(one), worded(other));
    let is_there = |word: &&String| other.iter().any(|own| same_word(word, own));
    let same = one.iter().filter(is_there).count();
    same > 0 && one.len().max(other.len()) <= 2 * same
}

fn words_in_lower_case(text: &str) -> HashSet<String> {
    as_read(text)
        .unicode_words()
        .map(str::to_lowercase)
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of words are small")]
fn ratio(part: usize, whole: usize) -> f32 {
    part as f32 / whole.max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_name_something_are_words() {
        let check = |text: &str, expected: &[&str]| assert_eq!(content_words(text), expected);
        check(
            "The blood type is A positive.",
            &["blood", "type", "a", "positive"],
        );
        check("A shed. A door.", &["shed", "door"]);
        check("- A shed", &["shed"]);
        check("Anna and I have a shed", &["anna", "shed"]);
        check("Kessel\u{ad}druck", &["kesseldruck"]);
    }

    pub(super) fn evidence<'a>(texts: &[&'a str]) -> Vec<Evidence<'a>> {
        let passage = |text: &&'a str| Evidence {
            text: (*text).into(),
            about: "",
            score: 1.0,
        };
        texts.iter().map(passage).collect()
    }

    #[test]
    fn words_are_the_same_up_to_endings() {
        let check = |a: &str, b: &str, expected: bool| {
            assert_eq!(same_word(a, b), expected, "{a} {b}");
            assert_eq!(same_word(b, a), expected, "{b} {a}");
        };
        check("pack", "packing", true);
        check("work", "working", true);
        check("own", "owner", true);
        check("run", "running", true);
        check("serviced", "servicing", true);
        check("tomate", "tomaten", true);
        check("interest", "internet", false);
        check("busy", "business", false);
        check("e17", "e18", false);
        check("lock", "block", false);
    }
}
