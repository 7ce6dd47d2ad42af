//! Comparisons with now(): which of them time keeps, and as what (design §2, S7, S11).
//!
//! Law      `now side OP row side` becomes the edges of an interval of time ([`Bound`]); a now side
//!          is accepted only where it provably never falls as time rises
//! Forms    now(); a cast of a form to timestamp(tz) or date; a form ± a constant interval;
//!          date ± a constant; date_trunc and date_bin of a form
//! Missing  months on a form with a changing time of day: it falls at the end of a month. Refused

use arrow::datatypes::{DataType, IntervalMonthDayNano, Schema, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::{BinaryExpr, InList};
use datafusion::logical_expr::{Expr, Operator};
use datafusion::scalar::ScalarValue;
use tidemark_engine::plan::{Bound, Edge, NowSide, schema_of};

use super::fallible::is_fallible;
use super::interval::{added_days, added_interval, cast_of, compared_difference};
use super::refuse;
use super::rel::{any, column, type_of};
use super::scalar::Scalars;
use crate::error::SqlError;

/// A [`Bound`] before it is made physical.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Comparison {
    pub edge: Edge,
    pub strict: bool,
    pub now: Now,
    /// Over the columns of the operator's input.
    pub value: Expr,
}

/// The side of a comparison that holds now().
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Now {
    /// now() plus so many microseconds.
    Offset(i64),
    /// Any other form, with now() in it.
    Monotone(Expr),
}

/// What [`Analysis::form`] finds of an expression of now() and constants.
struct Form {
    now: Now,
    /// Its time of day is always the same, so that months added to it don't make it fall.
    aligned: bool,
}

/// Microseconds of a day in intervals: the session's time zone is UTC.
const DAY_US: i64 = 86_400_000_000;

pub(super) fn is_now(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(function)
        if function.args.is_empty() && function.name() == "now")
}

pub(super) fn has_now(expr: &Expr) -> bool {
    any(expr, is_now)
}

/// What is asked about comparisons over rows of one schema.
pub(super) struct Analysis<'a> {
    pub scalars: &'a Scalars,
    pub schema: &'a Schema,
}

impl Analysis<'_> {
    /// The comparisons that together are the predicate, if it is a conjunction of comparisons with
    /// now() that a temporal filter can hold; `None` if it must be computed from flags.
    pub fn conjunction(&self, predicate: &Expr) -> Result<Option<Vec<Comparison>>, SqlError> {
        match predicate.clone() {
            Expr::BinaryExpr(binary) if binary.op == Operator::And => {
                let left = self.conjunction(&binary.left)?;
                let right = self.conjunction(&binary.right)?;
                Ok(left.zip(right).map(|(left, right)| [left, right].concat()))
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(op) => {
                let found = self.comparison(&left, op, &right)?;
                Ok(found.filter(|_| in_conjunction(op)))
            }
            _ => Ok(None),
        }
    }

    /// The expression with each comparison with now() replaced by columns behind the schema's, one
    /// for each of `flags`; refuses now() elsewhere.
    pub fn flagged(&self, expr: Expr, flags: &mut Vec<Comparison>) -> Result<Expr, SqlError> {
        let branches = any(&expr, |part| match part {
            Expr::Case(_) => true,
            Expr::BinaryExpr(binary) => matches!(binary.op, Operator::And | Operator::Or),
            _ => false,
        });
        let width = self.schema.fields().len();
        let replaced = expr.transform_down(|expr| {
            let Expr::BinaryExpr(BinaryExpr { left, op, right }) = &expr else {
                return Ok(Transformed::no(expr));
            };
            let found = match is_comparison(*op) {
                true => self.comparison(left, *op, right)?,
                false => None,
            };
            let Some(comparisons) = found else {
                return Ok(Transformed::no(expr));
            };
            let guarded = |c: &Comparison| branches && is_fallible(&c.value, self.schema);
            if comparisons.iter().any(guarded) {
                return Err(refuse::now_guarded().into());
            }
            let columns = comparisons.into_iter().map(|comparison| {
                let place = flags.iter().position(|known| *known == comparison);
                let place = place.unwrap_or_else(|| {
                    flags.push(comparison);
                    flags.len() - 1
                });
                column(width + place)
            });
            let all = columns.reduce(Expr::and).expect("a comparison has a bound");
            Ok(Transformed::yes(match op {
                Operator::NotEq => Expr::Not(Box::new(all)),
                Operator::IsDistinctFrom => all.is_not_true(),
                Operator::IsNotDistinctFrom => all.is_true(),
                _ => all,
            }))
        })?;
        match has_now(&replaced.data) {
            true => Err(refuse::now_value()),
            false => Ok(replaced.data),
        }
    }

    /// The bounds that all hold where `left op right` does (`<>` and IS DISTINCT FROM: where it
    /// doesn't), if one side has now() in it.
    fn comparison(
        &self,
        left: &Expr,
        op: Operator,
        right: &Expr,
    ) -> Result<Option<Vec<Comparison>>, SqlError> {
        let (now, op, value) = match (has_now(left), has_now(right)) {
            (false, false) => return Ok(None),
            (true, false) => (left, op, right),
            (false, true) => (right, op.swap().unwrap_or(op), left),
            (true, true) => return Err(refuse::now_twice()),
        };
        if any(now, |part| matches!(part, Expr::Column(_))) {
            return Err(refuse::now_mixed());
        }
        let form = self.form(now)?;
        if matches!(form.now, Now::Offset(_)) && !is_timestamp(&type_of(value, self.schema)?) {
            return Err(refuse::now_form());
        }
        let bound =
            |edge, strict| Comparison { edge, strict, now: form.now.clone(), value: value.clone() };
        Ok(Some(match op {
            Operator::Gt => vec![bound(Edge::From, true)],
            Operator::GtEq => vec![bound(Edge::From, false)],
            Operator::Lt => vec![bound(Edge::Until, false)],
            Operator::LtEq => vec![bound(Edge::Until, true)],
            _ => vec![bound(Edge::From, false), bound(Edge::Until, true)],
        }))
    }

    fn form(&self, expr: &Expr) -> Result<Form, SqlError> {
        let monotone = |aligned| Form { now: Now::Monotone(expr.clone()), aligned };
        if is_now(expr) {
            return Ok(Form { now: Now::Offset(0), aligned: false });
        }
        if let Some((base, interval)) = added_interval(expr, self.schema, self.scalars) {
            let base = self.form(&base)?;
            if interval.months != 0 && !base.aligned {
                return Err(refuse::now_months());
            }
            return Ok(match (&base.now, fixed_us(&interval)) {
                (Now::Offset(offset), Some(us)) => {
                    let offset = offset.checked_add(us).ok_or_else(refuse::now_form)?;
                    Form { now: Now::Offset(offset), aligned: base.aligned }
                }
                _ => self.checked(monotone(base.aligned))?,
            });
        }
        if let Some((inner, to)) = cast_of(expr) {
            let inner_type = type_of(inner, self.schema)?;
            let form = self.form(inner)?;
            return match (&inner_type, &to) {
                (from, to) if is_timestamp(from) && is_timestamp(to) => match form.now {
                    Now::Offset(_) => Ok(form),
                    Now::Monotone(_) => Ok(monotone(form.aligned)),
                },
                (from, DataType::Date32) if is_timestamp(from) => Ok(monotone(true)),
                (DataType::Date32, to) if is_timestamp(to) => Ok(monotone(true)),
                _ => Err(refuse::now_form()),
            };
        }
        if let Some(date) = added_days(expr, self.scalars) {
            self.form(date)?;
            return self.checked(monotone(true));
        }
        let form = match expr {
            Expr::ScalarFunction(function) => match (function.name(), function.args.as_slice()) {
                ("date_trunc", [Expr::Literal(unit, _), of]) => {
                    let inner = self.form(of)?;
                    monotone(inner.aligned || is_calendar_unit(unit))
                }
                ("date_bin", [Expr::Literal(stride, _), of])
                | ("date_bin", [Expr::Literal(stride, _), of, Expr::Literal(..)]) => {
                    self.form(of)?;
                    monotone(is_whole_days(stride))
                }
                _ => return Err(refuse::now_form()),
            },
            _ => return Err(refuse::now_form()),
        };
        self.checked(form)
    }

    /// A form that has a value at the ends of time, and so in between.
    fn checked(&self, form: Form) -> Result<Form, SqlError> {
        // As far as the engine looks for the instant of a change: the years 1970 to 9999.
        const ENDS: [i64; 2] = [0, 253_402_300_799_999_999];
        let Now::Monotone(expr) = &form.now else {
            return Ok(form);
        };
        let total = ENDS.into_iter().all(|us| {
            let at = ScalarValue::TimestampMicrosecond(Some(us), Some("+00:00".into()));
            let placed = expr.clone().transform_up(|expr| {
                Ok(match is_now(&expr) {
                    true => Transformed::yes(Expr::Literal(at.clone(), None)),
                    false => Transformed::no(expr),
                })
            });
            let placed = placed.expect("replacing cannot fail").data;
            self.scalars.constant(&placed).is_some_and(|value| !value.is_null())
        });
        if total { Ok(form) } else { Err(refuse::now_form()) }
    }

    /// The comparison as the engine takes it.
    pub fn bound(&self, comparison: &Comparison) -> Result<Bound, SqlError> {
        let now = match &comparison.now {
            Now::Offset(offset) => NowSide::Offset(*offset),
            Now::Monotone(expr) => {
                let over_now = expr.clone().transform_up(|expr| {
                    Ok(match is_now(&expr) {
                        true => Transformed::yes(column(0)),
                        false => Transformed::no(expr),
                    })
                })?;
                let timestamptz = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
                let now = schema_of([("now", timestamptz)]);
                NowSide::Monotone(self.scalars.physical(&over_now.data, &now)?)
            }
        };
        let value = self.scalars.physical(&comparison.value, self.schema)?;
        let (edge, strict) = (comparison.edge, comparison.strict);
        Ok(Bound { edge, strict, now, value })
    }
}

/// Whether bounds that all hold are the comparison itself.
fn in_conjunction(op: Operator) -> bool {
    !matches!(op, Operator::NotEq | Operator::IsDistinctFrom)
}

fn is_comparison(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

/// The sides of a comparison with now(): the one with now() in it, which has no columns, the
/// operator as seen from there, and the row's side.
pub(super) fn now_comparison(expr: &Expr) -> Option<(&Expr, Operator, &Expr)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else {
        return None;
    };
    let (now, op, value) = match (has_now(left), has_now(right)) {
        (true, false) if is_comparison(*op) => (left, *op, right),
        (false, true) if is_comparison(*op) => (right, op.swap().unwrap_or(*op), left),
        _ => return None,
    };
    let of_now_alone = !any(now, |part| matches!(part, Expr::Column(_)));
    of_now_alone.then_some((now.as_ref(), op, value.as_ref()))
}

/// Comparisons with now() as they are planned: BETWEEN, IN and differences of times as comparisons
/// of times, and constants on the side of now(): `now() > ts + b` is `now() - b > ts` for an
/// interval b of one length.
pub(super) fn normalized(
    expr: Expr,
    schema: &Schema,
    scalars: &Scalars,
) -> datafusion::common::Result<Expr> {
    if !has_now(&expr) {
        return Ok(expr);
    }
    let moved = spread(expr).transform_down(|expr| {
        let Some((now, op, value)) = now_comparison(&expr) else {
            return Ok(Transformed::no(expr));
        };
        let (mut now, mut value) = (now.clone(), value.clone());
        while let Some((base, interval)) = added_interval(&value, schema, scalars) {
            let is_time = type_of(&base, schema).is_ok_and(|ty| is_timestamp(&ty));
            if !is_time || fixed_us(&interval).is_none() {
                break;
            }
            let by = Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), None);
            now = binary(now, Operator::Minus, by);
            value = base;
        }
        Ok(Transformed::new(binary(now, op, value), true, TreeNodeRecursion::Jump))
    })?;
    Ok(moved.data)
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

/// BETWEEN, IN and comparisons of differences with now() in them, as comparisons of times.
fn spread(expr: Expr) -> Expr {
    let spread = expr.transform_down(|expr| {
        Ok(match expr {
            Expr::Between(between) if has_now(&Expr::Between(between.clone())) => {
                let (low, high) = (*between.low, *between.high);
                let within = between.expr.as_ref().clone().gt_eq(low).and(between.expr.lt_eq(high));
                Transformed::yes(if between.negated { negated(within) } else { within })
            }
            Expr::InList(in_list) if has_now(&Expr::InList(in_list.clone())) => {
                let InList { expr, list, negated: is_negated } = in_list;
                let equals = list.into_iter().map(|item| expr.as_ref().clone().eq(item));
                let one_of = equals.reduce(Expr::or).expect("IN has a list");
                Transformed::yes(if is_negated { negated(one_of) } else { one_of })
            }
            other if has_now(&other) => match compared_difference(&other) {
                Some(comparison) => Transformed::yes(comparison),
                None => Transformed::no(other),
            },
            other => Transformed::no(other),
        })
    });
    spread.expect("rewriting cannot fail").data
}

fn negated(expr: Expr) -> Expr {
    Expr::Not(Box::new(expr))
}

fn is_timestamp(ty: &DataType) -> bool {
    matches!(ty, DataType::Timestamp(TimeUnit::Microsecond, _))
}

/// Its length in microseconds, if that is always the same.
pub(super) fn fixed_us(interval: &IntervalMonthDayNano) -> Option<i64> {
    if interval.months != 0 || interval.nanoseconds % 1000 != 0 {
        return None;
    }
    i64::from(interval.days).checked_mul(DAY_US)?.checked_add(interval.nanoseconds / 1000)
}

fn is_calendar_unit(unit: &ScalarValue) -> bool {
    const UNITS: [&str; 8] =
        ["day", "week", "month", "quarter", "year", "decade", "century", "millennium"];
    let ScalarValue::Utf8(Some(unit)) = unit else {
        return false;
    };
    let unit = unit.to_lowercase();
    UNITS.contains(&unit.trim_end_matches('s')) || unit == "centuries" || unit == "millennia"
}

fn is_whole_days(stride: &ScalarValue) -> bool {
    match stride {
        ScalarValue::IntervalMonthDayNano(Some(stride)) => {
            fixed_us(stride).is_some_and(|us| us % DAY_US == 0)
        }
        _ => false,
    }
}
