//! One record of the decision log: its format, `portcullis.dev/v1` `Decision`.
//!
//! Fields may be added; a field that is there keeps its name and meaning as long as the version does. A
//! record names what was asked and what was decided, and holds no part of an object but what a policy's
//! message says; where that may hold values of Secrets, it is replaced (`engine/secrecy.rs`).

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::admission::review::AdmissionRequest;
use crate::engine::secrecy::Secrecy;
use crate::engine::verdict::Decision;
use crate::patch::json::Operation;
use crate::policy::compile::CompiledPolicy;
use crate::policy::model::{Binding, PolicyKind, Reason};

/// `apiVersion` of the records.
pub const API_VERSION: &str = "portcullis.dev/v1";
/// `kind` of the records.
pub const KIND: &str = "Decision";

/// Longest message that is kept, in bytes.
const MAX_MESSAGE: usize = 2 * 1024;

/// A decision, as one line of the log.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    /// [`API_VERSION`].
    pub api_version: Cow<'static, str>,
    /// [`KIND`].
    pub kind: Cow<'static, str>,
    /// When it was decided: RFC 3339, in UTC.
    pub time: String,
    /// The uid of the review. The API server makes one for each call and writes it nowhere: an entry of its
    /// audit log is found by time, user and object.
    pub request_uid: String,
    /// Who asked, by name.
    pub user: String,
    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    pub operation: String,
    /// What was asked for.
    pub resource: Resource,
    /// Empty for what has none.
    pub namespace: String,
    /// Empty while it is yet to be generated.
    pub name: String,
    /// The policy.
    pub policy: String,
    /// `validating` or `mutating`.
    pub policy_kind: Cow<'static, str>,
    /// The binding; empty if the policy itself is at fault.
    pub binding: String,
    /// Which validation, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<usize>,
    /// What was done: `allow`, `deny`, `warn`, `audit` or `mutate`.
    pub action: Cow<'static, str>,
    /// What would have been done if the policy were enforced; else the same.
    pub would_be: Cow<'static, str>,
    /// `enforce`, or `audit` if it was only recorded.
    pub enforcement: Cow<'static, str>,
    /// The machine-readable reason of a denial.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: Cow<'static, str>,
    /// `no_error`, `compile_error`, `invalid_error` or `out_of_budget`.
    pub error: Cow<'static, str>,
    /// One line for people.
    pub message: String,
    /// CEL cost units that the policy has spent with this binding.
    pub cost: u64,
    /// How long that took.
    pub duration_seconds: f64,
    /// The PolicyException that excuses the request from the policy, which is allowed for that: its name, or
    /// `namespace/name` for one that excuses objects of its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<String>,
    /// Whether nothing was to be stored.
    pub dry_run: bool,
}

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The plural name.
    pub resource: String,
    /// `scale`, `status` and the like, or empty.
    pub subresource: String,
}

impl Record {
    /// Makes a record of what is known of a request; what was decided is still to be filled in.
    pub fn about(request: &AdmissionRequest<'_>) -> Self {
        Record {
            api_version: API_VERSION.into(),
            kind: KIND.into(),
            time: jiff::Timestamp::now().to_string(),
            request_uid: request.uid.to_string(),
            user: user(request.user_info),
            operation: request.operation.as_str().to_owned(),
            resource: Resource {
                group: request.resource.group.to_string(),
                version: request.resource.version.to_string(),
                resource: request.resource.resource.to_string(),
                subresource: request.sub_resource.to_string(),
            },
            namespace: request.namespace.to_string(),
            name: request.name.to_string(),
            dry_run: request.dry_run,
            error: "no_error".into(),
            ..Record::default()
        }
    }

    /// Says that an exception takes the decision back.
    #[must_use]
    pub fn excused_by(mut self, exception: &str) -> Self {
        self.action = "allow".into();
        self.would_be = "allow".into();
        self.exception = Some(exception.to_owned());
        self
    }

    /// Names the policy and what its evaluation took.
    pub fn by(
        mut self,
        policy: &CompiledPolicy,
        binding: Option<&Binding>,
        (cost, elapsed): (u64, Duration),
    ) -> Self {
        let policy = &policy.policy;
        self.policy.clone_from(&policy.name);
        self.policy_kind = match policy.kind {
            PolicyKind::Validating => "validating".into(),
            PolicyKind::Mutating => "mutating".into(),
        };
        self.binding = binding.map(|it| it.name.clone()).unwrap_or_default();
        self.cost = cost;
        self.duration_seconds = elapsed.as_secs_f64();
        self
    }
}

/// Returns the message of a decision as it may be kept.
pub fn message(decision: &Decision, request: &AdmissionRequest<'_>) -> String {
    shortened(&Secrecy::about(request).message(decision))
}

/// Returns what was changed, by its places alone.
pub fn changes(operations: &[Operation]) -> String {
    const MOST: usize = 20;
    let shown = operations.iter().take(MOST);
    let mut words: Vec<String> = shown
        .map(|operation| format!("{} {}", operation.op.name(), operation.path))
        .collect();
    if operations.len() > MOST {
        words.push(format!("and {} more", operations.len() - MOST));
    }
    shortened(&words.join(", "))
}

/// The name of a reason.
pub const fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Unauthorized => "Unauthorized",
        Reason::Forbidden => "Forbidden",
        Reason::Invalid => "Invalid",
        Reason::RequestEntityTooLarge => "RequestEntityTooLarge",
    }
}

/// Cuts a text to what is kept of it.
pub fn shortened(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_MESSAGE);
    text.get(..end).unwrap_or_default().to_owned()
}

fn user(info: Option<&RawValue>) -> String {
    #[derive(Deserialize)]
    struct UserInfo<'a> {
        #[serde(borrow, default)]
        username: Cow<'a, str>,
    }
    let info = info.and_then(|info| serde_json::from_str::<UserInfo<'_>>(info.get()).ok());
    info.map(|info| shortened(&info.username))
        .unwrap_or_default()
}
