//! COPY TO: record batches in, CopyData messages out, one for each row.
//!
//! Law   byte for byte what PostgreSQL 15 writes; the binary header travels with the first row,
//!       as there: clients that take messages for rows rely on it
//! Cost  values go from Arrow into one scratch buffer, and escaped into the output

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use bytes::{BufMut, BytesMut};
use pgwire::api::results::FieldFormat;
use tidemark_sql::error::SqlError;
use tidemark_sql::parse::CopyHeader as Header;
use tidemark_sql::text_io::OutputSettings;

use super::binary::{SIGNATURE, TRAILER};
use super::json::JsonColumn;
use super::options::{self, Format, Options};
use crate::wire::encode::{ColumnEncoder, framed};

/// Writes one COPY's data.
pub struct Writer {
    options: Options,
    settings: OutputSettings,
    names: Vec<String>,
    /// Per column, whether to quote every value.
    force_quote: Vec<bool>,
    /// The binary header has been sent.
    started: bool,
    scratch: BytesMut,
    /// Rows written; the header line is none.
    pub count: u64,
}

impl Writer {
    /// A writer of rows with the columns of `schema`.
    ///
    /// Errors: 42P10 for an option that names another column.
    pub fn new(
        schema: &Schema,
        options: &Options,
        settings: &OutputSettings,
    ) -> Result<Writer, SqlError> {
        let names: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
        let force_quote = match &options.force_quote {
            None => vec![false; names.len()],
            Some(all) if all.is_empty() => vec![true; names.len()],
            Some(some) => options::flags("FORCE_QUOTE", some, &names)?,
        };
        Ok(Writer {
            options: options.clone(),
            settings: settings.clone(),
            names,
            force_quote,
            started: false,
            scratch: BytesMut::new(),
            count: 0,
        })
    }

    /// The format of CopyOutResponse, for the whole and for each column.
    pub fn wire_format(&self) -> FieldFormat {
        match self.options.format {
            Format::Binary => FieldFormat::Binary,
            Format::Text | Format::Csv | Format::Json => FieldFormat::Text,
        }
    }

    /// What comes before the rows: the header line, if there is one.
    pub fn begin(&mut self, out: &mut BytesMut) {
        if self.options.header == Header::Absent {
            return;
        }
        let Writer { options, names, .. } = self;
        framed(b'd', out, |out| {
            for (index, name) in names.iter().enumerate() {
                separate(index, options, out);
                write_text(name.as_bytes(), false, names.len() == 1, options, out);
            }
            out.put_u8(b'\n');
        });
    }

    /// The rows of a batch, to be written one by one.
    ///
    /// Errors: 0A000 for an Arrow type that stands for no PostgreSQL type.
    pub fn batch<'a>(&'a mut self, batch: &'a RecordBatch) -> Result<BatchWriter<'a>, SqlError> {
        let format = self.wire_format();
        let columns = batch.columns().iter();
        let (mut encoders, mut members) = (vec![], vec![]);
        match self.options.format {
            Format::Json => {
                for (array, name) in columns.zip(&self.names) {
                    members.push(JsonColumn::new(name, array, &self.settings)?);
                }
            }
            Format::Text | Format::Csv | Format::Binary => {
                for array in columns {
                    encoders.push(ColumnEncoder::new(array, format, &self.settings)?);
                }
            }
        }
        let rows = batch.num_rows();
        Ok(BatchWriter { columns: encoders, members, row: 0, rows, writer: self })
    }

    /// What comes after the rows: the trailer of the binary format.
    pub fn end(&mut self, out: &mut BytesMut) {
        if self.options.format == Format::Binary {
            framed(b'd', out, |out| {
                if !std::mem::replace(&mut self.started, true) {
                    put_binary_header(out);
                }
                out.put_slice(&TRAILER);
            });
        }
    }
}

/// A batch on its way out.
pub struct BatchWriter<'a> {
    writer: &'a mut Writer,
    columns: Vec<ColumnEncoder<'a>>,
    /// Instead of these, in JSON.
    members: Vec<JsonColumn<'a>>,
    row: usize,
    rows: usize,
}

impl BatchWriter<'_> {
    /// Appends the next row as a CopyData message; false when there is none.
    pub fn write(&mut self, out: &mut BytesMut) -> bool {
        if self.row == self.rows {
            return false;
        }
        framed(b'd', out, |out| match self.writer.options.format {
            Format::Binary => self.binary_row(out),
            Format::Text | Format::Csv => self.text_row(out),
            Format::Json => self.json_row(out),
        });
        self.row += 1;
        self.writer.count += 1;
        true
    }

    fn binary_row(&mut self, out: &mut BytesMut) {
        if !std::mem::replace(&mut self.writer.started, true) {
            put_binary_header(out);
        }
        out.put_i16(self.columns.len() as i16);
        for column in &mut self.columns {
            column.encode_with_length(self.row, out);
        }
    }

    fn json_row(&mut self, out: &mut BytesMut) {
        for (index, member) in self.members.iter_mut().enumerate() {
            out.put_u8(if index == 0 { b'{' } else { b',' });
            member.write(self.row, &mut self.writer.scratch, out);
        }
        out.put_slice(if self.members.is_empty() { b"{}\n" } else { b"}\n" });
    }

    fn text_row(&mut self, out: &mut BytesMut) {
        let Writer { options, scratch, force_quote, .. } = &mut *self.writer;
        let single = self.columns.len() == 1;
        for (index, column) in self.columns.iter_mut().enumerate() {
            separate(index, options, out);
            if column.is_null(self.row) {
                out.put_slice(options.null.as_bytes());
                continue;
            }
            scratch.clear();
            column.encode(self.row, scratch);
            write_text(scratch, force_quote[index], single, options, out);
        }
        out.put_u8(b'\n');
    }
}

fn put_binary_header(out: &mut BytesMut) {
    out.put_slice(SIGNATURE);
    out.put_u32(0); // flags
    out.put_u32(0); // length of the extension
}

fn separate(index: usize, options: &Options, out: &mut BytesMut) {
    if index > 0 {
        out.put_u8(options.delimiter);
    }
}

fn write_text(value: &[u8], quote: bool, single: bool, options: &Options, out: &mut BytesMut) {
    match options.format {
        Format::Csv if quote || needs_quotes(value, single, options) => {
            write_quoted(value, options, out);
        }
        Format::Csv => out.put_slice(value),
        _ => write_escaped(value, options.delimiter, out),
    }
}

/// The backslash escapes of the text format.
fn write_escaped(value: &[u8], delimiter: u8, out: &mut BytesMut) {
    let mut written = 0;
    for (index, byte) in value.iter().enumerate() {
        let escape = match byte {
            b'\\' => b'\\',
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            11 => b'v',
            other if *other == delimiter => delimiter,
            _ => continue,
        };
        out.put_slice(&value[written..index]);
        out.put_slice(&[b'\\', escape]);
        written = index + 1;
    }
    out.put_slice(&value[written..]);
}

/// A value that would be taken for NULL, for the end of the data, or for more than one value.
fn needs_quotes(value: &[u8], single: bool, options: &Options) -> bool {
    let special = |byte: &u8| {
        matches!(byte, b'\n' | b'\r') || *byte == options.delimiter || *byte == options.quote
    };
    value == options.null.as_bytes() || (single && value == b"\\.") || value.iter().any(special)
}

fn write_quoted(value: &[u8], options: &Options, out: &mut BytesMut) {
    out.put_u8(options.quote);
    let mut written = 0;
    for (index, byte) in value.iter().enumerate() {
        if *byte == options.quote || *byte == options.escape {
            out.put_slice(&value[written..index]);
            out.put_u8(options.escape);
            written = index;
        }
    }
    out.put_slice(&value[written..]);
    out.put_u8(options.quote);
}
