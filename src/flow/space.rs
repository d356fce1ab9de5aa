//! The embedding model in use, with its indexes, and how documents are cut for it.
//!
//! The three belong together: a vector means something only among vectors of the same model. They
//! are replaced together, so that a query never meets an index of another model; who has begun with
//! one set finishes with it.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use crate::domain::chunk::Limits;
use crate::engine::onnx::Tokens;
use crate::engine::{EmbedderHandle, EngineError};
use crate::store::Indexes;

/// How documents are cut.
pub struct Cutter {
    /// Sizes of chunks.
    pub limits: Limits,
    /// A name for all that decides what a file becomes: readers, sizes, tokenizer. Documents of
    /// another recipe are read again.
    pub recipe: String,
    tokens: OnceLock<Tokens>,
    load: Box<dyn Fn() -> Result<Tokens, EngineError> + Send + Sync>,
}

impl Cutter {
    /// A cutter; `load` gives the embedding model's tokenizer when the first file is cut.
    pub fn new(
        limits: Limits,
        recipe: String,
        load: impl Fn() -> Result<Tokens, EngineError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            limits,
            recipe,
            tokens: OnceLock::new(),
            load: Box::new(load),
        }
    }

    /// The tokenizer.
    ///
    /// # Errors
    /// What loading it says.
    pub fn tokens(&self) -> Result<&Tokens, EngineError> {
        if self.tokens.get().is_none() {
            let loaded = (self.load)()?;
            let _ = self.tokens.set(loaded);
        }
        Ok(self.tokens.get().expect("it was set just now"))
    }
}

/// One embedding model with all that belongs to it.
pub struct Space {
    /// The model.
    pub embedder: EmbedderHandle,
    /// Its indexes.
    pub indexes: Indexes,
    /// How documents are cut for it.
    pub cutter: Arc<Cutter>,
}

/// The space in use, and the one that is being built to replace it.
pub struct Spaces {
    current: RwLock<Arc<Space>>,
    next: RwLock<Option<Arc<Space>>>,
}

impl Spaces {
    /// `current` is in use; `next`, where there is one, will be once it is complete.
    pub fn new(current: Space, next: Option<Space>) -> Self {
        Self {
            current: RwLock::new(Arc::new(current)),
            next: RwLock::new(next.map(Arc::new)),
        }
    }

    /// The space in use.
    pub fn current(&self) -> Arc<Space> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    /// The space that is being built.
    pub fn next(&self) -> Option<Arc<Space>> {
        let next = self.next.read().unwrap_or_else(PoisonError::into_inner);
        next.clone()
    }

    /// Gives the model in use other indexes of it.
    pub fn renew(&self, indexes: Indexes) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(Space {
            embedder: current.embedder.clone(),
            indexes,
            cutter: Arc::clone(&current.cutter),
        });
    }

    /// Puts the space that was built in the place of the one in use.
    pub fn switch(&self) {
        let mut next = self.next.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(next) = next.take() {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            *current = next;
        }
    }
}
