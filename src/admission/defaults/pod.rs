//! Defaults of pods and pod templates: kubernetes `pkg/apis/core/v1/defaults.go`.

use serde_json::{Value, json};

use super::{Fields, each, fill, fill_number, fill_text, is_absent, is_blank, with, within};

/// Mode 0644 of files made from secrets, config maps and the like.
const FILE_MODE: i64 = 0o644;

pub(super) fn pod(object: &mut Fields) {
    with(object, "spec", |spec| {
        for containers in ["initContainers", "containers"] {
            each(spec, containers, requests_from_limits);
        }
        pod_requests_from_limits(spec);
        pod_spec(spec);
        fill(spec, "enableServiceLinks", true);
        if spec.get("hostNetwork") == Some(&Value::Bool(true)) {
            for containers in ["initContainers", "containers"] {
                each(spec, containers, host_ports);
            }
        }
    });
    with(object, "status", |_| {});
}

/// Fills in the pod template under `key`.
pub(super) fn template(fields: &mut Fields, key: &str) {
    with(fields, key, |template| {
        with(template, "metadata", |_| {});
        with(template, "spec", pod_spec);
    });
}

/// Fills in the spec of a claim for a volume, wherever it stands.
pub(super) fn claim_spec(spec: &mut Fields) {
    fill(spec, "volumeMode", "Filesystem");
    with(spec, "resources", |_| {});
}

fn pod_spec(spec: &mut Fields) {
    fill_text(spec, "dnsPolicy", "ClusterFirst");
    fill_text(spec, "restartPolicy", "Always");
    fill(spec, "securityContext", json!({}));
    fill(spec, "terminationGracePeriodSeconds", 30);
    fill_text(spec, "schedulerName", "default-scheduler");
    service_account(spec);
    fill(spec, "containers", Value::Null);
    each(spec, "volumes", volume);
    for containers in ["initContainers", "containers", "ephemeralContainers"] {
        each(spec, containers, container);
    }
}

/// The name of the service account stands in two fields, one of them deprecated: kubernetes
/// `pkg/apis/core/v1/conversion.go`.
fn service_account(spec: &mut Fields) {
    let name = ["serviceAccountName", "serviceAccount"]
        .into_iter()
        .find(|key| !is_blank(spec, key))
        .and_then(|key| spec.get(key).cloned());
    if let Some(name) = name {
        spec.insert("serviceAccountName".to_owned(), name.clone());
        spec.insert("serviceAccount".to_owned(), name);
    }
}

fn container(container: &mut Fields) {
    fill(container, "name", "");
    if is_blank(container, "imagePullPolicy") {
        let image = container.get("image").and_then(Value::as_str);
        let policy = pull_policy(image.unwrap_or_default());
        container.insert("imagePullPolicy".to_owned(), policy.into());
    }
    fill_text(container, "terminationMessagePath", "/dev/termination-log");
    fill_text(container, "terminationMessagePolicy", "File");
    with(container, "resources", |_| {});
    each(container, "ports", |port| {
        fill_text(port, "protocol", "TCP")
    });
    each(container, "env", |variable| {
        fill(variable, "name", "");
        within(variable, "valueFrom", |source| {
            within(source, "fieldRef", field_reference);
            within(source, "resourceFieldRef", |resource| {
                fill(resource, "divisor", "0")
            });
            within(source, "fileKeyRef", |file| fill(file, "optional", false));
        });
    });
    for key in ["livenessProbe", "readinessProbe", "startupProbe"] {
        within(container, key, probe);
    }
    within(container, "lifecycle", |lifecycle| {
        for key in ["postStart", "preStop"] {
            within(lifecycle, key, |hook| within(hook, "httpGet", http_get));
        }
    });
}

/// Returns when an image is pulled that says nothing about it: always, if its tag is `latest` or
/// it has neither tag nor digest. What is no reference counts as one with a tag.
///
/// Semantics: kubernetes `pkg/util/parsers/parsers.go`, `ParseImageName`.
fn pull_policy(image: &str) -> &'static str {
    let name = image.rsplit('/').next().unwrap_or_default();
    let is_latest = match (name.split_once('@'), name.rsplit_once(':')) {
        (Some((named, _)), _) => named.ends_with(":latest"),
        (None, Some((_, tag))) => tag == "latest",
        (None, None) => is_path(image),
    };
    if is_latest { "Always" } else { "IfNotPresent" }
}

/// Says whether `image` could be the name of an image: without capitals but in the host, and
/// without white space.
fn is_path(image: &str) -> bool {
    let path = match image.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => path,
        _ => image,
    };
    let is_word = |text: &str| {
        let mut bytes = text.bytes();
        bytes.all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'))
    };
    // Words, separated by one period, one or two underscores, or dashes.
    let is_name = |part: &str| {
        let mut separators =
            part.split(|character: char| is_word(character.encode_utf8(&mut [0; 4])));
        let edge = |text: Option<&str>| text.is_some_and(str::is_empty);
        part.contains(|character: char| character.is_ascii_alphanumeric())
            && edge(separators.next())
            && edge(separators.next_back())
            && separators.all(|between| {
                matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-')
            })
    };
    path.split('/').all(is_name)
}

fn probe(probe: &mut Fields) {
    fill_number(probe, "timeoutSeconds", 1);
    fill_number(probe, "periodSeconds", 10);
    fill_number(probe, "successThreshold", 1);
    fill_number(probe, "failureThreshold", 3);
    within(probe, "httpGet", http_get);
    within(probe, "grpc", |grpc| fill(grpc, "service", ""));
}

fn http_get(action: &mut Fields) {
    fill_text(action, "path", "/");
    fill_text(action, "scheme", "HTTP");
}

fn field_reference(reference: &mut Fields) {
    fill_text(reference, "apiVersion", "v1");
}

fn volume(volume: &mut Fields) {
    if volume.keys().all(|key| key == "name") {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    within(volume, "hostPath", |source| fill(source, "type", ""));
    for key in ["secret", "configMap", "downwardAPI", "projected"] {
        within(volume, key, |source| fill(source, "defaultMode", FILE_MODE));
    }
    within(volume, "downwardAPI", downward_items);
    within(volume, "projected", |projected| {
        fill(projected, "sources", Value::Null);
        each(projected, "sources", |source| {
            within(source, "downwardAPI", downward_items);
            within(source, "serviceAccountToken", |token| {
                fill(token, "expirationSeconds", 3600);
            });
        });
    });
    within(volume, "iscsi", |source| {
        fill_text(source, "iscsiInterface", "default")
    });
    within(volume, "image", |source| {
        let reference = source.get("reference").and_then(Value::as_str);
        let policy = pull_policy(reference.unwrap_or_default());
        fill_text(source, "pullPolicy", policy);
    });
    within(volume, "ephemeral", |source| {
        within(source, "volumeClaimTemplate", |template| {
            with(template, "metadata", |_| {});
            with(template, "spec", claim_spec);
        });
    });
}

fn downward_items(source: &mut Fields) {
    each(source, "items", |item| {
        within(item, "fieldRef", field_reference);
        within(item, "resourceFieldRef", |resource| {
            fill(resource, "divisor", "0")
        });
    });
}

/// Fills the requests of a container from its limits, in pods only.
fn requests_from_limits(container: &mut Fields) {
    with(container, "resources", |resources| {
        copy_absent(resources, "limits", "requests", |_| true);
    });
}

/// Fills the requests of a whole pod from its limits, unless containers request some of it
/// themselves; then the sum decides, and is not computed here.
fn pod_requests_from_limits(spec: &mut Fields) {
    let requested: Vec<String> = ["initContainers", "containers"]
        .into_iter()
        .filter_map(|key| spec.get(key)?.as_array())
        .flatten()
        .filter_map(|container| container.pointer("/resources/requests")?.as_object())
        .flat_map(|requests| requests.keys().cloned())
        .collect();
    within(spec, "resources", |resources| {
        copy_absent(resources, "limits", "requests", |name| {
            !requested.iter().any(|other| other == name)
        });
    });
}

/// Copies the entries of one map that another one under `to` lacks.
pub(super) fn copy_absent(
    fields: &mut Fields,
    from: &str,
    to: &str,
    is_wanted: impl Fn(&str) -> bool,
) {
    let Some(Value::Object(source)) = fields.get(from).cloned() else {
        return;
    };
    let wanted: Vec<_> = source
        .into_iter()
        .filter(|(name, _)| is_wanted(name))
        .collect();
    if wanted.is_empty() {
        return;
    }
    with(fields, to, |target| {
        for (name, value) in wanted {
            fill(target, &name, value);
        }
    });
}

fn host_ports(container: &mut Fields) {
    each(container, "ports", |port| {
        if is_absent(port, "hostPort")
            && let Some(number) = port.get("containerPort").cloned()
        {
            port.insert("hostPort".to_owned(), number);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_pulled_always_if_its_tag_is_latest_or_missing() {
        for (image, expected) in [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("registry.example.com:5000/shop/web", "Always"),
            ("localhost:5000/nginx:latest", "Always"),
            ("nginx:1.29", "IfNotPresent"),
            ("registry.example.com:5000/shop/web:1.4.2", "IfNotPresent"),
            ("nginx@sha256:0123", "IfNotPresent"),
            ("nginx:latest@sha256:0123", "Always"),
            ("", "IfNotPresent"),
            ("Not A Reference", "IfNotPresent"),
            ("Nginx", "IfNotPresent"),
            ("Registry.example.com/nginx", "Always"),
            ("a__b.c---d", "Always"),
            ("a___b", "IfNotPresent"),
            ("a..b", "IfNotPresent"),
            ("a._b", "IfNotPresent"),
            ("-a", "IfNotPresent"),
            ("a/", "IfNotPresent"),
        ] {
            assert_eq!(pull_policy(image), expected, "{image}");
        }
    }
}
