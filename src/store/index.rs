//! Both indexes of one embedding model, opened together and made anew when they are damaged.
//!
//! They are derived: what is damaged is thrown away and written again from the ledger. Said, not
//! hidden: every such loss is logged, and `coho verify` tells of it. Vectors take long to make: what
//! only the system keeps from being read is left as it is.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::folder::folder_bytes;
use super::lexical::Lexical;
use super::nearest::VectorIndexKind;
use super::vectors::Vectors;
use super::{Access, Result, StoreError};
use crate::domain::chunk::ChunkId;
use crate::domain::rank::Candidate;

/// Which vectors an index holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VectorSpace {
    /// Name of the embedding model; names the index folder.
    pub model: String,
    /// Length of its vectors.
    pub dimensions: usize,
}

/// A lexical index larger than this is checked by `coho verify` only, not at every opening.
const CHECKED_BYTES: u64 = 512 << 20;

/// The vector index and the lexical index of one embedding model.
pub struct Indexes {
    space: VectorSpace,
    folder: PathBuf,
    /// None where they were left closed.
    both: Option<Both>,
    /// The edition up to which another process's writes were looked at.
    followed: Mutex<i64>,
}

/// The two, opened.
struct Both {
    vectors: Vectors,
    lexical: Lexical,
}

impl Indexes {
    /// The indexes in `folder`, left closed: for who asks for nothing that they hold, which is as if they
    /// were gone.
    pub(super) fn closed(folder: &Path, space: &VectorSpace) -> Self {
        Self {
            space: space.clone(),
            folder: folder.to_owned(),
            both: None,
            followed: Mutex::default(),
        }
    }

    /// Opens the indexes in `folder`, or creates them; `edition` is the newest that the ledger knew
    /// before. With [`Access::Write`] damaged ones are thrown away, to be healed from the ledger.
    ///
    /// # Errors
    /// [`StoreError::Vectors`], [`StoreError::Lexical`], [`StoreError::Io`].
    pub(super) fn open(
        folder: &Path,
        space: &VectorSpace,
        exact_rows: usize,
        (access, edition): (Access, i64),
    ) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|source| StoreError::io(folder, source))?;
        let vectors = open_vectors(
            &folder.join("vectors"),
            space.dimensions,
            exact_rows,
            access,
        )?;
        let lexical = open_lexical(&folder.join("terms"), access)?;
        Ok(Self {
            space: space.clone(),
            folder: folder.to_owned(),
            both: Some(Both { vectors, lexical }),
            followed: Mutex::new(edition),
        })
    }

    /// The index of vectors.
    ///
    /// # Errors
    /// [`StoreError::NotIndexed`] where it was left closed.
    pub(super) fn vectors(&self) -> Result<&Vectors> {
        let both = self.both.as_ref().ok_or(StoreError::NotIndexed)?;
        Ok(&both.vectors)
    }

    /// The index of words.
    ///
    /// # Errors
    /// [`StoreError::NotIndexed`] where it was left closed.
    pub(super) fn lexical(&self) -> Result<&Lexical> {
        let both = self.both.as_ref().ok_or(StoreError::NotIndexed)?;
        Ok(&both.lexical)
    }

    /// The embedding model and the length of its vectors.
    pub fn space(&self) -> &VectorSpace {
        &self.space
    }

    /// Sees to it that what another process wrote up to `edition` is found. The process that writes
    /// finds it by itself.
    ///
    /// # Errors
    /// What the indexes say.
    pub fn follow(&self, edition: i64) -> Result<()> {
        let (vectors, lexical) = (self.vectors()?, self.lexical()?);
        if lexical.is_writer() {
            return Ok(());
        }
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        if *followed < edition {
            lexical.reload()?;
            // A compaction may take files away while they are read: the next look finds the others.
            vectors.reload().or_else(|_| vectors.reload())?;
            *followed = edition;
        }
        Ok(())
    }

    /// The name of the embedding model.
    pub fn model(&self) -> &str {
        &self.space.model
    }

    /// Are their folders where they were opened? Somebody may delete them while they are in use.
    pub fn are_there(&self) -> bool {
        let mut both = ["vectors", "terms"].into_iter();
        both.all(|name| self.folder.join(name).is_dir())
    }

    /// Their folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Merges what many small writes left behind. For quiet moments.
    ///
    /// # Errors
    /// What the indexes say.
    pub(super) fn rest(&self) -> Result<()> {
        self.vectors()?.rest()?;
        self.lexical()?.rest();
        Ok(())
    }

    /// Visits every vector.
    ///
    /// # Errors
    /// [`StoreError::Vectors`].
    pub fn each_vector(&self, visit: impl FnMut(ChunkId, &[f32])) -> Result<()> {
        self.vectors()?.each(visit)
    }

    /// The rows nearest to a vector, visible or not, for measuring.
    ///
    /// # Errors
    /// [`StoreError::Dimensions`], [`StoreError::Vectors`].
    pub fn nearest(&self, vector: &[f32], limit: usize) -> Result<Vec<Candidate>> {
        self.vectors()?.nearest(vector, None, limit)
    }

    /// Merges small fragments now.
    ///
    /// # Errors
    /// [`StoreError::Vectors`].
    pub fn compact(&self) -> Result<()> {
        self.vectors()?.compact()
    }

    /// Builds the vector index of this kind and waits for it, for measuring.
    pub fn build_index(&self, kind: VectorIndexKind) {
        if let Ok(vectors) = self.vectors() {
            vectors.build_index(kind);
            vectors.settle();
        }
    }

    /// Bytes on disk: vectors, terms.
    pub fn disk_bytes(&self) -> (u64, u64) {
        let bytes = |name: &str| folder_bytes(&self.folder.join(name));
        (bytes("vectors"), bytes("terms"))
    }

    /// Begins to read into memory what makes many searches fast. For processes that live long.
    pub fn warm(&self) {
        if let Ok(vectors) = self.vectors() {
            vectors.read_codes();
        }
    }

    /// Waits for what is made in the background.
    pub fn settle(&self) {
        if let Ok(vectors) = self.vectors() {
            vectors.settle();
        }
    }
}

fn open_vectors(
    folder: &Path,
    dimensions: usize,
    exact_rows: usize,
    access: Access,
) -> Result<Vectors> {
    let opened = tried(|| guarded(folder, dimensions, exact_rows));
    if access == Access::Read {
        return opened;
    }
    let mut good = Vec::new();
    let reason = match opened {
        Ok(vectors) if vectors.damaged() == 0 => return Ok(vectors),
        Ok(vectors) => {
            good = vectors.resident_rows();
            format!("{} rows do not match their hash", vectors.damaged())
        }
        Err(error) if error.is_refused() => return Err(error),
        Err(error) => crate::error::Failure::from(error).whole(),
    };
    tracing::error!(folder = %folder.display(), reason, "the vector index is damaged: it is made anew");
    remove(folder)?;
    let vectors = Vectors::open(folder, dimensions, exact_rows)?;
    for rows in good.chunks(4096) {
        vectors.add(rows)?;
    }
    Ok(vectors)
}

/// Visits every vector of the index in `folder` that can be read, one after the other, without keeping
/// them in memory.
///
/// # Errors
/// What LanceDB says; those before it were visited.
pub(super) fn each_vector_in(
    folder: &Path,
    space: &VectorSpace,
    visit: impl FnMut(ChunkId, &[f32]),
) -> Result<()> {
    let folder = folder.join("vectors");
    if !folder.is_dir() {
        return Ok(());
    }
    let vectors = open_vectors(&folder, space.dimensions, 0, Access::Read)?;
    let visited = std::panic::catch_unwind(AssertUnwindSafe(|| vectors.each(visit)));
    visited.unwrap_or_else(|_| Err(panicked(&folder)))
}

/// Opens an index, and looks again where that fails: a service may compact while we begin to read,
/// and then files of the version that was looked at vanish; the next look finds the new version.
fn tried<T>(open: impl Fn() -> Result<T>) -> Result<T> {
    open().or_else(|_| open()).or_else(|_| open())
}

/// LanceDB panics on some damaged files.
fn guarded(folder: &Path, dimensions: usize, exact_rows: usize) -> Result<Vectors> {
    let opened = std::panic::catch_unwind(|| Vectors::open(folder, dimensions, exact_rows));
    opened.unwrap_or_else(|_| Err(panicked(folder)))
}

fn panicked(folder: &Path) -> StoreError {
    let source = std::io::Error::other("reading it ended in a panic");
    StoreError::io(folder, source)
}

fn open_lexical(folder: &Path, access: Access) -> Result<Lexical> {
    let write = access == Access::Write;
    let opened = tried(|| Lexical::open(folder, write)).and_then(|lexical| {
        let looks = write && folder_bytes(folder) <= CHECKED_BYTES;
        let files = if looks {
            lexical.damaged_files()?
        } else {
            Vec::new()
        };
        Ok((lexical, files.len()))
    });
    let reason = match opened {
        Ok((lexical, 0)) => return Ok(lexical),
        Ok((lexical, files)) => {
            drop(lexical);
            format!("{files} files do not match their checksum")
        }
        Err(error) if !write || error.is_refused() => return Err(error),
        Err(error) if error.is_other_schema() => {
            tracing::info!(folder = %folder.display(), "an older coho wrote the lexical index: it is made anew");
            remove(folder)?;
            return Lexical::open(folder, true);
        }
        Err(error) => crate::error::Failure::from(error).whole(),
    };
    tracing::error!(folder = %folder.display(), reason, "the lexical index is damaged: it is made anew");
    remove(folder)?;
    Lexical::open(folder, true)
}

/// Removes a folder with all that is in it, if it is there.
pub(super) fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::io(folder, source))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::domain::source::Edition;
    use crate::store::passages::{TermsDocument, TermsRow};

    fn filled(folder: &Path) {
        let lexical = open_lexical(folder, Access::Write).unwrap();
        let document = TermsDocument {
            edition: Edition(1),
            path: "a.md".into(),
            title: "A".into(),
            tags: Vec::new(),
            aliases: Vec::new(),
            language: None,
            rows: vec![TermsRow {
                chunk: ChunkId::of("", "pear"),
                text: "pear".into(),
                heading: Vec::new(),
            }],
        };
        lexical.update(&[document], &[]).unwrap();
    }

    #[test]
    fn an_index_is_made_anew_where_it_is_damaged_and_not_where_the_system_refuses_it() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("terms");
        filled(&folder);
        let (meta, aside) = (folder.join("meta.json"), folder.join("aside"));
        std::fs::rename(&meta, &aside).unwrap();
        // A link to itself cannot be opened by anybody.
        std::os::unix::fs::symlink(&meta, &meta).unwrap();
        let refused = open_lexical(&folder, Access::Write).err();
        assert!(refused.is_some_and(|error| error.is_refused()));
        std::fs::rename(&aside, &meta).unwrap();
        let whole = open_lexical(&folder, Access::Write).unwrap();
        assert_eq!(whole.sizes().unwrap().len(), 1, "nothing was thrown away");
        drop(whole);
        std::fs::write(&meta, "{").unwrap();
        let anew = open_lexical(&folder, Access::Write).unwrap();
        assert!(anew.is_empty());
    }
}
