//! Exact sums of products: whole numbers of any length, of units that are powers of two.
//!
//! A float is a whole number of 2^e, so is a product of two, and so are all sums of those. What is
//! computed from such sums is a quotient of whole numbers, rounded once: the same bits whatever the
//! order, also after rows leave (S8).

use std::cmp::Ordering;

use num_bigint::{BigInt, BigUint};
use num_traits::{Signed, ToPrimitive, Zero};

use crate::checkpoint::record::{Cursor, Stored, put_sized};

/// `units` · 2^`exponent`.
#[derive(Clone, Debug, Default)]
pub(super) struct Exact {
    units: BigInt,
    exponent: i32,
}

impl Stored for Exact {
    fn put(&self, out: &mut Vec<u8>) {
        put_sized(out, &self.units.to_signed_bytes_le());
        self.exponent.put(out);
    }

    fn take(from: &mut Cursor<'_>) -> Option<Self> {
        let units = BigInt::from_signed_bytes_le(from.sized()?);
        Some(Exact { units, exponent: Stored::take(from)? })
    }
}

impl Exact {
    /// Adds `value` `times` times; it is finite.
    pub fn add_float(&mut self, value: f64, times: i64) {
        let (units, exponent) = units_of(value);
        self.add(i128::from(units), exponent, times);
    }

    /// Adds the product `times` times; both are finite.
    pub fn add_product(&mut self, a: f64, b: f64, times: i64) {
        let ((a, power_a), (b, power_b)) = (units_of(a), units_of(b));
        self.add(i128::from(a) * i128::from(b), power_a + power_b, times);
    }

    pub fn add_integer(&mut self, value: i128, times: i64) {
        self.add(value, 0, times);
    }

    pub fn add_square(&mut self, value: i128, times: i64) {
        match value.checked_mul(value) {
            Some(square) => self.add(square, 0, times),
            None => {
                let value = BigInt::from(value);
                self.units += &value * &value * times;
            }
        }
    }

    fn add(&mut self, units: i128, exponent: i32, times: i64) {
        if units == 0 {
            return;
        }
        // A sum that is zero has forgotten how small its summands were.
        if self.units.is_zero() {
            self.exponent = exponent;
        }
        if exponent < self.exponent {
            self.units <<= (self.exponent - exponent).unsigned_abs();
            self.exponent = exponent;
        }
        let product = match units.checked_mul(i128::from(times)) {
            Some(product) => BigInt::from(product),
            None => BigInt::from(units) * times,
        };
        self.units += product << (exponent - self.exponent).unsigned_abs();
    }

    /// The quotient by a whole number above 0.
    pub fn over(&self, divisor: &BigInt) -> Quotient {
        Quotient {
            numerator: self.units.clone(),
            exponent: self.exponent,
            divisor: divisor.clone(),
        }
    }

    /// The whole number, of a sum of whole numbers.
    pub fn whole(&self) -> BigInt {
        &self.units << self.exponent.unsigned_abs()
    }

    /// count · xy − x · y: what a sum of products around the means is, times `count`.
    pub fn centered(count: i64, xy: &Exact, x: &Exact, y: &Exact) -> Exact {
        let squares = BigInt::from(count) * &xy.units;
        let square = &x.units * &y.units;
        let (exponent, other) = (xy.exponent, x.exponent + y.exponent);
        let lowest = exponent.min(other);
        let units = (squares << (exponent - lowest).unsigned_abs())
            - (square << (other - lowest).unsigned_abs());
        Exact { units, exponent: lowest }
    }
}

/// `numerator` · 2^`exponent` / `divisor`.
pub(super) struct Quotient {
    numerator: BigInt,
    exponent: i32,
    divisor: BigInt,
}

impl Quotient {
    /// Rounded to the nearest float, half to even; infinite where it is out of range, never −0.
    pub fn round(&self) -> f64 {
        if self.numerator.is_zero() {
            return 0.0;
        }
        let (numerator, divisor) = (self.numerator.magnitude(), self.divisor.magnitude());
        // At least 64 bits of the quotient, and whether anything is below them.
        let missing = 64 + divisor.bits() as i64 - numerator.bits() as i64;
        let shift = missing.max(0) as u64;
        let shifted: BigUint = numerator << shift;
        let quotient = &shifted / divisor;
        let inexact = &quotient * divisor != shifted;
        let value = round_bits(&quotient, inexact, i64::from(self.exponent) - shift as i64);
        if self.numerator.is_negative() { -value } else { value }
    }
}

/// `units` · 2^`exponent` to the nearest float; `more` is whether something below is cut already.
fn round_bits(units: &BigUint, more: bool, exponent: i64) -> f64 {
    const LOWEST: i64 = -1074;
    let bits = units.bits() as i64;
    let last = (bits + exponent - 53).max(LOWEST);
    let cut = last - exponent;
    if cut <= 0 {
        let units = units.to_f64().expect("a float for every number");
        return scaled(units, exponent);
    }
    let kept = units >> cut as u64;
    let rest = units - (&kept << cut as u64);
    let half = BigUint::from(1u8) << (cut - 1) as u64;
    let kept = kept.to_u64().expect("53 bits");
    let up = match rest.cmp(&half) {
        Ordering::Greater => true,
        Ordering::Equal => more || kept & 1 == 1,
        Ordering::Less => false,
    };
    scaled((kept + u64::from(up)) as f64, last)
}

/// value · 2^power, for a result that is a float, or out of range.
fn scaled(mut value: f64, power: i64) -> f64 {
    let mut left = power.clamp(-4000, 4000) as i32;
    while left != 0 {
        let step = left.clamp(-500, 500);
        value *= 2f64.powi(step);
        left -= step;
    }
    value
}

/// A finite float as (units, exponent), the units as few as can be.
fn units_of(value: f64) -> (i64, i32) {
    let bits = value.to_bits();
    let (exponent, fraction) = ((bits >> 52 & 0x7ff) as i32, bits & ((1 << 52) - 1));
    let (magnitude, exponent) = match exponent {
        0 => (fraction as i64, -1074),
        _ => ((fraction | 1 << 52) as i64, exponent - 1075),
    };
    let zeros = if magnitude == 0 { 0 } else { magnitude.trailing_zeros() };
    let units = magnitude >> zeros;
    (if value.is_sign_negative() { -units } else { units }, exponent + zeros as i32)
}

#[cfg(test)]
mod tests {
    use num_bigint::BigInt;

    use super::Exact;

    fn round(exact: &Exact, divisor: i64) -> f64 {
        exact.over(&BigInt::from(divisor)).round()
    }

    #[test]
    fn forgets_what_leaves_and_rounds_once() {
        let mut sum = Exact::default();
        for (value, times) in [(0.1, 3), (1e300, 1), (5e-324, 1), (1e300, -1), (5e-324, -1)] {
            sum.add_float(value, times);
        }
        assert_eq!(round(&sum, 3), 0.1);
        sum.add_float(0.1, -3);
        assert_eq!(round(&sum, 7).to_bits(), 0);
        sum.add_product(1e-200, 1e-200, 1);
        assert_eq!(round(&sum, 1), 0.0);
        sum.add_product(1e200, 1e200, 1);
        assert_eq!(round(&sum, 1), f64::INFINITY);
        sum.add_product(-1e200, 1e200, 2);
        assert_eq!(round(&sum, 1), f64::NEG_INFINITY);
    }

    #[test]
    fn rounds_half_to_even_also_among_the_smallest() {
        let mut sum = Exact::default();
        sum.add_float(5e-324, 3);
        assert_eq!(round(&sum, 2), 1e-323);
        sum.add_float(5e-324, 2);
        assert_eq!(round(&sum, 2), 1e-323);
        let mut one = Exact::default();
        one.add_integer((1 << 53) + 1, 1);
        assert_eq!(round(&one, 1), (1u64 << 53) as f64);
        assert_eq!(round(&one, 3), 3002399751580331.0);
    }
}
