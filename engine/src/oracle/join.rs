//! Joins for the oracle: every left row beside every right row.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::ScalarValue;

use super::{Oracle, Row, aggregate};
use crate::expression::Expr;
use crate::plan::{JoinKind, JoinPlan, VersionJoinPlan};

impl Oracle<'_> {
    pub(super) fn join(&mut self, plan: &JoinPlan) -> Vec<Row> {
        let (left_schema, right_schema) = (plan.left.schema(), plan.right.schema());
        let fields = left_schema.fields().iter().chain(right_schema.fields()).cloned();
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let left = self.rows(&plan.left);
        // What is read once fails once.
        let right = if plan.is_of_itself() { left.clone() } else { self.rows(&plan.right) };
        let mut pairs = Vec::new();
        let mut left_met = vec![false; left.len()];
        let mut right_met = vec![false; right.len()];
        for (l, left_met) in left.iter().zip(&mut left_met) {
            for (r, right_met) in right.iter().zip(&mut right_met) {
                let pair: Row = l.iter().chain(r).cloned().collect();
                if keys_equal(plan, l, r) && self.holds(plan.condition.as_ref(), &schema, &pair) {
                    (*left_met, *right_met) = (true, true);
                    pairs.push(pair);
                }
            }
        }
        let of_left = |met: bool| {
            let rows = left.iter().zip(&left_met).filter(move |(_, is)| **is == met);
            rows.map(|(row, _)| row.clone()).collect::<Vec<Row>>()
        };
        let lonely_left = || of_left(false).into_iter().map(|l| [l, nulls(&right_schema)].concat());
        let lonely_right = || {
            let rows = right.iter().zip(&right_met).filter(|(_, met)| !**met);
            rows.map(|(r, _)| [nulls(&left_schema), r.clone()].concat())
        };
        match plan.kind {
            JoinKind::Inner => {}
            JoinKind::Left => pairs.extend(lonely_left()),
            JoinKind::Right => pairs.extend(lonely_right()),
            JoinKind::Full => pairs.extend(lonely_left().chain(lonely_right())),
            JoinKind::Semi => return of_left(true),
            JoinKind::Anti => return of_left(false),
        }
        pairs
    }

    /// Every left row beside every version that was there at its time.
    pub(super) fn version_join(&mut self, plan: &VersionJoinPlan) -> Vec<Row> {
        let (left, right) = (self.rows(&plan.left), self.rows(&plan.right));
        let mut out = Vec::new();
        for l in left {
            let before = out.len();
            for r in &right {
                let keys = plan.left_keys.iter().zip(&plan.right_keys);
                let mut keys = keys.map(|(&left, &right)| (&l[left], &r[right]));
                let equal =
                    keys.all(|(l, r)| !l.is_null() && aggregate::key(l) == aggregate::key(r));
                let [own @ .., begin, end] = r.as_slice() else {
                    unreachable!("versions have a begin and an end");
                };
                let time = &l[plan.time];
                if !equal || time.is_null() || begin > time || !(end.is_null() || time < end) {
                    continue;
                }
                let pair: Row = l.iter().chain(own).chain([begin]).cloned().collect();
                if self.holds(plan.condition.as_ref(), &plan.schema, &pair) {
                    out.push(pair);
                }
            }
            if plan.outer && out.len() == before {
                let padded = plan.schema.fields().iter().skip(l.len());
                let nulls = padded.map(|field| ScalarValue::try_from(field.data_type()));
                let nulls = nulls.map(|null| null.expect("every type has a NULL"));
                out.push(l.iter().cloned().chain(nulls).collect());
            }
        }
        out
    }

    fn holds(&mut self, condition: Option<&Expr>, schema: &SchemaRef, pair: &Row) -> bool {
        let Some(condition) = condition else { return true };
        let value = self.evaluate(std::slice::from_ref(condition), schema, pair);
        value.is_some_and(|value| value[0] == ScalarValue::Boolean(Some(true)))
    }
}

fn keys_equal(plan: &JoinPlan, l: &Row, r: &Row) -> bool {
    let keys = plan.left_keys.iter().zip(&plan.right_keys).zip(&plan.null_equal);
    keys.into_iter().all(|((&left, &right), &null_equal)| {
        let (left, right) = (&l[left], &r[right]);
        (null_equal || !left.is_null()) && aggregate::key(left) == aggregate::key(right)
    })
}

fn nulls(schema: &SchemaRef) -> Row {
    let types = schema.fields().iter().map(|field| field.data_type());
    types.map(|ty| ScalarValue::try_from(ty).expect("every type has a NULL")).collect()
}
