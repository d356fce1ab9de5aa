//! The pure heart: sources, chunks, ranks, contexts, units and measures as values and functions.
//!
//! No input or output, no clock, no async, no engine types: everything here can be tested with a
//! table, and everything that decides what is right lives here.

pub mod access;
pub mod chunk;
pub mod context;
pub mod denial;
pub mod doubt;
pub mod excerpt;
pub mod figure;
mod forms;
pub mod gate;
pub mod gather;
pub mod generator;
pub mod image;
pub mod language;
pub mod link;
pub mod mask;
pub mod measure;
pub mod outline;
pub mod query;
pub mod question;
pub mod rank;
pub mod scoring;
pub mod sentence;
pub mod source;
pub mod strategy;
pub mod surroundings;
pub mod table;
pub mod text;
pub mod unit;
pub mod words;
