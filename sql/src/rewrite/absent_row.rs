//! A scalar subquery without a row is NULL, whatever its column says.
//!
//! DataFusion gives the subquery its column's nullability, and takes `(SELECT 1 FROM t) IS NULL`
//! for false. For plans that it runs.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};

static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(OrNull { signature }))
});

/// Says of scalar subqueries that they may be NULL.
pub fn absent_rows(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.exists(|expr| Ok(claims_a_row(expr)))?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    if !found {
        return Ok(plan);
    }
    // Every node, for what stands above takes over what is said below.
    super::map_nodes(plan, &mut |node| {
        super::map_node(node, &mut |expr, _| {
            expr.transform_up(|expr| match claims_a_row(&expr) {
                true => Ok(Transformed::yes(FUNCTION.call(vec![expr]))),
                false => Ok(Transformed::no(expr)),
            })
        })
    })
}

fn claims_a_row(expr: &Expr) -> bool {
    let Expr::ScalarSubquery(subquery) = expr else { return false };
    subquery.subquery.schema().fields().iter().any(|field| !field.is_nullable())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OrNull {
    signature: Signature,
}

impl ScalarUDFImpl for OrNull {
    fn name(&self) -> &str {
        "or_null"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the type of or_null comes with its field")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::clone(&args.arg_fields[0]).with_nullable(true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(args.args[0].clone())
    }
}
