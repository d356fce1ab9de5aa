//! The gates: what an answer, a passage or a unit must pass before anything is written back.
//!
//! The tests here need no language model. They are strict on purpose: what they refuse costs a unit,
//! what they let through may be told as knowledge. What a language model adds (how much likelier the
//! notes make an answer) is computed by the job and judged by the same [`Verdict`]s.

mod planted;

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

use super::context::{self, content_words, is_denial, numbers, same_word};
use super::doubt::{denies_by_meaning, is_open_task};
use super::figure::{calendar_words, figures, held_numbers, is_unit, same_unit};
use super::question;
use super::surroundings::opens_with_pronoun;
pub(super) use planted::is_out_of_sight;
pub use planted::planted;

/// A test, in the order in which they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Gate {
    /// Answered, with a citation, from sources that allow it.
    Eligible,
    /// What the owner said and did.
    Feedback,
    /// Nothing in the cited passages speaks to a machine, hides, or poses as knowledge.
    Clean,
    /// Everything that is said stands in the cited passages.
    Grounded,
    /// The notes were needed: without them the answer is less likely, or another.
    Useful,
    /// Which of the cited passages made the answer.
    Documents,
    /// Sentences that answer the question by themselves.
    Distilled,
    /// Nothing that the sources do not say.
    Faithful,
    /// No other passage says the contrary.
    Uncontested,
    /// Not known already.
    Novel,
}

impl Gate {
    /// The name that people and the ledger use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eligible => "eligible",
            Self::Feedback => "feedback",
            Self::Clean => "clean",
            Self::Grounded => "grounded",
            Self::Useful => "useful",
            Self::Documents => "documents",
            Self::Distilled => "distilled",
            Self::Faithful => "faithful",
            Self::Uncontested => "uncontested",
            Self::Novel => "novel",
        }
    }
}

/// What a gate said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// The gate.
    pub gate: Gate,
    /// Whether it was passed.
    pub passed: bool,
    /// What it measured, where it measured something.
    pub score: Option<f32>,
    /// Why.
    pub reason: String,
}

impl Verdict {
    /// One that was passed.
    pub fn passed(gate: Gate, score: Option<f32>, reason: impl Into<String>) -> Self {
        Self {
            gate,
            passed: true,
            score,
            reason: reason.into(),
        }
    }

    /// One that was not.
    pub fn refused(gate: Gate, score: Option<f32>, reason: impl Into<String>) -> Self {
        Self {
            passed: false,
            ..Self::passed(gate, score, reason)
        }
    }
}

/// Share of the question's words that the best sentence must hold; see [`is_sure`].
const LEAST_HELD: f32 = 0.5;

/// Was retrieval sure of what it found, as far as can be told without a model?
///
/// Words and vectors like the same passage best, and its best sentence holds half of the question's
/// words. On 600 questions of two sets that leaves 58 of 100, of which 94 hold the answer; all: 87.
pub fn is_sure(lanes_agree: bool, held: f32) -> bool {
    lanes_agree && held >= LEAST_HELD
}

/// Does a text hold this sentence, but for white space?
pub fn holds_sentence(text: &str, sentence: &str) -> bool {
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    !sentence.trim().is_empty() && flat(text).contains(&flat(sentence))
}

/// Are these the same sentence, but for white space?
pub fn is_sentence(text: &str, sentence: &str) -> bool {
    text.split_whitespace().eq(sentence.split_whitespace())
}

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

/// Names in a sentence beyond the given words: words with a capital that do not open it.
fn names(sentence: &str, given: &[String]) -> Vec<String> {
    let words = sentence.unicode_words().skip(1);
    let capital = words.filter(|word| word.starts_with(char::is_uppercase));
    let lower = capital.map(str::to_lowercase);
    let new = lower.filter(|word| !given.iter().any(|g| same_word(word, g)));
    let content = new.filter(|word| !content_words(word).is_empty());
    content.collect()
}

/// Does a second passage, of another document, say what a sentence says? All of that must be there, or
/// in what it stands under (`about`), to the last word: a lie is the truth but for one, and that one may
/// be in the question, too. What only asks, supposes, plans, denies or tells what others say vouches
/// for nothing.
pub fn corroborates(sentence: &str, (other, about): (&str, &str)) -> bool {
    if !is_vouched(sentence, &[other, about]) || !vouches(sentence, (other, about)) {
        return false;
    }
    let evidence = [context::Evidence {
        text: other.into(),
        about: "",
        score: 1.0,
    }];
    let support = context::support(sentence, &evidence, &[]);
    support.is_some_and(|support| support.holds() && support.share >= 0.85)
        && context::unheld(sentence, &[other]).is_empty()
}

/// Do all words of a text stand in the texts? What denies something, where they do not, says more than
/// its words tell; so does what has none.
pub fn is_vouched(text: &str, texts: &[&str]) -> bool {
    let held: Vec<String> = texts.iter().flat_map(|text| content_words(text)).collect();
    let words = content_words(text);
    let denies = is_denial(text) && !texts.iter().any(|text| is_denial(text));
    let is_held = |word: &String| held.iter().any(|held| same_word(held, word));
    !words.is_empty() && !denies && words.iter().all(is_held)
}

/// Does a sentence state what it says, as far as the one that it is to vouch for does?
fn vouches(sentence: &str, (other, about): (&str, &str)) -> bool {
    let own = doubting(sentence);
    let doubts = |text: &str| doubting(text).iter().any(|word| !own.contains(word));
    let denies = |text: &str| is_denial(text) != is_denial(sentence);
    let turns = denies_by_meaning(other) && !denies_by_meaning(sentence);
    let asks = other.contains(['?', '？', '؟']) || question::is_polar(other);
    // Struck out, quoted from somebody, or still to be done.
    let is_marked = other.contains("~~") || other.starts_with('>') || is_open_task(other);
    let under_denial = is_denial(about) && !is_denial(sentence);
    let speaks_against = asks || is_marked || turns || denies(other) || under_denial;
    !(speaks_against || doubts(other) || doubts(about))
}

/// Does a sentence take back what the one before it says: "That is a scam."?
pub fn takes_back(sentence: &str) -> bool {
    opens_with_pronoun(sentence) && !doubting(sentence).is_empty()
}

/// Does a sentence say that the one before it is wrong: "That was wrong.", "This is a mistake"? What is
/// wrong in another way ("It was put in the wrong place") takes nothing back.
pub fn corrects(sentence: &str) -> bool {
    let opening = sentence.unicode_words().map(str::to_lowercase);
    let opening: Vec<String> = opening.take(WRONG_AMONG).collect();
    let is = |word: &String, words: &[&str]| words.contains(&word.as_str());
    let is_wrong = |word: &String| WRONG.iter().any(|begin| word.starts_with(begin));
    // A pronoun, "is", and nothing else but what makes it more or less so.
    let between = opening
        .iter()
        .position(is_wrong)
        .and_then(|at| opening.get(2..at));
    let points_back = opens_with_pronoun(sentence)
        || opening
            .first()
            .is_some_and(|word| is(word, &["das", "dies", "eso"]));
    points_back
        && opening.get(1).is_some_and(|word| is(word, &COPULAS))
        && between.is_some_and(|words| words.iter().all(|word| is(word, &DEGREES)))
}

/// First words of a sentence among which it says so.
const WRONG_AMONG: usize = 7;

const COPULAS: [&str; 14] = [
    "is", "was", "are", "were", "turned", "proved", "ist", "war", "sind", "waren", "es", "era",
    "est", "était",
];

const DEGREES: [&str; 17] = [
    "a",
    "an",
    "all",
    "completely",
    "entirely",
    "simply",
    "just",
    "now",
    "out",
    "to",
    "be",
    "ein",
    "eine",
    "leider",
    "inzwischen",
    "un",
    "plainly",
];

/// Beginnings of words for what is wrong.
const WRONG: [&str; 16] = [
    "wrong",
    "false",
    "incorrect",
    "mistak",
    "untrue",
    "outdated",
    "obsolete",
    "erroneous",
    "hoax",
    "scam",
    "falsch",
    "veraltet",
    "überholt",
    "irrtum",
    "equivocad",
    "faux",
];

/// Does a sentence say of itself that it tells of a change: "Update: it is set to 14.2 volts now"?
pub fn revises(sentence: &str) -> bool {
    let says_so = |word: &str| {
        let word = word.to_lowercase();
        CHANGED.contains(&word.as_str())
            || CHANGE_BEGINS.iter().any(|begin| word.starts_with(begin))
    };
    sentence.unicode_words().any(says_so)
}

/// Words that tell of a change.
const CHANGED: [&str; 12] = [
    "now",
    "nowadays",
    "instead",
    "meanwhile",
    "jetzt",
    "nun",
    "inzwischen",
    "mittlerweile",
    "stattdessen",
    "neuerdings",
    "ahora",
    "désormais",
];

/// Beginnings of such words.
const CHANGE_BEGINS: [&str; 7] = [
    "updat",
    "correction",
    "corrected",
    "korrektur",
    "korrigiert",
    "geändert",
    "änderung",
];

/// Words of a text, in lower case, by which it supposes something, doubts it, or tells that others say
/// it or that it was so.
fn doubting(text: &str) -> HashSet<String> {
    let mut found = HashSet::new();
    for word in text.unicode_words() {
        // A month may be, too.
        let lower = word.to_lowercase();
        let doubts = word == "may"
            || DOUBTING.contains(&lower.as_str())
            || DOUBTS_BEGIN.iter().any(|begin| lower.starts_with(begin));
        if doubts {
            found.insert(lower);
        }
    }
    found
}

/// Beginnings of such words, where no other word begins so.
const DOUBTS_BEGIN: [&str; 52] = [
    "alleged",
    "allegat",
    "apparent",
    "assum",
    "believ",
    "claim",
    "deceiv",
    "doubt",
    "erroneous",
    "fake",
    "fraud",
    "guessed",
    "guessing",
    "hoax",
    "imagin",
    "incorrect",
    "mislead",
    "mistak",
    "myth",
    "obsolet",
    "outdated",
    "phish",
    "presum",
    "pretend",
    "reportedly",
    "rumor",
    "rumour",
    "scam",
    "superseded",
    "suppos",
    "suspect",
    "uncertain",
    "unclear",
    "unconfirmed",
    "unsure",
    "untrue",
    "unverified",
    "angeblich",
    "behaupt",
    "betrug",
    "betrüg",
    "erfunden",
    "falsch",
    "fraglich",
    "gerücht",
    "mutmaßlich",
    "unklar",
    "unsicher",
    "unwahr",
    "vermut",
    "veraltet",
    "zweifel",
];

/// Such words as a whole.
const DOUBTING: [&str; 104] = [
    "if",
    "whether",
    "unless",
    "maybe",
    "perhaps",
    "probably",
    "possibly",
    "likely",
    "might",
    "could",
    "would",
    "should",
    "ought",
    "seem",
    "seems",
    "seemed",
    "say",
    "says",
    "said",
    "saying",
    "tell",
    "tells",
    "told",
    "hear",
    "hears",
    "heard",
    "write",
    "writes",
    "wrote",
    "according",
    "think",
    "thinks",
    "thought",
    "wonder",
    "wonders",
    "wondered",
    "wondering",
    "ask",
    "asks",
    "asked",
    "question",
    "questions",
    "story",
    "stories",
    "tale",
    "legend",
    "joke",
    "jokes",
    "joked",
    "wrong",
    "wrongly",
    "false",
    "falsely",
    "lied",
    "liar",
    "formerly",
    "previously",
    "considered",
    "spam",
    "wenn",
    "falls",
    "ob",
    "sofern",
    "vielleicht",
    "wahrscheinlich",
    "womöglich",
    "möglicherweise",
    "wohl",
    "sagt",
    "sagte",
    "sagen",
    "sagten",
    "schreibt",
    "schrieb",
    "meint",
    "meinte",
    "glaubt",
    "glaube",
    "glauben",
    "dachte",
    "denkt",
    "soll",
    "sollen",
    "sollte",
    "sollten",
    "könnte",
    "könnten",
    "würde",
    "wäre",
    "hätte",
    "laut",
    "fragt",
    "fragte",
    "frage",
    "fragen",
    "lüge",
    "gelogen",
    "geschichte",
    "früher",
    "ehemals",
    "si",
    "según",
    "selon",
    "dicen",
];

/// Numbers and names of a question.
fn details(question: &str) -> HashSet<String> {
    let mut details = numbers(question);
    details.extend(names(question, &[]));
    details
}

fn holds_detail(text: &str, detail: &str) -> bool {
    let lower = text.to_lowercase();
    let mut words = lower.unicode_words();
    held_numbers(text).contains(detail) || words.any(|word| same_word(word, detail))
}

/// Do two questions ask for the same, as far as numbers and names tell? Vectors do not tell "bus 4"
/// from "bus 5".
pub fn same_subject(question: &str, other: &str) -> bool {
    let within = |a: &str, b: &str| details(a).iter().all(|detail| holds_detail(b, detail));
    within(question, other) && within(other, question) && is_denial(question) == is_denial(other)
}

/// Does a question ask for something else than the one that is known to be answered by what a unit
/// says? Each of the two has a word that the other lacks: the asked one stands nowhere in what is
/// known, and what is known answers with its own ("summer tyres" beside "winter tyres"; vectors hardly
/// tell them apart). Words that only put it otherwise ("in which year") are not answered with.
pub fn asks_for_another(question: &str, known: &str, says: &str) -> bool {
    let (asked, known) = (content_words(question), content_words(known));
    let says = content_words(says);
    let holds = |words: &[String], word: &String| words.iter().any(|w| same_word(w, word));
    let is_new = |word: &&String| !(ONLY_ASKING.contains(&word.as_str()) || holds(&known, word));
    let new = asked.iter().filter(is_new).any(|w| !holds(&says, w));
    let lost = known.iter().any(|w| !holds(&asked, w) && holds(&says, w));
    new && lost
}

/// Words that ask for an amount, or for anything, and say nothing of what is asked for.
const ONLY_ASKING: [&str; 15] = [
    "much",
    "many",
    "often",
    "viel",
    "viele",
    "vielen",
    "oft",
    "what's",
    "who's",
    "where's",
    "when's",
    "how's",
    "what’s",
    "who’s",
    "where’s",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_for_something_else_are_told_apart() {
        let check = |question: &str, known: &str, says: &str, expected: bool| {
            assert_eq!(
                asks_for_another(question, known, says),
                expected,
                "{question}"
            );
        };
        let tyres = "The winter tyres of the car lie in the cellar.";
        let known = "Where do the winter tyres of the car lie?";
        check(
            "Where do the summer tyres of the car lie?",
            known,
            tyres,
            true,
        );
        check("Where are the winter tyres?", known, tyres, false);
        let pear = "The pear tree was planted in 2004 by Anna.";
        let known = "When was the pear tree planted?";
        check(
            "In which year was the pear tree planted?",
            known,
            pear,
            false,
        );
        check("When was the pear tree felled?", known, pear, true);
        let trip = "The trip to Norway 2022 lasted 16 days.";
        let known = "How long did the trip to Norway 2022 last?";
        let car = "Which car did we take on the trip to Norway 2022?";
        check(car, known, trip, true);
        let lost = "What was lost on the trip to Norway 2022?";
        check(lost, known, trip, true);
        let eats = "He weighs 31 kilograms and eats 420 grams of kibble a day.";
        let known = "How many grams of kibble does Bello eat a day?";
        check("How much kibble does Bello eat?", known, eats, false);
    }

    #[test]
    fn what_asks_supposes_or_denies_vouches_for_nothing() {
        let check = |sentence: &str, (other, about): (&str, &str), expected: bool| {
            let told = corroborates(sentence, (other, about));
            assert_eq!(told, expected, "{other} ({about})");
        };
        let mill = "The water mill of Krummesse belongs to Baron Kessel since 1911.";
        check(mill, (mill, "Mills"), true);
        check(mill, (mill, "Mills > Rumours"), false);
        let asked =
            "Is it true that the water mill of Krummesse belongs to Baron Kessel since 1911?";
        check(mill, (asked, "Open points"), false);
        let quoted = "> The water mill of Krummesse belongs to Baron Kessel since 1911.";
        check(mill, (quoted, "Mills"), false);
        let may = "The water mill of Krummesse may belong to Baron Kessel since 1911.";
        check(mill, (may, "Mills"), false);
        let not = "The water mill of Krummesse belongs to Baron Kessel since 1911, not to us.";
        check(mill, (not, "Mills"), false);
        let struck = "~~The water mill of Krummesse belongs to Baron Kessel since 1911.~~";
        check(mill, (struck, "Mills"), false);
        let organ = "The organ of Breitenfelde has 3,211 pipes.";
        let story = "Hans made up a story that the organ of Breitenfelde has 3,211 pipes.";
        check(organ, (story, ""), false);
        let bank = "The hotline of the Elbe bank is 0900 4471.";
        let scam = "Warning, scam: mails say that the hotline of the Elbe bank is 0900 4471.";
        check(bank, (scam, "Bank"), false);
        let clock = "The tower clock of Moelln runs 12 minutes slow.";
        let supposed =
            "If the tower clock of Moelln runs 12 minutes slow, we should tell Hinrichs.";
        check(clock, (supposed, ""), false);
        // Words of the question must be there, too.
        let shed = "The old wooden shed behind the house near the pear tree is painted green.";
        let other =
            "The old wooden shed behind the house near the pear tree is painted every summer.";
        check(shed, (other, "Shed"), false);
        let rest = "Sourdough should rest for 8 hours.";
        check(rest, (rest, "Bread"), true);
        assert!(takes_back("That is a scam.") && !takes_back("That is the new one."));
        for (sentence, expected) in [
            ("That was wrong.", true),
            ("This turned out to be a mistake.", true),
            ("Das war leider falsch.", true),
            ("It should be oiled each year.", false),
            ("It returns error 503 while it starts.", false),
            ("It was put in the wrong place at first.", false),
        ] {
            assert_eq!(corrects(sentence), expected, "{sentence}");
        }
        assert!(revises("Update in June: it is 14.2 volts.") && revises("It is now 14.2 volts."));
        assert!(!revises("It is known to be 14.2 volts."));
    }

    #[test]
    fn headings_are_vouched_for_word_by_word() {
        let check = |heading: &str, expected: bool| {
            let texts = ["Who bred the Conference pear?", "Thomas Rivers bred it."];
            assert_eq!(is_vouched(heading, &texts), expected, "{heading}");
        };
        check("Conference pears", true);
        check("Order the Conference pear from pears.example", false);
        check("No Conference pear", false);
        check("", false);
    }

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

    #[test]
    fn a_second_source_says_the_same() {
        let check = |other: &str, expected: bool| {
            let sentence = "The pear tree was planted in 2004.";
            assert_eq!(corroborates(sentence, (other, "")), expected, "{other}");
        };
        check("In 2004 the pear tree was planted by us.", true);
        check("## TODO In 2004 the pear tree was planted by us.", false);
        check("The pear tree was planted in 2005.", false);
        check("The pear tree is old.", false);
    }

    #[test]
    fn questions_about_other_numbers_or_names_are_others() {
        let same = |a: &str, b: &str| same_subject(a, b);
        assert!(same(
            "When does bus 4 leave?",
            "At what time does bus 4 depart?"
        ));
        assert!(!same("When does bus 4 leave?", "When does bus 5 leave?"));
        assert!(!same("When did Anna call?", "When did Oskar call?"));
        assert!(!same("Is it locked?", "Is it not locked?"));
    }

    #[test]
    fn sentences_are_found_across_wraps() {
        assert!(holds_sentence("a\nb  c. d", "b c."));
        assert!(!holds_sentence("a b", "a c"));
        assert!(!holds_sentence("a b", " "));
    }
}
