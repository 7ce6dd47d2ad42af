//! Numeric quotients: their type, and how many digits PostgreSQL gives them.
//!
//! Law      a quotient is rounded where PostgreSQL 15 rounds it (`select_div_scale`): at 16
//!          significant digits at least, counted in groups of four, and never before the last digit
//!          of an operand
//! Bound    20 digits behind the point, where PostgreSQL goes on for quotients below 0.0001
//!
//! The type says that a decimal is a quotient, since its last digits are printed: precision
//! [`QUOTIENT_PRECISION`], which nothing else has. It holds any 38 digits all the same.

use arrow::datatypes::DataType;

/// What marks a quotient.
pub const QUOTIENT_PRECISION: u8 = 37;
/// Digits behind the point of a quotient, as of `numeric` without a type modifier: an average
/// that is stored in such a column is the average.
pub const QUOTIENT_SCALE: i8 = 20;
/// Digits behind the point where what is before it needs the room.
const QUOTIENT_SCALE_MIN: i8 = 16;
/// Decimal digits in one of PostgreSQL's digits.
const GROUP: i32 = 4;
/// Significant digits that a quotient has at least.
const SIGNIFICANT_MIN: i32 = 16;

/// The type of an average or a variance over values of a type; `None` for other than decimals.
pub fn quotient_over(ty: &DataType) -> Option<DataType> {
    let (whole, scale) = match ty {
        DataType::Int16 | DataType::Int32 => (10, 0),
        DataType::Int64 => (19, 0),
        // A sum or a number of no certain size: as many digits behind the point as there are.
        DataType::Decimal128(QUOTIENT_PRECISION.., scale) => (0, *scale),
        DataType::Decimal128(precision, scale) => {
            (i16::from(*precision) - i16::from(*scale), *scale)
        }
        _ => return None,
    };
    let room = 38 - whole;
    let digits = room.clamp(i16::from(QUOTIENT_SCALE_MIN), i16::from(QUOTIENT_SCALE)) as i8;
    Some(DataType::Decimal128(QUOTIENT_PRECISION, digits.max(scale)))
}

/// Whether decimals of this type are quotients.
pub fn is_quotient(precision: u8, scale: i8) -> bool {
    precision == QUOTIENT_PRECISION && (QUOTIENT_SCALE_MIN..=QUOTIENT_SCALE).contains(&scale)
}

/// The weight of the first group of four digits, and that group; (0, 0) of zero.
fn first_group(magnitude: u128, scale: i8) -> (i32, u32) {
    if magnitude == 0 {
        return (0, 0);
    }
    let exponent = magnitude.ilog10() as i32 - i32::from(scale);
    let weight = exponent.div_euclid(GROUP);
    let below = i32::from(scale) + weight * GROUP;
    let group = match below >= 0 {
        true => magnitude / 10u128.pow(below.unsigned_abs()),
        false => magnitude * 10u128.pow(below.unsigned_abs()),
    };
    (weight, group as u32)
}

/// The digits behind the point that a quotient is rounded to, given the operands' magnitudes and
/// scales.
pub fn quotient_digits(dividend: (u128, i8), divisor: (u128, i8)) -> i8 {
    let (weight, first) = first_group(dividend.0, dividend.1);
    let (weight_below, first_below) = first_group(divisor.0, divisor.1);
    let weight = weight - weight_below - i32::from(first <= first_below);
    let digits = SIGNIFICANT_MIN - weight * GROUP;
    let digits = digits.max(own_digits(dividend)).max(own_digits(divisor)).max(0);
    digits.min(i32::from(QUOTIENT_SCALE)) as i8
}

/// The digits behind the point that a number is known to have: of those whose scale is that of
/// their type alone, the ones up to the last that is not zero.
fn own_digits((magnitude, scale): (u128, i8)) -> i32 {
    match i128::try_from(magnitude) {
        Ok(value) if scale >= QUOTIENT_SCALE_MIN => i32::from(significant(value, scale)),
        _ => i32::from(scale),
    }
}

/// The digits behind the point that a quotient is printed with: those that it was rounded to, as
/// far as they can be told from its value and there is room for them, and all that are not zero.
pub fn printed_digits(value: i128, scale: i8) -> i8 {
    let magnitude = value.unsigned_abs();
    let (weight, first) = first_group(magnitude, scale);
    let below = i32::from(scale) + weight * GROUP;
    // A power of 10,000 is a quotient of numbers that begin alike, which get four digits more.
    let power = first == 1 && below >= 0 && magnitude == 10u128.pow(below.unsigned_abs());
    let weight = weight - i32::from(power || magnitude == 0);
    let digits = (SIGNIFICANT_MIN - weight * GROUP).clamp(0, i32::from(scale)) as i8;
    digits.max(significant(value, scale))
}

/// Digits behind the point without the zeros at the end.
pub fn significant(mut value: i128, mut scale: i8) -> i8 {
    if value == 0 {
        return 0;
    }
    for step in [16u8, 8, 4, 2, 1] {
        let unit = 10i128.pow(step.into());
        while scale >= step as i8 && value % unit == 0 {
            value /= unit;
            scale -= step as i8;
        }
    }
    scale
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `SELECT a / b` of PostgreSQL 15 shows them.
    #[test]
    fn rounds_where_postgresql_does() {
        assert_eq!(quotient_digits((1, 0), (3, 0)), 20);
        assert_eq!(quotient_digits((10, 0), (3, 0)), 16);
        assert_eq!(quotient_digits((1, 0), (1, 0)), 20);
        assert_eq!(quotient_digits((123_456_789, 0), (2, 0)), 12);
        assert_eq!(quotient_digits((15, 1), (12, 1)), 20);
        assert_eq!(quotient_digits((0, 0), (7, 0)), 20);
        assert_eq!(quotient_digits((9_223_372_036_854_775_807, 0), (1, 0)), 0);
    }

    #[test]
    fn prints_what_it_was_rounded_to() {
        let unit = 10i128.pow(20);
        assert_eq!(printed_digits(0, 20), 20);
        assert_eq!(printed_digits(unit, 20), 20);
        assert_eq!(printed_digits(-unit / 4, 20), 20);
        assert_eq!(printed_digits(unit * 3 / 2, 20), 16);
        assert_eq!(printed_digits(unit * 25_000, 20), 12);
        assert_eq!(printed_digits(unit * 10_000, 20), 16);
        assert_eq!(printed_digits(9_223_372_036_854_775_807 * 10i128.pow(19), 19), 0);
    }
}
