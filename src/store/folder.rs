//! The data folder: what lies where in it, who may look into it, and which process holds it.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Result, StoreError};

/// Where what a language model has read is kept in a data folder.
pub fn states_of(home: &Path) -> PathBuf {
    home.join("states")
}

/// The ledger's file in a data folder.
pub(super) fn ledger_path(home: &Path) -> PathBuf {
    home.join("ledger.sqlite")
}

/// Creates a folder that only its owner can read. One that is there is closed to others, where it is
/// ours to do so.
///
/// # Errors
/// [`StoreError::NoFolder`], [`StoreError::Io`].
pub fn create_private_folder(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        close_to_others(folder);
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(folder).map_err(|source| {
        let path = folder.to_owned();
        match source.kind() {
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists | ErrorKind::NotFound => {
                StoreError::NoFolder { path, source }
            }
            _ => StoreError::io(folder, source),
        }
    })
}

/// May others than its owner look into this folder?
#[cfg(unix)]
pub fn is_open_to_others(folder: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let meta = std::fs::metadata(folder);
    meta.is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
}

/// May others than its owner look into this folder? The system does not tell.
#[cfg(not(unix))]
pub fn is_open_to_others(_: &Path) -> bool {
    false
}

/// Takes from others the rights in a folder of ours. One that everybody may write, such as `/tmp`, is
/// not ours; `coho doctor` tells of what stays open.
#[cfg(unix)]
fn close_to_others(folder: &Path) {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    const STICKY: u32 = 0o1000;
    let Ok(meta) = std::fs::metadata(folder) else {
        return;
    };
    let ours = meta.uid() == rustix::process::geteuid().as_raw();
    let mode = meta.permissions().mode();
    if ours && mode & 0o077 != 0 && mode & STICKY == 0 {
        let closed = std::fs::Permissions::from_mode(mode & !0o077 & 0o7777);
        let _ = std::fs::set_permissions(folder, closed);
    }
}

#[cfg(not(unix))]
fn close_to_others(_: &Path) {}

/// How often the lock is tried again: who looks for its holder has it for a moment.
const LOOKS: usize = 5;

/// Takes the data folder's lock and leaves this process's id in it. The system frees the lock
/// when the process ends, however it ends.
pub(super) fn lock_home(home: &Path) -> Result<File> {
    let path = home.join("lock");
    let io = |source| StoreError::io(&path, source);
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(&path).map_err(io)?;
    let mut taken = file.try_lock();
    for _ in 0..LOOKS {
        if !matches!(taken, Err(std::fs::TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
        taken = file.try_lock();
    }
    match taken {
        Ok(()) => {
            file.set_len(0).map_err(io)?;
            file.rewind().map_err(io)?;
            write!(file, "{}", std::process::id()).map_err(io)?;
            Ok(file)
        }
        Err(std::fs::TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            Err(StoreError::InUse {
                home: home.to_owned(),
                pid: if pid.is_empty() { "?".into() } else { pid },
            })
        }
        Err(std::fs::TryLockError::Error(source)) => Err(io(source)),
    }
}

/// The process that holds the data folder's lock; `None` where nobody does.
pub fn holder(home: &Path) -> Option<u32> {
    let mut file = File::open(home.join("lock")).ok()?;
    // Shared: who looks must not be taken for one who holds it by another who looks.
    match file.try_lock_shared() {
        Err(std::fs::TryLockError::WouldBlock) => {}
        Ok(()) | Err(std::fs::TryLockError::Error(_)) => return None,
    }
    let mut pid = String::new();
    file.read_to_string(&mut pid).ok()?;
    pid.trim().parse().ok()
}

pub(super) fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => folder_bytes(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}
