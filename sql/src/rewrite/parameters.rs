//! `$n`: the type each takes from where it stands, and its value in one run.
//!
//! Law: a type the client gave stands; else the first place that says one decides, from the leaves
//! of the plan up; else it is text, as PostgreSQL does.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator};

use crate::error::{SqlError, state};

/// Most parameters of one statement, as the wire protocol counts them.
const PARAMETERS_MAX: usize = 65_535;

/// Gives every parameter of a plan its type, and `types` one for each.
pub fn infer(
    plan: LogicalPlan,
    types: &mut Vec<Option<DataType>>,
) -> Result<LogicalPlan, SqlError> {
    let mut found = Found { types, error: None };
    plan.apply_with_subqueries(|node| {
        let schema = super::input_schema(node);
        if let LogicalPlan::Limit(limit) = node {
            for expr in limit.skip.iter().chain(&limit.fetch) {
                found.expect(expr, || Some(DataType::Int64));
            }
        }
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                found.visit(expr, &schema);
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    if let Some(error) = found.error {
        return Err(error);
    }
    for slot in types.iter_mut() {
        slot.get_or_insert(DataType::Utf8);
    }
    if types.is_empty() {
        return Ok(plan);
    }
    let typed = super::map_plan(plan, &mut |expr, _| {
        expr.transform_up(|expr| match expr {
            Expr::Placeholder(mut placeholder) => {
                let index = index_of(&placeholder.id);
                let ty = index.and_then(|index| types.get(index)).cloned().flatten();
                let field = ty.map(|ty| Arc::new(Field::new(&placeholder.id, ty, true)));
                placeholder.field = field;
                Ok(Transformed::yes(Expr::Placeholder(placeholder)))
            }
            expr => Ok(Transformed::no(expr)),
        })
    })?;
    Ok(typed)
}

/// The plan with values in the place of its parameters.
pub fn substitute(plan: LogicalPlan, values: &[ScalarValue]) -> Result<LogicalPlan, SqlError> {
    if values.is_empty() {
        return Ok(plan);
    }
    let plan = super::map_plan(plan, &mut |expr, _| {
        expr.transform_up(|expr| match &expr {
            Expr::Placeholder(placeholder) => {
                match index_of(&placeholder.id).and_then(|index| values.get(index)) {
                    Some(value) => Ok(Transformed::yes(Expr::Literal(value.clone(), None))),
                    None => Err(undefined(&placeholder.id).into()),
                }
            }
            _ => Ok(Transformed::no(expr)),
        })
    })?;
    Ok(plan)
}

/// Whether a plan has parameters that are not substituted.
pub fn index_of(id: &str) -> Option<usize> {
    id.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1)
}

fn undefined(id: &str) -> SqlError {
    SqlError::new(state::UNDEFINED_PARAMETER, format!("there is no parameter {id}"))
}

struct Found<'a> {
    types: &'a mut Vec<Option<DataType>>,
    error: Option<SqlError>,
}

impl Found<'_> {
    fn visit(&mut self, expr: &Expr, schema: &DFSchema) {
        let type_of = |expr: &Expr| expr.get_type(schema).ok().filter(|ty| *ty != DataType::Null);
        match expr {
            Expr::Placeholder(_) => self.expect(expr, || None),
            Expr::Cast(cast) => self.expect(&cast.expr, || Some(cast.field.data_type().clone())),
            Expr::BinaryExpr(binary) => {
                let (left, right) = (&*binary.left, &*binary.right);
                self.expect(left, || operand(binary.op, type_of(right), true));
                self.expect(right, || operand(binary.op, type_of(left), false));
            }
            Expr::Not(inner) | Expr::IsTrue(inner) | Expr::IsFalse(inner) => {
                self.expect(inner, || Some(DataType::Boolean));
            }
            Expr::Like(like) => {
                self.expect(&like.expr, || Some(DataType::Utf8));
                self.expect(&like.pattern, || Some(DataType::Utf8));
            }
            Expr::Between(between) => {
                self.expect(&between.low, || type_of(&between.expr));
                self.expect(&between.high, || type_of(&between.expr));
                self.expect(&between.expr, || type_of(&between.low));
            }
            Expr::InList(list) => {
                for item in &list.list {
                    self.expect(item, || type_of(&list.expr));
                }
                self.expect(&list.expr, || list.list.iter().find_map(type_of));
            }
            Expr::Case(case) => {
                let results: Vec<&Expr> = case
                    .when_then_expr
                    .iter()
                    .map(|(_, then)| then.as_ref())
                    .chain(case.else_expr.as_deref())
                    .collect();
                for result in &results {
                    self.expect(result, || results.iter().find_map(|other| type_of(other)));
                }
            }
            Expr::ScalarFunction(call) => match call.name() {
                "compare_any" | "compare_all" if call.args.len() == 3 => {
                    let list = |ty: DataType| DataType::new_list(ty, true);
                    self.expect(&call.args[2], || type_of(&call.args[1]).map(list));
                    self.expect(&call.args[1], || match type_of(&call.args[2]) {
                        Some(DataType::List(field)) => Some(field.data_type().clone()),
                        _ => None,
                    });
                }
                "coalesce" | "nullif" | "greatest" | "least" => {
                    for arg in &call.args {
                        self.expect(arg, || call.args.iter().find_map(type_of));
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// Notes the type a parameter has here, unless it has one.
    fn expect(&mut self, expr: &Expr, ty: impl FnOnce() -> Option<DataType>) {
        let Expr::Placeholder(placeholder) = expr else { return };
        let Some(index) = index_of(&placeholder.id) else {
            self.error.get_or_insert(undefined(&placeholder.id));
            return;
        };
        if index >= PARAMETERS_MAX {
            self.error.get_or_insert(undefined(&placeholder.id));
            return;
        }
        if self.types.len() <= index {
            self.types.resize(index + 1, None);
        }
        if self.types[index].is_none() {
            self.types[index] = ty();
        }
    }
}

/// The type of an operand that says none, beside one that does.
fn operand(op: Operator, other: Option<DataType>, is_left: bool) -> Option<DataType> {
    use Operator::*;
    match op {
        And | Or => Some(DataType::Boolean),
        StringConcat => match other {
            Some(DataType::List(field)) => Some(DataType::List(field)),
            _ => Some(DataType::Utf8),
        },
        RegexMatch | RegexIMatch | RegexNotMatch | RegexNotIMatch | LikeMatch | ILikeMatch
        | NotLikeMatch | NotILikeMatch | Arrow | LongArrow => Some(DataType::Utf8),
        Plus | Minus => match other? {
            DataType::Timestamp(..) | DataType::Time64(_) if !is_left => {
                Some(DataType::Interval(IntervalUnit::MonthDayNano))
            }
            DataType::Date32 => Some(DataType::Int32),
            other => Some(other),
        },
        _ => other,
    }
}
