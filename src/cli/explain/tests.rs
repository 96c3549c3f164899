//! What is explained, and that the examples of macros are true.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bumpalo::Bump;

use super::macros::MACROS;
use super::{codes, functions};
use crate::cel::encode::{Notation, write};
use crate::cel::env::{Env, Language};
use crate::cel::eval::{Inputs, Limits, Unobserved, evaluate};
use crate::cel::version::KubernetesVersion;
use crate::cel::{check, parse, plan};

/// The value of an expression with all its types, or its error.
fn outcome(expression: &str) -> Result<String, String> {
    let arena = Bump::new();
    let env = Env::new([], Language::Extended);
    let checked = check::check(parse::parse(expression).unwrap(), &env).unwrap();
    let program = plan::plan(&checked).unwrap();
    let inputs = Inputs::new(&[]);
    let limits = Limits::default();
    match evaluate(&program, &inputs, &arena, limits, &mut Unobserved).value {
        Ok(value) => Ok(write(&value, Notation::Typed, usize::MAX).whole().unwrap()),
        Err(fault) => Err(fault.to_string()),
    }
}

#[test]
fn every_example_of_a_macro_gives_what_it_says() {
    for it in MACROS {
        assert!(!it.examples.is_empty(), "{} has no example", it.name);
        for (expression, expect) in it.examples {
            match expect.strip_prefix("error: ") {
                Some(error) => {
                    let got = outcome(expression).expect_err(expression);
                    assert!(got.contains(error), "{expression}: {got}");
                }
                None => assert_eq!(outcome(expression), outcome(expect), "{expression}"),
            }
        }
    }
}

#[test]
fn a_macro_is_there_in_the_versions_that_its_explanation_names() {
    for it in MACROS {
        for (expression, _) in it.examples {
            for version in KubernetesVersion::all() {
                let env = Env::new([], Language::Extended).with_version(version);
                let checked = check::check(parse::parse(expression).unwrap(), &env);
                assert_eq!(
                    checked.is_ok(),
                    version.has(it.since),
                    "{expression} for {version}"
                );
            }
        }
    }
}

#[test]
fn every_macro_is_one_that_the_parser_expands() {
    let source = include_str!("../../cel/macros.rs");
    for it in MACROS {
        let name = it.name.rsplit('.').next().unwrap();
        assert!(source.contains(&format!("\"{name}\"")), "{name}");
    }
}

/// The codes that the program's source makes findings with.
fn codes_made() -> BTreeSet<String> {
    let mut made = BTreeSet::new();
    let mut pending = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(fs::read_dir(path).unwrap().map(|it| it.unwrap().path()));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let is_test =
            path.ends_with("tests.rs") || path.components().any(|it| it.as_os_str() == "tests");
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for (at, _) in code.match_indices("Diagnostic::") {
            let call = code[at..]
                .split_once('(')
                .map(|(_, rest)| rest.trim_start());
            let literal = call.and_then(|call| call.strip_prefix('"'));
            let code = literal.and_then(|literal| literal.split_once('"'));
            if let (Some((code, _)), false) = (code, is_test) {
                made.insert(code.to_owned());
            }
        }
    }
    assert!(made.len() > 10, "the codes are not found: {made:?}");
    made
}

#[test]
fn every_code_that_is_made_is_explained() {
    let known: BTreeSet<&str> = codes::all().map(|(code, _)| code).collect();
    let made = codes_made();
    let missing: Vec<&String> = made
        .iter()
        .filter(|code| code.contains('/') && !known.contains(code.as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn no_code_is_explained_twice() {
    let mut known = BTreeSet::new();
    for (code, meaning) in codes::all() {
        assert!(known.insert(code), "{code}");
        assert!(meaning.ends_with('.'), "{code}: {meaning}");
    }
    for pair in codes::CODES.windows(2) {
        assert!(pair[0].0 < pair[1].0, "{} {}", pair[0].0, pair[1].0);
    }
}

#[test]
fn a_code_is_explained_as_it_is_shown() {
    let explained = codes::explain("[policy/unknown-key]").unwrap();
    assert_eq!(
        explained,
        "policy/unknown-key\n\nA mapping has a key that means nothing there.\n"
    );
    let unknown = codes::explain("policy/unknwon-key").unwrap_err();
    assert_eq!(unknown.help, "did you mean `policy/unknown-key`?");
    let unknown = codes::explain("meshery-replicas").unwrap_err();
    assert!(
        unknown.help.contains("named after the policy"),
        "{unknown:?}"
    );
}

#[test]
fn a_function_is_explained_however_it_is_named() {
    insta::assert_snapshot!(functions::explain("split", None).unwrap(), @r#"
    split

    Returns the parts of a string between separators, at most some number of them.

      string.split(string) -> list(string)       every Kubernetes with CEL; cost 2, 20, 200 at sizes 10, 100, 1000
      string.split(string, int) -> list(string)  every Kubernetes with CEL; cost 2, 20, 200 at sizes 10, 100, 1000

    Examples
      'hello hello'.split(' ')
        ['hello', 'hello']
      'a,b,c'.split(',', 2)
        ['a', 'b,c']
      'a,b'.split(',', 0)
        []
      'né'.split('')
        ['n', 'é']
    "#);
    for name in [".split", "split()", "string.split(',')"] {
        assert_eq!(
            functions::explain(name, None),
            functions::explain("split", None),
            "{name}"
        );
    }
    insta::assert_snapshot!(functions::explain("ip.isCanonical", None).unwrap(), @r#"
    ip.isCanonical

    Says whether an address is written as it is printed.

      ip.isCanonical(string) -> bool  Kubernetes 1.30; cost 2, 20, 200 at sizes 10, 100, 1000

    Examples
      ip.isCanonical('2001:db8::abcd')
        true
      ip.isCanonical('2001:DB8::ABCD')
        false
    "#);
    insta::assert_snapshot!(functions::explain("cluster.list", None).unwrap(), @r#"
    cluster.list

    Returns all objects of an apiVersion and kind in a namespace, or in all of them if it is empty.

      cluster.list(string, string, string) -> list(dyn)  not in Kubernetes; cost 20, 110, 1010 at sizes 10, 100, 1000

    Examples
      cluster.list('v1', 'Node', '').size()
        0
    "#);
}

#[test]
fn a_macro_with_two_forms_is_explained_with_both() {
    insta::assert_snapshot!(functions::explain("exists", None).unwrap(), @r#"
    exists

    Says whether a condition holds for some item of a list or key of a map; an error counts only if no item decides.

      list.exists(x, condition)   macro; every Kubernetes with CEL
      map.exists(key, condition)  macro; every Kubernetes with CEL

    Examples
      [1, 2].exists(x, x > 1)
        true
      [0, 1].exists(x, 1 / x == 1)
        true
      [0].exists(x, 1 / x == 1)
        error: division by zero

    exists

    Says whether a condition holds for some index and item of a list, or key and value of a map.

      list.exists(i, x, condition)       macro; Kubernetes 1.32
      map.exists(key, value, condition)  macro; Kubernetes 1.32

    Examples
      [7, 8].exists(i, x, i == 1 && x == 8)
        true
    "#);
}

#[test]
fn a_name_that_is_nearly_right_is_suggested() {
    let suggestion = |name: &str| functions::explain(name, None).unwrap_err().help;
    assert_eq!(suggestion("isQuantty"), "did you mean `isQuantity`?");
    assert_eq!(suggestion("filtr"), "did you mean `filter`?");
    assert_eq!(
        suggestion("somethingElse"),
        "`portcullis explain --functions` lists all"
    );
    // What `sortBy` stands for cannot be written.
    assert!(functions::explain("@sortByAssociatedKeys", None).is_err());
}

#[test]
fn the_list_names_everything_once_with_its_description() {
    let list = functions::list();
    let lines: Vec<&str> = list.lines().collect();
    assert!(lines.len() > 100, "only {} functions", lines.len());
    let words = |line: &str| {
        line.split_whitespace()
            .take(4)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let listed: Vec<String> = lines.iter().map(|line| words(line)).collect();
    assert!(listed.contains(&"transformMapEntry Returns a map".to_owned()));
    let names: BTreeSet<&str> = lines
        .iter()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(names.len(), lines.len(), "a name is listed twice");
    assert!(!list.contains('@'), "{list}");
}
