//! Numbers in doubt: another one in the place of the one that is asked about, what stands under another
//! one, and what a number is measured against.

use std::collections::HashSet;

use unicode_segmentation::UnicodeSegmentation;

use super::{Doubt, REST_OF_NUMBER, hold_any, lower, rest};
use crate::domain::context::{content_words, same_word};
use crate::domain::figure::{figures, held_numbers, is_date, is_year, number_words, numbers};

pub(super) fn number(question: &str, sentence: &str, around: &str) -> Option<Doubt> {
    let held = held_numbers(around);
    let romans: HashSet<&str> = around.unicode_words().collect();
    let holds = |number: &String| {
        held.contains(number) || roman(number).is_some_and(|roman| romans.contains(roman))
    };
    let asked = numbers(question);
    // "8 am" is 08:00.
    let hours: Vec<String> = figures(question)
        .into_iter()
        .filter(|figure| figure.unit.as_deref().is_some_and(is_clock))
        .map(|figure| figure.value)
        .collect();
    let others = numbers(sentence);
    // 840 is more than 800.
    let bound = bound(question).filter(|bound| {
        let mut alike = others.iter().filter(|own| kind(own) == kind(&bound.value));
        alike.any(|own| bound.admits(own) == Some(true))
    });
    let is_bound = |number: &String| bound.as_ref().is_some_and(|own| own.value == *number);
    let mut missing: Vec<&String> = asked
        .iter()
        .filter(|number| !holds(number) && !hours.contains(number) && !is_bound(number))
        .collect();
    missing.sort();
    let in_doubt = |word: &str| numbers(word).iter().any(|number| missing.contains(&number));
    if missing.is_empty() || rest(question, sentence, in_doubt) < REST_OF_NUMBER {
        return None;
    }
    let others: Vec<Kind> = others
        .difference(&asked)
        .map(|number| kind(number))
        .collect();
    let replaced = missing
        .into_iter()
        .find(|number| others.contains(&kind(number)))?;
    Some(Doubt::Number(replaced.clone()))
}

/// Does a sentence count the same in another number, one of them written as a word: three nights, where
/// four are asked about?
pub(super) fn counts_otherwise(question: &str, sentence: &str) -> bool {
    // At least two nights are three, too.
    const MEASURED: [&str; 8] = [
        "than",
        "least",
        "most",
        "over",
        "under",
        "up",
        "als",
        "mindestens",
    ];
    let value = |word: &str| {
        let worded = number_words(word).into_iter().next();
        let worded = worded.map(|(_, count)| count.to_string());
        worded.or_else(|| numbers(word).into_iter().next())
    };
    let counted = |words: &[String]| -> Vec<(String, String)> {
        let pairs = words.windows(2);
        pairs
            .filter_map(|pair| Some((value(&pair[0])?, pair[1].clone())))
            .collect()
    };
    let (asked, said) = (lower(question), lower(sentence));
    let held = counted(&said);
    let differs = |(number, unit): &(String, String)| {
        let mut alike = held
            .iter()
            .filter(|(_, own)| same_word(own, unit))
            .peekable();
        let counts = !content_words(unit).is_empty() && !is_clock(unit);
        counts && alike.peek().is_some() && alike.all(|(own, _)| own != number)
    };
    let in_doubt = |word: &str| value(word).is_some();
    let measures = [&asked, &said]
        .iter()
        .any(|words| hold_any(words, &MEASURED));
    let worded = [question, sentence]
        .iter()
        .any(|text| !number_words(text).is_empty());
    worded
        && !measures
        && counted(&asked).iter().any(differs)
        && rest(question, sentence, in_doubt) >= REST_OF_NUMBER
}

/// A year, a code or a numbered thing that is asked about, where the notes stand under another one of
/// its kind: "flat 17" under "Flat 12", 2025 under "Policy 2024".
pub(super) fn labelled(question: &str, sentence: &str, around: &str, about: &str) -> Option<Doubt> {
    let held = held_numbers(around);
    let above = labels(about);
    let asked = labels(question);
    let missing = asked.into_iter().find(|(label, number)| {
        let other = |(own, value): &(String, String)| own == label && value != number;
        !held.contains(number) && above.iter().any(other)
    });
    let (_, number) = missing?;
    let in_doubt = |word: &str| numbers(word).contains(&number);
    let whole = format!("{about} {sentence}");
    (rest(question, &whole, in_doubt) >= REST_OF_NUMBER).then_some(Doubt::Number(number))
}

/// The years, codes and numbered things of a text: what each is one of, and its number.
fn labels(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut before = String::new();
    for word in text.split(|c: char| c.is_whitespace() || "()[],;:>\"".contains(c)) {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        let number = numbers(word).into_iter().next();
        let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
        let code = letters.len() < word.len() && letters.chars().all(char::is_alphabetic);
        match number {
            Some(number) if digits && is_year(&number) => found.push(("year".into(), number)),
            Some(number) if digits && !content_words(&before).is_empty() => {
                found.push((before.to_lowercase(), number));
            }
            Some(number) if code && letters.len() <= 2 && !letters.is_empty() => {
                found.push((letters.to_lowercase(), number));
            }
            _ => {}
        }
        if !word.is_empty() {
            word.clone_into(&mut before);
        }
    }
    found
}

/// A number that something is measured against: "more than 800 euros", "before 1990".
pub(super) struct Bound {
    pub(super) value: String,
    pub(super) unit: Option<String>,
    /// The words before it, whether they ask for more, and whether it will do itself.
    pub(super) words: &'static [&'static str],
    is_least: bool,
    is_within: bool,
}

impl Bound {
    /// Is it asked what was before or after it?
    pub(super) fn is_of_time(&self) -> bool {
        let said = self.words.first().copied().unwrap_or("");
        ["before", "after", "vor", "nach"].contains(&said)
    }

    /// Is another number within it? Of three digits behind a point nobody knows what they are.
    pub(super) fn admits(&self, number: &str) -> Option<bool> {
        let value = |text: &str| {
            let digits = text.split_once('.').map_or("", |(_, digits)| digits);
            text.parse::<f64>().ok().filter(|_| digits.len() != 3)
        };
        let (told, own) = (value(number)?, value(&self.value)?);
        let passes = if self.is_least {
            told > own
        } else {
            told < own
        };
        Some(passes || self.is_within && number == self.value)
    }
}

/// The first such number of a text.
pub(super) fn bound(text: &str) -> Option<Bound> {
    const BOUNDS: &[(&[&str], bool, bool)] = &[
        (&["more", "than"], true, false),
        (&["older", "than"], true, false),
        (&["longer", "than"], true, false),
        (&["higher", "than"], true, false),
        (&["taller", "than"], true, false),
        (&["bigger", "than"], true, false),
        (&["larger", "than"], true, false),
        (&["wider", "than"], true, false),
        (&["deeper", "than"], true, false),
        (&["heavier", "than"], true, false),
        (&["over"], true, false),
        (&["above"], true, false),
        (&["after"], true, false),
        (&["at", "least"], true, true),
        (&["less", "than"], false, false),
        (&["fewer", "than"], false, false),
        (&["younger", "than"], false, false),
        (&["shorter", "than"], false, false),
        (&["lower", "than"], false, false),
        (&["smaller", "than"], false, false),
        (&["lighter", "than"], false, false),
        (&["cheaper", "than"], false, false),
        (&["under"], false, false),
        (&["below"], false, false),
        (&["before"], false, false),
        (&["at", "most"], false, true),
        (&["up", "to"], false, true),
        (&["mehr", "als"], true, false),
        (&["älter", "als"], true, false),
        (&["länger", "als"], true, false),
        (&["höher", "als"], true, false),
        (&["größer", "als"], true, false),
        (&["schwerer", "als"], true, false),
        (&["teurer", "als"], true, false),
        (&["über"], true, false),
        (&["nach"], true, false),
        (&["mindestens"], true, true),
        (&["weniger", "als"], false, false),
        (&["jünger", "als"], false, false),
        (&["kürzer", "als"], false, false),
        (&["kleiner", "als"], false, false),
        (&["billiger", "als"], false, false),
        (&["unter"], false, false),
        (&["vor"], false, false),
        (&["höchstens"], false, true),
    ];
    let words = lower(text);
    figures(text).into_iter().find_map(|figure| {
        let holds = |word: &String| numbers(word).contains(&figure.value);
        let before = &words[..words.iter().position(holds)?];
        let ends = |said: &[&str]| {
            let from = before.len().checked_sub(said.len());
            from.is_some_and(|from| before[from..].iter().zip(said).all(|(a, b)| a == b))
        };
        let &(said, is_least, is_within) = BOUNDS.iter().find(|(said, ..)| ends(said))?;
        Some(Bound {
            value: figure.value,
            unit: figure.unit,
            words: said,
            is_least,
            is_within,
        })
    })
}

/// Does a word say that the number before it is a time of the day?
pub(super) fn is_clock(unit: &str) -> bool {
    [
        "am",
        "pm",
        "a.m",
        "p.m",
        "a.m.",
        "p.m.",
        "o'clock",
        "o’clock",
        "uhr",
    ]
    .contains(&unit)
}

/// What a number is: only one of its kind can stand in its place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Date,
    Year,
    Code,
    Count,
}

pub(super) fn kind(number: &str) -> Kind {
    if is_date(number) {
        Kind::Date
    } else if is_year(number) {
        Kind::Year
    } else if number.contains(char::is_alphabetic) {
        Kind::Code
    } else {
        Kind::Count
    }
}

/// "World War 2" is "World War II".
fn roman(number: &str) -> Option<&'static str> {
    const ROMANS: [&str; 20] = [
        "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII", "XIV",
        "XV", "XVI", "XVII", "XVIII", "XIX", "XX",
    ];
    let at = number.parse::<usize>().ok()?.checked_sub(1)?;
    ROMANS.get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::super::tests::told;
    use super::super::{Stance, doubts, stance};
    use super::*;

    #[test]
    fn another_number_in_place_of_the_one_that_is_asked_about_is_doubted() {
        let sentence = "The pear tree in the garden was planted in 2004 by Anna.";
        let number = |number: &str| vec![Doubt::Number(number.to_owned())];
        assert_eq!(
            told("Who planted the pear tree in 1998?", sentence),
            number("1998")
        );
        assert_eq!(told("Who planted the pear tree in 2004?", sentence), []);
        // A year stands in no place of a count.
        assert_eq!(told("Who planted the 3 pear trees?", sentence), []);
        // A time of the day is written in many ways.
        let choir = "Choir practice happens in the hall at 08:00.";
        assert_eq!(told("What happens in the hall at 8 am?", choir), []);
        let war = "The house was built after World War II, in 1950.";
        assert_eq!(told("When after World War 2 was the house built?", war), []);
        let lots = "What was planted in 1998 near the gate of the old farm, and why?";
        assert_eq!(told(lots, sentence), []);
    }

    #[test]
    fn what_stands_under_another_number_is_doubted() {
        let check = |question: &str, about: &str, expected: bool| {
            let sentence = "The monthly rent is 1,150 euros.";
            let around = format!("{about} {sentence}");
            let found = doubts(question, sentence, &around, about);
            assert_eq!(
                found.iter().any(Doubt::refuses),
                expected,
                "{question} {about}"
            );
        };
        check(
            "What is the monthly rent of flat 17?",
            "Lease flat 12",
            true,
        );
        check(
            "What is the monthly rent of flat 12?",
            "Lease flat 12",
            false,
        );
        check("What is the monthly rent in 2025?", "Lease of 2024", true);
        check("What is the monthly rent in Q4?", "Costs > Q3", true);
        check("What is the monthly rent in Q4?", "Costs > House 4", false);
        let pets = |sentence: &str, about: &str| {
            let around = format!("{about} {sentence}");
            stance("Are pets allowed in flat 12?", sentence, &around, about)
        };
        assert_eq!(
            pets("Pets are not allowed.", "Lease flat 12"),
            Stance::States(false)
        );
        assert_ne!(
            pets("Pets are not allowed.", "Lease"),
            Stance::States(false)
        );
        assert_ne!(
            pets("Pets of Ruth are allowed.", "Lease flat 12"),
            Stance::States(true)
        );
        let sentence = "There was a loss of 14,900 euros.";
        let question = "Was there a loss in Q2?";
        let of = |about: &str| stance(question, sentence, &format!("{about} {sentence}"), about);
        assert_eq!(of("Report Q3"), Stance::Open);
        assert_ne!(of("Report Q2"), Stance::Open);
    }
}
