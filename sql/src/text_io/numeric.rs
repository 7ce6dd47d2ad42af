//! `numeric` as text, and the exact arithmetic on its digits that input, casts and functions share.
//!
//! A numeric is `Decimal128(precision, scale)`: 38 digits at most. Law: rounding is half away from
//! zero. `numeric` without a type modifier is `Decimal128(38, 20)` and is printed without trailing
//! zeros; a quotient ([`tidemark_engine::decimal`]) with the digits that PostgreSQL gives it; every
//! other scale is printed in full. Not promised: NaN and infinities (0A000), and more digits than
//! fit (22003).

use std::fmt::Write;

use arrow::datatypes::{DataType, i256};
use tidemark_catalog::pg_type::{NUMERIC_PLAIN_SCALE, NUMERIC_PRECISION_MAX};
use tidemark_engine::decimal::{
    QUOTIENT_PRECISION, QUOTIENT_SCALE, is_quotient, printed_digits, significant,
};

use crate::error::SqlError;

use super::fault;

/// Digits after the point of `numeric` without a type modifier.
pub const SCALE_UNCONSTRAINED: i8 = NUMERIC_PLAIN_SCALE;
/// Digits of the widest numeric.
pub const PRECISION_MAX: u8 = NUMERIC_PRECISION_MAX;
/// `numeric` without a type modifier.
pub const UNCONSTRAINED: DataType = DataType::Decimal128(PRECISION_MAX, SCALE_UNCONSTRAINED);
/// What a quotient of numerics is, an average, a root or a logarithm.
pub const QUOTIENT: DataType = DataType::Decimal128(QUOTIENT_PRECISION, QUOTIENT_SCALE);

/// 10 to the `exponent`, or None when that is more than 38 digits.
pub fn power_of_ten(exponent: u32) -> Option<i128> {
    10i128.checked_pow(exponent)
}

/// `value` from one scale to another, half away from zero; None when it overflows.
pub fn rescale(value: i128, from: i8, to: i8) -> Option<i128> {
    if to >= from {
        return value.checked_mul(power_of_ten(u32::from((to - from) as u8))?);
    }
    match power_of_ten(u32::from((from - to) as u8)) {
        Some(divisor) => Some(divide_round(value, divisor)),
        None => Some(0),
    }
}

/// The quotient, rounded half away from zero. `divisor` is not zero.
pub fn divide_round(value: i128, divisor: i128) -> i128 {
    let quotient = value / divisor;
    let rest = value % divisor;
    if rest.unsigned_abs() >= divisor.unsigned_abs() - rest.unsigned_abs() {
        quotient + if (value < 0) == (divisor < 0) { 1 } else { -1 }
    } else {
        quotient
    }
}

/// 10 to the `exponent`, or None when that is more than 76 digits.
pub fn wide_power_of_ten(exponent: u32) -> Option<i256> {
    i256::from_i128(10).checked_pow(exponent)
}

/// [`divide_round`] of numbers that only 256 bits hold.
pub fn divide_round_wide(value: i256, divisor: i256) -> i256 {
    let (quotient, rest) = (value.wrapping_div(divisor), value.wrapping_rem(divisor));
    let (rest, bound) = (rest.wrapping_abs(), divisor.wrapping_abs());
    if rest < bound.wrapping_sub(rest) {
        return quotient;
    }
    let away = if value.is_negative() == divisor.is_negative() { 1 } else { -1 };
    quotient.wrapping_add(i256::from_i128(away))
}

/// The digits that decimals of a type hold.
pub fn digits_of(precision: u8, scale: i8) -> u8 {
    if is_quotient(precision, scale) { PRECISION_MAX } else { precision }
}

/// Whether `value` has at most `precision` digits.
pub fn fits(value: i128, precision: u8) -> bool {
    power_of_ten(u32::from(precision)).is_none_or(|limit| value.unsigned_abs() < limit as u128)
}

/// `value` as a numeric of this precision and scale, else 22003.
pub fn to_type(value: i128, from: i8, precision: u8, scale: i8) -> Result<i128, SqlError> {
    rescale(value, from, scale)
        .filter(|v| fits(*v, digits_of(precision, scale)))
        .ok_or_else(|| overflow(precision, scale))
}

/// [`to_type`] of a value that perhaps only 256 bits hold.
pub fn wide_to_type(value: i256, from: i8, precision: u8, scale: i8) -> Result<i128, SqlError> {
    if let Some(value) = value.to_i128() {
        return to_type(value, from, precision, scale);
    }
    u32::try_from(from - scale)
        .ok()
        .and_then(wide_power_of_ten)
        .and_then(|unit| divide_round_wide(value, unit).to_i128())
        .filter(|v| fits(*v, digits_of(precision, scale)))
        .ok_or_else(|| overflow(precision, scale))
}

/// The error for a value with too many digits.
pub fn overflow(precision: u8, scale: i8) -> SqlError {
    if digits_of(precision, scale) == PRECISION_MAX {
        return fault::error("22003", "value overflows numeric format");
    }
    let mut error = fault::error("22003", "numeric field overflow");
    let whole = i32::from(precision) - i32::from(scale);
    let bound = if whole == 0 { "1".to_string() } else { format!("10^{whole}") };
    error.detail = Some(format!(
        "A field with precision {precision}, scale {scale} must round to an absolute value \
         less than {bound}."
    ));
    error
}

/// Digits, point and exponent, split but not yet scaled.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i32,
}

fn split(text: &str) -> Option<Parts<'_>> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse().ok()?),
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let some = !(whole.is_empty() && fraction.is_empty());
    let near = (-20_000..20_000).contains(&exponent);
    (some && near && digits(whole) && digits(fraction)).then_some(Parts {
        negative,
        whole,
        fraction,
        exponent,
    })
}

/// Parses into the digits of `Decimal128(precision, scale)`.
pub fn parse(text: &str, precision: u8, scale: i8) -> Result<i128, SqlError> {
    let trimmed = text.trim_matches(super::is_space);
    let Some(parts) = split(trimmed) else {
        return Err(not_a_number(trimmed, text));
    };
    let mut value: i128 = 0;
    // How many digits from here on still count; the one after them decides the rounding.
    let mut wanted = parts.whole.len() as i64 + i64::from(parts.exponent) + i64::from(scale);
    let mut rounding = None;
    for digit in parts.whole.bytes().chain(parts.fraction.bytes()) {
        if wanted <= 0 {
            rounding = (wanted == 0).then_some(digit);
            break;
        }
        value = value
            .checked_mul(10)
            .and_then(|v| v.checked_add(i128::from(digit - b'0')))
            .ok_or_else(|| overflow(precision, scale))?;
        wanted -= 1;
    }
    if wanted > 0 && value != 0 {
        let shift = u32::try_from(wanted).ok().and_then(power_of_ten);
        value = shift
            .and_then(|shift| value.checked_mul(shift))
            .ok_or_else(|| overflow(precision, scale))?;
    }
    if rounding.is_some_and(|digit| digit >= b'5') {
        value += 1;
    }
    if !fits(value, digits_of(precision, scale)) {
        return Err(overflow(precision, scale));
    }
    Ok(if parts.negative { -value } else { value })
}

/// The type whose digits are those of a literal; `numeric` without modifier where there is none.
pub fn type_of_literal(text: &str) -> DataType {
    let Some(parts) = split(text.trim_matches(super::is_space)) else { return UNCONSTRAINED };
    let scale = (parts.fraction.len() as i64 - i64::from(parts.exponent)).max(0);
    let whole = (parts.whole.len() as i64 + i64::from(parts.exponent)).max(0);
    match (whole + scale).max(1) {
        // Not one of those that are printed in ways of their own.
        digits @ 1..=36 => DataType::Decimal128(digits as u8, scale as i8),
        _ => UNCONSTRAINED,
    }
}

fn not_a_number(trimmed: &str, text: &str) -> SqlError {
    let unsigned = trimmed.trim_start_matches(['+', '-']).to_ascii_lowercase();
    match unsigned.as_str() {
        "nan" | "inf" | "infinity" => {
            fault::error("0A000", format!("numeric \"{trimmed}\" is not supported"))
        }
        _ => fault::syntax("numeric", text),
    }
}

/// The value with the digits that are printed, and their scale: see the head of this file.
pub fn printed(value: i128, precision: u8, scale: i8) -> (i128, i8) {
    let digits = match (precision, scale) {
        (PRECISION_MAX, SCALE_UNCONSTRAINED) => significant(value, scale),
        _ if is_quotient(precision, scale) => printed_digits(value, scale),
        _ => return (value, scale),
    };
    // More digits are printed only of what is small or has nothing but zeros after its first.
    rescale(value, scale, digits).map_or((value, scale), |value| (value, digits))
}

/// Prints by the rule of the type: see the head of this file.
pub fn format(value: i128, precision: u8, scale: i8, out: &mut String) {
    let (value, scale) = printed(value, precision, scale);
    format_full(value, scale, out);
}

/// Prints with all `scale` digits after the point.
pub fn format_full(value: i128, scale: i8, out: &mut String) {
    if value < 0 {
        out.push('-');
    }
    let magnitude = value.unsigned_abs();
    if scale <= 0 {
        write!(out, "{magnitude}").expect("writing to a String");
        (scale..0).filter(|_| magnitude != 0).for_each(|_| out.push('0'));
        return;
    }
    let digits = scale as usize;
    match power_of_ten(digits as u32) {
        Some(unit) => {
            let (whole, rest) = (magnitude / unit as u128, magnitude % unit as u128);
            write!(out, "{whole}.{rest:0digits$}").expect("writing to a String");
        }
        None => write!(out, "0.{magnitude:0digits$}").expect("writing to a String"),
    }
}

/// The nearest double.
pub fn to_float8(value: i128, scale: i8) -> f64 {
    // Both are exact in a double, so that one division rounds once.
    if value.unsigned_abs() < 1 << 53 && (0..=22).contains(&scale) {
        return value as f64 / 10f64.powi(i32::from(scale));
    }
    let mut text = String::with_capacity(48);
    format_full(value, scale, &mut text);
    text.parse().expect("decimal digits are a float")
}
