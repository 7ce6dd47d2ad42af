//! Values in binary format, decoded into Arrow columns: PostgreSQL's receive functions.
//!
//! Law     receive(send(v)) = v for every value that `encode::binary` writes
//! Errors  08P01 for too few bytes, 22P03 for too many or for no value of the type, 22021 for
//!         text that is not UTF-8, 22003 and 22008 for values out of range
//!
//! Used for parameters and for binary COPY. Arrays have one dimension here; more are 0A000.

use std::sync::Arc;

use arrow::array::builder::{BinaryBuilder, BooleanBuilder, FixedSizeBinaryBuilder, StringBuilder};
use arrow::array::{ArrayRef, ArrowPrimitiveType, ListArray, NullBufferBuilder};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, FieldRef, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType,
    TimeUnit, TimestampMicrosecondType, UInt32Type,
};
use memchr::memchr;
use tidemark_catalog::{Oid, PgType};
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::text_io;

use super::column::{Binaries, Booleans, ColumnInput, Jsonbs, Nulls, Primitives, Texts, Uuids};
use crate::wire::encode::binary::{EPOCH_DAYS, EPOCH_US, JSONB_VERSION};
use crate::wire::encode::no_type;
use crate::wire::encode::numeric::{self, NumericError};

/// Days since 2000-01-01 of 4713 BC and of 5874898 AD: PostgreSQL's first, and first not.
const DAYS: std::ops::Range<i32> = -2_451_545..2_145_031_949;
const DAY_US: i64 = 86_400_000_000;
const DIMENSIONS_MAX: i32 = 6;

/// An empty column that takes values of `data_type` in binary format.
///
/// Errors: 0A000 for an Arrow type that stands for no PostgreSQL type.
pub fn column(data_type: &DataType) -> Result<Box<dyn ColumnInput>, SqlError> {
    Ok(match data_type {
        DataType::Null => Box::new(Nulls::default()),
        DataType::Boolean => Box::new(Booleans(BooleanBuilder::new())),
        DataType::Int16 => fixed::<Int16Type, 2>(data_type, |b| Ok(i16::from_be_bytes(b))),
        DataType::Int32 => fixed::<Int32Type, 4>(data_type, |b| Ok(i32::from_be_bytes(b))),
        DataType::Int64 => fixed::<Int64Type, 8>(data_type, |b| Ok(i64::from_be_bytes(b))),
        DataType::UInt32 => fixed::<UInt32Type, 4>(data_type, |b| Ok(u32::from_be_bytes(b))),
        DataType::Float32 => fixed::<Float32Type, 4>(data_type, |b| Ok(f32::from_be_bytes(b))),
        DataType::Float64 => fixed::<Float64Type, 8>(data_type, |b| Ok(f64::from_be_bytes(b))),
        DataType::Date32 => fixed::<Date32Type, 4>(data_type, |b| date(i32::from_be_bytes(b))),
        DataType::Time64(TimeUnit::Microsecond) => {
            fixed::<Time64MicrosecondType, 8>(data_type, |b| time(i64::from_be_bytes(b)))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            fixed::<TimestampMicrosecondType, 8>(data_type, |b| timestamp(i64::from_be_bytes(b)))
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            fixed::<IntervalMonthDayNanoType, 16>(data_type, interval)
        }
        DataType::Decimal128(precision, scale) => decimal(data_type, *precision, *scale),
        DataType::Utf8 => Box::new(Texts(StringBuilder::new())),
        DataType::LargeUtf8 => Box::new(Jsonbs::default()),
        DataType::Binary => Box::new(Binaries(BinaryBuilder::new())),
        DataType::FixedSizeBinary(16) => Box::new(Uuids(FixedSizeBinaryBuilder::new(16))),
        DataType::List(item) => Box::new(Lists::new(item)?),
        other => return Err(no_type(other)),
    })
}

/// 22P03.
pub fn malformed() -> SqlError {
    SqlError::new(state::INVALID_BINARY_REPRESENTATION, "incorrect binary data format")
}

/// 08P01.
fn insufficient() -> SqlError {
    SqlError::new(state::PROTOCOL_VIOLATION, "insufficient data left in message")
}

fn out_of_range(what: &str) -> SqlError {
    SqlError::new(state::DATETIME_FIELD_OVERFLOW, format!("{what} out of range"))
}

/// All of the bytes, which must be `N`.
pub fn exact<const N: usize>(bytes: &[u8]) -> Result<[u8; N], SqlError> {
    let (value, rest) = bytes.split_first_chunk::<N>().ok_or_else(insufficient)?;
    if rest.is_empty() { Ok(*value) } else { Err(malformed()) }
}

fn fixed<T: ArrowPrimitiveType, const N: usize>(
    data_type: &DataType,
    read: impl Fn([u8; N]) -> Result<T::Native, SqlError> + Send + 'static,
) -> Box<dyn ColumnInput> {
    Box::new(Primitives::<T, _>::new(data_type, move |bytes: &[u8]| read(exact::<N>(bytes)?)))
}

fn date(days: i32) -> Result<i32, SqlError> {
    match days {
        i32::MAX | i32::MIN => Ok(days),
        days if DAYS.contains(&days) => Ok(days + EPOCH_DAYS),
        _ => Err(out_of_range("date")),
    }
}

fn time(us: i64) -> Result<i64, SqlError> {
    if (0..=DAY_US).contains(&us) { Ok(us) } else { Err(out_of_range("time")) }
}

fn timestamp(us: i64) -> Result<i64, SqlError> {
    match us {
        i64::MAX | i64::MIN => Ok(us),
        us if us >= i64::from(DAYS.start) * DAY_US => {
            us.checked_add(EPOCH_US).ok_or_else(|| out_of_range("timestamp"))
        }
        _ => Err(out_of_range("timestamp")),
    }
}

fn interval(bytes: [u8; 16]) -> Result<IntervalMonthDayNano, SqlError> {
    let value = i128::from_be_bytes(bytes);
    let us = (value >> 64) as i64;
    let nanoseconds = us.checked_mul(1000).ok_or_else(|| out_of_range("interval"))?;
    Ok(IntervalMonthDayNano::new(value as i32, (value >> 32) as i32, nanoseconds))
}

fn decimal(data_type: &DataType, precision: u8, scale: i8) -> Box<dyn ColumnInput> {
    let read = move |bytes: &[u8]| {
        let value = numeric::receive(bytes).and_then(|received| received.scaled(scale));
        let value = value.map_err(|error| match error {
            NumericError::Length => insufficient(),
            NumericError::Malformed => malformed(),
            NumericError::OutOfRange => text_io::numeric::overflow(precision, scale),
        })?;
        if text_io::numeric::fits(value, text_io::numeric::digits_of(precision, scale)) {
            Ok(value)
        } else {
            Err(text_io::numeric::overflow(precision, scale))
        }
    };
    Box::new(Primitives::<Decimal128Type, _>::new(data_type, read))
}

/// The JSON of a jsonb in binary format; that of a json, which is stored alike, is the text alone.
pub fn jsonb_text(bytes: &[u8]) -> Result<&str, SqlError> {
    match bytes.split_first() {
        None => Err(insufficient()),
        Some((&JSONB_VERSION, text)) => valid_text(text),
        // No JSON begins with a byte below the blank but these.
        Some((first, _)) if *first >= b' ' || matches!(first, b'\t' | b'\n' | b'\r') => {
            valid_text(bytes)
        }
        Some((version, _)) => {
            Err(SqlError::internal(format!("unsupported jsonb version number {version}")))
        }
    }
}

/// The bytes as text.
///
/// Errors: 22021 naming the first bad bytes, as PostgreSQL does; a zero byte is bad.
pub fn valid_text(bytes: &[u8]) -> Result<&str, SqlError> {
    let bad = match std::str::from_utf8(bytes) {
        Ok(text) => match memchr(0, bytes) {
            None => return Ok(text),
            Some(zero) => &bytes[zero..=zero],
        },
        Err(error) => {
            let rest = &bytes[error.valid_up_to()..];
            let announced = match rest[0] {
                0xC0..=0xDF => 2,
                0xE0..=0xEF => 3,
                0xF0..=0xF7 => 4,
                _ => 1,
            };
            &rest[..announced.min(rest.len())]
        }
    };
    let shown: Vec<String> = bad.iter().map(|byte| format!("0x{byte:02x}")).collect();
    let message = format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" "));
    Err(SqlError::new("22021", message))
}

/// Arrays: elements in one column, and where each array ends in it.
struct Lists {
    item: FieldRef,
    elements: Box<dyn ColumnInput>,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Lists {
    fn new(item: &FieldRef) -> Result<Self, SqlError> {
        Ok(Lists {
            item: item.clone(),
            elements: column(item.data_type())?,
            offsets: vec![0],
            nulls: NullBufferBuilder::new(0),
        })
    }

    fn end(&self) -> i32 {
        *self.offsets.last().expect("begins with 0")
    }

    /// Errors: 42804 when the sender's element type is stored differently from the column's.
    fn check_element(&self, sent: u32) -> Result<(), SqlError> {
        let sent_type = PgType::from_oid(Oid(sent));
        let expected = self.item.data_type();
        let stored = sent_type.map(|sent| sent.to_arrow(-1));
        let same = match (&stored, expected) {
            (Some(DataType::Decimal128(..)), DataType::Decimal128(..)) => true,
            (stored, expected) => stored.as_ref() == Some(expected),
        };
        if same {
            return Ok(());
        }
        let name = |ty: Option<PgType>| ty.map_or("???", PgType::name);
        let expected = PgType::from_arrow(expected).map(|(ty, _)| ty);
        let message = format!(
            "binary data has array element type {sent} ({}) instead of expected {} ({})",
            name(sent_type),
            expected.map_or(0, |ty| ty.oid().0),
            name(expected),
        );
        Err(SqlError::new(state::DATATYPE_MISMATCH, message))
    }
}

impl ColumnInput for Lists {
    fn append(&mut self, value: &[u8]) -> Result<(), SqlError> {
        let mut rest = value;
        let mut word = || -> Result<i32, SqlError> {
            let (word, after) = rest.split_first_chunk::<4>().ok_or_else(insufficient)?;
            rest = after;
            Ok(i32::from_be_bytes(*word))
        };
        let dimensions = word()?;
        if !(0..=1).contains(&dimensions) {
            return Err(dimensions_refused(dimensions));
        }
        if !(0..=1).contains(&word()?) {
            return Err(SqlError::new(state::INVALID_BINARY_REPRESENTATION, "invalid array flags"));
        }
        let element = word()? as u32;
        let length = if dimensions == 1 { word()? } else { 0 };
        if dimensions == 1 {
            word()?; // the lower bound: every array starts at 1 here
        }
        self.check_element(element)?;
        if length < 0 || length as usize > rest.len() / 4 {
            return Err(insufficient());
        }
        for _ in 0..length {
            let (size, after) = rest.split_first_chunk::<4>().ok_or_else(insufficient)?;
            match i32::from_be_bytes(*size) {
                -1 => {
                    self.elements.append_null();
                    rest = after;
                }
                size => {
                    let size = usize::try_from(size).map_err(|_| malformed())?;
                    let (bytes, after) = after.split_at_checked(size).ok_or_else(insufficient)?;
                    self.elements.append(bytes)?;
                    rest = after;
                }
            }
        }
        if !rest.is_empty() {
            return Err(malformed());
        }
        let end = self.end().checked_add(length);
        self.offsets.push(end.ok_or_else(|| SqlError::internal("too many array elements"))?);
        self.nulls.append_non_null();
        Ok(())
    }

    fn append_null(&mut self) {
        self.offsets.push(self.end());
        self.nulls.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let nulls = self.nulls.finish();
        Arc::new(ListArray::new(self.item.clone(), offsets, self.elements.finish(), nulls))
    }
}

fn dimensions_refused(dimensions: i32) -> SqlError {
    if (2..=DIMENSIONS_MAX).contains(&dimensions) {
        return SqlError::unsupported("arrays of more than one dimension are not supported");
    }
    let message = format!(
        "number of array dimensions ({dimensions}) exceeds the maximum allowed ({DIMENSIONS_MAX})"
    );
    SqlError::new(state::PROGRAM_LIMIT_EXCEEDED, message)
}
