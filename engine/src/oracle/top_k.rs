//! Top-k for the oracle: each group sorted, and the part of it cut out.

use std::cmp::Ordering;

use super::{Row, sorted};
use crate::plan::TopKPlan;

/// The output over these rows.
pub(super) fn evaluate(plan: &TopKPlan, rows: Vec<Row>) -> Vec<Row> {
    let mut out = Vec::new();
    for group in sorted::groups(rows, &plan.keys, &plan.order) {
        let from_offset = group.into_iter().skip(plan.offset as usize);
        let mut taken: Vec<Row> = Vec::new();
        for row in from_offset {
            let tied = |keys| {
                let last: Option<&Row> = taken.last();
                let order = &plan.order[..keys];
                last.is_some_and(|last| sorted::compare(last, &row, order) == Ordering::Equal)
            };
            let full = plan.limit.is_some_and(|limit| taken.len() as u64 >= limit);
            if full && !plan.ties.is_some_and(tied) {
                break;
            }
            taken.push(row);
        }
        out.extend(taken);
    }
    out
}
