//! What an expression may name, and its way from text to program.

use crate::cel::ast::{Ast, Expr};
use crate::cel::check;
use crate::cel::env::{Env, Language, Messages};
use crate::cel::estimate::range::CostEstimate;
use crate::cel::estimate::{Unknown, estimate};
use crate::cel::issue::Issue;
use crate::cel::parse;
use crate::cel::plan::{self, Program};
use crate::cel::types::{Inferred, Type};
use crate::cel::value::Value;
use crate::cel::version::KubernetesVersion;
use crate::json::Json;
use crate::policy::compile::SLOTS;
use crate::text::Span;

use super::inputs;

/// Which variables are declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setting {
    /// Every variable that is given, as `dyn`.
    Dyn,
    /// The same, and what else an expression of a mutation may name; it has no value.
    Unsaid,
    /// Those of an admission policy with their types, and every other one given as `dyn`.
    Admission,
    /// The same with the messages of mutations.
    Patch,
}

/// Declarations with the values of their variables.
#[derive(Debug)]
pub(super) struct Declared<'a> {
    pub(super) env: Env,
    pub(super) values: Vec<Value<'a>>,
}

impl Setting {
    /// Declares variables. Those of a policy that are not given are null; nobody is asked what a user
    /// may do, so that the authorizer has no value.
    pub(super) fn with<'a>(
        self,
        given: &[(String, Json<'a>)],
        language: Language,
        version: KubernetesVersion,
    ) -> Declared<'a> {
        let is_typed = matches!(self, Setting::Admission | Setting::Patch);
        let mut slots: Vec<(&str, Type)> = Vec::new();
        if is_typed {
            let inputs = SLOTS.into_iter();
            slots.extend(inputs.filter(|(name, _)| inputs::NAMES.contains(name)));
        }
        for (name, _) in given {
            declare(&mut slots, name.as_str(), Type::Dyn);
        }
        let value = |name: &str| {
            let given = given.iter().find(|(given, _)| given == name);
            given.map_or(Value::Null, |(_, value)| Value::from(*value))
        };
        let values = slots.iter().map(|(name, _)| value(name)).collect();
        // What is declared behind the values has none.
        if self != Setting::Dyn {
            let valueless = SLOTS
                .into_iter()
                .filter(|(name, _)| inputs::NAMES.contains(name) || name.starts_with("authorizer"));
            for (name, declared) in valueless {
                declare(&mut slots, name, declared);
            }
        }
        let env = Env::new(slots, language).with_version(version);
        let env = match self {
            Setting::Dyn | Setting::Admission => env,
            Setting::Patch | Setting::Unsaid => env.with_messages(Messages::Mutation),
        };
        Declared { env, values }
    }
}

/// Declares a variable unless it is declared already.
fn declare<'n>(slots: &mut Vec<(&'n str, Type)>, name: &'n str, declared: Type) {
    if !slots.iter().any(|(known, _)| *known == name) {
        slots.push((name, declared));
    }
}

/// An expression ready to be evaluated, with what is said about it.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) ast: Ast,
    pub(super) program: Program,
    pub(super) result: Inferred,
    /// What it costs at least and at most.
    pub(super) estimate: CostEstimate,
    /// Where a function is called that Kubernetes does not have.
    pub(super) extension: Option<Span>,
}

/// Why there is no program.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) phase: Phase,
    pub(super) issues: Vec<Issue>,
    /// The type of the result, as far as it was found.
    pub(super) result: Option<Inferred>,
}

/// The step at which something fails, by the oracle's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The row cannot be used.
    Input,
    /// It does not parse, or has no type.
    Compile,
    /// A constant part of it has no value.
    Program,
    /// It has no value.
    Eval,
}

impl Phase {
    pub(super) fn name(self) -> &'static str {
        match self {
            Phase::Input => "input",
            Phase::Compile => "compile",
            Phase::Program => "program",
            Phase::Eval => "eval",
        }
    }
}

/// Compiles an expression.
pub(super) fn compile(text: &str, env: &Env) -> Result<Compiled, Failure> {
    let failure = |phase, result| {
        move |issues| Failure {
            phase,
            issues,
            result,
        }
    };
    let ast = parse::parse(text).map_err(failure(Phase::Compile, None))?;
    let checked = check::check(ast, env).map_err(failure(Phase::Compile, None))?;
    let result = checked.result.clone();
    let program = plan::plan(&checked).map_err(|issues| {
        let is_literal = issues
            .iter()
            .any(|issue| is_of_literal(&checked.ast, issue));
        match is_literal {
            true => failure(Phase::Compile, None)(issues),
            false => failure(Phase::Program, Some(result))(issues),
        }
    })?;
    Ok(Compiled {
        program,
        estimate: estimate(&checked, &Unknown),
        result: checked.result,
        extension: checked.extension,
        ast: checked.ast,
    })
}

/// Says whether Kubernetes finds an issue of the plan while it compiles, because it looks into
/// literal durations, timestamps and regular expressions (cel-go `cel/validator.go`).
fn is_of_literal(ast: &Ast, issue: &Issue) -> bool {
    ast.nodes().iter().any(|node| match &node.expr {
        Expr::Call(call) => match (call.function.as_str(), call.arguments.first()) {
            ("duration" | "timestamp", _) => node.span == issue.span,
            ("matches", Some(pattern)) => call.target.is_some() && ast.span(*pattern) == issue.span,
            _ => false,
        },
        _ => false,
    })
}
