//! From text to tree: the crate `cel` parses, this file bounds it and makes our own [`Ast`] of its
//! tree, with a full span on every node.
//!
//! The crate gives each node the place of one token; the extent follows from the children and from
//! the matching brackets. Macros are not expanded by the crate but by `macros.rs`.

use ::cel::Env;
use ::cel::common::ast::{
    CallExpr, EntryExpr, Expr as Parsed, IdedEntryExpr, IdedExpr, ListExpr, LiteralValue,
    SelectExpr, SourceInfo, StructExpr,
};

use crate::text::Span;

use super::ast::{
    Ast, Call, Entry, Expr, Field, Item, Literal, NodeId, Presence, Select, Struct, operator,
};
use super::guard;
use super::issue::Issue;
use super::lex::{self, Token, TokenKind};
use super::macros;

mod syntax;

use syntax::Refused;

/// Stack for the parser and for the recursive passes over its tree. Virtual: only what is used is
/// ever committed. The deepest tree that 100,000 code points can spell needs a quarter of it in a
/// debug build.
const STACK_BYTES: usize = 256 << 20;

/// Parses an expression.
///
/// On failure there is at least one issue, the first one in the text first.
pub fn parse(source: &str) -> Result<Ast, Vec<Issue>> {
    guard::check_size(source).map_err(|issue| vec![issue])?;
    let tokens = lex::tokens(source);
    guard::check_nesting(source, &tokens).map_err(|issue| vec![issue])?;
    stacker::grow(STACK_BYTES, || parse_guarded(source, &tokens))
}

fn parse_guarded(source: &str, tokens: &[Token]) -> Result<Ast, Vec<Issue>> {
    let parser = Env::default()
        .parser()
        .enable_optional_syntax(true)
        .max_recursion_depth(u16::MAX)
        .error_recovery_limit(1);
    let (tree, info) = parser
        .parse_with_source_info(source)
        .map_err(|errors| vec![Refused { source, tokens }.issue(errors.errors.first())])?;
    let partners = lex::partners(tokens);
    let mut converter = Converter {
        source,
        tokens,
        partners,
        info,
        ast: Ast::default(),
        issues: Vec::new(),
    };
    let root = converter.convert(&tree);
    if root.depth > guard::MAX_DEPTH {
        return Err(vec![guard::too_deep(converter.ast.span(root.id))]);
    }
    if !converter.issues.is_empty() {
        return Err(converter.issues);
    }
    converter.ast.set_root(root.id);
    Ok(converter.ast)
}

/// A converted node, with the depth cel-go's visitor counts (`checkAndIncrementRecursionDepth`:
/// conditionals, relations, arithmetic, selections, indexes and member calls).
#[derive(Debug, Clone, Copy)]
pub(super) struct Converted {
    pub(super) id: NodeId,
    depth: usize,
}

/// Turns the crate's tree into ours.
pub(super) struct Converter<'s> {
    source: &'s str,
    tokens: &'s [Token],
    partners: Vec<usize>,
    info: SourceInfo,
    pub(super) ast: Ast,
    pub(super) issues: Vec<Issue>,
}

impl Converter<'_> {
    fn convert(&mut self, parsed: &IdedExpr) -> Converted {
        match &parsed.expr {
            Parsed::Literal(literal) => {
                let literal = convert_literal(literal);
                let span = self.literal_span(parsed.id, &literal);
                self.leaf(Expr::Literal(literal), span)
            }
            Parsed::Ident(name) => {
                let span = self.name_span(parsed.id, name);
                self.leaf(Expr::Ident(name.clone()), span)
            }
            Parsed::Select(select) => self.convert_select(parsed.id, select),
            Parsed::Call(call) => self.convert_call(parsed.id, call),
            Parsed::List(list) => self.convert_list(parsed.id, list),
            Parsed::Map(map) => self.convert_map(parsed.id, &map.entries),
            Parsed::Struct(message) => self.convert_struct(parsed.id, message),
            Parsed::Comprehension(_) | Parsed::Unspecified => {
                let span = self.token_span(parsed.id);
                self.issues
                    .push(Issue::new(span, "expression is not understood"));
                self.leaf(Expr::Literal(Literal::Null), span)
            }
        }
    }

    fn leaf(&mut self, expr: Expr, span: Span) -> Converted {
        Converted {
            id: self.ast.add(expr, span),
            depth: 0,
        }
    }

    fn convert_select(&mut self, id: u64, select: &SelectExpr) -> Converted {
        let operand = self.convert(&select.operand);
        let field_span = self.following_operand(self.token_at(id));
        let span = self.outer(operand.id).to(field_span);
        let select = Select {
            operand: operand.id,
            field: select.field.clone(),
            field_span,
        };
        Converted {
            id: self.ast.add(Expr::Select(select), span),
            depth: operand.depth + 1,
        }
    }

    fn convert_call(&mut self, id: u64, call: &CallExpr) -> Converted {
        if call.func_name == operator::OPT_SELECT {
            return self.convert_opt_select(id, call);
        }
        let target = call.target.as_deref().map(|target| self.convert(target));
        let arguments: Vec<Converted> = call.args.iter().map(|arg| self.convert(arg)).collect();
        let (function_span, span) = self.call_spans(id, call, target, &arguments);
        let children = target
            .iter()
            .chain(arguments.iter())
            .map(|child| child.depth)
            .max();
        let counts = target.is_some() || counts_as_level(&call.func_name);
        let depth = children.unwrap_or_default() + usize::from(counts);
        let call = Call {
            function: call.func_name.clone(),
            function_span,
            target: target.map(|target| target.id),
            arguments: arguments.iter().map(|argument| argument.id).collect(),
        };
        let expr = match macros::expand(self, &call) {
            macros::Expansion::Expression(expr) => expr,
            macros::Expansion::Call => Expr::Call(call),
        };
        Converted {
            id: self.ast.add(expr, span),
            depth,
        }
    }

    fn convert_opt_select(&mut self, id: u64, call: &CallExpr) -> Converted {
        let (Some(operand), Some(field)) = (call.args.first(), call.args.get(1)) else {
            let span = self.token_span(id);
            return self.leaf(Expr::Literal(Literal::Null), span);
        };
        let operand = self.convert(operand);
        let field = match &field.expr {
            Parsed::Literal(LiteralValue::String(name)) => name.inner().to_owned(),
            _ => String::new(),
        };
        let field_span = self.following_operand(self.token_at(id));
        let span = self.outer(operand.id).to(field_span);
        let select = Select {
            operand: operand.id,
            field,
            field_span,
        };
        Converted {
            id: self.ast.add(Expr::OptSelect(select), span),
            depth: operand.depth + 1,
        }
    }

    fn convert_list(&mut self, id: u64, list: &ListExpr) -> Converted {
        let mut depth = 0;
        let items = list
            .elements
            .iter()
            .enumerate()
            .map(|(at, element)| {
                let value = self.convert(element);
                depth = depth.max(value.depth);
                Item {
                    value: value.id,
                    presence: presence(list.optional_indices.contains(&at)),
                }
            })
            .collect();
        let span = self.bracket_span(id);
        Converted {
            id: self.ast.add(Expr::List(items), span),
            depth,
        }
    }

    fn convert_map(&mut self, id: u64, entries: &[IdedEntryExpr]) -> Converted {
        let mut depth = 0;
        let mut converted = Vec::with_capacity(entries.len());
        for entry in entries {
            if let EntryExpr::MapEntry(entry) = &entry.expr {
                let (key, value) = (self.convert(&entry.key), self.convert(&entry.value));
                depth = depth.max(key.depth).max(value.depth);
                converted.push(Entry {
                    key: key.id,
                    value: value.id,
                    presence: presence(entry.optional),
                });
            }
        }
        let span = self.bracket_span(id);
        Converted {
            id: self.ast.add(Expr::Map(converted), span),
            depth,
        }
    }

    fn convert_struct(&mut self, id: u64, message: &StructExpr) -> Converted {
        let mut depth = 0;
        let mut fields = Vec::with_capacity(message.entries.len());
        for entry in &message.entries {
            if let EntryExpr::StructField(field) = &entry.expr {
                let value = self.convert(&field.value);
                depth = depth.max(value.depth);
                fields.push(Field {
                    name: field.field.clone(),
                    value: value.id,
                    presence: presence(field.optional),
                });
            }
        }
        let body = self.bracket_span(id);
        let dots = message.type_name.matches('.').count() * 2;
        let first = self.token_at(id).saturating_sub(1 + dots);
        let name_span = self
            .token(first)
            .map_or(body, |token| Span::new(token.span.start, body.start))
            .to(Span::new(body.start, body.start));
        let message = Struct {
            name: message.type_name.clone(),
            name_span,
            fields,
        };
        Converted {
            id: self.ast.add(Expr::Struct(message), name_span.to(body)),
            depth,
        }
    }

    /// The span of the function's name and that of the whole call.
    fn call_spans(
        &self,
        id: u64,
        call: &CallExpr,
        target: Option<Converted>,
        arguments: &[Converted],
    ) -> (Span, Span) {
        let at = self.token_at(id);
        let own = self.token_span(id);
        let operands = arguments
            .iter()
            .map(|argument| self.outer(argument.id))
            .reduce(Span::to)
            .unwrap_or(own);
        match call.func_name.as_str() {
            operator::INDEX | operator::OPT_INDEX => (own, operands.to(self.bracket_span(id))),
            name if operator::is_operator(name) => (own, own.to(operands)),
            name => {
                let back = if name.starts_with('.') { 2 } else { 1 };
                let name_span = self
                    .token(at.saturating_sub(1))
                    .map_or(own, |token| token.span);
                let start = self
                    .token(at.saturating_sub(back))
                    .map_or(name_span, |token| token.span);
                let start = target.map_or(start, |target| self.outer(target.id));
                (name_span, start.to(self.bracket_span(id)))
            }
        }
    }

    fn literal_span(&self, id: u64, literal: &Literal) -> Span {
        let own = self.token_span(id);
        let is_negative = match literal {
            Literal::Int(value) => *value < 0,
            Literal::Double(value) => value.is_sign_negative(),
            _ => false,
        };
        match self.token(self.token_at(id).wrapping_sub(1)) {
            Some(sign) if is_negative && self.text(sign.span) == "-" => sign.span.to(own),
            _ => own,
        }
    }

    fn name_span(&self, id: u64, name: &str) -> Span {
        let own = self.token_span(id);
        match self.token(self.token_at(id).wrapping_sub(1)) {
            Some(dot) if name.starts_with('.') => dot.span.to(own),
            _ => own,
        }
    }

    /// The span of a node with the parentheses around it.
    fn outer(&self, id: NodeId) -> Span {
        let mut span = self.ast.span(id);
        loop {
            let first = self.token_from(span.start);
            let (Some(before), next) = (first.checked_sub(1), self.token_from(span.end)) else {
                return span;
            };
            match (self.token(before), self.token(next)) {
                (Some(open), Some(close))
                    if self.text(open.span) == "(" && self.partners.get(before) == Some(&next) =>
                {
                    span = open.span.to(close.span);
                }
                _ => return span,
            }
        }
    }

    /// The span from the bracket at a node's token to the one that closes it.
    fn bracket_span(&self, id: u64) -> Span {
        let own = self.token_span(id);
        let partner = self
            .partners
            .get(self.token_at(id))
            .and_then(|at| self.token(*at));
        partner.map_or(own, |close| own.to(close.span))
    }

    /// The span of the name behind a dot.
    fn following_operand(&self, dot: usize) -> Span {
        let rest = self.tokens.get(dot + 1..).unwrap_or_default();
        rest.iter()
            .find(|token| matches!(token.kind, TokenKind::Operand | TokenKind::In))
            .map_or(Span::default(), |token| token.span)
    }

    fn token_span(&self, id: u64) -> Span {
        let (start, stop) = self.info.offset_for(id).unwrap_or_default();
        let offset = |at: u32| usize::try_from(at).unwrap_or_default();
        Span::new(offset(start), offset(stop) + 1)
    }

    fn token_at(&self, id: u64) -> usize {
        self.token_from(self.token_span(id).start)
    }

    /// The index of the first token that starts at an offset or later.
    fn token_from(&self, offset: usize) -> usize {
        self.tokens
            .partition_point(|token| token.span.start < offset)
    }

    fn token(&self, at: usize) -> Option<&Token> {
        self.tokens.get(at)
    }

    fn text(&self, span: Span) -> &str {
        self.source.get(span.start..span.end).unwrap_or_default()
    }
}

fn presence(is_optional: bool) -> Presence {
    if is_optional {
        Presence::Optional
    } else {
        Presence::Always
    }
}

fn convert_literal(literal: &LiteralValue) -> Literal {
    match literal {
        LiteralValue::Null => Literal::Null,
        LiteralValue::Boolean(value) => Literal::Bool(*value.inner()),
        LiteralValue::Int(value) => Literal::Int(*value.inner()),
        LiteralValue::UInt(value) => Literal::Uint(*value.inner()),
        LiteralValue::Double(value) => Literal::Double(*value.inner()),
        LiteralValue::String(value) => Literal::String(value.inner().to_owned()),
        LiteralValue::Bytes(value) => Literal::Bytes(value.inner().to_vec()),
    }
}

fn counts_as_level(name: &str) -> bool {
    !matches!(
        name,
        operator::AND | operator::OR | operator::NOT | operator::NEGATE
    ) && operator::is_operator(name)
}
