//! What an aggregate's arguments become before it sees them: types as PostgreSQL resolves them,
//! jsonb made of what goes into a jsonb.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::{Cast, Sort};
use tidemark_engine::aggregate::{AggregateFunction, fractions};

use crate::error::SqlError;

use super::super::scalar::list;

/// The types that arguments are cast to.
pub fn coerced(name: &str, types: &[DataType]) -> Vec<DataType> {
    match (name, types) {
        ("count" | "approx_count_distinct", _) => types.to_vec(),
        ("percentile_cont" | "percentile_disc" | "approx_percentile", [value, fraction]) => {
            let value = match name {
                "percentile_disc" => known(value),
                _ => float(value),
            };
            vec![value, float_or_floats(fraction)]
        }
        ("median", [value]) => vec![float(value)],
        ("corr" | "covar_pop" | "covar_samp", _) => types.iter().map(float).collect(),
        (name, _) if name.starts_with("regr_") => types.iter().map(float).collect(),
        ("bool_and" | "bool_or", [DataType::Null]) => vec![DataType::Boolean],
        ("string_agg", [value, DataType::Null | DataType::Utf8View]) => {
            vec![known(value), known(value)]
        }
        // Text that is not typed takes the type of the bytes beside it.
        ("string_agg", [value @ DataType::Binary, DataType::Utf8]) => vec![value.clone(); 2],
        // A bare NULL or quoted literal has no type; Postgres takes the preferred one.
        ("sum" | "avg" | "var_pop" | "var_samp" | "stddev_pop" | "stddev_samp", [value]) => {
            vec![if *value == DataType::Null { DataType::Float64 } else { value.clone() }]
        }
        _ => types.iter().map(known).collect(),
    }
}

fn known(ty: &DataType) -> DataType {
    match ty {
        DataType::Null | DataType::Utf8View => DataType::Utf8,
        other => other.clone(),
    }
}

fn float(ty: &DataType) -> DataType {
    match ty {
        DataType::Null
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Decimal128(..)
        | DataType::Float32 => DataType::Float64,
        other => other.clone(),
    }
}

fn float_or_floats(ty: &DataType) -> DataType {
    match ty {
        DataType::List(item) => list(float(item.data_type())),
        other => float(other),
    }
}

/// Checks the constant argument of a function.
///
/// Errors: 22003 for a percentile that is not between 0 and 1.
pub fn check_parameter(
    function: &dyn AggregateFunction,
    parameter: &ScalarValue,
) -> Result<(), SqlError> {
    match function.name() {
        "percentile_cont" | "percentile_disc" | "approx_percentile" => {
            fractions(parameter).map(drop).map_err(|message| SqlError::new("22003", message))
        }
        _ => Ok(()),
    }
}

/// The refusal of an argument that has to be a constant.
pub fn not_constant(name: &str) -> SqlError {
    SqlError::unsupported(format!("the last argument of {name} must be a constant"))
        .with_hint("Write the number itself, or compute each of the values that may be wanted.")
}

/// The arguments of a call as it is planned: what goes into a jsonb is made jsonb, its keys text.
///
/// Errors: 42P10 for DISTINCT with an order that is not one of the arguments'.
pub fn aggregate_arguments(
    name: &str,
    args: Vec<Expr>,
    distinct: bool,
    order_by: &[Sort],
    to_jsonb: &dyn Fn(Expr) -> Expr,
) -> Result<Vec<Expr>, SqlError> {
    if distinct && order_by.iter().any(|sort| !args.contains(&sort.expr)) {
        let message = "in an aggregate with DISTINCT, ORDER BY expressions must appear in \
                       argument list";
        return Err(SqlError::new("42P10", message));
    }
    let text = |expr: Expr| Expr::Cast(Cast::new(Box::new(expr), DataType::Utf8));
    Ok(match name {
        "jsonb_agg" | "json_agg" => args.into_iter().map(to_jsonb).collect(),
        "histogram" => args.into_iter().map(text).collect(),
        "jsonb_object_agg" | "json_object_agg" if args.len() == 2 => {
            let mut args = args.into_iter();
            let (key, value) = (args.next(), args.next());
            key.into_iter().map(text).chain(value.into_iter().map(to_jsonb)).collect()
        }
        _ => args,
    })
}
