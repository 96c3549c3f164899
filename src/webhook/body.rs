//! The body of a request, collected under a limit of its own and one of all bodies together.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::HeaderMap;
use axum::http::header::EXPECT;
use tokio::time::timeout_at;

/// How much is set aside at once for a body that announces its length: what Kubernetes sends at
/// most (3 MiB objects aside) fits, and a lie costs no more than this.
const MOST_SET_ASIDE: usize = 4 * 1024 * 1024;

/// Why a body was not collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is larger than one body may be.
    #[error("the body is larger than one may be")]
    TooLarge,
    /// All bodies together would be larger than they may be.
    #[error("all bodies together are larger than they may be")]
    NoRoom,
    /// The connection broke, or the body ended before its announced length.
    #[error("the body ended before its announced length")]
    Broken,
}

/// How many bytes all bodies together may take, and take.
#[derive(Debug)]
pub struct Budget {
    taken: AtomicUsize,
    limit: usize,
}

impl Budget {
    /// Makes a budget of `limit` bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Budget {
            taken: AtomicUsize::new(0),
            limit,
        })
    }
}

/// What one body has taken of the budget; given back when dropped.
#[derive(Debug)]
struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Share {
    fn take(&mut self, bytes: usize) -> Result<(), BodyError> {
        // Relaxed: the sum is exact under any order, and it guards nothing but itself.
        let before = self.budget.taken.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        if before.saturating_add(bytes) > self.budget.limit {
            return Err(BodyError::NoRoom);
        }
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A whole body with its share of the budget.
#[derive(Debug)]
pub struct Collected {
    bytes: Bytes,
    _share: Share,
}

impl Collected {
    /// Returns the body.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Collects `body`.
///
/// A body that arrives in one piece, as those that fit a frame of HTTP/2 (16 KiB) do, is the very
/// bytes that were received; others are copied once.
pub async fn collect(
    body: &mut Body,
    limit: usize,
    budget: &Arc<Budget>,
) -> Result<Collected, BodyError> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(BodyError::TooLarge);
    }
    let mut share = Share {
        budget: Arc::clone(budget),
        bytes: 0,
    };
    let mut first = Bytes::new();
    let mut whole = Vec::new();
    while let Some(piece) = next_piece(body).await? {
        let length = first.len() + whole.len() + piece.len();
        if length > limit {
            return Err(BodyError::TooLarge);
        }
        share.take(piece.len())?;
        if length == piece.len() {
            first = piece;
            continue;
        }
        if whole.is_empty() {
            whole.reserve_exact(announced.min(MOST_SET_ASIDE).max(length));
            whole.extend_from_slice(&std::mem::take(&mut first));
        }
        whole.extend_from_slice(&piece);
    }
    let bytes = if whole.is_empty() {
        first
    } else {
        Bytes::from(whole)
    };
    Ok(Collected {
        bytes,
        _share: share,
    })
}

/// How much of a refused body is read, so that a client that writes all before it reads finds the
/// answer instead of a reset connection (HTTP/1.1) or stream (HTTP/2).
const MOST_DISMISSED: usize = 64 * 1024 * 1024;

/// Reads and drops what is left of the body of a refused request, until `deadline`.
pub async fn dismiss(headers: &HeaderMap, body: &mut Body, deadline: Instant) {
    // A client that expects `100 Continue` is waiting and has sent nothing.
    if headers.contains_key(EXPECT) {
        return;
    }
    let rest = async {
        let mut read = 0_usize;
        while let (true, Ok(Some(piece))) = (read < MOST_DISMISSED, next_piece(body).await) {
            read = read.saturating_add(piece.len());
        }
    };
    // What is still on its way at the deadline is not waited for.
    let _ = timeout_at(deadline.into(), rest).await;
}

/// Returns the next data, skipping trailers; `None` at the end.
async fn next_piece(body: &mut Body) -> Result<Option<Bytes>, BodyError> {
    loop {
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
            None => return Ok(None),
            Some(Err(_)) => return Err(BodyError::Broken),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Ok(Some(data)),
                Err(_trailers) => {}
            },
        }
    }
}
