//! COPY FROM in binary format.
//!
//! Layout   "PGCOPY\n\xFF\r\n\0" · u32 flags · u32 length of an extension and the extension;
//!          per row i16 number of fields, per field i32 length (−1: NULL) and value; last an i16 −1
//! Law      as PostgreSQL 15: the trailer may be missing, nothing may follow it
//! Context  `COPY t, line 3, column x`, without the value; a row counts as a line

use arrow::array::ArrayRef;
use tidemark_sql::error::SqlError;

use super::Column;
use super::line::bad_format;
use super::reader::{ReadRows, Sink};
use crate::wire::parameter::{ColumnInput, receive};

/// How every binary COPY begins.
pub const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xFF\r\n\0";
/// What stands behind the last row.
pub const TRAILER: [u8; 2] = (-1i16).to_be_bytes();
/// The flag for rows with OIDs, long gone from PostgreSQL.
const FLAG_OIDS: u32 = 1 << 16;

enum State {
    Header,
    Rows,
    Ended,
}

/// Reads the binary format.
pub struct BinaryReader {
    relation: String,
    names: Vec<String>,
    columns: Vec<Box<dyn ColumnInput>>,
    state: State,
    /// The row read last, from 1.
    row: u64,
}

impl BinaryReader {
    pub fn new(relation: &str, columns: Vec<Column>) -> Result<BinaryReader, SqlError> {
        let inputs = columns.iter().map(|column| receive::column(&column.data_type()));
        Ok(BinaryReader {
            relation: relation.to_owned(),
            columns: inputs.collect::<Result<_, _>>()?,
            names: columns.into_iter().map(|column| column.name).collect(),
            state: State::Header,
            row: 0,
        })
    }

    /// The bytes of the header, once it is complete.
    fn header(&self, bytes: &[u8], at_end: bool) -> Result<Option<usize>, SqlError> {
        let known = bytes.len().min(SIGNATURE.len());
        if bytes[..known] != SIGNATURE[..known] || (at_end && known < SIGNATURE.len()) {
            return Err(bad_format("COPY file signature not recognized"));
        }
        let missing = |what: &str| match at_end {
            true => Err(bad_format(format!("invalid COPY file header ({what})"))),
            false => Ok(None),
        };
        let Some(flags) = word(bytes, SIGNATURE.len()) else {
            return missing("missing flags");
        };
        if flags & FLAG_OIDS != 0 {
            return Err(bad_format("invalid COPY file header (WITH OIDS)"));
        }
        if flags >> 16 != 0 {
            return Err(bad_format("unrecognized critical flags in COPY file header"));
        }
        let Some(extension) = word(bytes, SIGNATURE.len() + 4) else {
            return missing("missing length");
        };
        if extension > i32::MAX as u32 {
            return Err(bad_format("invalid COPY file header (missing length)"));
        }
        let length = SIGNATURE.len() + 8 + extension as usize;
        if bytes.len() < length { missing("wrong length") } else { Ok(Some(length)) }
    }

    /// The bytes of the row at the start of `bytes`, once it is complete; all of it is appended.
    fn row(&mut self, bytes: &[u8], at_end: bool) -> Result<Option<usize>, SqlError> {
        let Some((count, _)) = bytes.split_first_chunk::<2>() else {
            // PostgreSQL takes a missing trailer, and half of one, for the end.
            return Ok(None);
        };
        let count = i16::from_be_bytes(*count);
        if count == -1 {
            self.state = State::Ended;
            return Ok(Some(2));
        }
        if usize::try_from(count) != Ok(self.columns.len()) {
            let expected = self.columns.len();
            let message = format!("row field count is {count}, expected {expected}");
            return Err(self.in_row(bad_format(message), None));
        }
        let Some(length) = self.measure(bytes, at_end)? else {
            return Ok(None);
        };
        let mut position = 2;
        for (index, column) in self.columns.iter_mut().enumerate() {
            let size = word(bytes, position).expect("measured") as i32;
            position += 4;
            if size == -1 {
                column.append_null();
                continue;
            }
            let value = &bytes[position..position + size as usize];
            position += size as usize;
            if let Err(error) = column.append(value) {
                return Err(self.in_row(error, Some(index)));
            }
        }
        Ok(Some(length))
    }

    /// The length of a row whose field count is right, if all of it is there.
    fn measure(&self, bytes: &[u8], at_end: bool) -> Result<Option<usize>, SqlError> {
        let mut position = 2;
        let missing = |index| match at_end {
            true => Err(self.in_row(bad_format("unexpected EOF in COPY data"), Some(index))),
            false => Ok(None),
        };
        for index in 0..self.columns.len() {
            let Some(size) = word(bytes, position) else {
                return missing(index);
            };
            position += 4;
            match size as i32 {
                -1 => {}
                size @ 0.. => position += size as usize,
                _ => return Err(self.in_row(bad_format("invalid field size"), Some(index))),
            }
            if bytes.len() < position {
                return missing(index);
            }
        }
        Ok(Some(position))
    }

    fn in_row(&self, error: SqlError, column: Option<usize>) -> SqlError {
        let (relation, row) = (&self.relation, self.row);
        error.with_context(match column {
            Some(index) => format!("COPY {relation}, line {row}, column {}", self.names[index]),
            None => format!("COPY {relation}, line {row}"),
        })
    }
}

/// The big-endian word at `position`.
fn word(bytes: &[u8], position: usize) -> Option<u32> {
    bytes.get(position..)?.first_chunk::<4>().map(|word| u32::from_be_bytes(*word))
}

impl ReadRows for BinaryReader {
    fn read(&mut self, bytes: &[u8], at_end: bool, sink: &mut Sink) -> Result<usize, SqlError> {
        let mut used = 0;
        while !sink.is_full() {
            let rest = &bytes[used..];
            let length = match self.state {
                State::Header => {
                    let length = self.header(rest, at_end)?;
                    if length.is_some() {
                        self.state = State::Rows;
                    }
                    length
                }
                State::Rows => {
                    self.row += 1;
                    let length = self.row(rest, at_end)?;
                    if length.is_some() && matches!(self.state, State::Rows) {
                        sink.lines.push(self.row);
                    } else {
                        self.row -= 1;
                    }
                    length
                }
                State::Ended if rest.is_empty() => None,
                State::Ended => {
                    self.row += 1;
                    let error = bad_format("received copy data after EOF marker");
                    return Err(self.in_row(error, None));
                }
            };
            let Some(length) = length else {
                break;
            };
            used += length;
            sink.bytes += length;
        }
        Ok(used)
    }

    fn take(&mut self) -> Vec<ArrayRef> {
        self.columns.iter_mut().map(|column| column.finish()).collect()
    }
}
