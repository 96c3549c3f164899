//! Cases, run and compared.

use super::*;
use crate::diagnostics::Style;
use crate::policy::read;
use crate::suite::coverage::Tests;
use crate::suite::format;
use crate::suite::report::{self, FileResult};
use crate::text::Source;

const POLICY: &str = "// ---
// name: p
// match: {resources: [v1/configmaps], operations: ['*']}
// settings: {floor: 3}
// ---
// @when it is wanted
object == null || object.metadata.name != 'unwanted'
// @let number
object == null ? oldObject.data.number : object.data.number
// @require n is at least the floor
variables.number >= settings.floor
// @require it is not forbidden
object == null || !has(object.data.forbidden)
// @audit number
variables.number == 7 ? 'seven' : ''
";

fn under_test(policy: &str, name: &str) -> UnderTest {
    let (documents, mut diagnostics) = read::read(&Source::new(name, policy));
    let (under_test, found) = UnderTest::new(documents, KubernetesVersion::default());
    diagnostics.extend(found);
    let problems: Vec<String> = diagnostics.iter().map(|it| it.message.clone()).collect();
    assert_eq!(problems, [] as [&str; 0]);
    under_test
}

/// Runs the cases of a file and returns how each ended, in a line.
fn outcomes(under_test: &UnderTest, cases: &str) -> (Vec<String>, Tally) {
    let text = format!(
        "base: {{apiVersion: v1, kind: ConfigMap, metadata: {{name: a}}, data: {{number: 3}}}}\ncases:\n{cases}"
    );
    let (file, problems) = format::read(&Source::new("p.test.yaml", text));
    let problems: Vec<String> = problems.iter().map(|it| it.message.clone()).collect();
    assert_eq!(problems, [] as [&str; 0]);
    let mut tally = Tally::default();
    tally.add(under_test.set(), Tests::Some);
    let outcomes = file
        .cases
        .iter()
        .map(|case| match under_test.run(&file, case, &mut tally) {
            Outcome::Passed => "passed".to_owned(),
            Outcome::Failed(lines) => {
                let lines = lines.iter().map(|line| match line {
                    Line::Same(text) => format!(" {text}"),
                    Line::Missing(text) => format!("-{text}"),
                    Line::Unexpected(text) => format!("+{text}"),
                });
                lines.collect::<Vec<_>>().join("|")
            }
            Outcome::Errored(diagnostic) => format!("{}: {}", diagnostic.code, diagnostic.message),
        });
    (outcomes.collect(), tally)
}

fn outcome(case: &str) -> String {
    let (mut outcomes, _) = outcomes(
        &under_test(POLICY, "p.cel"),
        &format!("- {{name: c, {case}}}"),
    );
    outcomes.remove(0)
}

#[test]
fn a_case_ends_as_the_policy_decides() {
    for (case, end) in [
        ("expect: admit", "passed"),
        (
            "set: {data.number: 1}, expect: {deny: n is at least the floor}",
            "passed",
        ),
        (
            "set: {data.number: 1}, expect: admit",
            "-admit|+deny: n is at least the floor",
        ),
        (
            "set: {data.number: 1, data.forbidden: 1}, expect: {deny: n is at least the floor}",
            " deny: n is at least the floor|+deny: it is not forbidden",
        ),
        (
            "set: {data.number: 7}, expect: {audit: {number: seven}}",
            "passed",
        ),
        (
            "expect: {audit: {number: seven}}",
            "-audit number: seven|+admit",
        ),
        ("set: {metadata.name: unwanted}, expect: skip", "passed"),
        (
            "set: {metadata.name: unwanted}, expect: admit",
            "-admit|+skip: no policy applies to the request",
        ),
        ("set: {kind: Secret}, expect: skip", "passed"),
        (
            "request: {operation: DELETE}, set: {data.number: 1}, expect: {deny: n is at least the floor}",
            "passed",
        ),
        (
            "remove: data.number, set: {data.other: 1}, expect: {error: [/key. number/, /key. number/]}",
            "passed",
        ),
        (
            "settings: {floor: 4}, expect: {deny: n is at least the floor}",
            "passed",
        ),
        (
            "settings: {flour: 4}, expect: admit",
            "test/unknown-key: the policy has no setting `flour`",
        ),
        (
            "settings: {floor: four}, expect: admit",
            "test/wrong-type: the setting `floor` is a number, not a string",
        ),
        (
            "object: {metadata: {}}, expect: admit",
            "test/required: the case cannot be run: `apiVersion` is missing or empty",
        ),
        (
            "cluster: [{kind: X}], expect: admit",
            "test/required: the case cannot be run: `apiVersion` is missing or empty",
        ),
    ] {
        assert_eq!(outcome(case), end, "{case}");
    }
}

#[test]
fn what_a_mutation_makes_is_the_same_switched_off_and_on_trial() {
    for (front_matter, found) in [
        ("mutate: true", "deny"),
        ("mutate: false", "deny"),
        ("mutate: true\n// action: audit", "audit"),
        ("action: audit", "audit"),
    ] {
        let policy = format!(
            "// ---\n// {front_matter}\n// match: {{resources: [v1/configmaps]}}\n// ---\n\
             // @require it is labelled\nobject.metadata.?labels.a.orValue('') != ''\n\
             // @require it is called `a`\nobject.metadata.name == 'a'\n\
             // @patch\n[JSONPatch{{op: 'add', path: '/metadata/labels', value: {{'a': 'b'}}}}]\n"
        );
        let under_test = under_test(&policy, "p.cel");
        let case = |case: &str| {
            let case = format!("- {{name: c, remove: data.number, {case}}}");
            outcomes(&under_test, &case).0.remove(0)
        };
        assert_eq!(
            case("expect: {object: {metadata: {labels: {a: b}}}}"),
            "passed",
            "{policy}"
        );
        let other = case("expect: {object: {metadata: {labels: {a: c}}}}");
        let expected = r#"-object.metadata.labels.a: "c"|+object.metadata.labels.a: "b""#;
        assert!(other.starts_with(expected), "{other}");
        // What is on trial still only records what its rules find of the result.
        let changed = "set: {metadata.name: b}, expect: {object: {metadata: {labels: {a: b}}}}";
        let expected = format!("-admit|+{found}: it is called `a`");
        assert_eq!(case(changed), expected, "{policy}");
        // Who asks for no change has the object judged as it is.
        let expected = format!("-admit|+{found}: it is labelled");
        assert_eq!(case("expect: admit"), expected, "{policy}");
    }
}

const KUBERNETES: &str = "apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: p}
spec:
  failurePolicy: Ignore
  paramKind: {apiVersion: v1, kind: ConfigMap}
  matchConstraints:
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}
  validations:
  - {expression: object.data.number >= params.data.floor, message: too low}
  - {expression: \"!has(namespaceObject.metadata.labels.closed)\", message: closed}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: b}
spec:
  policyName: p
  validationActions: [Warn, Audit]
  paramRef: {name: floor, parameterNotFoundAction: Deny}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: floor, namespace: default}
data: {floor: 2}
";

#[test]
fn parameters_and_the_namespace_are_those_of_the_case() {
    let under_test = under_test(KUBERNETES, "p.yaml");
    for (case, end) in [
        ("expect: admit", "passed"),
        (
            "params: {data: {floor: 4}}, expect: {warn: too low}",
            "passed",
        ),
        (
            "params: {data: {floor: 4}}, expect: {deny: too low}",
            "-deny: too low|+warn: too low",
        ),
        (
            "namespaceObject: {metadata: {labels: {closed: a}}}, expect: {warn: closed}",
            "passed",
        ),
        // The failure policy hides the error; the test does not.
        (
            "params: {data: {}}, expect: admit",
            "-admit|+error: expression 'object.data.number >= params.data.floor' resulted in error: no such key: floor",
        ),
        (
            "params: {data: {}}, expect: {error: 'no such key: floor'}",
            "passed",
        ),
    ] {
        let (outcomes, _) = outcomes(&under_test, &format!("- {{name: c, {case}}}"));
        assert_eq!(outcomes, [end], "{case}");
    }
}

#[test]
fn the_authorizer_answers_by_the_rules_of_the_case() {
    let policy = "// ---
// name: p
// match: {resources: [v1/configmaps]}
// ---
// @require the requester may delete it
authorizer.requestResource.check('delete').allowed()
// @require the robot may read the metrics
authorizer.serviceAccount('ci', 'robot').path('/metrics').check('get').allowed()
";
    let under_test = under_test(policy, "p.cel");
    let robot = "{user: 'system:serviceaccount:ci:robot', path: /metrics, verb: get}";
    for (case, end) in [
        (
            "expect: {error: ['/: authorizer.requestResource$/', '/: authorizer$/']}".to_owned(),
            "passed",
        ),
        (
            format!(
                "authorizer: [{robot}, {{resource: configmaps, name: a, verb: delete}}], expect: admit"
            ),
            "passed",
        ),
        (
            format!("authorizer: [{robot}], expect: {{deny: the requester may delete it}}"),
            "passed",
        ),
        (
            "authorizer: [{resource: configmaps}], expect: {deny: the robot may read the metrics}"
                .to_owned(),
            "passed",
        ),
    ] {
        let (outcomes, _) = outcomes(&under_test, &format!("- {{name: c, {case}}}"));
        assert_eq!(outcomes, [end], "{case}");
    }
}

#[test]
fn coverage_says_what_was_never_seen() {
    let under_test = under_test(POLICY, "p.cel");
    let (_, tally) = outcomes(
        &under_test,
        "- {name: a, expect: admit}\n- {name: b, set: {data.number: 1}, expect: admit}\n",
    );
    assert!(!tally.is_complete());
    insta::assert_snapshot!(tally.table(Style::Plain), @r#"
    POLICY  ADMITS  DENIES  VALIDATION
    p            1       1  n is at least the floor
                 2       0  it is not forbidden      never denies
    "#);
    let (_, tally) = outcomes(
        &under_test,
        "- {name: a, expect: admit}\n- {name: b, set: {data.number: 1, data.forbidden: 1}, expect: admit}\n",
    );
    assert!(tally.is_complete());
}

#[test]
fn a_report_shows_what_failed_and_how() {
    let under_test = under_test(POLICY, "p.cel");
    let source = Source::new(
        "p.test.yaml",
        "base: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {number: 1}}
cases:
- {name: it is admitted, expect: admit}
- {name: it is denied, expect: {deny: n is at least the floor}}
- {name: it cannot be run, settings: {flor: 1}, expect: admit}
",
    );
    let (file, _) = format::read(&source);
    let mut tally = Tally::default();
    tally.add(under_test.set(), Tests::Some);
    let run = |case| (case, under_test.run(&file, case, &mut tally));
    let results = [FileResult {
        source: &source,
        cases: file.cases.iter().map(run).collect(),
    }];
    insta::assert_snapshot!(report::human(&results, Style::Plain), @r#"
    failed: it is admitted
      --> p.test.yaml:3:10
      (- expected, + got)
      - admit
      + deny: n is at least the floor

    not run: it cannot be run
    error[test/unknown-key]: the policy has no setting `flor`
     --> p.test.yaml:5:39
      |
    5 | - {name: it cannot be run, settings: {flor: 1}, expect: admit}
      |                                       ^^^^
      |
      = help: did you mean `floor`?

    p.test.yaml: 1 passed, 2 failed
    "#);
    insta::assert_snapshot!(report::summary(&results), @"3 cases in 1 file: 1 passed, 2 failed");
    insta::assert_snapshot!(report::junit(&results, &[], Some(&tally)), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites tests="5" failures="3" errors="1" skipped="0" time="0.000">
      <testsuite name="p.test.yaml" tests="3" failures="1" errors="1" skipped="0" time="0.000">
        <testcase name="it is admitted" classname="p.test.yaml">
          <failure message="expected admit, got deny: n is at least the floor" type="unexpected">failed: it is admitted
      --&gt; p.test.yaml:3:10
      (- expected, + got)
      - admit
      + deny: n is at least the floor

    </failure>
        </testcase>
        <testcase name="it is denied" classname="p.test.yaml"/>
        <testcase name="it cannot be run" classname="p.test.yaml">
          <error message="the policy has no setting `flor`" type="test/unknown-key">error[test/unknown-key]: the policy has no setting `flor`
     --&gt; p.test.yaml:5:39
      |
    5 | - {name: it cannot be run, settings: {flor: 1}, expect: admit}
      |                                       ^^^^
      |
      = help: did you mean `floor`?
    </error>
        </testcase>
      </testsuite>
      <testsuite name="coverage" tests="2" failures="2" errors="0" skipped="0" time="0.000">
        <testcase name="p: n is at least the floor" classname="p.cel">
          <failure message="never admits" type="coverage">p.cel: 0 cases admit and 2 deny by this validation
    </failure>
        </testcase>
        <testcase name="p: it is not forbidden" classname="p.cel">
          <failure message="never denies" type="coverage">p.cel: 2 cases admit and 0 deny by this validation
    </failure>
        </testcase>
      </testsuite>
    </testsuites>
    "#);
    let coloured = report::human(&results, Style::Coloured);
    assert!(
        coloured.contains("\u{1b}[1;32m  - admit\u{1b}[0m\n"),
        "{coloured}"
    );
    assert!(
        coloured.contains("\u{1b}[1;31m  + deny: n is at least the floor\u{1b}[0m\n"),
        "{coloured}"
    );
}

mod projected;
