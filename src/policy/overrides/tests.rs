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
fn what_a_profile_asks_less_of_is_recorded_and_what_somebody_puts_on_trial_is_told() {
    let warns = POLICY.replace("severity: high", "action: warn");
    let tries = POLICY.replace("severity: high", "action: audit");
    let told = |text: &str, yaml: &str| {
        let mut overrides = said(yaml).0;
        overrides.profile = Profile::Baseline;
        let mut changed = documents(text);
        assert!(overrides.apply(&mut changed).is_empty());
        let binding = &changed.bindings[0];
        assert!(binding.is_audited(), "{binding:?}");
        binding.audience()
    };
    assert_eq!(told(&warns, "{}"), Audience::Operators);
    assert_eq!(told(&tries, "{}"), Audience::Callers);
    let by_name = "replicas: {action: audit}";
    assert_eq!(told(&warns, by_name), Audience::Callers);
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

/// What becomes of two policies of a pack, and one of another, with what is said of packs and policies.
fn packed(packs: &str, policies: &str) -> (Documents, Vec<String>) {
    let mut documents = Documents::default();
    for (file, settings) in [
        ("built-in/kuma/a.cel", "{kuma: 2, least: 1}"),
        ("built-in/kuma/b.cel", "{kuma: 2}"),
        ("my/mine/c.cel", "{kuma: 2}"),
    ] {
        let text = format!(
            "// A.\n//\n// ---\n// match: {{resources: [v1/pods]}}\n// settings: {settings}\n// ---\n\n\
             // @require a\nsettings.kuma == 2\n"
        );
        let (read, findings) = read::read(&Source::new(file, text));
        assert!(findings.is_empty(), "{findings:?}");
        documents.policies.extend(read.policies);
        documents.bindings.extend(read.bindings);
    }
    let overrides = Overrides {
        packs: said(packs).0.policies,
        policies: said(policies).0.policies,
        ..Overrides::default()
    };
    let told = overrides.apply(&mut documents);
    let told = told.iter().map(|it| {
        let help = it.help.as_deref().unwrap_or_default();
        format!("{} {}: {} ({help})", it.severity, it.code, it.message)
    });
    let told = told.collect();
    (documents, told)
}

#[test]
fn what_is_said_of_a_pack_is_said_of_each_of_its_policies() {
    let settings = |documents: &Documents| -> Vec<String> {
        let policies = documents.policies.iter();
        policies
            .map(|it| Value::Object(it.settings.clone()).to_string())
            .collect()
    };
    let actions = |documents: &Documents| -> Vec<ValidationAction> {
        let bindings = documents.bindings.iter();
        bindings.map(|it| it.validation_actions[0]).collect()
    };
    let (changed, told) = packed("kuma: {settings: {kuma: 3}, action: warn}", "{}");
    assert_eq!(told, [] as [&str; 0]);
    let expected = [r#"{"kuma":3,"least":1}"#, r#"{"kuma":3}"#, r#"{"kuma":2}"#];
    assert_eq!(settings(&changed), expected);
    assert_eq!(actions(&changed), [Warn, Warn, Deny]);

    // A setting that only one of them has, and what is said of one comes first.
    let (changed, told) = packed(
        "{kuma: {settings: {kuma: 3, least: 4}, action: warn}, mine: {settings: {kuma: 5}}}",
        "a: {settings: {kuma: 1}, action: audit}",
    );
    assert_eq!(told, [] as [&str; 0]);
    let expected = [r#"{"kuma":1,"least":4}"#, r#"{"kuma":3}"#, r#"{"kuma":5}"#];
    assert_eq!(settings(&changed), expected);
    assert_eq!(actions(&changed), [Audit, Warn, Deny]);

    // `deny` of medium severity is a warning in the baseline; an action is said of one policy, though.
    let (changed, told) = packed(
        "{kuma: {profile: baseline}, mine: {profile: strict}}",
        "a: {action: audit}",
    );
    assert_eq!(told, [] as [&str; 0]);
    assert_eq!(actions(&changed), [Audit, Warn, Deny]);

    let (changed, _) = packed("kuma: {enabled: false}", "b: {enabled: true}");
    let names: Vec<&str> = changed.policies.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["b", "c"]);
    assert_eq!(changed.bindings.len(), 2);
}

#[test]
fn a_pack_or_setting_that_does_not_exist_is_an_error() {
    let cases = [
        (
            "kumma: {enabled: false}",
            "error policy/unknown-pack: there is no pack `kumma` (did you mean `kuma`?)",
        ),
        (
            "kuma: {settings: {kuna: 3}}",
            "error policy/unknown-setting: the pack `kuma` has no setting `kuna` (did you mean \
             `kuma`?)",
        ),
        (
            "kuma: {settings: {kuma: '3'}}",
            "error policy/wrong-setting: the setting `kuma` of the pack `kuma` must be an integer, not \
             `\"3\"` (by default it is `2`)",
        ),
        // It is known, and only not among those that are loaded.
        (
            "istio: {enabled: false}",
            "warning policy/not-loaded: `istio` is none of the packs that are loaded (nothing is \
             changed by it)",
        ),
    ];
    for (packs, expected) in cases {
        let (changed, told) = packed(packs, "{}");
        assert_eq!(told, [expected], "{packs}");
        assert_eq!(changed.policies.len(), 3, "{packs}");
    }
}
