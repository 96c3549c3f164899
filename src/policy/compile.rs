//! Turns a policy's expressions into programs, once, when the policy is loaded.
//!
//! An expression that does not compile does not make the policy disappear: as upstream, it is an
//! evaluation error under the policy's failure policy whenever it would be evaluated
//! (apiserver `plugin/cel/activation.go`, `Evaluate`).

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::cel::ast::{Ast, Expr, Literal, NodeId};
use crate::cel::check::Checked;
use crate::cel::env::{Env, Language, Messages};
use crate::cel::issue::Issue;
use crate::cel::library::authz;
use crate::cel::plan::{self, Program};
use crate::cel::types::{Inferred, Type};
use crate::cel::version::KubernetesVersion;
use crate::cel::{check, parse};
use crate::diagnostics::Diagnostic;
use crate::policy::common::{Common, Compiled, Scope};
use crate::policy::model::{
    FailurePolicy, Form, Mutation, PodMatching, Policy, PolicyKind, PolicyScope, ReadKind, Reading,
    Reason,
};
use crate::policy::objects;
use crate::text::Fragment;

/// The variables of an admission expression with their types; the position is the slot
/// (apiserver `plugin/cel/compile.go`, `createEnvForOpts`).
pub const SLOTS: [(&str, Type); 10] = [
    ("object", Type::Dyn),
    ("oldObject", Type::Dyn),
    ("request", Type::Object(&objects::REQUEST)),
    ("params", Type::Dyn),
    ("namespaceObject", Type::Object(&objects::NAMESPACE)),
    ("settings", Type::Map(&Type::String, &Type::Dyn)),
    ("pod", Type::Dyn),
    ("variables", Type::Dyn),
    // The last ones, because they have no value where there is nobody to ask.
    ("authorizer", authz::AUTHORIZER),
    ("authorizer.requestResource", authz::RESOURCE_CHECK),
];

/// The slots whose values are the same for every policy that a request is decided by.
const OF_THE_REQUEST: [usize; 5] = [0, 1, 2, 4, 6];

/// The variables that are about a request; a policy about the cluster as a whole has none of them.
const OF_REQUESTS: [&str; 8] = [
    "object",
    "oldObject",
    "request",
    "params",
    "namespaceObject",
    "pod",
    "authorizer",
    "authorizer.requestResource",
];

/// The variables that are a policy's own, or ask somebody.
const NOT_OF_EXCEPTIONS: [&str; 6] = [
    "params",
    "settings",
    "pod",
    "variables",
    "authorizer",
    "authorizer.requestResource",
];

const NO_REQUEST: &str = "a policy with `scope: cluster` is evaluated once for the cluster as a \
                          whole, without an object or a request: it sees `cluster.get`, \
                          `cluster.list` and `settings`";

/// A policy whose expressions are programs.
#[derive(Debug)]
pub struct CompiledPolicy {
    /// The policy as read.
    pub policy: Policy,
    /// All must hold for the policy to apply.
    pub match_conditions: Vec<Named>,
    /// Computed when first read.
    pub variables: Vec<Expression>,
    /// What must hold.
    pub validations: Vec<Validation>,
    /// What is recorded; the name is the key.
    pub audit_annotations: Vec<Named>,
    /// What is changed.
    pub mutations: Vec<Expression>,
    /// Why the policy cannot be enforced as it stands, if it cannot.
    pub configuration_error: Option<String>,
    /// Whether an expression reads `namespaceObject`.
    pub reads_namespace: bool,
    /// Whether Kubernetes' own policies could say the same.
    pub portability: Portability,
}

/// Whether a policy could be a ValidatingAdmissionPolicy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Portability {
    /// It could.
    Portable,
    /// It uses an extension of the language.
    Extended,
}

/// An expression that is a program, or the reason why it is none.
#[derive(Debug)]
pub struct Expression {
    /// The text, for messages.
    pub text: Box<str>,
    /// The program, or the problem.
    pub program: Result<Arc<Program>, String>,
}

impl Expression {
    /// Says whether it gives one value for a request, whatever the policy and its parameters.
    pub fn is_of_the_request(&self) -> bool {
        let program = self.program.as_ref();
        program.is_ok_and(|program| program.reads_only(&OF_THE_REQUEST))
    }

    /// Says whether other expressions are the same.
    pub fn is_common(&self) -> bool {
        let program = self.program.as_ref();
        program.is_ok_and(|program| Arc::strong_count(program) > 1)
    }
}

/// An expression with a name.
#[derive(Debug)]
pub struct Named {
    /// The name of a condition, the key of an annotation.
    pub name: String,
    /// The expression.
    pub expression: Expression,
}

/// Something that must hold, compiled.
#[derive(Debug)]
pub struct Validation {
    /// What must hold.
    pub expression: Expression,
    /// What is said when it does not.
    pub message: Option<String>,
    /// An expression for a better message.
    pub message_expression: Option<Expression>,
    /// The machine-readable reason.
    pub reason: Reason,
}

impl CompiledPolicy {
    /// Says whether some part of the policy cannot be used.
    pub fn is_faulty(&self) -> bool {
        let mut expressions = self.expressions();
        self.configuration_error.is_some() || expressions.any(|it| it.program.is_err())
    }

    /// Says whether an expression asks the authorizer.
    pub fn asks_authorizer(&self) -> bool {
        self.reads(|slot| slot.starts_with("authorizer"))
    }

    /// Says whether an expression reads one of these variables.
    fn reads(&self, is_meant: impl Fn(&str) -> bool) -> bool {
        let slots = SLOTS.iter().enumerate();
        let slots = slots.filter(|(_, (name, _))| is_meant(name));
        let slots: Vec<usize> = slots.map(|(at, _)| at).collect();
        let programs = self.expressions().flat_map(|it| &it.program);
        let mut read = programs.flat_map(|program| slots.iter().map(|at| program.reads(*at)));
        read.any(|is_read| is_read)
    }

    fn expressions(&self) -> impl Iterator<Item = &Expression> {
        let named = self.match_conditions.iter().chain(&self.audit_annotations);
        let messages = self
            .validations
            .iter()
            .filter_map(|it| it.message_expression.as_ref());
        named
            .map(|it| &it.expression)
            .chain(&self.variables)
            .chain(self.validations.iter().map(|it| &it.expression))
            .chain(messages)
            .chain(&self.mutations)
    }

    /// Returns what an error means.
    pub fn failure_policy(&self) -> FailurePolicy {
        self.policy.failure_policy
    }
}

/// Compiles a policy, one of a set that is written for a version of Kubernetes, and says what is wrong
/// with its expressions.
pub(super) fn compile(
    policy: Policy,
    version: KubernetesVersion,
    common: &mut Common,
) -> (Arc<CompiledPolicy>, Vec<Diagnostic>) {
    let mut compiler = Compiler {
        env: environment(&policy, version),
        form: policy.origin.form,
        scope: Scope::of(&policy),
        common,
        reads: policy.reads.clone(),
        diagnostics: Vec::new(),
        portability: Portability::Portable,
    };
    let again = declared_again(&policy);
    let variables = policy
        .variables
        .iter()
        .enumerate()
        .map(|(at, variable)| {
            let (expression, result) = match reads_overwritten(&policy, at, &again) {
                Some(issue) => (
                    compiler.refused(&variable.expression, vec![issue]),
                    Inferred::Dyn,
                ),
                None => compiler.typed(&variable.expression, Wanted::Anything),
            };
            compiler
                .env
                .declare_variable(&variable.name, result.of_variable());
            expression
        })
        .collect();
    let with_variables = compiler.env.clone();
    if policy.origin.form == Form::Kubernetes {
        // kubernetes `pkg/apis/admissionregistration/validation`, `validateMatchConditionsExpression`:
        // they are decided before variables are there.
        compiler.env = compiler.env.without("variables");
    }
    let match_conditions = policy
        .match_conditions
        .iter()
        .map(|condition| Named {
            name: condition.name.clone(),
            expression: compiler.typed(&condition.expression, Wanted::Bool).0,
        })
        .collect();
    compiler.env = with_variables;
    let validations = match policy.kind {
        PolicyKind::Validating => compiler.validations(&policy),
        PolicyKind::Mutating => Vec::new(),
    };
    let audit_annotations = policy
        .audit_annotations
        .iter()
        .map(|annotation| Named {
            name: annotation.key.clone(),
            expression: compiler
                .typed(&annotation.value_expression, Wanted::StringOrNull)
                .0,
        })
        .collect();
    compiler.env = compiler.env.with_messages(Messages::Mutation);
    let mutations = policy
        .mutations
        .iter()
        .map(|mutation| match mutation {
            Mutation::JsonPatch(expression) => compiler.typed(expression, Wanted::Patches).0,
            Mutation::ApplyConfiguration(expression) => {
                compiler.typed(expression, Wanted::Object).0
            }
        })
        .collect();
    // What the API server would refuse to store is said, and enforced as far as it was understood:
    // leaving a policy out because of its name would open what it closes.
    let configuration_error = match policy.reading {
        Reading::Whole => None,
        Reading::Faulty => Some("the policy is not valid".to_owned()),
    };
    let Compiler {
        diagnostics,
        portability,
        ..
    } = compiler;
    let mut compiled = CompiledPolicy {
        policy,
        match_conditions,
        variables,
        validations,
        audit_annotations,
        mutations,
        configuration_error,
        reads_namespace: false,
        portability,
    };
    compiled.reads_namespace = compiled.reads(|slot| slot == "namespaceObject");
    (Arc::new(compiled), diagnostics)
}

/// Compiles the condition of an exception: what a match condition may be in Kubernetes, and it asks nobody.
pub(super) fn condition(
    fragment: &Fragment,
    version: KubernetesVersion,
    common: &mut Common,
) -> (Expression, Vec<Diagnostic>) {
    let mut env = Env::new(SLOTS, Language::Kubernetes).with_version(version);
    for name in NOT_OF_EXCEPTIONS {
        env = env.without(name);
    }
    let mut compiler = Compiler {
        env,
        form: Form::Kubernetes,
        scope: Scope::of_exceptions(),
        common,
        reads: Vec::new(),
        diagnostics: Vec::new(),
        portability: Portability::Portable,
    };
    let (expression, _) = compiler.typed(fragment, Wanted::Bool);
    (expression, compiler.diagnostics)
}

/// Returns the declarations that the expressions of a policy see, without its own variables.
pub fn environment(policy: &Policy, version: KubernetesVersion) -> Env {
    let language = match policy.origin.form {
        Form::Cel => Language::Extended,
        Form::Kubernetes => Language::Kubernetes,
    };
    let mut env = Env::new(SLOTS, language).with_version(version);
    if policy.param_kind.is_none() {
        env = env.without("params");
    }
    if policy.origin.form == Form::Kubernetes {
        env = env.without("settings");
    }
    if policy.pods == PodMatching::Object {
        env = env.without("pod");
    }
    if policy.scope == PolicyScope::Cluster {
        for name in OF_REQUESTS {
            env = env.without_because(name, NO_REQUEST);
        }
    }
    env
}

struct Compiler<'c> {
    env: Env,
    form: Form,
    scope: Scope,
    common: &'c mut Common,
    reads: Vec<ReadKind>,
    diagnostics: Vec<Diagnostic>,
    portability: Portability,
}

impl Compiler<'_> {
    fn validations(&mut self, policy: &Policy) -> Vec<Validation> {
        policy
            .validations
            .iter()
            .map(|validation| Validation {
                expression: self.typed(&validation.expression, Wanted::Bool).0,
                message: validation.message.clone(),
                message_expression: validation
                    .message_expression
                    .as_ref()
                    .map(|expression| self.message(expression)),
                reason: validation.reason.unwrap_or_default(),
            })
            .collect()
    }

    /// Compiles the expression of a message, which cannot ask the authorizer (apiserver
    /// `plugin/policy/validating/plugin.go`, `compilePolicy`).
    fn message(&mut self, fragment: &Fragment) -> Expression {
        let env = self.env.clone();
        self.env = env
            .clone()
            .without("authorizer")
            .without("authorizer.requestResource");
        let (expression, _) = self.typed(fragment, Wanted::String);
        self.env = env;
        expression
    }

    /// Compiles an expression, and says what type it gives.
    fn typed(&mut self, fragment: &Fragment, wanted: Wanted) -> (Expression, Inferred) {
        let (program, result) = match self.program(&fragment.text, wanted) {
            Ok((program, result)) => (Ok(program), result),
            Err(issues) => return (self.refused(fragment, issues), Inferred::Dyn),
        };
        (
            Expression {
                text: self.shown(&fragment.text).into(),
                program,
            },
            result,
        )
    }

    /// An expression that is no program, and why.
    fn refused(&mut self, fragment: &Fragment, issues: Vec<Issue>) -> Expression {
        let problem = summary(&issues);
        self.diagnostics
            .extend(issues.into_iter().map(|issue| diagnostic(fragment, issue)));
        Expression {
            text: self.shown(&fragment.text).into(),
            program: Err(problem),
        }
    }

    /// An expression as messages show it: as it is, but for what separates the sections of a file.
    fn shown<'t>(&self, text: &'t str) -> &'t str {
        match self.form {
            Form::Kubernetes => text,
            Form::Cel => text.trim(),
        }
    }

    fn program(
        &mut self,
        text: &str,
        wanted: Wanted,
    ) -> Result<(Arc<Program>, Inferred), Vec<Issue>> {
        let known = self.common.known(self.scope, text);
        if let Some(known) = known.filter(|known| wanted.allows(&known.result)) {
            if known.portability == Portability::Extended {
                self.portability = Portability::Extended;
            }
            return Ok((known.program, known.result));
        }
        let checked = check::check(parse::parse(text)?, &self.env)?;
        if !wanted.allows(&checked.result) {
            let span = checked.ast.span(checked.ast.root());
            let message = format!(
                "must evaluate to {} but gives {}",
                wanted.name(),
                checked.result
            );
            return Err(vec![Issue::new(span, message).help(wanted.advice())]);
        }
        if checked.extension.is_some() {
            self.portability = Portability::Extended;
        }
        let undeclared = undeclared_reads(&checked, &self.reads);
        if !undeclared.is_empty() {
            return Err(undeclared);
        }
        let compiled = Compiled {
            program: Arc::new(plan::plan_in(&checked, &mut self.common.pool)?),
            result: checked.result,
            portability: match checked.extension {
                Some(_) => Portability::Extended,
                None => Portability::Portable,
            },
        };
        self.common.keep(self.scope, text, &compiled);
        Ok((compiled.program, compiled.result))
    }
}

/// Refuses a variable that reads another one which is declared again below it, or by itself: in
/// Kubernetes it reads the last one, and itself without end (apiserver `pkg/cel/lazy/lazy.go`).
fn reads_overwritten(policy: &Policy, at: usize, last: &LastOf<'_>) -> Option<Issue> {
    if last.is_empty() {
        return None;
    }
    let ast = parse::parse(&policy.variables.get(at)?.expression.text).ok()?;
    ast.nodes().iter().find_map(|node| match &node.expr {
        Expr::Select(select) | Expr::Has(select) | Expr::OptSelect(select)
            if is_variables(&ast, select.operand) =>
        {
            let (first, last) = last.get(select.field.as_str())?;
            let message = format!("`variables.{}` is declared again below", select.field);
            (*first < at && at <= *last)
                .then(|| Issue::new(node.span, message).help("give each variable its own name"))
        }
        _ => None,
    })
}

/// Names that are declared more than once, with the positions of the first and the last.
type LastOf<'p> = FxHashMap<&'p str, (usize, usize)>;

fn declared_again(policy: &Policy) -> LastOf<'_> {
    let mut positions = LastOf::default();
    for (at, variable) in policy.variables.iter().enumerate() {
        let position = positions.entry(&*variable.name).or_insert((at, at));
        position.1 = at;
    }
    positions.retain(|_, (first, last)| first != last);
    positions
}

fn is_variables(ast: &Ast, id: NodeId) -> bool {
    matches!(ast.expr(id), Expr::Ident(name) if name.trim_start_matches('.') == "variables")
}

/// Lookups of kinds that the policy does not declare: what a policy may see of the cluster is known
/// before it runs.
fn undeclared_reads(checked: &Checked, reads: &[ReadKind]) -> Vec<Issue> {
    let ast = &checked.ast;
    let text = |id: Option<&NodeId>| match id.map(|id| ast.expr(*id)) {
        Some(Expr::Literal(Literal::String(text))) => Some(text.as_str()),
        _ => None,
    };
    let lookups = ast.nodes().iter().filter_map(|node| match &node.expr {
        Expr::Call(call) if matches!(call.function.as_str(), "get" | "list") => {
            let namespace = ast.qualified_name(call.target?)?;
            (namespace.trim_start_matches('.') == "cluster").then_some((node.span, call))
        }
        _ => None,
    });
    lookups
        .filter_map(|(span, call)| {
            let (api_version, kind) = (text(call.arguments.first()), text(call.arguments.get(1)));
            let (Some(api_version), Some(kind)) = (api_version, kind) else {
                return Some(
                    Issue::new(span, "the kind that is looked up is not known beforehand")
                        .help("write apiVersion and kind as literals"),
                );
            };
            let is_declared = reads
                .iter()
                .any(|it| it.api_version == api_version && it.kind == kind);
            (!is_declared).then(|| {
                let message = format!("`{api_version}/{kind}` is not declared in `reads`");
                Issue::new(span, message).help(format!(
                    "add it to the front matter: `reads: [{api_version}/{kind}]`"
                ))
            })
        })
        .collect()
}

/// The type an expression must give; `dyn` is none of them, as upstream (apiserver
/// `plugin/cel/compile.go`, `CompileCELExpression`).
#[derive(Debug, Clone, Copy)]
enum Wanted {
    Anything,
    Bool,
    String,
    StringOrNull,
    Patches,
    Object,
}

impl Wanted {
    fn allows(self, result: &Inferred) -> bool {
        match self {
            Wanted::Anything => true,
            Wanted::Bool => *result == Inferred::Simple(Type::Bool),
            Wanted::String => *result == Inferred::Simple(Type::String),
            Wanted::StringOrNull => {
                Wanted::String.allows(result) || *result == Inferred::Simple(Type::Null)
            }
            Wanted::Patches => match result {
                Inferred::List(item) => is_message(item, "JSONPatch"),
                _ => false,
            },
            Wanted::Object => is_message(result, "Object"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Wanted::Anything => "a value",
            Wanted::Bool => "bool",
            Wanted::String => "string",
            Wanted::StringOrNull => "string or null",
            Wanted::Patches => "list(JSONPatch)",
            Wanted::Object => "Object",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Wanted::Bool => "compare it, as in `… == true`",
            Wanted::Patches => {
                "as in `[JSONPatch{op: 'replace', path: '/spec/replicas', value: 3}]`"
            }
            Wanted::Object => "as in `Object{spec: Object.spec{replicas: 3}}`",
            _ => "convert it with `string(…)`",
        }
    }
}

fn is_message(inferred: &Inferred, wanted: &str) -> bool {
    matches!(inferred, Inferred::Message(name) if **name == *wanted)
}

fn diagnostic(fragment: &Fragment, issue: Issue) -> Diagnostic {
    let diagnostic = Diagnostic::error("cel/compile", issue.message).within(fragment, issue.span);
    match issue.help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

/// One line for the one who only sees the verdict.
fn summary(issues: &[Issue]) -> String {
    let messages: Vec<&str> = issues.iter().map(|issue| issue.message.as_str()).collect();
    messages.join("; ")
}
