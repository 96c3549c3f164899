//! IP addresses: apiserver `pkg/cel/library/ip.go`.

use std::net::IpAddr;

use super::super::error::Result;
use super::super::function::{Body, Call, Function, Overload, cost};
use super::super::types::Type;
use super::super::value::Value;
use super::super::value::net::parse_ip;
use super::cidr::{self, CIDR};
use super::{global, member, no_such_overload, static_cost};

/// The type of addresses.
pub(super) const IP: Type = Type::Opaque("net.IP");

/// Kubernetes has addresses since 1.30.
pub(super) const SINCE: u8 = 30;

/// The functions; `string` is declared with the conversions.
pub static FUNCTIONS: &[Function] = &[
    Function {
        name: "ip",
        doc: "Reads an IP address without a zone that is no IPv4 mapped into IPv6, or returns that of a network.",
        overloads: &[
            global(
                "string_to_ip",
                &[Type::String],
                IP,
                ip,
                cost::traverse_first,
            )
            .estimated(static_cost::traverse_first)
            .since(SINCE),
            member("cidr_ip", &[CIDR], IP, cidr::address, cost::one).since(SINCE),
        ],
        examples: &[
            ("ip('::1') == ip('0::1')", "true"),
            ("string(cidr('192.168.0.1/24').ip())", "'192.168.0.1'"),
            (
                "ip('127.0.0.256')",
                "error: IP Address \"127.0.0.256\" parse error during conversion from string: ParseAddr(\"127.0.0.256\"): IPv4 field has value >255",
            ),
        ],
    },
    Function {
        name: "isIP",
        doc: "Says whether a string is an IP address that `ip` reads.",
        overloads: &[global(
            "is_ip",
            &[Type::String],
            Type::Bool,
            is_ip,
            cost::traverse_first,
        )
        .estimated(static_cost::traverse_first)
        .since(SINCE)],
        examples: &[
            ("isIP('127.0.0.1')", "true"),
            ("isIP('127.0.0.01')", "false"),
        ],
    },
    Function {
        name: "ip.isCanonical",
        doc: "Says whether an address is written as it is printed.",
        overloads: &[global(
            "ip_is_canonical",
            &[Type::String],
            Type::Bool,
            is_canonical,
            cost_of_two_traversals,
        )
        .estimated(static_cost::two_traversals)
        .since(SINCE)],
        examples: &[
            ("ip.isCanonical('2001:db8::abcd')", "true"),
            ("ip.isCanonical('2001:DB8::ABCD')", "false"),
        ],
    },
    Function {
        name: "family",
        doc: "Returns 4 for an IPv4 address, 6 for an IPv6 address.",
        overloads: &[member("ip_family", &[IP], Type::Int, family, cost::one).since(SINCE)],
        examples: &[("ip('::1').family()", "6")],
    },
    Function {
        name: "isUnspecified",
        doc: "Says whether an address is 0.0.0.0 or ::.",
        overloads: &[test("ip_is_unspecified", is_unspecified)],
        examples: &[("ip('::').isUnspecified()", "true")],
    },
    Function {
        name: "isLoopback",
        doc: "Says whether an address lies in 127.0.0.0/8 or is ::1.",
        overloads: &[test("ip_is_loopback", is_loopback)],
        examples: &[("ip('127.1.2.3').isLoopback()", "true")],
    },
    Function {
        name: "isLinkLocalMulticast",
        doc: "Says whether an address lies in 224.0.0.0/24 or is an IPv6 multicast of link-local scope.",
        overloads: &[test("ip_is_link_local_multicast", is_link_local_multicast)],
        examples: &[
            ("ip('224.0.0.1').isLinkLocalMulticast()", "true"),
            ("ip('224.0.1.1').isLinkLocalMulticast()", "false"),
        ],
    },
    Function {
        name: "isLinkLocalUnicast",
        doc: "Says whether an address lies in 169.254.0.0/16 or fe80::/10.",
        overloads: &[test("ip_is_link_local_unicast", is_link_local_unicast)],
        examples: &[("ip('fe80::1').isLinkLocalUnicast()", "true")],
    },
    Function {
        name: "isGlobalUnicast",
        doc: "Says whether an address is none of unspecified, loopback, multicast, link-local and 255.255.255.255.",
        overloads: &[test("ip_is_global_unicast", is_global_unicast)],
        examples: &[
            ("ip('192.168.0.1').isGlobalUnicast()", "true"),
            ("ip('255.255.255.255').isGlobalUnicast()", "false"),
        ],
    },
];

const fn test(id: &'static str, body: Body) -> Overload {
    member(id, &[IP], Type::Bool, body, cost::one).since(SINCE)
}

fn ip<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::String(text)] => match parse_ip(text) {
            Ok(address) => Ok(Value::Ip(call.arena.alloc(address))),
            Err(error) => Err(call.fault(&error)),
        },
        _ => no_such_overload(call),
    }
}

fn is_ip<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::String(text)] => Ok(Value::Bool(parse_ip(text).is_ok())),
        _ => no_such_overload(call),
    }
}

fn is_canonical<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::String(text)] => match parse_ip(text) {
            Ok(address) => Ok(Value::Bool(address.to_string() == *text)),
            Err(error) => Err(call.fault(&error)),
        },
        _ => no_such_overload(call),
    }
}

fn family<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::Ip(address)] => Ok(Value::Int(if address.is_ipv4() { 4 } else { 6 })),
        _ => no_such_overload(call),
    }
}

fn is_unspecified<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    property(call, arguments, |address| address.is_unspecified())
}

fn is_loopback<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    property(call, arguments, |address| address.is_loopback())
}

fn is_link_local_multicast<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    property(call, arguments, |address| match address {
        IpAddr::V4(address) => matches!(address.octets(), [224, 0, 0, _]),
        IpAddr::V6(address) => address.segments()[0] & 0xff0f == 0xff02,
    })
}

fn is_link_local_unicast<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    property(call, arguments, link_local_unicast)
}

/// As Go's `netip.Addr.IsGlobalUnicast`: private networks count.
fn is_global_unicast<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    property(call, arguments, |address| {
        let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
        !(is_broadcast
            || address.is_unspecified()
            || address.is_loopback()
            || address.is_multicast()
            || link_local_unicast(address))
    })
}

fn link_local_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn property<'a>(call: &Call<'a>, arguments: &[Value<'a>], has: fn(IpAddr) -> bool) -> Result<'a> {
    match arguments {
        [Value::Ip(address)] => Ok(Value::Bool(has(**address))),
        _ => no_such_overload(call),
    }
}

fn cost_of_two_traversals(arguments: &[Value<'_>], _: Option<&Value<'_>>) -> u64 {
    cost::scaled(cost::size_at(arguments, 0), 2.0 * cost::TRAVERSAL)
}
