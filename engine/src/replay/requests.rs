//! Requests: keys with times, in order of key and time.
//!
//! A request is met by its place in that order, so that what a row counts for is a range of places:
//! those of its key whose times are in its span.

use std::ops::Range;

use arrow::array::ArrayRef;

use super::keys::{Keys, NONE};
use crate::time::Timestamp;

/// See the head of this file. Requests with a NULL are left out.
pub(super) struct Requests {
    /// A row for each request, as they were given.
    pub columns: Vec<ArrayRef>,
    pub keys: Keys,
    /// By place: the number it was given as, and the time.
    pub numbers: Vec<u32>,
    pub times: Vec<u64>,
    /// Where the places of each key begin, and where the last one's end.
    starts: Vec<u32>,
}

impl Requests {
    pub fn new(columns: &[ArrayRef], times: &[Option<u64>]) -> Self {
        let (keys, of_rows) = Keys::new(columns, times.len());
        let asked = times.iter().zip(&of_rows).enumerate();
        let asked = asked.filter_map(|(number, (&time, &key))| {
            Some((key, time?, u32::try_from(number).expect("fewer than 2^32 requests")))
        });
        let mut asked: Vec<(u32, u64, u32)> = asked.filter(|(key, ..)| *key != NONE).collect();
        asked.sort_unstable();
        let mut starts = vec![0u32; keys.len() + 1];
        asked.iter().for_each(|(key, ..)| starts[*key as usize + 1] += 1);
        for key in 0..keys.len() {
            starts[key + 1] += starts[key];
        }
        Requests {
            columns: columns.to_vec(),
            keys,
            numbers: asked.iter().map(|(_, _, number)| *number).collect(),
            times: asked.iter().map(|(_, time, _)| *time).collect(),
            starts,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The first time that is asked for; there is one.
    pub fn first(&self) -> Timestamp {
        Timestamp(*self.times.iter().min().expect("there are requests"))
    }

    /// The last one.
    pub fn last(&self) -> Timestamp {
        Timestamp(*self.times.iter().max().expect("there are requests"))
    }

    /// The places of a key.
    pub fn of_key(&self, key: u32) -> Range<u32> {
        self.starts[key as usize]..self.starts[key as usize + 1]
    }

    /// The places of a key that a row meets which is there from `begin` to before `end`.
    pub fn within(&self, key: u32, begin: u64, end: u64) -> Range<u32> {
        let Range { start, end: last } = self.of_key(key);
        let times = &self.times[start as usize..last as usize];
        let from = times.partition_point(|&time| time < begin);
        let to = from + times[from..].partition_point(|&time| time < end);
        start + from as u32..start + to as u32
    }
}
