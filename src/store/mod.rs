//! The store: one ledger that decides what is visible, two indexes that propose candidates.
//!
//! Owns the one write path and the read path, and is the only place that knows SQLite, LanceDB
//! and tantivy.
//!
//! *Write.* vectors → terms, committed → one ledger transaction. A crash anywhere before that
//! transaction leaves the old state visible; what lies in the indexes unseen is garbage that a
//! later run removes or overwrites.
//!
//! *Read.* One ledger snapshot is opened first, then both indexes are asked, then candidates are
//! filtered by that snapshot and their text is read from it. An orphan is never shown.
//!
//! *Heal.* What the ledger shows and an index lacks, or the other way round, is found by
//! [`Store::heal_terms`], [`Store::missing_vectors`] and [`Store::drop_orphans`], and mended.
//! Deleting the `index` folder loses nothing but time. A damaged ledger is replaced by its last
//! automatic backup, with what can still be read of the damaged one ([`backup::recovery`]).
//!
//! *Switch.* The indexes of another embedding model are built beside those in use
//! ([`Store::indexes`] of another space) and put in their place by [`Store::switch_to`].

pub mod answers;
pub mod backup;
pub mod candidates;
mod codes;
pub mod documents;
mod editions;
pub mod erase;
mod error;
pub mod feedback;
pub mod folder;
mod index;
pub mod ledger;
mod lexical;
pub mod measurements;
pub mod nearest;
pub mod outbound;
pub mod passages;
pub mod problems;
mod resident;
mod select;
pub mod sources;
mod statistics;
pub mod tokens;
pub mod units;
pub mod unreadable;
mod vectors;
pub mod verify;

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::domain::access::View;
use crate::domain::chunk::ChunkId;
use crate::domain::source::{DocumentId, Edition, SourceId, title_or_stem};
use documents::{FileStat, Ingested};
pub use error::StoreError;
use error::Trouble;
use folder::{create_private_folder, folder_bytes, ledger_path, lock_home, states_of};
pub use index::{Indexes, VectorSpace};
use ledger::{Ledger, Snapshot};
use passages::{TermsDocument, TermsRow};
use problems::Problem;

type Result<T> = std::result::Result<T, StoreError>;

/// A set of changes that becomes visible at once.
#[derive(Debug, Default)]
pub struct Change {
    /// Documents with their new passages.
    pub documents: Vec<Ingested>,
    /// Vectors of the chunks that the ledger does not know yet.
    pub vectors: Vec<(ChunkId, Vec<f32>)>,
    /// Documents that moved: new path and state.
    pub moved: Vec<(DocumentId, String, FileStat)>,
    /// Documents whose file was touched without a change.
    pub touched: Vec<(DocumentId, FileStat)>,
    /// Documents that are gone.
    pub removed: Vec<DocumentId>,
    /// Files that could not be read.
    pub problems: Vec<Problem>,
    /// Files whose problem is over because they are gone.
    pub solved: Vec<(SourceId, String)>,
}

impl Change {
    /// Nothing to do?
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
            && self.moved.is_empty()
            && self.touched.is_empty()
            && self.removed.is_empty()
            && self.problems.is_empty()
            && self.solved.is_empty()
    }
}

/// The ledger, and the way to the indexes.
pub struct Store {
    home: PathBuf,
    ledger: Ledger,
    access: Access,
    exact_rows: usize,
    units: units::near::Resident,
    /// Held while the store is open for writing.
    _lock: Option<File>,
}

/// Chunks whose vectors are kept in memory, unless the owner says otherwise: 190 MB at 384
/// dimensions, with their codes.
const EXACT_ROWS: usize = 100_000;

/// How to open a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read what is visible; any number of processes may.
    Read,
    /// Read and write; one process at a time.
    Write,
}

/// The memo that names the embedding model whose indexes are in use.
const EMBEDDER_IN_USE: &str = "embedder";

impl Store {
    /// Opens the store in the data folder `home`, creating what is missing. With
    /// [`Access::Write`] the ledger is checked, and one that is damaged or gone replaced by its backup.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when `access` is [`Access::Write`] and another process writes,
    /// [`StoreError::NewerLedger`], [`StoreError::LedgerDamaged`], or what the file system and SQLite
    /// say.
    pub fn open(home: &Path, access: Access) -> Result<Self> {
        create_private_folder(home)?;
        let lock = (access == Access::Write)
            .then(|| lock_home(home))
            .transpose()?;
        if lock.is_some()
            && let Err(error) = backup::remove_drafts(home)
        {
            tracing::warn!(%error, "what was left of a copy is still there");
        }
        let path = ledger_path(home);
        let opened = backup::recovery::lost(home).map_or_else(|| Ledger::open(&path), Err);
        let opened = opened.and_then(|ledger| {
            if access == Access::Write {
                ledger.check()?;
            }
            Ok(ledger)
        });
        let ledger = match opened {
            Err(error) if error.trouble() == Some(Trouble::Damage) && access == Access::Write => {
                backup::recovery::recover(home, &error)?;
                Ledger::open(&path)?
            }
            opened => opened?,
        };
        ledger.spill_into(home)?;
        Ok(Self {
            home: home.to_owned(),
            ledger,
            access,
            exact_rows: EXACT_ROWS,
            units: units::near::Resident::default(),
            _lock: lock,
        })
    }

    /// Keeps the vectors of this many chunks in memory at most; more are searched by an index.
    #[must_use]
    pub fn exact_up_to(self, exact_rows: usize) -> Self {
        Self { exact_rows, ..self }
    }

    /// The same store, of which reads see a part; nothing but the ledger can be written by it.
    #[must_use]
    pub fn seen_by(&self, view: View) -> Self {
        Self {
            home: self.home.clone(),
            ledger: self.ledger.seen_by(view),
            access: Access::Read,
            exact_rows: self.exact_rows,
            units: units::near::Resident::default(),
            _lock: None,
        }
    }

    /// Erases questions and answers for good, also from the automatic copy of the ledger.
    ///
    /// # Errors
    /// What the ledger and the file system say; what could not be erased stays as it is.
    pub fn erase(&self, what: &erase::Erase) -> Result<erase::Erased> {
        let erased = self
            .ledger
            .write(|transaction| erase::erase(transaction, what))?;
        self.purge()?;
        Ok(erased)
    }

    /// Sees to it that what was removed stands nowhere in the ledger's files, nor in its automatic
    /// copy: free pages and the log hold what was there before.
    ///
    /// # Errors
    /// [`StoreError::StillRead`] while somebody reads what was there; [`StoreError::Ledger`],
    /// [`StoreError::Io`].
    pub fn purge(&self) -> Result<()> {
        let due = |snapshot: &Snapshot<'_>| snapshot.memo(ledger::PURGE);
        if self.ledger.read(due)?.is_none_or(|memo| memo.is_empty()) {
            return Ok(());
        }
        backup::forget_damaged(&self.home)?;
        let emptied = self.ledger.vacuum();
        // The copy goes in any case: it is whole by itself.
        backup::renew_erased(&self.home, &self.ledger)?;
        emptied?;
        self.ledger
            .write(|t| ledger::put_memo(t, ledger::PURGE, ""))
    }

    /// Where what a language model has read is kept.
    pub fn states(&self) -> PathBuf {
        states_of(&self.home)
    }

    /// Makes the automatic copy anew, where there is one: what was taken back must not come back with
    /// it.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Ledger`].
    pub fn renew_copy(&self) -> Result<()> {
        backup::renew(&self.home, &self.ledger)
    }

    /// The data folder.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The ledger, for reads that need no index.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The units nearest to a vector of the embedding model `model`, nearest first, as far as `reach` goes.
    ///
    /// # Errors
    /// What the ledger says.
    pub fn near_units(
        &self,
        snapshot: &Snapshot<'_>,
        model: &str,
        vector: &[f32],
        allowed: &units::UseUnits,
        reach: units::near::Reach,
    ) -> Result<Vec<units::near::NearUnit>> {
        self.units.near(snapshot, model, vector, allowed, reach)
    }

    /// The embedding model whose indexes are in use, once there is one.
    ///
    /// # Errors
    /// What the ledger says.
    pub fn embedder_in_use(&self) -> Result<Option<String>> {
        self.ledger.read(|snapshot| snapshot.memo(EMBEDDER_IN_USE))
    }

    /// Opens the indexes of an embedding model, in use or not; creates them where there are none.
    ///
    /// # Errors
    /// What the indexes say.
    pub fn indexes(&self, space: &VectorSpace) -> Result<Indexes> {
        let folder = self.index_folder(&space.model);
        let edition = self.ledger.read(|snapshot| snapshot.newest_edition())?;
        Indexes::open(&folder, space, self.exact_rows, (self.access, edition))
    }

    /// The same, left closed: for who needs nothing that they hold, whether they can be read or not.
    pub fn closed_indexes(&self, space: &VectorSpace) -> Indexes {
        Indexes::closed(&self.index_folder(&space.model), space)
    }

    fn index_folder(&self, model: &str) -> PathBuf {
        self.home.join("index").join(model)
    }

    /// Are there indexes of this embedding model?
    pub fn has_indexes(&self, model: &str) -> bool {
        self.index_folder(model).is_dir()
    }

    /// Puts the indexes of an embedding model in use. Those of others are removed.
    ///
    /// # Errors
    /// What the stores say; before the ledger's transaction ends, nothing has changed.
    pub fn switch_to(&self, indexes: &Indexes) -> Result<()> {
        let model = &indexes.space().model;
        reach("switch", &self.home)?;
        self.ledger
            .write(|transaction| ledger::put_memo(transaction, EMBEDDER_IN_USE, model))?;
        reach("switched", &self.home)?;
        let all = std::fs::read_dir(self.home.join("index"));
        for other in all.into_iter().flatten().flatten() {
            if other.path() != indexes.folder() && other.path().is_dir() {
                index::remove(&other.path())?;
            }
        }
        Ok(())
    }

    /// Throws the indexes of an embedding model away, damaged or not.
    ///
    /// # Errors
    /// What the file system says.
    pub fn discard_indexes(&self, model: &str) -> Result<()> {
        self.for_writing()?;
        index::remove(&self.index_folder(model))
    }

    fn for_writing(&self) -> Result<()> {
        match self.access {
            Access::Write => Ok(()),
            Access::Read => Err(StoreError::ReadOnly),
        }
    }

    /// Makes a change visible, all of it or nothing.
    ///
    /// # Errors
    /// What the stores say; the old state is visible then.
    pub fn commit(&self, indexes: &Indexes, change: &Change, now_ms: i64) -> Result<()> {
        self.for_writing()?;
        if change.is_empty() {
            return Ok(());
        }
        let writes = change.documents.len() + change.moved.len();
        let first = self
            .ledger
            .write(|transaction| documents::reserve_editions(transaction, writes))?;
        reach("reserved", &self.home)?;
        indexes.vectors()?.add(&change.vectors)?;
        reach("vectors", &self.home)?;
        let terms = self.terms_of(change, first)?;
        indexes.lexical()?.update(&terms, &[])?;
        reach("terms", &self.home)?;
        self.ledger.write(|transaction| {
            let mut editions = (first.0..).map(Edition);
            let mut next = || editions.next().expect("editions do not run out");
            for id in &change.removed {
                documents::remove_document(transaction, *id)?;
            }
            for document in &change.documents {
                documents::put_document(transaction, document, next(), now_ms)?;
            }
            for (id, path, stat) in &change.moved {
                documents::move_document(transaction, *id, path, *stat, next())?;
            }
            for (id, stat) in &change.touched {
                documents::touch_document(transaction, *id, *stat)?;
            }
            for problem in &change.problems {
                problems::put_problem(transaction, problem, now_ms)?;
            }
            for (source, path) in &change.solved {
                problems::clear_problem(transaction, *source, path)?;
            }
            // Who waits for changes learns of them once they are visible, not before.
            documents::reserve_editions(transaction, 1)?;
            reach("ledger", &self.home)
        })?;
        reach("committed", &self.home)
    }

    fn terms_of(&self, change: &Change, first: Edition) -> Result<Vec<TermsDocument>> {
        let mut editions = (first.0..).map(Edition);
        let mut next = || editions.next().expect("editions do not run out");
        let mut terms: Vec<TermsDocument> = change
            .documents
            .iter()
            .map(|document| terms_of_ingested(document, next()))
            .collect();
        for (id, path, _) in &change.moved {
            let mut moved = self.ledger.read(|snapshot| {
                let edition = snapshot.edition_of(*id)?;
                snapshot.terms_of(edition, Some(path))
            })?;
            moved.edition = next();
            terms.push(moved);
        }
        Ok(terms)
    }

    /// Removes from the indexes what is no longer visible.
    ///
    /// # Errors
    /// What the stores say; the garbage stays garbage then.
    pub fn collect_garbage(&self, indexes: &Indexes) -> Result<()> {
        self.for_writing()?;
        let (chunks, editions) = self.ledger.read(|snapshot| snapshot.garbage())?;
        if chunks.is_empty() && editions.is_empty() {
            return Ok(());
        }
        reach("garbage", &self.home)?;
        indexes.vectors()?.delete(&chunks)?;
        reach("garbage-vectors", &self.home)?;
        indexes.lexical()?.update(&[], &editions)?;
        reach("garbage-terms", &self.home)?;
        self.ledger
            .write(|transaction| documents::clear_garbage(transaction, &chunks, &editions))
    }

    /// Writes the terms of visible documents that the lexical index lacks or holds only in part;
    /// returns how many.
    ///
    /// # Errors
    /// What the stores say.
    pub fn heal_terms(&self, indexes: &Indexes) -> Result<usize> {
        self.for_writing()?;
        let present = indexes.lexical()?.sizes()?;
        let missing: Vec<Edition> = self.ledger.read(|snapshot| {
            let visible = snapshot.edition_sizes()?.into_iter();
            let missing = visible.filter(|(edition, size)| present.get(edition) != Some(size));
            Ok::<_, StoreError>(missing.map(|(edition, _)| edition).collect())
        })?;
        for some in missing.chunks(512) {
            let terms: Vec<TermsDocument> = self
                .ledger
                .read(|snapshot| some.iter().map(|e| snapshot.terms_of(*e, None)).collect())?;
            indexes.lexical()?.update(&terms, &[])?;
        }
        Ok(missing.len())
    }

    /// Are there documents, and nothing in the index of words?
    ///
    /// # Errors
    /// What the stores say.
    pub fn is_unindexed(&self, indexes: &Indexes, snapshot: &Snapshot<'_>) -> Result<bool> {
        Ok(indexes.lexical()?.is_empty() && snapshot.counts()?.documents > 0)
    }

    /// Visible chunks that have no vector.
    ///
    /// # Errors
    /// What the ledger says.
    pub fn missing_vectors(&self, indexes: &Indexes) -> Result<Vec<ChunkId>> {
        let visible = self.ledger.read(|snapshot| snapshot.chunk_ids())?;
        Ok(indexes.vectors()?.lacking(&visible))
    }

    /// Writes the words of what is visible anew where removed ones stand beside them.
    ///
    /// # Errors
    /// [`StoreError::Lexical`].
    pub fn drop_removed_terms(&self, indexes: &Indexes) -> Result<()> {
        self.for_writing()?;
        indexes.lexical()?.drop_removed()
    }

    /// Writes vectors of chunks that are visible already.
    ///
    /// # Errors
    /// What LanceDB says.
    pub fn heal_vectors(&self, indexes: &Indexes, vectors: &[(ChunkId, Vec<f32>)]) -> Result<()> {
        self.for_writing()?;
        indexes.vectors()?.add(vectors)
    }

    /// Removes what lies in the indexes and nobody will ever see; returns vectors and editions.
    ///
    /// # Errors
    /// What the stores say.
    pub fn drop_orphans(&self, indexes: &Indexes) -> Result<(usize, usize)> {
        self.for_writing()?;
        let (chunks, editions) = self
            .ledger
            .read(|s| Ok::<_, StoreError>((s.chunk_ids()?, s.edition_sizes()?)))?;
        let visible: HashSet<ChunkId> = chunks.into_iter().collect();
        let present = indexes.vectors()?.ids().into_iter();
        let vectors: Vec<ChunkId> = present.filter(|id| !visible.contains(id)).collect();
        let present = indexes.lexical()?.sizes()?.into_keys();
        let terms: Vec<Edition> = present.filter(|e| !editions.contains_key(e)).collect();
        indexes.vectors()?.delete(&vectors)?;
        indexes.lexical()?.update(&[], &terms)?;
        Ok((vectors.len(), terms.len()))
    }

    /// Tidies up in a quiet moment: merges small pieces of the indexes, empties the ledger's log,
    /// copies the ledger when its last copy is older than `backup_age`.
    ///
    /// # Errors
    /// What the stores say.
    pub fn rest(&self, indexes: &Indexes, backup_age: Duration) -> Result<()> {
        self.for_writing()?;
        indexes.rest()?;
        self.ledger.checkpoint()?;
        backup::automatic(&self.home, &self.ledger, backup_age)
    }

    /// Bytes on disk: ledger, vectors, terms.
    pub fn disk_bytes(&self) -> (u64, u64, u64) {
        let index = self.home.join("index");
        let mut vectors = 0;
        let mut terms = 0;
        for model in std::fs::read_dir(&index).into_iter().flatten().flatten() {
            vectors += folder_bytes(&model.path().join("vectors"));
            terms += folder_bytes(&model.path().join("terms"));
        }
        let ledger = ["ledger.sqlite", "ledger.sqlite-wal"]
            .iter()
            .filter_map(|name| std::fs::metadata(self.home.join(name)).ok())
            .map(|m| m.len())
            .sum();
        (ledger, vectors, terms)
    }
}

/// Passes a fail point; its error tells of `path`.
fn reach(name: &str, path: &Path) -> Result<()> {
    crate::failpoint::reach(name).map_err(|source| StoreError::io(path, source))
}

fn terms_of_ingested(document: &Ingested, edition: Edition) -> TermsDocument {
    let mut seen = HashSet::new();
    let rows = document.passages.iter();
    TermsDocument {
        edition,
        path: document.path.clone(),
        title: title_or_stem(&document.meta, &document.path),
        tags: document.meta.tags.clone(),
        aliases: document.meta.aliases.clone(),
        language: document.language,
        rows: rows
            .filter(|passage| seen.insert(passage.id))
            .map(|passage| TermsRow {
                chunk: passage.id,
                text: passage.text.clone(),
                heading: passage.heading.clone(),
            })
            .collect(),
    }
}
