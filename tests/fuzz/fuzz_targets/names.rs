#![no_main]
//! File names of any bytes, and what their endings promise.

use coho_fuzz::domain::source::{Kind, bytes_of_name, is_private, name_of_bytes, shown_name};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let name = name_of_bytes(bytes);
    assert_eq!(bytes_of_name(&name), bytes);
    let _ = (Kind::of_path(&name), Kind::unreadable(&name), is_private(&name), shown_name(&name));
});
