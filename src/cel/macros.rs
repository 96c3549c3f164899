//! The macros: calls that the parser turns into expressions of their own kind.
//!
//! Kubernetes has cel-go's standard macros, the two-variable comprehensions, `optMap`, `optFlatMap`
//! and `sortBy` (`environment/base.go`); `cel.bind`, `math.greatest` and `math.least` are extensions.
//! All are expanded whatever the version of Kubernetes; the checker refuses those that the version
//! lacks (`check/later.rs`).

use super::ast::{
    Bind, Call, Expr, Fold, FoldKind, Item, Literal, NodeId, OptMap, OptMapResult, Presence,
};
use super::function::Since;
use super::issue::Issue;
use super::parse::Converter;

/// Since when macros take two variables: `ext.TwoVarComprehensions` in apiserver
/// `pkg/cel/environment/base.go`.
pub const TWO_VARIABLES: Since = Since::Kubernetes(32);

/// What became of a call.
pub(super) enum Expansion {
    /// It is a macro.
    Expression(Expr),
    /// It is a call, or a macro used wrongly: then there is an issue.
    Call,
}

/// The hidden name of the list that `sortBy` sorts.
const SORT_INPUT: &str = "@__sortBy_input__";

/// The function that `sortBy` calls.
const SORT_BY_KEYS: &str = "@sortByAssociatedKeys";

/// Returns the name that stands in the text where a function of this name is called.
pub(super) fn written(function: &'static str) -> &'static str {
    match function {
        SORT_BY_KEYS => "sortBy",
        name => name,
    }
}

/// Expands `call` if it is a macro: by name, style and number of arguments.
pub(super) fn expand(converter: &mut Converter<'_>, call: &Call) -> Expansion {
    let expanded = match (
        call.target,
        call.function.as_str(),
        call.arguments.as_slice(),
    ) {
        (None, "has", [argument]) => expand_has(converter, *argument),
        (Some(target), name, arguments) => {
            expand_member(converter, call, (target, name, arguments))
        }
        _ => Ok(None),
    };
    match expanded {
        Ok(Some(expr)) => Expansion::Expression(expr),
        Ok(None) => Expansion::Call,
        Err(issue) => {
            converter.issues.push(issue);
            Expansion::Call
        }
    }
}

fn expand_has(converter: &Converter<'_>, argument: NodeId) -> Result<Option<Expr>, Issue> {
    match converter.ast.expr(argument) {
        Expr::Select(select) => Ok(Some(Expr::Has(select.clone()))),
        _ => Err(Issue::new(converter.ast.span(argument), "invalid argument to has() macro")
            .help("has() takes a field selection: `has(object.spec.replicas)`; for a key use `'key' in map`")),
    }
}

fn expand_member(
    converter: &mut Converter<'_>,
    call: &Call,
    (target, name, arguments): (NodeId, &str, &[NodeId]),
) -> Result<Option<Expr>, Issue> {
    use FoldKind::{All, Exists, ExistsOne, Filter, Map, TransformMap, TransformMapEntry};
    let fold = |kind, variable: &NodeId, second: Option<&NodeId>| {
        fold(converter, kind, target, (*variable, second.copied()))
    };
    let expr = match (name, arguments) {
        ("all", [v, p]) => with_predicate(fold(All, v, None)?, *p),
        ("exists", [v, p]) => with_predicate(fold(Exists, v, None)?, *p),
        ("exists_one", [v, p]) => with_predicate(fold(ExistsOne, v, None)?, *p),
        ("filter", [v, p]) => with_predicate(fold(Filter, v, None)?, *p),
        ("map", [v, t]) => with_transform(fold(Map, v, None)?, None, *t),
        ("map", [v, p, t]) => with_transform(fold(Map, v, None)?, Some(*p), *t),
        ("all", [k, v, p]) => with_predicate(fold(All, k, Some(v))?, *p),
        ("exists", [k, v, p]) => with_predicate(fold(Exists, k, Some(v))?, *p),
        ("existsOne" | "exists_one", [k, v, p]) => with_predicate(fold(ExistsOne, k, Some(v))?, *p),
        ("transformList", [k, v, t]) => with_transform(fold(Map, k, Some(v))?, None, *t),
        ("transformList", [k, v, p, t]) => with_transform(fold(Map, k, Some(v))?, Some(*p), *t),
        ("transformMap", [k, v, t]) => with_transform(fold(TransformMap, k, Some(v))?, None, *t),
        ("transformMap", [k, v, p, t]) => {
            with_transform(fold(TransformMap, k, Some(v))?, Some(*p), *t)
        }
        ("transformMapEntry", [k, v, t]) => {
            with_transform(fold(TransformMapEntry, k, Some(v))?, None, *t)
        }
        ("transformMapEntry", [k, v, p, t]) => {
            with_transform(fold(TransformMapEntry, k, Some(v))?, Some(*p), *t)
        }
        ("optMap", [v, body]) => opt_map(converter, target, (*v, *body), OptMapResult::Value)?,
        ("optFlatMap", [v, body]) => {
            opt_map(converter, target, (*v, *body), OptMapResult::Optional)?
        }
        ("sortBy", [v, key]) => sort_by(converter, call, (target, *v, *key))?,
        ("bind", [v, value, body]) if matches!(converter.ast.expr(target), Expr::Ident(name) if name == "cel") =>
        {
            let variable = variable(converter, *v)?;
            Expr::Bind(Box::new(Bind {
                variable,
                value: *value,
                body: *body,
            }))
        }
        ("greatest" | "least", arguments) if matches!(converter.ast.expr(target), Expr::Ident(name) if name == "math") => {
            extreme(converter, call, (target, arguments))?
        }
        _ => return Ok(None),
    };
    Ok(Some(expr))
}

fn fold(
    converter: &Converter<'_>,
    kind: FoldKind,
    range: NodeId,
    (first, second): (NodeId, Option<NodeId>),
) -> Result<Fold, Issue> {
    let name = variable(converter, first)?;
    let second_name = second
        .map(|second| variable(converter, second))
        .transpose()?;
    if let Some(second) = second
        && second_name.as_deref() == Some(&name)
    {
        return Err(Issue::new(
            converter.ast.span(second),
            format!("duplicate variable name: {name}"),
        ));
    }
    Ok(Fold {
        kind,
        range,
        variable: name,
        second: second_name,
        predicate: None,
        transform: None,
    })
}

fn with_predicate(mut fold: Fold, predicate: NodeId) -> Expr {
    fold.predicate = Some(predicate);
    Expr::Fold(Box::new(fold))
}

fn with_transform(mut fold: Fold, predicate: Option<NodeId>, transform: NodeId) -> Expr {
    fold.predicate = predicate;
    fold.transform = Some(transform);
    Expr::Fold(Box::new(fold))
}

/// The name of a macro's variable, which must be a plain identifier that hides no accumulator.
fn variable(converter: &Converter<'_>, node: NodeId) -> Result<String, Issue> {
    match converter.ast.expr(node) {
        Expr::Ident(name) if name == "__result__" || name == "@result" => Err(Issue::new(
            converter.ast.span(node),
            "iteration variable overwrites accumulator variable",
        )),
        // Even `.name` is one for cel-go, though nothing can refer to it.
        Expr::Ident(name) => Ok(name.clone()),
        _ => Err(
            Issue::new(converter.ast.span(node), "argument must be a simple name")
                .help("the first argument of a macro names the item: `list.all(item, item > 0)`"),
        ),
    }
}

fn opt_map(
    converter: &Converter<'_>,
    target: NodeId,
    (name, body): (NodeId, NodeId),
    result: OptMapResult,
) -> Result<Expr, Issue> {
    let variable = variable(converter, name)?;
    Ok(Expr::OptMap(Box::new(OptMap {
        target,
        variable,
        body,
        result,
    })))
}

/// `list.sortBy(item, key)` binds the list, and sorts it by the list of its keys (cel-go
/// `ext/lists.go`, `sortByMacro`).
fn sort_by(
    converter: &mut Converter<'_>,
    call: &Call,
    (target, item, key): (NodeId, NodeId, NodeId),
) -> Result<Expr, Issue> {
    let is_sortable = matches!(
        converter.ast.expr(target),
        Expr::List(_)
            | Expr::Select(_)
            | Expr::OptSelect(_)
            | Expr::Has(_)
            | Expr::OptMap(_)
            | Expr::Ident(_)
            | Expr::Fold(_)
            | Expr::Call(_)
            | Expr::Bind(_)
    );
    if !is_sortable {
        return Err(Issue::new(
            converter.ast.span(target),
            "sortBy can only be applied to a list, identifier, comprehension, call or select \
             expression",
        ));
    }
    let span = converter.ast.span(target);
    let input = converter.ast.add(Expr::Ident(SORT_INPUT.to_owned()), span);
    let keys = with_transform(
        fold(converter, FoldKind::Map, input, (item, None))?,
        None,
        key,
    );
    let keys = converter.ast.add(keys, converter.ast.span(key));
    let sorted = Call {
        function: SORT_BY_KEYS.to_owned(),
        function_span: call.function_span,
        target: Some(input),
        arguments: vec![keys],
    };
    let body = converter.ast.add(Expr::Call(sorted), call.function_span);
    Ok(Expr::Bind(Box::new(Bind {
        variable: SORT_INPUT.to_owned(),
        value: target,
        body,
    })))
}

/// `math.greatest(…)` and `math.least(…)` are calls with one or two numbers, or with a list of them
/// (cel-go `ext/math.go`, `mathGreatest`, `mathLeast`).
fn extreme(
    converter: &mut Converter<'_>,
    call: &Call,
    (target, arguments): (NodeId, &[NodeId]),
) -> Result<Expr, Issue> {
    let name = format!("math.{}()", call.function);
    let refused = |at: NodeId, text: &str| {
        let issue = Issue::new(converter.ast.span(at), format!("{name} {text}"));
        issue.help(format!(
            "it takes numbers, or one list of numbers: `math.{}(1, x)`",
            call.function
        ))
    };
    let is_number = |id: &NodeId| may_be_number(converter, *id);
    match arguments {
        [] => return Err(refused(target, "requires at least one argument")),
        [only] => {
            let is_list = match converter.ast.expr(*only) {
                Expr::List(items) => {
                    !items.is_empty() && items.iter().all(|item| is_number(&item.value))
                }
                _ => false,
            };
            if !is_list && !is_number(only) {
                return Err(refused(*only, "invalid single argument value"));
            }
        }
        several => {
            if let Some(wrong) = several.iter().find(|argument| !is_number(argument)) {
                return Err(refused(*wrong, "simple literal arguments must be numeric"));
            }
        }
    }
    let arguments = match arguments {
        [first, .., last] if arguments.len() > 2 => {
            let span = converter.ast.span(*first).to(converter.ast.span(*last));
            let items = arguments.iter().map(|value| Item {
                value: *value,
                presence: Presence::Always,
            });
            let items = Expr::List(items.collect());
            vec![converter.ast.add(items, span)]
        }
        few => few.to_vec(),
    };
    let function = match call.function.as_str() {
        "greatest" => "math.@max",
        _ => "math.@min",
    };
    Ok(Expr::Call(Call {
        function: function.to_owned(),
        function_span: call.function_span,
        target: None,
        arguments,
    }))
}

/// Says whether an argument is a number, or something whose value is not seen yet.
fn may_be_number(converter: &Converter<'_>, id: NodeId) -> bool {
    match converter.ast.expr(id) {
        Expr::Literal(literal) => {
            matches!(
                literal,
                Literal::Int(_) | Literal::Uint(_) | Literal::Double(_)
            )
        }
        Expr::List(_) | Expr::Map(_) | Expr::Struct(_) => false,
        _ => true,
    }
}
