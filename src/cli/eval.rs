//! `portcullis eval`: one expression, or a stream of them, with value, type and cost.

mod inputs;
mod language;
mod rows;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;

use bumpalo::Bump;
use clap::ValueEnum;

use super::{Colour, Exit, VersionArgs, show};
use crate::cel::ast::{Ast, Expr};
use crate::cel::encode::{Notation, Written, write};
use crate::cel::env::Language;
use crate::cel::error::Error;
use crate::cel::estimate::range::CostEstimate;
use crate::cel::eval::{Inputs, Limits, Outcome, Unobserved, evaluate};
use crate::cel::issue::Issue;
use crate::cel::parse;
use crate::cel::trace::draw::draw;
use crate::cel::trace::{Recorder, steps};
use crate::cel::value::Value;
use crate::diagnostics::{self, Diagnostic, Format};
use crate::sources::files;
use crate::text::{Source, Span};
use inputs::Variables;
use language::{Compiled, Setting, compile};

/// Evaluate a CEL expression: its value, type and cost, and with --trace the value of every part
///
/// With the cost comes what Kubernetes would estimate it to be without evaluating. It estimates custom
/// resources' rules so, never policies: fields of untyped objects are left out, and of what is read
/// from them no size is known.
///
/// Exits with 0 if there is a value, with 1 if the evaluation fails, and with 2 if the expression
/// does not compile or an argument cannot be used.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis eval \"quantity('1.5Gi').isGreaterThan(quantity('1G'))\"
  portcullis eval 'object.spec.replicas > 2' --object deployment.yaml --trace
  portcullis eval 'items.map(i, i * 2)' --vars '{\"items\": [1, 2]}'
  portcullis eval --jsonl < rows.jsonl")]
pub struct Args {
    /// The expression; `-` reads it from standard input
    #[arg(
        value_name = "EXPRESSION",
        required_unless_present = "jsonl",
        allow_negative_numbers = true
    )]
    expression: Option<String>,

    #[command(flatten)]
    variables: inputs::Args,

    /// Show the value of every part
    #[arg(long)]
    trace: bool,

    /// Refuse what Kubernetes does not have
    #[arg(long)]
    portable: bool,

    #[command(flatten)]
    version: VersionArgs,

    /// How the answer is printed
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    format: FormatArg,

    /// Read rows of JSON from standard input, and answer each with a line
    ///
    /// A row has `expr`, `vars` (an object) and `env`: `dyn` (each of `vars` is a variable),
    /// `admission` or `patch` (the variables of a policy); `version` is the version of Kubernetes, if
    /// not that of `--kubernetes-version`; its `id` is repeated. An answer has `value`, `typed`, `type`,
    /// `staticType`, `cost` and `estimate` (`min` and `max`), or `error` and `phase`: `input`,
    /// `compile`, `program` or `eval`.
    #[arg(
        long,
        conflicts_with_all = ["expression", "trace", "format", "portable", "variables"]
    )]
    jsonl: bool,

    /// When to use colours
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    color: Colour,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum FormatArg {
    /// For people.
    #[default]
    Human,
    /// A line of JSON, as `--jsonl` answers.
    Json,
}

/// Where an expression on the command line is said to be.
const SOURCE_NAME: &str = "<expression>";

/// An expression of 100,000 characters, the longest there may be, has at most this many bytes.
const MAX_EXPRESSION_BYTES: u64 = 400_000;

/// Most of a value that is printed; the memory of an evaluation is bounded by four times that.
pub(super) const MAX_VALUE_BYTES: usize = 16 << 20;

/// A value longer than this has a line for each item.
const LONG_VALUE_CHARS: usize = 100;

/// Evaluates, and prints what came out.
pub fn run(args: &Args) -> Exit {
    if args.jsonl {
        return rows::run(args.version.kubernetes_version);
    }
    let arena = Bump::new();
    let read = expression(args).and_then(|source| Ok((source, args.variables.read(&arena)?)));
    match read {
        Ok((source, variables)) => one(args, &source, &variables, &arena),
        Err(problem) => {
            show(&[*problem]);
            Exit::Unusable
        }
    }
}

fn expression(args: &Args) -> Result<Arc<Source>, Box<Diagnostic>> {
    match args.expression.as_deref() {
        Some("-") => {
            let read = files::read(&PathBuf::from("-"), MAX_EXPRESSION_BYTES).map_err(Box::new)?;
            let text = read.text().trim_end_matches(['\n', '\r']);
            Ok(Source::new(SOURCE_NAME, text))
        }
        given => Ok(Source::new(SOURCE_NAME, given.unwrap_or_default())),
    }
}

fn one(args: &Args, source: &Arc<Source>, variables: &Variables<'_>, arena: &Bump) -> Exit {
    let language = match args.portable {
        true => Language::Kubernetes,
        false => Language::Extended,
    };
    let setting = Setting::Dyn.with(
        &variables.entries,
        language,
        args.version.kubernetes_version,
    );
    let compiled = match compile(source.text(), &setting.env) {
        Ok(compiled) => compiled,
        Err(failure) => {
            if args.format == FormatArg::Json {
                super::print(&(rows::Answer::of_failure(&failure).line() + "\n"));
            } else {
                show(&problems(source, failure.issues, variables));
            }
            return Exit::Unusable;
        }
    };
    let inputs = Inputs::new(&setting.values);
    let mut recorder = Recorder::new(&compiled.ast);
    let limits = Limits::default();
    let outcome = match args.trace {
        true => evaluate(&compiled.program, &inputs, arena, limits, &mut recorder),
        false => evaluate(&compiled.program, &inputs, arena, limits, &mut Unobserved),
    };
    match args.format {
        FormatArg::Json => {
            let answer = rows::Answer::of_outcome(&compiled, &outcome);
            super::print(&(answer.line() + "\n"));
        }
        FormatArg::Human => {
            let mut text = summary(&compiled, &outcome);
            if args.trace {
                text.push('\n');
                let steps = steps::steps(&compiled.ast, &recorder);
                text.push_str(&draw(source.text(), &steps));
            }
            super::print(&text);
            report(args, source, &compiled, &outcome);
        }
    }
    match outcome.value {
        Ok(_) => Exit::Clean,
        Err(_) => Exit::Found,
    }
}

/// Value, type and cost, a line each; with the cost what it was estimated to be.
fn summary(compiled: &Compiled, outcome: &Outcome<'_>) -> String {
    let value = match &outcome.value {
        Ok(value) => format!("value  {}\n", shown(value)),
        Err(_) => String::new(),
    };
    format!(
        "{value}type   {}\ncost   {} ({})\n",
        compiled.result,
        outcome.cost,
        estimated(compiled.estimate)
    )
}

/// An estimate in words.
fn estimated(CostEstimate { min, max }: CostEstimate) -> String {
    match (min == max, CostEstimate { min, max }.is_bounded()) {
        (true, _) => format!("estimated {min}"),
        (false, true) => format!("estimated {min} to {max}"),
        (false, false) => format!("estimated {min} or more: how much it reads is not known"),
    }
}

fn shown(value: &Value<'_>) -> String {
    if let Written::Whole(line) = write(value, Notation::Expression, LONG_VALUE_CHARS) {
        return line;
    }
    match write(value, Notation::Lines, MAX_VALUE_BYTES) {
        Written::Whole(lines) => lines,
        Written::Cut(lines) => lines + "…",
    }
}

/// Says on standard error why there is no value, and what is not Kubernetes'.
fn report(args: &Args, source: &Arc<Source>, compiled: &Compiled, outcome: &Outcome<'_>) {
    let mut findings = Vec::new();
    if let Some(span) = compiled.extension {
        let note = Diagnostic::note("cel/extension", "Kubernetes does not have this function");
        let note = note.at(source, span);
        findings.push(note.help("a policy that uses it cannot be exported; --portable refuses it"));
    }
    if let Err(fault) = outcome.value {
        findings.push(fault_diagnostic(source, &compiled.ast, fault));
    }
    if !findings.is_empty() {
        let style = args.color.style_on(io::stderr().is_terminal());
        super::note(diagnostics::render(&findings, Format::Human, style).trim_end());
    }
}

fn fault_diagnostic(source: &Arc<Source>, ast: &Ast, fault: Error<'_>) -> Diagnostic {
    let problem = Diagnostic::error("cel/eval", fault.to_string());
    let at = usize::try_from(fault.node).ok();
    match at.and_then(|at| ast.nodes().get(at)) {
        Some(node) => problem.at(source, node.span),
        None => problem,
    }
}

fn problems(
    source: &Arc<Source>,
    issues: Vec<Issue>,
    variables: &Variables<'_>,
) -> Vec<Diagnostic> {
    let missing = missing(source, variables);
    let diagnostics = issues.into_iter().map(|issue| {
        let problem = Diagnostic::error("cel/compile", issue.message).at(source, issue.span);
        let named = missing.iter().find(|(_, span)| *span == issue.span);
        match (named, issue.help) {
            (Some((name, _)), _) => problem.help(inputs::advice(name)),
            (None, Some(help)) => problem.help(help),
            (None, None) => problem,
        }
    });
    diagnostics.collect()
}

/// The names that are variables in a policy and were not given here, with their places.
fn missing(source: &Arc<Source>, variables: &Variables<'_>) -> Vec<(&'static str, Span)> {
    let Ok(ast) = parse::parse(source.text()) else {
        return Vec::new();
    };
    let found = ast.nodes().iter().filter_map(|node| match &node.expr {
        Expr::Ident(name) => {
            let name = inputs::NAMES.into_iter().find(|known| known == name)?;
            let is_given = variables.entries.iter().any(|(given, _)| given == name);
            (!is_given).then_some((name, node.span))
        }
        _ => None,
    });
    found.collect()
}
