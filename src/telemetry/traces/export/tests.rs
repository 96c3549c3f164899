//! Where spans go, by configuration and environment.

use super::*;

fn resolve(
    configured: Option<&str>,
    variables: &[(&str, &str)],
) -> Result<Option<Destination>, String> {
    let configured = configured.map(|text| endpoint(text).unwrap());
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Destination::resolve(configured.as_ref(), &variables.collect())
}

#[test]
fn the_endpoint_is_what_is_said_most_precisely() {
    let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318/");
    let traces = (
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "https://traces/v2/spans",
    );
    for (configured, variables, expected) in [
        (None, &[][..], None),
        (None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")], None),
        (None, &[all], Some("http://all:4318/v1/traces")),
        (None, &[all, traces], Some("https://traces/v2/spans")),
        (
            Some("http://mine:1"),
            &[all, traces],
            Some("http://mine:1/v1/traces"),
        ),
        (
            Some("http://mine:1"),
            &[("OTEL_SDK_DISABLED", "true")],
            None,
        ),
    ] {
        let found = resolve(configured, variables).unwrap();
        let found = found.map(|it| it.endpoint.to_string());
        assert_eq!(found.as_deref(), expected, "{configured:?} {variables:?}");
    }
}

#[test]
fn what_is_no_endpoint_is_refused() {
    for text in [
        "",
        "collector:4318",
        "grpc://collector",
        "http://user:secret@collector",
        "/v1/traces",
    ] {
        assert!(endpoint(text).is_err(), "{text}");
    }
}

#[test]
fn headers_are_read_and_never_shown() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318"),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "authorization=Bearer%20hush, x-a = 1",
        ),
        ("OTEL_SERVICE_NAME", "mine"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.name=other,k8s.pod.name=p%2D1",
        ),
    ];
    let destination = resolve(None, &variables).unwrap().unwrap();
    assert!(!format!("{destination:?}").contains("hush"));
    let headers = destination
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
    let headers = headers.collect::<Vec<_>>();
    assert_eq!(headers, [("authorization", "Bearer hush"), ("x-a", "1")]);
    let said = |name: &str| {
        destination
            .resource
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(said("service.name"), ["mine"]);
    assert_eq!(said("k8s.pod.name"), ["p-1"]);
    let wrong = [variables[0], ("OTEL_EXPORTER_OTLP_HEADERS", "a b=hush")];
    let problem = resolve(None, &wrong).unwrap_err();
    assert!(!problem.contains("hush"), "{problem}");
}
