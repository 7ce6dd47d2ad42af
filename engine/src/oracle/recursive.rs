//! Recursion for the oracle: from nothing, round by round, until a round changes nothing.

use std::collections::HashSet;

use super::{Oracle, Row, aggregate, batch_of_rows, multiset};
use crate::operator::recursive::ENDLESS;
use crate::plan::RecursivePlan;
use crate::time::CollectionId;

/// What is not reached in so many rounds, or in so many rows, has no end.
const ROUNDS_MAX: usize = if cfg!(test) { 40 } else { 10_000 };
const ROWS_MAX: usize = 100_000;

impl Oracle<'_> {
    pub(super) fn recursive(&mut self, plan: &RecursivePlan) -> Vec<Row> {
        let base = self.rows(&plan.base);
        let mut rows: Vec<Row> = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let (step, errors) = self.recursive_step(plan, &rows);
            let mut next: Vec<Row> = base.iter().cloned().chain(step).collect();
            if plan.distinct {
                let row = |row: Row| row.iter().map(aggregate::key).collect();
                let distinct: HashSet<Row> = next.into_iter().map(row).collect();
                next = distinct.into_iter().collect();
            }
            if next.len() == rows.len() && multiset(next.clone()) == multiset(rows.clone()) {
                self.errors.extend(errors);
                return rows;
            }
            if next.len() > ROWS_MAX {
                break;
            }
            rows = next;
        }
        let (_, errors) = self.recursive_step(plan, &[]);
        self.errors.extend(errors);
        self.errors.push(ENDLESS.to_string());
        vec![]
    }

    fn recursive_step(&self, plan: &RecursivePlan, rows: &[Row]) -> (Vec<Row>, Vec<String>) {
        let itself = batch_of_rows(&plan.schema, rows);
        let input = |id: CollectionId| match id == plan.itself {
            true => itself.clone(),
            false => (self.input)(id),
        };
        let mut oracle = Oracle { input: &input, at: self.at, errors: vec![] };
        let rows = oracle.rows(&plan.step);
        (rows, oracle.errors)
    }
}
