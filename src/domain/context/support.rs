//! Claims against the sentences that they may rest on: which of them supports one, and what in it none holds.
//!
//! Tests of strings that need no model.

use std::collections::HashSet;
use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use super::chosen::{Statement, statements};
use super::names::{Names, capitals, name_key, names, unnamed};
use super::{Evidence, Words, content_words, ratio, same_word};
use crate::domain::denial::{denies, is_denial, is_said_of_another, oppose, refuses};
use crate::domain::figure::{
    Figure, calendar_words, figures, held_numbers, is_unit, is_year, number_words, numbers,
    same_unit,
};
use crate::domain::language::STOP_WORDS;
use crate::domain::sentence::is_german;

/// How a claim stands to the passages it may rest on.
#[derive(Clone, Debug, PartialEq)]
pub struct Support {
    /// Index of the passage that supports it best.
    pub passage: usize,
    /// Byte range of the supporting sentence in that passage.
    pub span: Range<usize>,
    /// Share of the claim's words, given ones left out, that are in the sentence, 0..1.
    pub share: f32,
    /// Share of all its words that are in the sentence or around it, 0..1: a sentence about
    /// something else may hold the new words, too.
    pub linked: f32,
    /// Numbers of the claim that the sentence does not hold.
    pub missing_numbers: Vec<String>,
    /// Its names, months, days of the week, counts in words and units that the sentence does not
    /// hold, those of the given words left out.
    pub missing_details: Vec<String>,
    /// Does one of them deny what the other states?
    pub contradicts: bool,
}

impl Support {
    /// A claim is supported when most of its words and all of its numbers and names are in the
    /// sentence, and the sentence does not say the contrary.
    pub fn holds(&self) -> bool {
        self.share >= 0.7 && self.linked >= 0.6 && self.is_complete()
    }

    fn is_complete(&self) -> bool {
        self.missing_numbers.is_empty() && self.missing_details.is_empty() && !self.contradicts
    }
}

/// The sentence that supports `claim` best, or `None` when nothing in the claim can be looked for.
///
/// `given` are words that need no support, such as those of the question; a claim that holds
/// nothing else is looked for whole. Support comes from one sentence with what stands around it
/// (`about`), not from words scattered over a passage: that is how mixed-up facts are caught. A
/// list supports a claim that tells its items over.
pub fn support(claim: &str, passages: &[Evidence<'_>], given: &[String]) -> Option<Support> {
    // A yes or a no says nothing that a sentence could hold; denials are compared by themselves.
    let verdict =
        |word: &String| denies(word) || ["yes", "ja", "sí", "oui"].contains(&word.as_str());
    let mut all: Vec<String> = content_words(claim);
    all.retain(|word| !verdict(word));
    let new: Vec<String> = all
        .iter()
        .filter(|word| !given.iter().any(|g| same_word(word, g)))
        .cloned()
        .collect();
    let wanted = if new.is_empty() { &all } else { &new };
    if wanted.is_empty() {
        return None;
    }
    let details = Details::of(claim, given);
    // "Who did not come?" "Oskar.": the question denies, the answer need not.
    let is_new = new.len() == all.len();
    let answers_denial = is_new && given.iter().any(|word| denies(word));
    let answers_refusal = is_new && given.iter().any(|word| refuses(word));
    let counts = details.holds_figures(&all);
    // What the claim and the question speak of, figures aside.
    let mut subject: Vec<String> = all.iter().chain(given).cloned().collect();
    subject.retain(|word| numbers(word).is_empty() && !is_unit(word));
    subject.sort_unstable();
    subject.dedup();
    let judge = |statement: Statement| {
        let sentence = &passages[statement.passage].text[statement.span.clone()];
        // Why a pump failed is not told by a seal that was not worn.
        let refused = || content_words(sentence).iter().any(|word| refuses(word));
        let answers = answers_denial || answers_refusal && refused();
        let meant = Words::of(&statement.subject);
        let held = if counts {
            Held::of(sentence)
        } else {
            Held::default()
        };
        let stated = |word: &&String| {
            let said = statement.words.has(word) || meant.has(word);
            said || details.is_figure_of(word, &held, &statement)
        };
        let linked = |word: &&String| stated(word) || statement.around.has(word);
        let also = all.iter().filter(|w| statement.words.has(w)).count();
        let (mut missing_numbers, missing_details) = details.missing(sentence, &held, &statement);
        if details.numbers.len() < held.numbers.len() {
            let held = details
                .numbers
                .iter()
                .filter(|n| !missing_numbers.contains(n));
            let mut mixed_up = held.filter(|n| is_said_of_another(n, &subject, sentence));
            missing_numbers.extend(mixed_up.next().cloned());
        }
        let support = Support {
            passage: statement.passage,
            share: ratio(wanted.iter().filter(stated).count(), wanted.len()),
            linked: ratio(all.iter().filter(linked).count(), all.len()),
            missing_numbers,
            missing_details,
            contradicts: !(answers && is_denial(sentence)) && oppose(claim, sentence, &all),
            span: statement.span,
        };
        (support, also)
    };
    statements(passages)
        .into_iter()
        .filter(|statement| statement.items.is_empty() || tells_over(&all, &statement.items))
        .map(judge)
        .max_by(|(a, a_also), (b, b_also)| {
            let order = a
                .is_complete()
                .cmp(&b.is_complete())
                .then((a.share + a.linked).total_cmp(&(b.share + b.linked)));
            // Of equals the earlier one, which retrieval liked better.
            order
                .then(a_also.cmp(b_also))
                .then(b.passage.cmp(&a.passage))
        })
        .map(|(support, _)| support)
}

/// Does a claim tell several items of a list, each of them word by word? Else words of one item
/// could be taken for those of another.
fn tells_over(claim: &[String], items: &[Vec<String>]) -> bool {
    let touched = items
        .iter()
        .filter(|item| item.iter().any(|word| claim.contains(word)));
    let whole = |item: &&Vec<String>| claim.windows(item.len()).any(|run| run == item.as_slice());
    let touched: Vec<&Vec<String>> = touched.collect();
    touched.len() > 1 && touched.iter().all(whole)
}

/// What of a claim must stand in the very sentence that supports it: a model that writes a true
/// sentence with another's name or month in it gets nearly all words right.
struct Details<'a> {
    numbers: HashSet<String>,
    names: Vec<&'a str>,
    /// German nouns, names or not: their endings may differ, and they may stand around the sentence.
    nouns: Vec<&'a str>,
    /// Months and days of the week, as they are written and whatever their spelling.
    calendar: Vec<(String, String)>,
    counts: Vec<(String, u32)>,
    units: Vec<Counted>,
}

/// A number with what stands behind it.
struct Counted {
    number: String,
    unit: String,
    /// Is the unit one of the given words?
    is_given: bool,
}

impl<'a> Details<'a> {
    fn of(claim: &'a str, given: &[String]) -> Self {
        let is_given = |word: &str| {
            let word = word.to_lowercase();
            given.iter().any(|known| same_word(&word, known))
        };
        let is_named = |name: &str| given.iter().any(|known| name_key(name) == name_key(known));
        let calendar = calendar_words(claim);
        let dated = |word: &str| {
            let lower = word.to_lowercase();
            calendar.iter().any(|(word, _)| *word == lower)
        };
        let units = figures(claim).into_iter().filter_map(|figure| {
            let unit = figure.unit?;
            let stops = STOP_WORDS.contains(&unit.as_str());
            let counted = is_unit(&unit) || !is_year(&figure.value) && !dated(&unit) && !stops;
            counted.then(|| Counted {
                number: figure.value,
                is_given: is_given(&unit),
                unit,
            })
        });
        let units = units.collect();
        let nouns = if is_german(claim) {
            capitals(claim)
        } else {
            Vec::new()
        };
        let counts = number_words(claim).into_iter();
        Self {
            numbers: numbers(claim),
            names: names(claim)
                .into_iter()
                .filter(|name| !is_named(name))
                .collect(),
            nouns: nouns.into_iter().filter(|noun| !is_given(noun)).collect(),
            counts: counts.filter(|(word, _)| !is_given(word)).collect(),
            units,
            calendar: calendar
                .into_iter()
                .filter(|(word, _)| !is_given(word))
                .collect(),
        }
    }

    /// Is there anything in a claim for which the figures of a sentence must be read?
    fn holds_figures(&self, words: &[String]) -> bool {
        let plain = self.numbers.is_empty() && self.calendar.is_empty() && self.counts.is_empty();
        !plain || words.iter().any(|word| is_unit(word))
    }

    /// Numbers and other details that a sentence does not hold.
    fn missing(
        &self,
        sentence: &str,
        held: &Held,
        statement: &Statement,
    ) -> (Vec<String>, Vec<String>) {
        let mut numbers: Vec<String> = self.numbers.difference(&held.numbers).cloned().collect();
        numbers.sort();
        let mut details: Vec<String> = Vec::new();
        if !self.names.is_empty() {
            let held = Names::of([sentence, statement.subject.as_str()].into_iter());
            let names = self.names.iter().filter(|name| !held.has(name));
            details.extend(names.map(|name| name.to_lowercase()));
        }
        let nouns = self.nouns.iter().map(|noun| noun.to_lowercase());
        details
            .extend(nouns.filter(|noun| !statement.words.has(noun) && !statement.around.has(noun)));
        let absent = self.calendar.iter();
        let absent = absent
            .filter(|(word, name)| !statement.words.has(word) && !held.calendar.contains(name));
        details.extend(absent.map(|(word, _)| word.clone()));
        let counts = self.counts.iter().filter(|(word, count)| {
            !statement.words.has(word) && !held.numbers.contains(&count.to_string())
        });
        details.extend(counts.map(|(word, _)| word.clone()));
        let units = self.units.iter();
        let units = units.filter(|counted| !counted.stands_in(&held.figures, statement));
        details.extend(units.map(|counted| format!("{} {}", counted.number, counted.unit)));
        (numbers, details)
    }

    /// Does a sentence hold a word of the claim in another spelling: `1250` for `1,250`, "three" for
    /// `3`, a date for its month, `km` for "kilometres"?
    fn is_figure_of(&self, word: &str, held: &Held, statement: &Statement) -> bool {
        if word.starts_with(|c: char| c.is_numeric()) {
            return numbers(word)
                .iter()
                .all(|number| held.numbers.contains(number));
        }
        let name = self.calendar.iter().find(|(written, _)| written == word);
        let count = self.counts.iter().find(|(written, _)| written == word);
        let mut units = held
            .figures
            .iter()
            .filter_map(|figure| figure.unit.as_ref());
        name.is_some_and(|(_, name)| held.calendar.contains(name))
            || count.is_some_and(|(_, count)| held.numbers.contains(&count.to_string()))
            || is_unit(word)
                && (statement.around.has(word) || units.any(|unit| same_unit(unit, word)))
    }
}

/// The figures of a sentence.
#[derive(Default)]
struct Held {
    numbers: HashSet<String>,
    figures: Vec<Figure>,
    /// Its months and days of the week, whatever their spelling.
    calendar: HashSet<String>,
}

impl Held {
    fn of(sentence: &str) -> Self {
        let calendar = calendar_words(sentence).into_iter();
        Self {
            numbers: held_numbers(sentence),
            figures: figures(sentence),
            calendar: calendar.map(|(_, name)| name).collect(),
        }
    }
}

impl Counted {
    /// Does a statement count in this unit, where it counts so many? The unit may stand elsewhere in
    /// the sentence, in the head of a table, or in the question; but not where the number has
    /// another one.
    fn stands_in(&self, held: &[Figure], statement: &Statement) -> bool {
        let unit = self.unit.as_str();
        let of_number = held.iter().filter(|figure| figure.value == self.number);
        let mut units = of_number.filter_map(|figure| figure.unit.as_deref());
        if units
            .clone()
            .any(|held| same_unit(held, unit) || same_word(held, unit))
        {
            return true;
        }
        let mut spelt = held.iter().filter_map(|figure| figure.unit.as_deref());
        let elsewhere = self.is_given
            || statement.words.has(unit)
            || statement.around.has(unit)
            || spelt.any(|held| same_unit(held, unit));
        elsewhere && !(is_unit(unit) && units.any(is_unit))
    }
}

/// Numbers, dates and names of a claim that none of the texts holds.
pub fn unheld(claim: &str, texts: &[&str]) -> Vec<String> {
    let held: HashSet<String> = texts.iter().flat_map(|text| held_numbers(text)).collect();
    let mut missing: Vec<String> = numbers(claim).difference(&held).cloned().collect();
    missing.sort();
    let dates = calendar_words(claim);
    if !dates.is_empty() {
        let held: Vec<(String, String)> = texts.iter().flat_map(|t| calendar_words(t)).collect();
        let dates = dates.into_iter();
        let absent = dates.filter(|(_, name)| !held.iter().any(|(_, held)| held == name));
        missing.extend(absent.map(|(word, _)| word));
    }
    missing.extend(unnamed(claim, texts));
    missing
}

/// Does a text tell a number, in digits or in words, or a month or a day of the week?
pub fn tells_number(text: &str) -> bool {
    !numbers(text).is_empty() || !number_words(text).is_empty() || !calendar_words(text).is_empty()
}

/// Does a text tell how often something is: "twice a year", "weekly", "every Monday"?
pub fn tells_frequency(text: &str) -> bool {
    const FREQUENCIES: [&str; 18] = [
        "once",
        "twice",
        "thrice",
        "hourly",
        "daily",
        "weekly",
        "biweekly",
        "fortnightly",
        "monthly",
        "quarterly",
        "yearly",
        "annually",
        "every",
        "each",
        "always",
        "never",
        "rarely",
        "seldom",
    ];
    let mut words = text.unicode_words().map(str::to_lowercase);
    words.any(|word| FREQUENCIES.contains(&word.as_str()))
}

/// Does a claim say anything beyond the given words?
pub fn says_more(claim: &str, given: &[String]) -> bool {
    let words = content_words(claim);
    let new = |word: &String| !given.iter().any(|g| same_word(word, g));
    words.iter().any(new)
}

/// The longest beginning of a claim, up to a comma, of which every part is supported; `None` when
/// even the first part is not. Small models write a true half sentence and invent the rest.
pub fn supported_part<'a>(
    claim: &'a str,
    passages: &[Evidence<'_>],
    given: &[String],
) -> Option<(&'a str, Support)> {
    let mut ends: Vec<usize> = claim.match_indices(", ").map(|(at, _)| at).collect();
    ends.push(claim.len());
    let mut begin = 0;
    let mut kept = None;
    for end in ends {
        let part = support(&claim[begin..end], passages, given);
        if part.is_some_and(|support| !support.holds()) {
            break;
        }
        kept = support(&claim[..end], passages, given)
            .filter(Support::holds)
            .map(|support| (&claim[..end], support))
            .or(kept);
        begin = end;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::super::tests::evidence;
    use super::*;

    #[test]
    fn support_wants_the_numbers_too() {
        let passages = evidence(&["The train leaves at 08:14. It is slow.", "Trains are late."]);
        let found = support("The train leaves at 08:14.", &passages, &[]).unwrap();
        assert!(found.holds());
        assert_eq!((found.passage, found.span), (0, 0..26));
        let wrong = support("The train leaves at 09:42.", &passages, &[]).unwrap();
        assert!(!wrong.holds());
        assert_eq!(wrong.missing_numbers, ["09:42"]);
        assert_eq!(support("of the", &passages, &[]), None);
    }

    #[test]
    fn how_often_is_told_without_a_number() {
        assert!(tells_frequency("The chimney is swept twice a year."));
        assert!(tells_frequency("Weekly, in the shed."));
        assert!(!tells_frequency("The chimney is swept by Tom."));
    }

    #[test]
    fn a_denial_is_no_support() {
        let passages = evidence(&["The door is not locked. The lock is a Burg 444."]);
        let given = content_words("Is the door locked?");
        let holds = |claim: &str| support(claim, &passages, &given).unwrap().holds();
        assert!(!holds("Yes, the door is locked."));
        assert!(holds("No, the door isn't locked."));
        let given = content_words("Which lock is it?");
        let support = |claim: &str| support(claim, &passages, &given).unwrap().holds();
        assert!(support("The lock is a Burg 444."));
        assert!(!support("The lock is not a Burg 444."));
    }

    #[test]
    fn what_is_denied_supports_no_claim_that_it_is_so() {
        let holds = |question: &str, note: &str, claim: &str| {
            let given = content_words(question);
            support(claim, &evidence(&[note]), &given).unwrap().holds()
        };
        let lock = "Which lock does the shed have?";
        let denied = "The shed does not have a Burg lock.";
        assert!(!holds(lock, denied, "The shed has a Burg lock."));
        assert!(holds(lock, denied, "The shed does not have a Burg lock."));
        let clause = "The shed has a Burg lock, but the gate has no lock.";
        assert!(holds(lock, clause, "The shed has a Burg lock."));
        assert!(!holds(lock, clause, "The shed has no Burg lock."));
        let absent = "Oskar did not come on Monday.";
        assert!(holds("Who did not come on Monday?", absent, "Oskar."));
        assert!(!holds("Who came on Monday?", absent, "Oskar."));
        assert!(!holds("Who did not come on Monday?", absent, "Oskar came."));
        let lease = "Oskar declined to sign the lease.";
        assert!(!holds("What happened?", lease, "Oskar signed the lease."));
        assert!(holds("Who declined to sign the lease?", lease, "Oskar."));
        let seal = "The seal was not worn.";
        assert!(!holds("Why did the pump fail?", seal, "The seal was worn."));
    }

    #[test]
    fn details_must_stand_in_the_sentence_that_supports() {
        let check = |note: &str, claim: &str, missing: &[&str]| {
            let found = support(claim, &evidence(&[note]), &[]).unwrap();
            let told: Vec<&str> = found
                .missing_numbers
                .iter()
                .chain(&found.missing_details)
                .map(String::as_str)
                .collect();
            assert_eq!(told, missing, "{claim}");
            assert_eq!(found.holds(), missing.is_empty(), "{claim}");
        };
        let petrov = "The caretaker of the house is Dragan Petrov from Graz who starts on Monday.";
        check(petrov, "The caretaker of the house is Dragan Petrov.", &[]);
        check(
            petrov,
            "The caretaker of the house is Dragan Novak from Graz who starts on Monday.",
            &["novak"],
        );
        check(
            petrov,
            "The caretaker of the house is Dragan Petrov from Graz who starts on Friday.",
            &["friday"],
        );
        check(
            "The reading is on 3 July at the city library.",
            "The reading is on 3 June at the city library.",
            &["june"],
        );
        check(
            "There are three cats living behind the old barn.",
            "There are four cats living behind the old barn.",
            &["four"],
        );
        check(
            "There are three cats behind the barn.",
            "There are 3 cats behind the barn.",
            &[],
        );
        let graz = "The farm lies 5 km north of Graz.";
        check(graz, "The farm lies 5 miles north of Graz.", &["5 miles"]);
        check(graz, "The farm lies 5 kilometres north of Graz.", &[]);
        check(graz, "The farm lies 3,5 km north of Graz.", &["3.5"]);
        check(
            "The reading was on 2025-03-12 in Zürich.",
            "The reading was on 12 March 2025 in Zurich.",
            &[],
        );
        // In both units, each number has its own.
        let both = "The farm lies 5 km, or 3 miles, north of Graz.";
        check(both, "The farm lies 5 miles north of Graz.", &["5 miles"]);
        check(both, "The farm lies 3 miles north of Graz.", &[]);
        let given = content_words("How many miles north of Graz does the farm lie?");
        let holds =
            |claim: &str, note: &str| support(claim, &evidence(&[note]), &given).unwrap().holds();
        assert!(!holds("It lies 5 miles north of Graz.", graz));
        assert!(holds(
            "It lies 5 miles north of Graz.",
            "The farm lies 5 north of Graz."
        ));
        // German nouns are names or not, and have endings.
        let kessel = "Der Kessel braucht in jedem Monat zwei Liter Wasser.";
        check(
            kessel,
            "Der Kessel braucht in allen Monaten zwei Liter Wasser.",
            &[],
        );
        check(
            kessel,
            "Der Kessel braucht in jedem Monat zwei Liter Petrov.",
            &["petrov"],
        );
    }

    #[test]
    fn a_number_belongs_to_its_clause() {
        let check = |question: &str, claim: &str, note: &str, expected: bool| {
            let given = content_words(question);
            let found = support(claim, &evidence(&[note]), &given).unwrap();
            assert_eq!(found.holds(), expected, "{claim}: {found:?}");
        };
        let lease = "The rent is 840 euros and the deposit is 2520 euros.";
        let deposit = "How high is the deposit?";
        check(deposit, "The deposit is 2520 euros.", lease, true);
        check(deposit, "The deposit is 840 euros.", lease, false);
        check(deposit, "840 euros.", lease, false);
        let boat = "Anna's sailing boat is 9 metres long and 3 metres wide.";
        let wide = "How wide is Anna's sailing boat?";
        check(wide, "It is 3 metres wide.", boat, true);
        let moved = "In 1998 Anna moved to Berlin, and in 2004 she bought a house.";
        check(
            "When did Anna buy a house?",
            "She bought a house in 2004.",
            moved,
            true,
        );
    }

    #[test]
    fn words_of_the_question_need_no_support() {
        let note = evidence(&["She was born in London on Monday."]);
        let given = content_words("Where in June was Ada born?");
        let holds = |claim: &str| support(claim, &note, &given).unwrap().holds();
        assert!(holds("She was born in London in June."));
        assert!(!holds("She was born in London in July."));
        let table = evidence(&["| way | km |\n|---|---|\n| to Graz | 5 |\n"]);
        let given = content_words("How long is the way to Graz?");
        let holds = |claim: &str| support(claim, &table, &given).unwrap().holds();
        assert!(holds("The way to Graz is 5 km."));
        assert!(!holds("The way to Graz is 5 miles."));
    }

    #[test]
    fn lists_and_pronouns_belong_to_what_stands_before_them() {
        let holds = |note: &str, claim: &str| {
            let support = support(claim, &evidence(&[note]), &[]);
            support.is_some_and(|support| support.holds())
        };
        let members = "Members:\n- Anna\n- Ben\n- Clara\n\nThe room is cold.";
        assert!(holds(members, "The members are Anna, Ben and Clara."));
        let given = content_words("Who is a member?");
        assert!(
            support("Anna is a member.", &evidence(&[members]), &given)
                .unwrap()
                .holds()
        );
        assert!(!holds(members, "The members are Anna, Ben and Dragan."));
        let found = support("The members are Ben and Clara.", &evidence(&[members]), &[]);
        assert_eq!(
            &members[found.unwrap().span],
            "Members:\n- Anna\n- Ben\n- Clara"
        );
        let numbered = "The members are:\n1. Anna\n2. Ben\n";
        assert!(holds(numbered, "The members are Anna and Ben."));
        // What one item says is not said of another.
        let meals = "- Anna likes fish\n- Ben likes meat\n";
        assert!(!holds(meals, "Anna likes meat and Ben likes fish."));
        let bikes = "Frau Adler lives upstairs. She repairs bikes. She sells lamps, too.";
        assert!(holds(bikes, "Frau Adler repairs bikes."));
        assert!(holds(bikes, "Frau Adler sells lamps."));
        assert!(!holds(bikes, "Frau Mayer repairs bikes."));
        assert!(!holds(
            "Frau Adler lives here.\n\nShe repairs bikes.",
            "Frau Adler repairs bikes."
        ));
    }

    #[test]
    fn numbers_and_names_that_are_nowhere_are_found() {
        let texts = ["The Burg 444 was bought in March 2019.", "Ask Oskar."];
        let check = |claim: &str, expected: &[&str]| {
            assert_eq!(unheld(claim, &texts), expected, "{claim}");
        };
        check("It is a Burg 444, bought in March 2019.", &[]);
        check("It was bought in April 2020 by Oskar.", &["2020", "april"]);
        check("ask Dragan", &["dragan"]);
        check(
            "It was bought on 1 March 2019 by Oskar.",
            &["1", "2019-03-01"],
        );
        check("Oskar sold it in June.", &["june"]);
    }

    #[test]
    fn support_comes_from_one_sentence() {
        let passages = evidence(&["Present: Frau Adler. The new caretaker is Dragan Petrov."]);
        let given = content_words("Who is the new caretaker?");
        let holds = |claim: &str| support(claim, &passages, &given).unwrap().holds();
        assert!(holds("The new caretaker is Dragan Petrov."));
        assert!(!holds("The new caretaker is Frau Adler."));
        let codes = evidence(&["The frame number is WX-4471-K."]);
        assert!(
            !support("The frame number is 4471.", &codes, &[])
                .unwrap()
                .holds()
        );
        assert!(support("It is wx-4471-k.", &codes, &[]).unwrap().holds());
    }

    #[test]
    fn an_invented_rest_is_cut_off() {
        let passages =
            evidence(&["The charge controller is set to a float voltage of 13.6 volts."]);
        let given = content_words("What float voltage is the charge controller set to?");
        let claim = "It is set to 13.6 volts, which is the default of the maker.";
        let (part, _) = supported_part(claim, &passages, &given).unwrap();
        assert_eq!(part, "It is set to 13.6 volts");
        assert!(supported_part("It is 12 volts, at 13.6 volts.", &passages, &given).is_none());
    }
}
