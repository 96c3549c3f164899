//! Asking what a user may do (apiserver `pkg/cel/library/authz.go`).

use super::super::error::Result;
use super::super::function::{Body, Call, Cost, Function, Overload, cost};
use super::super::types::Type;
use super::super::value::Value;
use super::super::value::access::{Access, ResourceCheck, Subject};
use super::{no_such_overload, static_cost};

/// Kubernetes has the authorizer since 1.27.
const SINCE: u8 = 27;

/// The selectors came later, behind the feature gate `AuthorizeWithSelectors`: on by default since 1.32.
///
/// DIVERGES: `selectors-before-1.31`.
const SINCE_SELECTORS: u8 = 31;

/// The type of the variable `authorizer`.
pub const AUTHORIZER: Type = Type::Opaque("kubernetes.authorization.Authorizer");

/// The type of the variable `authorizer.requestResource`.
pub const RESOURCE_CHECK: Type = Type::Opaque("kubernetes.authorization.ResourceCheck");

const PATH_CHECK: Type = Type::Opaque("kubernetes.authorization.PathCheck");
const GROUP_CHECK: Type = Type::Opaque("kubernetes.authorization.GroupCheck");
const DECISION: Type = Type::Opaque("kubernetes.authorization.Decision");

/// The functions of this library.
pub(super) const FUNCTIONS: &[Function] = &[
    declared(
        "path",
        "Asks about a URL path.",
        &[asking(
            "authorizer_path",
            &[AUTHORIZER, Type::String],
            PATH_CHECK,
            path,
            cost::one,
        )],
        &[
            ("authorizer.path('/healthz').check('get').allowed()", "true"),
            (
                "authorizer.path('').check('get').allowed()",
                "error: path must not be empty",
            ),
        ],
    ),
    declared(
        "group",
        "Asks about an API group.",
        &[asking(
            "authorizer_group",
            &[AUTHORIZER, Type::String],
            GROUP_CHECK,
            group,
            cost::one,
        )],
        &[(
            "authorizer.group('apps').resource('deployments').check('get').allowed()",
            "true",
        )],
    ),
    declared(
        "serviceAccount",
        "Asks for a service account, by namespace and name, instead of the user.",
        &[asking(
            "authorizer_serviceaccount",
            &[AUTHORIZER, Type::String, Type::String],
            AUTHORIZER,
            service_account,
            cost::one,
        )],
        &[
            (
                "authorizer.serviceAccount('shop', 'web').path('/healthz').check('get').allowed()",
                "false",
            ),
            (
                "authorizer.serviceAccount('Shop', 'web').path('/healthz').check('get').allowed()",
                "error: Invalid service account namespace",
            ),
        ],
    ),
    declared(
        "resource",
        "Asks about a resource of an API group.",
        &[asking(
            "groupcheck_resource",
            &[GROUP_CHECK, Type::String],
            RESOURCE_CHECK,
            resource,
            cost::one,
        )],
        &[
            (
                "authorizer.group('').resource('pods').check('create').allowed()",
                "false",
            ),
            (
                "authorizer.group('').resource(' ').check('get').allowed()",
                "error: resource must not be empty",
            ),
        ],
    ),
    declared(
        "subresource",
        "Narrows the question to a subresource.",
        &[narrowing(
            "resourcecheck_subresource",
            subresource,
            cost::one,
        )],
        &[(
            "authorizer.group('').resource('pods').subresource('log').check('get').allowed()",
            "true",
        )],
    ),
    declared(
        "namespace",
        "Narrows the question to a namespace.",
        &[narrowing("resourcecheck_namespace", namespace, cost::one)],
        &[(
            "authorizer.group('').resource('pods').namespace('shop').check('list').allowed()",
            "true",
        )],
    ),
    declared(
        "name",
        "Narrows the question to an object's name.",
        &[narrowing("resourcecheck_name", name, cost::one)],
        &[(
            "authorizer.group('').resource('pods').namespace('shop').name('web').check('delete').allowed()",
            "false",
        )],
    ),
    declared(
        "fieldSelector",
        "Narrows the question to objects with matching fields.",
        &[
            narrowing("authorizer_fieldselector", field_selector, selector_cost)
                .estimated(static_cost::selector)
                .since(SINCE_SELECTORS),
        ],
        &[(
            "authorizer.group('').resource('pods').fieldSelector('spec.nodeName=a').check('list').allowed()",
            "true",
        )],
    ),
    declared(
        "labelSelector",
        "Narrows the question to objects with matching labels.",
        &[
            narrowing("authorizer_labelselector", label_selector, selector_cost)
                .estimated(static_cost::selector)
                .since(SINCE_SELECTORS),
        ],
        &[(
            "authorizer.group('').resource('pods').labelSelector('app=web').check('watch').allowed()",
            "true",
        )],
    ),
    declared(
        "check",
        "Answers whether the verb is allowed.",
        &[
            asking(
                "pathcheck_check",
                &[PATH_CHECK, Type::String],
                DECISION,
                check,
                check_cost,
            )
            .estimated(static_cost::check),
            asking(
                "resourcecheck_check",
                &[RESOURCE_CHECK, Type::String],
                DECISION,
                check,
                check_cost,
            )
            .estimated(static_cost::check),
        ],
        &[
            (
                "authorizer.group('').resource('pods').check('get').allowed()",
                "true",
            ),
            (
                "authorizer.path('/healthz').check('post').allowed()",
                "false",
            ),
        ],
    ),
    declared(
        "allowed",
        "Says whether the answer is yes.",
        &[asking(
            "decision_allowed",
            &[DECISION],
            Type::Bool,
            allowed,
            cost::one,
        )],
        &[(
            "authorizer.group('').resource('secrets').check('delete').allowed()",
            "false",
        )],
    ),
    declared(
        "errored",
        "Says whether the question could not be answered.",
        &[asking(
            "decision_errored",
            &[DECISION],
            Type::Bool,
            errored,
            cost::one,
        )],
        &[(
            "authorizer.group('').resource('secrets').check('delete').errored()",
            "false",
        )],
    ),
    declared(
        "error",
        "Returns what went wrong, or an empty string.",
        &[asking(
            "decision_error",
            &[DECISION],
            Type::String,
            error,
            cost::one,
        )],
        &[(
            "authorizer.group('').resource('secrets').check('delete').error()",
            "''",
        )],
    ),
    declared(
        "reason",
        "Returns why, if that was said.",
        &[asking(
            "decision_reason",
            &[DECISION],
            Type::String,
            reason,
            cost::one,
        )],
        &[(
            "authorizer.group('').resource('secrets').check('delete').reason()",
            "'may only read'",
        )],
    ),
];

/// Who asks in the examples; nobody else may do anything.
pub const EXAMPLES_ARE_FOR: &str = "for a user who may get, list and watch";

/// Says whether the examples of a function depend on who asks.
pub fn asks(function: &Function) -> bool {
    FUNCTIONS.iter().any(|asking| asking.name == function.name)
}

const fn declared(
    name: &'static str,
    doc: &'static str,
    overloads: &'static [Overload],
    examples: &'static [(&'static str, &'static str)],
) -> Function {
    Function {
        name,
        doc,
        overloads,
        examples,
    }
}

const fn asking(
    id: &'static str,
    params: &'static [Type],
    result: Type,
    body: Body,
    cost: Cost,
) -> Overload {
    super::member(id, params, result, body, cost).since(SINCE)
}

const fn narrowing(id: &'static str, body: Body, cost: Cost) -> Overload {
    asking(
        id,
        &[RESOURCE_CHECK, Type::String],
        RESOURCE_CHECK,
        body,
        cost,
    )
}

/// apiserver `pkg/cel/library/cost.go`: room for two checks in an expression.
fn check_cost(_: &[Value<'_>], _: Option<&Value<'_>>) -> u64 {
    350_000
}

/// apiserver `pkg/cel/library/cost.go`, `selectorCostEstimate`: a list, a traversal, and a list and a
/// structure for every second character.
fn selector_cost(arguments: &[Value<'_>], _: Option<&Value<'_>>) -> u64 {
    let length = cost::size_at(arguments, 1);
    10 + cost::scaled(length, cost::TRAVERSAL) + cost::scaled(length, 0.5).saturating_mul(50)
}

fn give<'a>(call: &Call<'a>, access: Access<'a>) -> Result<'a> {
    Ok(Value::Access(call.arena.alloc(access)))
}

fn path<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [
            Value::Access(Access::Authorizer(subject)),
            Value::String(path),
        ] => {
            if path.trim().is_empty() {
                return Err(call.fault("path must not be empty"));
            }
            give(call, Access::Path(*subject, path))
        }
        _ => no_such_overload(call),
    }
}

fn group<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [
            Value::Access(Access::Authorizer(subject)),
            Value::String(group),
        ] => give(call, Access::Group(*subject, group)),
        _ => no_such_overload(call),
    }
}

fn service_account<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [
            Value::Access(Access::Authorizer(_)),
            Value::String(namespace),
            Value::String(name),
        ] => {
            if !is_subdomain(name) {
                return Err(call.fault("Invalid service account name"));
            }
            if !is_label(namespace) {
                return Err(call.fault("Invalid service account namespace"));
            }
            give(
                call,
                Access::Authorizer(Subject::ServiceAccount { namespace, name }),
            )
        }
        _ => no_such_overload(call),
    }
}

/// apimachinery `pkg/util/validation`, `IsDNS1123Subdomain`.
fn is_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_part)
}

/// apimachinery `pkg/util/validation`, `IsDNS1123Label`.
fn is_label(name: &str) -> bool {
    name.len() <= 63 && is_part(name)
}

fn is_part(part: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !part.is_empty() && part.bytes().all(is_inner) && !part.starts_with('-') && !part.ends_with('-')
}

fn resource<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [
            Value::Access(Access::Group(subject, group)),
            Value::String(resource),
        ] => {
            if resource.trim().is_empty() {
                return Err(call.fault("resource must not be empty"));
            }
            give(
                call,
                Access::Resource(ResourceCheck {
                    subject: *subject,
                    group,
                    resource,
                    subresource: "",
                    namespace: "",
                    name: "",
                    field_selector: "",
                    label_selector: "",
                }),
            )
        }
        _ => no_such_overload(call),
    }
}

fn narrow<'a>(
    call: &Call<'a>,
    arguments: &[Value<'a>],
    set: impl FnOnce(&mut ResourceCheck<'a>, &'a str),
) -> Result<'a> {
    match arguments {
        [Value::Access(Access::Resource(check)), Value::String(text)] => {
            let mut check = *check;
            set(&mut check, text);
            give(call, Access::Resource(check))
        }
        _ => no_such_overload(call),
    }
}

fn subresource<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    narrow(call, arguments, |check, text| check.subresource = text)
}

fn namespace<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    narrow(call, arguments, |check, text| check.namespace = text)
}

fn name<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    narrow(call, arguments, |check, text| check.name = text)
}

fn field_selector<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    narrow(call, arguments, |check, text| check.field_selector = text)
}

fn label_selector<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    narrow(call, arguments, |check, text| check.label_selector = text)
}

fn check<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match (arguments, call.authorizer) {
        ([Value::Access(question), Value::String(verb)], Some(authorizer)) => give(
            call,
            Access::Decision(authorizer.authorize(call.arena, **question, verb)),
        ),
        ([_, _], None) => Err(call.fault("there is no authorizer to ask")),
        _ => no_such_overload(call),
    }
}

fn decided<'a>(
    call: &Call<'a>,
    arguments: &[Value<'a>],
    read: impl FnOnce(&super::super::value::access::Decision<'a>) -> Value<'a>,
) -> Result<'a> {
    match arguments {
        [Value::Access(Access::Decision(decision))] => Ok(read(decision)),
        _ => no_such_overload(call),
    }
}

fn allowed<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    decided(call, arguments, |decision| Value::Bool(decision.allowed))
}

fn errored<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    decided(call, arguments, |decision| {
        Value::Bool(!decision.error.is_empty())
    })
}

fn error<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    decided(call, arguments, |decision| Value::String(decision.error))
}

fn reason<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    decided(call, arguments, |decision| Value::String(decision.reason))
}
