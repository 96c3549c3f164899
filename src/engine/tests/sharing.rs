//! What policies share must not be seen: a verdict is that of each policy alone.

use super::*;
use crate::engine::observer::{Held, Observer};
use crate::policy::compile::CompiledPolicy;

/// A verdict as far as anybody sees it.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    messages: Vec<String>,
    annotations: Vec<(String, String)>,
    matched: usize,
    cost: u64,
}

impl Seen {
    fn add(&mut self, verdict: &Verdict) {
        let named = verdict.decisions.iter().zip(messages(verdict));
        let named = named.map(|(it, message)| format!("{}: {message}", it.policy.policy.name));
        self.messages.extend(named);
        let annotations = verdict.audit_annotations.iter().cloned();
        self.annotations.extend(annotations);
        self.matched += verdict.matched;
        self.cost += verdict.cost;
    }
}

const SECTIONS: [(&str, &str); 9] = [
    (
        "",
        "// @require r\nobject.spec.replicas >= 3\n// @require s\nobject.spec.replicas > 0",
    ),
    (
        "",
        "// @require r\nobject.missing == 1\n// @require s\nfalse",
    ),
    (
        "failurePolicy: Ignore",
        "// @require r\nobject.missing == 1",
    ),
    (
        "",
        "// @let many\nobject.spec.replicas + 1\n// @require r\nvariables.many > 2 && variables.many > 1\n\
         // @message\n'has ' + string(variables.many)\n// @require s\nvariables.many > 5",
    ),
    (
        "",
        "// @let bad\nobject.missing\n// @require r\nvariables.bad == 1\n// @require s\nvariables.bad == 2",
    ),
    // One text, evaluated before and after the namespace is known.
    (
        "",
        "// @when w\nnamespaceObject == null\n// @require r\nnamespaceObject == null",
    ),
    (
        "settings: {least: 1}",
        "// @require r\nobject.spec.replicas >= settings.least",
    ),
    (
        "settings: {least: 2}",
        "// @require r\nobject.spec.replicas >= settings.least",
    ),
    (
        "",
        "// @require r\n[1, 2, 3].all(x, [1, 2, 3].exists(y, x == y)) && !['a'].exists(x, x == object.kind)\n\
         // @message\nobject.kind + ' ' + object.metadata.name\n// @require s\nobject.kind != object.kind",
    ),
];

#[test]
fn policies_that_say_the_same_decide_as_each_alone() {
    let files: Vec<(String, String)> = (0..SECTIONS.len() * 3)
        .map(|at| {
            let (front_matter, sections) = SECTIONS[at % SECTIONS.len()];
            (format!("p{at:02}.cel"), cel(front_matter, sections))
        })
        .collect();
    let files: Vec<(&str, String)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.clone()))
        .collect();
    let (body, cluster) = (body(&[]), Objects::default());
    let (mut together, mut apart) = (Seen::default(), Seen::default());
    let all = set(&files);
    let shared = all.policies().iter().flat_map(|it| &it.validations);
    assert!(shared.filter(|it| it.expression.is_common()).count() > 20);
    together.add(&decide(&all, &body, &cluster));
    for file in &files {
        apart.add(&decide(&set(std::slice::from_ref(file)), &body, &cluster));
    }
    assert_eq!(together, apart);
    assert_eq!(together.matched, files.len());
    assert!(together.messages.len() > files.len());
}

/// Watches, so that nothing is left out, and makes nothing of it.
struct Watching;

impl Observer for Watching {
    fn applies(&mut self, _: &CompiledPolicy) {}

    fn validated(&mut self, _: &CompiledPolicy, _: usize, _: Held) {}

    fn failed(&mut self, _: &CompiledPolicy, _: &str) {}
}

#[test]
fn many_bindings_decide_as_if_each_were_evaluated() {
    let head = "apiVersion: admissionregistration.k8s.io/v1\n";
    let policy = |name: &str, more: &str| {
        format!(
            "{head}kind: ValidatingAdmissionPolicy\nmetadata: {{name: {name}}}\nspec:\n{more}  \
             matchConstraints: {{resourceRules: [{{apiGroups: [apps], apiVersions: [v1], operations: ['*'], resources: [deployments]}}]}}\n  \
             variables: [{{name: many, expression: object.spec.replicas + 1}}]\n  \
             validations:\n  - expression: object.spec.replicas > 1\n    message: fixed\n"
        )
    };
    let takes = "  paramKind: {apiVersion: v1, kind: ConfigMap}\n";
    let reads = "  - expression: variables.many > int(params.data.least)\n    \
                 messageExpression: \"'least ' + params.data.least\"\n  \
                 auditAnnotations: [{key: seen, valueExpression: \"'least ' + params.data.least\"}]\n";
    let mut text = format!(
        "{}---\n{}{reads}",
        policy("plain", ""),
        policy("takes", takes)
    );
    for at in 0..4 {
        text.push_str(&format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{at}, namespace: prod, labels: {{l: x}}}}\n\
             data: {{least: '{at}'}}\n"
        ));
    }
    let selects = [
        ("plain", ""),
        ("plain", ""),
        (
            "takes",
            "paramRef: {name: c0, parameterNotFoundAction: Deny}",
        ),
        (
            "takes",
            "paramRef: {name: c3, parameterNotFoundAction: Deny}",
        ),
        (
            "takes",
            "paramRef: {name: c3, parameterNotFoundAction: Deny}",
        ),
        (
            "takes",
            "paramRef: {name: c4, parameterNotFoundAction: Deny}",
        ),
        (
            "takes",
            "paramRef: {selector: {matchLabels: {l: x}}, parameterNotFoundAction: Deny}",
        ),
    ];
    for (at, (name, reference)) in selects.iter().enumerate() {
        text.push_str(&format!(
            "---\n{head}kind: ValidatingAdmissionPolicyBinding\nmetadata: {{name: b{at}}}\n\
             spec:\n  policyName: {name}\n  validationActions: [Deny, Audit]\n  {reference}\n"
        ));
    }
    let set = set(&[("p.yaml", text)]);
    let (body, cluster) = (body(&[]), Objects::default());
    let request = review::parse(&body).unwrap();
    let options = Options::new(&cluster);
    let (mut once, mut each) = (Seen::default(), Seen::default());
    once.add(&validate(&set, &request, options).unwrap());
    each.add(&validate_observed(&set, &request, options, &mut Watching).unwrap());
    assert_eq!(once, each);
    assert_eq!(once.matched, 2);
    let of = |text: &str| once.messages.iter().filter(|it| it.contains(text)).count();
    // Two bindings of the one, and 3 with a parameter and one with 4 of the other.
    assert_eq!(
        (of("plain: "), of(": fixed"), of("least 3")),
        (2, 9, 3),
        "{once:?}"
    );
    assert_eq!(of("no params found"), 1, "{once:?}");
}
