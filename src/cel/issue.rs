//! What is wrong with an expression before it is ever evaluated.

use crate::text::Span;

/// A problem with an expression, at a place in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// The bytes it is about.
    pub span: Span,
    /// What is wrong; lower case, user input in backticks.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Issue {
    /// Makes an issue without help.
    pub fn new(span: Span, message: impl Into<String>) -> Self {
        Issue {
            span,
            message: message.into(),
            help: None,
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
