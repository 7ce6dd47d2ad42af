//! Columns in text format: what PostgreSQL's output functions print.
//!
//! The commonest types are written directly; all others through `tidemark_sql::text_io`, which
//! owns the text forms, by way of one string per column that is kept from value to value.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int16Type, Int32Type, Int64Type, UInt32Type};
use bytes::{BufMut, BytesMut};
use tidemark_catalog::PgType;
use tidemark_sql::error::SqlError;
use tidemark_sql::text_io::{OutputSettings, TextColumn};

use super::Encode;
use super::description::no_type;

/// The encoder of a column in text format.
pub fn encoder<'a>(array: &'a ArrayRef, settings: &OutputSettings) -> Result<Encode<'a>, SqlError> {
    Ok(match array.data_type() {
        DataType::Boolean => {
            let array = array.as_boolean();
            Box::new(move |row, out| out.put_u8(if array.value(row) { b't' } else { b'f' }))
        }
        DataType::Int16 => {
            let array = array.as_primitive::<Int16Type>();
            Box::new(move |row, out| put_integer(array.value(row).into(), out))
        }
        DataType::Int32 => {
            let array = array.as_primitive::<Int32Type>();
            Box::new(move |row, out| put_integer(array.value(row).into(), out))
        }
        DataType::Int64 => {
            let array = array.as_primitive::<Int64Type>();
            Box::new(move |row, out| put_integer(array.value(row), out))
        }
        DataType::UInt32 => {
            let array = array.as_primitive::<UInt32Type>();
            Box::new(move |row, out| put_integer(array.value(row).into(), out))
        }
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            Box::new(move |row, out| out.put_slice(array.value(row).as_bytes()))
        }
        DataType::LargeUtf8 => {
            let array = array.as_string::<i64>();
            Box::new(move |row, out| out.put_slice(array.value(row).as_bytes()))
        }
        other if PgType::from_arrow(other).is_some() => through_text_io(array, settings)?,
        other => return Err(no_type(other)),
    })
}

fn through_text_io<'a>(
    array: &'a ArrayRef,
    settings: &OutputSettings,
) -> Result<Encode<'a>, SqlError> {
    let column = TextColumn::new(array.as_ref(), settings)?;
    let mut text = String::new();
    Ok(Box::new(move |row, out| {
        text.clear();
        column.write(row, &mut text);
        out.put_slice(text.as_bytes());
    }))
}

/// Appends a decimal integer.
pub fn put_integer(value: i64, out: &mut BytesMut) {
    let mut digits = [0u8; 20];
    let mut start = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        start -= 1;
        digits[start] = b'-';
    }
    out.put_slice(&digits[start..]);
}
