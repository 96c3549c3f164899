//! Calls of functions: overloads bound, constants converted, literal patterns compiled.

use std::sync::Arc;

use bumpalo::Bump;

use crate::cel::ast::{Call, Expr, NodeId};
use crate::cel::check::Reference;
use crate::cel::error::FaultKind;
use crate::cel::function::{self, Overload};
use crate::cel::issue::Issue;
use crate::cel::library;
use crate::cel::pattern::{Pattern, Patterns};

use super::{Callee, Constant, Dispatch, Node, Operation, OptionalOr, Planner, Search, SearchKind};

/// The name of a function; a dot in front says only where it is looked up.
fn name(call: &Call) -> &str {
    call.function.trim_start_matches('.')
}

impl Planner<'_> {
    pub(super) fn function(&mut self, id: NodeId, call: &Call) -> Operation {
        let Reference::Overloads(overloads) = self.checked.reference(id) else {
            return Operation::Constant(Constant::Null);
        };
        let is_member = overloads
            .first()
            .is_some_and(|overload| overload.style == function::Style::Member);
        let target = call.target.filter(|_| is_member);
        let mut arguments: Vec<Node> = target
            .into_iter()
            .chain(call.arguments.iter().copied())
            .map(|id| self.node(id))
            .collect();
        if let Some(folded) = self.folded_conversion(id, call, overloads, &mut arguments) {
            return folded;
        }
        match (name(call), <[Node; 2]>::try_from(arguments)) {
            ("or", Ok(operands)) if is_member => {
                Operation::OptionalOr(OptionalOr::Optional, Box::new(operands))
            }
            ("orValue", Ok(operands)) if is_member => {
                Operation::OptionalOr(OptionalOr::Value, Box::new(operands))
            }
            ("matches" | "find" | "findAll", Ok([text, expression])) => {
                self.search(call, overloads, vec![text, expression])
            }
            ("findAll", Err(arguments)) => self.search(call, overloads, arguments),
            (_, Ok(operands)) => self.bound(call, overloads, operands.into()),
            (_, Err(arguments)) => self.bound(call, overloads, arguments),
        }
    }

    fn bound(
        &self,
        call: &Call,
        overloads: &[&'static Overload],
        arguments: Vec<Node>,
    ) -> Operation {
        Operation::Call(Box::new(Callee {
            overloads: overloads.into(),
            arguments: arguments.into(),
            name: self.full_name(call, overloads).into(),
            cost: call_cost(name(call), overloads),
            dispatch: match (name(call), overloads) {
                ("size" | "sort" | "@sortByAssociatedKeys", _) => Dispatch::Singleton,
                ("format", _) => Dispatch::Variadic,
                (_, [_]) => Dispatch::Bound,
                _ => Dispatch::Open,
            },
        }))
    }

    /// The name of a function with its namespace, as errors have it.
    fn full_name(&self, call: &Call, overloads: &[&'static Overload]) -> String {
        let is_global = overloads
            .iter()
            .all(|overload| overload.style == function::Style::Global);
        let namespace = call.target.filter(|_| is_global);
        match namespace.and_then(|target| self.ast.qualified_name(target)) {
            Some(namespace) => format!("{}.{}", namespace.trim_start_matches('.'), call.function),
            None => name(call).to_owned(),
        }
    }

    /// A search; with its expression compiled, if that is a literal.
    fn search(
        &mut self,
        call: &Call,
        overloads: &[&'static Overload],
        mut arguments: Vec<Node>,
    ) -> Operation {
        if let [text, _] = call.arguments.as_slice()
            && name(call) == "matches"
            && matches!(self.ast.expr(*text), Expr::Literal(_))
            && let Some(text) = arguments.first()
        {
            // cel-go validates the first argument of either form, which here is the text
            // (`cel/validator.go`, `formatValidator`).
            let _ = self.check_pattern(text);
        }
        let pattern = arguments.get(1).and_then(|it| self.check_pattern(it));
        let Some((pattern, length)) = pattern else {
            return self.bound(call, overloads, arguments);
        };
        let limit = (arguments.len() > 2).then(|| arguments.pop()).flatten();
        let mut arguments = arguments.into_iter();
        let Some(text) = arguments.next() else {
            return self.bound(call, overloads, Vec::new());
        };
        let is_member = overloads
            .iter()
            .all(|it| it.style == function::Style::Member);
        Operation::Search(Box::new(Search {
            kind: match name(call) {
                "matches" => SearchKind::Matches,
                "find" => SearchKind::Find,
                _ => SearchKind::FindAll(limit),
            },
            text,
            pattern,
            factor: is_member.then(|| function::cost::scaled(length, function::cost::REGEX)),
        }))
    }

    /// Compiles a literal expression; one that does not compile is an issue.
    /// Returns it with its length in characters.
    fn check_pattern(&mut self, expression: &Node) -> Option<(Arc<Pattern>, u64)> {
        let Operation::Constant(Constant::String(source)) = &expression.operation else {
            return None;
        };
        match self.pool.pattern(source) {
            Ok(pattern) => {
                let length = u64::try_from(source.chars().count()).unwrap_or(u64::MAX);
                Some((pattern, length))
            }
            Err(error) => {
                let message = format!("invalid regular expression: {error}");
                self.issues.push(
                    Issue::new(self.ast.span(expression.id), message)
                        .help("the syntax is RE2's: https://github.com/google/re2/wiki/Syntax"),
                );
                None
            }
        }
    }

    /// Computes a conversion of a constant (cel-go `interpreter/decorators.go`,
    /// `maybeOptimizeConstUnary`).
    fn folded_conversion(
        &mut self,
        id: NodeId,
        call: &Call,
        overloads: &[&'static Overload],
        arguments: &mut Vec<Node>,
    ) -> Option<Operation> {
        let is_conversion = matches!(
            name(call),
            "bool"
                | "bytes"
                | "double"
                | "duration"
                | "dyn"
                | "int"
                | "string"
                | "timestamp"
                | "type"
                | "uint"
        );
        let [argument] = arguments.as_slice() else {
            return None;
        };
        if !is_conversion || !argument.is_constant() {
            return None;
        }
        let argument = match (&argument.operation, name(call)) {
            (Operation::Constant(constant), "dyn") => {
                return Some(Operation::Constant(constant.clone()));
            }
            (Operation::Constant(constant), _) => constant.clone(),
            (Operation::Aggregate(..), "dyn") => return arguments.pop().map(|it| it.operation),
            (Operation::Aggregate(_, literal), "type") => {
                let is_list = matches!(literal.operation, Operation::List(_));
                let name = if is_list { "list" } else { "map" };
                return Some(Operation::Constant(Constant::Type(name)));
            }
            (Operation::Aggregate(..), _) => {
                let issue = Issue::new(self.ast.span(id), "no such overload");
                self.issues
                    .push(issue.help("a list or map cannot be converted"));
                return None;
            }
            _ => return None,
        };
        let arena = Bump::new();
        let context = function::Call {
            arena: &arena,
            memory_limit: usize::MAX,
            patterns: Patterns::default(),
            steps: std::cell::Cell::default(),
            lookup: None,
            authorizer: None,
        };
        let argument = [argument.value()];
        let takes = |overload: &&&'static Overload| {
            overload
                .params
                .iter()
                .zip(&argument)
                .all(|(p, a)| function::accepts(p, a))
        };
        let result = match (name(call), overloads.iter().find(takes)) {
            ("type", _) => {
                return Some(Operation::Constant(Constant::Type(
                    argument[0].declared_type_name(),
                )));
            }
            (_, Some(overload)) => (overload.body)(&context, &argument),
            (_, None) => Err(context.raise(FaultKind::NoSuchOverload)),
        };
        match result {
            Ok(value) => Constant::of(&value).map(Operation::Constant),
            Err(fault) => {
                self.issues
                    .push(Issue::new(self.ast.span(id), fault.to_string()));
                None
            }
        }
    }
}

/// The cost of a call. cel-go knows a call's overload, and with it some costs, only if just one fits
/// the types that are known (`interpreter/planner.go`, `resolveFunction`).
fn call_cost(function: &str, overloads: &[&'static Overload]) -> function::Cost {
    let one: function::Cost = function::cost::one;
    match overloads {
        [only] => only.cost,
        [first, ..] => library::cost_of_open_call(function).unwrap_or(first.cost),
        [] => one,
    }
}
