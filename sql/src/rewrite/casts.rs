//! Casts and arithmetic by PostgreSQL's rules, after DataFusion has said where a cast is needed.
//!
//! Law: no `Expr::Cast` is left whose Arrow kernel means something else than PostgreSQL's cast, and
//! no operator whose kernel wraps around, truncates or divides otherwise.

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};

use super::argument;
use crate::error::{SqlError, state};
use crate::function;

/// Rewrites every expression of a plan.
pub fn replace(plan: LogicalPlan) -> Result<LogicalPlan> {
    super::map_plan(plan, &mut |expr, schema| expr.transform_up(|expr| expression(expr, schema)))
}

fn expression(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Cast(cast) => {
            let from = cast.expr.get_type(schema)?;
            let to = cast.field.data_type().clone();
            argument::check(&cast, &from)?;
            let cast = Cast::new(cast.expr, to.clone());
            if from == to && !matches!(*cast.expr, Expr::Placeholder(_)) {
                return Ok(Transformed::yes(*cast.expr));
            }
            if from == DataType::Null {
                return Ok(Transformed::no(Expr::Cast(cast)));
            }
            if widens(&from, &to) {
                return Ok(Transformed::no(Expr::Cast(cast)));
            }
            if !function::cast::exists(&from, &to) {
                let (from, to) = (function::type_name(&from), function::type_name(&to));
                let message = format!("cannot cast type {from} to {to}");
                return Err(SqlError::new(state::CANNOT_COERCE, message).into());
            }
            Ok(Transformed::yes(function::cast::cast(&to).call(vec![*cast.expr])))
        }
        // Not worth asking the whole of a long chain for its type.
        expr @ Expr::BinaryExpr(BinaryExpr { op: Operator::And | Operator::Or, .. }) => {
            Ok(Transformed::no(expr))
        }
        Expr::BinaryExpr(binary) => {
            let (left, right) = (binary.left.get_type(schema)?, binary.right.get_type(schema)?);
            match function::operator::operator(binary.op, &left, &right)? {
                Some(function) => {
                    Ok(Transformed::yes(function.call(vec![*binary.left, *binary.right])))
                }
                None => Ok(Transformed::no(Expr::BinaryExpr(binary))),
            }
        }
        expr => Ok(Transformed::no(expr)),
    }
}

/// Casts that lose nothing and cannot fail: Arrow's are right, and DataFusion knows how to move
/// them about.
fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Decimal128, Float32, Float64, Int16, Int32, Int64, Timestamp, UInt8, UInt16, UInt32, UInt64,
    };
    match (from, to) {
        (Int16, Int32 | Int64 | Float32 | Float64) => true,
        (Int32, Int64 | Float64) | (UInt32, Int64 | Float64) | (Float32, Float64) => true,
        (Int64, Float64) => true,
        // The bits of a grouping set, of which there are few.
        (UInt8 | UInt16, Int32 | Int64 | UInt16 | UInt32 | UInt64) | (UInt64, Int32) => true,
        (Int16 | Int32 | Int64 | UInt32, Decimal128(precision, scale)) => {
            i32::from(*precision) - i32::from(*scale) >= 19
        }
        (Timestamp(a, _), Timestamp(b, _)) => a == b, // the session's zone is UTC
        _ => false,
    }
}
