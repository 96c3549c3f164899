//! What a replica does for all: the one that holds the Lease keeps the certificate and the webhook
//! configurations, and every one serves what the Secret holds.
//!
//! Nothing is registered before the server has been called as API servers will call it, first by itself and
//! then by one of them (`reach`), and nothing that could lock the cluster out ([`guards::holes`]). What is
//! registered stays when a replica ends: the others answer. What somebody else writes into a configuration is
//! taken out again after `REPEAT` at the latest, and told. A replica that cannot reach the API server serves on
//! with what it has.

mod reach;
mod write;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use kube::Client;
use serde_json::Value;
use tokio::sync::{Notify, watch};

use super::certificate::Keeper;
use super::config::Certificates;
use super::dial::dial;
use super::registration::{Demand, Place, guards};
use super::trust;
use crate::certs::authority::CA_CERTIFICATE_FILE;
use crate::certs::rotation::{Contents, Step, Terms, only_certificates};
use crate::cluster::ObjectName;
use crate::cluster::lease::{Candidate, Note, Standing, Words};
use crate::cluster::secret::{self, Found, Version, Written};
use crate::telemetry::metrics::Metrics;
use crate::webhook::admission::Check;
use crate::webhook::listener::{Stage, reached};
use reach::Way;
use write::{Outcome, would_lock_out, write};

/// How often, besides when something changes, everything is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// How often configurations are written that are as they should be: somebody may have changed them. Writing
/// what is there already takes an API server a request and its storage nothing.
const REPEAT: Duration = Duration::from_secs(5);
/// How long a replica that has nothing to serve waits for the holder to issue a certificate. That may be one
/// whose own is mounted, and which issues none.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it is told that something was taken out.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// The name in metrics.
const KIND: &str = "registration";

/// What a server needs that manages itself in a cluster.
pub struct Management {
    /// Leads to the cluster.
    pub client: Client,
    /// What is registered.
    pub place: Place,
    /// Where the Lease is.
    pub namespace: String,
    /// How long certificates live.
    pub lifetime: Duration,
    /// Returns what the policies in force ask for, once all of them could be read.
    pub demand: Box<dyn Fn() -> Option<Demand> + Send + Sync>,
    /// Says that the policies in force are others.
    pub changes: watch::Receiver<u64>,
}

/// A replica among others.
pub(super) struct Steward {
    management: Management,
    keeper: Arc<Keeper>,
    /// Where the server listens.
    address: SocketAddr,
    certs: Certificates,
    terms: Terms,
    metrics: Metrics,
    /// Who holds the Lease.
    standing: watch::Sender<Standing>,
    /// Says that what the Secret holds is served now.
    served: Notify,
    /// What its holder leaves to the next one, and what the others ask of it.
    words: Words,
    /// A word about what it does, or why it cannot.
    state: ArcSwap<Result<String, String>>,
}

/// What the holder has written since it is one.
#[derive(Default)]
struct Work {
    /// Whether what others had registered is known.
    has_adopted: bool,
    /// Whether API servers reach the webhook.
    way: Way,
    /// The configurations, when they were written, and what else is in them.
    registered: Option<Registered>,
    /// What somebody else had written and was taken out last, and when.
    reverted: Option<(String, Instant)>,
    /// What of a bundle that API servers know is the replica's own, and since when at the latest.
    published: Option<(String, Instant)>,
}

/// What API servers are to trust, as PEM.
struct Bundle {
    /// What came with the certificate.
    own: String,
    /// That, and what was trusted before or others need.
    all: String,
}

/// What is registered.
struct Registered {
    configurations: [Value; 2],
    at: Instant,
    /// How often each had been changed then.
    generations: [Option<i64>; 2],
    /// What is not meant and stays.
    otherwise: Result<(), String>,
}

impl Work {
    /// Returns how long nothing is to be done.
    fn rest(&self, look: Duration) -> Duration {
        if let Some(rest) = self.way.rest() {
            return rest.min(look);
        }
        let registered = self.registered.as_ref();
        let rest = registered.map(|it| REPEAT.saturating_sub(it.at.elapsed()));
        // What is overdue could not be done.
        let rest = rest.filter(|rest| !rest.is_zero());
        rest.map_or(look, |rest| rest.min(look))
    }

    fn word(&self) -> String {
        let word = "this replica holds the lease";
        match &self.reverted {
            Some((what, at)) if at.elapsed() < REMEMBERED => {
                format!("{word}; somebody else's and taken out: {what}")
            }
            _ if matches!(self.way, Way::Asked(_)) => {
                format!("{word}; nothing is registered before an API server has called the webhook")
            }
            _ => word.to_owned(),
        }
    }

    fn is_settled(&self, own: &str, settle: Duration) -> bool {
        let published = self.published.as_ref();
        published.is_some_and(|(known, since)| known == own && since.elapsed() >= settle)
    }
}

impl Steward {
    pub(super) fn new(
        management: Management,
        keeper: Arc<Keeper>,
        (address, certs): (SocketAddr, Certificates),
        metrics: Metrics,
    ) -> Arc<Self> {
        let terms = Terms {
            names: management.place.names(),
            lifetime: management.lifetime,
        };
        Arc::new(Steward {
            management,
            keeper,
            address,
            certs,
            terms,
            metrics,
            standing: watch::Sender::new(Standing::Unasked),
            served: Notify::new(),
            words: Words::default(),
            state: ArcSwap::from_pointee(Ok("the lease is looked for".to_owned())),
        })
    }

    /// Says what it does. That it cannot do so is no reason to send requests elsewhere.
    pub(super) fn check(&self) -> Check {
        let word = match &**self.state.load() {
            Ok(word) => word.clone(),
            Err(problem) => format!("cannot go on: {problem}"),
        };
        Check::new("registration", Ok(word))
    }

    /// Returns a channel that says who holds the Lease.
    pub(super) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Returns what the holder of the Lease leaves to the next one.
    pub(super) fn note(&self) -> Note {
        self.words.note.clone()
    }

    /// Works until the server leaves, then lets another replica go on.
    pub(super) async fn run(self: Arc<Self>, mut stage: watch::Receiver<Stage>) {
        let client = self.management.client.clone();
        let (found, seen) = watch::channel(Found::Unread);
        let lease = ObjectName {
            namespace: self.management.namespace.clone(),
            name: self.management.place.name.clone(),
        };
        let mut candidate =
            Candidate::new(client.clone(), lease, self.identity(), self.words.clone());
        let follow = async {
            match &self.certs {
                Certificates::Secret(name) => secret::follow(client, name.clone(), found).await,
                Certificates::Development(_) | Certificates::Mounted(_) => {}
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = follow => {}
            () = candidate.run(&self.standing) => {}
            () = self.serve(seen.clone()) => {}
            () = self.work(seen, self.standing()) => {}
            () = self.follow_trust() => {}
            () = reached(&mut stage, Stage::Leaving) => {}
        }
        // Before others may begin.
        self.standing.send_replace(Standing::Unasked);
        candidate.release().await;
    }

    /// Names this replica; the same pod may start again while its last Lease still counts.
    fn identity(&self) -> String {
        let mut random = [0; 8];
        // Without randomness there would have been no certificate.
        let _ = self.keeper.provider().secure_random.fill(&mut random);
        let host = std::env::var("HOSTNAME").unwrap_or_default();
        format!("{host}_{:016x}", u64::from_be_bytes(random))
    }

    /// Serves what the Secret holds, once API servers trust it if they trust what is served.
    async fn serve(&self, mut seen: watch::Receiver<Found>) {
        let Certificates::Secret(name) = &self.certs else {
            return std::future::pending().await;
        };
        let origin = format!("{name}");
        let mut was_early = false;
        loop {
            let found = seen.borrow_and_update().clone();
            let mut waits = false;
            match found {
                Found::Present(version) if version.keys.values().all(Vec::is_empty) => {
                    self.keeper.lack(format!("the Secret `{name}` is empty"));
                }
                Found::Present(version) => {
                    let contents = Contents::from(version.keys);
                    self.keeper.see(contents.bundle());
                    let (now, provider) = (SystemTime::now(), self.keeper.provider());
                    let leaf = contents.leaf(Path::new(&origin), now, provider);
                    if let (true, Some(trust)) = (self.keeper.is_other(&leaf), self.keeper.trust())
                    {
                        // What is known stays where it cannot be read.
                        let _ = trust.read(now).await;
                    }
                    let is_early = self.keeper.is_early(&leaf, now);
                    // API servers know within a second what is registered.
                    waits = is_early || was_early;
                    if is_early && !was_early {
                        tracing::info!(
                            "the certificate waits for API servers to know who signed it"
                        );
                    }
                    was_early = is_early;
                    if !waits {
                        self.keeper.take(leaf);
                    }
                    self.served.notify_one();
                }
                Found::Unread => self
                    .keeper
                    .lack(format!("the Secret `{name}` is looked for")),
                Found::Absent => self.keeper.lack(format!("there is no Secret `{name}`")),
                Found::Unknown(problem) => {
                    self.keeper
                        .lack(format!("the Secret `{name}` is not known: {problem}"));
                }
            }
            tokio::select! {
                changed = seen.changed() => if changed.is_err() {
                    return std::future::pending().await;
                },
                () = tokio::time::sleep(trust::SOON), if waits => {}
            }
        }
    }

    /// Follows what is registered, where API servers are told what to trust.
    async fn follow_trust(&self) {
        let Some(trust) = self.keeper.trust() else {
            return std::future::pending().await;
        };
        let asks = &self.words.asks;
        trust.follow(&self.keeper, asks, self.look()).await;
    }

    /// How often, besides when something changes, everything is looked at.
    fn look(&self) -> Duration {
        LOOK.min(self.terms.lifetime / 24)
    }

    /// Does what is to be done, as long as this replica holds the Lease.
    async fn work(&self, mut seen: watch::Receiver<Found>, mut known: watch::Receiver<Standing>) {
        let mut changes = self.management.changes.clone();
        let look = self.look();
        let mut work = Work::default();
        let mut lacking = None;
        loop {
            let standing = known.borrow_and_update().clone();
            let outcome = match &standing {
                standing if standing.is_holder() => {
                    let found = seen.borrow_and_update().clone();
                    let owner = self.owner(&found);
                    let done = self.step(&mut work, found, &known).await;
                    done.map(|()| format!("{}{owner}", work.word()))
                }
                Standing::Holder { .. } => Ok("the lease is being renewed".to_owned()),
                Standing::Unasked => Ok("the lease is looked for".to_owned()),
                Standing::Other(holder) => {
                    let found = seen.borrow_and_update().clone();
                    let done = self.stand_in(&mut lacking, found).await;
                    done.map(|()| format!("`{holder}` holds the lease"))
                }
                Standing::Unknown(problem) => Err(format!("the lease: {problem}")),
            };
            if !standing.is_holder() {
                work = Work::default();
            }
            self.say(outcome);
            tokio::select! {
                Ok(()) = seen.changed() => {}
                Ok(()) = known.changed() => {}
                Ok(()) = changes.changed() => {}
                () = self.served.notified() => {}
                () = tokio::time::sleep(work.rest(look)) => {}
            }
        }
    }

    /// Says so if the certificate is somebody else's to renew.
    fn owner(&self, found: &Found) -> String {
        match (&self.certs, found) {
            (Certificates::Secret(name), Found::Present(version)) if !version.is_ours => {
                format!("; the certificate in the Secret `{name}` is not its own, and not renewed")
            }
            _ => String::new(),
        }
    }

    fn say(&self, outcome: Result<String, String>) {
        let before = self.state.load();
        if **before == outcome {
            return;
        }
        match (&**before, &outcome) {
            (_, Err(problem)) => {
                tracing::error!(problem, "certificates and webhooks are not kept");
                self.metrics.reloaded(KIND, &outcome);
            }
            (Err(_), Ok(word)) => {
                tracing::info!(word, "certificates and webhooks are kept again");
                self.metrics.reloaded(KIND, &outcome);
            }
            (Ok(_), Ok(_)) => {}
        }
        self.state.store(Arc::new(outcome));
    }

    /// Looks at everything once and does at most one thing with the certificate.
    async fn step(
        &self,
        work: &mut Work,
        found: Found,
        known: &watch::Receiver<Standing>,
    ) -> Result<(), String> {
        let kept = match &self.certs {
            Certificates::Secret(name) => {
                let is_serving = self.keeper.resolver().current().is_some();
                match self.keep(work, (name, found), known).await {
                    Ok(false) => return Ok(()),
                    Err(problem) if !is_serving => return Err(problem),
                    // What is served is registered, with or without it: the upgrade to replicas that need no
                    // Secret removes it while those before are still called.
                    kept => kept.map(drop),
                }
            }
            Certificates::Mounted(_) | Certificates::Development(_) => Ok(()),
        };
        if let Some(trust) = self.keeper.trust()
            && !work.has_adopted
        {
            self.keeper.adopt(&trust.read(SystemTime::now()).await?);
            work.has_adopted = true;
        }
        for asked in self.words.asks.take() {
            self.keeper.heed(&asked);
        }
        let all = self.keeper.bundle();
        if let Certificates::Mounted(directory) | Certificates::Development(directory) = &self.certs
            && all.is_empty()
        {
            let path = directory.join(CA_CERTIFICATE_FILE);
            let path = path.display();
            return Err(format!(
                "what API servers are to trust is not known: there is no certificate in `{path}`"
            ));
        }
        let own = self.keeper.current();
        let registered = self.register(work, &Bundle { own, all }, known).await;
        kept.and(registered)
    }

    /// Does at most one thing with the Secret; says whether what it holds is served, and can be registered.
    async fn keep(
        &self,
        work: &Work,
        (name, found): (&ObjectName, Found),
        known: &watch::Receiver<Standing>,
    ) -> Result<bool, String> {
        let version = match found {
            Found::Unread => return Ok(false),
            Found::Unknown(problem) => return Err(format!("the Secret `{name}`: {problem}")),
            Found::Absent => None,
            Found::Present(version) => Some(version),
        };
        let contents = contents(version.as_ref());
        self.keeper.see(contents.bundle());
        let is_ours = version.as_ref().is_none_or(|it| it.is_ours);
        let at = (name, version.as_ref());
        if is_ours && self.rotate(work, at, &contents, known).await? {
            // The watch brings what was written.
            return Ok(false);
        }
        Ok(self.is_served(&contents))
    }

    /// Takes the step that is due, if one is; says whether it has.
    async fn rotate(
        &self,
        work: &Work,
        (name, version): (&ObjectName, Option<&Version>),
        contents: &Contents,
        known: &watch::Receiver<Standing>,
    ) -> Result<bool, String> {
        let now = SystemTime::now();
        let step = contents.due(&self.terms, now, self.keeper.provider());
        let waits = matches!(step, Step::Switch { is_overdue: false })
            && !work.is_settled(&only_certificates(contents.bundle()), self.terms.settle());
        if step == Step::Keep || waits || !known.borrow().is_holder() {
            return Ok(false);
        }
        self.put((name, version), contents, &step).await?;
        Ok(true)
    }

    /// Issues the certificate if there is none and the holder of the Lease makes none, which may know of no
    /// Secret itself. Of several that do so the first prevails.
    async fn stand_in(&self, lacking: &mut Option<Instant>, found: Found) -> Result<(), String> {
        let Certificates::Secret(name) = &self.certs else {
            return Ok(());
        };
        let version = match found {
            Found::Absent => None,
            Found::Present(version) if version.is_ours => Some(version),
            Found::Present(_) | Found::Unread | Found::Unknown(_) => return Ok(()),
        };
        let contents = contents(version.as_ref());
        let step = contents.due(&self.terms, SystemTime::now(), self.keeper.provider());
        if !matches!(step, Step::Issue { .. }) || self.keeper.resolver().current().is_some() {
            *lacking = None;
            return Ok(());
        }
        let since = lacking.get_or_insert_with(Instant::now);
        if since.elapsed() < PATIENCE {
            return Ok(());
        }
        self.put((name, version.as_ref()), &contents, &step).await
    }

    /// Writes what the Secret holds after a step over the version that was read.
    async fn put(
        &self,
        (name, version): (&ObjectName, Option<&Version>),
        contents: &Contents,
        step: &Step,
    ) -> Result<(), String> {
        let after = contents.after(step, &self.terms, SystemTime::now());
        let after = after.map_err(|problem| problem.to_string())?;
        let client = self.management.client.clone();
        let written = secret::write(client, name, after.keys(), version).await;
        let written = written.map_err(|problem| format!("the Secret `{name}`: {problem}"))?;
        if written == Written::Done {
            match step {
                Step::Issue { because } => tracing::info!(%name, because, "certificate issued"),
                Step::Stage => tracing::info!(%name, "the next certificate issued"),
                Step::Switch { .. } => tracing::info!(%name, "the next certificate is served"),
                Step::Retire => tracing::info!(%name, "expired authorities forgotten"),
                Step::Keep => {}
            }
        }
        Ok(())
    }

    /// Says whether this replica serves the leaf that these contents hold, or will once API servers trust it.
    fn is_served(&self, contents: &Contents) -> bool {
        let (now, provider) = (SystemTime::now(), self.keeper.provider());
        let leaf = contents.leaf(Path::new(""), now, provider);
        if self.keeper.is_early(&leaf, now) {
            return true;
        }
        let current = self.keeper.resolver().current();
        leaf.is_ok_and(|leaf| current.is_some_and(|current| leaf.same_chain(&current)))
    }

    /// Writes the webhook configurations, if they are to be others or were not written for a while.
    async fn register(
        &self,
        work: &mut Work,
        bundle: &Bundle,
        known: &watch::Receiver<Standing>,
    ) -> Result<(), String> {
        let place = &self.management.place;
        let Some(demand) = (self.management.demand)() else {
            return Err("not all policies could be read yet; nothing is registered".to_owned());
        };
        let configurations = demand.configurations(place, Some(&bundle.all));
        if let Some(registered) = &work.registered
            && registered.configurations == configurations
            && registered.at.elapsed() < REPEAT
        {
            return registered.otherwise.clone();
        }
        let name = self.terms.names.first().map_or("", String::as_str);
        dial(self.address, name, &bundle.all, self.keeper.provider()).await?;
        let denies = configurations.iter().any(|it| count(it) > 0);
        if denies && !self.is_reached(work, &bundle.all, known).await? {
            return Ok(());
        }
        let before = work.registered.as_ref();
        let is_new = before.map(|it| &it.configurations) != Some(&configurations);
        let mut generations = before
            .filter(|_| !is_new)
            .map_or([None; 2], |it| it.generations);
        let mut stays = Vec::new();
        for (configuration, generation) in configurations.iter().zip(&mut generations) {
            guards::prove(configuration, place).map_err(would_lock_out)?;
            if !known.borrow().is_holder() {
                return Ok(());
            }
            let written = write(&self.management.client, place, configuration, *generation).await;
            // Who has deleted it may have had to, and makes it again without a webhook.
            let (outcome, written) = written.inspect_err(|_| work.way = Way::default())?;
            *generation = written;
            match outcome {
                Outcome::AsMeant => {}
                Outcome::Reverted(what) => self.revert(work, what),
                Outcome::Differs(what) => stays.push(what),
            }
        }
        if is_new {
            let count: usize = configurations.iter().map(count).sum();
            tracing::info!(webhooks = count, "registered");
            for finding in demand.findings() {
                tracing::warn!("{}", finding.message);
            }
        }
        let now = Instant::now();
        let otherwise = match stays.is_empty() {
            true => Ok(()),
            false => Err(format!("somebody else's: {}", stays.join("; "))),
        };
        work.registered = Some(Registered {
            configurations,
            at: now,
            generations,
            otherwise: otherwise.clone(),
        });
        if work
            .published
            .as_ref()
            .is_none_or(|(published, _)| *published != bundle.own)
        {
            work.published = Some((bundle.own.clone(), now));
        }
        otherwise
    }

    /// Tells that something was not as it was meant. It is again; that is all the same a failure that counts.
    fn revert(&self, work: &mut Work, what: String) {
        tracing::warn!(what, "somebody else's words were taken out");
        self.metrics.reloaded(KIND, &Err::<(), _>(()));
        self.metrics.reloaded(KIND, &Ok::<_, ()>(()));
        work.reverted = Some((what, Instant::now()));
    }
}

/// Returns what a Secret holds; nothing, if there is none.
fn contents(version: Option<&Version>) -> Contents {
    let keys = version.map(|it| it.keys.clone());
    Contents::from(keys.unwrap_or_default())
}

fn count(configuration: &Value) -> usize {
    configuration["webhooks"].as_array().map_or(0, Vec::len)
}
