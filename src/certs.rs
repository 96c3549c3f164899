//! How the server comes by its certificate: issued for development or mounted; served, and swapped.
//!
//! Nothing here watches or waits: `serve` says when to look again.

pub mod authority;
pub mod files;
pub mod inspect;
pub mod issue;
pub mod pair;
pub mod resolver;
pub mod rotation;

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The name of the file that holds the certificate chain: the key `tls.crt` of a Secret of type
/// `kubernetes.io/tls`.
pub const CERTIFICATE_FILE: &str = "tls.crt";
/// The name of the file that holds the private key: the key `tls.key` of such a Secret.
pub const KEY_FILE: &str = "tls.key";

/// Why there is no certificate to serve.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder of the development certificates cannot be written.
    #[error("cannot write `{}`: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no PEM, or holds nothing of the kind.
    #[error("`{}` holds no {expected} in PEM form", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
    },
    /// The PEM is sound, but what it encodes is not.
    #[error("`{}` holds a {what} that cannot be used: {detail}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is in it.
        what: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// The private key is not that of the certificate.
    #[error("the key in `{}` does not belong to the certificate in `{}`", key.display(), certificate.display())]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// The certificate is past its time.
    #[error("the certificate in `{}` expired at {}", path.display(), date(*not_after))]
    Expired {
        /// The file.
        path: PathBuf,
        /// When it expired.
        not_after: SystemTime,
    },
    /// The certificate is not in force yet.
    #[error("the certificate in `{}` is not valid before {}", path.display(), date(*not_before))]
    NotYetValid {
        /// The file.
        path: PathBuf,
        /// When it will be.
        not_before: SystemTime,
    },
    /// The development folder holds certificates that are not ours to replace.
    #[error("`{}` was not made by portcullis and is left alone", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Another process has been writing the development folder for too long.
    #[error("another process holds `{}`", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The system could not make a key or a certificate.
    #[error("cannot issue a certificate: {0}")]
    Issue(#[from] rcgen::Error),
}

impl CertificateError {
    /// Says what to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            CertificateError::Read { .. } => {
                "give `--certs` a folder with `tls.crt` and `tls.key` that this user can read, \
                 or leave it out for a development certificate"
            }
            CertificateError::Write { .. } => {
                "make the folder writable, or mount a certificate and name its folder with `--certs`"
            }
            CertificateError::NotPem { .. } | CertificateError::Malformed { .. } => {
                "write the certificate chain, leaf first, to `tls.crt` and its unencrypted \
                 private key to `tls.key`, both as PEM"
            }
            CertificateError::Mismatch { .. } => {
                "put the certificate and the key of one issuance side by side, and replace both at once"
            }
            CertificateError::Expired { .. } => "renew the certificate, and check who should have",
            CertificateError::NotYetValid { .. } => {
                "check the clocks of this host and of the issuer"
            }
            CertificateError::Foreign { .. } => {
                "name the folder with `--certs` to serve what is in it, or move its files away"
            }
            CertificateError::Locked { .. } => "end the process that hangs, then start again",
            CertificateError::Issue(_) => "mount a certificate and name its folder with `--certs`",
        }
    }
}

/// Writes a moment as RFC 3339 in UTC, to the second.
pub fn date(moment: SystemTime) -> String {
    let seconds = match moment.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
    };
    match jiff::Timestamp::from_second(seconds) {
        Ok(timestamp) => timestamp.to_string(),
        Err(_) => format!("{seconds} seconds since 1970"),
    }
}

/// Reads a whole file, refusing what is not a regular file (a FIFO would never end) and more than
/// 1 MiB, which is what a Secret can hold at most (`MaxSecretSize`, kubernetes
/// `pkg/apis/core/types.go`).
fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    const MAX_BYTES: u64 = 1024 * 1024;
    let contents = std::fs::metadata(path).and_then(|metadata| {
        if !metadata.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a regular file",
            ));
        }
        if metadata.len() > MAX_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "it is larger than 1 MiB",
            ));
        }
        std::fs::read(path)
    });
    contents.map_err(|source| CertificateError::Read {
        path: path.to_owned(),
        source,
    })
}
