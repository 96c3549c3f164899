//! In which order reports are written, and what stays, against an API server in memory.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use kube::Client;

use super::*;
use crate::audit::finding::{
    Excused, Finding, Findings, KindName, Limits, Object, Result as Rating,
};
use crate::audit::list::{ListError, Lister};
use crate::audit::plan::Listing;
use crate::audit::report::{Api, MOST_BYTES_OF_ALL};
use crate::audit::served::Served;
use crate::cel::version::KubernetesVersion;
use crate::policy::set::PolicySet;
use crate::sources;
use crate::text::Source;

/// Reports by their path, and how many writes are left before the program ends.
#[derive(Default)]
struct Cluster {
    reports: Mutex<BTreeMap<String, Value>>,
    writes: AtomicUsize,
    /// A part of the paths that may not be written.
    refused: &'static str,
}

impl Cluster {
    fn lister(self: &Arc<Self>) -> Lister {
        let cluster = Arc::clone(self);
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let cluster = Arc::clone(&cluster);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let (status, text) = cluster.answer(&head.method, &head.uri.to_string(), &body);
                let body = Full::new(Bytes::from(text));
                let response = Response::builder().status(status).body(body);
                Ok::<_, Infallible>(response.unwrap())
            }
        });
        Lister::new(Client::new(service, "default"), None)
    }

    fn answer(&self, method: &Method, target: &str, body: &[u8]) -> (u16, String) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut reports = self.reports.lock().unwrap();
        if method == Method::GET {
            let named = query.split_once("metadata.name%3D").map(|(_, name)| name);
            let is_cluster = path.ends_with("clusterreports");
            let items = reports.iter().filter(|(at, _)| {
                at.contains("clusterreports") == is_cluster
                    && named.is_none_or(|name| at.starts_with(path) && at.ends_with(name))
            });
            let items: Vec<&Value> = items.map(|(_, it)| it).collect();
            return (200, json!({"items": items}).to_string());
        }
        if !self.refused.is_empty() && path.contains(self.refused) {
            return (403, json!({"message": "exceeded quota"}).to_string());
        }
        self.writes.fetch_sub(1, Ordering::SeqCst);
        match *method == Method::DELETE {
            true => drop(reports.remove(path)),
            false => drop(reports.insert(path.to_owned(), serde_json::from_slice(body).unwrap())),
        }
        (200, "{}".to_owned())
    }

    /// Writes what was seen of ConfigMaps, until so many writes were made.
    async fn keep(self: &Arc<Self>, findings: Findings, most_writes: usize) -> bool {
        self.writes.store(most_writes, Ordering::SeqCst);
        let lister = self.lister();
        let may_write = || self.writes.load(Ordering::SeqCst) > 0;
        let writer = writer(&lister, &may_write);
        let mut keeper = Keeper::open(writer, MOST_BYTES_OF_ALL).await.unwrap();
        let listing = listing();
        let unit = Unit::Kind(&listing);
        keeper.keep(unit, &seen(findings), &Plan::default()).await
    }

    /// Returns the objects that reports name, and how many findings they only count.
    fn said(&self) -> (BTreeSet<String>, u64) {
        let reports = self.reports.lock().unwrap();
        let (mut names, mut omitted) = (BTreeSet::new(), 0);
        for report in reports.values() {
            for result in report["results"].as_array().unwrap() {
                names.insert(result["resources"][0]["name"].as_str().unwrap().to_owned());
            }
            if let Some(text) = report["metadata"]["annotations"][OMITTED].as_str() {
                omitted += serde_json::from_str::<Omitted>(text)
                    .unwrap()
                    .values()
                    .sum::<u64>();
            }
        }
        (names, omitted)
    }
}

fn writer<'w>(lister: &'w Lister, may_write: &'w (dyn Fn() -> bool + Sync)) -> Writer<'w> {
    Writer {
        lister,
        api: Api::OpenReports,
        installation: "portcullis",
        namespaces: &[],
        may_write,
        now: 1,
    }
}

fn listing() -> Listing {
    Listing {
        served: Served {
            group: String::new(),
            resource: "configmaps".to_owned(),
            kind: "ConfigMap".to_owned(),
            is_namespaced: true,
            versions: vec!["v1".to_owned()],
        },
        version: "v1".to_owned(),
    }
}

fn seen(findings: Findings) -> Seen {
    Seen {
        findings,
        ..Seen::default()
    }
}

fn findings(names: impl Iterator<Item = (&'static str, usize)>, of_namespace: usize) -> Findings {
    let text = "// ---\n// name: names\n// match: {resources: [v1/configmaps]}\n// ---\n// @require a\ntrue\n";
    let (documents, _) = sources::documents(&[Source::new("p.cel", text)]);
    let version = KubernetesVersion::default();
    let set = PolicySet::build(documents, version, &PolicySet::default(), |_| false).set;
    let kind = Arc::new(KindName {
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
    });
    let mut findings = Findings::new(Limits {
        of_namespace,
        of_all: 100_000,
    });
    for (namespace, at) in names {
        findings.add(Finding {
            policy: Arc::clone(&set.policies()[0]),
            rule: Some(0),
            result: Rating::Fail,
            // Four of them are a report.
            message: "x".repeat(60_000).into(),
            object: Some(Object {
                kind: Arc::clone(&kind),
                namespace: namespace.into(),
                name: format!("object-{at:05}").into(),
                uid: "".into(),
            }),
        });
    }
    findings.sort();
    findings
}

fn of(names: impl Iterator<Item = usize>) -> Findings {
    findings(names.map(|at| ("shop", at)), usize::MAX)
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_it_ends_what_is_known_is_said() {
    // Growing spreads what one report held over eight or more, shrinking brings it back.
    for (before, after) in [(4, 30), (30, 4), (30, 0), (14, 18)] {
        for writes in [1, 2, 3, 4, 6, 9] {
            let cluster = Arc::new(Cluster::default());
            assert!(cluster.keep(of(0..before), usize::MAX).await);
            let both = before.min(after);
            cluster.keep(of(0..after), writes).await;
            let (names, _) = cluster.said();
            for at in 0..both {
                let name = format!("object-{at:05}");
                assert!(
                    names.contains(&name),
                    "{before} to {after}: {name} after {writes} writes"
                );
            }
            assert!(cluster.keep(of(0..after), usize::MAX).await);
            assert_eq!(cluster.said().0.len(), after);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_will_only_be_counted_is_counted_before_it_goes() {
    for writes in 1..=8 {
        let cluster = Arc::new(Cluster::default());
        assert!(cluster.keep(of(12..24), usize::MAX).await);
        let more = (0..24).map(|at| ("shop", at));
        cluster.keep(findings(more, 12), writes).await;
        let (names, omitted) = cluster.said();
        let known = (12..24).filter(|at| names.contains(&format!("object-{at:05}")));
        let missing = 12 - known.count() as u64;
        assert!(
            missing <= omitted,
            "{missing} of {omitted} after {writes} writes"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_in_one_namespace_is_written_in_the_others() {
    let cluster = Arc::new(Cluster {
        refused: "/namespaces/b/",
        ..Cluster::default()
    });
    let names = ["a", "b", "c"].into_iter().zip(0..);
    assert!(!cluster.keep(findings(names, 10), usize::MAX).await);
    let expected = ["object-00000", "object-00002"].map(str::to_owned);
    assert_eq!(cluster.said().0, BTreeSet::from(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_seen_as_a_whole_keeps_its_reports_and_what_is_not_scanned_loses_them() {
    let cluster = Arc::new(Cluster::default());
    assert!(cluster.keep(of(0..3), usize::MAX).await);
    let lister = cluster.lister();
    let listing = listing();
    let unit = Unit::Kind(&listing);
    let refused = Seen {
        problem: Some(ListError::Refused("forbidden".to_owned())),
        ..Seen::default()
    };
    let mut keeper = Keeper::open(writer(&lister, &|| true), 0).await.unwrap();
    assert!(!keeper.keep(unit, &refused, &Plan::default()).await);
    let written = keeper.finish(&[unit], &Discovery::default()).await.unwrap();
    assert_eq!((written, cluster.said().0.len()), (Written::default(), 3));

    let unknown = Discovery {
        unknown: vec!["metrics.k8s.io/v1".to_owned()],
        ..Discovery::default()
    };
    for (discovery, left) in [(unknown, 3), (Discovery::default(), 0)] {
        let keeper = Keeper::open(writer(&lister, &|| true), 0).await.unwrap();
        keeper.finish(&[Unit::Cluster], &discovery).await.unwrap();
        assert_eq!(cluster.said().0.len(), left);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reports_say_is_counted_with_what_they_omit() {
    let cluster = Arc::new(Cluster::default());
    let mut found = findings((0..30).map(|at| ("shop", at)), 20);
    let text = "apiVersion: portcullis.dev/v1alpha1\nkind: PolicyException\nmetadata: {name: known}\nspec: \
                {policies: [names], reason: old, owner: team, expires: 2999-12-31}\n";
    let (documents, _) = sources::documents(&[Source::new("e.yaml", text)]);
    let version = KubernetesVersion::default();
    let set = PolicySet::build(documents, version, &PolicySet::default(), |_| false).set;
    let finding = found.kept().next().unwrap().clone();
    found.excuse(Excused {
        finding,
        exception: Arc::clone(&set.exceptions().all()[0]),
    });
    assert!(cluster.keep(found, usize::MAX).await);
    let (lister, listing) = (cluster.lister(), listing());
    let mut counted = BTreeMap::new();
    for (unit, expected) in [(Unit::Cluster, 0), (Unit::Kind(&listing), 30)] {
        counted.clear();
        let count = |policy: &str, namespace: &str, more| {
            *counted
                .entry((policy.to_owned(), namespace.to_owned()))
                .or_insert(0) += more;
        };
        let units = [unit].into_iter();
        writer(&lister, &|| true).count(units, count).await.unwrap();
        let key = ("names".to_owned(), "shop".to_owned());
        assert_eq!(counted.get(&key).copied().unwrap_or(0), expected);
    }
}
