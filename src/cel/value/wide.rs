//! Unsigned integers of 512 bits: enough for quantities far beyond any that means something, without
//! touching the heap.

use std::cmp::Ordering;
use std::fmt;

const LIMBS: usize = 8;

/// 10^19, the largest power of ten in a limb.
const CHUNK: u64 = 10_000_000_000_000_000_000;
const CHUNK_DIGITS: u32 = 19;

/// An unsigned integer; the least significant limb first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wide([u64; LIMBS]);

impl From<u64> for Wide {
    fn from(value: u64) -> Wide {
        let mut limbs = [0; LIMBS];
        if let Some(first) = limbs.first_mut() {
            *first = value;
        }
        Wide(limbs)
    }
}

impl Wide {
    /// Says whether the number is zero.
    pub fn is_zero(self) -> bool {
        self.0.iter().all(|limb| *limb == 0)
    }

    /// Returns `self * factor + addend`, unless it overflows.
    pub fn scaled(self, factor: u64, addend: u64) -> Option<Wide> {
        let mut carry = u128::from(addend);
        let limbs = self.0.map(|limb| {
            let product = u128::from(limb) * u128::from(factor) + carry;
            carry = product >> 64;
            low(product)
        });
        (carry == 0).then_some(Wide(limbs))
    }

    /// Returns `self * 10^power`, unless it overflows.
    pub fn times_power_of_ten(self, power: u32) -> Option<Wide> {
        if self.is_zero() {
            return Some(self);
        }
        let mut product = self;
        for _ in 0..power / CHUNK_DIGITS {
            product = product.scaled(CHUNK, 0)?;
        }
        product.scaled(10u64.pow(power % CHUNK_DIGITS), 0)
    }

    /// Returns quotient and remainder; a divisor of zero counts as one.
    pub fn divided(self, divisor: u64) -> (Wide, u64) {
        let divisor = u128::from(divisor.max(1));
        let mut rest = 0u128;
        let mut limbs = self.0;
        for limb in limbs.iter_mut().rev() {
            let dividend = rest << 64 | u128::from(*limb);
            *limb = low(dividend / divisor);
            rest = dividend % divisor;
        }
        (Wide(limbs), low(rest))
    }

    /// Returns the sum, unless it overflows.
    pub fn checked_add(self, other: Wide) -> Option<Wide> {
        let mut carry = 0u128;
        let mut limbs = self.0;
        for (limb, addend) in limbs.iter_mut().zip(other.0) {
            let sum = u128::from(*limb) + u128::from(addend) + carry;
            *limb = low(sum);
            carry = sum >> 64;
        }
        (carry == 0).then_some(Wide(limbs))
    }

    /// Returns the larger of the two less the smaller.
    pub fn distance(self, other: Wide) -> Wide {
        let (large, small) = if self < other {
            (other, self)
        } else {
            (self, other)
        };
        let mut borrow = false;
        let mut limbs = large.0;
        for (limb, subtrahend) in limbs.iter_mut().zip(small.0) {
            let (difference, under) = limb.overflowing_sub(subtrahend);
            let (difference, under_again) = difference.overflowing_sub(u64::from(borrow));
            *limb = difference;
            borrow = under || under_again;
        }
        Wide(limbs)
    }

    /// Returns the nearest double, ties to even.
    pub fn to_f64(self) -> f64 {
        let Some(top) = self.0.iter().rposition(|limb| *limb != 0) else {
            return 0.0;
        };
        let limb = |at: usize| self.0.get(at).copied().unwrap_or_default();
        let shift = limb(top).leading_zeros();
        let below = top.checked_sub(1).map_or(0, limb);
        let window = low((u128::from(limb(top)) << 64 | u128::from(below)) << shift >> 64);
        // What lies below the 64 bits kept can only decide a tie: one bit stands for it.
        let dropped_below = below.checked_shl(shift).unwrap_or_default() != 0;
        let sticky = dropped_below
            || self
                .0
                .iter()
                .take(top.saturating_sub(1))
                .any(|low| *low != 0);
        let exponent = i32::try_from(top * 64).unwrap_or(i32::MAX) - shift.cast_signed();
        (window | u64::from(sticky)) as f64 * 2f64.powi(exponent)
    }
}

/// Returns the lower half; callers shift the upper half on.
fn low(value: u128) -> u64 {
    (value & u128::from(u64::MAX)) as u64
}

impl PartialOrd for Wide {
    fn partial_cmp(&self, other: &Wide) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Wide {
    fn cmp(&self, other: &Wide) -> Ordering {
        self.0.iter().rev().cmp(other.0.iter().rev())
    }
}

impl fmt::Display for Wide {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chunks = Vec::new();
        let mut rest = *self;
        while !rest.is_zero() {
            let (quotient, chunk) = rest.divided(CHUNK);
            chunks.push(chunk);
            rest = quotient;
        }
        write!(formatter, "{}", chunks.pop().unwrap_or_default())?;
        chunks
            .iter()
            .rev()
            .try_for_each(|chunk| write!(formatter, "{chunk:019}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(digits: &str) -> Wide {
        digits.bytes().fold(Wide::from(0), |number, digit| {
            number.scaled(10, u64::from(digit - b'0')).unwrap()
        })
    }

    const BIG: &str = "123456789012345678901234567890123456789012345678901234567890123456789012345";

    #[test]
    fn what_is_read_prints_the_same() {
        for digits in [
            "0",
            "7",
            "18446744073709551616",
            "100000000000000000000",
            BIG,
        ] {
            assert_eq!(wide(digits).to_string(), digits);
        }
    }

    #[test]
    fn arithmetic_carries_over_limbs() {
        let sum = wide("18446744073709551615")
            .checked_add(Wide::from(1))
            .unwrap();
        assert_eq!(sum.to_string(), "18446744073709551616");
        assert_eq!(
            sum.distance(Wide::from(1)).to_string(),
            "18446744073709551615"
        );
        assert_eq!(
            Wide::from(1).distance(sum).to_string(),
            "18446744073709551615"
        );
        let product = wide(BIG).times_power_of_ten(21).unwrap();
        assert_eq!(product.to_string(), format!("{BIG}{}", "0".repeat(21)));
        assert_eq!(product.divided(1000).1, 0);
        assert!(wide(BIG) < product);
        assert_eq!(wide(BIG).times_power_of_ten(200), None);
    }

    #[test]
    fn doubles_are_rounded_to_even() {
        for digits in [
            "1",
            "9007199254740993",
            "9007199254740995",
            "18446744073709551615",
            "18446744073709551616",
            "36893488147419107329",
            "340282366920938463463374607431768211455",
            BIG,
        ] {
            assert_eq!(
                wide(digits).to_f64(),
                digits.parse::<f64>().unwrap(),
                "{digits}"
            );
        }
    }
}
