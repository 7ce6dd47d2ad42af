//! `OVERLAPS`: whether two spans of time share an instant.
//!
//! Law: a span is given by its ends in either order, or by a start and a length; it holds its start
//! but not its end, and its start where they are equal. An end that is NULL is one that is not
//! known: PostgreSQL's overlaps_timestamp, step by step.

use datafusion::logical_expr::ScalarUDF;

use crate::error::SqlError;
use crate::text_io::datetime::calendar::DAY;
use crate::text_io::interval;

use super::body::{Bool, Interval, Opt, Time, Timestamp, Timestamptz, fn4};
use super::date_arithmetic::add;
use super::scalar::Scalar;

macro_rules! overloads {
    ($function:expr, $ty:ident, $add:expr) => {
        $function
            .overload(fn4::<Opt<$ty>, Opt<$ty>, Opt<$ty>, Opt<$ty>, Opt<Bool>>(|a, b, c, d| {
                Ok(overlaps((a, b), (c, d)))
            }))
            .overload(fn4::<Opt<$ty>, Opt<Interval>, Opt<$ty>, Opt<Interval>, Opt<Bool>>(
                |a, b, c, d| {
                    let (b, d) = (ends(a, b, $add)?, ends(c, d, $add)?);
                    Ok(overlaps((a, b), (c, d)))
                },
            ))
            .overload(fn4::<Opt<$ty>, Opt<$ty>, Opt<$ty>, Opt<Interval>, Opt<Bool>>(
                |a, b, c, d| Ok(overlaps((a, b), (c, ends(c, d, $add)?))),
            ))
            .overload(fn4::<Opt<$ty>, Opt<Interval>, Opt<$ty>, Opt<$ty>, Opt<Bool>>(
                |a, b, c, d| Ok(overlaps((a, ends(a, b, $add)?), (c, d))),
            ))
    };
}

pub fn functions() -> Vec<ScalarUDF> {
    let function = Scalar::new("overlaps");
    let function = overloads!(function, Timestamptz, later);
    let function = overloads!(function, Timestamp, later);
    vec![overloads!(function, Time, in_day).udf()]
}

fn later(at: i64, length: Span) -> Result<i64, SqlError> {
    add(at, length, 1)
}

fn in_day(at: i64, length: Span) -> Result<i64, SqlError> {
    Ok((at + interval::micros(length)).rem_euclid(DAY))
}

type Span = arrow::datatypes::IntervalMonthDayNano;

/// The end of a span of that length.
fn ends(
    start: Option<i64>,
    length: Option<Span>,
    add: impl Fn(i64, Span) -> Result<i64, SqlError>,
) -> Result<Option<i64>, SqlError> {
    match (start, length) {
        (Some(start), Some(length)) => add(start, length).map(Some),
        _ => Ok(None),
    }
}

type Ends = (Option<i64>, Option<i64>);

fn overlaps(one: Ends, other: Ends) -> Option<bool> {
    let (start, end) = in_order(one)?;
    let (other_start, other_end) = in_order(other)?;
    match start.cmp(&other_start) {
        std::cmp::Ordering::Greater => follows(start, end, other_end),
        std::cmp::Ordering::Less => follows(other_start, other_end, end),
        std::cmp::Ordering::Equal => end.and(other_end).map(|_| true),
    }
}

/// The span that starts later against the end of the other.
fn follows(start: i64, end: Option<i64>, other_end: Option<i64>) -> Option<bool> {
    match other_end? > start {
        true => Some(true),
        false => end.map(|_| false),
    }
}

/// A start that is there, and perhaps an end.
fn in_order(ends: Ends) -> Option<(i64, Option<i64>)> {
    match ends {
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => Some((one, None)),
        (Some(one), Some(other)) => Some((one.min(other), Some(one.max(other)))),
    }
}
