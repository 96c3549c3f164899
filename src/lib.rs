//! Portcullis: CEL policies that decide Kubernetes admission requests.
//!
//! The modules are layers: each one uses only those declared above it (`tests/tidy.rs`). The core
//! does no I/O, has no clock and no threads; the shell is behind the feature `shell`.

pub mod text;

pub mod diagnostics;

pub mod json;

pub mod hcl;

pub mod cel;

pub mod schema;

pub mod patch;

pub mod admission;

pub mod policy;

pub mod engine;

pub mod manifest;

pub mod suite;

pub mod lint;

#[cfg(feature = "shell")]
mod parallel;

#[cfg(feature = "shell")]
pub mod telemetry;

#[cfg(feature = "shell")]
pub mod sources;

#[cfg(feature = "shell")]
pub mod certs;

#[cfg(feature = "shell")]
pub mod cluster;

#[cfg(feature = "shell")]
pub mod webhook;

#[cfg(feature = "shell")]
pub mod audit;

#[cfg(feature = "shell")]
pub mod serve;

#[cfg(feature = "shell")]
pub mod cli;
