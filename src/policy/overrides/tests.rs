//! What is said of policies, applied to policies as they are read.

use super::*;
use crate::policy::model::ValidationAction::{Audit, Deny, Warn};
use crate::policy::read;
use crate::text::yaml::parse_stream;

const POLICY: &str = "\
// Enough replicas.
//
// ---
// name: replicas
// severity: high
// match: {resources: [apps/v1/deployments]}
// settings: {least: 3, share: 0.5, names: [a, b]}
// ---

// @require enough
object.spec.replicas >= settings.least
// @patch
[JSONPatch{op: 'replace', path: '/spec/replicas', value: settings.least}]
";

fn documents(text: &str) -> Documents {
    let (documents, findings) = read::read(&Source::new("replicas.cel", text));
    assert!(findings.is_empty(), "{findings:?}");
    documents
}

fn said(yaml: &str) -> (Overrides, Vec<Diagnostic>) {
    let source = Source::new("portcullis.yaml", yaml);
    let stream = parse_stream(&source);
    let (policies, findings) = read::overrides(&source, &stream.documents[0]);
    let overrides = Overrides {
        profile: Profile::default(),
        policies: policies.into_iter().collect(),
        ..Overrides::default()
    };
    (overrides, findings)
}

fn applied(yaml: &str) -> (Documents, Vec<String>) {
    let (overrides, mut findings) = said(yaml);
    let mut documents = documents(POLICY);
    findings.extend(overrides.apply(&mut documents));
    let told = findings.iter().map(|finding| {
        let help = finding.help.as_deref().unwrap_or_default();
        format!("{}: {} ({help})", finding.code, finding.message)
    });
    (documents, told.collect())
}

#[test]
fn a_profile_changes_what_violations_do() {
    use PolicySeverity::{Critical, High, Low, Medium};
    let cases: [(
        Profile,
        PolicySeverity,
        &[ValidationAction],
        &[ValidationAction],
    ); 11] = [
        (Profile::Production, Low, &[Deny], &[Deny]),
        (Profile::Production, Low, &[Warn, Audit], &[Warn, Audit]),
        (Profile::Baseline, Critical, &[Deny], &[Deny]),
        (Profile::Baseline, High, &[Deny, Audit], &[Deny, Audit]),
        (Profile::Baseline, Medium, &[Deny], &[Warn]),
        (Profile::Baseline, Low, &[Deny, Audit], &[Warn, Audit]),
        (Profile::Baseline, Critical, &[Warn], &[Audit]),
        (Profile::Baseline, Low, &[Warn, Audit], &[Audit]),
        (Profile::Strict, Low, &[Warn], &[Deny]),
        (Profile::Strict, Low, &[Audit], &[Warn]),
        (Profile::Strict, Low, &[Warn, Audit], &[Deny]),
    ];
    for (profile, severity, written, expected) in cases {
        let got = profile.actions(written, severity);
        assert_eq!(got, expected, "{profile:?} {severity:?} {written:?}");
    }
}

#[test]
fn a_profile_is_for_cel_files_that_nothing_else_is_said_of() {
    let mut overrides = Overrides {
        profile: Profile::Strict,
        ..Overrides::default()
    };
    let warns = POLICY.replace("// severity: high", "// action: warn");
    let mut changed = documents(&warns);
    assert!(overrides.apply(&mut changed).is_empty());
    assert_eq!(changed.bindings[0].validation_actions, [Deny]);

    overrides.policies = said("replicas: {action: [warn, audit]}").0.policies;
    let mut changed = documents(&warns);
    assert!(overrides.apply(&mut changed).is_empty());
    assert_eq!(changed.bindings[0].validation_actions, [Warn, Audit]);
}

#[test]
fn settings_keep_the_types_they_are_written_with() {
    let (changed, told) = applied("replicas: {settings: {least: 2, share: 1, names: [c]}}");
    assert_eq!(told, [] as [&str; 0]);
    for policy in &changed.policies {
        let settings = Value::Object(policy.settings.clone());
        assert_eq!(
            settings.to_string(),
            r#"{"least":2,"share":1.0,"names":["c"]}"#
        );
    }
}

#[test]
fn what_does_not_fit_is_explained_and_changes_nothing() {
    let cases = [
        (
            "replicas: {settings: {leest: 2}}",
            "policy/unknown-setting: `replicas` has no setting `leest` (did you mean `least`?)",
        ),
        (
            "replicas: {settings: {least: '2'}}",
            "policy/wrong-setting: the setting `least` of `replicas` must be an integer, not `\"2\"` (by \
             default it is `3`)",
        ),
        (
            "replicas: {settings: {least: 2.5}}",
            "policy/wrong-setting: the setting `least` of `replicas` must be an integer, not `2.5` (by \
             default it is `3`)",
        ),
        (
            "replicas: {settings: {names: [c, 1]}}",
            "policy/wrong-setting: the setting `names` of `replicas` must be a list, not `[\"c\",1]` (by \
             default it is `[\"a\",\"b\"]`)",
        ),
        (
            "replica: {enabled: false}",
            "policy/not-loaded: `replica` is none of the policies that are loaded (did you mean \
             `replicas`?)",
        ),
        (
            "replicas: {acton: warn}",
            "policy/unknown-key: unknown key `acton` (did you mean `action`?)",
        ),
        (
            "replicas: {action: [deny, warn]}",
            "policy/exclusive: `deny` and `warn` do not go together (what is denied is said; leave \
             `warn` out)",
        ),
    ];
    for (yaml, expected) in cases {
        let (changed, told) = applied(yaml);
        assert_eq!(told, [expected], "{yaml}");
        let settings = Value::Object(changed.policies[0].settings.clone());
        let unchanged = r#"{"least":3,"share":0.5,"names":["a","b"]}"#;
        assert_eq!(settings.to_string(), unchanged, "{yaml}");
    }
}

#[test]
fn a_policy_can_be_switched_off_and_its_mutation_on() {
    let (changed, told) = applied("replicas: {enabled: false}");
    assert_eq!(told, [] as [&str; 0]);
    assert!(changed.policies.is_empty() && changed.bindings.is_empty());

    let (changed, told) = applied("replicas: {mutate: true}");
    assert_eq!(told, [] as [&str; 0]);
    let mutates = |policy: &Policy| (policy.kind, policy.mutate);
    let expected = [
        (PolicyKind::Validating, false),
        (PolicyKind::Mutating, true),
    ];
    assert_eq!(
        changed.policies.iter().map(mutates).collect::<Vec<_>>(),
        expected
    );
}
