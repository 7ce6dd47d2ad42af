//! An index: from a key's word to the ids of its rows, newest first.
//!
//! The head of each chain stands in a hash map, the rest as links from each id to the one before
//! it, so a key with one row costs one entry. Chains hold rows that have ended too, as long as
//! someone may read them: an older time needs the older row. Where words are hashes a chain may hold
//! rows of several keys; whoever follows it compares.

use hashbrown::HashMap;

/// Ids by key word; see the head of this file.
#[derive(Debug, Default)]
pub(super) struct Index {
    heads: HashMap<u64, u64, foldhash::fast::RandomState>,
    /// The head for the key NULL of an exact encoding.
    null_head: Option<u64>,
    /// From an id to the one before it in its chain.
    older: HashMap<u64, u64, foldhash::fast::RandomState>,
}

impl Index {
    /// Makes room for `rows` more keys.
    pub fn reserve(&mut self, rows: usize) {
        self.heads.reserve(rows);
    }

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

    /// Takes out every id of a chain that is `dead`.
    pub fn prune(&mut self, word: Option<u64>, dead: impl Fn(u64) -> bool) {
        let mut newer = None;
        let mut next = self.head(word);
        while let Some(id) = next {
            next = self.older.get(&id).copied();
            if dead(id) {
                self.unlink(word, newer, id);
            } else {
                newer = Some(id);
            }
        }
    }

    /// Takes out one id, found by following its chain; `newer` is the one that leads to it.
    pub fn unlink(&mut self, word: Option<u64>, newer: Option<u64>, id: u64) {
        let older = self.older.remove(&id);
        match (newer, word) {
            (Some(newer), _) => match older {
                Some(older) => self.older.insert(newer, older),
                None => self.older.remove(&newer),
            },
            (None, Some(word)) => match older {
                Some(older) => self.heads.insert(word, older),
                None => self.heads.remove(&word),
            },
            (None, None) => std::mem::replace(&mut self.null_head, older),
        };
    }

    /// How many ids it holds.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.heads.len() + self.older.len() + usize::from(self.null_head.is_some())
    }

    fn head(&self, word: Option<u64>) -> Option<u64> {
        match word {
            Some(word) => self.heads.get(&word).copied(),
            None => self.null_head,
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
        self.next = self.index.older.get(&id).copied();
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_lose_their_dead_wherever_they_stand() {
        for word in [Some(7), None] {
            let mut index = Index::default();
            assert!(!index.push(word, 1));
            for id in 2..=6 {
                assert!(index.push(word, id));
            }
            index.prune(word, |id| [1, 3, 4, 6].contains(&id));
            assert_eq!(index.chain(word).collect::<Vec<_>>(), [5, 2]);
            index.prune(word, |_| true);
            assert_eq!((index.chain(word).count(), index.len()), (0, 0));
        }
    }
}
