//! DISTINCT: a function over each tuple of arguments once.
//!
//! Law      a tuple counts while its multiplicity among the rows that the filter leaves is above 0
//! Delta    of a tuple's rows only the first to appear and the last to disappear come through
//! State    a count for each distinct tuple of each group, beside the function's own state
//! Errors   none of its own
//!
//! Tuples are equal as keys are: NULLs too, −0 is 0; what comes through is normalized likewise, so
//! that what leaves is what came.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use hashbrown::hash_map::EntryRef;

use super::{Accumulator, AggregateFunction, CallTypes, Run, SweepInput, Swept};
use crate::checkpoint::record::{Cursor, RECORD_BYTES_MAX, Stored, put_number, put_sized};
use crate::state::key_index::{KeyCodec, normalize_floats};

type Counts = HashMap<Tuple, i64, FixedState>;

/// So many bytes of a tuple stand in its place in the table.
const SHORT: usize = 15;

/// The bytes of a tuple.
#[derive(Clone, Debug)]
enum Tuple {
    Short { length: u8, bytes: [u8; SHORT] },
    Long(Box<[u8]>),
}

impl Borrow<[u8]> for Tuple {
    fn borrow(&self) -> &[u8] {
        match self {
            Tuple::Short { length, bytes } => &bytes[..usize::from(*length)],
            Tuple::Long(bytes) => bytes,
        }
    }
}

impl From<&[u8]> for Tuple {
    fn from(tuple: &[u8]) -> Self {
        if tuple.len() > SHORT {
            return Tuple::Long(tuple.into());
        }
        let mut bytes = [0; SHORT];
        bytes[..tuple.len()].copy_from_slice(tuple);
        Tuple::Short { length: tuple.len() as u8, bytes }
    }
}

impl Hash for Tuple {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Borrow::<[u8]>::borrow(self).hash(state);
    }
}

impl PartialEq for Tuple {
    fn eq(&self, other: &Self) -> bool {
        Borrow::<[u8]>::borrow(self) == Borrow::<[u8]>::borrow(other)
    }
}

impl Eq for Tuple {}

pub(super) struct Distinct {
    inner: Box<dyn Accumulator>,
    codec: KeyCodec,
    /// Arguments; the columns behind them are order keys, which the arguments decide.
    arguments: usize,
    groups: Vec<Counts>,
    /// The bytes of all tuples with their counts.
    kept: usize,
}

impl Distinct {
    /// `function` over distinct tuples, for the call.
    pub fn boxed(function: &dyn AggregateFunction, call: &CallTypes<'_>) -> Box<dyn Accumulator> {
        Self::over(function.accumulator_of(call), call.arguments)
    }

    /// What `inner` gives over distinct tuples of arguments of these types.
    pub fn over(inner: Box<dyn Accumulator>, arguments: &[DataType]) -> Box<dyn Accumulator> {
        Box::new(Distinct {
            inner,
            codec: KeyCodec::for_keys(arguments.iter().cloned()),
            arguments: arguments.len(),
            groups: Vec::new(),
            kept: 0,
        })
    }
}

impl Accumulator for Distinct {
    fn resize(&mut self, groups: usize) {
        self.groups.resize_with(groups, Counts::default);
        self.inner.resize(groups);
    }

    fn sweep(&mut self, input: &SweepInput<'_>, runs: &[Run]) -> Swept {
        let rows = input.arguments.first().map_or(input.diffs.len(), |column| column.len());
        let keys = self.codec.encode(&input.arguments[..self.arguments], rows);
        let mut diffs = vec![0; rows];
        let kept = &mut self.kept;
        input.rows.visit(
            runs,
            &mut self.groups,
            |_, _| {},
            |groups, number, row| {
                if input.filter.is_some_and(|filter| filter.is_null(row) || !filter.value(row)) {
                    return;
                }
                let counts = &mut groups[runs[number].group as usize];
                let (key, before) = (keys.key(row).1, counts.len());
                diffs[row] = cross(counts, key, input.diffs[row]);
                match counts.len().cmp(&before) {
                    Ordering::Greater => *kept += entry_bytes(key),
                    Ordering::Less => *kept -= entry_bytes(key),
                    Ordering::Equal => {}
                }
            },
            |_, _| {},
        );
        // Rows that change nothing have a diff of 0 for the function within.
        let arguments: Vec<ArrayRef> = input.arguments.iter().map(normalize_floats).collect();
        let (arguments, rows) = (&arguments[..], input.rows);
        self.inner.sweep(&SweepInput { arguments, filter: None, diffs: &diffs, rows }, runs)
    }

    fn bytes(&self) -> usize {
        size_of_val(&self.groups[..]) + self.kept + self.inner.bytes()
    }

    fn clear(&mut self, group: u32) {
        let cleared = std::mem::take(&mut self.groups[group as usize]);
        self.kept -= cleared.keys().map(|key| entry_bytes(key.borrow())).sum::<usize>();
        self.inner.clear(group);
    }

    fn is_kept(&self) -> bool {
        self.inner.is_kept()
    }

    fn copy(&self, group: u32, out: &mut Vec<u8>) -> bool {
        let tuples = &self.groups[group as usize];
        if tuples.len() * size_of::<(Tuple, i64)>() > RECORD_BYTES_MAX {
            return false;
        }
        put_number(out, tuples.len() as u64);
        for (tuple, count) in tuples {
            put_sized(out, tuple.borrow());
            count.put(out);
        }
        self.inner.copy(group, out)
    }

    fn restore(&mut self, group: u32, from: &mut Cursor<'_>) -> Option<()> {
        let tuples = &mut self.groups[group as usize];
        for _ in 0..from.number()? {
            let (tuple, count) = (from.sized()?, i64::take(from)?);
            tuples.insert(tuple.into(), count);
            self.kept += entry_bytes(tuple);
        }
        self.inner.restore(group, from)
    }
}

/// What a tuple takes with its count.
fn entry_bytes(key: &[u8]) -> usize {
    let outside = if key.len() > SHORT { key.len() } else { 0 };
    size_of::<(Tuple, i64)>() + outside
}

/// Adds to a tuple's count; 1 where it rises above 0, −1 where it falls to 0.
fn cross(counts: &mut Counts, key: &[u8], diff: i64) -> i64 {
    let (before, after) = match counts.entry_ref(key) {
        EntryRef::Occupied(mut entry) => {
            let before = *entry.get();
            let after = before + diff;
            match after {
                0 => drop(entry.remove()),
                _ => *entry.get_mut() = after,
            }
            (before, after)
        }
        EntryRef::Vacant(entry) => {
            if diff != 0 {
                entry.insert(diff);
            }
            (0, diff)
        }
    };
    i64::from(after > 0) - i64::from(before > 0)
}
