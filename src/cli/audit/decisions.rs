//! `portcullis audit --decisions`: what decision logs say would break if policies were enforced.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use jiff::Timestamp;

use super::super::{Exit, note, print};
use crate::diagnostics::Format;
use crate::sources::files;
use crate::telemetry::decisions::summary::{Filter, Summary};
use crate::webhook::duration;

/// What gzip and zstd begin with: how logs that were rotated are kept.
const COMPRESSED: [&[u8]; 2] = [b"\x1f\x8b", b"\x28\xb5\x2f\xfd"];

/// Which logs to read.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct DecisionArgs {
    /// Read decision logs of `serve --decision-log`, or - for standard input, and tell by policy which
    /// requests would be denied if it were enforced, by whom and about what; with --policy and --namespace
    /// of these only; may be repeated
    #[arg(long = "decisions", value_name = "FILE|-", num_args = 1.., conflicts_with_all = [
        "kubeconfig", "context", "kind", "report", "concurrency", "qps", "resume", "paths", "exceptions",
        "policy_namespace", "exception_namespaces", "expires_within", "now", "profile", "config",
        "kubernetes_version", "color", "name",
    ])]
    pub files: Vec<PathBuf>,

    /// Leave out what was decided before: 90m, 24h, 1d12h, 1w, a day in UTC as 2026-01-31, or a time as
    /// 2026-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", requires = "files", value_parser = since)]
    pub since: Option<Timestamp>,
}

/// Reads the logs and prints what they say of the policies and namespaces that are named, or of all; found
/// is what would be denied or patched and was not.
///
/// # Errors
/// A log cannot be read, or the format is for findings only.
pub fn run(
    args: &DecisionArgs,
    (policies, namespaces): (&[String], &[String]),
    format: Format,
) -> anyhow::Result<Exit> {
    anyhow::ensure!(
        matches!(format, Format::Human | Format::Json),
        "with `--decisions`, `--format` is human or json"
    );
    let mut summary = Summary::new(Filter {
        since: args.since,
        policies: policies.to_vec(),
        namespaces: namespaces.to_vec(),
    });
    let mut known = BTreeSet::new();
    for path in args.files.iter().filter(|path| known.insert(*path)) {
        let name = path.display();
        let read = match path.as_os_str() == "-" {
            true => add(&mut summary, io::stdin().lock(), path),
            false => {
                let file = files::open(path, None);
                let file = file
                    .map_err(|problem| anyhow::anyhow!("the decision log {}", problem.message))?;
                add(&mut summary, BufReader::new(file), path)
            }
        };
        read.with_context(|| format!("cannot read the decision log `{name}`"))?;
    }
    match format {
        Format::Json => print(&format!("{}\n", serde_json::to_string_pretty(&summary)?)),
        _ => print(&summary.human()),
    }
    let has_none = summary.decisions == 0 && summary.left_out.is_empty();
    if has_none && summary.unreadable > 0 {
        note("no line of it is a decision of portcullis");
        return Ok(Exit::Unusable);
    }
    for policy in summary.not_met() {
        note(&format!("note: no decision is of a policy `{policy}`"));
    }
    Ok(match summary.would_break() {
        true => Exit::Found,
        false => Exit::Clean,
    })
}

/// Adds what a log says, if it is text.
fn add(summary: &mut Summary, mut log: impl BufRead, path: &Path) -> anyhow::Result<()> {
    let begins = log.fill_buf()?;
    anyhow::ensure!(
        !COMPRESSED.iter().any(|it| begins.starts_with(it)),
        "it is compressed: read `zcat {} | portcullis audit --decisions -`",
        path.display()
    );
    Ok(summary.add(log)?)
}

/// Reads a time that has come.
fn since(text: &str) -> Result<Timestamp, String> {
    let now = SystemTime::now();
    let midnight = || format!("{text}T00:00:00Z").parse().ok();
    let ago = || Timestamp::try_from(now.checked_sub(age(text)?)?).ok();
    let time = text.parse().ok().or_else(midnight).or_else(ago);
    let time = time.ok_or("it is neither a duration, as 24h or 1d12h, nor a day or a time")?;
    let is_future = Timestamp::try_from(now).is_ok_and(|now| time > now);
    match is_future {
        true => Err("it has not come yet".to_owned()),
        false => Ok(time),
    }
}

/// Reads weeks and days, and then what else durations have.
fn age(text: &str) -> Option<Duration> {
    let (mut age, mut rest) = (Duration::ZERO, text);
    for (unit, hours) in [('w', 7 * 24), ('d', 24)] {
        if let Some((count, after)) = rest.split_once(unit) {
            let hour = Duration::from_secs(60 * 60);
            let time = hour.checked_mul(count.parse::<u32>().ok()?.checked_mul(hours)?)?;
            age = age.checked_add(time)?;
            rest = after;
        }
    }
    match rest.is_empty() && !text.is_empty() {
        true => Some(age),
        false => age.checked_add(duration::parse(rest).ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::audit::Args;

    #[test]
    fn an_age_has_weeks_days_and_what_durations_have() {
        for (text, hours) in [
            ("24h", 24),
            ("1d", 24),
            ("1d12h", 36),
            ("1w", 168),
            ("2w1d0.5h30m", 361),
            ("0", 0),
        ] {
            let expected = Duration::from_secs(hours * 60 * 60);
            assert_eq!(age(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "d",
            "1",
            "1d12",
            "-1d",
            "1.5d",
            "12h1d",
            "1d1w",
            "99999999999w",
        ] {
            assert_eq!(age(text), None, "{text}");
        }
    }

    #[test]
    fn what_was_is_a_day_a_time_or_an_age() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let midnight = time("2026-01-31T00:00:00Z");
        assert_eq!(since("2026-01-31"), Ok(midnight));
        assert_eq!(since("2026-01-31T02:00:00+02:00"), Ok(midnight));
        let week = since("1w").unwrap();
        let now = Timestamp::try_from(SystemTime::now()).unwrap();
        let age = now.as_second() - week.as_second();
        assert!((604_800..604_810).contains(&age), "{age}");
        for text in ["2999-01-01", "2999-01-01T00:00:00Z"] {
            assert_eq!(since(text), Err("it has not come yet".to_owned()), "{text}");
        }
        for text in ["tomorrow", "2026-02-30", "2026-01", "T", ""] {
            let refused = since(text).unwrap_err();
            assert!(refused.contains("neither a duration"), "{text}: {refused}");
        }
    }

    #[test]
    fn every_option_that_would_do_nothing_is_refused() {
        use clap::Args as _;
        let command = Args::augment_args(clap::Command::new("audit"));
        let arguments = || command.get_arguments();
        let files = arguments().find(|it| it.get_id() == "files").unwrap();
        let refused = command.get_arg_conflicts_with(files);
        let heeded = ["files", "since", "namespace", "policy", "format"];
        for argument in arguments() {
            let id = argument.get_id().as_str();
            let is_refused = refused.iter().any(|it| it.get_id() == id);
            assert_ne!(is_refused, heeded.contains(&id), "{id}");
        }
    }
}
