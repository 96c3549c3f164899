//! Spans in the wire format of OTLP: `ExportTraceServiceRequest` of `opentelemetry/proto/collector/trace/v1`
//! and what it holds of `trace/v1`, `resource/v1` and `common/v1`, version 1.

use super::{Attribute, Span};

/// Returns the body of a request that delivers `spans` of a program that says `resource` of itself.
pub(super) fn request(spans: &[Span], resource: &[(String, String)]) -> Vec<u8> {
    let mut body = Message::default();
    body.message(1, |resource_spans| {
        resource_spans.message(1, |message| {
            for (name, value) in resource {
                message.message(1, |pair| {
                    key_value(pair, name, &Attribute::Text(value.clone()))
                });
            }
        });
        resource_spans.message(2, |scope_spans| {
            scope_spans.message(1, |scope| {
                scope.bytes(1, b"portcullis");
                scope.bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
            });
            for span in spans {
                scope_spans.message(2, |message| write(message, span));
            }
        });
    });
    body.0
}

const KIND_INTERNAL: u64 = 1;
const KIND_SERVER: u64 = 2;
const STATUS_ERROR: u64 = 2;

fn write(message: &mut Message, span: &Span) {
    message.bytes(1, &span.trace_id);
    message.bytes(2, &span.id);
    message.bytes(4, &span.parent);
    message.bytes(5, span.name.as_bytes());
    message.number(
        6,
        if span.is_server {
            KIND_SERVER
        } else {
            KIND_INTERNAL
        },
    );
    for (field, time) in [(7, span.begin), (8, span.end)] {
        message.fixed(field, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }
    for (name, value) in &span.attributes {
        message.message(9, |pair| key_value(pair, name, value));
    }
    if span.left_out > 0 {
        message.message(9, |pair| {
            let left_out = Attribute::Number(span.left_out.into());
            key_value(pair, "portcullis.spans_left_out", &left_out);
        });
    }
    if span.has_failed {
        message.message(15, |status| status.number(3, STATUS_ERROR));
    }
}

fn key_value(message: &mut Message, name: &str, value: &Attribute) {
    message.bytes(1, name.as_bytes());
    message.message(2, |any| match value {
        Attribute::Text(text) => any.bytes(1, text.as_bytes()),
        Attribute::Word(word) => any.bytes(1, word.as_bytes()),
        Attribute::Flag(flag) => any.number(2, u64::from(*flag)),
        Attribute::Number(number) => any.number(3, *number),
    });
}

/// A message of protocol buffers.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number > 0x7f {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn number(&mut self, field: u64, number: u64) {
        self.varint(field << 3);
        self.varint(number);
    }

    fn fixed(&mut self, field: u64, number: u64) {
        self.varint(field << 3 | 1);
        self.0.extend(number.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn message(&mut self, field: u64, write: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        write(&mut inner);
        self.bytes(field, &inner.0);
    }
}
