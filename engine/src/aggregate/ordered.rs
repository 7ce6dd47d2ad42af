//! first_value(x ORDER BY …) and last_value: of the rows in order the first and the last, NULLs
//! among them; the type of x. Of rows that never leave, each group keeps the one.

use arrow::datatypes::DataType;

use super::collected::{Collected, LastOf, One, Only, Pick};
use super::{Accumulator, AggregateFunction, CallTypes, Class, Order};
use crate::state::ordered_counts::OrderedCounts;

pub(super) static FIRST_VALUE: EndValue = EndValue { name: "first_value", last: false };
pub(super) static LAST_VALUE: EndValue = EndValue { name: "last_value", last: true };

#[derive(Debug)]
pub(super) struct EndValue {
    name: &'static str,
    last: bool,
}

impl AggregateFunction for EndValue {
    fn name(&self) -> &'static str {
        self.name
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
        Order::Free
    }

    fn accumulator_of(&self, call: &CallTypes<'_>) -> Box<dyn Accumulator> {
        // Its argument stands behind the order keys.
        let column = call.order.len();
        match (self.last, call.append_only) {
            (false, false) => ordered::<OrderedCounts>(column, call),
            (false, true) => ordered::<Only<false>>(column, call),
            (true, false) => ordered::<LastOf>(column, call),
            (true, true) => ordered::<Only<true>>(column, call),
        }
    }
}

fn ordered<S: One + 'static>(column: usize, call: &CallTypes<'_>) -> Box<dyn Accumulator> {
    Box::new(Collected::ordered(Pick::<S>::new(column, &[]), call))
}
