//! EXISTS and IN as conjuncts of WHERE: semi and anti joins.
//!
//! Law      a row stays if the conjunct is true. NOT IN is true of a row if no value equals its
//!          own, and none is NULL, and its own is not NULL unless there are no values at all
//! Pulled   where only filters at the top of the subquery refer outwards, they become the join's
//!          condition; else the subquery is computed for each binding

use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::InSubquery;
use tidemark_engine::plan::JoinKind;

use super::{equal, present};
use crate::error::SqlError;
use crate::maintain::decorrelate::{bind, outer_columns};
use crate::maintain::fallible::is_fallible;
use crate::maintain::nullable::is_nullable;
use crate::maintain::rel::{Rel, ScopeId, column, outer_references, substitute, substitute_outer};
use crate::maintain::resolve::Resolver;
use crate::maintain::resolve::widened::Widened;

impl Resolver<'_> {
    /// Keeps the rows for which the conjunct is true, if it is EXISTS or IN.
    pub(in crate::maintain::resolve) fn half_join(
        &self,
        widened: &mut Widened<'_>,
        conjunct: &Expr,
    ) -> Result<bool, SqlError> {
        let (conjunct, negated) = match conjunct {
            Expr::Not(inner) => (inner.as_ref(), true),
            other => (other, false),
        };
        match conjunct {
            Expr::Exists(exists) => {
                let (inner, scope) = self.inner(&exists.subquery.subquery, widened.names)?;
                let kind = match exists.negated != negated {
                    false => JoinKind::Semi,
                    true => JoinKind::Anti,
                };
                self.where_exists(widened, kind, inner, scope)?;
            }
            Expr::InSubquery(InSubquery { expr, subquery, negated: is_negated }) => {
                let sought = self.over_as_column(widened, expr.as_ref().clone())?;
                let (inner, scope) = self.inner(&subquery.subquery, widened.names)?;
                match *is_negated != negated {
                    false => self.where_in(widened, sought, inner, scope)?,
                    true => self.where_not_in(widened, sought, inner, scope)?,
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn where_exists(
        &self,
        widened: &mut Widened<'_>,
        kind: JoinKind,
        inner: Rel,
        scope: ScopeId,
    ) -> Result<(), SqlError> {
        if let Some(pulled) = pulled(&inner, scope, vec![])
            && pulled.condition.iter().any(|expr| !outer_references(expr, scope).is_empty())
        {
            let condition = pulled.over(widened.rel.width(), scope).0;
            widened.half_join(kind, pulled.base, vec![], condition);
            return Ok(());
        }
        let bound = bind(&widened.asking, inner, scope)?;
        let on = bound.on_at(1);
        widened.half_join(kind, present(bound)?, on, vec![]);
        Ok(())
    }

    fn where_in(
        &self,
        widened: &mut Widened<'_>,
        sought: usize,
        inner: Rel,
        scope: ScopeId,
    ) -> Result<(), SqlError> {
        if let Some(pulled) = pulled(&inner, scope, vec![column(0)]) {
            let (mut condition, values) = pulled.over(widened.rel.width(), scope);
            condition.extend(values.into_iter().map(|value| column(sought).eq(value)));
            widened.half_join(JoinKind::Semi, pulled.base, vec![], condition);
            return Ok(());
        }
        let bound = bind(&widened.asking, inner, scope)?;
        let mut on = bound.on();
        on.push(equal(widened, sought, &bound.rel)?);
        widened.half_join(JoinKind::Semi, bound.rel, on, vec![]);
        Ok(())
    }

    fn where_not_in(
        &self,
        widened: &mut Widened<'_>,
        sought: usize,
        inner: Rel,
        scope: ScopeId,
    ) -> Result<(), SqlError> {
        let bound = bind(&widened.asking, inner, scope)?;
        let (of_sought, of_values) =
            (is_nullable(&widened.rel, sought), is_nullable(&bound.rel, 0));
        let mut on = bound.on();
        on.push(equal(widened, sought, &bound.rel)?);
        widened.half_join(JoinKind::Anti, bound.rel.clone(), on, vec![]);
        if of_values {
            let mut nulls = bound.clone();
            nulls.rel = nulls.rel.filter(vec![column(0).is_null()]);
            let on = nulls.on_at(1);
            widened.half_join(JoinKind::Anti, present(nulls)?, on, vec![]);
        }
        if of_sought {
            let on = bound.on_at(1);
            let unknown = vec![column(sought).is_null()];
            widened.half_join(JoinKind::Anti, present(bound)?, on, unknown);
        }
        Ok(())
    }
}

/// A subquery without its filters.
struct Pulled {
    /// Refers to nothing outside.
    base: Rel,
    condition: Vec<Expr>,
    /// What was asked for, over the base.
    values: Vec<Expr>,
}

impl Pulled {
    /// Condition and values over the outer columns, then the base's.
    fn over(&self, outer_width: usize, scope: ScopeId) -> (Vec<Expr>, Vec<Expr>) {
        let over = |expr: &Expr| {
            let own = substitute(expr.clone(), &|i| column(outer_width + i));
            substitute_outer(own, scope, &column)
        };
        (self.condition.iter().map(over).collect(), self.values.iter().map(over).collect())
    }
}

/// The subquery with its filters pulled up, if nothing below them refers outwards and nothing on
/// the way can fail.
fn pulled(rel: &Rel, scope: ScopeId, values: Vec<Expr>) -> Option<Pulled> {
    let (mut rel, mut condition, mut values) = (rel, Vec::new(), values);
    loop {
        match rel {
            Rel::Project(project) => {
                let schema = project.input.schema();
                if project.exprs.iter().any(|expr| is_fallible(expr, &schema)) {
                    break;
                }
                let over = |expr: Expr| substitute(expr, &|i| project.exprs[i].clone());
                condition = condition.into_iter().map(over).collect();
                values = values.into_iter().map(over).collect();
                rel = &project.input;
            }
            Rel::Filter(filter) => {
                let schema = filter.input.schema();
                if filter.predicates.iter().any(|expr| is_fallible(expr, &schema)) {
                    break;
                }
                condition.extend(filter.predicates.iter().cloned());
                rel = &filter.input;
            }
            _ => break,
        }
    }
    let free = outer_columns(rel, scope).is_empty();
    free.then(|| Pulled { base: rel.clone(), condition, values })
}
