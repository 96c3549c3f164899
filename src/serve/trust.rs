//! What API servers trust, as it is registered: a replica that they would not trust is not ready.
//!
//! Only where somebody else mounts the certificate: a replica that starts may be given one of another
//! authority before the replica that registers has seen that.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use k8s_openapi::ByteString;
use kube::Client;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;

use super::registered;
use super::registration::Place;
use crate::certs::pair::Pair;
use crate::certs::resolver::Resolver;
use crate::certs::rotation::{certificates, unexpired};
use crate::webhook::admission::Check;

/// How often it is read by a replica that is not trusted, or while nothing is registered.
const SOON: Duration = Duration::from_secs(1);

/// What was read of it last.
#[derive(Debug)]
enum Known {
    /// Nothing, and why.
    Unread(String),
    /// What holds of each bundle, once; none, if nothing is registered.
    Bundles(Vec<String>),
}

/// What API servers trust that call this installation.
pub(super) struct Trust {
    client: Client,
    place: Place,
    provider: Arc<CryptoProvider>,
    known: ArcSwap<Known>,
}

impl Trust {
    pub(super) fn new(client: Client, place: Place, provider: Arc<CryptoProvider>) -> Arc<Self> {
        let unread = Known::Unread("what is registered is looked for".to_owned());
        Arc::new(Trust {
            client,
            place,
            provider,
            known: ArcSwap::from_pointee(unread),
        })
    }

    /// Reads what is registered; returns all certificates in it that hold at `now`, as PEM.
    ///
    /// # Errors
    /// It could not be read; what was known stays.
    pub(super) async fn read(&self, now: SystemTime) -> Result<String, String> {
        let configurations = match registered::read(&self.client, &self.place.name).await {
            Ok(configurations) => configurations,
            Err(problem) => {
                if matches!(&**self.known.load(), Known::Unread(_)) {
                    self.known.store(Arc::new(Known::Unread(problem.clone())));
                }
                return Err(problem);
            }
        };
        let bundles = self.bundles(&configurations, now);
        let all = bundles.concat();
        self.known.store(Arc::new(Known::Bundles(bundles)));
        Ok(all)
    }

    /// Reads it again and again.
    pub(super) async fn follow(&self, served: &Resolver, every: Duration) {
        let mut said = None;
        loop {
            let now = SystemTime::now();
            let read = self.read(now).await;
            let leaf = served.current();
            let verdict = leaf.map_or(Ok(()), |leaf| self.verdict(&leaf, now));
            let is_settled = read.is_ok_and(|all| !all.is_empty()) && verdict.is_ok();
            match (&said, verdict) {
                (None, Err(problem)) => {
                    tracing::warn!(problem, "not ready");
                    said = Some(());
                }
                (Some(()), Ok(())) => {
                    tracing::info!("API servers trust the certificate now");
                    said = None;
                }
                _ => {}
            }
            tokio::time::sleep(if is_settled { every } else { SOON.min(every) }).await;
        }
    }

    /// Says whether API servers trust what is served.
    pub(super) fn check(&self, leaf: Option<&Pair>, now: SystemTime) -> Check {
        let outcome = match (&**self.known.load(), leaf) {
            (Known::Unread(problem), _) => Err(problem.clone()),
            (Known::Bundles(bundles), _) if bundles.is_empty() => {
                Ok("nothing is registered yet".to_owned())
            }
            (Known::Bundles(_), None) => Err("nothing is served".to_owned()),
            (Known::Bundles(_), Some(leaf)) => {
                let trusted = "API servers trust the certificate".to_owned();
                self.verdict(leaf, now).map(|()| trusted)
            }
        };
        Check::new("trust", outcome)
    }

    /// Says whether it is known that API servers would refuse this certificate.
    pub(super) fn is_refused(&self, leaf: &Pair, now: SystemTime) -> bool {
        self.verdict(leaf, now).is_err()
    }

    /// Compares a certificate with all that is registered.
    fn verdict(&self, leaf: &Pair, now: SystemTime) -> Result<(), String> {
        let known = self.known.load();
        let Known::Bundles(bundles) = &**known else {
            return Ok(());
        };
        let names = self.place.names();
        let name = names.first().map_or("", String::as_str);
        let server = ServerName::try_from(name).map_err(|problem| problem.to_string())?;
        for bundle in bundles {
            let authorities: Vec<CertificateDer<'static>> = certificates(bundle).collect();
            leaf.is_trusted(&authorities, &server, now, &self.provider)
                .map_err(|problem| {
                    format!(
                        "API servers that call `{name}` do not trust the certificate yet ({problem}): \
                         who signed it is not in the registered caBundle"
                    )
                })?;
        }
        Ok(())
    }

    /// Returns what of the bundles of what leads here holds, each once.
    fn bundles(&self, configurations: &[Value; 2], now: SystemTime) -> Vec<String> {
        let mut bundles = Vec::new();
        let webhooks = registered::webhooks(configurations);
        for webhook in webhooks.filter(|it| registered::leads_here(it, &self.place)) {
            let bundle = webhook.pointer("/clientConfig/caBundle");
            let bundle = bundle.and_then(Value::as_str).unwrap_or_default();
            let bundle = serde_json::from_value::<ByteString>(Value::from(bundle));
            let bundle = bundle.map_or_else(|_| Vec::new(), |it| it.0);
            let bundle = unexpired(&String::from_utf8_lossy(&bundle), now);
            if !bundles.contains(&bundle) {
                bundles.push(bundle);
            }
        }
        bundles
    }
}
