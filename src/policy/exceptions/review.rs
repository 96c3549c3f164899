//! What is wrong with exceptions that can be read: those that have ended or soon will, that nobody
//! needs, that name no policy, and that excuse everything.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::cel::value::Timestamp;
use crate::diagnostics::Diagnostic;
use crate::policy::compile::CompiledPolicy;
use crate::policy::model::PolicyScope;
use crate::policy::set::PolicySet;
use crate::text::nearest;

use super::{CompiledException, Exceptions, Pattern, State};

/// How long before it ends an exception is spoken of.
pub const NOTICE_DAYS: u32 = 14;

/// The time, and how long before they end exceptions are spoken of.
#[derive(Debug, Clone, Copy)]
pub struct Calendar {
    /// Now, or when things are to be as if it were.
    pub now: Timestamp,
    /// Days.
    pub notice_days: u32,
}

/// Returns a finding for each exception that has ended or soon will.
pub fn expiring(exceptions: &Exceptions, calendar: Calendar) -> Vec<Diagnostic> {
    let all = exceptions.all().iter();
    all.filter_map(|it| {
        let (expires, span) = it.exception.expires.as_ref()?;
        let name = it.exception.full_name();
        let finding = match it.state(calendar.now, calendar.notice_days) {
            State::Active | State::Faulty => return None,
            State::Expired => Diagnostic::warning(
                "exception/expired",
                format!("the exception `{name}` expired: {expires}"),
            )
            .help("it excuses nothing any more; remove it, or have it granted anew"),
            State::Expiring => {
                let left = match expires.days_left(calendar.now)? {
                    0 => "in less than a day".to_owned(),
                    1 => "in 1 day".to_owned(),
                    days => format!("in {days} days"),
                };
                let message = format!("the exception `{name}` expires {left}: {expires}");
                let owner = &it.exception.owner;
                Diagnostic::warning("exception/expires-soon", message).help(format!(
                    "what it excuses will be rejected then; ask {owner}, who answers for it"
                ))
            }
        };
        Some(finding.at(&it.exception.origin.source, *span))
    })
    .collect()
}

/// Returns a finding for each policy that an exception names and that is not there, or of which nothing
/// is ever excused.
pub fn unknown_policies(
    exceptions: &Exceptions,
    policies: &[Arc<CompiledPolicy>],
) -> Vec<Diagnostic> {
    let all = exceptions.all().iter();
    let named = all.flat_map(|it| it.exception.policies.iter().map(move |named| (it, named)));
    named
        .filter_map(|(it, (pattern, span))| {
            let problem = unknown_policy(pattern, policies)?;
            Some(problem.at(&it.exception.origin.source, *span))
        })
        .collect()
}

fn unknown_policy(pattern: &Pattern, policies: &[Arc<CompiledPolicy>]) -> Option<Diagnostic> {
    const CODE: &str = "exception/unknown-policy";
    let text = pattern.as_str();
    let policies = policies.iter().map(|policy| &policy.policy);
    let mut fitting = policies
        .clone()
        .filter(|it| pattern.fits(&it.name))
        .peekable();
    if fitting.peek().is_none() {
        let is_name = pattern.is_name();
        let message = match is_name {
            true => format!("there is no policy `{text}`"),
            false => format!("there is no policy with a name like `{text}`"),
        };
        let names = policies.map(|it| it.name.as_str());
        let help = match nearest(text, names) {
            Some(meant) if is_name => format!("did you mean `{meant}`?"),
            _ => "the exception excuses nothing of it; name a policy as its findings do".to_owned(),
        };
        return Some(Diagnostic::warning(CODE, message).help(help));
    }
    let is_about_cluster = fitting.all(|it| it.scope == PolicyScope::Cluster);
    is_about_cluster.then(|| {
        let message = format!("`{text}` is about the cluster as a whole");
        let help =
            "exceptions are about requests; configure the policy otherwise, or switch it off";
        Diagnostic::warning(CODE, message).help(help)
    })
}

/// Returns a finding for each exception that leaves little of its policies.
pub fn too_wide(exceptions: &Exceptions) -> Vec<Diagnostic> {
    let all = exceptions.all().iter();
    all.filter_map(|it| {
        let exception = &it.exception;
        let name = exception.full_name();
        let is_limited = exception.reach == super::Reach::OwnNamespace;
        if let Some((_, span)) = exception.policies.iter().find(|(it, _)| it.fits_all()) {
            let message = format!("the exception `{name}` is about every policy");
            let help = "policies to come are excused, too; name those that are meant";
            let finding = Diagnostic::warning("exception/too-wide", message).help(help);
            return Some(finding.at(&exception.origin.source, *span));
        }
        if is_limited || it.is_faulty() || !exception.matching.is_about_all_objects() {
            return None;
        }
        let message = format!("the exception `{name}` is about every object of its resources");
        let help = "say which with `names`, `namespaces`, a selector or a `condition`; a policy that \
                    nobody is to keep is switched off in the configuration";
        let finding = Diagnostic::warning("exception/too-wide", message).help(help);
        Some(finding.at(&exception.origin.source, exception.origin.span))
    })
    .collect()
}

/// Returns a finding for each exception in force that is not among those used, by their full names.
///
/// `run` are the policies that were evaluated: one that is about others, too, may be needed by those.
pub fn unused(
    set: &PolicySet,
    now: Timestamp,
    run: &BTreeSet<&str>,
    used: &BTreeSet<String>,
) -> Vec<Diagnostic> {
    let in_force = set
        .exceptions()
        .all()
        .iter()
        .filter(|it| it.is_in_force(Some(now)));
    let names = || set.policies().iter().map(|it| it.policy.name.as_str());
    let is_judged = |it: &CompiledException| {
        let mut named = names().filter(|name| it.exception.names_policy(name));
        named.all(|name| run.contains(name))
    };
    let unused = in_force.filter(|it| !used.contains(&it.exception.full_name()) && is_judged(it));
    unused
        .map(|it| {
            let exception = &it.exception;
            let name = exception.full_name();
            let message = format!("the exception `{name}` was not needed");
            Diagnostic::warning("exception/unused", message)
                .at(&exception.origin.source, exception.origin.span)
                .help(
                    "no object of this run violates its policies where it fits; remove it if there \
                     are no others",
                )
        })
        .collect()
}
