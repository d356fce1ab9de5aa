//! The air gap: a filter of system calls after which neither this process nor any that it starts
//! can reach another machine.
//!
//! No socket can be made any more but those between processes of one machine (`AF_UNIX`). What
//! listens already goes on to accept. `io_uring`, which could make sockets past the filter, cannot
//! be set up. There is no way back.

use std::sync::atomic::{AtomicBool, Ordering};

/// Why the gap could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AirGapError {
    /// The system has no such filters, or does not let us use them.
    #[error("this system cannot keep coho from reaching other machines: {reason}")]
    Impossible {
        /// What it said.
        reason: String,
    },
}

impl crate::error::Fault for AirGapError {
    fn kind(&self) -> crate::error::Kind {
        crate::error::Kind::BadInput
    }
    fn code(&self) -> &'static str {
        "no_air_gap"
    }
    fn hint(&self) -> Option<String> {
        Some("start it without --air-gap: it connects to nothing that you did not configure".into())
    }
}

static CLOSED: AtomicBool = AtomicBool::new(false);

/// Is this process behind the gap?
pub fn is_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

/// Makes the gap, for all threads and whatever they start.
///
/// # Errors
/// [`AirGapError::Impossible`]; nothing has changed then.
#[cfg(target_os = "linux")]
pub fn close() -> Result<(), AirGapError> {
    use std::collections::BTreeMap;

    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule,
    };

    let impossible = |reason: String| AirGapError::Impossible { reason };
    let said = |error: seccompiler::BackendError| impossible(error.to_string());
    let unix = u64::from(libc::AF_UNIX.unsigned_abs());
    let other = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, unix);
    let other = SeccompRule::new(vec![other.map_err(said)?]).map_err(said)?;
    let refused = BTreeMap::from([
        (libc::SYS_socket, vec![other]),
        (libc::SYS_io_uring_setup, Vec::new()),
    ]);
    let arch = std::env::consts::ARCH.try_into().map_err(said)?;
    let refuse = SeccompAction::Errno(libc::EACCES.unsigned_abs());
    let filter = SeccompFilter::new(refused, SeccompAction::Allow, refuse, arch).map_err(said)?;
    let program: BpfProgram = filter.try_into().map_err(said)?;
    seccompiler::apply_filter_all_threads(&program)
        .map_err(|error| impossible(error.to_string()))?;
    CLOSED.store(true, Ordering::Relaxed);
    Ok(())
}

/// Makes the gap, for all threads and whatever they start.
///
/// # Errors
/// [`AirGapError::Impossible`], always.
#[cfg(not(target_os = "linux"))]
pub fn close() -> Result<(), AirGapError> {
    let reason = "filters of system calls are known to coho on Linux alone".into();
    Err(AirGapError::Impossible { reason })
}
