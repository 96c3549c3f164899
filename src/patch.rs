//! Changing objects as Kubernetes' mutating policies do, and telling the difference to the API server.
//!
//! [`json`] applies the operations of a `JSONPatch`, [`mod@merge`] an `ApplyConfiguration`; both give a
//! new object and leave the one they are given alone; [`given`] makes both of what expressions give.
//! [`mod@diff`] is what a webhook answers with:
//! the operations that make one object of the other. [`strict`] says what the API server refuses to
//! read once it is patched.

pub mod diff;
pub mod given;
pub mod json;
pub mod merge;
pub mod strict;
