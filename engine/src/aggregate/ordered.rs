//! first_value(x ORDER BY …) and last_value: of the rows in order the first and the last, NULLs
//! among them; the type of x.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;

use super::collected::{Collected, Collecting, Failed, Picked};
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
        let end = End { last: self.last, argument: call.order.len() };
        Box::new(Collected::ordered(end, call))
    }
}

struct End {
    last: bool,
    /// Its place behind the order keys.
    argument: usize,
}

impl Collecting for End {
    type State = OrderedCounts;

    fn pick(&self, rows: &OrderedCounts, picked: &mut Picked) {
        let row = if self.last { rows.last() } else { rows.first() };
        if let Some(row) = row {
            picked.push(row, 1);
        }
        picked.end_value();
    }

    fn finish(&self, picked: &Picked, columns: &[ArrayRef]) -> Result<ArrayRef, Vec<Failed>> {
        Ok(picked.firsts(&columns[self.argument]))
    }
}
