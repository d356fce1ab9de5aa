//! The names in a text, as far as capitals tell, and those that no other text holds.

use std::collections::HashSet;
use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use super::words_in_lower_case;
use crate::domain::figure::calendar_words;
use crate::domain::forms;
use crate::domain::language::STOP_WORDS;
use crate::domain::question::core;
use crate::domain::sentence::{is_capital, is_german, sentences};
use crate::domain::words::{as_read, fold};

/// Names in a question that none of the texts holds, in lower case, where these are at least half of
/// its names. Empty where capitals say nothing, as in German and in headlines.
///
/// A question with many names is often answered by what several notes hold together, and one of its
/// names may be written otherwise. Of 754 questions of hotpotqa, all of which can be answered, this
/// refuses 4 in 100 with the best five passages by BM25; for any missing name it would be 11.
pub fn missing_names(question: &str, texts: &[&str]) -> Vec<String> {
    let question = core(question);
    let missing = not_named(question, texts);
    let most = 2 * missing.len() >= names(question).len();
    if most { missing } else { Vec::new() }
}

/// Names that a question asks about and none of the texts holds, in lower case. Where names have
/// endings, one with the same stem will do: less is refused, and no claim rests on it.
pub(in crate::domain) fn not_named(question: &str, texts: &[&str]) -> Vec<String> {
    let mut missing = unnamed(question, texts);
    if missing.is_empty() {
        return missing;
    }
    let held = Names::of(texts.iter().copied());
    let inflected = is_inflected(question);
    missing.retain(|name| {
        let other_form = inflected && held.has_stem(name);
        !other_form && !is_of_people(name, texts)
    });
    missing
}

/// Do texts name the country, its people or its language, where a name in lower case is one of these?
fn is_of_people(name: &str, texts: &[&str]) -> bool {
    let country = |word: &str| forms::country(word).unwrap_or(word).to_owned();
    let named = country(name);
    let is_people = |word: &str| {
        let lower = word.to_lowercase();
        country(&lower) == named && is_capital(word)
    };
    let mut words = texts.iter().flat_map(|text| text.unicode_words());
    words.any(is_people)
}

/// Names of a text that none of the texts holds, in lower case.
pub(super) fn unnamed(text: &str, texts: &[&str]) -> Vec<String> {
    let names = names(text);
    if names.is_empty() {
        return Vec::new();
    }
    let held = Names::of(texts.iter().copied());
    let names = names.into_iter().filter(|name| !held.has(name));
    names.map(str::to_lowercase).collect()
}

/// The names in a text: words that begin with a capital, but not at the beginning of a sentence, and
/// are no abbreviation, no month and no day of the week. None where capitals say nothing.
pub(in crate::domain) fn names(text: &str) -> Vec<&str> {
    let worded = |word: &&str| word.chars().any(char::is_alphabetic);
    let headline = || text.unicode_words().filter(worded).all(is_capital);
    if is_german(text) || headline() {
        return Vec::new();
    }
    capitals(text)
}

/// Does a text name somebody or something that a question does not? It may open with the name.
pub fn names_another(question: &str, text: &str) -> bool {
    let known = words_in_lower_case(question);
    let is_new = |word: &str| {
        let lower = word.to_lowercase();
        is_capital(word) && !STOP_WORDS.contains(&lower.as_str()) && !known.contains(&lower)
    };
    is_german(text) || text.unicode_words().any(is_new)
}

/// Is a lower-case word that is a small one elsewhere a name in a text: Will, where "will" is asked about?
/// It has a capital within a sentence, or opens one before another name or a verb. What stands for somebody
/// is none.
pub fn is_name_in(word: &str, text: &str) -> bool {
    const STANDING: [&str; 27] = [
        "i", "you", "he", "she", "it", "we", "they", "me", "him", "her", "us", "them", "this",
        "that", "these", "those", "there", "who", "whom", "ich", "du", "er", "sie", "es", "wir",
        "ihr", "das",
    ];
    const VERBS: [&str; 9] = [
        "is", "was", "has", "lives", "works", "and", "ist", "war", "hat",
    ];
    if STANDING.contains(&word) {
        return false;
    }
    let is_it = |own: &str| {
        let written_out = own.chars().any(char::is_lowercase);
        is_capital(own) && written_out && own.to_lowercase() == word
    };
    sentences(text).into_iter().any(|span| {
        let words: Vec<&str> = text[span].unicode_words().collect();
        let headline = words.iter().all(|word| is_capital(word));
        let opens = match words.as_slice() {
            [first, next, ..] => is_it(first) && (is_capital(next) || VERBS.contains(next)),
            _ => false,
        };
        opens || !headline && words.iter().skip(1).any(|word| is_it(word))
    })
}

/// Words with a capital, but for those that open a sentence, abbreviations, months and weekdays.
pub(super) fn capitals(text: &str) -> Vec<&str> {
    // "I'm" is no name.
    let is_stop = |word: &str| {
        let lower = word.to_lowercase().replace('’', "'");
        STOP_WORDS.contains(&lower.split('\'').next().unwrap_or(""))
    };
    let calendar = calendar_words(text);
    let dated = |word: &str| {
        let lower = word.to_lowercase();
        calendar.iter().any(|(word, _)| *word == lower)
    };
    let wanted = |word: &&str| {
        let written_out = word.chars().any(char::is_lowercase);
        let title = TITLES.contains(&word.to_lowercase().as_str());
        is_capital(word) && written_out && !title && !is_stop(word) && !dated(word)
    };
    let sentences = sentences(text).into_iter().map(|span| &text[span]);
    sentences
        .flat_map(|sentence| whole_words(sentence).into_iter().skip(1).filter(wanted))
        .collect()
}

/// What people are called by before their names; notes often leave it out.
const TITLES: [&str; 18] = [
    "mr",
    "mrs",
    "ms",
    "miss",
    "dr",
    "prof",
    "professor",
    "doctor",
    "sir",
    "madam",
    "aunt",
    "uncle",
    "herr",
    "frau",
    "señor",
    "señora",
    "monsieur",
    "madame",
];

/// The words of a text; those that hyphens join are one.
fn whole_words(text: &str) -> Vec<&str> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, word) in text.unicode_word_indices() {
        let end = at + word.len();
        match found.last_mut() {
            Some(last) if ["-", "‐", "‑"].contains(&&text[last.end..at]) => last.end = end,
            _ => found.push(at..end),
        }
    }
    found.into_iter().map(|span| &text[span]).collect()
}

/// The words of texts, for names: as they are, but for case, accents, hyphens and the endings of a
/// possessive or a plural. Christian is not Christina.
pub(super) struct Names(HashSet<String>);

impl Names {
    pub(super) fn of<'a>(texts: impl Iterator<Item = &'a str> + Clone) -> Self {
        let parts = texts.clone().flat_map(str::unicode_words);
        let words = texts.flat_map(whole_words);
        Self(words.chain(parts).map(name_key).collect())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        let mut parts = name.unicode_words();
        self.0.contains(&name_key(name)) || parts.all(|part| self.0.contains(&name_key(part)))
    }

    /// Is there a word with this stem? Where names have endings, Anna's birthday is that of "Anny".
    fn has_stem(&self, name: &str) -> bool {
        let name: Vec<char> = name_key(name).chars().collect();
        self.0.iter().any(|word| {
            let word: Vec<char> = word.chars().collect();
            let shorter = name.len().min(word.len());
            let same = name.iter().zip(&word).take_while(|(a, b)| a == b).count();
            same >= shorter.saturating_sub(2).max(3) && name.len().abs_diff(word.len()) <= 3
        })
    }
}

/// May names have endings here? Not in English, French and Spanish, which are known by their small
/// words; that German is another matter is known before.
fn is_inflected(text: &str) -> bool {
    const SMALL: [&str; 48] = [
        "the", "a", "an", "of", "is", "are", "was", "were", "did", "does", "do", "has", "have",
        "what", "who", "when", "where", "which", "how", "why", "my", "our", "in", "on", "at", "to",
        "and", "for", "from", "with", "by", "le", "la", "les", "des", "du", "est", "qui", "quand",
        "où", "el", "los", "las", "es", "qué", "cuándo", "dónde", "quién",
    ];
    let lower = text.to_lowercase();
    !lower.unicode_words().any(|word| SMALL.contains(&word))
}

pub(super) fn name_key(word: &str) -> String {
    let lower = fold(&as_read(word).to_lowercase().replace('’', "'"));
    let lower = lower.replace(['-', '‐', '‑'], "");
    let bare = lower.strip_suffix("'s").unwrap_or(&lower);
    let long = bare.chars().count() > 3;
    bare.strip_suffix('s')
        .filter(|_| long)
        .unwrap_or(bare)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_word_may_be_a_name() {
        let check = |word: &str, text: &str, expected: bool| {
            assert_eq!(is_name_in(word, text), expected, "{word}: {text}");
        };
        check("will", "Will Carter is our plumber.", true);
        check("will", "Will is our plumber.", true);
        check("will", "The tap drips. Please ask Will.", true);
        check("will", "Will you come? The tap will drip.", false);
        check("will", "Grandmother left a will.", false);
        check("you", "Thank You cards are in the drawer.", false);
        check("who", "The World Health Organization is the WHO.", false);
    }

    #[test]
    fn names_that_are_nowhere_are_noticed() {
        let texts = ["The train to Vienna leaves Zürich at noon, with Christian's bike."];
        let check = |question: &str, expected: &[&str]| {
            assert_eq!(missing_names(question, &texts), expected, "{question}");
        };
        check("When does the ferry to Corsica leave?", &["corsica"]);
        check("When does the train to Vienna leave?", &[]);
        check("Wann fährt der Zug nach Korsika?", &[]);
        check("Was kostet die Fahrt Korsika hin?", &[]);
        check("Train To Corsica", &[]);
        check("train to Corsica", &["corsica"]);
        check("Who is Dragan?", &["dragan"]);
        check("When does the train leave Zurich?", &[]);
        check("Where is Christian?", &[]);
        check("Where is Vienna's train?", &[]);
        check("Where is Christina?", &["christina"]);
        check("Where in July is the train?", &[]);
        check("Did Christian see Vienna and Corsica?", &[]);
        check("Is it true that During the day a train leaves?", &[]);
        check("Did Anna die in Corsica?", &["anna", "corsica"]);
        check("How was Anna to die?", &["anna"]);
        check("The train left. Does another one leave?", &[]);
        // A title is no name, a hyphen no difference, and some names have endings.
        let texts = ["Milan Novak, phone 0151 234. The WiFi password is heron. Urodziny Anny."];
        let check = |question: &str, expected: &[&str]| {
            assert_eq!(missing_names(question, &texts), expected, "{question}");
        };
        check("What is Mr. Novak's phone number?", &[]);
        check("What is the Wi-Fi password?", &[]);
        check("What is the Li-Fi password?", &["li-fi"]);
        check("Kiedy są urodziny Anna?", &[]);
        check("Kiedy są urodziny Jana?", &["jana"]);
    }
}
