//! What is kept of objects decides as the objects do.

use std::path::{Path, PathBuf};

use bumpalo::Bump;

use super::*;
use crate::cel::function::{Lookup, ObjectName};
use crate::engine::cluster::ClusterView;
use crate::json::{self, Json};
use crate::policy::read;
use crate::policy::reads::{Depth, Reads};
use crate::suite::format;
use crate::text::Source;

/// A cluster as `serve` keeps it: of each object what policies read, as a text.
#[derive(Debug)]
struct Kept {
    objects: Vec<(ParamKind, [String; 2], String)>,
    namespaces: Vec<Value>,
}

impl Kept {
    fn of(objects: &[Value], reads: &Reads) -> Self {
        let text = |value: &Value, path| {
            let found = value.pointer(path).and_then(Value::as_str);
            found.unwrap_or_default().to_owned()
        };
        let kept = objects.iter().filter_map(|object| {
            let kind = ParamKind {
                api_version: text(object, "/apiVersion"),
                kind: text(object, "/kind"),
            };
            let Depth::Parts(shape) = reads.kinds.get(&kind)? else {
                return None;
            };
            let name = ["/metadata/namespace", "/metadata/name"].map(|path| text(object, path));
            Some((kind, name, shape.keep(object.clone()).to_string()))
        });
        let mut shape = reads.namespaces.clone();
        shape.add_path(&["metadata", "name"]);
        shape.add_path(&["metadata", "labels"]);
        let namespaces = objects.iter().filter(|it| text(it, "/kind") == "Namespace");
        Kept {
            objects: kept.collect(),
            namespaces: namespaces.map(|it| shape.keep(it.clone())).collect(),
        }
    }
}

impl Lookup for Kept {
    fn get<'a>(&'a self, arena: &'a Bump, object: &ObjectName<'_>) -> Option<Json<'a>> {
        let found = self.objects.iter().find(|(kind, [namespace, name], _)| {
            (&*kind.api_version, &*kind.kind) == (object.api_version, object.kind)
                && (&**namespace, &**name) == (object.namespace, object.name)
        });
        found.map(|(_, _, text)| json::parse_text(arena, text).unwrap())
    }

    fn list<'a>(
        &'a self,
        arena: &'a Bump,
        api_version: &str,
        kind: &str,
        namespace: &str,
    ) -> &'a [Json<'a>] {
        let found = self.objects.iter().filter(|(of, [within, _], _)| {
            (&*of.api_version, &*of.kind) == (api_version, kind)
                && (namespace.is_empty() || within == namespace)
        });
        arena.alloc_slice_fill_iter(
            found
                .map(|(_, _, text)| json::parse_text(arena, text).unwrap())
                .collect::<Vec<_>>(),
        )
    }
}

impl ClusterView for Kept {
    fn namespace(&self, name: &str) -> Option<&Value> {
        let mut namespaces = self.namespaces.iter();
        namespaces.find(|it| it.pointer("/metadata/name").and_then(Value::as_str) == Some(name))
    }

    fn as_lookup(&self) -> &dyn Lookup {
        self
    }
}

fn reads(set: &PolicySet) -> Reads {
    let mut reads = Reads::default();
    for policy in set.policies() {
        reads.add(&policy.policy);
    }
    reads
}

/// Everything that is decided, and what it costs.
fn shown(verdict: &Verdict) -> String {
    let decisions = verdict.decisions.iter().map(|it| {
        let policy = &it.policy.policy.name;
        format!(
            "{policy} {:?} {:?} {}",
            it.validation, it.outcome, it.message
        )
    });
    let decisions: Vec<String> = decisions.collect();
    let annotations = &verdict.audit_annotations;
    format!("{} {decisions:#?} {annotations:?}", verdict.cost)
}

impl UnderTest {
    /// What policies decide about a case, by the objects as they are and by what is kept of them.
    fn decide_twice(&self, file: &TestFile, case: &Case) -> [String; 2] {
        let changed = self.with_settings(file, case).unwrap();
        let set = changed.as_ref().unwrap_or(&self.set);
        let with_params = self.with_params(file, case, set).unwrap();
        let set = with_params.as_ref().unwrap_or(set);
        let is_about_cluster = case.scope == PolicyScope::Cluster;
        let owned = (!is_about_cluster).then(|| self.request(file, case).unwrap());
        let namespace = owned.as_ref().map_or("", |owned| owned.namespace());
        let objects = self.cluster(file, case, namespace).unwrap();
        let kept = Kept::of(&objects, &reads(set));
        let whole = Objects::new(objects);
        let views: [&dyn ClusterView; 2] = [&whole, &kept];
        views.map(|cluster| {
            let options = Options {
                resources: &self.resources,
                ..Options::new(cluster)
            };
            let Some(owned) = &owned else {
                let mut observer = engine::observer::Unwatched;
                return shown(&engine::audit_cluster(set, options, &mut observer));
            };
            let request = owned.request();
            let mutated = mutating::mutate(set, &request, options, MUTATING).unwrap();
            let validated = engine::validate(set, &request, options).unwrap();
            let patch = serde_json::to_string(&mutated.patch).unwrap();
            format!("{} {patch} {}", shown(&mutated.verdict), shown(&validated))
        })
    }
}

fn suites(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            suites(&path, found);
        } else if path.to_string_lossy().ends_with(".test.yaml") {
            found.push(path);
        }
    }
}

#[test]
fn every_case_of_the_built_in_policies_is_decided_alike_by_what_is_kept() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let mut found = Vec::new();
    suites(&folder, &mut found);
    let (mut cases, mut with_objects) = (0, 0);
    for path in found {
        let own = path.to_string_lossy().replace(".test.yaml", ".cel");
        let mut policies = vec![PathBuf::from(own)];
        if !policies[0].exists() {
            // It is about all policies of the folder.
            let entries = std::fs::read_dir(path.parent().unwrap()).unwrap();
            policies = entries.map(|entry| entry.unwrap().path()).collect();
            policies.retain(|it| it.extension().is_some_and(|end| end == "cel"));
        }
        let mut documents = Documents::default();
        for policy in policies {
            let text = std::fs::read_to_string(&policy).unwrap();
            let (read, _) = read::read(&Source::new(policy.to_string_lossy(), text));
            documents.policies.extend(read.policies);
            documents.bindings.extend(read.bindings);
        }
        let (under_test, _) = UnderTest::new(documents, KubernetesVersion::default());
        let text = std::fs::read_to_string(&path).unwrap();
        let (file, _) = format::read(&Source::new("p.test.yaml", text));
        for case in &file.cases {
            let [whole, kept] = under_test.decide_twice(&file, case);
            assert_eq!(kept, whole, "{}: {}", path.display(), case.name);
            cases += 1;
            with_objects += usize::from(!case.cluster.is_empty());
        }
    }
    assert!(cases > 1000 && with_objects > 150, "{cases} {with_objects}");
}

/// A generator of numbers (SplitMix64): the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(end).unwrap()).unwrap()
    }

    fn of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.below(texts.len())]
    }

    fn field(&mut self) -> &'static str {
        self.of(&["a", "b", "c", "spec", "metadata"])
    }

    /// A document of the fields that expressions read, and others.
    fn document(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 5 } else { 10 }) {
            0 => Value::Null,
            1 => json!(self.below(3)),
            2 => json!(self.below(2) == 0),
            3 | 4 => json!(self.of(&["", "a", "b", "a longer text than most", "metadata"])),
            5 | 6 => (0..self.below(4))
                .map(|_| self.document(depth - 1))
                .collect(),
            _ => self.map(depth - 1),
        }
    }

    fn map(&mut self, depth: usize) -> Value {
        let entries = (0..self.below(5)).map(|_| {
            let key = self.of(&["a", "b", "c", "spec", "other"]);
            (key.to_owned(), self.document(depth))
        });
        Value::Object(entries.collect())
    }

    fn object(&mut self, name: usize) -> Value {
        let mut object = self.map(3);
        object["apiVersion"] = json!("example.com/v1");
        object["kind"] = json!("Thing");
        object["metadata"] = json!({
            "name": format!("n{name}"),
            "namespace": self.of(&["default", "other"]),
            "labels": self.map(0),
            "a": self.document(2),
        });
        object
    }

    /// An expression that may give any value.
    fn value(&mut self, depth: usize, locals: &[&str]) -> String {
        const LIST: &str = "cluster.list('example.com/v1', 'Thing', '')";
        const GET: &str = "cluster.get('example.com/v1', 'Thing', 'default', 'n0')";
        if depth == 0 {
            return match self.below(8) {
                0 => LIST.to_owned(),
                1 => format!("{GET}.orValue({{}})"),
                2 => format!("{LIST}[0]"),
                3 => "namespaceObject.metadata".to_owned(),
                4 => "1".to_owned(),
                _ if locals.is_empty() => format!("{LIST}[1]"),
                _ => self.of(locals).to_owned(),
            };
        }
        let field = self.field();
        let inner = |dice: &mut Self| dice.value(depth - 1, locals);
        let a = inner(self);
        match self.below(20) {
            0..=3 => format!("dyn({a}).{field}"),
            4 => format!("dyn({a}).?{field}.orValue({})", inner(self)),
            5 => format!("dyn({a})[?'{field}'].?{}.value()", self.field()),
            6 => format!("dyn({a})[{}]", inner(self)),
            7 => format!("dyn({a})[{}]", self.below(2)),
            8 => format!(
                "({} ? dyn({a}) : dyn({}))",
                self.truth(depth - 1, locals),
                inner(self)
            ),
            9 => format!("[dyn({a}), dyn({})]", inner(self)),
            10 => format!("{{'a': dyn({a}), '{field}': dyn({})}}", inner(self)),
            11 => format!("(dyn({a}) + dyn({}))", inner(self)),
            12 => format!("cel.bind(x, dyn({a}), {})", self.with("x", depth, locals)),
            13 => format!("dyn({a}).map(i, {})", self.with("i", depth, locals)),
            14 => format!(
                "dyn({a}).filter(i, {})",
                self.truth_with("i", depth, locals)
            ),
            15 => format!(
                "dyn({a}).transformMap(k, v, {})",
                self.with("v", depth, locals)
            ),
            16 => format!(
                "dyn({a}).transformList(k, v, {})",
                self.with("v", depth, locals)
            ),
            17 => format!(
                "optional.of(dyn({a})).optMap(o, {}).value()",
                self.with("o", depth, locals)
            ),
            18 => format!("optional.ofNonZeroValue(dyn({a})).orValue({})", inner(self)),
            _ => format!(
                "dyn({a}).transformMapEntry(k, v, {{'{field}': {}}})",
                self.with("v", depth, locals)
            ),
        }
    }

    fn with(&mut self, local: &str, depth: usize, locals: &[&str]) -> String {
        let locals = [locals, &[local]].concat();
        self.value(depth - 1, &locals)
    }

    fn truth_with(&mut self, local: &str, depth: usize, locals: &[&str]) -> String {
        let locals = [locals, &[local]].concat();
        self.truth(depth - 1, &locals)
    }

    /// An expression that may give a truth.
    fn truth(&mut self, depth: usize, locals: &[&str]) -> String {
        let field = self.field();
        let a = self.value(depth, locals);
        if depth == 0 {
            return format!("has(dyn({a}).{field})");
        }
        match self.below(16) {
            0 => format!("has(dyn({a}).{field})"),
            1 => format!("dyn({a}).?{field}.hasValue()"),
            2 => format!("dyn({a}) == null"),
            3 => format!("dyn({a}) == dyn({})", self.value(depth - 1, locals)),
            4 => format!("size(dyn({a})) > {}", self.below(3)),
            5 => format!("type({a}) == type(dyn({}))", self.value(depth - 1, locals)),
            6 => format!("'{field}' in dyn({a})"),
            7 => format!("dyn({a}) in dyn({})", self.value(depth - 1, locals)),
            8 => format!(
                "dyn({a}).exists(i, {})",
                self.truth_with("i", depth, locals)
            ),
            9 => format!("dyn({a}).all(i, {})", self.truth_with("i", depth, locals)),
            10 => format!(
                "dyn({a}).all(k, v, {})",
                self.truth_with("v", depth, locals)
            ),
            11 => format!("!({})", self.truth(depth - 1, locals)),
            12 => format!(
                "({} && {})",
                self.truth(depth - 1, locals),
                self.truth(depth - 1, locals)
            ),
            13 => format!("dyn({a}).startsWith('a')"),
            14 => format!("optional.ofNonZeroValue(dyn({a})).hasValue()"),
            _ => format!(
                "dyn({a}).exists_one(i, {})",
                self.truth_with("i", depth, locals)
            ),
        }
    }

    fn policy(&mut self) -> String {
        let depth = 1 + self.below(3);
        let first = self.value(depth, &[]);
        let second = self.value(depth, &["variables.first"]);
        let locals = ["variables.first", "variables.second"];
        let truth = self.truth(depth, &locals);
        let message = self.truth(depth, &locals);
        format!(
            "// ---\n// match: {{resources: [v1/configmaps]}}\n// reads: [example.com/v1/Thing]\n\
             // ---\n// @let first\n{first}\n// @let second\n{second}\n// @require x\n\
             dyn({truth}) == true\n// @message\nstring({message})\n"
        )
    }
}

const CASES: &str = "base: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}
cases: [{name: a, expect: admit}]
";

#[test]
fn generated_expressions_are_decided_alike_by_what_is_kept() {
    let (mut decided, mut denied, mut less) = (0, 0, 0);
    for seed in 0..400 {
        let mut dice = Dice(seed);
        let policy = dice.policy();
        let (documents, _) = read::read(&Source::new("p.cel", &*policy));
        let (under_test, problems) = UnderTest::new(documents, KubernetesVersion::default());
        if !problems.is_empty() {
            continue;
        }
        let (mut file, _) = format::read(&Source::new("p.test.yaml", CASES));
        for _ in 0..4 {
            let things = (0..3).map(|name| dice.object(name));
            let things: Vec<Value> = things.collect();
            let case = &mut file.cases[0];
            let span = Span::new(0, 0);
            case.cluster = things.iter().map(|it| (it.clone(), span)).collect();
            let labels = json!({"a": "b", "c": ""});
            case.namespace_object = Some(json!({"metadata": {
                "name": "default", "labels": labels, "annotations": dice.map(0),
            }}));
            let [whole, kept] = under_test.decide_twice(&file, &file.cases[0]);
            assert_eq!(kept, whole, "{seed}: {policy} {things:#?}");
            decided += 1;
            denied += usize::from(whole.contains("Violation"));
            let all = Kept::of(&things, &reads(under_test.set()));
            let texts = all.objects.iter().map(|(_, _, text)| text.len());
            let before = things.iter().map(|it| it.to_string().len());
            less += usize::from(texts.sum::<usize>() < before.sum::<usize>());
        }
    }
    // Most are refused by the checker or fail; enough are not.
    assert!(
        decided > 400 && denied > 20 && less > 200,
        "{decided} {denied} {less}"
    );
}
