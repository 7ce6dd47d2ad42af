//! ASOF JOIN, as LATERAL with the first row of an order.
//!
//! Law: the order is by the inequality's right side, nearest first; of equal ones the last row in
//! the order of all columns, ascending, NULLs last, comes first (S9, S19).

use datafusion::logical_expr::{Expr, Operator};
use tidemark_engine::plan::{JoinKind, SortKey};

use super::Resolver;
use super::order::with_columns;
use crate::error::SqlError;
use crate::maintain::decorrelate::dependent_join;
use crate::maintain::rel::{Rel, ScopeId, TopK, column, joined, outer, position, type_of};
use crate::time_join::AsOfJoin;

impl Resolver<'_> {
    pub(super) fn as_of_join(&self, join: &AsOfJoin) -> Result<Rel, SqlError> {
        let left = self.rel(&join.left)?;
        let (inner, scope) = self.inside(join.left.schema());
        let right = inner.rel(&join.right)?;
        let width = right.width();
        let names = join.left.schema().join(join.right.schema())?;
        let both = joined(&left.schema(), &right.schema());
        let pick = &join.pick;
        let inequality =
            datafusion::logical_expr::binary_expr(pick.left.clone(), pick.op, pick.right.clone());
        let conditions = join.conditions.iter().chain([&inequality]);
        let conditions = conditions.map(|condition| {
            let condition = self.expr(condition, &names, &both)?;
            seen_from_right(condition, &left, scope)
        });
        let conditions = conditions.collect::<Result<Vec<_>, SqlError>>()?;
        let by = self.expr(&pick.right, join.right.schema(), &right.schema())?;
        let (candidates, places) = with_columns(right.filter(conditions), vec![by])?;
        let descending = matches!(pick.op, Operator::Gt | Operator::GtEq);
        let nearest = places.into_iter().map(|column| SortKey {
            column,
            descending,
            nulls_first: descending,
        });
        let last = |column| SortKey { column, descending: true, nulls_first: true };
        let mut order: Vec<SortKey> = nearest.collect();
        let further = (0..width).filter(|column| *column != order[0].column).map(last);
        order.extend(further.collect::<Vec<_>>());
        let (input, limit) = (Box::new(candidates), Some(1));
        let top = TopK { input, keys: vec![], order, offset: 0, limit, ties: None };
        let top = Rel::TopK(top).select(&(0..width).collect::<Vec<_>>());
        let kind = if join.outer { JoinKind::Left } else { JoinKind::Inner };
        dependent_join(left, kind, top, scope, vec![])
    }
}

/// A condition over both sides' columns, over the right side's: the left ones are an outer query's.
fn seen_from_right(condition: Expr, left: &Rel, scope: ScopeId) -> Result<Expr, SqlError> {
    use datafusion::common::tree_node::{Transformed, TreeNode};
    let (width, schema) = (left.width(), left.schema());
    let seen = condition.transform_up(|expr| {
        let Expr::Column(named) = &expr else { return Ok(Transformed::no(expr)) };
        let place = position(named);
        Ok(Transformed::yes(match place < width {
            true => outer(scope, place, type_of(&column(place), &schema)?),
            false => column(place - width),
        }))
    })?;
    Ok(seen.data)
}
