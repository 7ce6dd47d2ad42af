//! `FETCH FIRST n ROWS WITH TIES`: carried through `SqlToRel` as a function of the number.
//!
//! Views keep it; DataFusion, which runs ad-hoc queries, has nothing like it.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use crate::error::SqlError;

/// The function in the place of the number of rows.
pub const NAME: &str = "rows_with_ties";

static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(RowsWithTies { signature }))
});

pub fn function() -> &'static Arc<ScalarUDF> {
    &FUNCTION
}

/// Refuses it in a plan that DataFusion is to run.
pub fn refuse(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.apply_with_subqueries(|node| match node {
        LogicalPlan::Limit(limit) => match limit.fetch.as_deref() {
            Some(Expr::ScalarFunction(call)) if call.name() == NAME => {
                Err(SqlError::unsupported("FETCH WITH TIES is not supported")
                    .with_hint("Filter by rank() OVER (…) in a subquery in FROM.")
                    .into())
            }
            _ => Ok(TreeNodeRecursion::Continue),
        },
        _ => Ok(TreeNodeRecursion::Continue),
    })?;
    Ok(plan)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RowsWithTies {
    signature: Signature,
}

impl ScalarUDFImpl for RowsWithTies {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(args.args.remove(0))
    }
}
