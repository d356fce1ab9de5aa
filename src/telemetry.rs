//! Libraries that would report to their makers are told not to, before they are loaded.
//!
//! The builds of ONNX Runtime that package registries hold begin to report when they are loaded (to
//! `mobile.events.data.microsoft.com`, with a device id that they keep in the user's cache folder);
//! what their API switches off later, it switches off too late. Only this variable is read in time.

/// Tells ONNX Runtime to report nothing.
const SWITCH: &str = "ORT_DISABLE_TELEMETRY";

/// Forbids this process and its children to report anything. For the very beginning of a process.
#[expect(
    unsafe_code,
    clippy::disallowed_methods,
    reason = "no setting of ours; the environment is changed while nobody else reads it"
)]
pub fn forbid() {
    // SAFETY: the process has one thread; `main` calls this first.
    unsafe {
        std::env::set_var(SWITCH, "1");
    }
}

/// Is it forbidden?
pub fn is_forbidden() -> bool {
    std::env::var_os(SWITCH).is_some_and(|value| value == "1")
}
