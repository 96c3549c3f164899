//! Rules by example: what is found, and what is not.

mod mutations;

use std::sync::{Arc, LazyLock};

use super::*;
use crate::policy::read;
use crate::text::Source;

static WORLD: LazyLock<World> = LazyLock::new(|| World {
    schemas: Arc::new(Schemas::built_in()),
    resources: Resources::default(),
    version: KubernetesVersion::default(),
});

/// The findings about a text, as code, severity and the text they are at.
fn findings(text: &str) -> Vec<(String, Severity, String)> {
    let source = Source::new("p.cel", text);
    let source = match text.starts_with("//") {
        true => source,
        false => Source::new("p.yaml", text),
    };
    let (documents, problems) = read::read(&source);
    let built = PolicySet::build(
        documents,
        KubernetesVersion::default(),
        &PolicySet::default(),
        |_| false,
    );
    // That a field alone is no bool to the compiler is not what these cases are about.
    let is_other = |it: &&Diagnostic| !it.message.starts_with("must evaluate to bool");
    let errors: Vec<_> = problems
        .iter()
        .chain(&built.diagnostics)
        .filter(is_other)
        .collect();
    assert!(errors.is_empty(), "{text}\n{errors:?}");
    let found = lint(&built.set, &WORLD);
    let mut found: Vec<_> = found
        .into_iter()
        .map(|it| {
            let label = it.labels.first().unwrap();
            let text = label.source.slice(label.span).to_owned();
            (it.code, it.severity, text)
        })
        .collect();
    found.sort();
    found
}

/// A `.cel` policy about Deployments with these sections.
fn about(resources: &str, operations: &str, sections: &str) -> String {
    format!(
        "// A policy.\n//\n// ---\n// name: p\n// match: {{resources: [{resources}], operations: \
         [{operations}]}}\n// ---\n\n{sections}"
    )
}

/// Checks what one rule finds in validations of Deployments; an empty text is nothing.
fn check(code: &str, cases: &[(&str, &str)]) {
    for (expression, expected) in cases {
        let sections = match expression.starts_with("// @") {
            true => (*expression).to_owned(),
            false => format!("// @require it\n{expression}\n"),
        };
        let text = about("apps/v1/deployments", "CREATE, UPDATE", &sections);
        let found = findings(&text).into_iter().filter(|(it, _, _)| it == code);
        let found: Vec<String> = found.map(|(_, _, text)| text).collect();
        assert_eq!(found.join(" | "), *expected, "{expression}");
    }
}

#[test]
fn every_rule_is_documented_and_in_order() {
    for pair in RULES.windows(2) {
        assert!(pair[0].code < pair[1].code, "{}", pair[1].code);
    }
    for rule in RULES {
        let texts = [rule.what, rule.why, rule.fix, rule.example];
        assert!(texts.iter().all(|text| !text.is_empty()), "{}", rule.code);
        assert!(rule.what.ends_with('.'), "{}", rule.code);
    }
}

#[test]
fn a_part_that_is_always_the_same_is_found() {
    check(
        "lint/constant",
        &[
            (
                "object.metadata.name != 'a' || object.metadata.name != 'b'",
                "object.metadata.name != 'a' || object.metadata.name != 'b'",
            ),
            (
                "object.metadata.name == 'a' && object.metadata.name == 'b'",
                "object.metadata.name == 'a' && object.metadata.name == 'b'",
            ),
            (
                "object.metadata.name == 'a' || object.metadata.name == 'b'",
                "",
            ),
            (
                "object.metadata.name != 'a' && object.metadata.name != 'b'",
                "",
            ),
            (
                "object.spec.paused || !(object.spec.paused)",
                "object.spec.paused || !(object.spec.paused)",
            ),
            ("object.spec.replicas > 1 && 1 + 1 == 2", "1 + 1 == 2"),
            (
                "object.spec.template.spec.containers.all(c, c.name in [])",
                "c.name in []",
            ),
            (
                "object.spec.template.spec.containers.size() >= 0",
                "object.spec.template.spec.containers.size() >= 0",
            ),
            (
                "object.spec.replicas == object.spec.replicas",
                "object.spec.replicas == object.spec.replicas",
            ),
            ("object.spec.replicas == 1 || object.spec.replicas == 2", ""),
            ("object.spec.paused ? false : true", ""),
            ("false", ""),
            (
                "request.operation in ['CREATE', 'UPDATE']",
                "request.operation in ['CREATE', 'UPDATE']",
            ),
            ("request.operation in ['CREATE', 'DELETE']", ""),
            (
                "// @let pairs\n[true, 1 == 1]\n\n// @require it\nvariables.pairs.size() == 2\n",
                "",
            ),
        ],
    );
}

#[test]
fn a_condition_that_never_holds_is_found() {
    let policy = |condition: &str| format!("// @when it\n{condition}\n\n// @require it\nfalse\n");
    for (condition, is_found) in [
        ("request.operation == 'DELETE'", true),
        ("request.operation == 'CREATE'", false),
        ("object.kind == 'StatefulSet'", true),
        ("object.kind in ['StatefulSet', 'Deployment']", false),
        (
            "['StatefulSet', 'DaemonSet'].exists(kind, object.kind == kind)",
            true,
        ),
        (
            "['StatefulSet', 'DaemonSet'].all(kind, object.kind != kind)",
            false,
        ),
        ("request.resource.resource == 'pods'", true),
        ("request.kind.group == 'apps'", false),
        ("object == null", true),
        ("object != null", false),
        ("false", true),
        ("has(object.spec) && request.operation == 'DELETE'", true),
        ("has(object.spec) || request.operation == 'DELETE'", false),
    ] {
        let expected = if is_found { condition } else { "" };
        check("lint/never-matches", &[(&policy(condition), expected)]);
    }
}

#[test]
fn what_other_rules_let_through_is_not_taken_for_impossible() {
    let sections =
        "// @when it\nobject.kind == 'Scale'\n\n// @require it\nobject.spec.?x.orValue(1) > 2\n";
    for resources in [
        "apps/v1/deployments, apps/v1/deployments/scale",
        "apps/*/deployments",
    ] {
        let found = findings(&about(resources, "UPDATE", sections));
        assert!(
            found.iter().all(|(code, ..)| code != "lint/never-matches"),
            "{found:?}"
        );
    }
}

#[test]
fn an_optional_field_that_nobody_asked_for_is_found() {
    const POD: &str = "object.spec.template.spec";
    let case = |expression: &str, expected: &str| {
        let full = |text: &str| text.replace("POD", POD);
        check("lint/missing-has", &[(&full(expression), &full(expected))]);
    };
    for (expression, expected) in [
        ("POD.hostNetwork == false", "POD.hostNetwork"),
        ("!has(POD.hostNetwork) || POD.hostNetwork == false", ""),
        ("POD.hostNetwork == false || !has(POD.hostNetwork)", ""),
        ("has(POD.hostNetwork) && !POD.hostNetwork", ""),
        ("has(POD.hostNetwork) || POD.hostNetwork", "POD.hostNetwork"),
        ("has(POD.hostNetwork) ? POD.hostNetwork : true", ""),
        ("!has(POD.hostNetwork) ? true : POD.hostNetwork", ""),
        (
            "has(POD.hostNetwork) ? true : POD.hostNetwork",
            "POD.hostNetwork",
        ),
        ("POD.hostNetwork && POD.hostNetwork", "POD.hostNetwork"),
        ("POD.?hostNetwork.orValue(false)", ""),
        (
            "POD.?hostNetwork.orValue(false) ? POD.hostNetwork : true",
            "",
        ),
        ("POD.?hostNetwork.hasValue() && POD.hostNetwork", ""),
        ("POD.?hostname.orValue('') == '' || POD.hostname == 'a'", ""),
        (
            "POD.?volumes.orValue([]).size() == 0 || POD.volumes[0].name == 'a'",
            "",
        ),
        ("POD.volumes.all(v, v.name != '')", "POD.volumes"),
        // What the schema requires, what Go always writes, and what the API server fills in.
        ("POD.containers.all(c, c.name != '')", ""),
        ("object.spec.strategy.type == 'Recreate'", ""),
        (
            "object.spec.replicas > 1 && object.kind == 'Deployment'",
            "",
        ),
        (
            "POD.restartPolicy == 'Always' && object.metadata.name != ''",
            "",
        ),
        // Items of lists.
        ("POD.containers.all(c, c.tty)", "c.tty"),
        ("POD.containers.all(c, has(c.tty) && c.tty)", ""),
        ("POD.containers.filter(c, has(c.tty)).all(d, d.tty)", ""),
        (
            "POD.containers.filter(c, has(c.tty)).map(c, c.tty).all(t, t)",
            "",
        ),
        (
            "POD.containers.map(c, has(c.ports), c.ports).all(p, p.size() > 0)",
            "",
        ),
        (
            "POD.containers.all(c, c.securityContext.privileged)",
            "c.securityContext",
        ),
        (
            "POD.containers.all(c, has(c.securityContext) && c.securityContext.privileged)",
            "c.securityContext.privileged",
        ),
        // Keys of maps.
        (
            "object.metadata.labels.app == 'a'",
            "object.metadata.labels",
        ),
        (
            "has(object.metadata.labels) && object.metadata.labels.app == 'a'",
            "object.metadata.labels.app",
        ),
        (
            "has(object.metadata.labels) && 'app' in object.metadata.labels \
             && object.metadata.labels['app'] == 'a'",
            "",
        ),
        (
            "has(object.metadata.labels.app) && object.metadata.labels['app'] == 'a'",
            "object.metadata.labels",
        ),
        (
            "has(object.metadata.labels) && ['a', 'b'].all(k, k in object.metadata.labels) \
             && object.metadata.labels.b == ''",
            "",
        ),
        ("object.metadata.?labels.app.orValue('') == 'a'", ""),
        (
            "object.metadata.?labels.orValue({}).all(k, object.metadata.labels[k] != '')",
            "object.metadata.labels",
        ),
        // A part that is never reached for Deployments.
        ("object.kind == 'Pod' && POD.hostNetwork", ""),
        (
            "object.kind == 'Deployment' && POD.hostNetwork",
            "POD.hostNetwork",
        ),
    ] {
        case(expression, expected);
    }
}

#[test]
fn what_conditions_variables_and_other_validations_ask_counts() {
    const FIELD: &str = "object.spec.template.spec.hostNetwork";
    let case = |sections: &str, expected: &str| {
        let full = |text: &str| text.replace("FIELD", FIELD);
        check("lint/missing-has", &[(&full(sections), &full(expected))]);
    };
    for (sections, expected) in [
        ("// @when set\nhas(FIELD)\n\n// @require it\n!FIELD\n", ""),
        ("// @when set\nFIELD\n\n// @require it\n!FIELD\n", "FIELD"),
        (
            "// @require set\nhas(FIELD)\n\n// @require it\n!FIELD\n",
            "",
        ),
        (
            "// @let set\nhas(FIELD)\n\n// @require it\nvariables.set && !FIELD\n",
            "",
        ),
        (
            "// @let net\nFIELD\n\n// @require it\n!variables.net\n",
            "FIELD",
        ),
        (
            "// @let net\nFIELD\n\n// @require it\n!has(FIELD) || !variables.net\n",
            "",
        ),
        // Not read, or only in a message, which is left out when it fails.
        (
            "// @let net\nFIELD\n\n// @require it\nfalse\n// @message\nstring(variables.net)\n",
            "",
        ),
        (
            "// @let pod\nobject.spec.template.spec\n\n// @require it\n\
             has(variables.pod.hostNetwork) && !FIELD\n",
            "",
        ),
    ] {
        case(sections, expected);
    }
}

#[test]
fn an_object_that_is_null_is_found() {
    for (operations, expression, expected) in [
        ("CREATE, DELETE", "object.spec.paused", "object"),
        ("CREATE, UPDATE", "object.spec.paused", ""),
        ("'*'", "object.spec.paused", "object"),
        ("CREATE, DELETE", "object == null || object.spec.paused", ""),
        (
            "CREATE, DELETE",
            "request.operation == 'DELETE' || object.spec.paused",
            "",
        ),
        (
            "CREATE, DELETE",
            "request.operation in ['CREATE', 'UPDATE'] && object.spec.paused",
            "",
        ),
        (
            "CREATE, DELETE",
            "request.operation == 'CREATE' && object.spec.paused",
            "",
        ),
        ("CREATE, DELETE", "object.?spec.?paused.orValue(true)", ""),
        (
            "CREATE, DELETE",
            "object.metadata.name != '' && object.spec.paused",
            "object",
        ),
        ("UPDATE", "oldObject.spec.paused", ""),
        ("CREATE, UPDATE", "oldObject.spec.paused", "oldObject"),
        (
            "CREATE, UPDATE",
            "oldObject != null && oldObject.spec.paused",
            "",
        ),
        (
            "CREATE, UPDATE",
            "request.operation == 'CREATE' || oldObject.spec.paused",
            "",
        ),
        (
            "CREATE, UPDATE",
            "oldObject == null ? true : oldObject.spec.paused",
            "",
        ),
    ] {
        let sections = format!("// @require it\n{expression}\n");
        let found = findings(&about("apps/v1/deployments", operations, &sections));
        let found: Vec<_> = found
            .into_iter()
            .filter(|(code, ..)| code == "lint/null-object")
            .map(|(_, _, text)| text)
            .collect();
        assert_eq!(found.join(" | "), expected, "{operations}: {expression}");
    }
}

#[test]
fn a_condition_that_reads_the_namespace_is_found() {
    for (sections, expected) in [
        (
            "// @when not prod\nnamespaceObject.metadata.name != 'prod'\n// @require it\ntrue\n",
            "namespaceObject",
        ),
        (
            "// @when not prod\n'env' in namespaceObject.?metadata.?labels.orValue({})\n// @require it\n\
             true\n",
            "namespaceObject",
        ),
        (
            "// @when not prod\nrequest.namespace != 'prod'\n// @require it\n\
             namespaceObject.metadata.name != 'x'\n",
            "",
        ),
    ] {
        let found = findings(&about("apps/v1/deployments", "CREATE", sections));
        let found: Vec<_> = found
            .into_iter()
            .filter(|(code, ..)| code == "lint/null-namespace")
            .map(|(_, _, text)| text)
            .collect();
        assert_eq!(found.join(" | "), expected, "{sections}");
    }
}

#[test]
fn a_quantity_that_is_compared_as_a_text_is_found() {
    const ALL: &str = "object.spec.template.spec.containers.all(c, EXPRESSION)";
    for (expression, is_found) in [
        ("c.resources.limits.memory <= '1Gi'", true),
        ("c.resources.limits['memory'] == '1Gi'", true),
        ("'1' > c.resources.requests.cpu", true),
        ("c.resources.limits.cpu < c.resources.requests.cpu", true),
        ("c.resources.limits.cpu == c.resources.requests.cpu", false),
        ("c.resources.limits.cpu != ''", false),
        (
            "quantity(c.resources.limits.cpu).isLessThan(quantity('1'))",
            false,
        ),
        ("c.name < 'b'", false),
    ] {
        let expected = if is_found { expression } else { "" };
        check(
            "lint/quantity-as-text",
            &[(&ALL.replace("EXPRESSION", expression), expected)],
        );
    }
    // Without a schema the names tell.
    let text = about(
        "example.com/v1/things",
        "CREATE",
        "// @require it\nobject.spec.limits.cpu < '1'\n",
    );
    assert!(
        findings(&text)
            .iter()
            .any(|(code, ..)| code == "lint/quantity-as-text")
    );
}

#[test]
fn a_rule_that_leaves_scale_out_is_found() {
    for (resources, operations, expression, is_found) in [
        (
            "apps/v1/deployments",
            "CREATE, UPDATE",
            "object.spec.replicas > 2",
            true,
        ),
        (
            "apps/v1/deployments, apps/v1/deployments/scale",
            "UPDATE",
            "object.spec.replicas > 2",
            false,
        ),
        (
            "apps/v1/deployments, apps/v1/deployments/*",
            "UPDATE",
            "object.spec.replicas > 2",
            false,
        ),
        (
            "apps/v1/deployments",
            "CREATE",
            "object.spec.replicas > 2",
            false,
        ),
        ("apps/v1/deployments", "UPDATE", "object.spec.paused", false),
        (
            "apps/v1/daemonsets",
            "UPDATE",
            "object.spec.minReadySeconds > 2",
            false,
        ),
    ] {
        let text = about(
            resources,
            operations,
            &format!("// @require it\n{expression}\n"),
        );
        let found = findings(&text)
            .iter()
            .any(|(code, ..)| code == "lint/scale");
        assert_eq!(found, is_found, "{resources} {operations} {expression}");
    }
}

#[test]
fn a_variable_that_nobody_reads_is_found() {
    check(
        "lint/unused-variable",
        &[
            ("// @let a\n1\n\n// @require it\nobject.spec.paused\n", "a"),
            ("// @let a\n1\n\n// @require it\nvariables.a == 1\n", ""),
            (
                "// @let a\n1\n\n// @let b\nvariables.a\n\n// @require it\nvariables.b == 1\n",
                "",
            ),
            (
                "// @let a\n'x'\n\n// @require it\nfalse\n// @message\nvariables.a\n",
                "",
            ),
        ],
    );
}

#[test]
fn a_setting_that_is_not_declared_is_found() {
    let declared = "// A policy.\n//\n// ---\n// name: p\n// match: {resources: [apps/v1/daemonsets]}\n\
                    // settings: {floor: 3}\n// ---\n\n// @require it\n\
                    object.spec.?minReadySeconds.orValue(0) > settings.";
    assert_eq!(findings(&format!("{declared}floor\n")), []);
    let mistaken = findings(&format!("{declared}flor\n"));
    let expected = ("lint/unknown-setting", Severity::Warning, "settings.flor");
    let mistaken: Vec<_> = mistaken
        .iter()
        .map(|(code, severity, at)| (&**code, *severity, &**at))
        .collect();
    assert_eq!(mistaken, [expected]);
    check(
        "lint/unknown-setting",
        &[
            ("// @require it\nsettings.floor > 1\n", "settings.floor"),
            ("// @require it\n!has(settings.floor)\n", ""),
            ("// @require it\nsettings.?floor.orValue(1) > 1\n", ""),
            (
                "// @require it\n[{'floor': 1}].all(settings, settings.floor > 1)\n",
                "",
            ),
        ],
    );
}

/// A policy as Kubernetes has it, with a binding if its name is given.
fn kubernetes(rule: &str, more: &str, expression: &str, binding: Option<&str>) -> String {
    let policy = format!(
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\n\
         metadata: {{name: p}}\nspec:\n  matchConstraints:\n    resourceRules:\n    - {rule}\n{more}  \
         validations:\n  - expression: |-\n      {expression}\n"
    );
    let binding = binding.map(|name| {
        format!(
            "---\napiVersion: admissionregistration.k8s.io/v1\n\
             kind: ValidatingAdmissionPolicyBinding\nmetadata: {{name: b}}\n\
             spec: {{policyName: {name}, validationActions: [Deny]}}\n"
        )
    });
    policy + &binding.unwrap_or_default()
}

const PODS: &str = "{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}";
const ALL: &str = "{apiGroups: ['*'], apiVersions: ['*'], operations: [CREATE], resources: ['*']}";

#[test]
fn a_policy_without_a_binding_is_found_and_a_binding_without_a_policy() {
    let codes = |binding| {
        let found = findings(&kubernetes(PODS, "", "object.spec.hostname != ''", binding));
        let unbound = found
            .into_iter()
            .filter(|(code, ..)| code == "lint/unbound");
        unbound.map(|(_, _, text)| text).collect::<Vec<_>>()
    };
    assert_eq!(codes(None), ["p"]);
    assert_eq!(codes(Some("p")), [""; 0]);
    assert_eq!(codes(Some("q")), ["p", "q"]);
}

#[test]
fn a_policy_that_can_stop_the_cluster_is_found() {
    let severity = |rule, more| {
        let found = findings(&kubernetes(rule, more, "'a' != 'b' || true", Some("p")));
        let mut found = found
            .into_iter()
            .filter(|(code, ..)| code == "lint/lock-out");
        found.next().map(|(_, severity, _)| severity)
    };
    let leases = "{apiGroups: [coordination.k8s.io], apiVersions: [v1], operations: ['*'], resources: [leases]}";
    let system = "    namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system]}]}\n";
    assert_eq!(severity(ALL, ""), Some(Severity::Warning));
    assert_eq!(severity(leases, ""), Some(Severity::Warning));
    assert_eq!(severity(PODS, ""), Some(Severity::Note));
    assert_eq!(severity(ALL, "  failurePolicy: Ignore\n"), None);
    assert_eq!(severity(ALL, system), None);
    assert_eq!(severity(PODS, system), None);
    let condition =
        "  matchConditions: [{name: users, expression: \"request.userInfo.username != 'a'\"}]\n";
    assert_eq!(severity(ALL, condition), None);
    let configmaps =
        "{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}";
    assert_eq!(severity(configmaps, ""), None);
}

#[test]
fn types_are_checked_and_what_only_kubernetes_warns_of_is_a_note() {
    let found = |rule: &str, expression: &str| {
        let found = findings(&kubernetes(rule, "", expression, Some("p")));
        let types = found.into_iter().filter(|(code, ..)| code == "lint/type");
        types
            .map(|(_, severity, text)| (severity, text))
            .collect::<Vec<_>>()
    };
    let several = "{apiGroups: ['', apps], apiVersions: [v1], operations: [CREATE], resources: [pods, deployments]}";
    for (rule, expression, expected) in [
        (
            PODS,
            "object.spec.hostnam != ''",
            Some((Severity::Warning, "hostnam")),
        ),
        (
            PODS,
            "object.spec.hostname == 3",
            Some((Severity::Warning, "object.spec.hostname == 3")),
        ),
        (
            PODS,
            "has(object.spec.hostnam)",
            Some((Severity::Warning, "hostnam")),
        ),
        (
            PODS,
            "object.spec.hostname == null",
            Some((Severity::Note, "object.spec.hostname == null")),
        ),
        (
            PODS,
            "object.spec.containers.all(c, has(c.resources.limits))",
            Some((Severity::Note, "limits")),
        ),
        (PODS, "object.spec.containers.all(c, c.name != '')", None),
        (
            several,
            "object.kind != 'Pod' || object.spec.containers.size() > 0",
            Some((Severity::Note, "containers")),
        ),
        (
            several,
            "has(object.spec.template) ? object.spec.template.spec.containers.size() > 0 \
             : object.spec.containers.size() > 0",
            Some((Severity::Note, "template")),
        ),
        (
            several,
            "object.spec.containers.size() > 0",
            Some((Severity::Warning, "containers")),
        ),
        (ALL, "object.spec.anything == 1", None),
    ] {
        let expected = expected.map(|(severity, text)| (severity, text.to_owned()));
        assert_eq!(
            found(rule, expression).into_iter().next(),
            expected,
            "{expression}"
        );
    }
}

#[test]
fn a_cel_policy_is_held_to_what_happens_not_to_what_kubernetes_can_check() {
    check(
        "lint/type",
        &[
            (
                "object.spec.template.spec.containers.all(c, has(c.resources.limits))",
                "",
            ),
            ("object.spec.replcas > 1", "replcas"),
            ("settings.x == object.spec.replicas", ""),
        ],
    );
    let pods = "// A policy.\n//\n// ---\n// name: p\n// pods: true\n// ---\n\n// @require it\npod.spec.hostNam != ''\n";
    let found = findings(pods);
    assert!(
        found
            .iter()
            .any(|(code, _, text)| code == "lint/type" && text == "hostNam"),
        "{found:?}"
    );
}

#[test]
fn policies_that_ask_too_much_end() {
    let mut sections = String::from("// @let v0\nobject.spec.paused\n\n");
    for at in 1..40 {
        let before = at - 1;
        sections += &format!(
            "// @let v{at}\nvariables.v{before} && variables.v{before} || variables.v{before}\n\n"
        );
    }
    let wide =
        vec!["has(object.metadata.labels.a) && object.metadata.labels.a == 'b'"; 300].join(" || ");
    sections += &format!("// @require it\nvariables.v39 || {wide}\n");
    findings(&about("apps/v1/deployments", "CREATE", &sections));
}

#[test]
fn a_policy_about_the_cluster_is_looked_at_like_any_other() {
    let about_cluster = |sections: &str| {
        format!("// ---\n// name: p\n// scope: cluster\n// reads: [v1/Node]\n// ---\n{sections}")
    };
    let sound = "// @let nodes\ncluster.list('v1', 'Node', '')\n\
                 // @require there are three nodes\nsize(variables.nodes) >= 3\n";
    assert_eq!(findings(&about_cluster(sound)), []);
    let unused = format!("// @let other\ncluster.list('v1', 'Node', '')\n{sound}");
    let found = findings(&about_cluster(&unused));
    let codes: Vec<&str> = found.iter().map(|(code, ..)| code.as_str()).collect();
    assert_eq!(codes, ["lint/unused-variable"]);
}

#[test]
fn what_is_asked_of_a_variable_with_an_optional_is_none() {
    let let_it = |made: &str, asked: &str| format!("// @let it\n{made}\n// @require it\n{asked}\n");
    let rows = [
        (
            let_it("object.?spec", "variables.it.?replicas.orValue(1) > 1"),
            "variables.it.?replicas",
        ),
        (
            let_it(
                "yaml.parseOrNone('a: 1')",
                "variables.it[?'a'].orValue(1) > 1",
            ),
            "variables.it[?'a']",
        ),
        (
            let_it(
                "object.?spec.orValue({})",
                "variables.it.?replicas.orValue(1) > 1",
            ),
            "",
        ),
        (
            let_it(
                "object.?spec",
                "variables.it.optMap(it, it.replicas).orValue(1) > 1",
            ),
            "",
        ),
        (
            let_it("object.spec", "variables.it.?replicas.orValue(1) > 1"),
            "",
        ),
    ];
    for (sections, expected) in &rows {
        check("lint/optional-variable", &[(sections, expected)]);
    }
}
