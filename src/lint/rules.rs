//! The rules, one per file.

pub(super) mod constant;
pub(super) mod filled;
pub(super) mod lock_out;
pub(super) mod missing_has;
pub(super) mod never_matches;
pub(super) mod null_namespace;
pub(super) mod null_object;
pub(super) mod optional_variable;
pub(super) mod quantity_as_text;
pub(super) mod scale;
pub(super) mod self_rejected;
pub(super) mod types;
pub(super) mod unbound;
pub(super) mod unknown_setting;
pub(super) mod unused_variable;
