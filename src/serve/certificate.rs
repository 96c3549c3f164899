//! Keeps the served certificate current: reloads it when its files change, renews it when it is ours.

use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use rustls::crypto::CryptoProvider;
use tokio::time::MissedTickBehavior;

use super::authorities::Authorities;
use super::config::Certificates;
use super::trust::Trust;
use super::watch::{Source, Watch};
use crate::certs::authority::{self, CA_CERTIFICATE_FILE, Outcome};
use crate::certs::pair::Pair;
use crate::certs::resolver::Resolver;
use crate::certs::rotation::unexpired;
use crate::certs::{CertificateError, date, files};
use crate::telemetry::metrics::Metrics;
use crate::webhook::admission::Check;

/// How often, besides when files change, the certificate is looked at: ours may be due for
/// renewal, weeks before its end; one that is not valid yet becomes so.
const LOOK: Duration = Duration::from_secs(60);

/// The name in metrics.
const KIND: &str = "certificate";

/// Owns the certificate that is served.
pub(super) struct Keeper {
    source: Certificates,
    provider: Arc<CryptoProvider>,
    resolver: Arc<Resolver>,
    metrics: Metrics,
    /// Why the last reload failed.
    trouble: ArcSwapOption<String>,
    /// What API servers are told to trust, if they are.
    authorities: Option<Mutex<Authorities>>,
    /// What they do trust then.
    trust: Option<Arc<Trust>>,
}

impl Keeper {
    /// Makes or loads the certificate. Blocks.
    ///
    /// What is in a Secret comes later ([`Keeper::take`]). With a lifetime API servers are told what to
    /// trust, and are given a part of it to learn of another authority before it is needed; what they do
    /// trust is beside it.
    pub(super) fn open(
        source: Certificates,
        provider: Arc<CryptoProvider>,
        metrics: Metrics,
        registered: Option<(Duration, Arc<Trust>)>,
    ) -> Result<Arc<Self>, CertificateError> {
        let now = SystemTime::now();
        issue_if_ours(&source, now, &provider)?;
        let resolver = match source.directory() {
            Some(directory) => {
                let pair = files::load(directory, now, &provider)?;
                metrics.certificate_expires(pair.not_after);
                Resolver::new(pair)
            }
            None => Arc::default(),
        };
        let registered = match &source {
            Certificates::Mounted(_) | Certificates::Secret(_) => registered,
            Certificates::Development(_) => None,
        };
        let (lifetime, trust) = registered.unzip();
        let authorities = lifetime.map(|it| Mutex::new(Authorities::new(it)));
        let keeper = Keeper {
            source,
            provider,
            resolver,
            metrics,
            trouble: ArcSwapOption::empty(),
            authorities,
            trust,
        };
        keeper.must_wait();
        Ok(Arc::new(keeper))
    }

    /// Returns what API servers are to trust; empty if that is not known.
    pub(super) fn bundle(&self) -> String {
        let authorities = self.authorities();
        authorities.map_or_else(String::new, |it| it.bundle(SystemTime::now()))
    }

    /// Returns the authorities that came with the certificate.
    pub(super) fn current(&self) -> String {
        let authorities = self.authorities();
        authorities.map_or_else(String::new, |it| it.current().to_owned())
    }

    /// How long API servers trust what was registered or asked for by another replica.
    pub(super) fn linger(&self) -> Duration {
        self.authorities().map_or(LOOK, |it| it.linger())
    }

    /// Returns what API servers do trust, where they are told.
    pub(super) fn trust(&self) -> Option<&Arc<Trust>> {
        self.trust.as_ref()
    }

    /// Takes the authorities that a Secret holds.
    pub(super) fn see(&self, bundle: &str) {
        if let Some(mut authorities) = self.authorities() {
            authorities.see(bundle, Instant::now());
        }
    }

    /// Has API servers trust on what they were told by another replica, for a while. What is not needed
    /// any more goes then.
    pub(super) fn adopt(&self, registered: &str) {
        if let Some(mut authorities) = self.authorities() {
            authorities.adopt(registered, Instant::now());
        }
    }

    /// Has API servers trust what another replica asks for, for a while.
    pub(super) fn heed(&self, asked: &str) {
        let asked = unexpired(asked, SystemTime::now());
        let Some((more, refused)) = self
            .authorities()
            .map(|mut it| it.heed(&asked, Instant::now()))
        else {
            return;
        };
        if more > 0 {
            tracing::info!(
                count = more,
                "API servers will trust authorities that another replica asks for"
            );
        }
        if refused > 0 {
            tracing::warn!(
                count = refused,
                "other replicas ask for too many authorities"
            );
        }
    }

    fn authorities(&self) -> Option<MutexGuard<'_, Authorities>> {
        let authorities = self.authorities.as_ref();
        authorities.map(|it| it.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the authorities; says whether what came with them is to wait for API servers to know of
    /// them. Blocks.
    fn must_wait(&self) -> bool {
        let Some(directory) = self.source.directory() else {
            return false;
        };
        let text = std::fs::read_to_string(directory.join(CA_CERTIFICATE_FILE));
        let now = Instant::now();
        self.authorities().is_some_and(|mut authorities| {
            authorities.see(&text.unwrap_or_default(), now);
            authorities.is_settling(now)
        })
    }

    /// How often to look.
    fn look_every(&self) -> Duration {
        let settle = self.authorities().map_or(LOOK, |it| it.settle());
        settle.clamp(Duration::from_secs(1), LOOK)
    }

    pub(super) fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }

    pub(super) fn resolver(&self) -> Arc<Resolver> {
        Arc::clone(&self.resolver)
    }

    /// Says whether the certificate holds at `now`.
    pub(super) fn check(&self, now: SystemTime) -> Check {
        let trouble = self.trouble.load();
        let Some(not_after) = self.resolver.current().map(|pair| pair.not_after) else {
            let because = match &*trouble {
                Some(trouble) => format!("there is none yet: {trouble}"),
                None => "there is none yet".to_owned(),
            };
            return Check::new("certificate", Err(because));
        };
        let detail = match &*trouble {
            Some(trouble) => format!(
                "the last good one is served until {}; reload failed: {trouble}",
                date(not_after)
            ),
            None => format!("until {}", date(not_after)),
        };
        let outcome = if now < not_after {
            Ok(detail)
        } else {
            Err(format!("expired; {detail}"))
        };
        Check::new("certificate", outcome)
    }

    /// Says whether API servers trust what is served, where they are told what to trust.
    pub(super) fn check_trust(&self, now: SystemTime) -> Option<Check> {
        let trust = self.trust.as_ref()?;
        Some(trust.check(self.resolver.current().as_deref(), now))
    }

    /// Starts to watch the files, if it is files; the future returned follows them for good.
    pub(super) async fn keep(self: Arc<Self>) -> impl Future<Output = ()> {
        let folder = self.source.directory().map(Path::to_owned);
        let watch = match folder {
            Some(folder) => Some(Watch::start(vec![folder], Source::Notifications).await),
            None => None,
        };
        async move {
            let Some(mut watch) = watch else {
                return;
            };
            let mut clock = tokio::time::interval(self.look_every());
            clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let renew = tokio::select! {
                    Some(()) = watch.changed() => false,
                    _ = clock.tick() => true,
                };
                let keeper = Arc::clone(&self);
                let look = move || keeper.look(renew, SystemTime::now());
                if let Err(problem) = tokio::task::spawn_blocking(look).await {
                    tracing::error!(%problem, "looking at the certificate failed");
                }
            }
        }
    }

    /// Serves what the files hold, if it can be served and is not already. Blocks.
    fn look(&self, renew: bool, now: SystemTime) {
        let renewed = if renew {
            issue_if_ours(&self.source, now, &self.provider)
        } else {
            Ok(())
        };
        let Some(directory) = self.source.directory() else {
            return;
        };
        let loaded = renewed.and_then(|()| files::load(directory, now, &self.provider));
        let current = self.resolver.current();
        let current = current.filter(|current| now < current.not_after);
        let settles = self.must_wait();
        if let Some(current) = current
            && (settles || self.is_early(&loaded, now))
        {
            if loaded.is_ok_and(|pair| !pair.same_chain(&current)) {
                tracing::info!(
                    "the certificate of another authority waits for API servers to know that"
                );
            }
            return;
        }
        self.take(loaded);
    }

    /// Says whether a certificate would follow another one.
    pub(super) fn is_other(&self, loaded: &Result<Pair, CertificateError>) -> bool {
        let (Some(current), Ok(loaded)) = (self.resolver.current(), loaded) else {
            return false;
        };
        !loaded.same_chain(&current)
    }

    /// Says whether API servers would refuse a certificate, and would not what is served.
    pub(super) fn is_early(
        &self,
        loaded: &Result<Pair, CertificateError>,
        now: SystemTime,
    ) -> bool {
        let (Some(trust), Some(current), Ok(loaded)) =
            (&self.trust, self.resolver.current(), loaded)
        else {
            return false;
        };
        let holds = now < current.not_after && !trust.is_refused(&current, now);
        holds && trust.is_refused(loaded, now)
    }

    /// Says why there is no certificate yet, if there is none.
    pub(super) fn lack(&self, because: String) {
        if self.resolver.current().is_none() {
            self.trouble.store(Some(Arc::new(because)));
        }
    }

    /// Serves a certificate that was read, unless it is served already.
    pub(super) fn take(&self, loaded: Result<Pair, CertificateError>) {
        let trouble = self.trouble.load_full();
        match loaded {
            Ok(pair) => {
                let current = self.resolver.current();
                if trouble.is_none() && current.is_some_and(|it| pair.same_chain(&it)) {
                    return;
                }
                let until = date(pair.not_after);
                self.metrics.certificate_expires(pair.not_after);
                self.resolver.replace(pair);
                self.trouble.store(None);
                self.metrics.reloaded::<_, ()>(KIND, &Ok(()));
                tracing::info!(until, "certificate reloaded");
            }
            Err(problem) => {
                let text = problem.to_string();
                if trouble.is_some_and(|trouble| *trouble == text) {
                    return;
                }
                tracing::error!(
                    %problem,
                    help = problem.help(),
                    "certificate not reloaded; the last good one is served"
                );
                self.trouble.store(Some(Arc::new(text)));
                self.metrics.reloaded::<(), _>(KIND, &Err(problem));
            }
        }
    }
}

fn issue_if_ours(
    source: &Certificates,
    now: SystemTime,
    provider: &Arc<CryptoProvider>,
) -> Result<(), CertificateError> {
    let Certificates::Development(directory) = source else {
        return Ok(());
    };
    match authority::ensure(directory, now, provider)? {
        Outcome::Reused => {}
        Outcome::LeafIssued { because } => {
            tracing::info!(because, "development certificate issued");
        }
        Outcome::AuthorityCreated { because } => {
            tracing::warn!(because, "development CA created; give it to clients");
        }
    }
    Ok(())
}
