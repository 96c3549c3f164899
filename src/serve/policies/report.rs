//! How each policy stands, and each text and object that policies are in: for those who wrote them.

use std::path::PathBuf;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde_json::{Value, json};

use crate::diagnostics::Diagnostic;
use crate::policy::compile::CompiledPolicy;
use crate::policy::model::{Origin, PolicyKind};
use crate::policy::set::PolicySet;
use crate::sources::Carrier;
use crate::text::Source;
use crate::text::yaml::{Yaml, YamlValue, parse_stream};

/// Most faults that are shown of one policy or text; the others are counted.
const MOST_SHOWN: usize = 5;

/// How everything stands that was loaded at one time.
#[derive(Debug, Default)]
pub struct Report {
    /// Every text, in the order they were read.
    pub texts: Vec<TextState>,
    /// What could not be read, or is not known yet; what was known of it stays.
    pub unread: Vec<PathBuf>,
    /// Every object of the cluster that holds policies.
    pub objects: Vec<ObjectState>,
    faults: FxHashMap<(PolicyKind, String), Vec<Arc<Fault>>>,
    /// The objects by the names of their texts.
    carriers: FxHashMap<String, String>,
}

/// How what is written stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// All of it was taken over.
    Loaded,
    /// Not all of it can be used: what was good before is in force in its place.
    LastGood,
    /// Not all of it can be used, and there was nothing before.
    Failed,
}

impl Standing {
    /// Returns the words that are shown.
    pub fn words(self) -> &'static str {
        match self {
            Standing::Loaded => "loaded",
            Standing::LastGood => "last good version",
            Standing::Failed => "failed",
        }
    }
}

/// How a text stands.
#[derive(Debug)]
pub struct TextState {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub standing: Standing,
    /// The names of its policies, as far as they are known.
    pub policies: Vec<String>,
    /// What is wrong with it.
    pub faults: Vec<Arc<Fault>>,
}

/// How an object of the cluster stands.
#[derive(Debug, Clone)]
pub struct ObjectState {
    /// The object.
    pub carrier: Arc<Carrier>,
    /// How it stands.
    pub standing: Standing,
    /// What is wrong with it, each in a line.
    pub faults: Vec<String>,
}

/// Something that is wrong, where its author finds it.
#[derive(Debug)]
pub struct Fault {
    line: usize,
    column: usize,
    /// The field of a document: `spec.validations[0].expression`.
    field: Option<String>,
    code: String,
    message: String,
    help: Option<String>,
}

/// What was read at one time.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) sources: Vec<Arc<Source>>,
    pub(super) unread: Vec<PathBuf>,
    pub(super) carriers: Vec<Arc<Carrier>>,
}

impl Report {
    /// Finds out how everything stands after it was read and built.
    pub(super) fn of(written: Written, set: &PolicySet, problems: &[Diagnostic]) -> Self {
        let mut errors: FxHashMap<&str, Vec<&Diagnostic>> = FxHashMap::default();
        for problem in problems.iter().filter(|it| it.is_error()) {
            if let Some(label) = problem.labels.first() {
                errors.entry(label.source.name()).or_default().push(problem);
            }
        }
        let mut policies: FxHashMap<&str, Vec<&CompiledPolicy>> = FxHashMap::default();
        for policy in set.policies() {
            let name = policy.policy.origin.source.name();
            policies.entry(name).or_default().push(policy);
        }
        let mut bindings: FxHashMap<&str, Vec<&Origin>> = FxHashMap::default();
        for binding in set.bindings() {
            let name = binding.origin.source.name();
            bindings.entry(name).or_default().push(&binding.origin);
        }
        let mut report = Report {
            unread: written.unread,
            ..Report::default()
        };
        for source in &written.sources {
            let of = |name| errors.get(name).map_or(&[] as &[_], Vec::as_slice);
            let in_it = policies.get(source.name());
            let in_it = in_it.map_or(&[] as &[_], Vec::as_slice);
            let text = report.text(source, in_it, of(source.name()));
            let origins = in_it.iter().map(|it| &it.policy.origin);
            let bound = bindings.get(source.name()).into_iter().flatten().copied();
            let is_kept = origins
                .chain(bound)
                .any(|it| !Arc::ptr_eq(&it.source, source));
            report.texts.push(TextState {
                standing: match (text.faults.is_empty(), is_kept) {
                    (true, _) => Standing::Loaded,
                    (false, true) => Standing::LastGood,
                    (false, false) => Standing::Failed,
                },
                ..text
            });
        }
        report.objects(&written.carriers);
        report
    }

    /// What is wrong with a text and the policies in it.
    fn text(
        &mut self,
        source: &Arc<Source>,
        policies: &[&CompiledPolicy],
        errors: &[&Diagnostic],
    ) -> TextState {
        let outline = match errors.is_empty() {
            true => Outline::default(),
            false => Outline::of(source),
        };
        let mut faults = Vec::new();
        for error in errors {
            let fault = Arc::new(Fault::of(error, &outline));
            let at = error.labels.first().map_or(0, |it| it.span.start);
            let unit = outline.unit(at);
            // Of a text with one policy everything is about it.
            let of_another = |policy: &CompiledPolicy| {
                let own = outline.unit(policy.policy.origin.span.start);
                policies.len() > 1 && own != unit
            };
            for policy in policies.iter().filter(|it| !of_another(it)) {
                let key = (policy.policy.kind, policy.policy.name.clone());
                let known = self.faults.entry(key).or_default();
                known.push(Arc::clone(&fault));
            }
            faults.push(fault);
        }
        TextState {
            name: source.name().to_owned(),
            standing: Standing::Loaded,
            policies: policies.iter().map(|it| it.policy.name.clone()).collect(),
            faults,
        }
    }

    fn objects(&mut self, carriers: &[Arc<Carrier>]) {
        let texts: FxHashMap<&str, &TextState> =
            self.texts.iter().map(|it| (it.name.as_str(), it)).collect();
        for carrier in carriers {
            let mut faults = carrier.faults.clone();
            let mut standing = match faults.is_empty() {
                true => Standing::Loaded,
                false => Standing::Failed,
            };
            for source in &carrier.sources {
                let Some(text) = texts.get(source.name()) else {
                    continue;
                };
                faults.extend(text.faults.iter().map(|it| it.within(carrier, &text.name)));
                standing = match (standing, text.standing) {
                    (Standing::Failed, _) | (_, Standing::Failed) => Standing::Failed,
                    (Standing::LastGood, _) | (_, Standing::LastGood) => Standing::LastGood,
                    (Standing::Loaded, Standing::Loaded) => Standing::Loaded,
                };
                self.carriers
                    .insert(source.name().to_owned(), carrier.to_string());
            }
            self.objects.push(ObjectState {
                carrier: Arc::clone(carrier),
                standing,
                faults,
            });
        }
    }

    /// Says what is wrong with a policy as it is written, for people.
    pub(super) fn faults_of(&self, kind: PolicyKind, name: &str) -> Value {
        let faults = self.faults.get(&(kind, name.to_owned()));
        shown(faults.map_or(&[], Vec::as_slice))
    }

    /// Names the object that a text is in.
    pub(super) fn object_of(&self, text: &str) -> Option<&str> {
        self.carriers.get(text).map(String::as_str)
    }

    /// Describes every text, and every object without one.
    pub(super) fn describe(&self) -> Vec<Value> {
        let texts = self.texts.iter().map(|text| {
            json!({
                "source": text.name,
                "object": self.object_of(&text.name),
                "state": text.standing.words(),
                "policies": text.policies,
                "faults": shown(&text.faults),
                "faultCount": text.faults.len(),
            })
        });
        let others = self
            .objects
            .iter()
            .filter(|it| !it.carrier.faults.is_empty());
        let others = others.map(|it| {
            let faults: Vec<Value> = it
                .carrier
                .faults
                .iter()
                .map(|it| json!({"message": it}))
                .collect();
            json!({
                "source": null,
                "object": it.carrier.to_string(),
                "state": it.standing.words(),
                "policies": [],
                "faults": faults,
                "faultCount": faults.len(),
                "passedOver": it.carrier.passed_over,
            })
        });
        let unread = self.unread.iter().map(|path| {
            json!({
                "source": path.display().to_string(),
                "object": null,
                "state": "not read",
                "policies": [],
                "faults": [],
                "faultCount": 0,
            })
        });
        texts.chain(others).chain(unread).collect()
    }
}

fn shown(faults: &[Arc<Fault>]) -> Value {
    let shown = faults.iter().take(MOST_SHOWN);
    shown.map(|it| it.to_json()).collect()
}

impl Fault {
    fn of(error: &Diagnostic, outline: &Outline) -> Self {
        let label = error.labels.first();
        let at = label.map(|it| it.position());
        Fault {
            line: at.map_or(0, |it| it.line),
            column: at.map_or(0, |it| it.column),
            field: label.and_then(|it| outline.field(it.span.start)),
            code: error.code.clone(),
            message: error.message.clone(),
            help: error.help.clone(),
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "line": self.line,
            "column": self.column,
            "field": self.field,
            "code": self.code,
            "message": self.message,
            "help": self.help,
        })
    }

    /// Says where it is in an object: the place in the key of a ConfigMap, or the field, which is where
    /// its author finds it however the object was written.
    fn within(&self, carrier: &Carrier, text: &str) -> String {
        let Fault {
            line,
            column,
            field,
            message,
            ..
        } = self;
        match field {
            Some(field) if carrier.namespace.is_none() => format!("{field}: {message}"),
            _ => {
                let key = text.rsplit('/').next().unwrap_or(text);
                format!("{key}:{line}:{column}: {message}")
            }
        }
    }
}

/// The documents of a text, to find a place in.
#[derive(Default)]
struct Outline {
    documents: Vec<Yaml>,
}

impl Outline {
    fn of(source: &Arc<Source>) -> Self {
        let is_cel = source.name().to_ascii_lowercase().ends_with(".cel");
        match is_cel {
            true => Outline::default(),
            false => Outline {
                documents: parse_stream(source).documents,
            },
        }
    }

    /// Returns the document that holds a place, and the item if it is a list of objects.
    fn unit(&self, at: usize) -> Option<(usize, Option<usize>)> {
        let mut documents = self.documents.iter();
        let number = documents.position(|it| holds(it, at))?;
        let items = self.documents.get(number)?.get("items");
        let items = items.and_then(Yaml::as_sequence);
        let item = items.and_then(|items| items.iter().position(|it| holds(it, at)));
        Some((number, item))
    }

    /// Returns the path of the innermost field that holds a place.
    fn field(&self, at: usize) -> Option<String> {
        let mut value = self.documents.iter().find(|it| holds(it, at))?;
        let mut path = String::new();
        loop {
            match &value.value {
                YamlValue::Mapping(entries) => {
                    let mut entries = entries.iter();
                    let Some(entry) = entries.find(|it| {
                        let is_key = (it.key_span.start..it.key_span.end).contains(&at);
                        is_key || holds(&it.value, at)
                    }) else {
                        break;
                    };
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(&entry.key);
                    value = &entry.value;
                }
                YamlValue::Sequence(items) => {
                    let Some(number) = items.iter().position(|it| holds(it, at)) else {
                        break;
                    };
                    let Some(item) = items.get(number) else {
                        break;
                    };
                    path.push_str(&format!("[{number}]"));
                    value = item;
                }
                _ => break,
            }
        }
        (!path.is_empty()).then_some(path)
    }
}

fn holds(value: &Yaml, at: usize) -> bool {
    value.span.start <= at && at < value.span.end.max(value.span.start + 1)
}

#[cfg(test)]
mod tests;
