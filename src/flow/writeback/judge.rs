//! From one answer to one unit, or to the gate that refused it.
//!
//! No labels: an answer is a candidate when it did not abstain, cites passages, and everything that
//! can be checked holds. Gates go from cheap to dear; the first that refuses ends it. What each one
//! measured is kept with the answer, passed or not.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::super::answer::prompt::{about_sentence, conversation, plain};
use super::super::answer::{Answer, StepKind};
use super::super::evaluate::held_out::HeldOut;
use super::compare::{Stated, compare};
use super::novel::novel;
use super::{Bench, distil};
use crate::domain::chunk::ChunkId;
use crate::domain::context;
use crate::domain::gate::{self, Gate, Verdict};
use crate::domain::question;
use crate::domain::sentence;
use crate::domain::surroundings::Surroundings;
use crate::domain::text::Readable;
use crate::domain::unit::{OUTSIDE, OWN, Quotes, State, Unit, Uses, VERBATIM};
use crate::engine::EngineError;
use crate::engine::generate::Continuation;
use crate::error::Failure;
use crate::store::StoreError;
use crate::store::feedback::Reception;
use crate::store::ledger::Transaction;
use crate::store::units::evidence::Origin;
use crate::store::units::life::BY_OWNER;
use crate::store::units::{self, GOOD, SECOND_SOURCES, batches, near};

/// How much likelier the notes must make an answer (natural logarithm, mean of its tokens).
const LEAST_GAIN: f32 = 0.01;

/// Passages that stay where so many were cited, whatever each of them does alone.
const LEAST_DOCUMENTS: usize = 2;

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
    /// Writes the unit. A source that changed since it was judged makes it stale at once; what the owner
    /// decided of it since then stands.
    pub(super) fn keep(
        &self,
        transaction: &Transaction<'_>,
        (batch, model): (&str, &str),
    ) -> Result<(), StoreError> {
        let Some(unit) = &self.unit else {
            return Ok(());
        };
        let is_decided = |now: &Unit| {
            let is_last = matches!(now.state, State::Active | State::Retired);
            is_last && now.reason.starts_with(BY_OWNER)
        };
        let now = units::unit(transaction, &unit.id)?.filter(is_decided);
        if now.is_some_and(|now| (now.state, &now.reason) != (unit.state, &unit.reason)) {
            return Ok(());
        }
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

/// A unit, with the vectors of its questions and of what it says.
pub(super) type Made = (Unit, Vec<Vec<f32>>);

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
    if !took(useful(bench, answer, &claim, (&kept, &cited), reception)?) {
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
    let said = match cited.len() {
        1 => "it cites one sentence".to_owned(),
        n => format!("it cites {n} sentences"),
    };
    Verdict::passed(gate, None, said)
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
    (kept, cited): (&[Cited], &[Cited]),
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
    let agree = seen("lanes_agree") > 0.5 || kept.iter().any(|one| is_said_twice(one, cited));
    let sure = gate::is_sure(agree, held) || reception.good > 0;
    let score = gain.or(Some(held));
    if !sure {
        let why = "retrieval was not sure: words and vectors disagree, or the best sentence holds \
                   little of the question";
        return Ok(Verdict::refused(gate, score, why));
    }
    let said = if gain.is_some() {
        "retrieval was sure of what it found, and the model finds the answer likelier with it"
    } else {
        "retrieval was sure of what it found"
    };
    Ok(Verdict::passed(gate, score, said))
}

/// Does another document that the answer cites say the same? Then words may like the one best and vectors
/// the other.
fn is_said_twice(one: &Cited, cited: &[Cited]) -> bool {
    let mut others = cited.iter().filter(|other| !one.stands_beside(other));
    others.any(|other| gate::corroborates(&one.sentence, (&other.sentence, &other.about)))
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
        let said = match chunks.len() {
            1 => "of one passage".to_owned(),
            n => format!("of {n} passages"),
        };
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
    let often = question::asks_how_often(&answer.question);
    let tells = |text: &str| context::tells_number(text) || often && context::tells_frequency(text);
    let number = kept.iter().any(|c| tells(&c.sentence));
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
    let said = if gain.is_some() {
        "every sentence stands in a source, and alone it leads the model to the answer"
    } else {
        "every sentence stands in a source"
    };
    Ok(Verdict::passed(gate, gain, said))
}

/// Why a unit does not answer its question, though it holds many words of it: another sentence that is
/// cited speaks of what is asked for, or none does.
fn unanswered(answer: &Answer, unit: &Unit, kept: &[Cited], cited: &[Cited]) -> Option<Verdict> {
    let refused = |why: &str| Some(Verdict::refused(Gate::Faithful, None, why));
    if kept.iter().all(|c| sentence::is_question(&c.sentence)) {
        return refused("it only asks");
    }
    let taken: Vec<&Cited> = kept.iter().collect();
    let is_missing = |other: &Cited| distil::is_missing(&answer.question, &taken, other);
    if cited.iter().any(is_missing) {
        return refused("another sentence that is cited holds what it does not say");
    }
    let above = kept.first().map_or("", |c| c.about.as_str());
    if !distil::answers(&answer.question, above, &unit.text) {
        return refused("it does not say what is asked for; what its headings say does not count");
    }
    None
}

/// See [`compare`].
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::source::SourceId;
    use crate::store::units::life;
    use crate::store::{Access, Store};

    fn cited(path: &str, outside: bool, sentence: &str) -> Cited {
        Cited {
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
        }
    }

    #[test]
    fn what_two_documents_say_is_said_twice() {
        let note = "The pear tree was planted in 2004.";
        let one = cited("garden.md", false, note);
        let check = |path: &str, sentence: &str, expected: bool| {
            let all = [one.clone(), cited(path, false, sentence)];
            assert_eq!(is_said_twice(&one, &all), expected, "{path}: {sentence}");
        };
        check("diary.md", "In 2004 the pear tree was planted.", true);
        check("diary.md", "In 2005 the pear tree was planted.", false);
        check("diary.md", "The pear tree was not planted in 2004.", false);
        check("garden.md", note, false);
    }

    #[test]
    fn what_others_wrote_does_not_ride_along() {
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
    fn what_the_owner_decides_while_it_is_judged_stands() {
        let unit = Unit {
            id: "u".into(),
            state: State::Active,
            title: String::new(),
            text: "The boiler is old.".into(),
            questions: vec!["How is the boiler?".into()],
            sources: Vec::new(),
            scores: BTreeMap::new(),
            gates: Vec::new(),
            batch: "b".into(),
            trust: OWN,
            recipe: VERBATIM.into(),
            reason: "it has helped".into(),
            made_ms: 0,
            uses: Uses::default(),
            replaces: Vec::new(),
        };
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path(), Access::Write).unwrap();
        let ledger = store.ledger();
        ledger.write(|t| units::put_unit(t, &unit)).unwrap();
        // As it was read, with one more question.
        let judged = Judged {
            gates: Vec::new(),
            unit: Some(Unit {
                questions: vec!["How is the boiler?".into(), "Is it old?".into()],
                ..unit
            }),
            vectors: Vec::new(),
        };
        let keep = |why: &str| {
            let kept = ledger.write(|t| {
                life::move_unit(t, "u", State::Retired, why)?;
                judged.keep(t, ("b", "m"))?;
                units::unit(t, "u")
            });
            kept.unwrap().unwrap().state
        };
        assert_eq!(keep("replay: it led away"), State::Active);
        assert_eq!(keep(life::REJECTED), State::Retired);
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
