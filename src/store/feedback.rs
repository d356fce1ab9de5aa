//! Feedback: what was said of answers, and what was done about them.
//!
//! Only the owner's word is praise, but anybody's complaint counts. Of two verdicts of one giver on one
//! answer the later counts: who pressed the wrong key says it again. What was done is kept once,
//! however often it is told.

use std::path::PathBuf;

use rusqlite::{Transaction, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::ledger::Snapshot;
use super::units::life::GONE;
use crate::domain::gate::{asks_for_another, is_sentence, same_subject};
use crate::domain::scoring::normalised;

type Result<T> = std::result::Result<T, StoreError>;

/// What the owner said and did about an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reception {
    /// 1 where the owner calls it good.
    pub good: u32,
    /// Givers who call it bad.
    pub bad: u32,
    /// Citations opened.
    pub opened: u32,
    /// Times it was copied.
    pub copied: u32,
    /// Times the question was asked again in other words: it did not help.
    pub asked_again: u32,
}

/// What somebody with the owner's word said of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnersWord {
    /// Counts up with every verdict.
    pub number: i64,
    /// Whether the answer was called good.
    pub good: bool,
    /// Units that the answer became, through which it was found, or that say what it says first.
    pub units: Vec<String>,
    /// When it was said, milliseconds since 1970.
    pub given_ms: i64,
}

/// An answer that the owner calls bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalledBad {
    /// Its id.
    pub answer: String,
    /// What it cites: absolute paths of files, and the words as they stood there.
    pub cited: Vec<(PathBuf, String)>,
    /// Whether these are what is wrong: not where it says yes or no, or a language model wrote it.
    pub quotes: bool,
}

impl CalledBad {
    /// Reads an answer; one that cannot be read cites nothing.
    pub(crate) fn of(answer: &serde_json::Value) -> Self {
        let claims = answer["claims"].as_array();
        // A form that says nothing claims nothing.
        let wrote = !answer["model"].is_null() || claims.is_none_or(|c| !c.is_empty());
        let citations = answer["citations"].as_array();
        let cited = citations.into_iter().flatten().filter_map(|citation| {
            let path = citation["path"].as_str()?.into();
            Some((path, citation["text"].as_str()?.to_owned()))
        });
        Self {
            answer: answer["id"].as_str().unwrap_or_default().to_owned(),
            cited: cited.collect(),
            quotes: !wrote,
        }
    }
}

impl Snapshot<'_> {
    /// Answers to this question, put in the same words, that the owner calls bad and did not take that
    /// back.
    pub(crate) fn called_bad(&self, question: &str) -> Result<Vec<CalledBad>> {
        let mut statement = self.0.prepare_cached(
            "SELECT a.question, a.body FROM feedback f JOIN answer a ON a.id = f.answer_id
             WHERE f.giver IS NULL AND f.verdict = 'bad'
             AND NOT EXISTS (SELECT 1 FROM feedback later WHERE later.answer_id = f.answer_id
                             AND later.giver IS NULL AND later.id > f.id)",
        )?;
        let asked = normalised(question);
        let mut rows = statement.query([])?;
        let mut answers = Vec::new();
        while let Some(row) = rows.next()? {
            if normalised(&row.get::<_, String>(0)?) == asked {
                let body: serde_json::Value =
                    serde_json::from_str(&row.get::<_, String>(1)?).unwrap_or_default();
                answers.push(CalledBad::of(&body));
            }
        }
        Ok(answers)
    }

    /// What is said of an answer now, and was done about it. Only the owner's word is praise.
    pub(crate) fn reception(&self, answer: &str) -> Result<Reception> {
        let mut statement = self.0.prepare_cached(
            "SELECT verdict, count(*) FROM feedback f
             WHERE answer_id = ?1 AND (giver IS NULL OR verdict = 'bad')
             AND NOT EXISTS (SELECT 1 FROM feedback later WHERE later.answer_id = f.answer_id
                             AND later.giver IS f.giver AND later.id > f.id)
             GROUP BY verdict
             UNION ALL SELECT DISTINCT kind, 1 FROM signal WHERE answer_id = ?1",
        )?;
        let mut rows = statement.query([answer])?;
        let mut reception = Reception::default();
        while let Some(row) = rows.next()? {
            let count = row.get(1)?;
            match row.get::<_, String>(0)?.as_str() {
                "good" => reception.good = count,
                "bad" => reception.bad = count,
                "opened" => reception.opened = count,
                "copied" => reception.copied = count,
                "asked_again" => reception.asked_again = count,
                _ => {}
            }
        }
        Ok(reception)
    }

    /// What was said with the owner's word after the verdict of this number, in that order, and the
    /// units that it is about; without what was taken back since.
    pub(crate) fn owners_words(&self, after: i64) -> Result<Vec<OwnersWord>> {
        let mut statement = self.0.prepare_cached(
            "SELECT f.id, f.verdict = 'good', a.body, c.unit_id, f.given_ms, a.question
             FROM feedback f
             JOIN answer a ON a.id = f.answer_id LEFT JOIN considered c ON c.answer_id = a.id
             WHERE f.id > ?1 AND f.giver IS NULL
             AND NOT EXISTS (SELECT 1 FROM feedback later WHERE later.answer_id = f.answer_id
                             AND later.giver IS NULL AND later.id > f.id)
             ORDER BY f.id",
        )?;
        let mut rows = statement.query([after])?;
        let (mut words, mut said) = (Vec::new(), Vec::new());
        while let Some(row) = rows.next()? {
            // One that cannot be read says nothing but that it was judged.
            let body: serde_json::Value =
                serde_json::from_str(&row.get::<_, String>(2)?).unwrap_or_default();
            let citations = body["citations"].as_array().into_iter().flatten();
            let through = citations.filter_map(|c| c["unit_id"].as_str().map(str::to_owned));
            let mut units: Vec<String> = row.get::<_, Option<String>>(3)?.into_iter().collect();
            units.extend(through);
            said.push(Said::read(&row.get::<_, String>(5)?, &body));
            words.push(OwnersWord {
                number: row.get(0)?,
                good: row.get(1)?,
                units,
                given_ms: row.get(4)?,
            });
        }
        self.add_units_saying(&said, &mut words)?;
        for word in &mut words {
            word.units.sort();
            word.units.dedup();
        }
        Ok(words)
    }

    /// Adds the units that say what an answer says. One that was not made of it, as another answer to
    /// the same question was, is named by it nowhere.
    fn add_units_saying(&self, said: &[Option<Said>], words: &mut [OwnersWord]) -> Result<()> {
        if said.iter().all(Option::is_none) {
            return Ok(());
        }
        let mut statement = self.0.prepare_cached(
            "SELECT u.id, u.questions, e.quotes FROM unit u JOIN unit_evidence e ON e.unit_id = u.id
             WHERE u.state <> 'retired' OR substr(u.reason, 1, length(?1)) = ?1
             ORDER BY u.id, e.place",
        )?;
        let mut rows = statement.query([GONE])?;
        let mut unit = Saying::default();
        while let Some(row) = rows.next()? {
            let id: String = row.get(0)?;
            let list = |column: usize| -> Result<Vec<String>> {
                Ok(serde_json::from_str(&row.get::<_, String>(column)?).unwrap_or_default())
            };
            if id != unit.id {
                unit.tell(said, words);
                unit = Saying {
                    id,
                    questions: list(1)?,
                    sentences: Vec::new(),
                };
            }
            unit.sentences.extend(list(2)?);
        }
        unit.tell(said, words);
        Ok(())
    }

    /// The number of the newest verdict with the owner's word; 0 where there is none.
    pub(crate) fn newest_word(&self) -> Result<i64> {
        let mut statement = self
            .0
            .prepare_cached("SELECT coalesce(max(id), 0) FROM feedback WHERE giver IS NULL")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// Answers that the owner called good (`true`) or bad, in the order in which that was said; `None`
    /// for those that cannot be read.
    pub(crate) fn called(&self) -> Result<Vec<Option<(serde_json::Value, bool)>>> {
        let mut statement = self.0.prepare_cached(
            "SELECT a.body, f.verdict = 'good' FROM feedback f JOIN answer a ON a.id = f.answer_id
             WHERE f.giver IS NULL ORDER BY f.id",
        )?;
        let rows = statement.query_map([], |row| {
            let body = row.get::<_, String>(0).ok();
            let body = body.and_then(|body| serde_json::from_str(&body).ok());
            let good: bool = row.get(1)?;
            Ok(body.map(|body| (body, good)))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

/// What an answer says, as far as units may say it.
struct Said {
    question: String,
    /// What it quotes, the first of it first.
    quotes: Vec<String>,
}

impl Said {
    /// `None` of one that quotes nothing.
    fn read(question: &str, body: &serde_json::Value) -> Option<Self> {
        let citations = body["citations"].as_array().into_iter().flatten();
        let quotes = citations.filter_map(|c| c["text"].as_str().map(str::to_owned));
        let quotes: Vec<String> = quotes.collect();
        (!quotes.is_empty()).then(|| Self {
            question: question.to_owned(),
            quotes,
        })
    }

    /// Is it what a unit says? The first quote is of it, and so is the question; or all of the unit is
    /// quoted for a question about the same. What is quoted by the way says nothing of it.
    fn is_of(&self, unit: &Saying) -> bool {
        let is = |quote: &str, sentence: &String| is_sentence(quote, sentence);
        let first = &self.quotes[0];
        if !unit.sentences.iter().any(|sentence| is(first, sentence)) {
            return false;
        }
        let asked = normalised(&self.question);
        if unit
            .questions
            .iter()
            .any(|known| normalised(known) == asked)
        {
            return true;
        }
        let quoted = |sentence: &String| self.quotes.iter().any(|quote| is(quote, sentence));
        let says = unit.sentences.join(" ");
        let is_same = |known: &String| {
            same_subject(&self.question, known) && !asks_for_another(&self.question, known, &says)
        };
        unit.sentences.iter().all(quoted) && unit.questions.iter().any(is_same)
    }
}

/// What a unit says, and to which questions.
#[derive(Default)]
struct Saying {
    id: String,
    questions: Vec<String>,
    sentences: Vec<String>,
}

impl Saying {
    /// Adds the unit to the verdicts on answers that say the same.
    fn tell(&self, said: &[Option<Said>], words: &mut [OwnersWord]) {
        for (said, word) in said.iter().zip(words) {
            if said.as_ref().is_some_and(|said| said.is_of(self)) {
                word.units.push(self.id.clone());
            }
        }
    }
}

/// Keeps what is said of an answer, by the owner or by another `giver`; `false` when there is no
/// such answer.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn put_feedback(
    transaction: &Transaction<'_>,
    answer: &str,
    verdict: &str,
    (note, giver): (Option<&str>, Option<&str>),
    now_ms: i64,
) -> Result<bool> {
    let exists = transaction
        .prepare_cached("SELECT 1 FROM answer WHERE id = ?1")?
        .exists([answer])?;
    if exists {
        transaction.execute(
            "INSERT INTO feedback (answer_id, verdict, note, giver, given_ms)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![answer, verdict, note, giver, now_ms],
        )?;
    }
    Ok(exists)
}

/// Keeps what was done about an answer, once however often it is told; `false` when there is no such
/// answer.
///
/// # Errors
/// [`StoreError::Ledger`].
pub fn put_signal(
    transaction: &Transaction<'_>,
    answer: &str,
    kind: &str,
    now_ms: i64,
) -> Result<bool> {
    let known = transaction
        .prepare_cached("SELECT 1 FROM answer WHERE id = ?1")?
        .exists([answer])?;
    if known {
        transaction.execute(
            "INSERT INTO signal (answer_id, kind, at_ms) SELECT ?1, ?2, ?3 WHERE NOT EXISTS
               (SELECT 1 FROM signal WHERE answer_id = ?1 AND kind = ?2)",
            params![answer, kind, now_ms],
        )?;
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ledger::tests::{ANSWERS, with_ledger};

    #[test]
    fn a_verdict_is_about_units_that_say_what_the_answer_says() {
        let unit = Saying {
            id: "u".into(),
            questions: vec!["Who carved the sundial of Ratekau?".into()],
            sentences: vec![
                "The sundial of Ratekau is old.".into(),
                "It was carved by Anna.".into(),
            ],
        };
        let check = |question: &str, quotes: &[&str], expected: bool| {
            let citations: Vec<_> = quotes
                .iter()
                .map(|text| serde_json::json!({ "text": text }))
                .collect();
            let body = serde_json::json!({ "citations": citations });
            let is_of = Said::read(question, &body).is_some_and(|said| said.is_of(&unit));
            assert_eq!(is_of, expected, "{question} {quotes:?}");
        };
        let (old, anna) = (unit.sentences[0].as_str(), "It was carved\nby Anna.");
        let shed = "The shed is green.";
        let asked = "who carved the sundial of Ratekau";
        check(asked, &[anna], true);
        check(asked, &[old, anna], true);
        check(asked, &[anna, shed], true);
        // Quoted by the way.
        check(asked, &[shed, anna], false);
        check(asked, &[shed], false);
        check(asked, &[], false);
        // Asked in other words, or about something else.
        check(
            "Which hands carved the sundial of Ratekau?",
            &[old, anna],
            true,
        );
        check("Which hands carved the sundial of Ratekau?", &[anna], false);
        check("Who carved the sundial of Lund?", &[old, anna], false);
        check("How heavy is the mill?", &[old, anna], false);
    }

    #[test]
    fn of_two_verdicts_of_one_giver_the_later_counts() {
        with_ledger(ANSWERS, |ledger| {
            let say = |verdict: &str, giver: Option<&str>| {
                let said = ledger.write(|t| put_feedback(t, "a", verdict, (None, giver), 7));
                assert!(said.unwrap());
            };
            let counts = || {
                let reception = ledger.read(|s| s.reception("a")).unwrap();
                (reception.good, reception.bad)
            };
            let words = || {
                let words = ledger.read(|s| s.owners_words(0)).unwrap();
                let words = words.into_iter().map(|word| (word.number, word.good));
                words.collect::<Vec<_>>()
            };
            say("bad", None);
            assert_eq!((counts(), words()), ((0, 1), vec![(1, false)]));
            // The wrong key.
            say("good", None);
            assert_eq!((counts(), words()), ((1, 0), vec![(2, true)]));
            say("good", None);
            assert_eq!((counts(), words()), ((1, 0), vec![(3, true)]));
            // Another one has a word of their own, and takes back no more than that.
            say("bad", Some("helper"));
            assert_eq!((counts(), words()), ((1, 1), vec![(3, true)]));
            say("bad", None);
            say("good", Some("helper"));
            assert_eq!((counts(), words()), ((0, 1), vec![(5, false)]));
        });
    }

    #[test]
    fn only_the_owner_calls_quotes_bad_and_only_those_of_the_same_question() {
        with_ledger(ANSWERS, |ledger| {
            let body = |claims: &[&str]| {
                let citations = [serde_json::json!({ "path": "/a.md", "text": "It is Anna." })];
                let body =
                    serde_json::json!({ "id": "b", "claims": claims, "citations": citations });
                let update =
                    "UPDATE answer SET body = ?1, question = 'Who sold the car?' WHERE id = 'a'";
                let set = ledger.write(|t| {
                    t.execute(update, [body.to_string()])
                        .map_err(StoreError::from)
                });
                assert_eq!(set.unwrap(), 1);
            };
            let say = |verdict: &str, giver: Option<&str>| {
                let said = ledger.write(|t| put_feedback(t, "a", verdict, (None, giver), 7));
                assert!(said.unwrap());
            };
            let check = |question: &str, expected: &[&str]| {
                let answers = ledger.read(|s| s.called_bad(question)).unwrap();
                let quoting = answers.iter().filter(|answer| answer.quotes);
                let quotes = quoting.flat_map(|answer| &answer.cited);
                let texts: Vec<&str> = quotes.map(|(_, text)| text.as_str()).collect();
                assert_eq!(texts, expected, "{question}");
                let taken = ["who sold car", "Who sold the car?"].contains(&question);
                assert!(answers.is_empty() || taken, "{question}");
            };
            body(&[]);
            check("Who sold the car?", &[]);
            say("bad", Some("helper"));
            check("Who sold the car?", &[]);
            say("bad", None);
            check("who sold car", &["It is Anna."]);
            check("Who bought the car?", &[]);
            check("When was the car sold?", &[]);
            // The words of a model may be what is wrong.
            body(&["It was Tom."]);
            check("Who sold the car?", &[]);
            body(&[]);
            let of_model = "UPDATE answer SET body = json_set(body, '$.model', 'm') WHERE id = 'a'";
            let written = ledger.write(|t| t.execute(of_model, []).map_err(StoreError::from));
            assert_eq!(written.unwrap(), 1);
            check("Who sold the car?", &[]);
            let broken = "UPDATE answer SET body = '{' WHERE id = 'a'";
            let written = ledger.write(|t| t.execute(broken, []).map_err(StoreError::from));
            assert_eq!(written.unwrap(), 1);
            check("Who sold the car?", &[]);
            body(&[]);
            say("good", None);
            check("Who sold the car?", &[]);
        });
    }

    #[test]
    fn what_is_told_again_and_again_was_done_once() {
        with_ledger(ANSWERS, |ledger| {
            for at_ms in 0..100 {
                let told = ledger.write(|t| put_signal(t, "a", "opened", at_ms));
                assert!(told.unwrap());
            }
            // An older version kept each.
            let older = "INSERT INTO signal (answer_id, kind, at_ms) VALUES ('a', 'copied', 1),
                ('a', 'copied', 2)";
            let written = ledger.write(|t| t.execute(older, []).map_err(StoreError::from));
            assert_eq!(written.unwrap(), 2);
            let kept = "SELECT count(*) FROM signal WHERE kind = 'opened'";
            let kept = ledger.read(|s| {
                let count = s.0.query_row(kept, [], |row| row.get::<_, u32>(0));
                count.map_err(StoreError::from)
            });
            assert_eq!(kept.unwrap(), 1);
            let reception = ledger.read(|s| s.reception("a")).unwrap();
            assert_eq!((reception.opened, reception.copied), (1, 1));
            let other = ledger.read(|s| s.reception("b")).unwrap();
            assert_eq!(other, Reception::default());
        });
    }
}
