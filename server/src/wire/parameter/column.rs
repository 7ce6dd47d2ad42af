//! Columns filled value by value from binary format; `receive` chooses among them.
//!
//! Law   a failed `append` leaves the column unusable; its rows are thrown away as a whole
//! Cost  a virtual call and the decoding per value, appended to an Arrow builder

use std::sync::Arc;

use arrow::array::builder::{
    BinaryBuilder, BooleanBuilder, FixedSizeBinaryBuilder, LargeStringBuilder, PrimitiveBuilder,
    StringBuilder,
};
use arrow::array::{ArrayRef, ArrowPrimitiveType, NullArray};
use arrow::datatypes::DataType;
use tidemark_sql::error::SqlError;
use tidemark_sql::text_io::jsonb::Canonicalizer;

use super::receive::{exact, jsonb_text, valid_text};

/// One column being filled.
pub trait ColumnInput: Send {
    fn append(&mut self, value: &[u8]) -> Result<(), SqlError>;
    fn append_null(&mut self);
    /// The values so far; the column goes on empty.
    fn finish(&mut self) -> ArrayRef;
}

/// Numbers, dates and times: `read` makes the native value.
pub struct Primitives<T: ArrowPrimitiveType, R> {
    builder: PrimitiveBuilder<T>,
    read: R,
}

impl<T: ArrowPrimitiveType, R> Primitives<T, R> {
    /// `data_type` completes what `T` leaves open: time zone, precision and scale.
    pub fn new(data_type: &DataType, read: R) -> Self {
        Primitives { builder: PrimitiveBuilder::new().with_data_type(data_type.clone()), read }
    }
}

impl<T, R> ColumnInput for Primitives<T, R>
where
    T: ArrowPrimitiveType,
    R: Fn(&[u8]) -> Result<T::Native, SqlError> + Send,
{
    fn append(&mut self, value: &[u8]) -> Result<(), SqlError> {
        self.builder.append_value((self.read)(value)?);
        Ok(())
    }

    fn append_null(&mut self) {
        self.builder.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.builder.finish())
    }
}

/// One byte, 0 for false.
pub struct Booleans(pub BooleanBuilder);

impl ColumnInput for Booleans {
    fn append(&mut self, value: &[u8]) -> Result<(), SqlError> {
        self.0.append_value(exact(value)? != [0]);
        Ok(())
    }

    fn append_null(&mut self) {
        self.0.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

/// UTF-8.
pub struct Texts(pub StringBuilder);

impl ColumnInput for Texts {
    fn append(&mut self, value: &[u8]) -> Result<(), SqlError> {
        self.0.append_value(valid_text(value)?);
        Ok(())
    }

    fn append_null(&mut self) {
        self.0.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

/// A version byte and JSON.
#[derive(Default)]
pub struct Jsonbs {
    builder: LargeStringBuilder,
    canonicalizer: Canonicalizer,
    canonical: String,
}

impl ColumnInput for Jsonbs {
    fn append(&mut self, value: &[u8]) -> Result<(), SqlError> {
        self.canonical.clear();
        self.canonicalizer.append(jsonb_text(value)?, &mut self.canonical)?;
        self.builder.append_value(&self.canonical);
        Ok(())
    }

    fn append_null(&mut self) {
        self.builder.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.builder.finish())
    }
}

/// bytea: the bytes as they are.
pub struct Binaries(pub BinaryBuilder);

impl ColumnInput for Binaries {
    fn append(&mut self, value: &[u8]) -> Result<(), SqlError> {
        self.0.append_value(value);
        Ok(())
    }

    fn append_null(&mut self) {
        self.0.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

/// Sixteen bytes.
pub struct Uuids(pub FixedSizeBinaryBuilder);

impl ColumnInput for Uuids {
    fn append(&mut self, value: &[u8]) -> Result<(), SqlError> {
        self.0.append_value(exact::<16>(value)?).map_err(SqlError::from)
    }

    fn append_null(&mut self) {
        self.0.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

/// A column that can only be NULL.
#[derive(Default)]
pub struct Nulls {
    length: usize,
}

impl ColumnInput for Nulls {
    fn append(&mut self, _: &[u8]) -> Result<(), SqlError> {
        Err(SqlError::internal("a value for a column without a type"))
    }

    fn append_null(&mut self) {
        self.length += 1;
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(NullArray::new(std::mem::take(&mut self.length)))
    }
}
