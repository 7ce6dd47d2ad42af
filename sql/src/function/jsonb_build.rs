//! Making jsonb of SQL values: `to_jsonb`, `jsonb_build_object`, `jsonb_build_array`,
//! `jsonb_object`.
//!
//! Law: numbers and booleans become JSON's, jsonb stays, arrays become arrays, NULL becomes null,
//! dates take ISO 8601's `T`, everything else becomes a string of its text.

use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::array::{Array, ArrayRef, LargeStringBuilder};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ScalarUDF;

use crate::error::SqlError;
use crate::rewrite::names;
use crate::text_io::jsonb::{Canonicalizer, quote};
use crate::text_io::{OutputSettings, TextColumn};

use super::body::{Jsonb, Opt, TextArray, fn1, fn2};
use super::scalar::{Call, Scalar, Ty, columns, variadic};

/// A column ready to be written as JSON.
pub struct JsonColumn<'a> {
    array: &'a dyn Array,
    text: TextColumn<'a>,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Null,
    /// Its text is JSON.
    Bare,
    Boolean,
    /// Floats have values that JSON lacks.
    Float,
    Quoted,
    /// Date and time parted by a `T`.
    Timestamp,
    List(Box<JsonColumn<'a>>),
    /// The fields with their names.
    Record(Vec<(&'a str, JsonColumn<'a>)>),
}

impl<'a> JsonColumn<'a> {
    pub fn new(array: &'a dyn Array) -> Result<Self, SqlError> {
        let kind = match array.data_type() {
            DataType::Boolean => Kind::Boolean,
            DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Decimal128(..)
            | DataType::LargeUtf8 => Kind::Bare,
            DataType::Null => Kind::Null,
            DataType::Float32 | DataType::Float64 => Kind::Float,
            DataType::Timestamp(TimeUnit::Microsecond, _) => Kind::Timestamp,
            DataType::List(_) => {
                let values = array.as_list::<i32>().values();
                Kind::List(Box::new(JsonColumn::new(values.as_ref())?))
            }
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns().iter();
                let fields = fields.iter().zip(columns).map(|(field, column)| {
                    Ok((names::shown(field.name()), JsonColumn::new(column.as_ref())?))
                });
                Kind::Record(fields.collect::<Result<_, SqlError>>()?)
            }
            _ => Kind::Quoted,
        };
        let text = TextColumn::new(array, &OutputSettings::default())?;
        Ok(JsonColumn { array, text, kind })
    }

    /// Appends the row as JSON.
    pub fn write(&self, row: usize, scratch: &mut String, out: &mut String) {
        if self.array.is_null(row) || matches!(self.kind, Kind::Null) {
            return out.push_str("null");
        }
        if let Kind::List(elements) = &self.kind {
            let offsets = self.array.as_list::<i32>().value_offsets();
            out.push('[');
            for (i, at) in (offsets[row]..offsets[row + 1]).enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                elements.write(at as usize, scratch, out);
            }
            return out.push(']');
        }
        if let Kind::Record(fields) = &self.kind {
            out.push('{');
            for (i, (name, value)) in fields.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                quote(name, out);
                out.push_str(": ");
                value.write(row, scratch, out);
            }
            return out.push('}');
        }
        if matches!(self.kind, Kind::Bare | Kind::Boolean) {
            self.text.write_cast(row, out);
            return;
        }
        scratch.clear();
        self.text.write(row, scratch);
        match self.kind {
            Kind::Float if !scratch.ends_with(['N', 'y']) => float(scratch, out),
            Kind::Timestamp => quote(&iso(scratch), out),
            _ => quote(scratch, out),
        }
    }
}

/// jsonb keeps numbers as numeric: an exponent is written out.
fn float(text: &str, out: &mut String) {
    Canonicalizer::default().append(text, out).expect("a finite float is a JSON number");
}

/// `2026-06-10 12:00:00+00` as `2026-06-10T12:00:00+00:00`.
fn iso(text: &str) -> String {
    let mut iso = text.replacen(' ', "T", 1);
    let time = iso.find('T').unwrap_or(0);
    if let Some(sign) = iso[time..].rfind(['+', '-']).map(|at| at + time)
        && !iso[sign..].contains(':')
    {
        let end = sign + 3;
        iso.insert_str(end, ":00");
    }
    iso
}

fn jsonb(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    Ok(DataType::LargeUtf8)
}

/// One JSON text per row, `write` having made something that need not be canonical yet.
fn build(
    call: &Call<'_>,
    write: impl Fn(&[JsonColumn<'_>], usize, &mut String, &mut String) -> Result<bool, SqlError>,
) -> Result<ArrayRef, SqlError> {
    let arrays: Vec<JsonColumn<'_>> = call
        .args
        .iter()
        .map(|array| JsonColumn::new(array.as_ref()))
        .collect::<Result<_, SqlError>>()?;
    let mut builder = LargeStringBuilder::with_capacity(call.rows, call.rows * 32);
    let (mut scratch, mut loose, mut text) = (String::new(), String::new(), String::new());
    let mut canonicalizer = Canonicalizer::default();
    for row in 0..call.rows {
        loose.clear();
        text.clear();
        if !write(&arrays, row, &mut scratch, &mut loose)? {
            builder.append_null();
            continue;
        }
        canonicalizer.append(&loose, &mut text)?;
        builder.append_value(&text);
    }
    Ok(Arc::new(builder.finish()))
}

fn build_object(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    if call.args.len() % 2 == 1 {
        let message = "argument list must have even number of elements";
        let hint = "The arguments of jsonb_build_object() must consist of alternating keys and \
                    values.";
        return Err(SqlError::new("22023", message).with_hint(hint));
    }
    let keys: Vec<TextColumn<'_>> = call
        .args
        .iter()
        .step_by(2)
        .map(|array| TextColumn::new(array.as_ref(), &OutputSettings::default()))
        .collect::<Result<_, SqlError>>()?;
    build(call, |columns, row, scratch, out| {
        out.push('{');
        for (i, (key, value)) in keys.iter().zip(columns.iter().skip(1).step_by(2)).enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            scratch.clear();
            if !key.write_cast(row, scratch) {
                let message = format!("argument {}: key must not be null", 2 * i + 1);
                return Err(SqlError::new("22023", message));
            }
            quote(scratch, out);
            out.push_str(": ");
            value.write(row, scratch, out);
        }
        out.push('}');
        Ok(true)
    })
}

fn build_array(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    build(call, |columns, row, scratch, out| {
        out.push('[');
        for (i, column) in columns.iter().enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            column.write(row, scratch, out);
        }
        out.push(']');
        Ok(true)
    })
}

fn to_jsonb(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    build(call, |columns, row, scratch, out| {
        let valid = columns[0].array.is_valid(row) && !matches!(columns[0].kind, Kind::Null);
        if valid {
            columns[0].write(row, scratch, out);
        }
        Ok(valid)
    })
}

type Pair<'a> = (Option<&'a str>, Option<&'a str>);

fn object_of<'a>(pairs: impl Iterator<Item = Pair<'a>>) -> Result<String, SqlError> {
    let mut loose = String::from("{");
    for (i, (key, value)) in pairs.enumerate() {
        if i > 0 {
            loose.push_str(", ");
        }
        let key =
            key.ok_or_else(|| SqlError::new("22004", "null value not allowed for object key"))?;
        quote(key, &mut loose);
        loose.push_str(": ");
        match value {
            Some(value) => quote(value, &mut loose),
            None => loose.push_str("null"),
        }
    }
    loose.push('}');
    super::jsonb::canonical(&loose)
}

pub fn functions() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("to_jsonb")
            .alias("to_json")
            .alias("row_to_json")
            .overload(columns(&[Ty::Any], jsonb, to_jsonb))
            .udf(),
        Scalar::new("jsonb_build_object")
            .alias("json_build_object")
            .overload(variadic(&[Ty::Any], jsonb, build_object))
            .udf(),
        Scalar::new("jsonb_build_array")
            .alias("json_build_array")
            .overload(variadic(&[Ty::Any], jsonb, build_array))
            .udf(),
        Scalar::new("jsonb_object")
            .overload(fn1::<TextArray, Opt<Jsonb>>(|pairs| {
                if pairs.len() % 2 == 1 {
                    return Err(SqlError::new("2202E", "array must have even number of elements"));
                }
                let pairs = pairs.chunks(2).map(|pair| (pair[0], pair[1]));
                Ok(Some(object_of(pairs)?))
            }))
            .overload(fn2::<TextArray, TextArray, Opt<Jsonb>>(|keys, values| {
                if keys.len() != values.len() {
                    return Err(SqlError::new("2202E", "mismatched array dimensions"));
                }
                Ok(Some(object_of(keys.into_iter().zip(values))?))
            }))
            .udf(),
        Scalar::new("array_to_json").overload(columns(&[Ty::AnyArray], jsonb, to_jsonb)).udf(),
    ]
}
