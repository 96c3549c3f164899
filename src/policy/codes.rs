//! The codes of findings about policies, with what each one means.

/// Every code of reading and validating policies, in alphabetical order, with its meaning.
pub const CODES: [(&str, &str); 56] = [
    (
        "exception/expired",
        "A PolicyException has ended, and excuses nothing any more.",
    ),
    (
        "exception/expires-soon",
        "A PolicyException ends within the days that are asked about, by default 14.",
    ),
    (
        "exception/malformed-expiry",
        "The `expires` of a PolicyException is no date and no time.",
    ),
    (
        "exception/not-an-exception",
        "A policy lies where only PolicyExceptions are read.",
    ),
    (
        "exception/too-wide",
        "A PolicyException is about every policy, or about every object of its resources.",
    ),
    (
        "exception/unapplied",
        "The condition of a PolicyException could not be evaluated, and it excused nothing.",
    ),
    (
        "exception/unknown-policy",
        "A PolicyException names a policy that is not there, or of which nothing can be excused.",
    ),
    (
        "exception/unused",
        "A PolicyException in force was not needed by any object of the run.",
    ),
    (
        "policy/duplicate-name",
        "Two policies, bindings, variables, match conditions or audit annotations have one name.",
    ),
    (
        "policy/duplicate-value",
        "A list that is a set has a value twice.",
    ),
    (
        "policy/empty-expression",
        "A CEL expression was expected, and there is none.",
    ),
    (
        "policy/exclusive",
        "Two things were written of which there can only be one.",
    ),
    (
        "policy/front-matter-misplaced",
        "Front matter stands below a section, or there are two.",
    ),
    (
        "policy/front-matter-not-closed",
        "The front matter has no closing `// ---`.",
    ),
    (
        "policy/invalid-label",
        "A label or annotation has a key or value that Kubernetes refuses.",
    ),
    (
        "policy/invalid-message",
        "A message is blank or has line breaks.",
    ),
    (
        "policy/invalid-name",
        "A name breaks the rules of Kubernetes or of CEL for such a name.",
    ),
    (
        "policy/malformed-kind",
        "An entry of `reads` is no `group/version/Kind`.",
    ),
    (
        "policy/malformed-resource",
        "An entry of `resources` is no `group/version/resource`.",
    ),
    (
        "policy/misplaced-section",
        "A `@message` or `@reason` does not belong to one `@require`.",
    ),
    (
        "policy/missing-text",
        "A section needs a text behind its keyword and has none.",
    ),
    (
        "policy/no-sections",
        "A `.cel` file decides, records and changes nothing.",
    ),
    (
        "policy/not-allowed",
        "A field was written that must not be written here.",
    ),
    (
        "policy/not-an-object",
        "A document is no Kubernetes object and was passed over.",
    ),
    (
        "policy/not-evaluated",
        "A policy of another project is written in a language that is not evaluated.",
    ),
    (
        "policy/not-loaded",
        "The configuration speaks of a policy that is not loaded.",
    ),
    ("policy/not-text", "The file is not a UTF-8 text."),
    (
        "policy/overlap",
        "A wildcard stands beside something it covers already.",
    ),
    (
        "policy/required",
        "A field that must be written is missing or empty.",
    ),
    (
        "policy/text-before-section",
        "A `.cel` file has text before its first section.",
    ),
    (
        "policy/too-deep",
        "Lists of objects are nested in each other too deeply.",
    ),
    (
        "policy/too-long",
        "An expression is longer than Kubernetes allows.",
    ),
    (
        "policy/too-many",
        "A list has more items than Kubernetes allows.",
    ),
    (
        "policy/unexpected-text",
        "A section has a text or an expression where it takes none.",
    ),
    (
        "policy/unknown-action",
        "An action is none of `deny`, `warn`, `audit`.",
    ),
    (
        "policy/unknown-failure-policy",
        "A failure policy is none of `Fail`, `Ignore`.",
    ),
    (
        "policy/unknown-key",
        "A mapping has a key that means nothing there.",
    ),
    (
        "policy/unknown-kind",
        "`admissionregistration.k8s.io` has no such kind.",
    ),
    (
        "policy/unknown-match-policy",
        "A match policy is none of `Exact`, `Equivalent`.",
    ),
    (
        "policy/unknown-not-found-action",
        "An action for missing parameters is unknown.",
    ),
    (
        "policy/unknown-operation",
        "An operation is unknown, or a mutation cannot be about it.",
    ),
    (
        "policy/unknown-pack",
        "The configuration names a pack that does not exist: a folder with policies.",
    ),
    (
        "policy/unknown-patch-type",
        "A patch type is none of `JSONPatch`, `ApplyConfiguration`.",
    ),
    (
        "policy/unknown-profile",
        "A profile is none of `baseline`, `production`, `strict`.",
    ),
    (
        "policy/unknown-reason",
        "A reason is not one that Kubernetes allows for a validation.",
    ),
    (
        "policy/unknown-reinvocation-policy",
        "A reinvocation policy is unknown.",
    ),
    (
        "policy/unknown-scope",
        "A scope is none of those that can be written here.",
    ),
    (
        "policy/unknown-section",
        "A line begins with `// @` and a word that is no section.",
    ),
    (
        "policy/unknown-selector-operator",
        "A label selector has an operator that does not exist.",
    ),
    (
        "policy/unknown-setting",
        "The configuration has a setting that its policy does not have.",
    ),
    ("policy/unknown-severity", "A severity is unknown."),
    (
        "policy/unknown-validation-action",
        "An action is none of `Deny`, `Warn`, `Audit`.",
    ),
    (
        "policy/unknown-version",
        "`admissionregistration.k8s.io` has no such version.",
    ),
    (
        "policy/wrong-setting",
        "The configuration gives a setting a value of another type than the policy does.",
    ),
    (
        "policy/wrong-type",
        "A value is of another type than its field.",
    ),
    (
        "policy/yaml",
        "A text is no YAML or JSON; the message says what is wrong with it.",
    ),
];

/// Returns what `code` means, if it is one of these.
pub fn meaning(code: &str) -> Option<&'static str> {
    CODES
        .iter()
        .find(|(known, _)| *known == code)
        .map(|(_, meaning)| *meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_in_order_and_no_code_is_there_twice() {
        for pair in CODES.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} {}", pair[0].0, pair[1].0);
        }
    }
}
