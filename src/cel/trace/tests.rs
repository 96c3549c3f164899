//! Traces of whole expressions, as they are drawn.

use bumpalo::Bump;

use super::Recorder;
use super::draw::draw;
use super::steps::steps;
use crate::cel::env::{Env, Language};
use crate::cel::eval::{Inputs, Limits, evaluate};
use crate::cel::types::Type;
use crate::cel::value::Value;
use crate::cel::{check, parse, plan};
use crate::json;

const OBJECT: &[u8] = br#"{"spec":{"replicas":3,"containers":[
    {"name":"a","image":"nginx:1"},{"name":"b","image":"redis"},{"name":"c","image":"nginx:2"}],
    "nested":[[1,2],[3,4,5],[]],"at":1,"labels":{"k":"v"}}}"#;

/// The trace of an expression over [`OBJECT`].
fn drawn(expression: &str) -> String {
    let arena = Bump::new();
    let env = Env::new([("object", Type::Dyn)], Language::Kubernetes);
    let checked = check::check(parse::parse(expression).unwrap(), &env).unwrap();
    let program = plan::plan(&checked).unwrap();
    let slots = [Value::from(json::parse(&arena, OBJECT).unwrap())];
    let inputs = Inputs::new(&slots);
    let mut recorder = Recorder::new(&checked.ast);
    evaluate(&program, &inputs, &arena, Limits::default(), &mut recorder);
    draw(expression, &steps(&checked.ast, &recorder))
}

#[test]
fn an_operand_that_decides_leaves_the_others_unevaluated() {
    insta::assert_snapshot!(drawn("object.spec.replicas < 2 && has(object.spec.paused) && object.a.b"), @r#"
    object.spec.replicas < 2 && has(object.spec.paused) && object.a…  false
    ├─ object.spec.replicas < 2                                       false
    │  └─ object.spec.replicas                                        3
    ├─ has(object.spec.paused)                                        not evaluated
    └─ object.a.b                                                     not evaluated
    "#);
}

#[test]
fn all_shows_the_item_that_fails() {
    insta::assert_snapshot!(drawn("object.spec.containers.all(c, c.image.startsWith('nginx'))"), @r#"
    object.spec.containers.all(c, c.image.startsWith('nginx'))  false
    ├─ object.spec.containers                                   [{"name": "a", "image": "nginx:1"}, {"name": "b", "image": "redis"}, {"name": "…
    └─ c = item 2 of 3                                          {"name": "b", "image": "redis"}
       └─ c.image.startsWith('nginx')                           false
          └─ c.image                                            "redis"
    "#);
}

#[test]
fn exists_shows_the_item_it_found() {
    insta::assert_snapshot!(drawn("object.spec.containers.exists(c, c.image.startsWith('redis') || c.nam == 'a')"), @r#"
    object.spec.containers.exists(c, c.image.startsWith('redis') ||…  true
    ├─ object.spec.containers                                         [{"name": "a", "image": "nginx:1"}, {"name": "b", "image": "redis"}, {"name": "…
    └─ c = item 2 of 3                                                {"name": "b", "image": "redis"}
       └─ c.image.startsWith('redis') || c.nam == 'a'                 true
          ├─ c.image.startsWith('redis')                              true
          │  └─ c.image                                               "redis"
          └─ c.nam == 'a'                                             not evaluated
    "#);
}

#[test]
fn an_item_with_an_error_is_shown_although_others_follow() {
    insta::assert_snapshot!(drawn("object.spec.containers.all(c, c.nam == 'a' || c.image.startsWith('nginx:1'))"), @r#"
    object.spec.containers.all(c, c.nam == 'a' || c.image.startsWit…  error: no such key: nam
    ├─ object.spec.containers                                         [{"name": "a", "image": "nginx:1"}, {"name": "b", "image": "redis"}, {"name": "…
    └─ c = item 2 of 3                                                {"name": "b", "image": "redis"}
       └─ c.nam == 'a' || c.image.startsWith('nginx:1')               error: no such key: nam
          ├─ c.nam == 'a'                                             error: no such key: nam
          │  └─ c.nam                                                 error: no such key: nam
          └─ c.image.startsWith('nginx:1')                            false
             └─ c.image                                               "redis"
    "#);
}

#[test]
fn a_decision_is_shown_rather_than_an_earlier_error() {
    insta::assert_snapshot!(drawn("object.spec.containers.exists(c, c.name == 'a' ? c.nam == 'a' : c.name == 'b')"), @r#"
    object.spec.containers.exists(c, c.name == 'a' ? c.nam == 'a' :…  true
    ├─ object.spec.containers                                         [{"name": "a", "image": "nginx:1"}, {"name": "b", "image": "redis"}, {"name": "…
    └─ c = item 2 of 3                                                {"name": "b", "image": "redis"}
       └─ c.name == 'a' ? c.nam == 'a' : c.name == 'b'                true
          ├─ c.name == 'a'                                            false
          │  └─ c.name                                                "b"
          ├─ c.nam == 'a'                                             not evaluated
          └─ c.name == 'b'                                            true
             └─ c.name                                                "b"
    "#);
}

#[test]
fn exists_one_shows_the_match() {
    insta::assert_snapshot!(drawn("object.spec.containers.exists_one(c, c.name == 'b')"), @r#"
    object.spec.containers.exists_one(c, c.name == 'b')  true
    ├─ object.spec.containers                            [{"name": "a", "image": "nginx:1"}, {"name": "b", "image": "redis"}, {"name": "…
    └─ c = item 2 of 3                                   {"name": "b", "image": "redis"}
       └─ c.name == 'b'                                  true
          └─ c.name                                      "b"
    "#);
}

#[test]
fn map_and_filter_show_the_last_item() {
    insta::assert_snapshot!(drawn("object.spec.containers.filter(c, c.name != 'b').map(c, c.image)"), @r#"
    object.spec.containers.filter(c, c.name != 'b').map(c, c.image)  ["nginx:1", "nginx:2"]
    ├─ object.spec.containers.filter(c, c.name != 'b')               [{"name": "a", "image": "nginx:1"}, {"name": "c", "image": "nginx:2"}]
    │  ├─ object.spec.containers                                     [{"name": "a", "image": "nginx:1"}, {"name": "b", "image": "redis"}, {"name": "…
    │  └─ c = item 3 of 3                                            {"name": "c", "image": "nginx:2"}
    │     └─ c.name != 'b'                                           true
    │        └─ c.name                                               "c"
    └─ c = item 2 of 2                                               {"name": "c", "image": "nginx:2"}
       └─ c.image                                                    "nginx:2"
    "#);
}

#[test]
fn an_inner_macro_is_that_of_the_item_shown() {
    insta::assert_snapshot!(drawn("object.spec.nested.exists(l, l.exists(x, x > 3))"), @r#"
    object.spec.nested.exists(l, l.exists(x, x > 3))  true
    ├─ object.spec.nested                             [[1, 2], [3, 4, 5], []]
    └─ l = item 2 of 3                                [3, 4, 5]
       └─ l.exists(x, x > 3)                          true
          └─ x = item 2 of 3                          4
             └─ x > 3                                 true
    "#);
}

#[test]
fn an_inner_macro_without_items_is_not_that_of_an_earlier_item() {
    insta::assert_snapshot!(drawn("object.spec.nested.map(l, l.exists(x, x > 3))"), @r#"
    object.spec.nested.map(l, l.exists(x, x > 3))  [false, true, false]
    ├─ object.spec.nested                          [[1, 2], [3, 4, 5], []]
    └─ l = item 3 of 3                             []
       └─ l.exists(x, x > 3)                       false
          └─ x = no item
    "#);
}

#[test]
fn computed_indexes_are_parts_of_a_path() {
    insta::assert_snapshot!(drawn("object.spec.nested[object.spec.at].map(x, x * 2)[object.spec.at + 1]"), @r#"
    object.spec.nested[object.spec.at].map(x, x * 2)[object.spec.at…  10
    ├─ object.spec.nested[object.spec.at].map(x, x * 2)               [6, 8, 10]
    │  ├─ object.spec.nested[object.spec.at]                          [3, 4, 5]
    │  │  └─ object.spec.at                                           1
    │  └─ x = item 3 of 3                                             5
    │     └─ x * 2                                                    10
    └─ object.spec.at + 1                                             2
       └─ object.spec.at                                              1
    "#);
}

#[test]
fn two_variables_are_shown_both() {
    insta::assert_snapshot!(drawn("object.spec.labels.all(k, v, k != v)"), @r#"
    object.spec.labels.all(k, v, k != v)  true
    ├─ object.spec.labels                 {"k": "v"}
    └─ k, v = item 1 of 1                 "k", "v"
       └─ k != v                          true
    "#);
}

#[test]
fn a_path_that_breaks_shows_how_far_it_goes() {
    insta::assert_snapshot!(drawn("object.spec.x.y"), @r#"
    object.spec.x.y  error: no such key: x
    └─ object.spec   {"replicas": 3, "containers": [{"name": "a", "image": "nginx:1"}, {"name": "b",…
    "#);
}

#[test]
fn an_index_that_is_missing_shows_the_list() {
    insta::assert_snapshot!(drawn("object.spec.nested[7][1]"), @r#"
    object.spec.nested[7][1]  error: index out of bounds: 7
    └─ object.spec.nested     [[1, 2], [3, 4, 5], []]
    "#);
}

#[test]
fn only_the_branch_that_was_taken_has_parts() {
    insta::assert_snapshot!(drawn("object.?spec.?foo.orValue('none') == 'none' ? [1, 2].map(x, x) : [object.spec.at]"), @r#"
    object.?spec.?foo.orValue('none') == 'none' ? [1, 2].map(x, x) …  [1, 2]
    ├─ object.?spec.?foo.orValue('none') == 'none'                    true
    │  └─ object.?spec.?foo.orValue('none')                           "none"
    │     └─ object.?spec.?foo                                        optional.none()
    └─ [1, 2].map(x, x)                                               [1, 2]
       ├─ [1, 2]                                                      [1, 2]
       └─ x = item 2 of 2                                             2
    "#);
}

#[test]
fn a_constant_is_a_line() {
    insta::assert_snapshot!(drawn("1 in [1, 2]"), @r#"
    1 in [1, 2]  true
    "#);
}

#[test]
fn what_sort_by_stands_for_is_not_shown() {
    insta::assert_snapshot!(drawn("object.spec.containers.sortBy(c, c.image)[0].name"), @r#"
    object.spec.containers.sortBy(c, c.image)[0].name  "a"
    └─ object.spec.containers.sortBy(c, c.image)       [{"name": "a", "image": "nginx:1"}, {"name": "c", "image": "nginx:2"}, {"name":…
       ├─ object.spec.containers                       [{"name": "a", "image": "nginx:1"}, {"name": "b", "image": "redis"}, {"name": "…
       └─ c = item 3 of 3                              {"name": "c", "image": "nginx:2"}
          └─ c.image                                   "nginx:2"
    "#);
}

#[test]
fn the_body_over_an_optional_is_shown() {
    insta::assert_snapshot!(drawn("optional.of(object.spec.at).optMap(x, x + 1)"), @r#"
    optional.of(object.spec.at).optMap(x, x + 1)  optional.of(2)
    ├─ optional.of(object.spec.at)                optional.of(1)
    │  └─ object.spec.at                          1
    └─ x + 1                                      2
    "#);
}
