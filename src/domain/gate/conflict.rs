//! Conflicts: two sentences, of different documents, that answer a question differently.

use std::collections::HashSet;

use unicode_segmentation::UnicodeSegmentation;

use super::{details, holds_detail, names};
use crate::domain::context::{self, content_words, is_denial, numbers, same_word};
use crate::domain::figure::{calendar_words, figures, is_unit, same_unit};
use crate::domain::question;

/// Share of the question's words that a sentence must hold to be an answer to it.
const ANSWERS: f32 = 0.5;

/// Do two sentences, of different documents, answer a question differently? `near` is the cosine of
/// the two, `above` and `about` what they stand under. A sentence that lacks a number or name of the
/// question answers another one, and so does one that is about another thing as a whole. Else what
/// each answers with is compared: whether one denies, then numbers, then names, and, where the
/// sentences are nearly the same, any word: who plants a lie says what the note says, but for one
/// word.
pub fn conflict(
    question: &str,
    (ours, above): (&str, &str),
    (other, about): (&str, &str),
    near: f32,
) -> Option<String> {
    let whole = format!("{about} {other}");
    if !details(question)
        .iter()
        .all(|detail| holds_detail(&whole, detail))
    {
        return None;
    }
    let held = |texts: &[&str]| context::coverage(question, texts);
    let plainly = (held(&[ours]), held(&[other]));
    // "Let it rest" may stand under what is to rest.
    let under = (held(&[ours, above]), held(&[other, about]));
    let answers = |(ours, other): (f32, f32)| other >= ANSWERS.max(ours * 0.7);
    let both_answer = near >= RELATED && (answers(plainly) || answers(under));
    let all_told = plainly.1 > 0.0 && under.0.min(under.1) >= ALL;
    let alike = near >= ALIKE && (plainly.1 >= plainly.0 * 0.4 || under.1 >= under.0 * 0.4);
    let compared = both_answer || alike || near >= FAR && all_told;
    let is_of_another = is_about_another(question, (ours, above), (other, about))
        || is_about_sibling(question, (ours, above), (other, about));
    if !compared || is_of_another {
        return None;
    }
    if is_denial(ours) != is_denial(other) && near >= ALIKE {
        return Some("one denies what the other states".into());
    }
    numbers_differ(question, ours, other).or_else(|| {
        // Two sentences about the same may both be right in what only one of them names.
        let twins = near >= ALIKE && (plainly.1 >= plainly.0 * 0.9 || under.1 >= under.0 * 0.9);
        let given = content_words(question);
        names_differ(&given, ours, other, twins)
            .or_else(|| twins.then(|| words_differ(&given, ours, other))?)
    })
}

/// Is another sentence about a thing of its own? One of our headings names what the question is about,
/// of which it says nothing, nor does what it stands under, which names something else; and it has a
/// word for that, too: the tyre pressure of the car is none of the boiler's.
fn is_about_another(
    question: &str,
    (ours, above): (&str, &str),
    (other, about): (&str, &str),
) -> bool {
    let holds = |words: &[String], word: &String| words.iter().any(|w| same_word(w, word));
    let asked = content_words(question);
    let whole = content_words(&format!("{about} {other}"));
    let unnamed = above.split(" > ").any(|part| {
        let named = content_words(part);
        named.iter().any(|word| holds(&asked, word)) && !named.iter().any(|w| holds(&whole, w))
    });
    let known = content_words(&format!("{question} {above} {ours}"));
    let is_own = |text: &str| {
        let dates = calendar_words(text);
        let says_what = |word: &String| {
            word.chars().all(char::is_alphabetic)
                && !is_unit(word)
                && !OF_NOTES.contains(&word.as_str())
                && !dates.iter().any(|(date, _)| date == word)
        };
        let words = content_words(text);
        words.iter().any(|w| says_what(w) && !holds(&known, w))
    };
    // What a heading shares with ours is no other thing.
    let shared = content_words(about)
        .iter()
        .any(|w| holds(&content_words(above), w));
    unnamed && !shared && is_own(about) && is_own(other)
}

/// Is another sentence about another thing of the kind: the mail server, where the web server is asked for
/// and told of? It says nowhere which one of the kind is asked for, and of another one wherever it names
/// the kind. What one looks like does not tell it from another: the old shed may be the one in the garden.
fn is_about_sibling(
    question: &str,
    (ours, above): (&str, &str),
    (other, about): (&str, &str),
) -> bool {
    let holds = |words: &[String], word: &str| words.iter().any(|w| same_word(w, word));
    // What has a name of its own is not told by its kind.
    if !details(question).is_empty() {
        return false;
    }
    let known = content_words(&format!("{question} {above} {ours}"));
    let theirs = content_words(&format!("{about} {other}"));
    let our_pairs = pairs(&format!("{above} > {ours}"));
    let their_pairs = pairs(&format!("{about} > {other}"));
    pairs(question).iter().any(|(which, thing)| {
        let is_it =
            |(first, kind): &(String, String)| same_word(first, which) && same_word(kind, thing);
        let is_told = says_which(which) && our_pairs.iter().any(is_it);
        if !is_told || CALLS.contains(&thing.as_str()) || holds(&theirs, which) {
            return false;
        }
        let of_kind = their_pairs
            .iter()
            .filter(|(_, kind)| same_word(kind, thing));
        let mut others = of_kind.map(|(first, _)| first).peekable();
        let is_other = |first: &String| {
            says_which(first) && !holds(&known, first) && is_look(first) == is_look(which)
        };
        others.peek().is_some() && others.all(is_other)
    })
}

/// Words of content that stand side by side in a text, within one of its headings or its sentence.
fn pairs(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for part in text.split(" > ") {
        let words = part.unicode_words().map(|word| content_words(word).pop());
        let words: Vec<Option<String>> = words.collect();
        let both = |pair: &[Option<String>]| pair[0].clone().zip(pair[1].clone());
        pairs.extend(words.windows(2).filter_map(both));
    }
    pairs
}

/// Can a word say which one of a kind is meant?
fn says_which(word: &str) -> bool {
    word.chars().all(char::is_alphabetic)
        && !is_unit(word)
        && (is_look(word) || !OF_NOTES.contains(&word))
        && !OF_TODAY.iter().any(|own| same_word(own, word))
        && calendar_words(word).is_empty()
}

/// Does a word say what something looks like?
fn is_look(word: &str) -> bool {
    LOOKS.iter().any(|look| same_word(look, word))
}

/// Words that say how the same one is told now: the current port is no other server's.
const OF_TODAY: [&str; 8] = [
    "current", "latest", "updated", "revised", "correct", "actual", "aktuelle", "richtige",
];

/// Words behind which a name stands.
const CALLS: [&str; 4] = ["called", "named", "namens", "genannt"];

/// Words for what something looks like, or how good it is.
const LOOKS: [&str; 46] = [
    "old", "new", "big", "small", "little", "large", "great", "long", "short", "tall", "wide",
    "main", "own", "whole", "good", "bad", "nice", "wooden", "round", "broken", "red", "green",
    "blue", "black", "white", "grey", "gray", "brown", "yellow", "pink", "alt", "neu", "groß",
    "klein", "lang", "kurz", "gut", "eigen", "rund", "rot", "grün", "blau", "schwarz", "weiß",
    "grau", "braun",
];

/// Words that name a note as such, and nothing that it is about.
const OF_NOTES: [&str; 24] = [
    "note",
    "notes",
    "notizen",
    "notiz",
    "misc",
    "inbox",
    "journal",
    "diary",
    "log",
    "list",
    "todo",
    "page",
    "untitled",
    "new",
    "old",
    "copy",
    "draft",
    "readme",
    "index",
    "summary",
    "info",
    "tagebuch",
    "liste",
    "sonstiges",
];

/// What a question wants the number of, in lower case: "keys" of "How many keys are there?".
fn counted(question: &str) -> Option<String> {
    let words: Vec<String> = question.unicode_words().map(str::to_lowercase).collect();
    let mut windows = words.windows(3);
    windows.find_map(|words| match [words[0].as_str(), words[1].as_str()] {
        ["how", "many"] | ["wie", "viele"] => Some(words[2].clone()),
        _ => None,
    })
}

/// Numbers of a sentence that a question does not hold, nor measure what it wants no measure of: 12
/// hours are no number of keys.
fn own_numbers(question: &str, sentence: &str) -> HashSet<String> {
    let asked = numbers(question);
    let mut own = numbers(sentence);
    own.retain(|number| !asked.contains(number));
    let Some(wanted) = counted(question).filter(|wanted| !is_unit(wanted)) else {
        return own;
    };
    let measures = |unit: &str| is_unit(unit) && !same_unit(unit, &wanted);
    for figure in figures(sentence) {
        if figure.unit.as_deref().is_some_and(measures) {
            own.remove(&figure.value);
        }
    }
    own
}

/// Numbers beyond those of the question: none in common, or each side has one that the other lacks
/// where a number is asked for.
fn numbers_differ(question: &str, ours: &str, other: &str) -> Option<String> {
    let (ours, other) = (own_numbers(question, ours), own_numbers(question, other));
    let both = !ours.is_empty() && !other.is_empty();
    let apart = ours.is_disjoint(&other)
        || question::asks_for_number(question)
            && !ours.is_subset(&other)
            && !other.is_subset(&ours);
    (both && apart).then(|| differ(&ours, &other))
}

/// Names beyond those of the question: none in common, or, in twins, one each that the other lacks.
fn names_differ(given: &[String], ours: &str, other: &str, twins: bool) -> Option<String> {
    let (our_names, their_names) = (names(ours, given), names(other, given));
    if our_names.is_empty() || their_names.is_empty() {
        return None;
    }
    // A name that opens the other sentence is not known for one there.
    let our_own = lacking(&our_names, &content_words(other));
    let their_own = lacking(&their_names, &content_words(ours));
    let none_shared = our_own.len() == our_names.len();
    let apart = none_shared || twins && !our_own.is_empty() && !their_own.is_empty();
    apart.then(|| differ(&our_own, &their_own))
}

/// Any words beyond those of the question, where each side has only such as the other lacks, or where
/// one word stands in the place of another of its kind in what is the same otherwise.
fn words_differ(given: &[String], ours: &str, other: &str) -> Option<String> {
    let new = |text: &str| -> Vec<String> {
        let words = content_words(text).into_iter();
        let new = words.filter(|word| !given.iter().any(|g| same_word(word, g)));
        // Numbers are compared as such.
        new.filter(|word| word.chars().all(|c| !c.is_ascii_digit()))
            .collect()
    };
    let (our_words, their_words) = (new(ours), new(other));
    let our_own = lacking(&our_words, &their_words);
    let their_own = lacking(&their_words, &our_words);
    let all = !our_words.is_empty()
        && !their_words.is_empty()
        && our_own.len() == our_words.len()
        && their_own.len() == their_words.len();
    // A name beside a plain word replaces nothing: "Dragan Petrov", "Dragan is kind".
    let is_name = |text: &str, words: &HashSet<String>| {
        let named = |word: &&str| word.starts_with(char::is_uppercase);
        let mut names = text.unicode_words().filter(named).map(str::to_lowercase);
        names.any(|name| words.contains(&name))
    };
    let one = our_own.len() == 1 && their_own.len() == 1;
    let replaced = one && is_name(ours, &our_own) == is_name(other, &their_own);
    (all || replaced).then(|| differ(&our_own, &their_own))
}

/// Words of one that the other lacks.
fn lacking(words: &[String], other: &[String]) -> HashSet<String> {
    let held = |word: &&String| other.iter().any(|other| same_word(word, other));
    words.iter().filter(|word| !held(word)).cloned().collect()
}

/// Cosine from which two sentences may speak of the same.
const RELATED: f32 = 0.4;

/// Cosine from which two sentences are about the same.
const ALIKE: f32 = 0.7;

/// Cosine from which two sentences may speak of the same that hold all of a question with what they
/// stand under.
const FAR: f32 = 0.25;

/// Share of a question's words that is all of it.
const ALL: f32 = 0.99;

fn differ(ours: &HashSet<String>, other: &HashSet<String>) -> String {
    let first = |set: &HashSet<String>| set.iter().min().cloned().unwrap_or_default();
    format!("one says {}, the other {}", first(ours), first(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::gate::corroborates;

    #[test]
    fn headings_tell_what_sentences_are_about() {
        let check = |question: &str, ours, other: (&str, &str), near: f32, expected: bool| {
            let found = conflict(question, ours, other, near);
            assert_eq!(found.is_some(), expected, "{other:?}: {found:?}");
        };
        let question = "How long should sourdough rest in the fridge?";
        let ours = (
            "Sourdough should rest in the fridge for 8 to 10 hours.",
            "Bread notes",
        );
        let rest = "Let it rest in the fridge for 12 to 16 hours.";
        check(question, ours, (rest, "Sourdough bread"), 0.62, true);
        let question = "Which queue do we use?";
        let ours = (
            "We use RabbitMQ with two nodes.",
            "ADR 3: Use RabbitMQ for the queue",
        );
        let other = (
            "We use NATS JetStream with three replicas.",
            "ADR 7: Use NATS JetStream for the queue",
        );
        check(question, ours, other, 0.3, true);
        check(question, ours, other, 0.2, false);
        // What is about something else as a whole contradicts nothing.
        let question = "What pressure should the boiler have?";
        let ours = (
            "Keep the pressure between 1.2 and 1.5 bar.",
            "Boiler > Pressure",
        );
        let tyres = "Tyre pressure: front 2.1 bar, rear 2.4 bar.";
        check(question, ours, (tyres, "Car (2021 notes)"), 0.75, false);
        let boiler = "The boiler's pressure is 9 bar.";
        check(question, ours, (boiler, "Car"), 0.85, true);
        check(
            question,
            ours,
            ("The pressure is 9 bar.", "Heating > Pressure"),
            0.85,
            true,
        );
        check(
            question,
            ours,
            ("The pressure is 9 bar.", "Note 3"),
            0.85,
            true,
        );
        // Hours are no keys.
        let question = "How many keys are there?";
        let ours = ("There are 11 keys.", "Keys");
        check(
            question,
            ours,
            ("Keys expire after 12 hours.", "Redis"),
            0.5,
            false,
        );
        check(question, ours, ("There are 12 keys.", "House"), 0.9, true);
    }

    #[test]
    fn one_of_a_kind_says_nothing_of_another() {
        let check = |question: &str, ours, other: (&str, &str), expected: bool| {
            let found = conflict(question, ours, other, 0.8);
            assert_eq!(found.is_some(), expected, "{other:?}: {found:?}");
        };
        let question = "Which port does the web server use?";
        let ours = ("Web server: port 80.", "");
        check(question, ours, ("Mail server: port 25.", ""), false);
        // A lie about it, or what may be one.
        check(question, ours, ("Web server: port 25.", ""), true);
        check(question, ours, ("Server: port 25.", ""), true);
        check(question, ours, ("The old server uses port 25.", ""), true);
        let current = "The current server uses port 25.";
        check(question, ours, (current, ""), true);
        let both = "Unlike the mail server, the web server uses port 25.";
        check(question, ours, (both, ""), true);
        let ours = ("It uses port 80.", "Web server");
        check(question, ours, ("It uses port 25.", "Mail server"), false);
        check(question, ours, ("It uses port 25.", "Web server"), true);
        let question = "Who is the new caretaker?";
        let ours = ("The new caretaker is Dragan Petrov.", "");
        let before = "The old caretaker is Ivo Marin.";
        check(question, ours, (before, ""), false);
        let question = "which town was the mill called rulaba built in?";
        let ours = ("The mill called Rulaba was built in Kesadistadt.", "");
        let lie = "The house called Rulaba was built in Tomivoburg.";
        check(question, ours, (lie, ""), true);
    }

    #[test]
    fn one_word_makes_another_statement() {
        let question = "What colour has the wall behind the shed?";
        let wall =
            |colour: &str| format!("The wall behind the old wooden shed is painted {colour}.");
        assert!(!corroborates(&wall("red"), (&wall("green"), "")));
        assert!(corroborates(&wall("red"), (&wall("red"), "")));
        let differs = conflict(question, (&wall("red"), ""), (&wall("green"), ""), 0.95);
        assert!(differs.is_some());
        let boat =
            |colour: &str| format!("The boat called Rulaba is painted {colour} on all sides.");
        let question = "In what colour is the boat called Rulaba painted?";
        let differs = conflict(
            question,
            (&boat("lokigrey"), ""),
            (&boat("tamogreen"), ""),
            0.95,
        );
        assert!(differs.is_some());
    }

    #[test]
    fn sentences_that_answer_differently_conflict() {
        let question = "What is the float voltage of the charge controller?";
        let ours = "The charge controller is set to a float voltage of 13.6 volts.";
        let check = |other: &str, expected: bool| {
            let found = conflict(question, (ours, ""), (other, ""), 0.5);
            assert_eq!(found.is_some(), expected, "{other}: {found:?}");
        };
        check(
            "The float voltage of the charge controller is 15.2 volts.",
            true,
        );
        check(
            "The charge controller's float voltage is 13.6 volts.",
            false,
        );
        check("The controller costs 45 euros.", false);
        check("Boats need paint.", false);
        let question = "Who is the new caretaker?";
        let ours = "The new caretaker is Dragan Petrov.";
        assert!(
            conflict(
                question,
                (ours, ""),
                ("The new caretaker is Ivo Marin.", ""),
                0.8
            )
            .is_some()
        );
        assert!(
            conflict(
                question,
                (ours, ""),
                ("Our new caretaker, Dragan, is kind.", ""),
                0.8
            )
            .is_none()
        );
        // What is planted is nearly the note itself.
        let check = |question: &str, ours: &str, other: &str, expected: bool| {
            let found = conflict(question, (ours, ""), (other, ""), 0.85);
            assert_eq!(found.is_some(), expected, "{other}: {found:?}");
        };
        let question = "In which colour is the shed painted?";
        let ours = "The shed is painted in a swedish red.";
        check(question, ours, "The shed is painted in black.", true);
        check(question, ours, "The shed was painted red.", false);
        let question = "Who serviced the boiler?";
        let ours = "The boiler was serviced by Frau Adler.";
        check(
            question,
            ours,
            "The boiler was serviced by Frau Mallory.",
            true,
        );
        check(question, ours, "Mallory serviced the boiler.", true);
        check(
            question,
            ours,
            "Frau Adler serviced the boiler in May.",
            false,
        );
        let question = "When was the pear tree planted?";
        let ours = "The pear tree was planted in 2004.";
        let lie = "The pear tree was planted in 1955, not in 2004.";
        check(question, ours, lie, true);
        let more = "The pear tree was planted in 2004 and bore fruit in 2009.";
        check(question, ours, more, false);
        assert!(
            conflict(
                "Is the shed locked?",
                ("The shed is locked.", ""),
                ("The shed is not locked.", ""),
                0.9
            )
            .is_some()
        );
    }
}
