//! Whole numbers in the text as integers: `SqlToRel` would make a bigint of each.
//!
//! Law: a number that fits is written as a cast to integer before planning, so that every type that
//! is asked for while planning is PostgreSQL's; the cast of a literal is gone again once types are
//! resolved. Where a number is not a value (an ordinal in ORDER BY and GROUP BY, a LIMIT, a
//! window's bounds) it stays as it is. A number with more digits than a numeric holds is a double;
//! one that only its exponent makes whole (`1e3`) a numeric without digits behind the point.

use sqlparser::ast::{
    self, CastKind, DataType, ExactNumberInfo, Expr, GroupByExpr, LimitClause, OrderByKind, Query,
    Select, Value, WindowFrameBound, WindowSpec,
};

use super::ast::cast_to;
use crate::text_io::numeric;

/// Casts a whole number that is an integer, one with an exponent, and one that no numeric holds.
pub fn wrap(expr: &mut Expr) {
    let Expr::Value(value) = &*expr else { return };
    let Value::Number(text, _) = &value.value else { return };
    if text.parse::<i32>().is_ok() {
        *expr = cast_to(expr.clone(), DataType::Int4(None));
    } else if digits(text) > i64::from(numeric::PRECISION_MAX) {
        let text = Expr::value(Value::SingleQuotedString(text.clone()));
        *expr = cast_to(text, DataType::DoublePrecision);
    } else if text.contains(['e', 'E']) && is_whole(text) {
        let precision = digits(text).max(1) as u64;
        let text = Expr::value(Value::SingleQuotedString(text.clone()));
        let info = ExactNumberInfo::PrecisionAndScale(precision, 0);
        *expr = cast_to(text, DataType::Numeric(info));
    }
}

/// Whether an exponent leaves no digits behind the point.
fn is_whole(number: &str) -> bool {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    exponent.parse::<i64>().is_ok_and(|exponent| exponent >= fraction as i64)
}

/// How many decimal digits it takes to write a number in full.
fn digits(number: &str) -> i64 {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let exponent: i64 = exponent.parse().unwrap_or(i64::from(i32::MAX));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let significant = whole.bytes().chain(fraction.bytes()).skip_while(|digit| *digit == b'0');
    let significant = significant.count() as i64;
    match exponent - fraction.len() as i64 {
        zeros @ 0.. if significant > 0 => significant + zeros,
        scale => significant.max(-scale),
    }
}

/// The expression without what [`wrap`] put around it.
pub fn unwrapped(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast {
            kind: CastKind::Cast, expr: inner, data_type: DataType::Int4(None), ..
        } if is_number(inner) => inner,
        expr => expr,
    }
}

fn is_number(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(value.value, Value::Number(..)))
}

fn unwrap(expr: &mut Expr) {
    if let inner @ Expr::Value(_) = unwrapped(expr) {
        *expr = inner.clone();
    }
}

/// ORDER BY, LIMIT and OFFSET.
pub fn unwrap_query(query: &mut Query) {
    if let Some(order_by) = &mut query.order_by
        && let OrderByKind::Expressions(items) = &mut order_by.kind
    {
        items.iter_mut().for_each(|item| unwrap(&mut item.expr));
    }
    match &mut query.limit_clause {
        Some(LimitClause::LimitOffset { limit, offset, .. }) => {
            limit.iter_mut().for_each(unwrap);
            offset.iter_mut().for_each(|offset| unwrap(&mut offset.value));
        }
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
            unwrap(offset);
            unwrap(limit);
        }
        None => {}
    }
}

/// GROUP BY and named windows.
pub fn unwrap_select(select: &mut Select) {
    if let GroupByExpr::Expressions(exprs, _) = &mut select.group_by {
        exprs.iter_mut().for_each(unwrap);
    }
    if let Some(ast::Distinct::On(exprs)) = &mut select.distinct {
        exprs.iter_mut().for_each(unwrap);
    }
    for window in &mut select.named_window {
        if let ast::NamedWindowExpr::WindowSpec(spec) = &mut window.1 {
            unwrap_window(spec);
        }
    }
}

/// The bounds of a window's frame: numbers, and intervals as the planner knows them.
pub fn unwrap_window(spec: &mut WindowSpec) {
    let Some(frame) = &mut spec.window_frame else { return };
    for bound in [Some(&mut frame.start_bound), frame.end_bound.as_mut()].into_iter().flatten() {
        if let WindowFrameBound::Preceding(Some(expr)) | WindowFrameBound::Following(Some(expr)) =
            bound
        {
            unwrap(expr);
            unwrap_interval(expr);
        }
    }
}

fn unwrap_interval(expr: &mut Expr) {
    if let Expr::Cast { expr: value, data_type: DataType::Interval { .. }, .. } = expr {
        *expr = Expr::Interval(ast::Interval {
            value: value.clone(),
            leading_field: None,
            leading_precision: None,
            last_field: None,
            fractional_seconds_precision: None,
        });
    }
}
