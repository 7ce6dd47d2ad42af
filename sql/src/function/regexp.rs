//! Regular expression functions: `regexp_replace`, `regexp_match`, `regexp_split_to_array`, …
//!
//! Law: flags and replacement escapes are Postgres' (`g`, `i`, `\1`, `\&`). Differs: the engine is
//! Rust's, which finds the leftmost match with preference left to right where Postgres' finds the
//! longest for some patterns, and which has no back-references and no look-around (2201B).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ScalarUDF;
use regex::{Captures, Regex, RegexBuilder};

use crate::error::SqlError;

use super::body::{Bool, Int4, Opt, Text, TextArray, fn2, fn3, fn4, fn5, fn6};
use super::scalar::{Call, Scalar, Ty, columns, list};

thread_local! {
    /// The last expression compiled: nearly always a constant of the query.
    static LAST: RefCell<Option<(String, String, Rc<Regex>)>> = const { RefCell::new(None) };
}

/// Postgres' escapes for what Rust spells otherwise.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('m') => out.push_str("\\b{start}"),
            Some('M') => out.push_str("\\b{end}"),
            Some('y') => out.push_str("\\b"),
            Some('Y') => out.push_str("\\B"),
            Some('Z') => out.push_str("\\z"),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

fn compile(pattern: &str, flags: &str) -> Result<Rc<Regex>, SqlError> {
    let found = LAST.with_borrow(|last| {
        let same = last.as_ref().filter(|(p, f, _)| p == pattern && f == flags);
        same.map(|(_, _, regex)| Rc::clone(regex))
    });
    if let Some(regex) = found {
        return Ok(regex);
    }
    let text = match flags.contains('q') {
        true => regex::escape(pattern),
        false => translate(pattern.strip_prefix("***:").unwrap_or(pattern)),
    };
    let mut builder = RegexBuilder::new(&text);
    builder.dot_matches_new_line(true);
    for flag in flags.chars() {
        match flag {
            'i' => _ = builder.case_insensitive(true),
            'c' => _ = builder.case_insensitive(false),
            'n' | 'm' => _ = builder.multi_line(true).dot_matches_new_line(false),
            'p' => _ = builder.dot_matches_new_line(false),
            'w' => _ = builder.multi_line(true),
            's' => _ = builder.multi_line(false).dot_matches_new_line(true),
            'x' => _ = builder.ignore_whitespace(true),
            'g' | 'q' | 't' | 'e' | 'b' => {}
            other => {
                let message = format!("invalid regular expression option: \"{other}\"");
                return Err(SqlError::new("22023", message));
            }
        }
    }
    let regex = builder.build().map_err(|error| {
        let reason = error.to_string();
        let last = reason.lines().last().unwrap_or("").trim().trim_start_matches("error: ");
        let last = match last {
            "unclosed group" | "unopened group" => "parentheses () not balanced",
            "unclosed character class" => "brackets [] not balanced",
            "repetition operator missing expression" => "quantifier operand invalid",
            other => other,
        };
        SqlError::new("2201B", format!("invalid regular expression: {last}"))
    })?;
    let regex = Rc::new(regex);
    LAST.set(Some((pattern.to_string(), flags.to_string(), Rc::clone(&regex))));
    Ok(regex)
}

/// The first group of the first match, or all of it when there are no groups.
pub fn substring<'a>(text: &'a str, pattern: &str) -> Result<Option<&'a str>, SqlError> {
    let regex = compile(pattern, "")?;
    Ok(regex.captures(text).and_then(|found| {
        let group = if found.len() > 1 { found.get(1) } else { found.get(0) };
        group.map(|group| group.as_str())
    }))
}

/// Fills in `\1` … `\9`, `\&` and `\\`.
fn expand(replacement: &str, found: &Captures<'_>, out: &mut String) {
    let mut chars = replacement.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let group = |n: usize| found.get(n).map_or("", |group| group.as_str());
        match chars.next() {
            Some(digit @ '1'..='9') => out.push_str(group(digit as usize - '0' as usize)),
            Some('&') => out.push_str(group(0)),
            Some('\\') | None => out.push('\\'),
            Some(other) => out.extend(['\\', other]),
        }
    }
}

/// The matches from a place on, each looked for where the last ended: one of nothing may stand
/// right behind another match, where Rust's iterator has none.
fn found_from<'r, 't>(
    regex: &'r Regex,
    text: &'t str,
    start: Option<usize>,
) -> impl Iterator<Item = Captures<'t>> + use<'r, 't> {
    let mut next = start;
    std::iter::from_fn(move || {
        let found = regex.captures_at(text, next?)?;
        let whole = found.get_match();
        next = match text[whole.end()..].chars().next() {
            _ if !whole.is_empty() => Some(whole.end()),
            Some(passed) => Some(whole.end() + passed.len_utf8()),
            None => None,
        };
        Some(found)
    })
}

/// Puts the replacement in place of the `n`th match from `start` on; with `n` 0 of each.
fn replace(
    text: &str,
    pattern: &str,
    replacement: &str,
    (start, n): (i32, i32),
    flags: &str,
) -> Result<String, SqlError> {
    let regex = compile(pattern, flags)?;
    let skipped = not_negative("n", n)?.saturating_sub(1);
    let replaced = if n == 0 { usize::MAX } else { 1 };
    let (mut out, mut done) = (String::with_capacity(text.len()), 0);
    for found in found_from(&regex, text, from(text, start)?).skip(skipped).take(replaced) {
        let whole = found.get_match();
        out.push_str(&text[done..whole.start()]);
        expand(replacement, &found, &mut out);
        done = whole.end();
    }
    out.push_str(&text[done..]);
    Ok(out)
}

/// The first match, or each with the flag g.
fn replace_by_flags(
    text: &str,
    pattern: &str,
    replacement: &str,
    flags: &str,
) -> Result<String, SqlError> {
    let n = i32::from(!flags.contains('g'));
    replace(text, pattern, replacement, (1, n), flags)
}

fn groups(found: &Captures<'_>) -> Vec<Option<String>> {
    let first = usize::from(found.len() > 1);
    let text = |group: Option<regex::Match<'_>>| group.map(|group| group.as_str().to_string());
    found.iter().skip(first).map(text).collect()
}

fn first_match(
    text: &str,
    pattern: &str,
    flags: &str,
) -> Result<Option<Vec<Option<String>>>, SqlError> {
    if flags.contains('g') {
        let message = "regexp_match() does not support the \"global\" option";
        let hint = "Use the regexp_matches function instead.";
        return Err(SqlError::new("22023", message).with_hint(hint));
    }
    Ok(compile(pattern, flags)?.captures(text).map(|found| groups(&found)))
}

/// The groups of each match, as an array of arrays: of the first without the flag g.
fn matches(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let argument = |at: usize| call.args[at].as_string::<i32>();
    let (texts, patterns) = (argument(0), argument(1));
    let flags = call.args.get(2).map(|_| argument(2));
    let mut builder = ListBuilder::new(ListBuilder::new(StringBuilder::new()));
    for row in 0..call.rows {
        if call.args.iter().any(|arg| arg.is_null(row)) {
            builder.append_null();
            continue;
        }
        let flags = flags.map_or("", |flags| flags.value(row));
        let regex = compile(patterns.value(row), flags)?;
        let all = if flags.contains('g') { usize::MAX } else { 1 };
        for found in found_from(&regex, texts.value(row), Some(0)).take(all) {
            let array = builder.values();
            groups(&found).into_iter().for_each(|group| array.values().append_option(group));
            array.append(true);
        }
        builder.append(true);
    }
    Ok(Arc::new(builder.finish()))
}

fn arrays(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    Ok(list(list(DataType::Utf8)))
}

fn split(text: &str, pattern: &str, flags: &str) -> Result<Vec<Option<String>>, SqlError> {
    let regex = compile(pattern, flags)?;
    let (mut parts, mut start, mut last) = (Vec::new(), 0, 0);
    for found in found_from(&regex, text, Some(0)) {
        let found = found.get_match();
        // An empty match parts characters but takes none: at neither end nor behind another.
        let parts_nothing = found.start() == text.len() || found.end() <= last;
        last = found.end();
        if parts_nothing {
            continue;
        }
        parts.push(Some(text[start..found.start()].to_string()));
        start = found.end();
    }
    parts.push(Some(text[start..].to_string()));
    Ok(parts)
}

fn not_negative(parameter: &str, value: i32) -> Result<usize, SqlError> {
    usize::try_from(value).map_err(|_| {
        let message = format!("invalid value for parameter \"{parameter}\": {value}");
        SqlError::new("22023", message)
    })
}

/// Where counting begins, characters from 1; nowhere behind the end.
fn from(text: &str, start: i32) -> Result<Option<usize>, SqlError> {
    if start < 1 {
        let message = format!("invalid value for parameter \"start\": {start}");
        return Err(SqlError::new("22023", message));
    }
    let mut places = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    Ok(places.nth(start as usize - 1))
}

fn count(text: &str, pattern: &str, start: i32, flags: &str) -> Result<i32, SqlError> {
    let regex = compile(pattern, flags)?;
    let at = from(text, start)?;
    Ok(found_from(&regex, text, at).count() as i32)
}

fn nth<'a>(
    text: &'a str,
    pattern: &str,
    start: i32,
    n: i32,
) -> Result<Option<(usize, &'a str)>, SqlError> {
    let regex = compile(pattern, "")?;
    let at = from(text, start)?;
    let found = found_from(&regex, text, at).nth(usize::try_from(n - 1).unwrap_or(0));
    Ok(found.map(|found| {
        let found = found.get_match();
        let before = text[..found.start()].chars().count();
        (before + 1, found.as_str())
    }))
}

/// `text SIMILAR TO pattern`: all of the text, `%` any run, `_` any character, `.`, `^`, `$` plain.
fn similar(text: &str, pattern: &str) -> Result<bool, SqlError> {
    let mut translated = String::from("^(?:");
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '%' => translated.push_str(".*"),
            '_' => translated.push('.'),
            '.' | '^' | '$' => translated.extend(['\\', c]),
            '\\' => {
                let escaped = chars.next().unwrap_or('\\');
                translated.push_str(&regex::escape(escaped.encode_utf8(&mut [0; 4])));
            }
            c => translated.push(c),
        }
    }
    translated.push_str(")$");
    Ok(compile(&translated, "")?.is_match(text))
}

pub fn functions() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("similar_to").overload(fn2::<Text, Text, Bool>(similar)).udf(),
        Scalar::new("regexp_replace")
            .overload(fn3::<Text, Text, Text, Text>(|s, p, r| replace_by_flags(s, p, r, "")))
            .overload(fn4::<Text, Text, Text, Text, Text>(replace_by_flags))
            .overload(fn4::<Text, Text, Text, Int4, Text>(|s, p, r, start| {
                replace(s, p, r, (start, 1), "")
            }))
            .overload(fn5::<Text, Text, Text, Int4, Int4, Text>(|s, p, r, start, n| {
                replace(s, p, r, (start, n), "")
            }))
            .overload(fn6::<Text, Text, Text, Int4, Int4, Text, Text>(
                |s, p, r, start, n, flags| replace(s, p, r, (start, n), flags),
            ))
            .udf(),
        Scalar::new("regexp_match")
            .overload(fn2::<Text, Text, Opt<TextArray>>(|s, p| first_match(s, p, "")))
            .overload(fn3::<Text, Text, Text, Opt<TextArray>>(first_match))
            .udf(),
        Scalar::new("regexp_matches_array")
            .overload(columns(&[Ty::Text; 2], arrays, matches))
            .overload(columns(&[Ty::Text; 3], arrays, matches))
            .udf(),
        Scalar::new("regexp_split_to_array")
            .overload(fn2::<Text, Text, TextArray>(|s, p| split(s, p, "")))
            .overload(fn3::<Text, Text, Text, TextArray>(split))
            .udf(),
        Scalar::new("regexp_like")
            .overload(fn2::<Text, Text, Bool>(|s, p| Ok(compile(p, "")?.is_match(s))))
            .overload(fn3::<Text, Text, Text, Bool>(|s, p, f| Ok(compile(p, f)?.is_match(s))))
            .udf(),
        Scalar::new("regexp_count")
            .overload(fn2::<Text, Text, Int4>(|s, p| count(s, p, 1, "")))
            .overload(fn3::<Text, Text, Int4, Int4>(|s, p, start| count(s, p, start, "")))
            .overload(fn4::<Text, Text, Int4, Text, Int4>(count))
            .udf(),
        Scalar::new("regexp_substr")
            .overload(fn2::<Text, Text, Opt<Text>>(|s, p| {
                Ok(nth(s, p, 1, 1)?.map(|(_, found)| found.to_string()))
            }))
            .overload(fn3::<Text, Text, Int4, Opt<Text>>(|s, p, start| {
                Ok(nth(s, p, start, 1)?.map(|(_, found)| found.to_string()))
            }))
            .overload(fn4::<Text, Text, Int4, Int4, Opt<Text>>(|s, p, start, n| {
                Ok(nth(s, p, start, n)?.map(|(_, found)| found.to_string()))
            }))
            .udf(),
        Scalar::new("regexp_instr")
            .overload(fn2::<Text, Text, Int4>(|s, p| {
                Ok(nth(s, p, 1, 1)?.map_or(0, |(at, _)| at as i32))
            }))
            .overload(fn3::<Text, Text, Int4, Int4>(|s, p, start| {
                Ok(nth(s, p, start, 1)?.map_or(0, |(at, _)| at as i32))
            }))
            .overload(fn4::<Text, Text, Int4, Int4, Int4>(|s, p, start, n| {
                Ok(nth(s, p, start, n)?.map_or(0, |(at, _)| at as i32))
            }))
            .overload(fn5::<Text, Text, Int4, Int4, Int4, Int4>(|s, p, start, n, end| {
                let after = |found: &str| match end {
                    0 => 0,
                    _ => found.chars().count(),
                };
                Ok(nth(s, p, start, n)?.map_or(0, |(at, found)| (at + after(found)) as i32))
            }))
            .udf(),
    ]
}
