//! `real` and `double precision` as text.
//!
//! Law: output is the shortest decimal that reads back as the same bits, however the reader breaks
//! ties, as Postgres' Ryū without bounds; fixed notation for exponents from -4 up to the type's
//! decimal digits (15, 6), else `d.ddde+XX`. Input takes what `strtod` takes except hexadecimal; a
//! number too large or too small for the type is 22003.

use std::fmt::Write;

use crate::error::SqlError;

use super::fault;

pub fn parse_float8(text: &str) -> Result<f64, SqlError> {
    let trimmed = text.trim_matches(super::is_space);
    let value: f64 = trimmed.parse().map_err(|_| fault::syntax("double precision", text))?;
    match lost(trimmed, value.is_infinite(), value == 0.0) {
        true => Err(out_of_range("double precision", trimmed)),
        false => Ok(value),
    }
}

pub fn parse_float4(text: &str) -> Result<f32, SqlError> {
    let trimmed = text.trim_matches(super::is_space);
    let value: f32 = trimmed.parse().map_err(|_| fault::syntax("real", text))?;
    match lost(trimmed, value.is_infinite(), value == 0.0) {
        true => Err(out_of_range("real", trimmed)),
        false => Ok(value),
    }
}

/// Whether reading turned a finite number into infinity, or one that is not zero into zero.
fn lost(text: &str, infinite: bool, zero: bool) -> bool {
    if infinite {
        return text.bytes().any(|b| b.is_ascii_digit());
    }
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    zero && mantissa.bytes().any(|b| (b'1'..=b'9').contains(&b))
}

fn out_of_range(name: &str, text: &str) -> SqlError {
    fault::error("22003", format!("\"{text}\" is out of range for type {name}"))
}

pub fn format_float8(value: f64, out: &mut String) {
    if special(value, out) {
        return;
    }
    let mut digits = Scratch::default();
    write!(digits, "{value:e}").expect("a double has at most 25 characters");
    if is_midpoint(digits.text(), f64::MANTISSA_DIGITS) {
        let print = |places: usize, digits: &mut Scratch| write!(digits, "{value:.places$e}");
        digits = longer(print, |text| text.parse() == Ok(value), f64::MANTISSA_DIGITS);
    }
    lay_out(digits.text(), 15, out);
}

pub fn format_float4(value: f32, out: &mut String) {
    if special(f64::from(value), out) {
        return;
    }
    let mut digits = Scratch::default();
    write!(digits, "{value:e}").expect("a real has fewer characters than a double");
    if is_midpoint(digits.text(), f32::MANTISSA_DIGITS) {
        let print = |places: usize, digits: &mut Scratch| write!(digits, "{value:.places$e}");
        digits = longer(print, |text| text.parse() == Ok(value), f32::MANTISSA_DIGITS);
    }
    lay_out(digits.text(), 6, out);
}

/// The shortest that reads back, without being a midpoint. Seldom, so it may be slow.
fn longer(
    print: impl Fn(usize, &mut Scratch) -> std::fmt::Result,
    reads_back: impl Fn(&str) -> bool,
    mantissa_digits: u32,
) -> Scratch {
    for places in 1..17 {
        let mut digits = Scratch::default();
        print(places, &mut digits).expect("17 digits fit");
        if reads_back(digits.text()) && !is_midpoint(digits.text(), mantissa_digits) {
            return digits;
        }
    }
    unreachable!("17 digits read back, and no midpoint near them has as few")
}

/// Whether the digits `d.ddde±x` stand exactly between two floats of so many binary digits, so that
/// only the breaking of a tie reads them back. Such a number has one binary digit more than a
/// float, so its power of ten is small.
fn is_midpoint(text: &str, mantissa_digits: u32) -> bool {
    let (mantissa, exponent) = text.split_once('e').expect("{:e} writes an exponent");
    let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let exponent: i32 = exponent.parse().expect("{:e} writes a decimal exponent");
    let last = exponent - fraction as i32;
    let digits = mantissa.bytes().filter(u8::is_ascii_digit);
    let digits = digits.fold(0u128, |n, digit| n * 10 + u128::from(digit - b'0'));
    // Without its factors of two: those of the power of ten do not count.
    let odd = match last {
        0..=23 => digits * 5u128.pow(last as u32),
        -1 if digits % 5 == 0 => digits / 5,
        _ => return false,
    };
    odd != 0 && u128::BITS - odd.leading_zeros() - odd.trailing_zeros() == mantissa_digits + 1
}

fn special(value: f64, out: &mut String) -> bool {
    let name = match value {
        v if v.is_nan() => "NaN",
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => return false,
    };
    out.push_str(name);
    true
}

/// From Rust's shortest `-d.ddde-x` to Postgres' choice of notation.
fn lay_out(shortest: &str, digits_max: i32, out: &mut String) {
    let (mantissa, exponent) = shortest.split_once('e').expect("{:e} writes an exponent");
    let exponent: i32 = exponent.parse().expect("{:e} writes a decimal exponent");
    let mantissa = match mantissa.strip_prefix('-') {
        Some(rest) => {
            out.push('-');
            rest
        }
        None => mantissa,
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if !(-4..digits_max).contains(&exponent) {
        out.push_str(mantissa);
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(out, "e{sign}{:02}", exponent.abs()).expect("writing to a String");
    } else if exponent < 0 {
        out.push_str("0.");
        (1..-exponent).for_each(|_| out.push('0'));
        out.push_str(whole);
        out.push_str(fraction);
    } else {
        out.push_str(whole);
        let inside = (exponent as usize).min(fraction.len());
        out.push_str(&fraction[..inside]);
        (inside..exponent as usize).for_each(|_| out.push('0'));
        if inside < fraction.len() {
            out.push('.');
            out.push_str(&fraction[inside..]);
        }
    }
}

/// A few characters on the stack.
#[derive(Default)]
struct Scratch {
    bytes: [u8; 32],
    len: usize,
}

impl Scratch {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).expect("only whole strs were written")
    }
}

impl Write for Scratch {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        let end = self.len + s.len();
        let slot = self.bytes.get_mut(self.len..end).ok_or(std::fmt::Error)?;
        slot.copy_from_slice(s.as_bytes());
        self.len = end;
        Ok(())
    }
}
