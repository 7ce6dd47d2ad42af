//! Outer, semi and anti joins: which predicates pass them, and what of ON is a key.
//!
//! Law      a predicate above passes to the side whose rows are all kept; a part of ON passes to
//!          the side whose rows are dropped without a partner (of Semi to both)
//! Stronger a predicate above that is not true of NULLs makes the join one that gives none
//! Errors   what can fail stays in ON: a pair for which it fails is none, and reported

use std::ops::Range;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::{Expr, Operator};
use tidemark_engine::plan::JoinKind;

use super::{equality, push};
use crate::error::SqlError;
use crate::maintain::fallible::is_fallible;
use crate::maintain::interval::cast_of;
use crate::maintain::refuse;
use crate::maintain::rel::{
    Join, On, Rel, as_column, column, is_half, joined, references, shift, substitute,
};
use crate::maintain::temporal::{has_now, now_comparison};

/// A join that is not an inner one, with only the rows for which `predicates` are true.
pub(super) fn push_outer(join: Join, predicates: Vec<Expr>) -> Result<Rel, SqlError> {
    let (width, total) = (join.left.width(), join.left.width() + join.right.width());
    let (left_columns, right_columns) = (0..width, width..total);
    let kind = strengthened(join.kind, &predicates, &left_columns, &right_columns);
    if kind == JoinKind::Inner {
        return push(join.left.join(kind, *join.right, join.on, join.condition), predicates);
    }
    let (mut to_left, mut to_right, mut above) = (Vec::new(), Vec::new(), Vec::new());
    for predicate in predicates {
        match kind {
            _ if is_half(kind) => to_left.push(predicate),
            JoinKind::Left if within(&predicate, &left_columns) => to_left.push(predicate),
            JoinKind::Right if within(&predicate, &right_columns) => {
                to_right.push(shift(predicate, -(width as isize)));
            }
            _ => above.push(predicate),
        }
    }
    let schema = joined(&join.left.schema(), &join.right.schema());
    let (mut on, mut condition) = (join.on, Vec::new());
    for predicate in join.condition {
        let drops_right = matches!(kind, JoinKind::Left | JoinKind::Semi | JoinKind::Anti);
        let drops_left = matches!(kind, JoinKind::Right | JoinKind::Semi);
        let key = key(&predicate, &left_columns, &right_columns);
        match key {
            _ if is_fallible(&predicate, &schema) => condition.push(predicate),
            Some(key) => on.push(key),
            None if drops_right && within(&predicate, &right_columns) => {
                to_right.push(shift(predicate, -(width as isize)));
            }
            None if drops_left && within(&predicate, &left_columns) => to_left.push(predicate),
            None => condition.push(predicate),
        }
    }
    let (left, right) = (push(*join.left, to_left)?, push(*join.right, to_right)?);
    Ok(left.join(kind, right, on, condition).filter(above))
}

fn within(predicate: &Expr, columns: &Range<usize>) -> bool {
    references(predicate).iter().all(|column| columns.contains(column))
}

/// The join's kind without the rows that some predicate removes anyway.
fn strengthened(
    kind: JoinKind,
    predicates: &[Expr],
    left: &Range<usize>,
    right: &Range<usize>,
) -> JoinKind {
    let needs = |side: &Range<usize>| predicates.iter().any(|p| rejects_nulls(p, side));
    match kind {
        JoinKind::Left if needs(right) => JoinKind::Inner,
        JoinKind::Right if needs(left) => JoinKind::Inner,
        JoinKind::Full => match (needs(left), needs(right)) {
            (true, true) => JoinKind::Inner,
            (true, false) => JoinKind::Left,
            (false, true) => JoinKind::Right,
            (false, false) => JoinKind::Full,
        },
        kind => kind,
    }
}

/// Whether the predicate is known not to be true where all of these columns are NULL.
fn rejects_nulls(predicate: &Expr, columns: &Range<usize>) -> bool {
    let is_null = |expr: &Expr| {
        let inner = cast_of(expr).map_or(expr, |(inner, _)| inner);
        as_column(inner).is_some_and(|column| columns.contains(&column))
    };
    match predicate {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And => rejects_nulls(left, columns) || rejects_nulls(right, columns),
            Operator::Or => rejects_nulls(left, columns) && rejects_nulls(right, columns),
            Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq => is_null(left) || is_null(right),
            _ => false,
        },
        Expr::IsNotNull(of) => is_null(of),
        other => is_null(other),
    }
}

/// The predicate as an equality of the sides.
fn key(predicate: &Expr, left: &Range<usize>, right: &Range<usize>) -> Option<On> {
    let (l, r, null_equal) = equality(predicate)?;
    let of =
        |side: &Expr, columns: &Range<usize>| !references(side).is_empty() && within(side, columns);
    let (l, r) = match () {
        _ if of(l, left) && of(r, right) => (l, r),
        _ if of(r, left) && of(l, right) => (r, l),
        _ => return None,
    };
    let first = right.start as isize;
    Some(On { left: l.clone(), right: shift(r.clone(), -first), null_equal })
}

/// The tree in which comparisons with now() in ON are columns of a side, where that side's rows are
/// not dropped by them.
pub(super) fn flag_times(rel: Rel) -> Result<Rel, SqlError> {
    match rel.map_inputs(&mut flag_times)? {
        Rel::Join(join) => of_join(join),
        other => Ok(other),
    }
}

fn of_join(join: Join) -> Result<Rel, SqlError> {
    if !join.condition.iter().any(has_now) {
        return Ok(Rel::Join(join));
    }
    let (width, right_width) = (join.left.width(), join.right.width());
    let schema = joined(&join.left.schema(), &join.right.schema());
    let drops_right = matches!(join.kind, JoinKind::Left | JoinKind::Semi | JoinKind::Anti);
    let drops_left = matches!(join.kind, JoinKind::Right | JoinKind::Semi);
    let passes = |predicate: &Expr| {
        let right = width..width + right_width;
        !is_fallible(predicate, &schema)
            && (drops_right && within(predicate, &right)
                || drops_left && within(predicate, &(0..width)))
    };
    let (mut of_left, mut of_right): (Vec<Expr>, Vec<Expr>) = (vec![], vec![]);
    // Flags of the left side stand between its columns and the right's.
    let mut places: Vec<(bool, usize)> = Vec::new();
    let total = width + right_width;
    let mut condition = Vec::new();
    for predicate in join.condition {
        if !has_now(&predicate) || passes(&predicate) {
            condition.push(predicate);
            continue;
        }
        let flagged = predicate.transform_down(|expr| {
            let Some((_, _, value)) = now_comparison(&expr) else {
                return Ok(Transformed::no(expr));
            };
            if is_fallible(value, &schema) {
                return Err(refuse::now_guarded().into());
            }
            let flag = match () {
                _ if within(value, &(0..width)) => {
                    of_left.push(expr);
                    (true, of_left.len() - 1)
                }
                _ if within(value, &(width..total)) => {
                    of_right.push(shift(expr, -(width as isize)));
                    (false, of_right.len() - 1)
                }
                _ => return Err(refuse::now_in_join().into()),
            };
            places.push(flag);
            let placed = column(total + places.len() - 1);
            Ok(Transformed::new(placed, true, TreeNodeRecursion::Jump))
        })?;
        condition.push(flagged.data);
    }
    let left_flags = of_left.len();
    let names = |count: usize| (0..count).map(|i| format!("now_{i}")).collect::<Vec<_>>();
    let with_flags = |side: Rel, flags: Vec<Expr>| match flags.len() {
        0 => Ok(side),
        count => side.extend(flags, names(count)),
    };
    let left = with_flags(*join.left, of_left)?;
    let right = with_flags(*join.right, of_right)?;
    let place = |i: usize| match i {
        i if i < width => i,
        i if i < total => i + left_flags,
        i => match places[i - total] {
            (true, flag) => width + flag,
            (false, flag) => total + left_flags + flag,
        },
    };
    let condition = condition.into_iter().map(|p| substitute(p, &|i| column(place(i)))).collect();
    let visible = if is_half(join.kind) { width } else { total };
    let columns: Vec<usize> = (0..visible).map(place).collect();
    Ok(left.join(join.kind, right, join.on, condition).select(&columns))
}
