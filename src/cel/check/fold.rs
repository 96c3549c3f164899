//! The types of the macros: those of cel-go's expansions of them.

use std::sync::Arc;

use crate::cel::ast::{Fold, FoldKind, NodeId, OptMap, OptMapResult};
use crate::cel::issue::Issue;
use crate::cel::types::{Inferred, Type};

use super::Checker;

impl Checker<'_> {
    pub(super) fn visit_fold(&mut self, id: NodeId, fold: &Fold) -> Inferred {
        if self.refuse_later_fold(id, fold) {
            return Inferred::Error;
        }
        let range = self.visit(fold.range);
        let range = self.unifier.substitute(&range);
        let (first, second) = self.variables(fold, &range);
        let mut variables = vec![(fold.variable.clone(), first.clone())];
        if let Some(name) = &fold.second {
            variables.push((name.clone(), second));
        }
        self.scoped(id, variables, |checker| checker.visit_bodies(fold, first))
    }

    /// The types of a fold's variables.
    fn variables(&mut self, fold: &Fold, range: &Inferred) -> (Inferred, Inferred) {
        match range {
            Inferred::List(item) if fold.second.is_some() => {
                (Inferred::Simple(Type::Int), (**item).clone())
            }
            Inferred::List(item) => ((**item).clone(), Inferred::Dyn),
            Inferred::Map(key, value) => ((**key).clone(), (**value).clone()),
            Inferred::Dyn | Inferred::Error | Inferred::Variable(_) => {
                self.unifier.is_assignable(&Inferred::Dyn, range);
                (Inferred::Dyn, Inferred::Dyn)
            }
            other => {
                let found = self.unifier.finish(other);
                let message = format!("expression of type `{found}` cannot be iterated over");
                self.issues.push(
                    Issue::new(self.ast.span(fold.range), message)
                        .help("macros run over lists and maps"),
                );
                (Inferred::Error, Inferred::Error)
            }
        }
    }

    fn visit_bodies(&mut self, fold: &Fold, item: Inferred) -> Inferred {
        let bool_type = Inferred::Simple(Type::Bool);
        // The expansion is a conditional: both parts are visited before the first one must be a bool.
        let predicate = fold
            .predicate
            .map(|predicate| (predicate, self.visit(predicate)));
        let transformed = fold
            .transform
            .map(|transform| (transform, self.visit(transform)));
        if let Some((predicate, inferred)) = predicate
            && !self.unifier.is_assignable(&inferred, &bool_type)
        {
            self.mismatch(predicate, &bool_type, &inferred);
        }
        match (fold.kind, transformed) {
            (FoldKind::All | FoldKind::Exists | FoldKind::ExistsOne, _) => bool_type,
            (FoldKind::Filter, _) => {
                // Each item that is kept is read once more.
                self.uses
                    .push((fold.range, fold.variable.clone(), item.clone()));
                let item = self.unifier.substitute(&item);
                Inferred::List(Arc::new(item))
            }
            (FoldKind::Map, Some((_, result))) => {
                let result = self.unifier.substitute(&result);
                Inferred::List(Arc::new(result))
            }
            (FoldKind::TransformMap, Some((_, result))) => {
                self.uses
                    .push((fold.range, fold.variable.clone(), item.clone()));
                let key = self.unifier.substitute(&item);
                let result = self.unifier.substitute(&result);
                Inferred::Map(Arc::new(key), Arc::new(result))
            }
            (FoldKind::TransformMapEntry, Some((transform, result))) => {
                let (key, value) = (self.unifier.fresh(), self.unifier.fresh());
                let wanted = Inferred::Map(Arc::new(key), Arc::new(value));
                if !self.unifier.is_assignable(&result, &wanted) {
                    self.mismatch(transform, &wanted, &result);
                }
                self.unifier.substitute(&wanted)
            }
            (_, None) => Inferred::Error,
        }
    }

    /// Refuses variables that hold types: cel-go's planner takes them for names of types
    /// (`interpreter/planner.go`, `planCheckedIdent`).
    pub(super) fn refuse_type_variables(&mut self) {
        for (id, name, inferred) in std::mem::take(&mut self.uses) {
            if matches!(self.unifier.substitute(&inferred), Inferred::Type(_)) {
                let message = format!("reference to undefined type `{name}`");
                let issue = Issue::new(self.ast.span(id), message);
                self.issues
                    .push(issue.help("the variable of a macro cannot hold types"));
            }
        }
    }

    /// `target.hasValue() ? optional.of(body) : optional.none()` with the value of the target.
    pub(super) fn visit_opt_map(&mut self, id: NodeId, map: &OptMap) -> Inferred {
        let target = self.visit(map.target);
        let value = self.unifier.fresh();
        let wanted = Inferred::Optional(Arc::new(value.clone()));
        if !self.unifier.is_assignable(&target, &wanted) {
            self.mismatch(map.target, &wanted, &target);
        }
        let value = match self.unifier.substitute(&target) {
            Inferred::Error => Inferred::Dyn,
            _ => self.unifier.substitute(&value),
        };
        self.uses
            .push((map.target, map.variable.clone(), value.clone()));
        let body = self.scoped(id, vec![(map.variable.clone(), value)], |checker| {
            checker.visit(map.body)
        });
        let body = self.unifier.substitute(&body);
        match map.result {
            OptMapResult::Value => Inferred::Optional(Arc::new(body)),
            OptMapResult::Optional => {
                let none = Inferred::Optional(Arc::new(self.unifier.fresh()));
                if !self.unifier.is_assignable(&body, &none) {
                    self.mismatch(map.body, &none, &body);
                }
                self.unifier.substitute(&body)
            }
        }
    }
}
