//! Expressions as trees of text, so that what differs can be reduced.

use std::fmt;

/// An expression: text with expressions in it.
#[derive(Debug, Clone)]
pub(crate) struct Tree(Vec<Part>);

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Tree(Tree),
}

/// What any expression may be replaced with.
const SIMPLEST: [&str; 12] = [
    "true",
    "1",
    "'a'",
    "[]",
    "{}",
    "null",
    "1.0",
    "1u",
    "[1]",
    "dyn(1)",
    "dyn([])",
    "optional.none()",
];

impl Tree {
    /// Text in which each `$` stands for the next of `trees`.
    pub(crate) fn of(text: &str, trees: Vec<Tree>) -> Self {
        let mut parts = Vec::new();
        let mut trees = trees.into_iter();
        for (at, piece) in text.split('$').enumerate() {
            if at > 0 {
                parts.push(Part::Tree(trees.next().expect("a tree for each `$`")));
            }
            parts.push(Part::Text(piece.to_owned()));
        }
        assert!(trees.next().is_none(), "more trees than `$` in `{text}`");
        Tree(parts)
    }

    /// Text that may hold any character.
    pub(crate) fn leaf(text: impl Into<String>) -> Self {
        Tree(vec![Part::Text(text.into())])
    }

    /// Trees with separators.
    pub(crate) fn joined(open: &str, trees: Vec<Tree>, close: &str) -> Self {
        let mut parts = vec![Part::Text(open.to_owned())];
        for (at, tree) in trees.into_iter().enumerate() {
            if at > 0 {
                parts.push(Part::Text(", ".to_owned()));
            }
            parts.push(Part::Tree(tree));
        }
        parts.push(Part::Text(close.to_owned()));
        Tree(parts)
    }

    fn children(&self) -> impl Iterator<Item = (usize, &Tree)> {
        self.0
            .iter()
            .enumerate()
            .filter_map(|(at, part)| match part {
                Part::Tree(tree) => Some((at, tree)),
                Part::Text(_) => None,
            })
    }

    /// All trees that are this one made smaller in one place, the smallest first.
    pub(crate) fn smaller(&self) -> Vec<Tree> {
        let mut found = self.shrunk();
        found.sort_by_key(|tree| tree.to_string().len());
        found.dedup_by_key(|tree| tree.to_string());
        found
    }

    fn shrunk(&self) -> Vec<Tree> {
        let mut found: Vec<Tree> = self.children().map(|(_, child)| child.clone()).collect();
        let length = self.to_string().len();
        let simplest = SIMPLEST.iter().filter(|text| text.len() < length);
        found.extend(simplest.map(|text| Tree::leaf(*text)));
        // An item of a list, with its separator.
        for (at, part) in self.0.iter().enumerate() {
            if matches!(part, Part::Text(text) if text == ", ") {
                let mut without = self.clone();
                without.0.drain(at..at + 2);
                found.push(without);
            }
        }
        for (at, child) in self.children() {
            for smaller in child.shrunk() {
                let mut with = self.clone();
                with.0[at] = Part::Tree(smaller);
                found.push(with);
            }
        }
        found
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Text(text) => formatter.write_str(text)?,
                Part::Tree(tree) => tree.fmt(formatter)?,
            }
        }
        Ok(())
    }
}
