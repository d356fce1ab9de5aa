//! The only integration test binary: linking `LanceDB` takes longer than any of its tests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod tidy;
