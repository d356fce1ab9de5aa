#![no_main]
//! Files of kind canvas.

use coho_fuzz::domain::source::Kind;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| coho_fuzz::read_and_cut(Kind::Canvas, "a.canvas", bytes));
