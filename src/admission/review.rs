//! The AdmissionReview an API server sends, read in one pass with its objects left raw.
//!
//! Unknown fields are passed over, because API servers add some; a key given twice is refused,
//! because what decides and what is stored could then be two different things.
//!
//! The objects are skipped iteratively and so at any depth; how deep they may be is decided by
//! [`crate::json`], which parses them if a policy matches. What no policy reads is not parsed: it can
//! harm nobody here, and the API server that stores it has parsed it.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::DeserializeSeed;
use serde_json::error::Category;
use serde_json::value::RawValue;

use read::{Fields, ReviewDraft};

mod read;

/// The `apiVersion` of the reviews that are answered.
pub const API_VERSION: &str = "admission.k8s.io/v1";
/// The `kind` of a review.
pub const KIND: &str = "AdmissionReview";

/// A request to admit something: `admission.k8s.io/v1` AdmissionRequest, borrowed from the body.
///
/// Fields Kubernetes leaves out when they are empty are empty here too.
#[derive(Debug, Clone)]
pub struct AdmissionRequest<'a> {
    /// Identifies the request; the answer must carry it. Never empty.
    pub uid: Cow<'a, str>,
    /// The kind of `object` as it was converted for the policy: what rules are matched against.
    pub kind: GroupVersionKind<'a>,
    /// The resource as it was converted for the policy.
    pub resource: GroupVersionResource<'a>,
    /// `scale`, `status` and the like, or empty.
    pub sub_resource: Cow<'a, str>,
    /// The kind the client sent, if it was told.
    pub request_kind: Option<GroupVersionKind<'a>>,
    /// The resource the client addressed, if it was told.
    pub request_resource: Option<GroupVersionResource<'a>>,
    /// The subresource the client addressed, or empty.
    pub request_sub_resource: Cow<'a, str>,
    /// The object's name; empty while it is yet to be generated, and for collections.
    pub name: Cow<'a, str>,
    /// The object's namespace; empty for cluster-scoped objects.
    pub namespace: Cow<'a, str>,
    /// What is to be done.
    pub operation: Operation,
    /// Who asks: an `authentication.k8s.io/v1` UserInfo.
    pub user_info: Option<&'a RawValue>,
    /// The object as it would be; `None` for DELETE. Always a JSON object.
    pub object: Option<&'a RawValue>,
    /// The object as it is; `None` for CREATE and CONNECT. Always a JSON object.
    pub old_object: Option<&'a RawValue>,
    /// Whether nothing will be stored.
    pub dry_run: bool,
    /// The operation's options (CreateOptions, …); `None` for CONNECT.
    pub options: Option<&'a RawValue>,
}

impl AdmissionRequest<'_> {
    /// Says whether its objects are Secrets, of whose values nothing may be kept.
    pub fn is_about_secrets(&self) -> bool {
        let is_secrets =
            |it: &GroupVersionResource<'_>| it.group.is_empty() && it.resource == "secrets";
        is_secrets(&self.resource) || self.request_resource.as_ref().is_some_and(is_secrets)
    }
}

/// A kind of objects.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupVersionKind<'a> {
    /// The API group; empty for the core group.
    pub group: Cow<'a, str>,
    /// The version.
    pub version: Cow<'a, str>,
    /// The kind.
    pub kind: Cow<'a, str>,
}

/// A resource objects are reached under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupVersionResource<'a> {
    /// The API group; empty for the core group.
    pub group: Cow<'a, str>,
    /// The version.
    pub version: Cow<'a, str>,
    /// The plural name of the resource.
    pub resource: Cow<'a, str>,
}

impl GroupVersionKind<'_> {
    /// Borrows the names from this one.
    pub fn reborrow(&self) -> GroupVersionKind<'_> {
        GroupVersionKind {
            group: Cow::Borrowed(&self.group),
            version: Cow::Borrowed(&self.version),
            kind: Cow::Borrowed(&self.kind),
        }
    }
}

impl GroupVersionResource<'_> {
    /// Borrows the names from this one.
    pub fn reborrow(&self) -> GroupVersionResource<'_> {
        GroupVersionResource {
            group: Cow::Borrowed(&self.group),
            version: Cow::Borrowed(&self.version),
            resource: Cow::Borrowed(&self.resource),
        }
    }
}

/// What a request wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// An object is created.
    Create,
    /// An object is changed.
    Update,
    /// An object is deleted.
    Delete,
    /// A connection into an object is opened: exec, attach, port-forward, proxy.
    Connect,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Operation; 4] = [
        Operation::Create,
        Operation::Update,
        Operation::Delete,
        Operation::Connect,
    ];

    /// Returns the name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Create => "CREATE",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
            Operation::Connect => "CONNECT",
        }
    }

    /// Returns the operation of this name on the wire.
    pub fn from_wire(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operation| operation.as_str() == name)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Who asks, as far as logs and reports tell it.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
pub struct UserInfo<'a> {
    /// The user's name.
    #[serde(borrow)]
    pub username: Cow<'a, str>,
    /// The groups the user is in.
    pub groups: Vec<String>,
}

impl<'a> AdmissionRequest<'a> {
    /// Returns who asks; empty if the request does not say so in a readable way.
    pub fn user(&self) -> UserInfo<'a> {
        self.user_info
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
            .unwrap_or_default()
    }
}

/// Why a body is not a review that can be answered. Each is the sender's fault: HTTP 400.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReviewError {
    /// There are no bytes.
    #[error("the body is empty")]
    Empty,
    /// A byte sequence that is no UTF-8.
    #[error("the body is not UTF-8 (byte {offset})")]
    NotUtf8 {
        /// How many bytes before it are good.
        offset: usize,
    },
    /// The bytes are not JSON.
    #[error("the body is not JSON (line {line}, column {column})")]
    NotJson {
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
    },
    /// The JSON ends too early.
    #[error("the body is truncated (line {line}, column {column})")]
    Truncated {
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
    },
    /// JSON, but something else.
    #[error("the body is not an AdmissionReview but {found}")]
    NotAReview {
        /// What it is, in words.
        found: String,
    },
    /// A review of a version that is not spoken.
    #[error("`{found}` is not a supported version of AdmissionReview")]
    WrongApiVersion {
        /// The `apiVersion` given.
        found: String,
    },
    /// An answer where a question should be.
    #[error("the AdmissionReview holds a response instead of a request")]
    ResponseInsteadOfRequest,
    /// A review of nothing.
    #[error("the AdmissionReview holds no request")]
    NoRequest,
    /// A field that must be there and not empty.
    #[error("`{field}` is missing or empty")]
    MissingField {
        /// Its path.
        field: &'static str,
    },
    /// An object, the user or the options are neither a JSON object nor null.
    #[error("`{field}` is not a JSON object")]
    NotAnObject {
        /// Its path.
        field: &'static str,
    },
    /// A field of the envelope is of another type than it must have.
    #[error("a field of the AdmissionReview has the wrong type (line {line}, column {column})")]
    WrongType {
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
    },
    /// A key given twice.
    #[error("the AdmissionReview has the key `{key}` twice (line {line}, column {column})")]
    DuplicateKey {
        /// The key.
        key: String,
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
    },
    /// An operation Kubernetes does not have.
    #[error("unknown operation `{found}`")]
    UnknownOperation {
        /// The operation given.
        found: String,
    },
}

impl ReviewError {
    /// Returns what the sender can do about it.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            ReviewError::Empty | ReviewError::NotAReview { .. } | ReviewError::NoRequest => {
                Some("post an `admission.k8s.io/v1` AdmissionReview with a `request`")
            }
            ReviewError::WrongApiVersion { .. } => {
                Some("set `admissionReviewVersions: [v1]` in the webhook configuration")
            }
            ReviewError::ResponseInsteadOfRequest => {
                Some("post the review as the API server sends it, not an answer to it")
            }
            ReviewError::MissingField {
                field: "request.uid",
            } => Some("give the request a `uid`; the answer must carry it"),
            ReviewError::UnknownOperation { .. } => {
                Some("an operation is CREATE, UPDATE, DELETE or CONNECT")
            }
            _ => None,
        }
    }
}

/// Parses the body of an AdmissionReview; nothing but white space may follow it.
///
/// One pass; the objects, the options and the user are not copied and not read.
pub fn parse(body: &[u8]) -> Result<AdmissionRequest<'_>, ReviewError> {
    let text = std::str::from_utf8(body).map_err(|error| ReviewError::NotUtf8 {
        offset: error.valid_up_to(),
    })?;
    let Some(first) = text.trim_start_matches(JSON_SPACE).chars().next() else {
        return Err(ReviewError::Empty);
    };
    let duplicate = Cell::new(None);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = Fields::new(&duplicate)
        .deserialize(&mut deserializer)
        .and_then(|review| deserializer.end().map(|()| review));
    match parsed {
        Ok(Some(review)) => ReviewDraft::check(review)?.check(),
        Ok(None) => Err(something_else(first)),
        Err(error) => Err(class(&error, duplicate.take(), first)),
    }
}

/// The white space of JSON.
const JSON_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

fn class(error: &serde_json::Error, duplicate: Option<String>, first: char) -> ReviewError {
    let (line, column) = (error.line(), error.column());
    match (duplicate, error.classify()) {
        (Some(key), _) => ReviewError::DuplicateKey { key, line, column },
        (None, Category::Eof) => ReviewError::Truncated { line, column },
        (None, Category::Data) if first != '{' => something_else(first),
        (None, Category::Data) => ReviewError::WrongType { line, column },
        (None, _) => ReviewError::NotJson { line, column },
    }
}

fn something_else(first: char) -> ReviewError {
    let found = match first {
        '[' => "a list",
        '"' => "a string",
        't' | 'f' => "a boolean",
        'n' => "null",
        _ => "a number",
    };
    ReviewError::NotAReview {
        found: found.to_owned(),
    }
}

#[cfg(test)]
mod tests;
