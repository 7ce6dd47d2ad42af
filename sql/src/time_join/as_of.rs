//! [`AsOfJoin`]: each left row beside the one right row that is nearest by an inequality (S19).

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use datafusion::common::{DFSchemaRef, Result};
use datafusion::logical_expr::builder::build_join_schema;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, Operator, UserDefinedLogicalNodeCore};

/// Which of the right rows is met: of those for which `left op right` the one nearest to equality.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pick {
    /// Over the left columns.
    pub left: Expr,
    /// <, <=, > or >=.
    pub op: Operator,
    /// Over the right columns.
    pub right: Expr,
}

/// Each left row beside the right row that fits best: of those for which all `conditions` are true
/// the one that `pick` finds. Of equal ones it is the last in the order of all right columns,
/// ascending, NULLs last (S9).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AsOfJoin {
    pub left: Arc<LogicalPlan>,
    pub right: Arc<LogicalPlan>,
    /// A left row that meets none stands beside NULLs.
    pub outer: bool,
    pub pick: Pick,
    /// Over the columns of both.
    pub conditions: Vec<Expr>,
    schema: DFSchemaRef,
}

impl AsOfJoin {
    pub fn new(
        left: Arc<LogicalPlan>,
        right: Arc<LogicalPlan>,
        outer: bool,
        pick: Pick,
        conditions: Vec<Expr>,
    ) -> Result<Self> {
        let kind = if outer { JoinType::Left } else { JoinType::Inner };
        let schema = Arc::new(build_join_schema(left.schema(), right.schema(), &kind)?);
        Ok(AsOfJoin { left, right, outer, pick, conditions, schema })
    }
}

impl PartialOrd for AsOfJoin {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl fmt::Display for AsOfJoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.outer { "left" } else { "inner" };
        let Pick { left, op, right } = &self.pick;
        write!(f, "AsOfJoin: {kind} pick=[{left} {op} {right}]")?;
        let conditions: Vec<String> = self.conditions.iter().map(ToString::to_string).collect();
        match conditions.is_empty() {
            true => Ok(()),
            false => write!(f, " on=[{}]", conditions.join(" AND ")),
        }
    }
}

impl UserDefinedLogicalNodeCore for AsOfJoin {
    fn name(&self) -> &str {
        "AsOfJoin"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let pick = [self.pick.left.clone(), self.pick.right.clone()];
        pick.into_iter().chain(self.conditions.iter().cloned()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let mut exprs = exprs.into_iter();
        let mut inputs = inputs.into_iter().map(Arc::new);
        let (Some(left), Some(right)) = (exprs.next(), exprs.next()) else {
            return datafusion::common::internal_err!("an ASOF JOIN has two sides to compare");
        };
        let (Some(left_input), Some(right_input)) = (inputs.next(), inputs.next()) else {
            return datafusion::common::internal_err!("an ASOF JOIN has two inputs");
        };
        let pick = Pick { left, op: self.pick.op, right };
        AsOfJoin::new(left_input, right_input, self.outer, pick, exprs.collect())
    }
}
