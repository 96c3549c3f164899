//! Log lines on standard error, for people or as JSON.
//!
//! Objects, secrets and tokens never appear in them; neither do the messages of panics, which may
//! quote what was being read.

use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

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

/// Starts logging; a second call in one process changes nothing.
///
/// Directives that do not parse ([`check_level`]) log as `info`.
pub fn start(config: &LogConfig) {
    let filter = EnvFilter::try_new(&config.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // An error means that logging has been started already.
    let _ = match config.format {
        LogFormat::Text => {
            let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            lines
                .with_ansi(terminal)
                .with_target(false)
                .compact()
                .try_init()
                .is_ok()
        }
        LogFormat::Json => lines.json().flatten_event(true).try_init().is_ok(),
    };
}

/// Logs where a panic happened instead of printing its message, which may quote an object.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|panic| match panic.location() {
        Some(place) => tracing::error!(file = place.file(), line = place.line(), "panicked"),
        None => tracing::error!("panicked at an unknown place"),
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_named_format_is_known_and_no_other() {
        for name in LogFormat::NAMES {
            assert!(LogFormat::from_str(name).is_ok(), "{name}");
        }
        assert_eq!(LogFormat::from_str("xml"), Err(UnknownLogFormat));
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
