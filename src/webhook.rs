//! The HTTPS server that API servers call, and the plain one that operators ask.
//!
//! One review: accept under a connection limit → TLS handshake → route → body under a byte limit →
//! a permit before the deadline → [`admission::Admission::review`] → response. Every wait has a
//! deadline and every refusal is a Kubernetes `Status`. What policies decide is behind the seam in
//! [`admission`]; nothing here knows it.

pub mod admin;
pub mod admission;
pub mod body;
pub mod connection;
pub mod duration;
pub mod failure;
pub mod limits;
pub mod listener;
pub mod permits;
pub mod probe;
pub mod review;
pub mod routes;
pub mod tls;
