//! From hits to a prompt, and from an answer back to its evidence.
//!
//! Sentences, the choice of evidence, the alignment of claims with what supports them, and the
//! string tests that need no model: numbers, dates and names of an answer must occur in what it
//! cites. Works on text alone; which model reads the prompt is not known here.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use super::question::asks_for_number;

/// Byte ranges of the sentences of `text`, trimmed, in order.
///
/// Line wraps inside a paragraph do not end a sentence; list items, headings, table rows, quotes
/// and blank lines do.
pub fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for segment in segments(text) {
        // Sentence segmentation ends at every newline; a space has the same width.
        let flat = text[segment.clone()].replace(['\n', '\r'], " ");
        let mut begin = None;
        for (start, piece) in flat.split_sentence_bound_indices() {
            let first = *begin.get_or_insert(start);
            if ends_with_abbreviation(piece) {
                continue;
            }
            push_trimmed(
                text,
                segment.start + first..segment.start + start + piece.len(),
                &mut found,
            );
            begin = None;
        }
        if let Some(first) = begin {
            push_trimmed(text, segment.start + first..segment.end, &mut found);
        }
    }
    found
}

fn push_trimmed(text: &str, range: Range<usize>, found: &mut Vec<Range<usize>>) {
    let raw = &text[range.clone()];
    let lead = raw.len() - raw.trim_start().len();
    let trimmed = raw.trim();
    if trimmed.chars().any(char::is_alphanumeric) {
        let start = range.start + lead;
        found.push(start..start + trimmed.len());
    }
}

fn ends_with_abbreviation(piece: &str) -> bool {
    const ABBREVIATIONS: [&str; 22] = [
        "mr.", "mrs.", "ms.", "dr.", "prof.", "st.", "no.", "vs.", "e.g.", "i.e.", "etc.", "z.b.",
        "bzw.", "ca.", "nr.", "fig.", "approx.", "inc.", "ltd.", "jr.", "sr.", "p.",
    ];
    let word = piece.split_whitespace().next_back().unwrap_or("");
    let word = word.trim_start_matches(['(', '[', '"']).to_lowercase();
    ABBREVIATIONS.contains(&word.as_str())
}

/// Runs of lines that belong together: paragraphs, single list items, rows, headings.
fn segments(text: &str) -> Vec<Range<usize>> {
    let mut segments: Vec<Range<usize>> = Vec::new();
    let mut position = 0;
    let mut open = false;
    for line in text.split_inclusive('\n') {
        let range = position..position + line.len();
        position = range.end;
        let trimmed = line.trim_start();
        if trimmed.trim_end().is_empty() {
            open = false;
            continue;
        }
        let alone = starts_own_segment(trimmed);
        match segments.last_mut() {
            Some(last) if open && !alone => last.end = range.end,
            _ => segments.push(range),
        }
        open = !trimmed.starts_with(['#', '|']);
    }
    segments
}

fn starts_own_segment(line: &str) -> bool {
    let digits = line.len() - line.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let numbered = digits > 0 && line[digits..].starts_with([')', '.']) && {
        line[digits + 1..].starts_with(' ')
    };
    let bullet = ["- ", "* ", "+ ", "• "].iter().any(|b| line.starts_with(b));
    bullet || numbered || line.starts_with(['#', '|', '>']) || line.starts_with("```")
}

/// The words of a text that carry meaning: lower case, without stop words.
pub fn content_words(text: &str) -> Vec<String> {
    text.unicode_words()
        .map(str::to_lowercase)
        .filter(|word| !STOP_WORDS.contains(&word.as_str()))
        .collect()
}

/// Do two lower-case words say the same, up to an ending? Works without knowing the language.
pub(super) fn same_word(a: &str, b: &str) -> bool {
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
    (common == short && short >= 3 && long - short <= 2) || (common >= 5 && long - common <= 3)
}

/// The words of a text, indexed so that [`same_word`] is asked of few of them.
#[derive(Debug, Default)]
struct Words(HashMap<String, Vec<String>>);

impl Words {
    fn of(text: &str) -> Self {
        let mut words: HashMap<String, Vec<String>> = HashMap::new();
        for word in content_words(text) {
            let bucket = words.entry(stem_key(&word)).or_default();
            if !bucket.contains(&word) {
                bucket.push(word);
            }
        }
        Self(words)
    }

    fn has(&self, word: &str) -> bool {
        self.0
            .get(&stem_key(word))
            .is_some_and(|bucket| bucket.iter().any(|other| same_word(word, other)))
    }
}

fn stem_key(word: &str) -> String {
    word.chars().take(3).collect()
}

/// A passage that may serve as evidence.
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    /// Its text.
    pub text: &'a str,
    /// The words around it that help to understand it: title and headings.
    pub about: &'a str,
    /// The retrieval score, 0..1.
    pub score: f32,
}

/// A sentence chosen out of a passage.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// Index of the passage.
    pub passage: usize,
    /// Byte range in the passage's text.
    pub span: Range<usize>,
    /// How well it fits the question: weighted share of the question's words that it covers, and
    /// the retrieval score of its passage.
    pub score: f32,
}

/// The sentences that fit a question, best first.
///
/// A question's word weighs more the fewer sentences hold it (inverse document frequency over the
/// sentences at hand). A word that stands only around a sentence (title, headings, the heading or
/// table header above it) counts half. Headings, table headers and front matter are left out: they
/// name things and state nothing. A question for a number prefers sentences that hold one.
pub fn rank_sentences(question: &str, passages: &[Evidence<'_>]) -> Vec<Chosen> {
    let mut asked: Vec<String> = content_words(question);
    asked.sort();
    asked.dedup();
    let pool = statements(passages);
    #[expect(clippy::cast_precision_loss, reason = "counts of sentences are small")]
    let weights: Vec<f32> = asked
        .iter()
        .map(|word| {
            let holding = pool.iter().filter(|s| s.words.has(word)).count();
            (1.0 + (pool.len() as f32) / (holding as f32 + 1.0)).ln()
        })
        .collect();
    let total: f32 = weights.iter().sum::<f32>().max(f32::EPSILON);
    let wants_number = asks_for_number(question);
    let mut ranked: Vec<Chosen> = pool
        .into_iter()
        .map(|statement| {
            let part = |word: &String| {
                if statement.words.has(word) {
                    1.0
                } else if statement.around.has(word) {
                    0.5
                } else {
                    0.0
                }
            };
            let covered: f32 = asked.iter().zip(&weights).map(|(w, k)| part(w) * k).sum();
            let passage = &passages[statement.passage];
            let sentence = &passage.text[statement.span.clone()];
            let number = wants_number && sentence.contains(|c: char| c.is_ascii_digit());
            Chosen {
                passage: statement.passage,
                score: covered / total + passage.score / 2.0 + if number { 0.15 } else { 0.0 }
                    - if is_title(sentence) { 0.15 } else { 0.0 },
                span: statement.span,
            }
        })
        .collect();
    ranked.sort_by(|a, b| super::rank::descending(a.score, b.score));
    ranked
}

/// How many sentences are taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Portion {
    /// Sentences at most.
    pub count: usize,
    /// Their words at most; one sentence is taken whatever its length.
    pub words: usize,
    /// Share of the best sentence's score below which one is left out.
    pub share: f32,
}

/// The best of ranked sentences, in reading order; `words` counts those of one.
pub fn best_sentences(
    ranked: &[Chosen],
    portion: Portion,
    words: impl Fn(&Chosen) -> usize,
) -> Vec<Chosen> {
    let best = ranked.first().map_or(0.0, |chosen| chosen.score);
    let mut spent = 0;
    let mut taken: Vec<Chosen> = Vec::new();
    for chosen in ranked.iter().take(portion.count) {
        let price = words(chosen);
        let enough = chosen.score >= portion.share * best;
        if !taken.is_empty() && (spent + price > portion.words || !enough) {
            break;
        }
        spent += price;
        taken.push(chosen.clone());
    }
    taken.sort_by_key(|c| (c.passage, c.span.start));
    taken
}

/// A sentence that may state something, with its words and those around it.
struct Statement {
    passage: usize,
    span: Range<usize>,
    words: Words,
    around: Words,
}

fn statements(passages: &[Evidence<'_>]) -> Vec<Statement> {
    let mut found = Vec::new();
    for (index, passage) in passages.iter().enumerate() {
        let matter = front_matter_end(passage.text);
        let (mut heading, mut header) = ("", "");
        for span in sentences(&passage.text[matter..]) {
            let span = span.start + matter..span.end + matter;
            let sentence = &passage.text[span.clone()];
            if !sentence.starts_with('|') {
                header = "";
            }
            if sentence.starts_with('#') {
                heading = sentence;
                continue;
            }
            if is_table_header(passage.text, &span) {
                header = sentence;
                continue;
            }
            found.push(Statement {
                passage: index,
                words: Words::of(sentence),
                around: Words::of(&format!("{} {heading} {header}", passage.about)),
                span,
            });
        }
    }
    found
}

fn front_matter_end(text: &str) -> usize {
    if !text.starts_with("---\n") {
        return 0;
    }
    text[4..].find("\n---").map_or(0, |at| at + 8)
}

/// A table's first row, which a row of dashes follows.
fn is_table_header(text: &str, span: &Range<usize>) -> bool {
    let next = text[span.end..].trim_start_matches(['\r', '\n']);
    let line = next.lines().next().unwrap_or("");
    text[span.clone()].starts_with('|')
        && line.starts_with('|')
        && line.chars().all(|c| "|-: \t".contains(c))
}

/// A short line without an end or a number, as titles in PDFs are; it rarely states anything.
fn is_title(sentence: &str) -> bool {
    sentence.split_whitespace().count() <= 6
        && !sentence.ends_with(['.', '!', '?', ':', '|'])
        && !sentence.starts_with(['-', '*', '+', '|'])
        && !sentence.contains(|c: char| c.is_ascii_digit())
}

/// Share of a question's content words that occur in the texts, 0..1; 1 for no content words.
pub fn coverage(question: &str, texts: &[&str]) -> f32 {
    let asked: HashSet<String> = content_words(question).into_iter().collect();
    if asked.is_empty() {
        return 1.0;
    }
    let words: Vec<Words> = texts.iter().map(|t| Words::of(t)).collect();
    let found = asked
        .iter()
        .filter(|word| words.iter().any(|w| w.has(word)))
        .count();
    ratio(found, asked.len())
}

/// Names in a question that none of the texts holds: words that begin with a capital, but not at
/// the beginning of the question, and are no abbreviation. Empty where capitals say nothing, as in German and in headlines.
pub fn missing_names(question: &str, texts: &[&str]) -> Vec<String> {
    let content: Vec<&str> = question
        .unicode_words()
        .skip(1)
        .filter(|word| !STOP_WORDS.contains(&word.to_lowercase().as_str()))
        .collect();
    let names: Vec<&str> = content
        .iter()
        .copied()
        .filter(|word| word.starts_with(char::is_uppercase) && word.chars().any(char::is_lowercase))
        .collect();
    let german = question.unicode_words().any(|word| {
        ["wann", "wer", "wie", "wo", "welche", "der", "die", "das"]
            .contains(&word.to_lowercase().as_str())
    });
    if german || names.len() == content.len() {
        return Vec::new();
    }
    let words: Vec<Words> = texts.iter().map(|text| Words::of(text)).collect();
    let names = names.into_iter().map(str::to_lowercase);
    names
        .filter(|name| !words.iter().any(|held| held.has(name)))
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of words are small")]
fn ratio(part: usize, whole: usize) -> f32 {
    part as f32 / whole.max(1) as f32
}

/// How a claim stands to the passages it may rest on.
#[derive(Clone, Debug, PartialEq)]
pub struct Support {
    /// Index of the passage that supports it best.
    pub passage: usize,
    /// Byte range of the supporting sentence in that passage.
    pub span: Range<usize>,
    /// Share of the claim's words, given ones left out, that are in the sentence, 0..1.
    pub share: f32,
    /// Share of all its words that are in the sentence or around it, 0..1: a sentence about
    /// something else may hold the new words, too.
    pub linked: f32,
    /// Numbers of the claim that the sentence does not hold.
    pub missing_numbers: Vec<String>,
    /// Does one of them deny what the other states?
    pub contradicts: bool,
}

impl Support {
    /// A claim is supported when most of its words and all of its numbers are in the sentence, and
    /// the sentence does not say the contrary.
    pub fn holds(&self) -> bool {
        self.share >= 0.7
            && self.linked >= 0.6
            && self.missing_numbers.is_empty()
            && !self.contradicts
    }
}

/// The sentence that supports `claim` best, or `None` when nothing in the claim can be looked for.
///
/// `given` are words that need no support, such as those of the question; a claim that holds
/// nothing else is looked for whole. Support comes from one sentence with what stands around it
/// (`about`), not from words scattered over a passage: that is how mixed-up facts are caught.
pub fn support(claim: &str, passages: &[Evidence<'_>], given: &[String]) -> Option<Support> {
    // A yes or a no says nothing that a sentence could hold; denials are compared by themselves.
    let verdict =
        |word: &String| is_denial(word) || ["yes", "ja", "sí", "oui"].contains(&word.as_str());
    let mut all: Vec<String> = content_words(claim);
    all.retain(|word| !verdict(word));
    let new: Vec<String> = all
        .iter()
        .filter(|word| !given.iter().any(|g| same_word(word, g)))
        .cloned()
        .collect();
    let wanted = if new.is_empty() { &all } else { &new };
    if wanted.is_empty() {
        return None;
    }
    let numbers = numbers(claim);
    let judge = |statement: Statement| {
        let sentence = &passages[statement.passage].text[statement.span.clone()];
        let held = self::numbers(sentence);
        let held_words = |words: &[String]| {
            let holds = |word: &&String| statement.words.has(word) || statement.around.has(word);
            ratio(words.iter().filter(holds).count(), words.len())
        };
        let also = all.iter().filter(|w| statement.words.has(w)).count();
        let support = Support {
            passage: statement.passage,
            share: ratio(
                wanted
                    .iter()
                    .filter(|word| statement.words.has(word))
                    .count(),
                wanted.len(),
            ),
            linked: held_words(&all),
            missing_numbers: numbers.difference(&held).cloned().collect(),
            contradicts: is_denial(claim) != is_denial(sentence)
                && (is_denial(claim) || new.is_empty()),
            span: statement.span,
        };
        (support, also)
    };
    statements(passages)
        .into_iter()
        .map(judge)
        .max_by(|(a, a_also), (b, b_also)| {
            let complete = |s: &Support| s.missing_numbers.is_empty() && !s.contradicts;
            let order = complete(a)
                .cmp(&complete(b))
                .then((a.share + a.linked).total_cmp(&(b.share + b.linked)));
            // Of equals the earlier one, which retrieval liked better.
            order
                .then(a_also.cmp(b_also))
                .then(b.passage.cmp(&a.passage))
        })
        .map(|(support, _)| support)
}

/// Does a text deny something? A claim that denies needs a sentence that does; and a claim that
/// only says again what was asked is not supported by a sentence that denies it.
pub fn is_denial(text: &str) -> bool {
    const DENIALS: [&str; 24] = [
        "no", "not", "never", "none", "neither", "nor", "cannot", "without", "nobody", "nothing",
        "nicht", "kein", "keine", "keinen", "nie", "niemals", "ohne", "nein", "nunca", "ningún",
        "pas", "jamais", "aucun", "aucune",
    ];
    let lower = text.to_lowercase().replace('’', "'");
    lower
        .unicode_words()
        .any(|word| DENIALS.contains(&word) || word.ends_with("n't"))
}

/// Numbers, dates and names of a claim that none of the texts holds.
pub fn unheld(claim: &str, texts: &[&str]) -> Vec<String> {
    let held: HashSet<String> = texts.iter().flat_map(|text| numbers(text)).collect();
    let mut missing: Vec<String> = numbers(claim).difference(&held).cloned().collect();
    missing.sort();
    missing.extend(missing_names(claim, texts));
    missing
}

/// Does a claim say anything beyond the given words?
pub fn says_more(claim: &str, given: &[String]) -> bool {
    let words = content_words(claim);
    let new = |word: &String| !given.iter().any(|g| same_word(word, g));
    words.iter().any(new)
}

/// The longest beginning of a claim, up to a comma, of which every part is supported; `None` when
/// even the first part is not. Small models write a true half sentence and invent the rest.
pub fn supported_part<'a>(
    claim: &'a str,
    passages: &[Evidence<'_>],
    given: &[String],
) -> Option<(&'a str, Support)> {
    let mut ends: Vec<usize> = claim.match_indices(", ").map(|(at, _)| at).collect();
    ends.push(claim.len());
    let mut begin = 0;
    let mut kept = None;
    for end in ends {
        let part = support(&claim[begin..end], passages, given);
        if part.is_some_and(|support| !support.holds()) {
            break;
        }
        kept = support(&claim[..end], passages, given)
            .filter(Support::holds)
            .map(|support| (&claim[..end], support))
            .or(kept);
        begin = end;
    }
    kept
}

/// The numbers of a text in a comparable form: digits with inner `.`, `:`, `/` or `-`, grouping
/// commas removed, units cut off; codes such as `WX-4471-K` as a whole, in capitals.
pub fn numbers(text: &str) -> HashSet<String> {
    let mut found = HashSet::new();
    let text = joined_groups(text);
    for token in text.split(|c: char| c.is_whitespace() || "()[]{}\"'`*_|<>=~“”".contains(c)) {
        let token = token.trim_matches(|c: char| !c.is_alphanumeric());
        if !token.contains(|c: char| c.is_ascii_digit()) {
            continue;
        }
        if token.starts_with(char::is_alphabetic) {
            found.insert(token.to_uppercase());
            continue;
        }
        let mut number = String::new();
        for c in token.chars() {
            if c.is_ascii_digit() || (".:/-".contains(c) && !number.is_empty()) {
                number.push(c);
            } else if c != ',' && !number.is_empty() {
                break;
            }
        }
        let number = number.trim_end_matches(['.', ':', '/', '-']);
        if !number.is_empty() {
            found.insert(number.to_owned());
        }
    }
    found
}

/// `6 402` as `6402`: groups of three digits behind a space belong to the number before.
fn joined_groups(text: &str) -> String {
    let digits_at = |from: usize| {
        let rest = text[from..].bytes();
        rest.take_while(u8::is_ascii_digit).count()
    };
    let mut joined = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let next = at + c.len_utf8();
        let space = matches!(c, ' ' | '\u{a0}' | '\u{202f}');
        let before = joined.bytes().rev().take_while(u8::is_ascii_digit).count();
        if !(space && (1..=3).contains(&before) && digits_at(next) == 3) {
            joined.push(c);
        }
    }
    joined
}

/// Frequent words that say nothing about the subject, of the languages that the default models
/// and most users write: English, German, Spanish, French.
const STOP_WORDS: &[&str] = &[
    "a", "about", "after", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be",
    "been", "before", "but", "by", "can", "could", "did", "do", "does", "for", "from", "had",
    "has", "have", "he", "her", "his", "how", "i", "if", "in", "into", "is", "it", "its", "just",
    "me", "my", "of", "on", "or", "our", "should", "so", "some", "such", "than", "that", "the",
    "their", "them", "then", "there", "these", "they", "this", "those", "to", "us", "was", "we",
    "were", "what", "when", "where", "which", "while", "who", "whom", "whose", "why", "will",
    "with", "would", "you", "your", "s", "t", // English
    "aber", "als", "am", "auch", "auf", "aus", "bei", "bin", "bis", "das", "dass", "dem", "den",
    "der", "des", "die", "ein", "eine", "einem", "einen", "einer", "er", "es", "für", "hat",
    "hatte", "ich", "ihr", "im", "ist", "kann", "man", "mein", "mit", "nach", "nicht", "noch",
    "nur", "oder", "sich", "sie", "sind", "und", "uns", "vom", "von", "vor", "wann", "war", "was",
    "wenn", "wer", "wie", "wir", "wird", "wo", "zu", "zum", "zur", "über", // German
    "al", "como", "con", "cuando", "cuál", "cómo", "cuándo", "de", "del", "dónde", "el", "en",
    "entre", "es", "esta", "este", "ha", "la", "las", "le", "lo", "los", "más", "mi", "no", "para",
    "pero", "por", "que", "qué", "quién", "se", "sin", "son", "su", "un", "una",
    "y", // Spanish
    "au", "aux", "avec", "ce", "ces", "cette", "dans", "des", "du", "elle", "est", "et", "il",
    "je", "les", "mais", "ne", "ou", "où", "par", "pas", "pour", "quand", "qui", "sa", "ses",
    "sur", "une", // French
];

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        sentences(text).into_iter().map(|s| &text[s]).collect()
    }

    #[test]
    fn sentences_respect_wraps_items_and_abbreviations() {
        let check = |text: &str, expected: &[&str]| assert_eq!(split(text), expected, "{text}");
        check("One is\nwrapped. Two.", &["One is\nwrapped.", "Two."]);
        check("- first\n- second\n", &["- first", "- second"]);
        check("# Head\nBody here.", &["# Head", "Body here."]);
        check("Ask Dr. Weber. He knows.", &["Ask Dr. Weber.", "He knows."]);
        check("", &[]);
        check("---\n", &[]);
        check("1. one\n2. two", &["1. one", "2. two"]);
    }

    #[test]
    fn numbers_are_comparable() {
        let check = |text: &str, expected: &[&str]| {
            let expected: HashSet<String> = expected.iter().map(ToString::to_string).collect();
            assert_eq!(numbers(text), expected, "{text}");
        };
        check("at 08:14, on 2024-03-01.", &["08:14", "2024-03-01"]);
        check("1,250 EUR (3.5 %)", &["1250", "3.5"]);
        check("v2.1 and 40mm", &["V2.1", "40"]);
        check("6 402 m³ on page 12 of 400", &["6402", "12", "400"]);
        check("none", &[]);
    }

    fn evidence<'a>(texts: &[&'a str]) -> Vec<Evidence<'a>> {
        let passage = |text: &&'a str| Evidence {
            text,
            about: "",
            score: 1.0,
        };
        texts.iter().map(passage).collect()
    }

    #[test]
    fn support_wants_the_numbers_too() {
        let passages = evidence(&["The train leaves at 08:14. It is slow.", "Trains are late."]);
        let found = support("The train leaves at 08:14.", &passages, &[]).unwrap();
        assert!(found.holds());
        assert_eq!((found.passage, found.span), (0, 0..26));
        let wrong = support("The train leaves at 09:42.", &passages, &[]).unwrap();
        assert!(!wrong.holds());
        assert_eq!(wrong.missing_numbers, ["09:42"]);
        assert_eq!(support("of the", &passages, &[]), None);
    }

    #[test]
    fn a_denial_is_no_support() {
        let passages = evidence(&["The door is not locked. The lock is a Burg 444."]);
        let given = content_words("Is the door locked?");
        let holds = |claim: &str| support(claim, &passages, &given).unwrap().holds();
        assert!(!holds("Yes, the door is locked."));
        assert!(holds("No, the door isn't locked."));
        let given = content_words("Which lock is it?");
        let support = |claim: &str| support(claim, &passages, &given).unwrap().holds();
        assert!(support("The lock is a Burg 444."));
        assert!(!support("The lock is not a Burg 444."));
    }

    #[test]
    fn numbers_and_names_that_are_nowhere_are_found() {
        let texts = ["The Burg 444 was bought in March 2019.", "Ask Oskar."];
        let check = |claim: &str, expected: &[&str]| {
            assert_eq!(unheld(claim, &texts), expected, "{claim}");
        };
        check("It is a Burg 444, bought in March 2019.", &[]);
        check("It was bought in April 2020 by Oskar.", &["2020", "april"]);
        check("ask Dragan", &[]);
    }

    #[test]
    fn support_comes_from_one_sentence() {
        let passages = evidence(&["Present: Frau Adler. The new caretaker is Dragan Petrov."]);
        let given = content_words("Who is the new caretaker?");
        let holds = |claim: &str| support(claim, &passages, &given).unwrap().holds();
        assert!(holds("The new caretaker is Dragan Petrov."));
        assert!(!holds("The new caretaker is Frau Adler."));
        let codes = evidence(&["The frame number is WX-4471-K."]);
        assert!(
            !support("The frame number is 4471.", &codes, &[])
                .unwrap()
                .holds()
        );
        assert!(support("It is wx-4471-k.", &codes, &[]).unwrap().holds());
    }

    #[test]
    fn an_invented_rest_is_cut_off() {
        let passages =
            evidence(&["The charge controller is set to a float voltage of 13.6 volts."]);
        let given = content_words("What float voltage is the charge controller set to?");
        let claim = "It is set to 13.6 volts, which is the default of the maker.";
        let (part, _) = supported_part(claim, &passages, &given).unwrap();
        assert_eq!(part, "It is set to 13.6 volts");
        assert!(supported_part("It is 12 volts, at 13.6 volts.", &passages, &given).is_none());
    }

    #[test]
    fn evidence_is_chosen_by_what_is_asked() {
        let check = |question: &str, text: &str, expected: &str| {
            let passages = evidence(&[text, "Locks are useful. Doors too."]);
            let chosen = rank_sentences(question, &passages);
            let found = &passages[chosen[0].passage].text[chosen[0].span.clone()];
            assert_eq!(found, expected, "{question}");
        };
        let shed = "# Shed\n\nThe shed is green. The door lock is a Burg 444. Paint is old.";
        check(
            "Which lock is on the shed door?",
            shed,
            "The door lock is a Burg 444.",
        );
        let table = "| meter | reading |\n|---|---|\n| gas | 6402 |\n| water | 311 |\n";
        check(
            "What did the gas meter's reading say?",
            table,
            "| gas | 6402 |",
        );
        let matter = "---\ntags: [oven]\n---\nThe oven is of clay.\n";
        check("Which tags has the oven?", matter, "The oven is of clay.");
    }

    #[test]
    fn a_portion_ends_at_words_and_at_weaker_sentences() {
        let chosen = |start: usize, score: f32| Chosen {
            passage: 0,
            span: start..start + 10,
            score,
        };
        let ranked = [chosen(40, 1.0), chosen(0, 0.9), chosen(20, 0.4)];
        let check = |count, words, share, expected: &[usize]| {
            let portion = Portion {
                count,
                words,
                share,
            };
            let taken = best_sentences(&ranked, portion, |_| 10);
            let starts: Vec<usize> = taken.iter().map(|c| c.span.start).collect();
            assert_eq!(starts, expected, "{portion:?}");
        };
        check(3, 100, 0.0, &[0, 20, 40]);
        check(3, 100, 0.5, &[0, 40]);
        check(3, 15, 0.0, &[40]);
        check(1, 0, 0.0, &[40]);
    }

    #[test]
    fn names_that_are_nowhere_are_noticed() {
        let check = |question: &str, expected: &[&str]| {
            let texts = ["The train to Vienna leaves at noon."];
            assert_eq!(missing_names(question, &texts), expected, "{question}");
        };
        check("When does the ferry to Corsica leave?", &["corsica"]);
        check("When does the train to Vienna leave?", &[]);
        check("Wann fährt der Zug nach Korsika?", &[]);
        check("Train To Corsica", &[]);
    }

    #[test]
    fn coverage_counts_question_words() {
        assert!((coverage("shed colour", &["the shed is green"]) - 0.5).abs() < 1e-6);
        assert!((coverage("the of", &[]) - 1.0).abs() < 1e-6);
    }
}
