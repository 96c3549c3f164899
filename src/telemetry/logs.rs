//! Log lines on standard error, for people or as JSON.
//!
//! Objects, secrets and tokens never appear in them; neither do the messages of panics, which may
//! quote what was being read. Nobody waits for lines to be written ([`lines`]), and what every request
//! could cause is logged once a minute ([`seldom`]).

pub mod lines;
pub mod seldom;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::str::FromStr;
use std::time::{Duration, Instant};

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use lines::Lines;
use seldom::Seldom;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One line a person reads, coloured when standard error is a terminal.
    #[default]
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

impl LogFormat {
    /// The names [`FromStr`] knows.
    pub const NAMES: [&'static str; 2] = ["text", "json"];
}

impl FromStr for LogFormat {
    type Err = UnknownLogFormat;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err(UnknownLogFormat),
        }
    }
}

/// The name is none of [`LogFormat::NAMES`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a log format is `text` or `json`")]
pub struct UnknownLogFormat;

/// Which lines are logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// Directives of `tracing`: a level (`info`), or levels by module (`info,portcullis=debug`).
    pub level: String,
    /// How lines are written.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig {
            level: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

/// Says why `directives` cannot be used as [`LogConfig::level`].
pub fn check_level(directives: &str) -> Result<(), String> {
    // A word that is no level would be a module, of which everything is logged, and nothing of all others.
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    let mut words = directives.split(',').map(str::trim);
    if let Some(word) = words.find(|it| !it.is_empty() && !it.contains(['=', '[']) && !is_level(it))
    {
        return Err(format!(
            "`{word}` is no level: one of error, warn, info, debug, trace, off, or of a module as \
             `{word}=debug`"
        ));
    }
    EnvFilter::try_new(directives)
        .map(drop)
        .map_err(|problem| problem.to_string())
}

/// How long what is queued has at the end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The log of the process; at the end what is queued is written, as long as there is time for it.
#[derive(Debug)]
pub struct Log(Lines);

impl Log {
    /// Returns the lines on their way.
    pub fn lines(&self) -> &Lines {
        &self.0
    }

    /// Writes what is queued, so that what is written besides comes after it.
    pub fn flush(&self) {
        self.0.flush(LAST_WORDS);
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Starts logging; of a second call in one process nothing is logged.
///
/// Directives that do not parse ([`check_level`]) log as `info`.
///
/// # Errors
/// The system gives no thread, or no descriptor.
pub fn start(config: &LogConfig) -> io::Result<Log> {
    // A descriptor of our own: whoever writes to standard error besides does not wait for a line.
    let output = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let log = Log(Lines::to(output)?);
    let filter = EnvFilter::try_new(&config.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(log.lines().clone());
    let unquoted = filter_fn(|it| !is_quoting(it));
    // An error means that logging has been started already.
    let _ = match config.format {
        LogFormat::Text => {
            let terminal = io::IsTerminal::is_terminal(&io::stderr());
            lines
                .with_ansi(terminal)
                .with_target(false)
                .compact()
                .finish()
                .with(unquoted)
                .try_init()
                .is_ok()
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).finish();
            lines.with(unquoted).try_init().is_ok()
        }
    };
    Ok(log)
}

/// Says whether a line may be one in which the client of the API server quotes an answer that it cannot
/// read: that may be a list of Secrets (kube-client `client/mod.rs`, `request`, at WARN).
fn is_quoting(line: &Metadata<'_>) -> bool {
    line.target() == "kube_client::client" && *line.level() > Level::ERROR
}

/// Logs where a panic happened instead of printing its message, which may quote an object; of one place
/// once a minute, with how many more there were since.
pub fn report_panics() {
    let seldom = Seldom::default();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location();
        let what = place.map(ToString::to_string).unwrap_or_default();
        let Some(more) = seldom.is_due(&what, Instant::now()) else {
            return;
        };
        match place {
            Some(place) => {
                let (file, line) = (place.file(), place.line());
                tracing::error!(file, line, more, "panicked");
            }
            None => tracing::error!(more, "panicked at an unknown place"),
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn each_named_format_is_known_and_no_other() {
        for name in LogFormat::NAMES {
            assert!(LogFormat::from_str(name).is_ok(), "{name}");
        }
        assert_eq!(LogFormat::from_str("xml"), Err(UnknownLogFormat));
    }

    #[test]
    fn no_answer_of_the_api_server_is_quoted_whatever_is_to_be_logged() {
        for level in ["info", "trace", "kube_client::client=trace"] {
            let file = tempfile::NamedTempFile::new().unwrap();
            let subscriber = tracing_subscriber::fmt()
                .with_env_filter(EnvFilter::new(level))
                .with_writer(Arc::new(file.reopen().unwrap()))
                .finish()
                .with(filter_fn(|it| !is_quoting(it)));
            tracing::subscriber::with_default(subscriber, || {
                tracing::warn!(target: "kube_client::client", "a body");
                tracing::error!(target: "kube_client::client", "failed");
            });
            let text = std::fs::read_to_string(file.path()).unwrap();
            assert!(!text.contains("a body"), "{level}: {text}");
            assert!(text.contains("failed"), "{level}: {text}");
        }
    }

    #[test]
    fn a_level_that_does_not_parse_is_explained() {
        assert_eq!(check_level("info,portcullis=debug"), Ok(()));
        assert!(
            check_level("portcullis=loud").is_err_and(|text| !text.is_empty()),
            "a reason is given"
        );
        for silent in ["loud", "info,hyper", "portcullis"] {
            let said = check_level(silent).unwrap_err();
            assert!(said.contains("is no level: one of error, warn"), "{said}");
        }
        for level in ["off", "INFO", "warn,hyper=debug", "3", ""] {
            assert_eq!(check_level(level), Ok(()), "{level}");
        }
    }
}
