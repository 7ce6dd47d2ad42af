//! Text put together from values: `concat`, `concat_ws`, `format`, `quote_ident`, `quote_literal`.
//!
//! Law: any type may be an argument and counts as its output text; NULLs are left out of concat and
//! concat_ws, and are empty in format's `%s`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ScalarUDF;
use tidemark_catalog::quote::quote_identifier;

use crate::error::SqlError;
use crate::text_io::{OutputSettings, TextColumn};

use super::body::{Text, fn1};
use super::scalar::{Call, Scalar, Ty, columns, variadic};

pub fn functions() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("concat").overload(variadic(&[Ty::Any], text, concat)).udf(),
        Scalar::new("concat_ws").overload(variadic(&[Ty::Text, Ty::Any], text, concat_ws)).udf(),
        Scalar::new("format").overload(variadic(&[Ty::Text, Ty::Any], text, format)).udf(),
        Scalar::new("quote_ident")
            .overload(fn1::<Text, Text>(|name| Ok(quote_identifier(name))))
            .udf(),
        Scalar::new("quote_literal")
            .overload(columns(&[Ty::Any], text, |call| quoted(call, None)))
            .udf(),
        Scalar::new("quote_nullable")
            .overload(columns(&[Ty::Any], text, |call| quoted(call, Some("NULL"))))
            .udf(),
    ]
}

fn text(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    Ok(DataType::Utf8)
}

fn texts<'a>(arrays: &'a [ArrayRef]) -> Result<Vec<TextColumn<'a>>, SqlError> {
    arrays.iter().map(|array| TextColumn::new(array, &OutputSettings::default())).collect()
}

/// One text per row; false is NULL.
fn rows(
    call: &Call<'_>,
    mut write: impl FnMut(usize, &mut String) -> Result<bool, SqlError>,
) -> Result<ArrayRef, SqlError> {
    let mut builder = StringBuilder::with_capacity(call.rows, call.rows * 16);
    let mut scratch = String::new();
    for row in 0..call.rows {
        scratch.clear();
        match write(row, &mut scratch)? {
            true => builder.append_value(&scratch),
            false => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn concat(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let columns = texts(call.args)?;
    rows(call, |row, out| {
        columns.iter().for_each(|column| _ = column.write(row, out));
        Ok(true)
    })
}

fn concat_ws(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let columns = texts(call.args)?;
    rows(call, |row, out| {
        let mut separator = String::new();
        if !columns[0].write(row, &mut separator) {
            return Ok(false);
        }
        let mut any = false;
        for (column, array) in columns.iter().zip(call.args).skip(1) {
            if array.is_null(row) || *array.data_type() == DataType::Null {
                continue;
            }
            if any {
                out.push_str(&separator);
            }
            any |= column.write(row, out);
        }
        Ok(true)
    })
}

/// `'it''s'`, with an `E` in front when there is a backslash.
pub fn quote_literal(value: &str, out: &mut String) {
    if value.contains('\\') {
        out.push_str(" E");
    }
    out.push('\'');
    for c in value.chars() {
        if matches!(c, '\'' | '\\') {
            out.push(c);
        }
        out.push(c);
    }
    out.push('\'');
}

fn quoted(call: &Call<'_>, null: Option<&str>) -> Result<ArrayRef, SqlError> {
    let columns = texts(call.args)?;
    let mut value = String::new();
    rows(call, |row, out| {
        value.clear();
        if columns[0].write_cast(row, &mut value) {
            quote_literal(&value, out);
            // quote_literal() has no space before its E.
            if out.starts_with(' ') {
                out.remove(0);
            }
            return Ok(true);
        }
        out.push_str(null.unwrap_or(""));
        Ok(null.is_some())
    })
}

/// One `%` of a format string.
struct Spec {
    /// Counted from 1; None for the next one.
    position: Option<usize>,
    left: bool,
    width: Width,
    kind: char,
}

enum Width {
    None,
    Is(i64),
    /// `*` or `*n$`: an argument says.
    Argument(Option<usize>),
}

fn too_few() -> SqlError {
    SqlError::new("22023", "too few arguments for format()")
}

fn unterminated() -> SqlError {
    SqlError::new("22023", "unterminated format() type specifier")
        .with_hint("For a single \"%\" use \"%%\".")
}

/// Reads what stands after a `%`.
fn read_spec(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Spec, SqlError> {
    let mut spec = Spec { position: None, left: false, width: Width::None, kind: 's' };
    if let Some(number) = read_number(chars)? {
        if chars.next_if_eq(&'$').is_some() {
            if number == 0 {
                let message = "format specifies argument 0, but arguments are numbered from 1";
                return Err(SqlError::new("22023", message));
            }
            spec.position = Some(number);
        } else {
            spec.width = Width::Is(number as i64);
        }
    }
    while chars.next_if_eq(&'-').is_some() {
        spec.left = true;
    }
    if chars.next_if_eq(&'*').is_some() {
        let position = read_number(chars)?;
        if position.is_some() && chars.next_if_eq(&'$').is_none() {
            let message = "width argument position must be ended by \"$\"";
            return Err(SqlError::new("22023", message));
        }
        spec.width = Width::Argument(position);
    } else if let Some(width) = read_number(chars)? {
        spec.width = Width::Is(width as i64);
    }
    spec.kind = chars.next().ok_or_else(unterminated)?;
    Ok(spec)
}

fn read_number(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
) -> Result<Option<usize>, SqlError> {
    let mut number = None;
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        let digit = digit as usize - '0' as usize;
        let grown = number.unwrap_or(0usize).checked_mul(10).and_then(|n| n.checked_add(digit));
        let grown = grown.filter(|n| *n <= i32::MAX as usize);
        number = Some(grown.ok_or_else(|| SqlError::new("22003", "number is out of range"))?);
    }
    Ok(number)
}

fn format(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let columns = texts(call.args)?;
    let mut template = String::new();
    rows(call, |row, out| {
        template.clear();
        if !columns[0].write(row, &mut template) {
            return Ok(false);
        }
        let mut next = 1;
        let mut chars = template.chars().peekable();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
            } else if chars.next_if_eq(&'%').is_some() {
                out.push('%');
            } else {
                let spec = read_spec(&mut chars)?;
                write_spec(&spec, &columns, call.args, row, &mut next, out)?;
            }
        }
        Ok(true)
    })
}

fn write_spec(
    spec: &Spec,
    columns: &[TextColumn<'_>],
    arrays: &[ArrayRef],
    row: usize,
    next: &mut usize,
    out: &mut String,
) -> Result<(), SqlError> {
    let mut argument = |position: Option<usize>| -> Result<Option<String>, SqlError> {
        let at = position.unwrap_or(*next);
        *next = at + 1;
        let column = columns.get(at).ok_or_else(too_few)?;
        let mut text = String::new();
        let valid = arrays[at].is_valid(row) && column.write(row, &mut text);
        Ok(valid.then_some(text))
    };
    let width = match spec.width {
        Width::None => 0,
        Width::Is(width) => width,
        Width::Argument(position) => {
            let width = argument(position)?.unwrap_or_default();
            if width.is_empty() { 0 } else { crate::text_io::integer::parse_int4(&width)?.into() }
        }
    };
    if !matches!(spec.kind, 's' | 'I' | 'L') {
        let message = format!("unrecognized format() type specifier \"{}\"", spec.kind);
        let hint = "For a single \"%\" use \"%%\".";
        return Err(SqlError::new("22023", message).with_hint(hint));
    }
    let mut text = String::new();
    match (spec.kind, argument(spec.position)?) {
        ('s', value) => text.push_str(&value.unwrap_or_default()),
        ('L', None) => text.push_str("NULL"),
        ('L', Some(value)) => quote_literal(&value, &mut text),
        (_, Some(value)) => text.push_str(&quote_identifier(&value)),
        (_, None) => {
            let message = "null values cannot be formatted as an SQL identifier";
            return Err(SqlError::new("22004", message));
        }
    }
    let missing = (width.unsigned_abs() as usize).saturating_sub(text.chars().count());
    let left = spec.left || width < 0;
    if !left {
        (0..missing).for_each(|_| out.push(' '));
    }
    out.push_str(&text);
    if left {
        (0..missing).for_each(|_| out.push(' '));
    }
    Ok(())
}
