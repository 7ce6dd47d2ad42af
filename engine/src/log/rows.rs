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
//! microseconds a batch. Most batches here are a row or two; reading puts them together.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BooleanBufferBuilder, OffsetSizeTrait, RecordBatch,
    RecordBatchOptions, make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::{DataType, SchemaRef};

/// Appends a batch.
pub fn write_batch(bytes: &mut Vec<u8>, batch: &RecordBatch) {
    let rows = u32::try_from(batch.num_rows()).expect("a batch is indexed by 32 bits");
    bytes.extend(rows.to_le_bytes());
    batch.columns().iter().for_each(|column| write_array(bytes, column));
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

/// Rows being read back, batch after batch, into one.
#[derive(Debug)]
pub struct RowsBuilder {
    schema: SchemaRef,
    columns: Vec<Column>,
    rows: usize,
    bytes: usize,
}

/// The values of a column so far.
#[derive(Debug)]
struct Column {
    ty: DataType,
    rows: usize,
    /// Made when the first NULL comes.
    valid: Option<BooleanBufferBuilder>,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Null,
    Bits(BooleanBufferBuilder),
    Fixed { width: usize, bytes: Vec<u8> },
    Variable { offsets: Offsets, bytes: Vec<u8> },
    List { offsets: Offsets, items: Box<Column> },
}

/// Where each value ends.
#[derive(Debug)]
enum Offsets {
    Small(Vec<i32>),
    Large(Vec<i64>),
}

impl RowsBuilder {
    /// For rows of a table with this schema.
    pub fn new(schema: &SchemaRef) -> Result<RowsBuilder, String> {
        let fields = schema.fields().iter();
        let columns = fields.map(|field| Column::new(field.data_type()));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        Ok(RowsBuilder { schema: Arc::clone(schema), columns, rows: 0, bytes: 0 })
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many bytes were read for them.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Reads one batch; returns how many rows it has.
    pub fn read(&mut self, reader: &mut Reader<'_>) -> Result<usize, String> {
        let before = reader.rest.len();
        let rows = reader.count()?;
        self.columns.iter_mut().try_for_each(|column| column.read(reader, rows))?;
        self.rows += rows;
        self.bytes += before - reader.rest.len();
        Ok(rows)
    }

    /// All rows so far; the builder begins anew.
    pub fn finish(&mut self) -> Result<RecordBatch, String> {
        let columns = std::mem::take(&mut self.columns).into_iter().map(Column::finish);
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        *self = RowsBuilder::new(&self.schema)?;
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|error| error.to_string())
    }
}

impl Column {
    fn new(ty: &DataType) -> Result<Column, String> {
        let small = || Offsets::Small(vec![0]);
        let values = match ty {
            DataType::Null => Values::Null,
            DataType::Boolean => Values::Bits(BooleanBufferBuilder::new(0)),
            DataType::Utf8 | DataType::Binary => {
                Values::Variable { offsets: small(), bytes: vec![] }
            }
            DataType::LargeUtf8 => {
                Values::Variable { offsets: Offsets::Large(vec![0]), bytes: vec![] }
            }
            DataType::List(field) => {
                let items = Box::new(Column::new(field.data_type())?);
                Values::List { offsets: small(), items }
            }
            ty => {
                let width = fixed_width(ty).ok_or_else(|| format!("{ty} is not stored"))?;
                Values::Fixed { width, bytes: vec![] }
            }
        };
        Ok(Column { ty: ty.clone(), rows: 0, valid: None, values })
    }

    fn read(&mut self, reader: &mut Reader<'_>, rows: usize) -> Result<(), String> {
        if reader.bytes(1)?[0] != 0 {
            let valid = self.valid.get_or_insert_with(|| BooleanBufferBuilder::new(0));
            valid.append_n(self.rows - valid.len(), true);
            valid.append_packed_range(0..rows, reader.bits(rows)?);
        }
        self.rows += rows;
        match &mut self.values {
            Values::Null => {}
            Values::Bits(bits) => bits.append_packed_range(0..rows, reader.bits(rows)?),
            Values::Fixed { width, bytes } => {
                let length = rows.checked_mul(*width).ok_or("too many rows")?;
                bytes.extend(reader.bytes(length)?);
            }
            Values::Variable { offsets, bytes } => {
                let length = offsets.read(reader, rows)?;
                bytes.extend(reader.bytes(length)?);
            }
            Values::List { offsets, items } => {
                let length = offsets.read(reader, rows)?;
                items.read(reader, length)?;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<ArrayRef, String> {
        let nulls = self.valid.map(|mut valid| {
            valid.append_n(self.rows - valid.len(), true);
            NullBuffer::new(valid.finish())
        });
        let data = ArrayData::builder(self.ty).len(self.rows).nulls(nulls);
        let data = match self.values {
            Values::Null => data,
            Values::Bits(mut bits) => data.add_buffer(bits.finish().into_inner()),
            // copied, since numbers want to be aligned
            Values::Fixed { bytes, .. } => data.add_buffer(Buffer::from(&bytes[..])),
            Values::Variable { offsets, bytes } => {
                data.add_buffer(offsets.finish()).add_buffer(bytes.into())
            }
            Values::List { offsets, items } => {
                data.add_buffer(offsets.finish()).add_child_data(items.finish()?.to_data())
            }
        };
        Ok(make_array(data.build().map_err(|error| error.to_string())?))
    }
}

impl Offsets {
    /// Reads the offsets of `rows` more values; returns how long these are together.
    fn read(&mut self, reader: &mut Reader<'_>, rows: usize) -> Result<usize, String> {
        /// From offsets counted from 0 to offsets that go on.
        fn go_on<const N: usize, T: Copy + TryFrom<i64>>(
            offsets: &mut Vec<T>,
            bytes: &[u8],
            number: fn([u8; N]) -> i64,
        ) -> Result<usize, String>
        where
            i64: From<T>,
        {
            let first = i64::from(*offsets.last().expect("never empty"));
            let mut length = 0;
            for bytes in bytes.chunks_exact(N).skip(1) {
                length = number(bytes.try_into().expect("chunks of that size"));
                let offset = first.checked_add(length).and_then(|sum| T::try_from(sum).ok());
                offsets.push(offset.ok_or("a batch holds too many bytes")?);
            }
            usize::try_from(length).map_err(|_| "a length is negative".to_owned())
        }
        match self {
            Offsets::Small(offsets) => {
                go_on(offsets, reader.bytes((rows + 1) * 4)?, |b| i32::from_le_bytes(b).into())
            }
            Offsets::Large(offsets) => {
                go_on(offsets, reader.bytes((rows + 1) * 8)?, i64::from_le_bytes)
            }
        }
    }

    fn finish(self) -> Buffer {
        match self {
            Offsets::Small(offsets) => offsets.into(),
            Offsets::Large(offsets) => offsets.into(),
        }
    }
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
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// How many bytes there are to read.
    pub fn left(&self) -> usize {
        self.rest.len()
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

    /// A bitmap of `rows` bits.
    fn bits(&mut self, rows: usize) -> Result<&'a [u8], String> {
        self.bytes(rows.div_ceil(8))
    }

    /// Refuses what is left over.
    pub fn finish(self) -> Result<(), String> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(format!("{left} bytes are left over")),
        }
    }
}
