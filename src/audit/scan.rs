//! The scan itself: page by page, each object as a request to create it.
//!
//! While a page is evaluated the next one is on its way; there are never more. A list that takes longer
//! than the API server remembers is begun anew, and what was found in it is found again; after
//! [`RESTARTS`] times it goes on as of now, so that every scan ends.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustc_hash::FxHashSet;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::task::JoinSet;

use super::finding::{
    self, Excused, Finding, Findings, KindName, Limits, Object, Result as Rating,
};
use super::journal::{self, Journal, Known};
use super::keep::Keeper;
use super::list::{Ask, ListError, Lister, Page};
use super::plan::{Listing, Plan};
use super::view::World;
use crate::admission::resources::Resources;
use crate::admission::review::{
    AdmissionRequest, GroupVersionKind, GroupVersionResource, Operation,
};
use crate::admission::synthesize::UID;
use crate::cel::eval::IsExpired;
use crate::cel::value::Timestamp;
use crate::engine::mutating::{self, Defaults, Mutated, Mutating};
use crate::engine::observer::{Held, Observer, Unwatched};
use crate::engine::verdict::Verdict;
use crate::engine::{self, Options, Select};
use crate::manifest::Key;
use crate::parallel;
use crate::policy::compile::CompiledPolicy;
use crate::policy::set::PolicySet;
use crate::schema::Schemas;

/// How often a list is begun anew.
pub const RESTARTS: u32 = 2;
/// How long one object may take; budgets end nearly everything long before.
const OBJECT: Duration = Duration::from_secs(10);
/// How many paths of a change are named.
const MOST_PATHS: usize = 5;

/// What is scanned, and with what.
pub struct Scan<'s> {
    /// The policies.
    pub set: &'s PolicySet,
    /// What they are held against.
    pub plan: &'s Plan,
    /// What objects see of the cluster.
    pub world: &'s dyn World,
    /// What is known of resources.
    pub resources: &'s Resources,
    /// What kinds look like, for mutations.
    pub schemas: &'s (dyn Fn() -> &'s Schemas + Sync),
    /// Asks for pages.
    pub lister: &'s Lister,
    /// The namespaces to look at; empty for all, and what is in none.
    pub namespaces: &'s [String],
    /// On how many threads objects are evaluated.
    pub threads: usize,
    /// How many findings are kept.
    pub limits: Limits,
    /// Where is written down how far the scan is, and is known how far it was.
    pub journal: Option<&'s Mutex<Journal>>,
    /// The time, for exceptions; without it nothing is excused.
    pub now: Option<Timestamp>,
    /// The full names of the exceptions that were needed.
    pub used: &'s Mutex<BTreeSet<String>>,
    /// Called before each object: lets others go first.
    pub give_way: &'s (dyn Fn() + Sync),
}

/// What is looked at as one: its reports are written when it was seen.
#[derive(Debug, Clone, Copy)]
pub enum Unit<'p> {
    /// The cluster as a whole, and what cannot be scanned: the first, so that a policy is said to be left
    /// out before what it found goes.
    Cluster,
    /// The objects of a kind.
    Kind(&'p Listing),
}

impl Unit<'_> {
    /// Returns the name for people: `deployments.apps`. No kind is called [`CLUSTER_UNIT`].
    pub fn name(self) -> String {
        match self {
            Unit::Cluster => CLUSTER_UNIT.to_owned(),
            Unit::Kind(listing) => listing.served.name(),
        }
    }

    /// Returns group and resource, which units are in order of.
    pub fn key(self) -> (String, String) {
        match self {
            Unit::Cluster => Default::default(),
            Unit::Kind(listing) => (
                listing.served.group.clone(),
                listing.served.resource.clone(),
            ),
        }
    }

    /// Says whether what is found in it is about objects in namespaces.
    pub fn is_namespaced(self) -> bool {
        matches!(self, Unit::Kind(listing) if listing.served.is_namespaced)
    }
}

/// The name of [`Unit::Cluster`]; what is not of the core group has a dot in its name.
pub const CLUSTER_UNIT: &str = "cluster";

/// Returns what there is to look at, in order; of some namespaces only if any are named.
pub fn units<'p>(plan: &'p Plan, namespaces: &[String]) -> Vec<Unit<'p>> {
    let is_all = namespaces.is_empty();
    let listings = plan.listings.iter();
    let listings = listings.filter(|it| is_all || it.served.is_namespaced);
    let cluster = is_all.then_some(Unit::Cluster);
    cluster
        .into_iter()
        .chain(listings.map(Unit::Kind))
        .collect()
}

/// What came of a unit.
#[derive(Debug, Default)]
pub struct Seen {
    /// What was found.
    pub findings: Findings,
    /// How many objects were looked at.
    pub objects: u64,
    /// How many of them could not be read, or needed what is not known.
    pub unread: u64,
    /// Why it could not be listed.
    pub problem: Option<ListError>,
}

impl Seen {
    /// Says whether everything was looked at.
    pub fn is_whole(&self) -> bool {
        self.problem.is_none() && self.unread == 0
    }
}

/// What came of a scan.
#[derive(Debug, Default)]
pub struct Scanned {
    /// What was found.
    pub findings: Findings,
    /// How many objects were looked at.
    pub objects: u64,
    /// How many of them could not be read, or needed what is not known.
    pub unread: u64,
    /// Kinds that could not be listed, and why.
    pub problems: Vec<(String, ListError)>,
}

impl Scanned {
    /// Says whether everything was looked at.
    pub fn is_whole(&self) -> bool {
        self.problems.is_empty() && self.unread == 0
    }

    fn include(&mut self, unit: Unit<'_>, seen: Seen) {
        self.findings.include(seen.findings);
        self.objects += seen.objects;
        self.unread += seen.unread;
        let problem = seen.problem.map(|problem| (unit.name(), problem));
        self.problems.extend(problem);
    }
}

/// How far a scan is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'p> {
    /// The kind it is at.
    pub kind: &'p str,
    /// Which of the kinds that is, from 1, and how many there are.
    pub at: (usize, usize),
    /// How many objects were looked at.
    pub objects: u64,
    /// How many more there are of the kind, if that is known.
    pub remaining: Option<u64>,
    /// What was found.
    pub found: u64,
}

/// Is told how far a scan is.
pub type Watcher<'w> = dyn FnMut(Progress<'_>) + Send + 'w;

/// What came of one kind, or of a part of it.
#[derive(Debug, Default)]
pub struct Part {
    pub(super) findings: Findings,
    pub(super) objects: u64,
    pub(super) unread: u64,
}

impl Part {
    pub(super) fn new(limits: Limits) -> Self {
        Part {
            findings: Findings::new(limits),
            ..Part::default()
        }
    }

    fn include(&mut self, other: Part) {
        self.findings.include(other.findings);
        self.objects += other.objects;
        self.unread += other.unread;
    }
}

/// Where the pages of a list begin.
struct From {
    /// What was found before.
    part: Part,
    /// The page to begin with; `None` for the first.
    token: Option<String>,
    /// Whether a list that takes too long is begun anew.
    may_restart: bool,
}

impl Scan<'_> {
    /// Scans everything that is planned, and has the reports of each unit kept. Needs a runtime of several
    /// threads.
    pub async fn run(
        &self,
        watcher: &mut Watcher<'_>,
        mut keeper: Option<&mut Keeper<'_>>,
    ) -> Scanned {
        let mut scanned = Scanned {
            findings: Findings::new(self.limits),
            ..Scanned::default()
        };
        let units = units(self.plan, self.namespaces);
        let kinds = units.iter().filter(|it| matches!(it, Unit::Kind(_)));
        let kinds = kinds.count();
        // What comes before the kinds is none.
        let first = kinds + 1 - units.len();
        for (at, unit) in units.iter().enumerate() {
            let name = unit.name();
            let before = (scanned.objects, scanned.findings.counts().all());
            let mut tell = |part: &Part, remaining| {
                watcher(Progress {
                    kind: &name,
                    at: (at + first, kinds),
                    objects: before.0 + part.objects,
                    remaining,
                    found: before.1 + part.findings.counts().all(),
                });
            };
            let seen = self.look_at(*unit, &mut tell).await;
            if let Some(keeper) = &mut keeper {
                keeper.keep(*unit, &seen, self.plan).await;
            }
            scanned.include(*unit, seen);
        }
        scanned.findings.sort();
        scanned
    }

    /// Looks at one of the units; what is found is in order. Needs a runtime of several threads.
    pub async fn look_at(
        &self,
        unit: Unit<'_>,
        tell: &mut (dyn FnMut(&Part, Option<u64>) + Send),
    ) -> Seen {
        let mut seen = Seen {
            findings: Findings::new(self.limits),
            ..Seen::default()
        };
        match unit {
            Unit::Cluster => self.cluster(&mut seen.findings),
            Unit::Kind(listing) => match self.kind(listing, tell).await {
                Ok(part) => {
                    seen.findings = part.findings;
                    seen.objects = part.objects;
                    seen.unread = part.unread;
                }
                // It was there when the scan was planned.
                Err(ListError::Unknown) => {}
                Err(problem) => seen.problem = Some(problem),
            },
        }
        seen.findings.sort();
        seen
    }

    /// Evaluates the policies about the cluster as a whole.
    fn cluster(&self, findings: &mut Findings) {
        if self.set.about_cluster().is_empty() {
            return;
        }
        let mut found = Vec::new();
        let is_known = tokio::task::block_in_place(|| {
            self.world.look(None, &mut |view| {
                let options = Options {
                    resources: self.resources,
                    now: self.now,
                    ..Options::new(view)
                };
                let verdict = engine::audit_cluster(self.set, options, &mut Unwatched);
                found = finding::of_verdict(&verdict, self.plan, None);
            })
        });
        if is_known {
            found.into_iter().for_each(|it| findings.add(it));
        }
    }

    async fn kind(
        &self,
        listing: &Listing,
        tell: &mut (dyn FnMut(&Part, Option<u64>) + Send),
    ) -> Result<Part, ListError> {
        let all = [None];
        // Whoever names one twice has it looked at once.
        let named: BTreeSet<&str> = self.namespaces.iter().map(String::as_str).collect();
        let named: Vec<Option<&str>> = named.into_iter().map(Some).collect();
        let namespaces = match named.is_empty() {
            true => &all[..],
            false => &named[..],
        };
        let mut whole = Part::new(self.limits);
        for namespace in namespaces {
            let path = listing.served.path(&listing.version, *namespace);
            let mut known = self.journal().and_then(|mut journal| journal.take(&path));
            let mut restarts = 0;
            loop {
                let from = match known.take() {
                    Some(Known { part, next: None }) => {
                        whole.include(part);
                        break;
                    }
                    Some(Known { part, next }) => From {
                        part,
                        token: next,
                        // What was found already stands.
                        may_restart: false,
                    },
                    None => From {
                        part: Part::new(self.limits),
                        token: None,
                        may_restart: restarts < RESTARTS,
                    },
                };
                match self.pages(listing, &path, from, tell).await {
                    Ok(part) => {
                        whole.include(part);
                        break;
                    }
                    Err(ListError::Expired { .. }) if restarts < RESTARTS => restarts += 1,
                    Err(problem) => return Err(problem),
                }
            }
        }
        Ok(whole)
    }

    async fn pages(
        &self,
        listing: &Listing,
        path: &str,
        from: From,
        tell: &mut (dyn FnMut(&Part, Option<u64>) + Send),
    ) -> Result<Part, ListError> {
        let kind = Arc::new(KindName {
            api_version: listing.served.api_version(&listing.version),
            kind: listing.served.kind.clone(),
        });
        let From {
            mut part,
            token,
            may_restart,
        } = from;
        let mut is_first = token.is_none();
        // The page on its way, which ends with whoever waits for it.
        let mut coming = JoinSet::new();
        let fetch = |coming: &mut JoinSet<Result<Page, ListError>>, ask: Ask| {
            let lister = self.lister.clone();
            coming.spawn(async move { lister.page(ask).await });
        };
        let first = Ask {
            token,
            ..Ask::first(path)
        };
        fetch(&mut coming, first);
        while let Some(fetched) = coming.join_next().await {
            let fetched =
                fetched.unwrap_or_else(|problem| Err(ListError::Failed(problem.to_string())));
            let page = match fetched {
                Ok(page) => page,
                Err(ListError::Expired { token: Some(token) }) if !may_restart => {
                    let ask = Ask {
                        token: Some(token),
                        ..Ask::first(path)
                    };
                    fetch(&mut coming, ask);
                    continue;
                }
                Err(problem) => return Err(problem),
            };
            if let Some(token) = &page.token {
                let ask = Ask {
                    token: Some(token.clone()),
                    limit: page.next_limit,
                    ..Ask::first(path)
                };
                fetch(&mut coming, ask);
            }
            let found = tokio::task::block_in_place(|| self.evaluate(&page, listing, &kind))?;
            if let Some(mut journal) = self.journal() {
                journal.add(path, is_first, &found, page.token.as_deref());
            }
            is_first = false;
            part.include(found);
            tell(&part, page.remaining);
        }
        Ok(part)
    }

    /// Evaluates the objects of a page.
    fn evaluate(
        &self,
        page: &Page,
        listing: &Listing,
        kind: &Arc<KindName>,
    ) -> Result<Part, ListError> {
        let items = page.items()?;
        let mut part = Part {
            findings: journal::whole_page(),
            ..Part::default()
        };
        let one = |item: &&RawValue| {
            (self.give_way)();
            self.object(item, listing, kind)
        };
        for found in parallel::map(&items, self.threads, one) {
            part.objects += 1;
            match found {
                Some(told) => {
                    told.found.into_iter().for_each(|it| part.findings.add(it));
                    let excused = told.excused.into_iter();
                    excused.for_each(|it| part.findings.excuse(it));
                }
                None => part.unread += 1,
            }
        }
        Ok(part)
    }

    fn journal(&self) -> Option<MutexGuard<'_, Journal>> {
        let journal = self.journal?;
        Some(journal.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Evaluates an object; `None` if that cannot be done.
    fn object(&self, item: &RawValue, listing: &Listing, kind: &Arc<KindName>) -> Option<Told> {
        let head: Head<'_> = serde_json::from_str(item.get()).ok()?;
        let text = whole_text(item, &kind.api_version, &kind.kind);
        let whole: &RawValue = serde_json::from_str(&text).ok()?;
        let request = request(whole, &head.metadata, listing);
        let object = Object {
            kind: Arc::clone(kind),
            namespace: head.metadata.namespace.as_ref().into(),
            name: head.metadata.name.as_ref().into(),
            uid: head.metadata.uid.as_ref().into(),
        };
        let key = Key {
            api_version: &kind.api_version,
            kind: &kind.kind,
            namespace: &object.namespace,
            name: &object.name,
        };
        let mut found = None;
        let is_known = self.world.look(Some(key), &mut |view| {
            let expiry = Expiry(Instant::now() + OBJECT);
            let options = Options {
                now: self.now,
                cluster: view,
                resources: self.resources,
                authorizer: None,
                is_expired: Some(&expiry),
                select: Select::All,
            };
            found = self.decide(&request, options, &object);
        });
        found.filter(|_| is_known)
    }

    fn decide(
        &self,
        request: &AdmissionRequest<'_>,
        options: Options<'_>,
        object: &Object,
    ) -> Option<Told> {
        let verdict = engine::validate(self.set, request, options).ok()?;
        self.note_uses(&verdict);
        let excused = finding::excused(&verdict, self.plan, Some(object));
        let mut found = finding::of_verdict(&verdict, self.plan, Some(object));
        if self.set.mutating().is_empty() {
            return Some(Told { found, excused });
        }
        let mut applied = Applied::default();
        let schemas = || (self.schemas)();
        let how = Mutating {
            schemas: &schemas,
            defaults: Defaults::Applied,
        };
        let mutated =
            mutating::mutate_observed(self.set, request, options, how, &mut applied).ok()?;
        self.note_uses(&mutated.verdict);
        found.extend(finding::of_verdict(
            &mutated.verdict,
            self.plan,
            Some(object),
        ));
        found.extend(self.changes(&mutated, &applied, object));
        Some(Told { found, excused })
    }

    fn note_uses(&self, verdict: &Verdict) {
        if !verdict.excused.is_empty() {
            let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            let names = verdict.excused.iter();
            used.extend(names.map(|it| it.exception.exception.full_name()));
        }
    }

    /// Returns a finding for each policy that has changed the object, or has been asked to, or would have if
    /// it were not on trial.
    fn changes(&self, mutated: &Mutated, applied: &Applied, object: &Object) -> Vec<Finding> {
        let mutating = self.set.mutating().iter();
        let counted = mutating.filter(|bound| self.plan.counts(&bound.policy, None));
        let found = counted.filter_map(|bound| {
            let policy = &bound.policy;
            let mut patch: Vec<&str> = Vec::new();
            if bound.is_audited() {
                let audited = mutated.audited.iter();
                let own = audited.filter(|it| Arc::ptr_eq(&it.policy, policy));
                patch.extend(own.flat_map(|it| &it.patch).map(|it| &*it.path));
            } else if applied.policies.contains(&policy.policy.name) {
                patch.extend(mutated.patch.iter().map(|it| &*it.path));
            }
            (!patch.is_empty()).then(|| Finding {
                policy: Arc::clone(policy),
                rule: None,
                result: Rating::Warn,
                message: changed_at(patch).into(),
                object: Some(object.clone()),
            })
        });
        found.collect()
    }
}

/// Says where an object would be changed.
fn changed_at(mut paths: Vec<&str>) -> String {
    let mut seen = FxHashSet::default();
    paths.retain(|path| seen.insert(*path));
    let others = paths.len().saturating_sub(MOST_PATHS);
    paths.truncate(MOST_PATHS);
    let mut message = format!("would be changed at {}", paths.join(", "));
    if others > 0 {
        message.push_str(&format!(" and {others} more"));
    }
    finding::clipped(&message, finding::MOST_OF_A_MESSAGE)
}

/// What is said of an object.
struct Told {
    found: Vec<Finding>,
    excused: Vec<Excused>,
}

/// The names of the policies that were applied.
#[derive(Default)]
struct Applied {
    policies: Vec<String>,
}

impl Observer for Applied {
    fn is_watching(&self) -> bool {
        false
    }

    fn applies(&mut self, policy: &CompiledPolicy) {
        let name = &policy.policy.name;
        if !self.policies.contains(name) {
            self.policies.push(name.clone());
        }
    }

    fn validated(&mut self, _: &CompiledPolicy, _: usize, _: Held) {}

    fn failed(&mut self, _: &CompiledPolicy, _: &str) {}
}

/// What is read of an object to name it.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    metadata: HeadMetadata<'a>,
}

#[derive(Deserialize)]
struct HeadMetadata<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    namespace: Cow<'a, str>,
    #[serde(borrow, default)]
    uid: Cow<'a, str>,
}

/// What a list may leave out of an object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Types<'a> {
    #[serde(borrow, default)]
    api_version: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    kind: Option<Cow<'a, str>>,
}

/// Returns an object of a list with its `apiVersion` and `kind`, which lists of built-in kinds leave out
/// (apimachinery `pkg/runtime/serializer/versioning/versioning.go`).
pub(super) fn whole_text<'a>(item: &'a RawValue, api_version: &str, kind: &str) -> Cow<'a, str> {
    let text = item.get();
    let types: Result<Types<'_>, _> = serde_json::from_str(text);
    let (has_version, has_kind) = match &types {
        Ok(types) => (types.api_version.is_some(), types.kind.is_some()),
        Err(_) => (true, true),
    };
    let Some(rest) = text.strip_prefix('{').filter(|_| !has_version || !has_kind) else {
        return Cow::Borrowed(text);
    };
    let mut whole = String::with_capacity(text.len() + api_version.len() + kind.len() + 40);
    whole.push('{');
    // Names of kinds and versions hold nothing that JSON would escape.
    if !has_kind {
        whole.push_str("\"kind\":\"");
        whole.push_str(kind);
        whole.push_str("\",");
    }
    if !has_version {
        whole.push_str("\"apiVersion\":\"");
        whole.push_str(api_version);
        whole.push_str("\",");
    }
    match rest.trim_start().starts_with('}') {
        true => {
            whole.pop();
            whole.push('}');
        }
        false => whole.push_str(rest),
    }
    Cow::Owned(whole)
}

/// The request that would create an object.
fn request<'r>(
    object: &'r RawValue,
    metadata: &'r HeadMetadata<'_>,
    listing: &'r Listing,
) -> AdmissionRequest<'r> {
    let served = &listing.served;
    let is_namespace = served.group.is_empty() && served.resource == "namespaces";
    let kind = GroupVersionKind {
        group: Cow::Borrowed(&*served.group),
        version: Cow::Borrowed(&*listing.version),
        kind: Cow::Borrowed(&*served.kind),
    };
    let resource = GroupVersionResource {
        group: Cow::Borrowed(&*served.group),
        version: Cow::Borrowed(&*listing.version),
        resource: Cow::Borrowed(&*served.resource),
    };
    AdmissionRequest {
        uid: Cow::Borrowed(UID),
        request_kind: Some(kind.clone()),
        request_resource: Some(resource.clone()),
        kind,
        resource,
        sub_resource: Cow::Borrowed(""),
        request_sub_resource: Cow::Borrowed(""),
        name: Cow::Borrowed(&*metadata.name),
        // The API server gives requests for a Namespace that namespace.
        namespace: match is_namespace {
            true => Cow::Borrowed(&*metadata.name),
            false => Cow::Borrowed(&*metadata.namespace),
        },
        operation: Operation::Create,
        user_info: None,
        object: Some(object),
        old_object: None,
        dry_run: false,
        options: None,
    }
}

/// A point in time after which an object is given up.
#[derive(Debug)]
struct Expiry(Instant);

impl IsExpired for Expiry {
    fn is_expired(&self) -> bool {
        Instant::now() >= self.0
    }
}

#[cfg(test)]
mod tests;
