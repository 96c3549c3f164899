//! `check --jsonl`: whole cases from standard input, one a line, each with its own policies.
//!
//! A case has `id`, `policies`, `bindings`, `params`, `namespaces`, `context` (other objects),
//! `request` (fields of an AdmissionRequest), `object` and `oldObject`, what the authorizer would say
//! (`authorizer`, with `rules` as a test has them), the `version` of Kubernetes that the policies
//! are written for, and `exceptions` with the time, `now`, and the namespace whose exceptions reach all
//! others, `policyNamespace`. It is decided as given, unless `defaults` is true: then built-in objects get what
//! the API server fills in. The answer has `id` and `allowed`, `message` as the API server words the
//! first denial, `warnings`, the policies' `auditAnnotations`, the violations that are recorded
//! (`validationFailure`), if there are mutating policies, the object as they leave it (`patched`), and with
//! `exceptions` the names of those that have excused something (`excused`); or `id` and `error`.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::path::Path;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::admission::resources::{CrdError, Provenance, Resources};
use crate::admission::review::{self, AdmissionRequest};
use crate::admission::{decode, defaults};
use crate::cel::value::Timestamp;
use crate::cel::value::access::Authorize;
use crate::cel::version::{KubernetesVersion, UnknownVersion};
use crate::cli::{Exit, note};
use crate::diagnostics::Diagnostic;
use crate::engine::authorizer::Rules;
use crate::engine::cluster::Objects;
use crate::engine::mutating::{self, Defaults, Mutating, Refusal};
use crate::engine::observer::Unwatched;
use crate::engine::respond::{self, Mode};
use crate::engine::verdict::{Decision, Verdict};
use crate::engine::{EngineError, Options, trial};
use crate::parallel;
use crate::policy::exceptions::settle_reach;
use crate::policy::model::{Documents, ValidationAction};
use crate::policy::read;
use crate::policy::set::PolicySet;
use crate::schema::{SchemaError, Schemas};
use crate::sources::files;
use crate::text::Source;
use crate::webhook::limits::cores;

/// Answers the cases on standard input, in their order.
pub(super) fn run() -> Exit {
    let input = match files::read(Path::new(files::STDIN), files::MAX_MANIFEST_BYTES) {
        Ok(input) => input,
        Err(problem) => {
            note(&format!("error: {}", problem.message));
            return Exit::Unusable;
        }
    };
    let lines: Vec<&str> = input
        .text()
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let answers = parallel::map(&lines, cores(), |line| answer(line));
    let is_unusable = answers.iter().any(|answer| answer.get("error").is_some());
    let is_denied = answers
        .iter()
        .any(|answer| answer["allowed"] == Value::Bool(false));
    let text: String = answers.iter().map(|answer| format!("{answer}\n")).collect();
    crate::cli::print(&text);
    match (is_unusable, is_denied) {
        (true, _) => Exit::Unusable,
        (false, true) => Exit::Found,
        (false, false) => Exit::Clean,
    }
}

fn answer(line: &str) -> Value {
    let case: Value = match serde_json::from_str(line) {
        Ok(case) => case,
        Err(error) => return json!({ "id": null, "error": format!("not JSON: {error}") }),
    };
    let id = case.get("id").cloned().unwrap_or_default();
    decide(&case).unwrap_or_else(|problem| json!({ "id": id, "error": problem }))
}

fn decide(case: &Value) -> Result<Value, String> {
    let set = policies(case)?;
    let around = ["namespaces", "context"]
        .into_iter()
        .flat_map(|key| items(case, key));
    let around: Vec<Value> = around.cloned().collect();
    let mut resources = Resources::default();
    for object in &around {
        // Everything that is no definition defines nothing.
        let _: Result<(), CrdError> = resources.define(object);
    }
    let body = body(case, &resources)?;
    let request = review::parse(body.as_bytes()).map_err(|error| error.to_string())?;
    let cluster = Objects::new(around.clone());
    let schemas = OnceCell::new();
    let rules = match case.pointer("/authorizer/rules") {
        Some(rules) => {
            Rules::read(rules).map_err(|error| format!("`authorizer.rules`: {error}"))?
        }
        None => Rules::default(),
    };
    let user = case.pointer("/request/userInfo/username");
    let asked = rules.for_user(user.and_then(Value::as_str).unwrap_or_default());
    let options = Options {
        resources: &resources,
        authorizer: case.get("authorizer").map(|_| &asked as &dyn Authorize),
        now: time(case)?,
        ..Options::new(&cluster)
    };
    let problem = |error: EngineError| error.to_string();
    let is_defaulted = case.get("defaults") == Some(&Value::Bool(true));
    let mutating = Mutating {
        schemas: &|| schemas.get_or_init(|| schemas_of(&around)),
        defaults: match is_defaulted {
            true => Defaults::Applied,
            false => Defaults::Omitted,
        },
    };
    let mutated = mutating::mutate(&set, &request, options, mutating).map_err(problem)?;
    if mutated.is_denied() {
        let message = match &mutated.refusal {
            Some(Refusal::Internal(message)) => Some(format!("Internal error occurred: {message}")),
            Some(Refusal::Unavailable(message)) => Some(message.clone()),
            None => mutated
                .verdict
                .decisions
                .first()
                .map(Decision::upstream_message),
        };
        let answer = json!({
            "id": case.get("id"), "allowed": false, "message": message, "warnings": [],
            "auditAnnotations": {}, "validationFailure": null, "patched": null,
        });
        return Ok(with_excused(case, answer, &[&mutated.verdict]));
    }
    let changed = match &mutated.object {
        Some(object) => {
            Some(RawValue::from_string(object.to_string()).map_err(|it| it.to_string())?)
        }
        None => None,
    };
    let request = AdmissionRequest {
        object: changed.as_deref().or(request.object),
        ..request
    };
    let how = (Mode::Enforce, mutating);
    let verdict = trial::validate(&set, &request, options, how, &mut Unwatched).map_err(problem)?;
    let answer = json!({
        "id": case.get("id"),
        "allowed": !verdict.is_denied(),
        "message": message(&verdict, &request),
        "warnings": respond::warnings(&verdict, Mode::Enforce),
        "auditAnnotations": audit_annotations(&verdict),
        "validationFailure": validation_failure(&verdict),
        "patched": match set.mutating().is_empty() {
            true => None,
            false => request.object,
        },
    });
    Ok(with_excused(case, answer, &[&mutated.verdict, &verdict]))
}

/// The time that exceptions are applied at; a case that gives some has to say it, because they end.
fn time(case: &Value) -> Result<Option<Timestamp>, String> {
    match case.get("now") {
        None | Some(Value::Null) if items(case, "exceptions").next().is_some() => {
            Err("`exceptions` need a time, because they end: give `now`".to_owned())
        }
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => match crate::cli::time(text) {
            Ok(time) => Ok(Some(time)),
            Err(problem) => Err(format!("`now`: {problem}")),
        },
        Some(_) => Err("`now` is no string".to_owned()),
    }
}

/// Adds which exceptions have excused something, if the case has some.
fn with_excused(case: &Value, mut answer: Value, verdicts: &[&Verdict]) -> Value {
    if let (Some(fields), Some(_)) = (answer.as_object_mut(), case.get("exceptions")) {
        let excused = verdicts.iter().flat_map(|it| &it.excused);
        let names: BTreeSet<String> = excused
            .map(|it| it.exception.exception.full_name())
            .collect();
        fields.insert("excused".to_owned(), json!(names));
    }
    answer
}

/// The schemas of Kubernetes' kinds and of the definitions in a case.
fn schemas_of(around: &[Value]) -> Schemas {
    let mut schemas = Schemas::built_in_shared().clone();
    for object in around {
        // Everything that is no definition defines nothing.
        let _: Result<(), SchemaError> = schemas.define(object);
    }
    schemas
}

/// The annotations that policies make.
fn audit_annotations(verdict: &Verdict) -> Map<String, Value> {
    let own = verdict.audit_annotations.iter();
    own.map(|(key, value)| (key.clone(), value.as_str().into()))
        .collect()
}

/// The annotation that the API server's own plugin makes of the violations that are recorded: it has
/// room for the first one.
fn validation_failure(verdict: &Verdict) -> Option<String> {
    let mut decisions = verdict.decisions.iter();
    let first = decisions.find(|it| it.actions.contains(&ValidationAction::Audit))?;
    Some(go_escaped(&respond::failures(&[first])))
}

/// Escapes what Go escapes in JSON so that it can stand in HTML.
fn go_escaped(json: &str) -> String {
    let escaped = json.replace('<', "\\u003c").replace('>', "\\u003e");
    escaped.replace('&', "\\u0026")
}

fn items<'c>(case: &'c Value, key: &str) -> impl Iterator<Item = &'c Value> {
    case.get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// Reads the policies as one stream of documents. Those that are not valid are in the set as
/// configuration errors, as they would be in a cluster that has them.
fn policies(case: &Value) -> Result<PolicySet, String> {
    let keys = ["policies", "bindings", "params", "exceptions"];
    let documents = keys.into_iter().flat_map(|key| items(case, key));
    let text: Vec<String> = documents.map(Value::to_string).collect();
    let source = Source::new("case.yaml", text.join("\n---\n"));
    let (mut documents, _): (Documents, Vec<Diagnostic>) = read::read(&source);
    let policy_namespace = case.get("policyNamespace").and_then(Value::as_str);
    settle_reach(&mut documents, policy_namespace);
    let version = match case.get("version") {
        None | Some(Value::Null) => KubernetesVersion::default(),
        Some(Value::String(text)) => text
            .parse()
            .map_err(|unknown: UnknownVersion| unknown.to_string())?,
        Some(_) => return Err("`version` is no string".to_owned()),
    };
    Ok(PolicySet::build(documents, version, &PolicySet::default(), |_| false).set)
}

/// Returns the AdmissionReview of a case.
fn body(case: &Value, resources: &Resources) -> Result<String, String> {
    let mut request = match case.get("request") {
        Some(Value::Object(request)) => request.clone(),
        _ => return Err("`request` is missing or no object".to_owned()),
    };
    request.entry("uid").or_insert_with(|| "case".into());
    for key in ["object", "oldObject"] {
        let own = case.get(key).or_else(|| request.get(key));
        if let Some(object) = own {
            let mut object = object.clone();
            if let (Value::Object(fields), Some(Value::Bool(true))) =
                (&mut object, case.get("defaults"))
            {
                fill_in(fields, resources);
            }
            request.insert(key.to_owned(), object);
        }
    }
    let review = json!({
        "kind": review::KIND, "apiVersion": review::API_VERSION, "request": request,
    });
    Ok(review.to_string())
}

/// Brings an object into the form that the API server gives it.
fn fill_in(fields: &mut Map<String, Value>, resources: &Resources) {
    let text = |key| fields.get(key).and_then(Value::as_str).unwrap_or_default();
    let resource = resources.by_kind(text("apiVersion"), text("kind"));
    match resource.provenance {
        Provenance::BuiltIn => decode::built_in(fields),
        _ => decode::custom(fields),
    }
    defaults::apply(fields);
}

/// Returns the text of the first denial as the API server's own plugin gives it to the client.
///
/// Semantics: apiserver `pkg/admission/errors.go`, `NewForbidden`.
fn message(verdict: &Verdict, request: &AdmissionRequest<'_>) -> Option<String> {
    let first = verdict
        .decisions
        .iter()
        .find(|decision| Decision::is_denial(decision))?;
    let resource = match &*request.resource.group {
        "" => request.resource.resource.to_string(),
        group => format!("{}.{group}", request.resource.resource),
    };
    let name = if request.name.is_empty() {
        generated_name(request)
    } else {
        request.name.to_string()
    };
    Some(format!(
        "{resource} \"{name}\" is forbidden: {}",
        first.upstream_message()
    ))
}

fn generated_name(request: &AdmissionRequest<'_>) -> String {
    let object: Value = request
        .object
        .and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default();
    let text = |key| {
        let text = object
            .get("metadata")
            .and_then(|metadata| metadata.get(key)?.as_str());
        text.filter(|text: &&str| !text.is_empty())
    };
    text("name")
        .or(text("generateName"))
        .unwrap_or("Unknown")
        .to_owned()
}
