//! IP addresses and networks as Go's `net/netip` reads them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::quote::quote;

/// A network: an address, not necessarily masked, and the length of its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    /// The address as written.
    pub address: IpAddr,
    /// Bits of the prefix; at most 32 or 128.
    pub bits: u8,
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.bits)
    }
}

impl Cidr {
    /// Reads a network (apiserver `pkg/cel/library/cidr.go`, `parseCIDR`); the error is its text.
    pub fn parse(text: &str) -> Result<Cidr, String> {
        let prefix = |reason: &str| {
            format!(
                "network address parse error during conversion from string: netip.ParsePrefix({}): {reason}",
                quote(text)
            )
        };
        let Some((address, bits)) = text.rsplit_once('/') else {
            return Err(prefix("no '/'"));
        };
        let parsed = parse_with_zone(address).map_err(|error| prefix(&error))?;
        if parsed.has_zone {
            return Err(prefix("IPv6 zones cannot be present in a prefix"));
        }
        let bad_bits = || prefix(&format!("bad bits after slash: {}", quote(bits)));
        if bits.len() > 1 && !bits.starts_with(|digit| ('1'..='9').contains(&digit)) {
            return Err(bad_bits());
        }
        let length: i64 = bits.parse().map_err(|_| bad_bits())?;
        let bits = u8::try_from(length)
            .ok()
            .filter(|bits| *bits <= width(parsed.address))
            .ok_or_else(|| prefix("prefix length out of range"))?;
        if is_mapped(parsed.address) {
            return Err(mapped(text));
        }
        Ok(Cidr {
            address: parsed.address,
            bits,
        })
    }

    /// Returns the network with the bits after the prefix cleared.
    pub fn masked(self) -> Cidr {
        Cidr {
            address: mask(self.address, self.bits),
            bits: self.bits,
        }
    }

    /// Says whether an address lies in the network.
    pub fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && mask(address, self.bits) == mask(self.address, self.bits)
    }

    /// Says whether all of a network lies in this one.
    pub fn contains_network(self, other: Cidr) -> bool {
        self.bits <= other.bits && self.contains(other.address)
    }
}

/// Reads an address (apiserver `pkg/cel/library/ip.go`, `parseIPAddr`): no zones, no IPv4 mapped into
/// IPv6; the error is its text.
pub fn parse_ip(text: &str) -> Result<IpAddr, String> {
    let parsed = parse_with_zone(text).map_err(|error| {
        let quoted = quote(text);
        format!("IP Address {quoted} parse error during conversion from string: {error}")
    })?;
    if parsed.has_zone {
        return Err(format!(
            "IP address {} with zone value is not allowed",
            quote(text)
        ));
    }
    if is_mapped(parsed.address) {
        return Err(mapped(text));
    }
    Ok(parsed.address)
}

fn mapped(text: &str) -> String {
    format!("IPv4-mapped IPv6 address {} is not allowed", quote(text))
}

fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some())
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn mask(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(u32::from(32u8.saturating_sub(bits)));
            Ipv4Addr::from(u32::from(address) & mask.unwrap_or(0)).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(u32::from(128u8.saturating_sub(bits)));
            Ipv6Addr::from(u128::from(address) & mask.unwrap_or(0)).into()
        }
    }
}

/// An address that may have had a zone.
#[derive(Debug)]
pub struct Parsed {
    /// The address without the zone.
    pub address: IpAddr,
    /// Whether a zone was given.
    pub has_zone: bool,
}

/// Reads an address as Go's `netip.ParseAddr`, with its messages.
pub fn parse_with_zone(text: &str) -> Result<Parsed, String> {
    let parsed = match text.bytes().find(|byte| matches!(byte, b'.' | b':' | b'%')) {
        Some(b'.') => parse_v4(text).map(|octets| Parsed {
            address: Ipv4Addr::from(octets).into(),
            has_zone: false,
        }),
        Some(b':') => parse_v6(text),
        Some(_) => Err(Problem::plain("missing IPv6 address")),
        None => Err(Problem::plain("unable to parse IP")),
    };
    parsed.map_err(|problem| match problem.at {
        Some(at) => format!(
            "ParseAddr({}): {} (at {})",
            quote(text),
            problem.message,
            quote(at)
        ),
        None => format!("ParseAddr({}): {}", quote(text), problem.message),
    })
}

struct Problem<'t> {
    message: &'static str,
    at: Option<&'t str>,
}

impl<'t> Problem<'t> {
    fn plain(message: &'static str) -> Self {
        Problem { message, at: None }
    }

    fn at(message: &'static str, at: &'t str) -> Self {
        Problem {
            message,
            at: Some(at),
        }
    }
}

fn parse_v4(text: &str) -> Result<[u8; 4], Problem<'_>> {
    let mut octets = [0u8; 4];
    let mut fields = octets.iter_mut();
    let (mut value, mut digits, mut dots) = (0u16, 0, 0);
    for (at, byte) in text.bytes().enumerate() {
        let rest = || text.get(at..).unwrap_or_default();
        match byte {
            b'0'..=b'9' => {
                if digits == 1 && value == 0 {
                    return Err(Problem::plain("IPv4 field has octet with leading zero"));
                }
                value = value * 10 + u16::from(byte - b'0');
                digits += 1;
                if value > 255 {
                    return Err(Problem::plain("IPv4 field has value >255"));
                }
            }
            b'.' => {
                if digits == 0 || at + 1 == text.len() {
                    let message = "IPv4 field must have at least one digit";
                    return Err(Problem::at(message, rest()));
                }
                if dots == 3 {
                    return Err(Problem::plain("IPv4 address too long"));
                }
                store(&mut fields, value);
                (value, digits) = (0, 0);
                dots += 1;
            }
            _ => return Err(Problem::at("unexpected character", rest())),
        }
    }
    if dots < 3 {
        return Err(Problem::plain("IPv4 address too short"));
    }
    store(&mut fields, value);
    Ok(octets)
}

fn store<'f>(fields: &mut impl Iterator<Item = &'f mut u8>, value: u16) {
    if let Some(field) = fields.next() {
        *field = u8::try_from(value).unwrap_or(u8::MAX);
    }
}

fn parse_v6(text: &str) -> Result<Parsed, Problem<'_>> {
    let (mut rest, zone) = match text.split_once('%') {
        Some((_, "")) => return Err(Problem::plain("zone must be a non-empty string")),
        Some((rest, zone)) => (rest, Some(zone)),
        None => (text, None),
    };
    let mut groups = Groups::default();
    if let Some(tail) = rest.strip_prefix("::") {
        groups.ellipsis = Some(0);
        rest = tail;
    }
    let only_ellipsis = groups.ellipsis.is_some() && rest.is_empty();
    while !only_ellipsis && groups.parsed.len() < 8 {
        let (group, length) = hexadecimal(rest)?;
        let after = rest.get(length..).unwrap_or_default();
        if after.starts_with('.') {
            groups.push_v4(rest)?;
            rest = "";
            break;
        }
        groups.parsed.push(group);
        rest = after;
        if rest.is_empty() {
            break;
        }
        let Some(tail) = rest.strip_prefix(':') else {
            return Err(Problem::at("unexpected character, want colon", rest));
        };
        if tail.is_empty() {
            return Err(Problem::at(
                "colon must be followed by more characters",
                rest,
            ));
        }
        rest = tail;
        if let Some(tail) = rest.strip_prefix(':') {
            if groups.ellipsis.is_some() {
                return Err(Problem::at("multiple :: in address", rest));
            }
            groups.ellipsis = Some(groups.parsed.len());
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
    }
    if !rest.is_empty() {
        return Err(Problem::at("trailing garbage after address", rest));
    }
    Ok(Parsed {
        address: groups.address()?.into(),
        has_zone: zone.is_some(),
    })
}

/// Reads up to four hexadecimal digits; gives the number and how many there were.
fn hexadecimal(text: &str) -> Result<(u16, usize), Problem<'_>> {
    let mut group = 0u16;
    let mut length = 0;
    for byte in text.bytes() {
        let Some(digit) = char::from(byte).to_digit(16) else {
            break;
        };
        if length > 3 {
            return Err(Problem::at("each group must have 4 or less digits", text));
        }
        group = group << 4 | u16::try_from(digit).unwrap_or_default();
        length += 1;
    }
    if length == 0 {
        let message = "each colon-separated field must have at least one digit";
        return Err(Problem::at(message, text));
    }
    Ok((group, length))
}

/// The groups read so far and where `::` stood among them.
#[derive(Default)]
struct Groups {
    parsed: Vec<u16>,
    ellipsis: Option<usize>,
}

impl Groups {
    /// Takes an IPv4 address that ends the text.
    fn push_v4<'t>(&mut self, text: &'t str) -> Result<(), Problem<'t>> {
        if self.ellipsis.is_none() && self.parsed.len() != 6 {
            let message = "embedded IPv4 address must replace the final 2 fields of the address";
            return Err(Problem::at(message, text));
        }
        if self.parsed.len() > 6 {
            let message = "too many hex fields to fit an embedded IPv4 at the end of the address";
            return Err(Problem::at(message, text));
        }
        let [a, b, c, d] = parse_v4(text)?;
        self.parsed.push(u16::from_be_bytes([a, b]));
        self.parsed.push(u16::from_be_bytes([c, d]));
        Ok(())
    }

    fn address(&self) -> Result<Ipv6Addr, Problem<'static>> {
        let missing = 8usize.saturating_sub(self.parsed.len());
        match self.ellipsis {
            None if missing > 0 => return Err(Problem::plain("address string too short")),
            Some(_) if missing == 0 => {
                let message = "the :: must expand to at least one field of zeros";
                return Err(Problem::plain(message));
            }
            _ => {}
        }
        let zeros_at = self.ellipsis.unwrap_or(self.parsed.len());
        let mut bits = 0u128;
        for (at, group) in self.parsed.iter().enumerate() {
            let position = if at < zeros_at { at } else { at + missing };
            bits |= u128::from(*group) << (16 * 7usize.saturating_sub(position));
        }
        Ok(Ipv6Addr::from(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_and_print_as_in_go() {
        for (text, expect) in [
            ("127.0.0.1", "127.0.0.1"),
            ("::", "::"),
            ("::1", "::1"),
            ("2001:DB8::ABCD", "2001:db8::abcd"),
            ("1::", "1::"),
            ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
            ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"),
            ("::1.2.3.4", "::102:304"),
            ("0:0:1:0:0:0:0:0", "0:0:1::"),
            ("1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"),
        ] {
            assert_eq!(parse_ip(text).unwrap().to_string(), expect, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_gos_reason() {
        for (text, reason) in [
            ("127.0.0.256", "IPv4 field has value >255"),
            ("127.0.0.01", "IPv4 field has octet with leading zero"),
            ("127.0.0", "IPv4 address too short"),
            ("1.2.3.4.5", "IPv4 address too long"),
            (
                "1..2.3",
                "IPv4 field must have at least one digit (at \".2.3\")",
            ),
            (
                "1.2.3.",
                "IPv4 field must have at least one digit (at \".\")",
            ),
            ("1.2.3.x", "unexpected character (at \"x\")"),
            (
                ":::1",
                "each colon-separated field must have at least one digit (at \":1\")",
            ),
            ("1:2", "address string too short"),
            ("1::2::3", "multiple :: in address (at \":3\")"),
            (
                "1:2:3:4:5:6:7:8:9",
                "trailing garbage after address (at \"9\")",
            ),
            (
                "1:2:3:4::5:6:7:8",
                "the :: must expand to at least one field of zeros",
            ),
            (
                "12345::",
                "each group must have 4 or less digits (at \"12345::\")",
            ),
            ("1:", "colon must be followed by more characters (at \":\")"),
            ("1x:", "unexpected character, want colon (at \"x:\")"),
            ("::1%", "zone must be a non-empty string"),
            ("%eth0", "missing IPv6 address"),
            ("abc", "unable to parse IP"),
            ("", "unable to parse IP"),
        ] {
            let expect = format!(
                "IP Address {quoted} parse error during conversion from string: ParseAddr({quoted}): {reason}",
                quoted = quote(text)
            );
            assert_eq!(parse_ip(text).unwrap_err(), expect);
        }
        for (text, expect) in [
            (
                "fe80::1%eth0",
                "IP address \"fe80::1%eth0\" with zone value is not allowed",
            ),
            (
                "::ffff:1.2.3.4",
                "IPv4-mapped IPv6 address \"::ffff:1.2.3.4\" is not allowed",
            ),
        ] {
            assert_eq!(parse_ip(text).unwrap_err(), expect);
        }
    }

    #[test]
    fn networks_contain_addresses_of_their_family() {
        let network = |text| Cidr::parse(text).unwrap();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        for (text, inside, outside) in [
            ("192.168.0.1/24", "192.168.0.255", "192.168.1.1"),
            ("0.0.0.0/0", "255.255.255.255", "::"),
            ("::/0", "ffff::", "0.0.0.0"),
            ("10.0.0.1/32", "10.0.0.1", "10.0.0.2"),
            ("::1/128", "::1", "::2"),
        ] {
            assert!(network(text).contains(address(inside)), "{text}");
            assert!(!network(text).contains(address(outside)), "{text}");
        }
        assert_eq!(
            network("192.168.0.1/24").masked().to_string(),
            "192.168.0.0/24"
        );
        assert!(network("192.168.0.0/16").contains_network(network("192.168.10.0/24")));
        assert!(!network("192.168.0.0/24").contains_network(network("192.168.0.0/16")));
        for (text, reason) in [
            ("192.168.0.0", "no '/'"),
            ("192.168.0.0/33", "prefix length out of range"),
            ("192.168.0.0/08", "bad bits after slash: \"08\""),
            ("192.168.0.0/", "bad bits after slash: \"\""),
            ("192.168.0.0/+8", "bad bits after slash: \"+8\""),
            ("fe80::%a/8", "IPv6 zones cannot be present in a prefix"),
            ("1/8", "ParseAddr(\"1\"): unable to parse IP"),
        ] {
            let error = Cidr::parse(text).unwrap_err();
            assert!(error.ends_with(reason), "{text}: {error}");
        }
    }
}
