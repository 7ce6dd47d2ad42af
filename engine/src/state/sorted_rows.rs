//! Sorted rows: the rows of each partition, in order.
//!
//! Law: at every moment a partition's tree ([`OrderTree`]) holds its rows in the order of the sort
//! columns, those that are equal in all of them in the order of their contents, each with its
//! multiplicity; the first row of each set of peers is marked. Rows are known by dense ids, which
//! stay theirs, readable, until [`SortedRows::release`], also after they have left the tree.
//!
//! A row is held once, as bytes `peer columns | other sort columns | what these do not tell |
//! measures | their lengths | trailer`, so that one comparison of bytes is the order. Floats sort
//! with −0 as 0 and one NaN, the greatest (S8), and stand behind once more: the row comes back bit
//! for bit. Measures and trailer are made by the operator
//! from the row ([`Extras`]); by the measures the tree finds rows beside their order.
//!
//! What it does not promise: a row that is retracted more often than it came counts as absent, and
//! the excess is given back to be reported.

use std::cmp::Ordering;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};

use super::key_index::{KeyCodec, KeyIndex, comes_back, hash_bytes, normalize_floats, types_of};
use super::order_tree::{Measures, NONE, OrderTree, Place};
use crate::aggregate::columns_at;
use crate::checkpoint::record::{Changed, Copied, Cursor, Stored, put_sized};
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
    /// The columns that do not come back from the ones before.
    contents: SortColumns,
    /// Where each column is.
    held: Vec<Held>,
    store: Store,
    pub tree: OrderTree,
    touched_rows: Vec<u32>,
    touched_partitions: Vec<u32>,
    changed_rows: Changed,
    changed_partitions: Changed,
}

/// Where a column of a row is held: among which columns, at which place.
#[derive(Clone, Copy)]
enum Held {
    Peers(usize),
    Rest(usize),
    Contents(usize),
}

/// The rows by id.
struct Store {
    measures: usize,
    trailer_bytes: usize,
    rows: KeyIndex,
    records: Vec<Record>,
}

/// What an operator adds to the rows of a batch.
#[derive(Default)]
pub(crate) struct Extras {
    /// All measures, row by row.
    pub measures: Vec<Measured>,
    /// Of a fixed width, side by side.
    pub trailers: Vec<u8>,
}

/// One measure of the rows of a batch.
pub(crate) struct Measured {
    pub bytes: Rows,
    /// Whether a row counts.
    pub counts: Vec<bool>,
}

/// The width of a measure's length.
const LENGTH_BYTES: usize = size_of::<u32>();

impl Store {
    fn bytes(&self, row: u32) -> &[u8] {
        self.rows.bytes(row)
    }

    fn peer(&self, row: u32) -> &[u8] {
        &self.rows.bytes(row)[..self.records[row as usize].peer_bytes as usize]
    }

    fn rest(&self, row: u32) -> &[u8] {
        let Record { peer_bytes, sort_bytes, .. } = self.records[row as usize];
        &self.rows.bytes(row)[peer_bytes as usize..sort_bytes as usize]
    }

    /// Where the lengths of a row's measures begin in its bytes.
    fn lengths_at(&self, bytes: &[u8]) -> usize {
        bytes.len() - self.trailer_bytes - self.measures * LENGTH_BYTES
    }

    fn length(&self, bytes: &[u8], number: usize) -> usize {
        let at = self.lengths_at(bytes) + number * LENGTH_BYTES;
        let length = bytes[at..at + LENGTH_BYTES].try_into().expect("four bytes");
        u32::from_le_bytes(length) as usize
    }

    fn contents(&self, row: u32) -> &[u8] {
        let bytes = self.bytes(row);
        let measures: usize = (0..self.measures).map(|number| self.length(bytes, number)).sum();
        let start = self.records[row as usize].sort_bytes as usize;
        &bytes[start..self.lengths_at(bytes) - measures]
    }
}

impl Measures for Store {
    fn measure(&self, number: usize, row: u32) -> &[u8] {
        let bytes = self.bytes(row);
        let behind: usize =
            (number + 1..self.measures).map(|number| self.length(bytes, number)).sum();
        let end = self.lengths_at(bytes) - behind;
        &bytes[end - self.length(bytes, number)..end]
    }
}

impl Measured {
    fn of(&self, row: usize) -> &[u8] {
        if self.counts[row] { self.bytes.row(row).data() } else { &[] }
    }
}

impl Extras {
    /// Adds what belongs to a row of the batch.
    fn push(&self, row: usize, trailer_bytes: usize, bytes: &mut Vec<u8>) {
        for measured in &self.measures {
            bytes.extend_from_slice(measured.of(row));
        }
        for measured in &self.measures {
            let length =
                u32::try_from(measured.of(row).len()).expect("a value is shorter than 4 GiB");
            bytes.extend_from_slice(&length.to_le_bytes());
        }
        bytes.extend_from_slice(&self.trailers[row * trailer_bytes..][..trailer_bytes]);
    }
}

/// What is known of a row beside its bytes.
#[derive(Clone, Copy, Default)]
struct Record {
    /// Insertions less retractions; the tree holds as many units while it is positive.
    count: i64,
    hash: u64,
    peer_bytes: u32,
    sort_bytes: u32,
    partition: u32,
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
        let rows = self.store.rows.size();
        let keys = StateSize { rows: 0, ..self.partitions.size() };
        let records = self.store.records.len() * size_of::<Record>() + self.tree.bytes();
        rows + keys + StateSize { rows: 0, bytes: records as u64 }
    }

    /// Rows that are equal in `peers` are peers; `rest` orders them. Each has so many measures, and
    /// a trailer of so many bytes.
    pub fn new(
        schema: &SchemaRef,
        partition_columns: &[usize],
        peers: &[SortKey],
        rest: &[SortKey],
        measures: usize,
        trailer_bytes: usize,
    ) -> Self {
        let (mut held, mut contents) = (Vec::new(), Vec::new());
        for (column, field) in schema.fields().iter().enumerate() {
            let among = |keys: &[SortKey]| keys.iter().position(|key| key.column == column);
            let comes_back = comes_back(field.data_type());
            held.push(match (among(peers), among(rest)) {
                (Some(place), _) if comes_back => Held::Peers(place),
                (_, Some(place)) if comes_back => Held::Rest(place),
                _ => Held::Contents(contents.len()),
            });
            if let Some(Held::Contents(_)) = held.last() {
                contents.push(SortKey::ascending(column));
            }
        }
        SortedRows {
            schema: schema.clone(),
            partition_columns: partition_columns.to_vec(),
            partition_codec: KeyCodec::for_keys(types_of(schema, partition_columns)),
            partitions: KeyIndex::default(),
            roots: Vec::new(),
            peers: SortColumns::new(schema, peers, true),
            rest: SortColumns::new(schema, rest, true),
            contents: SortColumns::new(schema, &contents, false),
            held,
            store: Store {
                measures,
                trailer_bytes,
                rows: KeyIndex::default(),
                records: Vec::new(),
            },
            tree: OrderTree::with_measures(measures),
            touched_rows: Vec::new(),
            touched_partitions: Vec::new(),
            changed_rows: Changed::default(),
            changed_partitions: Changed::default(),
        }
    }

    /// The partition of each row, new ones too: they are to be given to [`Self::changes`] with at
    /// least one of their rows.
    pub fn partitions_of(&mut self, batch: &RecordBatch) -> Vec<u32> {
        let keys = columns_at(batch, &self.partition_columns);
        let keys = self.partition_codec.encode(&keys, batch.num_rows());
        let partitions = self.partitions.get_or_insert_each(&keys, 0..batch.num_rows());
        self.roots.resize(self.partitions.id_limit(), NONE);
        partitions
    }

    /// Of each row, what `read` makes of the first bytes that order it.
    pub fn first_bytes<R: Default + Clone>(
        &self,
        batch: &RecordBatch,
        read: impl Fn(&[u8]) -> R,
    ) -> Vec<R> {
        let columns = [&self.peers, &self.rest].into_iter();
        let Some(bytes) = columns.filter_map(|columns| columns.encode_first(batch)).next() else {
            return vec![R::default(); batch.num_rows()];
        };
        bytes.iter().map(|row| read(row.data())).collect()
    }

    /// The net changes of a batch in order of time, of one time by partition, of one partition in
    /// order. They are not yet applied. `partitions` and `extras` are those of the batch's rows.
    /// Rows that are retracted too often are reported.
    pub fn changes(
        &mut self,
        context: &StepContext<'_>,
        operator: &'static str,
        input: &Updates,
        partitions: &[u32],
        extras: &Extras,
    ) -> Vec<Change> {
        let mut changes = self.identify(input, partitions, extras);
        let rows = &self.store;
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
            let count = &mut self.store.records[change.row as usize].count;
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
    fn identify(&mut self, input: &Updates, partitions: &[u32], extras: &Extras) -> Vec<Change> {
        let peers = self.peers.encode(&input.data);
        let rest = self.rest.encode(&input.data);
        let contents = self.contents.encode(&input.data);
        let mut bytes: Vec<u8> = Vec::new();
        let mut changes = Vec::with_capacity(input.len());
        for (i, &partition) in partitions.iter().enumerate() {
            bytes.clear();
            bytes.extend_from_slice(row_bytes(&peers, i));
            let peer_bytes = bytes.len() as u32;
            bytes.extend_from_slice(row_bytes(&rest, i));
            let sort_bytes = bytes.len() as u32;
            bytes.extend_from_slice(row_bytes(&contents, i));
            extras.push(i, self.store.trailer_bytes, &mut bytes);
            let hash = hash_bytes(&bytes);
            let Store { rows, records, .. } = &mut self.store;
            let (row, new) = rows.get_or_insert((hash, &bytes));
            if new {
                records.resize(rows.id_limit().max(records.len()), Record::default());
                records[row as usize] =
                    Record { count: 0, hash, peer_bytes, sort_bytes, partition };
            }
            self.changed_rows.mark(row);
            self.changed_partitions.mark(partition);
            self.touched_rows.push(row);
            self.touched_partitions.push(partition);
            let (time, units) = (input.times[i], input.diffs[i]);
            changes.push(Change { time, partition, row, units, input_row: i as u32 });
        }
        changes
    }

    /// Changes the tree, `times` 1 to apply and −1 to undo.
    pub fn apply(&mut self, change: &Change, times: i64) {
        let (row, store, tree) = (change.row, &self.store, &mut self.tree);
        let root = &mut self.roots[change.partition as usize];
        let before = tree.units(row);
        let after = before + change.units * times;
        if before == 0 {
            let hash = store.records[row as usize].hash;
            let compare = |node: u32| store.bytes(node).cmp(store.bytes(row));
            tree.insert(root, row, hash, after, compare, store);
            let (previous, next) = (tree.previous(row), tree.next(row));
            if previous == NONE || store.peer(previous) != store.peer(row) {
                tree.set_mark(row, true);
                if next != NONE && store.peer(next) == store.peer(row) {
                    tree.set_mark(next, false);
                }
            }
        } else if after == 0 {
            let next = tree.next(row);
            if tree.is_marked(row) && next != NONE && store.peer(next) == store.peer(row) {
                tree.set_mark(next, true);
            }
            tree.remove(root, row, store);
        } else {
            tree.set_units(row, after);
        }
    }

    /// Takes units of a row that nobody will ask for again out of the tree, and forgets it with the
    /// last of them.
    pub fn drop_units(&mut self, partition: u32, row: u32, units: i64) {
        let change = Change { time: 0, partition, row, units: -units, input_row: 0 };
        self.apply(&change, 1);
        self.store.records[row as usize].count -= units;
        self.touched_rows.push(row);
        self.changed_rows.mark(row);
    }

    /// Forgets the rows that are gone; gives the partitions that are.
    pub fn release(&mut self) -> Vec<u32> {
        let mut rows = std::mem::take(&mut self.touched_rows);
        rows.sort_unstable();
        rows.dedup();
        rows.retain(|&row| self.store.records[row as usize].count == 0);
        rows.iter().for_each(|&row| self.store.rows.unlink(row));
        self.store.rows.release(rows);
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
        self.store.records.len()
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
        self.store.bytes(row)
    }

    /// The bytes that are equal of peers.
    pub fn peer(&self, row: u32) -> &[u8] {
        self.store.peer(row)
    }

    pub fn trailer(&self, row: u32) -> &[u8] {
        let bytes = self.store.bytes(row);
        &bytes[bytes.len() - self.store.trailer_bytes..]
    }

    /// By what rows are measured, to ask the tree with.
    pub fn measures(&self) -> &impl Measures {
        &self.store
    }

    /// Where a row is, or would be.
    pub fn place(&self, partition: u32, row: u32) -> Place {
        let key = self.key(row);
        self.tree.partition_point(self.root(partition), |node| self.key(node) < key)
    }

    /// The rows with these contents.
    pub fn decode(&self, rows: &[u32]) -> RecordBatch {
        if rows.is_empty() {
            return RecordBatch::new_empty(self.schema.clone());
        }
        let store = &self.store;
        let peers = self.peers.decode(rows.iter().map(|&row| store.peer(row)));
        let rest = self.rest.decode(rows.iter().map(|&row| store.rest(row)));
        let contents = self.contents.decode(rows.iter().map(|&row| store.contents(row)));
        let column = |held: &Held| match *held {
            Held::Peers(place) => peers[place].clone(),
            Held::Rest(place) => rest[place].clone(),
            Held::Contents(place) => contents[place].clone(),
        };
        batch_of(self.schema.clone(), self.held.iter().map(column).collect(), rows.len())
    }
}

/// As checkpoints keep them, in two families: the partitions' keys, and the rows.
impl SortedRows {
    pub const PARTITIONS: usize = 0;
    pub const FAMILIES: usize = 2;

    pub fn changed(&mut self, family: usize) -> &mut Changed {
        match family {
            Self::PARTITIONS => &mut self.changed_partitions,
            _ => &mut self.changed_rows,
        }
    }

    pub fn id_limit(&self, family: usize) -> usize {
        match family {
            Self::PARTITIONS => self.partitions.id_limit(),
            _ => self.store.rows.id_limit(),
        }
    }

    pub fn copy(&self, family: usize, id: u32, out: &mut Vec<u8>) -> Copied {
        if family == Self::PARTITIONS {
            let Some(key) = self.partitions.linked(id) else { return Copied::Gone };
            put_sized(out, key);
            return Copied::Record;
        }
        let Some(bytes) = self.store.rows.linked(id) else { return Copied::Gone };
        let Record { count, peer_bytes, sort_bytes, partition, .. } =
            self.store.records[id as usize];
        count.put(out);
        [peer_bytes, sort_bytes, partition].put(out);
        out.extend_from_slice(bytes);
        Copied::Record
    }

    pub fn restore(&mut self, family: usize, id: u32, record: &mut Cursor<'_>) -> Option<()> {
        if family == Self::PARTITIONS {
            let key = record.sized()?;
            return self.partitions.restore(id, hash_bytes(key), key);
        }
        let count = i64::take(record)?;
        let [peer_bytes, sort_bytes, partition]: [u32; 3] = Stored::take(record)?;
        let hash = hash_bytes(record.0);
        if peer_bytes.max(sort_bytes) as usize > record.0.len() {
            return None;
        }
        let Store { rows, records, .. } = &mut self.store;
        rows.restore(id, hash, record.0)?;
        records.resize(rows.id_limit().max(records.len()), Record::default());
        records[id as usize] = Record { count, hash, peer_bytes, sort_bytes, partition };
        Some(())
    }

    pub fn restored(&mut self) -> Option<()> {
        self.partitions.restored();
        self.store.rows.restored();
        self.roots.resize(self.partitions.id_limit(), NONE);
        for row in 0..self.store.records.len() as u32 {
            let Record { count: units, partition, .. } = self.store.records[row as usize];
            if self.store.rows.linked(row).is_some() && units > 0 {
                self.partitions.linked(partition)?;
                self.apply(&Change { time: 0, partition, row, units, input_row: 0 }, 1);
            }
        }
        Some(())
    }
}

/// Columns in the row format, whose bytes sort as the sort keys say.
struct SortColumns {
    columns: Vec<usize>,
    /// `None` for no columns.
    converter: Option<RowConverter>,
    /// Of the first column alone.
    first: Option<RowConverter>,
    normalize: bool,
}

impl SortColumns {
    fn new(schema: &SchemaRef, keys: &[SortKey], normalize: bool) -> Self {
        let columns: Vec<usize> = keys.iter().map(|key| key.column).collect();
        let fields = keys.iter().map(|key| sort_field(schema.field(key.column).data_type(), key));
        let fields: Vec<SortField> = fields.collect();
        let converter = |fields: &[SortField]| {
            let converter = || RowConverter::new(fields.to_vec());
            (!fields.is_empty()).then(|| converter().expect("every SQL type has a row format"))
        };
        let first = converter(&fields[..fields.len().min(1)]);
        SortColumns { columns, converter: converter(&fields), first, normalize }
    }

    fn encode(&self, batch: &RecordBatch) -> Option<Rows> {
        self.encode_by(self.converter.as_ref()?, &self.columns, batch)
    }

    fn encode_first(&self, batch: &RecordBatch) -> Option<Rows> {
        self.encode_by(self.first.as_ref()?, &self.columns[..1], batch)
    }

    fn encode_by(
        &self,
        converter: &RowConverter,
        columns: &[usize],
        batch: &RecordBatch,
    ) -> Option<Rows> {
        let mut columns = columns_at(batch, columns);
        if self.normalize {
            columns = columns.iter().map(normalize_floats).collect();
        }
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
