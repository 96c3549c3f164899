//! Reading and linking exceptions.

use std::collections::BTreeSet;

use super::*;
use crate::cel::version::KubernetesVersion;
use crate::policy::read::read;
use crate::policy::set::{Built, PolicySet};
use crate::text::Source;

const POLICY: &str = "// ---\n// match: {resources: [v1/pods]}\n// ---\n// @require x\ntrue\n";

fn exception(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: portcullis.dev/v1alpha1\nkind: PolicyException\nmetadata: {{name: {name}}}\n\
         spec:\n{spec}"
    )
}

const SPEC: &str =
    "  policies: [p]\n  reason: old\n  owner: team\n  expires: 2026-12-31\n  match: {names: [a]}\n";

fn findings(text: &str) -> Vec<String> {
    let source = Source::new("e.yaml", text);
    let (_, diagnostics) = read(&source);
    let shown = |it: &Diagnostic| {
        let at = it.labels[0].position();
        let help = it.help.as_deref().unwrap_or_default();
        format!(
            "{}:{} {}: {} ({help})",
            at.line, at.column, it.code, it.message
        )
    };
    diagnostics.iter().map(shown).collect()
}

fn build(texts: &[(&str, &str)], previous: &PolicySet, faulty: &[&str]) -> Built {
    let mut documents = Documents::default();
    for (name, text) in texts {
        let (read, _) = read(&Source::new(*name, *text));
        documents.policies.extend(read.policies);
        documents.bindings.extend(read.bindings);
        documents.exceptions.extend(read.exceptions);
    }
    settle_reach(&mut documents, None);
    let version = KubernetesVersion::default();
    PolicySet::build(documents, version, previous, |source| {
        faulty.contains(&source)
    })
}

fn states(set: &PolicySet, now: &str) -> Vec<String> {
    let now = Timestamp::parse(now).unwrap();
    let all = set.exceptions().all().iter();
    all.map(|it| {
        format!(
            "{} {}",
            it.exception.full_name(),
            it.state(now, 14).as_str()
        )
    })
    .collect()
}

#[test]
fn what_is_written_wrong_is_said_where_it_is() {
    let spec = |changed: &str| exception("a", changed);
    for (text, expected) in [
        (spec(SPEC), ""),
        (
            spec(&SPEC.replace("owner", "ownr")),
            "4:1 policy/required: `owner` is missing (who answers for it: a team, or an address)\n\
             7:3 policy/unknown-key: unknown key `ownr` (did you mean `owner`?)",
        ),
        (
            spec(&SPEC.replace("  expires: 2026-12-31\n", "")),
            "4:1 policy/required: `expires` is missing (every exception ends: `expires: 2026-12-31`)",
        ),
        (
            spec(&SPEC.replace("2026-12-31", "soon")),
            "8:12 exception/malformed-expiry: `soon` is no date (write a date, the last day in UTC, \
             `2026-12-31`, or a time, `2026-12-31T12:00:00Z`)",
        ),
        (
            spec(&SPEC.replace("[p]", "[]")),
            "5:3 policy/required: `policies` is empty (list what is meant; without the key everything \
             is)",
        ),
        (
            spec(&SPEC.replace("reason: old", "reason: ''")),
            "6:11 policy/required: `reason` is missing (why is it excused?)",
        ),
        (
            spec(&SPEC.replace("{names: [a]}", "{names: [a], objectSelector: {}}")),
            "9:23 policy/required: `objectSelector` selects everything (leave it out, or say which \
             labels are meant)",
        ),
        (
            spec(&SPEC.replace("{names: [a]}", "{resources: [pods]}")),
            "9:23 policy/malformed-resource: malformed resource `pods` (write its group and version \
             too: `apps/v1/pods`, or `v1/pods` for the core group)",
        ),
        (
            spec(&SPEC.replace("{names: [a]}", "{naems: [a]}")),
            "9:11 policy/unknown-key: unknown key `naems` (did you mean `names`?)",
        ),
        (
            spec(SPEC).replace("PolicyException", "PolicyExeption"),
            "2:7 policy/unknown-kind: unknown kind `PolicyExeption` (did you mean `PolicyException`?)",
        ),
        (
            spec(SPEC).replace("v1alpha1", "v1"),
            "1:13 policy/unknown-version: unknown version `v1` (one of `v1alpha1`)",
        ),
        (
            exception("'A b'", SPEC),
            "3:18 policy/invalid-name: `A b` must be lower case letters, digits, `-` or `.`, \
             beginning and ending with a letter or digit (such as `legacy-billing`)",
        ),
    ] {
        let expected: Vec<&str> = expected.split('\n').filter(|it| !it.is_empty()).collect();
        assert_eq!(findings(&text), expected, "{text}");
    }
}

#[test]
fn what_cannot_be_understood_is_faulty() {
    let faulty = exception("a", &SPEC.replace("owner: team", "owner: 7"));
    let condition = SPEC.replace("{names: [a]}", "{condition: 'params.x == 1'}");
    for text in [&faulty, &exception("a", &condition)] {
        let built = build(
            &[("p.cel", POLICY), ("e.yaml", text)],
            &PolicySet::default(),
            &[],
        );
        assert_eq!(
            states(&built.set, "2026-01-01T00:00:00Z"),
            ["a faulty"],
            "{text}"
        );
    }
}

#[test]
fn its_state_follows_from_the_time() {
    let text = exception("a", SPEC);
    let built = build(
        &[("p.cel", POLICY), ("e.yaml", &text)],
        &PolicySet::default(),
        &[],
    );
    assert!(built.diagnostics.is_empty(), "{:?}", built.diagnostics);
    for (now, expected) in [
        ("2026-12-17T23:59:59Z", "a active"),
        ("2026-12-18T00:00:01Z", "a expiring"),
        ("2026-12-31T23:59:59Z", "a expiring"),
        ("2027-01-01T00:00:00Z", "a expired"),
    ] {
        assert_eq!(states(&built.set, now), [expected], "{now}");
    }
}

#[test]
fn of_two_with_one_name_neither_is_in_force() {
    let text = exception("a", SPEC);
    let files = [("e.yaml", text.as_str()), ("f.yaml", text.as_str())];
    let built = build(&files, &PolicySet::default(), &[]);
    let codes: Vec<&str> = built
        .diagnostics
        .iter()
        .map(|it| it.code.as_str())
        .collect();
    assert_eq!(codes, ["policy/duplicate-name"]);
    let expected = ["a faulty", "a faulty"];
    assert_eq!(states(&built.set, "2026-01-01T00:00:00Z"), expected);
}

#[test]
fn what_is_faulty_now_stays_as_it_was() {
    let (good, other) = (exception("a", SPEC), exception("b", SPEC));
    let bad = good.replace("owner: team", "owner: 7");
    let first = build(
        &[("e.yaml", &good), ("f.yaml", &other)],
        &PolicySet::default(),
        &[],
    )
    .set;
    for (files, faulty, expected) in [
        (
            vec![("e.yaml", bad.as_str())],
            vec!["e.yaml"],
            vec!["a active"],
        ),
        (vec![], vec!["f.yaml"], vec!["b active"]),
        (vec![], vec![], vec![]),
        (
            vec![("g.yaml", bad.as_str())],
            vec!["g.yaml"],
            vec!["a faulty"],
        ),
    ] {
        let built = build(&files, &first, &faulty);
        assert_eq!(
            states(&built.set, "2026-01-01T00:00:00Z"),
            expected,
            "{files:?}"
        );
        let kept = expected.iter().filter(|it| it.ends_with("active")).count();
        assert_eq!(built.kept_exceptions.len(), kept, "{files:?}");
    }
    // What is kept still ends.
    let built = build(&[("e.yaml", &bad)], &first, &["e.yaml"]);
    assert_eq!(states(&built.set, "2027-01-01T00:00:00Z"), ["a expired"]);
}

#[test]
fn a_pattern_finds_policies_of_both_kinds_and_none_about_the_cluster() {
    let cluster = "// ---\n// scope: cluster\n// ---\n// @require x\ntrue\n";
    let spec = SPEC.replace("[p]", "['p*', 'c']");
    let text = exception("a", &spec);
    let files = [
        ("p1.cel", POLICY),
        ("p2.cel", POLICY),
        ("c.cel", cluster),
        ("e.yaml", &text),
    ];
    let set = build(&files, &PolicySet::default(), &[]).set;
    for (name, expected) in [("p1", 1), ("p2", 1), ("c", 0), ("q", 0)] {
        assert_eq!(set.exceptions().of_policy(name).count(), expected, "{name}");
    }
}

fn reviewed(spec: &str, now: &str) -> Vec<String> {
    let text = exception("a", spec);
    let set = build(
        &[("replicas.cel", POLICY), ("e.yaml", &text)],
        &PolicySet::default(),
        &[],
    )
    .set;
    let calendar = review::Calendar {
        now: Timestamp::parse(now).unwrap(),
        notice_days: review::NOTICE_DAYS,
    };
    let mut found = review::expiring(set.exceptions(), calendar);
    found.extend(review::unknown_policies(set.exceptions(), set.policies()));
    found.extend(review::too_wide(set.exceptions()));
    let run = set.policies().iter().map(|it| it.policy.name.as_str());
    found.extend(review::unused(
        &set,
        calendar.now,
        &run.collect(),
        &BTreeSet::new(),
    ));
    let shown = |it: &Diagnostic| {
        let help = it.help.as_deref().unwrap_or_default();
        format!("{}: {} ({help})", it.code, it.message)
    };
    found.iter().map(shown).collect()
}

#[test]
fn what_is_not_as_it_should_be_is_found() {
    let good = SPEC.replace("[p]", "[replicas]");
    let early = "2026-01-01T00:00:00Z";
    let unused = "exception/unused: the exception `a` was not needed (no object of this run violates its \
                  policies where it fits; remove it if there are no others)";
    let wide = "  match: {names: [a]}\n";
    for (spec, now, expected) in [
        (good.clone(), early, vec![unused]),
        (
            good.clone(),
            "2027-01-01T00:00:00Z",
            vec![
                "exception/expired: the exception `a` expired: 2026-12-31 (it excuses nothing any \
                 more; remove it, or have it granted anew)",
            ],
        ),
        (
            good.clone(),
            "2026-12-30T12:00:00Z",
            vec![
                "exception/expires-soon: the exception `a` expires in 1 day: 2026-12-31 (what it \
                 excuses will be rejected then; ask team, who answers for it)",
                unused,
            ],
        ),
        (
            good.replace("[replicas]", "[replica]"),
            early,
            vec![
                "exception/unknown-policy: there is no policy `replica` (did you mean `replicas`?)",
                unused,
            ],
        ),
        (
            good.replace("[replicas]", "['*']"),
            early,
            vec![
                "exception/too-wide: the exception `a` is about every policy (policies to come are \
                 excused, too; name those that are meant)",
                unused,
            ],
        ),
        (
            good.replace(wide, "  match: {resources: [v1/pods]}\n"),
            early,
            vec![
                "exception/too-wide: the exception `a` is about every object of its resources (say \
                 which with `names`, `namespaces`, a selector or a `condition`; a policy that nobody \
                 is to keep is switched off in the configuration)",
                unused,
            ],
        ),
    ] {
        assert_eq!(reviewed(&spec, now), expected, "{spec}");
    }
}
