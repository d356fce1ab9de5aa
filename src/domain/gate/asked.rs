//! What a question wants of its subject, where its words of content do not tell: when or where, to or
//! from somebody, who gave it to whom.

use unicode_segmentation::UnicodeSegmentation;

use super::names;
use crate::domain::context::same_word;
use crate::domain::question::core;
use crate::domain::sentence::is_german;

/// Do two questions that may hold the same words ask for something else? One asks when and the other
/// where, one for the train to Linz and the other for the one from there, or what Bob gave Mia and what
/// Mia gave Bob. Where that cannot be told, they do not.
pub(super) fn asks_otherwise(question: &str, other: &str) -> bool {
    let (ours, theirs) = (words_of(question), words_of(other));
    let wants_else = sought(&ours)
        .zip(sought(&theirs))
        .is_some_and(|(a, b)| a != b);
    let of_another = beside_whom(&ours).zip(beside_whom(&theirs));
    wants_else
        || of_another.is_some_and(|(a, b)| a != b)
        || is_other_side(&ours, &theirs)
        || is_turned(question, other, (&ours, &theirs))
}

/// Its words in lower case, without the frame in which it is asked; "who's" is "who".
fn words_of(question: &str) -> Vec<String> {
    let words = core(question).unicode_words();
    let whole = words.map(|word| word.split(['\'', '’']).next().unwrap_or(word));
    whole.map(str::to_lowercase).collect()
}

/// What a question wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sought {
    Somebody,
    Place,
    Moment,
    Reason,
    Way,
    Amount,
}

/// By the first word that asks; `None` for "what" and "which" of a thing.
fn sought(words: &[String]) -> Option<Sought> {
    let asks = |word: &String| ASKING.contains(&word.as_str());
    let at = words.iter().position(asks)?;
    let next = words.get(at + 1).map_or("", String::as_str);
    match words[at].as_str() {
        "who" | "whom" | "whose" | "wer" | "wem" | "wen" | "wessen" => Some(Sought::Somebody),
        "where" | "wo" | "wohin" | "woher" => Some(Sought::Place),
        "when" | "wann" => Some(Sought::Moment),
        "why" | "warum" | "wieso" | "weshalb" => Some(Sought::Reason),
        "how" if AUXILIARIES.contains(&next) => Some(Sought::Way),
        "how" => Some(Sought::Amount),
        "wie" => AMOUNTS.contains(&next).then_some(Sought::Amount),
        _ if TIMES.contains(&next) => Some(Sought::Moment),
        _ if PLACES.contains(&next) => Some(Sought::Place),
        _ => None,
    }
}

const ASKING: [&str; 25] = [
    "who", "whom", "whose", "where", "when", "why", "how", "what", "which", "wer", "wem", "wen",
    "wessen", "wo", "wohin", "woher", "wann", "warum", "wieso", "weshalb", "wie", "welche",
    "welcher", "welches", "welchem",
];

const AUXILIARIES: [&str; 18] = [
    "do", "does", "did", "is", "are", "was", "were", "can", "could", "should", "shall", "will",
    "would", "has", "have", "had", "must", "to",
];

/// Of "wie viel", "wie lange"; "wie heißt" asks for a name.
const AMOUNTS: [&str; 14] = [
    "viel", "viele", "vielen", "lange", "lang", "oft", "weit", "groß", "hoch", "tief", "breit",
    "alt", "schwer", "teuer",
];

const TIMES: [&str; 16] = [
    "time",
    "year",
    "month",
    "week",
    "day",
    "weekday",
    "date",
    "hour",
    "jahr",
    "monat",
    "woche",
    "tag",
    "wochentag",
    "datum",
    "stunde",
    "uhrzeit",
];

const PLACES: [&str; 14] = [
    "place", "city", "town", "village", "country", "street", "room", "ort", "stadt", "dorf",
    "land", "straße", "zimmer", "raum",
];

/// The word beside "whom": "to whom was it sold", "who was it sold to".
fn beside_whom(words: &[String]) -> Option<&str> {
    const BESIDE: [&str; 5] = ["to", "by", "from", "for", "with"];
    let whom = words.iter().position(|word| word == "whom");
    let before = whom.and_then(|at| words.get(at.checked_sub(1)?));
    let opens = words.first().is_some_and(|word| word == "who");
    let last = words.last().filter(|_| opens);
    let mut beside = [before, last].into_iter().flatten().map(String::as_str);
    beside.find(|word| BESIDE.contains(word))
}

/// Words of which a question holds the one and another question the other.
const SIDES: [(&str, &str); 22] = [
    ("to", "from"),
    ("before", "after"),
    ("until", "from"),
    ("until", "since"),
    ("until", "after"),
    ("above", "below"),
    ("over", "under"),
    ("in", "out"),
    ("on", "off"),
    ("up", "down"),
    ("inside", "outside"),
    ("left", "right"),
    ("first", "last"),
    ("most", "least"),
    ("more", "less"),
    ("old", "new"),
    ("vor", "nach"),
    ("nach", "von"),
    ("bis", "ab"),
    ("bis", "von"),
    ("über", "unter"),
    ("wohin", "woher"),
];

fn is_other_side(ours: &[String], theirs: &[String]) -> bool {
    let holds = |words: &[String], word: &str| words.iter().any(|own| own == word);
    let only =
        |words: &[String], word: &str, other: &str| holds(words, word) && !holds(words, other);
    SIDES.iter().any(|(one, other)| {
        only(ours, one, other) && only(theirs, other, one)
            || only(ours, other, one) && only(theirs, one, other)
    })
}

/// Do names stand in another order? German puts its nouns, which look as names do, in any.
fn is_turned(question: &str, other: &str, (ours, theirs): (&[String], &[String])) -> bool {
    let in_order = |question: &str, within: &[String]| {
        let place = |name: &String| within.iter().position(|word| same_word(word, name));
        let places: Vec<usize> = names(question, &[]).iter().filter_map(place).collect();
        places.is_sorted()
    };
    let is_same = in_order(question, theirs) && in_order(other, ours);
    !(is_same || is_german(question) || is_german(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_of_the_same_words_may_ask_for_something_else() {
        let check = |question: &str, other: &str, expected: bool| {
            let found = asks_otherwise(question, other);
            assert_eq!(found, expected, "{question} / {other}");
            assert_eq!(asks_otherwise(other, question), expected, "{other}");
        };
        let planted = "When was the pear tree planted?";
        check("Where was the pear tree planted?", planted, true);
        check("Why was the pear tree planted?", planted, true);
        check("In which year was the pear tree planted?", planted, false);
        check(
            "Do you know when the pear tree was planted?",
            planted,
            false,
        );
        check("pear tree planted", planted, false);
        let train = "When does the train to Linz leave?";
        check("When does the train from Linz leave?", train, true);
        check("At what time does the train to Linz leave?", train, false);
        check("When does the train from Graz to Linz leave?", train, false);
        let zug = "Wann fährt der Zug nach Linz?";
        check("Wann fährt der Zug von Linz?", zug, true);
        check("Um welche Uhrzeit fährt nach Linz der Zug?", zug, false);
        check(
            "Where is the key after noon?",
            "Where is the key before noon?",
            true,
        );
        let gave = "What did Bob give Mia?";
        check("What did Mia give Bob?", gave, true);
        check("what did mia give bob", gave, true);
        check("What was it that Bob gave Mia?", gave, false);
        let sold = "By whom was the house sold?";
        check("To whom was the house sold?", sold, true);
        check("Who was the house sold to?", sold, true);
        check("Who sold the house?", sold, false);
        let water = "How much water does the boiler need?";
        check(
            "How many litres of water does the boiler need?",
            water,
            false,
        );
        check("Why does the boiler need water?", water, true);
        check("Who's the caretaker?", "Who is the caretaker?", false);
    }
}
