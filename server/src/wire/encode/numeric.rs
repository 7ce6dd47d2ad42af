//! PostgreSQL's binary `numeric` (base 10000), to and from a scaled `i128`.
//!
//! Layout   ndigits i16 · weight i16 · sign u16 · dscale i16 · ndigits × i16, all big-endian;
//!          value = ± Σ digit[i] · 10000^(weight − i), dscale = decimal digits to show
//! Law      receive(send(v, s), s) = v for every v and every s in 0..=38
//! Rounding a value with more decimals than asked for is rounded half away from zero, as
//!          PostgreSQL rounds to a column's scale
//!
//! NaN and the infinities have no `i128`: reading one is an error, writing one cannot happen.

use bytes::{BufMut, BytesMut};

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const GROUP: u128 = 10_000;
/// 39 decimal digits split at a decimal point: at most 11 groups, one of them cut twice.
const GROUPS_MAX: usize = 12;

/// Why a binary numeric could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumericError {
    /// Fewer bytes than the header promises, or more.
    Length,
    /// A digit above 9999 or an unknown sign.
    Malformed,
    /// NaN, infinity, or more digits than fit.
    OutOfRange,
}

/// 10^exponent, for exponents that fit (0..=38).
pub fn power_of_ten(exponent: u32) -> i128 {
    10i128.pow(exponent)
}

/// Appends `value · 10^-scale`, showing `scale` decimals (none when it is negative).
pub fn send(value: i128, scale: i8, out: &mut BytesMut) {
    let mut groups = [0u16; GROUPS_MAX + 10];
    let (count, fraction_groups) = split(value.unsigned_abs(), scale, &mut groups);
    // `groups` has the least significant group first; zeros at both ends are not sent.
    let first = groups[..count].iter().position(|g| *g != 0).unwrap_or(count);
    let last = groups[..count].iter().rposition(|g| *g != 0).map_or(first, |i| i + 1);
    let digits = &groups[first..last];
    let weight = if digits.is_empty() { 0 } else { last as i16 - 1 - fraction_groups as i16 };
    out.put_i16(digits.len() as i16);
    out.put_i16(weight);
    out.put_u16(if value < 0 { NEGATIVE } else { POSITIVE });
    out.put_i16(i16::from(scale.max(0)));
    for digit in digits.iter().rev() {
        out.put_u16(*digit);
    }
}

/// Cuts into base-10000 groups, least significant first; returns how many there are, and how
/// many of them stand after the decimal point.
fn split(mut rest: u128, scale: i8, groups: &mut [u16]) -> (usize, usize) {
    let mut count = 0;
    let mut fraction_groups = 0;
    if scale > 0 {
        let partial = u32::from(scale.unsigned_abs()) % 4;
        if partial > 0 {
            let unit = 10u128.pow(partial);
            groups[count] = ((rest % unit) * 10u128.pow(4 - partial)) as u16;
            rest /= unit;
            count += 1;
        }
        fraction_groups = scale.unsigned_abs().div_ceil(4) as usize;
    } else if scale < 0 {
        // Trailing zeros that the value does not store: whole groups, then one cut group.
        let zeros = u32::from(scale.unsigned_abs());
        count = zeros as usize / 4;
        let partial = zeros % 4;
        if partial > 0 {
            let unit = 10u128.pow(4 - partial);
            groups[count] = ((rest % unit) * 10u128.pow(partial)) as u16;
            rest /= unit;
            count += 1;
        }
    }
    // Most values fit in 64 bits, where division is several times faster.
    while rest > u128::from(u64::MAX) {
        groups[count] = (rest % GROUP) as u16;
        rest /= GROUP;
        count += 1;
    }
    let mut rest = rest as u64;
    while rest > 0 {
        groups[count] = (rest % GROUP as u64) as u16;
        rest /= GROUP as u64;
        count += 1;
    }
    (count.max(fraction_groups), fraction_groups)
}

/// The header and digits of a binary numeric.
pub struct Received<'a> {
    digits: &'a [u8],
    weight: i32,
    negative: bool,
    /// Decimals the sender wants shown.
    pub display_scale: i16,
}

/// Splits a binary numeric into header and digits.
pub fn receive(bytes: &[u8]) -> Result<Received<'_>, NumericError> {
    let (header, digits) = bytes.split_at_checked(8).ok_or(NumericError::Length)?;
    let word = |i: usize| u16::from_be_bytes([header[2 * i], header[2 * i + 1]]);
    if digits.len() != 2 * usize::from(word(0)) {
        return Err(NumericError::Length);
    }
    let negative = match word(2) {
        POSITIVE => false,
        NEGATIVE => true,
        0xC000 | 0xD000 | 0xF000 => return Err(NumericError::OutOfRange),
        _ => return Err(NumericError::Malformed),
    };
    let display_scale = word(3) as i16;
    if !(0..=0x3FFF).contains(&display_scale) {
        return Err(NumericError::Malformed);
    }
    Ok(Received { digits, weight: i32::from(word(1) as i16), negative, display_scale })
}

impl Received<'_> {
    /// The value times 10^scale, rounded half away from zero.
    pub fn scaled(&self, scale: i8) -> Result<i128, NumericError> {
        let mut sum = 0i128;
        let mut round_up = false;
        for (index, pair) in self.digits.chunks_exact(2).enumerate() {
            let digit = i128::from(u16::from_be_bytes([pair[0], pair[1]]));
            if digit > 9999 {
                return Err(NumericError::Malformed);
            }
            // The power of ten that one unit of this group is worth in the result.
            let exponent = 4 * (self.weight - index as i32) + i32::from(scale);
            match exponent {
                0.. if digit == 0 => {}
                0..=38 => {
                    let part = digit.checked_mul(power_of_ten(exponent as u32));
                    let total = part.and_then(|part| sum.checked_add(part));
                    sum = total.ok_or(NumericError::OutOfRange)?;
                }
                39.. => return Err(NumericError::OutOfRange),
                -4..=-1 => {
                    let unit = power_of_ten(exponent.unsigned_abs());
                    sum = sum.checked_add(digit / unit).ok_or(NumericError::OutOfRange)?;
                    round_up = digit % unit * 2 >= unit;
                }
                _ => {}
            }
        }
        sum += i128::from(round_up);
        Ok(if self.negative { -sum } else { sum })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sent(value: i128, scale: i8) -> Vec<i16> {
        let mut out = BytesMut::new();
        send(value, scale, &mut out);
        out.chunks(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect()
    }

    /// Each expectation is `encode(numeric_send(x), 'hex')` of PostgreSQL 15.
    #[test]
    fn as_postgres_sends_it() {
        assert_eq!(sent(0, 0), [0, 0, 0, 0]);
        assert_eq!(sent(0, 2), [0, 0, 0, 2]);
        assert_eq!(sent(1, 0), [1, 0, 0, 0, 1]);
        assert_eq!(sent(-1, 0), [1, 0, 0x4000, 0, 1]);
        assert_eq!(sent(123_456_789, 2), [3, 1, 0, 2, 123, 4567, 8900]);
        assert_eq!(sent(5, 5), [1, -2, 0, 5, 5000]);
        assert_eq!(sent(10_000, 0), [1, 1, 0, 0, 1]);
        assert_eq!(sent(100_000_000, 4), [1, 1, 0, 4, 1]);
        assert_eq!(sent(15, 1), [2, 0, 0, 1, 1, 5000]);
        assert_eq!(sent(12, -5), [1, 1, 0, 0, 120]);
        assert_eq!(sent(12, -4), [1, 1, 0, 0, 12]);
    }

    #[test]
    fn rounds_half_away_from_zero() {
        let mut out = BytesMut::new();
        send(-12_345, 4, &mut out); // -1.2345
        let received = receive(&out).expect("what was just sent");
        assert_eq!(received.scaled(3), Ok(-1235));
        assert_eq!(received.scaled(2), Ok(-123));
        assert_eq!(received.scaled(0), Ok(-1));
        out.clear();
        send(99_995, 4, &mut out); // 9.9995
        let received = receive(&out).expect("what was just sent");
        assert_eq!(received.scaled(3), Ok(10_000));
    }

    #[test]
    fn refuses_damage() {
        assert_eq!(receive(&[0; 7]).err(), Some(NumericError::Length));
        assert_eq!(receive(&[0, 1, 0, 0, 0, 0, 0, 0]).err(), Some(NumericError::Length));
        assert_eq!(receive(&[0, 0, 0, 0, 0xC0, 0, 0, 0]).err(), Some(NumericError::OutOfRange));
        assert_eq!(receive(&[0, 0, 0, 0, 0x12, 0, 0, 0]).err(), Some(NumericError::Malformed));
        let digit = receive(&[0, 1, 0, 0, 0, 0, 0, 0, 0x27, 0x10]).expect("header is fine");
        assert_eq!(digit.scaled(0), Err(NumericError::Malformed));
        let huge = receive(&[0, 1, 0, 20, 0, 0, 0, 0, 0, 1]).expect("header is fine");
        assert_eq!(huge.scaled(0), Err(NumericError::OutOfRange));
    }

    proptest! {
        #[test]
        fn round_trip(value in -(10i128.pow(38) - 1)..10i128.pow(38), scale in 0i8..=38) {
            let mut out = BytesMut::new();
            send(value, scale, &mut out);
            let received = receive(&out).expect("what was just sent");
            prop_assert_eq!(received.display_scale, i16::from(scale));
            prop_assert_eq!(received.scaled(scale), Ok(value));
        }
    }
}
