//! The PolicyExceptions of some namespaces, listed once, for a scan that is decided as `serve` would.

use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;

use super::list::{Ask, ListError, Lister};
use super::scan::RESTARTS;
use crate::cluster::exceptions::{PLURAL, text};
use crate::policy::exceptions::{GROUP, VERSION};
use crate::text::Source;

/// What exceptions may take, as texts: thirty thousand of a kilobyte.
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// What was listed.
#[derive(Debug, Default)]
pub struct OfNamespaces {
    /// The exceptions, each as a text.
    pub texts: Vec<Arc<Source>>,
    /// The namespaces that have none, or are not there.
    pub empty: Vec<String>,
    /// Whether the cluster knows the kind; without it there are no exceptions.
    pub is_served: bool,
}

/// Why exceptions are not known; without them a scan would find what is none.
#[derive(Debug, thiserror::Error)]
#[error("cannot list policyexceptions.{GROUP} in the namespace `{namespace}`: {problem}")]
pub struct ExceptionsError {
    namespace: String,
    problem: ListError,
}

/// Lists the exceptions of these namespaces.
///
/// # Errors
/// Those of one cannot be had, or there are more than can be held.
pub async fn list(lister: &Lister, namespaces: &[String]) -> Result<OfNamespaces, ExceptionsError> {
    let mut listed = OfNamespaces {
        is_served: true,
        ..OfNamespaces::default()
    };
    let mut most_bytes = MOST_BYTES;
    for namespace in namespaces {
        match of_one(lister, namespace, &mut most_bytes).await {
            Ok(texts) if texts.is_empty() => listed.empty.push(namespace.clone()),
            Ok(texts) => listed.texts.extend(texts),
            Err(ListError::Unknown) => listed.is_served = false,
            Err(problem) => {
                let namespace = namespace.clone();
                return Err(ExceptionsError { namespace, problem });
            }
        }
    }
    Ok(listed)
}

async fn of_one(
    lister: &Lister,
    namespace: &str,
    most_bytes: &mut usize,
) -> Result<Vec<Arc<Source>>, ListError> {
    let path = format!("/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}");
    let mut texts = Vec::new();
    let mut restarts = 0;
    let mut ask = Ask::first(path);
    loop {
        let page = match lister.page(ask.clone()).await {
            Ok(page) => page,
            Err(ListError::Expired { .. }) if restarts < RESTARTS => {
                restarts += 1;
                texts.clear();
                ask.token = None;
                continue;
            }
            Err(problem) => return Err(problem),
        };
        for item in page.items()? {
            let source = read(item, namespace)?;
            let left = most_bytes.checked_sub(source.text().len());
            *most_bytes = left.ok_or_else(|| {
                ListError::Refused("there are more exceptions than can be held".to_owned())
            })?;
            texts.push(source);
        }
        match page.token {
            Some(token) => ask.token = Some(token),
            None => return Ok(texts),
        }
        ask.limit = page.next_limit;
    }
}

fn read(item: &RawValue, namespace: &str) -> Result<Arc<Source>, ListError> {
    let object: Result<Value, _> = serde_json::from_str(item.get());
    let object = object.map_err(|problem| ListError::Failed(problem.to_string()))?;
    let name = object.pointer("/metadata/name").and_then(Value::as_str);
    Ok(text(
        namespace,
        name.unwrap_or_default(),
        object.get("spec"),
    ))
}
