//! The messages of a repository's history, a note for each month: what was done and why, findable.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use super::{Item, What, bad, digest};
use crate::error::Failure;

/// Between the fields of a commit, and behind each.
const FIELD: char = '\u{1f}';
const END: char = '\u{1e}';

pub(super) fn read(path: &Path) -> Result<Vec<Item>, Failure> {
    let format = ["%H", "%an", "%aI", "%s", "%b"].join(&FIELD.to_string());
    let text = said(
        path,
        &["log", "--no-color", &format!("--format={format}{END}")],
    )?;
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let origin = origin(path, &whole)?;
    let name = whole
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let mut months: BTreeMap<String, String> = BTreeMap::new();
    for commit in text.split(END) {
        let fields: Vec<&str> = commit.trim_start().splitn(5, FIELD).collect();
        let [hash, author, date, subject, body] = fields[..] else {
            continue;
        };
        let (month, day) = (
            date.get(..7).unwrap_or(date),
            date.get(..10).unwrap_or(date),
        );
        let short = hash.get(..12).unwrap_or(hash);
        let month = months.entry(month.to_owned()).or_default();
        let _ = write!(month, "## {subject}\n\n{day}, {author}, `{short}`\n\n");
        if !body.trim().is_empty() {
            let _ = write!(month, "{}\n\n", body.trim());
        }
    }
    let items = months.into_iter().map(|(month, text)| Item {
        // Where it lies may change, what it is does not. Its name alone is not enough: there are many
        // folders called `docs`. Notes that were known by it are taken over.
        id: format!("{name} {origin} {month}"),
        formerly: Some(format!("{name} {month}")),
        title: format!("{name}, {month}"),
        from: vec![("repository", whole.display().to_string()), ("date", month)],
        tags: Vec::new(),
        text,
    });
    Ok(items.collect())
}

/// What git prints for these arguments in the folder at `path`.
fn said(path: &Path, arguments: &[&str]) -> Result<String, Failure> {
    let output = Command::new("git")
        .arg("-C")
        .arg(path)
        // Nothing that the repository configures is run.
        .args([
            "-c",
            "core.fsmonitor=false",
            "-c",
            "log.showSignature=false",
        ])
        .arg("--no-pager")
        .args(arguments)
        .env("GIT_OPTIONAL_LOCKS", "0")
        // Where objects are missing, git would fetch them by a command that the repository names.
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_ALLOW_PROTOCOL", "none")
        .output()
        .map_err(|error| bad(path, What::Git, error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(bad(path, What::Git, said.trim()).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What a repository is known by wherever it lies: the commit that it began with. Clones that are
/// shallow don't hold that one; they are known by where they lie.
fn origin(path: &Path, whole: &Path) -> Result<String, Failure> {
    if said(path, &["rev-parse", "--is-shallow-repository"])?.trim() == "true" {
        return Ok(digest(&whole.display().to_string()));
    }
    let first = [
        "rev-list",
        "--first-parent",
        "--max-parents=0",
        "HEAD",
        "--",
    ];
    Ok(said(path, &first)?.trim().chars().take(12).collect())
}

#[cfg(test)]
mod tests {
    use super::super::{Imported, import, known, put};
    use super::*;

    fn git(folder: &Path, arguments: &[&str], date: &str) {
        let done = Command::new("git")
            .arg("-C")
            .arg(folder)
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
            .args(arguments)
            .env("GIT_AUTHOR_DATE", date)
            .env("GIT_COMMITTER_DATE", date)
            // Whoever runs the tests may sign what they commit, or do so from a hook of git's.
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env_remove("GIT_DIR")
            .env_remove("GIT_INDEX_FILE")
            .env_remove("GIT_WORK_TREE")
            .output();
        assert!(done.unwrap().status.success());
    }

    fn commit(folder: &Path, text: &str, date: &str) {
        git(folder, &["commit", "-q", "--allow-empty", "-m", text], date);
    }

    #[test]
    fn folders_of_one_name_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("notes");
        let [mill, barn] = ["mill", "barn"].map(|above| folder.path().join(above).join("docs"));
        for (place, text) in [(&mill, "Mend the mill"), (&barn, "Build the barn")] {
            std::fs::create_dir_all(place).unwrap();
            git(place, &["init", "-q"], "");
            commit(place, text, "2026-10-03T10:00:00Z");
        }
        // As an earlier version made it.
        let before = read(&mill).unwrap().remove(0);
        let before = Item {
            id: before.formerly.unwrap(),
            formerly: None,
            ..before
        };
        std::fs::create_dir(&into).unwrap();
        let none = known(&into).unwrap();
        put(What::Git, &before, &into, &none, &mut Imported::default()).unwrap();
        let run = |place: &Path| {
            let report = import(What::Git, place, &into).unwrap();
            (report.made, report.changed, report.unchanged)
        };
        assert_eq!(run(&barn), (1, 0, 0));
        assert_eq!(run(&mill), (0, 1, 0));
        for place in [&barn, &mill] {
            assert_eq!(run(place), (0, 0, 1));
        }
        // It may lie elsewhere now.
        let moved = folder.path().join("docs");
        std::fs::rename(&mill, &moved).unwrap();
        assert_eq!(run(&moved), (0, 1, 0));
    }

    #[test]
    fn history_becomes_a_note_for_each_month() {
        let folder = tempfile::tempdir().unwrap();
        git(folder.path(), &["init", "-q"], "");
        commit(
            folder.path(),
            "Mend the mill\n\nThe wheel was cracked.",
            "2026-10-03T10:00:00Z",
        );
        commit(folder.path(), "Paint it", "2026-11-05T10:00:00Z");
        let items = read(folder.path()).unwrap();
        assert_eq!(items.len(), 2);
        assert!(
            items[0]
                .text
                .contains("## Mend the mill\n\n2026-10-03, Ada, `"),
            "{}",
            items[0].text
        );
        assert!(items[0].text.contains("The wheel was cracked."));
        let none = tempfile::tempdir().unwrap();
        assert_eq!(read(none.path()).err().unwrap().code(), "bad_import");
    }
}
