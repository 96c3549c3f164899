//! Whether types go together, and what the type variables must be for it.
//!
//! Semantics: cel-go `checker/types.go`. Where a match fails, what was learned on the way is
//! forgotten.

use std::sync::Arc;

use crate::cel::types::{Inferred, Type};

/// No policy's types have as many parts; each step of a chain of 250 may add one.
const MAX_PARTS: usize = 1_000;

/// What is known of the type variables.
#[derive(Debug, Default)]
pub(super) struct Unifier {
    /// By number of the variable; `None` while nothing is known.
    bindings: Vec<Option<Inferred>>,
    /// What the match under way has bound, each with what was known before.
    changes: Vec<(usize, Option<Inferred>)>,
}

impl Unifier {
    /// Makes a variable nothing is known of.
    pub(super) fn fresh(&mut self) -> Inferred {
        self.bindings.push(None);
        Inferred::Variable(self.bindings.len() - 1)
    }

    /// Says whether values of `from` may be used as `to`, binding variables as needed.
    pub(super) fn is_assignable(&mut self, from: &Inferred, to: &Inferred) -> bool {
        self.are_assignable(&[(from, to)])
    }

    /// Says whether each first type may be used as the second one, all together.
    pub(super) fn are_assignable(&mut self, pairs: &[(&Inferred, &Inferred)]) -> bool {
        self.changes.clear();
        let fits = pairs.iter().all(|(from, to)| self.assign(from, to));
        if !fits {
            while let Some((at, before)) = self.changes.pop() {
                if let Some(binding) = self.bindings.get_mut(at) {
                    *binding = before;
                }
            }
        }
        fits
    }

    /// Replaces variables by what is known of them; the unknown ones stay.
    pub(super) fn substitute(&self, inferred: &Inferred) -> Inferred {
        self.replace(inferred, false)
    }

    /// Replaces variables by what is known of them, the unknown ones by `dyn`.
    pub(super) fn finish(&self, inferred: &Inferred) -> Inferred {
        self.replace(inferred, true)
    }

    fn replace(&self, inferred: &Inferred, to_dyn: bool) -> Inferred {
        let part = |part: &Arc<Inferred>| Arc::new(self.replace(part, to_dyn));
        match inferred {
            Inferred::Variable(at) => match self.binding(*at) {
                Some(bound) => self.replace(bound, to_dyn),
                None if to_dyn => Inferred::Dyn,
                None => inferred.clone(),
            },
            Inferred::List(item) => Inferred::List(part(item)),
            Inferred::Map(key, value) => Inferred::Map(part(key), part(value)),
            Inferred::Optional(inner) => Inferred::Optional(part(inner)),
            Inferred::Type(Some(inner)) => Inferred::Type(Some(part(inner))),
            other => other.clone(),
        }
    }

    /// Says whether a type has few enough parts; types share parts, and so there can be more of them
    /// than memory could hold.
    pub(super) fn is_small(&self, inferred: &Inferred) -> bool {
        self.count(inferred, MAX_PARTS).is_some()
    }

    /// Takes the parts of a type off `left`; `None` if there are more.
    fn count(&self, inferred: &Inferred, left: usize) -> Option<usize> {
        let left = left.checked_sub(1)?;
        match inferred {
            Inferred::Variable(at) => match self.binding(*at) {
                Some(bound) => self.count(bound, left),
                None => Some(left),
            },
            Inferred::List(part) | Inferred::Optional(part) | Inferred::Type(Some(part)) => {
                self.count(part, left)
            }
            Inferred::Map(key, value) => self.count(value, self.count(key, left)?),
            _ => Some(left),
        }
    }

    fn binding(&self, at: usize) -> Option<&Inferred> {
        self.bindings.get(at).and_then(Option::as_ref)
    }

    fn bind(&mut self, at: usize, to: Inferred) {
        if let Some(binding) = self.bindings.get_mut(at) {
            self.changes.push((at, binding.replace(to)));
        }
    }

    fn assign(&mut self, from: &Inferred, to: &Inferred) -> bool {
        if let Inferred::Variable(at) = to {
            match self.stands_for(from, *at) {
                Substitution::Fits => return true,
                Substitution::Contradicts => return false,
                Substitution::Circular => {}
            }
        }
        if let Inferred::Variable(at) = from {
            return matches!(self.stands_for(to, *at), Substitution::Fits);
        }
        match (from, to) {
            (Inferred::Error, _) | (_, Inferred::Error) => true,
            (from, to) if from.is_dyn() || to.is_dyn() => true,
            (Inferred::Simple(Type::Null), other) | (other, Inferred::Simple(Type::Null)) => {
                is_nullable(other)
            }
            (
                Inferred::Simple(a) | Inferred::Wrapper(a),
                Inferred::Simple(b) | Inferred::Wrapper(b),
            ) => a == b,
            (Inferred::Type(_), Inferred::Type(_)) => true,
            (Inferred::List(a), Inferred::List(b)) => self.assign(a, b),
            (Inferred::Map(a, x), Inferred::Map(b, y)) => self.assign(a, b) && self.assign(x, y),
            (Inferred::Optional(a), Inferred::Optional(b)) => self.assign(a, b),
            (Inferred::Message(a), Inferred::Message(b)) => a == b,
            (Inferred::Schema(_), Inferred::Schema(_) | Inferred::Message(_))
            | (Inferred::Message(_), Inferred::Schema(_))
                if from.is_structural() || to.is_structural() =>
            {
                true
            }
            (Inferred::Schema(_), Inferred::Map(..)) => from.is_structural(),
            (Inferred::Map(..), Inferred::Schema(_)) => to.is_structural(),
            (Inferred::Schema(a), Inferred::Schema(b)) => a == b,
            _ => false,
        }
    }

    /// Says whether a variable may stand for a type, and binds it to the more general of this and
    /// what it stood for.
    fn stands_for(&mut self, other: &Inferred, variable: usize) -> Substitution {
        if *other == Inferred::Variable(variable) {
            return Substitution::Fits;
        }
        match self.binding(variable).cloned() {
            Some(bound) if bound == *other => Substitution::Fits,
            Some(bound) => {
                if !self.assign(other, &bound) {
                    return Substitution::Contradicts;
                }
                let general = if is_less_specific(other, &bound) {
                    other.clone()
                } else {
                    bound
                };
                if !self.occurs(variable, &general) {
                    self.bind(variable, general);
                }
                Substitution::Fits
            }
            None if self.occurs(variable, other) => Substitution::Circular,
            None => {
                self.bind(variable, other.clone());
                Substitution::Fits
            }
        }
    }

    /// Says whether a variable is part of a type.
    fn occurs(&self, variable: usize, within: &Inferred) -> bool {
        match within {
            Inferred::Variable(at) if *at == variable => true,
            Inferred::Variable(at) => self
                .binding(*at)
                .is_some_and(|bound| self.occurs(variable, bound)),
            Inferred::List(part) | Inferred::Optional(part) | Inferred::Type(Some(part)) => {
                self.occurs(variable, part)
            }
            Inferred::Map(key, value) => self.occurs(variable, key) || self.occurs(variable, value),
            _ => false,
        }
    }
}

/// What came of letting a variable stand for a type.
enum Substitution {
    /// It does.
    Fits,
    /// It already stands for something else.
    Contradicts,
    /// It is part of the type.
    Circular,
}

/// Says whether `null` may be used as a type.
fn is_nullable(inferred: &Inferred) -> bool {
    match inferred {
        Inferred::Simple(simple) => matches!(
            simple,
            Type::Null | Type::Duration | Type::Timestamp | Type::Opaque(_) | Type::Object(_)
        ),
        Inferred::Optional(_)
        | Inferred::Message(_)
        | Inferred::Wrapper(_)
        | Inferred::Schema(_) => true,
        _ => false,
    }
}

/// Says whether the first type is the second one, or is `dyn` where that says more.
pub(super) fn is_less_specific(general: &Inferred, specific: &Inferred) -> bool {
    match (general, specific) {
        (Inferred::Dyn | Inferred::Any | Inferred::Variable(_), _) => true,
        (_, Inferred::Dyn | Inferred::Any | Inferred::Variable(_)) => false,
        (Inferred::List(a), Inferred::List(b)) | (Inferred::Optional(a), Inferred::Optional(b)) => {
            is_less_specific(a, b)
        }
        (Inferred::Map(a, x), Inferred::Map(b, y)) => {
            is_less_specific(a, b) && is_less_specific(x, y)
        }
        (Inferred::Type(_), Inferred::Type(_)) => true,
        (a, b) => a == b,
    }
}
