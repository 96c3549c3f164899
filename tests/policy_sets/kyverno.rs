//! The tests of Kyverno's policies that are written in CEL, run as `kyverno test` runs them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use portcullis::admission::resources::Resources;
use portcullis::admission::synthesize::{Synthesis, User};
use portcullis::engine::cluster::Objects;
use portcullis::engine::verdict::{Decision, Outcome};
use portcullis::policy::set::PolicySet;
use serde_json::{Value, json};

use super::{compare, decided, documents, files, load, set_path, shown};

#[test]
#[ignore = "needs the checkouts in $PORTCULLIS_POLICY_SETS"]
fn the_tests_of_kyverno_give_what_they_assert() {
    let root = set_path("policies");
    let (mut agreed, mut errors, mut differences) = (0, 0, BTreeMap::new());
    for path in files(&root, &|name| name == "kyverno-test.yaml") {
        let folder = path.parent().unwrap();
        let name = folder.strip_prefix(&root).unwrap().parent().unwrap();
        for test in documents(&path) {
            let Some(case) = Case::read(folder, &test) else {
                continue;
            };
            for result in test["results"].as_array().unwrap() {
                for resource in result["resources"].as_array().into_iter().flatten() {
                    let about = format!(
                        "{} {} {} {} {}",
                        name.display(),
                        text(&result["policy"]),
                        text(&result["rule"]),
                        text(&result["kind"]),
                        text(resource)
                    );
                    match case.disagreement(result, text(resource), &mut errors) {
                        None => agreed += 1,
                        Some(said) => drop(differences.insert(about, said)),
                    }
                }
            }
        }
    }
    println!("{errors} failures are errors of the evaluation");
    compare("kyverno", agreed, &differences);
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What a file of tests is about.
struct Case {
    set: PolicySet,
    problems: Vec<String>,
    policies: Vec<Value>,
    objects: Vec<Value>,
    cluster: Objects,
    values: Value,
    user: Option<Value>,
}

impl Case {
    /// Reads the files that a test names; `None` if not all of its policies are written in CEL.
    fn read(folder: &Path, test: &Value) -> Option<Case> {
        let named = |key: &str| -> Vec<PathBuf> {
            let names = test[key].as_array().cloned().unwrap_or_default();
            names.iter().map(|it| folder.join(text(it))).collect()
        };
        let paths = named("policies");
        let policies: Vec<Value> = paths.iter().flat_map(|path| documents(path)).collect();
        let is_cel = |it: &Value| {
            let rules = it["spec"]["rules"].as_array();
            it["kind"] == "ValidatingPolicy"
                || rules.is_some_and(|it| it.iter().all(|it| !it["validate"]["cel"].is_null()))
        };
        if policies.is_empty() || !policies.iter().all(is_cel) {
            return None;
        }
        let (_, findings) = load(&paths);
        let problems = findings.iter().filter(|it| it.is_error()).map(shown);
        let more = [named("resources"), context(folder, test)].concat();
        let mut objects: Vec<Value> = more.iter().flat_map(|path| documents(path)).collect();
        let (set, _) = load(&[paths, more].concat());
        let one = |key: &str| {
            let path = folder.join(text(&test[key]));
            documents(&path).into_iter().next().unwrap_or_default()
        };
        let values = match test["variables"].as_str() {
            Some(_) => one("variables"),
            None => Value::Null,
        };
        let labels = values["namespaceSelector"].as_array();
        for entry in labels.into_iter().flatten() {
            objects.push(json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": { "name": entry["name"], "labels": entry["labels"] },
            }));
        }
        Some(Case {
            set,
            problems: problems.collect(),
            policies,
            cluster: Objects::new(objects.clone()),
            objects,
            values,
            user: test["userinfo"].as_str().map(|_| one("userinfo")),
        })
    }

    /// What was decided where that is not the result.
    fn disagreement(&self, result: &Value, name: &str, errors: &mut usize) -> Option<String> {
        if !self.problems.is_empty() {
            return Some(format!("does not load: {}", self.problems.join("; ")));
        }
        let (namespace, plain) = name.split_once('/').unwrap_or(("", name));
        let found = self.objects.iter().find(|it| {
            let metadata = &it["metadata"];
            it["kind"] == result["kind"]
                && metadata["name"] == plain
                && (namespace.is_empty()
                    || metadata["namespace"].as_str().unwrap_or("default") == namespace)
        });
        let Some(object) = found else {
            return Some("there is no such object in the test".to_owned());
        };
        let decisions = self.decide(object, name);
        let ours: Vec<&Decision> = decisions
            .iter()
            .filter(|it| self.is_of(result, &it.policy.policy.name))
            .collect();
        let is_failed = !ours.is_empty();
        if is_failed && ours.iter().all(|it| it.outcome == Outcome::Error) {
            *errors += 1;
        }
        let messages: Vec<&str> = ours.iter().map(|it| it.message.as_str()).collect();
        (is_failed != (result["result"] == "fail"))
            .then(|| format!("{} is {:?}", text(&result["result"]), messages))
    }

    fn decide(&self, object: &Value, name: &str) -> Vec<Decision> {
        let operation = self.operation(name);
        let mut synthesis = match operation.as_deref() {
            Some("UPDATE") => Synthesis::update(object.clone(), object.clone()),
            Some("DELETE") => Synthesis::delete(object.clone()),
            _ => Synthesis::create(object.clone()),
        };
        if let Some(user) = &self.user {
            synthesis.user = User::named(text(&user["userInfo"]["username"]));
        }
        let request = synthesis.request(&Resources::default()).unwrap();
        decided(&self.set, &request.request(), &self.cluster)
    }

    /// The operation that the values of a test give for an object.
    fn operation(&self, name: &str) -> Option<String> {
        let policies = self.values["policies"].as_array().into_iter().flatten();
        let mut resources = policies.flat_map(|it| it["resources"].as_array()).flatten();
        let of_object = resources.find(|it| it["name"] == name);
        let value = of_object.map_or(&self.values["globalValues"], |it| &it["values"]);
        value["request.operation"].as_str().map(str::to_owned)
    }

    /// Says whether a policy of ours was made of the rule that a result is about.
    fn is_of(&self, result: &Value, name: &str) -> bool {
        let policy = text(&result["policy"]);
        let Some(rest) = name.strip_prefix(policy) else {
            return false;
        };
        let read = self
            .policies
            .iter()
            .find(|it| it["metadata"]["name"] == policy);
        let rules = read.and_then(|it| it["spec"]["rules"].as_array());
        let index = rules.and_then(|it| it.iter().position(|it| it["name"] == result["rule"]));
        match index {
            None | Some(0) => rest.is_empty() || rest.starts_with(".autogen"),
            Some(_) => rest.starts_with(&format!(".{}", text(&result["rule"]).to_lowercase())),
        }
    }
}

/// The files of a test's context, whose objects policies look up.
fn context(folder: &Path, test: &Value) -> Vec<PathBuf> {
    let path = test["context"].as_str();
    path.map(|path| folder.join(path)).into_iter().collect()
}
