//! A language model that is asked the same thing once in a run: most questions have the same prompts
//! with units as without, and what is written greedily is the same each time.
//!
//! What it took the first time is told again, so that each way's costs stay its own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::energy;
use crate::engine::generate::{
    Continuation, Description, Finish, Generated, Generator, Prompt, Scored, Stream,
};
use crate::engine::{EngineError, GeneratorHandle};
use crate::lane::promise;

/// What was asked of a model so far, and what came of it.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    written: HashMap<blake3::Hash, Generated>,
    scored: HashMap<blake3::Hash, Scored>,
    saved: Duration,
}

impl Memory {
    /// The model, asked only for what is not known. Where energy is counted and not estimated from
    /// processor time, what is not done could not be charged: the model is asked each time.
    pub fn of(&self, model: &GeneratorHandle) -> GeneratorHandle {
        if energy::is_counted() {
            return model.clone();
        }
        let remembered = Remembered {
            model: model.clone(),
            memory: self.clone(),
        };
        GeneratorHandle::new(model.name(), remembered)
    }

    /// How long it took the first time, for all that was told again until now.
    pub fn saved(&self) -> Duration {
        self.lock().saved
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A model with the memory of what it was asked.
struct Remembered {
    model: GeneratorHandle,
    memory: Memory,
}

/// Models differ by name, requests by all that they hold.
fn key(model: &str, request: &impl Serialize) -> Result<blake3::Hash, EngineError> {
    let text = serde_json::to_vec(&(model, request)).map_err(|error| EngineError::Run {
        reason: error.to_string(),
    })?;
    Ok(blake3::hash(&text))
}

impl Generator for Remembered {
    /// Waits until the text is written: nobody reads it meanwhile.
    fn generate(&self, prompt: Prompt, cancel: Arc<AtomicBool>) -> Result<Stream, EngineError> {
        let key = key(self.model.name(), &prompt)?;
        let known = self.memory.lock().written.get(&key).cloned();
        let written = if let Some(known) = known {
            self.memory.lock().saved += known.prefill + known.generate;
            Ok(known)
        } else {
            let running = self.model.generate(prompt, cancel)?;
            // Whoever asked with too much evidence asks again with less: an error is the result's.
            let written = running.result.wait().map_err(EngineError::Lane)?;
            if let Some(whole) = written
                .as_ref()
                .ok()
                .filter(|w| w.finish != Finish::Cancelled)
            {
                self.memory.lock().written.insert(key, whole.clone());
            }
            written
        };
        let (say, pieces) = tokio::sync::mpsc::unbounded_channel();
        let (tell, result) = promise("the language model");
        if let Ok(written) = &written {
            let _ = say.send(written.text.clone());
        }
        let _ = tell.send(written);
        Ok(Stream { pieces, result })
    }

    fn score(&self, given: Continuation, cancel: Arc<AtomicBool>) -> Result<Scored, EngineError> {
        let key = key(self.model.name(), &given)?;
        let known = self.memory.lock().scored.get(&key).cloned();
        if let Some(known) = known {
            self.memory.lock().saved += known.took;
            return Ok(known);
        }
        let scored = self.model.score(given, Arc::clone(&cancel))?;
        if !cancel.load(Ordering::Relaxed) {
            self.memory.lock().scored.insert(key, scored.clone());
        }
        Ok(scored)
    }

    fn count_tokens(&self, texts: Vec<String>) -> Result<Vec<usize>, EngineError> {
        self.model.count_tokens(texts)
    }

    fn describe(&self) -> Result<Description, EngineError> {
        self.model.describe()
    }

    fn loading(&self) -> Option<f32> {
        self.model.loading()
    }

    fn unload_if_idle(&self, idle: Duration) {
        self.model.unload_if_idle(idle);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::engine::generate::{Message, Role};

    /// Counts what it is asked.
    struct Counting(Arc<AtomicUsize>);

    impl Generator for Counting {
        fn generate(&self, _: Prompt, cancel: Arc<AtomicBool>) -> Result<Stream, EngineError> {
            let asked = self.0.fetch_add(1, Ordering::Relaxed);
            let (say, pieces) = tokio::sync::mpsc::unbounded_channel();
            let (tell, result) = promise("a test");
            let text = format!("said {asked}");
            let finish = if cancel.load(Ordering::Relaxed) {
                Finish::Cancelled
            } else {
                Finish::Stop
            };
            say.send(text[..4].to_owned()).unwrap();
            say.send(text[4..].to_owned()).unwrap();
            let written = Generated {
                text,
                finish,
                prompt_tokens: 7,
                cached_tokens: 0,
                log_probs: vec![-0.5],
                unseen_tokens: 0,
                token_ends: vec![6],
                waited: Duration::ZERO,
                prefill: Duration::from_millis(30),
                generate: Duration::from_millis(12),
                cpu: Duration::from_millis(80),
            };
            assert!(tell.send(Ok(written)).is_ok());
            Ok(Stream { pieces, result })
        }

        fn score(&self, _: Continuation, _: Arc<AtomicBool>) -> Result<Scored, EngineError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(Scored {
                log_probs: vec![-1.0],
                prompt_tokens: 3,
                cached_tokens: 0,
                took: Duration::from_millis(5),
                cpu: Duration::ZERO,
            })
        }

        fn count_tokens(&self, _: Vec<String>) -> Result<Vec<usize>, EngineError> {
            Ok(Vec::new())
        }

        fn describe(&self) -> Result<Description, EngineError> {
            Err(EngineError::Run {
                reason: "a test".into(),
            })
        }

        fn loading(&self) -> Option<f32> {
            None
        }

        fn unload_if_idle(&self, _: Duration) {}
    }

    fn heard(model: &GeneratorHandle, question: &str, cancelled: bool) -> (String, Generated) {
        let prompt = Prompt::new(vec![Message::new(Role::User, question)], 9);
        let cancel = Arc::new(AtomicBool::new(cancelled));
        let mut running = model.generate(prompt, cancel).unwrap();
        let mut pieces = String::new();
        while let Some(piece) = running.pieces.blocking_recv() {
            pieces.push_str(&piece);
        }
        (pieces, running.result.wait().unwrap().unwrap())
    }

    #[test]
    fn the_same_is_asked_once_and_costs_what_it_cost() {
        let asked = Arc::new(AtomicUsize::new(0));
        let memory = Memory::default();
        let model = GeneratorHandle::new("counting", Counting(Arc::clone(&asked)));
        // Without a memory in between where energy is counted.
        let model = GeneratorHandle::new(
            "counting",
            Remembered {
                model,
                memory: memory.clone(),
            },
        );
        let first = heard(&model, "one", false);
        assert_eq!(heard(&model, "one", false), first);
        assert_eq!(first.0, "said 0");
        assert_eq!(heard(&model, "two", false).0, "said 1");
        // Half an answer is none.
        assert_eq!(heard(&model, "three", true).1.finish, Finish::Cancelled);
        assert_eq!(heard(&model, "three", false).0, "said 3");
        assert_eq!(asked.load(Ordering::Relaxed), 4);
        let given = |answer: &str| Continuation {
            messages: vec![Message::new(Role::User, "one")],
            answer: answer.into(),
            goes_on: false,
        };
        for (answer, in_all) in [("Yes", 5), ("No", 6), ("Yes", 6)] {
            model.score(given(answer), Arc::default()).unwrap();
            assert_eq!(asked.load(Ordering::Relaxed), in_all, "{answer}");
        }
        assert_eq!(memory.saved(), Duration::from_millis(47));
    }
}
