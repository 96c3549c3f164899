//! Certificates inside of strings: an extension of Kubernetes' language.
//!
//! What is read is what a policy may ask about; no signature is checked, and there is no clock. A
//! text that holds a private key is refused as a whole, and nothing of it is repeated.

use std::net::IpAddr;

use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::super::error::Result;
use super::super::function::{Call, Function};
use super::super::types::Type;
use super::super::value::entries::Entries;
use super::super::value::{IntoValue, Timestamp, Value};
use super::documents::{DOCUMENT, made, of, or_none, text_of, unreadable};
use super::encoders;
use crate::text::{excerpt, position};

mod name;
#[cfg(test)]
mod tests;
mod usage;

/// A certificate for `mesh.example` that signed itself; a macro, for `concat!`.
macro_rules! example {
    () => {
        concat!(
            "-----BEGIN CERTIFICATE-----",
            "MIIBAjCBtaADAgECAgEBMAUGAytlcDAXMRUwEwYDVQQDDAxtZXNoLmV4YW1wbGUwHhcNMjYxMTIx",
            "MDA0MDE2WhcNMzcxMTAzMDA0MDE2WjAXMRUwEwYDVQQDDAxtZXNoLmV4YW1wbGUwKjAFBgMrZXAD",
            "IQBS+kl6OvxvOyPDq7k1z9IWjEz05Ld7VuZ/cAb/hCuRj6MmMCQwFwYDVR0RBBAwDoIMbWVzaC5l",
            "eGFtcGxlMAkGA1UdEwQCMAAwBQYDK2VwA0EALzMqcp6t0MNmlCYSQMEnEAqj15GjRhvXHmTSIFvp",
            "HfRUuAZL7MgHAVpuH0Qul+croQi+7GhBlE8BHttq5o29Aw==",
            "-----END CERTIFICATE-----"
        )
    };
}

/// The functions of this library.
pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "x509.parse",
        doc: "Reads the first certificate of a PEM text of up to 1 MiB. It has `subject` and `issuer` \
              (each with `commonName`, `organization`, `organizationalUnit` and `name`, the whole as \
              in `CN=a,O=b`), `serialNumber` (hexadecimal), `notBefore` and `notAfter` (timestamps), \
              `isCA`, `selfSigned` (its issuer is its subject; the signature is not checked), \
              `dnsNames`, `ipAddresses`, `uris`, `emailAddresses`, `keyUsage`, `extKeyUsage`, \
              `publicKeyAlgorithm`, `publicKeyBits`, `signatureAlgorithm`, `sha256` (of the whole, \
              hexadecimal), and `chain`, the certificates that follow it, read the same way. A text \
              with a private key is an error.",
        overloads: &[of("x509_parse", DOCUMENT, parse)],
        examples: &[
            (
                concat!("x509.parse('", example!(), "').subject.commonName"),
                "'mesh.example'",
            ),
            (
                "x509.parse('secret')",
                "error: x509.parse: line 1, column 1: there is no `-----BEGIN CERTIFICATE-----`",
            ),
            (
                "x509.parse('-----BEGIN PRIVATE KEY-----\\nAAAA\\n-----END PRIVATE KEY-----')",
                "error: x509.parse: line 1, column 1: the text holds a private key",
            ),
        ],
    },
    Function {
        name: "x509.parseOrNone",
        doc: "Reads a certificate as `x509.parse` does; none if it cannot be read.",
        overloads: &[of(
            "x509_parse_or_none",
            Type::Optional(&DOCUMENT),
            parse_or_none,
        )],
        examples: &[("x509.parseOrNone('').?isCA.orValue(true)", "true")],
    },
];

/// Longest chain that is read.
const MAX_CERTIFICATES: usize = 100;

fn parse<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let name = "x509.parse";
    let text = text_of(call, arguments, (name, 4))?;
    let read = || {
        let mut certificates = Vec::new();
        for block in blocks(text)? {
            if certificates.len() == MAX_CERTIFICATES {
                let message = format!("there are more than {MAX_CERTIFICATES} certificates");
                return Err(fault(block.at, message));
            }
            certificates.push(certificate(call, &block)?);
        }
        Ok(certificates)
    };
    let certificates = read()
        .map_err(|Fault { at, message }| unreadable(call, name, (position(text, at), &message)))?;
    let rest = certificates.get(1..).unwrap_or_default();
    let rest: Vec<Value<'a>> = rest.iter().map(|it| map(call, it)).collect();
    let mut entries = certificates.into_iter().next().unwrap_or_default();
    entries.push((Value::String("chain"), rest.into_value(call.arena)));
    made(call, map(call, &entries))
}

fn parse_or_none<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    or_none(call, parse(call, arguments))
}

type Fields<'a> = Vec<(Value<'a>, Value<'a>)>;

fn map<'a>(call: &Call<'a>, fields: &Fields<'a>) -> Value<'a> {
    Value::Map(Entries::new_in(call.arena, fields))
}

/// What is wrong, and at which byte of the text.
#[derive(Debug)]
struct Fault {
    at: usize,
    message: String,
}

fn fault(at: usize, message: impl Into<String>) -> Fault {
    let message = message.into();
    Fault { at, message }
}

/// A certificate in PEM.
struct Block<'t> {
    /// Where it begins.
    at: usize,
    base64: &'t str,
}

/// Finds the certificates of a text (RFC 7468); text around them is passed over.
fn blocks(text: &str) -> std::result::Result<Vec<Block<'_>>, Fault> {
    const BEGIN: &str = "-----BEGIN ";
    const DASHES: &str = "-----";
    // Whatever else the text is.
    if let Some(at) = text.find("PRIVATE KEY-----") {
        let line = text.get(..at).and_then(|before| before.rfind('\n'));
        return Err(fault(
            line.map_or(0, |line| line + 1),
            "the text holds a private key",
        ));
    }
    let mut blocks = Vec::new();
    let mut from = 0;
    while let Some(found) = text.get(from..).and_then(|rest| rest.find(BEGIN)) {
        let at = from + found;
        let rest = text.get(at + BEGIN.len()..).unwrap_or_default();
        let Some((label, rest)) = rest.split_once(DASHES) else {
            return Err(fault(at, "this line does not end with `-----`"));
        };
        if label != "CERTIFICATE" {
            let message = format!("expected a certificate, found `{}`", excerpt(label));
            return Err(fault(at, message));
        }
        let Some((base64, _)) = rest.split_once("-----END CERTIFICATE-----") else {
            return Err(fault(at, "there is no `-----END CERTIFICATE-----`"));
        };
        blocks.push(Block { at, base64 });
        from = text.len() - rest.len() + base64.len();
    }
    if blocks.is_empty() {
        return Err(fault(0, "there is no `-----BEGIN CERTIFICATE-----`"));
    }
    Ok(blocks)
}

/// Reads what a policy may ask about a certificate. An extension that is there and cannot be read
/// makes the whole unreadable: without it a certificate of an authority would look like another one.
fn certificate<'a>(call: &Call<'a>, block: &Block<'_>) -> std::result::Result<Fields<'a>, Fault> {
    let refused = |message: &str| fault(block.at, format!("not a certificate: {message}"));
    let mut der = Vec::with_capacity(block.base64.len() / 4 * 3);
    let base64: String = block.base64.split([' ', '\t']).collect();
    encoders::decode_into(&base64, |byte| der.push(byte))
        .map_err(|_| refused("what it holds is not base64"))?;
    let (rest, read) = X509Certificate::from_der(&der)
        .map_err(|_| refused("what it holds is not X.509 in DER"))?;
    if !rest.is_empty() {
        return Err(refused("something follows it"));
    }
    let usage = usage::read(&read)
        .map_err(|what| refused(&format!("its {what} cannot be read or are given twice")))?;
    let text = |text: String| text.into_value(call.arena);
    let texts = |texts: Vec<String>| {
        let texts: Vec<Value<'a>> = texts.into_iter().map(text).collect();
        texts.into_value(call.arena)
    };
    let validity = read.validity();
    let time = |seconds: i64| {
        Value::Timestamp(Timestamp {
            seconds,
            nanos: 0,
            offset_seconds: 0,
        })
    };
    let (subject, issuer) = (read.subject(), read.issuer());
    let key = usage::key(read.public_key());
    let fields = [
        ("subject", map(call, &name::fields(call, subject))),
        ("issuer", map(call, &name::fields(call, issuer))),
        (
            "serialNumber",
            text(hexadecimal(without_zeros(read.raw_serial()))),
        ),
        ("notBefore", time(validity.not_before.timestamp())),
        ("notAfter", time(validity.not_after.timestamp())),
        ("isCA", Value::Bool(usage.is_authority)),
        (
            "selfSigned",
            Value::Bool(subject.as_raw() == issuer.as_raw()),
        ),
        ("dnsNames", texts(usage.dns_names)),
        (
            "ipAddresses",
            texts(usage.addresses.iter().map(IpAddr::to_string).collect()),
        ),
        ("uris", texts(usage.uris)),
        ("emailAddresses", texts(usage.emails)),
        ("keyUsage", texts(usage.key_usage)),
        ("extKeyUsage", texts(usage.extended_key_usage)),
        ("publicKeyAlgorithm", text(key.algorithm)),
        ("publicKeyBits", Value::Int(key.bits)),
        (
            "signatureAlgorithm",
            text(usage::signature_algorithm(&read.signature_algorithm)),
        ),
        ("sha256", text(hexadecimal(&Sha256::digest(&der)))),
    ];
    let fields = fields.into_iter();
    Ok(fields
        .map(|(name, value)| (Value::String(name), value))
        .collect())
}

/// A number without the byte that only says that it is positive.
fn without_zeros(number: &[u8]) -> &[u8] {
    match number {
        [0, rest @ ..] if !rest.is_empty() => rest,
        number => number,
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
