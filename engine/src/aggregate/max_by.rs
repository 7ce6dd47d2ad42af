//! max_by(x, y), also called arg_max, and min_by: x of the row with the greatest or least y.
//!
//! Rows with y NULL do not count; x may be NULL. Of rows with the same y the least x, NULL last
//! (S9). The type of x. Of rows that never leave, each group keeps the one.

use arrow::compute::SortOptions;
use arrow::datatypes::DataType;

use super::collected::{Collected, Only, Pick};
use super::{Accumulator, AggregateFunction, CallTypes, Class, Extreme};
use crate::state::ordered_counts::OrderedCounts;

pub(super) static MAX_BY: By = By { name: "max_by", aliases: &["arg_max"], greatest: true };
pub(super) static MIN_BY: By = By { name: "min_by", aliases: &["arg_min"], greatest: false };

#[derive(Debug)]
pub(super) struct By {
    name: &'static str,
    aliases: &'static [&'static str],
    greatest: bool,
}

impl By {
    fn options(&self) -> SortOptions {
        SortOptions { descending: self.greatest, nulls_first: false }
    }
}

impl AggregateFunction for By {
    fn name(&self) -> &'static str {
        self.name
    }

    fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }

    fn return_type(&self, arguments: &[DataType]) -> Option<DataType> {
        match arguments {
            [DataType::Null, _] | [_, DataType::Null | DataType::LargeUtf8] => None,
            [value, _] => Some(value.clone()),
            _ => None,
        }
    }

    fn class(&self) -> Class {
        Class::Extremum
    }

    fn extreme(&self, call: &CallTypes<'_>) -> Option<Extreme> {
        Some(Extreme::new(call, 1, self.options(), &[0], 0))
    }

    fn accumulator_of(&self, call: &CallTypes<'_>) -> Box<dyn Accumulator> {
        let keys = [(1, self.options())];
        match call.append_only {
            true => Box::new(Collected::new(Pick::<Only<false>>::new(1, &[1]), call, &keys, &[0])),
            false => {
                Box::new(Collected::new(Pick::<OrderedCounts>::new(1, &[1]), call, &keys, &[0]))
            }
        }
    }
}
