//! Regular expressions with RE2's syntax and meaning, as Go's package `regexp` has them, on the crate
//! `regex`: linear time.
//!
//! `translate` reads Go's syntax and writes the crate's. Both are leftmost-first and match runes of
//! valid UTF-8, so that nothing but the notation differs.

mod class;
mod size;
mod translate;
mod unicode;

use std::cell::RefCell;
use std::sync::Arc;

use rustc_hash::FxHashMap;

pub use translate::PatternError;

/// Bytes a compiled expression of a policy may take: the default of the crate. It is compiled once,
/// when the policy is loaded; at the limit that takes 0.1 to 0.3 s on the machine the crate `cel` was
/// measured on.
// DIVERGES: Go has a limit on the size of the syntax only; `(\pL{100}){10}` is accepted there.
const LITERAL_SIZE_LIMIT: usize = 10 << 20;

/// Bytes an expression made during an evaluation may take. A request may bring one for every item of
/// a list, so that one must not take much longer than what its cost pays for.
const COMPUTED_SIZE_LIMIT: usize = 1 << 20;

/// Bytes of the lazy automaton of an expression: the default of the crate. When it is full it is
/// thrown away and made again, and after some rounds a slower engine takes over; still linear.
const AUTOMATON_SIZE_LIMIT: usize = 2 << 20;

/// Nesting of the crate's syntax tree. Ours is at most 1,000 deep, and each level is written as at
/// most a group, an alternation, a concatenation and a repetition.
const NESTING_LIMIT: u32 = 4 * 1_000 + 100;

/// From this nesting on an expression is compiled on a stack of its own: the crate's compiler is
/// recursive.
const DEEP: usize = 50;
/// A thousand levels fit 2 MiB in a test build; the rest is margin, and virtual until used.
const DEEP_STACK_BYTES: usize = 16 << 20;

/// How many expressions made during one evaluation are kept.
const MAX_KEPT: usize = 64;

/// A compiled RE2 expression.
#[derive(Debug)]
pub struct Pattern {
    regex: regex::Regex,
}

impl Pattern {
    /// Compiles an expression that is known when the policy is loaded.
    pub fn new(expression: &str) -> Result<Pattern, PatternError> {
        Pattern::with_limit(expression, LITERAL_SIZE_LIMIT)
    }

    fn with_limit(expression: &str, size_limit: usize) -> Result<Pattern, PatternError> {
        let translated = translate::translate(expression)?;
        let compile = || {
            regex::RegexBuilder::new(&translated.text)
                .nest_limit(NESTING_LIMIT)
                .size_limit(size_limit)
                .dfa_size_limit(AUTOMATON_SIZE_LIMIT)
                .build()
        };
        let compiled = if translated.depth > DEEP {
            stacker::grow(DEEP_STACK_BYTES, compile)
        } else {
            compile()
        };
        match compiled {
            Ok(regex) => Ok(Pattern { regex }),
            // The translation is valid by construction: what is left is the size.
            Err(_) => Err(PatternError::too_large(expression)),
        }
    }

    /// Says whether some part of a text matches.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// Returns the leftmost match.
    pub fn find<'t>(&self, text: &'t str) -> Option<&'t str> {
        self.regex.find(text).map(|found| found.as_str())
    }

    /// Iterates over the matches that do not overlap, from left to right; no empty match follows
    /// directly upon another match.
    pub fn find_all<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> {
        self.regex.find_iter(text).map(|found| found.as_str())
    }

    /// Returns the compiled expression.
    pub fn regex(&self) -> &regex::Regex {
        &self.regex
    }
}

/// The expressions compiled during one evaluation, for those that are not literals.
#[derive(Debug, Default)]
pub struct Patterns {
    compiled: RefCell<FxHashMap<String, Arc<Pattern>>>,
}

/// Returns how many steps it takes to compile an expression (`function::STEP_LIMIT`), by its length
/// and by what its repetitions and classes multiply it to; roughly, and at least some.
pub fn steps_to_compile(expression: &str) -> u64 {
    let Ok(translated) = translate::translate(expression) else {
        return STEPS_TO_PARSE;
    };
    let states = || {
        let mut builder = regex_syntax::ParserBuilder::new();
        let mut parser = builder.nest_limit(NESTING_LIMIT).build();
        let parsed = parser.parse(&translated.text);
        parsed.map_or(0, |parsed| size::states(&parsed))
    };
    let states = if translated.depth > DEEP {
        stacker::grow(DEEP_STACK_BYTES, states)
    } else {
        states()
    };
    states
        .saturating_mul(STEPS_PER_STATE)
        .saturating_add(STEPS_TO_PARSE)
}

/// Measured: `a` takes 10 µs, `\\pL{50}` 5 ms for its 60,000 states.
const STEPS_TO_PARSE: u64 = 1_000;
const STEPS_PER_STATE: u64 = 8;

impl Patterns {
    /// Says whether an expression was compiled before.
    pub fn has(&self, expression: &str) -> bool {
        self.compiled.borrow().contains_key(expression)
    }

    /// Returns the compiled expression, compiling it at its first use.
    pub fn get(&self, expression: &str) -> Result<Arc<Pattern>, PatternError> {
        if let Some(pattern) = self.compiled.borrow().get(expression) {
            return Ok(Arc::clone(pattern));
        }
        let pattern = Arc::new(Pattern::with_limit(expression, COMPUTED_SIZE_LIMIT)?);
        let mut compiled = self.compiled.borrow_mut();
        if compiled.len() >= MAX_KEPT {
            compiled.clear();
        }
        compiled.insert(expression.to_owned(), Arc::clone(&pattern));
        Ok(pattern)
    }
}

#[cfg(test)]
mod tests;
