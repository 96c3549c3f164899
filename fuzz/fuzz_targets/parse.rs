//! No text makes the parser panic, overflow its stack or run away.
//!
//! `cargo +nightly fuzz run parse -- -dict=fuzz/cel.dict -max_len=4096`

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::cel::parse;

fuzz_target!(|text: &str| {
    let _ = parse::parse(text);
});
