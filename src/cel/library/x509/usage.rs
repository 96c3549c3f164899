//! What a certificate is for: its names, its usages, its key; in Go's words where it has some.

use std::net::IpAddr;

use x509_parser::extensions::{ExtendedKeyUsage, GeneralName, KeyUsage, ParsedExtension};
use x509_parser::oid_registry::OID_X509_EXT_BASIC_CONSTRAINTS;
use x509_parser::prelude::X509Certificate;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

/// What the extensions of a certificate say.
#[derive(Debug, Default)]
pub(super) struct Usage {
    pub(super) is_authority: bool,
    pub(super) dns_names: Vec<String>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) uris: Vec<String>,
    pub(super) emails: Vec<String>,
    pub(super) key_usage: Vec<String>,
    pub(super) extended_key_usage: Vec<String>,
}

/// A public key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) algorithm: String,
    /// Zero if it is of an unknown kind.
    pub(super) bits: i64,
}

/// Reads the extensions; fails with the name of one that cannot be read or is there twice.
pub(super) fn read(certificate: &X509Certificate<'_>) -> Result<Usage, &'static str> {
    let mut usage = Usage::default();
    let constraints = certificate
        .get_extension_unique(&OID_X509_EXT_BASIC_CONSTRAINTS)
        .map_err(|_| "basic constraints")?;
    usage.is_authority = match constraints.map(|it| it.parsed_extension()) {
        None => false,
        Some(ParsedExtension::BasicConstraints(constraints)) => constraints.ca,
        Some(_) => return Err("basic constraints"),
    };
    let key_usage = certificate.key_usage().map_err(|_| "key usages")?;
    usage.key_usage = key_usage.map_or_else(Vec::new, |it| key_usages(it.value));
    let extended = certificate.extended_key_usage();
    let extended = extended.map_err(|_| "extended key usages")?;
    usage.extended_key_usage = extended.map_or_else(Vec::new, |it| extended_usages(it.value));
    let names = certificate.subject_alternative_name();
    let names = names.map_err(|_| "alternative names")?;
    for name in names.iter().flat_map(|it| &it.value.general_names) {
        match name {
            GeneralName::DNSName(name) => usage.dns_names.push((*name).to_owned()),
            GeneralName::RFC822Name(name) => usage.emails.push((*name).to_owned()),
            GeneralName::URI(name) => usage.uris.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => {
                usage
                    .addresses
                    .push(address(bytes).ok_or("alternative names")?);
            }
            GeneralName::Invalid(..) => return Err("alternative names"),
            _ => {}
        }
    }
    Ok(usage)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

/// RFC 5280's names of the bits.
fn key_usages(usage: &KeyUsage) -> Vec<String> {
    let all = [
        ("digitalSignature", usage.digital_signature()),
        ("contentCommitment", usage.non_repudiation()),
        ("keyEncipherment", usage.key_encipherment()),
        ("dataEncipherment", usage.data_encipherment()),
        ("keyAgreement", usage.key_agreement()),
        ("keyCertSign", usage.key_cert_sign()),
        ("cRLSign", usage.crl_sign()),
        ("encipherOnly", usage.encipher_only()),
        ("decipherOnly", usage.decipher_only()),
    ];
    names_of(&all)
}

/// RFC 5280's names, and the numbers of what it does not name.
fn extended_usages(usage: &ExtendedKeyUsage<'_>) -> Vec<String> {
    let all = [
        ("any", usage.any),
        ("serverAuth", usage.server_auth),
        ("clientAuth", usage.client_auth),
        ("codeSigning", usage.code_signing),
        ("emailProtection", usage.email_protection),
        ("timeStamping", usage.time_stamping),
        ("OCSPSigning", usage.ocsp_signing),
    ];
    let mut names = names_of(&all);
    names.extend(usage.other.iter().map(|id| id.to_id_string()));
    names
}

fn names_of(all: &[(&str, bool)]) -> Vec<String> {
    let given = all.iter().filter(|(_, is_given)| *is_given);
    given.map(|(name, _)| (*name).to_owned()).collect()
}

/// Go `crypto/x509/x509.go`, `PublicKeyAlgorithm`.
const KEY_ALGORITHMS: [(&str, &str); 4] = [
    ("1.2.840.113549.1.1.1", "RSA"),
    ("1.2.840.10040.4.1", "DSA"),
    ("1.2.840.10045.2.1", "ECDSA"),
    ("1.3.101.112", "Ed25519"),
];

/// Sizes of the curves, in bits (Go `crypto/x509/x509.go`, `namedCurveFromOID`).
const CURVES: [(&str, i64); 4] = [
    ("1.3.132.0.33", 224),
    ("1.2.840.10045.3.1.7", 256),
    ("1.3.132.0.34", 384),
    ("1.3.132.0.35", 521),
];

/// Returns the kind and the size of a public key.
pub(super) fn key(info: &SubjectPublicKeyInfo<'_>) -> Key {
    let algorithm = known(&KEY_ALGORITHMS, &info.algorithm);
    let curve = || {
        let id = info.algorithm.parameters()?.as_oid().ok()?.to_id_string();
        let curve = CURVES.iter().find(|(known, _)| *known == id)?;
        Some(curve.1)
    };
    let bits = match info.parsed() {
        Ok(PublicKey::RSA(key)) => bits_of(key.modulus),
        Ok(PublicKey::DSA(key)) => bits_of(key),
        Ok(PublicKey::EC(_)) => curve().unwrap_or_default(),
        _ if algorithm == "Ed25519" => 256,
        _ => 0,
    };
    Key { algorithm, bits }
}

/// The length of a number without its leading zeros.
fn bits_of(number: &[u8]) -> i64 {
    let start = number.iter().position(|byte| *byte != 0);
    let number = start.and_then(|start| number.get(start..));
    let Some((first, rest)) = number.and_then(<[u8]>::split_first) else {
        return 0;
    };
    let rest = i64::try_from(rest.len()).unwrap_or(i64::MAX);
    rest.saturating_mul(8) + i64::from(8 - first.leading_zeros())
}

/// Go `crypto/x509/x509.go`, `signatureAlgorithmDetails`; those with parameters by their number.
const SIGNATURE_ALGORITHMS: [(&str, &str); 12] = [
    ("1.2.840.113549.1.1.4", "MD5-RSA"),
    ("1.2.840.113549.1.1.5", "SHA1-RSA"),
    ("1.2.840.113549.1.1.11", "SHA256-RSA"),
    ("1.2.840.113549.1.1.12", "SHA384-RSA"),
    ("1.2.840.113549.1.1.13", "SHA512-RSA"),
    ("1.2.840.10040.4.3", "DSA-SHA1"),
    ("2.16.840.1.101.3.4.3.2", "DSA-SHA256"),
    ("1.2.840.10045.4.1", "ECDSA-SHA1"),
    ("1.2.840.10045.4.3.2", "ECDSA-SHA256"),
    ("1.2.840.10045.4.3.3", "ECDSA-SHA384"),
    ("1.2.840.10045.4.3.4", "ECDSA-SHA512"),
    ("1.3.101.112", "Ed25519"),
];

/// Returns Go's name of an algorithm, or its number.
pub(super) fn signature_algorithm(algorithm: &AlgorithmIdentifier<'_>) -> String {
    known(&SIGNATURE_ALGORITHMS, algorithm)
}

fn known(names: &[(&str, &str)], algorithm: &AlgorithmIdentifier<'_>) -> String {
    let id = algorithm.oid().to_id_string();
    let name = names.iter().find(|(known, _)| *known == id);
    name.map_or(id, |(_, name)| (*name).to_owned())
}
