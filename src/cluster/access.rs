//! Questions to the cluster's authorizer: SubjectAccessReviews, with answers that are kept shortly.
//!
//! Semantics: apiserver `pkg/cel/library/authz.go` for what is asked. In the API server the answer is
//! its authorizer's own; a SubjectAccessReview gives the same authorizer's (kubernetes
//! `pkg/registry/authorization/subjectaccessreview/rest.go`). A question that is not answered is an error
//! of the authorizer: `errored()`, and not allowed.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bumpalo::Bump;
use k8s_openapi::api::authentication::v1::UserInfo;
use k8s_openapi::api::authorization::v1::{
    FieldSelectorAttributes, LabelSelectorAttributes, NonResourceAttributes, ResourceAttributes,
    SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use rustc_hash::FxHashMap;

use super::inquiry::{Question, Told};
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

    pub(super) fn put(&self, question: &str, status: &SubjectAccessReviewStatus, now: Instant) {
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
        known.insert(question.to_owned(), (now + KEPT, status.clone()));
    }
}

/// Who answers what the user of one request may do, from what was asked before. What was not is noted.
#[derive(Debug)]
pub struct Asker<'c> {
    answers: &'c Answers,
    told: &'c Told,
    /// As it came; few policies ask.
    raw_user: &'c str,
    user: OnceLock<UserInfo>,
    questions: Mutex<Vec<Question>>,
}

impl<'c> Asker<'c> {
    pub(super) fn new(
        answers: &'c Answers,
        told: &'c Told,
        request: &AdmissionRequest<'c>,
    ) -> Self {
        Asker {
            answers,
            told,
            raw_user: request.user_info.map_or("{}", |raw| raw.get()),
            user: OnceLock::new(),
            questions: Mutex::default(),
        }
    }

    /// Says whether something was asked that there is no answer to yet.
    pub fn has_questions(&self) -> bool {
        !self.noted().is_empty()
    }

    pub(super) fn into_questions(self) -> Vec<Question> {
        let noted = self.questions.into_inner();
        noted.unwrap_or_else(PoisonError::into_inner)
    }

    fn noted(&self) -> MutexGuard<'_, Vec<Question>> {
        self.questions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn user(&self) -> &UserInfo {
        let read = || serde_json::from_str(self.raw_user).unwrap_or_default();
        self.user.get_or_init(read)
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
                user: self.user().username.clone(),
                groups: self.user().groups.clone(),
                uid: self.user().uid.clone(),
                extra: self.user().extra.clone(),
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
        if let Some(told) = self.told.get(&key) {
            return told.clone();
        }
        if let Some(status) = self.answers.get(&key, Instant::now()) {
            return Ok(status);
        }
        let mut noted = self.noted();
        if !noted.iter().any(|(known, _)| *known == key) {
            noted.push((key, spec));
        }
        Err("this was not asked yet".to_owned())
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
