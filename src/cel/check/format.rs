//! Literal format strings: each clause must be one, have an argument, and take its type.
//!
//! Semantics: cel-go `ext/formatting.go`, `stringFormatValidator`, which looks at calls whose format
//! and list of arguments are both literals.

use crate::cel::ast::{Expr, Literal, NodeId};
use crate::cel::issue::Issue;
use crate::cel::types::{Inferred, Type};

use super::Checker;

/// A clause of a format: `%d`, `%.3f`.
struct Clause {
    letter: char,
}

impl Checker<'_> {
    /// Checks one call of `format`.
    pub(super) fn check_format(&mut self, id: NodeId) {
        let ast = self.ast;
        let Expr::Call(call) = ast.expr(id) else {
            return;
        };
        let (Some(target), [arguments]) = (call.target, call.arguments.as_slice()) else {
            return;
        };
        let (Expr::Literal(Literal::String(format)), Expr::List(items)) =
            (ast.expr(target), ast.expr(*arguments))
        else {
            return;
        };
        let at_format = ast.span(target);
        let clauses = match clauses(format) {
            Ok(clauses) => clauses,
            Err(message) => {
                self.issues.push(Issue::new(at_format, message).help(
                    "a clause is `%s`, `%d`, `%f`, `%e`, `%b`, `%x`, `%X` or `%o`; `%%` is a percent sign",
                ));
                return;
            }
        };
        for (at, clause) in clauses.iter().enumerate() {
            match items.get(at) {
                Some(item) => self.check_clause(clause, item.value),
                None => {
                    let message = format!("the format has no argument for clause {}", at + 1);
                    self.issues.push(Issue::new(at_format, message));
                    return;
                }
            }
        }
        if items.len() > clauses.len() {
            let message = format!(
                "the format takes {} arguments but is given {}",
                clauses.len(),
                items.len()
            );
            self.issues.push(Issue::new(ast.span(*arguments), message));
        }
    }

    fn check_clause(&mut self, clause: &Clause, argument: NodeId) {
        let (allowed, wanted): (&[Type], _) = match clause.letter {
            'd' => (&[Type::Int, Type::Uint], "integers"),
            'f' | 'e' => (&[Type::Double, Type::String], "doubles"),
            'b' => (&[Type::Int, Type::Uint, Type::Bool], "integers and bools"),
            'x' | 'X' => (
                &[Type::Int, Type::Uint, Type::String, Type::Bytes],
                "integers, strings and bytes",
            ),
            'o' => (&[Type::Int, Type::Uint], "integers"),
            _ => return self.check_printable(argument),
        };
        let inferred = self.type_of(argument);
        let fits = match &inferred {
            Inferred::Dyn | Inferred::Error => true,
            Inferred::Simple(simple) | Inferred::Wrapper(simple) => allowed.contains(simple),
            _ => false,
        };
        if !fits {
            let message = format!("`%{}` formats {wanted}, not `{inferred}`", clause.letter);
            self.issues
                .push(Issue::new(self.ast.span(argument), message).help("`%s` takes any value"));
        }
    }

    /// `%s` takes everything but optionals and the types of libraries, at any depth of a literal.
    fn check_printable(&mut self, argument: NodeId) {
        let inferred = self.type_of(argument);
        if matches!(
            inferred,
            Inferred::Optional(_)
                | Inferred::Any
                | Inferred::Message(_)
                | Inferred::Simple(Type::Opaque(_) | Type::Object(_))
        ) {
            let message = format!("`%s` does not format `{inferred}`");
            self.issues
                .push(Issue::new(self.ast.span(argument), message));
            return;
        }
        let ast = self.ast;
        match ast.expr(argument) {
            Expr::List(items) => items
                .iter()
                .for_each(|item| self.check_printable(item.value)),
            Expr::Map(entries) => entries.iter().for_each(|entry| {
                self.check_printable(entry.key);
                self.check_printable(entry.value);
            }),
            _ => {}
        }
    }
}

/// Splits a format into its clauses.
fn clauses(format: &str) -> Result<Vec<Clause>, String> {
    let mut clauses = Vec::new();
    let mut letters = format.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '%' || letters.next_if_eq(&'%').is_some() {
            continue;
        }
        if letters.next_if_eq(&'.').is_some() {
            let mut digits = 0;
            while letters.next_if(char::is_ascii_digit).is_some() {
                digits += 1;
            }
            if digits == 0 {
                return Err("the precision of a clause is no number".to_owned());
            }
        }
        match letters.next() {
            Some(letter @ ('s' | 'd' | 'f' | 'e' | 'b' | 'x' | 'X' | 'o')) => {
                clauses.push(Clause { letter });
            }
            Some(other) => return Err(format!("`%{other}` is no clause of a format")),
            None => return Err("the format ends within a clause".to_owned()),
        }
    }
    Ok(clauses)
}
