//! What a [`Recorder`] saw, as a tree in the order of the text.
//!
//! Left out is what says nothing: literals, names, and the beginning of a path that could be read to
//! its end. A chain of `&&` or `||` is one node.

use super::Recorder;
use crate::cel::ast::{Ast, Call, Expr, Fold, NodeId, operator};
use crate::cel::error::Result;
use crate::cel::eval::Turn;
use crate::text::Span;

/// A line of a trace.
#[derive(Debug, Clone)]
pub struct Step<'a> {
    /// How deep it is nested; 0 only for the first step.
    pub depth: usize,
    /// What it is about.
    pub what: What<'a>,
}

/// What a line of a trace is about.
#[derive(Debug, Clone)]
pub enum What<'a> {
    /// A part of the expression, with what it gave.
    Node {
        /// Where it is written.
        span: Span,
        /// Its value or fault; `None` if it was not evaluated.
        gave: Option<Result<'a>>,
    },
    /// The turn of a macro that the steps below it are of; `None` if there was nothing to turn over.
    Turn {
        /// The names of the variables, as written: `c` or `i, c`.
        names: String,
        /// Whether there are two.
        variables: Variables,
        /// The turn.
        turn: Option<Turn<'a>>,
    },
}

/// How many variables a macro has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variables {
    /// The item, or the key of a map.
    One,
    /// Index and item, or key and value.
    Two,
}

/// Returns the steps of an evaluation, the whole expression first.
pub fn steps<'a>(ast: &Ast, recorder: &Recorder<'a>) -> Vec<Step<'a>> {
    let walk = Walk { ast, recorder };
    let mut steps = Vec::new();
    let mut pending = vec![(0, Part::Node(ast.root()))];
    while let Some((depth, part)) = pending.pop() {
        let (what, parts) = match part {
            Part::Node(id) => {
                let gave = recorder.value(id).copied();
                // Of what was not evaluated, the parts were not either.
                let parts = match gave {
                    Some(_) => walk.parts(id),
                    None => Vec::new(),
                };
                let span = ast.span(id);
                (What::Node { span, gave }, parts)
            }
            Part::Turn(id, fold) => walk.turn(id, fold),
        };
        steps.push(Step { depth, what });
        pending.extend(parts.into_iter().rev().map(|part| (depth + 1, part)));
    }
    steps
}

#[derive(Clone, Copy)]
enum Part<'t> {
    Node(NodeId),
    Turn(NodeId, &'t Fold),
}

struct Walk<'t, 'a> {
    ast: &'t Ast,
    recorder: &'t Recorder<'a>,
}

impl<'t, 'a> Walk<'t, 'a> {
    /// The parts of a node that are worth a step, in the order of the text.
    fn parts(&self, id: NodeId) -> Vec<Part<'t>> {
        let mut parts = Vec::new();
        match self.ast.expr(id) {
            Expr::Select(_) | Expr::OptSelect(_) => self.path(id, &mut parts),
            Expr::Has(select) => self.path_within(id, select.operand, &mut parts),
            Expr::Call(call) if is_index(call) => self.path(id, &mut parts),
            Expr::Call(call) if matches!(&*call.function, operator::AND | operator::OR) => {
                self.chain(call, &mut parts);
            }
            Expr::Fold(fold) => {
                self.add(fold.range, &mut parts);
                parts.push(Part::Turn(id, fold));
            }
            other => {
                for child in other.children() {
                    self.add(child, &mut parts);
                }
            }
        }
        parts
    }

    fn turn(&self, id: NodeId, fold: &'t Fold) -> (What<'a>, Vec<Part<'t>>) {
        let turn = self.recorder.turn(id).copied();
        let (names, variables) = match &fold.second {
            None => (fold.variable.clone(), Variables::One),
            Some(second) => (format!("{}, {second}", fold.variable), Variables::Two),
        };
        let mut parts = Vec::new();
        if turn.is_some() {
            for part in [fold.predicate, fold.transform].into_iter().flatten() {
                self.add(part, &mut parts);
            }
        }
        let what = What::Turn {
            names,
            variables,
            turn,
        };
        (what, parts)
    }

    /// Adds a node, or what of it is worth a step.
    fn add(&self, id: NodeId, parts: &mut Vec<Part<'t>>) {
        match self.ast.expr(id) {
            Expr::Literal(_) | Expr::Ident(_) => {}
            // A list of constants is not evaluated but known.
            Expr::List(_) | Expr::Map(_) if self.recorder.value(id).is_none() => {}
            // What `sortBy` stands for is not written anywhere; only the keys are.
            Expr::Call(call) if is_hidden(&call.function) => {
                for argument in &call.arguments {
                    self.add(*argument, parts);
                }
            }
            Expr::Fold(fold) if self.runs_over_hidden(fold) => parts.push(Part::Turn(id, fold)),
            _ => parts.push(Part::Node(id)),
        }
    }

    fn runs_over_hidden(&self, fold: &Fold) -> bool {
        matches!(self.ast.expr(fold.range), Expr::Ident(name) if is_hidden(name))
    }

    /// The operands of a chain of one operator, however the parser nested them.
    fn chain(&self, call: &Call, parts: &mut Vec<Part<'t>>) {
        let mut pending: Vec<NodeId> = call.arguments.iter().rev().copied().collect();
        while let Some(id) = pending.pop() {
            match self.ast.expr(id) {
                Expr::Call(inner) if inner.function == call.function => {
                    pending.extend(inner.arguments.iter().rev());
                }
                _ => self.add(id, parts),
            }
        }
    }

    /// The parts of a path: what it starts from, computed indexes, and if it could not be read to
    /// its end, how far it could.
    fn path(&self, id: NodeId, parts: &mut Vec<Part<'t>>) {
        match self.ast.expr(id) {
            Expr::Select(select) | Expr::OptSelect(select) => {
                self.path_within(id, select.operand, parts);
            }
            Expr::Call(call) => {
                if let Some(operand) = call.arguments.first() {
                    self.path_within(id, *operand, parts);
                }
                for index in call.arguments.iter().skip(1) {
                    self.add(*index, parts);
                }
            }
            _ => {}
        }
    }

    /// The parts of the beginning of a path, from the step at `id` on.
    fn path_within(&self, path: NodeId, mut id: NodeId, parts: &mut Vec<Part<'t>>) {
        let mut indexes: Vec<&NodeId> = Vec::new();
        let has_value = |id| self.recorder.value(id).is_some_and(Result::is_ok);
        let is_whole = has_value(path);
        loop {
            let before = indexes.len();
            let below = match self.ast.expr(id) {
                Expr::Select(select) | Expr::OptSelect(select) => Some(select.operand),
                Expr::Call(call) if is_index(call) => {
                    indexes.extend(call.arguments.get(1));
                    call.arguments.first().copied()
                }
                _ => None,
            };
            let Some(below) = below else {
                // The base of the path.
                self.add(id, parts);
                break;
            };
            if !is_whole && has_value(id) {
                // Its own parts, computed indexes among them, are below it.
                indexes.truncate(before);
                parts.push(Part::Node(id));
                break;
            }
            id = below;
        }
        for index in indexes.into_iter().rev() {
            self.add(*index, parts);
        }
    }
}

fn is_index(call: &Call) -> bool {
    matches!(&*call.function, operator::INDEX | operator::OPT_INDEX)
}

/// Says whether a name is one that the parser made up.
fn is_hidden(name: &str) -> bool {
    name.starts_with('@') && name != operator::IN
}
