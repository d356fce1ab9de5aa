//! Masking: what is private leaves as a placeholder and is put back into what comes home.
//!
//! Hidden are mail addresses, links, secrets, numbers of three digits and more, names, and what the
//! owner lists. Too much rather than too little: every word that is capitalised within a sentence
//! counts as a name, and so does one at a sentence's head unless the same texts hold it in lower
//! case and nothing else tells; digits are one number across all that people write between them; what
//! stands behind "password:" is hidden to the end of its line or of its cell, because
//! nobody can tell where a secret of several words ends; and what overlaps is hidden as a whole.
//! Scripts without capitals have no names to be seen here: those belong on the owner's list, and are
//! found there also where no space sets them apart. The same word has the same placeholder
//! throughout, so that what is said about it stays readable.

mod address;
mod listed;
mod names;
mod secret;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::Range;

use unicode_normalization::char::is_combining_mark;

use super::gate::is_out_of_sight;
use address::{is_link, mail};
use listed::Listed;
use names::Names;
use secret::{of_lines, secret};

/// Digits from which a number is private.
const LEAST_DIGITS: usize = 3;

/// What is hidden, by the name of its placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Hidden {
    Private,
    Secret,
    Mail,
    Link,
    Number,
    Name,
}

impl Hidden {
    fn as_str(self) -> &'static str {
        match self {
            Self::Private => "PRIVATE",
            Self::Secret => "SECRET",
            Self::Mail => "MAIL",
            Self::Link => "LINK",
            Self::Number => "NUMBER",
            Self::Name => "NAME",
        }
    }
}

/// What was hidden in some texts, and by what.
#[derive(Clone, Debug)]
pub struct Mask {
    private: Listed,
    names: Names,
    /// Behind the kind in every placeholder, so that none is in the texts already.
    mark: String,
    placeholders: HashMap<(Hidden, String), String>,
    originals: HashMap<String, String>,
}

impl Mask {
    /// A mask for texts that leave together, and what is asked of them: which words are names is seen
    /// from all of them, but people ask for names in lower case. `private` is the owner's list.
    pub fn new(private: &[String], texts: &[&str], asked: &[&str]) -> Self {
        let mut mark = String::from("_");
        while texts
            .iter()
            .chain(asked)
            .any(|text| kinds().any(|kind| holds(text, kind, &mark)))
        {
            mark.insert(0, 'X');
        }
        Self {
            private: Listed::new(private),
            names: Names::of(texts, asked),
            mark,
            placeholders: HashMap::new(),
            originals: HashMap::new(),
        }
    }

    /// A text without what is private.
    pub fn hide(&mut self, text: &str) -> String {
        let mut hidden = String::with_capacity(text.len());
        let mut at = 0;
        for (span, kind) in self.spans(text) {
            hidden.push_str(&text[at..span.start]);
            hidden.push_str(&self.placeholder(kind, &text[span.clone()]));
            at = span.end;
        }
        hidden.push_str(&text[at..]);
        hidden
    }

    /// How much is hidden.
    pub fn hidden(&self) -> usize {
        self.originals.len()
    }

    /// A text with everything put back.
    pub fn restore(&self, text: &str) -> String {
        let mut restored = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let found = self.at_head(rest);
            let (original, length) = found.unwrap_or((&rest[..first.len_utf8()], first.len_utf8()));
            restored.push_str(original);
            rest = &rest[length..];
        }
        restored
    }

    /// What the placeholder at the head of a text stands for, and how long it is. Models write
    /// `NAME\_1`, and in lower case.
    fn at_head(&self, text: &str) -> Option<(&str, usize)> {
        let head = text.as_bytes();
        let is = |kind: &Hidden| {
            let kind = kind.as_str().as_bytes();
            head.len() > kind.len() && head[..kind.len()].eq_ignore_ascii_case(kind)
        };
        let mut end = kinds().find(is)?.as_str().len();
        end += head[end..]
            .iter()
            .take_while(|c| c.eq_ignore_ascii_case(&b'x'))
            .count();
        end += usize::from(head.get(end) == Some(&b'\\'));
        end += usize::from(head.get(end) == Some(&b'_'));
        end += head[end..]
            .iter()
            .take_while(|c| c.is_ascii_digit())
            .count();
        let name = text[..end].replace('\\', "").to_ascii_uppercase();
        Some((self.originals.get(&name)?, end))
    }

    fn placeholder(&mut self, kind: Hidden, text: &str) -> String {
        let key = if matches!(kind, Hidden::Name | Hidden::Private) {
            text.to_lowercase()
        } else {
            text.to_owned()
        };
        let known = self.placeholders.len() + 1;
        let original = self.names.original(&key).cloned();
        let entry = self.placeholders.entry((kind, key));
        let placeholder = entry.or_insert_with(|| {
            let mut name = String::from(kind.as_str());
            let _ = write!(name, "{}{known}", self.mark);
            let original = original.filter(|_| kind == Hidden::Name);
            let original = original.unwrap_or_else(|| text.to_owned());
            self.originals.insert(name.clone(), original);
            name
        });
        placeholder.clone()
    }

    /// What is private in a text, in order; no two overlap.
    fn spans(&self, text: &str) -> Vec<(Range<usize>, Hidden)> {
        let mut spans: Vec<(Range<usize>, Hidden)> = Vec::new();
        let listed = self.private.spans(text).into_iter();
        spans.extend(listed.map(|span| (span, Hidden::Private)));
        let pieces: Vec<Range<usize>> = pieces_of(text).collect();
        of_pieces(text, &pieces, &mut spans);
        of_lines(text, &mut spans);
        let names = words_of(text).filter(|word| self.names.hold(&text[word.clone()]));
        spans.extend(names.map(|word| (word, Hidden::Name)));
        united(spans)
    }
}

/// Spans in order; of those that overlap the whole, as what the longest is, or the first of them.
fn united(mut spans: Vec<(Range<usize>, Hidden)>) -> Vec<(Range<usize>, Hidden)> {
    spans.sort_by_key(|(span, _)| span.start);
    let mut whole: Vec<(Range<usize>, Hidden)> = Vec::new();
    let mut longest = 0;
    for (span, kind) in spans {
        match whole.last_mut() {
            Some((last, known)) if span.start < last.end => {
                if span.len() > longest {
                    longest = span.len();
                    *known = kind;
                }
                last.end = last.end.max(span.end);
            }
            _ => {
                longest = span.len();
                whole.push((span, kind));
            }
        }
    }
    whole
}

fn kinds() -> impl Iterator<Item = Hidden> {
    use Hidden::{Link, Mail, Name, Number, Private, Secret};
    [Private, Secret, Mail, Link, Number, Name].into_iter()
}

fn holds(text: &str, kind: Hidden, mark: &str) -> bool {
    let name = format!("{}{mark}", kind.as_str());
    text.to_uppercase().contains(&name)
}

/// Of what placeholders are made.
fn is_mark(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '\\'
}

/// Puts everything back into a text that comes piece by piece.
pub struct Restoring {
    mask: Mask,
    held: String,
}

impl Restoring {
    /// Into what comes home of a mask.
    pub fn new(mask: Mask) -> Self {
        let held = String::new();
        Self { mask, held }
    }

    /// Takes a piece; gives what is sure to be whole.
    pub fn take(&mut self, piece: &str) -> String {
        self.held.push_str(piece);
        let sure = self.held.trim_end_matches(is_mark).len();
        let rest = self.held.split_off(sure);
        let sure = std::mem::replace(&mut self.held, rest);
        self.mask.restore(&sure)
    }

    /// What was held back.
    pub fn end(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        self.mask.restore(&held)
    }
}

/// Runs of letters and digits, with accents of their own and what nobody sees in between.
fn words_of(text: &str) -> impl Iterator<Item = Range<usize>> {
    let clings = |c: char| is_combining_mark(c) || is_out_of_sight(c);
    let words = runs(text, move |c| c.is_alphanumeric() || clings(c));
    words.filter_map(move |word| {
        let said = &text[word.clone()];
        let start = word.start + said.find(char::is_alphanumeric)?;
        Some(start..word.end)
    })
}

/// What stands between white space, without the marks around it.
fn pieces_of(text: &str) -> impl Iterator<Item = Range<usize>> {
    let around = |c: char| "()[]{}<>\"'“”‘’«».,;:!?*`~|".contains(c);
    runs(text, |c| !c.is_whitespace()).filter_map(move |piece| {
        let said = &text[piece.clone()];
        let start = piece.start + (said.len() - said.trim_start_matches(around).len());
        let end = piece.end - (said.len() - said.trim_end_matches(around).len());
        (start < end).then_some(start..end)
    })
}

fn runs(text: &str, is: impl Fn(char) -> bool) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text[at..].find(&is)?;
        let end = text[start..].find(|c| !is(c));
        at = end.map_or(text.len(), |end| start + end);
        Some(start..at)
    })
}

/// Mail addresses, links, secrets and numbers.
fn of_pieces(text: &str, pieces: &[Range<usize>], spans: &mut Vec<(Range<usize>, Hidden)>) {
    let mut n = 0;
    while n < pieces.len() {
        let piece = pieces[n].clone();
        let said = &text[piece.clone()];
        if let Some(mail) = mail(text, pieces, n) {
            spans.push((mail, Hidden::Mail));
        } else if is_link(said) {
            spans.push((piece, Hidden::Link));
        } else if let Some(secret) = secret(text, pieces, n) {
            spans.push((secret, Hidden::Secret));
        } else {
            // `+43 660 123`, `AT61 1904…`, `Z-4711`, `4711B`.
            let last = if is_group(said) {
                last_group(text, pieces, n)
            } else {
                n
            };
            let whole = piece.start..pieces[last].end;
            let digits = text[whole.clone()].chars().filter(|c| c.is_numeric());
            if digits.count() >= LEAST_DIGITS {
                spans.push((whole, Hidden::Number));
            }
            n = last;
        }
        n += 1;
    }
}

/// Digits, or letters with digits: a part of the number of a telephone, of an account.
fn is_group(said: &str) -> bool {
    let mixed = said.chars().all(char::is_alphanumeric)
        && said.contains(|c: char| c.is_ascii_digit())
        && said.contains(char::is_alphabetic);
    mixed || is_number(said)
}

/// What people write between the groups of a number, and how much of it at most.
const JOINING: &str = "-‐‑‒–—−./(),·*";
const MOST_JOINING: usize = 3;

/// The last piece of the number that begins with piece `n`.
fn last_group(text: &str, pieces: &[Range<usize>], n: usize) -> usize {
    let head = &text[pieces[n].clone()];
    let is_bank = |next: &str| {
        let (country, check) = head.split_at_checked(2).unwrap_or_default();
        let letters = |said: &str| said.bytes().all(|c| c.is_ascii_alphabetic());
        letters(country) && check.len() == 2 && letters(next) && next.len() == 4
    };
    let mut last = n;
    for (next, piece) in pieces.iter().enumerate().skip(n + 1) {
        let between = &text[pieces[last].end..piece.start];
        let said = &text[piece.clone()];
        let joins = |c: char| JOINING.contains(c) || c.is_whitespace() && c != '\n';
        let joined = between.chars().all(joins) && between.chars().count() <= MOST_JOINING;
        if !joined && !between.trim().is_empty() {
            break;
        }
        if is_group(said) || next == n + 1 && is_bank(said) {
            last = next;
        } else if !said.chars().all(joins) {
            break;
        }
    }
    last
}

fn is_number(said: &str) -> bool {
    said.chars().any(char::is_numeric)
        && said
            .chars()
            .all(|c| c.is_numeric() || "+-./,:()'’–%€$£#°x".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(super) fn hidden(private: &[&str], text: &str) -> String {
        let private: Vec<String> = private.iter().map(ToString::to_string).collect();
        let mut mask = Mask::new(&private, &[text], &[]);
        let hidden = mask.hide(text);
        assert_eq!(mask.restore(&hidden), text);
        hidden
    }

    #[test]
    fn a_question_in_lower_case_gives_nobody_away() {
        let note = "People:\n- Huber: plumber, comes on Tuesdays\n- Plumbers: see above";
        let question = "Question: when does huber come?";
        let mut mask = Mask::new(&[], &[note], &[question]);
        for text in [note, question] {
            let hidden = mask.hide(text);
            assert!(!hidden.to_lowercase().contains("huber"), "{hidden}");
            assert_eq!(mask.restore(&hidden).to_lowercase(), text.to_lowercase());
        }
        assert!(mask.hide(question).contains("come?"));
    }

    #[test]
    fn what_is_private_does_not_leave() {
        let leaves = |text: &str, gone: &[&str]| {
            let hidden = hidden(&[], text);
            for word in gone {
                assert!(!hidden.contains(word), "{word} in {hidden}");
            }
        };
        leaves("write to anna.huber@example.org soon", &["anna", "example"]);
        leaves("call +43 660 123 45 67 today", &["660", "67", "+43"]);
        leaves(
            "the account AT61 1904 3002 3457 3201 is hers",
            &["AT61", "3201", "1904"],
        );
        leaves(
            "see https://intra.example.org/anna?id=7",
            &["intra", "anna"],
        );
        leaves("password: hunter2 and pin=0815", &["hunter2", "0815"]);
        leaves("the wifi password is correcthorse", &["correcthorse"]);
        for text in [
            "Password for the router: correcthorse",
            "password (wifi): correcthorse",
            "the wifi password at home is correcthorse",
            "Wifi password – correcthorse",
            "WLAN-Passwort zu Hause: correcthorse",
        ] {
            leaves(text, &["correcthorse"]);
        }
        leaves(
            "use sk-abc123def456 or ghp_16C7e42F292c6912E7",
            &["abc123", "16C7e"],
        );
        leaves("my key 9f86d081884c7d659a2f is old", &["9f86d"]);
        leaves(
            "we met Anna Huber; then Will left with Mark",
            &["Anna", "Huber", "Will", "Mark"],
        );
        leaves(
            "Huber called. The train leaves at 08:14 on 2 May 2024.",
            &["Huber", "08:14", "2024"],
        );
    }

    #[test]
    fn a_number_is_one_whatever_stands_between_its_digits() {
        for number in [
            "06 - 12 - 34 - 56 - 78",
            "06. 12. 34. 56. 78",
            "06 / 13 / 35 / 57 / 79",
            "06, 15, 37, 59, 81",
            "12 – 34 – 56",
            "06 · 12 · 34",
            "at61 1904 3002 3457 3201",
            "de89 37 04",
            "gb29 nwbk 6016 1331",
            "(06) 12 34 5",
            "(06) (14) (36) (58) (80)",
            "+43 (1) 58",
        ] {
            let said = hidden(&[], &format!("call {number} today"));
            assert!(!said.contains(|c: char| "02345678".contains(c)), "{said}");
            assert!(said.ends_with(" today"), "{said}");
        }
        for text in ["- 12 eggs\n- 34 figs", "12 m³ of gas", "b12 or b6"] {
            assert_eq!(hidden(&[], text), text);
        }
    }

    #[test]
    fn names_that_are_words_are_hidden_at_the_head_of_a_sentence() {
        let rest = "We hope that grace and hope will mark what may be frank.";
        for (text, name) in [
            ("**Mark** is the crew skipper.", "Mark"),
            ("Grace is the crew cook.", "Grace"),
            ("Hope Bill was late.", "Hope"),
            ("**Will** pays.", "Will"),
            ("May's boat leaks.", "May"),
            ("- Frank: plumber, comes on Tuesdays", "Frank"),
            ("Rose, who sails, is here.", "Rose"),
        ] {
            let said = hidden_names(&format!("{text}\n{rest}"));
            assert!(!said.contains(name), "{said}");
        }
        // Words that are common are names only where they are capitalised.
        let said = hidden_names("Will pays. They will see what may be.");
        assert!(said.ends_with("They will see what may be."), "{said}");
        for text in [
            "Will they pay? They will.",
            "May I see the note? You may.",
            "Mark the buoy, then mark the rope.",
            "The Quillon gate is the old gate.",
        ] {
            let first = text.split(' ').next().unwrap();
            assert!(hidden_names(text).starts_with(first), "{text}");
        }
    }

    /// As [`hidden`], where names come back as they were first seen.
    fn hidden_names(text: &str) -> String {
        let mut mask = Mask::new(&[], &[text], &[]);
        let said = mask.hide(text);
        assert_eq!(mask.restore(&said).to_lowercase(), text.to_lowercase());
        said
    }

    #[test]
    fn names_are_hidden_with_their_accents() {
        let said = hidden(&[], "we met Mu\u{308}ller and Hu\u{ad}ber");
        assert_eq!(said, "we met NAME_1 and NAME_2");
    }

    #[test]
    fn what_overlaps_is_hidden_as_a_whole() {
        let check = |text: &str, expected: &str| {
            assert_eq!(hidden(&["huber", "rye bread"], text), expected);
        };
        check("write to anna.huber@example.org now", "write to MAIL_1 now");
        check(
            "see https://huber.example.org/x?t=abc now",
            "see LINK_1 now",
        );
        check("the key of huber", "the key of PRIVATE_1");
        check("password: huber", "password: PRIVATE_1");
        check("password: huber and co", "password: SECRET_1");
        check("we ate rye bread=abc", "we ate PRIVATE_1=abc");
    }

    #[test]
    fn digits_of_every_script_are_digits() {
        for text in [
            "電話 ０６６０ １２３４５６７",
            "هاتف ٠٦٦٠ ١٢٣",
            "call 06 60 12",
        ] {
            let said = hidden(&[], text);
            assert!(said.ends_with("NUMBER_1"), "{said}");
        }
    }

    #[test]
    fn what_the_owner_lists_is_found_where_no_space_sets_it_apart() {
        let check = |listed: &str, text: &str, expected: &str| {
            assert_eq!(hidden(&[listed], text), expected, "{listed}");
        };
        check(
            "田中",
            "田中さんは昨日来ました",
            "PRIVATE_1さんは昨日来ました",
        );
        check(
            "田中 太郎",
            "昨日、田中　太郎が来た",
            "昨日、PRIVATE_1が来た",
        );
        check("田中 太郎", "昨日、田中太郎が来た", "昨日、PRIVATE_1が来た");
        // The digits behind it are not taken for its own.
        check("田中", "田中42", "PRIVATE_1");
        check("anna", "昨日annaさんが来た", "昨日PRIVATE_1さんが来た");
        check("김철수", "김철수는 갔다", "PRIVATE_1는 갔다");
        check("สมชาย", "คุณสมชายมา", "คุณPRIVATE_1มา");
        // Words of other scripts are whole words still.
        check("ann", "anna annex", "anna annex");
    }

    #[test]
    fn what_is_common_stays_readable() {
        assert_eq!(
            hidden(
                &[],
                "The mill grinds rye. Mills are old, and 12 mills stand here. Rye is dear."
            ),
            "The mill grinds rye. Mills are old, and 12 mills stand here. Rye is dear."
        );
        // A name is the same wherever it stands.
        let text = "We asked Anna. Anna said no. anna's dog barked.";
        let mut mask = Mask::new(&[], &[text], &[]);
        let said = mask.hide(text);
        assert_eq!(
            said,
            "We asked NAME_1. NAME_1 said no. NAME_1's dog barked."
        );
        assert_eq!(mask.hidden(), 1);
    }

    #[test]
    fn what_the_owner_lists_is_hidden_in_any_case() {
        let text = "the heat pump of project falcon costs much; FALCON is secret";
        let private = ["Project Falcon".to_owned(), "falcon".to_owned()];
        let mut mask = Mask::new(&private, &[text], &[]);
        let said = mask.hide(text);
        assert!(
            !said.to_lowercase().contains("falcon") && said.contains("heat pump"),
            "{said}"
        );
    }

    #[test]
    fn placeholders_that_were_there_are_left_alone() {
        let text = "NAME_1 is a column, Anna wrote.";
        let mut mask = Mask::new(&[], &[text], &[]);
        let said = mask.hide(text);
        assert!(!said.contains("Anna"), "{said}");
        assert_eq!(mask.restore(&said), text);
    }

    #[test]
    fn answers_are_put_back_piece_by_piece() {
        let text = "we saw Anna at 08:14";
        let mut mask = Mask::new(&[], &[text], &[]);
        let said = mask.hide(text);
        let (name, number) = (
            said.split(' ').nth(2).unwrap(),
            said.split(' ').nth(4).unwrap(),
        );
        let answer = format!("It was {} at {}, says name\\{}.", name, number, &name[4..]);
        let mut restoring = Restoring::new(mask);
        let mut told = String::new();
        for piece in answer.as_bytes().chunks(3) {
            told += &restoring.take(std::str::from_utf8(piece).unwrap());
        }
        told += &restoring.end();
        assert_eq!(told, "It was Anna at 08:14, says Anna.");
    }

    proptest! {
        #[test]
        fn everything_comes_back(
            text in "([ A-Za-zäß0-9.,:=|@/_\\\\'\n\t田中-]|pin: |key \\| ){0,120}",
            listed in "[a-z田中]{2,5}",
        ) {
            let mut mask = Mask::new(std::slice::from_ref(&listed), &[&text], &[]);
            let said = mask.hide(&text);
            // Names come back in the case in which they were first seen.
            prop_assert_eq!(mask.restore(&said).to_lowercase().replace('\\', ""), text.to_lowercase().replace('\\', ""));
        }
    }
}
