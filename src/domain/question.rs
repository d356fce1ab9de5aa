//! What kind of answer a question wants, as far as its words tell.

use unicode_segmentation::UnicodeSegmentation;

use super::language::Language;

/// What is put around a question or a claim, and where in it that begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Frame {
    /// "Is it true that …?": whatever follows, a yes or a no is wanted.
    Truth,
    /// "Do you know whether …?": what follows wants a yes or a no.
    Whether,
    /// "Do you know who …?": what follows is the question.
    Word,
}

/// What is asked, without what is only put around it: "Is it true that the shed is locked?" and
/// "Isn't the shed locked?" ask about "the shed is locked?" and "the shed locked?".
///
/// Words of a frame say nothing about the subject, and a verb that is denied to be polite denies
/// nothing: who asks whether a shed isn't locked is told "Yes." where it is.
pub fn core(question: &str) -> &str {
    if let Some((_, at)) = frame(question) {
        return &question[at..];
    }
    match spoken(question).as_slice() {
        [(_, first), (at, _), ..] if first.ends_with("n't") => &question[*at..],
        _ => question,
    }
}

/// The words of a question, in lower case and without marks, each with where it begins.
fn spoken(question: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut rest = 0;
    for piece in question.split_inclusive(char::is_whitespace) {
        let word = piece.trim_matches(|c: char| !c.is_alphanumeric());
        if !word.is_empty() {
            let lead = piece.find(word).unwrap_or(0);
            found.push((rest + lead, word.to_lowercase().replace('’', "'")));
        }
        rest += piece.len();
    }
    found
}

/// The frame of a question, and where that begins which it is put around.
fn frame(question: &str) -> Option<(Frame, usize)> {
    const TRUTH: [&[&str]; 11] = [
        &["is", "it", "true", "that"],
        &["is", "it", "correct", "that"],
        &["is", "it", "right", "that"],
        &["is", "it", "the", "case", "that"],
        &["ist", "es", "wahr", "dass"],
        &["ist", "es", "richtig", "dass"],
        &["stimmt", "es", "dass"],
        &["es", "verdad", "que"],
        &["es", "cierto", "que"],
        &["est-il", "vrai", "que"],
        &["est-ce", "vrai", "que"],
    ];
    let words = spoken(question);
    let begins = |frame: &&[&str]| {
        words.len() > frame.len() && frame.iter().zip(&words).all(|(a, (_, b))| a == b)
    };
    if let Some(frame) = TRUTH.iter().copied().find(begins) {
        return Some((Frame::Truth, words[frame.len()].0));
    }
    known(&words)
}

/// "Do you know …", "Can you tell me …": who asks so wants to hear what, not whether it is known.
fn known(words: &[(usize, String)]) -> Option<(Frame, usize)> {
    const OPENERS: [&str; 16] = [
        "do",
        "does",
        "did",
        "can",
        "could",
        "would",
        "will",
        "please",
        "tell",
        "weißt",
        "wissen",
        "kannst",
        "können",
        "könntest",
        "sag",
        "sagen",
    ];
    const KNOWING: [&str; 18] = [
        "know", "tell", "remember", "recall", "say", "show", "explain", "me", "us", "out", "weißt",
        "wissen", "sagen", "sag", "mir", "uns", "du", "sie",
    ];
    const WHETHER: [&str; 3] = ["if", "whether", "ob"];
    if let Some(at) = wished(words) {
        return Some((Frame::Word, at));
    }
    let opens = words
        .first()
        .is_some_and(|(_, word)| OPENERS.contains(&word.as_str()));
    // Further on, such a word belongs to what is asked: "Did we pay the man who repaired it?"
    let near = words.windows(2).take(6).enumerate().skip(1);
    let mut near = near.filter(|_| opens);
    near.find_map(|(n, pair)| {
        let [(_, before), (at, word)] = pair else {
            return None;
        };
        if !KNOWING.contains(&before.as_str()) {
            return None;
        }
        if WHETHER.contains(&word.as_str()) {
            return words.get(n + 2).map(|(at, _)| (Frame::Whether, *at));
        }
        QUESTION_WORDS
            .contains(&word.as_str())
            .then_some((Frame::Word, *at))
    })
}

/// "Can you tell me the code?", "Do you know the code?": where the thing that is wished for begins.
fn wished(words: &[(usize, String)]) -> Option<usize> {
    // These are verbs of knowing themselves.
    const KNOWING: [&str; 4] = ["weißt", "wisst", "kennst", "kennt"];
    const TELLING: [&str; 18] = [
        "tell",
        "give",
        "show",
        "list",
        "name",
        "explain",
        "remind",
        "find",
        "describe",
        "know",
        "remember",
        "recall",
        "sagen",
        "nennen",
        "geben",
        "zeigen",
        "erklären",
        "finden",
    ];
    const TO_WHOM: [&str; 5] = ["me", "us", "of", "mir", "uns"];
    let word = |at: usize| words.get(at).map(|(_, word)| word.as_str());
    let first = word(0)?;
    let knows = KNOWING.contains(&first);
    if !(knows || first == "do" || REQUESTING.contains(&first)) || !YOU.contains(&word(1)?) {
        return None;
    }
    let last = words.last().map(|(_, word)| word.as_str())?;
    let mut at = if TELLING.contains(&word(2)?) {
        3
    } else if knows || word(1)? != "you" && TELLING.contains(&last) {
        // In German the verb comes first or last: "Kannst du mir den Code sagen?"
        2
    } else {
        return None;
    };
    while TO_WHOM.contains(&word(at)?) {
        at += 1;
    }
    let asks = |word: &str| {
        QUESTION_WORDS.contains(&word) || ["if", "whether", "ob", "that", "dass"].contains(&word)
    };
    let (begin, first) = words.get(at)?;
    (!asks(first)).then_some(*begin)
}

const QUESTION_WORDS: [&str; 32] = [
    "who", "whom", "whose", "what", "which", "when", "where", "why", "how", "wer", "wem", "wen",
    "wessen", "was", "welche", "welcher", "welches", "welchen", "welchem", "wann", "wo", "woher",
    "wohin", "warum", "wie", "quién", "qué", "cuál", "cuándo", "dónde", "qui", "quand",
];

/// Does a text open with the German "was", which asks for what, and not with the English one, which
/// asks for a yes or a no? The rest tells: its small words, its umlauts, a verb in second place.
pub(super) fn asks_what_in_german(text: &str) -> bool {
    const SUBJECTS: [&str; 30] = [
        "the", "it", "there", "he", "she", "this", "that", "these", "those", "my", "our", "your",
        "his", "her", "its", "their", "a", "an", "i", "we", "you", "they", "any", "anyone",
        "anybody", "anything", "everyone", "someone", "one", "not",
    ];
    const SMALL: [&str; 53] = [
        "der", "das", "dem", "den", "des", "ein", "eine", "einen", "einem", "einer", "und", "oder",
        "für", "mit", "zum", "zur", "zu", "ich", "wir", "ihr", "du", "sie", "er", "es", "man",
        "mir", "dir", "uns", "sich", "nicht", "im", "auf", "aus", "bei", "beim", "nach", "vom",
        "von", "vor", "wenn", "alles", "noch", "schon", "mein", "meine", "unser", "unsere", "ist",
        "sind", "wird", "wurde", "über", "unter",
    ];
    // In second place a German question has its verb.
    const VERBS: [&str; 61] = [
        "war", "waren", "werden", "hat", "haben", "hatte", "kostet", "kosten", "macht", "machen",
        "mache", "braucht", "brauchen", "brauche", "steht", "stehen", "stand", "liegt", "fehlt",
        "fehlen", "gilt", "gibt", "gab", "geht", "ging", "muss", "müssen", "soll", "sollen",
        "kann", "können", "darf", "dürfen", "will", "wollen", "möchte", "sagt", "sagte", "heißt",
        "bedeutet", "passiert", "tun", "tut", "isst", "essen", "trinkt", "trinken", "hilft",
        "weiß", "wissen", "gehört", "bringt", "bringen", "bekommt", "kommt", "kam", "läuft",
        "nimmt", "spricht", "bleibt", "kaufen",
    ];
    const ENGLISH: [&str; 14] = [
        "the", "of", "a", "an", "is", "to", "by", "for", "on", "at", "did", "with", "from", "and",
    ];
    let words = text.split_whitespace();
    let words = words.map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let [first, second, ..] = words.as_slice() else {
        return false;
    };
    let behind = second.to_lowercase();
    if !first.eq_ignore_ascii_case("was") || SUBJECTS.contains(&behind.as_str()) {
        return false;
    }
    // Names keep their umlauts in English.
    let umlaut =
        |word: &str| word.starts_with(char::is_lowercase) && word.contains(['ä', 'ö', 'ü', 'ß']);
    let rest = &words[1..];
    if rest.iter().any(|word| SMALL.contains(word) || umlaut(word)) {
        return true;
    }
    let english = rest.iter().any(|word| ENGLISH.contains(word));
    // "Was war declared?"
    let participle = rest
        .last()
        .is_some_and(|last| last.starts_with(char::is_lowercase) && last.ends_with("ed"));
    if english || participle {
        return false;
    }
    VERBS.contains(second) || Language::detect(text) == Language::named("de")
}

/// Is anything asked? Words to search for, and claims, ask nothing.
pub fn asks(text: &str) -> bool {
    let words = spoken(text);
    let mut words = words.iter().map(|(_, word)| word.as_str());
    text.trim_end().ends_with('?') || words.any(|word| QUESTION_WORDS.contains(&word))
}

/// Does a question want a number, a time or a date?
pub fn asks_for_number(question: &str) -> bool {
    const PHRASES: [&str; 14] = [
        "how many",
        "how much",
        "how long",
        "how high",
        "how big",
        "how old",
        "how far",
        "how often",
        "how thick",
        "how heavy",
        "what time",
        "wie viel",
        "wie lange",
        "cuánt",
    ];
    // "What happens when it is empty?" wants no time: only the word that asks counts.
    const BEFORE_WHEN: [&str; 13] = [
        "since", "until", "till", "from", "by", "and", "but", "seit", "bis", "ab", "von", "und",
        "aber",
    ];
    let core = core(question);
    let words = spoken(core);
    let mut words = words.iter().map(|(_, word)| word.as_str());
    let asks = words.find(|word| !BEFORE_WHEN.contains(word));
    let lower = core.to_lowercase();
    matches!(asks, Some("when" | "wann")) || PHRASES.iter().any(|phrase| lower.contains(phrase))
}

/// Does a question want to know how often something is, which no number need tell?
pub fn asks_how_often(question: &str) -> bool {
    const PHRASES: [&str; 2] = ["how often", "how many times"];
    let core = core(question).to_lowercase();
    PHRASES.iter().any(|phrase| core.contains(phrase))
}

/// Does a question want somebody's name?
pub fn asks_for_person(question: &str) -> bool {
    const BEFORE_WHO: [&str; 14] = [
        "to", "with", "by", "from", "for", "of", "and", "but", "mit", "von", "bei", "an", "für",
        "aber",
    ];
    const PERSONS: [&str; 11] = [
        "who", "who's", "whom", "whose", "wer", "wem", "wen", "wessen", "quién", "quiénes", "qui",
    ];
    let words = spoken(core(question));
    let mut words = words.iter().map(|(_, word)| word.as_str());
    let asks = words.find(|word| !BEFORE_WHO.contains(word));
    asks.is_some_and(|word| PERSONS.contains(&word))
}

/// Does a question ask how something is done?
pub fn asks_how(question: &str) -> bool {
    const DOES: [&str; 9] = [
        "do", "can", "to", "should", "could", "would", "did", "must", "does",
    ];
    const HOW: [&str; 3] = ["wie", "comment", "cómo"];
    let words = spoken(core(question));
    let mut words = words.iter().map(|(_, word)| word.as_str());
    let (first, second) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let is_how = first == "how" && DOES.contains(&second) || HOW.contains(&first);
    is_how && !asks_for_number(question)
}

/// Does a question want a yes or a no?
///
/// It begins with a verb that such questions begin with, and offers no choice; or with "Is it true
/// that". Words that are other things, too ("may", "will", "war") count only where the question is
/// marked as one.
pub fn is_polar(question: &str) -> bool {
    const VERBS: [&str; 31] = [
        "is", "isn't", "are", "aren't", "was", "wasn't", "were", "weren't", "do", "don't", "does",
        "doesn't", "did", "didn't", "can't", "could", "couldn't", "has", "hasn't", "have",
        "haven't", "had", "would", "should", "ist", "sind", "haben", "kann", "können", "waren",
        "est-ce",
    ];
    const DOUBTFUL: [&str; 25] = [
        "can", "will", "may", "might", "must", "am", "hat", "war", "gibt", "darf", "dürfen",
        "muss", "müssen", "soll", "sollen", "wird", "werden", "wurde", "wurden", "hatte", "hatten",
        "es", "son", "hay", "está",
    ];
    let frame = frame(question).map(|(frame, _)| frame);
    let other = asks_what_in_german(question) || is_request(question);
    let question = question.trim_matches(['¿', ' ', '"']).to_lowercase();
    let question = question.replace('’', "'");
    let mut words = question.split_whitespace();
    let opens = words.next().is_some_and(|word| {
        VERBS.contains(&word) || question.ends_with('?') && DOUBTFUL.contains(&word)
    });
    let mut rest = words.map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
    let chooses = rest.any(|word| ["or", "oder", "ou", "o"].contains(&word));
    match frame {
        Some(Frame::Truth) => true,
        Some(Frame::Word) => false,
        Some(Frame::Whether) => !chooses,
        None => opens && !chooses && !other,
    }
}

/// What requests open with, and whom they are made of.
const REQUESTING: [&str; 14] = [
    "can",
    "could",
    "will",
    "would",
    "kannst",
    "könntest",
    "würdest",
    "könnt",
    "könntet",
    "können",
    "könnten",
    "würden",
    "magst",
    "please",
];
const YOU: [&str; 4] = ["you", "du", "sie", "ihr"];

/// "Could you compare the two leases?" wants that to be done, not a yes; "Can you swim?" wants one.
fn is_request(question: &str) -> bool {
    let words = spoken(question);
    let mut words = words.iter().map(|(_, word)| word.as_str());
    let asks = words.next().is_some_and(|word| REQUESTING.contains(&word));
    let of_us = words.next().is_some_and(|word| YOU.contains(&word));
    asks && of_us && words.count() > 1
}

/// What a question asks the degree of, in lower case: "high" of "How high is the rent?". Its answer
/// tells a number, and seldom says that word.
pub fn degree(question: &str) -> Option<String> {
    const DEGREES: [&str; 35] = [
        "high",
        "tall",
        "long",
        "wide",
        "deep",
        "big",
        "large",
        "small",
        "thick",
        "heavy",
        "old",
        "hot",
        "warm",
        "cold",
        "fast",
        "late",
        "early",
        "far",
        "expensive",
        "strong",
        "hoch",
        "groß",
        "lang",
        "breit",
        "tief",
        "dick",
        "schwer",
        "alt",
        "heiß",
        "kalt",
        "schnell",
        "spät",
        "früh",
        "teuer",
        "stark",
    ];
    let words = spoken(core(question));
    let mut pairs = words.windows(2);
    let pair = pairs.find(|pair| ["how", "wie"].contains(&pair[0].1.as_str()))?;
    Some(pair[1].1.clone()).filter(|word| DEGREES.contains(&word.as_str()))
}

/// Does a sentence that ends with a question mark tell something, and ask for no answer that stands
/// behind it? "Can you pick up Tom at 5:15?", "Did you know that Rob moved?"
pub fn tells(sentence: &str) -> bool {
    const ASKS_AFTER: [&str; 6] = ["did", "do", "have", "wusstest", "weißt", "hast"];
    const HEARD: [&str; 8] = [
        "know", "hear", "heard", "notice", "see", "remember", "gewusst", "gehört",
    ];
    let words = spoken(sentence);
    let word = |at: usize| words.get(at).map_or("", |(_, word)| word.as_str());
    if QUESTION_WORDS.contains(&word(0)) {
        return false;
    }
    (0..words.len().min(12)).any(|at| {
        let before = at > 0 && QUESTION_WORDS.contains(&word(at - 1));
        let wants = REQUESTING.contains(&word(at)) && YOU.contains(&word(at + 1));
        let news = ASKS_AFTER.contains(&word(at))
            && YOU.contains(&word(at + 1))
            && (HEARD.contains(&word(at + 2)) || word(at) == "wusstest")
            && (at + 2..at + 4).any(|at| ["that", "dass"].contains(&word(at)));
        !before && (wants && words.len() > at + 5 || news)
    })
}

/// Does a question speak of who asks it: "What do I have to do?"
pub fn is_of_asker(question: &str) -> bool {
    const ASKERS: [&str; 21] = [
        "i", "i'm", "i've", "me", "my", "we", "we're", "us", "our", "ich", "mir", "mich", "mein",
        "meine", "wir", "uns", "unser", "unsere", "je", "nous", "yo",
    ];
    let lower = question.to_lowercase().replace('’', "'");
    lower.unicode_words().any(|word| ASKERS.contains(&word))
}

/// Does a question point back to something that was said before it?
///
/// It holds a word that stands for something else, or begins as what goes on does; and names little
/// by itself.
pub fn points_back(question: &str) -> bool {
    const POINTERS: [&str; 30] = [
        "it", "its", "he", "him", "his", "she", "her", "they", "them", "their", "that", "this",
        "those", "these", "there", "one", "same", "er", "ihn", "sie", "es", "dort", "das",
        "dessen", "él", "ella", "ello", "il", "elle", "y",
    ];
    const OPENERS: [&str; 8] = ["and", "but", "also", "und", "aber", "pero", "et", "mais"];
    let lower = question.to_lowercase();
    let words = lower.split_whitespace();
    let words = words.map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let opens = words.first().is_some_and(|word| OPENERS.contains(word));
    let points = words.iter().any(|word| POINTERS.contains(word));
    words.len() <= 12 && (opens || points) || words.len() <= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_and_requests_are_told() {
        assert_eq!(degree("How high is the rent?").as_deref(), Some("high"));
        assert_eq!(degree("Und wie teuer war sie?").as_deref(), Some("teuer"));
        assert_eq!(degree("How do I get there?"), None);
        assert!(tells("Tom, can you pick up Ann at 5:15 on Saturday?"));
        assert!(tells("Aunt Mei comes by train, can you fetch her at 5:35?"));
        assert!(tells("Did you know that Rob moved to Graz?"));
        assert!(!tells("Did you know?") && !tells("Can you swim?"));
        assert!(!tells("How can you open the gate without a key?"));
    }

    #[test]
    fn who_is_asked_for_is_told() {
        let check = |question: &str, expected: bool| {
            assert_eq!(asks_for_person(question), expected, "{question}");
        };
        check("Who serviced the boiler?", true);
        check("who is the actress that plays Penny", true);
        check("With whom did Anna speak?", true);
        check("Do you know who has the key?", true);
        check("Wer hat den Schlüssel?", true);
        check("What is the man called who has the key?", false);
        check("The doctor who treated Anna", false);
        check("When was it serviced, and by whom?", false);
    }

    #[test]
    fn what_points_back_is_told_from_what_stands_alone() {
        assert!(points_back("And when did he do it?"));
        assert!(points_back("Why?"));
        assert!(points_back("What does it cost?"));
        assert!(!points_back("What does the household insurance cost?"));
    }

    #[test]
    fn yes_or_no_is_told_from_the_first_word() {
        let check = |question: &str, expected: bool| {
            assert_eq!(is_polar(question), expected, "{question}");
        };
        check("is the shed locked", true);
        check("Does the boiler need water?", true);
        check("¿Es verde la puerta?", true);
        check("Is it a cat or a dog?", false);
        check("Who is it?", false);
        check("Can it swim?", true);
        check("can opener manual", false);
        check("May 2024 invoices", false);
        check("Ist der Schuppen verschlossen?", true);
        check("Dürfen Hunde in den Garten?", true);
        check("Wird der Müll am Montag abgeholt?", true);
        check("Werden Hunde oder Katzen geduldet?", false);
        check("Wird der Müll abgeholt", false);
        check("Island of the day before", false);
        check("", false);
        check("Isn’t the shed locked?", true);
        check("Do you know who repaired the boiler?", false);
        check("Can you tell me where the key is?", false);
        check("Weißt du, wer den Kessel repariert hat?", false);
        check("Do you know whether the shed is locked?", true);
        check("Did we pay the man who repaired the boiler?", true);
        check("Does she know Oskar?", true);
        check("Can you tell me the alarm code?", false);
        check("Could you give me Anna's number?", false);
        check("Do you know the code?", false);
        check("Kannst du mir den Code sagen?", false);
        check("Can you swim?", true);
        check("Could you compare the two leases?", false);
        check("Would you summarise the meeting on Monday?", false);
        check("Kannst du die Zutaten aufzählen?", false);
        check("Could Anna compare the two leases?", true);
        check("Do you remember that the shed is locked?", true);
        check("Is it true that cats or dogs may enter?", true);
    }

    #[test]
    fn was_asks_for_what_in_german_and_for_a_yes_in_english() {
        let check = |question: &str, german: bool| {
            assert_eq!(asks_what_in_german(question), german, "{question}");
            assert_eq!(is_polar(question), !german, "{question}");
        };
        check("Was kostet der Eintritt?", true);
        check("Was ist der Code?", true);
        check("Was sind Annas Hobbys?", true);
        check("Was brauchen wir für die Suppe?", true);
        check("Was macht Oskar?", true);
        check("was steht auf der Liste", true);
        check("Was hängt im Flur?", true);
        check("Was passiert bei Regen?", true);
        check("Was the shed locked?", false);
        check("Was it green?", false);
        check("Was there a dog?", false);
        check("Was Oskar here?", false);
        check("Was Frau Müller at home?", false);
        check("Was our rent paid?", false);
        check("Was dinner served on time?", false);
        check("Was war declared?", false);
        check("was my passport renewed", false);
    }

    #[test]
    fn what_is_put_around_a_question_is_taken_off() {
        let check = |question: &str, expected: &str| assert_eq!(core(question), expected);
        check("Is it true that the shed is locked?", "the shed is locked?");
        check("Ist es wahr, dass der Hof zu ist?", "der Hof zu ist?");
        check("Do you know who has the key?", "who has the key?");
        check("Can you tell me if it is open?", "it is open?");
        check("Isn't the shed locked?", "the shed locked?");
        check("Is the shed locked?", "Is the shed locked?");
        check("Can you tell me the alarm code?", "the alarm code?");
        check("Könnt ihr mir den Code sagen?", "den Code sagen?");
        check("Wisst ihr den Code?", "den Code?");
        check("Is it true that", "Is it true that");
        check("Do you know", "Do you know");
        check("Isn't", "Isn't");
        check("", "");
    }

    #[test]
    fn how_often_is_asked_by_times_too() {
        assert!(asks_how_often("How often is the chimney swept?"));
        assert!(asks_how_often("How many times a year is it swept?"));
        assert!(!asks_how_often("How many chimneys are there?"));
    }

    #[test]
    fn a_time_is_wanted_only_by_the_word_that_asks() {
        let check = |question: &str, expected: bool| {
            assert_eq!(asks_for_number(question), expected, "{question}");
        };
        check("When does the concert begin?", true);
        check("Since when is it open?", true);
        check("Until when may the novel be kept?", true);
        check("And when did he call?", true);
        check("Do you know when he called?", true);
        check("What happens when the toner is empty?", false);
        check("Who opens the door when Anna is away?", false);
        check("Bis wann ist es offen?", true);
        check("What is done, wann immer es regnet?", false);
        check("At what time does it open?", true);
        check("How many cats are there?", true);
    }
}
