//! Records: what an operator keeps, piece by piece, as a checkpoint takes it.
//!
//! An operator's state is a few families of records, each known by a dense id: its groups, the
//! rows of a side of a join. It marks the ids that change ([`Changed`]: one bit each, set once a
//! step and record); a checkpoint takes them out and copies the records as they are then. Whoever
//! has copied all that was ever marked, and then, between two steps, what was marked since, has the
//! state as of that moment: no record is held back or copied for the sake of a writer.
//!
//! What can be made of other records (hash tables, chains, trees, sums) is none itself.

/// Ids whose records have changed since they were last copied.
#[derive(Default)]
pub(crate) struct Changed {
    bits: Vec<u64>,
    count: usize,
    /// Where to look for the next.
    next: usize,
}

impl Changed {
    pub fn mark(&mut self, id: u32) {
        let (word, bit) = (id as usize / 64, 1 << (id % 64));
        if word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        let word = &mut self.bits[word];
        self.count += usize::from(*word & bit == 0);
        *word |= bit;
    }

    /// Marks all ids below `limit`.
    pub fn mark_below(&mut self, limit: usize) {
        (0..limit as u32).for_each(|id| self.mark(id));
    }

    pub fn len(&self) -> usize {
        self.count
    }

    /// Takes one out; those that follow each other mostly rise.
    pub fn take(&mut self) -> Option<u32> {
        if self.count == 0 {
            return None;
        }
        loop {
            match self.bits.get_mut(self.next) {
                None => self.next = 0,
                Some(0) => self.next += 1,
                Some(word) => {
                    let bit = word.trailing_zeros();
                    *word &= *word - 1;
                    self.count -= 1;
                    return Some(self.next as u32 * 64 + bit);
                }
            }
        }
    }
}

/// What became of a record that was to be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copied {
    Record,
    /// There is none of this id any more.
    Gone,
    /// It is so large that copying it would hold up the worker.
    TooLarge,
}

/// A record of more bytes would hold up the worker for longer than anyone should wait.
pub(crate) const RECORD_BYTES_MAX: usize = 2 * 1024 * 1024;

/// An operator whose state can be copied and made again. One without families keeps nothing.
pub(crate) trait Kept {
    fn families(&self) -> usize {
        0
    }

    /// The ids of a family that have changed.
    fn changed(&mut self, family: usize) -> &mut Changed {
        unreachable!("there is no family {family}")
    }

    /// One more than the largest id of a family.
    fn id_limit(&self, family: usize) -> usize {
        unreachable!("there is no family {family}")
    }

    /// Appends a record to `out`.
    fn copy(&self, family: usize, id: u32, _out: &mut Vec<u8>) -> Copied {
        unreachable!("there is no family {family} with a record {id}")
    }

    /// Takes a record back, into an operator that was just made; `None` if it is none of its own.
    /// Every id at most once, in any order.
    fn restore(&mut self, _family: usize, _id: u32, _record: &mut Cursor<'_>) -> Option<()> {
        None
    }

    /// All records are there: what is made of them follows.
    fn restored(&mut self) -> Option<()> {
        Some(())
    }
}

/// A value with a form in bytes.
pub(crate) trait Stored: Sized {
    fn put(&self, out: &mut Vec<u8>);

    /// `None` where the bytes are none of this type's.
    fn take(from: &mut Cursor<'_>) -> Option<Self>;

    /// Whether it is small enough to be a record.
    fn is_small(&self) -> bool {
        true
    }
}

/// Bytes being read.
pub struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    /// A number as [`put_number`] writes it (LEB128).
    pub(crate) fn number(&mut self) -> Option<u64> {
        let (mut number, mut shift) = (0, 0);
        loop {
            let [byte] = self.array()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(number);
            }
            shift += 7;
        }
    }

    pub(crate) fn sized(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.bytes(length)
    }
}

pub(crate) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Bytes behind their length.
pub(crate) fn put_sized(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

macro_rules! stored_numbers {
    ($($ty:ty),*) => {$(
        impl Stored for $ty {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn take(from: &mut Cursor<'_>) -> Option<Self> {
                from.array().map(<$ty>::from_le_bytes)
            }
        }
    )*};
}

stored_numbers!(u8, i16, i32, u32, i64, u64, i128, f64);

impl<A: Stored, B: Stored> Stored for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn take(from: &mut Cursor<'_>) -> Option<Self> {
        Some((A::take(from)?, B::take(from)?))
    }
}

impl<T: Stored, const N: usize> Stored for [T; N] {
    fn put(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|item| item.put(out));
    }

    fn take(from: &mut Cursor<'_>) -> Option<Self> {
        let items = (0..N).map(|_| T::take(from)).collect::<Option<Vec<T>>>()?;
        items.try_into().ok()
    }
}

impl<T: Stored> Stored for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_number(out, self.len() as u64);
        self.iter().for_each(|item| item.put(out));
    }

    fn take(from: &mut Cursor<'_>) -> Option<Self> {
        let length = from.number()?;
        (0..length).map(|_| T::take(from)).collect()
    }
}

impl<T: Stored> Stored for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_some()));
        self.iter().for_each(|item| item.put(out));
    }

    fn take(from: &mut Cursor<'_>) -> Option<Self> {
        match from.array()? {
            [0] => Some(None),
            [1] => T::take(from).map(Some),
            _ => None,
        }
    }
}

impl Stored for Box<[u8]> {
    fn put(&self, out: &mut Vec<u8>) {
        put_sized(out, self);
    }

    fn take(from: &mut Cursor<'_>) -> Option<Self> {
        from.sized().map(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn what_is_marked_is_taken_once() {
        let mut random = StdRng::seed_from_u64(1);
        let (mut changed, mut reference) = (Changed::default(), BTreeSet::new());
        for _ in 0..20_000 {
            if random.random_bool(0.5) {
                let id = random.random_range(0..2_000);
                changed.mark(id);
                reference.insert(id);
            } else {
                let taken = changed.take();
                assert_eq!(taken.is_none(), reference.is_empty());
                assert!(taken.is_none_or(|id| reference.remove(&id)));
            }
            assert_eq!(changed.len(), reference.len());
        }
    }

    #[test]
    fn values_come_back_and_cut_bytes_do_not() {
        type Value = (Vec<(i64, Option<Box<[u8]>>)>, [f64; 2]);
        let value: Value = (vec![(-1, None), (7, Some([1, 2].into()))], [0.5, -0.0]);
        let mut bytes = Vec::new();
        value.put(&mut bytes);
        for number in [0, 127, 128, u64::MAX] {
            put_number(&mut bytes, number);
        }
        let mut cursor = Cursor(&bytes);
        assert_eq!(Value::take(&mut cursor), Some(value));
        let numbers = [0; 4].map(|_| cursor.number());
        assert_eq!(numbers, [Some(0), Some(127), Some(128), Some(u64::MAX)]);
        assert!(cursor.is_empty());
        let whole = bytes.len() - 14;
        assert!((0..whole).all(|length| Value::take(&mut Cursor(&bytes[..length])).is_none()));
    }
}
