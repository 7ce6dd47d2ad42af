//! string_agg(text, delimiter ORDER BY …), of bytea too: the values that are not NULL in order,
//! each but the first behind its delimiter; NULL over nothing.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use super::collected::{Collected, Collecting, Failed, Picked};
use super::{Accumulator, AggregateFunction, CallTypes, Class, Constants, Order};
use crate::state::ordered_counts::OrderedCounts;

#[derive(Debug)]
pub(super) struct StringAgg;

impl AggregateFunction for StringAgg {
    fn name(&self) -> &'static str {
        "string_agg"
    }

    fn return_type(&self, arguments: &[DataType]) -> Option<DataType> {
        match arguments {
            [ty @ (DataType::Utf8 | DataType::Binary), delimiter] if ty == delimiter => {
                Some(ty.clone())
            }
            _ => None,
        }
    }

    fn class(&self) -> Class {
        Class::Collecting
    }

    fn constants(&self) -> Constants {
        Constants::Allowed
    }

    fn order(&self) -> Order {
        Order::Free
    }

    fn accumulator_of(&self, call: &CallTypes<'_>) -> Box<dyn Accumulator> {
        let delimiter = match call.parameters.first() {
            Some(ScalarValue::Utf8(text)) => text.clone().unwrap_or_default().into_bytes(),
            Some(ScalarValue::Binary(bytes)) => bytes.clone().unwrap_or_default(),
            _ => Vec::new(),
        };
        let strings = Strings { argument: call.order.len(), delimiter };
        Box::new(Collected::ordered(strings, call))
    }
}

struct Strings {
    /// Its place behind the order keys; behind it stands the delimiter, if that is a column.
    argument: usize,
    delimiter: Vec<u8>,
}

impl Strings {
    /// The concatenation of the values, and which rows it has none for.
    fn joined<'a>(
        &'a self,
        picked: &Picked,
        bytes: impl Fn(&'a ArrayRef, usize) -> &'a [u8],
        columns: &'a [ArrayRef],
        mut put: impl FnMut(Option<Vec<u8>>),
    ) {
        let values = &columns[self.argument];
        let delimiters = columns.get(self.argument + 1);
        for rows in picked.values() {
            let mut all = Vec::new();
            for (place, &row) in rows.iter().enumerate() {
                let row = row as usize;
                match delimiters {
                    _ if place == 0 => {}
                    None => all.extend_from_slice(&self.delimiter),
                    Some(delimiters) if delimiters.is_valid(row) => {
                        all.extend_from_slice(bytes(delimiters, row));
                    }
                    Some(_) => {}
                }
                all.extend_from_slice(bytes(values, row));
            }
            put((!rows.is_empty()).then_some(all));
        }
    }
}

impl Collecting for Strings {
    type State = OrderedCounts;

    fn required(&self) -> &[usize] {
        &[0]
    }

    fn pick(&self, rows: &OrderedCounts, picked: &mut Picked) {
        rows.iter().for_each(|(row, times)| picked.push(row, times));
        picked.end_value();
    }

    fn finish(&self, picked: &Picked, columns: &[ArrayRef]) -> Result<ArrayRef, Vec<Failed>> {
        match columns[self.argument].data_type() {
            DataType::Utf8 => {
                let mut builder = StringBuilder::new();
                self.joined(picked, text_at, columns, |all| {
                    let text = all.map(|all| String::from_utf8(all).expect("texts joined"));
                    builder.append_option(text);
                });
                Ok(Arc::new(builder.finish()))
            }
            _ => {
                let mut builder = BinaryBuilder::new();
                self.joined(picked, bytes_at, columns, |all| builder.append_option(all));
                Ok(Arc::new(builder.finish()))
            }
        }
    }
}

fn text_at(column: &ArrayRef, row: usize) -> &[u8] {
    column.as_string::<i32>().value(row).as_bytes()
}

fn bytes_at(column: &ArrayRef, row: usize) -> &[u8] {
    column.as_binary::<i32>().value(row)
}
