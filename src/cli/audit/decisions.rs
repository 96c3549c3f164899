//! `portcullis audit --decisions`: what decision logs say would break if policies were enforced.

use std::collections::BTreeSet;
use std::io::{self, BufReader};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use jiff::Timestamp;

use super::super::{Exit, note, print};
use crate::diagnostics::Format;
use crate::sources::files;
use crate::telemetry::decisions::summary::Summary;
use crate::webhook::duration;

/// Which logs to read.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct DecisionArgs {
    /// Read decision logs of `serve --decision-log`, or - for standard input, and tell by policy which
    /// requests would be denied if it were enforced, by whom and about what; may be repeated
    #[arg(long = "decisions", value_name = "FILE|-", num_args = 1.., conflicts_with_all = [
        "kubeconfig", "context", "namespace", "kind", "policy", "report", "concurrency", "qps", "resume",
        "paths", "exceptions", "policy_namespace", "exception_namespaces", "now", "profile", "config",
    ])]
    pub files: Vec<PathBuf>,

    /// Leave out what was decided before: 90m, 24h, 7d, or a time as 2026-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", requires = "files", value_parser = since)]
    pub since: Option<Timestamp>,
}

/// Reads the logs and prints what they say; found is what would be denied or patched and was not.
///
/// # Errors
/// A log cannot be read, or the format is for findings only.
pub fn run(args: &DecisionArgs, format: Format) -> anyhow::Result<Exit> {
    anyhow::ensure!(
        matches!(format, Format::Human | Format::Json),
        "with `--decisions`, `--format` is human or json"
    );
    let mut summary = Summary::default();
    let mut known = BTreeSet::new();
    for path in args.files.iter().filter(|path| known.insert(*path)) {
        let name = path.display();
        let read = match path.as_os_str() == "-" {
            true => summary.add(io::stdin().lock(), args.since),
            false => {
                let file = files::open(path, None);
                let file = file
                    .map_err(|problem| anyhow::anyhow!("the decision log {}", problem.message))?;
                summary.add(BufReader::new(file), args.since)
            }
        };
        read.with_context(|| format!("cannot read the decision log `{name}`"))?;
    }
    match format {
        Format::Json => print(&format!("{}\n", serde_json::to_string_pretty(&summary)?)),
        _ => print(&summary.human()),
    }
    if summary.decisions == 0 && summary.unreadable > 0 {
        note("no line of it is a decision of portcullis");
        return Ok(Exit::Unusable);
    }
    Ok(match summary.would_break() {
        true => Exit::Found,
        false => Exit::Clean,
    })
}

fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let day = Duration::from_secs(24 * 60 * 60);
    let days = text
        .strip_suffix('d')
        .and_then(|days| days.parse::<u32>().ok());
    let age = match days {
        Some(days) => day.checked_mul(days),
        None => duration::parse(text).ok(),
    };
    let time = age.and_then(|age| SystemTime::now().checked_sub(age));
    time.and_then(|time| Timestamp::try_from(time).ok())
        .ok_or_else(|| "it is neither a duration, as 24h or 7d, nor a time".to_owned())
}
