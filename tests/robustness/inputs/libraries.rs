//! What breaks a function: patterns, texts, numbers and times at their limits.

use serde_json::{Value, json};

use super::Inputs;

pub(super) fn patterns(inputs: &mut Inputs) {
    let text = "a".repeat(100_000) + "b";
    for (name, pattern) in [
        ("nested repetition", "(a+)+$".to_owned()),
        ("ambiguous alternatives", "(a|aa)+$".to_owned()),
        ("many stars", "a*".repeat(1_000) + "$"),
        ("many options", "a?".repeat(1_000) + &"a".repeat(1_000)),
        ("a great repetition", "a{1000}".to_owned()),
        ("a repetition too great", "a{1001}".to_owned()),
        ("repeated repetitions", "((a{100}){100}){100}".to_owned()),
        (
            "repeated repetitions of classes",
            r"(\pL{100}){10}".to_owned(),
        ),
        ("deep groups", "(".repeat(900) + "a" + &")".repeat(900)),
        (
            "very deep groups",
            "(".repeat(20_000) + "a" + &")".repeat(20_000),
        ),
        (
            "deep repetitions",
            "(?:".repeat(900) + "a" + &")*".repeat(900),
        ),
        ("many alternatives", "abcdefgh|".repeat(9_000) + "z"),
        ("many classes", "[a-z]".repeat(9_000)),
        ("many unicode classes", r"\p{Han}\pL".repeat(2_000)),
        ("a class of everything", r"[\x{0}-\x{10FFFF}]*".to_owned()),
        ("a negated class, folded", r"(?i)[^a]{500}".to_owned()),
        ("many groups", "(a)".repeat(20_000)),
        (
            "many named groups",
            (0..2_000).map(|at| format!("(?P<n{at}>a)")).collect(),
        ),
        ("an empty pattern", String::new()),
        ("empty alternatives", "|".repeat(50_000)),
        (
            "any character, many times",
            "(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)x".to_owned(),
        ),
        ("word boundaries", r"\b".repeat(5_000)),
        ("an open class", "[".repeat(50_000)),
        ("an open group", "(?".to_owned()),
        ("a back reference", r"(a)\1".to_owned()),
        ("a look-ahead", "(?=a)".to_owned()),
        ("an open quotation", r"\Qabc".repeat(5_000)),
    ] {
        let vars = json!({"s": text, "p": pattern});
        inputs.over(format!("{name} matches"), "s.matches(p)", vars.clone());
        inputs.over(format!("{name} find"), "s.findAll(p).size()", vars);
        let literal = serde_json::to_string(&pattern).unwrap();
        inputs.over(
            format!("{name} as a literal"),
            format!("s.matches({literal})"),
            json!({"s": "aaa"}),
        );
    }
    inputs.over(
        "many different patterns",
        "l.all(x, 'a'.matches('a{' + string(x) + '}|' + p) || true)",
        json!({"l": (0..900).collect::<Vec<_>>(), "p": r"\pL{50}"}),
    );
}

pub(super) fn texts(inputs: &mut Inputs) {
    let long = "ab".repeat(500_000);
    for (name, expression) in [
        ("replaced by nothing", "s.replace('a','').size()"),
        (
            "replaced everywhere",
            "s.replace('','xxxxxxxxxxxxxxxx').size()",
        ),
        (
            "replaced by itself",
            "'aaaa'.replace('a', s).replace('a', s).size()",
        ),
        (
            "replaced in a loop",
            "[s].map(x, x.replace('a','aa').replace('b','bb')).size()",
        ),
        (
            "replaced less than none times",
            "s.replace('a','b',-5).size()",
        ),
        ("split at every character", "s.split('').size()"),
        ("split by itself", "s.split(s).size()"),
        (
            "split the least times",
            "s.split('a', -9223372036854775808).size()",
        ),
        ("joined with itself", "s.split('').join(s).size()"),
        ("reversed", "s.reverse().reverse() == s"),
        ("quoted", "strings.quote(s).size()"),
        ("the last place of a part", "s.lastIndexOf('c')"),
        (
            "a place beyond the end",
            "s.indexOf('a', 9223372036854775807)",
        ),
        (
            "a part beyond the end",
            "s.substring(9223372036854775806, 9223372036854775807)",
        ),
        (
            "a part before the start",
            "s.substring(-9223372036854775808, 0)",
        ),
        (
            "a character beyond the end",
            "s.charAt(9223372036854775807)",
        ),
        (
            "parts of a bad text",
            "s.indexOf('abababababababababababababababababac')",
        ),
        (
            "to lower case in a loop",
            "lists.range(1000).all(x, s.lowerAscii() == s)",
        ),
        (
            "compared in a loop",
            "lists.range(100000).all(x, s + 'a' > s)",
        ),
        (
            "counted in a loop",
            "lists.range(50000).all(x, s.size() > x)",
        ),
        (
            "contained in a loop",
            "lists.range(50000).all(x, !s.contains('c'))",
        ),
        (
            "trimmed in a loop",
            "lists.range(50000).all(x, s.trim() != '')",
        ),
        (
            "started with in a loop",
            "lists.range(50000).all(x, !s.startsWith(s + 'a'))",
        ),
        ("as bytes and back", "string(bytes(s)) == s"),
        ("read as a number", "int(s)"),
        (
            "read as a double",
            "double('1' + s.replace('a', '1').replace('b', '1'))",
        ),
        ("read as a bool", "bool(s)"),
    ] {
        inputs.over(
            format!("a long text {name}"),
            expression,
            json!({"s": long}),
        );
    }
}

pub(super) fn formats(inputs: &mut Inputs) {
    for (name, expression) in [
        (
            "a great precision",
            "'%.999999999f'.format([1.0])".to_owned(),
        ),
        (
            "a precision too great",
            "'%.99999999999999999999f'.format([1.0])".to_owned(),
        ),
        (
            "a great precision of an exponent",
            "'%.2147483648e'.format([1.0])".to_owned(),
        ),
        ("a width", "'%1000000000d'.format([1])".to_owned()),
        ("no verb", "'%'.format([1])".to_owned()),
        ("an unknown verb", "'%y'.format([1])".to_owned()),
        ("too few arguments", "'%s%s'.format([1])".to_owned()),
        (
            "many verbs",
            format!("'{}'.format([1])", "%s".repeat(40_000)),
        ),
        (
            "many arguments",
            format!(
                "'{}'.format([{}1])",
                "%s".repeat(20_000),
                "1,".repeat(19_999)
            ),
        ),
        (
            "many percents",
            format!("'{}'.format([])", "%%".repeat(45_000)),
        ),
        (
            "the least integer in binary",
            "'%b'.format([-9223372036854775808])".to_owned(),
        ),
        (
            "the least integer in hexadecimal",
            "'%x'.format([-9223372036854775808])".to_owned(),
        ),
        (
            "a great double",
            "'%f'.format([1.7976931348623157e308])".to_owned(),
        ),
        ("a small double", "'%.400f'.format([5e-324])".to_owned()),
        (
            "no number",
            "'%f %e'.format([0.0/0.0, -1.0/0.0])".to_owned(),
        ),
    ] {
        inputs.add(format!("a format with {name}"), expression);
    }
    inputs.over(
        "a format of a document in a loop",
        "lists.range(1000).map(x, '%s'.format([o])).size()",
        json!({"o": (0..2_000).map(|at| json!({"a": at})).collect::<Vec<_>>()}),
    );
}

pub(super) fn numbers(inputs: &mut Inputs) {
    for (name, expression) in [
        ("the least by minus one", "-9223372036854775808 / n"),
        ("the rest of the least", "-9223372036854775808 % n"),
        ("the least times minus one", "-9223372036854775808 * n"),
        ("a division by zero", "1 / (n + 1)"),
        ("a rest by zero", "1 % (n + 1)"),
        ("unsigned below zero", "0u - 1u"),
        ("a negative unsigned", "uint(n)"),
        ("a double too great", "int(1e300)"),
        ("a double just too great", "int(9223372036854775807.0)"),
        ("no number as an integer", "int(0.0/0.0)"),
        (
            "an index that is no number",
            "[1][int(0.0)] == 1 && [1][n] == 1",
        ),
        ("an index too great", "[1][9223372036854775807]"),
        ("an unsigned index too great", "[1][18446744073709551615u]"),
        ("a double index", "[1][dyn(1e300)]"),
        (
            "comparisons at the limits",
            "dyn(9223372036854775807) < dyn(9.3e18) && dyn(18446744073709551615u) > dyn(-1)",
        ),
        ("no number in a set", "dyn(0.0/0.0) in [dyn(0.0/0.0)]"),
    ] {
        inputs.over(format!("a number: {name}"), expression, json!({"n": -1}));
    }
}

pub(super) fn times(inputs: &mut Inputs) {
    for (name, expression) in [
        ("a duration too long", "duration('9999999999h')"),
        ("the longest duration", "duration('9223372036854775807ns')"),
        (
            "the longest duration and one",
            "duration('9223372036854775807ns') + duration('1ns')",
        ),
        (
            "the shortest duration less one",
            "duration('-9223372036854775808ns') - duration('1ns')",
        ),
        (
            "the shortest duration in hours",
            "duration('-9223372036854775808ns').getHours()",
        ),
        (
            "the first timestamp less one",
            "timestamp('0001-01-01T00:00:00Z') - duration('1ns')",
        ),
        (
            "the last timestamp and one",
            "timestamp('9999-12-31T23:59:59.999999999Z') + duration('1ns')",
        ),
        (
            "all of time",
            "timestamp('9999-12-31T23:59:59Z') - timestamp('0001-01-01T00:00:00Z')",
        ),
        ("a year too great", "timestamp('10000-01-01T00:00:00Z')"),
        ("a leap second", "timestamp('2016-12-31T23:59:60Z')"),
        ("the 30th of February", "timestamp('2024-02-30T00:00:00Z')"),
        (
            "an offset too great",
            "timestamp('2024-01-01T00:00:00+99:99')",
        ),
        ("a timestamp of seconds", "timestamp(n)"),
        (
            "an unknown zone",
            "timestamp('2024-01-01T00:00:00Z').getHours('Nowhere/City')",
        ),
        (
            "a zone of dots",
            "timestamp('2024-01-01T00:00:00Z').getHours('../../../etc/passwd')",
        ),
        (
            "an offset as a zone",
            "timestamp('2024-01-01T00:00:00Z').getHours('99999999:99')",
        ),
        (
            "an empty zone",
            "timestamp('2024-01-01T00:00:00Z').getHours('')",
        ),
        (
            "the first timestamp in a zone",
            "timestamp('0001-01-01T00:00:00Z').getFullYear('Pacific/Apia')",
        ),
    ] {
        inputs.over(format!("time: {name}"), expression, json!({"n": i64::MAX}));
    }
    for (name, text) in [
        ("many units", "1h".repeat(100_000)),
        ("many digits", "9".repeat(100_000) + "h"),
        ("many fractions", format!("0.{}h", "9".repeat(100_000))),
    ] {
        inputs.over(
            format!("a duration of {name}"),
            "duration(s)",
            json!({"s": text}),
        );
    }
}

pub(super) fn libraries(inputs: &mut Inputs) {
    let digits = "9".repeat(100_000);
    for (name, expression, text) in [
        ("a quantity of many digits", "quantity(s)", digits.clone()),
        (
            "a quantity of many digits, compared",
            "quantity(s).compareTo(quantity(s + '9'))",
            digits.clone(),
        ),
        (
            "a quantity of many digits, added",
            "quantity(s).add(quantity(s)).asApproximateFloat()",
            digits.clone(),
        ),
        (
            "a quantity with a great exponent",
            "quantity(s)",
            "1e1000000000".to_owned(),
        ),
        (
            "a quantity with a small exponent",
            "quantity(s).sub(quantity('1'))",
            "1e-1000000000".to_owned(),
        ),
        (
            "quantities far apart",
            "quantity(s).compareTo(quantity('1e-9'))",
            "1e1000000".to_owned(),
        ),
        (
            "quantities far apart, added",
            "quantity(s).add(quantity('1n')).isInteger()",
            "1e1000000".to_owned(),
        ),
        ("a quantity of points", "isQuantity(s)", ".".repeat(1_000)),
        (
            "a fraction of many digits",
            "quantity(s)",
            format!("0.{digits}"),
        ),
        (
            "a version of many digits",
            "semver(s)",
            format!("{digits}.0.0"),
        ),
        (
            "a version of many parts",
            "isSemver(s)",
            "1.".repeat(50_000),
        ),
        (
            "a version of many identifiers",
            "semver(s).compareTo(semver(s))",
            format!("1.0.0-{}a", "a.".repeat(50_000)),
        ),
        ("an address of colons", "isIP(s)", ":".repeat(100_000)),
        ("an address of digits", "isIP(s)", digits.clone()),
        (
            "an address with a zone",
            "isIP(s)",
            format!("fe80::1%{}", "a".repeat(100_000)),
        ),
        ("a network of slashes", "isCIDR(s)", "/".repeat(100_000)),
        (
            "a network of no bits",
            "cidr('::/0').containsCIDR('0.0.0.0/0')",
            String::new(),
        ),
        ("a URL of percents", "isURL(s)", "%".repeat(100_000)),
        (
            "a URL of escapes",
            "url('http://a/' + s).getEscapedPath().size()",
            "%2f".repeat(50_000),
        ),
        (
            "a URL of parameters",
            "url('http://a/?' + s).getQuery().size()",
            "a=b&".repeat(50_000),
        ),
        (
            "a URL of many parameters",
            "url('http://a/?' + s).getQuery().size()",
            (0..20_000).map(|at| format!("a{at}=b&")).collect(),
        ),
        (
            "a URL with a long host",
            "url('http://' + s + '/').getHostname().size()",
            "a.".repeat(50_000),
        ),
        (
            "a URL of brackets",
            "isURL('http://' + s)",
            "[".repeat(50_000),
        ),
        (
            "a URL of users",
            "isURL('http://' + s)",
            "a:b@".repeat(50_000),
        ),
        (
            "a label of a hundred thousand",
            "format.dns1123Label().validate(s).hasValue()",
            "a".repeat(100_000),
        ),
        (
            "a subdomain of dots",
            "format.dns1123Subdomain().validate(s).hasValue()",
            ".".repeat(100_000),
        ),
        (
            "a qualified name of slashes",
            "format.qualifiedName().validate(s).hasValue()",
            "/".repeat(100_000),
        ),
        (
            "a date of digits",
            "format.date().validate(s).hasValue()",
            digits.clone(),
        ),
        (
            "a URI of everything",
            "format.uri().validate(s).hasValue()",
            "\u{7f}%zz".repeat(20_000),
        ),
        (
            "base64 of nothing sound",
            "format.byte().validate(s).hasValue()",
            "=".repeat(100_000),
        ),
        (
            "a UUID of dashes",
            "format.uuid().validate(s).hasValue()",
            "-".repeat(100_000),
        ),
    ] {
        inputs.over(name, expression, json!({"s": text}));
    }
    inputs.over(
        "many quantities",
        "l.all(x, quantity(string(x) + 'Gi').compareTo(quantity('1e30')) < 0)",
        json!({"l": (0..10_000).collect::<Vec<_>>()}),
    );
}

pub(super) fn lists(inputs: &mut Inputs) {
    let numbers: Vec<usize> = (0..20_000).rev().collect();
    let mixed: Vec<Value> = (0..20_000)
        .map(|at| match at % 4 {
            0 => json!(at),
            1 => json!(at.to_string()),
            2 => json!({"a": at}),
            _ => json!([at]),
        })
        .collect();
    for (name, expression) in [
        ("sorted", "l.sort().size()"),
        ("of mixed items sorted", "m.sort().size()"),
        ("sorted by a key", "l.sortBy(x, -x).size()"),
        ("made distinct", "l.distinct().size()"),
        ("of mixed items made distinct", "m.distinct().size()"),
        ("contained in itself", "sets.contains(l, l)"),
        (
            "of mixed items contained in itself",
            "sets.equivalent(m, m)",
        ),
        (
            "that intersects none",
            "sets.intersects(l, m.filter(x, type(x) == string))",
        ),
        ("searched in a loop", "l.all(x, x in l)"),
        ("searched from the end", "l.all(x, l.lastIndexOf(x) >= 0)"),
        (
            "of mixed items searched",
            "l.all(x, !({'a': x} in m) || true)",
        ),
        ("sliced beyond its end", "l.slice(0, 9223372036854775807)"),
        (
            "sliced before its start",
            "l.slice(-9223372036854775808, 1)",
        ),
        ("sliced in a loop", "l.all(x, l.slice(0, 20000).size() > 0)"),
        ("flattened deeply", "m.flatten(9223372036854775807).size()"),
        ("flattened less than none", "m.flatten(-1)"),
        ("reversed in a loop", "l.all(x, l.reverse().size() > 0)"),
        ("added to itself in a loop", "l.all(x, (l + l).size() > 0)"),
        ("summed", "l.sum() + l.sum()"),
        ("summed beyond the limit", "[9223372036854775807, 1].sum()"),
        ("of the least and greatest", "m.min() == m.max()"),
        ("in order", "l.isSorted() || m.isSorted()"),
    ] {
        let vars = json!({"l": numbers, "m": mixed});
        inputs.over(format!("a long list {name}"), expression, vars);
    }
}
