//! Expressions as rows of JSON, answered one line each, in order.

use std::borrow::Cow;
use std::io::{self, BufRead, Read, Write};

use bumpalo::Bump;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::MAX_VALUE_BYTES;
use super::language::{Compiled, Declared, Failure, Phase, Setting, compile};
use crate::cel::encode::{Notation, write};
use crate::cel::env::Language;
use crate::cel::estimate::range::CostEstimate;
use crate::cel::eval::{Inputs, Limits, Outcome, Unobserved, evaluate};
use crate::cel::version::{KubernetesVersion, UnknownVersion};
use crate::cli::{Exit, note};
use crate::json::{self, Json};

/// A longer row is refused: ten times the largest request an API server takes.
const MAX_ROW_BYTES: u64 = 32 << 20;

#[derive(Deserialize)]
struct Row<'r> {
    #[serde(borrow, default)]
    id: Option<&'r RawValue>,
    #[serde(borrow, default)]
    expr: Cow<'r, str>,
    #[serde(borrow, default)]
    vars: Option<&'r RawValue>,
    #[serde(borrow, default)]
    env: Option<Cow<'r, str>>,
    #[serde(borrow, default)]
    version: Option<Cow<'r, str>>,
    /// Whether the expression may use what Kubernetes does not have.
    #[serde(default)]
    extensions: bool,
}

/// Answers rows until there are none; those that name no version of Kubernetes are for `version`.
pub(super) fn run(version: KubernetesVersion) -> Exit {
    match answer_all(&mut io::stdin().lock(), &mut io::stdout().lock(), version) {
        Ok(()) => Exit::Clean,
        // A reader that has gone away ends the answers, and is no error.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Clean,
        Err(error) => {
            note(&format!("error: standard input cannot be read: {error}"));
            Exit::Unusable
        }
    }
}

fn answer_all(
    input: &mut impl BufRead,
    output: &mut impl Write,
    version: KubernetesVersion,
) -> io::Result<()> {
    let mut output = io::BufWriter::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = input.take(MAX_ROW_BYTES + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            return output.flush();
        }
        let answer = if u64::try_from(read).is_ok_and(|read| read > MAX_ROW_BYTES) {
            skip_line(input)?;
            Answer::unusable(&format!("row is longer than {} MiB", MAX_ROW_BYTES >> 20)).line()
        } else if line.trim_ascii().is_empty() {
            continue;
        } else {
            answer(&line, version)
        };
        writeln!(output, "{answer}")?;
        // Whoever waits for an answer before sending the next row gets it.
        output.flush()?;
    }
}

/// Reads past the end of a line without keeping it.
fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let (used, is_end) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        input.consume(used);
        if is_end {
            return Ok(());
        }
    }
}

/// Answers a row.
fn answer(line: &[u8], version: KubernetesVersion) -> String {
    let row: Row<'_> = match serde_json::from_slice(line) {
        Ok(row) => row,
        Err(error) => return Answer::unusable(&format!("bad input: {error}")).line(),
    };
    let mut answer = evaluated(&row, version);
    if let Some(id) = row.id {
        answer.push("id", id.get().to_owned());
    }
    answer.line()
}

fn evaluated(row: &Row<'_>, version: KubernetesVersion) -> Answer {
    let setting = match row.env.as_deref() {
        None | Some("") => Setting::Unsaid,
        Some("dyn") => Setting::Dyn,
        Some("admission") => Setting::Admission,
        Some("patch") => Setting::Patch,
        Some(other) => return Answer::unusable(&format!("unknown env {other:?}")),
    };
    let version = match row.version.as_deref() {
        None | Some("") => version,
        Some(text) => match text.parse() {
            Ok(version) => version,
            Err(unknown) => {
                let unknown: UnknownVersion = unknown;
                return Answer::unusable(&unknown.to_string());
            }
        },
    };
    let arena = Bump::new();
    let given = match row.vars {
        None => Vec::new(),
        Some(vars) => match json::parse(&arena, vars.get().as_bytes()) {
            Ok(Json::Null) => Vec::new(),
            Ok(Json::Object(object)) => object
                .entries()
                .iter()
                .map(|(name, value)| ((*name).to_owned(), *value))
                .collect(),
            Ok(_) => return Answer::unusable("bad vars: no object"),
            Err(error) => return Answer::unusable(&format!("bad vars: {error}")),
        },
    };
    let language = match row.extensions {
        true => Language::Extended,
        false => Language::Kubernetes,
    };
    let Declared { env, values } = setting.with(&given, language, version);
    let compiled = match compile(&row.expr, &env) {
        Ok(compiled) => compiled,
        Err(failure) => return Answer::of_failure(&failure),
    };
    let inputs = Inputs::new(&values);
    let limits = Limits::default();
    let outcome = evaluate(&compiled.program, &inputs, &arena, limits, &mut Unobserved);
    Answer::of_outcome(&compiled, &outcome)
}

/// A line of JSON, its members in order of name.
#[derive(Debug, Default)]
pub(super) struct Answer {
    members: Vec<(&'static str, String)>,
}

impl Answer {
    /// The answer for an expression that does not compile.
    pub(super) fn of_failure(failure: &Failure) -> Self {
        let messages: Vec<&str> = failure
            .issues
            .iter()
            .map(|issue| issue.message.as_str())
            .collect();
        let mut answer = Answer::failed(failure.phase, &messages.join("; "));
        if failure.phase == Phase::Compile {
            let messages: Vec<String> = messages.iter().map(|text| string(text)).collect();
            answer.push("messages", format!("[{}]", messages.join(",")));
        }
        if let Some(result) = &failure.result {
            answer.push("staticType", string(&result.to_string()));
        }
        answer
    }

    /// The answer for an expression that was evaluated.
    pub(super) fn of_outcome(compiled: &Compiled, outcome: &Outcome<'_>) -> Self {
        let mut answer = match &outcome.value {
            Err(fault) => Answer::failed(Phase::Eval, &fault.to_string()),
            Ok(value) => {
                let written = |notation| write(value, notation, MAX_VALUE_BYTES).whole();
                match (written(Notation::Plain), written(Notation::Typed)) {
                    (Some(plain), Some(typed)) => {
                        let mut answer = Answer::default();
                        answer.push("value", plain);
                        answer.push("typed", typed);
                        answer.push("type", string(value.type_name()));
                        answer
                    }
                    _ => {
                        let size = MAX_VALUE_BYTES >> 20;
                        let message = format!("the value takes more than {size} MiB to write");
                        Answer::failed(Phase::Eval, &message)
                    }
                }
            }
        };
        answer.push("staticType", string(&compiled.result.to_string()));
        answer.push("cost", outcome.cost.to_string());
        let CostEstimate { min, max } = compiled.estimate;
        answer.push("estimate", format!("{{\"max\":{max},\"min\":{min}}}"));
        answer
    }

    fn unusable(message: &str) -> Self {
        Answer::failed(Phase::Input, message)
    }

    fn failed(phase: Phase, message: &str) -> Self {
        let mut answer = Answer::default();
        answer.push("error", string(message));
        answer.push("phase", string(phase.name()));
        answer
    }

    fn push(&mut self, name: &'static str, json: String) {
        self.members.push((name, json));
    }

    /// Returns the line, without its end.
    pub(super) fn line(mut self) -> String {
        self.members.sort_by_key(|(name, _)| *name);
        let members = self.members.iter();
        let members: Vec<String> = members
            .map(|(name, json)| format!("\"{name}\":{json}"))
            .collect();
        format!("{{{}}}", members.join(","))
    }
}

/// A string of JSON; a string cannot fail to be written.
fn string(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}
