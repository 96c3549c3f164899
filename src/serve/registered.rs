//! Reads the webhook configurations of an installation as API servers have them.

use kube::Client;
use kube::api::{Api, DynamicObject};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use serde_json::Value;

use super::registration::{Place, Target};
use crate::cluster::connect::described;
use crate::cluster::lease::REQUEST;

/// What is registered is of these kinds.
const KINDS: [&str; 2] = [
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
];

/// Returns both configurations without their types and metadata; `null` is one that is not there.
///
/// # Errors
/// One of them could not be read.
pub(super) async fn read(client: &Client, name: &str) -> Result<[Value; 2], String> {
    let [validating, mutating] = KINDS;
    Ok([
        get(client, validating, name).await?,
        get(client, mutating, name).await?,
    ])
}

/// Returns the entries of these configurations.
pub(super) fn webhooks(configurations: &[Value; 2]) -> impl Iterator<Item = &Value> {
    let lists = configurations.iter().filter_map(|it| it.get("webhooks"));
    lists.filter_map(Value::as_array).flatten()
}

/// Says whether an entry leads to this installation.
pub(super) fn leads_here(webhook: &Value, place: &Place) -> bool {
    let text = |path: &str| webhook.pointer(path).and_then(Value::as_str);
    match &place.target {
        Target::Service(service) => {
            text("/clientConfig/service/namespace") == Some(&service.namespace)
                && text("/clientConfig/service/name") == Some(&service.name)
        }
        Target::Url(url) => {
            text("/clientConfig/url").is_some_and(|it| it.starts_with(url.as_str()))
        }
    }
}

async fn get(client: &Client, kind: &str, name: &str) -> Result<Value, String> {
    let group = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind);
    let plural = format!("{}s", kind.to_lowercase());
    let resource = ApiResource::from_gvk_with_plural(&group, &plural);
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    match tokio::time::timeout(REQUEST, api.get_opt(name)).await {
        Ok(Ok(found)) => Ok(found.map_or(Value::Null, |it| it.data)),
        Ok(Err(problem)) => Err(format!("the {kind} `{name}`: {}", described(&problem))),
        Err(_) => Err("the API server does not answer".to_owned()),
    }
}
