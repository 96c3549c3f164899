//! What operators and the kubelet ask: `/livez`, `/readyz`, `/metrics`, `/policies`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;

use super::admission::{Admission, Check};
use super::failure::{Failure, JSON};
use crate::telemetry::metrics;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Answers, at any time, which conditions of readiness hold.
pub type Readiness = dyn Fn() -> Vec<Check> + Send + Sync;

/// Routes the admin endpoints. `readiness` says what the server itself needs; what the admission
/// needs is asked of it.
pub fn router<A: Admission>(
    admission: &Arc<A>,
    readiness: Arc<Readiness>,
    registry: Arc<Registry>,
) -> Router {
    let (described, deciding) = (Arc::clone(admission), Arc::clone(admission));
    Router::new()
        // Alive means that requests are answered; this one is.
        .route("/livez", get(async || text(StatusCode::OK, "ok")))
        .route(
            "/readyz",
            get(async move |request: Request| {
                let mut checks = readiness();
                checks.extend(deciding.readiness());
                ready(&checks, is_verbose(&request))
            }),
        )
        .route("/metrics", get(async move || page(&registry)))
        .route("/policies", get(async move || policies(&*described)))
        .fallback(async || {
            Failure::new(
                StatusCode::NOT_FOUND,
                "NotFound",
                "there is nothing here; try `/livez`, `/readyz?verbose`, `/metrics` or `/policies`",
            )
        })
        .method_not_allowed_fallback(async || {
            Failure::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "the method must be GET",
            )
        })
}

fn is_verbose(request: &Request) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query
        .split('&')
        .any(|pair| pair == "verbose" || pair.starts_with("verbose="))
}

/// Words the outcome as Kubernetes' own components do (apiserver `pkg/server/healthz/healthz.go`).
///
/// DIVERGES: the reason of a failure is shown, since who can reach this port operates the server;
/// and the status is 503, not 500, since nothing is broken.
fn ready(checks: &[Check], verbose: bool) -> Response {
    let failed = checks.iter().any(|check| check.outcome.is_err());
    if !failed && !verbose {
        return text(StatusCode::OK, "ok");
    }
    let mut lines = String::new();
    for check in checks {
        let (sign, state, detail) = match &check.outcome {
            Ok(detail) => ('+', "ok", detail),
            Err(detail) => ('-', "failed", detail),
        };
        lines.push_str(&format!("[{sign}]{} {state}", check.name));
        if !detail.is_empty() {
            lines.push_str(": ");
            // One line for each check, whatever the detail holds.
            lines.extend(detail.chars().map(|c| if c == '\n' { ' ' } else { c }));
        }
        lines.push('\n');
    }
    if failed {
        lines.push_str("readyz check failed\n");
        text(StatusCode::SERVICE_UNAVAILABLE, lines)
    } else {
        lines.push_str("readyz check passed\n");
        text(StatusCode::OK, lines)
    }
}

fn page(registry: &Registry) -> Response {
    match metrics::page(registry) {
        Ok(page) => {
            let mut response = Response::new(Body::from(page));
            response.headers_mut().insert(
                CONTENT_TYPE,
                HeaderValue::from_static(metrics::CONTENT_TYPE),
            );
            response
        }
        Err(_) => Failure::internal("the metrics cannot be written").into_response(),
    }
}

fn policies<A: Admission>(admission: &A) -> Response {
    match serde_json::to_vec_pretty(&admission.policies()) {
        Ok(document) => {
            let mut response = Response::new(Body::from(document));
            response.headers_mut().insert(CONTENT_TYPE, JSON);
            response
        }
        Err(_) => Failure::internal("the policies cannot be written").into_response(),
    }
}

fn text(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, TEXT);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
