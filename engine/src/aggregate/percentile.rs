//! percentile_cont(p) and percentile_disc(p) WITHIN GROUP (ORDER BY x), and median(x): over the
//! values that are not NULL, NULL over nothing.
//!
//! Of n values in order percentile_cont lies at place p·(n−1) from 0 on, between its neighbours,
//! and is defined for double precision and intervals; percentile_disc is the first value at which
//! at least p of all are reached, and of the type of x. p is a constant from 0 to 1, or an array of
//! such, which makes an array of the values. median is percentile_cont(0.5).

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Builder, IntervalMonthDayNanoBuilder, ListArray, UInt32Array,
    new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{SortOptions, take};
use arrow::datatypes::{DataType, Field, Float64Type, IntervalMonthDayNanoType, IntervalUnit};
use datafusion::common::ScalarValue;

use super::array_agg::list_of;
use super::collected::{Collected, Collecting, Failed, Picked};
use super::interval::between;
use super::{Accumulator, AggregateFunction, CallTypes, Class, Constants, Order};
use crate::state::ordered_counts::OrderedCounts;

pub(super) static CONTINUOUS: Percentile =
    Percentile { name: "percentile_cont", continuous: true };
pub(super) static DISCRETE: Percentile = Percentile { name: "percentile_disc", continuous: false };

#[derive(Debug)]
pub(super) struct Percentile {
    name: &'static str,
    continuous: bool,
}

fn is_continuous(ty: &DataType) -> bool {
    matches!(ty, DataType::Float64 | DataType::Interval(IntervalUnit::MonthDayNano))
}

impl AggregateFunction for Percentile {
    fn name(&self) -> &'static str {
        self.name
    }

    fn return_type(&self, arguments: &[DataType]) -> Option<DataType> {
        let [value, fraction] = arguments else { return None };
        if *value == DataType::Null || self.continuous && !is_continuous(value) {
            return None;
        }
        match fraction {
            DataType::Float64 => Some(value.clone()),
            DataType::List(item) if *item.data_type() == DataType::Float64 => {
                (!matches!(value, DataType::List(_))).then(|| list_of(value.clone()))
            }
            _ => None,
        }
    }

    fn class(&self) -> Class {
        Class::Collecting
    }

    fn can_fail(&self) -> bool {
        self.continuous
    }

    fn constants(&self) -> Constants {
        Constants::Required
    }

    fn order(&self) -> Order {
        Order::WithinGroup
    }

    fn accumulator_of(&self, call: &CallTypes<'_>) -> Box<dyn Accumulator> {
        let parameter = call.parameters.first().expect("the fraction is a constant");
        let fractions = fractions(parameter).expect("checked when it was planned");
        let list = matches!(parameter, ScalarValue::List(_));
        percentiles(call, Percentiles { continuous: self.continuous, list, fractions })
    }
}

/// The fractions of a constant, one or an array of them, and NULL for an array that is NULL; an
/// error where one is not between 0 and 1.
pub fn fractions(parameter: &ScalarValue) -> Result<Vec<Option<f64>>, String> {
    let fractions: Vec<Option<f64>> = match parameter {
        ScalarValue::Float64(fraction) => vec![*fraction],
        ScalarValue::List(list) if list.is_valid(0) => {
            list.value(0).as_primitive::<Float64Type>().iter().collect()
        }
        _ => vec![],
    };
    match fractions.iter().flatten().find(|fraction| !(0.0..=1.0).contains(*fraction)) {
        Some(fraction) => Err(format!("percentile value {fraction} is not between 0 and 1")),
        None => Ok(fractions),
    }
}

#[derive(Debug)]
pub(super) struct Median;

impl AggregateFunction for Median {
    fn name(&self) -> &'static str {
        "median"
    }

    fn return_type(&self, arguments: &[DataType]) -> Option<DataType> {
        match arguments {
            [value] if is_continuous(value) => Some(value.clone()),
            _ => None,
        }
    }

    fn class(&self) -> Class {
        Class::Collecting
    }

    fn can_fail(&self) -> bool {
        true
    }

    fn accumulator_of(&self, call: &CallTypes<'_>) -> Box<dyn Accumulator> {
        let fractions = vec![Some(0.5)];
        percentiles(call, Percentiles { continuous: true, list: false, fractions })
    }
}

fn percentiles(call: &CallTypes<'_>, function: Percentiles) -> Box<dyn Accumulator> {
    let ascending = SortOptions { descending: false, nulls_first: false };
    let direction = call.order.first().map_or(ascending, |(_, options)| *options);
    Box::new(Collected::new(function, call, &[(0, direction)], &[]))
}

struct Percentiles {
    continuous: bool,
    /// Whether the value is an array, one item a fraction.
    list: bool,
    fractions: Vec<Option<f64>>,
}

impl Percentiles {
    /// The values of one fraction after the other, each of its rows: of a continuous one the
    /// neighbours below and above, the weight of the upper beside both.
    fn items(&self, picked: &Picked, column: &ArrayRef) -> Result<ArrayRef, Vec<Failed>> {
        if !self.continuous {
            let rows = self.each(picked, |_, rows| rows.map(|rows| rows[0]));
            let rows: UInt32Array = rows.into_iter().collect();
            if column.is_empty() {
                return Ok(new_null_array(column.data_type(), rows.len()));
            }
            return Ok(take(column, &rows, None).expect("numbers of picked rows"));
        }
        match column.data_type() {
            DataType::Float64 => {
                let values = column.as_primitive::<Float64Type>().values();
                let mut builder = Float64Builder::new();
                self.each(picked, |_, rows| {
                    builder.append_option(rows.map(|rows| {
                        let (lo, hi) = (values[rows[0] as usize], values[rows[1] as usize]);
                        match picked.weight(rows[0]) {
                            0.0 => lo,
                            weight => float_between(lo, hi, weight),
                        }
                    }));
                });
                Ok(Arc::new(builder.finish()))
            }
            _ => {
                let values = column.as_primitive::<IntervalMonthDayNanoType>().values();
                let mut builder = IntervalMonthDayNanoBuilder::new();
                let mut failed: Vec<Failed> = Vec::new();
                self.each(picked, |number, rows| {
                    let Some(rows) = rows else { return builder.append_null() };
                    let (lo, hi) = (values[rows[0] as usize], values[rows[1] as usize]);
                    match between(lo, hi, picked.weight(rows[0])) {
                        Ok(value) => builder.append_value(value),
                        Err(message) => failed.push((number as u32, message)),
                    }
                });
                match failed.is_empty() {
                    true => Ok(Arc::new(builder.finish())),
                    false => Err(failed),
                }
            }
        }
    }

    /// Calls `with` for each item: the number of its value, and its rows.
    fn each<V>(
        &self,
        picked: &Picked,
        mut with: impl FnMut(usize, Option<&[u32]>) -> V,
    ) -> Vec<V> {
        let width = if self.continuous { 2 } else { 1 };
        let mut items = Vec::new();
        for (number, rows) in picked.values().enumerate() {
            let mut own = rows.chunks_exact(width);
            if rows.is_empty() && self.list {
                continue;
            }
            for fraction in &self.fractions {
                let rows = own.next().filter(|_| fraction.is_some());
                items.push(with(number, rows));
            }
        }
        items
    }
}

/// NaN is one NaN, −0 is 0.
fn float_between(lo: f64, hi: f64, weight: f64) -> f64 {
    let value = lo + weight * (hi - lo);
    if value.is_nan() { f64::NAN } else { value + 0.0 }
}

impl Collecting for Percentiles {
    type State = OrderedCounts;

    fn required(&self) -> &[usize] {
        &[0]
    }

    fn pick(&self, values: &OrderedCounts, picked: &mut Picked) {
        let count = values.total();
        for fraction in &self.fractions {
            // The rows of a NULL fraction only hold its place.
            let fraction = fraction.unwrap_or(0.0);
            if self.continuous {
                let place = fraction * (count - 1) as f64;
                let (below, above) = (place.floor(), place.ceil());
                let rows = (values.nth(below as i64), values.nth(above as i64));
                if let (Some(below_row), Some(above_row)) = rows {
                    picked.push_weighted(below_row, place - below);
                    picked.push_weighted(above_row, place - below);
                }
            } else {
                let place = (fraction * count as f64).ceil().max(1.0) as i64 - 1;
                if let Some(row) = values.nth(place) {
                    picked.push(row, 1);
                }
            }
        }
        picked.end_value();
    }

    fn finish(&self, picked: &Picked, columns: &[ArrayRef]) -> Result<ArrayRef, Vec<Failed>> {
        let items = self.items(picked, &columns[0])?;
        if !self.list {
            return Ok(items);
        }
        let there: Vec<bool> = picked.values().map(|rows| !rows.is_empty()).collect();
        let lengths = there.iter().map(|&there| if there { self.fractions.len() } else { 0 });
        let offsets = OffsetBuffer::from_lengths(lengths);
        let field = Arc::new(Field::new("item", items.data_type().clone(), true));
        let nulls = NullBuffer::from(there);
        Ok(Arc::new(ListArray::new(field, offsets, items, Some(nulls))))
    }
}
