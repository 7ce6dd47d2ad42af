//! An index: from a key's word to the ids of its rows, newest first.
//!
//! The head of each chain stands in a hash map, the rest as links from each id to the one before
//! it, so a key with one row costs one entry. Chains hold rows that have ended too, as long as
//! someone may read them: an older time needs the older row. Where words are hashes a chain may
//! hold rows of several keys; whoever follows it compares.

use hashbrown::HashMap;

/// Ids by key word; see the head of this file.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    heads: SpreadMap,
    /// The head for the key NULL of an exact encoding.
    null_head: Option<u64>,
    /// From an id to the one before it in its chain.
    older: SpreadMap,
}

/// A hash map in parts, so that growing moves only one part at a time: a million entries at once
/// would hold up readers for a tenth of a second.
#[derive(Clone, Debug)]
struct SpreadMap {
    parts: Vec<Part>,
}

type Part = HashMap<u64, u64, foldhash::fast::RandomState>;

impl Index {
    /// The ids under a word, newest first.
    pub fn chain(&self, word: Option<u64>) -> Chain<'_> {
        Chain { index: self, next: self.head(word) }
    }

    /// Adds the newest id of a word; says whether there were others.
    pub fn push(&mut self, word: Option<u64>, id: u64) -> bool {
        let before = match word {
            Some(word) => self.heads.insert(word, id),
            None => self.null_head.replace(id),
        };
        if let Some(before) = before {
            self.older.insert(id, before);
        }
        before.is_some()
    }

    /// Makes room for so many more words, so that nothing grows while they are added.
    pub fn reserve(&mut self, words: usize) {
        self.heads.reserve(words);
    }

    /// As [`Index::push`] of each, in their order, but quicker for many.
    pub fn push_all(&mut self, words: &[(Option<u64>, u64)]) {
        for (_, id) in words.iter().filter(|(word, _)| word.is_none()) {
            self.push(None, *id);
        }
        let words = words.iter().filter_map(|&(word, id)| Some((word?, id)));
        for (id, before) in self.heads.insert_all(words) {
            self.older.insert(id, before);
        }
    }

    /// Takes out every id that is `dead` among the newest `limit` of a chain.
    pub fn prune(&mut self, word: Option<u64>, limit: usize, dead: impl Fn(u64) -> bool) {
        let mut newer = None;
        let mut next = self.head(word);
        for _ in 0..limit {
            let Some(id) = next else { break };
            next = self.older.get(id);
            if dead(id) {
                self.unlink(word, newer, id);
            } else {
                newer = Some(id);
            }
        }
    }

    /// Takes out one id, found by following its chain; `newer` is the one that leads to it.
    pub fn unlink(&mut self, word: Option<u64>, newer: Option<u64>, id: u64) {
        let older = self.older.remove(id);
        match (newer, word) {
            (Some(newer), _) => match older {
                Some(older) => self.older.insert(newer, older),
                None => self.older.remove(newer),
            },
            (None, Some(word)) => match older {
                Some(older) => self.heads.insert(word, older),
                None => self.heads.remove(word),
            },
            (None, None) => std::mem::replace(&mut self.null_head, older),
        };
    }

    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        self.heads.bytes() + self.older.bytes()
    }

    /// How many ids it holds.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.heads.parts.iter().chain(&self.older.parts).map(HashMap::len).sum::<usize>()
            + usize::from(self.null_head.is_some())
    }

    fn head(&self, word: Option<u64>) -> Option<u64> {
        match word {
            Some(word) => self.heads.get(word),
            None => self.null_head,
        }
    }
}

impl Default for SpreadMap {
    fn default() -> Self {
        SpreadMap { parts: vec![HashMap::default()] }
    }
}

impl SpreadMap {
    const PARTS: usize = 64;
    /// Entries from which on it has parts.
    const PARTS_FROM: usize = 4096;

    fn bytes(&self) -> usize {
        self.parts.iter().map(Part::allocation_size).sum()
    }

    fn get(&self, key: u64) -> Option<u64> {
        self.parts[self.part(key)].get(&key).copied()
    }

    fn insert(&mut self, key: u64, value: u64) -> Option<u64> {
        if self.parts.len() == 1 && self.parts[0].len() >= Self::PARTS_FROM {
            self.split();
        }
        let part = self.part(key);
        self.parts[part].insert(key, value)
    }

    fn split(&mut self) {
        let small = std::mem::take(&mut self.parts[0]);
        self.parts.resize_with(Self::PARTS, HashMap::default);
        for (key, value) in small {
            let part = self.part(key);
            self.parts[part].insert(key, value);
        }
    }

    fn reserve(&mut self, entries: usize) {
        if self.parts.len() == 1 && self.parts[0].len() + entries >= Self::PARTS_FROM {
            self.split();
        }
        let share = entries / self.parts.len();
        self.parts.iter_mut().for_each(|part| part.reserve(share));
    }

    /// Inserts entries in their order; returns each value that took the place of another, with
    /// that one. Part by part, as one part fits into the caches and all do not, and several parts
    /// at a time.
    fn insert_all(&mut self, entries: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
        let mut by_part = vec![vec![]; self.parts.len()];
        entries.for_each(|(key, value)| by_part[self.part(key)].push((key, value)));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let each = self.parts.len().div_ceil(threads);
        let insert = |parts: &mut [Part], entries: &[Vec<(u64, u64)>]| {
            let mut replaced = vec![];
            for (part, entries) in parts.iter_mut().zip(entries) {
                for &(key, value) in entries {
                    replaced.extend(part.insert(key, value).map(|before| (value, before)));
                }
            }
            replaced
        };
        if each == self.parts.len() {
            return insert(&mut self.parts, &by_part);
        }
        std::thread::scope(|scope| {
            let shares = self.parts.chunks_mut(each).zip(by_part.chunks(each));
            let running: Vec<_> = shares
                .map(|(parts, entries)| scope.spawn(move || insert(parts, entries)))
                .collect();
            let replaced = running.into_iter().map(|thread| thread.join());
            replaced.flat_map(|replaced| replaced.expect("inserting does not panic")).collect()
        })
    }

    fn remove(&mut self, key: u64) -> Option<u64> {
        let part = self.part(key);
        self.parts[part].remove(&key)
    }

    fn part(&self, key: u64) -> usize {
        match self.parts.len() {
            1 => 0,
            // Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4): the top six bits
            _ => (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize,
        }
    }
}

/// Ids from the newest to the oldest.
pub(super) struct Chain<'a> {
    index: &'a Index,
    next: Option<u64>,
}

impl Iterator for Chain<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let id = self.next?;
        self.next = self.index.older.get(id);
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn many_keys_are_spread_over_parts() {
        let mut index = Index::default();
        for word in 0..20_000 {
            assert!(!index.push(Some(word), word + 7));
        }
        assert!((0..20_000).all(|word| index.chain(Some(word)).eq([word + 7])));
        let largest = index.heads.parts.iter().map(HashMap::len).max();
        assert!(largest.is_some_and(|largest| largest < 1000), "{largest:?}");
        (0..20_000).for_each(|word| index.prune(Some(word), 1, |_| true));
        assert_eq!(index.len(), 0);
    }

    #[test]
    fn many_at_once_are_as_one_after_the_other() {
        for rows in [0, 10, 5_000, 50_000] {
            let word =
                |id: u64| (!id.is_multiple_of(7)).then_some(id.wrapping_mul(id) % (rows / 3 + 1));
            let words: Vec<(Option<u64>, u64)> = (0..rows).map(|id| (word(id), id)).collect();
            let (mut one, mut all) = (Index::default(), Index::default());
            for &(word, id) in &words {
                one.push(word, id);
            }
            all.reserve(words.len());
            words.chunks(20_000).for_each(|words| all.push_all(words));
            assert_eq!(all.len(), one.len());
            for word in words.iter().map(|(word, _)| *word).collect::<BTreeSet<_>>() {
                assert!(all.chain(word).eq(one.chain(word)), "{word:?} of {rows}");
            }
        }
    }

    #[test]
    fn chains_lose_their_dead_wherever_they_stand() {
        for word in [Some(7), None] {
            let mut index = Index::default();
            assert!(!index.push(word, 1));
            for id in 2..=6 {
                assert!(index.push(word, id));
            }
            index.prune(word, 2, |id| [1, 3, 4].contains(&id));
            assert_eq!(index.chain(word).collect::<Vec<_>>(), [6, 5, 4, 3, 2, 1]);
            index.prune(word, 9, |id| [1, 3, 4, 6].contains(&id));
            assert_eq!(index.chain(word).collect::<Vec<_>>(), [5, 2]);
            index.prune(word, 9, |_| true);
            assert_eq!((index.chain(word).count(), index.len()), (0, 0));
        }
    }
}
