//! Recovery: what takes the place of a ledger that is damaged or gone.
//!
//! The automatic copy does. What the damaged one still gives of what cannot be recreated is saved row
//! by row: what the copy lacks, and what changed since it was made. A copy that is damaged itself is
//! saved from in the same way.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::{
    MISSED, automatic_path, beside, check_file, copy_hashed, discard, draft_of, holds,
    private_file, publish,
};
use crate::store::folder::ledger_path;
use crate::store::ledger::{self, Ledger};
use crate::store::unreadable::is_readable;
use crate::store::{Result, StoreError, index};

/// The memo that tells of the last recovery.
pub const RECOVERY: &str = "recovery";

/// Why the ledger is as good as damaged although SQLite would begin a new one: it is gone or empty,
/// and its copy is not.
pub(in crate::store) fn lost(home: &Path) -> Option<StoreError> {
    let (path, copy) = (ledger_path(home), automatic_path(home));
    if !copy.exists() {
        return None;
    }
    let reason = match std::fs::metadata(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => "it is gone, and its copy is there",
        Ok(meta) if meta.len() == 0 => "it is empty, and its copy is not",
        Ok(_) if version_of(&path).is_ok_and(|version| version == 0) => {
            "it has no tables of coho, and its copy has"
        }
        _ => return None,
    };
    // A copy that cannot be read may hold something.
    let held = holds(&copy, MISSED).unwrap_or(true);
    held.then(|| StoreError::LedgerDamaged {
        path,
        reason: reason.into(),
    })
}

/// The version of a ledger's schema; 0 where it has none.
fn version_of(path: &Path) -> Result<i64> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// How rows of a damaged ledger come into the one that was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Saved {
    /// They were written once: those that lack are added.
    Once,
    /// They change: what is newer than the copy counts.
    Changed,
    /// They change, and those of one unit, which their first column names, come and go together.
    Together,
}

/// Tables whose rows cannot be recreated, parents first.
const SAVED: &[(&str, Saved)] = &[
    ("memo", Saved::Changed),
    ("source", Saved::Changed),
    ("answer", Saved::Once),
    ("citation", Saved::Once),
    ("feedback", Saved::Once),
    ("signal", Saved::Once),
    ("batch", Saved::Changed),
    ("unit", Saved::Changed),
    ("unit_evidence", Saved::Together),
    ("unit_vector", Saved::Together),
    ("unit_event", Saved::Once),
    ("considered", Saved::Changed),
    ("unit_change", Saved::Once),
    ("spent", Saved::Changed),
    ("token", Saved::Once),
    ("outbound", Saved::Changed),
    ("measurement", Saved::Once),
];

/// Puts the automatic copy in the place of a damaged ledger, or a new ledger where there is no good
/// one, and saves what can be read of the damaged ones, which are kept beside it.
pub(in crate::store) fn recover(home: &Path, damage: &StoreError) -> Result<()> {
    let path = ledger_path(home);
    let draft = draft_of(&path);
    let recovered = recover_into(&draft, home, damage).and_then(|said| {
        for ending in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(beside(&path, ending));
            let _ = std::fs::remove_file(beside(&draft, ending));
        }
        publish(&draft, &path)?;
        Ok(said)
    });
    if recovered.is_err() {
        discard(&draft);
    }
    let said = recovered?;
    let copy = automatic_path(home);
    if check_copy(&copy).is_err() {
        // The next one is made soon then, and takes nothing away.
        let aside = home.join(format!("ledger.damaged-{}.copy.sqlite", stamp()));
        let _ = std::fs::rename(&copy, &aside);
    }
    tracing::error!("{said}");
    Ok(())
}

/// Makes the draft of the ledger that takes the place of the damaged one; says what became of what.
fn recover_into(draft: &Path, home: &Path, damage: &StoreError) -> Result<String> {
    let aside = put_aside(home, stamp())?;
    let copy = automatic_path(home);
    let made = std::fs::metadata(&copy).and_then(|m| m.modified()).ok();
    let good = made.filter(|_| check_copy(&copy).is_ok());
    discard(draft);
    if good.is_some() {
        std::fs::copy(&copy, draft).map_err(|source| StoreError::io(draft, source))?;
    } else {
        private_file(draft)?;
        // Numbers begin anew, and would mean other things in the indexes.
        index::remove(&home.join("index"))?;
    }
    // Opening brings its schema up to date.
    let restored = Ledger::open(draft)?;
    restored.check()?;
    // The older one first: of what changed, the newer one counts.
    let older = good.is_none().then_some(copy.as_path());
    let damaged: Vec<&Path> = older.into_iter().chain(aside.as_deref()).collect();
    let saved = save_rows(&damaged, draft);
    let loss = match (good, made) {
        (Some(made), _) => format!(
            "the copy of {} minutes ago was restored; saved of the damaged one: {saved}; what was \
             written since and could not be read is lost",
            made.elapsed().unwrap_or_default().as_secs() / 60
        ),
        (None, Some(_)) => {
            format!("its copy is damaged too; saved of both: {saved}; the rest is lost")
        }
        (None, None) => {
            format!("there was no copy; saved of the damaged one: {saved}; the rest is lost")
        }
    };
    let kept = aside.map(|aside| format!("; the damaged file is {}", aside.display()));
    let said = format!("{damage}; {loss}{}", kept.unwrap_or_default());
    restored.write(|transaction| ledger::put_memo(transaction, RECOVERY, &said))?;
    restored.checkpoint()?;
    Ok(said)
}

/// Seconds since 1970, for names.
fn stamp() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |d| d.as_secs())
}

/// Is this a whole copy of a ledger?
fn check_copy(copy: &Path) -> Result<()> {
    check_file(copy)?;
    if version_of(copy)? > 0 {
        return Ok(());
    }
    Err(StoreError::LedgerDamaged {
        path: copy.to_owned(),
        reason: "it is empty".into(),
    })
}

/// Keeps a damaged ledger and its log under another name, once however often it is met; `None` where
/// there is nothing to keep.
fn put_aside(home: &Path, stamp: u64) -> Result<Option<PathBuf>> {
    let path = ledger_path(home);
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
    if size(&path) == 0 {
        return Ok(None);
    }
    let log = beside(&path, "-wal");
    // Reading leaves an empty log behind.
    let held = |path: &Path| hash_of(path).filter(|_| size(path) > 0);
    let is_same = |other: &PathBuf| {
        size(other) == size(&path)
            && held(other) == held(&path)
            && held(&beside(other, "-wal")) == held(&log)
    };
    let entries = std::fs::read_dir(home).map_err(|source| StoreError::io(home, source))?;
    let mut others = entries.flatten().map(|entry| entry.path());
    if let Some(kept) = others.find(|other| is_put_aside(other) && is_same(other)) {
        return Ok(Some(kept));
    }
    let aside = home.join(format!("ledger.damaged-{stamp}.sqlite"));
    let kept = std::fs::copy(&path, &aside).and_then(|_| {
        if log.exists() {
            std::fs::copy(&log, beside(&aside, "-wal"))?;
        }
        Ok(())
    });
    if let Err(source) = kept {
        discard(&aside);
        return Err(StoreError::io(&aside, source));
    }
    keep_private(&aside)?;
    Ok(Some(aside))
}

pub(super) fn is_put_aside(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(b"ledger.damaged-")
}

/// BLAKE3 of a file, where it can be read.
fn hash_of(path: &Path) -> Option<String> {
    copy_hashed(&mut File::open(path).ok()?, &mut std::io::sink()).ok()
}

#[cfg(unix)]
fn keep_private(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|source| StoreError::io(path, source))
}

#[cfg(not(unix))]
fn keep_private(_: &Path) -> Result<()> {
    Ok(())
}

/// Brings what can be read of damaged ledgers, oldest first, into the restored one; returns how many
/// rows of each table that changed.
fn save_rows(damaged: &[&Path], restored: &Path) -> String {
    let open =
        |path: &&Path| Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok();
    let from: Vec<Connection> = damaged.iter().filter_map(open).collect();
    let saved = Connection::open(restored).and_then(|mut into| save_from(&from, &mut into));
    let saved = saved.unwrap_or_default();
    if saved.is_empty() {
        "nothing".into()
    } else {
        saved.join(", ")
    }
}

fn save_from(from: &[Connection], into: &mut Connection) -> rusqlite::Result<Vec<String>> {
    let transaction = into.transaction()?;
    // What happened to units is told by their events, not once more because they are brought here.
    let triggers: Vec<String> = transaction
        .prepare("SELECT sql FROM sqlite_master WHERE name IN ('unit_made', 'unit_moved')")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    transaction.execute_batch("DROP TRIGGER unit_made; DROP TRIGGER unit_moved")?;
    let mut saved = Vec::new();
    for (table, how) in SAVED {
        let save = |from| save_table(from, &transaction, table, *how).unwrap_or(0);
        let count: usize = from.iter().map(save).sum();
        if count > 0 {
            saved.push(format!("{count} of table {table}"));
        }
    }
    // An event that could not be read is made up for.
    transaction.execute_batch(
        "INSERT INTO unit_event (unit_id, before, after, reason)
         SELECT id, known, state, reason FROM (SELECT id, state, reason, (SELECT after
             FROM unit_event WHERE unit_id = unit.id ORDER BY unit_event.id DESC LIMIT 1) AS known
           FROM unit)
         WHERE known IS NOT state",
    )?;
    transaction.execute_batch(&triggers.join(";\n"))?;
    // Nothing gets a number that something else has in the indexes.
    for from in from {
        let next = "SELECT next_edition FROM counter";
        if let Ok(next) = from.query_row(next, [], |row| row.get::<_, i64>(0)) {
            let later = "UPDATE counter SET next_edition = max(next_edition, ?1)";
            transaction.execute(later, [next])?;
        }
    }
    transaction.commit()?;
    Ok(saved)
}

fn save_table(
    from: &Connection,
    into: &Connection,
    table: &str,
    how: Saved,
) -> rusqlite::Result<usize> {
    let (known, keys) = columns_of(into, table)?;
    // An older version may have written the damaged one.
    let columns = columns_of(from, table)?.0.into_iter();
    let columns: Vec<String> = columns.filter(|c| known.contains(c)).collect();
    let at: Vec<usize> = keys
        .iter()
        .filter_map(|key| columns.iter().position(|column| column == key))
        .collect();
    let (names, keys) = (columns.join(", "), keys.join(", "));
    let marks = vec!["?"; columns.len()].join(", ");
    let newer: Vec<String> = columns.iter().map(|c| format!("excluded.{c}")).collect();
    let newer = newer.join(", ");
    let mut put = into.prepare(&match how {
        Saved::Once => format!("INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})"),
        Saved::Changed | Saved::Together => format!(
            "INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT ({keys})
             DO UPDATE SET ({names}) = ({newer}) WHERE ({names}) IS NOT ({newer})"
        ),
    })?;
    into.execute_batch(&format!(
        "DROP TABLE IF EXISTS temp.seen;
         CREATE TEMP TABLE seen AS SELECT {keys} FROM {table} WHERE 0"
    ))?;
    let mut see = into.prepare(&format!(
        "INSERT INTO seen VALUES ({})",
        vec!["?"; at.len()].join(", ")
    ))?;
    let mut saved = 0;
    let whole = each_row(from, table, &columns, |row| {
        see.execute(params_from_iter(at.iter().map(|at| &row[*at])))?;
        let mut values = columns.iter().zip(&row);
        if !values.all(|(column, value)| is_readable(table, column, value)) {
            return Ok(());
        }
        saved += put.execute(params_from_iter(row)).unwrap_or(0);
        Ok(())
    })?;
    drop(see);
    if let (Saved::Together, true, Some((first, _))) = (how, whole, keys.split_once(',')) {
        saved += into.execute(
            &format!(
                "DELETE FROM {table} WHERE {first} IN (SELECT {first} FROM seen)
                 AND ({keys}) NOT IN (SELECT {keys} FROM seen)"
            ),
            [],
        )?;
    }
    Ok(saved)
}

/// The columns of a table, and those of its key in their order.
pub(super) fn columns_of(
    connection: &Connection,
    table: &str,
) -> rusqlite::Result<(Vec<String>, Vec<String>)> {
    let names = |sql: &str| -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare(sql)?;
        statement.query_map([table], |row| row.get(0))?.collect()
    };
    Ok((
        names("SELECT name FROM pragma_table_info(?1) ORDER BY cid")?,
        names("SELECT name FROM pragma_table_info(?1) WHERE pk > 0 ORDER BY pk")?,
    ))
}

/// Visits the rows of a table that can be read, some twice where not all can; says whether all could.
pub(super) fn each_row(
    from: &Connection,
    table: &str,
    columns: &[String],
    mut visit: impl FnMut(Vec<Value>) -> rusqlite::Result<()>,
) -> rusqlite::Result<bool> {
    // From both ends: a damaged page in the middle stops either way.
    for order in ["ASC", "DESC"] {
        let names = columns.join(", ");
        let mut statement =
            from.prepare(&format!("SELECT {names} FROM {table} ORDER BY 1 {order}"))?;
        let mut rows = statement.query([])?;
        let mut whole = true;
        loop {
            match rows.next() {
                Ok(Some(row)) => {
                    let values = (0..columns.len()).map(|at| row.get(at));
                    match values.collect::<rusqlite::Result<_>>() {
                        Ok(values) => visit(values)?,
                        Err(_) => whole = false,
                    }
                }
                Ok(None) if whole => return Ok(true),
                Ok(None) | Err(_) => break,
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{COPIED, copied_home, names, overwrite, rows};
    use super::*;
    use crate::store::{Access, Store};

    const NEWER: &str = "
        UPDATE source SET never_leaves = 1;
        INSERT INTO feedback (answer_id, verdict, given_ms) VALUES ('a', 'bad', 2);
        UPDATE unit SET state = 'retired', reason = 'the owner rejected it' WHERE id = 'u';
        DELETE FROM unit_evidence WHERE unit_id = 'u';
        INSERT INTO unit_evidence (unit_id, chunk_id) VALUES ('u', x'02');
        UPDATE batch SET state = 'published';
        INSERT INTO unit (id, state, title, text, questions, scores, batch, made_ms)
        VALUES ('w', 'shadow', 't', 'said later', '[]', '{}', 'b', 3);
        INSERT INTO unit_vector VALUES ('w', 'm', 0, x'00');
        INSERT INTO unit_change (batch, unit_id, before) VALUES ('b', 'w', NULL);
        INSERT INTO considered VALUES ('a', 'b', 'w', '[]');
        UPDATE spent SET units = 2;
        UPDATE memo SET value = '1';
        INSERT INTO outbound (at_ms, day, url, model, body, tokens, cost, state)
        VALUES (1, 0, 'u', 'm', '{}', 7, 0.5, 'answered');
        UPDATE counter SET next_edition = 9;";

    /// A copy, and the ledger that it was made of with what is newer.
    fn copy_and_ledger(folder: &Path) -> (PathBuf, PathBuf) {
        let (copy, newer) = (folder.join("copy.sqlite"), folder.join("ledger.sqlite"));
        let write = |path: &Path, sql: &str| {
            let ledger = Ledger::open(path).unwrap();
            ledger.write(|t| Ok(t.execute_batch(sql)?)).unwrap();
        };
        write(&copy, COPIED);
        std::fs::copy(&copy, &newer).unwrap();
        write(&newer, NEWER);
        (copy, newer)
    }

    /// Overwrites the first page of a table.
    fn wipe(ledger: &Path, table: &str) {
        let root = "SELECT rootpage FROM sqlite_master WHERE name = ?1";
        let connection = Connection::open(ledger).unwrap();
        let root: u64 = connection
            .query_row(root, [table], |row| row.get(0))
            .unwrap();
        drop(connection);
        overwrite(ledger, (root - 1) * 4096, 4096);
    }

    fn recovery(home: &Path) -> String {
        let store = Store::open(home, Access::Read).unwrap();
        let said = store.ledger.read(|snapshot| snapshot.memo(RECOVERY));
        said.unwrap().unwrap_or_default()
    }

    #[test]
    fn a_ledger_that_is_gone_or_empty_is_restored_and_not_begun_anew() {
        let remove = |path: &Path| std::fs::remove_file(path).unwrap();
        let empty = |path: &Path| File::create(path).map(drop).unwrap();
        let bare = |path: &Path| {
            std::fs::remove_file(path).unwrap();
            let other = Connection::open(path).unwrap();
            other.execute_batch("CREATE TABLE other (n)").unwrap();
        };
        for lose in [&remove as &dyn Fn(&Path), &empty, &bare] {
            let home = copied_home();
            let path = ledger_path(home.path());
            discard(&beside(&path, "-wal"));
            lose(&path);
            let refused = Store::open(home.path(), Access::Read).err().unwrap();
            assert!(
                matches!(refused, StoreError::LedgerDamaged { .. }),
                "{refused:?}"
            );
            Store::open(home.path(), Access::Write).map(drop).unwrap();
            assert!(recovery(home.path()).contains("was restored"));
            for path in [path, automatic_path(home.path())] {
                assert_eq!(rows(&path, "answer").len(), 1);
            }
        }
        // Where nothing was copied, nothing is lost.
        let home = tempfile::tempdir().unwrap();
        Store::open(home.path(), Access::Write).map(drop).unwrap();
        assert_eq!(recovery(home.path()), "");
    }

    #[test]
    fn a_damaged_copy_is_not_restored_but_saved_from() {
        let home = copied_home();
        let copy = automatic_path(home.path());
        wipe(&copy, "unit_event");
        overwrite(&ledger_path(home.path()), 0, 100);
        Store::open(home.path(), Access::Write).map(drop).unwrap();
        let said = recovery(home.path());
        assert!(
            said.contains("damaged too") && said.contains("1 of table answer"),
            "{said}"
        );
        assert_eq!(rows(&ledger_path(home.path()), "answer").len(), 1);
        assert_eq!(names(&home.path().join("backup")), [""; 0]);
        let drafts = names(home.path());
        assert!(!drafts.iter().any(|n| n.contains(".tmp")), "{drafts:?}");
        // Of two that give nothing, a new one is made; an empty copy is none.
        let home = copied_home();
        File::create(automatic_path(home.path())).unwrap();
        overwrite(&ledger_path(home.path()), 0, 100);
        Store::open(home.path(), Access::Write).map(drop).unwrap();
        assert!(recovery(home.path()).contains("damaged too"));
    }

    #[test]
    fn a_damaged_ledger_is_put_aside_once() {
        let home = copied_home();
        let path = ledger_path(home.path());
        let first = put_aside(home.path(), 1).unwrap();
        save_rows(&[first.as_deref().unwrap()], &automatic_path(home.path()));
        assert_eq!(put_aside(home.path(), 2).unwrap(), first);
        overwrite(&path, 0, 1);
        let other = put_aside(home.path(), 3).unwrap();
        assert_ne!(other, first);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(put_aside(home.path(), 4).unwrap(), None);
    }

    #[test]
    fn what_changed_since_the_copy_is_saved() {
        let folder = tempfile::tempdir().unwrap();
        let (copy, newer) = copy_and_ledger(folder.path());
        let said = save_rows(&[newer.as_path()], &copy);
        for told in [
            "1 of table source",
            "2 of table unit,",
            "2 of table unit_event",
        ] {
            assert!(said.contains(told), "{said}");
        }
        let tables = SAVED.iter().map(|(table, _)| *table);
        for table in tables.chain(["counter"]) {
            assert_eq!(rows(&copy, table), rows(&newer, table), "{table}");
        }
        assert_eq!(
            save_rows(&[newer.as_path()], &copy),
            "nothing",
            "a second time"
        );
        let restored = Connection::open(&copy).unwrap();
        let moved = "UPDATE unit SET state = 'retired' WHERE id = 'v'";
        restored.execute(moved, []).unwrap();
        assert_eq!(
            rows(&copy, "unit_event").len(),
            rows(&newer, "unit_event").len() + 1,
            "events are written by triggers again"
        );
    }

    #[test]
    fn what_is_nonsense_does_not_take_the_place_of_what_was_copied() {
        let folder = tempfile::tempdir().unwrap();
        let (copy, newer) = copy_and_ledger(folder.path());
        let before = rows(&copy, "unit");
        let connection = Connection::open(&newer).unwrap();
        let spoilt = "UPDATE unit SET questions = '[' || char(0)";
        connection.execute(spoilt, []).unwrap();
        save_rows(&[newer.as_path()], &copy);
        assert_eq!(rows(&copy, "unit"), before);
    }

    #[test]
    fn a_unit_whose_events_cannot_be_read_is_saved_with_one() {
        let folder = tempfile::tempdir().unwrap();
        let (copy, newer) = copy_and_ledger(folder.path());
        wipe(&newer, "unit_event");
        save_rows(&[newer.as_path()], &copy);
        let restored = Ledger::open(&copy).unwrap();
        let events = restored.read(|snapshot| snapshot.unit_events("u")).unwrap();
        let last = events.last().unwrap();
        assert_eq!(
            (events.len(), last.reason.as_str()),
            (2, "the owner rejected it")
        );
        let others = restored.read(|snapshot| snapshot.unit_events("v")).unwrap();
        assert_eq!(others.len(), 1);
    }
}
