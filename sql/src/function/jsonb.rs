//! jsonb operators and the functions that look into a value: `->`, `->>`, `#>`, `@>`, `?`, `-` …
//!
//! A jsonb is its canonical text, so looking into it is finding a slice of that text: nothing is
//! parsed into a tree. Law: members and elements of canonical text are canonical text.
//! Not here: SQL/JSON paths (`@?`, `@@`, jsonb_path_*).

use std::borrow::Cow;
use std::cmp::Ordering;

use datafusion::logical_expr::ScalarUDF;

use crate::error::SqlError;
use crate::text_io::jsonb::{Canonicalizer, equality_key, quote, unescape};

use super::body::{Bool, Int4, Jsonb, Opt, Text, TextArray, fn1, fn2, fn3, fn4};
use super::scalar::Scalar;

/// `jsonb_typeof`.
pub fn kind(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ => "number",
    }
}

/// The elements of an array, or the members of an object as `"key": value`.
pub struct Items<'a> {
    rest: &'a str,
}

/// Empty for a scalar.
pub fn items(json: &str) -> Items<'_> {
    let container = json.starts_with(['{', '[']);
    Items { rest: if container { &json[1..json.len() - 1] } else { "" } }
}

impl<'a> Iterator for Items<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let (mut depth, mut quoted, mut escaped) = (0u32, false, false);
        for (at, byte) in self.rest.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quoted = !quoted,
                _ if quoted => {}
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                b',' if depth == 0 => {
                    let item = &self.rest[..at];
                    self.rest = &self.rest[at + 2..];
                    return Some(item);
                }
                _ => {}
            }
        }
        Some(std::mem::take(&mut self.rest))
    }
}

/// A member's key, with its quotes, and value.
pub fn member(item: &str) -> (&str, &str) {
    let mut escaped = false;
    for (at, byte) in item.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return (&item[..=at], &item[at + 3..]),
            _ => {}
        }
    }
    unreachable!("a member of a canonical object has a key in quotes")
}

/// The members of an object.
pub fn members(json: &str) -> impl Iterator<Item = (&str, &str)> {
    let object = json.starts_with('{');
    items(if object { json } else { "{}" }).map(member)
}

/// The value of a key in an object.
pub fn field<'a>(json: &'a str, key: &str) -> Option<&'a str> {
    let mut quoted = String::with_capacity(key.len() + 2);
    quote(key, &mut quoted);
    members(json).find(|(found, _)| *found == quoted).map(|(_, value)| value)
}

/// An element of an array, counted from 0, or from -1 at its end.
pub fn element(json: &str, index: i32) -> Option<&str> {
    if !json.starts_with('[') {
        return None;
    }
    match usize::try_from(index) {
        Ok(index) => items(json).nth(index),
        Err(_) => {
            let back = index.unsigned_abs() as usize;
            let count = items(json).count();
            items(json).nth(count.checked_sub(back)?)
        }
    }
}

fn path<'a>(json: &'a str, steps: &[Option<&str>]) -> Option<&'a str> {
    let mut at = json;
    for step in steps {
        let step = (*step)?;
        at = match at.as_bytes().first()? {
            b'{' => field(at, step)?,
            b'[' => element(at, step.trim().parse().ok()?)?,
            _ => return None,
        };
    }
    Some(at)
}

/// A value as text: a string without quotes, null as NULL.
pub fn as_text(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first() {
        Some(b'n') => None,
        Some(b'"') if json.contains('\\') => {
            let mut text = String::with_capacity(json.len());
            unescape(json, &mut text);
            Some(text.into())
        }
        Some(b'"') => Some(json[1..json.len() - 1].into()),
        _ => Some(json.into()),
    }
}

/// `a @> b`
pub fn contains(a: &str, b: &str) -> bool {
    match (a.as_bytes().first(), b.as_bytes().first()) {
        (Some(b'{'), Some(b'{')) => members(b).all(|(key, wanted)| {
            let mut same = members(a).filter(|(found, _)| *found == key);
            same.next().is_some_and(|(_, value)| match value.starts_with(['{', '[']) {
                true => kind(value) == kind(wanted) && contains(value, wanted),
                false => equal(value, wanted),
            })
        }),
        (Some(b'['), Some(b'[')) => items(b).all(|wanted| {
            items(a).any(|value| match wanted.starts_with(['{', '[']) {
                true => kind(value) == kind(wanted) && contains(value, wanted),
                false => equal(value, wanted),
            })
        }),
        // An array holds a scalar as if it stood in brackets.
        (Some(b'['), Some(c)) if !matches!(c, b'{' | b'[') => items(a).any(|v| equal(v, b)),
        (Some(b'{' | b'['), _) | (_, Some(b'{' | b'[')) => false,
        _ => equal(a, b),
    }
}

/// Scalars: numbers by value (`1.0` equals `1`), all else by text.
fn equal(a: &str, b: &str) -> bool {
    let trim = |s: &str| -> usize {
        let fraction = s.contains('.');
        if fraction { s.trim_end_matches('0').trim_end_matches('.').len() } else { s.len() }
    };
    let number = kind(a) == "number" && kind(b) == "number";
    a == b || (number && a[..trim(a)] == b[..trim(b)])
}

/// `json ? key`: a key of an object, a string in an array, or the string itself.
fn exists(json: &str, key: &str) -> bool {
    let mut quoted = String::new();
    quote(key, &mut quoted);
    match json.as_bytes().first() {
        Some(b'{') => members(json).any(|(found, _)| found == quoted),
        Some(b'[') => items(json).any(|found| found == quoted),
        _ => json == quoted,
    }
}

/// `a || b`
pub fn concat(a: &str, b: &str) -> Result<String, SqlError> {
    let inner = |json: &str| json[1..json.len() - 1].to_string();
    let both = |open: char, a: String, b: String, close: char| {
        let comma = if a.is_empty() || b.is_empty() { "" } else { ", " };
        format!("{open}{a}{comma}{b}{close}")
    };
    match (kind(a), kind(b)) {
        ("object", "object") => canonical(&both('{', inner(a), inner(b), '}')),
        ("array", "array") => Ok(both('[', inner(a), inner(b), ']')),
        ("array", _) => Ok(both('[', inner(a), b.to_string(), ']')),
        (_, "array") => Ok(both('[', a.to_string(), inner(b), ']')),
        _ => Ok(format!("[{a}, {b}]")),
    }
}

/// JSON text in canonical form.
pub fn canonical(text: &str) -> Result<String, SqlError> {
    let mut out = String::with_capacity(text.len());
    Canonicalizer::default().append(text, &mut out)?;
    Ok(out)
}

fn join<'a>(open: char, items: impl Iterator<Item = &'a str>, close: char) -> String {
    let items: Vec<&str> = items.collect();
    format!("{open}{}{close}", items.join(", "))
}

fn delete_key(json: &str, keys: &[Option<&str>]) -> Result<String, SqlError> {
    let quoted: Vec<String> = keys
        .iter()
        .flatten()
        .map(|key| {
            let mut quoted = String::new();
            quote(key, &mut quoted);
            quoted
        })
        .collect();
    let gone = |key: &str| quoted.iter().any(|quoted| quoted == key);
    match kind(json) {
        "object" => Ok(join('{', items(json).filter(|item| !gone(member(item).0)), '}')),
        "array" => Ok(join('[', items(json).filter(|item| !gone(item)), ']')),
        _ => Err(SqlError::new("22023", "cannot delete from scalar")),
    }
}

fn delete_element(json: &str, index: i32) -> Result<String, SqlError> {
    match kind(json) {
        "array" => {
            let count = items(json).count() as i64;
            let at = if index < 0 { count + i64::from(index) } else { i64::from(index) };
            let kept = items(json).enumerate().filter(|(i, _)| *i as i64 != at);
            Ok(join('[', kept.map(|(_, item)| item), ']'))
        }
        "object" => Err(SqlError::new("22023", "cannot delete from object using integer index")),
        _ => Err(SqlError::new("22023", "cannot delete from scalar")),
    }
}

/// `json` with `value` at the path; `None` for `value` deletes.
fn set_at(
    json: &str,
    steps: &[Option<&str>],
    value: Option<&str>,
    create: bool,
) -> Result<String, SqlError> {
    let Some((step, rest)) = steps.split_first() else { return Ok(json.to_string()) };
    let step = step.ok_or_else(|| SqlError::new("22004", "path element at position 1 is null"))?;
    match kind(json) {
        "object" => set_member(json, step, rest, value, create),
        "array" => set_element(json, step, rest, value, create),
        _ => Ok(json.to_string()),
    }
}

/// `json` with `value` put into the array, or the object, that the path leads to.
fn insert_at(
    json: &str,
    steps: &[Option<&str>],
    value: &str,
    after: bool,
) -> Result<String, SqlError> {
    let Some((last, above)) = steps.split_last() else { return Ok(json.to_string()) };
    let Some(parent) = path(json, above) else { return Ok(json.to_string()) };
    let step = last.ok_or_else(|| {
        let message = format!("path element at position {} is null", steps.len());
        SqlError::new("22004", message)
    })?;
    let changed = match kind(parent) {
        "object" if field(parent, step).is_some() => {
            let hint = "Try using the function jsonb_set to replace key value.";
            return Err(SqlError::new("22023", "cannot replace existing key").with_hint(hint));
        }
        "object" => set_member(parent, step, &[], Some(value), true)?,
        "array" => {
            let index: i64 = step.trim().parse().map_err(|_| {
                let at = steps.len();
                let message =
                    format!("path element at position {at} is not an integer: \"{step}\"");
                SqlError::new("22P02", message)
            })?;
            let mut all: Vec<&str> = items(parent).collect();
            let count = all.len() as i64;
            let at = if index < 0 { count + index } else { index };
            let at = if at < 0 { 0 } else { at + i64::from(after && at < count) };
            all.insert(at.min(count) as usize, value);
            join('[', all.into_iter(), ']')
        }
        _ => return Ok(json.to_string()),
    };
    match above.is_empty() {
        true => Ok(changed),
        false => set_at(json, above, Some(&changed), false),
    }
}

fn set_member(
    json: &str,
    key: &str,
    rest: &[Option<&str>],
    value: Option<&str>,
    create: bool,
) -> Result<String, SqlError> {
    let mut quoted = String::new();
    quote(key, &mut quoted);
    let mut parts = Vec::new();
    let mut found = false;
    for item in items(json) {
        let (name, old) = member(item);
        if name != quoted {
            parts.push(item.to_string());
            continue;
        }
        found = true;
        match (rest.is_empty(), value) {
            (true, None) => {}
            (true, Some(value)) => parts.push(format!("{name}: {value}")),
            (false, _) => parts.push(format!("{name}: {}", set_at(old, rest, value, create)?)),
        }
    }
    if let (false, true, true, Some(value)) = (found, create, rest.is_empty(), value) {
        parts.push(format!("{quoted}: {value}"));
    }
    canonical(&join('{', parts.iter().map(String::as_str), '}'))
}

fn set_element(
    json: &str,
    step: &str,
    rest: &[Option<&str>],
    value: Option<&str>,
    create: bool,
) -> Result<String, SqlError> {
    let index: i64 = step.trim().parse().map_err(|_| {
        let message = format!("path element at position 1 is not an integer: \"{step}\"");
        SqlError::new("22P02", message)
    })?;
    let count = items(json).count() as i64;
    let at = if index < 0 { count + index } else { index };
    let mut parts = Vec::new();
    for (i, item) in items(json).enumerate() {
        match (i as i64 == at, rest.is_empty(), value) {
            (false, ..) => parts.push(item.to_string()),
            (true, true, None) => {}
            (true, true, Some(value)) => parts.push(value.to_string()),
            (true, false, _) => parts.push(set_at(item, rest, value, create)?),
        }
    }
    if let (true, true, Some(value)) = (create, rest.is_empty(), value) {
        if at >= count {
            parts.push(value.to_string());
        } else if at < 0 {
            parts.insert(0, value.to_string());
        }
    }
    Ok(join('[', parts.iter().map(String::as_str), ']'))
}

fn strip_nulls(json: &str, out: &mut String) {
    let (open, close) = match kind(json) {
        "object" => ('{', '}'),
        "array" => ('[', ']'),
        _ => return out.push_str(json),
    };
    out.push(open);
    let start = out.len();
    for item in items(json) {
        let (key, value) = if open == '{' { member(item) } else { ("", item) };
        if open == '{' && value == "null" {
            continue;
        }
        if out.len() > start {
            out.push_str(", ");
        }
        if open == '{' {
            out.push_str(key);
            out.push_str(": ");
        }
        strip_nulls(value, out);
    }
    out.push(close);
}

fn pretty(json: &str, indent: usize, out: &mut String) {
    let (open, close) = match kind(json) {
        "object" => ('{', '}'),
        "array" => ('[', ']'),
        _ => return out.push_str(json),
    };
    out.push(open);
    let new_line = |indent: usize, out: &mut String| {
        out.push('\n');
        (0..indent).for_each(|_| out.push_str("    "));
    };
    for (i, item) in items(json).enumerate() {
        if i > 0 {
            out.push(',');
        }
        new_line(indent + 1, out);
        let value = if open == '{' {
            let (key, value) = member(item);
            out.push_str(key);
            out.push_str(": ");
            value
        } else {
            item
        };
        pretty(value, indent + 1, out);
    }
    new_line(indent, out);
    out.push(close);
}

fn array_length(json: &str) -> Result<i32, SqlError> {
    match kind(json) {
        "array" => Ok(items(json).count() as i32),
        "object" => Err(SqlError::new("22023", "cannot get array length of a non-array")),
        _ => Err(SqlError::new("22023", "cannot get array length of a scalar")),
    }
}

pub fn functions() -> Vec<ScalarUDF> {
    let mut all = getters();
    all.extend(tests());
    all.extend(changes());
    all
}

fn getters() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("jsonb_get")
            .overload(fn2::<Jsonb, Text, Opt<Jsonb>>(|j, k| Ok(field(j, k).map(String::from))))
            .overload(fn2::<Jsonb, Int4, Opt<Jsonb>>(|j, i| Ok(element(j, i).map(String::from))))
            .udf(),
        Scalar::new("jsonb_get_text")
            .overload(fn2::<Jsonb, Text, Opt<Text>>(|j, k| {
                Ok(field(j, k).and_then(as_text).map(String::from))
            }))
            .overload(fn2::<Jsonb, Int4, Opt<Text>>(|j, i| {
                Ok(element(j, i).and_then(as_text).map(String::from))
            }))
            .udf(),
        Scalar::new("jsonb_get_path")
            .overload(fn2::<Jsonb, TextArray, Opt<Jsonb>>(|j, p| Ok(path(j, &p).map(String::from))))
            .udf(),
        Scalar::new("jsonb_get_path_text")
            .overload(fn2::<Jsonb, TextArray, Opt<Text>>(|j, p| {
                Ok(path(j, &p).and_then(as_text).map(String::from))
            }))
            .udf(),
        Scalar::new("jsonb_typeof")
            .overload(fn1::<Jsonb, Text>(|j| Ok(kind(j).into())))
            .alias("json_typeof")
            .udf(),
        Scalar::new("jsonb_array_length")
            .overload(fn1::<Jsonb, Int4>(array_length))
            .alias("json_array_length")
            .udf(),
        Scalar::new("jsonb_pretty")
            .overload(fn1::<Jsonb, Text>(|j| {
                let mut out = String::new();
                pretty(j, 0, &mut out);
                Ok(out)
            }))
            .udf(),
    ]
}

fn tests() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("jsonb_contains")
            .overload(fn2::<Jsonb, Jsonb, Bool>(|a, b| Ok(contains(a, b))))
            .udf(),
        Scalar::new("jsonb_contained")
            .overload(fn2::<Jsonb, Jsonb, Bool>(|a, b| Ok(contains(b, a))))
            .udf(),
        Scalar::new("jsonb_key")
            .overload(fn1::<Jsonb, Text>(|j| Ok(equality_key(j).into_owned())))
            .udf(),
        comparison("jsonb_lt", Ordering::is_lt),
        comparison("jsonb_le", Ordering::is_le),
        comparison("jsonb_gt", Ordering::is_gt),
        comparison("jsonb_ge", Ordering::is_ge),
        Scalar::new("jsonb_exists")
            .overload(fn2::<Jsonb, Text, Bool>(|j, k| Ok(exists(j, k))))
            .udf(),
        Scalar::new("jsonb_exists_any")
            .overload(fn2::<Jsonb, TextArray, Bool>(|j, keys| {
                Ok(keys.iter().flatten().any(|k| exists(j, k)))
            }))
            .udf(),
        Scalar::new("jsonb_exists_all")
            .overload(fn2::<Jsonb, TextArray, Bool>(|j, keys| {
                Ok(keys.iter().flatten().all(|k| exists(j, k)))
            }))
            .udf(),
    ]
}

fn comparison(name: &'static str, holds: fn(Ordering) -> bool) -> ScalarUDF {
    let body = move |a: &str, b: &str| Ok(holds(compare(a, b)));
    Scalar::new(name).overload(fn2::<Jsonb, Jsonb, Bool>(body)).udf()
}

fn changes() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("jsonb_concat").overload(fn2::<Jsonb, Jsonb, Jsonb>(concat)).udf(),
        Scalar::new("jsonb_delete")
            .overload(fn2::<Jsonb, Text, Jsonb>(|j, k| delete_key(j, &[Some(k)])))
            .overload(fn2::<Jsonb, Int4, Jsonb>(delete_element))
            .overload(fn2::<Jsonb, TextArray, Jsonb>(|j, keys| delete_key(j, &keys)))
            .udf(),
        Scalar::new("jsonb_delete_path")
            .overload(fn2::<Jsonb, TextArray, Jsonb>(|j, steps| set_at(j, &steps, None, false)))
            .udf(),
        Scalar::new("jsonb_set")
            .overload(fn3::<Jsonb, TextArray, Jsonb, Jsonb>(|j, steps, value| {
                set_at(j, &steps, Some(value), true)
            }))
            .overload(fn4::<Jsonb, TextArray, Jsonb, Bool, Jsonb>(|j, steps, value, create| {
                set_at(j, &steps, Some(value), create)
            }))
            .udf(),
        Scalar::new("jsonb_insert")
            .overload(fn3::<Jsonb, TextArray, Jsonb, Jsonb>(|j, steps, value| {
                insert_at(j, &steps, value, false)
            }))
            .overload(fn4::<Jsonb, TextArray, Jsonb, Bool, Jsonb>(|j, steps, value, after| {
                insert_at(j, &steps, value, after)
            }))
            .udf(),
        Scalar::new("jsonb_strip_nulls")
            .alias("json_strip_nulls")
            .overload(fn1::<Jsonb, Jsonb>(|j| {
                let mut out = String::new();
                strip_nulls(j, &mut out);
                Ok(out)
            }))
            .udf(),
    ]
}

/// Postgres' order: objects over arrays over booleans over numbers over strings over null; by size
/// before content.
pub fn compare(a: &str, b: &str) -> Ordering {
    let rank = |json: &str| match kind(json) {
        "object" => 5,
        "array" if json == "[]" => 0, // smallest of all, by an old accident that Postgres keeps
        "array" => 4,
        "boolean" => 3,
        "number" => 2,
        "string" => 1,
        _ => 0,
    };
    rank(a).cmp(&rank(b)).then_with(|| match kind(a) {
        "object" | "array" => {
            let counts = items(a).count().cmp(&items(b).count());
            counts.then_with(|| compare_items(a, b))
        }
        "number" => compare_numbers(a, b),
        "boolean" => a.starts_with('t').cmp(&b.starts_with('t')),
        "string" => {
            let (a, b) = (as_text(a).unwrap_or_default(), as_text(b).unwrap_or_default());
            a.as_bytes().cmp(b.as_bytes())
        }
        _ => Ordering::Equal,
    })
}

fn compare_items(a: &str, b: &str) -> Ordering {
    if kind(a) == "array" {
        return items(a)
            .zip(items(b))
            .map(|(a, b)| compare(a, b))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal);
    }
    let key = |k: &str| as_text(k).unwrap_or_default().into_owned();
    members(a)
        .zip(members(b))
        .map(|((ka, va), (kb, vb))| key(ka).cmp(&key(kb)).then_with(|| compare(va, vb)))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Plain decimals of any length, by value.
fn compare_numbers(a: &str, b: &str) -> Ordering {
    let split = |s: &'_ str| -> (bool, String, String) {
        let negative = s.starts_with('-');
        let digits = s.trim_start_matches('-');
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        (negative, whole.to_string(), fraction.to_string())
    };
    let ((na, wa, fa), (nb, wb, fb)) = (split(a), split(b));
    let magnitude = wa.len().cmp(&wb.len()).then_with(|| wa.cmp(&wb)).then_with(|| fa.cmp(&fb));
    match (na, nb) {
        (false, false) => magnitude,
        (true, true) => magnitude.reverse(),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    }
}
