//! The sentences that are chosen as evidence: which of those in the passages fit a question, and how
//! many of them are taken.

use std::collections::HashSet;
use std::ops::Range;

use super::names::names;
use super::support::{says_more, tells_frequency};
use super::{Evidence, Words, content_words, same_word, words_in_lower_case};
use crate::domain::figure::Dates;
use crate::domain::question::{asks_for_number, asks_for_person, asks_how_often, tells};
use crate::domain::rank;
use crate::domain::sentence::code::Code;
use crate::domain::sentence::lines::{is_item, task_state};
use crate::domain::sentence::{is_german, is_question, is_struck, sentences, unmarked};
use crate::domain::surroundings::{Reading, fields, front_matter_end, is_table_header};

/// A sentence chosen out of a passage.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// Index of the passage.
    pub passage: usize,
    /// Byte range in the passage's text.
    pub span: Range<usize>,
    /// How well it fits the question: weighted share of the question's words that it covers, and
    /// the retrieval score of its passage.
    pub score: f32,
}

/// What a word counts that stands in the question of the notes which a sentence answers, or in a word
/// that German makes of it.
const ANSWERS: f32 = 0.8;

/// What a date counts under which a sentence stands.
const UNDER_DATE: f32 = 0.8;

/// What a name is worth that the question does not hold, where it asks who. Tried on questions of
/// three sets: 0.2 found 4 more of 750, 0.1 found 3; of 900 others, 0.2 found 4 more.
const NAMED: f32 = 0.2;

/// The sentences that fit a question, best first.
///
/// A question's word weighs more the fewer sentences hold it (inverse document frequency over the
/// sentences at hand). A word that stands only around a sentence (title, headings, the heading or
/// table header above it) counts half. Headings and table headers are left out: they name things and
/// state nothing; so are fields of the front matter that are not asked for, and the envelope of a mail
/// where nothing of it is asked. So are questions that the notes answer, those that only ask what is
/// asked, and what is struck out; the sentence behind a question answers it. A question for a number
/// prefers sentences that hold one, or tell how often something is where that is asked, and one for
/// somebody those that name somebody else than it does, as far as [`names`] sees them: not at the
/// beginning of a sentence, and not in German. A date counts as one word, which every spelling of that
/// day holds, and all that stands under it.
pub fn rank_sentences(question: &str, passages: &[Evidence<'_>]) -> Vec<Chosen> {
    let mut asked: Vec<String> = content_words(question);
    asked.sort();
    asked.dedup();
    let dates = Dates::of(question);
    asked.retain(|word| !dates.has_part(word));
    let mut pool = statements(passages);
    pool.retain(|statement| {
        let text = passages[statement.passage].text.as_str();
        let sentence = &text[statement.span.clone()];
        let echoes = is_question(sentence) && !says_more(sentence, &asked);
        if is_of_envelope(text, sentence) && !asked.iter().any(|word| is_of_mail(word)) {
            return false;
        }
        let mut keys = statement.key.iter();
        let is_asked = keys.all(|key| asked.iter().any(|word| key.has(word)));
        let is_told = !(echoes || is_struck(sentence));
        statement.items.is_empty() && !statement.leads && is_told && is_asked
    });
    let dated: Vec<f32> = pool
        .iter()
        .map(|statement| dated(&dates, statement, &passages[statement.passage]))
        .collect();
    let count = pool.len();
    #[expect(clippy::cast_precision_loss, reason = "counts of sentences are small")]
    let weight = |holding: usize| (1.0 + (count as f32) / (holding as f32 + 1.0)).ln();
    let holding = |word: &String| pool.iter().filter(|s| s.words.has(word)).count();
    let weights: Vec<f32> = asked.iter().map(|word| weight(holding(word))).collect();
    let weight_of_date = if dates.is_empty() {
        0.0
    } else {
        weight(dated.iter().filter(|share| **share > 0.0).count())
    };
    let total = weights.iter().sum::<f32>() + weight_of_date;
    let total = total.max(f32::EPSILON);
    let wants_number = asks_for_number(question);
    let often = asks_how_often(question);
    let wants_name = asks_for_person(question);
    let joins = is_german(question);
    let known: HashSet<String> = words_in_lower_case(question);
    let mut ranked: Vec<Chosen> = pool
        .into_iter()
        .zip(dated)
        .map(|(statement, dated)| {
            let part = |word: &String| {
                if statement.words.has(word) {
                    1.0
                } else if statement.asked.has(word) || joins && statement.words.has_compound(word) {
                    ANSWERS
                } else if statement.around.has(word) {
                    0.5
                } else {
                    0.0
                }
            };
            let covered: f32 = asked.iter().zip(&weights).map(|(w, k)| part(w) * k).sum();
            let covered = covered + dated * weight_of_date;
            let passage = &passages[statement.passage];
            let sentence = &passage.text[statement.span.clone()];
            let digit = sentence.contains(|c: char| c.is_ascii_digit());
            let number = wants_number && digit || often && tells_frequency(sentence);
            let is_new = |name: &&str| !known.contains(&name.to_lowercase());
            let named = wants_name && names(sentence).iter().any(is_new);
            Chosen {
                passage: statement.passage,
                score: covered / total
                    + passage.score / 2.0
                    + if number { 0.15 } else { 0.0 }
                    + if named { NAMED } else { 0.0 }
                    - if statement.is_code || statement.key.is_some() || !is_title(sentence) {
                        0.0
                    } else {
                        0.15
                    },
                span: statement.span,
            }
        })
        .collect();
    ranked.sort_by(|a, b| rank::descending(a.score, b.score));
    ranked
}

/// How far a statement is of the dates of a question: 1 where it names one, a little less where it
/// stands under one, and none where it stands under another.
fn dated(dates: &Dates, statement: &Statement, passage: &Evidence<'_>) -> f32 {
    if dates.is_empty() {
        return 0.0;
    }
    let sentence = &passage.text[statement.span.clone()];
    let heading = Dates::of(&statement.heading);
    let above = if heading.is_empty() {
        Dates::of(passage.about)
    } else {
        heading
    };
    if dates.meet(&Dates::of(sentence)) {
        1.0
    } else if dates.meet(&above) {
        UNDER_DATE
    } else {
        0.0
    }
}

/// How many sentences are taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Portion {
    /// Sentences at most.
    pub count: usize,
    /// Their words at most; one sentence is taken whatever its length.
    pub words: usize,
    /// Share of the best sentence's score below which one is left out.
    pub share: f32,
}

/// The best of ranked sentences, in reading order, those of the best one's passage first; `words`
/// counts those of one.
pub fn best_sentences(
    ranked: &[Chosen],
    portion: Portion,
    words: impl Fn(&Chosen) -> usize,
) -> Vec<Chosen> {
    let best = ranked.first().map_or(0.0, |chosen| chosen.score);
    let mut spent = 0;
    let mut taken: Vec<Chosen> = Vec::new();
    for chosen in ranked.iter().take(portion.count) {
        let price = words(chosen);
        let enough = chosen.score >= portion.share * best;
        if !taken.is_empty() && (spent + price > portion.words || !enough) {
            break;
        }
        spent += price;
        taken.push(chosen.clone());
    }
    // The passage of the best one goes first.
    let first = taken.first().map(|best| best.passage);
    taken.sort_by_key(|c| (Some(c.passage) != first, c.passage, c.span.start));
    taken
}

/// A sentence that may state something, with its words and those around it; or a whole list.
#[derive(Default)]
pub(super) struct Statement {
    pub(super) passage: usize,
    pub(super) span: Range<usize>,
    pub(super) words: Words,
    pub(super) around: Words,
    /// The words of the question that stands before it, and that it answers.
    asked: Words,
    /// The heading above it within its passage.
    heading: String,
    /// Whom the sentence means by the pronoun that it opens with.
    pub(super) subject: String,
    /// The content words of each of its items, where it is a list.
    pub(super) items: Vec<Vec<String>>,
    /// Does it only open a list, or ask what the next sentence answers?
    leads: bool,
    is_code: bool,
    /// What it states, where it is a field of the front matter.
    key: Option<Words>,
}

pub(super) fn statements(passages: &[Evidence<'_>]) -> Vec<Statement> {
    let mut found = Vec::new();
    for (index, passage) in passages.iter().enumerate() {
        let mut reading = Reading::default();
        let text = passage.text.as_str();
        let matter = front_matter_end(text);
        let stated = fields(&text[..matter]);
        found.extend(stated.into_iter().map(|(span, key)| Statement {
            passage: index,
            words: Words::of(&format!("{key} {}", &passage.text[span.clone()])),
            around: Words::of(passage.about),
            key: Some(Words::of(&key)),
            span,
            ..Statement::default()
        }));
        let code = Code::of(passage.text);
        for span in sentences(passage.text.part(matter..text.len())) {
            let span = span.start + matter..span.end + matter;
            let is_code = code.is(&span);
            let sentence = &text[span.clone()];
            if is_code {
                reading.go_to_code(sentence, &span);
            } else {
                reading.go_to(text, &span);
            }
            let names = reading.is_heading && task_state(sentence).is_none()
                || is_table_header(text, &span);
            if !is_code && names {
                found.extend(list(&mut reading, index, passage));
                continue;
            }
            if !reading.in_list {
                found.extend(list(&mut reading, index, passage));
            }
            let mut asked = "";
            let before = found.last_mut().filter(|before| !before.is_code);
            if let Some(before) = before.filter(|before| before.passage == index) {
                let answers = before.items.is_empty() && answers(text, &before.span, &span);
                if answers {
                    asked = &text[before.span.clone()];
                }
                before.leads |= answers || reading.is_led_in;
            }
            let around = format!("{} {asked}", reading.around(passage.about));
            found.push(Statement {
                passage: index,
                words: Words::of(sentence),
                around: Words::of(&around),
                asked: Words::of(asked),
                heading: reading.heading.to_owned(),
                subject: reading.antecedent().to_owned(),
                is_code,
                span,
                ..Statement::default()
            });
        }
        found.extend(list(&mut reading, index, passage));
    }
    found
}

/// The list that has just ended, as one statement.
fn list(reading: &mut Reading<'_>, passage: usize, evidence: &Evidence<'_>) -> Option<Statement> {
    let (items, span) = reading.take_list();
    (items.len() > 1).then(|| Statement {
        passage,
        words: Words::of(&evidence.text[span.clone()]),
        around: Words::of(&format!("{} {}", evidence.about, reading.heading)),
        heading: reading.heading.to_owned(),
        items: items.into_iter().map(words_of_item).collect(),
        span,
        ..Statement::default()
    })
}

/// Is a sentence of what stands around the text of a mail: who sent it, to whom and when; and who wrote
/// what follows? The date of a concert is not, nor where a train goes from and to: a mail has a subject,
/// or its sender an address.
fn is_of_envelope(text: &str, sentence: &str) -> bool {
    const OF_MAILS: [&str; 6] = [
        "Cc: ",
        "Bcc: ",
        "Sent: ",
        "Subject: ",
        "Gesendet: ",
        "Betreff: ",
    ];
    const SENDERS: [&str; 2] = ["From: ", "Von: "];
    const OTHERS: [&str; 4] = ["To: ", "An: ", "Date: ", "Datum: "];
    const WROTE: [&str; 4] = ["wrote:", "schrieb:", "a écrit :", "escribió:"];
    let begins = |line: &str, heads: &[&str]| {
        let line = line.trim_start_matches(['>', ' ', '*']);
        heads.iter().any(|head| line.starts_with(head))
    };
    let shows_mail =
        |line: &str| begins(line, &OF_MAILS) || begins(line, &SENDERS) && line.contains('@');
    begins(sentence, &OF_MAILS)
        || (begins(sentence, &SENDERS) || begins(sentence, &OTHERS)) && text.lines().any(shows_mail)
        || WROTE.iter().any(|wrote| sentence.ends_with(wrote)) && sentence.contains(',')
}

/// Does a lower-case word ask for that?
fn is_of_mail(word: &str) -> bool {
    const OF_MAIL: [&str; 10] = [
        "mail",
        "email",
        "message",
        "sender",
        "send",
        "write",
        "address",
        "subject",
        "schreiben",
        "betreff",
    ];
    OF_MAIL.iter().any(|own| same_word(own, word))
}

/// Does the sentence at `span` answer the question that stands before it? An item of a list answers
/// no other item, unless it says so.
fn answers(text: &str, before: &Range<usize>, span: &Range<usize>) -> bool {
    const OPENERS: [&str; 4] = ["a:", "answer:", "antwort:", "aw:"];
    let (question, sentence) = (&text[before.clone()], &text[span.clone()]);
    let asks = is_question(question) && !tells(question);
    if !asks || is_question(sentence) || sentence.starts_with('|') {
        return false;
    }
    let said = sentence.trim_start_matches(|c: char| !c.is_alphanumeric());
    let said = said.to_lowercase();
    let says_so = OPENERS.iter().any(|opener| said.starts_with(opener));
    let between = &text[before.end..span.start];
    !between.contains('#') && (says_so || !is_item(sentence))
}

/// What an item says, without its number.
fn words_of_item(item: &str) -> Vec<String> {
    content_words(item.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// A short line without an end or a number, as titles in PDFs are, or nothing but a link: such lines
/// rarely state anything.
fn is_title(sentence: &str) -> bool {
    let line = sentence.trim_start_matches(['-', '*', '+', ' ']);
    let is_link = line.starts_with('[')
        && line.find("](").is_some_and(|at| {
            let rest = &line[at..];
            let behind = rest.find(')').map_or("", |end| &rest[end + 1..]);
            !behind.contains(char::is_alphabetic)
        });
    is_link
        || sentence.split_whitespace().count() <= 6
            && !unmarked(sentence).ends_with(['.', '!', '?'])
            && !sentence.ends_with([':', '|'])
            && !sentence.starts_with(['-', '*', '+', '|'])
            && !sentence.contains(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::super::tests::evidence;
    use super::*;
    use crate::domain::text::Readable;

    #[test]
    fn evidence_is_chosen_by_what_is_asked() {
        let check = |question: &str, text: &str, expected: &str| {
            let passages = evidence(&[text, "Locks are useful. Doors too."]);
            let chosen = rank_sentences(question, &passages);
            let found = &passages[chosen[0].passage].text[chosen[0].span.clone()];
            assert_eq!(found, expected, "{question}");
        };
        let shed = "# Shed\n\nThe shed is green. The door lock is a Burg 444. Paint is old.";
        check(
            "Which lock is on the shed door?",
            shed,
            "The door lock is a Burg 444.",
        );
        let table = "| meter | reading |\n|---|---|\n| gas | 6402 |\n| water | 311 |\n";
        check(
            "What did the gas meter's reading say?",
            table,
            "| gas | 6402 |",
        );
        let fee = "~~The fee is 60 euros.~~ The fee is 72 euros.";
        check("How high is the fee?", fee, "The fee is 72 euros.");
        assert!(is_title("Anna has *it*") && !is_title("Anna has *it.*"));
        let matter = "---\ntags: [oven]\n---\nThe oven is of clay.\n";
        check("Which tags has the oven?", matter, "The oven is of clay.");
    }

    #[test]
    fn code_is_evidence_under_the_line_above_it() {
        let text = "# Shell\n\nTo find the largest folders:\n\n```sh\ndu -sh * | sort -h\n```\n\n\
                    - [The largest folders](https://a.b/c)\n\nFolders are slow.\n";
        let passages = evidence(&[text]);
        let chosen = rank_sentences("How do I find the largest folders?", &passages);
        let found: Vec<&str> = chosen.iter().map(|best| &text[best.span.clone()]).collect();
        let first = ["To find the largest folders:", "du -sh * | sort -h"];
        assert_eq!(found[..2], first, "{found:?}");
    }

    #[test]
    fn how_often_is_told_without_a_digit() {
        let text = "The chimney was swept by Meyer. The chimney is swept twice a year.";
        for question in [
            "How often is the chimney swept?",
            "How many times is the chimney swept?",
        ] {
            let chosen = rank_sentences(question, &evidence(&[text]));
            let best = &text[chosen[0].span.clone()];
            assert_eq!(best, "The chimney is swept twice a year.", "{question}");
        }
    }

    #[test]
    fn source_code_is_evidence_with_its_comments() {
        let script = "#!/bin/sh\n\n# The barn backup runs at 02:15.\nrsync -a /barn /mnt\n";
        let read = Readable::of(script, "backup.sh");
        let passage = Evidence {
            text: read.text(),
            about: "backup",
            score: 1.0,
        };
        let found = rank_sentences("When does the barn backup run?", &[passage]);
        let best = &script[found[0].span.clone()];
        assert_eq!(
            best,
            "# The barn backup runs at 02:15.\nrsync -a /barn /mnt"
        );
    }

    #[test]
    fn a_date_is_of_a_mail_where_that_has_a_sender() {
        let best = |question: &str, text: &str| {
            let found = rank_sentences(question, &evidence(&[text]));
            text[found[0].span.clone()].to_owned()
        };
        let concert = "# Concert\n\nDate: 12 March 2026\nVenue: town hall\n";
        let when = "When is the concert?";
        assert_eq!(best(when, concert), "Date: 12 March 2026");
        for sender in ["From: Ann <a@b.org>", "From: Ann\nSubject: A concert"] {
            let mail =
                format!("# Concert\n\n{sender}\nDate: 12 March 2026\n\nThe concert is fun.\n");
            assert_eq!(best(when, &mail), "The concert is fun.");
        }
        let train = "# Train\n\nFrom: Vienna\n\nTo: Graz\n\nNumber: RJ 551\n";
        let found = rank_sentences("Where does the train go to?", &evidence(&[train]));
        assert!(
            found
                .iter()
                .any(|chosen| &train[chosen.span.clone()] == "To: Graz")
        );
    }

    #[test]
    fn a_question_of_the_notes_is_no_answer() {
        let check = |question: &str, text: &str, expected: Option<&str>| {
            let passages = evidence(&[text]);
            let chosen = rank_sentences(question, &passages);
            let found = chosen.first().map(|best| &text[best.span.clone()]);
            assert_eq!(found, expected, "{question}");
        };
        let mail = "Mail is slow at times.\n\nQ: Why is mail slow on Mondays?\n\
                    A: The weekly newsletter goes out at 8.\n";
        let newsletter = "A: The weekly newsletter goes out at 8.";
        check("Why is mail slow on Mondays?", mail, Some(newsletter));
        check("Is the shed locked?", "- [ ] Is the shed locked?", None);
        // Questions that nobody answered are what somebody wants to ask.
        let doctor = "# Doctor\n\n- May I take the tablet at night?\n- Is swimming allowed?\n";
        let tablet = "- May I take the tablet at night?";
        check(
            "What about the tablet do I ask the doctor?",
            doctor,
            Some(tablet),
        );
        let pack = "What do we pack for Lisbon?\n- passport\n- charger\n\nLisbon is warm.";
        check("What do we pack?", pack, Some("- passport"));
        let trip = "Packing list for Lisbon\n- passport\n\nThe sea is warm.";
        check("passport for Lisbon", trip, Some("- passport"));
    }

    #[test]
    fn a_portion_ends_at_words_and_at_weaker_sentences() {
        let chosen = |start: usize, score: f32| Chosen {
            passage: 0,
            span: start..start + 10,
            score,
        };
        let ranked = [chosen(40, 1.0), chosen(0, 0.9), chosen(20, 0.4)];
        let check = |count, words, share, expected: &[usize]| {
            let portion = Portion {
                count,
                words,
                share,
            };
            let taken = best_sentences(&ranked, portion, |_| 10);
            let starts: Vec<usize> = taken.iter().map(|c| c.span.start).collect();
            assert_eq!(starts, expected, "{portion:?}");
        };
        check(3, 100, 0.0, &[0, 20, 40]);
        check(3, 100, 0.5, &[0, 40]);
        check(3, 15, 0.0, &[40]);
        check(1, 0, 0.0, &[40]);
    }
}
