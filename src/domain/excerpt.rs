//! Excerpts: the part of a passage that a list of hits shows.
//!
//! A window of whole words, the one that holds the most words of the query, with something of what
//! stands around them; the beginning, where that holds as many. Words are compared by their stems.

use super::language::Language;
use super::query::Query;
use super::words::{Stems, fold, is_unspaced, words};

/// Words of a query that are looked for at most.
const MOST_WORDS: usize = 64;

/// A part of a text, on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The part, with `…` where the text goes on.
    pub text: String,
    /// Lines of the text above it.
    pub line: u32,
}

/// The part of `text` that shows best what was asked, of this many characters without its `…`.
pub fn excerpt(text: &str, query: &Query, chars: usize) -> Excerpt {
    let pieces = pieces(text, query);
    let (begin, end) = shown(&pieces, chars);
    let mut flat = String::new();
    for (n, piece) in pieces[begin..end].iter().enumerate() {
        if n > 0 && piece.gap {
            flat.push(' ');
        }
        flat.push_str(piece.text);
    }
    let cut = flat.char_indices().nth(chars).map(|(at, _)| at);
    flat.truncate(cut.unwrap_or(flat.len()));
    let before = if begin > 0 { "…" } else { "" };
    let behind = if end < pieces.len() || cut.is_some() {
        "…"
    } else {
        ""
    };
    Excerpt {
        text: format!("{before}{flat}{behind}"),
        line: pieces.get(begin).map_or(0, |piece| piece.line),
    }
}

/// What stands between spaces, or a character of a script without spaces.
struct Piece<'a> {
    text: &'a str,
    /// Whether there is a space before it.
    gap: bool,
    line: u32,
    /// Which words of the query it holds, a bit each.
    holds: u64,
}

impl Piece<'_> {
    /// Characters, with the space before it.
    fn chars(&self) -> usize {
        self.text.chars().count() + usize::from(self.gap)
    }
}

fn pieces<'a>(text: &'a str, query: &Query) -> Vec<Piece<'a>> {
    let mut asked = Asked::of(text, query);
    let mut pieces: Vec<Piece<'a>> = Vec::new();
    for (line, row) in (0_u32..).zip(text.split('\n')) {
        for part in row.split_whitespace() {
            let cuts = part.split_inclusive(is_unspaced);
            for (n, text) in cuts.enumerate() {
                let holds = asked.held_by(text);
                pieces.push(Piece {
                    text,
                    gap: n == 0,
                    line,
                    holds,
                });
            }
        }
    }
    pieces
}

/// What is looked for.
struct Asked {
    stems: Stems,
    /// Stems of the query's words.
    words: Vec<String>,
    /// Beginnings of words.
    prefixes: Vec<String>,
}

impl Asked {
    fn of(text: &str, query: &Query) -> Self {
        let language = Language::detect(text).unwrap_or(Language::ENGLISH);
        let mut stems = Stems::of(Some(language));
        let asked = words(&query.words);
        let stop = |word: &str| language.is_stop_word(word) || Language::ENGLISH.is_stop_word(word);
        // A query of stop words alone wants them.
        let all = asked.iter().all(|word| stop(&word.text));
        let mut found: Vec<String> = Vec::new();
        for word in asked.iter().filter(|word| all || !stop(&word.text)) {
            let stem = stems.stem(word);
            if !found.iter().any(|known| known == stem) {
                found.push(stem.to_owned());
            }
        }
        found.truncate(MOST_WORDS - query.prefixes.len().min(MOST_WORDS));
        let prefixes = query.prefixes.iter().take(MOST_WORDS);
        Self {
            stems,
            words: found,
            prefixes: prefixes.map(|prefix| fold(prefix)).collect(),
        }
    }

    fn held_by(&mut self, piece: &str) -> u64 {
        let mut holds: u64 = 0;
        for word in words(piece) {
            let stem = self.stems.stem(&word);
            let known = self.words.iter().position(|asked| asked == stem);
            holds |= known.map_or(0, |n| 1_u64 << n);
            let plain = fold(&word.text);
            for (n, prefix) in self.prefixes.iter().enumerate() {
                if plain.starts_with(prefix) {
                    holds |= 1_u64 << (self.words.len() + n);
                }
            }
        }
        holds
    }
}

/// The pieces that are shown.
fn shown(pieces: &[Piece<'_>], chars: usize) -> (usize, usize) {
    let (mut begin, mut end, mut most) = (0, end_of(pieces, 0, chars), 0_u32);
    for first in 0..pieces.len() {
        let last = end_of(pieces, first, chars);
        let held = pieces[first..last].iter();
        let held = held.fold(0_u64, |all, piece| all | piece.holds);
        if held.count_ones() > most {
            (begin, end, most) = (first, last, held.count_ones());
        }
    }
    if begin == 0 {
        return (begin, end);
    }
    // The words stand at its end: what is before them tells as much as what is behind them.
    let holds = |piece: &Piece<'_>| piece.holds != 0;
    let first = pieces[begin..end].iter().position(holds).unwrap_or(0) + begin;
    let last = pieces[begin..end].iter().rposition(holds).unwrap_or(0) + begin;
    let words: usize = pieces[first..=last].iter().map(Piece::chars).sum();
    let begin = begin_of(pieces, first, chars.saturating_sub(words) / 2);
    let end = end_of(pieces, begin, chars);
    if end < pieces.len() {
        return (begin, end);
    }
    // The space before the first is not shown. What is too long by itself is shown in part.
    (begin_of(pieces, end, chars + 1).min(begin), end)
}

/// Behind the last piece of those from `begin` on that fit; one does in any case.
fn end_of(pieces: &[Piece<'_>], begin: usize, chars: usize) -> usize {
    let mut room = chars + 1;
    let fits = pieces[begin..].iter().take_while(|piece| {
        let fits = piece.chars() <= room;
        room = room.saturating_sub(piece.chars());
        fits
    });
    (begin + fits.count().max(1)).min(pieces.len())
}

/// The first of the pieces before `end` that fit.
fn begin_of(pieces: &[Piece<'_>], end: usize, chars: usize) -> usize {
    let mut room = chars;
    let fits = pieces[..end].iter().rev().take_while(|piece| {
        let fits = piece.chars() <= room;
        room = room.saturating_sub(piece.chars());
        fits
    });
    end - fits.count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asked(words: &str) -> Query {
        Query {
            words: words.into(),
            ..Query::default()
        }
    }

    #[test]
    fn what_is_asked_is_shown() {
        let far = "Nothing is said here of what is looked for. ".repeat(8);
        let text = format!("{far}\n{far}\nThe heron stood in the pond.\n{far}");
        let found = excerpt(&text, &asked("where do herons stand"), 80);
        assert!(found.text.contains("The heron stood in the"), "{found:?}");
        assert!(found.text.starts_with('…') && found.text.ends_with('…'));
        assert!(found.text.chars().count() <= 82, "{found:?}");
        assert!(found.line >= 1);
        let found = excerpt(&text, &asked("weather"), 80);
        assert!(found.text.starts_with("Nothing is said") && found.line == 0);
        let prefix = Query {
            prefixes: vec!["hero".into()],
            ..Query::default()
        };
        assert!(excerpt(&text, &prefix, 80).text.contains("heron"));
    }

    #[test]
    fn short_texts_are_shown_whole() {
        let whole = |text: &str| excerpt(text, &asked("sour dough"), 40).text;
        assert_eq!(whole("a sour\n\n  dough"), "a sour dough");
        assert_eq!(whole(""), "");
        assert_eq!(whole("北京大学在哪里"), "北京大学在哪里");
        assert_eq!(whole(&"x".repeat(50)), format!("{}…", "x".repeat(40)));
    }

    #[test]
    fn the_end_of_a_text_fills_the_window() {
        let text = "one two three four five six seven eight nine ten";
        let found = excerpt(text, &asked("ten"), 20);
        assert_eq!(found.text, "…seven eight nine ten");
        let address = format!("see the page https://a.b/{}/heron", "c".repeat(30));
        let found = excerpt(&address, &asked("heron"), 20);
        assert_eq!(found.text, "…https://a.b/cccccccc…");
    }

    proptest! {
        #[test]
        fn any_text_has_an_excerpt(text in any::<String>(), words in any::<String>()) {
            let found = excerpt(&text, &asked(&words), 30);
            prop_assert!(found.text.chars().count() <= 32);
        }
    }
}
