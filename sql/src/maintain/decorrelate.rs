//! Dependent joins: a relation that refers to the rows of another, as joins of independent ones
//! (Neumann & Kemper, Unnesting Arbitrary Queries, BTW 2015; The Complete Story of Nested Loops
//! Joins, BTW 2025).
//!
//! Law      for each row of the outer relation, the inner one is as if it were evaluated for that
//!          row alone
//! How      the *bindings* are the distinct values of the outer columns that are referred to. They
//!          are pushed down through the inner relation, operator by operator, as columns behind its
//!          own, until none of them refers outwards; then its rows meet the outer ones by equal
//!          bindings, NULL equal to NULL
//! Free     where every outer column is equated with an inner expression, that expression stands
//!          for it, and the bindings are not joined at all. Bindings that no outer row has are then
//!          computed too, so only what cannot fail goes this way; but a sum that overflows for such
//!          a binding is reported

mod push;

use datafusion::logical_expr::Expr;
use tidemark_engine::plan::JoinKind;

use super::nullable::is_nullable;
use super::rel::{On, Rel, ScopeId, column, outer_references, type_of};
use crate::error::SqlError;
use push::Push;

/// A relation with its bindings behind its own columns.
#[derive(Clone)]
pub(super) struct Bound {
    pub rel: Rel,
    /// How many columns are its own.
    pub width: usize,
    /// The columns of the outer relation that the bindings are values of.
    pub outer: Vec<usize>,
}

impl Bound {
    /// The equalities by which rows of `self`, with its bindings at `at`, meet the outer rows.
    pub fn on_at(&self, at: usize) -> Vec<On> {
        let pairs = self.outer.iter().enumerate();
        let pairs = pairs.map(|(i, &outer)| On {
            left: column(outer),
            right: column(at + i),
            null_equal: is_nullable(&self.rel, self.width + i),
        });
        pairs.collect()
    }

    /// The same for the relation as it is.
    pub fn on(&self) -> Vec<On> {
        self.on_at(self.width)
    }

    /// The positions of the bindings.
    pub fn bindings(&self) -> std::ops::Range<usize> {
        self.width..self.width + self.outer.len()
    }
}

/// The inner relation for every row of the outer one that it refers to as `scope`.
pub(super) fn bind(outer: &Rel, inner: Rel, scope: ScopeId) -> Result<Bound, SqlError> {
    let (width, columns) = (inner.width(), outer_columns(&inner, scope));
    if columns.is_empty() {
        return Ok(Bound { rel: inner, width, outer: columns });
    }
    if let Some(bound) = bind_free(outer, &inner, scope)? {
        return Ok(bound);
    }
    let bindings = outer.clone().select(&columns).distinct();
    let pushed = Push::new(scope, &columns, &outer.schema(), Some(bindings)).push(inner)?;
    let rel = pushed.expect("bindings can be joined anywhere");
    Ok(Bound { rel, width, outer: columns })
}

/// The same without a join with the bindings, where that can be.
pub(super) fn bind_free(
    outer: &Rel,
    inner: &Rel,
    scope: ScopeId,
) -> Result<Option<Bound>, SqlError> {
    let (width, columns) = (inner.width(), outer_columns(inner, scope));
    let pushed = Push::new(scope, &columns, &outer.schema(), None).push(inner.clone())?;
    Ok(pushed.map(|rel| Bound { rel, width, outer: columns }))
}

/// LATERAL: each outer row beside the rows of the inner relation for it, with a condition over
/// both. An inner or a left join.
pub(super) fn dependent_join(
    outer: Rel,
    kind: JoinKind,
    inner: Rel,
    scope: ScopeId,
    condition: Vec<Expr>,
) -> Result<Rel, SqlError> {
    let (outer_width, width) = (outer.width(), inner.width());
    if kind == JoinKind::Inner && is_linear(&inner, scope) {
        // Row by row: the outer rows themselves are the bindings.
        let columns: Vec<usize> = (0..outer_width).collect();
        let schema = outer.schema();
        let pushed = Push::new(scope, &columns, &schema, Some(outer)).push(inner)?;
        let rel = pushed.expect("bindings can be joined anywhere");
        let columns: Vec<usize> = (width..width + outer_width).chain(0..width).collect();
        return Ok(rel.select(&columns).filter(condition));
    }
    let bound = bind(&outer, inner, scope)?;
    let on = bound.on();
    let joined = outer.join(kind, bound.rel, on, condition);
    Ok(joined.select(&(0..outer_width + width).collect::<Vec<_>>()))
}

/// The columns of the outer query that a relation refers to.
pub(super) fn outer_columns(rel: &Rel, scope: ScopeId) -> Vec<usize> {
    let mut found = std::collections::BTreeSet::new();
    collect(rel, scope, &mut found);
    found.into_iter().collect()
}

fn collect(rel: &Rel, scope: ScopeId, found: &mut std::collections::BTreeSet<usize>) {
    for expr in rel.exprs() {
        found.extend(outer_references(expr, scope));
    }
    rel.inputs().into_iter().for_each(|input| collect(input, scope, found));
}

fn refers(rel: &Rel, scope: ScopeId) -> bool {
    rel.any(&|rel| rel.exprs().into_iter().any(|expr| !outer_references(expr, scope).is_empty()))
}

/// Whether each binding's rows are computed from it alone, by operators that look at single rows:
/// then equal bindings need not be made one.
fn is_linear(rel: &Rel, scope: ScopeId) -> bool {
    if !refers(rel, scope) {
        return true;
    }
    match rel {
        Rel::Project(_) | Rel::Filter(_) | Rel::Unnest(_) | Rel::Union(_) => {
            rel.inputs().into_iter().all(|input| is_linear(input, scope))
        }
        Rel::Join(join) if join.kind == JoinKind::Inner => {
            let both = refers(&join.left, scope) && refers(&join.right, scope);
            !both && is_linear(&join.left, scope) && is_linear(&join.right, scope)
        }
        _ => false,
    }
}

/// NULL of a column's type.
pub(super) fn null_of(column_index: usize, rel: &Rel) -> Result<Expr, SqlError> {
    let data_type = type_of(&column(column_index), &rel.schema())?;
    let value = datafusion::scalar::ScalarValue::try_from(&data_type)?;
    Ok(Expr::Literal(value, None))
}
