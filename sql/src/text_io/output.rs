//! Arrow into text: one printer per column, which appends a row's value to a `String`.
//!
//! Law: a row costs no allocation beyond the growth of `out`.

use arrow::array::cast::AsArray;
use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray,
    Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray,
    LargeStringArray, ListArray, StringArray, StringBuilder, StringViewArray,
    Time64MicrosecondArray, TimestampMicrosecondArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use std::fmt::Write;

use crate::error::SqlError;

use super::datetime::{self, Zone};
use super::{array, boolean, bytea, fault, float, interval, numeric, record, uuid};

/// What printing depends on beside the value.
#[derive(Debug, Clone, Default)]
pub struct OutputSettings {
    /// The zone in which a `timestamptz` is shown.
    pub zone: Zone,
}

/// A column ready to be printed.
pub struct TextColumn<'a> {
    array: &'a dyn Array,
    kind: Kind<'a>,
    zone: Zone,
}

enum Kind<'a> {
    Null,
    Boolean(&'a BooleanArray),
    Int2(&'a Int16Array),
    Int4(&'a Int32Array),
    Int8(&'a Int64Array),
    Oid(&'a UInt32Array),
    UInt64(&'a UInt64Array),
    Float4(&'a Float32Array),
    Float8(&'a Float64Array),
    Numeric(&'a Decimal128Array, u8, i8),
    Text(&'a StringArray),
    TextView(&'a StringViewArray),
    Jsonb(&'a LargeStringArray),
    Bytea(&'a BinaryArray),
    Uuid(&'a FixedSizeBinaryArray),
    Date(&'a Date32Array),
    Time(&'a Time64MicrosecondArray),
    Timestamp(&'a TimestampMicrosecondArray),
    Timestamptz(&'a TimestampMicrosecondArray),
    Interval(&'a IntervalMonthDayNanoArray),
    List(&'a ListArray, Box<TextColumn<'a>>),
    Record(Vec<TextColumn<'a>>),
}

impl<'a> TextColumn<'a> {
    /// Fails for a type that has no text form here.
    pub fn new(array: &'a dyn Array, settings: &OutputSettings) -> Result<Self, SqlError> {
        let kind = match array.data_type() {
            DataType::Null => Kind::Null,
            DataType::Boolean => Kind::Boolean(array.as_boolean()),
            DataType::Int16 => Kind::Int2(array.as_primitive()),
            DataType::Int32 => Kind::Int4(array.as_primitive()),
            DataType::Int64 => Kind::Int8(array.as_primitive()),
            DataType::UInt32 => Kind::Oid(array.as_primitive()),
            DataType::UInt64 => Kind::UInt64(array.as_primitive()),
            DataType::Float32 => Kind::Float4(array.as_primitive()),
            DataType::Float64 => Kind::Float8(array.as_primitive()),
            DataType::Decimal128(precision, scale) => {
                Kind::Numeric(array.as_primitive(), *precision, *scale)
            }
            DataType::Utf8 => Kind::Text(array.as_string()),
            DataType::Utf8View => Kind::TextView(array.as_string_view()),
            DataType::LargeUtf8 => Kind::Jsonb(array.as_string()),
            DataType::Binary => Kind::Bytea(array.as_binary()),
            DataType::FixedSizeBinary(16) => Kind::Uuid(array.as_fixed_size_binary()),
            DataType::Date32 => Kind::Date(array.as_primitive()),
            DataType::Time64(TimeUnit::Microsecond) => Kind::Time(array.as_primitive()),
            DataType::Timestamp(TimeUnit::Microsecond, None) => {
                Kind::Timestamp(array.as_primitive())
            }
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
                Kind::Timestamptz(array.as_primitive())
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => Kind::Interval(array.as_primitive()),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                let elements = TextColumn::new(list.values().as_ref(), settings)?;
                Kind::List(list, Box::new(elements))
            }
            DataType::Struct(_) => {
                let fields = array.as_struct().columns().iter();
                let fields = fields.map(|field| TextColumn::new(field.as_ref(), settings));
                Kind::Record(fields.collect::<Result<_, SqlError>>()?)
            }
            other => {
                let message = format!("type {other} cannot be printed as text");
                return Err(fault::error("0A000", message));
            }
        };
        Ok(TextColumn { array, kind, zone: settings.zone })
    }

    /// Appends the value of `row` as the wire carries it; false, and nothing, for NULL.
    pub fn write(&self, row: usize, out: &mut String) -> bool {
        if self.array.is_null(row) {
            return false;
        }
        match &self.kind {
            Kind::Null => return false,
            Kind::Boolean(a) => out.push_str(boolean::wire(a.value(row))),
            Kind::Int2(a) => put(out, a.value(row)),
            Kind::Int4(a) => put(out, a.value(row)),
            Kind::Int8(a) => put(out, a.value(row)),
            Kind::Oid(a) => put(out, a.value(row)),
            Kind::UInt64(a) => put(out, a.value(row)),
            Kind::Float4(a) => float::format_float4(a.value(row), out),
            Kind::Float8(a) => float::format_float8(a.value(row), out),
            Kind::Numeric(a, precision, scale) => {
                numeric::format(a.value(row), *precision, *scale, out);
            }
            Kind::Text(a) => out.push_str(a.value(row)),
            Kind::TextView(a) => out.push_str(a.value(row)),
            Kind::Jsonb(a) => out.push_str(a.value(row)),
            Kind::Bytea(a) => bytea::format(a.value(row), out),
            Kind::Uuid(a) => uuid::format(a.value(row), out),
            Kind::Date(a) => datetime::format_date(a.value(row), out),
            Kind::Time(a) => datetime::format_time(a.value(row), out),
            Kind::Timestamp(a) => datetime::format_timestamp(a.value(row), out),
            Kind::Timestamptz(a) => datetime::format_timestamptz(a.value(row), &self.zone, out),
            Kind::Interval(a) => interval::format(a.value(row), out),
            Kind::List(list, elements) => write_list(list, elements, row, out),
            Kind::Record(fields) => write_record(fields, row, out),
        }
        true
    }

    /// As [`Self::write`], but a boolean in full: what `x::text` gives.
    pub fn write_cast(&self, row: usize, out: &mut String) -> bool {
        match &self.kind {
            Kind::Boolean(a) if a.is_valid(row) => {
                out.push_str(boolean::word(a.value(row)));
                true
            }
            _ => self.write(row, out),
        }
    }
}

fn put(out: &mut String, value: impl std::fmt::Display) {
    write!(out, "{value}").expect("writing to a String");
}

fn write_list(list: &ListArray, elements: &TextColumn<'_>, row: usize, out: &mut String) {
    let offsets = list.value_offsets();
    let nested = matches!(elements.kind, Kind::List(..));
    out.push('{');
    for (i, element) in (offsets[row]..offsets[row + 1]).enumerate() {
        if i > 0 {
            out.push(',');
        }
        let start = out.len();
        if !elements.write(element as usize, out) {
            out.push_str("NULL");
        } else if !nested {
            array::quote_from(start, out);
        }
    }
    out.push('}');
}

/// `(1,,"a b")`: NULL is nothing, and what could be taken for something else stands in quotes.
fn write_record(fields: &[TextColumn<'_>], row: usize, out: &mut String) {
    out.push('(');
    for (i, field) in fields.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        let start = out.len();
        if field.write(row, out) {
            record::quote_from(start, out);
        }
    }
    out.push(')');
}

/// Appends the value of one row as the wire carries it; false, and nothing, for NULL. For a
/// whole column, [`TextColumn`] looks at the type once.
pub fn format_value(
    array: &dyn Array,
    row: usize,
    out: &mut String,
    settings: &OutputSettings,
) -> bool {
    match TextColumn::new(array, settings) {
        Ok(column) => column.write(row, out),
        Err(_) => false,
    }
}

/// Every row as `x::text` gives it.
pub fn to_text(array: &ArrayRef, settings: &OutputSettings) -> Result<StringArray, SqlError> {
    let column = TextColumn::new(array.as_ref(), settings)?;
    let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 8);
    let mut scratch = String::new();
    for row in 0..array.len() {
        scratch.clear();
        match column.write_cast(row, &mut scratch) {
            true => builder.append_value(&scratch),
            false => builder.append_null(),
        }
    }
    Ok(builder.finish())
}
