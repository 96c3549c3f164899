//! Bounds on the size and nesting of an expression, checked on its tokens before the recursive
//! parser sees it.
//!
//! The limits are cel-go's (`parser/parser.go`: `maxRecursionDepth` 250, per grammar rule) and
//! apiserver's (`expressionCodePointSizeLimit` 100,000). What this pass cannot see, the depth of the
//! tree itself, is checked on the tree by [`super::parse`].

use crate::text::Span;

use super::issue::Issue;
use super::lex::{Token, TokenKind};

/// Deepest nesting of one grammar rule.
pub(super) const MAX_DEPTH: usize = 250;

/// Longest expression, in code points.
pub(super) const MAX_CODE_POINTS: usize = 100_000;

/// What is open between one bracket and the next.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    /// Conditionals whose last branch is being read.
    branches: usize,
    /// `?` whose `:` is still to come.
    questions: usize,
    /// Whether the right side of a relation is being read.
    relation: usize,
    /// How many right sides of arithmetic operators are being read: at most two.
    arithmetic: usize,
    /// Lengths of the chains being read, by precedence.
    relations: usize,
    sums: usize,
    products: usize,
    members: usize,
}

impl Level {
    /// Starts a new operand of `&&`, `||`, `?:` or of a list.
    fn restart(&mut self) {
        *self = Level {
            branches: self.branches,
            questions: self.questions,
            ..Level::default()
        };
    }
}

/// Checks the length of the source.
pub(super) fn check_size(source: &str) -> Result<(), Issue> {
    if source.len() > MAX_CODE_POINTS && source.chars().count() > MAX_CODE_POINTS {
        return Err(Issue::new(
            Span::new(0, source.len().min(1)),
            format!("expression is longer than {MAX_CODE_POINTS} characters"),
        )
        .help("split it into variables, or move constants into parameters"));
    }
    Ok(())
}

/// Checks the nesting of the tokens, in one pass without recursion.
pub(super) fn check_nesting(source: &str, tokens: &[Token]) -> Result<(), Issue> {
    let mut levels = vec![Level::default()];
    let (mut expressions, mut relations, mut sums) = (1, 1, 1);
    let mut previous: Option<&Token> = None;
    for (at, token) in tokens.iter().enumerate() {
        let text = source
            .get(token.span.start..token.span.end)
            .unwrap_or_default();
        let follows_operand = previous
            .is_some_and(|token| matches!(token.kind, TokenKind::Operand | TokenKind::Close));
        let Some(level) = levels.last_mut() else {
            return Ok(());
        };
        match token.kind {
            TokenKind::Open => {
                if follows_operand && text == "[" {
                    level.members += 1;
                }
                let holds_something = tokens
                    .get(at + 1)
                    .is_some_and(|next| next.kind != TokenKind::Close);
                if holds_something {
                    expressions += 1 + level.branches;
                    relations += 1 + level.relation;
                    sums += 1 + level.arithmetic;
                }
                levels.push(Level::default());
            }
            TokenKind::Close => {
                let was_empty = previous.is_some_and(|token| token.kind == TokenKind::Open);
                levels.pop();
                let Some(level) = levels.last() else {
                    return Ok(());
                };
                if !was_empty {
                    expressions -= 1 + level.branches;
                    relations -= 1 + level.relation;
                    sums -= 1 + level.arithmetic;
                }
            }
            TokenKind::In => relation_operator(level),
            TokenKind::Operator => operator(level, text, previous, follows_operand),
            TokenKind::Operand => {}
        }
        let Some(level) = levels.last() else {
            return Ok(());
        };
        let deepest = [
            expressions + level.branches,
            relations + level.relation,
            sums + level.arithmetic,
            level.relations,
            level.sums,
            level.products,
            level.members,
        ];
        if deepest.into_iter().any(|depth| depth > MAX_DEPTH) {
            return Err(too_deep(token.span));
        }
        previous = Some(token);
    }
    Ok(())
}

/// The issue of an expression nested too deeply.
pub(super) fn too_deep(span: Span) -> Issue {
    Issue::new(
        span,
        format!("expression is nested deeper than {MAX_DEPTH} levels"),
    )
    .help("split it into variables")
}

fn operator(level: &mut Level, text: &str, previous: Option<&Token>, follows_operand: bool) {
    match text {
        "." if follows_operand => level.members += 1,
        "*" | "/" | "%" => {
            level.products += 1;
            level.members = 0;
            level.arithmetic = if level.sums > 0 { 2 } else { 1 };
        }
        "+" | "-" if follows_operand => {
            level.sums += 1;
            level.products = 0;
            level.members = 0;
            level.arithmetic = 1;
        }
        "==" | "!=" | "<" | "<=" | ">" | ">=" => relation_operator(level),
        "?" if follows_operand && !previous.is_some_and(|token| token.kind == TokenKind::Open) => {
            level.restart();
            level.questions += 1;
        }
        ":" if level.questions > 0 => {
            level.restart();
            level.questions -= 1;
            level.branches += 1;
        }
        ":" | "," => *level = Level::default(),
        "&&" | "||" => level.restart(),
        _ => {}
    }
}

fn relation_operator(level: &mut Level) {
    let relations = level.relations + 1;
    level.restart();
    level.relations = relations;
    level.relation = 1;
}
