//! Ordered counts: byte strings in order, each with a count; finds the n-th.
//!
//! Chunks of neighbours, each with the sum of its counts: a change costs a search and a move
//! within one chunk, the n-th a walk over the sums of chunks, of which a million entries have a
//! few thousand.

/// Entries of a chunk that is split in two.
const CHUNK_MAX: usize = 512;

/// A multiset of byte strings.
#[derive(Clone, Debug, Default)]
pub(crate) struct OrderedCounts {
    /// None is empty.
    chunks: Vec<Chunk>,
    total: i64,
    bytes: usize,
}

#[derive(Clone, Debug, Default)]
struct Chunk {
    entries: Vec<(Box<[u8]>, i64)>,
    total: i64,
}

impl OrderedCounts {
    /// Adds `diff` to the count of `key`, which is gone when that is 0.
    pub fn add(&mut self, key: &[u8], diff: i64) {
        if diff == 0 {
            return;
        }
        self.total += diff;
        // The last chunk that does not begin behind the key.
        let place = self.chunks.partition_point(|chunk| *chunk.entries[0].0 <= *key);
        let place = place.saturating_sub(1);
        if self.chunks.is_empty() {
            self.chunks.push(Chunk::default());
        }
        let chunk = &mut self.chunks[place];
        chunk.total += diff;
        match chunk.entries.binary_search_by(|(other, _)| (**other).cmp(key)) {
            Ok(at) => {
                chunk.entries[at].1 += diff;
                if chunk.entries[at].1 == 0 {
                    chunk.entries.remove(at);
                    self.bytes -= entry_bytes(key);
                }
            }
            Err(at) => {
                chunk.entries.insert(at, (key.into(), diff));
                self.bytes += entry_bytes(key);
            }
        }
        if chunk.entries.is_empty() {
            self.chunks.remove(place);
        } else if chunk.entries.len() > CHUNK_MAX {
            let behind = chunk.split();
            self.chunks.insert(place + 1, behind);
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

    pub fn first(&self) -> Option<&[u8]> {
        self.chunks.first().map(|chunk| &*chunk.entries[0].0)
    }

    pub fn last(&self) -> Option<&[u8]> {
        let entries = &self.chunks.last()?.entries;
        entries.last().map(|(key, _)| &**key)
    }

    /// The key at place `n`, from 0 on, when each stands as often as its count says.
    pub fn nth(&self, n: i64) -> Option<&[u8]> {
        let mut left = n;
        for chunk in &self.chunks {
            if left >= chunk.total {
                left -= chunk.total;
                continue;
            }
            for (key, count) in &chunk.entries {
                if left < *count {
                    return Some(key);
                }
                left -= count;
            }
        }
        None
    }

    /// All keys in order, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], i64)> {
        let entries = self.chunks.iter().flat_map(|chunk| &chunk.entries);
        entries.map(|(key, count)| (&**key, *count))
    }
}

fn entry_bytes(key: &[u8]) -> usize {
    size_of::<(Box<[u8]>, i64)>() + key.len()
}

impl Chunk {
    /// Takes its second half out.
    fn split(&mut self) -> Chunk {
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
        let (mut counts, mut reference) = (OrderedCounts::default(), BTreeMap::new());
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
                assert_eq!(counts.bytes(), reference.len() * super::entry_bytes(&[0; 4]));
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
