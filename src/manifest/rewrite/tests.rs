//! What is kept, what is changed, and that what is printed means what it should.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::manifest::read;

fn rewritten(text: &str, change: impl Fn(usize, &mut Value)) -> Rewritten {
    let source = Source::new("m.yaml", text);
    let (manifests, problems) = read(&source);
    assert!(problems.is_empty(), "{problems:?}\n{text}");
    let wanted: Vec<_> = manifests
        .iter()
        .enumerate()
        .map(|(at, manifest)| {
            let mut value = manifest.node.to_json();
            change(at, &mut value);
            (manifest, Some(value))
        })
        .collect();
    let rewritten = rewrite(&source, &wanted).unwrap();
    let (again, problems) = read(&Source::new("m.yaml", rewritten.text.as_str()));
    assert!(problems.is_empty(), "{problems:?}\n{}", rewritten.text);
    for (manifest, (_, wanted)) in again.iter().zip(&wanted) {
        assert_eq!(Some(manifest.node.to_json()), *wanted, "{}", rewritten.text);
    }
    rewritten
}

/// Changes the one object of a text; nothing is written anew.
fn changed(text: &str, change: impl Fn(&mut Value)) -> String {
    let rewritten = rewritten(text, |_, value| change(value));
    assert_eq!(rewritten.anew, [], "{}", rewritten.text);
    rewritten.text
}

const DEPLOYMENT: &str = r#"# Meshery's server.
apiVersion: apps/v1
kind: Deployment # the workload
metadata:
    name: 'meshery'   # quoted
    labels: {app: meshery, "tier": back}
spec:
    # One is enough on a laptop.
    replicas: 1  # for now
    template:
        spec:
            containers:
            # The server itself.
            - name: server
              image: "layer5/meshery:stable"
              args: [--a, "b"]
              ports:
              -   containerPort: 8080

            # Beside it.
            - image: proxy
              name: proxy
status: {}
"#;

#[test]
fn a_scalar_is_replaced_where_it_stands_and_keeps_its_quotes() {
    let text = changed(DEPLOYMENT, |value| {
        value["spec"]["replicas"] = json!(3);
        value["metadata"]["name"] = json!("meshery-2");
        value["metadata"]["labels"]["tier"] = json!("front");
        value["spec"]["template"]["spec"]["containers"][0]["image"] = json!("x:1");
        value["spec"]["template"]["spec"]["containers"][1]["image"] = json!("1.5");
    });
    let wanted = DEPLOYMENT
        .replace("replicas: 1  #", "replicas: 3  #")
        .replace("'meshery'", "'meshery-2'")
        .replace("back", "front")
        .replace("\"layer5/meshery:stable\"", "\"x:1\"")
        .replace("image: proxy", "image: \"1.5\"");
    assert_eq!(text, wanted);
}

#[test]
fn what_is_new_comes_last_and_is_indented_like_the_rest() {
    let text = changed(DEPLOYMENT, |value| {
        let spec = &mut value["spec"]["template"]["spec"];
        spec["containers"][0]["securityContext"] =
            json!({"runAsNonRoot": true, "capabilities": {"drop": ["ALL"]}});
        spec["containers"][0]["args"]
            .as_array_mut()
            .unwrap()
            .push(json!("--c"));
        spec["containers"][1]["command"] = json!(["sh", "-c", "a\nb\n"]);
        spec["containers"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "third", "image": "c"}));
        spec["topologySpreadConstraints"] = json!([{"maxSkew": 1, "labels": {}}]);
        value["metadata"]["labels"]["new"] = json!("yes");
        value["metadata"]["annotations"] = json!({"a/b": "1"});
        value["extra"] = json!([]);
    });
    insta::assert_snapshot!(text);
}

#[test]
fn what_is_gone_takes_its_lines_with_it_and_leaves_the_comments() {
    let text = changed(DEPLOYMENT, |value| {
        let spec = &mut value["spec"]["template"]["spec"];
        spec["containers"][1]
            .as_object_mut()
            .unwrap()
            .shift_remove("image");
        let first = spec["containers"][0].as_object_mut().unwrap();
        first.shift_remove("ports");
        first["args"].as_array_mut().unwrap().remove(0);
        value["metadata"]["labels"]
            .as_object_mut()
            .unwrap()
            .shift_remove("app");
        value["spec"]
            .as_object_mut()
            .unwrap()
            .shift_remove("replicas");
        value.as_object_mut().unwrap().shift_remove("status");
    });
    insta::assert_snapshot!(text);
}

#[test]
fn a_value_becomes_one_of_another_kind() {
    let text = changed(DEPLOYMENT, |value| {
        value["metadata"]["labels"] = json!(["a"]);
        value["metadata"]["name"] = json!({"a": {"b": 1}});
        value["spec"]["replicas"] = json!({"a": "x\ny"});
        value["spec"]["template"]["spec"]["containers"] = json!([]);
        value["status"] = json!({"phase": null});
    });
    insta::assert_snapshot!(text);
}

#[test]
fn json_stays_json() {
    for (text, wanted) in [
        (
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{},"l":[1,2]}"#,
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b", "labels": {"x": "y"}},"spec":{"n": [1, {"k": null}]},"l":[2, 3]}"#,
        ),
        (
            "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Pod\",\n\t\"metadata\": {\n\t\t\"name\": \"a\"\n\t},\n\t\"spec\": {},\n\t\"l\": [\n\t\t1,\n\t\t2\n\t]\n}\n",
            "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Pod\",\n\t\"metadata\": {\n\t\t\"name\": \"b\",\n\t\t\"labels\": {\n\t\t\t\"x\": \"y\"\n\t\t}\n\t},\n\t\"spec\": {\n\t\t\"n\": [\n\t\t\t1,\n\t\t\t{\n\t\t\t\t\"k\": null\n\t\t\t}\n\t\t]\n\t},\n\t\"l\": [\n\t\t2,\n\t\t3\n\t]\n}\n",
        ),
    ] {
        let written = changed(text, |value| {
            value["metadata"]["name"] = json!("b");
            value["metadata"]["labels"] = json!({"x": "y"});
            value["spec"]["n"] = json!([1, {"k": null}]);
            value["l"] = json!([2, 3]);
        });
        assert_eq!(written, wanted);
        let _: Value = serde_json::from_str(&written).unwrap();
    }
}

#[test]
fn only_the_documents_that_are_changed_are_touched() {
    let text = "# first\r\napiVersion: v1\r\nkind: Pod\r\nmetadata: {name: a}\r\n---\r\n\
                # nothing\r\n---\r\napiVersion: v1\r\nkind: List\r\nitems:\r\n\
                - apiVersion: v1\r\n  kind: Pod\r\n  metadata:\r\n    name: b # it\r\n\
                - {apiVersion: v1, kind: Pod}";
    let rewritten = rewritten(text, |at, value| {
        if at > 0 {
            value["spec"] = json!({"a": {"b": "c"}});
        }
    });
    assert_eq!(rewritten.anew, []);
    let wanted = text
        .replace("# it\r\n", "# it\r\n  spec:\r\n    a:\r\n      b: c\r\n")
        .replace("kind: Pod}", "kind: Pod, spec: {a: {b: c}}}");
    assert_eq!(rewritten.text, wanted);
}

#[test]
fn what_an_alias_stands_for_is_written_out_where_it_is_changed() {
    let text =
        "apiVersion: v1\nkind: Pod\na: &a\n  x: 1 # one\nb: *a # two\nc:\n  <<: *a\n  z: 1\n";
    let written = changed(text, |value| {
        value["b"]["x"] = json!(2);
        value["c"]["x"] = json!(3);
    });
    let wanted = text
        .replace("b: *a # two", "b: # two\n  x: 2")
        .replace("  z: 1\n", "  z: 1\n  x: 3\n");
    assert_eq!(written, wanted);
    // Here what the anchor marks is another value: the document is written anew.
    let rewritten = rewritten(text, |_, value| value["a"]["x"] = json!(2));
    assert_eq!(rewritten.anew.len(), 1);
    assert_eq!(
        rewritten.text,
        "apiVersion: v1\nkind: Pod\na:\n  x: 2\nb:\n  x: 1\nc:\n  x: 1\n  z: 1\n"
    );
}

#[test]
fn a_text_that_ends_without_a_line_break_goes_on_without_one() {
    for (text, wanted) in [
        (
            "apiVersion: v1\nkind: Pod",
            "apiVersion: v1\nkind: Pod\nspec: 1",
        ),
        (
            "apiVersion: v1\nkind: Pod\nt: |+\n  a\n\n\n",
            "apiVersion: v1\nkind: Pod\nt: |+\n  a\n\n\nspec: 1\n",
        ),
        (
            "apiVersion: v1\nkind: Pod\nspec: # to be said\n",
            "apiVersion: v1\nkind: Pod\nspec: 1 # to be said\n",
        ),
        (
            "apiVersion: v1\nkind: Pod\nspec: # why\n  # and how\n  a: 1\n",
            "apiVersion: v1\nkind: Pod\nspec: 1 # why\n",
        ),
    ] {
        assert_eq!(changed(text, |value| value["spec"] = json!(1)), wanted);
    }
}

/// A tree with the manner in which each of its values is written.
#[derive(Debug, Clone)]
enum Tree {
    Scalar(Value, u8),
    List(Vec<Tree>, u8),
    Map(Vec<(String, Tree)>, u8),
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::from),
        (-5_i64..2000).prop_map(Value::from),
        Just(json!(null)),
        Just(json!(1.5)),
        "[a-z]{1,6}".prop_map(Value::from),
        "[ -~]{0,8}".prop_map(Value::from),
        "[a-c #:\n]{0,9}".prop_map(Value::from),
        prop::sample::select(vec![
            "yes",
            "1e3",
            "0x1f",
            "~",
            "12:30",
            "<<",
            "é\u{85}",
            "\u{1f600}"
        ])
        .prop_map(Value::from),
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = (scalar(), any::<u8>()).prop_map(|(value, how)| Tree::Scalar(value, how));
    leaf.prop_recursive(4, 40, 5, |inner| {
        let key = prop_oneof![
            "[a-f]",
            "[a-z ]{1,4}",
            Just("a/b".to_owned()),
            Just("yes".to_owned())
        ];
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..4), any::<u8>())
                .prop_map(|(items, how)| Tree::List(items, how)),
            (prop::collection::btree_map(key, inner, 0..5), any::<u8>())
                .prop_map(|(entries, how)| Tree::Map(entries.into_iter().collect(), how)),
        ]
    })
}

impl Tree {
    fn value(&self) -> Value {
        match self {
            Tree::Scalar(value, _) => value.clone(),
            Tree::List(items, _) => items.iter().map(Tree::value).collect(),
            Tree::Map(entries, _) => entries
                .iter()
                .map(|(key, tree)| (key.clone(), tree.value()))
                .collect(),
        }
    }

    fn flow(&self, out: &mut String) {
        match self {
            Tree::Scalar(value, _) => out.push_str(&value.to_string()),
            Tree::List(items, _) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at > 0 { ", " } else { "" });
                    item.flow(out);
                }
                out.push(']');
            }
            Tree::Map(entries, how) => {
                out.push('{');
                for (at, (key, tree)) in entries.iter().enumerate() {
                    out.push_str(if at > 0 { ", " } else { "" });
                    out.push_str(&format!("{key:?}: "));
                    tree.flow(out);
                }
                // A comma may stand behind the last one.
                out.push_str(if how.is_multiple_of(3) && !entries.is_empty() {
                    ",}"
                } else {
                    "}"
                });
            }
        }
    }

    /// Writes the value behind a key or a hyphen, to the end of the line.
    fn block(&self, column: usize, is_item: bool, out: &mut String) {
        let comment = |out: &mut String, how: u8| {
            out.push_str(if how.is_multiple_of(5) {
                " # why: - [\n"
            } else {
                "\n"
            });
            if how.is_multiple_of(7) {
                out.push_str("# beside\n");
            }
            if how.is_multiple_of(11) {
                out.push('\n');
            }
        };
        match self {
            Tree::List(items, how) if !items.is_empty() && how % 4 > 0 => {
                let column = column + usize::from(how % 2) * 2;
                comment(out, *how);
                for item in items {
                    out.push_str(&" ".repeat(column));
                    out.push('-');
                    item.block(column + 2, true, out);
                }
            }
            Tree::Map(entries, how) if !entries.is_empty() && how % 4 > 0 => {
                let column = column + if is_item { 0 } else { 2 };
                let is_inline = is_item && how.is_multiple_of(2);
                match is_inline {
                    true => out.push(' '),
                    false => comment(out, *how),
                }
                for (at, (key, tree)) in entries.iter().enumerate() {
                    if at > 0 || !is_inline {
                        out.push_str(&" ".repeat(column));
                    }
                    out.push_str(&format!("{key:?}:"));
                    tree.block(column, false, out);
                }
            }
            Tree::Scalar(Value::Null, how) if how.is_multiple_of(2) => comment(out, *how),
            Tree::Scalar(Value::String(text), how)
                if how.is_multiple_of(3)
                    && text.chars().all(|c| c.is_ascii_lowercase())
                    && text.len() > 3 =>
            {
                match how % 2 {
                    0 => out.push_str(&format!(" |-\n{}{text}\n", " ".repeat(column + 3))),
                    _ => out.push_str(&format!(" '{text}'\n")),
                }
            }
            Tree::Scalar(_, how) | Tree::List(_, how) | Tree::Map(_, how) => {
                out.push(' ');
                self.flow(out);
                comment(out, *how);
            }
        }
    }
}

/// Changes a value at a place.
fn mutate(value: &mut Value, how: &mut impl Iterator<Item = u32>, new: &Value) -> Option<()> {
    let what = how.next()?;
    let at = how.next()? as usize;
    match value {
        Value::Object(fields) if what % 8 == 0 => {
            fields.insert(format!("new{at}"), new.clone());
        }
        Value::Object(fields) if what % 8 == 1 && !fields.is_empty() => {
            let key = fields.keys().nth(at % fields.len()).cloned()?;
            fields.shift_remove(&key);
        }
        Value::Array(items) if what % 8 == 0 => {
            items.insert(at % (items.len() + 1), new.clone());
        }
        Value::Array(items) if what % 8 == 1 && !items.is_empty() => {
            items.remove(at % items.len());
        }
        Value::Object(fields) if !fields.is_empty() && what % 8 > 2 => {
            let inner = at % fields.len();
            mutate(fields.values_mut().nth(inner)?, how, new)?;
        }
        Value::Array(items) if !items.is_empty() && what % 8 > 2 => {
            let inner = at % items.len();
            mutate(items.get_mut(inner)?, how, new)?;
        }
        other => *other = new.clone(),
    }
    Some(())
}

fn document(trees: &[Tree], head: u8) -> String {
    let mut text = String::from("# head\napiVersion: v1\nkind: Test # kind\n");
    for (at, tree) in trees.iter().enumerate() {
        text.push_str(&format!("f{at}:"));
        tree.block(0, false, &mut text);
    }
    if head.is_multiple_of(2) {
        text.push_str("# tail\n");
    }
    text
}

/// How many lines of the first text are not in the second one, in order.
fn lost_lines(before: &str, after: &str) -> usize {
    let before: Vec<&str> = before.lines().collect();
    let after: Vec<&str> = after.lines().collect();
    let mut best = vec![0_usize; after.len() + 1];
    for line in &before {
        let mut diagonal = 0;
        for (at, other) in after.iter().enumerate() {
            let above = best[at + 1];
            best[at + 1] = match line == other {
                true => diagonal + 1,
                false => above.max(best[at]),
            };
            diagonal = above;
        }
    }
    before.len() - best.last().copied().unwrap_or_default()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_what_was_wanted(
        trees in prop::collection::vec(tree(), 1..5),
        head in any::<u8>(),
        changes in prop::collection::vec((prop::collection::vec(any::<u32>(), 12), tree()), 1..4),
    ) {
        let text = document(&trees, head);
        let source = Source::new("m.yaml", text.as_str());
        let (manifests, problems) = read(&source);
        prop_assert!(problems.is_empty(), "{problems:?}\n{text}");
        let manifest = manifests.first().unwrap();
        let mut value = manifest.node.to_json();
        for (at, tree) in trees.iter().enumerate() {
            prop_assert_eq!(&value[format!("f{at}")], &tree.value(), "{}", text);
        }
        for (how, new) in &changes {
            let fields = value.as_object_mut().unwrap();
            let inner = fields.len() - trees.len();
            let field = fields.values_mut().nth(inner).unwrap();
            let _ = mutate(field, &mut how.iter().copied(), &new.value());
        }
        let rewritten = rewrite(&source, &[(manifest, Some(value.clone()))]).unwrap();
        let (again, problems) = read(&Source::new("m.yaml", rewritten.text.as_str()));
        prop_assert!(problems.is_empty(), "{problems:?}\n{}", rewritten.text);
        prop_assert_eq!(&again.first().unwrap().node.to_json(), &edit::normalized(&value));
    }

    #[test]
    fn lines_that_are_not_changed_are_kept(
        trees in prop::collection::vec(tree(), 1..5),
        head in any::<u8>(),
        how in prop::collection::vec(2_u32..8, 40),
        new in scalar(),
        is_added in any::<bool>(),
    ) {
        let text = document(&trees, head);
        let source = Source::new("m.yaml", text.as_str());
        let (manifests, _) = read(&source);
        let manifest = manifests.first().unwrap();
        let mut value = manifest.node.to_json();
        let fields = value.as_object_mut().unwrap();
        // One scalar is replaced, or one field added.
        let mut place = fields.values_mut().nth(2).unwrap();
        for at in &how {
            match place {
                Value::Object(fields) if is_added && *at == 7 || fields.is_empty() => {
                    fields.insert("new".to_owned(), new.clone());
                    break;
                }
                Value::Object(fields) => {
                    let inner = *at as usize % fields.len();
                    place = fields.values_mut().nth(inner).unwrap();
                }
                Value::Array(items) if items.is_empty() => {
                    items.push(new.clone());
                    break;
                }
                Value::Array(items) => {
                    let inner = *at as usize % items.len();
                    place = items.get_mut(inner).unwrap();
                }
                other => {
                    *other = new.clone();
                    break;
                }
            }
        }
        let rewritten = rewrite(&source, &[(manifest, Some(value))]).unwrap();
        prop_assert_eq!(rewritten.anew.len(), 0, "{}\n{}", text, rewritten.text);
        // A literal block has two lines.
        let lost = lost_lines(&text, &rewritten.text);
        prop_assert!(lost <= 2, "{lost}\n{text}\n{}", rewritten.text);
    }
}
