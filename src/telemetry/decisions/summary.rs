//! What a decision log says of each policy: how many requests it rejects, or would if it were enforced,
//! by whom and about what.
//!
//! Reads any number of lines, whoever wrote them, in memory that does not grow with them: a hundred
//! megabytes were measured with names that are all different and as long as can be, and twenty with 150
//! policies whose messages are of two kilobytes. Requests are counted exactly as long as the records of one
//! lie close together (`seen`), and where they may not it is said; of users, objects and messages the most
//! frequent are known, with how often at least (`top`).

mod seen;
mod top;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, Read};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::record::{API_VERSION, KIND, Record};
use crate::diagnostics::printable;
use seen::Seen;
use top::{Named, Top};

/// Longest line that is read, in bytes; a record is at most a few kilobytes.
const MAX_LINE: u64 = 1024 * 1024;
/// So many policies are told apart.
const MOST_POLICIES: usize = 1_000;
/// Longest name of a policy that is kept, in bytes; Kubernetes' are at most 253.
const LONGEST_POLICY: usize = 512;
/// Longest kind of a policy that is kept, in bytes: more than `validating`.
const LONGEST_KIND: usize = 32;
/// What is beyond; no policy can be called that.
const OTHERS: &str = "(others)";

/// Which records are counted.
#[derive(Debug, Default)]
pub struct Filter {
    /// Those that were decided since then.
    pub since: Option<Timestamp>,
    /// Those of these policies; if there are none, of all.
    pub policies: Vec<String>,
    /// Those about objects of these namespaces; if there are none, about all.
    pub namespaces: Vec<String>,
}

/// What the log says.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    #[serde(skip)]
    filter: Filter,
    /// Which of `filter.policies` were met.
    #[serde(skip)]
    is_met: Vec<bool>,
    #[serde(skip)]
    seen: Seen,
    /// Records that were counted.
    pub decisions: u64,
    /// Records that were not, because nobody asked for them.
    pub left_out: LeftOut,
    /// Lines that are no records.
    pub unreadable: u64,
    /// So many requests at most are counted again.
    counted_again_at_most: u64,
    /// When the first of them was decided.
    #[serde(serialize_with = "time")]
    first: Option<Timestamp>,
    /// When the last was.
    #[serde(serialize_with = "time")]
    last: Option<Timestamp>,
    /// By policy and kind.
    #[serde(serialize_with = "values")]
    policies: BTreeMap<(String, String), PolicySummary>,
}

/// How many records nobody asked for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    /// Decided too long ago.
    pub older: u64,
    /// Of another policy or namespace.
    pub others: u64,
}

impl LeftOut {
    /// Says whether there are none.
    pub fn is_empty(self) -> bool {
        self.older + self.others == 0
    }
}

/// What it says of one policy.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct PolicySummary {
    policy: String,
    kind: String,
    requests: Requests,
    /// Those by which nothing was to be stored; whose they are, what about and why is not told.
    dry_run_requests: Requests,
    users: Top,
    objects: Top,
    messages: Top,
}

/// Requests, by what became of them.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Requests {
    denied: u64,
    would_be_denied: u64,
    warned: u64,
    patched: u64,
    would_be_patched: u64,
    excused: u64,
    errors: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Denied,
    WouldBeDenied,
    Warned,
    Patched,
    WouldBePatched,
    Excused,
    Error,
}

impl What {
    const ALL: [What; 7] = [
        What::Denied,
        What::WouldBeDenied,
        What::Warned,
        What::Patched,
        What::WouldBePatched,
        What::Excused,
        What::Error,
    ];

    /// Returns what came of a record's policy; an error may come with anything.
    fn of(record: &Record) -> u8 {
        let what = match (&*record.action, &*record.would_be) {
            _ if record.exception.is_some() => What::Excused,
            ("deny", _) => What::Denied,
            (_, "deny") => What::WouldBeDenied,
            ("mutate", _) => What::Patched,
            (_, "mutate") => What::WouldBePatched,
            ("warn", _) => What::Warned,
            _ => What::Error,
        };
        let is_error = record.error != "no_error" && what != What::Excused;
        what.bit() | if is_error { What::Error.bit() } else { 0 }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl Requests {
    fn of(&mut self, what: What) -> &mut u64 {
        match what {
            What::Denied => &mut self.denied,
            What::WouldBeDenied => &mut self.would_be_denied,
            What::Warned => &mut self.warned,
            What::Patched => &mut self.patched,
            What::WouldBePatched => &mut self.would_be_patched,
            What::Excused => &mut self.excused,
            What::Error => &mut self.errors,
        }
    }

    /// `3 would be denied, 1 patched`; empty if there are none.
    fn human(&self) -> String {
        let counts = [
            (self.would_be_denied, "would be denied"),
            (self.denied, "denied"),
            (self.warned, "warned of"),
            (self.would_be_patched, "would be patched"),
            (self.patched, "patched"),
            (self.excused, "excused"),
            (self.errors, "with an error"),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        counts.join(", ")
    }
}

impl Summary {
    /// Makes a summary of what passes the filter.
    pub fn new(filter: Filter) -> Self {
        Summary {
            is_met: vec![false; filter.policies.len()],
            filter,
            ..Summary::default()
        }
    }

    /// Adds the lines of a log.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn add(&mut self, mut log: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            if log.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            if !line.ends_with(b"\n") && line.len() as u64 == MAX_LINE {
                // What is inside a text that is too long is no line of its own.
                line.clear();
                log.skip_until(b'\n')?;
                self.unreadable += 1;
                continue;
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            match read(&line) {
                Some((record, time)) => self.take(&record, time),
                None => self.unreadable += 1,
            }
        }
    }

    /// Says whether a request would be rejected or patched that was not.
    pub fn would_break(&self) -> bool {
        let mut policies = self.policies.values();
        policies.any(|it| it.requests.would_be_denied + it.requests.would_be_patched > 0)
    }

    /// Returns the policies that were asked for and that no record is of, whenever it was made.
    pub fn not_met(&self) -> impl Iterator<Item = &str> {
        let policies = self.filter.policies.iter().zip(&self.is_met);
        policies.filter(|(_, is_met)| !**is_met).map(|it| &**it.0)
    }

    fn take(&mut self, record: &Record, time: Timestamp) {
        let mut is_asked_for = self.is_met.is_empty();
        for (policy, is_met) in self.filter.policies.iter().zip(&mut self.is_met) {
            if policy.eq_ignore_ascii_case(&record.policy) {
                *is_met = true;
                is_asked_for = true;
            }
        }
        let namespaces = &self.filter.namespaces;
        is_asked_for &= namespaces.is_empty() || namespaces.contains(&record.namespace);
        if !is_asked_for {
            self.left_out.others += 1;
        } else if self.filter.since.is_some_and(|since| time < since) {
            self.left_out.older += 1;
        } else {
            self.count(record, time);
        }
    }

    fn count(&mut self, record: &Record, time: Timestamp) {
        self.decisions += 1;
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
        self.last = Some(self.last.map_or(time, |last| last.max(time)));
        let name = shortened(&record.policy, LONGEST_POLICY);
        let kind = shortened(&record.policy_kind, LONGEST_KIND);
        let outcomes = What::of(record);
        let noted = self
            .seen
            .note(&record.request_uid, (&name, &kind), outcomes);
        self.counted_again_at_most += u64::from(noted.may_be_forgotten);
        let key = (name.into_owned(), kind.into_owned());
        let is_known = self.policies.contains_key(&key) || self.policies.len() < MOST_POLICIES;
        let key = match is_known {
            true => key,
            false => (OTHERS.to_owned(), String::new()),
        };
        let policy = self
            .policies
            .entry(key)
            .or_insert_with_key(|(policy, kind)| PolicySummary {
                policy: policy.clone(),
                kind: kind.clone(),
                ..PolicySummary::default()
            });
        let requests = match record.dry_run {
            true => &mut policy.dry_run_requests,
            false => &mut policy.requests,
        };
        for what in What::ALL {
            *requests.of(what) += u64::from(noted.outcomes & what.bit() != 0);
        }
        if !record.dry_run {
            if noted.is_first {
                policy.users.count(&record.user);
                policy.objects.count(&object(record));
            }
            policy.messages.count(&record.message);
        }
    }

    /// The summary for people.
    pub fn human(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        match (&self.first, &self.last) {
            (Some(first), Some(last)) => {
                let decisions = counted(self.decisions, "decision", "decisions");
                write!(text, "{decisions} from {first} to {last}")?;
            }
            _ => write!(text, "no decisions")?,
        }
        let LeftOut { older, others } = self.left_out;
        let left_out = [
            (older, "older"),
            (others, "of other policies or namespaces"),
        ];
        let left_out = left_out.iter().filter(|(count, _)| *count > 0);
        let left_out: Vec<String> = left_out
            .map(|(count, of)| format!("{count} {of}"))
            .collect();
        match left_out.is_empty() {
            true => writeln!(text)?,
            false => writeln!(text, "; left out: {}", left_out.join(", "))?,
        }
        let mut policies: Vec<&PolicySummary> = self.policies.values().collect();
        policies.sort_by_key(|it| {
            let requests = &it.requests;
            std::cmp::Reverse((requests.would_be_denied, requests.denied))
        });
        for policy in policies {
            policy.write(text)?;
        }
        let mut notes = Vec::new();
        if self.policies.len() > MOST_POLICIES {
            notes.push(format!(
                "more than {MOST_POLICIES} policies: the others are counted together"
            ));
        }
        if self.counted_again_at_most > 0 {
            let requests = counted(self.counted_again_at_most, "request", "requests");
            notes.push(format!(
                "at most {requests} may be counted more than once: more than {} others lie between",
                self.seen.most()
            ));
        }
        if self.unreadable > 0 {
            let lines = counted(
                self.unreadable,
                "line is no decision",
                "lines are no decisions",
            );
            notes.push(lines);
        }
        if !notes.is_empty() {
            writeln!(text, "\n{}", notes.join("\n"))?;
        }
        Ok(())
    }
}

impl PolicySummary {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        let PolicySummary {
            requests,
            dry_run_requests,
            ..
        } = self;
        // A log may have been written by anybody.
        write!(text, "\n{}", printable(&self.policy))?;
        if !self.kind.is_empty() {
            write!(text, " ({})", printable(&self.kind))?;
        }
        let requests = match *requests == Requests::default() {
            true => "none".to_owned(),
            false => requests.human(),
        };
        writeln!(text, ": requests {requests}")?;
        if *dry_run_requests != Requests::default() {
            writeln!(text, "  dry run: {}", dry_run_requests.human())?;
        }
        for (title, names) in [
            ("by", &self.users),
            ("about", &self.objects),
            ("why", &self.messages),
        ] {
            for (at, named) in names.shown().into_iter().enumerate() {
                let title = if at == 0 { title } else { "" };
                let name = printable(named.name);
                writeln!(text, "  {title:<6} {:>6}  {name}", number(&named))?;
            }
            let others = names.others();
            if others > 0 {
                writeln!(text, "  {:<6} {others:>6}  {OTHERS}", "")?;
            }
        }
        Ok(())
    }
}

fn number(named: &Named<'_>) -> String {
    let sign = if named.at_most.is_some() { "≥" } else { "" };
    format!("{sign}{}", named.count)
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Reads a line; `None` if it is no record of this version.
fn read(line: &[u8]) -> Option<(Record, Timestamp)> {
    let record = serde_json::from_slice::<Record>(line).ok()?;
    let is_decision = record.kind == KIND && record.api_version == API_VERSION;
    let is_whole = !record.request_uid.is_empty() && !record.policy.is_empty();
    let time = record.time.parse().ok()?;
    (is_decision && is_whole).then_some((record, time))
}

/// Cuts a text to so many bytes, and shows that it is cut.
fn shortened(text: &str, longest: usize) -> Cow<'_, str> {
    if text.len() <= longest {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(longest);
    Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default()))
}

/// `apps/v1/deployments shop/web`.
fn object(record: &Record) -> String {
    let resource = &record.resource;
    let mut text = String::new();
    for part in [&resource.group, &resource.version] {
        if !part.is_empty() {
            text.push_str(part);
            text.push('/');
        }
    }
    text.push_str(&resource.resource);
    if !resource.subresource.is_empty() {
        text.push('/');
        text.push_str(&resource.subresource);
    }
    text.push(' ');
    if !record.namespace.is_empty() {
        text.push_str(&record.namespace);
        text.push('/');
    }
    text.push_str(&record.name);
    text
}

fn values<S: Serializer>(
    policies: &BTreeMap<(String, String), PolicySummary>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(policies.values())
}

#[expect(clippy::ref_option, reason = "serde hands over what the field is")]
fn time<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.collect_str(time),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests;
