//! Joins of FROM, and the set operations that DataFusion writes as joins.
//!
//! Law: ON of an inner join is a filter of every pair; of an outer join its condition. LATERAL is a
//! dependent join. A semi or anti join whose NULLs are equal is INTERSECT or EXCEPT: without a
//! DISTINCT on its left, of multisets (where the left has one, both are the same).

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinType, NullEquality};
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{BinaryExpr, Distinct, Expr, LogicalPlan, Operator, logical_plan};
use tidemark_engine::plan::{JoinKind, SetOperationKind};

use super::widened::{Widened, contains_subquery};
use super::{Resolver, cast_columns, plain_schema};
use crate::error::SqlError;
use crate::maintain::decorrelate::dependent_join;
use crate::maintain::refuse;
use crate::maintain::rel::{Rel, SetOperation, is_half, joined};

impl Resolver<'_> {
    pub(super) fn join(&self, join: &logical_plan::Join) -> Result<Rel, SqlError> {
        if join.null_equality == NullEquality::NullEqualsNull {
            return self.set_operation(join);
        }
        let (left, right) = (&join.left, &join.right);
        let kind = match join.join_type {
            JoinType::Inner => JoinKind::Inner,
            JoinType::Left => JoinKind::Left,
            JoinType::Right => JoinKind::Right,
            JoinType::Full => JoinKind::Full,
            JoinType::LeftSemi => JoinKind::Semi,
            JoinType::LeftAnti => JoinKind::Anti,
            JoinType::RightSemi | JoinType::RightAnti => {
                let kind = match join.join_type {
                    JoinType::RightSemi => JoinKind::Semi,
                    _ => JoinKind::Anti,
                };
                let on = join.on.iter().map(|(left, right)| (right.clone(), left.clone()));
                return self.plain_join(right, left, kind, equalities(on.collect()), &join.filter);
            }
            JoinType::LeftMark | JoinType::RightMark => {
                return Err(SqlError::internal("a join that is optimized already"));
            }
        };
        let on = equalities(join.on.clone());
        if right.exists(|plan| Ok(matches!(plan, LogicalPlan::Subquery(_))))? {
            return self.lateral(left, right, kind, on, &join.filter);
        }
        self.plain_join(left, right, kind, on, &join.filter)
    }

    fn plain_join(
        &self,
        left: &LogicalPlan,
        right: &LogicalPlan,
        kind: JoinKind,
        on: Vec<Expr>,
        filter: &Option<Expr>,
    ) -> Result<Rel, SqlError> {
        let filter = filter.iter().cloned().flat_map(split_conjunction_owned);
        let conjuncts: Vec<Expr> = on.into_iter().chain(filter).collect();
        let names = left.schema().join(right.schema())?;
        let (left_rel, right_rel) = (self.rel(left)?, self.rel(right)?);
        let (asking, plain): (Vec<Expr>, Vec<Expr>) =
            conjuncts.into_iter().partition(|conjunct| contains_subquery(conjunct).unwrap_or(true));
        if kind == JoinKind::Inner {
            let pairs = left_rel.join(kind, right_rel, vec![], vec![]);
            let plain = self.exprs(&plain, &names, &pairs)?;
            let width = pairs.width();
            let rows = self.widened(pairs.filter(plain), &names);
            let rows = self.filter_widened(rows, asking)?;
            return Ok(rows.select(&(0..width).collect::<Vec<_>>()));
        }
        let mut sides = Sides {
            left: self.widened(left_rel, left.schema()),
            right: self.widened(right_rel, right.schema()),
        };
        let (left_width, right_width) = (sides.left.rel.width(), sides.right.rel.width());
        let asking = asking.into_iter().map(|conjunct| self.replace_in_side(&mut sides, conjunct));
        let conjuncts = asking.collect::<Result<Vec<_>, SqlError>>()?;
        let conjuncts: Vec<Expr> = plain.into_iter().chain(conjuncts).collect();
        let names = sides.left.schema()?.join(&sides.right.schema()?)?;
        let both = joined(&sides.left.rel.schema(), &sides.right.rel.schema());
        let condition = conjuncts.iter().map(|conjunct| self.expr(conjunct, &names, &both));
        let condition = condition.collect::<Result<Vec<_>, SqlError>>()?;
        let wide_left = sides.left.rel.width();
        let joined = sides.left.rel.join(kind, sides.right.rel, vec![], condition);
        let own = (0..left_width).chain(wide_left..wide_left + right_width);
        let own: Vec<usize> = match is_half(kind) {
            true => (0..left_width).collect(),
            false => own.collect(),
        };
        Ok(joined.select(&own))
    }

    /// The conjunct with its subqueries as columns of the one side that they refer to.
    fn replace_in_side(&self, sides: &mut Sides<'_>, conjunct: Expr) -> Result<Expr, SqlError> {
        let columns = columns_of(&conjunct)?;
        let within = |names: &DFSchema| columns.iter().all(|column| names.has_column(column));
        if within(sides.right.names) {
            return self.replace(&mut sides.right, conjunct);
        }
        if within(sides.left.names) {
            return self.replace(&mut sides.left, conjunct);
        }
        Err(refuse::subquery_in_on())
    }

    fn lateral(
        &self,
        left: &LogicalPlan,
        right: &LogicalPlan,
        kind: JoinKind,
        on: Vec<Expr>,
        filter: &Option<Expr>,
    ) -> Result<Rel, SqlError> {
        if !matches!(kind, JoinKind::Inner | JoinKind::Left) {
            return Err(refuse::lateral());
        }
        let outer = self.rel(left)?;
        let (inner, scope) = self.inside(left.schema());
        let inner = inner.rel(right)?;
        let filter = filter.iter().cloned().flat_map(split_conjunction_owned);
        let conjuncts: Vec<Expr> = on.into_iter().chain(filter).collect();
        let names = left.schema().join(right.schema())?;
        let (asking, plain): (Vec<Expr>, Vec<Expr>) =
            conjuncts.into_iter().partition(|conjunct| contains_subquery(conjunct).unwrap_or(true));
        if !asking.is_empty() && kind != JoinKind::Inner {
            return Err(refuse::subquery_in_on());
        }
        let both = joined(&outer.schema(), &inner.schema());
        let condition = plain.iter().map(|conjunct| self.expr(conjunct, &names, &both));
        let condition = condition.collect::<Result<Vec<_>, SqlError>>()?;
        let rel = dependent_join(outer, kind, inner, scope, condition)?;
        let width = rel.width();
        let rows = self.filter_widened(self.widened(rel, &names), asking)?;
        Ok(rows.select(&(0..width).collect::<Vec<_>>()))
    }

    fn set_operation(&self, join: &logical_plan::Join) -> Result<Rel, SqlError> {
        let (left, all) = match join.left.as_ref() {
            LogicalPlan::Distinct(Distinct::All(input)) => (input, false),
            _ => (&join.left, true),
        };
        let kind = match (join.join_type, all) {
            (JoinType::LeftSemi, false) => SetOperationKind::Intersect,
            (JoinType::LeftSemi, true) => SetOperationKind::IntersectAll,
            (JoinType::LeftAnti, false) => SetOperationKind::Except,
            (JoinType::LeftAnti, true) => SetOperationKind::ExceptAll,
            (other, _) => {
                return Err(SqlError::internal(format!("a {other} join of equal NULLs")));
            }
        };
        let schema = plain_schema(&join.schema);
        let left = Box::new(cast_columns(self.rel(left)?, &schema)?);
        let right = Box::new(cast_columns(self.rel(&join.right)?, &schema)?);
        Ok(Rel::SetOperation(SetOperation { kind, left, right, schema }))
    }
}

struct Sides<'n> {
    left: Widened<'n>,
    right: Widened<'n>,
}

fn equalities(on: Vec<(Expr, Expr)>) -> Vec<Expr> {
    let equal = |(left, right)| {
        Expr::BinaryExpr(BinaryExpr::new(Box::new(left), Operator::Eq, Box::new(right)))
    };
    on.into_iter().map(equal).collect()
}

/// The columns that an expression and its subqueries name outside of them.
fn columns_of(expr: &Expr) -> Result<Vec<Column>, SqlError> {
    let mut found: Vec<_> = expr.column_refs().into_iter().cloned().collect();
    expr.apply(|expr| {
        let subquery = match expr {
            Expr::ScalarSubquery(subquery) => subquery,
            Expr::Exists(exists) => &exists.subquery,
            Expr::InSubquery(of) => &of.subquery,
            Expr::SetComparison(of) => &of.subquery,
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        let outer = subquery.outer_ref_columns.iter();
        found.extend(outer.filter_map(|expr| match expr {
            Expr::OuterReferenceColumn(_, column) => Some(column.clone()),
            _ => None,
        }));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}
