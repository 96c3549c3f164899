//! Which validations the tests have seen to admit and to deny.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diagnostics::Style;
use crate::engine::observer::Held;
use crate::policy::compile::CompiledPolicy;
use crate::policy::model::PolicyKind;
use crate::policy::set::PolicySet;

/// What was seen of all policies, by file and name.
#[derive(Debug, Default)]
pub struct Tally {
    policies: BTreeMap<(String, String), Row>,
}

/// What was seen of a policy.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// Whether a file of tests is about it.
    pub tests: Tests,
    /// How often its validations were evaluated.
    pub applied: usize,
    /// Its validations, in order.
    pub validations: Vec<Seen>,
}

/// Whether there are tests of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tests {
    /// There are none.
    #[default]
    None,
    /// There are some.
    Some,
}

/// What was seen of a validation.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Its message, or its expression.
    pub text: String,
    /// How often it held.
    pub admits: usize,
    /// How often it did not.
    pub denies: usize,
}

impl Tally {
    /// Notes the validating policies of a set.
    pub fn add(&mut self, set: &PolicySet, tests: Tests) {
        for policy in set.policies() {
            if policy.policy.kind == PolicyKind::Validating {
                let row = self.row(policy);
                if tests == Tests::Some {
                    row.tests = tests;
                }
            }
        }
    }

    pub(super) fn applied(&mut self, policy: &CompiledPolicy) {
        self.row(policy).applied += 1;
    }

    pub(super) fn validated(&mut self, policy: &CompiledPolicy, validation: usize, held: Held) {
        if let Some(seen) = self.row(policy).validations.get_mut(validation) {
            match held {
                Held::Yes => seen.admits += 1,
                Held::No => seen.denies += 1,
            }
        }
    }

    fn row(&mut self, policy: &CompiledPolicy) -> &mut Row {
        let source = Arc::clone(&policy.policy.origin.source);
        let key = (source.name().to_owned(), policy.policy.name.clone());
        self.policies.entry(key).or_insert_with(|| {
            let validations = policy.validations.iter().map(|validation| {
                let message = validation
                    .message
                    .as_deref()
                    .filter(|it| !it.trim().is_empty());
                let text = message.unwrap_or(&validation.expression.text);
                Seen {
                    text: text.trim().to_owned(),
                    ..Seen::default()
                }
            });
            Row {
                validations: validations.collect(),
                ..Row::default()
            }
        })
    }

    /// Returns each policy with its file and name, in this order.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &str, &Row)> {
        self.policies
            .iter()
            .map(|((file, name), row)| (file.as_str(), name.as_str(), row))
    }

    /// Says whether every validation of every policy was seen to admit and to deny.
    pub fn is_complete(&self) -> bool {
        {
            let mut rows = self.policies.values();
            rows.all(|row| {
                row.validations
                    .iter()
                    .all(|seen| seen.gap(row.tests).is_none())
            })
        }
    }

    /// Prints a table with a line for each validation.
    pub fn table(&self, style: Style) -> String {
        let mut lines = vec![["POLICY", "ADMITS", "DENIES", "VALIDATION"].map(str::to_owned)];
        let mut remarks = vec![String::new()];
        for (_, name, row) in self.rows() {
            for (at, seen) in row.validations.iter().enumerate() {
                let name = if at == 0 { name } else { "" };
                let counts = [seen.admits, seen.denies].map(|count| count.to_string());
                let [admits, denies] = counts;
                lines.push([name.to_owned(), admits, denies, shortened(&seen.text)]);
                remarks.push(seen.gap(row.tests).unwrap_or_default().to_owned());
            }
            if row.validations.is_empty() {
                let nothing = ["-", "-", "(no validations)"].map(str::to_owned);
                let [admits, denies, text] = nothing;
                lines.push([name.to_owned(), admits, denies, text]);
                remarks.push(String::new());
            }
        }
        let width = |column: usize| {
            let cells = lines.iter().filter_map(|line| line.get(column));
            cells
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
        };
        let (policy, validation) = (width(0), width(3));
        let mut table = String::new();
        for ([name, admits, denies, text], remark) in lines.iter().zip(&remarks) {
            let line = format!(
                "{name:<policy$}  {admits:>6}  {denies:>6}  {text:<validation$}  {}",
                coloured(remark, style)
            );
            table.push_str(line.trim_end());
            table.push('\n');
        }
        table
    }
}

impl Seen {
    /// Returns what was not seen.
    pub(super) fn gap(&self, tests: Tests) -> Option<&'static str> {
        match (tests, self.admits, self.denies) {
            (Tests::None, ..) => Some("no tests"),
            (_, 0, 0) => Some("never evaluated"),
            (_, 0, _) => Some("never admits"),
            (_, _, 0) => Some("never denies"),
            _ => None,
        }
    }
}

/// Longest text of a validation in the table.
const MAX_TEXT: usize = 60;

fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_TEXT) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
        None => line,
    }
}

fn coloured(remark: &str, style: Style) -> String {
    match style {
        Style::Coloured if !remark.is_empty() => format!("\u{1b}[1;31m{remark}\u{1b}[0m"),
        _ => remark.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validation_must_be_seen_to_admit_and_to_deny() {
        let seen = |admits, denies| Seen {
            text: "it".to_owned(),
            admits,
            denies,
        };
        for (tests, admits, denies, gap) in [
            (Tests::Some, 1, 1, None),
            (Tests::Some, 2, 0, Some("never denies")),
            (Tests::Some, 0, 1, Some("never admits")),
            (Tests::Some, 0, 0, Some("never evaluated")),
            (Tests::None, 0, 0, Some("no tests")),
        ] {
            assert_eq!(seen(admits, denies).gap(tests), gap);
            let row = Row {
                tests,
                applied: 0,
                validations: vec![seen(admits, denies)],
            };
            let policies = BTreeMap::from([(("f".to_owned(), "p".to_owned()), row)]);
            assert_eq!(Tally { policies }.is_complete(), gap.is_none());
        }
    }
}
