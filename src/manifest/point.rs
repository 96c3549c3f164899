//! Where in a manifest a finding is shown: at a field that the rule is about, if it is written.
//!
//! The message comes first, because it often names the very field; then what the expression reads.
//! A guess for people: nothing is decided by it.

use std::sync::OnceLock;

use rustc_hash::FxHashMap;

use super::{Manifest, first_line};
use crate::cel::ast::{Ast, Expr, Literal, operator};
use crate::cel::parse;
use crate::policy::model::Policy;
use crate::policy::set::PolicySet;
use crate::text::Span;
use crate::text::yaml::{Entry, Yaml, YamlValue};

/// A step into an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// A field or a key.
    Key(String),
    /// An item, from 0.
    Index(usize),
}

/// The fields a policy's validations read; found out for those that are violated, once each.
#[derive(Debug)]
pub struct Reads<'s> {
    by_policy: FxHashMap<&'s str, PolicyReads<'s>>,
}

#[derive(Debug)]
struct PolicyReads<'s> {
    policy: &'s Policy,
    validations: Vec<OnceLock<Vec<FieldPath>>>,
}

/// A field that an expression reads.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FieldPath {
    root: Root,
    steps: Vec<Step>,
}

/// What a path begins at.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Root {
    /// `object`
    Object,
    /// `pod`: the object or its pod template.
    Pod,
    /// `variables`; the first step is the name.
    Variables,
}

impl<'s> Reads<'s> {
    /// Makes room for the policies of a set; nothing is looked at yet.
    pub fn new(set: &'s PolicySet) -> Self {
        let reads = set.validating().iter().map(|bound| {
            let policy = &bound.policy.policy;
            let validations = policy.validations.iter().map(|_| OnceLock::new()).collect();
            (
                policy.name.as_str(),
                PolicyReads {
                    policy,
                    validations,
                },
            )
        });
        Reads {
            by_policy: reads.collect(),
        }
    }

    /// Returns the best place for a violation in a manifest.
    pub fn point(
        &self,
        manifest: &Manifest,
        policy: &str,
        validation: Option<usize>,
        message: &str,
    ) -> Span {
        let reads = self.by_policy.get(policy).zip(validation);
        let read = reads.map_or(&[] as &[FieldPath], |(reads, at)| reads.of(at));
        let kind = manifest.kind.as_str();
        let named = fields_in(message);
        let candidates: Vec<Vec<Step>> = named
            .into_iter()
            .chain(read.iter().map(|path| path.in_object(kind)))
            .collect();
        let told: Vec<&Vec<Step>> = candidates
            .iter()
            .filter(|path| !is_identity(path))
            .collect();
        let whole = told
            .iter()
            .find_map(|path| find(&manifest.node, path, Reach::Whole));
        let part = || {
            told.iter()
                .find_map(|path| find(&manifest.node, path, Reach::Part))
        };
        whole
            .or_else(part)
            .map_or_else(|| title(manifest), |place| place.span(manifest))
    }
}

/// Returns where an object says what it is: its name, else its kind, else its first line.
pub fn title(manifest: &Manifest) -> Span {
    let name = ["name", "generateName"];
    let name = name
        .iter()
        .find_map(|key| manifest.node.at(&["metadata", key]));
    let said = name.or_else(|| manifest.node.get("kind"));
    said.map_or_else(
        || first_line(&manifest.source, manifest.node.span),
        |node| node.span,
    )
}

/// Says whether a path is about which object it is rather than what is in it.
fn is_identity(path: &[Step]) -> bool {
    let is = |at: usize, key: &str| path.get(at) == Some(&Step::Key(key.to_owned()));
    path.is_empty()
        || is(0, "kind")
        || is(0, "apiVersion")
        || (is(0, "metadata")
            && (path.len() == 1 || is(1, "name") || is(1, "namespace") || is(1, "generateName")))
}

#[derive(Clone, Copy, PartialEq)]
enum Reach {
    /// The field itself.
    Whole,
    /// The innermost field around it that is there.
    Part,
}

/// A field as it is written.
#[derive(Clone, Copy)]
struct Place<'y> {
    entry: Option<&'y Entry>,
    node: &'y Yaml,
}

impl Place<'_> {
    /// A scalar is pointed at itself, everything else at its key or first line.
    fn span(self, manifest: &Manifest) -> Span {
        match (&self.node.value, self.entry) {
            (YamlValue::Mapping(_) | YamlValue::Sequence(_), Some(entry)) => entry.key_span,
            (YamlValue::Null, Some(entry)) => entry.key_span,
            _ => first_line(&manifest.source, self.node.span),
        }
    }
}

fn find<'y>(root: &'y Yaml, path: &[Step], reach: Reach) -> Option<Place<'y>> {
    let mut found = None;
    let mut node = root;
    for step in path {
        let entry = match step {
            Step::Key(key) => node
                .as_mapping()
                .and_then(|it| it.iter().find(|it| it.key == *key)),
            Step::Index(_) => None,
        };
        let next = match step {
            Step::Key(_) => entry.map(|entry| &entry.value),
            Step::Index(at) => node.as_sequence().and_then(|items| items.get(*at)),
        };
        let Some(next) = next else {
            return found.filter(|_| reach == Reach::Part);
        };
        found = Some(Place { entry, node: next });
        node = next;
    }
    found
}

/// Returns the fields a message names: words with dots, such as `spec.mtls.mode`.
///
/// A field of the spec may be named without it. `containers[*].image` counts up to the star.
fn fields_in(message: &str) -> Vec<Vec<Step>> {
    let is_boundary =
        |c: char| !(c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '[' | ']' | '*'));
    let mut fields = Vec::new();
    for word in message.split(is_boundary) {
        let word = word.trim_matches(['.', '-']);
        let word = word.strip_prefix("object.").unwrap_or(word);
        let steps = steps(word);
        if steps.len() > 1 {
            let in_spec =
                std::iter::once(Step::Key("spec".to_owned())).chain(steps.iter().cloned());
            let in_spec = in_spec.collect();
            fields.push(steps);
            fields.push(in_spec);
        }
    }
    fields
}

fn steps(word: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in word.split('.') {
        let (key, rest) = part
            .split_once('[')
            .map_or((part, ""), |(key, rest)| (key, rest));
        if key.is_empty() {
            return steps;
        }
        steps.push(Step::Key(key.to_owned()));
        if let Some(index) = rest.strip_suffix(']') {
            match index.parse() {
                Ok(index) => steps.push(Step::Index(index)),
                Err(_) => return steps,
            }
        }
    }
    steps
}

impl PolicyReads<'_> {
    fn of(&self, validation: usize) -> &[FieldPath] {
        let Some(known) = self.validations.get(validation) else {
            return &[];
        };
        known.get_or_init(|| {
            let validation = self.policy.validations.get(validation);
            let mut open: Vec<FieldPath> =
                validation.map_or(Vec::new(), |it| paths(&it.expression.text));
            open.reverse();
            let mut found = Vec::new();
            let mut followed: Vec<&str> = Vec::new();
            while let Some(path) = open.pop() {
                let name = match (&path.root, path.steps.first()) {
                    (Root::Variables, Some(Step::Key(name))) => name,
                    (Root::Variables, _) => continue,
                    _ => {
                        found.push(path);
                        continue;
                    }
                };
                let variable = self.policy.variables.iter().find(|it| it.name == *name);
                if let Some(variable) = variable
                    && !followed.contains(&variable.name.as_str())
                {
                    followed.push(&variable.name);
                    let inner = paths(&variable.expression.text);
                    open.extend(inner.into_iter().rev());
                }
            }
            found
        })
    }
}

impl FieldPath {
    fn in_object(&self, kind: &str) -> Vec<Step> {
        let template: &[&str] = match (&self.root, kind) {
            (Root::Pod, "CronJob") => &["spec", "jobTemplate", "spec", "template"],
            (Root::Pod, kind) if kind != "Pod" => &["spec", "template"],
            _ => &[],
        };
        let template = template.iter().map(|key| Step::Key((*key).to_owned()));
        template.chain(self.steps.iter().cloned()).collect()
    }
}

/// Returns the longest paths an expression reads, in the order they are written.
fn paths(expression: &str) -> Vec<FieldPath> {
    let Ok(ast) = parse::parse(expression) else {
        return Vec::new();
    };
    // Children come before parents, so that one pass is enough.
    let mut paths: Vec<Option<FieldPath>> = Vec::new();
    let mut is_part = vec![false; ast.nodes().len()];
    for node in ast.nodes() {
        let path = extend(&ast, &node.expr, &paths);
        if let Some((_, Some(inner))) = &path
            && let Some(is_part) = is_part.get_mut(*inner)
        {
            *is_part = true;
        }
        paths.push(path.map(|(path, _)| path));
    }
    let nodes = ast.nodes().iter().zip(paths).zip(is_part);
    let mut longest: Vec<(Span, FieldPath)> = nodes
        .filter(|(_, is_part)| !is_part)
        .filter_map(|((node, path), _)| Some((node.span, path?)))
        .collect();
    longest.sort_by_key(|(span, _)| *span);
    longest.into_iter().map(|(_, path)| path).collect()
}

/// Returns the path a node spells, with the position of the node whose path it extends.
fn extend(
    ast: &Ast,
    expr: &Expr,
    known: &[Option<FieldPath>],
) -> Option<(FieldPath, Option<usize>)> {
    let (operand, step) = match expr {
        Expr::Ident(name) => {
            let root = match name.trim_start_matches('.') {
                "object" => Root::Object,
                "pod" => Root::Pod,
                "variables" => Root::Variables,
                _ => return None,
            };
            return Some((
                FieldPath {
                    root,
                    steps: Vec::new(),
                },
                None,
            ));
        }
        Expr::Select(select) | Expr::Has(select) | Expr::OptSelect(select) => {
            (select.operand, Step::Key(select.field.clone()))
        }
        Expr::Call(call) if matches!(&*call.function, operator::INDEX | operator::OPT_INDEX) => {
            let [operand, index] = call.arguments.as_slice() else {
                return None;
            };
            match ast.expr(*index) {
                Expr::Literal(Literal::String(key)) => (*operand, Step::Key(key.clone())),
                Expr::Literal(Literal::Int(at)) => (*operand, Step::Index((*at).try_into().ok()?)),
                _ => return None,
            }
        }
        _ => return None,
    };
    let at = usize::try_from(operand.0).ok()?;
    let mut path = known.get(at)?.clone()?;
    path.steps.push(step);
    Some((path, Some(at)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cel::version::KubernetesVersion;
    use crate::policy::read;
    use crate::text::Source;

    const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: meshery
  labels: {app.kubernetes.io/name: meshery}
spec:
  replicas: 1
  template:
    spec:
      containers:
      - name: meshery
        image: meshery/meshery
";

    /// Returns line and text of the place of a violation of `expression`.
    fn place(expression: &str, message: &str) -> String {
        let policy = format!(
            "// ---\n// name: p\n// pods: true\n// ---\n// @let first\nobject.spec.replicas\n\
             // @require it\n{expression}\n"
        );
        let (documents, _) = read::read(&Source::new("p.cel", policy));
        let set = PolicySet::build(
            documents,
            KubernetesVersion::default(),
            &PolicySet::default(),
            |_| false,
        )
        .set;
        let source = Source::new("m.yaml", DEPLOYMENT);
        let (manifests, _) = super::super::read(&source);
        let span = Reads::new(&set).point(&manifests[0], "p", Some(0), message);
        format!(
            "{} {}",
            source.position(span.start).line,
            source.slice(span)
        )
    }

    #[test]
    fn a_violation_is_shown_at_the_field_its_rule_reads() {
        for (expression, place_of_it) in [
            ("object.spec.replicas >= 3", "7 1"),
            (
                "object.metadata.name != 'meshery' || object.spec.replicas >= 3",
                "7 1",
            ),
            ("variables.first >= 3", "7 1"),
            (
                "object.metadata.labels['app.kubernetes.io/name'] == 'x'",
                "5 meshery",
            ),
            (
                "object.spec.template.spec.containers[0].image == 'x'",
                "12 meshery/meshery",
            ),
            (
                "object.spec.template.spec.containers.all(c, c.image == 'x')",
                "10 containers",
            ),
            ("has(object.spec.strategy.type)", "6 spec"),
            ("pod.spec.containers.size() == 2", "10 containers"),
            ("object.spec.?paused.orValue(false)", "6 spec"),
            ("object.metadata.name == 'x'", "4 meshery"),
            ("request.operation == 'DELETE'", "4 meshery"),
        ] {
            assert_eq!(place(expression, "no"), place_of_it, "{expression}");
        }
    }

    #[test]
    fn a_field_the_message_names_comes_first() {
        for (message, place_of_it) in [
            (
                "spec.template.spec.containers[0].image must be pinned.",
                "12 meshery/meshery",
            ),
            (
                "`template.spec.containers[*].image` must be pinned",
                "10 containers",
            ),
            ("see example.com for more", "7 1"),
        ] {
            assert_eq!(
                place("object.spec.replicas >= 3", message),
                place_of_it,
                "{message}"
            );
        }
    }
}
