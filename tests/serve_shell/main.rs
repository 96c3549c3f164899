//! The server as its clients meet it: over loopback, with a scripted admission behind it.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at what it does not expect; clippy knows that of test functions only"
)]

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod connections;
mod reload;
mod reviews;
mod shutdown;
