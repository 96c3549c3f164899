//! Documents that policies become.

use super::*;
use crate::policy::model::Documents;
use crate::policy::read;
use crate::policy::set::PolicySet;
use crate::text::Source;

fn read(text: &str) -> Documents {
    let (documents, diagnostics) = read::read(&Source::new("p.cel", text));
    let problems: Vec<&String> = diagnostics.iter().map(|it| &it.message).collect();
    assert_eq!(problems, [] as [&str; 0]);
    documents
}

/// Exports the first policy of a file, with sections below the usual front matter.
fn exported(front_matter: &str, sections: &str) -> Result<Value, Vec<String>> {
    let text = format!("// ---\n// name: p\n{front_matter}\n// ---\n{sections}\n");
    let documents = read(&text);
    let policy = documents.policies.first().unwrap();
    let exported = super::policy(policy, KubernetesVersion::NEWEST);
    exported.map_err(|found| found.into_iter().map(|it| it.message).collect())
}

/// Fails if a document is not one that the API server would take.
fn assert_valid(document: &Value) {
    let source = Source::new("p.yaml", document.to_string());
    let (documents, mut diagnostics) = read::read(&source);
    let built = PolicySet::build(
        documents,
        KubernetesVersion::NEWEST,
        &PolicySet::default(),
        |_| false,
    );
    diagnostics.extend(built.diagnostics.into_iter().filter(Diagnostic::is_error));
    let problems: Vec<&String> = diagnostics.iter().map(|it| &it.message).collect();
    assert_eq!(problems, [] as [&str; 0], "{document:#}");
}

const MATCH: &str = "// match: {resources: [apps/v1/deployments]}";

#[test]
fn settings_are_written_out() {
    let settings =
        "// settings: {floor: 3, ratio: -0.5, name: \"it's\", names: [a, b], mixed: [1, a]}";
    for (expression, written) in [
        (
            "object.spec.replicas >= settings.floor",
            "object.spec.replicas >= 3",
        ),
        ("1.5 -settings.ratio == 2.0", "1.5 --0.5 == 2.0"),
        (
            "object.metadata.name == settings.name",
            "object.metadata.name == \"it's\"",
        ),
        (
            "object.metadata.name in settings.names",
            "object.metadata.name in ['a', 'b']",
        ),
        (
            "dyn('a') in settings.mixed",
            "dyn('a') in [dyn(1), dyn('a')]",
        ),
        (
            "['x'].all(settings, settings == 'x')",
            "['x'].all(settings, settings == 'x')",
        ),
        (
            "settings.floor // as in the guide\n> 2",
            "3 // as in the guide\n> 2",
        ),
    ] {
        let front_matter = format!("{MATCH}\n{settings}");
        let document = exported(&front_matter, &format!("// @require it\n{expression}")).unwrap();
        assert_eq!(document["spec"]["validations"][0]["expression"], written);
        assert_valid(&document);
    }
}

#[test]
fn the_settings_as_a_whole_are_a_map() {
    let front_matter = format!("{MATCH}\n// settings: {{floor: 3}}");
    let sections =
        "// @require it\nhas(settings.floor) && settings.?roof.orValue(9) > settings['floor']";
    let document = exported(&front_matter, sections).unwrap();
    let written = "true && {'floor': dyn(3)}.?roof.orValue(9) > {'floor': dyn(3)}['floor']";
    assert_eq!(document["spec"]["validations"][0]["expression"], written);
    assert_valid(&document);
}

#[test]
fn conditions_get_names() {
    let sections = "// @when the workload is Meshery's own\ntrue
// @when The Workload is Meshery’s own!\ntrue\n// @when ???\ntrue
// @when a condition with a text that is far longer than any name in Kubernetes could ever be\ntrue
// @require it\ntrue";
    let document = exported(MATCH, sections).unwrap();
    let conditions = document["spec"]["matchConditions"].as_array().unwrap();
    let names: Vec<&str> = conditions
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "the-workload-is-mesherys-own",
            "the-workload-is-mesherys-own-2",
            "condition",
            "a-condition-with-a-text-that-is-far-longer-than-any-name-i",
        ]
    );
    assert_valid(&document);
}

#[test]
fn pod_is_a_variable_and_stands_in_conditions_itself() {
    let sections = "// @when it has a spec\npod != null\n// @let pod_\n1
// @let pod\n2\n// @require it\nhas(pod.spec.hostNetwork) && variables.pod == 2";
    let document = exported("// pods: true", sections).unwrap();
    let spec = &document["spec"];
    let names = spec["variables"].as_array().unwrap().iter();
    let names: Vec<&str> = names.map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["pod__", "pod_", "pod"]);
    let condition = spec["matchConditions"][0]["expression"].as_str().unwrap();
    assert!(condition.starts_with("((request.kind.kind"), "{condition}");
    assert_eq!(
        spec["validations"][0]["expression"],
        "has(variables.pod__.spec.hostNetwork) && variables.pod == 2"
    );
    assert_valid(&document);
}

#[test]
fn what_kubernetes_lacks_is_said() {
    for (front_matter, sections, problem) in [
        (
            "// match: {resources: [apps/v1/deployments]}\n// reads: [v1/Node]",
            "// @require it\ncluster.list('v1', 'Node', '').size() > 0",
            "`cluster.list` is not part of Kubernetes' language",
        ),
        (
            MATCH,
            "// @require it\ncel.bind(x, 1, x == 1)",
            "`cel.bind` is not part of Kubernetes' language",
        ),
        (
            MATCH,
            "// @let a\ntrue\n// @when a holds\nvariables.a\n// @require it\nvariables.a",
            "Kubernetes refuses this: undefined variable `a`",
        ),
        (
            "// scope: cluster\n// reads: []",
            "// @require it\ntrue",
            "the policy is evaluated without a request, which Kubernetes' are not",
        ),
    ] {
        let found = exported(front_matter, sections).unwrap_err();
        assert_eq!(found, [problem], "{sections}");
    }
}

#[test]
fn a_mutating_policy_is_written_for_the_version_that_has_it() {
    let text = format!(
        "// ---\n// name: p\n{MATCH}\n// mutate: true\n// ---\n// @patch\n[JSONPatch{{op: 'add', path: '/a', value: 1}}]\n"
    );
    let documents = read(&text);
    let policy = documents.policies.first().unwrap();
    for (version, api_version) in [
        ("1.36", Some("admissionregistration.k8s.io/v1")),
        ("1.35", Some("admissionregistration.k8s.io/v1beta1")),
        ("1.32", Some("admissionregistration.k8s.io/v1alpha1")),
        ("1.31", None),
    ] {
        let exported = super::policy(policy, version.parse().unwrap()).ok();
        let written = exported.as_ref().and_then(|it| it["apiVersion"].as_str());
        assert_eq!(written, api_version, "{version}");
    }
}

#[test]
fn a_document_that_is_read_and_written_is_the_same() {
    let text = "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: p
  annotations: {portcullis.dev/severity: high, portcullis.dev/source: a guide}
spec:
  failurePolicy: Ignore
  paramKind: {apiVersion: v1, kind: ConfigMap}
  matchConstraints:
    resourceRules:
    - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments, deployments/scale], resourceNames: [a], scope: Namespaced}
    excludeResourceRules:
    - {apiGroups: ['*'], apiVersions: ['*'], operations: ['*'], resources: ['*']}
    namespaceSelector: {matchLabels: {a: b}}
    objectSelector: {matchExpressions: [{key: a, operator: In, values: [b, c]}, {key: d, operator: Exists}]}
    matchPolicy: Exact
  matchConditions: [{name: a, expression: 'true '}]
  variables: [{name: v, expression: '1'}]
  validations: [{expression: 'variables.v == 1', message: never, messageExpression: \"'no'\", reason: Forbidden}]
  auditAnnotations: [{key: k, valueExpression: \"'v'\"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: b}
spec:
  policyName: p
  paramRef: {selector: {matchLabels: {a: b}}, namespace: prod, parameterNotFoundAction: Allow}
  matchResources: {resourceRules: [{apiGroups: [apps], apiVersions: [v1], operations: ['*'], resources: ['*']}]}
  validationActions: [Warn, Audit]
";
    let (documents, _) = read::read(&Source::new("p.yaml", text));
    let version = KubernetesVersion::NEWEST;
    let policy = super::policy(documents.policies.first().unwrap(), version).unwrap();
    let binding = super::binding(documents.bindings.first().unwrap(), version);
    let again = format!("{policy}\n---\n{binding}");
    let (again, _) = read::read(&Source::new("p.yaml", again));
    let policy_again = super::policy(again.policies.first().unwrap(), version).unwrap();
    let binding_again = super::binding(again.bindings.first().unwrap(), version);
    assert_eq!(policy, policy_again);
    assert_eq!(binding, binding_again);
    let stream = crate::text::yaml::parse_stream(&Source::new("p.yaml", text));
    let [first, second] = stream.documents.as_slice() else {
        panic!("two documents");
    };
    assert_eq!(policy, first.to_json());
    assert_eq!(binding, second.to_json());
}
