//! The few expressions of time arithmetic that planning looks into.
//!
//! Law: an expression is recognised by its meaning, whichever way `rewrite::postgres_semantics`
//! writes it (an operator, or a function of `crate::function`); what isn't recognised is only not
//! looked into.

use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit, Schema};
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::{Expr, Operator};
use datafusion::scalar::ScalarValue;

use super::rel::type_of;
use super::scalar::Scalars;
use super::temporal::has_now;
use crate::function;

/// `expr` as a timestamp or date plus a constant interval.
pub(super) fn added_interval(
    expr: &Expr,
    schema: &Schema,
    scalars: &Scalars,
) -> Option<(Expr, IntervalMonthDayNano)> {
    let (left, op, right) = arithmetic(expr)?;
    let ty = |expr: &Expr| type_of(expr, schema).ok();
    let is_interval =
        |expr: &Expr| ty(expr) == Some(DataType::Interval(IntervalUnit::MonthDayNano));
    let (base, interval) = match op {
        Operator::Plus | Operator::Minus if is_interval(right) => (left, right),
        Operator::Plus if is_interval(left) => (right, left),
        _ => return None,
    };
    let ScalarValue::IntervalMonthDayNano(Some(interval)) = scalars.constant(interval)? else {
        return None;
    };
    let interval = match op {
        Operator::Minus => IntervalMonthDayNano {
            months: interval.months.checked_neg()?,
            days: interval.days.checked_neg()?,
            nanoseconds: interval.nanoseconds.checked_neg()?,
        },
        _ => interval,
    };
    let moves = matches!(ty(base)?, DataType::Timestamp(..) | DataType::Date32);
    moves.then(|| (base.clone(), interval))
}

/// Operands of + and − with an interval.
fn arithmetic(expr: &Expr) -> Option<(&Expr, Operator, &Expr)> {
    if let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr {
        return Some((left, *op, right));
    }
    let (name, left, right) = call(expr)?;
    match name {
        "timestamp_pl_interval"
        | "interval_pl_timestamp"
        | "date_pl_interval"
        | "interval_pl_date" => Some((left, Operator::Plus, right)),
        "timestamp_mi_interval" | "date_mi_interval" => Some((left, Operator::Minus, right)),
        _ => None,
    }
}

/// The date of `date ± days`, the days a constant.
pub(super) fn added_days<'a>(expr: &'a Expr, scalars: &Scalars) -> Option<&'a Expr> {
    let (name, left, right) = call(expr)?;
    let (date, days) = match name {
        "date_pl_int" | "date_mi_int" => (left, right),
        "int_pl_date" => (right, left),
        _ => return None,
    };
    scalars.constant(days).map(|_| date)
}

/// The two arguments of a function call.
fn call(expr: &Expr) -> Option<(&str, &Expr, &Expr)> {
    match expr {
        Expr::ScalarFunction(function) => match function.args.as_slice() {
            [left, right] => Some((function.name(), left, right)),
            _ => None,
        },
        _ => None,
    }
}

/// `a - b OP interval` as `a - interval OP b`, now() in one of a and b, and the same for dates and
/// days. Differences of times are counted in days of 24 hours and months of 30 days when they are
/// compared, so this is exact.
pub(super) fn compared_difference(expr: &Expr) -> Option<Expr> {
    let (op, difference, constant) = match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match constant_of(right) {
            Some(constant) => (*op, left.as_ref(), constant),
            None => (op.swap()?, right.as_ref(), constant_of(left)?),
        },
        _ => {
            let (name, left, right) = call(expr)?;
            let op = interval_comparison(name)?;
            match constant_of(right) {
                Some(constant) => (op, left, constant),
                None => (op.swap()?, right, constant_of(left)?),
            }
        }
    };
    let (name, from, subtracted) = call(difference)?;
    let expected = match constant {
        ScalarValue::IntervalMonthDayNano(_) => "timestamp_mi",
        _ => "date_mi",
    };
    if name != expected || has_now(from) == has_now(subtracted) {
        return None;
    }
    Some(match has_now(from) {
        true => comparison(shifted(from, constant, -1)?, op, subtracted.clone()),
        false => comparison(from.clone(), op, shifted(subtracted, constant, 1)?),
    })
}

fn comparison(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

fn constant_of(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) if !value.is_null() => Some(value),
        _ => None,
    }
}

fn interval_comparison(name: &str) -> Option<Operator> {
    Some(match name {
        "interval_eq" => Operator::Eq,
        "interval_ne" => Operator::NotEq,
        "interval_lt" => Operator::Lt,
        "interval_le" => Operator::LtEq,
        "interval_gt" => Operator::Gt,
        "interval_ge" => Operator::GtEq,
        _ => return None,
    })
}

/// A time plus (`sign` 1) or minus (−1) a constant, months counted as 30 days.
fn shifted(time: &Expr, by: &ScalarValue, sign: i32) -> Option<Expr> {
    match by {
        ScalarValue::IntervalMonthDayNano(Some(by)) => {
            let days = by.months.checked_mul(30)?.checked_add(by.days)?.checked_mul(sign)?;
            let nanoseconds = by.nanoseconds.checked_mul(sign.into())?;
            let by = IntervalMonthDayNano { months: 0, days, nanoseconds };
            let by = Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(by)), None);
            Some(comparison(time.clone(), Operator::Plus, by))
        }
        ScalarValue::Int32(Some(days)) => {
            let days = Expr::Literal(ScalarValue::Int32(Some(days.checked_mul(sign)?)), None);
            Some(function::scalar("date_pl_int")?.call(vec![time.clone(), days]))
        }
        _ => None,
    }
}

/// The argument and the type of a cast, as an expression or as a function.
pub(super) fn cast_of(expr: &Expr) -> Option<(&Expr, DataType)> {
    match expr {
        Expr::Cast(cast) => Some((&cast.expr, cast.field.data_type().clone())),
        Expr::ScalarFunction(call) => match call.args.as_slice() {
            [inner] => Some((inner, function::cast::target(&call.func)?.clone())),
            _ => None,
        },
        _ => None,
    }
}
