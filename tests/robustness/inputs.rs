//! Expressions made to break whoever reads, checks, evaluates or prints them.

mod documents;
mod libraries;
mod syntax;
mod values;

use serde_json::{Value, json};

/// An expression with the values of its variables.
pub(crate) struct Input {
    /// What is tried, with its size.
    pub(crate) name: String,
    pub(crate) expression: String,
    pub(crate) vars: Value,
    /// Whether it is about what Kubernetes does not have.
    pub(crate) extensions: bool,
}

/// Collects inputs; each name once.
#[derive(Default)]
pub(crate) struct Inputs(pub(crate) Vec<Input>);

impl Inputs {
    fn add(&mut self, name: impl Into<String>, expression: impl Into<String>) {
        self.over(name, expression, json!({}));
    }

    fn over(&mut self, name: impl Into<String>, expression: impl Into<String>, vars: Value) {
        self.0.push(Input {
            name: name.into(),
            expression: expression.into(),
            vars,
            extensions: false,
        });
    }

    fn extended(&mut self, name: impl Into<String>, expression: impl Into<String>, vars: Value) {
        self.over(name, expression, vars);
        if let Some(input) = self.0.last_mut() {
            input.extensions = true;
        }
    }
}

/// All inputs.
pub(crate) fn all() -> Vec<Input> {
    let mut inputs = Inputs::default();
    syntax::nested(&mut inputs);
    syntax::chains(&mut inputs);
    syntax::unbalanced(&mut inputs);
    syntax::literals(&mut inputs);
    syntax::unicode(&mut inputs);
    values::doubling(&mut inputs);
    values::shared(&mut inputs);
    values::types(&mut inputs);
    values::loops(&mut inputs);
    values::maps(&mut inputs);
    libraries::patterns(&mut inputs);
    libraries::texts(&mut inputs);
    libraries::formats(&mut inputs);
    libraries::numbers(&mut inputs);
    libraries::times(&mut inputs);
    libraries::libraries(&mut inputs);
    libraries::lists(&mut inputs);
    documents::texts(&mut inputs);
    documents::yaml(&mut inputs);
    documents::hcl(&mut inputs);
    documents::x509(&mut inputs);
    documents::loops(&mut inputs);
    values::documents(&mut inputs);
    syntax::mistakes(&mut inputs);
    inputs.0
}
