//! Comparing what is stated with what other documents say: who says the same, and who the contrary.
//!
//! Answers are compared before a unit comes of them, and units again when notes change.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use super::super::answer::prompt::plain;
use super::super::search::{self, Query};
use super::Bench;
use super::judge::trust_of;
use crate::domain::chunk::ChunkId;
use crate::domain::context;
use crate::domain::gate::{self, Gate, Verdict};
use crate::domain::rank::dot;
use crate::domain::scoring::normalised;
use crate::domain::sentence;
use crate::domain::surroundings::Surroundings;
use crate::domain::text::{Readable, Text};
use crate::domain::unit::OWN;
use crate::error::Failure;
use crate::store::StoreError;
use crate::store::units::evidence::Origin;

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

impl<'a> Stated<'a> {
    /// The sentence that holds most of what is asked: another one may only lead into it.
    fn main(&self) -> Option<&'a str> {
        let held = |sentence: &str| context::coverage(self.question, &[sentence]);
        match self.sentences.as_slice() {
            [] => None,
            [only] => Some(*only),
            all => all
                .iter()
                .rev()
                .copied()
                .max_by(|a, b| held(a).total_cmp(&held(b))),
        }
    }
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
    let main = stated.main()?;
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

/// Looks for other documents that say the contrary, or the same; says how many say the same.
///
/// # Errors
/// What the store and the models say.
pub(super) fn compare(bench: &Bench<'_>, stated: &Stated<'_>) -> Result<(Verdict, f32), Failure> {
    let gate = Gate::Uncontested;
    let Some(main) = stated.main() else {
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
                    let ends = |next: &str| {
                        gate::corrects(next) || gate::calls_off(next) || gate::restricts(next)
                    };
                    if next.is_some_and(|next| ends(next) && !is_stated(next)) {
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
                // Others pass on what they were sent: the same words from two of them are of one.
                let mut ours = stated.sentences.iter();
                let is_passed_on = trust < OWN && ours.any(|ours| is_copy(ours, sentence));
                let is_taken_back = next.is_some_and(gate::takes_back);
                let vouches = independent && !(is_own || is_passed_on || is_taken_back);
                let path = || passage.path.to_string_lossy().into_owned();
                let about = about_within(read, span.start, &passage.about);
                let known = others.iter_mut().find(|known| known.sentence == sentence);
                if let Some(known) = known {
                    known.trust = known.trust.max(trust);
                    if vouches && !known.independent {
                        known.independent = true;
                        (known.path, known.about) = (path(), about.into_owned());
                    }
                    continue;
                }
                let Some(held) = speaks_of(stated, sentence, &about) else {
                    continue;
                };
                others.push(Other {
                    held,
                    path: path(),
                    about: about.into_owned(),
                    sentence: sentence.to_owned(),
                    independent: vouches,
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

/// Are these the same words, but for their marks?
fn is_copy(sentence: &str, other: &str) -> bool {
    normalised(sentence) == normalised(other)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_into_a_sentence_is_not_what_is_compared() {
        let check = |sentences: &[&str], expected: Option<&str>| {
            let stated = Stated {
                question: "Which valve is opened first?",
                above: "",
                sentences: sentences.to_vec(),
                origins: Vec::new(),
                settled: HashSet::new(),
                least_trust: 0.0,
            };
            assert_eq!(stated.main(), expected);
        };
        let (lead_in, item) = ("Never do the following:", "- Open the red valve first.");
        check(&[lead_in, item], Some(item));
        check(&[item, lead_in], Some(item));
        check(&[lead_in, "It hisses."], Some(lead_in));
        check(&[lead_in], Some(lead_in));
        check(&[], None);
    }
}
