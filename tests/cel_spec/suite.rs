//! The tests as the checkout has them: files in the text format of protocol buffers, read by the
//! checkout's own definitions.

use std::fmt;
use std::path::Path;

use portcullis::cel::types::Type;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage};

use super::types;

/// All tests, and the messages they are made of.
pub(crate) struct Suite {
    pub(crate) pool: DescriptorPool,
    pub(crate) tests: Vec<Test>,
}

/// One test.
pub(crate) struct Test {
    pub(crate) file: String,
    pub(crate) section: String,
    pub(crate) name: String,
    pub(crate) expression: String,
    pub(crate) is_check_only: bool,
    /// The variables that are declared.
    pub(crate) declarations: Vec<(String, Type)>,
    /// The variables that have a value (`cel.expr.Value`).
    pub(crate) bindings: Vec<(String, DynamicMessage)>,
    pub(crate) expected: Expected,
}

/// What a test must give.
pub(crate) enum Expected {
    /// A value (`cel.expr.Value`).
    Value(DynamicMessage),
    /// A value, and the type the checker finds.
    Typed(DynamicMessage, String),
    /// Any error.
    Error,
}

impl fmt::Display for Test {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.file, self.section, self.name)
    }
}

impl Test {
    pub(crate) fn declared(&self, name: &str) -> Option<Type> {
        let mut declarations = self.declarations.iter();
        declarations
            .find(|(declared, _)| declared == name)
            .map(|(_, declared)| *declared)
    }
}

impl Suite {
    /// Reads the checkout in a folder.
    pub(crate) fn read(folder: &Path) -> Self {
        let files = [
            "cel/expr/conformance/test/simple.proto",
            "cel/expr/conformance/proto2/test_all_types.proto",
            "cel/expr/conformance/proto2/test_all_types_extensions.proto",
            "cel/expr/conformance/proto3/test_all_types.proto",
        ];
        let mut compiler = protox::Compiler::new([folder.join("proto")]).unwrap();
        let compiler = compiler.include_imports(true).open_files(files).unwrap();
        let mut suite = Suite {
            pool: compiler.descriptor_pool(),
            tests: Vec::new(),
        };
        let texts = std::fs::read_dir(folder.join("tests/simple/testdata")).unwrap();
        let mut texts: Vec<_> = texts.map(|entry| entry.unwrap().path()).collect();
        texts.sort();
        for path in texts {
            if path.extension().is_some_and(|it| it == "textproto") {
                suite.read_file(&path);
            }
        }
        suite
    }

    fn read_file(&mut self, path: &Path) {
        let kind = "cel.expr.conformance.test.SimpleTestFile";
        let kind = self.pool.get_message_by_name(kind).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let file = DynamicMessage::parse_text_format(kind, &text)
            .map_err(|error| format!("{}: {error}", path.display()))
            .unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        for section in messages(&file, "section") {
            for test in messages(&section, "test") {
                let test = self.test(&name, &text_of(&section, "name"), &test);
                self.tests.push(test);
            }
        }
    }

    fn test(&self, file: &str, section: &str, test: &DynamicMessage) -> Test {
        let declarations = messages(test, "type_env").into_iter().map(|declaration| {
            let ident = message(&declaration, "ident");
            let declared = ident.and_then(|ident| types::declared(&message(&ident, "type")?));
            (text_of(&declaration, "name"), declared.unwrap_or(Type::Dyn))
        });
        let bindings = test.get_field_by_name("bindings").unwrap();
        let mut bindings: Vec<(String, DynamicMessage)> = bindings
            .as_map()
            .unwrap()
            .iter()
            .filter_map(|(name, value)| {
                let value = message(value.as_message()?, "value")?;
                Some((name.as_str()?.to_owned(), value))
            })
            .collect();
        bindings.sort_by(|(a, _), (b, _)| a.cmp(b));
        Test {
            file: file.to_owned(),
            section: section.to_owned(),
            name: text_of(test, "name"),
            expression: text_of(test, "expr"),
            is_check_only: test
                .get_field_by_name("check_only")
                .is_some_and(|it| it.as_bool() == Some(true)),
            declarations: declarations.collect(),
            bindings,
            expected: self.expected(test),
        }
    }

    fn expected(&self, test: &DynamicMessage) -> Expected {
        if let Some(value) = message(test, "value") {
            return Expected::Value(value);
        }
        if let Some(typed) = message(test, "typed_result") {
            let wanted = types::written(&message(&typed, "deduced_type").unwrap());
            let value = message(&typed, "result").unwrap_or_else(|| self.is_true());
            return Expected::Typed(value, wanted);
        }
        let errors = ["eval_error", "any_eval_errors"];
        if errors.iter().any(|name| test.has_field_by_name(name)) {
            return Expected::Error;
        }
        let unknowns = ["unknown", "any_unknowns"];
        assert!(
            !unknowns.iter().any(|name| test.has_field_by_name(name)),
            "unknown values are expected, which Kubernetes never has"
        );
        Expected::Value(self.is_true())
    }

    /// What a test expects that says nothing.
    fn is_true(&self) -> DynamicMessage {
        let kind = self.pool.get_message_by_name("cel.expr.Value").unwrap();
        DynamicMessage::parse_text_format(kind, "bool_value: true").unwrap()
    }
}

/// The messages of a repeated field.
pub(crate) fn messages(parent: &DynamicMessage, field: &str) -> Vec<DynamicMessage> {
    let field = parent.get_field_by_name(field).unwrap();
    let items = field.as_list().unwrap().iter();
    items.filter_map(|it| it.as_message().cloned()).collect()
}

/// The message of a field that is set.
pub(crate) fn message(parent: &DynamicMessage, field: &str) -> Option<DynamicMessage> {
    if !parent.has_field_by_name(field) {
        return None;
    }
    parent.get_field_by_name(field)?.as_message().cloned()
}

pub(crate) fn text_of(parent: &DynamicMessage, field: &str) -> String {
    let field = parent.get_field_by_name(field).unwrap();
    field.as_str().unwrap_or_default().to_owned()
}

/// The name of the field that is set of a choice, with its value.
pub(crate) fn choice(
    parent: &DynamicMessage,
    choice: &str,
) -> Option<(String, prost_reflect::Value)> {
    let mut choices = parent.descriptor().oneofs().collect::<Vec<_>>().into_iter();
    let fields = choices.find(|it| it.name() == choice)?;
    let field = fields.fields().find(|field| parent.has_field(field))?;
    let value = parent.get_field(&field).into_owned();
    Some((field.name().to_owned(), value))
}
