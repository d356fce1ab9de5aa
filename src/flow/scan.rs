//! Scanning: what is in a source's folder now, and reading it without ever leaving the folder.
//!
//! A scan is the truth, events are hints. Ignore files (`.gitignore`, `.ignore`, `.cohoignore`) and
//! the source's own globs are honoured; hidden files, symbolic links and private material are left
//! out. What cannot be read is told apart from what is gone, so that nothing is forgotten by
//! accident: a folder without permission, a root or a folder below it whose mount has vanished.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use globset::{Glob, GlobSet, GlobSetBuilder};
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use ignore::{Match, WalkBuilder};

use crate::domain::source::{Kind, bytes_of_name, is_private, name_of_bytes};
use crate::store::documents::FileStat;
use crate::store::sources::{RootId, Source};

/// What a scan found.
#[derive(Debug, Default)]
pub struct Found {
    /// Files of a kind that coho reads, by path below the root.
    pub files: HashMap<String, FileStat>,
    /// Paths that could not be looked at, with the reason. What lies below them is unknown, not
    /// gone.
    pub unreadable: Vec<(String, String)>,
    /// Files that are left out on purpose but should be known of, with the reason.
    pub skipped: Vec<(String, String)>,
    /// How many files are of kinds that coho does not read, by ending in lower case.
    pub not_read: BTreeMap<String, usize>,
    /// The folder that was scanned.
    pub root: RootId,
    /// Folders below the root on which something is mounted, with the device that each was on when it
    /// was met.
    pub mounts: Vec<(String, u64)>,
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
    /// Another folder is in its place in which nothing that was known is: a mount has vanished.
    #[error("{} is not the folder that it was: what was mounted there is gone", root.display())]
    Away {
        /// The root.
        root: PathBuf,
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
    let filter = Filter::of(source)?;
    let mut found = Found {
        root: root_id(root),
        ..Found::default()
    };
    let rules = Arc::new(IgnoreRules::of(root));
    let asked = Arc::clone(&rules);
    let walk = WalkBuilder::new(root)
        .follow_links(false)
        // Its own reading of ignore files follows links and waits for pipes.
        .standard_filters(false)
        .filter_entry(move |entry| {
            entry.depth() == 0 || !(is_hidden_folder(entry) || asked.leave_out(entry))
        })
        .build();
    for entry in walk {
        match entry {
            Ok(entry) => found.look(root, &filter, &entry),
            Err(error) => found.unreadable.extend(unreadable(root, &error)),
        }
    }
    found.unreadable.extend(rules.unreadable());
    // What was unmounted while it was walked looks as if all of it was gone.
    if root_id(root) != found.root {
        return Err(ScanError::Away { root: root.clone() });
    }
    for (mount, device) in &found.mounts {
        if root_id(&root.join(mount)).device != *device {
            let reason = "it was unmounted while it was read: its documents are kept".to_owned();
            found.unreadable.push((mount.clone(), reason));
        }
    }
    for mount in &source.mounts {
        let below = format!("{mount}/");
        let alive = found.mounts.iter().any(|(known, _)| known == mount)
            || found.files.keys().any(|p| p.starts_with(&below));
        if !alive {
            let reason = "what was mounted here is gone: its documents are kept".to_owned();
            found.unreadable.push((mount.clone(), reason));
        }
    }
    Ok(found)
}

/// Which folder a path leads to.
pub fn root_id(path: &Path) -> RootId {
    #[cfg(unix)]
    if let Ok(meta) = std::fs::metadata(path) {
        use std::os::unix::fs::MetadataExt;
        return RootId {
            device: meta.dev(),
            inode: meta.ino(),
        };
    }
    let _ = path;
    RootId::default()
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

fn is_hidden_folder(entry: &ignore::DirEntry) -> bool {
    is_hidden(entry.file_name()) && entry.file_type().is_some_and(|t| t.is_dir())
}

/// Is this a place at which no scan looks? That is so of all below a hidden folder, whatever the
/// source's globs say, but for git's own list of what is ignored. A hidden folder itself may become
/// another one; and what is not below the root is not known.
pub fn is_out_of_sight(root: &Path, path: &Path) -> bool {
    let below = path.strip_prefix(root).unwrap_or(Path::new(""));
    let hidden: PathBuf = below.iter().skip_while(|name| !is_hidden(name)).collect();
    hidden.iter().nth(1).is_some() && !Path::new(GIT_LIST).starts_with(hidden)
}

/// The rules of ignore files, read as everything below the root is: no link is followed, and nothing
/// is waited for. As git has it, one that is no regular file has no rules.
struct IgnoreRules {
    root: PathBuf,
    folders: Mutex<HashMap<PathBuf, Rules>>,
}

/// Those of one folder, one of each kind, or why they are not known. Nothing below is looked at then:
/// it could be what they leave out.
type Rules = Result<Arc<[Gitignore; 3]>, String>;

/// Names of ignore files, from the strongest word to the weakest: what one kind says anywhere above
/// goes before what the next one says. Git's own list for one checkout is its weakest.
const IGNORE_FILES: [&[&str]; 3] = [&[".cohoignore"], &[".ignore"], &[GIT_LIST, ".gitignore"]];

const GIT_LIST: &str = ".git/info/exclude";

/// Bytes of one that is read.
const IGNORE_BYTES: u64 = 1 << 20;

impl IgnoreRules {
    fn of(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            folders: Mutex::default(),
        }
    }

    /// Do the rules of the folders above leave this out? Of one kind the nearest decides.
    fn leave_out(&self, entry: &ignore::DirEntry) -> bool {
        let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
        let mut above = Vec::new();
        for folder in entry.path().ancestors().skip(1) {
            match self.rules(folder) {
                Err(_) => return true,
                Ok(rules) => above.push(rules),
            }
            if folder == self.root {
                break;
            }
        }
        for kind in 0..IGNORE_FILES.len() {
            for rules in &above {
                match rules[kind].matched(entry.path(), is_folder) {
                    Match::Ignore(_) => return true,
                    Match::Whitelist(_) => return false,
                    Match::None => {}
                }
            }
        }
        false
    }

    fn rules(&self, folder: &Path) -> Rules {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let known = folders.entry(folder.to_owned());
        known.or_insert_with(|| self.read(folder)).clone()
    }

    fn read(&self, folder: &Path) -> Rules {
        let [coho, plain, git] = IGNORE_FILES;
        let of = |names| self.read_kind(folder, names);
        Ok(Arc::new([of(coho)?, of(plain)?, of(git)?]))
    }

    fn read_kind(&self, folder: &Path, names: &[&str]) -> Result<Gitignore, String> {
        let mut builder = GitignoreBuilder::new(folder);
        for name in names {
            let path = folder.join(name);
            let regular = std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file());
            let Some(below) = relative(&self.root, &path).filter(|_| regular) else {
                continue;
            };
            let bytes = match read(&self.root, &below, IGNORE_BYTES) {
                Ok((bytes, _)) => bytes,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(format!("its {name} cannot be read: {error}")),
            };
            let text = String::from_utf8_lossy(&bytes);
            for line in text.trim_start_matches('\u{feff}').lines() {
                // A line that is no pattern is no rule, as git has it.
                let _ = builder.add_line(None, line);
            }
        }
        builder.build().map_err(|error| error.to_string())
    }

    /// Folders whose rules are not known.
    fn unreadable(&self) -> Vec<(String, String)> {
        let folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = folders.iter().filter_map(|(folder, rules)| {
            let reason = rules.as_ref().err()?;
            Some((relative(&self.root, folder)?, reason.clone()))
        });
        failed.collect()
    }
}

/// What the owner said of a source's files.
struct Filter {
    include: GlobSet,
    exclude: GlobSet,
    all: bool,
    /// Patterns that name files or endings, not only folders.
    by_name: GlobSet,
}

impl Filter {
    fn of(source: &Source) -> Result<Self, ScanError> {
        let names = |pattern: &&String| {
            let last = pattern.rsplit('/').next().unwrap_or_default();
            last.chars().any(|c| c.is_alphanumeric())
        };
        let by_name: Vec<String> = source.include.iter().filter(names).cloned().collect();
        Ok(Self {
            include: globs(&source.include)?,
            exclude: globs(&source.exclude)?,
            all: source.include.is_empty(),
            by_name: globs(&by_name)?,
        })
    }
}

impl Found {
    fn look(&mut self, root: &Path, filter: &Filter, entry: &ignore::DirEntry) {
        let Some(path) = relative(root, entry.path()) else {
            return;
        };
        let kind = entry.file_type();
        if kind.is_some_and(|t| t.is_dir()) {
            #[cfg(unix)]
            if let Ok(meta) = entry.metadata() {
                self.note_mount(path, std::os::unix::fs::MetadataExt::dev(&meta));
            }
            return;
        }
        if !kind.is_some_and(|t| t.is_file()) {
            return;
        }
        let asked_for = filter.by_name.is_match(&path);
        let name = path.rsplit('/').next().unwrap_or(&path);
        if !(filter.all || fits(&filter.include, &path)) || fits(&filter.exclude, &path) {
            return;
        }
        if is_private(&path) && !asked_for {
            let reason = "private material is not read unless an include pattern names it";
            self.skipped.push((path, reason.into()));
            return;
        }
        // Hidden files, and the lock files of office programs.
        if (name.starts_with('.') || name.starts_with("~$")) && !asked_for {
            return;
        }
        if Kind::of_path(&path).is_none() && !asked_for {
            if let Some(reason) = Kind::unreadable(&path) {
                self.skipped.push((path, reason.into()));
            } else {
                let ending = name
                    .rsplit_once('.')
                    .map_or("no ending", |(_, ending)| ending);
                let count = self.not_read.entry(ending.to_lowercase());
                *count.or_default() += 1;
            }
            return;
        }
        match entry.metadata() {
            Ok(meta) => {
                self.files.insert(path, stat_of(&meta));
            }
            Err(error) => self.unreadable.push((path, error.to_string())),
        }
    }

    /// Notes a folder that is on another device than the one around it. Folders come before what is
    /// in them.
    #[cfg(unix)]
    fn note_mount(&mut self, path: String, device: u64) {
        let holds = |mount: &str| {
            let below = path.strip_prefix(mount);
            below.is_some_and(|below| below.starts_with('/'))
        };
        let mut around = self.mounts.iter().rev();
        let around = around.find(|(mount, _)| holds(mount));
        let around = around.map_or(self.root.device, |(_, device)| *device);
        if !path.is_empty() && device != around {
            self.mounts.push((path, device));
        }
    }
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

/// Does a file fit, or one of the folders that it lies in: the whole path of one, or its name?
fn fits(patterns: &GlobSet, path: &str) -> bool {
    if patterns.is_empty() {
        return false;
    }
    let ends = path.match_indices('/').map(|(end, _)| end);
    patterns.is_match(path)
        || ends.into_iter().any(|end| {
            let folder = &path[..end];
            let name = folder.rsplit('/').next().unwrap_or(folder);
            patterns.is_match(folder) || patterns.is_match(name)
        })
}

/// Checks one pattern. A slash before or behind it says what is so in any case: that it begins at the
/// source's folder, or that it names a folder.
///
/// # Errors
/// [`ScanError::Pattern`].
pub fn glob(pattern: &str) -> Result<Glob, ScanError> {
    Glob::new(pattern.trim_matches('/')).map_err(|source| ScanError::Pattern {
        pattern: pattern.to_owned(),
        source,
    })
}

/// The path below the root with `/` between names, if it is below the root. Names that are not
/// UTF-8 are written with [`name_of_bytes`].
fn relative(root: &Path, path: &Path) -> Option<String> {
    let below = path.strip_prefix(root).ok()?;
    let names: Vec<String> = below
        .iter()
        .map(|name| name_of_bytes(name.as_encoded_bytes()))
        .collect();
    Some(names.join("/"))
}

/// The path in the file system of a path below the root.
pub fn real_path(path: &str) -> PathBuf {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        PathBuf::from(OsStr::from_bytes(&bytes_of_name(path)))
    }
    #[cfg(not(unix))]
    {
        PathBuf::from(OsStr::new(path))
    }
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
    #[cfg(unix)]
    let ctime_ns = {
        use std::os::unix::fs::MetadataExt;
        meta.ctime().saturating_mul(1_000_000_000) + meta.ctime_nsec()
    };
    #[cfg(not(unix))]
    let ctime_ns = 0;
    FileStat {
        size: meta.len(),
        mtime_ns,
        inode,
        ctime_ns,
    }
}

/// Reads a file below the root, following no symbolic link on the way.
///
/// # Errors
/// What the system says; [`std::io::ErrorKind::FileTooLarge`] for one above `limit` bytes.
pub fn read(root: &Path, path: &str, limit: u64) -> std::io::Result<(Vec<u8>, FileStat)> {
    let (file, meta) = open_file(root, path)?;
    if meta.len() > limit {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0));
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    Ok((bytes, stat_of(&meta)))
}

/// BLAKE3 of a file below the root, however long it is.
///
/// # Errors
/// What the system says.
pub fn hash(root: &Path, path: &str) -> std::io::Result<[u8; 32]> {
    let (file, _) = open_file(root, path)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok(*hasher.finalize().as_bytes())
}

fn open_file(root: &Path, path: &str) -> std::io::Result<(File, Metadata)> {
    crate::failpoint::reach("read-file")?;
    let file = open_below(root, &real_path(path))?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    Ok((file, meta))
}

#[cfg(target_os = "linux")]
fn open_below(root: &Path, path: &Path) -> std::io::Result<File> {
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
fn open_below(root: &Path, path: &Path) -> std::io::Result<File> {
    open_checked(root, path)
}

fn open_checked(root: &Path, path: &Path) -> std::io::Result<File> {
    let real = root.join(path).canonicalize()?;
    if real != root.canonicalize()?.join(path) {
        return Err(std::io::Error::other("a symbolic link is on the way"));
    }
    File::open(real)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_that_of_all_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = vec![7; 3 << 20];
        std::fs::write(folder.path().join("long.md"), &bytes).unwrap();
        let found = hash(folder.path(), "long.md").unwrap();
        assert_eq!(found, *blake3::hash(&bytes).as_bytes());
        assert!(hash(folder.path(), "gone.md").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_mounted_within_what_is_mounted_is_noted() {
        let mut found = Found::default();
        for (path, device) in [
            ("", 0),
            ("a", 1),
            ("a/b", 1),
            ("a/b/c", 2),
            ("a/b/c/d", 2),
            ("a/b/e", 1),
            ("ab", 0),
            ("f", 1),
        ] {
            found.note_mount(path.to_owned(), device);
        }
        let noted = found.mounts.iter().map(|(path, _)| path.as_str());
        assert_eq!(noted.collect::<Vec<_>>(), ["a", "a/b/c", "f"]);
    }

    #[test]
    fn below_hidden_folders_no_scan_looks() {
        let check = |path: &str, expected: bool| {
            let seen = is_out_of_sight(Path::new("/home/.vault/notes"), Path::new(path));
            assert_eq!(seen, expected, "{path}");
        };
        check("/home/.vault/notes/.obsidian/workspace.json", true);
        check("/home/.vault/notes/a/.git/objects/12/34", true);
        check("/home/.vault/notes/.git/info/refs", true);
        check("/home/.vault/notes/.a/.git/info/exclude", true);
        // Ignore files, hidden files, which may be asked for by name, and hidden folders themselves.
        check("/home/.vault/notes/a/.git/info/exclude", false);
        check("/home/.vault/notes/.git/info", false);
        check("/home/.vault/notes/a/.gitignore", false);
        check("/home/.vault/notes/.env", false);
        check("/home/.vault/notes/.obsidian", false);
        check("/home/.vault/notes/a.md", false);
        check("/home/.vault/notes", false);
        check("/home/.vault/.trash/a.md", false);
    }
}
