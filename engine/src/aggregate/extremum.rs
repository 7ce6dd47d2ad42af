//! min(x) and max(x): of any type with an order, NULL over nothing; the type of x.
//!
//! Each group keeps its distinct values in order, with their counts, so that a deleted extremum
//! gives way to the next without a look at the input. Values are held in Arrow's row format, whose
//! bytes are in the order of the values: NaN is the greatest float, text compares by bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};

use super::{Accumulator, AggregateFunction, Output, Run, SweepInput, Swept, sweep_states};
use crate::state::key_index::normalize_floats;

pub(super) static MIN: Extremum = Extremum { name: "min", greatest: false };
pub(super) static MAX: Extremum = Extremum { name: "max", greatest: true };

pub(super) struct Extremum {
    name: &'static str,
    greatest: bool,
}

impl fmt::Debug for Extremum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
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

    fn accumulator(&self, arguments: &[DataType]) -> Box<dyn Accumulator> {
        let field = SortField::new(arguments[0].clone());
        Box::new(Extrema {
            states: Vec::new(),
            greatest: self.greatest,
            data_type: arguments[0].clone(),
            converter: RowConverter::new(vec![field]).expect("every SQL type has a row format"),
        })
    }
}

type Values = BTreeMap<Box<[u8]>, i64>;

struct Extrema {
    states: Vec<Values>,
    greatest: bool,
    data_type: DataType,
    converter: RowConverter,
}

/// Values as row bytes; `None` for NULL.
#[derive(Default)]
struct BytesOutput(Vec<Option<Box<[u8]>>>);

impl Output for BytesOutput {
    type Value = Box<[u8]>;

    fn push(&mut self, value: Box<[u8]>) {
        self.0.push(Some(value));
    }

    fn push_null(&mut self) {
        self.0.push(None);
    }

    fn finish(self, _: &DataType) -> ArrayRef {
        let bytes = self.0.iter().map(Option::as_deref);
        Arc::new(arrow::array::LargeBinaryArray::from_iter(bytes))
    }
}

impl Extrema {
    /// Row bytes back to values of the type.
    fn decode(&self, bytes: &ArrayRef) -> ArrayRef {
        let bytes = bytes
            .as_any()
            .downcast_ref::<arrow::array::LargeBinaryArray>()
            .expect("what BytesOutput makes");
        let parser = self.converter.parser();
        let rows: Vec<_> = bytes.iter().flatten().map(|bytes| parser.parse(bytes)).collect();
        let values = self.converter.convert_rows(rows).expect("bytes that this converter wrote");
        let null = new_null_array(&self.data_type, 1);
        let mut next = 0..;
        let places: Vec<(usize, usize)> = (0..bytes.len())
            .map(|i| match bytes.is_null(i) {
                true => (1, 0),
                false => (0, next.next().expect("endless")),
            })
            .collect();
        interleave(&[values[0].as_ref(), null.as_ref()], &places).expect("of one type")
    }
}

impl Accumulator for Extrema {
    fn resize(&mut self, groups: usize) {
        self.states.resize(groups, Values::new());
    }

    fn sweep(&mut self, input: &SweepInput<'_>, runs: &[Run]) -> Swept {
        let argument = normalize_floats(&input.arguments[0]);
        let rows = self.converter.convert_columns(&[argument]).expect("a column of the type");
        let greatest = self.greatest;
        let extremum = |values: &Values| {
            let found = match greatest {
                true => values.last_key_value(),
                false => values.first_key_value(),
            };
            Ok(found.map(|(value, _)| value.clone()))
        };
        let update = |values: &mut Values, row: usize, diff: i64| {
            let bytes = rows.row(row).data();
            match values.get_mut(bytes) {
                Some(count) => {
                    *count += diff;
                    if *count == 0 {
                        values.remove(bytes);
                    }
                }
                None => drop(values.insert(bytes.into(), diff)),
            }
        };
        let states = &mut self.states;
        let swept =
            sweep_states::<_, BytesOutput>(states, input, runs, &self.data_type, update, extremum);
        Swept { before: self.decode(&swept.before), after: self.decode(&swept.after), ..swept }
    }

    fn clear(&mut self, group: u32) {
        self.states[group as usize] = Values::new();
    }
}
