//! How what is excused is recorded with the request.

use serde_json::{Value, json};

use super::secrecy::Secrecy;
use super::verdict::{Decision, Excused, Verdict};

/// The key of the annotation; that of a policy has a dot in it.
const KEY: &str = "excused";

/// Most uses of exceptions that are recorded with one request, and messages of one; the rest is counted.
const MAX_RECORDED: usize = 20;
const MAX_MESSAGES: usize = 5;

/// Longest message that is recorded, in bytes.
const MAX_MESSAGE_BYTES: usize = 256;

/// Returns the annotation that names each exception that was used, with its policy, who answers for it
/// and until when, and what it has taken back.
pub(super) fn annotation(verdict: &Verdict) -> Option<(String, String)> {
    let Verdict {
        excused, secrecy, ..
    } = verdict;
    if excused.is_empty() {
        return None;
    }
    let mut uses: Vec<Value> = excused
        .iter()
        .take(MAX_RECORDED)
        .map(|it| of_one(it, *secrecy))
        .collect();
    if let Some(others @ 1..) = excused.len().checked_sub(MAX_RECORDED) {
        uses.push(json!({ "more": others }));
    }
    Some((KEY.to_owned(), Value::from(uses).to_string()))
}

fn of_one(excused: &Excused, secrecy: Secrecy) -> Value {
    let exception = &excused.exception.exception;
    let expires = exception.expires.as_ref();
    let messages = excused.decisions.iter().take(MAX_MESSAGES);
    let mut recorded = json!({
        "policy": excused.policy.policy.name,
        "exception": exception.full_name(),
        "owner": exception.owner,
        "reason": exception.reason,
        "expires": expires.map(|(expires, _)| expires.to_string()),
        "violations": excused.decisions.len(),
        "messages": messages.map(|it| shown(it, secrecy)).collect::<Vec<_>>(),
    });
    if let (Some(ticket), Value::Object(fields)) = (&exception.ticket, &mut recorded) {
        fields.insert("ticket".to_owned(), ticket.as_str().into());
    }
    recorded
}

fn shown(decision: &Decision, secrecy: Secrecy) -> String {
    let message = secrecy.message(decision);
    let end = message.floor_char_boundary(MAX_MESSAGE_BYTES);
    message.get(..end).unwrap_or_default().to_owned()
}
