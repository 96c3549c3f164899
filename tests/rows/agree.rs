//! Whether two answers are one.

use crate::rows::Answer;

/// Says whether two answers are the same: both refuse, or both have one type, value and cost; of errors
/// only that there is one. Estimates are not looked at: not every recording has them. Nothing agrees with an engine that broke.
pub(crate) fn agree(ours: &Answer, theirs: &Answer) -> bool {
    match (ours, theirs) {
        (Answer::Refused(_), Answer::Refused(_)) => true,
        (
            Answer::Evaluated {
                static_type,
                result,
                cost,
                ..
            },
            Answer::Evaluated {
                static_type: their_type,
                result: their_result,
                cost: their_cost,
                ..
            },
        ) => {
            let is_same = match (result, their_result) {
                (Ok(value), Ok(their_value)) => value == their_value,
                (Err(_), Err(_)) => true,
                _ => false,
            };
            is_same && static_type == their_type && cost == their_cost
        }
        _ => false,
    }
}
