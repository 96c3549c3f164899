//! Webhook configurations among what is linted: printed, rendered or edited, they are proved as those are
//! that the server writes itself.
//!
//! Only Portcullis' own. Others keep out of the way in words of their own, which the proof does not know.

use std::sync::Arc;

use crate::diagnostics::Diagnostic;
use crate::manifest::{self, Manifest, point};
use crate::serve::registration::guards::{Hole, holes};
use crate::text::yaml::{Entry, Yaml};
use crate::text::{Source, Span};

/// Returns how many configurations there are, and where they could lock a cluster out.
pub(super) fn prove(sources: &[Arc<Source>]) -> (usize, Vec<Diagnostic>) {
    let (mut count, mut findings) = (0, Vec::new());
    let named = sources
        .iter()
        .filter(|source| source.text().contains("WebhookConfiguration"));
    for source in named {
        // What is no object is said where policies are read.
        let (manifests, _) = manifest::read(source);
        for configuration in manifests.iter().filter(|it| is_ours(it)) {
            count += 1;
            let holes = holes(&configuration.to_json(), None);
            findings.extend(holes.into_iter().map(|hole| finding(configuration, hole)));
        }
    }
    (count, findings)
}

fn is_ours(manifest: &Manifest) -> bool {
    let kinds = [
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
    ];
    if !kinds.contains(&&*manifest.kind)
        || !manifest
            .api_version
            .starts_with("admissionregistration.k8s.io/")
    {
        return false;
    }
    let label = ["metadata", "labels", "app.kubernetes.io/name"];
    let is_labelled = manifest.node.at(&label).and_then(Yaml::as_str) == Some("portcullis");
    is_labelled
        || webhooks(manifest).iter().any(|webhook| {
            let name = webhook.get("name").and_then(Yaml::as_str);
            name.is_some_and(|name| name.ends_with(".portcullis.dev"))
        })
}

fn webhooks(manifest: &Manifest) -> &[Yaml] {
    let webhooks = manifest.node.get("webhooks");
    webhooks.and_then(Yaml::as_sequence).unwrap_or_default()
}

fn finding(manifest: &Manifest, hole: Hole) -> Diagnostic {
    let help = "`portcullis manifests` and the chart print what excludes it, and `serve --service` writes it \
                itself; other words that mean the same are not understood";
    let span = place(manifest, &hole).unwrap_or_else(|| point::title(manifest));
    let finding = Diagnostic::error("registration/lock-out", hole.message);
    finding.at(&manifest.source, span).help(help)
}

/// Where the field is that does not exclude something, or the name of the webhook that lacks it.
fn place(manifest: &Manifest, hole: &Hole) -> Option<Span> {
    let webhook = webhooks(manifest).get(hole.webhook)?;
    let entry = |key: &str| -> Option<&Entry> {
        let mut entries = webhook.as_mapping()?.iter();
        entries.find(|entry| entry.key == key)
    };
    match entry(hole.field) {
        Some(field) => Some(field.key_span),
        None => entry("name").map(|name| name.value.span),
    }
}
