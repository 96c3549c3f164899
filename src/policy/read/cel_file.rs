//! Reads a `.cel` file: one policy, or a validating and a mutating one of the same name.

use std::sync::Arc;

use crate::diagnostics::Diagnostic;
use crate::policy::model::{
    Audience, AuditAnnotation, Binding, Documents, Form, MatchCondition, Mutation, Origin, Policy,
    PolicyKind, PolicyScope, Reason, Validation, Variable,
};
use crate::policy::places::Places;
use crate::policy::read::admission::REASONS;
use crate::policy::read::front_matter::{self, FrontMatter};
use crate::policy::read::kubernetes::syntax_error;
use crate::policy::read::reader::Reader;
use crate::policy::read::sections::{self, Keyword, Outline, Section};
use crate::text::yaml;
use crate::text::{Fragment, Source, Span};

/// Reads the policy or policies of a file, each with its binding.
pub(super) fn read(source: &Arc<Source>) -> (Documents, Vec<Diagnostic>) {
    let (outline, diagnostics) = sections::outline(source);
    let mut reader = Reader::new(source);
    reader.diagnostics = diagnostics;
    let front_matter = read_front_matter(&mut reader, &outline);
    let mut body = Body::default();
    for section in &outline.sections {
        body.section(&mut reader, section);
    }
    body.check_deciding(&mut reader, &outline);
    body.check_scope(&mut reader, &front_matter);
    let documents = assemble(&mut reader, &outline, front_matter, body);
    (documents, reader.diagnostics)
}

fn read_front_matter(reader: &mut Reader<'_>, outline: &Outline) -> FrontMatter {
    let Some(written) = &outline.front_matter else {
        let start = outline
            .sections
            .first()
            .map_or(Span::default(), |section| section.keyword_span);
        // A file without a section is no policy yet; that is said instead.
        if !outline.sections.is_empty() {
            reader.error(
                start,
                "policy/required",
                "the front matter is missing",
                "say above the sections, in comments between two `// ---` lines, which resources \
                 the policy is about: `match: {resources: [apps/v1/deployments]}`",
            );
        }
        return FrontMatter::default();
    };
    reader.front_matter = written.fence;
    let stream = yaml::parse_embedded(reader.source, &written.text, &|at| written.place(at));
    let unreadable = !stream.errors.is_empty();
    for error in stream.errors {
        reader.diagnostics.push(syntax_error(reader.source, error));
    }
    let mut documents = stream.documents.iter();
    let read = match documents.next() {
        Some(document) => {
            let root = reader.root(document);
            front_matter::read(reader, &root)
        }
        None => {
            if !unreadable {
                reader.error(
                    written.fence,
                    "policy/required",
                    "`match` is missing",
                    "say which resources the policy is about: `match: {resources: \
                     [apps/v1/deployments]}`",
                );
            }
            FrontMatter::default()
        }
    };
    if let Some(document) = documents.next() {
        reader.error(
            Span::new(document.span.start, document.span.start),
            "policy/yaml",
            "front matter is one YAML document",
            "write all keys into the first one",
        );
    }
    read
}

/// What the sections give.
#[derive(Default)]
struct Body {
    match_conditions: Vec<MatchCondition>,
    variables: Vec<Variable>,
    validations: Vec<Validation>,
    audit_annotations: Vec<AuditAnnotation>,
    mutations: Vec<Mutation>,
    /// The first section that changes the object.
    first_mutation: Option<Span>,
    /// Whether the sections since the last `@require` all belong to it.
    in_require: InRequire,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum InRequire {
    #[default]
    No,
    Yes,
}

impl Body {
    fn section(&mut self, reader: &mut Reader<'_>, section: &Section) {
        let belongs = self.in_require;
        self.in_require = match section.keyword {
            Keyword::Require => InRequire::Yes,
            Keyword::Message | Keyword::Reason => belongs,
            _ => InRequire::No,
        };
        match section.keyword {
            Keyword::When => self.when(reader, section),
            Keyword::Let => self.variable(reader, section),
            Keyword::Require => self.require(reader, section),
            Keyword::Message => self.message(reader, section, belongs),
            Keyword::Reason => self.reason(reader, section, belongs),
            Keyword::Audit => self.audit(reader, section),
            Keyword::Patch | Keyword::Apply => self.mutation(reader, section),
        }
    }

    fn when(&mut self, reader: &mut Reader<'_>, section: &Section) {
        let path = format!("spec.matchConditions[{}]", self.match_conditions.len());
        note(reader, &path, "name", section);
        let help = "say what it selects: `// @when the workload is Meshery's own`";
        require_text(reader, section, help);
        self.match_conditions.push(MatchCondition {
            name: section.text.clone(),
            expression: expression(reader, section, &format!("{path}.expression")),
        });
    }

    fn variable(&mut self, reader: &mut Reader<'_>, section: &Section) {
        let path = format!("spec.variables[{}]", self.variables.len());
        note(reader, &path, "name", section);
        require_text(reader, section, "name the variable: `// @let floor`");
        self.variables.push(Variable {
            name: section.text.clone(),
            name_span: section.text_span,
            expression: expression(reader, section, &format!("{path}.expression")),
        });
    }

    fn require(&mut self, reader: &mut Reader<'_>, section: &Section) {
        let path = format!("spec.validations[{}]", self.validations.len());
        note(reader, &path, "message", section);
        let help = "say what must hold: `// @require at least three replicas`";
        require_text(reader, section, help);
        self.validations.push(Validation {
            expression: expression(reader, section, &format!("{path}.expression")),
            message: Some(section.text.clone()).filter(|text| !text.is_empty()),
            message_expression: None,
            reason: None,
        });
    }

    fn message(&mut self, reader: &mut Reader<'_>, section: &Section, belongs: InRequire) {
        if !section.text.is_empty() {
            reader.error(
                section.text_span,
                "policy/unexpected-text",
                "`@message` is an expression on the lines below it",
                "a message that is always the same is the text of `@require`",
            );
        }
        let index = self.validations.len().saturating_sub(1);
        let path = format!("spec.validations[{index}].messageExpression");
        let expression = expression(reader, section, &path);
        let Some(validation) = self.last_validation(reader, section, belongs) else {
            return;
        };
        if validation.message_expression.is_some() {
            second(reader, section);
        } else {
            validation.message_expression = Some(expression);
        }
    }

    fn reason(&mut self, reader: &mut Reader<'_>, section: &Section, belongs: InRequire) {
        if section.body.start < section.body.end {
            reader.error(
                crate::policy::places::first_line(reader.source, section.body),
                "policy/unexpected-text",
                "`@reason` has no expression",
                "open a section for it, such as `// @message`",
            );
        }
        let names = REASONS.map(|(name, _)| format!("`{name}`")).join(", ");
        let reason: Option<Reason> = if section.text.is_empty() {
            require_text(reader, section, &format!("one of {names}"));
            None
        } else {
            reader.choose(&section.text, section.text_span, "reason", &REASONS)
        };
        let Some(validation) = self.last_validation(reader, section, belongs) else {
            return;
        };
        if validation.reason.is_some() {
            second(reader, section);
        } else {
            validation.reason = reason;
        }
    }

    /// Returns the validation a `@message` or `@reason` is about.
    fn last_validation(
        &mut self,
        reader: &mut Reader<'_>,
        section: &Section,
        belongs: InRequire,
    ) -> Option<&mut Validation> {
        if belongs == InRequire::No {
            let name = section.keyword.name();
            reader.error(
                section.keyword_span,
                "policy/misplaced-section",
                format!("`@{name}` does not follow a `@require`"),
                "write it right below the `@require` it is about",
            );
            return None;
        }
        self.validations.last_mut()
    }

    fn audit(&mut self, reader: &mut Reader<'_>, section: &Section) {
        let path = format!("spec.auditAnnotations[{}]", self.audit_annotations.len());
        note(reader, &path, "key", section);
        require_text(reader, section, "name the annotation: `// @audit replicas`");
        self.audit_annotations.push(AuditAnnotation {
            key: section.text.clone(),
            value_expression: expression(reader, section, &format!("{path}.valueExpression")),
        });
    }

    fn mutation(&mut self, reader: &mut Reader<'_>, section: &Section) {
        if !section.text.is_empty() {
            let name = section.keyword.name();
            reader.error(
                section.text_span,
                "policy/unexpected-text",
                format!("`@{name}` is an expression on the lines below it"),
                "write this as a comment below",
            );
        }
        self.first_mutation.get_or_insert(section.keyword_span);
        let path = format!("spec.mutations[{}]", self.mutations.len());
        self.mutations.push(if section.keyword == Keyword::Patch {
            let path = format!("{path}.jsonPatch.expression");
            Mutation::JsonPatch(expression(reader, section, &path))
        } else {
            let path = format!("{path}.applyConfiguration.expression");
            Mutation::ApplyConfiguration(expression(reader, section, &path))
        });
    }

    /// A policy decides, records or changes something.
    fn check_deciding(&self, reader: &mut Reader<'_>, outline: &Outline) {
        let decides = !(self.validations.is_empty()
            && self.audit_annotations.is_empty()
            && self.mutations.is_empty());
        // Where text or a section was not understood, that may be what decides.
        let unread = ["policy/text-before-section", "policy/unknown-section"];
        let explained = |diagnostic: &Diagnostic| unread.contains(&diagnostic.code.as_str());
        if decides || reader.diagnostics.iter().any(explained) {
            return;
        }
        let last = outline.sections.last();
        let end = reader.source.text().trim_end().len();
        reader.error(
            last.map_or(Span::new(end, end), |section| section.keyword_span),
            "policy/no-sections",
            "the policy decides nothing",
            "add a `// @require WHAT MUST HOLD` section, or `@audit`, `@patch`, `@apply`",
        );
    }

    fn check_scope(&self, reader: &mut Reader<'_>, front_matter: &FrontMatter) {
        if let (PolicyScope::Cluster, Some(span)) = (front_matter.scope, self.first_mutation) {
            reader.error(
                span,
                "policy/exclusive",
                "a policy with `scope: cluster` changes nothing",
                "it is evaluated once per scan, without an object; move the mutation to its own \
                 file",
            );
        }
    }
}

/// Notes where the text of a section stands: it is the field `field` of the item at `path`.
fn note(reader: &mut Reader<'_>, path: &str, field: &str, section: &Section) {
    let keyword = section.keyword_span;
    reader.places.note(path, Some(keyword), keyword);
    let text = if section.text.is_empty() {
        keyword
    } else {
        section.text_span
    };
    reader.places.note(format!("{path}.{field}"), None, text);
}

/// Returns the expression of a section, which is the field at `path`.
fn expression(reader: &mut Reader<'_>, section: &Section, path: &str) -> Fragment {
    let fragment = Fragment::verbatim(reader.source, section.body);
    if fragment.text.is_empty() {
        let name = section.keyword.name();
        reader.error(
            section.keyword_span,
            "policy/empty-expression",
            format!("`@{name}` has no expression"),
            "write a CEL expression on the lines below",
        );
    }
    reader
        .places
        .note(path, Some(section.keyword_span), section.body);
    fragment
}

fn require_text(reader: &mut Reader<'_>, section: &Section, help: &str) {
    if section.text.is_empty() {
        let name = section.keyword.name();
        reader.error(
            section.keyword_span,
            "policy/missing-text",
            format!("`@{name}` needs a text behind it"),
            help,
        );
    }
}

fn second(reader: &mut Reader<'_>, section: &Section) {
    let name = section.keyword.name();
    reader.error(
        section.keyword_span,
        "policy/misplaced-section",
        format!("the `@require` has a `@{name}` already"),
        "keep one of them",
    );
}

/// Puts the policies and their bindings together.
fn assemble(
    reader: &mut Reader<'_>,
    outline: &Outline,
    front_matter: FrontMatter,
    body: Body,
) -> Documents {
    let places = std::mem::take(&mut reader.places);
    let header = outline.sections.first().map(|section| section.keyword_span);
    let name_span = places.value("metadata.name");
    let fence = outline.front_matter.as_ref().map(|front| front.fence);
    let span = name_span.or(fence).or(header).unwrap_or_default();
    let mut common = common(reader, front_matter, &outline.description);
    common.policy.origin.span = span;
    common.policy.places = places.clone();
    common.policy.match_conditions = body.match_conditions;
    common.policy.variables = body.variables;
    common.binding.origin = common.policy.origin.clone();
    common.binding.places = places;

    let mut documents = Documents::default();
    let mutating = !body.mutations.is_empty();
    let validating = !body.validations.is_empty() || !body.audit_annotations.is_empty();
    if validating || !mutating {
        documents.policies.push(Policy {
            validations: body.validations,
            audit_annotations: body.audit_annotations,
            ..common.policy.clone()
        });
        documents.bindings.push(common.binding.clone());
    }
    if mutating {
        documents.policies.push(Policy {
            kind: PolicyKind::Mutating,
            mutations: body.mutations,
            ..common.policy
        });
        let is_audited = common.binding.is_audited();
        let written = std::mem::take(&mut common.binding.validation_actions);
        documents.bindings.push(Binding {
            kind: PolicyKind::Mutating,
            validation_actions: if is_audited { written } else { Vec::new() },
            ..common.binding
        });
    }
    documents
}

/// A policy and its binding without what the sections say.
struct Common {
    policy: Policy,
    binding: Binding,
}

fn common(reader: &Reader<'_>, front_matter: FrontMatter, description: &str) -> Common {
    let name = front_matter
        .name
        .unwrap_or_else(|| stem(reader.source.name()).to_owned());
    let origin = Origin {
        source: Arc::clone(reader.source),
        span: Span::default(),
        form: Form::Cel,
    };
    let mut about = front_matter.about;
    about.description = description.to_owned();
    let policy = Policy {
        name: name.clone(),
        kind: PolicyKind::Validating,
        origin: origin.clone(),
        places: Places::default(),
        reading: reader.reading(),
        about,
        scope: front_matter.scope,
        match_constraints: front_matter.match_constraints,
        match_conditions: Vec::new(),
        variables: Vec::new(),
        validations: Vec::new(),
        audit_annotations: Vec::new(),
        mutations: Vec::new(),
        failure_policy: front_matter.failure_policy,
        param_kind: front_matter.param_kind,
        settings: front_matter.settings,
        reads: front_matter.reads,
        pods: front_matter.pods,
        reinvocation_policy: front_matter.reinvocation_policy,
        mutate: front_matter.mutate,
    };
    let binding = Binding {
        name: name.clone(),
        kind: PolicyKind::Validating,
        policy_name: name,
        origin,
        places: Places::default(),
        reading: reader.reading(),
        param_ref: front_matter.param_ref,
        match_resources: None,
        validation_actions: front_matter.actions,
        audience: Audience::Callers,
    };
    Common { policy, binding }
}

/// Returns the file's name without its folder and `.cel`.
fn stem(name: &str) -> &str {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let end = file.len().saturating_sub(".cel".len());
    match (file.get(..end), file.get(end..)) {
        (Some(stem), Some(extension)) if extension.eq_ignore_ascii_case(".cel") => stem,
        _ => file,
    }
}
