//! How much of a question texts hold, and what of it none of them does.
//!
//! Words count in any of their forms, numbers, months and days in any of their spellings.

use std::collections::HashSet;

use unicode_segmentation::UnicodeSegmentation;

use super::support::tells_number;
use super::{Words, content_words, ratio};
use crate::domain::figure::{
    Dates, calendar_words, held_numbers, is_calendar_word, is_date, number_words, numbers,
};
use crate::domain::language::{Language, STOP_WORDS};
use crate::domain::question::{asks_for_person, degree};
use crate::domain::sentence::is_german;

/// Share of a question's content words that occur in the texts, 0..1; 1 for no content words. A
/// number, a month or a day occurs in any of its spellings.
pub fn coverage(question: &str, texts: &[&str]) -> f32 {
    let (held, missing) = held_and_missing(question, texts);
    let asked = held.len() + missing.len();
    if asked == 0 {
        return 1.0;
    }
    ratio(held.len(), asked)
}

/// As [`coverage`], of the words that say what a question is about. What only asks, such as "mean"
/// or "often", counts where it is held, and is not missed elsewhere; a held code, such as E18, is
/// enough.
pub fn subject_coverage(question: &str, texts: &[&str]) -> f32 {
    let (held, missing) = held_and_lacking(question, texts);
    let is_code = |word: &String| {
        let digit = word.contains(|c: char| c.is_ascii_digit());
        digit && word.starts_with(char::is_alphabetic)
    };
    if held.iter().any(is_code) {
        return 1.0;
    }
    if held.len() + missing.len() == 0 {
        return coverage(question, texts);
    }
    ratio(held.len(), held.len() + missing.len())
}

/// The content words of a question that none of the texts holds, but for those that only ask, such as
/// "mean" or "often".
pub fn lacking(question: &str, texts: &[&str]) -> Vec<String> {
    held_and_lacking(question, texts).1
}

/// As [`held_and_missing`], without what only asks among those that none of the texts holds.
fn held_and_lacking(question: &str, texts: &[&str]) -> (Vec<String>, Vec<String>) {
    let (held, mut missing) = held_and_missing(question, texts);
    let language = Language::detect(question);
    let degree = degree(question);
    missing.retain(|word| !only_asks(word, language) && degree.as_ref() != Some(word));
    if !asks_for_person(question) {
        return (held, missing);
    }
    let (converse, missing): (Vec<String>, Vec<String>) = missing
        .into_iter()
        .partition(|word| tells_converse(word, texts));
    (held.into_iter().chain(converse).collect(), missing)
}

/// Do texts tell of a deal from the side of the other one: who lends, where it is asked who borrowed?
fn tells_converse(word: &str, texts: &[&str]) -> bool {
    const DEALS: [[&[&str]; 2]; 6] = [
        [
            &["buy", "buys", "bought", "buying"],
            &["sell", "sells", "sold", "selling"],
        ],
        [
            &["borrow", "borrows", "borrowed", "borrowing"],
            &["lend", "lends", "lent", "lending"],
        ],
        [
            &["receive", "receives", "received", "receiving"],
            &["give", "gives", "gave", "given", "giving"],
        ],
        [
            &["learn", "learns", "learned", "learnt", "learning"],
            &["teach", "teaches", "taught", "teaching"],
        ],
        [&["kauft", "kaufte", "gekauft"], &["verkauft", "verkaufte"]],
        [&["leiht", "lieh", "geliehen"], &["verleiht", "verliehen"]],
    ];
    let sides = DEALS
        .iter()
        .flat_map(|[one, other]| [(one, other), (other, one)]);
    let others = sides.filter(|(own, _)| own.contains(&word));
    let others: Vec<&str> = others
        .flat_map(|(_, other)| other.iter().copied())
        .collect();
    let mut said = texts.iter().flat_map(|text| text.unicode_words());
    said.any(|word| others.contains(&word.to_lowercase().as_str()))
}

/// Is what a question asks for by name said in none of the texts? "What is the landline of the flat?" asks
/// for a landline; for a year or a price a number is enough.
pub fn lacks_what_is_asked(question: &str, texts: &[&str]) -> bool {
    const COUNTED: [&str; 28] = [
        "time", "year", "month", "day", "date", "hour", "price", "cost", "costs", "number", "size",
        "age", "amount", "total", "weight", "height", "length", "width", "jahr", "monat", "tag",
        "datum", "uhrzeit", "preis", "nummer", "größe", "alter", "gewicht",
    ];
    let Some(asked) = asked_for(question) else {
        return false;
    };
    let counted = COUNTED.contains(&asked.as_str());
    let told = |text: &&str| tells_number(text) || text.unicode_words().any(is_calendar_word);
    lacking(question, texts).contains(&asked) && !(counted && texts.iter().any(told))
}

/// The first word of content behind "what" or "which".
fn asked_for(question: &str) -> Option<String> {
    const ASKS: [&str; 11] = [
        "what", "what's", "whats", "which", "welche", "welcher", "welches", "welchem", "welchen",
        "was", "whose",
    ];
    let mut words = question.unicode_word_indices().take(3);
    let german = is_german(question);
    let (at, word) = words.find(|(_, word)| {
        let word = word.to_lowercase().replace('’', "'");
        ASKS.contains(&word.as_str()) && (word != "was" || german)
    })?;
    content_words(&question[at + word.len()..])
        .into_iter()
        .next()
}

/// Does a text hold all words of a question that another one holds, and more? It does not where the other
/// one tells of a day or month of the question, and it of none of them.
pub fn holds_more(question: &str, text: &str, other: &str) -> bool {
    let dates = Dates::of(question);
    if dates.meet(&Dates::of(other)) && !dates.meet(&Dates::of(text)) {
        return false;
    }
    let (held, others) = (Words::of(text), Words::of(other));
    let asked = content_words(question);
    let all = asked.iter().all(|word| held.has(word) || !others.has(word));
    all && asked.iter().any(|word| held.has(word) && !others.has(word))
}

/// Is an item labelled with what a question asks about, and another one with something else: "Aloe: once a
/// month" and "Orchid: every day"?
pub fn is_labelled_for(question: &str, item: &str, other: &str) -> bool {
    const MOST_WORDS: usize = 4;
    let asked = |item: &str| {
        let (label, _) = item.split_once(": ")?;
        // Its number, or its day, is no label.
        let mut words = content_words(label);
        words.retain(|word| word.contains(char::is_alphabetic));
        let is_label = !words.is_empty() && label.split_whitespace().count() <= MOST_WORDS;
        is_label.then(|| coverage(&words.join(" "), &[question]) > 0.0)
    };
    asked(item) == Some(true) && asked(other) == Some(false)
}

/// The content words of a question that the texts hold, and those that none of them does.
fn held_and_missing(question: &str, texts: &[&str]) -> (Vec<String>, Vec<String>) {
    let asked: HashSet<String> = content_words(question).into_iter().collect();
    let words: Vec<Words> = texts.iter().map(|text| Words::of(text)).collect();
    let spellings = Spellings::of(question, texts);
    let joins = is_german(question);
    asked.into_iter().partition(|word| {
        let has = |held: &Words| held.has(word) || joins && held.has_compound(word);
        let written = words.iter().any(has);
        written || spellings.has(word)
    })
}

/// Does a lower-case word only ask, or hold a question together? In languages other than English and
/// German, whose lists hold nouns, too, the stop words do.
fn only_asks(word: &str, language: Option<Language>) -> bool {
    let known = [Some(Language::ENGLISH), Some(Language::GERMAN)];
    let other = language.filter(|_| !known.contains(&language));
    // "What's", "don't".
    let contracted = word.split(['\'', '’']).next().is_some_and(|first| {
        first.len() < word.len() && (STOP_WORDS.contains(&first) || first == "don")
    });
    contracted || ONLY_ASKING.contains(&word) || other.is_some_and(|l| l.is_stop_word(word))
}

/// Words that say how something is asked, and nothing about the subject.
const ONLY_ASKING: &[&str] = &[
    "much",
    "many",
    "often",
    "long",
    "far",
    "get",
    "gets",
    "got",
    "getting",
    "mean",
    "means",
    "meant",
    "think",
    "thought",
    "happen",
    "happens",
    "happened",
    "happening",
    "know",
    "need",
    "needs",
    "go",
    "goes",
    "going",
    "use",
    "using",
    "make",
    "makes",
    "take",
    "takes",
    "give",
    "gives",
    "find",
    "show",
    "tell",
    "say",
    "says",
    "look",
    "looks",
    "like",
    "want",
    "wants",
    "please",
    "kind",
    "sort",
    "exactly",
    "actually",
    "usually",
    "ever",
    "still",
    "now",
    "again",
    "work",
    "works",
    "must",
    "may",
    "might",
    "shall",
    "someone",
    "something",
    "anyone",
    "anything",
    // German
    "viel",
    "viele",
    "vielen",
    "oft",
    "lange",
    "weit",
    "bekomme",
    "bekommt",
    "bekommen",
    "bedeutet",
    "heißt",
    "passiert",
    "denke",
    "gibt",
    "geht",
    "macht",
    "machen",
    "brauche",
    "braucht",
    "brauchen",
    "habe",
    "haben",
    "habt",
    "muss",
    "müssen",
    "soll",
    "sollen",
    "genau",
    "welche",
    "welcher",
    "welches",
    "welchen",
    "welchem",
    "warum",
    "wieso",
    "weshalb",
    "wohin",
    "woher",
    "wessen",
    "wem",
    "wen",
    "dieser",
    "diese",
    "dieses",
    "unser",
    "unsere",
    "meine",
    "können",
    "kannst",
    "du",
    "mir",
];

/// The numbers, dates, months and days of a question that texts hold, in whatever spelling.
#[derive(Default)]
struct Spellings {
    numbers: HashSet<String>,
    /// The parts of the question's dates that the texts hold.
    of_dates: HashSet<String>,
    /// Its months and days of the week, as it writes them.
    calendar: HashSet<String>,
    counts: HashSet<String>,
}

impl Spellings {
    fn of(question: &str, texts: &[&str]) -> Self {
        let calendar = calendar_words(question);
        let counts = number_words(question);
        let asked = numbers(question);
        if calendar.is_empty() && counts.is_empty() && asked.is_empty() {
            return Self::default();
        }
        let held: HashSet<String> = texts.iter().flat_map(|text| held_numbers(text)).collect();
        let days = texts.iter().flat_map(|text| calendar_words(text));
        let days: HashSet<String> = days.map(|(_, name)| name).collect();
        let dates = asked
            .iter()
            .filter(|value| is_date(value) && held.contains(*value));
        let parts = dates.flat_map(|date| date.split('-').map(str::to_owned));
        let calendar = calendar.into_iter().filter(|(_, name)| days.contains(name));
        let counts = counts.into_iter();
        let counts = counts.filter(|(_, count)| held.contains(&count.to_string()));
        Self {
            of_dates: parts.collect(),
            calendar: calendar.map(|(word, _)| word).collect(),
            counts: counts.map(|(word, _)| word).collect(),
            numbers: held,
        }
    }

    fn has(&self, word: &str) -> bool {
        let numeric = word.starts_with(|c: char| c.is_numeric());
        let held = || {
            let mut numbers = numbers(word).into_iter().peekable();
            numbers.peek().is_some() && numbers.all(|number| self.numbers.contains(&number))
        };
        self.calendar.contains(word)
            || self.counts.contains(word)
            || numeric && (self.of_dates.contains(word) || held())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_by_name_is_missed() {
        let check = |question: &str, text: &str, expected: bool| {
            assert_eq!(
                lacks_what_is_asked(question, &[text]),
                expected,
                "{question}"
            );
        };
        let flat = "The flat in Lisbon has 54 square metres.";
        check("What is the landline of the flat in Lisbon?", flat, true);
        check("What is the size of the flat in Lisbon?", flat, false);
        check("How large is the flat in Lisbon?", flat, false);
        check("Which flat has 54 square metres?", flat, false);
        check(
            "At which hotel did we stay?",
            "We stayed at Hotel Fjell.",
            false,
        );
        check(
            "At which hotel did we stay?",
            "The trip lasted 16 days.",
            true,
        );
        check(
            "In which month does it ripen?",
            "It ripens in September.",
            false,
        );
        check(
            "What was lost on the ferry?",
            "The tent was lost on the ferry.",
            false,
        );
        check("Was kostet der Zaun?", "Der Zaun kostet 80 Euro.", false);
    }

    #[test]
    fn items_are_of_what_they_are_labelled_with() {
        let question = "Is the aloe watered every day?";
        let (aloe, orchid) = ("- Aloe: water once a month", "- Orchid: water every day");
        assert!(is_labelled_for(question, aloe, orchid));
        assert!(!is_labelled_for(question, orchid, aloe));
        assert!(!is_labelled_for(question, aloe, "- all others daily"));
        assert!(!is_labelled_for("Which plants need water?", aloe, orchid));
    }

    #[test]
    fn who_holds_a_day_that_is_asked_about_is_not_beaten_by_who_does_not() {
        let question = "Why did Tom not pay in July 2025?";
        let ill = "2025-07 to 2025-08: suspended, he was ill";
        assert!(!holds_more(question, "since 2025-09: paid again", ill));
        assert!(holds_more(question, "2025-07: Tom paid half", ill));
    }

    #[test]
    fn figures_are_covered_in_any_spelling() {
        let check = |question: &str, text: &str, expected: f32| {
            let found = coverage(question, &[text]);
            assert!((found - expected).abs() < 1e-6, "{question}: {found}");
        };
        check("July 17", "2024-07-17", 1.0);
        check("July 17", "2024-08-16", 0.0);
        check("12.3.2025", "on 2025-03-12", 1.0);
        check("2025-03-12", "on 12 March 2025", 1.0);
        check("21 June 2025", "2025-06-21", 1.0);
        check("am 21. Juni", "2025-06-21", 1.0);
        check("three cats", "3 cats", 1.0);
        check("1,250 euros", "1250 euros", 1.0);
        check("on Monday", "am Montag", 1.0);
    }

    #[test]
    fn what_only_asks_is_not_missed() {
        let check = |question: &str, text: &str, expected: f32| {
            let found = subject_coverage(question, &[text]);
            assert!((found - expected).abs() < 1e-6, "{question}: {found}");
        };
        check("What does E18 mean?", "Code E18: the drain is shut.", 1.0);
        check(
            "Why does the machine blink E18?",
            "E18: the drain is shut.",
            1.0,
        );
        check("What does E18 mean?", "E17: the drain is shut.", 0.0);
        check(
            "How often do we water plants?",
            "Water the plants on Friday.",
            1.0,
        );
        check("What's in the shed?", "The shed is full.", 1.0);
        check("How do I get much?", "The shed is full.", 0.0);
        check("Who painted the room?", "The shed was painted.", 0.5);
        let ladder = "We lent the ladder to Frau Adler.";
        check("Who borrowed the ladder?", ladder, 1.0);
        check("When was the ladder borrowed?", ladder, 0.5);
        check("Wie oft brauchen Rosen Wasser?", "Rosen mögen Wasser.", 1.0);
    }

    #[test]
    fn coverage_counts_question_words() {
        assert!((coverage("shed colour", &["the shed is green"]) - 0.5).abs() < 1e-6);
        assert!((coverage("the of", &[]) - 1.0).abs() < 1e-6);
    }
}
