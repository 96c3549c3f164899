//! What API servers trust, as it is registered: a replica that they would not trust is not ready, and asks
//! whoever registers for what they need to.
//!
//! A replica that starts may be given a certificate of another authority before the replica that registers
//! has seen that, or of one that it never will: from another folder, or from a Secret that it does not read.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use k8s_openapi::ByteString;
use kube::Client;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;

use super::authorities::{MOST_ASKED, blocks};
use super::certificate::Keeper;
use super::registered;
use super::registration::Place;
use crate::certs::pair::Pair;
use crate::certs::rotation::{certificates, unexpired};
use crate::cluster::lease::{Asks, MOST_OF_AN_ASK};
use crate::webhook::admission::Check;

/// How often it is read by a replica that is not trusted, or while nothing is registered.
pub(super) const SOON: Duration = Duration::from_secs(1);
/// How long a replica that is not trusted waits before it asks again: what it asks is read and registered
/// within a few seconds.
const AGAIN: Duration = Duration::from_secs(5);

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

    /// Reads it again and again, and asks whoever registers for what this replica needs and may not be
    /// trusted for long.
    pub(super) async fn follow(&self, keeper: &Keeper, asks: &Asks, every: Duration) {
        let mut said = None;
        let mut last: Option<(String, Instant)> = None;
        loop {
            let now = SystemTime::now();
            let read = self.read(now).await;
            let leaf = keeper.resolver().current();
            let verdict = leaf.as_ref().map_or(Ok(()), |leaf| self.verdict(leaf, now));
            if let (Ok(registered), Some(leaf)) = (&read, &leaf) {
                let wait = match verdict {
                    // It asks again before what it has asked for is forgotten.
                    Ok(()) => keeper.linger() / 2,
                    Err(_) => AGAIN,
                };
                let wish = self.wish(registered, &keeper.current(), leaf, now);
                if let Some(wish) = wish
                    && last
                        .as_ref()
                        .is_none_or(|(asked, at)| *asked != wish || at.elapsed() >= wait)
                {
                    asks.ask(wish.clone());
                    last = Some((wish, Instant::now()));
                }
            }
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

    /// Returns the authorities that this replica needs, those that have signed its leaf first, unless what is
    /// registered is just what it would register itself: then whoever does so has them, too.
    fn wish(&self, registered: &str, own: &str, leaf: &Pair, now: SystemTime) -> Option<String> {
        let own = unexpired(own, now);
        let differs = blocks(registered).any(|it| !own.contains(it))
            || blocks(&own).any(|it| !registered.contains(it));
        if registered.is_empty() || !differs {
            return None;
        }
        let has_signed = |block: &&str| {
            let authorities: Vec<_> = certificates(block).collect();
            self.is_trusted(leaf, &authorities, now).is_ok()
        };
        let (signers, others): (Vec<&str>, Vec<&str>) = blocks(&own).partition(has_signed);
        if signers.is_empty() {
            return None;
        }
        let mut wish = String::new();
        for block in signers.iter().chain(&others).take(MOST_ASKED) {
            if wish.len() + block.len() <= MOST_OF_AN_ASK {
                wish.push_str(block);
            }
        }
        Some(wish)
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
        for bundle in bundles {
            let authorities: Vec<CertificateDer<'static>> = certificates(bundle).collect();
            self.is_trusted(leaf, &authorities, now)
                .map_err(|problem| {
                    format!(
                        "API servers that call `{}` do not trust the certificate yet ({problem}): \
                     who signed it is not in the registered caBundle",
                        self.name()
                    )
                })?;
        }
        Ok(())
    }

    fn is_trusted(
        &self,
        leaf: &Pair,
        authorities: &[CertificateDer<'static>],
        now: SystemTime,
    ) -> Result<(), String> {
        let server = ServerName::try_from(self.name()).map_err(|problem| problem.to_string())?;
        leaf.is_trusted(authorities, &server, now, &self.provider)
            .map_err(|problem| problem.to_string())
    }

    /// Returns the name by which API servers call.
    fn name(&self) -> String {
        self.place.names().into_iter().next().unwrap_or_default()
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
