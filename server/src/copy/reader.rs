//! COPY FROM: bytes in any pieces in, record batches out.
//!
//! Law     the rows, the errors and their lines don't depend on how the bytes were cut
//! Errors  PostgreSQL's, with its context; the first one ends the reader, and whoever drives it
//!         undoes the whole COPY
//! Memory  the unfinished line or row, and rows up to a batch

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use tidemark_sql::error::SqlError;
use tidemark_sql::text_io::InputSettings;

use super::Column;
use super::binary::BinaryReader;
use super::json::JsonReader;
use super::options::{Format, Options};
use super::text::TextReader;

/// A batch is cut after this many rows.
pub const BATCH_ROWS_MAX: usize = 64 * 1024;
/// A batch is cut after this many bytes of input.
pub const BATCH_BYTES_MAX: usize = 16 << 20;

/// Rows that have been read.
#[derive(Debug, Clone)]
pub struct Rows {
    /// One column per column of the COPY, in its order, all nullable.
    pub batch: RecordBatch,
    /// The line of each row, for what is found wrong with it later.
    pub lines: Vec<u64>,
}

/// What the formats have in common: turning bytes into rows.
pub(super) trait ReadRows: Send {
    /// Reads rows from the start of `bytes` until they are used up or `sink` is full; returns
    /// how many bytes were used, which it has also added to the sink. With `at_end`, nothing
    /// follows.
    fn read(&mut self, bytes: &[u8], at_end: bool, sink: &mut Sink) -> Result<usize, SqlError>;
    /// The rows read since the last time.
    fn take(&mut self) -> Vec<ArrayRef>;
}

/// How far the current batch has got.
#[derive(Default)]
pub(super) struct Sink {
    pub lines: Vec<u64>,
    pub bytes: usize,
}

impl Sink {
    pub fn is_full(&self) -> bool {
        self.lines.len() >= BATCH_ROWS_MAX || self.bytes >= BATCH_BYTES_MAX
    }
}

/// Reads one COPY's data.
pub struct Reader {
    relation: String,
    schema: SchemaRef,
    rows: Box<dyn ReadRows>,
    sink: Sink,
    /// The unfinished line or row.
    pending: Vec<u8>,
}

impl Reader {
    /// A reader into `columns` of the table named `relation`.
    ///
    /// Errors: 42P10 for an option that names another column.
    pub fn new(
        relation: &str,
        columns: Vec<Column>,
        options: &Options,
        input: &InputSettings,
    ) -> Result<Reader, SqlError> {
        let fields = columns.iter();
        let fields = fields.map(|column| Field::new(&column.name, column.data_type(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let rows: Box<dyn ReadRows> = match options.format {
            Format::Text | Format::Csv => {
                Box::new(TextReader::new(relation, columns, options, input)?)
            }
            Format::Binary => Box::new(BinaryReader::new(relation, columns)?),
            Format::Json => Box::new(JsonReader::new(relation, columns, options, input)?),
        };
        let relation = relation.to_owned();
        Ok(Reader { relation, schema, rows, sink: Sink::default(), pending: Vec::new() })
    }

    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Takes the next bytes; returns the batches that became full.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Rows>, SqlError> {
        self.advance(bytes, false)
    }

    /// No more bytes come: the last line may lack its newline. Returns the remaining rows.
    pub fn finish(&mut self) -> Result<Vec<Rows>, SqlError> {
        let mut batches = self.advance(&[], true)?;
        if !self.sink.lines.is_empty() {
            batches.push(self.cut());
        }
        Ok(batches)
    }

    /// The context of an error found in a row after it was read.
    pub fn context(&self, line: u64) -> String {
        format!("COPY {}, line {line}", self.relation)
    }

    fn advance(&mut self, bytes: &[u8], at_end: bool) -> Result<Vec<Rows>, SqlError> {
        let mut batches = Vec::new();
        let mut pending = std::mem::take(&mut self.pending);
        // Without a rest from before, the bytes are read where they are.
        let input = if pending.is_empty() {
            bytes
        } else {
            pending.extend_from_slice(bytes);
            pending.as_slice()
        };
        let mut used = 0;
        loop {
            let read = self.rows.read(&input[used..], at_end, &mut self.sink)?;
            used += read;
            if !self.sink.is_full() {
                break;
            }
            batches.push(self.cut());
        }
        if pending.is_empty() {
            pending.extend_from_slice(&bytes[used..]);
        } else {
            pending.drain(..used);
        }
        self.pending = pending;
        Ok(batches)
    }

    fn cut(&mut self) -> Rows {
        let sink = std::mem::take(&mut self.sink);
        let options = RecordBatchOptions::new().with_row_count(Some(sink.lines.len()));
        let columns = self.rows.take();
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
        let batch = batch.expect("each column has one value per line, of its field's type");
        Rows { batch, lines: sink.lines }
    }
}
