//! Which questions are learned from and which are asked, and in what order.
//!
//! All by hashes: the same seed chooses the same questions, and fewer of them are the first of
//! more, so that a run can be widened. For writeback the questions of a set are split by the hash of
//! their ids into those that are learned from and those that are asked afterwards, both about the
//! same documents; a fifth of the documents is kept out of the first part, to see harm. Some
//! of those that were learned from may be asked again, as a group of their own.

use std::collections::{HashMap, HashSet};

use super::answers::asked;
use super::set::{EvaluationSet, SetQuestion};
use super::suite::Suite;
use crate::domain::language::Language;
use crate::domain::words;

/// Groups of questions.
pub const ALL: &str = "all";
/// Questions that the documents do not answer.
pub const UNANSWERABLE: &str = "unanswerable";
/// Questions about documents that were learned from.
pub const TEST: &str = "test";
/// Questions about other documents.
pub const UNTOUCHED: &str = "untouched";
/// Questions that were learned from, asked again.
pub const AGAIN: &str = "again";
/// Of `test`: in words much like a question that was learned from.
pub const NEAR: &str = "test-near";
/// Of `test`: all others.
pub const FAR: &str = "test-far";

/// Share of their words that two questions have in common from which they are alike (Jaccard).
const ALIKE: f64 = 0.5;

/// A question that is asked.
pub struct Chosen<'a> {
    /// The question.
    pub question: &'a SetQuestion,
    /// Its groups.
    pub groups: Vec<&'static str>,
    /// Whether it is put to ways to answer that ask the language model, too.
    pub model: bool,
}

/// The parts of a set's questions.
pub struct Split<'a> {
    /// Learned from.
    pub train: Vec<&'a SetQuestion>,
    /// Asked.
    pub asked: Vec<Chosen<'a>>,
}

/// Splits a set as its suite says.
pub fn split<'a>(set: &'a EvaluationSet, suite: &Suite) -> Split<'a> {
    let limit = suite.limit.unwrap_or(usize::MAX);
    let model = suite.limit_model.unwrap_or(limit).min(limit);
    let mut asked = Vec::new();
    let has_answer = |q: &SetQuestion| !q.answers.is_empty() || q.impossible;
    let mut ask = |questions: Vec<&'a SetQuestion>, groups: &dyn Fn(&SetQuestion) -> Vec<_>| {
        let mut questions = ordered(questions, suite.seed);
        // Where answers are measured, a limit is one of questions that have them.
        if !suite.strategies.is_empty() {
            questions.sort_by_key(|question| !has_answer(question));
        }
        let some = questions.into_iter().take(limit);
        // Those without an answer are not put to it.
        let mut put = 0;
        asked.extend(some.map(|question| {
            let chosen = has_answer(question) && put < model;
            put += usize::from(chosen);
            Chosen {
                question,
                groups: groups(question),
                model: chosen,
            }
        }));
    };
    let mut train = Vec::new();
    if suite.units.is_empty() {
        let all = set.questions.iter();
        let wanted = |q: &&SetQuestion| suite.ranking || !q.answers.is_empty();
        ask(all.filter(wanted).collect(), &|_| vec![ALL]);
    } else {
        let (learned, test, untouched) = parts(set, suite.ranking);
        train = ordered(learned, suite.seed);
        train.truncate(suite.learn.unwrap_or(usize::MAX));
        let like = Alike::to(&train);
        let near = |q: &SetQuestion| vec![TEST, if like.holds(q) { NEAR } else { FAR }];
        ask(test, &near);
        ask(untouched, &|_| vec![UNTOUCHED]);
        let again = train.iter().take(suite.again.unwrap_or(0));
        ask(again.copied().collect(), &|_| vec![AGAIN]);
    }
    ask(set.unanswerable.iter().collect(), &|_| vec![UNANSWERABLE]);
    Split { train, asked }
}

/// By a hash of seed and id.
fn ordered(mut questions: Vec<&SetQuestion>, seed: u64) -> Vec<&SetQuestion> {
    questions.sort_by_cached_key(|question| {
        let mut hash = blake3::Hasher::new();
        hash.update(&seed.to_le_bytes());
        hash.update(question.id.as_bytes());
        *hash.finalize().as_bytes()
    });
    questions
}

type Parts<'a> = (
    Vec<&'a SetQuestion>,
    Vec<&'a SetQuestion>,
    Vec<&'a SetQuestion>,
);

/// A question without an answer can be ranked for, and learned from; it is not scored.
fn parts(set: &EvaluationSet, ranking: bool) -> Parts<'_> {
    let part = |text: &str, of: u8| blake3::hash(text.as_bytes()).as_bytes()[0] % of;
    let (mut train, mut test, mut untouched) = (Vec::new(), Vec::new(), Vec::new());
    let wanted = |q: &&SetQuestion| ranking || !q.answers.is_empty();
    for question in set.questions.iter().filter(wanted) {
        let gains = set.gains_of(question);
        let mut relevant = gains.iter().filter(|(_, gain)| **gain > 0.0).peekable();
        // Without judgements nothing is known of documents.
        let judged = relevant.peek().is_some();
        let kept_out = |id: &str| part(id, 5) == 0;
        // A question about several documents is untouched only where all of them are.
        if judged && relevant.clone().all(|(id, _)| kept_out(id)) {
            untouched.push(question);
        } else if part(&question.id, 2) == 1 {
            test.push(question);
        } else if relevant.all(|(id, _)| !kept_out(id)) {
            train.push(question);
        }
    }
    (train, test, untouched)
}

/// Questions by their words.
struct Alike {
    questions: Vec<HashSet<String>>,
    by_word: HashMap<String, Vec<usize>>,
}

impl Alike {
    fn to(questions: &[&SetQuestion]) -> Self {
        let questions: Vec<HashSet<String>> = questions.iter().map(|q| content(q)).collect();
        let mut by_word: HashMap<String, Vec<usize>> = HashMap::new();
        for (n, words) in questions.iter().enumerate() {
            for word in words {
                by_word.entry(word.clone()).or_default().push(n);
            }
        }
        Self { questions, by_word }
    }

    fn holds(&self, question: &SetQuestion) -> bool {
        let words = content(question);
        let mut common: HashMap<usize, usize> = HashMap::new();
        for n in words
            .iter()
            .filter_map(|word| self.by_word.get(word))
            .flatten()
        {
            *common.entry(*n).or_default() += 1;
        }
        common.into_iter().any(|(n, both)| {
            let either = words.len() + self.questions[n].len() - both;
            #[expect(clippy::cast_precision_loss, reason = "words of two questions")]
            let share = both as f64 / either as f64;
            share >= ALIKE
        })
    }
}

fn content(question: &SetQuestion) -> HashSet<String> {
    let (text, _) = asked(question);
    let language = Language::detect(&text).or_else(|| Language::named("en"));
    let words = words::words(&text).into_iter().map(|word| word.text);
    let says = |word: &String| language.is_none_or(|l| !l.is_stop_word(word));
    words.filter(says).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(questions: usize) -> EvaluationSet {
        let lines = (0..questions).map(|n| {
            serde_json::json!({"id": n, "question": format!("what is thing {n}"), "golden_answers": ["x"], "path": format!("{}.md", n / 4)})
        });
        let folder = tempfile::tempdir().unwrap();
        for n in 0..=questions / 4 {
            std::fs::write(folder.path().join(format!("{n}.md")), "x").unwrap();
        }
        let text: Vec<String> = lines.map(|line| line.to_string()).collect();
        std::fs::write(folder.path().join("questions.jsonl"), text.join("\n")).unwrap();
        let place = super::super::set::Place::Folder(folder.path().to_owned());
        EvaluationSet::read(&place, "set", None).unwrap()
    }

    fn suite(text: &str) -> Suite {
        toml::from_str(&format!("about = \"\"\nsets = []\n{text}")).unwrap()
    }

    fn ids<'a>(chosen: &'a [Chosen<'a>], group: &str) -> Vec<&'a str> {
        let of = chosen.iter().filter(|c| c.groups.contains(&group));
        of.map(|c| c.question.id.as_str()).collect()
    }

    #[test]
    fn fewer_questions_are_the_first_of_more() {
        let set = set(40);
        let few = split(&set, &suite("ranking = true\nlimit = 5\nlimit_model = 2"));
        let all = split(&set, &suite("ranking = true"));
        assert_eq!(ids(&few.asked, ALL)[..], ids(&all.asked, ALL)[..5]);
        let put_to_model = few.asked.iter().filter(|c| c.model).count();
        assert_eq!(put_to_model, 2);
        let other = split(&set, &suite("ranking = true\nseed = 1"));
        assert_ne!(ids(&other.asked, ALL), ids(&all.asked, ALL));
    }

    #[test]
    fn where_answers_are_measured_those_that_have_one_are_asked_first() {
        let mut set = set(40);
        for question in set.questions.iter_mut().skip(4) {
            question.answers.clear();
        }
        let asked = |of: &str| {
            let chosen = split(&set, &suite(of)).asked;
            let with_answer = chosen.iter().filter(|c| !c.question.answers.is_empty());
            (with_answer.count(), chosen.len())
        };
        assert_eq!(
            asked("ranking = true\nstrategies = [\"cascade\"]\nlimit = 4"),
            (4, 4)
        );
        assert_eq!(asked("ranking = true\nlimit = 40"), (4, 40));
    }

    #[test]
    fn nothing_that_is_asked_was_learned_from() {
        let set = set(200);
        let split = split(&set, &suite("ranking = true\nunits = [\"writeback\"]"));
        let train: HashSet<&str> = split.train.iter().map(|q| q.id.as_str()).collect();
        assert!(!train.is_empty());
        assert!(
            split
                .asked
                .iter()
                .all(|c| !train.contains(c.question.id.as_str()))
        );
        let documents = |ids: &[&str]| -> HashSet<usize> {
            ids.iter()
                .map(|id| id.parse::<usize>().unwrap() / 4)
                .collect()
        };
        let untouched = documents(&ids(&split.asked, UNTOUCHED));
        assert!(!untouched.is_empty());
        let learned = documents(&train.iter().copied().collect::<Vec<_>>());
        assert!(untouched.is_disjoint(&learned));
        assert!(!documents(&ids(&split.asked, TEST)).is_disjoint(&learned));
    }

    #[test]
    fn what_was_learned_from_is_asked_again_where_that_is_wanted() {
        let set = set(200);
        let of = "ranking = true\nunits = [\"writeback\"]\nagain = 7";
        let split = split(&set, &suite(of));
        let train: Vec<&str> = split.train.iter().map(|q| q.id.as_str()).collect();
        assert_eq!(ids(&split.asked, AGAIN), train[..7]);
        assert!(ids(&split.asked, TEST).iter().all(|id| !train.contains(id)));
    }

    #[test]
    fn likeness_is_told_by_words() {
        let of = |text: &str| SetQuestion {
            text: text.into(),
            ..SetQuestion::default()
        };
        let learned = [of("When does the morning train leave Graz?")];
        let alike = Alike::to(&learned.iter().collect::<Vec<_>>());
        assert!(alike.holds(&of("when will the morning train leave Graz")));
        assert!(!alike.holds(&of("How much is the train to Vienna?")));
        assert!(!alike.holds(&of("")));
    }
}
