//! `coho import`: notes of what other programs keep.

use std::path::Path;
use std::process::ExitCode;

use super::{Session, show};
use crate::error::Failure;
use crate::import::{self, What};
use crate::store::Access;
use crate::umask;

pub(super) fn run(
    session: Session,
    what: What,
    path: &Path,
    into: &Path,
) -> Result<ExitCode, Failure> {
    // The folder is the user's, and so is what others may do there.
    let report = umask::with_former(|| import::import(what, path, into))?;
    let json = session.json;
    if json {
        show::json(&report);
        return Ok(ExitCode::SUCCESS);
    }
    out!(
        "{} notes new, {} changed, {} as they were, in {}",
        report.made,
        report.changed,
        report.unchanged,
        into.display()
    );
    for path in &report.edited {
        out!("edited by you since, left alone: {}", path.display());
    }
    for problem in &report.problems {
        out!("not read: {problem}");
    }
    let whole = into.canonicalize().unwrap_or_else(|_| into.to_owned());
    let sources = session.open_records(Access::Read)?.sources()?;
    if sources.iter().any(|s| whole.starts_with(&s.source.path)) {
        note!("a running service reads them by itself; else: coho sync");
    } else {
        note!(
            "coho does not read that folder yet: coho add {}",
            into.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}
