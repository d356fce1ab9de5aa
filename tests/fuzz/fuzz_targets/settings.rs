#![no_main]
//! The settings file.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| drop(coho_fuzz::settings::of_text("fuzz", text)));
