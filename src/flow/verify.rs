//! Verifying: do ledger, vectors, terms and files agree, and if not, where.

use schemars::JsonSchema;
use serde::Serialize;

use super::scan;
use crate::domain::source::shown_name;
use crate::store::sources::Source;
use crate::store::verify::Difference;
use crate::store::{Indexes, Store, StoreError};

/// What `coho verify` finds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Verdict {
    /// Do all agree?
    pub ok: bool,
    /// Visible documents.
    pub documents: u64,
    /// Distinct visible chunks.
    pub chunks: u64,
    /// A hash of what is visible: which document shows which chunk where. Equal for equal folders
    /// at equal paths, however the store got there.
    pub fingerprint: String,
    /// Where they differ.
    pub differences: Vec<Difference>,
    /// What `--repair` mended; none without it.
    pub repaired: Vec<Difference>,
}

/// Compares everything. `indexes` are those in use, or why they cannot be opened.
///
/// # Errors
/// What the stores say; that an index cannot be read is a difference, not an error.
pub fn verify(store: &Store, indexes: Result<&Indexes, StoreError>) -> Result<Verdict, StoreError> {
    let mut differences = store.ledger_differences()?;
    let of_indexes = indexes.and_then(|indexes| store.index_differences(indexes));
    match of_indexes {
        Ok(found) => differences.extend(found),
        Err(error) => differences.push(crate::store::verify::unreadable(error)?),
    }
    let sources = store.ledger().read(|snapshot| snapshot.sources())?;
    for source in &sources {
        differences.extend(file_differences(store, source)?);
    }
    let (counts, fingerprint) = store
        .ledger()
        .read(|s| Ok::<_, StoreError>((s.counts()?, s.fingerprint()?)))?;
    Ok(Verdict {
        ok: differences.is_empty(),
        documents: counts.documents,
        chunks: counts.chunks,
        fingerprint,
        differences,
        repaired: Vec::new(),
    })
}

/// Where the files of a source are not what was read of them. A source that cannot be reached
/// differs in nothing: what was known of it is kept.
fn file_differences(store: &Store, source: &Source) -> Result<Vec<Difference>, StoreError> {
    let Ok(found) = scan::scan(source) else {
        return Ok(Vec::new());
    };
    let (known, failed) = store
        .ledger()
        .read(|s| Ok::<_, StoreError>((s.known(source.id)?, s.failed(source.id)?)))?;
    if source.away.is_some() && !known.keys().any(|path| found.files.contains_key(path)) {
        return Ok(Vec::new());
    }
    let shown = |path: &String| source.path.join(shown_name(path)).display().to_string();
    let mut changed = Vec::new();
    let mut gone = Vec::new();
    for (path, document) in &known {
        let Some(stat) = found.files.get(path) else {
            let kept = found
                .unreadable
                .iter()
                .any(|(p, _)| p.is_empty() || path == p || path.starts_with(&format!("{p}/")));
            if !kept {
                gone.push(shown(path));
            }
            continue;
        };
        // Of another length, it need not be read.
        let differs = stat.size != document.stat.size
            || scan::hash(&source.path, path).is_ok_and(|hash| hash != document.hash);
        if differs {
            changed.push(shown(path));
        }
    }
    let new = found.files.keys();
    let new = new.filter(|path| !known.contains_key(*path) && !failed.contains_key(*path));
    let new: Vec<String> = new.map(shown).collect();
    let differences = [
        Difference::of(
            "file_changed",
            "files that changed since they were read",
            &changed,
        ),
        Difference::of("file_gone", "documents whose file is gone", &gone),
        Difference::of("file_new", "files that were not read yet", &new),
    ];
    Ok(differences.into_iter().flatten().collect())
}
