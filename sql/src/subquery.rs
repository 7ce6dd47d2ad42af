//! Which subqueries DataFusion makes joins of as PostgreSQL means them.
//!
//! DataFusion joins a correlated subquery only if it aggregates and correlates by equality, EXISTS
//! and IN only as conjuncts of WHERE, and gets NOT IN wrong where NULLs meet OR. Everything else is
//! refused here, and run by the engine's operators ([`crate::by_operators`]).

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, Operator, Subquery};

use crate::error::SqlError;
use crate::maintain::can_fail;

/// The plan, if DataFusion joins all of its subqueries rightly.
pub fn refuse(plan: LogicalPlan) -> Result<LogicalPlan> {
    match joins_all(&plan)? {
        true => Ok(plan),
        false => Err(SqlError::unsupported("this form of a subquery is not supported").into()),
    }
}

fn joins_all(plan: &LogicalPlan) -> Result<bool> {
    let mut joined = true;
    plan.apply(|node| {
        let conjuncts = matches!(node, LogicalPlan::Filter(_));
        let projects = conjuncts || matches!(node, LogicalPlan::Projection(_));
        node.apply_expressions(|expr| {
            joined &= joins(expr, conjuncts, projects, false)?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        if let LogicalPlan::Join(join) = node {
            joined &= joins_lateral(join)?;
        }
        Ok(if joined { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(joined)
}

/// `conjunct`: the expression is a conjunct of WHERE. `projects`: its node is one of which scalar
/// subqueries are joined. `guarded`: it may be that a CASE, AND or OR does not ask for it (S10).
fn joins(expr: &Expr, conjunct: bool, projects: bool, guarded: bool) -> Result<bool> {
    match expr {
        Expr::BinaryExpr(binary) if conjunct && binary.op == Operator::And => {
            Ok(joins(&binary.left, true, projects, guarded)?
                && joins(&binary.right, true, projects, guarded)?)
        }
        Expr::Not(inner) if conjunct && matches!(**inner, Expr::Exists(_)) => {
            joins(inner, true, projects, guarded)
        }
        Expr::Exists(exists) => Ok(conjunct && joins_by_filters(&exists.subquery)?),
        Expr::InSubquery(of) => {
            let plain = conjunct && !of.negated && !contains_subquery(&of.expr)?;
            Ok(plain && joins_by_filters(&of.subquery)?)
        }
        Expr::ScalarSubquery(subquery) => {
            let plan = &subquery.subquery;
            let known = subquery.outer_ref_columns.is_empty()
                || (projects && is_plain_aggregate(plan)? && !(guarded && can_fail(plan)?));
            Ok(known && joins_all(plan)?)
        }
        Expr::SetComparison(_) => Ok(false),
        expr => {
            let mut joined = true;
            let guards = guarded || matches!(expr, Expr::Case(_)) || is_logical(expr);
            expr.apply_children(|child| {
                joined &= joins(child, false, projects, guards)?;
                Ok(TreeNodeRecursion::Continue)
            })?;
            Ok(joined)
        }
    }
}

fn is_logical(expr: &Expr) -> bool {
    let Expr::BinaryExpr(binary) = expr else { return false };
    matches!(binary.op, Operator::And | Operator::Or)
}

fn joins_by_filters(subquery: &Subquery) -> Result<bool> {
    let plan = &subquery.subquery;
    let correlates = !subquery.outer_ref_columns.is_empty();
    Ok((!correlates || correlates_in_filters(plan)?) && joins_all(plan)?)
}

fn joins_lateral(join: &Join) -> Result<bool> {
    let mut right = join.right.as_ref();
    if let LogicalPlan::SubqueryAlias(alias) = right {
        right = alias.input.as_ref();
    }
    let LogicalPlan::Subquery(subquery) = right else { return Ok(true) };
    let plan = &subquery.subquery;
    Ok(correlates_in_filters(plan)? || is_plain_aggregate(plan)?)
}

fn contains_subquery(expr: &Expr) -> Result<bool> {
    expr.exists(|expr| {
        Ok(matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
        ))
    })
}

fn is_outer(expr: &Expr) -> Result<bool> {
    expr.exists(|expr| Ok(matches!(expr, Expr::OuterReferenceColumn(..))))
}

/// Whether the outer query is referred to only by filters at the top, below at most one projection:
/// what DataFusion's predicate decorrelation pulls up faithfully.
fn correlates_in_filters(plan: &LogicalPlan) -> Result<bool> {
    let refers = |node: &LogicalPlan| -> Result<bool> {
        let mut found = false;
        node.apply_expressions(|expr| {
            found |= contains_subquery(expr)? || is_outer(expr)?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(found)
    };
    let mut node = plan;
    if let LogicalPlan::Projection(projection) = node {
        if refers(node)? {
            return Ok(false);
        }
        node = &projection.input;
    }
    while let LogicalPlan::Filter(filter) = node {
        if contains_subquery(&filter.predicate)? {
            return Ok(false);
        }
        node = &filter.input;
    }
    let mut fits = true;
    node.apply(|below| {
        fits &= !refers(below)?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(fits)
}

/// Whether a scalar subquery is an aggregate without groups over filters that correlate by
/// equality.
fn is_plain_aggregate(plan: &LogicalPlan) -> Result<bool> {
    let mut node = plan;
    while let LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) = node {
        node = node.inputs()[0];
    }
    let LogicalPlan::Aggregate(aggregate) = node else { return Ok(false) };
    if !aggregate.group_expr.is_empty() || !correlates_in_filters(&aggregate.input)? {
        return Ok(false);
    }
    let mut equal = true;
    for expr in aggregate.aggr_expr.iter().chain(&plan.expressions()) {
        equal &= !is_outer(expr)?;
    }
    aggregate.input.apply(|node| {
        if let LogicalPlan::Filter(filter) = node {
            for conjunct in split_conjunction(&filter.predicate) {
                equal &= !is_outer(conjunct)? || is_equality(conjunct);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(equal)
}

/// `column = outer column`, in either order.
fn is_equality(expr: &Expr) -> bool {
    let Expr::BinaryExpr(binary) = expr else { return false };
    binary.op == Operator::Eq
        && matches!(
            (binary.left.as_ref(), binary.right.as_ref()),
            (Expr::Column(_), Expr::OuterReferenceColumn(..))
                | (Expr::OuterReferenceColumn(..), Expr::Column(_))
        )
}
