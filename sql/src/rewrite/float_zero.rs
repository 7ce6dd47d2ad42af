//! −0 is 0 (S8): in comparisons, joins, groups, orders, windows and DISTINCT of ad-hoc queries.
//!
//! Arrow compares floats by their total order, in which −0 is less than 0; NaN is equal to itself
//! and greatest there, as it has to be. The engine's operators see to their keys themselves, so
//! this pass is for plans that DataFusion runs.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::unary;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Distinct, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder,
    Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(FloatZero { signature }))
});

/// Makes one zero of two wherever floats are compared.
pub fn one_zero(plan: LogicalPlan) -> Result<LogicalPlan> {
    super::map_nodes(plan, &mut |node| {
        let groups = match &node {
            LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.clone(),
            _ => vec![],
        };
        let orders = matches!(node, LogicalPlan::Sort(_) | LogicalPlan::Distinct(Distinct::On(_)));
        let node = super::map_node(node, &mut |expr, schema| {
            let key = orders && !matches!(expr, Expr::Alias(_)) || groups.contains(&expr);
            let grouped = key && is_float(&expr, schema);
            let expr = expr.transform_up(|expr| comparison(expr, schema))?;
            Ok(if grouped { expr.update_data(zeroed) } else { expr })
        })?;
        distinct(node)
    })
}

fn comparison(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if matches!(
                op,
                Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom
            ) && (is_float(&left, schema) || is_float(&right, schema)) =>
        {
            let (left, right) = (Box::new(zeroed(*left)), Box::new(zeroed(*right)));
            Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right })))
        }
        Expr::WindowFunction(mut call) => {
            let params = &mut call.params;
            let order = params.order_by.iter_mut().map(|sort| &mut sort.expr);
            for key in params.partition_by.iter_mut().chain(order) {
                if is_float(key, schema) {
                    *key = zeroed(std::mem::take(key));
                }
            }
            Ok(Transformed::yes(Expr::WindowFunction(call)))
        }
        Expr::InList(mut list) if is_float(&list.expr, schema) => {
            *list.expr = zeroed(*list.expr);
            list.list = list.list.into_iter().map(zeroed).collect();
            Ok(Transformed::yes(Expr::InList(list)))
        }
        Expr::Between(mut between) if is_float(&between.expr, schema) => {
            *between.expr = zeroed(*between.expr);
            *between.low = zeroed(*between.low);
            *between.high = zeroed(*between.high);
            Ok(Transformed::yes(Expr::Between(between)))
        }
        expr => Ok(Transformed::no(expr)),
    }
}

/// DISTINCT over columns in which there is one zero.
fn distinct(node: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Distinct(Distinct::All(input)) = node else { return Ok(node) };
    let schema = input.schema();
    if !schema.fields().iter().any(|field| field.data_type().is_floating()) {
        return Ok(LogicalPlan::Distinct(Distinct::All(input)));
    }
    let columns: Vec<Expr> = schema
        .iter()
        .map(|(qualifier, field)| {
            let column = Expr::from((qualifier, field));
            match field.data_type().is_floating() {
                true => zeroed(column).alias_qualified(qualifier.cloned(), field.name()),
                false => column,
            }
        })
        .collect();
    let projected = LogicalPlanBuilder::from(Arc::unwrap_or_clone(input)).project(columns)?;
    projected.distinct()?.build()
}

fn is_float(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|ty| ty.is_floating())
}

fn zeroed(expr: Expr) -> Expr {
    FUNCTION.call(vec![expr])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FloatZero {
    signature: Signature,
}

impl ScalarUDFImpl for FloatZero {
    fn name(&self) -> &str {
        "one_zero"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let array: ArrayRef = match array.data_type() {
            DataType::Float64 => {
                Arc::new(unary::<_, _, Float64Type>(array.as_primitive::<Float64Type>(), |x| {
                    x + 0.0
                }))
            }
            DataType::Float32 => {
                Arc::new(unary::<_, _, Float32Type>(array.as_primitive::<Float32Type>(), |x| {
                    x + 0.0
                }))
            }
            _ => array,
        };
        Ok(ColumnarValue::Array(array))
    }
}
