//! Words that are names, as far as capitals tell.
//!
//! At the head of a sentence every word has one. There a word that the notes hold in lower case, or
//! that is common in the language, is a name only where something tells: another capitalised word
//! behind it, or that it is a given name which does what people do ("Mark is", "Will pays").

use std::collections::{HashMap, HashSet};

use super::super::language::Language;
use super::words_of;

/// Words of ours, and of every language's questions, that are no names however they are written.
const OURS: [&str; 4] = ["question", "answer", "notes", "i"];

/// Given names that are words, too.
const GIVEN: &str = "amber angel april archer art ash aspen aurora autumn bay bea bill blaze bob brook \
    brooke buck bud buddy carol cash charity chance chase chip christian chuck clay cliff clover colt \
    coral crystal curt daisy dale dawn dean destiny dick dolly don dot drew duke earl ebony eve faith \
    fern flora forest frank gale gene ginger glen glory gore grace grant guy hank harmony harry hazel \
    heath heather heaven herb holly honey hope hunter iris ivy jack jade jasmine jay jean jewel jimmy \
    josh joy june kit lance laurel lily lotte luna marina mark marsh marshal mason may melody mercy \
    merry mike miles misty myrtle nick norm olive opal otter page paris parker pat patience patty pearl \
    peg penny pepper pierce piper poppy porter presley prudence queen rain randy raven ray red reed reef \
    rich river rob robin rocky rod roman rose ruby rue rusty sage sally sandy saul savannah scarlet \
    scout serenity shade sharon shepherd sherry sky skip sonny star stone storm sue summer sunny taylor \
    terry tom tony trinity trip tucker tyler van vera victor victory viola violet wade walker ward \
    warren wayne west will willow winter wolf woody wren";

/// What people do whose verb has no ending that tells.
const DOING: &str = "and ate began bought brought built came can could did does drank drove fell felt \
    flew found gave got grew had has held is kept knew left lost made may met might must or paid ran \
    said sat saw sent shall should sold spent spoke stood thought told took was went who will won would \
    wrote fährt geht hat hatte ist kam kann kommt sagt sagte und war wird wohnt zahlt";

/// The names in some texts.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// By their lower case, as they are to be put back.
    known: HashMap<String, String>,
    /// Words, in lower case, that are names where they are capitalised.
    capitalised: HashSet<String>,
}

impl Names {
    /// What is asked does not tell that a word is no name.
    pub(super) fn of(texts: &[&str], asked: &[&str]) -> Self {
        let language = Language::detect(&texts.join("\n"));
        let is_common = |word: &str| {
            let languages = [language, Language::named("en")];
            languages.iter().flatten().any(|l| l.is_stop_word(word))
        };
        let mut lower: HashSet<&str> = HashSet::new();
        let mut known: HashMap<String, String> = HashMap::new();
        let mut ahead: HashMap<String, String> = HashMap::new();
        let mut capitalised: HashSet<String> = HashSet::new();
        let all = texts.iter().map(|text| (text, true));
        for (text, notes) in all.chain(asked.iter().map(|text| (text, false))) {
            let mut last = 0;
            for span in words_of(text) {
                let (word, before) = (&text[span.clone()], &text[last..span.start]);
                let begins =
                    last == 0 || before.contains(['.', '!', '?', ':', '\n', '>', '•', '“', '"']);
                last = span.end;
                if !word.starts_with(char::is_uppercase) {
                    if notes {
                        lower.insert(word);
                    }
                    continue;
                }
                let key = word.to_lowercase();
                if OURS.contains(&&*key) || word.chars().count() < 2 {
                    continue;
                }
                let place = if begins { &mut ahead } else { &mut known };
                place.entry(key).or_insert_with(|| word.to_owned());
                if !begins {
                    continue;
                }
                let key = word.to_lowercase();
                let behind = Behind::of(&text[span.end..]);
                let given = is_in(GIVEN, &key);
                let common = is_common(&key);
                if given && !common && behind != Behind::Anything {
                    known.entry(key).or_insert_with(|| word.to_owned());
                } else if given && behind != Behind::Anything
                    || !common && behind == Behind::Capital
                {
                    capitalised.insert(key);
                }
            }
        }
        ahead.retain(|key, _| !lower.contains(&**key) && !is_common(key));
        for (key, word) in ahead {
            known.entry(key).or_insert(word);
        }
        Self { known, capitalised }
    }

    /// Is a word, as it is written, one of them?
    pub(super) fn hold(&self, word: &str) -> bool {
        let key = word.to_lowercase();
        self.known.contains_key(&key)
            || word.starts_with(char::is_uppercase) && self.capitalised.contains(&key)
    }

    /// How a name is put back, by its lower case, where that is not as it stands.
    pub(super) fn original(&self, key: &str) -> Option<&String> {
        self.known.get(key)
    }
}

fn is_in(list: &str, word: &str) -> bool {
    list.split_whitespace().any(|listed| listed == word)
}

/// What stands behind a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    /// Another capitalised word.
    Capital,
    /// What somebody does, or what is said of somebody: "Mark is", "Mark's", "Mark: plumber".
    Person,
    Anything,
}

impl Behind {
    fn of(rest: &str) -> Self {
        let rest = rest.trim_start_matches(['*', '_', '~', '`']);
        if rest.starts_with([',', ':']) || rest.trim_start().starts_with('(') {
            return Self::Person;
        }
        if let Some(ending) = rest.strip_prefix(['\'', '’']) {
            let is_ending = words_of(ending).next().is_some_and(|w| &ending[w] == "s");
            return if is_ending {
                Self::Person
            } else {
                Self::Anything
            };
        }
        let Some(next) = words_of(rest).next() else {
            return Self::Anything;
        };
        let (between, word) = (&rest[..next.start], &rest[next]);
        let marks = |c: char| c == ' ' || c == '\t' || "*_~`".contains(c);
        if !between.starts_with(char::is_whitespace) || !between.chars().all(marks) {
            return Self::Anything;
        }
        // "May I", "Will I" ask.
        if word.starts_with(char::is_uppercase) && word.chars().count() > 1 {
            return Self::Capital;
        }
        let ends = word.len() > 3 && (word.ends_with('s') || word.ends_with("ed"));
        if ends || is_in(DOING, word) {
            Self::Person
        } else {
            Self::Anything
        }
    }
}
