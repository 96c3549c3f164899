//! What is read from a review, and every way not to be one.

use proptest::prelude::*;

use super::*;
use crate::json;

const SCALE: &str = r#"{
  "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "later": [{"unknown": 1}],
  "request": {
    "uid": "u-1",
    "kind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
    "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
    "subResource": "scale",
    "requestKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
    "requestResource": {"group": "apps", "version": "v1beta2", "resource": "deployments"},
    "requestSubResource": "scale",
    "name": "m\u0065shery", "namespace": "meshery", "operation": "UPDATE",
    "userInfo": {"username": "alice", "groups": ["dev", "ops"], "extra": {"k": ["v"]}},
    "object": {"spec": {"replicas": 1}}, "oldObject": {"spec": {"replicas": 3}},
    "dryRun": true, "options": {"kind": "UpdateOptions"}, "fromTheFuture": {"a": 1}
  }
}"#;

fn review(request: &str) -> String {
    format!(
        r#"{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{request}}}"#
    )
}

fn request_with(fields: &str) -> String {
    review(&format!(
        r#"{{"uid":"u","kind":{{"group":"","version":"v1","kind":"Pod"}},"resource":{{"group":"","version":"v1","resource":"pods"}},"operation":"CREATE"{fields}}}"#
    ))
}

#[test]
fn every_field_is_read_and_unknown_ones_are_passed_over() {
    let request = parse(SCALE.as_bytes()).unwrap();
    assert_eq!(request.uid, "u-1");
    assert_eq!(request.kind.kind, "Scale");
    assert_eq!(request.resource.group, "apps");
    assert_eq!(request.resource.resource, "deployments");
    assert_eq!(request.sub_resource, "scale");
    assert_eq!(request.request_kind.as_ref().unwrap().group, "autoscaling");
    assert_eq!(
        request.request_resource.as_ref().unwrap().version,
        "v1beta2"
    );
    assert_eq!(request.request_sub_resource, "scale");
    assert_eq!(request.name, "meshery");
    assert_eq!(request.namespace, "meshery");
    assert_eq!(request.operation, Operation::Update);
    assert_eq!(
        request.object.unwrap().get(),
        r#"{"spec": {"replicas": 1}}"#
    );
    assert_eq!(
        request.old_object.unwrap().get(),
        r#"{"spec": {"replicas": 3}}"#
    );
    assert!(request.dry_run);
    assert_eq!(
        request.options.unwrap().get(),
        r#"{"kind": "UpdateOptions"}"#
    );
    let user = request.user();
    assert_eq!(user.username, "alice");
    assert_eq!(user.groups, ["dev", "ops"]);
}

#[test]
fn strings_without_escapes_and_objects_are_borrowed_from_the_body() {
    let request = parse(SCALE.as_bytes()).unwrap();
    assert!(matches!(request.uid, Cow::Borrowed(_)));
    assert!(matches!(request.resource.resource, Cow::Borrowed(_)));
    assert!(matches!(request.name, Cow::Owned(_)), "it holds an escape");
    let body = SCALE.as_bytes().as_ptr_range();
    assert!(body.contains(&request.object.unwrap().get().as_ptr()));
}

#[test]
fn what_a_request_may_leave_out_is_empty() {
    for fields in [
        "",
        r#","object":null,"oldObject":null,"options":null,"userInfo":null,"dryRun":null,"name":null,"requestKind":null"#,
    ] {
        let body = request_with(fields);
        let request = parse(body.as_bytes()).unwrap();
        assert!(request.object.is_none() && request.old_object.is_none());
        assert!(request.options.is_none() && request.user_info.is_none());
        assert!(request.request_kind.is_none() && !request.dry_run);
        assert_eq!(request.name, "");
        assert_eq!(request.user(), UserInfo::default());
    }
}

#[test]
fn a_response_beside_the_request_is_passed_over() {
    let body = request_with("").replace(r#""request":"#, r#""response":{"uid":"u"},"request":"#);
    assert_eq!(parse(body.as_bytes()).unwrap().uid, "u");
}

fn check(rows: &[(&str, String, &str)]) {
    let wrong: Vec<_> = rows
        .iter()
        .map(|(name, body, expected)| (name, parse(body.as_bytes()).unwrap_err(), expected))
        .filter(|(_, got, expected)| got.to_string() != **expected)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A whole request with one piece of its text replaced.
fn but(from: &str, to: &str) -> String {
    let whole = request_with("");
    assert!(whole.contains(from), "{from}");
    whole.replace(from, to)
}

#[test]
fn what_is_not_json_says_where() {
    let not_json = "the body is not JSON (line 1, column 1)";
    check(&[
        ("nothing", String::new(), "the body is empty"),
        ("white space", " \r\n\t".into(), "the body is empty"),
        ("text", "hello".into(), not_json),
        ("YAML", "kind: A".into(), not_json),
        (
            "a comma too many",
            "{\n\"kind\":\"A\",}".into(),
            "the body is not JSON (line 2, column 12)",
        ),
        (
            "a second document",
            request_with("") + "{}",
            "the body is not JSON (line 1, column 210)",
        ),
        (
            "half a review",
            "{\"kind\":\"Adm".into(),
            "the body is truncated (line 1, column 12)",
        ),
        (
            "half an object",
            r#"{"request":{"object":{"a":[{"#.into(),
            "the body is truncated (line 1, column 28)",
        ),
    ]);
    assert_eq!(
        parse(b"{\"kind\":\"\xff\"}").unwrap_err(),
        ReviewError::NotUtf8 { offset: 9 }
    );
}

#[test]
fn what_is_not_a_review_says_what_it_is() {
    check(&[
        (
            "a list",
            "[1]".into(),
            "the body is not an AdmissionReview but a list",
        ),
        (
            "a deep list",
            "[".repeat(5_000),
            "the body is not an AdmissionReview but a list",
        ),
        (
            "a string",
            "\"x\"".into(),
            "the body is not an AdmissionReview but a string",
        ),
        (
            "a number",
            "-5".into(),
            "the body is not an AdmissionReview but a number",
        ),
        (
            "a boolean",
            "true".into(),
            "the body is not an AdmissionReview but a boolean",
        ),
        (
            "null",
            "null".into(),
            "the body is not an AdmissionReview but null",
        ),
        (
            "an empty object",
            "{}".into(),
            "the body is not an AdmissionReview but an object without `kind`",
        ),
        (
            "a pod",
            r#"{"kind":"Pod","apiVersion":"v1"}"#.into(),
            "the body is not an AdmissionReview but a `Pod` of `v1`",
        ),
        (
            "no version",
            r#"{"kind":"AdmissionReview"}"#.into(),
            "the body is not an AdmissionReview but an object `AdmissionReview` without `apiVersion`",
        ),
        (
            "a response",
            but("\"request\"", "\"response\""),
            "the AdmissionReview holds a response instead of a request",
        ),
        (
            "no request",
            review("null"),
            "the AdmissionReview holds no request",
        ),
    ]);
}

#[test]
fn what_a_request_lacks_is_named() {
    check(&[
        (
            "an empty request",
            review("{}"),
            "`request.uid` is missing or empty",
        ),
        (
            "no uid",
            but(r#""uid":"u","#, ""),
            "`request.uid` is missing or empty",
        ),
        (
            "an empty uid",
            but(r#""uid":"u""#, r#""uid":"""#),
            "`request.uid` is missing or empty",
        ),
        (
            "no kind",
            but(r#""kind":"Pod""#, r#""kind":"""#),
            "`request.kind` is missing or empty",
        ),
        (
            "no resource",
            but("\"resource\":{", "\"source\":{"),
            "`request.resource` is missing or empty",
        ),
        (
            "no operation",
            but("CREATE", ""),
            "`request.operation` is missing or empty",
        ),
        (
            "a verb",
            but("CREATE", "create"),
            "unknown operation `create`",
        ),
    ]);
}

#[test]
fn keys_given_twice_are_refused_wherever_they_are() {
    let twice = |key, column| {
        format!("the AdmissionReview has the key `{key}` twice (line 1, column {column})")
    };
    check(&[
        (
            "two uids",
            request_with(r#","uid":"v""#),
            &twice("uid", 213),
        ),
        (
            "two spellings of one key",
            request_with(r#","\u0075id":"v""#),
            &twice("uid", 218),
        ),
        (
            "two nulls",
            request_with(r#","object":null,"object":{}"#),
            &twice("object", 230),
        ),
        (
            "two requests",
            but(r#""request":"#, r#""request":null,"request":"#),
            &twice("request", 85),
        ),
        (
            "two groups",
            but(r#""group":"","#, r#""group":"","group":"x","#),
            &twice("group", 108),
        ),
    ]);
}

#[test]
fn fields_of_another_type_are_refused() {
    let wrong = |column| {
        format!("a field of the AdmissionReview has the wrong type (line 1, column {column})")
    };
    let deep = format!(r#","name":{}"#, "[".repeat(5_000));
    check(&[
        ("a numeric uid", but(r#""u""#, "5"), &wrong(79)),
        ("a deep name", request_with(&deep), &wrong(216)),
        (
            "dry run in words",
            request_with(r#","dryRun":"yes""#),
            &wrong(222),
        ),
        (
            "an object in words",
            request_with(r#","object":"pod""#),
            "`request.object` is not a JSON object",
        ),
        (
            "a list of users",
            request_with(r#","userInfo":[]"#),
            "`request.userInfo` is not a JSON object",
        ),
    ]);
}

#[test]
fn who_sends_an_old_version_is_told_what_to_set() {
    let body = request_with("").replace("io/v1", "io/v1beta1");
    let error = parse(body.as_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`admission.k8s.io/v1beta1` is not a supported version of AdmissionReview"
    );
    assert_eq!(
        error.help(),
        Some("set `admissionReviewVersions: [v1]` in the webhook configuration")
    );
}

/// A request whose object is `depth` levels deep, its own braces included.
fn nested(depth: usize) -> String {
    let object = format!(
        r#"{{"a":{}{}}}"#,
        "[".repeat(depth - 1),
        "]".repeat(depth - 1)
    );
    request_with(&format!(r#","object":{object},"unknown":{object}"#))
}

#[test]
fn an_object_of_the_greatest_depth_is_read() {
    let body = nested(json::MAX_DEPTH);
    let request = parse(body.as_bytes()).unwrap();
    let arena = bumpalo::Bump::new();
    assert!(json::parse(&arena, request.object.unwrap().get().as_bytes()).is_ok());
}

#[test]
fn an_object_of_five_thousand_levels_is_an_error_when_it_is_read() {
    let body = nested(5_000);
    let request = parse(body.as_bytes()).unwrap();
    let arena = bumpalo::Bump::new();
    let error = json::parse(&arena, request.object.unwrap().get().as_bytes()).unwrap_err();
    assert!(matches!(error, json::JsonError::TooDeep { .. }), "{error}");
}

#[test]
fn a_million_levels_need_no_stack() {
    assert!(parse(nested(1_000_000).as_bytes()).is_ok());
}

#[test]
#[ignore = "needs the recordings in $PORTCULLIS_CORPUS"]
fn recorded_bodies_are_read() {
    let corpus = std::env::var_os("PORTCULLIS_CORPUS").unwrap();
    let mut read = 0;
    for entry in std::fs::read_dir(std::path::Path::new(&corpus).join("reviews")).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("index.json") {
            continue;
        }
        let body = std::fs::read(&path).unwrap();
        match parse(&body) {
            Ok(request) => {
                let arena = bumpalo::Bump::new();
                for object in [request.object, request.old_object].into_iter().flatten() {
                    json::parse(&arena, object.get().as_bytes()).unwrap();
                }
                assert!(!request.user().username.is_empty(), "{}", path.display());
            }
            Err(ReviewError::WrongApiVersion { found }) => {
                assert_eq!(found, "admission.k8s.io/v1beta1", "{}", path.display());
                assert!(path.to_string_lossy().contains("v1beta1"));
            }
            Err(error) => panic!("{}: {error}", path.display()),
        }
        read += 1;
    }
    assert_eq!(read, 66);
}

proptest! {
    #[test]
    fn no_mutation_of_a_body_is_a_panic(
        edits in proptest::collection::vec((0..SCALE.len(), any::<u8>(), 0..3_u8), 1..8),
        cut in 0..SCALE.len(),
    ) {
        let mut body = SCALE.as_bytes().to_vec();
        for (at, byte, how) in edits {
            let at = at.min(body.len() - 1);
            match how {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                _ => drop(body.remove(at)),
            }
        }
        let _ = parse(&body);
        let cut = cut.min(body.len());
        if let Ok(request) = parse(&body[..cut]) {
            prop_assert!(!request.uid.is_empty());
        }
    }

    #[test]
    fn a_body_that_ends_too_early_is_truncated(cut in 1..SCALE.len()) {
        let error = parse(&SCALE.as_bytes()[..cut]).unwrap_err();
        prop_assert!(matches!(error, ReviewError::Truncated { .. }), "{error}");
    }
}
