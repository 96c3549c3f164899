//! Real servers on loopback, in this process with a scripted admission or as the program itself, and
//! real clients for them.

#![allow(dead_code, reason = "each test binary uses its part of this")]

pub(crate) mod admission;
pub(crate) mod client;
pub(crate) mod harness;
pub(crate) mod kubernetes;
pub(crate) mod network;
pub(crate) mod process;
pub(crate) mod rights;
pub(crate) mod secret;

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// How long anything that must happen may take; generous, for machines that are busy. A Lease alone may
/// take 19 s to find another holder.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// Within which a change holds: what users are promised.
pub(crate) const SOON: Duration = Duration::from_secs(1);

/// Asks `holds` until it answers with a value; panics with `what` after [`BOUND`].
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut holds: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + BOUND;
    loop {
        if let Some(value) = holds().await {
            return value;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
