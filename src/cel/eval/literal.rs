//! Lists, maps and messages that an expression makes.
//!
//! The first part that fails is the fault of the whole; what making it costs is charged all the same
//! (cel-go `interpreter/runtimecost.go`, `InterpretableConstructor`).

use bumpalo::collections::Vec as ArenaVec;

use crate::cel::ast::{NodeId, Presence};
use crate::cel::error::{FaultKind, Result};
use crate::cel::plan::{self, Maker, Node};
use crate::cel::value::entries::Entries;
use crate::cel::value::{List, Message, Value};

use super::{Evaluation, LIST_COST, MAP_COST, MESSAGE_COST, Observer};

impl<'a, O: Observer<'a>> Evaluation<'a, '_, O> {
    pub(super) fn list(&mut self, node: NodeId, items: &'a [(Node, Presence)]) -> Result<'a> {
        let mut values = ArenaVec::with_capacity_in(items.len(), self.call.arena);
        let made = items.iter().try_for_each(|(item, presence)| {
            values.extend(self.part(node, item, *presence)?);
            Ok(())
        });
        self.charge(LIST_COST)?;
        made.map(|()| Value::List(List::Values(values.into_bump_slice())))
    }

    pub(super) fn map(
        &mut self,
        node: NodeId,
        entries: &'a [(Node, Node, Presence)],
    ) -> Result<'a> {
        let mut values: Vec<(Value<'a>, Value<'a>)> = Vec::with_capacity(entries.len());
        let made = entries.iter().try_for_each(|(key, value, presence)| {
            let key = self.eval(key)?;
            let value = self.part(node, value, *presence)?;
            if matches!(key, Value::Semver(_) | Value::Format(_) | Value::Bytes(_)) {
                // Such values cannot be keys in Go.
                return Err(self.halt(FaultKind::Internal));
            }
            match value {
                Some(value) => values.push((key, value)),
                // An absent value takes away an earlier entry, too.
                None => values.retain(|(known, _)| !known.is_same_key(&key)),
            }
            Ok(())
        });
        self.charge(MAP_COST)?;
        made.map(|()| Value::Map(Entries::new_in(self.call.arena, &values)))
    }

    pub(super) fn message(&mut self, node: NodeId, message: &'a plan::Message) -> Result<'a> {
        let plan::Message { maker, fields } = message;
        let mut values: ArenaVec<'a, (&'a str, Value<'a>)> =
            ArenaVec::with_capacity_in(fields.len(), self.call.arena);
        let made = fields.iter().try_for_each(|(field, value, presence)| {
            let value = self.part(node, value, *presence)?;
            // Of a field given twice the last one counts; an absent one takes it away again.
            values.retain(|(known, _)| **known != **field);
            values.extend(value.map(|value| (&**field, value)));
            Ok(())
        });
        let fields = values.into_bump_slice();
        let result = made.and_then(|()| match maker {
            Maker::Mutation(name) => Ok(Value::Message(
                self.call.arena.alloc(Message { name, fields }),
            )),
            Maker::Protobuf(descriptor) => descriptor
                .make(&self.call, fields)
                .map_err(|fault| self.located(node, fault)),
            Maker::None(name) => {
                let message = format!("unknown type '{name}'");
                let message = self.call.arena.alloc_str(&message);
                Err(self.raise(node, FaultKind::Message(message)))
            }
        });
        if let Err(fault) = result
            && matches!(fault.kind, FaultKind::Internal)
        {
            return Err(self.halt(FaultKind::Internal));
        }
        self.charge(MESSAGE_COST)?;
        result
    }

    /// Evaluates an item, a value or a field; `None` if it is left out.
    fn part(
        &mut self,
        node: NodeId,
        part: &'a Node,
        presence: Presence,
    ) -> Result<'a, Option<Value<'a>>> {
        match (self.eval(part)?, presence) {
            (value, Presence::Always) => Ok(Some(value)),
            (Value::Optional(value), Presence::Optional) => Ok(value.copied()),
            (other, Presence::Optional) => {
                let message = format!(
                    "cannot initialize optional entry from non-optional value of type '{}'",
                    other.type_name()
                );
                let message = self.call.arena.alloc_str(&message);
                Err(self.raise(node, FaultKind::Message(message)))
            }
        }
    }
}
