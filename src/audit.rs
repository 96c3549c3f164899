//! The objects that a cluster has already, held against the policies, as if each were created now.
//!
//! Flow: the policies say which kinds are looked at and which policies cannot be ([`plan`]), those kinds
//! are listed page by page ([`list`]), every object becomes a request that the engine decides ([`scan`]),
//! and what is found ([`finding`]) is printed, or written as reports ([`report`], [`keep`], [`mod@write`]).
//!
//! What it takes is bounded: two pages at a time, so many findings ([`finding::Limits`]), the rest as
//! counts. Nothing is written but reports.

pub mod exceptions;
pub mod finding;
pub mod journal;
pub mod keep;
pub mod list;
pub mod plan;
pub mod position;
pub mod report;
pub mod scan;
pub mod served;
pub mod view;
pub mod write;
