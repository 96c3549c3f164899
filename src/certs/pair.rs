//! A certificate chain with its key, known to belong together and to be in force.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

use super::CertificateError;

/// A certificate chain with its key.
#[derive(Debug, Clone)]
pub struct Pair {
    /// What rustls serves. INVARIANT: the key is that of the leaf (upheld by [`Pair::from_pem`]).
    pub certified: Arc<CertifiedKey>,
    /// When the leaf expires. Those above it are not looked at: a client may know other ones.
    pub not_after: SystemTime,
}

/// A PEM text and the file it was read from, which errors name.
#[derive(Debug, Clone, Copy)]
pub struct PemFile<'a> {
    /// The file.
    pub path: &'a Path,
    /// Its contents.
    pub pem: &'a [u8],
}

impl Pair {
    /// Makes a pair of a chain, leaf first, and a key, if they can be served at `now`.
    pub fn from_pem(
        certificate: PemFile<'_>,
        key: PemFile<'_>,
        now: SystemTime,
        provider: &CryptoProvider,
    ) -> Result<Pair, CertificateError> {
        let chain = chain(certificate)?;
        let Some(leaf) = chain.first() else {
            return Err(CertificateError::NotPem {
                path: certificate.path.to_owned(),
                expected: "certificate",
            });
        };
        let (not_before, not_after) = validity(certificate.path, leaf)?;
        let private =
            PrivateKeyDer::from_pem_slice(key.pem).map_err(|_| CertificateError::NotPem {
                path: key.path.to_owned(),
                expected: "private key",
            })?;
        let signer = provider
            .key_provider
            .load_private_key(private)
            .map_err(|problem| CertificateError::Malformed {
                path: key.path.to_owned(),
                what: "key",
                detail: problem.to_string(),
            })?;
        let certified = CertifiedKey::new(chain, signer);
        match certified.keys_match() {
            // Unknown means that the key cannot say what its public half is, which the keys of
            // *ring* always can.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                return Err(CertificateError::Mismatch {
                    certificate: certificate.path.to_owned(),
                    key: key.path.to_owned(),
                });
            }
            Err(problem) => {
                return Err(CertificateError::Malformed {
                    path: certificate.path.to_owned(),
                    what: "certificate",
                    detail: problem.to_string(),
                });
            }
        }
        if now < not_before {
            return Err(CertificateError::NotYetValid {
                path: certificate.path.to_owned(),
                not_before,
            });
        }
        if now >= not_after {
            return Err(CertificateError::Expired {
                path: certificate.path.to_owned(),
                not_after,
            });
        }
        Ok(Pair {
            certified: Arc::new(certified),
            not_after,
        })
    }

    /// Checks that a client accepts it at `now` that trusts these authorities and calls this name.
    ///
    /// # Errors
    /// It does not; the error says why.
    pub fn is_trusted(
        &self,
        authorities: &[CertificateDer<'static>],
        name: &ServerName<'_>,
        now: SystemTime,
        provider: &Arc<CryptoProvider>,
    ) -> Result<(), rustls::Error> {
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority.clone())?;
        }
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                .build()
                .map_err(|problem| rustls::Error::General(problem.to_string()))?;
        let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH);
        let now = UnixTime::since_unix_epoch(since_epoch.unwrap_or_default());
        let leaf = self.certified.end_entity_cert()?;
        let above = self.certified.cert.get(1..).unwrap_or_default();
        verifier
            .verify_server_cert(leaf, above, name, &[], now)
            .map(drop)
    }

    /// Tells whether both hold the same chain.
    pub fn same_chain(&self, other: &Pair) -> bool {
        self.certified.cert == other.certified.cert
    }
}

/// Returns all certificates of a file, in their order.
pub(super) fn chain(file: PemFile<'_>) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    CertificateDer::pem_slice_iter(file.pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| CertificateError::NotPem {
            path: file.path.to_owned(),
            expected: "certificate",
        })
}

/// Returns from when and until when a certificate holds.
pub(super) fn validity(
    path: &Path,
    certificate: &CertificateDer<'_>,
) -> Result<(SystemTime, SystemTime), CertificateError> {
    let parsed = parse(path, certificate)?;
    let validity = parsed.validity();
    Ok((moment(validity.not_before), moment(validity.not_after)))
}

/// Reads the fields of a certificate.
pub(super) fn parse<'a>(
    path: &Path,
    certificate: &'a CertificateDer<'_>,
) -> Result<X509Certificate<'a>, CertificateError> {
    X509Certificate::from_der(certificate)
        .map(|(_, parsed)| parsed)
        .map_err(|problem| CertificateError::Malformed {
            path: path.to_owned(),
            what: "certificate",
            detail: problem.to_string(),
        })
}

fn moment(time: ASN1Time) -> SystemTime {
    let seconds = Duration::from_secs(time.timestamp().unsigned_abs());
    let epoch = SystemTime::UNIX_EPOCH;
    let moment = if time.timestamp() >= 0 {
        epoch.checked_add(seconds)
    } else {
        epoch.checked_sub(seconds)
    };
    moment.unwrap_or(epoch)
}
