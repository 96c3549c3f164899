//! What a person who has started the server is told.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::serve::config::{Certificates, Mode};

/// What a person who has started the server is told.
pub(super) struct Welcome<'a> {
    pub(super) address: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) authority: Option<&'a Path>,
    pub(super) certs: &'a Certificates,
    pub(super) mode: Mode,
    pub(super) overview: &'a [String],
    pub(super) sample: Option<&'a Path>,
}

impl Welcome<'_> {
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    /// Says the same to collectors, in one line; the policies are at `/policies`.
    pub(super) fn log(&self) {
        let (address, admin) = (reachable(self.address), reachable(self.admin));
        let mode = match self.mode {
            Mode::Enforce => "enforce",
            Mode::Audit => "audit",
        };
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            webhook = %format_args!("https://{address}/validate"),
            admin = %format_args!("http://{admin}/"),
            mode,
            "portcullis serves"
        );
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let (address, admin) = (reachable(self.address), reachable(self.admin));
        let mode = match self.mode {
            Mode::Enforce => "violations are denied",
            Mode::Audit => "violations are recorded, nothing is denied",
        };
        writeln!(
            text,
            "portcullis {} serves; {mode}\n",
            env!("CARGO_PKG_VERSION")
        )?;
        writeln!(text, "  webhook      https://{address}/validate")?;
        writeln!(
            text,
            "  admin        http://{admin}/readyz?verbose, /metrics, /policies"
        )?;
        match self.authority {
            Some(authority) => writeln!(text, "  CA           {}", authority.display())?,
            None => match self.certs {
                Certificates::Secret(name) => writeln!(text, "  certificate  the Secret {name}")?,
                Certificates::Mounted(folder) | Certificates::Development(folder) => {
                    writeln!(text, "  certificate  {}", folder.display())?;
                }
            },
        }
        for (at, line) in self.overview.iter().enumerate() {
            let title = if at == 0 { "policies" } else { "" };
            writeln!(text, "  {title:<13}{line}")?;
        }
        if let (Some(authority), Some(sample)) = (self.authority, self.sample) {
            writeln!(
                text,
                "\nTry it:\n\n  curl --cacert {} https://{address}/validate \
                 -H 'Content-Type: application/json' --data @{}",
                quoted(authority),
                quoted(sample)
            )?;
        }
        writeln!(text)
    }
}

/// Returns a path as a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+,:@%=".contains(c);
    match text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Returns an address that a client on this host can call.
fn reachable(address: SocketAddr) -> SocketAddr {
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(host, address.port())
}
