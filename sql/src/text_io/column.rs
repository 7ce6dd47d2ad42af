//! Text into Arrow: one parser per column, which appends to a builder row by row.
//!
//! Law: a row costs no allocation beyond the builder's own growth; a failed append leaves the
//! builder as it was, so the caller may report the row and go on.

use arrow::array::{
    ArrayBuilder, ArrayRef, ArrowPrimitiveType, BinaryBuilder, BooleanBuilder, Decimal128Builder,
    FixedSizeBinaryBuilder, LargeStringBuilder, ListArray, NullArray, NullBufferBuilder,
    PrimitiveBuilder, StringBuilder,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{
    DataType, Date32Type, FieldRef, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType, UInt32Type,
};
use std::sync::Arc;

use crate::error::SqlError;

use super::datetime::{self, InputSettings};
use super::{array, boolean, bytea, fault, float, integer, interval, jsonb, numeric, uuid};

/// Builds one column from text.
pub trait ColumnParser: Send {
    /// Appends a value, or fails with Postgres' error and appends nothing.
    fn append(&mut self, text: &str) -> Result<(), SqlError>;
    fn append_null(&mut self);
    fn len(&self) -> usize;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The column so far; the parser is empty afterwards.
    fn finish(&mut self) -> ArrayRef;
}

/// The parser of a type, with room for `rows`. Fails for a type that has no text form here.
pub fn column_parser(
    ty: &DataType,
    input: &InputSettings,
    rows: usize,
) -> Result<Box<dyn ColumnParser>, SqlError> {
    Ok(match ty {
        DataType::Boolean => Box::new(Booleans(BooleanBuilder::with_capacity(rows))),
        DataType::Int16 => primitive::<Int16Type>(ty, input, rows, |t, _| integer::parse_int2(t)),
        DataType::Int32 => primitive::<Int32Type>(ty, input, rows, |t, _| integer::parse_int4(t)),
        DataType::Int64 => primitive::<Int64Type>(ty, input, rows, |t, _| integer::parse_int8(t)),
        DataType::UInt32 => primitive::<UInt32Type>(ty, input, rows, |t, _| integer::parse_oid(t)),
        DataType::Float32 => {
            primitive::<Float32Type>(ty, input, rows, |t, _| float::parse_float4(t))
        }
        DataType::Float64 => {
            primitive::<Float64Type>(ty, input, rows, |t, _| float::parse_float8(t))
        }
        DataType::Decimal128(precision, scale) => Box::new(Decimals {
            builder: Decimal128Builder::with_capacity(rows).with_data_type(ty.clone()),
            precision: *precision,
            scale: *scale,
        }),
        DataType::Date32 => primitive::<Date32Type>(ty, input, rows, datetime::parse_date),
        DataType::Time64(TimeUnit::Microsecond) => {
            primitive::<Time64MicrosecondType>(ty, input, rows, datetime::parse_time)
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let parse = match zone {
                None => datetime::parse_timestamp,
                Some(_) => datetime::parse_timestamptz,
            };
            primitive::<TimestampMicrosecondType>(ty, input, rows, parse)
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            primitive::<IntervalMonthDayNanoType>(ty, input, rows, |t, _| interval::parse(t))
        }
        DataType::Utf8 => Box::new(Texts(StringBuilder::with_capacity(rows, rows * 8))),
        DataType::LargeUtf8 => Box::new(Jsons {
            builder: LargeStringBuilder::with_capacity(rows, rows * 32),
            canonicalizer: jsonb::Canonicalizer::default(),
            scratch: String::new(),
        }),
        DataType::Binary => Box::new(Bytes {
            builder: BinaryBuilder::with_capacity(rows, rows * 8),
            scratch: Vec::new(),
        }),
        DataType::FixedSizeBinary(16) => {
            Box::new(Uuids(FixedSizeBinaryBuilder::with_capacity(rows, 16)))
        }
        DataType::List(field) => Box::new(Lists::new(field, input, rows)?),
        DataType::Null => Box::new(Nulls(0)),
        other => {
            return Err(fault::error("0A000", format!("type {other} cannot be read from text")));
        }
    })
}

type ParsePrimitive<N> = fn(&str, &InputSettings) -> Result<N, SqlError>;

fn primitive<T: ArrowPrimitiveType>(
    ty: &DataType,
    input: &InputSettings,
    rows: usize,
    parse: ParsePrimitive<T::Native>,
) -> Box<dyn ColumnParser> {
    Box::new(Primitives::<T> {
        builder: PrimitiveBuilder::with_capacity(rows).with_data_type(ty.clone()),
        input: input.clone(),
        parse,
    })
}

struct Primitives<T: ArrowPrimitiveType> {
    builder: PrimitiveBuilder<T>,
    input: InputSettings,
    parse: ParsePrimitive<T::Native>,
}

impl<T: ArrowPrimitiveType> ColumnParser for Primitives<T> {
    fn append(&mut self, text: &str) -> Result<(), SqlError> {
        self.builder.append_value((self.parse)(text, &self.input)?);
        Ok(())
    }

    fn append_null(&mut self) {
        self.builder.append_null();
    }

    fn len(&self) -> usize {
        self.builder.len()
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.builder.finish())
    }
}

struct Booleans(BooleanBuilder);

impl ColumnParser for Booleans {
    fn append(&mut self, text: &str) -> Result<(), SqlError> {
        self.0.append_value(boolean::parse(text)?);
        Ok(())
    }

    fn append_null(&mut self) {
        self.0.append_null();
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

struct Decimals {
    builder: Decimal128Builder,
    precision: u8,
    scale: i8,
}

impl ColumnParser for Decimals {
    fn append(&mut self, text: &str) -> Result<(), SqlError> {
        self.builder.append_value(numeric::parse(text, self.precision, self.scale)?);
        Ok(())
    }

    fn append_null(&mut self) {
        self.builder.append_null();
    }

    fn len(&self) -> usize {
        self.builder.len()
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.builder.finish())
    }
}

struct Texts(StringBuilder);

impl ColumnParser for Texts {
    fn append(&mut self, text: &str) -> Result<(), SqlError> {
        if text.as_bytes().contains(&0) {
            let message = "invalid byte sequence for encoding \"UTF8\": 0x00";
            return Err(fault::error("22021", message));
        }
        self.0.append_value(text);
        Ok(())
    }

    fn append_null(&mut self) {
        self.0.append_null();
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

struct Jsons {
    builder: LargeStringBuilder,
    canonicalizer: jsonb::Canonicalizer,
    scratch: String,
}

impl ColumnParser for Jsons {
    fn append(&mut self, text: &str) -> Result<(), SqlError> {
        self.scratch.clear();
        self.canonicalizer.append(text, &mut self.scratch)?;
        self.builder.append_value(&self.scratch);
        Ok(())
    }

    fn append_null(&mut self) {
        self.builder.append_null();
    }

    fn len(&self) -> usize {
        self.builder.len()
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.builder.finish())
    }
}

struct Bytes {
    builder: BinaryBuilder,
    scratch: Vec<u8>,
}

impl ColumnParser for Bytes {
    fn append(&mut self, text: &str) -> Result<(), SqlError> {
        self.scratch.clear();
        bytea::parse(text, &mut self.scratch)?;
        self.builder.append_value(&self.scratch);
        Ok(())
    }

    fn append_null(&mut self) {
        self.builder.append_null();
    }

    fn len(&self) -> usize {
        self.builder.len()
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.builder.finish())
    }
}

struct Uuids(FixedSizeBinaryBuilder);

impl ColumnParser for Uuids {
    fn append(&mut self, text: &str) -> Result<(), SqlError> {
        self.0.append_value(uuid::parse(text)?).expect("a uuid is 16 bytes");
        Ok(())
    }

    fn append_null(&mut self) {
        self.0.append_null();
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

struct Lists {
    field: FieldRef,
    elements: Box<dyn ColumnParser>,
    input: InputSettings,
    /// Where each row's elements end.
    ends: Vec<i32>,
    nulls: NullBufferBuilder,
    scratch: String,
}

impl Lists {
    fn new(field: &FieldRef, input: &InputSettings, rows: usize) -> Result<Self, SqlError> {
        Ok(Lists {
            field: field.clone(),
            elements: column_parser(field.data_type(), input, rows)?,
            input: input.clone(),
            ends: vec![0],
            nulls: NullBufferBuilder::new(rows),
            scratch: String::new(),
        })
    }

    /// Forgets the elements after the last whole row: builders cannot shrink, so what is kept is
    /// copied. Only a malformed literal pays for it.
    fn forget_tail(&mut self) {
        let kept = *self.ends.last().expect("begins with 0") as usize;
        if self.elements.len() == kept {
            return;
        }
        let whole = self.elements.finish();
        let mut text = String::new();
        let output = super::OutputSettings::default();
        for row in 0..kept {
            text.clear();
            match super::format_value(&whole, row, &mut text, &output) {
                true => self.elements.append(&text).expect("printed values read back"),
                false => self.elements.append_null(),
            }
        }
    }
}

impl ColumnParser for Lists {
    fn append(&mut self, text: &str) -> Result<(), SqlError> {
        let nested = matches!(self.field.data_type(), DataType::List(_));
        let elements = &mut self.elements;
        let result = array::parse(text, nested, &mut self.scratch, &mut |element| match element {
            Some(element) => elements.append(element),
            None => {
                elements.append_null();
                Ok(())
            }
        });
        if let Err(error) = result {
            self.forget_tail();
            return Err(error);
        }
        self.ends.push(i32::try_from(self.elements.len()).expect("under 2³¹ elements a batch"));
        self.nulls.append_non_null();
        Ok(())
    }

    fn append_null(&mut self) {
        self.ends.push(*self.ends.last().expect("begins with 0"));
        self.nulls.append_null();
    }

    fn len(&self) -> usize {
        self.ends.len() - 1
    }

    fn finish(&mut self) -> ArrayRef {
        let elements = self.elements.finish();
        let offsets = OffsetBuffer::new(std::mem::replace(&mut self.ends, vec![0]).into());
        let nulls = self.nulls.finish();
        let array = ListArray::new(self.field.clone(), offsets, elements, nulls);
        let (field, input) = (self.field.clone(), self.input.clone());
        *self = Lists::new(&field, &input, 0).expect("it was made once before");
        Arc::new(array)
    }
}

/// NULL has no text but NULL.
struct Nulls(usize);

impl ColumnParser for Nulls {
    fn append(&mut self, text: &str) -> Result<(), SqlError> {
        Err(fault::syntax("unknown", text))
    }

    fn append_null(&mut self) {
        self.0 += 1;
    }

    fn len(&self) -> usize {
        self.0
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(NullArray::new(std::mem::take(&mut self.0)))
    }
}
