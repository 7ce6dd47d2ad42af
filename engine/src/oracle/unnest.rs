//! Unnest for the oracle: each row's lists, element by element.

use arrow::array::{Array, ArrayRef};
use datafusion::common::ScalarValue;

use super::Row;
use crate::plan::UnnestPlan;

/// A row for each place of each row's longest list.
pub(super) fn rows(plan: &UnnestPlan, input: &[Row]) -> Vec<Row> {
    let mut out = Vec::new();
    for row in input {
        let lists: Vec<Vec<ScalarValue>> =
            plan.lists.iter().map(|&list| elements(&row[list])).collect();
        let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
        for place in 0..longest {
            let kept = row.iter().enumerate().filter(|(column, _)| !plan.lists.contains(column));
            let mut values: Row = kept.map(|(_, value)| value.clone()).collect();
            for (list, elements) in lists.iter().enumerate() {
                let ty = plan.schema.field(row.len() - lists.len() + list).data_type();
                let null = || ScalarValue::try_from(ty).expect("every type has a NULL");
                values.push(elements.get(place).cloned().unwrap_or_else(null));
            }
            if plan.ordinality {
                values.push(ScalarValue::Int64(Some(place as i64 + 1)));
            }
            out.push(values);
        }
    }
    out
}

fn elements(list: &ScalarValue) -> Vec<ScalarValue> {
    let values: ArrayRef = match list {
        list if list.is_null() => return vec![],
        ScalarValue::List(list) => list.value(0),
        ScalarValue::LargeList(list) => list.value(0),
        ScalarValue::FixedSizeList(list) => list.value(0),
        other => unreachable!("no list: {other}"),
    };
    let value = |place| ScalarValue::try_from_array(&values, place).expect("a place of the list");
    (0..values.len()).map(value).collect()
}
