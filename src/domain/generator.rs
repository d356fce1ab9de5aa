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
