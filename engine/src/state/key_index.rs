//! Key index: key columns to dense key ids.
//!
//! Keys are held in Arrow's row format, whose bytes are equal exactly when the keys are; ids are
//! dense, so that what belongs to a key lies in plain vectors. In keys −0 is 0 and every NaN is one
//! NaN (S8). An id is unlinked first and released later, because what a step emits may still be
//! decoded from the bytes of a key that the same step removed.

mod fixed;
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
    bytes: KeyBytes,
    hashes: Vec<u64>,
}

enum KeyBytes {
    /// Of no columns: all are equal.
    None,
    /// So many bytes each, one after the other.
    Fixed(usize, Vec<u8>),
    Rows(Rows),
}

impl Keys {
    /// The hash and bytes of the key of row `row`.
    pub fn key(&self, row: usize) -> (u64, &[u8]) {
        let bytes: &[u8] = match &self.bytes {
            KeyBytes::None => &[],
            KeyBytes::Fixed(stride, bytes) => &bytes[row * stride..][..*stride],
            KeyBytes::Rows(rows) => rows.row(row).data(),
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
    /// The length of every key, if it is one.
    stride: Option<usize>,
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
        let types: Vec<DataType> = types.into_iter().collect();
        let stride = types.iter().map(fixed::width).sum();
        let fields: Vec<SortField> = types.into_iter().map(SortField::new).collect();
        let columns = fields.len();
        let converter = RowConverter::new(fields).expect("every SQL type has a row format");
        KeyCodec { converter, columns, normalize, stride }
    }

    pub fn encode(&self, columns: &[ArrayRef], rows: usize) -> Keys {
        assert_eq!(columns.len(), self.columns);
        if columns.is_empty() {
            return Keys { bytes: KeyBytes::None, hashes: vec![hash_bytes(&[]); rows] };
        }
        let normalized: Vec<ArrayRef>;
        let columns = match self.normalize {
            true => {
                normalized = columns.iter().map(normalize_floats).collect();
                &normalized
            }
            false => columns,
        };
        if let Some(stride) = self.stride {
            let bytes = fixed::encode(columns, rows, stride);
            let hashes = bytes.chunks_exact(stride).map(hash_bytes).collect();
            return Keys { bytes: KeyBytes::Fixed(stride, bytes), hashes };
        }
        let encoded =
            self.converter.convert_columns(columns).expect("columns of the codec's types");
        let hashes = encoded.iter().map(|row| hash_bytes(row.data())).collect();
        Keys { bytes: KeyBytes::Rows(encoded), hashes }
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

/// Whether a value of this type comes back from a key as it went in.
pub(crate) fn comes_back(ty: &DataType) -> bool {
    !ty.is_floating() && !ty.is_nested()
}

/// The types of the columns of `schema` at `columns`.
pub(crate) fn types_of(schema: &SchemaRef, columns: &[usize]) -> Vec<DataType> {
    columns.iter().map(|&i| schema.field(i).data_type().clone()).collect()
}

/// So many rows' keys are looked for together.
const AT_ONCE: usize = 64;
/// A key of so many bytes, which is more than two of eight take, lies in its entry.
const INLINE: usize = 20;
/// A bit of an entry's length.
const LINKED: u32 = 1 << 31;

/// Key bytes to dense ids.
#[derive(Default)]
pub(crate) struct KeyIndex {
    slots: Slots,
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// The keys that are too long for their entries.
    long: Vec<u8>,
    /// Bytes of released keys, still in `long`.
    garbage: usize,
}

/// Half a cache line: a key is found with one look at its slot and one at its entry.
#[derive(Clone, Copy)]
#[repr(align(32))]
struct Entry {
    hash: u64,
    /// And [`LINKED`] while it can be found.
    length: u32,
    /// The key, or in the first eight bytes where it begins in `long`.
    bytes: [u8; INLINE],
}

/// Of no key.
const FREE: Entry = Entry { hash: 0, length: 0, bytes: [0; INLINE] };

impl KeyIndex {
    /// One more than the largest id given out.
    pub fn id_limit(&self) -> usize {
        self.entries.len()
    }

    /// How many keys there are, and what they take in memory.
    pub fn size(&self) -> StateSize {
        let rows = self.entries.len() - self.free.len();
        let bytes = self.long.len() + size_of_val(&self.entries[..]) + self.slots.bytes();
        StateSize { rows: rows as u64, bytes: bytes as u64 }
    }

    pub fn get(&self, (hash, key): (u64, &[u8])) -> Option<u32> {
        self.slots.find(hash, |id| self.holds(id, hash, key))
    }

    /// The ids of the keys of these rows, new ones too. The first looks at slots, then those at
    /// entries, are made for many rows before their answers are asked for.
    pub fn get_or_insert_each(
        &mut self,
        keys: &Keys,
        rows: impl ExactSizeIterator<Item = usize>,
    ) -> Vec<u32> {
        let mut ids = Vec::with_capacity(rows.len());
        let mut looks = [(0, NONE, false); AT_ONCE];
        let mut rows = rows;
        while rows.len() > 0 {
            let looks = &mut looks[..AT_ONCE.min(rows.len())];
            for ((row, guess, _), next) in looks.iter_mut().zip(&mut rows) {
                *row = next;
                *guess = self.slots.guess(keys.hashes[next]);
            }
            for (row, guess, found) in looks.iter_mut() {
                let (hash, key) = keys.key(*row);
                *found = *guess != NONE && self.holds(*guess, hash, key);
            }
            ids.extend(looks.iter().map(|&(row, guess, found)| match found {
                true => guess,
                false => self.get_or_insert(keys.key(row)).0,
            }));
        }
        ids
    }

    /// The ids of all keys that begin so.
    pub fn beginning_with(&self, bytes: &[u8]) -> Vec<u32> {
        let entries = (0..).zip(&self.entries);
        let begins = |(_, entry): &(u32, &Entry)| {
            entry.is_linked() && entry.key(&self.long).starts_with(bytes)
        };
        entries.filter(begins).map(|(id, _)| id).collect()
    }

    /// The id of `key`, and whether it is new.
    pub fn get_or_insert(&mut self, (hash, key): (u64, &[u8])) -> (u32, bool) {
        if let Some(id) = self.get((hash, key)) {
            return (id, false);
        }
        let entry = self.entry(hash, key);
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

    /// The bytes of a key that can be found.
    pub fn linked(&self, id: u32) -> Option<&[u8]> {
        let entry = self.entries.get(id as usize).filter(|entry| entry.is_linked())?;
        Some(entry.key(&self.long))
    }

    /// Puts a key back under its id, into an index that keys are put back into alone; it is found
    /// after [`KeyIndex::restored`]. `None` if it is not a key.
    pub fn restore(&mut self, id: u32, hash: u64, key: &[u8]) -> Option<()> {
        if key.len() >= LINKED as usize {
            return None;
        }
        let entry = self.entry(hash, key);
        if id as usize >= self.entries.len() {
            self.entries.resize(id as usize + 1, FREE);
        }
        self.entries[id as usize] = entry;
        Some(())
    }

    /// All keys are back.
    pub fn restored(&mut self) {
        let entries = &self.entries;
        let linked = entries.iter().filter(|entry| entry.is_linked()).count();
        self.slots = Slots::with_room(linked);
        for (id, entry) in (0..).zip(entries) {
            match entry.is_linked() {
                true => self.slots.insert(entry.hash, id, |id| entries[id as usize].hash),
                false => self.free.push(id),
            }
        }
    }

    /// The bytes of a key that is not yet released.
    pub fn bytes(&self, id: u32) -> &[u8] {
        self.entries[id as usize].key(&self.long)
    }

    /// Forgets the key; its id and bytes stay until they are released.
    pub fn unlink(&mut self, id: u32) {
        let entry = &mut self.entries[id as usize];
        assert!(entry.is_linked(), "a key is unlinked once");
        entry.length &= !LINKED;
        let (hash, entries) = (entry.hash, &self.entries);
        self.slots.remove(hash, id, |id| entries[id as usize].hash);
    }

    /// Gives the ids of unlinked keys back for reuse.
    pub fn release(&mut self, ids: impl IntoIterator<Item = u32>) {
        for id in ids {
            let entry = &mut self.entries[id as usize];
            assert!(!entry.is_linked(), "a key is unlinked before it is released");
            if entry.length() > INLINE {
                self.garbage += entry.length();
            }
            entry.length = 0;
            self.free.push(id);
        }
        if self.garbage > self.long.len() / 2 + 4096 {
            self.compact();
        }
    }

    fn entry(&mut self, hash: u64, key: &[u8]) -> Entry {
        let length = u32::try_from(key.len()).ok().filter(|length| length & LINKED == 0);
        let length = length.expect("a key is shorter than 2 GiB") | LINKED;
        let mut bytes = [0; INLINE];
        match bytes.get_mut(..key.len()) {
            Some(place) => place.copy_from_slice(key),
            None => {
                bytes[..8].copy_from_slice(&self.long.len().to_ne_bytes());
                self.long.extend_from_slice(key);
            }
        }
        Entry { hash, length, bytes }
    }

    fn holds(&self, id: u32, hash: u64, key: &[u8]) -> bool {
        let entry = &self.entries[id as usize];
        entry.hash == hash && entry.length() == key.len() && equal(entry.key(&self.long), key)
    }

    fn compact(&mut self) {
        let mut long = Vec::with_capacity(self.long.len() - self.garbage);
        for entry in self.entries.iter_mut().filter(|entry| entry.length() > INLINE) {
            let start = long.len();
            long.extend_from_slice(entry.key(&self.long));
            entry.bytes[..8].copy_from_slice(&start.to_ne_bytes());
        }
        self.long = long;
        self.garbage = 0;
    }
}

impl Entry {
    fn length(&self) -> usize {
        (self.length & !LINKED) as usize
    }

    fn is_linked(&self) -> bool {
        self.length & LINKED != 0
    }

    fn key<'a>(&'a self, long: &'a [u8]) -> &'a [u8] {
        let length = self.length();
        match self.bytes.get(..length) {
            Some(key) => key,
            None => {
                let [start, ..] = self.bytes.as_chunks::<8>().0 else { unreachable!("20 bytes") };
                &long[usize::from_ne_bytes(*start)..][..length]
            }
        }
    }
}

/// Whether two keys of one length are equal, without a call for those that entries hold.
fn equal(a: &[u8], b: &[u8]) -> bool {
    fn word<const N: usize>(bytes: &[u8], at: usize) -> Option<&[u8; N]> {
        bytes.get(at..at + N)?.try_into().ok()
    }
    // Words from the front and one to the end, which may overlap.
    match a.len() {
        8..=16 => {
            word::<8>(a, 0) == word::<8>(b, 0)
                && word::<8>(a, a.len() - 8) == word::<8>(b, a.len() - 8)
        }
        17..=INLINE => {
            word::<16>(a, 0) == word::<16>(b, 0)
                && word::<8>(a, a.len() - 8) == word::<8>(b, a.len() - 8)
        }
        4..=7 => {
            word::<4>(a, 0) == word::<4>(b, 0)
                && word::<4>(a, a.len() - 4) == word::<4>(b, a.len() - 4)
        }
        _ => a == b,
    }
}
