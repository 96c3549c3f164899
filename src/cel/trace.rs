//! What every part of an expression gave, recorded while it is evaluated.
//!
//! [`Recorder`] is an [`Observer`]; [`steps::steps`] puts what it saw in the order of the text, and
//! [`draw::draw`] prints that for a terminal. A macro evaluates its body many times: what is kept of
//! it is the turn that decided it or failed, else the last one.

pub mod draw;
pub mod steps;
#[cfg(test)]
mod tests;

use std::ops::Range;

use super::ast::{Ast, Expr, FoldKind, NodeId};
use super::error::Result;
use super::eval::{Observer, Turn};
use super::value::Value;

/// Keeps the value of every node of an expression.
#[derive(Debug)]
pub struct Recorder<'a> {
    values: Vec<Option<Result<'a>>>,
    /// For each node the index of its fold plus one; 0 for nodes that are none.
    fold_at: Vec<u32>,
    folds: Vec<FoldRecord<'a>>,
}

#[derive(Debug)]
struct FoldRecord<'a> {
    kind: FoldKind,
    /// The nodes whose values a turn gives: predicate and transformation.
    parts: [Option<NodeId>; 2],
    /// The nodes of the body: children come before parents, so they lie together.
    body: Range<usize>,
    /// The folds within the body.
    inner: Range<usize>,
    state: FoldState<'a>,
}

#[derive(Debug, Clone, Default)]
struct FoldState<'a> {
    turn: Option<Turn<'a>>,
    kept: Option<Box<Kept<'a>>>,
}

/// A turn worth more than those after it.
#[derive(Debug, Clone)]
struct Kept<'a> {
    worth: Worth,
    turn: Turn<'a>,
    values: Vec<Option<Result<'a>>>,
    inner: Vec<FoldState<'a>>,
}

/// Why a turn is kept; a greater reason replaces a lesser one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// `exists_one` found the item.
    Match,
    /// It failed.
    Failed,
    /// It decided `all` or `exists`.
    Decided,
}

impl<'a> Recorder<'a> {
    /// Prepares to record the nodes of an expression.
    pub fn new(ast: &Ast) -> Self {
        let nodes = ast.nodes();
        let mut recorder = Recorder {
            values: vec![None; nodes.len()],
            fold_at: vec![0; nodes.len()],
            folds: Vec::new(),
        };
        // The least node of each node's subtree.
        let mut firsts: Vec<usize> = Vec::with_capacity(nodes.len());
        for (at, node) in nodes.iter().enumerate() {
            let children = node.expr.children();
            let firsts_below = children
                .iter()
                .filter_map(|child| firsts.get(index(*child)));
            firsts.push(firsts_below.copied().fold(at, usize::min));
            if let Expr::Fold(fold) = &node.expr {
                let parts = [fold.predicate, fold.transform];
                let starts = parts.iter().flatten();
                let start = starts.filter_map(|part| firsts.get(index(*part)).copied());
                let end = parts.iter().flatten().map(|part| index(*part) + 1);
                let body = start.min().unwrap_or(at)..end.max().unwrap_or(at);
                recorder.add(at, fold.kind, parts, body);
            }
        }
        recorder
    }

    fn add(&mut self, at: usize, kind: FoldKind, parts: [Option<NodeId>; 2], body: Range<usize>) {
        let within = self.fold_at.get(body.clone()).unwrap_or_default();
        let first = within.iter().find(|fold| **fold > 0);
        let first = first.map_or(self.folds.len(), |fold| position(*fold));
        let inner = first..self.folds.len();
        self.folds.push(FoldRecord {
            kind,
            parts,
            body,
            inner,
            state: FoldState::default(),
        });
        if let Some(fold) = self.fold_at.get_mut(at) {
            *fold = u32::try_from(self.folds.len()).unwrap_or_default();
        }
    }

    /// Returns what a node gave when it was evaluated last, or in the turn that is kept of the
    /// macro around it; `None` if it was not evaluated.
    pub fn value(&self, node: NodeId) -> Option<&Result<'a>> {
        self.values.get(index(node))?.as_ref()
    }

    /// Returns the turn of a macro that its body's values are of; `None` if there was none.
    pub fn turn(&self, fold: NodeId) -> Option<&Turn<'a>> {
        self.folds.get(self.fold(fold)?)?.state.turn.as_ref()
    }

    fn fold(&self, node: NodeId) -> Option<usize> {
        match self.fold_at.get(index(node)) {
            None | Some(0) => None,
            Some(fold) => Some(position(*fold)),
        }
    }

    /// Keeps the values of the turn that ends if it is worth it.
    fn end_turn(&mut self, at: usize) {
        let Some(fold) = self.folds.get(at) else {
            return;
        };
        let (Some(turn), Some(worth)) = (fold.state.turn, self.worth(fold)) else {
            return;
        };
        let best = fold.state.kept.as_ref().map(|kept| kept.worth);
        if best.is_some_and(|best| best >= worth) {
            return;
        }
        let states = self.folds.get(fold.inner.clone()).unwrap_or_default();
        let kept = Kept {
            worth,
            turn,
            values: self
                .values
                .get(fold.body.clone())
                .unwrap_or_default()
                .to_vec(),
            inner: states.iter().map(|inner| inner.state.clone()).collect(),
        };
        if let Some(fold) = self.folds.get_mut(at) {
            fold.state.kept = Some(Box::new(kept));
        }
    }

    fn worth(&self, fold: &FoldRecord<'a>) -> Option<Worth> {
        let gave = |part: Option<NodeId>| part.and_then(|part| self.value(part));
        let [predicate, transform] = fold.parts.map(gave);
        if [predicate, transform]
            .into_iter()
            .flatten()
            .any(|it| it.is_err())
        {
            return Some(Worth::Failed);
        }
        match (fold.kind, predicate) {
            (FoldKind::All, Some(Ok(Value::Bool(false))))
            | (FoldKind::Exists, Some(Ok(Value::Bool(true)))) => Some(Worth::Decided),
            (FoldKind::ExistsOne, Some(Ok(Value::Bool(true)))) => Some(Worth::Match),
            _ => None,
        }
    }

    /// Forgets what the body of a macro gave in an earlier turn.
    fn clear_body(&mut self, at: usize) {
        let Some(fold) = self.folds.get(at) else {
            return;
        };
        let (body, inner) = (fold.body.clone(), fold.inner.clone());
        if let Some(values) = self.values.get_mut(body) {
            values.fill(None);
        }
        for fold in self.folds.get_mut(inner).unwrap_or_default() {
            fold.state = FoldState::default();
        }
    }

    /// Puts the values of the turn that is kept in the place of the last one's.
    fn end_fold(&mut self, at: usize) {
        self.end_turn(at);
        let Some(fold) = self.folds.get_mut(at) else {
            return;
        };
        let Some(kept) = fold.state.kept.take() else {
            return;
        };
        let (body, inner) = (fold.body.clone(), fold.inner.clone());
        fold.state.turn = Some(kept.turn);
        if let Some(values) = self.values.get_mut(body) {
            values.copy_from_slice(&kept.values);
        }
        let states = self.folds.get_mut(inner).unwrap_or_default();
        for (fold, state) in states.iter_mut().zip(kept.inner) {
            fold.state = state;
        }
    }
}

impl<'a> Observer<'a> for Recorder<'a> {
    #[inline]
    fn observe(&mut self, node: NodeId, value: &Result<'a>) {
        let at = index(node);
        if let Some(known) = self.values.get_mut(at) {
            *known = Some(*value);
        }
        if let Some(fold @ 1..) = self.fold_at.get(at).copied() {
            self.end_fold(position(fold));
        }
    }

    fn turn(&mut self, node: NodeId, turn: Turn<'a>) {
        let Some(at) = self.fold(node) else {
            return;
        };
        if turn.at > 0 {
            self.end_turn(at);
        } else if let Some(fold) = self.folds.get_mut(at) {
            fold.state = FoldState::default();
        }
        self.clear_body(at);
        if let Some(fold) = self.folds.get_mut(at) {
            fold.state.turn = Some(turn);
        }
    }
}

fn index(node: NodeId) -> usize {
    usize::try_from(node.0).unwrap_or(usize::MAX)
}

/// The index of a fold, of its number from 1.
fn position(fold: u32) -> usize {
    usize::try_from(fold).unwrap_or_default().saturating_sub(1)
}
