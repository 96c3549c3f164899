//! What is made of objects, and of lists that end, begin again and overflow.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::Duration;

use kube::Config;
use kube::api::DynamicObject;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use super::follow::{MOST_OBJECTS, Objects, apply};
use super::*;
use crate::policy::read;

const GROUP: &str = "admissionregistration.k8s.io";

fn object(value: Value) -> DynamicObject {
    serde_json::from_value(value).unwrap()
}

fn policy(name: &str, expression: &str) -> DynamicObject {
    object(json!({
        "metadata": {
            "name": name,
            "uid": format!("uid of {name}"),
            "resourceVersion": "7",
            "generation": 2,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [{"manager": "kubectl"}],
            "labels": {LABEL: ""},
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
                "portcullis.dev/severity": "high",
            },
        },
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "namespaceSelector": {},
                "objectSelector": {},
                "matchPolicy": "Equivalent",
                "resourceRules": [{
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE"],
                    "resources": ["pods"],
                    "scope": "*",
                }],
            },
            "validations": [{"expression": expression}],
        },
        "status": {"observedGeneration": 2},
    }))
}

fn binding(name: &str, policy: &str) -> DynamicObject {
    object(json!({
        "metadata": {"name": name, "uid": name, "resourceVersion": "1"},
        "spec": {"policyName": policy, "validationActions": ["Deny"]},
    }))
}

/// The shelves of the admission policies, and the objects that were brought to each.
struct World {
    shared: Shared,
    objects: Vec<Objects>,
}

impl World {
    fn new() -> Self {
        let shelves: Vec<Shelf> = objects::kinds().into_iter().map(Shelf::new).collect();
        World {
            objects: shelves.iter().map(|_| Objects::default()).collect(),
            shared: Shared {
                shelves,
                visible: Mutex::default(),
                revision: watch::Sender::new(0),
            },
        }
    }

    fn bring(&mut self, at: usize, events: impl IntoIterator<Item = Event<DynamicObject>>) {
        let (shelf, objects) = (&self.shared.shelves[at], &mut self.objects[at]);
        let version = format!("{GROUP}/v1");
        for event in events {
            apply(event, (&shelf.kind, &version), objects);
        }
        shelf.take(objects);
        self.shared.show();
    }

    fn list(&mut self, at: usize, items: Vec<DynamicObject>) {
        let items = items.into_iter().map(Event::InitApply);
        let events = [Event::Init].into_iter().chain(items);
        self.bring(at, events.chain([Event::InitDone]));
    }

    fn shown(&self) -> Vec<String> {
        let visible = locked(&self.shared.visible);
        let names = visible.carriers.iter().map(|it| it.to_string());
        names.collect()
    }

    fn revision(&self) -> u64 {
        *self.shared.revision.borrow()
    }
}

#[test]
fn an_object_is_a_text_that_is_read_as_files_are() {
    let mut world = World::new();
    let expression = "object.spec.containers.all(c,\n  c.image != 'yes') // 1e3";
    world.list(0, vec![policy("one", expression)]);
    let carrier = Arc::clone(&locked(&world.shared.visible).carriers[0]);
    let [source] = &carrier.sources[..] else {
        panic!("{carrier:?}")
    };
    assert_eq!(source.name(), "validatingadmissionpolicy/one.yaml");
    let (documents, problems) = read::read(source);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(
        documents.policies[0].validations[0].expression.text,
        expression
    );
    for absent in [
        "uid",
        "managedFields",
        "last-applied",
        "status",
        "generation",
    ] {
        assert!(!source.text().contains(absent), "{}", source.text());
    }
}

#[test]
fn bindings_of_other_policies_are_not_shown_and_nothing_is_loaded_for_them() {
    let mut world = World::new();
    world.list(0, vec![policy("one", "true")]);
    world.list(2, vec![binding("a", "one"), binding("b", "other")]);
    let expected = [
        "ValidatingAdmissionPolicy one",
        "ValidatingAdmissionPolicyBinding a",
    ];
    assert_eq!(world.shown(), expected);
    let before = world.revision();
    world.bring(2, [Event::Apply(binding("c", "another"))]);
    // A change of the status is none.
    let mut same = policy("one", "true");
    same.metadata.resource_version = Some("8".to_owned());
    same.data["status"] = json!({"conditions": []});
    world.bring(0, [Event::Apply(same)]);
    // Nor is a list that brings the same.
    world.list(0, vec![policy("one", "true")]);
    assert_eq!(world.revision(), before);
    // The binding of a validating policy binds no mutating one of the name.
    world.list(3, vec![binding("d", "one")]);
    assert_eq!(world.shown(), expected);
    world.bring(0, [Event::Delete(policy("one", "true"))]);
    assert!(world.shown().is_empty(), "{:?}", world.shown());
}

#[test]
fn what_a_list_that_has_not_ended_lacks_is_there_until_it_ends() {
    let mut world = World::new();
    world.list(0, vec![policy("one", "true"), policy("two", "true")]);
    let begun = [Event::Init, Event::InitApply(policy("two", "1 < 2"))];
    let (shelf, objects) = (&world.shared.shelves[0], &mut world.objects[0]);
    for event in begun {
        apply(event, (&shelf.kind, "v1"), objects);
    }
    world.shared.show();
    assert_eq!(world.shown().len(), 2);
    world.bring(0, [Event::InitDone]);
    assert_eq!(world.shown(), ["ValidatingAdmissionPolicy two"]);
}

#[test]
fn no_more_objects_are_taken_than_there_is_room_for() {
    let kind = config_maps::kind("rules".to_owned());
    let map = |number: usize| {
        object(json!({"metadata": {"name": format!("m{number:05}"), "uid": "1"}, "data": {}}))
    };
    let mut objects = Objects::default();
    let shelf = Shelf::new(kind);
    let count = MOST_OBJECTS + 2;
    apply(Event::Init, (&shelf.kind, "v1"), &mut objects);
    for number in 0..count {
        apply(
            Event::InitApply(map(number)),
            (&shelf.kind, "v1"),
            &mut objects,
        );
    }
    apply(Event::InitDone, (&shelf.kind, "v1"), &mut objects);
    shelf.take(&objects);
    let state = locked(&shelf.state);
    assert_eq!(state.entries.as_ref().map(Vec::len), Some(MOST_OBJECTS));
    let finding = shelf.too_many(state.left_out).unwrap();
    assert_eq!(
        finding.message,
        "2 of ConfigMaps in `rules` are more than is taken, and not in force"
    );
    assert_eq!(finding.code, "published/too-many");
}

#[test]
fn what_an_author_may_have_missed_in_a_config_map_is_said() {
    let kind = config_maps::kind("rules".to_owned());
    for (fields, texts, faults, passed_over) in [
        (
            json!({"data": {"b.cel": "x", "a.yaml": "y", "notes.txt": "z"}}),
            vec!["configmap/rules/mine/a.yaml", "configmap/rules/mine/b.cel"],
            vec![],
            vec!["notes.txt"],
        ),
        (
            json!({"data": {"policy": "x"}}),
            vec![],
            vec!["no key is named as a file of policies: .cel, .yaml, .yml or .json"],
            vec!["policy"],
        ),
        (
            json!({"data": {"a.cel": "x"}, "binaryData": {"b.cel": "/w=="}}),
            vec!["configmap/rules/mine/a.cel"],
            vec!["`b.cel` is not a UTF-8 text"],
            vec![],
        ),
    ] {
        let mut map = fields.clone();
        map["metadata"] = json!({"name": "mine", "namespace": "rules"});
        let carrier = (kind.read)(&kind, "v1", object(map)).carrier;
        let names: Vec<&str> = carrier.sources.iter().map(|it| it.name()).collect();
        assert_eq!(names, texts, "{fields}");
        assert_eq!(carrier.faults, faults, "{fields}");
        assert_eq!(carrier.passed_over, passed_over, "{fields}");
    }
}

/// Answers as an API server that serves mutating policies in their first version, and no bindings of
/// validating ones.
fn older_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let first = lines.next().unwrap().unwrap();
                while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
                let path = first.split(' ').nth(1).unwrap();
                if path.contains("watch=true") {
                    // Nothing ever happens.
                    std::thread::sleep(Duration::from_secs(60));
                    return;
                }
                let (status, body) = answer(path);
                let body = body.to_string();
                let head = format!(
                    "HTTP/1.1 {status} OK\r\ncontent-type: application/json\r\n\
                     content-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all((head + &body).as_bytes()).unwrap();
            });
        }
    });
    format!("http://{address}")
}

fn answer(path: &str) -> (u16, Value) {
    let served = |plurals: &[&str]| {
        let resources: Vec<Value> = plurals
            .iter()
            .map(|name| {
                json!({"name": name, "singularName": "", "namespaced": false, "kind": "A", "verbs": []})
            })
            .collect();
        (200, json!({"groupVersion": "", "resources": resources}))
    };
    let list = |items: Vec<Value>| {
        (
            200,
            json!({"metadata": {"resourceVersion": "5"}, "items": items}),
        )
    };
    match path
        .split('?')
        .next()
        .unwrap()
        .rsplit_once(GROUP)
        .unwrap()
        .1
    {
        "/v1" => served(&["validatingadmissionpolicies"]),
        "/v1alpha1" => served(&[
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
        ]),
        "/v1/validatingadmissionpolicies" => list(Vec::new()),
        "/v1alpha1/mutatingadmissionpolicies" => list(vec![
            json!({"metadata": {"name": "m", "uid": "1"}, "spec": {}}),
        ]),
        "/v1alpha1/mutatingadmissionpolicybindings" => list(vec![
            json!({"metadata": {"name": "b"}, "spec": {"policyName": "m"}}),
        ]),
        _ => (
            404,
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404,
                   "message": "not found", "reason": "NotFound"}),
        ),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_is_read_in_the_best_version_that_is_served() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::try_from(Config::new(older_server().parse().unwrap())).unwrap();
    let wanted = Wanted {
        namespace: None,
        objects: true,
    };
    let published = Published::start(&client, &wanted).unwrap();
    assert!(published.state().is_err(), "{:?}", published.state());
    assert_eq!(published.snapshot().unread.len(), 4);
    let mut changes = published.changes();
    while !published.is_known() {
        let changed = tokio::time::timeout(Duration::from_secs(30), changes.changed()).await;
        changed.expect("everything is known in time").unwrap();
    }
    assert_eq!(
        published.state().unwrap(),
        "0 labelled ValidatingAdmissionPolicies; 1 labelled MutatingAdmissionPolicies; \
         ValidatingAdmissionPolicyBindings are not served; 1 MutatingAdmissionPolicyBindings"
    );
    let snapshot = published.snapshot();
    let versions = snapshot.carriers.iter().map(|it| it.api_version.as_str());
    assert_eq!(
        versions.collect::<Vec<_>>(),
        ["admissionregistration.k8s.io/v1alpha1"; 2]
    );
    assert!(snapshot.unread.is_empty());
}
