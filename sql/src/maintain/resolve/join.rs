//! Joins of FROM, and the set operations that DataFusion writes as joins.
//!
//! Law: ON of an inner join is a filter of every pair; of an outer join its condition. LATERAL is a
//! dependent join. A semi or anti join whose NULLs are equal is INTERSECT or EXCEPT: without a
//! DISTINCT on its left, of multisets (where the left has one, both are the same).

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinType, NullEquality};
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{BinaryExpr, Distinct, Expr, LogicalPlan, Operator, logical_plan};
use datafusion::scalar::ScalarValue;
use tidemark_engine::plan::{JoinKind, SetOperationKind};

use super::widened::{Widened, contains_subquery};
use super::{Resolver, cast_columns, plain_schema};
use crate::error::SqlError;
use crate::maintain::decorrelate::dependent_join;
use crate::maintain::lower::nullable;
use crate::maintain::refuse;
use crate::maintain::rel::{On, Rel, SetOperation, Union, column, is_half, joined};

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
        if right.exists(|plan| Ok(matches!(plan, LogicalPlan::Subquery(_))))?
            || matches!(kind, JoinKind::Inner | JoinKind::Left) && refers_to(right, left)?
        {
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
        if !asking.iter().all(|conjunct| of_one_side(conjunct, left, right).unwrap_or(true)) {
            return self.join_by_pairs(left_rel, right_rel, kind, &names, plain, asking);
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

    /// An outer join whose subqueries ask about both sides: the pairs for which ON is true, and the
    /// rows that are in none. Equal rows are in pairs together.
    fn join_by_pairs(
        &self,
        left: Rel,
        right: Rel,
        kind: JoinKind,
        names: &DFSchema,
        plain: Vec<Expr>,
        asking: Vec<Expr>,
    ) -> Result<Rel, SqlError> {
        let (left_width, width) = (left.width(), left.width() + right.width());
        let pairs = left.clone().join(JoinKind::Inner, right.clone(), vec![], vec![]);
        let plain = self.exprs(&plain, names, &pairs)?;
        let pairs = self.filter_widened(self.widened(pairs.filter(plain), names), asking)?;
        let pairs = pairs.select(&(0..width).collect::<Vec<_>>());
        let schema = nullable(&pairs.schema());
        let unpaired = |rows: Rel, own: std::ops::Range<usize>| {
            let met = pairs.clone().select(&own.clone().collect::<Vec<_>>()).distinct();
            let on =
                (0..own.len()).map(|i| On { left: column(i), right: column(i), null_equal: true });
            let alone = rows.join(JoinKind::Anti, met, on.collect(), vec![]);
            let exprs = (0..width).map(|i| match own.contains(&i) {
                true => Ok(column(i - own.start)),
                false => {
                    let null = ScalarValue::try_from(schema.field(i).data_type())?;
                    Ok(Expr::Literal(null, None))
                }
            });
            let exprs = exprs.collect::<Result<Vec<_>, SqlError>>()?;
            alone.project(exprs, schema.fields().iter().map(|f| f.name().clone()).collect())
        };
        let mut inputs = vec![pairs.clone()];
        if matches!(kind, JoinKind::Left | JoinKind::Full) {
            inputs.push(unpaired(left, 0..left_width)?);
        }
        if matches!(kind, JoinKind::Right | JoinKind::Full) {
            inputs.push(unpaired(right, left_width..width)?);
        }
        Ok(Rel::Union(Union { inputs, schema }))
    }

    /// The conjunct with its subqueries as columns of the one side that they refer to.
    fn replace_in_side(&self, sides: &mut Sides<'_>, conjunct: Expr) -> Result<Expr, SqlError> {
        let columns = columns_of(&conjunct)?;
        let asks_left = columns.iter().any(|column| sides.left.names.has_column(column));
        match asks_left {
            true => self.replace(&mut sides.left, conjunct),
            false => self.replace(&mut sides.right, conjunct),
        }
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

/// Whether a side names columns of the other from within subqueries of its own: `SqlToRel` doesn't
/// see that it is LATERAL then.
fn refers_to(side: &LogicalPlan, other: &LogicalPlan) -> Result<bool, SqlError> {
    let mut found = false;
    side.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.exists(|expr| match expr {
                Expr::OuterReferenceColumn(_, column) => Ok(other.schema().has_column(column)),
                _ => Ok(false),
            })?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn equalities(on: Vec<(Expr, Expr)>) -> Vec<Expr> {
    let equal = |(left, right)| {
        Expr::BinaryExpr(BinaryExpr::new(Box::new(left), Operator::Eq, Box::new(right)))
    };
    on.into_iter().map(equal).collect()
}

/// Whether what an expression names is of the one side, or of the other, but not of both.
fn of_one_side(expr: &Expr, left: &LogicalPlan, right: &LogicalPlan) -> Result<bool, SqlError> {
    let columns = columns_of(expr)?;
    let names = |plan: &LogicalPlan| columns.iter().any(|c| plan.schema().has_column(c));
    Ok(!(names(left) && names(right)))
}

/// The columns that an expression and its subqueries name outside of them, perhaps among others.
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
        subquery.subquery.apply_with_subqueries(|node| {
            node.apply_expressions(|expr| {
                expr.apply(|expr| {
                    if let Expr::OuterReferenceColumn(_, column) = expr {
                        found.push(column.clone());
                    }
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        })?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}
