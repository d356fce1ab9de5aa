//! What a query asks of the lexical index: its words with what they are worth, and what entries must
//! fit.
//!
//! A query's words are looked for under the stems of every language that the index holds, and as they
//! are, because so they stand in texts of languages without a stemmer.

use std::collections::HashMap;
use std::sync::Arc;

use tantivy::postings::TermInfo;
use tantivy::query::{Bm25StatisticsProvider, BooleanQuery, Occur, PhraseQuery, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{BitSet, DocSet, InvertedIndexReader, Searcher, TERMINATED, Term};

use super::{Lexical, Result, guarded};
use crate::domain::language::Language;
use crate::domain::query;
use crate::domain::rank::{MeanLengths, STOP_WORD, Terms, idf};
use crate::domain::words::{Stems, Word, fold, spelled, spellings, words};
use crate::store::editions::{EditionFilter, Editions};
use crate::store::statistics::Statistics;

/// Words of a query at most, the rarest: a pasted page is not a query.
const MOST_WORDS: usize = 64;

/// Words that a prefix stands for at most, the most frequent ones.
const PREFIX_WORDS: usize = 64;

/// Languages of which stems are looked for at most, those with the most entries.
const MOST_LANGUAGES: usize = 6;

/// A word of a query, or the beginning of one.
#[derive(Default)]
pub(super) struct Group {
    /// The stems that stand for it.
    pub(super) stems: Vec<String>,
    /// The beginning of a word.
    prefix: Option<String>,
    /// Stems of words some of which may begin so: `inform`, for `informatio*`.
    pub(super) doubtful: Vec<String>,
}

/// What the index is asked, worked out once for a query.
pub(in crate::store) struct Asked {
    pub(super) searcher: Searcher,
    /// The words of the query.
    pub(super) groups: Vec<Group>,
    /// What the words are worth.
    pub terms: Terms,
    /// What entries must fit: filters, phrases, words left out.
    pub(super) must: Vec<(Occur, Box<dyn Query>)>,
    means: MeanLengths,
    /// What alone is there for who asks.
    pub(super) part: Option<EditionFilter>,
}

impl Asked {
    /// Does the query narrow what may be found?
    pub(in crate::store) fn narrows(&self) -> bool {
        !self.must.is_empty()
    }

    /// Does the query have words to look for?
    pub(in crate::store) fn has_words(&self) -> bool {
        !self.groups.is_empty()
    }

    /// The beginnings of words that may stand behind stems which do not begin so, each with the
    /// number of its word.
    pub(in crate::store) fn doubtful(&self) -> Vec<(usize, &str)> {
        let groups = self.groups.iter().enumerate();
        let doubtful = groups.filter(|(_, group)| !group.doubtful.is_empty());
        doubtful
            .filter_map(|(number, group)| Some((number, group.prefix.as_deref()?)))
            .collect()
    }

    /// Mean lengths of the fields over all entries.
    pub(in crate::store) fn means(&self) -> MeanLengths {
        self.means
    }
}

impl Lexical {
    /// Works out what a query asks of this index; `only` narrows it to these editions. With
    /// `as_whole` words are worth what they are in them, not in the whole index.
    ///
    /// # Errors
    /// [`StoreError::Lexical`].
    ///
    /// [`StoreError::Lexical`]: crate::store::StoreError::Lexical
    pub(in crate::store) fn ask(
        &self,
        query: &query::Query,
        only: Option<&Arc<Editions>>,
        as_whole: bool,
    ) -> Result<Asked> {
        guarded(&self.folder, || self.ask_searcher(query, only, as_whole))
    }

    fn ask_searcher(
        &self,
        query: &query::Query,
        only: Option<&Arc<Editions>>,
        as_whole: bool,
    ) -> tantivy::Result<Asked> {
        let searcher = self.reader.searcher();
        let filter = only.map(|only| EditionFilter::new(Arc::clone(only), self.fields.edition));
        let part = filter.clone().filter(|_| as_whole);
        let statistics = Statistics::of(&searcher, part.as_ref());
        let languages = self.languages(&statistics)?;
        let stemmed = languages.iter().map(|language| Some(*language));
        // The last is of languages without a stemmer.
        let mut stems: Vec<Stems> = stemmed.chain([None]).map(Stems::of).collect();
        let mut must: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        if let Some(filter) = filter {
            must.push((Occur::Must, Box::new(filter)));
        }
        for phrase in &query.phrases {
            must.extend(self.phrase(phrase, &mut stems).map(|q| (Occur::Must, q)));
        }
        for without in &query.without {
            must.extend(
                self.phrase(without, &mut stems)
                    .map(|q| (Occur::MustNot, q)),
            );
        }
        let (mut groups, sequence) = self.groups(&statistics, query, &languages, &mut stems)?;
        for prefix in &query.prefixes {
            let group = self.begun(&searcher, &statistics, prefix, &mut stems)?;
            groups.extend(group);
        }
        let (groups, terms) = rarest(groups, &sequence);
        let means = self.means(&statistics)?;
        Ok(Asked {
            searcher,
            groups,
            terms,
            must,
            means,
            part,
        })
    }

    /// The languages with stemmers that entries are written in, those with the most entries first;
    /// English when there is none.
    fn languages(&self, statistics: &Statistics<'_>) -> tantivy::Result<Vec<Language>> {
        let mut found = Vec::new();
        for language in Language::stemmed() {
            let term = Term::from_field_text(self.fields.language, language.code());
            let entries = statistics.doc_freq(&term)?;
            if entries > 0 {
                found.push((entries, language));
            }
        }
        found.sort_by_key(|(entries, language)| (std::cmp::Reverse(*entries), language.code()));
        found.truncate(MOST_LANGUAGES);
        let mut languages: Vec<Language> = found.into_iter().map(|(_, l)| l).collect();
        if languages.is_empty() {
            languages.push(Language::ENGLISH);
        }
        Ok(languages)
    }

    /// The words of a query with what they are worth, and their places with their numbers.
    fn groups(
        &self,
        statistics: &Statistics<'_>,
        query: &query::Query,
        languages: &[Language],
        stems: &mut [Stems],
    ) -> tantivy::Result<(Vec<(Group, f32)>, Vec<(u32, usize)>)> {
        let detected = Language::detect(&query.words).filter(|l| languages.contains(l));
        let spoken = detected.unwrap_or(languages[0]);
        let mut groups: Vec<(Group, f32)> = Vec::new();
        let mut numbers: HashMap<Vec<String>, usize> = HashMap::new();
        let mut sequence: Vec<(u32, usize)> = Vec::new();
        let all = statistics.total_num_docs()?;
        for word in words(&query.words) {
            let (stemmed, plain) = alternatives(&word, stems);
            let known = numbers.get(&stemmed).copied();
            let number = known.unwrap_or(groups.len());
            if known.is_none() {
                numbers.insert(stemmed.clone(), number);
                let group = Group {
                    stems: stemmed,
                    ..Group::default()
                };
                groups.push((group, 0.0));
            }
            // Words of one stem are one word of the query, however they are written.
            let (group, weight) = &mut groups[number];
            for other in [plain].into_iter().chain(spellings(&word.text)) {
                if !group.stems.contains(&other) {
                    group.stems.push(other);
                }
            }
            if known.is_none() {
                let rarity = idf(all, self.holding(statistics, &group.stems)?);
                let stop = spoken.is_stop_word(&word.text);
                *weight = if stop { STOP_WORD * rarity } else { rarity };
            }
            sequence.push((word.position, number));
        }
        Ok((groups, sequence))
    }

    /// The beginning of a word with what it is worth; `None` where nothing begins so.
    fn begun(
        &self,
        searcher: &Searcher,
        statistics: &Statistics<'_>,
        prefix: &str,
        stems: &mut [Stems],
    ) -> tantivy::Result<Option<(Group, f32)>> {
        let known = self.beginning_with(searcher, statistics, prefix)?;
        let mut doubtful = Vec::new();
        for stem in stems_behind(prefix, stems) {
            if self.is_there(statistics, &stem)? {
                doubtful.push(stem);
            }
        }
        // Of what may stand for other words, too, it says little how often it is there.
        let counted = if known.is_empty() { &doubtful } else { &known };
        if counted.is_empty() {
            return Ok(None);
        }
        let all = statistics.total_num_docs()?;
        let rarity = idf(all, self.holding(statistics, counted)?);
        let group = Group {
            stems: known,
            prefix: Some(prefix.to_owned()),
            doubtful,
        };
        Ok(Some((group, rarity)))
    }

    /// Does any entry hold this stem?
    fn is_there(&self, statistics: &Statistics<'_>, stem: &str) -> tantivy::Result<bool> {
        for field in [self.fields.text, self.fields.head, self.fields.labels] {
            if statistics.doc_freq(&Term::from_field_text(field, stem))? > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many entries hold one of the stems in their text, about.
    fn holding(&self, statistics: &Statistics<'_>, group: &[String]) -> tantivy::Result<u64> {
        let mut most = 0;
        for stem in group {
            let term = Term::from_field_text(self.fields.text, stem);
            most = most.max(statistics.doc_freq(&term)?);
        }
        Ok(most)
    }

    /// Indexed words that begin so.
    fn beginning_with(
        &self,
        searcher: &Searcher,
        statistics: &Statistics<'_>,
        prefix: &str,
    ) -> tantivy::Result<Vec<String>> {
        let prefix = fold(&prefix.to_lowercase());
        let mut found: HashMap<String, u32> = HashMap::new();
        for segment in searcher.segment_readers() {
            let counted = statistics.counted(segment)?;
            for field in [self.fields.text, self.fields.head, self.fields.labels] {
                let inverted = segment.inverted_index(field)?;
                let mut stream = inverted.terms().range().ge(&prefix).into_stream()?;
                while stream.advance() && stream.key().starts_with(prefix.as_bytes()) {
                    let entries = match &counted {
                        Some(counted) => held_among(&inverted, stream.value(), counted)?,
                        None => stream.value().doc_freq,
                    };
                    if entries > 0 {
                        let word = String::from_utf8_lossy(stream.key()).into_owned();
                        *found.entry(word).or_default() += entries;
                    }
                }
            }
        }
        let mut words: Vec<(String, u32)> = found.into_iter().collect();
        words.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        words.truncate(PREFIX_WORDS);
        Ok(words.into_iter().map(|(word, _)| word).collect())
    }

    /// Entries whose text or head holds these words side by side, under the stems of any language;
    /// `None` for a phrase without words.
    fn phrase(&self, phrase: &str, stems: &mut [Stems]) -> Option<Box<dyn Query>> {
        let found = words(phrase);
        if found.is_empty() {
            return None;
        }
        let mut any: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        for words in spelled(&found) {
            for stems in stems.iter_mut() {
                for field in [self.fields.text, self.fields.head] {
                    any.push((Occur::Should, side_by_side(field, &words, stems)));
                }
            }
        }
        Some(Box::new(BooleanQuery::new(any)))
    }

    fn means(&self, statistics: &Statistics<'_>) -> tantivy::Result<MeanLengths> {
        let fields = [self.fields.text, self.fields.head, self.fields.labels];
        let entries = statistics.total_num_docs()?;
        let mut means = [0.0; 3];
        for (mean, field) in means.iter_mut().zip(fields) {
            let tokens = statistics.total_num_tokens(field)?;
            #[expect(clippy::cast_precision_loss, reason = "a mean needs no more digits")]
            let ratio = tokens as f32 / entries.max(1) as f32;
            *mean = ratio;
        }
        Ok(MeanLengths(means))
    }
}

/// How many of these entries hold a word. One look at its postings: a search for each of the words
/// that begin with one letter would take seconds.
fn held_among(
    inverted: &InvertedIndexReader,
    word: &TermInfo,
    counted: &BitSet,
) -> std::io::Result<u32> {
    let mut found = inverted.read_postings_from_terminfo(word, IndexRecordOption::Basic)?;
    let mut held = 0;
    while found.doc() != TERMINATED {
        held += u32::from(counted.contains(found.doc()));
        found.advance();
    }
    Ok(held)
}

/// Entries whose field holds the stems of these words, of which there is one at least, in their
/// places.
fn side_by_side(field: Field, words: &[Word], stems: &mut Stems) -> Box<dyn Query> {
    let mut terms: Vec<(usize, Term)> = Vec::with_capacity(words.len());
    for word in words {
        let term = Term::from_field_text(field, stems.stem(word));
        terms.push((word.position as usize, term));
    }
    if terms.len() == 1 {
        let (_, term) = terms.remove(0);
        Box::new(TermQuery::new(term, IndexRecordOption::Basic))
    } else {
        Box::new(PhraseQuery::new_with_offset(terms))
    }
}

/// The stems that stand for a word, one for each language, without repetition; and the word as it
/// is.
fn alternatives(word: &Word, stems: &mut [Stems]) -> (Vec<String>, String) {
    let mut group: Vec<String> = Vec::new();
    let (unstemmed, stemmed) = stems
        .split_last_mut()
        .expect("there is one without a stemmer");
    for stems in stemmed {
        let stem = stems.stem(word);
        if !group.iter().any(|known| known == stem) {
            group.push(stem.to_owned());
        }
    }
    (group, unstemmed.stem(word).to_owned())
}

/// Letters of a stem at least that may stand for a longer beginning of a word.
const SHORTEST_STEM: usize = 3;

/// Stems that words which begin so may have, though the stems do not: what the beginning itself
/// begins with, also with the `i` that English stems have for a `y`, and its own stems.
fn stems_behind(prefix: &str, stems: &mut [Stems]) -> Vec<String> {
    let folded = fold(&prefix.to_lowercase());
    let ends = folded.char_indices().map(|(at, c)| at + c.len_utf8());
    let mut found: Vec<String> = Vec::new();
    for end in ends.skip(SHORTEST_STEM - 1) {
        let beginning = &folded[..end];
        if let Some(start) = beginning.strip_suffix('y') {
            found.push(format!("{start}i"));
        }
        if end < folded.len() {
            found.push(beginning.to_owned());
        }
    }
    if let [word] = &words(prefix)[..] {
        found.extend(stems.iter_mut().map(|stems| stems.stem(word).to_owned()));
    }
    found.retain(|stem| !stem.starts_with(&folded));
    found.sort_unstable();
    found.dedup();
    found
}

/// Keeps the groups that are worth most, and the pairs among them.
fn rarest(groups: Vec<(Group, f32)>, sequence: &[(u32, usize)]) -> (Vec<Group>, Terms) {
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by(|a, b| groups[*b].1.total_cmp(&groups[*a].1).then(a.cmp(b)));
    order.truncate(MOST_WORDS);
    order.sort_unstable();
    let renumbered: HashMap<usize, usize> =
        order.iter().enumerate().map(|(n, o)| (*o, n)).collect();
    let mut pairs = Vec::new();
    for (position, first) in sequence {
        let next = sequence.iter().filter(|(other, _)| *other == position + 1);
        for (_, second) in next {
            if let (Some(a), Some(b)) = (renumbered.get(first), renumbered.get(second))
                && a != b
            {
                pairs.push((*a, *b));
            }
        }
    }
    pairs.sort_unstable();
    pairs.dedup();
    let mut terms = Terms {
        weights: Vec::with_capacity(order.len()),
        pairs,
    };
    let mut kept = Vec::with_capacity(order.len());
    for (index, (group, weight)) in groups.into_iter().enumerate() {
        if renumbered.contains_key(&index) {
            terms.weights.push(weight);
            kept.push(group);
        }
    }
    (kept, terms)
}
