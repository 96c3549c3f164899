//! The Common Expression Language as Kubernetes evaluates it; knows nothing of policies.
//!
//! A source text becomes an [`ast::Ast`] ([`parse`]), is checked against an [`env::Env`]
//! ([`check`]), planned to slots and bound functions ([`plan`]), and evaluated over a request's
//! borrowed JSON ([`eval`]). Nothing of this is done twice: a [`plan::Program`] is made when a
//! policy is loaded and only evaluated afterwards.
//!
//! Invariant: evaluation never panics, never recurses deeper than the program's planned depth, and
//! never spends more than its [`eval::Limits`].

pub mod ast;
pub mod check;
pub mod encode;
pub mod env;
pub mod error;
pub mod estimate;
pub mod eval;
pub mod function;
mod guard;
pub mod issue;
mod lex;
pub mod library;
pub mod macros;
pub mod parse;
pub mod pattern;
pub mod plan;
pub mod protobuf;
pub mod trace;
pub mod types;
pub mod value;
pub mod version;

#[cfg(test)]
mod tests;
