//! ORDER BY with LIMIT or OFFSET, and DISTINCT ON: the first rows of an order.
//!
//! Law: the order is total. Behind the keys that are written stand the row's remaining columns,
//! ascending, NULLs last (S9); none where the written ones tell all rows apart. ORDER BY alone
//! means nothing to a collection.

use std::collections::BTreeSet;

use datafusion::common::DFSchema;
use datafusion::logical_expr::{DistinctOn, Expr, LogicalPlan, SortExpr, logical_plan};
use datafusion::scalar::ScalarValue;
use tidemark_engine::plan::SortKey;

use super::{Resolver, cast_columns, names, plain_schema};
use crate::error::{SqlError, state};
use crate::maintain::key::keys;
use crate::maintain::refuse;
use crate::maintain::rel::{Rel, TopK, as_column};

impl Resolver<'_> {
    pub(super) fn limit(&self, limit: &logical_plan::Limit) -> Result<Rel, SqlError> {
        let (rows, ties) = match limit.fetch.as_deref() {
            Some(Expr::ScalarFunction(call)) if call.name() == crate::rewrite::ties::NAME => {
                (self.number_of(call.args.first(), false)?, true)
            }
            rows => (self.number_of(rows, false)?, false),
        };
        let offset = self.number_of(limit.skip.as_deref(), true)?.unwrap_or(0);
        if rows.is_none() && offset == 0 {
            return self.rel(&limit.input);
        }
        self.first(&limit.input, rows, offset, ties)
    }

    /// The first rows of a plan. The order is that of a sort below projections of columns alone,
    /// with which DataFusion hides what was only sorted by.
    fn first(
        &self,
        plan: &LogicalPlan,
        limit: Option<u64>,
        offset: u64,
        ties: bool,
    ) -> Result<Rel, SqlError> {
        match plan {
            LogicalPlan::Projection(projection) if is_sorted(plan) => {
                let input = self.first(&projection.input, limit, offset, ties)?;
                let exprs = self.exprs(&projection.expr, projection.input.schema(), &input)?;
                input.project(exprs, names(&projection.schema))
            }
            LogicalPlan::Sort(sort) => {
                let mut rows = self.widened(self.rel(&sort.input)?, sort.input.schema());
                let width = rows.rel.width();
                let by = sort.expr.iter().map(|key| {
                    Ok(SortExpr { expr: self.replace(&mut rows, key.expr.clone())?, ..key.clone() })
                });
                let by = by.collect::<Result<Vec<_>, SqlError>>()?;
                let names = rows.schema()?;
                let (input, order) = self.ordered(rows.rel, &names, &by)?;
                let written = order.len();
                let input = Box::new(input);
                let order = completed(&input, vec![], order, width);
                let ties = ties.then_some(written);
                let top = TopK { input, keys: vec![], order, offset, limit, ties };
                Ok(Rel::TopK(top).select(&(0..width).collect::<Vec<_>>()))
            }
            other => {
                let input = Box::new(self.rel(other)?);
                let width = input.width();
                let order = completed(&input, vec![], vec![], width);
                let top = TopK { input, keys: vec![], order, offset, limit, ties: None };
                Ok(Rel::TopK(top))
            }
        }
    }

    pub(super) fn distinct_on(&self, on: &DistinctOn) -> Result<Rel, SqlError> {
        let plan = on.input.schema();
        let input = self.rel(&on.input)?;
        let selected = self.exprs(&on.select_expr, plan, &input)?;
        let (groups, sorted) = (
            self.exprs(&on.on_expr, plan, &input)?,
            on.sort_expr.iter().flatten().map(|sort| self.expr(&sort.expr, plan, &input.schema())),
        );
        let sorted = sorted.collect::<Result<Vec<_>, SqlError>>()?;
        let width = selected.len();
        let mut exprs = selected;
        let mut place = |expr: Expr| match exprs.iter().position(|known| *known == expr) {
            Some(place) => place,
            None => {
                exprs.push(expr);
                exprs.len() - 1
            }
        };
        let keys: Vec<usize> = groups.into_iter().map(&mut place).collect();
        let order = sorted.into_iter().zip(on.sort_expr.iter().flatten());
        let order = order.map(|(expr, sort)| sort_key(place(expr), sort)).collect();
        let further = (width..exprs.len()).map(|i| format!("key_{}", i - width + 1));
        let names = names(&on.schema).into_iter().chain(further).collect();
        let input = input.project(exprs, names)?;
        let order = completed(&input, keys.clone(), order, width);
        let (input, limit) = (Box::new(input), Some(1));
        let top = Rel::TopK(TopK { input, keys, order, offset: 0, limit, ties: None });
        let top = top.select(&(0..width).collect::<Vec<_>>());
        cast_columns(top, &plain_schema(&on.schema))
    }

    /// The relation with what it is ordered by as columns, perhaps behind its own.
    pub(super) fn ordered(
        &self,
        input: Rel,
        names: &DFSchema,
        by: &[SortExpr],
    ) -> Result<(Rel, Vec<SortKey>), SqlError> {
        let exprs: Vec<Expr> = by.iter().map(|sort| sort.expr.clone()).collect();
        let exprs = self.exprs(&exprs, names, &input)?;
        let (input, columns) = with_columns(input, exprs)?;
        let order = columns.iter().zip(by).map(|(&column, sort)| sort_key(column, sort));
        Ok((input, order.collect()))
    }

    /// A number of rows; `None` where it is NULL or not there.
    fn number_of(&self, expr: Option<&Expr>, is_offset: bool) -> Result<Option<u64>, SqlError> {
        let Some(expr) = expr else { return Ok(None) };
        let value = self
            .scalars
            .constant(expr)
            .and_then(|value| value.cast_to(&arrow::datatypes::DataType::Int64).ok());
        match value {
            Some(ScalarValue::Int64(None)) => Ok(None),
            Some(ScalarValue::Int64(Some(rows))) => match u64::try_from(rows) {
                Ok(rows) => Ok(Some(rows)),
                Err(_) if is_offset => {
                    Err(SqlError::new(state::INVALID_OFFSET, "OFFSET must not be negative"))
                }
                Err(_) => Err(SqlError::new(state::INVALID_LIMIT, "LIMIT must not be negative")),
            },
            _ => Err(refuse::limit_of_rows()),
        }
    }
}

/// A sort, perhaps below projections of columns.
fn is_sorted(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(projection) => {
            projection.expr.iter().all(is_column) && is_sorted(&projection.input)
        }
        _ => false,
    }
}

fn is_column(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => is_column(&alias.expr),
        other => matches!(other, Expr::Column(_)),
    }
}

fn sort_key(column: usize, sort: &SortExpr) -> SortKey {
    SortKey { column, descending: !sort.asc, nulls_first: sort.nulls_first }
}

/// The relation with each expression as a column: its own, or one behind them.
pub(super) fn with_columns(input: Rel, exprs: Vec<Expr>) -> Result<(Rel, Vec<usize>), SqlError> {
    let width = input.width();
    let (mut further, mut places): (Vec<Expr>, Vec<usize>) = (vec![], vec![]);
    for expr in exprs {
        let known = as_column(&expr)
            .or_else(|| further.iter().position(|known| *known == expr).map(|place| width + place));
        places.push(known.unwrap_or(width + further.len()));
        if known.is_none() {
            further.push(expr);
        }
    }
    let names = (0..further.len()).map(|i| format!("expr_{}", width + i)).collect();
    let input = if further.is_empty() { input } else { input.extend(further, names)? };
    Ok((input, places))
}

/// The order made total within groups of `keys` by the first `width` columns.
pub(super) fn completed(
    input: &Rel,
    keys_of_group: Vec<usize>,
    mut order: Vec<SortKey>,
    width: usize,
) -> Vec<SortKey> {
    order.extend(tie_break(input, &keys_of_group, &order, width));
    order
}

/// The remaining columns of the row, as far as they are needed: behind a key nothing is equal.
pub(super) fn tie_break(
    input: &Rel,
    group: &[usize],
    order: &[SortKey],
    width: usize,
) -> Vec<SortKey> {
    let mut used: BTreeSet<usize> =
        group.iter().copied().chain(order.iter().map(|key| key.column)).collect();
    let keys = keys(input);
    let mut further = Vec::new();
    for column in 0..width {
        if keys.iter().any(|key| key.is_subset(&used)) {
            break;
        }
        if used.insert(column) {
            further.push(SortKey::ascending(column));
        }
    }
    further
}
