//! `manifests`: what `serve` needs in a cluster.

use portcullis::text::{Source, yaml};
use serde_json::{Value, json};

use super::{Folder, REPLICAS};

const READS: &str = "// ---
// name: reads
// match: {resources: [v1/pods, coordination.k8s.io/v1/leases]}
// failurePolicy: Ignore
// reads: [v1/ConfigMap, autoscaling/v2/HorizontalPodAutoscaler, example.org/v1/Limit]
// ---

// @require the requester may
authorizer.group('').resource('pods').check('get').allowed() && cluster.list('v1', 'ConfigMap', '').size() > 0
";

fn printed(folder: &Folder, line: &str) -> (Vec<Value>, String) {
    let output = folder.run(line);
    assert_eq!(output.code, Some(0), "{}", output.err);
    let stream = yaml::parse_stream(&Source::new("out.yaml", output.out));
    let objects = stream.documents.iter().map(|it| it.to_json()).collect();
    (objects, output.err)
}

fn of_kind<'o>(objects: &'o [Value], kind: &str) -> &'o Value {
    let found = objects.iter().find(|it| it["kind"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} in {objects:?}"))
}

#[test]
fn a_server_that_manages_itself_gets_what_it_fills_in_and_may_do_no_more() {
    let folder = Folder::with(&[("p/replicas.cel", REPLICAS), ("p/reads.cel", READS)]);
    let (objects, said) = printed(
        &folder,
        "manifests --policies p --service policy/portcullis",
    );
    let kinds: Vec<_> = objects
        .iter()
        .map(|it| it["kind"].as_str().unwrap())
        .collect();
    let expected = [
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
    ];
    assert_eq!(kinds, expected);
    assert!(
        of_kind(&objects, "ValidatingWebhookConfiguration")
            .get("webhooks")
            .is_none()
    );
    let configurations = json!([
        "mutatingwebhookconfigurations",
        "validatingwebhookconfigurations"
    ]);
    assert_eq!(
        of_kind(&objects, "ClusterRole")["rules"],
        json!([
            {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]},
            {
                "apiGroups": ["apiextensions.k8s.io"],
                "resources": ["customresourcedefinitions"],
                "verbs": ["list", "watch"],
            },
            {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"]},
            {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": ["list", "watch"]},
            {"apiGroups": ["example.org"], "resources": ["limits"], "verbs": ["list", "watch"]},
            {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
            {
                "apiGroups": ["admissionregistration.k8s.io"],
                "resources": configurations,
                "resourceNames": ["portcullis"],
                "verbs": ["get", "patch"],
            },
        ])
    );
    let line = "manifests --policies p --service policy/portcullis --policy-namespace rules";
    let (objects, _) = printed(&folder, line);
    let mut roles = objects.iter().filter(|it| it["kind"] == "Role");
    let role = roles
        .find(|it| it["metadata"]["namespace"] == "rules")
        .unwrap();
    let events =
        json!({"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"]});
    let configmaps =
        json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"]});
    let exceptions = json!({
        "apiGroups": ["portcullis.dev"],
        "resources": ["policyexceptions"],
        "verbs": ["list", "watch"],
    });
    assert_eq!(role["rules"], json!([configmaps, exceptions, events]));
    let definition = of_kind(&objects, "CustomResourceDefinition");
    assert_eq!(
        definition["metadata"]["name"],
        "policyexceptions.portcullis.dev"
    );
    // What is in no namespace has its events in `default`.
    let line = "manifests --policies p --service policy/portcullis --cluster-policies labelled";
    let (objects, _) = printed(&folder, line);
    let mut roles = objects.iter().filter(|it| it["kind"] == "Role");
    let role = roles.find(|it| it["metadata"]["namespace"] == "default");
    assert_eq!(role.unwrap()["rules"], json!([events]));
    let rules = of_kind(&objects, "ClusterRole")["rules"].to_string();
    assert!(
        rules.contains("validatingadmissionpolicybindings"),
        "{rules}"
    );
    let one = format!("{line} --policy-namespace default");
    let (objects, _) = printed(&folder, &one);
    let roles: Vec<&Value> = objects
        .iter()
        .filter(|it| it["kind"] == "Role" && it["metadata"]["name"] == "portcullis-policies")
        .map(|it| &it["rules"])
        .collect();
    assert_eq!(roles, [&json!([configmaps, exceptions, events])]);
    assert!(
        said.contains("the resource of the kind `Limit` of `example.org/v1` is a guess"),
        "{said}"
    );
    assert!(
        said.contains("`reads` is never asked about `leases.coordination.k8s.io`"),
        "{said}"
    );
}

#[test]
fn each_installation_has_what_is_its_own() {
    let folder = Folder::with(&[("p/replicas.cel", REPLICAS)]);
    let line = "manifests --policies p --service gate-a/one --name one.gate-a";
    let (objects, _) = printed(&folder, line);
    for object in &objects {
        assert_eq!(object["metadata"]["name"], "one.gate-a", "{object}");
    }
    let subject = &of_kind(&objects, "ClusterRoleBinding")["subjects"][0];
    assert_eq!(subject["name"], "one.gate-a");
    let role = of_kind(&objects, "Role");
    let names = |resource: &str| {
        let rules = role["rules"].as_array().unwrap().iter();
        let mut rules = rules.filter(|rule| rule["resources"] == json!([resource]));
        rules.find_map(|rule| rule.get("resourceNames").cloned())
    };
    assert_eq!(names("leases"), Some(json!(["one.gate-a"])));
    assert_eq!(
        names("secrets"),
        Some(json!(["one-certs"])),
        "beside the Service"
    );

    // Where somebody else makes the certificate, nothing may be done with Secrets.
    let (objects, _) = printed(&folder, &format!("{line} --mounted-certs"));
    let role = of_kind(&objects, "Role").to_string();
    assert!(
        !role.contains("secrets") && role.contains("leases"),
        "{role}"
    );
    let refused = folder.run(&format!("{line}_"));
    assert!(
        refused.err.contains("no name of an object"),
        "{}",
        refused.err
    );

    // What it may not be called for is its own role, not that of another.
    folder.run("certs issue --dns one.gate-a.svc --dir c");
    let (objects, _) = printed(&folder, &format!("{line} --ca c/ca.crt"));
    let webhooks = of_kind(&objects, "ValidatingWebhookConfiguration").to_string();
    assert!(
        webhooks.contains("request.name in ['one.gate-a', 'one.gate-a-audit', "),
        "{webhooks}"
    );
}

/// The rules of every role with the place of that role, without names.
fn rules(objects: &[Value]) -> Vec<(String, Value)> {
    let roles = objects.iter().filter(|it| it.get("rules").is_some());
    let place = |it: &Value| format!("{} {}", it["kind"], it["metadata"]["namespace"]);
    roles.map(|it| (place(it), it["rules"].clone())).collect()
}

#[test]
fn a_server_outside_of_the_cluster_manages_itself_with_the_same_rights() {
    let folder = Folder::with(&[("p/replicas.cel", REPLICAS)]);
    let url = "manifests --policies p --url https://10.0.0.1:8443";
    let service = "manifests --policies p --service policy/portcullis";
    for (outside, inside) in [
        ("--certs-secret policy/portcullis-certs", ""),
        ("--mounted-certs --namespace policy", "--mounted-certs"),
    ] {
        let (outside, _) = printed(&folder, &format!("{url} {outside}"));
        let (inside, _) = printed(&folder, &format!("{service} {inside}"));
        assert_eq!(outside, inside);
        let webhooks = of_kind(&outside, "ValidatingWebhookConfiguration").get("webhooks");
        assert!(webhooks.is_none(), "it fills them in itself");
    }
    // Where the Lease is kept must be known, as for `serve`.
    let refused = folder.run(&format!("{url} --mounted-certs"));
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.err.contains("without `namespace`"),
        "{}",
        refused.err
    );

    // A server that keeps nothing itself reads its policies all the same, and nobody is named who it is.
    let (objects, _) = printed(&folder, &format!("{url} --policy-namespace rules --events"));
    let expected = [r#""ClusterRole" null"#, r#""Role" "rules""#];
    let rules = rules(&objects);
    assert_eq!(rules.iter().map(|it| &*it.0).collect::<Vec<_>>(), expected);
    assert!(!rules[0].1.to_string().contains("webhookconfigurations"));
    assert!(!objects.iter().any(|it| it.get("subjects").is_some()));
    let configuration = of_kind(&objects, "ValidatingWebhookConfiguration");
    assert_eq!(
        configuration["webhooks"][0]["clientConfig"]["url"],
        "https://10.0.0.1:8443/validate"
    );
}

#[test]
fn every_setting_of_a_configuration_has_its_rights() {
    let configuration = "service: policy/portcullis
certsSecret: keys/tls
name: gate
policies: [p]
policyNamespace: rules
exceptionNamespaces: [team, rules]
clusterPolicies: labelled
events: true
audit: {interval: 1h, reports: wgpolicyk8s.io}
";
    let silent = format!("{configuration}mode: audit\n");
    let folder = Folder::with(&[
        ("p/replicas.cel", REPLICAS),
        ("portcullis.yaml", configuration),
        ("silent.yaml", &silent),
    ]);
    let (by_file, _) = printed(&folder, "manifests --config portcullis.yaml");
    let (by_flags, _) = printed(
        &folder,
        "manifests --policies p --service policy/portcullis --certs-secret keys/tls --name gate \
         --policy-namespace rules --exception-namespaces team --exception-namespaces rules \
         --cluster-policies labelled --events --audit --reports wgpolicyk8s.io",
    );
    assert_eq!(by_file, by_flags);
    let places: Vec<String> = rules(&by_file).into_iter().map(|it| it.0).collect();
    let expected = [
        r#""ClusterRole" null"#,
        r#""Role" "keys""#,
        r#""Role" "policy""#,
        r#""Role" "default""#,
        r#""Role" "rules""#,
        r#""Role" "team""#,
        r#""ClusterRole" null"#,
    ];
    assert_eq!(places, expected);
    let text = |place: usize| rules(&by_file)[place].1.to_string();
    let told =
        r#"{"apiGroups":["events.k8s.io"],"resources":["events"],"verbs":["create","patch"]}"#;
    assert!(text(0).contains(told), "{}", text(0));
    assert!(text(1).contains("secrets") && !text(1).contains("leases"));
    assert!(text(2).contains("leases") && !text(2).contains("secrets"));
    assert!(text(6).contains("wgpolicyk8s.io") && !text(6).contains("openreports.io"));

    // In audit mode nothing is denied, and so nobody told.
    let (objects, _) = printed(&folder, "manifests --config silent.yaml");
    assert!(!rules(&objects)[0].1.to_string().contains("events"));
    // What is given besides counts more.
    let line = "manifests --config portcullis.yaml --reports none --name other";
    let (objects, _) = printed(&folder, line);
    assert!(!rules(&objects)[6].1.to_string().contains("reports"));
    assert_eq!(objects[1]["metadata"]["name"], "other");
}

#[test]
fn the_command_audit_has_a_role_of_its_own() {
    let folder = Folder::with(&[("p/reads.cel", READS), ("p/replicas.cel", REPLICAS)]);
    let (objects, said) = printed(
        &folder,
        "manifests --for audit --policies p --namespace ci --exception-namespaces team",
    );
    let kinds: Vec<_> = objects
        .iter()
        .map(|it| it["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]
    );
    assert_eq!(
        objects[1]["subjects"],
        json!([{"kind": "ServiceAccount", "name": "portcullis-audit-command", "namespace": "ci"}])
    );
    let list = |group: &str, resources: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": ["list"]});
    assert_eq!(
        objects[0]["rules"],
        json!([
            list("", &["configmaps", "namespaces"]),
            list("apiextensions.k8s.io", &["customresourcedefinitions"]),
            list("apps", &["deployments"]),
            list("autoscaling", &["horizontalpodautoscalers"]),
            list("example.org", &["limits"]),
            {
                "apiGroups": ["openreports.io"],
                "resources": ["clusterreports", "reports"],
                "verbs": ["create", "delete", "list", "patch"],
            },
        ])
    );
    assert_eq!(
        objects[2]["rules"],
        json!([list("portcullis.dev", &["policyexceptions"])])
    );
    assert!(said.contains("the resource of the kind `Limit`"), "{said}");
    let (objects, _) = printed(&folder, "manifests --for audit --policies p --reports none");
    assert_eq!(objects.len(), 1, "nobody is named whose it is");
    assert!(!objects[0].to_string().contains("openreports"));
}

#[test]
fn with_an_authority_the_configurations_are_whole() {
    let folder = Folder::with(&[("p/replicas.cel", REPLICAS), ("p/reads.cel", READS)]);
    assert_eq!(
        folder
            .run("certs issue --dns portcullis.policy.svc --dir c")
            .code,
        Some(0)
    );
    let line = "manifests --policies p --service policy/portcullis --ca c/ca.crt";
    let (objects, _) = printed(&folder, line);
    let webhooks = of_kind(&objects, "ValidatingWebhookConfiguration")["webhooks"]
        .as_array()
        .unwrap()
        .clone();
    let shown: Vec<String> = webhooks
        .iter()
        .map(|it| format!("{} {}", it["name"], it["failurePolicy"]))
        .collect();
    assert_eq!(
        shown,
        [
            r#""validate.portcullis.dev" "Fail""#,
            r#""validate-ignore.portcullis.dev" "Ignore""#
        ]
    );
    let service =
        json!({"namespace": "policy", "name": "portcullis", "path": "/validate", "port": 443});
    assert_eq!(webhooks[0]["clientConfig"]["service"], service);
    assert!(
        webhooks[0]["clientConfig"]["caBundle"]
            .as_str()
            .unwrap()
            .len()
            > 100
    );
    let roles = objects.iter().filter(|it| it["kind"] == "Role").count();
    assert_eq!(roles, 0, "it writes nothing");
    // The same words each time.
    assert_eq!(folder.run(line).out, folder.run(line).out);
    let (objects, _) = printed(
        &folder,
        "manifests --policies p --url https://10.0.0.1:8443 --namespace policy",
    );
    let webhook = &of_kind(&objects, "ValidatingWebhookConfiguration")["webhooks"][0];
    assert_eq!(
        webhook["clientConfig"],
        json!({"url": "https://10.0.0.1:8443/validate"})
    );
    let excluded = &webhook["namespaceSelector"]["matchExpressions"][0]["values"];
    assert_eq!(*excluded, json!(["kube-system", "policy"]));
}

#[test]
fn where_nothing_is_denied_a_webhook_that_does_not_answer_denies_nothing() {
    let trial = REPLICAS.replace("// ---\n// name", "// ---\n// action: audit\n// name");
    assert_ne!(trial, REPLICAS);
    let folder = Folder::with(&[
        ("p/replicas.cel", REPLICAS),
        ("trial/replicas.cel", &trial),
        ("audit.yaml", "mode: audit\n"),
        ("enforce.yaml", "mode: enforce\n"),
        ("override.yaml", "overrides: {replicas: {action: audit}}\n"),
    ]);
    for (options, path, expected) in [
        ("--policies p", "/validate", "Fail"),
        ("--policies p --mode audit", "/validate", "Ignore"),
        ("--policies p --config audit.yaml", "/validate", "Ignore"),
        (
            "--policies p --config audit.yaml --mode enforce",
            "/validate",
            "Fail",
        ),
        ("--policies p --config enforce.yaml", "/validate", "Fail"),
        (
            "--policies p --config override.yaml",
            "/validate/ignore",
            "Ignore",
        ),
        ("--policies trial", "/validate/ignore", "Ignore"),
    ] {
        let line = format!("manifests --url https://10.0.0.1:8443 {options}");
        let (objects, _) = printed(&folder, &line);
        let webhooks = &of_kind(&objects, "ValidatingWebhookConfiguration")["webhooks"];
        assert_eq!(webhooks.as_array().unwrap().len(), 1, "{options}");
        assert_eq!(webhooks[0]["failurePolicy"], expected, "{options}");
        let url = format!("https://10.0.0.1:8443{path}");
        assert_eq!(webhooks[0]["clientConfig"]["url"], url, "{options}");
    }
}

#[test]
fn every_role_can_be_given_back_while_nobody_answers() {
    let folder = Folder::with(&[("p/replicas.cel", REPLICAS)]);
    assert_eq!(folder.run("certs issue --dns a --dir c").code, Some(0));
    let line = "manifests --policies p --service policy/portcullis --name gate --audit \
                --policy-namespace rules --exception-namespaces team --cluster-policies labelled";
    let (objects, _) = printed(&folder, line);
    let (registered, _) = printed(&folder, &format!("{line} --ca c/tls.crt"));
    let webhook = &of_kind(&registered, "ValidatingWebhookConfiguration")["webhooks"][0];
    let condition = |name: &str| {
        let conditions = webhook["matchConditions"].as_array().unwrap();
        let found = conditions.iter().find(|it| it["name"] == name).unwrap();
        found["expression"].as_str().unwrap().to_owned()
    };
    let expression = condition("not-its-roles");
    let listed = |before: &str| {
        let rest = expression.split_once(before).unwrap().1;
        let list = rest.split_once(']').unwrap().0;
        let quoted = list.split(", ").map(|it| it.trim_matches('\'').to_owned());
        quoted.collect::<Vec<_>>()
    };
    let names = listed("request.name in [");
    let namespaces = listed("request.namespace in [");
    assert_eq!(namespaces, ["", "default", "rules", "team"]);
    let mut seen = 0;
    for object in &objects {
        let metadata = &object["metadata"];
        let namespace = metadata["namespace"].as_str().unwrap_or_default();
        let group = "rbac.authorization.k8s.io/";
        if !object["apiVersion"].as_str().unwrap().starts_with(group) || namespace == "policy" {
            continue;
        }
        seen += 1;
        let name = metadata["name"].as_str().unwrap();
        assert!(names.iter().any(|it| it == name), "{object}");
        assert!(namespaces.iter().any(|it| it == namespace), "{object}");
    }
    assert_eq!(seen, 10, "{objects:?}");
    assert!(condition("not-its-policies").contains("request.namespace == 'rules'"));
}

#[test]
fn namespaces_and_the_timeout_are_those_of_the_configuration() {
    let file = "webhooks: {excludedNamespaces: [calico-system], timeoutSeconds: 3}\n";
    let folder = Folder::with(&[("p/replicas.cel", REPLICAS), ("c.yaml", file)]);
    assert_eq!(folder.run("certs issue --dns a --dir c").code, Some(0));
    let line = "manifests --policies p --service policy/portcullis --ca c/tls.crt";
    let shown = |more: &str| {
        let (objects, _) = printed(&folder, &format!("{line} {more}"));
        let webhook = &of_kind(&objects, "ValidatingWebhookConfiguration")["webhooks"][0];
        let excluded = &webhook["namespaceSelector"]["matchExpressions"][0]["values"];
        format!("{} {excluded}", webhook["timeoutSeconds"])
    };
    let own = r#""kube-system","policy"]"#;
    assert_eq!(shown(""), format!("10 [{own}"));
    assert_eq!(
        shown("--config c.yaml"),
        format!(r#"3 ["calico-system",{own}"#)
    );
    let flags =
        "--config c.yaml --timeout-seconds 30 --excluded-namespaces cni --excluded-namespaces csi";
    assert_eq!(shown(flags), format!(r#"30 ["cni","csi",{own}"#));
    for (more, words) in [
        ("--timeout-seconds 31", "from 1 to 30"),
        ("--timeout-seconds 0", "from 1 to 30"),
        ("--excluded-namespaces a.b", "no name of a namespace"),
    ] {
        let output = folder.run(&format!("{line} {more}"));
        assert_eq!(output.code, Some(2), "{more}: {}", output.err);
        assert!(output.err.contains(words), "{more}: {}", output.err);
    }
}

#[test]
fn what_a_policy_names_by_its_resource_is_no_guess() {
    let folder = Folder::with(&[("p/reads.cel", READS)]);
    let (objects, said) = printed(&folder, "manifests --service policy/portcullis --audit");
    let role = of_kind(&objects, "ClusterRole").to_string();
    assert!(role.contains("ciliumclusterwidenetworkpolicies"), "{role}");
    assert!(!said.contains("is a guess"), "{said}");

    // A kind whose plural no rule says would be made otherwise than it is called.
    let limits = READS.replace("v1/pods,", "v1/pods, example.org/v1/limits,");
    let folder = Folder::with(&[("p/reads.cel", &limits)]);
    let line = "manifests --policies p --service policy/portcullis";
    let (_, said) = printed(&folder, line);
    assert!(!said.contains("is a guess"), "{said}");
    let plural = READS.replace("v1/pods,", "v1/pods, example.org/v1/limit,");
    let folder = Folder::with(&[("p/reads.cel", &plural)]);
    let (objects, _) = printed(&folder, line);
    let role = of_kind(&objects, "ClusterRole").to_string();
    assert!(role.contains(r#"["limit"]"#), "{role}");
}

#[test]
fn what_cannot_be_used_is_refused() {
    let junk = "-----BEGIN CERTIFICATE-----\nanVuaw==\n-----END CERTIFICATE-----\n";
    let folder = Folder::with(&[
        ("p/replicas.cel", REPLICAS),
        ("empty", ""),
        ("junk", junk),
        ("twice.yaml", "exceptionNamespaces: [a, b, a]\n"),
    ]);
    assert_eq!(folder.run("certs issue --dns a --dir c").code, Some(0));
    for url in [
        "https://x:99999",
        "https://x:0",
        "https://x:",
        "https://x:8443:1",
        "https://:8443",
        "https://a..b",
        "https://-a",
        "https://[::1",
        "https://[1]:8443",
    ] {
        let output = folder.run(&format!("manifests --policies p --namespace a --url {url}"));
        assert_eq!(output.code, Some(2), "{url}: {}", output.err);
        let words = format!("`{url}` is no `https://HOST:PORT`");
        assert!(output.err.contains(&words), "{url}: {}", output.err);
    }
    for (line, words) in [
        ("manifests --policies p", "--service"),
        ("manifests --policies p --service a", "no `NAMESPACE/NAME`"),
        (
            "manifests --policies p --url http://a",
            "no `https://HOST:PORT`",
        ),
        (
            "manifests --policies p --service a/b --ca c/tls.key",
            "holds a private key",
        ),
        (
            "manifests --policies p --service a/b --ca empty",
            "holds no certificate",
        ),
        (
            "manifests --policies p --service a/b --ca junk",
            "certificate 1 in `junk` cannot be trusted",
        ),
        (
            "manifests --policies p --service a/b --exception-namespaces x --exception-namespaces x",
            "`x` is named twice",
        ),
        (
            "manifests --policies p --service a/b --config twice.yaml",
            "`a` is named twice",
        ),
        ("manifests --policies none --service a/b", "none"),
        (
            "manifests --policies p --for audit --events",
            "`--events` is for a server",
        ),
        (
            "manifests --policies p --service a/b --audit --reports kyverno",
            "`kyverno` is none of `openreports.io`, `wgpolicyk8s.io`, `none`",
        ),
    ] {
        let output = folder.run(line);
        assert_eq!(output.code, Some(2), "{line}: {}", output.err);
        assert!(output.err.contains(words), "{line}: {}", output.err);
        assert!(
            !output.err.contains("BEGIN"),
            "no key is shown: {}",
            output.err
        );
        assert_eq!(output.out, "", "{line}");
    }
}
