//! The expressions that are measured.

/// The expressions of typical policies: fields, quantifiers, patterns, optionals, comparisons.
pub(crate) const EXPRESSIONS: [(&str, &str); 12] = [
    ("replicas", "object.spec.replicas >= 3"),
    (
        "limits",
        "object.spec.template.spec.containers.all(c, has(c.resources) && has(c.resources.limits))",
    ),
    (
        "pattern",
        "object.spec.template.spec.containers.all(c, c.image.matches('^registry[.]example[.]com/.+:v[0-9]+'))",
    ),
    (
        "nested",
        "object.spec.template.spec.containers.all(c, c.env.all(e, has(e.value) && e.value != ''))",
    ),
    (
        "optional",
        "object.?spec.?template.?metadata.?labels.orValue({}).size() > 0",
    ),
    ("equality", "object.spec == object.spec"),
    (
        "label",
        "has(object.metadata.labels) && 'app' in object.metadata.labels",
    ),
    (
        "latest",
        "!object.spec.template.spec.containers.exists(c, c.image.endsWith(':latest'))",
    ),
    (
        "registries",
        "object.spec.template.spec.containers.all(c, \
         ['docker.io/', 'quay.io/', 'registry.example.com/'].exists(p, c.image.startsWith(p)))",
    ),
    (
        "filter",
        "object.spec.template.spec.containers.filter(c, c.name.startsWith('x')).size() == 0",
    ),
    (
        "map",
        "object.spec.template.spec.containers.map(c, c.name).size() > 0",
    ),
    (
        "concat",
        "object.metadata.namespace + '/' + object.metadata.name == 'prod/web'",
    ),
];
