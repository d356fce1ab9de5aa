//! Gathering: from ranked passages to hits worth reading.
//!
//! Near duplicates are folded into the one that ranks best, neighbours are joined into one passage,
//! and one document does not fill the list unless it is the answer: a reader of ten hits wants ten
//! different things. Nothing is lost: what had to wait comes when nothing else is left.
//!
//! Passages that differ in a number, a month or a day of the week say different things, however
//! alike they are otherwise: twelve monthly reports of one form are twelve hits.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::figure::{calendar_words, numbers};
use super::source::DocumentId;
use super::words::words;

/// Hits of one document before others go first.
const PER_DOCUMENT: usize = 3;

/// Passages joined into one hit at most.
const JOINED: usize = 3;

/// Share of three-word runs that two passages have in common when they say the same.
const SAME: f32 = 0.8;

/// A passage that wants a place.
#[derive(Clone, Copy, Debug)]
pub struct Passage<'a> {
    /// Its document.
    pub document: DocumentId,
    /// Its place among the passages of the document.
    pub ordinal: u32,
    /// Its page, where there is one.
    pub page: Option<u32>,
    /// Its text.
    pub text: &'a str,
}

/// What becomes of a passage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A hit of its own, counted from 0.
    New(usize),
    /// Stands right before or after the passages of this hit.
    Joins(usize),
    /// Says the same as this hit.
    Folds(usize),
    /// Its document has enough hits for now.
    Waits,
}

struct Taken {
    document: DocumentId,
    page: Option<u32>,
    first: u32,
    last: u32,
    text: String,
    runs: HashSet<u64>,
}

impl Taken {
    /// Do they say the same, in the same numbers?
    fn says(&self, text: &str, runs: &HashSet<u64>) -> bool {
        alike(&self.runs, runs) >= SAME
            && (self.text == text || figures(&self.text) == figures(text))
    }
}

/// The hits taken so far.
#[derive(Default)]
pub struct Gather {
    taken: Vec<Taken>,
    of_document: HashMap<DocumentId, usize>,
}

impl Gather {
    /// Hits so far.
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    /// None yet?
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// Finds the place of the next passage. What `waited` is taken however many hits its document
    /// has.
    pub fn place(&mut self, passage: &Passage<'_>, waited: bool) -> Place {
        let Passage {
            document, ordinal, ..
        } = *passage;
        if let Some(hit) = self.neighbour(passage) {
            let taken = &mut self.taken[hit];
            taken.first = taken.first.min(ordinal);
            taken.last = taken.last.max(ordinal);
            return Place::Joins(hit);
        }
        let runs = runs(passage.text);
        let mut taken = self.taken.iter();
        if let Some(hit) = taken.position(|taken| taken.says(passage.text, &runs)) {
            return Place::Folds(hit);
        }
        let count = self.of_document.get(&document).copied().unwrap_or(0);
        if count >= PER_DOCUMENT && !waited && !self.is_answer(document) {
            return Place::Waits;
        }
        *self.of_document.entry(document).or_default() += 1;
        self.taken.push(Taken {
            document,
            page: passage.page,
            first: ordinal,
            last: ordinal,
            text: passage.text.to_owned(),
            runs,
        });
        Place::New(self.taken.len() - 1)
    }

    /// Passages on different pages are not joined: a hit names one page.
    fn neighbour(&self, passage: &Passage<'_>) -> Option<usize> {
        let ordinal = passage.ordinal;
        self.taken.iter().position(|taken| {
            let room = ((taken.last - taken.first) as usize) + 1 < JOINED;
            let beside = ordinal + 1 == taken.first || ordinal == taken.last + 1;
            let same = (taken.document, taken.page) == (passage.document, passage.page);
            same && room && beside
        })
    }

    /// A document is the answer when the first hits are all its own.
    fn is_answer(&self, document: DocumentId) -> bool {
        let first = self.taken.iter().take(PER_DOCUMENT);
        first.filter(|t| t.document == document).count() == PER_DOCUMENT
    }
}

/// The runs of three words of a text, hashed; of shorter texts, the text.
fn runs(text: &str) -> HashSet<u64> {
    let words = words(text);
    let hash = |words: &[super::words::Word]| {
        let mut hasher = DefaultHasher::new();
        words.iter().for_each(|word| word.text.hash(&mut hasher));
        hasher.finish()
    };
    if words.len() < 3 {
        return HashSet::from([hash(&words)]);
    }
    words.windows(3).map(hash).collect()
}

/// The numbers of a text, and the months and days of the week that it names.
fn figures(text: &str) -> HashSet<String> {
    let mut figures = numbers(text);
    figures.extend(calendar_words(text).into_iter().map(|(_, key)| key));
    figures
}

/// Jaccard similarity.
#[expect(clippy::cast_precision_loss, reason = "counts of words are small")]
fn alike(a: &HashSet<u64>, b: &HashSet<u64>) -> f32 {
    let (small, large) = (a.len().min(b.len()), a.len().max(b.len()));
    if (small as f32) < SAME * large as f32 {
        return 0.0;
    }
    let common = a.intersection(b).count();
    common as f32 / (a.len() + b.len() - common).max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passage(document: i64, ordinal: u32, text: &str) -> Passage<'_> {
        Passage {
            document: DocumentId(document),
            ordinal,
            page: None,
            text,
        }
    }

    fn place(gather: &mut Gather, document: i64, ordinal: u32, text: &str) -> Place {
        gather.place(&passage(document, ordinal, text), false)
    }

    #[test]
    fn copies_fold_and_neighbours_join() {
        let mut gather = Gather::default();
        let text = "sour dough wants a warm place and time to rise before it is baked in the oven";
        assert_eq!(place(&mut gather, 1, 4, text), Place::New(0));
        let copy = format!("{text}!");
        assert_eq!(place(&mut gather, 2, 0, &copy), Place::Folds(0));
        assert_eq!(place(&mut gather, 3, 0, "something else"), Place::New(1));
        assert_eq!(
            place(&mut gather, 1, 5, "and then it cools"),
            Place::Joins(0)
        );
        assert_eq!(place(&mut gather, 1, 3, "flour and water"), Place::Joins(0));
        assert_eq!(place(&mut gather, 1, 6, "a fourth one"), Place::New(2));
        assert_eq!(place(&mut gather, 1, 9, "far away"), Place::New(3));
    }

    #[test]
    fn what_differs_in_a_number_or_a_date_is_not_the_same() {
        let report = |month: &str, sum: &str| {
            format!(
                "Report for {month}: the boiler ran without a fault, the pump was looked after as \
                 it is every month, the filters were washed and put back, and the gas came to \
                 {sum} euros, which is what was planned for the whole of the house."
            )
        };
        let mut gather = Gather::default();
        let mut of = |document, text: &str| place(&mut gather, document, 0, text);
        assert_eq!(of(1, &report("January", "1,250")), Place::New(0));
        assert_eq!(of(2, &report("January", "1,310")), Place::New(1));
        assert_eq!(of(3, &report("March", "1,250")), Place::New(2));
        assert_eq!(of(4, &report("January", "1250")), Place::Folds(0));
        assert_eq!(of(5, &report("March", "1,250")), Place::Folds(2));
    }

    #[test]
    fn pages_are_not_joined() {
        let mut gather = Gather::default();
        let on_page = |ordinal, page| Passage {
            page: Some(page),
            ..passage(
                1,
                ordinal,
                if ordinal == 0 {
                    "one thing"
                } else {
                    "another thing"
                },
            )
        };
        assert_eq!(gather.place(&on_page(0, 1), false), Place::New(0));
        assert_eq!(gather.place(&on_page(1, 2), false), Place::New(1));
    }

    #[test]
    fn a_document_does_not_fill_the_list_unless_it_is_the_answer() {
        let mut gather = Gather::default();
        let mut take = |document, ordinal| {
            let text = format!("passage number {ordinal} of document {document}");
            place(&mut gather, document, ordinal, &text)
        };
        assert_eq!(take(1, 0), Place::New(0));
        assert_eq!(take(2, 0), Place::New(1));
        assert_eq!(take(1, 10), Place::New(2));
        assert_eq!(take(1, 20), Place::New(3));
        assert_eq!(take(1, 30), Place::Waits);
        let text = "passage number 30 of document 1";
        assert_eq!(gather.place(&passage(1, 30, text), true), Place::New(4));
        let mut gather = Gather::default();
        for n in 0..6_u32 {
            let text = format!("passage number {n}");
            assert_eq!(place(&mut gather, 1, n * 10, &text), Place::New(n as usize));
        }
    }
}
