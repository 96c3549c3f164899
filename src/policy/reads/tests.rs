//! What is kept of an object, expression by expression.

use serde_json::{Value, json};

use super::*;
use crate::policy::read;
use crate::text::Source;

/// What is kept of the objects of `v1/Thing` by a policy of these variables and validations.
fn reads(sections: &str) -> Reads {
    let text = format!(
        "// ---\n// name: p\n// match: {{resources: [v1/pods]}}\n// reads: [v1/Thing]\n// ---\n{sections}"
    );
    let (documents, problems) = read::read(&Source::new("p.cel", text));
    assert!(problems.is_empty(), "{problems:?}");
    let mut reads = Reads::default();
    reads.add(&documents.policies[0]);
    reads
}

fn shape(reads: &Reads) -> Shape {
    match reads.kinds.values().next() {
        Some(Depth::Parts(shape)) => shape.clone(),
        other => panic!("{other:?}"),
    }
}

fn thing() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Thing",
        "metadata": {"name": "n", "namespace": "s", "labels": {"l": "x"}, "managedFields": [1]},
        "spec": {"a": {"x": "1", "y": "2"}, "list": [{"x": "1", "y": "2"}, {"x": "3"}], "text": "t"},
    })
}

/// What is kept besides name and namespace.
fn kept(sections: &str) -> Value {
    let mut kept = shape(&reads(sections)).keep(thing());
    let metadata = kept["metadata"].as_object_mut().unwrap();
    assert_eq!(metadata.remove("name"), Some(json!("n")));
    assert_eq!(metadata.remove("namespace"), Some(json!("s")));
    if metadata.is_empty() {
        kept.as_object_mut().unwrap().remove("metadata");
    }
    kept
}

const LIST: &str = "cluster.list('v1', 'Thing', '')";

#[test]
fn what_an_expression_can_tell_apart_is_kept() {
    let a = json!({"spec": {"a": {"x": "1"}}});
    let whole = {
        let mut thing = thing();
        let metadata = thing["metadata"].as_object_mut().unwrap();
        metadata.remove("name");
        metadata.remove("namespace");
        thing
    };
    let empty = json!({"x": "", "y": ""});
    for (expression, expected) in [
        ("LIST.size() > 0", json!({})),
        ("LIST != []", whole.clone()),
        ("LIST.exists(it, it.spec.a.x == '1')", a.clone()),
        (
            "LIST.exists(it, it.?spec.?a.?x.orValue('') == '1')",
            a.clone(),
        ),
        ("LIST.exists(it, it.spec['a'].x == '1')", a.clone()),
        (
            "LIST.exists(it, it[?'spec'].a[?'x'] == optional.of('1'))",
            a.clone(),
        ),
        (
            "LIST.map(it, it.spec).filter(it, has(it.a)).exists(it, it.a.x == '')",
            a.clone(),
        ),
        ("LIST[0].spec.a.x == '1'", a.clone()),
        ("(LIST + LIST).exists(it, it.spec.a.x == '1')", a.clone()),
        (
            "(true ? LIST : []).exists(it, it.spec.a.x == '1')",
            a.clone(),
        ),
        (
            "cel.bind(all, LIST, all.exists(it, it.spec.a.x == '1'))",
            a.clone(),
        ),
        ("LIST.exists(i, it, it.spec.a.x == '1')", a.clone()),
        (
            "[LIST].exists(all, all.exists(it, it.spec.a.x == '1'))",
            a.clone(),
        ),
        (
            "LIST.map(it, {'k': it.spec}).exists(it, it.k.a.x == '')",
            a.clone(),
        ),
        (
            "LIST.transformMap(i, it, it.spec).exists(i, it, it.a.x == '')",
            a.clone(),
        ),
        ("cluster.get('v1', 'Thing', '', 'n').hasValue()", json!({})),
        (
            "cluster.get('v1', 'Thing', '', 'n').?spec.?a.?x.orValue('') == ''",
            a.clone(),
        ),
        (
            "cluster.get('v1', 'Thing', '', 'n').optMap(it, it.spec.a.x).orValue('') == ''",
            a.clone(),
        ),
        (
            "LIST.exists(it, has(it.spec.a.x))",
            json!({"spec": {"a": {"x": ""}}}),
        ),
        (
            "LIST.exists(it, type(it.spec.text) == string)",
            json!({"spec": {"text": ""}}),
        ),
        (
            "LIST.exists(it, it.spec.text == null)",
            json!({"spec": {"text": "t"}}),
        ),
        ("LIST.exists(it, it == null)", json!({})),
        (
            "LIST.exists(it, it.spec.a.size() == 2)",
            json!({"spec": {"a": empty}}),
        ),
        (
            "LIST.exists(it, it.spec.list.size() == 2)",
            json!({"spec": {"list": [{}, {}]}}),
        ),
        (
            "LIST.exists(it, it.spec.list.all(part, part.x != ''))",
            json!({"spec": {"list": [{"x": "1"}, {"x": "3"}]}}),
        ),
        (
            "LIST.exists(it, optional.ofNonZeroValue(it.spec.a).hasValue())",
            json!({"spec": {"a": empty}}),
        ),
        (
            "LIST.exists(it, 'x' in it.spec.a)",
            json!({"spec": {"a": {"x": "1", "y": "2"}}}),
        ),
        (
            "LIST.exists(it, it.spec.a[it.metadata.name] == '')",
            json!({"spec": {"a": {"x": "1", "y": "2"}}}),
        ),
        ("LIST.exists(it, it.spec == it.metadata)", {
            let metadata = whole["metadata"].clone();
            json!({"metadata": metadata, "spec": whole["spec"]})
        }),
        (
            "LIST.map(it, it.spec.list).flatten().exists(it, it.x == '')",
            json!({"spec": {"list": whole["spec"]["list"]}}),
        ),
        (
            "LIST.exists(it, it.kind == 'Thing')",
            json!({"kind": "Thing"}),
        ),
        ("true", json!({})),
    ] {
        let expression = expression.replace("LIST", LIST);
        assert_eq!(
            kept(&format!("// @require x\n{expression}\n")),
            expected,
            "{expression}"
        );
        // The same by way of a variable, which does not decide by itself.
        let (_, used) = expression.split_once(LIST).unwrap_or_default();
        if expression.starts_with(LIST) {
            let variable = format!("// @let all\n{LIST}\n// @require x\nvariables.all{used}\n");
            assert_eq!(kept(&variable), expected, "{variable}");
        }
    }
}

#[test]
fn a_message_and_an_annotation_read_too() {
    let message = "// @require x\nfalse\n// @message\nLIST.map(it, it.spec.a.x).join(',')\n";
    let annotation = "// @audit x\nLIST[0].spec.a.x\n";
    for sections in [message, annotation] {
        let kept = kept(&sections.replace("LIST", LIST));
        assert_eq!(kept, json!({"spec": {"a": {"x": "1"}}}), "{sections}");
    }
}

#[test]
fn what_several_policies_read_is_kept_for_all() {
    let mut all = reads(&format!("// @require x\n{LIST}[0].spec.a.x == ''\n"));
    let Some(Depth::Parts(shape)) = all.kinds.values_mut().next() else {
        panic!("no parts");
    };
    assert!(!shape.is_metadata());
    shape.add_path(&["spec", "text"]);
    let kept = shape.keep(thing());
    assert_eq!(kept["spec"], json!({"a": {"x": "1"}, "text": "t"}));
}

#[test]
fn metadata_is_enough_where_nothing_else_is_read() {
    for (expression, is_metadata) in [
        (
            "LIST.exists(it, it.metadata.?labels[?'l'].hasValue())",
            true,
        ),
        ("LIST.size() > 0 && LIST[0].kind == 'Thing'", true),
        ("LIST.exists(it, it.metadata == it)", false),
        ("LIST.exists(it, has(it.spec))", false),
        ("LIST.exists(it, it[it.metadata.name] == 1)", false),
    ] {
        let text = format!("// @require x\n{}\n", expression.replace("LIST", LIST));
        assert_eq!(
            shape(&reads(&text)).is_metadata(),
            is_metadata,
            "{expression}"
        );
    }
}

#[test]
fn of_a_namespace_what_is_read_of_it() {
    let namespace = json!({
        "metadata": {"name": "n", "annotations": {"a": "1", "b": "2"}, "uid": "u"},
        "status": {"phase": "Active"},
    });
    for (expression, expected) in [
        ("true", json!({})),
        ("namespaceObject != null", json!({})),
        (
            "namespaceObject.metadata.annotations['a'] == ''",
            json!({"metadata": {"annotations": {"a": "1"}}}),
        ),
        ("namespaceObject == dyn(object)", namespace.clone()),
    ] {
        let reads = reads(&format!("// @require x\n{expression}\n"));
        assert_eq!(
            reads.namespaces.keep(namespace.clone()),
            expected,
            "{expression}"
        );
    }
}

#[test]
fn parameters_are_whole() {
    let mut reads = reads(&format!("// @require x\n{LIST}.size() > 0\n"));
    let (mut documents, _) = read::read(&Source::new("q.cel", "// @require x\ntrue\n"));
    let kind = reads.kinds.keys().next().cloned();
    documents.policies[0].param_kind = kind;
    reads.add(&documents.policies[0]);
    assert!(
        matches!(reads.kinds.values().next(), Some(Depth::Parameters)),
        "{reads:?}"
    );
}

#[test]
fn what_is_too_long_to_follow_keeps_everything() {
    let many = vec![format!("{LIST}[0].a"); 40];
    let nested = (0..8).fold(format!("[{}]", many.join(", ")), |inner, at| {
        format!("cel.bind(v{at}, {inner}, v{at}.map(i{at}, [v{at}, v{at}]) + v{at})")
    });
    let mut sections = String::new();
    for at in 0..40 {
        sections.push_str(&format!("// @let w{at}\n{nested}\n"));
    }
    let (documents, _) = read::read(&Source::new(
        "p.cel",
        format!(
            "// ---\n// name: p\n// match: {{resources: [v1/pods]}}\n// reads: [v1/Thing]\n// ---\n{sections}// @require x\ntrue\n"
        ),
    ));
    let began = std::time::Instant::now();
    let mut reads = Reads::default();
    reads.add(&documents.policies[0]);
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    assert!(!shape(&reads).is_metadata());
}
