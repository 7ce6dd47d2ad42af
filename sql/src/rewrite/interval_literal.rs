//! `INTERVAL` with fields and a precision: what is finer is cut off, or rounded.
//!
//! Law: the last field named is the unit of a bare number, and the finest that is kept.

use sqlparser::ast::{self, DataType, Expr, Value};

use super::ast::{call, cast_to, number, take};
use super::literal;
use crate::error::SqlError;

/// The value of a literal.
pub fn read(interval: &ast::Interval) -> Result<Expr, SqlError> {
    let unsupported = || SqlError::unsupported("this INTERVAL is not supported");
    if interval.leading_precision.is_some() {
        return Err(unsupported());
    }
    let text = match literal::unwrapped(interval.value.as_ref()) {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.clone(),
            Value::Number(number, _) => number.clone(),
            _ => return Err(unsupported()),
        },
        _ => return Err(unsupported()),
    };
    // '5' MINUTE: the last field is the unit of a bare number, and all beyond it are cut off.
    let last = interval.last_field.as_ref().or(interval.leading_field.as_ref());
    let text = match last {
        Some(field) if text.trim().parse::<f64>().is_ok() => format!("{text} {field}"),
        _ => text,
    };
    let ty = DataType::Interval { fields: None, precision: None };
    let value = cast_to(Expr::value(Value::SingleQuotedString(text)), ty);
    let digits = interval.fractional_seconds_precision;
    Ok(cut_interval(value, last.map(ToString::to_string), digits))
}

/// An interval without what is beyond its last field, its seconds rounded to so many digits.
fn cut_interval(value: Expr, last_field: Option<String>, digits: Option<u64>) -> Expr {
    let cut = match last_field.map(|field| field.to_lowercase()) {
        Some(field) if field != "second" => {
            let field = Expr::value(Value::SingleQuotedString(field));
            call("interval_cut", vec![value, field])
        }
        _ => value,
    };
    match digits {
        Some(digits) if digits < 6 => {
            call("interval_round", vec![cut, number(i64::try_from(digits).unwrap_or(6))])
        }
        _ => cut,
    }
}

/// A cast to an interval with fields or a precision; None of one that has neither.
pub fn cut(inner: &mut Expr, data_type: &DataType) -> Option<Expr> {
    let DataType::Interval { fields, precision } = data_type else { return None };
    if fields.is_none() && precision.is_none() {
        return None;
    }
    let last = fields.as_ref().map(|fields| fields.to_string());
    let last = last.and_then(|fields| fields.rsplit(' ').next().map(str::to_owned));
    let plain = DataType::Interval { fields: None, precision: None };
    Some(cut_interval(cast_to(take(inner), plain), last, *precision))
}
