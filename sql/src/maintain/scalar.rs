//! Scalar expressions: constants folded, and made ready to run in the engine.
//!
//! Law      an expression made here means what the same expression means ad hoc: both come out of
//!          `rewrite::postgres_semantics` and are evaluated by the same physical expressions
//! Errors   a constant that fails (1/0) stays and fails for each row that reaches it (S10);
//!          AND and OR don't evaluate what can fail for rows that are decided already

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::expr::{BinaryExpr, Case};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::utils::split_binary_owned;
use datafusion::logical_expr::{Expr, Operator, Volatility, lit};
use datafusion::physical_expr::expressions as physical;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion::scalar::ScalarValue;

use super::fallible::is_fallible;
use super::rel::{any, positional_schema};
use super::shift::Shift;
use crate::error::SqlError;

/// How expressions are evaluated: the session's options, with now() unknown.
pub(super) struct Scalars {
    options: Arc<ConfigOptions>,
    props: ExecutionProps,
    of_session: bool,
}

impl Scalars {
    pub fn new(options: Arc<ConfigOptions>) -> Self {
        let mut props = ExecutionProps::new();
        props.config_options = Some(Arc::clone(&options));
        Scalars { options, props, of_session: false }
    }

    /// For a query that is asked once, in a session.
    pub fn for_session(options: Arc<ConfigOptions>) -> Self {
        Scalars { of_session: true, ..Self::new(options) }
    }

    /// Whether functions of the session and volatile ones may be called.
    pub fn of_session(&self) -> bool {
        self.of_session
    }

    /// Puts what functions say they are in their place (`coalesce` is a CASE), and constants in the
    /// place of what has neither columns nor now().
    pub fn fold(&self, expr: Expr, schema: &Schema) -> Result<Expr> {
        let positional = Arc::new(positional_schema(schema));
        let context = SimplifyContext::builder()
            .with_schema(positional)
            .with_config_options(Arc::clone(&self.options))
            .with_query_execution_start_time(None)
            .build();
        let folded = expr.transform_up(|expr| {
            let expr = self.define(expr, &context)?;
            Ok(match self.constant(&expr) {
                Some(value) if !matches!(expr, Expr::Literal(..)) => {
                    Transformed::yes(Expr::Literal(value, None))
                }
                _ => Transformed::no(expr),
            })
        });
        Ok(folded?.data)
    }

    fn define(&self, expr: Expr, context: &SimplifyContext) -> Result<Expr> {
        let Expr::ScalarFunction(function) = &expr else {
            return Ok(expr);
        };
        if function.func.signature().volatility == Volatility::Volatile {
            return Ok(expr);
        }
        match function.func.simplify(function.args.clone(), context) {
            Ok(ExprSimplifyResult::Simplified(simple)) => Ok(simple),
            _ => Ok(expr),
        }
    }

    /// The value of an expression without columns and now(); `None` where it fails, too.
    pub fn constant(&self, expr: &Expr) -> Option<ScalarValue> {
        if let Expr::Literal(value, _) = expr {
            return Some(value.clone());
        }
        let varies = any(expr, |part| match part {
            Expr::ScalarFunction(function) => {
                function.func.signature().volatility != Volatility::Immutable
            }
            Expr::Column(_) | Expr::Placeholder(_) | Expr::AggregateFunction(_) => true,
            Expr::WindowFunction(_) | Expr::Unnest(_) | Expr::OuterReferenceColumn(..) => true,
            Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) => true,
            Expr::SetComparison(_) | Expr::GroupingSet(_) => true,
            _ => false,
        });
        if varies {
            return None;
        }
        let physical = self.physical(expr, &Schema::empty()).ok()?;
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let one_row =
            RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options);
        let value = physical.evaluate(&one_row.expect("a row of no columns")).ok()?;
        let array = value.into_array(1).ok()?;
        ScalarValue::try_from_array(&array, 0).ok()
    }

    /// The expression over a batch of `schema`'s columns.
    pub fn physical(
        &self,
        expr: &Expr,
        schema: &Schema,
    ) -> Result<Arc<dyn PhysicalExpr>, SqlError> {
        let input: DFSchema = positional_schema(schema);
        let guarded = guard(expr.clone(), schema)?;
        let context = PhysicalPlanningContext::default();
        let physical = create_physical_expr(&guarded, &input, &self.props, &context)?;
        let checked = physical.transform_up(|expr| Ok(named_and_checked(expr, schema)));
        Ok(checked?.data)
    }
}

/// Columns get their names back; integer arithmetic fails on overflow.
fn named_and_checked(
    expr: Arc<dyn PhysicalExpr>,
    schema: &Schema,
) -> Transformed<Arc<dyn PhysicalExpr>> {
    if let Some(column) = expr.downcast_ref::<physical::Column>() {
        let name = schema.field(column.index()).name();
        return Transformed::yes(Arc::new(physical::Column::new(name, column.index())));
    }
    if let Some(binary) = expr.downcast_ref::<physical::BinaryExpr>() {
        let (left, right) = (Arc::clone(binary.left()), Arc::clone(binary.right()));
        let checked = physical::BinaryExpr::new(left, *binary.op(), right);
        let checked = checked.with_fail_on_overflow(true);
        return Transformed::yes(match Shift::of(&checked, schema) {
            Some(shift) => Arc::new(shift),
            None => Arc::new(checked),
        });
    }
    Transformed::no(expr)
}

/// Puts AND and OR with operands that can fail as CASE, which evaluates each operand for the rows
/// that those before it leave undecided.
fn guard(expr: Expr, schema: &Schema) -> Result<Expr> {
    let operator = match &expr {
        Expr::BinaryExpr(binary) if matches!(binary.op, Operator::And | Operator::Or) => binary.op,
        _ => {
            return Ok(expr.map_children(|child| guard(child, schema).map(Transformed::yes))?.data);
        }
    };
    let operands = split_binary_owned(expr, operator);
    let can_fail = operands.iter().skip(1).any(|operand| is_fallible(operand, schema));
    let operands: Vec<Expr> =
        operands.into_iter().map(|operand| guard(operand, schema)).collect::<Result<_>>()?;
    let deciding = operator == Operator::Or;
    let decided = |operand: &Expr| match deciding {
        true => operand.clone().is_true(),
        false => operand.clone().is_false(),
    };
    let but_last = &operands[..operands.len() - 1];
    let whens =
        but_last.iter().map(|operand| (Box::new(decided(operand)), Box::new(lit(deciding))));
    let whens: Vec<_> = whens.collect();
    let all = operands.into_iter().reduce(|left, right| {
        Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right)))
    });
    let all = all.expect("an operator has operands");
    Ok(match can_fail {
        true => Expr::Case(Case::new(None, whens, Some(Box::new(all)))),
        false => all,
    })
}
