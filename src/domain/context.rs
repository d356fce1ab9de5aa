//! From hits to a prompt, and from an answer back to its evidence.
//!
//! The choice of evidence, and the string tests that need no model: numbers, dates and names of an
//! answer must occur in what it cites. What supports a claim is told by `support`.
//! Works on text alone; which model reads the prompt is not known here. What is denied is told by
//! `denial`, what a number is by `figure`.

mod support;

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

pub use super::denial::is_denial;
pub use super::figure::numbers;
use super::figure::{Dates, calendar_words, held_numbers, is_calendar_word, is_date, number_words};
use super::forms;
use super::language::{Language, STOP_WORDS, is_unspaced_stop_word};
use super::question::{asks_for_number, asks_for_person, core, degree, tells};
use super::sentence::{Code, is_capital, is_german, is_item, is_question, sentences, task_state};
use super::surroundings::{Reading, fields, front_matter_end, is_table_header};
use super::text::Text;
use super::words::{as_read, fold, is_unspaced, pieces};

pub use self::support::{Support, says_more, support, supported_part, tells_number, unheld};

/// The words of a text that carry meaning: lower case, without stop words. Where no spaces stand
/// between words, those that a dictionary knows.
pub fn content_words(text: &str) -> Vec<String> {
    let text = &*as_read(text);
    let mut words = Vec::new();
    let mut unspaced = 0..0;
    for (at, word) in text.unicode_word_indices() {
        if at < unspaced.end {
            continue;
        }
        if word.starts_with(is_unspaced) {
            let run = text[at..].find(|c| !is_unspaced(c));
            unspaced = at..run.map_or(text.len(), |run| at + run);
            let run = &text[unspaced.clone()];
            // What stands in hiragana between other signs holds them together, most often.
            let mixed = !run.chars().all(is_hiragana);
            let holds = |word: &&str| mixed && word.chars().all(is_hiragana);
            let pieces = pieces(run).filter(|word| !holds(word) && !is_unspaced_stop_word(word));
            words.extend(pieces.map(str::to_owned));
            continue;
        }
        let lower = word.to_lowercase();
        if !STOP_WORDS.contains(&lower.as_str()) || is_letter(text, at, word) {
            words.push(lower);
        }
    }
    words
}

fn is_hiragana(c: char) -> bool {
    ('\u{3041}'..='\u{309f}').contains(&c)
}

/// Is a word, which begins at `at`, a letter that names something, as in "vitamin A"? One that opens
/// a sentence may be an article, and "I" is a person.
fn is_letter(text: &str, at: usize, word: &str) -> bool {
    let loud = !text.contains(char::is_lowercase);
    let single = word.len() == 1 && is_capital(word) && word != "I" && !loud;
    let before = text[..at].trim_end();
    single && before.ends_with(|c: char| c.is_alphanumeric() || ",'’".contains(c))
}

/// Do two lower-case words say the same, up to an ending, or are they forms of one word? Works
/// without knowing the language.
pub(super) fn same_word(a: &str, b: &str) -> bool {
    let of_one = || match (forms::base(a), forms::base(b)) {
        (None, None) => false,
        (of_a, of_b) => same_ending(of_a.unwrap_or(a), of_b.unwrap_or(b)),
    };
    a == b || same_ending(a, b) || of_one()
}

/// The same, by the letters alone.
fn same_ending(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    let digits = |w: &str| w.chars().any(|c| c.is_ascii_digit());
    if digits(a) || digits(b) {
        return false;
    }
    let common = a.chars().zip(b.chars()).take_while(|(x, y)| x == y).count();
    let (la, lb) = (a.chars().count(), b.chars().count());
    let (short, long) = (la.min(lb), la.max(lb));
    let ending = common == short && short >= 3 && long - short <= 2;
    // "Interest" is not "internet".
    let beginning = common >= 5 && long - common <= 3 && short - common <= 2;
    let more = if la < lb { b } else { a };
    let is_form = |ending: &str| {
        let stem: Vec<char> = more.strip_suffix(ending).unwrap_or("").chars().collect();
        // "Run", "running".
        let doubled = stem.len() == short + 1 && stem[short] == stem[short - 1];
        stem.len() == short || doubled
    };
    let form = common == short && short >= 3 && FORMS.iter().any(|ending| is_form(ending));
    ending || beginning || form
}

/// Endings of three letters and more that make another form of a word: "pack", "packing".
const FORMS: [&str; 5] = ["ing", "ings", "ers", "ern", "enden"];

/// The words of a text without their accents, indexed so that [`same_word`] is asked of few of them.
#[derive(Debug, Default)]
struct Words(HashMap<String, Vec<String>>);

impl Words {
    fn of(text: &str) -> Self {
        let mut words: HashMap<String, Vec<String>> = HashMap::new();
        for word in content_words(text) {
            let word = fold(&word);
            // "vim.opt.tabstop" is found by "tabstop".
            let parts = word.split('.').filter(|part| {
                part.len() > 2
                    && part.len() < word.len()
                    && !part.contains(|c: char| c.is_numeric())
            });
            let base = forms::base(&word);
            for word in std::iter::once(word.as_str()).chain(parts).chain(base) {
                let bucket = words.entry(stem_key(word)).or_default();
                if !bucket.iter().any(|known| known == word) {
                    bucket.push(word.to_owned());
                }
            }
        }
        for pair in unspaced_pairs(text) {
            words.entry(pair.clone()).or_default().push(pair);
        }
        Self(words)
    }

    fn has_pairs(&self, word: &str) -> bool {
        let mut pairs = unspaced_pairs(word).peekable();
        pairs.peek().is_some() && pairs.all(|pair| self.0.contains_key(&pair))
    }

    /// Is the word there? Dictionaries cut the same word now so, now so: one without spaces is where
    /// all pairs of its characters are.
    fn has(&self, word: &str) -> bool {
        if word.starts_with(is_unspaced) && self.has_pairs(word) {
            return true;
        }
        let word = fold(word);
        let among = |word: &str| {
            let bucket = self.0.get(&stem_key(word));
            bucket.is_some_and(|bucket| bucket.iter().any(|other| same_word(word, other)))
        };
        among(&word) || forms::base(&word).is_some_and(among)
    }

    /// Is a word there that is made of this one, or that it is made of, as German makes words: the
    /// Kaltmiete is a Miete?
    fn has_compound(&self, word: &str) -> bool {
        const LEAST: usize = 5;
        let word = fold(word);
        let length = |word: &str| word.chars().count();
        let made_of = |whole: &str, part: &str| {
            let ends = whole.ends_with(part);
            let begins = whole.starts_with(part) && length(part) > LEAST;
            length(part) >= LEAST && length(whole) >= length(part) + 3 && (ends || begins)
        };
        let mut others = self.0.values().flatten();
        others.any(|other| made_of(other, &word) || made_of(&word, other))
    }
}

/// Neighbours among the characters of scripts without spaces.
fn unspaced_pairs(text: &str) -> impl Iterator<Item = String> {
    let next = text.chars().skip(1);
    let pairs = text.chars().zip(next);
    let unspaced = pairs.filter(|(a, b)| is_unspaced(*a) && is_unspaced(*b));
    unspaced.map(|(a, b)| String::from_iter([a, b]))
}

fn stem_key(word: &str) -> String {
    word.chars().take(3).collect()
}

/// Do two sentences say the same in nearly the same words, figures aside? "The rent is 1,150 euros."
pub fn is_variant(one: &str, other: &str) -> bool {
    let worded = |text: &str| -> Vec<String> {
        let counts: Vec<String> = number_words(text)
            .into_iter()
            .map(|(word, _)| word)
            .collect();
        let mut words = content_words(text);
        words.retain(|word| numbers(word).is_empty() && !counts.contains(word));
        words
    };
    let (one, other) = (worded(one), worded(other));
    let is_there = |word: &&String| other.iter().any(|own| same_word(word, own));
    let same = one.iter().filter(is_there).count();
    same > 0 && one.len().max(other.len()) <= 2 * same
}

/// A passage that may serve as evidence.
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    /// Its text.
    pub text: Text<'a>,
    /// The words around it that help to understand it: title and headings.
    pub about: &'a str,
    /// The retrieval score, 0..1.
    pub score: f32,
}

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
/// where nothing of it is asked. So are questions that the notes answer, and those that only ask
/// what is asked; the sentence behind a question answers it. A question for a number prefers
/// sentences that hold one, and one for somebody those that name somebody else than it does, as far
/// as [`names`] sees them: not at the beginning of a sentence, and not in German. A date counts as
/// one word, which every spelling of that day holds, and all that stands under it.
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
        statement.items.is_empty() && !statement.leads && !echoes && is_asked
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
            let number = wants_number && sentence.contains(|c: char| c.is_ascii_digit());
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
    ranked.sort_by(|a, b| super::rank::descending(a.score, b.score));
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

fn words_in_lower_case(text: &str) -> HashSet<String> {
    as_read(text)
        .unicode_words()
        .map(str::to_lowercase)
        .collect()
}

/// Does a text hold all words of a question that another one holds, and more?
pub fn holds_more(question: &str, text: &str, other: &str) -> bool {
    let (held, others) = (Words::of(text), Words::of(other));
    let asked = content_words(question);
    let all = asked.iter().all(|word| held.has(word) || !others.has(word));
    all && asked.iter().any(|word| held.has(word) && !others.has(word))
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
struct Statement {
    passage: usize,
    span: Range<usize>,
    words: Words,
    around: Words,
    /// The words of the question that stands before it, and that it answers.
    asked: Words,
    /// The heading above it within its passage.
    heading: String,
    /// Whom the sentence means by the pronoun that it opens with.
    subject: String,
    /// The content words of each of its items, where it is a list.
    items: Vec<Vec<String>>,
    /// Does it only open a list, or ask what the next sentence answers?
    leads: bool,
    is_code: bool,
    /// What it states, where it is a field of the front matter.
    key: Option<Words>,
}

fn statements(passages: &[Evidence<'_>]) -> Vec<Statement> {
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
            && !sentence.ends_with(['.', '!', '?', ':', '|'])
            && !sentence.starts_with(['-', '*', '+', '|'])
            && !sentence.contains(|c: char| c.is_ascii_digit())
}

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
    (held, missing)
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

/// Names in a question that none of the texts holds, in lower case, where these are at least half of
/// its names. Empty where capitals say nothing, as in German and in headlines.
///
/// A question with many names is often answered by what several notes hold together, and one of its
/// names may be written otherwise. Of 754 questions of hotpotqa, all of which can be answered, this
/// refuses 4 in 100 with the best five passages by BM25; for any missing name it would be 11.
pub fn missing_names(question: &str, texts: &[&str]) -> Vec<String> {
    let question = core(question);
    let missing = not_named(question, texts);
    let most = 2 * missing.len() >= names(question).len();
    if most { missing } else { Vec::new() }
}

/// Names that a question asks about and none of the texts holds, in lower case. Where names have
/// endings, one with the same stem will do: less is refused, and no claim rests on it.
pub(super) fn not_named(question: &str, texts: &[&str]) -> Vec<String> {
    let mut missing = unnamed(question, texts);
    if missing.is_empty() {
        return missing;
    }
    let held = Names::of(texts.iter().copied());
    let inflected = is_inflected(question);
    missing.retain(|name| {
        let other_form = inflected && held.has_stem(name);
        !other_form && !is_of_people(name, texts)
    });
    missing
}

/// Do texts name the country, its people or its language, where a name in lower case is one of these?
fn is_of_people(name: &str, texts: &[&str]) -> bool {
    let country = |word: &str| forms::country(word).unwrap_or(word).to_owned();
    let named = country(name);
    let is_people = |word: &str| {
        let lower = word.to_lowercase();
        country(&lower) == named && is_capital(word)
    };
    let mut words = texts.iter().flat_map(|text| text.unicode_words());
    words.any(is_people)
}

/// Names of a text that none of the texts holds, in lower case.
pub(super) fn unnamed(text: &str, texts: &[&str]) -> Vec<String> {
    let names = names(text);
    if names.is_empty() {
        return Vec::new();
    }
    let held = Names::of(texts.iter().copied());
    let names = names.into_iter().filter(|name| !held.has(name));
    names.map(str::to_lowercase).collect()
}

/// The names in a text: words that begin with a capital, but not at the beginning of a sentence, and
/// are no abbreviation, no month and no day of the week. None where capitals say nothing.
pub(super) fn names(text: &str) -> Vec<&str> {
    let worded = |word: &&str| word.chars().any(char::is_alphabetic);
    let headline = || text.unicode_words().filter(worded).all(is_capital);
    if is_german(text) || headline() {
        return Vec::new();
    }
    capitals(text)
}

/// Does a text name somebody or something that a question does not? It may open with the name.
pub fn names_another(question: &str, text: &str) -> bool {
    let known = words_in_lower_case(question);
    let is_new = |word: &str| {
        let lower = word.to_lowercase();
        is_capital(word) && !STOP_WORDS.contains(&lower.as_str()) && !known.contains(&lower)
    };
    is_german(text) || text.unicode_words().any(is_new)
}

/// Words with a capital, but for those that open a sentence, abbreviations, months and weekdays.
fn capitals(text: &str) -> Vec<&str> {
    // "I'm" is no name.
    let is_stop = |word: &str| {
        let lower = word.to_lowercase().replace('’', "'");
        STOP_WORDS.contains(&lower.split('\'').next().unwrap_or(""))
    };
    let calendar = calendar_words(text);
    let dated = |word: &str| {
        let lower = word.to_lowercase();
        calendar.iter().any(|(word, _)| *word == lower)
    };
    let wanted = |word: &&str| {
        let written_out = word.chars().any(char::is_lowercase);
        let title = TITLES.contains(&word.to_lowercase().as_str());
        is_capital(word) && written_out && !title && !is_stop(word) && !dated(word)
    };
    let sentences = sentences(text).into_iter().map(|span| &text[span]);
    sentences
        .flat_map(|sentence| whole_words(sentence).into_iter().skip(1).filter(wanted))
        .collect()
}

/// What people are called by before their names; notes often leave it out.
const TITLES: [&str; 18] = [
    "mr",
    "mrs",
    "ms",
    "miss",
    "dr",
    "prof",
    "professor",
    "doctor",
    "sir",
    "madam",
    "aunt",
    "uncle",
    "herr",
    "frau",
    "señor",
    "señora",
    "monsieur",
    "madame",
];

/// The words of a text; those that hyphens join are one.
fn whole_words(text: &str) -> Vec<&str> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, word) in text.unicode_word_indices() {
        let end = at + word.len();
        match found.last_mut() {
            Some(last) if ["-", "‐", "‑"].contains(&&text[last.end..at]) => last.end = end,
            _ => found.push(at..end),
        }
    }
    found.into_iter().map(|span| &text[span]).collect()
}

/// The words of texts, for names: as they are, but for case, accents, hyphens and the endings of a
/// possessive or a plural. Christian is not Christina.
struct Names(HashSet<String>);

impl Names {
    fn of<'a>(texts: impl Iterator<Item = &'a str> + Clone) -> Self {
        let parts = texts.clone().flat_map(str::unicode_words);
        let words = texts.flat_map(whole_words);
        Self(words.chain(parts).map(name_key).collect())
    }

    fn has(&self, name: &str) -> bool {
        let mut parts = name.unicode_words();
        self.0.contains(&name_key(name)) || parts.all(|part| self.0.contains(&name_key(part)))
    }

    /// Is there a word with this stem? Where names have endings, Anna's birthday is that of "Anny".
    fn has_stem(&self, name: &str) -> bool {
        let name: Vec<char> = name_key(name).chars().collect();
        self.0.iter().any(|word| {
            let word: Vec<char> = word.chars().collect();
            let shorter = name.len().min(word.len());
            let same = name.iter().zip(&word).take_while(|(a, b)| a == b).count();
            same >= shorter.saturating_sub(2).max(3) && name.len().abs_diff(word.len()) <= 3
        })
    }
}

/// May names have endings here? Not in English, French and Spanish, which are known by their small
/// words; that German is another matter is known before.
fn is_inflected(text: &str) -> bool {
    const SMALL: [&str; 48] = [
        "the", "a", "an", "of", "is", "are", "was", "were", "did", "does", "do", "has", "have",
        "what", "who", "when", "where", "which", "how", "why", "my", "our", "in", "on", "at", "to",
        "and", "for", "from", "with", "by", "le", "la", "les", "des", "du", "est", "qui", "quand",
        "où", "el", "los", "las", "es", "qué", "cuándo", "dónde", "quién",
    ];
    let lower = text.to_lowercase();
    !lower.unicode_words().any(|word| SMALL.contains(&word))
}

fn name_key(word: &str) -> String {
    let lower = fold(&as_read(word).to_lowercase().replace('’', "'"));
    let lower = lower.replace(['-', '‐', '‑'], "");
    let bare = lower.strip_suffix("'s").unwrap_or(&lower);
    let long = bare.chars().count() > 3;
    bare.strip_suffix('s')
        .filter(|_| long)
        .unwrap_or(bare)
        .to_owned()
}

#[expect(clippy::cast_precision_loss, reason = "counts of words are small")]
fn ratio(part: usize, whole: usize) -> f32 {
    part as f32 / whole.max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::text::Readable;

    #[test]
    fn letters_that_name_something_are_words() {
        let check = |text: &str, expected: &[&str]| assert_eq!(content_words(text), expected);
        check(
            "The blood type is A positive.",
            &["blood", "type", "a", "positive"],
        );
        check("A shed. A door.", &["shed", "door"]);
        check("- A shed", &["shed"]);
        check("Anna and I have a shed", &["anna", "shed"]);
        check("Kessel\u{ad}druck", &["kesseldruck"]);
    }

    pub(super) fn evidence<'a>(texts: &[&'a str]) -> Vec<Evidence<'a>> {
        let passage = |text: &&'a str| Evidence {
            text: (*text).into(),
            about: "",
            score: 1.0,
        };
        texts.iter().map(passage).collect()
    }

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

    #[test]
    fn names_that_are_nowhere_are_noticed() {
        let texts = ["The train to Vienna leaves Zürich at noon, with Christian's bike."];
        let check = |question: &str, expected: &[&str]| {
            assert_eq!(missing_names(question, &texts), expected, "{question}");
        };
        check("When does the ferry to Corsica leave?", &["corsica"]);
        check("When does the train to Vienna leave?", &[]);
        check("Wann fährt der Zug nach Korsika?", &[]);
        check("Was kostet die Fahrt Korsika hin?", &[]);
        check("Train To Corsica", &[]);
        check("train to Corsica", &["corsica"]);
        check("Who is Dragan?", &["dragan"]);
        check("When does the train leave Zurich?", &[]);
        check("Where is Christian?", &[]);
        check("Where is Vienna's train?", &[]);
        check("Where is Christina?", &["christina"]);
        check("Where in July is the train?", &[]);
        check("Did Christian see Vienna and Corsica?", &[]);
        check("Is it true that During the day a train leaves?", &[]);
        check("Did Anna die in Corsica?", &["anna", "corsica"]);
        check("How was Anna to die?", &["anna"]);
        check("The train left. Does another one leave?", &[]);
        // A title is no name, a hyphen no difference, and some names have endings.
        let texts = ["Milan Novak, phone 0151 234. The WiFi password is heron. Urodziny Anny."];
        let check = |question: &str, expected: &[&str]| {
            assert_eq!(missing_names(question, &texts), expected, "{question}");
        };
        check("What is Mr. Novak's phone number?", &[]);
        check("What is the Wi-Fi password?", &[]);
        check("What is the Li-Fi password?", &["li-fi"]);
        check("Kiedy są urodziny Anna?", &[]);
        check("Kiedy są urodziny Jana?", &["jana"]);
    }

    #[test]
    fn words_are_the_same_up_to_endings() {
        let check = |a: &str, b: &str, expected: bool| {
            assert_eq!(same_word(a, b), expected, "{a} {b}");
            assert_eq!(same_word(b, a), expected, "{b} {a}");
        };
        check("pack", "packing", true);
        check("work", "working", true);
        check("own", "owner", true);
        check("run", "running", true);
        check("serviced", "servicing", true);
        check("tomate", "tomaten", true);
        check("interest", "internet", false);
        check("busy", "business", false);
        check("e17", "e18", false);
        check("lock", "block", false);
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
        check("Wie oft brauchen Rosen Wasser?", "Rosen mögen Wasser.", 1.0);
    }

    #[test]
    fn coverage_counts_question_words() {
        assert!((coverage("shed colour", &["the shed is green"]) - 0.5).abs() < 1e-6);
        assert!((coverage("the of", &[]) - 1.0).abs() < 1e-6);
    }
}
