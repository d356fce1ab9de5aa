//! Strategies: the names of the ways to answer. How each works is told where answers are made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A way to answer.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The best sentences, quoted; needs no language model.
    Extractive,
    /// Whole passages in one prompt.
    Naive,
    /// A prompt for each passage; all have a say in every word, the best passage the most.
    Replug,
    /// Passages, and more of them where the model is not sure of its words.
    Flare,
    /// An answer from each passage; the model's own opinion of them decides.
    SelfRag,
    /// The cheapest thing that holds up.
    #[default]
    Cascade,
}
