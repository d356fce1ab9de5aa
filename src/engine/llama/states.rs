//! States on disk: what a model knows behind a beginning that comes again and again.
//!
//! Reading a state takes milliseconds where reading the text would take seconds. A state belongs
//! to one model, one kind of cache and one beginning; a file that is damaged is not handed to
//! llama.cpp.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::token::LlamaToken;

use crate::engine::generate::LlamaOptions;

/// Bytes of all states at most; the ones that were not used for longest go first.
const MOST_BYTES: u64 = 256 << 20;

/// Fewer tokens are read as fast as their state.
const LEAST_TOKENS: usize = 16;

/// How the name of a state ends that is being written.
const DRAFT: &str = "draft";

/// Between the owner of a state and the rest of its file's name.
const OF: char = '-';

/// Drops the states in `folder` that belong to an owner of whom `is_gone` says so, of whatever model they
/// are.
pub fn drop_where(folder: &Path, is_gone: impl Fn(&str) -> bool) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.split_once(OF).map(|(owner, _)| owner);
        if owner.is_some_and(&is_gone) {
            States::remove(&entry.path());
        }
    }
}

/// Drops what a process was writing when it was ended.
fn remove_drafts(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|e| e == DRAFT) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The states of one model.
pub(super) struct States {
    folder: PathBuf,
    /// What the model and the way in which it is run are.
    model: blake3::Hash,
}

impl States {
    /// The states in `folder`, which is made; none where that does not work.
    pub(super) fn open(options: &LlamaOptions) -> Option<Self> {
        let folder = options.states.clone()?;
        std::fs::create_dir_all(&folder).ok()?;
        remove_drafts(&folder);
        let mut hasher = blake3::Hasher::new();
        for path in [Some(&options.path), options.lora.as_ref()]
            .into_iter()
            .flatten()
        {
            let metadata = path.metadata().ok()?;
            let modified = metadata.modified().ok()?;
            let age = modified.duration_since(SystemTime::UNIX_EPOCH).ok()?;
            hasher.update(path.as_os_str().as_encoded_bytes());
            hasher.update(&metadata.len().to_le_bytes());
            hasher.update(&age.as_nanos().to_le_bytes());
        }
        hasher.update(format!("{:?} {}", options.kv, env!("CARGO_PKG_VERSION")).as_bytes());
        Some(Self {
            folder,
            model: hasher.finalize(),
        })
    }

    /// Was the state behind `tokens` kept?
    pub(super) fn has(&self, tokens: &[LlamaToken], owner: Option<&str>) -> bool {
        tokens.len() >= LEAST_TOKENS && self.path(tokens, owner).exists()
    }

    /// Brings a sequence that is empty into the state behind `tokens`, if that was kept.
    pub(super) fn read(
        &self,
        context: &mut LlamaContext<'_>,
        sequence: i32,
        tokens: &[LlamaToken],
        owner: Option<&str>,
    ) -> bool {
        let path = self.path(tokens, owner);
        let whole = std::fs::read(&path).is_ok_and(|bytes| {
            let sum = std::fs::read_to_string(path.with_extension("sum"));
            sum.is_ok_and(|sum| sum == blake3::hash(&bytes).to_hex().as_str())
        });
        if !whole {
            // Kept anew when the text was read.
            Self::remove(&path);
            return false;
        }
        let read = context.state_seq_load_file(&path, sequence, tokens.len());
        let fits = read.is_ok_and(|(held, _)| held == tokens);
        if fits {
            // Its time of use, for those who make room.
            let file = std::fs::File::options().append(true).open(&path);
            let _ = file.and_then(|file| file.set_modified(SystemTime::now()));
        } else {
            let _ = context.clear_kv_cache_seq(u32::try_from(sequence).ok(), None, None);
            Self::remove(&path);
        }
        fits
    }

    /// Keeps the state of a sequence that holds exactly `tokens`, unless it is kept already. What
    /// goes wrong is only said: the next start is slower, nothing else.
    pub(super) fn keep(
        &self,
        context: &LlamaContext<'_>,
        sequence: i32,
        tokens: &[LlamaToken],
        owner: Option<&str>,
    ) {
        let path = self.path(tokens, owner);
        if tokens.len() < LEAST_TOKENS || path.exists() {
            return;
        }
        let kept = (|| -> Result<(), Box<dyn std::error::Error>> {
            let draft = path.with_extension(DRAFT);
            context.state_seq_save_file(&draft, sequence, tokens)?;
            let sum = blake3::hash(&std::fs::read(&draft)?);
            std::fs::write(path.with_extension("sum"), sum.to_hex().as_str())?;
            std::fs::rename(&draft, &path)?;
            Ok(())
        })();
        if let Err(error) = kept {
            tracing::warn!(path = %path.display(), %error, "a state was not kept");
            Self::remove(&path);
        }
        self.make_room();
    }

    fn path(&self, tokens: &[LlamaToken], owner: Option<&str>) -> PathBuf {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.model.as_bytes());
        for token in tokens {
            hasher.update(&token.0.to_le_bytes());
        }
        let name = hasher.finalize().to_hex();
        // A name of a file, whatever it is called.
        let owner = owner.map(|owner| owner.replace(|c: char| !c.is_ascii_alphanumeric(), ""));
        let owner = owner.map_or_else(String::new, |owner| format!("{owner}{OF}"));
        self.folder
            .join(format!("{owner}{}.kv", &name.as_str()[..32]))
    }

    fn remove(path: &Path) {
        for extension in ["kv", "sum", DRAFT] {
            let _ = std::fs::remove_file(path.with_extension(extension));
        }
    }

    fn make_room(&self) {
        let entries = std::fs::read_dir(&self.folder)
            .into_iter()
            .flatten()
            .flatten();
        let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
            .filter(|entry| entry.path().extension().is_some_and(|e| e == "kv"))
            .filter_map(|entry| {
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        files.sort();
        let mut bytes: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, size, path) in files {
            if bytes <= MOST_BYTES {
                return;
            }
            Self::remove(&path);
            bytes -= size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_somebody_who_is_gone_goes_with_its_sum() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["a-1.kv", "a-1.sum", "b-1.kv", "1.kv"] {
            std::fs::write(folder.path().join(file), "x").unwrap();
        }
        drop_where(folder.path(), |owner| owner == "a");
        let left = |file: &str| folder.path().join(file).exists();
        assert!(!left("a-1.kv") && !left("a-1.sum"));
        assert!(left("b-1.kv") && left("1.kv"));
    }

    #[test]
    fn what_was_written_in_part_goes_and_what_is_whole_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        let states = folder.path().join("states");
        std::fs::create_dir(&states).unwrap();
        for file in [&path, &states.join("a.draft"), &states.join("b.kv")] {
            std::fs::write(file, "x").unwrap();
        }
        let options = LlamaOptions {
            states: Some(states.clone()),
            ..LlamaOptions::plain(path)
        };
        assert!(States::open(&options).is_some());
        assert!(!states.join("a.draft").exists() && states.join("b.kv").exists());
    }
}
