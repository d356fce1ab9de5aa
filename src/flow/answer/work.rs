//! What all strategies work with: the reader, the hits, citations, checked claims, counted steps.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::super::search::{self, Hit, Query, Ranked, Ranking, is_recalled, millis};
use super::passages::hits_of;
use super::prompt::{about_sentence, plain, says_not_found, told_code};
use super::quotes::EXTRACTS;
use super::{
    Answerer, Ask, Citation, Claim, Event, NOT_FOUND, Step, StepKind, Strategy, Timing, TokenCount,
};
use crate::domain::chunk::ChunkId;
use crate::domain::context::{self, Chosen, Evidence, Portion, Support};
use crate::domain::doubt::{self, Doubt};
use crate::domain::language::Language;
use crate::domain::scoring::normalised;
use crate::domain::sentence::code::Code;
use crate::domain::sentence::{self, lines};
use crate::domain::text::Text;
use crate::domain::unit::{MOST_SHARE, Unit};
use crate::domain::words::is_unspaced;
use crate::domain::{gate, question, rank, surroundings};
use crate::energy::Meter;
use crate::error::Failure;
use crate::store::feedback::CalledBad;
use crate::store::units::is_decided;

/// The one who listens, until they leave.
pub(super) struct Reader<'a> {
    emit: &'a mut dyn FnMut(Event) -> ControlFlow<()>,
    /// Set when they leave.
    pub cancel: &'a Arc<AtomicBool>,
    /// Have they left?
    pub gone: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        emit: &'a mut dyn FnMut(Event) -> ControlFlow<()>,
        cancel: &'a Arc<AtomicBool>,
    ) -> Self {
        Self {
            emit,
            cancel,
            gone: false,
        }
    }

    pub(super) fn send(&mut self, event: Event) {
        let left = self.cancel.load(Ordering::Relaxed);
        if self.gone || left || (self.emit)(event).is_break() {
            self.gone = true;
            self.cancel.store(true, Ordering::Relaxed);
        }
    }
}

/// Evidence as the model reads it: the hit that it is from, and its words.
pub(super) type Shown = Vec<(usize, String)>;

/// Cosine from which a unit is read in place of passages.
const READ_UNIT: f32 = 0.5;

/// Other sentences that are read beside a unit, at least.
const BESIDE_UNIT: usize = 3;

/// Sentences whose meaning is compared with the question's. Of 1,650 questions of three sets, 16 find
/// 8 more than 8 do.
const WEIGHED: usize = 16;

/// Share of the question's words without which a cosine to a text of another language than English
/// says nothing, unless it is this high.
const HELD_AT_LEAST: f32 = 0.3;
const NEAR_IN_ANY_LANGUAGE: f32 = 0.55;

/// Sentences that may hold what the best one lacks, and the share of its score that they must have.
const NEXT_BEST: usize = 6;
const NEARLY: f32 = 0.7;

/// Words that the model found less probable are not searched for.
pub(super) const SURE: f32 = 0.4;

/// The best alone.
pub(super) const ONE: Portion = Portion {
    count: 1,
    words: usize::MAX,
    share: 0.0,
};

/// A sentence: its hit, and where it is in that.
pub(super) type Sentence = (usize, Range<usize>);

/// What was seen in a step.
pub(super) type Seen = Vec<(&'static str, f32)>;

/// An answer in the making.
pub(super) struct Work<'a> {
    pub parts: &'a Answerer<'a>,
    pub ask: &'a Ask,
    pub reader: Reader<'a>,
    pub citations: Vec<Citation>,
    pub claims: Vec<Claim>,
    pub text: String,
    pub steps: Vec<Step>,
    pub timing: Timing,
    pub tokens: TokenCount,
    /// Processor time of the language model.
    pub cpu: Duration,
    /// Did the language model write anything?
    pub wrote: bool,
    /// Was anything told that it wrote or decided?
    pub told: bool,
    /// Did what is told end at the limit of tokens?
    pub cut_off: bool,
    ranking: Ranking,
    /// Sentences of the hits, best first.
    ranked: Vec<Chosen>,
    /// What speaks against answering from the best of them.
    doubts: Vec<Doubt>,
    /// What is not quoted again.
    called_bad: Vec<CalledBad>,
}

/// Where a step began.
pub(super) struct Begun {
    meter: Meter,
    at: Instant,
    tokens: TokenCount,
    cpu: Duration,
}

impl<'a> Work<'a> {
    pub(super) fn new(
        parts: &'a Answerer<'a>,
        ask: &'a Ask,
        (ranking, called_bad): (Ranking, Vec<CalledBad>),
        reader: Reader<'a>,
    ) -> Self {
        let mut work = Self {
            parts,
            ask,
            reader,
            citations: Vec::new(),
            claims: Vec::new(),
            text: String::new(),
            steps: Vec::new(),
            timing: Timing {
                embed_ms: ranking.steps.embed_ms,
                retrieve_ms: ranking.retrieve_ms(),
                ..Timing::default()
            },
            tokens: TokenCount::default(),
            cpu: Duration::ZERO,
            wrote: false,
            told: false,
            cut_off: false,
            ranking,
            ranked: Vec::new(),
            doubts: Vec::new(),
            called_bad,
        };
        work.called_bad = work.still_bad();
        work.ranked = work.rank_sentences();
        work
    }

    /// Answers that were called bad of which something still stands in the notes: what was written since
    /// was never judged.
    fn still_bad(&mut self) -> Vec<CalledBad> {
        let mut bad = std::mem::take(&mut self.called_bad);
        let hits: Vec<&Hit> = self.hits().iter().map(|ranked| &ranked.hit).collect();
        let stands = |(path, text): &(PathBuf, String)| {
            let mut of_file = hits.iter().filter(|hit| hit.path == *path);
            of_file.any(|hit| gate::holds_sentence(&hit.text, text))
        };
        bad.retain(|answer| answer.cited.iter().any(stands));
        bad
    }

    /// Returns whether the answer abstains.
    pub(super) fn run(&mut self) -> Result<bool, Failure> {
        if !self.covered() {
            return Ok(self.refuse("the notes do not hold what is asked for"));
        }
        match (self.ask.strategy, self.parts.generator) {
            (Strategy::Cascade, generator) => self.cascade(generator),
            (Strategy::Extractive, _) | (_, None) => Ok(self.quote(EXTRACTS)),
            (Strategy::Naive, Some(generator)) => self.naive(generator),
            (Strategy::Replug, Some(generator)) => self.replug(generator),
            (Strategy::Flare, Some(generator)) => self.flare(generator),
            (Strategy::SelfRag, Some(generator)) => self.self_rag(generator),
        }
    }

    /// The question without filters.
    pub(super) fn question(&self) -> &str {
        &self.ranking.words
    }

    /// What it asks, without what is only put around that.
    pub(super) fn asked(&self) -> &str {
        question::core(self.question())
    }

    pub(super) fn hits(&self) -> &[Ranked] {
        &self.ranking.ranked
    }

    /// Hits that came after the first so many, numbered on.
    pub(super) fn hits_since(&self, known: usize) -> Vec<Hit> {
        let anew = self.hits().iter().enumerate().skip(known);
        let numbered = anew.map(|(n, ranked)| Hit {
            rank: n + 1,
            ..ranked.hit.clone()
        });
        numbered.collect()
    }

    /// Ids of the units near the question whose sources were found, with those sources.
    pub(super) fn near_units(&self) -> Vec<(String, Vec<String>)> {
        let units = self.ranking.units.iter().map(|near| &near.unit);
        let found = units.filter(|unit| unit.chunks().any(|c| self.hit_of(c).is_some()));
        found
            .map(|unit| {
                let chunks = unit.chunks().map(|chunk| chunk.to_string());
                (unit.id.clone(), chunks.collect())
            })
            .collect()
    }

    /// The hit that shows a chunk.
    fn hit_of(&self, chunk: ChunkId) -> Option<usize> {
        let shows = |ranked: &Ranked| ranked.parts.iter().any(|(_, part)| *part == chunk);
        self.hits().iter().position(shows)
    }

    /// Where the sentences of a unit stand in the hits; none where one of them was not found, or was called
    /// bad.
    fn sentences_of(&self, unit: &Unit) -> Option<Vec<Sentence>> {
        let mut found = Vec::new();
        for quotes in &unit.sources {
            let hit = self.hit_of(quotes.chunk)?;
            let text = self.text_of(hit);
            let spans = sentence::sentences(text);
            for sentence in &quotes.sentences {
                let same =
                    |span: &&Range<usize>| gate::is_sentence(&text[(*span).clone()], sentence);
                let span = spans.iter().find(same)?;
                if self.is_called_bad(hit, span) {
                    return None;
                }
                found.push((hit, span.clone()));
            }
        }
        Some(found).filter(|found| !found.is_empty())
    }

    /// The unit that answers this very question, asked in whatever words, and its sentences. They
    /// stand in the sources: that is checked here.
    pub(super) fn recalled(&self) -> Option<(Arc<Unit>, Vec<Sentence>)> {
        let near = self.ranking.units.iter();
        let mut same = near.filter(|near| is_recalled(self.question(), near));
        same.find_map(|near| {
            let sentences = self.sentences_of(&near.unit)?;
            let is_outdone = !self.is_meant(&near.unit) && self.is_outdone(&near.unit, &sentences);
            (!is_outdone).then(|| (Arc::clone(&near.unit), sentences))
        })
    }

    /// Does a unit answer this question, put in the same words, as the owner says?
    fn is_meant(&self, unit: &Unit) -> bool {
        let asked = normalised(self.question());
        let mut questions = unit.questions.iter();
        is_decided(unit) && questions.any(|known| normalised(known) == asked)
    }

    /// Does one of the best sentences hold all that a unit holds of the question, and more? The pressure
    /// "in winter" is told there, and not by the unit that tells the pressure.
    fn is_outdone(&self, unit: &Unit, own: &[Sentence]) -> bool {
        let says = unit.under_title();
        let mut best = self.ranked.iter().take(NEXT_BEST);
        best.any(|chosen| {
            let sentence = (chosen.passage, chosen.span.clone());
            let text = &self.text_of(chosen.passage)[chosen.span.clone()];
            !own.contains(&sentence) && context::holds_more(self.asked(), text, &says)
        })
    }

    /// What the language model reads: whole passages; or, where a unit is near, the best of the other
    /// sentences and, right before the question, its own: of 100 questions asked again, SmolLM2-135M
    /// answered 35 right so, and 29 where the unit stood in front (`squadshifts_newwiki`). The unit
    /// fills at most 40 of 100 words.
    pub(super) fn evidence(&self) -> Shown {
        self.compact().unwrap_or_else(|| self.passages())
    }

    fn compact(&self) -> Option<Shown> {
        if !self.parts.options.merge.reads() {
            return None;
        }
        let near = self.ranking.units.iter();
        let mut near = near.filter(|near| near.cosine >= READ_UNIT);
        let mut chosen = near.find_map(|near| self.sentences_of(&near.unit))?;
        let words = |(hit, span): &Sentence| {
            let words = self.text_of(*hit).as_str()[span.clone()].split_whitespace();
            f32::from(u16::try_from(words.count()).unwrap_or(u16::MAX))
        };
        let of_unit: f32 = chosen.iter().map(words).sum();
        let (mut beside, mut others) = (Vec::new(), 0.0);
        for next in &self.ranked {
            if beside.len() >= BESIDE_UNIT && of_unit <= MOST_SHARE * (of_unit + others) {
                break;
            }
            let next = (next.passage, next.span.clone());
            if !chosen.contains(&next) {
                others += words(&next);
                beside.push(next);
            }
        }
        if of_unit > MOST_SHARE * (of_unit + others) {
            return None;
        }
        beside.reverse();
        beside.append(&mut chosen);
        Some(self.shown(&beside))
    }

    /// What hits are about and what they say, as evidence, by rank: of too much for the model the least
    /// is left out, from the end, and prompts share a beginning where the best of their passages are
    /// the same.
    pub(super) fn passages(&self) -> Shown {
        let hits = self.hits().iter().enumerate();
        hits.map(|(n, ranked)| (n, ranked.hit.text.clone()))
            .collect()
    }

    // Steps.

    pub(super) fn begin(&self) -> Begun {
        Begun {
            meter: Meter::start(),
            at: Instant::now(),
            tokens: self.tokens,
            cpu: self.cpu,
        }
    }

    pub(super) fn end(
        &mut self,
        begun: &Begun,
        kind: StepKind,
        outcome: impl Into<String>,
        seen: Seen,
    ) {
        let outcome = outcome.into();
        // What came of it may hold words of the notes: not for logs.
        tracing::debug!(?kind, ?seen, "step");
        let seen: BTreeMap<String, f32> = seen
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        self.steps.push(Step {
            kind,
            outcome,
            seen,
            tokens: TokenCount {
                prompt: self.tokens.prompt - begun.tokens.prompt,
                generated: self.tokens.generated - begun.tokens.generated,
            },
            took_ms: millis(begun.at),
            joules: begun.meter.stop(self.cpu.saturating_sub(begun.cpu)).joules,
        });
    }

    /// Tells of the search that began before there was anything to work with.
    pub(super) fn retrieved(&mut self, meter: &Meter, started: Instant) {
        let found = self.hits().len();
        self.steps.push(Step {
            kind: StepKind::Retrieve,
            outcome: format!("{found} passages"),
            seen: BTreeMap::new(),
            tokens: TokenCount::default(),
            took_ms: millis(started),
            joules: meter.stop(Duration::ZERO).joules,
        });
    }

    /// Is there anything in the notes that the question could be about?
    pub(super) fn covered(&mut self) -> bool {
        let begun = self.begin();
        let hits = self.hits();
        let cosines = hits.iter().filter_map(|r| r.fused.judged.cosine);
        let cosine = cosines.fold(0.0, f32::max);
        let texts: Vec<String> = hits.iter().map(|r| r.about() + " " + &r.hit.text).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let coverage = if self.asks_nothing() {
            0.0
        } else {
            context::subject_coverage(self.asked(), &texts[..texts.len().min(3)])
        };
        let missing = context::missing_names(self.question(), &texts);
        let score = |n: usize| hits.get(n).map_or(0.0, |r| r.hit.score);
        let margin = score(0) - score(1);
        // Do words and vectors like the same passage best?
        let best = |of: fn(&rank::Fused) -> f32| {
            let ranked = hits.iter().map(|r| of(&r.fused)).enumerate();
            ranked.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(n, _)| n)
        };
        let agree = best(|f| f.dense) == best(|f| f.lexical);
        let options = self.parts.options;
        let near = cosine >= options.least_cosine
            && (coverage >= HELD_AT_LEAST || !self.is_foreign(cosine));
        let covered =
            missing.is_empty() && !hits.is_empty() && (near || coverage >= options.least_coverage);
        let outcome = match (covered, missing.first()) {
            (true, _) => "the notes may hold it".to_owned(),
            (false, Some(name)) => format!("no note names {name}"),
            (false, None) => "nothing near".to_owned(),
        };
        let best = self.best_sentence().map_or(0.0, |(hit, span)| {
            context::coverage(self.asked(), &[&self.text_of(hit)[span]])
        });
        let seen = vec![
            ("best_cosine", cosine),
            ("best_sentence_coverage", best),
            ("coverage", coverage),
            ("margin", margin),
            ("lanes_agree", f32::from(u8::from(agree))),
        ];
        self.end(&begun, StepKind::Judge, outcome, seen);
        covered
    }

    /// Is there no word in the question that says what it is about, nor a filter: "Who are you?" All
    /// notes hold what is none. "Who is Will?" asks about somebody, and "What do I have to do?" about who
    /// asks, whose notes they are.
    fn asks_nothing(&self) -> bool {
        let (asked, whole) = (self.question(), &self.ask.question);
        let is_filtered = !asked.split_whitespace().eq(whole.split_whitespace());
        let mut behind = asked.split_whitespace().skip(1);
        let names = behind.any(|word| word.starts_with(char::is_uppercase) && word != "I");
        let is_narrowed = is_filtered || self.ask.source.is_some();
        let of_asker = question::is_of_asker(asked);
        let says = names || of_asker || !context::content_words(self.asked()).is_empty();
        asked.contains(char::is_alphanumeric) && !is_narrowed && !says && !self.asks_by_small_word()
    }

    /// "who is will": does the question ask for somebody whom the notes call by its last word?
    fn asks_by_small_word(&self) -> bool {
        let word = self.asked().split_whitespace().next_back();
        let word = word.unwrap_or_default().to_lowercase();
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        let named = |ranked: &Ranked| context::is_name_in(word, &ranked.hit.text);
        question::asks_for_person(self.asked()) && self.hits().iter().take(3).any(named)
    }

    /// Does a cosine say little by itself? Embedding models of English find some likeness between any
    /// two texts of another language, and between all whose characters they don't know.
    fn is_foreign(&self, cosine: f32) -> bool {
        let question = self.question();
        let english =
            || Language::detect(question).is_none_or(|language| language == Language::ENGLISH);
        question.contains(is_unspaced) || cosine < NEAR_IN_ANY_LANGUAGE && !english()
    }

    /// What a step saw, by the name that it was told under.
    pub(super) fn seen(&self, kind: StepKind, name: &str) -> Option<f32> {
        let step = self.steps.iter().rev().find(|step| step.kind == kind)?;
        step.seen.get(name).copied()
    }

    /// Says that the notes do not hold an answer; returns that it abstained.
    pub(super) fn refuse(&mut self, why: &str) -> bool {
        let begun = self.begin();
        NOT_FOUND.clone_into(&mut self.text);
        self.citations.clear();
        self.claims.clear();
        self.reader.send(Event::Token(NOT_FOUND.to_owned()));
        self.end(&begun, StepKind::Refuse, why, Vec::new());
        true
    }

    /// Searches with further words; what is found anew comes behind the hits that are there. The
    /// filters of the question hold. Says how many passages are new.
    pub(super) fn search_again(&mut self, words: &str) -> Result<usize, Failure> {
        let begun = self.begin();
        // Words alone, so that none is read as a filter or an operator.
        let words = fitting(context::content_words(words), &self.ask.question);
        let query = Query {
            // The question comes last: its mark tells that it is one, and not a list of filters.
            text: format!("{words}{}", self.ask.question),
            ..self.ask.query()
        };
        let found = search::rank(&self.parts.searcher, &query)?;
        self.timing.embed_ms += found.steps.embed_ms;
        self.timing.retrieve_ms += found.retrieve_ms();
        let known: Vec<ChunkId> = self.hits().iter().flat_map(chunks_of).collect();
        let anew = found.ranked.into_iter();
        let anew: Vec<Ranked> = anew
            .filter(|ranked| !chunks_of(ranked).iter().all(|chunk| known.contains(chunk)))
            .collect();
        let count = anew.len();
        self.ranking.ranked.extend(anew);
        self.ranked = self.rank_sentences();
        let outcome = format!("{count} more passages for “{}”", words.trim_end());
        self.end(&begun, StepKind::SearchAgain, outcome, Vec::new());
        Ok(count)
    }

    // Evidence.

    /// The best sentences of some hits, in reading order.
    pub(super) fn sentences(&self, among: Range<usize>, portion: Portion) -> Vec<Sentence> {
        let ranked = self.ranked.iter();
        let ranked: Vec<Chosen> = ranked
            .filter(|chosen| among.contains(&chosen.passage))
            .cloned()
            .collect();
        let words = |chosen: &Chosen| {
            let sentence = &self.text_of(chosen.passage)[chosen.span.clone()];
            sentence.split_whitespace().count()
        };
        let best = context::best_sentences(&ranked, portion, words);
        let best: Vec<Sentence> = best.into_iter().map(|c| (c.passage, c.span)).collect();
        let beaten = |one: &Sentence| best.iter().any(|other| self.beats(other, one));
        let kept = best.iter().filter(|one| !beaten(one));
        kept.cloned().collect()
    }

    /// Of rows and items of one passage, does one hold what another one holds of the question, and
    /// more? Then the other is about something else.
    fn beats(&self, one: &Sentence, other: &Sentence) -> bool {
        let text = |(hit, span): &Sentence| &self.text_of(*hit).as_str()[span.clone()];
        let (ours, theirs) = (text(one), text(other));
        let rows = lines::is_row(ours) && lines::is_row(theirs);
        let items = lines::is_item(ours) && lines::is_item(theirs);
        if one.0 == other.0 && (rows || items) && context::holds_more(self.asked(), ours, theirs) {
            return true;
        }
        // "Aloe: …" is no "Orchid: …".
        if one.0 == other.0
            && items
            && context::is_labelled_for(self.asked(), ours, theirs)
            && !context::holds_more(self.asked(), theirs, ours)
        {
            return true;
        }
        // The same of another year, flat or person.
        let with_above =
            |sentence: &Sentence, text: &str| format!("{} {text}", self.above(sentence));
        context::is_variant(ours, theirs)
            && context::holds_more(
                self.asked(),
                &with_above(one, ours),
                &with_above(other, theirs),
            )
    }

    /// The best sentence of all hits.
    pub(super) fn best_sentence(&self) -> Option<Sentence> {
        self.sentences(0..self.hits().len(), ONE).into_iter().next()
    }

    /// What stands around a sentence, with what it stands under (`above`): the one before it and the one
    /// behind it.
    pub(super) fn around(&self, (hit, span): &Sentence, above: &str) -> String {
        let text = self.text_of(*hit);
        let spans = sentence::sentences(text);
        let at = spans
            .iter()
            .position(|other| other.start >= span.start)
            .unwrap_or(0);
        // Back to where it is said who "she" is.
        let mut first = at;
        while first > 0 && surroundings::opens_with_pronoun(&text[spans[first].clone()]) {
            first -= 1;
        }
        let first = first.min(at.saturating_sub(1));
        let from = spans.get(first).map_or(span.start, |before| before.start);
        let to = spans.get(at + 1).map_or(span.end, |behind| behind.end);
        let ranked = &self.hits()[*hit];
        // The folders of a note say what it is about, too: "logseq-docs/pages".
        let folders = ranked.hit.path.iter().rev().skip(1).take(2);
        let folders: Vec<_> = folders.map(|name| name.to_string_lossy()).collect();
        let folders = folders.join(" ").replace(['_', '-', '.'], " ");
        format!("{above} {folders} {}", &text[from..to])
    }

    /// What a sentence stands under: what its note is called, and the headings above it.
    pub(super) fn above(&self, (hit, span): &Sentence) -> String {
        let ranked = &self.hits()[*hit];
        let heading = ranked.heading_at(span.start).unwrap_or_default();
        format!("{} {heading}", ranked.about())
    }

    fn doubts_of(&self, sentence: &Sentence) -> Vec<Doubt> {
        let text = &self.text_of(sentence.0)[sentence.1.clone()];
        let above = self.above(sentence);
        let around = self.around(sentence, &above);
        doubt::doubts(self.question(), text, &around, &above)
    }

    /// Where the best sentence lacks a number, a name or a denial that one of the next holds, or says the
    /// opposite of a word, with nothing that speaks against that one: it is the best.
    fn prefer_undoubted(&mut self, doubts: &[Doubt]) -> bool {
        let lacking = doubts.iter().find(|doubt| doubt.refuses());
        let Some((lacking, best)) = lacking.zip(self.ranked.first()) else {
            return false;
        };
        let least = best.score * NEARLY;
        let own = &self.text_of(best.passage)[best.span.clone()];
        let other = self.ranked.iter().take(NEXT_BEST).position(|chosen| {
            let sentence = (chosen.passage, chosen.span.clone());
            let text = &self.text_of(sentence.0)[sentence.1.clone()];
            chosen.score >= least
                && self.fills(lacking, text, own)
                && !self.doubts_of(&sentence).iter().any(Doubt::refuses)
        });
        let Some(other) = other else {
            return false;
        };
        let score = best.score;
        let mut chosen = self.ranked.remove(other);
        chosen.score = score;
        self.ranked.insert(0, chosen);
        true
    }

    /// Does a text hold what the best sentence (`own`) lacks?
    fn fills(&self, lacking: &Doubt, text: &str, own: &str) -> bool {
        let held = |text: &str| context::coverage(self.asked(), &[text]);
        match lacking {
            // "Before" and "after" tell no sentence from another.
            Doubt::Number(word) | Doubt::Name(word) | Doubt::Opposite(word, _) => {
                !context::content_words(word).is_empty() && context::coverage(word, &[text]) >= 1.0
            }
            // What denies something else is no answer.
            Doubt::Denial => context::is_denial(text) && held(text) >= held(own),
            Doubt::Extreme(_) => false,
        }
    }

    /// Looks for what speaks against answering from the best sentence, and tells it: 1 for each sign
    /// that the notes speak of something else, 0 for each that is not there.
    fn doubt(&mut self) -> Seen {
        let of_best = |work: &Self| {
            let best = work.best_sentence();
            best.map_or_else(Vec::new, |best| work.doubts_of(&best))
        };
        let mut doubts = of_best(self);
        if self.prefer_undoubted(&doubts) {
            doubts = of_best(self);
        }
        self.doubts = doubts;
        let seen = Doubt::SIGNALS.map(|name| {
            let there = self.doubts.iter().any(|doubt| doubt.signal() == name);
            (name, f32::from(u8::from(there)))
        });
        seen.to_vec()
    }

    /// Why the best sentence is no reason to answer, if it is none; see [`doubt`].
    pub(super) fn doubted(&self) -> Option<String> {
        let mut doubts = self.doubts.iter();
        doubts.find(|doubt| doubt.refuses()).map(Doubt::reason)
    }

    /// The sentences of all hits, best first, without what was called bad.
    fn rank_sentences(&self) -> Vec<Chosen> {
        let hits: Vec<usize> = (0..self.hits().len()).collect();
        let texts: Vec<Text<'_>> = hits.iter().map(|n| self.text_of(*n)).collect();
        let mut ranked = self.with_evidence(&hits, &texts, |passages| {
            context::rank_sentences(self.asked(), passages)
        });
        ranked.retain(|chosen| !self.is_called_bad(chosen.passage, &chosen.span));
        ranked
    }

    /// Did the owner call it bad, as an answer to this question? The same words of another file may
    /// mean something else.
    pub(super) fn is_called_bad(&self, hit: usize, span: &Range<usize>) -> bool {
        let file = &self.hits()[hit].hit.path;
        let sentence = &self.text_of(hit)[span.clone()];
        let quoting = self.called_bad.iter().filter(|answer| answer.quotes);
        let mut quotes = quoting.flat_map(|answer| &answer.cited);
        quotes.any(|(path, text)| path == file && gate::is_sentence(text, sentence))
    }

    /// Did the owner call an answer to this question bad?
    pub(super) fn was_called_bad(&self) -> bool {
        !self.called_bad.is_empty()
    }

    /// Tells which answers are not given again, so that the verdict can be taken back.
    pub(super) fn tell_called_bad(&mut self) {
        if !self.was_called_bad() {
            return;
        }
        let answers = self.called_bad.iter().map(|bad| bad.answer.as_str());
        let answers: Vec<&str> = answers.collect();
        let outcome = format!("not given again, called bad: answer {}", answers.join(", "));
        let begun = self.begin();
        self.end(&begun, StepKind::Judge, outcome, Vec::new());
    }

    /// Weighs the best sentences by their meaning, too: words alone do not see what is said in
    /// others. To the share of the question's words comes the cosine to the question, of the
    /// sentence with what it is about.
    pub(super) fn weigh_sentences(&mut self) -> Result<(), Failure> {
        let begun = self.begin();
        let Some(question) = self.ranking.vector.clone() else {
            return Ok(());
        };
        let mut ranked = std::mem::take(&mut self.ranked);
        ranked.truncate(WEIGHED);
        let titled = ranked.iter().map(|chosen| {
            let ranked = &self.hits()[chosen.passage];
            let (hit, at) = (&ranked.hit, chosen.span.start);
            let around = ranked.surroundings_at(at);
            let about = about_sentence(&hit.title, ranked.above(at), &around);
            format!("{about}: {}", plain(&hit.text[chosen.span.clone()]))
        });
        let vectors = self.parts.searcher.space.embedder.few(titled.collect())?;
        for (chosen, vector) in ranked.iter_mut().zip(vectors) {
            chosen.score += rank::dot(&question, &vector);
        }
        ranked.sort_by(|a, b| rank::descending(a.score, b.score));
        let score = |n: usize| ranked.get(n).map_or(0.0, |chosen| chosen.score);
        let mut seen = vec![
            ("best_sentence", score(0)),
            ("sentence_margin", score(0) - score(1)),
        ];
        let outcome = format!("{} sentences", ranked.len());
        self.ranked = ranked;
        seen.extend(self.doubt());
        self.end(&begun, StepKind::Weigh, outcome, seen);
        Ok(())
    }

    /// Sentences without their marks, joined per passage; items of a list stay items, and what stands
    /// above a sentence within its passage stands above it here.
    pub(super) fn shown(&self, sentences: &[Sentence]) -> Shown {
        let mut shown: Shown = Vec::new();
        let mut after_item = false;
        let mut above = None;
        for (hit, span) in sentences {
            let written = &self.text_of(*hit)[span.clone()];
            let is_code = Code::of(self.text_of(*hit)).is_fenced(span.start);
            let is_item = !is_code && lines::is_item(written);
            let mut sentence = if is_code {
                told_code(written, false)
            } else {
                plain(written)
            };
            if is_item && !lines::is_item(&sentence) {
                sentence.insert_str(0, "- ");
            }
            let begins = shown.last().is_none_or(|(last, _)| last != hit);
            if begins {
                shown.push((*hit, String::new()));
            }
            let within = self.hits()[*hit].surroundings_at(span.start).within();
            let is_new = within.is_some() && (begins || within != above);
            let (_, text) = shown.last_mut().expect("there is one");
            if let Some(within) = within.as_ref().filter(|_| is_new) {
                text.push_str(if begins { "## " } else { "\n\n## " });
                text.push_str(within);
            }
            if !text.is_empty() {
                // A blank line keeps them apart when the draft is checked against them.
                let goes_on = is_item && after_item && !is_new;
                text.push_str(if goes_on { "\n" } else { "\n\n" });
            }
            text.push_str(&sentence);
            above = within;
            after_item = is_item;
        }
        shown
    }

    /// The text of a hit as it is read.
    pub(super) fn text_of(&self, hit: usize) -> Text<'_> {
        self.hits()[hit].text()
    }

    fn with_evidence<T>(
        &self,
        hits: &[usize],
        texts: &[Text<'_>],
        work: impl FnOnce(&[Evidence<'_>]) -> T,
    ) -> T {
        let about: Vec<String> = hits.iter().map(|n| self.hits()[*n].about()).collect();
        let passages: Vec<Evidence<'_>> = hits
            .iter()
            .zip(texts.iter().zip(&about))
            .map(|(hit, (text, about))| Evidence {
                text: *text,
                about,
                score: self.hits()[*hit].hit.score,
            })
            .collect();
        work(&passages)
    }

    // Claims.

    /// Finds the sentence that supports a claim best, among the passages that the model was shown.
    fn support(&self, claim: &str, hits: &[usize]) -> Option<(usize, Support)> {
        let texts: Vec<Text<'_>> = hits.iter().map(|hit| self.text_of(*hit)).collect();
        // Words of the question are given, not claimed.
        let asked = context::content_words(self.question());
        let support = self.with_evidence(hits, &texts, |passages| {
            context::support(claim, passages, &asked)
        })?;
        Some((hits[support.passage], support))
    }

    /// The longest supported beginning of a claim, with the hit that supports it and where in it;
    /// `shown` is what the model read.
    pub(super) fn supported_part<'c>(
        &self,
        claim: &'c str,
        shown: &[(usize, String)],
    ) -> Option<(&'c str, usize, Range<usize>)> {
        let asked = context::content_words(self.question());
        let hits = hits_of(shown);
        let texts: Vec<Text<'_>> = shown.iter().map(|(_, text)| text.into()).collect();
        let (part, support) = self.with_evidence(&hits, &texts, |passages| {
            context::supported_part(claim, passages, &asked)
        })?;
        let quoted = &texts[support.passage];
        // "On Saturday" says when; "in the evening" does not, where the sentence tells the time.
        let evasive = question::asks_for_number(self.question())
            && !self.tells_number(part)
            && self.tells_number(&quoted[support.span.clone()]);
        if evasive || !context::says_more(part, &asked) {
            return None;
        }
        if !self.missing(part, &hits).is_empty() {
            return None;
        }
        let hit = hits[support.passage];
        let place = place_of(self.text_of(hit), &quoted[support.span])?;
        Some((part, hit, place))
    }

    /// Does a text tell a number, or how often something is, where that is asked?
    pub(super) fn tells_number(&self, text: &str) -> bool {
        let often = question::asks_how_often(self.question());
        context::tells_number(text) || often && context::tells_frequency(text)
    }

    /// Numbers, dates and names of a claim that none of these hits holds.
    pub(super) fn missing(&self, claim: &str, hits: &[usize]) -> Vec<String> {
        let texts: Vec<String> = hits
            .iter()
            .map(|hit| self.hits()[*hit].about() + "\n" + &self.text_of(*hit))
            .collect();
        let mut texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        texts.push(self.question());
        context::unheld(claim, &texts)
    }

    /// Looks for the support of a claim that was just told, and marks it.
    pub(super) fn mark(&mut self, claim: &str, hits: &[usize]) {
        if says_not_found(claim) {
            return;
        }
        let claim = self.checked(claim, hits);
        let mark = match claim.citations.first() {
            Some(n) => format!(" [{n}]"),
            None => " [?]".to_owned(),
        };
        self.say(&mark);
        self.claims.push(claim);
    }

    /// A claim with its support among these hits, which is cited, or with what they lack.
    pub(super) fn checked(&mut self, claim: &str, hits: &[usize]) -> Claim {
        let found = self.support(claim, hits);
        let missing = self.missing(claim, hits);
        let held = found.filter(|(_, support)| support.holds() && missing.is_empty());
        let citations: Vec<usize> = held
            .map(|(hit, support)| self.cite(hit, support.span))
            .into_iter()
            .collect();
        Claim {
            text: claim.to_owned(),
            supported: !citations.is_empty(),
            citations,
            missing,
        }
    }

    /// Tells a claim that is known to have no support.
    pub(super) fn tell_unsupported(&mut self, claim: &str) {
        self.say(claim);
        self.say(" [?]");
        self.claims.push(Claim {
            text: claim.to_owned(),
            supported: false,
            citations: Vec::new(),
            missing: Vec::new(),
        });
    }

    /// Tells a claim whose support is known, word by word.
    pub(super) fn tell(&mut self, claim: &str, hit: usize, span: Range<usize>) {
        if !self.text.is_empty() {
            self.say(" ");
        }
        for word in claim.split_inclusive(' ') {
            self.say(word);
        }
        let n = self.cite(hit, span);
        self.say(&format!(" [{n}]"));
        self.claims.push(Claim {
            text: claim.to_owned(),
            supported: true,
            citations: vec![n],
            missing: Vec::new(),
        });
    }

    pub(super) fn say(&mut self, piece: &str) {
        if !piece.is_empty() {
            self.text.push_str(piece);
            self.reader.send(Event::Token(piece.to_owned()));
        }
    }

    /// Notes that a unit led to a hit.
    pub(super) fn led_by(&mut self, hit: usize, unit: &str) {
        let sources = self.ranking.units.iter().find(|near| near.unit.id == unit);
        let sources = sources.map(|near| near.unit.chunks().map(|c| c.to_string()).collect());
        let hit = &mut self.ranking.ranked[hit].hit;
        hit.unit_id = Some(unit.to_owned());
        hit.sources = sources.unwrap_or_default();
    }

    /// Cites a span of a hit; the same span is cited once.
    pub(super) fn cite(&mut self, hit: usize, span: Range<usize>) -> usize {
        let ranked = &self.ranking.ranked[hit];
        let chunk_id = ranked.chunk_at(span.start).to_string();
        let heading = ranked.heading_at(span.start);
        let hit: Hit = ranked.hit.clone();
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
            heading,
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
}

/// The chunks that a hit shows: several, where neighbours were joined.
fn chunks_of(ranked: &Ranked) -> Vec<ChunkId> {
    if ranked.parts.is_empty() {
        return vec![ranked.fused.judged.chunk];
    }
    ranked.parts.iter().map(|(_, chunk)| *chunk).collect()
}

/// Where evidence stands in its passage; it is shown without its marks. A sentence that is nothing
/// but what is quoted goes before one that only holds it: "Milk" is not "Milk chocolate". A list is
/// where its first and its last line are.
fn place_of(text: Text<'_>, quoted: &str) -> Option<Range<usize>> {
    let spans = sentence::sentences(text);
    let shown = |span: &&Range<usize>| plain(&text[(*span).clone()]);
    let find = |quoted: &str, from: usize| {
        let quoted = plain(quoted);
        let later = || spans.iter().filter(move |span| span.start >= from);
        let exact = later().find(|span| shown(span) == quoted);
        exact
            .or_else(|| later().find(|span| shown(span).contains(&quoted)))
            .cloned()
    };
    // A sentence that is nothing else; code stands there without its marks.
    let whole = plain(quoted.trim_matches('`'));
    if let Some(span) = spans.iter().find(|span| shown(span) == whole) {
        return Some(span.clone());
    }
    let lines = sentence::sentences(quoted);
    let (first, last) = (lines.first()?.clone(), lines.last()?.clone());
    let begin = find(&quoted[first], 0)?;
    let end = find(&quoted[last], begin.start)?;
    Some(begin.start..end.end)
}

/// Of some words as many as a query has room for before a question, each with a space behind it.
fn fitting<W: AsRef<str>>(words: impl IntoIterator<Item = W>, question: &str) -> String {
    let mut room = search::QUERY_CHARS.saturating_sub(question.chars().count());
    let mut fitting = String::new();
    for word in words {
        let word = word.as_ref();
        let Some(left) = room.checked_sub(word.chars().count() + 1) else {
            break;
        };
        room = left;
        fitting.push_str(word);
        fitting.push(' ');
    }
    fitting
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_before_a_question_leave_room_for_it() {
        let check = |length: usize, expected: &str| {
            let question = "ä".repeat(length);
            let words = fitting(["pear", "tree"], &question);
            assert_eq!(words, expected, "{length}");
            search::check(&Query::words(words + &question, 1)).unwrap();
        };
        check(20, "pear tree ");
        check(search::QUERY_CHARS - 10, "pear tree ");
        check(search::QUERY_CHARS - 9, "pear ");
        check(search::QUERY_CHARS, "");
    }

    #[test]
    fn quotes_stand_where_they_stand_alone() {
        let check = |text: &str, quoted: &str, expected: Option<&str>| {
            let found = place_of(text.into(), quoted).map(|span| &text[span]);
            assert_eq!(found, expected, "{quoted}");
        };
        let list = "- Milk chocolate\n- Milk\n- **Bread** of rye\n";
        check(list, "Milk", Some("- Milk"));
        check(list, "Milk choc", Some("- Milk chocolate"));
        check(list, "Bread of rye", Some("- **Bread** of rye"));
        check(
            list,
            "- Milk\n- **Bread** of rye",
            Some("- Milk\n- **Bread** of rye"),
        );
        check(list, "Eggs", None);
        let code = "These tools help. Others do not.\n\n```\nls\ndu -sh\n```\n";
        check(code, "```\nls\ndu -sh\n```", Some("ls\ndu -sh"));
        check("Run:\n```\nls -a\n```", "`ls -a`", Some("ls -a"));
    }
}
