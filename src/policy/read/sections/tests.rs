//! Cutting `.cel` files.

use super::*;

fn cut(text: &str) -> (Arc<Source>, Outline, Vec<Diagnostic>) {
    let source = Source::new("p.cel", text);
    let (outline, diagnostics) = outline(&source);
    (source, outline, diagnostics)
}

fn sections(text: &str) -> Vec<(&'static str, String, String)> {
    let (source, outline, diagnostics) = cut(text);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    outline
        .sections
        .iter()
        .map(|section| {
            let body = source.slice(section.body).to_owned();
            (section.keyword.name(), section.text.clone(), body)
        })
        .collect()
}

fn row(keyword: &'static str, text: &str, body: &str) -> (&'static str, String, String) {
    (keyword, text.to_owned(), body.to_owned())
}

const WHOLE: &str = "\
// Keeps it up.
//
// In two paragraphs.
//
// ---
// name: up     # why
// match:
//   resources: [v1/pods]
// ---

// @when it is ours
object.a

// @require three
// a comment inside
object.b >= 3 // and behind
  || object.c
// a comment after

// @message
'few'
//@reason Forbidden
";

#[test]
fn a_file_has_a_description_front_matter_and_sections() {
    let (source, outline, diagnostics) = cut(WHOLE);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    assert_eq!(outline.description, "Keeps it up.\n\nIn two paragraphs.");
    let front_matter = outline.front_matter.expect("front matter");
    assert_eq!(
        front_matter.text,
        "name: up     # why\nmatch:\n  resources: [v1/pods]\n"
    );
    for word in ["name", "up", "resources"] {
        let at = front_matter.text.find(word).expect(word);
        let place = front_matter.place(at);
        assert_eq!(source.slice(Span::new(place, place + word.len())), word);
    }
    assert_eq!(
        sections(WHOLE),
        [
            row("when", "it is ours", "object.a"),
            row(
                "require",
                "three",
                "object.b >= 3 // and behind\n  || object.c"
            ),
            row("message", "", "'few'"),
            row("reason", "Forbidden", ""),
        ]
    );
}

#[test]
fn line_ends_and_byte_order_marks_make_no_difference() {
    let windows = format!("\u{feff}{}", WHOLE.replace('\n', "\r\n"));
    let plain = sections(WHOLE);
    let unix: Vec<_> = sections(&windows)
        .into_iter()
        .map(|(keyword, text, body)| (keyword, text, body.replace("\r\n", "\n")))
        .collect();
    assert_eq!(unix, plain);
    let (_, outline, _) = cut(&windows);
    assert_eq!(outline.description, "Keeps it up.\n\nIn two paragraphs.");
    assert_eq!(sections(WHOLE.trim_end()), plain);
}

#[test]
fn without_front_matter_the_first_comment_describes() {
    let (_, outline, _) = cut("\n// one\n// two\n\n// three\n// @require x\ntrue\n");
    assert_eq!(outline.description, "one\ntwo");
    let (_, outline, _) = cut("// @require x\ntrue\n");
    assert_eq!(outline.description, "");
}

#[test]
fn the_places_of_a_section_are_exact() {
    let (source, outline, _) = cut("// @require   three or more  \n  a\n  > b\n\n");
    let section = &outline.sections[0];
    assert_eq!(source.slice(section.keyword_span), "@require");
    assert_eq!(source.slice(section.text_span), "three or more");
    assert_eq!(source.slice(section.body), "a\n  > b");
}

#[test]
fn what_cannot_be_cut_is_pointed_at() {
    let rows = [
        (
            "// @requier x\ntrue\n",
            "policy/unknown-section",
            "@requier",
            "`@require`",
        ),
        (
            "// @\ntrue\n",
            "policy/unknown-section",
            "@",
            "sections are",
        ),
        (
            "// @todo mend\ntrue\n",
            "policy/unknown-section",
            "@todo",
            "sections are",
        ),
        (
            "object.a\n",
            "policy/text-before-section",
            "object.a",
            "@require",
        ),
        (
            "// ---\n// name: x\n// @require y\ntrue\n",
            "policy/front-matter-not-closed",
            "// ---",
            "`// ---`",
        ),
        (
            "// ---\n// name: x\nobject.a > 1\n// @require y\ntrue\n",
            "policy/front-matter-not-closed",
            "// ---",
            "`// ---`",
        ),
        (
            "// ---\n// name: x",
            "policy/front-matter-not-closed",
            "// ---",
            "`// ---`",
        ),
        (
            "// @require y\ntrue\n// ---\n",
            "policy/front-matter-misplaced",
            "// ---",
            "top of the file",
        ),
    ];
    for (text, code, underlined, help) in rows {
        let (source, _, diagnostics) = cut(text);
        let first = &diagnostics[0];
        assert_eq!(first.code, code, "{text}");
        assert_eq!(source.slice(first.labels[0].span), underlined, "{text}");
        let said = first.help.as_deref().unwrap_or_default();
        assert!(said.contains(help), "{text}: {said}");
    }
}

#[test]
fn one_mistake_is_said_once() {
    let rows = [
        ("object.a\nobject.b\n\nobject.c\n// @require x\ntrue\n", 1),
        ("// ---\n// a: 1\nx\n// ---\n// @require x\ntrue\n", 2),
        (
            "// ---\n// a: 1\n\n// b: 2\n// ---\n// @require x\ntrue\n",
            0,
        ),
        ("// @x\n// @y\n", 2),
    ];
    for (text, count) in rows {
        let (_, _, diagnostics) = cut(text);
        assert_eq!(diagnostics.len(), count, "{text}: {diagnostics:?}");
    }
}

#[test]
fn a_section_is_told_from_a_comment() {
    assert!(has_sections("# x\n// @when y\n"));
    assert!(has_sections("  //@let y\n"));
    assert!(!has_sections("// @author me\n"));
    assert!(!has_sections("kind: X # // @when\n"));
    assert!(!has_sections("x: //@when\n"));
    assert!(!has_sections(""));
}
