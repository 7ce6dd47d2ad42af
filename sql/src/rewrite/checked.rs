//! Whole-number arithmetic that fails when it overflows (22003).
//!
//! Maintained plans set `fail_on_overflow` on their physical expressions; DataFusion's planner has
//! no way to, so ad-hoc plans call these functions, which run the same checked kernels.

use std::sync::{Arc, LazyLock};

use arrow::compute::kernels::numeric::{add, mul, sub};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr_common::datum::apply;

use crate::error::{SqlError, state};

static FUNCTIONS: LazyLock<[Arc<ScalarUDF>; 3]> = LazyLock::new(|| {
    [Operator::Plus, Operator::Minus, Operator::Multiply].map(|op| {
        let signature = Signature::any(2, Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Checked { op, signature }))
    })
});

/// Puts the checked functions in the place of the operators.
pub fn check_overflow(plan: LogicalPlan) -> Result<LogicalPlan> {
    super::map_plan(plan, &mut |expr, schema| {
        expr.transform_up(|expr| {
            let Expr::BinaryExpr(binary) = expr else { return Ok(Transformed::no(expr)) };
            let function = match binary.op {
                Operator::Plus => &FUNCTIONS[0],
                Operator::Minus => &FUNCTIONS[1],
                Operator::Multiply => &FUNCTIONS[2],
                _ => return Ok(Transformed::no(Expr::BinaryExpr(binary))),
            };
            let (left, right) = (binary.left.get_type(schema)?, binary.right.get_type(schema)?);
            if left != right || !left.is_integer() {
                return Ok(Transformed::no(Expr::BinaryExpr(binary)));
            }
            Ok(Transformed::yes(function.call(vec![*binary.left, *binary.right])))
        })
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    op: Operator,
    signature: Signature,
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match self.op {
            Operator::Plus => "checked_add",
            Operator::Minus => "checked_subtract",
            _ => "checked_multiply",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let kernel = match self.op {
            Operator::Plus => add,
            Operator::Minus => sub,
            _ => mul,
        };
        let [left, right] = args.args.as_slice() else {
            return Err(SqlError::internal("arithmetic takes two operands").into());
        };
        apply(left, right, kernel).map_err(|_| out_of_range(args.return_field.data_type()).into())
    }
}

fn out_of_range(ty: &DataType) -> SqlError {
    let name = match ty {
        DataType::Int16 => "smallint",
        DataType::Int32 => "integer",
        DataType::UInt32 => "OID",
        _ => "bigint",
    };
    SqlError::new(state::NUMERIC_VALUE_OUT_OF_RANGE, format!("{name} out of range"))
}
