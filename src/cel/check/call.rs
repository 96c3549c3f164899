//! Calls: which overloads of a function or operator take the arguments, and what they give.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::cel::ast::{Call, NodeId, operator};
use crate::cel::function::{Function, Since, Style};
use crate::cel::issue::Issue;
use crate::cel::types::{Inferred, Type};
use crate::text::nearest;

use super::operators::{self, OperatorCost};
use super::{Checker, Reference, instantiate};

impl Checker<'_> {
    pub(super) fn visit_call(&mut self, id: NodeId, call: &Call) -> Inferred {
        if operator::is_operator(&call.function) {
            let arguments: Vec<Inferred> = call
                .arguments
                .iter()
                .map(|argument| self.visit(*argument))
                .collect();
            return self.resolve_operator(id, call, &arguments);
        }
        if let Some(name) = self.refused_extension(call) {
            self.refuse_extension(self.ast.span(id), &name);
            return Inferred::Error;
        }
        let namespaced = self.namespaced(call);
        let is_format = call.function == "format" && call.target.is_some();
        self.exempt += usize::from(is_format);
        if is_format {
            self.formats.push(id);
        }
        let mut types: Vec<Inferred> = call
            .arguments
            .iter()
            .map(|argument| self.visit(*argument))
            .collect();
        let (function, style) = match namespaced {
            Some(function) => (Some(function), Style::Global),
            None => {
                let style = match call.target {
                    Some(target) => {
                        let target = self.visit(target);
                        types.insert(0, target);
                        Style::Member
                    }
                    None => Style::Global,
                };
                (
                    self.env.function(call.function.trim_start_matches('.')),
                    style,
                )
            }
        };
        self.exempt -= usize::from(is_format);
        match function {
            Some(function) => self.resolve_function(id, call, (function, style), &types),
            None => {
                self.undeclared_function(call);
                Inferred::Error
            }
        }
    }

    /// The function of `ns.f(…)`, when `ns.f` is the name of one; that `ns` is a variable does not
    /// matter (cel-go `checker/checker.go`, `checkCall`).
    fn namespaced(&self, call: &Call) -> Option<&'static Function> {
        let namespace = self.ast.qualified_name(call.target?)?;
        let namespace = namespace.trim_start_matches('.');
        self.env.function(&format!("{namespace}.{}", call.function))
    }

    /// The name of a function that is an extension, where those may not be used.
    fn refused_extension(&self, call: &Call) -> Option<String> {
        let name = match call.target {
            None => call.function.clone(),
            Some(target) => {
                let namespace = self.ast.qualified_name(target)?;
                let root = namespace.split('.').next().unwrap_or_default();
                if self.local(root).is_some() || self.env.slot(root).is_some() {
                    return None;
                }
                format!("{namespace}.{}", call.function)
            }
        };
        let is_refused = self.env.is_refused_extension(&name);
        is_refused.then(|| written(&name).to_owned())
    }

    fn resolve_operator(&mut self, id: NodeId, call: &Call, arguments: &[Inferred]) -> Inferred {
        let name = call.function.as_str();
        if matches!(name, operator::AND | operator::OR) {
            for (argument, inferred) in call.arguments.iter().zip(arguments) {
                if !self
                    .unifier
                    .is_assignable(inferred, &Inferred::Simple(Type::Bool))
                {
                    self.mismatch(*argument, &Inferred::Simple(Type::Bool), inferred);
                }
            }
            return Inferred::Simple(Type::Bool);
        }
        let mut resolution = Resolution::default();
        let mut cost = OperatorCost::One;
        let mut fitting = 0;
        for (at, signature) in operators::signatures(name).iter().enumerate() {
            if let Some(result) = self.instance(signature.params, &signature.result, arguments) {
                cost = signature.cost;
                fitting |= 1 << at;
                resolution.add(result);
            }
        }
        if let Some(result) = resolution.result {
            let cost = if resolution.fitting == 1 {
                cost
            } else {
                OperatorCost::One
            };
            self.refer(id, Reference::Operator(cost, fitting));
            return result;
        }
        let types = self.shown(arguments);
        let message = format!(
            "`{}` does not take {}",
            operators::written(name),
            types.join(" and ")
        );
        self.issues
            .push(Issue::new(self.ast.span(id), message).help(
            "convert one side, as with `int(…)` or `string(…)`; numbers of different types compare \
             with `<` but not with `==`",
        ));
        Inferred::Error
    }

    fn resolve_function(
        &mut self,
        id: NodeId,
        call: &Call,
        (function, style): (&'static Function, Style),
        arguments: &[Inferred],
    ) -> Inferred {
        let mut resolution = Resolution::default();
        let mut overloads = Vec::new();
        for overload in function
            .overloads
            .iter()
            .filter(|overload| overload.style == style)
        {
            if overload.params.len() != arguments.len() || !self.env.allows(overload) {
                continue;
            }
            if let Some(result) = self.instance(overload.params, &overload.result, arguments) {
                overloads.push(overload);
                resolution.add(result);
            }
        }
        if let Some(result) = resolution.result {
            if overloads
                .iter()
                .all(|overload| overload.since == Since::Extension)
            {
                self.extension.get_or_insert(call.function_span);
            }
            self.refer(id, Reference::Overloads(overloads));
            return match (function.name, arguments) {
                // `type(A) -> type(A)`: the one signature whose result holds its parameter as a type.
                ("type", [argument]) => {
                    Inferred::Type(Some(Arc::new(self.unifier.substitute(argument))))
                }
                _ => result,
            };
        }
        if self.refuse_later_function(call, (function, style), arguments) {
            return Inferred::Error;
        }
        let name = written(function.name);
        let help = if name == function.name {
            let forms = function.overloads.iter();
            let forms = forms.filter(|it| self.env.allows(it));
            let forms: Vec<String> = forms.map(|it| it.form(function)).collect();
            format!("it is called as {}", forms.join(" or "))
        } else {
            "it takes numbers, or one list of numbers".to_owned()
        };
        let types = self.shown(arguments);
        let message = match (style, types.split_first()) {
            (Style::Member, Some((receiver, rest))) => {
                format!(
                    "no overload of `{name}` takes ({receiver}).({})",
                    rest.join(", ")
                )
            }
            _ => format!("no overload of `{name}` takes ({})", types.join(", ")),
        };
        self.issues
            .push(Issue::new(call.function_span, message).help(help));
        Inferred::Error
    }

    /// The result of a signature for these arguments, if it takes them.
    pub(super) fn instance(
        &mut self,
        params: &'static [Type],
        result: &'static Type,
        arguments: &[Inferred],
    ) -> Option<Inferred> {
        if params.len() != arguments.len() {
            return None;
        }
        let mut names = FxHashMap::default();
        let params: Vec<Inferred> = params
            .iter()
            .map(|param| instantiate(param, &mut names, &mut self.unifier))
            .collect();
        let pairs: Vec<(&Inferred, &Inferred)> = arguments.iter().zip(&params).collect();
        if !self.unifier.are_assignable(&pairs) {
            return None;
        }
        let result = instantiate(result, &mut names, &mut self.unifier);
        Some(self.unifier.substitute(&result))
    }

    fn shown(&self, types: &[Inferred]) -> Vec<String> {
        types
            .iter()
            .map(|it| self.unifier.finish(it).to_string())
            .collect()
    }

    fn undeclared_function(&mut self, call: &Call) {
        let name = match call
            .target
            .and_then(|target| self.ast.qualified_name(target))
        {
            Some(namespace) => {
                let full = format!("{namespace}.{}", call.function);
                match nearest(&full, self.env.function_names()) {
                    Some(_) => full,
                    None => call.function.clone(),
                }
            }
            None => call.function.clone(),
        };
        let macros = [
            "has",
            "all",
            "exists",
            "exists_one",
            "map",
            "filter",
            "optMap",
            "optFlatMap",
        ];
        let issue = Issue::new(call.function_span, format!("undeclared function `{name}`"));
        let known = self.env.function_names().chain(macros);
        let issue = match nearest(&name, known) {
            Some(known) if known == name && macros.contains(&known) => issue.help(format!(
                "the macro `{known}` takes another number of arguments"
            )),
            Some(known) if known == name => issue.help("it exists, but not in this place"),
            Some(known) => issue.help(format!("did you mean `{known}`?")),
            None => issue,
        };
        self.issues.push(issue);
    }
}

/// The name of a function as it is written: of a macro, if one stands for it.
fn written(name: &str) -> &str {
    match name {
        "math.@max" => "math.greatest",
        "math.@min" => "math.least",
        name => name,
    }
}

/// The overloads found so far: the first one's result, or `dyn` if they differ.
#[derive(Default)]
struct Resolution {
    fitting: usize,
    result: Option<Inferred>,
}

impl Resolution {
    fn add(&mut self, result: Inferred) {
        self.fitting += 1;
        self.result = Some(match self.result.take() {
            None => result,
            Some(first) if first.is_dyn() => first,
            Some(first) if first == result => first,
            Some(_) => Inferred::Dyn,
        });
    }
}
