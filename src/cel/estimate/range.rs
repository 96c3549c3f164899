//! Least and most: the arithmetic of estimates, which ends at the largest number instead of
//! overflowing (cel-go `checker/cost.go`, `CostEstimate`, `SizeEstimate`).

/// A number that is not known exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Range {
    /// The least it can be.
    pub min: u64,
    /// The most it can be.
    pub max: u64,
}

/// What an evaluation costs, in CEL cost units.
pub type CostEstimate = Range;

/// The characters of a string, the bytes, the items of a list or the entries of a map.
pub type SizeEstimate = Range;

/// A maximum from here on comes from a size nothing is known of: a traversal, the cheapest that can
/// be done with one, costs a tenth of it. No text is long enough to write so much down.
const UNBOUNDED: u64 = u64::MAX / 10;

impl Range {
    /// A number nothing is known of.
    pub const UNKNOWN: Range = Range {
        min: 0,
        max: u64::MAX,
    };

    /// Returns a number that is known.
    pub const fn fixed(number: u64) -> Self {
        Range {
            min: number,
            max: number,
        }
    }

    /// Says whether the most it can be says anything.
    pub fn is_bounded(&self) -> bool {
        self.max < UNBOUNDED
    }

    /// Returns the sum.
    #[must_use]
    pub fn plus(self, other: Range) -> Self {
        Range {
            min: self.min.saturating_add(other.min),
            max: self.max.saturating_add(other.max),
        }
    }

    /// Returns the product.
    #[must_use]
    pub fn times(self, other: Range) -> Self {
        Range {
            min: self.min.saturating_mul(other.min),
            max: self.max.saturating_mul(other.max),
        }
    }

    /// Returns the product with a factor, rounded up.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Range {
            min: scaled(self.min, factor),
            max: scaled(self.max, factor),
        }
    }

    /// Returns what both lie in.
    #[must_use]
    pub fn union(self, other: Range) -> Self {
        Range {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }
}

/// cel-go `checker/cost.go`, `multiplyByCostFactor`; the conversion to an integer ends at its bounds.
fn scaled(number: u64, factor: f64) -> u64 {
    (number as f64 * factor).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::Range;

    #[test]
    fn products_are_rounded_up_and_end_at_the_largest_number() {
        let cases = [
            (0, 0.1, 0),
            (1, 0.1, 1),
            (10, 0.1, 1),
            (11, 0.1, 2),
            (u64::MAX, 0.1, 1_844_674_407_370_955_264),
            (u64::MAX, 1.0, u64::MAX),
            (u64::MAX / 2, 2.1, u64::MAX),
            (3, 18_446_744_073_709_551_615.0, u64::MAX),
            (0, 18_446_744_073_709_551_615.0, 0),
        ];
        for (number, factor, expect) in cases {
            let got = Range::fixed(number).scaled(factor);
            assert_eq!(got, Range::fixed(expect), "{number} * {factor}");
        }
    }

    #[test]
    fn a_traversal_of_something_unknown_is_unbounded() {
        assert!(!Range::UNKNOWN.is_bounded());
        assert!(!Range::UNKNOWN.scaled(0.1).is_bounded());
        assert!(Range::fixed(1_000_000_000_000_000_000).is_bounded());
    }
}
