//! Scanning: what is in a source's folder now, and reading it without ever leaving the folder.
//!
//! A scan is the truth, events are hints. Ignore files (`.gitignore`, `.ignore`, `.cohoignore`) and
//! the source's own globs are honoured, hidden files and symbolic links are left out. What cannot
//! be read is told apart from what is gone, so that nothing is forgotten by accident.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use globset::{Glob, GlobSet, GlobSetBuilder};
use ignore::WalkBuilder;

use crate::domain::source::Kind;
use crate::store::ledger::{FileStat, Source};

/// What a scan found.
#[derive(Debug, Default)]
pub struct Found {
    /// Files of a kind that coho reads, by path below the root.
    pub files: HashMap<String, FileStat>,
    /// Paths that could not be looked at, with the reason. What lies below them is unknown, not
    /// gone.
    pub unreadable: Vec<(String, String)>,
}

/// Why a folder could not be scanned at all.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The root is gone or cannot be read; what was known of it is kept.
    #[error("the folder {} cannot be read", root.display())]
    Root {
        /// The root.
        root: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A pattern of the source is not a glob.
    #[error("`{pattern}` is not a glob pattern")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: globset::Error,
    },
}

/// Looks at everything in a source; reads no file but the ignore files.
///
/// # Errors
/// [`ScanError`].
pub fn scan(source: &Source) -> Result<Found, ScanError> {
    let root = &source.path;
    std::fs::read_dir(root).map_err(|error| ScanError::Root {
        root: root.clone(),
        source: error,
    })?;
    let include = globs(&source.include)?;
    let exclude = globs(&source.exclude)?;
    let mut found = Found::default();
    let walk = WalkBuilder::new(root)
        .follow_links(false)
        .parents(false)
        .git_global(false)
        .require_git(false)
        .add_custom_ignore_filename(".cohoignore")
        .build();
    for entry in walk {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                if let Some(unreadable) = unreadable(root, &error) {
                    found.unreadable.push(unreadable);
                }
                continue;
            }
        };
        if !entry.file_type().is_some_and(|t| t.is_file()) {
            continue;
        }
        let Some(path) = relative(root, entry.path()) else {
            let shown = entry.path().to_string_lossy().into_owned();
            let reason = "its name is not valid UTF-8: rename it".to_owned();
            found.unreadable.push((shown, reason));
            continue;
        };
        let wanted = source.include.is_empty() || include.is_match(&path);
        if Kind::of_path(&path).is_none() || !wanted || exclude.is_match(&path) {
            continue;
        }
        match entry.metadata() {
            Ok(meta) => {
                found.files.insert(path, stat_of(&meta));
            }
            Err(error) => found.unreadable.push((path, error.to_string())),
        }
    }
    Ok(found)
}

fn unreadable(root: &Path, error: &ignore::Error) -> Option<(String, String)> {
    let io = error.io_error()?;
    // Gone between the listing and the look: the next scan will say so too.
    if io.kind() == std::io::ErrorKind::NotFound {
        return None;
    }
    let mut inner = error;
    let path = loop {
        match inner {
            ignore::Error::WithPath { path, .. } => break path.clone(),
            ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => {
                inner = err;
            }
            _ => break root.to_owned(),
        }
    };
    let path = relative(root, &path).unwrap_or_default();
    Some((path, io.to_string()))
}

fn globs(patterns: &[String]) -> Result<GlobSet, ScanError> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(glob(pattern)?);
    }
    set.build().map_err(|source| ScanError::Pattern {
        pattern: patterns.join(", "),
        source,
    })
}

/// Checks one pattern.
///
/// # Errors
/// [`ScanError::Pattern`].
pub fn glob(pattern: &str) -> Result<Glob, ScanError> {
    Glob::new(pattern).map_err(|source| ScanError::Pattern {
        pattern: pattern.to_owned(),
        source,
    })
}

/// The path below the root with `/` between names, if it is UTF-8 and below the root.
fn relative(root: &Path, path: &Path) -> Option<String> {
    let below = path.strip_prefix(root).ok()?;
    let names: Option<Vec<&str>> = below.iter().map(|name| name.to_str()).collect();
    Some(names?.join("/"))
}

fn stat_of(meta: &std::fs::Metadata) -> FileStat {
    let mtime = meta.modified().ok();
    let mtime_ns = mtime.map_or(0, |time| match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_nanos()).unwrap_or(i64::MAX),
    });
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(meta);
    #[cfg(not(unix))]
    let inode = 0;
    FileStat {
        size: meta.len(),
        mtime_ns,
        inode,
    }
}

/// Reads a file below the root, following no symbolic link on the way.
///
/// # Errors
/// What the system says; [`std::io::ErrorKind::FileTooLarge`] for one above `limit` bytes.
pub fn read(root: &Path, path: &str, limit: u64) -> std::io::Result<(Vec<u8>, FileStat)> {
    let file = open_below(root, path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    if meta.len() > limit {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0));
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    Ok((bytes, stat_of(&meta)))
}

#[cfg(target_os = "linux")]
fn open_below(root: &Path, path: &str) -> std::io::Result<File> {
    use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
    let folder = open(
        root,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match openat2(&folder, path, flags, Mode::empty(), within) {
        Ok(file) => Ok(File::from(file)),
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {
            // A kernel or sandbox without openat2.
            open_checked(root, path)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn open_below(root: &Path, path: &str) -> std::io::Result<File> {
    open_checked(root, path)
}

fn open_checked(root: &Path, path: &str) -> std::io::Result<File> {
    let real = root.join(path).canonicalize()?;
    if real != root.canonicalize()?.join(path) {
        return Err(std::io::Error::other("a symbolic link is on the way"));
    }
    File::open(real)
}
