//! What an account may do, as its roles say, and what it did, as the audit log of the API server says.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use futures_util::FutureExt;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use super::client::{Client as Direct, Http, Serves};
use super::kubernetes::ApiServer;
use super::process::{Process, respond};
use super::{BOUND, eventually};

/// One verb for one resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Right {
    pub(crate) verb: String,
    pub(crate) group: String,
    pub(crate) resource: String,
    /// Of a rule: the only namespace it is about; empty in a ClusterRole.
    pub(crate) namespace: String,
    /// Of a rule: the only object it is about, or empty.
    pub(crate) name: String,
}

impl fmt::Display for Right {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.verb, self.resource)?;
        for (before, text) in [
            (".", &self.group),
            (" in ", &self.namespace),
            (" named ", &self.name),
        ] {
            if !text.is_empty() {
                write!(formatter, "{before}{text}")?;
            }
        }
        Ok(())
    }
}

impl Right {
    /// Says whether a rule allows something that was done.
    fn allows(&self, done: &Right) -> bool {
        let holds = |own: &str, other: &str| own.is_empty() || own == other;
        (&self.verb, &self.group, &self.resource) == (&done.verb, &done.group, &done.resource)
            && holds(&self.namespace, &done.namespace)
            && holds(&self.name, &done.name)
    }

    /// A narrow rule is what something is done by, where a wide one allows it, too.
    fn narrowness(&self) -> (bool, bool) {
        (!self.namespace.is_empty(), !self.name.is_empty())
    }
}

/// What the roles among these objects allow, one by one.
pub(crate) fn granted(objects: &[Value]) -> BTreeSet<Right> {
    let texts = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
    let mut granted = BTreeSet::new();
    for role in objects {
        if role["kind"] != "ClusterRole" && role["kind"] != "Role" {
            continue;
        }
        let namespace = role["metadata"]["namespace"].as_str().unwrap_or_default();
        for rule in role["rules"].as_array().unwrap() {
            let names = match &rule["resourceNames"] {
                Value::Null => vec![String::new()],
                names => texts(names),
            };
            for group in texts(&rule["apiGroups"]) {
                for resource in texts(&rule["resources"]) {
                    for name in &names {
                        granted.extend(texts(&rule["verbs"]).into_iter().map(|verb| Right {
                            verb,
                            group: group.clone(),
                            resource: resource.clone(),
                            namespace: namespace.to_owned(),
                            name: name.clone(),
                        }));
                    }
                }
            }
        }
    }
    granted
}

/// The user that a service account is.
pub(crate) fn account(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

/// Waits until the API server, which watches roles, lets a user do all this.
pub(crate) async fn in_force(admin: &Client, user: &str, granted: &BTreeSet<Right>) {
    let api: Api<SubjectAccessReview> = Api::all(admin.clone());
    for right in granted {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(user.to_owned()),
                resource_attributes: Some(ResourceAttributes {
                    verb: Some(right.verb.clone()),
                    group: Some(right.group.clone()),
                    resource: Some(right.resource.clone()),
                    namespace: Some(right.namespace.clone()),
                    name: Some(right.name.clone()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        eventually(&format!("{user} may {right}"), || async {
            let answer = api.create(&PostParams::default(), &review).await.unwrap();
            answer.status.unwrap().allowed.then_some(())
        })
        .await;
    }
}

/// Lets a server live, whose user must do everything that is granted, some of it perhaps a moment later,
/// be refused nothing, and do nothing else. What of it is not so is said right by right, also where the
/// life fails for it.
pub(crate) async fn live<W, T>(
    world: &mut W,
    server: impl Fn(&W) -> &ApiServer,
    (user, granted): (&str, &BTreeSet<Right>),
    life: impl AsyncFnOnce(&mut W) -> T,
) -> T {
    let lived = AssertUnwindSafe(life(world)).catch_unwind().await;
    are_exact(server(world), user, granted).await;
    lived.unwrap_or_else(|panic| resume_unwind(panic))
}

async fn are_exact(server: &ApiServer, user: &str, granted: &BTreeSet<Right>) {
    let deadline = Instant::now() + BOUND;
    loop {
        let events = server.audit(user);
        let faults = faults(&events, granted);
        if faults.is_empty() {
            println!("{} rights, {} requests", granted.len(), events.len());
            return;
        }
        let can_pass = faults.iter().all(|it| it.starts_with(UNUSED));
        assert!(
            can_pass && Instant::now() < deadline,
            "the roles of {user} are not what it does:\n{}",
            faults.join("\n")
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

const UNUSED: &str = "granted and never used: ";

/// How the events of a user differ from what it may do; both ways, each difference once.
fn faults(events: &[Value], granted: &BTreeSet<Right>) -> Vec<String> {
    let mut faults = BTreeSet::new();
    let mut unused = granted.clone();
    for event in events {
        if event["responseStatus"]["code"] == 403 {
            let (verb, uri) = (&event["verb"], &event["requestURI"]);
            faults.insert(format!("forbidden: {} {}", text(verb), text(uri)));
        }
        for done in done(event) {
            let rules = granted.iter().filter(|rule| rule.allows(&done));
            match rules.max_by_key(|rule| rule.narrowness()) {
                Some(rule) => {
                    unused.remove(rule);
                }
                None => {
                    faults.insert(format!("done and not granted: {done}"));
                }
            }
        }
    }
    let unused = unused.iter().map(|right| format!("{UNUSED}{right}"));
    faults.into_iter().chain(unused).collect()
}

/// What an event says was done: nothing, if it is about no resource, as discovery, which everybody may ask
/// for; two things, if what was patched was not there: that takes the right to create it, too (apiserver
/// `pkg/endpoints/handlers/patch.go`).
fn done(event: &Value) -> Vec<Right> {
    let Some(about) = event["objectRef"].as_object() else {
        return Vec::new();
    };
    let field = |key: &str| about.get(key).map(text).unwrap_or_default();
    let mut resource = field("resource");
    if let Some(subresource) = about.get("subresource") {
        resource = format!("{resource}/{}", text(subresource));
    }
    let done = Right {
        verb: text(&event["verb"]),
        group: field("apiGroup"),
        resource,
        namespace: field("namespace"),
        name: field("name"),
    };
    if done.verb != "patch" || event["responseStatus"]["code"] != 201 {
        return vec![done];
    }
    let created = Right {
        verb: "create".to_owned(),
        ..done.clone()
    };
    vec![done, created]
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Has a server deny an object that a ReplicaSet makes, again and again, until the controller was told, and
/// then told that there were more.
pub(crate) async fn have_a_controller_told(
    (process, server): (&Process, &ApiServer),
    called: (&str, &[u8]),
    (about, namespace): ((&str, &str), &str),
    user: &str,
) {
    let mut direct = call(process, called).await;
    let mut review = creation(about, namespace);
    review["request"]["object"]["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": "web",
        "uid": "uid-of-web",
        "controller": true,
    }]);
    let deadline = Instant::now() + BOUND;
    loop {
        let response = respond(&mut direct, "/validate", &review).await;
        assert_eq!(response["allowed"], false, "{response}");
        let events = server.audit(user);
        let mut of_events = events
            .iter()
            .filter(|it| it["objectRef"]["resource"] == "events");
        if of_events.any(|it| it["verb"] == "patch") {
            return;
        }
        assert!(Instant::now() < deadline, "no Event counts what is denied");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Connects to a server by a name, under a certificate that these authorities have signed.
async fn call(process: &Process, (name, authorities): (&str, &[u8])) -> Direct {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ca.crt");
    std::fs::write(&path, authorities).unwrap();
    let connected = Direct::connect_to((name, process.address()), &path, Http::Two).await;
    connected.unwrap()
}

/// A review of an object to be created.
pub(crate) fn creation((resource, kind): (&str, &str), namespace: &str) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "1",
            "kind": {"group": "", "version": "v1", "kind": kind},
            "resource": {"group": "", "version": "v1", "resource": resource},
            "name": "one",
            "namespace": namespace,
            "operation": "CREATE",
            "userInfo": {"username": "ann"},
            "object": {
                "apiVersion": "v1",
                "kind": kind,
                "metadata": {"name": "one", "namespace": namespace},
            },
        },
    })
}
