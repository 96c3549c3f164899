//! Whole expressions, from text to value and cost, and what is said about wrong ones.

use bumpalo::Bump;

use super::env::{Env, Language};
use super::eval::{Inputs, Limits, Outcome, Unobserved, evaluate};
use super::issue::Issue;
use super::plan::{self, Program};
use super::types::Type;
use super::value::{List, Map, Value};
use super::{check, parse};
use crate::json;

const OBJECT: &[u8] = br#"{"spec":{"replicas":3,"l":[1,2],"f":[false,false],"name":"web","n":null},"labels":{"a":"x"}}"#;

fn compile(expression: &str, language: Language) -> Result<Program, Vec<Issue>> {
    let env = Env::new([("object", Type::Dyn), ("request", Type::Dyn)], language);
    plan::plan(&check::check(parse::parse(expression)?, &env)?)
}

/// Evaluates over [`OBJECT`], and shows the outcome.
fn run<R>(expression: &str, limits: Limits<'_>, show: impl FnOnce(Outcome<'_>) -> R) -> R {
    let program = compile(expression, Language::Extended).expect("the expression compiles");
    let arena = Bump::new();
    let object = Value::from(json::parse(&arena, OBJECT).expect("the object is JSON"));
    let slots = [object, Value::Null];
    let inputs = Inputs::new(&slots);
    show(evaluate(&program, &inputs, &arena, limits, &mut Unobserved))
}

fn shown(value: &Value<'_>) -> String {
    match value {
        Value::List(list) => {
            let items: Vec<String> = List::iter(list).map(|item| shown(&item)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(map) => {
            let entries: Vec<String> = Map::iter(map)
                .map(|(key, value)| format!("{}: {}", shown(&key), shown(&value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Optional(Some(inner)) => format!("optional({})", shown(inner)),
        Value::Optional(None) => "none".to_owned(),
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => format!("{value}u"),
        Value::Double(value) => format!("{value:?}"),
        Value::String(value) => format!("'{value}'"),
        other => format!("{other:?}"),
    }
}

fn check_all(cases: &[(&str, &str, u64)]) {
    for (expression, wanted, cost) in cases {
        run(expression, Limits::default(), |outcome| {
            let found = match outcome.value {
                Ok(value) => shown(&value),
                Err(fault) => format!("error: {fault}"),
            };
            assert_eq!(
                (found.as_str(), outcome.cost),
                (*wanted, *cost),
                "{expression}"
            );
        });
    }
}

#[test]
fn paths_cost_one_for_the_root_and_one_for_each_step() {
    check_all(&[
        ("object.spec.replicas > 2", "true", 4),
        ("object.spec.replicas", "3", 3),
        ("object['spec']['replicas']", "3", 3),
        ("object.spec.l[object.spec.l[0]]", "2", 7),
        ("[1,2][0]", "1", 2),
        ("{'a':{'b':1}}.a.b", "1", 3),
        ("true ? object.spec.replicas : 1", "3", 2),
        (
            "(object.spec.replicas > 0 ? object.spec : object.labels).name",
            "'web'",
            6,
        ),
    ]);
}

#[test]
fn presence_tests_cost_their_steps_only() {
    check_all(&[
        ("has(object.spec.replicas)", "true", 2),
        ("has(object.spec)", "true", 1),
        ("has(object.specx)", "false", 1),
        ("has(object.spec.replicas.x)", "false", 3),
        (
            "has(object.spec.l.x)",
            "error: unsupported index type 'string' in list",
            3,
        ),
        ("object.?spec.replicas", "optional(3)", 3),
        ("object.?specx.replicas", "none", 1),
        ("object.?specx.replicas.orValue(7)", "7", 1),
        ("object.spec.?n", "optional(null)", 3),
    ]);
}

#[test]
fn macros_cost_what_their_expansions_cost() {
    check_all(&[
        ("object.spec.l.all(x, x > 0)", "true", 14),
        ("object.spec.l.exists(x, x > 0)", "true", 13),
        ("object.spec.f.exists(x, x)", "false", 14),
        ("object.spec.l.exists_one(x, x > 1)", "true", 11),
        ("object.spec.l.map(x, x)", "[1, 2]", 30),
        ("object.spec.l.filter(x, x>1)", "[2]", 21),
        ("object.spec.l.all(x, [x].all(y, y > 0))", "true", 44),
        ("object.labels.all(k, v, v == 'x')", "true", 8),
        ("object.labels.transformMap(k, v, v + k)", "{'a': 'xa'}", 9),
        ("object.spec.l.transformList(i, v, i + v)", "[1, 3]", 34),
    ]);
}

#[test]
fn errors_are_absorbed_where_another_operand_decides() {
    check_all(&[
        ("object.missing > 1 || true", "true", 3),
        ("false && object.missing > 1", "false", 0),
        ("object.missing > 1 && false", "false", 3),
        (
            "object.missing > 1 || false",
            "error: no such key: missing",
            3,
        ),
        (
            "object.spec.l.all(x, object.missing > x && x > 5)",
            "false",
            15,
        ),
        (
            "object.spec.l.exists(x, x == 2 || object.missing == x)",
            "true",
            20,
        ),
        ("object.spec.name || true", "true", 3),
        ("object.spec.name && true", "error: no such overload", 3),
    ]);
}

#[test]
fn numbers_compare_across_types_and_overflow_is_an_error() {
    check_all(&[
        ("1 < 1.5 && 2u > 1 && 1.0 <= 1u", "true", 3),
        ("object.spec.replicas == dyn(3.0)", "true", 4),
        (
            "9223372036854775807 + object.spec.replicas",
            "error: integer overflow",
            4,
        ),
        ("object.spec.replicas / 0", "error: division by zero", 4),
        ("object.spec.replicas % 0", "error: modulus by zero", 4),
        (
            "0u - uint(object.spec.replicas)",
            "error: unsigned integer overflow",
            5,
        ),
        ("object.spec.replicas + 'a'", "error: no such overload", 4),
    ]);
}

#[test]
fn membership_in_a_list_of_constants_is_free() {
    check_all(&[
        ("1 in [1,2,3]", "true", 0),
        ("object.spec.l[0] in [1,2,3]", "true", 4),
        ("object.spec.name in ['a', 'web']", "true", 3),
        ("'a' in object.labels", "true", 3),
        ("1 in object.spec.name", "error: no such overload", 4),
    ]);
}

#[test]
fn the_cost_limit_ends_an_evaluation_and_is_never_absorbed() {
    let limits = Limits {
        cost: 100,
        ..Limits::default()
    };
    for expression in [
        "lists.range(20).all(x, x >= 0)",
        "lists.range(20).all(x, x >= 0) || true",
        "true || lists.range(20).all(x, x >= 0)",
        "lists.range(20).exists(x, lists.range(20).all(y, y >= 0))",
    ] {
        let found = run(expression, limits, |outcome| {
            outcome
                .value
                .map(|it| shown(&it))
                .map_err(|it| it.to_string())
        });
        let wanted = match expression.starts_with("true") {
            true => Ok("true".to_owned()),
            false => Err("operation cancelled: actual cost limit exceeded".to_owned()),
        };
        assert_eq!(found, wanted, "{expression}");
    }
}

#[test]
fn doubling_ends_at_the_memory_limit() {
    let doubled = |start: &str, times: usize| {
        let open: String = (0..times)
            .map(|at| {
                format!(
                    "cel.bind(v{at}, {}, ",
                    if at == 0 {
                        start.to_owned()
                    } else {
                        format!("v{0} + v{0}", at - 1)
                    }
                )
            })
            .collect();
        format!("{open}size(v{}){}", times - 1, ")".repeat(times))
    };
    let limits = Limits {
        memory_bytes: 1 << 20,
        ..Limits::default()
    };
    for start in ["'aaaaaaaaaaaaaaaa'", "[1, 2, 3, 4]"] {
        let found = run(&doubled(start, 40), limits, |outcome| {
            outcome
                .value
                .map(|it| shown(&it))
                .map_err(|it| it.to_string())
        });
        let wanted = [
            "operation cancelled: memory limit exceeded",
            "operation cancelled: actual cost limit exceeded",
        ];
        assert!(
            found
                .as_ref()
                .is_err_and(|it| wanted.contains(&it.as_str())),
            "{start}: {found:?}"
        );
    }
}

#[derive(Debug)]
struct Expired;

impl super::eval::IsExpired for Expired {
    fn is_expired(&self) -> bool {
        true
    }
}

#[test]
fn a_loop_ends_at_the_deadline() {
    let limits = Limits {
        is_expired: Some(&Expired),
        ..Limits::default()
    };
    let found = run("lists.range(1000).all(x, x >= 0)", limits, |it| {
        it.value.map(|it| shown(&it)).map_err(|it| it.to_string())
    });
    assert_eq!(found, Err("operation interrupted: deadline".to_owned()));
}

/// The issues of an expression: the text underlined, the message, the help.
fn issues(expression: &str) -> Vec<(String, String, String)> {
    let issues = compile(expression, Language::Kubernetes)
        .err()
        .unwrap_or_default();
    let shown = |issue: &Issue| {
        let text = expression
            .get(issue.span.start..issue.span.end)
            .unwrap_or("?")
            .to_owned();
        (
            text,
            issue.message.clone(),
            issue.help.clone().unwrap_or_default(),
        )
    };
    issues.iter().map(shown).collect()
}

#[test]
fn what_is_wrong_is_underlined_and_the_nearest_name_suggested() {
    for (expression, text, message, help) in [
        (
            "object.spec.replicas >",
            "",
            "expression ends where more is expected",
            "complete it after `>`",
        ),
        ("", "", "expression is empty", ""),
        (
            "object.spec = 3",
            "=",
            "`=` is no operator",
            "use `==` to compare",
        ),
        ("true & false", "&", "`&` is no operator", "use `&&`"),
        (
            "object.spec.in",
            "in",
            "`in` is not expected here",
            "`in` is a keyword; write `['in']` to read a field of that name",
        ),
        (
            "'abc",
            "'abc",
            "string is not terminated, or has an escape that CEL lacks",
            "close it with the quote it began with; a backslash is written `\\\\`, or use r'…'",
        ),
        (
            "[1, size(x",
            "",
            "expression ends where more is expected",
            "close the `(` of line 1, column 9",
        ),
        (
            "x.all(y,\n  [y",
            "",
            "expression ends where more is expected",
            "close the `[` of line 2, column 3",
        ),
        (
            "true and false",
            "and",
            "`and` is not expected here",
            "`and` is written `&&`",
        ),
        (
            "1 not in [1]",
            "not",
            "`not` is not expected here",
            "`a not in b` is written `!(a in b)`",
        ),
        (
            "not true",
            "true",
            "`true` is not expected here",
            "`not` is written `!`",
        ),
        (
            "null ?? 1",
            "?",
            "`?` is not expected here",
            "for a value by default write `a.?b.orValue(c)`",
        ),
        (
            "[1 2]",
            "2",
            "`2` is not expected here",
            "there is an operator or a comma missing between `1` and `2`",
        ),
        (
            "if",
            "if",
            "`if` is a reserved word, which nothing can be named",
            "a choice is written `condition ? this : that`",
        ),
        (
            "objct.spec",
            "objct",
            "undeclared reference to `objct`",
            "did you mean `object`?",
        ),
        (
            "object.spec.l.exist(x, x > 1)",
            "exist",
            "undeclared function `exist`",
            "did you mean `exists`?",
        ),
        (
            "object.spec.l.all(x)",
            "all",
            "undeclared function `all`",
            "the macro `all` takes another number of arguments",
        ),
        (
            "object.spec.name.startWith('a')",
            "startWith",
            "undeclared function `startWith`",
            "did you mean `startsWith`?",
        ),
        (
            "has(object)",
            "object",
            "invalid argument to has() macro",
            "has() takes a field selection: `has(object.spec.replicas)`; for a key use `'key' in map`",
        ),
        (
            "1 + 'a'",
            "1 + 'a'",
            "`+` does not take int and string",
            "convert one side, as with `int(…)` or `string(…)`; numbers of different types compare with `<` but not with `==`",
        ),
        (
            "1 == 1.0",
            "1 == 1.0",
            "`==` does not take int and double",
            "convert one side, as with `int(…)` or `string(…)`; numbers of different types compare with `<` but not with `==`",
        ),
        (
            "[1, 'a']",
            "'a'",
            "expected type `int` but found `string`",
            "",
        ),
        ("{'a': 1}.a.b", "b", "type `int` has no fields", ""),
        (
            "object.spec.l.all(1, true)",
            "1",
            "argument must be a simple name",
            "the first argument of a macro names the item: `list.all(item, item > 0)`",
        ),
        (
            "'a'.matches('[')",
            "'['",
            "invalid regular expression: error parsing regexp: missing closing ]: `[`",
            "the syntax is RE2's: https://github.com/google/re2/wiki/Syntax",
        ),
        (
            "'%d'.format(['a'])",
            "'a'",
            "`%d` formats integers, not `string`",
            "`%s` takes any value",
        ),
        (
            "cel.bind(x, 1, x)",
            "cel.bind(x, 1, x)",
            "`cel.bind` is not part of Kubernetes' language",
            "write the policy as a `.cel` file to use extensions",
        ),
        (
            "json.parse(object.spec.name).a",
            "json.parse(object.spec.name)",
            "`json.parse` is not part of Kubernetes' language",
            "write the policy as a `.cel` file to use extensions",
        ),
        (
            "math.greatest(1, object.spec.n)",
            "math.greatest(1, object.spec.n)",
            "`math.greatest` is not part of Kubernetes' language",
            "write the policy as a `.cel` file to use extensions",
        ),
        (
            "math.least()",
            "math",
            "math.least() requires at least one argument",
            "it takes numbers, or one list of numbers: `math.least(1, x)`",
        ),
        (
            "Object{}",
            "Object",
            "undefined type `Object`",
            "exists only in mutations: `Object{…}`, `Object.spec{…}`, `JSONPatch{…}`",
        ),
    ] {
        let wanted = (text.to_owned(), message.to_owned(), help.to_owned());
        assert_eq!(issues(expression).first(), Some(&wanted), "{expression}");
    }
}

#[test]
fn every_wrong_name_is_an_issue_of_its_own() {
    let found = issues("objct.a == 1 || requst.b == 2 || object.foo()");
    let texts: Vec<&str> = found.iter().map(|(text, ..)| text.as_str()).collect();
    assert_eq!(texts, ["objct", "requst", "foo"]);
}

#[test]
fn spans_hold_the_whole_expression_without_the_parentheses_around_it() {
    for (expression, wanted) in [
        ("(a + b) * c", vec!["a", "b", "a + b", "c", "(a + b) * c"]),
        (
            "f(a).b[ 1 ].?d",
            vec!["a", "f(a)", "f(a).b", "1", "f(a).b[ 1 ]", "f(a).b[ 1 ].?d"],
        ),
        ("-1 - -x", vec!["-1", "x", "-x", "-1 - -x"]),
        (
            "'é' + x.g(y, [ 1 ])",
            vec![
                "'é'",
                "x",
                "y",
                "1",
                "[ 1 ]",
                "x.g(y, [ 1 ])",
                "'é' + x.g(y, [ 1 ])",
            ],
        ),
        (
            "l.all( x , x > 0 )",
            vec!["l", "x", "x", "0", "x > 0", "l.all( x , x > 0 )"],
        ),
        (
            "c ? (t) : {'k': v}",
            vec!["c", "t", "'k'", "v", "{'k': v}", "c ? (t) : {'k': v}"],
        ),
        ("A.B{f: 1}", vec!["1", "A.B{f: 1}"]),
        (
            "// first\n a // then\n && b",
            vec!["a", "b", "a // then\n && b"],
        ),
    ] {
        let ast = parse::parse(expression).expect("the expression parses");
        let found: Vec<&str> = ast
            .nodes()
            .iter()
            .map(|node| {
                expression
                    .get(node.span.start..node.span.end)
                    .unwrap_or("?")
            })
            .collect();
        assert_eq!(found, wanted, "{expression}");
    }
}

#[test]
fn nesting_is_bounded_where_kubernetes_bounds_it() {
    type Make = fn(usize) -> String;
    let cases: [(&str, Make, usize); 12] = [
        ("sums", |n| vec!["1"; n + 1].join("+"), 250),
        ("products", |n| vec!["1"; n + 1].join("*"), 250),
        ("sums of products", |n| vec!["1*1"; n + 1].join("+"), 249),
        ("fields", |n| format!("object{}", ".a".repeat(n)), 250),
        ("calls", |n| format!("'a'{}", ".trim()".repeat(n)), 250),
        ("indexes", |n| format!("object{}", "[0]".repeat(n)), 250),
        (
            "parentheses",
            |n| format!("{}1{}", "(".repeat(n), ")".repeat(n)),
            249,
        ),
        (
            "lists",
            |n| format!("{}1{}", "[".repeat(n), "]".repeat(n)),
            249,
        ),
        (
            "maps",
            |n| format!("{}1{}", "{1:".repeat(n), "}".repeat(n)),
            249,
        ),
        ("conditionals", |n| format!("{}1", "true?1:".repeat(n)), 249),
        (
            "negations",
            |n| format!("{}true{}", "!(".repeat(n), ")".repeat(n)),
            249,
        ),
        (
            "sums in parentheses",
            |n| format!("{}1{}", "(1+".repeat(n), ")".repeat(n)),
            124,
        ),
    ];
    for (name, make, deepest) in cases {
        assert!(
            parse::parse(&make(deepest)).is_ok(),
            "{name}: {deepest} levels are allowed"
        );
        let issues = parse::parse(&make(deepest + 1)).expect_err(name);
        assert_eq!(
            issues[0].message, "expression is nested deeper than 250 levels",
            "{name}"
        );
    }
}

#[test]
fn long_and_deep_texts_are_refused_in_time() {
    for (name, text, message) in [
        (
            "a hundred thousand terms",
            vec!["1"; 100_000].join("+"),
            "expression is longer than 100000 characters",
        ),
        (
            "fifty thousand terms",
            vec!["1"; 49_999].join("+"),
            "expression is nested deeper than 250 levels",
        ),
        (
            "a hundred thousand parentheses",
            "(".repeat(100_000),
            "expression is nested deeper than 250 levels",
        ),
        (
            "closing ones",
            ")".repeat(50_000),
            "`)` is not expected here",
        ),
        (
            "a megabyte",
            " ".repeat(1 << 20),
            "expression is longer than 100000 characters",
        ),
    ] {
        let issues = parse::parse(&text).expect_err(name);
        assert_eq!(issues[0].message, message, "{name}");
    }
}
