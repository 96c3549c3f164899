//! The estimates of macros: those of cel-go's expansions of them (`parser/macro.go`,
//! `ext/comprehensions.go`, `ext/lists.go`, `cel/library.go`), which are never made.

use crate::cel::ast::{Bind, Expr, Fold, FoldKind, NodeId, OptMap, OptMapResult};
use crate::cel::types::Inferred;

use super::range::{CostEstimate, SizeEstimate};
use super::{
    CALL, Container, Entries, Estimated, Estimator, LIST, Local, MAP, NOTHING, SCALAR, SELECT,
    joined,
};

/// The list or map that a fold begins with.
const EMPTY: SizeEstimate = SizeEstimate::fixed(0);

/// What a fold does around each item.
struct Loop {
    /// The value it begins with.
    start: CostEstimate,
    /// The condition to go on, and what becomes of the value.
    step: CostEstimate,
    /// Reading the result.
    result: CostEstimate,
    /// What the result holds.
    entries: Option<Entries>,
}

impl<'e> Estimator<'e> {
    pub(super) fn fold(&mut self, fold: &'e Fold) -> Estimated {
        let range = self.node(fold.range);
        let outer = self.scope.len();
        self.push_variables(fold, &range);
        let looped = match fold.kind {
            FoldKind::All | FoldKind::Exists | FoldKind::ExistsOne => self.quantifier(fold),
            FoldKind::Map | FoldKind::Filter => self.list_maker(fold),
            FoldKind::TransformMap | FoldKind::TransformMapEntry => self.map_maker(fold),
        };
        self.scope.truncate(outer);
        let cost = range
            .cost
            .plus(looped.start)
            .plus(looped.result)
            .plus(range.size().times(looped.step));
        let size = match fold.kind {
            FoldKind::All | FoldKind::Exists | FoldKind::ExistsOne => SCALAR,
            _ => range.size(),
        };
        Estimated::computed(cost, Some(size), looped.entries)
    }

    fn push_variables(&mut self, fold: &'e Fold, range: &Estimated) {
        let is_list = match range.entries {
            Some(entries) => entries.container == Container::List,
            None => matches!(self.checked.type_of(fold.range), Inferred::List(_)),
        };
        let key = range.entries.map(|entries| entries.key);
        let value = range.entries.map(|entries| entries.value);
        let (keys, values) = match is_list {
            true => ("@indices", "@items"),
            false => ("@keys", "@values"),
        };
        let mut push = |name, size, step| {
            self.scope.push(Local {
                name,
                path: joined(&range.path, step),
                size,
                entries: None,
            });
        };
        match &fold.second {
            Some(second) => {
                push(&fold.variable, key, keys);
                push(second, value, values);
            }
            None if is_list => push(&fold.variable, value, values),
            None => push(&fold.variable, key, keys),
        }
    }

    fn part(&mut self, part: Option<NodeId>) -> Option<Estimated> {
        part.map(|id| self.node(id))
    }

    /// `result && predicate` while the result is not false, the opposite with `||`, or
    /// `predicate ? result + 1 : result`.
    fn quantifier(&mut self, fold: &Fold) -> Loop {
        let predicate = self.part(fold.predicate).map_or(NOTHING, |it| it.cost);
        let unless_decided = CostEstimate {
            min: SELECT.min,
            max: SELECT.plus(predicate).max,
        };
        let not_strictly_false = CALL.plus(SELECT);
        let (step, result) = match fold.kind {
            FoldKind::All => (not_strictly_false.plus(unless_decided), SELECT),
            FoldKind::Exists => (not_strictly_false.plus(CALL).plus(unless_decided), SELECT),
            _ => {
                let counted = CALL.plus(SELECT);
                (predicate.plus(counted.union(SELECT)), CALL.plus(SELECT))
            }
        };
        Loop {
            start: NOTHING,
            step,
            result,
            entries: None,
        }
    }

    /// `result + [item]`, or `predicate ? result + [item] : result`.
    fn list_maker(&mut self, fold: &Fold) -> Loop {
        let predicate = self.part(fold.predicate);
        let item = match fold.transform {
            Some(transform) => self.node(transform),
            None => self.variable(fold),
        };
        let appended = CALL.plus(SELECT).plus(LIST).plus(item.cost);
        Loop {
            start: LIST,
            step: conditionally(predicate, appended),
            result: SELECT,
            entries: Some(Entries {
                container: Container::List,
                key: SizeEstimate::fixed(1),
                value: EMPTY.union(item.size()),
            }),
        }
    }

    /// `cel.@mapInsert(result, key, value)` or `cel.@mapInsert(result, entry)`.
    fn map_maker(&mut self, fold: &Fold) -> Loop {
        let predicate = self.part(fold.predicate);
        let value = self.part(fold.transform).map_or(NOTHING, |it| it.cost);
        let inserted = CALL.plus(SELECT).plus(value);
        let inserted = match fold.kind {
            FoldKind::TransformMap => inserted.plus(SELECT),
            _ => inserted,
        };
        Loop {
            start: MAP,
            step: conditionally(predicate, inserted),
            result: SELECT,
            entries: None,
        }
    }

    /// The item that `filter` keeps.
    fn variable(&self, fold: &Fold) -> Estimated {
        let inferred = match self.checked.type_of(fold.range) {
            Inferred::List(item) => (*item).clone(),
            Inferred::Map(key, _) => (*key).clone(),
            _ => Inferred::Dyn,
        };
        self.named(&fold.variable, &inferred)
    }

    /// `[].fold(value)`, which reads the value at most once.
    pub(super) fn bind(&mut self, bind: &'e Bind) -> Estimated {
        let value = self.node(bind.value);
        let cost = LIST.plus(value.cost);
        let body = self.bound(&bind.variable, value, bind.body);
        Estimated::computed(cost.plus(body.cost), body.size, body.entries)
    }

    /// A body with a variable, and its size as it is known outside.
    fn bound(&mut self, name: &'e str, value: Estimated, body: NodeId) -> Estimated {
        let outer = self.scope.len();
        self.scope.push(Local {
            name,
            path: value.path,
            size: value.size,
            entries: value.entries,
        });
        let estimated = self.node(body);
        self.scope.truncate(outer);
        let Expr::Ident(name) = self.ast.expr(body) else {
            return estimated;
        };
        // Upstream looks a name up once more, when the variable is gone.
        let inferred = self.checked.type_of(body);
        let outside = self.local(name.trim_start_matches('.'));
        let known = self.sizes.size(&estimated.path, &inferred);
        let path = outside.map_or(&estimated.path, |local| &local.path);
        let size = known.or_else(|| self.size(path, &inferred));
        Estimated {
            size: size.or(outside.and_then(|local| local.size)),
            entries: outside.and_then(|local| local.entries),
            ..estimated
        }
    }

    /// `target.hasValue() ? optional.of(BODY) : optional.none()`, where the body is bound to
    /// `target.value()`; without `optional.of` for `optFlatMap`.
    pub(super) fn opt_map(&mut self, id: NodeId, map: &'e OptMap) -> Estimated {
        let target = self.node(map.target).cost;
        let inferred = match self.checked.type_of(map.target) {
            Inferred::Optional(inner) => (*inner).clone(),
            _ => Inferred::Dyn,
        };
        let value = Estimated::computed(CALL.plus(target), self.size("", &inferred), None);
        let cost = LIST.plus(value.cost);
        let body = self.bound(&map.variable, value, map.body);
        let cost = cost.plus(body.cost);
        let none = self.size_without_path(id).unwrap_or(SizeEstimate::UNKNOWN);
        let (some, size) = match map.result {
            OptMapResult::Value => (CALL.plus(cost), none),
            OptMapResult::Optional => (cost, body.size()),
        };
        let has_value = CALL.plus(target);
        Estimated::computed(
            has_value.plus(some.union(CALL)),
            Some(size.union(none)),
            None,
        )
    }
}

/// `predicate ? step : result`
fn conditionally(predicate: Option<Estimated>, step: CostEstimate) -> CostEstimate {
    match predicate {
        Some(predicate) => predicate.cost.plus(step.union(SELECT)),
        None => step,
    }
}
