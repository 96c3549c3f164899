//! Writes webhook configurations and looks at what API servers have of them then.

use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use serde_json::Value;

use super::count;
use crate::cluster::connect::described;
use crate::cluster::lease::REQUEST;
use crate::serve::registration::{Place, configured_name, drift, guards};

/// Who owns the fields that are written.
const FIELD_MANAGER: &str = "portcullis";

/// What became of one configuration.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is as it is meant.
    AsMeant,
    /// It is as it is meant, once what somebody else had written was taken out.
    Reverted(String),
    /// It is written, and holds what somebody else wrote and could not be taken out.
    Differs(String),
}

/// Writes a configuration so that nothing else is in it.
///
/// Server-side apply brings back what was changed, and removes entries that it has no longer. What others
/// have added it leaves; that goes with a patch of the whole list, which only counts for the version that
/// was looked at. `generation` is that of what was written last, if this is the same: another one says that
/// somebody has changed it since.
///
/// # Errors
/// It is not written, or what is kept could lock the cluster out.
pub(super) async fn write(
    client: &Client,
    place: &Place,
    configuration: &Value,
    generation: Option<i64>,
) -> Result<(Outcome, Option<i64>), String> {
    let mut applied = configuration.clone();
    // An empty list is kept as none, and would be written again each time.
    if count(&applied) == 0
        && let Some(fields) = applied.as_object_mut()
    {
        fields.remove("webhooks");
    }
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let kept = patch(client, &parameters, &Patch::Apply(applied)).await?;
    let differences = drift::differences(configuration, &kept);
    if differences.is_empty() {
        guards::prove(&kept, place).map_err(would_lock_out)?;
        let current = generation_of(&kept);
        let outcome = match generation {
            Some(_) if current != generation => {
                Outcome::Reverted(told(configuration, &["changed fields".to_owned()], &[]))
            }
            _ => Outcome::AsMeant,
        };
        return Ok((outcome, current));
    }
    let others = drift::others(&kept, FIELD_MANAGER);
    let what = told(configuration, &differences, &others);
    let removal = drift::removal(configuration, &kept);
    let parameters = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let kept = match patch(client, &parameters, &Patch::Merge(removal)).await {
        Ok(kept) => kept,
        Err(problem) => return Ok((Outcome::Differs(format!("{what} ({problem})")), None)),
    };
    guards::prove(&kept, place).map_err(would_lock_out)?;
    let outcome = match drift::differences(configuration, &kept).is_empty() {
        true => Outcome::Reverted(what),
        false => Outcome::Differs(format!("{what}, which comes back")),
    };
    Ok((outcome, generation_of(&kept)))
}

/// How often what is registered was changed (kubernetes
/// `pkg/registry/admissionregistration/validatingwebhookconfiguration/strategy.go`, `PrepareForUpdate`).
fn generation_of(kept: &Value) -> Option<i64> {
    kept.pointer("/metadata/generation").and_then(Value::as_i64)
}

pub(super) fn would_lock_out(holes: String) -> String {
    format!("this would lock the cluster out: {holes}")
}

/// Says what is somebody else's.
fn told(configuration: &Value, differences: &[String], others: &[String]) -> String {
    let kind = configuration["kind"].as_str().unwrap_or_default();
    let name = configured_name(configuration);
    let by = match others {
        [] => String::new(),
        others => format!(" (by `{}`)", others.join("`, `")),
    };
    format!("{} in the {kind} `{name}`{by}", differences.join(", "))
}

async fn patch(
    client: &Client,
    parameters: &PatchParams,
    patch: &Patch<Value>,
) -> Result<Value, String> {
    let configuration = match patch {
        Patch::Apply(it) | Patch::Merge(it) => it,
        _ => &Value::Null,
    };
    let kind = configuration["kind"].as_str().unwrap_or_default();
    let name = configured_name(configuration);
    let group = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind);
    let plural = format!("{}s", kind.to_lowercase());
    let resource = ApiResource::from_gvk_with_plural(&group, &plural);
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let answer = api.patch(name, parameters, patch);
    let said = |problem: String| format!("the {kind} `{name}`: {problem}");
    match tokio::time::timeout(REQUEST, answer).await {
        Ok(Ok(kept)) => serde_json::to_value(kept).map_err(|problem| said(problem.to_string())),
        Ok(Err(problem)) => Err(said(described(&problem))),
        Err(_) => Err("the API server does not answer".to_owned()),
    }
}
