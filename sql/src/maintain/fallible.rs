//! Which expressions can fail, so that they must stay where the text has them (S10).
//!
//! Law: an expression that is not fallible gives a value for every row, so it may be evaluated
//! earlier, for more rows, or not at all. What isn't known here counts as fallible.

use arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::scalar::ScalarValue;

use super::interval::cast_of;
use super::rel::{column, type_of};
use super::temporal::now_comparison;
use crate::rewrite::input_schema;

/// Functions that have a value for all arguments of their types.
#[rustfmt::skip] // one family a line
const TOTAL: &[&str] = &[
    "now",
    "coalesce", "nullif", "greatest", "least",
    "lower", "upper", "length", "char_length", "character_length", "octet_length", "bit_length",
    "btrim", "ltrim", "rtrim", "trim", "concat", "concat_ws", "reverse", "left", "right", "varchar",
    "starts_with", "strpos", "position", "replace", "initcap", "md5", "ascii",
    "translate",
    "floor", "ceil", "sign", "isnan",
    "interval_eq", "interval_ne", "interval_lt", "interval_le", "interval_gt", "interval_ge",
    "jsonb_get", "jsonb_get_text", "jsonb_get_path", "jsonb_get_path_text", "jsonb_typeof",
    "jsonb_key", "interval_span",
    "jsonb_contains", "jsonb_contained", "jsonb_exists", "jsonb_exists_any", "jsonb_exists_all",
    "jsonb_lt", "jsonb_le", "jsonb_gt", "jsonb_ge",
    "cardinality", "array_length", "array_contains", "array_contained", "array_overlap",
];

/// Fields that date_trunc and extract know of every timestamp.
const TIME_FIELDS: &[&str] = &[
    "microseconds",
    "milliseconds",
    "second",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "quarter",
    "year",
    "decade",
    "century",
    "millennium",
];

/// Whether an expression of a plan or of a subquery in it can fail. Of aggregates those count whose
/// sum may leave its type with fewer rows than there ever are.
pub(crate) fn can_fail(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        let schema = input_schema(node);
        node.apply_expressions(|expr| {
            found |= expression_can_fail(expr, &schema)?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Whether an expression over named columns can fail, but for what is in its subqueries.
pub(crate) fn expression_can_fail(expr: &Expr, names: &DFSchema) -> Result<bool> {
    let inner = match expr {
        Expr::Alias(alias) => vec![alias.expr.as_ref()],
        Expr::AggregateFunction(call) if sums_too_much(&call.params.args, names) => {
            return Ok(true);
        }
        Expr::WindowFunction(call) if sums_too_much(&call.params.args, names) => return Ok(true),
        Expr::AggregateFunction(call) => {
            let params = &call.params;
            let order = params.order_by.iter().map(|sort| &sort.expr);
            params.args.iter().chain(params.filter.as_deref()).chain(order).collect()
        }
        Expr::WindowFunction(call) => {
            let params = &call.params;
            let order = params.order_by.iter().map(|sort| &sort.expr);
            let filter = params.filter.as_deref();
            params.args.iter().chain(filter).chain(&params.partition_by).chain(order).collect()
        }
        Expr::GroupingSet(sets) => sets.distinct_expr(),
        expr => {
            let mut several = false;
            let positional = expr.clone().transform_down(|expr| {
                Ok(match expr {
                    Expr::Column(named) => match names.maybe_index_of_column(&named) {
                        Some(index) => Transformed::yes(column(index)),
                        None => Transformed::no(Expr::Column(named)),
                    },
                    Expr::Exists(_) => constant(&DataType::Boolean)?,
                    Expr::SetComparison(_) => constant(&DataType::Boolean)?,
                    Expr::InSubquery(of) => Transformed::yes(*of.expr),
                    Expr::ScalarSubquery(of) => {
                        several |= !is_one_row(&of.subquery);
                        constant(of.subquery.schema().field(0).data_type())?
                    }
                    expr => Transformed::no(expr),
                })
            })?;
            return Ok(several || is_fallible(&positional.data, names.as_arrow()));
        }
    };
    inner.into_iter().try_fold(false, |found, expr| Ok(found || expression_can_fail(expr, names)?))
}

/// Whether rows enough to be met overflow a sum of the arguments: whole numbers widen, and a
/// decimal
/// of few digits leaves room in the 38 of its sum. Functions that add nothing up count as well.
fn sums_too_much(args: &[Expr], names: &DFSchema) -> bool {
    const DIGITS_MAX: u8 = 28;
    args.iter().any(|arg| match arg.get_type(names) {
        Ok(DataType::Decimal128(precision, _)) => precision > DIGITS_MAX,
        Ok(DataType::Interval(_)) => true,
        _ => false,
    })
}

/// NULL of a type, instead of an expression that cannot fail.
fn constant(ty: &DataType) -> Result<Transformed<Expr>> {
    let null = Expr::Literal(ScalarValue::try_from(ty)?, None);
    Ok(Transformed::new(null, true, TreeNodeRecursion::Jump))
}

/// Whether a subquery is an aggregate without groups.
fn is_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => is_one_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => is_one_row(&alias.input),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        _ => false,
    }
}

/// Whether evaluating the expression over rows of `schema` can fail. Of a comparison with now()
/// only the row's side is evaluated for rows: planning makes sure that the other has a value.
pub(super) fn is_fallible(expr: &Expr, schema: &Schema) -> bool {
    if let Some((_, _, value)) = now_comparison(expr) {
        return is_fallible(value, schema);
    }
    if fails_by_itself(expr, schema) {
        return true;
    }
    let mut found = false;
    expr.apply_children(|child| {
        found |= is_fallible(child, schema);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })
    .expect("looking cannot fail");
    found
}

fn fails_by_itself(expr: &Expr, schema: &Schema) -> bool {
    let types = |expr: &Expr| type_of(expr, schema).ok();
    match expr {
        Expr::Alias(_)
        | Expr::Column(_)
        | Expr::OuterReferenceColumn(..)
        | Expr::Literal(..)
        | Expr::Not(_)
        | Expr::IsNotNull(_)
        | Expr::IsNull(_)
        | Expr::IsTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNotFalse(_)
        | Expr::IsNotUnknown(_)
        | Expr::Between(_)
        | Expr::Case(_)
        | Expr::InList(_)
        | Expr::TryCast(_) => false,
        Expr::BinaryExpr(binary) => match binary.op {
            Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::And
            | Operator::Or
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
            | Operator::StringConcat => false,
            Operator::Plus | Operator::Minus | Operator::Multiply => {
                let float = |expr: &Expr| {
                    matches!(types(expr), Some(DataType::Float32 | DataType::Float64))
                };
                !(float(&binary.left) && float(&binary.right))
            }
            _ => true,
        },
        Expr::Like(like) => !is_sound_pattern(&like.pattern),
        _ if let Some((inner, to)) = cast_of(expr) => match types(inner) {
            Some(from) => !is_widening(&from, &to),
            None => true,
        },
        Expr::ScalarFunction(function) => match (function.name(), function.args.as_slice()) {
            (
                "date_trunc" | "extract" | "date_part",
                [Expr::Literal(ScalarValue::Utf8(Some(field)), _), of],
            ) => {
                let known = TIME_FIELDS.contains(&field.to_lowercase().as_str());
                !known || !matches!(types(of), Some(DataType::Timestamp(..)))
            }
            (name, _) => !TOTAL.contains(&name),
        },
        _ => true,
    }
}

/// A constant LIKE pattern that doesn't end in an escape.
fn is_sound_pattern(pattern: &Expr) -> bool {
    match pattern {
        Expr::Literal(ScalarValue::Utf8(Some(pattern)), _) => {
            let escapes = pattern.chars().rev().take_while(|&c| c == '\\').count();
            escapes % 2 == 0
        }
        Expr::Literal(value, _) => value.is_null(),
        _ => false,
    }
}

/// Casts that have a value for every value.
fn is_widening(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Boolean, Date32, Decimal128, Float32, Float64, Int16, Int32, Int64, Null, Timestamp, Utf8,
    };
    let micros = |ty: &DataType| matches!(ty, Timestamp(TimeUnit::Microsecond, _));
    match (from, to) {
        (from, to) if from == to => true,
        (Null, _) => true,
        (Int16, Int32 | Int64 | Float32 | Float64) => true,
        (Int32, Int64 | Float32 | Float64) => true,
        (Int64, Float32 | Float64) => true,
        (Float32, Float64) => true,
        (Int16 | Int32 | Int64, Decimal128(precision, scale)) => {
            let digits = match from {
                Int16 => 5,
                Int32 => 10,
                _ => 19,
            };
            i16::from(*precision) - i16::from(*scale) >= digits
        }
        (Decimal128(p, s), Decimal128(precision, scale)) => {
            let whole = i16::from(*p) - i16::from(*s);
            scale >= s && i16::from(*precision) - i16::from(*scale) >= whole
        }
        (Decimal128(..), Float32 | Float64) => true,
        (Date32, to) if micros(to) => true,
        (from, to) if micros(from) && (micros(to) || *to == Date32) => true,
        (Boolean | Int16 | Int32 | Int64 | Float32 | Float64 | Decimal128(..), Utf8) => true,
        (Date32 | Timestamp(..), Utf8) => true,
        _ => false,
    }
}
