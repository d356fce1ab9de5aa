//! Words: what the lexical index knows of a text.
//!
//! A word is a run of letters and digits. Those that hold several (`getUserName`, `HTTPServer2`)
//! are told as a whole and in parts, so that either finds them. Scripts without spaces (Chinese,
//! Japanese, Thai, Lao, Khmer, Burmese) are cut by ICU's dictionaries; words of several Chinese
//! characters or kana are told by character too. Korean, whose endings cling to its words, is told
//! in pairs of syllables. Nobody sees soft hyphens and joiners: they end no word. Words are
//! lower-cased, stemmed, and stripped of accents, in this order, because stemmers want the accents.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::OnceLock;

use icu_segmenter::options::WordBreakInvariantOptions;
use icu_segmenter::{WordSegmenter, WordSegmenterBorrowed};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::language::Language;

/// Longer words are data, not language.
const LONGEST_WORD_BYTES: usize = 80;

/// A word of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Its place among the words, counted from 0; a whole and its first part share one.
    pub position: u32,
    /// Lower case, as written otherwise.
    pub text: String,
    /// Whether it is in a script that stemmers know.
    pub stems: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Script {
    None,
    Spaced,
    Unspaced,
    Korean,
}

fn script(c: char) -> Script {
    if !c.is_alphanumeric() && !is_combining_mark(c) {
        return Script::None;
    }
    match u32::from(c) {
        // Thai and Lao, Burmese, Khmer, kana, Han.
        0x0E00..=0x0EFF
        | 0x1000..=0x109F
        | 0x1780..=0x17FF
        | 0x3040..=0x30FF
        | 0x31F0..=0x31FF
        | 0x3400..=0x4DBF
        | 0x4E00..=0x9FFF
        | 0xF900..=0xFAFF
        | 0xFF66..=0xFF9F
        | 0x20000..=0x3FFFF => Script::Unspaced,
        0x1100..=0x11FF | 0x3130..=0x318F | 0xAC00..=0xD7A3 => Script::Korean,
        _ => Script::Spaced,
    }
}

/// Is it of a script that puts no spaces between words?
pub fn is_unspaced(c: char) -> bool {
    script(c) == Script::Unspaced
}

/// Is it a Chinese character or kana, of which each means something?
fn is_ideograph(c: char) -> bool {
    is_unspaced(c) && u32::from(c) >= 0x3040
}

/// Soft hyphens, joiners and marks of direction: what nobody sees, though it may stand within a word.
fn is_within_words(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200c}'
            ..='\u{200f}' | '\u{2060}' | '\u{feff}'
    )
}

/// A text as it is read: without what stands unseen within its words. Persian writes a non-joiner for
/// the space within a compound, which others leave, so there it parts them.
pub(super) fn as_read(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || !text.contains(is_within_words) {
        return Cow::Borrowed(text);
    }
    let mut read = String::with_capacity(text.len());
    for c in text.chars() {
        if !is_within_words(c) {
            read.push(c);
        } else if c == '\u{200c}' && read.ends_with(|c| ('\u{620}'..='\u{6ff}').contains(&c)) {
            read.push(' ');
        }
    }
    Cow::Owned(read)
}

fn segmenter() -> &'static WordSegmenterBorrowed<'static> {
    static SEGMENTER: OnceLock<WordSegmenterBorrowed<'static>> = OnceLock::new();
    SEGMENTER.get_or_init(|| WordSegmenter::new_dictionary(WordBreakInvariantOptions::default()))
}

/// The words of a text, in order.
pub fn words(text: &str) -> Vec<Word> {
    let text = &*as_read(text);
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    let offset = |index: usize| chars.get(index).map_or(text.len(), |(at, _)| *at);
    let script_at = |index: usize| chars.get(index).map_or(Script::None, |(_, c)| script(*c));
    let mut found = Found::default();
    let mut begin = 0;
    while begin < chars.len() {
        let kind = script_at(begin);
        let mut end = begin + 1;
        if kind == Script::None {
            begin = end;
            continue;
        }
        loop {
            if script_at(end) == kind {
                end += 1;
            } else if kind == Script::Spaced && joins_digits(&chars, end) {
                end += 2;
            } else {
                break;
            }
        }
        let run = &text[offset(begin)..offset(end)];
        match kind {
            Script::Spaced => found.spaced(run),
            Script::Unspaced => found.unspaced(run),
            Script::Korean => found.korean(run),
            Script::None => {}
        }
        // "Newton's" is about Newton.
        let possessive = kind == Script::Spaced
            && matches!(chars.get(end), Some((_, '\'' | '’')))
            && matches!(chars.get(end + 1), Some((_, 's' | 'S')))
            && script_at(end + 2) == Script::None;
        begin = if possessive { end + 2 } else { end };
    }
    found.words
}

/// Does a point or comma at `index` stand between digits?
fn joins_digits(chars: &[(usize, char)], index: usize) -> bool {
    let digit = |index: usize| chars.get(index).is_some_and(|(_, c)| c.is_numeric());
    matches!(chars.get(index), Some((_, '.' | ','))) && digit(index - 1) && digit(index + 1)
}

#[derive(Default)]
struct Found {
    words: Vec<Word>,
    position: u32,
}

impl Found {
    fn put(&mut self, text: String, stems: bool) {
        if text.len() <= LONGEST_WORD_BYTES {
            self.words.push(Word {
                position: self.position,
                text,
                stems,
            });
        }
    }

    fn spaced(&mut self, run: &str) {
        let parts = parts(run);
        self.put(run.to_lowercase(), true);
        if parts.len() > 1 {
            for part in parts {
                self.put(part.to_lowercase(), true);
                self.position += 1;
            }
        } else {
            self.position += 1;
        }
    }

    fn unspaced(&mut self, run: &str) {
        for word in pieces(run) {
            self.put(word.to_owned(), false);
            if word.chars().nth(1).is_some() && word.chars().all(is_ideograph) {
                for c in word.chars() {
                    self.put(c.to_string(), false);
                }
            }
            self.position += 1;
        }
    }

    fn korean(&mut self, run: &str) {
        let syllables: Vec<char> = run.chars().collect();
        if let [single] = syllables[..] {
            self.put(single.to_string(), false);
            self.position += 1;
        }
        for pair in syllables.windows(2) {
            self.put(pair.iter().collect(), false);
            self.position += 1;
        }
    }
}

/// The words of a run without spaces, by ICU's dictionaries.
pub(super) fn pieces(run: &str) -> impl Iterator<Item = &str> {
    let mut begin = 0;
    let words = segmenter().segment_str(run).map(move |end| {
        let word = &run[begin..end];
        begin = end;
        word
    });
    words.filter(|word| word.contains(char::is_alphanumeric))
}

/// The parts of an identifier: cut where lower case meets upper case, before the last capital of
/// several, and between letters and digits.
fn parts(run: &str) -> Vec<&str> {
    let chars: Vec<(usize, char)> = run.char_indices().collect();
    let mut cuts = vec![0];
    for (index, pair) in chars.windows(2).enumerate() {
        let ((_, a), (at, b)) = (pair[0], pair[1]);
        let next = chars.get(index + 2).map(|(_, c)| *c);
        let hump = a.is_lowercase() && b.is_uppercase();
        let acronym = a.is_uppercase() && b.is_uppercase() && next.is_some_and(char::is_lowercase);
        let number =
            a.is_alphanumeric() && b.is_alphanumeric() && a.is_alphabetic() != b.is_alphabetic();
        if hump || acronym || number {
            cuts.push(at);
        }
    }
    cuts.push(run.len());
    cuts.windows(2).map(|cut| &run[cut[0]..cut[1]]).collect()
}

/// What words come from, in one language; remembers what it has seen.
pub struct Stems {
    stemmer: Option<frostem::Stemmer>,
    seen: HashMap<String, String>,
}

impl Stems {
    /// Stems of a language; `None` only lower-cases and strips accents.
    pub fn of(language: Option<Language>) -> Self {
        Self {
            stemmer: language.and_then(Language::stemmer),
            seen: HashMap::new(),
        }
    }

    /// The stem of a word, as the index writes it.
    pub fn stem(&mut self, word: &Word) -> &str {
        // Hash before insert: most words have been seen.
        if !self.seen.contains_key(&word.text) {
            let stem = match &self.stemmer {
                Some(stemmer) if word.stems => fold(&stemmer.stem(&word.text)),
                _ => fold(&word.text),
            };
            self.seen.insert(word.text.clone(), stem);
        }
        &self.seen[&word.text]
    }
}

/// The ways in which a number of four digits or more may be written: with commas, with points, and
/// without either. Nothing for other words.
pub fn spellings(word: &str) -> Vec<String> {
    let plain = ungrouped(word);
    let digits = plain.bytes().all(|byte| byte.is_ascii_digit());
    if plain.len() < 4 || plain.starts_with('0') || !digits {
        return Vec::new();
    }
    let grouped = |mark: char| {
        let mut grouped = String::with_capacity(plain.len() * 2);
        for (at, digit) in plain.char_indices() {
            if at > 0 && (plain.len() - at).is_multiple_of(3) {
                grouped.push(mark);
            }
            grouped.push(digit);
        }
        grouped
    };
    vec![grouped(','), grouped('.'), plain.clone()]
}

/// The words as they are, and with all numbers among them written in another way.
pub fn spelled(words: &[Word]) -> Vec<Vec<Word>> {
    let mut spelled = vec![words.to_vec()];
    let numbers: Vec<Vec<String>> = words.iter().map(|word| spellings(&word.text)).collect();
    let ways = numbers.iter().map(Vec::len).max().unwrap_or(0);
    for way in 0..ways {
        let mut other = words.to_vec();
        for (word, spellings) in other.iter_mut().zip(&numbers) {
            if let Some(spelling) = spellings.get(way) {
                word.text.clone_from(spelling);
            }
        }
        if !spelled.contains(&other) {
            spelled.push(other);
        }
    }
    spelled
}

/// A number whose thousands are set apart by commas or points, without them; other words as they
/// are.
fn ungrouped(word: &str) -> String {
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    for mark in [',', '.'] {
        if let Some((first, rest)) = word.split_once(mark)
            && (1..=3).contains(&first.len())
            && digits(first)
            && !first.starts_with('0')
            && rest
                .split(mark)
                .all(|group| group.len() == 3 && digits(group))
        {
            return word.replace(mark, "");
        }
    }
    word.to_owned()
}

/// Does a text hold these words side by side, as they are written but for case, accents and the
/// marks between thousands? Signs that belong to a word (`C#`, `C++`) must stand there, too.
pub fn holds_phrase(text: &str, phrase: &str) -> bool {
    let whole = |text: &str| -> Vec<String> {
        let mut whole: Vec<(u32, String)> = Vec::new();
        for word in words(text) {
            if whole.last().is_none_or(|(last, _)| *last != word.position) {
                whole.push((word.position, ungrouped(&fold(&word.text))));
            }
        }
        whole.into_iter().map(|(_, word)| word).collect()
    };
    if !holds_signs(text, phrase) {
        return false;
    }
    let (text, phrase) = (whole(text), whole(phrase));
    phrase.is_empty() || text.windows(phrase.len()).any(|run| run == phrase)
}

/// Does a text hold the words of a phrase that begin or end with a sign, with their signs?
fn holds_signs(text: &str, phrase: &str) -> bool {
    let (text, phrase) = (as_read(text), as_read(phrase));
    let mut signed = phrase.split_whitespace().filter_map(signed).peekable();
    if signed.peek().is_none() {
        return true;
    }
    let text = fold(&text.to_lowercase());
    signed.all(|word| stands_in(&text, &fold(&word.to_lowercase())))
}

const SIGNS: [char; 2] = ['#', '+'];

/// A word with a sign at one of its ends, without the marks around it.
fn signed(word: &str) -> Option<&str> {
    let word = word.trim_matches(|c: char| !c.is_alphanumeric() && !SIGNS.contains(&c));
    let signs = word.starts_with(SIGNS) || word.ends_with(SIGNS);
    (signs && word.contains(char::is_alphanumeric)).then_some(word)
}

/// Does a word stand in a text, not as a part of another?
fn stands_in(text: &str, word: &str) -> bool {
    let goes_on = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || SIGNS.contains(&c));
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        !goes_on(before.chars().next_back()) && !goes_on(after.chars().next())
    })
}

/// Does a word of a text begin so, but for case and accents?
pub fn holds_beginning(text: &str, beginning: &str) -> bool {
    let beginning = fold(&as_read(beginning).to_lowercase());
    let mut words = words(text).into_iter();
    words.any(|word| fold(&word.text).starts_with(&beginning))
}

/// Without accents and width forms, so that `Zürich` and `Zurich` are the same.
pub fn fold(word: &str) -> String {
    if word.is_ascii() {
        return word.to_owned();
    }
    let mut folded = String::with_capacity(word.len());
    for c in word.nfkd() {
        match c {
            // Accents of Latin, Greek and Cyrillic; vowel signs of Arabic and Hebrew.
            '\u{300}'..='\u{36f}' | '\u{64b}'..='\u{652}' | '\u{670}' | '\u{5b0}'..='\u{5c7}' => {}
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'ø' => folded.push('o'),
            'đ' => folded.push('d'),
            'ł' => folded.push('l'),
            'ı' => folded.push('i'),
            'ς' => folded.push('σ'),
            other => folded.push(other),
        }
    }
    folded.nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(text: &str) -> Vec<(u32, String)> {
        let told = words(text).into_iter();
        told.map(|word| (word.position, word.text)).collect()
    }

    fn check(text: &str, expected: &[(u32, &str)]) {
        let expected: Vec<(u32, String)> = expected
            .iter()
            .map(|(p, w)| (*p, (*w).to_owned()))
            .collect();
        assert_eq!(told(text), expected, "{text}");
    }

    #[test]
    fn words_are_told_whole_and_in_parts() {
        check("Hello, world", &[(0, "hello"), (1, "world")]);
        check(
            "getUserName x",
            &[
                (0, "getusername"),
                (0, "get"),
                (1, "user"),
                (2, "name"),
                (3, "x"),
            ],
        );
        check(
            "HTTPServer",
            &[(0, "httpserver"), (0, "http"), (1, "server")],
        );
        check("snake_case-id", &[(0, "snake"), (1, "case"), (2, "id")]);
        check("python3", &[(0, "python3"), (0, "python"), (1, "3")]);
        check("Newton's law", &[(0, "newton"), (1, "law")]);
        check(
            "v1.2 at 3.14",
            &[(0, "v1.2"), (0, "v"), (1, "1.2"), (2, "at"), (3, "3.14")],
        );
        check("🦀 …", &[]);
    }

    #[test]
    fn what_nobody_sees_ends_no_word() {
        check(
            "Donau\u{ad}dampf\u{ad}schiff fährt",
            &[(0, "donaudampfschiff"), (1, "fährt")],
        );
        check("auf\u{200c}lage\u{2060}n", &[(0, "auflagen")]);
        check("1\u{ad}250 m", &[(0, "1250"), (1, "m")]);
        check("می\u{200c}خواهم", &[(0, "می"), (1, "خواهم")]);
        assert!(holds_phrase(
            "die Kessel\u{ad}druck\u{ad}anzeige",
            "kesseldruckanzeige"
        ));
        assert!(holds_beginning("Kessel\u{ad}druck", "kesseldr"));
    }

    #[test]
    fn scripts_without_spaces_are_cut() {
        check("한국어", &[(0, "한국"), (1, "국어")]);
        let chinese = told("北京大学在哪里");
        assert!(
            chinese.iter().any(|(_, w)| w == "北") && chinese.len() > 3,
            "{chinese:?}"
        );
        let thai = told("ทุกสองสัปดาห์");
        assert_eq!(thai.len(), 3, "{thai:?}");
    }

    #[test]
    fn forms_of_a_word_have_one_stem() {
        let stem = |code: &str, text: &str| {
            let mut stems = Stems::of(Language::named(code));
            stems.stem(&words(text)[0]).to_owned()
        };
        for (code, a, b) in [
            ("en", "running", "runs"),
            ("de", "Häuser", "Häusern"),
            ("ru", "домами", "домах"),
            ("es", "canciones", "canción"),
            ("zh", "Café", "cafe"),
        ] {
            assert_eq!(stem(code, a), stem(code, b), "{code}");
        }
    }

    #[test]
    fn words_begin_as_they_are_written() {
        for (text, beginning) in [
            ("All the information.", "informatio"),
            ("Die Übergabe", "überg"),
            ("Die Übergabe", "UBERG"),
            ("call getUserName now", "user"),
        ] {
            assert!(holds_beginning(text, beginning), "{beginning}");
        }
        assert!(!holds_beginning("be informed", "informatio"));
        assert!(!holds_beginning("misinformation", "informatio"));
    }

    #[test]
    fn numbers_are_written_in_several_ways() {
        assert_eq!(spellings("1250"), ["1,250", "1.250", "1250"]);
        assert_eq!(
            spellings("1.234.567"),
            ["1,234,567", "1.234.567", "1234567"]
        );
        for other in [
            "125", "1,25", "01250", "1.25", "1,2500", "word", "v1250", "",
        ] {
            assert_eq!(spellings(other), Vec::<String>::new(), "{other}");
        }
        let texts = |text: &str| -> Vec<Vec<String>> {
            let spelled = spelled(&words(text)).into_iter();
            let texts = spelled.map(|words| words.into_iter().map(|word| word.text).collect());
            texts.collect()
        };
        assert_eq!(texts("a word"), [["a", "word"]]);
        assert_eq!(
            texts("1250 eur"),
            [["1250", "eur"], ["1,250", "eur"], ["1.250", "eur"]]
        );
        assert!(holds_phrase("It cost 1,250 EUR.", "1250"));
        assert!(holds_phrase("It cost 1250 EUR.", "1.250 eur"));
        assert!(!holds_phrase("It cost 1,250 EUR.", "250"));
    }

    #[test]
    fn phrases_stand_as_they_are() {
        assert!(holds_phrase("The Sour-Dough bread", "sour dough"));
        assert!(!holds_phrase("sour doughs", "sour dough"));
        assert!(!holds_phrase("sour, big dough", "sour dough"));
        assert!(holds_phrase("call getUserName now", "getUserName"));
        assert!(holds_phrase("anything", "…"));
        assert!(holds_phrase("written in C# and C++.", "c++"));
        assert!(holds_phrase("written in (C#).", "in C#"));
        assert!(!holds_phrase("Vitamin C, a C major chord", "C#"));
        assert!(!holds_phrase("written in C# alone", "C++"));
        assert!(holds_phrase("a + b", "a+b"), "no sign of a word");
    }

    proptest! {
        #[test]
        fn any_text_has_words_in_order(text in any::<String>()) {
            let words = words(&text);
            prop_assert!(words.windows(2).all(|w| w[0].position <= w[1].position));
            let mut stems = Stems::of(Some(Language::ENGLISH));
            for word in &words {
                prop_assert!(!word.text.is_empty());
                stems.stem(word);
            }
        }
    }
}
