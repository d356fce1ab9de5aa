//! Answering: evidence, prompt, generation, citations that hold, or an honest "not here".
//!
//! Blocking and streaming: the reader gets [`Event`]s as they come. Citations lead only to chunks
//! that were in the prompt; each sentence of an answer is aligned with the passage that supports
//! it, because a small model does not cite by itself.
//!
//! `cascade`, the default, spends as little as it can: it asks the evidence first (abstaining when
//! the notes do not cover the question), lets the model write from the best two sentences (the one
//! kind of evidence that a small model reads well), checks every part of what it wrote against one
//! of them, and quotes the notes when the check fails.

use std::ops::{ControlFlow, Range};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::search::{self, Hit, HitKind, Query, Ranked, Ranking, Searcher, millis};
use crate::domain::context::{self, Evidence, Support};
use crate::domain::source::SourceId;
pub use crate::domain::strategy::Strategy;
use crate::energy::{Energy, Meter};
use crate::engine::generate::{Finish, Generated, MOST_PROMPTS, Message, Prompt, Role};
use crate::engine::{EngineError, GeneratorHandle};
use crate::error::Failure;
use crate::store::{Store, StoreError, ledger};

/// What an answer says when the notes do not hold one.
pub const NOT_FOUND: &str = "I don't find this in your notes.";

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
    /// When it was asked, milliseconds since 1970.
    pub asked_ms: i64,
}

impl Ask {
    /// What is searched for.
    pub fn query(&self) -> Query {
        Query {
            text: self.question.clone(),
            k: self.k,
            source: self.source,
            literal: false,
            rerank: false,
            explain: false,
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
    /// Hits, best first.
    pub hits: Vec<Hit>,
    /// Milliseconds that it took.
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

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    /// Its id, for feedback.
    pub id: String,
    /// The question.
    pub question: String,
    /// The text; `[n]` behind a sentence names the citation that supports it.
    pub answer: String,
    /// Whether the notes were found not to hold an answer.
    pub abstained: bool,
    /// The strategy that was asked for.
    pub strategy: Strategy,
    /// The language model that wrote it; none for quotes.
    pub model: Option<String>,
    /// What it rests on.
    pub citations: Vec<Citation>,
    /// What was retrieved.
    pub retrieval: Retrieval,
    /// Where the time went.
    pub timing: Timing,
    /// Tokens spent.
    pub tokens: TokenCount,
    /// Energy spent.
    pub energy: Energy,
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
/// `cancel` ends it too. A finished answer is kept in the ledger.
///
/// # Errors
/// A bad request, or what the store and the models say.
pub fn answer(
    parts: &Answerer<'_>,
    ask: &Ask,
    cancel: &Arc<AtomicBool>,
    emit: &mut dyn FnMut(Event) -> ControlFlow<()>,
) -> Result<Answer, Failure> {
    let meter = Meter::start();
    let started = Instant::now();
    let query = Query {
        rerank: parts.options.rerank,
        ..ask.query()
    };
    let ranking = search::rank(&parts.searcher, &query)?;
    let retrieval = Retrieval {
        hits: ranking.ranked.iter().map(|r| r.hit.clone()).collect(),
        took_ms: millis(started),
    };
    let mut reader = Reader {
        emit,
        cancel,
        gone: false,
    };
    reader.send(Event::Retrieval(retrieval.clone()));
    let timing = Timing {
        embed_ms: ranking.steps.embed_ms,
        retrieve_ms: ranking.retrieve_ms(),
        ..Timing::default()
    };
    let mut work = Work {
        parts,
        ask,
        ranking: &ranking,
        reader,
        citations: Vec::new(),
        text: String::new(),
        timing,
        tokens: TokenCount::default(),
        cpu: Duration::ZERO,
        wrote: false,
    };
    let abstained = work.run()?;
    work.timing.total_ms = millis(started);
    let answer = Answer {
        id: ask.id.clone(),
        question: ask.question.clone(),
        answer: work.text,
        abstained,
        strategy: ask.strategy,
        model: parts
            .generator
            .filter(|_| work.wrote)
            .map(|g| g.name().to_owned()),
        citations: work.citations,
        retrieval,
        timing: work.timing,
        tokens: work.tokens,
        energy: meter.stop(work.cpu),
    };
    if !work.reader.gone {
        if ask.kept {
            keep(parts.searcher.store, ask, &answer)?;
        }
        work.reader.send(Event::Done(Box::new(answer.clone())));
    }
    Ok(answer)
}

fn keep(store: &Store, ask: &Ask, answer: &Answer) -> Result<(), StoreError> {
    let kept = ledger::KeptAnswer {
        id: answer.id.clone(),
        question: answer.question.clone(),
        body: serde_json::to_value(answer)?,
        cited: answer
            .citations
            .iter()
            .map(|c| c.chunk_id.clone())
            .collect(),
        asked_ms: ask.asked_ms,
    };
    store
        .ledger()
        .write(|transaction| ledger::put_answer(transaction, &kept))
}

/// The one who listens, until they leave.
struct Reader<'a> {
    emit: &'a mut dyn FnMut(Event) -> ControlFlow<()>,
    cancel: &'a Arc<AtomicBool>,
    gone: bool,
}

impl Reader<'_> {
    fn send(&mut self, event: Event) {
        let left = self.cancel.load(Ordering::Relaxed);
        if self.gone || left || (self.emit)(event).is_break() {
            self.gone = true;
            self.cancel.store(true, Ordering::Relaxed);
        }
    }
}

/// A supported claim: its text, the hit that supports it, and where in that hit.
type Claim = (String, usize, Range<usize>);

struct Work<'a> {
    parts: &'a Answerer<'a>,
    ask: &'a Ask,
    ranking: &'a Ranking,
    reader: Reader<'a>,
    citations: Vec<Citation>,
    text: String,
    timing: Timing,
    tokens: TokenCount,
    /// Processor time of the language model.
    cpu: Duration,
    wrote: bool,
}

impl Work<'_> {
    /// Returns whether the answer abstains.
    fn run(&mut self) -> Result<bool, Failure> {
        if !self.covered() {
            return Ok(self.abstain());
        }
        match (self.ask.strategy, self.parts.generator) {
            (Strategy::Extractive, _) | (_, None) => Ok(self.quote()),
            (Strategy::Naive, Some(generator)) => self.passages(generator, &Self::prompt),
            (Strategy::Replug, Some(generator)) => self.passages(generator, &Self::ensemble),
            (Strategy::Cascade, Some(generator)) => self.cascade(generator),
        }
    }

    /// The question without filters.
    fn question(&self) -> &str {
        &self.ranking.words
    }

    fn hits(&self) -> &[Ranked] {
        &self.ranking.ranked
    }

    /// Is there anything in the notes that the question could be about?
    fn covered(&self) -> bool {
        let cosine = self
            .hits()
            .iter()
            .filter_map(|r| r.fused.judged.cosine)
            .fold(0.0, f32::max);
        let best = &self.hits()[..self.hits().len().min(3)];
        let texts: Vec<String> = best
            .iter()
            .map(|r| about(&r.hit) + " " + &r.hit.text)
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let coverage = context::coverage(self.question(), &texts);
        let options = self.parts.options;
        let all: Vec<String> = self
            .hits()
            .iter()
            .map(|r| about(&r.hit) + " " + &r.hit.text)
            .collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let names_held = context::missing_names(self.question(), &all).is_empty();
        tracing::debug!(cosine, coverage, names_held, "what the notes hold");
        names_held
            && !self.hits().is_empty()
            && (cosine >= options.least_cosine || coverage >= options.least_coverage)
    }

    fn abstain(&mut self) -> bool {
        NOT_FOUND.clone_into(&mut self.text);
        self.citations.clear();
        self.reader.send(Event::Token(NOT_FOUND.to_owned()));
        true
    }

    /// Quotes the sentences that fit best.
    fn quote(&mut self) -> bool {
        let chosen = self.evidence(3, 2, 80, 0.5);
        if chosen.is_empty() {
            return self.abstain();
        }
        self.say("From your notes: ");
        for (i, (hit, span)) in chosen.into_iter().enumerate() {
            let quote = plain(&self.hits()[hit].hit.text[span.clone()]);
            let n = self.cite(hit, span);
            let space = if i == 0 { "" } else { " " };
            self.say(&format!("{space}“{quote}” [{n}]"));
        }
        false
    }

    /// Whole passages, in one prompt or in one each; tokens as they come.
    fn passages(
        &mut self,
        generator: &GeneratorHandle,
        build: &dyn Fn(&Self, &[(usize, String)]) -> Prompt,
    ) -> Result<bool, Failure> {
        let passages: Vec<(usize, String)> = self
            .hits()
            .iter()
            .enumerate()
            .map(|(i, ranked)| (i, ranked.hit.text.clone()))
            .collect();
        let draft = self.generate(generator, &passages, build, true)?;
        if self.reader.gone {
            return Ok(false);
        }
        let shown: Vec<usize> = passages.iter().map(|(i, _)| *i).collect();
        self.text.clone_from(&draft.text);
        if says_not_found(&draft.text) {
            return Ok(true);
        }
        for claim in context::sentences(&draft.text) {
            let supported = self.support(&draft.text[claim], &shown);
            if let Some((hit, support)) = supported.filter(|(_, s)| s.holds()) {
                self.cite(hit, support.span);
            }
        }
        Ok(false)
    }

    /// From cheap to dear, see the head of this file.
    fn cascade(&mut self, generator: &GeneratorHandle) -> Result<bool, Failure> {
        let evidence = self.sentence_evidence();
        let draft = self.generate(generator, &evidence, &Self::prompt, false)?;
        if self.reader.gone {
            return Ok(false);
        }
        let claims = self.verified(&draft, &evidence);
        if claims.is_empty() {
            return Ok(self.quote());
        }
        for (i, (claim, hit, span)) in claims.into_iter().enumerate() {
            if i > 0 {
                self.say(" ");
            }
            for word in claim.split_inclusive(' ') {
                self.say(word);
            }
            let n = self.cite(hit, span);
            self.say(&format!(" [{n}]"));
        }
        Ok(false)
    }

    /// The sentences of a draft that the evidence supports, each with its support; ends at the
    /// first that it does not. A draft that says nothing beyond the question supports nothing.
    fn verified(&self, draft: &Generated, evidence: &[(usize, String)]) -> Vec<Claim> {
        let mut claims = Vec::new();
        if says_not_found(&draft.text) {
            return claims;
        }
        let draft = without_lead_in(&draft.text);
        let asked = context::content_words(self.question());
        let shown: Vec<usize> = evidence.iter().map(|(hit, _)| *hit).collect();
        let about: Vec<String> = shown
            .iter()
            .map(|hit| about(&self.hits()[*hit].hit))
            .collect();
        let passages: Vec<Evidence<'_>> = evidence
            .iter()
            .zip(&about)
            .map(|((hit, text), about)| Evidence {
                text,
                about,
                score: self.hits()[*hit].hit.score,
            })
            .collect();
        for span in context::sentences(draft) {
            let sentence = &draft[span];
            let supported = context::supported_part(sentence, &passages, &asked);
            let Some((part, support)) = supported else {
                break;
            };
            let number = part.contains(|c: char| c.is_ascii_digit());
            let evasive = context::asks_for_number(self.question())
                && !number
                && quoted_number(evidence, support.passage);
            if evasive || !context::says_more(part, &asked) {
                break;
            }
            let hit = shown[support.passage];
            let quoted = &evidence[support.passage].1[support.span.clone()];
            let Some(place) = self.place_of(hit, quoted) else {
                break;
            };
            let whole = part.len() == sentence.len();
            claims.push((part.to_owned() + if whole { "" } else { "." }, hit, place));
            if !whole {
                break;
            }
        }
        claims
    }

    /// Where an evidence sentence stands in its passage; evidence is shown without its marks.
    fn place_of(&self, hit: usize, quoted: &str) -> Option<Range<usize>> {
        let text = &self.hits()[hit].hit.text;
        let mut spans = context::sentences(text).into_iter();
        spans.find(|span| plain(&text[span.clone()]).contains(quoted))
    }

    /// Finds the sentence that supports a claim best, among the passages that the model was shown.
    fn support(&self, claim: &str, shown: &[usize]) -> Option<(usize, Support)> {
        let about: Vec<String> = shown
            .iter()
            .map(|hit| about(&self.hits()[*hit].hit))
            .collect();
        let passages: Vec<Evidence<'_>> = shown
            .iter()
            .zip(&about)
            .map(|(hit, about)| Evidence {
                text: &self.hits()[*hit].hit.text,
                about,
                score: self.hits()[*hit].hit.score,
            })
            .collect();
        // Words of the question are given, not claimed.
        let asked = context::content_words(self.question());
        let support = context::support(claim, &passages, &asked)?;
        Some((shown[support.passage], support))
    }

    fn say(&mut self, piece: &str) {
        self.text.push_str(piece);
        self.reader.send(Event::Token(piece.to_owned()));
    }

    /// Cites a span of a hit; the same span is cited once.
    fn cite(&mut self, hit: usize, span: Range<usize>) -> usize {
        let ranked = &self.ranking.ranked[hit];
        let chunk_id = ranked.chunk_at(span.start).to_string();
        let hit = ranked.hit.clone();
        let text = hit.text[span.clone()].to_owned();
        let lines = hit.lines.map(|(first, _)| {
            let newlines = |s: &str| u32::try_from(s.matches('\n').count()).unwrap_or(u32::MAX);
            let from = first + newlines(&hit.text[..span.start]);
            (from, from + newlines(&text))
        });
        let same = |c: &&Citation| c.chunk_id == chunk_id && c.text == text;
        if let Some(known) = self.citations.iter().find(same) {
            return known.n;
        }
        let citation = Citation {
            n: self.citations.len() + 1,
            kind: hit.kind,
            path: hit.path,
            title: hit.title,
            heading: hit.heading,
            lines,
            page: hit.page,
            text,
            chunk_id,
            unit_id: hit.unit_id,
        };
        self.citations.push(citation.clone());
        let n = citation.n;
        self.reader.send(Event::Citation(citation));
        n
    }

    /// The best sentences of the best `passages`: at most `count`, at most `words` words, and none
    /// that scores below `share` of the best.
    fn evidence(
        &self,
        passages: usize,
        count: usize,
        words: usize,
        share: f32,
    ) -> Vec<(usize, Range<usize>)> {
        let about: Vec<String> = self.hits().iter().map(|r| about(&r.hit)).collect();
        let passages: Vec<Evidence<'_>> = self
            .hits()
            .iter()
            .zip(&about)
            .take(passages)
            .map(|(ranked, about)| Evidence {
                text: &ranked.hit.text,
                about,
                score: ranked.hit.score,
            })
            .collect();
        let cost = |s: &str| s.split_whitespace().count();
        let question = self.question();
        let chosen = context::choose_sentences(question, &passages, count, words, cost);
        let best = chosen.iter().map(|c| c.score).fold(0.0, f32::max);
        let good = chosen.into_iter().filter(|c| c.score >= share * best);
        good.map(|c| (c.passage, c.span)).collect()
    }

    /// The best sentences, joined per passage.
    fn sentence_evidence(&self) -> Vec<(usize, String)> {
        let words = self.parts.options.evidence_tokens * 2 / 3;
        let mut evidence: Vec<(usize, String)> = Vec::new();
        for (hit, span) in self.evidence(3, 2, words, 0.85) {
            let sentence = plain(&self.hits()[hit].hit.text[span]);
            match evidence.last_mut() {
                Some((last, text)) if *last == hit => {
                    // A blank line keeps them apart when the draft is checked against them.
                    text.push_str("\n\n");
                    text.push_str(&sentence);
                }
                _ => evidence.push((hit, sentence)),
            }
        }
        evidence
    }

    fn generate(
        &mut self,
        generator: &GeneratorHandle,
        evidence: &[(usize, String)],
        build: &dyn Fn(&Self, &[(usize, String)]) -> Prompt,
        stream: bool,
    ) -> Result<Generated, Failure> {
        let mut evidence = evidence.to_vec();
        loop {
            let prompt = build(self, &evidence);
            let mut running = generator.generate(prompt, Arc::clone(self.reader.cancel))?;
            while let Some(piece) = running.pieces.blocking_recv() {
                if stream {
                    self.reader.send(Event::Token(piece));
                } else if self.reader.cancel.load(Ordering::Relaxed) {
                    self.reader.gone = true;
                }
            }
            match running.result.wait().map_err(EngineError::Lane)? {
                // Too much evidence for this model: the last passage is the least.
                Err(EngineError::PromptTooLong { .. }) if evidence.len() > 1 => {
                    evidence.pop();
                }
                Err(error) => return Err(error.into()),
                Ok(generated) => {
                    self.wrote = true;
                    self.cpu += generated.cpu;
                    self.reader.gone |= generated.finish == Finish::Cancelled;
                    self.timing.prefill_ms += generated.prefill.as_secs_f64() * 1e3;
                    self.timing.generate_ms += generated.generate.as_secs_f64() * 1e3;
                    self.tokens.prompt += generated.prompt_tokens;
                    self.tokens.generated += generated.tokens();
                    return Ok(generated);
                }
            }
        }
    }

    fn prompt(&self, evidence: &[(usize, String)]) -> Prompt {
        let passage = |(hit, text): &(usize, String)| {
            format!("{}:\n{text}\n\n", about(&self.hits()[*hit].hit))
        };
        let mut parts: Vec<String> = evidence.iter().map(passage).collect();
        parts.push(format!("Question: {}", self.question().trim()));
        let messages = vec![
            Message::new(Role::System, SYSTEM),
            Message {
                role: Role::User,
                parts,
            },
        ];
        Prompt {
            stop: vec!["\n\n".into(), "Question:".into()],
            ..Prompt::new(messages, self.parts.options.max_tokens)
        }
    }

    /// A prompt for each passage, with weights that are the softmax of the passages' scores (Shi et
    /// al. 2023, REPLUG).
    fn ensemble(&self, evidence: &[(usize, String)]) -> Prompt {
        let evidence = &evidence[..evidence.len().min(MOST_PROMPTS)];
        let score = |(hit, _): &(usize, String)| self.hits()[*hit].hit.score;
        let best = evidence.iter().map(score).fold(f32::MIN, f32::max);
        let weights = evidence
            .iter()
            .map(|passage| ((score(passage) - best) / REPLUG_TEMPERATURE).exp());
        let weights: Vec<f32> = weights.collect();
        let sum: f32 = weights.iter().sum();
        let alone = |passage: &(usize, String)| self.prompt(std::slice::from_ref(passage));
        let beside = evidence.iter().zip(&weights).skip(1);
        Prompt {
            beside: beside
                .map(|(passage, weight)| (alone(passage).messages, weight / sum))
                .collect(),
            ..self.prompt(&evidence[..evidence.len().min(1)])
        }
    }
}

/// How much a passage that scores a tenth less has to say: 1/e of it.
const REPLUG_TEMPERATURE: f32 = 0.1;

const SYSTEM: &str = "Answer the question in one short sentence, using only the given notes. \
                      Use the exact words and numbers of the notes.";

/// What a passage is about: its document's title and the headings above it.
fn about(hit: &Hit) -> String {
    match &hit.heading {
        Some(heading) if !heading.starts_with(&hit.title) => format!("{} > {heading}", hit.title),
        Some(heading) => heading.clone(),
        None => hit.title.clone(),
    }
}

/// A sentence without the marks that Markdown puts around it.
fn plain(sentence: &str) -> String {
    let flat = sentence.split_whitespace().collect::<Vec<_>>().join(" ");
    let flat = flat
        .trim_start_matches(['#', '>', ' '])
        .trim_start_matches("- [ ] ")
        .trim_start_matches("- [x] ")
        .trim_start_matches("- ")
        .trim_start_matches("* ")
        .trim_start_matches("+ ");
    flat.replace("**", "").replace("[[", "").replace("]]", "")
}

/// Does the evidence from this passage hold a number that the model could have named?
fn quoted_number(evidence: &[(usize, String)], passage: usize) -> bool {
    evidence[passage].1.contains(|c: char| c.is_ascii_digit())
}

/// What remains of "The answer to the question is: 61." without its lead-in.
fn without_lead_in(draft: &str) -> &str {
    let lower = draft.trim_start().to_lowercase();
    if !["the answer is", "the answer to", "answer:"]
        .iter()
        .any(|lead| lower.starts_with(lead))
    {
        return draft;
    }
    let after = ["Answer: ", " is: ", " is "].into_iter().find_map(|lead| {
        let at = draft.find(lead)?;
        (at < 40).then(|| &draft[at + lead.len()..])
    });
    after.unwrap_or(draft).trim_matches(['"', ' '])
}

fn says_not_found(text: &str) -> bool {
    let text = text.to_lowercase();
    text.trim().is_empty()
        || [
            "don't find",
            "do not find",
            "not mentioned",
            "no information",
            "does not mention",
        ]
        .iter()
        .any(|phrase| text.contains(phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lead_ins_are_no_claims() {
        let check = |draft: &str, expected: &str| assert_eq!(without_lead_in(draft), expected);
        check("The answer is: 61.", "61.");
        check("The answer to this question is: \"2022\"", "2022");
        check("Answer: Dr. Yilmaz.", "Dr. Yilmaz.");
        check(
            "The answering machine is broken.",
            "The answering machine is broken.",
        );
        check("It is 61.", "It is 61.");
    }

    #[test]
    fn marks_of_markdown_are_not_quoted() {
        let check = |sentence: &str, expected: &str| assert_eq!(plain(sentence), expected);
        check("- [ ] call **Oskar**\n  today", "call Oskar today");
        check("## Heading", "Heading");
        check("see [[Target]]", "see Target");
        check("-5 degrees", "-5 degrees");
    }
}
