//! Answering: evidence, prompt, generation, citations that hold, or an honest "not here".
//!
//! Blocking and streaming: the reader gets [`Event`]s as they come. Citations lead only to chunks
//! that were in the prompt; each sentence of an answer is aligned with the passage that supports
//! it, because a small model does not cite by itself.
//!
//! What an answer claims is checked whatever the strategy: a claim that a passage supports carries
//! the number of its citation, one that none supports carries `[?]`; what an answer of a given form
//! says stands in its claims alone, without marks. Each step tells what it saw and what it cost.

mod cascade;
mod flare;
pub mod kept;
mod model;
pub mod outside;
mod passages;
pub(super) mod prompt;
mod quotes;
pub mod reading;
mod self_rag;
mod work;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::search::{self, Hit, HitKind, Query, Searcher, millis};
use crate::domain::source::SourceId;
pub use crate::domain::strategy::Strategy;
use crate::domain::unit::Merge;
use crate::energy::{Energy, Meter};
use crate::engine::GeneratorHandle;
use crate::error::{BadRequest, Failure};
use crate::store::feedback::CalledBad;
use crate::store::units::{self, Use, UseUnits};
use crate::store::{Store, StoreError, answers, erase};
use work::{Reader, Work};

/// What an answer says when the notes do not hold one.
pub const NOT_FOUND: &str = "I don't find this in your notes.";

/// What a step begins with that tells why the language model failed.
pub const MODEL_FAILED: &str = "the language model failed: ";

/// A question.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Id of the answer to be.
    pub id: String,
    /// The question.
    pub question: String,
    /// How to answer.
    pub strategy: Strategy,
    /// Passages to look at.
    pub k: usize,
    /// Only this source.
    pub source: Option<SourceId>,
    /// Whether question and answer are kept in the ledger.
    pub kept: bool,
    /// Which knowledge units may take part.
    pub units: UseUnits,
    /// Whether the remote model writes the answer.
    pub remote: bool,
    /// Who asks, where it is not the owner; holders of named tokens are known without.
    pub asker: Option<String>,
    /// When it was asked, milliseconds since 1970.
    pub asked_ms: i64,
    /// How much the model may write.
    pub limits: Limits,
    /// What is not to be said again; what the owner called bad in answer to the same question, unless it
    /// is told.
    pub called_bad: Option<Vec<CalledBad>>,
}

/// How much the language model may write, within what the settings allow. Quotes are not cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Tokens at most.
    pub max_tokens: Option<usize>,
    /// It ends before any of these.
    pub stop: Vec<String>,
}

impl Ask {
    /// What is searched for. A question is no query: what is wrong as a filter is a word, and so are
    /// quotes and dashes, with or without a question mark.
    pub fn query(&self) -> Query {
        Query {
            text: self.question.clone(),
            k: self.k,
            source: self.source,
            literal: false,
            spoken: true,
            rerank: false,
            explain: false,
            units: self.units.clone(),
            merge: Merge::default(),
            asked_ms: self.asked_ms,
        }
    }
}

/// How answers are made.
#[derive(Clone, Debug)]
pub struct AnswerOptions {
    /// Whether the evidence is ranked anew.
    pub rerank: bool,
    /// Tokens of an answer at most.
    pub max_tokens: usize,
    /// Tokens of evidence in the prompt at most.
    pub evidence_tokens: usize,
    /// Below both of these the notes are taken not to cover the question: the best cosine…
    pub least_cosine: f32,
    /// …and the share of the question's words found in the best passages.
    pub least_coverage: f32,
    /// Whether the default strategy lets the model write; it quotes else.
    pub drafts: bool,
    /// Mean natural log-probability of its tokens below which a draft is not told.
    pub least_log_prob: f32,
    /// How knowledge units take part.
    pub merge: Merge,
}

/// A passage that an answer rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Citation {
    /// Its number in the answer, counted from 1.
    pub n: usize,
    /// What was cited.
    pub kind: HitKind,
    /// Absolute path of the file.
    pub path: PathBuf,
    /// Title of the document.
    pub title: String,
    /// Headings above it, outermost first, joined by ` > `.
    pub heading: Option<String>,
    /// First and last line of `text`, where the format has lines.
    pub lines: Option<(u32, u32)>,
    /// Page, where the format has pages.
    pub page: Option<u32>,
    /// The words that support the answer, as they stand in the file.
    pub text: String,
    /// Id of the chunk.
    pub chunk_id: String,
    /// Id of the unit through which it was found.
    pub unit_id: Option<String>,
}

/// What was retrieved for an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Retrieval {
    /// Hits, best first; behind them those of further searches, whose scores are their own.
    pub hits: Vec<Hit>,
    /// Milliseconds that the first search took.
    pub took_ms: f64,
}

/// Where the time went, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timing {
    /// Embedding the question.
    pub embed_ms: f64,
    /// Searching both indexes and reading the text.
    pub retrieve_ms: f64,
    /// Reading the prompt.
    pub prefill_ms: f64,
    /// Writing the answer.
    pub generate_ms: f64,
    /// All of it.
    pub total_ms: f64,
}

/// Tokens spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenCount {
    /// Tokens of all prompts.
    pub prompt: usize,
    /// Tokens written.
    pub generated: usize,
}

/// What was done in a step towards an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// Passages were searched for.
    Retrieve,
    /// What was found was judged.
    Judge,
    /// The best sentences were compared with the question by their meaning.
    Weigh,
    /// The language model wrote.
    Draft,
    /// The language model judged.
    Reflect,
    /// Passages were searched for with other words.
    SearchAgain,
    /// The language model wrote once more, with what was wrong removed.
    Repair,
    /// A knowledge unit answers the question: it was asked before, perhaps in other words.
    Recall,
    /// The notes were quoted.
    Quote,
    /// The question was refused.
    Refuse,
}

/// A step towards an answer, and what it cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// What was done.
    pub kind: StepKind,
    /// What came of it.
    pub outcome: String,
    /// What was seen, by name: cosines, shares, log-probabilities.
    pub seen: BTreeMap<String, f32>,
    /// Tokens spent.
    pub tokens: TokenCount,
    /// Milliseconds that it took.
    pub took_ms: f64,
    /// Joules spent.
    pub joules: f64,
}

/// Something that an answer says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Claim {
    /// It, word by word.
    pub text: String,
    /// Does a passage support it?
    pub supported: bool,
    /// Numbers of the citations that support it.
    pub citations: Vec<usize>,
    /// Its numbers, dates and names that no passage holds.
    pub missing: Vec<String>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    /// Its id, for feedback.
    pub id: String,
    /// The question.
    pub question: String,
    /// The text; `[n]` behind a claim names the citation that supports it, `[?]` says that none does.
    pub answer: String,
    /// Whether the notes were found not to hold an answer.
    pub abstained: bool,
    /// Whether the language model came to its limit of tokens before it was done.
    #[serde(default)]
    pub cut_off: bool,
    /// The strategy that was asked for.
    pub strategy: Strategy,
    /// The language model that wrote it, or told yes from no; none for quotes.
    pub model: Option<String>,
    /// What it rests on.
    pub citations: Vec<Citation>,
    /// What it says, claim by claim; quotes are none.
    pub claims: Vec<Claim>,
    /// What was retrieved.
    pub retrieval: Retrieval,
    /// How it was found, step by step.
    pub steps: Vec<Step>,
    /// Where the time went.
    pub timing: Timing,
    /// Tokens spent.
    pub tokens: TokenCount,
    /// Energy spent.
    pub energy: Energy,
    /// Whether it could not be kept, because another process wrote the ledger or something was
    /// forgotten in the meantime: its id leads nowhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unkept: bool,
}

impl Answer {
    /// Why the language model failed, where it did and the notes were quoted all the same.
    pub fn model_failure(&self) -> Option<&str> {
        let mut steps = self.steps.iter();
        steps.find_map(|step| step.outcome.strip_prefix(MODEL_FAILED))
    }
}

/// What a reader hears of an answer while it is made.
#[derive(Clone, Debug)]
pub enum Event {
    /// The evidence.
    Retrieval(Retrieval),
    /// A piece of text.
    Token(String),
    /// A passage that supports what was just said.
    Citation(Citation),
    /// The whole.
    Done(Box<Answer>),
}

/// What answering needs.
pub struct Answerer<'a> {
    /// What finds the evidence.
    pub searcher: Searcher<'a>,
    /// The language model, where there is one.
    pub generator: Option<&'a GeneratorHandle>,
    /// How.
    pub options: &'a AnswerOptions,
}

/// Answers a question. `emit` hears of everything as it happens and ends the answer by breaking;
/// `cancel` ends it too. A finished answer is kept in the ledger; it is told all the same where others
/// write that for too long, or something was forgotten in the meantime, and says so.
///
/// # Errors
/// A bad request, or what the store and the models say.
pub fn answer(
    parts: &Answerer<'_>,
    ask: &Ask,
    cancel: &Arc<AtomicBool>,
    emit: &mut dyn FnMut(Event) -> ControlFlow<()>,
) -> Result<Answer, Failure> {
    make(parts, ask, Reader::new(emit, cancel), Work::run)
}

/// How much the language model reads, for comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many of the best sentences.
    Sentences(usize),
    /// So many of the best passages.
    Passages(usize),
}

/// Answers with what the language model writes from so much evidence, whatever it is.
///
/// # Errors
/// As [`answer`].
pub fn written_from(
    parts: &Answerer<'_>,
    ask: &Ask,
    amount: Amount,
    cancel: &Arc<AtomicBool>,
) -> Result<Answer, Failure> {
    let mut emit = |_| ControlFlow::Continue(());
    let reader = Reader::new(&mut emit, cancel);
    make(parts, ask, reader, |work| work.write_from(amount))
}

/// Answers with JSON that fits `schema`, written by the language model from the best sentences. It is
/// refused for the same signs as by `cascade`. Each text and number in it is a claim, and checked; the
/// JSON carries no marks. What it was written from is cited.
///
/// # Errors
/// As [`answer`]; [`BadRequest`] where there is no language model.
pub fn structured(
    parts: &Answerer<'_>,
    ask: &Ask,
    schema: &str,
    cancel: &Arc<AtomicBool>,
    emit: &mut dyn FnMut(Event) -> ControlFlow<()>,
) -> Result<Answer, Failure> {
    let Some(generator) = parts.generator else {
        return Err(BadRequest::new(
            "no_language_model",
            "an answer of a given form needs a language model",
            "install one with `coho models install`, or leave `response_format` out",
        )
        .into());
    };
    let reader = Reader::new(emit, cancel);
    make(parts, ask, reader, |work| {
        work.structured(generator, schema)
    })
}

/// Makes an answer by `work`, which says whether it abstained.
fn make<'a>(
    parts: &'a Answerer<'a>,
    ask: &'a Ask,
    mut reader: Reader<'a>,
    by: impl FnOnce(&mut Work<'a>) -> Result<bool, Failure>,
) -> Result<Answer, Failure> {
    let meter = Meter::start();
    let started = Instant::now();
    let store = parts.searcher.store;
    let erasures = store.ledger().read(|snapshot| snapshot.erasures())?;
    let query = Query {
        rerank: parts.options.rerank,
        merge: parts.options.merge,
        ..ask.query()
    };
    let ranking = search::rank(&parts.searcher, &query)?;
    let mut retrieval = Retrieval {
        hits: ranking.ranked.iter().map(|r| r.hit.clone()).collect(),
        took_ms: millis(started),
    };
    reader.send(Event::Retrieval(retrieval.clone()));
    let called_bad = if let Some(told) = &ask.called_bad {
        told.clone()
    } else {
        let ledger = parts.searcher.store.ledger();
        ledger.read(|snapshot| snapshot.called_bad(&ask.question))?
    };
    let mut work = Work::new(parts, ask, (ranking, called_bad), reader);
    work.retrieved(&meter, started);
    work.tell_called_bad();
    let abstained = by(&mut work)?;
    retrieval.hits.extend(work.hits_since(retrieval.hits.len()));
    work.timing.total_ms = millis(started);
    let near = work.near_units();
    let mut answer = Answer {
        id: ask.id.clone(),
        question: ask.question.clone(),
        answer: work.text,
        abstained,
        cut_off: work.cut_off,
        strategy: match parts.generator {
            // There is nobody who could answer in another way.
            None if ask.strategy != Strategy::Cascade => Strategy::Extractive,
            _ => ask.strategy,
        },
        model: parts
            .generator
            .filter(|_| work.told)
            .map(|g| g.name().to_owned()),
        citations: work.citations,
        claims: work.claims,
        retrieval,
        steps: work.steps,
        timing: work.timing,
        tokens: work.tokens,
        energy: meter.stop(work.cpu),
        unkept: false,
    };
    if !work.reader.gone {
        if ask.kept {
            match keep(store, ask, &answer, &near, erasures) {
                Err(error) if error.is_busy() => {
                    tracing::warn!(id = answer.id, %error, "an answer was not kept: others write");
                    answer.unkept = true;
                }
                kept => answer.unkept = !kept?,
            }
        }
        work.reader.send(Event::Done(Box::new(answer.clone())));
    }
    Ok(answer)
}

/// Keeps an answer, and counts the units that were near and those whose sources were cited. Says
/// whether it did: what is asked before something is forgotten must not be there after it.
fn keep(
    store: &Store,
    ask: &Ask,
    answer: &Answer,
    near: &[(String, Vec<String>)],
    erasures: i64,
) -> Result<bool, StoreError> {
    let holder = store.ledger().view().and_then(|view| view.asker.clone());
    let kept = answers::KeptAnswer {
        id: answer.id.clone(),
        question: answer.question.clone(),
        body: kept::without_passages(serde_json::to_value(answer)?),
        cited: answer
            .citations
            .iter()
            .map(|c| c.chunk_id.clone())
            .collect(),
        asked_ms: ask.asked_ms,
        tokens: answers::TokenTotals {
            prompt: answer.tokens.prompt as u64,
            generated: answer.tokens.generated as u64,
        },
        asker: holder.or_else(|| ask.asker.clone()),
    };
    store.ledger().write(|transaction| {
        if erase::erasures(transaction)? != erasures {
            erase::forget_unkept(transaction, &kept.id)?;
            return Ok(false);
        }
        answers::put_answer(transaction, &kept)?;
        for (unit, chunks) in near {
            units::count_use(transaction, unit, Use::Retrieved)?;
            if chunks.iter().any(|chunk| kept.cited.contains(chunk)) {
                units::count_use(transaction, unit, Use::Cited)?;
            }
        }
        Ok(true)
    })
}
