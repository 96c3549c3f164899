//! The configuration file: YAML, one document, every key checked with its place.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::keys::{KEYS, Key, OVERRIDES, PACKS, STDOUT};
use super::{Origin, Resolution};
use crate::diagnostics::Diagnostic;
use crate::policy;
use crate::policy::overrides::PolicyOverride;
use crate::text::yaml::{Entry, Yaml, YamlValue, parse_stream};
use crate::text::{Source, nearest};

/// Sets what `source` says, and notes what is wrong with it.
pub(super) fn read(source: &Arc<Source>, resolution: &mut Resolution) {
    let stream = parse_stream(source);
    for error in &stream.errors {
        let finding =
            Diagnostic::error("config/syntax", error.message.clone()).at(source, error.span);
        resolution.findings.push(match &error.help {
            Some(help) => finding.help(help.clone()),
            None => finding,
        });
    }
    let mut documents = stream.documents.iter();
    if let Some(document) = documents.next() {
        File { source, resolution }.mapping("", document);
    }
    if let Some(second) = documents.next() {
        resolution.findings.push(
            Diagnostic::error("config/syntax", "the file holds a second document")
                .at(source, second.span)
                .help("put all keys into one document"),
        );
    }
}

struct File<'a> {
    source: &'a Arc<Source>,
    resolution: &'a mut Resolution,
}

impl File<'_> {
    /// Reads the keys below `prefix`, which is empty or ends with a dot.
    fn mapping(&mut self, prefix: &str, value: &Yaml) {
        if value.is_null() {
            return;
        }
        let Some(entries) = value.as_mapping() else {
            let place = prefix.strip_suffix('.');
            let what = place.map_or("the configuration".to_owned(), |place| format!("`{place}`"));
            return self.wrong_kind(&what, "a mapping", value);
        };
        for entry in entries {
            let path = format!("{prefix}{}", entry.key);
            let below = format!("{path}.");
            if let Some(key) = KEYS.iter().find(|key| key.path == path) {
                self.key(key, &entry.value);
            } else if path == OVERRIDES {
                let said = self.overrides(&entry.value);
                self.resolution.config.overrides.policies = said;
            } else if path == PACKS {
                let said = self.overrides(&entry.value);
                self.resolution.config.overrides.packs = said;
            } else if KEYS.iter().any(|key| key.path.starts_with(&below)) {
                self.mapping(&below, &entry.value);
            } else {
                self.unknown(prefix, entry);
            }
        }
    }

    /// Reads what is said of policies or packs, by name.
    fn overrides(&mut self, value: &Yaml) -> BTreeMap<String, PolicyOverride> {
        if value.is_null() {
            return BTreeMap::new();
        }
        let (said, findings) = policy::read::overrides(self.source, value);
        self.resolution.findings.extend(findings);
        said.into_iter().collect()
    }

    fn key(&mut self, key: &Key, value: &Yaml) {
        let values = match &value.value {
            // A key without a value is a key that is not given.
            YamlValue::Null => return,
            YamlValue::Sequence(items) if key.is_list => {
                items.iter().map(|item| self.scalar(key, item)).collect()
            }
            _ => self.scalar(key, value).map(|value| vec![value]),
        };
        if let Some(values) = values {
            let origin = Origin::File(self.source, value.span);
            self.resolution.set(key, &values, &origin);
        }
    }

    /// Returns a scalar as the text that flags and variables would have.
    fn scalar(&mut self, key: &Key, value: &Yaml) -> Option<String> {
        let text = match &value.value {
            YamlValue::String(text) => text.clone(),
            YamlValue::Bool(_) | YamlValue::Int(_) | YamlValue::Double(_) => {
                self.source.slice(value.span).trim().to_owned()
            }
            YamlValue::Null | YamlValue::Sequence(_) | YamlValue::Mapping(_) => {
                let wanted = if key.is_list {
                    "a string or a list of strings"
                } else {
                    "a single value"
                };
                self.wrong_kind(&format!("`{}`", key.path), wanted, value);
                return None;
            }
        };
        if key.is_path && !text.is_empty() && text != STDOUT {
            let folder = Path::new(self.source.name()).parent();
            let path = folder.unwrap_or(Path::new("")).join(text);
            return Some(path.to_string_lossy().into_owned());
        }
        Some(text)
    }

    fn wrong_kind(&mut self, what: &str, wanted: &str, value: &Yaml) {
        self.resolution.findings.push(
            Diagnostic::error(
                "config/wrong-kind",
                format!("{what} must be {wanted}, not {}", value.kind_name()),
            )
            .at(self.source, value.span),
        );
    }

    fn unknown(&mut self, prefix: &str, entry: &Entry) {
        let siblings: Vec<_> = KEYS
            .iter()
            .filter_map(|key| key.path.strip_prefix(prefix))
            .map(|rest| rest.split('.').next().unwrap_or(rest))
            .chain([OVERRIDES, PACKS].into_iter().filter(|_| prefix.is_empty()))
            .collect();
        let finding = Diagnostic::error(
            "config/unknown-key",
            format!("`{prefix}{}` is no key of the configuration", entry.key),
        )
        .at(self.source, entry.key_span);
        let help = match nearest(&entry.key, siblings.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => {
                let mut known: Vec<_> = siblings.iter().map(|key| format!("`{key}`")).collect();
                known.dedup();
                format!("known here: {}", known.join(", "))
            }
        };
        self.resolution.findings.push(finding.help(help));
    }
}
