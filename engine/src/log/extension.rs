//! What a group of commits did beside changing the present: the second part of a record's payload.
//!
//! ```text
//! 1  version, 3
//! 4  count, then each: 8 table, 8 retention in µs     tables made or altered; MAX: for ever
//! 4  count, then each: 8 table, 8 ttl in µs           tables made whose rows go by themselves
//! 4  count, then each: load                           applied before the group's writes
//! 4  count, then each: 8 table                        tables whose past was closed by request
//! 4  count, then each: 8 table, 4 length, schema of   columns added, before loads and writes;
//!    the column, 8 length, section with one row
//!
//! load
//! 8  table
//! 8  when its last row arrived, one that only deletes too
//! 8  id of the first row; the others follow
//! 8  length of the section: 4 count of batches, then each: batch         the rows
//! 8  count, then 8 each                               when each row begins; never falls
//! 8  count, then 8 id each                            the rows that the load ended, and when:
//!    then 8 each                                      rows of the load itself and of earlier ones
//! 8  length of the section: 4 count of batches,       the rows of earlier loads among them, in
//!    then each: batch                                 order of their ids
//! ```
//!
//! A group that has none of it is written without this part, as a record of kind 1.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::ipc::convert::try_schema_from_flatbuffer_bytes;

use super::group::{EncodedRows, Group, encode_schema, put_count, put_section, put_u64, section};
use super::rows::{Reader, RowsBuilder};
use crate::store::AddedColumn;
use crate::time::{CollectionId, RowId};

const VERSION: u8 = 3;

/// Rows that came with times of their own.
#[derive(Clone, Debug, Default)]
pub struct GroupLoad {
    pub table: CollectionId,
    /// When its last row arrived.
    pub until: u64,
    pub first: RowId,
    pub rows: Vec<RecordBatch>,
    /// When each row begins; never falls.
    pub begins: Vec<u64>,
    /// Which rows ended, and when each.
    pub ended: Vec<u64>,
    pub ends: Vec<u64>,
    /// Those of earlier loads, in order of their ids.
    pub gone: Vec<RecordBatch>,
}

/// A load read back.
#[derive(Clone, Debug)]
pub struct ReplayLoad<'a> {
    pub table: CollectionId,
    pub until: u64,
    pub first: RowId,
    pub rows: EncodedRows<'a>,
    pub begins: Times<'a>,
    pub ended: Times<'a>,
    pub ends: Times<'a>,
    pub gone: EncodedRows<'a>,
}

/// Numbers of eight bytes as they stand in the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times<'a>(&'a [u8]);

impl<'a> Times<'a> {
    pub fn count(&self) -> usize {
        self.0.len() / 8
    }

    pub fn iter(&self) -> impl Iterator<Item = u64> + 'a {
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        self.0.chunks_exact(8).map(number)
    }

    fn read(reader: &mut Reader<'a>, count: usize) -> Result<Self, String> {
        Ok(Times(reader.bytes(count.checked_mul(8).ok_or("too many rows")?)?))
    }
}

/// The second part read back.
#[derive(Clone, Debug, Default)]
pub struct Extension<'a> {
    pub retentions: Vec<(CollectionId, Option<Duration>)>,
    pub ttls: Vec<(CollectionId, Duration)>,
    pub loads: Vec<ReplayLoad<'a>>,
    pub closes: Vec<CollectionId>,
    pub added: Vec<AddedColumn>,
}

/// Appends the second part of a group's payload; says whether there is one.
pub fn encode(group: &Group, bytes: &mut Vec<u8>) -> bool {
    let made = group.creates.iter().filter(|table| table.retention.is_some());
    let made = made.map(|table| (table.id, table.retention));
    let retentions: Vec<_> = made.chain(group.retentions.iter().copied()).collect();
    let ttls = group.creates.iter().filter_map(|table| Some((table.id, table.ttl?)));
    let ttls: Vec<(CollectionId, Duration)> = ttls.collect();
    let nothing_loaded = group.loads.is_empty() && group.closes.is_empty();
    let nothing_made = retentions.is_empty() && ttls.is_empty() && group.added.is_empty();
    if nothing_made && nothing_loaded {
        return false;
    }
    bytes.push(VERSION);
    put_count(bytes, retentions.len());
    for (table, retention) in retentions {
        put_u64(bytes, table.0);
        put_u64(bytes, retention.map_or(u64::MAX, micros));
    }
    put_count(bytes, ttls.len());
    for (table, ttl) in ttls {
        put_u64(bytes, table.0);
        put_u64(bytes, micros(ttl));
    }
    put_count(bytes, group.loads.len());
    for load in &group.loads {
        put_u64(bytes, load.table.0);
        put_u64(bytes, load.until);
        put_u64(bytes, load.first.0);
        put_section(bytes, &load.rows);
        put_u64(bytes, load.begins.len() as u64);
        put_all(bytes, &load.begins);
        put_u64(bytes, load.ended.len() as u64);
        put_all(bytes, &load.ended);
        put_all(bytes, &load.ends);
        put_section(bytes, &load.gone);
    }
    put_count(bytes, group.closes.len());
    group.closes.iter().for_each(|table| put_u64(bytes, table.0));
    put_count(bytes, group.added.len());
    group.added.iter().for_each(|column| put_column(bytes, column));
    true
}

/// Reads it.
pub fn decode<'a>(reader: &mut Reader<'a>) -> Result<Extension<'a>, String> {
    let version = reader.bytes(1)?[0];
    if version != VERSION {
        return Err(format!("a group has an extension of version {version}"));
    }
    let retentions = reader.many(|reader| {
        let (table, micros) = (CollectionId(reader.u64()?), reader.u64()?);
        Ok((table, (micros != u64::MAX).then(|| Duration::from_micros(micros))))
    })?;
    let ttls = reader
        .many(|reader| Ok((CollectionId(reader.u64()?), Duration::from_micros(reader.u64()?))))?;
    let loads = reader.many(decode_load)?;
    let closes = reader.many(|reader| Ok(CollectionId(reader.u64()?)))?;
    let added = reader.many(decode_column)?;
    Ok(Extension { retentions, ttls, loads, closes, added })
}

fn put_column(bytes: &mut Vec<u8>, column: &AddedColumn) {
    put_u64(bytes, column.table.0);
    let schema = Arc::new(Schema::new(vec![Arc::clone(&column.field)]));
    let encoded = encode_schema(&schema);
    put_count(bytes, encoded.len());
    bytes.extend(encoded);
    let row = RecordBatch::try_new(schema, vec![Arc::clone(&column.default)]);
    put_section(bytes, &[row.expect("the default is of the column's type")]);
}

fn decode_column(reader: &mut Reader<'_>) -> Result<AddedColumn, String> {
    let table = CollectionId(reader.u64()?);
    let length = reader.count()?;
    // copied, since a flatbuffer wants to be aligned
    let schema = reader.bytes(length)?.to_vec();
    let schema = try_schema_from_flatbuffer_bytes(&schema);
    let schema = Arc::new(schema.map_err(|error| error.to_string())?);
    let mut builder = RowsBuilder::new(&schema)?;
    let rows = section(reader)?.read_next(&mut builder)?;
    let (Some(1), [field]) = (rows, schema.fields().as_ref()) else {
        return Err("an added column has one default".to_owned());
    };
    let default = Arc::clone(builder.finish()?.column(0));
    Ok(AddedColumn { table, field: Arc::clone(field), default })
}

fn decode_load<'a>(reader: &mut Reader<'a>) -> Result<ReplayLoad<'a>, String> {
    let count =
        |reader: &mut Reader<'a>| usize::try_from(reader.u64()?).map_err(|error| error.to_string());
    let (table, until) = (CollectionId(reader.u64()?), reader.u64()?);
    let first = RowId(reader.u64()?);
    let rows = section(reader)?;
    let begun = count(reader)?;
    let begins = Times::read(reader, begun)?;
    let over = count(reader)?;
    let (ended, ends) = (Times::read(reader, over)?, Times::read(reader, over)?);
    let gone = section(reader)?;
    Ok(ReplayLoad { table, until, first, rows, begins, ended, ends, gone })
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn put_all(bytes: &mut Vec<u8>, numbers: &[u64]) {
    bytes.reserve(8 * numbers.len());
    numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
}
