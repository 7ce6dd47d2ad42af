//! `bytea` as text: hexadecimal out (`\x0aff`), hexadecimal or escape form in.

use crate::error::SqlError;

use super::fault;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Appends the bytes to `out`.
pub fn parse(text: &str, out: &mut Vec<u8>) -> Result<(), SqlError> {
    match text.strip_prefix("\\x") {
        Some(hex) => parse_hex(hex, out),
        None => parse_escape(text, out),
    }
}

/// Pairs of hexadecimal digits; white space may stand between pairs.
pub fn parse_hex(hex: &str, out: &mut Vec<u8>) -> Result<(), SqlError> {
    let mut chars = hex.chars();
    while let Some(high) = chars.next() {
        if super::is_space(high) {
            continue;
        }
        let high = digit(high)?;
        let low = chars.next().ok_or_else(|| {
            fault::error("22023", "invalid hexadecimal data: odd number of digits")
        })?;
        out.push(high << 4 | digit(low)?);
    }
    Ok(())
}

fn digit(c: char) -> Result<u8, SqlError> {
    c.to_digit(16)
        .map(|d| d as u8)
        .ok_or_else(|| fault::error("22023", format!("invalid hexadecimal digit: \"{c}\"")))
}

/// Bytes as they are, `\\` for a backslash, `\ooo` for any byte.
pub fn parse_escape(text: &str, out: &mut Vec<u8>) -> Result<(), SqlError> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at..] {
            [b'\\', b'\\', ..] => {
                out.push(b'\\');
                at += 2;
            }
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                at += 4;
            }
            [b'\\', ..] => {
                return Err(fault::error("22P02", "invalid input syntax for type bytea"));
            }
            [byte, ..] => {
                out.push(byte);
                at += 1;
            }
            [] => break,
        }
    }
    Ok(())
}

pub fn format(value: &[u8], out: &mut String) {
    out.push_str("\\x");
    format_hex(value, out);
}

pub fn format_hex(value: &[u8], out: &mut String) {
    for byte in value {
        out.push(DIGITS[usize::from(byte >> 4)] as char);
        out.push(DIGITS[usize::from(byte & 15)] as char);
    }
}

/// The escape form, for `encode(.., 'escape')`.
pub fn format_escape(value: &[u8], out: &mut String) {
    for byte in value {
        match byte {
            b'\\' => out.push_str("\\\\"),
            0 | 0x80.. => {
                out.push('\\');
                [byte >> 6, byte >> 3 & 7, byte & 7]
                    .iter()
                    .for_each(|digit| out.push((b'0' + digit) as char));
            }
            byte => out.push(*byte as char),
        }
    }
}
