//! What breaks a reader of texts: our extensions, given texts that are long, deep, or cut off.

use serde_json::json;

use super::Inputs;

/// As long as a text may be.
const LONGEST: usize = 1 << 20;

/// A text of a piece that is repeated, as long as it may be.
fn filled(piece: &str) -> String {
    piece.repeat(LONGEST / piece.len())
}

fn given(inputs: &mut Inputs, name: &str, function: &str, text: String) {
    for call in [
        format!("{function}.parse(s)"),
        format!("{function}.parseOrNone(s).hasValue()"),
    ] {
        inputs.extended(format!("{name}: {call}"), call, json!({"s": text}));
    }
}

pub(super) fn texts(inputs: &mut Inputs) {
    for (name, text) in [
        ("deep lists", "[".repeat(100_000)),
        ("deep maps", "{\"a\":".repeat(100_000)),
        ("a long list", format!("[{}0]", filled("0,"))),
        ("a long list of lists", format!("[{}0]", filled("[],"))),
        ("a long list of maps", format!("[{}0]", filled("{\"\":0},"))),
        (
            "a long string",
            format!("\"{}\"", "é".repeat(LONGEST / 2 - 2)),
        ),
        (
            "a string of escapes",
            format!("\"{}\"", "\\u00e9".repeat(LONGEST / 6 - 2)),
        ),
        ("an open string", filled("\"")),
        ("a long number", "9".repeat(LONGEST)),
        ("a number with a great exponent", "1e1000000000".to_owned()),
        ("a text that is too long", " ".repeat(LONGEST + 1)),
        ("nothing", String::new()),
    ] {
        given(inputs, name, "json", text.clone());
        given(
            inputs,
            &format!("{name} as a value"),
            "hcl",
            format!("a = {text}"),
        );
        given(inputs, name, "yaml", text);
    }
    let keys: String = (0..60_000).map(|at| format!("\"k{at}\":{at},")).collect();
    given(inputs, "many keys", "json", format!("{{{keys}\"k0\":1}}"));
    let names: String = (0..60_000).map(|at| format!("k{at} {{}}\n")).collect();
    given(inputs, "many names", "hcl", names);
}

pub(super) fn yaml(inputs: &mut Inputs) {
    let laughs: String = (1..20)
        .map(|at| format!("a{at}: &a{at} [{}]\n", format!("*a{},", at - 1).repeat(10)))
        .collect();
    for (name, text) in [
        ("a billion laughs", format!("a0: &a0 lol\n{laughs}")),
        ("an alias of itself", "a: &a [*a]".to_owned()),
        ("many documents", filled("---\na\n")),
        ("many plain items", filled("- a\n")),
        (
            "many keys",
            (0..60_000).map(|at| format!("k{at}: {at}\n")).collect(),
        ),
        (
            "many anchors",
            (0..60_000).map(|at| format!("- &a{at} x\n")).collect(),
        ),
        (
            "deep blocks",
            (0..1_000).map(|at| " ".repeat(at) + "a:\n").collect(),
        ),
        ("deep sequences", "- ".repeat(100_000)),
        ("a block scalar", format!("a: |\n{}", filled("  text\n"))),
        ("a folded scalar", format!("a: >\n{}", filled("  text\n"))),
        ("tabs", filled("\t")),
        (
            "merge keys",
            format!("a: &a {{x: 1}}\nb:\n{}", "  <<: *a\n".repeat(20_000)),
        ),
    ] {
        given(inputs, name, "yaml", text);
    }
}

pub(super) fn hcl(inputs: &mut Inputs) {
    for (name, text) in [
        ("many blocks of one name", filled("a{}")),
        ("deep blocks", "a{".repeat(100_000)),
        ("many labels", format!("a {} {{}}", "b ".repeat(100_000))),
        ("names that do not end", filled("a ")),
        ("an open comment", format!("/*{}", filled("*"))),
        ("many comments", filled("#\n")),
        (
            "an open here-document",
            format!("a = <<E\n{}", filled("E \n")),
        ),
        (
            "an indented here-document",
            format!("a = <<-E\n{}  E\n", filled("  x\n")),
        ),
        (
            "here-documents",
            (0..20_000).map(|at| format!("a{at} = <<E\nE\n")).collect(),
        ),
        ("escapes", format!("a = \"{}\"", "\\n".repeat(400_000))),
        (
            "open interpolations",
            format!("a = \"{}\"", "${".repeat(400_000)),
        ),
        (
            "escapes in an interpolation",
            format!("a = \"${{{}}}\"", "\\n".repeat(400_000)),
        ),
        (
            "letters beyond ASCII",
            format!("{} = 1", "é".repeat(400_000)),
        ),
        ("a control character", "a = \"\u{0}\"".to_owned()),
    ] {
        given(inputs, name, "hcl", text);
    }
}

pub(super) fn x509(inputs: &mut Inputs) {
    let pem =
        |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    for (name, text) in [
        ("no DER", pem("AAAA")),
        // Sequences of indefinite and of huge lengths.
        ("a sequence without an end", pem(&"MIAw".repeat(200_000))),
        ("sequences in sequences", pem(&"MIQ/////".repeat(100_000))),
        ("many certificates", pem("MAA=").repeat(15_000)),
        ("many beginnings", filled("-----BEGIN CERTIFICATE-----\n")),
        ("many labels", filled("-----BEGIN ")),
        ("line breaks", pem(&"\n".repeat(900_000))),
    ] {
        given(inputs, name, "x509", text);
    }
}

pub(super) fn loops(inputs: &mut Inputs) {
    let text = format!("[{}0]", "[1, {\"a\": \"b\"}],".repeat(5_000));
    for function in ["json", "yaml"] {
        inputs.extended(
            format!("{function} read many times"),
            format!("l.map(x, {function}.parse(s)).size()"),
            json!({"s": text, "l": (0..1_000).collect::<Vec<_>>()}),
        );
    }
    inputs.extended(
        "numbers compared in a long list",
        "math.greatest(l) + l.map(x, math.least(l)).size()",
        json!({"l": (0..20_000).collect::<Vec<_>>()}),
    );
    inputs.extended(
        "encoded again and again",
        "[1, 2, 3, 4, 5, 6, 7, 8].map(x, base64.encode(bytes(s + s + s + s))).size()",
        json!({"s": "a".repeat(LONGEST)}),
    );
    inputs.extended(
        "decoded again and again",
        "[1, 2, 3, 4, 5, 6, 7, 8].map(x, base64.decode(s + s + s + s)).size()",
        json!({"s": "a".repeat(LONGEST)}),
    );
}
