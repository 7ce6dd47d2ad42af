//! Order for the oracle: rows sorted value by value, and grouped.

use std::cmp::Ordering;

use datafusion::common::ScalarValue;

use super::{Row, aggregate};
use crate::plan::SortKey;

/// The rows of each group, sorted by `order`, and where that is not total by their contents.
pub(super) fn groups(rows: Vec<Row>, keys: &[usize], order: &[SortKey]) -> Vec<Vec<Row>> {
    let mut groups: Vec<(Row, Vec<Row>)> = Vec::new();
    for row in rows {
        let key: Row = keys.iter().map(|&column| aggregate::key(&row[column])).collect();
        match groups.iter_mut().find(|(other, _)| *other == key) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((key, vec![row])),
        }
    }
    let contents = |a: &Row, b: &Row| {
        let columns = a.iter().zip(b).map(|(a, b)| compare_values(a, b, false, false));
        columns.fold(Ordering::Equal, Ordering::then)
    };
    let mut groups: Vec<Vec<Row>> = groups.into_iter().map(|(_, rows)| rows).collect();
    for rows in &mut groups {
        rows.sort_by(|a, b| compare(a, b, order).then_with(|| contents(a, b)));
    }
    groups
}

/// How two rows stand in an order, −0 as 0 and a NaN as any other.
pub(super) fn compare(a: &Row, b: &Row, order: &[SortKey]) -> Ordering {
    let by_key = |key: &SortKey| {
        let (a, b) = (aggregate::key(&a[key.column]), aggregate::key(&b[key.column]));
        compare_values(&a, &b, key.descending, key.nulls_first)
    };
    order.iter().map(by_key).fold(Ordering::Equal, Ordering::then)
}

fn compare_values(
    a: &ScalarValue,
    b: &ScalarValue,
    descending: bool,
    nulls_first: bool,
) -> Ordering {
    let ordering = match (a, b) {
        _ if a.is_null() || b.is_null() => {
            let nulls_last = a.is_null().cmp(&b.is_null());
            return if nulls_first { nulls_last.reverse() } else { nulls_last };
        }
        (ScalarValue::Float64(Some(a)), ScalarValue::Float64(Some(b))) => a.total_cmp(b),
        (ScalarValue::Float32(Some(a)), ScalarValue::Float32(Some(b))) => a.total_cmp(b),
        _ => a.partial_cmp(b).expect("values of one type"),
    };
    if descending { ordering.reverse() } else { ordering }
}
