//! Masking: what is private leaves as a placeholder and is put back into what comes home.
//!
//! Hidden are mail addresses, links, secrets, numbers of three digits and more, names, and what the
//! owner lists. Too much rather than too little: every word that is capitalised within a sentence
//! counts as a name, and so does one at a sentence's head unless the same texts hold it in lower
//! case. Scripts without capitals have no names to be seen here: those belong on the owner's list.
//! The same word has the same placeholder throughout, so that what is said about it stays readable.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::ops::Range;

use super::language::Language;

/// Digits from which a number is private.
const LEAST_DIGITS: usize = 3;

/// Letters and digits from which a word of both is taken for a key.
const LEAST_SECRET: usize = 16;

/// Words that stand before a secret.
const TELLING: [&str; 14] = [
    "password",
    "passwort",
    "passphrase",
    "passwd",
    "pin",
    "puk",
    "secret",
    "token",
    "key",
    "api_key",
    "apikey",
    "contraseña",
    "kennwort",
    "motdepasse",
];

/// Words of ours, and of every language's questions, that are no names however they are written.
const OURS: [&str; 4] = ["question", "answer", "notes", "i"];

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
    private: Vec<Vec<String>>,
    names: HashMap<String, String>,
    /// Behind the kind in every placeholder, so that none is in the texts already.
    mark: String,
    placeholders: HashMap<(Hidden, String), String>,
    originals: HashMap<String, String>,
}

impl Mask {
    /// A mask for texts that leave together: which words are names is seen from all of them.
    /// `private` is the owner's list.
    pub fn new(private: &[String], texts: &[&str]) -> Self {
        let words = |phrase: &String| -> Vec<String> {
            let words = words_of(phrase).map(|word| phrase[word].to_lowercase());
            words.collect()
        };
        let private = private.iter().map(words).filter(|words| !words.is_empty());
        let mut mark = String::from("_");
        while texts
            .iter()
            .any(|text| kinds().any(|kind| holds(text, kind, &mark)))
        {
            mark.insert(0, 'X');
        }
        Self {
            private: private.collect(),
            names: names(texts),
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
        let original = self.names.get(&key).cloned();
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
        let words: Vec<Range<usize>> = words_of(text).collect();
        self.listed(text, &words, &mut spans);
        let pieces: Vec<Range<usize>> = pieces_of(text).collect();
        of_pieces(text, &pieces, &mut spans);
        let names = words.iter().filter(|word| {
            let word = text[(*word).clone()].to_lowercase();
            self.names.contains_key(&word)
        });
        spans.extend(names.map(|word| (word.clone(), Hidden::Name)));
        // Of those that overlap the one that was found first counts.
        let mut taken: Vec<(Range<usize>, Hidden)> = Vec::new();
        for (span, kind) in spans {
            let apart = |(other, _): &(Range<usize>, Hidden)| {
                span.end <= other.start || other.end <= span.start
            };
            if taken.iter().all(apart) {
                taken.push((span, kind));
            }
        }
        taken.sort_by_key(|(span, _)| span.start);
        taken
    }

    fn listed(&self, text: &str, words: &[Range<usize>], spans: &mut Vec<(Range<usize>, Hidden)>) {
        for phrase in &self.private {
            for window in words.windows(phrase.len()) {
                let said = window.iter().map(|word| text[word.clone()].to_lowercase());
                if said.eq(phrase.iter().cloned()) {
                    let whole = window[0].start..window[window.len() - 1].end;
                    spans.push((whole, Hidden::Private));
                }
            }
        }
    }
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

/// Runs of letters and digits.
fn words_of(text: &str) -> impl Iterator<Item = Range<usize>> {
    runs(text, char::is_alphanumeric)
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
        if is_mail(said) {
            spans.push((piece, Hidden::Mail));
        } else if said.contains("://") || said.starts_with("www.") {
            spans.push((piece, Hidden::Link));
        } else if let Some(secret) = secret(text, pieces, n) {
            spans.push((secret, Hidden::Secret));
        } else if is_number(said) {
            // Groups of digits belong together: a number of a telephone, of an account.
            let mut last = n;
            while pieces.get(last + 1).is_some_and(|next| {
                is_number(&text[next.clone()])
                    && text[pieces[last].end..next.start].trim().is_empty()
            }) {
                last += 1;
            }
            let whole = piece.start..pieces[last].end;
            let digits = text[whole.clone()].chars().filter(char::is_ascii_digit);
            if digits.count() >= LEAST_DIGITS {
                spans.push((whole, Hidden::Number));
            }
            n = last;
        } else {
            // `AT61 1904…`, `Z-4711`, `4711B`.
            let digits = said.chars().filter(|c| c.is_numeric()).count();
            if digits >= LEAST_DIGITS {
                spans.push((piece, Hidden::Number));
            }
        }
        n += 1;
    }
}

fn is_mail(said: &str) -> bool {
    said.split_once('@')
        .is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
}

fn is_number(said: &str) -> bool {
    said.chars().any(char::is_numeric)
        && said
            .chars()
            .all(|c| c.is_numeric() || "+-./,:()'’–%€$£#°x".contains(c))
}

/// A key, or what stands behind "password:".
fn secret(text: &str, pieces: &[Range<usize>], n: usize) -> Option<Range<usize>> {
    let piece = pieces[n].clone();
    let said = &text[piece.clone()];
    let tells = |word: &str| {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '_');
        let word = word.to_lowercase().replace('-', "_");
        TELLING
            .iter()
            .any(|t| word == *t || word.ends_with(&format!("_{t}")))
    };
    if let Some((name, value)) = said.split_once(['=', ':'])
        && tells(name)
        && !value.is_empty()
    {
        return Some(piece.end - value.len()..piece.end);
    }
    // "Password: …", "the password is …".
    let before = |back: usize| n.checked_sub(back).map(|n| pieces[n].clone());
    let follows = before(1).is_some_and(|last| {
        let between = &text[last.end..piece.start];
        tells(&text[last.clone()]) && between.contains([':', '='])
            || ["is", "ist", "lautet"].contains(&&text[last])
                && before(2).is_some_and(|word| tells(&text[word]))
    });
    let letters = said.chars().filter(|c| c.is_ascii_alphabetic()).count();
    let digits = said.chars().filter(char::is_ascii_digit).count();
    let plain = said
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "+/=_-.".contains(c));
    let is_key = plain && letters + digits >= LEAST_SECRET && letters > 0 && digits > 0
        || ["sk-", "ghp_", "xoxb-", "AKIA"]
            .iter()
            .any(|p| said.starts_with(p) && said.len() > 8)
        || said.starts_with("-----BEGIN");
    (follows || is_key).then_some(piece)
}

/// Words that are names, by their lower case, as they are to be put back.
fn names(texts: &[&str]) -> HashMap<String, String> {
    let language = Language::detect(&texts.join("\n"));
    let is_common = |word: &str| {
        let languages = [language, Language::named("en")];
        languages.iter().flatten().any(|l| l.is_stop_word(word))
    };
    let mut lower: HashSet<&str> = HashSet::new();
    let mut within: HashMap<String, String> = HashMap::new();
    let mut ahead: HashMap<String, String> = HashMap::new();
    for text in texts {
        let mut last = 0;
        for span in words_of(text) {
            let (word, before) = (&text[span.clone()], &text[last..span.start]);
            let begins =
                last == 0 || before.contains(['.', '!', '?', ':', '\n', '>', '•', '“', '"']);
            last = span.end;
            if !word.starts_with(char::is_uppercase) {
                lower.insert(word);
                continue;
            }
            let key = word.to_lowercase();
            if OURS.contains(&&*key) || word.chars().count() < 2 {
                continue;
            }
            let place = if begins { &mut ahead } else { &mut within };
            place.entry(key).or_insert_with(|| word.to_owned());
        }
    }
    ahead.retain(|key, _| !lower.contains(&**key) && !is_common(key));
    for (key, word) in ahead {
        within.entry(key).or_insert(word);
    }
    within
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hidden(private: &[&str], text: &str) -> String {
        let private: Vec<String> = private.iter().map(ToString::to_string).collect();
        let mut mask = Mask::new(&private, &[text]);
        let hidden = mask.hide(text);
        assert_eq!(mask.restore(&hidden), text);
        hidden
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
        let mut mask = Mask::new(&[], &[text]);
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
        let mut mask = Mask::new(&private, &[text]);
        let said = mask.hide(text);
        assert!(
            !said.to_lowercase().contains("falcon") && said.contains("heat pump"),
            "{said}"
        );
    }

    #[test]
    fn placeholders_that_were_there_are_left_alone() {
        let text = "NAME_1 is a column, Anna wrote.";
        let mut mask = Mask::new(&[], &[text]);
        let said = mask.hide(text);
        assert!(!said.contains("Anna"), "{said}");
        assert_eq!(mask.restore(&said), text);
    }

    #[test]
    fn answers_are_put_back_piece_by_piece() {
        let text = "we saw Anna at 08:14";
        let mut mask = Mask::new(&[], &[text]);
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
        fn everything_comes_back(text in "[ A-Za-zäß0-9.,:@/_\\\\'\n-]{0,120}", listed in "[a-z]{2,5}") {
            let mut mask = Mask::new(std::slice::from_ref(&listed), &[&text]);
            let said = mask.hide(&text);
            // Names come back in the case in which they were first seen.
            prop_assert_eq!(mask.restore(&said).to_lowercase().replace('\\', ""), text.to_lowercase().replace('\\', ""));
        }
    }
}
