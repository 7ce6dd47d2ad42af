//! `l JOIN table FOR SYSTEM_TIME AS OF l._arrived_at`, or `l.ts` with `WHERE l.ts <= now()`: each
//! row beside a table's as they stood at its own time (S16).
//!
//! Law      the time of a row is never after now(), so what it meets never changes
//! Missing  views on the right side, FOR EVENT_TIME, other times, now() in ON: refused with 0A000

use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};
use datafusion::scalar::ScalarValue;

use super::Resolver;
use crate::error::SqlError;
use crate::maintain::notice::not_in_the_future;
use crate::maintain::refuse;
use crate::maintain::rel::{
    On, Rel, VersionJoin, as_column, column, joined, references, substitute,
};
use crate::maintain::temporal::has_now;
use crate::time_join::{Clock, PointInTimeJoin};

impl Resolver<'_> {
    pub(super) fn version_join(&self, join: &PointInTimeJoin) -> Result<Rel, SqlError> {
        if join.clock == Clock::Event {
            return Err(refuse::event_time());
        }
        if join.bound.is_some() {
            // Of a statement that runs: it has an operator of its own.
            return Err(refuse::point_in_time());
        }
        let input = self.rel(&join.left)?;
        let (versions, places) = self.versions(&join.right)?;
        let width = input.width();
        let right = join.right.schema().as_arrow();
        let both = joined(&input.schema(), right);
        let time = self.expr(&join.time, join.left.schema(), &input.schema())?;
        let known = not_in_the_future(&input, self.scalars)?;
        if !known.contains(&earlier_than(&time)) {
            return Err(refuse::time_of_version());
        }
        let conditions = join.conditions.iter();
        let conditions =
            conditions.map(|condition| self.expr(condition, &join_names(join)?, &both));
        let conditions = conditions.collect::<Result<Vec<_>, SqlError>>()?;
        if conditions.iter().any(has_now) {
            return Err(refuse::point_in_time());
        }
        let place = |i: usize| if i < width { i } else { width + places[i - width] };
        let (mut on, mut condition) = (Vec::new(), Vec::new());
        for conjunct in conditions {
            match equality(&conjunct, width, &places) {
                Some(equal) => on.push(equal),
                None => condition.push(substitute(conjunct, &|i| column(place(i)))),
            }
        }
        let columns = (0..versions.schema.fields().len() - 1).collect();
        let (input, outer) = (Box::new(input), join.outer);
        let joined =
            Rel::VersionJoin(VersionJoin { input, versions, columns, on, time, condition, outer });
        let shown = (0..width).chain(places.iter().map(|place| width + place));
        Ok(joined.select(&shown.collect::<Vec<_>>()))
    }

    /// The table whose versions are met, and which of its columns the right side has.
    fn versions(
        &self,
        right: &LogicalPlan,
    ) -> Result<(crate::maintain::rel::Scan, Vec<usize>), SqlError> {
        let mut places: Vec<usize> = (0..right.schema().fields().len()).collect();
        let mut rel = self.rel(right)?;
        // A table that has lost or gained columns is seen through projections.
        loop {
            rel = match rel {
                Rel::Scan(scan) => return Ok((scan, places)),
                Rel::Project(project) => {
                    let below = project.exprs.iter().map(as_column).collect::<Option<Vec<_>>>();
                    let below = below.ok_or_else(refuse::versions)?;
                    places = places.into_iter().map(|place| below[place]).collect();
                    *project.input
                }
                _ => return Err(refuse::versions()),
            };
        }
    }
}

fn join_names(join: &PointInTimeJoin) -> Result<datafusion::common::DFSchema, SqlError> {
    Ok(join.left.schema().join(join.right.schema())?)
}

/// Without what is taken off a time.
fn earlier_than(time: &Expr) -> Expr {
    if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) = time
        && let Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(off)), _) = right.as_ref()
        && off.months >= 0
        && off.days >= 0
        && off.nanoseconds >= 0
    {
        return earlier_than(left);
    }
    time.clone()
}

/// An expression of the left side equal to a column of the right one.
fn equality(condition: &Expr, width: usize, places: &[usize]) -> Option<On> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else {
        return None;
    };
    let of_left = |expr: &Expr| references(expr).into_iter().all(|i| i < width);
    let of_right = |expr: &Expr| as_column(expr).filter(|i| *i >= width);
    let (l, r) = match (of_right(left), of_right(right)) {
        (None, Some(r)) if of_left(left) => (left, r),
        (Some(r), None) if of_left(right) => (right, r),
        _ => return None,
    };
    let right = column(places[r - width]);
    Some(On { left: l.as_ref().clone(), right, null_equal: false })
}
