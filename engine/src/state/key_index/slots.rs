//! Slots: ids by the hashes of their keys.
//!
//! Open addressing with linear probing in a power of two of slots, at most seven of eight full; an
//! id that leaves draws those behind it back (Knuth, "The Art of Computer Programming" 3, 6.4,
//! algorithm R), so that nothing but ids is probed. A slot has half of the hash beside the id: most
//! probes end without a look at the key.
//!
//! What it does not promise: it knows no keys. Who asks says whether an id is the one.

/// No id.
pub(super) const NONE: u32 = u32::MAX;

/// See the module.
#[derive(Default)]
pub(super) struct Slots {
    /// None, or a power of two.
    slots: Vec<Slot>,
    ids: usize,
}

#[derive(Clone, Copy)]
struct Slot {
    tag: u32,
    id: u32,
}

const EMPTY: Slot = Slot { tag: 0, id: NONE };

impl Slots {
    /// For so many ids, which are put in without more room being made.
    pub fn with_room(ids: usize) -> Slots {
        let slots = (ids * 8 / 7 + 1).next_power_of_two().max(8);
        Slots { slots: vec![EMPTY; slots], ids: 0 }
    }

    /// What they take in memory.
    pub fn bytes(&self) -> usize {
        self.slots.len() * size_of::<Slot>()
    }

    /// The id in the first slot of this hash, if it may be the one: a look that depends on no
    /// other, so that many of them wait for memory together.
    pub fn guess(&self, hash: u64) -> u32 {
        match self.slots.get(self.home(hash)) {
            Some(slot) if slot.tag == tag(hash) => slot.id,
            _ => NONE,
        }
    }

    /// The id of this hash that `is_it`.
    pub fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let mut at = self.home(hash);
        loop {
            let slot = self.slots[at];
            match slot.id {
                NONE => return None,
                id if slot.tag == tag(hash) && is_it(id) => return Some(id),
                _ => at = self.after(at),
            }
        }
    }

    /// Adds an id that is not there; `hash_of` gives those of the others.
    pub fn insert(&mut self, hash: u64, id: u32, hash_of: impl Fn(u32) -> u64) {
        if (self.ids + 1) * 8 > self.slots.len() * 7 {
            let slots = (self.slots.len() * 2).max(8);
            let before = std::mem::replace(&mut self.slots, vec![EMPTY; slots]);
            before.iter().filter(|slot| slot.id != NONE).for_each(|slot| {
                self.put(hash_of(slot.id), slot.id);
            });
        }
        self.put(hash, id);
        self.ids += 1;
    }

    fn put(&mut self, hash: u64, id: u32) {
        let mut at = self.home(hash);
        while self.slots[at].id != NONE {
            at = self.after(at);
        }
        self.slots[at] = Slot { tag: tag(hash), id };
    }

    /// Takes an id out.
    pub fn remove(&mut self, hash: u64, id: u32, hash_of: impl Fn(u32) -> u64) {
        let mut hole = self.home(hash);
        while self.slots[hole].id != id {
            assert!(self.slots[hole].id != NONE, "an id is there until it is taken out");
            hole = self.after(hole);
        }
        let mut at = self.after(hole);
        while self.slots[at].id != NONE {
            let home = self.home(hash_of(self.slots[at].id));
            // One whose way from home leads over the hole.
            let distance = |to: usize| to.wrapping_sub(home) & (self.slots.len() - 1);
            if distance(hole) < distance(at) {
                self.slots[hole] = self.slots[at];
                hole = at;
            }
            at = self.after(at);
        }
        self.slots[hole] = EMPTY;
        self.ids -= 1;
    }

    fn home(&self, hash: u64) -> usize {
        hash as usize & self.slots.len().wrapping_sub(1)
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }
}

fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::{NONE, Slots};

    /// Few places to be at home in, and few tags.
    fn hash(id: u32) -> u64 {
        u64::from(id % 23) | u64::from(id % 3) << 32
    }

    #[test]
    fn agrees_with_a_map() {
        let mut random = StdRng::seed_from_u64(1);
        let (mut slots, mut reference) = (Slots::default(), BTreeMap::new());
        for _ in 0..20_000 {
            let id = random.random_range(0..300u32);
            match reference.remove(&id) {
                Some(()) => slots.remove(hash(id), id, hash),
                None => {
                    slots.insert(hash(id), id, hash);
                    reference.insert(id, ());
                }
            }
            let id = random.random_range(0..300u32);
            let found = slots.find(hash(id), |other| other == id);
            assert_eq!(found, reference.get(&id).map(|()| id));
            let guess = slots.guess(hash(id));
            assert!(guess == NONE || reference.contains_key(&guess));
        }
    }
}
