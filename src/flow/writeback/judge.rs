//! From one answer to one unit, or to the gate that refused it.
//!
//! No labels: an answer is a candidate when it did not abstain, cites passages, and everything that
//! can be checked holds. Gates go from cheap to dear; the first that refuses ends it. What each one
//! measured is kept with the answer, passed or not.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::super::answer::prompt::{about_sentence, conversation, plain};
use super::super::answer::{Answer, StepKind};
use super::super::evaluate::held_out::HeldOut;
use super::super::search::{self, Query};
use super::upkeep::is_decided;
use super::{Bench, distil};
use crate::domain::chunk::ChunkId;
use crate::domain::context;
use crate::domain::gate::{self, Gate, Verdict};
use crate::domain::question;
use crate::domain::rank::dot;
use crate::domain::sentence;
use crate::domain::surroundings::Surroundings;
use crate::domain::text::{Readable, Text};
use crate::domain::unit::{self, OUTSIDE, OWN, Quotes, State, Unit, Uses, VERBATIM};
use crate::engine::EngineError;
use crate::engine::generate::Continuation;
use crate::error::Failure;
use crate::store::StoreError;
use crate::store::feedback::Reception;
use crate::store::ledger::{Snapshot, Transaction};
use crate::store::units::evidence::Origin;
use crate::store::units::life::BY_OWNER;
use crate::store::units::{self, GOOD, SECOND_SOURCES, batches, near};

/// How much likelier the notes must make an answer (natural logarithm, mean of its tokens).
const LEAST_GAIN: f32 = 0.01;

/// Passages that stay where so many were cited, whatever each of them does alone.
const LEAST_DOCUMENTS: usize = 2;

/// Cosine from which two units answer the same.
const SAME: f32 = 0.9;

/// Questions that a unit keeps.
pub(crate) const MOST_QUESTIONS: usize = 8;

/// What came of an answer.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    /// What each gate said.
    pub gates: Vec<Verdict>,
    /// The unit, where all that must be were passed.
    pub unit: Option<Unit>,
    /// Vectors of its questions, then of what it says.
    pub vectors: Vec<Vec<f32>>,
}

impl Judged {
    /// Writes the unit. A source that changed since it was judged makes it stale at once.
    pub(super) fn keep(
        &self,
        transaction: &Transaction<'_>,
        (batch, model): (&str, &str),
    ) -> Result<(), StoreError> {
        let Some(unit) = &self.unit else {
            return Ok(());
        };
        batches::note_before(transaction, batch, &unit.id)?;
        units::put_unit(transaction, unit)?;
        near::put_vectors(transaction, &unit.id, model, &self.vectors)
    }
}

/// A sentence that an answer cites.
#[derive(Clone, Debug)]
pub(super) struct Cited {
    pub chunk: ChunkId,
    pub path: String,
    /// What it is about: its document, the headings above it, the head of its table.
    pub about: String,
    pub sentence: String,
    /// The whole chunk.
    pub text: String,
    pub origins: Vec<Origin>,
}

impl Cited {
    /// Do both stand in one document? Those of two sources may have the same path.
    pub(super) fn stands_beside(&self, other: &Self) -> bool {
        let file = |cited: &Self| cited.origins.first().map(|origin| origin.file.clone());
        self.path == other.path && file(self) == file(other)
    }
}

/// Judges an answer.
pub(super) fn judge(
    bench: &Bench<'_>,
    answer: &Answer,
    reception: Reception,
) -> Result<Judged, Failure> {
    let mut gates = Vec::new();
    let unit = pass(bench, answer, reception, &mut gates)?;
    let (unit, vectors) =
        unit.map_or_else(Default::default, |(unit, vectors)| (Some(unit), vectors));
    Ok(Judged {
        gates,
        unit,
        vectors,
    })
}

type Made = (Unit, Vec<Vec<f32>>);

/// `None` at the first gate that refuses.
fn pass(
    bench: &Bench<'_>,
    answer: &Answer,
    reception: Reception,
    gates: &mut Vec<Verdict>,
) -> Result<Option<Made>, Failure> {
    let mut took = |verdict: Verdict| {
        let passed = verdict.passed;
        gates.push(verdict);
        passed
    };
    let cited = cited(bench, answer)?;
    if !took(eligible(answer, &cited, &bench.options.held_out)) || !took(feedback(reception)) {
        return Ok(None);
    }
    if bench.options.gated && (!took(clean(&cited)) || !took(grounded(answer, &cited))) {
        return Ok(None);
    }
    let kept = of_one_trust(distil::sentences(&answer.question, &cited));
    let said = said(answer, &kept);
    let alone = likelihood(bench, &answer.question, &[], &said)?;
    let claim = Claimed { said, alone };
    if !took(useful(bench, answer, &claim, &kept, reception)?) {
        return Ok(None);
    }
    let (kept, verdict) = documents(bench, answer, &claim, kept)?;
    if !took(verdict) {
        return Ok(None);
    }
    let (mut unit, verdict) = made(bench, answer, &kept)?;
    if !took(verdict) {
        return Ok(None);
    }
    if bench.options.gated
        && let Some(verdict) = unanswered(answer, &unit, &kept, &cited)
    {
        took(verdict);
        return Ok(None);
    }
    if !took(faithful(bench, answer, &claim, &unit, &kept)?) {
        return Ok(None);
    }
    if !bench.options.gated {
        let vectors = distil::vectors(bench, &unit)?;
        return Ok(Some((unit, vectors)));
    }
    let (verdict, second) = uncontested(bench, answer, &kept)?;
    unit.scores.insert(SECOND_SOURCES.into(), second);
    if !verdict.passed {
        unit.state = State::Contested;
        unit.reason.clone_from(&verdict.reason);
    }
    took(verdict);
    let (verdict, made) = novel(bench, unit)?;
    took(verdict);
    let Some((mut unit, vectors)) = made else {
        return Ok(None);
    };
    // A unit that was widened keeps what its own answer went through.
    if unit.gates.is_empty() {
        unit.gates.clone_from(gates);
        for verdict in gates.iter() {
            if let Some(score) = verdict.score {
                unit.scores.insert(verdict.gate.as_str().into(), score);
            }
        }
    }
    let good = f32::from(u16::try_from(reception.good).unwrap_or(u16::MAX));
    *unit.scores.entry(GOOD.into()).or_default() += good;
    Ok(Some((unit, vectors)))
}

/// What a unit may be made of: beside the owner's own words nothing that others wrote, and of what
/// others wrote one document's words. A second source is looked for what the best sentence says; it
/// does not vouch for what another document said along with it.
fn of_one_trust(mut kept: Vec<Cited>) -> Vec<Cited> {
    let Some(first) = kept.first() else {
        return kept;
    };
    let own = |cited: &Cited| trust_of(&cited.origins) >= OWN;
    let (whose, first) = (own(first), first.clone());
    kept.retain(|cited| {
        if whose {
            own(cited)
        } else {
            cited.stands_beside(&first)
        }
    });
    kept
}

/// What an answer cites, sentence by sentence, as far as it is still visible.
pub(super) fn cited(bench: &Bench<'_>, answer: &Answer) -> Result<Vec<Cited>, Failure> {
    let ledger = bench.store().ledger();
    let found = ledger.read(|snapshot| {
        let mut found = Vec::new();
        for citation in &answer.citations {
            let Ok(chunk) = citation.chunk_id.parse::<ChunkId>() else {
                continue;
            };
            let Some((above, text)) = snapshot.chunk_text(chunk)? else {
                continue;
            };
            let origins = snapshot.origins(chunk)?;
            // A copy that others hold is not where the owner wrote it.
            let own = origins.iter().find(|origin| !origin.outside);
            let path = own.or(origins.first()).map(|origin| origin.path.clone());
            let path = path.unwrap_or_default();
            let above = (!above.is_empty()).then(|| above.join(" > "));
            let readable = Readable::of(&text, &path);
            let places = Surroundings::of_sentence(readable.text(), &citation.text);
            // The same words may stand under several headings.
            let is_meant =
                |around: &&Surroundings<'_>| around.heading(above.as_deref()) == citation.heading;
            let around = places.iter().find(is_meant).or(places.first());
            let about = about_sentence(
                &citation.title,
                above.as_deref(),
                &around.cloned().unwrap_or_default(),
            );
            found.push(Cited {
                chunk,
                path,
                about,
                sentence: citation.text.clone(),
                text,
                origins,
            });
        }
        Ok(found)
    });
    Ok(found?)
}

fn eligible(answer: &Answer, cited: &[Cited], held_out: &HeldOut) -> Verdict {
    let gate = Gate::Eligible;
    if held_out.holds(&answer.question) {
        let why = "something was measured with the question: nothing is learned of it";
        return Verdict::refused(gate, None, why);
    }
    if answer.abstained {
        return Verdict::refused(gate, None, "it was refused");
    }
    if answer.citations.is_empty() {
        return Verdict::refused(gate, None, "it cites nothing");
    }
    if cited.len() < answer.citations.len() {
        return Verdict::refused(gate, None, "what it cites has changed since");
    }
    let forbidden = cited.iter().flat_map(|c| &c.origins).find(|o| !o.writeback);
    if let Some(origin) = forbidden {
        let why = format!("the source of {} does not allow it", origin.path);
        return Verdict::refused(gate, None, why);
    }
    Verdict::passed(gate, None, format!("{} citations", cited.len()))
}

fn feedback(reception: Reception) -> Verdict {
    let gate = Gate::Feedback;
    let count = |n: u32| f32::from(u16::try_from(n).unwrap_or(u16::MAX));
    let score = count(reception.good) + 0.5 * count(reception.opened + reception.copied)
        - count(reception.bad)
        - count(reception.asked_again);
    if reception.bad > 0 {
        return Verdict::refused(gate, Some(score), "the owner called it bad");
    }
    if reception.asked_again > 0 && reception.good == 0 {
        return Verdict::refused(gate, Some(score), "it was asked again in other words");
    }
    let said = if reception.good > 0 {
        "the owner called it good"
    } else {
        "nothing against it"
    };
    Verdict::passed(gate, Some(score), said)
}

fn clean(cited: &[Cited]) -> Verdict {
    for cited in cited {
        if let Some(why) = [&cited.text, &cited.about]
            .into_iter()
            .find_map(|part| gate::planted(part))
        {
            return Verdict::refused(Gate::Clean, None, format!("{}: {why}", cited.path));
        }
    }
    Verdict::passed(Gate::Clean, None, "nothing speaks to a machine")
}

/// Every claim is supported, and every number, date and name stands in the cited passages.
fn grounded(answer: &Answer, cited: &[Cited]) -> Verdict {
    let gate = Gate::Grounded;
    if let Some(claim) = answer.claims.iter().find(|claim| !claim.supported) {
        return Verdict::refused(gate, None, format!("nothing supports “{}”", claim.text));
    }
    if let Some(c) = cited
        .iter()
        .find(|c| !gate::holds_sentence(&c.text, &c.sentence))
    {
        return Verdict::refused(
            gate,
            None,
            format!("{} does not hold what is cited", c.path),
        );
    }
    let mut texts: Vec<&str> = cited.iter().map(|c| c.text.as_str()).collect();
    texts.extend(cited.iter().map(|c| c.about.as_str()));
    texts.push(&answer.question);
    let claimed: Vec<&str> = answer
        .claims
        .iter()
        .map(|claim| claim.text.as_str())
        .collect();
    let missing = context::unheld(&claimed.join(" "), &texts);
    match missing.first() {
        Some(missing) => Verdict::refused(gate, None, format!("no cited passage holds {missing}")),
        None => Verdict::passed(gate, Some(1.0), "all of it stands in what is cited"),
    }
}

/// The answer in its own words: what its claims say, or the sentences that it quotes.
fn said(answer: &Answer, kept: &[Cited]) -> String {
    if answer.claims.is_empty() {
        let quoted: Vec<String> = kept.iter().map(|c| plain(&c.sentence)).collect();
        return quoted.join(" ");
    }
    let claims: Vec<&str> = answer.claims.iter().map(|c| c.text.as_str()).collect();
    claims.join(" ")
}

/// Mean log-probability of an answer with this evidence; `None` from a model that cannot say.
fn likelihood(
    bench: &Bench<'_>,
    question: &str,
    evidence: &[(String, String)],
    said: &str,
) -> Result<Option<f32>, Failure> {
    let Some(generator) = bench.generator.filter(|_| bench.options.model_gates) else {
        return Ok(None);
    };
    let given = Continuation {
        messages: conversation(evidence, &format!("Question: {}", question.trim())),
        answer: said.to_owned(),
        goes_on: false,
    };
    match generator.score(given, Arc::default()) {
        Ok(scored) => {
            bench.spent_cpu(scored.cpu, 1);
            Ok(Some(scored.mean_log_prob()))
        }
        Err(EngineError::Unsupported { .. } | EngineError::PromptTooLong { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn titled(cited: &Cited, text: &str) -> (String, String) {
    (cited.about.clone(), text.to_owned())
}

/// An answer in its own words, and how likely a model finds it without any notes.
struct Claimed {
    said: String,
    alone: Option<f32>,
}

/// How much likelier this evidence makes an answer; `None` without a model that can say.
fn gain(
    bench: &Bench<'_>,
    answer: &Answer,
    claim: &Claimed,
    evidence: &[(String, String)],
) -> Result<Option<f32>, Failure> {
    let Some(alone) = claim.alone else {
        return Ok(None);
    };
    let with = likelihood(bench, &answer.question, evidence, &claim.said)?;
    Ok(with.map(|with| with - alone))
}

/// The notes were needed: the answer is likelier with them; and retrieval was sure of them.
fn useful(
    bench: &Bench<'_>,
    answer: &Answer,
    claim: &Claimed,
    kept: &[Cited],
    reception: Reception,
) -> Result<Verdict, Failure> {
    let gate = Gate::Useful;
    if !bench.options.gated {
        return Ok(Verdict::passed(gate, None, "not asked"));
    }
    let evidence = kept.iter().map(|c| titled(c, &plain(&c.sentence)));
    let gain = gain(bench, answer, claim, &evidence.collect::<Vec<_>>())?;
    if gain.is_some_and(|gain| gain <= LEAST_GAIN) {
        let why = "the model knew it without the notes";
        return Ok(Verdict::refused(gate, gain, why));
    }
    let seen = |name: &str| {
        let judged = answer
            .steps
            .iter()
            .find(|step| step.kind == StepKind::Judge);
        judged
            .and_then(|step| step.seen.get(name))
            .copied()
            .unwrap_or(0.0)
    };
    let held = seen("best_sentence_coverage");
    let sure = gate::is_sure(seen("lanes_agree") > 0.5, held) || reception.good > 0;
    let score = gain.or(Some(held));
    if !sure {
        let why = "retrieval was not sure: words and vectors disagree, or the best sentence holds \
                   little of the question";
        return Ok(Verdict::refused(gate, score, why));
    }
    Ok(Verdict::passed(
        gate,
        score,
        "retrieval was sure of what it found",
    ))
}

/// Which of the cited passages made the answer: with a model those that make it likelier, each
/// alone or beside the others, and two at least; without one all that [`distil::sentences`] took from.
fn documents(
    bench: &Bench<'_>,
    answer: &Answer,
    claim: &Claimed,
    kept: Vec<Cited>,
) -> Result<(Vec<Cited>, Verdict), Failure> {
    let gate = Gate::Documents;
    let chunks: BTreeSet<ChunkId> = kept.iter().map(|c| c.chunk).collect();
    if claim.alone.is_none() || chunks.len() < 2 {
        let said = format!("{} passages", chunks.len());
        return Ok((kept, Verdict::passed(gate, None, said)));
    }
    let mut passages: Vec<(ChunkId, (String, String))> = Vec::new();
    for cited in &kept {
        if passages.iter().all(|(known, _)| *known != cited.chunk) {
            passages.push((cited.chunk, titled(cited, &cited.text)));
        }
    }
    let gained = |evidence: &[(String, String)]| -> Result<f32, Failure> {
        Ok(gain(bench, answer, claim, evidence)?.unwrap_or(0.0))
    };
    let mut alone = Vec::new();
    for (chunk, passage) in &passages {
        alone.push((gained(std::slice::from_ref(passage))?, *chunk));
    }
    let best = alone.iter().map(|(gain, _)| *gain).fold(f32::MIN, f32::max);
    let without = |left_out: Option<ChunkId>| {
        let others = passages
            .iter()
            .filter(|(chunk, _)| Some(*chunk) != left_out);
        let others: Vec<(String, String)> = others.map(|(_, passage)| passage.clone()).collect();
        gained(&others)
    };
    let of = needed(alone, without)?;
    let kept: Vec<Cited> = kept.into_iter().filter(|c| of.contains(&c.chunk)).collect();
    let said = format!(
        "{} of {} passages make it likelier",
        of.len(),
        passages.len()
    );
    Ok((kept, Verdict::passed(gate, Some(best), said)))
}

/// The passages that make an answer likelier alone, of which two at least (the paper's `n_min`: where
/// several are needed, none helps much by itself); and those that do so beside all others, as in a chain
/// of facts: `without` says what the others gain together, one left out or none.
fn needed(
    mut alone: Vec<(f32, ChunkId)>,
    without: impl Fn(Option<ChunkId>) -> Result<f32, Failure>,
) -> Result<BTreeSet<ChunkId>, Failure> {
    alone.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut needed = BTreeSet::new();
    let mut all = None;
    for (n, (gain, chunk)) in alone.into_iter().enumerate() {
        let mut helps = gain > 0.0 || n < LEAST_DOCUMENTS;
        if !helps {
            let together = match all {
                Some(known) => known,
                None => *all.insert(without(None)?),
            };
            helps = together - without(Some(chunk))? > LEAST_GAIN;
        }
        if helps {
            needed.insert(chunk);
        }
    }
    Ok(needed)
}

/// The unit: sentences as they stand, or a rewrite of them that says nothing else.
fn made(bench: &Bench<'_>, answer: &Answer, kept: &[Cited]) -> Result<(Unit, Verdict), Failure> {
    let mut sources: Vec<Quotes> = Vec::new();
    for cited in kept {
        match sources.iter_mut().find(|q| q.chunk == cited.chunk) {
            Some(quotes) if quotes.sentences.contains(&cited.sentence) => {}
            Some(quotes) => quotes.sentences.push(cited.sentence.clone()),
            None => sources.push(Quotes {
                chunk: cited.chunk,
                path: cited.path.clone(),
                sentences: vec![cited.sentence.clone()],
            }),
        }
    }
    let code: HashSet<&str> = kept
        .iter()
        .filter(|cited| distil::is_code(cited))
        .map(|cited| cited.sentence.as_str())
        .collect();
    let verbatim = Unit::text_with_code(&sources, |sentence| code.contains(sentence));
    let rewritten = distil::rewrite(bench, &answer.question, kept)?;
    let recipe = match (&rewritten, bench.generator) {
        (Some(_), Some(generator)) => format!("{} {}", distil::REWRITE, generator.name()),
        _ => VERBATIM.to_owned(),
    };
    let text = rewritten.unwrap_or(verbatim);
    let trust = kept.iter().map(|c| trust_of(&c.origins));
    let trust = trust.fold(OWN, f32::min);
    let question = answer.question.trim();
    let unit = Unit {
        id: Unit::id_of(&text, &sources),
        state: State::Shadow,
        title: distil::title_of_all(kept, (question, &text), trust),
        text,
        questions: vec![question.to_owned()],
        trust,
        sources,
        scores: BTreeMap::new(),
        gates: Vec::new(),
        batch: bench.batch.clone(),
        recipe,
        reason: "found".into(),
        made_ms: bench.now_ms,
        uses: Uses::default(),
        replaces: Vec::new(),
    };
    let verdict = if kept.is_empty() {
        Verdict::refused(Gate::Distilled, None, "no sentence answers the question")
    } else {
        let words = unit.text.split_whitespace().count();
        let score = f32::from(u16::try_from(words).unwrap_or(u16::MAX));
        Verdict::passed(Gate::Distilled, Some(score), format!("{words} words"))
    };
    Ok((unit, verdict))
}

/// The trust of a chunk by where it stands. What the owner wrote stays the owner's word where others
/// have a copy of it.
pub(super) fn trust_of<'a>(origins: impl IntoIterator<Item = &'a Origin>) -> f32 {
    let mut origins = origins.into_iter().peekable();
    let is_known = origins.peek().is_some();
    if is_known && origins.all(|origin| origin.outside) {
        OUTSIDE
    } else {
        OWN
    }
}

/// Nothing that the sources do not say; and the unit alone makes the answer likelier.
fn faithful(
    bench: &Bench<'_>,
    answer: &Answer,
    claim: &Claimed,
    unit: &Unit,
    kept: &[Cited],
) -> Result<Verdict, Failure> {
    let gate = Gate::Faithful;
    let stands = kept
        .iter()
        .all(|c| gate::holds_sentence(&c.text, &c.sentence));
    let texts: Vec<&str> = kept.iter().map(|c| c.sentence.as_str()).collect();
    if !stands || !(unit.is_verbatim() || distil::is_faithful(&unit.text, &texts)) {
        return Ok(Verdict::refused(
            gate,
            None,
            "it says what its sources do not",
        ));
    }
    let number = kept.iter().any(|c| context::tells_number(&c.sentence));
    if bench.options.gated && question::asks_for_number(&answer.question) && !number {
        let why = "a number is asked for, and it tells none";
        return Ok(Verdict::refused(gate, None, why));
    }
    let names = |c: &Cited| context::names_another(&answer.question, &c.sentence);
    let who = question::asks_for_person(&answer.question);
    if bench.options.gated && who && !kept.iter().any(names) {
        let why = "somebody is asked for, and it names nobody";
        return Ok(Verdict::refused(gate, None, why));
    }
    let alone = [(unit.title.clone(), unit.text.clone())];
    let gain = gain(bench, answer, claim, &alone)?;
    if gain.is_some_and(|gain| gain <= LEAST_GAIN) {
        return Ok(Verdict::refused(
            gate,
            gain,
            "alone it does not lead to the answer",
        ));
    }
    Ok(Verdict::passed(
        gate,
        gain,
        "every sentence stands in a source",
    ))
}

/// Why a unit does not answer its question, though it holds many words of it: another sentence that is
/// cited speaks of what is asked for, or none does.
fn unanswered(answer: &Answer, unit: &Unit, kept: &[Cited], cited: &[Cited]) -> Option<Verdict> {
    let refused = |why: &str| Some(Verdict::refused(Gate::Faithful, None, why));
    let taken: Vec<&Cited> = kept.iter().collect();
    let is_missing = |other: &Cited| distil::is_missing(&answer.question, &taken, other);
    if cited.iter().any(is_missing) {
        return refused("another sentence that is cited holds what it does not say");
    }
    let above = kept.first().map_or("", |c| c.about.as_str());
    if !distil::answers(&answer.question, above, &unit.text) {
        return refused("what is asked for, beyond what it stands under, it does not say");
    }
    None
}

/// Looks for other documents that say the contrary, or the same; says how many say the same.
fn uncontested(
    bench: &Bench<'_>,
    answer: &Answer,
    kept: &[Cited],
) -> Result<(Verdict, f32), Failure> {
    // Against the document of the best sentence alone: what a unit took from others may contradict it.
    let first = kept.first();
    let is_of_first = |c: &&Cited| first.is_some_and(|first| c.stands_beside(first));
    let ours = || kept.iter().filter(is_of_first);
    let stated = Stated {
        question: &answer.question,
        above: first.map_or("", |c| c.about.as_str()),
        sentences: ours().map(|c| c.sentence.as_str()).collect(),
        origins: ours().flat_map(|c| &c.origins).collect(),
        settled: HashSet::new(),
        least_trust: 0.0,
    };
    compare(bench, &stated)
}

/// What one document states, and is compared with all others.
pub(super) struct Stated<'a> {
    /// What it answers.
    pub question: &'a str,
    /// What the best of its sentences stands under.
    pub above: &'a str,
    /// Its sentences, the best first, but behind the one that opens it.
    pub sentences: Vec<&'a str>,
    /// Where they stand.
    pub origins: Vec<&'a Origin>,
    /// Contradictions that the owner knew of and decided about.
    pub settled: HashSet<String>,
    /// The trust below which nothing speaks against it.
    pub least_trust: f32,
}

/// A sentence of another document.
struct Other {
    /// See [`speaks_of`].
    held: f32,
    path: String,
    about: String,
    sentence: String,
    /// Whether it speaks for what is compared: others say many things, and often twice.
    independent: bool,
    trust: f32,
}

/// Sentences of other documents that are compared.
const COMPARED: usize = 12;

/// Of one document at most.
const COMPARED_OF_ONE: usize = 4;

/// Share of the words of question or statement that a sentence holds which is compared.
const LEAST_HELD: f32 = 0.3;

/// The same with what it stands under.
const LEAST_HELD_UNDER: f32 = 0.5;

/// Share of the words of a question, or of what answers it, that texts hold: the larger one.
fn held(question: &str, main: &str, texts: &[&str]) -> f32 {
    context::coverage(question, texts).max(context::coverage(main, texts))
}

/// May a sentence, under what it stands under, speak for or against what is stated? The share of the
/// words of question or statement that it holds; with what it stands under, and one less, where that is
/// what makes it worth a look.
pub(super) fn speaks_of(stated: &Stated<'_>, sentence: &str, about: &str) -> Option<f32> {
    let main = stated.sentences.first()?;
    let alone = held(stated.question, main, &[sentence]);
    if alone >= LEAST_HELD {
        return Some(alone);
    }
    let under = held(stated.question, main, &[sentence, about]);
    (under >= LEAST_HELD_UNDER).then_some(under - 1.0)
}

/// What a sentence of a text stands under, that of its passage being known.
pub(super) fn about_within<'a>(text: Text<'_>, at: usize, about: &'a str) -> Cow<'a, str> {
    match Surroundings::of(text, at).within() {
        Some(within) => format!("{about} > {within}").into(),
        None => about.into(),
    }
}

/// As [`uncontested`].
pub(super) fn compare(bench: &Bench<'_>, stated: &Stated<'_>) -> Result<(Verdict, f32), Failure> {
    let gate = Gate::Uncontested;
    let Some(main) = stated.sentences.first() else {
        return Ok((Verdict::passed(gate, None, "nothing to compare"), 0.0));
    };
    let (others, taken_back) = others(bench, stated, main)?;
    if let Some(why) = taken_back.filter(|why| !stated.settled.contains(why)) {
        return Ok((Verdict::refused(gate, None, why), 0.0));
    }
    let texts = stated.sentences.iter().map(|ours| plain(ours));
    let texts = texts.chain(others.iter().map(|other| plain(&other.sentence)));
    let vectors = bench.parts.searcher.space.embedder.few(texts.collect())?;
    let (our_vectors, vectors) = vectors.split_at(stated.sentences.len());
    let mut second: BTreeSet<&str> = BTreeSet::new();
    for (other, vector) in others.iter().zip(vectors) {
        let said = (other.sentence.as_str(), other.about.as_str());
        // Each is as near as it is itself: the first may only open what the next one says.
        let mut ours = stated.sentences.iter().zip(our_vectors);
        let differs = ours.find_map(|(ours, ours_vector)| {
            let near = dot(ours_vector, vector);
            let why = gate::conflict(stated.question, (ours, stated.above), said, near)?;
            Some((format!("{}: {why}", other.path), near))
        });
        if let Some((why, near)) = differs
            && other.trust >= stated.least_trust
            && !stated.settled.contains(&why)
        {
            return Ok((Verdict::refused(gate, Some(near), why), 0.0));
        }
        let mut ours = stated.sentences.iter();
        if other.independent && ours.all(|ours| gate::corroborates(ours, said)) {
            second.insert(&other.path);
        }
    }
    let count = f32::from(u16::try_from(second.len()).unwrap_or(u16::MAX));
    let said = match second.first() {
        Some(path) => format!("{path} says the same"),
        None => "no other passage says the contrary".to_owned(),
    };
    Ok((Verdict::passed(gate, Some(count), said), count))
}

/// The sentences of other documents that hold most of what is asked or said, and those of the same one
/// that tell of a change; and why what is stated does not hold any more, where the next sentence says so.
fn others(
    bench: &Bench<'_>,
    stated: &Stated<'_>,
    main: &str,
) -> Result<(Vec<Other>, Option<String>), Failure> {
    let mut others: Vec<Other> = Vec::new();
    let mut taken_back = None;
    let is_stated = |text: &str| stated.sentences.iter().any(|s| gate::is_sentence(text, s));
    // Asked and said: a planted fact is found by either.
    for text in [stated.question, main] {
        for passage in originals(bench, text)? {
            let is_own = stated.origins.iter().any(|ours| ours.file == passage.path);
            // The owner's own words count; those of others do from another source alone, and those of
            // an agent never: it may have written both.
            let known = |origin: &Origin| stated.origins.iter().any(|o| o.source == origin.source);
            let mut origins = passage.origins.iter();
            let independent =
                origins.any(|origin| !origin.outside || !(origin.remembered || known(origin)));
            let readable = Readable::of(&passage.text, &passage.path.to_string_lossy());
            let read = readable.text();
            let trust = trust_of(&passage.origins);
            let spans = sentence::sentences(read);
            for (n, span) in spans.iter().enumerate() {
                let sentence = &read[span.clone()];
                let next = spans.get(n + 1).map(|next| &read[next.clone()]);
                if is_own && is_stated(sentence) {
                    if next.is_some_and(|next| gate::corrects(next) && !is_stated(next)) {
                        let path = passage.path.display();
                        taken_back = Some(format!("{path}: the next sentence takes it back"));
                    }
                    continue;
                }
                // What a note says of the same thing elsewhere is no contradiction; what it says has
                // changed is one. That the back door has another code now says nothing of the front.
                let before = n.checked_sub(1).map(|n| &read[spans[n].clone()]);
                let lacks = |text: &str| context::lacking(stated.question, &[text]);
                let is_of_it = || {
                    let known = lacks(main);
                    lacks(sentence).iter().all(|word| known.contains(word))
                };
                let is_news =
                    || before.is_some_and(gate::corrects) || gate::revises(sentence) && is_of_it();
                if is_own && !is_news() {
                    continue;
                }
                let known = others.iter_mut().find(|known| known.sentence == sentence);
                if let Some(known) = known {
                    known.trust = known.trust.max(trust);
                    continue;
                }
                let about = about_within(read, span.start, &passage.about);
                let Some(held) = speaks_of(stated, sentence, &about) else {
                    continue;
                };
                let independent = independent && !is_own;
                others.push(Other {
                    held,
                    path: passage.path.to_string_lossy().into_owned(),
                    about: about.into_owned(),
                    sentence: sentence.to_owned(),
                    independent: independent && !next.is_some_and(gate::takes_back),
                    trust,
                });
            }
        }
    }
    others.sort_by(|a, b| b.held.total_cmp(&a.held));
    // One document full of the question's words must not keep the others out.
    let mut of_path: HashMap<String, usize> = HashMap::new();
    others.retain(|other| {
        let count = of_path.entry(other.path.clone()).or_default();
        *count += 1;
        *count <= COMPARED_OF_ONE
    });
    others.truncate(COMPARED);
    Ok((others, taken_back))
}

/// A passage that may say the contrary.
struct Found {
    path: PathBuf,
    about: String,
    text: String,
    origins: Vec<Origin>,
}

/// What the notes hold on this, found without units. Those that a search folds into a hit because
/// they nearly say the same count, too: what is planted is nearly a copy.
fn originals(bench: &Bench<'_>, text: &str) -> Result<Vec<Found>, Failure> {
    let chars: String = text.chars().take(search::QUERY_CHARS / 4).collect();
    let query = Query::words(chars, 10);
    let ranking = search::rank(&bench.parts.searcher, &query)?;
    let ledger = bench.store().ledger();
    let found = ledger.read(|snapshot| {
        let mut found = Vec::new();
        for ranked in ranking.ranked {
            let hit = ranked.hit;
            let about = hit.about();
            for folded in hit.folded {
                let Ok(chunk) = folded.chunk_id.parse::<ChunkId>() else {
                    continue;
                };
                if let Some((_, text)) = snapshot.chunk_text(chunk)? {
                    found.push(Found {
                        path: folded.path,
                        about: about.clone(),
                        text,
                        origins: snapshot.origins(chunk)?,
                    });
                }
            }
            found.push(Found {
                path: hit.path,
                about,
                text: hit.text,
                origins: snapshot.origins(ranked.fused.judged.chunk)?,
            });
        }
        Ok::<_, StoreError>(found)
    });
    Ok(found?)
}

/// Is it known already? A unit that says the same takes the question over; units that answer the
/// same from other sources are made into one, of all their sources.
fn novel(bench: &Bench<'_>, mut unit: Unit) -> Result<(Verdict, Option<Made>), Failure> {
    let gate = Gate::Novel;
    let ledger = bench.store().ledger();
    let question = unit.questions[0].clone();
    let embedder = &bench.parts.searcher.space.embedder;
    let vector = embedder.few(vec![question.clone()])?.remove(0);
    let model = bench.parts.searcher.space.indexes.model();
    let everything = units::UseUnits::With(bench.trial.clone());
    let (known, near, rejected) = ledger.read(|snapshot| {
        let store = bench.store();
        let near = store.near_units(snapshot, model, &vector, &everything, SAME, 3)?;
        let known = said_already(snapshot, &unit)?;
        Ok::<_, StoreError>((known, near, snapshot.rejected_sentences()?))
    })?;
    // Broken into other lines it is the same sentence.
    let flat = |sentence: &String| sentence.split_whitespace().collect::<Vec<_>>().join(" ");
    let sentences = unit.sources.iter().flat_map(|quotes| &quotes.sentences);
    let said: HashSet<String> = sentences.map(flat).collect();
    let says =
        |one: &HashSet<String>| !one.is_empty() && one.iter().all(|s| said.contains(&flat(s)));
    if rejected.iter().any(says) {
        let why = "it says all that a unit says which the owner rejected";
        return Ok((Verdict::refused(gate, None, why), None));
    }
    if let Some(known) = known {
        return widened(bench, unit, &known);
    }
    let mut verdict = Verdict::passed(
        gate,
        near.first().map(|n| n.question_cosine),
        "nothing like it is known",
    );
    let same = near
        .iter()
        .find(|near| near.question_cosine >= SAME && gate::same_subject(&question, &near.question));
    if let Some(merged) = same.and_then(|near| merged(&unit, &near.unit)) {
        // The union may be what one of them says already.
        if let Some(known) = ledger.read(|snapshot| said_already(snapshot, &merged))? {
            return widened(bench, merged, &known);
        }
        verdict.reason = format!(
            "made of its sources and those of unit {}",
            merged.replaces[0]
        );
        unit = merged;
    }
    let vectors = distil::vectors(bench, &unit)?;
    Ok((verdict, Some((unit, vectors))))
}

/// The unit that says what this one says, of the same document: "Backups run at 3" of one server and of
/// another are two things. Older versions wrote code in one line.
fn said_already(snapshot: &Snapshot<'_>, unit: &Unit) -> Result<Option<Unit>, StoreError> {
    let mut texts = vec![unit.text.clone()];
    if unit.is_verbatim() {
        texts.push(Unit::text_of(&unit.sources));
    }
    for text in texts {
        for known in snapshot.units_saying(&text)? {
            if shares_document(snapshot, &known, unit)? {
                return Ok(Some(known));
            }
        }
    }
    Ok(None)
}

/// Does a known unit rest on a document that a new one rests on, or on a copy of it? Where what it rests
/// on is gone, its path tells, which two sources may both have.
fn shares_document(snapshot: &Snapshot<'_>, known: &Unit, unit: &Unit) -> Result<bool, StoreError> {
    let mut files: HashSet<PathBuf> = HashSet::new();
    for chunk in unit.chunks() {
        files.extend(
            snapshot
                .origins(chunk)?
                .into_iter()
                .map(|origin| origin.file),
        );
    }
    for quotes in &known.sources {
        let origins = snapshot.origins(quotes.chunk)?;
        let is_same = if origins.is_empty() {
            unit.sources.iter().any(|ours| ours.path == quotes.path)
        } else {
            origins.iter().any(|origin| files.contains(&origin.file))
        };
        if is_same || unit.chunks().any(|chunk| chunk == quotes.chunk) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// One unit of the sources of two, which takes the place of the known one once it is in use; `None`
/// where that would be long, where the owner decided about the known one, or where one of them says
/// all that the other says.
fn merged(unit: &Unit, known: &Unit) -> Option<Unit> {
    // Nobody's word for one of them is a word for the other.
    let own = known.trust >= OWN && unit.trust >= OWN;
    let one_holds_all = gate::holds_sentence(&known.text, &unit.text)
        || gate::holds_sentence(&unit.text, &known.text);
    if !(own && known.is_verbatim() && unit.is_verbatim()) || one_holds_all || is_decided(known) {
        return None;
    }
    let sources = distil::union(&unit.sources, known.sources.iter());
    let is_code = |sentence: &str| [unit, known].iter().any(|u| u.fenced(sentence).is_some());
    let text = Unit::text_with_code(&sources, is_code);
    let fits = sources.len() <= distil::MOST_SOURCES
        && text.split_whitespace().count() <= distil::MOST_WORDS;
    let question = &unit.questions[0];
    let more = known.questions.iter().filter(|q| *q != question);
    fits.then(|| Unit {
        id: Unit::id_of(&text, &sources),
        questions: std::iter::once(question)
            .chain(more.take(MOST_QUESTIONS - 1))
            .cloned()
            .collect(),
        trust: unit.trust.min(known.trust),
        title: unit::titled(unit.titles().chain(known.titles())),
        replaces: replaced_by_union(known),
        sources,
        text,
        ..unit.clone()
    })
}

/// What goes when the union with a unit comes into use: that unit, and what it was to take the place of
/// itself, where it is in trial.
fn replaced_by_union(known: &Unit) -> Vec<String> {
    let waiting = known
        .replaces
        .iter()
        .filter(|_| known.state == State::Shadow);
    std::iter::once(&known.id).chain(waiting).cloned().collect()
}

/// A unit that says what another says already: that one takes the question over, unless it is for
/// something else than the one that it was made for. What speaks against it counts in any case.
fn widened(
    bench: &Bench<'_>,
    unit: Unit,
    known: &Unit,
) -> Result<(Verdict, Option<Made>), Failure> {
    let gate = Gate::Novel;
    let question = unit.questions[0].clone();
    if known.state == State::Retired && known.reason.starts_with(BY_OWNER) {
        let why = format!("unit {} was taken out of use: {}", known.id, known.reason);
        return Ok((Verdict::refused(gate, None, why), None));
    }
    let back = matches!(known.state, State::Retired | State::Stale);
    // What the owner put in use knowing what speaks against it stays in use.
    let decided = known.state == State::Active && known.reason.starts_with(BY_OWNER);
    let contradicted = unit.state == State::Contested
        && matches!(known.state, State::Active | State::Shadow)
        && !decided;
    let another = known
        .questions
        .first()
        .is_some_and(|first| gate::asks_for_another(&question, first, &known.under_title()));
    let mut questions = known.questions.clone();
    // What an older version wrote in one line gets its lines.
    let with_lines = Unit {
        text: unit.text.clone(),
        ..known.clone()
    };
    let told_anew = known.text != unit.text && with_lines.is_verbatim();
    if back && another {
        // What it answered before it went out of use is another matter.
        questions.clear();
    }
    let full = questions.contains(&question) || questions.len() >= MOST_QUESTIONS;
    if !(back || contradicted || told_anew) && (another || full) {
        let why = if another && !questions.contains(&question) {
            format!(
                "unit {} says the same, and answers another question",
                known.id
            )
        } else {
            format!("unit {} answers it", known.id)
        };
        return Ok((Verdict::refused(gate, Some(1.0), why), None));
    }
    if !questions.contains(&question) && (back || !another) {
        questions.push(question);
    }
    questions.truncate(MOST_QUESTIONS);
    let (state, reason) = match (back, unit.state) {
        (false, State::Shadow) => (known.state, known.reason.clone()),
        (false, State::Contested) if decided => (known.state, known.reason.clone()),
        (_, State::Contested) => (State::Contested, unit.reason.clone()),
        (_, state) => (state, "found again".to_owned()),
    };
    let merged = Unit {
        state,
        questions,
        reason,
        ..if back {
            brought_back(unit, known)
        } else {
            vouched_anew(if told_anew { &with_lines } else { known }, &unit)
        }
    };
    let vectors = distil::vectors(bench, &merged)?;
    let why = if contradicted && another {
        format!("unit {} says the same, and is contested with it", merged.id)
    } else {
        format!(
            "unit {} says the same and answers this question, too",
            merged.id
        )
    };
    Ok((
        Verdict::passed(gate, Some(1.0), why),
        Some((merged, vectors)),
    ))
}

/// A unit in the place of one that is out of use and says the same.
fn brought_back(unit: Unit, known: &Unit) -> Unit {
    let mut back = Unit {
        id: known.id.clone(),
        batch: known.batch.clone(),
        made_ms: known.made_ms,
        replaces: known.replaces.clone(),
        ..unit
    };
    if let Some(good) = known.scores.get(GOOD) {
        back.scores.insert(GOOD.into(), *good);
    }
    back
}

/// A known unit: what it rests on, and what was found out about that, stays while it stands.
fn vouched_anew(known: &Unit, unit: &Unit) -> Unit {
    let mut scores = known.scores.clone();
    // Who vouched for it once may be gone.
    if let (Some(then), Some(now)) = (
        scores.get_mut(SECOND_SOURCES),
        unit.scores.get(SECOND_SOURCES),
    ) {
        *then = then.min(*now);
    }
    Unit {
        scores,
        ..known.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::source::SourceId;

    #[test]
    fn what_others_wrote_does_not_ride_along() {
        let cited = |path: &str, outside: bool, sentence: &str| Cited {
            chunk: ChunkId([0; 16]),
            path: path.into(),
            about: String::new(),
            sentence: sentence.into(),
            text: sentence.into(),
            origins: vec![Origin {
                source: SourceId(1),
                file: path.into(),
                path: path.into(),
                writeback: true,
                never_leaves: false,
                outside,
                remembered: false,
            }],
        };
        let check = |given: &[Cited], expected: &[&str]| {
            let kept = of_one_trust(given.to_vec());
            let kept: Vec<&str> = kept.iter().map(|c| c.sentence.as_str()).collect();
            assert_eq!(kept, expected);
        };
        let own = cited("garden.md", false, "The pear tree was planted in 2004.");
        let other = cited("tools.md", false, "The spade is in the shed.");
        let mail = cited("a.eml", true, "The fence belongs to Marin.");
        let second = cited("b.eml", true, "So does the gate.");
        check(
            &[own.clone(), mail.clone(), other.clone()],
            &[&own.sentence, &other.sentence],
        );
        check(&[mail.clone(), own, second], &[&mail.sentence]);
        // Of the same name in another source.
        let mut elsewhere = cited("a.eml", true, "So does the shed.");
        elsewhere.origins[0].file = "other/a.eml".into();
        check(&[mail.clone(), elsewhere], &[&mail.sentence]);
        check(&[], &[]);
    }

    #[test]
    fn passages_that_help_alone_or_beside_others_are_needed() {
        let chunk = |n: u8| ChunkId([n; 16]);
        let check = |gains: &[f32], chained: Option<u8>, expected: &[u8]| {
            let alone = gains.iter().zip(0..).map(|(gain, n)| (*gain, chunk(n)));
            let without = |left_out: Option<ChunkId>| {
                let is_chained = left_out.is_some() && left_out == chained.map(chunk);
                Ok(if is_chained { 0.2 } else { 0.9 })
            };
            let found = needed(alone.collect(), without).unwrap();
            let expected: BTreeSet<ChunkId> = expected.iter().map(|n| chunk(*n)).collect();
            assert_eq!(found, expected, "{gains:?}");
        };
        check(&[0.5, -0.1], None, &[0, 1]);
        check(&[0.5, -0.1, -0.2], None, &[0, 1]);
        check(&[0.5, -0.1, -0.2], Some(2), &[0, 1, 2]);
        check(&[-0.3, 0.5, 0.1, 0.2], None, &[1, 2, 3]);
        check(&[-0.3, 0.5, 0.1, 0.2], Some(0), &[0, 1, 2, 3]);
    }

    #[test]
    fn a_copy_that_others_hold_takes_no_trust_away() {
        let origin = |outside: bool| Origin {
            source: SourceId(1),
            file: "a.md".into(),
            path: "a.md".into(),
            writeback: true,
            never_leaves: false,
            outside,
            remembered: false,
        };
        let check = |outside: &[bool], expected: f32| {
            let origins: Vec<Origin> = outside.iter().map(|outside| origin(*outside)).collect();
            let trust = trust_of(&origins);
            assert!((trust - expected).abs() < 1e-6, "{outside:?}: {trust}");
        };
        check(&[false], OWN);
        check(&[true], OUTSIDE);
        check(&[false, true], OWN);
        check(&[true, false], OWN);
        check(&[true, true], OUTSIDE);
    }
}
