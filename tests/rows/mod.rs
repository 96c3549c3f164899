//! Rows of an expression with its variables, and what our engine gives for one.
//!
//! The notation is that of the program in `tests/kubernetes-cel`, so that the two compare as JSON.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bumpalo::Bump;
use portcullis::cel::check::{self, Checked};
use portcullis::cel::encode::{Notation, write};
use portcullis::cel::env::{Env, Language, Messages};
use portcullis::cel::estimate::range::{CostEstimate, SizeEstimate};
use portcullis::cel::estimate::{Sizes, estimate};
use portcullis::cel::eval::{Inputs, Limits, Unobserved, evaluate};
use portcullis::cel::issue::Issue;
use portcullis::cel::parse;
use portcullis::cel::plan::{self, Program};
use portcullis::cel::types::{Inferred, Type};
use portcullis::cel::value::Value;
use portcullis::cel::version::KubernetesVersion;
use portcullis::json;
use portcullis::policy::compile::SLOTS;
use serde_json::{Value as Row, json};

/// What an expression gives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// It does not compile.
    Refused(String),
    /// It was evaluated.
    Evaluated {
        /// The type the checker found.
        static_type: String,
        /// The value with all types, or the error.
        result: Result<Row, String>,
        /// What it cost.
        cost: u64,
        /// What it was estimated to cost.
        estimate: CostEstimate,
    },
    /// The engine broke.
    Panicked(String),
}

/// Returns what our engine gives for a row.
pub(crate) fn answer(row: &Row) -> Answer {
    catch_unwind(AssertUnwindSafe(|| evaluated(row))).unwrap_or_else(|reason| {
        let reason = reason
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| reason.downcast_ref::<&str>().copied());
        Answer::Panicked(reason.unwrap_or("no reason").to_owned())
    })
}

/// Reads an answer in the notation of the recordings.
pub(crate) fn recorded(row: &Row) -> Answer {
    let error = row["error"].as_str();
    match (error, row["phase"].as_str()) {
        (Some(error), Some("eval")) => evaluated_answer(row, Err(error.to_owned())),
        (Some(error), Some("compile" | "program")) => Answer::Refused(error.to_owned()),
        (Some(error), _) => Answer::Panicked(error.to_owned()),
        (None, _) => evaluated_answer(row, Ok(normalised(&row["typed"]))),
    }
}

fn evaluated_answer(row: &Row, result: Result<Row, String>) -> Answer {
    Answer::Evaluated {
        static_type: row["staticType"].as_str().unwrap_or_default().to_owned(),
        result,
        cost: row["cost"].as_u64().unwrap_or_default(),
        estimate: CostEstimate {
            min: row["estimate"]["min"].as_u64().unwrap_or_default(),
            max: row["estimate"]["max"].as_u64().unwrap_or_default(),
        },
    }
}

/// The declarations a row asks for.
fn environment(row: &Row) -> Env {
    let version = row["version"].as_str().map(str::parse::<KubernetesVersion>);
    let version = version.map_or_else(KubernetesVersion::default, Result::unwrap);
    let language = match row["extensions"].as_bool() {
        Some(true) => Language::Extended,
        _ => Language::Kubernetes,
    };
    let env = match row["env"].as_str() {
        None | Some("dyn") => {
            let names = row["vars"]
                .as_object()
                .into_iter()
                .flat_map(|vars| vars.keys());
            let slots = names.map(|name| (name.as_str(), Type::Dyn));
            Env::new(slots, language)
        }
        _ => Env::new(SLOTS, language)
            .without("settings")
            .without("pod")
            .with_messages(match row["env"].as_str() {
                Some("admission") => Messages::None,
                _ => Messages::Mutation,
            }),
    };
    env.with_version(version)
}

fn compile(row: &Row) -> Result<(Program, String, CostEstimate), Vec<Issue>> {
    let checked = checked(row)?;
    let estimate = estimate(&checked, &GivenSizes(&row["sizes"]));
    Ok((plan::plan(&checked)?, checked.result.to_string(), estimate))
}

/// Returns the expression of a row with its types.
pub(crate) fn checked(row: &Row) -> Result<Checked, Vec<Issue>> {
    let expression = row["expr"].as_str().unwrap_or_default();
    check::check(parse::parse(expression)?, &environment(row))
}

/// The sizes a row gives for paths.
#[derive(Debug)]
struct GivenSizes<'r>(&'r Row);

impl Sizes for GivenSizes<'_> {
    fn size(&self, path: &str, _: &Inferred) -> Option<SizeEstimate> {
        let given = self.0.get(path)?;
        Some(SizeEstimate {
            min: given[0].as_u64()?,
            max: given[1].as_u64()?,
        })
    }
}

fn evaluated(row: &Row) -> Answer {
    let (program, static_type, estimate) = match compile(row) {
        Ok(compiled) => compiled,
        Err(issues) => {
            let messages: Vec<String> = issues.into_iter().map(|issue| issue.message).collect();
            return Answer::Refused(messages.join("; "));
        }
    };
    let arena = Bump::new();
    let value = |value: &Row| Value::from(json::from_value(&arena, value));
    let slots: Vec<Value<'_>> = match row["env"].as_str() {
        None | Some("dyn") => {
            let vars = row["vars"].as_object();
            vars.into_iter()
                .flat_map(|vars| vars.values())
                .map(value)
                .collect()
        }
        // Nobody is asked what a user may do: its slots are the last ones, and have no value. What is
        // `absent` has none either, nor what comes behind it.
        _ => SLOTS
            .iter()
            .take_while(|(name, _)| row["absent"] != **name && !name.starts_with("authorizer"))
            .map(|(name, _)| value(&row["vars"][*name]))
            .collect(),
    };
    let inputs = Inputs::new(&slots);
    let outcome = evaluate(
        &program,
        &inputs,
        &arena,
        Limits::default(),
        &mut Unobserved,
    );
    Answer::Evaluated {
        static_type,
        result: match outcome.value {
            Ok(value) => Ok(typed(&value)),
            Err(fault) => Err(fault.to_string()),
        },
        cost: outcome.cost,
        estimate,
    }
}

/// Shows a value with all its types.
pub(crate) fn typed(value: &Value<'_>) -> Row {
    let text = write(value, Notation::Typed, MAX_VALUE_BYTES).whole();
    normalised(&serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default())
}

/// More than any row makes.
const MAX_VALUE_BYTES: usize = 64 << 20;

fn sorted(mut entries: Vec<Row>) -> Row {
    entries.sort_by_key(ToString::to_string);
    json!({ "map": entries })
}

/// Sorts maps, and leaves out what Go prints at random: the address of a format's function, the spaces
/// between the fields of a message.
pub(crate) fn normalised(recorded: &Row) -> Row {
    match recorded {
        Row::Object(object) => match (object.get("map"), object.get("object")) {
            (Some(Row::Array(entries)), _) => sorted(entries.iter().map(normalised).collect()),
            (_, Some(inner)) => {
                let kind = inner["type"].as_str().unwrap_or_default();
                let value = match (kind, inner["value"].as_str()) {
                    ("kubernetes.NamedFormat", Some(text)) => {
                        let text = text.trim_start_matches('{');
                        json!(text.split(' ').next())
                    }
                    (_, Some(text)) if kind.starts_with("google.protobuf.") => {
                        json!(text.split_whitespace().collect::<Vec<_>>().join(" "))
                    }
                    _ => inner["value"].clone(),
                };
                json!({ "object": { "type": kind, "value": value } })
            }
            _ => {
                let fields = object.iter();
                let fields = fields.map(|(key, value)| (key.clone(), normalised(value)));
                Row::Object(fields.collect())
            }
        },
        Row::Array(items) => items.iter().map(normalised).collect(),
        other => other.clone(),
    }
}
