//! Exact sums of floats: the sum of the values, rounded once, whatever their order (S8).
//!
//! The running sum is an expansion: floats that do not overlap, smallest first, whose exact sum is
//! the exact sum of all values (Shewchuk, "Adaptive Precision Floating-Point Arithmetic and Fast
//! Robust Geometric Predicates", 1997, Grow-Expansion). Taking a value out is adding its negative.
//! Rounding half to even follows Python's `math.fsum`. NaN and the infinities are counted apart,
//! so that the sum comes back when they leave. Huge values are kept scaled down in an expansion of
//! their own, so that no intermediate sum overflows.

use crate::checkpoint::record::{Cursor, Stored};

/// The exact sum of a changing multiset of floats.
#[derive(Clone, Debug, Default)]
pub struct FloatSum {
    /// Values that are not NULL, of any kind.
    pub count: i64,
    nans: i64,
    positive_infinities: i64,
    negative_infinities: i64,
    /// Of values below [`HUGE`] in magnitude.
    small: Expansion,
    /// Of the others, times [`SCALE`].
    huge: Expansion,
}

const HUGE: f64 = 1.0715086071862673e301; // 2^1000
const SCALE: f64 = 9.332636185032189e-302; // 2^-1000

impl FloatSum {
    /// Adds `value` `diff` times.
    pub fn add(&mut self, value: f64, diff: i64) {
        self.count += diff;
        if value.is_nan() {
            self.nans += diff;
        } else if value == f64::INFINITY {
            self.positive_infinities += diff;
        } else if value == f64::NEG_INFINITY {
            self.negative_infinities += diff;
        } else if value.abs() >= HUGE {
            self.huge.add_times(value * SCALE, diff);
        } else {
            self.small.add_times(value, diff);
        }
    }

    /// The sum, rounded to the nearest float, half to even; infinite where it is out of range. It
    /// is NaN with a NaN or with infinities of both signs among the values, never −0.
    pub fn value(&self) -> f64 {
        let infinities = (self.positive_infinities != 0, self.negative_infinities != 0);
        match infinities {
            _ if self.nans != 0 => f64::NAN,
            (true, true) => f64::NAN,
            (true, false) => f64::INFINITY,
            (false, true) => f64::NEG_INFINITY,
            (false, false) if self.huge.parts.is_empty() => self.small.round(),
            (false, false) => self.round_with_huge(),
        }
    }

    /// The same, rounded once to a float of 24 bits.
    pub fn value_f32(&self) -> f32 {
        let value = self.value();
        if !value.is_finite() {
            return value as f32;
        }
        // Where the float64 is not the sum, the neighbour with an odd last bit keeps on which side
        // of it the sum is, and so how the shorter float rounds (round to odd).
        let mut rest = self.clone();
        rest.add(value, -1);
        let rest = rest.value();
        let odd = match (rest == 0.0 || value.to_bits() & 1 == 1, rest > 0.0) {
            (true, _) => value,
            (false, true) => value.next_up(),
            (false, false) => value.next_down(),
        };
        odd as f32
    }

    /// Both expansions at the scale of the huge one, where it can be done exactly, and the parts
    /// that are too small for it only as what decides a tie.
    fn round_with_huge(&self) -> f64 {
        let top = self.huge.round();
        if top.abs() < HUGE * SCALE * 0.5 {
            // The huge values nearly cancelled: what is left of them fits the small scale.
            let mut sum = self.small.clone();
            self.huge.parts.iter().for_each(|part| sum.add(part / SCALE));
            return sum.round();
        }
        let mut sum = self.huge.clone();
        let mut sticky = 0.0f64;
        for &part in &self.small.parts {
            let scaled = part * SCALE;
            match scaled / SCALE == part {
                true => sum.add(scaled),
                false => sticky = part,
            }
        }
        if sticky != 0.0 {
            // Below every bit of the sum: any tiny value of its sign rounds the same way.
            sum.add(f64::MIN_POSITIVE.copysign(sticky));
        }
        sum.round() / SCALE
    }
}

impl Stored for FloatSum {
    fn put(&self, out: &mut Vec<u8>) {
        let counts = [self.count, self.nans, self.positive_infinities, self.negative_infinities];
        counts.put(out);
        self.small.parts.put(out);
        self.huge.parts.put(out);
    }

    fn take(from: &mut Cursor<'_>) -> Option<Self> {
        let [count, nans, positive_infinities, negative_infinities] = Stored::take(from)?;
        let small = Expansion { parts: Stored::take(from)? };
        let huge = Expansion { parts: Stored::take(from)? };
        Some(FloatSum { count, nans, positive_infinities, negative_infinities, small, huge })
    }
}

/// Non-overlapping floats, smallest in magnitude first; none is zero.
#[derive(Clone, Debug, Default)]
struct Expansion {
    parts: Vec<f64>,
}

impl Expansion {
    fn add_times(&mut self, value: f64, times: i64) {
        if value == 0.0 {
            return;
        }
        // value · times by halves: value · 2^k is exact.
        let (mut times_left, mut power) = (times.unsigned_abs(), value * times.signum() as f64);
        while times_left > 0 {
            if times_left & 1 == 1 {
                self.add(power);
            }
            times_left >>= 1;
            power *= 2.0;
        }
    }

    fn add(&mut self, value: f64) {
        let mut carry = value;
        let mut kept = 0;
        for i in 0..self.parts.len() {
            let (sum, error) = two_sum(carry, self.parts[i]);
            if error != 0.0 {
                self.parts[kept] = error;
                kept += 1;
            }
            carry = sum;
        }
        self.parts.truncate(kept);
        if carry != 0.0 {
            self.parts.push(carry);
        }
    }

    /// The exact sum of the parts, rounded half to even.
    fn round(&self) -> f64 {
        let mut parts = self.parts.iter().rev().copied();
        let Some(mut high) = parts.next() else { return 0.0 };
        let mut low = 0.0;
        let mut rest = parts.clone();
        for part in parts.by_ref() {
            let (sum, error) = two_sum(high, part);
            high = sum;
            low = error;
            rest.next();
            if low != 0.0 {
                break;
            }
        }
        // Half-way cases: what remains below decides which way the tie goes.
        if let Some(next) = rest.next()
            && ((low < 0.0 && next < 0.0) || (low > 0.0 && next > 0.0))
        {
            let doubled = low * 2.0;
            let rounded = high + doubled;
            if doubled == rounded - high {
                high = rounded;
            }
        }
        high
    }
}

/// a + b rounded, and the exact error of that (Knuth's TwoSum).
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_virtual = sum - a;
    let a_virtual = sum - b_virtual;
    (sum, (a - a_virtual) + (b - b_virtual))
}

#[cfg(test)]
mod tests {
    use super::FloatSum;

    fn sum(values: &[f64]) -> f64 {
        let mut sum = FloatSum::default();
        values.iter().for_each(|&value| sum.add(value, 1));
        sum.value()
    }

    #[test]
    fn is_exact_whatever_the_order() {
        assert_eq!(sum(&[1e100, 1.0, -1e100]), 1.0);
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[1e308, 1e308, -1e308, -1e308, 3.5]), 3.5);
        assert_eq!(sum(&[1.7e308, 1.7e308]), f64::INFINITY);
        assert_eq!(sum(&[1e308, 1e-320, -1e308]), 1e-320);
    }

    #[test]
    fn forgets_what_leaves() {
        let mut sum = FloatSum::default();
        for value in [0.1, f64::NAN, f64::INFINITY, 1e300, 0.2] {
            sum.add(value, 1);
        }
        assert!(sum.value().is_nan());
        for value in [f64::NAN, f64::INFINITY, 1e300, 0.2] {
            sum.add(value, -1);
        }
        assert_eq!(sum.value().to_bits(), 0.1f64.to_bits());
        sum.add(0.1, -1);
        assert_eq!(sum.value().to_bits(), 0.0f64.to_bits());
    }
}
