//! Memory that was freed goes back to the system.
//!
//! glibc gives every thread an arena of its own, eight for each core, and each keeps what its worst
//! moment needed. A service has dozens of threads that work one after the other: on two cores, a
//! minute or two of searches, questions and edits left 370 MiB in private pages with the usual
//! arenas, 222 with two and a lower `MALLOC_TRIM_THRESHOLD_`. Elsewhere nothing is done.

/// Arenas at most, whatever the machine.
const MOST_ARENAS: usize = 8;

/// Lets threads share arenas, one for each core. For the beginning of a process: arenas that exist
/// stay.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(
    unsafe_code,
    reason = "the C library's own switch; it takes two numbers"
)]
pub fn share_arenas() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let arenas = i32::try_from(cores.clamp(1, MOST_ARENAS)).unwrap_or(1);
    // SAFETY: mallopt reads its arguments and keeps a number; it may be called at any time.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, arenas);
    }
}

/// See the one for glibc.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn share_arenas() {
    let _ = MOST_ARENAS;
}

/// Gives back what is free at the end and in between. For quiet moments: it takes milliseconds.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the C library's own call; it takes a number")]
pub fn give_back() {
    // SAFETY: malloc_trim locks each arena while it works on it.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// See the one for glibc.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_back() {}
