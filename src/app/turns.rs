//! Turns: so many may do something at once, so many more wait for them, and the next hear that it is
//! busy. What blocks has threads of which there are only so many, for all who ask anything.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::lane::LaneError;

/// More searches at once would wait for each other: enough to embed their queries together.
const SEARCHES_AT_ONCE: usize = 8;

/// Searches are short; so many are done in a few seconds.
const SEARCHES_WAITING: usize = 1024;

/// More than the language model takes, so that quotes pass by those who wait for it.
const ANSWERS_AT_ONCE: usize = 32;

const ANSWERS_WAITING: usize = 64;

/// Many texts take minutes, in portions between which queries come in.
const EMBEDDINGS_AT_ONCE: usize = 8;

const EMBEDDINGS_WAITING: usize = 32;

/// Turns at one thing.
#[derive(Clone, Debug)]
pub struct Turns {
    what: &'static str,
    waiting: usize,
    /// For those who have a turn and those who wait.
    room: Arc<Semaphore>,
    free: Arc<Semaphore>,
}

/// A turn; it is the next one's when this is dropped.
#[derive(Debug)]
pub struct Turn {
    _turn: OwnedSemaphorePermit,
    _room: OwnedSemaphorePermit,
}

impl Turns {
    /// At what it is called, for so many at once while so many more wait.
    pub fn new(what: &'static str, at_once: usize, waiting: usize) -> Self {
        Self {
            what,
            waiting,
            room: Arc::new(Semaphore::new(at_once + waiting)),
            free: Arc::new(Semaphore::new(at_once)),
        }
    }

    /// Turns at searching.
    pub fn of_searches() -> Self {
        Self::new("the search", SEARCHES_AT_ONCE, SEARCHES_WAITING)
    }

    /// Turns at answering.
    pub fn of_answers() -> Self {
        Self::new("answering", ANSWERS_AT_ONCE, ANSWERS_WAITING)
    }

    /// Turns at embedding what somebody sends.
    pub fn of_embeddings() -> Self {
        Self::new("embedding", EMBEDDINGS_AT_ONCE, EMBEDDINGS_WAITING)
    }

    /// A turn, when it comes.
    ///
    /// # Errors
    /// [`LaneError::Busy`] where as many wait as may.
    pub async fn take(&self) -> Result<Turn, LaneError> {
        let busy = |_| LaneError::Busy {
            lane: self.what,
            capacity: self.waiting,
        };
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(busy)?;
        let turn = Arc::clone(&self.free).acquire_owned().await;
        let turn = turn.expect("nobody closes a line");
        Ok(Turn {
            _turn: turn,
            _room: room,
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn who_finds_no_room_to_wait_is_told_at_once() {
        let turns = Turns::new("this", 1, 1);
        let first = turns.take().now_or_never().unwrap().unwrap();
        let mut second = Box::pin(turns.take());
        assert!(second.as_mut().now_or_never().is_none());
        let third = turns.take().now_or_never().unwrap().unwrap_err();
        let (lane, capacity) = ("this", 1);
        assert_eq!(third, LaneError::Busy { lane, capacity });
        drop(first);
        let second = second.as_mut().now_or_never().unwrap().unwrap();
        // Who leaves while they wait leaves room.
        assert!(turns.take().now_or_never().is_none());
        assert!(turns.take().now_or_never().is_none());
        drop(second);
        assert!(turns.take().now_or_never().is_some());
    }
}
