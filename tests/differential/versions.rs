//! What each version of Kubernetes knows: every overload by its own call, every example, every macro.

use portcullis::cel::function::{Function, Overload, Since, Style};
use portcullis::cel::library;
use portcullis::cel::types::Type;
use portcullis::cel::version::KubernetesVersion;
use serde_json::{Value as Row, json};

use super::oracle::{self, Oracle};
use super::rows::{self, Answer};

/// Expressions were first in 1.23; what came with them was always there.
const FIRST: u8 = 23;
const LAST: u8 = 36;

/// Functions that we have later than upstream's environments, as `tests/cases/divergences.yaml` says.
const LATER: [&str; 3] = ["fieldSelector", "labelSelector", "jsonpatch.escapeKey"];

/// Every macro in every form, but for those of an overload's example.
const MACROS: [&str; 19] = [
    "has({'a': 1}.a)",
    "[1].all(x, x > 0)",
    "[1].exists(x, x > 0)",
    "[1].exists_one(x, x > 0)",
    "[1].map(x, x)",
    "[1].map(x, x > 0, x)",
    "[1].filter(x, x > 0)",
    "[1].all(i, x, i < x)",
    "{'a': 1}.exists(k, v, k == 'a')",
    "[1].existsOne(i, x, i < x)",
    "[1].exists_one(i, x, i < x)",
    "[1].transformList(i, x, x)",
    "[1].transformList(i, x, x > 0, x)",
    "{'a': 1}.transformMap(k, v, v)",
    "{'a': 1}.transformMap(k, v, v > 0, v)",
    "{'a': 1}.transformMapEntry(k, v, {v: k})",
    "{'a': 1}.transformMapEntry(k, v, v > 0, {v: k})",
    "optional.of(1).optMap(x, x).optFlatMap(x, optional.of(x))",
    "[1].sortBy(x, x)",
];

/// A row with the variables and messages of mutations, for a version.
fn row(expression: &str, minor: u8) -> Row {
    json!({
        "expr": expression, "env": "patch", "envMode": "new", "version": format!("1.{minor}"),
    })
}

/// An expression that only this overload, or one more general, takes.
fn call(function: &Function, overload: &Overload) -> String {
    let witness = |param: &Type| match (function.name, param) {
        ("duration", Type::String) => "'1s'".to_owned(),
        // A literal would be looked at, since 1.29.
        ("duration", Type::Int) => "size('a')".to_owned(),
        ("timestamp", Type::String) => "'2024-01-01T00:00:00Z'".to_owned(),
        ("format", Type::String) => "'%s'".to_owned(),
        _ => witness(param),
    };
    let mut arguments: Vec<String> = overload.params.iter().map(witness).collect();
    let receiver = match overload.style {
        Style::Member => format!("({}).", arguments.remove(0)),
        Style::Global => String::new(),
    };
    format!("{receiver}{}({})", function.name, arguments.join(", "))
}

/// An expression of a type.
fn witness(of: &Type) -> String {
    match of {
        Type::Dyn => "dyn(1)".to_owned(),
        Type::Null => "null".to_owned(),
        Type::Bool => "true".to_owned(),
        Type::Int | Type::Param(_) => "1".to_owned(),
        Type::Uint => "1u".to_owned(),
        Type::Double => "1.0".to_owned(),
        Type::String => "'a'".to_owned(),
        Type::Bytes => "b'a'".to_owned(),
        Type::Duration => "duration('1s')".to_owned(),
        Type::Timestamp => "timestamp('2024-01-01T00:00:00Z')".to_owned(),
        Type::Type => "int".to_owned(),
        Type::List(item) => format!("[{}]", witness(item)),
        Type::Map(key, value) => format!("{{{}: {}}}", witness(key), witness(value)),
        Type::Optional(inner) => format!("optional.of({})", witness(inner)),
        Type::Opaque(name) => match *name {
            "kubernetes.Quantity" => "quantity('1')",
            "kubernetes.Semver" => "semver('1.0.0')",
            "kubernetes.URL" => "url('https://a')",
            "kubernetes.NamedFormat" => "format.dns1123Label()",
            "net.IP" => "ip('::1')",
            "net.CIDR" => "cidr('::1/128')",
            "kubernetes.authorization.Authorizer" => "authorizer",
            "kubernetes.authorization.PathCheck" => "authorizer.path('/a')",
            "kubernetes.authorization.GroupCheck" => "authorizer.group('a')",
            "kubernetes.authorization.ResourceCheck" => "authorizer.requestResource",
            "kubernetes.authorization.Decision" => "authorizer.requestResource.check('get')",
            // Nothing compiles with it: a type that is missing here shows.
            name => name,
        }
        .to_owned(),
        Type::Object(object) => object.name.to_owned(),
    }
}

/// The overloads of Kubernetes that can be called by their names.
fn overloads() -> impl Iterator<Item = (&'static Function, &'static Overload)> {
    library::functions()
        .filter(|function| !function.name.contains('@'))
        .flat_map(|function| function.overloads.iter().map(move |it| (function, it)))
        .filter(|(_, overload)| overload.since != Since::Extension)
}

#[test]
fn every_overload_is_there_since_kubernetes_has_it() {
    let Some(program) = oracle::program() else {
        println!("skipped: tests/kubernetes-cel is not built");
        return;
    };
    let minors: Vec<u8> = (FIRST..=LAST).collect();
    let asked: Vec<Row> = overloads()
        .flat_map(|(function, overload)| {
            let expression = call(function, overload);
            minors
                .iter()
                .map(move |minor| row(&expression, *minor))
                .collect::<Vec<_>>()
        })
        .collect();
    let (answers, ()) = Oracle::start(program).ask(&asked, || ());
    let mut differences = Vec::new();
    let answers = answers.chunks(minors.len()).zip(asked.chunks(minors.len()));
    for ((function, overload), (answers, rows)) in overloads().zip(answers) {
        let has: Vec<bool> = answers
            .iter()
            .map(|answer| match answer["phase"].as_str() {
                Some("compile") => false,
                None | Some("eval" | "program") => true,
                other => panic!("{other:?}: {answer}"),
            })
            .collect();
        let ours: Vec<bool> = minors
            .iter()
            .map(|minor| matches!(overload.since, Since::Kubernetes(since) if since <= *minor))
            .collect();
        if has != ours && !LATER.contains(&function.name) {
            let theirs = minors.iter().zip(&has).find(|(_, has)| **has);
            let theirs = theirs.map(|(minor, _)| minor);
            differences.push(format!(
                "{} {}: ours {:?}, theirs {theirs:?} {has:?}",
                overload.id, rows[0]["expr"], overload.since
            ));
        }
    }
    println!(
        "asked for {} overloads in {} versions",
        overloads().count(),
        minors.len()
    );
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn the_same_compiles_in_every_version() {
    let Some(program) = oracle::program() else {
        println!("skipped: tests/kubernetes-cel is not built");
        return;
    };
    let examples = library::functions()
        .filter(|function| !LATER.contains(&function.name))
        .flat_map(|function| function.examples)
        .map(|(expression, _)| (*expression).to_owned());
    let calls = overloads()
        .filter(|(function, _)| !LATER.contains(&function.name))
        .map(|(function, overload)| call(function, overload));
    let macros = MACROS.iter().map(|it| (*it).to_owned());
    let expressions: Vec<String> = examples.chain(calls).chain(macros).collect();
    let minors = KubernetesVersion::all().count();
    let oldest = LAST + 1 - u8::try_from(minors).unwrap();
    let asked: Vec<Row> = (oldest..=LAST)
        .flat_map(|minor| expressions.iter().map(move |it| row(it, minor)))
        .collect();
    let (answers, ours) = Oracle::start(program).ask(&asked, || {
        asked.iter().map(rows::answer).collect::<Vec<_>>()
    });
    let mut differences = Vec::new();
    let mut refused = 0;
    for ((row, ours), theirs) in asked.iter().zip(&ours).zip(&answers) {
        let theirs = rows::recorded(theirs);
        let is_refused = |answer: &Answer| matches!(answer, Answer::Refused(_));
        let is_broken = |answer: &Answer| matches!(answer, Answer::Panicked(_));
        refused += usize::from(is_refused(&theirs));
        if is_refused(ours) != is_refused(&theirs) || is_broken(ours) || is_broken(&theirs) {
            differences.push(format!("{row}\n    ours   {ours:?}\n    theirs {theirs:?}"));
        }
    }
    println!(
        "compared {} expressions in {minors} versions: {refused} refused",
        expressions.len()
    );
    assert!(refused > 0, "every version has everything");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
