//! Which documents fit the filters of a query, and how documents are linked.
//!
//! Filters are answered by the ledger, which knows what is visible; the indexes are told which
//! editions they may look at.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Transaction, params, params_from_iter};

use super::StoreError;
use super::editions::Editions;
use super::ledger::Snapshot;
use super::sources::{Source, home, path_named};
use crate::domain::link;
use crate::domain::query::{Filter, Test};
use crate::domain::source::{DocumentId, Meta, SourceId};

type Result<T> = std::result::Result<T, StoreError>;

/// Links of each kind that a hit shows at most.
const SHOWN_LINKS: usize = 20;

impl Snapshot<'_> {
    /// The visible editions of documents that fit all filters.
    ///
    /// # Errors
    /// [`StoreError::NoSuchSource`], [`StoreError::NoSource`] for a source that is not there.
    pub(super) fn editions(&self, filters: &[Filter]) -> Result<Editions> {
        let sources = self.sources()?;
        let mut sql = String::from(
            "SELECT d.edition FROM document d JOIN source s ON s.id = d.source_id WHERE 1",
        );
        let mut values: Vec<Value> = Vec::new();
        for filter in filters {
            let tests = filter.tests();
            let any = tests.map(|test| condition(test, &sources, &mut values));
            let any: Vec<String> = any.collect::<Result<_>>()?;
            sql.push_str(if filter.not { " AND NOT (" } else { " AND (" });
            sql.push_str(&any.join(" OR "));
            sql.push(')');
        }
        let mut statement = self.0.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(values), |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Paths of documents that link to this one, and of those that it links to; at most twenty of
    /// each, in order.
    pub(crate) fn links_of(&self, document: DocumentId) -> Result<(Vec<String>, Vec<String>)> {
        let paths = |sql: &str| -> Result<Vec<String>> {
            let mut statement = self.0.prepare_cached(sql)?;
            let rows = statement.query_map(params![document, SHOWN_LINKS], |row| row.get(0))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        };
        let back = paths(
            "SELECT DISTINCT d.path FROM name n JOIN link l ON l.target = n.name
             JOIN document d ON d.id = l.document_id
             WHERE n.document_id = ?1 AND d.id <> ?1 ORDER BY d.path LIMIT ?2",
        )?;
        let out = paths(
            "SELECT DISTINCT d.path FROM link l JOIN name n ON n.name = l.target
             JOIN document d ON d.id = n.document_id
             WHERE l.document_id = ?1 AND d.id <> ?1 ORDER BY d.path LIMIT ?2",
        )?;
        Ok((back, out))
    }

    /// The tags, names and aliases of a document, in lower case.
    pub(super) fn labels_of(&self, document: DocumentId) -> Result<Vec<String>> {
        let mut statement = self.0.prepare_cached(
            "SELECT tag FROM tag WHERE document_id = ?1
             UNION ALL SELECT name FROM name WHERE document_id = ?1",
        )?;
        let rows = statement.query_map([document], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

/// SQL for a test; what it compares with is added to `values`.
fn condition(test: &Test, sources: &[Source], values: &mut Vec<Value>) -> Result<String> {
    let mut put = |value: Value| {
        values.push(value);
        format!("?{}", values.len())
    };
    Ok(match test {
        Test::Path(path) => {
            let whole = path.starts_with('/');
            let column = if whole {
                "s.path || '/' || d.path"
            } else {
                "d.path"
            };
            if path.contains(['*', '?', '[']) {
                // A glob without a slash is about names, wherever they are.
                let glob = if whole || path.contains('/') {
                    path.clone()
                } else {
                    format!("*{path}")
                };
                let glob = put(link::folded(&glob).into());
                format!("folded({column}) GLOB {glob}")
            } else {
                let part = put(link::folded(path).into());
                format!("instr(folded({column}), {part})")
            }
        }
        Test::Source(named) => {
            let home = home().map(|home| home.canonicalize().unwrap_or(home));
            let ids = sources_named(named, sources, home.as_deref())?;
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            format!("d.source_id IN ({})", ids.join(", "))
        }
        Test::SourceId(id) => {
            if !sources.iter().any(|source| source.id == *id) {
                return Err(StoreError::NoSource { id: *id });
            }
            format!("d.source_id = {id}")
        }
        Test::Tag(tag) => {
            let (tag, below) = (put(tag.clone().into()), put(format!("{tag}/").into()));
            format!(
                "d.id IN (SELECT document_id FROM tag
                          WHERE tag = {tag} OR substr(tag, 1, length({below})) = {below})"
            )
        }
        Test::Kind(kind) => format!("d.kind = {}", put(kind.as_str().to_owned().into())),
        Test::Extension(extension) => {
            let end = put(format!("*.{extension}").into());
            format!("lower(d.path) GLOB {end}")
        }
        Test::Title(title) => {
            let key = put(link::key(title).into());
            format!("instr(folded(d.title), {key})")
        }
        Test::Link(target) => {
            let key = put(link::key(target).into());
            format!(
                "d.id IN (SELECT document_id FROM link WHERE target = {key}
                          OR target IN (SELECT other.name FROM name own
                                        JOIN name other ON other.document_id = own.document_id
                                        WHERE own.name = {key})
                          OR target GLOB '*/' || {key}
                          OR (instr(target, ':') AND instr(target, {key})))"
            )
        }
        Test::Before(ms) => format!("d.mtime_ns < {}", put(nanoseconds(*ms))),
        Test::After(ms) => format!("d.mtime_ns >= {}", put(nanoseconds(*ms))),
        Test::Language(language) => {
            format!("d.language IS {}", put(language.code().to_owned().into()))
        }
    })
}

fn nanoseconds(ms: i64) -> Value {
    ms.saturating_mul(1_000_000).into()
}

/// Sources by number; where it is none of one, by path; or else by the end of their path.
fn sources_named(named: &str, sources: &[Source], home: Option<&Path>) -> Result<Vec<SourceId>> {
    let number = named.parse().ok().map(SourceId);
    let path = path_named(named, home);
    let mut whole = sources.iter();
    let whole = whole.find(|source| Some(source.id) == number || source.path == path);
    if let Some(source) = whole {
        return Ok(vec![source.id]);
    }
    let plain = named
        .trim_end_matches('/')
        .trim_start_matches('~')
        .to_lowercase();
    let fits = |source: &&Source| {
        let path = source.path.to_string_lossy().to_lowercase();
        !plain.is_empty()
            && path.ends_with(&plain)
            && (plain.starts_with('/') || path[..path.len() - plain.len()].ends_with('/'))
    };
    let found: Vec<_> = sources
        .iter()
        .filter(fits)
        .map(|source| source.id)
        .collect();
    if found.is_empty() {
        return Err(StoreError::NoSuchSource {
            name: named.to_owned(),
        });
    }
    Ok(found)
}

/// Writes what filters and links ask of a document.
///
/// # Errors
/// [`StoreError::Ledger`].
pub(super) fn put_marks(
    transaction: &Transaction<'_>,
    id: DocumentId,
    path: &str,
    meta: &Meta,
) -> Result<()> {
    clear_marks(transaction, id)?;
    let put = |sql: &str, keys: &mut dyn Iterator<Item = String>| -> Result<()> {
        let mut statement = transaction.prepare_cached(sql)?;
        for key in keys {
            statement.execute(params![id, key])?;
        }
        Ok(())
    };
    put(
        "INSERT OR IGNORE INTO tag (document_id, tag) VALUES (?1, ?2)",
        &mut meta.tags.iter().map(|tag| link::folded(tag)),
    )?;
    put(
        "INSERT OR IGNORE INTO link (document_id, target) VALUES (?1, ?2)",
        &mut link::targets(path, &meta.links).into_iter(),
    )?;
    put(
        "INSERT OR IGNORE INTO name (document_id, name) VALUES (?1, ?2)",
        &mut link::names(path, meta).into_iter(),
    )
}

/// Forgets them.
///
/// # Errors
/// [`StoreError::Ledger`].
pub(super) fn clear_marks(transaction: &Transaction<'_>, id: DocumentId) -> Result<()> {
    for table in ["tag", "name", "link"] {
        transaction
            .prepare_cached(&format!("DELETE FROM {table} WHERE document_id = ?1"))?
            .execute([id])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ledger::Ledger;
    use crate::store::sources::{self, Rules};

    fn add(ledger: &Ledger, path: &str) -> SourceId {
        let added = ledger.write(|t| sources::add_source(t, path, &Rules::default(), 0));
        added.unwrap()
    }

    #[test]
    fn the_path_of_a_source_is_no_end_of_anothers() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
        let add = |path: &str| add(&ledger, path);
        let (copy, own) = (add("/mnt/home/ann/notes"), add("/home/ann/notes"));
        let sources = ledger.read(|snapshot| snapshot.sources()).unwrap();
        let home = Some(Path::new("/home/ann"));
        let named = |name: &str| sources_named(name, &sources, home).unwrap();
        for name in ["~/notes", "~/notes/", "/home/ann/notes"] {
            assert_eq!(named(name), [own], "{name}");
        }
        assert_eq!(named("ann/notes"), [copy, own]);
    }

    #[test]
    fn the_number_of_a_source_is_no_end_of_a_path() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
        let add = |path: &str| add(&ledger, path);
        let notes = add("/home/a/notes");
        let second = add(&format!("/home/a/semester/{notes}"));
        let sources = ledger.read(|snapshot| snapshot.sources()).unwrap();
        let named = |name: &str| sources_named(name, &sources, None).ok();
        assert_eq!(named(&notes.to_string()), Some(vec![notes]));
        assert_eq!(named(&format!("semester/{notes}")), Some(vec![second]));
        assert_eq!(named("~/a/notes/"), Some(vec![notes]));
        assert_eq!(named("99"), None);
        let of = |id| {
            let filter = Filter {
                not: false,
                first: Test::SourceId(id),
                others: Vec::new(),
            };
            let editions = ledger.read(|snapshot| snapshot.editions(&[filter]));
            editions.map(|found| found.len())
        };
        assert_eq!(of(second).unwrap(), 0);
        assert!(matches!(of(SourceId(99)), Err(StoreError::NoSource { .. })));
    }
}
