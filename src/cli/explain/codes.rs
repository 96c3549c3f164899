//! What the codes of findings mean, whoever finds them.

use super::Unknown;
use crate::diagnostics::Severity;
use crate::lint::{self, Rule};
use crate::text::nearest;
use crate::{manifest, policy, suite};

/// The codes of findings that belong to no table of their module, in alphabetical order.
pub(super) const CODES: [(&str, &str); 40] = [
    (
        "cel/compile",
        "An expression does not parse, or names or types in it do not fit together.",
    ),
    (
        "cel/eval",
        "An expression has no value: something in it failed and nothing absorbed that.",
    ),
    (
        "cel/extension",
        "An expression uses a function that Kubernetes does not have; its policy cannot be exported.",
    ),
    (
        "config/contradiction",
        "Two settings of the configuration exclude each other.",
    ),
    (
        "config/invalid-value",
        "A setting has a value that it cannot have.",
    ),
    ("config/missing", "A setting is needed and missing."),
    (
        "config/same-address",
        "Two listeners are to be at one address.",
    ),
    ("config/syntax", "The configuration file cannot be read."),
    (
        "config/unknown-key",
        "The configuration has a key that means nothing there.",
    ),
    (
        "config/unknown-variable",
        "An environment variable begins with `PORTCULLIS_` and is no setting.",
    ),
    (
        "config/wrong-kind",
        "A setting has a value of another type than it takes.",
    ),
    (
        "eval/duplicate-variable",
        "`eval` was given two values for one variable.",
    ),
    (
        "eval/empty",
        "A file with the value of a variable is empty.",
    ),
    (
        "eval/several",
        "A file with the value of a variable holds several documents.",
    ),
    (
        "eval/vars",
        "`--vars` takes an object with a member for each variable, and was given something else.",
    ),
    (
        "eval/yaml",
        "The value of a variable is no YAML or JSON; the message says what is wrong with it.",
    ),
    (
        "export/exception",
        "A PolicyException is not exported, because Kubernetes' own policies have none.",
    ),
    (
        "export/expression",
        "Kubernetes would refuse an expression: a match condition there reads no variables.",
    ),
    (
        "export/mutation-off",
        "A mutation is not exported because it is switched off.",
    ),
    (
        "export/scope",
        "A policy without a request (`scope: cluster`) cannot be one of Kubernetes'.",
    ),
    (
        "export/trial",
        "A mutation on trial (`action: audit`) is not exported: Kubernetes would carry it out.",
    ),
    (
        "export/version",
        "The version of Kubernetes that is exported for lacks the kind of a policy.",
    ),
    (
        "file/empty",
        "There is nothing to read where something was expected.",
    ),
    (
        "file/not-a-file",
        "A folder, device, pipe or socket is where a file was expected.",
    ),
    ("file/not-text", "A file is not a UTF-8 text."),
    (
        "file/too-large",
        "A file is larger than any that is read of its kind.",
    ),
    (
        "file/too-many",
        "A folder holds more files than are read of one.",
    ),
    (
        "file/unreadable",
        "A file or folder does not exist, or may not be read.",
    ),
    (
        "lint/crd",
        "A CustomResourceDefinition has a schema that cannot be read; its kinds are not known.",
    ),
    (
        "manifest/no-crd",
        "What `--crds` names holds no CustomResourceDefinition.",
    ),
    (
        "manifests/guessed-resource",
        "A policy reads a kind that is not Kubernetes' own; its resource in a role is a guess.",
    ),
    (
        "manifests/no-namespace",
        "Nothing says where the webhook runs, so that objects beside it are asked about like all others.",
    ),
    (
        "published/too-many",
        "More policies are published in the cluster than are read of a kind; the others are not in force.",
    ),
    (
        "registration/lock-out",
        "A webhook configuration may ask about what a cluster lives on or what mends the webhook, so that \
         a webhook that does not answer could not be mended.",
    ),
    (
        "registration/never-called",
        "A policy names a resource that no webhook configuration asks about, because a cluster needs it.",
    ),
    (
        "serve/cluster",
        "The cluster that policies read cannot be connected to.",
    ),
    (
        "serve/decision-log",
        "The decision log cannot be opened for writing.",
    ),
    (
        "serve/policies",
        "A path of policies that `serve` is given leads nowhere.",
    ),
    (
        "serve/start",
        "The server cannot start; the message says why.",
    ),
    (
        "serve/traces",
        "The endpoint that traces are sent to, or a variable about it, cannot be used.",
    ),
];

/// All codes with their meanings.
pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    let tables = [
        &CODES[..],
        &policy::codes::CODES,
        &manifest::CODES,
        &suite::CODES,
    ];
    let rules = lint::RULES.iter().map(|rule| (rule.code, rule.what));
    tables.into_iter().flatten().copied().chain(rules)
}

/// What a rule of `lint` finds, why that matters and how to mend it.
fn documentation(rule: &Rule) -> String {
    let severity = match rule.severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    let example: Vec<String> = rule
        .example
        .lines()
        .map(|line| format!("  {line}"))
        .collect();
    format!(
        "{} ({severity})\n\n{}\n\nWhy: {}\n\nHow to fix: {}\n\nExample:\n{}\n",
        rule.code,
        rule.what,
        rule.why,
        rule.fix,
        example.join("\n")
    )
}

/// Says what a code means.
pub(super) fn explain(code: &str) -> Result<String, Unknown> {
    let code = code.trim_matches(['[', ']']);
    let known = all().find(|(known, _)| known.eq_ignore_ascii_case(code));
    if let Some((code, _)) = known
        && let Some(rule) = Rule::named(code)
    {
        return Ok(documentation(rule));
    }
    if let Some((code, meaning)) = known {
        return Ok(format!("{code}\n\n{meaning}\n"));
    }
    let help = match nearest(code, all().map(|(known, _)| known)) {
        Some(known) => format!("did you mean `{known}`?"),
        None => "a finding without a `/` in its code is named after the policy that was violated; \
                 the description of that is in the policy"
            .to_owned(),
    };
    Err(Unknown {
        message: format!("there is no code `{code}`"),
        help,
    })
}
