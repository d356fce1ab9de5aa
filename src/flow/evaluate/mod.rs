//! Evaluating: sets of questions, put in several ways, scored and compared.
//!
//! A [`suite`] names sets, ways and numbers. Each [`set`] has a knowledge base of its own; its
//! questions are [`split`] by hashes, put by [`retrieval`] and [`answers`], with the units of
//! [`learning`] or without, and every [`outcome`] is written down as it comes. [`result`] says what
//! it means. [`own`] asks the owner's past questions instead. [`chunking`], [`scale`] and [`tune`]
//! are experiments of their own.

pub mod answers;
pub mod arm;
pub mod chunking;
pub mod held_out;
pub mod import;
pub mod learning;
pub mod outcome;
pub mod own;
pub mod page;
pub mod remembered;
pub mod result;
pub mod retrieval;
pub mod scale;
pub mod set;
pub mod split;
pub mod suite;
pub mod tune;

use std::path::Path;
use std::time::{Duration, Instant};

use self::answers::Method;
use self::arm::Arm;
use self::learning::Variant;
use self::outcome::{Log, Outcome};
use self::remembered::Memory;
use self::result::Harness;
use self::set::{EvaluationSet, SetQuestion};
use self::split::{ALL, Chosen, UNANSWERABLE};
use self::suite::Suite;
use super::answer::Answerer;
use crate::error::Failure;
use crate::store::StoreError;
use crate::store::units::UseUnits;

/// Writes a file beside what was there before, and puts it in its place when it is whole: hours of
/// work may be in it.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let io = |source| StoreError::io(path, source);
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(io)?;
    }
    let mut anew = path.as_os_str().to_owned();
    anew.push(".tmp");
    std::fs::write(&anew, bytes).map_err(io)?;
    std::fs::rename(&anew, path).map_err(io)
}

#[expect(clippy::cast_precision_loss, reason = "questions, tokens, bytes")]
fn count(number: usize) -> f64 {
    number as f64
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// To six digits: more is noise, and files grow.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// A set that is being asked.
pub struct Asking<'a> {
    /// What is asked.
    pub suite: &'a Suite,
    /// Of what.
    pub set: &'a EvaluationSet,
    /// Where outcomes are written down.
    pub log: &'a mut Log,
    /// This program.
    pub build: &'a str,
    /// The commit of the checkout that it is run in.
    pub commit: Option<&'a str>,
    /// Hash of the set's questions, judgements and documents, and of the units in use.
    pub of: String,
    /// Hears what is done, and how far it is.
    pub told: &'a dyn Fn(&str, usize, usize),
    /// What the language model was asked already.
    pub memory: Memory,
    /// What it took.
    pub harness: Harness,
}

impl Asking<'_> {
    /// Puts the chosen questions in all ways of the suite, with the units that are in use (`units`
    /// says which) or without; what the log knows is not asked again.
    ///
    /// # Errors
    /// What the store and the models say.
    pub fn ask(
        &mut self,
        parts: &Answerer<'_>,
        chosen: &[Chosen<'_>],
        units: Option<Variant>,
    ) -> Result<(), Failure> {
        if self.suite.ranking {
            self.rank(parts, chosen, units)?;
        }
        for method in self.suite.strategies.clone() {
            self.put(parts, chosen, method, units)?;
        }
        Ok(())
    }

    fn rank(
        &mut self,
        parts: &Answerer<'_>,
        chosen: &[Chosen<'_>],
        units: Option<Variant>,
    ) -> Result<(), Failure> {
        let named = |way: &str| Arm { way, units }.to_string();
        let arm = named(retrieval::COHO);
        let judged = |c: &&Chosen<'_>| !self.set.gains_of(c.question).is_empty();
        let chosen: Vec<&Chosen<'_>> = chosen.iter().filter(judged).collect();
        let started = Instant::now();
        let mut calls = Duration::ZERO;
        for (n, one) in chosen.iter().enumerate() {
            (self.told)(&format!("{} {arm}", self.set.name), n, chosen.len());
            if self.known(&arm, one.question) {
                continue;
            }
            let called = Instant::now();
            let all = if units.is_some() {
                let searcher = &parts.searcher;
                let merge = parts.options.merge;
                let values = retrieval::rank_with_units(searcher, self.set, one.question, merge)?;
                vec![(retrieval::COHO, values)]
            } else {
                retrieval::rank_all(&parts.searcher, self.set, one.question)?
            };
            calls += called.elapsed();
            for (name, values) in all {
                self.log.push(Outcome {
                    values,
                    ..self.outcome(one, named(name))
                })?;
            }
            self.harness.asked += 1;
        }
        self.took(started, calls);
        Ok(())
    }

    fn put(
        &mut self,
        parts: &Answerer<'_>,
        chosen: &[Chosen<'_>],
        method: Method,
        units: Option<Variant>,
    ) -> Result<(), Failure> {
        let way = method.name();
        let arm = Arm { way: &way, units }.to_string();
        let wanted = |c: &&Chosen<'_>| {
            let answered = !c.question.answers.is_empty() || c.groups.contains(&UNANSWERABLE);
            answered && (c.model || !method.needs_model())
        };
        let chosen: Vec<&Chosen<'_>> = chosen.iter().filter(wanted).collect();
        let in_use = if units.is_some() {
            UseUnits::Active
        } else {
            UseUnits::Off
        };
        let generator = parts.generator.map(|generator| self.memory.of(generator));
        let parts = Answerer {
            generator: generator.as_ref(),
            searcher: parts.searcher,
            options: parts.options,
        };
        let started = Instant::now();
        let mut calls = Duration::ZERO;
        for (n, one) in chosen.iter().enumerate() {
            (self.told)(&format!("{} {arm}", self.set.name), n, chosen.len());
            if self.known(&arm, one.question) {
                continue;
            }
            let called = Instant::now();
            let way = (method, self.suite.k);
            let saved = self.memory.saved();
            let mut asked = answers::put(&parts, self.set, one.question, way, in_use.clone())?;
            if let Some(ms) = asked.values.get_mut("ms") {
                *ms += (self.memory.saved().as_secs_f64() - saved.as_secs_f64()) * 1e3;
            }
            calls += called.elapsed();
            self.log.push(Outcome {
                values: asked.values,
                seen: asked.seen,
                said: asked.said,
                ..self.outcome(one, arm.clone())
            })?;
            self.harness.asked += 1;
        }
        self.took(started, calls);
        Ok(())
    }

    fn known(&self, arm: &str, question: &SetQuestion) -> bool {
        let set = (self.set.name.as_str(), self.of.as_str());
        self.log.known(set, arm, &question.id).is_some()
    }

    fn outcome(&self, chosen: &Chosen<'_>, arm: String) -> Outcome {
        Outcome {
            set: self.set.name.clone(),
            arm,
            id: chosen.question.id.clone(),
            groups: chosen
                .groups
                .iter()
                .map(|group| (*group).to_owned())
                .collect(),
            of: self.of.clone(),
            build: self.build.to_owned(),
            commit: self.commit.map(str::to_owned),
            ..Outcome::default()
        }
    }

    fn took(&mut self, started: Instant, calls: Duration) {
        self.harness.calls_s += calls.as_secs_f64();
        self.harness.wall_s += started.elapsed().as_secs_f64();
    }
}

/// The groups in the order in which tables show them.
pub const GROUPS: [&str; 7] = [
    ALL,
    split::TEST,
    split::NEAR,
    split::FAR,
    split::UNTOUCHED,
    split::AGAIN,
    UNANSWERABLE,
];
