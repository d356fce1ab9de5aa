//! Questions that something was measured with: nothing may be learned of them, or the next
//! measurement would find its own answers.
//!
//! A file of hashes beside the knowledge base; the questions themselves are not kept.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use super::write_whole;
use crate::domain::scoring::normalised;
use crate::store::StoreError;

/// Questions of evaluation sets that were asked of this knowledge base or beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldOut(HashSet<String>);

fn path(home: &Path) -> PathBuf {
    home.join("eval/held-out")
}

/// Sixteen hexadecimal digits that stand for a question, however it is punctuated.
fn hash(question: &str) -> String {
    let hash = blake3::hash(normalised(question).as_bytes()).to_hex();
    hash.as_str()[..16].to_owned()
}

impl HeldOut {
    /// Those of the knowledge base at `home`; none where nothing was measured.
    ///
    /// # Errors
    /// [`StoreError::Io`] where there is a file that cannot be read.
    pub fn read(home: &Path) -> Result<Self, StoreError> {
        let path = path(home);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Self(text.lines().map(str::to_owned).collect())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(StoreError::io(&path, error)),
        }
    }

    /// Adds questions to those of the knowledge base at `home`.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn add<'a>(
        home: &Path,
        questions: impl Iterator<Item = &'a str>,
    ) -> Result<(), StoreError> {
        let mut known = Self::read(home)?.0;
        let before = known.len();
        known.extend(questions.map(hash));
        if known.len() == before {
            return Ok(());
        }
        let sorted: BTreeSet<String> = known.into_iter().collect();
        let text: String = sorted.into_iter().map(|hash| hash + "\n").collect();
        write_whole(&path(home), text.as_bytes())
    }

    /// Is this one of them?
    pub fn holds(&self, question: &str) -> bool {
        self.0.contains(&hash(question))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_known_again_and_not_kept() {
        let home = tempfile::tempdir().unwrap();
        assert!(!HeldOut::read(home.path()).unwrap().holds("Who?"));
        HeldOut::add(home.path(), ["Where is the heron?"].into_iter()).unwrap();
        HeldOut::add(home.path(), ["What does it eat?"].into_iter()).unwrap();
        let held_out = HeldOut::read(home.path()).unwrap();
        assert!(held_out.holds("where is the heron") && held_out.holds("What does it eat"));
        assert!(!held_out.holds("Where is the owl?"));
        let text = std::fs::read_to_string(path(home.path())).unwrap();
        assert!(!text.contains("heron"), "{text}");
    }
}
