//! Reading `.cel` files: what they may say, and every mistake in them.

use super::*;

/// A file with everything in it.
pub(super) const WHOLE: &str = "\
// Keeps workloads up.
//
// ---
// name: keeps-up
// severity: high
// category: high-availability
// source: 'A guide: Replicas'
// match:
//   resources: [apps/v1/deployments, apps/v1/deployments/scale, v1/pods]
//   operations: [CREATE, UPDATE]
//   scope: Namespaced
//   names: [a, b]
// exclude: {resources: ['*/*/*']}
// namespaceSelector: {matchLabels: {env: prod}}
// objectSelector:
//   matchExpressions: [{key: app, operator: In, values: [x, z]}]
// matchPolicy: Exact
// action: [warn, audit]
// failurePolicy: Ignore
// settings: {min: 3, names: [a, b], ratio: 3.0, strict: true}
// reads: [autoscaling/v2/HorizontalPodAutoscaler, v1/ConfigMap]
// params:
//   kind: {apiVersion: v1, kind: ConfigMap}
//   name: limits
//   namespace: ops
//   notFound: Allow
// reinvocationPolicy: IfNeeded
// mutate: true
// ---

// @when it is ours
object.metadata.name == 'x'

// @let floor
settings.min

// @require at least three
object.spec.replicas >= variables.floor
// @message
'only ' + string(object.spec.replicas)
// @reason Forbidden

// @audit replicas
string(object.spec.replicas)

// @patch
[JSONPatch{op: 'remove', path: '/a'}]

// @apply
Object{}
";

#[test]
fn everything_that_can_be_written_is_read() {
    let documents = sound("policies/file.cel", WHOLE);
    let [validating, mutating] = documents.policies.as_slice() else {
        panic!("{} policies", documents.policies.len());
    };
    for policy in [validating, mutating] {
        assert_eq!(policy.name, "keeps-up");
        assert_eq!(policy.reading, Reading::Whole);
        assert_eq!(policy.scope, PolicyScope::Request);
        assert_eq!(policy.about.description, "Keeps workloads up.");
        assert_eq!(policy.about.severity, PolicySeverity::High);
        assert_eq!(policy.about.category.as_deref(), Some("high-availability"));
        assert_eq!(policy.about.source.as_deref(), Some("A guide: Replicas"));
        assert_eq!(policy.failure_policy, FailurePolicy::Ignore);
        assert_eq!(policy.reinvocation_policy, ReinvocationPolicy::IfNeeded);
        assert!(policy.mutate);
        let settings = serde_json::to_string(&policy.settings).expect("JSON");
        assert_eq!(
            settings,
            r#"{"min":3,"names":["a","b"],"ratio":3.0,"strict":true}"#
        );
        let reads: Vec<_> = policy
            .reads
            .iter()
            .map(|read| read.api_version.as_str())
            .collect();
        assert_eq!(reads, ["autoscaling/v2", "v1"]);
        assert_eq!(policy.match_conditions[0].name, "it is ours");
        assert_eq!(policy.variables[0].expression.text, "settings.min");
        assert_eq!(policy.origin.source.slice(policy.origin.span), "keeps-up");
    }
    assert_eq!(validating.kind, PolicyKind::Validating);
    assert_eq!(validating.audit_annotations[0].key, "replicas");
    assert!(validating.mutations.is_empty());
    let validation = &validating.validations[0];
    assert_eq!(validation.message.as_deref(), Some("at least three"));
    assert_eq!(validation.reason, Some(Reason::Forbidden));
    let message = validation.message_expression.as_ref().expect("a message");
    assert_eq!(message.text, "'only ' + string(object.spec.replicas)");
    assert_eq!(mutating.kind, PolicyKind::Mutating);
    assert!(mutating.validations.is_empty() && mutating.audit_annotations.is_empty());
    assert!(matches!(
        mutating.mutations.as_slice(),
        [Mutation::JsonPatch(patch), Mutation::ApplyConfiguration(apply)]
            if patch.text == "[JSONPatch{op: 'remove', path: '/a'}]" && apply.text == "Object{}"
    ));
}

#[test]
fn a_file_implies_a_binding_for_each_of_its_policies() {
    let documents = sound("file.cel", WHOLE);
    let [validating, mutating] = documents.bindings.as_slice() else {
        panic!("{} bindings", documents.bindings.len());
    };
    for binding in [validating, mutating] {
        assert_eq!(binding.name, "keeps-up");
        assert_eq!(binding.policy_name, "keeps-up");
        let param_ref = binding.param_ref.as_ref().expect("a reference");
        assert!(matches!(&param_ref.select, ParamSelect::Name(name) if name == "limits"));
        assert_eq!(param_ref.namespace.as_deref(), Some("ops"));
        assert_eq!(param_ref.not_found, ParameterNotFoundAction::Allow);
        assert!(binding.match_resources.is_none());
    }
    let on_trial = [ValidationAction::Warn, ValidationAction::Audit];
    assert_eq!(validating.validation_actions, on_trial);
    assert_eq!(mutating.validation_actions, on_trial);
    let documents = sound("file.cel", &WHOLE.replace("[warn, audit]", "deny"));
    let actions = documents
        .bindings
        .iter()
        .map(|it| it.validation_actions.as_slice());
    let actions: Vec<_> = actions.collect();
    assert_eq!(
        actions,
        [&[ValidationAction::Deny][..], &[]],
        "a mutation is made"
    );
}

#[test]
fn resources_of_one_group_and_version_are_one_rule() {
    let documents = sound("file.cel", WHOLE);
    let matched = documents.policies[0]
        .match_constraints
        .as_ref()
        .expect("rules");
    let rules: Vec<_> = matched
        .resource_rules
        .iter()
        .map(|rule| (rule.api_groups.join(","), rule.resources.join(",")))
        .collect();
    let row = |group: &str, resources: &str| (group.to_owned(), resources.to_owned());
    assert_eq!(
        rules,
        [
            row("apps", "deployments,deployments/scale"),
            row("", "pods")
        ]
    );
    for rule in &matched.resource_rules {
        assert_eq!(rule.operations, ["CREATE", "UPDATE"]);
        assert_eq!(rule.resource_names, ["a", "b"]);
        assert_eq!(rule.scope, Scope::Namespaced);
    }
    let excluded = &matched.exclude_resource_rules[0];
    assert_eq!(excluded.operations, ["*"]);
    assert_eq!(excluded.api_groups, ["*"]);
    assert_eq!(matched.match_policy, MatchPolicy::Exact);
    assert_eq!(matched.namespace_selector.match_labels["env"], "prod");
    assert_eq!(
        matched.object_selector.match_expressions[0].values,
        ["x", "z"]
    );
}

#[test]
fn little_need_be_written() {
    let text = "// ---\n// match: {resources: [v1/pods]}\n// ---\n// @require x\ntrue";
    let documents = sound("a/b/small.cel", text);
    let policy = &documents.policies[0];
    assert_eq!(policy.name, "small");
    assert_eq!(policy.failure_policy, FailurePolicy::Fail);
    assert_eq!(policy.reinvocation_policy, ReinvocationPolicy::Never);
    assert!(!policy.mutate);
    let matched = policy.match_constraints.as_ref().expect("rules");
    assert_eq!(matched.resource_rules[0].operations, ["CREATE", "UPDATE"]);
    assert_eq!(matched.match_policy, MatchPolicy::Equivalent);
    assert_eq!(
        documents.bindings[0].validation_actions,
        [ValidationAction::Deny]
    );
    assert_eq!(documents.policies.len(), 1);
}

#[test]
fn line_ends_make_no_difference_to_the_model() {
    let plain = sound("file.cel", WHOLE);
    let windows = sound(
        "file.cel",
        &format!("\u{feff}{}", WHOLE.replace('\n', "\r\n")),
    );
    let texts = |documents: &Documents| -> Vec<String> {
        let policy = &documents.policies[0];
        vec![
            policy.about.description.clone(),
            policy.validations[0].expression.text.clone(),
            policy.validations[0].message.clone().unwrap_or_default(),
            serde_json::to_string(&policy.settings).expect("JSON"),
        ]
    };
    assert_eq!(texts(&plain), texts(&windows));
}

#[test]
fn a_policy_about_pods_matches_everything_with_a_template() {
    let body = "// @require x\ntrue\n";
    let documents = sound("p.cel", &format!("// ---\n// pods: true\n// ---\n{body}"));
    let policy = &documents.policies[0];
    assert_eq!(policy.pods, PodMatching::PodTemplates);
    let matched = policy.match_constraints.as_ref().expect("rules");
    let resources: Vec<&str> = matched
        .resource_rules
        .iter()
        .flat_map(|rule| rule.resources.iter().map(String::as_str))
        .collect();
    assert_eq!(
        resources,
        [
            "pods",
            "deployments",
            "statefulsets",
            "daemonsets",
            "replicasets",
            "jobs",
            "cronjobs"
        ]
    );
    let front = "// pods: true\n// match: {operations: [CREATE], resources: [apps/v1/deployments]}";
    let documents = sound("p.cel", &format!("// ---\n{front}\n// ---\n{body}"));
    let matched = documents.policies[0]
        .match_constraints
        .as_ref()
        .expect("rules");
    assert_eq!(matched.resource_rules[0].operations, ["CREATE"]);
    assert_eq!(matched.resource_rules.len(), 1);
}

#[test]
fn a_policy_about_the_cluster_matches_no_request() {
    let text = "// ---\n// scope: cluster\n// ---\n// @require x\ntrue\n";
    let documents = sound("p.cel", text);
    let policy = &documents.policies[0];
    assert_eq!(policy.scope, PolicyScope::Cluster);
    assert!(policy.match_constraints.is_none());
}

#[test]
fn what_matches_can_be_several_mappings() {
    let text = "\
// ---
// match:
// - {resources: [v1/pods], operations: [CREATE]}
// - {resources: [v1/pods], operations: [DELETE]}
// ---
// @require x
true
";
    let documents = sound("p.cel", text);
    let matched = documents.policies[0]
        .match_constraints
        .as_ref()
        .expect("rules");
    let operations: Vec<_> = matched
        .resource_rules
        .iter()
        .map(|rule| rule.operations.join(","))
        .collect();
    assert_eq!(operations, ["CREATE", "DELETE"]);
}

/// Puts one line of front matter into a file that is sound without it.
fn with_front(line: &str) -> String {
    format!("// ---\n// match: {{resources: [v1/pods]}}\n// {line}\n// ---\n// @require x\ntrue\n")
}

#[test]
fn every_mistake_in_the_front_matter_is_underlined() {
    let rows: [(&str, &[(&str, &str)]); 30] = [
        (
            "severty: high",
            &[("3:4 unknown-key severty", "`severity`")],
        ),
        ("zzz: 1", &[("3:4 unknown-key zzz", "known keys are name")]),
        (
            "severity: grave",
            &[("3:14 unknown-severity grave", "`critical`")],
        ),
        ("action: block", &[("3:12 unknown-action block", "`deny`")]),
        (
            "action: [deny, wran]",
            &[("3:19 unknown-action wran", "`warn`")],
        ),
        (
            "action: [deny, warn]",
            &[("3:12 exclusive [deny, warn]", "keep one")],
        ),
        (
            "action: [warn, warn]",
            &[("3:19 duplicate-value warn", "once")],
        ),
        ("action: []", &[("3:12 required []", "at least one")]),
        (
            "failurePolicy: fail",
            &[("3:19 unknown-failure-policy fail", "`Fail`")],
        ),
        (
            "matchPolicy: exact",
            &[("3:17 unknown-match-policy exact", "`Exact`")],
        ),
        (
            "reinvocationPolicy: x",
            &[("3:24 unknown-reinvocation-policy x", "`Never`")],
        ),
        (
            "scope: namespace",
            &[("3:11 unknown-scope namespace", "`cluster`")],
        ),
        ("name: Big", &[("3:10 invalid-name Big", "another name")]),
        ("name: 5", &[("3:10 wrong-type 5", "quotes")]),
        (
            "mutate: 'true'",
            &[("3:12 wrong-type 'true'", "`true` or `false`")],
        ),
        ("settings: [a]", &[("3:14 wrong-type [a]", "name: value")]),
        (
            "settings: {a: {b: 1}}",
            &[("3:18 wrong-type {b: 1}", "`params`")],
        ),
        (
            "settings: {a: [[1]]}",
            &[("3:19 wrong-type [1]", "`params`")],
        ),
        (
            "settings: {a-b: 1}",
            &[("3:15 invalid-name a-b", "settings.NAME")],
        ),
        (
            "reads: [v1/pods]",
            &[("3:12 malformed-kind v1/pods", "capital letter")],
        ),
        (
            "reads: v1/Pod",
            &[("3:11 wrong-type v1/Pod", "[item, item]")],
        ),
        (
            "exclude: {}",
            &[("3:4 required exclude", "apps/v1/deployments")],
        ),
        (
            "exclude: {resources: [apps/v1]}",
            &[("3:26 malformed-resource apps/v1", "its version too")],
        ),
        (
            "exclude: {resources: [v1/pods], operations: [EVICT]}",
            &[("3:49 unknown-operation EVICT", "`CREATE`")],
        ),
        (
            "objectSelector: {matchLabels: {app: 'a b'}}",
            &[("3:40 invalid-label 'a b'", "no object")],
        ),
        (
            "params: {kind: {apiVersion: v1, kind: ConfigMap}}",
            &[("3:4 required params", "which parameters")],
        ),
        (
            "params: {name: x}",
            &[("3:4 required params", "kind: ConfigMap")],
        ),
        (
            "params: {kind: {apiVersion: v1, kind: Config.Map}, name: x, notFound: Fail}",
            &[
                ("3:74 unknown-not-found-action Fail", "`Allow`"),
                ("3:42 invalid-name Config.Map", "another name"),
            ],
        ),
        ("pods: true", &[]),
        ("failurePolicy: null", &[]),
    ];
    for (line, expected) in rows {
        check("p.cel", &with_front(line), expected);
    }
}

#[test]
fn every_mistake_in_what_matches_is_underlined() {
    let rows: [(&str, &[(&str, &str)]); 11] = [
        (
            "match: {}",
            &[("2:4 required match", "apps/v1/deployments")],
        ),
        (
            "match: {resources: []}",
            &[("2:23 required []", "apps/v1/deployments")],
        ),
        (
            "match: {resources: [pods]}",
            &[("2:24 malformed-resource pods", "`v1/pods`")],
        ),
        (
            "match: {resources: [apps/v1/Deployment], operations: [create]}",
            &[(
                "2:24 malformed-resource apps/v1/Deployment",
                "`deployments`",
            )],
        ),
        (
            "match: {resources: [v1/pods], operations: [create]}",
            &[("2:47 unknown-operation create", "`CREATE`")],
        ),
        (
            "match: {resources: [v1/pods], operations: ['*', CREATE]}",
            &[("2:46 overlap ['*', CREATE]", "keep `*`")],
        ),
        (
            "match: {resources: [v1/pods], operations: []}",
            &[("2:46 required []", "takes all")],
        ),
        (
            "match: {resources: [v1/pods, v1/pods/*, v1/pods/exec]}",
            &[("2:44 overlap v1/pods/exec", "remove one")],
        ),
        (
            "match: {resource: [v1/pods]}",
            &[
                ("2:12 unknown-key resource", "`resources`"),
                ("2:4 required match", "apps/v1/deployments"),
            ],
        ),
        (
            "match: apps/v1/deployments",
            &[("2:11 wrong-type apps/v1/deployments", "key: value")],
        ),
        ("name: x", &[("1:1 required // ---", "match: {resources")]),
    ];
    for (line, expected) in rows {
        let text = format!("// ---\n// {line}\n// ---\n// @require x\ntrue\n");
        let found = findings("p.cel", &text);
        let mut places: Vec<&str> = found.iter().map(|(place, _)| place.as_str()).collect();
        places.sort_unstable();
        let mut wanted: Vec<&str> = expected.iter().map(|(place, _)| *place).collect();
        wanted.sort_unstable();
        assert_eq!(places, wanted, "{line}");
        for (place, help) in expected {
            assert!(
                found
                    .iter()
                    .any(|(at, said)| at == place && said.contains(help)),
                "{line}: {found:#?}"
            );
        }
    }
}

#[test]
fn every_mistake_in_the_sections_is_underlined() {
    let rows: [(&str, &[(&str, &str)]); 22] = [
        (
            "// @require x\n",
            &[("4:4 empty-expression @require", "CEL expression")],
        ),
        (
            "// @require x\n// only a comment\n",
            &[("4:4 empty-expression @require", "CEL expression")],
        ),
        (
            "// @require\ntrue\n",
            &[("4:4 missing-text @require", "what must hold")],
        ),
        (
            "// @when\ntrue\n// @require x\ntrue\n",
            &[("4:4 missing-text @when", "what it selects")],
        ),
        (
            "// @message\n'x'\n// @require x\ntrue\n",
            &[("4:4 misplaced-section @message", "right below")],
        ),
        (
            "// @require x\ntrue\n// @audit a\n'x'\n// @message\n'x'\n",
            &[("8:4 misplaced-section @message", "right below")],
        ),
        (
            "// @require x\ntrue\n// @message\n'x'\n// @message\n'x'\n",
            &[("8:4 misplaced-section @message", "keep one")],
        ),
        (
            "// @require x\ntrue\n// @reason Invalid\n// @message\n'x'\n// @reason Forbidden\n",
            &[("9:4 misplaced-section @reason", "keep one")],
        ),
        (
            "// @require x\ntrue\n// @message it is bad\n'x'\n",
            &[("6:13 unexpected-text it is bad", "`@require`")],
        ),
        (
            "// @require x\ntrue\n// @reason Forbiden\n",
            &[("6:12 unknown-reason Forbiden", "`Forbidden`")],
        ),
        (
            "// @require x\ntrue\n// @reason Unauthorized\n",
            &[("6:12 unknown-reason Unauthorized", "`Invalid`")],
        ),
        (
            "// @require x\ntrue\n// @reason\n",
            &[("6:4 missing-text @reason", "`Invalid`")],
        ),
        (
            "// @require x\ntrue\n// @reason Invalid\nfalse\n",
            &[("7:1 unexpected-text false", "open a section")],
        ),
        (
            "// @let a\n1\n// @let a\n2\n// @require x\ntrue\n",
            &[("6:9 duplicate-name a", "own name")],
        ),
        (
            "// @let a b\n1\n// @require x\ntrue\n",
            &[("4:9 invalid-name a b", "letters, digits")],
        ),
        (
            "// @let in\n1\n// @require x\ntrue\n",
            &[("4:9 invalid-name in", "reserved word")],
        ),
        (
            "// @when a\ntrue\n// @when a\ntrue\n// @require x\ntrue\n",
            &[("6:10 duplicate-name a", "own name")],
        ),
        (
            "// @audit a\n'x'\n// @audit a\n'x'\n",
            &[("6:11 duplicate-name a", "own key")],
        ),
        (
            "// @audit a b\n'x'\n",
            &[("4:11 invalid-name a b", "another name")],
        ),
        (
            "// @patch x\n[]\n",
            &[("4:11 unexpected-text x", "a comment")],
        ),
        (
            "// @when x\ntrue\n",
            &[("4:4 no-sections @when", "`// @require")],
        ),
        (
            "// @requires x\ntrue\n",
            &[("4:4 unknown-section @requires", "`@require`")],
        ),
    ];
    for (sections, expected) in rows {
        let text = format!("// ---\n// match: {{resources: [v1/pods]}}\n// ---\n{sections}");
        check("p.cel", &text, expected);
    }
}

#[test]
fn a_file_that_is_no_policy_says_why() {
    check("p.cel", "", &[("1:1 no-sections ", "`// @require")]);
    check(
        "p.cel",
        "// only a comment\n",
        &[("1:18 no-sections ", "`// @require")],
    );
    check(
        "p.cel",
        "object.spec.replicas > 1\n",
        &[(
            "1:1 text-before-section object.spec.replicas > 1",
            "open a section",
        )],
    );
    check(
        "p.cel",
        "// @require x\ntrue\n",
        &[("1:4 required @require", "match: {resources")],
    );
    check(
        "p.cel",
        "// ---\n// ---\n// @require x\ntrue\n",
        &[("1:1 required // ---", "match")],
    );
    check(
        "<stdin>",
        &with_front("mutate: false"),
        &[("1:1 invalid-name // ---", "another name")],
    );
}

#[test]
fn yaml_that_cannot_be_read_is_pointed_at_in_the_comment() {
    for (line, place) in [
        ("match: {resources: [v1/pods]", "3:1"),
        ("match:\n// \tresources: [v1/pods]", "3:4"),
        (
            "match: {resources: [v1/pods]}\n// match: {}",
            "3:4 yaml match",
        ),
    ] {
        let text = format!("// ---\n// {line}\n// ---\n// @require x\ntrue\n");
        let found = findings("p.cel", &text);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].0.starts_with(place), "{line}: {found:#?}");
        assert!(found[0].0.contains(" yaml "), "{line}: {found:#?}");
    }
}

#[test]
fn all_mistakes_are_said_at_once_and_the_policy_is_faulty() {
    let text = "\
// ---
// severty: high
// match: {resources: [v1/pods], operations: [CREAT]}
// failurePolicy: Ignore
// ---
// @wen x
true
// @require y
// @reason Bad
";
    check(
        "p.cel",
        text,
        &[
            ("2:4 unknown-key severty", "`severity`"),
            ("6:4 unknown-section @wen", "`@when`"),
            ("8:4 empty-expression @require", "CEL expression"),
            ("9:12 unknown-reason Bad", "one of"),
            ("3:47 unknown-operation CREAT", "`CREATE`"),
        ],
    );
    let (documents, _) = read(&Source::new("p.cel", text));
    let policy = &documents.policies[0];
    assert_eq!(policy.reading, Reading::Faulty);
    assert_eq!(policy.failure_policy, FailurePolicy::Ignore);
    assert!(policy.match_constraints.is_some());
}

#[test]
fn things_that_exclude_each_other_are_refused() {
    let cluster = "// ---\n// scope: cluster\n// match: {resources: [v1/pods]}\n// ---\n";
    check(
        "p.cel",
        &format!("{cluster}// @require x\ntrue\n// @patch\n[]\n"),
        &[
            ("3:11 exclusive {resources: [v1/pods]}", "remove it"),
            ("7:4 exclusive @patch", "its own file"),
        ],
    );
    for key in [
        "exclude: {resources: [v1/pods]}",
        "namespaceSelector: {}",
        "objectSelector: {}",
        "matchPolicy: Exact",
        "params: {kind: {apiVersion: v1, kind: ConfigMap}, name: x}",
        "pods: true",
    ] {
        let found = findings(
            "p.cel",
            &format!("// ---\n// scope: cluster\n// {key}\n// ---\n// @require x\ntrue\n"),
        );
        assert_eq!(found.len(), 1, "{key}: {found:#?}");
        assert!(found[0].0.contains("exclusive"), "{key}: {found:#?}");
    }
    check(
        "p.cel",
        "// ---\n// pods: true\n// match: {resources: [v1/services]}\n// ---\n// @require x\ntrue\n",
        &[("3:24 exclusive v1/services", "remove it")],
    );
    check(
        "p.cel",
        "// ---\n// match: {resources: [v1/pods], operations: [DELETE]}\n// ---\n// @patch\n[]\n",
        &[("2:47 unknown-operation DELETE", "object to change")],
    );
}

#[test]
fn many_rules_with_many_names_do_not_multiply() {
    let list = |count: usize, item: fn(usize) -> String| {
        let items: Vec<String> = (0..count).map(item).collect();
        items.join(", ")
    };
    let resources = list(2_000, |index| format!("g{index}/v1/x"));
    let names = list(2_000, |index| format!("n{index}"));
    let front = format!("// match: {{resources: [{resources}], names: [{names}]}}");
    let text = format!("// ---\n{front}\n// ---\n// @require x\ntrue\n");
    let found = findings("p.cel", &text);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].0.contains("too-many"), "{found:#?}");
}
