//! The answer to an AdmissionReview, written once into the bytes that go out.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::review::{API_VERSION, KIND};
use super::status::Status;

/// An answer: `admission.k8s.io/v1` AdmissionResponse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmissionResponse<'a> {
    /// The request's uid, unchanged.
    pub uid: &'a str,
    /// Whether the request is admitted.
    pub outcome: Outcome,
    /// What the client is warned about. The API server passes on 4,096 characters in all, 256 each
    /// if there are more.
    pub warnings: Vec<String>,
    /// What goes into the audit log; keys without the webhook's name, in the order to be written.
    pub audit_annotations: Vec<(String, String)>,
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The request is admitted as it is.
    Allowed,
    /// The request is admitted with this JSON Patch (RFC 6902) applied. A validating webhook must
    /// never answer so: the API server makes it an error.
    Patched(Vec<u8>),
    /// The request is refused.
    Denied(Status),
}

impl AdmissionResponse<'_> {
    /// Makes the answer that admits the request and says nothing else.
    pub fn allowed(uid: &str) -> AdmissionResponse<'_> {
        AdmissionResponse {
            uid,
            outcome: Outcome::Allowed,
            warnings: Vec::new(),
            audit_annotations: Vec::new(),
        }
    }

    /// Makes the answer that refuses the request.
    pub fn denied(uid: &str, status: Status) -> AdmissionResponse<'_> {
        AdmissionResponse {
            outcome: Outcome::Denied(status),
            ..AdmissionResponse::allowed(uid)
        }
    }

    /// Returns the body of the AdmissionReview that carries the answer.
    pub fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Review<'a> {
            kind: &'static str,
            api_version: &'static str,
            response: Response<'a>,
        }
        let patch = match &self.outcome {
            Outcome::Patched(patch) => Some(base64(patch)),
            Outcome::Allowed | Outcome::Denied(_) => None,
        };
        let status = match &self.outcome {
            Outcome::Denied(status) => Some(status.fields()),
            Outcome::Allowed | Outcome::Patched(_) => None,
        };
        to_json(&Review {
            kind: KIND,
            api_version: API_VERSION,
            response: Response {
                uid: self.uid,
                allowed: status.is_none(),
                status,
                patch_type: patch.as_ref().map(|_| "JSONPatch"),
                patch,
                audit_annotations: Entries(&self.audit_annotations),
                warnings: &self.warnings,
            },
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<super::status::Fields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Entries::is_empty")]
    audit_annotations: Entries<'a>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
}

/// Pairs that are written as one object.
struct Entries<'a>(&'a [(String, String)]);

impl Entries<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// Writes one of the documents of this module.
#[expect(
    clippy::expect_used,
    reason = "writing into memory does not fail, and the documents hold strings, integers and \
              booleans under string keys only"
)]
pub(super) fn to_json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("a document of strings, integers and booleans")
}

/// Returns `bytes` in standard base64 with padding, RFC 4648 section 4.
pub(super) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32| {
        let at = usize::try_from(bits & 0x3f).unwrap_or_default();
        ALPHABET.get(at).map_or('=', |byte| char::from(*byte))
    };
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        text.push(digit(bits >> 18));
        text.push(digit(bits >> 12));
        text.push(if chunk.len() > 1 {
            digit(bits >> 6)
        } else {
            '='
        });
        text.push(if chunk.len() > 2 { digit(bits) } else { '=' });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::status::StatusReason;

    fn written(response: &AdmissionResponse<'_>) -> String {
        String::from_utf8(response.to_json()).unwrap()
    }

    #[test]
    fn an_admitted_request_gets_the_shortest_answer() {
        assert_eq!(
            written(&AdmissionResponse::allowed("7")),
            concat!(
                r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","#,
                r#""response":{"uid":"7","allowed":true}}"#
            )
        );
    }

    #[test]
    fn a_denial_carries_its_status_warnings_and_annotations() {
        let response = AdmissionResponse {
            warnings: vec!["first".to_owned(), "second".to_owned()],
            audit_annotations: vec![
                ("b".to_owned(), "2".to_owned()),
                ("a".to_owned(), "1".to_owned()),
            ],
            ..AdmissionResponse::denied("7", Status::new(StatusReason::Invalid, "too few replicas"))
        };
        assert_eq!(
            written(&response),
            concat!(
                r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","#,
                r#""response":{"uid":"7","allowed":false,"status":{"metadata":{},"#,
                r#""status":"Failure","message":"too few replicas","reason":"Invalid","#,
                r#""code":422},"auditAnnotations":{"b":"2","a":"1"},"#,
                r#""warnings":["first","second"]}}"#
            )
        );
    }

    #[test]
    fn a_patch_travels_in_base64_with_its_type() {
        let response = AdmissionResponse {
            outcome: Outcome::Patched(b"[]".to_vec()),
            ..AdmissionResponse::allowed("7")
        };
        assert_eq!(
            written(&response),
            concat!(
                r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":"#,
                r#"{"uid":"7","allowed":true,"patch":"W10=","patchType":"JSONPatch"}}"#
            )
        );
    }

    #[test]
    fn base64_is_padded_as_in_rfc_4648() {
        for (bytes, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), expected, "{bytes}");
        }
        assert_eq!(base64(&[0xff, 0xef, 0xbe]), "/+++");
    }
}
