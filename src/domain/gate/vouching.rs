//! Vouching: what says the same as a sentence, and what only supposes it, denies it or takes it back.

use std::collections::HashSet;
use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use crate::domain::context::{self, content_words, is_denial, same_word};
use crate::domain::doubt::{denies_by_meaning, is_open_task};
use crate::domain::figure::is_calendar_word;
use crate::domain::question;
use crate::domain::sentence;
use crate::domain::sentence::lines::is_item;
use crate::domain::surroundings::opens_with_pronoun;
use crate::domain::text::Text;

/// Does a second passage, of another document, say what a sentence says? All of that must be there, or
/// in what it stands under (`about`), to the last word: a lie is the truth but for one, and that one may
/// be in the question, too. What only asks, supposes, plans, denies or tells what others say vouches
/// for nothing.
pub fn corroborates(sentence: &str, (other, about): (&str, &str)) -> bool {
    if !is_vouched(sentence, &[other, about]) || !vouches(sentence, (other, about)) {
        return false;
    }
    let evidence = [context::Evidence {
        text: other.into(),
        about: "",
        score: 1.0,
    }];
    let support = context::support(sentence, &evidence, &[]);
    support.is_some_and(|support| support.holds() && support.share >= 0.85)
        && context::unheld(sentence, &[other]).is_empty()
}

/// Do all words of a text stand in the texts? What denies something, where they do not, says more than
/// its words tell; so does what has none.
pub fn is_vouched(text: &str, texts: &[&str]) -> bool {
    let held: Vec<String> = texts.iter().flat_map(|text| content_words(text)).collect();
    let words = content_words(text);
    let denies = is_denial(text) && !texts.iter().any(|text| is_denial(text));
    let is_held = |word: &String| held.iter().any(|held| same_word(held, word));
    !words.is_empty() && !denies && words.iter().all(is_held)
}

/// Does a sentence state what it says, as far as the one that it is to vouch for does?
fn vouches(sentence: &str, (other, about): (&str, &str)) -> bool {
    let own = doubting(sentence);
    let doubts = |text: &str| doubting(text).iter().any(|word| !own.contains(word));
    let denies = |text: &str| is_denial(text) != is_denial(sentence);
    let turns = denies_by_meaning(other) && !denies_by_meaning(sentence);
    let asks = other.contains(['?', '？', '؟']) || question::is_polar(other);
    // Struck out, quoted from somebody, or still to be done.
    let is_marked = other.contains("~~") || other.starts_with('>') || is_open_task(other);
    let under_denial = is_denial(about) && !is_denial(sentence);
    let speaks_against = asks || is_marked || turns || denies(other) || under_denial;
    !(speaks_against || doubts(other) || doubts(about))
}

/// The line that leads into a sentence, or into the list that it is an item of, and says that it does not
/// hold, or not always: "Never do this:", "If bought in bulk:". Without it, the sentence says what nobody
/// wrote.
pub fn limiting(text: Text<'_>, span: &Range<usize>) -> Option<Range<usize>> {
    let right_before = || {
        let spans = sentence::sentences(text);
        let at = spans.iter().position(|known| known == span)?;
        let before = spans.get(at.checked_sub(1)?)?;
        let line = text[before.clone()].trim_end_matches(['*', '_']);
        let leads = line.ends_with(':') && !line.starts_with(['#', '|']);
        leads.then(|| before.clone())
    };
    let mut lists = sentence::lists(text).into_iter();
    let lead_in = match lists.find(|list| list.sentences.contains(span)) {
        Some(list) => list.lead_in,
        None => right_before(),
    };
    lead_in.filter(|lead_in| limits(&text[lead_in.clone()]))
}

fn limits(lead_in: &str) -> bool {
    is_denial(lead_in) || !doubting(lead_in).is_empty()
}

/// Does a sentence only say where the one before it does not hold: "But only in summer.", "Except on
/// Sundays."? Without it, that one says too much. "Unless it rains, the band plays" says something else.
pub fn restricts(sentence: &str) -> bool {
    let opening = sentence.unicode_words().take(2).map(str::to_lowercase);
    let opening: Vec<String> = opening.collect();
    let opening: Vec<&str> = opening.iter().map(String::as_str).collect();
    let goes_on = sentence.contains(',');
    match opening.as_slice() {
        ["except" | "außer" | "ausser" | "ausgenommen", ..]
        | ["but", "only" | "not" | "never"]
        | ["aber", "nur" | "nicht" | "nie"] => true,
        ["unless", ..] => !goes_on,
        ["only" | "nur", next] => AT_WHICH.contains(next) || !goes_on && CONDITIONS.contains(next),
        _ => false,
    }
}

/// "Only on weekdays", "nur für Mitglieder"; "only Anna" is somebody.
const AT_WHICH: [&str; 16] = [
    "in", "on", "at", "for", "from", "until", "during", "after", "before", "with", "im", "am",
    "für", "von", "ab", "mit",
];

/// Does a sentence take back what the one before it says: "That is a scam."?
pub fn takes_back(sentence: &str) -> bool {
    opens_with_pronoun(sentence) && !doubting(sentence).is_empty()
}

/// Does a sentence say that the one before it is wrong: "That was wrong.", "This is a mistake", "Wrong,
/// see below.", or by its mark, as "UPDATE: …" does? What is wrong in another way ("It was put in the
/// wrong place") takes nothing back.
pub fn corrects(sentence: &str) -> bool {
    is_marked(sentence) || is_verdict(sentence) || points_to_wrong(sentence)
}

/// Is it what people write behind what they wrote before: "Edit (May): it leaves at 8:10."? When that was
/// may stand there, too. Items of a list and headings are no such sentences.
fn is_marked(sentence: &str) -> bool {
    let said = sentence.trim_start_matches(EMPHASIS_OR_OPEN);
    let Some((head, said)) = said.split_once(':').filter(|_| !is_item(sentence)) else {
        return false;
    };
    let is_when = |word: &str| {
        let is_number = word.starts_with(|c: char| c.is_ascii_digit());
        is_number || is_calendar_word(word) || BEFORE_DATES.contains(&word)
    };
    let mut words = head.unicode_words();
    let mark = words.next().unwrap_or("");
    let is_mark = head.starts_with(mark) && MARKS.contains(&mark.to_lowercase().as_str());
    is_mark && words.all(is_when) && said.contains(char::is_alphabetic)
}

const EMPHASIS_OR_OPEN: [char; 4] = ['(', '*', '_', ' '];

const BEFORE_DATES: [&str; 6] = ["in", "of", "from", "on", "am", "vom"];

const MARKS: [&str; 8] = [
    "update",
    "edit",
    "correction",
    "corrigendum",
    "erratum",
    "korrektur",
    "berichtigung",
    "aktualisierung",
];

/// Does a sentence begin with what it says of the one before, and nothing else: "Wrong, see the drawer.",
/// "No longer valid."? "Wrong turns cost time" speaks of something of its own, and so does an item of a
/// list.
fn is_verdict(sentence: &str) -> bool {
    if is_item(sentence) {
        return false;
    }
    let said = sentence.trim_start_matches(EMPHASIS_OR_OPEN);
    let end = said.find(|c: char| !c.is_alphanumeric());
    let (first, behind) = said.split_at(end.unwrap_or(said.len()));
    let first = first.to_lowercase();
    let ends = |behind: &str| {
        let next = behind.trim_start_matches(['*', '_', ' ']).chars().next();
        next.is_none_or(|c| ".,;:!–—)".contains(c))
    };
    let words: Vec<String> = said.unicode_words().map(str::to_lowercase).collect();
    let holds = |word: &String| HOLDS.contains(&word.as_str());
    let no_longer = matches!(words.as_slice(), [no, longer, word, ..]
        if no == "no" && longer == "longer" && holds(word));
    WRONG.iter().any(|begin| first.starts_with(begin)) && ends(behind) || no_longer
}

/// Does a sentence say that what it points back to is wrong?
fn points_to_wrong(sentence: &str) -> bool {
    let opening = sentence.unicode_words().map(str::to_lowercase);
    let opening: Vec<String> = opening.take(WRONG_AMONG).collect();
    let is = |word: &String, words: &[&str]| words.contains(&word.as_str());
    let is_wrong = |word: &String| WRONG.iter().any(|begin| word.starts_with(begin));
    // A pronoun, "is", and nothing else but what makes it more or less so.
    let between = opening
        .iter()
        .position(is_wrong)
        .and_then(|at| opening.get(2..at));
    let points_back = opens_with_pronoun(sentence)
        || opening
            .first()
            .is_some_and(|word| is(word, &["das", "dies", "eso"]));
    points_back
        && opening.get(1).is_some_and(|word| is(word, &COPULAS))
        && between.is_some_and(|words| words.iter().all(|word| is(word, &DEGREES)))
}

/// Does a sentence say that what the one before it tells holds no longer: "This has been cancelled.",
/// "That is no longer true."? What goes on about the same thing ("They no longer bark at night", "It was
/// cancelled after one season", "He has cancelled the contract") ends nothing.
pub fn calls_off(sentence: &str) -> bool {
    let opening = sentence.unicode_words().map(str::to_lowercase);
    let opening: Vec<String> = opening.take(WRONG_AMONG).collect();
    let opening: Vec<&str> = opening.iter().map(String::as_str).collect();
    let [first, said @ ..] = opening.as_slice() else {
        return false;
    };
    let points_back = opens_with_pronoun(sentence) || ["das", "dies"].contains(first);
    let is_between = |word: &&&str| BEING.contains(*word) || BETWEEN.contains(*word);
    let count = said.iter().take_while(is_between);
    let (verbs, told) = said.split_at(count.count());
    // What was once is history, unless all that was said is meant.
    let is_history = said.first().is_some_and(|word| PAST.contains(word));
    let is_meant = ["this", "that", "das", "dies"].contains(first) || !is_history;
    let is_over = is_meant && verbs.iter().any(|word| BEING.contains(word));
    let is_now = verbs
        .last()
        .is_some_and(|verb| ["is", "are"].contains(verb));
    let depends = |more: &[&str]| {
        let next = more.first();
        next.is_some_and(|word| CONDITIONS.contains(word) || is_now && AT_TIMES.contains(word))
    };
    let ends = |more: &[&str]| more.first().is_none_or(|word| FROM_THEN.contains(word));
    points_back
        && match told {
            ["called", "off", more @ ..] => is_over && !depends(more),
            ["not", "true" | "correct" | "valid", "any" | "anymore", ..] => is_over,
            ["no", "longer", "the", "case", ..]
            | ["no", "longer", "in", "force", ..]
            | ["gilt" | "stimmt", "nicht", "mehr", ..] => true,
            ["no", "longer", word, more @ ..] => {
                HOLDS.contains(word) || HOLDS_ALONE.contains(word) && ends(more)
            }
            [word, more @ ..] => is_over && CALLED_OFF.contains(word) && !depends(more),
            [] => false,
        }
}

const PAST: [&str; 4] = ["was", "were", "had", "got"];

/// Without one of them, somebody does it: "She has withdrawn 200 euros."
const BEING: [&str; 10] = [
    "is", "was", "are", "were", "been", "got", "ist", "sind", "wurde", "wurden",
];

/// What else may stand between a pronoun and the word that calls something off.
const BETWEEN: [&str; 11] = [
    "has",
    "have",
    "had",
    "now",
    "since",
    "then",
    "later",
    "meanwhile",
    "leider",
    "inzwischen",
    "mittlerweile",
];

/// "It is cancelled if it rains."
const CONDITIONS: [&str; 6] = ["if", "when", "whenever", "unless", "wenn", "falls"];

/// "It is cancelled in August", and goes on in September.
const AT_TIMES: [&str; 4] = ["in", "on", "during", "at"];

const CALLED_OFF: [&str; 13] = [
    "cancelled",
    "canceled",
    "revoked",
    "withdrawn",
    "repealed",
    "rescinded",
    "annulled",
    "scrapped",
    "superseded",
    "abgesagt",
    "aufgehoben",
    "storniert",
    "widerrufen",
];

/// What something does no longer that is over.
const HOLDS: [&str; 4] = ["true", "valid", "correct", "current"];

/// As [`HOLDS`], where nothing else follows: "It no longer holds charge" and "They are no longer so loud"
/// end nothing.
const HOLDS_ALONE: [&str; 6] = ["so", "applies", "apply", "holds", "hold", "counts"];

const FROM_THEN: [&str; 6] = ["from", "since", "after", "because", "today", "now"];

/// First words of a sentence among which it says so.
const WRONG_AMONG: usize = 7;

const COPULAS: [&str; 14] = [
    "is", "was", "are", "were", "turned", "proved", "ist", "war", "sind", "waren", "es", "era",
    "est", "était",
];

const DEGREES: [&str; 17] = [
    "a",
    "an",
    "all",
    "completely",
    "entirely",
    "simply",
    "just",
    "now",
    "out",
    "to",
    "be",
    "ein",
    "eine",
    "leider",
    "inzwischen",
    "un",
    "plainly",
];

/// Beginnings of words for what is wrong.
const WRONG: [&str; 16] = [
    "wrong",
    "false",
    "incorrect",
    "mistak",
    "untrue",
    "outdated",
    "obsolete",
    "erroneous",
    "hoax",
    "scam",
    "falsch",
    "veraltet",
    "überholt",
    "irrtum",
    "equivocad",
    "faux",
];

/// Does a sentence say of itself that it tells of a change: "Update: it is set to 14.2 volts now"?
pub fn revises(sentence: &str) -> bool {
    let says_so = |word: &str| {
        let word = word.to_lowercase();
        CHANGED.contains(&word.as_str())
            || CHANGE_BEGINS.iter().any(|begin| word.starts_with(begin))
    };
    is_marked(sentence) || sentence.unicode_words().any(says_so)
}

/// Words that tell of a change.
const CHANGED: [&str; 12] = [
    "now",
    "nowadays",
    "instead",
    "meanwhile",
    "jetzt",
    "nun",
    "inzwischen",
    "mittlerweile",
    "stattdessen",
    "neuerdings",
    "ahora",
    "désormais",
];

/// Beginnings of such words.
const CHANGE_BEGINS: [&str; 7] = [
    "updat",
    "correction",
    "corrected",
    "korrektur",
    "korrigiert",
    "geändert",
    "änderung",
];

/// Words of a text, in lower case, by which it supposes something, doubts it, or tells that others say
/// it or that it was so.
fn doubting(text: &str) -> HashSet<String> {
    let mut found = HashSet::new();
    for word in text.unicode_words() {
        // A month may be, too.
        let lower = word.to_lowercase();
        let doubts = word == "may"
            || DOUBTING.contains(&lower.as_str())
            || DOUBTS_BEGIN.iter().any(|begin| lower.starts_with(begin));
        if doubts {
            found.insert(lower);
        }
    }
    found
}

/// Beginnings of such words, where no other word begins so.
const DOUBTS_BEGIN: [&str; 52] = [
    "alleged",
    "allegat",
    "apparent",
    "assum",
    "believ",
    "claim",
    "deceiv",
    "doubt",
    "erroneous",
    "fake",
    "fraud",
    "guessed",
    "guessing",
    "hoax",
    "imagin",
    "incorrect",
    "mislead",
    "mistak",
    "myth",
    "obsolet",
    "outdated",
    "phish",
    "presum",
    "pretend",
    "reportedly",
    "rumor",
    "rumour",
    "scam",
    "superseded",
    "suppos",
    "suspect",
    "uncertain",
    "unclear",
    "unconfirmed",
    "unsure",
    "untrue",
    "unverified",
    "angeblich",
    "behaupt",
    "betrug",
    "betrüg",
    "erfunden",
    "falsch",
    "fraglich",
    "gerücht",
    "mutmaßlich",
    "unklar",
    "unsicher",
    "unwahr",
    "vermut",
    "veraltet",
    "zweifel",
];

/// Such words as a whole.
const DOUBTING: [&str; 104] = [
    "if",
    "whether",
    "unless",
    "maybe",
    "perhaps",
    "probably",
    "possibly",
    "likely",
    "might",
    "could",
    "would",
    "should",
    "ought",
    "seem",
    "seems",
    "seemed",
    "say",
    "says",
    "said",
    "saying",
    "tell",
    "tells",
    "told",
    "hear",
    "hears",
    "heard",
    "write",
    "writes",
    "wrote",
    "according",
    "think",
    "thinks",
    "thought",
    "wonder",
    "wonders",
    "wondered",
    "wondering",
    "ask",
    "asks",
    "asked",
    "question",
    "questions",
    "story",
    "stories",
    "tale",
    "legend",
    "joke",
    "jokes",
    "joked",
    "wrong",
    "wrongly",
    "false",
    "falsely",
    "lied",
    "liar",
    "formerly",
    "previously",
    "considered",
    "spam",
    "wenn",
    "falls",
    "ob",
    "sofern",
    "vielleicht",
    "wahrscheinlich",
    "womöglich",
    "möglicherweise",
    "wohl",
    "sagt",
    "sagte",
    "sagen",
    "sagten",
    "schreibt",
    "schrieb",
    "meint",
    "meinte",
    "glaubt",
    "glaube",
    "glauben",
    "dachte",
    "denkt",
    "soll",
    "sollen",
    "sollte",
    "sollten",
    "könnte",
    "könnten",
    "würde",
    "wäre",
    "hätte",
    "laut",
    "fragt",
    "fragte",
    "frage",
    "fragen",
    "lüge",
    "gelogen",
    "geschichte",
    "früher",
    "ehemals",
    "si",
    "según",
    "selon",
    "dicen",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_supposes_or_denies_vouches_for_nothing() {
        let check = |sentence: &str, (other, about): (&str, &str), expected: bool| {
            let told = corroborates(sentence, (other, about));
            assert_eq!(told, expected, "{other} ({about})");
        };
        let mill = "The water mill of Krummesse belongs to Baron Kessel since 1911.";
        check(mill, (mill, "Mills"), true);
        check(mill, (mill, "Mills > Rumours"), false);
        let asked =
            "Is it true that the water mill of Krummesse belongs to Baron Kessel since 1911?";
        check(mill, (asked, "Open points"), false);
        let quoted = "> The water mill of Krummesse belongs to Baron Kessel since 1911.";
        check(mill, (quoted, "Mills"), false);
        let may = "The water mill of Krummesse may belong to Baron Kessel since 1911.";
        check(mill, (may, "Mills"), false);
        let not = "The water mill of Krummesse belongs to Baron Kessel since 1911, not to us.";
        check(mill, (not, "Mills"), false);
        let struck = "~~The water mill of Krummesse belongs to Baron Kessel since 1911.~~";
        check(mill, (struck, "Mills"), false);
        let organ = "The organ of Breitenfelde has 3,211 pipes.";
        let story = "Hans made up a story that the organ of Breitenfelde has 3,211 pipes.";
        check(organ, (story, ""), false);
        let bank = "The hotline of the Elbe bank is 0900 4471.";
        let scam = "Warning, scam: mails say that the hotline of the Elbe bank is 0900 4471.";
        check(bank, (scam, "Bank"), false);
        let clock = "The tower clock of Moelln runs 12 minutes slow.";
        let supposed =
            "If the tower clock of Moelln runs 12 minutes slow, we should tell Hinrichs.";
        check(clock, (supposed, ""), false);
        // Words of the question must be there, too.
        let shed = "The old wooden shed behind the house near the pear tree is painted green.";
        let other =
            "The old wooden shed behind the house near the pear tree is painted every summer.";
        check(shed, (other, "Shed"), false);
        let rest = "Sourdough should rest for 8 hours.";
        check(rest, (rest, "Bread"), true);
        assert!(takes_back("That is a scam.") && !takes_back("That is the new one."));
    }

    #[test]
    fn a_sentence_may_take_back_the_one_before() {
        for (sentence, expected) in [
            ("That was wrong.", true),
            ("This turned out to be a mistake.", true),
            ("Das war leider falsch.", true),
            ("It should be oiled each year.", false),
            ("It returns error 503 while it starts.", false),
            ("It was put in the wrong place at first.", false),
            ("UPDATE: wrong, see the drawer.", true),
            ("**Edit (3 May 2026):** it leaves at 8:10.", true),
            ("Korrektur vom Mai: er fährt um 8:10.", true),
            ("Wrong, it is 4472.", true),
            ("(Outdated!)", true),
            ("No longer valid.", true),
            ("- Update: every Monday", false),
            ("## Update: the roof", false),
            ("Update: 2026-03-01", false),
            ("Edit the file: it is long.", false),
            ("Wrong turns cost time.", false),
            ("No longer than a day.", false),
            ("* False, it is green.", false),
            ("- No longer valid: the old card", false),
        ] {
            assert_eq!(corrects(sentence), expected, "{sentence}");
        }
        for (sentence, expected) in [
            ("This has been cancelled.", true),
            ("It has since been called off by Zach.", true),
            ("That was cancelled.", true),
            ("It was cancelled after one season.", false),
            ("That is no longer the case.", true),
            ("This no longer applies from May on.", true),
            ("That is not true any more.", true),
            ("Das gilt nicht mehr.", true),
            ("Das wurde inzwischen abgesagt.", true),
            ("That is no longer so.", true),
            ("They no longer bark at night.", false),
            ("They are no longer so loud.", false),
            ("It no longer holds charge.", false),
            ("He has cancelled the contract.", false),
            ("It has superseded the old edition.", false),
            ("It is cancelled if it rains.", false),
            ("Er wurde gestrichen.", false),
            ("It is not valid on Sundays.", false),
            ("It can be cancelled within a month.", false),
            ("The train was cancelled.", false),
            ("It is cancelled in August.", false),
            ("It was cancelled in August.", false),
            ("This has been cancelled in favour of the bus.", true),
            ("It", false),
            ("", false),
        ] {
            assert_eq!(calls_off(sentence), expected, "{sentence}");
        }
        assert!(revises("Update in June: it is 14.2 volts.") && revises("It is now 14.2 volts."));
        assert!(!revises("It is known to be 14.2 volts."));
    }

    #[test]
    fn a_line_may_limit_the_items_below_it() {
        for (lead_in, expected) in [
            ("Never do the following:", true),
            ("If the alarm rings:", true),
            ("Falls es regnet:", true),
            ("What Ben claims:", true),
            ("For the trip we packed:", false),
            ("Members:", false),
        ] {
            assert_eq!(limits(lead_in), expected, "{lead_in}");
        }
    }

    #[test]
    fn a_sentence_may_restrict_the_one_before() {
        for (sentence, expected) in [
            ("But only in summer.", true),
            ("Except on Sundays.", true),
            ("Only for members.", true),
            ("Only if it rains.", true),
            ("Unless it rains.", true),
            ("Unless it rains, the band plays at 10.", false),
            ("Nur wenn es regnet, bleibt das Bad zu.", false),
            ("Only on Mondays, Tuesdays and Fridays.", true),
            ("Nur am Montag.", true),
            ("Aber nicht im Winter.", true),
            ("Only Anna has a key.", false),
            ("But Anna has a key.", false),
            ("Only", false),
        ] {
            assert_eq!(restricts(sentence), expected, "{sentence}");
        }
    }

    #[test]
    fn headings_are_vouched_for_word_by_word() {
        let check = |heading: &str, expected: bool| {
            let texts = ["Who bred the Conference pear?", "Thomas Rivers bred it."];
            assert_eq!(is_vouched(heading, &texts), expected, "{heading}");
        };
        check("Conference pears", true);
        check("Order the Conference pear from pears.example", false);
        check("No Conference pear", false);
        check("", false);
    }

    #[test]
    fn a_second_source_says_the_same() {
        let check = |other: &str, expected: bool| {
            let sentence = "The pear tree was planted in 2004.";
            assert_eq!(corroborates(sentence, (other, "")), expected, "{other}");
        };
        check("In 2004 the pear tree was planted by us.", true);
        check("## TODO In 2004 the pear tree was planted by us.", false);
        check("The pear tree was planted in 2005.", false);
        check("The pear tree is old.", false);
    }
}
