//! histogram(x): how often each value of the group is there, as a jsonb object with the values'
//! text as keys; NULLs count for nothing; NULL over nothing.
//!
//! The planner makes text of the values. Each group keeps its values with their counts.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, LargeStringBuilder};
use arrow::datatypes::DataType;

use super::collected::{Collected, Collecting, Failed, Picked};
use super::jsonb_agg::quoted;
use super::{Accumulator, AggregateFunction, CallTypes, Class};
use crate::state::ordered_counts::OrderedCounts;

#[derive(Debug)]
pub(super) struct Histogram;

impl AggregateFunction for Histogram {
    fn name(&self) -> &'static str {
        "histogram"
    }

    fn return_type(&self, arguments: &[DataType]) -> Option<DataType> {
        (*arguments == [DataType::Utf8]).then_some(DataType::LargeUtf8)
    }

    fn class(&self) -> Class {
        Class::Collecting
    }

    fn accumulator_of(&self, call: &CallTypes<'_>) -> Box<dyn Accumulator> {
        Box::new(Collected::ordered(Counts, call))
    }
}

struct Counts;

impl Collecting for Counts {
    type State = OrderedCounts;

    fn required(&self) -> &[usize] {
        &[0]
    }

    fn pick(&self, rows: &OrderedCounts, picked: &mut Picked) {
        rows.iter().for_each(|(row, times)| picked.push_weighted(row, times as f64));
        picked.end_value();
    }

    fn finish(&self, picked: &Picked, columns: &[ArrayRef]) -> Result<ArrayRef, Vec<Failed>> {
        let values = columns[0].as_string::<i32>();
        let mut builder = LargeStringBuilder::new();
        for rows in picked.values() {
            // jsonb's order of keys: the shorter first, then by bytes.
            let mut counts: Vec<(&str, f64)> = rows
                .iter()
                .filter(|&&row| values.is_valid(row as usize))
                .map(|&row| (values.value(row as usize), picked.weight(row)))
                .collect();
            counts.sort_by_key(|(value, _)| (value.len(), *value));
            let members: Vec<String> =
                counts.iter().map(|(value, count)| format!("{}: {count}", quoted(value))).collect();
            let some = !members.is_empty();
            builder.append_option(some.then(|| format!("{{{}}}", members.join(", "))));
        }
        Ok(Arc::new(builder.finish()))
    }
}
