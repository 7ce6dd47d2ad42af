//! jsonb_agg(x ORDER BY …), also called json_agg, and jsonb_object_agg(key, x ORDER BY …): the
//! values of the group as one jsonb array or object; NULL over nothing.
//!
//! The planner makes jsonb of the values; NULL is null. Of members with one key the last in order
//! stays; a NULL key is an error of the group. A jsonb is its canonical text, and so is what is
//! made here.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, LargeStringArray, LargeStringBuilder};
use arrow::datatypes::DataType;

use super::collected::{Collected, Collecting, Failed, Picked};
use super::{Accumulator, AggregateFunction, CallTypes, Class, Order};
use crate::state::ordered_counts::OrderedCounts;

#[derive(Debug)]
pub(super) struct JsonbAgg;

impl AggregateFunction for JsonbAgg {
    fn name(&self) -> &'static str {
        "jsonb_agg"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["json_agg"]
    }

    fn return_type(&self, arguments: &[DataType]) -> Option<DataType> {
        (*arguments == [DataType::LargeUtf8]).then_some(DataType::LargeUtf8)
    }

    fn class(&self) -> Class {
        Class::Collecting
    }

    fn order(&self) -> Order {
        Order::Free
    }

    fn accumulator_of(&self, call: &CallTypes<'_>) -> Box<dyn Accumulator> {
        Box::new(Collected::ordered(JsonArrays { argument: call.order.len() }, call))
    }
}

struct JsonArrays {
    /// Its place behind the order keys.
    argument: usize,
}

impl Collecting for JsonArrays {
    type State = OrderedCounts;

    fn pick(&self, rows: &OrderedCounts, picked: &mut Picked) {
        rows.iter().for_each(|(row, times)| picked.push(row, times));
        picked.end_value();
    }

    fn finish(&self, picked: &Picked, columns: &[ArrayRef]) -> Result<ArrayRef, Vec<Failed>> {
        let values = columns[self.argument].as_string::<i64>();
        let mut builder = LargeStringBuilder::new();
        for rows in picked.values() {
            let items: Vec<&str> = rows.iter().map(|&row| json_at(values, row)).collect();
            builder.append_option((!items.is_empty()).then(|| format!("[{}]", items.join(", "))));
        }
        Ok(Arc::new(builder.finish()))
    }
}

fn json_at(values: &LargeStringArray, row: u32) -> &str {
    match values.is_valid(row as usize) {
        true => values.value(row as usize),
        false => "null",
    }
}

#[derive(Debug)]
pub(super) struct JsonbObjectAgg;

impl AggregateFunction for JsonbObjectAgg {
    fn name(&self) -> &'static str {
        "jsonb_object_agg"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["json_object_agg"]
    }

    fn return_type(&self, arguments: &[DataType]) -> Option<DataType> {
        (*arguments == [DataType::Utf8, DataType::LargeUtf8]).then_some(DataType::LargeUtf8)
    }

    fn class(&self) -> Class {
        Class::Collecting
    }

    fn can_fail(&self) -> bool {
        true
    }

    fn order(&self) -> Order {
        Order::Free
    }

    fn accumulator_of(&self, call: &CallTypes<'_>) -> Box<dyn Accumulator> {
        Box::new(Collected::ordered(JsonObjects { argument: call.order.len() }, call))
    }
}

struct JsonObjects {
    /// The key's place behind the order keys; behind it stands the value.
    argument: usize,
}

impl Collecting for JsonObjects {
    type State = OrderedCounts;

    fn pick(&self, rows: &OrderedCounts, picked: &mut Picked) {
        rows.iter().for_each(|(row, _)| picked.push(row, 1));
        picked.end_value();
    }

    fn finish(&self, picked: &Picked, columns: &[ArrayRef]) -> Result<ArrayRef, Vec<Failed>> {
        let keys = columns[self.argument].as_string::<i32>();
        let values = columns[self.argument + 1].as_string::<i64>();
        let mut builder = LargeStringBuilder::new();
        let mut failed: Vec<Failed> = Vec::new();
        for (number, rows) in picked.values().enumerate() {
            if rows.iter().any(|&row| keys.is_null(row as usize)) {
                failed.push((number as u32, "field name must not be null".to_string()));
                continue;
            }
            // jsonb's order of keys: the shorter first, then by bytes.
            let members: BTreeMap<(usize, &str), &str> = rows
                .iter()
                .map(|&row| (keys.value(row as usize), json_at(values, row)))
                .map(|(key, value)| ((key.len(), key), value))
                .collect();
            let texts: Vec<String> = members
                .iter()
                .map(|((_, key), value)| format!("{}: {value}", quoted(key)))
                .collect();
            builder.append_option((!rows.is_empty()).then(|| format!("{{{}}}", texts.join(", "))));
        }
        match failed.is_empty() {
            true => Ok(Arc::new(builder.finish())),
            false => Err(failed),
        }
    }
}

/// A JSON string as jsonb prints it.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
