//! Where sentences begin and end, in notes as people write them.
//!
//! Beside prose there are items, rows, headings, cards and code; what belongs together is told by
//! the lines, as nobody marks it.

pub mod code;
pub mod lines;

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use super::figure::is_calendar_word;
use super::language::{Language, STOP_WORDS};
use super::question::asks_what_in_german;
use super::text::Text;
use code::{Code, inline_code};
use lines::{heading_at, is_heading, is_item, segments};

/// Byte ranges of the sentences of `text`, trimmed, in order.
///
/// Line wraps inside a paragraph do not end a sentence; list items, headings, table rows, quotes,
/// blank lines, and lines that nobody wrapped do. Code between fences is not cut as prose is: lines
/// of it without a blank one between them are one sentence, with their indentation, ten at most. Its
/// fences are of none. Nothing ends within `code` in a line, or within an address.
pub fn sentences<'a>(text: impl Into<Text<'a>>) -> Vec<Range<usize>> {
    let text = text.into();
    let mut found = Vec::new();
    for segment in segments(text) {
        if segment.is_code {
            let code = text[segment.span.clone()].trim_end();
            if code.chars().any(char::is_alphanumeric) {
                found.push(segment.span.start..segment.span.start + code.len());
            }
            continue;
        }
        let segment = segment.span;
        // Sentence segmentation ends at every newline; a space has the same width.
        let flat = text[segment.clone()].replace(['\n', '\r'], " ");
        let (mut begin, mut ended) = (None, 0);
        for (start, piece) in without_false_ends(&flat).split_sentence_bound_indices() {
            let first = *begin.get_or_insert(start.max(ended));
            let end = start + piece.len();
            let numbers_item = start == 0 && is_number_of_item(piece);
            if numbers_item || goes_on(&flat, start..end) {
                continue;
            }
            ended = end + closing_marks(&flat, end);
            push_trimmed(
                &text,
                segment.start + first..segment.start + ended,
                &mut found,
            );
            begin = None;
        }
        if let Some(first) = begin {
            push_trimmed(&text, segment.start + first..segment.end, &mut found);
        }
    }
    found
}

/// Bytes of the marks that close an emphasis right behind the end of a sentence: of `**Why?** Because.`
/// the second two stars. At the head of the next sentence they would be taken for those of a heading.
fn closing_marks(flat: &str, end: usize) -> usize {
    let rest = &flat[end..];
    let marks = rest.len() - rest.trim_start_matches(EMPHASIS).len();
    let closes = flat[..end].ends_with(|c: char| !c.is_whitespace());
    let is_apart = rest[marks..].chars().next().is_none_or(char::is_whitespace);
    if closes && is_apart { marks } else { 0 }
}

/// What marks an emphasis, what is struck out, and what is highlighted.
const EMPHASIS: [char; 4] = ['*', '_', '~', '='];

/// A sentence without the marks that close an emphasis behind its stop.
pub(super) fn unmarked(sentence: &str) -> &str {
    sentence.trim_end_matches(EMPHASIS)
}

/// The text, as wide as it was, without marks that end no sentence: those in `code`, which may begin
/// one as a capital does, and those that
/// something follows at once, as in `/search?q=a` and `[!note]`. A sentence ends behind the numbers of
/// its notes: `It is so.[^1]`.
fn without_false_ends(flat: &str) -> String {
    let mut bytes = flat.as_bytes().to_vec();
    for code in inline_code(flat) {
        bytes[code].fill(b'X');
    }
    for at in 0..bytes.len().saturating_sub(1) {
        let behind = bytes[at + 1];
        let goes_on = behind.is_ascii_alphanumeric() || b"([{=/_&".contains(&behind);
        if matches!(bytes[at], b'!' | b'?') && goes_on {
            bytes[at] = b'x';
        }
    }
    for at in 0..bytes.len() {
        let marks = note_marks(&bytes[at + 1..]);
        if matches!(bytes[at], b'.' | b'!' | b'?') && marks > 0 {
            let end = bytes[at];
            bytes[at..at + marks].fill(b'x');
            bytes[at + marks] = end;
        }
    }
    // Whole characters were replaced by letters of one byte.
    String::from_utf8(bytes).unwrap_or_else(|_| flat.to_owned())
}

/// Bytes of the marks of notes that a text begins with, `[^1]` or `[7][8]`, where nothing else follows
/// them at once.
fn note_marks(text: &[u8]) -> usize {
    let mut end = 0;
    while text.get(end) == Some(&b'[') {
        let name = text[end + 1..].iter().take_while(|byte| **byte != b']');
        let name: Vec<u8> = name.copied().collect();
        let number = name.strip_prefix(b"^").unwrap_or(&name);
        let is_note = name.len() > number.len() || number.iter().all(u8::is_ascii_digit);
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        let closes = text.get(end + 1 + name.len()) == Some(&b']');
        if !(closes && is_note && !number.is_empty() && number.iter().all(is_name)) {
            break;
        }
        end += name.len() + 2;
    }
    let goes_on = text
        .get(end)
        .is_some_and(|byte| !byte.is_ascii_whitespace());
    if goes_on { 0 } else { end }
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

/// "1. ", before the item that it numbers.
fn is_number_of_item(piece: &str) -> bool {
    let number = piece.trim().strip_suffix(['.', ')']);
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Does a sentence go on behind this piece of a text, which ends with an abbreviation, an initial or
/// an ordinal?
///
/// Some stand at ends as well: there the next sentence shows itself by a word such as "The". While
/// a text is being written its last word may not be whole, and shows nothing.
fn goes_on(text: &str, piece: Range<usize>) -> bool {
    const ALWAYS: [&str; 21] = [
        "mr.", "mrs.", "ms.", "dr.", "prof.", "vs.", "e.g.", "i.e.", "z.b.", "bzw.", "d.h.", "fa.",
        "hr.", "inkl.", "evtl.", "ggf.", "vgl.", "zzgl.", "sog.", "dep.", "arr.",
    ];
    const BEFORE_NUMBERS: [&str; 26] = [
        "no.", "nr.", "p.", "pp.", "fig.", "ca.", "tel.", "abb.", "bd.", "rd.", "ave.", "max.",
        "min.", "art.", "kap.", "whg.", "s.", "abs.", "ziff.", "zi.", "blvd.", "sec.", "vol.",
        "ch.", "eq.", "tab.",
    ];
    const AT_ENDS_TOO: [&str; 9] = [
        "etc.", "approx.", "inc.", "ltd.", "jr.", "sr.", "st.", "usw.", "u.a.",
    ];
    let rest = &text[piece.end..];
    let written = text[piece.clone()]
        .split_whitespace()
        .next_back()
        .unwrap_or("");
    let written = written.trim_start_matches(['(', '[', '"', '*', '_']);
    let word = written.to_lowercase();
    let is = |list: &[&str]| list.contains(&word.as_str());
    let number = rest
        .trim_start_matches(['+', '('])
        .starts_with(|c: char| c.is_ascii_digit());
    let next = rest.unicode_words().next().unwrap_or("");
    let whole = rest.len() > next.len();
    let begins = whole && STOP_WORDS.contains(&next.to_lowercase().as_str());
    is(&ALWAYS)
        || number && (is(&BEFORE_NUMBERS) || word.ends_with("str."))
        || !begins && (is(&AT_ENDS_TOO) || initials(written))
        || is_ordinal(written) && (!whole || is_ordered(text, piece.end, next))
}

/// "W.", "U.S." or the parts of "z. B.": single letters with stops behind them.
fn initials(word: &str) -> bool {
    let Some(letters) = word.strip_suffix('.') else {
        return false;
    };
    let single = |part: &str, is: fn(char) -> bool| {
        let mut chars = part.chars();
        chars.next().is_some_and(is) && chars.next().is_none()
    };
    single(letters, char::is_alphabetic)
        || letters
            .split('.')
            .all(|part| single(part, char::is_uppercase))
}

/// "3.", as in "am 3. Juni".
fn is_ordinal(word: &str) -> bool {
    let digits = word.strip_suffix('.').unwrap_or("");
    (1..=2).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Is the word behind an ordinal one that it orders: a month, a day of the week, or a German noun
/// behind "am" or "den"? The ordinal ends at `end` in the text, and `next` stands behind it.
fn is_ordered(text: &str, end: usize, next: &str) -> bool {
    const BEFORE: [&str; 14] = [
        "der", "die", "das", "den", "dem", "des", "am", "im", "vom", "zum", "zur", "beim", "jeder",
        "jeden",
    ];
    let is_stop = |word: &str| STOP_WORDS.contains(&word.to_lowercase().as_str());
    if is_calendar_word(next) {
        // "I have 3. May I go?"
        let behind = text[end..].unicode_words().nth(1);
        return !(next == "May" && behind.is_some_and(is_stop));
    }
    let lead = text[..end].split_whitespace().rev().nth(1).unwrap_or("");
    let ordered = BEFORE.contains(&lead.to_lowercase().as_str());
    ordered && is_capital(next) && !is_stop(next) && is_german(text)
}

/// Does a sentence ask something?
pub fn is_question(sentence: &str) -> bool {
    let marks = |c: char| c.is_whitespace() || "*_~=\"')”".contains(c);
    sentence.trim_end_matches(marks).ends_with(['?', '？', '؟'])
}

/// Is all of a sentence struck out: "~~The fee is 60 euros.~~"? A task that is struck out was done.
pub(super) fn is_struck(sentence: &str) -> bool {
    let struck = sentence.trim_end_matches(['.', '!', '?']);
    struck.starts_with("~~") && struck.ends_with("~~") && struck.matches("~~").count() == 2
}

/// Does it end as sentences do, in whatever script?
pub(super) fn ends_with_stop(sentence: &str) -> bool {
    let marks = |c: char| c.is_whitespace() || "*_~=\"')”」』）".contains(c);
    sentence.trim_end_matches(marks).ends_with([
        '.', '!', '?', ':', '…', '。', '！', '？', '：', '؟', '۔', '।',
    ])
}

/// The lists of a text: the sentences of each, in order, and the line that leads into it where one
/// does. An item may have several sentences. Code belongs to a list of steps, which are numbered;
/// other lists end at code, which belongs to their last item alone.
pub fn lists<'a>(text: impl Into<Text<'a>>) -> Vec<List> {
    let text = text.into();
    let mut lists: Vec<List> = Vec::new();
    let mut before: Option<Range<usize>> = None;
    let mut open = false;
    let code = Code::of(text);
    for span in sentences(text) {
        let sentence = &text[span.clone()];
        let gap = |last: &Range<usize>| text[last.end..span.start].matches('\n').count();
        let is_code = code.is(&span);
        let item = !is_code && is_item(sentence);
        // Behind code, a fence stands between.
        let most = |last: &Range<usize>| 1 + usize::from(code.is_fenced(last.start));
        let follows = before.as_ref().is_some_and(|last| gap(last) <= most(last));
        let is_step = is_code && lists.last().is_some_and(|list| list.is_numbered(&text));
        let other = is_heading(sentence) || sentence.starts_with('|');
        let is_more = !is_code && follows && !other;
        let goes_on = open && (item || is_step || is_more);
        match lists.last_mut() {
            Some(list) if goes_on => list.sentences.push(span.clone()),
            _ if item => {
                let leads = |last: &Range<usize>| {
                    let line = &text[last.clone()];
                    let right_above = gap(last) <= 1 && !unmarked(line).ends_with(['.', '!']);
                    let opens = line.ends_with(':') || is_question(line) || right_above;
                    let other = heading_at(text.as_str(), last).is_some() || line.starts_with('|');
                    opens && !other && !is_heading(line) && !code.is(last)
                };
                lists.push(List {
                    lead_in: before.clone().filter(leads),
                    sentences: vec![span.clone()],
                });
            }
            _ => {}
        }
        open = item || goes_on;
        before = Some(span);
    }
    lists.retain(|list| list.sentences.len() > 1);
    lists
}

/// A list of a text, as spans of its sentences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// The line above the items that leads into them.
    pub lead_in: Option<Range<usize>>,
    /// The items and what else belongs to them, in order.
    pub sentences: Vec<Range<usize>>,
}

impl List {
    fn is_numbered(&self, text: &str) -> bool {
        let first = self.sentences.first();
        first.is_some_and(|first| text[first.clone()].starts_with(|c: char| c.is_ascii_digit()))
    }
}

/// The part of a list that is quoted: from its beginning, or from `first` on where that would be
/// left out, as many as hold `words` words, one at least.
pub fn part_of_list(text: &str, list: &List, first: usize, words: usize) -> Range<usize> {
    let price = |at: usize| text[list.sentences[at].clone()].split_whitespace().count();
    let count = list.sentences.len();
    let end_from = |start: usize| {
        let mut spent = 0;
        let fitting = (start..count).take_while(|at| {
            spent += price(*at);
            spent <= words
        });
        (start + fitting.count()).max(start + 1)
    };
    let first = first.min(count.saturating_sub(1));
    let end = end_from(0);
    if first < end {
        return 0..end;
    }
    first..end_from(first)
}

pub(super) fn is_capital(word: &str) -> bool {
    word.starts_with(char::is_uppercase)
}

/// Is it German, whose nouns all have capitals? One word alone does not tell: who can die is not
/// German, nor is Vincent van der Berg.
pub(super) fn is_german(text: &str) -> bool {
    const ASKING: [&str; 14] = [
        "wann", "wer", "wie", "wo", "was", "welche", "welcher", "welches", "warum", "wen", "wem",
        "wessen", "woher", "wohin",
    ];
    const TELLING: [&str; 28] = [
        "der", "die", "das", "dem", "ein", "eine", "einen", "einem", "einer", "ist", "und", "nach",
        "mit", "für", "wird", "wurde", "sind", "nicht", "zum", "zur", "im", "auf", "aus", "bei",
        "zwei", "drei", "ich", "sich",
    ];
    const ENGLISH: [&str; 10] = [
        "the", "of", "a", "an", "and", "is", "was", "to", "did", "does",
    ];
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower.unicode_words().collect();
    let first = words.first().copied().unwrap_or("");
    // "Was" opens English questions, too.
    let asks = ASKING.contains(&first) && (first != "was" || asks_what_in_german(text));
    let english = words.iter().any(|word| ENGLISH.contains(word));
    let tells = ["der", "die", "das", "ein", "eine"].contains(&first) && !english;
    let mut german = words.clone();
    german.retain(|word| ASKING.contains(word) && *word != "was" || TELLING.contains(word));
    german.sort_unstable();
    german.dedup();
    asks || tells || german.len() > 1 || Language::detect(text) == Language::named("de")
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn split(text: &str) -> Vec<&str> {
        sentences(text).into_iter().map(|s| &text[s]).collect()
    }

    #[test]
    fn sentences_respect_wraps_items_and_abbreviations() {
        let check = |text: &str, expected: &[&str]| assert_eq!(split(text), expected, "{text}");
        check("One is\nwrapped. Two.", &["One is\nwrapped.", "Two."]);
        check("- first\n- second\n", &["- first", "- second"]);
        check("# Head\nBody here.", &["# Head", "Body here."]);
        check("Ask Dr. Weber. He knows.", &["Ask Dr. Weber.", "He knows."]);
        let train = "Train to Split, dep. Friday 18:38, arr. Saturday 10:12.";
        check(train, &[train]);
        check("", &[]);
        check("---\n", &[]);
        check("1. one\n2. two", &["1. one", "2. two"]);
        check("1. One\n2. Two", &["1. One", "2. Two"]);
        check("The U.S. Army left.", &["The U.S. Army left."]);
        check(
            "He lives in the U.S. The house is old.",
            &["He lives in the U.S.", "The house is old."],
        );
        check("George W. Bush left.", &["George W. Bush left."]);
        check(
            "The answer is no. The key is here.",
            &["The answer is no.", "The key is here."],
        );
        check("See No. 5 Elm Street.", &["See No. 5 Elm Street."]);
        check(
            "We sell nuts, etc. The shop is old.",
            &["We sell nuts, etc.", "The shop is old."],
        );
        let whole = |text: &str| check(text, &[text]);
        whole("Das Fest ist am 3. Juni um 9 Uhr im Hof.");
        whole("Am 5. Juli ziehen wir um.");
        whole("Die Küche zieht in den 2. Stock um.");
        whole("Wir brauchen z. B. Milch und u. a. Mehl, d. h. Vorräte.");
        whole("Wir kaufen Obst, z. B. Äpfel, bei Fa. Krüger in der Kantstr. 12, Berlin.");
        whole("Die Praxis hat Tel. 030 4411 und Whg. 5 A.");
        whole("We meet at St. Mary's Rd. 14 A.");
        whole("Die Karte steht auf S. 14 Mitte, Abb. 3 B.");
        whole("Alles ist da, inkl. Strom und evtl. Wasser.");
        check("I have 3. He has 4.", &["I have 3.", "He has 4."]);
        check("I have 3. May I go?", &["I have 3.", "May I go?"]);
        check("Ich habe 3. Er hat 4.", &["Ich habe 3.", "Er hat 4."]);
        check(
            "It was built in 1987. The roof is new.",
            &["It was built in 1987.", "The roof is new."],
        );
        check(
            "We saw Anna. 5 People came.",
            &["We saw Anna.", "5 People came."],
        );
        // The last word may go on: "Army".
        check("The U.S. A", &["The U.S. A"]);
        check(
            "**How long is it?** It is 4 metres long. **So.**\nAnd *wide!* Yes.",
            &[
                "**How long is it?**",
                "It is 4 metres long.",
                "**So.**",
                "And *wide!*",
                "Yes.",
            ],
        );
        check(
            "Ask **Dr.** Weber. **He** knows.",
            &["Ask **Dr.** Weber.", "**He** knows."],
        );
        check("**Is it so?**", &["**Is it so?**"]);
        let (old, new) = ("~~The fee is 60 euros.~~", "The fee is 72 euros.");
        check(&format!("{old} {new}"), &[old, new]);
        assert!(is_struck(old) && !is_struck(new) && !is_struck("- ~~Pay the fee.~~"));
        assert!(is_struck("~~The fee is 60 euros~~.") && !is_struck("~~60~~ euros or ~~72~~"));
        assert!(is_question("~~Is it so?~~") && ends_with_stop("==It is so.=="));
    }

    #[test]
    fn nothing_ends_in_code_or_in_an_address() {
        let check = |text: &str, expected: &[&str]| assert_eq!(split(text), expected, "{text}");
        let panic = "Call `panic!` where the `?` operator does not help.";
        check(&format!("{panic} It ends."), &[panic, "It ends."]);
        check(
            "See https://a.b/c?d=e! Yes.",
            &["See https://a.b/c?d=e!", "Yes."],
        );
        check("[!note] Mind the gap.", &["[!note] Mind the gap."]);
        check("Really? Yes! No.", &["Really?", "Yes!", "No."]);
        check(
            "A tick ` is no code. It stays.",
            &["A tick ` is no code.", "It stays."],
        );
        check(
            "Use ``a ` b. C`` here. Yes.",
            &["Use ``a ` b. C`` here.", "Yes."],
        );
        check("`ü! ä. Ö` is. So.", &["`ü! ä. Ö` is.", "So."]);
    }

    #[test]
    fn lists_are_found_with_what_leads_into_them() {
        let check = |text: &str, expected: &[(Option<&str>, &[&str])]| {
            let found = lists(text);
            let found: Vec<(Option<&str>, Vec<&str>)> = found
                .into_iter()
                .map(|list| {
                    let lead_in = list.lead_in.map(|span| &text[span]);
                    let sentences = list.sentences.into_iter().map(|span| &text[span]);
                    (lead_in, sentences.collect())
                })
                .collect();
            let expected: Vec<(Option<&str>, Vec<&str>)> = expected
                .iter()
                .map(|(lead_in, sentences)| (*lead_in, sentences.to_vec()))
                .collect();
            assert_eq!(found, expected, "{text}");
        };
        check(
            "Hold the button, then:\n\n1. Wait. It blinks.\n2. Let go.\n\nThe lamp is red.",
            &[(
                Some("Hold the button, then:"),
                &["1. Wait.", "It blinks.", "2. Let go."],
            )],
        );
        check("# Pack\n- one\n\n- two\n", &[(None, &["- one", "- two"])]);
        check(
            "To reset it\n- a\n- b",
            &[(Some("To reset it"), &["- a", "- b"])],
        );
        check("**Water them.**\n- a\n- b", &[(None, &["- a", "- b"])]);
        check("The shed is old.\n\n- one thing\n", &[]);
        check("- a:\n\n`b`\n\n- c:\n\n```\nd\n```\n", &[]);
        check(
            "1. Run:\n   ```\n   a\n   ```\n2. Wait.",
            &[(None, &["1. Run:", "   a", "2. Wait."])],
        );
        check(
            "1. Run:\n   ```\n   a\n   ```\n   It is slow.\n2. Wait.",
            &[(None, &["1. Run:", "   a", "It is slow.", "2. Wait."])],
        );
    }

    #[test]
    fn a_long_list_is_quoted_in_part() {
        let text = "- a b\n- c d\n- e f\n- g h\n";
        let list = lists(text).remove(0);
        let check = |first: usize, words: usize, expected: Range<usize>| {
            assert_eq!(
                part_of_list(text, &list, first, words),
                expected,
                "{first} {words}"
            );
        };
        check(0, 100, 0..4);
        check(0, 6, 0..2);
        check(1, 6, 0..2);
        check(3, 6, 3..4);
        check(2, 0, 2..3);
    }
}
