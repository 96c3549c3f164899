//! One review: from the arrival of its headers to the answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tokio::time::timeout_at;

use super::admission::{Admission, Attempt, Endpoint, Undecided};
use super::body::{BodyError, Budget, Collected, collect, dismiss};
use super::duration;
use super::failure::{Failure, JSON};
use super::limits::{ReviewLimits, within};
use super::permits::{Permit, Permits};
use super::probe;
use crate::telemetry::logs::seldom::Seldom;
use crate::telemetry::metrics::{Metrics, Presence, ReasonLabel, ReviewLabels};
use crate::telemetry::traces::{Trace, Tracer};

/// What all reviews share.
#[derive(Debug)]
pub struct Reviews<A> {
    admission: Arc<A>,
    limits: ReviewLimits,
    permits: Permits,
    budget: Arc<Budget>,
    metrics: Metrics,
    tracer: Option<Tracer>,
    /// Where it was logged that reviews panic.
    seldom: Seldom,
}

impl<A: Admission> Reviews<A> {
    /// Makes what reviews share; `admission` decides them, and `tracer` traces those whose callers are
    /// traced.
    pub fn new(
        admission: Arc<A>,
        limits: ReviewLimits,
        metrics: Metrics,
        tracer: Option<Tracer>,
    ) -> Arc<Self> {
        Arc::new(Reviews {
            admission,
            permits: Permits::new(limits.concurrency),
            budget: Budget::new(limits.body_bytes_in_flight),
            limits,
            metrics,
            tracer,
            seldom: Seldom::default(),
        })
    }

    /// Answers one review.
    pub async fn answer(&self, endpoint: Endpoint, request: Request) -> Response {
        let mut record = Record::begin(endpoint, &self.metrics);
        let (head, mut body) = request.into_parts();
        let deadline = self.deadline(&head.uri, record.arrival);
        let mut trace = self.tracer.as_ref().and_then(|tracer| {
            let parent = head.headers.get("traceparent").map(HeaderValue::as_bytes);
            tracer.begin(endpoint.path(), parent, record.arrival)
        });
        let outcome = match &deadline {
            Ok(deadline) => {
                let to = (endpoint, trace.as_mut());
                let decided = self.decide(to, &head.headers, &mut body, *deadline);
                decided.await
            }
            Err(failure) => Err(failure.clone()),
        };
        let default = record.arrival + within(self.limits.timeout);
        let until = deadline.unwrap_or(default);
        let response = respond(outcome, &head.headers, (&mut body, until)).await;
        record.status = Some(response.status());
        if let Some(trace) = trace {
            trace.finish(response.status().as_u16());
        }
        response
    }

    /// Answers a review that only asks whether it is answered. It is no decision, and counted nowhere.
    pub async fn probe(&self, request: Request) -> Response {
        let arrival = Instant::now();
        let (head, mut body) = request.into_parts();
        let deadline = self.deadline(&head.uri, arrival);
        let outcome = match &deadline {
            Ok(deadline) => self.say(&head.headers, &mut body, *deadline).await,
            Err(failure) => Err(failure.clone()),
        };
        let until = deadline.unwrap_or(arrival + within(self.limits.timeout));
        respond(outcome, &head.headers, (&mut body, until)).await
    }

    /// Says that a probe has arrived.
    async fn say(
        &self,
        headers: &HeaderMap,
        body: &mut Body,
        deadline: Instant,
    ) -> Result<Vec<u8>, Failure> {
        let body = self.received(headers, body, deadline).await?;
        // Its size is the caller's choice.
        let permit = self.permit(deadline).await?;
        let answer = permit.run(body.bytes().len(), || probe::answer(body.bytes()));
        answer.map_err(|problem| Failure::bad_request(problem.to_string()))
    }

    /// Returns when the answer must be on its way.
    fn deadline(&self, uri: &Uri, arrival: Instant) -> Result<Instant, Failure> {
        let timeout = match query_value(uri, "timeout") {
            None => self.limits.timeout,
            Some(text) => match duration::parse(text) {
                Ok(timeout) if !timeout.is_zero() => timeout,
                Ok(_) => return Err(Failure::bad_request("`timeout` must be above zero")),
                Err(problem) => {
                    return Err(Failure::bad_request(format!(
                        "`timeout` cannot be read: {problem}"
                    )));
                }
            },
        };
        Ok(arrival + within(timeout))
    }

    async fn decide(
        &self,
        (endpoint, mut trace): (Endpoint, Option<&mut Trace>),
        headers: &HeaderMap,
        body: &mut Body,
        deadline: Instant,
    ) -> Result<Vec<u8>, Failure> {
        let body = self.received(headers, body, deadline).await?;
        let mut inquiry = A::Inquiry::default();
        loop {
            let permit = self.permit(deadline).await?;
            let attempt = Attempt {
                deadline,
                trace: trace.as_deref_mut(),
                inquiry: &mut inquiry,
            };
            let outcome = self.decide_under(&permit, endpoint, body.bytes(), attempt);
            // Others decide while this one learns.
            drop(permit);
            match outcome {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(Undecided::Refused(refusal))) => return Err(refusal.into()),
                Ok(Err(Undecided::Open)) => self.admission.inquire(&mut inquiry, deadline).await,
                Err(failure) => return Err(failure),
            }
            if let Some(trace) = &mut trace {
                trace.begin_again();
            }
        }
    }

    /// Returns the whole body, if it is one of a review.
    async fn received(
        &self,
        headers: &HeaderMap,
        body: &mut Body,
        deadline: Instant,
    ) -> Result<Collected, Failure> {
        if !is_json(headers) {
            return Err(Failure::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaType",
                "the body must have the content type `application/json`",
            ));
        }
        self.collect(body, deadline).await
    }

    async fn collect(&self, body: &mut Body, deadline: Instant) -> Result<Collected, Failure> {
        let limit = self.limits.body_bytes;
        match timeout_at(deadline.into(), collect(body, limit, &self.budget)).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(BodyError::TooLarge)) => Err(Failure::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestEntityTooLarge",
                format!("the body is larger than {limit} bytes"),
            )),
            Ok(Err(BodyError::NoRoom)) => {
                self.shed("memory");
                Err(Failure::overloaded(
                    "too many and too large reviews at the moment",
                ))
            }
            Ok(Err(BodyError::Broken)) => Err(Failure::bad_request(
                "the body ended before its announced length",
            )),
            Err(_elapsed) => Err(Failure::new(
                StatusCode::REQUEST_TIMEOUT,
                "Timeout",
                "the body did not arrive before the deadline",
            )),
        }
    }

    /// Waits for the right to use a core; those who wait are bounded by the budget of bodies.
    async fn permit(&self, deadline: Instant) -> Result<Permit<'_>, Failure> {
        let waiting = Presence::in_gauge(&self.metrics.reviews_waiting);
        let permit = self.permits.acquire(deadline).await;
        drop(waiting);
        match permit {
            Some(permit) => Ok(permit),
            None => {
                self.shed("deadline");
                Err(Failure::overloaded(
                    "no capacity to decide this before the deadline",
                ))
            }
        }
    }

    fn decide_under(
        &self,
        permit: &Permit<'_>,
        endpoint: Endpoint,
        body: &[u8],
        attempt: Attempt<'_, A::Inquiry>,
    ) -> Result<Result<Vec<u8>, Undecided>, Failure> {
        let review = || self.admission.review(endpoint, body, attempt);
        // Unwind safe: a review only reads what it shares, and its own state goes with it.
        let outcome = permit.run(body.len(), || catch_unwind(AssertUnwindSafe(review)));
        match outcome {
            Ok(outcome) => Ok(outcome),
            Err(_message) => {
                self.metrics.panics.inc();
                let endpoint = endpoint.path();
                if let Some(more) = self.seldom.is_due(endpoint, Instant::now()) {
                    tracing::error!(endpoint, more, "a review panicked");
                }
                Err(Failure::internal(
                    "the review could not be decided; the log of portcullis says where it failed",
                ))
            }
        }
    }

    fn shed(&self, reason: &'static str) {
        self.metrics
            .reviews_shed
            .get_or_create(&ReasonLabel { reason })
            .inc();
    }
}

/// Sends an answer; of what is refused the rest is read first, until the deadline.
async fn respond(
    outcome: Result<Vec<u8>, Failure>,
    headers: &HeaderMap,
    (body, deadline): (&mut Body, Instant),
) -> Response {
    match outcome {
        Ok(json) => {
            let mut response = Response::new(Body::from(json));
            response.headers_mut().insert(CONTENT_TYPE, JSON);
            response
        }
        Err(failure) => {
            dismiss(headers, body, deadline).await;
            failure.into_response()
        }
    }
}

/// Observes one review when it ends, however it ends.
struct Record<'a> {
    endpoint: Endpoint,
    arrival: Instant,
    /// `None` until there is an answer, and for good when the caller goes away before.
    status: Option<StatusCode>,
    metrics: &'a Metrics,
    _presence: Presence,
}

impl<'a> Record<'a> {
    fn begin(endpoint: Endpoint, metrics: &'a Metrics) -> Self {
        Record {
            endpoint,
            arrival: Instant::now(),
            status: None,
            metrics,
            _presence: Presence::in_gauge(&metrics.reviews_in_flight),
        }
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        let code = match self.status.map(|status| status.as_u16() / 100) {
            None => "cancelled",
            Some(2) => "2xx",
            Some(4) => "4xx",
            Some(_) => "5xx",
        };
        self.metrics
            .review_duration
            .get_or_create(&ReviewLabels {
                endpoint: self.endpoint.name(),
                code,
            })
            .observe(self.arrival.elapsed().as_secs_f64());
    }
}

/// Returns the first value of a query parameter, as written.
fn query_value<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    uri.query()?
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// Tells whether the body is JSON by its content type, whatever the parameters.
fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}
