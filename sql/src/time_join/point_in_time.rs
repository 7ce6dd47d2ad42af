//! [`PointInTimeJoin`]: each left row beside the rows of a relation as they stood at its own time
//! (S14).
//!
//! Law      the relation is no input: it is not read at the statement's time, and nothing of the
//!          statement's plan is put in it. It is planned when the statement is bound to its
//!          snapshot, and replayed over the tables' past

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchemaRef, Result, TableReference};
use datafusion::logical_expr::builder::build_join_schema;
use datafusion::logical_expr::{
    BinaryExpr, Expr, JoinType, LogicalPlan, Operator, UserDefinedLogicalNodeCore,
};
use tidemark_catalog::{ObjectId, VersionSelection};

use super::replay::Replay;
use crate::error::SqlError;
use crate::resolve::{RelationSource, ScannedRelation};

/// By what time the past is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Clock {
    /// Arrival: what was known.
    System,
    /// Event: what had happened, by what is known now (S13).
    Event,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PointInTimeJoin {
    pub left: Arc<LogicalPlan>,
    /// The relation, under the name it has in the query: a scan of [`ScannedRelation::Past`].
    pub right: Arc<LogicalPlan>,
    /// A left row that meets none stands beside NULLs.
    pub outer: bool,
    pub clock: Clock,
    /// Over the left columns; a timestamptz.
    pub time: Expr,
    /// Once it is bound: what the keys of the replay equal, over the left columns.
    pub keys: Vec<Expr>,
    /// The rest of ON, over the columns of both.
    pub conditions: Vec<Expr>,
    pub bound: Option<Bound>,
    schema: DFSchemaRef,
}

/// What is replayed; one is equal to itself alone.
#[derive(Debug, Clone)]
pub struct Bound(pub Arc<Replay>);

impl PointInTimeJoin {
    pub fn new(
        left: Arc<LogicalPlan>,
        right: LogicalPlan,
        outer: bool,
        clock: Clock,
        time: Expr,
        conditions: Vec<Expr>,
    ) -> Result<Self> {
        let right = Arc::new(right);
        let schema = schema(&left, &right, outer)?;
        let keys = vec![];
        Ok(PointInTimeJoin {
            left,
            right,
            outer,
            clock,
            time,
            keys,
            conditions,
            bound: None,
            schema,
        })
    }

    /// The name and the object whose past it joins, and the version that is selected.
    pub fn relation(&self) -> Result<(TableReference, ObjectId, Option<VersionSelection>)> {
        let mut found = None;
        self.right.apply(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && let Some(source) = scan.source.downcast_ref::<RelationSource>()
                && let ScannedRelation::Past(id, version) = source.relation
            {
                found = Some((id, version));
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        match (self.right.as_ref(), found) {
            (LogicalPlan::SubqueryAlias(alias), Some((id, version))) => {
                Ok((alias.alias.clone(), id, version))
            }
            _ => Err(SqlError::internal("a point-in-time join of no relation").into()),
        }
    }

    /// The equalities of ON by which a right row can be looked for: its place among the conditions,
    /// what it equals, over the left columns, and the right side's value.
    pub fn equalities(&self) -> Vec<(usize, Expr, Expr)> {
        let (left, right) = (self.left.schema(), self.right.schema());
        let found = self.conditions.iter().enumerate().filter_map(|(place, condition)| {
            let Expr::BinaryExpr(BinaryExpr { left: a, op: Operator::Eq, right: b }) = condition
            else {
                return None;
            };
            let within = |expr: &Expr, schema: &DFSchemaRef| {
                expr.column_refs().into_iter().all(|column| schema.has_column(column))
            };
            let sought = |expr: &Expr| !expr.column_refs().is_empty() && within(expr, right);
            let (a, b) = (a.as_ref(), b.as_ref());
            match () {
                () if within(a, left) && sought(b) => Some((place, a.clone(), b.clone())),
                () if within(b, left) && sought(a) => Some((place, b.clone(), a.clone())),
                () => None,
            }
        });
        found.collect()
    }
}

fn schema(left: &LogicalPlan, right: &LogicalPlan, outer: bool) -> Result<DFSchemaRef> {
    let kind = if outer { JoinType::Left } else { JoinType::Inner };
    // What a table never has, a replay may pad: a view's columns are nullable.
    Ok(Arc::new(build_join_schema(left.schema(), right.schema(), &kind)?))
}

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Bound {}

impl Hash for Bound {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl PartialOrd for PointInTimeJoin {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl fmt::Display for PointInTimeJoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.outer { "left" } else { "inner" };
        let clock = match self.clock {
            Clock::System => "system",
            Clock::Event => "event",
        };
        write!(f, "PointInTimeJoin: {kind} {clock} time=[{}]", self.time)?;
        let list = |exprs: &[Expr], with: &str| {
            exprs.iter().map(ToString::to_string).collect::<Vec<_>>().join(with)
        };
        if !self.keys.is_empty() {
            write!(f, " keys=[{}]", list(&self.keys, ", "))?;
        }
        if !self.conditions.is_empty() {
            write!(f, " on=[{}]", list(&self.conditions, " AND "))?;
        }
        match &self.bound {
            Some(bound) => write!(f, " {}", bound.0),
            None => Ok(()),
        }
    }
}

impl UserDefinedLogicalNodeCore for PointInTimeJoin {
    fn name(&self) -> &str {
        "PointInTimeJoin"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let own = std::iter::once(&self.time).chain(&self.keys).chain(&self.conditions);
        own.cloned().collect()
    }

    /// What is asked of the left side alone may be asked first.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.right.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let mut exprs = exprs.into_iter();
        let (Some(time), Some(left)) = (exprs.next(), inputs.into_iter().next()) else {
            return datafusion::common::internal_err!("a point-in-time join has a time and a side");
        };
        let keys = exprs.by_ref().take(self.keys.len()).collect();
        let left = Arc::new(left);
        Ok(PointInTimeJoin {
            schema: schema(&left, &self.right, self.outer)?,
            left,
            time,
            keys,
            conditions: exprs.collect(),
            ..self.clone()
        })
    }
}
