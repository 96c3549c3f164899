//! Networks: apiserver `pkg/cel/library/cidr.go`.

use super::super::error::Result;
use super::super::function::{Call, Function, cost};
use super::super::types::Type;
use super::super::value::Value;
use super::super::value::net::{Cidr, parse_ip};
use super::ip::{IP, SINCE};
use super::{global, member, no_such_overload, static_cost};

/// The type of networks.
pub(super) const CIDR: Type = Type::Opaque("net.CIDR");

/// The functions; `ip` is declared with addresses, `string` with the conversions.
pub static FUNCTIONS: &[Function] = &[
    Function {
        name: "cidr",
        doc: "Reads a network: an address, not necessarily masked, and the length of its prefix.",
        overloads: &[global(
            "string_to_cidr",
            &[Type::String],
            CIDR,
            cidr,
            cost::traverse_first,
        )
        .estimated(static_cost::traverse_first)
        .since(SINCE)],
        examples: &[
            ("cidr('192.168.0.0/16').prefixLength()", "16"),
            (
                "cidr('192.168.0.0/33')",
                "error: network address parse error during conversion from string: network address parse error during conversion from string: netip.ParsePrefix(\"192.168.0.0/33\"): prefix length out of range",
            ),
        ],
    },
    Function {
        name: "isCIDR",
        doc: "Says whether a string is a network that `cidr` reads.",
        overloads: &[global(
            "is_cidr",
            &[Type::String],
            Type::Bool,
            is_cidr,
            cost::traverse_first,
        )
        .estimated(static_cost::traverse_first)
        .since(SINCE)],
        examples: &[
            ("isCIDR('::1/128')", "true"),
            ("isCIDR('::1/129')", "false"),
        ],
    },
    Function {
        name: "containsIP",
        doc: "Says whether an address lies in a network.",
        overloads: &[
            member(
                "cidr_contains_ip_string",
                &[CIDR, Type::String],
                Type::Bool,
                contains_address,
                cost_of_contains_address_text,
            )
            .estimated(static_cost::contains_address_text)
            .since(SINCE),
            member(
                "cidr_contains_ip_ip",
                &[CIDR, IP],
                Type::Bool,
                contains_address,
                cost_of_contains_address,
            )
            .estimated(static_cost::contains_address)
            .since(SINCE),
        ],
        examples: &[
            ("cidr('192.168.0.0/24').containsIP('192.168.0.1')", "true"),
            (
                "cidr('192.168.0.0/24').containsIP(ip('192.168.1.1'))",
                "false",
            ),
            (
                "cidr('192.168.0.0/24').containsIP('192.168.0')",
                "error: no such overload",
            ),
        ],
    },
    Function {
        name: "containsCIDR",
        doc: "Says whether all of a network lies in another.",
        overloads: &[
            member(
                "cidr_contains_cidr_string",
                &[CIDR, Type::String],
                Type::Bool,
                contains_network,
                cost_of_contains_network_text,
            )
            .estimated(static_cost::contains_network_text)
            .since(SINCE),
            member(
                "cidr_contains_cidr",
                &[CIDR, CIDR],
                Type::Bool,
                contains_network,
                cost_of_contains_network,
            )
            .estimated(static_cost::contains_network)
            .since(SINCE),
        ],
        examples: &[
            (
                "cidr('192.168.0.0/16').containsCIDR('192.168.10.0/24')",
                "true",
            ),
            (
                "cidr('192.168.0.0/24').containsCIDR(cidr('192.168.0.0/16'))",
                "false",
            ),
        ],
    },
    Function {
        name: "prefixLength",
        doc: "Returns the length of a network's prefix in bits.",
        overloads: &[member(
            "cidr_prefix_length",
            &[CIDR],
            Type::Int,
            prefix_length,
            cost::one,
        )
        .since(SINCE)],
        examples: &[("cidr('::1/128').prefixLength()", "128")],
    },
    Function {
        name: "masked",
        doc: "Returns a network with the bits after its prefix cleared.",
        overloads: &[member("cidr_masked", &[CIDR], CIDR, masked, cost::one).since(SINCE)],
        examples: &[(
            "string(cidr('192.168.0.1/24').masked())",
            "'192.168.0.0/24'",
        )],
    },
];

/// Reads a network; upstream puts the same words before the error twice.
fn parse<'a>(call: &Call<'a>, text: &str) -> Result<'a, Cidr> {
    Cidr::parse(text).map_err(|error| {
        call.fault(&format!(
            "network address parse error during conversion from string: {error}"
        ))
    })
}

fn cidr<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::String(text)] => Ok(Value::Cidr(call.arena.alloc(parse(call, text)?))),
        _ => no_such_overload(call),
    }
}

fn is_cidr<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::String(text)] => Ok(Value::Bool(Cidr::parse(text).is_ok())),
        _ => no_such_overload(call),
    }
}

fn contains_address<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let (network, address) = match arguments {
        [Value::Cidr(network), Value::Ip(address)] => (network, **address),
        [Value::Cidr(network), Value::String(text)] => match parse_ip(text) {
            Ok(address) => (network, address),
            // Upstream takes the failed conversion for an argument of the wrong type.
            Err(_) => return no_such_overload(call),
        },
        _ => return no_such_overload(call),
    };
    Ok(Value::Bool(network.contains(address)))
}

fn contains_network<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let (network, other) = match arguments {
        [Value::Cidr(network), Value::Cidr(other)] => (network, **other),
        [Value::Cidr(network), Value::String(text)] => (network, parse(call, text)?),
        _ => return no_such_overload(call),
    };
    Ok(Value::Bool(network.contains_network(other)))
}

/// Returns the address of a network as it was written.
pub(super) fn address<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::Cidr(network)] => {
            let network: &'a Cidr = network;
            Ok(Value::Ip(&network.address))
        }
        _ => no_such_overload(call),
    }
}

fn prefix_length<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::Cidr(network)] => Ok(Value::Int(network.bits.into())),
        _ => no_such_overload(call),
    }
}

fn masked<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::Cidr(network)] => Ok(Value::Cidr(call.arena.alloc(network.masked()))),
        _ => no_such_overload(call),
    }
}

/// Two traversals of the network's bytes.
pub(super) fn cost_of_contains_address(arguments: &[Value<'_>], _: Option<&Value<'_>>) -> u64 {
    cost::scaled(
        cost::size_at(arguments, 0).saturating_mul(2),
        cost::TRAVERSAL,
    )
}

fn cost_of_contains_address_text(arguments: &[Value<'_>], result: Option<&Value<'_>>) -> u64 {
    cost_of_contains_address(arguments, result).saturating_add(traverse_second(arguments))
}

/// A third traversal to mask, and one more.
pub(super) fn cost_of_contains_network(arguments: &[Value<'_>], result: Option<&Value<'_>>) -> u64 {
    cost_of_contains_address(arguments, result)
        .saturating_add(cost::traverse_first(arguments, result))
        .saturating_add(1)
}

fn cost_of_contains_network_text(arguments: &[Value<'_>], result: Option<&Value<'_>>) -> u64 {
    cost_of_contains_network(arguments, result).saturating_add(traverse_second(arguments))
}

fn traverse_second(arguments: &[Value<'_>]) -> u64 {
    cost::scaled(cost::size_at(arguments, 1), cost::TRAVERSAL)
}
