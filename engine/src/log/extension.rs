//! What a group of commits did beside changing the present: the second part of a record's payload.
//!
//! ```text
//! 1  version: 5 with sources, 4 if keys are added, else 3
//! 4  count, then each: 8 table, 8 retention in µs     tables made or altered; MAX: for ever
//! 4  count, then each: 8 table, 8 ttl in µs           tables made or altered; MAX: rows stay
//! 4  count, then each: load                           applied before the group's writes
//! 4  count, then each: 8 table                        tables whose past was closed by request
//! 4  count, then each: 8 table, 4 length, schema of   columns added, before loads and writes;
//!    the column, 8 length, section with one row
//! 4  count, then each: 8 table, 4 count, then each:   keys added, after the columns; from
//!    4 index of a column                              version 4 on
//! 4  count, then each: source                         sources made; version 5 only
//! 4  count, then each: 8 source, 8 offset             how far sources have come; likewise
//!
//! source
//! 8  source
//! 1  1 if the log keeps its rows, else 0
//! text                                                the connector; a text is 4 length, bytes
//! 4  count, then each: text, text                     its options, by name and value
//! 4  count, then each: 8 table, 4 place               its relations, each by its place outside
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
use crate::commit::SourceDef;
use crate::store::{AddedColumn, AddedKey};
use crate::time::{CollectionId, RowId};

const VERSION: u8 = 3;
/// With added keys.
const VERSION_KEYED: u8 = 4;
/// With sources too.
const VERSION_SOURCES: u8 = 5;

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
    pub ttls: Vec<(CollectionId, Option<Duration>)>,
    pub loads: Vec<ReplayLoad<'a>>,
    pub closes: Vec<CollectionId>,
    pub added: Vec<AddedColumn>,
    pub sources: Vec<SourceDef>,
    pub advances: Vec<(CollectionId, u64)>,
    pub keys: Vec<AddedKey>,
}

/// Appends the second part of a group's payload; says whether there is one.
pub fn encode(group: &Group, bytes: &mut Vec<u8>) -> bool {
    let made = group.creates.iter().filter(|table| table.retention.is_some());
    let made = made.map(|table| (table.id, table.retention));
    let retentions: Vec<_> = made.chain(group.retentions.iter().copied()).collect();
    let made = group.creates.iter().filter(|table| table.ttl.is_some());
    let made = made.map(|table| (table.id, table.ttl));
    let ttls: Vec<_> = made.chain(group.ttls.iter().copied()).collect();
    let nothing_loaded = group.loads.is_empty() && group.closes.is_empty();
    let nothing_added = group.added.is_empty() && group.keys.is_empty();
    let no_sources = group.sources.is_empty() && group.advances.is_empty();
    let nothing_made = retentions.is_empty() && ttls.is_empty() && nothing_added;
    if nothing_made && nothing_loaded && no_sources {
        return false;
    }
    let version = match (no_sources, group.keys.is_empty()) {
        (false, _) => VERSION_SOURCES,
        (true, false) => VERSION_KEYED,
        (true, true) => VERSION,
    };
    bytes.push(version);
    put_lengths(bytes, &retentions);
    put_lengths(bytes, &ttls);
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
    if version >= VERSION_KEYED {
        put_count(bytes, group.keys.len());
        for key in &group.keys {
            put_u64(bytes, key.table.0);
            put_count(bytes, key.columns.len());
            key.columns.iter().for_each(|&column| put_count(bytes, column));
        }
    }
    if version >= VERSION_SOURCES {
        put_count(bytes, group.sources.len());
        group.sources.iter().for_each(|source| put_source(bytes, source));
        put_count(bytes, group.advances.len());
        for (source, offset) in &group.advances {
            put_u64(bytes, source.0);
            put_u64(bytes, *offset);
        }
    }
    true
}

/// Reads it.
pub fn decode<'a>(reader: &mut Reader<'a>) -> Result<Extension<'a>, String> {
    let version = reader.bytes(1)?[0];
    if !(VERSION..=VERSION_SOURCES).contains(&version) {
        return Err(format!("a group has an extension of version {version}"));
    }
    let retentions = reader.many(decode_length)?;
    let ttls = reader.many(decode_length)?;
    let loads = reader.many(decode_load)?;
    let closes = reader.many(|reader| Ok(CollectionId(reader.u64()?)))?;
    let added = reader.many(decode_column)?;
    let keys = match version >= VERSION_KEYED {
        true => reader.many(decode_key)?,
        false => vec![],
    };
    let (mut sources, mut advances) = (vec![], vec![]);
    if version >= VERSION_SOURCES {
        sources = reader.many(decode_source)?;
        let advance = |reader: &mut Reader<'a>| Ok((CollectionId(reader.u64()?), reader.u64()?));
        advances = reader.many(advance)?;
    }
    Ok(Extension { retentions, ttls, loads, closes, added, keys, sources, advances })
}

fn put_source(bytes: &mut Vec<u8>, source: &SourceDef) {
    put_u64(bytes, source.id.0);
    bytes.push(u8::from(source.keeps_rows));
    put_text(bytes, &source.connector);
    put_count(bytes, source.options.len());
    for (name, value) in &source.options {
        put_text(bytes, name);
        put_text(bytes, value);
    }
    put_count(bytes, source.relations.len());
    for (table, place) in &source.relations {
        put_u64(bytes, table.0);
        put_count(bytes, *place);
    }
}

fn decode_source(reader: &mut Reader<'_>) -> Result<SourceDef, String> {
    let id = CollectionId(reader.u64()?);
    let keeps_rows = reader.bytes(1)?[0] == 1;
    let connector = text(reader)?;
    let options = reader.many(|reader| Ok((text(reader)?, text(reader)?)))?;
    let options = options.into_iter().collect();
    let relations = reader.many(|reader| Ok((CollectionId(reader.u64()?), reader.count()?)))?;
    Ok(SourceDef { id, connector, options, relations, keeps_rows })
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_count(bytes, text.len());
    bytes.extend(text.as_bytes());
}

fn text(reader: &mut Reader<'_>) -> Result<String, String> {
    let length = reader.count()?;
    String::from_utf8(reader.bytes(length)?.to_vec()).map_err(|error| error.to_string())
}

fn put_lengths(bytes: &mut Vec<u8>, lengths: &[(CollectionId, Option<Duration>)]) {
    put_count(bytes, lengths.len());
    for (table, length) in lengths {
        put_u64(bytes, table.0);
        put_u64(bytes, length.map_or(u64::MAX, micros));
    }
}

fn decode_length(reader: &mut Reader<'_>) -> Result<(CollectionId, Option<Duration>), String> {
    let (table, micros) = (CollectionId(reader.u64()?), reader.u64()?);
    Ok((table, (micros != u64::MAX).then(|| Duration::from_micros(micros))))
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

fn decode_key(reader: &mut Reader<'_>) -> Result<AddedKey, String> {
    let table = CollectionId(reader.u64()?);
    let columns = reader.many(|reader| reader.count())?;
    Ok(AddedKey { table, columns })
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
