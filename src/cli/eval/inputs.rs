//! The values of variables, from files and from the command line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bumpalo::Bump;

use crate::diagnostics::Diagnostic;
use crate::json::{self, Json};
use crate::sources::files;
use crate::text::{Source, yaml};

/// The variables of a policy that have a flag of their own.
pub(super) const NAMES: [&str; 5] = [
    "object",
    "oldObject",
    "request",
    "params",
    "namespaceObject",
];

/// What `--vars` takes.
const EXAMPLE: &str = "name variables as its members: `{\"limit\": 3}`";

/// Where the values of variables come from.
#[derive(Debug, clap::Args)]
#[group(id = "variables", multiple = true)]
pub(super) struct Args {
    /// The value of `object`: a YAML or JSON file, or `-`
    #[arg(long, value_name = "FILE")]
    object: Option<PathBuf>,

    /// The value of `oldObject`
    #[arg(long, value_name = "FILE")]
    old_object: Option<PathBuf>,

    /// The value of `params`
    #[arg(long, value_name = "FILE")]
    params: Option<PathBuf>,

    /// The value of `request`; of a whole AdmissionReview also those of `object` and `oldObject`
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,

    /// The value of `namespaceObject`
    #[arg(long, value_name = "FILE")]
    namespace_object: Option<PathBuf>,

    /// More variables: an object with a member for each, in a file or as it is
    #[arg(long, value_name = "FILE|JSON")]
    vars: Option<String>,
}

/// Variables with their values, each name once.
#[derive(Debug, Default)]
pub(super) struct Variables<'a> {
    pub(super) entries: Vec<(String, Json<'a>)>,
}

impl Args {
    /// Reads the values.
    pub(super) fn read<'a>(&self, arena: &'a Bump) -> Result<Variables<'a>, Box<Diagnostic>> {
        let files = [
            ("object", &self.object),
            ("oldObject", &self.old_object),
            ("params", &self.params),
            ("namespaceObject", &self.namespace_object),
        ];
        let mut variables = Variables::default();
        for (name, path) in files {
            if let Some(path) = path {
                variables.add(name, document(arena, path)?)?;
            }
        }
        if let Some(path) = &self.request {
            variables.add_request(arena, document(arena, path)?)?;
        }
        if let Some(vars) = &self.vars {
            let source = match vars.trim_start().starts_with('{') {
                true => Source::new("<vars>", vars.as_str()),
                false => read(Path::new(vars))?,
            };
            let Some(object) = only_document(arena, &source)?.as_object() else {
                let message = format!("`{}` is no object", source.name());
                let problem = Diagnostic::error("eval/vars", message);
                return Err(Box::new(problem.help(EXAMPLE)));
            };
            for (name, value) in object.entries() {
                variables.add(name, *value)?;
            }
        }
        Ok(variables)
    }
}

impl<'a> Variables<'a> {
    fn add(&mut self, name: &str, value: Json<'a>) -> Result<(), Box<Diagnostic>> {
        if self.entries.iter().any(|(known, _)| known == name) {
            let message = format!("the variable `{name}` is given twice");
            let problem = Diagnostic::error("eval/duplicate-variable", message);
            return Err(Box::new(problem));
        }
        self.entries.push((name.to_owned(), value));
        Ok(())
    }

    /// Adds `request`. An AdmissionReview has it in `request`, and the objects within that, where an
    /// expression does not see them.
    fn add_request(&mut self, arena: &'a Bump, document: Json<'a>) -> Result<(), Box<Diagnostic>> {
        let request = document.get("request").unwrap_or(document);
        for name in ["object", "oldObject"] {
            let is_given = self.entries.iter().any(|(known, _)| known == name);
            if let (Some(value), false) = (request.get(name), is_given) {
                self.add(name, value)?;
            }
        }
        let entries = request.as_object().map(json::Object::entries);
        let entries = entries.unwrap_or_default().iter().copied();
        let seen: Vec<_> = entries
            .filter(|(key, _)| !matches!(*key, "object" | "oldObject" | "uid"))
            .collect();
        let seen = json::Object::new_in(arena, arena.alloc_slice_copy(&seen));
        self.add("request", Json::Object(seen))
    }
}

fn read(path: &Path) -> Result<Arc<Source>, Box<Diagnostic>> {
    files::read(path, files::MAX_MANIFEST_BYTES).map_err(Box::new)
}

fn document<'a>(arena: &'a Bump, path: &Path) -> Result<Json<'a>, Box<Diagnostic>> {
    only_document(arena, &read(path)?)
}

fn only_document<'a>(arena: &'a Bump, source: &Arc<Source>) -> Result<Json<'a>, Box<Diagnostic>> {
    let stream = yaml::parse_stream(source);
    if let Some(error) = stream.errors.into_iter().next() {
        let problem = Diagnostic::error("eval/yaml", error.message).at(source, error.span);
        return Err(Box::new(match error.help {
            Some(help) => problem.help(help),
            None => problem,
        }));
    }
    match stream.documents.as_slice() {
        [document] => Ok(json::from_value(arena, &document.to_json())),
        [] => {
            let message = format!("`{}` is empty", source.name());
            Err(Box::new(Diagnostic::error("eval/empty", message)))
        }
        [_, second, ..] => {
            let problem = Diagnostic::error("eval/several", "there is more than one document");
            let problem = problem.at(source, second.span);
            Err(Box::new(problem.help("keep one of them")))
        }
    }
}

/// Says how a variable of a policy is given.
pub(super) fn advice(name: &str) -> String {
    let flag = match name {
        "oldObject" => "old-object",
        "namespaceObject" => "namespace-object",
        other => other,
    };
    format!("give its value with `--{flag} FILE`")
}
