//! A group of commits as the payload of a record.
//!
//! ```text
//! 8  time                        every commit of the group is at this time
//! 8  reserved                    as a reservation record; not below `time`
//! 4  count, then each: 4 length, bytes                                   opaque ddl records
//! 4  count, then each: 8 id, 4 count of key columns, 4 each, 4 length, schema      tables made
//! 4  count, then each: write                                             changes of tables
//! 4  count, then each: 8 id                                              tables dropped
//!
//! write
//! 8  table
//! 4  count of deleted rows, then 8 row id each
//! 8  length of the section: 4 count of batches, then each: batch         the rows of those ids
//! 8  id of the first inserted row; the others follow
//! 8  length of the section: 4 count of batches, then each: batch         the inserted rows
//! ```
//!
//! In this order it is applied: a row may be inserted and deleted in one group. A schema is an
//! Arrow IPC schema message (flatbuffer), a batch is as in `rows.rs`. The deleted rows are there
//! for `changes()` and for sealing; recovery skips them. In a record of kind 3 what stands in
//! `extension.rs` follows.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::ipc::convert::try_schema_from_flatbuffer_bytes;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions};

use super::extension::{Extension, GroupLoad};
use super::rows::{Reader, RowsBuilder, write_batch};
use crate::commit::SourceDef;
use crate::store::{AddedColumn, AddedKey, TableDef};
use crate::time::{CollectionId, RowId, Timestamp};

/// What one group of commits did, to be written.
#[derive(Clone, Debug, Default)]
pub struct Group {
    pub time: Timestamp,
    /// Times up to this one may have been given to readers.
    pub reserved: Timestamp,
    pub ddl: Vec<Vec<u8>>,
    pub creates: Vec<TableDef>,
    pub writes: Vec<GroupWrite>,
    pub drops: Vec<CollectionId>,
    /// Of tables that were there already.
    pub retentions: Vec<(CollectionId, Option<Duration>)>,
    pub keys: Vec<AddedKey>,
    /// How long rows live in tables that were there.
    pub ttls: Vec<(CollectionId, Option<Duration>)>,
    /// Applied before the writes.
    pub loads: Vec<GroupLoad>,
    pub closes: Vec<CollectionId>,
    /// To tables that were there already, before the loads and writes.
    pub added: Vec<AddedColumn>,
    pub sources: Vec<SourceDef>,
    /// How far each of these sources has come.
    pub advances: Vec<(CollectionId, u64)>,
}

/// What it did to one table.
#[derive(Clone, Debug, Default)]
pub struct GroupWrite {
    pub table: CollectionId,
    pub deleted_ids: Vec<RowId>,
    /// The rows of these ids, in that order.
    pub deleted: Vec<RecordBatch>,
    pub first: RowId,
    pub inserted: Vec<RecordBatch>,
}

/// A group read back; its rows are decoded when they are asked for.
#[derive(Clone, Debug)]
pub struct ReplayGroup<'a> {
    pub time: Timestamp,
    pub reserved: Timestamp,
    pub ddl: Vec<&'a [u8]>,
    pub creates: Vec<TableDef>,
    pub writes: Vec<ReplayWrite<'a>>,
    pub drops: Vec<CollectionId>,
    pub extension: Extension<'a>,
}

/// A write read back.
#[derive(Clone, Debug)]
pub struct ReplayWrite<'a> {
    pub table: CollectionId,
    pub deleted_ids: Vec<RowId>,
    pub deleted: EncodedRows<'a>,
    pub first: RowId,
    pub inserted: EncodedRows<'a>,
}

/// Batches as they stand in the log, read one after the other.
#[derive(Clone, Debug)]
pub struct EncodedRows<'a> {
    reader: Reader<'a>,
    batches: usize,
}

impl EncodedRows<'_> {
    /// How many bytes there are to read.
    pub fn bytes(&self) -> usize {
        self.reader.left()
    }

    /// Adds the rows of the next batch to `builder`, which is for rows of the table; returns how
    /// many they are, or `None` if there is no batch left.
    pub fn read_next(&mut self, builder: &mut RowsBuilder) -> Result<Option<usize>, String> {
        if self.batches == 0 {
            self.reader.clone().finish()?;
            return Ok(None);
        }
        self.batches -= 1;
        builder.read(&mut self.reader).map(Some)
    }
}

/// Appends the payload of a group.
pub fn encode(group: &Group, bytes: &mut Vec<u8>) {
    put_u64(bytes, group.time.0);
    put_u64(bytes, group.reserved.0.max(group.time.0));
    put_count(bytes, group.ddl.len());
    for record in &group.ddl {
        put_count(bytes, record.len());
        bytes.extend(record);
    }
    put_count(bytes, group.creates.len());
    for table in &group.creates {
        put_u64(bytes, table.id.0);
        put_count(bytes, table.primary_key.len());
        table.primary_key.iter().for_each(|&column| put_count(bytes, column));
        let schema = encode_schema(&table.schema);
        put_count(bytes, schema.len());
        bytes.extend(schema);
    }
    put_count(bytes, group.writes.len());
    for write in &group.writes {
        encode_write(write, bytes);
    }
    put_count(bytes, group.drops.len());
    group.drops.iter().for_each(|id| put_u64(bytes, id.0));
}

/// Reads the payload of a group.
pub fn decode<'a>(reader: &mut Reader<'a>) -> Result<ReplayGroup<'a>, String> {
    let (time, reserved) = (Timestamp(reader.u64()?), Timestamp(reader.u64()?));
    let ddl = reader.many(|reader| {
        let length = reader.count()?;
        reader.bytes(length)
    })?;
    let creates = reader.many(decode_table)?;
    let writes = reader.many(decode_write)?;
    let drops = reader.many(|reader| Ok(CollectionId(reader.u64()?)))?;
    let extension = Extension::default();
    Ok(ReplayGroup { time, reserved, ddl, creates, writes, drops, extension })
}

fn encode_write(write: &GroupWrite, bytes: &mut Vec<u8>) {
    put_u64(bytes, write.table.0);
    put_count(bytes, write.deleted_ids.len());
    write.deleted_ids.iter().for_each(|id| put_u64(bytes, id.0));
    put_section(bytes, &write.deleted);
    put_u64(bytes, write.first.0);
    put_section(bytes, &write.inserted);
}

fn decode_table(reader: &mut Reader<'_>) -> Result<TableDef, String> {
    let id = CollectionId(reader.u64()?);
    let primary_key = reader.many(Reader::count)?;
    let length = reader.count()?;
    // copied, since a flatbuffer wants to be aligned
    let schema = reader.bytes(length)?.to_vec();
    let schema = try_schema_from_flatbuffer_bytes(&schema);
    let schema = Arc::new(schema.map_err(|error| error.to_string())?);
    Ok(TableDef::new(id, schema, primary_key))
}

fn decode_write<'a>(reader: &mut Reader<'a>) -> Result<ReplayWrite<'a>, String> {
    let table = CollectionId(reader.u64()?);
    let deleted_ids = reader.many(|reader| Ok(RowId(reader.u64()?)))?;
    let deleted = section(reader)?;
    let first = RowId(reader.u64()?);
    let inserted = section(reader)?;
    Ok(ReplayWrite { table, deleted_ids, deleted, first, inserted })
}

pub(super) fn section<'a>(reader: &mut Reader<'a>) -> Result<EncodedRows<'a>, String> {
    let length = usize::try_from(reader.u64()?).map_err(|error| error.to_string())?;
    let mut reader = Reader::new(reader.bytes(length)?);
    let batches = reader.count()?;
    Ok(EncodedRows { reader, batches })
}

pub(super) fn encode_schema(schema: &Schema) -> Vec<u8> {
    let mut tracker = DictionaryTracker::new(false);
    let options = IpcWriteOptions::default();
    let generator = IpcDataGenerator::default();
    generator.schema_to_bytes_with_dictionary_tracker(schema, &mut tracker, &options).ipc_message
}

pub(super) fn put_section(bytes: &mut Vec<u8>, batches: &[RecordBatch]) {
    let begin = bytes.len();
    put_u64(bytes, 0);
    put_count(bytes, batches.len());
    batches.iter().for_each(|batch| write_batch(bytes, batch));
    let length = (bytes.len() - begin - 8) as u64;
    bytes[begin..begin + 8].copy_from_slice(&length.to_le_bytes());
}

pub(super) fn put_u64(bytes: &mut Vec<u8>, value: u64) {
    bytes.extend(value.to_le_bytes());
}

pub(super) fn put_count(bytes: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("fewer than four thousand million of anything");
    bytes.extend(count.to_le_bytes());
}
