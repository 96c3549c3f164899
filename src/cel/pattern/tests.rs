//! Facts of Go's package `regexp` (Go 1.26).

use super::*;

/// Expression, text, and all matches in it.
const MATCHES: &[(&str, &str, &[&str])] = &[
    (r"\d+", "a\u{663}12", &["12"]),
    (r"\w+", "éa_1é", &["a_1"]),
    (r"\s", "a\u{a0} b", &[" "]),
    (r"\S+", "\u{a0}a b", &["\u{a0}a", "b"]),
    (r"\bé", "aé é", &["é"]),
    (r"a\b", "aé", &["a"]),
    (r"\B", "ab", &[""]),
    ("[a&&b]+", "&ab", &["&ab"]),
    ("[a~~b]+", "~ab", &["~ab"]),
    ("[--a]+", "a-b", &["a-"]),
    ("[]a]+", "a]b", &["a]"]),
    ("[^]a]", "a]b", &["b"]),
    ("[a-]+", "a-b", &["a-"]),
    (r"[\d-z]+", "1-z2", &["1-z2"]),
    ("[[:alpha:]]+", "éab1", &["ab"]),
    ("[[:^alpha:]]+", "éab1", &["é", "1"]),
    ("[[:word:]]+", "a_1-", &["a_1"]),
    ("[[.a.]]", "a].]", &["a]", ".]"]),
    (r"\pN+", "a12\u{663}", &["12\u{663}"]),
    (r"\p{Greek}+", "abγδ", &["γδ"]),
    (r"\P{Greek}+", "abγδ", &["ab"]),
    (r"\p{^Greek}+", "abγδ", &["ab"]),
    (r"\p{letter}+", "1abγ", &["abγ"]),
    (r"\p{Lu}", "aÉ", &["É"]),
    (r"(?i)\p{Lu}", "aÉ", &["a", "É"]),
    (r"\Qa.*\E+", "a.**", &["a.**"]),
    (r"\Q(", "a(", &["("]),
    ("x{,3}", "x{,3}", &["x{,3}"]),
    ("x{2", "x{2", &["x{2"]),
    ("x{01}", "x{01}", &["x{01}"]),
    ("a{2,3}?", "aaaa", &["aa", "aa"]),
    ("a{0}b", "ab", &["b"]),
    ("(?P<n>a)(?P<n>b)", "ab", &["ab"]),
    ("(?<n>a)", "a", &["a"]),
    ("(?i)k", "\u{212a}", &["\u{212a}"]),
    ("(?i)[k]", "\u{212a}", &["\u{212a}"]),
    ("(?i)s+", "s\u{17f}S", &["s\u{17f}S"]),
    ("(?i:a)B", "Ab AB", &["AB"]),
    ("a(?i)b|c", "aB C", &["aB", "C"]),
    ("(?i)a(?-i)b", "Ab AB", &["Ab"]),
    ("(?s).+", "a\nb", &["a\nb"]),
    (".+", "a\nb", &["a", "b"]),
    ("(?m)^b$", "a\nb\nc", &["b"]),
    ("^b$", "a\nb\nc", &[]),
    ("a$", "a\n", &[]),
    (r"a\z", "a\n", &[]),
    ("(?U)a+", "aaa", &["a", "a", "a"]),
    ("(?U)a+?", "aaa", &["aaa"]),
    ("a|ab", "ab", &["a"]),
    ("(|a)*", "aab", &["", "", "", ""]),
    ("(|a)+", "aab", &["", "", "", ""]),
    ("a*", "baac", &["", "aa", ""]),
    ("^*", "ab", &["", "", ""]),
    (r"\b{2}", "ab", &["", ""]),
    (r"\07", "\u{7}", &["\u{7}"]),
    (r"\12", "\n", &["\n"]),
    (r"\x41\x{e9}", "Aé", &["Aé"]),
    (r"[\x{D800}-\x{E000}]", "\u{e000}", &["\u{e000}"]),
    (r"\x{D800}", "a", &[]),
    (r"\_\-\ \@", "_- @", &["_- @"]),
    ("(?)a", "a", &["a"]),
    ("a(?i)*B", "aab", &["aab"]),
    (r"[^\x00-\x{10FFFF}]", "a", &[]),
    (r"\p{Any}", "\n", &["\n"]),
    (r"[\t\n\v\f\r]", "\u{b}", &["\u{b}"]),
    ("(a+)(b+)", "aabb", &["aabb"]),
    ("", "ab", &["", "", ""]),
];

/// Expression, and what is wrong with it.
const ERRORS: &[(&str, &str)] = &[
    ("(", "missing closing ): `(`"),
    (")", "unexpected ): `)`"),
    ("a)", "unexpected ): `a)`"),
    ("[a", "missing closing ]: `[a`"),
    ("[", "missing closing ]: `[`"),
    ("[]", "missing closing ]: `[]`"),
    ("[^]", "missing closing ]: `[^]`"),
    ("[b-a]", "invalid character class range: `b-a`"),
    (r"[a-\d]", r"invalid escape sequence: `\d`"),
    ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
    ("*", "missing argument to repetition operator: `*`"),
    ("+a", "missing argument to repetition operator: `+`"),
    ("a|*", "missing argument to repetition operator: `*`"),
    ("(*)", "missing argument to repetition operator: `*`"),
    ("(?i)*", "missing argument to repetition operator: `*`"),
    ("a**", "invalid nested repetition operator: `**`"),
    ("a*+", "invalid nested repetition operator: `*+`"),
    ("a*{2}", "invalid nested repetition operator: `*{2}`"),
    ("a{1}{2}", "invalid nested repetition operator: `{1}{2}`"),
    ("a{1001}", "invalid repeat count: `{1001}`"),
    ("a{2,1}", "invalid repeat count: `{2,1}`"),
    ("a{99999999999}", "invalid repeat count: `{99999999999}`"),
    ("(a{100}){11}", "invalid repeat count: `{11}`"),
    ("((a{10}){10}){11}", "invalid repeat count: `{11}`"),
    ("(a{0}){2000}", "invalid repeat count: `{2000}`"),
    (r"\Z", r"invalid escape sequence: `\Z`"),
    (r"\1", r"invalid escape sequence: `\1`"),
    (r"\8", r"invalid escape sequence: `\8`"),
    (r"\x", r"invalid escape sequence: `\x`"),
    (r"\xg1", r"invalid escape sequence: `\xg1`"),
    (r"\x{110000}", r"invalid escape sequence: `\x{110000`"),
    (r"\x{}", r"invalid escape sequence: `\x{}`"),
    (r"\C", r"invalid escape sequence: `\C`"),
    (r"\e", r"invalid escape sequence: `\e`"),
    (r"[\b]", r"invalid escape sequence: `\b`"),
    (r"[\Q]\E]", r"invalid escape sequence: `\Q`"),
    (r"\", "trailing backslash at end of expression: ``"),
    (r"a\E", r"invalid escape sequence: `\E`"),
    (r"\p", r"invalid character class range: `\p`"),
    (r"\p{L", r"invalid character class range: `\p{L`"),
    (r"\p{Foo}", r"invalid character class range: `\p{Foo}`"),
    (
        r"\p{Alphabetic}",
        r"invalid character class range: `\p{Alphabetic}`",
    ),
    (
        r"\p{sc=Greek}",
        r"invalid character class range: `\p{sc=Greek}`",
    ),
    (
        r"\p{Old_Italic}",
        r"invalid character class range: `\p{Old_Italic}`",
    ),
    (r"\pé", r"invalid character class range: `\pé`"),
    ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
    ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
    ("(?P=n)", "invalid or unsupported Perl syntax: `(?P`"),
    ("(?P<>a)", "invalid named capture: `(?P<>`"),
    ("(?P<é>a)", "invalid named capture: `(?P<é>`"),
    ("(?P<n", "invalid named capture: `(?P<n`"),
    ("(?i", "invalid or unsupported Perl syntax: `(?i`"),
    ("(?i-)a", "invalid or unsupported Perl syntax: `(?i-)`"),
    ("(?--i)a", "invalid or unsupported Perl syntax: `(?--`"),
    ("(?", "invalid or unsupported Perl syntax: `(?`"),
    (r"\é", r"invalid escape sequence: `\é`"),
    ("[a-z-9", "missing closing ]: `[a-z-9`"),
    (r"\Q\E*", "missing argument to repetition operator: `*`"),
    ("[[:alpha:", "missing closing ]: `[[:alpha:`"),
];

#[test]
fn expressions_match_what_they_match_in_go() {
    for (expression, text, expect) in MATCHES {
        let pattern = Pattern::new(expression).unwrap();
        let found = pattern.find_all(text).collect::<Vec<_>>();
        assert_eq!(found, *expect, "{expression} in {text:?}");
        assert_eq!(
            pattern.find(text),
            expect.first().copied(),
            "{expression} in {text:?}"
        );
        assert_eq!(
            pattern.is_match(text),
            !expect.is_empty(),
            "{expression} in {text:?}"
        );
    }
}

#[test]
fn what_is_no_expression_is_refused_with_gos_reason() {
    for (expression, reason) in ERRORS {
        let error = Pattern::new(expression).unwrap_err();
        assert_eq!(error.to_string(), format!("error parsing regexp: {reason}"));
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Pattern::new(&nested(999)).unwrap().is_match("a"));
    let error = Pattern::new(&nested(1_000)).unwrap_err().to_string();
    assert!(
        error.starts_with("error parsing regexp: expression nests too deeply: "),
        "{error}"
    );
    let open = Pattern::new(&"(".repeat(100_000)).unwrap_err().to_string();
    assert!(
        open.starts_with("error parsing regexp: expression nests too deeply: "),
        "{open}"
    );
    let mixed = format!("{}{}", "(a|b(?:c".repeat(150), "))*".repeat(150));
    assert!(Pattern::new(&mixed).is_ok());
}

#[test]
fn size_is_bounded_and_tighter_for_computed_expressions() {
    let too_large = r"error parsing regexp: expression too large: `\pL{1000}`";
    assert_eq!(
        Pattern::new(r"\pL{1000}").unwrap_err().to_string(),
        too_large
    );
    let label = r"^[\pL\pN]{1,63}$";
    assert!(Pattern::new(label).unwrap().is_match("é1"));
    let patterns = Patterns::default();
    assert!(
        patterns
            .get(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
            .unwrap()
            .is_match("a-b")
    );
    assert!(patterns.get(r"\pL{300}").is_err());
    assert!(Pattern::new(&"x{1000}".repeat(4_000)).is_err());
}

#[test]
fn a_computed_expression_is_compiled_once() {
    let patterns = Patterns::default();
    let first = patterns.get("a+").unwrap();
    assert!(Arc::ptr_eq(&first, &patterns.get("a+").unwrap()));
    for at in 0..MAX_KEPT {
        patterns.get(&format!("a{{{at}}}")).unwrap();
    }
    assert!(patterns.compiled.borrow().len() <= MAX_KEPT);
}
