//! What leaves a yes or a no open: a sentence that asks, plans or supposes, that tells of some where
//! all are asked about, of what was changed or has ended, or of others.

use unicode_segmentation::UnicodeSegmentation;

use super::numbers::is_clock;
use super::{hold_any, lower};
use crate::domain::context::{content_words, same_word, tells_frequency};
use crate::domain::figure::{figures, is_calendar_word, same_unit};
use crate::domain::sentence::lines::{is_item, task_state};
use crate::domain::sentence::{is_capital, unmarked};

/// "- [ ] renew the passport", "## TODO Renew the passport": what is not done yet.
pub(in crate::domain) fn is_open_task(sentence: &str) -> bool {
    let item = sentence.trim_start_matches(|c: char| c.is_ascii_digit() || "-*+.) ".contains(c));
    let of_org = task_state(sentence).is_some_and(|state| state != "DONE");
    item.starts_with("[ ]") || item.starts_with('☐') || of_org
}

/// Is a sentence an item under a heading of things to do (`about`), and not marked as done? "Pavel: tell
/// the depot" under "Actions" tells of nobody who was told.
pub(super) fn is_to_do(sentence: &str, about: &str) -> bool {
    const TASKS: [&str; 5] = ["todo", "todos", "actions", "tasks", "aufgaben"];
    const PAIRS: [[&str; 2]; 3] = [["to", "do"], ["next", "steps"], ["action", "items"]];
    let above = lower(about);
    let pair = |pair: &[String]| PAIRS.iter().any(|words| pair == words.as_slice());
    let is_listed = hold_any(&above, &TASKS) || above.windows(2).any(pair);
    let item = sentence.trim_start_matches(|c: char| c.is_ascii_digit() || "-*+.) ".contains(c));
    let is_done = item.starts_with(['☑', '☒', '✓', '✔', '~'])
        || item.to_lowercase().starts_with("[x]")
        || task_state(sentence) == Some("DONE");
    is_listed && !is_done && is_item(sentence)
}

/// Does a sentence state anything? One that asks, or says what would be if, does not, nor what somebody
/// doubts.
pub(super) fn states(sentence: &str) -> bool {
    const OPEN: [&str; 19] = [
        "if",
        "whether",
        "unless",
        "maybe",
        "perhaps",
        "suppose",
        "supposing",
        "wenn",
        "falls",
        "ob",
        "sofern",
        "vielleicht",
        "si",
        "quizás",
        "peut-être",
        "doubts",
        "doubted",
        "bezweifelt",
        "bezweifeln",
    ];
    let asks = unmarked(sentence.trim_end()).ends_with(['?', '？', '؟']);
    !asks && !hold_any(&lower(sentence), &OPEN)
}

/// Does a sentence tell what somebody only claims, where the question does not ask about that: "Anna claims
/// that the hut is heated"? The insurance claims that were paid are none.
pub(super) fn is_claimed(question: &str, sentence: &str) -> bool {
    const CLAIMS: [&str; 5] = ["claims", "claimed", "alleges", "alleged", "behauptet"];
    const BEGINNINGS: [&str; 3] = ["claim", "alleg", "behaupt"];
    let asks_about = |word: &String| BEGINNINGS.iter().any(|begin| word.starts_with(begin));
    let says_so = |pair: &[String]| {
        CLAIMS.contains(&pair[0].as_str()) && ["that", "dass"].contains(&pair[1].as_str())
    };
    // "The claims that were paid": what follows has its verb right there.
    let verbs = ["was", "were", "is", "are"];
    let words = lower(sentence);
    let mut claims = words.windows(3).filter(|words| says_so(&words[..2]));
    claims.any(|words| !hold_any(&words[2..], &verbs)) && !lower(question).iter().any(asks_about)
}

/// Does a sentence tell of some where the question asks about all?
pub(super) fn counts_some(question: &str, sentence: &str) -> bool {
    const ALL: [&str; 16] = [
        "all",
        "every",
        "each",
        "everyone",
        "everybody",
        "everything",
        "always",
        "alle",
        "allen",
        "jeder",
        "jede",
        "jedes",
        "immer",
        "todos",
        "todas",
        "tous",
    ];
    const SOME: [&str; 23] = [
        "most",
        "mostly",
        "some",
        "many",
        "several",
        "few",
        "half",
        "almost",
        "nearly",
        "usually",
        "often",
        "sometimes",
        "part",
        "partly",
        "percent",
        "meisten",
        "manche",
        "einige",
        "viele",
        "fast",
        "meistens",
        "oft",
        "manchmal",
    ];
    let (asked, said) = (lower(question), lower(sentence));
    let some = hold_any(&said, &SOME) || sentence.contains('%');
    hold_any(&asked, &ALL) && some && !hold_any(&said, &ALL) && !hold_any(&asked, &SOME)
}

/// Does a sentence set one thing against another, or today against the past? Words do not tell on
/// which side what is asked stands.
pub(super) fn contrasts(question: &str, sentence: &str) -> bool {
    const WORDS: [&str; 11] = [
        "whereas",
        "unlike",
        "except",
        "excepting",
        "besides",
        "formerly",
        "ausser",
        "außer",
        "abgesehen",
        "statt",
        "anstatt",
    ];
    const PAIRS: [[&str; 2]; 7] = [
        ["apart", "from"],
        ["aside", "from"],
        ["other", "than"],
        ["instead", "of"],
        ["rather", "than"],
        ["that", "of"],
        ["those", "of"],
    ];
    const OF_THE_PAST: [&str; 4] = ["did", "was", "were", "used"];
    const BEFORE_USED: [&str; 7] = ["is", "are", "be", "was", "were", "get", "got"];
    let (asked, said) = (lower(question), lower(sentence));
    let is = |words: &[String], word: &str| words.iter().any(|own| own == word);
    let word = WORDS
        .iter()
        .any(|word| is(&said, word) && !is(&asked, word));
    let joined = said.windows(2).any(|pair| {
        let same = |words: &[&str; 2]| pair.iter().zip(words).all(|(a, b)| a == b);
        PAIRS.iter().any(same) && !is(&asked, &pair[0])
    });
    let was = said.windows(2).enumerate().any(|(at, pair)| {
        let before = at.checked_sub(1).map_or("", |at| said[at].as_str());
        pair[0] == "used" && pair[1] == "to" && !BEFORE_USED.contains(&before)
    });
    word || joined || was && !hold_any(&asked, &OF_THE_PAST)
}

/// Does a sentence say of another what a question asks of a name with the same small word, and something else
/// of that name: "We cancel the order with Meyer and buy the pump from Kraft", where it asks who buys from
/// Meyer?
pub(super) fn swaps(question: &str, sentence: &str) -> bool {
    const SMALL: [&str; 14] = [
        "for", "in", "on", "at", "to", "with", "by", "from", "für", "bei", "aus", "mit", "von",
        "zu",
    ];
    let named = |text: &str| -> Vec<(String, String)> {
        let words: Vec<&str> = text.unicode_words().collect();
        let pairs = words.windows(2);
        let pairs = pairs.map(|pair| (pair[0].to_lowercase(), pair[1]));
        pairs
            .filter(|(small, name)| {
                SMALL.contains(&small.as_str()) && is_capital(name) && !is_calendar_word(name)
            })
            .map(|(small, name)| (small, name.to_lowercase()))
            .collect()
    };
    let held = named(sentence);
    named(question).iter().any(|(small, name)| {
        let (same, others): (Vec<_>, Vec<_>) = held.iter().partition(|(own, _)| own == small);
        let is_name = |(_, own): &&(String, String)| own == name;
        !same.is_empty() && !same.iter().any(is_name) && others.iter().any(is_name)
    })
}

/// Does a sentence tell how often something is by another length of time than the question: once a month,
/// where it asks whether every day?
pub(super) fn is_of_another_rate(question: &str, sentence: &str) -> bool {
    const LENGTHS: [&str; 5] = ["hour", "day", "week", "month", "year"];
    let lengths = |text: &str| -> Vec<&'static str> {
        let words = lower(text);
        let is_told = |length: &&str| words.iter().any(|word| same_unit(word, length));
        LENGTHS.into_iter().filter(is_told).collect()
    };
    let (asked, told) = (lengths(question), lengths(sentence));
    let rates = tells_frequency(question) && tells_frequency(sentence);
    rates && !asked.is_empty() && !told.is_empty() && !asked.iter().any(|own| told.contains(own))
}

/// "The meeting was moved from Tuesday to Thursday": is it asked of what was so before?
pub(super) fn was_changed(question: &str, sentence: &str) -> bool {
    const CHANGED: [&str; 21] = [
        "moved",
        "changed",
        "switched",
        "shifted",
        "postponed",
        "rescheduled",
        "renamed",
        "raised",
        "lowered",
        "rose",
        "risen",
        "fell",
        "fallen",
        "grew",
        "increased",
        "reduced",
        "verlegt",
        "verschoben",
        "geändert",
        "gestiegen",
        "gesunken",
    ];
    const FROM: [&str; 3] = ["from", "von", "vom"];
    const TO: [&str; 4] = ["to", "auf", "zu", "nach"];
    let (asked, said) = (lower(question), lower(sentence));
    let from = said.iter().position(|word| FROM.contains(&word.as_str()));
    let behind: &[String] = from.map_or(&[], |from| &said[from + 1..]);
    let was = behind.iter().find(|word| !content_words(word).is_empty());
    let is_asked = was.is_some_and(|word| asked.contains(word)) && hold_any(behind, &TO);
    let of_change = |word: &String| CHANGED.iter().any(|change| same_word(word, change));
    is_asked && hold_any(&said, &CHANGED) && !asked.iter().any(of_change)
}

/// Does a sentence say that something is so no more, where the question asks whether it was? "Tom no
/// longer works here" does not deny that he did.
pub(super) fn has_ended(question: &str, sentence: &str) -> bool {
    const OF_THE_PAST: [&str; 7] = ["did", "was", "were", "had", "used", "war", "waren"];
    const NO_MORE: [[&str; 2]; 4] = [
        ["no", "longer"],
        ["any", "longer"],
        ["any", "more"],
        ["nicht", "mehr"],
    ];
    let said = lower(sentence);
    let ends = said.windows(2).enumerate().any(|(at, pair)| {
        let is = NO_MORE.iter().any(|words| pair == words.as_slice());
        // "No longer than two hours."
        let measures = said
            .get(at + 2)
            .is_some_and(|word| ["than", "als"].contains(&word.as_str()));
        is && !measures
    });
    let ends = ends || said.iter().any(|word| word == "anymore");
    ends && hold_any(&lower(question), &OF_THE_PAST)
}

/// Is it asked whether something is still so, where a sentence tells what may have ended it?
pub(super) fn may_have_ended(question: &str, sentence: &str) -> bool {
    const STILL: [&str; 2] = ["still", "noch"];
    const ENDED: [&str; 29] = [
        "replaced",
        "cancelled",
        "canceled",
        "sold",
        "removed",
        "stopped",
        "ended",
        "left",
        "moved",
        "died",
        "stolen",
        "lost",
        "broke",
        "broken",
        "thrown",
        "gave",
        "given",
        "returned",
        "closed",
        "quit",
        "finished",
        "expired",
        "resigned",
        "retired",
        "ersetzt",
        "gekündigt",
        "verkauft",
        "verloren",
        "beendet",
    ];
    let (asked, said) = (lower(question), lower(sentence));
    hold_any(&asked, &STILL) && hold_any(&said, &ENDED) && !hold_any(&asked, &ENDED)
}

/// Words behind which stands all that something is said of.
const ONLY: [&str; 6] = [
    "only",
    "solely",
    "nur",
    "ausschließlich",
    "seulement",
    "solo",
];

/// "Only managers may": what others may, or when, it does not say. Of all whom it names it says that they
/// may; what it lacks of a question (`is_whole` says whether it holds all) may be what it excludes.
pub(super) fn excludes_others(question: &str, clause: &str, is_whole: bool) -> bool {
    let (asked, said) = (lower(question), lower(clause));
    if hold_any(&asked, &ONLY) {
        return false;
    }
    match said.first() {
        Some(first) if ONLY.contains(&first.as_str()) => {
            !is_whole || !names_allowed(&asked, clause)
        }
        _ => !is_whole && hold_any(&said, &ONLY),
    }
}

/// Does a question hold one of those that a clause names behind its first word, "only", and before its
/// verb? "Only senior managers may" tells nothing of managers.
fn names_allowed(asked: &[String], clause: &str) -> bool {
    const VERBS: [&str; 22] = [
        "may", "can", "could", "is", "are", "was", "were", "has", "have", "had", "do", "does",
        "did", "will", "must", "should", "darf", "dürfen", "kann", "können", "ist", "sind",
    ];
    const LISTS: [&str; 4] = ["and", "or", "und", "oder"];
    let mut named = vec![Vec::new()];
    'clause: for part in clause.split(',') {
        for word in lower(part) {
            if VERBS.contains(&word.as_str()) {
                break 'clause;
            }
            if LISTS.contains(&word.as_str()) {
                named.push(Vec::new());
            } else if let Some(last) = named.last_mut() {
                last.push(word);
            }
        }
        named.push(Vec::new());
    }
    let is_asked = |word: &String| asked.iter().any(|own| same_word(own, word));
    named.iter().any(|words| {
        let words = content_words(&words.join(" ")).into_iter();
        let mut words = words
            .filter(|word| !ONLY.contains(&word.as_str()))
            .peekable();
        words.peek().is_some() && words.all(|word| is_asked(&word))
    })
}

/// Does a clause say what may, should or will be, where the question does not ask for that?
pub(super) fn plans(question: &str, clause: &str) -> bool {
    const FIRM: [&str; 26] = [
        "will", "should", "must", "shall", "plan", "plans", "planned", "planning", "want", "wants",
        "wanted", "intend", "intends", "hope", "hopes", "hoped", "todo", "soll", "sollen",
        "sollte", "sollten", "muss", "müssen", "wollen", "planen", "geplant",
    ];
    const WEAK: [&str; 14] = [
        "could", "would", "might", "idea", "maybe", "perhaps", "könnte", "könnten", "würde",
        "würden", "möchte", "möchten", "idee", "wollte",
    ];
    const BEFORE_TO: [&str; 13] = [
        "going", "need", "needs", "needed", "have", "has", "ought", "about", "required", "obliged",
        "supposed", "yet", "remains",
    ];
    let asked = lower(question);
    let said = lower(clause);
    let is = |list: &[&str], word: &String| list.contains(&word.as_str());
    let known = |word: &String| asked.iter().any(|own| same_word(own, word));
    let before_to = |words: &[String]| {
        let mut pairs = words.windows(2).filter(|pair| pair[1] == "to");
        pairs.any(|pair| is(&BEFORE_TO, &pair[0]))
    };
    let asks_plan = before_to(&asked)
        || asked
            .iter()
            .any(|word| is(&FIRM, word) || is(&BEFORE_TO[1..4], word));
    let duties = before_to(&said);
    let open = |word: &String| !known(word) && (is(&WEAK, word) || !asks_plan && is(&FIRM, word));
    // "The planned extension" plans nothing any more.
    let describes = |at: usize| {
        let own = ["planned", "geplant"].contains(&said[at].as_str());
        own && at > 0 && ["the", "a", "an", "our", "my"].contains(&said[at - 1].as_str())
    };
    let mut words = said.iter().enumerate();
    words.any(|(at, word)| open(word) && !describes(at)) || duties && !asks_plan
}

/// Does a clause count something else than the question: 34 members, where that asks for 34 guests?
pub(super) fn counts_another(question: &str, clause: &str) -> bool {
    let counted = |text: &str| {
        let figures = figures(text).into_iter();
        let figures = figures.filter_map(|figure| Some((figure.value, figure.unit?)));
        let worded = |unit: &str| {
            let word = unit.chars().all(char::is_alphabetic);
            word && !content_words(unit).is_empty() && !is_calendar_word(unit) && !is_clock(unit)
        };
        let counted = figures.filter(|(_, unit)| worded(unit));
        counted.collect::<Vec<(String, String)>>()
    };
    let held = counted(clause);
    counted(question).iter().any(|(value, unit)| {
        let mut units = held.iter().filter(|(own, _)| own == value).peekable();
        units.peek().is_some()
            && units.all(|(_, own)| !same_unit(own, unit) && !same_word(own, unit))
    })
}
