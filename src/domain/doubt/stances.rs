//! What a sentence says to a question that wants a yes or a no: that it is so, that it is not, that one
//! of them is likely, or nothing.

use std::collections::HashSet;

use unicode_segmentation::UnicodeSegmentation;

use super::numbers::{Bound, Kind, bound, counts_otherwise, kind, labelled, number};
use super::opposites::{
    LASTING, another_day, are_converse, bounds_time, calendar, lacks_colour, opposite,
    other_of_kind, turns,
};
use super::unsettled::{
    contrasts, counts_another, counts_some, excludes_others, has_ended, is_claimed,
    is_of_another_rate, is_open_task, is_to_do, may_have_ended, plans, states, swaps, was_changed,
};
use super::{Doubt, REST_OF_NUMBER, denies_by_meaning, hold_any, lower, name, rest};
use crate::domain::context::{
    content_words, coverage, names, not_named, same_word, subject_coverage,
};
use crate::domain::denial::{
    clauses, denies_another, denies_briefly, is_crossed, is_dated_otherwise, is_denial, is_denied,
    is_numbered_otherwise, refuses, sets_aside,
};
use crate::domain::figure::{Dates, figures, numbers, same_unit};
use crate::domain::question::core;
use crate::domain::surroundings::opens_with_pronoun;
use crate::domain::words::as_read;

/// Share of a question's words that one clause must hold to support a yes or a no.
const STATES: f32 = 0.9;

/// Share of them that a sentence must hold to make a yes likely. Of 200 questions of `BoolQ` whose best
/// sentence states nothing, a yes is right for 63 in 100, however many of the words that holds; below
/// this, people see no connection.
const SUGGESTS: f32 = 0.4;

/// The same where it holds two words at least: a long question has many.
const SUGGESTS_OF_MANY: f32 = 0.2;

/// What a sentence says to a question that wants a yes or a no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stance {
    /// It states what is asked (`true`), or denies it.
    States(bool),
    /// It makes a yes (`true`) or a no likely.
    Suggests(bool),
    /// It tells that what is asked was changed, or turns all of it: what another sentence states may be
    /// from before.
    Disputes,
    /// It speaks of that, and leaves it open: it asks, plans, supposes, or tells of another case.
    Unsettled,
    /// It speaks of something else.
    Open,
}

impl Stance {
    /// Whether it speaks for a yes, if it speaks for anything.
    pub fn says_yes(self) -> Option<bool> {
        match self {
            Self::States(yes) | Self::Suggests(yes) => Some(yes),
            Self::Disputes | Self::Unsettled | Self::Open => None,
        }
    }
}

/// The same from which it counts what the clause stands under, too: for a no, and for a yes. With
/// less, a yes was right 3 times of 6 (300 questions of `boolq_dev`).
const UNDER_TITLE: f32 = 0.5;
const YES_UNDER_TITLE: f32 = 0.75;

/// What a sentence says to a question that wants a yes or a no; `around` and `about` as in [`doubts`].
///
/// What is asked must stand within one clause: "Tom owns the shop; Lena owns the website" says
/// nothing of Tom's website.
///
/// [`doubts`]: super::doubts
pub fn stance(question: &str, sentence: &str, around: &str, about: &str) -> Stance {
    let (sentence, around, about) = (&*as_read(sentence), &*as_read(around), &*as_read(about));
    let question = &*as_read(question);
    let asked = core(question);
    if labelled(asked, sentence, around, about).is_some() {
        return Stance::Open;
    }
    let denied = is_denied(asked, sentence);
    let clauses = clauses(sentence);
    // What a clause stands under, it is about, unless it is about somebody else.
    let held_by = |clause: &String| {
        let held = coverage(asked, &[clause]);
        let least = if denied { UNDER_TITLE } else { YES_UNDER_TITLE };
        if held < least || holds_new_name(asked, clause) {
            return held;
        }
        coverage(asked, &[clause, about])
    };
    let shares = clauses.iter().map(held_by);
    let best = shares.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
    let Some((at, held)) = best else {
        return Stance::Open;
    };
    let clause = &clauses[at];
    let whole = coverage(asked, &[sentence]);
    let is_open = is_open_task(sentence) || is_to_do(sentence, about) || plans(question, clause);
    let tells = states(sentence) && !is_open && !is_claimed(asked, sentence);
    if tells && was_changed(asked, sentence) {
        return Stance::Disputes;
    }
    let stands =
        tells && !is_dated_otherwise(asked, sentence) && !is_numbered_otherwise(asked, sentence);
    // How far what is set aside goes, words do not tell: "oats instead of rye on Monday".
    let aside = lower(sentence)
        .windows(2)
        .any(|pair| sets_aside(&pair[0], &pair[1]));
    if !stands || denied && (aside || denies_another(asked, sentence)) {
        return Stance::Unsettled;
    }
    if let Some(stance) = switched(asked, sentence, about) {
        return stance;
    }
    if let Some(bound) = bound(asked)
        && self::bound(clause).is_none_or(|own| own.value != bound.value)
        && let Some(stance) = measured(&bound, asked, clause, denied)
    {
        return stance;
    }
    if let Some(stance) = tells_another(asked, sentence, (around, about), denied) {
        return stance;
    }
    // "The door is locked, but the window is not": what it is not stands in the other clause.
    let held = if denied && denies_briefly(asked, sentence) {
        held.max(whole)
    } else {
        held
    };
    let turned = !denied && denies_by_meaning(sentence) && !denies_by_meaning(question);
    let ended = denied && has_ended(asked, sentence) || may_have_ended(asked, sentence);
    let excludes = excludes_others(asked, clause, denied || held >= STATES);
    if turned && held >= STATES && denies_by_meaning(clause) {
        return Stance::Disputes;
    }
    let another = counts_another(asked, clause) || is_of_another_rate(asked, sentence);
    if turned || ended || another || excludes {
        return Stance::Unsettled;
    }
    if held >= STATES && !compares(question) {
        let apart = || contrasts(asked, sentence) || swaps(asked, sentence);
        let other = || apart() || is_crossed(asked, clause);
        let other_case = counts_some(asked, sentence) || !denied && other();
        return if other_case {
            Stance::Unsettled
        } else {
            Stance::States(!denied)
        };
    }
    if suggests(asked, sentence, about, (held, whole)) {
        return Stance::Suggests(!denied);
    }
    Stance::Open
}

/// Does a sentence make an answer likely that it does not state? `held` and `whole` are the shares of the
/// question that its best clause and all of it hold.
fn suggests(question: &str, sentence: &str, about: &str, (held, whole): (f32, f32)) -> bool {
    // Words that stand in clauses of different people say nothing together.
    let together = held >= STATES || whole < STATES || names(question).is_empty();
    let several = {
        let words = content_words(question).len();
        whole * f32::from(u16::try_from(words).unwrap_or(u16::MAX)) > 1.5
    };
    let speaks = whole >= SUGGESTS || whole >= SUGGESTS_OF_MANY && several;
    speaks
        && together
        && !is_of_another(question, sentence, about)
        && !is_of_another_day(question, sentence, about)
}

/// Is a sentence about somebody or something else by name: about the badge that Jonas got, where Mila's is
/// asked about? Who a pronoun means was said before it.
fn is_of_another(question: &str, sentence: &str, about: &str) -> bool {
    let asked = names(question).len();
    asked > 0
        && not_named(question, &[sentence, about]).len() == asked
        && holds_new_name(question, sentence)
        && !opens_with_pronoun(sentence)
}

/// Does a sentence tell of another day or month than the one that is asked about, or stand under one?
fn is_of_another_day(question: &str, sentence: &str, about: &str) -> bool {
    let asked = Dates::of(question);
    let own = Dates::of(sentence);
    let told = if own.is_empty() {
        Dates::of(about)
    } else {
        own
    };
    // "From 1 March to 31 October" tells of June, too.
    let lasts = hold_any(&lower(sentence), &LASTING) || bounds_time(question);
    !asked.is_empty() && !told.is_empty() && !lasts && !asked.meet(&told)
}

/// What a sentence says that holds something else in the place of what is asked about, or the opposite.
fn tells_another(
    question: &str,
    sentence: &str,
    (around, about): (&str, &str),
    denied: bool,
) -> Option<Stance> {
    let unlikely = if denied {
        Stance::Unsettled
    } else {
        Stance::Suggests(false)
    };
    if bounds_time(question) && calendar(question, sentence, around).is_some() {
        return Some(Stance::Unsettled);
    }
    let turned = opposite(question, sentence, around);
    // What is closed on Friday may be open on Monday.
    if turned.is_some() && another_day(question, sentence, around).is_some() {
        return Some(Stance::Unsettled);
    }
    if replaces(question, sentence, around) {
        return Some(unlikely);
    }
    if let Some(Doubt::Opposite(word, said)) = turned {
        if are_converse(&word, &said, question, around) {
            return Some(Stance::Unsettled);
        }
        // Who failed to do it did not succeed: that denies once.
        return Some(Stance::Suggests(denied && !refuses(&said)));
    }
    // What the sentence beside it tells of may be something else.
    let own = format!("{about} {sentence}");
    let Some(Doubt::Opposite(word, _)) = other_of_kind(question, sentence, &own) else {
        return lacks_colour(question, &own).then_some(Stance::Open);
    };
    // The door is not red that is green; but of the red door, the green one says nothing.
    let is_said = lower(question).last() == Some(&word);
    Some(if is_said { unlikely } else { Stance::Unsettled })
}

/// What a sentence says of something that is asked to be on or off; nothing where the question asks
/// no such thing. What that is must be told with it, or above it: of the heating, the light that is on
/// says nothing.
fn switched(question: &str, sentence: &str, about: &str) -> Option<Stance> {
    const PAIRS: [[&str; 2]; 2] = [["on", "off"], ["an", "aus"]];
    const VERBS: [&str; 14] = [
        "is", "are", "was", "were", "be", "been", "turned", "switched", "kept", "stays", "ist",
        "sind", "war", "waren",
    ];
    const BEHIND: [&str; 9] = [
        "again", "now", "today", "and", "but", "wieder", "jetzt", "und", "aber",
    ];
    const MARKS: [char; 9] = ['.', ',', ';', ':', '!', ')', '*', '_', '"'];
    let asked = lower(question);
    let last = asked.last()?.as_str();
    let pair = PAIRS.iter().find(|pair| pair.contains(&last))?;
    VERBS.contains(&asked.first()?.as_str()).then_some(())?;
    let said = lower(sentence);
    let places: Vec<(usize, &str)> = sentence.unicode_word_indices().collect();
    // "On the desk" switches nothing.
    let ends = |at: usize| {
        let (start, word) = places[at];
        let behind = &sentence[start + word.len()..];
        let goes_on = said
            .get(at + 1)
            .is_some_and(|next| BEHIND.contains(&next.as_str()));
        behind.trim().is_empty() || behind.starts_with(MARKS) || goes_on
    };
    let says = |switch: &str| {
        said.iter().enumerate().any(|(at, word)| {
            let before = &said[at.saturating_sub(2)..at];
            word == switch && hold_any(before, &VERBS) && ends(at)
        })
    };
    let [is, is_not] = [true, false].map(|same| {
        let mut switches = pair.iter().filter(|switch| (**switch == last) == same);
        switches.any(|switch| says(switch))
    });
    let mut subject: Vec<&str> = question.unicode_words().collect();
    subject.retain(|word| {
        let word = word.to_lowercase();
        !VERBS.contains(&word.as_str()) && !pair.contains(&word.as_str())
    });
    let is_of_it = subject_coverage(&subject.join(" "), &[sentence, about]) >= STATES;
    Some(if is == is_not || !is_of_it {
        Stance::Unsettled
    } else {
        Stance::States(is != is_denial(sentence))
    })
}

/// What a clause says to a question that measures something against a number: yes or no where it
/// tells one of the same kind. That something was so in 1985 is no reason why it was not after 1990,
/// and a shop that opens at 9 is open after 10. A clause without a number speaks of it as any other.
fn measured(bound: &Bound, question: &str, clause: &str, denied: bool) -> Option<Stance> {
    let figures = figures(clause);
    if figures.is_empty() {
        return None;
    }
    let same = |own: &str, asked: &str| same_unit(own, asked) || same_word(own, asked);
    // What it is measured in says nothing of what is measured.
    let in_doubt = |word: &str| {
        let said = lower(word);
        let is_unit = |unit: &String| said.iter().any(|word| same(word, unit));
        numbers(word).contains(&bound.value)
            || hold_any(&said, bound.words)
            || bound.unit.as_ref().is_some_and(is_unit)
    };
    let held = rest(question, clause, in_doubt);
    if held < SUGGESTS {
        return Some(Stance::Open);
    }
    let counts = |unit: Option<&String>| match (unit, bound.unit.as_ref()) {
        (Some(own), Some(asked)) => same(own, asked),
        (own, asked) => own.is_none() && asked.is_none(),
    };
    let is_time = bound.is_of_time();
    let is_year = is_time && kind(&bound.value) == Kind::Year;
    let values = figures.into_iter().filter(|figure| {
        let same_kind = kind(&figure.value) == kind(&bound.value);
        if is_year {
            same_kind
        } else {
            // Over 18 is not who was born in 2009.
            counts(figure.unit.as_ref()) && (same_kind || bound.unit.is_some())
        }
    });
    let values: HashSet<String> = values.map(|figure| figure.value).collect();
    let one = values.iter().next().filter(|_| values.len() == 1);
    let Some(yes) = one.and_then(|number| bound.admits(number)) else {
        return Some(Stance::Unsettled);
    };
    let lasts = is_year && hold_any(&lower(clause), &LASTING);
    let is_bound = self::bound(clause).is_some();
    if denied || is_bound || lasts || is_time && !is_year || turns(question, clause) {
        return Some(Stance::Unsettled);
    }
    // A number that counts nothing may be one of anything.
    let is_sure = if is_year { yes } else { bound.unit.is_some() };
    Some(if held >= STATES && is_sure {
        Stance::States(yes)
    } else {
        Stance::Suggests(yes)
    })
}

/// Does a sentence hold another number, name, day of the week, month, date or letter in the place of
/// one that is asked about?
fn replaces(question: &str, sentence: &str, around: &str) -> bool {
    number(question, sentence, around).is_some()
        || counts_otherwise(question, sentence)
        || calendar(question, sentence, around).is_some()
        || another_date(question, sentence)
        || letter(question, sentence)
        || name(question, sentence, around).is_some() && holds_new_name(question, sentence)
}

/// The exam is not on 10 March that is on 16 June, whatever the sentence beside it says of 24 March.
fn another_date(question: &str, sentence: &str) -> bool {
    let asked = Dates::of(question);
    let in_doubt = |word: &str| asked.has_part(&word.to_lowercase());
    is_of_another_day(question, sentence, "")
        && rest(question, sentence, in_doubt) >= REST_OF_NUMBER
}

/// "A positive" where the sentence says "B positive".
fn letter(question: &str, sentence: &str) -> bool {
    let letters = |text: &str| -> Vec<String> {
        let words = text.unicode_words().skip(1);
        let single =
            |word: &&str| word.len() == 1 && word.starts_with(char::is_uppercase) && *word != "I";
        words.filter(single).map(str::to_owned).collect()
    };
    let (asked, held) = (letters(question), letters(sentence));
    let in_doubt = |word: &str| asked.iter().any(|letter| letter == word);
    !held.is_empty()
        && asked.iter().any(|letter| !held.contains(letter))
        && rest(question, sentence, in_doubt) >= REST_OF_NUMBER
}

/// Does a sentence hold a name, or what may be one, that the question does not?
fn holds_new_name(question: &str, sentence: &str) -> bool {
    let asked = lower(question);
    let known = |word: &str| {
        let words = lower(word);
        words
            .iter()
            .all(|word| asked.iter().any(|own| same_word(own, word)))
    };
    let mut words = sentence.unicode_words();
    words.any(|word| {
        let capital = word.starts_with(char::is_uppercase);
        capital && !content_words(word).is_empty() && !known(word)
    })
}

/// Does a question compare two things? Words do not tell which of them is the older one.
fn compares(question: &str) -> bool {
    let words = lower(question);
    let has = |one_of: &[&str]| hold_any(&words, one_of);
    has(&["than", "als"]) || has(&["que"]) && has(&["más", "menos", "plus", "moins"])
}

#[cfg(test)]
mod tests {
    use super::super::tests::told;
    use super::*;

    #[test]
    fn another_of_a_kind_is_no_yes() {
        let check = |question: &str, sentence: &str, about: &str, expected: Stance| {
            let around = format!("{about} {sentence} The bath is white.");
            let found = stance(question, sentence, &around, about);
            assert_eq!(found, expected, "{question} / {sentence}");
        };
        let door = "The door of the kitchen is green.";
        let unlikely = Stance::Suggests(false);
        check("Is the door of the kitchen white?", door, "", unlikely);
        check(
            "Is the door of the cellar green?",
            door,
            "",
            Stance::Unsettled,
        );
        let yes = Stance::States(true);
        check("Is the door of the kitchen green?", door, "", yes);
        let pump = "The pump is between the garage and the door.";
        check(
            "Is the pump near the cellar door?",
            pump,
            "Cellar",
            Stance::Suggests(true),
        );
    }

    #[test]
    fn a_yes_or_a_no_is_told_by_opposites_and_numbers() {
        let check = |question: &str, sentence: &str, expected: bool| {
            assert_eq!(
                replaces(core(question), sentence, sentence)
                    || opposite(core(question), sentence, sentence).is_some(),
                expected,
                "{question}"
            );
        };
        check("Is the north gate open?", "The north gate is closed.", true);
        check(
            "Is the north gate open?",
            "The north gate opens at 9.",
            false,
        );
        check("Is the rent 900 euros?", "The rent is 840 euros.", true);
        check("Is the rent 840 euros?", "The rent is 840 euros.", false);
        assert!(states("The shed is locked."));
        assert!(!states("If the shed is locked, ask Oskar."));
        assert!(!states("- [ ] Is the shed locked?"));
        assert!(compares("Is the boiler older than the heater?"));
        assert!(!compares("Is the boiler old?"));
    }

    #[test]
    fn a_yes_wants_a_clause_that_states_it() {
        let check = |question: &str, sentence: &str, expected: Stance| {
            let found = stance(question, sentence, sentence, "");
            assert_eq!(found, expected, "{question} / {sentence}");
        };
        let (yes, no) = (Stance::States(true), Stance::States(false));
        let (likely, unlikely) = (Stance::Suggests(true), Stance::Suggests(false));
        let passport = "Is the passport renewed?";
        check(passport, "The passport is renewed.", yes);
        check(passport, "The passport is not renewed.", no);
        check(passport, "The pass\u{ad}port is n\u{ad}ot renewed.", no);
        check(passport, "- [x] renew passport", yes);
        check(passport, "## DONE renew passport", yes);
        for open in [
            "- [ ] renew passport",
            "## NEXT renew passport",
            "The passport should be renewed.",
            "We have to renew the passport.",
            "We want to renew the passport.",
            "It is an idea to renew the passport.",
            "The passport has yet to be renewed.",
        ] {
            check(passport, open, Stance::Unsettled);
        }
        let forgot = "We forgot that the passport is to be renewed.";
        check(passport, forgot, Stance::Disputes);
        check(
            "Should the passport be renewed?",
            "The passport should be renewed.",
            yes,
        );
        check(
            "Do we need to renew the passport?",
            "We must renew the passport.",
            likely,
        );
        let loan = "Did the bank approve the loan?";
        check(loan, "The bank refused to approve the loan.", no);
        check(loan, "The bank declined to approve the loan.", no);
        check(loan, "The bank declined the loan.", unlikely);
        let exam = "Anna failed the exam.";
        check("Did Anna pass the exam?", exam, unlikely);
        let able = "Is Tom able to open the gate?";
        check(able, "Tom is unable to open the gate.", unlikely);
        let succeed = "Did Tom succeed in opening the gate?";
        check(succeed, "Tom failed to open the gate.", unlikely);
        let website = "Does Tom own the website?";
        let owners = "Tom owns the data migration; Lena owns the website.";
        check(website, owners, Stance::Open);
        check(website, "Tom owns the website; Lena owns the shop.", yes);
        let club = "The club has 34 members and 3 guests.";
        check("Does the club have 34 guests?", club, Stance::Unsettled);
        check("Does the club have 34 members?", club, yes);
        let blood = "Anna's blood type is B positive.";
        check("Is Anna's blood type A positive?", blood, unlikely);
        check("Is Anna's blood type B positive?", blood, yes);
        check("Was it Paula who came?", "Everyone except Paula came.", no);
        let flour = "We bought oats instead of rye.";
        check("Did we buy oats instead of rye?", flour, yes);
        let springs = "The law of springs was found by Hooke.";
        check("Was the law of springs found by Boyle?", springs, unlikely);
        check(
            "Was the boiler sold to a school?",
            "The boiler is old.",
            Stance::Open,
        );
        check("Is the boiler old and loud?", "The boiler is old.", likely);
        let window = "The door is locked, but the window is not.";
        check("Is the window locked?", window, no);
        check("Is the door locked?", window, yes);
        let heater = "The boiler is older than the heater.";
        check("Is the boiler older than the heater?", heater, likely);
    }

    #[test]
    fn what_is_said_of_something_else_settles_nothing() {
        let check = |question: &str, sentence: &str, expected: Stance| {
            let found = stance(question, sentence, sentence, "");
            assert_eq!(found, expected, "{question} / {sentence}");
        };
        let (no, unlikely) = (Stance::States(false), Stance::Suggests(false));
        let called = "Anna forgot to lock the door when she called.";
        check("Did Anna call?", called, Stance::Unsettled);
        check("Did Anna lock the door?", called, no);
        let car = "We bought the car from Tom.";
        check("Did Tom sell us the car?", car, Stance::Unsettled);
        check("Did we sell the car?", car, unlikely);
        let bins = "The blue bin is for paper, the yellow one for plastic.";
        check("Is the blue bin for plastic?", bins, Stance::Unsettled);
        let against = "We decided against Postgres.";
        check("Do we use Postgres?", against, Stance::Unsettled);
        let horse = "Anna's car is parked at the White Horse.";
        check("Is Anna's car red?", horse, Stance::Open);
        let black = "Anna's car is black, and parked at the White Horse.";
        check("Is Anna's car red?", black, unlikely);
    }

    #[test]
    fn days_and_months_are_told_by_others() {
        let check = |question: &str, sentence: &str, expected: Stance| {
            let found = stance(question, sentence, sentence, "");
            assert_eq!(found, expected, "{question} / {sentence}");
        };
        let (yes, no) = (Stance::States(true), Stance::States(false));
        let (likely, unlikely) = (Stance::Suggests(true), Stance::Suggests(false));
        let shop = "The shop is open every day but Wednesday.";
        check("Is the shop open on Wednesday?", shop, no);
        let shop = "The shop is open every day except Wednesday.";
        check("Is the shop open every day except Wednesday?", shop, yes);
        check("Is the shop open on Tuesday?", shop, Stance::Unsettled);
        let shop = "The shop is open every day but Sunday and Monday.";
        check("Is the shop open on Tuesday?", shop, likely);
        check("Is the shop open on Monday?", shop, no);
        let week = "The shop is open from Monday to Friday.";
        check("Is the shop open on Sunday?", week, unlikely);
        check("Is the shop open on Wednesday?", week, likely);
        let winter = "The shop is open from October to March.";
        check("Is the shop open in December?", winter, likely);
        check("Is the shop open in June?", winter, unlikely);
        let office = "The office is closed on Fridays.";
        check("Is the office open on Monday?", office, Stance::Unsettled);
        check("Is the office open on Friday?", office, unlikely);
        let report = "The report is due on Wednesday.";
        check("Is the report due by Friday?", report, Stance::Unsettled);
        let park = "You may park here in June.";
        check("May I park here in June?", park, yes);
        let days = "The check-in is open on Friday and Monday.";
        check("Is the check-in open on Saturday?", days, unlikely);
        check("Is the check-in open on Friday?", days, yes);
    }

    #[test]
    fn duties_settle_what_asks_for_them() {
        let check = |question: &str, sentence: &str| {
            let found = stance(question, sentence, sentence, "");
            assert_eq!(found.says_yes(), Some(true), "{question} / {sentence}");
        };
        let must = "You must renew the passport.";
        check("Do I have to renew the passport?", must);
        let lift = "The lift has to be inspected every year.";
        check("Does the lift have to be inspected every year?", lift);
        let only = "Only managers may approve.";
        check("May managers approve?", only);
        let drivers = "Only Anna, Ben and Clara may drive.";
        check("May Ben drive?", drivers);
        check("May Clara drive?", drivers);
        let extension = "The planned extension was approved.";
        check("Was the extension approved?", extension);
    }

    #[test]
    fn what_only_some_may_is_told_of_no_others() {
        let check = |question: &str, sentence: &str| {
            let found = stance(question, sentence, sentence, "");
            assert_eq!(found, Stance::Unsettled, "{question} / {sentence}");
        };
        let only = "Only managers may approve.";
        check("May trainees approve?", only);
        check("May managers approve?", "Only senior managers may approve.");
        let yard = "Guests may park only in the yard.";
        check("May guests park in the street?", yard);
    }

    #[test]
    fn what_is_set_against_something_states_nothing_of_it() {
        let check = |question: &str, sentence: &str, expected: Stance| {
            let found = stance(question, sentence, sentence, "");
            assert_eq!(found, expected, "{question} {sentence}");
        };
        let (yes, no, open) = (
            Stance::States(true),
            Stance::States(false),
            Stance::Unsettled,
        );
        let heating = "Is the heating in the guest room on?";
        check(heating, "The heating in the guest room is off.", no);
        check(heating, "The heating in the guest room is now on.", yes);
        check(heating, "The heating in the guest room is new.", open);
        check(heating, "The light in the guest room is on.", open);
        check(
            heating,
            "The heating in the guest room was serviced on 3 May.",
            open,
        );
        let under = |about: &str| stance(heating, "The heating is off.", about, about);
        assert_eq!(under("Guest room"), no);
        assert_eq!(under("Kitchen"), open);
        let windows = "Were all windows replaced in 2021?";
        check(windows, "Most windows were replaced in 2021.", open);
        check(windows, "All windows were replaced in 2021.", yes);
        check(
            "Does Max sleep in the kitchen?",
            "Max used to sleep in the kitchen.",
            open,
        );
        check(
            "Did Max sleep in the kitchen?",
            "Max used to sleep in the kitchen.",
            yes,
        );
        for (question, sentence) in [
            (
                "Is Bella insured?",
                "Apart from Bella, all our animals are insured.",
            ),
            (
                "Does Max eat fish?",
                "Whereas Bella eats fish, Max eats only beef.",
            ),
            (
                "Does Max eat fish on Monday?",
                "Max eats beef instead of fish on Monday.",
            ),
            (
                "Was the offer of Kraft accepted?",
                "The offer of Meyer was accepted, that of Kraft declined.",
            ),
        ] {
            check(question, sentence, Stance::Unsettled);
        }
    }

    #[test]
    fn what_somebody_claims_is_left_open() {
        let check = |question: &str, sentence: &str, expected: bool| {
            assert_eq!(is_claimed(question, sentence), expected, "{sentence}");
        };
        let heated = "Is the hut heated?";
        let claimed = "Anna claims that the hut is heated.";
        let found = stance(heated, claimed, claimed, "");
        assert_eq!(found, Stance::Unsettled);
        check(heated, "Anna behauptet, dass die Hütte geheizt ist.", true);
        check("Does Anna claim that the hut is heated?", claimed, false);
        let paid = "All claims that were sent in May were paid.";
        check("Was all of May paid?", paid, false);
    }

    #[test]
    fn what_is_done_once_a_month_is_not_done_every_day() {
        let check = |question: &str, sentence: &str, expected: Stance| {
            let found = stance(question, sentence, sentence, "");
            assert_eq!(found, expected, "{question} {sentence}");
        };
        let aloe = "- Aloe: water once a month";
        let daily = "Is the aloe watered every day?";
        check(daily, aloe, Stance::Unsettled);
        let monthly = "Is the aloe watered once a month?";
        check(monthly, aloe, Stance::States(true));
    }

    #[test]
    fn what_is_to_be_done_is_not_done() {
        let check = |sentence: &str, about: &str, expected: Stance| {
            let around = format!("{about} {sentence}");
            let found = stance("Was the depot in Graz told?", sentence, &around, about);
            assert_eq!(found, expected, "{about} {sentence}");
        };
        let task = "- Anna: tell the depot in Graz";
        check(task, "Minutes > Actions", Stance::Unsettled);
        check(task, "Minutes > Next steps", Stance::Unsettled);
        let yes = Stance::States(true);
        check("- [x] tell the depot in Graz", "To do", yes);
        check("The depot in Graz was told.", "Minutes > Actions", yes);
        check(task, "Minutes", yes);
    }

    #[test]
    fn what_was_changed_or_turned_disputes_what_others_state() {
        let check = |question: &str, sentence: &str, expected: Stance| {
            let found = stance(question, sentence, sentence, "");
            assert_eq!(found, expected, "{question} {sentence}");
        };
        let rose = "The rent rose from 800 to 840 euros.";
        check("Is the rent 800 euros?", rose, Stance::Disputes);
        let moved = "The meeting was moved from Tuesday to Thursday.";
        check("Is the meeting on Tuesday?", moved, Stance::Disputes);
        // Where that does not hold all that is asked, it may be of something else.
        let removed = "Graz was removed from the pilot.";
        check("Is Graz in the pilot?", removed, Stance::Disputes);
        check("Is Graz a part of the pilot?", removed, Stance::Unsettled);
        let dropped = "Graz is dropped from the pilot.";
        check("Is Graz in the pilot?", dropped, Stance::Disputes);
        let novel = "Anna gave up on the novel.";
        check("Did Anna read the novel?", novel, Stance::Unsettled);
        let pump = "We cancel the order with Meyer and buy the pump from Kraft.";
        check("Do we buy the pump from Meyer?", pump, Stance::Unsettled);
        check("Do we buy the pump from Kraft?", pump, Stance::States(true));
        let doubts = "Anna doubts that the offer is fair.";
        check("Did Anna accept the offer?", doubts, Stance::Unsettled);
        let unlikely = Stance::Suggests(false);
        let declined = "Der Antrag wurde abgelehnt.";
        check("Wurde der Antrag angenommen?", declined, unlikely);
        check("Ist Grillen erlaubt?", "Grillen ist verboten.", unlikely);
    }

    #[test]
    fn what_is_told_of_another_suggests_nothing() {
        let check = |question: &str, sentence: &str, about: &str, expected: Stance| {
            let found = stance(question, sentence, &format!("{about} {sentence}"), about);
            assert_eq!(found, expected, "{question} {sentence}");
        };
        let likely = Stance::Suggests(true);
        let stings = "- Jonas: stings of wasps";
        let allergic = "Is Mila allergic to stings of wasps?";
        check(allergic, stings, "Allergies", Stance::Open);
        check(allergic, stings, "Allergies of Mila", likely);
        check("Is Jonas allergic to stings of wasps?", stings, "", likely);
        let pronoun = "She cannot stand the stings of wasps near Graz.";
        assert_ne!(stance(allergic, pronoun, pronoun, ""), Stance::Open);
        let present = "Present: Anna, Ben";
        let was = "Was Anna present on 18 March?";
        check(was, present, "Minutes, 27 May 2026", Stance::Open);
        check(was, present, "Minutes, 18 March 2026", likely);
        let exam = "The exam is on 16 June.";
        let around = format!("Homework is due on 24 March. {exam}");
        let found = stance("Is the exam on 10 March?", exam, &around, "");
        assert_eq!(found, Stance::Suggests(false));
    }

    #[test]
    fn what_is_measured_against_a_number_is_told_by_another_one() {
        let check = |question: &str, sentence: &str, expected: Stance| {
            let found = stance(question, sentence, sentence, "");
            assert_eq!(found, expected, "{question} {sentence}");
        };
        let (yes, no) = (Stance::States(true), Stance::States(false));
        let rent = "The rent is 840 euros.";
        check("Is the rent more than 800 euros?", rent, yes);
        check("Is the rent less than 800 euros?", rent, no);
        check("Is the rent at least 840 euros?", rent, yes);
        check("Is the rent over 800 dollars?", rent, Stance::Unsettled);
        let fee = "The fee is 84 euros.";
        check("Is the rent more than 800 euros?", fee, Stance::Open);
        let most = "The rent is at most 840 euros.";
        check("Is the rent over 800 euros?", most, Stance::Unsettled);
        let club = "The club has 34 members and 3 guests.";
        check("Does the club have more than 30 members?", club, yes);
        check("Does the club have more than 30 guests?", club, no);
        let old = "In the Middle Ages the house was part of the manor.";
        let before = "Was the house part of the manor before 1531?";
        check(before, old, Stance::Suggests(true));
        let built = "The house was built in 1985.";
        check("Was the house built before 1990?", built, yes);
        let after = "Was the house built after 1990?";
        check(after, built, Stance::Suggests(false));
        let mill = "Tom has worked at the mill since 1995.";
        check(
            "Did Tom work at the mill after 2000?",
            mill,
            Stance::Unsettled,
        );
        let car = "The car was sold in 2019.";
        check("Was the car bought after 2015?", car, Stance::Unsettled);
        let shop = "The shop opens at 9 am.";
        check("Is the shop open after 10 am?", shop, Stance::Unsettled);
        let born = "Anna was born in 2009.";
        check("Is Anna over 18?", born, Stance::Unsettled);
        let tree = "The tree is 4 metres high.";
        check("Is the tree taller than 3 metres?", tree, yes);
        let flats = "The attic flat costs 840 euros a month.";
        assert_eq!(told("Which flat costs more than 800 euros?", flats), []);
        let less = told("Which flat costs less than 800 euros?", flats);
        assert_eq!(less, [Doubt::Number("800".to_owned())]);
    }

    #[test]
    fn a_day_is_of_what_it_is_told_of() {
        let check = |question: &str, sentence: &str, expected: Stance| {
            let found = stance(question, sentence, sentence, "");
            assert_eq!(found, expected, "{question} {sentence}");
        };
        let yes = Stance::States(true);
        let trash = "Trash is collected on Mondays, paper every second Thursday.";
        let paper = "Is paper collected on Monday?";
        check(paper, trash, Stance::Unsettled);
        check("Is trash collected on Monday?", trash, yes);
        check("Is paper collected on Thursday?", trash, yes);
        let thursday = "Is trash collected on Thursday?";
        check(thursday, trash, Stance::Unsettled);
        let turned = "On Mondays trash is collected, on Thursdays paper.";
        check(thursday, turned, Stance::Unsettled);
        let lease = "The lease began on 1 March and ends on 28 February.";
        check("Does the lease end in February?", lease, yes);
        check("Does the lease end in March?", lease, Stance::Unsettled);
        let swims = "Anna swims on Monday, Ben swims on Tuesday.";
        check("Does Anna swim on Tuesday?", swims, Stance::Unsettled);
        let pool = "In May, June and July the pool is open.";
        check("Is the pool open in May?", pool, yes);
        let shops = "The gate is open on Monday, but the shop is open on Tuesday.";
        check("Is the shop open on Monday?", shops, Stance::Unsettled);
        check("Is the shop open on Tuesday?", shops, yes);
        let life = "Ann Lee (May 3, 1860 – September 28, 1935) was a nurse, author and gardener.";
        let author = "Was Ann Lee (May 3, 1860 – September 28, 1935) a nurse and author?";
        check(author, life, yes);
    }

    #[test]
    fn a_number_is_of_what_it_is_told_of() {
        let check = |question: &str, sentence: &str, expected: Stance| {
            let found = stance(question, sentence, sentence, "");
            assert_eq!(found, expected, "{question} {sentence}");
        };
        let yes = Stance::States(true);
        let standup = "The standup starts at 9:15 and ends at 9:30.";
        check("Does the standup start at 9:15?", standup, yes);
        check("Does the standup end at 9:30?", standup, yes);
        let start = "Does the standup start at 9:30?";
        check(start, standup, Stance::Unsettled);
        let rent = "The rent is 840 euros, heating 90.";
        check("Is the rent 90 euros?", rent, Stance::Unsettled);
        check("Is the rent 840 euros?", rent, yes);
        let hotel = "We stayed at the hotel for three nights.";
        let nights = "Did we stay at the hotel for four nights?";
        check(nights, hotel, Stance::Suggests(false));
        check("Did we stay at the hotel for three nights?", hotel, yes);
        check("Did we stay at the hotel for 3 nights?", hotel, yes);
        let ferry = "The rental car cost 420 euros, the ferry 95 euros.";
        check(
            "Did the rental car cost 95 euros?",
            ferry,
            Stance::Unsettled,
        );
        check(
            "Did the ferry cost 95 euros?",
            ferry,
            Stance::Suggests(true),
        );
    }

    #[test]
    fn who_asks_of_the_change_is_told_of_it() {
        let moved = "Ben moved from Graz to Linz.";
        let found = stance("Did Ben move from Graz?", moved, moved, "");
        assert_eq!(found, Stance::States(true));
    }

    #[test]
    fn what_is_so_no_more_was_so() {
        let check = |question: &str, sentence: &str, expected: Stance| {
            let found = stance(question, sentence, sentence, "");
            assert_eq!(found, expected, "{question} {sentence}");
        };
        let no = Stance::States(false);
        let works = "Tom no longer works at the mill.";
        check("Did Tom work at the mill?", works, Stance::Unsettled);
        check("Does Tom work at the mill?", works, no);
        let barks = "The dog does not bark at night any more.";
        check("Did the dog bark at night?", barks, Stance::Unsettled);
        let boiler = "The old boiler was replaced by a heat pump.";
        check(
            "Do we still have the old boiler?",
            boiler,
            Stance::Unsettled,
        );
        let test = "The test was not rated and took no longer than an hour.";
        check("Was the test rated?", test, no);
    }
}
