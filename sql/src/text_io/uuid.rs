//! `uuid` as text: 32 hexadecimal digits in groups of 8-4-4-4-12, lower case.
//!
//! Input takes either case, braces around it, and a hyphen after any group of four digits.

use crate::error::SqlError;

use super::fault;

pub fn parse(text: &str) -> Result<[u8; 16], SqlError> {
    read(text).ok_or_else(|| fault::syntax("uuid", text))
}

fn read(text: &str) -> Option<[u8; 16]> {
    let inner = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}')?,
        None => text,
    };
    let bytes = inner.as_bytes();
    let mut value = [0u8; 16];
    let mut at = 0;
    for (i, byte) in value.iter_mut().enumerate() {
        let high = (*bytes.get(at)? as char).to_digit(16)?;
        let low = (*bytes.get(at + 1)? as char).to_digit(16)?;
        *byte = (high << 4 | low) as u8;
        at += 2;
        if i % 2 == 1 && i < 15 && bytes.get(at) == Some(&b'-') {
            at += 1;
        }
    }
    (at == bytes.len()).then_some(value)
}

pub fn format(value: &[u8], out: &mut String) {
    for (start, end) in [(0, 4), (4, 6), (6, 8), (8, 10), (10, 16)] {
        if start > 0 {
            out.push('-');
        }
        super::bytea::format_hex(&value[start..end], out);
    }
}
