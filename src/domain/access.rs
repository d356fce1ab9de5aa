//! What a named token may do, and which sources it may see.
//!
//! Rights are checked at the edge. What may be seen is decided by the ledger, whose snapshots for
//! such a token hold nothing else ([`crate::store`]), so that no code above it can forget to.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::source::SourceId;

/// What somebody may do.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Search and read.
    Read,
    /// Ask, and say what was good of one's own answers.
    Ask,
    /// Write notes where a source allows it, and have folders read again.
    Write,
    /// Everything else: sources, units, tokens.
    Admin,
}

impl Right {
    /// The right as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Ask => "ask",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// What goes with a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Grant {
    /// Id of the token: what it asked stays its own, whoever has its name later.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub rights: BTreeSet<Right>,
    /// The sources that it may see; all when there are none.
    pub sources: Option<BTreeSet<SourceId>>,
    /// When it was added, milliseconds since 1970.
    pub added_ms: i64,
}

impl Grant {
    /// What its holder sees of the knowledge base.
    pub fn view(&self) -> View {
        View {
            asker: Some(self.id.clone()),
            everyones_answers: self.rights.contains(&Right::Admin),
            sources: self.sources.clone(),
        }
    }
}

/// A part of the knowledge base.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// Under which name questions are kept; none for the owner.
    pub asker: Option<String>,
    /// Whether answers to others are in it.
    pub everyones_answers: bool,
    /// The sources in it; all when there are none.
    pub sources: Option<BTreeSet<SourceId>>,
}

/// Is this a name that a token can have?
pub fn is_token_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=64).contains(&name.len()) && name.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_into_a_path() {
        assert!(is_token_name("nvim.laptop-2"));
        for bad in ["", "a/b", "a b", "é", &"x".repeat(65)] {
            assert!(!is_token_name(bad), "{bad}");
        }
    }
}
