//! What the programs of many expressions have in common, kept once: names and compiled regular
//! expressions.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::cel::pattern::{Pattern, PatternError};

/// Names and patterns known so far.
#[derive(Debug, Default)]
pub struct Pool {
    names: FxHashSet<Arc<str>>,
    patterns: FxHashMap<Box<str>, Arc<Pattern>>,
}

impl Pool {
    /// Returns the one copy of a name.
    pub fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.names.insert(Arc::clone(&name));
        name
    }

    /// Returns a compiled regular expression, compiling it at its first use.
    pub(super) fn pattern(&mut self, expression: &str) -> Result<Arc<Pattern>, PatternError> {
        if let Some(known) = self.patterns.get(expression) {
            return Ok(Arc::clone(known));
        }
        let pattern = Arc::new(Pattern::new(expression)?);
        self.patterns
            .insert(expression.into(), Arc::clone(&pattern));
        Ok(pattern)
    }
}
