//! `check`: what is found, how it is shown, and how it ends.

use serde_json::Value;

use super::{Folder, REPLICAS, deployment};

/// Returns code and summary of a check with the policy [`REPLICAS`].
fn check(files: &[(&str, &str)], line: &str) -> (Option<i32>, String) {
    let folder = Folder::with(files);
    folder.write("p/replicas.cel", REPLICAS.as_bytes());
    let output = folder.run(&format!("check --policies p {line}"));
    (output.code, output.summary())
}

#[test]
fn a_violation_is_shown_where_it_is_written_with_the_rule() {
    let folder = Folder::with(&[("d.yaml", &deployment("web", 1)), ("p.cel", REPLICAS)]);
    let output = folder.run("check d.yaml --policies p.cel");
    assert_eq!(output.code, Some(1));
    insta::assert_snapshot!(output.out, @r#"
    error[replicas]: web runs 1
      --> d.yaml:6:13
       |
     6 |   replicas: 1
       |             ^
       |
      ::: p.cel:10:1
       |
    10 | object == null || object.spec.replicas >= settings.floor
       | -------------------------------------------------------- the rule
       |
       = object: Deployment default/web
       = help: Three replicas survive the loss of a node.
    "#);
    insta::assert_snapshot!(output.summary(), @"1 object checked, 1 violation");
}

#[test]
fn the_exit_code_says_whether_something_would_be_rejected() {
    let (good, bad) = (deployment("web", 3), deployment("web", 1));
    let broken = format!("kind: [\n---\n{bad}");
    for (text, line, code, summary) in [
        (&good, "m.yaml", 0, "1 object checked, 0 violations"),
        (&bad, "m.yaml", 1, "1 object checked, 1 violation"),
        (
            &bad,
            "m.yaml --mode audit",
            0,
            "1 object checked, 0 violations, 1 warning",
        ),
        (&broken, "m.yaml", 2, "1 object checked, 1 violation"),
        (
            &good,
            "m.yaml gone.yaml",
            2,
            "1 object checked, 0 violations",
        ),
        (
            &good,
            "m.yaml --operation DELETE",
            0,
            "1 object checked, 0 violations",
        ),
        (
            &bad,
            "m.yaml --operation delete",
            0,
            "1 object checked, 0 violations",
        ),
        (
            &bad,
            "m.yaml --operation UPDATE",
            1,
            "1 object checked, 1 violation",
        ),
    ] {
        let result = check(&[("m.yaml", text)], line);
        assert_eq!(result, (Some(code), summary.to_owned()), "{line}\n{text}");
    }
}

#[test]
fn the_strongest_action_of_a_policy_is_the_severity_of_a_finding() {
    for (action, severity, code) in [
        ("deny", "error", 1),
        ("warn", "warning", 0),
        ("audit", "note", 0),
    ] {
        let policy = REPLICAS.replace("// settings", &format!("// action: {action}\n// settings"));
        let folder = Folder::with(&[("d.yaml", &deployment("web", 1)), ("p.cel", &policy)]);
        let output = folder.run("check d.yaml --policies p.cel --format json");
        let findings: Value = serde_json::from_str(&output.out).unwrap();
        assert_eq!(findings[0]["severity"], severity);
        assert_eq!(findings[0]["message"], "web runs 1");
        assert_eq!(output.code, Some(code), "{action}");
    }
}

#[test]
fn every_format_has_the_finding_and_what_could_not_be_read() {
    let text = format!("{}---\nkind: [\n", deployment("web", 1));
    let folder = Folder::with(&[("d.yaml", &text), ("p.cel", REPLICAS)]);
    let run = |format: &str| {
        let output = folder.run(&format!("check d.yaml --policies p.cel --format {format}"));
        assert_eq!(output.code, Some(2), "{format}: {output:?}");
        output.out
    };
    let json: Value = serde_json::from_str(&run("json")).unwrap();
    let codes = json
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["code"].as_str().unwrap());
    assert_eq!(codes.collect::<Vec<_>>(), ["replicas", "manifest/yaml"]);
    assert_eq!(json[0]["subject"], "Deployment default/web");
    assert_eq!(
        (&json[0]["line"], &json[0]["file"]),
        (&6.into(), &"d.yaml".into())
    );
    let sarif: Value = serde_json::from_str(&run("sarif")).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    let related = &results[0]["relatedLocations"][0]["physicalLocation"];
    assert_eq!(related["artifactLocation"]["uri"], "p.cel");
    insta::assert_snapshot!(run("github"), @r#"
    ::error file=d.yaml,line=6,endLine=6,col=13,endColumn=14,title=replicas::Deployment default/web: web runs 1%0Ahelp: Three replicas survive the loss of a node.
    ::error file=d.yaml,line=9,endLine=9,col=1,endColumn=1,title=manifest/yaml::did not find expected node content
    "#);
    insta::assert_snapshot!(run("junit"), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites tests="2" failures="1" errors="1" skipped="0" time="0.000">
      <testsuite name="portcullis" tests="1" failures="0" errors="1" skipped="0" time="0.000">
        <testcase name="manifest/yaml" classname="d.yaml">
          <error message="did not find expected node content" type="manifest/yaml">d.yaml:9:1: error[manifest/yaml]: did not find expected node content
    </error>
        </testcase>
      </testsuite>
      <testsuite name="d.yaml" tests="1" failures="1" errors="0" skipped="0" time="0.000">
        <testcase name="Deployment default/web" classname="d.yaml">
          <failure message="web runs 1" type="replicas">error[replicas]: web runs 1
      --&gt; d.yaml:6:13
       |
     6 |   replicas: 1
       |             ^
       |
      ::: p.cel:10:1
       |
    10 | object == null || object.spec.replicas &gt;= settings.floor
       | -------------------------------------------------------- the rule
       |
       = object: Deployment default/web
       = help: Three replicas survive the loss of a node.
    </failure>
        </testcase>
      </testsuite>
    </testsuites>
    "#);
}

#[test]
fn objects_come_in_files_folders_lists_and_streams() {
    let json = r#"{"apiVersion":"v1","kind":"List","items":[
        {"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"a"},"spec":{"replicas":1}},
        {"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"b"},"spec":{"replicas":3}}]}"#;
    let stream = format!(
        "---\n# nothing\n---\n{}---\n{}",
        deployment("c", 1),
        deployment("d", 3)
    );
    let folder = Folder::with(&[
        ("p.cel", REPLICAS),
        ("m/list.json", json),
        ("m/deeper/stream.yml", &stream),
        ("m/notes.txt", "not a manifest"),
        ("m/p.test.yaml", "cases: []"),
    ]);
    let one = deployment("e", 1);
    let output = folder.run_with("check m - --policies p.cel --format json", &one);
    let findings: Value = serde_json::from_str(&output.out).unwrap();
    let found = findings.as_array().unwrap().iter();
    let found = found.map(|it| {
        format!(
            "{}:{} {}",
            it["file"].as_str().unwrap(),
            it["line"],
            it["message"].as_str().unwrap()
        )
    });
    assert_eq!(
        found.collect::<Vec<_>>(),
        [
            "m/deeper/stream.yml:9 c runs 1",
            "m/list.json:2 a runs 1",
            "<stdin>:6 e runs 1"
        ]
    );
    assert_eq!(output.summary(), "5 objects checked, 3 violations");
}

#[test]
fn what_the_api_server_fills_in_counts() {
    // Without `replicas` there is one; null is nothing.
    for spec in ["{}", "{replicas: null}"] {
        let text = format!(
            "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: a}}, spec: {spec}}}"
        );
        let folder = Folder::with(&[("d.yaml", &text), ("p.cel", REPLICAS)]);
        let output = folder.run("check d.yaml --policies p.cel");
        assert!(
            output.out.contains("error[replicas]: a runs 1"),
            "{spec}: {output:?}"
        );
    }
}

#[test]
fn old_objects_make_updates_and_deletions() {
    let policy = "// ---
// name: p
// match: {resources: [v1/configmaps], operations: ['*']}
// ---
// @require never
false
// @message
request.operation + ' ' + request.name + ' ' + (oldObject == null ? '-' : oldObject.data.a)
";
    let map = |name: &str, data: &str| {
        format!(
            "---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}, data: {{a: {data}}}}}\n"
        )
    };
    let old = [map("kept", "old"), map("gone", "old")].concat();
    let new = [map("kept", "new"), map("added", "new")].concat();
    let folder = Folder::with(&[("old.yaml", &old), ("new.yaml", &new), ("p.cel", policy)]);
    let messages = |line: &str| {
        let output = folder.run(&format!("check --policies p.cel --format json {line}"));
        let findings: Value = serde_json::from_str(&output.out).unwrap();
        let found = findings.as_array().unwrap().iter();
        found
            .map(|it| {
                format!(
                    "{} {}",
                    it["file"].as_str().unwrap(),
                    it["message"].as_str().unwrap()
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        messages("new.yaml --old old.yaml"),
        [
            "new.yaml UPDATE kept old",
            "new.yaml CREATE added -",
            "old.yaml DELETE gone old"
        ]
    );
    assert_eq!(
        messages("new.yaml --operation DELETE"),
        ["new.yaml DELETE kept new", "new.yaml DELETE added new"]
    );
    assert_eq!(
        messages("new.yaml --operation UPDATE"),
        ["new.yaml UPDATE kept new", "new.yaml UPDATE added new"]
    );
}

#[test]
fn the_request_is_for_the_namespace_and_user_asked_for() {
    let policy = "// ---
// name: p
// match: {resources: [v1/configmaps, v1/namespaces]}
// ---
// @require never
false
// @message
request.userInfo.username + ' ' + request.userInfo.groups.join(',') + ' '
  + (has(request.namespace) ? request.namespace : '-')
  + ' ' + (has(object.metadata.namespace) ? object.metadata.namespace : '-')
";
    let text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n---\n\
                {apiVersion: v1, kind: ConfigMap, metadata: {name: b, namespace: own}}\n---\n\
                {apiVersion: v1, kind: Namespace, metadata: {name: c}}\n";
    let folder = Folder::with(&[("m.yaml", text), ("p.cel", policy)]);
    let messages = |line: &str| {
        let output = folder.run(&format!(
            "check m.yaml --policies p.cel --format json {line}"
        ));
        let findings: Value = serde_json::from_str(&output.out).unwrap();
        let found = findings.as_array().unwrap().iter();
        found
            .map(|it| it["message"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let admin = "kubernetes-admin system:masters,system:authenticated";
    assert_eq!(
        messages(""),
        [
            format!("{admin} default default"),
            format!("{admin} own own"),
            format!("{admin} c -")
        ]
    );
    assert_eq!(
        messages("--namespace prod --user alice --group dev"),
        [
            "alice system:authenticated,dev prod prod",
            "alice system:authenticated,dev own own",
            "alice system:authenticated,dev c -"
        ]
    );
}

#[test]
fn resources_of_custom_kinds_come_from_rules_and_definitions() {
    let crd = "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition,
      metadata: {name: kubi.example.com},
      spec: {group: example.com, scope: Namespaced, names: {plural: kubi, kind: Kubus},
        versions: [{name: v1, served: true, storage: true}]}}";
    let kubus = "{apiVersion: example.com/v1, kind: Kubus, metadata: {name: a}}";
    let policy = |resources: &str| {
        format!(
            "// ---\n// name: p\n// match: {{resources: [{resources}]}}\n// ---\n// @require never\nfalse\n"
        )
    };
    let both = format!("{kubus}\n---\n{crd}");
    for (resources, manifests, line, violations, note) in [
        ("example.com/v1/kubi", kubus, "", 0, true),
        ("example.com/v1/kubi", kubus, "--crds crd.yaml", 1, false),
        ("example.com/v1/kubi", &both, "", 1, false),
        ("example.com/v1/kubuses", kubus, "", 1, false),
    ] {
        let policy = policy(resources);
        let files = [("m.yaml", manifests), ("crd.yaml", crd), ("p.cel", &policy)];
        let output = Folder::with(&files).run(&format!("check m.yaml --policies p.cel {line}"));
        let found = output.out.matches("error[p]").count();
        assert_eq!(found, violations, "{resources} {line}: {output:?}");
        let noted = output
            .err
            .contains("guessed (give their definitions with --crds): Kubus (example.com/v1)");
        assert_eq!(noted, note, "{resources} {line}: {output:?}");
    }
}

#[test]
fn the_namespace_of_an_object_comes_from_the_run_or_the_cluster() {
    let policy = "// ---
// name: p
// match: {resources: [v1/configmaps]}
// namespaceSelector: {matchLabels: {closed: 'true'}}
// ---
// @require nothing is made in closed namespaces
false
";
    let map = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: shop}}\n";
    let namespace =
        "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {closed: 'true'}}}\n";
    let both = format!("{map}---\n{namespace}");
    for (manifests, line, violations) in [
        (map, "", 0),
        (&both, "", 1),
        (map, "--cluster-objects cluster", 1),
    ] {
        let files = [
            ("m.yaml", manifests),
            ("cluster/ns.yaml", namespace),
            ("p.cel", policy),
        ];
        let output = Folder::with(&files).run(&format!("check m.yaml --policies p.cel {line}"));
        assert_eq!(
            output.out.matches("error[p]").count(),
            violations,
            "{line}: {output:?}"
        );
    }
}

#[test]
fn the_built_in_policies_are_used_unless_others_are_named() {
    let folder = Folder::with(&[("d.yaml", &deployment("meshery", 1))]);
    let output = folder.run("check d.yaml");
    assert_eq!(output.code, Some(1));
    assert!(output.out.contains("error[meshery-replicas]"), "{output:?}");
    assert!(
        output.out.contains("built-in/meshery/meshery-replicas.cel"),
        "{output:?}"
    );
}

#[test]
fn results_of_many_objects_are_in_the_order_they_are_written() {
    let all: Vec<String> = (0..500)
        .map(|at| deployment(&format!("d{at}"), 1))
        .collect();
    let folder = Folder::with(&[("m.yaml", &all.join("---\n")), ("p.cel", REPLICAS)]);
    let output = folder.run("check m.yaml --policies p.cel --format json");
    let findings: Value = serde_json::from_str(&output.out).unwrap();
    let found = findings.as_array().unwrap().iter();
    let found: Vec<String> = found
        .map(|it| it["message"].as_str().unwrap().to_owned())
        .collect();
    let expected: Vec<String> = (0..500).map(|at| format!("d{at} runs 1")).collect();
    assert_eq!(found, expected);
}

#[test]
fn policies_look_up_the_other_objects_of_the_run_and_of_the_cluster() {
    let policy = "// ---
// name: p
// match: {resources: [apps/v1/deployments]}
// reads: [autoscaling/v2/HorizontalPodAutoscaler, apps/v1/Deployment]
// ---

// @require an autoscaler keeps two replicas
cluster.list('autoscaling/v2', 'HorizontalPodAutoscaler', object.metadata.namespace)
  .exists(it, it.spec.scaleTargetRef.name == object.metadata.name && it.spec.minReplicas >= 2)
// @require it is the only Deployment of its name
cluster.list('apps/v1', 'Deployment', '').all(it, it.metadata.name != object.metadata.name)
";
    let autoscaler = |min: &str| {
        format!(
            "{{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {{name: h}}, \
             spec: {{{min}scaleTargetRef: {{kind: Deployment, name: web}}, maxReplicas: 9}}}}\n"
        )
    };
    let web = deployment("web", 1);
    let good = format!("{web}---\n{}", autoscaler("minReplicas: 2, "));
    // An autoscaler that does not say keeps one replica.
    let weak = format!("{web}---\n{}", autoscaler(""));
    let elsewhere = format!(
        "{good}---\n{}",
        web.replace("name: web", "name: web\n  namespace: x")
    );
    for (manifests, line, lines) in [
        (&good, "", [].as_slice()),
        (&web, "", &["p.cel:8"]),
        (&weak, "", &["p.cel:8"]),
        (&web, "--cluster-objects cluster", &[]),
        (&elsewhere, "", &["p.cel:11", "p.cel:8", "p.cel:11"]),
        // What is in the cluster already is the object itself.
        (&good, "--cluster-objects m.yaml", &[]),
    ] {
        let files = [
            ("m.yaml", manifests.as_str()),
            ("cluster/h.yaml", &autoscaler("minReplicas: 2, ")),
            ("p.cel", policy),
        ];
        let output = Folder::with(&files).run(&format!("check m.yaml --policies p.cel {line}"));
        let rules = output.out.lines().filter_map(|line| {
            let place = line.trim().strip_prefix("::: ")?;
            Some(place.rsplit_once(':').map_or(place, |(place, _)| place))
        });
        assert_eq!(rules.collect::<Vec<_>>(), lines, "{line}: {output:?}");
    }
}

#[test]
fn whole_cases_are_answered_line_by_line() {
    let case = |id: &str, number: u8| {
        format!(
            r#"{{"id":"{id}","policies":[{{"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingAdmissionPolicy","metadata":{{"name":"p"}},"spec":{{"matchConstraints":{{"resourceRules":[{{"apiGroups":[""],"apiVersions":["v1"],"operations":["*"],"resources":["configmaps"]}}]}},"validations":[{{"expression":"object.data.a == '1'","message":"no","reason":"Forbidden"}}]}}}}],"bindings":[{{"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingAdmissionPolicyBinding","metadata":{{"name":"b"}},"spec":{{"policyName":"p","validationActions":["Deny","Audit"]}}}}],"request":{{"kind":{{"group":"","version":"v1","kind":"ConfigMap"}},"resource":{{"group":"","version":"v1","resource":"configmaps"}},"operation":"CREATE","namespace":"n","userInfo":{{}}}},"object":{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"generateName":"m-"}},"data":{{"a":"{number}"}}}},"oldObject":null}}"#
        )
    };
    let input = format!(
        "{}\nnot json\n\n{}\n{{\"id\": 7}}\n",
        case("one", 1),
        case("two", 2)
    );
    let output = Folder::with(&[]).run_with("check --jsonl", &input);
    assert_eq!(output.code, Some(2), "{output:?}");
    insta::assert_snapshot!(output.out, @r#"
    {"id":"one","allowed":true,"message":null,"warnings":[],"auditAnnotations":{},"validationFailure":null,"patched":null}
    {"id":null,"error":"not JSON: expected ident at line 1 column 2"}
    {"id":"two","allowed":false,"message":"configmaps \"m-\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no","warnings":[],"auditAnnotations":{},"validationFailure":"[{\"message\":\"no\",\"policy\":\"p\",\"binding\":\"b\",\"expressionIndex\":0,\"validationActions\":[\"Deny\",\"Audit\"]}]","patched":null}
    {"id":7,"error":"`request` is missing or no object"}
    "#);
}

#[test]
fn policies_about_the_cluster_are_evaluated_once_if_there_is_one() {
    let policy = "// Replicas need several nodes.
//
// ---
// name: nodes
// scope: cluster
// action: audit
// reads: [v1/Node]
// ---

// @require there are three nodes
size(cluster.list('v1', 'Node', '')) >= 3
// @message
'there are ' + string(size(cluster.list('v1', 'Node', ''))) + ' nodes'
";
    let node = |name: &str| format!("{{apiVersion: v1, kind: Node, metadata: {{name: {name}}}}}\n");
    let manifests = format!(
        "{}---\n{}---\n{}",
        deployment("web", 3),
        deployment("api", 3),
        node("a")
    );
    let folder = Folder::with(&[
        ("m.yaml", &manifests),
        ("p/replicas.cel", REPLICAS),
        ("p/nodes.cel", policy),
        ("cluster/nodes.yaml", &node("b")),
        ("more/nodes.yaml", &node("c")),
    ]);
    let alone = folder.run("check m.yaml --policies p");
    assert_eq!((alone.code, alone.out.as_str()), (Some(0), ""));
    insta::assert_snapshot!(alone.summary(), @r#"
    note: 1 policy about the whole cluster was not evaluated (give the cluster's objects with --cluster-objects)
    3 objects checked, 0 violations
    "#);
    let output = folder.run("check m.yaml --policies p --cluster-objects cluster");
    assert_eq!(output.code, Some(0));
    insta::assert_snapshot!(output.out, @r#"
    note[nodes]: there are 2 nodes
      --> p/nodes.cel:11:1
       |
    11 | size(cluster.list('v1', 'Node', '')) >= 3
       | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = object: the cluster
       = help: Replicas need several nodes.
    "#);
    insta::assert_snapshot!(output.summary(), @"3 objects and the cluster checked, 0 violations, 1 note");
    let strict = folder.run("check m.yaml --policies p --cluster-objects cluster --format junit");
    insta::assert_snapshot!(strict.out, @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites tests="4" failures="0" errors="0" skipped="0" time="0.000">
      <testsuite name="m.yaml" tests="3" failures="0" errors="0" skipped="0" time="0.000">
        <testcase name="Deployment default/web" classname="m.yaml"/>
        <testcase name="Deployment default/api" classname="m.yaml"/>
        <testcase name="Node a" classname="m.yaml"/>
      </testsuite>
      <testsuite name="p/nodes.cel" tests="1" failures="0" errors="0" skipped="0" time="0.000">
        <testcase name="the cluster" classname="p/nodes.cel">
          <system-out>note[nodes]: there are 2 nodes
      --&gt; p/nodes.cel:11:1
       |
    11 | size(cluster.list(&apos;v1&apos;, &apos;Node&apos;, &apos;&apos;)) &gt;= 3
       | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = object: the cluster
       = help: Replicas need several nodes.
    </system-out>
        </testcase>
      </testsuite>
    </testsuites>
    "#);
    let enough = "check m.yaml --policies p --cluster-objects cluster --cluster-objects more";
    let enough = folder.run(enough);
    assert_eq!((enough.code, enough.out.as_str()), (Some(0), ""));
    folder.write(
        "p/nodes.cel",
        policy.replace("action: audit", "action: deny").as_bytes(),
    );
    let output = folder.run("check m.yaml --policies p --cluster-objects cluster");
    assert_eq!(output.code, Some(1), "{output:?}");
    folder.write(
        "p/nodes.cel",
        policy.replace("'v1', 'Node'", "object, 'Node'").as_bytes(),
    );
    let output = folder.run("check m.yaml --policies p");
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(
        output.out.contains("without an object or a request"),
        "{output:?}"
    );
}
