//! array_agg(x ORDER BY …): all x of the group in order, NULLs among them; NULL over nothing.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, UInt32Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field};

use super::collected::{Collected, Collecting, Failed, Picked};
use super::{Accumulator, AggregateFunction, CallTypes, Class, Order};
use crate::state::ordered_counts::OrderedCounts;

#[derive(Debug)]
pub(super) struct ArrayAgg;

impl AggregateFunction for ArrayAgg {
    fn name(&self) -> &'static str {
        "array_agg"
    }

    fn return_type(&self, arguments: &[DataType]) -> Option<DataType> {
        match arguments {
            // Arrays have one dimension here.
            [DataType::Null | DataType::List(_)] => None,
            [data_type] => Some(list_of(data_type.clone())),
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
        Box::new(Collected::ordered(Arrays { argument: call.order.len() }, call))
    }
}

/// The type of a list of nullable items.
pub(super) fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

struct Arrays {
    /// Its place behind the order keys.
    argument: usize,
}

impl Collecting for Arrays {
    type State = OrderedCounts;

    fn pick(&self, rows: &OrderedCounts, picked: &mut Picked) {
        rows.iter().for_each(|(row, times)| picked.push(row, times));
        picked.end_value();
    }

    fn finish(&self, picked: &Picked, columns: &[ArrayRef]) -> Result<ArrayRef, Vec<Failed>> {
        let rows = UInt32Array::from(picked.rows().to_vec());
        let items = take(&columns[self.argument], &rows, None).expect("numbers of picked rows");
        let offsets = OffsetBuffer::from_lengths(picked.values().map(<[u32]>::len));
        let nulls: NullBuffer = picked.values().map(|rows| !rows.is_empty()).collect();
        let field = Arc::new(Field::new("item", items.data_type().clone(), true));
        Ok(Arc::new(ListArray::new(field, offsets, items, Some(nulls))))
    }
}
