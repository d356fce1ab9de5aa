//! The only integration test binary: linking LanceDB takes longer than any of its tests.
//!
//! Everything here runs the real parts: the binary, SQLite, LanceDB, tantivy, ONNX Runtime with
//! the real embedding model, llama.cpp with the real language model. `make models` installs them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
#![allow(
    unreachable_pub,
    reason = "nothing outside of this binary can reach anything"
)]

mod access;
mod airgap;
mod answers;
mod cli;
mod clients;
mod converge;
mod crash;
mod eval;
mod examples;
mod formats;
mod golden;
mod kit;
mod mcp;
mod models;
mod outside;
mod search;
mod security;
mod service;
mod store;
mod tidy;
mod vault;
mod watch;
mod writeback;
