//! Answers other than a verdict: a Kubernetes `Status` with the HTTP status that goes with it.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::admission::Refusal;

/// The media type of every body the webhook sends.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An answer other than a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    status: StatusCode,
    reason: &'static str,
    message: Cow<'static, str>,
    retry: Retry,
}

/// Whether the same request may succeed when sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retry {
    No,
    /// An API server honours `Retry-After` of a 5xx and sends the review again while its own
    /// deadline lasts (client-go `rest/with_retry.go`, `checkWait`); it waits whole seconds.
    InOneSecond,
}

impl Failure {
    /// Makes an answer; the reason is a `metav1.StatusReason`.
    pub fn new(
        status: StatusCode,
        reason: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Failure {
            status,
            reason,
            message: message.into(),
            retry: Retry::No,
        }
    }

    /// The request itself is wrong: 400.
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Failure::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// The server has no capacity at the moment: 503 with `Retry-After`.
    pub fn overloaded(message: impl Into<Cow<'static, str>>) -> Self {
        Failure {
            retry: Retry::InOneSecond,
            ..Failure::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailable",
                message,
            )
        }
    }

    /// The server is at fault: 500.
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
    }
}

impl From<Refusal> for Failure {
    /// A refusal with a status that is none of an error is a fault of ours, and answered 500.
    fn from(refusal: Refusal) -> Self {
        match StatusCode::from_u16(refusal.status) {
            Ok(status) if status.is_client_error() || status.is_server_error() => {
                Failure::new(status, refusal.reason, refusal.message)
            }
            _ => Failure::internal(refusal.message),
        }
    }
}

/// `metav1.Status`, as the API server writes one.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    kind: &'static str,
    api_version: &'static str,
    status: &'static str,
    message: &'a str,
    reason: &'static str,
    code: u16,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = Status {
            kind: "Status",
            api_version: "v1",
            status: "Failure",
            message: &self.message,
            reason: self.reason,
            code: self.status.as_u16(),
        };
        // Strings and a number always serialize.
        let body = serde_json::to_vec(&status).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        if self.retry == Retry::InOneSecond {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
