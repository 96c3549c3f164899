//! Nothing that compiles makes the evaluator panic or exceed its limits.
//!
//! `cargo +nightly fuzz run eval -- -dict=fuzz/cel.dict -max_len=2048`

#![no_main]

use bumpalo::Bump;
use libfuzzer_sys::fuzz_target;
use portcullis::cel::env::{Env, Language, Messages};
use portcullis::cel::eval::{Inputs, Limits, Unobserved, evaluate};
use portcullis::cel::value::Value;
use portcullis::cel::{check, parse, plan};
use portcullis::json;
use portcullis::policy::compile::SLOTS;

const OBJECT: &str = include_str!("../../tests/cases/variables.json");

/// A tenth of what Kubernetes allows: what takes longer takes longer to fuzz.
const COST: u64 = 100_000;

fuzz_target!(|text: &str| {
    let Ok(ast) = parse::parse(text) else { return };
    let env = Env::new(SLOTS, Language::Extended).with_messages(Messages::Mutation);
    let Ok(checked) = check::check(ast, &env) else { return };
    let Ok(program) = plan::plan(&checked) else { return };
    let arena = Bump::new();
    let object = json::parse(&arena, OBJECT.as_bytes()).expect("the object is JSON");
    let object = object.get("object").map_or(Value::Null, Value::from);
    let slots = vec![object; SLOTS.len()];
    let inputs = Inputs::new(&slots);
    let limits = Limits {
        cost: COST,
        ..Limits::default()
    };
    let outcome = evaluate(&program, &inputs, &arena, limits, &mut Unobserved);
    assert!(arena.allocated_bytes() <= 2 * limits.memory_bytes, "too much memory");
    let _ = outcome.value.map_err(|fault| fault.to_string());
});
