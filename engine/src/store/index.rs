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
    parts: Vec<HashMap<u64, u64, foldhash::fast::RandomState>>,
}

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

    fn get(&self, key: u64) -> Option<u64> {
        self.parts[self.part(key)].get(&key).copied()
    }

    fn insert(&mut self, key: u64, value: u64) -> Option<u64> {
        if self.parts.len() == 1 && self.parts[0].len() >= Self::PARTS_FROM {
            let small = std::mem::take(&mut self.parts[0]);
            self.parts.resize_with(Self::PARTS, HashMap::default);
            for (key, value) in small {
                let part = self.part(key);
                self.parts[part].insert(key, value);
            }
        }
        let part = self.part(key);
        self.parts[part].insert(key, value)
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
