//! Text functions whose rules differ between Postgres and DataFusion. Positions count characters
//! from 1 and may lie outside the text.

use datafusion::logical_expr::ScalarUDF;
use tidemark_catalog::PgType;

use crate::error::SqlError;

use super::body::{Bool, Bytea, Int4, Int8, Opt, Text, TextArray, fn1, fn2, fn3, fn4};
use super::regexp;
use super::scalar::Scalar;

pub fn functions() -> Vec<ScalarUDF> {
    let mut all = parts();
    all.extend(made());
    all.extend(measures());
    all.extend(bytes());
    all
}

/// The byte range of characters `from` (from 0) up to `to`, both cut to the text.
fn chars(text: &str, from: i64, to: i64) -> &str {
    if from >= to || to <= 0 {
        return "";
    }
    if text.is_ascii() {
        let end = text.len().min(usize::try_from(to).unwrap_or(usize::MAX));
        let start = usize::try_from(from).unwrap_or(0).min(end);
        return &text[start..end];
    }
    let mut starts = text.char_indices().map(|(at, _)| at);
    let start = match usize::try_from(from) {
        Ok(from) if from > 0 => starts.by_ref().nth(from - 1).and_then(|_| starts.clone().next()),
        _ => Some(0),
    };
    let Some(start) = start else { return "" };
    let rest = &text[start..];
    let count = usize::try_from(to - from.max(0)).unwrap_or(usize::MAX);
    let end = rest.char_indices().nth(count).map_or(rest.len(), |(at, _)| at);
    &rest[..end]
}

fn length(text: &str) -> i64 {
    if text.is_ascii() { text.len() as i64 } else { text.chars().count() as i64 }
}

fn negative_length() -> SqlError {
    SqlError::new("22011", "negative substring length not allowed")
}

fn substring(text: &str, from: i64, count: i64) -> Result<&str, SqlError> {
    if count < 0 {
        return Err(negative_length());
    }
    Ok(chars(text, from - 1, (from - 1).saturating_add(count)))
}

fn substring_bytes(bytes: &[u8], from: i64, count: i64) -> Result<&[u8], SqlError> {
    if count < 0 {
        return Err(negative_length());
    }
    let place = |at: i64| usize::try_from(at).unwrap_or(0).min(bytes.len());
    let (start, end) = (place(from - 1), place((from - 1).saturating_add(count)));
    Ok(&bytes[start..end.max(start)])
}

fn left(text: &str, count: i32) -> &str {
    match count {
        0.. => chars(text, 0, count.into()),
        _ => chars(text, 0, length(text) + i64::from(count)),
    }
}

fn right(text: &str, count: i32) -> &str {
    match count {
        0.. => chars(text, length(text) - i64::from(count), i64::MAX),
        _ => chars(text, -i64::from(count), i64::MAX),
    }
}

/// The field between delimiters, counted from 1, or from -1 at the end.
fn split_part<'a>(text: &'a str, delimiter: &str, field: i32) -> Result<&'a str, SqlError> {
    if field == 0 {
        return Err(SqlError::new("22023", "field position must not be zero"));
    }
    if delimiter.is_empty() {
        return Ok(if field.abs() == 1 { text } else { "" });
    }
    let at = field.unsigned_abs() as usize - 1;
    let found = match field > 0 {
        true => text.split(delimiter).nth(at),
        false => text.rsplit(delimiter).nth(at),
    };
    Ok(found.unwrap_or(""))
}

fn overlay(text: &str, new: &str, from: i64, count: i64) -> Result<String, SqlError> {
    if from <= 0 {
        return Err(negative_length());
    }
    let head = chars(text, 0, from - 1);
    let tail = chars(text, from - 1 + count, i64::MAX);
    Ok(format!("{head}{new}{tail}"))
}

fn parts() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("substring")
            .alias("substr")
            .overload(fn2::<Text, Int4, Text>(|s, from| {
                Ok(substring(s, from.into(), i64::from(i32::MAX) * 2)?.into())
            }))
            .overload(fn3::<Text, Int4, Int4, Text>(|s, from, count| {
                Ok(substring(s, from.into(), count.into())?.into())
            }))
            .overload(fn2::<Text, Text, Opt<Text>>(|s, pattern| {
                Ok(regexp::substring(s, pattern)?.map(String::from))
            }))
            .overload(fn2::<Bytea, Int4, Bytea>(|s, from| {
                Ok(substring_bytes(s, from.into(), i64::from(i32::MAX) * 2)?.into())
            }))
            .overload(fn3::<Bytea, Int4, Int4, Bytea>(|s, from, count| {
                Ok(substring_bytes(s, from.into(), count.into())?.into())
            }))
            .udf(),
        Scalar::new("left").overload(fn2::<Text, Int4, Text>(|s, n| Ok(left(s, n).into()))).udf(),
        Scalar::new("right").overload(fn2::<Text, Int4, Text>(|s, n| Ok(right(s, n).into()))).udf(),
        Scalar::new("split_part")
            .overload(fn3::<Text, Text, Int4, Text>(|s, by, field| {
                Ok(split_part(s, by, field)?.into())
            }))
            .udf(),
        Scalar::new("overlay")
            .overload(fn3::<Text, Text, Int4, Text>(|s, new, from| {
                overlay(s, new, from.into(), length(new))
            }))
            .overload(fn4::<Text, Text, Int4, Int4, Text>(|s, new, from, count| {
                overlay(s, new, from.into(), count.into())
            }))
            .udf(),
        Scalar::new("string_to_array")
            .overload(fn2::<Text, Opt<Text>, TextArray>(|s, by| Ok(split(s, by, None))))
            .overload(fn3::<Text, Opt<Text>, Opt<Text>, TextArray>(|s, by, null| {
                Ok(split(s, by, null))
            }))
            .udf(),
    ]
}

/// No delimiter parts every character, an empty one nothing.
fn split(text: &str, by: Option<&str>, null: Option<&str>) -> Vec<Option<String>> {
    let keep = |part: &str| (Some(part) != null).then(|| part.to_string());
    if text.is_empty() {
        return Vec::new();
    }
    match by {
        None => text.chars().map(|c| keep(c.encode_utf8(&mut [0; 4]))).collect(),
        Some("") => vec![keep(text)],
        Some(by) => text.split(by).map(keep).collect(),
    }
}

/// `count` characters of `fill`, over and over.
fn padding(fill: &str, count: i64) -> String {
    fill.chars().cycle().take(usize::try_from(count).unwrap_or(0)).collect()
}

fn pad(text: &str, to: i32, fill: &str, before: bool) -> Result<String, SqlError> {
    let to = i64::from(to).max(0);
    let missing = to - length(text);
    if missing <= 0 {
        return Ok(chars(text, 0, to).into());
    }
    if fill.is_empty() {
        return Ok(text.into());
    }
    check_size(to as usize * fill.len().div_ceil(length(fill).max(1) as usize))?;
    let padding = padding(fill, missing);
    Ok(if before { format!("{padding}{text}") } else { format!("{text}{padding}") })
}

/// 54000 for a text longer than Postgres makes one.
fn check_size(bytes: usize) -> Result<(), SqlError> {
    if bytes >= 1 << 30 {
        return Err(SqlError::new("54000", "requested length too large"));
    }
    Ok(())
}

fn repeat(text: &str, times: i32) -> Result<String, SqlError> {
    let times = usize::try_from(times).unwrap_or(0);
    check_size(text.len().saturating_mul(times))?;
    Ok(text.repeat(times))
}

/// The first letter of each run of letters and digits upper case, the others lower.
fn initcap(text: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match inside {
            true => out.extend(c.to_lowercase()),
            false => out.extend(c.to_uppercase()),
        }
        inside = c.is_alphanumeric();
    }
    out
}

fn translate(text: &str, from: &str, to: &str) -> String {
    let table: Vec<(char, Option<char>)> = {
        let mut to = to.chars();
        from.chars().map(|c| (c, to.next())).collect()
    };
    text.chars()
        .filter_map(|c| match table.iter().find(|(from, _)| *from == c) {
            Some((_, to)) => *to,
            None => Some(c),
        })
        .collect()
}

fn chr(code: i32) -> Result<String, SqlError> {
    match code {
        0 => Err(SqlError::new("54000", "null character not permitted")),
        ..0 => Err(SqlError::new("22023", "character number must be positive")),
        _ => char::from_u32(code as u32).map(String::from).ok_or_else(|| {
            SqlError::new("54000", format!("requested character too large for encoding: {code}"))
        }),
    }
}

fn made() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("lpad")
            .overload(fn2::<Text, Int4, Text>(|s, to| pad(s, to, " ", true)))
            .overload(fn3::<Text, Int4, Text, Text>(|s, to, fill| pad(s, to, fill, true)))
            .udf(),
        Scalar::new("rpad")
            .overload(fn2::<Text, Int4, Text>(|s, to| pad(s, to, " ", false)))
            .overload(fn3::<Text, Int4, Text, Text>(|s, to, fill| pad(s, to, fill, false)))
            .udf(),
        Scalar::new("bpchar")
            .overload(fn2::<Text, Int4, Text>(|s, to| pad(left(s, to), to, " ", false)))
            .of_length(PgType::Bpchar)
            .udf(),
        Scalar::new("varchar")
            .overload(fn2::<Text, Int4, Text>(|s, to| Ok(left(s, to).into())))
            .of_length(PgType::Varchar)
            .udf(),
        Scalar::new("repeat").overload(fn2::<Text, Int4, Text>(repeat)).udf(),
        Scalar::new("reverse")
            .overload(fn1::<Text, Text>(|s| Ok(s.chars().rev().collect::<String>())))
            .udf(),
        Scalar::new("initcap").overload(fn1::<Text, Text>(|s| Ok(initcap(s)))).udf(),
        Scalar::new("translate")
            .overload(fn3::<Text, Text, Text, Text>(|s, from, to| Ok(translate(s, from, to))))
            .udf(),
        Scalar::new("like_escape").overload(fn2::<Text, Text, Text>(like_escape)).udf(),
        Scalar::new("chr").overload(fn1::<Int4, Text>(chr)).udf(),
        Scalar::new("byteacat")
            .overload(fn2::<Bytea, Bytea, Bytea>(|a, b| Ok([a, b].concat())))
            .udf(),
        Scalar::new("pg_varchar")
            .overload(fn2::<Text, Int4, Text>(|s, limit| Ok(chars(s, 0, limit.into()).into())))
            .udf(),
    ]
}

/// The LIKE pattern that means with the backslash what `pattern` means with `escape`, one character
/// or none.
pub(crate) fn like_escape(pattern: &str, escape: &str) -> Result<String, SqlError> {
    let mut characters = escape.chars();
    let (escape, None) = (characters.next(), characters.next()) else {
        let error = SqlError::new("22025", "invalid escape string");
        return Err(error.with_hint("Escape string must be empty or one character."));
    };
    let mut rewritten = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        match c {
            c if Some(c) == escape => {
                rewritten.push('\\');
                rewritten.extend(characters.next());
            }
            '\\' => rewritten.push_str("\\\\"),
            c => rewritten.push(c),
        }
    }
    Ok(rewritten)
}

fn strpos(text: &str, needle: &str) -> i32 {
    text.find(needle).map_or(0, |at| length(&text[..at]) as i32 + 1)
}

fn measures() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("length")
            .alias("char_length")
            .alias("character_length")
            .overload(fn1::<Text, Int4>(|s| Ok(length(s) as i32)))
            .overload(fn1::<Bytea, Int4>(|b| Ok(b.len() as i32)))
            .udf(),
        Scalar::new("octet_length")
            .overload(fn1::<Text, Int4>(|s| Ok(s.len() as i32)))
            .overload(fn1::<Bytea, Int4>(|b| Ok(b.len() as i32)))
            .udf(),
        Scalar::new("bit_length")
            .overload(fn1::<Text, Int4>(|s| Ok(s.len() as i32 * 8)))
            .overload(fn1::<Bytea, Int4>(|b| Ok(b.len() as i32 * 8)))
            .udf(),
        Scalar::new("strpos")
            .alias("position")
            .overload(fn2::<Text, Text, Int4>(|s, needle| Ok(strpos(s, needle))))
            .udf(),
        Scalar::new("starts_with")
            .overload(fn2::<Text, Text, Bool>(|s, start| Ok(s.starts_with(start))))
            .udf(),
        Scalar::new("ascii")
            .overload(fn1::<Text, Int4>(|s| Ok(s.chars().next().map_or(0, |c| c as i32))))
            .udf(),
    ]
}

fn out_of_range(index: i64, length: usize) -> SqlError {
    let last = length as i64 - 1;
    SqlError::new("2202E", format!("index {index} out of valid range, 0..{last}"))
}

fn byte_at(bytes: &[u8], index: i64) -> Result<u8, SqlError> {
    let found = usize::try_from(index).ok().and_then(|at| bytes.get(at));
    found.copied().ok_or_else(|| out_of_range(index, bytes.len()))
}

fn bytes() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("get_byte")
            .overload(fn2::<Bytea, Int4, Int4>(|b, at| Ok(byte_at(b, at.into())?.into())))
            .udf(),
        Scalar::new("get_bit")
            .overload(fn2::<Bytea, Int8, Int4>(|b, at| {
                let byte =
                    byte_at(b, at.div_euclid(8)).map_err(|_| out_of_range(at, b.len() * 8))?;
                Ok(i32::from(byte >> at.rem_euclid(8) & 1))
            }))
            .udf(),
    ]
}
