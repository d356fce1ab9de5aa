#![no_main]
//! Files of kind rst.

use coho_fuzz::domain::source::Kind;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| coho_fuzz::read_and_cut(Kind::Rst, "a.rst", bytes));
