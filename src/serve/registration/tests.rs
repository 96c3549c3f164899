//! What the configurations ask for, and that they are never in the way, whatever the policies say.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::guards::{conditions, holes, prove};
use super::*;
use crate::admission::review;
use crate::cel::version::KubernetesVersion;
use crate::engine::cluster::Objects;
use crate::engine::{self, Options, mutating};
use crate::policy::set::PolicySet;
use crate::schema::Schemas;
use crate::sources;
use crate::text::Source;

fn set(files: &[(&str, String)]) -> PolicySet {
    let sources: Vec<_> = files
        .iter()
        .map(|(name, text)| Source::new(*name, text.as_str()))
        .collect();
    let (documents, findings) = sources::documents(&sources);
    assert!(findings.is_empty(), "{findings:?}");
    PolicySet::build(
        documents,
        KubernetesVersion::default(),
        &PolicySet::default(),
        |_| false,
    )
    .set
}

/// A policy for these rules; its rules may be such that upstream would refuse them.
fn policy(name: &str, failure_policy: &str, rules: &Value) -> String {
    let document = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": name},
            "spec": spec,
        })
        .to_string()
    };
    let policy = json!({
        "failurePolicy": failure_policy,
        "matchConstraints": {"resourceRules": rules},
        "validations": [{"expression": "true"}],
    });
    let binding = json!({"policyName": name, "validationActions": ["Deny"]});
    let policy = document("ValidatingAdmissionPolicy", policy);
    let binding = document("ValidatingAdmissionPolicyBinding", binding);
    format!("{policy}\n---\n{binding}\n")
}

pub(super) fn place() -> Place {
    Place {
        name: "portcullis".to_owned(),
        namespace: Some("policy".to_owned()),
        target: Target::Service(ObjectName {
            namespace: "policy".to_owned(),
            name: "portcullis".to_owned(),
        }),
        mode: Mode::Enforce,
        policy_namespace: Some("rules".to_owned()),
        role_namespaces: BTreeSet::from(["rules".to_owned(), "team".to_owned()]),
        excluded_namespaces: BTreeSet::new(),
        timeout_seconds: TIMEOUT_SECONDS,
    }
}

fn rule(operations: &[&str], groups: &[&str], resources: &[&str]) -> Value {
    json!({"operations": operations, "apiGroups": groups, "apiVersions": ["v1"], "resources": resources})
}

/// Each webhook's rules, a line for each.
fn rules(configuration: &Value) -> Vec<String> {
    let webhooks = configuration["webhooks"].as_array().unwrap().iter();
    let lines = webhooks.flat_map(|webhook| {
        webhook["rules"].as_array().unwrap().iter().map(|rule| {
            let words = |key: &str| {
                let words = rule[key].as_array().unwrap().iter();
                words
                    .map(|it| it.as_str().unwrap())
                    .collect::<Vec<_>>()
                    .join(",")
            };
            format!(
                "{} {} {}/{}/{} {}",
                webhook["clientConfig"]["service"]["path"].as_str().unwrap(),
                words("operations"),
                words("apiGroups"),
                words("apiVersions"),
                words("resources"),
                rule["scope"].as_str().unwrap(),
            )
        })
    });
    lines.collect()
}

#[test]
fn rules_are_those_of_the_policies_put_together() {
    let apps = rule(&["CREATE", "UPDATE"], &["apps"], &["deployments"]);
    for (name, written, expected) in [
        (
            "one",
            json!([apps]),
            &["/validate CREATE,UPDATE apps/v1/deployments *"][..],
        ),
        (
            "resources are listed together",
            json!([
                apps,
                rule(&["UPDATE", "CREATE"], &["apps"], &["statefulsets"])
            ]),
            &["/validate CREATE,UPDATE apps/v1/deployments,statefulsets *"],
        ),
        (
            "groups are listed together",
            json!([
                apps,
                rule(&["CREATE", "UPDATE"], &["extensions"], &["deployments"])
            ]),
            &["/validate CREATE,UPDATE apps,extensions/v1/deployments *"],
        ),
        (
            "operations are not mixed",
            json!([apps, rule(&["DELETE"], &["apps"], &["statefulsets"])]),
            &[
                "/validate CREATE,UPDATE apps/v1/deployments *",
                "/validate DELETE apps/v1/statefulsets *",
            ],
        ),
        (
            "all operations are a wildcard",
            json!([
                apps,
                rule(&["DELETE", "CONNECT"], &["apps"], &["deployments"])
            ]),
            &["/validate * apps/v1/deployments *"],
        ),
        (
            "what a wildcard says too is left out",
            json!([apps, rule(&["CREATE"], &["apps"], &["*"])]),
            &[
                "/validate CREATE apps/v1/* *",
                "/validate UPDATE apps/v1/deployments *",
            ],
        ),
        (
            "subresources are a wildcard's of their own",
            json!([
                rule(&["CREATE"], &[""], &["pods", "pods/*"]),
                rule(&["CREATE"], &[""], &["services"])
            ]),
            &[
                "/validate CREATE /v1/pods/* *",
                "/validate CREATE /v1/services *",
            ],
        ),
        (
            "what is never called for is left out",
            json!([rule(
                &["CREATE"],
                &[""],
                &["pods", "nodes", "nodes/status", "events"]
            )]),
            &["/validate CREATE /v1/pods *"],
        ),
        (
            "nothing else",
            json!([rule(&["*"], &["coordination.k8s.io"], &["leases"])]),
            &[],
        ),
    ] {
        let set = set(&[("a.yaml", policy("a", "Fail", &written))]);
        let [validating, mutating] = Demand::of(&set).configurations(&place(), None);
        assert_eq!(rules(&validating), expected, "{name}");
        assert_eq!(mutating["webhooks"], json!([]), "{name}");
    }
}

#[test]
fn policies_that_change_objects_are_not_asked_about_deletions() {
    let change = "// ---\n// match: {resources: [v1/pods], operations: ['*']}\n// mutate: true\n// \
                  ---\n// @patch\n[]\n";
    let set = set(&[("a.cel", change.to_owned())]);
    let [_, mutating] = Demand::of(&set).configurations(&place(), None);
    assert_eq!(
        mutating["webhooks"][0]["rules"][0]["operations"],
        json!(["CONNECT", "CREATE", "UPDATE"])
    );
}

#[test]
fn each_failure_policy_is_one_entry_with_its_path() {
    let pods = json!([rule(&["CREATE"], &[""], &["pods"])]);
    let mutation = "// ---\n// match: {resources: [apps/v1/deployments]}\n// mutate: true\n\
                    // reinvocationPolicy: IfNeeded\n// ---\n// @patch\n[]\n";
    let set = set(&[
        ("a.yaml", policy("a", "Fail", &pods)),
        ("b.yaml", policy("b", "Ignore", &pods)),
        ("c.yaml", policy("c", "Fail", &pods)),
        ("d.cel", mutation.to_owned()),
    ]);
    let demand = Demand::of(&set);
    let [validating, mutating] = demand.configurations(&place(), Some("CA"));
    let shown = |configuration: &Value| {
        let webhooks = configuration["webhooks"].as_array().unwrap().iter();
        let shown = webhooks.map(|it| {
            let service = &it["clientConfig"]["service"];
            format!(
                "{} {} {} {}",
                it["name"], service["path"], it["failurePolicy"], it["reinvocationPolicy"]
            )
        });
        shown.collect::<Vec<_>>().join("\n").replace('"', "")
    };
    assert_eq!(
        shown(&validating),
        "validate.portcullis.dev /validate Fail null\n\
         validate-ignore.portcullis.dev /validate/ignore Ignore null"
    );
    assert_eq!(
        shown(&mutating),
        "mutate.portcullis.dev /mutate Fail IfNeeded"
    );
    let webhook = &validating["webhooks"][0];
    assert_eq!(webhook["clientConfig"]["caBundle"], "Q0E=");
    assert_eq!(webhook["matchPolicy"], "Equivalent");
    assert_eq!(webhook["sideEffects"], "None");
    assert_eq!(webhook["admissionReviewVersions"], json!(["v1"]));
    let audit = Place {
        mode: Mode::Audit,
        target: Target::Url("https://example.org:1/".to_owned()),
        ..place()
    };
    let [validating, _] = demand.configurations(&audit, None);
    assert_eq!(validating["webhooks"][0]["failurePolicy"], "Ignore");
    assert_eq!(
        validating["webhooks"][0]["clientConfig"],
        json!({"url": "https://example.org:1/validate"})
    );
}

/// A policy of Kubernetes about deployments, with a binding for each of these actions.
fn bound(actions: &[&str]) -> String {
    let rules = json!([rule(&["CREATE"], &["apps"], &["deployments"])]);
    let mut text = policy("bound", "Fail", &rules);
    text.truncate(text.find("---").unwrap());
    for (at, actions) in actions.iter().enumerate() {
        text.push_str(&format!(
            "---\napiVersion: admissionregistration.k8s.io/v1\nkind: \
             ValidatingAdmissionPolicyBinding\nmetadata: {{name: b{at}}}\nspec: {{policyName: bound, \
             validationActions: {actions}}}\n"
        ));
    }
    text
}

fn cel(front_matter: &str) -> String {
    format!(
        "// ---\n// match: {{resources: [apps/v1/deployments]}}\n{front_matter}// ---\n\
         // @require no\nfalse\n// @patch\n[JSONPatch{{op: 'add', path: '/spec/replicas', value: 7}}]\n"
    )
}

/// The paths that API servers call for a policy, and those under which anything is decided.
fn asked_and_decided(file: &str, text: &str) -> (Vec<&'static str>, Vec<&'static str>) {
    let set = set(&[(file, text.to_owned())]);
    let configurations = Demand::of(&set).configurations(&place(), None);
    let text = json!(configurations).to_string();
    let called = |endpoint: &Endpoint| text.contains(&format!("\"path\":\"{}\"", endpoint.path()));
    let asked = Endpoint::ALL.into_iter().filter(called);
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 1},
    });
    let kind = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
    let resource = json!({"group": "apps", "version": "v1", "resource": "deployments"});
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {"uid": "u", "kind": kind, "resource": resource, "operation": "CREATE",
            "object": object},
    })
    .to_string();
    let request = review::parse(review.as_bytes()).unwrap();
    let cluster = Objects::default();
    let decided = |endpoint: &Endpoint| {
        let options = Options {
            select: engine::Select::Only(endpoint.failure_policy),
            ..Options::new(&cluster)
        };
        let matched = match endpoint.phase {
            Phase::Validate => engine::validate(&set, &request, options).unwrap().matched,
            Phase::Mutate => {
                let how = mutating::Mutating {
                    schemas: &Schemas::built_in_shared,
                    defaults: mutating::Defaults::Applied,
                };
                let mutated = mutating::mutate(&set, &request, options, how).unwrap();
                mutated.verdict.matched
            }
        };
        matched > 0
    };
    let decided = Endpoint::ALL.into_iter().filter(decided);
    (
        asked.map(Endpoint::path).collect(),
        decided.map(Endpoint::path).collect(),
    )
}

#[test]
fn what_only_records_rejects_nothing_when_nobody_answers() {
    let (fail, ignore) = (&["/validate"][..], &["/validate/ignore"][..]);
    let both = &["/validate", "/mutate"][..];
    let both_ignored = &["/validate/ignore", "/mutate/ignore"][..];
    for (file, text, expected) in [
        ("deny.yaml", bound(&["[Deny]"]), fail),
        ("audit.yaml", bound(&["[Audit]"]), ignore),
        ("audits.yaml", bound(&["[Audit]", "[Warn, Audit]"]), ignore),
        ("one-denies.yaml", bound(&["[Audit]", "[Deny]"]), fail),
        ("both.yaml", bound(&["[Deny, Audit]"]), fail),
        ("warn.yaml", bound(&["[Warn]"]), fail),
        ("deny.cel", cel("// mutate: true\n"), both),
        ("off.cel", cel("// action: audit\n"), ignore),
        (
            "audit.cel",
            cel("// action: audit\n// mutate: true\n"),
            both_ignored,
        ),
        ("warn.cel", cel("// action: warn\n// mutate: true\n"), both),
        (
            "ignored.cel",
            cel("// failurePolicy: Ignore\n// mutate: true\n"),
            both_ignored,
        ),
    ] {
        let (asked, decided) = asked_and_decided(file, &text);
        assert_eq!(asked, expected, "{file}: where it is registered");
        assert_eq!(decided, expected, "{file}: where it is decided");
    }
}

#[test]
fn a_binding_that_was_not_understood_may_have_meant_to_deny() {
    let source = Source::new("a.yaml", bound(&["[Audit, Dney]"]));
    let (documents, findings) = sources::documents(&[source]);
    assert!(!findings.is_empty());
    let version = KubernetesVersion::default();
    let built = PolicySet::build(documents, version, &PolicySet::default(), |_| false);
    let [validating, _] = Demand::of(&built.set).configurations(&place(), None);
    assert_eq!(validating["webhooks"][0]["failurePolicy"], "Fail");
}

#[test]
fn a_policy_about_what_is_never_called_for_is_named() {
    let written = json!([rule(
        &["CREATE"],
        &["", "coordination.k8s.io"],
        &["pods", "leases", "nodes/status"]
    )]);
    let set = set(&[("a.yaml", policy("a", "Fail", &written))]);
    let named: Vec<String> = Demand::of(&set)
        .unreachable
        .into_iter()
        .map(|it| it.resource)
        .collect();
    // The whole of that group is.
    let expected = [
        "leases.coordination.k8s.io",
        "nodes/status",
        "nodes/status.coordination.k8s.io",
        "pods.coordination.k8s.io",
    ];
    assert_eq!(named, expected);
}

#[test]
fn a_configuration_without_its_guards_is_full_of_holes() {
    let set = set(&[(
        "a.yaml",
        policy("a", "Fail", &json!([rule(&["*"], &["*"], &["*/*"])])),
    )]);
    let [whole, _] = Demand::of(&set).configurations(&place(), None);
    assert_eq!(prove(&whole, &place()), Ok(()));
    let count = |spoil: &dyn Fn(&mut Value)| {
        let mut spoilt = whole.clone();
        spoil(&mut spoilt["webhooks"][0]);
        holes(&spoilt, Some(&place())).len()
    };
    assert_eq!(count(&|webhook| webhook["matchConditions"] = json!([])), 10);
    let mut renamed = whole.clone();
    renamed["metadata"]["name"] = json!("other");
    assert_eq!(
        holes(&renamed, Some(&place())).len(),
        1,
        "the roles are those of another installation"
    );
    assert_eq!(
        count(&|webhook| webhook["namespaceSelector"] = json!({})),
        2
    );
    let narrow = json!([rule(&["*"], &[""], &["pods"])]);
    let without = |webhook: &mut Value| {
        webhook["matchConditions"] = json!([]);
        webhook["rules"] = narrow.clone();
    };
    assert_eq!(
        count(&without),
        3,
        "the API server's own requests, its policies, and its roles"
    );
    for at in 0..10 {
        let weaken = |webhook: &mut Value| {
            let expression = &mut webhook["matchConditions"][at]["expression"];
            *expression = json!(format!("true || {}", expression.as_str().unwrap()));
        };
        assert_eq!(count(&weaken), 1, "{at}");
    }
    for selector in [
        json!({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["policy", "kube-system"]}]}),
        json!({"matchExpressions": [{"key": NAMESPACE_LABEL, "operator": "In", "values": ["policy", "kube-system"]}]}),
        json!({"matchExpressions": [{"key": NAMESPACE_LABEL, "operator": "Exists"}]}),
    ] {
        assert_eq!(
            count(&|webhook| webhook["namespaceSelector"] = selector.clone()),
            2,
            "{selector}"
        );
    }
    for selector in [
        json!({"matchLabels": {NAMESPACE_LABEL: "prod"}}),
        json!({"matchExpressions": [{"key": NAMESPACE_LABEL, "operator": "In", "values": ["prod"]}]}),
    ] {
        assert_eq!(
            count(&|webhook| webhook["namespaceSelector"] = selector.clone()),
            0,
            "{selector}"
        );
    }
}

#[test]
fn namespaces_that_an_operator_excludes_are_proved_too() {
    let pods = json!([rule(&["CREATE"], &[""], &["pods"])]);
    let set = set(&[("a.yaml", policy("a", "Fail", &pods))]);
    let cold = Place {
        excluded_namespaces: BTreeSet::from(["calico-system".to_owned()]),
        timeout_seconds: 3,
        ..place()
    };
    let [validating, _] = Demand::of(&set).configurations(&cold, None);
    let webhook = &validating["webhooks"][0];
    assert_eq!(webhook["timeoutSeconds"], 3);
    let excluded = &webhook["namespaceSelector"]["matchExpressions"][0]["values"];
    assert_eq!(*excluded, json!(["calico-system", "kube-system", "policy"]));
    assert_eq!(prove(&validating, &cold), Ok(()));
    let [other, _] = Demand::of(&set).configurations(&place(), None);
    let said = prove(&other, &cold).unwrap_err();
    assert!(said.contains("in the namespace `calico-system`"), "{said}");
}

#[test]
fn its_own_words_prove_a_configuration_of_another_place() {
    let set = set(&[(
        "a.yaml",
        policy("a", "Fail", &json!([rule(&["*"], &["*"], &["*/*"])])),
    )]);
    let [whole, _] = Demand::of(&set).configurations(&place(), None);
    let found = |old: &str, new: &str| {
        let text = whole.to_string();
        assert!(text.contains(old), "{text}");
        let configuration = serde_json::from_str(&text.replace(old, new)).unwrap();
        let holes = holes(&configuration, None).into_iter();
        let shown = holes.map(|it| format!("{} {}", it.field, it.message));
        shown.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(found("policy", "policy"), "");
    // A namespace more or less is the operator's to know.
    assert_eq!(found("'rules', 'team'", "'team'"), "");
    for not_a_list in [
        "'a') || true || request.namespace in ['b'",
        "''",
        "'A'",
        "a",
    ] {
        let said = found("'rules', 'team'", not_a_list);
        let hole =
            "matchConditions `validate.portcullis.dev` may be called for what is not its to decide";
        match not_a_list {
            // The namespace of what has none.
            "''" => assert_eq!(said, ""),
            _ => assert!(said.starts_with(hole), "{not_a_list}: {said}"),
        }
    }
    // Its Service is elsewhere.
    let said = found(r#""namespace":"policy""#, r#""namespace":"other""#);
    assert!(
        said.starts_with("namespaceSelector") && said.contains("in the namespace `other`"),
        "{said}"
    );
}

/// A request as rules and conditions see it.
#[derive(Debug, Clone)]
struct Request {
    group: &'static str,
    resource: &'static str,
    sub_resource: &'static str,
    namespace: &'static str,
    name: &'static str,
    operation: &'static str,
    user: &'static str,
}

impl Request {
    /// What must never be called for, in words of its own.
    fn is_vital(&self) -> bool {
        matches!(
            self.group,
            "coordination.k8s.io"
                | "authentication.k8s.io"
                | "authorization.k8s.io"
                | "admissionregistration.k8s.io"
                | "certificates.k8s.io"
        ) || matches!(
            (self.group, self.resource),
            ("" | "events.k8s.io", "events") | ("", "nodes") | ("storage.k8s.io", "csinodes")
        ) || (self.group, self.resource, self.sub_resource) == ("", "serviceaccounts", "token")
            || self.user == "system:apiserver"
            || matches!(self.namespace, "kube-system" | "policy")
            || (self.group, self.resource, self.namespace) == ("", "configmaps", "rules")
            || (self.group == "rbac.authorization.k8s.io"
                && self.name.starts_with("portcullis")
                && matches!(self.namespace, "" | "rules" | "team"))
    }

    fn is_matched_by(&self, rule: &Value) -> bool {
        let holds = |key: &str, own: &str| {
            let mut words = rule[key].as_array().unwrap().iter();
            words.any(|it| it == "*" || it == own)
        };
        let mut resources = rule["resources"].as_array().unwrap().iter();
        let is_cluster_scoped = self.namespace.is_empty() || self.resource == "namespaces";
        let is_in_scope = match rule["scope"].as_str() {
            Some("Cluster") => is_cluster_scoped,
            Some("Namespaced") => !is_cluster_scoped,
            _ => true,
        };
        is_in_scope
            && holds("apiGroups", self.group)
            && holds("apiVersions", "v1")
            && holds("operations", self.operation)
            && resources.any(|it| {
                let (resource, sub_resource) = it
                    .as_str()
                    .unwrap()
                    .split_once('/')
                    .unwrap_or((it.as_str().unwrap(), ""));
                (resource == "*" || resource == self.resource)
                    && (sub_resource == "*" || sub_resource == self.sub_resource)
            })
    }

    /// Whether the API server calls: rules, the selector of namespaces, and the conditions, evaluated.
    fn is_called(&self, webhook: &Value, conditions: &PolicySet) -> bool {
        let mut rules = webhook["rules"].as_array().unwrap().iter();
        let excluded = &webhook["namespaceSelector"]["matchExpressions"][0];
        assert_eq!(excluded["operator"], "NotIn");
        let is_excluded = excluded["values"]
            .as_array()
            .unwrap()
            .contains(&json!(self.namespace));
        rules.any(|rule| self.is_matched_by(rule)) && !is_excluded && self.meets(conditions)
    }

    /// The conditions are the validations of the one policy in the set.
    fn meets(&self, conditions: &PolicySet) -> bool {
        let mut request = json!({
            "uid": "1",
            "kind": {"group": self.group, "version": "v1", "kind": "K"},
            "resource": {"group": self.group, "version": "v1", "resource": self.resource},
            "name": self.name,
            "operation": self.operation,
            "userInfo": {"username": self.user},
            "object": {"apiVersion": "v1", "kind": "K", "metadata": {"name": self.name}},
        });
        if !self.namespace.is_empty() {
            request["namespace"] = json!(self.namespace);
        }
        if !self.sub_resource.is_empty() {
            request["subResource"] = json!(self.sub_resource);
        }
        let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
        let body = body.to_string().into_bytes();
        let request = review::parse(&body).unwrap();
        let nothing = Objects::default();
        let options = Options::new(&nothing);
        let verdict = engine::validate(conditions, &request, options).unwrap();
        assert_eq!(verdict.matched, 1);
        !verdict.is_denied()
    }
}

/// A set whose one policy admits what all conditions hold for.
fn evaluated_conditions() -> PolicySet {
    let validations = conditions(&place());
    let validations = validations
        .as_array()
        .unwrap()
        .iter()
        .map(|it| json!({"expression": it["expression"]}));
    let all = json!([{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}]);
    let text = policy("conditions", "Fail", &all);
    let text = text.replace(
        r#"[{"expression":"true"}]"#,
        &Value::from_iter(validations).to_string(),
    );
    set(&[("conditions.yaml", text)])
}

const GROUPS: [&str; 11] = [
    "*",
    "",
    "apps",
    "coordination.k8s.io",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "certificates.k8s.io",
    "rbac.authorization.k8s.io",
];
const RESOURCES: [&str; 16] = [
    "pods",
    "configmaps",
    "roles",
    "leases",
    "events",
    "nodes",
    "csinodes",
    "serviceaccounts",
    "tokenreviews",
    "namespaces",
    "*",
    "*/*",
    "nodes/*",
    "*/status",
    "serviceaccounts/token",
    "nodes/status",
];
const OPERATIONS: [&str; 5] = ["CREATE", "UPDATE", "DELETE", "CONNECT", "*"];

prop_compose! {
    fn some_rule()(
        operations in subsequence(OPERATIONS.to_vec(), 1..4),
        groups in subsequence(GROUPS.to_vec(), 1..4),
        resources in subsequence(RESOURCES.to_vec(), 1..5),
        scope in select(vec!["*", "Cluster", "Namespaced"]),
    ) -> Value {
        let mut rule = rule(&operations, &groups, &resources);
        rule["scope"] = json!(scope);
        rule
    }
}

prop_compose! {
    fn some_request()(
        group in select(&GROUPS[1..]),
        resource in select(&RESOURCES[..10]),
        sub_resource in select(vec!["", "status", "token"]),
        namespace in select(vec!["", "prod", "kube-system", "policy", "rules", "team"]),
        name in select(vec!["a", "portcullis", "portcullis-policies", "portcullis-exceptions"]),
        operation in select(&OPERATIONS[..4]),
        user in select(vec!["ann", "system:apiserver"]),
    ) -> Request {
        Request { group, resource, sub_resource, namespace, name, operation, user }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_webhook_is_called_for_what_policies_ask_for_and_nothing_vital(
        written in prop::collection::vec(prop::collection::vec(some_rule(), 1..4), 1..4),
        requests in prop::collection::vec(some_request(), 1..40),
    ) {
        let conditions = evaluated_conditions();
        let names = ["a", "b", "c"];
        let sources: Vec<_> = written.iter().zip(names).map(|(rules, name)| {
            Source::new(format!("{name}.yaml"), policy(name, "Fail", &json!(rules)))
        }).collect();
        // Upstream would refuse some of the rules; such a policy is one that its failure policy meets.
        let (documents, _) = sources::documents(&sources);
        let built = PolicySet::build(documents, KubernetesVersion::default(), &PolicySet::default(), |_| false);
        let demand = Demand::of(&built.set);
        let [validating, _] = demand.configurations(&place(), None);
        prop_assert_eq!(prove(&validating, &place()), Ok(()));
        for request in requests {
            let mut asked = written.iter().flatten();
            let is_asked = asked.any(|rule| request.is_matched_by(rule));
            let mut webhooks = validating["webhooks"].as_array().unwrap().iter();
            let is_called = webhooks.any(|webhook| request.is_called(webhook, &conditions));
            prop_assert_eq!(is_called, is_asked && !request.is_vital(), "{:?} {:#}", request, validating);
        }
    }
}
