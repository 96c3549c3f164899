//! What becomes of a certificate that replicas share: issued, followed by the next, forgotten.
//!
//! ```text
//! issue   leaf A                bundle A
//! stage   leaf A, next leaf B   bundle A B    until every API server trusts B
//! switch  leaf B                bundle B A    replicas serve A or B, and both are trusted
//! retire  leaf B                bundle B      once A has expired
//! ```
//!
//! At each moment the bundle trusts every leaf that a replica may serve. Nothing here does I/O; each
//! step makes the whole of the next contents, which are written if nobody else has written meanwhile.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

use super::authority::CA_CERTIFICATE_FILE;
use super::issue::issue;
use super::pair::{Pair, PemFile, validity};
use super::{CERTIFICATE_FILE, CertificateError, KEY_FILE};

/// The key of the leaf that will be served next.
const NEXT_CERTIFICATE: &str = "next.crt";
/// The key of its private key.
const NEXT_KEY: &str = "next.key";
/// The longest that API servers are given to take over a bundle: they watch it, and do so in a second.
const LONGEST_SETTLE: Duration = Duration::from_secs(60);
/// So many certificates of a bundle are kept: those of two leaves, and of what was there before.
const MOST_AUTHORITIES: usize = 8;
/// More than all authorities that browsers trust.
const MOST_MOUNTED: usize = 512;

/// The keys of the Secret. What they hold is never shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Contents(BTreeMap<String, Vec<u8>>);

impl fmt::Debug for Contents {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

impl From<BTreeMap<String, Vec<u8>>> for Contents {
    fn from(keys: BTreeMap<String, Vec<u8>>) -> Self {
        Contents(keys)
    }
}

/// What certificates are to be like.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The names that API servers call by; the first is the one that is tried.
    pub names: Vec<String>,
    /// How long a leaf lives.
    pub lifetime: Duration,
}

impl Terms {
    /// Returns how long before its end a leaf is followed by the next: a third of its life, as
    /// cert-manager does.
    fn renewed_before(&self) -> Duration {
        self.lifetime / 3
    }

    /// Returns how long API servers are given to trust a bundle before a leaf is served that they
    /// need it for.
    pub fn settle(&self) -> Duration {
        (self.lifetime / 12).min(LONGEST_SETTLE)
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Keep,
    /// Issue a leaf that is served at once: there is none that can be.
    Issue {
        /// Why not.
        because: String,
    },
    /// Issue the leaf that will be served next.
    Stage,
    /// Serve the next leaf.
    Switch {
        /// Whether the leaf before cannot be served: then nothing is waited for.
        is_overdue: bool,
    },
    /// Forget what nobody serves.
    Retire,
}

impl Contents {
    /// Returns the keys.
    pub fn keys(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.0
    }

    /// Returns the certificates to trust, as PEM; empty if there are none.
    pub fn bundle(&self) -> &str {
        let bundle = self.0.get(CA_CERTIFICATE_FILE);
        let bundle = bundle.and_then(|it| std::str::from_utf8(it).ok());
        bundle.unwrap_or_default()
    }

    /// Returns the leaf that is served, if it can be at `now`. Errors name `origin`.
    ///
    /// # Errors
    /// It is missing, malformed or not in force.
    pub fn leaf(
        &self,
        origin: &Path,
        now: SystemTime,
        provider: &CryptoProvider,
    ) -> Result<Pair, CertificateError> {
        self.pair((CERTIFICATE_FILE, KEY_FILE), origin, now, provider)
    }

    fn pair(
        &self,
        (certificate, key): (&str, &str),
        origin: &Path,
        now: SystemTime,
        provider: &CryptoProvider,
    ) -> Result<Pair, CertificateError> {
        let pem = |name: &str| self.0.get(name).map(Vec::as_slice).unwrap_or_default();
        let (certificate_path, key_path) = (origin.join(certificate), origin.join(key));
        let certificate = PemFile {
            path: &certificate_path,
            pem: pem(certificate),
        };
        let key = PemFile {
            path: &key_path,
            pem: pem(key),
        };
        Pair::from_pem(certificate, key, now, provider)
    }

    /// Says what is to be done at `now`.
    pub fn due(&self, terms: &Terms, now: SystemTime, provider: &Arc<CryptoProvider>) -> Step {
        let leaf = self.usable((CERTIFICATE_FILE, KEY_FILE), terms, now, provider);
        let next = self.usable((NEXT_CERTIFICATE, NEXT_KEY), terms, now, provider);
        let has_next = self.0.contains_key(NEXT_CERTIFICATE) || self.0.contains_key(NEXT_KEY);
        match (leaf, next) {
            (Ok(_), Ok(_)) => Step::Switch { is_overdue: false },
            (Err(_), Ok(_)) => Step::Switch { is_overdue: true },
            (Err(_), Err(_)) if self.0.is_empty() => Step::Issue {
                because: "there was none".to_owned(),
            },
            (Err(because), Err(_)) => Step::Issue { because },
            (Ok(leaf), Err(_)) if now + terms.renewed_before() >= leaf.not_after => Step::Stage,
            (Ok(_), Err(_)) if has_next || self.authorities(now).1 => Step::Retire,
            (Ok(_), Err(_)) => Step::Keep,
        }
    }

    /// Returns what the contents are after a step.
    ///
    /// # Errors
    /// A certificate cannot be issued.
    pub fn after(
        &self,
        step: &Step,
        terms: &Terms,
        now: SystemTime,
    ) -> Result<Contents, CertificateError> {
        let mut keys = self.0.clone();
        let (known, _) = self.authorities(now);
        let mut put = |name: &str, text: String| keys.insert(name.to_owned(), text.into_bytes());
        match step {
            Step::Keep => {}
            Step::Issue { .. } => {
                let issued = issue(&terms.names, now, terms.lifetime)?;
                put(CERTIFICATE_FILE, issued.certificate);
                put(KEY_FILE, issued.key);
                put(CA_CERTIFICATE_FILE, issued.authority + &known);
                keys.remove(NEXT_CERTIFICATE);
                keys.remove(NEXT_KEY);
            }
            Step::Stage => {
                let issued = issue(&terms.names, now, terms.lifetime)?;
                put(NEXT_CERTIFICATE, issued.certificate);
                put(NEXT_KEY, issued.key);
                put(CA_CERTIFICATE_FILE, issued.authority + &known);
            }
            Step::Switch { .. } => {
                for (next, served) in [(NEXT_CERTIFICATE, CERTIFICATE_FILE), (NEXT_KEY, KEY_FILE)] {
                    if let Some(pem) = keys.remove(next) {
                        keys.insert(served.to_owned(), pem);
                    }
                }
            }
            Step::Retire => {
                put(CA_CERTIFICATE_FILE, known);
                keys.remove(NEXT_CERTIFICATE);
                keys.remove(NEXT_KEY);
            }
        }
        Ok(Contents(keys))
    }

    /// Returns a leaf as API servers would accept it that trust the bundle.
    fn usable(
        &self,
        names: (&str, &str),
        terms: &Terms,
        now: SystemTime,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Pair, String> {
        let pair = self.pair(names, Path::new(""), now, provider);
        let pair = pair.map_err(|problem| problem.to_string())?;
        let authorities: Vec<_> = certificates(self.bundle()).collect();
        for name in &terms.names {
            let name = ServerName::try_from(name.as_str());
            let name = name.map_err(|problem| problem.to_string())?;
            let trusted = pair.is_trusted(&authorities, &name, now, provider);
            trusted.map_err(|problem| format!("clients refuse it: {problem}"))?;
        }
        Ok(pair)
    }

    /// Returns the certificates of the bundle that have not expired, and whether others are there.
    fn authorities(&self, now: SystemTime) -> (String, bool) {
        let mut kept = String::new();
        let mut count = 0;
        let mut has_others = false;
        for certificate in certificates(self.bundle()) {
            let holds = validity(Path::new(""), &certificate);
            if holds.is_ok_and(|(_, not_after)| now < not_after) && count < MOST_AUTHORITIES {
                count += 1;
                kept.push_str(&pem(&certificate));
            } else {
                has_others = true;
            }
        }
        (kept, has_others)
    }
}

/// Returns the certificates of a text in PEM form; those that cannot be read are passed over.
pub fn certificates(pem: &str) -> impl Iterator<Item = CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok)
}

/// Returns the certificates of a text in PEM form that clients can trust and that have not expired; so many
/// as somebody may mount.
pub fn unexpired(text: &str, now: SystemTime) -> String {
    let holds = |certificate: &CertificateDer<'_>| {
        let validity = validity(Path::new(""), certificate);
        validity.is_ok_and(|(_, not_after)| now < not_after)
            && RootCertStore::empty()
                .add(certificate.clone().into_owned())
                .is_ok()
    };
    let held = certificates(text).filter(holds);
    held.take(MOST_MOUNTED).map(|it| pem(&it)).collect()
}

/// Returns a text in PEM form with its certificates alone.
pub fn only_certificates(text: &str) -> String {
    certificates(text).map(|it| pem(&it)).collect()
}

/// Writes a certificate as PEM.
fn pem(certificate: &CertificateDer<'_>) -> String {
    let encoded = k8s_openapi::ByteString(certificate.to_vec());
    let encoded = serde_json::to_value(encoded).unwrap_or_default();
    let encoded = encoded.as_str().unwrap_or_default();
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for (at, c) in encoded.chars().enumerate() {
        text.push(c);
        // RFC 7468 wraps at 64.
        if at % 64 == 63 {
            text.push('\n');
        }
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text + "-----END CERTIFICATE-----\n"
}

#[cfg(test)]
mod tests;
