//! Ordered counts: keys in order, each with a count; finds the n-th.
//!
//! Chunks of neighbours, each with the sum of its counts: a change costs a search and a move
//! within one chunk, the n-th a walk over the sums of chunks, of which a million entries have a
//! few thousand. The first chunk lies in place, as most groups have no other.

use crate::checkpoint::record::{Cursor, RECORD_BYTES_MAX, Stored, put_number};

/// Entries of a chunk that is split in two.
const CHUNK_MAX: usize = 512;

/// What is counted.
pub(crate) trait Counted: Clone {
    /// As it is looked for.
    type Borrowed: Ord + ?Sized;

    fn borrowed(&self) -> &Self::Borrowed;
    fn of(borrowed: &Self::Borrowed) -> Self;

    /// What it takes in memory beside itself.
    fn heap_bytes(borrowed: &Self::Borrowed) -> usize;
}

impl Counted for Box<[u8]> {
    type Borrowed = [u8];

    fn borrowed(&self) -> &[u8] {
        self
    }

    fn of(borrowed: &[u8]) -> Self {
        borrowed.into()
    }

    fn heap_bytes(borrowed: &[u8]) -> usize {
        borrowed.len()
    }
}

/// A multiset of byte strings, or of other keys.
#[derive(Clone, Debug)]
pub(crate) struct OrderedCounts<K = Box<[u8]>> {
    /// Empty only when there are no entries.
    head: Chunk<K>,
    /// None is empty.
    rest: Vec<Chunk<K>>,
    total: i64,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Chunk<K> {
    entries: Vec<(K, i64)>,
    total: i64,
}

impl<K> Default for OrderedCounts<K> {
    fn default() -> Self {
        OrderedCounts { head: Chunk::default(), rest: Vec::new(), total: 0, bytes: 0 }
    }
}

impl<K> Default for Chunk<K> {
    fn default() -> Self {
        Chunk { entries: Vec::new(), total: 0 }
    }
}

impl<K: Counted> OrderedCounts<K> {
    /// Adds `diff` to the count of `key`, which is gone when that is 0.
    pub fn add(&mut self, key: &K::Borrowed, diff: i64) {
        if diff == 0 {
            return;
        }
        self.total += diff;
        // The last chunk that does not begin behind the key.
        let place = self.rest.partition_point(|chunk| chunk.entries[0].0.borrowed() <= key);
        let chunk = match place {
            0 => &mut self.head,
            _ => &mut self.rest[place - 1],
        };
        chunk.total += diff;
        match chunk.entries.binary_search_by(|(other, _)| other.borrowed().cmp(key)) {
            Ok(at) => {
                chunk.entries[at].1 += diff;
                if chunk.entries[at].1 == 0 {
                    chunk.entries.remove(at);
                    self.bytes -= entry_bytes::<K>(key);
                }
            }
            Err(at) => {
                chunk.entries.insert(at, (K::of(key), diff));
                self.bytes += entry_bytes::<K>(key);
            }
        }
        if chunk.entries.len() > CHUNK_MAX {
            let behind = chunk.split();
            self.rest.insert(place, behind);
        } else if chunk.entries.is_empty() && !self.rest.is_empty() {
            let next = self.rest.remove(place.saturating_sub(1));
            if place == 0 {
                self.head = next;
            }
        }
    }

    /// What the entries take in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The sum of the counts.
    pub fn total(&self) -> i64 {
        self.total
    }

    pub fn first(&self) -> Option<&K::Borrowed> {
        self.head.entries.first().map(|(key, _)| key.borrowed())
    }

    pub fn last(&self) -> Option<&K::Borrowed> {
        let entries = &self.rest.last().unwrap_or(&self.head).entries;
        entries.last().map(|(key, _)| key.borrowed())
    }

    /// The key at place `n`, from 0 on, when each stands as often as its count says.
    pub fn nth(&self, n: i64) -> Option<&K::Borrowed> {
        let mut left = n;
        for chunk in self.chunks() {
            if left >= chunk.total {
                left -= chunk.total;
                continue;
            }
            for (key, count) in &chunk.entries {
                if left < *count {
                    return Some(key.borrowed());
                }
                left -= count;
            }
        }
        None
    }

    /// All keys in order, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (&K::Borrowed, i64)> {
        let entries = self.chunks().flat_map(|chunk| &chunk.entries);
        entries.map(|(key, count)| (key.borrowed(), *count))
    }

    fn chunks(&self) -> impl Iterator<Item = &Chunk<K>> {
        std::iter::once(&self.head).chain(&self.rest)
    }
}

fn entry_bytes<K: Counted>(key: &K::Borrowed) -> usize {
    size_of::<(K, i64)>() + K::heap_bytes(key)
}

impl<K: Counted + Stored> Stored for OrderedCounts<K> {
    fn put(&self, out: &mut Vec<u8>) {
        put_number(out, self.chunks().map(|chunk| chunk.entries.len() as u64).sum());
        for (key, count) in self.chunks().flat_map(|chunk| &chunk.entries) {
            key.put(out);
            count.put(out);
        }
    }

    fn take(from: &mut Cursor<'_>) -> Option<Self> {
        let entries: Vec<(K, i64)> = Stored::take(from)?;
        let rising = entries.is_sorted_by(|a, b| a.0.borrowed() < b.0.borrowed());
        let chunk = |entries: &[(K, i64)]| {
            let total = entries.iter().map(|(_, count)| count).sum();
            Chunk { entries: entries.to_vec(), total }
        };
        let mut chunks = entries.chunks(CHUNK_MAX / 2).map(chunk);
        let head = chunks.next().unwrap_or_default();
        let rest: Vec<Chunk<K>> = chunks.collect();
        let total = rest.iter().map(|chunk| chunk.total).sum::<i64>() + head.total;
        let bytes = entries.iter().map(|(key, _)| entry_bytes::<K>(key.borrowed())).sum();
        rising.then_some(OrderedCounts { head, rest, total, bytes })
    }

    fn is_small(&self) -> bool {
        self.bytes <= RECORD_BYTES_MAX
    }
}

impl<K> Chunk<K> {
    /// Takes its second half out.
    fn split(&mut self) -> Chunk<K> {
        let entries = self.entries.split_off(self.entries.len() / 2);
        let total = entries.iter().map(|(_, count)| count).sum();
        self.total -= total;
        Chunk { entries, total }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::OrderedCounts;

    #[test]
    fn agrees_with_a_sorted_list() {
        let mut random = StdRng::seed_from_u64(1);
        let (mut counts, mut reference) = (<OrderedCounts>::default(), BTreeMap::new());
        for round in 0..20_000 {
            let key = random.random_range(0..3000u32).to_be_bytes();
            let shrinks = round > 12_000 && random.random_bool(0.8);
            let present: i64 = reference.get(&key).copied().unwrap_or(0);
            let diff = if shrinks { -present } else { random.random_range(1..4) };
            counts.add(&key, diff);
            *reference.entry(key).or_insert(0) += diff;
            reference.retain(|_, count| *count != 0);
            if round % 500 == 0 {
                let all: Vec<[u8; 4]> = reference
                    .iter()
                    .flat_map(|(key, &count)| std::iter::repeat_n(*key, count as usize))
                    .collect();
                assert_eq!(counts.total(), all.len() as i64);
                assert_eq!(
                    counts.bytes(),
                    reference.len() * super::entry_bytes::<Box<[u8]>>(&[0; 4])
                );
                for _ in 0..50 {
                    let n = random.random_range(0..all.len() + 1);
                    assert_eq!(counts.nth(n as i64), all.get(n).map(|key| &key[..]));
                }
                assert_eq!(counts.first(), all.first().map(|key| &key[..]));
                assert_eq!(counts.last(), all.last().map(|key| &key[..]));
                let got: Vec<_> = counts.iter().collect();
                let expected: Vec<_> = reference.iter().map(|(k, &c)| (&k[..], c)).collect();
                assert_eq!(got, expected);
            }
        }
    }
}
