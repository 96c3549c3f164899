//! Nothing that parses makes the checker, the planner or the estimate panic.
//!
//! `cargo +nightly fuzz run check -- -dict=fuzz/cel.dict -max_len=4096`

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::cel::env::{Env, Language, Messages};
use portcullis::cel::estimate::{Unknown, estimate};
use portcullis::cel::{check, parse, plan};
use portcullis::policy::compile::SLOTS;

fuzz_target!(|text: &str| {
    let Ok(ast) = parse::parse(text) else { return };
    let env = Env::new(SLOTS, Language::Extended).with_messages(Messages::Mutation);
    if let Ok(checked) = check::check(ast, &env) {
        let _ = plan::plan(&checked);
        let _ = estimate(&checked, &Unknown);
    }
});
