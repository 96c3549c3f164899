//! The steps of a trace as an indented tree, the values in a column.

use super::steps::{Step, Variables, What};
use crate::cel::encode::{Notation, Written, write};
use crate::cel::value::Value;

/// The most of an expression that is shown in a line.
const EXPRESSION_CHARS: usize = 64;

/// The most of a value that is shown in a line.
const VALUE_CHARS: usize = 80;

/// Where the column of values begins at most.
const COLUMN_CHARS: usize = 72;

/// Draws a tree, a line for each step.
pub fn draw(source: &str, steps: &[Step<'_>]) -> String {
    let labels: Vec<String> = steps.iter().map(|step| label(source, step)).collect();
    let stems = stems(steps);
    let width = |at: usize| {
        let chars = |text: Option<&String>| text.map_or(0, |text| text.chars().count());
        chars(stems.get(at)) + chars(labels.get(at))
    };
    let widths = (0..steps.len()).map(width);
    let column = widths.max().unwrap_or_default().min(COLUMN_CHARS);
    let mut text = String::new();
    for (at, ((step, stem), label)) in steps.iter().zip(&stems).zip(&labels).enumerate() {
        text.push_str(stem);
        text.push_str(label);
        let outcome = outcome(step);
        if !outcome.is_empty() {
            let gap = column.saturating_sub(width(at)) + 2;
            text.extend(std::iter::repeat_n(' ', gap));
            text.push_str(&outcome);
        }
        text.push('\n');
    }
    text
}

/// What a step is about, in one line.
fn label(source: &str, step: &Step<'_>) -> String {
    match &step.what {
        What::Node { span, .. } => {
            let text = source.get(span.start..span.end).unwrap_or_default();
            let words: Vec<&str> = text.split_whitespace().collect();
            cut(&words.join(" "), EXPRESSION_CHARS)
        }
        What::Turn {
            names,
            turn: Some(turn),
            ..
        } => format!("{names} = item {} of {}", turn.at + 1, turn.of),
        What::Turn {
            names, turn: None, ..
        } => format!("{names} = no item"),
    }
}

fn outcome(step: &Step<'_>) -> String {
    match &step.what {
        What::Node { gave: None, .. } => "not evaluated".to_owned(),
        What::Node {
            gave: Some(Ok(value)),
            ..
        } => brief(value),
        What::Node {
            gave: Some(Err(fault)),
            ..
        } => cut(&format!("error: {fault}"), VALUE_CHARS),
        What::Turn { turn: None, .. } => String::new(),
        What::Turn {
            variables,
            turn: Some(turn),
            ..
        } => {
            let (first, second) = &turn.variables;
            match variables {
                Variables::One => brief(first),
                Variables::Two => cut(&format!("{}, {}", brief(first), brief(second)), VALUE_CHARS),
            }
        }
    }
}

/// Returns the beginning of a value, in one line.
pub fn brief(value: &Value<'_>) -> String {
    match write(value, Notation::Expression, VALUE_CHARS * 4) {
        Written::Whole(text) => cut(&text, VALUE_CHARS),
        Written::Cut(text) => cut(&(text + "…"), VALUE_CHARS),
    }
}

fn cut(text: &str, limit_chars: usize) -> String {
    match text.char_indices().nth(limit_chars) {
        None => text.to_owned(),
        Some(_) => {
            let kept = text.chars().take(limit_chars.saturating_sub(1));
            kept.chain(['…']).collect()
        }
    }
}

/// The branches before each step.
fn stems(steps: &[Step<'_>]) -> Vec<String> {
    // From the last step on, whether a branch at each depth goes on below.
    let mut goes_on: Vec<bool> = Vec::new();
    let mut stems = Vec::with_capacity(steps.len());
    for step in steps.iter().rev() {
        goes_on.resize(step.depth + 1, false);
        let mut stem = String::new();
        for depth in 1..=step.depth {
            let more = goes_on.get(depth).copied().unwrap_or_default();
            stem.push_str(match (depth == step.depth, more) {
                (true, true) => "├─ ",
                (true, false) => "└─ ",
                (false, true) => "│  ",
                (false, false) => "   ",
            });
        }
        if let Some(here) = goes_on.get_mut(step.depth) {
            *here = true;
        }
        stems.push(stem);
    }
    stems.reverse();
    stems
}
