//! Tells the authors of policies that are in objects of the cluster, by Events on those objects, that
//! something is wrong with one, and that it is well again.
//!
//! Who holds the Lease writes, or else everybody. An Event is named after what it says, so that of several
//! replicas, and of one that starts again, only the first writes it; the others get a conflict, which is
//! as good. What is not written is only what is said: nothing depends on it, and nobody waits for it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PostParams};
use kube::{Client, Error};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::policies::report::{ObjectState, Report, Standing as Stands};
use crate::cluster::connect::described;
use crate::cluster::lease::{REQUEST, Standing};
use crate::sources::Carrier;

/// Where Events about what is in no namespace are (client-go `tools/events/event_recorder.go`, `makeEvent`).
pub const CLUSTER_NAMESPACE: &str = "default";
/// Who says it.
const CONTROLLER: &str = "portcullis.dev/policies";
/// The longest note of an Event (kubernetes `pkg/apis/core/validation/events.go`, `NoteLengthLimit`).
const LONGEST_NOTE: usize = 1024;
/// Most bytes of it before the number of those that do not fit.
const MOST_FAULTS_BYTES: usize = LONGEST_NOTE - 32;
/// Most bytes of the name of the object in that of its Event, which has 253.
const LONGEST_NAME: usize = 200;
/// How often at most something is said about one object: who saves every second is told the last of it.
const PAUSE: Duration = Duration::from_secs(5);
/// How many Events are written one after the other, and how long each one more then takes: a broken
/// set of a hundred policies is told within five minutes.
const BURST: u32 = 20;
const REFILL: Duration = Duration::from_secs(3);
/// How long after a failure nothing is tried.
const AFTER_FAILURE: Duration = Duration::from_secs(30);
/// How long it is news to others than who wrote of a fault that all is well.
const NEWS: Duration = Duration::from_secs(60);

/// What is needed to tell authors.
pub struct Announcements {
    /// Leads to the cluster.
    pub client: Client,
    /// Returns how the policies stand.
    pub report: Box<dyn Fn() -> Arc<Report> + Send + Sync>,
    /// Says that the policies in force are others.
    pub changes: watch::Receiver<u64>,
}

/// Tells what changes, for good.
///
/// Without `standing` there is no Lease, and everybody writes.
pub(super) async fn announce(
    announcements: Announcements,
    mut standing: Option<watch::Receiver<Standing>>,
) {
    let Announcements {
        client,
        report,
        mut changes,
    } = announcements;
    let mut news = News::default();
    let mut allowance = Allowance::full(Instant::now());
    let mut problem: Option<String> = None;
    changes.mark_changed();
    loop {
        let may_write = match &mut standing {
            Some(standing) => standing.borrow_and_update().is_holder(),
            None => true,
        };
        let now = Instant::now();
        let wait = match news.next(now) {
            Some(notice) if may_write && allowance.take(now) => {
                let written = write(&client, notice.event()).await;
                match written {
                    Ok(()) => {
                        problem = None;
                        news.said(&notice, Instant::now());
                        continue;
                    }
                    Err(words) if problem.as_ref() == Some(&words) => {}
                    Err(words) => {
                        tracing::warn!("authors of policies are told nothing: {words}");
                        problem = Some(words);
                    }
                }
                AFTER_FAILURE
            }
            _ => PAUSE,
        };
        // A failure is waited for whatever changes.
        let until = tokio::time::sleep(wait);
        if wait == AFTER_FAILURE {
            until.await;
            continue;
        }
        tokio::select! {
            Ok(()) = changes.changed() => news.take(&report().objects, Instant::now()),
            () = held(&mut standing) => {}
            () = until => {}
        }
    }
}

/// Waits until somebody else holds the Lease, or this replica does; for ever without one.
async fn held(standing: &mut Option<watch::Receiver<Standing>>) {
    if let Some(standing) = standing
        && standing.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// How many Events may be written.
struct Allowance {
    left: u32,
    since: Instant,
}

impl Allowance {
    fn full(now: Instant) -> Self {
        Allowance {
            left: BURST,
            since: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        while self.left < BURST && now.duration_since(self.since) >= REFILL {
            self.left += 1;
            self.since += REFILL;
        }
        if self.left == BURST {
            self.since = now;
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

/// Who an object is: kind, namespace, name, and what distinguishes it from others of that name.
type Who = (String, Option<String>, String, String);

/// What is to be said of which object.
#[derive(Default)]
struct News {
    /// Of the objects that are there and were ever faulty; what is gone is forgotten.
    objects: BTreeMap<Who, Told>,
}

/// What is known of an object that is or was faulty.
struct Told {
    notice: Notice,
    since: Instant,
    is_said: bool,
    /// When something was last said.
    spoken: Option<Instant>,
}

/// Something to say.
#[derive(Debug, Clone, PartialEq)]
struct Notice {
    carrier: Arc<Carrier>,
    standing: Stands,
    note: String,
}

impl News {
    /// Takes over how all objects stand.
    fn take(&mut self, objects: &[ObjectState], now: Instant) {
        let mut before = std::mem::take(&mut self.objects);
        for state in objects {
            let who = who(&state.carrier);
            let known = before.remove(&who);
            let is_well = state.standing == Stands::Loaded;
            let notice = Notice::of(state);
            let told = match known {
                None if is_well => continue,
                Some(told) if told.notice.says_the_same(&notice) => told,
                known => Told {
                    spoken: known.and_then(|it| it.spoken),
                    notice,
                    since: now,
                    is_said: false,
                },
            };
            self.objects.insert(who, told);
        }
    }

    /// Returns what is to be said next.
    fn next(&mut self, now: Instant) -> Option<Notice> {
        self.objects.retain(|_, told| {
            let is_well = told.notice.standing == Stands::Loaded;
            !is_well || (!told.is_said && now.duration_since(told.since) < NEWS)
        });
        let mut waiting = self.objects.values().filter(|it| !it.is_said);
        let is_due = |it: &&Told| {
            let spoken = it.spoken;
            spoken.is_none_or(|at| now.duration_since(at) >= PAUSE)
        };
        waiting.find(is_due).map(|it| it.notice.clone())
    }

    /// Notes that it was said.
    fn said(&mut self, notice: &Notice, now: Instant) {
        if let Some(told) = self.objects.get_mut(&who(&notice.carrier)) {
            told.spoken = Some(now);
            // It may be another one by now.
            told.is_said = told.notice == *notice;
        }
    }
}

fn who(carrier: &Carrier) -> Who {
    let Carrier {
        kind,
        namespace,
        name,
        uid,
        ..
    } = carrier;
    (kind.clone(), namespace.clone(), name.clone(), uid.clone())
}

impl Notice {
    fn of(state: &ObjectState) -> Self {
        let mut note = match state.standing {
            Stands::Loaded => "all of it is in force as it is written".to_owned(),
            Stands::LastGood => {
                "its last good version stays in force; as it is written: ".to_owned()
            }
            Stands::Failed => "it cannot be used as it is written: ".to_owned(),
        };
        for (at, fault) in state.faults.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            let room = MOST_FAULTS_BYTES.saturating_sub(note.len() + separator.len());
            if fault.len() > room && at > 0 {
                let left = state.faults.len() - at;
                // Writing to a string does not fail.
                let _ = write!(note, "{separator}and {left} more");
                break;
            }
            note.push_str(separator);
            note.push_str(
                fault
                    .get(..fault.floor_char_boundary(room))
                    .unwrap_or_default(),
            );
            if fault.len() > room {
                note.push('…');
            }
        }
        Notice {
            carrier: Arc::clone(&state.carrier),
            standing: state.standing,
            note,
        }
    }

    /// Says whether nothing is new: of what is well, what it holds does not matter.
    fn says_the_same(&self, other: &Notice) -> bool {
        let is_well = self.standing == Stands::Loaded;
        (self.standing, &self.note) == (other.standing, &other.note)
            && (is_well || self.carrier.holds_the_same(&other.carrier))
    }

    fn event(&self) -> Event {
        let Carrier {
            api_version,
            kind,
            namespace,
            name,
            uid,
            version,
            ..
        } = &*self.carrier;
        let (reason, severity) = match self.standing {
            Stands::Loaded => ("PolicyLoaded", "Normal"),
            Stands::LastGood => ("PolicyKept", "Warning"),
            Stands::Failed => ("PolicyFailed", "Warning"),
        };
        let mut digest = Sha256::new();
        for part in [uid, version, reason, &self.note] {
            digest.update(part.as_bytes());
            digest.update([0]);
        }
        let digest = digest.finalize();
        let digest: String = digest
            .iter()
            .take(8)
            .map(|it| format!("{it:02x}"))
            .collect();
        let short: String = name.chars().take(LONGEST_NAME).collect();
        let short = short.trim_end_matches(['-', '.']);
        let some = |text: &str| Some(text.to_owned());
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{short}.{digest}")),
                namespace: namespace.clone().or_else(|| some(CLUSTER_NAMESPACE)),
                ..ObjectMeta::default()
            },
            action: some("Load"),
            event_time: Some(MicroTime(Timestamp::now())),
            note: Some(self.note.clone()),
            reason: some(reason),
            regarding: Some(ObjectReference {
                api_version: Some(api_version.clone()),
                kind: Some(kind.clone()),
                name: Some(name.clone()),
                namespace: namespace.clone(),
                uid: Some(uid.clone()),
                ..ObjectReference::default()
            }),
            reporting_controller: some(CONTROLLER),
            reporting_instance: Some(instance()),
            type_: some(severity),
            ..Event::default()
        }
    }
}

/// The name of this replica, as far as Events hold it.
fn instance() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_default();
    let host: String = host.chars().take(128).collect();
    match host.is_empty() {
        true => "portcullis".to_owned(),
        false => host,
    }
}

async fn write(client: &Client, event: Event) -> Result<(), String> {
    let namespace = event.metadata.namespace.clone().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
    let parameters = PostParams::default();
    match tokio::time::timeout(REQUEST, api.create(&parameters, &event)).await {
        Ok(Ok(_)) => Ok(()),
        // It was said, by another replica or before this one was started.
        Ok(Err(Error::Api(status))) if status.code == 409 => Ok(()),
        Ok(Err(problem)) => Err(described(&problem)),
        Err(_) => Err("the API server does not answer".to_owned()),
    }
}

#[cfg(test)]
mod tests;
