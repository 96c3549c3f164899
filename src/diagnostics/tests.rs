//! The renderings as they are printed.

use super::junit::{Outcome, TestCase, TestSuite};
use super::*;

const MANIFEST: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: meshery\nspec:\n  \
                        replicas: 1\n  paused: yes\n";

fn span_of(source: &Source, needle: &str) -> Span {
    let at = source.text().find(needle).unwrap();
    Span::new(at, at + needle.len())
}

/// Findings of every shape, given out of order.
fn findings() -> Vec<Diagnostic> {
    let manifest = Source::new("deploy/a,b: 100%.yaml", MANIFEST);
    let policy = Source::new(
        "replicas.cel",
        "// é\nobject.spec.replicas >= 3 &&\n  object.spec.x\n",
    );
    vec![
        Diagnostic::error(
            "meshery-replicas",
            "meshery runs 1 replica; production needs 3",
        )
        .at(&manifest, span_of(&manifest, "replicas: 1"))
        .labelled("must be at least 3")
        .at(&manifest, span_of(&manifest, "name: meshery"))
        .labelled("because of the name")
        .at(&policy, span_of(&policy, "object.spec.replicas >= 3"))
        .help("set `spec.replicas` to 3")
        .about("Deployment meshery/meshery"),
        Diagnostic::warning("cel/unknown-field", "no field `x`")
            .at(&policy, span_of(&policy, "object.spec.x"))
            .help("did you mean `y`?\nfields: `a`, `b`"),
        Diagnostic::note("yaml/bool", "`yes` is a boolean")
            .at(&manifest, span_of(&manifest, "yes\n"))
            .about("Deployment meshery/meshery"),
        Diagnostic::warning("meshery-paused", "is paused")
            .at(&manifest, span_of(&manifest, "paused: yes"))
            .about("Deployment meshery/other"),
        Diagnostic::error("config/missing", "no policies <found> & \"none\" given"),
    ]
}

#[test]
fn the_human_format_underlines_the_source() {
    insta::assert_snapshot!(render(&findings(), Format::Human, Style::Plain), @r#"
    error[config/missing]: no policies <found> & "none" given

    error[meshery-replicas]: meshery runs 1 replica; production needs 3
     --> deploy/a,b: 100%.yaml:6:3
      |
    4 |   name: meshery
      |   ------------- because of the name
    5 | spec:
    6 |   replicas: 1
      |   ^^^^^^^^^^^ must be at least 3
      |
     ::: replicas.cel:2:1
      |
    2 | object.spec.replicas >= 3 &&
      | -------------------------
      |
      = object: Deployment meshery/meshery
      = help: set `spec.replicas` to 3

    warning[meshery-paused]: is paused
     --> deploy/a,b: 100%.yaml:7:3
      |
    7 |   paused: yes
      |   ^^^^^^^^^^^
      |
      = object: Deployment meshery/other

    note[yaml/bool]: `yes` is a boolean
     --> deploy/a,b: 100%.yaml:7:11
      |
    7 |   paused: yes
      |           ^^^
      |
      = object: Deployment meshery/meshery

    warning[cel/unknown-field]: no field `x`
     --> replicas.cel:3:3
      |
    3 |   object.spec.x
      |   ^^^^^^^^^^^^^
      |
      = help: did you mean `y`?
              fields: `a`, `b`
    "#);
}

#[test]
fn the_json_format_is_one_array() {
    insta::assert_snapshot!(render(&findings()[..2], Format::Json, Style::Plain), @r#"
    [
      {
        "code": "meshery-replicas",
        "severity": "error",
        "message": "meshery runs 1 replica; production needs 3",
        "help": "set `spec.replicas` to 3",
        "subject": "Deployment meshery/meshery",
        "excused": null,
        "file": "deploy/a,b: 100%.yaml",
        "line": 6,
        "column": 3,
        "endLine": 6,
        "endColumn": 14
      },
      {
        "code": "cel/unknown-field",
        "severity": "warning",
        "message": "no field `x`",
        "help": "did you mean `y`?\nfields: `a`, `b`",
        "subject": null,
        "excused": null,
        "file": "replicas.cel",
        "line": 3,
        "column": 3,
        "endLine": 3,
        "endColumn": 16
      }
    ]
    "#);
    assert_eq!(render(&[], Format::Json, Style::Plain), "[]\n");
}

#[test]
fn the_sarif_format_has_rules_and_places() {
    let mut findings = findings();
    findings[0].labels.truncate(2);
    let log = render(&findings, Format::Sarif, Style::Plain);
    let log: serde_json::Value = serde_json::from_str(&log).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    assert_eq!(run["columnKind"], "unicodeCodePoints");
    assert_eq!(run["tool"]["driver"]["name"], "portcullis");
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert_eq!((rules.len(), results.len()), (5, 5));
    for result in results {
        let rule = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[rule]["id"], result["ruleId"]);
    }
    assert_eq!(results[0].get("locations"), None, "nothing is known of it");
    insta::assert_snapshot!(format!("{:#}", results[1]), @r#"
    {
      "ruleId": "meshery-replicas",
      "ruleIndex": 3,
      "level": "error",
      "message": {
        "text": "meshery runs 1 replica; production needs 3\nhelp: set `spec.replicas` to 3"
      },
      "locations": [
        {
          "physicalLocation": {
            "artifactLocation": {
              "uri": "deploy/a%2Cb%3A%20100%25.yaml"
            },
            "region": {
              "startLine": 6,
              "startColumn": 3,
              "endLine": 6,
              "endColumn": 14
            }
          },
          "message": {
            "text": "must be at least 3"
          },
          "logicalLocations": [
            {
              "fullyQualifiedName": "Deployment meshery/meshery",
              "kind": "resource"
            }
          ]
        }
      ],
      "relatedLocations": [
        {
          "physicalLocation": {
            "artifactLocation": {
              "uri": "deploy/a%2Cb%3A%20100%25.yaml"
            },
            "region": {
              "startLine": 4,
              "startColumn": 3,
              "endLine": 4,
              "endColumn": 16
            }
          },
          "message": {
            "text": "because of the name"
          },
          "id": 0
        }
      ],
      "partialFingerprints": {
        "portcullisFinding/v1": "0a1160ffccb61a4e:1"
      }
    }
    "#);
}

#[test]
fn the_github_format_escapes_what_commands_mean() {
    insta::assert_snapshot!(render(&findings(), Format::Github, Style::Plain), @r#"
    ::error title=config/missing::no policies <found> & "none" given
    ::error file=deploy/a%2Cb%3A 100%25.yaml,line=6,endLine=6,col=3,endColumn=14,title=meshery-replicas::Deployment meshery/meshery: meshery runs 1 replica; production needs 3%0Ahelp: set `spec.replicas` to 3
    ::warning file=deploy/a%2Cb%3A 100%25.yaml,line=7,endLine=7,col=3,endColumn=14,title=meshery-paused::Deployment meshery/other: is paused
    ::notice file=deploy/a%2Cb%3A 100%25.yaml,line=7,endLine=8,title=yaml/bool::Deployment meshery/meshery: `yes` is a boolean
    ::warning file=replicas.cel,line=3,endLine=3,col=3,endColumn=16,title=cel/unknown-field::no field `x`%0Ahelp: did you mean `y`?%0Afields: `a`, `b`
    "#);
}

#[test]
fn the_junit_format_has_a_case_for_each_object() {
    insta::assert_snapshot!(render(&findings(), Format::Junit, Style::Plain), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites tests="4" failures="2" errors="0" skipped="0" time="0.000">
      <testsuite name="portcullis" tests="4" failures="2" errors="0" skipped="0" time="0.000">
        <testcase name="portcullis" classname="portcullis">
          <failure message="no policies &lt;found&gt; &amp; &quot;none&quot; given" type="config/missing">error[config/missing]: no policies &lt;found&gt; &amp; &quot;none&quot; given
    </failure>
        </testcase>
        <testcase name="Deployment meshery/meshery" classname="deploy/a,b: 100%.yaml">
          <failure message="meshery runs 1 replica; production needs 3" type="meshery-replicas">deploy/a,b: 100%.yaml:6:3: error[meshery-replicas]: meshery runs 1 replica; production needs 3
      help: set `spec.replicas` to 3
    </failure>
          <system-out>deploy/a,b: 100%.yaml:7:11: note[yaml/bool]: `yes` is a boolean
    </system-out>
        </testcase>
        <testcase name="Deployment meshery/other" classname="deploy/a,b: 100%.yaml">
          <system-out>deploy/a,b: 100%.yaml:7:3: warning[meshery-paused]: is paused
    </system-out>
        </testcase>
        <testcase name="replicas.cel" classname="replicas.cel">
          <system-out>replicas.cel:3:3: warning[cel/unknown-field]: no field `x`
      help: did you mean `y`?
    fields: `a`, `b`
    </system-out>
        </testcase>
      </testsuite>
    </testsuites>
    "#);
}

#[test]
fn a_run_of_tests_prints_as_junit() {
    let case = |name: &str, outcome, output: Option<&str>| TestCase {
        name: name.to_owned(),
        classname: "replicas.test.yaml".to_owned(),
        outcome,
        seconds: Some(0.0123),
        output: output.map(str::to_owned),
    };
    let suite = TestSuite {
        name: "replicas <1> & \"two\"".to_owned(),
        cases: vec![
            case("three replicas are admitted", Outcome::Passed, None),
            case(
                "one is denied",
                Outcome::Failed {
                    kind: "mismatch".to_owned(),
                    message: "expected\na denial".to_owned(),
                    details: "- deny ]]> <x>\n+ admit \u{0}\u{1b}[31m\u{ffff}\r\n".to_owned(),
                },
                Some("trace"),
            ),
            case(
                "broken",
                Outcome::Errored {
                    kind: "yaml".to_owned(),
                    message: "not a mapping".to_owned(),
                    details: String::new(),
                },
                None,
            ),
            case(
                "later",
                Outcome::Skipped {
                    reason: "no match".to_owned(),
                },
                None,
            ),
        ],
    };
    insta::assert_snapshot!(junit::render(&[suite]), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites tests="4" failures="1" errors="1" skipped="1" time="0.049">
      <testsuite name="replicas &lt;1&gt; &amp; &quot;two&quot;" tests="4" failures="1" errors="1" skipped="1" time="0.049">
        <testcase name="three replicas are admitted" classname="replicas.test.yaml" time="0.012"/>
        <testcase name="one is denied" classname="replicas.test.yaml" time="0.012">
          <failure message="expected&#10;a denial" type="mismatch">- deny ]]&gt; &lt;x&gt;
    + admit ��[31m�
    </failure>
          <system-out>trace</system-out>
        </testcase>
        <testcase name="broken" classname="replicas.test.yaml" time="0.012">
          <error message="not a mapping" type="yaml"></error>
        </testcase>
        <testcase name="later" classname="replicas.test.yaml" time="0.012">
          <skipped message="no match"/>
        </testcase>
      </testsuite>
    </testsuites>
    "#);
}

#[test]
fn formats_have_names_that_parse() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse(), Ok(format));
    }
    let error = |given: &str| given.parse::<Format>().unwrap_err().to_string();
    assert_eq!(error("jsn"), "unknown format `jsn`, did you mean `json`?");
    assert_eq!(
        error("text!"),
        "unknown format `text!`, use one of human, json, sarif, junit, github"
    );
}

#[test]
fn findings_are_in_order_of_place() {
    let a = Source::new("a", "1\n2\n3\n");
    let b = Source::new("b", "1\n2\n3\n");
    let at = |source, offset, code: &str| {
        Diagnostic::error(code, "m").at(source, Span::new(offset, offset + 1))
    };
    let findings = [
        at(&b, 4, "b3"),
        at(&a, 2, "a2"),
        at(&b, 0, "b1 first"),
        at(&b, 0, "b1 second"),
        Diagnostic::error("nowhere", "m"),
        at(&a, 0, "a1"),
    ];
    let codes = ordered(&findings);
    let codes = codes.iter().map(|finding| finding.code.as_str());
    assert_eq!(
        codes.collect::<Vec<_>>(),
        ["nowhere", "b1 first", "b1 second", "b3", "a1", "a2"]
    );
}

#[test]
fn colours_appear_only_where_they_are_asked_for() {
    for format in Format::ALL {
        let plain = render(&findings(), format, Style::Plain);
        assert!(!plain.contains('\u{1b}'), "{format}");
        let coloured = render(&findings(), format, Style::Coloured);
        assert_eq!(
            coloured.contains('\u{1b}'),
            format == Format::Human,
            "{format}"
        );
    }
}

#[test]
fn a_very_long_line_is_shown_in_part() {
    let half = "é, ".repeat(1 << 18);
    let source = Source::new("a.json", format!("{{{half}\"replicas\": 1{half}}}"));
    let finding = Diagnostic::error("c", "m")
        .at(&source, span_of(&source, "\"replicas\": 1"))
        .labelled("here")
        .at(&source, Span::new(0, source.text().len()))
        .labelled("all of it");
    for style in [Style::Plain, Style::Coloured] {
        let text = render(std::slice::from_ref(&finding), Format::Human, style);
        assert!(text.len() < 2000, "{} bytes", text.len());
        // One brace and 3 characters for each of the items before.
        assert!(text.contains("a.json:1:786434"), "{text}");
    }
    for format in [Format::Json, Format::Sarif, Format::Junit, Format::Github] {
        let text = render(std::slice::from_ref(&finding), format, Style::Plain);
        assert!(text.len() < 3000, "{format}: {} bytes", text.len());
    }
    insta::assert_snapshot!(render(&[finding], Format::Human, Style::Plain), @r#"
    error[c]: m
     --> a.json:1:786434
      |
    1 | …é, é, é, é, é, é, é, é, é, é, "replicas": 1é, é, é, é, é, é, é, é, é, é, é, é, é, é, é, é, é,…
      |                                ^^^^^^^^^^^^^ here
      |
     ::: a.json:1:1
      |
    1 | {é, é, é, é, é, é, é, é, é, é, é, é, é, é, é, é, é, é, é, é,…
      | ------------------------------------------------------------ all of it
      |
    "#);
}

#[test]
fn nothing_a_user_wrote_reaches_the_terminal_unchanged() {
    let source = Source::new("a\u{1b}]0;x\u{7}", "k\u{1b}[31m: \u{202e}v\r\n\u{9b}1m\n");
    let finding = Diagnostic::error("c\u{1b}", "m\u{1b}[0m\u{9b}\u{202e}\nsecond")
        .at(&source, Span::new(0, 3))
        .labelled("l\u{1b}\n2")
        .help("h\u{7}")
        .about("s\u{1b}");
    let text = render(&[finding], Format::Human, Style::Plain);
    let is_dangerous = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert_eq!(text.find(is_dangerous), None, "{text:?}");
}

#[test]
fn a_workflow_command_stays_on_one_line() {
    let source = Source::new("a\n::error::x", "k");
    let finding = Diagnostic::error("c\r\n::x", "m\n::set-output name=x::y")
        .at(&source, Span::new(0, 1))
        .help("h\n::debug::z");
    let text = render(&[finding], Format::Github, Style::Plain);
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn fingerprints_survive_lines_added_above() {
    let prints = |text: &str| {
        let source = Source::new("a.yaml", text);
        let all = source.text().match_indices("bad");
        let findings =
            all.map(|(at, _)| Diagnostic::error("c", "m").at(&source, Span::new(at, at + 3)));
        let findings = findings.collect::<Vec<_>>();
        let log = render(&findings, Format::Sarif, Style::Plain);
        let log: serde_json::Value = serde_json::from_str(&log).unwrap();
        let results = log["runs"][0]["results"].as_array().unwrap().clone();
        let print = |result: serde_json::Value| {
            let print = &result["partialFingerprints"]["portcullisFinding/v1"];
            print.as_str().unwrap().to_owned()
        };
        results.into_iter().map(print).collect::<Vec<_>>()
    };
    let before = prints("x: bad\ny: bad\n- x: bad\nx: bad");
    let after = prints("# added\n\n  x: bad\n  y: bad\n  - x: bad\n\nx: bad\n");
    assert_eq!(before, after);
    assert_eq!(
        before[0].trim_end_matches(":1"),
        before[3].trim_end_matches(":2")
    );
    let distinct = before.iter().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(distinct.len(), 4);
}

#[test]
fn spans_out_of_place_do_no_harm() {
    let source = Source::new("é", "é\nü");
    for start in 0..8 {
        for end in 0..8 {
            let finding = Diagnostic::error("c", "m").at(&source, Span::new(start, end));
            for format in Format::ALL {
                assert!(!render(std::slice::from_ref(&finding), format, Style::Plain).is_empty());
            }
        }
    }
    let empty = Source::new("empty", "");
    let finding = Diagnostic::error("c", "m").at(&empty, Span::new(0, 5));
    assert!(render(&[finding], Format::Human, Style::Plain).contains("empty:1:1"));
}

#[test]
fn ten_thousand_findings_in_a_large_file_take_linear_time() {
    let source = Source::new("a.yaml", "key: value\n".repeat(200_000));
    let findings = (0..10_000)
        .map(|at| Diagnostic::error("c", "m").at(&source, Span::new(at * 220, at * 220 + 3)));
    let text = render(&findings.collect::<Vec<_>>(), Format::Human, Style::Plain);
    assert_eq!(text.matches("error[c]").count(), 10_000);
    assert!(text.contains("a.yaml:199981:1"));
}
