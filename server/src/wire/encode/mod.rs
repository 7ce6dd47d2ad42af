//! Result rows as DataRow messages, straight from Arrow columns.
//!
//! Law     a column's bytes are those of PostgreSQL's output (text) or send (binary) function for
//!         the type `PgType::from_arrow` gives it
//! Cost    one closure per column, chosen once per batch; values are appended to the connection's
//!         output buffer and lengths are filled in behind: no allocation per row or value
//!
//! COPY TO uses the same encoders: its binary rows are DataRow bodies.

pub mod binary;
mod description;
pub mod numeric;
#[cfg(test)]
mod tests;
mod text;

pub use description::{FieldsOf, field_info, fields, no_type, result_formats};

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::buffer::NullBuffer;
use bytes::{BufMut, BytesMut};
use pgwire::api::results::FieldFormat;
use tidemark_sql::error::SqlError;
use tidemark_sql::text_io::OutputSettings;

/// Appends the value at a row of one column, without its length; never called for NULLs.
pub type Encode<'a> = Box<dyn FnMut(usize, &mut BytesMut) + Send + 'a>;

/// One column of a batch, ready to be written.
pub struct ColumnEncoder<'a> {
    nulls: Option<NullBuffer>,
    encode: Encode<'a>,
}

impl<'a> ColumnEncoder<'a> {
    /// Errors: 0A000 for an Arrow type that stands for no PostgreSQL type.
    pub fn new(
        array: &'a ArrayRef,
        format: FieldFormat,
        settings: &OutputSettings,
    ) -> Result<Self, SqlError> {
        let encode = match format {
            FieldFormat::Text => text::encoder(array, settings)?,
            FieldFormat::Binary => binary::encoder(array)?,
        };
        Ok(ColumnEncoder { nulls: array.logical_nulls(), encode })
    }

    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends the value, which must not be NULL.
    pub fn encode(&mut self, row: usize, out: &mut BytesMut) {
        (self.encode)(row, out);
    }

    /// Appends the length in four bytes (−1 for NULL) and the value.
    pub fn encode_with_length(&mut self, row: usize, out: &mut BytesMut) {
        if self.is_null(row) {
            out.put_i32(-1);
            return;
        }
        let start = out.len();
        out.put_i32(0);
        (self.encode)(row, out);
        let length = (out.len() - start - 4) as i32;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
}

/// The rows of one batch, each ready to be appended as a message.
pub struct RowEncoder<'a> {
    columns: Vec<ColumnEncoder<'a>>,
}

impl<'a> RowEncoder<'a> {
    /// `formats` has one entry per column of the batch.
    ///
    /// Errors: 0A000 for an Arrow type that stands for no PostgreSQL type.
    pub fn new(
        batch: &'a RecordBatch,
        formats: &[FieldFormat],
        settings: &OutputSettings,
    ) -> Result<Self, SqlError> {
        assert_eq!(formats.len(), batch.num_columns(), "one format per column");
        let columns = batch.columns().iter().zip(formats);
        let columns = columns.map(|(array, format)| ColumnEncoder::new(array, *format, settings));
        Ok(RowEncoder { columns: columns.collect::<Result<_, _>>()? })
    }

    /// Appends a row as a whole DataRow message.
    pub fn data_row(&mut self, row: usize, out: &mut BytesMut) {
        framed(b'D', out, |out| self.body(row, out));
    }

    /// Appends a row as the body of a DataRow, which is also a row of binary COPY: the number of
    /// columns, then each value behind its length.
    pub fn body(&mut self, row: usize, out: &mut BytesMut) {
        out.put_i16(self.columns.len() as i16);
        for column in &mut self.columns {
            column.encode_with_length(row, out);
        }
    }
}

/// Appends a message: its type byte, its length, and what `body` appends.
pub fn framed(kind: u8, out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    out.put_u8(kind);
    let start = out.len();
    out.put_i32(0);
    body(out);
    let length = (out.len() - start) as i32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}
