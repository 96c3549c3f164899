//! What is read of a certificate, beside what Go's `crypto/x509` reads of the same ones (whole names
//! aside, of which Go joins the parts of one kind).

use bumpalo::Bump;

use super::{parse, parse_or_none};
use crate::cel::encode::{Notation, write};
use crate::cel::function::Call;
use crate::cel::pattern::Patterns;
use crate::cel::value::Value;

const AUTHORITY: &str = include_str!("../../../../tests/data/x509/authority.pem");
const LEAF: &str = include_str!("../../../../tests/data/x509/leaf.pem");
/// Has an alternative name of an address of five bytes.
const BAD_ADDRESS: &str = include_str!("../../../../tests/data/x509/bad-address.pem");

fn call(arena: &Bump) -> Call<'_> {
    Call {
        arena,
        memory_limit: usize::MAX,
        patterns: Patterns::default(),
        steps: std::cell::Cell::default(),
        lookup: None,
        authorizer: None,
    }
}

/// The fields as JSON, or why there are none.
fn read(text: &str) -> Result<serde_json::Value, String> {
    let arena = Bump::new();
    let value = parse(&call(&arena), &[Value::String(arena.alloc_str(text))]);
    let value = value.map_err(|fault| fault.to_string())?;
    let text = write(&value, Notation::Plain, usize::MAX).whole().unwrap();
    Ok(serde_json::from_str(&text).unwrap())
}

#[test]
fn an_authority_is_read_as_go_reads_it() {
    let name = serde_json::json!({
        "commonName": " Mesh CA #1",
        "organization": ["Example, Inc.", "Second"],
        "organizationalUnit": ["Ops", "Mesh"],
        "name": r"CN=\ Mesh CA #1,OU=Ops+OU=Mesh,O=Second,O=Example\, Inc.,C=DE",
    });
    let mut wanted = serde_json::json!({
        "subject": name,
        "issuer": name,
        "serialNumber": "f1a2",
        "notBefore": "2026-11-21T01:01:59Z",
        "notAfter": "2036-11-18T01:01:59Z",
        "isCA": true,
        "selfSigned": true,
        "dnsNames": [],
        "ipAddresses": [],
        "uris": [],
        "emailAddresses": [],
        "keyUsage": ["keyCertSign", "cRLSign"],
        "extKeyUsage": [],
        "publicKeyAlgorithm": "RSA",
        "publicKeyBits": 2048,
        "signatureAlgorithm": "SHA256-RSA",
        "sha256": "67ee07be6186b29151877aa9266839eb579301f5694eefef9e3a94e4e5641cd5",
        "chain": [],
    });
    assert_eq!(read(AUTHORITY).unwrap(), wanted);
    // Read as the second one, it has no chain of its own.
    wanted.as_object_mut().unwrap().remove("chain");
    let both = read(&format!("leaf:\n{LEAF}\nauthority:\n{AUTHORITY}")).unwrap();
    assert_eq!(both["chain"], serde_json::json!([wanted]));
}

#[test]
fn a_leaf_is_read_as_go_reads_it() {
    let leaf = read(LEAF).unwrap();
    for (field, wanted) in [
        (
            "/subject/name",
            serde_json::json!("CN=mesh.example,CN=first"),
        ),
        ("/subject/commonName", serde_json::json!("mesh.example")),
        ("/serialNumber", serde_json::json!("4d")),
        ("/isCA", serde_json::json!(false)),
        ("/selfSigned", serde_json::json!(false)),
        (
            "/dnsNames",
            serde_json::json!(["mesh.example", "*.mesh.example"]),
        ),
        (
            "/ipAddresses",
            serde_json::json!(["10.0.0.1", "2001:db8::1"]),
        ),
        ("/uris", serde_json::json!(["spiffe://mesh.example/ns/a"])),
        ("/emailAddresses", serde_json::json!(["ops@mesh.example"])),
        (
            "/keyUsage",
            serde_json::json!(["digitalSignature", "keyEncipherment"]),
        ),
        (
            "/extKeyUsage",
            serde_json::json!(["serverAuth", "clientAuth", "1.3.6.1.5.5.7.3.99"]),
        ),
        ("/publicKeyAlgorithm", serde_json::json!("ECDSA")),
        ("/publicKeyBits", serde_json::json!(384)),
        (
            "/sha256",
            serde_json::json!("a6a60d9383fafb91dba6ae4863fb6c639500e9b25f0bfebc8f57527800c78b0c"),
        ),
    ] {
        assert_eq!(leaf.pointer(field), Some(&wanted), "{field}");
    }
}

#[test]
fn what_is_no_certificate_is_refused_without_repeating_it() {
    let key = "-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0\n-----END RSA PRIVATE KEY-----\n";
    let text =
        |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----");
    for (given, wanted) in [
        (
            "".to_owned(),
            "line 1, column 1: there is no `-----BEGIN CERTIFICATE-----`",
        ),
        (
            format!("{LEAF}{key}"),
            "line 21, column 1: the text holds a private key",
        ),
        (
            text("CERTIFICATE REQUEST", "AAAA"),
            "line 1, column 1: expected a certificate, found `CERTIFICATE REQUEST`",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA".to_owned(),
            "line 1, column 1: there is no `-----END CERTIFICATE-----`",
        ),
        (
            text("CERTIFICATE", "c2Vj*mV0"),
            "line 1, column 1: not a certificate: what it holds is not base64",
        ),
        (
            format!("\n{}", text("CERTIFICATE", "c2VjcmV0")),
            "line 2, column 1: not a certificate: what it holds is not X.509 in DER",
        ),
        (
            BAD_ADDRESS.to_owned(),
            "line 1, column 1: not a certificate: its alternative names cannot be read or are given \
             twice",
        ),
        (
            LEAF.repeat(101),
            "line 2001, column 1: there are more than 100 certificates",
        ),
    ] {
        let error = read(&given).unwrap_err();
        assert_eq!(error, format!("x509.parse: {wanted}"));
        let arena = Bump::new();
        let none = parse_or_none(&call(&arena), &[Value::String(&given)]);
        assert!(matches!(none, Ok(Value::Optional(None))), "{given}");
    }
}

/// Whatever is cut off or changed, there is an answer.
#[test]
fn broken_certificates_are_answered() {
    let lines: String = LEAF.lines().filter(|line| !line.starts_with('-')).collect();
    let mut der = Vec::new();
    super::encoders::decode_into(&lines, |byte| der.push(byte)).unwrap();
    let pem = |der: &[u8]| {
        let arena = Bump::new();
        let call = call(&arena);
        let encode = super::encoders::FUNCTIONS[1].overloads[0].body;
        let Ok(Value::String(body)) = encode(&call, &[Value::Bytes(arena.alloc_slice_copy(der))])
        else {
            panic!("base64.encode");
        };
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----")
    };
    assert!(read(&pem(&der)).is_ok());
    for at in 0..der.len() {
        assert!(read(&pem(&der[..at])).is_err(), "{at} bytes");
        for change in [1, 0xff] {
            let mut changed = der.clone();
            changed[at] ^= change;
            // Either answer will do: not every byte is looked at.
            let _ = read(&pem(&changed));
        }
    }
}
