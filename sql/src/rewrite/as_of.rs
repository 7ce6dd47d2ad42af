//! `ASOF JOIN`: carried through `SqlToRel` as an ordinary join with a mark in its ON, and made an
//! [`AsOfJoin`] when types are settled (S19).
//!
//! Law: the names in its conditions mean what they mean in any join's ON. Of the conditions the one
//! in MATCH_CONDITION picks, or without that the only inequality of both sides; all others filter.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::TreeNode;
use datafusion::error::Result;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, Extension, Join, JoinType, LogicalPlan, Operator,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;
use sqlparser::ast::{
    self, BinaryOperator, Expr as AstExpr, FunctionArguments, JoinConstraint, JoinOperator,
    TableWithJoins, Value,
};

use super::ast::{binary, call, take};
use crate::error::SqlError;
use crate::parse::as_of::INNER;
use crate::time_join::{AsOfJoin, Pick};

/// The mark: of the condition that picks, or of TRUE where it is to be found.
const MARK: &str = "\u{2}asof";

static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Mark { signature }))
});

pub fn function() -> &'static Arc<ScalarUDF> {
    &FUNCTION
}

/// Whether it is an ASOF JOIN, in either spelling.
pub fn is_as_of(operator: &JoinOperator) -> bool {
    is_brief(operator) || matches!(operator, JoinOperator::AsOf { .. })
}

/// Whether it is an ASOF JOIN without MATCH_CONDITION: the last column of its USING is by order.
pub fn is_brief(operator: &JoinOperator) -> bool {
    matches!(operator, JoinOperator::LeftSemi(_) | JoinOperator::LeftAnti(_))
}

/// Spells ASOF JOINs as joins with the mark. What USING merges stands in ON already.
pub fn spell(tables: &mut TableWithJoins) -> Result<(), SqlError> {
    for join in &mut tables.joins {
        if !is_as_of(&join.join_operator) {
            continue;
        }
        if is_lateral(&join.relation) {
            let message = "ASOF JOIN LATERAL is not supported";
            return Err(SqlError::unsupported(message)
                .with_hint("Write CROSS JOIN LATERAL (… ORDER BY … DESC LIMIT 1)."));
        }
        let operator = std::mem::replace(
            &mut join.join_operator,
            JoinOperator::StraightJoin(JoinConstraint::None),
        );
        join.join_operator = match operator {
            JoinOperator::AsOf { mut match_condition, constraint } => {
                let inner = inner_condition(&mut match_condition);
                let on = on(match_condition, constraint)?;
                if inner { JoinOperator::Inner(on) } else { JoinOperator::LeftOuter(on) }
            }
            JoinOperator::LeftSemi(constraint) => JoinOperator::Inner(brief(constraint)?),
            JoinOperator::LeftAnti(constraint) => JoinOperator::LeftOuter(brief(constraint)?),
            other => other,
        };
    }
    Ok(())
}

fn is_lateral(factor: &ast::TableFactor) -> bool {
    matches!(
        factor,
        ast::TableFactor::Derived { lateral: true, .. }
            | ast::TableFactor::Function { lateral: true, .. }
    )
}

/// Takes the mark of an inner join off.
fn inner_condition(condition: &mut AstExpr) -> bool {
    let AstExpr::Function(function) = condition else { return false };
    if function.name.to_string() != INNER {
        return false;
    }
    let FunctionArguments::List(list) = &mut function.args else { return false };
    let argument = list.args.first_mut().and_then(|argument| match argument {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Some(take(expr)),
        _ => None,
    });
    match argument {
        Some(argument) => {
            *condition = argument;
            true
        }
        None => false,
    }
}

/// ON of a join without MATCH_CONDITION.
fn brief(constraint: JoinConstraint) -> Result<JoinConstraint, SqlError> {
    if constraint == JoinConstraint::None {
        return Err(SqlError::syntax("an ASOF JOIN needs MATCH_CONDITION, ON or USING"));
    }
    on(AstExpr::value(Value::Boolean(true)), constraint)
}

fn on(pick: AstExpr, constraint: JoinConstraint) -> Result<JoinConstraint, SqlError> {
    let mark = call(MARK, vec![pick]);
    match constraint {
        JoinConstraint::None => Ok(JoinConstraint::On(mark)),
        JoinConstraint::On(rest) => {
            let rest = AstExpr::Nested(Box::new(rest));
            Ok(JoinConstraint::On(binary(mark, BinaryOperator::And, rest)))
        }
        JoinConstraint::Using(_) | JoinConstraint::Natural => {
            let message = "this USING of an ASOF JOIN is not supported";
            Err(SqlError::unsupported(message).with_hint("Write the equalities with ON."))
        }
    }
}

/// Puts [`AsOfJoin`]s in the place of joins that carry the mark.
pub fn place(plan: LogicalPlan) -> Result<LogicalPlan> {
    super::map_marked(plan, &is_marked, &mut |node| match node {
        LogicalPlan::Join(join) => as_of_join(join),
        node => Ok(node),
    })
}

fn is_marked(node: &LogicalPlan) -> bool {
    let LogicalPlan::Join(Join { filter: Some(filter), .. }) = node else { return false };
    filter.exists(|expr| Ok(is_mark(expr))).unwrap_or(false)
}

fn is_mark(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.name() == MARK)
}

fn as_of_join(join: Join) -> Result<LogicalPlan> {
    let mut picks = Vec::new();
    let mut conditions: Vec<Expr> =
        join.on.into_iter().map(|(left, right)| left.eq(right)).collect();
    for conjunct in join.filter.into_iter().flat_map(split_conjunction_owned) {
        if conjunct.exists(|expr| {
            Ok(matches!(expr, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_)))
        })? {
            return Err(SqlError::unsupported("a subquery in ON of an ASOF JOIN is not supported")
                .with_hint("Compute its value as a column of one side, in a subquery in FROM.")
                .into());
        }
        match conjunct {
            Expr::ScalarFunction(mut call) if call.name() == MARK => {
                picks.extend(call.args.pop());
            }
            conjunct if conjunct.exists(|expr| Ok(is_mark(expr)))? => {
                return Err(SqlError::internal("the mark of an ASOF JOIN under OR").into());
            }
            conjunct => conditions.push(conjunct),
        }
    }
    let (left, right) = (join.left.schema(), join.right.schema());
    let pick = match picks.pop() {
        Some(Expr::Literal(ScalarValue::Boolean(Some(true)), _)) => {
            only_inequality(&mut conditions, left, right)?
        }
        Some(condition) => pick(&condition, left, right).ok_or_else(|| {
            SqlError::unsupported("MATCH_CONDITION is no comparison of one side with the other")
                .with_detail("It takes <, <=, > or >= of an expression of each side.")
        })?,
        None => return Err(SqlError::internal("an ASOF JOIN without its mark").into()),
    };
    let node =
        AsOfJoin::new(join.left, join.right, join.join_type == JoinType::Left, pick, conditions)?;
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

/// Takes the one inequality of both sides out of the conditions.
fn only_inequality(
    conditions: &mut Vec<Expr>,
    left: &DFSchema,
    right: &DFSchema,
) -> Result<Pick, SqlError> {
    let places: Vec<usize> =
        (0..conditions.len()).filter(|&n| pick(&conditions[n], left, right).is_some()).collect();
    let message = match places.as_slice() {
        [one] => {
            let condition = conditions.remove(*one);
            return Ok(pick(&condition, left, right).expect("it was one just now"));
        }
        [] => "an ASOF JOIN needs an inequality of both sides in its ON",
        _ => "an ASOF JOIN takes one inequality of both sides in its ON",
    };
    Err(SqlError::unsupported(message)
        .with_detail(
            "It is <, <=, > or >= of an expression of each side, and says which row is met.",
        )
        .with_hint("Name it in MATCH_CONDITION (l.ts >= r.ts); all other conditions go into ON."))
}

/// The comparison, with the left side on its left.
fn pick(condition: &Expr, left: &DFSchema, right: &DFSchema) -> Option<Pick> {
    let Expr::BinaryExpr(BinaryExpr { left: a, op, right: b }) = condition else { return None };
    if !matches!(op, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq) {
        return None;
    }
    let (a, b) = (a.as_ref().clone(), b.as_ref().clone());
    if is_of(&a, left) && is_of(&b, right) {
        return Some(Pick { left: a, op: *op, right: b });
    }
    (is_of(&a, right) && is_of(&b, left))
        .then(|| op.swap().map(|op| Pick { left: b, op, right: a }))
        .flatten()
}

/// Whether an expression has columns, and all of them are a side's.
fn is_of(expr: &Expr, side: &DFSchema) -> bool {
    let columns = expr.column_refs();
    !columns.is_empty() && columns.into_iter().all(|column| side.has_column(column))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Mark {
    signature: Signature,
}

impl ScalarUDFImpl for Mark {
    fn name(&self) -> &str {
        MARK
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(SqlError::unsupported("ASOF is the word of a join").into())
    }
}
