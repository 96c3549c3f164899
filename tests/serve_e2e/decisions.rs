//! What policies can lead to: actions, reasons, failure policies, conditions, the audit mode.

use serde_json::{Value, json};

use crate::support::process::{Launch, respond};
use crate::{assert_plainly_allowed, creation, denial, review};

/// A policy about Deployments.
fn policy(front_matter: &str, body: &str) -> String {
    format!(
        "// ---\n\
         // match: {{resources: [apps/v1/deployments], operations: [CREATE, UPDATE]}}\n\
         // {front_matter}\n\
         // ---\n\
         {body}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_violation_of_every_policy_is_told_in_one_answer() {
    let first = policy(
        "severity: high",
        "// @require at most two replicas\n\
         object.spec.replicas <= 2\n\
         // @reason Forbidden\n\
         // @message\n\
         string(object.spec.replicas) + ' replicas are too many'\n\
         // @require there is an owner\n\
         has(object.metadata.annotations) && 'owner' in object.metadata.annotations",
    );
    let second = policy(
        "severity: low",
        "// @require\n\
         object.metadata.name.startsWith('shop-')",
    );
    let content = second.replace("// @require\n", "// @require named after the shop\n");
    let holds = policy(
        "severity: low",
        "// @require it is a Deployment\nobject.kind == 'Deployment'",
    );
    let server = Launch::new()
        .policies(&[("b.cel", &content), ("a.cel", &first), ("c.cel", &holds)])
        .start()
        .await;
    let response = server.review(&review("create")).await;
    let expected = json!({
        "uid": response["uid"],
        "allowed": false,
        "status": {
            "metadata": {},
            "status": "Failure",
            "message":
                "ValidatingAdmissionPolicy 'a' with binding 'a' denied request: 3 replicas are too \
                 many\n\
                 ValidatingAdmissionPolicy 'a' with binding 'a' denied request: there is an \
                 owner\n\
                 ValidatingAdmissionPolicy 'b' with binding 'b' denied request: named after the \
                 shop",
            "reason": "Forbidden",
            "code": 403,
        },
    });
    assert_eq!(response, expected);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reason_has_its_code() {
    let rows = [
        ("forbidden", "// @reason Forbidden\n", "Forbidden", 403),
        (
            "large",
            "// @reason RequestEntityTooLarge\n",
            "RequestEntityTooLarge",
            413,
        ),
        ("invalid", "// @reason Invalid\n", "Invalid", 422),
        ("default", "", "Invalid", 422),
    ];
    let body: String = rows
        .iter()
        .map(|(name, section, ..)| {
            format!("// @require not {name}\nobject.metadata.name != '{name}'\n{section}")
        })
        .collect();
    let server = Launch::new()
        .policies(&[("names.cel", &policy("severity: low", &body))])
        .start()
        .await;
    for (name, _, reason, code) in rows {
        let response = server.review(&creation(name)).await;
        assert!(
            denial(&response).ends_with(&format!(": not {name}")),
            "{response}"
        );
        assert_eq!(response["status"]["reason"], reason, "{name}");
        assert_eq!(response["status"]["code"], code, "{name}");
    }
    assert_plainly_allowed(&server.review(&creation("web")).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_say_what_becomes_of_a_violation() {
    let body = "// @require four replicas\nobject.spec.replicas >= 4";
    let server = Launch::new()
        .policies(&[
            ("record.cel", &policy("action: audit", body)),
            ("warn.cel", &policy("action: [warn, audit]", body)),
        ])
        .start()
        .await;
    assert_plainly_allowed(&server.review(&review("create")).await);
    let mut client = server.client().await;
    let response = respond(&mut client, "/validate/ignore", &review("create")).await;
    assert_eq!(response["allowed"], true);
    assert_eq!(
        response["warnings"],
        json!([
            "[audit] would be denied: ValidatingAdmissionPolicy 'record' with binding 'record' denied \
             request: four replicas",
            "Validation failed for ValidatingAdmissionPolicy 'warn' with binding 'warn': four replicas",
        ])
    );
    assert_eq!(
        failures(&response),
        json!([
            {
                "message": "four replicas",
                "policy": "record",
                "binding": "record",
                "expressionIndex": 0,
                "validationActions": ["Audit"],
            },
            {
                "message": "four replicas",
                "policy": "warn",
                "binding": "warn",
                "expressionIndex": 0,
                "validationActions": ["Warn", "Audit"],
            },
        ])
    );
    server.stop().await;
}

/// Returns what is recorded about violations.
fn failures(response: &Value) -> Value {
    let text = response["auditAnnotations"]["validation_failure"].as_str();
    serde_json::from_str(text.expect("violations are recorded")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_mode_admits_and_records() {
    let server = Launch::new().args(["--mode", "audit"]).start().await;
    assert!(
        server
            .welcome
            .contains("violations are recorded, nothing is denied"),
        "{}",
        server.welcome
    );
    let text = std::fs::read(crate::repository("tests/data/review.json")).unwrap();
    let response = server.review(&serde_json::from_slice(&text).unwrap()).await;
    let message = "Deployment meshery/meshery has spec.replicas 1; production needs at least 3";
    assert_eq!(response["allowed"], true);
    assert_eq!(
        response["auditAnnotations"]["meshery-replicas.source"],
        "Meshery, Production Deployment Considerations: High Availability (M3, M4)"
    );
    assert_eq!(response["status"], Value::Null);
    assert_eq!(
        response["warnings"],
        json!([format!(
            "[audit] would be denied: ValidatingAdmissionPolicy 'meshery-replicas' with binding \
             'meshery-replicas' denied request: {message}"
        )])
    );
    let failures = failures(&response);
    let mut recorded = failures.as_array().unwrap().iter();
    assert!(
        recorded.any(|failure| failure["message"] == message),
        "{failures}"
    );
    assert_eq!(server.policies().await["mode"], "audit");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_endpoint_asks_the_policies_of_its_failure_policy() {
    let body = "// @require four replicas\nobject.spec.replicas >= 4";
    let server = Launch::new()
        .policies(&[
            ("closed.cel", &policy("failurePolicy: Fail", body)),
            ("open.cel", &policy("failurePolicy: Ignore", body)),
        ])
        .start()
        .await;
    let mut client = server.client().await;
    for (path, policy) in [("/validate", "closed"), ("/validate/ignore", "open")] {
        let response = respond(&mut client, path, &review("create")).await;
        assert_eq!(
            denial(&response),
            format!(
                "ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied request: four \
                 replicas"
            )
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_say_whether_a_policy_applies() {
    let body = "// @when it is critical\n\
                object.metadata.labels.tier == 'critical'\n\
                // @when it is not a test\n\
                !object.metadata.name.endsWith('-test')\n\
                // @require four replicas\n\
                object.spec.replicas >= 4";
    let server = Launch::new()
        .policies(&[
            ("closed.cel", &policy("failurePolicy: Fail", body)),
            ("open.cel", &policy("failurePolicy: Ignore", body)),
        ])
        .start()
        .await;
    let mut client = server.client().await;
    let fault = "expression 'object.metadata.labels.tier == 'critical'' resulted in error: no such \
                 key: tier";
    for (name, tier, closed, open) in [
        (
            "web",
            Some("critical"),
            Some("four replicas"),
            Some("four replicas"),
        ),
        ("web", Some("minor"), None, None),
        ("web", None, Some(fault), None),
        // One condition that does not hold outweighs one that fails.
        ("web-test", None, None, None),
    ] {
        let mut review = creation(name);
        if let Some(tier) = tier {
            review["request"]["object"]["metadata"]["labels"]["tier"] = tier.into();
        }
        for (path, expected) in [("/validate", closed), ("/validate/ignore", open)] {
            let response = respond(&mut client, path, &review).await;
            match expected {
                Some(expected) => assert!(denial(&response).ends_with(expected), "{response:#}"),
                None => assert_plainly_allowed(&response),
            }
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expression_that_fails_is_decided_by_the_failure_policy() {
    let body = "// @require a tier\n\
                object.metadata.labels.tier != ''\n\
                // @require four replicas\n\
                object.spec.replicas >= 4";
    let server = Launch::new()
        .policies(&[
            ("closed.cel", &policy("failurePolicy: Fail", body)),
            ("open.cel", &policy("failurePolicy: Ignore", body)),
        ])
        .start()
        .await;
    let mut client = server.client().await;
    let response = respond(&mut client, "/validate", &review("create")).await;
    assert_eq!(
        denial(&response),
        "ValidatingAdmissionPolicy 'closed' with binding 'closed' denied request: expression \
         'object.metadata.labels.tier != ''' resulted in error: no such key: tier\n\
         ValidatingAdmissionPolicy 'closed' with binding 'closed' denied request: four replicas"
    );
    assert_eq!(response["status"]["code"], 422);
    let response = respond(&mut client, "/validate/ignore", &review("create")).await;
    assert_eq!(
        denial(&response),
        "ValidatingAdmissionPolicy 'open' with binding 'open' denied request: four replicas",
        "what fails is passed over, what is violated is not"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expression_that_does_not_compile_is_decided_by_the_failure_policy_and_named() {
    let body = "// @require four replicas\nobjct.spec.replicas >= 4";
    let holds = policy(
        "severity: low",
        "// @require it is a Deployment\nobject.kind == 'Deployment'",
    );
    let server = Launch::new()
        .policies(&[
            ("closed.cel", &policy("failurePolicy: Fail", body)),
            ("good.cel", &holds),
            ("open.cel", &policy("failurePolicy: Ignore", body)),
        ])
        .start()
        .await;
    let mut client = server.client().await;
    let response = respond(&mut client, "/validate", &review("create")).await;
    let message = denial(&response);
    assert!(
        message.starts_with(
            "ValidatingAdmissionPolicy 'closed' with binding 'closed' denied request: "
        ) && message.contains("compilation error: ")
            && message.contains("objct"),
        "{message}"
    );
    let response = respond(&mut client, "/validate/ignore", &review("create")).await;
    assert_plainly_allowed(&response);
    let mut elsewhere = review("scale");
    elsewhere["request"]["name"] = "other".into();
    assert_plainly_allowed(&respond(&mut client, "/validate", &elsewhere).await);

    let readyz = server.readyz().await;
    assert!(
        readyz.contains(
            "[+]policies ok: 3 policies in force, 2 faulty (`closed`, `open`): \
             policies/closed.cel:6:1: "
        ),
        "{readyz}"
    );
    let described = server.policies().await;
    let states: Vec<_> = described["policies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|policy| {
            (
                policy["name"].as_str().unwrap(),
                policy["state"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        states,
        [
            ("closed", "faulty"),
            ("good", "in force"),
            ("open", "faulty")
        ]
    );
    let problems = described["problems"].to_string();
    assert!(
        problems.contains("objct") && problems.contains("closed.cel"),
        "{problems}"
    );
    assert!(
        server.log().contains("policies/closed.cel:6:1"),
        "{}",
        server.log()
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_of_kubernetes_decide_beside_those_of_cel_files() {
    let yaml = "\
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: replicas.example.com}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments]}
  validations:
  - expression: object.spec.replicas <= params.most
    messageExpression: \"'at most ' + string(params.most)\"
    reason: Forbidden
  paramKind: {apiVersion: example.com/v1, kind: Limits}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: replicas-in-shop}
spec:
  policyName: replicas.example.com
  paramRef: {name: shop, namespace: shop, parameterNotFoundAction: Deny}
  validationActions: [Deny]
---
apiVersion: example.com/v1
kind: Limits
metadata: {name: shop, namespace: shop}
most: 2
";
    let server = Launch::new()
        .policies(&[("replicas.yaml", yaml)])
        .start()
        .await;
    let response = server.review(&review("create")).await;
    assert_eq!(
        denial(&response),
        "ValidatingAdmissionPolicy 'replicas.example.com' with binding 'replicas-in-shop' denied \
         request: at most 2"
    );
    assert_eq!(response["status"]["code"], 403);
    assert_plainly_allowed(&server.review(&review("update")).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_changed_by_the_policies_that_are_switched_on() {
    let patch = "// @patch\n[JSONPatch{op: 'replace', path: '/spec/replicas', value: 7}]";
    let server = Launch::new()
        .policies(&[
            ("on.cel", &policy("mutate: true", patch)),
            ("off.cel", &policy("mutate: false", patch)),
        ])
        .start()
        .await;
    let mut client = server.client().await;
    let response = respond(&mut client, "/mutate", &review("create")).await;
    assert_eq!(response["allowed"], true, "{response}");
    assert_eq!(response["patchType"], "JSONPatch");
    let patch = response["patch"].as_str().unwrap();
    // [{"op":"replace","path":"/spec/replicas","value":7}] in base64.
    let expected = "W3sib3AiOiJyZXBsYWNlIiwicGF0aCI6Ii9zcGVjL3JlcGxpY2FzIiwidmFsdWUiOjd9XQ==";
    assert_eq!(patch, expected);
    let response = respond(&mut client, "/mutate/ignore", &review("create")).await;
    assert_eq!(response["patch"], Value::Null, "another failure policy");
    server.stop().await;
}
