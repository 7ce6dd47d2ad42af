//! Exact sums of integers and decimals: 192 bits, so that no intermediate sum overflows.
//!
//! Sums are of a multiset: rows come and go in any order, and a sum that was out of range in
//! between must come back. Only the value is checked, when it is asked for.

use crate::checkpoint::record::{Cursor, Stored};
use crate::decimal::quotient_digits;

/// A sum and the number of its summands that were not NULL.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IntSum {
    pub count: i64,
    low: i128,
    /// Multiples of 2^128.
    high: i64,
}

impl IntSum {
    /// Adds `value` `diff` times.
    pub fn add(&mut self, value: i128, diff: i64) {
        self.count += diff;
        match value.checked_mul(i128::from(diff)) {
            Some(product) => self.add_once(product),
            // A product beyond 128 bits: only of a 38-digit decimal with duplicates.
            None => {
                (0..diff.unsigned_abs()).for_each(|_| self.add_once(value * diff.signum() as i128))
            }
        }
    }

    fn add_once(&mut self, value: i128) {
        let (low, overflowed) = self.low.overflowing_add(value);
        self.low = low;
        if overflowed {
            self.high += if value < 0 { -1 } else { 1 };
        }
    }

    /// The sum, if 128 bits hold it.
    pub fn total(&self) -> Option<i128> {
        (self.high == 0).then_some(self.low)
    }
}

impl Stored for IntSum {
    fn put(&self, out: &mut Vec<u8>) {
        ((self.count, self.high), self.low).put(out);
    }

    fn take(from: &mut Cursor<'_>) -> Option<Self> {
        let ((count, high), low) = Stored::take(from)?;
        Some(IntSum { count, low, high })
    }
}

/// The largest decimal of 38 digits, the most that a numeric holds.
const DECIMAL_MAX: i128 = 10i128.pow(38) - 1;

/// The sum as a decimal of 38 digits.
pub(super) fn decimal_total(sum: &IntSum) -> Result<i128, String> {
    sum.total()
        .filter(|total| total.unsigned_abs() <= DECIMAL_MAX as u128)
        .ok_or_else(|| "numeric field overflow".to_string())
}

/// The average of summands with `own` digits behind the point in units of `scale` digits, rounded
/// half away from zero to the digits that a quotient has.
pub(super) fn decimal_average(sum: &IntSum, own: i8, scale: i8) -> Result<i128, String> {
    let total = decimal_total(sum)?;
    let count = i128::from(sum.count);
    let digits = quotient_digits((total.unsigned_abs(), own), (count.unsigned_abs(), 0));
    let digits = digits.min(scale);
    let overflow = || "numeric field overflow".to_string();
    let power = |digits: i8| 10i128.pow(u32::from(digits.max(0) as u8));
    // The summands may have more digits than their quotient.
    let divisor = count.checked_mul(power(own - digits)).ok_or_else(overflow)?;
    // Digit by digit, as total · 10^scale may need more than 128 bits.
    let (mut quotient, mut rest) = (total / divisor, total % divisor);
    for _ in own..digits {
        rest *= 10;
        let more = |quotient: i128| quotient.checked_mul(10)?.checked_add(rest / divisor);
        quotient = more(quotient).ok_or_else(overflow)?;
        rest %= divisor;
    }
    if rest.unsigned_abs() * 2 >= divisor.unsigned_abs() {
        quotient += if total < 0 { -1 } else { 1 };
    }
    quotient
        .checked_mul(power(scale - digits))
        .filter(|quotient| quotient.unsigned_abs() <= DECIMAL_MAX as u128)
        .ok_or_else(overflow)
}
