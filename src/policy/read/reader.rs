//! Reads fields of YAML mappings into the model, with a finding for each that is not as it must be.
//!
//! A value of null is a field that was not written, as for the API server. Keys that nobody asked
//! for are errors, as under `fieldValidation: Strict`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diagnostics::{Diagnostic, Severity};
use crate::policy::model::Reading;
use crate::policy::places::{Places, first_line};
use crate::text::yaml::{Entry, Yaml, YamlValue};
use crate::text::{Fragment, Source, Span, nearest};

/// What reading one document has given so far.
pub(super) struct Reader<'s> {
    pub(super) source: &'s Arc<Source>,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) places: Places,
    /// Where the front matter of a `.cel` file begins.
    pub(super) front_matter: Span,
}

/// A field that was written.
#[derive(Clone)]
pub(super) struct Field<'y> {
    pub(super) yaml: &'y Yaml,
    /// Its path in the Kubernetes object.
    pub(super) path: String,
    /// Its key, or the item, if it is one of a list.
    pub(super) name: String,
}

/// The fields of a mapping, with those that were asked for.
pub(super) struct Fields<'y> {
    entries: &'y [Entry],
    path: String,
    asked: Vec<&'static str>,
}

impl Fields<'_> {
    /// Returns where the first of them is written.
    pub(super) fn first_key(&self) -> Span {
        let first = self.entries.first();
        first.map_or(Span::default(), |entry| entry.key_span)
    }

    /// Returns the path of a field of these.
    pub(super) fn path(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

impl<'s> Reader<'s> {
    pub(super) fn new(source: &'s Arc<Source>) -> Self {
        Reader {
            source,
            diagnostics: Vec::new(),
            places: Places::default(),
            front_matter: Span::default(),
        }
    }

    /// Tells whether something was not understood.
    pub(super) fn reading(&self) -> Reading {
        let faulty = |diagnostic: &Diagnostic| diagnostic.severity == Severity::Error;
        if self.diagnostics.iter().any(faulty) {
            Reading::Faulty
        } else {
            Reading::Whole
        }
    }

    /// Adds a finding at `span`; an empty `help` is none.
    pub(super) fn error(
        &mut self,
        span: Span,
        code: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let help: String = help.into();
        let diagnostic = Diagnostic::error(code, message).at(self.source, span);
        self.diagnostics.push(if help.is_empty() {
            diagnostic
        } else {
            diagnostic.help(help)
        });
    }

    /// Adds a warning at `span`: what is said there is known, and done otherwise than it asks for.
    pub(super) fn warn(
        &mut self,
        span: Span,
        code: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let diagnostic = Diagnostic::warning(code, message).at(self.source, span);
        self.diagnostics.push(diagnostic.help(help.into()));
    }

    /// Adds the finding that the field at `path` must be written.
    pub(super) fn missing(&mut self, path: &str, around: Span, help: impl Into<String>) {
        let span = self.places.find(self.source, path).unwrap_or(around);
        let name = path.rsplit('.').next().unwrap_or(path);
        self.error(
            span,
            "policy/required",
            format!("`{name}` is missing"),
            help,
        );
    }

    /// Returns a whole document as a field.
    pub(super) fn root<'y>(&mut self, yaml: &'y Yaml) -> Field<'y> {
        Field {
            yaml,
            path: String::new(),
            name: "the document".to_owned(),
        }
    }

    /// Returns the fields of a mapping.
    pub(super) fn fields<'y>(&mut self, field: &Field<'y>) -> Option<Fields<'y>> {
        let YamlValue::Mapping(entries) = &field.yaml.value else {
            self.wrong_type(field, "a mapping", "write its fields as `key: value`");
            return None;
        };
        Some(Fields {
            entries,
            path: field.path.clone(),
            asked: Vec::new(),
        })
    }

    /// Returns the field named `key`, if it was written.
    pub(super) fn field<'y>(
        &mut self,
        fields: &mut Fields<'y>,
        key: &'static str,
    ) -> Option<Field<'y>> {
        let path = fields.path(key);
        self.field_at(fields, key, path)
    }

    /// Returns the field named `key`, which stands for the field of Kubernetes at `path`.
    pub(super) fn field_at<'y>(
        &mut self,
        fields: &mut Fields<'y>,
        key: &'static str,
        path: impl Into<String>,
    ) -> Option<Field<'y>> {
        fields.asked.push(key);
        let entry = fields.entries.iter().find(|entry| entry.key == key)?;
        let path = path.into();
        if matches!(entry.value.value, YamlValue::Null) {
            self.places.note_null(path, entry.key_span);
            return None;
        }
        self.places
            .note(path.clone(), Some(entry.key_span), entry.value.span);
        Some(Field {
            yaml: &entry.value,
            path,
            name: key.to_owned(),
        })
    }

    /// Reports the keys that were not asked for.
    pub(super) fn close(&mut self, fields: &Fields<'_>) {
        for entry in fields.entries {
            let key = entry.key.as_str();
            if fields.asked.contains(&key) {
                continue;
            }
            let help = did_you_mean(key, fields.asked.iter().copied(), "`", "`")
                .unwrap_or_else(|| format!("known keys are {}", fields.asked.join(", ")));
            self.error(
                entry.key_span,
                "policy/unknown-key",
                format!("unknown key `{key}`"),
                help,
            );
        }
    }

    /// Returns all fields of a mapping whose keys are free.
    pub(super) fn entries<'y>(&mut self, field: &Field<'y>) -> Vec<(&'y Entry, Field<'y>)> {
        let YamlValue::Mapping(entries) = &field.yaml.value else {
            self.wrong_type(field, "a mapping", "write it as `name: value`");
            return Vec::new();
        };
        entries
            .iter()
            .filter(|entry| !matches!(entry.value.value, YamlValue::Null))
            .map(|entry| {
                let path = format!("{}[{}]", field.path, entry.key);
                self.places
                    .note(path.clone(), Some(entry.key_span), entry.value.span);
                let name = entry.key.clone();
                let yaml = &entry.value;
                (entry, Field { yaml, path, name })
            })
            .collect()
    }

    /// Returns the items of a list.
    pub(super) fn items<'y>(&mut self, field: &Field<'y>) -> Vec<Field<'y>> {
        let YamlValue::Sequence(items) = &field.yaml.value else {
            self.wrong_type(field, "a list", "write it as `[item, item]`");
            return Vec::new();
        };
        items
            .iter()
            .enumerate()
            .map(|(index, yaml)| {
                let path = format!("{}[{index}]", field.path);
                self.places.note(path.clone(), None, yaml.span);
                let name = format!("{}[{index}]", field.name);
                Field { yaml, path, name }
            })
            .collect()
    }

    /// Returns what `read` makes of each item of a list, without those it makes nothing of.
    ///
    /// The path of an item is its place in what is returned.
    pub(super) fn each<T>(
        &mut self,
        field: &Field<'_>,
        mut read: impl FnMut(&mut Self, &Field<'_>) -> Option<T>,
    ) -> Vec<T> {
        let mut values = Vec::new();
        for mut item in self.items(field) {
            item.path = format!("{}[{}]", field.path, values.len());
            self.places.note(item.path.clone(), None, item.yaml.span);
            values.extend(read(self, &item));
        }
        values
    }

    /// Returns a string.
    pub(super) fn string<'y>(&mut self, field: &Field<'y>) -> Option<&'y str> {
        if let YamlValue::String(text) = &field.yaml.value {
            return Some(text);
        }
        self.wrong_type(field, "a string", "put it in quotes");
        None
    }

    /// Returns the string named `key`; empty if it was not written, as for the API server.
    pub(super) fn text(&mut self, fields: &mut Fields<'_>, key: &'static str) -> String {
        match self.field(fields, key) {
            Some(field) => self.string(&field).unwrap_or_default().to_owned(),
            None => String::new(),
        }
    }

    /// Returns a list of strings.
    pub(super) fn strings(&mut self, field: &Field<'_>) -> Vec<String> {
        self.each(field, |reader, item| reader.string(item).map(str::to_owned))
    }

    /// Returns the list of strings named `key`; empty if it was not written.
    pub(super) fn texts(&mut self, fields: &mut Fields<'_>, key: &'static str) -> Vec<String> {
        match self.field(fields, key) {
            Some(field) => self.strings(&field),
            None => Vec::new(),
        }
    }

    /// Returns a mapping of strings.
    pub(super) fn string_map(&mut self, field: &Field<'_>) -> BTreeMap<String, String> {
        let entries = self.entries(field);
        entries
            .iter()
            .filter_map(|(entry, value)| Some((entry.key.clone(), self.string(value)?.to_owned())))
            .collect()
    }

    /// Returns `true` or `false`.
    pub(super) fn boolean(&mut self, field: &Field<'_>) -> Option<bool> {
        if let YamlValue::Bool(value) = field.yaml.value {
            return Some(value);
        }
        self.wrong_type(field, "a boolean", "write `true` or `false`");
        None
    }

    /// Returns one of a few words; `what` names them, for the code and the message.
    pub(super) fn choice<T: Copy>(
        &mut self,
        field: &Field<'_>,
        what: &str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let word = self.string(field)?;
        let span = field.yaml.span;
        self.choose(word, span, what, choices)
    }

    /// Returns the choice named `word`, which is written at `span`.
    pub(super) fn choose<T: Copy>(
        &mut self,
        word: &str,
        span: Span,
        what: &str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let found = choices.iter().find(|(name, _)| *name == word);
        if let Some((_, choice)) = found {
            return Some(*choice);
        }
        let names = || choices.iter().map(|(name, _)| *name);
        let help = did_you_mean(word, names(), "`", "`").unwrap_or_else(|| {
            let names: Vec<String> = names().map(|name| format!("`{name}`")).collect();
            format!("one of {}", names.join(", "))
        });
        let code = format!("policy/unknown-{}", what.replace(' ', "-"));
        self.error(span, &code, format!("unknown {what} `{word}`"), help);
        None
    }

    /// Returns the expression named `key`; an empty one at `around` if it was not written.
    pub(super) fn expression(
        &mut self,
        fields: &mut Fields<'_>,
        key: &'static str,
        around: Span,
    ) -> Fragment {
        self.optional_expression(fields, key)
            .unwrap_or_else(|| self.no_expression(around))
    }

    /// Returns the expression named `key`, if it was written.
    pub(super) fn optional_expression(
        &mut self,
        fields: &mut Fields<'_>,
        key: &'static str,
    ) -> Option<Fragment> {
        let field = self.field(fields, key)?;
        self.string(&field)?;
        field.yaml.fragment(self.source)
    }

    /// Returns the expression that was not written at `around`.
    pub(super) fn no_expression(&self, around: Span) -> Fragment {
        Fragment::verbatim(self.source, Span::new(around.start, around.start))
    }

    /// Adds the finding that a value is not of the type it must be.
    pub(super) fn wrong_type(&mut self, field: &Field<'_>, wanted: &str, help: &str) {
        let found = field.yaml.kind_name();
        self.error(
            first_line(self.source, field.yaml.span),
            "policy/wrong-type",
            format!("`{}` must be {wanted}, not {found}", field.name),
            help,
        );
    }
}

/// Returns "did you mean `x`?" if `name` is close to one of `candidates`.
pub(super) fn did_you_mean<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    before: &str,
    after: &str,
) -> Option<String> {
    let found = nearest(name, candidates)?;
    Some(format!("did you mean {before}{found}{after}?"))
}
