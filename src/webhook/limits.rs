//! How much of anything the server takes, and how long it waits for it.

use std::time::Duration;

/// The limits of the server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// Limits of connections.
    pub connections: ConnectionLimits,
    /// Limits of reviews.
    pub reviews: ReviewLimits,
}

/// Limits of connections, before and between requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// How many may be open; further ones wait in the system's backlog.
    pub open: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long the headers of a request may take, from the end of the handshake or, under
    /// HTTP/1.1, from the end of the last answer.
    pub headers: Duration,
    /// How long an HTTP/2 connection may be without a request before it is closed.
    pub idle: Duration,
    /// How many requests one HTTP/2 connection may have open.
    pub streams: u32,
    /// The sum of names and values of a request's headers under HTTP/2, in bytes.
    pub header_bytes: u32,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        ConnectionLimits {
            // An API server keeps one or two to a webhook; a thousand leaves room for a fleet and
            // for probes, and bounds what strangers can hold.
            open: 1024,
            handshake: Duration::from_secs(5),
            headers: Duration::from_secs(10),
            // Longer than Go's transport keeps an idle connection (90 s,
            // `DefaultTransport.IdleConnTimeout`), so that an API server is never the one that
            // finds it closed.
            idle: Duration::from_secs(300),
            // What Go's own HTTP/2 server allows (`http2.defaultMaxStreams`); a client with more
            // to say opens another connection.
            streams: 250,
            // An API server sends a few hundred bytes.
            header_bytes: 16 * 1024,
        }
    }
}

/// Limits of reviews.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewLimits {
    /// How large a body may be, in bytes.
    pub body_bytes: usize,
    /// How large all bodies being read or decided may be together, in bytes.
    pub body_bytes_in_flight: usize,
    /// How many reviews are decided at a time.
    pub concurrency: usize,
    /// How long a review may take when the caller does not say (`?timeout=`).
    pub timeout: Duration,
}

impl Default for ReviewLimits {
    fn default() -> Self {
        ReviewLimits {
            // An API server takes requests of 3 MiB at most (`MaxRequestBodyBytes`, apiserver
            // `pkg/server/config.go`). An AdmissionReview holds the object and the old object, as
            // JSON also when they came as protobuf, with managed fields: 2.1 MB were recorded for
            // an update of a 1 MB ConfigMap. Twice that ratio of 3 MiB fits into 16 MiB.
            body_bytes: 16 * 1024 * 1024,
            // Sixteen of the largest, thousands of the usual (10 KB): bounds memory however many
            // connections there are.
            body_bytes_in_flight: 256 * 1024 * 1024,
            // Deciding is CPU work; more at a time than cores only makes each one later.
            concurrency: cores(),
            // The default of `timeoutSeconds` (kubernetes
            // `pkg/apis/admissionregistration/v1/defaults.go`).
            timeout: Duration::from_secs(10),
        }
    }
}

/// The longest timeout a webhook may have: `timeoutSeconds` is between 1 and 30 (kubernetes
/// `pkg/apis/admissionregistration/validation/validation.go`).
pub const MAX_TIMEOUT: Duration = Duration::from_secs(30);

/// Returns how long the server may take when the caller gives up after `timeout`: less a margin
/// for the way back, a tenth but at most half a second.
pub fn within(timeout: Duration) -> Duration {
    const MOST: Duration = Duration::from_millis(500);
    let timeout = timeout.min(MAX_TIMEOUT);
    timeout.saturating_sub((timeout / 10).min(MOST))
}

/// Returns how many threads can run at once here, by the machine and the quota of its container.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_has_its_margin() {
        for (timeout_ms, within_ms) in [
            (0, 0),
            (100, 90),
            (1_000, 900),
            (5_000, 4_500),
            (10_000, 9_500),
            (30_000, 29_500),
            (3_600_000, 29_500),
        ] {
            assert_eq!(
                within(Duration::from_millis(timeout_ms)),
                Duration::from_millis(within_ms),
                "{timeout_ms} ms"
            );
        }
    }
}
