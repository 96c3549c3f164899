//! Kubernetes' `Status`: why a request was refused, with the HTTP code that goes with it.

use serde::Serialize;

/// A machine-readable reason.
///
/// Names and codes: apimachinery `pkg/apis/meta/v1/types.go`, `pkg/api/errors/errors.go`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum StatusReason {
    /// 400
    BadRequest,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed,
    /// 406
    NotAcceptable,
    /// 409
    AlreadyExists,
    /// 409
    Conflict,
    /// 410
    Gone,
    /// 410
    Expired,
    /// 413
    RequestEntityTooLarge,
    /// 415
    UnsupportedMediaType,
    /// 422
    Invalid,
    /// 429
    TooManyRequests,
    /// 500
    InternalError,
    /// 500
    ServerTimeout,
    /// 503
    ServiceUnavailable,
    /// 504
    Timeout,
}

impl StatusReason {
    /// Every reason.
    pub const ALL: [StatusReason; 18] = [
        StatusReason::BadRequest,
        StatusReason::Unauthorized,
        StatusReason::Forbidden,
        StatusReason::NotFound,
        StatusReason::MethodNotAllowed,
        StatusReason::NotAcceptable,
        StatusReason::AlreadyExists,
        StatusReason::Conflict,
        StatusReason::Gone,
        StatusReason::Expired,
        StatusReason::RequestEntityTooLarge,
        StatusReason::UnsupportedMediaType,
        StatusReason::Invalid,
        StatusReason::TooManyRequests,
        StatusReason::InternalError,
        StatusReason::ServerTimeout,
        StatusReason::ServiceUnavailable,
        StatusReason::Timeout,
    ];

    /// Returns the HTTP code.
    pub fn code(self) -> u16 {
        match self {
            StatusReason::BadRequest => 400,
            StatusReason::Unauthorized => 401,
            StatusReason::Forbidden => 403,
            StatusReason::NotFound => 404,
            StatusReason::MethodNotAllowed => 405,
            StatusReason::NotAcceptable => 406,
            StatusReason::AlreadyExists | StatusReason::Conflict => 409,
            StatusReason::Gone | StatusReason::Expired => 410,
            StatusReason::RequestEntityTooLarge => 413,
            StatusReason::UnsupportedMediaType => 415,
            StatusReason::Invalid => 422,
            StatusReason::TooManyRequests => 429,
            StatusReason::InternalError | StatusReason::ServerTimeout => 500,
            StatusReason::ServiceUnavailable => 503,
            StatusReason::Timeout => 504,
        }
    }

    /// Returns the name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            StatusReason::BadRequest => "BadRequest",
            StatusReason::Unauthorized => "Unauthorized",
            StatusReason::Forbidden => "Forbidden",
            StatusReason::NotFound => "NotFound",
            StatusReason::MethodNotAllowed => "MethodNotAllowed",
            StatusReason::NotAcceptable => "NotAcceptable",
            StatusReason::AlreadyExists => "AlreadyExists",
            StatusReason::Conflict => "Conflict",
            StatusReason::Gone => "Gone",
            StatusReason::Expired => "Expired",
            StatusReason::RequestEntityTooLarge => "RequestEntityTooLarge",
            StatusReason::UnsupportedMediaType => "UnsupportedMediaType",
            StatusReason::Invalid => "Invalid",
            StatusReason::TooManyRequests => "TooManyRequests",
            StatusReason::InternalError => "InternalError",
            StatusReason::ServerTimeout => "ServerTimeout",
            StatusReason::ServiceUnavailable => "ServiceUnavailable",
            StatusReason::Timeout => "Timeout",
        }
    }

    /// Returns the reason of this name on the wire.
    pub fn from_wire(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

/// A refusal, as the API server passes it on to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The HTTP code. The API server turns anything below 400 into 400.
    pub code: u16,
    /// Why; the API server gives 400 and no reason for a refusal that states neither.
    pub reason: StatusReason,
    /// What people are told.
    pub message: String,
}

impl Status {
    /// Makes a refusal with the code that belongs to `reason`.
    pub fn new(reason: StatusReason, message: impl Into<String>) -> Self {
        Status {
            code: reason.code(),
            reason,
            message: message.into(),
        }
    }

    /// Returns the Status as a document of its own (`kind: Status`, `apiVersion: v1`), the body of
    /// an HTTP error.
    pub fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Document<'a> {
            kind: &'static str,
            api_version: &'static str,
            #[serde(flatten)]
            fields: Fields<'a>,
        }
        super::response::to_json(&Document {
            kind: "Status",
            api_version: "v1",
            fields: self.fields(),
        })
    }

    /// Returns the fields on the wire.
    pub(super) fn fields(&self) -> Fields<'_> {
        Fields {
            metadata: Empty {},
            status: "Failure",
            message: &self.message,
            reason: self.reason,
            code: self.code,
        }
    }
}

/// The fields of a Status, in the order the API server writes them.
#[derive(Debug, Serialize)]
pub(super) struct Fields<'a> {
    metadata: Empty,
    status: &'static str,
    message: &'a str,
    reason: StatusReason,
    code: u16,
}

#[derive(Debug, Serialize)]
struct Empty {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_found_by_its_name_on_the_wire() {
        for reason in StatusReason::ALL {
            assert_eq!(StatusReason::from_wire(reason.as_str()), Some(reason));
            let wire = serde_json::to_string(&reason).unwrap();
            assert_eq!(wire, format!("\"{}\"", reason.as_str()));
        }
        assert_eq!(StatusReason::from_wire("Teapot"), None);
    }

    #[test]
    fn a_status_is_written_as_the_api_server_writes_one() {
        let status = Status::new(
            StatusReason::RequestEntityTooLarge,
            "17 MiB are \"too\" many",
        );
        assert_eq!(
            String::from_utf8(status.to_json()).unwrap(),
            concat!(
                r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#,
                r#""message":"17 MiB are \"too\" many","reason":"RequestEntityTooLarge","code":413}"#
            )
        );
    }
}
