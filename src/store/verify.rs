//! Comparing the stores: what the ledger shows against what the indexes hold.

use std::collections::HashSet;

use serde::Serialize;

use super::unreadable::unreadable_values;
use super::{Indexes, Result, Snapshot, Store, StoreError};
use crate::domain::chunk::ChunkId;

/// One way in which the stores differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Difference {
    /// What is wrong, by a stable name.
    pub what: &'static str,
    /// The same for people.
    pub meaning: String,
    /// How often.
    pub count: usize,
    /// Some of them.
    pub examples: Vec<String>,
    /// Is something broken, and not only missing or left over?
    #[serde(skip)]
    pub damaged: bool,
}

impl Difference {
    /// A difference with its first examples, or `None` when there is nothing.
    pub fn of<T: std::fmt::Display>(
        what: &'static str,
        meaning: &str,
        found: &[T],
    ) -> Option<Self> {
        (!found.is_empty()).then(|| Self {
            what,
            meaning: meaning.to_owned(),
            count: found.len(),
            examples: found.iter().take(5).map(ToString::to_string).collect(),
            damaged: false,
        })
    }

    /// As [`Difference::of`], of what is broken.
    pub fn damage<T: std::fmt::Display>(
        what: &'static str,
        meaning: &str,
        found: &[T],
    ) -> Option<Self> {
        let difference = Self::of(what, meaning, found)?;
        Some(Self {
            damaged: true,
            ..difference
        })
    }
}

/// Those differences that were found and are not left.
pub fn without(found: Vec<Difference>, left: &[Difference]) -> Vec<Difference> {
    let gone = |mut difference: Difference| {
        if let Some(left) = left.iter().find(|left| left.what == difference.what) {
            difference.count = difference.count.saturating_sub(left.count);
            let examples = &mut difference.examples;
            examples.retain(|example| !left.examples.contains(example));
        }
        (difference.count > 0).then_some(difference)
    };
    found.into_iter().filter_map(gone).collect()
}

/// An index that cannot even be opened, as a difference.
///
/// # Errors
/// Any other error, as it is.
pub fn unreadable(error: StoreError) -> Result<Difference> {
    match error {
        StoreError::Vectors { .. } | StoreError::Lexical { .. } | StoreError::Io { .. } => {
            Ok(Difference {
                what: "index_unreadable",
                meaning: "an index that cannot be read at all".into(),
                count: 1,
                examples: vec![crate::error::Failure::from(error).whole()],
                damaged: true,
            })
        }
        error => Err(error),
    }
}

impl Store {
    /// What is wrong within the ledger: pages, indexes, chunks whose text is not what their id was
    /// made of, answers and units that cannot be read.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn ledger_differences(&self) -> Result<Vec<Difference>> {
        self.ledger.read(|snapshot| {
            let pages = snapshot.integrity()?;
            let mut found = Vec::new();
            found.extend(Difference::damage(
                "ledger_damaged",
                "SQLite finds the ledger damaged",
                &pages,
            ));
            if pages.is_empty() {
                found.extend(Difference::damage(
                    "chunk_damaged",
                    "chunks whose text in the ledger is not the one that was read",
                    &snapshot.damaged_chunks()?,
                ));
                found.extend(Difference::of(
                    "value_unreadable",
                    "what cannot be read of answers and units in the ledger",
                    &unreadable_values(snapshot.0)?,
                ));
            }
            Ok(found)
        })
    }

    /// Where the indexes differ from what the ledger shows. What a running service is about to
    /// remove counts as in order.
    ///
    /// # Errors
    /// What the stores say.
    pub fn index_differences(&self, indexes: &Indexes) -> Result<Vec<Difference>> {
        self.ledger.read(|snapshot| {
            let mut found = vector_differences(snapshot, indexes)?;
            found.extend(term_differences(snapshot, indexes)?);
            Ok(found)
        })
    }
}

fn vector_differences(snapshot: &Snapshot<'_>, indexes: &Indexes) -> Result<Vec<Difference>> {
    let (present, damaged) = indexes.vectors()?.read_all()?;
    let visible: HashSet<ChunkId> = snapshot.chunk_ids()?.into_iter().collect();
    let leaving: HashSet<ChunkId> = snapshot.garbage()?.0.into_iter().collect();
    let mut once = HashSet::new();
    let twice: Vec<ChunkId> = present
        .iter()
        .copied()
        .filter(|id| !once.insert(*id))
        .collect();
    let missing: Vec<&ChunkId> = visible.iter().filter(|id| !once.contains(id)).collect();
    let orphans: Vec<&ChunkId> = once
        .iter()
        .filter(|id| !visible.contains(id) && !leaving.contains(id))
        .collect();
    let damaged: Vec<String> = (0..damaged).map(|_| "a row".to_owned()).collect();
    let found = [
        Difference::damage(
            "vector_damaged",
            "rows of the vector index that do not match their hash",
            &damaged,
        ),
        Difference::of(
            "vector_missing",
            "chunks that have no vector, so that only their words are found",
            &missing,
        ),
        Difference::of(
            "vector_orphaned",
            "vectors of chunks that are not there; they are never shown",
            &orphans,
        ),
        Difference::of("vector_twice", "chunks with two vectors", &twice),
    ];
    Ok(found.into_iter().flatten().collect())
}

fn term_differences(snapshot: &Snapshot<'_>, indexes: &Indexes) -> Result<Vec<Difference>> {
    let files = indexes.lexical()?.damaged_files()?;
    let files: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
    let present = indexes.lexical()?.sizes()?;
    let visible = snapshot.edition_sizes()?;
    let leaving = snapshot.garbage()?.1;
    let mut missing = Vec::new();
    for (edition, size) in &visible {
        if present.get(edition) != Some(size) {
            missing.push(snapshot.terms_of(*edition, None)?.path);
        }
    }
    let orphans = present.keys();
    let orphans = orphans.filter(|e| !visible.contains_key(e) && !leaving.contains(e));
    let orphans: Vec<String> = orphans.map(|e| format!("edition {}", e.0)).collect();
    let found = [
        Difference::damage(
            "term_file_damaged",
            "files of the lexical index that do not match their checksum",
            &files,
        ),
        Difference::of(
            "terms_missing",
            "documents whose words are not in the lexical index, or not all of them",
            &missing,
        ),
        Difference::of(
            "terms_orphaned",
            "entries of the lexical index for documents that are not there; they are never shown",
            &orphans,
        ),
    ];
    Ok(found.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_broken_is_more_than_missing() {
        let missing = Difference::of("x", "", &["a"]).unwrap();
        let broken = Difference::damage("x", "", &["a"]).unwrap();
        assert!(broken.damaged && !missing.damaged);
        assert_eq!(Difference::damage::<&str>("x", "", &[]), None);
        // Programs are told the name alone.
        let [missing, broken] = [missing, broken].map(|d| serde_json::to_value(d).unwrap());
        assert_eq!(missing, broken);
    }

    #[test]
    fn what_still_differs_was_not_mended() {
        let of = |what, found: &[&str]| Difference::of(what, "", found);
        let found = [
            of("new", &["a", "b", "c"]),
            of("gone", &["d"]),
            of("x", &["e"]),
        ];
        let left = [of("new", &["b"]), of("gone", &["d", "f"])];
        let left: Vec<Difference> = left.into_iter().flatten().collect();
        let mended = [of("new", &["a", "c"]), of("x", &["e"])];
        assert_eq!(
            without(found.into_iter().flatten().collect(), &left),
            mended.into_iter().flatten().collect::<Vec<_>>()
        );
    }
}
