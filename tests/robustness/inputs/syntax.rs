//! What breaks a reader: depth, length, and text that is no expression.

use serde_json::json;

use super::Inputs;

/// Depths below and above every limit.
const DEPTHS: [usize; 4] = [200, 260, 5_000, 49_000];

pub(super) fn nested(inputs: &mut Inputs) {
    for depth in DEPTHS {
        for (name, open, inner, close) in [
            ("parentheses", "(", "1", ")"),
            ("lists", "[", "1", "]"),
            ("maps", "{1:", "1", "}"),
            ("negations", "!", "true", ""),
            ("minus signs", "- ", "1", ""),
            ("conditions", "(true?", "1", ":1)"),
            ("last branches", "true?1:", "1", ""),
            ("first branches", "true?", "1", ":1"),
            ("indexes", "l[", "0", "]"),
            ("calls", "dyn(", "1", ")"),
            ("arguments", "size([", "1", "])"),
            ("optionals", "optional.of(", "1", ")"),
            ("macros", "l.all(x,", "true", ")"),
            ("messages", "A{a:", "1", "}"),
            ("optional items", "[?", "a", "]"),
        ] {
            let expression = open.repeat(depth) + inner + &close.repeat(depth);
            inputs.over(
                format!("{depth} nested {name}"),
                expression,
                json!({"l": [0], "a": 1}),
            );
        }
    }
    inputs.add("100000 parentheses", "(".repeat(100_000));
    inputs.add("1000000 parentheses", "(".repeat(1_000_000));
}

pub(super) fn chains(inputs: &mut Inputs) {
    for length in [240, 260, 3_000, 30_000] {
        for (name, first, link) in [
            ("sums", "1", "+1"),
            ("differences", "1", "-1"),
            ("products", "1", "*1"),
            ("quotients", "1", "/1"),
            ("conjunctions", "b", "&&b"),
            ("disjunctions", "b", "||!b"),
            ("equalities", "b", "==b"),
            ("comparisons", "1", "<1"),
            ("memberships", "1", " in l"),
            ("joined strings", "'a'", "+'a'"),
            ("fields", "m", ".m"),
            ("optional fields", "m", ".?m"),
            ("index steps", "l", "[0]"),
            ("method calls", "'a'", ".trim()"),
            ("maps", "l", ".map(x,x)"),
            ("alternating operators", "b", "&&b||b"),
        ] {
            let expression = first.to_owned() + &link.repeat(length);
            inputs.over(
                format!("{length} {name}"),
                expression,
                json!({"b": true, "l": [0], "m": {"a": 1}}),
            );
        }
    }
    let mixed: String = ["1", "+", "1", "*", "1", "<", "1", "&&", "true", "||"].concat();
    inputs.add("a chain of every operator", mixed.repeat(4_000) + "true");
}

pub(super) fn unbalanced(inputs: &mut Inputs) {
    for (name, expression) in [
        ("closing brackets only", ")".repeat(90_000)),
        ("opening brackets of three kinds", "([{".repeat(30_000)),
        ("crossed brackets", "([)]".repeat(20_000)),
        ("quotes", "'".repeat(90_001)),
        ("triple quotes", "'''".repeat(30_001)),
        ("an open string", format!("'{}", "a".repeat(90_000))),
        ("backticks", "`".repeat(90_000)),
        ("backslashes", "\\".repeat(90_000)),
        ("dots", ".".repeat(90_000)),
        ("commas", "[".to_owned() + &",".repeat(90_000) + "]"),
        ("colons", ":".repeat(90_000)),
        ("question marks", "?".repeat(90_000)),
        ("a long comment", "//".to_owned() + &"a".repeat(90_000)),
        ("comments", "//\n".repeat(30_000)),
        ("white space", " \t\n".repeat(30_000)),
        ("nothing", String::new()),
        ("a null byte", "1\0+1".to_owned()),
        ("control characters", "\u{1}\u{2}\u{7f}".repeat(1_000)),
        ("an open raw string", "r'\\'".repeat(10_001)),
    ] {
        inputs.add(name, expression);
    }
}

pub(super) fn literals(inputs: &mut Inputs) {
    let nines = "9".repeat(90_000);
    for (name, expression) in [
        ("a long integer", nines.clone()),
        ("a long negative integer", format!("-{nines}")),
        ("a long unsigned integer", format!("{nines}u")),
        (
            "a long hexadecimal integer",
            format!("0x{}", "f".repeat(90_000)),
        ),
        ("a long fraction", format!("0.{nines}")),
        ("a long whole part", format!("{nines}.0")),
        ("a great exponent", "1e999999999".to_owned()),
        ("a small exponent", "1e-999999999".to_owned()),
        ("a long exponent", format!("1e{nines}")),
        ("the least integer", "-9223372036854775808".to_owned()),
        (
            "one below the least integer",
            "-9223372036854775809".to_owned(),
        ),
        (
            "the least integer, negated",
            "-(-9223372036854775808)".to_owned(),
        ),
        ("half an octal escape", "'\\77'".to_owned()),
        ("an octal escape too great", "'\\777'".to_owned()),
        ("an unknown escape", "'\\q'".to_owned()),
        ("half a hexadecimal escape", "'\\x4'".to_owned()),
        ("half a unicode escape", "'\\u12'".to_owned()),
        ("a surrogate escape", "'\\ud800'".to_owned()),
        ("a code point too great", "'\\U00110000'".to_owned()),
        ("a unicode escape in bytes", "b'\\u1234'".to_owned()),
        ("escapes only", format!("'{}'", "\\n".repeat(45_000))),
        (
            "invalid escapes only",
            format!("'{}'", "\\q".repeat(45_000)),
        ),
        ("a long string", format!("'{}'", "a".repeat(99_000))),
        ("a long name", "a".repeat(99_000)),
        ("a long field", format!("m.{}", "a".repeat(99_000))),
        ("a long type name", format!("{}1{{}}", "a.".repeat(120))),
        (
            "many small strings",
            format!("[{}'']", "'',".repeat(30_000)),
        ),
        ("many numbers", format!("[{}1]", "1,".repeat(45_000))),
        (
            "many types in a list",
            format!("[{}1]", "1,'',".repeat(15_000)),
        ),
        (
            "bytes that are no text",
            format!("b'{}'", "\\xff".repeat(20_000)),
        ),
    ] {
        inputs.add(name, expression);
    }
}

pub(super) fn unicode(inputs: &mut Inputs) {
    for (name, expression) in [
        ("a byte order mark", "\u{feff}1 + 1"),
        ("right to left marks", "'\u{202e}\u{202d}' + 'a'"),
        ("combining marks", "'e\u{301}\u{301}\u{301}'.size()"),
        ("a name of emoji", "\u{1f600} == 1"),
        ("full width digits", "\u{ff11} + \u{ff12}"),
        ("line separators", "1 +\u{2028}1"),
        ("a no-break space", "1\u{a0}+ 1"),
        ("the last code point", "'\u{10ffff}'.charAt(0).size()"),
        ("curly quotes", "\u{2018}a\u{2019} == 'a'"),
        ("a dotless i", "'\u{130}\u{131}'.lowerAscii()"),
        ("noncharacters", "'\u{fffe}\u{ffff}'.size() == 2"),
        ("a wide error", "'\u{1f468}\u{200d}\u{1f469}' + 1"),
    ] {
        inputs.add(name, expression);
    }
    inputs.add(
        "many wide characters",
        format!("'{}'.size()", "\u{1f600}".repeat(90_000)),
    );
    inputs.add(
        "an error behind wide characters",
        format!("'{}' + 1", "\u{1f600}".repeat(90_000)),
    );
}

pub(super) fn mistakes(inputs: &mut Inputs) {
    for (name, expression) in [
        ("unknown names", format!("[{}a]", "a,".repeat(45_000))),
        (
            "different unknown names",
            (0..12_000).map(|at| format!("v{at}||")).collect::<String>() + "a",
        ),
        (
            "unknown functions",
            format!("[{}f()]", "f(),".repeat(20_000)),
        ),
        (
            "unknown methods",
            format!("[{}1.f()]", "''.f(),".repeat(12_000)),
        ),
        (
            "a long unknown function",
            format!("{}()", "f".repeat(90_000)),
        ),
        ("wrong types", format!("[{}1]", "1+'',".repeat(15_000))),
        (
            "wrong patterns",
            format!("[{}true]", "''.matches('('),".repeat(6_000)),
        ),
        (
            "wrong durations",
            format!("[{}duration('1s')]", "duration('x'),".repeat(6_000)),
        ),
        (
            "wrong formats",
            format!("[{}'']", "'%d'.format(['']),".repeat(5_000)),
        ),
        (
            "macros without arguments",
            format!("[{}1]", "[].all(),".repeat(10_000)),
        ),
        ("macros over a call", "[1].all(f(x), true)".to_owned()),
        (
            "a macro that hides its variable",
            format!("{}true{}", "[1].all(x, ".repeat(100), ")".repeat(100)),
        ),
        ("has of a name", "has(a)".to_owned()),
        ("has of a call", "has(size('').a)".to_owned()),
        (
            "reserved words",
            "[for, if, let, while, package]".to_owned(),
        ),
        ("keywords as fields", "{'in': 1}.in".to_owned()),
        ("a quoted field", "{'a-b': 1}.`a-b`".to_owned()),
        ("an empty quoted field", "{'': 1}.``".to_owned()),
        (
            "an accumulator",
            "[1].map(__result__, __result__)".to_owned(),
        ),
        ("an expanded macro", "__comprehension__(1)".to_owned()),
        ("a name with an at sign", "@result".to_owned()),
        ("an absolute name", "...a".to_owned()),
        ("a message of names", format!("a{}{{}}", ".a".repeat(200))),
        (
            "many fields of a message",
            format!("A{{{}}}", "a:1,".repeat(20_000)),
        ),
        ("semicolons", "1;1".to_owned()),
        ("an assignment", "a = 1".to_owned()),
        ("a single ampersand", "true & false".to_owned()),
        ("a statement", "DROP TABLE policies; --".to_owned()),
    ] {
        inputs.add(format!("mistakes: {name}"), expression);
    }
}
