//! Generated expressions, evaluated by us and by Kubernetes' own packages, must not differ: not in
//! what is refused, not in type, value, error, cost or estimate.
//!
//! Runs against the program of `tests/kubernetes-cel`; where that has not been built
//! (`cargo bench --bench kubernetes` builds it) nothing is compared, and the test says so.
//! `PORTCULLIS_DIFFERENTIAL=500000` sets how many expressions, `PORTCULLIS_SEED` which, and
//! `PORTCULLIS_VERSION=1.31` for which version of Kubernetes (by default all is there); whatever
//! differs is reduced, printed with a row for `tests/cases/cel.jsonl`, and fails the test.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot be compared fails the test"
)]

mod divergences;
mod forms;
mod generate;
mod literals;
mod messages;
mod oracle;
mod random;
#[path = "../rows/mod.rs"]
mod rows;
mod tree;
mod types;
mod variables;
mod versions;

use std::collections::BTreeMap;

use divergences::Divergence;
use generate::Generator;
use oracle::Oracle;
use rows::Answer;
use serde_json::{Value as Row, json};
use tree::Tree;
use variables::Variables;

/// How many rows are on their way at once.
const BATCH: usize = 400;

/// How often a row is asked again: Go iterates maps in an order of its own each time.
const REPEATS: usize = 12;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Aspect {
    Panic,
    Compile,
    Type,
    Error,
    Value,
    Estimate,
    Cost,
}

/// Returns where two answers differ.
fn difference(ours: &Answer, theirs: &Answer) -> Option<Aspect> {
    match (ours, theirs) {
        (Answer::Panicked(_), _) => Some(Aspect::Panic),
        // A panic of cel-go is no answer to compare with.
        (_, Answer::Panicked(_)) | (Answer::Refused(_), Answer::Refused(_)) => None,
        (Answer::Refused(_), _) | (_, Answer::Refused(_)) => Some(Aspect::Compile),
        (
            Answer::Evaluated {
                static_type,
                result,
                cost,
                estimate,
            },
            Answer::Evaluated {
                static_type: their_type,
                result: their_result,
                cost: their_cost,
                estimate: their_estimate,
            },
        ) => match (result, their_result) {
            _ if static_type != their_type => Some(Aspect::Type),
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => Some(Aspect::Error),
            (Ok(value), Ok(their_value)) if value != their_value => Some(Aspect::Value),
            _ if estimate != their_estimate => Some(Aspect::Estimate),
            _ if cost != their_cost => Some(Aspect::Cost),
            _ => None,
        },
    }
}

fn row(variables: &Variables, expression: &Tree) -> Row {
    let mut row = json!({
        "expr": expression.to_string(),
        "env": variables.env,
        "vars": variables.values,
        "sizes": variables.sizes,
    });
    if let Ok(version) = std::env::var("PORTCULLIS_VERSION") {
        row["version"] = version.into();
        row["envMode"] = "new".into();
    }
    row
}

/// Returns where an expression differs, however often Kubernetes is asked.
fn settled(oracle: &mut Oracle, row: &Row) -> Option<(Aspect, Answer, Answer)> {
    let ours = rows::answer(row);
    let (answers, ()) = oracle.ask(&vec![row.clone(); REPEATS], || ());
    let mut found = None;
    for answer in answers.iter().map(rows::recorded) {
        let aspect = difference(&ours, &answer)?;
        found = Some((aspect, answer));
    }
    found.map(|(aspect, answer)| (aspect, ours, answer))
}

/// Makes an expression smaller as long as it differs in the same aspect.
fn reduced(oracle: &mut Oracle, variables: &Variables, tree: Tree, aspect: Aspect) -> Tree {
    let mut best = tree;
    'smaller: for _ in 0..60 {
        let candidates = best.smaller();
        for chunk in candidates.chunks(BATCH) {
            let asked: Vec<Row> = chunk.iter().map(|tree| row(variables, tree)).collect();
            let (theirs, ours) = oracle.ask(&asked, || {
                asked.iter().map(rows::answer).collect::<Vec<_>>()
            });
            for ((candidate, ours), theirs) in chunk.iter().zip(&ours).zip(&theirs) {
                let is_same = difference(ours, &rows::recorded(theirs)) == Some(aspect);
                let shorter = candidate.to_string().len() < best.to_string().len();
                if is_same
                    && shorter
                    && settled(oracle, &row(variables, candidate)).is_some_and(|it| it.0 == aspect)
                {
                    best = candidate.clone();
                    continue 'smaller;
                }
            }
        }
        break;
    }
    best
}

/// What was compared, and what differed.
#[derive(Default)]
struct Summary {
    compared: usize,
    refused: usize,
    failed: usize,
    unsettled: usize,
    known: usize,
    messages: BTreeMap<(String, String), usize>,
    /// By the shape of the reduced expression, so that each is shown once.
    differences: BTreeMap<String, String>,
}

/// What two expressions that differ for the same reason are likely to share.
fn shape(aspect: Aspect, expression: &str) -> String {
    let mut shape = format!("{aspect:?} ");
    for word in expression.split_inclusive(|it: char| !it.is_alphanumeric()) {
        let name = word.trim_end_matches(|it: char| !it.is_alphanumeric());
        let is_variable = ["x", "y", "k", "v", "i", "object"].contains(&name);
        let is_number = name.starts_with(|it: char| it.is_ascii_digit());
        match is_variable || is_number {
            true => shape.push_str(&word.replacen(name, "_", 1)),
            false => shape.push_str(word),
        }
    }
    shape
}

impl std::fmt::Display for Summary {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "compared {} expressions: {} refused, {} fail, {} depend on the order of a map, {} differ \
             as is known, {} differ",
            self.compared,
            self.refused,
            self.failed,
            self.unsettled,
            self.known,
            self.differences.len()
        )
    }
}

impl Summary {
    fn count(&mut self, ours: &Answer, theirs: &Answer) {
        self.compared += 1;
        match (ours, theirs) {
            (Answer::Refused(_), _) => self.refused += 1,
            (
                Answer::Evaluated {
                    result: Err(ours), ..
                },
                Answer::Evaluated {
                    result: Err(theirs),
                    ..
                },
            ) => {
                self.failed += 1;
                if ours != theirs {
                    *self
                        .messages
                        .entry((ours.clone(), theirs.clone()))
                        .or_default() += 1;
                }
            }
            _ => {}
        }
    }
}

/// What is compared with.
struct Reference {
    oracle: Oracle,
    known: Vec<Divergence>,
}

fn compare(
    reference: &mut Reference,
    variables: &Variables,
    (seed, count): (u64, usize),
    summary: &mut Summary,
) {
    let Reference { oracle, known } = reference;
    let mut generator = Generator::new(seed, variables);
    let mut left = count;
    while left > 0 && summary.differences.len() < most_differences() {
        let trees: Vec<Tree> = (0..left.min(BATCH)).map(|_| generator.next()).collect();
        left -= trees.len();
        let asked: Vec<Row> = trees.iter().map(|tree| row(variables, tree)).collect();
        let (theirs, ours) = oracle.ask(&asked, || {
            asked.iter().map(rows::answer).collect::<Vec<_>>()
        });
        for ((tree, ours), theirs) in trees.into_iter().zip(&ours).zip(&theirs) {
            let theirs = rows::recorded(theirs);
            summary.count(ours, &theirs);
            if difference(ours, &theirs).is_none() {
                continue;
            }
            if known.iter().any(|divergence| divergence.explains(ours)) {
                summary.known += 1;
                continue;
            }
            let Some((aspect, ..)) = settled(oracle, &row(variables, &tree)) else {
                summary.unsettled += 1;
                continue;
            };
            let small = reduced(oracle, variables, tree, aspect);
            let (answers, ()) = oracle.ask(&[row(variables, &small)], || ());
            let ours = rows::answer(&row(variables, &small));
            if known.iter().any(|divergence| divergence.explains(&ours)) {
                summary.known += 1;
                continue;
            }
            let text = small.to_string();
            let shown = format!(
                "{aspect:?} ({}): {text}\n    ours   {ours:?}\n    theirs {:?}",
                variables.env,
                rows::recorded(&answers[0])
            );
            summary.differences.insert(shape(aspect, &text), shown);
        }
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn most_differences() -> usize {
    usize::try_from(setting("PORTCULLIS_DIFFERENCES", 40)).unwrap_or(40)
}

#[test]
fn generated_expressions_give_what_kubernetes_gives() {
    let Some(program) = oracle::program() else {
        println!(
            "skipped: tests/kubernetes-cel is not built; `cargo bench --bench kubernetes` builds it"
        );
        return;
    };
    let count = usize::try_from(setting("PORTCULLIS_DIFFERENTIAL", 1000)).unwrap();
    let seed = setting("PORTCULLIS_SEED", 1);
    let mut reference = Reference {
        oracle: Oracle::start(program),
        known: divergences::read(),
    };
    let mut summary = Summary::default();
    let sized = count / 5;
    let unsized_count = (count - sized) / 2;
    let runs = [
        (variables::untyped(), seed, unsized_count),
        (variables::admission(), seed ^ 0x5eed, unsized_count),
        (
            variables::with_sizes(variables::admission()),
            seed ^ 0x0ff5,
            sized,
        ),
    ];
    for (variables, seed, count) in &runs {
        compare(&mut reference, variables, (*seed, *count), &mut summary);
    }
    println!("{summary}");
    if std::env::var_os("PORTCULLIS_MESSAGES").is_some() {
        let mut messages: Vec<_> = summary.messages.iter().collect();
        messages.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for ((ours, theirs), count) in messages.iter().take(60) {
            println!("{count} times the message `{ours}` for `{theirs}`");
        }
    }
    assert!(summary.compared > count / 2, "nothing was compared");
    assert!(
        summary.differences.is_empty(),
        "{}",
        summary
            .differences
            .into_values()
            .collect::<Vec<_>>()
            .join("\n")
    );
}

#[test]
fn known_differences_still_differ() {
    let Some(program) = oracle::program() else {
        println!("skipped: tests/kubernetes-cel is not built");
        return;
    };
    let mut oracle = Oracle::start(program);
    let variables = variables::untyped();
    for divergence in divergences::read() {
        let mut row = row(&variables, &Tree::leaf(&divergence.expression));
        divergence.set(&mut row);
        let (aspect, ours, theirs) = settled(&mut oracle, &row)
            .unwrap_or_else(|| panic!("`{}` differs no more", divergence.expression));
        assert!(
            divergence.ours.is_none() || divergence.explains(&ours),
            "{aspect:?}: {ours:?}, not {theirs:?}"
        );
    }
}
