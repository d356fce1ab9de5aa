//! Writing a model's weights in an encoding that llama.cpp runs faster.

use std::ffi::CString;
use std::path::Path;
use std::process::{Command, Stdio};

use super::worker;
use crate::engine::EngineError;

/// The word behind the hidden subcommand that re-encodes.
pub(super) const REENCODE: &str = "reencode";

/// Writes the model in `from` to `to` as `Q8_0`, in a process of its own; `program` is this binary.
///
/// # Errors
/// [`EngineError::Unloadable`] when llama.cpp does not take the file.
pub fn as_q8_0(program: &Path, from: &Path, to: &Path) -> Result<(), EngineError> {
    let status = Command::new(program)
        .args([worker::SUBCOMMAND, REENCODE])
        .args([from, to])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let refused = |reason: String| EngineError::Unloadable {
        path: from.to_owned(),
        reason,
    };
    match status {
        Ok(status) if status.success() && to.is_file() => Ok(()),
        Ok(status) => Err(refused(format!("llama.cpp cannot re-encode it ({status})"))),
        Err(error) => Err(refused(error.to_string())),
    }
}

/// In the process of its own.
pub(super) fn run(from: &str, to: &str) -> std::process::ExitCode {
    let (Ok(from), Ok(to)) = (CString::new(from), CString::new(to)) else {
        return std::process::ExitCode::from(2);
    };
    #[expect(
        unsafe_code,
        reason = "llama-cpp-2 does not offer it; two paths that live long enough, and parameters \
                  that llama.cpp made itself"
    )]
    let failed = unsafe {
        let mut params = llama_cpp_sys_2::llama_model_quantize_default_params();
        params.ftype = llama_cpp_sys_2::LLAMA_FTYPE_MOSTLY_Q8_0;
        params.allow_requantize = true;
        llama_cpp_sys_2::llama_model_quantize(from.as_ptr(), to.as_ptr(), &raw const params)
    };
    std::process::ExitCode::from(u8::from(failed != 0))
}
