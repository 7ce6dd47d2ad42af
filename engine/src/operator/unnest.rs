//! Unnest: the elements of a row's lists, a row each.
//!
//! Law      out(t) = { (r, e1, …, en[, i]) : r in in(t), i = 1 .. the length of r's longest list },
//!          ek the i-th element of list k, NULL behind its end
//! Delta    linear: each update by itself, at its own time
//! State    none
//! Errors   none

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, SchemaRef};

use super::{Operator, StepContext};
use crate::aggregate::columns_at;
use crate::checkpoint::record::Kept;
use crate::plan::{Plan, listed};
use crate::updates::{Updates, batch_of, take_rows};

/// What was decided: which columns are lists to take apart side by side. A NULL list is an empty
/// one.
#[derive(Clone, Debug)]
pub struct UnnestPlan {
    pub input: Plan,
    /// List columns of the input.
    pub lists: Vec<usize>,
    /// WITH ORDINALITY: the place, from 1 on, as bigint.
    pub ordinality: bool,
    /// The input's columns without the lists, then one for each list, then the ordinality.
    pub schema: SchemaRef,
}

impl fmt::Display for UnnestPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.input.schema();
        let lists = self.lists.iter().map(|&list| schema.field(list).name());
        write!(f, "Unnest [{}]", listed(lists))?;
        match self.ordinality {
            true => write!(f, " with ordinality"),
            false => Ok(()),
        }
    }
}

/// What runs.
pub(crate) struct Unnest {
    lists: Vec<usize>,
    /// The other columns.
    kept: Vec<usize>,
    ordinality: bool,
    schema: SchemaRef,
}

/// The columns of the input that stay.
pub(crate) fn kept(plan: &UnnestPlan) -> Vec<usize> {
    let columns = 0..plan.input.schema().fields().len();
    columns.filter(|column| !plan.lists.contains(column)).collect()
}

impl Unnest {
    pub fn new(plan: &UnnestPlan) -> Self {
        Unnest {
            lists: plan.lists.clone(),
            kept: kept(plan),
            ordinality: plan.ordinality,
            schema: plan.schema.clone(),
        }
    }
}

/// It keeps nothing.
impl Kept for Unnest {}

impl Operator for Unnest {
    fn step(&mut self, _context: &StepContext<'_>, inputs: Vec<Updates>) -> Updates {
        let [input] = <[Updates; 1]>::try_from(inputs).expect("one input");
        let lists: Vec<ListArray> =
            columns_at(&input.data, &self.lists).iter().map(list_of).collect();
        let whole = match &lists[..] {
            [list] if list.null_count() == 0 => Some(all_elements(list)),
            _ => None,
        };
        let places_wanted = self.ordinality || whole.is_none();
        let (mut rows, mut places) = (Vec::new(), Vec::new());
        for row in 0..input.len() {
            let longest = lists.iter().map(|list| length(list, row)).max().unwrap_or(0);
            rows.extend(std::iter::repeat_n(row as u32, longest as usize));
            if places_wanted {
                places.extend(1..=i64::from(longest));
            }
        }
        let kept = input.data.project(&self.kept).expect("columns of the input");
        let mut columns = take_rows(&kept, &rows).columns().to_vec();
        match whole {
            Some(elements) => columns.push(elements),
            None => columns.extend(lists.iter().map(|list| elements(list, &rows, &places))),
        }
        if self.ordinality {
            columns.push(Arc::new(Int64Array::from(places)));
        }
        let data = batch_of(self.schema.clone(), columns, rows.len());
        let times: Vec<u64> = rows.iter().map(|&row| input.times[row as usize]).collect();
        let diffs: Vec<i64> = rows.iter().map(|&row| input.diffs[row as usize]).collect();
        Updates::new(data, times, diffs)
    }

    fn takes_parts(&self, _input: usize) -> bool {
        true
    }

    fn kept(&mut self) -> Option<&mut dyn Kept> {
        Some(self)
    }
}

/// Any kind of list as the one with offsets of 32 bits.
fn list_of(column: &ArrayRef) -> ListArray {
    let element = match column.data_type() {
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::FixedSizeList(element, _) => element,
        other => unreachable!("the planner unnests lists, not {other}"),
    };
    let list = cast(column, &DataType::List(Arc::clone(element)));
    list.expect("a batch holds fewer than 2^31 elements").as_list::<i32>().clone()
}

/// How many elements a row's list has; a NULL one none.
fn length(list: &ListArray, row: usize) -> u32 {
    match list.is_null(row) {
        true => 0,
        false => list.value_length(row).cast_unsigned(),
    }
}

/// The elements of all lists, one after the other; none of the lists is NULL.
fn all_elements(list: &ListArray) -> ArrayRef {
    let offsets = list.value_offsets();
    let (first, last) = (offsets[0] as usize, offsets[offsets.len() - 1] as usize);
    list.values().slice(first, last - first)
}

/// The elements at `places` (from 1 on) of the lists of `rows`, NULL behind a list's end.
fn elements(list: &ListArray, rows: &[u32], places: &[i64]) -> ArrayRef {
    let index = |(&row, &place): (&u32, &i64)| {
        let row = row as usize;
        let start = list.value_offsets()[row].cast_unsigned();
        (place <= i64::from(length(list, row))).then(|| start + place as u32 - 1)
    };
    let indices: UInt32Array = rows.iter().zip(places).map(index).collect();
    take(list.values().as_ref(), &indices, None).expect("offsets lie within the values")
}

#[cfg(test)]
mod tests;
