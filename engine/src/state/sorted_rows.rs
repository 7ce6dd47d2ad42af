//! Sorted rows: the rows of each partition, in order.
//!
//! Law: at every moment a partition's tree ([`OrderTree`]) holds its rows in the order of the sort
//! columns, those that are equal in all of them in the order of their contents, each with its
//! multiplicity; the first row of each set of peers is marked. Rows are known by dense ids, which
//! stay theirs, readable, until [`SortedRows::release`], also after they have left the tree.
//!
//! A row is held once, as bytes `peer columns | other sort columns | row | trailer`, so that one
//! comparison of bytes is the order. Floats sort with −0 as 0 and one NaN, the greatest (S8); the
//! row comes back bit for bit. The trailer is of a fixed width, made by the operator from the row.
//!
//! What it does not promise: a row that is retracted more often than it came counts as absent, and
//! the excess is given back to be reported.

use std::cmp::Ordering;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};

use super::key_index::{KeyCodec, KeyIndex, hash_bytes, normalize_floats, types_of};
use super::order_tree::{NONE, OrderTree, Place};
use crate::aggregate::columns_at;
use crate::operator::{StateSize, StepContext};
use crate::plan::SortKey;
use crate::time::Timestamp;
use crate::updates::{Updates, batch_of};

/// See the module.
pub(crate) struct SortedRows {
    schema: SchemaRef,
    partition_columns: Vec<usize>,
    partition_codec: KeyCodec,
    partitions: KeyIndex,
    /// The root of each partition's tree.
    roots: Vec<u32>,
    peers: SortColumns,
    rest: SortColumns,
    contents: SortColumns,
    trailer_bytes: usize,
    rows: KeyIndex,
    records: Vec<Record>,
    pub tree: OrderTree,
    touched_rows: Vec<u32>,
    touched_partitions: Vec<u32>,
}

/// What is known of a row beside its bytes.
#[derive(Clone, Copy, Default)]
struct Record {
    /// Insertions less retractions; the tree holds as many units while it is positive.
    count: i64,
    hash: u64,
    peer_bytes: u32,
    sort_bytes: u32,
}

/// The net change of one row at one time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub time: u64,
    pub partition: u32,
    pub row: u32,
    /// By how many units; not 0.
    pub units: i64,
    /// A row of the batch that is this one.
    pub input_row: u32,
}

impl Change {
    /// Whether another change is of the same partition and time.
    pub fn is_beside(&self, other: &Change) -> bool {
        (self.time, self.partition) == (other.time, other.partition)
    }
}

impl SortedRows {
    /// How many rows there are, and what they take in memory with their places in the order.
    pub fn size(&self) -> StateSize {
        let rows = self.rows.size();
        let keys = StateSize { rows: 0, ..self.partitions.size() };
        let records = self.records.len() * size_of::<Record>() + self.tree.bytes();
        rows + keys + StateSize { rows: 0, bytes: records as u64 }
    }

    /// Rows that are equal in `peers` are peers; `rest` orders them.
    pub fn new(
        schema: &SchemaRef,
        partition_columns: &[usize],
        peers: &[SortKey],
        rest: &[SortKey],
        trailer_bytes: usize,
    ) -> Self {
        let contents: Vec<SortKey> = (0..schema.fields().len()).map(SortKey::ascending).collect();
        SortedRows {
            schema: schema.clone(),
            partition_columns: partition_columns.to_vec(),
            partition_codec: KeyCodec::for_keys(types_of(schema, partition_columns)),
            partitions: KeyIndex::default(),
            roots: Vec::new(),
            peers: SortColumns::new(schema, peers, true),
            rest: SortColumns::new(schema, rest, true),
            contents: SortColumns::new(schema, &contents, false),
            trailer_bytes,
            rows: KeyIndex::default(),
            records: Vec::new(),
            tree: OrderTree::default(),
            touched_rows: Vec::new(),
            touched_partitions: Vec::new(),
        }
    }

    /// The net changes of a batch in order of time, of one time by partition, of one partition in
    /// order. They are not yet applied. `trailers` are those of the batch's rows, side by side.
    /// Rows that are retracted too often are reported.
    pub fn changes(
        &mut self,
        context: &StepContext<'_>,
        operator: &'static str,
        input: &Updates,
        trailers: &[u8],
    ) -> Vec<Change> {
        let mut changes = self.identify(input, trailers);
        let rows = &self.rows;
        changes.sort_unstable_by(|a, b| {
            let of_rows = || match a.row == b.row {
                true => Ordering::Equal,
                false => rows.bytes(a.row).cmp(rows.bytes(b.row)),
            };
            (a.time, a.partition).cmp(&(b.time, b.partition)).then_with(of_rows)
        });
        changes.dedup_by(|later, first| {
            let same = (later.time, later.row) == (first.time, first.row);
            first.units += if same { later.units } else { 0 };
            same
        });
        for change in &mut changes {
            let count = &mut self.records[change.row as usize].count;
            let (before, after) = (*count, *count + change.units);
            *count = after;
            change.units = after.max(0) - before.max(0);
            let excess = after.min(0) - before.min(0);
            if excess != 0 {
                let row = input.data.slice(change.input_row as usize, 1);
                let message = "retracted more often than inserted";
                let (view, time) = (context.view, Timestamp(change.time));
                context.quarantine.record(view, operator, &row, message, time, excess);
            }
        }
        changes.retain(|change| change.units != 0);
        changes
    }

    /// The updates one by one, with the ids of their rows.
    fn identify(&mut self, input: &Updates, trailers: &[u8]) -> Vec<Change> {
        let keys = columns_at(&input.data, &self.partition_columns);
        let keys = self.partition_codec.encode(&keys, input.len());
        let peers = self.peers.encode(&input.data);
        let rest = self.rest.encode(&input.data);
        let contents = self.contents.encode(&input.data);
        let mut bytes: Vec<u8> = Vec::new();
        let mut changes = Vec::with_capacity(input.len());
        for i in 0..input.len() {
            let (partition, _) = self.partitions.get_or_insert(keys.key(i));
            bytes.clear();
            bytes.extend_from_slice(row_bytes(&peers, i));
            let peer_bytes = bytes.len() as u32;
            bytes.extend_from_slice(row_bytes(&rest, i));
            let sort_bytes = bytes.len() as u32;
            bytes.extend_from_slice(row_bytes(&contents, i));
            bytes.extend_from_slice(&trailers[i * self.trailer_bytes..][..self.trailer_bytes]);
            let hash = hash_bytes(&bytes);
            let (row, new) = self.rows.get_or_insert((hash, &bytes));
            if new {
                let limit = self.rows.id_limit();
                self.records.resize(limit.max(self.records.len()), Record::default());
                self.records[row as usize] = Record { count: 0, hash, peer_bytes, sort_bytes };
            }
            self.touched_rows.push(row);
            self.touched_partitions.push(partition);
            let (time, units) = (input.times[i], input.diffs[i]);
            changes.push(Change { time, partition, row, units, input_row: i as u32 });
        }
        self.roots.resize(self.partitions.id_limit(), NONE);
        changes
    }

    /// Changes the tree, `times` 1 to apply and −1 to undo.
    pub fn apply(&mut self, change: &Change, times: i64) {
        let (row, rows, records) = (change.row, &self.rows, &self.records);
        let root = &mut self.roots[change.partition as usize];
        let peer = |node: u32| &rows.bytes(node)[..records[node as usize].peer_bytes as usize];
        let before = self.tree.units(row);
        let after = before + change.units * times;
        if before == 0 {
            let hash = records[row as usize].hash;
            let compare = |node: u32| rows.bytes(node).cmp(rows.bytes(row));
            self.tree.insert(root, row, hash, after, compare);
            let (previous, next) = (self.tree.previous(row), self.tree.next(row));
            if previous == NONE || peer(previous) != peer(row) {
                self.tree.set_mark(row, true);
                if next != NONE && peer(next) == peer(row) {
                    self.tree.set_mark(next, false);
                }
            }
        } else if after == 0 {
            let next = self.tree.next(row);
            if self.tree.is_marked(row) && next != NONE && peer(next) == peer(row) {
                self.tree.set_mark(next, true);
            }
            self.tree.remove(root, row);
        } else {
            self.tree.set_units(row, after);
        }
    }

    /// Forgets the rows that are gone; gives the partitions that are.
    pub fn release(&mut self) -> Vec<u32> {
        let mut rows = std::mem::take(&mut self.touched_rows);
        rows.sort_unstable();
        rows.dedup();
        rows.retain(|&row| self.records[row as usize].count == 0);
        rows.iter().for_each(|&row| self.rows.unlink(row));
        self.rows.release(rows);
        let mut partitions = std::mem::take(&mut self.touched_partitions);
        partitions.sort_unstable();
        partitions.dedup();
        partitions.retain(|&partition| self.roots[partition as usize] == NONE);
        partitions.iter().for_each(|&partition| self.partitions.unlink(partition));
        self.partitions.release(partitions.iter().copied());
        partitions
    }

    /// One more than the largest id of a row.
    pub fn row_limit(&self) -> usize {
        self.records.len()
    }

    /// One more than the largest id of a partition.
    pub fn partition_limit(&self) -> usize {
        self.roots.len()
    }

    pub fn root(&self, partition: u32) -> u32 {
        self.roots[partition as usize]
    }

    /// The bytes that order a row.
    pub fn key(&self, row: u32) -> &[u8] {
        self.rows.bytes(row)
    }

    /// The bytes that are equal of peers.
    pub fn peer(&self, row: u32) -> &[u8] {
        &self.rows.bytes(row)[..self.records[row as usize].peer_bytes as usize]
    }

    pub fn trailer(&self, row: u32) -> &[u8] {
        let bytes = self.rows.bytes(row);
        &bytes[bytes.len() - self.trailer_bytes..]
    }

    /// Where a row is, or would be.
    pub fn place(&self, partition: u32, row: u32) -> Place {
        let key = self.key(row);
        self.tree.partition_point(self.root(partition), |node| self.key(node) < key)
    }

    /// The rows with these contents.
    pub fn decode(&self, rows: &[u32]) -> RecordBatch {
        let contents = |&row: &u32| {
            let bytes = self.rows.bytes(row);
            let start = self.records[row as usize].sort_bytes as usize;
            &bytes[start..bytes.len() - self.trailer_bytes]
        };
        if rows.is_empty() {
            return RecordBatch::new_empty(self.schema.clone());
        }
        let columns = self.contents.decode(rows.iter().map(contents));
        batch_of(self.schema.clone(), columns, rows.len())
    }
}

/// Columns in the row format, whose bytes sort as the sort keys say.
struct SortColumns {
    columns: Vec<usize>,
    /// `None` for no columns.
    converter: Option<RowConverter>,
    normalize: bool,
}

impl SortColumns {
    fn new(schema: &SchemaRef, keys: &[SortKey], normalize: bool) -> Self {
        let columns: Vec<usize> = keys.iter().map(|key| key.column).collect();
        let fields = keys.iter().map(|key| sort_field(schema.field(key.column).data_type(), key));
        let fields: Vec<SortField> = fields.collect();
        let converter = (!fields.is_empty())
            .then(|| RowConverter::new(fields).expect("every SQL type has a row format"));
        SortColumns { columns, converter, normalize }
    }

    fn encode(&self, batch: &RecordBatch) -> Option<Rows> {
        let mut columns = columns_at(batch, &self.columns);
        if self.normalize {
            columns = columns.iter().map(normalize_floats).collect();
        }
        let converter = self.converter.as_ref()?;
        Some(converter.convert_columns(&columns).expect("columns of the schema"))
    }

    fn decode<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Vec<ArrayRef> {
        let Some(converter) = &self.converter else { return vec![] };
        let parser = converter.parser();
        let rows: Vec<_> = rows.map(|bytes| parser.parse(bytes)).collect();
        converter.convert_rows(rows).expect("bytes that this converter wrote")
    }
}

/// How a column sorts.
pub(crate) fn sort_field(data_type: &DataType, key: &SortKey) -> SortField {
    let options = SortOptions { descending: key.descending, nulls_first: key.nulls_first };
    SortField::new_with_options(data_type.clone(), options)
}

fn row_bytes(rows: &Option<Rows>, row: usize) -> &[u8] {
    match rows {
        Some(rows) => rows.row(row).data(),
        None => &[],
    }
}
