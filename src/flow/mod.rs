//! Pipelines: one verb each, over the store and the engines. Blocking; whoever calls them decides
//! on which thread they run.

pub mod answer;
pub mod evaluate;
pub mod ingest;
pub mod scan;
pub mod search;
pub mod space;
pub mod verify;
pub mod watch;
pub mod writeback;
