//! A speech server with OpenAI's route `/audio/speech`, such as one that serves Voxtral.

use std::io::Read;
use std::time::Duration;

use serde_json::json;

use super::EngineError;
use super::server::{below, why};
use crate::domain::generator::shown_address;

/// A sentence takes seconds, not minutes.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Sound of one sentence at most.
const MOST_BYTES: u64 = 64 << 20;

/// A sentence as sound (WAV).
///
/// # Errors
/// [`EngineError::Unreachable`]; [`EngineError::Refused`] with what the server said.
pub fn spoken(url: &str, model: &str, voice: &str, text: &str) -> Result<Vec<u8>, EngineError> {
    let unreachable = |what: String| EngineError::Unreachable {
        url: shown_address(url),
        what,
        sent: true,
    };
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .build();
    let agent: ureq::Agent = config.into();
    let body = json!({"model": model, "input": text, "voice": voice, "response_format": "wav"});
    let response = agent
        .post(below(url, "/audio/speech"))
        .send_json(&body)
        .map_err(|error| unreachable(format!("does not answer: {}", why(&error))))?;
    let status = response.status();
    let mut sound = Vec::new();
    let mut reader = response.into_body().into_reader().take(MOST_BYTES);
    reader
        .read_to_end(&mut sound)
        .map_err(|error| unreachable(format!("broke off: {error}")))?;
    if !status.is_success() {
        let said = String::from_utf8_lossy(&sound)
            .chars()
            .take(300)
            .collect::<String>();
        return Err(EngineError::Refused {
            url: shown_address(url),
            said: format!("answered {status}: {said}"),
        });
    }
    Ok(sound)
}
