//! INTERSECT and EXCEPT for the oracle: rows crossed off one by one.

use super::{Oracle, Row, aggregate};
use crate::plan::{Plan, SetOperationKind, SetOperationPlan};

impl Oracle<'_> {
    pub(super) fn set_operation(&mut self, plan: &SetOperationPlan) -> Vec<Row> {
        let (mut left, mut right) = (self.keyed_rows(&plan.left), self.keyed_rows(&plan.right));
        let (intersect, all) = match plan.kind {
            SetOperationKind::Intersect => (true, false),
            SetOperationKind::IntersectAll => (true, true),
            SetOperationKind::Except => (false, false),
            SetOperationKind::ExceptAll => (false, true),
        };
        if !all {
            [&mut left, &mut right].into_iter().for_each(remove_duplicates);
        }
        left.retain(|row| {
            let partner = right.iter().position(|other| other == row);
            if let Some(partner) = partner {
                right.swap_remove(partner);
            }
            partner.is_some() == intersect
        });
        left
    }

    fn keyed_rows(&mut self, plan: &Plan) -> Vec<Row> {
        self.rows(plan).iter().map(|row| row.iter().map(aggregate::key).collect()).collect()
    }
}

fn remove_duplicates(rows: &mut Vec<Row>) {
    let mut seen: Vec<Row> = Vec::new();
    for row in rows.drain(..) {
        if !seen.contains(&row) {
            seen.push(row);
        }
    }
    *rows = seen;
}
