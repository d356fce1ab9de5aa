//! The pure modules of coho, as the fuzz targets need them.

#![allow(dead_code, missing_docs, unreachable_pub)]

#[path = "../../../src/domain/mod.rs"]
pub mod domain;
#[path = "../../../src/error.rs"]
pub mod error;
#[path = "../../../src/extract/mod.rs"]
pub mod extract;
/// Around what has parts beside it: those of a file with a path of its own are looked for elsewhere.
#[path = "../../../src"]
mod source {
    pub mod settings;
}

pub use source::settings;

use domain::chunk::{Limits, Sections, TokenStarts, chunk};
use domain::outline::Outline;

/// Reads bytes as a file of this kind, without a worker, and cuts what comes out; the laws of
/// cutting must hold for it.
pub fn read_and_cut(kind: domain::source::Kind, name: &str, bytes: &[u8]) {
    if let Ok(found) = extract::read_anywhere(kind, name, bytes, 1 << 20) {
        cut(&found.outline);
    }
}

/// Cuts an outline and checks that the passages tile its text.
pub fn cut(outline: &Outline) {
    let mut starts = Vec::new();
    let mut inside = false;
    for (at, c) in outline.text.char_indices() {
        if c.is_whitespace() {
            inside = false;
        } else if !inside {
            inside = true;
            starts.push(u32::try_from(at).expect("fuzzed texts are small"));
        }
    }
    for block in &outline.blocks {
        assert!(outline.text.get(block.span.clone()).is_some(), "{block:?}");
    }
    let limits = Limits {
        max_tokens: 40,
        min_tokens: 8,
        heading_tokens: 8,
    };
    let count = |text: &str| text.split_whitespace().count();
    let passages = chunk(
        outline,
        TokenStarts(&starts),
        limits,
        Sections::EndWithPage,
        count,
    );
    let tiled: String = passages
        .iter()
        .map(|p| &outline.text[p.span.clone()])
        .collect();
    assert!(passages.is_empty() == outline.text.trim().is_empty());
    assert!(passages.is_empty() || tiled == outline.text);
    for passage in &passages {
        assert!(passage.tokens <= limits.max_tokens, "{passage:?}");
    }
}
