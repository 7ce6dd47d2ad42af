//! Key index: key columns to dense key ids.
//!
//! Keys are held in Arrow's row format, whose bytes are equal exactly when the keys are; ids are
//! dense, so that what belongs to a key lies in plain vectors. In keys −0 is 0 and every NaN is one
//! NaN (S8). An id is unlinked first and released later, because what a step emits may still be
//! decoded from the bytes of a key that the same step removed.

mod slots;

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float32Array, Float64Array};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};
use foldhash::fast::FixedState;

use self::slots::{NONE, Slots};
use crate::operator::StateSize;

/// Seeds the hash of every key: one function for exchange and state, the same on every worker.
const HASHER: FixedState = FixedState::with_seed(0x7469_6465);

/// The hash of a key's bytes.
pub(crate) fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hasher = HASHER.build_hasher();
    hasher.write(bytes);
    hasher.finish()
}

/// The keys of a batch, encoded and hashed once.
pub(crate) struct Keys {
    /// `None` for keys of no columns, which are all equal.
    rows: Option<Rows>,
    hashes: Vec<u64>,
}

impl Keys {
    /// The hash and bytes of the key of row `row`.
    pub fn key(&self, row: usize) -> (u64, &[u8]) {
        let bytes: &[u8] = match &self.rows {
            Some(rows) => rows.row(row).data(),
            None => &[],
        };
        (self.hashes[row], bytes)
    }

    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }
}

/// Turns columns into keys and back.
pub(crate) struct KeyCodec {
    converter: RowConverter,
    columns: usize,
    normalize: bool,
}

impl KeyCodec {
    /// For grouping and joining: floats are normalized.
    pub fn for_keys(types: impl IntoIterator<Item = DataType>) -> Self {
        Self::new(types, true)
    }

    /// For whole rows, which must come back bit for bit.
    pub fn for_rows(types: impl IntoIterator<Item = DataType>) -> Self {
        Self::new(types, false)
    }

    fn new(types: impl IntoIterator<Item = DataType>, normalize: bool) -> Self {
        let fields: Vec<SortField> = types.into_iter().map(SortField::new).collect();
        let columns = fields.len();
        let converter = RowConverter::new(fields).expect("every SQL type has a row format");
        KeyCodec { converter, columns, normalize }
    }

    pub fn encode(&self, columns: &[ArrayRef], rows: usize) -> Keys {
        assert_eq!(columns.len(), self.columns);
        if columns.is_empty() {
            return Keys { rows: None, hashes: vec![hash_bytes(&[]); rows] };
        }
        let normalized: Vec<ArrayRef>;
        let columns = match self.normalize {
            true => {
                normalized = columns.iter().map(normalize_floats).collect();
                &normalized
            }
            false => columns,
        };
        let encoded =
            self.converter.convert_columns(columns).expect("columns of the codec's types");
        let hashes = encoded.iter().map(|row| hash_bytes(row.data())).collect();
        Keys { rows: Some(encoded), hashes }
    }

    pub fn decode<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Vec<ArrayRef> {
        let parser = self.converter.parser();
        let rows: Vec<_> = keys.map(|bytes| parser.parse(bytes)).collect();
        self.converter.convert_rows(rows).expect("bytes that this codec wrote")
    }
}

/// −0 as 0 and every NaN as one; other arrays as they are.
pub(crate) fn normalize_floats(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float32 => {
            let floats = array.as_any().downcast_ref::<Float32Array>().expect("float4");
            let canonical = |v: f32| if v.is_nan() { f32::NAN } else { v + 0.0 };
            Arc::new(floats.unary::<_, arrow::datatypes::Float32Type>(canonical))
        }
        DataType::Float64 => {
            let floats = array.as_any().downcast_ref::<Float64Array>().expect("float8");
            let canonical = |v: f64| if v.is_nan() { f64::NAN } else { v + 0.0 };
            Arc::new(floats.unary::<_, arrow::datatypes::Float64Type>(canonical))
        }
        _ => Arc::clone(array),
    }
}

/// The types of the columns of `schema` at `columns`.
pub(crate) fn types_of(schema: &SchemaRef, columns: &[usize]) -> Vec<DataType> {
    columns.iter().map(|&i| schema.field(i).data_type().clone()).collect()
}

/// So many rows' keys are looked for together.
const AT_ONCE: usize = 64;

/// Key bytes to dense ids.
#[derive(Default)]
pub(crate) struct KeyIndex {
    slots: Slots,
    entries: Vec<Entry>,
    free: Vec<u32>,
    bytes: Vec<u8>,
    /// Bytes of released keys, still in `bytes`.
    garbage: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    hash: u64,
    start: usize,
    length: u32,
    linked: bool,
}

impl KeyIndex {
    /// One more than the largest id given out.
    pub fn id_limit(&self) -> usize {
        self.entries.len()
    }

    /// How many keys there are, and what they take in memory.
    pub fn size(&self) -> StateSize {
        let rows = self.entries.len() - self.free.len();
        let entries = self.entries.len() * size_of::<Entry>();
        let bytes = self.bytes.len() + entries + self.slots.bytes();
        StateSize { rows: rows as u64, bytes: bytes as u64 }
    }

    pub fn get(&self, (hash, key): (u64, &[u8])) -> Option<u32> {
        self.slots.find(hash, |id| self.holds(id, hash, key))
    }

    /// The ids of the keys of rows `0..rows`, new ones too. The first looks at slots, then those at
    /// keys, are made for many rows before their answers are asked for.
    pub fn get_or_insert_all(&mut self, keys: &Keys, rows: usize) -> Vec<u32> {
        let mut ids = Vec::with_capacity(rows);
        let mut guesses = [(NONE, false); AT_ONCE];
        for start in (0..rows).step_by(AT_ONCE) {
            let guesses = &mut guesses[..AT_ONCE.min(rows - start)];
            for (row, guess) in (start..).zip(guesses.iter_mut()) {
                guess.0 = self.slots.guess(keys.hashes[row]);
            }
            for (row, guess) in (start..).zip(guesses.iter_mut()) {
                let (hash, key) = keys.key(row);
                guess.1 = guess.0 != NONE && self.holds(guess.0, hash, key);
            }
            ids.extend((start..).zip(guesses.iter()).map(|(row, &(id, found))| match found {
                true => id,
                false => self.get_or_insert(keys.key(row)).0,
            }));
        }
        ids
    }

    /// The id of `key`, and whether it is new.
    pub fn get_or_insert(&mut self, (hash, key): (u64, &[u8])) -> (u32, bool) {
        if let Some(id) = self.get((hash, key)) {
            return (id, false);
        }
        let length = u32::try_from(key.len()).expect("a key is shorter than 4 GiB");
        let entry = Entry { hash, start: self.bytes.len(), length, linked: true };
        self.bytes.extend_from_slice(key);
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id as usize] = entry;
                id
            }
            None => {
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 keys on a worker")
            }
        };
        let entries = &self.entries;
        self.slots.insert(hash, id, |id| entries[id as usize].hash);
        (id, true)
    }

    /// The bytes of a key that is not yet released.
    pub fn bytes(&self, id: u32) -> &[u8] {
        let entry = &self.entries[id as usize];
        &self.bytes[entry.start..entry.start + entry.length as usize]
    }

    /// Forgets the key; its id and bytes stay until they are released.
    pub fn unlink(&mut self, id: u32) {
        let entry = &mut self.entries[id as usize];
        assert!(entry.linked, "a key is unlinked once");
        entry.linked = false;
        let (hash, entries) = (entry.hash, &self.entries);
        self.slots.remove(hash, id, |id| entries[id as usize].hash);
    }

    /// Gives the ids of unlinked keys back for reuse.
    pub fn release(&mut self, ids: impl IntoIterator<Item = u32>) {
        for id in ids {
            let entry = &mut self.entries[id as usize];
            assert!(!entry.linked, "a key is unlinked before it is released");
            self.garbage += entry.length as usize;
            entry.length = 0;
            self.free.push(id);
        }
        if self.garbage > self.bytes.len() / 2 + 4096 {
            self.compact();
        }
    }

    fn holds(&self, id: u32, hash: u64, key: &[u8]) -> bool {
        self.entries[id as usize].hash == hash && self.bytes(id) == key
    }

    fn compact(&mut self) {
        let mut bytes = Vec::with_capacity(self.bytes.len() - self.garbage);
        for entry in &mut self.entries {
            let start = bytes.len();
            bytes.extend_from_slice(&self.bytes[entry.start..entry.start + entry.length as usize]);
            entry.start = start;
        }
        self.bytes = bytes;
        self.garbage = 0;
    }
}
