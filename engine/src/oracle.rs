//! The oracle: V(t), the slow way.
//!
//! It evaluates a plan from scratch over the tables as they stood at t, with now() = t, a row at a
//! time, errors included. It shares no state, no accumulator and no batching with the operators:
//! what it shares is the plan and the meaning of a scalar expression. Tests compare everything with
//! it, at every t.

mod aggregate;
mod join;
mod recursive;
mod session;
mod set_operation;
mod sorted;
mod top_k;
mod unnest;
mod window;

use std::collections::HashMap;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;

use crate::expression::{Expr, evaluate_all, message};
use crate::operator::temporal::now_batch;
use crate::plan::{AggregatePlan, Bound, Edge, NowSide, Plan, TemporalMode, TemporalPlan};
use crate::time::{CollectionId, Timestamp};
use crate::updates::{Updates, batch_of};

/// A row, value by value.
pub type Row = Vec<ScalarValue>;

/// V(t): its rows, and the messages of the rows that failed on the way.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub rows: Vec<Row>,
    pub errors: Vec<String>,
}

/// Evaluates `plan` at `at` over `input`, which gives a collection's rows as they stood then.
pub fn evaluate(
    plan: &Plan,
    input: &dyn Fn(CollectionId) -> RecordBatch,
    at: Timestamp,
) -> Outcome {
    let mut oracle = Oracle { input, at, errors: Vec::new() };
    let rows = oracle.rows(plan);
    Outcome { rows, errors: oracle.errors }
}

/// How often each row is there.
pub fn multiset(rows: impl IntoIterator<Item = Row>) -> HashMap<Row, i64> {
    let mut counts = HashMap::new();
    rows.into_iter().for_each(|row| *counts.entry(row).or_insert(0) += 1);
    counts
}

/// How often each row is there at `at`, in a collection that these updates made.
pub fn accumulate(updates: &Updates, at: Timestamp) -> HashMap<Row, i64> {
    let mut counts = HashMap::new();
    for i in (0..updates.len()).filter(|&i| updates.times[i] <= at.0) {
        *counts.entry(row_at(&updates.data, i)).or_insert(0) += updates.diffs[i];
    }
    counts.retain(|_, count| *count != 0);
    counts
}

/// The rows of a batch, value by value.
pub fn rows_of(batch: &RecordBatch) -> Vec<Row> {
    (0..batch.num_rows()).map(|i| row_at(batch, i)).collect()
}

fn row_at(batch: &RecordBatch, row: usize) -> Row {
    let value =
        |column: &ArrayRef| ScalarValue::try_from_array(column, row).expect("a row of the batch");
    batch.columns().iter().map(value).collect()
}

struct Oracle<'a> {
    input: &'a dyn Fn(CollectionId) -> RecordBatch,
    at: Timestamp,
    errors: Vec<String>,
}

impl Oracle<'_> {
    fn rows(&mut self, plan: &Plan) -> Vec<Row> {
        match plan {
            Plan::Input(plan) => {
                let mut rows = rows_of(&(self.input)(plan.id));
                rows.iter_mut().for_each(|row| row.truncate(plan.schema.fields().len()));
                rows
            }
            Plan::Constant(plan) => rows_of(&plan.rows),
            Plan::Project(plan) => {
                let schema = plan.input.schema();
                let rows = self.rows(&plan.input);
                rows.iter().filter_map(|row| self.evaluate(&plan.exprs, &schema, row)).collect()
            }
            Plan::Filter(plan) => {
                let schema = plan.input.schema();
                let mut rows = self.rows(&plan.input);
                let predicate = std::slice::from_ref(&plan.predicate);
                rows.retain(|row| {
                    let value = self.evaluate(predicate, &schema, row);
                    value.is_some_and(|value| value[0] == ScalarValue::Boolean(Some(true)))
                });
                rows
            }
            Plan::Temporal(plan) => self.temporal(plan),
            Plan::Join(plan) => self.join(plan),
            Plan::VersionJoin(plan) => self.version_join(plan),
            Plan::Aggregate(plan) => self.aggregate(plan),
            Plan::Union(plan) => plan.inputs.iter().flat_map(|input| self.rows(input)).collect(),
            Plan::Unnest(plan) => {
                let rows = self.rows(&plan.input);
                unnest::rows(plan, &rows)
            }
            Plan::Session(plan) => self.session(plan),
            Plan::Recursive(plan) => self.recursive(plan),
            Plan::SetOperation(plan) => self.set_operation(plan),
            Plan::TopK(plan) => {
                let rows = self.rows(&plan.input);
                top_k::evaluate(plan, rows)
            }
            Plan::Window(plan) => {
                let rows = self.rows(&plan.input);
                window::evaluate(plan, rows, &mut self.errors)
            }
        }
    }

    /// The values of `exprs` for one row; `None` and an error where one fails.
    fn evaluate(&mut self, exprs: &[Expr], schema: &SchemaRef, row: &Row) -> Option<Row> {
        let batch = batch_of_row(schema, row);
        let values = evaluate_all(exprs, &batch).map(|columns| {
            let value =
                |column: &ArrayRef| ScalarValue::try_from_array(column, 0).expect("one row");
            columns.iter().map(value).collect()
        });
        values.map_err(|error| self.errors.push(message(&error))).ok()
    }

    fn temporal(&mut self, plan: &TemporalPlan) -> Vec<Row> {
        let schema = plan.input.schema();
        let values: Vec<Expr> = plan.bounds.iter().map(|bound| bound.value.clone()).collect();
        let mut out = Vec::new();
        for row in self.rows(&plan.input) {
            let Some(values) = self.evaluate(&values, &schema, &row) else { continue };
            let holds = |(bound, value)| bound_holds(bound, value, self.at);
            let flags: Vec<Option<bool>> = plan.bounds.iter().zip(&values).map(holds).collect();
            match plan.mode {
                TemporalMode::Filter if flags.iter().all(|flag| *flag == Some(true)) => {
                    out.push(row)
                }
                TemporalMode::Filter => {}
                TemporalMode::Flags => {
                    let flags = flags.into_iter().map(ScalarValue::Boolean);
                    out.push(row.into_iter().chain(flags).collect());
                }
            }
        }
        out
    }

    fn aggregate(&mut self, plan: &AggregatePlan) -> Vec<Row> {
        let mut groups: Vec<(Row, Vec<Row>)> = Vec::new();
        let mut number: HashMap<Row, usize> = HashMap::new();
        if plan.keys.is_empty() {
            number.insert(vec![], 0);
            groups.push((vec![], vec![]));
        }
        for row in self.rows(&plan.input) {
            let key: Row = plan.keys.iter().map(|&column| aggregate::key(&row[column])).collect();
            let at = *number.entry(key.clone()).or_insert(groups.len());
            if at == groups.len() {
                groups.push((key, vec![]));
            }
            groups[at].1.push(row);
        }
        let mut out = Vec::new();
        for (mut key, rows) in groups {
            let values: Result<Row, String> = plan
                .calls
                .iter()
                .map(|call| aggregate::evaluate(call, &plan.input.schema(), &rows))
                .collect();
            match values {
                Ok(values) => {
                    key.extend(values);
                    out.push(key);
                }
                Err(message) => self.errors.push(message),
            }
        }
        out
    }
}

/// The rows as a batch.
pub(crate) fn batch_of_rows(schema: &SchemaRef, rows: &[Row]) -> RecordBatch {
    if rows.is_empty() {
        return RecordBatch::new_empty(schema.clone());
    }
    let columns = (0..schema.fields().len()).map(|column| {
        let values = rows.iter().map(|row| row[column].clone());
        ScalarValue::iter_to_array(values).expect("values of one type")
    });
    batch_of(schema.clone(), columns.collect(), rows.len())
}

fn batch_of_row(schema: &SchemaRef, row: &Row) -> RecordBatch {
    let columns = row.iter().map(|value| value.to_array().expect("a value of a column")).collect();
    batch_of(schema.clone(), columns, 1)
}

/// The comparison itself at one time, as it is written; NULL where the row's side is.
fn bound_holds(bound: &Bound, value: &ScalarValue, at: Timestamp) -> Option<bool> {
    if value.is_null() {
        return None;
    }
    let ordering = match &bound.now {
        NowSide::Offset(offset) => {
            let micros = match value {
                ScalarValue::TimestampMicrosecond(Some(micros), _) => *micros,
                other => unreachable!("an offset is compared with timestamps, not {other}"),
            };
            (i128::from(at.0) + i128::from(*offset)).cmp(&i128::from(micros))
        }
        NowSide::Monotone(expr) => {
            let side = expr.evaluate(&now_batch(&[at.0])).and_then(|side| side.into_array(1));
            let side = side.expect("a function of now() that the planner accepted is total");
            let side = ScalarValue::try_from_array(&side, 0).expect("one row");
            side.partial_cmp(value).expect("both sides have one type")
        }
    };
    Some(match (bound.edge, bound.strict) {
        (Edge::From, false) => ordering.is_ge(),
        (Edge::From, true) => ordering.is_gt(),
        (Edge::Until, false) => ordering.is_lt(),
        (Edge::Until, true) => ordering.is_le(),
    })
}

#[cfg(test)]
pub(crate) mod random;
#[cfg(test)]
mod tests;
