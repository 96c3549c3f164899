//! The path that API servers call only so that it is known that they can.
//!
//! Every review is denied there, with words of its own: a refusal goes all the way back to whoever asked,
//! and nothing is written. No policy sees it, and it is no decision.

use crate::admission::response::AdmissionResponse;
use crate::admission::review::{ReviewError, parse};
use crate::admission::status::{Status, StatusReason};

/// The path.
pub const PATH: &str = "/probe";
/// The reason of the refusal. It is none that access control gives, so that whoever reads audit logs does
/// not take it for a missing right.
pub const REASON: StatusReason = StatusReason::NotAcceptable;
/// What the refusal says.
const MESSAGE: &str = "a dry run that only shows that API servers reach portcullis";

/// Returns the answer to a review, whatever it is about.
///
/// # Errors
/// The body holds none.
pub fn answer(body: &[u8]) -> Result<Vec<u8>, ReviewError> {
    let request = parse(body)?;
    let status = Status::new(REASON, MESSAGE);
    Ok(AdmissionResponse::denied(&request.uid, status).to_json())
}
