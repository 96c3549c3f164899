//! Questions to the cluster's authorizer: SubjectAccessReviews, with answers that are kept shortly.
//!
//! Semantics: apiserver `pkg/cel/library/authz.go` for what is asked. In the API server the answer is
//! its authorizer's own; a SubjectAccessReview gives the same authorizer's (kubernetes
//! `pkg/registry/authorization/subjectaccessreview/rest.go`). A question that is not answered is an error
//! of the authorizer: `errored()`, and not allowed.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bumpalo::Bump;
use k8s_openapi::api::authentication::v1::UserInfo;
use k8s_openapi::api::authorization::v1::{
    FieldSelectorAttributes, LabelSelectorAttributes, NonResourceAttributes, ResourceAttributes,
    SubjectAccessReview, SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use kube::api::{Api, PostParams};
use rustc_hash::FxHashMap;

use super::Cluster;
use crate::admission::review::AdmissionRequest;
use crate::cel::value::access::{Access, Authorize, Decision, ResourceCheck, Subject};

/// How long an answer is good: a right that was taken away is gone after that.
const KEPT: Duration = Duration::from_secs(5);
/// How many answers are kept.
const MOST: usize = 4096;
/// Longer questions are asked each time (apiserver `plugin/pkg/authorizer/webhook/webhook.go`,
/// `maxControllerAttrSize`).
const LONGEST_KEY: usize = 10_000;

/// Answers given of late, by question.
#[derive(Debug, Default)]
pub(super) struct Answers {
    known: Mutex<FxHashMap<String, (Instant, SubjectAccessReviewStatus)>>,
}

impl Answers {
    fn get(&self, question: &str, now: Instant) -> Option<SubjectAccessReviewStatus> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, status) = known.get(question)?;
        (now < *until).then(|| status.clone())
    }

    fn put(&self, question: String, status: SubjectAccessReviewStatus, now: Instant) {
        if question.len() > LONGEST_KEY {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, (until, _)| now < *until);
        }
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(question, (now + KEPT, status));
    }
}

/// Who answers what the user of one request may do.
#[derive(Debug)]
pub struct Asker<'c> {
    cluster: &'c Cluster,
    user: UserInfo,
    deadline: Instant,
}

impl<'c> Asker<'c> {
    pub(super) fn new(
        cluster: &'c Cluster,
        request: &AdmissionRequest<'_>,
        deadline: Instant,
    ) -> Self {
        let user = request.user_info;
        let user = user.and_then(|raw| serde_json::from_str(raw.get()).ok());
        Asker {
            cluster,
            user: user.unwrap_or_default(),
            deadline,
        }
    }

    fn question(&self, question: Access<'_>, verb: &str) -> Option<SubjectAccessReviewSpec> {
        let verb = Some(verb.to_owned());
        Some(match question {
            Access::Path(subject, path) => SubjectAccessReviewSpec {
                non_resource_attributes: Some(NonResourceAttributes {
                    path: Some(path.to_owned()),
                    verb,
                }),
                ..self.subject(subject)
            },
            Access::Resource(check) => SubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    verb,
                    ..attributes(&check)
                }),
                ..self.subject(check.subject)
            },
            Access::Authorizer(_) | Access::Group(..) | Access::Decision(_) => return None,
        })
    }

    /// Service accounts: apiserver `pkg/authentication/serviceaccount/util.go`, `UserInfo`.
    fn subject(&self, subject: Subject<'_>) -> SubjectAccessReviewSpec {
        match subject {
            Subject::Requester => SubjectAccessReviewSpec {
                user: self.user.username.clone(),
                groups: self.user.groups.clone(),
                uid: self.user.uid.clone(),
                extra: self.user.extra.clone(),
                ..SubjectAccessReviewSpec::default()
            },
            Subject::ServiceAccount { namespace, name } => SubjectAccessReviewSpec {
                user: Some(format!("system:serviceaccount:{namespace}:{name}")),
                groups: Some(vec![
                    "system:serviceaccounts".to_owned(),
                    format!("system:serviceaccounts:{namespace}"),
                ]),
                ..SubjectAccessReviewSpec::default()
            },
        }
    }

    fn ask(&self, spec: SubjectAccessReviewSpec) -> Result<SubjectAccessReviewStatus, String> {
        let key = serde_json::to_string(&spec).map_err(|error| error.to_string())?;
        let now = Instant::now();
        if let Some(status) = self.cluster.answers.get(&key, now) {
            return Ok(status);
        }
        let api: Api<SubjectAccessReview> = Api::all(self.cluster.client.clone());
        let review = SubjectAccessReview {
            spec,
            ..SubjectAccessReview::default()
        };
        let parameters = PostParams::default();
        let answer = self
            .cluster
            .wait(self.deadline, api.create(&parameters, &review));
        let answer = answer.ok_or("context deadline exceeded")?;
        let answer = answer.map_err(|error| error.to_string())?;
        let status = answer.status.unwrap_or_default();
        self.cluster.answers.put(key, status.clone(), now);
        Ok(status)
    }
}

/// What a check says of the resource; the version is any, as upstream.
fn attributes(check: &ResourceCheck<'_>) -> ResourceAttributes {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ResourceAttributes {
        group: text(check.group),
        version: Some("*".to_owned()),
        resource: text(check.resource),
        subresource: text(check.subresource),
        namespace: text(check.namespace),
        name: text(check.name),
        verb: None,
        field_selector: text(check.field_selector).map(|selector| FieldSelectorAttributes {
            raw_selector: Some(selector),
            ..FieldSelectorAttributes::default()
        }),
        label_selector: text(check.label_selector).map(|selector| LabelSelectorAttributes {
            raw_selector: Some(selector),
            ..LabelSelectorAttributes::default()
        }),
    }
}

impl Authorize for Asker<'_> {
    fn authorize<'a>(&'a self, arena: &'a Bump, question: Access<'_>, verb: &str) -> Decision<'a> {
        let answer = self
            .question(question, verb)
            .ok_or_else(|| "this cannot be asked".to_owned())
            .and_then(|spec| self.ask(spec));
        match answer {
            Ok(status) => Decision {
                allowed: status.allowed && status.denied != Some(true),
                reason: arena.alloc_str(&status.reason.unwrap_or_default()),
                error: arena.alloc_str(&status.evaluation_error.unwrap_or_default()),
            },
            Err(problem) => Decision {
                allowed: false,
                reason: "",
                error: arena.alloc_str(&problem),
            },
        }
    }
}
