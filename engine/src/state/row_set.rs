//! Row set: distinct rows, found by content, each with something of its operator's.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::key_index::{KeyCodec, KeyIndex, Keys};
use crate::operator::StateSize;
use crate::updates::{batch_of, take_rows};

/// Rows of one schema to dense ids, with a payload each. See [`KeyIndex`] for unlink and release.
pub(crate) struct RowSet<P> {
    codec: KeyCodec,
    index: KeyIndex,
    payloads: Vec<P>,
    /// So many bytes of the operator's own before those of the row.
    prefix_bytes: usize,
}

impl<P> RowSet<P> {
    /// Of rows that come back bit for bit.
    pub fn new(schema: &SchemaRef) -> Self {
        Self::of(KeyCodec::for_rows(types(schema)))
    }

    /// The same, each behind so many bytes by which equal rows are apart.
    pub fn prefixed(schema: &SchemaRef, prefix_bytes: usize) -> Self {
        RowSet { prefix_bytes, ..Self::new(schema) }
    }

    /// Of rows that are equal as keys are, and come back as such: −0 is 0, every NaN is one.
    pub fn normalized(schema: &SchemaRef) -> Self {
        Self::of(KeyCodec::for_keys(types(schema)))
    }

    fn of(codec: KeyCodec) -> Self {
        RowSet { codec, index: KeyIndex::default(), payloads: vec![], prefix_bytes: 0 }
    }

    pub fn encode(&self, rows: &RecordBatch) -> Keys {
        self.codec.encode(rows.columns(), rows.num_rows())
    }

    /// The id of the row, and whether it is new; a new one starts with `payload`.
    pub fn get_or_insert(&mut self, key: (u64, &[u8]), payload: impl FnOnce() -> P) -> (u32, bool) {
        let (id, new) = self.index.get_or_insert(key);
        if new {
            match self.payloads.get_mut(id as usize) {
                Some(slot) => *slot = payload(),
                None => self.payloads.push(payload()),
            }
        }
        (id, new)
    }

    /// A row that is there: the bytes that it is known by, and its payload.
    pub fn linked(&self, id: u32) -> Option<(&[u8], &P)> {
        Some((self.index.linked(id)?, &self.payloads[id as usize]))
    }

    /// Puts a row back; see [`KeyIndex::restore`].
    pub fn restore(&mut self, id: u32, (hash, bytes): (u64, &[u8]), payload: P) -> Option<()>
    where
        P: Default,
    {
        self.index.restore(id, hash, bytes)?;
        if id as usize >= self.payloads.len() {
            self.payloads.resize_with(id as usize + 1, P::default);
        }
        self.payloads[id as usize] = payload;
        Some(())
    }

    /// All rows are back.
    pub fn restored(&mut self) {
        self.index.restored();
    }

    /// How many rows there are, and what they take in memory with their payloads.
    pub fn size(&self) -> StateSize {
        let StateSize { rows, bytes } = self.index.size();
        StateSize { rows, bytes: bytes + (self.payloads.len() * size_of::<P>()) as u64 }
    }

    /// One more than the largest id given out.
    pub fn id_limit(&self) -> usize {
        self.payloads.len()
    }

    /// The bytes before a row that is not released.
    pub fn prefix(&self, id: u32) -> &[u8] {
        &self.index.bytes(id)[..self.prefix_bytes]
    }

    pub fn get(&self, id: u32) -> &P {
        &self.payloads[id as usize]
    }

    pub fn get_mut(&mut self, id: u32) -> &mut P {
        &mut self.payloads[id as usize]
    }

    pub fn unlink(&mut self, id: u32) {
        self.index.unlink(id);
    }

    pub fn release(&mut self, ids: impl IntoIterator<Item = u32>) {
        self.index.release(ids);
    }

    /// The rows of `ids`, which may be unlinked but not released.
    pub fn rows(&self, ids: &[u32], schema: &SchemaRef) -> RecordBatch {
        if ids.is_empty() || schema.fields().is_empty() {
            let none = RecordBatch::new_empty(schema.clone());
            return batch_of(schema.clone(), none.columns().to_vec(), ids.len());
        }
        // Each row once: a copy of what is decoded costs less than to decode it again.
        let mut places = HashMap::with_capacity_and_hasher(ids.len(), FixedState::default());
        let mut distinct = Vec::new();
        let place = |&id: &u32| {
            *places.entry(id).or_insert_with(|| {
                distinct.push(id);
                distinct.len() as u32 - 1
            })
        };
        let picks: Vec<u32> = ids.iter().map(place).collect();
        let bytes = |&id: &u32| &self.index.bytes(id)[self.prefix_bytes..];
        let columns = self.codec.decode(distinct.iter().map(bytes));
        take_rows(&batch_of(schema.clone(), columns, distinct.len()), &picks)
    }
}

fn types(schema: &SchemaRef) -> impl Iterator<Item = DataType> {
    schema.fields().iter().map(|field| field.data_type().clone())
}
