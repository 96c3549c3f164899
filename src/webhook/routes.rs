//! Which path and method leads where, on the port that API servers call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::post;

use super::admission::{Admission, Endpoint};
use super::body::dismiss;
use super::failure::Failure;
use super::probe;
use super::review::Reviews;

/// Routes the four endpoints, and the probe, to `reviews`; everything else is 404 or, by method, 405.
pub fn router<A: Admission>(reviews: &Arc<Reviews<A>>) -> Router {
    let mut router = Router::new();
    for endpoint in Endpoint::ALL {
        let reviews = Arc::clone(reviews);
        let answer = move |request: Request| {
            let reviews = Arc::clone(&reviews);
            async move { reviews.answer(endpoint, request).await }
        };
        router = router.route(endpoint.path(), post(answer));
    }
    let probed = {
        let reviews = Arc::clone(reviews);
        move |request: Request| {
            let reviews = Arc::clone(&reviews);
            async move { reviews.probe(request).await }
        }
    };
    router
        .route(probe::PATH, post(probed))
        .fallback(async |request| refuse(request, not_found()).await)
        // axum adds `Allow`.
        .method_not_allowed_fallback(async |request| refuse(request, method_not_allowed()).await)
}

/// How long the body of a request that leads nowhere may take.
const PATIENCE: Duration = Duration::from_secs(5);

async fn refuse(request: Request, failure: Failure) -> Failure {
    let (head, mut body) = request.into_parts();
    dismiss(&head.headers, &mut body, Instant::now() + PATIENCE).await;
    failure
}

fn not_found() -> Failure {
    let paths = Endpoint::ALL.map(|endpoint| format!("`{}`", endpoint.path()));
    Failure::new(
        StatusCode::NOT_FOUND,
        "NotFound",
        format!("there is nothing here; reviews go to {}", paths.join(", ")),
    )
}

fn method_not_allowed() -> Failure {
    Failure::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "MethodNotAllowed",
        "the method must be POST",
    )
}
