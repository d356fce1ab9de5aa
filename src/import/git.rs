//! The messages of a repository's history, a note for each month: what was done and why, findable.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use super::{Item, What, bad};
use crate::error::Failure;

/// Between the fields of a commit, and behind each.
const FIELD: char = '\u{1f}';
const END: char = '\u{1e}';

pub(super) fn read(path: &Path) -> Result<Vec<Item>, Failure> {
    let format = ["%H", "%an", "%aI", "%s", "%b"].join(&FIELD.to_string());
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
        .args(["--no-pager", "log", "--no-color"])
        .arg(format!("--format={format}{END}"))
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
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = whole
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let text = String::from_utf8_lossy(&output.stdout);
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
        // Where it lies may change, what it is does not.
        id: format!("{name} {month}"),
        title: format!("{name}, {month}"),
        from: vec![("repository", whole.display().to_string()), ("date", month)],
        tags: Vec::new(),
        text,
    });
    Ok(items.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_becomes_a_note_for_each_month() {
        let folder = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str], date: &str| {
            let done = Command::new("git")
                .arg("-C")
                .arg(folder.path())
                .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
                .args(arguments)
                .env("GIT_AUTHOR_DATE", date)
                .env("GIT_COMMITTER_DATE", date)
                .output();
            assert!(done.unwrap().status.success());
        };
        git(&["init", "-q"], "");
        let commit =
            |text: &str, date: &str| git(&["commit", "-q", "--allow-empty", "-m", text], date);
        commit(
            "Mend the mill\n\nThe wheel was cracked.",
            "2026-10-03T10:00:00Z",
        );
        commit("Paint it", "2026-11-05T10:00:00Z");
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
