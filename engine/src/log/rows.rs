//! Rows as bytes: the buffers of Arrow's columnar format, one after the other.
//!
//! ```text
//! batch
//! 4  rows, then each column of the table's schema:
//!
//! array of n values
//! 1  1 if a validity bitmap follows, else 0
//!    validity     ⌈n/8⌉ bytes, least significant bit first
//! and by type
//!    null                         nothing
//!    boolean                      ⌈n/8⌉ bytes
//!    fixed width of w bytes       n·w bytes
//!    text, binary                 n+1 offsets of 4 bytes from 0 on (8 if large), the bytes
//!    list                         n+1 offsets of 4 bytes from 0 on, the array of the items
//! ```
//!
//! Arrow IPC would repeat 300 bytes of metadata for every batch and be read back at several
//! microseconds a batch; most batches here are a row or two.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, OffsetSizeTrait, RecordBatch, RecordBatchOptions,
    make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::{DataType, SchemaRef};

/// Appends a batch.
pub fn write_batch(bytes: &mut Vec<u8>, batch: &RecordBatch) {
    let rows = u32::try_from(batch.num_rows()).expect("a batch is indexed by 32 bits");
    bytes.extend(rows.to_le_bytes());
    batch.columns().iter().for_each(|column| write_array(bytes, column));
}

/// Reads a batch of a table with this schema.
pub fn read_batch(reader: &mut Reader<'_>, schema: &SchemaRef) -> Result<RecordBatch, String> {
    let rows = reader.count()?;
    let fields = schema.fields().iter();
    let columns = fields.map(|field| read_array(reader, field.data_type(), rows));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| error.to_string())
}

fn write_array(bytes: &mut Vec<u8>, array: &ArrayRef) {
    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        Some(nulls) => {
            bytes.push(1);
            write_bits(bytes, nulls.inner());
        }
        None => bytes.push(0),
    }
    match array.data_type() {
        DataType::Null => {}
        DataType::Boolean => write_bits(bytes, array.as_boolean().values()),
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            write_variable(bytes, array.value_offsets(), array.values());
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            write_variable(bytes, array.value_offsets(), array.values());
        }
        DataType::LargeUtf8 => {
            let array = array.as_string::<i64>();
            write_variable(bytes, array.value_offsets(), array.values());
        }
        DataType::List(_) => {
            let array = array.as_list::<i32>();
            let (from, length) = write_offsets(bytes, array.value_offsets());
            write_array(bytes, &array.values().slice(from, length));
        }
        ty => {
            let width = fixed_width(ty).expect("the types of columns are known");
            let data = array.to_data();
            let from = data.offset() * width;
            bytes.extend(&data.buffers()[0][from..from + array.len() * width]);
        }
    }
}

fn read_array(reader: &mut Reader<'_>, ty: &DataType, rows: usize) -> Result<ArrayRef, String> {
    let nulls = match reader.bytes(1)?[0] {
        0 => None,
        _ => {
            let bits = Buffer::from(reader.bytes(rows.div_ceil(8))?);
            Some(NullBuffer::new(BooleanBuffer::new(bits, 0, rows)))
        }
    };
    let data = ArrayData::builder(ty.clone()).len(rows).nulls(nulls);
    let data = match ty {
        DataType::Null => data,
        DataType::Boolean => data.add_buffer(reader.bytes(rows.div_ceil(8))?.into()),
        DataType::Utf8 | DataType::Binary | DataType::LargeUtf8 => {
            let (offsets, length) = reader.offsets(rows, matches!(ty, DataType::LargeUtf8))?;
            data.add_buffer(offsets).add_buffer(reader.bytes(length)?.into())
        }
        DataType::List(field) => {
            let (offsets, length) = reader.offsets(rows, false)?;
            let items = read_array(reader, field.data_type(), length)?;
            data.add_buffer(offsets).add_child_data(items.to_data())
        }
        ty => {
            let width = fixed_width(ty).ok_or_else(|| format!("{ty} is not stored"))?;
            let length = rows.checked_mul(width).ok_or("too many rows")?;
            data.add_buffer(reader.bytes(length)?.into())
        }
    };
    Ok(make_array(data.build().map_err(|error| error.to_string())?))
}

fn fixed_width(ty: &DataType) -> Option<usize> {
    match ty {
        DataType::FixedSizeBinary(width) => usize::try_from(*width).ok(),
        ty => ty.primitive_width(),
    }
}

fn write_bits(bytes: &mut Vec<u8>, bits: &BooleanBuffer) {
    let length = bits.len().div_ceil(8);
    bytes.extend(&bits.sliced()[..length]);
}

fn write_variable<O: OffsetSizeTrait>(bytes: &mut Vec<u8>, offsets: &[O], values: &[u8]) {
    let (from, length) = write_offsets(bytes, offsets);
    bytes.extend(&values[from..from + length]);
}

/// Appends offsets counted from 0; returns where the values begin and how many there are.
fn write_offsets<O: OffsetSizeTrait>(bytes: &mut Vec<u8>, offsets: &[O]) -> (usize, usize) {
    let first = offsets[0];
    for &offset in offsets {
        let offset = (offset - first).as_usize() as u64;
        bytes.extend(&offset.to_le_bytes()[..size_of::<O>()]);
    }
    (first.as_usize(), (offsets[offsets.len() - 1] - first).as_usize())
}

/// Bytes being read, from front to back.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// The next `length` bytes.
    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or("it ends too early")?;
        self.rest = rest;
        Ok(bytes)
    }

    pub fn u64(&mut self) -> Result<u64, String> {
        Ok(u64::from_le_bytes(self.bytes(8)?.try_into().expect("eight bytes")))
    }

    pub fn count(&mut self) -> Result<usize, String> {
        Ok(u32::from_le_bytes(self.bytes(4)?.try_into().expect("four bytes")) as usize)
    }

    /// A count and as many things.
    pub fn many<T>(
        &mut self,
        mut one: impl FnMut(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let count = self.count()?;
        (0..count).map(|_| one(self)).collect()
    }

    /// The offsets of `rows` values, and the last of them.
    fn offsets(&mut self, rows: usize, large: bool) -> Result<(Buffer, usize), String> {
        let width = if large { 8 } else { 4 };
        let bytes = self.bytes((rows + 1) * width)?;
        let mut last = [0; 8];
        last[..width].copy_from_slice(&bytes[rows * width..]);
        Ok((bytes.into(), u64::from_le_bytes(last) as usize))
    }

    /// Refuses what is left over.
    pub fn finish(self) -> Result<(), String> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(format!("{left} bytes are left over")),
        }
    }
}
