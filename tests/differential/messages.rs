//! Messages of `google.protobuf` in the place of plain values; a few of them cannot be made.

use super::generate::Generator;
use super::literals;
use super::tree::Tree;
use super::types::Ty;

/// A message, its field, and the type of that.
type Made = (&'static str, &'static str, Ty);

/// The messages that become a value of a type.
fn making(wanted: &Ty) -> Vec<Made> {
    let wrapper = |name, value: Ty| vec![(name, "value", value)];
    match wanted {
        Ty::Bool => wrapper("BoolValue", Ty::Bool),
        Ty::Bytes => wrapper("BytesValue", Ty::Bytes),
        Ty::Double => vec![
            ("DoubleValue", "value", Ty::Double),
            ("FloatValue", "value", Ty::Double),
        ],
        Ty::Int => vec![
            ("Int64Value", "value", Ty::Int),
            ("Int32Value", "value", Ty::Int),
        ],
        Ty::Uint => vec![
            ("UInt64Value", "value", Ty::Uint),
            ("UInt32Value", "value", Ty::Uint),
        ],
        Ty::String => wrapper("StringValue", Ty::String),
        Ty::Duration => vec![
            ("Duration", "seconds", Ty::Int),
            ("Duration", "nanos", Ty::Int),
        ],
        Ty::Timestamp => vec![
            ("Timestamp", "seconds", Ty::Int),
            ("Timestamp", "nanos", Ty::Int),
        ],
        Ty::Dyn => vec![
            ("Value", "number_value", Ty::Double),
            ("Value", "string_value", Ty::String),
            ("Value", "bool_value", Ty::Bool),
            (
                "Value",
                "struct_value",
                Ty::Map(Box::new(Ty::String), Box::new(Ty::Dyn)),
            ),
            ("Value", "list_value", Ty::List(Box::new(Ty::Dyn))),
            ("Any", "value", Ty::Bytes),
        ],
        Ty::List(item) => vec![("ListValue", "values", Ty::List(item.clone()))],
        Ty::Map(key, value) => vec![("Struct", "fields", Ty::Map(key.clone(), value.clone()))],
        _ => Vec::new(),
    }
}

impl Generator<'_> {
    /// A message that becomes a value of a type.
    pub(super) fn message(&mut self, wanted: &Ty) -> Option<Tree> {
        let known = making(wanted);
        if known.is_empty() {
            return None;
        }
        let (name, field, of) = self.random.pick(&known).clone();
        if self.random.percent(10) {
            return Some(Tree::leaf(format!("google.protobuf.{name}{{}}")));
        }
        let of = match self.random.percent(4) {
            // Not every value goes into the field, and not every field exists.
            true => self.random_type(1),
            false => of,
        };
        let field = match self.random.percent(2) {
            true => *self
                .random
                .pick(&["value", "seconds", "fields", "type_url"]),
            false => field,
        };
        let value = match (&of, self.random.percent(70)) {
            // What seconds and 32 bits can hold.
            (Ty::Int, true) => Tree::leaf(*self.random.pick(&literals::INTS[..9])),
            _ => self.leaf(&of),
        };
        let (mark, value) = match self.random.percent(6) {
            true => ("?", Tree::of("optional.of($)", vec![value])),
            false => ("", value),
        };
        let text = format!("google.protobuf.{name}{{{mark}{field}: $}}");
        Some(Tree::of(&text, vec![value]))
    }
}
