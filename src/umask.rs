//! The rights of the files that this process makes: they are their owner's alone; and no crash makes one.
//!
//! What coho keeps and exports holds the text of notes, so that nothing of it is for other accounts,
//! whatever the user's umask says. Notes that are put into the user's own folders are the exception:
//! for them the umask counts that the process was started with.

use std::path::Path;

#[cfg(unix)]
use std::sync::OnceLock;

#[cfg(unix)]
use rustix::fs::Mode;

/// What the user had set.
#[cfg(unix)]
static FORMER: OnceLock<Mode> = OnceLock::new();

/// From now on, what this process and its children make is for their owner alone, and a crash leaves no
/// dump of their memory, which holds notes. To be called before there are other threads.
pub fn keep_private() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let no_dump = Rlimit {
            current: Some(0),
            ..getrlimit(Resource::Core)
        };
        let _ = setrlimit(Resource::Core, no_dump);
        let former = rustix::process::umask(Mode::from_raw_mode(0o077));
        let _ = FORMER.set(former);
    }
}

/// Does something under the umask that the user had set. It counts for the whole process: not where
/// other threads make files.
pub fn with_former<T>(work: impl FnOnce() -> T) -> T {
    #[cfg(unix)]
    let ours = FORMER.get().map(|former| rustix::process::umask(*former));
    let done = work();
    #[cfg(unix)]
    if let Some(ours) = ours {
        rustix::process::umask(ours);
    }
    done
}

/// Gives a file or a folder that this process has just made the rights that it would have under the
/// umask that the user had set. Where the system knows no such rights, it stays as it is.
pub fn give_former(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let (Some(former), Ok(meta)) = (FORMER.get(), std::fs::symlink_metadata(path)) else {
            return;
        };
        let now = meta.permissions().mode();
        // Where the folder's access list has given rights to others, no umask has a say.
        if now & 0o077 != 0 {
            return;
        }
        let whole = if meta.is_dir() { 0o777 } else { 0o666 };
        let mut rights = Mode::from_raw_mode(whole).difference(*former);
        if now & 0o2000 != 0 {
            rights |= Mode::SGID;
        }
        let _ = rustix::fs::chmod(path, rights);
    }
    #[cfg(not(unix))]
    let _ = path;
}
