//! Scalar expressions over a batch, with errors as data.
//!
//! Law: a row whose evaluation fails is reported and left out; every other row is evaluated as if
//! it were alone (S10). DataFusion fails a batch as a whole, so a failing batch is halved until the
//! failing rows stand alone.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::concat;
use arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;

/// A scalar expression over the columns of its operator's input, by index.
pub type Expr = Arc<dyn PhysicalExpr>;

/// A row that could not be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowError {
    /// Its number in the batch.
    pub row: u32,
    pub message: String,
}

impl RowError {
    pub fn new(row: u32, message: impl Into<String>) -> Self {
        RowError { row, message: message.into() }
    }
}

/// Evaluates `exprs` over `batch`: the columns of the rows that all of them could evaluate, the
/// numbers of those rows (`None` = all), and the rows that failed, in order.
pub fn evaluate(exprs: &[Expr], batch: &RecordBatch) -> Evaluated {
    if let Ok(columns) = evaluate_all(exprs, batch) {
        return Evaluated { columns, rows: None, errors: Vec::new() };
    }
    let mut parts = Vec::new();
    let mut rows = Vec::new();
    let mut errors = Vec::new();
    halve(exprs, batch, 0, &mut parts, &mut rows, &mut errors);
    let columns = (0..exprs.len())
        .map(|column| concat_column(&parts, column, &exprs[column], batch))
        .collect();
    Evaluated { columns, rows: Some(rows), errors }
}

/// What [`evaluate`] gives.
pub struct Evaluated {
    pub columns: Vec<ArrayRef>,
    pub rows: Option<Vec<u32>>,
    pub errors: Vec<RowError>,
}

/// The rows of `batch` for which `predicate` is true, `None` when all are, and those it failed for.
pub fn select(predicate: &Expr, batch: &RecordBatch) -> (Option<Vec<u32>>, Vec<RowError>) {
    let evaluated = evaluate(std::slice::from_ref(predicate), batch);
    let mask = evaluated.columns[0]
        .as_any()
        .downcast_ref::<BooleanArray>()
        .expect("a predicate is boolean");
    if evaluated.rows.is_none() && mask.true_count() == batch.num_rows() {
        return (None, evaluated.errors);
    }
    let kept = (0..mask.len()).filter(|&i| mask.is_valid(i) && mask.value(i));
    let rows = match &evaluated.rows {
        None => kept.map(|i| i as u32).collect(),
        Some(rows) => kept.map(|i| rows[i]).collect(),
    };
    (Some(rows), evaluated.errors)
}

/// What to tell of an evaluation error: what went wrong, without who noticed it.
pub(crate) fn message(error: &DataFusionError) -> String {
    match error.find_root() {
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::DivideByZero => "division by zero".to_string(),
            ArrowError::ArithmeticOverflow(what) => overflow(what),
            other => other.to_string(),
        },
        DataFusionError::External(error) => error.to_string(),
        other => other.strip_backtrace(),
    }
}

/// `Overflow happened on: 2147483647 + 1`: operands that fit a type overflow no wider one, so they
/// tell which it was.
fn overflow(what: &str) -> String {
    let operands = what.split_once(": ").map_or(what, |(_, operands)| operands);
    let numbers: Option<Vec<i64>> =
        operands.split(' ').step_by(2).map(|number| number.parse().ok()).collect();
    let Some(numbers) = numbers else { return "value out of range: overflow".to_string() };
    let fit = |low: i64, high: i64| numbers.iter().all(|number| (low..=high).contains(number));
    let name = if fit(i16::MIN.into(), i16::MAX.into()) {
        "smallint"
    } else if fit(i32::MIN.into(), i32::MAX.into()) {
        "integer"
    } else {
        "bigint"
    };
    format!("{name} out of range")
}

fn evaluate_all(exprs: &[Expr], batch: &RecordBatch) -> datafusion::common::Result<Vec<ArrayRef>> {
    exprs.iter().map(|expr| expr.evaluate(batch)?.into_array(batch.num_rows())).collect()
}

fn halve(
    exprs: &[Expr],
    batch: &RecordBatch,
    first: u32,
    parts: &mut Vec<Vec<ArrayRef>>,
    rows: &mut Vec<u32>,
    errors: &mut Vec<RowError>,
) {
    let length = batch.num_rows();
    match evaluate_all(exprs, batch) {
        Ok(columns) => {
            parts.push(columns);
            rows.extend(first..first + length as u32);
        }
        Err(error) if length == 1 => {
            errors.push(RowError::new(first, message(&error)));
        }
        Err(_) => {
            let middle = length / 2;
            halve(exprs, &batch.slice(0, middle), first, parts, rows, errors);
            let rest = batch.slice(middle, length - middle);
            halve(exprs, &rest, first + middle as u32, parts, rows, errors);
        }
    }
}

fn concat_column(
    parts: &[Vec<ArrayRef>],
    column: usize,
    expr: &Expr,
    batch: &RecordBatch,
) -> ArrayRef {
    if parts.is_empty() {
        let data_type = expr.data_type(&batch.schema()).expect("a typed expression");
        return arrow::array::new_empty_array(&data_type);
    }
    let arrays: Vec<&dyn Array> = parts.iter().map(|part| part[column].as_ref()).collect();
    concat(&arrays).expect("parts of one expression have one type")
}
