//! coho: a personal knowledge base that learns from the questions it is asked.
//!
//! A watcher ingests local documents into LanceDB vectors and a tantivy index, a llama.cpp model
//! answers questions with citations, and everything stays on the owner's machine. This file is the
//! map of the code; each module's own head says what it owns and what it refuses.
//!
//! # Layers
//!
//! ```text
//! domain ← store, engine, extract ← flow ← app ← mcp ← http, cli ← main        (a ← b: b may import a)
//! ```
//!
//! `error`, `energy`, `failpoint`, `lane`, `airgap`, `memory`, `telemetry` and `umask` are leaves,
//! `settings` belongs to the edges and to `app`. `store`, `engine` and `extract` do not know each
//! other. A test keeps it so and says who may use what (`tests/it/tidy.rs`).
//!
//! * [`domain`] is pure: chunks, ranks, contexts. No input or output, no clock, no async.
//! * [`store`] is the only place that knows SQLite, LanceDB and tantivy.
//! * [`engine`] is the only place that knows ONNX Runtime and llama.cpp, which runs in a child
//!   process.
//! * [`import`] makes notes of what other programs keep.
//! * [`extract`] turns files into text; dangerous parsers run in a child process.
//! * [`flow`] holds the pipelines, one verb each: scan, ingest, watch, search, answer, write back,
//!   evaluate, verify.
//! * [`app`] wires them; [`http`] and [`cli`] are the two edges.
//! * [`mcp`] is what agents get of [`app`], by the Model Context Protocol; both edges carry it.
//! * [`airgap`] takes from the process, and from what it starts, the means to reach another machine.
//! * [`telemetry`] forbids libraries to report to their makers.
//! * [`umask`] keeps what the process makes for its owner alone.
//!
//! # Invariants
//!
//! * The ledger decides what is visible; indexes only propose. Text always comes from the ledger.
//! * A change becomes visible in one ledger transaction, after both indexes hold it.
//! * A citation leads to a chunk that was in the prompt, and its lines are those of the file.
//! * A knowledge unit never outlives its evidence, is never cited, and is made of originals only.
//! * Nothing outside a source's root is ever read, and nothing is sent anywhere, unless the owner
//!   gives the address of a model server; what goes to the remote model is masked and written down.
//! * One bad file never stops a run; it is listed with a reason.
//!
//! # Words
//!
//! A *source* is a folder the owner added, a *document* one file of it, a *chunk* a passage whose
//! id derives from its content, a *passage* a chunk in its place. The *ledger* is the SQLite
//! database, an *edition* one way in which a document's terms were indexed, a *lane* one thread
//! that owns a model, a *strategy* a way to answer, a *gate* a test before anything is learned, a
//! *unit* what was learned.

pub mod airgap;
pub mod app;
pub mod cli;
pub mod domain;
pub mod energy;
pub mod engine;
pub mod error;
pub mod extract;
pub mod failpoint;
pub mod flow;
pub mod http;
pub mod import;
pub mod lane;
pub mod mcp;
pub mod memory;
pub mod settings;
pub mod store;
pub mod telemetry;
pub mod umask;
