//! `INTERVAL` with fields and a precision: what is finer is cut off, or rounded.
//!
//! Law: the last field named is the unit of a bare number at the end, and the finest that is kept;
//! MINUTE TO SECOND reads `2:03` as minutes and seconds.

use sqlparser::ast::{self, DataType, DateTimeField, Expr, Value};

use super::ast::{call, cast_to, number, take};
use super::literal;
use crate::error::SqlError;

/// The value of a literal.
pub fn read(interval: &ast::Interval) -> Result<Expr, SqlError> {
    let unsupported = || SqlError::unsupported("this INTERVAL is not supported");
    let of_seconds = matches!(interval.leading_field, Some(DateTimeField::Second));
    if interval.leading_precision.is_some() && !of_seconds {
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
        Some(field) => in_fields(&text, interval.leading_field.as_ref(), field),
        None => text,
    };
    let ty = DataType::Interval { fields: None, precision: None };
    let value = cast_to(Expr::value(Value::SingleQuotedString(text)), ty);
    let digits = interval.fractional_seconds_precision.or(interval.leading_precision);
    Ok(cut_interval(value, last.map(ToString::to_string), digits))
}

/// A text with the units that the fields give its numbers: of `'1 2' DAY TO HOUR` the first are
/// days, the last are hours.
fn in_fields(text: &str, first: Option<&DateTimeField>, last: &DateTimeField) -> String {
    let bare = |word: &str| word.parse::<f64>().is_ok();
    let minutes = matches!((first, last), (Some(DateTimeField::Minute), DateTimeField::Second));
    let words: Vec<&str> = text.split_whitespace().collect();
    let unit = |(n, word): (usize, &&str)| match (n + 1 == words.len(), bare(word)) {
        (true, true) => format!("{word} {last}"),
        (false, true) if words.len() == 2 => format!("{word} day"),
        _ if minutes && word.matches(':').count() == 1 => {
            let digits = word.trim_start_matches(['+', '-']);
            format!("{}0:{digits}", &word[..word.len() - digits.len()])
        }
        _ => (*word).to_owned(),
    };
    words.iter().enumerate().map(unit).collect::<Vec<_>>().join(" ")
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
