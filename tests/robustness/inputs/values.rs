//! What breaks an evaluator: values that are far larger than they look, and loops.

use serde_json::{Value, json};

use super::Inputs;

/// Values that are twice the size of the value before.
pub(super) fn doubling(inputs: &mut Inputs) {
    for times in [20, 30, 60] {
        for (name, first, double) in [
            ("strings", "['a']", ".map(x,x+x)"),
            ("bytes", "[b'a']", ".map(x,x+x)"),
            ("lists", "[[1]]", ".map(x,x+x)"),
            (
                "quoted strings",
                "['a']",
                ".map(x,strings.quote(x)+strings.quote(x))",
            ),
            ("joined lists", "['aa']", ".map(x,[x,x].join(x))"),
            ("replaced strings", "['aa']", ".map(x,x.replace('a','aa'))"),
            ("formatted strings", "['a']", ".map(x,'%s%s'.format([x,x]))"),
            ("flattened lists", "[[1]]", ".map(x,[x,x].flatten())"),
        ] {
            let expression = format!("{first}{}.size()", double.repeat(times));
            inputs.add(format!("{name} doubled {times} times"), expression);
        }
    }
}

/// Values that hold one part many times: small in memory, endless if walked.
pub(super) fn shared(inputs: &mut Inputs) {
    let list = format!("[[1]]{}[0]", ".map(x,[x,x])".repeat(60));
    let map = format!("[dyn(1)]{}[0]", ".map(x,dyn({'a':x,'b':x}))".repeat(60));
    let optional = format!(
        "[dyn(1)]{}[0]",
        ".map(x,dyn([optional.of(x),optional.of(x)]))".repeat(60)
    );
    for (name, value) in [("lists", &list), ("maps", &map), ("optionals", &optional)] {
        for (what, expression) in [
            ("printed", value.clone()),
            ("compared", format!("{value} == {value}")),
            ("compared as the same", format!("[{value}].all(x, x == x)")),
            ("found in a list", format!("{value} in [{value}]")),
            (
                "made distinct",
                format!("[{value},{value}].distinct().size()"),
            ),
            ("in a set", format!("sets.contains([{value}],[{value}])")),
            (
                "in sets that intersect",
                format!("sets.intersects([{value}],[{value}])"),
            ),
            ("looked for", format!("[{value}].indexOf({value})")),
            ("formatted", format!("'%s'.format([{value}])")),
            ("a key of a map", format!("{{{value}: 1}}[{value}]")),
            ("not iterable", format!("[{value}].map(x, x + 1)")),
        ] {
            inputs.add(format!("shared {name}, {what}"), expression);
        }
    }
    let free = format!("[['']]{}[0]", ".map(x,[x,x])".repeat(22));
    for (name, walk) in [
        ("searched", "v.indexOf('a') < 0"),
        ("searched from the end", "v.lastIndexOf('a') < 0"),
        ("put in order", "v.isSorted() || true"),
        ("compared", "v == v"),
        ("searched by `in`", "!('a' in v)"),
        ("found in sets", "sets.contains(v, v)"),
    ] {
        inputs.over(
            format!("shared lists that cost nothing, {name} in a loop"),
            format!("[{free}].all(v, l.all(i, {walk}))"),
            json!({"l": (0..1_000).collect::<Vec<_>>()}),
        );
    }
    inputs.add(
        "shared lists, flattened",
        format!("{list}.flatten(60).size()"),
    );
    inputs.add(
        "shared lists, counted by macros",
        format!("{list}.map(x, x.map(y, y.size()))"),
    );
}

/// Types that hold one part many times.
pub(super) fn types(inputs: &mut Inputs) {
    for (name, step) in [
        ("maps", ".map(x,{x:x})"),
        ("lists of maps", ".map(x,[{x:[x]}])"),
        ("optionals", ".map(x,{x:optional.of(x)})"),
    ] {
        for times in [10, 40, 80] {
            let value = format!("['a']{}", step.repeat(times));
            inputs.add(format!("types of {name}, {times} deep"), value.clone());
            inputs.add(
                format!("types of {name}, {times} deep, unified"),
                format!("[{value}, {value}] == [{value}]"),
            );
            inputs.add(
                format!("types of {name}, {times} deep, that do not fit"),
                format!("{value} + 1"),
            );
        }
    }
    inputs.add("a type that holds itself", "[[]].map(x, x + [x])");
    inputs.add(
        "empty lists that become one type",
        format!("[{}[1]]", "[],".repeat(20_000)),
    );
    inputs.add(
        "open types in a chain",
        format!("[]{}", ".map(x,[x])".repeat(200)),
    );
    inputs.add("branches of types", format!("{}1", "b ? [] : ".repeat(200)));
}

pub(super) fn loops(inputs: &mut Inputs) {
    let list: Vec<usize> = (0..2_000).collect();
    for depth in 1..=6 {
        let nest = |open: &str, inner: &str| {
            let close = ")".repeat(depth);
            open.repeat(depth) + inner + &close
        };
        let vars = json!({"l": list});
        for (name, open) in [
            ("all", "l.all(x,"),
            ("exists", "!l.exists(x,!"),
            ("map", "0 < size(l.map(x,"),
            ("filter", "l == l.filter(x,"),
        ] {
            let expression = match name {
                "map" => "size(l.map(x,".repeat(depth) + "x" + &"))".repeat(depth),
                "filter" => "size(l.filter(x,0<".repeat(depth) + "1" + &"))".repeat(depth),
                _ => nest(open, "true"),
            };
            inputs.over(format!("{depth} loops of {name}"), expression, vars.clone());
        }
    }
    for (name, range) in [
        ("a hundred million", "100000000"),
        ("the greatest integer", "9223372036854775807"),
        ("a million", "1000000"),
        ("less than none", "-1"),
        ("the least integer", "-9223372036854775808"),
    ] {
        inputs.add(
            format!("a range of {name}"),
            format!("lists.range({range}).size()"),
        );
        inputs.add(
            format!("a loop over a range of {name}"),
            format!("lists.range({range}).all(x, lists.range({range}).all(y, x + y >= 0))"),
        );
    }
    inputs.add(
        "a range in a range",
        "lists.range(1000).map(x, lists.range(10000)).map(l, l.map(y, y)).size()",
    );
    inputs.add(
        "a list that grows in a loop",
        format!("lists.range(100000){}", ".map(x,[x,x,x,x])".repeat(20)),
    );
    inputs.over(
        "a string that grows in a loop",
        "l.map(x, l.map(y, s + s + s + s)).size()",
        json!({"l": list, "s": "a".repeat(10_000)}),
    );
}

pub(super) fn maps(inputs: &mut Inputs) {
    for (name, expression) in [
        (
            "a map of a long range",
            "lists.range(60000).transformMap(i, x, x).size()",
        ),
        (
            "a map of entries",
            "lists.range(60000).transformMapEntry(i, x, {x: i}).size()",
        ),
        (
            "a map of entries by text",
            "lists.range(30000).transformMapEntry(i, x, {string(x): i}).size()",
        ),
        (
            "look-ups in a map of integers",
            "[lists.range(30000).transformMap(i, x, x)].all(m, lists.range(30000).all(x, m[x] == x))",
        ),
        (
            "look-ups of doubles in a map of integers",
            "[lists.range(30000).transformMap(i, x, x)].all(m, lists.range(30000).all(x, double(x) in m))",
        ),
        (
            "maps of integers compared",
            "[lists.range(40000).transformMap(i, x, x)].all(m, m == m)",
        ),
    ] {
        inputs.add(name, expression);
    }
    let literal = |entries: &mut dyn Iterator<Item = String>| {
        let entries: Vec<String> = entries.collect();
        format!("{{{}}}.size()", entries.join(","))
    };
    let mut numbers = (0..14_000).map(|at| format!("{at}:0"));
    inputs.add("a literal map of integers", literal(&mut numbers));
    let mut texts = (0..10_000).map(|at| format!("'{at}':0"));
    inputs.add("a literal map of strings", literal(&mut texts));
    let mut lists = (0..10_000).map(|at| format!("[{at}]:0"));
    inputs.add("a literal map of lists", literal(&mut lists));
    let mut equal = (0..20_000).map(|_| "1:0".to_owned());
    inputs.add("a literal map of equal keys", literal(&mut equal));
    let mut computed = (0..8_000).map(|at| format!("n+{at}:0"));
    inputs.over(
        "a map of computed integers",
        literal(&mut computed),
        json!({"n": 1}),
    );
}

pub(super) fn documents(inputs: &mut Inputs) {
    let deep = |depth: usize| {
        (0..depth).fold(json!(1), |inner, at| match at % 2 {
            0 => json!([inner]),
            _ => json!({"a": inner}),
        })
    };
    let wide: Value = (0..50_000)
        .map(|at| (format!("key{at}"), json!(at)))
        .collect();
    for (name, expression, vars) in [
        ("deep, compared", "d == d", json!({"d": deep(190)})),
        ("too deep", "d", json!({"d": deep(1_000)})),
        ("deep, printed", "d", json!({"d": deep(190)})),
        ("wide, compared", "w == w", json!({"w": wide})),
        (
            "wide, counted",
            "w.all(k, v, v >= 0 && k != '')",
            json!({"w": wide}),
        ),
        (
            "wide, read by key",
            "w.all(k, w[k] >= 0)",
            json!({"w": wide}),
        ),
        (
            "wide, compared in a loop",
            "lists.range(30000).all(x, w == w)",
            json!({"w": wide}),
        ),
        (
            "wide, many times in a list",
            "[lists.range(2000).map(x, w)].all(l, l == l)",
            json!({"w": wide}),
        ),
        (
            "wide, many times printed",
            "lists.range(2000).map(x, w)",
            json!({"w": wide}),
        ),
        (
            "wide, transformed",
            "w.transformMap(k, v, v).size()",
            json!({"w": wide}),
        ),
        ("a number too great", "n", json!({"n": 1e308})),
        (
            "an unsigned number too great",
            "n + 1",
            json!({"n": u64::MAX}),
        ),
        ("empty keys", "o[''] == o['']", json!({"o": {"": 1}})),
        (
            "names that are no names",
            "a",
            json!({"a-b": 1, "": 2, "in": 3, "a": 4}),
        ),
    ] {
        inputs.over(format!("a document: {name}"), expression, vars);
    }
}
