//! How a language model is run: what settings and engine have names for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How keys and values of a context are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KvType {
    /// Two bytes a number.
    #[default]
    F16,
    /// About one byte a number.
    Q8_0,
    /// About half a byte a number.
    Q4_0,
}

/// A server with an OpenAI-compatible interface: llama-server, Ollama, vLLM. What is asked and the
/// passages that go with it are sent there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerOptions {
    /// Its address up to `/v1`; empty for none.
    pub url: String,
    /// The model's name there.
    pub model: String,
    /// Name of the environment variable that holds its key; empty for none.
    pub key_env: String,
}

/// A server's address as anybody may see it: the name and password that may stand in it are left out,
/// and what is asked of it (`?key=…`).
pub fn shown_address(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + "://".len());
    let (scheme, rest) = url.split_at(start);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(end);
    let path = behind.split(['?', '#']).next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}{host}{path}"),
        // A password with such a mark in it, which ends the host's name for everybody else too.
        None if behind.contains('@') => {
            let host = authority.split(':').next().unwrap_or_default();
            format!("{scheme}{host}")
        }
        None => format!("{scheme}{authority}{path}"),
    }
}

/// How well a language model reads: how many of a few notes it was asked about it got right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reading {
    /// Right answers.
    pub right: usize,
    /// Notes.
    pub asked: usize,
}

impl Reading {
    /// Well enough to write answers, where sentences could be quoted: nine of
    /// ten, as the notes are easy.
    pub fn is_good(self) -> bool {
        self.right * 10 >= self.asked * 9
    }
}

/// Whether the default strategy lets the language model write answers, or quotes the notes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Drafts {
    /// Unless it is known not to read well (`coho models bench`).
    #[default]
    Auto,
    /// It does.
    Always,
    /// It does not.
    Never,
}

impl Drafts {
    /// Whether a model may write that reads so well; `None` where that is not known.
    pub fn allow(self, reading: Option<Reading>) -> bool {
        match self {
            Self::Auto => reading.is_none_or(Reading::is_good),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_is_shown_with_what_opens_it() {
        let check = |url: &str, expected: &str| assert_eq!(shown_address(url), expected, "{url}");
        check("", "");
        check("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1");
        check("http://me:secret@nas:8080/v1", "http://nas:8080/v1");
        check("https://a@b:secret@[::1]:80/v1", "https://[::1]:80/v1");
        check(
            "https://api.example/v1?key=secret",
            "https://api.example/v1",
        );
        check("https://api.example?key=secret", "https://api.example");
        check("https://api.example/v1#secret", "https://api.example/v1");
        check("me:secret@nas:8080/v1", "nas:8080/v1");
        check("http://me:sec/ret@nas/v1", "http://me");
        check("http://me:sec?ret@nas/v1", "http://me");
    }

    #[test]
    fn a_model_that_reads_badly_does_not_write() {
        let reading = |right| Some(Reading { right, asked: 16 });
        assert!(Drafts::Auto.allow(None) && Drafts::Auto.allow(reading(15)));
        assert!(!Drafts::Auto.allow(reading(14)));
        assert!(Drafts::Always.allow(reading(0)) && !Drafts::Never.allow(reading(16)));
    }
}
