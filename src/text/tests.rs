//! Positions, slices, fragments and suggestions.

use super::*;

#[test]
fn positions_count_lines_and_characters_from_one() {
    let source = Source::new("a", "é=1\r\n\nüx");
    let rows = [
        (0, (1, 1)),
        (1, (1, 1)),
        (2, (1, 2)),
        (6, (2, 1)),
        (7, (3, 1)),
        (9, (3, 2)),
        (10, (3, 3)),
        (99, (3, 3)),
    ];
    for (offset, expect) in rows {
        let position = source.position(offset);
        assert_eq!((position.line, position.column), expect, "offset {offset}");
    }
    let empty = Source::new("a", "");
    assert_eq!(empty.position(5), Position { line: 1, column: 1 });
}

#[test]
fn slices_are_clipped_to_the_text_and_its_characters() {
    let source = Source::new("a", "aéb");
    let rows = [
        ((0, 1), "a"),
        ((1, 2), "é"),
        ((2, 3), "é"),
        ((2, 2), "é"),
        ((3, 9), "b"),
        ((9, 12), ""),
        ((3, 1), ""),
    ];
    for ((start, end), expect) in rows {
        assert_eq!(
            source.slice(Span::new(start, end)),
            expect,
            "{start}..{end}"
        );
    }
}

#[test]
fn a_fragment_places_its_runs() {
    let source = Source::new("a", "x: 'it''s'");
    let whole = Span::new(3, 10);
    let fragment = Fragment::mapped(&source, whole, "it's".to_owned(), [(0, 4), (2, 6), (3, 8)]);
    let located = |start, end| source.slice(fragment.locate(Span::new(start, end)));
    assert_eq!(located(0, 2), "it");
    assert_eq!(located(3, 4), "s");
    assert_eq!(located(0, 4), "it''s");
    assert_eq!(fragment.locate(Span::new(4, 4)), Span::new(9, 9));
    assert_eq!(fragment.locate(Span::new(90, 99)).start, 10);
    let verbatim = Fragment::verbatim(&source, Span::new(4, 6));
    assert_eq!(verbatim.text, "it");
    assert_eq!(verbatim.locate(Span::new(1, 2)), Span::new(5, 6));
}

#[test]
fn the_nearest_name_is_one_that_could_have_been_meant() {
    let names = ["replicas", "selector", "strategy"];
    let rows = [
        ("replica", Some("replicas")),
        ("Replicas", Some("replicas")),
        ("repilcas", Some("replicas")),
        ("slector", Some("selector")),
        ("template", None),
        ("", None),
    ];
    for (given, expect) in rows {
        assert_eq!(nearest(given, names), expect, "{given}");
    }
}

#[test]
fn a_place_in_a_text_counts_characters() {
    for (offset, wanted) in [
        (0, (1, 1)),
        (3, (1, 3)),
        (5, (2, 1)),
        (6, (2, 1)),
        (7, (2, 2)),
        (99, (2, 3)),
    ] {
        let Position { line, column } = position("aéb\nüc", offset);
        assert_eq!((line, column), wanted, "{offset}");
    }
}

#[test]
fn an_excerpt_is_short() {
    assert_eq!(excerpt("ca_ttl"), "ca_ttl");
    assert_eq!(excerpt(&"é".repeat(41)), format!("{}…", "é".repeat(40)));
}
