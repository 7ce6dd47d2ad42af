//! A closed segment of the log as the files that it is sealed in.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray, UInt64Array,
};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, Encoding, ZstdLevel};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::metadata::{KeyValue, SortingColumn};
use datafusion::parquet::file::properties::WriterProperties;

use super::columns::{stored, stored_field};
use super::{SealedError, SealedFile, SealedSegment, SealedTable, VERSION};
use crate::log::{
    EncodedRows, Group, GroupLoad, Record, Replay, ReplayGroup, ReplayLoad, ReplayWrite,
    RowsBuilder, segment,
};
use crate::time::CollectionId;

/// The columns of the tables that there are.
pub type Schemas = HashMap<CollectionId, SchemaRef>;

/// Changes written at once.
const PIECE_ROWS: usize = 64 * 1024;
/// Rows that are gathered into one batch at most, in bytes: offsets of four bytes must not
/// overflow.
const BATCH_BYTES_MAX: usize = 1 << 30;
const ZSTD_LEVEL: i32 = 3;

/// A segment ready to be put where sealed ones are.
#[derive(Debug)]
pub struct Sealed {
    pub segment: SealedSegment,
    pub files: Vec<(SealedFile, Bytes)>,
    /// As they are after it.
    pub schemas: Schemas,
    /// Tables that were dropped in it: nobody reads what became of their rows.
    pub dropped: Vec<CollectionId>,
}

/// Reads the file of a closed segment, which `before` bytes come before and which begins with the
/// tables of `schemas`.
pub fn seal(
    number: u64,
    before: u64,
    bytes: &[u8],
    schemas: Schemas,
) -> Result<Sealed, SealedError> {
    let file = segment::name(number);
    let salt = segment::read_header(bytes, number, before, &file)?;
    let mut sealing = Sealing { schemas, ..Sealing::default() };
    segment::replay(bytes, salt, &file, &mut |record| sealing.add(record))?;
    let ddl = Bytes::from(sealing.ddl(number));
    let stem = format!("{number:016}-{salt:016x}");
    let ddl_file = SealedFile::of(format!("ddl/{stem}.log"), &ddl);
    let mut files = vec![(ddl_file.clone(), ddl)];
    let mut tables = vec![];
    for ((table, part), changes) in sealing.parts {
        if changes.list.is_empty() || sealing.dropped.contains(&table) {
            continue;
        }
        let suffix = if part == 0 { String::new() } else { format!("-{part}") };
        let path = format!("tables/{table}/{stem}{suffix}.parquet");
        let rows = changes.list.len() as u64;
        let written = changes.finish(table);
        let bytes =
            written.map_err(|reason| SealedError::Unwritable { file: path.clone(), reason });
        let bytes = Bytes::from(bytes?);
        let file = SealedFile::of(path, &bytes);
        tables.push(SealedTable { table, part, rows, file: file.clone() });
        files.push((file, bytes));
    }
    let log_bytes = bytes.len() as u64;
    let segment = SealedSegment { number, log_bytes, salt, ddl: ddl_file, tables };
    Ok(Sealed { segment, files, schemas: sealing.schemas, dropped: sealing.dropped })
}

#[derive(Default)]
struct Sealing {
    schemas: Schemas,
    /// By table and how many columns were added to it in the segment before.
    parts: BTreeMap<(CollectionId, u32), TableChanges>,
    part: HashMap<CollectionId, u32>,
    dropped: Vec<CollectionId>,
    /// What is left of the records without the rows.
    records: Vec<Record>,
}

impl Sealing {
    fn add(&mut self, record: Replay<'_>) -> Result<(), String> {
        match record {
            Replay::Group(group) => self.add_group(*group),
            Replay::Reserve(until) => {
                self.records.pop_if(|record| matches!(record, Record::Reserve(_)));
                self.records.push(Record::Reserve(until));
                Ok(())
            }
        }
    }

    fn add_group(&mut self, group: ReplayGroup<'_>) -> Result<(), String> {
        let without_rows = without_rows(&group);
        // Of what says only how late it is the last counts.
        while self.records.pop_if(|record| is_plain(record)).is_some() {}
        self.records.push(Record::Group(without_rows));
        for table in group.creates {
            self.schemas.insert(table.id, table.schema);
        }
        for column in &group.extension.added {
            let schema = self.schemas.get_mut(&column.table);
            let schema = schema.ok_or_else(|| format!("there is no table {}", column.table))?;
            *schema = column.schema(schema);
            *self.part.entry(column.table).or_default() += 1;
        }
        for load in group.extension.loads {
            self.changes_of(load.table)?.load(load)?;
        }
        for write in group.writes {
            self.changes_of(write.table)?.write(group.time.0, write)?;
        }
        for id in group.drops {
            self.schemas.remove(&id);
            self.dropped.push(id);
        }
        Ok(())
    }

    fn changes_of(&mut self, table: CollectionId) -> Result<&mut TableChanges, String> {
        let schema =
            self.schemas.get(&table).ok_or_else(|| format!("there is no table {table}"))?;
        let part = self.part.get(&table).copied().unwrap_or(0);
        match self.parts.entry((table, part)) {
            std::collections::btree_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
            std::collections::btree_map::Entry::Vacant(entry) => {
                Ok(entry.insert(TableChanges::new(schema)?))
            }
        }
    }

    fn ddl(&mut self, number: u64) -> Vec<u8> {
        let (mut bytes, salt) = segment::header(number, 0);
        for record in &self.records {
            bytes.extend(segment::encode(record, salt, bytes.len() as u64));
        }
        bytes
    }
}

/// Whether a record says nothing but how late it is.
fn is_plain(record: &Record) -> bool {
    let Record::Group(group) = record else { return true };
    let Group { ddl, creates, writes, drops, loads, closes, .. } = group;
    let Group { retentions, ttls, added, keys, sources, advances, .. } = group;
    ddl.is_empty()
        && creates.is_empty()
        && writes.is_empty()
        && drops.is_empty()
        && retentions.is_empty()
        && loads.is_empty()
        && closes.is_empty()
        && added.is_empty()
        && sources.is_empty()
        && advances.is_empty()
        && ttls.is_empty()
        && keys.is_empty()
}

fn without_rows(group: &ReplayGroup<'_>) -> Group {
    let extension = &group.extension;
    let load = |load: &ReplayLoad<'_>| {
        let (table, until, first) = (load.table, load.until, load.first);
        GroupLoad { table, until, first, ..GroupLoad::default() }
    };
    Group {
        time: group.time,
        reserved: group.reserved,
        ddl: group.ddl.iter().map(|record| record.to_vec()).collect(),
        creates: group.creates.clone(),
        writes: vec![],
        drops: group.drops.clone(),
        retentions: extension.retentions.clone(),
        ttls: extension.ttls.clone(),
        loads: extension.loads.iter().map(load).collect(),
        closes: extension.closes.clone(),
        added: extension.added.clone(),
        sources: extension.sources.clone(),
        advances: extension.advances.clone(),
        keys: extension.keys.clone(),
    }
}

/// What became of the rows of a table.
struct TableChanges {
    schema: SchemaRef,
    list: Vec<Change>,
    /// The rows, in the order in which the log has them.
    batches: Vec<RecordBatch>,
    rows: RowsBuilder,
    /// Whether there were loads: their times overlap.
    loaded: bool,
}

#[derive(Clone, Copy)]
struct Change {
    time: u64,
    diff: i64,
    id: u64,
    batch: u32,
    row: u32,
}

impl Change {
    /// Of the row at a place: of which batch, and which of it.
    fn of((batch, row): (u32, u32), time: u64, diff: i64, id: u64) -> Change {
        Change { time, diff, id, batch, row }
    }
}

impl TableChanges {
    fn new(schema: &SchemaRef) -> Result<TableChanges, String> {
        let (schema, rows) = (Arc::clone(schema), RowsBuilder::new(schema)?);
        Ok(TableChanges { schema, list: vec![], batches: vec![], rows, loaded: false })
    }

    fn write(&mut self, time: u64, write: ReplayWrite<'_>) -> Result<(), String> {
        let inserted = self.read(write.inserted)?;
        let came = inserted.zip(write.first.0..).map(|(place, id)| Change::of(place, time, 1, id));
        self.list.extend(came);
        let deleted = self.read(write.deleted)?;
        if deleted.len() != write.deleted_ids.len() {
            return Err("there is not an id for each deleted row".to_owned());
        }
        let ids = write.deleted_ids.iter().map(|id| id.0);
        self.list.extend(deleted.zip(ids).map(|(place, id)| Change::of(place, time, -1, id)));
        Ok(())
    }

    fn load(&mut self, load: ReplayLoad<'_>) -> Result<(), String> {
        self.loaded = true;
        let (first, own) = (load.first.0, self.list.len());
        let rows = self.read(load.rows)?;
        if rows.len() != load.begins.count() {
            return Err("there is not a time for each row".to_owned());
        }
        let rows = rows.zip(first..).zip(load.begins.iter());
        self.list.extend(rows.map(|((place, id), time)| Change::of(place, time, 1, id)));
        let end = self.list.len();
        let mut before: Vec<(u64, u64)> = vec![];
        for (id, time) in load.ended.iter().zip(load.ends.iter()) {
            match id.checked_sub(first).map(|place| own + place as usize) {
                Some(place) if place < end => {
                    self.list.push(Change { time, diff: -1, ..self.list[place] });
                }
                Some(_) => return Err(format!("row {id} is replaced and was not there")),
                None => before.push((id, time)),
            }
        }
        before.sort_unstable();
        let gone = self.read(load.gone)?;
        if gone.len() != before.len() {
            return Err("not every row that a load ended is there".to_owned());
        }
        self.list
            .extend(gone.zip(before).map(|(place, (id, time))| Change::of(place, time, -1, id)));
        Ok(())
    }

    /// Reads rows; returns where they are.
    fn read(
        &mut self,
        mut rows: EncodedRows<'_>,
    ) -> Result<impl ExactSizeIterator<Item = (u32, u32)> + use<>, String> {
        if self.rows.rows() > 0 && self.rows.bytes() + rows.bytes() > BATCH_BYTES_MAX {
            self.batches.push(self.rows.finish()?);
        }
        let (batch, from) = (self.batches.len() as u32, self.rows.rows());
        while rows.read_next(&mut self.rows)?.is_some() {}
        let index = |row| u32::try_from(row).map_err(|_| "too many rows".to_owned());
        let (from, to) = (index(from)?, index(self.rows.rows())?);
        Ok((from..to).map(move |row| (batch, row)))
    }

    fn finish(mut self, table: CollectionId) -> Result<Vec<u8>, String> {
        self.batches.push(self.rows.finish()?);
        if self.loaded {
            self.list.sort_by_key(|change| change.time);
        }
        let schema = file_schema(&self.schema);
        let properties = properties(table)?;
        let failed = |error: ParquetError| error.to_string();
        let mut writer =
            ArrowWriter::try_new(vec![], Arc::clone(&schema), Some(properties)).map_err(failed)?;
        for piece in self.list.chunks(PIECE_ROWS) {
            writer.write(&self.piece(piece, &schema)?).map_err(failed)?;
        }
        writer.into_inner().map_err(failed)
    }

    fn piece(&self, piece: &[Change], schema: &SchemaRef) -> Result<RecordBatch, String> {
        let times = piece.iter().map(|change| i64::try_from(change.time));
        let times = times.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        let times = TimestampMicrosecondArray::from(times).with_timezone("UTC");
        let diffs: Int64Array = piece.iter().map(|change| change.diff).collect();
        let ids: UInt64Array = piece.iter().map(|change| change.id).collect();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(times), Arc::new(diffs), Arc::new(ids)];
        let places: Vec<(usize, usize)> =
            piece.iter().map(|change| (change.batch as usize, change.row as usize)).collect();
        let run = (!self.loaded).then(|| run(&places)).flatten();
        for column in 0..self.schema.fields().len() {
            let rows = match run {
                Some((batch, from)) => self.batches[batch].column(column).slice(from, piece.len()),
                None => {
                    let parts: Vec<&dyn Array> =
                        self.batches.iter().map(|batch| batch.column(column).as_ref()).collect();
                    interleave(&parts, &places).map_err(|error| error.to_string())?
                }
            };
            columns.push(stored(&rows));
        }
        RecordBatch::try_new(Arc::clone(schema), columns).map_err(|error| error.to_string())
    }
}

/// Where places begin that follow one another in one batch.
fn run(places: &[(usize, usize)]) -> Option<(usize, usize)> {
    let (first, last) = (places.first()?, places.last()?);
    (first.0 == last.0 && last.1 - first.1 + 1 == places.len()).then_some(*first)
}

/// The columns of a table's files.
fn file_schema(table: &Schema) -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let ours: [FieldRef; 3] = [
        Arc::new(Field::new("_time", time, false)),
        Arc::new(Field::new("_diff", DataType::Int64, false)),
        Arc::new(Field::new("_row", DataType::UInt64, false)),
    ];
    let theirs = table.fields().iter().map(stored_field);
    Arc::new(Schema::new(ours.into_iter().chain(theirs).collect::<Vec<_>>()))
}

fn properties(table: CollectionId) -> Result<WriterProperties, String> {
    let level = ZstdLevel::try_new(ZSTD_LEVEL).map_err(|error| error.to_string())?;
    let says = vec![
        KeyValue::new("tidemark.format".to_owned(), VERSION.to_string()),
        KeyValue::new("tidemark.table".to_owned(), table.to_string()),
    ];
    let by_time = SortingColumn { column_idx: 0, descending: false, nulls_first: false };
    let builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_key_value_metadata(Some(says))
        .set_sorting_columns(Some(vec![by_time]));
    let rising = ["_time", "_row"].into_iter().fold(builder, |builder, column| {
        builder
            .set_column_dictionary_enabled(column.into(), false)
            .set_column_encoding(column.into(), Encoding::DELTA_BINARY_PACKED)
    });
    Ok(rising.build())
}
