//! Denials: which words of a sentence are denied, clause by clause.
//!
//! "The door is locked, but the window is not." denies nothing about the door. No grammar is read
//! here: a sentence is cut where clauses usually meet, and a denial holds for its own piece and for
//! those that lean on it, such as the rest of a list. Where that cannot be told, more is taken to be
//! denied rather than less: a claim that is not told costs less than one that is wrong.

use unicode_segmentation::UnicodeSegmentation;

use super::context::{content_words, same_word};
use super::figure::{calendar_words, figures, is_calendar_word, numbers};
use super::words::as_read;

/// Does a text deny something?
pub fn is_denial(text: &str) -> bool {
    pieces(text).iter().any(|piece| piece.denies_itself)
}

/// Does a word deny by itself?
pub(super) fn denies(word: &str) -> bool {
    const DENIALS: [&str; 49] = [
        "no",
        "not",
        "never",
        "none",
        "neither",
        "nor",
        "cannot",
        "without",
        "nobody",
        "nothing",
        "nowhere",
        "nicht",
        "nichts",
        "kein",
        "keine",
        "keinen",
        "keinem",
        "keiner",
        "keines",
        "niemand",
        "niemanden",
        "nirgends",
        "weder",
        "nie",
        "niemals",
        "ohne",
        "nein",
        "nunca",
        "ningún",
        "pas",
        "jamais",
        "aucun",
        "aucune",
        "niet",
        "geen",
        "nooit",
        "zonder",
        "não",
        "nenhum",
        "sem",
        "non",
        "nessun",
        "senza",
        "не",
        "нет",
        "никогда",
        "inte",
        "ikke",
        "nem",
    ];
    DENIALS.contains(&word) || word.ends_with("n't")
}

/// Does a lower-case word say, before a "to", that what follows is not done?
pub(super) fn refuses(word: &str) -> bool {
    const REFUSING: [&str; 20] = [
        "refuse",
        "refuses",
        "refused",
        "refusing",
        "decline",
        "declines",
        "declined",
        "declining",
        "fail",
        "fails",
        "failed",
        "failing",
        "neglect",
        "neglected",
        "forget",
        "forgets",
        "forgot",
        "forgotten",
        "unable",
        "unwilling",
    ];
    REFUSING.contains(&word)
}

/// Does the word at a place among the lower-case words of a text deny: by itself, or as in "declined to
/// sign"? Side by side, two denials deny nothing: "never failed to"; nor does it what some may do: "those
/// who decline to sign pay more".
pub(super) fn denies_at(words: &[String], at: usize) -> bool {
    let refuses_at = |at: usize| {
        let refusing = words.get(at).is_some_and(|word| refuses(word));
        // "The rent declined to 800."
        let number = |word: &String| word.starts_with(|c: char| c.is_ascii_digit());
        refusing
            && words.get(at + 1).is_some_and(|word| word == "to")
            && !words.get(at + 2).is_some_and(number)
    };
    let may = |before: &str| {
        let plain =
            ["refuse", "decline", "fail", "neglect", "forget"].contains(&words[at].as_str());
        plain && ["who", "that", "which"].contains(&before)
    };
    if refuses_at(at) {
        at == 0 || !denies(&words[at - 1]) && !may(&words[at - 1])
    } else {
        denies(&words[at]) && !refuses_at(at + 1)
    }
}

/// Does a sentence deny what a question asks, clause by clause?
pub fn is_denied(question: &str, sentence: &str) -> bool {
    let mut words = content_words(question);
    words.retain(|word| !denies(word));
    // "Did we buy oats instead of rye?" denies the rye itself.
    let denied = pieces(question).iter().any(|piece| piece.denies);
    let briefly = !denied && denies_briefly(question, sentence);
    oppose(question, sentence, &words) || briefly
}

/// Does a piece of a sentence deny what a question asks and say nothing else: "but the window is
/// not", "never --force"?
pub(super) fn denies_briefly(question: &str, sentence: &str) -> bool {
    let words = content_words(question);
    let pieces = pieces(sentence);
    pieces
        .iter()
        .any(|piece| piece.denies && piece.is_within(&words))
}

/// Is what a sentence denies something else that the same one does: "Anna forgot to lock the door when
/// she called" denies that she locked it, and not that she called?
pub(super) fn denies_another(question: &str, sentence: &str) -> bool {
    const SAME: [&str; 10] = [
        "it", "he", "she", "they", "we", "i", "er", "es", "wir", "ich",
    ];
    let words = content_words(question);
    let is_asked = |own: &String| words.iter().any(|word| same_word(own, word));
    let pieces = pieces(sentence);
    // "Tom and Lena did not come": whom it is about stands before the word that denies.
    let first = pieces.iter().position(|piece| piece.denies_itself);
    let first = first.unwrap_or(0);
    let is_denied = |(at, piece): (usize, &Piece)| {
        let listed = at < first && !piece.excepts(None);
        piece.denies && !listed && piece.denied_words().iter().any(is_asked)
    };
    // "But the window is not": what it is not stands elsewhere.
    let is_brief = |piece: &Piece| piece.denies_itself && piece.is_within(&words);
    let goes_on = |piece: &Piece| {
        let links = |word: &&String| {
            let word = word.as_str();
            let relative = ["who", "whom", "whose", "which"].contains(&word);
            !relative && (AND.contains(&word) || begins_clause(word))
        };
        let first = piece.all.iter().find(|word| !links(word));
        let same = first.is_some_and(|word| SAME.contains(&word.as_str()) || is_asked(word));
        !piece.denies && same && piece.words.iter().any(is_asked)
    };
    let plain = !is_denial(question) && !pieces.iter().any(is_brief);
    plain && !pieces.iter().enumerate().any(is_denied) && pieces.iter().any(goes_on)
}

/// The clauses of a text, in order, each with what leans on it: what is listed, what is excepted,
/// and what goes on with a pronoun. Another subject with a verb of its own begins another clause.
pub(super) fn clauses(text: &str) -> Vec<String> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for piece in cut(text) {
        match found.last_mut() {
            Some((clause, words)) if !piece.begins_anew(&clause[..], &words[..]) => {
                clause.push_str(&piece.mark);
                clause.push_str(&piece.written);
                words.extend(piece.words);
            }
            _ => found.push((piece.written, piece.words)),
        }
    }
    found.into_iter().map(|(clause, _)| clause).collect()
}

/// Do a claim and a sentence deny each other, as far as `wanted` goes, words of the claim that the
/// sentence is to bear out?
///
/// A claim is opposed when one of its words stands only where the sentence denies; one that denies,
/// when one of its words stands only where the sentence does not.
pub(super) fn oppose(claim: &str, sentence: &str, wanted: &[String]) -> bool {
    let held = pieces(sentence);
    let denied = held.iter().any(|piece| piece.denies);
    let mut claimed = pieces(claim);
    // "No, the door is locked." says of itself that it is a denial.
    let answers_no = claimed.first().is_some_and(Piece::is_bare_no);
    if answers_no && claimed[1..].iter().all(|piece| !piece.denies) {
        claimed.iter_mut().for_each(|piece| piece.denies = true);
    }
    let mut met = false;
    for piece in &claimed {
        let words: Vec<&String> = piece.words.iter().filter(|w| wanted.contains(w)).collect();
        // "The window is not": what it is not stands in the other half of the sentence.
        let stands_in = |other: &Piece, word: &String| {
            let elliptic = other.denies && piece.denies && other.is_within(&piece.words);
            other.has(word) || elliptic
        };
        for word in words {
            let mut places = held
                .iter()
                .filter(|other| stands_in(other, word))
                .peekable();
            met |= places.peek().is_some();
            if places.peek().is_some() && places.all(|other| other.denies != piece.denies) {
                return true;
            }
        }
    }
    !met && denied != claimed.iter().any(|piece| piece.denies)
}

/// A part of a sentence that is denied or not.
#[derive(Debug)]
struct Piece {
    /// It, as it is written.
    written: String,
    /// What stands between the piece before and it.
    mark: String,
    /// Its content words.
    words: Vec<String>,
    /// All its words, lower case.
    all: Vec<String>,
    /// Whether a word of its own denies.
    denies_itself: bool,
    /// Whether it is denied, by itself or by what it leans on.
    denies: bool,
    /// How it hangs together with the piece before.
    link: Link,
}

/// What stands between two pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// Another clause begins.
    Apart,
    /// A comma: another clause, or the next of a list.
    Comma,
    /// "And": the same.
    And,
    /// "That": what is said or thought.
    That,
}

impl Piece {
    fn has(&self, word: &str) -> bool {
        self.words.iter().any(|own| same_word(own, word))
    }

    /// Does it say nothing beyond these words?
    fn is_within(&self, words: &[String]) -> bool {
        let known = |own: &String| words.iter().any(|word| same_word(own, word));
        let mut own = self.words.iter().filter(|word| !denies(word)).peekable();
        own.peek().is_some() && own.all(known)
    }

    /// Its words that are denied: from the word on that denies, or all, where another piece denies them.
    fn denied_words(&self) -> &[String] {
        let at = (0..self.all.len()).find(|at| denies_at(&self.all, *at));
        &self.all[at.filter(|_| self.denies_itself).unwrap_or(0)..]
    }

    fn is_bare_no(&self) -> bool {
        matches!(self.all.as_slice(), [word] if word == "no" || word == "nein")
    }

    fn opens_with(&self, list: &[&str]) -> bool {
        self.all
            .iter()
            .find(|word| !AND.contains(&word.as_str()))
            .is_some_and(|w| list.contains(&w.as_str()))
    }

    /// Does it begin as a clause does that goes on after a comma or an "and"?
    fn opens_clause(&self) -> bool {
        self.opens_with(&SUBJECTS) || self.opens_with(&GO_ON)
    }

    /// Does it except something from what the piece before says: "every day but Wednesday"?
    fn excepts(&self, before: Option<&Self>) -> bool {
        const ALL: [&str; 16] = [
            "every",
            "everyone",
            "everybody",
            "everything",
            "all",
            "any",
            "anyone",
            "always",
            "jeder",
            "jeden",
            "jede",
            "jedes",
            "alle",
            "allen",
            "alles",
            "immer",
        ];
        let of_all = before.is_some_and(|before| {
            let mut last = before.all.iter().rev().take(3);
            last.any(|word| ALL.contains(&word.as_str()))
        });
        let opens = |words: &[&str]| words.iter().zip(&self.all).all(|(a, b)| a == b);
        let but = opens(&["but"]) && !self.mark.contains(',') || opens(&["bis", "auf"]);
        // "Nobody except Paula": that denies Paula nothing.
        let denied = before.is_some_and(|before| before.denies_itself);
        let excepted = self.opens_with(&EXCEPTIONS) || self.sets_aside();
        !denied && !self.all.is_empty() && (excepted || of_all && but)
    }

    /// Does it open with what something else stands in the place of: "instead of rye"?
    fn sets_aside(&self) -> bool {
        matches!(self.all.as_slice(), [first, second, ..] if sets_aside(first, second))
    }

    /// Does another clause begin with it, behind one of these words?
    fn begins_anew(&self, clause: &str, words: &[String]) -> bool {
        if self.opens_with(&EXCEPTIONS) || self.opens_with(&PRONOUNS) || self.sets_aside() {
            return false;
        }
        if self.mark.contains([';', '!', '?']) {
            return true;
        }
        let contrasts = self.opens_with(&CONTRASTS);
        // "On the third day, the boiler was repaired" is one clause.
        let opening = clause.unicode_words().next().unwrap_or("").to_lowercase();
        let opening = opening.as_str();
        let sets_scene = BEFORE_NOUNS.contains(&opening) || begins_clause(opening);
        if self.link == Link::Comma && sets_scene {
            return false;
        }
        if self.link == Link::That || self.link == Link::Apart && !contrasts {
            return false;
        }
        let linking = |word: &str| {
            let word = word.to_lowercase();
            AND.contains(&word.as_str()) || CONTRASTS.contains(&word.as_str())
        };
        let mut own = self.written.unicode_words().skip_while(|w| linking(w));
        let (first, second) = (own.next().unwrap_or(""), own.next().unwrap_or(""));
        // "And is 7 years old" goes on with whom the clause is about.
        let opener = first.to_lowercase();
        let opener = opener.as_str();
        let subject = self.has_verb() && SUBJECTS.contains(&opener);
        // "Anna and Ben sing" is one clause, "Anna sings and Ben paints" is two.
        let is_small = |word: &str| word.starts_with(char::is_lowercase);
        let mut said = clause.unicode_words().skip(1);
        let says = said.any(|word| is_small(word) && !content_words(word).is_empty());
        let named = first.starts_with(char::is_uppercase) && is_small(second);
        let worded = |word: &&String| word.starts_with(char::is_alphabetic);
        let mut own_words = self.words.iter().filter(worded);
        let repeats = own_words.any(|own| words.iter().any(|word| same_word(own, word)));
        subject || repeats || named && (says || contrasts)
    }

    /// Does it lack a subject or a verb that the piece before may have: "and ends in May", "paper on
    /// Thursdays"?
    fn goes_on(&self) -> bool {
        let begins = self.has_verb() || self.opens_with(&SUBJECTS);
        !begins || self.opens_with(&PRONOUNS) || self.opens_with(&GO_ON)
    }

    /// Does it tell its day or month of a thing of its own, and hold none of these words: "paper on
    /// Thursdays", "on Thursdays paper"?
    fn is_of_another(&self, words: &[String]) -> bool {
        // When, how often and how something is done is no thing.
        const OF_TIME: [&str; 34] = [
            "morning",
            "afternoon",
            "evening",
            "night",
            "noon",
            "midnight",
            "week",
            "month",
            "year",
            "early",
            "late",
            "again",
            "only",
            "too",
            "even",
            "once",
            "twice",
            "sometimes",
            "often",
            "always",
            "never",
            "every",
            "each",
            "first",
            "last",
            "next",
            "second",
            "third",
            "closed",
            "open",
            "vormittag",
            "nachmittag",
            "abend",
            "jeden",
        ];
        let is_thing = |word: &str| {
            let lower = word.to_lowercase();
            let plain = word.chars().all(char::is_alphabetic) && !lower.ends_with("ly");
            let of_time = OF_TIME.iter().any(|other| same_word(other, &lower));
            plain && !of_time && !is_calendar_word(word) && !content_words(word).is_empty()
        };
        let leads = |word: &str| {
            let lower = word.to_lowercase();
            let links = [&AND[..], &CONTRASTS, &["the", "our"]];
            links.iter().any(|list| list.contains(&lower.as_str()))
        };
        let own: Vec<&str> = self.written.unicode_words().collect();
        let opening = own.iter().find(|word| !leads(word));
        let mut pairs = own.windows(2);
        let behind = pairs.any(|pair| is_calendar_word(pair[0]) && is_thing(pair[1]));
        let told_of = behind || opening.is_some_and(|word| is_thing(word));
        told_of && !words.iter().any(|word| self.has(word))
    }

    /// The first small word that it says something with, such as "for", what it is about before that, and
    /// what it says behind it.
    fn halves(&self) -> Option<(&str, Vec<String>, Vec<String>)> {
        const SMALL: [&str; 13] = [
            "for", "in", "on", "at", "to", "with", "by", "from", "für", "im", "mit", "von", "zu",
        ];
        let is_small = |word: &String| SMALL.contains(&word.as_str());
        let at = self.all.iter().position(is_small)?;
        let about = content_words(&self.all[..at].join(" "));
        let says = content_words(&self.all[at + 1..].join(" "));
        let is_whole = !about.is_empty() && !says.is_empty();
        is_whole.then_some((self.all[at].as_str(), about, says))
    }

    /// Does it have a verb, as far as that can be seen?
    fn has_verb(&self) -> bool {
        let verb = |word: &String| {
            VERBS.contains(&word.as_str()) || word.len() > 4 && word.ends_with("ed")
        };
        self.all.iter().any(verb)
    }
}

const AND: [&str; 4] = ["and", "und", "et", "y"];

/// Words behind which "that" points at something.
const BEFORE_NOUNS: [&str; 12] = [
    "of", "in", "on", "at", "for", "with", "from", "to", "by", "like", "than", "as",
];

/// Words that except what stands behind them.
const EXCEPTIONS: [&str; 7] = [
    "except",
    "excepting",
    "excluding",
    "außer",
    "ausser",
    "sauf",
    "excepto",
];

/// Words behind which something else is said of another.
const CONTRASTS: [&str; 13] = [
    "but", "while", "whereas", "however", "aber", "sondern", "während", "doch", "pero", "sino",
    "mientras", "mais", "tandis",
];

/// Do two lower-case words set aside what stands behind them: "instead of", "rather than"?
pub(super) fn sets_aside(word: &str, next: &str) -> bool {
    [("instead", "of"), ("rather", "than")].contains(&(word, next))
}

/// Does another clause begin with this lower-case word?
fn begins_clause(word: &str) -> bool {
    [&EXCEPTIONS[..], &CONTRASTS, &CONJUNCTIONS]
        .iter()
        .any(|list| list.contains(&word))
}

/// Other words with which another clause begins.
const CONJUNCTIONS: [&str; 24] = [
    "although", "though", "because", "until", "unless", "which", "who", "whom", "whose", "where",
    "when", "after", "before", "without", "obwohl", "weil", "bis", "wenn", "nachdem", "bevor",
    "ohne", "aunque", "sans", "quoique",
];

/// Words with which a clause begins that says what it is about.
const SUBJECTS: [&str; 31] = [
    "the", "a", "an", "this", "that", "these", "those", "it", "he", "she", "they", "we", "i",
    "you", "there", "his", "her", "its", "their", "our", "my", "der", "die", "das", "ein", "eine",
    "er", "sie", "es", "wir", "ich",
];

/// Words with which a clause goes on about the same.
const GO_ON: [&str; 21] = [
    "is", "are", "was", "were", "has", "have", "had", "will", "can", "could", "did", "does",
    "instead", "then", "ist", "sind", "war", "waren", "hat", "haben", "wird",
];

const VERBS: [&str; 40] = [
    "is", "are", "was", "were", "has", "have", "had", "do", "does", "did", "will", "would", "can",
    "could", "must", "should", "may", "might", "it", "he", "she", "they", "we", "became", "made",
    "went", "came", "took", "began", "ist", "sind", "war", "waren", "hat", "haben", "hatte",
    "wird", "wurde", "kann", "muss",
];

/// Two words of which the first would be a denial alone.
const NO_DENIALS: [(&str, &str); 8] = [
    ("not", "only"),
    ("not", "just"),
    ("not", "least"),
    ("not", "merely"),
    ("or", "not"),
    ("no", "doubt"),
    ("nicht", "nur"),
    ("nicht", "zuletzt"),
];

/// Pieces of a text, in order, each with whether it is denied.
fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = cut(text);
    for at in 0..pieces.len() {
        let excepts = pieces[at].excepts(at.checked_sub(1).map(|before| &pieces[before]));
        pieces[at].denies |= excepts;
    }
    for at in 0..pieces.len() {
        // Forward: "no lock, bolt or chain", "not locked and bolted".
        let leans = match pieces[at].link {
            Link::Apart => false,
            // "Instead of rye, Tom bought oats."
            Link::Comma if at == 1 && pieces[0].sets_aside() => false,
            Link::Comma => pieces[at].all.len() <= 3 && !pieces[at].opens_clause(),
            Link::And => !pieces[at].opens_clause(),
            // "I do not think that it is locked."
            Link::That => true,
        };
        let before = at
            .checked_sub(1)
            .filter(|before| leans && !pieces[*before].is_bare_no());
        if before.is_some_and(|before| pieces[before].denies) {
            pieces[at].denies = true;
        }
    }
    for at in (1..pieces.len()).rev() {
        // Backward: "Anna, Ben and Clara do not come"; but "In May, they did not come".
        let before = &pieces[at - 1];
        let leans = match pieces[at].link {
            Link::Apart | Link::That => false,
            Link::Comma => !pieces[at].denies_itself && before.all.len() <= 3 && !before.has_verb(),
            Link::And => !before.has_verb(),
        };
        if leans && pieces[at].denies && !before.is_bare_no() {
            pieces[at - 1].denies = true;
        }
    }
    pieces
}

/// Is a number of a sentence said of something else than these words speak of? So it is where
/// another clause, with a figure of its own, holds more of them than the clause with the number: in
/// "The rent is 840 euros and the deposit is 2520 euros", 840 is no deposit. A clause without a verb
/// or with a pronoun for its subject speaks of what was named before.
pub(super) fn is_said_of_another(number: &str, words: &[String], sentence: &str) -> bool {
    let figures_of = |piece: &Piece| numbers(&piece.all.join(" "));
    let pieces = cut(sentence);
    let counted = pieces.iter().map(|piece| (piece, figures_of(piece)));
    let (own, others): (Vec<_>, Vec<_>) = counted
        .filter(|(_, figures)| !figures.is_empty())
        .partition(|(_, figures)| figures.contains(number));
    let held = |piece: &Piece| words.iter().filter(|word| piece.has(word)).count();
    let [(own, _)] = own.as_slice() else {
        return false;
    };
    own.has_verb()
        && !own.opens_with(&PRONOUNS)
        && others.iter().any(|(other, _)| held(other) > held(own))
}

/// Is a number of a question one of something else: 9:30 of the end, where it asks for what starts in "The
/// standup starts at 9:15 and ends at 9:30"? So it is where the piece with that number names a thing of
/// its own and holds no word of the question, and another one with a number does.
pub(super) fn is_numbered_otherwise(question: &str, sentence: &str) -> bool {
    let asked = numbers(question);
    let mut words = content_words(question);
    // What it is counted in, other numbers of the sentence are counted in, too.
    let units: Vec<String> = figures(question)
        .into_iter()
        .filter_map(|figure| figure.unit)
        .collect();
    words.retain(|word| numbers(word).is_empty() && !units.contains(word));
    let pieces = cut(sentence);
    let numbered = pieces.iter().map(|piece| (piece, numbers(&piece.written)));
    let numbered: Vec<_> = numbered.filter(|(_, held)| !held.is_empty()).collect();
    asked.iter().any(|number| {
        let (own, others): (Vec<_>, Vec<_>) =
            numbered.iter().partition(|(_, held)| held.contains(number));
        let of_another = own.iter().all(|(piece, _)| piece.is_of_another(&words));
        let has = |piece: &Piece| words.iter().any(|word| piece.has(word));
        !own.is_empty() && of_another && others.iter().any(|(piece, _)| has(piece))
    })
}

/// Does a question put together what two parts of a sentence tell of two things: the blue bin and plastic of
/// "The blue bin is for paper, the yellow one for plastic"? Both say something with the same small word, and
/// the question holds what one of them is about, and what the other says of its own.
pub(super) fn is_crossed(question: &str, sentence: &str) -> bool {
    let words = content_words(question);
    // "Die" is a small word in German.
    let all: Vec<String> = question.unicode_words().map(str::to_lowercase).collect();
    let pieces = cut(sentence);
    let holds = |part: &[String], other: &Piece| {
        let in_part = |word: &String| part.iter().any(|own| same_word(own, word));
        words.iter().any(|word| in_part(word) && !other.has(word))
    };
    let crossed = |before: &Piece, next: &Piece| {
        let (Some((small, _, said)), Some((other, about, says))) = (before.halves(), next.halves())
        else {
            return false;
        };
        let is_asked = |own: &String| all.iter().any(|word| same_word(own, word));
        let of_next = holds(&says, before) && !about.iter().any(is_asked);
        let of_before = holds(&about, before) && holds(&said, next);
        small == other && (of_next || of_before)
    };
    (1..pieces.len()).any(|at| {
        let next = &pieces[at];
        let goes_on = matches!(next.link, Link::Comma | Link::And);
        goes_on && pieces[..at].iter().any(|before| crossed(before, next))
    })
}

/// Is a month or a day of the week of a question told of something else than what it asks about? So it
/// is where another piece, with one of its own, holds a word of the question that the piece with that
/// one does not: in "Trash is collected on Mondays, paper on Thursdays", Monday is not of paper. What
/// was said before goes on in a piece that leaves out its verb or its subject: Thursday is of paper, and
/// not of trash.
pub(super) fn is_dated_otherwise(question: &str, sentence: &str) -> bool {
    let asked = calendar_words(question);
    let mut words = content_words(question);
    words.retain(|word| !asked.iter().any(|(date, _)| date == word));
    let pieces = cut(sentence);
    let dated = pieces.iter().map(|piece| {
        let dates = calendar_words(&piece.written).into_iter();
        (piece, dates.map(|(_, key)| key).collect::<Vec<String>>())
    });
    let dated: Vec<(&Piece, Vec<String>)> = dated.collect();
    asked.iter().any(|(_, key)| {
        let own: Vec<&Piece> = dated
            .iter()
            .filter(|(_, keys)| keys.contains(key))
            .map(|(piece, _)| *piece)
            .collect();
        let is_held = |word: &String| own.iter().any(|piece| piece.has(word));
        let last = dated.iter().rposition(|(_, keys)| keys.contains(key));
        let goes_on = own.iter().any(|piece| piece.goes_on());
        let is_other = |(at, (piece, keys)): (usize, &(&Piece, Vec<String>))| {
            let is_asked = |own: &String| asked.iter().any(|(_, key)| key == own);
            let another = |own: &String| !is_asked(own) && own[..1] == key[..1];
            let has = |held: bool| {
                let mut words = words.iter().filter(|word| is_held(word) == held);
                words.any(|word| piece.has(word))
            };
            let apart = !goes_on || Some(at) > last || has(true);
            !keys.contains(key) && keys.iter().any(another) && has(false) && apart
        };
        let is_apart = |(piece, keys): &(&Piece, Vec<String>)| {
            let another = keys.iter().any(|own| own[..1] == key[..1]);
            another && !keys.contains(key) && words.iter().any(|word| piece.has(word))
        };
        if !own.is_empty() && own.iter().all(|piece| piece.is_of_another(&words)) {
            return dated.iter().any(is_apart);
        }
        // "In May and June, the pool is open" tells it of both.
        words.iter().any(is_held) && dated.iter().enumerate().any(is_other)
    })
}

/// Words that stand for a subject that was named before.
const PRONOUNS: [&str; 12] = [
    "it", "he", "she", "they", "this", "that", "which", "who", "er", "sie", "es", "ihr",
];

fn cut(text: &str) -> Vec<Piece> {
    let text = as_read(text).replace('’', "'");
    let mut found: Vec<Piece> = Vec::new();
    let mut begun: Option<(usize, Link, &str)> = None;
    let (mut end, mut last) = (0, "");
    let mut words = text.unicode_word_indices().peekable();
    while let Some((at, word)) = words.next() {
        let lower = word.to_lowercase();
        let next = words.peek().map_or("", |(_, next)| *next);
        let between = &text[end..at];
        let digit = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
        // "At 9:30" is one time.
        let is_time = between == ":" && digit(last) && digit(word);
        let counts = is_time || is_number_sign(last, &lower);
        let link = if counts {
            None
        } else if between.contains([';', ':', '(', ')', '–', '—', '.', '!', '?'])
            || begins_clause(&lower)
            || sets_aside(&lower, next)
        {
            Some(Link::Apart)
        } else if between.contains(',') {
            Some(Link::Comma)
        } else if ["that", "dass"].contains(&lower.as_str()) && !BEFORE_NOUNS.contains(&last) {
            Some(Link::That)
        } else {
            AND.contains(&lower.as_str()).then_some(Link::And)
        };
        match (begun, link) {
            (None, _) => begun = Some((at, Link::Apart, "")),
            (Some((start, before, mark)), Some(link)) => {
                found.push(piece(&text[start..end], before, mark));
                begun = Some((at, link, between));
            }
            (Some(_), None) => {}
        }
        end = at + word.len();
        last = word;
    }
    if let Some((start, link, mark)) = begun {
        found.push(piece(&text[start..end], link, mark));
    }
    found
}

/// "No. 5" counts, and denies nothing.
fn is_number_sign(word: &str, next: &str) -> bool {
    word.eq_ignore_ascii_case("no") && next.starts_with(|c: char| c.is_ascii_digit())
}

fn piece(text: &str, link: Link, mark: &str) -> Piece {
    let words: Vec<(usize, &str)> = text.unicode_word_indices().collect();
    let all: Vec<String> = words.iter().map(|(_, word)| word.to_lowercase()).collect();
    let pair = |at: usize| {
        let pair = all.get(at).zip(all.get(at + 1));
        pair.is_some_and(|(a, b)| NO_DENIALS.contains(&(a.as_str(), b.as_str())))
    };
    let in_phrase = |at: usize| pair(at) || at > 0 && pair(at - 1);
    // "Not-for-profit" is a word.
    let begins_more = |at: usize| {
        let (start, word) = words[at];
        let next = all.get(at + 1);
        text[start + word.len()..].starts_with('-')
            || next.is_some_and(|next| is_number_sign(word, next))
    };
    let denies_itself =
        (0..all.len()).any(|at| denies_at(&all, at) && !in_phrase(at) && !begins_more(at));
    Piece {
        written: text.to_owned(),
        mark: mark.to_owned(),
        words: content_words(text),
        all,
        denies_itself,
        denies: denies_itself,
        link,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denials_are_told_from_their_words() {
        let check = |text: &str, expected: bool| assert_eq!(is_denial(text), expected, "{text}");
        check("The shed isn’t locked.", true);
        check("Es gibt kein Schloss.", true);
        check("In keinem Zimmer ist ein Schloss.", true);
        check("Niemand hat den Schlüssel.", true);
        check("He left without a key.", true);
        check("It is not only green but red.", false);
        check("Nicht nur der Hof ist zu.", false);
        check("There is no doubt that it is green.", false);
        check("It is green.", false);
        check("It is a not-for-profit club at No. 5.", false);
        check("Nothing is locked.", true);
        check("Es gibt k\u{ad}ein Schloss.", true);
        check("Anna declined to sign.", true);
        check("Anna is unable to come.", true);
        check("The rent declined.", false);
        check("The rent declined to 800 euros.", false);
        check("She never failed to call.", false);
        check("Those who decline to sign pay more.", false);
        check("They refuse to sign.", true);
        check("Don't forget to call.", false);
    }

    #[test]
    fn a_denial_holds_for_its_clause() {
        let check = |claim: &str, sentence: &str, expected: bool| {
            let wanted: Vec<String> = content_words(claim);
            let wanted: Vec<String> = wanted.into_iter().filter(|w| !denies(w)).collect();
            assert_eq!(
                oppose(claim, sentence, &wanted),
                expected,
                "{claim} / {sentence}"
            );
        };
        let window = "The door is locked, but the window is not.";
        check("The door is locked.", window, false);
        check("The window is locked.", window, true);
        check("The window is not locked.", window, false);
        check("The door is not locked.", window, true);
        check(window, window, false);
        check(
            "The shed has a Burg lock.",
            "The shed does not have a Burg lock.",
            true,
        );
        check(
            "The caretaker is Oskar.",
            "The caretaker is not Oskar but Dragan.",
            true,
        );
        check("Dragan", "The caretaker is not Oskar but Dragan.", false);
        check("Dragan", "Dragan, not Oskar, is the caretaker.", false);
        check("Oskar", "Dragan, not Oskar, is the caretaker.", true);
        check("a bolt", "The shed has no lock, bolt or chain.", true);
        check("a chain", "The shed has no lock, bolt or chain.", true);
        check("Anna eats fish.", "Anna and Ben do not eat fish.", true);
        check(
            "Anna does not eat fish.",
            "Anna, Ben and Clara do not eat fish.",
            false,
        );
        check("1999", "It was not sold until 1999.", false);
        check(
            "The window is open.",
            "The door is not locked and the window is open.",
            false,
        );
        check("Oskar left.", "Oskar left without his key.", false);
        check(
            "The boiler runs without water.",
            "The boiler runs without water.",
            false,
        );
        check(
            "The boiler runs without water.",
            "The boiler never runs without water.",
            true,
        );
        check("No, the door is locked.", "The door is locked.", true);
        check(
            "No, the door isn't locked.",
            "The door is not locked.",
            false,
        );
        check("in Graz", "He was born in Graz and was not married.", false);
        check("in May", "In May, Anna did not come.", false);
        check(
            "article 106",
            "Articles 106 and 107 say that it must not be shut.",
            false,
        );
        check(
            "The door is locked.",
            "I do not think that the door is locked.",
            true,
        );
        check("The key is here.", "Nothing was found.", true);
    }

    #[test]
    fn what_is_refused_or_set_aside_is_denied() {
        let check = |claim: &str, sentence: &str, expected: bool| {
            let wanted = content_words(claim);
            assert_eq!(
                oppose(claim, sentence, &wanted),
                expected,
                "{claim} / {sentence}"
            );
        };
        let lease = "Anna declined to sign the lease, but Tom signed it.";
        check("Anna signed the lease.", lease, true);
        check("Anna did not sign the lease.", lease, false);
        check("Tom signed it.", lease, false);
        let flour = "We bought oats instead of rye.";
        check("We bought rye.", flour, true);
        check("We bought oats.", flour, false);
        check(
            "Tom bought oats.",
            "Rather than rye, Tom bought oats.",
            false,
        );
        check("Instead, Tom bought oats.", "Tom bought oats.", false);
    }

    #[test]
    fn clauses_keep_what_leans_on_them() {
        let check = |text: &str, expected: &[&str]| assert_eq!(clauses(text), expected, "{text}");
        check(
            "Tom owns the data migration; Lena owns the website.",
            &["Tom owns the data migration", "Lena owns the website"],
        );
        check(
            "Tom owns the data migration and Lena owns the website.",
            &["Tom owns the data migration", "and Lena owns the website"],
        );
        check(
            "The rent is 840 euros and the deposit is 2520 euros.",
            &["The rent is 840 euros", "and the deposit is 2520 euros"],
        );
        check(
            "Anna, Ben and Clara repair old bikes.",
            &["Anna, Ben and Clara repair old bikes"],
        );
        check(
            "The shop is open every day but Wednesday, until 8.",
            &["The shop is open every day but Wednesday, until 8"],
        );
        check(
            "Anna lives upstairs, and she repairs bikes.",
            &["Anna lives upstairs, and she repairs bikes"],
        );
        let third = "On the third day, the boiler was repaired";
        check(third, &[third]);
        let standup = "The standup starts at 9:15";
        check(standup, &[standup]);
        check("", &[]);
    }

    #[test]
    fn what_else_one_does_is_not_denied_with_it() {
        let check = |question: &str, sentence: &str, expected: bool| {
            let told = denies_another(question, sentence);
            assert_eq!(told, expected, "{question} / {sentence}");
        };
        let forgot = "Anna forgot to lock the door when she called.";
        check("Did Anna call?", forgot, true);
        check("Did Anna lock the door?", forgot, false);
        let locked = "Anna did not lock the door when she called.";
        check("Did Anna call?", locked, true);
        check("Did Anna lock the door?", locked, false);
        let window = "The window is not locked, but open.";
        check("Is the window open?", window, true);
        check("Is the window locked?", window, false);
        let ben = "Anna did not, but Ben called.";
        check("Did Anna call?", ben, false);
        check("Did Anna call?", "Anna did not tell Ben who called.", false);
        check("Did Anna call?", "Anna and Ben did not call.", false);
        let ill = "Tom and Lena did not come to the party because they were ill.";
        check("Were Tom and Lena ill?", ill, true);
        check("Did Tom and Lena come to the party?", ill, false);
        let brief = "It is locked, but the window is not.";
        check("Is the window locked?", brief, false);
    }

    #[test]
    fn what_two_things_are_told_is_not_put_together() {
        let check = |question: &str, sentence: &str, expected: bool| {
            let told = is_crossed(question, sentence);
            assert_eq!(told, expected, "{question} / {sentence}");
        };
        let bins = "The blue bin is for paper, the yellow one for plastic.";
        check("Is the blue bin for plastic?", bins, true);
        check("Is the yellow bin for paper?", bins, true);
        check("Is the blue bin for paper?", bins, false);
        check("Is the yellow bin for plastic?", bins, false);
        let town = "Anna was born in Graz, studied in Linz and died in Vienna.";
        check("Was Anna born in Vienna?", town, true);
        check("Did Anna die in Vienna?", town, false);
        let ferry = "Dogs are allowed on the ferry and on the bus.";
        check("Are dogs allowed on the bus?", ferry, false);
        let shop = "We bought the lamp in May, and the chair in June.";
        check("Did we buy the lamp?", shop, false);
        check("Did we buy the chair?", shop, false);
        check("Did we buy the chair in May?", shop, true);
    }

    #[test]
    fn what_is_excepted_is_denied() {
        let check = |question: &str, sentence: &str, expected: bool| {
            let told = is_denied(question, sentence);
            assert_eq!(told, expected, "{question} / {sentence}");
        };
        let shop = "The shop is open every day but Wednesday.";
        check("Is the shop open on Wednesday?", shop, true);
        check("Is the shop open?", shop, false);
        let paula = "Everyone except Paula came.";
        check("Did Paula come?", paula, true);
        check("Did Paula come?", "Nobody except Paula came.", false);
        let german = "Alle außer Paula kamen.";
        check("Kam Paula?", german, true);
        let cats = "Weder Hunde noch Katzen dürfen in den Garten.";
        check("Dürfen Hunde in den Garten?", cats, true);
        check("Is the door old?", "The door is old but solid.", false);
        let push = "Push with --force-with-lease, never --force.";
        check("Do we push with --force?", push, true);
    }

    #[test]
    fn questions_are_denied_clause_by_clause() {
        let check = |question: &str, sentence: &str, expected: bool| {
            assert_eq!(
                is_denied(question, sentence),
                expected,
                "{question} / {sentence}"
            );
        };
        let window = "The door is locked, but the window is not.";
        check("Is the door locked?", window, false);
        check("Is the window locked?", window, true);
        check("the shed locked?", "The shed is locked.", false);
        check("the shed is not locked?", "The shed is locked.", true);
        check("the shed is not locked?", "The shed is not locked.", false);
        check(
            "Is the cellar door locked?",
            "The cellar door is not locked.",
            true,
        );
    }
}
