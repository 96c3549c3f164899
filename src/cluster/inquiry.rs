//! What a review could not be decided without and was not known: it is learnt between two attempts to
//! decide it, while nothing is held that others need.
//!
//! Deciding looks at memory alone. What it misses there it notes, and its outcome is thrown away; the
//! review is decided again when the answer has come, or will not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use k8s_openapi::api::authorization::v1::{
    SubjectAccessReview, SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use kube::api::{Api, PostParams};
use rustc_hash::FxHashMap;
use tokio::time::{sleep, timeout_at};

use super::Cluster;
use super::access::Asker;
use super::cache::{Cache, Content};
use super::view::View;

/// How long a Namespace that was made a moment ago may take to come by the watch.
const ARRIVAL: Duration = Duration::from_secs(1);
/// How often it is looked whether it has come.
const LOOK: Duration = Duration::from_millis(5);
/// How many questions of a review are asked at the same time.
const AT_ONCE: usize = 8;

/// A question to the authorizer, after its text as a key.
pub(super) type Question = (String, SubjectAccessReviewSpec);
/// What came of questions.
pub(super) type Told = FxHashMap<String, Result<SubjectAccessReviewStatus, String>>;

/// What one review has to learn, and has learnt.
#[derive(Default)]
pub struct Inquiry {
    namespace: Option<(String, Arc<Cache>)>,
    /// Whether a Namespace was waited for: what has not come by then is not known.
    pub(super) has_waited: bool,
    questions: Vec<Question>,
    /// Answers of the authorizer, or why there is none; kept as long as the review lasts.
    pub(super) told: Told,
    /// When asking ends, so that there is time left to decide.
    until: Option<Instant>,
}

/// What one attempt has missed.
pub struct Missed {
    namespace: Option<(String, Arc<Cache>)>,
    questions: Vec<Question>,
}

impl Missed {
    /// Takes it from what the attempt has looked at.
    pub fn of(view: View<'_>, asker: Asker<'_>) -> Self {
        Missed {
            namespace: view.into_missing(),
            questions: asker.into_questions(),
        }
    }

    /// Notes it, to be learnt.
    pub fn note(self, inquiry: &mut Inquiry) {
        inquiry.namespace = self.namespace;
        inquiry.questions = self.questions;
    }
}

impl Cluster {
    /// Learns what was noted, in three quarters of the time until `deadline` at most. What there is no
    /// answer to by then has an error for an answer.
    pub async fn pursue(&self, inquiry: &mut Inquiry, deadline: Instant) {
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        let until = *inquiry.until.get_or_insert(now + left * 3 / 4);
        if let Some((name, cache)) = inquiry.namespace.take() {
            inquiry.has_waited = true;
            arrives(&cache, &name, until.min(now + ARRIVAL)).await;
        }
        let questions = std::mem::take(&mut inquiry.questions);
        let asked = futures_util::stream::iter(questions).map(|(key, spec)| async move {
            let answer = timeout_at(until.into(), self.answer(spec)).await;
            let answer = answer.unwrap_or_else(|_| Err("context deadline exceeded".to_owned()));
            (key, answer)
        });
        let mut answers = asked.buffer_unordered(AT_ONCE);
        while let Some((key, answer)) = answers.next().await {
            if let Ok(status) = &answer {
                self.answers.put(&key, status, Instant::now());
            }
            inquiry.told.insert(key, answer);
        }
    }

    async fn answer(
        &self,
        spec: SubjectAccessReviewSpec,
    ) -> Result<SubjectAccessReviewStatus, String> {
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let review = SubjectAccessReview {
            spec,
            ..SubjectAccessReview::default()
        };
        let answer = api.create(&PostParams::default(), &review).await;
        let answer = answer.map_err(|problem| problem.to_string())?;
        Ok(answer.status.unwrap_or_default())
    }
}

/// Waits for a Namespace. Its requests come after it was made, and the watch tells of it within
/// milliseconds; the API server asks its storage instead (apiserver
/// `pkg/admission/plugin/policy/matching/matching.go`, `GetNamespace`), which is its own.
async fn arrives(cache: &Cache, name: &str, until: Instant) {
    let has_come = || match &*cache.content() {
        Content::Documents { objects, .. } => objects.get("", name).is_some(),
        _ => false,
    };
    while !has_come() && Instant::now() < until {
        sleep(LOOK).await;
    }
}
