//! Partial results, groups given out early, and rows taken out again: all give what one pass over
//! the rows gives, to the bit.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Float64Array, Int32Array};
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use tidemark_engine::aggregate::{AggregateFunction, aggregate_function};

use super::groups::Groups;
use super::rows::{InFrame, RowGroups, Shape};
use super::single::Single;

fn function(name: &str) -> &'static dyn AggregateFunction {
    aggregate_function(name).expect("an aggregate of the engine")
}

fn groups(name: &str, ty: &DataType) -> Groups {
    let types = [ty.clone()];
    let returns = function(name).return_type(&types).expect("defined for the type");
    Groups::new(function(name), &types, &returns).expect("a new accumulator")
}

fn doubles() -> ArrayRef {
    let values = [1e16, 1.0, -1e16, 0.1, 1e300, -1e300, 3.0, f64::MIN_POSITIVE, 0.2, -7.5];
    Arc::new(Float64Array::from(values.to_vec()))
}

fn reals() -> ArrayRef {
    let values = [1e16, 1.0, -1e16, 0.1, 1e30, -1e30, 3.0, f32::MIN_POSITIVE, 0.2, -7.5];
    Arc::new(Float32Array::from(values.to_vec()))
}

fn integers() -> ArrayRef {
    let values = [Some(1), None, Some(i32::MAX), Some(i32::MAX), Some(-5)];
    Arc::new(Int32Array::from([values, values].concat()))
}

/// Which of two groups each of the ten rows is in.
const OWNERS: [usize; 10] = [0, 0, 0, 1, 0, 0, 1, 0, 1, 0];

fn whole(name: &str, values: &ArrayRef) -> ArrayRef {
    let mut all = groups(name, values.data_type());
    all.update_batch(&[Arc::clone(values)], &OWNERS, None, 2).expect("rows");
    all.evaluate(EmitTo::All).expect("values")
}

/// In parts of `size` rows, each merged from its state.
fn in_parts(name: &str, values: &ArrayRef, size: usize) -> ArrayRef {
    let mut merged = groups(name, values.data_type());
    for start in (0..values.len()).step_by(size) {
        let length = size.min(values.len() - start);
        let mut part = groups(name, values.data_type());
        let owners = &OWNERS[start..start + length];
        part.update_batch(&[values.slice(start, length)], owners, None, 2).expect("rows");
        let state = part.state(EmitTo::All).expect("a state");
        merged.merge_batch(&state, &[0, 1], 2).expect("a state");
    }
    merged.evaluate(EmitTo::All).expect("values")
}

#[test]
fn partial_results_lose_nothing() {
    for values in [doubles(), reals(), integers()] {
        for name in ["sum", "avg", "count", "min", "max"] {
            let expected = whole(name, &values);
            for size in [1, 2, 3, 7, 10] {
                assert_eq!(&in_parts(name, &values, size), &expected, "{name} by {size}");
            }
        }
    }
}

#[test]
fn rows_as_states_lose_nothing() {
    for values in [doubles(), reals(), integers()] {
        for name in ["sum", "avg", "count"] {
            let mut merged = groups(name, values.data_type());
            let state = merged.convert_to_state(&[Arc::clone(&values)], None).expect("states");
            merged.merge_batch(&state, &OWNERS, 2).expect("states");
            let result = merged.evaluate(EmitTo::All).expect("values");
            assert_eq!(&result, &whole(name, &values), "{name}");
        }
    }
}

#[test]
fn groups_given_out_leave_the_others() {
    let values = doubles();
    for name in ["sum", "avg", "count", "min"] {
        let expected = whole(name, &values);
        let mut early = groups(name, values.data_type());
        early.update_batch(&[values.slice(0, 8)], &OWNERS[..8], None, 2).expect("rows");
        // Group 0 has more rows to come, but the order of groups says otherwise: give it out.
        early.evaluate(EmitTo::First(1)).expect("a value");
        early.update_batch(&[values.slice(8, 1)], &[0], None, 1).expect("a row");
        let result = early.evaluate(EmitTo::All).expect("a value");
        assert_eq!(&result, &expected.slice(1, 1), "{name}");
    }
}

#[test]
fn rows_taken_out_leave_no_trace() {
    let values = doubles();
    for name in ["sum", "avg", "count", "max"] {
        let mut sliding = Single::new(groups(name, values.data_type()));
        sliding.update_batch(&[Arc::clone(&values)]).expect("rows");
        for taken in 0..9 {
            sliding.retract_batch(&[values.slice(taken, 1)]).expect("a row");
            let rest = values.slice(taken + 1, 9 - taken);
            let mut fresh = Single::new(groups(name, values.data_type()));
            fresh.update_batch(&[rest]).expect("rows");
            let (a, b) = (sliding.evaluate(), fresh.evaluate());
            assert_eq!(a.expect("a value"), b.expect("a value"), "{name} without {taken}");
        }
    }
}

/// A function that keeps rows: in the order of a column behind its argument, if it has an order.
fn row_groups(name: &str, distinct: bool) -> RowGroups {
    let falling = SortOptions { descending: true, nulls_first: true };
    let order = match function(name).order() {
        tidemark_engine::aggregate::Order::Free => vec![(DataType::Int32, falling)],
        _ => vec![],
    };
    let (arguments, parameters) = (vec![DataType::Float64], vec![]);
    RowGroups::new(Shape { function: function(name), arguments, parameters, order, distinct })
}

fn kept_rows() -> Vec<ArrayRef> {
    vec![doubles(), integers()]
}

#[test]
fn kept_rows_lose_nothing_in_parts() {
    let values = kept_rows();
    for (name, distinct) in [("median", false), ("array_agg", false), ("sum", true)] {
        let mut whole = row_groups(name, distinct);
        whole.update_batch(&values, &OWNERS, None, 2).expect("rows");
        let expected = whole.evaluate(EmitTo::All).expect("values");
        for size in [1, 3, 10] {
            let (mut merged, mut each) = (row_groups(name, distinct), row_groups(name, distinct));
            for start in (0..10).step_by(size) {
                let length = size.min(10 - start);
                let part_of: Vec<ArrayRef> =
                    values.iter().map(|column| column.slice(start, length)).collect();
                let owners = &OWNERS[start..start + length];
                let mut part = row_groups(name, distinct);
                part.update_batch(&part_of, owners, None, 2).expect("rows");
                let state = part.state(EmitTo::All).expect("a state");
                merged.merge_batch(&state, &[0, 1], 2).expect("a state");
                let state = part.convert_to_state(&part_of, None).expect("states");
                each.merge_batch(&state, owners, 2).expect("states");
            }
            // The first group goes early, which leaves the other as it is.
            let first = merged.evaluate(EmitTo::First(1)).expect("a value");
            let second = merged.evaluate(EmitTo::All).expect("a value");
            assert_eq!((&first, &second), (&expected.slice(0, 1), &expected.slice(1, 1)));
            assert_eq!(&each.evaluate(EmitTo::All).expect("values"), &expected);
        }
    }
}

#[test]
fn a_frame_keeps_the_window_s_order() {
    let (arguments, parameters) = (vec![DataType::Float64], vec![]);
    let function = function("array_agg");
    let shape = Shape { function, arguments, parameters, order: vec![], distinct: false };
    let values = doubles();
    let mut frame = InFrame::new(shape);
    for row in 0..8 {
        frame.update_batch(&[values.slice(row, 1)]).expect("a row");
        if row >= 3 {
            frame.retract_batch(&[values.slice(row - 3, 1)]).expect("a row");
            let list = frame.evaluate().expect("a value").to_array().expect("one value");
            let items = arrow::array::cast::AsArray::as_list::<i32>(&list).value(0);
            assert_eq!(&items, &values.slice(row - 2, 3));
        }
    }
}
