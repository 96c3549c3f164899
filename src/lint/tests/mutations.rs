//! Mutations by example: which ones a validation rejects.

use super::*;

#[test]
fn a_patch_that_a_validation_rejects_is_found() {
    let patched = |value: &str, when: &str, require: &str| {
        format!(
            "{when}// @require it\n{require}\n\n// @patch\nobject.spec.paused ? [JSONPatch{{op: \
             'add', path: '/spec/replicas', value: {value}}}] : []\n"
        )
    };
    let fewer = "object.spec.replicas >= 3";
    let when = "// @when it\nobject.spec.paused\n\n";
    let reading = "// @when it\nobject.spec.replicas < 2\n\n";
    for (value, when, require, found) in [
        ("1", "", fewer, "1"),
        ("3", "", fewer, ""),
        (
            "1",
            "",
            "object.spec.paused && 3 <= object.spec.replicas",
            "1",
        ),
        (
            "1",
            "",
            "object.spec.paused || object.spec.replicas >= 3",
            "",
        ),
        ("1", "", "object.spec['replicas'] in [2, 3]", "1"),
        ("1", "", "object.spec.replicas in [1, 2]", ""),
        ("1", "", "object.spec.replicas != 1", "1"),
        ("1", "", "object.spec.minReadySeconds == 2", ""),
        ("object.spec.minReadySeconds", "", fewer, ""),
        ("1", when, fewer, "1"),
        // Then the validation does not apply to what was changed.
        ("2", reading, fewer, ""),
    ] {
        check(
            "lint/self-rejected",
            &[(&patched(value, when, require), found)],
        );
    }
    let twice = format!(
        "{}\n// @patch\n[JSONPatch{{op: 'replace', path: '/spec/replicas', value: 3}}]\n",
        patched("1", "", fewer)
    );
    check("lint/self-rejected", &[(&twice, "")]);
    let settings = about(
        "apps/v1/deployments",
        "CREATE",
        &patched("settings.few", "", fewer),
    );
    let settings = settings.replace("// ---\n\n", "// settings: {few: 2}\n// ---\n\n");
    let found = findings(&settings);
    assert!(
        found
            .iter()
            .any(|(code, _, at)| code == "lint/self-rejected" && at == "settings.few"),
        "{found:?}"
    );
}

#[test]
fn a_patch_that_another_policy_rejects_is_found_where_both_match() {
    let policies = |kind: &str, spec: &str, binding: &str| {
        format!(
            "apiVersion: admissionregistration.k8s.io/v1\nkind: {kind}AdmissionPolicy\n\
             metadata: {{name: {kind}}}\nspec:\n{spec}---\napiVersion: \
             admissionregistration.k8s.io/v1\nkind: {kind}AdmissionPolicyBinding\nmetadata: \
             {{name: {kind}}}\nspec: {{policyName: {kind}{binding}}}\n---\n"
        )
        .replace("name: Mutating", "name: mutating")
        .replace("name: Validating", "name: validating")
        .replace("policyName: Mutating", "policyName: mutating")
        .replace("policyName: Validating", "policyName: validating")
    };
    let rules = |resource: &str, more: &str| {
        format!(
            "  matchConstraints: {{{more}resourceRules: [{{apiGroups: [apps], apiVersions: [v1], \
             operations: [CREATE], resources: [{resource}]}}]}}\n"
        )
    };
    let mutating = rules("deployments", "")
        + "  reinvocationPolicy: Never\n  mutations:\n  - patchType: JSONPatch\n    jsonPatch: \
           {expression: \"[JSONPatch{op: 'replace', path: '/spec/replicas', value: 1}]\"}\n";
    let validating = |resource: &str, more: &str| {
        rules(resource, more) + "  validations: [{expression: object.spec.replicas >= 3}]\n"
    };
    let selector = "objectSelector: {matchLabels: {a: b}}, ";
    for (resource, more, binding, is_found) in [
        ("deployments", "", ", validationActions: [Deny]", true),
        ("'*'", "", ", validationActions: [Deny]", true),
        ("deployments", "", ", validationActions: [Audit]", false),
        (
            "deployments",
            selector,
            ", validationActions: [Deny]",
            false,
        ),
        ("statefulsets", "", ", validationActions: [Deny]", false),
    ] {
        let text = policies("Mutating", &mutating, "")
            + &policies("Validating", &validating(resource, more), binding);
        let found = findings(&text);
        let found = found.iter().any(|(code, ..)| code == "lint/self-rejected");
        assert_eq!(found, is_found, "{text}");
    }
}
