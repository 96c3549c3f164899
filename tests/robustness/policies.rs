//! Policies made to break whoever reads and compiles them.

use std::fmt::Write as _;

/// A file of policies.
pub(crate) struct PolicyFile {
    /// What is tried.
    pub(crate) name: &'static str,
    /// How the file's name ends.
    pub(crate) extension: &'static str,
    pub(crate) text: String,
}

/// A `.cel` policy with other sections than usual.
fn sections(sections: &str) -> String {
    format!(
        "// A policy.\n//\n// ---\n// match: {{resources: [v1/configmaps]}}\n// ---\n\n{sections}"
    )
}

/// A policy as YAML with its `spec` given.
fn spec(spec: &str) -> String {
    format!(
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\n\
         metadata: {{name: a}}\nspec: {spec}\n---\n\
         apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\n\
         metadata: {{name: a}}\nspec: {{policyName: a, validationActions: [Deny]}}\n"
    )
}

const MATCH: &str = "matchConstraints: {resourceRules: [{apiGroups: [''], apiVersions: [v1], \
     resources: [configmaps], operations: ['*']}]}";

/// Variables of which each holds the one before twice.
fn doubling(count: usize, of: impl Fn(usize) -> String) -> String {
    let mut text = "// @let v0\n[1]\n".to_owned();
    for at in 1..=count {
        // A String cannot fail to be written to.
        let _ = writeln!(text, "// @let v{at}\n{}", of(at - 1));
    }
    let _ = writeln!(
        text,
        "// @require something\nvariables.v{count} == variables.v{count}"
    );
    sections(&text)
}

/// All files.
pub(crate) fn all() -> Vec<PolicyFile> {
    let cel = |name, text| PolicyFile {
        name,
        extension: "cel",
        text,
    };
    let yaml = |name, text| PolicyFile {
        name,
        extension: "yaml",
        text,
    };
    let require = |expression: &str| sections(&format!("// @require something\n{expression}\n"));
    let bomb: String = (1..30)
        .map(|at| format!("a{at}: &a{at} [*a{0}, *a{0}]\n", at - 1))
        .collect();
    vec![
        cel("an empty file", String::new()),
        cel("line breaks only", "\n".repeat(1_000_000)),
        cel("a line of a megabyte", "a".repeat(1_000_000)),
        cel("null bytes", "\0".repeat(100_000)),
        cel("comments only", "// a\n".repeat(200_000)),
        cel("front matter that does not end", "// ---\n".to_owned() + &"// a: 1\n".repeat(50_000)),
        cel(
            "front matter of brackets",
            format!("// ---\n// match: {}\n// ---\n", "[".repeat(50_000)),
        ),
        cel(
            "front matter of aliases",
            format!("// ---\n// a0: &a0 [x]\n{}// ---\n", bomb.lines().fold(String::new(), |all, line| all + "// " + line + "\n")),
        ),
        cel("many sections", sections(&"// @require a thing\ntrue\n".repeat(20_000))),
        cel("many unknown sections", sections(&"// @reqire a thing\ntrue\n".repeat(5_000))),
        cel("many wrong expressions", sections(&"// @require a thing\n1 + 'a' + b\n".repeat(5_000))),
        cel("many variables", sections(&(0..5_000).map(|at| format!("// @let v{at}\n{at}\n")).collect::<String>())),
        cel("a chain of variables", doubling(2_000, |at| format!("[variables.v{at}]"))),
        cel("variables that double", doubling(100, |at| format!("[variables.v{at}, variables.v{at}]"))),
        cel(
            "variables that double a map",
            doubling(100, |at| format!("dyn({{'a': variables.v{at}, 'b': variables.v{at}}})")),
        ),
        cel(
            "variables that double a type",
            doubling(100, |at| format!("[variables.v{at}].map(x, {{x: x}})")),
        ),
        cel("texts that double", doubling(60, |at| format!("variables.v{at} + variables.v{at}"))),
        cel("a bind in a bind", require(&("cel.bind(x, [1], ".repeat(100) + "true" + &")".repeat(100)))),
        cel(
            "binds that double",
            require(&format!(
                "cel.bind(x0, [1], {}x60 == x60{})",
                (1..=60).map(|at| format!("cel.bind(x{at}, [x{0}, x{0}], ", at - 1)).collect::<String>(),
                ")".repeat(60)
            )),
        ),
        cel("parentheses", require(&"(".repeat(99_000))),
        cel("a sum", require(&format!("1{} > 0", "+1".repeat(40_000)))),
        cel("a message of loops", sections("// @require a\nfalse\n// @message\nlists.range(1000).map(x, lists.range(1000).map(y, string(y)).join(',')).join(',')\n")),
        cel("a loop without an end", require("lists.range(1000000).all(x, lists.range(1000000).all(y, x + y >= 0))")),
        yaml("aliases of aliases", format!("a0: &a0 [x]\n{bomb}")),
        yaml("brackets", "[".repeat(500_000)),
        yaml("mappings", "{a: ".repeat(200_000)),
        yaml("many documents", "---\n".repeat(200_000)),
        yaml("many validations", spec(&format!("{{{MATCH}, validations: [{}]}}", "{expression: 'true'}, ".repeat(20_000)))),
        yaml("many rules", spec(&format!("{{matchConstraints: {{resourceRules: [{}]}}, validations: [{{expression: 'true'}}]}}", "{apiGroups: [''], apiVersions: [v1], resources: [configmaps], operations: ['*']}, ".repeat(10_000)))),
        yaml("a spec that is a text", spec(&format!("'{}'", "a".repeat(500_000)))),
        yaml("an expression that is a list", spec(&format!("{{{MATCH}, validations: [{{expression: [[[]]]}}]}}"))),
        yaml("many policies", (0..2_000).map(|_| spec(&format!("{{{MATCH}, validations: [{{expression: 'true'}}]}}")) + "---\n").collect()),
        yaml("deep JSON", "{\"a\":".repeat(100_000) + "1" + &"}".repeat(100_000)),
        yaml("bytes that are no text", "\u{fffe}\u{feff}\u{1}".repeat(10_000)),
    ]
}
