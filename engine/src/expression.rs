//! Scalar expressions over a batch, with errors as data.
//!
//! Law: a row whose evaluation fails is reported and left out; every other row is evaluated as if
//! it were alone (S10). DataFusion fails a batch as a whole, so a failing batch is halved until the
//! failing rows stand alone. A function that panics fails the same way, and ends no thread.

use std::any::Any;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::concat;
use arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, Column, IsNotNullExpr, IsNullExpr, Literal, NotExpr,
};

use crate::contain::contain;

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

/// Whether it can fail for some row; columns, constants and what compares them cannot.
pub(crate) fn can_fail(expr: &Expr) -> bool {
    let compares = |binary: &BinaryExpr| {
        use Operator::{And, Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq, Or};
        matches!(
            binary.op(),
            And | Or | Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom
        )
    };
    let any: &dyn Any = expr.as_ref();
    let total = any.is::<Column>()
        || any.is::<Literal>()
        || any.is::<IsNullExpr>()
        || any.is::<IsNotNullExpr>()
        || any.is::<NotExpr>()
        || any.downcast_ref::<BinaryExpr>().is_some_and(compares);
    !total || expr.children().into_iter().any(can_fail)
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

/// The values of `exprs` over the batch; fails as a whole.
pub(crate) fn evaluate_all(
    exprs: &[Expr],
    batch: &RecordBatch,
) -> datafusion::common::Result<Vec<ArrayRef>> {
    let value = |expr: &Expr| expr.evaluate(batch)?.into_array(batch.num_rows());
    contain(|| exprs.iter().map(value).collect()).unwrap_or_else(|panic| {
        let message = format!("internal error in an expression: {panic}");
        Err(DataFusionError::External(message.into()))
    })
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

#[cfg(test)]
mod tests {
    use std::fmt;

    use arrow::array::AsArray;
    use arrow::datatypes::{DataType, Int64Type, Schema};
    use datafusion::common::Result;
    use datafusion::logical_expr::ColumnarValue;
    use datafusion::physical_expr::expressions::Column;

    use super::*;
    use crate::contain::is_contained;
    use crate::plan::schema_of;

    /// Its column, but it panics where that is 13.
    #[derive(Debug, PartialEq, Eq, Hash)]
    struct Superstitious(Column);

    impl fmt::Display for Superstitious {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "superstitious({})", self.0)
        }
    }

    impl PhysicalExpr for Superstitious {
        fn data_type(&self, input: &Schema) -> Result<DataType> {
            self.0.data_type(input)
        }

        fn nullable(&self, input: &Schema) -> Result<bool> {
            self.0.nullable(input)
        }

        fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
            let values = batch.column(self.0.index()).as_primitive::<Int64Type>();
            assert!(is_contained());
            assert!(!values.iter().flatten().any(|value| value == 13), "not thirteen");
            self.0.evaluate(batch)
        }

        fn children(&self) -> Vec<&Expr> {
            vec![]
        }

        fn with_new_children(self: Arc<Self>, _children: Vec<Expr>) -> Result<Expr> {
            Ok(self)
        }

        fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            fmt::Display::fmt(self, f)
        }
    }

    #[test]
    fn a_panic_costs_the_rows_that_it_is_about() {
        let values: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![
            Some(12),
            Some(13),
            None,
            Some(14),
            Some(13),
        ]));
        let schema = schema_of([("n", DataType::Int64)]);
        let batch = crate::updates::batch_of(schema, vec![values], 5);
        let expr: Expr = Arc::new(Superstitious(Column::new("n", 0)));
        let evaluated = evaluate(&[expr], &batch);
        assert_eq!(evaluated.rows, Some(vec![0, 2, 3]));
        let kept: Vec<Option<i64>> =
            evaluated.columns[0].as_primitive::<Int64Type>().iter().collect();
        assert_eq!(kept, [Some(12), None, Some(14)]);
        let message = "internal error in an expression: not thirteen";
        assert_eq!(evaluated.errors, [RowError::new(1, message), RowError::new(4, message)]);
        assert!(!is_contained());
    }
}
