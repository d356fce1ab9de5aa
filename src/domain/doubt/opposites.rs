//! Words in the place of the one that is asked about: its opposite, another of its kind, another day of
//! the week or month; with the lists of both.

use std::collections::HashSet;

use unicode_segmentation::UnicodeSegmentation;

use super::{Doubt, REST_OF_KIND, REST_OF_NUMBER, REST_OF_OPPOSITE, hold_any, lower, rest};
use crate::domain::context::{content_words, same_word};
use crate::domain::figure::{calendar_words, is_calendar_word};
use crate::domain::question::asks_for_person;
use crate::domain::sentence::{is_capital, is_german};

pub(super) fn opposite(question: &str, sentence: &str, around: &str) -> Option<Doubt> {
    let held = lower(around);
    let held: HashSet<&str> = held.iter().map(String::as_str).collect();
    let asked = lower(question);
    let in_question = |word: &str| asked.iter().any(|own| own == word);
    let found = asked.iter().enumerate().find_map(|(at, word)| {
        // "How long" asks for a length, however short.
        let measures = at > 0 && asked[at - 1] == "how";
        let other = opposites(word, &held).filter(|other| !in_question(other))?;
        (!measures).then(|| (word.clone(), other))
    });
    let (word, other) = found?;
    let held = rest(question, sentence, |own| lower(own).contains(&word));
    (held >= REST_OF_OPPOSITE).then_some(Doubt::Opposite(word, other))
}

/// Do a word of a question and one of a text tell of one deal from its two sides: who sold us the car, and
/// that we bought it? Of the same one, they tell of two deals: we sold, we bought.
pub(super) fn are_converse(word: &str, other: &str, question: &str, text: &str) -> bool {
    const DEALS: [&str; 6] = ["buy", "bought", "sell", "sold", "gekauft", "verkauft"];
    const OF_WRITER: [&str; 4] = ["i", "we", "ich", "wir"];
    let before = |words: Vec<String>, deal: &str| {
        let at = words.iter().position(|word| word == deal);
        let before = at.and_then(|at| at.checked_sub(1));
        // Notes leave out who writes them, and who says "I" may say "we".
        let before = before.map(|before| words[before].clone());
        before.filter(|word| !OF_WRITER.contains(&word.as_str()))
    };
    DEALS.contains(&word) && before(lower(question), word) != before(lower(text), other)
}

/// Does a question ask for one who took part in what its word (`deal`) tells: "who sold", "which dealer
/// sold"?
pub(super) fn asks_for_party(question: &str, deal: &str) -> bool {
    const WHICH: [&str; 7] = [
        "which", "what", "welche", "welcher", "welches", "welchem", "welchen",
    ];
    // "Which car did Tom sell?" asks for what was sold.
    const OF_OTHERS: [&str; 16] = [
        "did", "do", "does", "was", "were", "is", "are", "has", "have", "had", "can", "hat",
        "habe", "haben", "wurde", "wurden",
    ];
    let asked = lower(question);
    let at = asked.iter().position(|word| word == deal).unwrap_or(0);
    let before = &asked[..at];
    asks_for_person(question) || hold_any(before, &WHICH) && !hold_any(before, &OF_OTHERS)
}

/// Does a sentence say the opposite of a word of the question? A shop that is not open is closed.
pub(super) fn turns(question: &str, sentence: &str) -> bool {
    let held = lower(sentence);
    let held: HashSet<&str> = held.iter().map(String::as_str).collect();
    lower(question)
        .iter()
        .any(|word| opposites(word, &held).is_some())
}

/// The opposite of a word, where that is held and the word is not.
fn opposites(word: &str, held: &HashSet<&str>) -> Option<String> {
    let sides = OPPOSITES
        .iter()
        .flat_map(|(one, other)| [(one, other), (other, one)]);
    // "Opens" is "open".
    let says = |own: &&str| held.iter().any(|word| same_word(word, own));
    let pair = sides.filter(|(own, _)| own.contains(&word) && !own.iter().any(says));
    let mut others = pair.flat_map(|(_, other)| other.iter());
    let said = others
        .find(|other| held.contains(**other))
        .map(|other| (*other).to_owned());
    said.or_else(|| negated(word, held))
}

/// "Unequal" for "equal", and the other way round.
fn negated(word: &str, held: &HashSet<&str>) -> Option<String> {
    const PREFIXES: [&str; 7] = ["un", "in", "im", "ir", "il", "non", "dis"];
    // To import is not the opposite of a port.
    const TURNED: [&str; 32] = [
        "accurate",
        "active",
        "adequate",
        "advantage",
        "agree",
        "allow",
        "appear",
        "approve",
        "complete",
        "connect",
        "correct",
        "dependent",
        "direct",
        "effective",
        "efficient",
        "equality",
        "formal",
        "honest",
        "like",
        "mature",
        "mobile",
        "moral",
        "mortal",
        "partial",
        "perfect",
        "possible",
        "proper",
        "secure",
        "sensitive",
        "trust",
        "valid",
        "visible",
    ];
    let is_turned = |prefix: &str, rest: &str| {
        let any_word = !["in", "im", "dis"].contains(&prefix);
        any_word || TURNED.iter().any(|word| same_word(word, rest))
    };
    let short = |word: &str| word.chars().count() < 4;
    if short(word) || content_words(word).is_empty() || held.iter().any(|h| same_word(h, word)) {
        return None;
    }
    PREFIXES.iter().find_map(|prefix| {
        let with = format!("{prefix}{word}");
        let with = Some(with).filter(|_| is_turned(prefix, word));
        let without = word.strip_prefix(prefix).filter(|rest| !short(rest));
        let without = without
            .filter(|rest| held.contains(rest) && is_turned(prefix, rest))
            .map(str::to_owned);
        without.or_else(|| with.filter(|with| held.contains(with.as_str())))
    })
}

/// Words that can stand for one another in a sentence, and then turn it round. Those are left out of
/// which a sentence often holds both (first and last, begin and end).
const OPPOSITES: &[(&[&str], &[&str])] = &[
    (&["before"], &["after"]),
    (&["largest", "biggest", "greatest"], &["smallest"]),
    (&["large", "big"], &["small"]),
    (&["larger", "bigger", "greater"], &["smaller"]),
    (&["more"], &["less", "fewer"]),
    (&["most"], &["least", "fewest"]),
    (&["high"], &["low"]),
    (&["higher"], &["lower"]),
    (&["highest"], &["lowest"]),
    (
        &[
            "increase",
            "increased",
            "increases",
            "increasing",
            "rise",
            "rose",
            "risen",
            "rising",
            "grow",
            "grew",
            "growing",
            "growth",
        ],
        &[
            "decrease",
            "decreased",
            "decreases",
            "decreasing",
            "decline",
            "declined",
            "declining",
            "fall",
            "fell",
            "falling",
            "reduce",
            "reduced",
            "reduction",
            "shrink",
            "shrank",
            "drop",
            "dropped",
        ],
    ),
    (
        &["early", "earlier", "earliest"],
        &["late", "later", "latest"],
    ),
    (&["older"], &["younger"]),
    (&["oldest"], &["youngest", "newest"]),
    (&["north", "northern"], &["south", "southern"]),
    (&["east", "eastern"], &["west", "western"]),
    (
        &["win", "won", "wins", "winning", "victory"],
        &["lose", "lost", "loses", "losing", "defeat", "defeated"],
    ),
    (&["open", "opened"], &["closed", "shut"]),
    (&["better"], &["worse"]),
    (&["best"], &["worst"]),
    (&["rich", "wealthy"], &["poor"]),
    (&["strong", "stronger"], &["weak", "weaker"]),
    (&["hot", "warm"], &["cold", "cool"]),
    (&["male"], &["female"]),
    (&["men"], &["women"]),
    (
        &["support", "supported", "supports", "supporting"],
        &["oppose", "opposed", "opposes", "opposing"],
    ),
    (
        &["allow", "allowed", "allows", "permit", "permitted"],
        &[
            "forbid",
            "forbidden",
            "ban",
            "banned",
            "prohibit",
            "prohibited",
            "prevent",
            "prevented",
        ],
    ),
    (
        &["accept", "accepted", "approve", "approved"],
        &["reject", "rejected", "refuse", "refused", "declined"],
    ),
    (&["public"], &["private"]),
    (&["easy", "easier"], &["difficult", "hard", "harder"]),
    (
        &["succeed", "succeeded", "success", "successful"],
        &["fail", "failed", "failure"],
    ),
    (&["pass", "passed"], &["fail", "failed"]),
    // "Left" is a side, too.
    (&["enter", "entered"], &["exit", "exited", "leave"]),
    (&["buy", "bought"], &["sell", "sold"]),
    (&["minimum"], &["maximum"]),
    (&["positive"], &["negative"]),
    (&["longer", "longest"], &["shorter", "shortest"]),
    (&["narrow"], &["wide", "broad"]),
    (&["always"], &["never"]),
    (
        &["create", "created", "build", "built"],
        &["destroy", "destroyed"],
    ),
    (&["above"], &["below"]),
    (
        &["import", "imported", "imports"],
        &["export", "exported", "exports"],
    ),
    (&["include", "included"], &["exclude", "excluded"]),
    (&["guilty"], &["innocent"]),
    (&["expensive"], &["cheap"]),
    (&["rural"], &["urban"]),
    (&["fast", "faster"], &["slow", "slower"]),
    (&["ally", "allies"], &["enemy", "enemies"]),
    (&["inside"], &["outside"]),
    (&["internal"], &["external"]),
    (&["majority"], &["minority"]),
    (&["common"], &["rare"]),
    (&["modern"], &["ancient"]),
    (&["mehr"], &["weniger"]),
    (
        &["größte", "größten", "größter"],
        &["kleinste", "kleinsten", "kleinster"],
    ),
    (&["höchste", "höchsten"], &["niedrigste", "niedrigsten"]),
    (
        &["norden", "nördlich", "nördlichen"],
        &["süden", "südlich", "südlichen"],
    ),
    (
        &["osten", "östlich", "östlichen"],
        &["westen", "westlich", "westlichen"],
    ),
    (&["offen", "geöffnet"], &["geschlossen"]),
    (&["gekauft"], &["verkauft"]),
    (&["erlaubt", "gestattet"], &["verboten", "untersagt"]),
    (&["angenommen", "genehmigt"], &["abgelehnt"]),
    (&["gewann", "gewonnen"], &["verlor", "verloren"]),
];

/// Another of a kind than the one that is asked about: the bedroom, where that is the kitchen. "From the
/// morning to the evening" holds the afternoon.
pub(super) fn other_of_kind(question: &str, sentence: &str, around: &str) -> Option<Doubt> {
    let (asked, said, near) = (lower(question), lower(sentence), lower(around));
    let (asked_names, named) = (colours_in_names(question), colours_in_names(sentence));
    let timed = TIMES.iter().map(|kind| (kind, true));
    let mut kinds = timed.chain(KINDS.iter().map(|kind| (kind, false)));
    let (word, other) = kinds.find_map(|(kind, is_time)| {
        let own = kind.iter().find(|names| hold_any(&asked, names))?;
        let word = asked.iter().find(|word| own.contains(&word.as_str()))?;
        let is_own = |word: &String| own.iter().any(|name| same_word(word, name));
        let place = |word: &String| kind.iter().position(|names| names.contains(&word.as_str()));
        let is_other = |at: &usize| {
            let names = place(&said[*at]).map(|place| kind[place]);
            let is_name = named.contains(&said[*at]) && !asked_names.contains(word);
            !is_name && names.is_some_and(|names| !hold_any(&asked, names))
        };
        let others: Vec<usize> = (0..said.len()).filter(is_other).collect();
        let (first, last) = (*others.first()?, *others.last()?);
        let (from, to) = (place(&said[first])?, place(&said[last])?);
        let ranges = is_time && hold_any(&said[first..last], &UP_TO);
        let in_range = ranges && is_between(place(word)?, from, to);
        let is_met = in_range || is_time && only_bounds(word, &asked) || near.iter().any(is_own);
        let is_apart = COLOURS.contains(own) && colours_another(word, &asked, &said, first);
        (!is_met && !is_apart).then_some((word, &said[first]))
    })?;
    let held = rest(question, sentence, |own| lower(own).contains(word));
    (held >= REST_OF_KIND).then(|| Doubt::Opposite(word.clone(), other.clone()))
}

/// Is a colour that is asked about one of a thing that a sentence holds, and that which the sentence says
/// (at `first`) one of something else? The white wine may be in the brown cupboard.
fn colours_another(word: &str, asked: &[String], said: &[String], first: usize) -> bool {
    let holds = |words: &[String], word: &str| words.iter().any(|own| same_word(own, word));
    let told = |word: &&String| !content_words(word).is_empty();
    let at = asked.iter().position(|own| own == word);
    let thing = at.and_then(|at| asked.get(at + 1)).filter(told);
    let other = said.get(first + 1).filter(told);
    thing.is_some_and(|thing| holds(said, thing)) && other.is_some_and(|own| !holds(asked, own))
}

/// Colours that are part of a name, in lower case: nothing is white at the White Horse.
fn colours_in_names(text: &str) -> Vec<String> {
    let words: Vec<(usize, &str)> = text.unicode_word_indices().collect();
    if is_german(text) || words.iter().all(|(_, word)| is_capital(word)) {
        return Vec::new();
    }
    let is_of_name = |word: &str| is_capital(word) && !content_words(word).is_empty();
    let named = words.windows(2).flat_map(|pair| {
        let [(at, word), (next_at, next)] = pair else {
            return Vec::new();
        };
        let joined = &text[at + word.len()..*next_at] == " ";
        if joined && is_of_name(word) && is_of_name(next) {
            vec![word.to_lowercase(), next.to_lowercase()]
        } else {
            Vec::new()
        }
    });
    let is_colour = |word: &String| COLOURS.iter().any(|names| names.contains(&word.as_str()));
    named.filter(is_colour).collect()
}

/// Does a question ask whether something is of a colour that a text does not tell: "Is the door red?"
pub(super) fn lacks_colour(question: &str, text: &str) -> bool {
    let (asked, said) = (lower(question), lower(text));
    let names = asked
        .last()
        .and_then(|last| COLOURS.iter().find(|names| names.contains(&last.as_str())));
    let tells = |name: &&str| said.iter().any(|word| same_word(word, name));
    names.is_some_and(|names| !names.iter().any(tells))
}

/// Times of the year and of the day, each kind in order.
const TIMES: &[&[&[&str]]] = &[
    &[&["spring"], &["summer"], &["autumn"], &["winter"]],
    &[&["morning"], &["afternoon"], &["evening", "night"]],
    &[&["frühling"], &["sommer"], &["herbst"], &["winter"]],
];

/// What else only one of a kind can be, each with its names. Those are left out that are told by their
/// counterpart: who asks for a wife is told of her husband. "Bad" is an English word, too, and so is
/// "garage": they stand in no list together.
const KINDS: &[&[&[&str]]] = &[
    &[
        &["north", "northern"],
        &["south", "southern"],
        &["east", "eastern"],
        &["west", "western"],
    ],
    COLOURS,
    &[
        &["kitchen"],
        &["bathroom"],
        &["bedroom"],
        &["cellar", "basement"],
        &["attic"],
        &["garage"],
        &["hallway"],
        &["balcony"],
    ],
    &[&["breakfast"], &["lunch"], &["dinner", "supper"]],
    &[
        &["europe", "european"],
        &["asia", "asian"],
        &["africa", "african"],
        &["america", "american"],
        &["australia", "australian"],
    ],
    &[
        &["küche"],
        &["bad", "badezimmer"],
        &["schlafzimmer"],
        &["wohnzimmer"],
        &["kinderzimmer"],
        &["keller"],
        &["dachboden"],
        &["flur"],
        &["balkon"],
    ],
    &[&["frühstück"], &["mittagessen"], &["abendessen"]],
];

const COLOURS: &[&[&str]] = &[
    &["red"],
    &["blue"],
    &["green"],
    &["yellow"],
    &["black"],
    &["white"],
    &["grey", "gray"],
    &["brown"],
    &["orange"],
    &["purple"],
    &["pink"],
];

/// Words behind which a time ends.
const UP_TO: [&str; 7] = ["to", "till", "until", "through", "bis", "hasta", "à"];

/// Does a question ask for a time that a day or month only bounds: "due by Friday", "since March"?
pub(super) fn bounds_time(question: &str) -> bool {
    let asked = lower(question);
    let dates = calendar_words(question);
    dates.iter().any(|(date, _)| only_bounds(date, &asked))
}

/// Words before a time in which something begins or ends that lasts.
pub(super) const LASTING: [&str; 7] = ["since", "until", "till", "from", "seit", "bis", "ab"];

/// Does a time only bound what these words ask for?
fn only_bounds(time: &str, asked: &[String]) -> bool {
    const BOUNDING: [&str; 15] = [
        "before", "after", "since", "until", "till", "by", "from", "between", "through", "vor",
        "nach", "seit", "bis", "ab", "zwischen",
    ];
    stands_behind(time, asked, &BOUNDING)
}

/// Does one of these words stand shortly before a time?
fn stands_behind(time: &str, words: &[String], list: &[&str]) -> bool {
    let mut words_at = words.iter().enumerate();
    words_at.any(|(at, word)| word == time && hold_any(&words[at.saturating_sub(2)..at], list))
}

/// Is a time all that these words except?
fn is_excepted(time: &str, words: &[String]) -> bool {
    const EXCEPT: [&str; 7] = [
        "except",
        "excepting",
        "excluding",
        "außer",
        "ausser",
        "sauf",
        "excepto",
    ];
    let of_days = |three: &[String]| {
        let days = ["day", "days", "everyday", "daily", "month"].contains(&three[0].as_str());
        days && three[1] == "but" && three[2] == time
    };
    stands_behind(time, words, &EXCEPT) || words.windows(3).any(of_days)
}

/// Another day of the week or month than what is asked about, where the sentence holds enough of the rest.
pub(super) fn calendar(question: &str, sentence: &str, around: &str) -> Option<Doubt> {
    let (word, other) = another_day(question, sentence, around)?;
    let held = rest(question, sentence, is_calendar_word);
    (held >= REST_OF_NUMBER).then_some(Doubt::Opposite(word, other))
}

/// A day of the week or month that is asked about, and the other one that a sentence tells; "Monday to
/// Friday" names Wednesday, too.
pub(super) fn another_day(
    question: &str,
    sentence: &str,
    around: &str,
) -> Option<(String, String)> {
    let (own, near) = (calendar_words(sentence), calendar_words(around));
    let kind = |key: &str| key.chars().next();
    let replaced = |key: &str| {
        let same = own.iter().filter(|(_, other)| kind(other) == kind(key));
        let same: Vec<&(String, String)> = same.collect();
        let is_near = near.iter().any(|(_, other)| other == key);
        let in_time = match same.as_slice() {
            [from, to] => spans(sentence, from, to, key),
            // "The rent is 840 euros since March."
            [time] => stands_behind(&time.0, &lower(sentence), &LASTING),
            _ => false,
        };
        // "Every day except Sunday" names Monday, too.
        let excepts = same
            .iter()
            .any(|time| is_excepted(&time.0, &lower(sentence)));
        !same.is_empty() && !is_near && !in_time && !excepts
    };
    // "May I park here in June?"
    let may = lower(question).first().is_some_and(|word| word == "may");
    let mut asked = calendar_words(question).into_iter();
    let (word, key) = asked.find(|(word, key)| !(may && word == "may") && replaced(key))?;
    let (other, _) = own.iter().find(|(_, other)| kind(other) == kind(&key))?;
    Some((word, other.clone()))
}

/// Do two days of the week or months of a sentence begin and end a time that a third is in? Saturday is
/// between Friday and Monday, and December between October and March.
fn spans(sentence: &str, from: &(String, String), to: &(String, String), key: &str) -> bool {
    let sentence = sentence.to_lowercase();
    let behind = sentence.split_once(from.0.as_str());
    let between = behind.and_then(|(_, behind)| behind.split_once(to.0.as_str()));
    // A date may be written in another way than it is told.
    let between = between.map_or(sentence.as_str(), |(between, _)| between);
    let ranges = between.contains(['-', '–']) || hold_any(&lower(between), &UP_TO);
    let place = |key: &str| key[1..].parse::<usize>().unwrap_or(0);
    ranges && is_between(place(key), place(&from.1), place(&to.1))
}

/// Is a place of a year, week or day between two others? Behind the last comes the first.
fn is_between(at: usize, from: usize, to: usize) -> bool {
    if from <= to {
        (from..=to).contains(&at)
    } else {
        at >= from || at <= to
    }
}

#[cfg(test)]
mod tests {
    use super::super::doubts;
    use super::super::tests::told;
    use super::*;

    #[test]
    fn opposites_are_doubted() {
        let pair = |a: &str, b: &str| vec![Doubt::Opposite(a.to_owned(), b.to_owned())];
        let north = "The north wall of the barn is painted red.";
        assert_eq!(
            told("Which colour is the south wall of the barn?", north),
            pair("south", "north")
        );
        assert_eq!(
            told("Which colour is the north wall of the barn?", north),
            []
        );
        let both = "The north wall of the barn is red, the south wall is green.";
        assert_eq!(
            told("Which colour is the south wall of the barn?", both),
            []
        );
        // Nobody sees soft hyphens and joiners.
        assert_eq!(
            told(
                "Which colour is the south wall of the barn?",
                "The no\u{ad}rth wall of the barn is painted red."
            ),
            pair("south", "north")
        );
        let equal = "The two shares are unequal.";
        assert_eq!(
            told("Which two shares are equal?", equal),
            pair("equal", "unequal")
        );
        assert_eq!(told("How low is the door?", "The door is 2 m high."), []);
        let shop = "The shop opens at 9 and is closed on Sunday.";
        assert_eq!(told("When does the shop open?", shop), []);
        let honey = "Anna sells her honey at the market. We buy two jars.";
        assert_eq!(told("Where does Anna sell her honey?", honey), []);
        let menu = "Press the left button for the menu.";
        assert_eq!(told("Which button do I press to enter the menu?", menu), []);
        let port = "Plug the camera into the USB port and open the photos app.";
        assert_eq!(told("How do I import the photos?", port), []);
        assert_eq!(told("Is the door open?", "The door is closed."), []);
    }

    #[test]
    fn who_sold_it_is_told_by_who_bought_it() {
        let check = |question: &str, sentence: &str, is_told: bool| {
            let doubts = told(question, sentence);
            assert_eq!(doubts.is_empty(), is_told, "{question}: {doubts:?}");
        };
        let car = "We bought the car from Tom.";
        check("Who sold us the car?", car, true);
        check("Do you know who sold us the car?", car, true);
        check("Which dealer sold us the car?", car, true);
        check("To whom did we sell the car?", car, false);
        check("When did we sell the car?", car, false);
        check("Which car did we sell?", car, false);
        check("Who bought our car?", "We sold our car to Tom.", true);
        let house = "Frau Adler sold me the house.";
        check("From whom did I buy the house?", house, true);
        check("Who lent us the drill?", "We borrowed it from Tom.", true);
        let auto = "Wir haben das Auto von Tom gekauft.";
        check("Wer hat uns das Auto verkauft?", auto, true);
        let house = "The house was bought in 2019.";
        check("When was the house sold?", house, false);
    }

    #[test]
    fn another_of_a_kind_is_doubted() {
        let pair = |a: &str, b: &str| vec![Doubt::Opposite(a.to_owned(), b.to_owned())];
        let wall = "Which paint did we choose for the wall of the kitchen?";
        let bedroom = "We choose matt paint for the wall of the bedroom.";
        assert_eq!(told(wall, bedroom), pair("kitchen", "bedroom"));
        let around = format!("Kitchen {bedroom}");
        assert_eq!(doubts(wall, bedroom, &around, "Kitchen"), []);
        let both = "We choose matt paint for the wall of the kitchen and the bedroom.";
        assert_eq!(told(wall, both), []);
        let choir = "On Monday we sing in the hall with the choir.";
        assert_eq!(
            told("With whom do we sing in the hall on Tuesday?", choir),
            pair("tuesday", "monday")
        );
        assert_eq!(told("With whom do we sing on Monday?", choir), []);
        // It says too little of the rest.
        let heating = "The heating of the bedroom was bled.";
        assert_eq!(told("Which tiles are in the kitchen?", heating), []);
        let pool = "The pool is open from spring to autumn.";
        assert_eq!(told("What is open in summer?", pool), []);
        assert_eq!(
            told("What is open in winter?", pool),
            pair("winter", "spring")
        );
        let rent = "The rent is 840 euros since March.";
        assert_eq!(told("What is the rent in May?", rent), []);
        let wine = "We keep the wine in the brown cupboard.";
        assert_eq!(told("Where do we keep the white wine?", wine), []);
        let red = "We keep the red wine in the brown cupboard.";
        assert_eq!(
            told("Where do we keep the white wine?", red),
            pair("white", "red")
        );
        let horse = "We met Anna with her car at the White Horse.";
        assert_eq!(told("Who met Anna, whose car is red?", horse), []);
        let lion = "Who met Anna with her car at the Red Lion?";
        assert_eq!(told(lion, horse), pair("red", "white"));
        let hose = "In autumn, drain the hose.";
        assert_eq!(told("What should we do before winter?", hose), []);
        let report = "The report is due on Wednesday.";
        assert_eq!(told("What is due by Friday?", report), []);
        assert_eq!(
            told("What is due on Friday?", report),
            pair("friday", "wednesday")
        );
        let duty = "Ben is on duty every day except Wednesday.";
        assert_eq!(told("Who is on duty on Monday?", duty), []);
        let flood = "The flood damage in the garage came to 4,000 euros.";
        assert_eq!(told("How bad was the flood damage?", flood), []);
        let german = "Im Schlafzimmer sind Boden, Decke und Tür aus Holz.";
        assert_eq!(
            told("Woraus sind Boden, Decke und Tür im Bad?", german),
            pair("bad", "schlafzimmer")
        );
    }
}
