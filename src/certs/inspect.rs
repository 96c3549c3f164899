//! Says what a certificate is, for whoever looks for what is wrong with it. Keys are never shown.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use x509_parser::extensions::GeneralName;

use super::authority::CA_CERTIFICATE_FILE;
use super::pair::{parse, validity};
use super::rotation::{Contents, certificates};
use super::{CERTIFICATE_FILE, date};

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// Every certificate, with its names and its time.
    pub text: String,
    /// Why clients refuse what is served; empty if they do not.
    pub problems: Vec<String>,
}

/// Looks at a certificate as a client does that trusts what lies beside it, at `now`. Errors name
/// `origin`.
pub fn inspect(
    contents: &Contents,
    origin: &Path,
    now: SystemTime,
    provider: &Arc<CryptoProvider>,
) -> Report {
    let mut report = Report {
        text: String::new(),
        problems: Vec::new(),
    };
    for (name, value) in contents.keys() {
        let pem = String::from_utf8_lossy(value);
        for certificate in certificates(&pem) {
            match described(&certificate) {
                Ok(lines) => {
                    // Writing to a string does not fail.
                    let _ = writeln!(report.text, "{name}\n{lines}");
                }
                Err(problem) => report.problems.push(format!("{name}: {problem}")),
            }
        }
    }
    let pair = match contents.leaf(origin, now, provider) {
        Ok(pair) => pair,
        Err(problem) => {
            report.problems.push(problem.to_string());
            return report;
        }
    };
    if !contents.keys().contains_key(CA_CERTIFICATE_FILE) {
        let _ = writeln!(
            report.text,
            "no {CA_CERTIFICATE_FILE}: who trusts it is not known"
        );
        return report;
    }
    let authorities: Vec<_> = certificates(contents.bundle()).collect();
    let names = pair.certified.end_entity_cert().map(names);
    for name in names.unwrap_or_default() {
        let Ok(server) = ServerName::try_from(name.as_str()) else {
            continue;
        };
        if let Err(problem) = pair.is_trusted(&authorities, &server, now, provider) {
            let message = format!(
                "who trusts `{CA_CERTIFICATE_FILE}` refuses `{CERTIFICATE_FILE}` as `{name}`: {problem}"
            );
            report.problems.push(message);
        }
    }
    report
}

fn described(certificate: &CertificateDer<'_>) -> Result<String, String> {
    let parsed = parse(Path::new(""), certificate).map_err(|problem| problem.to_string())?;
    let (from, until) =
        validity(Path::new(""), certificate).map_err(|problem| problem.to_string())?;
    let mut lines = format!(
        "  subject  {}\n  issuer   {}\n  valid    {} to {}",
        parsed.subject(),
        parsed.issuer(),
        date(from),
        date(until)
    );
    let names = names(certificate);
    if !names.is_empty() {
        lines.push_str(&format!("\n  names    {}", names.join(", ")));
    }
    Ok(lines)
}

/// Returns the hosts and addresses that a certificate is for.
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(parsed) = parse(Path::new(""), certificate) else {
        return Vec::new();
    };
    let alternatives = parsed.subject_alternative_name().ok().flatten();
    let names = alternatives.iter().flat_map(|it| &it.value.general_names);
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    };
    names.filter_map(name).collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(bytes).to_string());
    }
    let bytes = <[u8; 16]>::try_from(bytes).ok()?;
    Some(std::net::Ipv6Addr::from(bytes).to_string())
}
