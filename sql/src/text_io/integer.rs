//! Integers as text: `smallint`, `integer`, `bigint` and `oid`.
//!
//! Law: surrounding white space is skipped, one sign is taken, everything else must be decimal
//! digits. Too many of them is 22003, anything else 22P02, each with Postgres' words.

use crate::error::SqlError;

use super::fault;

/// Parses an integer between `min` and `max`; `name` is Postgres' name of the type.
pub fn parse(text: &str, min: i64, max: i64, name: &str) -> Result<i64, SqlError> {
    let trimmed = text.trim_matches(super::is_space);
    let (negative, digits) = match trimmed.as_bytes().first() {
        Some(b'-') => (true, &trimmed[1..]),
        Some(b'+') => (false, &trimmed[1..]),
        _ => (false, trimmed),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(fault::syntax(name, text));
    }
    let mut value: i64 = 0;
    for digit in digits.bytes() {
        // Counted downwards: the smallest number has no positive counterpart.
        value = value
            .checked_mul(10)
            .and_then(|v| v.checked_sub(i64::from(digit - b'0')))
            .ok_or_else(|| fault::range(name, text))?;
    }
    let value = match negative {
        true => Some(value),
        false => value.checked_neg(),
    };
    value.filter(|v| (min..=max).contains(v)).ok_or_else(|| fault::range(name, text))
}

pub fn parse_int2(text: &str) -> Result<i16, SqlError> {
    parse(text, i16::MIN.into(), i16::MAX.into(), "smallint").map(|v| v as i16)
}

pub fn parse_int4(text: &str) -> Result<i32, SqlError> {
    parse(text, i32::MIN.into(), i32::MAX.into(), "integer").map(|v| v as i32)
}

pub fn parse_int8(text: &str) -> Result<i64, SqlError> {
    parse(text, i64::MIN, i64::MAX, "bigint")
}

/// `-1` is the largest oid, as in Postgres, which reads the number modulo 2³².
pub fn parse_oid(text: &str) -> Result<u32, SqlError> {
    parse(text, i32::MIN.into(), u32::MAX.into(), "oid").map(|v| v as u32)
}
