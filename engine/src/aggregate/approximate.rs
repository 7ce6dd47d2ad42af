//! approx_percentile(x, p) and approx_count_distinct(x).
//!
//! approx_percentile is the value at place ceil(p·n) of the values in order, to within 1/128 of
//! itself; double precision, NULL over nothing, p a constant from 0 to 1. Each group counts its
//! values in buckets of which 64 cover a power of two (the relative-error histogram of DDSketch,
//! Masson, Rim and Lee 2019, with HdrHistogram's linear buckets between powers): counting forgets
//! what leaves, and needs no logarithm.
//!
//! approx_count_distinct is exact: count(DISTINCT x), bigint.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Float64Type};

use super::count::Count;
use super::distinct::Distinct;
use super::percentile::fractions;
use super::sum::floats;
use super::{
    Accumulator, AggregateFunction, CallTypes, Constants, PrimitiveOutput, Run, SweepInput, Swept,
    kept_states, sweep_states,
};
use crate::checkpoint::record::{Cursor, Stored};

#[derive(Debug)]
pub(super) struct ApproxCountDistinct;

impl AggregateFunction for ApproxCountDistinct {
    fn name(&self) -> &'static str {
        "approx_count_distinct"
    }

    fn return_type(&self, arguments: &[DataType]) -> Option<DataType> {
        (arguments.len() == 1).then_some(DataType::Int64)
    }

    fn accumulator_of(&self, call: &CallTypes<'_>) -> Box<dyn Accumulator> {
        Box::new(Distinct::over(vec![Count.accumulator_of(call)], call))
    }
}

#[derive(Debug)]
pub(super) struct ApproxPercentile;

impl AggregateFunction for ApproxPercentile {
    fn name(&self) -> &'static str {
        "approx_percentile"
    }

    fn return_type(&self, arguments: &[DataType]) -> Option<DataType> {
        match arguments {
            [DataType::Float32 | DataType::Float64, DataType::Float64] => Some(DataType::Float64),
            _ => None,
        }
    }

    fn constants(&self) -> Constants {
        Constants::Required
    }

    fn accumulator_of(&self, call: &CallTypes<'_>) -> Box<dyn Accumulator> {
        let parameter = call.parameters.first().expect("the fraction is a constant");
        let fractions = fractions(parameter).expect("checked when it was planned");
        let fraction = fractions.first().copied().flatten();
        Box::new(Sketches { states: Vec::new(), buckets: 0, fraction })
    }
}

/// Bits of a float's magnitude below its bucket: 52 of the fraction but 6.
const BELOW: u32 = 46;

#[derive(Clone, Debug, Default)]
struct Sketch {
    count: i64,
    /// By signed bucket: that of a value is the upper bits of its magnitude, with its sign.
    buckets: BTreeMap<i32, i64>,
}

impl Stored for Sketch {
    fn put(&self, out: &mut Vec<u8>) {
        self.count.put(out);
        let buckets: Vec<(i32, i64)> = self.buckets.iter().map(|(&b, &count)| (b, count)).collect();
        buckets.put(out);
    }

    fn take(from: &mut Cursor<'_>) -> Option<Self> {
        let (count, buckets): (i64, Vec<(i32, i64)>) = Stored::take(from)?;
        Some(Sketch { count, buckets: buckets.into_iter().collect() })
    }
}

impl Sketch {
    /// How many buckets there are more.
    fn add(&mut self, value: f64, diff: i64) -> isize {
        let before = self.buckets.len() as isize;
        self.count += diff;
        let bucket = bucket(value);
        let count = self.buckets.entry(bucket).or_insert(0);
        *count += diff;
        if *count == 0 {
            self.buckets.remove(&bucket);
        }
        self.buckets.len() as isize - before
    }

    fn percentile(&self, fraction: f64) -> Option<f64> {
        let place = (fraction * self.count as f64).ceil().max(1.0) as i64;
        let mut reached = 0;
        let found = self.buckets.iter().find(|(_, count)| {
            reached += **count;
            reached >= place
        });
        found.map(|(&bucket, _)| middle(bucket))
    }
}

/// In the order of the values, NaN the greatest; both zeros are in bucket 0.
fn bucket(value: f64) -> i32 {
    let value = if value.is_nan() { f64::NAN } else { value };
    let magnitude = (value.abs().to_bits() >> BELOW) as i32;
    if value.is_sign_negative() { -magnitude } else { magnitude }
}

/// What stands for the values of a bucket: its middle. Of the first, which begins at 0, that is 0;
/// infinity and NaN have their buckets to themselves.
fn middle(bucket: i32) -> f64 {
    let lowest = f64::from_bits(u64::from(bucket.unsigned_abs()) << BELOW);
    let magnitude = match bucket {
        0 => return 0.0,
        _ if !lowest.is_finite() => lowest,
        _ => f64::from_bits(lowest.to_bits() | 1 << (BELOW - 1)),
    };
    if bucket < 0 { -magnitude } else { magnitude }
}

struct Sketches {
    states: Vec<Sketch>,
    /// Of all of them.
    buckets: usize,
    fraction: Option<f64>,
}

impl Accumulator for Sketches {
    fn resize(&mut self, groups: usize) {
        self.states.resize(groups, Sketch::default());
    }

    fn sweep(&mut self, input: &SweepInput<'_>, runs: &[Run]) -> Swept {
        let values = floats(&input.arguments[0]);
        let fraction = self.fraction;
        let buckets = &mut self.buckets;
        sweep_states::<_, PrimitiveOutput<Float64Type>>(
            &mut self.states,
            input,
            runs,
            &DataType::Float64,
            |sketch, row, diff| {
                *buckets = buckets.wrapping_add_signed(sketch.add(values(row), diff));
            },
            |sketch| Ok(fraction.and_then(|fraction| sketch.percentile(fraction))),
        )
    }

    fn bytes(&self) -> usize {
        size_of_val(&self.states[..]) + self.buckets * size_of::<(i32, i64)>()
    }

    fn clear(&mut self, group: u32) {
        let cleared = std::mem::take(&mut self.states[group as usize]);
        self.buckets -= cleared.buckets.len();
    }

    kept_states!(buckets: |sketch: &Sketch| sketch.buckets.len());
}
