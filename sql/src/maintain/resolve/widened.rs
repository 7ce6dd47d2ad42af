//! A query's rows with the values of subqueries beside them, and nodes over such rows.
//!
//! Law: the columns of the query stay where they are; what subqueries bring stands behind them,
//! under names that no text can write.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DFSchemaRef};
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Expr, Extension, LogicalPlan, Operator, UserDefinedLogicalNodeCore,
};

use super::Resolver;
use crate::error::SqlError;
use crate::maintain::fallible::can_fail;
use crate::maintain::refuse;
use crate::maintain::rel::{On, Rel, as_column, substitute};
use tidemark_engine::plan::JoinKind;

/// Rows of a query, and what was joined to them.
pub(super) struct Widened<'n> {
    pub rel: Rel,
    /// The rows that subqueries are asked about: as they were before any was joined.
    pub asking: Rel,
    /// What is true of the rows that are asked about, of those there are: conditions that stand
    /// before a subquery which can fail.
    guards: Vec<Expr>,
    /// The query's own columns.
    pub names: &'n DFSchema,
    /// Tells its further columns from those of others.
    tag: usize,
}

impl Widened<'_> {
    /// The name of a column behind the query's own.
    fn name(&self, index: usize) -> String {
        format!("\u{1}{}#{index}", self.tag)
    }

    /// The query's columns and those behind them, by name.
    pub fn schema(&self) -> Result<DFSchema, SqlError> {
        let own = self.names.fields().len();
        let schema = self.rel.schema();
        let behind = schema.fields().iter().enumerate().skip(own);
        let fields = behind
            .map(|(i, field)| Field::new(self.name(i), field.data_type().clone(), true))
            .collect::<Vec<_>>();
        Ok(self.names.join(&DFSchema::try_from(Schema::new(fields))?)?)
    }

    /// An expression over positions, over the names of the columns.
    pub fn named(&self, expr: Expr) -> Expr {
        let own = self.names.fields().len();
        substitute(expr, &|i| {
            Expr::Column(match i < own {
                true => Column::from(self.names.qualified_field(i)),
                false => Column::new_unqualified(self.name(i)),
            })
        })
    }

    /// Puts an expression over the rows as a column behind them.
    pub fn add(&mut self, expr: Expr, name: &str) -> Result<usize, SqlError> {
        let rel = std::mem::replace(&mut self.rel, Rel::placeholder());
        let place = rel.width();
        self.rel = rel.extend(vec![expr], vec![name.to_owned()])?;
        Ok(place)
    }

    /// Joins something to the rows, behind them; gives where its columns begin.
    pub fn left_join(&mut self, right: Rel, on: Vec<On>) -> usize {
        let rel = std::mem::replace(&mut self.rel, Rel::placeholder());
        let at = rel.width();
        self.rel = rel.join(JoinKind::Left, right, on, vec![]);
        at
    }

    /// Keeps the rows with a partner, or those without.
    pub fn half_join(&mut self, kind: JoinKind, right: Rel, on: Vec<On>, condition: Vec<Expr>) {
        let rel = std::mem::replace(&mut self.rel, Rel::placeholder());
        self.rel = rel.join(kind, right, on, condition);
    }

    /// The rows as a node of a logical plan.
    fn node(self) -> Result<LogicalPlan, SqlError> {
        let schema = Arc::new(self.schema()?);
        let node = Resolved { rel: Arc::new(self.rel), schema };
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }
}

impl Resolver<'_> {
    /// Rows to put values of subqueries beside.
    pub(super) fn widened<'n>(&self, rel: Rel, names: &'n DFSchema) -> Widened<'n> {
        Widened { asking: rel.clone(), rel, guards: vec![], names, tag: self.number() }
    }

    /// A node whose expressions hold subqueries: they become columns of its input.
    pub(super) fn without_subqueries(&self, plan: &LogicalPlan) -> Result<Rel, SqlError> {
        let inputs = plan.inputs();
        let [input] = inputs.as_slice() else {
            return Err(refuse::subquery());
        };
        let mut widened = self.widened(self.rel(input)?, input.schema());
        if let LogicalPlan::Filter(filter) = plan {
            let width = widened.rel.width();
            let conjuncts = split_conjunction_owned(filter.predicate.clone());
            let rel = self.filter_widened(widened, conjuncts)?;
            return Ok(rel.select(&(0..width).collect::<Vec<_>>()));
        }
        let names = NamePreserver::new(plan);
        let replaced = plan.clone().map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = self.replace(&mut widened, expr)?;
            Ok(Transformed::yes(name.restore(expr)))
        })?;
        let node = widened.node()?;
        let over = replaced.data.with_new_exprs(replaced.data.expressions(), vec![node])?;
        let rel = self.rel(&over)?;
        let own: Vec<usize> = (0..plan.schema().fields().len()).collect();
        Ok(rel.select(&own))
    }

    /// The rows for which all conjuncts are true, with what their subqueries needed behind them.
    pub(super) fn filter_widened(
        &self,
        mut widened: Widened<'_>,
        conjuncts: Vec<Expr>,
    ) -> Result<Rel, SqlError> {
        let mut rest = Vec::new();
        for conjunct in conjuncts {
            match self.half_join(&mut widened, &conjunct)? {
                true => {}
                false => rest.push(conjunct),
            }
        }
        let mut before: Vec<Expr> = Vec::new();
        for conjunct in rest {
            let replaced = match conjunction(before.clone()) {
                Some(holds) if asks_what_can_fail(&conjunct)? => {
                    self.replace_where(&mut widened, holds, conjunct)?
                }
                _ => self.replace(&mut widened, conjunct)?,
            };
            before.push(replaced);
        }
        let Some(predicate) = conjunction(before) else { return Ok(widened.rel) };
        let names = widened.schema()?;
        let conjuncts = split_conjunction_owned(predicate);
        let predicates = self.exprs(&conjuncts, &names, &widened.rel)?;
        Ok(widened.rel.filter(predicates))
    }

    /// The expression with the values of its subqueries, which become columns of the rows.
    pub(super) fn replace(&self, widened: &mut Widened<'_>, expr: Expr) -> Result<Expr, SqlError> {
        let replaced = expr.transform_down(|expr| {
            let done = |expr: Expr| Ok(Transformed::new(expr, true, TreeNodeRecursion::Jump));
            match expr {
                expr if is_subquery(&expr) => {
                    let value = self.value(widened, expr)?;
                    done(widened.named(value))
                }
                Expr::Case(case) if asks_what_can_fail(&Expr::Case(case.clone()))? => {
                    done(Expr::Case(self.case(widened, case)?))
                }
                Expr::BinaryExpr(binary)
                    if matches!(binary.op, Operator::And | Operator::Or)
                        && asks_what_can_fail(&binary.right)? =>
                {
                    done(Expr::BinaryExpr(self.second(widened, binary)?))
                }
                expr => Ok(Transformed::no(expr)),
            }
        })?;
        Ok(replaced.data)
    }

    /// A CASE whose subqueries are asked about the rows of their branch alone (S10).
    fn case(&self, widened: &mut Widened<'_>, mut case: Case) -> Result<Case, SqlError> {
        let (asking, guards) = (widened.asking.clone(), widened.guards.len());
        if let Some(operand) = &mut case.expr {
            **operand = self.replace(widened, *operand.clone())?;
        }
        let operand = case.expr.clone();
        for (when, then) in &mut case.when_then_expr {
            **when = self.replace(widened, *when.clone())?;
            let holds = match &operand {
                Some(operand) => operand.as_ref().clone().eq(*when.clone()),
                None => *when.clone(),
            };
            **then = self.replace_where(widened, holds.clone(), *then.clone())?;
            widened.guards.push(holds.is_not_true());
            self.ask_fewer(widened)?;
        }
        if let Some(otherwise) = &mut case.else_expr {
            **otherwise = self.replace(widened, *otherwise.clone())?;
        }
        widened.guards.truncate(guards);
        widened.asking = asking;
        Ok(case)
    }

    /// AND and OR whose second side is asked about the rows that the first does not decide.
    fn second(
        &self,
        widened: &mut Widened<'_>,
        mut binary: BinaryExpr,
    ) -> Result<BinaryExpr, SqlError> {
        *binary.left = self.replace(widened, *binary.left)?;
        let open = match binary.op {
            Operator::And => binary.left.clone().is_not_false(),
            _ => binary.left.clone().is_not_true(),
        };
        *binary.right = self.replace_where(widened, open, *binary.right)?;
        Ok(binary)
    }

    /// The same as [`Self::replace`], its subqueries asked about the rows of a condition.
    fn replace_where(
        &self,
        widened: &mut Widened<'_>,
        condition: Expr,
        expr: Expr,
    ) -> Result<Expr, SqlError> {
        if !contains_subquery(&expr)? {
            return Ok(expr);
        }
        let asking = widened.asking.clone();
        widened.guards.push(condition);
        self.ask_fewer(widened)?;
        let replaced = self.replace(widened, expr)?;
        widened.guards.pop();
        widened.asking = asking;
        Ok(replaced)
    }

    fn ask_fewer(&self, widened: &mut Widened<'_>) -> Result<(), SqlError> {
        let names = widened.schema()?;
        let guards = self.exprs(&widened.guards, &names, &widened.rel)?;
        let own: Vec<usize> = (0..widened.names.fields().len()).collect();
        widened.asking = widened.rel.clone().filter(guards).select(&own);
        Ok(())
    }

    /// An expression of the query, over the positions of the rows.
    pub(super) fn over(&self, widened: &Widened<'_>, expr: &Expr) -> Result<Expr, SqlError> {
        self.expr(expr, &widened.schema()?, &widened.rel.schema())
    }

    /// The same as a column: its own, or one behind the rows.
    pub(super) fn over_as_column(
        &self,
        widened: &mut Widened<'_>,
        expr: Expr,
    ) -> Result<usize, SqlError> {
        let expr = self.replace(widened, expr)?;
        let expr = self.over(widened, &expr)?;
        match as_column(&expr) {
            Some(place) => Ok(place),
            None => widened.add(expr, "compared"),
        }
    }
}

pub(super) fn is_subquery(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_)
    )
}

pub(super) fn contains_subquery(expr: &Expr) -> Result<bool, SqlError> {
    Ok(expr.exists(|expr| Ok(is_subquery(expr)))?)
}

/// Whether there is a subquery in an expression with something that can fail in it.
fn asks_what_can_fail(expr: &Expr) -> Result<bool, SqlError> {
    Ok(expr.exists(|expr| match expr {
        Expr::ScalarSubquery(subquery) => can_fail(&subquery.subquery),
        Expr::Exists(exists) => can_fail(&exists.subquery.subquery),
        Expr::InSubquery(of) => can_fail(&of.subquery.subquery),
        Expr::SetComparison(comparison) => can_fail(&comparison.subquery.subquery),
        _ => Ok(false),
    })?)
}

/// Whether the node's own expressions hold subqueries.
pub(super) fn has_subqueries(plan: &LogicalPlan) -> Result<bool, SqlError> {
    let mut found = false;
    plan.apply_expressions(|expr| {
        found |= expr.exists(|expr| Ok(is_subquery(expr)))?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// A part of a plan that is resolved already.
#[derive(Clone)]
pub(super) struct Resolved {
    pub rel: Arc<Rel>,
    pub schema: DFSchemaRef,
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolved")
    }
}

impl PartialEq for Resolved {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.rel, &other.rel)
    }
}

impl Eq for Resolved {}

impl PartialOrd for Resolved {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        (self == other).then_some(std::cmp::Ordering::Equal)
    }
}

impl Hash for Resolved {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.rel).hash(state);
    }
}

impl UserDefinedLogicalNodeCore for Resolved {
    fn name(&self) -> &str {
        "Resolved"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolved")
    }

    fn with_exprs_and_inputs(
        &self,
        _: Vec<Expr>,
        _: Vec<LogicalPlan>,
    ) -> datafusion::common::Result<Self> {
        Ok(self.clone())
    }
}
