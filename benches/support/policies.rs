//! The policies that are measured: each with constants of its own, so that no two are the same.

#![allow(dead_code, reason = "each benchmark uses some of them")]

use std::fmt::Write as _;
use std::sync::Arc;

use portcullis::text::Source;

/// A `.cel` policy of three expressions with messages, which hold for the Deployment.
pub(crate) fn cel(at: usize, resource: &str) -> Arc<Source> {
    let text = format!(
        "// Policy {at}: workloads of production stay up, within bounds, and can be told apart.\n\
         // ---\n\
         // match:\n\
         //   resources: [{resource}]\n\
         //   operations: [CREATE, UPDATE]\n\
         // ---\n\n\
         // @require at least three replicas, and not {most}\n\
         object.spec.replicas >= 3 && object.spec.replicas < {most}\n\n\
         // @require limits on every container but `exempt-{at}`\n\
         object.spec.template.spec.containers.all(c, c.name == 'exempt-{at}' ||\n  \
         (has(c.resources) && has(c.resources.limits)))\n\n\
         // @require no image tagged latest or {at}\n\
         object.spec.template.spec.containers.all(c, !c.image.endsWith(':latest') &&\n  \
         !c.image.endsWith(':{at}'))\n",
        most = 1000 + at,
    );
    Source::new(format!("policy-{at}.cel"), text)
}

/// A `.cel` policy that changes the Deployment: a label of its own, by an operation, or a variable of its
/// own in every container, by a configuration.
pub(crate) fn mutating(at: usize) -> Arc<Source> {
    let mutation = match at % 2 {
        0 => format!(
            "// @patch\n[JSONPatch{{op: 'add', path: '/metadata/labels/label-{at}', value: \
             object.metadata.name}}]\n"
        ),
        _ => format!(
            "// @apply\nObject{{spec: Object.spec{{template: Object.spec.template{{spec: \
             Object.spec.template.spec{{\n  containers: object.spec.template.spec.containers.map(c, \
             Object.spec.template.spec.containers{{\n    name: c.name, env: \
             [Object.spec.template.spec.containers.env{{name: 'OWN_{at}', value: c.name}}]}})\n}}}}}}}}\n"
        ),
    };
    let text = format!(
        "// ---\n// match: {{resources: [apps/v1/deployments], operations: [CREATE, UPDATE]}}\n\
         // mutate: true\n// ---\n\n{mutation}"
    );
    Source::new(format!("mutating-{at}.cel"), text)
}

/// What typical policies require, with a number that makes three of each; all hold for the
/// Deployment.
const RULES: [(&str, &str); 20] = [
    ("at least {n} replicas", "object.spec.replicas >= {n}"),
    (
        "limits on every container",
        "object.spec.template.spec.containers.all(c, has(c.resources) && has(c.resources.limits) && c.name != 'x{n}')",
    ),
    (
        "images of our registry",
        "object.spec.template.spec.containers.all(c, c.image.matches('^registry[.]example[.]com/.+:v{n}?[0-9]+'))",
    ),
    (
        "values of all variables",
        "object.spec.template.spec.containers.all(c, !has(c.env) || c.env.all(e, has(e.value) && e.value != 'x{n}'))",
    ),
    (
        "labels on the pods",
        "object.?spec.?template.?metadata.?labels.orValue({}).size() < 5{n}",
    ),
    (
        "the same app",
        "object.spec.selector.matchLabels.app == object.spec.template.metadata.labels.app || object.spec.replicas == {n}",
    ),
    (
        "a label app",
        "has(object.metadata.labels) && 'app' in object.metadata.labels && object.metadata.labels.app != 'x{n}'",
    ),
    (
        "no tag latest",
        "!object.spec.template.spec.containers.exists(c, c.image.endsWith(':latest') || c.image.endsWith(':x{n}'))",
    ),
    (
        "known registries",
        "object.spec.template.spec.containers.all(c, ['docker.io/', 'quay{n}.io/', 'registry.example.com/'].exists(p, c.image.startsWith(p)))",
    ),
    (
        "no container named x",
        "object.spec.template.spec.containers.filter(c, c.name.startsWith('x{n}')).size() == 0",
    ),
    (
        "few containers",
        "object.spec.template.spec.containers.map(c, c.name).size() < 1{n}",
    ),
    (
        "a namespace of production",
        "object.metadata.namespace + '/' + object.metadata.name != 'default/web{n}'",
    ),
    (
        "no privileged container",
        "object.spec.template.spec.containers.all(c, !has(c.securityContext) || !has(c.securityContext.privileged) || c.name == 'x{n}')",
    ),
    (
        "no root",
        "object.spec.template.spec.containers.all(c, c.securityContext.runAsNonRoot == true || c.name == 'x{n}')",
    ),
    (
        "probes",
        "object.spec.template.spec.containers.all(c, has(c.livenessProbe) && c.livenessProbe.periodSeconds > {n})",
    ),
    (
        "no host network",
        "!has(object.spec.template.spec.hostNetwork) || object.spec.replicas == {n}",
    ),
    (
        "an owner",
        "object.metadata.?annotations[?'example.com/owner'].orValue('x{n}').endsWith('@example.com')",
    ),
    (
        "bounded memory",
        "object.spec.template.spec.containers.all(c, quantity(c.resources.limits.memory).isLessThan(quantity('{n}Gi')))",
    ),
    (
        "high ports",
        "object.spec.template.spec.containers.all(c, c.ports.all(p, p.containerPort > 1024 || p.name == 'x{n}'))",
    ),
    (
        "a service account",
        "object.spec.template.spec.?serviceAccountName.orValue('default') != 'x{n}'",
    ),
];

/// How many policies a pack has.
pub(crate) const PACK: usize = 60;

/// A ValidatingAdmissionPolicy as packs have them, with its binding: two or three rules, some with
/// match conditions, variables and message expressions.
pub(crate) fn kubernetes(at: usize) -> Arc<Source> {
    let count = 2 + at % 2;
    let mut validations = String::new();
    for step in 0..count {
        let (title, rule) = RULES[(at + step * 7) % RULES.len()];
        let number = (at / RULES.len() + 1).to_string();
        let (title, rule) = (title.replace("{n}", &number), rule.replace("{n}", &number));
        let _ = write!(
            validations,
            "\n  - expression: >-\n      {rule}\n    message: workloads need {title}\n"
        );
        if (at + step).is_multiple_of(4) {
            validations.push_str(
                "    messageExpression: >-\n      object.kind + ' ' + object.metadata.name + ' is not as it must be'\n",
            );
        }
    }
    let conditions = match at % 2 {
        0 => String::new(),
        _ => format!(
            "  matchConditions:\n  - name: not-the-node\n    expression: request.userInfo.username != 'system:node-{at}'\n"
        ),
    };
    let variables = match at % 3 {
        0 => {
            "  variables:\n  - name: containers\n    expression: object.spec.template.spec.containers\n"
        }
        _ => "",
    };
    let validations = match at % 3 {
        0 => validations.replace(
            "object.spec.template.spec.containers",
            "variables.containers",
        ),
        _ => validations,
    };
    let text = format!(
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata:\n  \
         name: policy-{at}.example.com\nspec:\n  failurePolicy: Fail\n  matchConstraints:\n    resourceRules:\n    \
         - apiGroups: [apps]\n      apiVersions: [v1]\n      operations: [CREATE, UPDATE]\n      resources: [deployments]\n\
         {conditions}{variables}  validations:{validations}\
         ---\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata:\n  \
         name: binding-{at}.example.com\nspec:\n  policyName: policy-{at}.example.com\n  validationActions: [Deny]\n"
    );
    Source::new(format!("policy-{at}.yaml"), text)
}

/// One policy with parameters, and bindings to it, each with a ConfigMap of its own.
pub(crate) fn with_params(bindings: usize) -> Vec<Arc<Source>> {
    let policy = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\n\
         metadata: {name: replicas}\nspec:\n  failurePolicy: Fail\n  paramKind: {apiVersion: v1, kind: ConfigMap}\n  \
         matchConstraints:\n    resourceRules:\n    - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments]}\n  \
         validations:\n  - expression: object.spec.replicas >= int(params.data.least)\n    message: too few replicas\n";
    let mut sources = vec![Source::new("policy.yaml", policy)];
    sources.extend((0..bindings).map(|at| {
        let text = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: least-{at}, namespace: prod}}\ndata: {{least: \"{}\"}}\n",
            1 + at % 3
        );
        Source::new(format!("param-{at}.yaml"), text)
    }));
    sources.extend((0..bindings).map(|at| {
        let reference =
            format!("\n  paramRef: {{name: least-{at}, parameterNotFoundAction: Deny}}");
        binding("replicas", at, &reference)
    }));
    sources
}

/// One policy without parameters, and bindings to it.
pub(crate) fn bound(bindings: usize) -> Vec<Arc<Source>> {
    let mut sources = vec![kubernetes(0)];
    sources.extend((1..bindings).map(|at| binding("policy-0.example.com", at, "")));
    sources
}

fn binding(policy: &str, at: usize, more: &str) -> Arc<Source> {
    let text = format!(
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\n\
         metadata: {{name: more-{at}}}\nspec:\n  policyName: {policy}\n  validationActions: [Deny]{more}\n"
    );
    Source::new(format!("binding-{at}.yaml"), text)
}
