//! URLs: apiserver `pkg/cel/library/urls.go`.

use super::super::error::Result;
use super::super::function::{Body, Call, Function, Overload, cost};
use super::super::types::Type;
use super::super::value::entries::Entries;
use super::super::value::url::{Url, check};
use super::super::value::{List, Value};
use super::{global, member, no_such_overload, static_cost};

const URL: Type = Type::Opaque("kubernetes.URL");
const STRINGS: Type = Type::List(&Type::String);

/// The functions.
pub static FUNCTIONS: &[Function] = &[
    Function {
        name: "url",
        doc: "Reads a URL that is absolute or an absolute path.",
        overloads: &[global(
            "string_to_url",
            &[Type::String],
            URL,
            url,
            cost::traverse_first,
        )
        .estimated(static_cost::traverse_same_size)],
        examples: &[
            ("url('/absolute-path').getEscapedPath()", "'/absolute-path'"),
            (
                "url('https://a:b:c/')",
                "error: URL parse error during conversion from string: parse \"https://a:b:c/\": invalid port \":b:c\" after host",
            ),
        ],
    },
    Function {
        name: "isURL",
        doc: "Says whether a string is a URL that is absolute or an absolute path.",
        // Upstream's estimator does not know it.
        overloads: &[global(
            "is_url_string",
            &[Type::String],
            Type::Bool,
            is_url,
            cost::one,
        )],
        examples: &[
            (
                "isURL('https://user:pass@example.com:80/path?query=val#fragment')",
                "true",
            ),
            ("isURL('../relative-path')", "false"),
        ],
    },
    Function {
        name: "getScheme",
        doc: "Returns the scheme of a URL; empty if there is none.",
        overloads: &[part("url_get_scheme", scheme)],
        examples: &[("url('HTTPS://example.com/').getScheme()", "'https'")],
    },
    Function {
        name: "getHost",
        doc: "Returns host and port of a URL, an IPv6 address in brackets; empty if there is none.",
        overloads: &[part("url_get_host", host)],
        examples: &[("url('https://[::1]:80/').getHost()", "'[::1]:80'")],
    },
    Function {
        name: "getHostname",
        doc: "Returns the host of a URL without port and brackets; empty if there is none.",
        overloads: &[part("url_get_hostname", host_name)],
        examples: &[("url('https://[::1]:80/').getHostname()", "'::1'")],
    },
    Function {
        name: "getPort",
        doc: "Returns the port of a URL as a string; empty if there is none.",
        overloads: &[part("url_get_port", port)],
        examples: &[
            ("url('https://example.com:80/').getPort()", "'80'"),
            ("url('/path').getPort()", "''"),
        ],
    },
    Function {
        name: "getEscapedPath",
        doc: "Returns the path of a URL, escaped; empty if there is none.",
        overloads: &[part("url_get_escaped_path", path)],
        examples: &[(
            "url('https://example.com/with space/').getEscapedPath()",
            "'/with%20space/'",
        )],
    },
    Function {
        name: "getQuery",
        doc: "Returns the parameters of a URL's query, unescaped, each with all its values.",
        overloads: &[member(
            "url_get_query",
            &[URL],
            Type::Map(&Type::String, &STRINGS),
            query,
            cost::one,
        )],
        examples: &[(
            "url('https://example.com/path?k1=a&k2=b&k2=c').getQuery()",
            "{'k1': ['a'], 'k2': ['b', 'c']}",
        )],
    },
];

const fn part(id: &'static str, body: Body) -> Overload {
    member(id, &[URL], Type::String, body, cost::one)
}

fn url<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::String(text)] => match Url::parse(call.arena, text) {
            Ok(url) => Ok(Value::Url(call.arena.alloc(url))),
            Err(error) => {
                let message = format!("URL parse error during conversion from string: {error}");
                Err(call.fault(&message))
            }
        },
        _ => no_such_overload(call),
    }
}

fn is_url<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::String(text)] => Ok(Value::Bool(check(call.arena, text).is_ok())),
        _ => no_such_overload(call),
    }
}

fn scheme<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    text(call, arguments, |url| url.scheme)
}

fn host<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    text(call, arguments, |url| url.host)
}

fn host_name<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    text(call, arguments, |url| url.host_name())
}

fn port<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    text(call, arguments, |url| url.port())
}

fn path<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    text(call, arguments, |url| url.path)
}

fn text<'a>(
    call: &Call<'a>,
    arguments: &[Value<'a>],
    select: fn(&Url<'a>) -> &'a str,
) -> Result<'a> {
    match arguments {
        [Value::Url(url)] => Ok(Value::String(select(url))),
        _ => no_such_overload(call),
    }
}

fn query<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let [Value::Url(url)] = arguments else {
        return no_such_overload(call);
    };
    let mut parameters: Vec<(String, Vec<Value<'a>>)> = Vec::new();
    for (key, value) in url.parameters() {
        let value = Value::String(call.arena.alloc_str(&value));
        match parameters.iter_mut().find(|(name, _)| *name == key) {
            Some((_, values)) => values.push(value),
            None => parameters.push((key, vec![value])),
        }
    }
    let entries = parameters
        .iter()
        .map(|(key, values)| {
            let values = List::Values(call.arena.alloc_slice_copy(values));
            (
                Value::String(call.arena.alloc_str(key)),
                Value::List(values),
            )
        })
        .collect::<Vec<_>>();
    Ok(Value::Map(Entries::new_in(call.arena, &entries)))
}
