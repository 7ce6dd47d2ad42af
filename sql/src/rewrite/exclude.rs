//! `EXCLUDE` in a window frame: carried through `SqlToRel` as a function that is partitioned by.
//!
//! The engine's windows keep it; DataFusion, which runs ad-hoc queries, has nothing like it.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use tidemark_engine::plan::Exclude;

use crate::error::SqlError;
use crate::parse::FRAME_EXCLUDE;

static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(FrameExclude { signature }))
});

pub fn function() -> &'static Arc<ScalarUDF> {
    &FUNCTION
}

/// What an expression of PARTITION BY excludes from the frame, if that is what it is there for.
pub fn exclusion(expr: &Expr) -> Option<Exclude> {
    let Expr::ScalarFunction(call) = expr else { return None };
    let [Expr::Literal(ScalarValue::Utf8(Some(what)), _)] = call.args.as_slice() else {
        return None;
    };
    if call.name() != FRAME_EXCLUDE {
        return None;
    }
    Some(match what.as_str() {
        "current row" => Exclude::CurrentRow,
        "group" => Exclude::Group,
        "ties" => Exclude::Ties,
        _ => Exclude::NoOthers,
    })
}

/// Refuses it in a plan that DataFusion is to run.
pub fn refuse(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Window(window) = node {
            for expr in &window.window_expr {
                if expr.exists(|expr| Ok(exclusion(expr).is_some()))? {
                    return Err(SqlError::unsupported("EXCLUDE is not supported here").into());
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(plan)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FrameExclude {
    signature: Signature,
}

impl ScalarUDFImpl for FrameExclude {
    fn name(&self) -> &str {
        FRAME_EXCLUDE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(args.args.remove(0))
    }
}
