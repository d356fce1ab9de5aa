//! Never worse: units in trial are tried on the owner's own past questions before anything is shown.
//!
//! A past question with a known outcome is looked at with and without the units in trial; the unit
//! that was made of it is left out, so that what is measured is what a unit does to *other*
//! questions, those among them that came to the same sentences by themselves. Hits move only for a unit
//! that answers the very question, so that it is searched only where one of those in trial does. A unit that
//! leads such a question to evidence that its answer rests on, or says what answers it, has
//! helped; what an answer only quotes beside that counts for nothing, and neither does an answer that
//! another passage contradicts. One that pushes such
//! evidence down, or would be quoted for the question although its answer rests on something else,
//! has harmed, and goes. A batch that loses without them is rolled back as a whole.
//!
//! Where a day's budget is not enough for all questions, it is tried on fewer of them from the next day on,
//! the newest: what begins anew every day would never come to an end.
//!
//! Questions of an evaluation set that the owner chose are asked in the same way. They can only take
//! units out: what is measured with is not learned from.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::answer::Answer;
use super::super::evaluate::set::NotesQuestion;
use super::super::search::{self, Query, Ranked, Ranking};
use super::{Bench, Report, distil, judge};
use crate::domain::gate;
use crate::domain::measure::reciprocal;
use crate::domain::query::literal;
use crate::domain::scoring::{normalised, score};
use crate::domain::unit::{State, Unit};
use crate::error::Failure;
use crate::store::ledger::{Snapshot, Transaction};
use crate::store::units::considered::Past;
use crate::store::units::near::NearUnit;
use crate::store::units::{self, UseUnits, life};
use crate::store::{StoreError, ledger};

/// Past questions that units are tried on at most, the newest first.
pub(super) const MOST_PAST: usize = 2000;

/// Past questions that they are tried on at least, where there are so many: on fewer nothing comes into use.
const LEAST_PAST: usize = 100;

/// The memo of how many questions a day's budget has room for, where that is known to be fewer.
const ROOM: &str = "replay_room";

/// Questions of the set that are asked at most.
const MOST_OF_SET: usize = 1000;

/// Times that harmful units are taken out before the batch is judged as a whole.
const MOST_ROUNDS: usize = 60;

/// Hits that are looked at.
const K: usize = 10;

/// A question with known evidence.
enum Case<'a> {
    /// One that the owner asked.
    Past(&'a Past),
    /// One of the set.
    Set(&'a NotesQuestion),
}

impl Case<'_> {
    /// Its name among all of them.
    fn id(&self) -> String {
        match self {
            Self::Past(past) => past.answer.clone(),
            Self::Set(asked) => format!("set {}", asked.id),
        }
    }

    fn question(&self) -> &str {
        match self {
            Self::Past(past) => &past.question,
            Self::Set(asked) => &asked.question,
        }
    }

    /// When it was asked, milliseconds since 1970; those of the set were not.
    fn asked_ms(&self) -> i64 {
        match self {
            Self::Past(past) => past.asked_ms,
            Self::Set(_) => i64::MIN,
        }
    }

    /// Is its evidence good? What the owner rejected is evidence against what it cites.
    fn good(&self) -> bool {
        match self {
            Self::Past(past) => past.reception.bad == 0,
            Self::Set(_) => true,
        }
    }

    /// Does this hit show what the answer rests on most, or another passage that says the same words?
    fn shown_by(&self, ranked: &Ranked) -> bool {
        match self {
            Self::Past(past) => {
                let is_cited = past.cited.first().is_some_and(|first| {
                    let folded = &ranked.hit.folded;
                    ranked.parts.iter().any(|(_, chunk)| chunk == first)
                        || folded.iter().any(|f| f.chunk_id == first.to_string())
                });
                let mut said = past.sentences.iter().take(1);
                is_cited || said.any(|first| gate::holds_sentence(&ranked.hit.text, first))
            }
            Self::Set(asked) => asked.is_about(&ranked.hit.path) && holds(asked, &ranked.hit.text),
        }
    }

    /// Is it answered by a sentence of this unit, among those that would be `kept` of its answer, or is
    /// it the question that the unit answers?
    fn is_helped_by(&self, near: &NearUnit, kept: &[String]) -> bool {
        let Self::Past(past) = self else {
            return false;
        };
        let unit = &near.unit;
        let mut said = unit.sources.iter().flat_map(|quotes| &quotes.sentences);
        let mut says = || {
            said.any(|sentence| kept.contains(sentence))
                && distil::answers(&past.question, unit.above(), &unit.text)
        };
        !past.contested && (search::is_recalled(&past.question, near) || says())
    }

    /// Does this unit rest on what the answer rests on, or say what it says in the same words? Those may
    /// stand in another passage since.
    fn leads(&self, unit: &Unit) -> bool {
        match self {
            Self::Past(past) => {
                unit.chunks().any(|chunk| past.cited.contains(&chunk)) || says(unit, past)
            }
            Self::Set(asked) => unit.sources.iter().any(|quotes| {
                asked.is_about(quotes.path.as_ref())
                    && quotes.sentences.iter().any(|s| holds(asked, s))
            }),
        }
    }
}

/// Are all sentences of a unit among those of an answer? Of a question that it answers one is enough:
/// others may only open it.
fn says(unit: &Unit, past: &Past) -> bool {
    let asked = normalised(&past.question);
    let answers = unit
        .questions
        .iter()
        .any(|known| normalised(known) == asked);
    let is_quoted = |sentence: &String| {
        let mut quoted = past.sentences.iter();
        quoted.any(|other| gate::is_sentence(other, sentence))
    };
    let mut said = unit.sources.iter().flat_map(|quotes| &quotes.sentences);
    if answers {
        said.any(is_quoted)
    } else {
        !unit.sources.is_empty() && said.all(is_quoted)
    }
}

/// Does a text hold one of the answers? One that is a yes or a no stands nowhere.
fn holds(asked: &NotesQuestion, text: &str) -> bool {
    let mut said = asked.golden_answers.clone();
    said.retain(|answer| !matches!(normalised(answer).as_str(), "yes" | "no"));
    said.is_empty() || score(text, &said).acc_words > 0.5
}

/// What units did to the questions.
#[derive(Default)]
struct Tried {
    helped: HashMap<String, u32>,
    /// When the newest question was asked that each of those helped.
    helped_ms: HashMap<String, i64>,
    /// Units that harmed, with a question that they did it to.
    harmed: HashMap<String, String>,
    /// Questions that lost.
    lost: HashSet<String>,
    change: f64,
    asked: usize,
    /// Whether it ended before all were asked.
    is_cut_off: bool,
}

/// What units in trial were made of.
#[derive(Default)]
struct Own {
    /// Units by the answers that they were made of.
    answers: HashMap<String, HashSet<String>>,
    /// The question that each was made of, normalised.
    questions: HashMap<String, String>,
}

impl Own {
    fn read(snapshot: &Snapshot<'_>) -> Result<Self, StoreError> {
        let mut own = Self::default();
        for unit in snapshot.units(Some(State::Shadow), super::MOST_UNITS)? {
            let Some(first) = unit.questions.first().map(|q| normalised(q)) else {
                continue;
            };
            // Another question that came to the same sentences by itself is no part of the making.
            let mut made_of = Vec::new();
            for (answer, question) in snapshot.answers_behind(&unit.id)? {
                made_of.extend((normalised(&question) == first).then_some(answer));
            }
            for old in &unit.replaces {
                let behind = snapshot.answers_behind(old)?;
                made_of.extend(behind.into_iter().map(|(answer, _)| answer));
            }
            for answer in made_of {
                let of = own.answers.entry(answer).or_default();
                of.insert(unit.id.clone());
            }
            own.questions.insert(unit.id, first);
        }
        Ok(own)
    }

    /// Was the unit made of this question's answer?
    fn made(&self, case: &Case<'_>, unit: &str) -> bool {
        let Case::Past(past) = case else {
            return false;
        };
        let of = self.answers.get(&past.answer);
        of.is_some_and(|units| units.contains(unit))
    }

    /// Is this the question that the unit was made of, typed again?
    fn asks(&self, case: &Case<'_>, unit: &str) -> bool {
        let own = self.questions.get(unit);
        own.is_some_and(|own| *own == normalised(case.question()))
    }
}

/// Tries the units in trial, counts what they did, and takes out what harms. Says whether it came to
/// the end: where `stop` was set before, or the day's budget is spent, nothing more is decided.
pub(super) fn replay(
    bench: &Bench<'_>,
    report: &mut Report,
    stop: &AtomicBool,
) -> Result<bool, Failure> {
    let ledger = bench.store().ledger();
    let (room, past, own) = ledger.read(|snapshot| {
        let held_out = &bench.options.held_out;
        let room = room(snapshot)?;
        let mut past = snapshot.past(room)?;
        past.retain(|past| !held_out.holds(&past.question));
        Ok::<_, StoreError>((room, past, Own::read(snapshot)?))
    })?;
    let mut trial: HashSet<String> = bench.trial.clone();
    let set = bench.options.replayed.iter().take(MOST_OF_SET.min(room));
    let all: Vec<Case<'_>> = past
        .iter()
        .map(Case::Past)
        .chain(set.map(Case::Set))
        .collect();
    let every: Vec<&Case<'_>> = all.iter().collect();
    let mut tried = try_on(bench, &every, &own, &trial, stop)?;
    // Without those that harm others come to the front, which may harm, too: the questions that lost
    // are asked again until none does.
    let mut rounds = 0;
    while !tried.harmed.is_empty() && rounds < MOST_ROUNDS && !tried.is_cut_off {
        rounds += 1;
        let Some(out) = take_out(bench, &tried.harmed)? else {
            return Ok(false);
        };
        report.retired.extend(out);
        trial.retain(|unit| !tried.harmed.contains_key(unit));
        let lost = every.iter().copied();
        let lost: Vec<_> = lost
            .filter(|case| tried.lost.contains(&case.id()))
            .collect();
        tried = try_on(bench, &lost, &own, &trial, stop)?;
        if tried.harmed.is_empty() {
            tried = try_on(bench, &every, &own, &trial, stop)?;
        }
    }
    // Nothing comes into use that was not tried to the end; where units still harm, the next run goes on
    // taking them out.
    if stop.load(Ordering::Relaxed) || tried.is_cut_off || !tried.harmed.is_empty() {
        return Ok(false);
    }
    conclude(bench, report, &tried)?;
    // Where there was nothing to try, it says nothing of how long that takes.
    if room < MOST_PAST && !bench.trial.is_empty() && bench.has_share() {
        ledger.write(|transaction| put_room(transaction, room * 2))?;
    }
    Ok(true)
}

/// How many questions a day's budget has room for, as far as is known.
fn room(snapshot: &Snapshot<'_>) -> Result<usize, StoreError> {
    let memo = snapshot.memo(ROOM)?.and_then(|memo| memo.parse().ok());
    let room: usize = memo.unwrap_or(MOST_PAST);
    Ok(room.clamp(LEAST_PAST, MOST_PAST))
}

fn put_room(transaction: &Transaction<'_>, room: usize) -> Result<(), StoreError> {
    ledger::put_memo(transaction, ROOM, &room.to_string())
}

/// Units are tried on half of the questions from now on, the newest, because a day's budget was not
/// enough for all. Returns how many that are; `None` where they cannot be fewer.
pub(super) fn ask_fewer(bench: &Bench<'_>) -> Result<Option<usize>, StoreError> {
    let of_set = bench.options.replayed.len().min(MOST_OF_SET);
    let ledger = bench.store().ledger();
    let fewer = ledger.read(|snapshot| {
        let room = room(snapshot)?;
        let past = snapshot.past(room)?.len();
        Ok(fewer(room, past.max(of_set)))
    })?;
    if let Some(fewer) = fewer {
        ledger.write(|transaction| put_room(transaction, fewer))?;
    }
    Ok(fewer)
}

/// Half of as many questions as there are, and as there was room for.
fn fewer(room: usize, there: usize) -> Option<usize> {
    let fewer = room.min(there) / 2;
    (room > LEAST_PAST).then_some(fewer.max(LEAST_PAST))
}

/// Takes units out of use that harmed a question; returns those that were not out already, or `None`
/// where something was forgotten, which may be such a question.
fn take_out(
    bench: &Bench<'_>,
    harmed: &HashMap<String, String>,
) -> Result<Option<Vec<String>>, StoreError> {
    bench.store().ledger().write(|transaction| {
        if bench.is_outdated(transaction)? {
            return Ok(None);
        }
        let mut out = Vec::new();
        for (unit, question) in harmed {
            let now = units::unit(transaction, unit)?;
            if now.is_some_and(|now| now.state == State::Active) {
                // It was in trial: the owner has put it in use meanwhile.
                continue;
            }
            let why = format!("replay: it led away from the evidence for “{question}”");
            if bench.move_unit(transaction, unit, State::Retired, &why)? {
                out.push(unit.clone());
            }
            life::bring_back(transaction, unit)?;
            units::count_use(transaction, unit, units::Use::Harmed)?;
        }
        Ok(Some(out))
    })
}

/// Rolls a batch back that loses as a whole, or counts whom its units helped.
fn conclude(bench: &Bench<'_>, report: &mut Report, tried: &Tried) -> Result<(), StoreError> {
    report.replayed = tried.asked;
    report.change = tried.change / f64::from(u32::try_from(tried.asked.max(1)).unwrap_or(u32::MAX));
    if tried.change < -1e-9 {
        let why = format!(
            "replay: {} questions lose {:.4} of their reciprocal rank",
            tried.asked, -report.change
        );
        super::roll_back(bench.store(), &bench.batch, &why)?;
        report.rolled_back = true;
        report.reason = why;
        return Ok(());
    }
    bench.helped_ms.borrow_mut().clone_from(&tried.helped_ms);
    bench.store().ledger().write(|transaction| {
        for (unit, count) in &tried.helped {
            units::set_helped(transaction, unit, *count)?;
        }
        Ok(())
    })
}

fn try_on(
    bench: &Bench<'_>,
    cases: &[&Case<'_>],
    own: &Own,
    trial: &HashSet<String>,
    stop: &AtomicBool,
) -> Result<Tried, Failure> {
    let mut tried = Tried::default();
    if trial.is_empty() {
        return Ok(tried);
    }
    for case in cases {
        if stop.load(Ordering::Relaxed) || bench.over().is_some() {
            tried.is_cut_off = true;
            break;
        }
        let with = trial.iter().filter(|unit| !own.made(case, unit));
        let query = query(
            bench,
            case.question(),
            UseUnits::With(with.cloned().collect()),
        );
        let mut near = search::near(&bench.parts.searcher, &query)?;
        near.retain(|near| trial.contains(&near.unit.id));
        if near.is_empty() {
            continue;
        }
        let words = literal(&query.text).words;
        let moved = if near.iter().any(|near| search::is_recalled(&words, near)) {
            moved(bench, case, &query, trial)?
        } else {
            Moved::default()
        };
        let kept = if near.iter().any(|near| case.leads(&near.unit)) {
            kept_of(bench, case)?
        } else {
            Vec::new()
        };
        tried.compare(case, &near, (own, &kept), &moved);
    }
    Ok(tried)
}

/// What units in trial did to the hits of a question.
#[derive(Default)]
struct Moved {
    /// Change of the reciprocal rank of what its answer rests on; its negative where that is bad.
    change: f64,
    to_blame: HashSet<String>,
}

/// Searches for a question with the units that `query` allows, and without those in trial.
fn moved(
    bench: &Bench<'_>,
    case: &Case<'_>,
    query: &Query,
    trial: &HashSet<String>,
) -> Result<Moved, Failure> {
    let (with, without) = search::with_and_without(&bench.parts.searcher, query)?;
    let sign = if case.good() { 1.0 } else { -1.0 };
    Ok(Moved {
        change: sign * (reciprocal_rank(&with, case) - reciprocal_rank(&without, case)),
        to_blame: to_blame(case.question(), trial, &with),
    })
}

/// The sentences of a past answer that a unit would be made of.
fn kept_of(bench: &Bench<'_>, case: &Case<'_>) -> Result<Vec<String>, Failure> {
    let Case::Past(past) = case else {
        return Ok(Vec::new());
    };
    let body = bench.store().ledger().read(|s| s.answer(&past.answer))?;
    let answer = body.and_then(|body| serde_json::from_value::<Answer>(body).ok());
    let cited = match &answer {
        Some(answer) => judge::cited(bench, answer)?,
        // Of another version.
        None => Vec::new(),
    };
    let kept = distil::sentences(&past.question, &cited).into_iter();
    Ok(kept.map(|cited| cited.sentence).collect())
}

impl Tried {
    /// Counts what the units in trial that are near a question did to it; `kept` is what answers it.
    fn compare(
        &mut self,
        case: &Case<'_>,
        near: &[NearUnit],
        (own, kept): (&Own, &[String]),
        moved: &Moved,
    ) {
        self.asked += 1;
        let (good, change) = (case.good(), moved.change);
        self.change += change;
        for near in near {
            let unit = &near.unit.id;
            let leads = case.leads(&near.unit);
            // It would be quoted for this question, and says something else.
            let misleads = good && !leads && search::is_recalled(case.question(), near);
            let counts = case.is_helped_by(near, kept) && !own.asks(case, unit);
            if good && leads && counts && change >= 0.0 && near.cosine >= LEADS {
                *self.helped.entry(unit.clone()).or_default() += 1;
                let newest = self.helped_ms.entry(unit.clone()).or_insert(i64::MIN);
                *newest = case.asked_ms().max(*newest);
            }
            // Any that took part in a loss is out, whatever else it leads to.
            if misleads || change < 0.0 && moved.to_blame.contains(unit) {
                self.lost.insert(case.id());
                let harmed = self.harmed.entry(unit.clone());
                harmed.or_insert_with(|| case.question().to_owned());
            }
        }
    }
}

/// The units in trial to which a loss of a question is put down: those that led to a hit that is shown.
/// What one leads to may be shown as a part of another hit, which names no unit: then it is those that
/// answer the question.
fn to_blame(question: &str, trial: &HashSet<String>, with: &Ranking) -> HashSet<String> {
    let hits = with.ranked.iter();
    let mut led: HashSet<String> = hits
        .filter_map(|ranked| ranked.hit.unit_id.clone())
        .filter(|unit| trial.contains(unit))
        .collect();
    if led.is_empty() {
        let near = with.units.iter();
        let near = near
            .filter(|near| trial.contains(&near.unit.id) && search::is_recalled(question, near));
        led.extend(near.map(|near| near.unit.id.clone()));
    }
    led
}

/// Cosine from which a unit led a question to its evidence.
const LEADS: f32 = 0.5;

/// One over the place of the best hit that shows what the answer rests on; 0 where none does.
fn reciprocal_rank(ranking: &Ranking, case: &Case<'_>) -> f64 {
    let mut ranked = ranking.ranked.iter();
    reciprocal(ranked.position(|ranked| case.shown_by(ranked)))
}

fn query(bench: &Bench<'_>, question: &str, units: UseUnits) -> Query {
    Query {
        units,
        merge: bench.parts.options.merge,
        ..Query::words(question, K)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::domain::chunk::ChunkId;
    use crate::domain::unit::{OWN, Quotes, Uses, VERBATIM};
    use crate::store::feedback::Reception;
    use crate::store::{Access, Store};

    fn boiler() -> Unit {
        Unit {
            id: "u".into(),
            state: State::Shadow,
            title: "Boiler".into(),
            text: "The boiler is old. It holds 1.5 bar.".into(),
            questions: vec!["What pressure does the boiler hold?".into()],
            sources: vec![Quotes {
                chunk: ChunkId::of("", "new"),
                path: "boiler.md".into(),
                sentences: vec!["The boiler is old.".into(), "It holds 1.5 bar.".into()],
            }],
            scores: BTreeMap::new(),
            gates: Vec::new(),
            batch: String::new(),
            trust: OWN,
            recipe: VERBATIM.into(),
            reason: String::new(),
            made_ms: 0,
            uses: Uses::default(),
            replaces: Vec::new(),
        }
    }

    fn near(id: &str, cosine: f32) -> NearUnit {
        let unit = Unit {
            id: id.into(),
            ..boiler()
        };
        NearUnit {
            cosine,
            question_cosine: cosine,
            question: unit.questions[0].clone(),
            unit: Arc::new(unit),
        }
    }

    #[test]
    fn where_a_day_is_too_short_fewer_questions_are_asked_until_it_is_not() {
        let check = |there: usize, expected: &[usize]| {
            let (mut room, mut found) = (MOST_PAST, Vec::new());
            while let Some(next) = fewer(room, there) {
                found.push(next);
                room = next;
            }
            assert_eq!(found, expected, "{there}");
        };
        check(9000, &[1000, 500, 250, 125, 100]);
        check(300, &[150, 100]);
        check(20, &[100]);
    }

    #[test]
    fn what_there_is_room_for_is_known_the_next_day() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path(), Access::Write).unwrap();
        let check = |put: usize, expected: usize| {
            store.ledger().write(|t| put_room(t, put)).unwrap();
            assert_eq!(store.ledger().read(room).unwrap(), expected, "{put}");
        };
        assert_eq!(store.ledger().read(room).unwrap(), MOST_PAST);
        check(500, 500);
        check(1, LEAST_PAST);
        check(2 * MOST_PAST, MOST_PAST);
    }

    #[test]
    fn a_loss_is_put_down_to_what_answers_the_question_where_no_hit_names_a_unit() {
        let question = "What pressure does the boiler hold?";
        let mut with = Ranking::default();
        with.units
            .extend([near("new", 0.95), near("far", 0.6), near("in use", 0.95)]);
        let trial = HashSet::from(["new".to_owned(), "far".to_owned()]);
        let expected = HashSet::from(["new".to_owned()]);
        assert_eq!(to_blame(question, &trial, &with), expected);
    }

    #[test]
    fn what_stands_in_another_passage_now_is_what_was_cited() {
        let unit = boiler();
        let check = |question: &str, sentences: &[&str], expected: bool| {
            let past = Past {
                contested: false,
                answer: "a".into(),
                question: question.into(),
                asked_ms: 0,
                cited: vec![ChunkId::of("", "old")],
                sentences: sentences.iter().map(|s| (*s).to_owned()).collect(),
                reception: Reception::default(),
            };
            assert_eq!(Case::Past(&past).leads(&unit), expected, "{question}");
        };
        let asked = "what pressure does the boiler hold";
        check(asked, &["It holds\n1.5 bar."], true);
        check(asked, &["It holds 2 bar."], false);
        check("How is it?", &["It holds 1.5 bar."], false);
        let both = ["The boiler is old.", "It holds 1.5 bar.", "So it is."];
        check("How is it?", &both, true);
    }
}
