//! URLs as Go's `net/url` reads and prints them.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use bumpalo::Bump;

use super::net::parse_with_zone;
use super::quote::quote;

/// A URL taken apart.
#[derive(Debug, Clone, Copy, Default)]
pub struct Url<'a> {
    /// The scheme in lower case; empty for a path.
    pub scheme: &'a str,
    /// Host and port, unescaped.
    pub host: &'a str,
    /// The query as written, without its question mark.
    pub query: &'a str,
    /// The path, escaped.
    pub path: &'a str,
    /// What follows the scheme of a URL like `mailto:a@b`.
    opaque: &'a str,
    /// User and password, escaped.
    user: Option<&'a str>,
    /// A question mark without a query.
    force_query: bool,
    /// `scheme:/path`
    omit_host: bool,
    /// The fragment, escaped.
    fragment: &'a str,
}

impl<'a> Url<'a> {
    /// Reads a URL that must be absolute or an absolute path, and may have a fragment: what the CEL
    /// function `url` takes (apiserver `pkg/cel/library/urls.go`). The error is Go's text.
    pub fn parse(arena: &'a Bump, text: &'a str) -> Result<Url<'a>, String> {
        check(arena, text)?;
        let (main, fragment) = text.split_once('#').unwrap_or((text, ""));
        let url = parse(arena, main, Strictness::Reference);
        let mut url = url.map_err(|error| wrapped(main, &error))?;
        url.fragment =
            component(arena, fragment, Mode::Fragment).map_err(|error| wrapped(text, &error))?;
        Ok(url)
    }

    /// Returns the host without port and brackets.
    pub fn host_name(self) -> &'a str {
        self.split_port().0
    }

    /// Returns the port; empty if there is none.
    pub fn port(self) -> &'a str {
        self.split_port().1
    }

    fn split_port(self) -> (&'a str, &'a str) {
        let colon = self.host.rfind(':');
        let (host, port) = colon
            .and_then(|colon| self.host.split_at_checked(colon))
            .filter(|(_, port)| is_optional_port(port))
            .unwrap_or((self.host, ""));
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        (bare.unwrap_or(host), port.get(1..).unwrap_or_default())
    }

    /// Returns the parameters of the query in their order, unescaped; malformed ones are left out
    /// (`parseQuery`). Bytes that are no UTF-8 become U+FFFD.
    pub fn parameters(self) -> Vec<(String, String)> {
        // Go gives up on more (`urlmaxqueryparams`).
        const MAX_PARAMETERS: usize = 10_000;
        if self.query.bytes().filter(|byte| *byte == b'&').count() >= MAX_PARAMETERS {
            return Vec::new();
        }
        let text = |part: &str| {
            let bytes = unescape(part, Mode::Query).ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        self.query
            .split('&')
            .filter(|parameter| !parameter.is_empty() && !parameter.contains(';'))
            .filter_map(|parameter| {
                let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
                Some((text(key)?, text(value)?))
            })
            .collect()
    }
}

/// Says whether a text is a URL that is absolute or an absolute path (`url.ParseRequestURI`), which
/// takes a fragment for a part of the path or the query; the error is Go's text.
pub fn check(arena: &Bump, text: &str) -> Result<(), String> {
    match parse(arena, text, Strictness::Request) {
        Ok(_) => Ok(()),
        Err(error) => Err(wrapped(text, &error)),
    }
}

fn wrapped(text: &str, error: &str) -> String {
    format!("parse {}: {error}", quote(text))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Strictness {
    /// Relative references are refused.
    Request,
    /// Anything goes that `url.Parse` takes.
    Reference,
}

fn parse<'a>(arena: &'a Bump, text: &str, strictness: Strictness) -> Result<Url<'a>, String> {
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    if text.is_empty() && strictness == Strictness::Request {
        return Err("empty url".to_owned());
    }
    let mut url = Url::default();
    if text == "*" {
        url.path = "*";
        return Ok(url);
    }
    let (scheme, rest) = split_scheme(text)?;
    let scheme = &*arena.alloc_str(&scheme.to_ascii_lowercase());
    url.scheme = scheme;
    let rest = match rest.split_once('?') {
        Some((rest, "")) => {
            url.force_query = true;
            rest
        }
        Some((rest, query)) => {
            url.query = arena.alloc_str(query);
            rest
        }
        None => rest,
    };
    if !rest.starts_with('/') {
        if !scheme.is_empty() {
            url.opaque = arena.alloc_str(rest);
            return Ok(url);
        }
        if strictness == Strictness::Request {
            return Err("invalid URI for request".to_owned());
        }
        if rest
            .split('/')
            .next()
            .is_some_and(|segment| segment.contains(':'))
        {
            return Err("first path segment in URL cannot contain colon".to_owned());
        }
    }
    let with_host =
        !scheme.is_empty() || strictness == Strictness::Reference && !rest.starts_with("///");
    let path = match rest.strip_prefix("//").filter(|_| with_host) {
        Some(rest) => {
            let slash = rest.find('/').unwrap_or(rest.len());
            let (authority, path) = rest.split_at_checked(slash).unwrap_or((rest, ""));
            read_authority(arena, &mut url, authority)?;
            path
        }
        None => {
            url.omit_host = !scheme.is_empty() && rest.starts_with('/');
            rest
        }
    };
    url.path = component(arena, path, Mode::Path)?;
    Ok(url)
}

/// Splits off `scheme:`.
fn split_scheme(text: &str) -> Result<(&str, &str), String> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err("missing protocol scheme".to_owned()),
            b':' => return Ok(text.split_once(':').unwrap_or(("", text))),
            _ => return Ok(("", text)),
        }
    }
    Ok(("", text))
}

fn read_authority<'a>(arena: &'a Bump, url: &mut Url<'a>, authority: &str) -> Result<(), String> {
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    url.host = arena.alloc_str(&read_host(url.scheme, host)?);
    let Some(user) = user else { return Ok(()) };
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
    if !user.bytes().all(valid) {
        return Err("net/url: invalid userinfo".to_owned());
    }
    let escaped = |part| Ok::<_, String>(escape(&unescape(part, Mode::User)?, Mode::User));
    url.user = Some(match user.split_once(':') {
        Some((name, password)) => {
            arena.alloc_str(&format!("{}:{}", escaped(name)?, escaped(password)?))
        }
        None => arena.alloc_str(&escaped(user)?),
    });
    Ok(())
}

fn read_host(scheme: &str, host: &str) -> Result<String, String> {
    let lossy = |bytes: Cow<'_, [u8]>| String::from_utf8_lossy(&bytes).into_owned();
    let bad_port = |port: &str| format!("invalid port {} after host", quote(port));
    match host.rfind('[') {
        None => {}
        Some(0) => {
            let literal = host.get(1..).unwrap_or_default();
            let Some((name, port)) = literal.rsplit_once(']') else {
                return Err("missing ']' in host".to_owned());
            };
            if !is_optional_port(port) {
                return Err(bad_port(port));
            }
            let (address, zone) = match name.find("%25").and_then(|at| name.split_at_checked(at)) {
                Some((address, zone)) => (address, zone),
                None => (name, ""),
            };
            let name = lossy(unescape(address, Mode::Host)?) + &lossy(unescape(zone, Mode::Zone)?);
            let parsed =
                parse_with_zone(&name).map_err(|error| format!("invalid host: {error}"))?;
            if matches!(parsed.address, IpAddr::V4(_)) {
                return Err("invalid IP-literal".to_owned());
            }
            return Ok(format!("[{name}]{port}"));
        }
        Some(_) => return Err("invalid IP-literal".to_owned()),
    }
    // Databases list hosts with ports: only the web's schemes are strict about colons.
    let colon = match scheme {
        "http" | "https" => host.find(':'),
        _ => host.rfind(':'),
    };
    if let Some(port) = colon.and_then(|colon| host.get(colon..))
        && !is_optional_port(port)
    {
        return Err(bad_port(port));
    }
    Ok(lossy(unescape(host, Mode::Host)?))
}

fn is_optional_port(port: &str) -> bool {
    match port.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => port.is_empty(),
    }
}

/// The part of a URL a text is in; each leaves other characters unescaped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Path,
    User,
    Query,
    Fragment,
    Host,
    Zone,
}

impl Mode {
    /// Says whether a byte stands as it is (`net/url`, `encoding_table.go`).
    fn keeps(self, byte: u8) -> bool {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            return true;
        }
        let also: &[u8] = match self {
            Mode::Path => b"$&+,/:;=@",
            Mode::User => b"$&+,;=",
            Mode::Query => b"",
            Mode::Fragment => b"$&+,/:;=?@!()*",
            Mode::Host | Mode::Zone => b"!$&'()*+,;=:[]<>\"",
        };
        also.contains(&byte)
    }
}

/// Returns a path or fragment escaped: as it was written, if that is a valid escaping.
fn component<'a>(arena: &'a Bump, text: &str, mode: Mode) -> Result<&'a str, String> {
    let unescaped = unescape(text, mode)?;
    let is_valid = |byte| b"!$&'()*+,;=:@[]%".contains(&byte) || mode.keeps(byte);
    if text.bytes().all(is_valid) {
        return Ok(arena.alloc_str(text));
    }
    Ok(arena.alloc_str(&escape(&unescaped, mode)))
}

fn unescape(text: &str, mode: Mode) -> Result<Cow<'_, [u8]>, String> {
    let bad_escape = |escape: &[u8]| {
        format!(
            "invalid URL escape {}",
            quote(&String::from_utf8_lossy(escape))
        )
    };
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    let mut changed = false;
    while let Some((byte, tail)) = rest.split_first() {
        match (*byte, tail) {
            (b'%', [high, low, after @ ..]) if both_hexadecimal(*high, *low) => {
                let value = hexadecimal(*high) << 4 | hexadecimal(*low);
                let escape = rest.get(..3).unwrap_or_default();
                let allowed = match mode {
                    Mode::Host => value >= 0x80 || escape == b"%25",
                    Mode::Zone => escape == b"%25" || value == b' ' || Mode::Host.keeps(value),
                    _ => true,
                };
                if !allowed {
                    return Err(bad_escape(escape));
                }
                bytes.push(value);
                changed = true;
                rest = after;
                continue;
            }
            (b'%', _) => {
                let length = rest.len().min(3);
                return Err(bad_escape(rest.get(..length).unwrap_or_default()));
            }
            (b'+', _) if mode == Mode::Query => {
                bytes.push(b' ');
                changed = true;
            }
            (byte, _)
                if matches!(mode, Mode::Host | Mode::Zone)
                    && byte.is_ascii()
                    && !mode.keeps(byte) =>
            {
                let letter = quote(&char::from(byte).to_string());
                return Err(format!("invalid character {letter} in host name"));
            }
            (byte, _) => bytes.push(byte),
        }
        rest = tail;
    }
    Ok(if changed {
        Cow::Owned(bytes)
    } else {
        Cow::Borrowed(text.as_bytes())
    })
}

fn both_hexadecimal(high: u8, low: u8) -> bool {
    high.is_ascii_hexdigit() && low.is_ascii_hexdigit()
}

fn hexadecimal(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit & 0xf) + 9,
    }
}

fn escape(bytes: &[u8], mode: Mode) -> String {
    let mut escaped = String::with_capacity(bytes.len());
    for byte in bytes {
        if mode.keeps(*byte) {
            escaped.push(char::from(*byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// Prints the URL as `URL.String` does.
impl fmt::Display for Url<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.scheme.is_empty() {
            write!(formatter, "{}:", self.scheme)?;
        }
        if !self.opaque.is_empty() {
            formatter.write_str(self.opaque)?;
        } else {
            let has_authority = !self.host.is_empty() || self.user.is_some();
            let has_scheme = !self.scheme.is_empty();
            if has_authority || has_scheme && !self.omit_host && !self.path.is_empty() {
                formatter.write_str("//")?;
            }
            if let Some(user) = self.user {
                write!(formatter, "{user}@")?;
            }
            formatter.write_str(&escape(self.host.as_bytes(), Mode::Host))?;
            formatter.write_str(self.path)?;
        }
        if self.force_query || !self.query.is_empty() {
            write!(formatter, "?{}", self.query)?;
        }
        if !self.fragment.is_empty() {
            write!(formatter, "#{}", self.fragment)?;
        }
        Ok(())
    }
}

/// URLs are equal if they print the same.
impl PartialEq for Url<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart_as_in_go() {
        let arena = Bump::new();
        for (text, host, name, port, path, printed) in [
            ("/path", "", "", "", "/path", "/path"),
            (
                "https://a:80/p?q#f",
                "a:80",
                "a",
                "80",
                "/p",
                "https://a:80/p?q#f",
            ),
            (
                "https://[::1]:80/",
                "[::1]:80",
                "::1",
                "80",
                "/",
                "https://[::1]:80/",
            ),
            ("https://[::1]", "[::1]", "::1", "", "", "https://[::1]"),
            ("https://u:p%40@a/", "a", "a", "", "/", "https://u:p%40@a/"),
            ("HTTP://A/b c", "A", "A", "", "/b%20c", "http://A/b%20c"),
            ("http://a/%2f!x", "a", "a", "", "/%2f!x", "http://a/%2f!x"),
            (
                "http://a/[x]\"",
                "a",
                "a",
                "",
                "/%5Bx%5D%22",
                "http://a/%5Bx%5D%22",
            ),
            ("mailto:a@b", "", "", "", "", "mailto:a@b"),
            ("file:///x", "", "", "", "/x", "file:///x"),
            ("file:/x", "", "", "", "/x", "file:/x"),
            ("http://a?", "a", "a", "", "", "http://a?"),
            ("//x/y", "x", "x", "", "/y", "//x/y"),
            ("*", "", "", "", "*", "*"),
            (
                "db://a:1,b:2/x",
                "a:1,b:2",
                "a:1,b",
                "2",
                "/x",
                "db://a:1,b:2/x",
            ),
        ] {
            let url = Url::parse(&arena, text).unwrap();
            let got = (
                url.host,
                url.host_name(),
                url.port(),
                url.path,
                &*url.to_string(),
            );
            assert_eq!(got, (host, name, port, path, printed), "{text}");
        }
    }

    #[test]
    fn parameters_keep_their_order_and_repeats() {
        let arena = Bump::new();
        let url = Url::parse(
            &arena,
            "http://a/?k=1&k=2+3&%61%20b=c%26&&;x=1&bad=%zz&flag",
        )
        .unwrap();
        let parameters = url.parameters();
        let pairs = parameters
            .iter()
            .map(|(key, value)| (&**key, &**value))
            .collect::<Vec<_>>();
        assert_eq!(
            pairs,
            [("k", "1"), ("k", "2 3"), ("a b", "c&"), ("flag", "")]
        );
    }

    #[test]
    fn what_is_no_url_is_refused_with_gos_reason() {
        let arena = Bump::new();
        for (text, expect) in [
            ("", "parse \"\": empty url"),
            ("../x", "parse \"../x\": invalid URI for request"),
            (":x", "parse \":x\": missing protocol scheme"),
            (
                "http://a b/",
                "parse \"http://a b/\": invalid character \" \" in host name",
            ),
            (
                "https://a:b:c/",
                "parse \"https://a:b:c/\": invalid port \":b:c\" after host",
            ),
            (
                "http://a:x/",
                "parse \"http://a:x/\": invalid port \":x\" after host",
            ),
            ("http://[::1", "parse \"http://[::1\": missing ']' in host"),
            (
                "http://[1.2.3.4]",
                "parse \"http://[1.2.3.4]\": invalid IP-literal",
            ),
            (
                "http://a%41/",
                "parse \"http://a%41/\": invalid URL escape \"%41\"",
            ),
            ("/%zz", "parse \"/%zz\": invalid URL escape \"%zz\""),
            ("/a%2", "parse \"/a%2\": invalid URL escape \"%2\""),
            (
                "http://u^@a/",
                "parse \"http://u^@a/\": net/url: invalid userinfo",
            ),
            (
                "/a\n",
                "parse \"/a\\n\": net/url: invalid control character in URL",
            ),
            ("/#%zz", "parse \"/#%zz\": invalid URL escape \"%zz\""),
        ] {
            assert_eq!(Url::parse(&arena, text).unwrap_err(), expect);
        }
    }
}
