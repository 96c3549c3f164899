//! Issues a leaf under a CA of its own, whose key is forgotten at once: nobody can sign with it again.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData,
};
use sha2::{Digest, Sha256};

use super::CertificateError;

/// Certificates hold from before they are made, for API servers whose clock is slow.
const CLOCK_SKEW: Duration = Duration::from_secs(60 * 60);

/// A leaf with its key and the CA that signed it, each as PEM.
pub struct Issued {
    /// The leaf.
    pub certificate: String,
    /// Its key.
    pub key: String,
    /// The CA.
    pub authority: String,
}

/// Issues a leaf for these names, of hosts and addresses, both ECDSA P-256; leaf and CA end together.
///
/// # Errors
/// A name cannot be in a certificate, or the system has no randomness.
pub fn issue(
    names: &[String],
    now: SystemTime,
    lifetime: Duration,
) -> Result<Issued, CertificateError> {
    let in_force = |params: &mut CertificateParams| {
        params.not_before = (now - CLOCK_SKEW).into();
        params.not_after = (now + lifetime).into();
    };
    let authority_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut authority = CertificateParams::default();
    // While one CA follows another both are trusted; clients tell them apart by their names.
    let fingerprint = Sha256::digest(authority_key.der_bytes());
    let fingerprint: String = fingerprint
        .iter()
        .take(4)
        .map(|it| format!("{it:02x}"))
        .collect();
    authority.distinguished_name = named(&format!("Portcullis CA {fingerprint}"));
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    in_force(&mut authority);
    let authority_certificate = authority.self_signed(&authority_key)?;

    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut leaf = CertificateParams::new(names)?;
    leaf.distinguished_name = named("Portcullis");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    in_force(&mut leaf);
    let issuer = Issuer::from_params(&authority, &authority_key);
    let certificate = leaf.signed_by(&key, &issuer)?;
    Ok(Issued {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
        authority: authority_certificate.pem(),
    })
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}
