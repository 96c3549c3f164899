//! The development authority: a CA and a leaf for this host, made on the first start and kept.
//!
//! The folder holds `ca.crt`, `ca.key`, `tls.crt` and `tls.key`. What is sound and far from its
//! end is reused, so that a `caBundle` or a `--cacert` stays right from start to start; what is
//! broken or near its end is made again; what somebody else put there is refused. The CA may sign
//! for this host alone (name constraints), so that its key, which lies unencrypted in a working
//! copy, is worth nothing elsewhere.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, PKCS_ECDSA_P256_SHA256, PublicKeyData,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};

use super::pair::{Pair, PemFile, chain, parse, validity};
use super::{CERTIFICATE_FILE, CertificateError, KEY_FILE, read};

/// The name of the file with the CA's certificate, which clients are given.
pub const CA_CERTIFICATE_FILE: &str = "ca.crt";
/// The name of the file with the CA's key.
pub const CA_KEY_FILE: &str = "ca.key";

/// The subject of the CA, by which its certificates are known as ours.
const CA_NAME: &str = "Portcullis development CA";
const LEAF_NAME: &str = "Portcullis development";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Two years: a developer may have told other programs to trust it and should seldom have to do
/// it again, yet a forgotten key should not be trusted for good.
const CA_LIFETIME: Duration = DAY.saturating_mul(730);
/// Ninety days, cert-manager's default duration: a leaf costs nothing to make.
const LEAF_LIFETIME: Duration = DAY.saturating_mul(90);
/// A third of the leaf's life, as cert-manager renews (`renewBefore`).
const LEAF_RENEWED_BEFORE: Duration = DAY.saturating_mul(30);
/// A leaf must never outlive its CA.
const CA_RENEWED_BEFORE: Duration = LEAF_LIFETIME;
/// Certificates hold from a little before they are made, for clients whose clock is slow.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);
/// Making keys and certificates takes milliseconds; who holds the lock longer hangs.
const LOCK_DEADLINE: Duration = Duration::from_secs(5);

/// What [`ensure`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was there and sound.
    Reused,
    /// A leaf was issued under the CA that was there.
    LeafIssued {
        /// Why, as `there was none`.
        because: String,
    },
    /// A CA and a leaf were made: clients must be given the CA again.
    AuthorityCreated {
        /// Why, as `there was none`.
        because: String,
    },
}

/// Makes sure that `directory` holds a CA and a leaf for this host that are in force at `now` and
/// will be for some time; returns what had to be done.
///
/// Safe to call from several processes at once: a lock file keeps them apart.
pub fn ensure(
    directory: &Path,
    now: SystemTime,
    provider: &Arc<CryptoProvider>,
) -> Result<Outcome, CertificateError> {
    fs::create_dir_all(directory).map_err(|source| CertificateError::Write {
        path: directory.to_owned(),
        source,
    })?;
    let _lock = lock(directory)?;
    let folder = Folder {
        directory,
        now,
        provider,
    };
    match folder.authority()? {
        Found::Sound(authority) => match folder.leaf(&authority)? {
            Found::Sound(()) => Ok(Outcome::Reused),
            Found::Wanting(because) => {
                folder.issue_leaf(&authority.key)?;
                Ok(Outcome::LeafIssued { because })
            }
        },
        Found::Wanting(because) => {
            folder.refuse_foreign_leaf()?;
            let key = folder.create_authority()?;
            folder.issue_leaf(&key)?;
            Ok(Outcome::AuthorityCreated { because })
        }
    }
}

/// What was found in the folder.
enum Found<T> {
    Sound(T),
    /// Ours to make, and why.
    Wanting(String),
}

struct Authority {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

struct Folder<'a> {
    directory: &'a Path,
    now: SystemTime,
    provider: &'a Arc<CryptoProvider>,
}

impl Folder<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Reads the CA; an error is one that making it again would not mend, or must not.
    fn authority(&self) -> Result<Found<Authority>, CertificateError> {
        let path = self.path(CA_CERTIFICATE_FILE);
        let Some(pem) = present(&path)? else {
            return Ok(Found::Wanting(format!("there is no `{}`", path.display())));
        };
        let file = PemFile {
            path: &path,
            pem: &pem,
        };
        let certificate = match chain(file).map(|chain| chain.into_iter().next()) {
            Ok(Some(certificate)) => certificate,
            Ok(None) | Err(_) => {
                return Ok(Found::Wanting(format!("`{}` is damaged", path.display())));
            }
        };
        let Ok(parsed) = parse(&path, &certificate) else {
            return Ok(Found::Wanting(format!("`{}` is damaged", path.display())));
        };
        if !is_named(parsed.subject(), CA_NAME) {
            return Err(CertificateError::Foreign { path });
        }
        let key_path = self.path(CA_KEY_FILE);
        let Some(key_pem) = present(&key_path)? else {
            return Ok(Found::Wanting(format!(
                "there is no `{}`",
                key_path.display()
            )));
        };
        let key = std::str::from_utf8(&key_pem)
            .ok()
            .and_then(|pem| KeyPair::from_pem(pem).ok())
            .filter(|key| key.der_bytes() == &*parsed.public_key().subject_public_key.data);
        let Some(key) = key else {
            return Ok(Found::Wanting(format!(
                "`{}` is not the key of `{}`",
                key_path.display(),
                path.display()
            )));
        };
        let (not_before, not_after) = validity(&path, &certificate)?;
        if self.now < not_before || self.now + CA_RENEWED_BEFORE >= not_after {
            return Ok(Found::Wanting(format!(
                "`{}` holds from {} to {}",
                path.display(),
                super::date(not_before),
                super::date(not_after)
            )));
        }
        Ok(Found::Sound(Authority { certificate, key }))
    }

    /// Looks at the leaf as a client would that trusts the CA and calls this host by each name.
    fn leaf(&self, authority: &Authority) -> Result<Found<()>, CertificateError> {
        let pair = match self.pair() {
            Ok(Some(pair)) => pair,
            Ok(None) => return Ok(Found::Wanting("there was none".to_owned())),
            Err(problem @ CertificateError::Read { .. }) => return Err(problem),
            Err(problem) => return Ok(Found::Wanting(problem.to_string())),
        };
        if self.now + LEAF_RENEWED_BEFORE >= pair.not_after {
            return Ok(Found::Wanting(format!(
                "the last one expires at {}",
                super::date(pair.not_after)
            )));
        }
        let authorities = std::slice::from_ref(&authority.certificate);
        let refused = names().into_iter().find_map(|name| {
            pair.is_trusted(authorities, &name, self.now, self.provider)
                .err()
        });
        match refused {
            Some(problem) => Ok(Found::Wanting(format!("clients refuse it: {problem}"))),
            None => Ok(Found::Sound(())),
        }
    }

    fn pair(&self) -> Result<Option<Pair>, CertificateError> {
        let (certificate_path, key_path) = (self.path(CERTIFICATE_FILE), self.path(KEY_FILE));
        let (Some(certificate), Some(key)) = (present(&certificate_path)?, present(&key_path)?)
        else {
            return Ok(None);
        };
        let certificate = PemFile {
            path: &certificate_path,
            pem: &certificate,
        };
        let key = PemFile {
            path: &key_path,
            pem: &key,
        };
        Pair::from_pem(certificate, key, self.now, self.provider).map(Some)
    }

    /// Refuses to replace a leaf that another authority signed.
    fn refuse_foreign_leaf(&self) -> Result<(), CertificateError> {
        let path = self.path(CERTIFICATE_FILE);
        let Some(pem) = present(&path)? else {
            return Ok(());
        };
        let file = PemFile {
            path: &path,
            pem: &pem,
        };
        let Ok(Some(leaf)) = chain(file).map(|chain| chain.into_iter().next()) else {
            return Ok(());
        };
        match parse(&path, &leaf) {
            Ok(parsed) if !is_named(parsed.issuer(), CA_NAME) => {
                Err(CertificateError::Foreign { path })
            }
            _ => Ok(()),
        }
    }

    fn create_authority(&self) -> Result<KeyPair, CertificateError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = self.authority_params().self_signed(&key)?;
        self.write(CA_KEY_FILE, CA_CERTIFICATE_FILE, &key, &certificate)?;
        Ok(key)
    }

    fn issue_leaf(&self, authority: &KeyPair) -> Result<(), CertificateError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        // The issuer's name and key are all that is taken from these parameters, and both are
        // those of the CA in the folder.
        let params = self.authority_params();
        let issuer = Issuer::from_params(&params, authority);
        let certificate = self.leaf_params()?.signed_by(&key, &issuer)?;
        self.write(KEY_FILE, CERTIFICATE_FILE, &key, &certificate)
    }

    fn authority_params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(CA_NAME);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![
                GeneralSubtree::DnsName("localhost".to_owned()),
                GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix(
                    Ipv4Addr::LOCALHOST.octets(),
                    32,
                )),
                GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix(
                    Ipv6Addr::LOCALHOST.octets(),
                    128,
                )),
            ],
            excluded_subtrees: Vec::new(),
        });
        self.in_force_for(CA_LIFETIME, &mut params);
        params
    }

    fn leaf_params(&self) -> Result<CertificateParams, CertificateError> {
        let names = names().into_iter().map(|name| name.to_str().into_owned());
        let mut params = CertificateParams::new(names.collect::<Vec<_>>())?;
        params.distinguished_name = named(LEAF_NAME);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        self.in_force_for(LEAF_LIFETIME, &mut params);
        Ok(params)
    }

    fn in_force_for(&self, lifetime: Duration, params: &mut CertificateParams) {
        params.not_before = (self.now - CLOCK_SKEW).into();
        params.not_after = (self.now + lifetime).into();
    }

    /// Writes the key before the certificate: a reader between the two finds a pair that does not
    /// match, which is refused and read again.
    fn write(
        &self,
        key_name: &str,
        certificate_name: &str,
        key: &KeyPair,
        certificate: &Certificate,
    ) -> Result<(), CertificateError> {
        write_atomically(&self.path(key_name), key.serialize_pem().as_bytes(), 0o600)?;
        write_atomically(
            &self.path(certificate_name),
            certificate.pem().as_bytes(),
            0o644,
        )
    }
}

/// Returns the names by which clients on this host call it.
fn names() -> Vec<ServerName<'static>> {
    let addresses = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    ServerName::try_from("localhost")
        .into_iter()
        .chain(addresses.map(|address| ServerName::IpAddress(address.into())))
        .collect()
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn is_named(subject: &x509_parser::x509::X509Name<'_>, name: &str) -> bool {
    subject
        .iter_common_name()
        .any(|common| common.as_str() == Ok(name))
}

/// Reads a file; `None` if there is none.
fn present(path: &Path) -> Result<Option<Vec<u8>>, CertificateError> {
    match read(path) {
        Ok(contents) => Ok(Some(contents)),
        Err(CertificateError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(problem) => Err(problem),
    }
}

/// Writes a file whole or not at all; nobody sees half of it, nor a key that others may read.
pub(crate) fn write_atomically(
    path: &Path,
    contents: &[u8],
    mode: u32,
) -> Result<(), CertificateError> {
    let temporary = path.with_extension(format!("tmp{}", std::process::id()));
    let written = write_synced(&temporary, contents, mode)
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| {
            // The error that matters is the one being returned.
            let _ = fs::remove_file(&temporary);
        });
    written.map_err(|source| CertificateError::Write {
        path: path.to_owned(),
        source,
    })
}

fn write_synced(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)?;
    // The mode given to `open` does not change a file that is there and is narrowed by the umask.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(contents)?;
    file.sync_all()
}

/// Takes the folder's lock, which the system frees when the file is closed.
fn lock(directory: &Path) -> Result<File, CertificateError> {
    let path = directory.join(".lock");
    let failed = |source| CertificateError::Write {
        path: path.clone(),
        source,
    };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    let deadline = Instant::now() + LOCK_DEADLINE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
            Err(fs::TryLockError::WouldBlock) if Instant::now() >= deadline => {
                return Err(CertificateError::Locked { path });
            }
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

#[cfg(test)]
mod tests;
