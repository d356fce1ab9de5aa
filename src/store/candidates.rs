//! The read path: what both lanes propose for a query, judged by both.
//!
//! Filters are pushed down: the ledger says which editions fit, the lexical index which entries of
//! them hold the phrases and none of the words left out, and the vector lane looks only among
//! those. Where that would be most of a large index, it proposes more than is needed instead, and
//! what does not fit is dropped.
//!
//! What somebody may not see takes no place from what they may. For a part of the notes everything
//! that fits is named as long as the vectors are in memory; beyond, more and more is proposed until
//! enough of it can be shown, and what had to be looked at on the way is forgotten.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use super::editions::Editions;
use super::ledger::Snapshot;
use super::lexical::Hit;
use super::lexical::asked::Asked;
use super::passages::Row;
use super::{Indexes, Result, Store};
use crate::domain::chunk::ChunkId;
use crate::domain::query::Query;
use crate::domain::rank::{Candidate, Judged, Lexical, Occurrences, judge};
use crate::domain::source::Edition;
use crate::domain::words::holds_beginning;

/// Passages up to which those that fit are named to the vector lane one by one.
const NAMED_PASSAGES: usize = 20_000;

/// What is asked of the store.
#[derive(Clone, Copy, Debug)]
pub struct Seek<'a> {
    /// The query.
    pub query: &'a Query,
    /// Its vector, where it has words.
    pub vector: Option<&'a [f32]>,
    /// Candidates of each lane at most.
    pub limit: usize,
}

/// What was found, limited to what is visible.
#[derive(Debug, Default)]
pub struct Candidates {
    /// What the vectors propose, by cosine.
    pub dense: Vec<Candidate>,
    /// What the words propose, by tantivy's BM25.
    pub lexical: Vec<Candidate>,
    /// Both, judged by both; each with the editions that hold it, the one to show first.
    pub judged: Vec<(Judged, Vec<Edition>)>,
    /// Milliseconds for filters and the words' candidates.
    pub lexical_ms: f64,
    /// Milliseconds for the vectors' candidates.
    pub dense_ms: f64,
    /// Milliseconds for judging.
    pub judge_ms: f64,
}

/// Where a chunk can be shown from.
#[derive(Default)]
struct Entry {
    /// Its entries in the lexical index.
    hits: Vec<Hit>,
    /// Editions that hold it although the lexical index does not know it yet.
    unknown: Vec<Edition>,
}

/// What the vector lane may look at.
enum Allowed {
    All,
    Named(HashMap<ChunkId, Vec<Hit>>),
    /// Most of what is there: this many times the candidates have to be looked at.
    Most(usize),
    /// The same of a part of the notes: so many to begin with, and more until there are enough.
    Enough(usize),
}

impl Store {
    /// Asks both lanes and judges what is visible in `snapshot`.
    ///
    /// # Errors
    /// What the stores say; [`super::StoreError::NoSuchSource`] for a filter that names none.
    pub fn candidates(
        &self,
        indexes: &Indexes,
        snapshot: &Snapshot<'_>,
        seek: &Seek<'_>,
    ) -> Result<Candidates> {
        let started = Instant::now();
        let only = editions(snapshot, seek.query)?;
        let asked = indexes
            .lexical()?
            .ask(seek.query, only.as_ref(), snapshot.1)?;
        let mut visible = Visible::new(snapshot, only.as_deref());
        let (lexical, mut entries) = by_words(indexes, &asked, seek.limit, &mut visible)?;
        let lexical_ms = millis(started);
        let started = Instant::now();
        let dense = match seek.vector {
            Some(vector) => {
                // Only the lexical index knows which passages hold the words that must be there or
                // must not: then those that fit are named, however many they are.
                let by_text = !(seek.query.phrases.is_empty() && seek.query.without.is_empty());
                let most = only.as_deref().filter(|_| !by_text);
                let allowed = allowed(indexes, &asked, most, self.exact_rows, &mut visible)?;
                let limit = seek.limit;
                let (visible, entries) = (&mut visible, &mut entries);
                dense(indexes, &asked, &allowed, vector, limit, visible, entries)?
            }
            None => Vec::new(),
        };
        let dense_ms = millis(started);
        let started = Instant::now();
        let judged = judged(indexes, snapshot, &asked, seek.vector, &dense, &entries)?;
        Ok(Candidates {
            dense,
            lexical,
            judged,
            lexical_ms,
            dense_ms,
            judge_ms: millis(started),
        })
    }

    /// For a query without words: the first passage of each document that fits, the newest
    /// document first. What is left out may stand in none of its passages. For a query of signs
    /// alone: the passages that hold them.
    ///
    /// # Errors
    /// As [`Store::candidates`].
    pub fn listing(
        &self,
        indexes: &Indexes,
        snapshot: &Snapshot<'_>,
        query: &Query,
        limit: usize,
    ) -> Result<Vec<Row>> {
        let only = editions(snapshot, query)?;
        let asked = indexes.lexical()?.ask(query, only.as_ref(), snapshot.1)?;
        let only = if query.without.is_empty() && query.phrases.is_empty() {
            only
        } else {
            // Documents are listed, so that a word left out is left out of the whole document.
            let left_out = indexes.lexical()?.left_out(&asked)?.into_iter();
            let left_out: Editions = left_out.map(|hit| hit.edition).collect();
            let fitting = indexes.lexical()?.narrowed(&asked)?.into_iter();
            let fitting = fitting.map(|hit| hit.edition);
            let fitting = fitting.filter(|edition| !left_out.contains(*edition));
            Some(Arc::new(fitting.collect()))
        };
        let fits = |edition| only.as_ref().is_none_or(|only| only.contains(edition));
        let signs = query.signs();
        if signs.is_empty() {
            snapshot.newest(limit, fits)
        } else {
            snapshot.holding(&signs, limit, fits)
        }
    }
}

fn millis(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e3
}

fn editions(snapshot: &Snapshot<'_>, query: &Query) -> Result<Option<Arc<Editions>>> {
    if query.filters.is_empty() && !snapshot.1 {
        return Ok(None);
    }
    Ok(Some(Arc::new(snapshot.editions(&query.filters)?)))
}

/// `only` are the editions that fit, where nothing but filters narrows the query; of so many as
/// `exact_rows` passages the vectors are in memory.
fn allowed(
    indexes: &Indexes,
    asked: &Asked,
    only: Option<&Editions>,
    exact_rows: usize,
    visible: &mut Visible<'_>,
) -> Result<Allowed> {
    if !asked.narrows() {
        return Ok(Allowed::All);
    }
    if let Some(only) = only {
        let extent = Extent {
            passages: indexes.vectors()?.len(),
            documents: documents(visible.snapshot)?,
            fitting: only.len(),
        };
        let part = visible.snapshot.1;
        if let Some(times) = extent.times(if part { exact_rows } else { 0 }) {
            let allowed = if part { Allowed::Enough } else { Allowed::Most };
            return Ok(allowed(times));
        }
    }
    Ok(Allowed::Named(named(indexes, asked, visible)?))
}

/// How much there is, and how much of it fits.
struct Extent {
    passages: usize,
    documents: usize,
    fitting: usize,
}

impl Extent {
    /// How many times the candidates have to be looked at. `None` where what fits is named one by
    /// one, as it always is of no more passages than `nameable`.
    fn times(&self, nameable: usize) -> Option<usize> {
        let documents = self.documents.max(1);
        let about = self.passages.saturating_mul(self.fitting) / documents;
        let most = about > NAMED_PASSAGES && self.fitting * 4 > documents;
        (most && self.passages > nameable).then(|| documents.div_ceil(self.fitting) + 1)
    }
}

/// Documents that the indexes hold, whoever may see them.
fn documents(snapshot: &Snapshot<'_>) -> Result<usize> {
    let mut statement = snapshot
        .0
        .prepare_cached("SELECT count(*) FROM main.document")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// Entries that are looked at for each candidate of the words, at most.
const MOST_COPIES: usize = 64;

/// What the words propose, and where it can be shown from. One passage may stand in many documents:
/// then more entries are looked at, until there are enough passages.
fn by_words(
    indexes: &Indexes,
    asked: &Asked,
    limit: usize,
    visible: &mut Visible<'_>,
) -> Result<(Vec<Candidate>, HashMap<ChunkId, Entry>)> {
    // Room for entries that are no longer visible.
    let mut wide = limit + limit / 5;
    loop {
        let hits = indexes.lexical()?.search(asked, wide)?;
        let all = hits.len() < wide || wide >= limit * MOST_COPIES;
        let mut entries: HashMap<ChunkId, Entry> = HashMap::new();
        let mut lexical: Vec<Candidate> = Vec::new();
        for hit in hits {
            if lexical.len() == limit || !visible.edition(hit.edition)? {
                continue;
            }
            let known = entries.entry(hit.chunk).or_default();
            if known.hits.is_empty() {
                lexical.push(Candidate {
                    chunk: hit.chunk,
                    score: hit.score,
                });
            }
            known.hits.push(hit);
        }
        if all || lexical.len() == limit {
            return Ok((lexical, entries));
        }
        wide *= 4;
    }
}

/// Everything that fits, by its chunk.
fn named(
    indexes: &Indexes,
    asked: &Asked,
    visible: &mut Visible<'_>,
) -> Result<HashMap<ChunkId, Vec<Hit>>> {
    let mut named: HashMap<ChunkId, Vec<Hit>> = HashMap::new();
    for hit in indexes.lexical()?.narrowed(asked)? {
        if visible.edition(hit.edition)? {
            named.entry(hit.chunk).or_default().push(hit);
        }
    }
    Ok(named)
}

/// What the vectors propose; where they can be shown from is added to `entries`.
fn dense(
    indexes: &Indexes,
    asked: &Asked,
    allowed: &Allowed,
    vector: &[f32],
    limit: usize,
    visible: &mut Visible<'_>,
    entries: &mut HashMap<ChunkId, Entry>,
) -> Result<Vec<Candidate>> {
    let wide = match allowed {
        Allowed::All => limit + limit / 5,
        Allowed::Most(times) => limit * 2 * times,
        Allowed::Enough(times) => {
            let wide = limit * 2 * times;
            return enough(indexes, asked, vector, (limit, wide), visible, entries);
        }
        Allowed::Named(named) => return among(indexes, named, vector, limit, entries),
    };
    let nearest = indexes.vectors()?.nearest(vector, None, wide)?;
    shown(indexes, asked, &nearest, limit, visible, entries)
}

/// The nearest of what is named.
fn among(
    indexes: &Indexes,
    named: &HashMap<ChunkId, Vec<Hit>>,
    vector: &[f32],
    limit: usize,
    entries: &mut HashMap<ChunkId, Entry>,
) -> Result<Vec<Candidate>> {
    let only: Vec<ChunkId> = named.keys().copied().collect();
    let nearest = indexes.vectors()?.nearest(vector, Some(&only), limit)?;
    for candidate in &nearest {
        let entry = entries.entry(candidate.chunk).or_default();
        entry.hits.clone_from(&named[&candidate.chunk]);
    }
    Ok(nearest)
}

/// The nearest of a part of the notes: of `wide`, then of more and more, until `limit` can be shown.
fn enough(
    indexes: &Indexes,
    asked: &Asked,
    vector: &[f32],
    (limit, mut wide): (usize, usize),
    visible: &mut Visible<'_>,
    entries: &mut HashMap<ChunkId, Entry>,
) -> Result<Vec<Candidate>> {
    let before: HashSet<ChunkId> = entries.keys().copied().collect();
    loop {
        let nearest = indexes.vectors()?.nearest(vector, None, wide)?;
        let found = shown(indexes, asked, &nearest, limit, visible, entries)?;
        let kept: HashSet<ChunkId> = found.iter().map(|candidate| candidate.chunk).collect();
        // How many more were looked up depends on what lies between them.
        entries.retain(|chunk, _| before.contains(chunk) || kept.contains(chunk));
        if found.len() >= limit {
            return Ok(found);
        }
        // An index looks no further than into some of its parts; and at some point it is less work
        // to name what fits.
        if nearest.len() < wide || wide > NAMED_PASSAGES {
            let named = named(indexes, asked, visible)?;
            return among(indexes, &named, vector, limit, entries);
        }
        wide *= 2;
    }
}

/// Those of the nearest that can be shown; where from is added to `entries`.
fn shown(
    indexes: &Indexes,
    asked: &Asked,
    nearest: &[Candidate],
    limit: usize,
    visible: &mut Visible<'_>,
    entries: &mut HashMap<ChunkId, Entry>,
) -> Result<Vec<Candidate>> {
    let mut found = Vec::with_capacity(limit);
    // In portions, because looking up where chunks stand costs more than finding them.
    for some in nearest.chunks(limit.max(1)) {
        look_up(indexes, asked, some, visible, entries)?;
        let shown = some
            .iter()
            .filter(|candidate| entries.contains_key(&candidate.chunk));
        found.extend(shown.copied());
        if found.len() >= limit {
            break;
        }
    }
    found.truncate(limit);
    Ok(found)
}

/// Finds out where candidates stand that the lexical lane did not propose.
fn look_up(
    indexes: &Indexes,
    asked: &Asked,
    candidates: &[Candidate],
    visible: &mut Visible<'_>,
    entries: &mut HashMap<ChunkId, Entry>,
) -> Result<()> {
    let new = candidates.iter().map(|candidate| candidate.chunk);
    let new: Vec<ChunkId> = new.filter(|chunk| !entries.contains_key(chunk)).collect();
    for hit in indexes.lexical()?.entries_of(asked, &new)? {
        if visible.edition(hit.edition)? {
            entries.entry(hit.chunk).or_default().hits.push(hit);
        }
    }
    for chunk in new {
        if entries.contains_key(&chunk) {
            continue;
        }
        let mut entry = Entry::default();
        for edition in visible.snapshot.editions_of(chunk)? {
            if visible.edition(edition)? {
                entry.unknown.push(edition);
            }
        }
        if !entry.unknown.is_empty() {
            entries.insert(chunk, entry);
        }
    }
    Ok(())
}

fn judged(
    indexes: &Indexes,
    snapshot: &Snapshot<'_>,
    asked: &Asked,
    vector: Option<&[f32]>,
    dense: &[Candidate],
    entries: &HashMap<ChunkId, Entry>,
) -> Result<Vec<(Judged, Vec<Edition>)>> {
    let mut cosines: HashMap<ChunkId, f32> = dense.iter().map(|c| (c.chunk, c.score)).collect();
    if let Some(vector) = vector {
        let others = entries.keys().filter(|chunk| !cosines.contains_key(chunk));
        let others: Vec<ChunkId> = others.copied().collect();
        cosines.extend(indexes.vectors()?.cosines(vector, &others)?);
    }
    let hits: Vec<Hit> = entries
        .values()
        .flat_map(|entry| &entry.hits)
        .copied()
        .collect();
    let addresses: Vec<_> = hits.iter().map(|hit| hit.address).collect();
    let mut occurrences = indexes.lexical()?.occurrences(asked, &addresses)?;
    add_begun(indexes, snapshot, asked, &hits, &mut occurrences)?;
    let mut best: HashMap<ChunkId, (Judged, Vec<Edition>)> = HashMap::with_capacity(entries.len());
    for (hit, found) in hits.iter().zip(&occurrences) {
        let judged = Judged {
            chunk: hit.chunk,
            cosine: cosines.get(&hit.chunk).copied(),
            lexical: judge(&asked.terms, found, asked.means()),
        };
        // One chunk in several documents: the one whose title and path fit best is shown.
        let fit = |j: &Judged| j.lexical.head + j.lexical.labels;
        let (known, editions) = best.entry(hit.chunk).or_insert((judged, Vec::new()));
        let better = fit(&judged) - fit(known);
        let first = editions.first();
        if better > 0.0 || (better == 0.0 && first.is_none_or(|first| hit.edition < *first)) {
            *known = judged;
            editions.insert(0, hit.edition);
        } else if !editions.contains(&hit.edition) {
            editions.push(hit.edition);
        }
    }
    for (chunk, entry) in entries
        .iter()
        .filter(|(_, entry)| !entry.unknown.is_empty())
    {
        let judged = Judged {
            chunk: *chunk,
            cosine: cosines.get(chunk).copied(),
            lexical: Lexical::default(),
        };
        best.insert(*chunk, (judged, entry.unknown.clone()));
    }
    if vector.is_none() {
        // Proposed for a stem alone, of a word that begins otherwise.
        best.retain(|_, (judged, _)| judged.lexical.coverage > 0.0);
    }
    Ok(best.into_values().collect())
}

/// Adds where stems occur that only may stand for a beginning of a word, in passages that do hold
/// such a word: the index knows stems, the ledger words.
fn add_begun(
    indexes: &Indexes,
    snapshot: &Snapshot<'_>,
    asked: &Asked,
    hits: &[Hit],
    occurrences: &mut [Occurrences],
) -> Result<()> {
    let beginnings = asked.doubtful();
    if beginnings.is_empty() {
        return Ok(());
    }
    let addresses: Vec<_> = hits.iter().map(|hit| hit.address).collect();
    let doubtful = indexes.lexical()?.doubtful_occurrences(asked, &addresses)?;
    for ((hit, found), more) in hits.iter().zip(occurrences).zip(&doubtful) {
        if !beginnings.iter().any(|(number, _)| more.holds(*number)) {
            continue;
        }
        let words = words_of(snapshot, hit)?;
        for (number, beginning) in &beginnings {
            if more.holds(*number) && words.iter().any(|text| holds_beginning(text, beginning)) {
                found.add(*number, more);
            }
        }
    }
    Ok(())
}

/// What the index knows of a passage: its text, what stands above it, and its document's labels.
fn words_of(snapshot: &Snapshot<'_>, hit: &Hit) -> Result<Vec<String>> {
    let Some(row) = snapshot.row(hit.chunk, hit.edition)? else {
        return Ok(Vec::new());
    };
    let mut words = snapshot.labels_of(row.document)?;
    words.extend(row.heading);
    words.extend([row.text, row.title]);
    Ok(words)
}

/// Remembers which editions a search has asked the ledger about.
struct Visible<'a> {
    snapshot: &'a Snapshot<'a>,
    only: Option<&'a Editions>,
    known: HashMap<Edition, bool>,
}

impl<'a> Visible<'a> {
    fn new(snapshot: &'a Snapshot<'a>, only: Option<&'a Editions>) -> Self {
        Self {
            snapshot,
            only,
            known: HashMap::new(),
        }
    }

    fn edition(&mut self, edition: Edition) -> Result<bool> {
        if let Some(only) = self.only {
            return Ok(only.contains(edition));
        }
        if let Some(known) = self.known.get(&edition) {
            return Ok(*known);
        }
        let visible = self.snapshot.is_visible(edition)?;
        self.known.insert(edition, visible);
        Ok(visible)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::domain::access::View;
    use crate::domain::chunk::Passage;
    use crate::domain::source::{Kind, Meta, SourceId};
    use crate::store::documents::{FileStat, Ingested};
    use crate::store::sources::{Rules, add_source};
    use crate::store::{Access, Change, VectorSpace};

    #[test]
    fn what_fits_is_named_unless_it_is_most_of_much() {
        let times = |passages, documents, fitting, nameable| {
            let extent = Extent {
                passages,
                documents,
                fitting,
            };
            extent.times(nameable)
        };
        assert_eq!(times(30_000, 1000, 900, 0), Some(3));
        assert_eq!(times(30_000, 1000, 500, 0), None, "15,000 of them");
        assert_eq!(times(900_000, 1000, 200, 0), None, "a fifth");
        assert_eq!(times(90_000, 1000, 900, 100_000), None, "in memory");
        assert_eq!(times(900_000, 1000, 900, 100_000), Some(3));
        assert_eq!(times(0, 0, 0, 0), None);
    }

    const DIMENSIONS: usize = 64;

    /// A vector at this angle from the query's.
    fn at(angle: f32) -> Vec<f32> {
        let mut vector = vec![0.0; DIMENSIONS];
        vector[0] = angle.cos();
        vector[1] = angle.sin();
        vector
    }

    fn text(angle: f32) -> String {
        format!("note at {angle}")
    }

    /// A note of one passage.
    fn note(source: SourceId, path: &str, text: String) -> Ingested {
        let passage = Passage {
            id: ChunkId::of("", &text),
            heading: Vec::new(),
            span: 0..text.len(),
            text,
            lines: (1, 1),
            page: None,
            tokens: 3,
        };
        Ingested {
            source,
            path: path.into(),
            stat: FileStat {
                size: 1,
                mtime_ns: 1,
                inode: 1,
                ctime_ns: 1,
            },
            hash: [0; 32],
            kind: Kind::Markdown,
            meta: Meta::default(),
            recipe: String::new(),
            language: None,
            passages: vec![passage],
        }
    }

    /// Writes a note for each angle.
    fn write(store: &Store, indexes: &Indexes, source: SourceId, angles: &[f32]) {
        let mut change = Change::default();
        for angle in angles {
            let note = note(source, &format!("{angle}.md"), text(*angle));
            change.vectors.push((note.passages[0].id, at(*angle)));
            change.documents.push(note);
        }
        store.commit(indexes, &change, 1).unwrap();
    }

    /// What the words alone propose.
    fn by_words_of(store: &Store, indexes: &Indexes, query: &Query) -> Vec<ChunkId> {
        let seek = Seek {
            query,
            vector: None,
            limit: 100,
        };
        let ledger = store.ledger();
        let found = ledger.read(|snapshot| store.candidates(indexes, snapshot, &seek));
        let lexical = found.unwrap().lexical.into_iter();
        lexical.map(|candidate| candidate.chunk).collect()
    }

    fn guest_of(store: &Store, source: SourceId) -> Store {
        store.seen_by(View {
            asker: Some("guest".into()),
            everyones_answers: false,
            sources: Some([source].into()),
        })
    }

    #[test]
    fn a_passage_of_many_documents_leaves_room_for_others() {
        let folder = tempfile::tempdir().unwrap();
        let (store, indexes, source) = filled(folder.path(), &[], &[]);
        let copies = (0..150).map(|n| (n, "heron heron heron".to_owned()));
        let others = (150..155).map(|n| (n, format!("one heron stands in pond number {n}")));
        let notes = copies.chain(others);
        let change = Change {
            documents: notes
                .map(|(n, text)| note(source, &format!("{n}.md"), text))
                .collect(),
            ..Change::default()
        };
        store.commit(&indexes, &change, 1).unwrap();
        let query = Query {
            words: "heron".into(),
            ..Query::default()
        };
        assert_eq!(by_words_of(&store, &indexes, &query).len(), 6);
    }

    #[test]
    fn words_of_what_is_hidden_take_no_place() {
        let folder = tempfile::tempdir().unwrap();
        let (store, indexes, source) = filled(folder.path(), &[], &[]);
        let hidden = SourceId(source.0 + 1);
        // More words than can be looked for one by one, all of them more frequent.
        let letters: Vec<char> = "bcdfghjklmnpqrtvwxz".chars().collect();
        let letter = |n: usize| letters[n % letters.len()];
        let word = |n: usize| -> String {
            let places = [1, 19, 361, 6859];
            let rest = places.map(|place| letter(n / place));
            ['a'].into_iter().chain(rest).collect()
        };
        let words: Vec<String> = (0..14_000).map(word).collect();
        let words = words.join(" ");
        let change = Change {
            documents: vec![
                note(hidden, "a.md", words.clone()),
                note(hidden, "b.md", format!("{words} again")),
                note(source, "c.md", "an azure note".into()),
            ],
            ..Change::default()
        };
        store.commit(&indexes, &change, 1).unwrap();
        let query = Query {
            prefixes: vec!["az".into()],
            ..Query::default()
        };
        let seen = ChunkId::of("", "an azure note");
        let guest = guest_of(&store, source);
        assert_eq!(by_words_of(&guest, &indexes, &query), [seen]);
        let query = Query {
            prefixes: vec!["a".into()],
            ..Query::default()
        };
        assert_eq!(by_words_of(&guest, &indexes, &query), [seen]);
    }

    fn add(store: &Store, path: &str) -> SourceId {
        let rules = Rules::default();
        let ledger = store.ledger();
        ledger
            .write(|transaction| add_source(transaction, path, &rules, 1))
            .unwrap()
    }

    fn filled(folder: &Path, far: &[f32], near: &[f32]) -> (Store, Indexes, SourceId) {
        let store = Store::open(folder, Access::Write).unwrap();
        let space = VectorSpace {
            model: "test".into(),
            dimensions: DIMENSIONS,
        };
        let indexes = store.indexes(&space).unwrap();
        let (shown, hidden) = (add(&store, "/shown"), add(&store, "/hidden"));
        write(&store, &indexes, shown, far);
        write(&store, &indexes, hidden, near);
        (store, indexes, shown)
    }

    #[test]
    fn what_is_hidden_takes_no_place() {
        let folder = tempfile::tempdir().unwrap();
        let far = [1.0_f32, 1.1, 1.2];
        let near: Vec<f32> = (0..40_u8).map(|n| f32::from(n) / 100.0).collect();
        let (store, indexes, source) = filled(folder.path(), &far, &near);
        let part = guest_of(&store, source);
        let query = Query {
            words: "note".into(),
            ..Query::default()
        };
        let vector = at(0.0);
        let searched = part.ledger().read(|snapshot| {
            let only = Arc::new(snapshot.editions(&[])?);
            let asked = indexes.lexical()?.ask(&query, Some(&only), true)?;
            assert_eq!(documents(snapshot)?, 43, "also those that are not seen");
            // The last is more than there is.
            for limit in [1, 2, 7] {
                let mut visible = Visible::new(snapshot, Some(&*only));
                let mut entries = HashMap::new();
                let wide = (limit, 2 * limit);
                let found = enough(&indexes, &asked, &vector, wide, &mut visible, &mut entries)?;
                let found: Vec<ChunkId> = found.iter().map(|c| c.chunk).collect();
                let seen = far.iter().take(limit);
                let expected: Vec<ChunkId> = seen.map(|a| ChunkId::of("", &text(*a))).collect();
                assert_eq!(found, expected, "{limit} at most");
                assert_eq!(entries.len(), found.len(), "nothing else is judged");
            }
            Ok(())
        });
        searched.unwrap();
    }
}
