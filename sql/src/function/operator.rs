//! Operators that DataFusion lacks or means otherwise, as functions.
//!
//! Law: `a OP b` with operands of these types is what PostgreSQL 15's operator of that name gives.
//! The table is [`operator`]; [`planner`] applies it as the text is planned, before DataFusion
//! coerces the operands, and the cast pass applies it once more to operands whose types were
//! unknown until then (quoted literals, parameters).

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result as PlanResult, ScalarValue};
use datafusion::logical_expr::expr::{Cast, ScalarFunction, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::planner::{
    ExprPlanner, PlannerResult, RawAggregateExpr, RawBinaryExpr, RawFieldAccessExpr, RawWindowExpr,
};
use datafusion::logical_expr::sqlparser::ast::BinaryOperator;
use datafusion::logical_expr::{
    Expr, ExprSchemable, GetFieldAccess, Operator, ScalarUDF, WindowFunctionDefinition,
};

use super::aggregate::{aggregate_arguments, in_frame};
use crate::error::SqlError;

/// What an operand is to the table below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Integer,
    Real,
    Numeric,
    Text,
    Bytea,
    Date,
    Time,
    Timestamp,
    Interval,
    Jsonb,
    List,
    Other,
}

fn kind(ty: &DataType) -> Kind {
    match ty {
        DataType::Int16 | DataType::Int32 | DataType::Int64 => Kind::Integer,
        DataType::Float32 | DataType::Float64 => Kind::Real,
        DataType::Decimal128(..) => Kind::Numeric,
        DataType::Utf8 | DataType::Utf8View => Kind::Text,
        DataType::Binary => Kind::Bytea,
        DataType::Date32 => Kind::Date,
        DataType::Time64(_) => Kind::Time,
        DataType::Timestamp(..) => Kind::Timestamp,
        DataType::Interval(_) => Kind::Interval,
        DataType::LargeUtf8 => Kind::Jsonb,
        DataType::List(_) => Kind::List,
        _ => Kind::Other,
    }
}

/// The function that `left op right` calls; None where DataFusion's operator is right.
pub fn operator(
    op: Operator,
    left: &DataType,
    right: &DataType,
) -> Result<Option<Arc<ScalarUDF>>, SqlError> {
    let (l, r) = (kind(left), kind(right));
    let name = match op {
        Operator::Plus => plus(l, r),
        Operator::Minus => minus(l, r),
        Operator::Multiply => times(l, r),
        Operator::Divide => divided(l, r),
        Operator::Modulo => modulo(l, r),
        Operator::StringConcat => concat(l, r),
        _ if (l, r) == (Kind::Interval, Kind::Interval) => interval_comparison(op),
        _ if l == Kind::Jsonb => on_jsonb(op, r),
        Operator::AtArrow | Operator::ArrowAt if (l, r) == (Kind::List, Kind::List) => {
            Some(if op == Operator::AtArrow { "array_contains" } else { "array_contained" })
        }
        _ => None,
    };
    Ok(name.map(named))
}

fn named(name: &str) -> Arc<ScalarUDF> {
    super::scalar(name).unwrap_or_else(|| panic!("function {name} is in the list"))
}

fn plus(l: Kind, r: Kind) -> Option<&'static str> {
    use Kind::{Date, Integer, Interval, Numeric, Real, Time, Timestamp};
    Some(match (l, r) {
        (Numeric, Numeric | Integer) | (Integer, Numeric) => "numeric_add",
        (Real, Real) => "float_pl",
        (Date, Integer) => "date_pl_int",
        (Integer, Date) => "int_pl_date",
        (Date, Interval) => "date_pl_interval",
        (Interval, Date) => "interval_pl_date",
        (Interval, Timestamp) => "interval_pl_timestamp",
        (Date, Time) => "datetime_pl",
        (Time, Date) => "timedate_pl",
        (Time, Interval) => "time_pl_interval",
        (Interval, Time) => "interval_pl_time",
        (Interval, Interval) => "interval_pl",
        _ => return None,
    })
}

fn minus(l: Kind, r: Kind) -> Option<&'static str> {
    use Kind::{Date, Integer, Interval, Jsonb, List, Numeric, Real, Text, Time, Timestamp};
    Some(match (l, r) {
        (Numeric, Numeric | Integer) | (Integer, Numeric) => "numeric_sub",
        (Real, Real) => "float_mi",
        (Date, Date) => "date_mi",
        (Date, Integer) => "date_mi_int",
        (Date, Interval) => "date_mi_interval",
        (Timestamp | Date, Timestamp | Date) => "timestamp_mi",
        (Time, Time) => "time_mi_time",
        (Time, Interval) => "time_mi_interval",
        (Interval, Interval) => "interval_mi",
        (Jsonb, Text | Integer | List) => "jsonb_delete",
        _ => return None,
    })
}

fn times(l: Kind, r: Kind) -> Option<&'static str> {
    use Kind::{Integer, Interval, Numeric, Real};
    Some(match (l, r) {
        (Numeric, Numeric | Integer) | (Integer, Numeric) => "numeric_mul",
        (Real, Real) => "float_mul",
        (Interval, Integer | Numeric | Real) | (Integer | Numeric | Real, Interval) => {
            "interval_mul"
        }
        _ => return None,
    })
}

fn divided(l: Kind, r: Kind) -> Option<&'static str> {
    use Kind::{Integer, Interval, Numeric, Real};
    Some(match (l, r) {
        (Numeric, Numeric | Integer) | (Integer, Numeric) => "numeric_div",
        (Real, Real | Integer | Numeric) | (Integer | Numeric, Real) => "float_div",
        (Interval, Integer | Numeric | Real) => "interval_div",
        _ => return None,
    })
}

fn modulo(l: Kind, r: Kind) -> Option<&'static str> {
    use Kind::{Integer, Numeric};
    let numeric = matches!((l, r), (Numeric, Numeric | Integer) | (Integer, Numeric));
    numeric.then_some("mod_numeric")
}

fn concat(l: Kind, r: Kind) -> Option<&'static str> {
    match (l, r) {
        (Kind::Jsonb, Kind::Jsonb) => Some("jsonb_concat"),
        (Kind::Bytea, Kind::Bytea) => Some("byteacat"),
        (Kind::List, _) | (_, Kind::List) => Some("array_concat_op"),
        _ => None,
    }
}

fn interval_comparison(op: Operator) -> Option<&'static str> {
    Some(match op {
        Operator::Eq => "interval_eq",
        Operator::NotEq => "interval_ne",
        Operator::Lt => "interval_lt",
        Operator::LtEq => "interval_le",
        Operator::Gt => "interval_gt",
        Operator::GtEq => "interval_ge",
        _ => return None,
    })
}

fn on_jsonb(op: Operator, right: Kind) -> Option<&'static str> {
    Some(match op {
        Operator::Arrow => "jsonb_get",
        Operator::LongArrow => "jsonb_get_text",
        Operator::HashArrow => "jsonb_get_path",
        Operator::HashLongArrow => "jsonb_get_path_text",
        Operator::HashMinus => "jsonb_delete_path",
        Operator::AtArrow => "jsonb_contains",
        Operator::ArrowAt => "jsonb_contained",
        Operator::Question => "jsonb_exists",
        Operator::QuestionPipe => "jsonb_exists_any",
        Operator::QuestionAnd => "jsonb_exists_all",
        Operator::Lt if right == Kind::Jsonb => "jsonb_lt",
        Operator::LtEq if right == Kind::Jsonb => "jsonb_le",
        Operator::Gt if right == Kind::Jsonb => "jsonb_gt",
        Operator::GtEq if right == Kind::Jsonb => "jsonb_ge",
        _ => return None,
    })
}

/// DataFusion's name of an operator in the text; None for those not in [`operator`].
fn of_text(op: &BinaryOperator) -> Option<Operator> {
    Some(match op {
        BinaryOperator::Plus => Operator::Plus,
        BinaryOperator::Minus => Operator::Minus,
        BinaryOperator::Multiply => Operator::Multiply,
        BinaryOperator::Divide => Operator::Divide,
        BinaryOperator::Modulo => Operator::Modulo,
        BinaryOperator::StringConcat => Operator::StringConcat,
        BinaryOperator::Arrow => Operator::Arrow,
        BinaryOperator::LongArrow => Operator::LongArrow,
        BinaryOperator::HashArrow => Operator::HashArrow,
        BinaryOperator::HashLongArrow => Operator::HashLongArrow,
        BinaryOperator::HashMinus => Operator::HashMinus,
        BinaryOperator::AtArrow => Operator::AtArrow,
        BinaryOperator::ArrowAt => Operator::ArrowAt,
        BinaryOperator::Question => Operator::Question,
        BinaryOperator::QuestionPipe => Operator::QuestionPipe,
        BinaryOperator::QuestionAnd => Operator::QuestionAnd,
        BinaryOperator::Eq => Operator::Eq,
        BinaryOperator::NotEq => Operator::NotEq,
        BinaryOperator::Lt => Operator::Lt,
        BinaryOperator::LtEq => Operator::LtEq,
        BinaryOperator::Gt => Operator::Gt,
        BinaryOperator::GtEq => Operator::GtEq,
        _ => return None,
    })
}

/// Plans what PostgreSQL means; to be asked before DataFusion's own planners.
pub fn planner() -> Arc<dyn ExprPlanner> {
    Arc::new(PostgresPlanner)
}

/// Two arrays, one of which may be a quoted literal of the other's type.
fn one_array_type(left: Expr, right: Expr, schema: &DFSchema) -> Vec<Expr> {
    let array = |expr: &Expr| match expr.get_type(schema) {
        Ok(ty @ DataType::List(_)) => Some(ty),
        _ => None,
    };
    let like = |expr: Expr, other: Option<DataType>| match other {
        Some(ty) if is_untyped(&expr) => Expr::Cast(Cast::new(Box::new(expr), ty)),
        _ => expr,
    };
    let (left_type, right_type) = (array(&left), array(&right));
    vec![like(left, right_type), like(right, left_type)]
}

#[derive(Debug)]
struct PostgresPlanner;

impl ExprPlanner for PostgresPlanner {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> PlanResult<PlannerResult<RawBinaryExpr>> {
        match expr.op {
            BinaryOperator::PGStartsWith => {
                return planned("starts_with", vec![expr.left, expr.right]);
            }
            BinaryOperator::PGOverlap => {
                return planned("array_overlap", one_array_type(expr.left, expr.right, schema));
            }
            _ => {}
        }
        let (Some(op), Ok(left)) = (of_text(&expr.op), expr.left.get_type(schema)) else {
            return Ok(PlannerResult::Original(expr));
        };
        let expr = as_key(expr, kind(&left));
        let Ok(right) = expr.right.get_type(schema) else {
            return Ok(PlannerResult::Original(expr));
        };
        // A quoted literal has no type of its own yet, except to the right of a jsonb operator.
        let json = kind(&left) == Kind::Jsonb && op != Operator::StringConcat;
        if is_untyped(&expr.left) || (is_untyped(&expr.right) && !json) {
            return Ok(PlannerResult::Original(expr));
        }
        // DataFusion's operator has a type for all numbers but numerics, which may have more
        // digits than it knows a type for.
        let numeric = [&left, &right].iter().any(|ty| kind(ty) == Kind::Numeric);
        if is_number(&left) && is_number(&right) && !numeric {
            return Ok(PlannerResult::Original(expr));
        }
        match operator(op, &left, &right)? {
            Some(function) => {
                Ok(PlannerResult::Planned(call(function, vec![expr.left, expr.right])))
            }
            None => Ok(PlannerResult::Original(expr)),
        }
    }

    /// `array[i]`, and `json['key']`, `json[i]`.
    fn plan_field_access(
        &self,
        expr: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> PlanResult<PlannerResult<RawFieldAccessExpr>> {
        let kind = expr.expr.get_type(schema).map_or(Kind::Other, |ty| kind(&ty));
        let (name, key) = match (&expr.field_access, kind) {
            (GetFieldAccess::ListIndex { key }, Kind::List) => ("array_subscript", *key.clone()),
            (GetFieldAccess::ListIndex { key }, Kind::Jsonb) => ("jsonb_get", *key.clone()),
            (GetFieldAccess::NamedStructField { name }, Kind::Jsonb) => {
                ("jsonb_get", Expr::Literal(name.clone(), None))
            }
            _ => return Ok(PlannerResult::Original(expr)),
        };
        planned(name, vec![expr.expr, key])
    }

    fn plan_aggregate(
        &self,
        mut expr: RawAggregateExpr,
    ) -> PlanResult<PlannerResult<RawAggregateExpr>> {
        let to_jsonb = |expr: Expr| call(named("to_jsonb"), vec![expr]);
        let (name, args) = (expr.func.name(), named_casts(std::mem::take(&mut expr.args))?);
        expr.args = aggregate_arguments(name, args, expr.distinct, &expr.order_by, &to_jsonb)?;
        Ok(PlannerResult::Original(expr))
    }

    fn plan_window(&self, mut expr: RawWindowExpr) -> PlanResult<PlannerResult<RawWindowExpr>> {
        if let WindowFunctionDefinition::AggregateUDF(function) = &expr.func_def {
            let to_jsonb = |expr: Expr| call(named("to_jsonb"), vec![expr]);
            let (name, args) = (function.name(), std::mem::take(&mut expr.args));
            expr.args = aggregate_arguments(name, args, false, &[], &to_jsonb)?;
            if let Some(framed) = in_frame(function) {
                expr.func_def = WindowFunctionDefinition::AggregateUDF(framed);
            }
        }
        let Some(ty) = shown_type(expr.func_def.name()) else {
            return Ok(PlannerResult::Original(expr));
        };
        let params = WindowFunctionParams {
            args: expr.args,
            partition_by: expr.partition_by,
            order_by: expr.order_by,
            window_frame: expr.window_frame,
            filter: expr.filter,
            null_treatment: expr.null_treatment,
            distinct: expr.distinct,
        };
        let call = Expr::WindowFunction(Box::new(WindowFunction { fun: expr.func_def, params }));
        Ok(PlannerResult::Planned(Expr::Cast(Cast::new(Box::new(call), ty))))
    }

    fn plan_extract(&self, args: Vec<Expr>) -> PlanResult<PlannerResult<Vec<Expr>>> {
        planned("extract", args)
    }

    fn plan_position(&self, args: Vec<Expr>) -> PlanResult<PlannerResult<Vec<Expr>>> {
        planned("strpos", args)
    }

    fn plan_substring(&self, args: Vec<Expr>) -> PlanResult<PlannerResult<Vec<Expr>>> {
        planned("substring", args)
    }

    fn plan_overlay(&self, args: Vec<Expr>) -> PlanResult<PlannerResult<Vec<Expr>>> {
        planned("overlay", args)
    }
}

/// Arguments whose casts are part of their names: `sum(x::integer)` and `sum(x::bigint)` are two
/// columns.
fn named_casts(args: Vec<Expr>) -> PlanResult<Vec<Expr>> {
    let named = |expr: Expr| {
        Ok(match expr {
            Expr::Cast(cast) if !matches!(*cast.expr, Expr::Literal(..) | Expr::Placeholder(_)) => {
                Transformed::yes(super::cast::cast(cast.field.data_type()).call(vec![*cast.expr]))
            }
            expr => Transformed::no(expr),
        })
    };
    args.into_iter().map(|arg| Ok(arg.transform_up(named)?.data)).collect()
}

/// Postgres' type of a function whose result DataFusion gives a type that Postgres has not, or that
/// stands for another one here.
fn shown_type(function: &str) -> Option<DataType> {
    match function {
        "row_number" | "rank" | "dense_rank" => Some(DataType::Int64),
        "ntile" => Some(DataType::Int32),
        _ => None,
    }
}

/// A parameter to the right of `->` and `->>` is a key, as Postgres takes it.
fn as_key(mut expr: RawBinaryExpr, left: Kind) -> RawBinaryExpr {
    let arrow = matches!(expr.op, BinaryOperator::Arrow | BinaryOperator::LongArrow);
    if let (Kind::Jsonb, true, Expr::Placeholder(parameter)) = (left, arrow, &mut expr.right)
        && parameter.field.is_none()
    {
        parameter.field = Some(Arc::new(Field::new("", DataType::Utf8, true)));
    }
    expr
}

fn is_number(ty: &DataType) -> bool {
    matches!(kind(ty), Kind::Integer | Kind::Real | Kind::Numeric)
}

fn call(function: Arc<ScalarUDF>, args: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(function, args))
}

fn planned<T>(name: &str, args: Vec<Expr>) -> PlanResult<PlannerResult<T>> {
    Ok(PlannerResult::Planned(call(named(name), args)))
}

fn is_untyped(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(ScalarValue::Utf8(_) | ScalarValue::Null, _) | Expr::Placeholder(_) => true,
        Expr::Alias(alias) => is_untyped(&alias.expr),
        _ => false,
    }
}
