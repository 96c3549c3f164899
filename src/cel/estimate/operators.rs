//! The estimates of operators (cel-go `checker/cost.go`, `functionCost`).

use crate::cel::ast::{Call, NodeId, operator};
use crate::cel::check::Reference;
use crate::cel::check::operators::{OperatorCost, Signature, signatures};
use crate::cel::function::cost::TRAVERSAL;
use crate::cel::types::{Inferred, Type};

use super::call::CallEstimate;
use super::range::{CostEstimate, SizeEstimate};
use super::{CALL, Entries, Estimated, Estimator, NOTHING, Overloads, joined};

impl Estimator<'_> {
    pub(super) fn operator(&mut self, id: NodeId, call: &Call) -> Estimated {
        let operands: Vec<Estimated> = call
            .arguments
            .iter()
            .map(|argument| self.node(*argument))
            .collect();
        match (call.function.as_str(), operands.as_slice()) {
            (operator::AND | operator::OR, [left, right]) => {
                // The second operand may not be evaluated.
                let both = left.cost.plus(right.cost);
                let cost = CostEstimate {
                    min: left.cost.min,
                    max: both.max,
                };
                Estimated::computed(cost, self.size_without_path(id), None)
            }
            (operator::CONDITIONAL, [condition, truthy, falsy]) => Estimated::computed(
                condition.cost.plus(truthy.cost.union(falsy.cost)),
                Some(truthy.size().union(falsy.size())),
                Entries::union(truthy.entries, falsy.entries),
            ),
            (operator::INDEX, [operand, index]) => self.index(id, operand, index),
            (_, operands) => self.any_operator(id, call, operands),
        }
    }

    /// `operand[index]`: what a list or map that is written in the expression holds, is known.
    fn index(&self, id: NodeId, operand: &Estimated, index: &Estimated) -> Estimated {
        let inferred = self.checked.type_of(id);
        let (mut path, mut size, mut known) = (joined("", ""), None, None);
        for signature in self.fitting(id, operator::INDEX) {
            let step = match signature.params.first() {
                Some(Type::List(_)) => "@items",
                Some(Type::Map(..)) => "@values",
                _ => "",
            };
            if !step.is_empty() {
                path = joined(&operand.path, step);
                size = operand.entries.map(|entries| entries.value);
            }
            // What the first of the paths is known to hold, the node is taken to hold.
            known = known.or_else(|| self.sizes.size(&path, &inferred));
            size = size.or(known).or_else(|| self.size(&path, &inferred));
        }
        Estimated {
            path,
            ..Estimated::computed(operand.cost.plus(index.cost).plus(CALL), size, None)
        }
    }

    fn any_operator(&self, id: NodeId, call: &Call, operands: &[Estimated]) -> Estimated {
        let sum = operands
            .iter()
            .fold(NOTHING, |sum, operand| sum.plus(operand.cost));
        let mut all = Overloads::default();
        let mut entries = None;
        for signature in self.fitting(id, &call.function) {
            all.add(match operands {
                [left, right] => {
                    if is_concatenation(&call.function, signature) {
                        entries = entries.or(Entries::union(left.entries, right.entries));
                    }
                    self.binary(call, signature, (left, right))
                }
                _ => CallEstimate::of(CALL),
            });
            all.size = all.size.or_else(|| self.size_without_path(id));
        }
        Estimated::computed(sum.plus(all.cost()), all.size, entries)
    }

    fn binary(
        &self,
        call: &Call,
        signature: &Signature,
        (left, right): (&Estimated, &Estimated),
    ) -> CallEstimate {
        let both = left.size().plus(right.size());
        match signature.cost {
            OperatorCost::Both => CallEstimate::of(both.scaled(TRAVERSAL)).giving(both),
            OperatorCost::SecondSize => CallEstimate::of(right.size().scaled(1.0)),
            OperatorCost::Shorter => CallEstimate::of(match self.equality(call, right) {
                Some(cost) => cost,
                None => comparison(left.size(), right.size()),
            }),
            OperatorCost::One if is_concatenation(&call.function, signature) => {
                CallEstimate::of(CALL).giving(both)
            }
            OperatorCost::One => CallEstimate::of(CALL),
        }
    }

    /// What comparing two values of one of Kubernetes' own types costs (apiserver
    /// `pkg/cel/library/cost.go`; it does so for `==` only).
    fn equality(&self, call: &Call, right: &Estimated) -> Option<CostEstimate> {
        let [first, second] = call.arguments.as_slice() else {
            return None;
        };
        if call.function != operator::EQUALS {
            return None;
        }
        let Inferred::Simple(Type::Opaque(name)) = self.checked.type_of(*first) else {
            return None;
        };
        if self.checked.type_of(*second) != Inferred::Simple(Type::Opaque(name)) {
            return None;
        }
        let at_most = |max| Some(CostEstimate { min: 1, max }.scaled(TRAVERSAL));
        match name {
            // The longest name of a format (`pkg/cel/limits.go`, `MaxFormatSize`).
            "kubernetes.NamedFormat" => at_most(64),
            "kubernetes.URL" => at_most(right.size.map_or(1, |size| size.max)),
            _ => Some(CALL),
        }
    }

    /// The signatures of an operator that its operands fit.
    fn fitting(&self, id: NodeId, name: &str) -> impl Iterator<Item = &'static Signature> {
        let fitting = match self.checked.reference(id) {
            Reference::Operator(_, fitting) => *fitting,
            _ => 0,
        };
        let all = signatures(name).iter().enumerate();
        all.filter_map(move |(at, signature)| (fitting & (1 << at) != 0).then_some(signature))
    }
}

/// Says whether two lists or texts become one.
fn is_concatenation(function: &str, signature: &Signature) -> bool {
    function == operator::ADD
        && matches!(signature.result, Type::List(_) | Type::String | Type::Bytes)
}

/// A traversal of the shorter value; nothing only if one is surely empty.
pub(super) fn comparison(left: SizeEstimate, right: SizeEstimate) -> CostEstimate {
    let max = left.max.min(right.max);
    let min = u64::from(max > 0);
    CostEstimate { min, max }.scaled(TRAVERSAL)
}
