//! Array literals: `{1,2,NULL}`, `{{1,2},{3,4}}`, elements quoted where they must be.
//!
//! Law: an element is quoted on output when it is empty, is the word NULL, or holds a brace, comma,
//! quote, backslash or white space; input undoes that. Not promised: lower bounds (`[2:3]={..}`).

use crate::error::SqlError;

use super::fault;

/// What the reader of a literal hands over: one element, or NULL.
pub type Sink<'a> = dyn FnMut(Option<&str>) -> Result<(), SqlError> + 'a;

/// Calls `sink` for every element of a literal. With `nested`, an element is itself a literal and
/// is handed over with its braces. `scratch` holds an element while its escapes are undone.
pub fn parse(
    text: &str,
    nested: bool,
    scratch: &mut String,
    sink: &mut Sink<'_>,
) -> Result<(), SqlError> {
    let mut rest = text.trim_matches(super::is_space);
    rest = rest.strip_prefix('{').ok_or_else(|| {
        malformed(text, "Array value must start with \"{\" or dimension information.")
    })?;
    rest = trim(rest);
    if let Some(after) = rest.strip_prefix('}') {
        return end(after, text);
    }
    loop {
        rest = trim(rest);
        if nested {
            let length = literal_length(rest).ok_or_else(|| unexpected(text, rest))?;
            sink(Some(&rest[..length]))?;
            rest = &rest[length..];
        } else {
            rest = element(rest, text, scratch, sink)?;
        }
        rest = trim(rest);
        match rest.as_bytes().first() {
            Some(b',') => rest = &rest[1..],
            Some(b'}') => return end(&rest[1..], text),
            Some(_) => return Err(unexpected(text, rest)),
            None => return Err(malformed(text, "Unexpected end of input.")),
        }
    }
}

fn trim(text: &str) -> &str {
    text.trim_start_matches(super::is_space)
}

fn end(after: &str, text: &str) -> Result<(), SqlError> {
    match after.trim_matches(super::is_space).is_empty() {
        true => Ok(()),
        false => Err(malformed(text, "Junk after closing right brace.")),
    }
}

/// One quoted or bare element; gives back what follows it.
fn element<'a>(
    rest: &'a str,
    text: &str,
    scratch: &mut String,
    sink: &mut Sink<'_>,
) -> Result<&'a str, SqlError> {
    scratch.clear();
    let mut chars = rest.char_indices();
    let quoted = rest.starts_with('"');
    if quoted {
        chars.next();
    }
    let mut kept = 0;
    while let Some((at, c)) = chars.next() {
        match c {
            '"' if quoted => {
                sink(Some(scratch))?;
                return Ok(&rest[at + 1..]);
            }
            ',' | '}' if !quoted => {
                scratch.truncate(kept);
                if scratch.is_empty() {
                    return Err(unexpected(text, &rest[at..]));
                }
                let null = scratch.eq_ignore_ascii_case("null") && at == trim_end(rest, at);
                sink(if null { None } else { Some(scratch) })?;
                return Ok(&rest[at..]);
            }
            '{' if !quoted => {
                return Err(fault::error("0A000", "multidimensional arrays are not supported"));
            }
            '"' => return Err(malformed(text, "Incorrectly quoted array element.")),
            '\\' => {
                let (_, escaped) =
                    chars.next().ok_or_else(|| malformed(text, "Unexpected end of input."))?;
                scratch.push(escaped);
                kept = scratch.len();
            }
            c => {
                scratch.push(c);
                if !super::is_space(c) {
                    kept = scratch.len();
                }
            }
        }
    }
    Err(malformed(text, "Unexpected end of input."))
}

/// Where a bare element ends is where its delimiter stands: an escape in it makes NULL a word.
fn trim_end(rest: &str, at: usize) -> usize {
    if rest[..at].contains('\\') { usize::MAX } else { at }
}

/// The bytes of the literal at the start of `rest`, its closing brace included.
fn literal_length(rest: &str) -> Option<usize> {
    if !rest.starts_with('{') {
        return None;
    }
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b'{' if !quoted => depth += 1,
            b'}' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

fn malformed(text: &str, detail: &str) -> SqlError {
    fault::error("22P02", format!("malformed array literal: \"{text}\"")).with_detail(detail)
}

fn unexpected(text: &str, rest: &str) -> SqlError {
    let c = rest.chars().next().unwrap_or('}');
    malformed(text, &format!("Unexpected \"{c}\" character."))
}

/// Quotes what was written after `start`, where it needs that.
pub fn quote_from(start: usize, out: &mut String) {
    let element = &out[start..];
    let special = |b: u8| matches!(b, b'{' | b'}' | b',' | b'"' | b'\\') || b.is_ascii_whitespace();
    let needed = element.is_empty()
        || element.eq_ignore_ascii_case("null")
        || element.bytes().any(|b| special(b) || b == 0x0b);
    if !needed {
        return;
    }
    out.insert(start, '"');
    let mut at = start + 1;
    while at < out.len() {
        if matches!(out.as_bytes()[at], b'"' | b'\\') {
            out.insert(at, '\\');
            at += 1;
        }
        at += 1;
    }
    out.push('"');
}
