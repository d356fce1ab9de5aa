//! Zotero: its database, read from a copy while Zotero runs or not, never written. Each reference
//! becomes a note with its abstract, the owner's notes and what was marked in its PDFs, whose paths
//! stand in the front matter.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dom_query::Document;
use rusqlite::Connection;

use super::{Item, What, bad, io};
use crate::error::Failure;

pub(super) fn read(path: &Path) -> Result<Vec<Item>, Failure> {
    let file = if path.is_dir() {
        path.join("zotero.sqlite")
    } else {
        path.to_owned()
    };
    let folder = file.parent().unwrap_or(path).to_owned();
    let wrong = |error: rusqlite::Error| bad(&file, What::Zotero, error);
    if !file.is_file() {
        return Err(bad(&file, What::Zotero, "it is not there").into());
    }
    let Some(copy) = Copied::of(&file).map_err(io(&file))? else {
        return Err(bad(&file, What::Zotero, "Zotero writes to it: try again later").into());
    };
    // What was under way in it is ended or taken back, in the copy.
    let database = Connection::open(copy.0.join(NAME)).map_err(wrong)?;
    items(&database, &folder).map_err(|error| wrong(error).into())
}

/// A database and what SQLite keeps beside it while something is written.
const PARTS: [&str; 3] = ["", "-wal", "-journal"];

/// What a copy is called.
const NAME: &str = "zotero.sqlite";

/// So often a copy is tried before it is said that Zotero writes.
const ATTEMPTS: usize = 5;

/// The folder of a copy, which its owner alone may look into; gone with this value.
///
/// Zotero holds a lock as long as it runs, so that the database cannot be opened where it lies; and
/// what was written last may stand beside it.
struct Copied(PathBuf);

impl Copied {
    /// A copy of one moment; none where something is written all the time.
    fn of(file: &Path) -> std::io::Result<Option<Self>> {
        for _ in 0..ATTEMPTS {
            let copied = Self::empty()?;
            let before = written(file);
            for end in PARTS {
                copy(&part(file, end), &copied.0.join(format!("{NAME}{end}")))?;
            }
            if written(file) == before {
                return Ok(Some(copied));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(None)
    }

    fn empty() -> std::io::Result<Self> {
        let name = format!("coho-{}", uuid::Uuid::new_v4().simple());
        let path = std::env::temp_dir().join(name);
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn part(file: &Path, end: &str) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(end);
    path.into()
}

/// When each part was written last, and how long it is.
fn written(file: &Path) -> [Option<(SystemTime, u64)>; 3] {
    PARTS.map(|end| {
        let meta = fs::metadata(part(file, end)).ok()?;
        Some((meta.modified().ok()?, meta.len()))
    })
}

/// Copies a part that is there.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    match File::open(from) {
        Ok(mut from) => std::io::copy(&mut from, &mut File::create(to)?).map(drop),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

type Rows = Vec<(i64, String)>;

fn rows(database: &Connection, sql: &str) -> rusqlite::Result<Rows> {
    let mut statement = database.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    rows.collect()
}

/// What belongs to each item, in the order of the rows.
fn by_item(rows: Rows) -> BTreeMap<i64, Vec<String>> {
    let mut found: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for (item, value) in rows {
        found.entry(item).or_default().push(value);
    }
    found
}

fn items(database: &Connection, folder: &Path) -> rusqlite::Result<Vec<Item>> {
    let keys = rows(
        database,
        "SELECT i.itemID, i.key FROM items i JOIN itemTypes t ON t.itemTypeID = i.itemTypeID
         WHERE t.typeName NOT IN ('attachment', 'note', 'annotation')
         AND i.itemID NOT IN (SELECT itemID FROM deletedItems) ORDER BY i.itemID",
    )?;
    let library = Library::of(database)?;
    Ok(keys
        .into_iter()
        .map(|(id, key)| library.item(id, key, folder))
        .collect())
}

/// What belongs to each item.
struct Library {
    fields: BTreeMap<&'static str, BTreeMap<i64, Vec<String>>>,
    people: BTreeMap<i64, Vec<String>>,
    tags: BTreeMap<i64, Vec<String>>,
    notes: BTreeMap<i64, Vec<String>>,
    papers: BTreeMap<i64, Vec<String>>,
    marked: BTreeMap<i64, Vec<String>>,
}

impl Library {
    fn of(database: &Connection) -> rusqlite::Result<Self> {
        let field = |name: &'static str| {
            let sql = format!(
                "SELECT d.itemID, CAST(v.value AS TEXT) FROM itemData d
             JOIN itemDataValues v ON v.valueID = d.valueID
             JOIN fields f ON f.fieldID = d.fieldID WHERE f.fieldName = '{name}'"
            );
            rows(database, &sql).map(|rows| (name, by_item(rows)))
        };
        let names = ["title", "abstractNote", "date", "url", "DOI"];
        let fields = names
            .into_iter()
            .map(field)
            .collect::<rusqlite::Result<_>>()?;
        let people = by_item(rows(
            database,
            "SELECT ic.itemID, trim(coalesce(c.firstName, '') || ' ' || coalesce(c.lastName, ''))
         FROM itemCreators ic JOIN creators c ON c.creatorID = ic.creatorID ORDER BY ic.orderIndex",
        )?);
        let tags = by_item(rows(
            database,
            "SELECT it.itemID, t.name FROM itemTags it JOIN tags t ON t.tagID = it.tagID ORDER BY t.name",
        )?);
        let notes = by_item(rows(
            database,
            "SELECT parentItemID, coalesce(note, '') FROM itemNotes WHERE parentItemID IS NOT NULL
         AND itemID NOT IN (SELECT itemID FROM deletedItems) ORDER BY itemID",
        )?);
        let papers = by_item(rows(
            database,
            "SELECT a.parentItemID, i.key || '/' || substr(a.path, 9) FROM itemAttachments a
         JOIN items i ON i.itemID = a.itemID
         WHERE a.parentItemID IS NOT NULL AND a.path LIKE 'storage:%'
         AND a.itemID NOT IN (SELECT itemID FROM deletedItems) ORDER BY a.itemID",
        )?);
        // Older databases have none.
        let marked = rows(
        database,
        "SELECT a.parentItemID, coalesce(n.text, '') || iif(n.comment IS NULL, '', char(10) || n.comment)
           || iif(n.pageLabel IS NULL, '', ' (page ' || n.pageLabel || ')')
         FROM itemAnnotations n JOIN itemAttachments a ON a.itemID = n.parentItemID
         WHERE a.parentItemID IS NOT NULL AND a.itemID NOT IN (SELECT itemID FROM deletedItems)
         AND n.itemID NOT IN (SELECT itemID FROM deletedItems) ORDER BY n.sortIndex",
    );
        Ok(Self {
            fields,
            people,
            tags,
            notes,
            papers,
            marked: by_item(marked.unwrap_or_default()),
        })
    }

    fn field(&self, name: &str, id: i64) -> String {
        let values = self.fields.get(name).and_then(|of| of.get(&id));
        values
            .and_then(|values| values.first())
            .cloned()
            .unwrap_or_default()
    }

    fn item(&self, id: i64, key: String, folder: &Path) -> Item {
        let all = |of: &BTreeMap<i64, Vec<String>>| of.get(&id).cloned().unwrap_or_default();
        let mut parts = vec![self.field("abstractNote", id)];
        parts.extend(all(&self.notes).iter().map(|html| plain(html)));
        let quotes = all(&self.marked);
        let quoted = quotes
            .iter()
            .map(|quote| quote.trim().replace('\n', "\n> "));
        parts.extend(quoted.map(|quote| format!("> {quote}")));
        parts.retain(|part| !part.trim().is_empty());
        let papers = all(&self.papers);
        let papers = papers
            .iter()
            .map(|below| folder.join("storage").join(below));
        let papers: Vec<String> = papers.map(|path| path.display().to_string()).collect();
        let title = self.field("title", id);
        let date = self.field("date", id);
        Item {
            title: if title.is_empty() { key.clone() } else { title },
            id: key,
            formerly: None,
            from: vec![
                ("author", all(&self.people).join(", ")),
                (
                    "date",
                    date.split(' ').next().unwrap_or_default().to_owned(),
                ),
                ("url", self.field("url", id)),
                ("doi", self.field("DOI", id)),
                ("files", papers.join(", ")),
            ],
            tags: all(&self.tags),
            text: parts.join("\n\n"),
        }
    }
}

/// The text of a note, which Zotero keeps as HTML.
fn plain(html: &str) -> String {
    let blocks = html
        .replace("</p>", "</p>\n\n")
        .replace("</li>", "</li>\n")
        .replace("<br", "\n<br");
    let text = Document::from(blocks.as_str()).text();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::import;
    use super::*;

    /// The tables that are read, as Zotero 7 has them.
    const TABLES: &str = "
        CREATE TABLE itemTypes (itemTypeID INTEGER PRIMARY KEY, typeName TEXT);
        CREATE TABLE items (itemID INTEGER PRIMARY KEY, itemTypeID INT, key TEXT);
        CREATE TABLE deletedItems (itemID INTEGER PRIMARY KEY);
        CREATE TABLE fields (fieldID INTEGER PRIMARY KEY, fieldName TEXT);
        CREATE TABLE itemDataValues (valueID INTEGER PRIMARY KEY, value);
        CREATE TABLE itemData (itemID INT, fieldID INT, valueID INT);
        CREATE TABLE creators (creatorID INTEGER PRIMARY KEY, firstName TEXT, lastName TEXT);
        CREATE TABLE itemCreators (itemID INT, creatorID INT, orderIndex INT);
        CREATE TABLE tags (tagID INTEGER PRIMARY KEY, name TEXT);
        CREATE TABLE itemTags (itemID INT, tagID INT);
        CREATE TABLE itemNotes (itemID INTEGER PRIMARY KEY, parentItemID INT, note TEXT);
        CREATE TABLE itemAttachments (itemID INTEGER PRIMARY KEY, parentItemID INT, path TEXT);
        CREATE TABLE itemAnnotations (itemID INTEGER PRIMARY KEY, parentItemID INT, text TEXT, comment TEXT, pageLabel TEXT, sortIndex TEXT);
        INSERT INTO itemTypes VALUES (1, 'journalArticle'), (2, 'attachment'), (3, 'note');
        INSERT INTO items VALUES (1, 1, 'AAAA1111'), (2, 2, 'BBBB2222'), (3, 3, 'CCCC3333'), (4, 1, 'DEAD4444');
        INSERT INTO deletedItems VALUES (4);
        INSERT INTO fields VALUES (1, 'title'), (2, 'abstractNote'), (3, 'date'), (4, 'url'), (5, 'DOI');
        INSERT INTO itemDataValues VALUES (1, 'Owls of the mill'), (2, 'They eat voles.'), (3, '2024-05-02 2024');
        INSERT INTO itemData VALUES (1, 1, 1), (1, 2, 2), (1, 3, 3);
        INSERT INTO creators VALUES (1, 'Ada', 'Huber'), (2, NULL, 'Owl Society');
        INSERT INTO itemCreators VALUES (1, 1, 0), (1, 2, 1);
        INSERT INTO tags VALUES (1, 'birds');
        INSERT INTO itemTags VALUES (1, 1);
        INSERT INTO itemNotes VALUES (3, 1, '<div><p>Compare the <b>barn</b>.</p><p>Second.</p></div>');
        INSERT INTO itemAttachments VALUES (2, 1, 'storage:owls.pdf');
        INSERT INTO itemAnnotations VALUES (9, 2, 'nests are dry', 'true here', '12', '1');";

    #[test]
    fn what_zotero_has_just_written_is_read_while_it_runs() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(NAME);
        let database = Connection::open(&file).unwrap();
        database
            .pragma_update(None, "locking_mode", "EXCLUSIVE")
            .unwrap();
        database.pragma_update(None, "journal_mode", "WAL").unwrap();
        database.execute_batch(TABLES).unwrap();
        let before = written(&file);
        // All of it stands beside the database yet.
        assert!(before[1].is_some_and(|(_, bytes)| bytes > 0));
        assert_eq!(read(folder.path()).unwrap().len(), 1);
        assert_eq!(written(&file), before);
    }

    #[test]
    fn papers_in_the_trash_stay_there_and_titles_may_be_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let database = Connection::open(folder.path().join(NAME)).unwrap();
        database.execute_batch(TABLES).unwrap();
        let change = "INSERT INTO itemDataValues VALUES (4, 1984);
            UPDATE itemData SET valueID = 4 WHERE fieldID = 1;
            UPDATE itemNotes SET note = NULL;
            INSERT INTO deletedItems VALUES (2);";
        database.execute_batch(change).unwrap();
        drop(database);
        let item = read(folder.path()).unwrap().remove(0);
        assert_eq!(
            (item.title.as_str(), item.text.as_str()),
            ("1984", "They eat voles.")
        );
        assert!(item.from.contains(&("files", String::new())), "{item:?}");
    }

    #[test]
    fn references_become_notes_and_the_library_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("zotero.sqlite");
        let database = Connection::open(&file).unwrap();
        database.execute_batch(TABLES).unwrap();
        drop(database);
        let before = std::fs::read(&file).unwrap();
        let into = folder.path().join("notes");
        let report = import(What::Zotero, folder.path(), &into).unwrap();
        assert_eq!(report.made, 1, "{report:?}");
        assert_eq!(
            import(What::Zotero, folder.path(), &into)
                .unwrap()
                .unchanged,
            1
        );
        let path = std::fs::read_dir(&into)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        let note = std::fs::read_to_string(path).unwrap();
        for part in [
            "# Owls of the mill",
            "author: \"Ada Huber, Owl Society\"",
            "date: \"2024-05-02\"",
            "tags: [\"birds\"]",
            "They eat voles.",
            "Compare the barn.",
            "> nests are dry\n> true here (page 12)",
            "storage/BBBB2222/owls.pdf",
        ] {
            assert!(note.contains(part), "{part} in {note}");
        }
        assert_eq!(std::fs::read(&file).unwrap(), before);
        assert!(!folder.path().join("zotero.sqlite-wal").exists());
    }
}
