//! The macros: what looks like a function and takes a part of the expression.

use crate::cel::function::Since;
use crate::cel::library::{lists_extension, optional};
use crate::cel::macros::TWO_VARIABLES;

/// A macro, as it is explained.
#[derive(Debug)]
pub(super) struct Macro {
    pub(super) name: &'static str,
    /// One sentence in the third person.
    pub(super) doc: &'static str,
    pub(super) forms: &'static [&'static str],
    pub(super) since: Since,
    /// Expressions with what they give.
    pub(super) examples: &'static [(&'static str, &'static str)],
}

const ALWAYS: Since = Since::Kubernetes(0);

/// `optMap` and `optFlatMap` come with the functions of optionals, as `sortBy` with those of lists.
const OPTIONALS: Since = Since::Kubernetes(optional::SINCE);
const LISTS: Since = Since::Kubernetes(lists_extension::SINCE);

/// All macros; one that came to have two variables later is there twice.
pub(super) const MACROS: &[Macro] = &[
    Macro {
        name: "has",
        doc: "Says whether a field is there; what it is selected from must be.",
        forms: &["has(x.field)"],
        since: ALWAYS,
        examples: &[
            ("has({'a': 1}.a)", "true"),
            ("has({'a': 1}.b)", "false"),
            ("has({'a': {'c': 1}}.b.c)", "error: no such key: b"),
        ],
    },
    Macro {
        name: "all",
        doc: "Says whether a condition holds for every item of a list or key of a map; an error \
              counts only if no item decides.",
        forms: &["list.all(x, condition)", "map.all(key, condition)"],
        since: ALWAYS,
        examples: &[
            ("[1, 2].all(x, x > 0)", "true"),
            ("[0, 1].all(x, 1 / x > 1)", "false"),
            ("[].all(x, false)", "true"),
        ],
    },
    Macro {
        name: "all",
        doc: "Says whether a condition holds for every index and item of a list, or key and value \
              of a map.",
        forms: &[
            "list.all(i, x, condition)",
            "map.all(key, value, condition)",
        ],
        since: TWO_VARIABLES,
        examples: &[("{'a': 1}.all(k, v, k == 'a' && v == 1)", "true")],
    },
    Macro {
        name: "exists",
        doc: "Says whether a condition holds for some item of a list or key of a map; an error \
              counts only if no item decides.",
        forms: &["list.exists(x, condition)", "map.exists(key, condition)"],
        since: ALWAYS,
        examples: &[
            ("[1, 2].exists(x, x > 1)", "true"),
            ("[0, 1].exists(x, 1 / x == 1)", "true"),
            ("[0].exists(x, 1 / x == 1)", "error: division by zero"),
        ],
    },
    Macro {
        name: "exists",
        doc: "Says whether a condition holds for some index and item of a list, or key and value of \
              a map.",
        forms: &[
            "list.exists(i, x, condition)",
            "map.exists(key, value, condition)",
        ],
        since: TWO_VARIABLES,
        examples: &[("[7, 8].exists(i, x, i == 1 && x == 8)", "true")],
    },
    Macro {
        name: "exists_one",
        doc: "Says whether a condition holds for exactly one item of a list or key of a map; any \
              error counts.",
        forms: &[
            "list.exists_one(x, condition)",
            "map.exists_one(key, condition)",
        ],
        since: ALWAYS,
        examples: &[
            ("[1, 2].exists_one(x, x > 1)", "true"),
            ("[1, 2].exists_one(x, x > 0)", "false"),
            (
                "[0, 1].exists_one(x, 1 / x == 1)",
                "error: division by zero",
            ),
        ],
    },
    Macro {
        name: "existsOne",
        doc: "Says whether a condition holds for exactly one index and item of a list, or key and \
              value of a map.",
        forms: &[
            "list.existsOne(i, x, condition)",
            "map.existsOne(key, value, condition)",
        ],
        since: TWO_VARIABLES,
        examples: &[("[7, 8].existsOne(i, x, x - i == 7)", "false")],
    },
    Macro {
        name: "filter",
        doc: "Returns the items of a list, or the keys of a map, for which a condition holds.",
        forms: &["list.filter(x, condition)", "map.filter(key, condition)"],
        since: ALWAYS,
        examples: &[
            ("[1, 2, 3].filter(x, x != 2)", "[1, 3]"),
            ("{'a': 1}.filter(k, k == 'a')", "['a']"),
        ],
    },
    Macro {
        name: "map",
        doc: "Returns a list of what each item of a list, or each key of a map, becomes; with a \
              condition only of those for which it holds.",
        forms: &[
            "list.map(x, result)",
            "list.map(x, condition, result)",
            "map.map(key, result)",
            "map.map(key, condition, result)",
        ],
        since: ALWAYS,
        examples: &[
            ("[1, 2].map(x, x * 2)", "[2, 4]"),
            ("[1, 2].map(x, x > 1, x * 2)", "[4]"),
        ],
    },
    Macro {
        name: "transformList",
        doc: "Returns a list of what each index and item of a list, or key and value of a map, \
              become; with a condition only of those for which it holds.",
        forms: &[
            "list.transformList(i, x, result)",
            "list.transformList(i, x, condition, result)",
            "map.transformList(key, value, result)",
            "map.transformList(key, value, condition, result)",
        ],
        since: TWO_VARIABLES,
        examples: &[
            ("[7, 8].transformList(i, x, i + x)", "[7, 9]"),
            ("{'a': 1}.transformList(k, v, v == 1, k)", "['a']"),
        ],
    },
    Macro {
        name: "transformMap",
        doc: "Returns a map with the same keys (of a list: its indexes) and what each value becomes; \
              with a condition only of those for which it holds.",
        forms: &[
            "list.transformMap(i, x, result)",
            "list.transformMap(i, x, condition, result)",
            "map.transformMap(key, value, result)",
            "map.transformMap(key, value, condition, result)",
        ],
        since: TWO_VARIABLES,
        examples: &[
            ("{'a': 1}.transformMap(k, v, v + 1)", "{'a': 2}"),
            ("['x'].transformMap(i, x, x)", "{0: 'x'}"),
        ],
    },
    Macro {
        name: "transformMapEntry",
        doc: "Returns a map of the entries that each key and value become; two equal keys are an \
              error.",
        forms: &[
            "list.transformMapEntry(i, x, {key: value})",
            "list.transformMapEntry(i, x, condition, {key: value})",
            "map.transformMapEntry(key, value, {key: value})",
            "map.transformMapEntry(key, value, condition, {key: value})",
        ],
        since: TWO_VARIABLES,
        examples: &[
            ("{'a': 'b'}.transformMapEntry(k, v, {v: k})", "{'b': 'a'}"),
            (
                "['x', 'x'].transformMapEntry(i, x, {x: i})",
                "error: insert failed: key",
            ),
        ],
    },
    Macro {
        name: "optMap",
        doc: "Returns an optional of what the value of an optional becomes; none of none.",
        forms: &["optional.optMap(x, result)"],
        since: OPTIONALS,
        examples: &[
            ("optional.of(1).optMap(x, x + 1)", "optional.of(2)"),
            ("optional.none().optMap(x, 1)", "optional.none()"),
        ],
    },
    Macro {
        name: "optFlatMap",
        doc: "Returns the optional that the value of an optional becomes; none of none.",
        forms: &["optional.optFlatMap(x, result)"],
        since: OPTIONALS,
        examples: &[(
            "optional.of({'a': 1}).optFlatMap(m, m.?b)",
            "optional.none()",
        )],
    },
    Macro {
        name: "sortBy",
        doc: "Returns the items of a list in the order of a key of each.",
        forms: &["list.sortBy(x, key)"],
        since: LISTS,
        examples: &[("[3, 1, 2].sortBy(x, -x)", "[3, 2, 1]")],
    },
    Macro {
        name: "cel.bind",
        doc: "Gives a value a name within an expression.",
        forms: &["cel.bind(name, value, expression)"],
        since: Since::Extension,
        examples: &[("cel.bind(x, 2 + 3, x * x)", "25")],
    },
    Macro {
        name: "math.greatest",
        doc: "Returns the greatest of some numbers, or of a list of them.",
        forms: &["math.greatest(x, …)", "math.greatest(list)"],
        since: Since::Extension,
        examples: &[
            ("math.greatest(1, 5, 3)", "5"),
            ("math.greatest([1.5, 2.5])", "2.5"),
        ],
    },
    Macro {
        name: "math.least",
        doc: "Returns the least of some numbers, or of a list of them.",
        forms: &["math.least(x, …)", "math.least(list)"],
        since: Since::Extension,
        examples: &[("math.least(1u, 2u)", "1u")],
    },
];
