//! What only records judges what would have been.

use super::*;
use crate::engine::mutating::{Defaults, Mutating};
use crate::schema::Schemas;

/// A file, with what it says of its action, a rule about the replicas and a number of them to set.
fn file(name: &str, action: &str, rule: &str, replicas: Option<&str>) -> (String, String) {
    let mut sections = format!("// @require {name}\n{rule}\n");
    if let Some(replicas) = replicas {
        sections.push_str(&format!(
            "// @patch\n[JSONPatch{{op: 'replace', path: '/spec/replicas', value: {replicas}}}]\n"
        ));
    }
    let front_matter = format!("{action}\nmutate: true");
    (format!("{name}.cel"), cel(&front_matter, &sections))
}

/// What is found of an object with one replica, and how often something was evaluated.
fn found(files: &[(String, String)], mode: Mode) -> (Vec<String>, usize) {
    let files: Vec<_> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.clone()))
        .collect();
    let set = set(&files);
    let body = body(&[("/object/spec/replicas", json!(1))]);
    let request = review::parse(&body).unwrap();
    let cluster = Objects::default();
    let how = Mutating {
        schemas: &Schemas::built_in_shared,
        defaults: Defaults::Applied,
    };
    let mut counted = Counted(0);
    let options = Options::new(&cluster);
    let verdict =
        crate::engine::trial::validate(&set, &request, options, (mode, how), &mut counted).unwrap();
    let messages = verdict.decisions.iter().map(|it| it.message.clone());
    (messages.collect(), counted.0)
}

struct Counted(usize);

impl Observer for Counted {
    fn is_watching(&self) -> bool {
        false
    }

    fn applies(&mut self, _: &CompiledPolicy) {}

    fn validated(&mut self, _: &CompiledPolicy, _: usize, _: observer::Held) {}

    fn failed(&mut self, _: &CompiledPolicy, _: &str) {}

    fn ended(&mut self, _: Done<'_>) {
        self.0 += 1;
    }
}

const THREE: &str = "object.spec.replicas >= 3";
const FIVE: &str = "object.spec.replicas <= 5";

#[test]
fn in_audit_mode_rules_are_asked_about_what_enforced_mutations_would_leave() {
    let mends = || file("mends", "action: deny", THREE, Some("3"));
    for (name, files, expected) in [
        ("its own", vec![mends()], &[][..]),
        (
            "that of another, whatever their names",
            vec![
                mends(),
                file("a", "action: deny", THREE, None),
                file("z", "action: warn", THREE, None),
            ],
            &[],
        ),
        (
            "which may be what breaks a rule",
            vec![
                file("far", "action: deny", "true", Some("9")),
                file("few", "action: deny", FIVE, None),
            ],
            &["few"],
        ),
        (
            "but not of one that stays on trial",
            vec![
                file("mends", "action: audit", THREE, Some("3")),
                file("a", "action: deny", THREE, None),
            ],
            &["a"],
        ),
        (
            "what is on trial adds its own to it",
            vec![
                mends(),
                file(
                    "more",
                    "action: audit",
                    "object.spec.replicas == 4",
                    Some("object.spec.replicas + 1"),
                ),
                file("other", "action: audit", "object.spec.replicas == 3", None),
            ],
            &[],
        ),
        (
            "what would be refused is judged as it came",
            vec![
                file("broken", "action: deny", THREE, Some("object.nope")),
                mends(),
            ],
            &["broken", "mends"],
        ),
    ] {
        let (messages, evaluated) = found(&files, Mode::Audit);
        assert_eq!(messages, expected, "{name}");
        assert_eq!(
            evaluated,
            files.len(),
            "{name}: each once, and nothing else is told"
        );
    }
}

#[test]
fn a_policy_on_trial_is_asked_about_what_its_own_mutation_would_make() {
    let on_trial = "action: audit";
    let mends = |name| file(name, on_trial, THREE, Some("3"));
    for (name, files, expected) in [
        ("its own", vec![mends("a")], &[][..]),
        (
            "which may be what breaks a rule",
            vec![file("a", on_trial, FIVE, Some("9"))],
            &["a"],
        ),
        (
            "not that of another, which may never be enforced",
            vec![mends("a"), file("b", on_trial, THREE, None)],
            &["b"],
        ),
        (
            "nor one of its own that is enforced, and was made before",
            vec![file("a", "action: deny", THREE, Some("3"))],
            &["a"],
        ),
        (
            "what is enforced judges what there is",
            vec![mends("a"), file("b", "action: deny", THREE, None)],
            &["b"],
        ),
        (
            "in the order of names",
            vec![
                file("a", on_trial, FIVE, Some("9")),
                file("b", "action: warn", THREE, None),
                file("c", on_trial, FIVE, Some("8")),
            ],
            &["a", "b", "c"],
        ),
    ] {
        let (messages, evaluated) = found(&files, Mode::Enforce);
        assert_eq!(messages, expected, "{name}");
        assert_eq!(
            evaluated,
            files.len(),
            "{name}: each once, and nothing else is told"
        );
    }
}
