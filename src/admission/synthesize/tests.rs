//! Requests as an API server would send them.

use super::*;
use crate::admission::review;

fn deployment() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "meshery"},
           "spec": {"replicas": 3, "paused": null}})
}

fn made(synthesis: Synthesis) -> OwnedRequest {
    synthesis.request(&Resources::default()).unwrap()
}

fn value(raw: Option<&RawValue>) -> Value {
    raw.map_or(Value::Null, |raw| serde_json::from_str(raw.get()).unwrap())
}

#[test]
fn a_manifest_becomes_the_request_to_create_it() {
    let owned = made(Synthesis::create(deployment()));
    let request = owned.request();
    assert_eq!(request.uid, UID);
    assert_eq!(request.operation, Operation::Create);
    assert_eq!(request.kind.kind, "Deployment");
    assert_eq!(request.resource.resource, "deployments");
    assert_eq!(request.request_kind, Some(request.kind.clone()));
    assert_eq!(request.request_resource, Some(request.resource.clone()));
    assert_eq!(
        (&*request.name, &*request.namespace),
        ("meshery", "default")
    );
    assert_eq!(request.user().username, "kubernetes-admin");
    assert_eq!(
        request.user().groups,
        ["system:masters", "system:authenticated"]
    );
    assert_eq!(
        value(request.options),
        json!({"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"})
    );
    let object = value(request.object);
    assert_eq!(
        object["metadata"],
        json!({"name": "meshery", "namespace": "default"})
    );
    assert_eq!(object["spec"]["replicas"], 3);
    assert_eq!(
        object["spec"]["progressDeadlineSeconds"], 600,
        "defaults are filled in"
    );
    assert_eq!(object["spec"].get("paused"), None, "nulls are gone");
    assert!(request.old_object.is_none() && !request.dry_run);
}

#[test]
fn namespaces_are_settled_by_scope() {
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
                         "metadata": {"name": "b", "namespace": "stray"}});
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget"});
    let mut elsewhere = deployment();
    elsewhere["metadata"]["namespace"] = json!("meshery");
    for (object, of_request, of_object) in [
        (deployment(), "fallback", json!("fallback")),
        (elsewhere, "meshery", json!("meshery")),
        (binding, "", json!(null)),
        (namespace, "shop", json!(null)),
        (widget, "fallback", json!("fallback")),
    ] {
        let kind = object["kind"].clone();
        let owned = made(Synthesis {
            namespace: "fallback".to_owned(),
            ..Synthesis::create(object)
        });
        let request = owned.request();
        assert_eq!(request.namespace, of_request, "{kind}");
        assert_eq!(
            value(request.object)["metadata"]["namespace"],
            of_object,
            "{kind}"
        );
    }
}

#[test]
fn a_generated_name_has_the_form_the_api_server_gives_it() {
    let mut object = deployment();
    object["metadata"] = json!({"generateName": "meshery-"});
    let owned = made(Synthesis::create(object));
    assert_eq!(owned.request().name, "meshery-xxxxx");
    assert_eq!(
        value(owned.request().object)["metadata"]["name"],
        "meshery-xxxxx"
    );
}

#[test]
fn an_update_carries_both_objects_and_a_deletion_the_old_one() {
    let mut before = deployment();
    before["spec"]["replicas"] = json!(5);
    let owned = made(Synthesis::update(before.clone(), deployment()));
    let request = owned.request();
    assert_eq!(request.operation, Operation::Update);
    assert_eq!(value(request.object)["spec"]["replicas"], 3);
    assert_eq!(value(request.old_object)["spec"]["replicas"], 5);
    assert_eq!(value(request.options)["kind"], "UpdateOptions");

    let owned = made(Synthesis {
        dry_run: true,
        ..Synthesis::delete(before)
    });
    let request = owned.request();
    assert!(request.object.is_none() && request.dry_run);
    assert_eq!(value(request.old_object)["spec"]["replicas"], 5);
    assert_eq!(request.name, "meshery");
    assert_eq!(
        value(request.options),
        json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "dryRun": ["All"]})
    );
}

#[test]
fn a_scale_is_sent_to_the_resource_it_is_addressed_to() {
    let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale",
                       "metadata": {"name": "meshery"}, "spec": {"replicas": 1}});
    let owned = made(Synthesis {
        sub_resource: "scale".to_owned(),
        resource: Some(GroupVersionResource {
            group: "apps".into(),
            version: "v1".into(),
            resource: "deployments".into(),
        }),
        ..Synthesis::update(scale.clone(), scale)
    });
    let request = owned.request();
    assert_eq!(
        (&*request.kind.group, &*request.kind.kind),
        ("autoscaling", "Scale")
    );
    assert_eq!(
        (&*request.resource.group, &*request.resource.resource),
        ("apps", "deployments")
    );
    assert_eq!(
        (&*request.sub_resource, &*request.namespace),
        ("scale", "default")
    );
}

#[test]
fn a_connection_has_no_options_and_the_kind_of_its_subresource() {
    let owned = made(Synthesis {
        operation: Operation::Connect,
        object: None,
        name: Some("p".to_owned()),
        namespace: "shop".to_owned(),
        sub_resource: "exec".to_owned(),
        resource: Some(GroupVersionResource {
            group: "".into(),
            version: "v1".into(),
            resource: "pods".into(),
        }),
        ..Synthesis::create(Value::Null)
    });
    let request = owned.request();
    assert_eq!(request.kind.kind, "PodExecOptions");
    assert_eq!((&*request.name, &*request.namespace), ("p", "shop"));
    assert!(request.options.is_none());
}

#[test]
fn a_custom_object_keeps_its_nulls_and_is_marked_as_a_guess() {
    let owned = made(Synthesis::create(json!({
        "apiVersion": "nsm.nginx.com/v1alpha2", "kind": "MeshConfig",
        "metadata": {"name": "m", "labels": null}, "spec": {"mtls": null},
    })));
    assert_eq!(owned.provenance(), Provenance::Guessed);
    let request = owned.request();
    assert_eq!(request.resource.resource, "meshconfigs");
    let object = value(request.object);
    assert_eq!(object["spec"], json!({"mtls": null}));
    assert_eq!(
        object["metadata"],
        json!({"name": "m", "namespace": "default"})
    );
}

#[test]
fn a_user_by_name_is_authenticated_and_nothing_more() {
    let owned = made(Synthesis {
        user: User::named("alice"),
        ..Synthesis::create(deployment())
    });
    assert_eq!(
        value(owned.request().user_info),
        json!({"username": "alice", "groups": ["system:authenticated"]})
    );
}

#[test]
fn a_manifest_that_is_no_object_of_kubernetes_says_why() {
    let deep = (0..MAX_DEPTH + 1).fold(Value::Null, |inner, _| json!({"a": inner}));
    for (manifest, expected) in [
        (json!([]), "the manifest is not an object"),
        (json!({"kind": "Pod"}), "`apiVersion` is missing or empty"),
        (
            json!({"apiVersion": "v1", "kind": ""}),
            "`kind` is missing or empty",
        ),
        (
            json!({"apiVersion": "v1", "kind": {}}),
            "`kind` is missing or empty",
        ),
        (deep, "the manifest is nested deeper than 200 levels"),
    ] {
        let error = Synthesis::create(manifest)
            .request(&Resources::default())
            .unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn the_review_reads_as_the_request_it_is_made_of() {
    let owned = made(Synthesis {
        sub_resource: "status".to_owned(),
        dry_run: true,
        ..Synthesis::update(deployment(), deployment())
    });
    let body = owned.to_review();
    let request = owned.request();
    let read = review::parse(&body).unwrap();
    assert_eq!(format!("{read:?}"), format!("{request:?}"));
}

#[test]
#[ignore = "needs the recordings in $PORTCULLIS_CORPUS"]
fn recorded_objects_become_the_requests_they_came_with() {
    let corpus = std::env::var_os("PORTCULLIS_CORPUS").unwrap();
    let (mut compared, mut changed) = (0, Vec::new());
    for entry in std::fs::read_dir(std::path::Path::new(&corpus).join("reviews")).unwrap() {
        let path = entry.unwrap().path();
        let body = std::fs::read(&path).unwrap();
        let Ok(sent) = review::parse(&body) else {
            continue;
        };
        let of_other_version = sent.request_kind != Some(sent.kind.clone());
        let own = |raw: Option<&RawValue>| raw.map(|raw| value(Some(raw)));
        if of_other_version || sent.resource.group == "stub.example.com" || sent.name.is_empty() {
            continue;
        }
        let owned = made(Synthesis {
            operation: sent.operation,
            object: own(sent.object),
            old_object: own(sent.old_object),
            namespace: sent.namespace.clone().into_owned(),
            name: Some(sent.name.clone().into_owned()),
            sub_resource: sent.sub_resource.clone().into_owned(),
            resource: Some(GroupVersionResource {
                group: sent.resource.group.clone().into_owned().into(),
                version: sent.resource.version.clone().into_owned().into(),
                resource: sent.resource.resource.clone().into_owned().into(),
            }),
            ..Synthesis::create(Value::Null)
        });
        let got = owned.request();
        let name = path.display();
        assert_eq!(
            (&got.kind, &got.resource),
            (&sent.kind, &sent.resource),
            "{name}"
        );
        assert_eq!(
            (&got.name, &got.namespace),
            (&sent.name, &sent.namespace),
            "{name}"
        );
        for (got, sent) in [(got.object, sent.object), (got.old_object, sent.old_object)] {
            if value(got) != value(sent) {
                changed.push(format!(
                    "{name}\n  got {}\n want {}",
                    value(got),
                    value(sent)
                ));
            }
        }
        compared += 1;
    }
    assert!(changed.is_empty(), "{}", changed.join("\n"));
    assert!(compared > 40, "only {compared} compared");
}
