//! Reads single values of the configuration; errors say what would be right.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::text::nearest;
use crate::webhook::duration as go;

/// Reads `ADDRESS:PORT`, or `:PORT` for every address of the host.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let all_addresses = text
        .strip_prefix(':')
        .and_then(|port| port.parse().ok())
        .map(|port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
    if let Some(address) = all_addresses {
        return Ok(address);
    }
    text.parse()
        .map_err(|_| match text.strip_prefix("localhost:") {
            Some(port) => format!("`{text}` is no address and port; write `127.0.0.1:{port}`"),
            None => format!(
                "`{text}` is no address and port, as `127.0.0.1:8443`, `[::1]:8443` or `:8443`"
            ),
        })
}

/// Reads a number above zero.
pub(super) fn amount(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be above zero".to_owned()),
        Ok(amount) => Ok(amount),
        Err(_) => Err(format!("`{text}` is no whole number above zero")),
    }
}

/// Reads a number of bytes: `16MiB`, `16Mi`, `16777216`.
pub(super) fn bytes(text: &str) -> Result<usize, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: usize = match unit.trim_start() {
        "" | "B" => 1,
        "Ki" | "KiB" => 1 << 10,
        "Mi" | "MiB" => 1 << 20,
        "Gi" | "GiB" => 1 << 30,
        _ => return Err(no_size(text)),
    };
    let number: usize = number.parse().map_err(|_| no_size(text))?;
    match number.checked_mul(factor) {
        Some(0) => Err("must be above zero".to_owned()),
        Some(bytes) => Ok(bytes),
        None => Err(format!("`{text}` is too large")),
    }
}

fn no_size(text: &str) -> String {
    format!("`{text}` is no size, as `16MiB`, `512KiB` or a number of bytes")
}

/// Reads a duration as Go writes it.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    go::parse(text).map_err(|problem| format!("`{text}` cannot be used: {problem}"))
}

/// Reads a duration that cannot be zero.
pub(super) fn duration_above_zero(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be above zero".to_owned()),
        duration => Ok(duration),
    }
}

/// Words the refusal of a value that is none of `names`.
pub(super) fn one_of(text: &str, names: &[&str]) -> String {
    let all: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    let meant = nearest(text, names.iter().copied())
        .map(|name| format!("; did you mean `{name}`?"))
        .unwrap_or_default();
    format!("`{text}` is none of {}{meant}", all.join(", "))
}

/// Reads where API servers call: `https://HOST:PORT`, to which paths are added.
pub(super) fn url(text: &str) -> Result<String, String> {
    let refused = || format!("`{text}` is no `https://HOST:PORT`");
    let rest = text.strip_prefix("https://").ok_or_else(refused)?;
    let rest = rest.trim_end_matches('/');
    // What Kubernetes refuses in a `url` (apiserver `pkg/util/webhook/validation.go`,
    // `ValidateWebhookURL`; the path is ours), and what it only finds when it calls.
    let (is_host, port) = match rest.strip_prefix('[').and_then(|it| it.split_once(']')) {
        Some((address, after)) => (address.parse::<Ipv6Addr>().is_ok(), after),
        None => {
            let (host, _) = rest.split_once(':').unwrap_or((rest, ""));
            let port = rest.strip_prefix(host).unwrap_or_default();
            (host.split('.').all(is_label), port)
        }
    };
    let port = port.strip_prefix(':').or(port.is_empty().then_some("443"));
    let port = port.and_then(|it| it.parse::<u16>().ok());
    match is_host && port.is_some_and(|port| port > 0) {
        true => Ok(format!("https://{rest}")),
        false => Err(refused()),
    }
}

/// Says whether it may be a part of the name of a host, or of an address.
fn is_label(text: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
    !text.is_empty() && text.chars().all(is_inner) && text.trim_matches('-') == text
}
