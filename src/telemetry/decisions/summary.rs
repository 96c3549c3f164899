//! What a decision log says of each policy: how many requests it rejects, or would if it were enforced,
//! by whom and about what.
//!
//! Reads any number of lines in memory that does not grow with them: of names only so many are told
//! apart, and what comes later is counted as others.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, Read};

use jiff::Timestamp;
use serde::Serialize;

use super::record::{KIND, Record};

/// Longest line that is read, in bytes; a record is at most a few kilobytes.
const MAX_LINE: u64 = 1024 * 1024;
/// So many policies are told apart.
const MOST_POLICIES: usize = 10_000;
/// So many users, objects and messages of a policy are told apart.
const MOST_NAMES: usize = 1_000;
/// So many of them are shown.
const MOST_SHOWN: usize = 5;
/// What is beyond.
const OTHERS: &str = "others";

/// What the log says.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Records that were counted.
    pub decisions: u64,
    /// Lines that are no records.
    pub unreadable: u64,
    /// When the first and the last of them were made.
    pub first: Option<String>,
    /// See `first`.
    pub last: Option<String>,
    /// By policy and kind.
    #[serde(serialize_with = "values")]
    policies: BTreeMap<(String, String), PolicySummary>,
}

/// What it says of one policy.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicySummary {
    policy: String,
    kind: String,
    requests: Requests,
    #[serde(serialize_with = "top")]
    users: Names,
    #[serde(serialize_with = "top")]
    objects: Names,
    #[serde(serialize_with = "top")]
    messages: Names,
    /// The request that was counted last, and how: a request is many records if it breaks many rules.
    #[serde(skip)]
    counted: (String, Vec<What>),
}

/// Requests, by what became of them.
#[derive(Debug, Default, Serialize)]
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

#[derive(Debug, Default)]
struct Names(BTreeMap<String, u64>);

impl Names {
    fn count(&mut self, name: String) {
        let is_known = self.0.contains_key(&name) || self.0.len() < MOST_NAMES;
        let name = if is_known { name } else { OTHERS.to_owned() };
        *self.0.entry(name).or_default() += 1;
    }

    /// The most frequent first.
    fn top(&self) -> Vec<(&str, u64)> {
        let names = self.0.iter();
        let mut names: Vec<(&str, u64)> = names.map(|(name, count)| (&**name, *count)).collect();
        names.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
        names.truncate(MOST_SHOWN);
        names
    }
}

impl Summary {
    /// Adds the lines of a log, those made before `since` left out.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn add(&mut self, mut log: impl BufRead, since: Option<Timestamp>) -> std::io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            if log.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let record = serde_json::from_slice::<Record>(&line);
            let record = record.ok().filter(|record| record.kind == KIND);
            let time = record
                .as_ref()
                .and_then(|it| it.time.parse::<Timestamp>().ok());
            match (record, time) {
                (Some(record), Some(time)) => {
                    if since.is_none_or(|since| time >= since) {
                        self.count(record);
                    }
                }
                _ => self.unreadable += 1,
            }
        }
    }

    /// Says whether a request would be rejected or patched that was not.
    pub fn would_break(&self) -> bool {
        let mut policies = self.policies.values();
        policies.any(|it| it.requests.would_be_denied + it.requests.would_be_patched > 0)
    }

    fn count(&mut self, record: Record) {
        self.decisions += 1;
        let time = Some(record.time.clone());
        if self.first.is_none() || time < self.first {
            self.first.clone_from(&time);
        }
        if time > self.last {
            self.last = time;
        }
        let key = (record.policy.clone(), record.policy_kind.to_string());
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
        policy.count(record);
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
                writeln!(text, "{} decisions from {first} to {last}", self.decisions)?;
            }
            _ => writeln!(text, "no decisions")?,
        }
        let mut policies: Vec<&PolicySummary> = self.policies.values().collect();
        policies.sort_by_key(|it| {
            let requests = &it.requests;
            std::cmp::Reverse((requests.would_be_denied, requests.denied))
        });
        for policy in policies {
            policy.write(text)?;
        }
        if self.unreadable > 0 {
            writeln!(text, "\n{} lines are no decisions", self.unreadable)?;
        }
        Ok(())
    }
}

impl PolicySummary {
    fn count(&mut self, record: Record) {
        let what = match (&*record.action, &*record.would_be) {
            _ if record.exception.is_some() => What::Excused,
            ("deny", _) => What::Denied,
            (_, "deny") => What::WouldBeDenied,
            ("mutate", _) => What::Patched,
            (_, "mutate") => What::WouldBePatched,
            ("warn", _) => What::Warned,
            _ => What::Error,
        };
        let mut kinds = vec![what];
        if record.error != "no_error" && !matches!(what, What::Error | What::Excused) {
            kinds.push(What::Error);
        }
        if self.counted.0 != record.request_uid {
            self.counted = (record.request_uid.clone(), Vec::new());
            self.users.count(record.user.clone());
            self.objects.count(object(&record));
        }
        for what in kinds {
            if self.counted.1.contains(&what) {
                continue;
            }
            self.counted.1.push(what);
            let requests = &mut self.requests;
            *match what {
                What::Denied => &mut requests.denied,
                What::WouldBeDenied => &mut requests.would_be_denied,
                What::Warned => &mut requests.warned,
                What::Patched => &mut requests.patched,
                What::WouldBePatched => &mut requests.would_be_patched,
                What::Excused => &mut requests.excused,
                What::Error => &mut requests.errors,
            } += 1;
        }
        self.messages.count(record.message);
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let requests = &self.requests;
        let counts = [
            (requests.would_be_denied, "would be denied"),
            (requests.denied, "denied"),
            (requests.warned, "warned of"),
            (requests.would_be_patched, "would be patched"),
            (requests.patched, "patched"),
            (requests.excused, "excused"),
            (requests.errors, "with an error"),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        writeln!(
            text,
            "\n{} ({}): requests {}",
            self.policy,
            self.kind,
            counts.join(", ")
        )?;
        for (title, names) in [
            ("by", &self.users),
            ("about", &self.objects),
            ("why", &self.messages),
        ] {
            for (at, (name, count)) in names.top().into_iter().enumerate() {
                let title = if at == 0 { title } else { "" };
                // A log may have been written by anybody.
                let name: String = name.chars().filter(|c| !c.is_control()).collect();
                writeln!(text, "  {title:<6} {count:>6}  {name}")?;
            }
        }
        Ok(())
    }
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

fn values<S: serde::Serializer>(
    policies: &BTreeMap<(String, String), PolicySummary>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(policies.values())
}

fn top<S: serde::Serializer>(names: &Names, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Named<'a> {
        name: &'a str,
        count: u64,
    }
    let named = names.top().into_iter();
    serializer.collect_seq(named.map(|(name, count)| Named { name, count }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(uid: &str, policy: &str, actions: (&'static str, &'static str), name: &str) -> String {
        let record = Record {
            kind: KIND.into(),
            time: "2026-01-02T03:04:05Z".to_owned(),
            request_uid: uid.to_owned(),
            user: "ann".to_owned(),
            policy: policy.to_owned(),
            policy_kind: "validating".into(),
            action: actions.0.into(),
            would_be: actions.1.into(),
            error: "no_error".into(),
            message: format!("{name} is wrong"),
            name: name.to_owned(),
            ..Record::default()
        };
        serde_json::to_string(&record).unwrap() + "\n"
    }

    fn summary(log: &str, since: Option<&str>) -> Summary {
        let mut summary = Summary::default();
        let since = since.map(|since| since.parse().unwrap());
        summary.add(log.as_bytes(), since).unwrap();
        summary
    }

    #[test]
    fn requests_are_counted_once_for_each_policy_and_outcome() {
        let mut log = String::new();
        for at in 0..3 {
            let uid = at.to_string();
            log.push_str(&line(&uid, "a", ("audit", "deny"), "web"));
            log.push_str(&line(&uid, "a", ("audit", "deny"), "web"));
            log.push_str(&line(&uid, "b", ("deny", "deny"), "web"));
        }
        log.push_str("no record\n{}\n");
        let summary = summary(&log, None);
        assert_eq!((summary.decisions, summary.unreadable), (9, 2));
        assert!(summary.would_break());
        insta::assert_snapshot!(summary.human(), @r"
        9 decisions from 2026-01-02T03:04:05Z to 2026-01-02T03:04:05Z

        a (validating): requests 3 would be denied
          by          3  ann
          about       3   web
          why         6  web is wrong

        b (validating): requests 3 denied
          by          3  ann
          about       3   web
          why         3  web is wrong

        2 lines are no decisions
        ");
    }

    #[test]
    fn what_is_older_is_left_out() {
        let log = line("1", "a", ("audit", "deny"), "web");
        assert_eq!(summary(&log, Some("2026-01-02T03:04:06Z")).decisions, 0);
        assert_eq!(summary(&log, Some("2026-01-02T03:04:05Z")).decisions, 1);
    }

    #[test]
    fn what_is_told_apart_is_bounded() {
        let log: String = (0..2 * MOST_NAMES)
            .map(|at| line(&at.to_string(), "a", ("audit", "deny"), &format!("n{at}")))
            .collect();
        let summary = summary(&log, None);
        let policy = summary.policies.values().next().unwrap();
        assert_eq!(policy.requests.would_be_denied, 2 * MOST_NAMES as u64);
        assert_eq!(policy.objects.0.len(), MOST_NAMES + 1);
        let long = format!("{}\n{log}", "x".repeat(3 * MAX_LINE as usize));
        assert_eq!(
            super::Summary::default().add(long.as_bytes(), None).ok(),
            Some(())
        );
    }
}
