//! A certificate mounted as a folder: `tls.crt` and `tls.key`, as the kubelet mounts a Secret.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;

use super::pair::{Pair, PemFile};
use super::{CERTIFICATE_FILE, CertificateError, KEY_FILE, read};

/// The symlink that the kubelet swaps to publish all files of a volume at once (kubernetes
/// `pkg/volume/util/atomic_writer.go`).
const DATA_LINK: &str = "..data";

/// Loads the pair in `directory`, if it can be served at `now`.
///
/// Both files are read from one publication: in the kubelet's layout the link is resolved once, so
/// that a swap between the two reads cannot mix an old certificate with a fresh key.
pub fn load(
    directory: &Path,
    now: SystemTime,
    provider: &CryptoProvider,
) -> Result<Pair, CertificateError> {
    let published = fs::canonicalize(directory.join(DATA_LINK));
    let source = published.as_deref().unwrap_or(directory);
    // Errors name the path the user knows, not the one behind the link.
    let (certificate_path, key_path) = (directory.join(CERTIFICATE_FILE), directory.join(KEY_FILE));
    let certificate = read(&source.join(CERTIFICATE_FILE)).or_else(|_| read(&certificate_path))?;
    let key = read(&source.join(KEY_FILE)).or_else(|_| read(&key_path))?;
    Pair::from_pem(
        PemFile {
            path: &certificate_path,
            pem: &certificate,
        },
        PemFile {
            path: &key_path,
            pem: &key,
        },
        now,
        provider,
    )
}

#[cfg(test)]
mod tests;
