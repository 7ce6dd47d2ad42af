//! Subqueries in expressions: each becomes columns beside the rows that ask, or decides which of
//! them are there.
//!
//! Law      a scalar subquery is NULL over no rows and 21000 over more than one, for the row that
//!          asks; IN, ANY and ALL are three-valued; a conjunct of WHERE that is EXISTS or IN is a
//!          semi join, its negation an anti join
//! How      what a subquery says for each binding is computed once: whether there are rows, how
//!          many, how many of them NULL, the least and the greatest; and left-joined

mod half;

use datafusion::common::DFSchema;
use datafusion::logical_expr::expr::{BinaryExpr, Case, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::{Expr, LogicalPlan, Operator, lit};
use datafusion::scalar::ScalarValue;
use tidemark_engine::aggregate::aggregate_function;
use tidemark_engine::plan::{AggregateCall, SortKey};

use super::Resolver;
use super::widened::Widened;
use crate::error::SqlError;
use crate::maintain::decorrelate::{Bound, bind, bind_free, outer_columns};
use crate::maintain::fallible::is_fallible;
use crate::maintain::key::keys;
use crate::maintain::nullable::is_nullable;
use crate::maintain::refuse;
use crate::maintain::rel::{
    Aggregate, On, Rel, ScopeId, TopK, column, substitute, substitute_outer, type_of,
};
use crate::maintain::single_row::single_row;

impl Resolver<'_> {
    /// The value of a subquery, over the positions of the rows.
    pub(super) fn value(
        &self,
        widened: &mut Widened<'_>,
        subquery: Expr,
    ) -> Result<Expr, SqlError> {
        match subquery {
            Expr::ScalarSubquery(subquery) => {
                let (inner, scope) = self.inner(&subquery.subquery, widened.names)?;
                self.scalar(widened, inner, scope)
            }
            Expr::Exists(exists) => {
                let (inner, scope) = self.inner(&exists.subquery.subquery, widened.names)?;
                let found = self.exists(widened, inner, scope)?;
                Ok(if exists.negated { negated(found) } else { found })
            }
            Expr::InSubquery(InSubquery { expr, subquery, negated: is_negated }) => {
                let sought = self.over_as_column(widened, *expr)?;
                let (inner, scope) = self.inner(&subquery.subquery, widened.names)?;
                let found = self.is_in(widened, sought, inner, scope)?;
                Ok(if is_negated { negated(found) } else { found })
            }
            Expr::SetComparison(comparison) => self.compared(widened, comparison),
            other => Err(SqlError::internal(format!("no subquery: {other}"))),
        }
    }

    /// The subquery, with references to columns of the query around.
    fn inner(&self, plan: &LogicalPlan, names: &DFSchema) -> Result<(Rel, ScopeId), SqlError> {
        let (resolver, scope) = self.inside(names);
        Ok((resolver.rel(plan)?, scope))
    }

    fn scalar(
        &self,
        widened: &mut Widened<'_>,
        inner: Rel,
        scope: ScopeId,
    ) -> Result<Expr, SqlError> {
        if let Some(value) = aggregated(widened, &inner, scope)? {
            return Ok(value);
        }
        let bound = bind(&widened.asking, inner, scope)?;
        let bindings: std::collections::BTreeSet<usize> = bound.bindings().collect();
        if keys(&bound.rel).iter().any(|key| key.is_subset(&bindings)) {
            let on = bound.on();
            return Ok(column(widened.left_join(bound.rel, on)));
        }
        let value_type = type_of(&column(0), &bound.rel.schema())?;
        let least = function("min");
        if least.function.return_type(&[value_type]).is_some() {
            let (on, bindings) = (bound.on_at(0), bound.outer.len());
            let least = AggregateCall { arguments: vec![0], ..least };
            let at = widened.left_join(summary(bound, vec![function("count"), least])?, on);
            return Ok(single_row(column(at + bindings), column(at + bindings + 1)));
        }
        let first = TopK {
            input: Box::new(bound.rel.clone()),
            keys: bound.bindings().collect(),
            order: vec![SortKey::ascending(0)],
            offset: 0,
            limit: Some(1),
            ties: None,
        };
        let value = widened.left_join(Rel::TopK(first), bound.on());
        let (on, bindings) = (bound.on_at(0), bound.outer.len());
        let at = widened.left_join(summary(bound, vec![function("count")])?, on);
        Ok(single_row(column(at + bindings), column(value)))
    }

    fn exists(
        &self,
        widened: &mut Widened<'_>,
        inner: Rel,
        scope: ScopeId,
    ) -> Result<Expr, SqlError> {
        let bound = bind(&widened.asking, inner, scope)?;
        let on = bound.on_at(1);
        Ok(column(widened.left_join(present(bound)?, on)).is_not_null())
    }

    fn is_in(
        &self,
        widened: &mut Widened<'_>,
        sought: usize,
        inner: Rel,
        scope: ScopeId,
    ) -> Result<Expr, SqlError> {
        let bound = bind(&widened.asking, inner, scope)?;
        let unknowable = is_nullable(&widened.rel, sought) || is_nullable(&bound.rel, 0);
        let values = bound.rel.clone().filter(vec![column(0).is_not_null()]);
        let values = match keys(&values).is_empty() {
            true => values.distinct(),
            false => values,
        };
        let mut on = bound.on();
        on.push(equal(widened, sought, &values)?);
        let matched = column(widened.left_join(values, on)).is_not_null();
        if !unknowable {
            return Ok(matched);
        }
        let (on, bindings) = (bound.on_at(0), bound.outer.len());
        let known = AggregateCall { arguments: vec![0], ..function("count") };
        let at = widened.left_join(summary(bound, vec![function("count"), known])?, on);
        let counts = (column(at + bindings), column(at + bindings + 1));
        Ok(three_valued(matched, counts, column(sought)))
    }

    /// `op ANY` and `op ALL`: by the least and the greatest of the values.
    fn compared(
        &self,
        widened: &mut Widened<'_>,
        comparison: SetComparison,
    ) -> Result<Expr, SqlError> {
        let SetComparison { expr, subquery, op, quantifier } = comparison;
        let all = matches!(quantifier, SetQuantifier::All);
        // x op ALL (…) is NOT x (not op) ANY (…).
        let any = match all {
            true => op.negate().ok_or_else(refuse::subquery)?,
            false => op,
        };
        let sought = self.over_as_column(widened, *expr)?;
        let (inner, scope) = self.inner(&subquery.subquery, widened.names)?;
        let found = match any {
            Operator::Eq => self.is_in(widened, sought, inner, scope)?,
            _ => self.compared_to_any(widened, sought, any, inner, scope)?,
        };
        Ok(if all { negated(found) } else { found })
    }

    fn compared_to_any(
        &self,
        widened: &mut Widened<'_>,
        sought: usize,
        op: Operator,
        inner: Rel,
        scope: ScopeId,
    ) -> Result<Expr, SqlError> {
        let bound = bind(&widened.asking, inner, scope)?;
        let value_type = type_of(&column(0), &bound.rel.schema())?;
        let of_value = |name: &str| AggregateCall { arguments: vec![0], ..function(name) };
        if of_value("min").function.return_type(&[value_type]).is_none() {
            return Err(refuse::subquery());
        }
        let calls = ["count", "min", "max"].map(of_value);
        let calls = [vec![function("count")], calls.to_vec()].concat();
        let (on, bindings) = (bound.on_at(0), bound.outer.len());
        let at = widened.left_join(summary(bound, calls)?, on) + bindings;
        let (least, greatest) = (column(at + 2), column(at + 3));
        let compare = |bound: Expr| binary(column(sought), op, bound);
        let matched = match op {
            Operator::Lt | Operator::LtEq => compare(greatest),
            Operator::Gt | Operator::GtEq => compare(least),
            Operator::NotEq => compare(least).or(compare(greatest)),
            _ => return Err(refuse::subquery()),
        };
        let matched = matched.is_true();
        Ok(three_valued(matched, (column(at), column(at + 1)), column(sought)))
    }
}

/// The value of a subquery that is an aggregate without groups, correlated by equality: groups by
/// what is equated, and the values over nothing where there is no group.
fn aggregated(
    widened: &mut Widened<'_>,
    inner: &Rel,
    scope: ScopeId,
) -> Result<Option<Expr>, SqlError> {
    let mut above = Vec::new();
    let mut rel = inner;
    while let Rel::Project(project) = rel {
        let schema = project.input.schema();
        if project.exprs.iter().any(|expr| is_fallible(expr, &schema)) {
            return Ok(None);
        }
        above.push(&project.exprs);
        rel = &project.input;
    }
    let Rel::Aggregate(aggregate) = rel else { return Ok(None) };
    if !aggregate.keys.is_empty() || outer_columns(&aggregate.input, scope).is_empty() {
        return Ok(None);
    }
    let defaults = aggregate.calls.iter().map(|call| over_nothing(call.function.name()));
    let Some(defaults) = defaults.collect::<Option<Vec<_>>>() else { return Ok(None) };
    let Some(bound) = bind_free(&widened.asking, &aggregate.input, scope)? else {
        return Ok(None);
    };
    let (on, bindings) = (bound.on_at(0), bound.outer.len());
    let at = widened.left_join(summary(bound, aggregate.calls.clone())?, on) + bindings;
    let values = defaults.into_iter().enumerate().map(|(i, default)| match default {
        None => column(at + i),
        Some(default) => {
            let when = (Box::new(column(at + i).is_null()), Box::new(lit(default)));
            Expr::Case(Case::new(None, vec![when], Some(Box::new(column(at + i)))))
        }
    });
    let mut values: Vec<Expr> = values.collect();
    for exprs in above.into_iter().rev() {
        let over = exprs.iter().map(|expr| {
            let over_values = substitute(expr.clone(), &|i| values[i].clone());
            substitute_outer(over_values, scope, &column)
        });
        values = over.collect();
    }
    Ok(Some(values.swap_remove(0)))
}

/// An aggregate's value over no rows, `Some(None)` for NULL; `None` where that isn't known here.
fn over_nothing(name: &str) -> Option<Option<i64>> {
    match name {
        "count" | "regr_count" => Some(Some(0)),
        "sum" | "avg" | "min" | "max" | "bool_and" | "bool_or" | "bit_and" | "bit_or" => Some(None),
        "string_agg" | "array_agg" | "stddev_pop" | "stddev_samp" => Some(None),
        "var_pop" | "var_samp" | "first_value" | "last_value" => Some(None),
        _ => None,
    }
}

/// `matched` where it is true; else whether there is nothing to match, or it is not known.
fn three_valued(matched: Expr, (rows, known): (Expr, Expr), sought: Expr) -> Expr {
    let nothing = rows.clone().is_null().or(rows.clone().eq(lit(0i64)));
    let unknown = sought.is_null().or(known.lt(rows));
    let no_value = Expr::Literal(ScalarValue::Boolean(None), None);
    let when = |condition: Expr, value: Expr| (Box::new(condition), Box::new(value));
    let whens = vec![when(matched, lit(true)), when(nothing, lit(false)), when(unknown, no_value)];
    Expr::Case(Case::new(None, whens, Some(Box::new(lit(false)))))
}

/// For each binding, what the calls say of its rows.
fn summary(bound: Bound, calls: Vec<AggregateCall>) -> Result<Rel, SqlError> {
    use arrow::datatypes::{Field, Schema};
    let keys: Vec<usize> = bound.bindings().collect();
    let schema = bound.rel.schema();
    let of_keys = keys.iter().map(|&key| schema.field(key).as_ref().clone());
    let of_calls = calls.iter().map(|call| {
        let arguments = call.arguments.iter().map(|&i| schema.field(i).data_type().clone());
        let value = call.function.return_type(&arguments.collect::<Vec<_>>());
        let value = value.ok_or_else(refuse::subquery)?;
        Ok(Field::new(call.function.name(), value, true))
    });
    let of_calls = of_calls.collect::<Result<Vec<_>, SqlError>>()?;
    let schema = std::sync::Arc::new(Schema::new(of_keys.chain(of_calls).collect::<Vec<_>>()));
    Ok(Rel::Aggregate(Aggregate { input: Box::new(bound.rel), keys, calls, schema }))
}

/// Each binding that has rows, once, behind a column that is true.
fn present(bound: Bound) -> Result<Rel, SqlError> {
    let schema = bound.rel.schema();
    let bindings = bound.bindings();
    let names = bindings.clone().map(|i| schema.field(i).name().clone());
    let names = std::iter::once("present".to_owned()).chain(names).collect();
    let exprs = std::iter::once(lit(true)).chain(bindings.map(column)).collect();
    Ok(bound.rel.project(exprs, names)?.distinct())
}

/// The value sought and the subquery's first column as a key.
fn equal(widened: &Widened<'_>, sought: usize, values: &Rel) -> Result<On, SqlError> {
    let left = type_of(&column(sought), &widened.rel.schema())?;
    let right = type_of(&column(0), &values.schema())?;
    if left != right {
        let message = format!("a comparison of {left} with a subquery's {right}");
        return Err(SqlError::internal(message));
    }
    Ok(On { left: column(sought), right: column(0), null_equal: false })
}

fn function(name: &str) -> AggregateCall {
    let function = aggregate_function(name).expect("an aggregate that is always there");
    AggregateCall::new(function, vec![], None)
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

fn negated(expr: Expr) -> Expr {
    Expr::Not(Box::new(expr))
}
