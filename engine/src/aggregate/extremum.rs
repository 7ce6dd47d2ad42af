//! min(x) and max(x): of any type with an order, NULL over nothing; the type of x.
//!
//! Each group keeps its distinct values in order, with their counts, so that a deleted extremum
//! gives way to the next without a look at the input; of values that never leave, only the
//! extremum. NaN is the greatest float, text compares by bytes, intervals by their length.

use arrow::compute::SortOptions;
use arrow::datatypes::DataType;

use super::collected::{Collected, Only, Pick};
use super::{Accumulator, AggregateFunction, CallTypes, Class, Extreme, native_extremum};
use crate::state::ordered_counts::OrderedCounts;

pub(super) static MIN: Extremum = Extremum { name: "min", greatest: false };
pub(super) static MAX: Extremum = Extremum { name: "max", greatest: true };

#[derive(Debug)]
pub(super) struct Extremum {
    name: &'static str,
    greatest: bool,
}

impl Extremum {
    fn options(&self) -> SortOptions {
        SortOptions { descending: self.greatest, nulls_first: false }
    }
}

impl AggregateFunction for Extremum {
    fn name(&self) -> &'static str {
        self.name
    }

    fn return_type(&self, arguments: &[DataType]) -> Option<DataType> {
        match arguments {
            // Postgres has no min of these either.
            [DataType::Boolean | DataType::Binary | DataType::FixedSizeBinary(_)] => None,
            [DataType::LargeUtf8 | DataType::Null] => None,
            [data_type] => Some(data_type.clone()),
            _ => None,
        }
    }

    fn class(&self) -> Class {
        Class::Extremum
    }

    fn extreme(&self, call: &CallTypes<'_>) -> Option<Extreme> {
        Some(Extreme::new(call, 0, self.options(), &[], 0))
    }

    fn accumulator_of(&self, call: &CallTypes<'_>) -> Box<dyn Accumulator> {
        let native = native_extremum::of_type(&call.arguments[0], self.greatest, call.append_only);
        if let Some(native) = native {
            return native;
        }
        let keys = [(0, self.options())];
        match call.append_only {
            true => Box::new(Collected::new(Pick::<Only<false>>::new(0, &[0]), call, &keys, &[])),
            false => {
                Box::new(Collected::new(Pick::<OrderedCounts>::new(0, &[0]), call, &keys, &[]))
            }
        }
    }
}
