//! Admission: the wire types of `admission.k8s.io/v1`, and requests made from manifests.
//!
//! Flow: [`review`] reads what an API server posts; [`synthesize`] makes the same request from a
//! manifest, with [`resources`], [`decode`] and [`defaults`]; [`response`] and [`status`] write the
//! answer. Objects stay raw: whoever decides parses them once, and only if a policy needs them.

pub mod convert;
pub mod decode;
pub mod defaults;
pub mod resources;
pub mod response;
pub mod review;
pub mod status;
pub mod synthesize;
