//! One attempt to decide a review by the policies in force.

use std::cell::Cell;
use std::time::Instant;

use super::refusal::{is_custom, is_out_of_reach, malformed, unknown, unusable};
use super::{Loaded, Policies};
use crate::admission::resources::Resources;
use crate::admission::response::{AdmissionResponse, Outcome};
use crate::admission::review::{self, AdmissionRequest};
use crate::cel::eval::IsExpired;
use crate::cel::value::access::Authorize;
use crate::cluster::definitions::Definitions;
use crate::cluster::exceptions as of_cluster;
use crate::cluster::inquiry::{Inquiry, Missed};
use crate::cluster::view::Lack;
use crate::engine::cluster::{ClusterView, Objects};
use crate::engine::mutating::{self, Defaults, Mutating};
use crate::engine::respond::{respond, respond_mutated};
use crate::engine::verdict::Verdict;
use crate::engine::{Options, Select, trial};
use crate::schema::Schemas;
use crate::telemetry::recorder::Recorder;
use crate::telemetry::traces::Trace;
use crate::webhook::admission::{Attempt, Endpoint, Phase, Undecided};
use crate::webhook::permits;

/// What is known besides the policies.
#[derive(Clone, Copy)]
struct Known<'k> {
    cluster: &'k dyn ClusterView,
    authorizer: Option<&'k dyn Authorize>,
    /// The custom kinds; none are known without a cluster.
    definitions: Option<&'k Definitions>,
    /// Fails where something was asked for that is not known.
    lack: &'k dyn Fn() -> Result<(), Undecided>,
}

impl Policies {
    /// Decides a review by what is known, or notes what is to be learnt before.
    pub(super) fn attempt(
        &self,
        endpoint: Endpoint,
        body: &[u8],
        attempt: Attempt<'_, Inquiry>,
    ) -> Result<Vec<u8>, Undecided> {
        let Attempt {
            deadline,
            mut trace,
            inquiry,
        } = attempt;
        let request = review::parse(body).map_err(|error| malformed(&error))?;
        if let Some(trace) = &mut trace {
            trace.about(&request);
        }
        if is_out_of_reach(&request) {
            return Ok(AdmissionResponse::allowed(&request.uid).to_json());
        }
        let loaded = self.loaded.load();
        let asked = (endpoint, &request);
        let Some((cluster, followed)) = self.cluster.as_ref().zip(loaded.followed.as_ref()) else {
            let known = Known {
                cluster: &Objects::default(),
                authorizer: None,
                definitions: None,
                lack: &|| Ok(()),
            };
            return self.decide(&loaded, asked, deadline, (known, trace));
        };
        let definitions = cluster.definitions();
        if definitions.is_none() && is_custom(&request) {
            return Err(unknown(Lack::Unknown).into());
        }
        let (view, asker) = cluster.view(followed, inquiry, &request);
        let lack = || match view.lacks() {
            Some(lack) => Err(unknown(lack).into()),
            None if view.is_missing() || asker.has_questions() => Err(Undecided::Open),
            None => Ok(()),
        };
        let known = Known {
            cluster: &view,
            authorizer: Some(&asker),
            definitions: definitions.as_deref(),
            lack: &lack,
        };
        let outcome = self.decide(&loaded, asked, deadline, (known, trace));
        let missed = Missed::of(view, asker);
        if outcome == Err(Undecided::Open) {
            missed.note(inquiry);
        }
        outcome
    }

    /// Decides a request by what is known of the cluster. What was decided without what is not known may
    /// be wrong either way: it is not answered, counted or logged.
    fn decide(
        &self,
        loaded: &Loaded,
        (endpoint, request): (Endpoint, &AdmissionRequest<'_>),
        deadline: Instant,
        (known, mut trace): (Known<'_>, Option<&mut Trace>),
    ) -> Result<Vec<u8>, Undecided> {
        let deadline = Deadline::new(deadline);
        let resources = match known.definitions {
            Some(definitions) => definitions.resources(),
            None => Resources::built_in(),
        };
        let options = Options {
            cluster: known.cluster,
            resources,
            authorizer: known.authorizer,
            is_expired: Some(&deadline),
            select: Select::Only(endpoint.failure_policy),
            now: of_cluster::now(),
        };
        let mut recorder = Recorder {
            table: &loaded.table,
            log: self.records.log.as_deref(),
            trace: trace.as_deref_mut(),
            request,
            has_mode_audit: self.mode.is_audit(),
            since: None,
            found: Vec::new(),
            passed: Vec::new(),
            not_tried: Vec::new(),
        };
        let schemas = || match known.definitions {
            Some(definitions) => definitions.schemas(),
            None => Schemas::built_in_shared(),
        };
        // Objects come with their defaults, and what a policy sees of those before it has them, too.
        let how = Mutating {
            schemas: &schemas,
            defaults: Defaults::Applied,
        };
        if endpoint.phase == Phase::Mutate {
            let mutated =
                mutating::mutate_observed(&loaded.set, request, options, how, &mut recorder);
            (known.lack)()?;
            let mutated = mutated.map_err(|error| unusable(&error))?;
            recorder.finish(&mutated.verdict.excused);
            self.uses.count(&mutated.verdict);
            self.announce(request, &mutated.verdict, mutated.refusal.as_ref());
            if !mutated.unsettled.is_empty()
                && let Some(more) = self.unsettled.is_due("", Instant::now())
            {
                let paths: Vec<&str> = mutated.unsettled.iter().map(|it| &*it.path).collect();
                tracing::warn!(
                    ?paths,
                    more,
                    "mutated once more, the object would change again"
                );
            }
            let response = respond_mutated(&request.uid, &mutated, self.mode);
            return Ok(told(trace, &response));
        }
        let how = (self.mode, how);
        let verdict = trial::validate(&loaded.set, request, options, how, &mut recorder);
        (known.lack)()?;
        let verdict = verdict.map_err(|error| unusable(&error))?;
        recorder.finish(&verdict.excused);
        if verdict.matched == 0 {
            return Ok(told(trace, &AdmissionResponse::allowed(&request.uid)));
        }
        self.uses.count(&verdict);
        self.announce(request, &verdict, None);
        Ok(told(trace, &respond(&request.uid, &verdict, self.mode)))
    }

    /// Tells the owner of what is denied, whichever phase denies it.
    fn announce(
        &self,
        request: &AdmissionRequest<'_>,
        verdict: &Verdict,
        refusal: Option<&mutating::Refusal>,
    ) {
        if let (Some(events), false) = (&self.events, self.mode.is_audit()) {
            events.denied(request, verdict, refusal);
        }
    }
}

/// Returns the answer as it is sent, and says in the trace what it is.
fn told(trace: Option<&mut Trace>, response: &AdmissionResponse<'_>) -> Vec<u8> {
    if let Some(trace) = trace {
        trace.decided(!matches!(response.outcome, Outcome::Denied(_)));
    }
    response.to_json()
}

/// A point in time after which nobody waits for the answer.
#[derive(Debug)]
struct Deadline {
    at: Instant,
    /// When others have waited long enough for the thread this runs on.
    overdue: Instant,
    handed_over: Cell<bool>,
}

impl Deadline {
    fn new(at: Instant) -> Self {
        Deadline {
            at,
            overdue: Instant::now() + permits::OVERDUE,
            handed_over: Cell::new(false),
        }
    }
}

impl IsExpired for Deadline {
    fn is_expired(&self) -> bool {
        let now = Instant::now();
        if now >= self.overdue && !self.handed_over.replace(true) {
            permits::hand_over();
        }
        now >= self.at
    }
}
