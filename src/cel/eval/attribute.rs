//! Paths: a base and the steps taken from it.
//!
//! Semantics: cel-go `interpreter/attributes.go`, `applyQualifiers` and `refQualify`. Behind the
//! first optional step every further one is optional too, and the result is an optional.

use bumpalo::collections::Vec as ArenaVec;

use crate::cel::ast::{NodeId, Presence};
use crate::cel::error::{FaultKind, Result};
use crate::cel::plan::{Attribute, Base, HasPlace, Key, Qualifier, is_key};
use crate::cel::protobuf;
use crate::cel::value::{List, Map, Message, Value};

use super::{Evaluation, Limits, Observer, evaluate};

/// What a step finds.
enum Step<'a> {
    Found(Value<'a>),
    Absent,
}

/// Where a path has led so far.
enum Place<'a> {
    /// Nowhere: an optional without a value.
    None,
    /// To a value.
    Value(Value<'a>),
    /// To a value, behind an optional or an optional step.
    Present(Value<'a>),
}

/// The value of a field that is not set: empty for the texts of a `JSONPatch`, else null (apiserver
/// `pkg/cel/mutation/jsonpatch.go`, `dynamic/objects.go`).
fn unset<'a>(message: &Message<'a>, field: &str) -> Value<'a> {
    match (message.name, field) {
        ("JSONPatch", "op" | "path" | "from") => Value::String(""),
        _ => protobuf::unset(message, field).unwrap_or(Value::Null),
    }
}

/// Follows fields of a document; `None` if anything is not there or is something else.
#[inline]
fn simple_steps<'a>(base: Value<'a>, qualifiers: &[Qualifier]) -> Option<Value<'a>> {
    let mut value = base;
    for qualifier in qualifiers {
        let (Key::Field(name), Presence::Always) = (&qualifier.key, qualifier.presence) else {
            return None;
        };
        let Value::Map(Map::Document(object)) = value else {
            return None;
        };
        value = Value::from(object.get(name)?);
    }
    Some(value)
}

impl<'a, O: Observer<'a>> Evaluation<'a, '_, O> {
    /// Reads a path; itself costs one, a conditional nothing.
    #[inline]
    pub(super) fn attribute(&mut self, node: NodeId, attribute: &'a Attribute) -> Result<'a> {
        if let Some(value) = self.simple(attribute) {
            return value;
        }
        self.any_attribute(node, attribute)
    }

    /// Reads the path that most are: fields of a document, all of them there. Anything else is
    /// `None`, before something was charged or observed.
    #[inline]
    fn simple(&mut self, attribute: &'a Attribute) -> Option<Result<'a>> {
        if Self::is_told(&attribute.qualifiers) {
            return None;
        }
        let base = self.simple_base(&attribute.base)?;
        let value = simple_steps(base, &attribute.qualifiers)?;
        let steps = u64::try_from(attribute.qualifiers.len()).unwrap_or(u64::MAX);
        Some(self.charge_steps(steps.saturating_add(1)).map(|()| value))
    }

    #[inline]
    fn simple_base(&self, base: &Base) -> Option<Value<'a>> {
        let value = match base {
            Base::Slot(slot, _) => self.inputs.slots.get(*slot),
            Base::Local(local) => self.locals.get(*local),
            _ => None,
        };
        value
            .copied()
            .filter(|value| !matches!(value, Value::Optional(_)))
    }

    /// Says whether somebody is to be told what the steps of a path find.
    #[inline]
    fn is_told(steps: &[Qualifier]) -> bool {
        O::OBSERVES && !steps.is_empty()
    }

    fn any_attribute(&mut self, node: NodeId, attribute: &'a Attribute) -> Result<'a> {
        let value = self.resolve(node, attribute);
        if !attribute.base.is_conditional() {
            self.charge(1)?;
        }
        value
    }

    /// Reads a path without the cost of the attribute itself.
    fn resolve(&mut self, node: NodeId, attribute: &'a Attribute) -> Result<'a> {
        let place = self.base(node, &attribute.base)?;
        Ok(match self.qualify(place, &attribute.qualifiers)? {
            Place::None => Value::Optional(None),
            Place::Value(value) => value,
            Place::Present(value) => Value::Optional(Some(self.call.arena.alloc(value))),
        })
    }

    fn base(&mut self, node: NodeId, base: &'a Base) -> Result<'a, Place<'a>> {
        let value = match base {
            Base::Slot(slot, name) => match self.inputs.slots.get(*slot) {
                Some(value) => Some(*value),
                None => {
                    let message = format!("no such attribute(s): {name}");
                    let message = self.call.arena.alloc_str(&message);
                    return Err(self.raise(node, FaultKind::Message(message)));
                }
            },
            Base::Local(local) => self.locals.get(*local).copied(),
            Base::OptionalLocal(local) => {
                let cost = self.unread.get_mut(*local).map(std::mem::take);
                let cost = cost.unwrap_or_default();
                self.first_read = self.first_read.wrapping_add(cost);
                self.charge(cost)?;
                self.locals.get(*local).copied()
            }
            // A step from `variables`, and so not opened if it is an optional.
            Base::Variable(at) => return self.variable(node, *at).map(Place::Value),
            Base::Node(inner) => Some(self.eval(inner)?),
            Base::Conditional(parts) => {
                let (condition, truthy, falsy) = &**parts;
                let branch = match self.eval(condition)? {
                    Value::Bool(true) => truthy,
                    Value::Bool(false) => falsy,
                    _ => return Err(self.raise(node, FaultKind::NoSuchOverload)),
                };
                let place = self.base(node, &branch.base)?;
                return self.qualify(place, &branch.qualifiers);
            }
        };
        match value {
            Some(Value::Optional(None)) => Ok(Place::None),
            Some(Value::Optional(Some(inner))) => self.native(node, *inner).map(Place::Present),
            other => Ok(Place::Value(other.unwrap_or(Value::Null))),
        }
    }

    /// Reads one of the policy's variables; the first reading computes it, under a limit of its own,
    /// and its cost is reported to this expression (apiserver `pkg/cel/lazy`,
    /// `plugin/cel/composition.go`).
    fn variable(&mut self, node: NodeId, at: usize) -> Result<'a> {
        self.charge(1)?;
        let Some(variable) = self.inputs.variables.get(at) else {
            return Err(self.raise(node, FaultKind::Message("no such variable")));
        };
        if let Some(value) = variable.value.get() {
            return value;
        }
        let value = match variable.program {
            Ok(program) => {
                let limits = Limits {
                    cost: super::PER_CALL_LIMIT,
                    ..self.limits
                };
                let (inputs, arena) = (self.inputs, self.call.arena);
                let evaluate = || evaluate(program, inputs, arena, limits, &mut super::Unobserved);
                let outcome = match variable.shared {
                    Some(shared) => shared.outcome(program, evaluate),
                    None => evaluate(),
                };
                self.reported = self.reported.saturating_add(outcome.cost);
                outcome.value
            }
            Err(fault) => Err(fault),
        };
        let value = value.map_err(|fault| match fault.kind {
            FaultKind::DeadlineExceeded | FaultKind::MemoryExceeded => fault,
            _ => {
                let failing = if variable.program.is_ok() {
                    "evaluate"
                } else {
                    "compile"
                };
                let name = variable.name;
                let message = format!("composited variable \"{name}\" fails to {failing}: {fault}");
                self.raise(
                    node,
                    FaultKind::Message(self.call.arena.alloc_str(&message)),
                )
            }
        });
        variable.value.set(Some(value));
        value
    }

    fn qualify(&mut self, place: Place<'a>, qualifiers: &'a [Qualifier]) -> Result<'a, Place<'a>> {
        let (mut value, mut is_optional) = match place {
            Place::None => return Ok(place),
            Place::Value(value) => (value, false),
            Place::Present(value) => (value, true),
        };
        for qualifier in qualifiers {
            is_optional = is_optional || qualifier.presence == Presence::Optional;
            match self.step(value, qualifier) {
                Ok(Step::Found(next)) => {
                    self.charge(1)?;
                    value = next;
                }
                Ok(Step::Absent) if is_optional => return Ok(Place::None),
                Ok(Step::Absent) => {
                    self.charge(1)?;
                    match (value, &qualifier.key) {
                        (Value::Message(message), Key::Field(field)) => {
                            value = unset(message, field);
                        }
                        _ => return Err(self.absent(value, qualifier)),
                    }
                }
                Err(fault) => {
                    if !is_optional {
                        self.charge(1)?;
                    }
                    return Err(fault);
                }
            }
            self.observer.observe(qualifier.id, &Ok(value));
        }
        Ok(match is_optional {
            true => Place::Present(value),
            false => Place::Value(value),
        })
    }

    /// What is left of a value that an optional holds when a path starts with the optional: cel-go
    /// takes it as a value of Go, which not every value survives (`common/types/provider.go`,
    /// `nativeToValue`).
    // DIVERGES: the fault of `optional-of-opaque` belongs inside the optional.
    pub(super) fn native(&self, node: NodeId, value: Value<'a>) -> Result<'a> {
        match value {
            Value::Optional(None) => Ok(Value::Null),
            Value::Optional(Some(inner)) => self.native(node, *inner),
            Value::Type(name) => Ok(Value::String(name)),
            Value::Format(_) => Ok(value),
            Value::List(List::Joined(items)) => {
                self.call
                    .step(u64::try_from(items.len()).unwrap_or(u64::MAX))?;
                self.call.reserve(size_of_val(items))?;
                let mut opened = ArenaVec::with_capacity_in(items.len(), self.call.arena);
                for item in items {
                    opened.push(self.native(node, *item)?);
                }
                Ok(Value::List(List::Values(opened.into_bump_slice())))
            }
            value if value.is_opaque() => {
                let message = format!("unsupported conversion of {}", value.type_name());
                let message = self.call.arena.alloc_str(&message);
                Err(self.raise(node, FaultKind::Message(message)))
            }
            value => Ok(value),
        }
    }

    /// `has(path)`: the last step is only tried. It costs one even when it fails, and the attribute
    /// itself nothing (apiserver sets `PresenceTestHasCost(false)`).
    pub(super) fn has(
        &mut self,
        node: NodeId,
        attribute: &'a Attribute,
        place: HasPlace,
    ) -> Result<'a> {
        let result = self.presence(node, attribute, place);
        let has_ended = result.is_err_and(|fault| fault.is_fatal());
        if attribute.base.is_conditional() && place == HasPlace::Value && !has_ended {
            // cel-go takes back the cost of the attribute, which a conditional never had
            // (`interpreter/runtimecost.go`, `costCall`).
            self.charge(u64::MAX)?;
        }
        result
    }

    fn presence(&mut self, node: NodeId, attribute: &'a Attribute, place: HasPlace) -> Result<'a> {
        let Some((last, steps)) = attribute.qualifiers.split_last() else {
            // `has(variables.name)`: a declared variable is always there.
            return self.charge(1).map(|()| Value::Bool(true));
        };
        if !Self::is_told(steps)
            && let Some(base) = self.simple_base(&attribute.base)
            && let Some(Value::Map(Map::Document(object))) = simple_steps(base, steps)
            && let Key::Field(name) = &last.key
        {
            let steps = u64::try_from(attribute.qualifiers.len()).unwrap_or(u64::MAX);
            self.charge_steps(steps)?;
            return Ok(Value::Bool(object.get(name).is_some()));
        }
        let base = self.base(node, &attribute.base)?;
        let (value, is_optional) = match self.qualify(base, steps)? {
            Place::Value(value) => (value, false),
            Place::Present(value) => (value, true),
            Place::None if place == HasPlace::Branch => return Ok(Value::Optional(None)),
            Place::None => return Ok(Value::Bool(false)),
        };
        let step = self.step(value, last);
        if !is_optional || matches!(step, Ok(Step::Found(_))) {
            self.charge(1)?;
        }
        Ok(match (step?, place) {
            (Step::Found(value), HasPlace::Branch) if is_optional => {
                Value::Optional(Some(self.call.arena.alloc(value)))
            }
            (Step::Absent, HasPlace::Branch) if is_optional => Value::Optional(None),
            (step, _) => Value::Bool(matches!(step, Step::Found(_))),
        })
    }

    fn step(&mut self, value: Value<'a>, qualifier: &'a Qualifier) -> Result<'a, Step<'a>> {
        match &qualifier.key {
            Key::Field(name) => match value {
                Value::Map(map) => Ok(map.field(name).map_or(Step::Absent, Step::Found)),
                Value::List(_) => Err(self.bad_index(qualifier.id, &Value::String(name))),
                Value::Message(message) => self.message_field(qualifier.id, message, name),
                _ => Ok(Step::Absent),
            },
            Key::Constant(constant) => self.index(qualifier.id, value, constant.value()),
            Key::Attribute(path) => {
                let key = self.resolve(qualifier.id, path)?;
                self.index(qualifier.id, value, key)
            }
            Key::Node(inner) => {
                let key = self.eval(inner)?;
                self.index(qualifier.id, value, key)
            }
        }
    }

    /// A field of a message; that a message of `google.protobuf` has no such field is a fault even of
    /// an optional step (cel-go `common/types/object.go`, `IsSet`).
    fn message_field(
        &self,
        node: NodeId,
        message: &'a Message<'a>,
        name: &str,
    ) -> Result<'a, Step<'a>> {
        if protobuf::descriptor(message.name).is_some_and(|it| it.field(name).is_none()) {
            let text = self
                .call
                .arena
                .alloc_str(&format!("no such field '{name}'"));
            return Err(self.raise(node, FaultKind::Message(text)));
        }
        Ok(message.get(name).map_or(Step::Absent, Step::Found))
    }

    fn index(&mut self, node: NodeId, value: Value<'a>, key: Value<'a>) -> Result<'a, Step<'a>> {
        if !is_key(&key) {
            let message = format!("invalid key type: {}", key.type_name());
            let message = self.call.arena.alloc_str(&message);
            return Err(self.raise(node, FaultKind::Message(message)));
        }
        match value {
            Value::Map(map) => Ok(map.get(&key).map_or(Step::Absent, Step::Found)),
            Value::List(list) => {
                let at = self.list_index(node, &key)?;
                Ok(usize::try_from(at)
                    .ok()
                    .and_then(|at| list.get(at))
                    .map_or(Step::Absent, Step::Found))
            }
            Value::Message(message) if protobuf::descriptor(message.name).is_some() => match key {
                Value::String(name) => self.message_field(node, message, name),
                _ => Err(self.raise(node, FaultKind::NoSuchOverload)),
            },
            _ => Ok(Step::Absent),
        }
    }

    /// The position a key means in a list: an integer, or a number that equals one (cel-go
    /// `common/types/list.go`, `IndexOrError`).
    fn list_index(&self, node: NodeId, key: &Value<'a>) -> Result<'a, i64> {
        match key {
            Value::Int(at) => Ok(*at),
            Value::Uint(at) => Ok(i64::try_from(*at).unwrap_or(i64::MAX)),
            Value::Double(at) if at.fract() == 0.0 && at.abs() < 9.0e18 => Ok(*at as i64),
            other => Err(self.bad_index(node, other)),
        }
    }

    fn bad_index(&self, node: NodeId, key: &Value<'a>) -> crate::cel::error::Error<'a> {
        let message = match key {
            Value::Double(value) => format!("unsupported index value {value} in list"),
            other => format!("unsupported index type '{}' in list", other.type_name()),
        };
        self.raise(
            node,
            FaultKind::Message(self.call.arena.alloc_str(&message)),
        )
    }

    /// The fault of a step that found nothing.
    fn absent(
        &mut self,
        value: Value<'a>,
        qualifier: &'a Qualifier,
    ) -> crate::cel::error::Error<'a> {
        let key = match &qualifier.key {
            Key::Field(name) => Value::String(name),
            Key::Constant(constant) => constant.value(),
            // The key was computed a moment ago; computing it again costs nothing more.
            Key::Attribute(path) => {
                let spent = self.spent;
                let key = self.resolve(qualifier.id, path).unwrap_or(Value::Null);
                self.spent = spent;
                key
            }
            Key::Node(inner) => {
                let spent = self.spent;
                let key = self.eval(inner).unwrap_or(Value::Null);
                self.spent = spent;
                key
            }
        };
        let kind = match value {
            Value::List(_) => FaultKind::IndexOutOfBounds(key),
            _ => FaultKind::NoSuchKey(key),
        };
        self.raise(qualifier.id, kind)
    }
}
