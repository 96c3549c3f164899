//! HCL 1, as SPIRE, Consul, Nomad and Vault are configured in it, read into the values expressions
//! read: HashiCorp's first configuration language, which is not the HCL 2 of Terraform.
//!
//! What is accepted and what strings, numbers and here-documents mean is as in
//! `github.com/hashicorp/hcl` v1.0.0 (`hcl/scanner/scanner.go`, `hcl/parser/parser.go`,
//! `hcl/token/token.go`). A text that begins with `{` is JSON, as there.
//!
//! `name = value` is an entry. A block is one too: `name { … }` a map, `name "label" { … }` a map in a
//! map, so that `plugins { KeyManager "disk" { … } }` is read as `plugins.KeyManager.disk`. Blocks of
//! one name with different labels are entries of one map. Blocks of one name and the same labels are
//! a list of maps, in order.
//!
//! DIVERGES: upstream gives every block as a list and lets the last of two equal names win. Here a
//! name given twice is an error, unless it names blocks with equally many labels: whoever checks one
//! of them would miss the other. Upstream also finds names whatever their case; here they are kept
//! as written. What upstream accepts by accident is refused: a name without a value at the end, a
//! list without some of its commas, a number that runs into a name.

mod scan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bumpalo::Bump;

use crate::json::{self, Json, JsonError, Object};
use crate::text::{Position, excerpt, position};
use scan::{Scanner, Token, TokenKind};

/// Deepest nesting accepted, labels included: as of the documents of a request.
pub const MAX_DEPTH: usize = json::MAX_DEPTH;

/// Why a text is not HCL 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {}, column {}: {message}", position.line, position.column)]
pub struct HclError {
    /// Where.
    pub position: Position,
    /// What is wrong, lower case, without a final period.
    pub message: String,
}

/// Reads a configuration; strings are borrowed from it unless they hold escapes.
///
/// Takes time and memory linear in the text.
pub fn parse<'a>(arena: &'a Bump, text: &'a str) -> Result<Json<'a>, HclError> {
    if text.trim_start().starts_with('{') {
        return json::parse(arena, text.as_bytes()).map_err(of_json);
    }
    // Upstream `hcl/parser/parser.go`, `Parse`, does the same.
    let text = match text.contains("\r\n") {
        true => arena.alloc_str(&text.replace("\r\n", "\n")),
        false => text,
    };
    let mut parser = Parser {
        arena,
        scanner: Scanner::new(arena, text),
    };
    parser.document().map_err(|fault| HclError {
        position: position(text, fault.at),
        message: fault.message,
    })
}

fn of_json(error: JsonError) -> HclError {
    HclError {
        position: error.position(),
        message: error.reason(),
    }
}

/// What is wrong, and at which byte.
#[derive(Debug)]
struct Fault {
    at: usize,
    message: String,
}

fn fault<T>(at: usize, message: impl Into<String>) -> Result<T, Fault> {
    let message = message.into();
    Err(Fault { at, message })
}

/// What a name stands for so far.
enum Entry<'a> {
    /// The value of `name = value`.
    Value(Json<'a>),
    /// Blocks without a further label.
    Blocks(Vec<Json<'a>>),
    /// Blocks with a further label.
    Labelled(Box<Body<'a>>),
}

/// Names in the order of their first use.
#[derive(Default)]
struct Body<'a> {
    entries: Vec<(&'a str, Entry<'a>)>,
    /// By name its position in `entries`. Ordered and not hashed: names are chosen by whoever writes.
    places: BTreeMap<&'a str, usize>,
}

impl<'a> Body<'a> {
    /// Returns the entry of a name; `make` makes one that is not there yet.
    fn entry(&mut self, name: &'a str, make: impl FnOnce() -> Entry<'a>) -> Option<&mut Entry<'a>> {
        let next = self.entries.len();
        let at = *self.places.entry(name).or_insert(next);
        if at == next {
            self.entries.push((name, make()));
        }
        self.entries.get_mut(at).map(|(_, entry)| entry)
    }

    /// Makes the map. Recursion ends at [`MAX_DEPTH`].
    fn finish(self, arena: &'a Bump) -> Json<'a> {
        let entries = self.entries.into_iter().map(|(name, entry)| {
            let value = match entry {
                Entry::Value(value) => value,
                Entry::Labelled(body) => body.finish(arena),
                Entry::Blocks(blocks) => match blocks.as_slice() {
                    [block] => *block,
                    several => Json::List(arena.alloc_slice_copy(several)),
                },
            };
            (name, value)
        });
        let entries: Vec<_> = entries.collect();
        Json::Object(Object::new_in(arena, arena.alloc_slice_copy(&entries)))
    }
}

struct Parser<'a> {
    arena: &'a Bump,
    scanner: Scanner<'a>,
}

impl<'a> Parser<'a> {
    fn document(&mut self) -> Result<Json<'a>, Fault> {
        let (body, end) = self.body(0)?;
        match end.kind {
            TokenKind::End => Ok(body.finish(self.arena)),
            _ => fault(end.at, "this `}` closes nothing"),
        }
    }

    /// Reads entries up to a `}` or the end, and returns what that is.
    fn body(&mut self, depth: usize) -> Result<(Body<'a>, Token<'a>), Fault> {
        let mut body = Body::default();
        loop {
            let token = self.scanner.next()?;
            let name = match token.kind {
                TokenKind::CloseBrace | TokenKind::End => return Ok((body, token)),
                TokenKind::Name(name) | TokenKind::String(name) => name,
                other => return fault(token.at, format!("expected a name, found {other}")),
            };
            self.item(&mut body, (name, token.at), depth)?;
            self.scanner.skip_comma()?;
        }
    }

    /// Reads what follows the name of an entry: `= value`, or labels and a block.
    fn item(
        &mut self,
        body: &mut Body<'a>,
        (name, at): (&'a str, usize),
        depth: usize,
    ) -> Result<(), Fault> {
        let mut labels = Vec::new();
        loop {
            let token = self.scanner.next()?;
            match token.kind {
                TokenKind::Name(label) | TokenKind::String(label) => labels.push(label),
                TokenKind::OpenBrace => {
                    let depth = depth + labels.len();
                    let block = self.object(token.at, depth)?;
                    return add_block(body, (name, at), &labels, block);
                }
                TokenKind::Assign if labels.is_empty() => {
                    let value = self.value(depth)?;
                    let mut value = Some(value);
                    body.entry(name, || Entry::Value(value.take().unwrap_or(Json::Null)));
                    return match value {
                        None => Ok(()),
                        Some(_) => given_twice(name, at),
                    };
                }
                TokenKind::Assign => {
                    return fault(
                        token.at,
                        "expected `{` after the labels of a block, found `=`",
                    );
                }
                other => {
                    let message = format!("expected `=` or `{{` after a name, found {other}");
                    return fault(token.at, message);
                }
            }
        }
    }

    /// Reads the entries of a map whose `{` has been read.
    fn object(&mut self, at: usize, depth: usize) -> Result<Json<'a>, Fault> {
        if depth >= MAX_DEPTH {
            return fault(at, format!("nested deeper than {MAX_DEPTH} levels"));
        }
        let (body, end) = self.body(depth + 1)?;
        match end.kind {
            TokenKind::CloseBrace => Ok(body.finish(self.arena)),
            _ => fault(at, "this `{` is not closed"),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>, Fault> {
        let token = self.scanner.next()?;
        self.value_of(token, depth)
    }

    fn value_of(&mut self, token: Token<'a>, depth: usize) -> Result<Json<'a>, Fault> {
        match token.kind {
            TokenKind::String(text) => Ok(Json::String(text)),
            TokenKind::Bool(value) => Ok(Json::Bool(value)),
            TokenKind::Int(value) => Ok(Json::Int(value)),
            TokenKind::Double(value) => Ok(Json::Double(value)),
            TokenKind::Heredoc(text) => Ok(Json::String(text)),
            TokenKind::OpenBrace => self.object(token.at, depth),
            TokenKind::OpenBracket => self.list(token.at, depth),
            TokenKind::Name(_) => fault(token.at, "expected a value, found a name; quote a string"),
            other => fault(token.at, format!("expected a value, found {other}")),
        }
    }

    /// Reads the items of a list whose `[` has been read; a comma may follow the last one.
    fn list(&mut self, at: usize, depth: usize) -> Result<Json<'a>, Fault> {
        if depth >= MAX_DEPTH {
            return fault(at, format!("nested deeper than {MAX_DEPTH} levels"));
        }
        let mut items = Vec::new();
        loop {
            let token = self.scanner.next()?;
            match token.kind {
                TokenKind::CloseBracket => break,
                TokenKind::End => return fault(at, "this `[` is not closed"),
                _ => items.push(self.value_of(token, depth + 1)?),
            }
            let token = self.scanner.next()?;
            match token.kind {
                TokenKind::Comma => {}
                TokenKind::CloseBracket => break,
                TokenKind::End => return fault(at, "this `[` is not closed"),
                other => return fault(token.at, format!("expected `,` or `]`, found {other}")),
            }
        }
        Ok(Json::List(self.arena.alloc_slice_copy(&items)))
    }
}

/// Adds a block below its name and labels.
fn add_block<'a>(
    body: &mut Body<'a>,
    (name, at): (&'a str, usize),
    labels: &[&'a str],
    block: Json<'a>,
) -> Result<(), Fault> {
    let Some((label, rest)) = labels.split_first() else {
        return match body.entry(name, || Entry::Blocks(Vec::new())) {
            Some(Entry::Blocks(blocks)) => {
                blocks.push(block);
                Ok(())
            }
            Some(Entry::Labelled(_)) => other_labels(name, at),
            _ => given_twice(name, at),
        };
    };
    match body.entry(name, || Entry::Labelled(Box::default())) {
        Some(Entry::Labelled(inner)) => add_block(inner, (label, at), rest, block),
        Some(Entry::Blocks(_)) => other_labels(name, at),
        _ => given_twice(name, at),
    }
}

fn given_twice<T>(name: &str, at: usize) -> Result<T, Fault> {
    fault(at, format!("`{}` is given twice", excerpt(name)))
}

fn other_labels<T>(name: &str, at: usize) -> Result<T, Fault> {
    let name = excerpt(name);
    fault(
        at,
        format!("the blocks `{name}` have different numbers of labels"),
    )
}
