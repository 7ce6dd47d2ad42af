//! mode() WITHIN GROUP (ORDER BY x): the most frequent x, of several the first in order; NULL over
//! nothing; the type of x.
//!
//! Each group keeps its values with their counts, and by their counts, so that a change costs
//! searches only.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;

use super::collected::{Collected, Collecting, Failed, Ordered, Picked};
use super::{Accumulator, AggregateFunction, CallTypes, Class, Order};
use crate::checkpoint::record::{Cursor, RECORD_BYTES_MAX, Stored, put_number, put_sized};

#[derive(Debug)]
pub(super) struct Mode;

impl AggregateFunction for Mode {
    fn name(&self) -> &'static str {
        "mode"
    }

    fn return_type(&self, arguments: &[DataType]) -> Option<DataType> {
        match arguments {
            [DataType::Null] => None,
            [data_type] => Some(data_type.clone()),
            _ => None,
        }
    }

    fn class(&self) -> Class {
        Class::Collecting
    }

    fn order(&self) -> Order {
        Order::WithinGroup
    }

    fn accumulator_of(&self, call: &CallTypes<'_>) -> Box<dyn Accumulator> {
        let direction = call.order.first().map(|(_, options)| *options).unwrap_or_default();
        Box::new(Collected::new(MostFrequent, call, &[(0, direction)], &[]))
    }
}

/// The values with their counts, and the present ones by falling count.
#[derive(Clone, Default)]
struct Frequencies {
    counts: BTreeMap<Box<[u8]>, i64>,
    by_count: BTreeSet<(i64, Box<[u8]>)>,
    bytes: usize,
}

impl Stored for Frequencies {
    fn put(&self, out: &mut Vec<u8>) {
        put_number(out, self.counts.len() as u64);
        for (value, count) in &self.counts {
            put_sized(out, value);
            count.put(out);
        }
    }

    fn take(from: &mut Cursor<'_>) -> Option<Self> {
        let mut frequencies = Frequencies::default();
        for _ in 0..from.number()? {
            let (value, count) = (from.sized()?, i64::take(from)?);
            frequencies.add(value, count);
        }
        Some(frequencies)
    }

    fn is_small(&self) -> bool {
        self.bytes <= RECORD_BYTES_MAX
    }
}

impl Ordered for Frequencies {
    fn add(&mut self, row: &[u8], diff: i64) {
        let before = self.counts.get(row).copied().unwrap_or(0);
        let after = before + diff;
        if before != 0 {
            self.by_count.remove(&(-before, row.into()));
        }
        // Each value stands in both.
        let entries = 2 * (size_of::<(Box<[u8]>, i64)>() + row.len());
        if after == 0 {
            self.counts.remove(row);
            self.bytes -= if before != 0 { entries } else { 0 };
        } else {
            self.counts.insert(row.into(), after);
            self.by_count.insert((-after, row.into()));
            self.bytes += if before == 0 { entries } else { 0 };
        }
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

struct MostFrequent;

impl Collecting for MostFrequent {
    type State = Frequencies;

    fn required(&self) -> &[usize] {
        &[0]
    }

    fn pick(&self, values: &Frequencies, picked: &mut Picked) {
        if let Some((_, value)) = values.by_count.first() {
            picked.push(value, 1);
        }
        picked.end_value();
    }

    fn finish(&self, picked: &Picked, columns: &[ArrayRef]) -> Result<ArrayRef, Vec<Failed>> {
        Ok(picked.firsts(&columns[0]))
    }
}
