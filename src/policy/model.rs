//! The model of policies and bindings, as read and not yet compiled.
//!
//! Names and meaning are Kubernetes' own (`admissionregistration.k8s.io/v1`
//! ValidatingAdmissionPolicy, MutatingAdmissionPolicy and their bindings); a `.cel` file becomes a
//! policy with one binding. Everything that was written keeps its place in its source.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::policy::exceptions::PolicyException;
use crate::policy::places::Places;
use crate::text::{Fragment, Source, Span};

/// Everything read from a set of documents.
#[derive(Debug, Clone, Default)]
pub struct Documents {
    /// Policies, in the order read.
    pub policies: Vec<Policy>,
    /// Bindings, in the order read; those a `.cel` file implies included.
    pub bindings: Vec<Binding>,
    /// Other objects, which may be parameters of policies.
    pub params: Vec<ParamObject>,
    /// What is excused from policies, in the order read.
    pub exceptions: Vec<PolicyException>,
}

impl Documents {
    /// Forgets where the fields of policies and bindings are written; nothing can be said of them any
    /// more but where the whole is, and where each expression is.
    pub fn forget_places(&mut self) {
        for policy in &mut self.policies {
            policy.places = Places::default();
        }
        for binding in &mut self.bindings {
            binding.places = Places::default();
        }
    }

    /// Has all mutations made, as if they were switched on and none were on trial: for whoever asks what
    /// they make of an object. What only records a violation goes on to record it.
    pub fn make_mutations(&mut self) {
        for policy in &mut self.policies {
            policy.mutate = true;
        }
        for binding in &mut self.bindings {
            if binding.kind == PolicyKind::Mutating && binding.is_audited() {
                binding.validation_actions.clear();
            }
        }
    }
}

/// A validating or mutating policy.
#[derive(Debug, Clone)]
pub struct Policy {
    /// `metadata.name`, or `name` of the front matter, or the file's stem.
    pub name: String,
    /// What its expressions decide.
    pub kind: PolicyKind,
    /// Where it was read.
    pub origin: Origin,
    /// Where each of its fields was written.
    pub places: Places,
    /// Whether all that was written could be understood.
    pub reading: Reading,
    /// What people are told about it.
    pub about: About,
    /// What it is evaluated on.
    pub scope: PolicyScope,
    /// Which requests it applies to; `None` matches nothing, as upstream.
    pub match_constraints: Option<MatchResources>,
    /// All must hold for the policy to apply.
    pub match_conditions: Vec<MatchCondition>,
    /// Named expressions, computed when first read.
    pub variables: Vec<Variable>,
    /// What must hold; empty for a mutating policy.
    pub validations: Vec<Validation>,
    /// What is recorded with the request.
    pub audit_annotations: Vec<AuditAnnotation>,
    /// What is changed; empty for a validating policy.
    pub mutations: Vec<Mutation>,
    /// What an error of evaluation or configuration means.
    pub failure_policy: FailurePolicy,
    /// The kind of its parameters, if it takes any.
    pub param_kind: Option<ParamKind>,
    /// Typed constants of a `.cel` policy, read as `settings.NAME`; an object, may be empty.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// The kinds `cluster.get` and `cluster.list` may look up.
    pub reads: Vec<ReadKind>,
    /// Whether the expressions get the variable `pod`.
    pub pods: PodMatching,
    /// Whether a mutation may run again after later ones; mutating policies only.
    pub reinvocation_policy: ReinvocationPolicy,
    /// Whether a mutating policy from a `.cel` file is switched on (`mutate: true`). Policies from
    /// Kubernetes documents are on.
    pub mutate: bool,
}

/// What a policy's expressions decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyKind {
    /// Whether the request is admitted.
    Validating,
    /// How the object is changed.
    Mutating,
}

/// Whether all that was written in a document could be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reading {
    /// Everything was understood.
    #[default]
    Whole,
    /// Something was not and is missing from the model: the policy must not be enforced as it
    /// stands, it is a configuration error under its failure policy.
    Faulty,
}

/// What a policy is evaluated on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PolicyScope {
    /// On each request that it matches.
    #[default]
    Request,
    /// Once per audit scan and without an object (`scope: cluster`); never on a request.
    Cluster,
}

/// The form a policy was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A `.cel` file: our extensions of the language may be used.
    Cel,
    /// A Kubernetes document: the language is exactly Kubernetes'.
    Kubernetes,
}

/// Where something was read.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The text.
    pub source: Arc<Source>,
    /// The name of the policy, or else the whole document.
    pub span: Span,
    /// The form it was written in.
    pub form: Form,
}

/// What people are told about a policy.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// The leading comment of a `.cel` file, or the annotation `portcullis.dev/description`.
    pub description: String,
    /// How bad a violation is.
    pub severity: PolicySeverity,
    /// A group for reports: `high-availability`.
    pub category: Option<String>,
    /// Where the rule comes from: a guide and its section.
    pub source: Option<String>,
}

/// How bad a violation of a policy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum PolicySeverity {
    /// Worth knowing.
    Info,
    /// Should be mended some day.
    Low,
    /// Should be mended.
    #[default]
    Medium,
    /// Endangers production.
    High,
    /// Endangers production now.
    Critical,
}

impl PolicySeverity {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            PolicySeverity::Info => "info",
            PolicySeverity::Low => "low",
            PolicySeverity::Medium => "medium",
            PolicySeverity::High => "high",
            PolicySeverity::Critical => "critical",
        }
    }
}

/// Which requests a policy or binding applies to (`MatchResources`).
#[derive(Debug, Clone, Default)]
pub struct MatchResources {
    /// Applies if any of these matches; empty matches nothing for a policy, everything for a binding.
    pub resource_rules: Vec<NamedRule>,
    /// Does not apply if any of these matches.
    pub exclude_resource_rules: Vec<NamedRule>,
    /// Which namespaces; empty matches all.
    pub namespace_selector: LabelSelector,
    /// Which objects, by their labels; empty matches all.
    pub object_selector: LabelSelector,
    /// Whether other versions of a resource match too.
    pub match_policy: MatchPolicy,
}

/// A rule over resources (`NamedRuleWithOperations`).
#[derive(Debug, Clone, Default)]
pub struct NamedRule {
    /// Names of objects; empty matches all.
    pub resource_names: Vec<String>,
    /// Operations, `*` for all.
    pub operations: Vec<String>,
    /// API groups, `*` for all.
    pub api_groups: Vec<String>,
    /// API versions, `*` for all.
    pub api_versions: Vec<String>,
    /// `resource`, `resource/subresource`, `*`, `*/*`, `resource/*`, `*/subresource`.
    pub resources: Vec<String>,
    /// Which scope of resources.
    pub scope: Scope,
}

/// Scope of the resources a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// Both.
    #[default]
    All,
    /// Cluster-scoped resources and Namespaces.
    Cluster,
    /// Namespaced resources.
    Namespaced,
}

/// How a rule's versions are compared with the request's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MatchPolicy {
    /// Only the very version.
    Exact,
    /// Any version that serves the same resource.
    #[default]
    Equivalent,
}

/// A Kubernetes label selector.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// Labels that must have these values.
    pub match_labels: BTreeMap<String, String>,
    /// Further requirements.
    pub match_expressions: Vec<LabelRequirement>,
}

/// One requirement of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelRequirement {
    /// The label.
    pub key: String,
    /// How it is compared.
    pub operator: LabelOperator,
    /// With what; empty for `Exists` and `DoesNotExist`.
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelOperator {
    /// Present with one of the values.
    In,
    /// Absent, or present with another value.
    NotIn,
    /// Present.
    Exists,
    /// Absent.
    DoesNotExist,
}

/// A condition for a policy to apply.
#[derive(Debug, Clone)]
pub struct MatchCondition {
    /// Its name; for a `.cel` file the text behind `@when`.
    pub name: String,
    /// A boolean expression.
    pub expression: Fragment,
}

/// A named expression.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Read as `variables.NAME`.
    pub name: String,
    /// Where the name is written.
    pub name_span: Span,
    /// Its value.
    pub expression: Fragment,
}

/// Something that must hold.
#[derive(Debug, Clone)]
pub struct Validation {
    /// A boolean expression.
    pub expression: Fragment,
    /// What is said when it does not hold.
    pub message: Option<String>,
    /// An expression for a better message.
    pub message_expression: Option<Fragment>,
    /// The machine-readable reason; `None` is `Invalid`.
    pub reason: Option<Reason>,
}

/// The machine-readable reason of a denial, which decides its HTTP code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reason {
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 422
    #[default]
    Invalid,
    /// 413
    RequestEntityTooLarge,
}

/// Something that is recorded with the request.
#[derive(Debug, Clone)]
pub struct AuditAnnotation {
    /// The key, without the policy's name.
    pub key: String,
    /// A string, or null for nothing.
    pub value_expression: Fragment,
}

/// A change to the object.
#[derive(Debug, Clone)]
pub enum Mutation {
    /// An expression that gives a list of `JSONPatch`.
    JsonPatch(Fragment),
    /// An expression that gives an `Object` to merge.
    ApplyConfiguration(Fragment),
}

/// What an error means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailurePolicy {
    /// The request is rejected.
    #[default]
    Fail,
    /// The policy is passed over.
    Ignore,
}

/// Whether a mutation runs again when the object was changed after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReinvocationPolicy {
    /// At most once.
    #[default]
    Never,
    /// Again, if something changed the object since.
    IfNeeded,
}

/// Whether a policy is about pods and pod templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PodMatching {
    /// It is about the object as it is.
    #[default]
    Object,
    /// It matches pods and everything with a pod template, and reads `pod`.
    PodTemplates,
}

/// A kind of parameters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParamKind {
    /// `group/version`, or `version` for the core group.
    pub api_version: String,
    /// The kind.
    pub kind: String,
}

/// A kind a policy may look up, `group/version/Kind` (`v1/Kind` for the core group).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReadKind {
    /// `group/version`, or `version` for the core group.
    pub api_version: String,
    /// The kind.
    pub kind: String,
}

/// An object that may be a parameter.
#[derive(Debug, Clone)]
pub struct ParamObject {
    /// `apiVersion` and `kind`.
    pub kind: ParamKind,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`, empty for cluster-scoped ones.
    pub namespace: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// The whole object, without null fields, as the API server keeps it.
    pub object: Arc<serde_json::Value>,
    /// Where it was read.
    pub origin: Origin,
}

/// What puts a policy in force.
#[derive(Debug, Clone)]
pub struct Binding {
    /// `metadata.name`.
    pub name: String,
    /// Which kind of policy it binds.
    pub kind: PolicyKind,
    /// The policy it binds.
    pub policy_name: String,
    /// Where it was read.
    pub origin: Origin,
    /// Where each of its fields was written.
    pub places: Places,
    /// Whether all that was written could be understood.
    pub reading: Reading,
    /// Which parameters the policy gets.
    pub param_ref: Option<ParamRef>,
    /// Further limits on the requests; `None` adds none.
    pub match_resources: Option<MatchResources>,
    /// What a violation does; never empty for a validating binding. Of a mutating binding empty unless
    /// what it would change is only recorded.
    pub validation_actions: Vec<ValidationAction>,
    /// Who is told of what it only records.
    pub audience: Audience,
}

/// Who is told of what a binding only records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Audience {
    /// Those who read audit annotations, the decision log, metrics and reports, as upstream.
    #[default]
    Operators,
    /// The caller, too, by a warning: it is on trial, and will reject or patch one day.
    Callers,
}

impl Binding {
    /// Says whether it only records what its policy would do: whatever that is, nothing is rejected and
    /// nothing patched.
    pub fn is_audited(&self) -> bool {
        let has = |action| self.validation_actions.contains(&action);
        has(ValidationAction::Audit) && !has(ValidationAction::Deny)
    }

    /// Returns who is told, if it only records.
    pub fn audience(&self) -> Audience {
        match self.is_audited() {
            true => self.audience,
            false => Audience::Operators,
        }
    }
}

/// Which parameters a policy gets.
#[derive(Debug, Clone)]
pub struct ParamRef {
    /// One by name, or all that a selector matches.
    pub select: ParamSelect,
    /// The namespace to look in; `None` means the request's, for namespaced parameters.
    pub namespace: Option<String>,
    /// What to do if there are none.
    pub not_found: ParameterNotFoundAction,
}

/// How parameters are chosen.
#[derive(Debug, Clone)]
pub enum ParamSelect {
    /// The one of this name.
    Name(String),
    /// All with matching labels.
    Selector(LabelSelector),
}

/// What a binding does if its parameters do not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterNotFoundAction {
    /// The request is admitted.
    Allow,
    /// The policy's failure policy decides.
    Deny,
}

/// What a violation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ValidationAction {
    /// The request is rejected.
    Deny,
    /// The caller is warned.
    Warn,
    /// The violation is recorded with the request.
    Audit,
}
